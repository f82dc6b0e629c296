//! What is wrong in a file and where, without a word of what stands there.

/// Keys of `limits` that were one for all calls.
const MOVED: [&str; 4] = ["running", "waiting", "acting_per_minute", "searches_per_minute"];

/// What the parser expected, without a word of what it found. An unknown key is not named either: in a file gone wrong,
/// a secret can stand where a key should.
pub(super) fn expectation(error: &ron::Error) -> String {
    use ron::Error as E;
    match error {
        E::NoSuchStructField { expected, found, .. } => unknown(found, expected),
        E::NoSuchEnumVariant { expected, .. } => format!("expected one of {}", expected.join(", ")),
        E::MissingStructField { field, .. } => format!("expected the key {field} as well"),
        E::DuplicateStructField { field, .. } => format!("the key {field} stands here for the second time"),
        E::InvalidValueForType { expected, .. } | E::ExpectedDifferentLength { expected, .. } => {
            format!("expected {expected}")
        }
        E::ExpectedBoolean => "expected true or false".into(),
        E::ExpectedInteger | E::IntegerOutOfBounds | E::InvalidIntegerDigit { .. } | E::UnderscoreAtBeginning => {
            "expected a whole number in reach".into()
        }
        E::ExpectedString | E::ExpectedStringEnd | E::InvalidEscape(_) => "expected a string in \"quotes\"".into(),
        E::ExpectedArray | E::ExpectedArrayEnd => "expected a list in [brackets]".into(),
        E::ExpectedOption => "expected None or a value".into(),
        E::ExpectedMapColon => "expected a colon and a value".into(),
        E::ExpectedComma => "expected a comma".into(),
        E::ExpectedIdentifier | E::InvalidIdentifier(_) | E::SuggestRawIdentifier(_) => "expected a name".into(),
        E::ExpectedStructLike
        | E::ExpectedNamedStructLike(_)
        | E::ExpectedStructLikeEnd
        | E::ExpectedDifferentStructName { .. }
        | E::ExpectedOptionEnd => "expected (keys: and values) in parentheses".into(),
        E::ExpectedAttribute | E::ExpectedAttributeEnd | E::NoSuchExtension(_) => {
            "expected #![enable(implicit_some)] or no attribute".into()
        }
        E::UnclosedBlockComment => "this comment does not end".into(),
        E::Eof => "the file ends too early".into(),
        E::TrailingCharacters => "expected nothing more".into(),
        E::ExceededRecursionLimit => "this is nested too deeply".into(),
        // the rest can quote, or is new
        _ => "this is not RON as it is expected here".into(),
    }
}

/// What there is instead of this key, which is not named.
pub(super) fn unknown(key: &str, known: &[&str]) -> String {
    if known.contains(&"deadline_seconds") && MOVED.contains(&key) {
        return "this key is now one of each lane, as in machine: (running: 32, waiting: 1024) and write: (per_minute: 30)"
            .into();
    }
    format!("this key is not known; there is {}", known.join(", "))
}

/// Line and column, counted from 1, of what follows `before`.
pub(super) fn place_after(before: &str) -> (usize, usize) {
    let line = before.rsplit('\n').next().unwrap_or_default();
    (1 + before.matches('\n').count(), 1 + line.chars().count())
}

/// Where `key` stands in a file that was parsed: the word followed by a colon, outside comments and strings. The first
/// place if it does not stand there, as its default is at fault.
pub(super) fn place_of(text: &str, key: &str) -> (usize, usize) {
    let mut at = 0;
    let mut word_before = false;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if c == '"' {
            quoted(rest)
        } else if c == 'r' && !word_before && rest[1..].trim_start_matches('#').starts_with('"') {
            raw(rest)
        } else if !word_before && rest.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':')) {
            return place_after(&text[..at]);
        } else {
            c.len_utf8()
        };
        word_before = c.is_alphanumeric() || c == '_';
        at += length;
    }
    (1, 1)
}

/// How long the string in quotes is that `text` begins with.
fn quoted(text: &str) -> usize {
    let mut escaped = true; // the opening quote
    let end = text.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 1)
}

/// How long the raw string is that `text` begins with.
fn raw(text: &str) -> usize {
    let hashes = text[1..].len() - text[1..].trim_start_matches('#').len();
    let begin = 1 + hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    text[begin..].find(&end).map_or(text.len(), |at| begin + at + end.len())
}

/// How long the block comment is that `text` begins with; they nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_past_strings_and_nested_comments() {
        assert_eq!(place_of("(a: \"\\\"b:\", b: 1)", "b"), (1, 13));
        assert_eq!(place_of("(a: r##\"b: \"# \"##, b : 1)", "b"), (1, 20));
        assert_eq!(place_of("/* /* b: */ b: */\n(ab: 1, b: 1)", "b"), (2, 9));
        assert_eq!(place_of("(r: 1, b", "b"), (1, 1));
        assert_eq!(place_of("\"", "b"), (1, 1));
        assert_eq!(place_of("/*", "b"), (1, 1));
        assert_eq!(place_of("r#\"", "b"), (1, 1));
    }
}
