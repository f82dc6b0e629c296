//! Where a path of the operator's leads, and what lies on the way. For what is decided about paths when the server starts; nothing is
//! opened by it.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::fs::readlink;

use super::MOST_LINKS;

/// The way of a path through the symbolic links that there are now.
#[derive(Debug, PartialEq, Eq)]
pub struct Trace {
    /// Where it ends: a path without links, as far as it exists.
    pub end: PathBuf,
    /// The links on the way, each by its own path without links. Whoever may replace one of them chooses where the path leads.
    pub links: Vec<PathBuf>,
}

impl Trace {
    /// Follows the absolute `path` below `root`.
    pub fn of(root: &Path, path: &Path) -> Self {
        let mut trace = Self { end: PathBuf::from("/"), links: vec![] };
        let mut left = Self::backwards(path);
        while let Some(part) = left.pop() {
            match part.as_bytes() {
                b"/" => trace.end = PathBuf::from("/"),
                b"." => (),
                // all before it is without links by now
                b".." => drop(trace.end.pop()),
                _ => trace.step(root, &part, &mut left),
            }
        }
        trace
    }

    /// Goes on to `part`, which if it is a link puts the way that it stands for before what is `left`.
    fn step(&mut self, root: &Path, part: &OsStr, left: &mut Vec<OsString>) {
        let here = self.end.join(part);
        let below = here.strip_prefix("/").unwrap_or(&here);
        match readlink(root.join(below), vec![]) {
            Ok(target) if self.links.len() < MOST_LINKS => {
                left.extend(Self::backwards(Path::new(OsStr::from_bytes(target.as_bytes()))));
                self.links.push(here);
            }
            _ => self.end = here,
        }
    }

    fn backwards(path: &Path) -> Vec<OsString> {
        path.components().rev().map(|part| part.as_os_str().to_owned()).collect()
    }
}
