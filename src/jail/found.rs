//! What a caller's path led to: known by its descriptor, and opened only through it.

use std::{
    ffi::OsStr,
    fs::File,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{FileType, Mode, OFlags, Stat, open, openat, readlinkat},
    io::Errno,
};

use super::{Access, Allowed, Jail, entries::Entries, own::Inodes};
use kernel::failure::Failure;
use text::quote_path;

/// A file, a directory or, where one was asked for, a link or whatever else has the name; permitted, and not yet opened.
#[derive(Debug)]
pub struct Found {
    jail: Jail,
    allowed: Allowed,
    path: PathBuf,
    fd: OwnedFd,
    stat: Stat,
    own: Arc<Inodes>,
}

impl Found {
    pub(super) fn new(jail: Jail, allowed: Allowed, path: PathBuf, fd: OwnedFd, stat: Stat, own: Arc<Inodes>) -> Self {
        Self { jail, allowed, path, fd, stat, own }
    }

    /// Where it lies: the path that has no link in it, from the caller's `/`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is.
    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// As it was when it was found.
    pub fn stat(&self) -> &Stat {
        &self.stat
    }

    /// What may be done to it.
    pub fn access(&self) -> Access {
        self.allowed.access
    }

    /// The allowed directory it lies in.
    pub fn allowed(&self) -> &Allowed {
        &self.allowed
    }

    /// Where a link says that it leads.
    pub fn target(&self) -> Result<Vec<u8>, Failure> {
        readlinkat(&self.fd, "", vec![]).map(std::ffi::CString::into_bytes).map_err(|error| self.failure(error))
    }

    /// Opens the file for reading. It is the very one that was found.
    pub fn open(&self) -> Result<File, Failure> {
        if self.kind() != FileType::RegularFile {
            return Err(Failure::Invalid(format!(
                "{} is {}, not a file",
                quote_path(&self.path),
                super::kind_name(self.kind())
            )));
        }
        // the descriptor and not the path again: what has the name now may be something that acts when it is opened
        let itself = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        match open(itself, flags, Mode::empty()) {
            Ok(fd) => Ok(File::from(fd)),
            Err(Errno::NOENT) => Err(Failure::Unavailable("/proc/self/fd, through which files are opened,".into())),
            Err(error) => Err(self.failure(error)),
        }
    }

    /// Opens the directory to list it.
    pub fn entries(&self) -> Result<Entries, Failure> {
        if self.kind() != FileType::Directory {
            return Err(Failure::Invalid(format!(
                "{} is {}, not a directory",
                quote_path(&self.path),
                super::kind_name(self.kind())
            )));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(&self.fd, ".", flags, Mode::empty()).and_then(Entries::new).map_err(|error| self.failure(error))
    }

    /// Whether what has this name in the directory is kept from callers, by the name or as the server's own.
    pub fn keeps(&self, name: &OsStr, stat: Option<&Stat>) -> bool {
        self.jail.denies(&self.path.join(name))
            || self.own.have_named((self.stat.st_dev, self.stat.st_ino), name)
            || stat.is_some_and(|stat| self.own.have(stat))
    }

    /// The failure of something that was tried with it.
    pub fn failure(&self, error: Errno) -> Failure {
        let path = quote_path(&self.path);
        match error {
            Errno::ACCESS | Errno::PERM => {
                let (uid, gid, mode) = (self.stat.st_uid, self.stat.st_gid, self.stat.st_mode & 0o7777);
                Failure::Denied(format!("{path} (uid {uid}, gid {gid}, mode {mode:04o}; {})", Who))
            }
            _ => Failure::from_io(path.to_string(), error.into()),
        }
    }

    pub(super) fn jail(&self) -> &Jail {
        &self.jail
    }

    pub(super) fn own(&self) -> &Arc<Inodes> {
        &self.own
    }
}

impl AsFd for Found {
    /// Not open for reading: for what stat, statx and statfs tell, and for names below it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Who this server is to the kernel, in a clause.
#[derive(Clone, Copy, Debug)]
pub struct Who;

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        write!(f, "this server is uid {uid}, gid {gid}")
    }
}
