//! The server's own files, which no caller sees, by what they are and not by how they are called.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, openat, statat},
    io::Errno,
};

/// Own directories are shallow and small; what lies deeper or comes later is still kept by its directory. Another name of it elsewhere is
/// not known then: so every file with several names on that device is kept.
const DEEPEST: usize = 4;
const MOST: usize = 10_000;

/// Where they are: state, tokens, audit log, keys. A directory stands for all that is in it, a file also for what is called like it and
/// has something added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own(Vec<PathBuf>);

impl Own {
    /// These.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self(paths)
    }

    /// Device and inode of each as they are now: hard links and bind mounts have other names, and the same of these.
    pub(super) fn now(&self) -> Inodes {
        let mut inodes = Inodes::default();
        // what a link stands for is the server's own as well: certificates are often kept behind one
        let true_paths = self.0.iter().filter_map(|path| std::fs::canonicalize(path).ok());
        for path in self.0.iter().cloned().chain(true_paths) {
            let found = rustix::fs::stat(&path);
            match &found {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_dir() => {
                    inodes.keep(stat);
                    inodes.keep_below(CWD, &path, stat, 0);
                }
                _ => {
                    // one that is rotated has its older ones beside it, and one that is replaced soon has another inode
                    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
                    if let Ok(parent) = rustix::fs::stat(parent) {
                        inodes.named.push(((parent.st_dev, parent.st_ino), name.to_owned()));
                    }
                    if let Ok(stat) = &found {
                        inodes.keep(stat);
                    }
                    inodes.keep_named(parent, name);
                }
            }
        }
        inodes
    }
}

/// Files and directories, by device and inode.
#[derive(Clone, Debug, Default)]
pub(super) struct Inodes {
    all: HashSet<(u64, u64)>,
    /// The files among them, by what a filesystem that shows those of another tells of them as well: overlayfs, FUSE, NFS.
    shown: HashSet<Shown>,
    /// The devices they are on.
    devices: HashSet<u64>,
    /// Files that may be replaced: the directory they are in, and how their names begin.
    named: Vec<((u64, u64), OsString)>,
    /// Devices of own directories that could not be listed to the end.
    unlisted: HashSet<u64>,
}

impl Inodes {
    /// Whether it is one of them, or may be.
    pub(super) fn have(&self, stat: &Stat) -> bool {
        self.have_directory((stat.st_dev, stat.st_ino)) || self.may_have(stat) || self.have_shown(stat)
    }

    /// Whether it is one of them that another filesystem shows: it has the owner, the mode and the inode number of one that is its owner's
    /// alone, or its times. A log may have grown since it was looked at, and has other times then; inode numbers may differ.
    fn have_shown(&self, stat: &Stat) -> bool {
        let is_elsewhere = !self.devices.contains(&stat.st_dev);
        is_elsewhere && Shown::of(stat).is_some_and(|both| both.iter().any(|one| self.shown.contains(one)))
    }

    /// Whether it may be one of them under another name: not all of them are known.
    pub(super) fn may_have(&self, stat: &Stat) -> bool {
        let has_names = stat.st_nlink > 1 && !FileType::from_raw_mode(stat.st_mode).is_dir();
        has_names && self.unlisted.contains(&stat.st_dev)
    }

    /// The same for a directory, which has only one name.
    pub(super) fn have_directory(&self, id: (u64, u64)) -> bool {
        self.all.contains(&id)
    }

    /// Whether what has this name in this directory is one of them, whichever file that is by now.
    pub(super) fn have_named(&self, directory: (u64, u64), name: &OsStr) -> bool {
        self.named.iter().any(|(parent, own)| *parent == directory && name.as_bytes().starts_with(own.as_bytes()))
    }

    /// Both these and those.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.all.extend(other.all);
        self.shown.extend(other.shown);
        self.devices.extend(other.devices);
        self.unlisted.extend(other.unlisted);
        self
    }

    fn keep(&mut self, stat: &Stat) {
        self.all.insert((stat.st_dev, stat.st_ino));
        self.devices.insert(stat.st_dev);
        self.shown.extend(Shown::of(stat).into_iter().flatten());
    }

    /// Keeps the files in this directory that are called like `name`, or have something added.
    fn keep_named(&mut self, directory: &Path, name: &OsStr) {
        let is_like = |other: &[u8]| other.starts_with(name.as_bytes());
        let Ok(entries) = listed(CWD, directory, is_like) else { return };
        for (_, stat) in entries.flatten() {
            self.keep(&stat);
        }
    }

    /// Keeps all that is in this directory and below it.
    fn keep_below(&mut self, at: impl AsFd, path: &Path, directory: &Stat, depth: usize) {
        match self.kept_below(at, path, depth) {
            // what may not be listed belongs to another user's server, whose files are its alone under any name
            Ok(()) | Err(Errno::NOENT | Errno::ACCESS) => (),
            Err(_) => drop(self.unlisted.insert(directory.st_dev)),
        }
    }

    /// The same; an error: there is, or may be, more than was seen.
    fn kept_below(&mut self, at: impl AsFd, path: &Path, depth: usize) -> Result<(), Errno> {
        let dir = opened(&at, path)?;
        for entry in listed(&dir, Path::new("."), |_| true)? {
            let (name, stat) = entry?;
            if self.all.len() >= MOST {
                return Err(Errno::OVERFLOW);
            }
            self.keep(&stat);
            if FileType::from_raw_mode(stat.st_mode).is_dir() {
                if depth >= DEEPEST {
                    return Err(Errno::OVERFLOW);
                }
                self.keep_below(&dir, Path::new(&name), &stat, depth + 1);
            }
        }
        Ok(())
    }
}

/// What tells that two files on two filesystems are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Shown {
    /// Owner, mode and inode number.
    Number(u32, u32, u64),
    /// When it was last changed, in nanoseconds, and its length in bytes.
    Changed(i64, u64, i64),
}

impl Shown {
    /// Of a file; directories hold other names on top of others.
    fn of(stat: &Stat) -> Option<Vec<Self>> {
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return None;
        }
        // others have inode numbers of their own, and the same now and then: what anybody may read is not worth a refusal
        let number = Self::Number(stat.st_uid, stat.st_mode, stat.st_ino);
        let number = (stat.st_mode & 0o077 == 0).then_some(number);
        Some(number.into_iter().chain([Self::Changed(stat.st_ctime, stat.st_ctime_nsec, stat.st_size)]).collect())
    }
}

fn opened(at: impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    openat(at, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// What is in a directory and has a wanted name; what goes while it is read is left out.
fn listed(
    at: impl AsFd,
    path: &Path,
    wanted: impl Fn(&[u8]) -> bool,
) -> Result<impl Iterator<Item = Result<(OsString, Stat), Errno>>, Errno> {
    let dir = opened(at, path)?;
    let entries = Dir::read_from(&dir)?;
    Ok(entries.filter_map(move |entry| {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => return Some(Err(error)),
        };
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") || !wanted(name.to_bytes()) {
            return None;
        }
        match statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(Ok((OsStr::from_bytes(name.to_bytes()).to_owned(), stat))),
            Err(Errno::NOENT) => None,
            Err(error) => Some(Err(error)),
        }
    }))
}
