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
    Found,
    alias::Table,
    beneath,
    entries::{Entries, Names},
    filesystem,
    own::Inodes,
};
use kernel::failure::Failure;

/// Directories kept open, the deepest ones.
const OPEN: usize = 24;

/// What all names together may take, in bytes, and the least that one directory gets of it.
const NAMES: usize = 32 << 20;
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
    /// What was shown last, where the walk ended before its end: another one can begin [after](Walk::after) it.
    pub stopped: Option<PathBuf>,
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
    location: Location<'a>,
}

#[derive(Clone, Copy, Debug)]
struct Location<'a> {
    directory: &'a Arc<Entries>,
    name: &'a OsStr,
    start: &'a Found,
}

impl Entry<'_> {
    /// Its name.
    pub fn name(&self) -> &OsStr {
        self.location.name
    }

    /// What stat says of it. A link is not followed.
    pub fn stat(&self) -> io::Result<Stat> {
        Ok(self.location.directory.stat(self.location.name)?)
    }

    /// The same entry without the walk: to be opened elsewhere, later.
    pub fn ticket(&self) -> Ticket {
        Ticket::new(self.location.start, self.location.directory, self.location.name.to_owned())
    }

    /// What has this name in the directory that this is, before the walk has come to it.
    pub fn ticket_within(&self, name: &str) -> Ticket {
        Ticket::new(
            self.location.start,
            self.location.directory,
            Path::new(self.location.name).join(name).into_os_string(),
        )
    }

    /// Where a link says that it leads.
    pub fn target(&self) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(self.location.directory, self.location.name, vec![])?.into_bytes())
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
    fn new(start: &Found, directory: &Arc<Entries>, name: OsString) -> Self {
        Self { directory: Arc::clone(directory), name, own: Arc::clone(start.own()), mounts: start.allowed().mounts }
    }

    /// Opens it for reading, with what stat says. `None`: it is no regular file any more, or the server's own by another name.
    pub fn open(&self) -> io::Result<Option<(File, Stat)>> {
        if self.own.have_named(self.directory.id, &self.name) {
            return Ok(None);
        }
        // NONBLOCK: what has the name now may be a FIFO
        let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let fd = beneath(&self.directory, Path::new(&self.name), flags, self.mounts)?;
        let stat = fstat(&fd)?;
        let may = FileType::from_raw_mode(stat.st_mode).is_file() && !self.own.have(&stat);
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

/// How many entries are shown until the walk asks again whether it is over.
const PATIENT_FOR: usize = 16;

/// A walk.
pub struct Walk<'a> {
    start: &'a Found,
    top: Arc<Entries>,
    levels: Vec<Level>,
    path: PathBuf,
    deepest: usize,
    mounts: bool,
    mounted: Arc<Table>,
    resume: Vec<OsString>,
    /// What the resumed walk stopped at is shown again.
    again: bool,
    is_over: &'a dyn Fn() -> bool,
    /// What was shown last.
    last: PathBuf,
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
            mounts: start.allowed().mounts,
            mounted: start.jail().inner.mounts.now(),
            resume: vec![],
            again: false,
            is_over: &|| false,
            last: PathBuf::new(),
            passed: Passed::default(),
        })
    }

    /// Ends when `is_over` says so, which is asked often.
    #[must_use]
    pub fn until(self, is_over: &'a dyn Fn() -> bool) -> Self {
        Self { is_over, ..self }
    }

    /// What has this path from the directory where the walk begins.
    pub fn ticket(&self, path: &Path) -> Ticket {
        Ticket::new(self.start, &self.top, path.into())
    }

    /// Goes into nothing that is mounted below, whether callers may see it or not.
    #[must_use]
    pub fn on_one_mount(self) -> Self {
        Self { mounts: false, ..self }
    }

    /// Begins after this path, which an earlier walk has shown, and with what is below it.
    #[must_use]
    pub fn after(mut self, path: &Path) -> Self {
        self.resume = path.components().map(|part| part.as_os_str().to_owned()).collect();
        self.last = path.to_owned();
        self
    }

    /// Begins with this path itself, if it is still there.
    #[must_use]
    pub fn from(self, path: &Path) -> Self {
        Self { again: true, ..self.after(path) }
    }

    /// Shows every entry until there is none or `show` has seen enough. A directory comes before what is in it.
    pub fn each(mut self, mut show: impl FnMut(&Entry<'_>) -> Go) -> Result<Passed, Failure> {
        let (top, device) = (Arc::clone(&self.top), self.start.stat().st_dev);
        let resume = std::mem::take(&mut self.resume);
        let from = resume.first().map_or(Bound::Unbounded, |first| Bound::Included(first.as_os_str()));
        let names = match self.names(&top, from) {
            Ok(names) => names,
            Err(Errno::CANCELED) => return Ok(self.stopped()),
            Err(error) => return Err(self.start.failure(error)),
        };
        self.levels.push(Level { name: OsString::new(), open: Some(top), names, next: 0, device });
        // those that lead to where an earlier walk stopped have been shown
        let mut again = resume.into_iter().peekable();
        let mut count = 0_usize;
        while let Some(level) = self.levels.last_mut() {
            count += 1;
            if count.is_multiple_of(PATIENT_FOR) && (self.is_over)() {
                return Ok(self.stopped());
            }
            let Some(name) = level.names.at(level.next) else {
                if level.names.have_more() {
                    match self.refill() {
                        Ok(true) => continue,
                        Ok(false) => (),
                        Err(Errno::CANCELED) => return Ok(self.stopped()),
                        // what is left of it
                        Err(_) => self.passed.unreadable += 1,
                    }
                }
                self.levels.pop();
                self.path.pop();
                continue;
            };
            level.next += 1;
            let (name, mut kind) = (name.name.to_owned(), name.kind);
            let is_again = again.next_if_eq(&name).is_some() && !(self.again && again.peek().is_none());
            if !is_again {
                again = vec![].into_iter().peekable();
            }
            let Some(directory) = self.directory() else { continue };
            self.path.push(&name);
            if kind == FileType::Unknown {
                kind = directory.stat(&name).map_or(kind, |stat| FileType::from_raw_mode(stat.st_mode));
            }
            let jail = self.start.jail();
            let may_be_denied = jail.deny().may_deny(&name) || self.mounts && self.mounted.may_be_at(&name);
            let is_denied = may_be_denied && jail.denies(&self.start.path().join(&self.path))
                || self.start.own().have_named(directory.id, &name);
            let go = if is_denied {
                self.passed.denied += 1;
                again = vec![].into_iter().peekable();
                Go::Past
            } else if is_again {
                Go::On
            } else {
                self.last.clone_from(&self.path);
                let location = Location { directory: &directory, name: &name, start: self.start };
                show(&Entry { path: &self.path, kind, depth: self.levels.len(), location })
            };
            match go {
                Go::Stop => return Ok(self.stopped()),
                Go::On if kind == FileType::Directory => {
                    let from = again.peek().cloned();
                    let from = from.as_deref().map_or(Bound::Unbounded, Bound::Included);
                    match self.descend(&directory, name, from) {
                        Ok(true) => continue,
                        Ok(false) => (),
                        Err(Errno::CANCELED) => return Ok(self.stopped()),
                        Err(_) => self.passed.unreadable += 1,
                    }
                }
                Go::On | Go::Past => (),
            }
            self.path.pop();
        }
        Ok(self.passed)
    }

    fn stopped(self) -> Passed {
        Passed { stopped: Some(self.last), ..self.passed }
    }

    /// Goes into a directory. `false`: it cannot be, and that is counted.
    fn descend(&mut self, parent: &Entries, name: OsString, from: Bound<&OsStr>) -> Result<bool, Errno> {
        if self.levels.len() >= self.deepest {
            self.passed.too_deep += 1;
            return Ok(false);
        }
        let parent_device = self.levels.last().map_or(0, |level| level.device);
        let opened = open_directory(parent, Path::new(&name), self.mounts).and_then(|fd| {
            let entries = Entries::new(fd)?;
            if entries.id.0 != parent_device && !filesystem::keeps_files(fstatfs(&entries)?.f_type as u64) {
                return Err(Errno::XDEV);
            }
            if self.start.own().have_directory(entries.id) {
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
                Ok(true)
            }
            Err(Errno::XDEV) => {
                if self.passed.mounts.len() < 10 {
                    self.passed.mounts.push(self.start.path().join(&self.path));
                }
                Ok(false)
            }
            // gone, or something else has the name now
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(false),
            Err(Errno::PERM) => {
                self.passed.denied += 1;
                Ok(false)
            }
            Err(error) => Err(error),
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
        let (mut at, mut stretch): (Option<OwnedFd>, PathBuf) = (None, PathBuf::new());
        for level in self.levels.iter().skip(1) {
            if stretch.as_os_str().len() + level.name.len() > STRETCH {
                at = Some(match &at {
                    Some(at) => open_directory(at, &stretch, self.mounts)?,
                    None => open_directory(&*self.top, &stretch, self.mounts)?,
                });
                stretch.clear();
            }
            stretch.push(&level.name);
        }
        Entries::new(match &at {
            Some(at) => open_directory(at, &stretch, self.mounts)?,
            None => open_directory(&*self.top, &stretch, self.mounts)?,
        })
    }

    /// The next names of the deepest directory. `false`: there are none.
    fn refill(&mut self) -> Result<bool, Errno> {
        let Some(directory) = self.directory() else { return Ok(false) };
        let Some(level) = self.levels.last_mut() else { return Ok(false) };
        let last =
            level.names.len().checked_sub(1).and_then(|last| level.names.at(last)).map(|name| name.name.to_owned());
        level.names = Names::default();
        let names = self.names(&directory, last.as_deref().map_or(Bound::Unbounded, Bound::Excluded))?;
        let Some(level) = self.levels.last_mut() else { return Ok(false) };
        (level.names, level.next) = (names, 0);
        Ok(!level.names.is_empty())
    }

    fn names(&self, directory: &Entries, from: Bound<&OsStr>) -> Result<Names, Errno> {
        let taken: usize = self.levels.iter().map(|level| level.names.size()).sum();
        directory.names_until(from, (NAMES.saturating_sub(taken) / 2).max(NAMES_LEAST), self.is_over)
    }
}

/// Opens a directory below another.
fn open_directory(at: impl AsFd, path: &Path, mounts: bool) -> Result<OwnedFd, Errno> {
    beneath(at, path, OFlags::RDONLY | OFlags::DIRECTORY, mounts)
}
