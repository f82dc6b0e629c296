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
    /// What they consist of: one after the other, in pieces that need not move to grow.
    pieces: Vec<Vec<u8>>,
    bytes: usize,
    all: Vec<Held>,
    /// There are more after the last.
    more: bool,
}

/// How large a piece is, in bytes.
const PIECE: usize = 256 << 10;

/// Where a name stands in the pieces.
#[derive(Clone, Copy, Debug)]
struct Held {
    start: u32,
    length: u8,
    kind: FileType,
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
            while names.size() > most && names.all.len() > 1 {
                end = Some(names.shrink());
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
        let held = self.all.get(place)?;
        Some(Name { name: OsStr::from_bytes(held.name(&self.pieces)), kind: held.kind })
    }

    /// What they take, in bytes.
    pub fn size(&self) -> usize {
        self.bytes + self.all.len() * size_of::<Held>()
    }

    fn push(&mut self, name: &[u8], kind: FileType) {
        // the first piece begins small, as most directories are
        if self.pieces.last().is_none_or(|piece| piece.len() + name.len() > PIECE) {
            self.pieces.push(if self.pieces.is_empty() { vec![] } else { Vec::with_capacity(PIECE) });
        }
        // a name has at most 255 bytes, and there is no room for 4 GiB of them
        let (Ok(at), Ok(length)) = (u32::try_from(self.pieces.len() - 1), u8::try_from(name.len())) else { return };
        let Some(piece) = self.pieces.last_mut() else { return };
        self.all.push(Held { start: at * PIECE as u32 + piece.len() as u32, length, kind });
        self.bytes += name.len();
        piece.extend_from_slice(name);
    }

    fn sort(&mut self) {
        let pieces = &self.pieces;
        self.all.sort_unstable_by(|a, b| a.name(pieces).cmp(b.name(pieces)));
    }

    /// Forgets the last eighth, and says which was the first of it. It takes no room to make room.
    fn shrink(&mut self) -> Vec<u8> {
        let (kept, pieces) = ((self.all.len() * 7 / 8).max(1), &self.pieces);
        let (_, first, _) = self.all.select_nth_unstable_by(kept, |a, b| a.name(pieces).cmp(b.name(pieces)));
        let end = first.name(pieces).to_owned();
        self.all.truncate(kept);
        self.all.sort_unstable_by_key(|held| held.start);
        let (mut at, mut to) = (0, 0);
        self.bytes = 0;
        for held in &mut self.all {
            let (piece, from, length) = (held.piece(), held.from(), usize::from(held.length));
            if to + length > PIECE {
                self.pieces[at].truncate(to);
                (at, to) = (at + 1, 0);
            }
            // never beyond where it is: what is before it has moved up or stayed
            if at == piece {
                self.pieces[at].copy_within(from..from + length, to);
            } else {
                let (before, behind) = self.pieces.split_at_mut(piece);
                let room = before[at].len().max(to + length);
                before[at].resize(room, 0);
                before[at][to..to + length].copy_from_slice(&behind[0][from..from + length]);
            }
            held.start = (at * PIECE + to) as u32;
            to += length;
            self.bytes += length;
        }
        self.pieces.truncate(at + 1);
        self.pieces[at].truncate(to);
        end
    }
}

impl Held {
    fn piece(&self) -> usize {
        self.start as usize / PIECE
    }

    fn from(&self) -> usize {
        self.start as usize % PIECE
    }

    fn name<'a>(&self, pieces: &'a [Vec<u8>]) -> &'a [u8] {
        &pieces[self.piece()][self.from()..self.from() + usize::from(self.length)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags, open};

    #[test]
    fn the_first_names_stay_as_they_are_when_the_others_are_forgotten() {
        let mut dice = 1_u32;
        let mut roll = |below: u32| {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (dice >> 8) % below
        };
        let (mut names, mut expected) = (Names::default(), vec![]);
        for _ in 0..40_000 {
            let length = 1 + roll(255) as usize;
            let name: Vec<u8> = (0..length).map(|_| b'a' + roll(26) as u8).collect();
            names.push(&name, FileType::RegularFile);
            expected.push(name);
        }
        assert!(names.pieces.len() > 10);
        expected.sort();
        for _ in 0..30 {
            let end = names.shrink();
            expected.truncate((expected.len() * 7 / 8).max(1));
            assert!(expected.last().unwrap() <= &end);
            // others can come after it
            let more = vec![b'a'; 1 + roll(200) as usize];
            names.push(&more, FileType::RegularFile);
            expected.push(more);
            expected.sort();
            names.sort();
            let all: Vec<&[u8]> = (0..names.len()).map(|at| names.at(at).unwrap().name.as_bytes()).collect();
            assert_eq!(all, expected);
            assert_eq!(names.bytes, expected.iter().map(Vec::len).sum::<usize>());
        }
    }

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
