use systemmanager_mcp::proc::mountinfo;

pub fn run(bytes: &[u8]) {
    assert!(mountinfo::unescape(bytes).len() <= bytes.len());
    if let Ok(mounts) = mountinfo::parse(bytes) {
        let length = |mount: &mountinfo::Mount| mount.root.len() + mount.mount_point.len() + mount.super_options.len();
        assert!(mounts.iter().map(length).sum::<usize>() <= bytes.len());
    }
}
