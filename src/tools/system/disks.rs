//! Where is space left, and what are the disks doing?

mod devices;
mod filesystems;
mod mounts;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::filesystems::Rank;
use crate::{
    failure::Failure,
    gap::Reader,
    host::{Machine, Place, Whose, Window},
    lane::Lane,
    page::{Limit, Page},
    scope::Scope,
    table::Table,
    tool::{Tool, Turn},
};

/// Filesystems with their space, inodes and faults, those in trouble first, then the fullest; what the disks read and write; software
/// RAID and ZFS pools. A filesystem mounted many times is one row.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Disks {
    /// Also empty tmpfs, read-only images, container overlays, pseudo filesystems and empty drives. Default false.
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
    /// What is wrong: denied, no answer, read-only since an error.
    pub note: Option<String>,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct LeftOut {
    pub pseudo: usize,
    /// squashfs, iso9660, erofs: always full.
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
    const UNTRUSTED: Option<&'static str> = Some("mount_point, device, mapper_name, model");
    const AUDITED: &'static [&'static str] = &["all", "limit", "cursor"];
    type Output = Report;

    async fn run(self, turn: &Turn) -> Result<Report, Failure> {
        let page = Page::of(Self::NAME, self.all, self.limit.rows(), self.cursor.as_deref())?;
        let window = turn.host().window().await?;
        turn.read(move |machine| read(machine, &window, self.all, &page)).await
    }
}

/// The first `most` filesystems, those in trouble first, with all there is to say of disks, arrays and pools.
pub(super) fn survey(machine: &Arc<Machine>, window: &Window, most: usize) -> Result<Report, Failure> {
    read(machine, window, false, &Page::first(most))
}

fn read(machine: &Arc<Machine>, window: &Window, all: bool, page: &Page<Rank>) -> Result<Report, Failure> {
    let place = Place::of(&Reader::new(&machine.root));
    let listed = filesystems::read(machine, all, page)?;
    Ok(Report {
        scope: place.inside(),
        filesystems_total: listed.total,
        filesystems: Table(listed.rows),
        next_cursor: listed.next,
        left_out: listed.left_out,
        io: devices::io(machine, window, place.whose("diskstats"), all, page.limit().div_ceil(2).min(50))?,
        redundancy: Redundancy {
            // no namespace hides them
            scope: Whose::Machine,
            arrays: devices::arrays(machine)?,
            zfs_pools: devices::pools(machine)?,
        },
    })
}
