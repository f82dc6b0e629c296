//! One file: what is found in it, and what kept it from being searched.

use std::{
    cell::RefCell,
    collections::VecDeque,
    fs::File,
    io::{self, Cursor, ErrorKind, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::PathBuf,
};

use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkContext, SinkFinish, SinkMatch};
use rustix::fs::Stat;

use super::{
    Search,
    secrets::{Secrets, Text},
    stream::{BLOCK, LONGEST, Sequence, Stream, Trail},
};
use crate::{
    content::{Content, Cut, Encoding, Nature, Utf16},
    patience::Patience,
    resume::Line,
};

/// The longest line that is shown, in characters.
const SHOWN: usize = 300;

/// What is read again before the place where an earlier search stopped, so that a private key that began there is known as one, in bytes.
const RUN_UP: u64 = 64 << 10;

/// What has no end of a line in so many bytes is not gone on with.
const ENDLESS: u64 = 64 << 20;

/// A line of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub line: Line,
    /// Whether it is one that was looked for, or stands beside one.
    pub is_match: bool,
    pub text: String,
}

/// How the search of a file ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Ended {
    #[default]
    AtItsEnd,
    /// With as many lines as are wanted of one.
    Full,
    /// At a byte that no text has.
    Binary,
    /// It is compressed, and that was not to be looked through.
    Compressed,
    /// Before its end, for want of time. Where, if one can go on there.
    Late(Option<Line>),
    /// A compressed one ends too early or is not what its beginning says.
    Damaged,
    Unreadable,
    /// It is no file any more, or the server's own.
    Gone,
}

/// What came of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub path: PathBuf,
    pub lines: Vec<Shown>,
    /// How many there are, whether they are shown or not.
    pub count: u64,
    pub ended: Ended,
    pub bytes: u64,
    /// Lines that were not searched to their end.
    pub cut: u64,
}

/// What a thread needs to search files, one after the other.
#[derive(Debug)]
pub(super) struct Looker<'a> {
    search: &'a Search<'a>,
    patience: &'a Patience,
    searcher: Searcher,
    buffer: Vec<u8>,
}

impl<'a> Looker<'a> {
    pub(super) fn new(search: &'a Search<'a>, patience: &'a Patience) -> Self {
        let binary = if search.wanted.binary { BinaryDetection::none() } else { BinaryDetection::quit(0) };
        let searcher = SearcherBuilder::new()
            .binary_detection(binary)
            .bom_sniffing(false)
            .before_context(search.wanted.context)
            .after_context(search.wanted.context)
            // lines are cut before they are as long
            .heap_limit(Some(3 * LONGEST))
            .build();
        Self { search, patience, searcher, buffer: vec![0; BLOCK] }
    }

    /// Searches a file that has just been opened, after this line of it.
    pub(super) fn look(&mut self, file: File, stat: &Stat, after: Option<Line>) -> Outcome {
        self.try_look(file, stat, after).unwrap_or_else(|_| Outcome { ended: Ended::Unreadable, ..Outcome::default() })
    }

    fn try_look(&mut self, mut file: File, stat: &Stat, after: Option<Line>) -> io::Result<Outcome> {
        let (mut have, mut is_whole) = (0, false);
        while have < BLOCK {
            match file.read(&mut self.buffer[have..]) {
                Ok(0) => is_whole = true,
                Ok(read) => {
                    have += read;
                    // there is more only if it grows at this moment
                    is_whole = have < BLOCK && have as u64 == stat.st_size.unsigned_abs();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
            if is_whole {
                break;
            }
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = self.begun(file, &mut buffer[..have], is_whole, after);
        self.buffer = buffer;
        outcome
    }

    /// What begins with `head`, which is all of it or not.
    fn begun(&mut self, mut file: File, head: &mut [u8], is_whole: bool, after: Option<Line>) -> io::Result<Outcome> {
        if head.starts_with(&[0x1f, 0x8b, 8]) && !self.search.wanted.binary {
            if !self.search.wanted.gz {
                return Ok(Outcome { ended: Ended::Compressed, bytes: head.len() as u64, ..Outcome::default() });
            }
            file.seek(SeekFrom::Start(0))?;
            return self.compressed(Content::open(file, true, self.patience.clone())?, after);
        }
        if let (Nature::Text(encoding @ (Encoding::Utf16Le | Encoding::Utf16Be)), false) =
            (Nature::of(&head[..head.len().min(4)]), self.search.wanted.binary)
        {
            let content = Utf16::new(Cursor::new(&head[2..]).chain(file), encoding);
            return self.stream(content, Start { after, is_elsewhere: true, ..Start::default() }, None);
        }
        let mark = if head.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        if is_whole {
            return Ok(self.whole(&mut head[mark..], mark, after));
        }
        match after.filter(|line| line.end > BLOCK as u64) {
            Some(line) => {
                let start = Start::before(&mut file, line)?;
                self.stream(&file, start, Some(&file))
            }
            None => {
                let start = Start { after, offset: mark as u64, ..Start::default() };
                self.stream(Cursor::new(&head[mark..]).chain(&file), start, Some(&file))
            }
        }
    }

    fn compressed(&mut self, mut content: Content, after: Option<Line>) -> io::Result<Outcome> {
        let start = Start { after, is_elsewhere: true, ..Start::default() };
        let mut outcome = match content.nature() {
            Nature::Text(encoding @ (Encoding::Utf16Le | Encoding::Utf16Be)) => {
                let encoding = *encoding;
                content.read_exact(&mut [0; 2])?;
                self.stream(Utf16::new(&mut content, encoding), start, None)?
            }
            Nature::Text(_) | Nature::Binary(_) => self.stream(&mut content, start, None)?,
        };
        match content.cut() {
            Some(Cut::Late) => outcome.ended = Ended::Late(None),
            Some(Cut::Short | Cut::Damaged) if outcome.ended == Ended::AtItsEnd => outcome.ended = Ended::Damaged,
            Some(Cut::Short | Cut::Damaged) | None => (),
        }
        Ok(outcome)
    }

    /// Searches what is all there.
    fn whole(&mut self, bytes: &mut [u8], mark: usize, after: Option<Line>) -> Outcome {
        let plain = Sequence::default().strip(bytes);
        let is_changed = plain < bytes.len();
        let trail = RefCell::new(Trail::new((mark + bytes.len()) as u64, is_changed));
        let secrets = RefCell::new(Secrets::new(self.search.wanted.context));
        let bytes = &bytes[..plain];
        let start = Start { after, offset: mark as u64, ..Start::default() };
        let mut sieve = Sieve::new(self.search, &secrets, &trail, &start);
        sieve.past = Past::Whole(bytes);
        let searched = self.searcher.search_slice(self.search.wanted.needle.matcher(), bytes, &mut sieve);
        sieve.outcome(searched)
    }

    /// Searches what comes. What is a `file`'s own bytes can be read again.
    fn stream(&mut self, content: impl Read, start: Start, file: Option<&File>) -> io::Result<Outcome> {
        let trail = RefCell::new(Trail::new(0, start.is_elsewhere));
        let context = self.search.wanted.context;
        let secrets = if file.is_some() { Secrets::later(context) } else { Secrets::new(context) };
        let secrets = RefCell::new(secrets);
        let stream = Stream::new(content, self.patience, &secrets, &trail, self.search.longest());
        let mut sieve = Sieve::new(self.search, &secrets, &trail, &start);
        if let Some(file) = file {
            sieve.past = Past::File(file, self.patience);
        }
        let searched = self.searcher.search_reader(self.search.wanted.needle.matcher(), stream, &mut sieve);
        match &searched {
            Err(error) if error.kind() != ErrorKind::TimedOut => Err(io::Error::other(error.to_string())),
            _ => Ok(sieve.outcome(searched)),
        }
    }
}

/// Where in a file its search begins.
#[derive(Clone, Copy, Debug, Default)]
struct Start {
    /// The last line that an earlier search has looked at.
    after: Option<Line>,
    /// What of the file lies before, in bytes and in lines.
    offset: u64,
    lines: u64,
    /// What is searched is not the file's own bytes.
    is_elsewhere: bool,
}

impl Start {
    /// A little before the end of `after`, and always where a line begins: else half a secret could be asked for.
    fn before(file: &mut File, after: Line) -> io::Result<Self> {
        let from = after.end.saturating_sub(RUN_UP);
        let mut run_up = vec![0; (after.end - from) as usize];
        let begin = match file.read_exact_at(&mut run_up, from) {
            // one that has become shorter is another
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => None,
            read => {
                read?;
                run_up.ends_with(b"\n").then(|| memchr::memchr(b'\n', &run_up)).flatten()
            }
        };
        let start = match begin {
            Some(first) => {
                let offset = from + first as u64 + 1;
                let lines = memchr::memchr_iter(b'\n', &run_up[first + 1..]).count() as u64;
                Self { after: Some(after), offset, lines: after.number.saturating_sub(lines), is_elsewhere: false }
            }
            // from the beginning, then
            None => Self { after: Some(after), ..Self::default() },
        };
        file.seek(SeekFrom::Start(start.offset))?;
        Ok(start)
    }
}

/// What came before the first line that is looked at, and may say something of it.
#[derive(Clone, Copy, Debug)]
enum Past<'a> {
    /// It has been noted as it was read.
    Noted,
    /// All of the file.
    Whole(&'a [u8]),
    /// It is read once more, if there is time.
    File(&'a File, &'a Patience),
}

/// A file from some place on, whatever else reads it.
struct Again<'a>(&'a File, u64);

impl Read for Again<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read_at(buffer, self.1)?;
        self.1 += read as u64;
        Ok(read)
    }
}

/// Sifts what is found in one file.
struct Sieve<'a> {
    search: &'a Search<'a>,
    secrets: &'a RefCell<Secrets>,
    trail: &'a RefCell<Trail>,
    start: &'a Start,
    past: Past<'a>,
    lines: Vec<Shown>,
    count: u64,
    /// Lines that may come to stand before one that is found.
    before: VecDeque<Shown>,
    /// The last line that was found.
    last: Option<u64>,
    is_full: bool,
    is_binary: bool,
}

impl<'a> Sieve<'a> {
    fn new(search: &'a Search<'a>, secrets: &'a RefCell<Secrets>, trail: &'a RefCell<Trail>, start: &'a Start) -> Self {
        Self {
            search,
            secrets,
            trail,
            start,
            past: Past::Noted,
            lines: vec![],
            count: 0,
            before: VecDeque::new(),
            last: None,
            is_full: false,
            is_binary: false,
        }
    }

    /// The line that begins at `at` of what is searched.
    fn text<'line>(&mut self, at: u64, line: &'line [u8]) -> io::Result<Text<'line>> {
        match std::mem::replace(&mut self.past, Past::Noted) {
            Past::Noted => (),
            Past::Whole(whole) => self.secrets.borrow_mut().whole(whole),
            Past::File(file, patience) => {
                let secrets = self.again(file, patience)?;
                self.secrets.replace(secrets);
            }
        }
        Ok(self.secrets.borrow_mut().line(at, line))
    }

    /// Reads again what has been read, exactly as then.
    fn again(&self, file: &File, patience: &Patience) -> io::Result<Secrets> {
        let context = self.search.wanted.context;
        let is_beginning = self.start.lines == 0;
        let secrets = if is_beginning { Secrets::new(context) } else { Secrets::midway(context) };
        let secrets = RefCell::new(secrets);
        let trail = RefCell::new(Trail::new(0, false));
        let read = self.trail.borrow().read;
        let content = Again(file, self.start.offset).take(read);
        let mut stream = Stream::new(content, patience, &secrets, &trail, self.search.longest());
        let mut buffer = vec![0; BLOCK];
        while stream.read(&mut buffer)? > 0 {}
        if trail.borrow().read < read {
            // it has become shorter: nobody knows any more what was before this line
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(secrets.into_inner())
    }

    fn line(&self, number: Option<u64>, at: u64, length: usize) -> Line {
        let end = if self.trail.borrow().is_changed { 0 } else { self.start.offset + at + length as u64 };
        Line { number: self.start.lines + number.unwrap_or(0), end }
    }

    /// One that stands beside others, if it is one of those.
    fn beside(&mut self, line: Line, at: u64, text: &str) {
        let follows = self.last.is_some_and(|last| line.number <= last + self.search.wanted.context as u64);
        if self.search.wanted.context == 0 || self.search.wanted.counts {
            return;
        }
        let shown = Shown { line, is_match: false, text: self.shown(text, 0, at) };
        if follows {
            self.lines.push(shown);
        } else {
            if self.before.len() == self.search.wanted.context {
                self.before.pop_front();
            }
            self.before.push_back(shown);
        }
    }

    fn shown(&self, text: &str, place: usize, at: u64) -> String {
        let dropped = self.trail.borrow().dropped(at);
        // where it is cut nothing is taken away, or the figures would be wrong
        let shown = text::around(text, place, SHOWN, dropped);
        shown.trim().to_owned()
    }

    /// Whether no line is wanted any more. What stands behind the last one is.
    fn is_over(&mut self, number: u64) -> bool {
        // a page has at least what stands before the first line that was looked for, and that
        let first = || self.lines.iter().position(|line| line.is_match).map_or(usize::MAX, |at| at + 1);
        if self.lines.len() > self.search.wanted.rows && self.lines.len() > first() {
            return true;
        }
        self.is_full = self.count >= self.search.per_file as u64 && !self.search.wanted.counts;
        self.is_full && self.last.is_none_or(|last| number >= last + self.search.wanted.context as u64)
    }

    /// The last line that was looked at, if one can go on there and comes further.
    fn reached(&self, trail: &Trail) -> Option<Line> {
        let line = Line { number: self.start.lines + trail.lines, end: self.start.offset + trail.line_start };
        let begun = self.start.after.unwrap_or(Line { number: 0, end: 0 });
        let is_endless = line.number <= begun.number && trail.read > ENDLESS;
        (!trail.is_changed && !self.search.wanted.counts && !is_endless).then(|| line.max(begun))
    }

    fn outcome(self, searched: io::Result<()>) -> Outcome {
        let trail = self.trail.borrow();
        let ended = match searched {
            Ok(()) if self.is_binary => Ended::Binary,
            Ok(()) if self.is_full => Ended::Full,
            Ok(()) => Ended::AtItsEnd,
            Err(_) => Ended::Late(self.reached(&trail)),
        };
        Outcome { path: PathBuf::new(), lines: self.lines, count: self.count, ended, bytes: trail.read, cut: trail.cut }
    }
}

impl Sink for Sieve<'_> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> io::Result<bool> {
        let (at, bytes) = (found.absolute_byte_offset(), found.bytes());
        let line = self.line(found.line_number(), at, bytes.len());
        let raw = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let text = self.text(at, raw)?;
        let is_told = self.start.after.is_some_and(|after| line.number <= after.number);
        let place = self.search.wanted.needle.place(raw, &text).filter(|_| !is_told && !self.is_full);
        let Some(place) = place else {
            self.beside(line, at, text.shown());
            return Ok(!self.is_over(line.number));
        };
        self.count += 1;
        self.last = Some(line.number);
        if !self.search.wanted.counts {
            let first = line.number.saturating_sub(self.search.wanted.context as u64);
            let last_shown = self.lines.last().map_or(0, |shown| shown.line.number);
            let before = self.before.drain(..).filter(|one| one.line.number >= first && one.line.number > last_shown);
            self.lines.extend(before);
            let shown = self.shown(text.shown(), place, at);
            self.lines.push(Shown { line, is_match: true, text: shown });
        }
        Ok(!self.is_over(line.number))
    }

    fn context(&mut self, _: &Searcher, beside: &SinkContext<'_>) -> io::Result<bool> {
        let (at, bytes) = (beside.absolute_byte_offset(), beside.bytes());
        let line = self.line(beside.line_number(), at, bytes.len());
        let text = self.text(at, bytes.strip_suffix(b"\n").unwrap_or(bytes))?;
        self.beside(line, at, text.shown());
        Ok(!self.is_over(line.number))
    }

    fn finish(&mut self, _: &Searcher, finish: &SinkFinish) -> io::Result<()> {
        self.is_binary = finish.binary_byte_offset().is_some();
        Ok(())
    }
}
