//! The files that the operator allows callers to see: group `files`.

mod stat;
