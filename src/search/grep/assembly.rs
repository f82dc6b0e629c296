//! The rows of an answer, put together from what came of one file after the other.

use std::path::PathBuf;

use super::{
    Search,
    file::{Ended, Outcome},
};
use crate::resume::{Line, Resume};

/// A row of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The first of a file has it.
    pub path: Option<String>,
    /// The number of the line, from 1.
    pub line: u64,
    /// Whether it is one that was looked for, or stands beside one.
    pub is_match: bool,
    /// Without what is secret or hides from a reader.
    pub text: String,
    /// Of the file, where that is asked for.
    pub count: u64,
}

/// What has been looked at, and what kept files from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Files.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Files in which there are any lines.
    pub found_in: u64,
    /// Lines.
    pub lines: u64,
    /// Files with more lines than are wanted of one.
    pub full: u64,
    /// Files that are no text.
    pub binary: u64,
    /// Compressed files, where these are not wanted.
    pub compressed: u64,
    /// Compressed files that end before their end.
    pub damaged: u64,
    /// Files that may not be read.
    pub unreadable: u64,
    /// Lines that were not searched to their end.
    pub cut: u64,
}

/// Why there are no more rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// There is no room.
    Full,
    /// There was no time. The file where it ran out.
    Late(String),
}

/// A page on its way.
#[derive(Debug)]
pub(super) struct Assembly<'a> {
    search: &'a Search<'a>,
    pub rows: Vec<Row>,
    pub tally: Tally,
    pub stop: Option<Stop>,
    /// What comes after it is still to be looked at.
    pub place: Option<Resume>,
    /// What the rows may still cost, in tokens.
    left: usize,
}

impl<'a> Assembly<'a> {
    pub(super) fn new(search: &'a Search<'a>) -> Self {
        Self {
            search,
            rows: vec![],
            tally: Tally::default(),
            stop: None,
            place: search.wanted.after.clone(),
            left: search.wanted.tokens,
        }
    }

    /// Takes what came of the next file.
    pub(super) fn take(&mut self, outcome: Outcome) {
        if self.stop.is_some() {
            return;
        }
        if outcome.count > 0 && !self.put(&outcome) {
            self.stop = Some(Stop::Full);
            return;
        }
        if outcome.count == 0 && matches!(outcome.ended, Ended::Late(_)) && self.is_full(0) {
            self.stop = Some(Stop::Full);
            return;
        }
        self.count(&outcome);
        if let Ended::Late(line) = outcome.ended {
            self.stop = Some(Stop::Late(text::quote_path(&outcome.path)));
            // where one cannot go on in it, it would end at the same place again; what has not begun has not ended
            match line {
                Some(line) if line.number > 0 => self.at(outcome.path, Some(line)),
                Some(_) => (),
                None => self.at(outcome.path, None),
            }
            return;
        }
        self.at(outcome.path, None);
    }

    fn at(&mut self, path: PathBuf, line: Option<Line>) {
        self.place = Some(Resume { path, line });
    }

    /// Puts a file's rows on the page. `false`: not all of them have room.
    fn put(&mut self, outcome: &Outcome) -> bool {
        let path = text::quote_path(&outcome.path);
        if self.search.wanted.counts {
            let row = Row { path: Some(path), line: 0, is_match: true, text: String::new(), count: outcome.count };
            return self.push(row);
        }
        let mut last = None;
        for (n, shown) in outcome.lines.iter().enumerate() {
            let path = (n == 0).then(|| path.clone());
            let row =
                Row { path, line: shown.line.number, is_match: shown.is_match, text: shown.text.clone(), count: 0 };
            if !self.push(row) {
                if let Some(line) = last {
                    self.at(outcome.path.clone(), Some(line));
                }
                return false;
            }
            self.tally.lines += u64::from(shown.is_match);
            last = Some(shown.line);
        }
        true
    }

    fn push(&mut self, row: Row) -> bool {
        let cost = row.cost();
        if self.is_full(cost) {
            return false;
        }
        self.left = self.left.saturating_sub(cost);
        self.rows.push(row);
        true
    }

    /// Whether there is no room for a row of this cost. A page has one line at least that was looked for, whatever stands before that: else the
    /// next would begin where this one did.
    fn is_full(&self, cost: usize) -> bool {
        let is_full = self.rows.len() >= self.search.wanted.rows || cost > self.left;
        is_full && self.rows.iter().any(|row| row.is_match)
    }

    fn count(&mut self, outcome: &Outcome) {
        let tally = &mut self.tally;
        tally.files += 1;
        tally.bytes += outcome.bytes;
        tally.found_in += u64::from(outcome.count > 0);
        tally.cut += outcome.cut;
        if self.search.wanted.counts {
            tally.lines += outcome.count;
        }
        match outcome.ended {
            Ended::AtItsEnd | Ended::Late(_) => (),
            Ended::Full => tally.full += 1,
            Ended::Binary => tally.binary += 1,
            Ended::Compressed => tally.compressed += 1,
            Ended::Damaged => tally.damaged += 1,
            Ended::Unreadable => tally.unreadable += 1,
            Ended::Gone => tally.files -= 1,
        }
    }
}

impl Row {
    /// What it costs in the dearer form, in tokens.
    fn cost(&self) -> usize {
        // its brackets, number and what it is
        const REST: usize = 10;
        let quoted = serde_json::Value::from(self.text.as_str()).to_string();
        self.path.as_deref().map_or(0, text::tokens_at_most) + text::tokens_at_most(&quoted) + REST
    }
}
