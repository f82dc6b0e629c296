//! Where a path of the operator's leads, and what lies on the way. For what is decided about paths when the server starts; nothing is
//! opened by it.

use std::path::{Component, Path, PathBuf};

use rustix::fs::readlink;

use super::{MOST_LINKS, path};

/// The way of a path through the symbolic links that there are now.
#[derive(Debug, PartialEq, Eq)]
pub struct Trace {
    /// Where it ends: a path without links, as far as it exists.
    pub end: PathBuf,
    /// The links on the way, each by its own path without links. Whoever may replace one of them chooses where the path leads.
    pub links: Vec<PathBuf>,
}

impl Trace {
    /// Follows the absolute `path`, which has no `..`, below `root`.
    pub fn of(root: &Path, path: &Path) -> Self {
        let mut trace = Self { end: path.to_owned(), links: vec![] };
        while trace.links.len() < MOST_LINKS {
            let Some((link, led)) = trace.next(root) else { break };
            trace.links.push(link);
            trace.end = led;
        }
        trace
    }

    /// The first link in the path, and the path that it makes of it.
    fn next(&self, root: &Path) -> Option<(PathBuf, PathBuf)> {
        let mut here = PathBuf::from("/");
        let mut parts = self.end.components();
        while let Some(part) = parts.next() {
            let Component::Normal(name) = part else { continue };
            let parent = here.clone();
            here.push(name);
            let below = here.strip_prefix("/").unwrap_or(&here);
            if let Ok(target) = readlink(root.join(below), vec![]) {
                let led = path::lead(&parent, target.as_bytes(), parts.as_path())?;
                return Some((here, led));
            }
        }
        None
    }
}
