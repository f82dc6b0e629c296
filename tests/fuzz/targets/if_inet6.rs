#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::if_inet6;

fuzz_target!(|text: &str| {
    if let Ok(addresses) = if_inet6::parse(text) {
        assert!(addresses.iter().all(|address| address.prefix <= 128));
    }
});
