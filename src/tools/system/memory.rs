//! How much memory is there, and is it enough?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tool::{Tool, Turn};
use facts::{
    gap::{Gaps, Reader},
    host::{Machine, Place, Whose, Window},
    memory::{self, HugePages},
};
use kernel::{
    failure::Failure,
    proc::{pressure::Pressure, swaps},
};
use lanes::lane::Lane;
use rights::scope::Scope;
use text::table::Table;

/// Memory and swap: what is used, what a new program could have, paging and memory pressure. Counts ZFS's cache as available.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Memory {}

/// All sizes are bytes.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// Whose figures these are.
    pub scope: Whose,
    /// Usable memory: what is fitted, less what the kernel keeps for itself.
    pub total_bytes: Option<u64>,
    /// What a new program could have without swapping (before Linux 3.14 estimated from free memory and caches; with ZFS
    /// its reclaimable cache included).
    pub available_bytes: Option<u64>,
    /// Total less available.
    pub used_bytes: Option<u64>,
    /// Used by total.
    pub used_ratio: Option<f64>,
    /// Not in use for anything.
    pub free_bytes: Option<u64>,
    /// Block device buffers and page cache, shared memory included.
    pub cached_bytes: Option<u64>,
    /// tmpfs and shared memory. Since Linux 2.6.32.
    pub shared_bytes: Option<u64>,
    /// The kernel's own objects.
    pub slab_bytes: Option<u64>,
    /// Waiting to be written to disk.
    pub dirty_bytes: Option<u64>,
    /// ZFS's adaptive replacement cache, where ZFS is.
    pub zfs_cache_bytes: Option<u64>,
    /// Swap space.
    pub swap_total_bytes: Option<u64>,
    /// Swap in use.
    pub swap_used_bytes: Option<u64>,
    /// Where it is; null if that cannot be read.
    pub swaps: Option<Table<Swap>>,
    /// Memory set aside as huge pages, by their size: part of the total, and of what is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub huge_pages: Option<Table<HugePages>>,
    /// Promised to programs, whether they have touched it or not.
    pub committed_bytes: Option<u64>,
    /// What the container may use, and what it uses of it without droppable cache.
    pub limit: Option<Limit>,
    pub paging: Option<Paging>,
    /// Share of time in which programs waited for memory. Since Linux 4.20, where switched on.
    pub pressure: Option<Stalled>,
    /// Files that could not be read, and why; their figures are null.
    #[serde(skip_serializing_if = "Gaps::is_empty")]
    pub gaps: Gaps,
}

/// What is swapped to; zram is in memory itself.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Swap {
    pub path: String,
    pub size_bytes: u64,
    pub used_bytes: u64,
    /// The highest is used first.
    pub priority: i32,
}

/// A cgroup's limit.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Limit {
    pub scope: Whose,
    /// The most it may use.
    pub limit_bytes: u64,
    /// What it uses.
    pub used_bytes: Option<u64>,
}

/// Pages moved between memory and disk, and what happens when that is not enough.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Paging {
    pub scope: Whose,
    /// The time these rates cover; 0: the server began this moment, and knows none yet.
    pub window_seconds: f64,
    /// Read back from swap.
    pub swapped_in_bytes_per_second: Option<f64>,
    /// Written to swap.
    pub swapped_out_bytes_per_second: Option<f64>,
    /// Page faults that had to wait for a disk.
    pub major_faults_per_second: Option<f64>,
    /// Processes killed for want of memory since boot. Since Linux 4.13.
    pub oom_kills: Option<u64>,
}

/// How long programs were stalled.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Stalled {
    pub scope: Whose,
    /// At least one program, over the last 10 seconds.
    pub some_10s_ratio: f64,
    /// At least one program, over the last 60 seconds.
    pub some_60s_ratio: f64,
    /// All programs at once, over the last 60 seconds.
    pub full_60s_ratio: Option<f64>,
}

impl Tool for Memory {
    const NAME: &'static str = "memory";
    const TITLE: &'static str = "Memory";
    const SCOPE: Scope = Scope::SystemRead;
    const LANE: Lane = Lane::Machine;
    const SHARED: bool = true;
    const UNTRUSTED: Option<&'static str> = Some("swaps");
    type Output = Report;

    async fn run(self, turn: &Turn) -> Result<Report, Failure> {
        let window = turn.host().window().await?;
        turn.read(move |machine| read(machine, &window)).await
    }
}

fn read(machine: &Machine, window: &Window) -> Result<Report, Failure> {
    let reader = Reader::new(&machine.root);
    reader.add(&window.now.gaps, &["/proc/meminfo", "/proc/vmstat", "/proc/pressure/memory"]);
    let place = Place::of(&reader);
    let memory = memory::Memory::read(&reader, &window.now, &place);
    let swaps = swaps(&reader);
    let pressure = window.now.pressure.memory.as_ref();
    if pressure.is_none() {
        reader.missing("proc/pressure/memory", Some("since Linux 4.20, where switched on"));
    }
    Ok(Report {
        scope: place.whose("meminfo"),
        total_bytes: memory.total,
        available_bytes: memory.available,
        used_bytes: memory.used(),
        used_ratio: memory.used_ratio(),
        free_bytes: memory.free,
        cached_bytes: memory.cached,
        shared_bytes: memory.shared,
        slab_bytes: memory.slab,
        dirty_bytes: memory.dirty,
        zfs_cache_bytes: memory.zfs_cache,
        swap_total_bytes: memory.swap_total,
        swap_used_bytes: memory.swap_used,
        swaps,
        huge_pages: Some(Table(memory.huge_pages)).filter(|pools| !pools.0.is_empty()),
        committed_bytes: memory.committed,
        limit: place.limits.memory.map(|limit_bytes| Limit {
            scope: Whose::Container,
            limit_bytes,
            used_bytes: place.limits.memory_used,
        }),
        paging: paging(place.whose("vmstat"), machine.kernel.page_size(), window),
        pressure: pressure.map(|pressure| Stalled::of(place.whose("pressure/memory"), pressure)),
        gaps: reader.gaps(),
    })
}

fn swaps(reader: &Reader<'_>) -> Option<Table<Swap>> {
    let swaps = reader.lenient("proc/swaps", swaps::parse(&reader.bytes("proc/swaps")?));
    let row = |swap: swaps::Swap| Swap {
        path: String::from_utf8_lossy(&swap.filename).into_owned(),
        size_bytes: swap.size,
        used_bytes: swap.used,
        priority: swap.priority,
    };
    Some(swaps.into_iter().map(row).collect())
}

fn paging(scope: Whose, page_size: u64, window: &Window) -> Option<Paging> {
    let (earlier, now) = (window.earlier.vmstat.as_ref()?, window.now.vmstat.as_ref()?);
    let rate = |earlier: Option<u64>, now: Option<u64>| window.per_second(earlier?, now?);
    let bytes = |pages: Option<f64>| pages.map(|pages| pages * page_size as f64);
    Some(Paging {
        scope,
        window_seconds: window.seconds(),
        swapped_in_bytes_per_second: bytes(rate(earlier.pswpin, now.pswpin)),
        swapped_out_bytes_per_second: bytes(rate(earlier.pswpout, now.pswpout)),
        major_faults_per_second: rate(earlier.pgmajfault, now.pgmajfault),
        oom_kills: now.oom_kill,
    })
}

impl Stalled {
    fn of(scope: Whose, pressure: &Pressure) -> Self {
        Self {
            scope,
            some_10s_ratio: pressure.some.avg10,
            some_60s_ratio: pressure.some.avg60,
            full_60s_ratio: pressure.full.as_ref().map(|full| full.avg60),
        }
    }
}
