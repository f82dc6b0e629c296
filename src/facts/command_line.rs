//! How a process was called, without the secrets in it.

use kernel::proc::pid_cmdline;

/// How much of a command line is looked at, in bytes.
pub const LONGEST: usize = 64 << 10;

/// A command line without its secrets, or the name in brackets where there is none.
pub fn command(arguments: &[u8], name: &str) -> String {
    let arguments: Vec<&[u8]> = pid_cmdline::parse(arguments).collect();
    if arguments.is_empty() {
        return format!("[{name}]");
    }
    redact::redact_arguments(&arguments)
}

/// `text` in at most so many characters, the last of which says that there was more.
pub fn cut(text: String, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => text,
        Some(_) => text.chars().take(characters.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_an_argument_is_not_shown() {
        for word in [r#"--config={"auth":{"pass":["Xk9vQ2mZ7pLw"]}}"#, r#"{"token":{"value":"Xk9vQ2mZ7pLw"}}"#] {
            let shown = command(format!("x\0{word}\0").as_bytes(), "x");
            assert!(!shown.contains("Xk9v"), "{shown}");
        }
        let shown = command(b"x\0--password:\0Xk9vQ2mZ7pLw\0", "x");
        assert!(!shown.contains("Xk9v"), "{shown}");
    }

    #[test]
    fn a_cut_command_says_so() {
        assert_eq!(cut("äöü".to_owned(), 3), "äöü");
        assert_eq!(cut("äöüß".to_owned(), 3), "äö…");
        assert_eq!(command(b"", "kthreadd"), "[kthreadd]");
    }
}
