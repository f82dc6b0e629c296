#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::vmstat::Vmstat;

fuzz_target!(|text: &str| {
    let _ = Vmstat::parse(text);
});
