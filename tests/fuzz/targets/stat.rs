#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::stat::Stat;

fuzz_target!(|text: &str| {
    if let Ok(stat) = Stat::parse(text) {
        for times in stat.cpus.values().chain([&stat.cpu]) {
            assert!(times.busy() <= times.total());
        }
    }
});
