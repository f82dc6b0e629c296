//! The log file: appended under a lock, rotated by size, never left with half a line.

use std::{
    borrow::Cow,
    ffi::{OsStr, OsString},
    fs::DirBuilder,
    io,
    os::{fd::OwnedFd, unix::fs::DirBuilderExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    fs::{Access, AtFlags, FileType, FlockOperation, Mode, OFlags, Stat},
    io::Errno,
};

use super::{AuditError, KEPT};
use auth::store;

/// How often to look whether the path still leads to the directory that is held. It is looked at before a rotation as well.
const LOOK: Duration = Duration::from_secs(60);

/// How long to wait for another process's lock before the record counts as not written.
const PATIENCE: (u32, Duration) = (500, Duration::from_millis(1));

/// What stands where the log is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The file is there; else it can only be said of the directory it would be made in.
    pub is_there: bool,
    /// Whether this process may write there.
    pub is_writable: bool,
    /// The uid of the owner.
    pub owner: u32,
    /// The uid of the owner of its directory.
    pub directory_owner: u32,
}

/// Looks at the place of a log file, and changes nothing: neither the file nor its directory is made.
pub fn look(path: &Path) -> Result<Found, AuditError> {
    let io = |doing, errno: Errno| AuditError::Io { sink: path.into(), doing, source: errno.into() };
    let may = |place: &Path, what| rustix::fs::accessat(rustix::fs::CWD, place, what, AtFlags::EACCESS).is_ok();
    let directory = path.ancestors().skip(1).map(|place| if place == Path::new("") { Path::new(".") } else { place });
    let found =
        directory.map(|place| (place, rustix::fs::stat(place))).find(|(_, stat)| !matches!(stat, Err(Errno::NOENT)));
    let (directory, stat) = found.ok_or_else(|| io("look at its directory", Errno::NOENT))?;
    let directory_owner = stat.map_err(|errno| io("look at its directory", errno))?.st_uid;
    match rustix::fs::lstat(path) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => Ok(Found {
            is_there: true,
            is_writable: may(path, Access::READ_OK | Access::WRITE_OK),
            owner: stat.st_uid,
            directory_owner,
        }),
        Ok(_) => Err(AuditError::NotAFile { file: path.into() }),
        Err(Errno::NOENT) => Ok(Found {
            is_there: false,
            is_writable: may(directory, Access::WRITE_OK | Access::EXEC_OK),
            owner: directory_owner,
            directory_owner,
        }),
        Err(errno) => Err(io("look at", errno)),
    }
}

/// The file, its directory held, so that rotation needs no path.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    directory: OwnedFd,
    name: OsString,
    pub(super) file: OwnedFd,
    /// The directory is on disk with the file's name in it.
    pub(super) named: bool,
    /// Where our last record ended. If the file still ends there, it ends with a newline.
    end: Option<u64>,
    rotate_at: u64,
    /// Rotation failed (a file mounted on its own cannot be renamed): said once, and the log goes on growing.
    stuck: bool,
    /// When the path was last seen to lead to the directory that is held.
    pub(super) looked: Option<Instant>,
}

impl LogFile {
    pub(super) fn open(path: &Path, rotate_at: u64) -> Result<Self, AuditError> {
        let io = |doing, source: io::Error| AuditError::Io { sink: path.into(), doing, source };
        let name = path.file_name().ok_or_else(|| AuditError::NotAFile { file: path.into() })?.to_owned();
        let parent = parent(path);
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(|e| io("make its directory", e))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory =
            rustix::fs::open(parent, flags, Mode::empty()).map_err(|errno| io("open its directory", errno.into()))?;
        let file = open_log(&directory, &name, path)?;
        Ok(Self {
            path: path.into(),
            directory,
            name,
            file,
            named: false,
            end: None,
            rotate_at,
            stuck: false,
            looked: Some(Instant::now()),
        })
    }

    fn failed(&self, doing: &'static str) -> impl Fn(Errno) -> AuditError + use<> {
        let sink = self.path.clone();
        move |errno| AuditError::Io { sink: sink.clone(), doing, source: errno.into() }
    }

    pub(super) fn append(&mut self, line: &[u8]) -> Result<(), AuditError> {
        let appended = self.lock(line.len() as u64).and_then(|size| self.append_locked(line, size));
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
        appended
    }

    /// Waits until all that was appended is on disk, and the file's name too: what cannot be found after a power cut is lost.
    pub(super) fn sync(&mut self) -> Result<(), AuditError> {
        rustix::fs::fdatasync(&self.file).map_err(self.failed("sync"))?;
        if !self.named {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            // the directory is held by a descriptor that only leads on (O_PATH), which cannot be synced
            let directory = rustix::fs::openat(&self.directory, ".", flags, Mode::empty());
            match directory.and_then(rustix::fs::fsync) {
                // some file systems have nothing to sync there
                Ok(()) | Err(Errno::INVAL) => self.named = true,
                Err(errno) => return Err(self.failed("sync its directory")(errno)),
            }
        }
        Ok(())
    }

    fn append_locked(&mut self, line: &[u8], size: u64) -> Result<(), AuditError> {
        let mut last = [b'\n'];
        if size > 0 && self.end != Some(size) {
            rustix::io::pread(&self.file, &mut last, size - 1).map_err(self.failed("read its end"))?;
        }
        let whole = if last == [b'\n'] { Cow::Borrowed(line) } else { Cow::Owned([b"\n", line].concat()) };
        if let Err((written, errno)) = write_all(&self.file, &whole) {
            self.end = None;
            if written > 0 {
                // we hold the lock, so what lies behind `size` is ours alone
                rustix::fs::ftruncate(&self.file, size).map_err(self.failed("take back half a record"))?;
            }
            return Err(self.failed("write")(errno));
        }
        self.end = Some(size + whole.len() as u64);
        Ok(())
    }

    /// Locks the file the name stands for now, rotated if `more` bytes would make it too large. Gives its size.
    fn lock(&mut self, more: u64) -> Result<u64, AuditError> {
        for _ in 0..100 {
            if self.looked.is_none_or(|last| last.elapsed() >= LOOK) {
                self.follow_path()?;
            }
            self.wait_for_lock()?;
            let held = rustix::fs::fstat(&self.file).map_err(self.failed("look at"))?;
            let named = rustix::fs::statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW);
            let current = named.is_ok_and(|named| same(&named, &held));
            let size = u64::try_from(held.st_size).unwrap_or(0);
            if current && (self.stuck || size == 0 || size + more <= self.rotate_at) {
                return Ok(size);
            }
            if self.follow_path()? {
                continue;
            }
            // whoever holds the lock on the file the name stands for is the one to rotate it
            if current && let Err(errno) = self.rotate() {
                self.stuck = true;
                tracing::warn!(file = %self.path.display(), error = %errno, "the audit log cannot be rotated and grows");
                return Ok(size);
            }
            // closing the old file lets go of its lock
            self.file = open_log(&self.directory, &self.name, &self.path)?;
            self.named = false;
            self.end = None;
        }
        Err(self.failed("keep up with its rotation")(Errno::AGAIN))
    }

    /// Opens all anew if the path leads elsewhere by now, and says whether it did: in a directory that was moved or removed nobody
    /// finds a record.
    fn follow_path(&mut self) -> Result<bool, AuditError> {
        // what fails is tried again with the next record
        self.looked = None;
        let held = rustix::fs::fstat(&self.directory).map_err(self.failed("look at its directory"))?;
        if rustix::fs::stat(parent(&self.path)).is_ok_and(|there| same(&there, &held)) {
            self.looked = Some(Instant::now());
            return Ok(false);
        }
        *self = Self::open(&self.path, self.rotate_at)?;
        tracing::warn!(file = %self.path.display(), "the audit log's directory was another one, and was opened anew");
        Ok(true)
    }

    /// Not for ever: a stopped process may hold the lock, and calls must then fail rather than hang.
    fn wait_for_lock(&self) -> Result<(), AuditError> {
        for _ in 0..PATIENCE.0 {
            match rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(()),
                Err(Errno::WOULDBLOCK | Errno::INTR) => std::thread::sleep(PATIENCE.1),
                Err(errno) => return Err(self.failed("lock")(errno)),
            }
        }
        Err(self.failed("lock")(Errno::WOULDBLOCK))
    }

    fn rotate(&self) -> Result<(), Errno> {
        for number in (1..KEPT).rev() {
            self.rename(&self.numbered(number), &self.numbered(number + 1))?;
        }
        self.rename(&self.name, &self.numbered(1))
    }

    fn rename(&self, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
        match rustix::fs::renameat(&self.directory, from, &self.directory, to) {
            Err(Errno::NOENT) => Ok(()),
            other => other,
        }
    }

    fn numbered(&self, number: u32) -> OsString {
        let mut name = self.name.clone();
        name.push(format!(".{number}"));
        name
    }
}

/// The directory of a file.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// Opens or makes the file, and gives a new one to the directory's owner: root's `call` and a service without rights
/// share it.
fn open_log(directory: &OwnedFd, name: &OsStr, path: &Path) -> Result<OwnedFd, AuditError> {
    let io = |doing, errno: Errno| AuditError::Io { sink: path.into(), doing, source: errno.into() };
    // reading is for the last byte alone; NONBLOCK, so that a FIFO is refused and not waited for
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::NONBLOCK;
    let made = rustix::fs::openat(directory, name, flags | OFlags::CREATE | OFlags::EXCL, Mode::RUSR | Mode::WUSR);
    let file = match made {
        Ok(file) => {
            let owner = rustix::fs::fstat(directory).map_err(|errno| io("look at its directory", errno))?;
            store::give_to_owner(&file, &owner).map_err(|source| AuditError::Io {
                sink: path.into(),
                doing: "give away",
                source,
            })?;
            file
        }
        Err(Errno::EXIST) => match rustix::fs::openat(directory, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => return Err(AuditError::NotAFile { file: path.into() }),
            Err(errno) => return Err(io("open", errno)),
        },
        Err(errno) => return Err(io("make", errno)),
    };
    let stat = rustix::fs::fstat(&file).map_err(|errno| io("look at", errno))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
        Ok(file)
    } else {
        Err(AuditError::NotAFile { file: path.into() })
    }
}

/// Writes all in one go if the system takes it; else says how much it took.
pub(super) fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> Result<(), (usize, Errno)> {
    let whole = bytes.len();
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(0) => return Err((whole - bytes.len(), Errno::NOSPC)),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err((whole - bytes.len(), errno)),
        }
    }
    Ok(())
}
