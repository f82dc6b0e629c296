//! One call at a time changes the names in a directory.

use std::{
    collections::{BTreeSet, HashMap},
    os::fd::OwnedFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::Spot;
use kernel::failure::Failure;

/// How long a call waits for others. They write a file each.
const PATIENCE: Duration = Duration::from_secs(10);

/// A directory, by device and inode.
pub(super) type Key = (u64, u64);

/// The directories of a jail that are being changed, and what is known of them.
#[derive(Debug, Default)]
pub(crate) struct Writers {
    held: Mutex<BTreeSet<Key>>,
    freed: Condvar,
    /// When a directory was last looked through for what a server that was killed has left there.
    pub(super) swept: Mutex<HashMap<Key, Instant>>,
}

/// The right to change names in one or two directories, given back when dropped. Other calls of this server wait for it, and so do other
/// servers wherever the filesystem has locks (flock) for directories.
#[derive(Debug)]
pub struct Hold {
    writers: Arc<Writers>,
    keys: BTreeSet<Key>,
    _locks: Vec<OwnedFd>,
}

impl Hold {
    /// Waits for the directories of these spots.
    pub fn of(spots: &[&Spot]) -> Result<Self, Failure> {
        let Some(first) = spots.first() else { return Err(Failure::internal("nothing to hold")) };
        let began = Instant::now();
        let writers = Arc::clone(&first.parent.jail().inner.writers);
        let keys: BTreeSet<Key> = spots.iter().map(|spot| spot.key()).collect();
        {
            let mut held = writers.held();
            // all at once, so that no two wait for each other
            while !held.is_disjoint(&keys) {
                let left = PATIENCE.checked_sub(began.elapsed());
                let left = left.ok_or(Failure::Busy("other calls change files in this directory".into(), 5))?;
                held = writers.freed.wait_timeout(held, left).unwrap_or_else(PoisonError::into_inner).0;
            }
            held.extend(&keys);
        }
        let mut hold = Self { writers, keys: keys.clone(), _locks: vec![] };
        // in the same order everywhere
        for key in keys {
            if let Some(spot) = spots.iter().find(|spot| spot.key() == key) {
                hold._locks.push(locked(spot, began)?);
            }
        }
        Ok(hold)
    }
}

impl Writers {
    fn held(&self) -> MutexGuard<'_, BTreeSet<Key>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.writers.held().retain(|key| !self.keys.contains(key));
        self.writers.freed.notify_all();
    }
}

impl Spot {
    pub(super) fn key(&self) -> Key {
        (self.parent.stat().st_dev, self.parent.stat().st_ino)
    }
}

/// The directory, locked against other servers.
fn locked(spot: &Spot, began: Instant) -> Result<OwnedFd, Failure> {
    let directory = spot.open().map_err(|error| spot.parent.failure(error))?;
    loop {
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::AGAIN) if began.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(5)),
            Err(Errno::AGAIN) => {
                return Err(Failure::Busy("another program holds the lock of this directory".into(), 5));
            }
            // locked, or on a filesystem that has no locks for directories: those of this server still wait
            _ => return Ok(directory),
        }
    }
}
