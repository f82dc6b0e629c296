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
mod fuzzed;
mod goldens;
mod grants;
mod hangs;
mod http;
mod layers;
mod list;
mod live;
mod load;
mod memory;
mod metrics;
mod odd;
mod panics;
mod places;
mod promises;
mod reload;
mod rights;
mod routes;
mod searches;
mod stdio;
mod systemd;
#[allow(unreachable_pub, reason = "the fuzzer's program uses them as well")]
#[path = "fuzz/targets/mod.rs"]
mod targets;
mod tls;
#[path = "bench/tokens.rs"]
mod tokens;
