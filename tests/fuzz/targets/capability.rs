#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::capability;

fuzz_target!(|given: (u64, Option<u32>)| {
    let (mask, last) = given;
    assert!(!capability::names(mask, last).is_empty());
});
