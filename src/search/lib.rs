//! What is in files: [`content`] through its compression and encoding, [`pattern`]s of names and lines, and the search of many files ([`grep`]),
//! which ends when [`patience`] does and goes on where it stopped ([`resume`]).

pub mod content;
pub mod grep;
pub mod patience;
pub mod pattern;
pub mod resume;
#[cfg(any(test, feature = "scratch"))]
pub mod scratch;
