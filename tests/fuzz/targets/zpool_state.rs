#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::zpool_state::ZpoolState;

fuzz_target!(|text: &str| {
    if let Ok(ZpoolState::Unknown(word)) = ZpoolState::parse(text) {
        assert!(!word.is_empty() && word.chars().count() <= 32);
    }
});
