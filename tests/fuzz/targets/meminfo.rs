#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::meminfo::Meminfo;

fuzz_target!(|text: &str| {
    let _ = Meminfo::parse(text);
});
