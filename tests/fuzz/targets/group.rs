#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::group::Groups;

fuzz_target!(|bytes: &[u8]| {
    let groups = Groups::parse(bytes);
    for group in groups.groups() {
        assert!(groups.name(group.gid).is_some() && groups.gid(&group.name).is_some());
    }
});
