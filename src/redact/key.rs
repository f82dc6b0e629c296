//! Private keys, however they are spelled: on lines of their own, between quotes, commas, bars or tags, behind what a log, a diff or a mail
//! puts before them, on one line with its breaks escaped, and in base64 once more.

use std::ops::Range;

use super::{MARK, PASSES, redact_line};

/// The shortest part of a key that is hidden wherever it stands on a line, in characters: of 16, the first two may be taken for those of an
/// escape.
const PART: usize = 14;

/// The shortest line of a key that tells by itself what it is, when the heading was not seen.
const WHOLE_LINE: usize = 40;

/// What stands before a hash and says which it is, and how many letters that has in base64.
const HASHES: [(&str, usize); 6] =
    [("h1:", 43), ("sha256:", 43), ("sha256-", 43), ("sha384-", 64), ("sha512:", 86), ("sha512-", 86)];

/// What the kind of a public key of SSH begins with, and the key itself behind it.
const SSH: [&str; 3] = ["ssh-", "ecdsa-", "sk-"];
const SSH_KEY: &[u8] = b"AAAA";

/// How far the name is looked for that a heading has.
const HEADING: usize = 64;

/// Lines that are no part of a key and do not end it, as other programs write between its lines: before its first line, and after it.
const BEFORE_FIRST: u8 = 4;
const BETWEEN: u8 = 8;

/// Lines that stand before the key in its block, and are no secret.
const HEADERS: [&str; 8] =
    ["Proc-Type:", "DEK-Info:", "Version:", "Comment:", "Hash:", "Charset:", "MessageID:", "Subject:"];

/// What comes before the private lines of PuTTY's file, and after them.
const PUTTY: &str = "Private-Lines:";
const PUTTY_END: [&str; 2] = ["Private-MAC:", "Private-Hash:"];

/// What of a heading tells a private key, in base64, at each of the three places where it can begin: as bytes, and as UTF-16, of which a line
/// has fewer letters.
pub const ENCODED: [&str; 12] = [
    "UFJJVkFURSBLRV",
    "BSSVZBVEUgS0VZ",
    "QUklWQVRFIEtFW",
    "U3RhdGljIGtle",
    "N0YXRpYyBrZX",
    "TdGF0aWMga2V5",
    "UABSAEkA",
    "AAUgBJA",
    "QAFIASQ",
    "UwB0AGEAdA",
    "MAdABhAHQA",
    "TAHQAYQB0A",
];

/// The shortest word that is looked through for one of these.
pub(super) const ENCODED_WORD: usize = 32;

/// A key in base64 that is longer than this has no more lines.
const ENCODED_LINE: usize = 128;

/// The longest line whose parts are looked at when the heading was not seen: of a longer one only what it begins with.
const LONG: usize = 4 << 10;

/// Where the heading of a private key ends whose last dash before `BEGIN` is at `dash`.
pub(super) fn heading(text: &[u8], dash: usize) -> Option<usize> {
    let rest = &text[dash + 1..];
    let start = dash + 1 + [&b"BEGIN"[..], b" BEGIN"].into_iter().find(|begin| rest.starts_with(begin))?.len();
    let label = &text[start..text.len().min(start + HEADING)];
    let name = named(label)?;
    let end = start + label[name..].iter().position(|byte| *byte == b'-').map_or(name, |dash| name + dash);
    Some(end + text[end..].iter().take_while(|byte| **byte == b'-').count())
}

/// Where in a heading's label the name of a private key ends. The blank in it may be escaped.
fn named(label: &[u8]) -> Option<usize> {
    const ESCAPED: usize = 6;
    let find = |text: &[u8], wanted: &[u8]| {
        text.windows(wanted.len()).position(|window| window == wanted).map(|at| at + wanted.len())
    };
    [(&b"PRIVATE"[..], &b"KEY"[..]), (b"Static", b"key")].iter().find_map(|(first, second)| {
        let end = find(label, first)?;
        let near = &label[end..label.len().min(end + ESCAPED + second.len())];
        find(near, second).map(|second| end + second)
    })
}

/// Where the key that begins at `from` ends on its line: before what ends it, or with the text.
pub(super) fn end(text: &[u8], from: usize) -> usize {
    let is_end = |at: usize| text[..at].ends_with(b"--") || text[..at].ends_with(b"-- ");
    let mut ends = text[from..].windows(3).enumerate().filter(|(_, window)| *window == b"END").map(|(at, _)| from + at);
    let sign = |byte: &&u8| matches!(byte, b'-' | b' ');
    match ends.find(|at| is_end(*at)) {
        Some(end) => {
            let before = text[from..end].iter().rev().take_while(sign).count();
            // the blanks before the dashes are not of them
            end - before + text[end - before..end].iter().take_while(|byte| **byte == b' ').count()
        }
        None => text.len(),
    }
}

/// Where PuTTY's private lines begin, if the dash of their name is at `dash`; and where they end, on the same line.
pub(super) fn putty(text: &[u8], dash: usize) -> Option<Range<usize>> {
    let (private, lines) = PUTTY.as_bytes().split_at(PUTTY.find('-')?);
    let rest = text[dash..].strip_prefix(lines)?;
    if !text[..dash].ends_with(private) {
        return None;
    }
    let count = rest.iter().take_while(|byte| **byte == b' ' || byte.is_ascii_digit()).count();
    let start = text.len() - rest.len() + count;
    let ends = |window: &[u8]| PUTTY_END.iter().any(|end| window == &end.as_bytes()[..11]);
    let end = text[start..].windows(11).position(ends).map_or(text.len(), |at| start + at);
    Some(start..end)
}

/// Where the base64 of a private key ends that is in the word `word`, with what follows of it on the same line.
pub(super) fn encoded(text: &[u8], word: &Range<usize>) -> Option<usize> {
    is_encoded(&text[word.clone()]).then(|| stretch(text, word.start))
}

fn is_encoded(word: &[u8]) -> bool {
    std::str::from_utf8(word).is_ok_and(|word| ENCODED.iter().any(|key| word.contains(key)))
}

/// Where a stretch of long runs of base64 ends that begins at `from`: between them stand blanks, quotes, commas and escapes.
fn stretch(text: &[u8], from: usize) -> usize {
    const APART: usize = 8;
    let mut end = from;
    for run in runs(text, from) {
        if run.len() < PART || run.start > end + APART {
            break;
        }
        end = run.end;
    }
    end
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// Whether a word has capitals and small letters, as base64 of this length always has.
fn is_mixed(word: &[u8]) -> bool {
    word.iter().any(u8::is_ascii_uppercase) && word.iter().any(u8::is_ascii_lowercase)
}

/// Whether a word looks like base64 and not like a path or the name of a class: it is mixed and has a digit; of eight letters one or more is a
/// capital, and one or none a sign that parts names.
fn is_random(word: &[u8]) -> bool {
    let count = |is: fn(&u8) -> bool| word.iter().filter(|byte| is(byte)).count();
    let (capitals, signs) = (count(u8::is_ascii_uppercase), count(|byte| b"/-_".contains(byte)));
    is_mixed(word) && capitals * 8 >= word.len() && signs * 8 <= word.len() && count(u8::is_ascii_digit) > 0
}

/// Whether a run is a hash with its kind before it, or a public key of SSH: many files are full of them, and none is a line of a private key.
fn is_public(line: &[u8], run: &Range<usize>) -> bool {
    let end = run.end - line[run.clone()].iter().rev().take_while(|byte| **byte == b'=').count();
    let is_named =
        |kind: &str, at: usize| at >= kind.len() && line[at - kind.len()..at].eq_ignore_ascii_case(kind.as_bytes());
    let is_hash = HASHES.iter().any(|(kind, letters)| end >= *letters && is_named(kind, end - letters));
    let before = line[..run.start].trim_ascii_end();
    let word = before.iter().rposition(|byte| *byte == b' ').map_or(0, |blank| blank + 1);
    let is_kind = || SSH.iter().any(|kind| before[word..].starts_with(kind.as_bytes()));
    is_hash || line[run.clone()].starts_with(SSH_KEY) && is_kind()
}

/// How long an escape of a blank, a break or a quote is that begins here: `\n`, `%0A`. Its letters are no base64.
fn escape(text: &[u8]) -> usize {
    match text {
        [b'\\', b'n' | b'r' | b't', ..] => 2,
        [b'%', b'0' | b'2', low, ..] if low.is_ascii_hexdigit() => 3,
        _ => 0,
    }
}

/// The runs of base64 in a text from some place on, with `-` and `_` inside of them.
fn runs(text: &[u8], from: usize) -> Runs<'_> {
    Runs { text, at: from }
}

struct Runs<'a> {
    text: &'a [u8],
    at: usize,
}

impl Iterator for Runs<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        while let Some(byte) = self.text.get(self.at) {
            let escape = escape(&self.text[self.at..]);
            if escape > 0 {
                self.at += escape;
            } else if is_base64(*byte) {
                break;
            } else {
                self.at += 1;
            }
        }
        let start = self.at;
        let is_inside = |at: usize| {
            let next = || self.text.get(at + 1).is_some_and(|next| is_base64(*next));
            is_base64(self.text[at]) || matches!(self.text[at], b'-' | b'_') && next()
        };
        self.at += (start..self.text.len()).take_while(|at| is_inside(*at)).count();
        (self.at > start).then_some(start..self.at)
    }
}

/// A private key of several lines.
#[derive(Debug, Default)]
pub(super) struct PrivateKey {
    open: Option<Open>,
    /// The first line that is no part of the key ends it.
    is_strict: bool,
}

/// A key that has begun and not ended.
#[derive(Debug, Default)]
struct Open {
    /// How long its lines are; 0: none was seen.
    length: usize,
    /// Lines since then that are no part of it, or, of a doubtful one, have another length.
    missed: u8,
    /// Whether it is one is not known: what is read begins in the middle of a text, and its heading was not seen.
    is_doubtful: bool,
    /// Of a doubtful one: two lines of the same length were seen, as a key has them.
    is_likely: bool,
    /// It is in base64 once more, and so has no line that ends it.
    is_encoded: bool,
}

/// What a line is to the key that has begun before it.
enum Part {
    /// Part of it: without that.
    Body(String),
    /// Neither part of it nor anything else.
    Neutral,
    /// Something else.
    Other,
    /// Its end, and the line without what stands before that.
    End(String),
}

impl PrivateKey {
    /// For a text of which the beginning was not read.
    pub(super) fn midway() -> Self {
        Self { open: Some(Open { is_doubtful: true, ..Open::default() }), is_strict: false }
    }

    /// For rows that need not be of one text.
    pub(super) fn of_rows() -> Self {
        Self { open: None, is_strict: true }
    }

    /// Whether one has begun and not ended, or may have.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// `shown`, which is `line` without other secrets, without what of the key is in it, if that began before.
    pub(super) fn line(&mut self, line: &str, shown: &str) -> Option<String> {
        let starts = begins(line, shown);
        let Some(open) = &mut self.open else {
            self.open = starts;
            return None;
        };
        // a line is taken as it will look, so that to redact it again changes nothing
        let shown = redact_line(shown);
        let (hidden, goes_on) = match open.part(&shown) {
            Part::End(hidden) => (Some(hidden), false),
            Part::Body(hidden) => (Some(open.rest(hidden)), open.is_near()),
            Part::Neutral => (None, true),
            Part::Other => (None, starts.is_some() || open.misses(self.is_strict)),
        };
        match (starts, goes_on) {
            (Some(next), true) if open.is_encoded || open.is_doubtful || !next.is_encoded => {
                *open = Open { length: open.length.max(1), ..next };
            }
            (starts, false) => self.open = starts,
            (_, true) => (),
        }
        hidden.filter(|hidden| *hidden != shown)
    }
}

impl Open {
    /// Whether the key may go on behind a line that is no part of it.
    fn misses(&mut self, is_strict: bool) -> bool {
        self.missed += 1;
        !is_strict && !self.is_encoded && self.is_near()
    }

    /// Whether its last line is not too far away.
    fn is_near(&self) -> bool {
        self.missed <= if self.length == 0 { BEFORE_FIRST } else { BETWEEN }
    }

    /// `line`, of which a part was hidden, without the parts that look like one only now.
    fn rest(&mut self, mut line: String) -> String {
        for _ in 0..PASSES {
            line = redact_line(&line).into_owned();
            match self.part(&line) {
                Part::Body(hidden) if hidden != line => line = hidden,
                _ => break,
            }
        }
        line
    }

    fn part(&mut self, line: &str) -> Part {
        let bytes = line.as_bytes();
        if let Some(end) = ends(line) {
            let is_other = self.is_doubtful && !line[end..].contains("PRIVATE") && !line[end..].starts_with("Private");
            let has_key = !is_other && bytes[..end].iter().any(u8::is_ascii_alphanumeric);
            return Part::End(if has_key { format!("{MARK}{}", &line[end..]) } else { line.to_owned() });
        }
        // the heading of something else
        if line.contains("--BEGIN ") {
            return Part::End(line.to_owned());
        }
        if self.is_doubtful {
            return self.doubtful(line);
        }
        if is_header(line) {
            let long = runs(bytes, 0).filter(|run| run.len() >= PART && is_mixed(&bytes[run.clone()]));
            let hidden = without(line, long);
            return if hidden == line { Part::Neutral } else { Part::Body(hidden) };
        }
        let is_shown = line.contains(MARK);
        let core = core(bytes);
        let is_short = || self.missed == 0 && !self.is_encoded && is_bare(line, &core);
        if !is_shown && is_plain(&bytes[core.clone()]) && (core.len() >= PART || is_short()) {
            return self.body(core.len(), without(line, std::iter::once(core)));
        }
        let is_part = |run: &Range<usize>| {
            let word = &bytes[run.clone()];
            let is_last = run.end == core.end && word.ends_with(b"=") && word.len() > 2;
            let is_long = run.len() >= PART && (self.missed == 0 || run.len() == self.length || is_mixed(word));
            !self.is_encoded && (is_long || is_last && self.missed == 0)
        };
        let parts: Vec<Range<usize>> = runs(bytes, 0).filter(is_part).collect();
        let longest = parts.iter().map(Range::len).max();
        match longest {
            Some(longest) => self.body(longest, without(line, parts.into_iter())),
            None if is_shown => self.body(0, line.to_owned()),
            None if !bytes.iter().any(u8::is_ascii_alphanumeric) => Part::Neutral,
            None => Part::Other,
        }
    }

    /// A line that is perhaps one of a key's, as its heading may have come before all that was read. What looks like one is hidden; the key
    /// goes on only with lines of the same length.
    fn doubtful(&mut self, line: &str) -> Part {
        let bytes = line.as_bytes();
        let core = core(bytes);
        if line.len() > LONG {
            let end = stretch(bytes, core.start);
            let is_key = end - core.start >= WHOLE_LINE && is_mixed(&bytes[core.start..end]);
            return if is_key { Part::Body(without(line, std::iter::once(core.start..end))) } else { Part::Other };
        }
        if core.is_empty() {
            return Part::Neutral;
        }
        let last = runs(bytes, core.start).last();
        let Some(run) = last.filter(|run| run.end >= core.end && !is_public(bytes, run)) else { return Part::Other };
        let word = &bytes[run.clone()];
        let is_alike = run.len() == self.length && is_mixed(word);
        if run.len() >= WHOLE_LINE && (is_alike || is_random(word)) {
            // what is padded is the last line of a key, if it is one of a key's at all
            let goes_on = is_alike && !word.ends_with(b"=");
            self.is_likely |= goes_on;
            self.missed = if goes_on || self.length == 0 { 0 } else { self.missed + 1 };
            self.length = run.len();
        } else if self.is_last(line, &core, &run) {
            self.missed += 1;
        } else {
            return Part::Other;
        }
        Part::Body(without(line, std::iter::once(run)))
    }

    /// Whether `run`, with which `line` ends, is perhaps the last line of a doubtful key, which is shorter.
    fn is_last(&self, line: &str, core: &Range<usize>, run: &Range<usize>) -> bool {
        if self.length == 0 || line.contains(MARK) {
            return false;
        }
        let word = &line.as_bytes()[run.clone()];
        let is_next = self.missed == 0;
        let is_part = run.len() >= PART && is_mixed(word);
        let is_alone = run == core && is_bare(line, core) && (is_part || self.is_likely);
        let is_near = is_next || self.is_likely;
        is_next && is_alone || is_part && (word.ends_with(b"=") || is_near && is_random(word))
    }

    fn body(&mut self, length: usize, hidden: String) -> Part {
        self.length = self.length.max(length).max(1);
        self.missed = 0;
        Part::Body(hidden)
    }
}

/// The key that begins in `line` and does not end there, or does not in `shown`, which is what is left of it without other secrets.
fn begins(line: &str, shown: &str) -> Option<Open> {
    let has_dash = line.contains('-');
    // what ends the key may be hidden with a secret: then it begins in the line as it is shown
    let is_pem = has_dash && line.contains("BEGIN") && (begins_key(line) || begins_key(&redact_line(shown)));
    let is_putty = || has_dash && line.contains(PUTTY) && !PUTTY_END.iter().any(|end| line.contains(end));
    if is_pem || is_putty() {
        return Some(Open::default());
    }
    if line.len() < ENCODED_WORD {
        return None;
    }
    let last = last_run(line.as_bytes());
    let is_wrapped = (ENCODED_WORD..=ENCODED_LINE).contains(&last.len()) && is_encoded(&line.as_bytes()[last]);
    is_wrapped.then(|| Open { is_encoded: true, length: 1, ..Open::default() })
}

/// The last run of base64 in a line.
fn last_run(line: &[u8]) -> Range<usize> {
    let end = core_end(line, 0);
    end - line[..end].iter().rev().take_while(|byte| is_base64(**byte)).count()..end
}

/// Whether the last heading in `line` is one of a private key, and nothing ends that.
fn begins_key(line: &str) -> bool {
    let Some(begin) = line.rfind("BEGIN") else { return false };
    let dash = line[..begin].trim_end_matches(' ').len();
    let is_heading = line[..dash].ends_with('-') && heading(line.as_bytes(), dash - 1).is_some();
    is_heading && end(line.as_bytes(), begin) == line.len()
}

/// Where what ends a key begins.
fn ends(line: &str) -> Option<usize> {
    let end = end(line.as_bytes(), 0);
    if end < line.len() { Some(end) } else { PUTTY_END.iter().find_map(|end| line.find(end)) }
}

fn is_header(line: &str) -> bool {
    let is_name = |at: usize| !line[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
    line.contains(':') && HEADERS.iter().any(|header| line.find(header).is_some_and(is_name))
}

/// `line` without what of it can only stand around base64: quotes, bars, signs of a list, a diff or a mail, escapes.
fn core(line: &[u8]) -> Range<usize> {
    let mut start = 0;
    while line.get(start).is_some_and(|byte| !is_base64(*byte)) {
        start += escape(&line[start..]).max(1);
    }
    start..core_end(line, start)
}

fn core_end(line: &[u8], start: usize) -> usize {
    let mut end = line.len();
    while end > start {
        match line[start..end] {
            [.., b'\\', b'n' | b'r' | b't'] => end -= 2,
            [.., last] if is_base64(last) => break,
            _ => end -= 1,
        }
    }
    end
}

/// Whether all of `word` can be of a key, or of what PuTTY and OpenVPN write.
fn is_plain(word: &[u8]) -> bool {
    let is_letter = |byte: &u8| is_base64(*byte) || b"-_:,".contains(byte);
    word.iter().all(is_letter) && word.iter().any(u8::is_ascii_alphanumeric)
}

/// Whether nothing but quotes, bars and what ends an item stands around `core`.
fn is_bare(line: &str, core: &Range<usize>) -> bool {
    let is_sign = |byte: u8| b" \t\"'`,;.|>#*-\\nr".contains(&byte) || !byte.is_ascii();
    line.bytes().take(core.start).chain(line.bytes().skip(core.end)).all(is_sign)
}

fn without(line: &str, parts: impl Iterator<Item = Range<usize>>) -> String {
    let (mut out, mut at) = (String::with_capacity(line.len()), 0);
    for part in parts {
        out.push_str(&line[at..part.start]);
        out.push_str(MARK);
        at = part.end;
    }
    out.push_str(&line[at..]);
    out
}
