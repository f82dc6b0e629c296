//! How many CPUs, cores and packages there are, by the kernel's lists of siblings: its numbers need not be unique.

use std::collections::{BTreeSet, HashMap};

use super::{
    Seen,
    lines::{self, Extent},
};
use crate::{
    exposition::{Exposition, Kind},
    gap::Reader,
};
use kernel::proc::{
    cpuinfo::{Cpuinfo, Lines},
    cpulist,
};

/// How the CPUs are arranged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Logical CPUs in use.
    pub online: Option<usize>,
    /// Logical CPUs that could ever be plugged in.
    pub possible: Option<usize>,
    /// Cores of the CPUs in use.
    pub cores: Option<usize>,
    /// Sockets of the CPUs in use.
    pub packages: Option<usize>,
}

/// `/proc/cpuinfo`. Some architectures say nothing there that can be read, and no figure depends on it.
pub fn cpuinfo(reader: &Reader<'_>) -> Cpuinfo {
    let mut lines = Lines::default();
    match lines::read(reader, "proc/cpuinfo", |line| lines.line(line)) {
        Extent::Whole | Extent::Broken => (),
        Extent::Absent => reader.missing("proc/cpuinfo", None),
    }
    lines.cpuinfo()
}

/// How these CPUs, the online ones, are arranged.
pub fn read(reader: &Reader<'_>, cpus: &[u32], cpuinfo: &Cpuinfo) -> Topology {
    let count = |name: &str| list(reader, &format!("sys/devices/system/cpu/{name}")).map(|cpus| cpus.len());
    let count = |name| count(name).filter(|count| *count > 0);
    let cores = cores(reader, cpus, cpuinfo);
    Topology {
        online: if cpus.is_empty() { count("online") } else { Some(cpus.len()) },
        possible: count("possible"),
        cores: cores.count,
        packages: packages(reader, cpus, cpuinfo, &cores),
    }
}

/// Which CPUs are in use, and which of them the scheduler leaves alone.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    const DIRECTORY: &str = "sys/devices/system/cpu";
    let mut online = page.family("node_cpu_online", Kind::Gauge, "Whether each CPU that can be taken out is in use.");
    let mut cpus = seen.reader.names(DIRECTORY);
    cpus.retain(|name| is_numbered(name, "cpu"));
    cpus.sort_by_key(|name| (name.len(), name.clone()));
    for cpu in cpus {
        let is_online = seen.reader.number::<u8>(&format!("{DIRECTORY}/{cpu}/online"));
        online.add(&[("cpu", cpu.trim_start_matches("cpu"))], is_online.map(|online| online != 0));
    }
    drop(online);
    let help = "The CPUs that the scheduler leaves to those who ask for them.";
    let mut isolated = page.family("node_cpu_isolated", Kind::Gauge, help);
    for cpu in list(seen.reader, &format!("{DIRECTORY}/isolated")).unwrap_or_default() {
        isolated.add(&[("cpu", &cpu.to_string())], 1_u64);
    }
}

/// Cores, and which CPUs each has if the kernel lists them.
struct Cores {
    count: Option<usize>,
    groups: Option<Vec<Vec<u32>>>,
}

fn cores(reader: &Reader<'_>, cpus: &[u32], cpuinfo: &Cpuinfo) -> Cores {
    let listed = groups(cpus, |cpu| {
        // since Linux 5.3, and before
        list(reader, &file(cpu, "core_cpus_list")).or_else(|| list(reader, &file(cpu, "thread_siblings_list")))
    });
    // a kernel that knows no cores takes all CPUs for siblings, as all have the same number: none
    let unknown = |group: &Vec<u32>| group.len() > 1 && id(reader, group[0], "core_id") == Some(-1);
    if let Some(groups) = listed {
        let known = !groups.iter().any(unknown);
        return Cores { count: known.then_some(groups.len()), groups: known.then_some(groups) };
    }
    let told = cpuinfo.cores.map(|cores| cores as usize);
    let counted = || {
        distinct(cpus, |cpu| {
            let known = |name| id(reader, cpu, name).filter(|id| *id >= 0);
            Some([known("physical_package_id")?, known("cluster_id").unwrap_or(0), known("core_id")?])
        })
    };
    Cores { count: told.or_else(counted), groups: None }
}

fn packages(reader: &Reader<'_>, cpus: &[u32], cpuinfo: &Cpuinfo, cores: &Cores) -> Option<usize> {
    let number = |cpu| id(reader, cpu, "physical_package_id").filter(|id| *id >= 0);
    let listed = groups(cpus, |cpu| {
        list(reader, &file(cpu, "package_cpus_list")).or_else(|| list(reader, &file(cpu, "core_siblings_list")))
    });
    let Some(groups) = listed else {
        return cpuinfo.packages.map(|packages| packages as usize).or_else(|| distinct(cpus, number));
    };
    if groups.iter().all(|group| number(group[0]).is_some()) {
        return if groups.len() > 1 { sockets(reader, &groups, cpuinfo) } else { Some(groups.len()) };
    }
    // a kernel that knows no packages lists all CPUs, or the CPUs of each core; one core is in one package all the same
    if cores.count == Some(1) {
        return Some(1);
    }
    let says_more = groups.len() > 1 && cores.groups.as_ref().is_some_and(|cores| cores.len() > groups.len());
    says_more.then_some(groups.len())
}

/// How many sockets these groups are. Before Linux 6.0 the clusters of an ARM chip without ACPI tables were called packages.
fn sockets(reader: &Reader<'_>, groups: &[Vec<u32>], cpuinfo: &Cpuinfo) -> Option<usize> {
    let knows_clusters = || id(reader, groups[0][0], "cluster_id").is_some_and(|id| id >= 0);
    if cpuinfo.kinds.is_empty() || knows_clusters() || have_own_memory(reader, groups) {
        return Some(groups.len());
    }
    // cores of several kinds are on one chip; of two equal clusters nobody says
    let kinds: BTreeSet<_> = groups.iter().map(|group| cpuinfo.kinds.get(&group[0])).collect();
    (kinds.len() > 1 && !kinds.contains(&None)).then_some(1)
}

/// Whether no NUMA node has CPUs of two of the groups.
fn have_own_memory(reader: &Reader<'_>, groups: &[Vec<u32>]) -> bool {
    let of: HashMap<u32, usize> =
        groups.iter().enumerate().flat_map(|(at, group)| group.iter().map(move |cpu| (*cpu, at))).collect();
    let mut nodes = 0;
    for node in reader.names("sys/devices/system/node").iter().filter(|name| is_numbered(name, "node")) {
        let cpus = list(reader, &format!("sys/devices/system/node/{node}/cpulist")).unwrap_or_default();
        let within: BTreeSet<_> = cpus.iter().filter_map(|cpu| of.get(cpu)).collect();
        if within.len() > 1 {
            return false;
        }
        nodes += within.len();
    }
    nodes >= groups.len()
}

/// The groups that the lists make of these CPUs: each CPU's list names the whole of its group, so that one list of each is enough.
/// `None`: a CPU has none.
fn groups(cpus: &[u32], list: impl Fn(u32) -> Option<Vec<u32>>) -> Option<Vec<Vec<u32>>> {
    let mut left: BTreeSet<u32> = cpus.iter().copied().collect();
    let mut groups = vec![];
    while let Some(cpu) = left.pop_first() {
        let mut group = vec![cpu];
        group.extend(list(cpu)?.into_iter().filter(|other| left.remove(other)));
        groups.push(group);
    }
    (!groups.is_empty()).then_some(groups)
}

/// How many different ids the CPUs have. `None`: one has none.
fn distinct<T: Ord>(cpus: &[u32], id: impl Fn(u32) -> Option<T>) -> Option<usize> {
    let ids: BTreeSet<T> = cpus.iter().map(|cpu| id(*cpu)).collect::<Option<_>>()?;
    (!ids.is_empty()).then_some(ids.len())
}

fn file(cpu: u32, name: &str) -> String {
    format!("sys/devices/system/cpu/cpu{cpu}/topology/{name}")
}

/// -1: the kernel does not know it.
fn id(reader: &Reader<'_>, cpu: u32, name: &str) -> Option<i64> {
    reader.number(&file(cpu, name))
}

fn list(reader: &Reader<'_>, path: &str) -> Option<Vec<u32>> {
    reader.parsed(path, cpulist::parse(&reader.word(path)?))
}

fn is_numbered(name: &str, kind: &str) -> bool {
    name.strip_prefix(kind).is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;

    /// Names of files, and what stands in them for one CPU after the other.
    type Files<'a> = &'a [(&'static str, &'static [&'static str])];

    /// Cores and packages of a machine of so many CPUs.
    fn counted(cpus: u32, files: Files<'_>, cpuinfo: &str) -> (Option<usize>, Option<usize>) {
        let tree = Tree::new(&[("proc/cpuinfo", cpuinfo)]);
        for (name, texts) in files {
            for (cpu, text) in texts.iter().enumerate() {
                tree.write(&file(cpu as u32, name), text);
            }
        }
        let cpus: Vec<u32> = (0..cpus).collect();
        let (topology, gaps) = tree.read(|reader| read(reader, &cpus, &super::cpuinfo(reader)));
        assert!(gaps.is_empty(), "{gaps:?}");
        (topology.cores, topology.packages)
    }

    const ARM: &str = "processor : 0\nCPU implementer : 0x41\nCPU part : 0xd05\n\nprocessor : 1\nCPU implementer : 0x41\n\
        CPU part : 0xd05\n\nprocessor : 2\nCPU implementer : 0x41\nCPU part : 0xd0b\n\n";

    #[test]
    fn cores_of_clusters_with_the_same_numbers_are_told_apart() {
        let files: Files<'_> = &[
            ("core_id", &["0", "1", "0", "1"]),
            ("cluster_id", &["0", "0", "1", "1"]),
            ("physical_package_id", &["0", "0", "0", "0"]),
            ("core_cpus_list", &["0", "1", "2", "3"]),
            ("package_cpus_list", &["0-3", "0-3", "0-3", "0-3"]),
        ];
        assert_eq!(counted(4, files, ""), (Some(4), Some(1)));
        // and without the lists by the clusters' numbers
        assert_eq!(counted(4, &files[..3], ""), (Some(4), Some(1)));
    }

    #[test]
    fn threads_of_one_core_are_one_core() {
        let files: Files<'_> = &[
            ("core_id", &["0", "0", "0", "0"]),
            ("physical_package_id", &["0", "1", "0", "1"]),
            ("thread_siblings_list", &["0,2", "1,3", "0,2", "1,3"]),
            ("core_siblings_list", &["0,2", "1,3", "0,2", "1,3"]),
        ];
        assert_eq!(counted(4, files, ""), (Some(2), Some(2)));
    }

    #[test]
    fn clusters_of_a_telephone_are_one_chip() {
        let files: Files<'_> = &[
            ("core_id", &["0", "1", "0"]),
            ("physical_package_id", &["0", "0", "1"]),
            ("core_cpus_list", &["0", "1", "2"]),
            ("package_cpus_list", &["0-1", "0-1", "2"]),
        ];
        assert_eq!(counted(3, files, ARM), (Some(3), Some(1)));
        assert_eq!(counted(3, files, ""), (Some(3), Some(2)), "of another architecture they are sockets");
        // two equal clusters may be two sockets
        let equal = ARM.replace("0xd0b", "0xd05");
        assert_eq!(counted(3, files, &equal), (Some(3), None));
        let newer: Files<'_> = &[files[0], files[1], files[2], files[3], ("cluster_id", &["0", "0", "0"])];
        assert_eq!(counted(3, newer, &equal), (Some(3), Some(2)), "this kernel knows clusters");
    }

    #[test]
    fn sockets_of_arm_servers_have_memory_of_their_own() {
        let tree = Tree::new(&[("proc/cpuinfo", ARM)]);
        for (cpu, package) in [(0, "0-1"), (1, "0-1"), (2, "2")] {
            tree.write(&file(cpu, "core_cpus_list"), &cpu.to_string());
            tree.write(&file(cpu, "package_cpus_list"), package);
            tree.write(&file(cpu, "physical_package_id"), &(package.len() * 7).to_string());
        }
        let packages = || tree.read(|reader| read(reader, &[0, 1, 2], &cpuinfo(reader))).0.packages;
        tree.write("sys/devices/system/node/node0/cpulist", "0-2");
        assert_eq!(packages(), Some(1));
        tree.write("sys/devices/system/node/node0/cpulist", "0-1");
        tree.write("sys/devices/system/node/node1/cpulist", "2");
        assert_eq!(packages(), Some(2));
    }

    #[test]
    fn what_a_kernel_does_not_know_is_not_counted() {
        // RISC-V without a map of CPUs
        let files: Files<'_> = &[
            ("core_id", &["-1", "-1"]),
            ("physical_package_id", &["-1", "-1"]),
            ("core_cpus_list", &["0-1", "0-1"]),
            ("package_cpus_list", &["0-1", "0-1"]),
        ];
        assert_eq!(counted(2, files, ""), (None, None));
        // POWER in a partition, two threads a core
        let files: Files<'_> = &[
            ("core_id", &["0", "0", "8", "8"]),
            ("physical_package_id", &["-1", "-1", "-1", "-1"]),
            ("thread_siblings_list", &["0-1", "0-1", "2-3", "2-3"]),
            ("core_siblings_list", &["0-1", "0-1", "2-3", "2-3"]),
        ];
        assert_eq!(counted(4, files, ""), (Some(2), None));
        // a mainframe that numbers no packages and lists them
        let files: Files<'_> = &[
            ("core_id", &["1", "1", "2", "2"]),
            ("physical_package_id", &["-1", "-1", "-1", "-1"]),
            ("thread_siblings_list", &["0", "1", "2", "3"]),
            ("core_siblings_list", &["0-1", "0-1", "2-3", "2-3"]),
        ];
        assert_eq!(counted(4, files, ""), (Some(4), Some(2)));
        assert_eq!(counted(1, &[("core_cpus_list", &["0"]), ("package_cpus_list", &["0"])], ""), (Some(1), Some(1)));
        assert_eq!(counted(2, &[], ""), (None, None));
        assert_eq!(counted(0, &[], ""), (None, None));
        // one CPU of which nothing is told
        assert_eq!(counted(3, &[("core_cpus_list", &["0", "1"])], ""), (None, None));
    }

    #[test]
    fn a_mainframe_s_socket_numbers_repeat_in_each_book() {
        let files: Files<'_> = &[
            ("core_id", &["0", "1"]),
            ("physical_package_id", &["1", "1"]),
            ("thread_siblings_list", &["0", "1"]),
            ("core_siblings_list", &["0", "1"]),
            ("book_id", &["1", "2"]),
        ];
        assert_eq!(counted(2, files, ""), (Some(2), Some(2)));
    }

    #[test]
    fn without_sysfs_cpuinfo_tells() {
        let text = "processor : 0\nphysical id : 0\ncore id : 0\n\nprocessor : 1\nphysical id : 0\ncore id : 0\n";
        assert_eq!(counted(2, &[], text), (Some(1), Some(1)));
    }

    #[test]
    fn an_odd_list_is_a_gap() {
        let tree = Tree::new(&[("proc/cpuinfo", "processor : none"), ("sys/devices/system/cpu/possible", "0-99999")]);
        tree.write(&file(0, "core_cpus_list"), "3-1");
        let (topology, gaps) = tree.read(|reader| read(reader, &[0], &cpuinfo(reader)));
        assert_eq!(topology, Topology { online: Some(1), ..Topology::default() });
        let gaps: Vec<_> = gaps.rows().iter().map(|gap| &*gap.file).collect();
        let odd = [
            "/proc/cpuinfo",
            "/sys/devices/system/cpu/cpu0/topology/core_cpus_list",
            "/sys/devices/system/cpu/possible",
        ];
        assert_eq!(gaps, odd);
    }
}
