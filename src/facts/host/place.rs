//! Whose figures these are: a machine's, or those of a container that sees only its share.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Serialize;

use crate::gap::Reader;
use kernel::{
    failure::Failure,
    proc::{
        Malformed,
        cgroup::{self, CpuMax, CpuStat, MemoryStat},
        cpulist,
        loadavg::Loadavg,
        mountinfo::{Line, Lines, Mount},
        pid_cgroup::PidCgroup,
    },
    root::Root,
};

/// Whose a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// The whole machine's, even when it was read in a container.
    Machine,
    /// The container's that the server runs in.
    Container,
}

/// Where the server runs, and how much of the machine it may use there. A limit above the container's cgroup namespace cannot be seen
/// from inside, and one that may not be read is `None` like one that is not set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    /// The container, if it is one.
    pub container: Option<Container>,
    /// Files of `/proc` over which lxcfs lies.
    pub lxcfs: Vec<String>,
    /// Those of them that it passes on as the machine has them.
    pub passed_on: Vec<&'static str>,
    /// What the cgroups allow the container.
    pub limits: Limits,
}

/// What cgroups allow a process: its own and all above it that can be seen from here.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Memory, in bytes.
    pub memory: Option<u64>,
    /// Memory that the limited cgroup uses, page cache that could be dropped left out, in bytes. Only where there is a limit.
    pub memory_used: Option<u64>,
    /// CPUs' worth of time, be it by a quota or by fewer CPUs than there are.
    pub cpu: Option<f64>,
    /// How the cgroup with the least quota was held back by it.
    pub cpu_stat: Option<CpuStat>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Version of the cgroup hierarchy that they are read from.
    pub version: Option<u8>,
}

/// The kind of container, in systemd-detect-virt's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container(pub String);

impl Place {
    /// Finds out. What is odd in a file that it goes by is a gap; what the server may not read is not known, as for everybody but root.
    pub fn of(reader: &Reader<'_>) -> Self {
        let mounts = mounts(reader, tells_of_place);
        let lxcfs = lxcfs(&mounts);
        let membership = membership(reader);
        let container = container(reader, &mounts, &lxcfs, &membership);
        let (mut limits, mut passed) = (Limits::default(), vec![]);
        if container.is_some() {
            let cgroups = Cgroups { mounts, membership };
            limits = Limits::read(reader, &cgroups);
            passed = passed_on(reader, &lxcfs, &cgroups);
        }
        Self { container, lxcfs, passed_on: passed, limits }
    }

    /// Whose the figures in this file of `/proc` are.
    pub fn whose(&self, file: &str) -> Whose {
        match &self.container {
            // its kernel keeps every container's own figures
            Some(Container(kind)) if kind == "openvz" => Whose::Container,
            Some(_) if self.covers(file) && !self.passed_on.contains(&file) => Whose::Container,
            _ => Whose::Machine,
        }
    }

    /// Whether lxcfs lies over this file of `/proc`. Over `stat` and `cpuinfo` it leaves out the CPUs that the container may not use,
    /// whosever the figures of the others are.
    pub fn covers(&self, file: &str) -> bool {
        self.lxcfs.iter().any(|covered| covered == file)
    }

    /// Whose those are that belong to a namespace (mounts, processes, interfaces).
    pub fn inside(&self) -> Whose {
        if self.container.is_some() { Whose::Container } else { Whose::Machine }
    }
}

impl Limits {
    /// Those of a process with this membership.
    pub fn of(reader: &Reader<'_>, membership: &PidCgroup) -> Self {
        Self::read(reader, &Cgroups { mounts: mounts(reader, |line| line.is_cgroup()), membership: membership.clone() })
    }

    fn read(reader: &Reader<'_>, cgroups: &Cgroups) -> Self {
        let mut limits = Self::default();
        if let Some((version, dirs)) = cgroups.of("memory") {
            limits.version = Some(version);
            dirs.iter().for_each(|dir| limits.add_memory(reader, version, dir));
        }
        if let Some((version, dirs)) = cgroups.of("cpu") {
            limits.version = limits.version.or(Some(version));
            dirs.iter().for_each(|dir| limits.add_quota(reader, version, dir));
        }
        if let Some((version, dirs)) = cgroups.of("cpuset") {
            limits.add_cpus(reader, version, &dirs);
        }
        for dir in cgroups.of("pids").map(|(_, dirs)| dirs).unwrap_or_default() {
            limits.pids = limits.pids.into_iter().chain(limit(reader, &format!("{dir}/pids.max"))).min();
        }
        limits
    }

    fn add_memory(&mut self, reader: &Reader<'_>, version: u8, dir: &str) {
        let [most, current] = match version {
            1 => ["memory.limit_in_bytes", "memory.usage_in_bytes"],
            _ => ["memory.max", "memory.current"],
        };
        let Some(limit) = limit(reader, &format!("{dir}/{most}")) else { return };
        if self.memory.is_some_and(|least| least <= limit) {
            return;
        }
        self.memory = Some(limit);
        let used = parsed(reader, &format!("{dir}/{current}"), cgroup::count);
        let stat = parsed(reader, &format!("{dir}/memory.stat"), MemoryStat::parse);
        let droppable = stat.and_then(|stat| stat.inactive_file).unwrap_or(0);
        self.memory_used = used.map(|used| used.saturating_sub(droppable));
    }

    fn add_quota(&mut self, reader: &Reader<'_>, version: u8, dir: &str) {
        let max = match version {
            1 => {
                let (quota, period) = (format!("{dir}/cpu.cfs_quota_us"), format!("{dir}/cpu.cfs_period_us"));
                let texts = reader.text(&quota).zip(reader.text(&period));
                texts.and_then(|(quota_us, period_us)| reader.parsed(&quota, CpuMax::parse_v1(&quota_us, &period_us)))
            }
            _ => parsed(reader, &format!("{dir}/cpu.max"), CpuMax::parse),
        };
        if let Some(cpus) = max.and_then(|max| max.cpus())
            && self.cpu.is_none_or(|least| cpus < least)
        {
            self.cpu = Some(cpus);
            self.cpu_stat = parsed(reader, &format!("{dir}/cpu.stat"), CpuStat::parse);
        }
    }

    fn add_cpus(&mut self, reader: &Reader<'_>, version: u8, dirs: &[String]) {
        let allowed = if version == 1 { "cpuset.effective_cpus" } else { "cpuset.cpus.effective" };
        let count = |path: &str| parsed(reader, path, cpulist::parse).map_or(0, |cpus| cpus.len());
        // the lowest one has what all above it leave
        let allowed = dirs.last().map_or(0, |dir| count(&format!("{dir}/{allowed}")));
        let online = count("sys/devices/system/cpu/online");
        if (1..online).contains(&allowed) && self.cpu.is_none_or(|least| (allowed as f64) < least) {
            self.cpu = Some(allowed as f64);
        }
    }
}

/// A file of a cgroup, as `parse` reads it.
fn parsed<T>(reader: &Reader<'_>, path: &str, parse: impl Fn(&str) -> Result<T, Malformed>) -> Option<T> {
    let text = reader.text(path)?;
    reader.parsed(path, parse(&text))
}

/// A limit that is set.
fn limit(reader: &Reader<'_>, path: &str) -> Option<u64> {
    parsed(reader, path, cgroup::limit).flatten()
}

/// The mounts that `keep` takes, in the order of their table, which may be of any length. Below another root it is PID 1's, which only
/// root and those with ptrace rights may read.
pub fn mounts(reader: &Reader<'_>, keep: impl Fn(&Line<'_>) -> bool) -> Vec<Mount> {
    let path = format!("{}/mountinfo", reader.root().own());
    let (mut mounts, mut lines) = (vec![], Lines::default());
    let read = reader.root().lines(&path, |line| {
        if let Some(line) = lines.parse(line).filter(|line| keep(line)) {
            mounts.push(line.mount());
        }
    });
    reader.lenient(&path, ((), lines.odd()));
    seen(reader, &path, read.map(Some));
    mounts
}

/// What is not there, or not for the server to see, is a value: a place that is known in part is better than no answer.
fn seen<T>(reader: &Reader<'_>, path: &str, result: Result<Option<T>, Failure>) -> Option<T> {
    match result {
        Err(Failure::Denied(_)) => None,
        other => reader.keep(path, Failure::absent(other).map(Option::flatten)).flatten(),
    }
}

/// The lines of the mount table that tell what kind of place this is: few of 100,000.
fn tells_of_place(line: &Line<'_>) -> bool {
    let is_proc = line.mount_point.strip_prefix(b"/proc").is_some_and(|below| matches!(below, [] | [b'/', ..]));
    line.is_cgroup() || is_proc || line.mount_point == b"/" || line.fs_type == b"fuse.lxcfs"
}

/// The files of `/proc` that lxcfs lies over, without those that a later mount on `/proc` hides (`ProtectProc=` makes one).
fn lxcfs(mounts: &[Mount]) -> Vec<String> {
    // what was mounted later on the same parent, at the file or above it, hides it: so from the last to the first
    let mut later: HashSet<(u32, &[u8])> = HashSet::new();
    let (mut told, mut files) = (HashSet::new(), vec![]);
    for mount in mounts.iter().rev() {
        if mount.fs_type != b"fuse.lxcfs" {
            later.insert((mount.parent, &mount.mount_point));
            continue;
        }
        let hidden = above(&mount.mount_point).any(|path| later.contains(&(mount.parent, path)));
        let file = mount.mount_point.strip_prefix(b"/proc/").and_then(|file| std::str::from_utf8(file).ok());
        if let Some(file) = file.filter(|file| !hidden && told.insert(*file)) {
            files.push(file.to_owned());
        }
    }
    files.reverse();
    files
}

/// A path, and all directories that it lies in but `/`.
fn above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    ends.chain([path.len()]).filter_map(|end| path.get(..end))
}

/// What lxcfs covers and yet passes on.
fn passed_on(reader: &Reader<'_>, lxcfs: &[String], cgroups: &Cgroups) -> Vec<&'static str> {
    let mut passed_on = vec![];
    let covers = |file: &str| lxcfs.iter().any(|covered| covered == file);
    // a container's times of each CPU are in v1's cpuacct only
    if covers("stat") && cgroups.membership.controller("cpuacct").is_none() {
        passed_on.push("stat");
    }
    // a load of the container's own takes `lxcfs -l`, which few have; the threads that stand beside it tell
    if covers("loadavg") {
        let load = parsed(reader, "proc/loadavg", Loadavg::parse);
        let top = cgroups.of("pids").and_then(|(_, dirs)| dirs.into_iter().next());
        let tasks = top.and_then(|dir| reader.number::<u32>(&format!("{dir}/pids.current")));
        let own = load
            .zip(tasks)
            .is_some_and(|(load, tasks)| load.threads.is_some_and(|threads| threads <= tasks.saturating_add(32)));
        if !own {
            passed_on.push("loadavg");
        }
    }
    passed_on
}

/// The cgroups of the container as a whole. PID 1 stands at its root, our own may be those of a unit in it. But where the container
/// shares the machine's processes, PID 1 is the machine's, and where they are hidden, there is none.
fn membership(reader: &Reader<'_>) -> PidCgroup {
    let read = |file: &str| {
        let bytes = seen(reader, file, reader.root().bytes(file).map(Some))?;
        reader.parsed(file, PidCgroup::parse(&bytes))
    };
    let is_ours = |one: &PidCgroup| !one.memberships.iter().any(|one| one.path.starts_with(b"/.."));
    ["proc/1/cgroup", "proc/self/cgroup"].into_iter().filter_map(read).find(is_ours).unwrap_or_default()
}

/// The kind of container that the root belongs to, by the marks systemd's `detect_container` goes by.
fn container(reader: &Reader<'_>, mounts: &[Mount], lxcfs: &[String], membership: &PidCgroup) -> Option<Container> {
    let root = reader.root();
    let kind = |kind: &str| Some(Container(kind.to_owned()));
    let word = |file: &str| seen(reader, file, root.word(file));
    if root.exists("proc/vz") && !root.exists("proc/bc") {
        return kind("openvz");
    }
    let release = word("proc/sys/kernel/osrelease").unwrap_or_default();
    if release.contains("Microsoft") || release.contains("WSL") {
        return kind("wsl");
    }
    if let Some(name) = ["run/host/container-manager", "run/systemd/container"].into_iter().find_map(word) {
        return kind(&name);
    }
    // PID 1's environment is only for root to read; the other marks serve everyone
    if let Some(environ) = seen(reader, "proc/1/environ", root.bytes("proc/1/environ").map(Some)) {
        let of = environ.split(|byte| *byte == 0).find_map(|variable| variable.strip_prefix(b"container="));
        if let Some(name) = of.filter(|name| !name.is_empty()) {
            return kind(&String::from_utf8_lossy(name));
        }
    }
    if root.exists("run/.containerenv") {
        return kind("podman");
    }
    let first = Namespaces::of(root);
    // a virtual machine may have been made from an image, with this file in it
    if root.exists(".dockerenv") && !(first.pid && first.cgroup) {
        return kind("docker");
    }
    if !lxcfs.is_empty() || root.exists("dev/.lxc") || root.exists("dev/.lxc-boot-id") {
        return kind("lxc");
    }
    // Incus and LXD put it into their virtual machines as well
    if root.exists("dev/lxd") && !first.pid {
        return kind("lxc");
    }
    let named = [
        ("docker", "/docker/"),
        ("docker", "/docker-"),
        ("lxc", "/lxc/"),
        ("lxc", "/lxc.payload"),
        ("podman", "/libpod-"),
        ("kubernetes", "/kubepods"),
        ("systemd-nspawn", "/systemd-nspawn@"),
    ];
    let paths: Vec<_> = membership.memberships.iter().map(|one| String::from_utf8_lossy(&one.path)).collect();
    if let Some((name, _)) = named.iter().find(|(_, mark)| paths.iter().any(|path| path.contains(mark))) {
        return kind(name);
    }
    // one without any mark of its own
    let overlay = mounts.iter().any(|mount| mount.mount_point == b"/" && mount.fs_type == b"overlay");
    if !first.pid && (first.certain || overlay) {
        return kind("container-other");
    }
    None
}

/// Whether the machine's first namespaces are the ones we look at.
struct Namespaces {
    pid: bool,
    cgroup: bool,
    /// The kernel said so; else it is a guess.
    certain: bool,
}

impl Namespaces {
    fn of(root: &Root) -> Self {
        // the numbers of the first namespaces are fixed: include/linux/proc_ns.h
        let is_first = |kind: &str, number: u32| {
            let link = root.is_live().then(|| root.link_name(&format!("proc/self/ns/{kind}")).ok().flatten()).flatten();
            link.map(|link| link == format!("{kind}:[{number}]"))
        };
        // PID 2 is the kernel's `kthreadd` there and nowhere else, but it may be hidden
        let kthreadd = || root.word("proc/2/comm").ok().flatten().is_some_and(|comm| comm == "kthreadd");
        let pid = is_first("pid", 4_026_531_836);
        Self {
            pid: pid.unwrap_or_else(kthreadd),
            cgroup: is_first("cgroup", 4_026_531_835).unwrap_or(true),
            certain: pid.is_some(),
        }
    }
}

/// Where a process stands, and where that is to be seen.
pub(super) struct Cgroups {
    pub(super) mounts: Vec<Mount>,
    pub(super) membership: PidCgroup,
}

impl Cgroups {
    /// The version that a controller is under, and the directories in which it limits: machines may have both side by side.
    pub(super) fn of(&self, controller: &str) -> Option<(u8, Vec<String>)> {
        let v1 = self.mounts.iter().find(|mount| mount.fs_type == b"cgroup" && mount.has(controller.as_bytes()));
        if let Some(found) = v1.zip(self.membership.controller(controller)).map(|(mount, path)| levels(mount, path)) {
            return Some((1, found));
        }
        let v2 = self.mounts.iter().find(|mount| mount.fs_type == b"cgroup2");
        v2.zip(self.membership.unified()).map(|(mount, path)| (2, levels(mount, path)))
    }
}

/// The directories of a cgroup and of all above it, as far as this mount shows them. A limit of any of them counts.
fn levels(mount: &Mount, path: &[u8]) -> Vec<String> {
    let (top, path) = (String::from_utf8_lossy(&mount.mount_point), String::from_utf8_lossy(path));
    // the mount may show a part of the tree (a bind mount into a container); what is outside of it, or of our namespace, has no place
    let root = String::from_utf8_lossy(&mount.root);
    let below =
        path.strip_prefix(root.trim_end_matches('/')).filter(|below| below.is_empty() || below.starts_with('/'));
    let mut dirs = vec![top.trim_start_matches('/').to_owned()];
    let parts = || below.unwrap_or("").split('/').filter(|part| !part.is_empty());
    if parts().all(|part| part != "..") {
        for part in parts() {
            dirs.push(format!("{}/{part}", dirs[dirs.len() - 1]));
        }
    }
    dirs
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::gap::{Gaps, Why};

    /// A tree of files, gone when dropped.
    struct Tree(PathBuf);

    impl Tree {
        #[expect(clippy::disallowed_methods, reason = "makes the tree to be read")]
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let dir = std::env::temp_dir().join(format!("place-{name}-{}", std::process::id()));
            for (path, text) in files {
                let path = dir.join(path);
                std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
                std::fs::write(path, text).unwrap();
            }
            Self(dir)
        }

        fn root(&self) -> Root {
            Root::open(&self.0).unwrap()
        }

        fn place(&self) -> Place {
            let (place, gaps) = self.place_and_gaps();
            assert!(gaps.is_empty(), "{gaps:?}");
            place
        }

        fn place_and_gaps(&self) -> (Place, Gaps) {
            let root = self.root();
            let reader = Reader::new(&root);
            (Place::of(&reader), reader.gaps())
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }

    const ROOT: &str = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n";
    const OVERLAY: &str = "1 0 0:50 / / rw - overlay overlay rw\n2 1 0:2 / /proc rw - proc proc rw\n";
    const V2: &str = "9 1 0:9 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n";

    #[test]
    fn a_machine_is_no_container_and_has_no_limits() {
        let tree = Tree::new(
            "machine",
            &[
                ("proc/1/mountinfo", &format!("{ROOT}{V2}")),
                ("proc/1/cgroup", "0::/init.scope\n"),
                ("proc/2/comm", "kthreadd\n"),
                ("sys/fs/cgroup/init.scope/memory.max", "1000\n"),
            ],
        );
        assert_eq!(tree.place(), Place::default());
        assert_eq!(tree.place().inside(), Whose::Machine);
    }

    #[test]
    fn a_virtual_machine_made_from_an_image_is_no_container() {
        let files = [(".dockerenv", ""), ("proc/1/mountinfo", ROOT), ("proc/2/comm", "kthreadd\n")];
        assert_eq!(Tree::new("image", &files).place().container, None);
    }

    #[test]
    fn an_empty_tree_is_a_machine_of_which_nothing_is_known() {
        assert_eq!(Tree::new("empty", &[("proc/1/stat", "")]).place(), Place::default());
    }

    #[test]
    fn what_may_not_be_read_is_not_known_and_nothing_fails() {
        let tree = Tree::new("denied", &[(".dockerenv", "")]);
        let files = ["proc/1/mountinfo", "proc/1/cgroup", "proc/1/environ", "run/systemd/container"];
        let denied = files.map(|file| (file.to_owned(), rustix::io::Errno::ACCESS));
        let root = tree.root().failing(denied.into());
        let reader = Reader::new(&root);
        let place = Place::of(&reader);
        assert!(reader.gaps().is_empty());
        assert_eq!((place.container, place.limits.memory), (Some(Container("docker".into())), None));
    }

    #[test]
    fn docker_on_v2_has_its_limits_at_the_top_of_its_namespace() {
        let tree = Tree::new(
            "docker2",
            &[
                (".dockerenv", ""),
                ("proc/1/mountinfo", &format!("{OVERLAY}{V2}")),
                ("proc/1/cgroup", "0::/\n"),
                ("sys/fs/cgroup/memory.max", "536870912\n"),
                ("sys/fs/cgroup/memory.current", "300\n"),
                ("sys/fs/cgroup/memory.stat", "anon 1\ninactive_file 100\n"),
                ("sys/fs/cgroup/cpu.max", "150000 100000\n"),
                ("sys/fs/cgroup/cpu.stat", "usage_usec 9\nnr_periods 10\nnr_throttled 4\nthrottled_usec 70\n"),
                ("sys/fs/cgroup/pids.max", "max\n"),
            ],
        );
        let place = tree.place();
        assert_eq!(place.container, Some(Container("docker".into())));
        assert_eq!((place.limits.memory, place.limits.memory_used), (Some(512 << 20), Some(200)));
        assert_eq!((place.limits.cpu, place.limits.pids, place.limits.version), (Some(1.5), None, Some(2)));
        assert_eq!(place.limits.cpu_stat.and_then(|stat| stat.throttled), Some(4));
        assert_eq!((place.whose("meminfo"), place.inside()), (Whose::Machine, Whose::Container));
    }

    #[test]
    fn v1_sees_the_machines_paths_and_none_of_its_limits_is_near_2_63() {
        let mount = |controllers: &str, dir: &str| {
            format!("9 1 0:9 /docker/ab /sys/fs/cgroup/{dir} ro - cgroup cgroup rw,{controllers}\n")
        };
        let mounts = format!("{OVERLAY}{}{}", mount("memory", "memory"), mount("cpu,cpuacct", "cpu,cpuacct"));
        let tree = Tree::new(
            "docker1",
            &[
                ("proc/1/mountinfo", &mounts),
                ("proc/1/cgroup", "4:cpu,cpuacct:/docker/ab\n3:memory:/docker/ab/unit\n"),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ("sys/fs/cgroup/memory/unit/memory.limit_in_bytes", "4096\n"),
                ("sys/fs/cgroup/memory/unit/memory.usage_in_bytes", "4000\n"),
                ("sys/fs/cgroup/memory/unit/memory.stat", "inactive_file 1\ntotal_inactive_file 1000\n"),
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"),
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
            ],
        );
        let place = tree.place();
        assert_eq!(place.container, Some(Container("docker".into())));
        assert_eq!((place.limits.memory, place.limits.memory_used, place.limits.cpu), (Some(4096), Some(3000), None));
        assert_eq!(place.limits.version, Some(1));
    }

    #[test]
    fn the_tightest_of_all_levels_counts() {
        let tree = Tree::new(
            "levels",
            &[
                ("run/systemd/container", "lxc\n"),
                ("proc/1/mountinfo", &format!("{ROOT}{V2}")),
                ("proc/1/cgroup", "0::/init.scope\n"),
                ("sys/fs/cgroup/memory.max", "100\n"),
                ("sys/fs/cgroup/memory.current", "50\n"),
                ("sys/fs/cgroup/init.scope/memory.max", "200\n"),
                ("sys/fs/cgroup/init.scope/pids.max", "7\n"),
                ("sys/fs/cgroup/pids.max", "9\n"),
                ("sys/fs/cgroup/cpu.max", "max 100000\n"),
                ("sys/fs/cgroup/init.scope/cpuset.cpus.effective", "2-3\n"),
                ("sys/devices/system/cpu/online", "0-7\n"),
            ],
        );
        let place = tree.place();
        assert_eq!((place.limits.memory, place.limits.memory_used), (Some(100), Some(50)));
        assert_eq!((place.limits.pids, place.limits.cpu), (Some(7), Some(2.0)));
    }

    const LXCFS: &str = "\
3 2 0:60 /proc/meminfo /proc/meminfo rw - fuse.lxcfs lxcfs rw
4 2 0:60 /proc/stat /proc/stat rw - fuse.lxcfs lxcfs rw
5 2 0:60 /proc/loadavg /proc/loadavg rw - fuse.lxcfs lxcfs rw
";

    #[test]
    fn lxcfs_makes_figures_the_containers_unless_a_mount_hides_it() {
        let tree = Tree::new("lxcfs", &[("proc/1/mountinfo", &format!("{OVERLAY}{LXCFS}"))]);
        let place = tree.place();
        assert_eq!(
            (place.container.clone(), place.whose("meminfo")),
            (Some(Container("lxc".into())), Whose::Container)
        );
        assert_eq!(place.whose("diskstats"), Whose::Machine);

        let sandbox = "6 2 0:61 / /proc rw - proc proc rw\n";
        let tree = Tree::new("hidden", &[("proc/1/mountinfo", &format!("{OVERLAY}{LXCFS}{sandbox}"))]);
        let place = tree.place();
        assert_eq!((place.lxcfs.len(), place.whose("meminfo")), (0, Whose::Machine));
    }

    #[test]
    fn lxcfs_has_no_cpu_times_of_its_own_on_v2_and_no_load_unless_told_to() {
        let place = |name: &str, cgroup: &str, load: &str| {
            let files = [
                ("proc/1/mountinfo", &*format!("{OVERLAY}{LXCFS}{V2}")),
                ("proc/1/cgroup", cgroup),
                ("proc/loadavg", load),
                ("sys/fs/cgroup/pids.current", "6\n"),
            ];
            let place = Tree::new(name, &files).place();
            assert!(place.covers("stat") && place.covers("loadavg"));
            (place.whose("stat"), place.whose("loadavg"))
        };
        let both = "2:cpu,cpuacct:/\n0::/\n";
        assert_eq!(place("v2", "0::/\n", "1 1 1 1/93 9\n"), (Whose::Machine, Whose::Machine));
        assert_eq!(place("v1", both, "1 1 1 1/93 9\n"), (Whose::Container, Whose::Machine));
        assert_eq!(place("own", both, "1 1 1 1/6 9\n"), (Whose::Container, Whose::Container));
    }

    #[test]
    fn an_odd_line_of_a_table_and_an_odd_limit_cost_themselves_alone() {
        let tree = Tree::new(
            "odd",
            &[
                (".dockerenv", ""),
                ("proc/1/mountinfo", &format!("{OVERLAY}2 1 no mount\n{V2}")),
                ("proc/1/cgroup", "0::/\n"),
                ("sys/fs/cgroup/memory.max", "lots\n"),
                ("sys/fs/cgroup/pids.max", "70\n"),
            ],
        );
        let (place, gaps) = tree.place_and_gaps();
        assert_eq!((place.limits.memory, place.limits.pids, place.limits.version), (None, Some(70), Some(2)));
        let odd: Vec<_> = gaps.rows().iter().map(|gap| (&*gap.file, gap.why, gap.detail.as_deref())).collect();
        assert_eq!(odd[0], ("/proc/1/mountinfo", Why::Odd, Some("cannot read line 3")));
        assert_eq!((odd.len(), odd[1].0, odd[1].1), (2, "/sys/fs/cgroup/memory.max", Why::Odd));
    }

    #[test]
    fn a_table_of_any_length_tells_the_place() {
        let shm = |number: u32| {
            let sandbox = "/run/containerd/io.containerd.grpc.v1.cri/sandboxes";
            format!("{number} 2 0:{number} / {sandbox}/{number:0160x}/shm rw - tmpfs shm rw,size=65536k\n")
        };
        let table = OVERLAY.to_owned() + &(100..20_000).map(shm).collect::<String>() + V2;
        assert!(table.len() > 4 << 20);
        let files = [(".dockerenv", ""), ("proc/1/mountinfo", &*table), ("proc/1/cgroup", "0::/\n")];
        let tree = Tree::new("long", &[&files[..], &[("sys/fs/cgroup/pids.max", "70\n")]].concat());
        assert_eq!(tree.place().limits.pids, Some(70));
        assert_eq!(mounts(&Reader::new(&tree.root()), tells_of_place).len(), 3);
    }

    #[test]
    fn lxcfs_is_hidden_by_what_came_later_on_the_same_parent_alone() {
        let files = |later: &str| {
            let table = format!("{LXCFS}{later}");
            let lines = table.lines().map(|line| Line::parse(line.as_bytes()).unwrap().mount());
            lxcfs(&lines.collect::<Vec<_>>())
        };
        let all = ["meminfo", "stat", "loadavg"];
        assert_eq!(files(""), all);
        assert_eq!(files("6 9 0:61 / /proc rw - proc proc rw\n"), all);
        assert_eq!(files("6 2 0:61 / /proc/st rw - proc proc rw\n"), all);
        assert_eq!(files("6 2 0:61 / /proc/stat rw - tmpfs tmpfs rw\n"), ["meminfo", "loadavg"]);
        assert_eq!(files("6 2 0:60 /proc/stat /proc/stat rw - fuse.lxcfs lxcfs rw\n"), ["meminfo", "loadavg", "stat"]);
    }

    #[test]
    fn kinds_are_told_by_their_marks() {
        let kind = |name: &str, files: &[(&str, &str)]| Tree::new(name, files).place().container.map(|kind| kind.0);
        let of = |name: &str, path: &str, text: &str| kind(name, &[("proc/1/mountinfo", ROOT), (path, text)]);
        assert_eq!(of("vz", "proc/vz/version", "1").as_deref(), Some("openvz"));
        assert_eq!(of("nspawn", "run/host/container-manager", "systemd-nspawn\n").as_deref(), Some("systemd-nspawn"));
        assert_eq!(of("environ", "proc/1/environ", "A=1\0container=lxc\0").as_deref(), Some("lxc"));
        assert_eq!(of("nothing", "proc/1/environ", "container=\0"), None);
        assert_eq!(of("podman", "run/.containerenv", "").as_deref(), Some("podman"));
        assert_eq!(
            of("wsl", "proc/sys/kernel/osrelease", "5.15.90.1-microsoft-standard-WSL2\n").as_deref(),
            Some("wsl")
        );
        assert_eq!(of("scope", "proc/1/cgroup", "0::/system.slice/docker-ab.scope\n").as_deref(), Some("docker"));
        assert_eq!(of("pod", "proc/1/cgroup", "0::/kubepods.slice/x\n").as_deref(), Some("kubernetes"));
        assert_eq!(kind("other", &[("proc/1/mountinfo", OVERLAY)]).as_deref(), Some("container-other"));
    }

    #[test]
    fn pid_1_of_the_machine_does_not_speak_for_a_container() {
        let tree =
            Tree::new("pidhost", &[("proc/1/cgroup", "0::/../../init.scope\n"), ("proc/self/cgroup", "0::/mine\n")]);
        assert_eq!(membership(&Reader::new(&tree.root())).unified(), Some(&b"/mine"[..]));
    }

    #[test]
    fn a_cgroup_with_a_longer_name_is_another_one() {
        let mount = |root: &str| {
            let line = format!("9 1 0:9 {root} /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
            Line::parse(line.trim_end().as_bytes()).unwrap().mount()
        };
        let top = "sys/fs/cgroup";
        assert_eq!(levels(&mount("/docker/ab"), b"/docker/abc"), [top]);
        assert_eq!(levels(&mount("/docker/ab"), b"/docker/ab/c"), [top, "sys/fs/cgroup/c"]);
        assert_eq!(levels(&mount("/"), b"/../../x"), [top]);
        assert_eq!(levels(&mount("/"), b"/a..b"), [top, "sys/fs/cgroup/a..b"]);
    }
}
