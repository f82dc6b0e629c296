#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::route;

fuzz_target!(|text: &str| {
    if let Ok(routes) = route::parse(text) {
        assert!(routes.iter().all(|route| route.prefix <= 32));
    }
});
