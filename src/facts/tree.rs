//! A tree of kernel files that a test makes, and what facts read in it.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{
    Seen,
    problem::{Problem, Problems},
};
use crate::{
    exposition::Exposition,
    gap::{Gaps, Reader},
    host::{First, Host, Machine, Sample},
};
use kernel::root::Root;

/// Gone when dropped.
pub(crate) struct Tree(PathBuf);

impl Tree {
    /// These files, by path and text.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let tree = Self(std::env::temp_dir().join(format!("facts-{}-{number}", std::process::id())));
        std::fs::create_dir_all(tree.0.join("proc")).unwrap();
        for (path, text) in files {
            tree.write(path, text);
        }
        tree
    }

    /// Writes one more, or another text.
    #[expect(clippy::disallowed_methods, reason = "makes the tree to be read")]
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Adds a symbolic link.
    pub(crate) fn link(&self, target: &str, path: &str) {
        std::os::unix::fs::symlink(target, self.0.join(path)).unwrap();
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What a fact reads here, and what it cannot read.
    pub(crate) fn read<T>(&self, fact: impl FnOnce(&Reader<'_>) -> T) -> (T, Gaps) {
        let root = Root::open(&self.0).unwrap();
        let reader = Reader::new(&root);
        let value = fact(&reader);
        (value, reader.gaps())
    }

    /// What a fact reads here, without a gap.
    pub(crate) fn whole<T>(&self, fact: impl FnOnce(&Reader<'_>) -> T) -> T {
        let (value, gaps) = self.read(fact);
        assert!(gaps.is_empty(), "{gaps:?}");
        value
    }

    /// The machine of which this is the root.
    pub(crate) fn host(&self) -> Host {
        Host::open(&self.0, First::Comes).unwrap()
    }

    /// The counters here, at this second since boot.
    pub(crate) fn sample(&self, second: u64) -> Sample {
        Sample { at: Duration::from_secs(second), ..Sample::take(self.host().machine()) }
    }

    /// The page of metrics that a fact makes here, without a gap of its own.
    pub(crate) fn page(&self, expose: fn(&Seen<'_>, &mut Exposition)) -> String {
        let machine = Arc::new(Machine::at(&self.0).unwrap());
        let (sample, reader) = (Sample::take(&machine), Reader::new(&machine.root));
        let mut page = Exposition::default();
        expose(&Seen { machine: &machine, reader: &reader, sample: &sample }, &mut page);
        let gaps = reader.gaps();
        assert!(gaps.is_empty(), "{gaps:?}");
        page.finish()
    }

    /// What `watch` finds wrong here, and what it cannot read.
    pub(crate) fn problems(&self, watch: fn(&Machine, &Reader<'_>, &mut Problems)) -> (Vec<Problem>, Gaps) {
        let host = self.host();
        let reader = Reader::new(&host.machine().root);
        let mut problems = Problems::default();
        watch(host.machine(), &reader, &mut problems);
        (problems.sorted(), reader.gaps())
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}
