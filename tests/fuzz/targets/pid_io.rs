#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::pid_io::PidIo;

fuzz_target!(|text: &str| {
    let _ = PidIo::parse(text);
});
