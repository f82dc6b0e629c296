#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::ipv6_route;

fuzz_target!(|text: &str| {
    if let Ok(routes) = ipv6_route::parse(text) {
        assert!(routes.iter().all(|route| route.prefix <= 128));
    }
});
