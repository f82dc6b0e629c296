//! Which lines of which files say this: in the order of their paths, without what is secret in them, and as many as there is room for.

mod assembly;
mod file;
mod ignored;
mod needle;
mod secrets;
mod stream;
mod team;

use rustix::fs::FileType;
use tokio_util::sync::CancellationToken;

use self::{assembly::Assembly, file::Looker, ignored::Ignored, team::Team};
pub use self::{
    assembly::{Row, Stop, Tally},
    needle::Needle,
};
use crate::{patience::Patience, pattern::Globs, resume::Resume};
use jail::{
    Found, Jail,
    walk::{Entry, Go, Passed, Walk},
};
use kernel::failure::Failure;

/// Lines of each file below a directory, when it is not said how many.
const USUAL_PER_FILE: usize = 10;

/// What is looked for, and where.
#[derive(Debug)]
pub struct Wanted {
    /// A file or directory, as the caller has it.
    pub path: String,
    /// What a line has to say.
    pub needle: Needle,
    /// Names of files that alone are searched, if there are any.
    pub include: Globs,
    /// Names of what is not.
    pub exclude: Globs,
    /// How many lines are shown before and after one that is found.
    pub context: usize,
    /// Lines are counted, and not shown.
    pub counts: bool,
    /// Lines of a file at most. `None`: all of the one file, and the usual number of each below a directory.
    pub per_file: Option<usize>,
    /// Nothing whose name begins with a dot.
    pub skip_hidden: bool,
    /// Nothing that a `.gitignore` or `.ignore` leaves out.
    pub ignore: bool,
    /// Compressed files too.
    pub gz: bool,
    /// What is no text too.
    pub binary: bool,
    /// What all rows may cost, in tokens.
    pub tokens: usize,
    /// Rows at most.
    pub rows: usize,
    /// Where an earlier search stopped.
    pub after: Option<Resume>,
}

/// What came of it.
#[derive(Debug)]
pub struct Searched {
    /// What was searched.
    pub found: Found,
    /// The lines, or counts.
    pub rows: Vec<Row>,
    /// What has been looked at.
    pub tally: Tally,
    /// Why there are no more rows. `None`: all has been looked at, or time ran out on the way to the next file.
    pub stop: Option<Stop>,
    /// Where another search goes on.
    pub place: Option<Resume>,
    /// What the walk below a directory has passed by.
    pub passed: Option<Passed>,
    /// Ignore files that were too long to be read to their end.
    pub long_ignore_files: u64,
    /// How many lines of each file there was room for.
    pub per_file: usize,
}

/// What one search works with.
#[derive(Debug)]
struct Search<'a> {
    wanted: &'a Wanted,
    /// Lines of a file at most.
    per_file: usize,
}

impl Wanted {
    /// Searches a file, or all below a directory. `enough` is cancelled when there are rows enough.
    pub fn search(&self, jail: &Jail, patience: &Patience, enough: &CancellationToken) -> Result<Searched, Failure> {
        let found = jail.find(&self.path)?;
        if found.kind() == FileType::RegularFile {
            let search = Search { wanted: self, per_file: self.per_file.unwrap_or(usize::MAX) };
            return search.one(found, patience);
        }
        let search = Search { wanted: self, per_file: self.per_file.unwrap_or(USUAL_PER_FILE) };
        search.below(found, patience, enough)
    }

    /// Whether an entry is not searched, by its name.
    fn leaves_out(&self, entry: &Entry<'_>) -> bool {
        self.skip_hidden && entry.name().as_encoded_bytes().starts_with(b".")
            || !self.exclude.is_empty() && self.exclude.fit(entry.name(), entry.path)
            || entry.kind == FileType::RegularFile
                && !self.include.is_empty()
                && !self.include.fit(entry.name(), entry.path)
    }
}

impl Search<'_> {
    /// The longest line that is searched to its end: there is room for one and those before it.
    fn longest(&self) -> usize {
        stream::LONGEST / (self.wanted.context + 1)
    }

    /// Searches the one file.
    fn one(&self, found: Found, patience: &Patience) -> Result<Searched, Failure> {
        let after = self.wanted.after.as_ref().and_then(|after| after.line);
        let mut outcome = Looker::new(self, patience).look(found.open()?, found.stat(), after);
        outcome.path = found.path().file_name().unwrap_or_default().into();
        let mut page = Assembly::new(self);
        page.take(outcome);
        let Assembly { rows, tally, stop, place, .. } = page;
        // one goes on in the one file, or not at all
        let place = place.filter(|place| stop.is_some() && place.line.is_some());
        let per_file = self.per_file;
        Ok(Searched { found, rows, tally, stop, place, passed: None, long_ignore_files: 0, per_file })
    }

    /// Searches all below the directory.
    fn below(&self, found: Found, patience: &Patience, enough: &CancellationToken) -> Result<Searched, Failure> {
        let (wanted, is_over) = (self.wanted, || patience.is_over());
        let mut walk = Walk::new(&found, usize::MAX)?.until(&is_over);
        let mut ignored = wanted.ignore.then(Ignored::default);
        let told = wanted.after.as_ref();
        if let Some(ignored) = &mut ignored {
            ignored.begin(&walk, told.map(|told| &*told.path));
        }
        if let Some(Resume { path, line }) = told {
            walk = if line.is_some() { walk.from(path) } else { walk.after(path) };
        }
        let (page, passed) = Team::new(self, patience, enough).search(|handing| {
            let mut directories = 0;
            walk.each(|entry| {
                if wanted.leaves_out(entry) || ignored.as_mut().is_some_and(|ignored| ignored.leaves_out(entry)) {
                    return Go::Past;
                }
                match entry.kind {
                    FileType::Directory => directories += 1,
                    FileType::RegularFile => {
                        let after = told.filter(|told| told.path == entry.path).and_then(|told| told.line);
                        handing.file(entry.path, entry.ticket(), after, (directories, entry.depth));
                    }
                    _ => (),
                }
                Go::On
            })
        })?;
        let Assembly { rows, tally, stop, place, .. } = page;
        let stopped = || passed.stopped.clone().map(|path| Resume { path, line: None });
        let place = if stop.is_some() { place } else { stopped() };
        let long_ignore_files = ignored.map_or(0, |ignored| ignored.cut);
        Ok(Searched {
            found,
            rows,
            tally,
            stop,
            place,
            passed: Some(passed),
            long_ignore_files,
            per_file: self.per_file,
        })
    }
}
