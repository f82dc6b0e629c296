//! The process: allocator, runtime, exit code. What it does stands in [`systemmanager_mcp::command`].

use std::process::ExitCode;

use systemmanager_mcp::{args, command};

/// musl's own allocator costs two to five times the CPU under many connections.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match args::parse_as(std::env::args_os()) {
        Ok(wanted) => command::run(wanted, collect),
        Err(usage) => {
            command::complain(&usage.to_string());
            ExitCode::from(args::EXIT_USAGE)
        }
    }
}

/// Gives memory that a burst of connections took back to the system. Called when a worker thread has nothing to do, and does something
/// at most twice a second in each.
fn collect() {
    use std::{
        cell::Cell,
        time::{Duration, Instant},
    };
    thread_local! {
        static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    if LAST.get().is_none_or(|last| last.elapsed() > Duration::from_millis(500)) {
        LAST.set(Some(Instant::now()));
        // SAFETY: takes no pointer and frees nothing that is in use; mimalloc allows it on any thread at any time
        #[expect(unsafe_code, reason = "mimalloc has no safe interface for it")]
        unsafe {
            libmimalloc_sys::mi_collect(true);
        }
    }
}
