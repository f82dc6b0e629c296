#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::uptime::Uptime;

fuzz_target!(|text: &str| {
    if let Ok(uptime) = Uptime::parse(text) {
        assert!(uptime.up.is_finite() && uptime.idle.is_finite());
    }
});
