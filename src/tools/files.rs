//! The files that the operator allows callers to see: group `files`.

#[expect(dead_code, reason = "its tools come next")]
mod content;
pub(crate) mod directory;
mod name;
mod patience;
#[cfg(test)]
mod scratch;
mod stat;
