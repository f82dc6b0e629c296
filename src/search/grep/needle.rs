//! What is looked for: in a file's bytes, and in what of a line may be told.
//!
//! Whoever may search what it may not see can guess it letter by letter. So a line counts only if it matches in a part of it that is shown:
//! what stands between the marks of secrets. Such a part stands in the file as well, with the same line around it, so that the line is found
//! there first, whatever the secret is; whether it counts does then not depend on the secret. For that to hold, a part has to be searched as
//! it stands in the file (a tab is one, though it is shown as a blank), `$` is not where a secret begins, and nothing asks whether a word
//! ends there.

use std::ops::Range;

use grep_matcher::{LineTerminator, Matcher as _};
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use regex_automata::{
    Input,
    meta::{self, Regex},
    util::syntax,
};

use super::secrets::Text;
use crate::pattern::{NESTED, SIZE, check, complaint, is_cased};
use kernel::failure::Failure;
use redact::MARK;

/// A regular expression, ready for both.
#[derive(Clone, Debug)]
pub struct Needle {
    matcher: RegexMatcher,
    shown: Regex,
    /// Whether it asks where words begin and end.
    asks_for_words: bool,
}

impl Needle {
    /// `plain`: not a regular expression. `cased`: case counts; by default it does if the pattern has a capital.
    pub fn new(pattern: &str, plain: bool, cased: Option<bool>) -> Result<Self, Failure> {
        check("pattern", pattern)?;
        if pattern.contains('\n') {
            return Err(Failure::Invalid("pattern is of one line: what spans lines is not found".into()));
        }
        let insensitive = !cased.unwrap_or_else(|| is_cased(pattern));
        let written = if plain { regex::escape(pattern) } else { pattern.to_owned() };
        let matcher = RegexMatcherBuilder::new()
            .multi_line(true)
            .case_insensitive(insensitive)
            .line_terminator(Some(LineTerminator::byte(b'\n').as_byte()))
            .size_limit(SIZE)
            .dfa_size_limit(SIZE)
            .nest_limit(NESTED)
            .build(&written)
            .map_err(|error| complaint("pattern", &error))?;
        let syntax =
            syntax::Config::new().utf8(false).multi_line(true).case_insensitive(insensitive).nest_limit(NESTED);
        let limits = meta::Config::new().utf8_empty(false).nfa_size_limit(Some(SIZE)).hybrid_cache_capacity(SIZE);
        let shown = Regex::builder().syntax(syntax).configure(limits).build(&written);
        let shown = shown.map_err(|error| complaint("pattern", &error))?;
        let asks_for_words = !plain && [r"\b", r"\B", r"\<", r"\>"].iter().any(|look| pattern.contains(look));
        Ok(Self { matcher, shown, asks_for_words })
    }

    /// For searching files.
    pub(super) fn matcher(&self) -> &RegexMatcher {
        &self.matcher
    }

    /// Where it is in `line`, which the matcher has found; nothing if it is not in what may be told of it.
    pub(super) fn place(&self, line: &[u8], text: &Text<'_>) -> Option<usize> {
        let Some(redacted) = &text.redacted else {
            let found = self.matcher.find(line).ok().flatten();
            return Some(found.map_or(0, |found| found.start()));
        };
        let (haystack, parts) = parts(line, &text.cleaned, redacted)?;
        let find = |part: &Range<usize>| {
            let mut range = part.clone();
            if self.asks_for_words {
                // the last letter beside a secret is looked at, and not matched
                range.start += usize::from(range.start > 0);
                range.end -= usize::from(range.end < haystack.len() && range.end > range.start);
            }
            (range.start <= range.end).then(|| self.shown.search(&Input::new(&haystack).range(range)))?
        };
        parts.iter().find_map(find).map(|found| found.start())
    }
}

/// `redacted` with the file's own bytes between its marks, and where those are. `None`: they are not to be told for certain.
fn parts(line: &[u8], cleaned: &str, redacted: &str) -> Option<(Vec<u8>, Vec<Range<usize>>)> {
    // cleaning may have left out what stands between two letters; only what it made a blank is in the same place
    let is_in_place = line.len() == cleaned.len()
        && line.iter().zip(cleaned.bytes()).all(|(raw, shown)| *raw == shown || shown == b' ' || shown == b'?');
    if !is_in_place {
        return None;
    }
    let (mut haystack, mut ranges, mut at) = (Vec::with_capacity(redacted.len()), vec![], 0);
    let count = redacted.split(MARK).count();
    for (n, part) in redacted.split(MARK).enumerate() {
        if n > 0 {
            haystack.extend_from_slice(MARK.as_bytes());
        }
        // the first and the last are known by where they stand
        let found = match n {
            0 => cleaned.starts_with(part).then_some(0),
            _ if n + 1 == count => cleaned.len().checked_sub(part.len()).filter(|at| cleaned.get(*at..) == Some(part)),
            _ => cleaned.get(at..)?.find(part).map(|found| at + found),
        }?;
        if found < at {
            return None;
        }
        at = found + part.len();
        ranges.push(haystack.len()..haystack.len() + part.len());
        haystack.extend_from_slice(&line[found..at]);
    }
    Some((haystack, ranges))
}

#[cfg(test)]
mod tests {
    use super::{super::secrets::Secrets, *};

    /// Whether a line that the matcher finds counts; `None`: it does not find it.
    fn counts(pattern: &str, line: &[u8]) -> Option<bool> {
        let needle = Needle::new(pattern, false, Some(true)).unwrap();
        let found = needle.matcher.is_match(line).unwrap();
        found.then(|| needle.place(line, &Secrets::new(0).line(0, line)).is_some())
    }

    #[test]
    fn whether_a_line_counts_does_not_depend_on_its_secret() {
        let patterns = [
            "hunter",
            "password=h",
            "password=[^h]",
            "password=[^z]*$",
            "password=[^h]*$",
            "^[^h]*$",
            "^[^x]*$",
            "=.{8}$",
            "=.{7} ",
            "password=",
            "login",
            "ok$",
            "^login",
            "login|h",
            "=h|ok",
            "password=.*ok",
            "login.*ok",
            ".",
            r"=\b",
            r"=\B",
            r"\bpassword\b",
            r"password\b",
            r"\w+$",
            r"\bok",
            r"\Bok",
            r"=\Bh|=\b",
            "r2",
            r"\x68",
            "(?i)HUNTER",
            "[a-h]unter",
            r"\d",
            r"\D+$",
            "^.*$",
            "=[red]",
            r"red",
            r"\[",
            r"login\tpassword",
            "login password",
            r"\s\w+$",
            "(?-u:[^h]) ok",
            "^.{22,23}$",
            "(?m)^h",
            "=$",
            "d=$|h",
            r"\A",
            r"\z",
            r"=\z",
        ];
        // as long, longer, other letters at each end
        let secrets = ["hunter2", "xunter2", "hunter2x", "/unter2/", "-hunter2", "zzzzzzzzzzzz", "2hunterh"];
        for frame in
            ["login password=SECRET ok", "login\tpassword=SECRET ok", "login password=SECRET", "SECRET_TOKEN=SECRET;ok"]
        {
            for pattern in patterns {
                let told: Vec<bool> = secrets
                    .iter()
                    .map(|secret| {
                        counts(pattern, frame.replacen("=SECRET", &format!("={secret}"), 1).as_bytes()) == Some(true)
                    })
                    .collect();
                assert!(told.iter().all(|one| *one == told[0]), "{pattern:?} in {frame:?}: {told:?}");
            }
        }
    }

    #[test]
    fn what_is_shown_is_found() {
        let line = b"\tlogin password=hunter2 ok";
        for (pattern, place) in [
            ("login", Some(true)),
            ("password=", Some(true)),
            ("ok$", Some(true)),
            (r"\tlogin", Some(true)),
            (r"\blogin\b", Some(true)),
            ("login.*word", Some(true)),
            // over a secret there is no finding
            ("login.*ok", Some(false)),
            ("hunter2", Some(false)),
            ("redacted", None),
        ] {
            assert_eq!(counts(pattern, line), place, "{pattern}");
        }
        assert_eq!(counts("b.*r", b"foo bar"), Some(true));
        let text = Secrets::new(0).line(0, line).redacted;
        assert_eq!(text.as_deref(), Some(" login password=[redacted] ok"));
    }

    #[test]
    fn a_line_whose_letters_cannot_be_placed_is_not_told() {
        // a zero width space is left out when it is shown
        assert_eq!(counts("login", "log\u{200b} login password=hunter2".as_bytes()), Some(false));
        assert_eq!(counts("login", "log\u{200b} login".as_bytes()), Some(true));
        // bytes that are no letters stay where they are
        assert_eq!(counts("login", b"\xff\xe9 login password=hunter2"), Some(true));
    }

    #[test]
    fn patterns_that_cost_too_much_or_span_lines_are_refused() {
        for (pattern, why) in [
            ("", "1 to 500"),
            ("(", "unclosed group"),
            ("a\nb", "one line"),
            (r"a\nb", "not allowed"),
            (r"((((\w{100}){100}){100}){100})", "no regular expression that can be used"),
        ] {
            let said = Needle::new(pattern, false, None).unwrap_err().to_string();
            assert!(said.contains(why), "{pattern}: {said}");
        }
        assert!(Needle::new("a(b", true, None).is_ok());
    }
}
