//! `/proc/meminfo`, see proc_meminfo(5). Under lxcfs the figures are the container's.

use std::collections::BTreeMap;

use super::{Malformed, kibibytes};

/// The machine's memory. Sizes are in bytes. A line that is missing or makes no sense is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meminfo {
    /// `MemTotal`: RAM the kernel can use.
    pub total: Option<u64>,
    /// `MemFree`: RAM nobody uses, not even as a cache.
    pub free: Option<u64>,
    /// `MemAvailable`: what new programs could get without swapping, since Linux 3.14.
    pub available: Option<u64>,
    /// `Buffers`: the page cache of block devices.
    pub buffers: Option<u64>,
    /// `Cached`: the page cache of files, tmpfs and shared memory included.
    pub cached: Option<u64>,
    /// `Slab`: the kernel's own objects.
    pub slab: Option<u64>,
    /// `Shmem`: tmpfs and shared memory, since Linux 2.6.32.
    pub shmem: Option<u64>,
    /// `Dirty`: waits to be written to disk.
    pub dirty: Option<u64>,
    /// `SwapTotal`; 0 is a machine without swap.
    pub swap_total: Option<u64>,
    /// `SwapFree`.
    pub swap_free: Option<u64>,
    /// `Committed_AS`: what is promised.
    pub committed_as: Option<u64>,
    /// `HugePages_Total`: pages in the pool of the default size, if the kernel was built with hugetlbfs.
    pub huge_pages_total: Option<u64>,
    /// `HugePages_Free`: those of them that nothing uses.
    pub huge_pages_free: Option<u64>,
    /// `Hugepagesize`: bytes of one such page.
    pub huge_page_size: Option<u64>,
    /// `HardwareCorrupted`: taken out of use after memory errors, since Linux 2.6.32 with memory-failure handling.
    pub hardware_corrupted: Option<u64>,
    /// Every line by its name, the above included.
    pub lines: BTreeMap<String, Size>,
}

/// What stands in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// A line with a unit.
    Bytes(u64),
    /// A line without one, such as the number of huge pages.
    Count(u64),
}

impl Meminfo {
    /// Reads the text of `/proc/meminfo`, and names the first line that makes no sense.
    pub fn parse(text: &str) -> (Self, Option<Malformed>) {
        let (mut meminfo, mut odd) = (Self::default(), None);
        for line in text.lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            let is_known = match meminfo.field(name) {
                Some((field, is_count)) => {
                    *field = if is_count { value.trim().parse().ok() } else { kibibytes(value) };
                    field.is_some()
                }
                None => true,
            };
            match Size::parse(value).filter(|_| is_known) {
                Some(size) => drop(meminfo.lines.insert(name.to_owned(), size)),
                None => odd = odd.or_else(|| Some(Malformed::line("meminfo", text, line))),
            }
        }
        if meminfo.total.is_none() {
            odd = odd.or_else(|| Some(Malformed::field("meminfo", "MemTotal")));
        }
        (meminfo, odd)
    }

    /// Where the value of this line goes, and whether it is a number of pages.
    fn field(&mut self, name: &str) -> Option<(&mut Option<u64>, bool)> {
        let bytes = |field| Some((field, false));
        match name {
            "MemTotal" => bytes(&mut self.total),
            "MemFree" => bytes(&mut self.free),
            "MemAvailable" => bytes(&mut self.available),
            "Buffers" => bytes(&mut self.buffers),
            "Cached" => bytes(&mut self.cached),
            "Slab" => bytes(&mut self.slab),
            "Shmem" => bytes(&mut self.shmem),
            "Dirty" => bytes(&mut self.dirty),
            "SwapTotal" => bytes(&mut self.swap_total),
            "SwapFree" => bytes(&mut self.swap_free),
            "Committed_AS" => bytes(&mut self.committed_as),
            "HugePages_Total" => Some((&mut self.huge_pages_total, true)),
            "HugePages_Free" => Some((&mut self.huge_pages_free, true)),
            "Hugepagesize" => bytes(&mut self.huge_page_size),
            "HardwareCorrupted" => bytes(&mut self.hardware_corrupted),
            _ => None,
        }
    }
}

impl Size {
    fn parse(value: &str) -> Option<Self> {
        let count = || value.trim().parse().ok().map(Self::Count);
        kibibytes(value).map(Self::Bytes).or_else(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Position;

    #[test]
    fn old_kernels_have_no_available() {
        let (meminfo, odd) = Meminfo::parse("MemTotal:        2 kB\nMemFree:         1 kB\nCached:          4 kB\n");
        assert_eq!((meminfo.total, meminfo.available, meminfo.cached), (Some(2048), None, Some(4096)));
        assert_eq!((meminfo.huge_pages_total, odd), (None, None));
    }

    #[test]
    fn huge_pages_are_counted_not_measured() {
        let (meminfo, _) =
            Meminfo::parse("MemTotal: 2 kB\nHugePages_Total: 4\nHugePages_Free: 1\nHugepagesize: 2048 kB\n");
        let pool = (meminfo.huge_pages_total, meminfo.huge_pages_free, meminfo.huge_page_size);
        assert_eq!(pool, (Some(4), Some(1), Some(2 << 20)));
    }

    #[test]
    fn every_line_is_kept_by_its_name() {
        let (meminfo, odd) = Meminfo::parse("MemTotal: 2 kB\nActive(anon):  3 kB\nHugePages_Surp: 4\nNew: lots\n");
        let lines: Vec<_> = meminfo.lines.iter().map(|(name, size)| (name.as_str(), *size)).collect();
        let expected =
            [("Active(anon)", Size::Bytes(3072)), ("HugePages_Surp", Size::Count(4)), ("MemTotal", Size::Bytes(2048))];
        assert_eq!((lines, odd.unwrap().position), (expected.to_vec(), Position::Line(4)));
    }

    #[test]
    fn an_odd_line_costs_its_figure_and_is_named() {
        let text = "MemTotal: 262144 kB\nMemFree: 7 kB\nSwapTotal: 0 kB\nSwapFree: 18446744073709551000 kB\nDirty: many\nSlab: 3 kB\n";
        let (meminfo, odd) = Meminfo::parse(text);
        assert_eq!((meminfo.total, meminfo.slab, meminfo.dirty), (Some(256 << 20), Some(3072), None));
        assert_eq!((meminfo.swap_total, meminfo.swap_free), (Some(0), None));
        assert_eq!(odd.unwrap().position, Position::Line(4));
    }

    #[test]
    fn without_a_total_nothing_else_is_lost() {
        let (meminfo, odd) = Meminfo::parse("MemFree: 2 kB\n");
        assert_eq!((meminfo.free, odd.unwrap().position), (Some(2048), Position::Field("MemTotal")));
        assert_eq!(Meminfo::parse("").0, Meminfo::default());
    }
}
