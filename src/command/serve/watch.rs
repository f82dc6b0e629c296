//! The token file is watched, so that a token that is taken away lets nobody in any more.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

use super::reload::TokenReader;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify::{self, CreateFlags, WatchFlags},
    io::Errno,
};

/// How often the file is looked at where the kernel tells nothing of it: what another machine has changed on a filesystem that is shared, or
/// what lies behind a link.
const LOOK: Duration = Duration::from_secs(2);

/// The longest time between two ticks by which the kernel notes when a file was changed.
const TICK: Duration = Duration::from_millis(20);

/// By what a file is told from the one that was there before.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    inode: (u64, u64),
    size: i64,
    /// Seconds and nanoseconds.
    changed: (i64, i64),
}

/// A token file that is watched.
#[derive(Debug)]
pub(super) struct Watched {
    file: PathBuf,
    /// Or why it cannot be looked at.
    seen: Result<Identity, Errno>,
    /// Whether it could change once more and look the same.
    was_young: bool,
}

impl Watched {
    /// The file as it is now; what changes from now on is noticed.
    pub(super) fn new(file: &Path) -> Self {
        let seen = identity(file);
        Self { file: file.to_owned(), was_young: seen.as_ref().is_ok_and(Identity::is_young), seen }
    }

    /// Starts a thread that has the tokens read again whenever the file has changed, and until they could be read. It lasts as long as this
    /// process: what it waits for on a dead file server, nobody else does.
    pub(super) fn start(self, reader: Arc<TokenReader>) -> io::Result<()> {
        thread::Builder::new().name("token-file".to_owned()).spawn(move || self.forever(&reader)).map(drop)
    }

    fn forever(mut self, reader: &TokenReader) {
        let mut directory = Directory::watch(&self.file)
            .inspect_err(|error| tracing::info!(%error, "the kernel does not tell of changes to the token file; it is looked at every two seconds"))
            .ok();
        let mut failure = None;
        loop {
            match &mut directory {
                Some(directory) => directory.changed(),
                None => thread::sleep(LOOK),
            }
            let now = identity(&self.file);
            let has_changed = now != self.seen || self.was_young;
            self.was_young = now.as_ref().is_ok_and(Identity::is_young);
            self.seen = now;
            if has_changed || failure.is_some() {
                let report = reader.read();
                let words = (!report.is_ok()).then(|| report.to_string());
                // what is still wrong was said when it began
                if words.is_none() || words != failure {
                    report.log();
                }
                failure = words;
            }
        }
    }
}

fn identity(file: &Path) -> Result<Identity, Errno> {
    rustix::fs::stat(file).map(|stat| Identity {
        inode: (stat.st_dev, stat.st_ino),
        size: stat.st_size,
        changed: (stat.st_ctime, i64::try_from(stat.st_ctime_nsec).unwrap_or(0)),
    })
}

impl Identity {
    /// Whether it was changed so shortly ago that another change would leave it the same: the kernel counts in ticks.
    fn is_young(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let changed =
            Duration::new(u64::try_from(self.changed.0).unwrap_or(0), u32::try_from(self.changed.1).unwrap_or(0));
        // of a time to come nothing is young: where the clock was set back, the file would be read again and again until then
        now.abs_diff(changed) < TICK
    }
}

/// The directory of a file, of whose changes the kernel tells.
struct Directory {
    events: OwnedFd,
    path: PathBuf,
    /// The watch that there is.
    watch: Option<i32>,
}

impl Directory {
    fn watch(file: &Path) -> io::Result<Self> {
        let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let path = file.parent().unwrap_or(Path::new("/")).to_owned();
        let mut directory = Self { events, path, watch: None };
        directory.again()?;
        Ok(directory)
    }

    /// Watches what has the directory's name now: it may be another one than before.
    fn again(&mut self) -> io::Result<()> {
        let flags = WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::ONLYDIR;
        let watch = inotify::add_watch(&self.events, &self.path, flags)?;
        if let Some(before) = self.watch.replace(watch).filter(|before| *before != watch) {
            // gone with its directory, if that is
            let _ = inotify::remove_watch(&self.events, before);
        }
        Ok(())
    }

    /// Waits until something has changed there, but no longer than until the next look.
    fn changed(&mut self) {
        // one that is gone is found again by the next look
        let _ = self.again();
        let patience = Timespec { tv_sec: LOOK.as_secs().cast_signed(), tv_nsec: 0 };
        if poll(&mut [PollFd::new(&self.events, PollFlags::IN)], Some(&patience)).is_err() {
            // a signal, or no memory for now
            thread::sleep(TICK);
        }
        let mut events = [0; 4096];
        while rustix::io::read(&self.events, &mut events).is_ok_and(|length| length > 0) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_just_changed_is_young_whatever_the_clock_says() {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().cast_signed();
        for (seconds, is_young) in [(now - 3600, false), (now + 3600, false), (0, false), (-1, false)] {
            let identity = Identity { inode: (1, 1), size: 1, changed: (seconds, 0) };
            assert_eq!(identity.is_young(), is_young, "{seconds}");
        }
    }
}
