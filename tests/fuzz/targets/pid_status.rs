#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::pid_status::PidStatus;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(status) = PidStatus::parse(bytes) {
        assert!(status.name.len() <= bytes.len());
    }
});
