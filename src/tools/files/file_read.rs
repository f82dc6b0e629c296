//! What does a file say?

mod reel;
mod shown;

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    time::Duration,
};

use rustix::fs::{Stat, fstat};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{
    reel::Reel,
    shown::{Changes, Part, Shown},
};
use super::{patience, stat::time};
use crate::tool::{Tool, Turn};
use jail::{Found, Jail};
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::scope::Scope;
use search::{
    content::{Compression, Content, Encoding, HEAD, Nature, Utf16},
    patience::Patience,
};
use text::table::Table;

/// Lines unless the caller says otherwise, around one, and at most.
const LINES: u64 = 200;
const AROUND: u64 = 40;
const MOST_LINES: u64 = 2_000;

/// Bytes unless the caller says otherwise, and at most.
const BYTES: u64 = 8 << 10;
const MOST_BYTES: u64 = 64 << 10;

/// No file is longer.
const MOST_OFFSET: u64 = 1 << 62;

/// What the lines may cost together, in tokens, when the caller does not say how many.
const USUAL_TOKENS: usize = 6_000;
/// And when it does: both forms of the answer stay below what any answer may have.
const MOST_TOKENS: usize = 20_000;
/// What a row costs beside its text.
const ROW_TOKENS: usize = 10;

/// How long a file is read.
const READ_FOR: Duration = Duration::from_secs(8);

/// How far before what is shown secrets are looked for that go on into it, in bytes, and how far behind.
const RUN_UP: u64 = 64 << 10;
const RUN_OUT: u64 = 4 << 10;

/// How much of its end is looked at for the last lines: first, and then.
const TAILS: [u64; 2] = [128 << 10, 1 << 20];

/// A long line, in bytes: few are longer.
const USUAL_LINE: u64 = 512;

/// How the rest of a line is had.
const ENDS: &str = "the ends of long lines: offset and bytes read within a line";

/// How much is read, in bytes, only to count lines.
const COUNTED: u64 = 32 << 20;

/// A text file: the first 200 lines, or those asked for by one of line, around, tail, or offset in bytes. Gzip is read through. Secrets are
/// redacted. What is no text is described.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileRead {
    /// Absolute.
    path: String,
    /// The first line, from 1.
    #[schemars(range(min = 1))]
    line: Option<u64>,
    /// How many: 200 by default (fewer if they are long), 2000 at most.
    #[schemars(range(min = 1, max = 2000))]
    lines: Option<u64>,
    /// This line and what stands before and behind it.
    #[schemars(range(min = 1))]
    around: Option<u64>,
    /// The first lines: how many.
    #[schemars(range(min = 1, max = 2000))]
    head: Option<u64>,
    /// The last lines: how many.
    #[schemars(range(min = 1, max = 2000))]
    tail: Option<u64>,
    /// The first byte, from 0, for what has long lines.
    offset: Option<u64>,
    /// How many: 8192 by default, 65536 at most.
    #[schemars(range(min = 1, max = 65536))]
    bytes: Option<u64>,
    /// False: what is compressed is described and not read through.
    decompress: Option<bool>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// Without links in it.
    pub path: String,
    /// Of the file as it is stored.
    pub size_bytes: u64,
    /// RFC 3339, UTC.
    pub modified: Option<String>,
    /// Null: it is no text.
    pub encoding: Option<Encoding>,
    /// Of a text that is stored compressed.
    pub compression: Option<Compression>,
    /// What it is that is no text.
    pub binary: Option<String>,
    /// Lines of the whole text, if they were counted.
    pub lines: Option<u64>,
    /// Whether the text ends with a line break; null: its end was not read.
    pub final_newline: Option<bool>,
    /// What was done to the lines here; null: nothing.
    pub changes: Option<Changes>,
    /// What became of the file while it was read; null: nothing.
    pub meanwhile: Option<String>,
    /// What is not here, why, and how to have it; null: everything asked for is here.
    pub left_out: Option<String>,
    pub text: Text,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Text {
    Lines(Table<Line>),
    Pieces(Table<Piece>),
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Line {
    /// From 1; negative: counted from the end, the last is -1.
    pub line: i64,
    pub text: String,
}

/// A line, or a part of one that is long.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Piece {
    /// Where it begins; null: within a line that is not shown as it is.
    pub offset: Option<u64>,
    pub text: String,
}

impl Tool for FileRead {
    const NAME: &'static str = "file_read";
    const TITLE: &'static str = "What a file says";
    const SCOPE: Scope = Scope::FilesRead;
    const LANE: Lane = Lane::Files;
    const UNTRUSTED: Option<&'static str> = Some("path, text");
    const AUDITED: &'static [&'static str] =
        &["path", "line", "lines", "around", "head", "tail", "offset", "bytes", "decompress"];
    type Output = Report;

    async fn run(self, turn: &Turn) -> Result<Report, Failure> {
        let (wanted, jail) = (self.check()?, turn.jail(Self::SCOPE, None));
        patience::read(turn, READ_FOR, move |_, patience| read(&jail, &wanted, patience)).await
    }
}

/// What is asked for, checked.
#[derive(Debug)]
struct Wanted {
    path: String,
    part: Wish,
    decompress: bool,
    tokens: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// From this line on, so many.
    Lines(u64, u64),
    Tail(u64),
    /// From this byte on, so many.
    Bytes(u64, u64),
}

impl FileRead {
    fn check(self) -> Result<Wanted, Failure> {
        let within = |name: &str, number: Option<u64>, most: u64| match number {
            Some(number) if !(1..=most).contains(&number) => {
                Err(Failure::Invalid(format!("{name} is a number from 1 to {most}")))
            }
            _ => Ok(()),
        };
        within("lines", self.lines, MOST_LINES)?;
        within("head", self.head, MOST_LINES)?;
        within("tail", self.tail, MOST_LINES)?;
        within("bytes", self.bytes, MOST_BYTES)?;
        within("line", self.line, u64::MAX)?;
        within("around", self.around, u64::MAX)?;
        if self.offset.is_some_and(|offset| offset > MOST_OFFSET) {
            return Err(Failure::Invalid(format!("offset is a number up to {MOST_OFFSET}")));
        }
        let ways = [self.line, self.around, self.head, self.tail, self.offset.or(self.bytes)];
        if ways.iter().flatten().count() > 1 {
            return Err(Failure::Invalid("only one of line, around, head, tail and offset says what to read".into()));
        }
        let by_lines = self.line.or(self.around).is_some() || ways.iter().all(Option::is_none);
        if self.lines.is_some() && !by_lines {
            return Err(Failure::Invalid("lines is for line and around".into()));
        }
        let said = self.lines.or(self.head).or(self.tail).or(self.bytes);
        let part = if let Some(tail) = self.tail {
            Wish::Tail(tail)
        } else if let Some(line) = self.around {
            let lines = self.lines.unwrap_or(AROUND + 1);
            Wish::Lines(line.saturating_sub(lines / 2).max(1), lines)
        } else if self.offset.or(self.bytes).is_some() {
            Wish::Bytes(self.offset.unwrap_or(0), self.bytes.unwrap_or(BYTES))
        } else {
            Wish::Lines(self.line.unwrap_or(1), self.head.or(self.lines).unwrap_or(LINES))
        };
        let tokens = if said.is_some() { MOST_TOKENS } else { USUAL_TOKENS };
        Ok(Wanted { path: self.path, part, decompress: self.decompress.unwrap_or(true), tokens })
    }
}

fn read(jail: &Jail, wanted: &Wanted, patience: &Patience) -> Result<Report, Failure> {
    let found = jail.find(&wanted.path)?;
    let file = found.open()?;
    let failed = |error: io::Error| failure(&found, &error);
    // what is asked later of the same file
    let same = file.try_clone().map_err(failed)?;
    let before = fstat(&same).map_err(|error| found.failure(error))?;
    let content = Content::open(file, wanted.decompress, patience.clone()).map_err(failed)?;
    let mut report = Report {
        path: text::quote_path(found.path()),
        size_bytes: before.st_size.unsigned_abs(),
        modified: time(before.st_mtime),
        encoding: None,
        compression: content.compression(),
        binary: None,
        lines: None,
        final_newline: None,
        changes: None,
        meanwhile: None,
        left_out: None,
        text: Text::Lines(Table::default()),
    };
    let encoding = match nature(&content, &same, report.size_bytes, wanted.part).map_err(failed)? {
        Nature::Text(encoding) => encoding,
        Nature::Binary(words) => {
            report.left_out = Some("what is in it, as it is no text".into());
            report.binary = Some(words);
            return Ok(report);
        }
    };
    report.encoding = Some(encoding);
    let reading = Reading { content, file: &same, size: report.size_bytes, encoding, tokens: wanted.tokens };
    let told = match wanted.part {
        Wish::Lines(first, lines) => reading.lines(first, lines),
        Wish::Tail(lines) => reading.tail(lines),
        Wish::Bytes(offset, bytes) => reading.bytes(offset, bytes),
    };
    let told = told.map_err(failed)?;
    let after = fstat(&same).map_err(|error| found.failure(error))?;
    report.lines = told.lines;
    report.final_newline = told.final_newline;
    report.changes = Some(told.changes).filter(|changes| *changes != Changes::default());
    report.meanwhile = meanwhile(&before, &after);
    report.left_out = (!told.left_out.is_empty()).then(|| told.left_out.join("; "));
    report.text = told.text;
    Ok(report)
}

/// What it is. A log that is emptied while a program writes on has a hole at its beginning, and is what it is where it is read.
fn nature(content: &Content, file: &File, size: u64, part: Wish) -> io::Result<Nature> {
    if !content.is_hole() || content.compression().is_some() {
        return Ok(content.nature().clone());
    }
    let begin = match part {
        Wish::Lines(..) => 0,
        Wish::Tail(_) => size.saturating_sub(HEAD as u64),
        Wish::Bytes(offset, _) => offset.min(size),
    };
    let bytes = read_at(file, begin, HEAD as u64)?;
    // the hole may end just there
    let hole = bytes.iter().take_while(|byte| **byte == 0).count();
    let is_end = matches!(part, Wish::Tail(_)) && hole < bytes.len();
    Ok(Nature::of(&bytes[if is_end { hole } else { 0 }..]))
}

fn failure(found: &Found, error: &io::Error) -> Failure {
    match rustix::io::Errno::from_io_error(error) {
        Some(errno) => found.failure(errno),
        None => Failure::internal(format!("{}: {error}", text::quote_path(found.path()))),
    }
}

fn meanwhile(before: &Stat, after: &Stat) -> Option<String> {
    let (was, is) = (before.st_size, after.st_size);
    if is > was {
        return Some(format!("it grew by {} bytes", is - was));
    }
    if is < was {
        return Some(format!("it was cut, from {was} to {is} bytes"));
    }
    let time = |stat: &Stat| (stat.st_mtime, stat.st_mtime_nsec);
    (time(before) != time(after)).then(|| "it was written to".to_owned())
}

/// A text that is about to be read.
struct Reading<'a> {
    content: Content,
    /// The same file, for what is not read from the beginning.
    file: &'a File,
    size: u64,
    encoding: Encoding,
    tokens: usize,
}

/// What was read of it.
#[derive(Debug)]
struct Told {
    text: Text,
    lines: Option<u64>,
    final_newline: Option<bool>,
    changes: Changes,
    left_out: Vec<String>,
}

/// A content whose lines end with one byte.
#[derive(Debug)]
enum Source {
    Bytes(Content),
    Wide(Utf16<Content>),
}

impl Source {
    fn content(&self) -> &Content {
        match self {
            Self::Bytes(content) => content,
            Self::Wide(wide) => wide.bytes(),
        }
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Bytes(content) => content.read(buffer),
            Self::Wide(wide) => wide.read(buffer),
        }
    }
}

impl Reading<'_> {
    /// Its text from the beginning, and the encoding that has then.
    fn reel(content: Content, encoding: Encoding) -> (Reel<Source>, Encoding) {
        match encoding {
            Encoding::Utf16Le | Encoding::Utf16Be => {
                (Reel::new(Source::Wide(Utf16::new(content, encoding))), Encoding::Utf8)
            }
            Encoding::Utf8 | Encoding::Latin1 => (Reel::new(Source::Bytes(content)), encoding),
        }
    }

    fn lines(self, first: u64, lines: u64) -> io::Result<Told> {
        let (mut reel, encoding) = Self::reel(self.content, self.encoding);
        let mut left_out = vec![];
        let is_there = reel.skip(first - 1)?;
        let before = reel.run_up();
        let mut shown = Shown::of(before.len() as u64 == reel.bytes);
        for line in before.split_inclusive(|byte| *byte == b'\n') {
            shown.pass(&encoding.text(line.strip_suffix(b"\n").unwrap_or(line)));
        }
        let (mut rows, mut tokens, mut line) = (vec![], self.tokens, vec![]);
        let (mut number, mut is_short) = (first, false);
        while is_there && number - first < lines {
            let changes = shown.changes;
            let Some(length) = reel.line(&mut line)? else { break };
            let text = shown.line(&encoding.text(&line), length);
            let cost = cost(&text);
            if cost > tokens && !rows.is_empty() {
                (is_short, shown.changes) = (true, changes);
                break;
            }
            tokens = tokens.saturating_sub(cost);
            rows.push(Line { line: i64::try_from(number).unwrap_or(i64::MAX), text });
            number += 1;
        }
        let is_counted = reel.finish(COUNTED)?;
        let cut = reel.reader().content().cut();
        let total = reel.breaks + u64::from(!reel.is_at_begin);
        if let Some(cut) = cut {
            left_out.push(format!("what follows line {}: {}", reel.breaks, cut.words()));
        }
        if is_short {
            left_out
                .push(format!("line {number} and what follows, to keep the answer short: go on with line {number}"));
        } else if !rows.is_empty() && (!is_counted || total >= number) {
            left_out.push(format!("what follows: go on with line {number}"));
        } else if rows.is_empty() && cut.is_none() && first > 1 {
            left_out.push(format!("line {first}, which is not there: the text has {total} lines"));
        }
        if shown.changes.cut > 0 {
            left_out.push(ENDS.to_owned());
        }
        Ok(Told {
            text: Text::Lines(rows.into_iter().collect()),
            changes: shown.changes,
            lines: (is_counted && cut.is_none()).then_some(total),
            final_newline: (is_counted && cut.is_none() && total > 0).then_some(reel.is_at_begin),
            left_out,
        })
    }

    fn tail(self, lines: u64) -> io::Result<Told> {
        let is_plain = self.content.compression().is_none();
        let (encoding, file, size, budget) = (self.encoding, self.file, self.size, self.tokens);
        let mut left_out = vec![];
        let end = if is_plain {
            End::of_file(file, size, encoding, lines)?
        } else {
            End::of_content(self.content, encoding, lines)?
        };
        if let Some(cut) = end.cut {
            left_out.push(format!("what follows: {}", cut.words()));
        }
        // behind a hole a line begins
        let hole = end.bytes.iter().take_while(|byte| **byte == 0).count();
        let mut all: Vec<&[u8]> = end.bytes[hole..].split_inclusive(|byte| *byte == b'\n').collect();
        if !end.is_whole && hole == 0 && all.len() > 1 {
            // the rest of a line
            all.remove(0);
        }
        let begin = all.len().saturating_sub(usize::try_from(lines).unwrap_or(usize::MAX));
        let mut passed = 0;
        let near = all[..begin].iter().rev().take_while(|line| {
            passed += line.len() as u64;
            passed <= RUN_UP
        });
        let near = near.count();
        let mut shown = Shown::of(end.is_whole && near == begin);
        let decode = |line: &[u8]| end.encoding.text(line.strip_suffix(b"\n").unwrap_or(line)).into_owned();
        all[begin - near..begin].iter().for_each(|line| shown.pass(&decode(line)));
        let text = |line: &&[u8]| {
            let length = line.strip_suffix(b"\n").unwrap_or(line).len();
            let changes = shown.changes;
            (shown.line(&decode(&line[..line.len().min(reel::KEPT)]), length as u64), changes)
        };
        let texts: Vec<(String, Changes)> = all[begin..].iter().map(text).collect();
        // from the last on; one there is always
        let mut tokens = budget;
        let fitting = texts.iter().rev().enumerate().take_while(|(n, (text, _))| {
            let cost = cost(text);
            let fits = cost <= tokens || *n == 0;
            tokens = tokens.saturating_sub(cost);
            fits
        });
        let fitting = fitting.count();
        if fitting < texts.len() {
            left_out.push(format!("{} lines before these, to keep the answer short", texts.len() - fitting));
        } else if begin == 0 && !end.is_whole {
            left_out.push(format!(
                "lines before these: only the last {} bytes are looked at for the last lines; offset reads before",
                end.bytes.len()
            ));
        }
        let older = texts.len() - fitting;
        let changes = shown.changes.since(texts.get(older).map_or(shown.changes, |(_, before)| *before));
        if changes.cut > 0 {
            left_out.push(ENDS.to_owned());
        }
        let first = match end.lines {
            Some(lines) => i64::try_from(lines).unwrap_or(i64::MAX) - fitting as i64 + 1,
            None => -(fitting as i64),
        };
        let rows = (first..).zip(texts.into_iter().skip(older));
        Ok(Told {
            text: Text::Lines(rows.map(|(line, (text, _))| Line { line, text }).collect()),
            changes,
            lines: end.lines,
            final_newline: (end.cut.is_none() && !end.bytes.is_empty()).then_some(end.bytes.last() == Some(&b'\n')),
            left_out,
        })
    }

    fn bytes(self, offset: u64, bytes: u64) -> io::Result<Told> {
        let mut left_out = vec![];
        let begin = offset.saturating_sub(RUN_UP) & !1;
        let most = offset - begin + bytes + RUN_OUT;
        let mut cut = None;
        let all = if self.content.compression().is_some() {
            let mut content = self.content;
            io::copy(&mut (&mut content).take(begin), &mut io::sink())?;
            let mut all = vec![];
            (&mut content).take(most).read_to_end(&mut all)?;
            cut = content.cut();
            all
        } else {
            read_at(self.file, begin, most)?
        };
        let place = |at: u64| boundary(&all, usize::try_from(at - begin).unwrap_or(usize::MAX), self.encoding);
        let from = place(offset);
        let mut bytes = bytes;
        let (rows, changes, to) = loop {
            let to = place(offset + bytes).max(from);
            let mut shown = Shown::of(begin == 0);
            let rows = pieces(&all, begin, from..to, self.encoding, &mut shown);
            let cost: usize = rows.iter().map(|piece| cost(&piece.text)).sum();
            if cost <= MOST_TOKENS || bytes <= 256 {
                break (rows, shown.changes, to);
            }
            bytes /= 2;
        };
        let end = begin + to as u64;
        if let Some(cut) = cut {
            left_out.push(format!("what follows byte {}: {}", begin + all.len() as u64, cut.words()));
        }
        if from == all.len() && cut.is_none() {
            left_out.push(format!("what stands at byte {offset}, which is behind the end"));
        } else if to < all.len() {
            left_out.push(format!("what follows: go on with offset {end}"));
        }
        let is_end = to == all.len() && cut.is_none() && all.len() as u64 <= most - RUN_OUT;
        Ok(Told {
            text: Text::Pieces(rows.into_iter().collect()),
            changes,
            lines: None,
            final_newline: (is_end && !all.is_empty()).then_some(all.last() == Some(&b'\n')),
            left_out,
        })
    }
}

/// The end of a text, from some byte on.
#[derive(Debug)]
struct End {
    bytes: Vec<u8>,
    /// This is all of it.
    is_whole: bool,
    /// How the bytes are to be read.
    encoding: Encoding,
    /// Lines of the whole, if they were counted.
    lines: Option<u64>,
    cut: Option<search::content::Cut>,
}

impl End {
    /// No more of a file than is needed for so many lines.
    fn of_file(file: &File, size: u64, encoding: Encoding, lines: u64) -> io::Result<Self> {
        let is_wide = matches!(encoding, Encoding::Utf16Le | Encoding::Utf16Be);
        let mut end = Self { bytes: vec![], is_whole: false, encoding, lines: None, cut: None };
        for most in TAILS {
            let begin = size.saturating_sub(most + RUN_UP) & !1;
            end.bytes = read_at(file, begin, size - begin)?;
            end.is_whole = begin == 0;
            if is_wide {
                (end.bytes, end.encoding) = (encoding.text(&end.bytes).into_owned().into_bytes(), Encoding::Utf8);
            }
            let near = &end.bytes[end.bytes.len().saturating_sub(usize::try_from(most).unwrap_or(usize::MAX))..];
            if end.is_whole || reel::count(near) > lines {
                break;
            }
        }
        if end.is_whole {
            end.lines = Some(lines_of(&end.bytes));
        } else if !is_wide && size <= COUNTED {
            end.lines = Some(lines_before(file, size - end.bytes.len() as u64)? + lines_of(&end.bytes));
        }
        Ok(end)
    }

    /// Of what has to be read from its beginning. It cannot be read twice, so as much is kept as so many lines may take.
    fn of_content(content: Content, encoding: Encoding, lines: u64) -> io::Result<Self> {
        let (mut reel, encoding) = Reading::reel(content, encoding);
        let most = usize::try_from((lines * USUAL_LINE).clamp(TAILS[0], TAILS[1]) + RUN_UP).unwrap_or(usize::MAX);
        let mut bytes: VecDeque<u8> = VecDeque::with_capacity(most);
        let mut dropped = false;
        while let Some(block) = reel.block()? {
            let more = (bytes.len() + block.len()).saturating_sub(most);
            dropped |= more > 0;
            bytes.drain(..more.min(bytes.len()));
            bytes.extend(block);
        }
        let cut = reel.reader().content().cut();
        let lines = reel.breaks + u64::from(!reel.is_at_begin);
        Ok(Self { bytes: bytes.into(), is_whole: !dropped, encoding, lines: cut.is_none().then_some(lines), cut })
    }
}

fn lines_of(bytes: &[u8]) -> u64 {
    reel::count(bytes) + u64::from(bytes.last().is_some_and(|last| *last != b'\n'))
}

/// Line breaks before this byte.
fn lines_before(file: &File, end: u64) -> io::Result<u64> {
    let (mut block, mut at, mut breaks) = (vec![0; 64 << 10], 0, 0);
    while at < end {
        let want = block.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        match file.read_at(&mut block[..want], at)? {
            0 => break,
            read => {
                breaks += reel::count(&block[..read]);
                at += read as u64;
            }
        }
    }
    Ok(breaks)
}

/// At most so many bytes from here on; fewer where the file ends.
fn read_at(file: &File, begin: u64, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(most).unwrap_or(usize::MAX)];
    let mut had = 0;
    while had < bytes.len() {
        match file.read_at(&mut bytes[had..], begin + had as u64) {
            Ok(0) => break,
            Ok(read) => had += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(had);
    Ok(bytes)
}

/// `at`, or a little before it where a character begins.
fn boundary(bytes: &[u8], at: usize, encoding: Encoding) -> usize {
    let at = at.min(bytes.len());
    match encoding {
        Encoding::Latin1 => at,
        Encoding::Utf16Le | Encoding::Utf16Be => at & !1,
        Encoding::Utf8 => {
            let is_inside = |at: &usize| bytes.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
            (at.saturating_sub(3)..=at).rev().find(|at| !is_inside(at)).unwrap_or(at)
        }
    }
}

/// The longest piece of a line, in characters.
const PIECE: usize = 1_000;

/// What stands in `shown` of these bytes, which begin at `begin` in the file, as lines and pieces of lines.
fn pieces(all: &[u8], begin: u64, range: std::ops::Range<usize>, encoding: Encoding, shown: &mut Shown) -> Vec<Piece> {
    let (mut rows, mut at) = (vec![], 0);
    for line in lines_in(all, encoding) {
        let (start, end) = (at, at + line.len());
        at = end;
        if start >= range.end {
            break;
        }
        let (text, is_plain) = decoded(line, encoding);
        if end <= range.start {
            shown.pass(&text);
            continue;
        }
        let place = |at: usize| decoded(&line[..at.clamp(start, end) - start], encoding).0.len().min(text.len());
        let Part { text, is_exact } = shown.part(&text, place(range.start), place(range.end));
        let mut offset = Some(begin + start.max(range.start) as u64);
        let mut rest = text.as_str();
        loop {
            let cut = rest.char_indices().nth(PIECE).map_or(rest.len(), |(cut, _)| cut);
            rows.push(Piece { offset, text: rest[..cut].to_owned() });
            rest = &rest[cut..];
            if rest.is_empty() {
                break;
            }
            // an arrow stands for one byte
            let arrows = rows.last().map_or(0, |row| row.text.matches('→').count());
            offset = offset.filter(|_| is_exact && is_plain && arrows == 0).map(|offset| offset + cut as u64);
        }
    }
    rows
}

/// Lines with their breaks.
fn lines_in(all: &[u8], encoding: Encoding) -> Vec<&[u8]> {
    let wide = match encoding {
        Encoding::Utf16Le => b"\n\0",
        Encoding::Utf16Be => b"\0\n",
        Encoding::Utf8 | Encoding::Latin1 => return all.split_inclusive(|byte| *byte == b'\n').collect(),
    };
    let (mut lines, mut start) = (vec![], 0);
    for (place, pair) in all.chunks(2).enumerate() {
        if pair == wide {
            lines.push(&all[start..place * 2 + 2]);
            start = place * 2 + 2;
        }
    }
    lines.push(&all[start..]);
    lines.retain(|line| !line.is_empty());
    lines
}

/// A line without its break, and whether it has as many bytes here as there.
fn decoded(line: &[u8], encoding: Encoding) -> (String, bool) {
    let text = encoding.text(line);
    let is_plain = text.len() == line.len();
    let text = text.strip_suffix('\n').unwrap_or(&text).to_owned();
    (text, is_plain)
}

/// What a row costs in the dearer form.
fn cost(line: &str) -> usize {
    text::tokens_at_most(&serde_json::Value::from(line).to_string()) + ROW_TOKENS
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression as Level, write::GzEncoder};
    use serde_json::{Value, json};

    use super::*;
    use search::scratch::{Scratch, impatience, patience};

    fn ask(scratch: &Scratch, path: &str, question: Value) -> Result<Value, Failure> {
        let mut question = question;
        question["path"] = path.into();
        let request: FileRead = serde_json::from_value(question).unwrap();
        let report = read(&scratch.jail, &request.check()?, &patience())?;
        let value = serde_json::to_value(report).unwrap();
        assert!(text::tokens_at_most(&value.to_string()) < 25_000);
        Ok(value)
    }

    fn texts(report: &Value) -> Vec<&str> {
        let text = |row: &'_ Value| row.as_array().unwrap()[1].as_str().unwrap().to_owned().leak() as &str;
        report["text"]["rows"].as_array().unwrap().iter().map(text).collect()
    }

    fn numbers(report: &Value) -> Vec<i64> {
        report["text"]["rows"].as_array().unwrap().iter().filter_map(|row| row[0].as_i64()).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(vec![], Level::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[expect(clippy::disallowed_methods, reason = "makes the file to be read")]
    fn sparse(scratch: &Scratch, name: &str, length: u64, end: &str) -> String {
        let path = scratch.write(name, "");
        let mut file = File::options().append(true).open(&path).unwrap();
        file.set_len(length).unwrap();
        file.write_all(end.as_bytes()).unwrap();
        path
    }

    #[test]
    fn the_same_lines_plain_and_compressed() {
        let scratch = Scratch::new();
        let text: String = (1..=30_000).map(|n| format!("line {n}\n")).collect();
        let plain = scratch.write("log", &text);
        let stored = scratch.write("log.gz", gzip(text.as_bytes()));
        for path in [&plain, &stored] {
            for (question, first, last) in [
                (json!({}), 1, 200),
                (json!({ "head": 3 }), 1, 3),
                (json!({ "tail": 3 }), 29_998, 30_000),
                (json!({ "line": 20_000, "lines": 5 }), 20_000, 20_004),
                (json!({ "around": 15_000 }), 14_980, 15_020),
                (json!({ "around": 2, "lines": 7 }), 1, 7),
                (json!({ "line": 29_999 }), 29_999, 30_000),
            ] {
                let report = ask(&scratch, path, question.clone()).unwrap();
                let expected: Vec<String> = (first..=last).map(|n| format!("line {n}")).collect();
                assert_eq!(texts(&report), expected, "{question}");
                assert_eq!(numbers(&report), (first..=last).collect::<Vec<_>>());
                assert_eq!((&report["lines"], &report["final_newline"]), (&json!(30_000), &json!(true)));
                let more = format!("what follows: go on with line {}", last + 1);
                assert_eq!(report["left_out"], if last < 30_000 { json!(more) } else { json!(null) }, "{question}");
            }
            let report = ask(&scratch, path, json!({ "line": 30_001 })).unwrap();
            assert_eq!(report["left_out"], "line 30001, which is not there: the text has 30000 lines");
            // as bytes
            for offset in [0, 3, 70_000, 200_000, text.len() as u64 - 5] {
                let report = ask(&scratch, path, json!({ "offset": offset, "bytes": 50 })).unwrap();
                let begin = usize::try_from(offset).unwrap();
                let expected = &text[begin..text.len().min(begin + 50)];
                assert_eq!(texts(&report), expected.lines().collect::<Vec<_>>(), "{offset}");
            }
        }
        assert_eq!(ask(&scratch, &stored, json!({})).unwrap()["compression"], "gzip");
        let report = ask(&scratch, &stored, json!({ "decompress": false })).unwrap();
        assert_eq!((&report["binary"], texts(&report).len()), (&json!("gzip-compressed data"), 0));
    }

    #[test]
    fn a_key_that_began_before_what_is_shown_is_redacted() {
        let scratch = Scratch::new();
        let key: String =
            (0..25).map(|n| format!("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ{n:014}\n")).collect();
        let text = format!("first\n-----BEGIN PRIVATE KEY-----\n{key}-----END PRIVATE KEY-----\nlast\n");
        let plain = scratch.write("notes", &text);
        let stored = scratch.write("notes.gz", gzip(text.as_bytes()));
        for path in [plain, stored] {
            let mut questions: Vec<Value> = (3..28).map(|n| json!({ "line": n, "lines": 2 })).collect();
            questions.extend((1..28).map(|n| json!({ "tail": n })));
            questions.extend((30..text.len() - 40).step_by(7).map(|n| json!({ "offset": n, "bytes": 100 })));
            for question in questions {
                let report = ask(&scratch, &path, question.clone()).unwrap();
                assert!(!report.to_string().contains("gkqhki"), "{question}: {report}");
                assert!(
                    report["changes"]["redacted"].as_u64().unwrap_or(0) > 0
                        || !report.to_string().contains("[redacted]")
                );
            }
            let report = ask(&scratch, &path, json!({})).unwrap();
            assert_eq!((&report["changes"]["redacted"], texts(&report)[27]), (&json!(25), "-----END PRIVATE KEY-----"));
        }
    }

    #[test]
    fn what_is_no_text_is_told_and_not_shown() {
        let scratch = Scratch::new();
        for (bytes, binary) in [
            (&b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0"[..], "ELF program, 64-bit, x86-64"),
            (b"SQLite format 3\0secret", "SQLite 3 database"),
            (b"abc\0def", "data of no kind that is known here"),
        ] {
            let path = scratch.write("data", bytes);
            for question in [json!({}), json!({ "tail": 5 }), json!({ "offset": 0 }), json!({ "line": 2 })] {
                let report = ask(&scratch, &path, question).unwrap();
                assert_eq!((&report["binary"], texts(&report).len()), (&json!(binary), 0));
                assert!(report["encoding"].is_null());
            }
        }
    }

    #[test]
    fn every_encoding_is_read_and_told() {
        let scratch = Scratch::new();
        let text = "größe\n中文 🙂\nend";
        let wide =
            |unit: fn(u16) -> [u8; 2]| -> Vec<u8> { format!("\u{feff}{text}").encode_utf16().flat_map(unit).collect() };
        for (bytes, encoding) in [
            (text.as_bytes().to_vec(), "utf-8"),
            (wide(u16::to_le_bytes), "utf-16le"),
            (wide(u16::to_be_bytes), "utf-16be"),
            (b"gr\xf6\xdfe\nx\nend".to_vec(), "latin-1 (a guess)"),
        ] {
            let path = scratch.write("text", bytes);
            for question in [json!({}), json!({ "tail": 3 }), json!({ "offset": 0 })] {
                let report = ask(&scratch, &path, question.clone()).unwrap();
                assert_eq!((texts(&report)[0], texts(&report)[2]), ("größe", "end"), "{encoding} {question}");
                assert_eq!((&report["encoding"], &report["final_newline"]), (&json!(encoding), &json!(false)));
            }
        }
        let path = scratch.write("dos", "a\r\nb\r\n");
        let report = ask(&scratch, &path, json!({})).unwrap();
        assert_eq!((texts(&report), &report["changes"]["crlf"]), (vec!["a", "b"], &json!(2)));
    }

    #[test]
    fn what_is_huge_is_read_where_it_is_asked_for() {
        let scratch = Scratch::new();
        // a log that was emptied while it was written
        let path = sparse(&scratch, "hole.log", 10 << 30, "first\nlast\n");
        let report = ask(&scratch, &path, json!({})).unwrap();
        assert_eq!((&report["binary"], &report["size_bytes"]), (&json!("zero bytes"), &json!((10_u64 << 30) + 11)));
        let report = ask(&scratch, &path, json!({ "tail": 5 })).unwrap();
        assert_eq!((texts(&report), numbers(&report)), (vec!["first", "last"], vec![-2, -1]));
        let report = ask(&scratch, &path, json!({ "offset": 10_u64 << 30 })).unwrap();
        assert_eq!(texts(&report), ["first", "last"]);
        assert_eq!(ask(&scratch, &path, json!({ "offset": 5 << 30 })).unwrap()["binary"], "zero bytes");
        let report = ask(&scratch, &path, json!({ "offset": 1_u64 << 61 })).unwrap();
        assert!(
            report["binary"].is_null() && report["left_out"].as_str().unwrap().ends_with("behind the end"),
            "{report}"
        );
    }

    #[test]
    fn a_line_of_a_hundred_mebibytes_is_cut_and_read_in_pieces() {
        let scratch = Scratch::new();
        let path = scratch.write("long", [&b"a".repeat(100 << 20)[..], b"\nnext\n"].concat());
        let report = ask(&scratch, &path, json!({ "line": 1, "lines": 2 })).unwrap();
        assert!(texts(&report)[0].ends_with("aaa… (a line of 104857600 bytes)"));
        assert_eq!((texts(&report)[1], &report["changes"]["cut"]), ("next", &json!(1)));
        assert_eq!(report["left_out"], ENDS);
        let report = ask(&scratch, &path, json!({ "offset": (100 << 20) - 2_500, "bytes": 2_503 })).unwrap();
        let rows = report["text"]["rows"].as_array().unwrap();
        let offsets: Vec<_> = rows.iter().map(|row| row[0].as_u64().unwrap() + 2_500 - (100 << 20)).collect();
        assert_eq!((offsets, texts(&report)[3]), (vec![0, 1_000, 2_000, 2_501], "ne"));
        assert_eq!(report["left_out"], format!("what follows: go on with offset {}", (100 << 20) + 3));
        let report = ask(&scratch, &path, json!({ "tail": 2 })).unwrap();
        assert_eq!(texts(&report), ["next"]);
        assert!(report["left_out"].as_str().unwrap().contains("only the last"));
    }

    #[test]
    fn the_answer_stays_short_and_goes_on_where_it_stopped() {
        let scratch = Scratch::new();
        // dear: every character a token or two
        let lines: Vec<String> = (0..3_000).map(|n| format!("{n} {}", "\u{10330}\"".repeat(200))).collect();
        let path = scratch.write("dear", lines.join("\n"));
        let (mut seen, mut next) = (0, 1);
        while seen < 60 {
            let report = ask(&scratch, &path, json!({ "line": next, "lines": 2_000 })).unwrap();
            let shown = texts(&report);
            assert!(!shown.is_empty());
            for (at, text) in shown.iter().enumerate() {
                assert_eq!(*text, lines[seen + at]);
            }
            seen += shown.len();
            let said = report["left_out"].as_str().unwrap().to_owned();
            next = said.rsplit(' ').next().unwrap().parse().unwrap();
            assert_eq!(next, seen + 1, "{said}");
        }
        let report = ask(&scratch, &path, json!({ "tail": 2_000 })).unwrap();
        assert_eq!(texts(&report).last(), Some(&lines[2_999].as_str()));
        assert!(report["left_out"].as_str().unwrap().contains("lines before these"));
        // nothing but line breaks
        let path = scratch.write("breaks", "\n".repeat(60_000));
        let report = ask(&scratch, &path, json!({ "offset": 0, "bytes": 65_536 })).unwrap();
        assert!(report["left_out"].as_str().unwrap().contains("go on with offset"));
    }

    #[test]
    fn none_at_all() {
        let scratch = Scratch::new();
        let path = scratch.write("empty", "");
        for question in [json!({}), json!({ "tail": 5 }), json!({ "line": 9 }), json!({ "offset": 0 })] {
            let report = ask(&scratch, &path, question).unwrap();
            assert_eq!((texts(&report).len(), &report["size_bytes"]), (0, &json!(0)));
        }
    }

    #[test]
    fn what_is_cut_off_or_takes_too_long_says_so() {
        let scratch = Scratch::new();
        let text: String = (0..50_000).map(|n| format!("line {n}\n")).collect();
        let stored = gzip(text.as_bytes());
        let path = scratch.write("cut.gz", &stored[..stored.len() / 2]);
        let report = ask(&scratch, &path, json!({ "line": 100_000 })).unwrap();
        assert!(report["left_out"].as_str().unwrap().contains("cut off there"), "{report}");
        assert!(report["lines"].is_null());
        assert!(!texts(&ask(&scratch, &path, json!({ "tail": 2 })).unwrap()).is_empty());
        let path = scratch.write("slow", &text);
        let request: FileRead = serde_json::from_value(json!({ "path": path, "line": 40_000 })).unwrap();
        let report = read(&scratch.jail, &request.check().unwrap(), &impatience()).unwrap();
        assert!(report.left_out.unwrap().contains("time ran out"));
    }

    #[test]
    fn what_becomes_of_a_file_meanwhile_is_told() {
        let scratch = Scratch::new();
        let path = scratch.write("log", "a\n");
        let stat = || rustix::fs::stat(&path).unwrap();
        let before = stat();
        assert_eq!(meanwhile(&before, &stat()), None);
        scratch.write("log", "a\nb\n");
        assert_eq!(meanwhile(&before, &stat()).as_deref(), Some("it grew by 2 bytes"));
        scratch.write("log", "");
        assert_eq!(meanwhile(&before, &stat()).as_deref(), Some("it was cut, from 2 to 0 bytes"));
    }

    #[test]
    fn only_one_way_says_what_to_read() {
        let scratch = Scratch::new();
        let path = scratch.write("x", "x");
        for (question, why) in [
            (json!({ "line": 1, "tail": 2 }), "only one of"),
            (json!({ "offset": 1, "head": 2 }), "only one of"),
            (json!({ "tail": 1, "lines": 2 }), "lines is for"),
            (json!({ "line": 0 }), "line is a number"),
            (json!({ "tail": 2_001 }), "from 1 to 2000"),
            (json!({ "bytes": 65_537 }), "from 1 to 65536"),
            (json!({ "offset": u64::MAX }), "offset is a number up to"),
        ] {
            let said = ask(&scratch, &path, question).unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        }
        let said = ask(&scratch, &scratch.path(""), json!({})).unwrap_err().to_string();
        assert!(said.contains("is a directory, not a file"), "{said}");
    }

    #[test]
    fn a_private_key_is_hidden_in_every_spelling_whatever_part_is_read() {
        let scratch = Scratch::new();
        for spelled in redact::spelled::all() {
            let path = scratch.write("key", &spelled.text);
            let lines = spelled.text.lines().count();
            let from = (1..=lines).step_by(lines.div_ceil(2)).map(|line| json!({ "line": line, "lines": 2_000 }));
            let tails = (1..=lines).step_by(lines.div_ceil(2)).map(|tail| json!({ "tail": tail }));
            let size = spelled.text.len();
            let pieces = (0..size).step_by(size.div_ceil(3)).map(|at| json!({ "offset": at, "bytes": 700 }));
            for question in from.chain(tails).chain(pieces) {
                let report = ask(&scratch, &path, question.clone()).unwrap();
                let shown = texts(&report).join("\n");
                assert_eq!(spelled.leak(&shown), None, "{}, {question}:\n{shown}", spelled.name);
            }
        }
    }

    #[test]
    fn a_file_full_of_hashes_and_public_keys_is_shown_wherever_it_is_read() {
        let scratch = Scratch::new();
        for (name, text) in redact::spelled::everyday().into_iter().chain(redact::spelled::unnamed()) {
            let path = scratch.write("file", &text);
            let (size, lines) = (text.len() as u64, text.lines().count());
            assert!(size > RUN_UP + 3_000, "{name} is too short for this test");
            for question in [
                json!({ "tail": 20 }),
                json!({ "line": lines - 30, "lines": 20 }),
                json!({ "offset": size - 3_000, "bytes": 2_000 }),
            ] {
                let report = ask(&scratch, &path, question.clone()).unwrap();
                let shown = texts(&report).join("\n");
                assert!(shown.len() > 500 && !shown.contains(redact::MARK), "{name}, {question}:\n{shown}");
            }
        }
    }

    #[test]
    fn a_key_longer_than_what_is_read_before_the_answer_is_hidden() {
        let scratch = Scratch::new();
        let spelled = redact::spelled::long(5_000);
        for (name, text) in [("lf", spelled.text.clone()), ("crlf", spelled.text.replace('\n', "\r\n"))] {
            let path = scratch.write(name, &text);
            let packed = scratch.write(format!("{name}.gz"), gzip(text.as_bytes()));
            for question in [
                json!({ "tail": 5 }),
                json!({ "tail": 2_000 }),
                json!({ "line": 4_000 }),
                json!({ "around": 4_500 }),
                json!({ "offset": 200_000 }),
                json!({ "offset": 300_001, "bytes": 9_000 }),
            ] {
                for path in [&path, &packed] {
                    let report = ask(&scratch, path, question.clone()).unwrap();
                    let shown = texts(&report).join("\n");
                    assert!(
                        shown.contains(redact::MARK) && spelled.leak(&shown).is_none(),
                        "{path}, {question}:\n{shown}"
                    );
                }
            }
        }
        // a log of which the middle is read is shown
        let line = "2026-11-30T12:00:00Z GET /static/app.8f3a9c1d.js id=6af79ae5de407283dcea8b00d5c37ace95441fd58a8b\n";
        let path = scratch.write("log", line.repeat(4_000));
        let report = ask(&scratch, &path, json!({ "tail": 3 })).unwrap();
        assert_eq!(texts(&report), [line.trim_end(); 3]);
    }
}
