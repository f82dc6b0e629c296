#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::cpulist;

fuzz_target!(|text: &str| {
    if let Ok(cpus) = cpulist::parse(text) {
        assert!(cpus.len() <= 8192 && cpus.is_sorted_by(|one, next| one < next));
    }
});
