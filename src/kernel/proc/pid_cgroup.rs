//! `/proc/PID/cgroup`, see cgroups(7).

use super::{Malformed, lines, number};

/// Where a process stands in every hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PidCgroup {
    /// One entry for each hierarchy.
    pub memberships: Vec<Membership>,
}

/// Where a process stands in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The hierarchy's number; 0 is cgroup v2.
    pub hierarchy: u32,
    /// Controllers, with commas: `cpu,cpuacct`, `name=systemd`; empty for v2.
    pub controllers: Vec<u8>,
    /// Path below the hierarchy's mount, from the reader's cgroup namespace: `/../x` is outside of it. A removed
    /// cgroup's ends with ` (deleted)`.
    pub path: Vec<u8>,
}

impl PidCgroup {
    /// Reads the bytes of `/proc/PID/cgroup`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let membership = |line| Membership::parse(line).ok_or_else(|| Malformed::line("PID/cgroup", bytes, line));
        Ok(Self { memberships: lines(bytes).map(membership).collect::<Result<_, _>>()? })
    }

    /// The path in cgroup v2, if that is mounted, be it beside v1.
    pub fn unified(&self) -> Option<&[u8]> {
        let unified = self.memberships.iter().find(|one| one.hierarchy == 0 && one.controllers.is_empty());
        unified.map(|one| one.path.as_slice())
    }

    /// The path in the v1 hierarchy of this controller: `memory`, `name=systemd`.
    pub fn controller(&self, name: &str) -> Option<&[u8]> {
        let has = |one: &&Membership| one.controllers.split(|byte| *byte == b',').any(|have| have == name.as_bytes());
        self.memberships.iter().find(has).map(|one| one.path.as_slice())
    }
}

impl Membership {
    fn parse(line: &[u8]) -> Option<Self> {
        // The path comes last and may have colons.
        let mut columns = line.splitn(3, |byte| *byte == b':');
        Some(Self {
            hierarchy: number(columns.next()?)?,
            controllers: columns.next()?.to_vec(),
            path: columns.next().filter(|path| path.starts_with(b"/"))?.to_vec(),
        })
    }
}

/// A container, as the path of its cgroup names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// `docker`, `podman`, `cri-o`, `containerd`, `kubernetes`, `lxc`; `None`: an id in a place of no known manager's.
    pub manager: Option<&'static str>,
    /// The 64 digits of its id; LXC's name.
    pub id: String,
}

impl PidCgroup {
    /// The container it is in, the outermost if there are several: that is the one this machine's manager knows.
    pub fn container(&self) -> Option<Container> {
        self.memberships.iter().find_map(|one| container(&one.path))
    }

    /// The path that says most: where systemd put it, else where it stands in v2, in v1's memory hierarchy, in any.
    pub fn path(&self) -> Option<&[u8]> {
        let named = [self.controller("name=systemd"), self.unified(), self.controller("memory")];
        let all = || named.into_iter().flatten().chain(self.memberships.iter().map(|one| one.path.as_slice()));
        all().find(|path| *path != b"/").or_else(|| all().next())
    }
}

/// The systemd unit of a path: `/system.slice/ssh.service` is `ssh.service`. In a container with a systemd of its own it is that one's.
pub fn unit(path: &[u8]) -> Option<&str> {
    const KINDS: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];
    let parts = path.split(|byte| *byte == b'/').filter_map(|part| std::str::from_utf8(part).ok());
    // systemd puts `_` before what the kernel could take for a file of its own
    let mut units = parts.map(|part| part.strip_prefix('_').unwrap_or(part)).filter(|part| {
        KINDS.iter().any(|kind| part.strip_suffix(kind).is_some_and(|name| !name.is_empty()))
            && container(part.as_bytes()).is_none()
    });
    units.next()
}

fn container(path: &[u8]) -> Option<Container> {
    let parts: Vec<&str> = path.split(|byte| *byte == b'/').filter_map(|part| std::str::from_utf8(part).ok()).collect();
    parts.iter().enumerate().find_map(|(place, part)| {
        let above = parts.get(..place).unwrap_or_default();
        if let Some(name) = part.strip_prefix("lxc.payload.") {
            return Some(Container { manager: Some("lxc"), id: name.to_owned() });
        }
        // before LXC 4
        if above == ["", "lxc"] {
            return Some(Container { manager: Some("lxc"), id: (*part).to_owned() });
        }
        let part = part.strip_suffix(".scope").unwrap_or(part);
        let (prefix, id) = part.rsplit_once('-').unwrap_or(("", part));
        let is_id = id.len() == 64 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let manager = match prefix {
            "docker" => Some("docker"),
            "libpod" => Some("podman"),
            "crio" => Some("cri-o"),
            "cri-containerd" | "nerdctl" => Some("containerd"),
            "" if above.iter().any(|part| part.starts_with("kubepods")) => Some("kubernetes"),
            "" if above.last() == Some(&"docker") => Some("docker"),
            "" => None,
            // `libpod-conmon-…` watches a container from outside
            _ => return None,
        };
        is_id.then(|| Container { manager, id: id.to_owned() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Position;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn id(path: &str) -> Option<(Option<&'static str>, String)> {
        let cgroup = PidCgroup::parse(format!("0::{path}\n").as_bytes()).unwrap();
        cgroup.container().map(|container| (container.manager, container.id))
    }

    #[test]
    fn containers_are_known_by_their_managers_paths() {
        let named = |manager| Some((Some(manager), ID.to_owned()));
        assert_eq!(id(&format!("/system.slice/docker-{ID}.scope")), named("docker"));
        assert_eq!(id(&format!("/docker/{ID}/init")), named("docker"));
        assert_eq!(id(&format!("/machine.slice/libpod-{ID}.scope/container")), named("podman"));
        assert_eq!(id(&format!("/libpod_parent/libpod-{ID}")), named("podman"));
        assert_eq!(id(&format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope")), named("containerd"));
        assert_eq!(id(&format!("/kubepods/burstable/pod1/{ID}")), named("kubernetes"));
        assert_eq!(id(&format!("/default/{ID}")), Some((None, ID.to_owned())));
        assert_eq!(id("/lxc.payload.web/system.slice/a.service"), Some((Some("lxc"), "web".to_owned())));
        assert_eq!(id("/lxc/101/ns"), Some((Some("lxc"), "101".to_owned())));
        for outside in
            ["/", "/lxc.monitor.web", &format!("/machine.slice/libpod-conmon-{ID}.scope"), "/docker/abc", "/lxc"]
        {
            assert_eq!(id(outside), None, "{outside}");
        }
    }

    #[test]
    fn the_outermost_container_is_the_one() {
        let inner = ID.replace('0', "f");
        assert_eq!(id(&format!("/docker/{ID}/docker/{inner}")), Some((Some("docker"), ID.to_owned())));
    }

    #[test]
    fn units_are_found_below_slices_and_in_containers() {
        let unit = |path: &'static str| unit(path.as_bytes());
        assert_eq!(unit("/system.slice/ssh.service"), Some("ssh.service"));
        assert_eq!(unit("/system.slice/system-getty.slice/getty@tty1.service"), Some("getty@tty1.service"));
        assert_eq!(unit("/user.slice/user-0.slice/user@0.service/app.slice/a.service"), Some("user@0.service"));
        assert_eq!(unit("/user.slice/user-0.slice/session-3.scope"), Some("session-3.scope"));
        assert_eq!(unit("/lxc.payload.web/system.slice/a.service"), Some("a.service"));
        assert_eq!(unit("/system.slice/_cpu.service"), Some("cpu.service"));
        assert_eq!(unit("/init.scope"), Some("init.scope"));
        assert_eq!(unit("/user.slice/user-0.slice/user@0.service/init.scope"), Some("user@0.service"));
        for none in ["/", "/system.slice", "/.service", "/docker/x"] {
            assert_eq!(unit(none), None, "{none}");
        }
        assert_eq!(super::unit(format!("/system.slice/docker-{ID}.scope").as_bytes()), None);
    }

    #[test]
    fn the_path_that_says_most_is_shown() {
        let path = |text: &str| PidCgroup::parse(text.as_bytes()).unwrap().path().map(<[u8]>::to_vec);
        assert_eq!(path("0::/\n4:memory:/docker/a\n"), Some(b"/docker/a".to_vec()));
        assert_eq!(path("4:memory:/m\n1:name=systemd:/s\n0::/u\n"), Some(b"/s".to_vec()));
        assert_eq!((path("0::/\n"), path("")), (Some(b"/".to_vec()), None));
    }

    #[test]
    fn v2_alone() {
        let cgroup = PidCgroup::parse(b"0::/system.slice/ssh.service\n").unwrap();
        assert_eq!(cgroup.unified(), Some(&b"/system.slice/ssh.service"[..]));
        assert_eq!(cgroup.controller("memory"), None);
    }

    #[test]
    fn v1_and_v2_side_by_side() {
        let text = b"4:cpu,cpuacct:/docker/a:b\n3:memory:/m\n1:name=systemd:/\xff\n0::/u\n";
        let cgroup = PidCgroup::parse(text).unwrap();
        assert_eq!(cgroup.controller("cpuacct"), Some(&b"/docker/a:b"[..]));
        assert_eq!(cgroup.controller("name=systemd"), Some(&b"/\xff"[..]));
        assert_eq!(cgroup.controller("cpu,cpuacct"), None);
        assert_eq!(cgroup.unified(), Some(&b"/u"[..]));
    }

    #[test]
    fn kernels_without_cgroups_give_nothing() {
        assert_eq!(PidCgroup::parse(b"").unwrap(), PidCgroup::default());
    }

    #[test]
    fn a_line_without_a_path_is_named() {
        assert_eq!(PidCgroup::parse(b"3:memory\n").unwrap_err().position, Position::Line(1));
    }
}
