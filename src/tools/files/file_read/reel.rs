//! A text read once from its beginning, line for line, in the memory of two blocks.

use std::io::{self, Read};

/// What is read at a time, in bytes.
const BLOCK: usize = 64 << 10;

/// What is kept of a line, in bytes: more than is shown, so that a secret at the end of that is known as one.
pub(super) const KEPT: usize = 64 << 10;

/// A reader with what it has just read.
#[derive(Debug)]
pub(super) struct Reel<R> {
    reader: R,
    before: Vec<u8>,
    block: Vec<u8>,
    at: usize,
    /// Line breaks so far.
    pub breaks: u64,
    /// Bytes so far.
    pub bytes: u64,
    /// The last byte was a line break, or there was none.
    pub is_at_begin: bool,
}

impl<R: Read> Reel<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, before: vec![], block: vec![], at: 0, breaks: 0, bytes: 0, is_at_begin: true }
    }

    pub(super) fn reader(&self) -> &R {
        &self.reader
    }

    /// Goes past so many line breaks. `false`: there are not so many.
    pub(super) fn skip(&mut self, mut lines: u64) -> io::Result<bool> {
        while lines > 0 {
            if self.at == self.block.len() && !self.fill()? {
                return Ok(false);
            }
            let rest = &self.block[self.at..];
            let breaks = count(rest);
            if breaks < lines {
                lines -= breaks;
                self.pass(rest.len(), breaks);
                continue;
            }
            // the break that is meant is in this block
            let place = rest.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
            let place = place.map(|(place, _)| place).nth(usize::try_from(lines - 1).unwrap_or(usize::MAX));
            self.pass(place.map_or(rest.len(), |place| place + 1), lines);
            lines = 0;
        }
        Ok(true)
    }

    /// What stands before, from the beginning of a line on, as far as a block.
    pub(super) fn run_up(&self) -> Vec<u8> {
        let all = [&self.before, &self.block[..self.at]].concat();
        if all.len() as u64 == self.bytes && all.len() <= BLOCK {
            return all;
        }
        let near = &all[all.len().saturating_sub(BLOCK)..];
        let begin = near.iter().position(|byte| *byte == b'\n').map_or(near.len(), |place| place + 1);
        near[begin..].to_vec()
    }

    /// The next line, as far as it is kept, without its break; how long it is, without that, too. `None`: there is none.
    pub(super) fn line(&mut self, line: &mut Vec<u8>) -> io::Result<Option<u64>> {
        line.clear();
        let mut length = 0;
        loop {
            if self.at == self.block.len() && !self.fill()? {
                return Ok((length > 0).then_some(length));
            }
            let rest = &self.block[self.at..];
            let end = rest.iter().position(|byte| *byte == b'\n');
            let part = &rest[..end.unwrap_or(rest.len())];
            line.extend_from_slice(&part[..part.len().min(KEPT - line.len())]);
            length += part.len() as u64;
            self.pass(part.len() + usize::from(end.is_some()), u64::from(end.is_some()));
            if end.is_some() {
                return Ok(Some(length));
            }
        }
    }

    /// Goes to the end, if it is no further than so many bytes. Whether it came there.
    pub(super) fn finish(&mut self, most: u64) -> io::Result<bool> {
        let end = self.bytes.saturating_add(most);
        loop {
            let rest = &self.block[self.at..];
            self.pass(rest.len(), count(rest));
            if self.bytes > end {
                return Ok(false);
            }
            if !self.fill()? {
                return Ok(true);
            }
        }
    }

    /// What is read next, line for line or not. `None`: there is none.
    pub(super) fn block(&mut self) -> io::Result<Option<&[u8]>> {
        if self.at == self.block.len() && !self.fill()? {
            return Ok(None);
        }
        let begin = self.at;
        let rest = &self.block[begin..];
        self.pass(rest.len(), count(rest));
        Ok(Some(&self.block[begin..]))
    }

    fn pass(&mut self, bytes: usize, breaks: u64) {
        if let Some(last) = self.block[self.at..self.at + bytes].last() {
            self.is_at_begin = *last == b'\n';
        }
        self.at += bytes;
        self.bytes += bytes as u64;
        self.breaks += breaks;
    }

    /// A whole block, unless the end comes before.
    fn fill(&mut self) -> io::Result<bool> {
        std::mem::swap(&mut self.before, &mut self.block);
        self.block.clear();
        self.at = 0;
        (&mut self.reader).take(BLOCK as u64).read_to_end(&mut self.block)?;
        if self.block.is_empty() {
            // what was read before stays what was read last
            std::mem::swap(&mut self.before, &mut self.block);
            self.at = self.block.len();
        }
        Ok(self.at < self.block.len())
    }
}

/// Line breaks in these bytes.
pub(super) fn count(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_and_in_order_over_blocks() {
        let text: String = (1..=20_000).map(|n| format!("line {n}\n")).collect();
        let mut reel = Reel::new(text.as_bytes());
        let mut line = vec![];
        assert!(reel.skip(9_999).unwrap());
        assert_eq!(reel.line(&mut line).unwrap(), Some(10));
        assert_eq!((line.as_slice(), reel.breaks), (&b"line 10000"[..], 10_000));
        assert!(reel.is_at_begin && reel.finish(u64::MAX).unwrap());
        assert_eq!((reel.breaks, reel.bytes), (20_000, text.len() as u64));
        assert_eq!((reel.line(&mut line).unwrap(), reel.skip(1).unwrap()), (None, false));
    }

    #[test]
    fn what_stands_before_is_there_from_the_beginning_of_a_line_on() {
        let text: String = (1..=50_000).map(|n| format!("line {n}\n")).collect();
        for skipped in [1, 5_000, 7_000, 40_000] {
            let mut reel = Reel::new(text.as_bytes());
            assert!(reel.skip(skipped).unwrap());
            let before = String::from_utf8(reel.run_up()).unwrap();
            assert!(before.ends_with(&format!("line {skipped}\n")) && before.starts_with("line "), "{skipped}");
            let all: usize = text.lines().take(skipped as usize).map(|line| line.len() + 1).sum();
            assert!(before.len() == all || before.len() > BLOCK - 20 && before.len() <= BLOCK, "{}", before.len());
        }
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let mut reel = Reel::new(io::repeat(b'a').take(10 << 20).chain(&b"\nb"[..]));
        let mut line = vec![];
        assert_eq!(reel.line(&mut line).unwrap(), Some(10 << 20));
        assert_eq!((line.len(), line.capacity() <= 2 * KEPT), (KEPT, true));
        assert_eq!(reel.line(&mut line).unwrap(), Some(1));
        assert_eq!((reel.line(&mut line).unwrap(), reel.is_at_begin), (None, false));
        let mut reel = Reel::new(&b""[..]);
        assert_eq!((reel.line(&mut line).unwrap(), reel.finish(0).unwrap(), reel.is_at_begin), (None, true, true));
    }
}
