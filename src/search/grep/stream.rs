//! The bytes of a file as they are searched: in blocks, without the sequences that colour a terminal, and with no line that is longer than
//! there is room for.

use std::{
    cell::RefCell,
    io::{self, Read},
};

use super::secrets::Secrets;
use crate::patience::Patience;

/// What is read at a time, in bytes.
pub(super) const BLOCK: usize = 64 << 10;

/// The longest line that is searched to its end, in bytes.
pub(super) const LONGEST: usize = 1 << 20;

/// Cut lines that are remembered: those that can still be asked for.
const CUTS: usize = 64;

/// How a file was read so far.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// Bytes read of the content.
    pub read: u64,
    /// Lines that have been read to their end, and where the next begins.
    pub lines: u64,
    pub line_start: u64,
    /// Whether something was left out, so that places are no more those in the file.
    pub is_changed: bool,
    /// Lines that were cut.
    pub cut: u64,
    /// Where they begin in what is searched, and how much of them is left out.
    cuts: std::collections::VecDeque<(u64, u64)>,
    /// What has been given to be searched.
    given: u64,
}

impl Trail {
    /// Of so many bytes that have been read already.
    pub(super) fn new(read: u64, is_changed: bool) -> Self {
        Self { read, is_changed, ..Self::default() }
    }

    /// What was left out of the line that begins there, in bytes.
    pub(super) fn dropped(&self, at: u64) -> u64 {
        self.cuts.iter().find(|(start, _)| *start == at).map_or(0, |(_, dropped)| *dropped)
    }
}

/// A content on its way to be searched.
#[derive(Debug)]
pub(super) struct Stream<'a, R> {
    content: R,
    patience: &'a Patience,
    secrets: &'a RefCell<Secrets>,
    trail: &'a RefCell<Trail>,
    sequence: Sequence,
    /// How long a line may be.
    longest: usize,
    /// How long the line is that has begun, and what was left out of it.
    length: usize,
    dropped: u64,
}

impl<'a, R: Read> Stream<'a, R> {
    pub(super) fn new(
        content: R,
        patience: &'a Patience,
        secrets: &'a RefCell<Secrets>,
        trail: &'a RefCell<Trail>,
        longest: usize,
    ) -> Self {
        Self { content, patience, secrets, trail, sequence: Sequence::None, longest, length: 0, dropped: 0 }
    }

    /// Cuts the lines of `block`, and says how much of it is left.
    fn cut(&mut self, block: &mut [u8], trail: &mut Trail) -> usize {
        let count = memchr::memchr_iter(b'\n', block).count() as u64;
        if self.length + block.len() <= self.longest {
            match memchr::memrchr(b'\n', block) {
                None => self.length += block.len(),
                Some(end) => {
                    trail.line_start = trail.given + end as u64 + 1;
                    self.length = block.len() - end - 1;
                }
            }
            trail.lines += count;
            return block.len();
        }
        let (mut from, mut to) = (0, 0);
        while from < block.len() {
            let end = memchr::memchr(b'\n', &block[from..]).map(|end| from + end);
            let whole = end.unwrap_or(block.len()) - from;
            let kept = whole.min(self.longest.saturating_sub(self.length));
            block.copy_within(from..from + kept, to);
            to += kept;
            self.length += kept;
            self.dropped += (whole - kept) as u64;
            from += whole;
            if end.is_some() {
                block[to] = b'\n';
                (to, from) = (to + 1, from + 1);
                self.end_line(trail);
                (trail.lines, trail.line_start) = (trail.lines + 1, trail.given + to as u64);
            }
        }
        to
    }

    fn end_line(&mut self, trail: &mut Trail) {
        if self.dropped > 0 {
            trail.is_changed = true;
            trail.cut += 1;
            if trail.cuts.len() == CUTS {
                trail.cuts.pop_front();
            }
            trail.cuts.push_back((trail.line_start, self.dropped));
        }
        (self.length, self.dropped) = (0, 0);
    }
}

impl<R: Read> Read for Stream<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(BLOCK);
        loop {
            // an end would make half a line a whole one
            if self.patience.is_over() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let read = match self.content.read(&mut buffer[..most]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            let (cell, secrets) = (self.trail, self.secrets);
            let mut trail = cell.borrow_mut();
            if read == 0 {
                // a decoder that was out of time has come to no end
                if self.patience.is_over() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                self.end_line(&mut trail);
                return Ok(0);
            }
            trail.read += read as u64;
            let plain = self.sequence.strip(&mut buffer[..read]);
            trail.is_changed |= plain < read;
            let given = self.cut(&mut buffer[..plain], &mut trail);
            if given > 0 {
                trail.given += given as u64;
                secrets.borrow_mut().read(&buffer[..given]);
                return Ok(given);
            }
        }
    }
}

/// Where in a terminal sequence the bytes are. They are left out before the search, as they are when the line is shown: what is coloured is
/// found by its words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sequence {
    #[default]
    None,
    /// After ESC.
    Begun,
    /// After `ESC [`.
    Control,
    /// In a string that BEL or `ESC \` ends.
    String,
}

impl Sequence {
    /// Leaves sequences out of `block`, and says how much is left. A line ends them.
    pub(super) fn strip(&mut self, block: &mut [u8]) -> usize {
        const ESCAPE: u8 = 0x1b;
        let begin = match *self {
            Self::None => match memchr::memchr(ESCAPE, block) {
                None => return block.len(),
                Some(first) => first,
            },
            _ => 0,
        };
        let mut to = begin;
        for from in begin..block.len() {
            let byte = block[from];
            *self = match (*self, byte) {
                (_, b'\n') | (Self::None, _) if byte != ESCAPE => {
                    block[to] = byte;
                    to += 1;
                    Self::None
                }
                (_, ESCAPE) => Self::Begun,
                (Self::Begun, b'[') => Self::Control,
                (Self::Begun, b']' | b'P' | b'X' | b'^' | b'_') => Self::String,
                // what chooses letters has more to come
                (Self::Begun, 0x20..=0x2f) => Self::Begun,
                (Self::Control, 0x20..=0x3f) => Self::Control,
                (Self::String, 0x07) => Self::None,
                (Self::String, _) => Self::String,
                _ => Self::None,
            };
        }
        to
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::*;

    fn read(content: &[u8], size: usize) -> (Vec<u8>, Trail) {
        let patience = Patience::of(Duration::from_secs(60), &CancellationToken::new());
        let (secrets, trail) = (RefCell::new(Secrets::new(0)), RefCell::default());
        let mut stream = Stream::new(content, &patience, &secrets, &trail, LONGEST);
        let (mut all, mut buffer) = (vec![], vec![0; size]);
        loop {
            match stream.read(&mut buffer).unwrap() {
                0 => break,
                read => all.extend_from_slice(&buffer[..read]),
            }
        }
        (all, trail.into_inner())
    }

    #[test]
    fn what_colours_a_terminal_is_left_out_as_it_is_when_a_line_is_shown() {
        for line in [
            "\u{1b}[31mred\u{1b}[0m and \u{1b}[1;38;5;200mbold\u{1b}[m",
            "\u{1b}]8;;http://x/\u{7}link\u{1b}]8;;\u{7}",
            "\u{1b}]0;title\u{1b}\\text",
            "\u{1b}(Btext\u{1b}=",
            "plain",
            "\u{1b}[31",
            "größe \u{1b}[2Kx",
        ] {
            for size in [1, 2, 3, 100] {
                let (all, trail) = read(format!("{line}\nnext\n").as_bytes(), size);
                assert_eq!(
                    String::from_utf8(all).unwrap(),
                    format!("{}\nnext\n", redact::clean(line, 100)),
                    "{line:?} {size}"
                );
                assert_eq!((trail.lines, trail.is_changed), (2, line != "plain"), "{line:?}");
            }
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_what_is_left_out_is_known() {
        let long = |length: usize| format!("{}\n", "x".repeat(length));
        let content = [long(5), long(LONGEST + 7), long(LONGEST), long(3 * LONGEST), "end".to_owned()].concat();
        for size in [1000, BLOCK, 10 * BLOCK] {
            let (all, trail) = read(content.as_bytes(), size);
            let lengths: Vec<usize> = all.split(|byte| *byte == b'\n').map(<[u8]>::len).collect();
            assert_eq!(lengths, [5, LONGEST, LONGEST, LONGEST, 3]);
            assert_eq!((trail.cut, trail.lines, trail.read), (2, 4, content.len() as u64));
            let third = 6 + 2 * (LONGEST as u64 + 1);
            assert_eq!((trail.dropped(6), trail.dropped(third)), (7, 2 * LONGEST as u64));
            assert_eq!(trail.dropped(0), 0);
        }
    }

    #[test]
    fn places_are_those_of_the_file_where_nothing_was_left_out() {
        let (_, trail) = read(b"one\ntwo\nthree", 4);
        assert_eq!((trail.lines, trail.line_start, trail.is_changed), (2, 8, false));
    }
}
