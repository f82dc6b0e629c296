//! The files that the operator allows callers to see: group `files`.

#[expect(dead_code, reason = "its tools come next")]
mod content;
#[expect(dead_code, reason = "its tools come next")]
mod patience;
mod stat;
