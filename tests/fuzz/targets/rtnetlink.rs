#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::rtnetlink;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(answer) = rtnetlink::parse(bytes, 0) {
        assert!(answer.addresses.len() <= bytes.len() / 24);
    }
});
