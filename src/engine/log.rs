//! The log of a container, taken apart: bytes in, lines out.
//!
//! Asked for with `timestamps=1`, every entry begins with its time. Without a terminal each entry is a frame of its own: eight bytes (the
//! stream, three zeros, the length), then the entry. With one, the entries follow each other as they are. Which of both it is, the first
//! byte says: a time begins with a digit. A line longer than 16 KiB is several entries, all but the last without a line break, and all
//! of the same time.

use std::mem;

/// How much of a line is kept, in bytes; the rest is counted.
pub const LONGEST: usize = 64 << 10;

/// The longest entry that the Engine makes of a line, in bytes.
const ENTRY: usize = 16 << 10;

/// The longest time before an entry, in bytes, with its blank.
const TIME: usize = 40;

/// Where a line was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Standard output; all of it, where there is a terminal.
    Stdout,
    /// Standard error.
    Stderr,
    /// The Engine's own words, where it cannot read on.
    Engine,
}

/// One line, without its line break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Where it was written to.
    pub source: Source,
    /// When, as the Engine writes it; empty if it does not.
    pub time: &'a str,
    /// What was written, as far as it is kept.
    pub text: &'a [u8],
    /// How many bytes more it had.
    pub dropped: u64,
}

/// Takes a log apart, however it is cut into pieces. Holds less than 256 KiB.
#[derive(Debug, Default)]
pub struct Decoder {
    state: Expected,
    /// What has come of the present frame, or of the present line.
    entry: Piece,
    lines: [Pending; 3],
    entries: u64,
}

#[derive(Debug, Default)]
enum Expected {
    #[default]
    Start,
    Header {
        bytes: [u8; 8],
        have: usize,
    },
    Frame {
        source: u8,
        left: u32,
    },
    Plain,
}

/// Bytes, as far as they are kept.
#[derive(Debug, Default)]
struct Piece {
    kept: Vec<u8>,
    dropped: u64,
}

/// A line whose end has not come.
#[derive(Debug, Default)]
struct Pending {
    time: String,
    piece: Piece,
    begun: bool,
}

impl Decoder {
    /// How many entries have come.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Takes the next `bytes`, and gives each line that they end to `each`.
    pub fn feed(&mut self, mut bytes: &[u8], each: &mut impl FnMut(Line<'_>)) {
        while let Some(first) = bytes.first() {
            match &mut self.state {
                Expected::Start => {
                    self.state =
                        if *first <= 3 { Expected::Header { bytes: [0; 8], have: 0 } } else { Expected::Plain };
                }
                Expected::Header { bytes: header, have } => {
                    let taken = bytes.len().min(8 - *have);
                    header[*have..*have + taken].copy_from_slice(&bytes[..taken]);
                    *have += taken;
                    bytes = &bytes[taken..];
                    if *have == 8 {
                        let [source, _, _, _, length @ ..] = *header;
                        self.begin(source, u32::from_be_bytes(length), each);
                    }
                }
                Expected::Frame { source, left } => {
                    let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    let source = *source;
                    *left -= u32::try_from(taken).unwrap_or(*left);
                    let ended = *left == 0;
                    self.entry.push(&bytes[..taken]);
                    bytes = &bytes[taken..];
                    if ended {
                        self.frame(source, each);
                    }
                }
                Expected::Plain => match bytes.iter().position(|byte| *byte == b'\n') {
                    Some(at) => {
                        self.entry.push(&bytes[..at]);
                        self.plain(each);
                        bytes = &bytes[at + 1..];
                    }
                    None => {
                        self.entry.push(bytes);
                        return;
                    }
                },
            }
        }
    }

    /// Gives what is left when nothing more comes.
    pub fn finish(&mut self, each: &mut impl FnMut(Line<'_>)) {
        if matches!(self.state, Expected::Plain) && !self.entry.is_empty() {
            self.plain(each);
        }
        for source in [Source::Stdout, Source::Stderr, Source::Engine] {
            self.end(source, each);
        }
    }

    fn begin(&mut self, source: u8, length: u32, each: &mut impl FnMut(Line<'_>)) {
        self.state = Expected::Frame { source, left: length };
        if length == 0 {
            self.frame(source, each);
        }
    }

    /// A frame is whole: one entry, which ends its line if it ends in a line break.
    fn frame(&mut self, source: u8, each: &mut impl FnMut(Line<'_>)) {
        self.state = Expected::Header { bytes: [0; 8], have: 0 };
        self.entries += 1;
        let entry = mem::take(&mut self.entry);
        let source = match source {
            2 => Source::Stderr,
            3 => Source::Engine,
            _ => Source::Stdout,
        };
        let (time, text) = timed(&entry.kept);
        let pending = &mut self.lines[source as usize];
        // what had no line break before was a line all the same, unless this goes on with it
        if pending.begun && pending.time != time {
            self.end(source, each);
        }
        // one that was cut has lost its line break with the rest
        let whole = entry.dropped == 0;
        let mut parts = text.split(|byte| *byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            if last && part.is_empty() && whole {
                break;
            }
            let pending = &mut self.lines[source as usize];
            if !pending.begun {
                pending.begun = true;
                pending.time.clear();
                pending.time.push_str(time);
            }
            pending.piece.push(part);
            if last {
                pending.piece.dropped += entry.dropped;
            }
            if !last || !whole {
                self.end(source, each);
            }
        }
        // its room serves the next
        self.entry = entry.emptied();
    }

    fn end(&mut self, source: Source, each: &mut impl FnMut(Line<'_>)) {
        let pending = &mut self.lines[source as usize];
        if mem::take(&mut pending.begun) {
            let Pending { time, piece, .. } = pending;
            each(Line { source, time, text: &piece.kept, dropped: piece.dropped });
            pending.piece = mem::take(&mut pending.piece).emptied();
        }
    }

    /// A line is whole where entries follow each other as they are.
    fn plain(&mut self, each: &mut impl FnMut(Line<'_>)) {
        let entry = mem::take(&mut self.entry);
        let (time, text) = timed(&entry.kept);
        let stamp = entry.kept.len() - text.len();
        let all = entry.kept.len() as u64 + entry.dropped;
        let again = &entry.kept[..stamp];
        // each further entry of a line has the line's time before it
        let mut joined = Vec::new();
        let mut rest = text;
        while stamp > 0 && rest.len() >= ENTRY + stamp && rest[ENTRY..].starts_with(again) {
            joined.extend_from_slice(&rest[..ENTRY]);
            rest = &rest[ENTRY + stamp..];
        }
        let mut dropped = entry.dropped;
        if joined.is_empty() {
            self.entries += 1;
        } else {
            joined.extend_from_slice(rest);
            let entries = all.div_ceil((ENTRY + stamp) as u64);
            self.entries += entries;
            dropped = (all - entries * stamp as u64).saturating_sub(joined.len() as u64);
        }
        let text = if joined.is_empty() { text } else { &joined };
        each(Line { source: Source::Stdout, time, text, dropped });
        self.entry = entry.emptied();
    }
}

impl Piece {
    fn push(&mut self, bytes: &[u8]) {
        let room = (LONGEST + TIME).saturating_sub(self.kept.len()).min(bytes.len());
        self.kept.extend_from_slice(&bytes[..room]);
        self.dropped += (bytes.len() - room) as u64;
    }

    fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    fn emptied(mut self) -> Self {
        self.kept.clear();
        self.dropped = 0;
        self
    }
}

/// The time before an entry, and the rest.
fn timed(entry: &[u8]) -> (&str, &[u8]) {
    let end = entry.iter().take(TIME).position(|byte| matches!(byte, b' ' | b'\n'));
    let time = end.and_then(|end| str::from_utf8(&entry[..end]).ok()).filter(|time| {
        time.len() >= "2026-11-25T23:00:00Z".len()
            && time.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b':' | b'.' | b'+' | b'T' | b'Z'))
    });
    match time {
        Some(time) => (time, entry.get(time.len() + 1..).unwrap_or_default()),
        None => ("", entry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "2026-11-25T23:00:00.000000001Z";
    const LATER: &str = "2026-11-25T23:00:01.000000001Z";

    fn frame(source: u8, entry: impl AsRef<[u8]>) -> Vec<u8> {
        let entry = entry.as_ref();
        let length = u32::try_from(entry.len()).unwrap().to_be_bytes();
        [&[source, 0, 0, 0][..], &length, entry].concat()
    }

    type Told = (Source, String, Vec<u8>, u64);

    /// The lines of a log that comes in pieces of this many bytes.
    fn lines_in(log: &[u8], pieces: usize) -> (Vec<Told>, u64) {
        let mut told = vec![];
        let mut each =
            |line: Line<'_>| told.push((line.source, line.time.to_owned(), line.text.to_vec(), line.dropped));
        let mut decoder = Decoder::default();
        for piece in log.chunks(pieces) {
            decoder.feed(piece, &mut each);
        }
        decoder.finish(&mut each);
        (told, decoder.entries())
    }

    /// The same, which must not depend on the pieces.
    fn lines(log: &[u8]) -> (Vec<Told>, u64) {
        let whole = lines_in(log, usize::MAX);
        for pieces in [1, 7, 8, 9, 4096] {
            assert!(lines_in(log, pieces) == whole, "{pieces}");
        }
        whole
    }

    fn line(source: Source, time: &str, text: impl AsRef<[u8]>) -> Told {
        (source, time.to_owned(), text.as_ref().to_vec(), 0)
    }

    #[test]
    fn frames_are_lines_of_their_stream() {
        let log = [
            frame(1, format!("{AT} one\n")),
            frame(2, format!("{AT} \n")),
            frame(1, format!("{AT}  two \n")),
            frame(3, "Error grabbing logs: EOF\n"),
        ]
        .concat();
        let expected = vec![
            line(Source::Stdout, AT, "one"),
            line(Source::Stderr, AT, ""),
            line(Source::Stdout, AT, " two "),
            line(Source::Engine, "", "Error grabbing logs: EOF"),
        ];
        assert_eq!(lines(&log), (expected, 4));
    }

    #[test]
    fn a_long_line_is_put_together_though_the_other_stream_is_in_between() {
        let (a, b) = ("a".repeat(ENTRY), "b".repeat(ENTRY));
        let log = [
            frame(1, format!("{AT} {a}")),
            frame(2, format!("{AT} error\n")),
            frame(1, format!("{AT} {b}")),
            frame(1, format!("{AT} c\n")),
        ]
        .concat();
        let expected = vec![line(Source::Stderr, AT, "error"), line(Source::Stdout, AT, a + &b + "c")];
        assert!(lines(&log) == (expected, 4));
    }

    #[test]
    fn a_line_without_its_end_ends_where_another_time_begins() {
        let log =
            [frame(1, format!("{AT} $ ")), frame(1, format!("{LATER} next\n")), frame(1, format!("{LATER} last"))];
        let expected = vec![
            line(Source::Stdout, AT, "$ "),
            line(Source::Stdout, LATER, "next"),
            line(Source::Stdout, LATER, "last"),
        ];
        assert_eq!(lines(&log.concat()), (expected, 3));
    }

    #[test]
    fn a_terminals_log_has_no_frames_and_its_long_lines_have_their_time_in_between() {
        let a = "a".repeat(ENTRY);
        let log = format!("{AT} one\r\n{AT} {a}{AT} {a}{AT} b\n{AT} \n{LATER} no end");
        let expected = vec![
            line(Source::Stdout, AT, "one\r"),
            line(Source::Stdout, AT, format!("{a}{a}b")),
            line(Source::Stdout, AT, ""),
            line(Source::Stdout, LATER, "no end"),
        ];
        assert!(lines(log.as_bytes()) == (expected, 6));
    }

    #[test]
    fn of_a_line_without_measure_the_beginning_is_kept_and_the_rest_counted() {
        let parts = 64;
        let entry = format!("{AT} {}", "x".repeat(ENTRY));
        let last = frame(1, format!("{AT} end\n"));
        let log = [frame(1, entry.as_bytes()).repeat(parts), last].concat();
        let (told, entries) = lines_in(&log, 65_536);
        assert_eq!((told.len(), entries), (1, parts as u64 + 1));
        assert_eq!(told[0].2.len() as u64 + told[0].3, (ENTRY * parts + 3) as u64);
        assert!(told[0].2.len() <= LONGEST + TIME);
        // the same behind a terminal
        let (told, entries) = lines_in((entry.repeat(parts) + "\n").as_bytes(), 65_536);
        assert_eq!((told.len(), entries), (1, parts as u64));
        assert!(told[0].2.iter().all(|byte| *byte == b'x'));
        assert_eq!(told[0].2.len() as u64 + told[0].3, (ENTRY * parts) as u64);
        // and one frame that is longer than any
        let (told, _) = lines_in(&frame(1, format!("{AT} {}\n", "y".repeat(1 << 20))), 65_536);
        assert_eq!(told.len(), 1);
        assert!(told[0].2.len() as u64 + told[0].3 >= 1 << 20);
    }

    #[test]
    fn garbage_is_lines_too() {
        let (told, _) = lines(b"no time\nnor here\n");
        assert_eq!(told, [line(Source::Stdout, "", "no time"), line(Source::Stdout, "", "nor here")]);
        // a frame that says it is 4 GiB long, and ends
        assert_eq!(lines(&[1, 0, 0, 0, 255, 255, 255, 255, b'x']).0, []);
        assert_eq!(lines(&[]).0, []);
        assert_eq!(lines(&frame(1, "")).0, []);
        assert_eq!(lines(&frame(1, format!("{AT} \u{0}\u{1}"))).0, [line(Source::Stdout, AT, "\u{0}\u{1}")]);
    }
}
