//! `/proc/vmstat`: counters of the memory management since the start, see proc_vmstat(5).

use std::collections::BTreeMap;

use super::Malformed;

/// The counters this server uses. Kernels built without `VM_EVENT_COUNTERS` have none of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vmstat {
    /// `oom_kill`: processes killed for want of memory, in cgroups too, since Linux 4.13.
    pub oom_kill: Option<u64>,
    /// `pgfault`: page faults.
    pub pgfault: Option<u64>,
    /// `pgmajfault`: page faults that had to read a disk.
    pub pgmajfault: Option<u64>,
    /// `pgpgin`: bytes read from block devices.
    pub pgpgin: Option<u64>,
    /// `pgpgout`: bytes written to block devices.
    pub pgpgout: Option<u64>,
    /// `pswpin`: pages read from swap, if the kernel can swap.
    pub pswpin: Option<u64>,
    /// `pswpout`: pages written to swap, if the kernel can swap.
    pub pswpout: Option<u64>,
    /// `allocstall`, or since Linux 4.10 the sum of `allocstall_*`: allocations that had to wait for memory to be freed.
    pub allocstall: Option<u64>,
    /// The counters of paging, swapping and kills by their names, as the kernel writes them: `pgpgin` in KiB, `pswpin` in pages.
    pub paging: BTreeMap<String, u64>,
}

impl Vmstat {
    /// Reads the text of `/proc/vmstat`, and names the first line that makes no sense.
    pub fn parse(text: &str) -> (Self, Option<Malformed>) {
        let (mut vmstat, mut odd) = (Self::default(), None);
        for line in text.lines() {
            if vmstat.take(line).is_none() {
                odd = odd.or_else(|| Some(Malformed::line("vmstat", text, line)));
            }
        }
        (vmstat, odd)
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let (name, count) = line.split_once(' ').unwrap_or((line, ""));
        if is_paging(name) {
            self.paging.insert(name.to_owned(), count.trim_end().parse().ok()?);
        }
        let (counter, unit) = match name {
            "oom_kill" => (&mut self.oom_kill, 1),
            "pgfault" => (&mut self.pgfault, 1),
            "pgmajfault" => (&mut self.pgmajfault, 1),
            "pgpgin" => (&mut self.pgpgin, 1024),
            "pgpgout" => (&mut self.pgpgout, 1024),
            "pswpin" => (&mut self.pswpin, 1),
            "pswpout" => (&mut self.pswpout, 1),
            _ if name.starts_with("allocstall") => (&mut self.allocstall, 1),
            _ => return Some(()),
        };
        let count = count.trim_end().parse::<u64>().ok()?.saturating_mul(unit);
        *counter = Some(counter.unwrap_or(0).saturating_add(count));
        Some(())
    }
}

/// Whether the name is one of a counter that tells of paging, swapping or kills.
fn is_paging(name: &str) -> bool {
    let is_fault = name.strip_prefix("pg").is_some_and(|rest| rest.contains("fault"));
    is_fault || ["oom_kill", "pgpg", "pswp"].iter().any(|kind| name.starts_with(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Position;

    #[test]
    fn stalls_of_all_zones_are_added_up() {
        let text =
            "nr_free_pages 5\npgpgin 2\nallocstall_dma 0\nallocstall_normal 3\nallocstall_movable 4\noom_kill 1\n";
        let (vmstat, _) = Vmstat::parse(text);
        let paging = BTreeMap::from([("oom_kill".to_owned(), 1), ("pgpgin".to_owned(), 2)]);
        let expected =
            Vmstat { oom_kill: Some(1), pgpgin: Some(2048), allocstall: Some(7), paging, ..Vmstat::default() };
        assert_eq!(vmstat, expected);
    }

    #[test]
    fn old_kernels_have_no_oom_kill() {
        assert_eq!(Vmstat::parse("pgfault 9\nallocstall 2\n").0.oom_kill, None);
    }

    #[test]
    fn a_counter_that_is_no_number_is_named() {
        let (vmstat, odd) = Vmstat::parse("pgfault many\noom_kill 1\n");
        assert_eq!((vmstat.oom_kill, odd.unwrap().position), (Some(1), Position::Line(1)));
    }
}
