//! The block devices: what they read and write, what stands on what, and which of them have failed.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    Seen,
    problem::{Problems, Severity, first_of},
};
use crate::{
    exposition::{Column, Exposition, Kind as Figure},
    gap::Reader,
    host::Window,
};
use kernel::proc::diskstats::{Disk, Operations};

/// A whole block device; partitions are part of theirs.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// The kernel's name, with the slash of `cciss/c0d0`.
    pub name: String,
    /// Device number, major and minor; `None` without I/O statistics.
    pub number: Option<(u32, u32)>,
    /// What it is made of.
    pub kind: Kind,
    /// Bytes; `None` without sysfs.
    pub size: Option<u64>,
    /// Requests under way now.
    pub in_flight: u64,
    /// Whether it ever read or wrote.
    pub was_used: bool,
    /// Whether its medium can be taken out; known only where it was never used.
    pub removable: bool,
    /// What it does a second. `None`: no time has passed, or the name is another device's now.
    pub rates: Option<Rates>,
    /// The driver's word for its state, of SCSI and NVMe; `running` or `live` where all is well.
    pub state: Option<String>,
}

/// What a block device is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A device with hardware behind it, or a server that the kernel asks by itself.
    Disk,
    /// It stands on other block devices, which count its bytes: device-mapper, md, bcache, drbd.
    Stacked,
    /// It stands on a file, on memory, on a pool or on a program that may read a disk of this machine: loop, zram, zvol, nbd.
    Virtual,
    /// One way to a disk that has a name of its own.
    Path,
}

/// What a device does a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Bytes read.
    pub read_bytes: f64,
    /// Bytes written.
    pub write_bytes: f64,
    /// Requests to read.
    pub reads: f64,
    /// Requests to write.
    pub writes: f64,
    /// Share of time with any request under way.
    pub busy: f64,
    /// Seconds that a request took on average, queueing included; `None` without requests.
    pub wait: Option<f64>,
}

/// What is read of a device only where it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// The device-mapper name, of LVM or encrypted volumes.
    pub mapper_name: Option<String>,
    /// The maker's name of it.
    pub model: Option<String>,
    /// Whether it turns.
    pub rotational: Option<bool>,
    /// Whether its medium can be taken out.
    pub removable: Option<bool>,
}

/// The kernel's statistics at two moments.
#[derive(Clone, Copy, Debug)]
pub struct Counters<'a> {
    /// Between the two, in seconds.
    pub seconds: f64,
    /// At the first.
    pub earlier: Option<&'a [Disk]>,
    /// At the second.
    pub now: Option<&'a [Disk]>,
    /// The whole devices, as sysfs names them. `None` without sysfs.
    pub names: Option<&'a [String]>,
}

impl<'a> Counters<'a> {
    /// Those of a window.
    pub fn of(window: &'a Window) -> Self {
        Self {
            seconds: window.seconds(),
            earlier: window.earlier.disks.as_deref(),
            now: window.now.disks.as_deref(),
            names: window.now.blocks.as_deref(),
        }
    }
}

/// All block devices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Blocks {
    /// In the order of the kernel's statistics.
    pub all: Vec<Block>,
    /// Whether the kernel keeps statistics of them.
    pub counted: bool,
    /// The NVMe controllers and their states.
    pub controllers: Vec<(String, String)>,
}

impl Blocks {
    /// Reads what sysfs tells of the devices, and what they did between two moments.
    pub fn read(reader: &Reader<'_>, counters: Counters<'_>) -> Self {
        let (latest, before) = (counters.now.unwrap_or_default(), counters.earlier.unwrap_or_default());
        let names: Vec<String> = match counters.names {
            Some(names) => names.iter().map(|name| name.replace('!', "/")).collect(),
            None => whole(latest),
        };
        let now: HashMap<&str, &Disk> = latest.iter().map(|disk| (&*disk.name, disk)).collect();
        let earlier: HashMap<&str, &Disk> = before.iter().map(|disk| (&*disk.name, disk)).collect();
        let mut kinds: HashMap<&str, Kind> = names
            .iter()
            .map(|name| (&**name, Kind::of(reader, name, now.get(&**name).map(|disk| disk.major))))
            .collect();
        let heads = heads(&names, &mut kinds);
        let mut all = vec![];
        for name in &names {
            let ways = || heads.get(&**name).into_iter().flatten().copied();
            let of = |disks: &HashMap<&str, &Disk>| {
                let paths: Vec<&Disk> = ways().filter_map(|path| disks.get(path).copied()).collect();
                (disks.get(&**name).map(|disk| (*disk).clone()), paths.into_iter().cloned().collect())
            };
            let kind = kinds.get(&**name).copied().unwrap_or(Kind::Disk);
            let (before, counted) = head_or_paths(of(&earlier), of(&now));
            all.push(Block::of(reader, name, kind, counters.seconds, before.as_ref(), counted.as_ref()));
        }
        let order: HashMap<&str, usize> = latest.iter().enumerate().map(|(at, disk)| (&*disk.name, at)).collect();
        all.sort_by_key(|block| order.get(&*block.name).copied().unwrap_or(usize::MAX));
        Self { all, counted: counters.now.is_some(), controllers: controllers(reader) }
    }

    /// Those that are worth a row, or all.
    pub fn listed(&self, all: bool) -> impl Iterator<Item = &Block> {
        self.all.iter().filter(move |block| block.number.is_some() && (all || block.holds_data()))
    }

    /// Those whose bytes are counted on no other.
    pub fn counted_once(&self) -> impl Iterator<Item = &Block> {
        self.listed(false).filter(|block| block.kind == Kind::Disk)
    }

    /// The sum of a rate over all whose bytes are counted on no other. `None`: of none of them is it known.
    pub fn sum(&self, rate: fn(&Rates) -> f64) -> Option<f64> {
        let known: Vec<f64> = self.counted_once().filter_map(|block| block.rates.as_ref().map(rate)).collect();
        (!known.is_empty()).then(|| known.iter().sum())
    }

    /// The one that is busy most of the time, of those whose bytes are counted on no other, and its share of the time.
    pub fn busiest(&self) -> Option<(&Block, f64)> {
        let busy = self.counted_once().filter_map(|block| Some((block, block.rates.as_ref()?.busy)));
        busy.max_by(|(_, a), (_, b)| a.total_cmp(b))
    }

    /// What is wrong with them. Disks that share a fate, such as those of one enclosure, are one problem.
    pub fn problems(&self, problems: &mut Problems) {
        let mut faulty: BTreeMap<(Severity, &str), [Vec<&str>; 2]> = BTreeMap::new();
        let controllers = self.controllers.iter().map(|(name, state)| (0, &**name, &**state));
        // a controller's state stands at its disks too
        let is_told = |state: &str| self.controllers.iter().any(|(_, told)| told == state);
        let disks = self.all.iter().filter_map(|block| Some((1, &*block.name, block.state.as_deref()?)));
        for (kind, name, state) in controllers.chain(disks.filter(|(.., state)| !is_told(state))) {
            if let Some(fault) = fault(state) {
                faulty.entry(fault).or_default()[kind].push(name);
            }
        }
        for ((severity, words), names) in faulty {
            for ((one, many), names) in
                [("NVMe controller", "NVMe controllers"), ("disk", "disks")].into_iter().zip(names)
            {
                match &names[..] {
                    [] => (),
                    [name] => problems.add(severity, "disks", format!("{one} {name} is {words}")),
                    names => problems.add(severity, "disks", format!("{many} {} are {words}", first_of(names))),
                }
            }
        }
    }
}

/// What `/proc/diskstats` counts of each device.
const COUNTED: &[Column<Disk>] = &[
    ("node_disk_reads_completed_total", Figure::Counter, "Reads done.", |disk| disk.reads.completed.into()),
    ("node_disk_reads_merged_total", Figure::Counter, "Reads joined to a neighbour.", |disk| disk.reads.merged.into()),
    ("node_disk_read_bytes_total", Figure::Counter, "Bytes read.", |disk| disk.reads.bytes.into()),
    (
        "node_disk_read_time_seconds_total",
        Figure::Counter,
        "Seconds that reads took, summed over all of them.",
        |disk| seconds(disk.reads.ms).into(),
    ),
    ("node_disk_writes_completed_total", Figure::Counter, "Writes done.", |disk| disk.writes.completed.into()),
    ("node_disk_writes_merged_total", Figure::Counter, "Writes joined to a neighbour.", |disk| {
        disk.writes.merged.into()
    }),
    ("node_disk_written_bytes_total", Figure::Counter, "Bytes written.", |disk| disk.writes.bytes.into()),
    (
        "node_disk_write_time_seconds_total",
        Figure::Counter,
        "Seconds that writes took, summed over all of them.",
        |disk| seconds(disk.writes.ms).into(),
    ),
    ("node_disk_io_now", Figure::Gauge, "Requests under way.", |disk| disk.in_flight.into()),
    ("node_disk_io_time_seconds_total", Figure::Counter, "Seconds in which any request was under way.", |disk| {
        seconds(disk.busy_ms).into()
    }),
    (
        "node_disk_io_time_weighted_seconds_total",
        Figure::Counter,
        "Seconds that requests were under way, summed over all of them.",
        |disk| seconds(disk.weighted_ms).into(),
    ),
    ("node_disk_discards_completed_total", Figure::Counter, "Discards done. Since Linux 4.18.", |disk| {
        disk.discards.map(|discards| discards.completed).into()
    }),
    ("node_disk_discards_merged_total", Figure::Counter, "Discards joined to a neighbour. Since Linux 4.18.", |disk| {
        disk.discards.map(|discards| discards.merged).into()
    }),
    (
        "node_disk_discarded_sectors_total",
        Figure::Counter,
        "Sectors of 512 bytes that were discarded. Since Linux 4.18.",
        |disk| disk.discards.map(|discards| discards.bytes / 512).into(),
    ),
    (
        "node_disk_discard_time_seconds_total",
        Figure::Counter,
        "Seconds that discards took, summed over all of them. Since Linux 4.18.",
        |disk| disk.discards.map(|discards| seconds(discards.ms)).into(),
    ),
    ("node_disk_flush_requests_total", Figure::Counter, "Flushes done. Since Linux 5.5.", |disk| {
        disk.flushes.map(|flushes| flushes.completed).into()
    }),
    (
        "node_disk_flush_requests_time_seconds_total",
        Figure::Counter,
        "Seconds that flushes took, summed over all of them. Since Linux 5.5.",
        |disk| disk.flushes.map(|flushes| seconds(flushes.ms)).into(),
    ),
];

/// Counters, sizes and states of the devices.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let disks: Vec<&Disk> = seen.sample.disks.iter().flatten().filter(|disk| !is_aside(&disk.name)).collect();
    page.table(COUNTED, "device", disks.iter().map(|disk| (&*disk.name, *disk)));
    let word = |disk: &Disk, file: &str| seen.reader.word(&format!("{}/{file}", directory(&disk.name)));
    let mut info = page.family("node_disk_info", Figure::Gauge, "What each device is.");
    for disk in &disks {
        let (major, minor) = (disk.major.to_string(), disk.minor.to_string());
        // udev's form of it
        let model = word(disk, "device/model").map(|model| model.replace(' ', "_")).unwrap_or_default();
        let rotational = word(disk, "queue/rotational").unwrap_or_default();
        let labels = [("device", &*disk.name), ("major", &major), ("minor", &minor), ("model", &model)];
        info.add(&[&labels[..], &[("rotational", &*rotational)]].concat(), 1_u64);
    }
    drop(info);
    let mut sizes = page.family("smcp_disk_size_bytes", Figure::Gauge, "The size of each whole device.");
    for disk in &disks {
        let sectors = word(disk, "size").and_then(|word| word.parse::<u64>().ok());
        sizes.add(&[("device", &disk.name)], sectors.map(|sectors| sectors.saturating_mul(512)));
    }
    drop(sizes);
    let help = "The driver's word for the state of each device, of SCSI and NVMe.";
    let mut states = page.family("smcp_disk_state_info", Figure::Gauge, help);
    for disk in &disks {
        let state = word(disk, "device/state");
        let is_told = state.is_some().then_some(1_u64);
        states.add(&[("device", &*disk.name), ("state", &state.unwrap_or_default())], is_told);
    }
    drop(states);
    expose_controllers(seen.reader, page);
}

fn expose_controllers(reader: &Reader<'_>, page: &mut Exposition) {
    let mut info = page.family("node_nvme_info", Figure::Gauge, "What each NVMe controller is, and its state.");
    for name in reader.names("sys/class/nvme") {
        let word = |file: &str| reader.word(&format!("sys/class/nvme/{name}/{file}")).unwrap_or_default();
        let values = [word("firmware_rev"), word("model"), word("state"), word("cntlid")];
        let labels =
            ["firmware_revision", "model", "state", "cntlid"].into_iter().zip(values.iter().map(String::as_str));
        info.add(&[("device", &*name)].into_iter().chain(labels).collect::<Vec<_>>(), 1_u64);
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1e3
}

/// Whether the name is one of a device that monitoring leaves out: in memory or on a file, a floppy, or a partition of a disk.
fn is_aside(name: &str) -> bool {
    let rest = name.trim_end_matches(|end: char| end.is_ascii_digit());
    let is_lettered_disk = || {
        let letter = ["hd", "sd", "vd", "xvd"].iter().find_map(|kind| rest.strip_prefix(kind));
        letter.is_some_and(|letter| letter.len() == 1 && letter.bytes().all(|byte| byte.is_ascii_lowercase()))
    };
    let is_of_nvme = || {
        let disk = rest.strip_prefix("nvme").and_then(|rest| rest.strip_suffix('p'));
        let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        disk.and_then(|disk| disk.split_once('n')).is_some_and(|(a, b)| is_number(a) && is_number(b))
    };
    rest != name && (matches!(rest, "ram" | "loop" | "fd") || is_lettered_disk() || is_of_nvme())
}

/// The states of drivers/scsi/scsi_sysfs.c and drivers/nvme/host/sysfs.c that are faults. A state that lasts a moment (`quiesce`,
/// `resetting`) is no fault, nor is one of a device that is taken out.
fn fault(state: &str) -> Option<(Severity, &str)> {
    match state {
        "offline" | "transport-offline" | "dead" => Some((Severity::Critical, state)),
        "blocked" | "created-blocked" => Some((Severity::Warning, state)),
        "connecting" => Some((Severity::Warning, "connecting: the connection is lost")),
        _ => None,
    }
}

fn controllers(reader: &Reader<'_>) -> Vec<(String, String)> {
    let controllers = reader.names("sys/class/nvme").into_iter();
    controllers
        .filter_map(|name| reader.word(&format!("sys/class/nvme/{name}/state")).map(|state| (name, state)))
        .collect()
}

impl Kind {
    fn of(reader: &Reader<'_>, name: &str, major: Option<u32>) -> Self {
        /// RAMDISK_MAJOR and LOOP_MAJOR of include/uapi/linux/major.h: many machines have dozens, and nothing else need be read of them.
        const MEMORY_AND_FILES: [u32; 2] = [1, 7];
        if major.is_some_and(|major| MEMORY_AND_FILES.contains(&major)) {
            return Self::Virtual;
        }
        let root = reader.root();
        let directory = directory(name);
        if reader.word(&format!("{directory}/hidden")).is_some_and(|hidden| hidden != "0") {
            return Self::Path;
        }
        if !reader.names(&format!("{directory}/slaves")).is_empty() {
            return Self::Stacked;
        }
        let is_virtual = match root.link(&directory) {
            Ok(Some(target)) => target.contains("/virtual/block/"),
            // a copy of sysfs has no links; there hardware has its directory, and the rest only its name
            _ => !root.exists(&format!("{directory}/device")) && is_virtual(name),
        };
        if is_virtual { Self::Virtual } else { Self::Disk }
    }
}

/// Whether the name is one that a driver without hardware gives, in the words of the kernel's admin-guide/devices.txt.
fn is_virtual(name: &str) -> bool {
    let kinds = ["dm-", "md", "loop", "ram", "zram", "nbd", "drbd", "bcache", "zd"];
    let rest = kinds.iter().find_map(|kind| name.strip_prefix(kind));
    rest.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit() || first == '_'))
}

/// The hidden paths of each disk that has any: `nvme0c2n1` is a way to `nvme0n1`. A path without its disk is a disk.
fn heads<'a>(names: &'a [String], kinds: &mut HashMap<&'a str, Kind>) -> HashMap<&'a str, Vec<&'a str>> {
    let mut heads: HashMap<&str, Vec<&str>> = HashMap::new();
    let there: HashSet<&str> = names.iter().map(String::as_str).collect();
    for path in names.iter().map(String::as_str) {
        if kinds.get(path) != Some(&Kind::Path) {
            continue;
        }
        let head = path.split_once('c').and_then(|(subsystem, rest)| {
            let (_, namespace) = rest.split_once('n')?;
            there.get(&*format!("{subsystem}n{namespace}")).copied()
        });
        match head {
            Some(head) => heads.entry(head).or_default().push(path),
            None => {
                kinds.insert(path, Kind::Disk);
            }
        }
    }
    heads
}

/// The counters of a disk, earlier and now: its own, or, where the kernel counts on its paths alone (before about Linux 6.9), theirs.
fn head_or_paths(
    (before, paths_before): (Option<Disk>, Vec<Disk>),
    (now, paths_now): (Option<Disk>, Vec<Disk>),
) -> (Option<Disk>, Option<Disk>) {
    let grown = |before: &Disk, now: &Disk| now.requests() > before.requests();
    let own = before.as_ref().zip(now.as_ref()).is_some_and(|(before, now)| grown(before, now));
    let sum = |head: Option<&Disk>, paths: Vec<Disk>| {
        let head = head?.clone();
        Some(paths.into_iter().fold(Disk { reads: Operations::NONE, writes: Operations::NONE, ..head }, together))
    };
    let (paths_before, paths_now) = (sum(before.as_ref(), paths_before), sum(now.as_ref(), paths_now));
    let theirs = paths_before.as_ref().zip(paths_now.as_ref()).is_some_and(|(before, now)| grown(before, now));
    if theirs && !own { (paths_before, paths_now) } else { (before, now) }
}

/// Two ways to one disk. How long either was busy is no sum: the longer one is what is known at least.
fn together(a: Disk, b: Disk) -> Disk {
    Disk {
        reads: a.reads.plus(b.reads),
        writes: a.writes.plus(b.writes),
        in_flight: a.in_flight.saturating_add(b.in_flight),
        busy_ms: a.busy_ms.max(b.busy_ms),
        weighted_ms: a.weighted_ms.saturating_add(b.weighted_ms),
        discards: None,
        flushes: None,
        ..a
    }
}

/// The devices without those that are partitions of others. Without sysfs only the name tells: that of another disk, and a number.
fn whole(counters: &[Disk]) -> Vec<String> {
    let names: HashSet<&str> = counters.iter().map(|disk| &*disk.name).collect();
    let is_part = |name: &str| {
        let disk = name.trim_end_matches(|end: char| end.is_ascii_digit());
        // `nvme0n1p2` where the disk's own name ends in a number
        let numbered = disk.strip_suffix('p').filter(|disk| disk.ends_with(|end: char| end.is_ascii_digit()));
        disk != name && (names.contains(disk) || numbered.is_some_and(|disk| names.contains(disk)))
    };
    counters.iter().map(|disk| disk.name.clone()).filter(|name| !is_part(name)).collect()
}

fn directory(name: &str) -> String {
    format!("sys/block/{}", name.replace('/', "!"))
}

impl Block {
    fn of(
        reader: &Reader<'_>,
        name: &str,
        kind: Kind,
        seconds: f64,
        before: Option<&Disk>,
        now: Option<&Disk>,
    ) -> Self {
        let directory = directory(name);
        let sectors = reader.number::<u64>(&format!("{directory}/size"));
        let was_used = now.is_some_and(|now| now.requests() > 0);
        let has_state = matches!(kind, Kind::Disk | Kind::Path);
        Self {
            name: name.to_owned(),
            number: now.map(|now| (now.major, now.minor)),
            kind,
            size: sectors.map(|sectors| sectors.saturating_mul(512)),
            in_flight: now.map_or(0, |now| now.in_flight),
            was_used,
            removable: kind == Kind::Disk
                && !was_used
                && reader.word(&format!("{directory}/removable")).is_some_and(|word| word != "0"),
            rates: now.and_then(|now| Rates::of(seconds, before, now)),
            state: has_state.then(|| reader.word(&format!("{directory}/device/state"))).flatten(),
        }
    }

    /// Whether it is worth a row: no path of another, no empty drive, no file that is mounted.
    fn holds_data(&self) -> bool {
        match self.kind {
            // a card reader without a card, a drive without a disk
            Kind::Disk => self.was_used || (self.size != Some(0) && !self.removable),
            Kind::Stacked => self.was_used || self.size != Some(0),
            Kind::Virtual => self.was_used && self.size != Some(0) && !self.name.starts_with("loop"),
            Kind::Path => false,
        }
    }

    /// What is read only where it is shown.
    pub fn details(&self, reader: &Reader<'_>) -> Details {
        let directory = directory(&self.name);
        let word = |file: &str| reader.word(&format!("{directory}/{file}"));
        let flag = |file: &str| word(file).map(|word| word != "0");
        Details {
            mapper_name: word("dm/name"),
            // memory cards have a name instead
            model: word("device/model").or_else(|| word("device/name")),
            rotational: flag("queue/rotational"),
            removable: flag("removable"),
        }
    }
}

impl Rates {
    /// `None`: no time has passed, or the name is another device's now.
    fn of(seconds: f64, before: Option<&Disk>, now: &Disk) -> Option<Self> {
        let before = before.filter(|before| seconds > 0.0 && (before.major, before.minor) == (now.major, now.minor))?;
        let read_bytes = now.reads.bytes.checked_sub(before.reads.bytes)?;
        let write_bytes = now.writes.bytes.checked_sub(before.writes.bytes)?;
        let reads = now.reads.completed.checked_sub(before.reads.completed)?;
        let writes = now.writes.completed.checked_sub(before.writes.completed)?;
        let busy = milliseconds(before.busy_ms, now.busy_ms)?;
        let (read_ms, write_ms) = (before.reads.ms, before.writes.ms);
        let mut waited = milliseconds(read_ms, now.reads.ms)?.saturating_add(milliseconds(write_ms, now.writes.ms)?);
        let mut requests = reads.saturating_add(writes);
        if let (Some(before), Some(now)) = (before.discards, now.discards) {
            waited = waited.saturating_add(milliseconds(before.ms, now.ms)?);
            requests = requests.saturating_add(now.completed.checked_sub(before.completed)?);
        }
        let rate = |count: u64| count as f64 / seconds;
        Some(Self {
            read_bytes: rate(read_bytes),
            write_bytes: rate(write_bytes),
            reads: rate(reads),
            writes: rate(writes),
            busy: (rate(busy) / 1e3).min(1.0),
            wait: (requests > 0).then(|| waited as f64 / 1e3 / requests as f64),
        })
    }
}

/// What passed between two readings of a counter that the kernel prints in 32 bits: after 49 days it starts again.
fn milliseconds(before: u64, now: u64) -> Option<u64> {
    let wrapped = || now.checked_add(1 << 32)?.checked_sub(before).filter(|_| before < 1 << 32);
    now.checked_sub(before).or_else(wrapped)
}

#[cfg(test)]
mod tests {
    #[test]
    fn partitions_and_devices_without_data_are_aside() {
        for name in ["ram0", "loop12", "fd0", "sda1", "xvdb2", "vdc10", "nvme0n1p2"] {
            assert!(super::is_aside(name), "{name}");
        }
        for name in ["sda", "sdaa1", "nvme0n1", "mmcblk0p1", "dm-0", "md127", "loop", "zram0", "sr0", "nvmep1", "1"] {
            assert!(!super::is_aside(name), "{name}");
        }
    }

    use super::*;
    use crate::tree::Tree;
    use kernel::proc::diskstats;

    fn disks(text: &str) -> Vec<Disk> {
        diskstats::parse(text).0
    }

    #[test]
    fn rates_and_waits_come_from_what_grew() {
        let before = disks("8 0 sda 100 0 2000 400 10 0 80 50 0 1000 450\n");
        let now = disks("8 0 sda 110 0 4000 420 20 0 180 70 3 3500 490\n");
        let rates = Rates::of(5.0, before.first(), &now[0]).unwrap();
        assert_eq!((rates.read_bytes, rates.write_bytes), (2000.0 * 512.0 / 5.0, 100.0 * 512.0 / 5.0));
        assert_eq!((rates.reads, rates.writes, rates.busy), (2.0, 2.0, 0.5));
        assert_eq!(rates.wait, Some(0.002));
        assert_eq!(Rates::of(5.0, now.first(), &now[0]).unwrap().wait, None);
    }

    #[test]
    fn a_replaced_disk_has_no_rates_and_a_wrapped_clock_has() {
        let before = disks("8 0 sda 100 0 2000 4294967290 10 0 80 50 0 4294967000 450\n");
        let now = disks("8 0 sda 110 0 4000 4 10 0 80 50 0 204 490\n");
        let rates = Rates::of(1.0, before.first(), &now[0]).unwrap();
        assert_eq!((rates.busy, rates.wait), (0.5, Some(0.001)));
        assert_eq!(Rates::of(1.0, now.first(), &before[0]), None);
        assert_eq!(Rates::of(0.0, before.first(), &now[0]), None);
        let other = disks("8 16 sda 110 0 4000 4 10 0 80 50 0 204 490\n");
        assert_eq!(Rates::of(1.0, before.first(), &other[0]), None);
    }

    #[test]
    fn without_sysfs_a_partition_is_known_by_its_name() {
        let rest = "0 0 0 0 0 0 0 0 0 0 0";
        let names = ["sda", "sda1", "nvme0n1", "nvme0n1p2", "nvme0n10", "dm-1", "dm-10", "sdaa"];
        let all = disks(&names.map(|name| format!("8 0 {name} {rest}\n")).concat());
        assert_eq!(whole(&all), ["sda", "nvme0n1", "nvme0n10", "dm-1", "dm-10", "sdaa"]);
    }

    /// A machine whose devices have each read so many sectors, of which half in the last ten seconds.
    fn machine(devices: &[(&str, u64)], files: &[(&str, &str)]) -> Blocks {
        let sizes: Vec<(String, String)> =
            devices.iter().map(|(name, _)| (format!("sys/block/{name}/size"), "2048\n".to_owned())).collect();
        let sizes = sizes.iter().map(|(path, text)| (&**path, &**text));
        let tree = Tree::new(&sizes.chain(files.iter().copied()).collect::<Vec<_>>());
        let stats = |part: u64| {
            let line = |(at, (name, sectors)): (usize, &(&str, u64))| {
                format!("8 {at} {name} {} 0 {} 0 0 0 0 0 0 {} 0\n", sectors / part, sectors / part, sectors / part)
            };
            disks(&devices.iter().enumerate().map(line).collect::<String>())
        };
        let (earlier, now) = (stats(2), stats(1));
        let names: Vec<String> = devices.iter().map(|(name, _)| (*name).to_owned()).collect();
        let counters = Counters { seconds: 10.0, earlier: Some(&earlier), now: Some(&now), names: Some(&names) };
        tree.whole(|reader| Blocks::read(reader, counters))
    }

    /// What is read in all, in sectors a second, and by which devices.
    fn counted(blocks: &Blocks) -> (Option<f64>, Vec<&str>) {
        let sum = blocks.sum(|rates| rates.read_bytes).map(|bytes| bytes / 512.0);
        (sum, blocks.counted_once().map(|block| &*block.name).collect())
    }

    #[test]
    fn a_hidden_path_counts_for_its_disk_and_only_where_the_disk_counts_nothing() {
        let hidden = [("sys/block/nvme0c0n1/hidden", "1\n"), ("sys/block/nvme0c1n1/hidden", "1\n")];
        let both = machine(&[("nvme0n1", 300), ("nvme0c0n1", 200), ("nvme0c1n1", 100)], &hidden);
        assert_eq!(counted(&both), (Some(15.0), vec!["nvme0n1"]));
        let paths = machine(&[("nvme0n1", 0), ("nvme0c0n1", 200), ("nvme0c1n1", 100)], &hidden);
        assert_eq!(counted(&paths), (Some(15.0), vec!["nvme0n1"]));
        assert_eq!(paths.busiest().map(|(block, _)| &*block.name), Some("nvme0n1"));
        assert_eq!(paths.listed(false).count(), 1);
        assert_eq!(paths.listed(true).count(), 3);
        let alone = machine(&[("nvme0c0n1", 200)], &hidden[..1]);
        assert_eq!(counted(&alone), (Some(10.0), vec!["nvme0c0n1"]));
    }

    #[test]
    fn what_stands_on_others_is_counted_there() {
        let blocks = machine(
            &[("sda", 100), ("sdb", 100), ("sdc", 40), ("vault", 200), ("crypt", 200), ("bcache0", 40), ("zd0", 30)],
            &[
                ("sys/block/sda/device/state", "running\n"),
                ("sys/block/vault/slaves/sda/dev", "8:0\n"),
                ("sys/block/vault/slaves/sdb/dev", "8:1\n"),
                ("sys/block/crypt/slaves/vault/dev", "9:0\n"),
                ("sys/block/bcache0/slaves/sdc/dev", "8:2\n"),
            ],
        );
        assert_eq!(counted(&blocks), (Some(12.0), vec!["sda", "sdb", "sdc"]));
        assert_eq!(blocks.busiest().map(|(block, _)| block.kind), Some(Kind::Disk));
        assert_eq!(blocks.listed(false).count(), 7);
    }

    #[test]
    fn sysfs_tells_by_its_links_what_has_no_hardware() {
        let tree = Tree::new(&[("sys/block/.keep", "")]);
        tree.link("../devices/virtual/block/store7", "sys/block/store7");
        tree.link("../devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1", "sys/block/nvme0n1");
        tree.link("../devices/rbd/0/block/rbd0", "sys/block/rbd0");
        let kinds = tree.whole(|reader| ["store7", "nvme0n1", "rbd0"].map(|name| Kind::of(reader, name, None)));
        assert_eq!(kinds, [Kind::Virtual, Kind::Disk, Kind::Disk]);
    }

    #[test]
    fn empty_drives_and_files_that_are_mounted_are_no_rows() {
        let removable = [("sys/block/sr0/removable", "1\n"), ("sys/block/sr0/device/state", "running\n")];
        let devices = [("sr0", 0), ("sda", 0), ("loop0", 8), ("ram0", 0), ("zram0", 0), ("zram1", 8)];
        let blocks = machine(&devices, &removable);
        let listed: Vec<_> = blocks.listed(false).map(|block| &*block.name).collect();
        assert_eq!(listed, ["sda", "zram1"]);
        assert_eq!(blocks.listed(true).count(), 6);
    }

    #[test]
    fn a_device_that_its_driver_gave_up_is_a_problem_and_one_that_is_reset_is_none() {
        let blocks = machine(
            &[("sda", 1), ("sdb", 1), ("sdc", 1), ("sdd", 1), ("sde", 1), ("nvme0n1", 1)],
            &[
                ("sys/block/sde/device/state", "blocked\n"),
                ("sys/block/sda/device/state", "running\n"),
                ("sys/block/sdb/device/state", "transport-offline\n"),
                ("sys/block/sdc/device/state", "blocked\n"),
                ("sys/block/sdd/device/state", "quiesce\n"),
                ("sys/block/nvme0n1/device/state", "dead\n"),
                ("sys/class/nvme/nvme0/state", "dead\n"),
                ("sys/class/nvme/nvme1/state", "live\n"),
                ("sys/class/nvme/nvme2/state", "resetting\n"),
                ("sys/class/nvme/nvme3/state", "connecting\n"),
            ],
        );
        let mut problems = Problems::default();
        blocks.problems(&mut problems);
        let said: Vec<_> = problems.sorted().into_iter().map(|problem| problem.what).collect();
        assert_eq!(
            said,
            [
                "NVMe controller nvme0 is dead",
                "disk sdb is transport-offline",
                "disks sdc, sde are blocked",
                "NVMe controller nvme3 is connecting: the connection is lost",
            ]
        );
    }
}
