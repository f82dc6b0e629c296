use kernel::proc::group::Groups;

pub fn run(bytes: &[u8]) {
    let groups = Groups::parse(bytes);
    for group in groups.groups() {
        assert!(groups.name(group.gid).is_some() && groups.gid(&group.name).is_some());
    }
}
