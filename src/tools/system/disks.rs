//! Where is space left, and what are the disks doing?

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tool::{Tool, Turn};
use facts::{
    blocks::{Block, Blocks, Rates},
    filesystems::{self, Aside, Rank},
    gap::{Gaps, Reader},
    host::{Machine, Place, Whose, Window},
    problem::Problems,
    raid,
    storage::Storage,
    zfs,
};
use kernel::{failure::Failure, proc::mdstat};
use lanes::lane::Lane;
use rights::scope::Scope;
use text::{
    page::{Limit, Page},
    table::Table,
};

/// How long filesystems are asked for their space: those whose server does not answer cost a second each.
const ASKED_FOR: Duration = Duration::from_secs(10);

/// Filesystems with their space, inodes and faults, those in trouble first, then the fullest; what the disks read and write; software
/// RAID and ZFS pools; what is wrong with any of them. A filesystem mounted many times is one row.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Disks {
    /// Also empty tmpfs, read-only images, container overlays, pseudo filesystems, empty drives and paths of multipath disks. Default
    /// false.
    #[serde(default)]
    all: bool,
    /// Most filesystems in the answer.
    #[serde(default)]
    limit: Limit<20, 200>,
    /// `next_cursor` of the answer before, for more filesystems.
    #[serde(default)]
    cursor: Option<String>,
}

/// Sizes are those of df.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// Whose mounts these are.
    pub scope: Whose,
    /// What is wrong with filesystems, disks, arrays, pools and btrfs devices, worst first. Left out where nothing is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// How many filesystems there are to list.
    pub filesystems_total: usize,
    pub filesystems: Table<Filesystem>,
    /// There are more filesystems.
    pub next_cursor: Option<String>,
    /// Filesystems that `all` adds.
    pub left_out: LeftOut,
    /// Null without /proc/diskstats.
    pub io: Option<Io>,
    pub redundancy: Redundancy,
    /// Files that could not be read, and why; their figures are null.
    #[serde(skip_serializing_if = "Gaps::is_empty")]
    pub gaps: Gaps,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Filesystem {
    pub mount_point: String,
    pub device: String,
    #[serde(rename = "type")]
    pub fs_type: String,
    pub size_bytes: Option<u64>,
    /// Size less free.
    pub used_bytes: Option<u64>,
    /// To programs without privileges.
    pub available_bytes: Option<u64>,
    /// Used by used and available, rounded up, as df has it.
    pub used_ratio: Option<f64>,
    /// Null where inodes are made as needed.
    pub inodes_used_ratio: Option<f64>,
    pub read_only: bool,
    /// How often it is mounted, container overlays on it included.
    pub mounts: usize,
    /// What is wrong: denied, no answer, read-only since an error, errors recorded.
    pub note: Option<String>,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct LeftOut {
    pub pseudo: usize,
    /// squashfs, iso9660, erofs, ZFS snapshots.
    pub images: usize,
    /// Empty tmpfs and devtmpfs.
    pub empty_tmpfs: usize,
}

/// Whole block devices; partitions are part of theirs.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Io {
    /// Whose I/O this is.
    pub scope: Whose,
    /// The time all rates cover; 0: the server began this moment, and knows none yet.
    pub window_seconds: f64,
    /// At most half of `limit`, and 50, are listed: the busiest.
    pub disks_total: usize,
    pub disks: Table<Disk>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Disk {
    pub name: String,
    /// The device-mapper name, of LVM or encrypted volumes.
    pub mapper_name: Option<String>,
    pub model: Option<String>,
    pub size_bytes: Option<u64>,
    pub rotational: Option<bool>,
    pub removable: Option<bool>,
    pub read_bytes_per_second: Option<f64>,
    pub write_bytes_per_second: Option<f64>,
    pub reads_per_second: Option<f64>,
    pub writes_per_second: Option<f64>,
    /// Share of time with any request under way.
    pub busy_ratio: Option<f64>,
    /// A request's average, queueing included; null without requests.
    pub wait_seconds: Option<f64>,
    /// Requests under way now.
    pub in_flight: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Redundancy {
    /// Whose these are.
    pub scope: Whose,
    /// Software RAID; null where the kernel has none.
    pub arrays: Option<Table<Array>>,
    /// Null without ZFS.
    pub zfs_pools: Option<Table<Pool>>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Array {
    pub name: String,
    pub level: Option<String>,
    pub state: ArrayState,
    pub read_only: bool,
    /// Whether devices are missing; null without redundancy.
    pub degraded: Option<bool>,
    /// Devices it should have, and those that work.
    pub devices_wanted: Option<u32>,
    pub devices_working: Option<u32>,
    /// With `(failed)`, `(spare)` and so on.
    pub devices: Vec<String>,
    /// resync, recovery, check or reshape; pending or delayed if it waits.
    pub activity: Option<String>,
    pub progress_ratio: Option<f64>,
    /// Until it is done, as the kernel guesses.
    pub finish_seconds: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ArrayState {
    Active,
    Inactive,
    Broken,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Pool {
    pub name: String,
    /// In ZFS's words: ONLINE, DEGRADED, FAULTED, SUSPENDED and so on; null if it cannot be read.
    pub state: Option<String>,
}

impl Tool for Disks {
    const NAME: &'static str = "disks";
    const TITLE: &'static str = "Disks and filesystems";
    const SCOPE: Scope = Scope::SystemRead;
    const LANE: Lane = Lane::Machine;
    const SHARED: bool = true;
    const UNTRUSTED: Option<&'static str> = Some("mount_point, device, mapper_name, model, faults");
    const AUDITED: &'static [&'static str] = &["all", "limit", "cursor"];
    type Output = Report;

    async fn run(self, turn: &Turn) -> Result<Report, Failure> {
        let page = Page::of(Self::NAME, self.all, self.limit.rows(), self.cursor.as_deref())?;
        let window = turn.host().window().await?;
        let (stop, until) = (turn.stop().clone(), Instant::now() + turn.time(ASKED_FOR));
        let gone = move || stop.is_cancelled() || Instant::now() >= until;
        turn.read(move |machine| Ok(read(machine, &window, self.all, &page, &gone))).await
    }
}

fn read(machine: &Arc<Machine>, window: &Window, all: bool, page: &Page<Rank>, gone: &dyn Fn() -> bool) -> Report {
    let reader = Reader::new(&machine.root);
    reader.add(&window.now.gaps, &["/proc/diskstats", "/sys/block"]);
    let place = Place::of(&reader);
    let storage = Storage::read(machine, &reader, window, all, gone);
    let mut problems = Problems::default();
    storage.problems(&mut problems);
    let (mut left_out, mut rows) = (LeftOut::default(), vec![]);
    for one in &storage.filesystems.all {
        match one.aside.filter(|_| !all) {
            Some(Aside::Pseudo) => left_out.pseudo += 1,
            Some(Aside::Image) => left_out.images += 1,
            Some(Aside::Empty) => left_out.empty_tmpfs += 1,
            None => rows.push((one.rank(), one)),
        }
    }
    rows.sort_by_key(|(rank, _)| *rank);
    let filesystems_total = rows.len();
    let (rows, next_cursor) = page.by_key(rows);
    let most = page.limit().div_ceil(2).min(50);
    let io =
        storage.blocks.counted.then(|| Io::of(&reader, &storage.blocks, window, place.whose("diskstats"), all, most));
    Report {
        scope: place.inside(),
        faults: problems.sorted().into_iter().map(|problem| problem.what).collect(),
        filesystems_total,
        filesystems: rows.into_iter().map(Filesystem::of).collect(),
        next_cursor,
        left_out,
        io,
        redundancy: Redundancy::of(storage),
        gaps: reader.gaps(),
    }
}

impl Filesystem {
    fn of(one: &filesystems::Filesystem) -> Self {
        let mount = &one.mounted.mount;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            mount_point: one.mount_point(),
            device: text(&mount.source),
            fs_type: text(&mount.fs_type),
            size_bytes: one.space.map(|space| space.size),
            used_bytes: one.space.map(|space| space.used),
            available_bytes: one.space.map(|space| space.available),
            used_ratio: one.space.and_then(|space| space.used_ratio),
            inodes_used_ratio: one.space.and_then(|space| space.inodes_used_ratio),
            read_only: mount.has(b"ro"),
            mounts: one.mounted.mounts,
            note: one.note.as_ref().map(ToString::to_string),
        }
    }
}

impl Io {
    fn of(reader: &Reader<'_>, blocks: &Blocks, window: &Window, scope: Whose, all: bool, most: usize) -> Self {
        let mut listed: Vec<(usize, &Block)> = blocks.listed(all).enumerate().collect();
        let disks_total = listed.len();
        if disks_total > most {
            let busy = |block: &Block| block.rates.map_or(0.0, |rates| rates.busy);
            listed.sort_by(|(_, a), (_, b)| busy(b).total_cmp(&busy(a)));
            listed.truncate(most);
            listed.sort_by_key(|(at, _)| *at);
        }
        let disks = listed.into_iter().map(|(_, block)| Disk::of(reader, block)).collect();
        Self { scope, window_seconds: window.seconds(), disks_total, disks }
    }
}

impl Disk {
    fn of(reader: &Reader<'_>, block: &Block) -> Self {
        let details = block.details(reader);
        let rate = |of: fn(Rates) -> f64| block.rates.map(of);
        Self {
            name: block.name.clone(),
            mapper_name: details.mapper_name,
            model: details.model,
            size_bytes: block.size,
            rotational: details.rotational,
            removable: details.removable,
            read_bytes_per_second: rate(|rates| rates.read_bytes),
            write_bytes_per_second: rate(|rates| rates.write_bytes),
            reads_per_second: rate(|rates| rates.reads),
            writes_per_second: rate(|rates| rates.writes),
            busy_ratio: rate(|rates| rates.busy),
            wait_seconds: block.rates.and_then(|rates| rates.wait),
            in_flight: block.in_flight,
        }
    }
}

impl Redundancy {
    fn of(storage: Storage) -> Self {
        Self {
            // no namespace hides them
            scope: Whose::Machine,
            arrays: storage.arrays.map(|arrays| arrays.into_iter().map(Array::of).collect()),
            zfs_pools: storage.pools.map(|pools| pools.into_iter().map(Pool::of).collect()),
        }
    }
}

impl Array {
    fn of(array: raid::Array) -> Self {
        let (degraded, activity) = (array.degraded(), array.activity());
        let (progress_ratio, finish_seconds) = (array.progress(), array.finish());
        let md = array.md;
        Self {
            name: md.name,
            level: md.level,
            state: match md.state {
                mdstat::ArrayState::Active => ArrayState::Active,
                mdstat::ArrayState::Inactive => ArrayState::Inactive,
                mdstat::ArrayState::Broken => ArrayState::Broken,
            },
            read_only: md.read_only,
            degraded,
            devices_wanted: md.wanted,
            devices_working: md.present,
            devices: md.devices.into_iter().map(device).collect(),
            activity,
            progress_ratio,
            finish_seconds,
        }
    }
}

/// A device of an array with its marks.
fn device(device: mdstat::Device) -> String {
    let marks = [
        (device.failed, "failed"),
        (device.spare, "spare"),
        (device.journal, "journal"),
        (device.write_mostly, "write mostly"),
        (device.replacement, "replacement"),
    ];
    let marks = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| format!(" ({mark})"));
    device.name + &marks.collect::<String>()
}

impl Pool {
    fn of(pool: zfs::Pool) -> Self {
        Self { state: pool.word().map(str::to_owned), name: pool.name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_of_an_array_has_its_marks() {
        let text = "md0 : active raid5 sdd1[3] sdc1[2](F) sdb1[1](S)\n      8 blocks super 1.2 level 5 [3/2] [UU_]\n";
        let array = mdstat::parse(text).0.remove(0);
        assert_eq!(
            array.devices.into_iter().map(device).collect::<Vec<_>>(),
            ["sdd1", "sdc1 (failed)", "sdb1 (spare)"]
        );
    }
}
