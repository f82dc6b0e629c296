//! `/proc/diskstats`, see the kernel's admin-guide/iostats.rst. Partitions stand among the disks.

use super::Malformed;

/// What one block device did since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Device number, major.
    pub major: u32,
    /// Device number, minor.
    pub minor: u32,
    /// The kernel's name: `sda`, `nvme0n1p2`. A `/` in it, as in `cciss/c0d0`, is written `!` in /sys only.
    pub name: String,
    /// Reads.
    pub reads: Operations,
    /// Writes.
    pub writes: Operations,
    /// Requests under way now; the only figure here that falls.
    pub in_flight: u64,
    /// Milliseconds in which anything was under way.
    pub busy_ms: u64,
    /// Milliseconds under way, summed over all requests.
    pub weighted_ms: u64,
    /// Discards, since Linux 4.18.
    pub discards: Option<Operations>,
    /// Flushes, since Linux 5.5.
    pub flushes: Option<Flushes>,
}

/// Counters of one kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operations {
    /// Requests done.
    pub completed: u64,
    /// Requests joined to a neighbour before they were sent.
    pub merged: u64,
    /// Bytes; the kernel counts sectors of 512, whatever the disk's own.
    pub bytes: u64,
    /// Milliseconds they took, summed over all requests.
    pub ms: u64,
}

/// Counters of flushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flushes {
    /// Requests done.
    pub completed: u64,
    /// Milliseconds they took, summed over all requests.
    pub ms: u64,
}

/// Reads the text of `/proc/diskstats`, without the lines that make no sense; the first of these stands beside it.
pub fn parse(text: &str) -> (Vec<Disk>, Option<Malformed>) {
    let mut odd = None;
    let lines = text.lines().filter(|line| !line.trim_ascii().is_empty());
    let disks = lines.filter_map(|line| {
        let disk = Disk::parse(line);
        if disk.is_none() && odd.is_none() {
            odd = Some(Malformed::line("diskstats", text, line));
        }
        disk
    });
    (disks.collect(), odd)
}

impl Disk {
    /// Reads and writes done.
    pub fn requests(&self) -> u64 {
        self.reads.completed.saturating_add(self.writes.completed)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut columns = line.split_ascii_whitespace();
        let major = columns.next()?.parse().ok()?;
        let minor = columns.next()?.parse().ok()?;
        let name = columns.next()?.to_owned();
        let mut counts = columns.map_while(|column| column.parse().ok());
        Some(Self {
            major,
            minor,
            name,
            reads: Operations::take(&mut counts)?,
            writes: Operations::take(&mut counts)?,
            in_flight: counts.next()?,
            busy_ms: counts.next()?,
            weighted_ms: counts.next()?,
            discards: Operations::take(&mut counts),
            flushes: Flushes::take(&mut counts),
        })
    }
}

impl Operations {
    /// What was never asked for anything.
    pub const NONE: Self = Self { completed: 0, merged: 0, bytes: 0, ms: 0 };

    /// Those of two devices together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            completed: self.completed.saturating_add(other.completed),
            merged: self.merged.saturating_add(other.merged),
            bytes: self.bytes.saturating_add(other.bytes),
            ms: self.ms.saturating_add(other.ms),
        }
    }

    fn take(counts: &mut impl Iterator<Item = u64>) -> Option<Self> {
        Some(Self {
            completed: counts.next()?,
            merged: counts.next()?,
            bytes: counts.next()?.saturating_mul(512),
            ms: counts.next()?,
        })
    }
}

impl Flushes {
    fn take(counts: &mut impl Iterator<Item = u64>) -> Option<Self> {
        Some(Self { completed: counts.next()?, ms: counts.next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Position;

    #[test]
    fn linux_3_has_no_discards() {
        let (disks, _) = parse("   8       0 sda 1 2 3 4 5 6 7 8 9 10 11\n");
        let [disk] = disks.as_slice() else { panic!("{disks:?}") };
        assert_eq!((disk.major, disk.minor, disk.name.as_str()), (8, 0, "sda"));
        assert_eq!(disk.reads, Operations { completed: 1, merged: 2, bytes: 1536, ms: 4 });
        assert_eq!(disk.writes.bytes, 3584);
        assert_eq!((disk.in_flight, disk.busy_ms, disk.weighted_ms), (9, 10, 11));
        assert_eq!((disk.discards, disk.flushes), (None, None));
    }

    #[test]
    fn linux_4_18_has_no_flushes() {
        let (disks, _) = parse(" 259 1 nvme0n1p1 1 2 3 4 5 6 7 8 0 10 11 12 13 14 15\n");
        let discards = Operations { completed: 12, merged: 13, bytes: 14 * 512, ms: 15 };
        assert_eq!((disks[0].discards, disks[0].flushes), (Some(discards), None));
    }

    #[test]
    fn linux_5_5_has_flushes_and_a_later_one_may_have_more() {
        let (disks, odd) = parse(" 8 0 cciss!c0d0 1 2 3 4 5 6 7 8 0 10 11 12 13 14 15 16 17 18\n");
        assert_eq!(odd, None);
        assert_eq!(disks[0].flushes, Some(Flushes { completed: 16, ms: 17 }));
    }

    #[test]
    fn a_line_cut_short_and_one_with_a_number_beyond_64_bits_cost_themselves_alone() {
        let rest = "2 3 4 5 6 7 8 0 10 11";
        let text = format!("8 0 sda 1 2 3\n8 16 sdb 18446744073709551616 {rest}\n8 32 sdc 1 {rest}\n");
        let (disks, odd) = parse(&text);
        assert_eq!(disks.iter().map(|disk| &*disk.name).collect::<Vec<_>>(), ["sdc"]);
        assert_eq!(odd.map(|odd| odd.position), Some(Position::Line(1)));
    }
}
