//! systemmanager-mcp: an MCP server that lets an agent look after one Linux machine without a root shell.
//!
//! One binary, one path for every call, one file per capability. The machine is an argument.
//!
//! ```text
//!           TCP, TLS                                stdin+stdout        call TOOL
//!               |                                        |                  |
//!       server/listen ── server/http ──► auth ─► Caller  |                  |
//!               |  (routes)              (who)           |                  |
//!               └──────────────► server (MCP) ◄──────────┘                  |
//!                                     |                                     |
//!                                    gate ◄─────────────────────────────────┘
//!             find → grant → lane → [aim → audit(attempt)] → run → shape → audit(result)
//!                                     |
//!                                 tools/…    one file each: request struct, report struct, a pure function
//!                                     |
//!                                 facts/…    one file each: a figure, or the gap and its reason; also what is wrong with it
//!                                     |
//!       facts::host: Machine (Root, Kernel) · samples · History · scans · meters · Docker · Jail
//! ```
//!
//! # Where things are
//! Most of it are crates below `src/`, each named after what it knows. Cargo holds them apart, and a test says what none of them may link.
//!
//! | crate | knows | stands on |
//! |---|---|---|
//! | [`kernel`] | the kernel's files and messages: bytes in, structs out; the kinds of [failure](kernel::failure) | |
//! | [`redact`] | what is secret in a text, and what hides in it | |
//! | [`text`] | an answer as compact text: tables, pages, names | kernel, redact |
//! | [`rights`] | scopes and grants | kernel, redact, text |
//! | [`lanes`] | where work runs: places, threads, rates | kernel |
//! | [`jail`] | the allowed directories, and the one way to a file in them | kernel, rights, text |
//! | [`search`] | what is in files: content, patterns, search | jail, kernel, redact, text |
//! | [`engine`] | Docker and Podman: transport, model, policy, update | kernel, lanes, redact, rights, text |
//! | [`facts`] | figures of the machine and of its containers, their gaps, and the [host](facts::host) they are read from | engine, jail, kernel, lanes, redact, text |
//! | [`auth`] | who calls: tokens, and what each of them may do | kernel, lanes, rights |
//! | [`tools`] | what an agent can ask for, one file each, and what a [tool](tools::tool) is | all of these |
//!
//! The rest is this crate. Imports point down its list, checked by a test: [`unix`] → [`audit`] → [`guard`] → [`gate`] → [`config`] → [`server`], [`init`] → [`args`] →
//! [`command`] → `main`. docker-guard is not in [`engine`], for it keeps an [`audit`] log.
//!
//! Beside all this, and in a process of its own, stands docker-guard ([`guard`]): between the server and the Engine's socket, which is root's.
//! And before both, where there is nothing else, the first process of a container ([`init`]).
//!
//! A new tool is one file below `tools/`, one `mod` line and one line in [`tools::TOOLS`]. Its doc comments are what the model reads, its
//! types are the schemas, the list is the README's table. Its figures come from [`facts`], which tools share; no tool imports another.
//!
//! # Invariants
//! Held by lints and tests; whoever breaks one breaks the promise this program makes.
//! - No process is ever spawned: no shell, no helper programs. Only [`init`], to whom no caller speaks, starts this program itself.
//! - No path of a caller's is opened outside [`jail`], and no kernel file outside [`kernel::root`]. The server's own files (config, tokens,
//!   certificate, audit log, journal of updates) are the only others, and no caller sees them.
//! - No answer leaves except through [`gate`]: nothing unaudited, unsanitized, unbounded or ungranted.
//! - A grant is visibility: what a caller may not do is neither listed nor callable. Equal grants see equal lists, in a fixed order.
//! - A missing kernel feature, a missing right and our own bug are three different answers; never a zero for "unknown".
//! - Nothing is changed that is not on disk as an attempt before, under the full id of what it is done to.
//! - A caller's file is never written in place: its successor takes its name in one step, by a directory that is held ([`jail::write`]).
//! - A container is found once, checked, and then called by its full id: no name of a caller's stands in a path.
//! - Docker missing, slow or dying degrades only what needs it.
//! - No request reaches the Engine through [`guard`] that its table does not have, and no byte of a caller's as it was sent.
//! - The server can be killed at any moment and nothing is lost but the call in flight. The update of a container that it was in the
//!   middle of is brought to its end, one way or the other, when it is started again ([`engine::update`]).
//! - `unsafe` stands in one place, in `main`, with its reason.
//!
//! # What is deliberately absent
//! Sessions (every request stands for itself), HTTP/2, a plugin interface, configuration by environment variables (but for
//! `DOCKER_HOST`, which every program that speaks to Docker heeds, where the config names no socket), a cache older than 250 ms, and any
//! way to run a command.

pub mod args;
pub mod audit;
pub mod command;
pub mod config;
pub mod gate;
pub mod guard;
pub mod init;
pub mod server;
pub mod unix;
