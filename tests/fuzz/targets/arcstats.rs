#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::arcstats::Arcstats;

fuzz_target!(|text: &str| {
    let _ = Arcstats::parse(text);
});
