//! Memory, huge pages and swap, and when there is too little of them.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Seen,
    problem::{Problems, Severity, count, percent, size},
};
use crate::{
    exposition::{Exposition, Kind},
    gap::Reader,
    host::{Place, Sample, Whose, Window},
};
use kernel::proc::{
    arcstats::Arcstats,
    meminfo::{Meminfo, Size},
};

/// Sizes are in bytes. `None`: the kernel does not say, or says what makes no sense.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// RAM the kernel can use.
    pub total: Option<u64>,
    /// What a new program could have without swapping. The kernel's estimate since Linux 3.14, before that free memory and caches, or at
    /// least what is free; with ZFS also what its cache would give back.
    pub available: Option<u64>,
    /// Not in use for anything.
    pub free: Option<u64>,
    /// Block device buffers and page cache, shared memory included.
    pub cached: Option<u64>,
    /// tmpfs and shared memory, since Linux 2.6.32.
    pub shared: Option<u64>,
    /// The kernel's own objects.
    pub slab: Option<u64>,
    /// Waits to be written to disk.
    pub dirty: Option<u64>,
    /// ZFS's adaptive replacement cache. `None` without ZFS, and where the other figures are a container's.
    pub zfs_cache: Option<u64>,
    /// Promised to programs, touched or not.
    pub committed: Option<u64>,
    /// Taken out of use after memory errors.
    pub corrupted: Option<u64>,
    /// Swap space; 0 is a machine without.
    pub swap_total: Option<u64>,
    /// Swap in use.
    pub swap_used: Option<u64>,
    /// The pools of huge pages that hold any, the smallest pages first. None where the other figures are a container's.
    pub huge_pages: Vec<HugePages>,
}

/// Memory that is set aside as pages of one size. It is part of no other figure but the total.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HugePages {
    /// Of one page.
    pub page_bytes: u64,
    /// Of all of them.
    pub total_bytes: u64,
    /// Of those that no program uses.
    pub free_bytes: Option<u64>,
}

impl Memory {
    /// The figures of a sample.
    pub fn read(reader: &Reader<'_>, sample: &Sample, place: &Place) -> Self {
        let meminfo = &sample.memory;
        let is_machines = place.whose("meminfo") == Whose::Machine;
        let arc = is_machines.then(|| arc(reader)).flatten();
        let total = meminfo.total;
        Self {
            total,
            available: available(meminfo, arc.as_ref()),
            free: within(total, meminfo.free),
            cached: meminfo.cached.map(|cached| meminfo.buffers.unwrap_or(0).saturating_add(cached)),
            shared: meminfo.shmem,
            slab: meminfo.slab,
            dirty: meminfo.dirty,
            zfs_cache: arc.and_then(|arc| arc.size),
            committed: meminfo.committed_as,
            corrupted: meminfo.hardware_corrupted,
            swap_total: meminfo.swap_total,
            swap_used: swap_used(meminfo),
            huge_pages: if is_machines { huge_pages(reader, meminfo) } else { vec![] },
        }
    }

    /// Total less available.
    pub fn used(&self) -> Option<u64> {
        self.total?.checked_sub(self.available?)
    }

    /// Used by total; nothing of nothing is 0.
    pub fn used_ratio(&self) -> Option<f64> {
        Some(ratio(self.used()?, self.total?))
    }

    /// What is set aside as huge pages.
    pub fn set_aside(&self) -> u64 {
        self.huge_pages.iter().fold(0, |sum, pool| sum.saturating_add(pool.total_bytes))
    }

    /// What is wrong with it.
    pub fn problems(&self, window: &Window, place: &Place, problems: &mut Problems) {
        self.shortage(problems);
        if let (Some(limit), Some(used)) = (place.limits.memory.filter(|limit| *limit > 0), place.limits.memory_used) {
            let used = ratio(used, limit);
            if used >= 0.90 {
                let severity = if used >= 0.97 { Severity::Critical } else { Severity::Warning };
                problems.add(severity, "memory", format!("the container uses {} of its memory limit", percent(used)));
            }
        }
        if let (Some(total), Some(used)) = (self.swap_total.filter(|total| *total > 0), self.swap_used)
            && ratio(used, total) >= 0.80
        {
            problems.warning("memory", format!("swap is {} used", percent(ratio(used, total))));
        }
        kills(window, place.container.is_some(), problems);
        if let Some(corrupted) = self.corrupted.filter(|bytes| *bytes > 0) {
            let what = format!("{} of memory are out of use after memory errors (HardwareCorrupted)", size(corrupted));
            problems.warning("memory", what);
        }
    }

    /// What programs may have is what is not set aside: a machine for virtual machines or a database may have nearly all in huge pages.
    fn shortage(&self, problems: &mut Problems) {
        let (Some(total), Some(available)) = (self.total, self.available) else { return };
        let aside = self.set_aside();
        let rest = total.saturating_sub(aside);
        let free = ratio(available, rest);
        let left = if aside == 0 {
            format!("{} available, {}", size(available), percent(free))
        } else {
            format!("{} of {} available, beside {} set aside as huge pages", size(available), size(rest), size(aside))
        };
        match free {
            _ if rest == 0 => (),
            free if free < 0.03 => problems.critical("memory", format!("memory is nearly used up: {left}")),
            free if free < 0.10 => problems.warning("memory", format!("memory is short: {left}")),
            _ => (),
        }
    }
}

/// Every line of `/proc/meminfo`.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let lines: Vec<(String, u64)> = (seen.sample.memory.lines.iter())
        .map(|(name, size)| {
            // `Active(anon)`
            let name = name.replace('(', "_").replace(')', "");
            match *size {
                Size::Bytes(bytes) => (name + "_bytes", bytes),
                Size::Count(count) => (name, count),
            }
        })
        .collect();
    let lines = lines.iter().map(|(name, size)| (name.as_str(), (*size).into()));
    page.words("node_memory_", Kind::Gauge, "/proc/meminfo", lines);
}

/// What was killed for want of memory, and how often the container was held back for its limit. A container counts its own.
fn kills(window: &Window, is_container: bool, problems: &mut Problems) {
    let (earlier, now) = (&window.earlier, &window.now);
    let events = |sample: &Sample| sample.memory_events.filter(|_| is_container);
    let own = |sample: &Sample| events(sample).and_then(|events| events.oom_kill);
    let machine = |sample: &Sample| sample.vmstat.as_ref().and_then(|vmstat| vmstat.oom_kill);
    let (before, after) = if own(now).is_some() { (own(earlier), own(now)) } else { (machine(earlier), machine(now)) };
    let recent = before.zip(after).map_or(0, |(before, after)| after.saturating_sub(before));
    let killed = |number, when| count(number, "process was", "processes were") + " killed for want of memory " + when;
    match after {
        Some(_) if recent > 0 => problems.critical("memory", killed(recent, "in the last seconds")),
        Some(all) if all > 0 => problems.notice("memory", killed(all, "since boot")),
        _ => (),
    }
    let reached = |sample: &Sample| events(sample).and_then(|events| events.max);
    let times = reached(earlier).zip(reached(now)).map_or(0, |(before, after)| after.saturating_sub(before));
    if times > 0 {
        let times = count(times, "time", "times");
        problems.warning("memory", format!("the container reached its memory limit {times} in the last seconds"));
    }
}

fn arc(reader: &Reader<'_>) -> Option<Arcstats> {
    let file = "proc/spl/kstat/zfs/arcstats";
    reader.text(file).map(|text| reader.lenient(file, Arcstats::parse(&text)))
}

fn available(memory: &Meminfo, arc: Option<&Arcstats>) -> Option<u64> {
    let estimate = || {
        // shared memory stands in the page cache and cannot be dropped
        let cached = memory.cached.unwrap_or(0).saturating_sub(memory.shmem.unwrap_or(0));
        Some(memory.free?.saturating_add(memory.buffers.unwrap_or(0)).saturating_add(cached))
    };
    let available = memory.available.or_else(estimate)?;
    let reclaimable = arc.and_then(|arc| Some(arc.size?.saturating_sub(arc.c_min?))).unwrap_or(0);
    Some(available.saturating_add(reclaimable).min(memory.total.unwrap_or(u64::MAX)))
}

/// A part that is larger than its whole is a wrong figure.
fn within(whole: Option<u64>, part: Option<u64>) -> Option<u64> {
    part.filter(|part| whole.is_none_or(|whole| *part <= whole))
}

/// Without swap space nothing of it is in use, whatever is said to be free.
fn swap_used(memory: &Meminfo) -> Option<u64> {
    match memory.swap_total? {
        0 => Some(0),
        total => total.checked_sub(memory.swap_free?),
    }
}

/// The pools of all sizes by sysfs, which came with Linux 2.6.27; without it that of the default size.
fn huge_pages(reader: &Reader<'_>, memory: &Meminfo) -> Vec<HugePages> {
    let directory = "sys/kernel/mm/hugepages";
    let mut pools = vec![];
    for name in reader.names(directory) {
        let size = name.strip_prefix("hugepages-").and_then(|rest| rest.strip_suffix("kB")?.parse::<u64>().ok());
        let pages = |file: &str| reader.number::<u64>(&format!("{directory}/{name}/{file}"));
        if let (Some(size), Some(total)) = (size, pages("nr_hugepages")) {
            pools.push((size.saturating_mul(1024), total, pages("free_hugepages")));
        }
    }
    if pools.is_empty()
        && let (Some(size), Some(total)) = (memory.huge_page_size, memory.huge_pages_total)
    {
        pools.push((size, total, memory.huge_pages_free));
    }
    pools.sort_unstable();
    let pool = |(size, total, free): (u64, u64, Option<u64>)| HugePages {
        page_bytes: size,
        total_bytes: size.saturating_mul(total),
        free_bytes: free.map(|free| size.saturating_mul(free)),
    };
    pools.into_iter().filter(|(_, total, _)| *total > 0).map(pool).collect()
}

/// A part of a whole; nothing of nothing is 0.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use kernel::proc::{cgroup::MemoryEvents, vmstat::Vmstat};

    const GIB: u64 = 1 << 30;

    fn said(memory: &Memory) -> Vec<String> {
        let mut problems = Problems::default();
        memory.shortage(&mut problems);
        problems.sorted().into_iter().map(|problem| problem.what).collect()
    }

    fn of(total: u64, available: u64, aside: u64) -> Memory {
        let pool = HugePages { page_bytes: GIB, total_bytes: aside, free_bytes: Some(0) };
        let huge_pages = if aside > 0 { vec![pool] } else { vec![] };
        Memory { total: Some(total), available: Some(available), huge_pages, ..Memory::default() }
    }

    #[test]
    fn memory_that_is_set_aside_is_no_shortage() {
        assert!(said(&of(755 * GIB, 17 * GIB, 720 * GIB)).is_empty());
        assert_eq!(
            said(&of(755 * GIB, GIB, 720 * GIB)),
            ["memory is nearly used up: 1.0 GiB of 35.0 GiB available, beside 720.0 GiB set aside as huge pages"]
        );
        assert_eq!(said(&of(100 * GIB, 5 * GIB, 0)), ["memory is short: 5.0 GiB available, 5 %"]);
        assert!(said(&of(100 * GIB, 20 * GIB, 0)).is_empty());
        assert!(said(&Memory::default()).is_empty() && said(&of(0, 0, 0)).is_empty());
    }

    #[test]
    fn what_is_free_is_available_where_the_kernel_says_no_more() {
        let free = Meminfo { total: Some(9), free: Some(7), ..Meminfo::default() };
        assert_eq!(available(&free, None), Some(7));
        let old = Meminfo { buffers: Some(1), cached: Some(5), shmem: Some(4), ..free.clone() };
        assert_eq!(available(&old, None), Some(9));
        let arc = Arcstats { size: Some(6), c_min: Some(5) };
        assert_eq!(available(&Meminfo { available: Some(2), ..old }, Some(&arc)), Some(3));
        assert_eq!(available(&Meminfo { free: None, ..free }, Some(&arc)), None);
    }

    #[test]
    fn swap_below_zero_is_unknown_and_no_swap_is_unused() {
        let swap = |swap_total, swap_free| swap_used(&Meminfo { swap_total, swap_free, ..Meminfo::default() });
        assert_eq!(swap(Some(0), None), Some(0));
        assert_eq!(swap(Some(10), Some(4)), Some(6));
        assert_eq!(swap(Some(10), None), None);
        assert_eq!(swap(Some(10), Some(11)), None);
    }

    #[test]
    fn a_container_is_told_of_its_own_kills() {
        let sample = |own: Option<u64>, machine, max| {
            let memory_events = own.map(|kills| MemoryEvents { high: None, max, oom: None, oom_kill: Some(kills) });
            let vmstat = Some(Vmstat { oom_kill: Some(machine), ..Vmstat::default() });
            Arc::new(Sample { memory_events, vmstat, ..Sample::default() })
        };
        let said = |earlier, now, is_container| {
            let mut problems = Problems::default();
            kills(&Window { earlier, now }, is_container, &mut problems);
            problems.sorted().into_iter().map(|problem| problem.what).collect::<Vec<_>>()
        };
        assert_eq!(
            said(sample(Some(0), 1, None), sample(Some(0), 3, None), false),
            ["2 processes were killed for want of memory in the last seconds"]
        );
        assert!(said(sample(Some(0), 1, Some(4)), sample(Some(0), 3, Some(4)), true).is_empty());
        assert_eq!(
            said(sample(Some(1), 1, Some(4)), sample(Some(1), 3, Some(9)), true),
            [
                "the container reached its memory limit 5 times in the last seconds",
                "1 process was killed for want of memory since boot",
            ]
        );
    }
}
