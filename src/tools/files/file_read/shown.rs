//! A line as an answer has it: without what acts or hides, without secrets, and no longer than can be read.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Serialize;

use super::super::seen::TAB;
use redact::Redactor;

/// The longest line that is shown whole, in characters.
const LONGEST: usize = 1_000;

/// Shows the lines of one text, one after the other, and counts what it does to them.
#[derive(Debug, Default)]
pub(super) struct Shown {
    redactor: Redactor,
    pub changes: Changes,
}

/// How lines here differ from those in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Changes {
    /// Lines with secrets, [redacted].
    pub redacted: u64,
    /// Lines with characters that act or hide, which are left out or blank.
    pub cleaned: u64,
    /// Tabs, each shown as →.
    pub tabs: u64,
    /// Lines that are cut.
    pub cut: u64,
    /// Lines that end in CR LF.
    pub crlf: u64,
}

impl Changes {
    /// Those that came after `before`.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            redacted: self.redacted - before.redacted,
            cleaned: self.cleaned - before.cleaned,
            tabs: self.tabs - before.tabs,
            cut: self.cut - before.cut,
            crlf: self.crlf - before.crlf,
        }
    }
}

/// A part of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub text: String,
    /// It stands here as in the file, but for its tabs.
    pub is_exact: bool,
}

impl Shown {
    /// Of a text that is read from its beginning, or from somewhere in it.
    pub(super) fn of(is_beginning: bool) -> Self {
        let redactor = if is_beginning { Redactor::default() } else { Redactor::midway() };
        Self { redactor, changes: Changes::default() }
    }

    /// A line that is not shown, but says something of those that are.
    pub(super) fn pass(&mut self, line: &str) {
        self.redactor.pass(&redact::clean(line, usize::MAX));
    }

    /// A line of so many bytes, of which this is all or the beginning.
    pub(super) fn line(&mut self, line: &str, bytes: u64) -> String {
        let text = self.part(line, 0, line.len()).text;
        match text.char_indices().nth(LONGEST) {
            None => text,
            Some((end, _)) => {
                self.changes.cut += 1;
                format!("{}… (a line of {bytes} bytes)", &text[..end])
            }
        }
    }

    /// What stands between two places of a line.
    pub(super) fn part(&mut self, line: &str, from: usize, to: usize) -> Part {
        let (line, to) = match line.strip_suffix('\r') {
            Some(line) => {
                self.changes.crlf += 1;
                (line, to.min(line.len()))
            }
            None => (line, to),
        };
        let from = from.min(to);
        let plain = redact::clean(line, usize::MAX);
        let redacted = self.redactor.line(&plain);
        let part = &line[from..to];
        if redacted != plain {
            self.changes.redacted += 1;
            let begin = if from == 0 {
                0
            } else {
                common(&redact::redact_line(&redact::clean(&line[..from], usize::MAX)), &redacted)
            };
            let end = if to == line.len() {
                redacted.len()
            } else {
                common(&redact::redact_line(&redact::clean(&line[..to], usize::MAX)), &redacted)
            };
            let mut text = redacted.get(begin..end).unwrap_or_default().to_owned();
            if begin == 0 {
                text = self.indented(text, part);
            }
            return Part { text, is_exact: false };
        }
        let tabs = part.matches('\t').count();
        self.changes.tabs += tabs as u64;
        let arrows = if tabs > 0 { part.replace('\t', TAB).into() } else { Cow::Borrowed(part) };
        let text = redact::clean(&arrows, usize::MAX);
        let is_exact = text == arrows;
        self.changes.cleaned += u64::from(!is_exact);
        Part { text: text.into_owned(), is_exact }
    }

    /// With the tabs that `line` begins with, each of which has become a blank.
    fn indented(&mut self, text: String, line: &str) -> String {
        let tabs = line.bytes().zip(text.bytes()).take_while(|pair| *pair == (b'\t', b' ')).count();
        self.changes.tabs += tabs as u64;
        format!("{}{}", TAB.repeat(tabs), &text[tabs..])
    }
}

/// How far two texts are the same, in bytes.
fn common(a: &str, b: &str) -> usize {
    a.chars().zip(b.chars()).take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tabs_are_seen_and_what_is_no_text_goes_and_is_counted() {
        let mut shown = Shown::default();
        for (line, text) in [
            ("plain", "plain"),
            ("\tmake\tit", "→make→it"),
            ("\x1b[31mred\x1b[0m", "red"),
            ("dos\r", "dos"),
            ("\t\tpassword: Xk9vQ2mZ7pLw", "→→password: [redacted]"),
            ("a\0b", "a b"),
        ] {
            assert_eq!(shown.line(line, line.len() as u64), text);
        }
        assert_eq!(shown.changes, Changes { redacted: 1, cleaned: 2, tabs: 4, cut: 0, crlf: 1 });
    }

    #[test]
    fn a_long_line_says_how_long_it_is() {
        let mut shown = Shown::default();
        let line = "ä".repeat(1_001);
        assert_eq!(shown.line(&line, 9), format!("{}… (a line of 9 bytes)", "ä".repeat(1_000)));
        assert_eq!((shown.line(&line[..2_000], 9), shown.changes.cut), ("ä".repeat(1_000), 1));
    }

    #[test]
    fn a_part_of_a_line_has_no_part_of_a_secret() {
        let line = "first words; password=Xk9vQ2mZ7pLw&user=eve and more words";
        let secret = line.find("Xk9v").unwrap()..line.find("&user").unwrap();
        for from in 0..line.len() {
            for to in from..=line.len() {
                let Part { text, is_exact } = Shown::default().part(line, from, to);
                assert!(!is_exact);
                for at in secret.start..secret.end - 3 {
                    assert!(!text.contains(&line[at..at + 3]), "{from}..{to}: {text}");
                }
            }
        }
        assert_eq!(Shown::default().part(line, 0, 11).text, "first words");
        assert_eq!(Shown::default().part(line, line.len() - 5, line.len()).text, "words");
        let plain = Shown::default().part("nothing\tto hide", 3, 10);
        assert_eq!(plain, Part { text: "hing→to".into(), is_exact: true });
    }
}
