//! The filesystems that every program takes for granted. LXC has mounted most of them; what is there stays as it is.

use std::ffi::{CStr, CString};

use rustix::{
    fs::{FileType, Mode},
    io::Errno,
    mount::{MountFlags, mount},
};

use kernel::{
    proc::{mountinfo, pid_cgroup::PidCgroup},
    root::read_own,
};

/// Source and kind, where, how, with what.
type Wanted<'a> = (&'a str, &'a str, MountFlags, Option<&'a CStr>);

/// Where programs look for their limits. LXC leaves it empty if the container has a namespace of cgroups.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Mounts what is missing, and tells what could not be.
pub(super) fn mount_missing() -> Vec<String> {
    let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // /proc first, which says what is mounted elsewhere
    let proc: Wanted<'_> = ("proc", "/proc", quiet, None);
    let mut failures: Vec<_> =
        if rustix::fs::stat("/proc/self").is_ok() { None } else { place(proc) }.into_iter().collect();
    let mounted = mount_points();
    let rest: [Wanted<'_>; 4] = [
        ("sysfs", "/sys", quiet | MountFlags::RDONLY, None),
        ("devtmpfs", "/dev", MountFlags::NOSUID | MountFlags::NOEXEC, Some(c"mode=0755")),
        ("tmpfs", "/run", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=0755,size=16m")),
        ("tmpfs", "/tmp", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=1777,size=64m")),
    ];
    for wanted in rest {
        // what somebody put below it (a socket in /run) must not be covered, either
        if !is_there(wanted.1, &mounted) {
            failures.extend(place(wanted));
        }
    }
    let own = read_own("/proc/self/cgroup".as_ref(), 1 << 20).ok().and_then(|bytes| PidCgroup::parse(&bytes).ok());
    if let Some(own) = own
        && !is_there(CGROUPS, &mounted)
    {
        let hierarchies = v1(&own);
        let how = quiet | MountFlags::RDONLY;
        if hierarchies.is_empty() {
            failures.extend(place(("cgroup2", CGROUPS, how, None)));
        } else {
            failures.extend(place(("tmpfs", CGROUPS, quiet, Some(c"mode=0755,size=64k"))));
            for controllers in hierarchies {
                let data = CString::new(controllers.as_str()).unwrap_or_default();
                failures.extend(place(("cgroup", &format!("{CGROUPS}/{controllers}"), how, Some(&data))));
            }
        }
    }
    failures
}

/// The hierarchies of the first version that limit something; none where there is only the second.
fn v1(own: &PidCgroup) -> Vec<String> {
    let controllers = own.memberships.iter().map(|one| String::from_utf8_lossy(&one.controllers).into_owned());
    controllers.filter(|controllers| !controllers.is_empty() && !controllers.starts_with("name=")).collect()
}

fn is_there(path: &str, mounted: &[Vec<u8>]) -> bool {
    let below =
        |point: &Vec<u8>| point.strip_prefix(path.as_bytes()).is_some_and(|rest| rest.is_empty() || rest[0] == b'/');
    let has_devices = || {
        rustix::fs::stat("/dev/null")
            .is_ok_and(|null| FileType::from_raw_mode(null.st_mode) == FileType::CharacterDevice)
    };
    mounted.iter().any(below) || path == "/dev" && has_devices()
}

fn place((kind, path, flags, data): Wanted<'_>) -> Option<String> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => mount(kind, path, kind, flags, data).err(),
        Err(error) => Some(error),
    }
    .map(|error| format!("{path} is missing, and cannot be mounted: {error}"))
}

fn mount_points() -> Vec<Vec<u8>> {
    let mounts = read_own("/proc/self/mountinfo".as_ref(), 4 << 20).ok();
    let mounts = mounts.map(|bytes| mountinfo::parse(&bytes).0).unwrap_or_default();
    mounts.into_iter().map(|mount| mount.mount_point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_are_of_the_version_that_the_process_is_in() {
        let of = |text: &str| v1(&PidCgroup::parse(text.as_bytes()).unwrap());
        assert_eq!(of("0::/\n"), [""; 0]);
        assert_eq!(of("3:name=systemd:/\n2:memory:/\n1:cpu,cpuacct:/\n0::/\n"), ["memory", "cpu,cpuacct"]);
    }

    #[test]
    fn nothing_is_put_over_what_somebody_mounted_at_or_below_a_place() {
        let mounted: Vec<Vec<u8>> = ["/", "/run/docker.sock", "/tmpfiles", "/sys"].map(|point| point.into()).into();
        assert!(is_there("/run", &mounted) && is_there("/sys", &mounted));
        assert!(!is_there("/tmp", &mounted) && !is_there("/proc", &mounted));
    }
}
