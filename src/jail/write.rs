//! What is changed below the allowed directories: always a name in a directory that is held open, never a path.
//!
//! A file is never written in place. Its successor is written beside it and takes its name in one step ([`Spot::put`]), so that whoever
//! reads, and whoever comes after a crash, finds the old one or the new one and never half of one. What is replaced, moved or removed is
//! first known by its [`Version`], and is looked at again under a [`Hold`] right before the step: what came in between is not lost.
//!
//! Whoever may rename what lies here, without holding, can still put another file in the place in the instant between that look and the
//! step. The kernel has no call that would look and rename at once.

mod draft;
mod hold;
mod survey;
#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    io::Read,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use ring::digest::{Context, SHA256, digest};
use rustix::{
    fs::{
        AtFlags, FileType, Mode, OFlags, RenameFlags, Stat, StatxAttributes, StatxFlags, fchmod, fstat, fsync, linkat,
        mkdirat, openat, renameat, renameat_with, statx, unlinkat,
    },
    io::Errno,
};

pub use hold::Hold;
pub(super) use hold::Writers;
pub use survey::{Below, survey};

use super::{Found, Jail, Who, beneath, kind_name};
use kernel::failure::Failure;
use text::{hex, quote, quote_path};

/// Larger files are not hashed, in bytes.
pub const MOST_HASHED: u64 = 64 << 20;

/// A name in a directory where callers may change things, whether anything has it or not.
#[derive(Debug)]
pub struct Spot {
    parent: Found,
    name: OsString,
    path: PathBuf,
}

/// What a name led to when it was looked at.
#[derive(Clone, Debug)]
pub struct Version {
    stat: Stat,
    sha256: Option<String>,
}

impl Jail {
    /// The place that a caller's `path` names, to change what is there.
    pub fn spot(&self, path: &str) -> Result<Spot, Failure> {
        let (parent, name) = self.find_parent(path)?;
        let path = parent.path().join(&name);
        let name = name.into_os_string();
        // what is there is known by its inode; here it is about what will be
        if parent.own().have_named((parent.stat().st_dev, parent.stat().st_ino), &name) {
            return Err(Failure::Forbidden(format!(
                "{} is this server's own and kept from callers",
                quote_path(&path)
            )));
        }
        Ok(Spot { parent, name, path })
    }
}

impl Spot {
    /// Where it is, without a link in it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is there now. A link is not followed.
    pub fn now(&self) -> Result<Option<Found>, Failure> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let (jail, own) = (self.parent.jail(), self.parent.jail().inner.settings.own.now());
        // what is mounted here can be seen, perhaps, but not moved or removed
        match beneath(&self.parent, Path::new(&self.name), flags, false) {
            Ok(fd) => jail.check(self.parent.allowed(), &self.path, fd, own).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::XDEV) => Err(Failure::Forbidden(format!(
                "something is mounted at {}, which is not changed",
                quote_path(&self.path)
            ))),
            Err(error) => Err(self.failure(error)),
        }
    }

    /// The same, where something has to be.
    pub fn there(&self) -> Result<Found, Failure> {
        self.now()?.ok_or_else(|| Failure::NotFound(quote_path(&self.path)))
    }

    /// Makes a directory that has these permissions. What its parent hands down to its children (group, ACL) it has as well.
    pub fn make_directory(&self, mode: u32) -> Result<(), Failure> {
        mkdirat(&self.parent, &self.name, Mode::RWXU).map_err(|error| self.failure(error))?;
        let made = openat(
            &self.parent,
            &self.name,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        );
        let ready = made.and_then(|made| {
            let inherited = fstat(&made)?.st_mode & 0o2000;
            fchmod(&made, Mode::from_raw_mode(mode | inherited))?;
            fsync(&made)
        });
        if let Err(error) = ready.and_then(|()| self.sync()) {
            let _ = unlinkat(&self.parent, &self.name, AtFlags::REMOVEDIR);
            return Err(self.failure(error));
        }
        Ok(())
    }

    /// Gives what is here the name `to`, and what has that name now its end, if it is known. Returns what could not be made sure of.
    pub fn rename(
        &self,
        to: &Self,
        _: &Hold,
        version: &Version,
        replaced: Option<&Version>,
    ) -> Result<Option<String>, Failure> {
        self.check(Some(version))?;
        to.check(replaced)?;
        let (from, name) = (&self.parent, &self.name);
        let moved = match replaced {
            Some(_) => renameat(from, name, &to.parent, &to.name),
            None => match renameat_with(from, name, &to.parent, &to.name, RenameFlags::NOREPLACE) {
                // a filesystem that cannot promise this; a second name cannot replace one either
                Err(Errno::INVAL | Errno::NOSYS) if version.kind() != FileType::Directory => {
                    linkat(from, name, &to.parent, &to.name, AtFlags::empty())
                        .and_then(|()| unlinkat(from, name, AtFlags::empty()))
                }
                moved => moved,
            },
        };
        moved.map_err(|error| match error {
            Errno::XDEV => Failure::Refused(format!(
                "{} and {} lie on two filesystems, and nothing is copied here: write it there and remove it here",
                quote_path(&self.path),
                quote_path(&to.path)
            )),
            Errno::EXIST | Errno::NOTEMPTY | Errno::ISDIR | Errno::NOTDIR => to.failure(error),
            _ => self.failure(error),
        })?;
        Ok(to.sync().and_then(|()| self.sync()).err().map(unsure))
    }

    /// Removes what is here: a file, a link or an empty directory. Returns what could not be made sure of.
    pub fn remove(&self, _: &Hold, version: &Version) -> Result<Option<String>, Failure> {
        self.check(Some(version))?;
        let is_directory = version.kind() == FileType::Directory;
        let flags = if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        unlinkat(&self.parent, &self.name, flags).map_err(|error| self.failure(error))?;
        Ok(self.sync().err().map(unsure))
    }

    /// Fails unless what is here is still what was seen, and its path still leads here.
    fn check(&self, seen: Option<&Version>) -> Result<(), Failure> {
        let path = quote_path(&self.path);
        let again = self.parent.jail().find_parent(&quote_path(&self.path))?;
        if (again.0.stat().st_dev, again.0.stat().st_ino) != (self.parent.stat().st_dev, self.parent.stat().st_ino) {
            return Err(Failure::Refused(format!(
                "{path} lies in another directory than a moment ago; nothing was changed: ask again"
            )));
        }
        match (seen, self.now()?) {
            (None, None) => Ok(()),
            (Some(seen), Some(now)) if seen.is(now.stat()) => Ok(()),
            (None, Some(_)) => Err(self.failure(Errno::EXIST)),
            (Some(_), _) => Err(Failure::Refused(format!(
                "{path} was changed by another program while this call was at work; nothing was changed: read it anew"
            ))),
        }
    }

    /// Has the disk know which names there are.
    fn sync(&self) -> Result<(), Errno> {
        fsync(self.open()?)
    }

    /// The directory, to be listed, locked or synced.
    fn open(&self) -> Result<OwnedFd, Errno> {
        openat(&self.parent, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    }

    /// Why nothing was changed here.
    fn failure(&self, error: Errno) -> Failure {
        let path = quote_path(&self.path);
        Failure::Refused(match error {
            Errno::NOSPC => {
                format!("there is no room left where {path} lies, and nothing was changed: make some first")
            }
            Errno::DQUOT => {
                format!("the quota of what {Who} may store where {path} lies is used up, and nothing was changed")
            }
            Errno::FBIG => format!("{path} would be larger than a file may be there, and nothing was changed"),
            Errno::ROFS => format!(
                "{path} lies where nothing can be written: the filesystem is mounted read-only, or this server's unit makes it so (ReadWritePaths=)"
            ),
            Errno::IO => {
                format!("the disk below {path} reports an error, and nothing was changed: look at the kernel's log")
            }
            Errno::EXIST => format!("{path} exists"),
            Errno::NOTEMPTY => format!("{path} is a directory that is not empty"),
            Errno::BUSY => format!("{path} is in use by the kernel: something is mounted there"),
            Errno::MLINK => format!("the directory of {path} holds as much as it can"),
            Errno::ISDIR => format!("{path} is a directory"),
            Errno::ACCESS | Errno::PERM => return Failure::Unchangeable(format!("{path} ({})", self.why_not())),
            Errno::NAMETOOLONG => return Failure::Invalid(format!("{path} has a part of more than 255 bytes")),
            Errno::INVAL | Errno::ILSEQ => {
                return Failure::Invalid(format!("the filesystem takes no such name or move: {path}"));
            }
            _ => return Failure::from_io(path.to_string(), error.into()),
        })
    }

    /// What keeps the server from changing what is here, as far as it can be seen.
    fn why_not(&self) -> String {
        for (what, fd) in [("it", self.now().ok().flatten()), ("its directory", None)] {
            let fd = fd.as_ref().map_or(self.parent.as_fd(), AsFd::as_fd);
            let kept = statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS).map(|stat| stat.stx_attributes);
            let kept = kept.unwrap_or(StatxAttributes::empty());
            for (attribute, name) in
                [(StatxAttributes::IMMUTABLE, "immutable"), (StatxAttributes::APPEND, "append-only")]
            {
                if kept.contains(attribute) {
                    return format!("{what} is marked {name}, see chattr");
                }
            }
        }
        let stat = self.parent.stat();
        let sticky = if stat.st_mode & 0o1000 == 0 { "" } else { ", where each may change their own alone" };
        format!(
            "its directory has uid {}, gid {}, mode {:04o}{sticky}; {Who}",
            stat.st_uid,
            stat.st_gid,
            stat.st_mode & 0o7777
        )
    }
}

impl Version {
    /// What was found, with its hash if it is a file that is not too large.
    pub fn of(found: &Found) -> Result<Self, Failure> {
        let is_hashed = found.kind() == FileType::RegularFile && size(found.stat()) <= MOST_HASHED;
        if !is_hashed {
            return Ok(Self { stat: *found.stat(), sha256: None });
        }
        let mut context = Context::new(&SHA256);
        let stat = read(found, MOST_HASHED, |bytes| context.update(bytes))?;
        Ok(Self { stat, sha256: Some(hex(context.finish().as_ref())) })
    }

    /// The content of a file of at most `most` bytes, and its version.
    pub fn read(found: &Found, most: u64) -> Result<(Vec<u8>, Self), Failure> {
        let mut content = vec![];
        let stat = read(found, most, |bytes| content.extend_from_slice(bytes))?;
        let sha256 = Some(sha256(&content));
        Ok((content, Self { stat, sha256 }))
    }

    /// What stat says.
    pub fn stat(&self) -> &Stat {
        &self.stat
    }

    /// What it is.
    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// The hash of a file's content. `None`: it is no file, or too large.
    pub fn sha256(&self) -> Option<&str> {
        self.sha256.as_deref()
    }

    /// Whether it is the same file, with the same content and the same permissions; or the same directory, whatever is in it.
    fn is(&self, now: &Stat) -> bool {
        if self.kind() == FileType::Directory {
            return (self.stat.st_dev, self.stat.st_ino) == (now.st_dev, now.st_ino);
        }
        let marks = |stat: &Stat| {
            let changed = (stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec);
            (stat.st_dev, stat.st_ino, stat.st_size, changed)
        };
        marks(&self.stat) == marks(now)
    }
}

/// The SHA-256 of `content`, in hex.
pub fn sha256(content: &[u8]) -> String {
    hex(digest(&SHA256, content).as_ref())
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or_default()
}

/// Reads a file that nobody writes to meanwhile.
fn read(found: &Found, most: u64, mut take: impl FnMut(&[u8])) -> Result<Stat, Failure> {
    let path = quote_path(found.path());
    let mut file = found.open()?;
    let before = fstat(&file).map_err(|error| found.failure(error))?;
    if size(&before) > most {
        return Err(Failure::Refused(format!("{path} has {} bytes, and at most {most} are taken", size(&before))));
    }
    let (mut buffer, mut all) = (vec![0; 64 << 10], 0);
    loop {
        let count = file.read(&mut buffer).map_err(|error| Failure::from_io(path.to_string(), error))?;
        all += count as u64;
        if count == 0 || all > most {
            break;
        }
        take(&buffer[..count]);
    }
    let after = fstat(&file).map_err(|error| found.failure(error))?;
    let version = Version { stat: before, sha256: None };
    if all != size(&before) || !version.is(&after) {
        return Err(Failure::Refused(format!(
            "{path} was written to while it was read; nothing was changed: ask again"
        )));
    }
    Ok(before)
}

/// What to say when it was done and may not last.
fn unsure(error: Errno) -> String {
    format!("done, but the disk did not confirm it ({error}): it may be undone if the machine goes down now")
}

/// Fails unless it is of one of these kinds.
pub fn expect(found: &Found, kinds: &[FileType]) -> Result<(), Failure> {
    let path = quote_path(found.path());
    match found.kind() {
        kind if kinds.contains(&kind) => Ok(()),
        FileType::Symlink => {
            let target = quote(&found.target().unwrap_or_default());
            Err(Failure::Forbidden(format!("{path} is a symbolic link to {target}: name the file itself")))
        }
        kind => Err(Failure::Forbidden(format!("{path} is {}, which is not changed like this", kind_name(kind)))),
    }
}
