//! Which updates have begun and not ended: one file each in the state directory, written before the step that it names is taken.
//!
//! A file is only ever replaced (written beside, fsync, rename, fsync of the directory). Who works on an update holds a lock (flock) on
//! a file beside it, which the kernel takes back from a process that was killed: what is there and not locked is for the next one to end.
//!
//! Every step waits for the disk, so none is taken on an async thread (`aside`): a slow disk would hold up all calls.

use std::{
    fs::{DirBuilder, File},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, FlockOperation, Gid, Mode, OFlags, Uid},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use kernel::{failure::Failure, root::read_own};
use lanes::threads;

/// The directory below the state directory.
const NAME: &str = "updates";

/// How far an update has come: what is about to be done, or has just begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The new container is made and connected; the old one is as it was.
    Creating,
    /// The old one is stopped.
    Stopping,
    /// The names are exchanged.
    Renaming,
    /// The new one is started and watched.
    Starting,
    /// The new one is good, and the old one is removed.
    Removing,
    /// The new one is removed, and the old one put back.
    RollingBack,
}

/// An update that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// How far it has come.
    pub stage: Stage,
    /// The container's name.
    pub name: String,
    /// The full id of the one that is replaced.
    pub old: String,
    /// The full id of the one that takes its place, once it is made.
    pub new: Option<String>,
    /// The image that it is made of, as it was asked for.
    pub image: String,
    /// Whether the old one ran.
    pub ran: bool,
    /// How long the new one has to become healthy.
    pub wait_seconds: u64,
    /// How long the old one has to end by itself.
    pub grace_seconds: u64,
    /// Why it is rolled back.
    pub why: Option<String>,
}

/// All of them.
#[derive(Clone, Debug)]
pub struct Journal {
    path: PathBuf,
    directory: Arc<OwnedFd>,
}

/// One of them, which nobody else works on.
#[derive(Debug)]
pub struct Claim {
    journal: Journal,
    id: String,
    /// Locked until it is closed.
    _lock: OwnedFd,
}

impl Journal {
    /// The journal below `state`, made if it is not there.
    pub async fn open(state: &Path) -> Result<Self, Failure> {
        let state = state.to_owned();
        aside(move || Self::make(&state)).await
    }

    fn make(state: &Path) -> Result<Self, Failure> {
        let path = state.join(NAME);
        let open = || -> io::Result<OwnedFd> {
            DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let directory = rustix::fs::open(&path, flags, Mode::empty())?;
            give(&directory, &rustix::fs::stat(state)?)?;
            rustix::fs::accessat(rustix::fs::CWD, &path, rustix::fs::Access::WRITE_OK, AtFlags::EACCESS)?;
            Ok(directory)
        };
        let directory = open().map_err(|error| no_place(&path, &error))?;
        Ok(Self { path, directory: Arc::new(directory) })
    }

    /// The journal below `state` if there is one, to look at. One that cannot be looked at is an error, and not none. This and what reads
    /// of it wait for the disk.
    pub fn find(state: &Path) -> Result<Option<Self>, Failure> {
        let path = state.join(NAME);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(directory) => Ok(Some(Self { path, directory: Arc::new(directory) })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(no_sight(&path, &error.into())),
        }
    }

    /// The ids of the containers whose update has begun.
    pub fn begun(&self) -> Result<Vec<String>, Failure> {
        let list = || -> rustix::io::Result<Vec<String>> {
            let mut ids = vec![];
            for file in rustix::fs::Dir::read_from(&self.directory)? {
                let file = file?;
                let id = file.file_name().to_str().ok().and_then(|name| name.strip_suffix(".json"));
                ids.extend(id.filter(|id| !id.starts_with('.')).map(str::to_owned));
            }
            Ok(ids)
        };
        list().map_err(|error| no_sight(&self.path, &error.into()))
    }

    /// What is written of the update of the container with this id; `None` if none has begun. What is there and cannot be read is an
    /// error: an update has begun, and nobody may take it for ended.
    pub fn read(&self, id: &str) -> Result<Option<Entry>, Failure> {
        let path = self.path.join(format!("{id}.json"));
        let bytes = match read_own(&path, 1 << 16) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(no_sight(&path, &error)),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| no_sight(&path, &error.into()))
    }

    /// Takes on the update of the container with this id; `None` while another does it.
    pub async fn claim(&self, id: &str) -> Result<Option<Claim>, Failure> {
        let (journal, id) = (self.clone(), id.to_owned());
        aside(move || journal.lock(&id)).await
    }

    fn lock(&self, id: &str) -> Result<Option<Claim>, Failure> {
        let name = format!("{id}.lock");
        let claim = || -> io::Result<Option<OwnedFd>> {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let lock = rustix::fs::openat(&self.directory, &name, flags, Mode::RUSR | Mode::WUSR)?;
            give(&lock, &rustix::fs::fstat(&self.directory)?)?;
            match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => (),
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
            // it may have been removed by who held it, and be another one by now
            let there = rustix::fs::statat(&self.directory, &name, AtFlags::SYMLINK_NOFOLLOW);
            let ours = rustix::fs::fstat(&lock)?.st_ino;
            Ok(there.is_ok_and(|there| there.st_ino == ours).then_some(lock))
        };
        let lock = claim().map_err(|error| no_place(&self.path, &error))?;
        Ok(lock.map(|lock| Claim { journal: self.clone(), id: id.to_owned(), _lock: lock }))
    }

    fn write(&self, entry: &Entry) -> io::Result<()> {
        let text = serde_json::to_vec(entry)?;
        let (name, temporary) = (format!("{}.json", entry.old), format!(".{}.json", entry.old));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.directory, &temporary, flags, Mode::RUSR | Mode::WUSR)?;
        give(&file, &rustix::fs::fstat(&self.directory)?)?;
        let mut file = File::from(file);
        file.write_all(&text)?;
        file.sync_all()?;
        rustix::fs::renameat(&self.directory, &temporary, &self.directory, &name)?;
        Ok(rustix::fs::fsync(&self.directory)?)
    }
}

impl Claim {
    /// Puts on disk what comes next.
    pub async fn write(&self, entry: &Entry) -> Result<(), Failure> {
        let (journal, entry) = (self.journal.clone(), entry.clone());
        aside(move || journal.write(&entry).map_err(|error| no_place(&journal.path, &error))).await
    }

    /// What was written last.
    pub async fn read(&self) -> Result<Option<Entry>, Failure> {
        let (journal, id) = (self.journal.clone(), self.id.clone());
        aside(move || journal.read(&id)).await
    }

    /// It has ended, one way or the other.
    pub async fn close(self) {
        let remove = move || {
            // the lock goes last, while it is held
            for kind in ["json", "lock"] {
                let _ = rustix::fs::unlinkat(&self.journal.directory, format!("{}.{kind}", self.id), AtFlags::empty());
            }
            let _ = rustix::fs::fsync(&self.journal.directory);
            Ok(())
        };
        // what cannot be removed is found and ended when the server is started again
        let _ = aside(remove).await;
    }
}

/// Does what waits for the disk on a thread of its own. It is done even if nobody waits for it any more.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    threads::alone("journal", work).await?
}

/// Gives what root just made to the owner of the state: root calls once, and a service without rights goes on.
fn give(made: &OwnedFd, like: &rustix::fs::Stat) -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        rustix::fs::fchown(made, Some(Uid::from_raw(like.st_uid)), Some(Gid::from_raw(like.st_gid)))?;
    }
    Ok(())
}

fn no_sight(path: &Path, error: &io::Error) -> Failure {
    Failure::Refused(format!(
        "an update may have begun that did not end, and {} cannot be read ({error}): nothing is done about it until it can be",
        path.display()
    ))
}

fn no_place(path: &Path, error: &io::Error) -> Failure {
    Failure::Refused(format!(
        "an update keeps a journal so that a crash cannot lose the container, and {} cannot be written ({error}): give the server a state directory of its own (state_directory in the config)",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str) -> Entry {
        Entry {
            stage: Stage::Creating,
            name: "web".to_owned(),
            old: id.to_owned(),
            new: None,
            image: "t/bb:1".to_owned(),
            ran: true,
            wait_seconds: 60,
            grace_seconds: 10,
            why: None,
        }
    }

    #[tokio::test]
    async fn what_has_begun_is_there_until_it_ends_and_one_at_a_time_works_on_it() {
        let state = std::env::temp_dir().join(format!("journal-{}", std::process::id()));
        let journal = Journal::open(&state).await.unwrap();
        let claim = journal.claim("ab").await.unwrap().unwrap();
        claim.write(&entry("ab")).await.unwrap();
        let later = Entry { stage: Stage::Starting, ..entry("ab") };
        claim.write(&later).await.unwrap();
        let other = Journal::open(&state).await.unwrap();
        assert!(other.claim("ab").await.unwrap().is_none(), "two at once");
        assert!(other.claim("cd").await.unwrap().is_some());
        assert_eq!((other.begun().unwrap(), other.read("ab").unwrap()), (vec!["ab".to_owned()], Some(later.clone())));
        // as a killed process would
        drop(claim);
        let claim = other.claim("ab").await.unwrap().unwrap();
        assert_eq!(claim.read().await.unwrap(), Some(later));
        claim.close().await;
        assert!(journal.begun().unwrap().is_empty());
        assert!(journal.claim("ab").await.unwrap().is_some());
        std::fs::remove_dir_all(&state).unwrap();
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "writes what another version would")]
    async fn what_cannot_be_read_has_begun_and_is_not_forgotten() {
        let state = std::env::temp_dir().join(format!("journal-garbage-{}", std::process::id()));
        assert!(Journal::find(&state).unwrap().is_none());
        let journal = Journal::open(&state).await.unwrap();
        let path = state.join("updates/ab.json");
        let claim = journal.claim("ab").await.unwrap().unwrap();
        claim.write(&Entry { stage: Stage::Starting, ..entry("ab") }).await.unwrap();
        // as a newer version could write it
        let newer = std::fs::read_to_string(&path).unwrap().replace("starting", "pondering");
        std::fs::write(&path, &newer).unwrap();
        let why = claim.read().await.unwrap_err().to_string();
        assert!(why.contains("updates/ab.json") && why.contains("pondering"), "{why}");
        let settled = super::super::update::settle(&crate::Docker::none(), claim).await;
        assert!(settled.is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), newer);
        std::fs::remove_dir_all(&state).unwrap();
        std::fs::create_dir(&state).unwrap();
        std::fs::write(state.join("updates"), "").unwrap();
        assert!(Journal::find(&state).is_err(), "no directory is taken for no updates");
        std::fs::remove_dir_all(&state).unwrap();
    }

    #[tokio::test]
    async fn without_a_place_to_write_it_says_what_to_give_it() {
        let why = Journal::open(Path::new("/proc/nowhere")).await.unwrap_err().to_string();
        assert!(why.contains("/proc/nowhere/updates") && why.contains("state_directory"), "{why}");
    }
}
