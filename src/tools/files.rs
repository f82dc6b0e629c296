//! The files that the operator allows callers to see: group `files`.

mod content;
pub(crate) mod directory;
pub(crate) mod file_info;
pub(crate) mod file_read;
mod name;
mod patience;
#[cfg(test)]
mod scratch;
mod stat;
