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
