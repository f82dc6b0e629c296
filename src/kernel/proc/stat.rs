//! `/proc/stat`, see proc_stat(5). Under lxcfs the CPU times are the container's, most of the rest is
//! the host's.

use std::collections::BTreeMap;

use super::Malformed;

/// What the machine did since it started. A line that is missing or makes no sense is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stat {
    /// `cpu`: all CPUs together.
    pub cpu: Option<Times>,
    /// `cpuN` by its number. Offline CPUs are missing, so numbers may skip.
    pub cpus: BTreeMap<u32, Times>,
    /// `intr`: interrupts served, all kinds together.
    pub interrupts: Option<u64>,
    /// `ctxt`: context switches.
    pub context_switches: Option<u64>,
    /// `btime`: when the machine started, in seconds since 1970.
    pub boot_time: Option<u64>,
    /// `processes`: processes and threads ever created.
    pub forks: Option<u64>,
    /// `procs_running`: threads that run or want to.
    pub running: Option<u64>,
    /// `procs_blocked`: threads that wait for I/O.
    pub blocked: Option<u64>,
}

/// CPU time by use, in clock ticks (`AT_CLKTCK`, 100 a second nearly everywhere).
///
/// The fields that came later are 0 on kernels before them, which truly spent nothing there: such a kernel counts that
/// time under `idle`, `system` or `user`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// Programs, guests included.
    pub user: u64,
    /// Programs of low priority, such guests included.
    pub nice: u64,
    /// The kernel.
    pub system: u64,
    /// Nothing to do.
    pub idle: u64,
    /// Nothing to do but wait for I/O, since Linux 2.5.41; a hint, not a measure.
    pub iowait: u64,
    /// Interrupts, since Linux 2.6.0.
    pub irq: u64,
    /// Soft interrupts, since Linux 2.6.0.
    pub softirq: u64,
    /// Wanted, but another virtual machine had the CPU, since Linux 2.6.11.
    pub steal: u64,
    /// Guests' share of `user`, since Linux 2.6.24.
    pub guest: u64,
    /// Guests' share of `nice`, since Linux 2.6.33.
    pub guest_nice: u64,
}

impl Times {
    /// Ticks in which the CPU was in use or stolen. Guests stand in `user` and `nice` already.
    pub fn busy(&self) -> u64 {
        let parts = [self.user, self.nice, self.system, self.irq, self.softirq, self.steal];
        parts.into_iter().fold(0, u64::saturating_add)
    }

    /// All ticks.
    pub fn total(&self) -> u64 {
        self.busy().saturating_add(self.idle).saturating_add(self.iowait)
    }

    fn parse(columns: &str) -> Option<Self> {
        let mut columns = columns.split_ascii_whitespace().map(|column| column.parse::<u64>().ok());
        let [user, nice, system, idle] = [columns.next()??, columns.next()??, columns.next()??, columns.next()??];
        let mut late = || columns.next().unwrap_or(Some(0));
        Some(Self {
            user,
            nice,
            system,
            idle,
            iowait: late()?,
            irq: late()?,
            softirq: late()?,
            steal: late()?,
            guest: late()?,
            guest_nice: late()?,
        })
    }
}

impl Stat {
    /// Reads the text of `/proc/stat`, and names the first line that makes no sense.
    pub fn parse(text: &str) -> (Self, Option<Malformed>) {
        let (mut stat, mut odd) = (Self::default(), None);
        for line in text.lines() {
            if stat.take(line).is_none() {
                odd = odd.or_else(|| Some(Malformed::line("stat", text, line)));
            }
        }
        if stat.cpu.is_none() {
            odd = odd.or_else(|| Some(Malformed::field("stat", "cpu")));
        }
        (stat, odd)
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let (name, columns) = line.split_once(' ').unwrap_or((line, ""));
        let count = || columns.split_ascii_whitespace().next()?.parse::<u64>().ok();
        let counter = match name {
            "cpu" => {
                self.cpu = Some(Times::parse(columns)?);
                return Some(());
            }
            "intr" => &mut self.interrupts,
            "ctxt" => &mut self.context_switches,
            "btime" => &mut self.boot_time,
            "processes" => &mut self.forks,
            "procs_running" => &mut self.running,
            "procs_blocked" => &mut self.blocked,
            _ => {
                if let Some(Ok(number)) = name.strip_prefix("cpu").map(str::parse) {
                    self.cpus.insert(number, Times::parse(columns)?);
                }
                return Some(());
            }
        };
        *counter = Some(count()?);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Position;

    const REST: &str = "\
intr 114930548 113199788 3 0 5
ctxt 1990473
btime 1062191376
processes 2915
procs_running 1
procs_blocked 0
softirq 183433 0 21755 12 39 1137 231 21459 2263
";

    #[test]
    fn numbers_of_cpus_may_skip() {
        let text = format!("cpu  6 0 0 0 0 0 0 0 0 0\ncpu0 4 0 0 0 0 0 0 0 0 0\ncpu7 2 0 0 0 0 0 0 0 0 0\n{REST}");
        let (stat, odd) = Stat::parse(&text);
        assert_eq!(odd, None);
        assert_eq!(stat.cpus.iter().map(|(cpu, times)| (*cpu, times.user)).collect::<Vec<_>>(), [(0, 4), (7, 2)]);
        assert_eq!((stat.interrupts, stat.boot_time, stat.forks), (Some(114930548), Some(1062191376), Some(2915)));
    }

    #[test]
    fn guests_are_counted_once() {
        let text = format!("cpu  100 20 3 1000 50 4 5 6 90 10\n{REST}");
        let cpu = Stat::parse(&text).0.cpu.unwrap();
        assert_eq!((cpu.busy(), cpu.total()), (138, 1188));
    }

    #[test]
    fn columns_that_came_later_are_zero_before() {
        let text = format!("cpu  10132153 290696 3084719 46828483\n{REST}");
        let cpu = Stat::parse(&text).0.cpu.unwrap();
        assert_eq!((cpu.system, cpu.iowait, cpu.guest_nice), (3084719, 0, 0));
    }

    #[test]
    fn lxcfs_gives_two_blanks_and_its_own_cpus() {
        let text = format!("cpu  5 0 7 11 0 0 0 0 0 0\ncpu0 5 0 7 11 0 0 0 0 0 0\n{REST}");
        assert_eq!(Stat::parse(&text).0.cpus.len(), 1);
    }

    #[test]
    fn an_odd_line_costs_its_figure_and_is_named() {
        let text = format!(
            "cpu  6 0 0 0\ncpu0 1 2 x 4\ncpu1 1 2 3 4\nprocs_running -1\n{}",
            REST.replace("procs_running 1\n", "")
        );
        let (stat, odd) = Stat::parse(&text);
        assert_eq!((stat.cpus.len(), stat.running, stat.blocked), (1, None, Some(0)));
        assert_eq!(odd.unwrap().position, Position::Line(2));
        assert_eq!(Stat::parse("").1.unwrap().position, Position::Field("cpu"));
    }

    #[test]
    fn absurd_times_do_not_overflow() {
        let times = Times { user: u64::MAX, idle: u64::MAX, ..Times::default() };
        assert_eq!(times.total(), u64::MAX);
    }
}
