#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::diskstats;

fuzz_target!(|text: &str| {
    if let Ok(disks) = diskstats::parse(text) {
        assert!(disks.iter().all(|disk| text.contains(&disk.name)));
    }
});
