//! The one door to the kernel's files: a directory that stands for `/`, held open, read downward only.

use std::{collections::HashMap, io, os::fd::OwnedFd, path::Path};

use rustix::{
    buffer::spare_capacity,
    fs::{
        AtFlags, Dir, FileType, FsWord, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, StatVfs, StatxFlags, fstat,
        fstatfs, fstatvfs, open, openat2, readlinkat, statx,
    },
    io::Errno,
};

use crate::failure::Failure;

/// The longest kernel file that is read whole: a mount table of 10,000 mounts is 2 MiB.
const LONGEST: usize = 4 << 20;

/// A directory that stands for `/`: the live machine, a mounted one, or a recorded one.
#[derive(Debug)]
pub struct Root {
    dir: OwnedFd,
    live: bool,
    failing: HashMap<String, Errno>,
}

impl Root {
    /// Opens `path` as the root of everything read later.
    pub fn open(path: &Path) -> io::Result<Self> {
        let dir = open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let (ours, slash) = (fstat(&dir)?, rustix::fs::stat("/")?);
        let live = (ours.st_dev, ours.st_ino) == (slash.st_dev, slash.st_ino);
        Ok(Self { dir, live, failing: HashMap::new() })
    }

    /// The same root, with paths that fail as they did when the machine was recorded.
    pub fn failing(mut self, failing: HashMap<String, Errno>) -> Self {
        self.failing = failing;
        self
    }

    /// The same root for another thread, which may outlive this one.
    pub fn again(&self) -> io::Result<Self> {
        Ok(Self { dir: self.dir.try_clone()?, live: self.live, failing: self.failing.clone() })
    }

    /// Whether this is the machine the server itself runs on, in the server's own namespaces.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Whether the kernel itself shows its devices below `sys`, and no copy of what it showed once.
    pub fn is_sysfs(&self) -> bool {
        const SYSFS_MAGIC: FsWord = 0x6265_6572;
        let sys = self.open_at("sys", OFlags::PATH | OFlags::DIRECTORY).ok();
        sys.and_then(|sys| fstatfs(&sys).ok()).is_some_and(|filesystem| filesystem.f_type == SYSFS_MAGIC)
    }

    /// The directory below `proc` whose mount table, network and cgroup are the machine's: our own on the live machine (another
    /// process's needs ptrace rights), PID 1's below any other root, where our own would be the container's.
    pub fn own(&self) -> &'static str {
        if self.live { "proc/self" } else { "proc/1" }
    }

    /// Reads a kernel file whole into `buffer`, which is emptied first.
    pub fn read_into(&self, path: &str, buffer: &mut Vec<u8>) -> Result<(), Failure> {
        let file = self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY);
        file.and_then(|file| read_whole(&file, LONGEST, buffer)).map_err(|error| Failure::from_io(path, error))
    }

    /// Reads a kernel file whole.
    pub fn bytes(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let mut buffer = Vec::with_capacity(4096);
        self.read_into(path, &mut buffer)?;
        Ok(buffer)
    }

    /// Reads a kernel file whole as text. What is not UTF-8 becomes U+FFFD.
    pub fn text(&self, path: &str) -> Result<String, Failure> {
        self.bytes(path).map(|bytes| match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }

    /// Calls `each` with every line of a kernel file, without its newline. Only a line is held at a time: a table may be as long as the kernel
    /// makes it. Fails for a line above 4 MiB.
    pub fn lines(&self, path: &str, each: impl FnMut(&[u8])) -> Result<(), Failure> {
        let file = self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY);
        file.and_then(|file| read_lines(&file, each)).map_err(|error| Failure::from_io(path, error))
    }

    /// A file of one word, such as most of sysfs, without the newline. `None`: there is no such file, it is empty, or the driver
    /// behind it has nothing to say.
    pub fn word(&self, path: &str) -> Result<Option<String>, Failure> {
        let text = match self.text(path) {
            // a link that is down answers EINVAL for its speed, a battery that is away ENODEV, a dying disk EIO
            Err(Failure::Internal(_)) if path.starts_with("sys/") => None,
            other => Failure::absent(other)?,
        };
        Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
    }

    /// A file of one number. `None` as for [`Root::word`], and for what is no number, such as cgroup's `max`.
    pub fn number<N: std::str::FromStr>(&self, path: &str) -> Result<Option<N>, Failure> {
        Ok(self.word(path)?.and_then(|word| word.parse().ok()))
    }

    /// Whether there is anything at `path`.
    pub fn exists(&self, path: &str) -> bool {
        self.open_at(path, OFlags::PATH).is_ok()
    }

    /// The names in a directory, sorted, without `.` and `..`. Names that are not UTF-8 are left out: the kernel makes none of these.
    pub fn names(&self, path: &str) -> Result<Vec<String>, Failure> {
        let mut names = vec![];
        self.directory(path)?.each(|name| {
            if let Ok(name) = std::str::from_utf8(name) {
                names.push(name.to_owned());
            }
        })?;
        names.sort_unstable();
        Ok(names)
    }

    /// The last part of where a symbolic link leads, such as a device's driver. `None`: it is no link.
    pub fn link_name(&self, path: &str) -> Result<Option<String>, Failure> {
        match self.target(path) {
            Ok(target) => Ok(target.rsplit('/').next().map(str::to_owned)),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => self.word(path),
            Err(error) => Failure::absent(Err(Failure::from_io(path, error))),
        }
    }

    /// Where a symbolic link leads, as it is written. `None`: it is no link.
    pub fn link(&self, path: &str) -> Result<Option<String>, Failure> {
        match self.target(path) {
            Ok(target) => Ok(Some(target)),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => Ok(None),
            Err(error) => Failure::absent(Err(Failure::from_io(path, error))),
        }
    }

    fn target(&self, path: &str) -> io::Result<String> {
        let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
        let parent = self.open_at(parent, OFlags::PATH | OFlags::DIRECTORY)?;
        Ok(readlinkat(&parent, name, vec![])?.to_string_lossy().into_owned())
    }

    /// Opens a directory to read many files below it without walking its path each time.
    pub fn directory(&self, path: &str) -> Result<Directory<'_>, Failure> {
        let dir =
            self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(|error| Failure::from_io(path, error))?;
        Ok(Directory { dir, path: path.to_owned(), root: self })
    }

    /// The figures of the filesystem at `path`, which need not be UTF-8, its `st_dev`, and the magic number of its type (statfs(2)). May block for
    /// as long as a dead server does not answer.
    pub fn statvfs(&self, path: &[u8]) -> io::Result<(StatVfs, u64, u64)> {
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let fd = match openat2(&self.dir, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), how) {
            Err(Errno::NOSYS | Errno::PERM) if self.live => {
                rustix::fs::openat(&self.dir, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?
            }
            opened => opened?,
        };
        Ok((fstatvfs(&fd)?, fstat(&fd)?.st_dev, fstatfs(&fd)?.f_type as u64))
    }

    /// For kernels before 5.6, and sandboxes that do not know openat2. On the live machine there is nothing to be kept inside of: every
    /// path here is a kernel file's, by its constant name. Below any other root there is, and so no such way.
    fn open_without_openat2(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        Ok(rustix::fs::openat(&self.dir, path, flags | OFlags::CLOEXEC, Mode::empty())?)
    }

    fn open_at(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        if let Some(errno) = self.failing.get(path) {
            return Err((*errno).into());
        }
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        // a rename or mount may race the walk of a path with `..` in a link, but hardly this often
        for _ in 0..64 {
            match openat2(&self.dir, path, flags | OFlags::CLOEXEC, Mode::empty(), how) {
                Err(Errno::AGAIN | Errno::INTR) => (),
                Err(Errno::NOSYS | Errno::PERM) if self.live => return self.open_without_openat2(path, flags),
                opened => return Ok(opened?),
            }
        }
        Err(Errno::AGAIN.into())
    }
}

/// A directory held open below a [`Root`], such as `proc` while its processes are read.
#[derive(Debug)]
pub struct Directory<'a> {
    dir: OwnedFd,
    path: String,
    root: &'a Root,
}

impl Directory<'_> {
    /// Calls `each` with every name, in the kernel's order.
    pub fn each(&self, mut each: impl FnMut(&[u8])) -> Result<(), Failure> {
        let failure = |error: Errno| Failure::from_io(&self.path, error.into());
        for entry in Dir::read_from(&self.dir).map_err(failure)? {
            match entry.map_err(failure)?.file_name().to_bytes() {
                b"." | b".." => (),
                name => each(name),
            }
        }
        Ok(())
    }

    /// Whether the kernel itself shows its processes here, and no copy of what it showed once.
    pub fn is_procfs(&self) -> bool {
        fstatfs(&self.dir).is_ok_and(|filesystem| filesystem.f_type == PROC_SUPER_MAGIC)
    }

    /// Reads a file below it whole into `buffer`, and keeps it open to be read again.
    pub fn hold(&self, path: &str, buffer: &mut Vec<u8>) -> Result<Held, Failure> {
        let held = self.open(path).map(Held).and_then(|held| held.read_into(buffer).map(|()| held));
        held.map_err(|error| Failure::from_io(self.full(path), error))
    }

    /// Reads a file below it whole into `buffer`.
    pub fn read_into(&self, path: &str, buffer: &mut Vec<u8>) -> Result<(), Failure> {
        let file = self.open(path);
        file.and_then(|file| read_whole(&file, LONGEST, buffer))
            .map_err(|error| Failure::from_io(self.full(path), error))
    }

    /// Reads the beginning of a file below it, up to about `longest` bytes: for a command line, which may be megabytes and of which
    /// a part is as true as the whole.
    pub fn read_start(&self, path: &str, longest: usize, buffer: &mut Vec<u8>) -> Result<(), Failure> {
        let mut read = || -> io::Result<()> {
            let file = self.open(path)?;
            buffer.clear();
            while buffer.len() < longest {
                buffer.reserve(1024);
                match rustix::io::read(&file, spare_capacity(buffer)) {
                    Ok(0) => break,
                    Ok(_) | Err(Errno::INTR) => (),
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(())
        };
        read().map_err(|error| Failure::from_io(self.full(path), error))
    }

    /// Where a symbolic link below it says it leads. Nothing there is opened: the target may lie in another mount namespace.
    pub fn link(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
        let read = || -> io::Result<Vec<u8>> {
            self.refused(path)?;
            let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            if self.root.live {
                return Ok(readlinkat(&self.dir, path, vec![])?.into_bytes());
            }
            let parent =
                openat2(&self.dir, parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), how)?;
            Ok(readlinkat(&parent, name, vec![])?.into_bytes())
        };
        let target = read();
        target.map_err(|error| Failure::from_io(self.full(path), error))
    }

    /// Device (major, minor) and inode of what the kernel has open behind a link below it, such as `1/fd/3`. No server is asked for it: a
    /// dead one would never answer.
    pub fn held_inode(&self, path: &str) -> Result<((u32, u32), u64), Failure> {
        let read = || -> io::Result<_> {
            self.refused(path)?;
            let stat = statx(&self.dir, path, AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT, StatxFlags::INO)?;
            Ok(((stat.stx_dev_major, stat.stx_dev_minor), stat.stx_ino))
        };
        read().map_err(|error| Failure::from_io(self.full(path), error))
    }

    fn open(&self, path: &str) -> io::Result<OwnedFd> {
        self.refused(path)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        if self.root.live {
            // in the kernel's own proc no symbolic link stands between a process's directory and its files, so that the plain, faster
            // open is as safe as openat2
            return Ok(rustix::fs::openat(&self.dir, path, flags, Mode::empty())?);
        }
        Ok(openat2(&self.dir, path, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)?)
    }

    fn refused(&self, path: &str) -> io::Result<()> {
        if self.root.failing.is_empty() {
            return Ok(());
        }
        self.root.failing.get(&self.full(path)).map_or(Ok(()), |errno| Err((*errno).into()))
    }

    fn full(&self, path: &str) -> String {
        format!("{}/{path}", self.path)
    }
}

/// A kernel file that stays open, because walking its path and opening it is half of what a short one costs. What the kernel writes for
/// it takes a page of the kernel's memory for as long.
#[derive(Debug)]
pub struct Held(OwnedFd);

impl Held {
    /// Reads it whole into `buffer`, as it is now. ESRCH: the process it tells of has ended, whoever has the number now.
    pub fn read_into(&self, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.clear();
        loop {
            buffer.reserve(1024);
            let (had, room) = (buffer.len(), buffer.capacity() - buffer.len());
            match rustix::io::pread(&self.0, spare_capacity(buffer), had as u64) {
                // the kernel gives all there is, so that less than there was room for is the end: no second call to be told so
                Ok(_) if buffer.len() - had < room => return Ok(()),
                Ok(_) if buffer.len() > LONGEST => return Err(too_long(LONGEST)),
                Ok(_) | Err(Errno::INTR) => (),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Reads all of `file`. One that is longer than `longest` is an error, never a cut: half a kernel file is a wrong answer.
fn read_whole(file: &OwnedFd, longest: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    loop {
        // the kernel says 0 bytes of every file in proc, so the size cannot be asked for; 1 KiB holds most of them
        buffer.reserve(1024);
        match rustix::io::read(file, spare_capacity(buffer)) {
            Ok(0) => return Ok(()),
            Ok(_) if buffer.len() > longest => return Err(too_long(longest)),
            Ok(_) | Err(Errno::INTR) => (),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads `file` in pieces and calls `each` with every line of it.
fn read_lines(file: &OwnedFd, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    const PIECE: usize = 64 << 10;
    let mut buffer: Vec<u8> = Vec::with_capacity(PIECE);
    loop {
        buffer.reserve(PIECE / 2);
        match rustix::io::read(file, spare_capacity(&mut buffer)) {
            Ok(0) if buffer.is_empty() => return Ok(()),
            Ok(0) => {
                each(&buffer);
                return Ok(());
            }
            Ok(_) => (),
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let whole = buffer.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if let Some(lines) = buffer[..whole].strip_suffix(b"\n") {
            lines.split(|byte| *byte == b'\n').for_each(&mut each);
        }
        buffer.drain(..whole);
        if buffer.len() > LONGEST {
            return Err(too_long(LONGEST));
        }
    }
}

fn too_long(longest: usize) -> io::Error {
    io::Error::other(format!("longer than {longest} bytes"))
}

/// Reads one of the server's own files (config, certificate), which an operator named and which lies outside every [`Root`].
pub fn read_own(path: &Path, longest: usize) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let file = open(path, flags, Mode::empty())?;
    if !FileType::from_raw_mode(fstat(&file)?.st_mode).is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = vec![];
    read_whole(&file, longest, &mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(name: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("root-{name}-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("proc/1")).unwrap();
        dir
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "makes the tree to be read")]
    fn climbing_out_stays_in() {
        let dir = tree("climb");
        std::fs::write(dir.join("proc/here"), "x\n").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.join("proc/link")).ok();
        std::os::unix::fs::symlink("../proc/here", dir.join("proc/inside")).ok();
        let root = Root::open(&dir).unwrap();
        for path in ["../../../../etc/passwd", "proc/link", "/etc/passwd"] {
            assert_eq!(root.text(path).unwrap_err().kind(), "not_found", "{path}");
        }
        assert_eq!(root.word("proc/inside").unwrap().as_deref(), Some("x"));
        // a process's directory that is a link to one of the real machine
        std::os::unix::fs::symlink("/proc/self", dir.join("proc/7")).ok();
        let proc = root.directory("proc").unwrap();
        assert!(proc.read_into("7/stat", &mut vec![]).is_err());
        assert!(proc.link("7/exe").is_err());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "makes the tree to be read")]
    fn too_long_is_an_error_and_a_refusal_is_remembered() {
        let dir = tree("long");
        std::fs::write(dir.join("proc/long"), vec![b'a'; LONGEST + 1]).unwrap();
        std::fs::write(dir.join("proc/1/io"), "rchar: 1\n").unwrap();
        let root = Root::open(&dir).unwrap().failing([("proc/1/io".to_owned(), Errno::ACCESS)].into());
        assert_eq!(root.bytes("proc/long").unwrap_err().kind(), "internal");
        assert_eq!(root.bytes("proc/1/io").unwrap_err().kind(), "denied");
        let mut buffer = vec![];
        let denied = root.directory("proc").unwrap().read_into("1/io", &mut buffer);
        assert_eq!(denied.unwrap_err().kind(), "denied");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "makes the tree to be read")]
    fn a_table_of_any_length_is_read_line_by_line() {
        let dir = tree("lines");
        let text: String = (0..300_000).map(|number| format!("{number} /a/line/of/some/length\n")).collect();
        std::fs::write(dir.join("proc/table"), format!("\n{text}\nthe end")).unwrap();
        std::fs::write(dir.join("proc/long"), vec![b'a'; LONGEST + 1]).unwrap();
        let root = Root::open(&dir).unwrap();
        let mut lines = vec![];
        root.lines("proc/table", |line| lines.push(line.to_vec())).unwrap();
        let joined = lines.join(&b'\n');
        assert_eq!(joined, format!("\n{text}\nthe end").into_bytes());
        assert!(joined.len() > LONGEST && lines.len() == 300_003);
        assert_eq!(root.lines("proc/long", |_| ()).unwrap_err().kind(), "internal");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_live_machine_is_known_from_another_root() {
        assert!(Root::open(Path::new("/")).unwrap().is_live());
        assert!(!Root::open(Path::new("/proc")).unwrap().is_live());
    }
}
