//! One binary for every test that needs more than one module.
#![allow(clippy::unwrap_used, missing_docs)]
