#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::loadavg::Loadavg;

fuzz_target!(|text: &str| {
    if let Ok(load) = Loadavg::parse(text) {
        assert!(load.one.is_finite() && load.five.is_finite() && load.fifteen.is_finite());
    }
});
