//! The lines of a file without their secrets, which may span several: what a line says of those after it is remembered from the file's
//! beginning. Most files say nothing of the kind, and cost one search for the few words that would.

use std::{borrow::Cow, collections::VecDeque, sync::LazyLock};

use regex::bytes::Regex;

use redact::Redactor;

/// Without any of these no line says anything of the next: see [`Redactor`].
static WORDS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let words = concat!(
        r#"(?m-u)PRIVATE.{1,6}KEY|Static.{1,6}key|Private-Lines:|(?i:priv|prime|exponent|exp|coefficient)[A-Za-z0-9 -]{0,20}:|Secret|[dD]ata"?:|:[ !&\w.-]{0,32}[|>]|"#,
        r#"^[^\w\n]*(?i:name|key|variable|parameterkey)["']?[ \t]{0,16}[:=>]|"#,
        r#"(?i:pass|secret|token|key|mnemonic|sess|cred|auth|pw|psk|bearer|cookie)[\w.-]{0,32}"?:[ \t\r]*[!&#"'\n]"#,
    );
    Regex::new(&format!("{words}|{}", redact::ENCODED.join("|"))).ok()
});

/// The longest of the words, so that none is missed between two blocks.
const LONGEST_WORD: usize = 64;

/// A line as it may be shown.
#[derive(Debug)]
pub(super) struct Text<'a> {
    /// Without what hides from a reader; a byte that is no character is a question mark.
    pub cleaned: Cow<'a, str>,
    /// Without its secrets as well. `None`: it has none.
    pub redacted: Option<String>,
}

impl Text<'_> {
    /// What may be told.
    pub(super) fn shown(&self) -> &str {
        self.redacted.as_deref().unwrap_or(&self.cleaned)
    }
}

/// What is known of the lines of one file. Lines are asked for in their order.
#[derive(Debug)]
pub(super) struct Secrets {
    redactor: Redactor,
    /// Whether one of the words has been seen.
    has_word: bool,
    /// The file was not read from its beginning, and what is read may still be of a key that began before.
    is_doubtful: bool,
    /// What has been read and may be asked for; from the beginning of a line.
    held: Vec<u8>,
    /// Where in the file that is.
    start: u64,
    /// How much of it the redactor has seen.
    seen: usize,
    /// The last lines that it has seen, by where they are.
    recent: VecDeque<(u64, String)>,
    /// How many of them.
    context: usize,
    /// Nothing is noted until the first line is asked for: see [`Secrets::later`].
    is_waiting: bool,
}

impl Secrets {
    /// Of a new file; so many lines may be asked for again after others have been read.
    pub(super) fn new(context: usize) -> Self {
        Self {
            redactor: Redactor::default(),
            has_word: false,
            is_doubtful: false,
            held: vec![],
            start: 0,
            seen: 0,
            recent: VecDeque::new(),
            context,
            is_waiting: false,
        }
    }

    /// The same, of a file that is read once more when a line of it is asked for: most are not.
    pub(super) fn later(context: usize) -> Self {
        Self { is_waiting: true, ..Self::new(context) }
    }

    /// Of a file that is not read from its beginning.
    pub(super) fn midway(context: usize) -> Self {
        Self { redactor: Redactor::midway(), is_doubtful: true, ..Self::new(context) }
    }

    /// Whether what a line says of those after it has to be noted.
    fn is_careful(&self) -> bool {
        self.has_word || self.is_doubtful
    }

    /// Takes note of what is read next. What was read before is not asked for any more, but for its last line, which may go on, and for those
    /// that are remembered.
    pub(super) fn read(&mut self, block: &[u8]) {
        if self.is_waiting {
            return;
        }
        let rest = memchr::memrchr(b'\n', &self.held).map_or(0, |end| end + 1);
        if self.is_careful() {
            self.pass(rest);
        }
        self.is_doubtful &= self.redactor.is_in_key();
        self.held.drain(..rest);
        self.start += rest as u64;
        self.seen = self.seen.saturating_sub(rest);
        if !self.has_word {
            let before = self.held.len().saturating_sub(LONGEST_WORD);
            let beyond = block.len().min(LONGEST_WORD);
            self.has_word = has_word(block) || has_word(&[&self.held[before..], &block[..beyond]].concat());
        }
        if self.is_careful() {
            self.held.extend_from_slice(block);
            return;
        }
        // only the line that goes on
        match memchr::memrchr(b'\n', block) {
            None => self.held.extend_from_slice(block),
            Some(end) => {
                self.start += (self.held.len() + end + 1) as u64;
                self.held.clear();
                self.held.extend_from_slice(&block[end + 1..]);
            }
        }
    }

    /// Takes note of the whole of a file. Nothing is looked at yet.
    pub(super) fn whole(&mut self, bytes: &[u8]) {
        self.has_word = has_word(bytes);
        if self.has_word {
            self.held.extend_from_slice(bytes);
        }
    }

    /// The line that begins at `at` in the file, and is `line` without its line break.
    pub(super) fn line<'a>(&mut self, at: u64, line: &'a [u8]) -> Text<'a> {
        let cleaned = cleaned(line);
        let redacted =
            if self.is_careful() { self.careful(at, &cleaned) } else { redact::redact_line(&cleaned).into_owned() };
        let redacted = (redacted != *cleaned).then_some(redacted);
        Text { cleaned, redacted }
    }

    fn careful(&mut self, at: u64, cleaned: &str) -> String {
        let place = at.checked_sub(self.start).map(|place| place as usize);
        match place.filter(|place| *place >= self.seen) {
            Some(place) => {
                self.pass(place.min(self.held.len()));
                // it is the next
                self.see(cleaned, at);
                let rest = &self.held[self.seen..];
                self.seen += memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
                self.recent.back().map(|(_, text)| text.clone()).unwrap_or_default()
            }
            // it has been seen; what is not remembered is not shown
            None => {
                let known = self.recent.iter().rev().find(|(known, _)| *known == at);
                known.map_or_else(|| redact::MARK.to_owned(), |(_, text)| text.clone())
            }
        }
    }

    /// Lets the redactor see all lines before this place.
    fn pass(&mut self, to: usize) {
        while self.seen < to {
            let rest = &self.held[self.seen..to];
            let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            let at = self.start + self.seen as u64;
            let line = cleaned(rest[..length].strip_suffix(b"\n").unwrap_or(&rest[..length])).into_owned();
            if self.context > 0 {
                self.see(&line, at);
            } else {
                self.redactor.pass(&line);
            }
            self.seen += length;
        }
    }

    fn see(&mut self, line: &str, at: u64) {
        if self.recent.len() > self.context {
            self.recent.pop_front();
        }
        self.recent.push_back((at, self.redactor.line(line).into_owned()));
    }
}

/// Whether one of the words is in `bytes`, or may be in what is shown of them.
fn has_word(bytes: &[u8]) -> bool {
    // without the words every file has them
    WORDS.as_ref().is_none_or(|words| words.is_match(bytes))
        || !is_plain(bytes) && bytes.split(|byte| *byte == b'\n').any(hides)
}

/// Whether all of `bytes` is shown as it is, but for tabs and the ends of lines, which the words know.
fn is_plain(bytes: &[u8]) -> bool {
    // looks at every byte, as that is faster than to stop at one
    let is_odd = |byte: &u8| !matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r');
    let breaks = |at: usize| bytes.get(at + 1).is_none_or(|next| matches!(next, b'\n' | b'\r'));
    !bytes.iter().fold(false, |odd, byte| odd | is_odd(byte)) && memchr::memchr_iter(b'\r', bytes).all(breaks)
}

/// Whether something in `line` acts, hides or stands for a letter of ASCII, so that a name reads otherwise than it is written.
fn hides(line: &[u8]) -> bool {
    if is_plain(line) {
        return false;
    }
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = cleaned(line);
    let is_same = |(shown, read): (u8, &u8)| shown == *read || *read == b'\t';
    redact::is_folded(&text) || text.len() != line.len() || !text.bytes().zip(line).all(is_same)
}

/// As it is shown, with its secrets. One byte stays one byte where it can: what is found in the one is then found in the other.
fn cleaned(line: &[u8]) -> Cow<'_, str> {
    let text = match std::str::from_utf8(line) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let mut out = String::with_capacity(line.len());
            for chunk in line.utf8_chunks() {
                out.push_str(chunk.valid());
                out.extend(chunk.invalid().iter().map(|byte| if acts(*byte) { char::from(*byte) } else { '?' }));
            }
            Cow::Owned(out)
        }
    };
    match text {
        Cow::Borrowed(text) => redact::clean(text, usize::MAX),
        Cow::Owned(text) => redact::clean(&text, usize::MAX).into_owned().into(),
    }
}

/// Whether a byte acts or hides where each byte is a character, as in Latin-1: so `file_read` takes it.
fn acts(byte: u8) -> bool {
    matches!(byte, 0x80..=0x9f | 0xad)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAABlwAAAAdzc2gtcn";

    /// Each line of `text` as it is shown, asked for as if each matched; read in blocks of `size`.
    fn shown(text: &str, size: usize, asked: impl Fn(usize) -> bool) -> Vec<String> {
        let mut secrets = Secrets::new(2);
        let (mut lines, mut at, mut out) = (text.split_inclusive('\n').enumerate().peekable(), 0, vec![]);
        let mut read = 0;
        for block in text.as_bytes().chunks(size) {
            secrets.read(block);
            read += block.len();
            while let Some((n, line)) = lines.next_if(|(_, line)| at + line.len() <= read) {
                if asked(n) {
                    out.push(secrets.line(at as u64, line.trim_end_matches('\n').as_bytes()).shown().to_owned());
                }
                at += line.len();
            }
        }
        out
    }

    fn expected(text: &str, asked: impl Fn(usize) -> bool) -> Vec<String> {
        let mut redactor = Redactor::default();
        let lines = text.lines().map(|line| redactor.line(line).into_owned()).enumerate();
        lines.filter(|(n, _)| asked(*n)).map(|(_, line)| line).collect()
    }

    fn text() -> String {
        let filler = "a line of no interest with some words in it\n".repeat(30);
        format!(
            "{filler}-----BEGIN OPENSSH PRIVATE KEY-----\n{KEY}\n{KEY}\n-----END OPENSSH PRIVATE KEY-----\n{filler}\
             ---\napiVersion: v1\nkind: Secret\n# {filler}data:\n  plain: c29tZXRoaW5nMTIz\nstringData:\n  other: word\n{filler}password=hunter2\n\
             {filler}- name: TOKEN\n  value: hunter2\n{filler}  name  = \"TOKEN\"\n  value = \"hunter2\"\n{filler}<name>TOKEN</name>\n<value>hunter2</value>\n\
             {filler}- secret: !!str >-\n   hunter2\n{filler}- x: 1\n"
        )
    }

    #[test]
    fn every_line_is_redacted_as_if_all_were_shown_however_the_file_is_read() {
        let text = text();
        for size in [1, 7, 50, 1000, 1 << 20] {
            assert_eq!(shown(&text, size, |_| true), expected(&text, |_| true), "{size}");
            for step in [2, 3, 11] {
                let asked = |n: usize| n.is_multiple_of(step);
                assert_eq!(shown(&text, size, asked), expected(&text, asked), "{size} {step}");
            }
        }
        assert!(!expected(&text, |_| true).iter().any(|line| line.contains(KEY) || line.contains("hunter2")));
        let mut secrets = Secrets::new(0);
        secrets.whole(text.as_bytes());
        let at = text.find(KEY).unwrap();
        assert_eq!(secrets.line(at as u64, KEY.as_bytes()).shown(), redact::MARK);
    }

    #[test]
    fn each_word_is_one_without_the_others() {
        for text in [
            "password:\n  hunter2\n",
            "- DB_TOKEN_OLD: &a # of the app\n    hunter2",
            "\"api-key\": \"two\n    hunter2\"",
            "authorization: &a.b |\n  hunter2",
            "- name: TOKEN\n  value: hunter2",
            "key = TOKEN\nvalue = hunter2",
            "\u{feff}\"key\": \"TOKEN\",\n\"value\": \"hunter2\"",
        ] {
            let shown = shown(text, 5, |_| true).join("\n");
            assert!(shown.contains(redact::MARK) && !shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn a_line_can_be_asked_for_again_as_far_back_as_context_goes_and_no_further() {
        let text = text();
        let lines: Vec<&str> = text.lines().collect();
        let key = lines.iter().position(|line| *line == KEY).unwrap();
        let at = |n: usize| lines[..n].iter().map(|line| line.len() + 1).sum::<usize>() as u64;
        let mut secrets = Secrets::new(2);
        let (first, second) = text.split_at(at(key + 2) as usize);
        secrets.read(first.as_bytes());
        secrets.read(second.as_bytes());
        assert_eq!(secrets.line(at(key), KEY.as_bytes()).shown(), redact::MARK);
        assert_eq!(secrets.line(at(key + 3), lines[key + 3].as_bytes()).shown(), lines[key + 3]);
        assert_eq!(
            secrets.line(at(0), lines[0].as_bytes()).shown(),
            redact::MARK,
            "nobody knows any more what was before it"
        );
    }

    #[test]
    fn what_a_calm_file_holds_is_one_line() {
        let mut secrets = Secrets::new(2);
        for _ in 0..1000 {
            secrets.read("words and more words\nand some\nof a lin".as_bytes());
        }
        assert!(secrets.held.len() < 100 && secrets.recent.is_empty());
    }
}
