#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::cpuinfo::Cpuinfo;

fuzz_target!(|text: &str| {
    if let Ok(cpuinfo) = Cpuinfo::parse(text) {
        assert!(cpuinfo.logical > 0 && cpuinfo.mhz.values().all(|clock| clock.is_finite()));
    }
});
