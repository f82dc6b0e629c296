use kernel::proc::pid_cgroup::PidCgroup;

pub fn run(bytes: &[u8]) {
    if let Ok(cgroup) = PidCgroup::parse(bytes) {
        let paths = [cgroup.unified(), cgroup.controller("memory")];
        assert!(paths.into_iter().flatten().all(|path| path.starts_with(b"/")));
    }
}
