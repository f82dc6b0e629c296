//! The token file is watched, so that a token that is taken away lets nobody in any more.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::{
    fs::inotify::{self, CreateFlags, WatchFlags},
    io::Errno,
};
use tokio::io::unix::AsyncFd;

use super::reload::{Reload, What};

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
}

impl Watched {
    /// The file as it is now; what changes from now on is noticed.
    pub(super) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), seen: identity(file) }
    }

    /// Has the tokens read again whenever the file has changed, and until they could be read.
    pub(super) async fn forever(mut self, reload: Reload) {
        let mut directory = Directory::watch(&self.file)
            .inspect_err(|error| tracing::info!(%error, "the kernel does not tell of changes to the token file; it is looked at every two seconds"))
            .ok();
        let mut is_read = true;
        loop {
            match &mut directory {
                Some(directory) => drop(tokio::time::timeout(LOOK, directory.changed()).await),
                None => tokio::time::sleep(LOOK).await,
            }
            let now = identity(&self.file);
            if now != self.seen || !is_read || now.as_ref().is_ok_and(Identity::is_young) {
                self.seen = now;
                is_read = reload.run(What::Tokens).await.is_some_and(|report| report.is_ok());
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
        now.saturating_sub(changed) < TICK
    }
}

/// The directory of a file, of whose changes the kernel tells.
struct Directory {
    events: AsyncFd<OwnedFd>,
    path: PathBuf,
    /// The watch that there is.
    watch: Option<i32>,
}

impl Directory {
    #[expect(
        deprecated,
        reason = "unsound for what changes its descriptor; an OwnedFd keeps its own until it is dropped"
    )]
    fn watch(file: &Path) -> io::Result<Self> {
        let events = AsyncFd::new(inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?)?;
        let mut directory = Self { events, path: file.parent().unwrap_or(Path::new("/")).to_owned(), watch: None };
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
        let watch = inotify::add_watch(self.events.get_ref(), &self.path, flags)?;
        if let Some(before) = self.watch.replace(watch).filter(|before| *before != watch) {
            // gone with its directory, if that is
            let _ = inotify::remove_watch(self.events.get_ref(), before);
        }
        Ok(())
    }

    /// Waits until something has changed there.
    async fn changed(&mut self) {
        // one that is gone is found again by the next look
        let _ = self.again();
        let Ok(mut ready) = self.events.readable().await else { return std::future::pending().await };
        let mut events = [0; 4096];
        while rustix::io::read(self.events.get_ref(), &mut events).is_ok_and(|length| length > 0) {}
        ready.clear_ready();
    }
}
