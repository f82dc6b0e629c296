//! The files that the operator allows callers to see: group `files`.

mod change;
pub(crate) mod directory;
pub(crate) mod directory_create;
pub(crate) mod directory_usage;
pub(crate) mod file_edit;
pub(crate) mod file_find;
pub(crate) mod file_grep;
pub(crate) mod file_info;
pub(crate) mod file_move;
pub(crate) mod file_read;
pub(crate) mod file_remove;
pub(crate) mod file_write;
mod left_out;
mod patience;
mod seen;
mod stat;
