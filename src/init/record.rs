//! What `init` and its children say: on the console, and in a file of bounded size for those who come later.

use std::{cell::RefCell, fs::File, io, io::Write as _, path::PathBuf, time::SystemTime};

use rustix::{
    fd::OwnedFd,
    fs::{CWD, Mode, OFlags, openat},
};

/// Where it is written.
const FILE: &str = "/var/log/systemmanager-mcp.log";

/// A file that has so many bytes is put aside, and the one that was put aside before goes.
const LARGEST: u64 = 1024 * 1024;

/// The console and the file.
pub(super) struct Record {
    console: Option<OwnedFd>,
    file: RefCell<Kept>,
}

impl Record {
    pub(super) fn open() -> Self {
        // opened anew, so that it does not wait for a reader and nobody else's writing changes; a container without one has a pipe there
        let flags = OFlags::WRONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let console = openat(CWD, "/dev/console", flags, Mode::empty());
        let console = console.or_else(|_| rustix::io::fcntl_dupfd_cloexec(io::stderr(), 3)).ok();
        Self { console, file: RefCell::new(Kept::new(FILE.into(), LARGEST)) }
    }

    /// Says a line of `init`'s own.
    pub(super) fn say(&self, words: &str) {
        let now = humantime::format_rfc3339_seconds(SystemTime::now());
        self.pass(format!("{now} init: {words}\n").as_bytes());
    }

    /// Passes on what a child said.
    pub(super) fn pass(&self, bytes: &[u8]) {
        self.to_console(bytes);
        // a full disk is no reason to end; the console has it
        let _ = self.file.borrow_mut().write(bytes);
    }

    /// Shows words that are kept nowhere.
    pub(super) fn show(&self, words: &str) {
        self.to_console(words.as_bytes());
    }

    fn to_console(&self, mut bytes: &[u8]) {
        let Some(console) = &self.console else { return };
        while !bytes.is_empty() {
            match rustix::io::write(console, bytes) {
                Ok(written) => bytes = &bytes[written..],
                // nobody reads there
                Err(_) => return,
            }
        }
    }
}

/// A file that is put aside when it is full.
struct Kept {
    path: PathBuf,
    largest: u64,
    open: Option<(File, u64)>,
}

impl Kept {
    fn new(path: PathBuf, largest: u64) -> Self {
        Self { path, largest, open: None }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|(_, length)| length + bytes.len() as u64 > self.largest) {
            let full = self.open.take();
            // a file that is mounted from elsewhere keeps its name, and begins anew
            if let (Err(_), Some((file, _))) = (rustix::fs::rename(&self.path, self.path.with_extension("log.1")), full)
            {
                file.set_len(0)?;
            }
        }
        let (file, length) = match &mut self.open {
            Some(open) => open,
            closed => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = File::from(openat(CWD, &self.path, flags, Mode::from_raw_mode(0o640))?);
                let length = file.metadata()?.len();
                closed.insert((file, length))
            }
        };
        file.write_all(bytes)?;
        *length += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "looks at what was written")]
    fn the_file_never_grows_beyond_its_size_and_one_older_is_kept() {
        let directory = std::env::temp_dir().join(format!("init-record-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let path = directory.join("a.log");
        let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
        let mut kept = Kept::new(path.clone(), 10);
        for line in ["one\n", "two\n", "three\n"] {
            kept.write(line.as_bytes()).unwrap();
        }
        assert_eq!((read("a.log").as_str(), read("a.log.1").as_str()), ("three\n", "one\ntwo\n"));
        // a later start goes on where this one ended
        Kept::new(path, 10).write(b"5\n").unwrap();
        assert_eq!(read("a.log"), "three\n5\n");
        std::fs::remove_dir_all(directory).unwrap();
    }
}
