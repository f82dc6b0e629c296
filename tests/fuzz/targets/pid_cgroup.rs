#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::pid_cgroup::PidCgroup;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(cgroup) = PidCgroup::parse(bytes) {
        let paths = [cgroup.unified(), cgroup.controller("memory")];
        assert!(paths.into_iter().flatten().all(|path| path.starts_with(b"/")));
    }
});
