//! The files that the operator allows callers to see: group `files`.

mod content;
pub(crate) mod directory;
pub(crate) mod directory_usage;
pub(crate) mod file_find;
pub(crate) mod file_grep;
pub(crate) mod file_info;
pub(crate) mod file_read;
mod left_out;
mod name;
mod patience;
mod pattern;
mod place;
#[cfg(test)]
mod scratch;
mod stat;

mod change;
pub(super) mod directory_create;
pub(super) mod file_edit;
pub(super) mod file_move;
pub(super) mod file_remove;
pub(super) mod file_write;
mod shown;
