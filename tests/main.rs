//! One binary for every test that needs more than one module.
#![allow(clippy::unwrap_used, missing_docs)]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the program itself may neither spawn nor open files as it likes; who tests it from outside must"
)]

mod acting;
mod audit;
mod auth;
mod cli;
mod common;
mod docker;
mod files;
mod first;
mod goldens;
mod http;
mod layers;
mod list;
mod live;
mod load;
mod panics;
mod rights;
mod searches;
mod stdio;
mod systemd;
mod tls;
#[path = "bench/tokens.rs"]
mod tokens;
