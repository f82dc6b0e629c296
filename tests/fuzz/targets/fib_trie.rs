#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::fib_trie;

fuzz_target!(|text: &str| {
    if let Ok(addresses) = fib_trie::parse(text) {
        assert!(addresses.is_sorted_by(|one, next| one < next));
    }
});
