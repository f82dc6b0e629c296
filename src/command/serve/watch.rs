//! The token file is watched, so that a token that is taken away lets nobody in any more.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

use super::again::{What, Wishes};

/// How often the file is looked at where the kernel tells nothing of it: what another machine has changed on a filesystem that is shared, or
/// what lies behind a link.
const LOOK: Duration = Duration::from_secs(2);

/// By what a file is told from the one that was there before. `None`: there is none, or it cannot be looked at.
type Identity = Option<(u64, u64, i64, i64, i64)>;

/// A token file that is watched.
#[derive(Debug)]
pub(super) struct Watched {
    file: PathBuf,
    seen: Identity,
}

impl Watched {
    /// The file as it is now; what changes from now on is noticed.
    pub(super) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), seen: identity(file) }
    }

    /// Has the tokens read again whenever the file has changed.
    pub(super) async fn forever(mut self, wishes: Wishes) {
        let directory = Directory::watch(&self.file)
            .inspect_err(|error| tracing::info!(%error, "the kernel does not tell of changes to the token file; it is looked at every two seconds"))
            .ok();
        loop {
            match &directory {
                Some(directory) => drop(tokio::time::timeout(LOOK, directory.changed()).await),
                None => tokio::time::sleep(LOOK).await,
            }
            let now = identity(&self.file);
            if now != self.seen {
                self.seen = now;
                wishes.bring(What::Tokens).await;
            }
        }
    }
}

fn identity(file: &Path) -> Identity {
    let stat = rustix::fs::stat(file).ok()?;
    Some((stat.st_dev, stat.st_ino, stat.st_size, stat.st_ctime, i64::try_from(stat.st_ctime_nsec).unwrap_or(0)))
}

/// The directory of a file, of whose changes the kernel tells.
struct Directory {
    events: AsyncFd<OwnedFd>,
    path: PathBuf,
}

impl Directory {
    #[expect(
        deprecated,
        reason = "unsound for what changes its descriptor; an OwnedFd keeps its own until it is dropped"
    )]
    fn watch(file: &Path) -> io::Result<Self> {
        let events = AsyncFd::new(inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?)?;
        let directory = Self { events, path: file.parent().unwrap_or(Path::new("/")).to_owned() };
        directory.again()?;
        Ok(directory)
    }

    /// Watches what has the directory's name now: it may be another one than before.
    fn again(&self) -> io::Result<()> {
        let flags = WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::ONLYDIR;
        Ok(inotify::add_watch(self.events.get_ref(), &self.path, flags).map(drop)?)
    }

    /// Waits until something has changed there.
    async fn changed(&self) {
        // one that is gone is found again by the next look
        let _ = self.again();
        let Ok(mut ready) = self.events.readable().await else { return std::future::pending().await };
        let mut events = [0; 4096];
        while rustix::io::read(self.events.get_ref(), &mut events).is_ok_and(|length| length > 0) {}
        ready.clear_ready();
    }
}
