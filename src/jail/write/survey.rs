//! All that lies below a directory, before it is moved or removed: whether it is all the caller's to see, and how much it is.

use std::{
    ffi::OsStr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FileType, OFlags, Stat, statat, unlinkat},
    io::Errno,
};

use super::Spot;
use crate::{
    Found, Who, beneath,
    walk::{Go, Walk},
};
use kernel::failure::Failure;
use text::quote_path;

/// How much is looked through: entries, levels, and the bytes of all paths together.
const MOST: usize = 100_000;
const DEEPEST: usize = 256;
const PATHS: usize = 16 << 20;

/// What lies below a directory, in an order in which a directory comes before what is in it.
#[derive(Debug)]
pub struct Below {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    /// From the directory.
    path: PathBuf,
    device: u64,
    inode: u64,
    is_directory: bool,
}

/// Looks through all below `found`. Fails if there is anything that callers may not see or the server cannot, or if it lies on another
/// filesystem; and if anything would be kept from callers once the directory is at `to`.
pub fn survey(found: &Found, to: Option<&Spot>) -> Result<Below, Failure> {
    let top = quote_path(found.path());
    let refused = |why: String| Err(Failure::Forbidden(format!("{top} is left as it is: {why}")));
    let (mut below, mut bytes, mut why) = (Below { entries: vec![] }, 0, None);
    let passed = Walk::new(found, DEEPEST)?.on_one_mount().each(|entry| {
        let stat = match entry.stat() {
            Ok(stat) => stat,
            Err(error) => {
                why = Some(format!("{} cannot be looked at: {error}", quote_path(entry.path)));
                return Go::Stop;
            }
        };
        bytes += entry.path.as_os_str().len();
        let one = Entry {
            path: entry.path.to_owned(),
            device: stat.st_dev,
            inode: stat.st_ino,
            is_directory: FileType::from_raw_mode(stat.st_mode).is_dir(),
        };
        why = if found.own().have(&stat) {
            Some("it holds what is this server's own".into())
        } else if stat.st_dev != found.stat().st_dev {
            Some(format!("another filesystem is mounted at {}", quote_path(entry.path)))
        } else if to.is_some_and(|to| found.jail().denies(&to.path.join(entry.path))) {
            Some(format!("{} would be kept from callers there", quote_path(entry.path)))
        } else if below.entries.len() == MOST || bytes > PATHS {
            Some(format!("it holds more than {MOST} entries, or too long paths; take parts of it first"))
        } else {
            below.entries.push(one);
            return Go::On;
        };
        Go::Stop
    })?;
    if let Some(why) = why {
        return refused(why);
    }
    if passed.denied > 0 {
        return refused("it holds what is kept from callers".into());
    }
    if let Some(mount) = passed.mounts.first() {
        return refused(format!("another filesystem is mounted at {}", quote_path(mount)));
    }
    if passed.unreadable > 0 {
        return refused(format!("{} directories in it cannot be read by this server", passed.unreadable));
    }
    if passed.too_deep > 0 {
        return refused(format!("it is more than {DEEPEST} directories deep; take parts of it first"));
    }
    Ok(below)
}

impl Below {
    /// How many entries.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Removes them all, the deepest first, and stops where anything is not as it was. The directory itself stays.
    pub fn remove(&self, found: &Found) -> Result<(), Failure> {
        let mut parent: Option<(&Path, OwnedFd)> = None;
        for (removed, entry) in self.entries.iter().rev().enumerate() {
            let stopped = |why: String| {
                let (path, all) = (found.path().join(&entry.path), self.entries.len());
                let left = all - removed;
                Failure::Refused(format!(
                    "stopped at {}: {why}; {removed} of {all} entries are gone, {left} and what came meanwhile are left",
                    quote_path(&path)
                ))
            };
            let (Some(above), Some(name)) = (entry.path.parent(), entry.path.file_name()) else { continue };
            let opened = match parent.take() {
                Some((path, fd)) if path == above => Ok(fd),
                _ => beneath(found, above, OFlags::PATH | OFlags::DIRECTORY, false),
            };
            let fd = opened.map_err(|error| stopped(error.to_string()))?;
            entry.remove(&fd, name).map_err(stopped)?;
            parent = Some((above, fd));
        }
        Ok(())
    }
}

impl Entry {
    fn remove(&self, parent: &OwnedFd, name: &OsStr) -> Result<(), String> {
        let words = |error: Errno| error.to_string();
        let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(words)?;
        if !self.is(&stat) {
            return Err("it is not what was counted".into());
        }
        let flags = if self.is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        unlinkat(parent, name, flags).map_err(|error| match error {
            Errno::NOTEMPTY | Errno::EXIST => "something was put into it meanwhile".into(),
            Errno::ACCESS | Errno::PERM => format!("this server may not remove it ({})", Who),
            error => error.to_string(),
        })
    }

    fn is(&self, stat: &Stat) -> bool {
        let is_directory = FileType::from_raw_mode(stat.st_mode).is_dir();
        (self.device, self.inode, self.is_directory) == (stat.st_dev, stat.st_ino, is_directory)
    }
}
