#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::kernel_version::KernelVersion;

fuzz_target!(|text: &str| {
    if let Ok(version) = KernelVersion::parse(text) {
        assert!(text.contains(&version.major.to_string()));
    }
});
