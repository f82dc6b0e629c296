#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::mountinfo;

fuzz_target!(|bytes: &[u8]| {
    assert!(mountinfo::unescape(bytes).len() <= bytes.len());
    if let Ok(mounts) = mountinfo::parse(bytes) {
        let length = |mount: &mountinfo::Mount| mount.root.len() + mount.mount_point.len() + mount.super_options.len();
        assert!(mounts.iter().map(length).sum::<usize>() <= bytes.len());
    }
});
