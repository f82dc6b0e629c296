#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::pid_limits;

fuzz_target!(|text: &str| {
    if let Ok(limits) = pid_limits::parse(text) {
        assert!(limits.iter().all(|limit| limit.name.len() <= 25));
    }
});
