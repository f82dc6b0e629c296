//! Everything below a directory, in the order of the names: the same order each time, so that a search can stop and go on.
//!
//! Each directory is opened from the descriptor of one above it, by names that have been read there and not through links: whoever swaps a
//! directory for a link under a walk gets an error counted, and nobody out of the jail. However deep and wide the tree is, the walk holds
//! a bounded number of descriptors and names.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    ops::Bound,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{FileType, OFlags, Stat, fstat, fstatfs},
    io::Errno,
};

use super::{
    Found, beneath,
    entries::{Entries, Names},
    filesystem,
    own::Inodes,
};
use crate::failure::Failure;

/// Directories kept open, the deepest ones.
const OPEN: usize = 24;

/// What all names together may take, in bytes, and the least that one directory gets of it.
const NAMES: usize = 24 << 20;
const NAMES_LEAST: usize = 16 << 10;

/// The longest path handed to the kernel at once, in bytes.
const STRETCH: usize = 2048;

/// What becomes of the walk after an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// On, into the entry if it is a directory.
    On,
    /// On, but not into it.
    Past,
    /// No further.
    Stop,
}

/// What a walk has come across and not shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Kept from callers by their names, and the server's own directories.
    pub denied: u64,
    /// Directories that the server may not list.
    pub unreadable: u64,
    /// Where something is mounted that does not belong to the allowed directory. At most a few.
    pub mounts: Vec<PathBuf>,
    /// Deeper than was asked for, or than a path can be.
    pub too_deep: u64,
}

/// Something below the directory that is walked.
#[derive(Debug)]
pub struct Entry<'a> {
    /// From the directory where the walk began.
    pub path: &'a Path,
    /// What it is.
    pub kind: FileType,
    /// Below the first directory it is 1.
    pub depth: usize,
    place: Place<'a>,
}

#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    directory: &'a Arc<Entries>,
    name: &'a OsStr,
    start: &'a Found,
}

impl Entry<'_> {
    /// Its name.
    pub fn name(&self) -> &OsStr {
        self.place.name
    }

    /// What stat says of it. A link is not followed.
    pub fn stat(&self) -> io::Result<Stat> {
        Ok(self.place.directory.stat(self.place.name)?)
    }

    /// The same entry without the walk: to be opened elsewhere, later.
    pub fn ticket(&self) -> Ticket {
        let Place { directory, name, start } = self.place;
        Ticket {
            directory: Arc::clone(directory),
            name: name.to_owned(),
            own: Arc::clone(start.own()),
            mounts: start.allowed().mounts,
        }
    }

    /// Where a link says that it leads.
    pub fn target(&self) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(self.place.directory, self.place.name, vec![])?.into_bytes())
    }
}

/// A file that was met on a walk, to be opened by whoever has time. Keeps its directory open.
#[derive(Clone, Debug)]
pub struct Ticket {
    directory: Arc<Entries>,
    name: OsString,
    own: Arc<Inodes>,
    mounts: bool,
}

impl Ticket {
    /// Opens it for reading, with what stat says. `None`: it is no regular file any more, or the server's own by another name.
    pub fn open(&self) -> io::Result<Option<(File, Stat)>> {
        if self.own.have_named(self.directory.id, &self.name) {
            return Ok(None);
        }
        // NONBLOCK: what has the name now may be a FIFO
        let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let fd = beneath(&self.directory, Path::new(&self.name), flags, self.mounts)?;
        let stat = fstat(&fd)?;
        let may = FileType::from_raw_mode(stat.st_mode).is_file() && !self.own.have((stat.st_dev, stat.st_ino));
        Ok(may.then(|| (File::from(fd), stat)))
    }
}

/// One directory on the way down.
#[derive(Debug)]
struct Level {
    /// Its name in the one above.
    name: OsString,
    open: Option<Arc<Entries>>,
    names: Names,
    next: usize,
    device: u64,
}

/// A walk.
#[derive(Debug)]
pub struct Walk<'a> {
    start: &'a Found,
    top: Arc<Entries>,
    levels: Vec<Level>,
    path: PathBuf,
    deepest: usize,
    resume: Vec<OsString>,
    passed: Passed,
}

impl<'a> Walk<'a> {
    /// A walk of everything below `start`, down to this depth.
    pub fn new(start: &'a Found, deepest: usize) -> Result<Self, Failure> {
        let top = Arc::new(start.entries()?);
        Ok(Self {
            start,
            top,
            levels: vec![],
            path: PathBuf::new(),
            deepest,
            resume: vec![],
            passed: Passed::default(),
        })
    }

    /// Begins after this path, which an earlier walk has shown, and with what is below it.
    #[must_use]
    pub fn after(mut self, path: &Path) -> Self {
        self.resume = path.components().map(|part| part.as_os_str().to_owned()).collect();
        self
    }

    /// Shows every entry until there is none or `show` has seen enough. A directory comes before what is in it.
    pub fn each(mut self, mut show: impl FnMut(&Entry<'_>) -> Go) -> Result<Passed, Failure> {
        let (top, device) = (Arc::clone(&self.top), self.start.stat().st_dev);
        let resume = std::mem::take(&mut self.resume);
        let from = resume.first().map_or(Bound::Unbounded, |first| Bound::Included(first.as_os_str()));
        let names = self.names(&top, from).map_err(|error| self.start.failure(error))?;
        self.levels.push(Level { name: OsString::new(), open: Some(top), names, next: 0, device });
        // those that lead to where an earlier walk stopped have been shown
        let mut again = resume.into_iter().peekable();
        while let Some(level) = self.levels.last_mut() {
            let Some(name) = level.names.at(level.next) else {
                if level.names.have_more() && self.refill() {
                    continue;
                }
                self.levels.pop();
                self.path.pop();
                continue;
            };
            level.next += 1;
            let (name, mut kind) = (name.name.to_owned(), name.kind);
            let is_again = again.next_if_eq(&name).is_some();
            if !is_again {
                again = vec![].into_iter().peekable();
            }
            let Some(directory) = self.directory() else { continue };
            self.path.push(&name);
            if kind == FileType::Unknown {
                kind = directory.stat(&name).map_or(kind, |stat| FileType::from_raw_mode(stat.st_mode));
            }
            let go = if self.start.jail().deny().of_last(&self.start.path().join(&self.path)).is_some()
                || self.start.own().have_named(directory.id, &name)
            {
                self.passed.denied += 1;
                Go::Past
            } else if is_again {
                Go::On
            } else {
                let place = Place { directory: &directory, name: &name, start: self.start };
                show(&Entry { path: &self.path, kind, depth: self.levels.len(), place })
            };
            match go {
                Go::Stop => break,
                Go::On if kind == FileType::Directory => {
                    let from = again.peek().cloned();
                    let from = from.as_deref().map_or(Bound::Unbounded, Bound::Included);
                    if self.descend(&directory, name, from) {
                        continue;
                    }
                }
                Go::On | Go::Past => (),
            }
            self.path.pop();
        }
        Ok(self.passed)
    }

    /// Goes into a directory. `false`: it cannot be, and that is counted.
    fn descend(&mut self, parent: &Entries, name: OsString, from: Bound<&OsStr>) -> bool {
        if self.levels.len() >= self.deepest {
            self.passed.too_deep += 1;
            return false;
        }
        let parent_device = self.levels.last().map_or(0, |level| level.device);
        let mounts = self.start.allowed().mounts;
        let opened = open_directory(parent, Path::new(&name), mounts).and_then(|fd| {
            let entries = Entries::new(fd)?;
            if entries.id.0 != parent_device && !filesystem::keeps_files(fstatfs(&entries)?.f_type as u64) {
                return Err(Errno::XDEV);
            }
            if self.start.own().have(entries.id) {
                return Err(Errno::PERM);
            }
            let names = self.names(&entries, from)?;
            Ok((entries, names))
        });
        match opened {
            Ok((entries, names)) => {
                let device = entries.id.0;
                self.levels.push(Level { name, open: Some(Arc::new(entries)), names, next: 0, device });
                if let Some(above) = self.levels.len().checked_sub(OPEN + 1) {
                    self.levels[above].open = None;
                }
                true
            }
            Err(Errno::XDEV) => {
                if self.passed.mounts.len() < 10 {
                    self.passed.mounts.push(self.start.path().join(&self.path));
                }
                false
            }
            // gone, or something else has the name now
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => false,
            Err(Errno::PERM) => {
                self.passed.denied += 1;
                false
            }
            Err(_) => {
                self.passed.unreadable += 1;
                false
            }
        }
    }

    /// The deepest directory, opened again if it was closed meanwhile.
    fn directory(&mut self) -> Option<Arc<Entries>> {
        if let Some(open) = self.levels.last().and_then(|level| level.open.clone()) {
            return Some(open);
        }
        if self.levels.len() == 1 {
            return Some(Arc::clone(&self.top));
        }
        let opened = self.open_again();
        let level = self.levels.last_mut()?;
        match opened {
            Ok(entries) => {
                let entries = Arc::new(entries);
                level.open = Some(Arc::clone(&entries));
                Some(entries)
            }
            Err(_) => {
                // it has gone while its children were walked
                level.names = Names::default();
                None
            }
        }
    }

    /// By its path from the top, as far at a time as the kernel takes.
    fn open_again(&self) -> Result<Entries, Errno> {
        let mounts = self.start.allowed().mounts;
        let (mut at, mut stretch): (Option<OwnedFd>, PathBuf) = (None, PathBuf::new());
        for level in self.levels.iter().skip(1) {
            if stretch.as_os_str().len() + level.name.len() > STRETCH {
                at = Some(match &at {
                    Some(at) => open_directory(at, &stretch, mounts)?,
                    None => open_directory(&*self.top, &stretch, mounts)?,
                });
                stretch.clear();
            }
            stretch.push(&level.name);
        }
        Entries::new(match &at {
            Some(at) => open_directory(at, &stretch, mounts)?,
            None => open_directory(&*self.top, &stretch, mounts)?,
        })
    }

    /// The next names of the deepest directory. `false`: there are none.
    fn refill(&mut self) -> bool {
        let Some(directory) = self.directory() else { return false };
        let Some(level) = self.levels.last_mut() else { return false };
        let last =
            level.names.len().checked_sub(1).and_then(|last| level.names.at(last)).map(|name| name.name.to_owned());
        level.names = Names::default();
        let names = self.names(&directory, last.as_deref().map_or(Bound::Unbounded, Bound::Excluded));
        let (Ok(names), Some(level)) = (names, self.levels.last_mut()) else { return false };
        (level.names, level.next) = (names, 0);
        !level.names.is_empty()
    }

    fn names(&self, directory: &Entries, from: Bound<&OsStr>) -> Result<Names, Errno> {
        let taken: usize = self.levels.iter().map(|level| level.names.size()).sum();
        directory.names(from, (NAMES.saturating_sub(taken) / 2).max(NAMES_LEAST))
    }
}

/// Opens a directory below another.
fn open_directory(at: impl AsFd, path: &Path, mounts: bool) -> Result<OwnedFd, Errno> {
    beneath(at, path, OFlags::RDONLY | OFlags::DIRECTORY, mounts)
}
