#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::sockstat::Sockstat;

fuzz_target!(|text: &str| {
    let _ = Sockstat::parse(text);
});
