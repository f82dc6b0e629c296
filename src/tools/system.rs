//! The machine's own figures.

pub(crate) mod cpu;
pub(crate) mod disks;
pub(crate) mod history;
pub(crate) mod identity;
pub(crate) mod memory;
pub(crate) mod network;
pub(crate) mod overview;
pub(crate) mod process;
pub(crate) mod processes;

use crate::root::Root;

/// A detail that is one word: one that cannot be read takes no answer with it.
fn word(root: &Root, path: &str) -> Option<String> {
    root.word(path).ok().flatten()
}

/// A detail that is one number.
fn number<N: std::str::FromStr>(root: &Root, path: &str) -> Option<N> {
    root.number(path).ok().flatten()
}
