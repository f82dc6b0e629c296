//! A directory with a jail around it, for tests; gone when dropped.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test makes the files to be read")]

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::patience::Patience;
use jail::{Access, Allowed, Deny, Jail, Own, Settings};

/// Files for one test.
#[derive(Debug)]
pub struct Scratch {
    /// Where they are.
    pub dir: PathBuf,
    /// Which lets all of them be seen.
    pub jail: Jail,
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Scratch {
    /// An empty directory.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("files-{}-{count}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let allowed = vec![Allowed { path: dir.clone(), access: Access::Ro, mounts: false }];
        let own = Own::new(vec![dir.join("state")]);
        let jail = Jail::new(Settings { root: "/".into(), allowed, deny: Deny::default(), own });
        Self { dir, jail }
    }

    /// Makes a file, and the directories it is in.
    pub fn write(&self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> String {
        let path = self.dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path.to_string_lossy().into_owned()
    }

    /// The path of what has this name in it.
    pub fn path(&self, name: &str) -> String {
        self.dir.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Of a minute.
pub fn patience() -> Patience {
    Patience::of(Duration::from_secs(60), &CancellationToken::new())
}

/// Of nothing.
pub fn impatience() -> Patience {
    Patience::of(Duration::ZERO, &CancellationToken::new())
}
