use kernel::proc::mountinfo;

pub fn run(bytes: &[u8]) {
    assert!(mountinfo::unescape(bytes).len() <= bytes.len());
    let (mounts, odd) = mountinfo::parse(bytes);
    let length = |mount: &mountinfo::Mount| mount.root.len() + mount.mount_point.len() + mount.super_options.len();
    assert!(mounts.iter().map(length).sum::<usize>() <= bytes.len());
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    assert!(if odd.is_some() { mounts.len() < lines } else { mounts.len() == lines });
}
