#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::snmp::Snmp;

fuzz_target!(|text: &str| {
    let _ = Snmp::parse(text);
});
