//! The names in a directory, in order and within a bound, however many there are.

use std::{
    ffi::OsStr,
    mem::MaybeUninit,
    ops::Bound,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
};

use rustix::{
    fs::{AtFlags, FileType, RawDir, SeekFrom, Stat, fstat, seek, statat},
    io::Errno,
};

/// What the kernel fills at a time, in bytes.
const BUFFER: usize = 64 << 10;

/// How many names are read until it is asked again whether anybody waits for them.
const PATIENT_FOR: usize = 1024;

/// A directory opened to be listed.
#[derive(Debug)]
pub struct Entries {
    fd: OwnedFd,
    /// Its device and inode.
    pub(super) id: (u64, u64),
}

/// A name with what the directory says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    /// The name.
    pub name: &'a OsStr,
    /// What it is; [`FileType::Unknown`] on filesystems that do not say.
    pub kind: FileType,
}

/// Names, in the order of their bytes.
#[derive(Debug, Default)]
pub struct Names {
    bytes: Vec<u8>,
    all: Vec<(u32, u8, FileType)>,
    /// There are more after the last.
    more: bool,
}

impl Entries {
    pub(super) fn new(fd: OwnedFd) -> Result<Self, Errno> {
        let stat = fstat(&fd)?;
        Ok(Self { fd, id: (stat.st_dev, stat.st_ino) })
    }

    /// Calls `each` with every name, in the kernel's order, until it says that it has seen enough.
    pub fn each(&self, mut each: impl FnMut(Name<'_>) -> bool) -> Result<(), Errno> {
        seek(&self.fd, SeekFrom::Start(0))?;
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER];
        let mut dir = RawDir::new(&self.fd, &mut buffer);
        while let Some(entry) = dir.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") && !each(Name { name: OsStr::from_bytes(name), kind: entry.file_type() }) {
                break;
            }
        }
        Ok(())
    }

    /// The first names of those from `from` on, in order: as many as fit into about `most` bytes.
    pub fn names(&self, from: Bound<&OsStr>, most: usize) -> Result<Names, Errno> {
        self.names_until(from, most, &|| false)
    }

    /// The same, unless `is_over` says that nobody waits for them: ECANCELED.
    pub(super) fn names_until(
        &self,
        from: Bound<&OsStr>,
        most: usize,
        is_over: &dyn Fn() -> bool,
    ) -> Result<Names, Errno> {
        let mut names = Names::default();
        let mut count = 0_usize;
        // beyond this name there is no room
        let mut end: Option<Vec<u8>> = None;
        let mut over = false;
        self.each(|Name { name, kind }| {
            count += 1;
            over = count.is_multiple_of(PATIENT_FOR) && is_over();
            if over {
                return false;
            }
            let name = name.as_bytes();
            let is_before = match from {
                Bound::Unbounded => false,
                Bound::Included(from) => name < from.as_bytes(),
                Bound::Excluded(from) => name <= from.as_bytes(),
            };
            if is_before || end.as_ref().is_some_and(|end| name >= end.as_slice()) {
                return true;
            }
            names.push(name, kind);
            if names.size() > most && names.all.len() > 1 {
                end = Some(names.halve());
            }
            true
        })?;
        if over {
            return Err(Errno::CANCELED);
        }
        names.sort();
        names.more = end.is_some();
        Ok(names)
    }

    /// What has this name here; a link is not followed.
    pub fn stat(&self, name: &OsStr) -> Result<Stat, Errno> {
        statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)
    }
}

impl AsFd for Entries {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Names {
    /// How many.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether there are more after the last.
    pub fn have_more(&self) -> bool {
        self.more
    }

    /// The one at this place.
    pub fn at(&self, place: usize) -> Option<Name<'_>> {
        let (start, length, kind) = *self.all.get(place)?;
        Some(Name { name: OsStr::from_bytes(&self.bytes[start as usize..start as usize + usize::from(length)]), kind })
    }

    /// What they take, in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.all.len() * size_of::<(u32, u8, FileType)>()
    }

    fn push(&mut self, name: &[u8], kind: FileType) {
        // a name has at most 255 bytes, and there is no room for 4 GiB of them
        let (Ok(start), Ok(length)) = (u32::try_from(self.bytes.len()), u8::try_from(name.len())) else { return };
        self.bytes.extend_from_slice(name);
        self.all.push((start, length, kind));
    }

    fn sort(&mut self) {
        let bytes = &self.bytes;
        let name =
            |(start, length, _): &(u32, u8, FileType)| &bytes[*start as usize..*start as usize + usize::from(*length)];
        self.all.sort_unstable_by(|a, b| name(a).cmp(name(b)));
    }

    /// Forgets the later half, and says which was the first of it.
    fn halve(&mut self) -> Vec<u8> {
        self.sort();
        let (kept, mut half) = (self.all.len() / 2, Self::default());
        for place in 0..kept {
            if let Some(Name { name, kind }) = self.at(place) {
                half.push(name.as_bytes(), kind);
            }
        }
        let end = self.at(kept).map(|first| first.name.as_bytes().to_owned()).unwrap_or_default();
        *self = half;
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags, open};

    #[test]
    #[expect(clippy::disallowed_methods, reason = "makes the directory to be read")]
    fn names_come_in_order_once_each_within_any_bound() {
        let dir = std::env::temp_dir().join(format!("names-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("n0500d")).unwrap();
        for n in 0..500 {
            std::fs::write(dir.join(format!("n{n:04}")), "").unwrap();
        }
        let entries = Entries::new(open(&dir, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()).unwrap();
        for most in [0, 100, 3_000, 1 << 20] {
            let (mut seen, mut after): (Vec<String>, Option<String>) = (vec![], None);
            loop {
                let names = entries
                    .names(after.as_deref().map_or(Bound::Unbounded, |last| Bound::Excluded(OsStr::new(last))), most)
                    .unwrap();
                assert!(names.size() <= most.max(64), "{} for {most}", names.size());
                seen.extend((0..names.len()).map(|at| names.at(at).unwrap().name.to_str().unwrap().to_owned()));
                after = seen.last().cloned();
                if !names.have_more() {
                    break;
                }
            }
            let all: Vec<String> = (0..500).map(|n| format!("n{n:04}")).chain(["n0500d".into()]).collect();
            assert_eq!(seen, all, "{most}");
        }
        let kinds = entries.names(Bound::Included(OsStr::new("n0500d")), 1000).unwrap();
        assert_eq!(kinds.len(), 1);
        assert!(matches!(kinds.at(0).unwrap().kind, FileType::Directory | FileType::Unknown));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
