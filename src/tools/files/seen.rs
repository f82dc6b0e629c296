//! A text as callers see it, and what of it they do not.

use std::{borrow::Cow, ops::Range};

use serde_json::Value;

use redact::{MARK, clean, redact_value};

/// In the place of a tab, which no cell of an answer can have.
pub(super) const TAB: &str = "→";

/// A text's lines, made safe, and where in the text the secrets are that are not in them.
#[derive(Debug)]
pub(super) struct Seen {
    lines: Vec<String>,
    hidden: Vec<Range<usize>>,
}

impl Seen {
    /// As all of `text` is shown at once.
    pub(super) fn of(text: &str) -> Self {
        let cleaned: Vec<Cow<'_, str>> = lines(text).map(|line| clean(bare(line), usize::MAX)).collect();
        let mut value: Value = cleaned.iter().map(|line| line.as_ref()).collect();
        redact_value(&mut value);
        let shown: Vec<String> = match value {
            Value::Array(shown) => shown.into_iter().map(|line| line.as_str().unwrap_or(MARK).to_owned()).collect(),
            _ => vec![MARK.to_owned(); cleaned.len()],
        };
        let (mut hidden, mut tabbed, mut start) = (vec![], vec![], 0);
        for ((line, cleaned), shown) in lines(text).zip(&cleaned).zip(&shown) {
            let secret = secret(bare(line).len(), cleaned, shown);
            match secret {
                None => tabbed.push(clean(&bare(line).replace('\t', TAB), usize::MAX).into_owned()),
                Some(secret) => {
                    hidden.push(start + secret.start..start + secret.end);
                    tabbed.push(shown.clone());
                }
            }
            start += line.len();
        }
        Self { lines: tabbed, hidden }
    }

    /// A line.
    pub(super) fn line(&self, number: usize) -> &str {
        self.lines.get(number).map_or("", String::as_str)
    }

    /// The stretches of the text that callers see; `length` is the text's.
    pub(super) fn stretches(&self, length: usize) -> impl Iterator<Item = Range<usize>> {
        let starts = std::iter::once(0).chain(self.hidden.iter().map(|hidden| hidden.end));
        let ends = self.hidden.iter().map(|hidden| hidden.start).chain([length]);
        starts.zip(ends).map(|(start, end)| start..end)
    }

    /// Whether all that is hidden here is hidden in `other` as well, where `moved` says at which place of it a place of this is.
    pub(super) fn stays_hidden(&self, other: &Self, moved: impl Fn(usize) -> usize) -> bool {
        self.hidden.iter().all(|hidden| {
            let (start, end) = (moved(hidden.start), moved(hidden.end));
            let at = other.hidden.partition_point(|other| other.end < end);
            other.hidden.get(at).is_some_and(|other| other.start <= start && end <= other.end)
        })
    }
}

/// A text's lines with their ends.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n')
}

/// A line without its end.
fn bare(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}

/// Where in a line of `length` bytes the secret is: from the first mark on to behind the last one, and all of it where that cannot be told.
fn secret(length: usize, cleaned: &str, shown: &str) -> Option<Range<usize>> {
    if cleaned == shown {
        return None;
    }
    let whole = Some(0..length);
    let (Some(first), Some(last)) = (shown.find(MARK), shown.rfind(MARK)) else { return whole };
    let (before, after) = (&shown[..first], &shown[last + MARK.len()..]);
    let fits = cleaned.len() == length
        && before.len() + after.len() <= length
        && cleaned.starts_with(before)
        && cleaned.ends_with(after);
    if fits { Some(before.len()..length - after.len()) } else { whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str) -> Vec<&str> {
        Seen::of(text).hidden.into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn what_is_hidden_is_the_secret_and_what_stands_between_two() {
        for (text, secrets) in [
            ("a = 1\nname = x\n", vec![]),
            ("a = 1\npassword = hunter22\nb = 2\n", vec!["hunter22"]),
            ("password=hunter22\r\nb=2\r\n", vec!["hunter22"]),
            ("u: https://me:hunter22@host/x", vec!["hunter22"]),
            ("password=hunter22 user=me token=hunter33 x", vec!["hunter22 user=me token=hunter33"]),
            ("[redacted] password=hunter22", vec!["[redacted] password=hunter22"]),
            // blanks stand for tabs, one for one; what is invisible is gone, and the place cannot be told
            ("\tpassword=hunter22", vec!["hunter22"]),
            ("\u{200b}password=hunter22", vec!["\u{200b}password=hunter22"]),
            (
                "x\n-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7\nabcd\n-----END RSA PRIVATE KEY-----\ny",
                vec!["MIIEowIBAAKCAQEA7", "abcd"],
            ),
        ] {
            assert_eq!(hidden(text), secrets, "{text:?}: {:?}", Seen::of(text).lines);
        }
    }

    #[test]
    fn what_is_seen_is_the_rest() {
        let text = "a\npassword=hunter22\nb\n";
        let seen: Vec<&str> = Seen::of(text).stretches(text.len()).map(|range| &text[range]).collect();
        assert_eq!(seen, ["a\npassword=", "\nb\n"]);
    }
}
