#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::config::{Environment, Settings};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(settings) = Settings::parse(bytes, &Environment::default()) {
        assert!(!settings.listen.is_empty());
    }
});
