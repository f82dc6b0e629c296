//! The block devices as rows, and what RAID and ZFS make of them.

use super::{Array, ArrayState, Disk, Io, Pool};
use crate::{
    failure::Failure,
    host::{Machine, Whose, Window},
    proc::{
        diskstats,
        mdstat::{self, Progress},
        zpool_state::ZpoolState,
    },
    root::Root,
    table::Table,
};

/// The disks, with their rates. `None`: this kernel keeps no such counters.
pub(super) fn io(
    machine: &Machine,
    window: &Window,
    scope: Whose,
    all: bool,
    limit: usize,
) -> Result<Option<Io>, Failure> {
    let Some(counters) = &window.now.disks else { return Ok(None) };
    let whole =
        |disk: &&diskstats::Disk| window.now.is_disk(disk) && (window.now.blocks.is_some() || !is_part(disk, counters));
    let mut disks = vec![];
    for now in counters.iter().filter(whole) {
        let directory = format!("sys/block/{}", now.name.replace('/', "!"));
        let size = machine.root.number::<u64>(&format!("{directory}/size"))?.map(|sectors| sectors.saturating_mul(512));
        // a card reader without a card, a network block device without a network
        if all || size != Some(0) || now.reads.completed + now.writes.completed > 0 {
            disks.push((now, directory, size));
        }
    }
    let disks_total = disks.len();
    if disks_total > limit {
        let grown = |now: &diskstats::Disk| {
            window.earlier.disk(&now.name).map_or(0, |before| now.busy_ms.saturating_sub(before.busy_ms))
        };
        disks.sort_by_cached_key(|(now, ..)| (std::cmp::Reverse(grown(now)), now.major, now.minor));
        disks.truncate(limit);
        disks.sort_by_key(|(now, ..)| (now.major, now.minor));
    }
    let rows = disks.into_iter().map(|(now, directory, size)| row(&machine.root, window, now, &directory, size));
    let disks = rows.collect::<Result<_, _>>()?;
    Ok(Some(Io { scope, window_seconds: window.seconds(), disks_total, disks }))
}

/// Without sysfs only the name tells a partition: that of another disk, and a number.
fn is_part(disk: &diskstats::Disk, disks: &[diskstats::Disk]) -> bool {
    disks.iter().any(|whole| {
        let rest = disk.name.strip_prefix(&*whole.name).unwrap_or_default();
        // `nvme0n1p2` where the disk's own name ends in a number
        let digit = whole.name.ends_with(|end: char| end.is_ascii_digit());
        let number = if digit { rest.strip_prefix('p').unwrap_or_default() } else { rest };
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn row(
    root: &Root,
    window: &Window,
    now: &diskstats::Disk,
    directory: &str,
    size: Option<u64>,
) -> Result<Disk, Failure> {
    let flag = |file: &str| -> Result<Option<bool>, Failure> {
        Ok(root.word(&format!("{directory}/{file}"))?.map(|word| word != "0"))
    };
    let model = match root.word(&format!("{directory}/device/model"))? {
        // memory cards
        None => root.word(&format!("{directory}/device/name"))?,
        model => model,
    };
    let rates = Rates::of(window.seconds(), window.earlier.disk(&now.name), now);
    Ok(Disk {
        name: now.name.clone(),
        mapper_name: root.word(&format!("{directory}/dm/name"))?,
        model,
        size_bytes: size,
        rotational: flag("queue/rotational")?,
        removable: flag("removable")?,
        read_bytes_per_second: rates.as_ref().map(|rates| rates.read_bytes),
        write_bytes_per_second: rates.as_ref().map(|rates| rates.write_bytes),
        reads_per_second: rates.as_ref().map(|rates| rates.reads),
        writes_per_second: rates.as_ref().map(|rates| rates.writes),
        busy_ratio: rates.as_ref().map(|rates| rates.busy),
        wait_seconds: rates.and_then(|rates| rates.wait),
        in_flight: now.in_flight,
    })
}

#[derive(Debug, PartialEq)]
struct Rates {
    read_bytes: f64,
    write_bytes: f64,
    reads: f64,
    writes: f64,
    busy: f64,
    wait: Option<f64>,
}

impl Rates {
    /// `None`: no time has passed, or the name is another device's now.
    fn of(seconds: f64, before: Option<&diskstats::Disk>, now: &diskstats::Disk) -> Option<Self> {
        let before = before.filter(|before| seconds > 0.0 && (before.major, before.minor) == (now.major, now.minor))?;
        let read_bytes = now.reads.bytes.checked_sub(before.reads.bytes)?;
        let write_bytes = now.writes.bytes.checked_sub(before.writes.bytes)?;
        let reads = now.reads.completed.checked_sub(before.reads.completed)?;
        let writes = now.writes.completed.checked_sub(before.writes.completed)?;
        let busy = milliseconds(before.busy_ms, now.busy_ms)?;
        let mut waited = milliseconds(before.reads.ms, now.reads.ms)? + milliseconds(before.writes.ms, now.writes.ms)?;
        let mut requests = reads + writes;
        if let (Some(before), Some(now)) = (before.discards, now.discards) {
            waited += milliseconds(before.ms, now.ms)?;
            requests += now.completed.checked_sub(before.completed)?;
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
    now.checked_sub(before).or_else(|| (now + (1 << 32)).checked_sub(before).filter(|_| before < 1 << 32))
}

/// The arrays of software RAID. `None`: the kernel has none built in or loaded.
pub(super) fn arrays(machine: &Machine) -> Result<Option<Table<Array>>, Failure> {
    let text = Failure::absent(machine.root.text("proc/mdstat"))?;
    let arrays = text.map(|text| mdstat::parse(&text).0);
    Ok(arrays.map(|arrays| arrays.into_iter().map(Array::of).collect()))
}

impl Array {
    fn of(array: mdstat::Array) -> Self {
        let degraded = array.wanted.zip(array.present).map(|_| array.is_degraded());
        let device = |device: mdstat::Device| {
            let marks = [
                (device.failed, "failed"),
                (device.spare, "spare"),
                (device.journal, "journal"),
                (device.write_mostly, "write mostly"),
                (device.replacement, "replacement"),
            ];
            let marks = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| format!(" ({mark})"));
            device.name + &marks.collect::<String>()
        };
        let (mut progress_ratio, mut finish_seconds) = (None, None);
        let activity = array.sync.map(|sync| match sync.progress {
            Progress::Running { ratio, finish, .. } => {
                (progress_ratio, finish_seconds) = (Some(ratio), finish);
                sync.action
            }
            Progress::Pending => sync.action + " pending",
            Progress::Delayed => sync.action + " delayed",
            Progress::Remote => sync.action + " on another node",
        });
        Self {
            name: array.name,
            level: array.level,
            state: match array.state {
                mdstat::State::Active => ArrayState::Active,
                mdstat::State::Inactive => ArrayState::Inactive,
                mdstat::State::Broken => ArrayState::Broken,
            },
            read_only: array.read_only,
            degraded,
            devices_wanted: array.wanted,
            devices_working: array.present,
            devices: array.devices.into_iter().map(device).collect(),
            activity,
            progress_ratio,
            finish_seconds,
        }
    }
}

/// The ZFS pools. `None`: there is no ZFS.
pub(super) fn pools(machine: &Machine) -> Result<Option<Table<Pool>>, Failure> {
    let directory = "proc/spl/kstat/zfs";
    let Some(names) = Failure::absent(machine.root.names(directory))? else { return Ok(None) };
    let mut pools = vec![];
    for name in names {
        let state = match machine.root.text(&format!("{directory}/{name}/state")) {
            // a file of counters, or a pool that was exported meanwhile
            Err(Failure::NotFound(_)) => continue,
            text => text.ok().and_then(|text| ZpoolState::parse(&text).ok()),
        };
        let state = state.map(|state| match state {
            ZpoolState::Unknown(word) => word,
            ZpoolState::Online => "ONLINE".to_owned(),
            ZpoolState::Degraded => "DEGRADED".to_owned(),
            ZpoolState::Faulted => "FAULTED".to_owned(),
            ZpoolState::Offline => "OFFLINE".to_owned(),
            ZpoolState::Removed => "REMOVED".to_owned(),
            ZpoolState::Unavail => "UNAVAIL".to_owned(),
            ZpoolState::Suspended => "SUSPENDED".to_owned(),
        });
        pools.push(Pool { name, state });
    }
    Ok(Some(Table(pools)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disks(text: &str) -> Vec<diskstats::Disk> {
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
        let parts: Vec<_> = all.iter().filter(|disk| is_part(disk, &all)).map(|disk| &*disk.name).collect();
        assert_eq!(parts, ["sda1", "nvme0n1p2"]);
    }

    #[test]
    fn an_array_that_is_rebuilt_says_how_far_it_is() {
        let text = "\
md0 : active raid5 sdd1[3] sdc1[2](F) sdb1[1](S)
      1953260928 blocks super 1.2 level 5 [3/2] [UU_]
      [==>....]  recovery = 12.6% (37043392/292945152) finish=127.5min speed=33440K/sec
md1 : active raid0 sda1[0]
      100 blocks
";
        let mut arrays = mdstat::parse(text).0.into_iter().map(Array::of);
        let array = arrays.next().unwrap();
        assert_eq!(array.devices, ["sdd1", "sdc1 (failed)", "sdb1 (spare)"]);
        assert_eq!((array.degraded, array.activity.as_deref()), (Some(true), Some("recovery")));
        assert_eq!((array.progress_ratio, array.finish_seconds), (Some(0.126), Some(7650.0)));
        assert_eq!(arrays.next().unwrap().degraded, None);
    }
}
