#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::pid_stat::PidStat;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(stat) = PidStat::parse(bytes) {
        assert!(bytes.as_ptr_range().contains(&stat.comm.as_ptr()));
        assert!(stat.comm.len() + 2 < bytes.len());
    }
});
