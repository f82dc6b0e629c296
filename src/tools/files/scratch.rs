//! A directory with a jail around it, for tests; gone when dropped.
#![expect(clippy::disallowed_methods, reason = "makes the files to be read")]

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::patience::Patience;
use crate::jail::{Access, Allowed, Deny, Jail, Own, Settings};

pub(super) struct Scratch {
    pub dir: PathBuf,
    pub jail: Jail,
}

impl Scratch {
    pub(super) fn new() -> Self {
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
    pub(super) fn write(&self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> String {
        let path = self.dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path.to_string_lossy().into_owned()
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.dir.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Of a minute.
pub(super) fn patience() -> Patience {
    Patience::of(Duration::from_secs(60), &CancellationToken::new())
}

/// Of nothing.
pub(super) fn impatience() -> Patience {
    Patience::of(Duration::ZERO, &CancellationToken::new())
}
