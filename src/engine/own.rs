//! Which container this program runs in itself, so that nobody has it end itself.

/// The 64 digits of the container whose files are mounted at `/etc/hostname` and its like, as `/proc/self/mountinfo` tells; or in whose
/// cgroup we are, as `/proc/self/cgroup` does on cgroup v1. Both engines keep those files in a directory called by the id.
pub fn container(mountinfo: &str, cgroup: &str) -> Option<String> {
    let engines = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/run/.containerenv"];
    let mounted = mountinfo.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(3);
        let (root, mount_point) = (fields.next()?, fields.next()?);
        engines.contains(&mount_point).then_some(root)
    });
    mounted.chain(cgroup.lines()).find_map(id_in)
}

fn id_in(path: &str) -> Option<String> {
    let is_id = |word: &&str| word.len() == 64 && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    path.split(['/', '-', '.', ':']).find(is_id).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_and_podman_tell_by_their_mounts_and_old_cgroups_by_their_path() {
        let id = "0123456789abcdef".repeat(4);
        for (mountinfo, cgroup) in [
            (
                format!("1 2 8:1 /var/lib/docker/containers/{id}/hostname /etc/hostname rw - ext4 /dev/sda1 rw"),
                String::new(),
            ),
            (
                format!(
                    "1 2 0:5 /containers/storage/overlay-containers/{id}/userdata/hosts /etc/hosts rw - tmpfs t rw"
                ),
                String::new(),
            ),
            (String::new(), format!("12:pids:/docker/{id}\n0::/")),
            (String::new(), format!("0::/system.slice/docker-{id}.scope")),
        ] {
            assert_eq!(container(&mountinfo, &cgroup), Some(id.clone()), "{mountinfo}{cgroup}");
        }
    }

    #[test]
    fn a_machine_is_no_container_though_it_has_some() {
        let id = "0123456789abcdef".repeat(4);
        let mountinfo = format!("1 2 0:5 / /var/lib/docker/overlay2/{id}/merged rw - overlay overlay rw");
        assert_eq!(container(&mountinfo, "0::/user.slice"), None);
    }
}
