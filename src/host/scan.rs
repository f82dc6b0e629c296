//! Every process at one moment.

use std::time::Duration;

use super::Machine;
use crate::{
    failure::Failure,
    proc::pid_stat::{PidStat, State},
};

/// All processes, as `/proc/PID/stat` and the owner of that file tell. What a call shows beyond that is read for the rows it shows.
#[derive(Debug)]
pub struct Scan {
    /// When, since boot.
    pub at: Duration,
    /// The processes, by number.
    pub processes: Vec<Process>,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its parent's.
    pub ppid: u32,
    /// The effective user, who owns its files in proc (root, where it may not be dumped).
    pub uid: u32,
    /// The name of its program, cut to 15 bytes by the kernel.
    pub comm: Vec<u8>,
    /// What it does.
    pub state: State,
    /// Whether it is a thread of the kernel's.
    pub is_kernel_thread: bool,
    /// CPU time in user and kernel mode, in ticks.
    pub ticks: u64,
    /// When it began, in ticks since boot.
    pub starttime: u64,
    /// Resident memory in bytes, as the kernel counts it without locking: off by some pages a thread.
    pub resident: u64,
    /// Its threads.
    pub threads: u32,
    /// Its nice value.
    pub nice: i32,
}

impl Scan {
    /// Reads them. A process that ends meanwhile is left out.
    pub fn take(machine: &Machine) -> Result<Self, Failure> {
        let page_size = machine.kernel.page_size();
        let at = machine.kernel.since_boot(&machine.root);
        let proc = machine.root.directory("proc")?;
        let mut pids = Vec::with_capacity(256);
        proc.each(|name| pids.extend(std::str::from_utf8(name).ok().and_then(|name| name.parse::<u32>().ok())))?;
        pids.sort_unstable();
        let mut processes = Vec::with_capacity(pids.len());
        let (mut buffer, mut path) = (Vec::with_capacity(1024), String::with_capacity(16));
        for pid in pids {
            path.clear();
            // writing to a String cannot fail
            let _ = std::fmt::Write::write_fmt(&mut path, format_args!("{pid}/stat"));
            let file = match proc.read_into(&path, &mut buffer) {
                Ok(file) => file,
                // ended meanwhile, or hidden by hidepid
                Err(Failure::NotFound(_) | Failure::Denied(_)) => continue,
                Err(other) => return Err(other),
            };
            let stat = match PidStat::parse(&buffer) {
                Ok(stat) => stat,
                // one line that makes no sense must not hide all the others
                Err(error) => {
                    tracing::warn!(pid, %error, "a process could not be read");
                    continue;
                }
            };
            processes.push(Process::of(pid, file.st_uid, &stat, page_size));
        }
        Ok(Self { at, processes })
    }

    /// The process of this number.
    pub fn get(&self, pid: u32) -> Option<&Process> {
        let place = self.processes.binary_search_by_key(&pid, |process| process.pid).ok()?;
        self.processes.get(place)
    }

    /// The same process in this scan: the number may have gone to another meanwhile.
    pub fn same(&self, process: &Process) -> Option<&Process> {
        self.get(process.pid).filter(|found| found.starttime == process.starttime)
    }
}

impl Process {
    /// The process `pid` of the user `uid`, as its `stat` tells.
    pub fn of(pid: u32, uid: u32, stat: &PidStat<'_>, page_size: u64) -> Self {
        Self {
            pid,
            ppid: stat.ppid,
            uid,
            comm: stat.comm.to_vec(),
            state: stat.state,
            is_kernel_thread: stat.is_kernel_thread(),
            ticks: stat.utime.saturating_add(stat.stime),
            starttime: stat.starttime,
            resident: stat.rss.saturating_mul(page_size),
            threads: stat.threads,
            nice: stat.nice,
        }
    }

    /// How old it is at `at` since boot. `None`: it began after that, which means that `at` is counted from another start (a
    /// container's).
    pub fn age(&self, at: Duration, ticks_per_second: u64) -> Option<Duration> {
        let ticks_per_second = ticks_per_second.max(1);
        let started = Duration::from_secs(self.starttime / ticks_per_second)
            + Duration::from_secs(self.starttime % ticks_per_second) / u32::try_from(ticks_per_second).ok()?;
        match at.checked_sub(started) {
            None if started.saturating_sub(at) < Duration::from_secs(1) => Some(Duration::ZERO),
            age => age,
        }
    }

    /// CPU time by time gone by, in units of one core, between `earlier` and `at`; since its start, if it was not there then.
    pub fn cpu_ratio(&self, at: Duration, earlier: Option<&Scan>, ticks_per_second: u64) -> Option<f64> {
        let before = earlier.and_then(|earlier| Some((earlier.at, earlier.same(self)?.ticks)));
        let (ticks, window) = match before {
            Some((then, ticks)) => (self.ticks.saturating_sub(ticks), at.checked_sub(then)?),
            None => (self.ticks, self.age(at, ticks_per_second)?),
        };
        // a start is known to the tick
        let tick = 1.0 / ticks_per_second.max(1) as f64;
        Some(ticks as f64 * tick / window.as_secs_f64().max(tick))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, starttime: u64, ticks: u64) -> Process {
        let line = format!(
            "{pid} (a) S 1 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 {starttime} 0 1 0 0 0 0 0 0 0 0 0 0 0 0 0 17 0"
        );
        Process::of(pid, 0, &PidStat::parse(line.as_bytes()).unwrap(), 4096)
    }

    fn scan(seconds: u64, processes: &[Process]) -> Scan {
        Scan { at: Duration::from_secs(seconds), processes: processes.to_vec() }
    }

    #[test]
    fn cpu_is_counted_from_the_earlier_scan_or_else_from_the_start() {
        let (at, earlier) = (Duration::from_secs(110), scan(100, &[process(7, 1000, 50)]));
        assert_eq!(process(7, 1000, 550).cpu_ratio(at, Some(&earlier), 100), Some(0.5));
        assert_eq!(process(7, 1000, 550).cpu_ratio(at, None, 100), Some(0.055));
    }

    #[test]
    fn a_number_given_to_another_process_is_not_the_same_process() {
        let (at, earlier) = (Duration::from_secs(110), scan(100, &[process(7, 1000, 50)]));
        assert_eq!(process(7, 10_500, 100).cpu_ratio(at, Some(&earlier), 100), Some(0.2));
    }

    #[test]
    fn one_born_this_instant_has_no_endless_ratio() {
        assert_eq!(process(7, 1001, 1).cpu_ratio(Duration::from_secs(10), None, 100), Some(1.0));
    }

    #[test]
    fn a_start_before_the_clock_began_leaves_age_and_ratio_unknown() {
        let old = process(7, 100_000, 1);
        assert_eq!(
            (old.age(Duration::from_secs(10), 100), old.cpu_ratio(Duration::from_secs(10), None, 100)),
            (None, None)
        );
    }
}
