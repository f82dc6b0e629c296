#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::swaps;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(swaps) = swaps::parse(bytes) {
        assert!(swaps.iter().all(|swap| !swap.filename.is_empty()));
    }
});
