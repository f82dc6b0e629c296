#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::net_dev;

fuzz_target!(|text: &str| {
    if let Ok(interfaces) = net_dev::parse(text) {
        assert!(interfaces.iter().all(|interface| text.contains(&interface.name)));
    }
});
