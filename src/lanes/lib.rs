//! Where work runs: [`lane`]s with places of their own, their [`threads`], and how often a caller may ask ([`bucket`]).

pub mod bucket;
pub mod lane;
pub mod threads;
