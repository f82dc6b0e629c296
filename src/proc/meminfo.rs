//! `/proc/meminfo`, see proc_meminfo(5). Under lxcfs the figures are the container's.

use super::{Malformed, kibibytes};

/// The machine's memory. Sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meminfo {
    /// `MemTotal`: RAM the kernel can use.
    pub total: u64,
    /// `MemFree`: RAM nobody uses, not even as a cache.
    pub free: u64,
    /// `MemAvailable`: what new programs could get without swapping, since Linux 3.14.
    pub available: Option<u64>,
    /// `Buffers`: the page cache of block devices.
    pub buffers: u64,
    /// `Cached`: the page cache of files, tmpfs and shared memory included.
    pub cached: u64,
    /// `SwapCached`: in RAM and still in swap too.
    pub swap_cached: u64,
    /// `SReclaimable`: the part of `slab` the kernel can give back, since Linux 2.6.19.
    pub reclaimable: Option<u64>,
    /// `Slab`: the kernel's own objects.
    pub slab: u64,
    /// `Shmem`: tmpfs and shared memory, since Linux 2.6.32.
    pub shmem: Option<u64>,
    /// `AnonPages`: memory of processes that no file backs.
    pub anon_pages: u64,
    /// `Dirty`: waits to be written to disk.
    pub dirty: u64,
    /// `Writeback`: being written to disk.
    pub writeback: u64,
    /// `SwapTotal`; 0 is a machine without swap.
    pub swap_total: u64,
    /// `SwapFree`.
    pub swap_free: u64,
    /// `CommitLimit`: what may be promised under strict overcommit, since Linux 2.6.10.
    pub commit_limit: Option<u64>,
    /// `Committed_AS`: what is promised.
    pub committed_as: Option<u64>,
    /// The default pool of huge pages, if the kernel was built with hugetlbfs.
    pub huge_pages: Option<HugePages>,
    /// `PageTables`.
    pub page_tables: u64,
    /// `HardwareCorrupted`: taken out of use after memory errors, since Linux 2.6.32 with memory-failure handling.
    pub hardware_corrupted: Option<u64>,
}

/// The default pool of huge pages. Its memory is not part of `free` or `available`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HugePages {
    /// `HugePages_Total`: number of pages.
    pub total: u64,
    /// `HugePages_Free`: number of pages.
    pub free: u64,
    /// `Hugepagesize`: bytes of one page.
    pub size: u64,
}

impl Meminfo {
    /// Reads the text of `/proc/meminfo`.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let bytes = |name: &'static str| {
            let read = |value| kibibytes(value).ok_or_else(|| malformed(name));
            value(name).map(read).transpose()
        };
        let pages = |name: &'static str| {
            let read = |value: &str| value.trim().parse().map_err(|_| malformed(name));
            value(name).map(read).transpose()
        };
        let required = |name: &'static str| bytes(name)?.ok_or_else(|| malformed(name));
        let pool = (pages("HugePages_Total")?, pages("HugePages_Free")?, bytes("Hugepagesize")?);
        let huge_pages = match pool {
            (Some(total), Some(free), Some(size)) => Some(HugePages { total, free, size }),
            _ => None,
        };
        Ok(Self {
            total: required("MemTotal")?,
            free: required("MemFree")?,
            available: bytes("MemAvailable")?,
            buffers: required("Buffers")?,
            cached: required("Cached")?,
            swap_cached: required("SwapCached")?,
            reclaimable: bytes("SReclaimable")?,
            slab: required("Slab")?,
            shmem: bytes("Shmem")?,
            anon_pages: required("AnonPages")?,
            dirty: required("Dirty")?,
            writeback: required("Writeback")?,
            swap_total: required("SwapTotal")?,
            swap_free: required("SwapFree")?,
            commit_limit: bytes("CommitLimit")?,
            committed_as: bytes("Committed_AS")?,
            huge_pages,
            page_tables: required("PageTables")?,
            hardware_corrupted: bytes("HardwareCorrupted")?,
        })
    }
}

fn malformed(name: &'static str) -> Malformed {
    Malformed::field("meminfo", name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Place;

    const LINUX_2_6_32: &str = "\
MemTotal:        2 kB
MemFree:         1 kB
Buffers:         3 kB
Cached:          4 kB
SwapCached:      5 kB
SwapTotal:       6 kB
SwapFree:        7 kB
Dirty:           8 kB
Writeback:       9 kB
AnonPages:      10 kB
Slab:           11 kB
PageTables:     12 kB
";

    #[test]
    fn old_kernels_have_no_available() {
        let meminfo = Meminfo::parse(LINUX_2_6_32).unwrap();
        assert_eq!((meminfo.total, meminfo.available), (2048, None));
        assert_eq!((meminfo.cached, meminfo.swap_cached), (4096, 5120));
        assert_eq!(meminfo.huge_pages, None);
    }

    #[test]
    fn huge_pages_are_counted_not_measured() {
        let text = format!("{LINUX_2_6_32}HugePages_Total: 4\nHugePages_Free: 1\nHugepagesize: 2048 kB\n");
        let huge = Meminfo::parse(&text).unwrap().huge_pages;
        assert_eq!(huge, Some(HugePages { total: 4, free: 1, size: 2 << 20 }));
    }

    #[test]
    fn a_line_without_a_number_is_named() {
        let error = Meminfo::parse("MemTotal: many\n").unwrap_err();
        assert_eq!(error.to_string(), "meminfo: cannot read the field MemTotal");
    }

    #[test]
    fn a_missing_line_is_named() {
        assert_eq!(Meminfo::parse("MemTotal: 2 kB\n").unwrap_err().place, Place::Field("MemFree"));
    }

    #[test]
    fn a_number_too_large_for_bytes_is_refused() {
        assert!(Meminfo::parse("MemTotal: 18446744073709551615 kB\n").is_err());
    }
}
