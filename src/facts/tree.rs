//! Small trees of kernel files, for the tests of facts.

use std::path::{Path, PathBuf};

use crate::{gap::Reader, root::Root};

/// A tree of files, gone when dropped.
pub(super) struct Tree(PathBuf);

impl Tree {
    /// Files by their paths, and what stands in them.
    #[expect(clippy::disallowed_methods, reason = "makes the tree to be read")]
    pub(super) fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let dir = std::env::temp_dir().join(format!("facts-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        for (path, text) in files {
            let path = dir.join(path);
            std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Self(dir)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Adds a symbolic link.
    pub(super) fn link(&self, target: &str, path: &str) {
        std::os::unix::fs::symlink(target, self.0.join(path)).unwrap();
    }

    /// What `read` makes of it, without a gap.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Reader<'_>) -> T) -> T {
        let (value, gaps) = self.read_with_gaps(read);
        assert_eq!(gaps, [""; 0]);
        value
    }

    /// What `read` makes of it, and the files with gaps.
    pub(super) fn read_with_gaps<T>(&self, read: impl FnOnce(&Reader<'_>) -> T) -> (T, Vec<String>) {
        let root = Root::open(&self.0).unwrap();
        let reader = Reader::new(&root);
        let value = read(&reader);
        (value, reader.gaps().rows().iter().map(|gap| gap.file.clone()).collect())
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}
