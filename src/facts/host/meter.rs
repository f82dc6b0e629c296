//! What containers use, read where the kernel counts it: some microseconds for each, of which the Engine, asked for the same figures,
//! makes milliseconds of its own.

use std::time::Instant;

use super::{
    Machine,
    place::{self, Cgroups},
};
use crate::gap::Reader;
use engine::stats::Usage;
use kernel::{
    failure::Failure,
    proc::{
        cgroup::{self, CpuStat, MemoryStat},
        meminfo::Meminfo,
        pid_cgroup::PidCgroup,
    },
};

/// The cgroups of a container, and the CPU time that they had counted when they were found.
///
/// They are found by a process of the container's, whose number the Engine tells. That number may be of another PID namespace than ours
/// (the server runs in a container, the Engine elsewhere), and be another process's here: only cgroups that are named after the container,
/// by its full id, are believed.
#[derive(Debug)]
pub struct Meter {
    cpu: (u8, String),
    memory: (u8, String),
    at: Instant,
    nanoseconds: u64,
}

impl Meter {
    /// One for each container of these, by its full id and the number of a process in it. `None`: the kernel does not show its cgroups
    /// here, or not to us.
    pub fn all(machine: &Machine, these: &[(String, u32)]) -> Vec<Option<Self>> {
        // in a copy no counter moves, and the numbers are of another day
        if machine.root.directory("proc").is_ok_and(|proc| proc.is_procfs()) {
            Self::find(machine, these)
        } else {
            these.iter().map(|_| None).collect()
        }
    }

    fn find(machine: &Machine, these: &[(String, u32)]) -> Vec<Option<Self>> {
        let mounts = place::mounts(&Reader::new(&machine.root), |line| line.is_cgroup());
        let mut cgroups = Cgroups { mounts, membership: PidCgroup::default() };
        let mut one = |id: &str, pid: u32| -> Result<Option<Self>, Failure> {
            cgroups.membership = PidCgroup::parse(&machine.root.bytes(&format!("proc/{pid}/cgroup"))?)?;
            let own = |controller: &str| {
                let (version, dirs) = cgroups.of(controller)?;
                // it may stand deeper: a container can make cgroups of its own
                Some((version, dirs.into_iter().find(|dir| is_of(dir, id))?))
            };
            let (Some(cpu), Some(memory)) = (own("cpuacct"), own("memory")) else { return Ok(None) };
            let (at, nanoseconds) = counted(machine, &cpu)?;
            Ok(Some(Self { cpu, memory, at, nanoseconds }))
        };
        let known = |(id, pid): &(String, u32)| {
            one(id, *pid)
                .inspect_err(|failure| tracing::debug!(id, %failure, "a container's cgroups cannot be read"))
                .ok()
                .flatten()
        };
        these.iter().map(known).collect()
    }

    /// What each of these has used since it was found, and what it holds. Nothing is known of one that has ended meanwhile.
    pub fn read(machine: &Machine, these: &[Option<Self>]) -> Vec<Option<Usage>> {
        let total = machine.root.text("proc/meminfo").ok().and_then(|text| Meminfo::parse(&text).0.total);
        let usage = |one: &Self| one.usage(machine, total).unwrap_or_default();
        these.iter().map(|one| one.as_ref().map(usage)).collect()
    }

    /// What it has counted since the container was started, and what it holds.
    pub fn totals(&self, machine: &Machine) -> Totals {
        let counted = counted(machine, &self.cpu).ok().map(|(_, nanoseconds)| nanoseconds as f64 / 1e9);
        let (memory, limit) = held(machine, &self.memory).unwrap_or_default();
        Totals { cpu_seconds: counted, memory, memory_limit: limit }
    }

    /// Its memory cgroup, below the hierarchy's root: `/system.slice/docker-….scope`.
    pub fn cgroup(&self) -> &str {
        let (version, dir) = &self.memory;
        let below = dir.strip_prefix("sys/fs/cgroup").unwrap_or(dir);
        match version {
            // the hierarchy's own name
            1 => below.get(1..).and_then(|rest| rest.find('/')).map_or(below, |at| &below[at + 1..]),
            _ => below,
        }
    }

    fn usage(&self, machine: &Machine, total: Option<u64>) -> Result<Usage, Failure> {
        let (at, nanoseconds) = counted(machine, &self.cpu)?;
        let seconds = Some(at.duration_since(self.at).as_secs_f64()).filter(|seconds| *seconds > 0.0);
        // fewer than before: it was started anew
        let spent = nanoseconds.checked_sub(self.nanoseconds);
        let cpu = spent.zip(seconds).map(|(spent, seconds)| spent as f64 / 1e9 / seconds);
        let (memory, limit) = held(machine, &self.memory).unwrap_or_default();
        // whoever has no limit, or one above what there is, has the machine's memory
        let limit = limit.into_iter().chain(total).min().filter(|limit| *limit > 0);
        let memory_ratio = memory.zip(limit).map(|(used, limit)| used as f64 / limit as f64);
        Ok(Usage { seconds, cpu, memory, memory_ratio, ..Usage::default() })
    }
}

/// What the kernel counts of a container. What it does not tell is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// CPU time since it was started, in seconds.
    pub cpu_seconds: Option<f64>,
    /// The memory it holds without the cache that the kernel drops first, in bytes.
    pub memory: Option<u64>,
    /// The most it may hold, in bytes.
    pub memory_limit: Option<u64>,
}

/// Whether the last part of this path is what Docker, Podman or systemd for them names the cgroup of the container with this full id.
fn is_of(dir: &str, id: &str) -> bool {
    let name = dir.rsplit('/').next().unwrap_or(dir);
    let name = name.strip_suffix(".scope").unwrap_or(name);
    ["docker-", "libpod-"].iter().find_map(|manager| name.strip_prefix(manager)).unwrap_or(name) == id
}

/// The CPU time used in a cgroup, in nanoseconds, and when that was.
fn counted(machine: &Machine, (version, dir): &(u8, String)) -> Result<(Instant, u64), Failure> {
    let text = |file: &str| machine.root.text(&format!("{dir}/{file}"));
    let nanoseconds = match version {
        1 => cgroup::count(&text("cpuacct.usage")?)?,
        _ => {
            let stat = CpuStat::parse(&text("cpu.stat")?)?;
            stat.usage_us.ok_or_else(|| Failure::internal("cpu.stat has no usage_usec"))?.saturating_mul(1000)
        }
    };
    Ok((Instant::now(), nanoseconds))
}

/// The memory a cgroup holds without the cache that the kernel drops first, as `docker stats` counts, and its own limit. Nothing is
/// known of either where the controller is switched off.
fn held(machine: &Machine, (version, dir): &(u8, String)) -> Result<(Option<u64>, Option<u64>), Failure> {
    let text = |file: &str| Failure::absent(machine.root.text(&format!("{dir}/{file}")));
    let [current, most] = match version {
        1 => ["memory.usage_in_bytes", "memory.limit_in_bytes"],
        _ => ["memory.current", "memory.max"],
    };
    let used = text(current)?.map(|text| cgroup::count(&text)).transpose()?;
    let stat = text("memory.stat")?.map(|text| MemoryStat::parse(&text)).transpose()?;
    let inactive = stat.and_then(|stat| stat.inactive_file).unwrap_or(0);
    let limit = text(most)?.map(|text| cgroup::limit(&text)).transpose()?.flatten();
    // the figures are not of one moment
    Ok((used.map(|used| if inactive < used { used - inactive } else { used }), limit))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::host::Live;
    use kernel::root::Root;

    const ID: &str = "3f4e1f0c9b8a7d6e5f4e3d2c1b0a99887766554433221100ffeeddccbbaa0099";
    const OTHER: &str = "aaaa1f0c9b8a7d6e5f4e3d2c1b0a99887766554433221100ffeeddccbbaa0099";

    /// A tree of files, gone when dropped.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let tree = Self(std::env::temp_dir().join(format!("meter-{name}-{}", std::process::id())));
            tree.write(files);
            tree
        }

        #[expect(clippy::disallowed_methods, reason = "makes the tree to be read")]
        fn write(&self, files: &[(&str, &str)]) {
            for (path, text) in files {
                let path = self.0.join(path.replace("ID", ID));
                std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
                std::fs::write(path, text.replace("ID", ID).replace("OTHER", OTHER)).unwrap();
            }
        }

        fn machine(&self) -> Machine {
            Machine {
                root: Root::open(&self.0).unwrap(),
                kernel: Box::new(Live),
                remote: Default::default(),
                held: Default::default(),
                steady: Default::default(),
            }
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }

    const V1: &str = "8 1 0:8 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        9 1 0:9 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";
    const V2: &str = "9 1 0:9 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
    const MEMINFO: &str = "MemTotal: 4 kB\nMemFree: 1 kB\nBuffers: 0 kB\nCached: 0 kB\nSwapCached: 0 kB\nSwapTotal: 0 kB\n\
        SwapFree: 0 kB\nDirty: 0 kB\nWriteback: 0 kB\nAnonPages: 0 kB\nSlab: 0 kB\nPageTables: 0 kB\n";

    fn meters(machine: &Machine) -> Vec<Option<Meter>> {
        Meter::find(machine, &[(ID.to_owned(), 7)])
    }

    #[test]
    fn both_versions_are_read_as_the_engine_counts() {
        let v1 = Tree::new(
            "v1",
            &[
                ("proc/1/mountinfo", V1),
                ("proc/meminfo", MEMINFO),
                // the container's own systemd has moved itself
                ("proc/7/cgroup", "4:memory:/docker/ID/init.scope\n2:cpu,cpuacct:/docker/ID\n"),
                ("sys/fs/cgroup/cpu,cpuacct/docker/ID/cpuacct.usage", "5000000000\n"),
                ("sys/fs/cgroup/memory/docker/ID/memory.usage_in_bytes", "1000\n"),
                ("sys/fs/cgroup/memory/docker/ID/memory.limit_in_bytes", "9223372036854771712\n"),
                ("sys/fs/cgroup/memory/docker/ID/memory.stat", "inactive_file 100\ntotal_inactive_file 300\n"),
                ("sys/fs/cgroup/memory/docker/memory.limit_in_bytes", "10\n"),
            ],
        );
        let v2 = Tree::new(
            "v2",
            &[
                ("proc/1/mountinfo", V2),
                ("proc/meminfo", MEMINFO),
                ("proc/7/cgroup", "0::/system.slice/docker-ID.scope/deep\n"),
                ("sys/fs/cgroup/system.slice/docker-ID.scope/cpu.stat", "usage_usec 5000000\n"),
                ("sys/fs/cgroup/system.slice/docker-ID.scope/memory.current", "1000\n"),
                ("sys/fs/cgroup/system.slice/docker-ID.scope/memory.max", "1400\n"),
                ("sys/fs/cgroup/system.slice/docker-ID.scope/memory.stat", "anon 1\ninactive_file 300\n"),
            ],
        );
        let later = [
            ("sys/fs/cgroup/cpu,cpuacct/docker/ID/cpuacct.usage", "6000000000\n"),
            ("sys/fs/cgroup/system.slice/docker-ID.scope/cpu.stat", "usage_usec 6000000\n"),
        ];
        for (tree, limit) in [(v1, 4096.0), (v2, 1400.0)] {
            let machine = tree.machine();
            let meters = meters(&machine);
            tree.write(&later);
            let used = Meter::read(&machine, &meters).remove(0).unwrap();
            assert_eq!((used.memory, used.memory_ratio), (Some(700), Some(700.0 / limit)));
            // a second of one core, in however short a window
            assert!((used.cpu.unwrap() * used.seconds.unwrap() - 1.0).abs() < 1e-6, "{used:?}");
        }
    }

    #[test]
    fn the_number_of_a_process_elsewhere_is_not_believed() {
        let at = |path: &str| {
            let tree = Tree::new(
                "elsewhere",
                &[
                    ("proc/1/mountinfo", V2),
                    ("proc/7/cgroup", &format!("0::{path}\n")),
                    ("sys/fs/cgroup/cpu.stat", "usage_usec 1\n"),
                    ("sys/fs/cgroup/docker/ID/cpu.stat", "usage_usec 1\n"),
                    ("sys/fs/cgroup/ID/cpu.stat", "usage_usec 1\n"),
                    ("sys/fs/cgroup/libpod-ID.scope/cpu.stat", "usage_usec 1\n"),
                    ("sys/fs/cgroup/libpod-conmon-ID.scope/cpu.stat", "usage_usec 1\n"),
                ],
            );
            meters(&tree.machine()).remove(0).is_some()
        };
        assert!(at("/docker/ID") && at("/libpod-ID.scope/container"));
        for path in ["/", "/docker", "/docker/OTHER", "/user.slice", "/libpod-conmon-ID.scope", "/docker/ID (deleted)"]
        {
            assert!(!at(path), "{path}");
        }
        // above our namespace
        assert!(!at("/../ID"));
    }

    #[test]
    fn one_that_ends_meanwhile_and_one_that_is_started_anew_have_no_rates() {
        let usage = "sys/fs/cgroup/docker/ID/cpu.stat";
        let tree = Tree::new(
            "ends",
            &[("proc/1/mountinfo", V2), ("proc/7/cgroup", "0::/docker/ID\n"), (usage, "usage_usec 50\n")],
        );
        let machine = tree.machine();
        let meters = meters(&machine);
        tree.write(&[(usage, "usage_usec 5\n")]);
        let anew = Meter::read(&machine, &meters).remove(0).unwrap();
        assert_eq!((anew.cpu, anew.memory, anew.seconds.is_some()), (None, None, true));
        std::fs::remove_file(tree.0.join(usage.replace("ID", ID))).unwrap();
        assert_eq!(Meter::read(&machine, &meters), [Some(Usage::default())]);
    }

    #[test]
    fn a_copy_counts_nothing() {
        let tree = Tree::new(
            "copy",
            &[
                ("proc/1/mountinfo", V2),
                ("proc/7/cgroup", "0::/docker/ID\n"),
                ("sys/fs/cgroup/docker/ID/cpu.stat", "usage_usec 50\n"),
            ],
        );
        assert!(meters(&tree.machine()).remove(0).is_some());
        assert!(Meter::all(&tree.machine(), &[(ID.to_owned(), 7)]).remove(0).is_none());
    }
}
