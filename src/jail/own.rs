//! The server's own files, which no caller sees, by what they are and not by how they are called.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    os::{fd::AsFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, openat, statat},
    io::Errno,
};

/// Own directories are shallow and small; what lies deeper or comes later is still kept by its directory.
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
            match rustix::fs::stat(&path) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_dir() => {
                    inodes.keep(&stat);
                    inodes.keep_below(CWD, &path, &|_| true, 0);
                }
                _ => {
                    // one that is rotated has its older ones beside it, and one that is replaced soon has another inode
                    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
                    if let Ok(parent) = rustix::fs::stat(parent) {
                        inodes.named.push(((parent.st_dev, parent.st_ino), name.to_owned()));
                    }
                    inodes.keep_below(CWD, parent, &|other| other.starts_with(name.as_bytes()), DEEPEST);
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
    /// Files that may be replaced: the directory they are in, and how their names begin.
    named: Vec<((u64, u64), OsString)>,
}

impl Inodes {
    /// Whether it is one of them.
    pub(super) fn have(&self, id: (u64, u64)) -> bool {
        self.all.contains(&id)
    }

    /// Whether what has this name in this directory is one of them, whichever file that is by now.
    pub(super) fn have_named(&self, directory: (u64, u64), name: &OsStr) -> bool {
        self.named.iter().any(|(parent, own)| *parent == directory && name.as_bytes().starts_with(own.as_bytes()))
    }

    /// Both these and those.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.all.extend(other.all);
        self
    }

    fn keep(&mut self, stat: &Stat) {
        self.all.insert((stat.st_dev, stat.st_ino));
    }

    fn keep_below(&mut self, at: impl AsFd, path: &Path, wanted: &dyn Fn(&[u8]) -> bool, depth: usize) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(dir) = openat(&at, path, flags, Mode::empty()) else { return };
        let Ok(entries) = Dir::read_from(&dir) else { return };
        for entry in entries {
            let Ok(entry) = entry else { return };
            let name = entry.file_name();
            let bytes = name.to_bytes();
            if matches!(bytes, b"." | b"..") || !wanted(bytes) || self.all.len() >= MOST {
                continue;
            }
            let stat = match statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(_) => return,
            };
            self.keep(&stat);
            if FileType::from_raw_mode(stat.st_mode).is_dir() && depth < DEEPEST {
                self.keep_below(&dir, Path::new(OsStr::from_bytes(bytes)), wanted, depth + 1);
            }
        }
    }
}
