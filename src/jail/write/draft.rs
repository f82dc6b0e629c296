//! A file's successor: written beside it, made like it, and put in its place in one step.

use std::{
    ffi::{CString, OsStr, OsString},
    fs::File,
    io::Write as _,
    os::unix::ffi::OsStrExt,
    sync::PoisonError,
    time::{Duration, Instant, SystemTime},
};

use ring::rand::{SecureRandom, SystemRandom};
use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Stat, Uid, XattrFlags, fchmod, fchown, fgetxattr,
        flistxattr, fremovexattr, fsetxattr, fstat, fsync, linkat, openat, renameat, renameat_with, unlinkat,
    },
    io::Errno,
};

use super::{Hold, Spot, Version, unsure};
use crate::{Found, entries::Entries};
use kernel::failure::Failure;
use text::{hex, quote_path};

/// How what is being written is called until it is whole. 32 hex digits follow.
const PREFIX: &str = ".systemmanager-mcp.";
const DIGITS: usize = 32;

/// How old it must be, if the server that wrote it was killed, before it is removed; and how often a directory is looked through for it.
const STALE: Duration = Duration::from_secs(3600);

const ACL: &str = "system.posix_acl_access";

/// What goes with content that was put there, as it does when the kernel writes into a file.
const OF_THE_CONTENT: [&str; 3] = ["security.capability", "security.ima", "security.evm"];

/// What could not be kept of the old file, or made sure of.
#[derive(Debug, Default)]
struct Notes(Vec<String>);

/// A file that has no name of its own yet, gone when dropped.
struct Draft<'a> {
    spot: &'a Spot,
    name: OsString,
    file: File,
}

impl Spot {
    /// Puts a file with this content here. In the place of `old`, it is like it in permissions, owner and attributes; a new one has the
    /// permissions `mode`. Returns what is not as it was.
    pub fn put(&self, _: &Hold, old: Option<&Version>, content: &[u8], mode: u32) -> Result<Vec<String>, Failure> {
        self.sweep();
        let failed = |error| self.failure(error);
        let mut draft = Draft::new(self)?;
        draft.file.write_all(content).map_err(|error| self.io(&error))?;
        let mut notes = Notes::default();
        match old {
            None => fchmod(&draft.file, Mode::from_raw_mode(mode)).map_err(failed)?,
            Some(old) => draft.liken(old, &self.there()?, &mut notes)?,
        }
        fsync(&draft.file).map_err(failed)?;
        self.check(old)?;
        draft.rename(old.is_some()).map_err(failed)?;
        // it has the name now, and the draft's own may be another's
        draft.name.clear();
        notes.0.extend(self.sync().err().map(unsure));
        Ok(notes.0)
    }

    fn io(&self, error: &std::io::Error) -> Failure {
        self.failure(Errno::from_io_error(error).unwrap_or(Errno::IO))
    }

    /// Removes what servers that were killed have left in this directory.
    fn sweep(&self) {
        {
            let mut swept = self.parent.jail().inner.writers.swept.lock().unwrap_or_else(PoisonError::into_inner);
            swept.retain(|_, when| when.elapsed() < STALE);
            if swept.insert(self.key(), Instant::now()).is_some() {
                return;
            }
        }
        let Ok(directory) = self.open().and_then(Entries::new) else { return };
        let mut stale: Vec<OsString> = vec![];
        let _ = directory.each(|entry| {
            if is_draft(entry.name) && directory.stat(entry.name).is_ok_and(|stat| is_stale(&stat)) {
                stale.push(entry.name.to_owned());
            }
            true
        });
        for name in stale {
            let _ = unlinkat(&self.parent, &name, AtFlags::empty());
        }
    }
}

impl<'a> Draft<'a> {
    fn new(spot: &'a Spot) -> Result<Self, Failure> {
        let mut bytes = [0; DIGITS / 2];
        SystemRandom::new().fill(&mut bytes).map_err(|_| Failure::internal("the kernel gave no random bytes"))?;
        let name = OsString::from(format!("{PREFIX}{}", hex(&bytes)));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // for nobody else until it is whole
        let fd = openat(&spot.parent, &name, flags, Mode::RUSR | Mode::WUSR).map_err(|error| spot.failure(error))?;
        Ok(Self { spot, name, file: fd.into() })
    }

    /// Gives it what is the old file's beside its content.
    fn liken(&self, old: &Version, there: &Found, notes: &mut Notes) -> Result<(), Failure> {
        let failed = |error| self.spot.failure(error);
        let (now, then) = (fstat(&self.file).map_err(failed)?, old.stat());
        if (now.st_uid, now.st_gid) != (then.st_uid, then.st_gid) {
            fchown(&self.file, Some(Uid::from_raw(then.st_uid)), Some(Gid::from_raw(then.st_gid))).map_err(
                |error| match error {
                    Errno::PERM | Errno::INVAL => Failure::Unchangeable(format!(
                        "{} belongs to uid {}, gid {} and could not be given back to them, so its content",
                        quote_path(&self.spot.path),
                        then.st_uid,
                        then.st_gid
                    )),
                    error => self.spot.failure(error),
                },
            )?;
        }
        if then.st_mode & 0o6000 != 0 {
            notes.0.push("setuid and setgid are gone, as when a file is written to".into());
        }
        let source = there.open()?;
        let names = attributes(&source).map_err(|error| {
            let path = quote_path(&self.spot.path);
            let why = "so whether it has an ACL is not known, and nothing was changed";
            Failure::Refused(format!("the extended attributes of {path} cannot be listed ({error}), {why}"))
        })?;
        if !names.iter().any(|name| name.as_bytes() == ACL.as_bytes()) {
            // the directory may have handed one down
            match fremovexattr(&self.file, ACL) {
                Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => (),
                Err(error) => return Err(failed(error)),
            }
        }
        fchmod(&self.file, Mode::from_raw_mode(then.st_mode & 0o1777)).map_err(failed)?;
        for name in names {
            let text = name.to_string_lossy().into_owned();
            if OF_THE_CONTENT.contains(&&*text) {
                notes.0.push(format!("{text} is gone, as when a file is written to"));
                continue;
            }
            match self.copy(&source, &name) {
                Ok(()) => (),
                // without it others may do more than before
                Err(error) if text == ACL => return Err(failed(error)),
                Err(error) => notes.0.push(format!("the attribute {text} could not be kept: {error}")),
            }
        }
        Ok(())
    }

    fn copy(&self, source: &File, name: &CString) -> Result<(), Errno> {
        let value = attribute(source, name)?;
        if attribute(&self.file, name).as_ref() == Ok(&value) {
            return Ok(());
        }
        fsetxattr(&self.file, name, &value, XattrFlags::empty())
    }

    /// Gives it its name; one that has it already only if it may be replaced.
    fn rename(&self, replaces: bool) -> Result<(), Errno> {
        let (parent, name, to) = (&self.spot.parent, &self.name, &self.spot.name);
        if replaces {
            return renameat(parent, name, parent, to);
        }
        match renameat_with(parent, name, parent, to, RenameFlags::NOREPLACE) {
            // a filesystem that cannot promise this; a second name cannot replace one either
            Err(Errno::INVAL | Errno::NOSYS) => {
                linkat(parent, name, parent, to, AtFlags::empty())?;
                let _ = unlinkat(parent, name, AtFlags::empty());
                Ok(())
            }
            renamed => renamed,
        }
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.name.is_empty() {
            let _ = unlinkat(&self.spot.parent, &self.name, AtFlags::empty());
        }
    }
}

/// The names of a file's extended attributes; none where the filesystem has no such thing. Any other error is no reason to believe that
/// there is no ACL: without it others may do more than before.
fn attributes(file: &File) -> Result<Vec<CString>, Errno> {
    // the kernel lists no more (XATTR_LIST_MAX)
    let mut names = vec![0; 64 << 10];
    let length = match flistxattr(file, &mut *names) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => 0,
        Err(error) => return Err(error),
    };
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.filter_map(|name| CString::new(name).ok()).collect())
}

fn attribute(file: &File, name: &CString) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0; 64 << 10];
    let length = fgetxattr(file, name, &mut *value)?;
    value.truncate(length);
    Ok(value)
}

/// Whether it is called like something that is being written.
fn is_draft(name: &OsStr) -> bool {
    let digits = name.as_bytes().strip_prefix(PREFIX.as_bytes()).unwrap_or_default();
    digits.len() == DIGITS && digits.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether it is a file of ours that nobody writes any more.
fn is_stale(stat: &Stat) -> bool {
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or_default());
    FileType::from_raw_mode(stat.st_mode).is_file()
        && stat.st_uid == rustix::process::geteuid().as_raw()
        && SystemTime::now().duration_since(changed).is_ok_and(|age| age > STALE)
}

#[cfg(test)]
mod tests {
    use rustix::fs::CWD;

    use super::*;

    #[test]
    fn attributes_that_cannot_be_listed_are_an_error() {
        // of a descriptor that cannot be read the kernel lists none
        let file = openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        assert_eq!(attributes(&file.into()), Err(Errno::BADF));
    }
}
