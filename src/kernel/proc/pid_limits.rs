//! `/proc/PID/limits`, see proc_pid_limits(5) and getrlimit(2).

use super::Malformed;

/// One limit of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// The kernel's words: `Max open files`.
    pub name: String,
    /// What holds now; `None` is unlimited.
    pub soft: Option<u64>,
    /// How far the process may raise it; `None` is unlimited.
    pub hard: Option<u64>,
    /// `bytes`, `files`, `us`; priorities have none.
    pub unit: Option<String>,
}

/// Reads the text of `/proc/PID/limits`.
pub fn parse(text: &str) -> Result<Vec<Limit>, Malformed> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("Limit "));
    lines.map(|line| Limit::parse(line).ok_or_else(|| Malformed::line("PID/limits", text, line))).collect()
}

impl Limit {
    fn parse(line: &str) -> Option<Self> {
        // Names have blanks; the kernel gives them 25 columns.
        let (name, columns) = line.split_at_checked(25)?;
        let mut columns = columns.split_ascii_whitespace();
        Some(Self {
            name: name.trim_ascii_end().to_owned(),
            soft: bound(columns.next()?)?,
            hard: bound(columns.next()?)?,
            unit: columns.next().map(str::to_owned),
        })
    }
}

fn bound(word: &str) -> Option<Option<u64>> {
    if word == "unlimited" { Some(None) } else { word.parse().ok().map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unlimited_is_none() {
        let text = "\
Limit                     Soft Limit           Hard Limit           Units     
Max open files            1024                 unlimited            files     
Max nice priority         0                    0                    
";
        let files = Limit { name: "Max open files".into(), soft: Some(1024), hard: None, unit: Some("files".into()) };
        let nice = Limit { name: "Max nice priority".into(), soft: Some(0), hard: Some(0), unit: None };
        assert_eq!(parse(text).unwrap(), [files, nice]);
    }

    #[test]
    fn a_line_cut_short_is_refused() {
        for line in ["Max", "Max open files            1024", "Max öööööööööööööööööööö 1 2"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
