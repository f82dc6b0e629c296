//! The counters at one moment, and what two moments tell.

use std::{sync::Arc, time::Duration};

use super::Machine;
use crate::gap::{Gaps, Reader};
use kernel::proc::{
    cgroup::MemoryEvents,
    diskstats::{self, Disk},
    loadavg::Loadavg,
    meminfo::Meminfo,
    net_dev::{self, Interface},
    pressure::Pressure,
    snmp::Snmp,
    stat::{Stat, Times},
    vmstat::Vmstat,
};

/// What the sampler reads. What this kernel lacks, or what makes no sense, is `None`.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// When, since boot.
    pub at: Duration,
    /// `/proc/stat`.
    pub stat: Stat,
    /// `/proc/meminfo`.
    pub memory: Meminfo,
    /// `/proc/loadavg`.
    pub load: Option<Loadavg>,
    /// `/proc/vmstat`.
    pub vmstat: Option<Vmstat>,
    /// What the container's own memory cgroup counts.
    pub memory_events: Option<MemoryEvents>,
    /// `/proc/diskstats`.
    pub disks: Option<Vec<Disk>>,
    /// `/proc/net/dev`.
    pub interfaces: Option<Vec<Interface>>,
    /// `/proc/net/snmp`.
    pub snmp: Option<Snmp>,
    /// `/proc/pressure/*`, since Linux 4.20 where it is switched on.
    pub pressure: Pressures,
    /// The whole block devices (not their partitions), from `/sys/block`. `None` without sysfs.
    pub blocks: Option<Vec<String>>,
    /// How often the CPUs were slowed down for their heat since boot. `None`: they do not count it.
    pub throttled: Option<u64>,
    /// Clock ticks a second, the unit of `stat`.
    pub ticks_per_second: u64,
    /// The files that could not be read.
    pub gaps: Gaps,
}

/// Pressure stall information, by resource.
#[derive(Clone, Debug, Default)]
pub struct Pressures {
    /// `/proc/pressure/cpu`.
    pub cpu: Option<Pressure>,
    /// `/proc/pressure/memory`.
    pub memory: Option<Pressure>,
    /// `/proc/pressure/io`.
    pub io: Option<Pressure>,
}

impl Sample {
    /// Reads the counters.
    pub fn take(machine: &Machine) -> Self {
        let root = &machine.root;
        let own = root.own();
        let reader = Reader::new(root);
        let file = |path: &str| reader.expected(path).map(|text| (path.to_owned(), text));
        let pressure = |resource: &str| {
            let path = format!("proc/pressure/{resource}");
            let text = reader.text(&path)?;
            reader.parsed(&path, Pressure::parse(&text))
        };
        let stat = file("proc/stat").map(|(path, text)| reader.lenient(&path, Stat::parse(&text))).unwrap_or_default();
        let memory = file("proc/meminfo").map(|(path, text)| reader.lenient(&path, Meminfo::parse(&text)));
        let load = file("proc/loadavg").and_then(|(path, text)| reader.parsed(&path, Loadavg::parse(&text)));
        let vmstat = reader.text("proc/vmstat").map(|text| reader.lenient("proc/vmstat", Vmstat::parse(&text)));
        let disks = reader.text("proc/diskstats");
        let disks = disks.map(|text| reader.lenient("proc/diskstats", diskstats::parse(&text)));
        let interfaces = file(&format!("{own}/net/dev"));
        let interfaces = interfaces.map(|(path, text)| reader.lenient(&path, net_dev::parse(&text)));
        let snmp = format!("{own}/net/snmp");
        let snmp = reader.text(&snmp).map(|text| reader.lenient(&snmp, Snmp::parse(&text)));
        Self {
            at: machine.kernel.since_boot(root),
            throttled: super::throttle::count(root, stat.cpus.keys().copied()),
            stat,
            memory: memory.unwrap_or_default(),
            load,
            vmstat,
            memory_events: memory_events(&reader),
            disks,
            interfaces,
            snmp,
            pressure: Pressures { cpu: pressure("cpu"), memory: pressure("memory"), io: pressure("io") },
            blocks: Some(reader.names("sys/block")).filter(|names| !names.is_empty()),
            ticks_per_second: machine.kernel.ticks_per_second().max(1),
            gaps: reader.gaps(),
        }
    }

    /// The disk of this name.
    pub fn disk(&self, name: &str) -> Option<&Disk> {
        self.disks.as_deref()?.iter().find(|disk| disk.name == name)
    }

    /// The interface of this name.
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces.as_deref()?.iter().find(|interface| interface.name == name)
    }

    /// Whether this is a whole block device that holds data: no partition, and no empty loop or RAM disk.
    pub fn is_disk(&self, disk: &Disk) -> bool {
        let whole = self.blocks.as_ref().is_none_or(|blocks| {
            // sysfs writes the slash of cciss/c0d0 as an exclamation mark
            blocks.iter().any(|block| block.replace('!', "/") == disk.name)
        });
        let idle = disk.requests() == 0;
        let is = |kinds: &[&str]| kinds.iter().any(|kind| disk.name.starts_with(kind));
        whole && !is(&["loop", "ram"]) && !(idle && is(&["zram", "fd", "sr"]))
    }
}

/// Two moments.
#[derive(Clone, Debug)]
pub struct Window {
    /// The earlier one.
    pub earlier: Arc<Sample>,
    /// The later one.
    pub now: Arc<Sample>,
}

impl Window {
    /// How long it is, in seconds.
    pub fn seconds(&self) -> f64 {
        self.now.at.saturating_sub(self.earlier.at).as_secs_f64()
    }

    /// A counter's growth a second. `None`: no time has passed, or the counter went back because its device was replaced.
    pub fn per_second(&self, earlier: u64, now: u64) -> Option<f64> {
        let seconds = self.seconds();
        (seconds > 0.0).then_some(now.checked_sub(earlier)? as f64 / seconds)
    }

    /// What part of the CPUs' time went into what `part` counts.
    pub fn cpu_ratio(&self, part: impl Fn(&Times) -> u64) -> Option<f64> {
        ratio(self.earlier.stat.cpu.as_ref()?, self.now.stat.cpu.as_ref()?, part)
    }

    /// What part of one CPU's time went into what `part` counts. `None`: it was not there, or no time passed for it.
    pub fn one_cpu_ratio(&self, cpu: u32, part: impl Fn(&Times) -> u64) -> Option<f64> {
        ratio(self.earlier.stat.cpus.get(&cpu)?, self.now.stat.cpus.get(&cpu)?, part)
    }

    /// Every series that the history keeps, with its value at the end of this window.
    pub fn series(&self) -> Vec<(String, f64)> {
        let mut series = vec![];
        let mut add = |name: &str, value: Option<f64>| {
            if let Some(value) = value {
                series.push((name.to_owned(), value));
            }
        };
        add("cpu.busy_ratio", self.cpu_ratio(|times| times.busy()));
        add("cpu.iowait_ratio", self.cpu_ratio(|times| times.iowait));
        add("cpu.steal_ratio", self.cpu_ratio(|times| times.steal));
        let (now, earlier) = (&self.now, &self.earlier);
        add("load.1m", now.load.map(|load| load.one));
        let memory = &now.memory;
        add("memory.available_bytes", memory.available.map(|bytes| bytes as f64));
        let swap = memory.swap_total.filter(|total| *total > 0).zip(memory.swap_free);
        add("swap.used_bytes", swap.map(|(total, free)| total.saturating_sub(free) as f64));
        let stalled = |earlier: &Option<Pressure>, now: &Option<Pressure>| {
            let stalled = self.per_second(earlier.as_ref()?.some.total_us, now.as_ref()?.some.total_us)?;
            Some((stalled / 1e6).min(1.0))
        };
        add("pressure.cpu_ratio", stalled(&earlier.pressure.cpu, &now.pressure.cpu));
        add("pressure.memory_ratio", stalled(&earlier.pressure.memory, &now.pressure.memory));
        add("pressure.io_ratio", stalled(&earlier.pressure.io, &now.pressure.io));
        for disk in now.disks.iter().flatten().filter(|disk| now.is_disk(disk)) {
            let Some(before) = earlier.disk(&disk.name) else { continue };
            let name = &disk.name;
            add(&format!("disk.{name}.read_bytes_per_second"), self.per_second(before.reads.bytes, disk.reads.bytes));
            add(
                &format!("disk.{name}.write_bytes_per_second"),
                self.per_second(before.writes.bytes, disk.writes.bytes),
            );
            let busy = self.per_second(before.busy_ms, disk.busy_ms).map(|ms| (ms / 1e3).min(1.0));
            add(&format!("disk.{name}.busy_ratio"), busy);
        }
        for interface in now.interfaces.iter().flatten().filter(|interface| is_kept(&interface.name)) {
            let Some(before) = earlier.interface(&interface.name) else { continue };
            let name = &interface.name;
            let received = self.per_second(before.received.bytes, interface.received.bytes);
            add(&format!("network.{name}.received_bytes_per_second"), received);
            add(
                &format!("network.{name}.sent_bytes_per_second"),
                self.per_second(before.sent.bytes, interface.sent.bytes),
            );
        }
        series
    }
}

/// What is counted at the top of the own cgroup namespace. The machine's own top has no such file: there `/proc/vmstat` counts.
fn memory_events(reader: &Reader<'_>) -> Option<MemoryEvents> {
    let files = ["sys/fs/cgroup/memory.events", "sys/fs/cgroup/memory/memory.oom_control"];
    files.iter().find_map(|file| reader.parsed(file, MemoryEvents::parse(&reader.text(file)?)))
}

/// What part of all time between two readings went into what `part` counts.
fn ratio(earlier: &Times, now: &Times, part: impl Fn(&Times) -> u64) -> Option<f64> {
    let all = now.total().checked_sub(earlier.total()).filter(|all| *all > 0)?;
    // iowait may run backwards (proc_stat(5)); then nothing is known of it in this window
    let part = part(now).checked_sub(part(earlier))?;
    Some((part as f64 / all as f64).min(1.0))
}

/// Whether an interface is worth two of the 256 series: those of containers come and go.
fn is_kept(name: &str) -> bool {
    name != "lo" && !net_dev::is_guests(name)
}
