//! Every process at one moment.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::process::{Resource, getrlimit};

use super::Machine;
use kernel::{
    failure::Failure,
    proc::pid_stat::{PidStat, ProcessState},
    root,
};

/// How long files are held that no scan reads again. Longer is of no use to a client that looks every now and then, for whom opening them
/// anew is nothing, and each takes the kernel about 5 KiB.
const REST: Duration = Duration::from_secs(10);

/// Files held at most, on a machine that lets this process open as many as it likes: 20 MiB of the kernel's memory.
const MOST: usize = 4096;

/// All processes, as `/proc/PID/stat` tells. What a call shows beyond that, their users among it, is read for the rows it shows.
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
    /// The name of its program, cut to 15 bytes by the kernel.
    pub comm: Vec<u8>,
    /// What it does.
    pub state: ProcessState,
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
        let mut held = machine.held.lock();
        let most = most_held(getrlimit(Resource::Nofile).current);
        let scan = held.scan(machine, most);
        // it may be for want of the descriptors that are held here
        let scan = if scan.is_err() { held.scan(machine, 0) } else { scan };
        held.last = Some(Instant::now());
        scan
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

/// The `stat` of processes, open since an earlier scan: reading them again costs half of opening them anew. A file opened for one
/// process never tells of another that has its number later, and what it tells follows exec, so that nothing is remembered of a
/// process here; its owner would be, which is why users are not read this way.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<Files>);

#[derive(Debug, Default)]
struct Files {
    /// By number.
    files: Vec<(u32, root::Held)>,
    last: Option<Instant>,
}

/// How many files a process holds open that may open `limit`. A quarter of them, so that connections and the other tools have the rest.
pub fn most_held(limit: Option<u64>) -> usize {
    limit.map_or(MOST, |limit| usize::try_from(limit / 4).unwrap_or(MOST).min(MOST))
}

impl Held {
    /// Gives all of them back when no scan has come for a while.
    pub(super) fn give_back(&self) {
        self.lock().give_back(REST);
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    fn give_back(&mut self, rest: Duration) {
        if self.last.is_none_or(|last| last.elapsed() >= rest) {
            self.files = vec![];
        }
    }

    /// Reads all processes, and holds the files of `most` of them, those of the lowest numbers: the kernel's own, and what has run for long.
    fn scan(&mut self, machine: &Machine, most: usize) -> Result<Scan, Failure> {
        // whatever ends this early gives them all back
        let mut held = std::mem::take(&mut self.files).into_iter().peekable();
        if most == 0 {
            held.by_ref().for_each(drop);
        }
        let page_size = machine.kernel.page_size();
        let at = machine.kernel.since_boot(&machine.root);
        let proc = machine.root.directory("proc")?;
        // a copy may change below what is held
        let most = if proc.is_procfs() { most } else { 0 };
        let mut pids = Vec::with_capacity(256);
        proc.each(|name| pids.extend(std::str::from_utf8(name).ok().and_then(|name| name.parse::<u32>().ok())))?;
        pids.sort_unstable();
        let mut processes = Vec::with_capacity(pids.len());
        let (mut buffer, mut path) = (Vec::with_capacity(1024), String::with_capacity(16));
        for pid in pids {
            while held.next_if(|(ended, _)| *ended < pid).is_some() {}
            let known = held.next_if(|(number, _)| *number == pid).map(|(_, file)| file);
            // where it cannot be read again, the number may be another process's
            let file = match known.filter(|file| file.read_into(&mut buffer).is_ok()) {
                Some(file) => file,
                None => {
                    path.clear();
                    // writing to a String cannot fail
                    let _ = std::fmt::Write::write_fmt(&mut path, format_args!("{pid}/stat"));
                    match proc.hold(&path, &mut buffer) {
                        Ok(file) => file,
                        // ended meanwhile, or hidden by hidepid
                        Err(Failure::NotFound(_) | Failure::Denied(_)) => continue,
                        Err(other) => return Err(other),
                    }
                }
            };
            if self.files.len() < most {
                self.files.push((pid, file));
            }
            match PidStat::parse(&buffer) {
                Ok(stat) => processes.push(Process::of(pid, &stat, page_size)),
                // one line that makes no sense must not hide all the others
                Err(error) => tracing::warn!(pid, %error, "a process could not be read"),
            }
        }
        Ok(Scan { at, processes })
    }
}

impl Process {
    /// The process `pid`, as its `stat` tells.
    pub fn of(pid: u32, stat: &PidStat<'_>, page_size: u64) -> Self {
        Self {
            pid,
            ppid: stat.ppid,
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
    use std::path::Path;

    use super::*;
    use crate::host::Live;

    fn process(pid: u32, starttime: u64, ticks: u64) -> Process {
        let line = format!(
            "{pid} (a) S 1 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 {starttime} 0 1 0 0 0 0 0 0 0 0 0 0 0 0 0 17 0"
        );
        Process::of(pid, &PidStat::parse(line.as_bytes()).unwrap(), 4096)
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

    fn machine(root: &Path) -> Machine {
        let root = root::Root::open(root).unwrap();
        let kernel = Box::new(Live);
        Machine { root, kernel, remote: Default::default(), held: Default::default(), steady: Default::default() }
    }

    fn held(machine: &Machine) -> Vec<u32> {
        machine.held.lock().files.iter().map(|(pid, _)| *pid).collect()
    }

    /// A process that does nothing, and ends when its input does.
    struct Child(std::process::Child);

    #[expect(clippy::disallowed_types, reason = "a process to be seen")]
    impl Child {
        fn run(script: &str) -> Self {
            let mut command = std::process::Command::new("sh");
            command.args(["-c", script]).stdin(std::process::Stdio::piped());
            Self(command.spawn().unwrap())
        }

        fn end(mut self) -> u32 {
            drop(self.0.stdin.take());
            self.0.wait().unwrap();
            self.0.id()
        }
    }

    #[test]
    fn what_is_held_tells_what_is_now() {
        let machine = machine(Path::new("/"));
        let mut child = Child::run("read go; exec cat");
        let name = |scan: &Scan, pid| scan.get(pid).map(|process| String::from_utf8_lossy(&process.comm).into_owned());
        let pid = child.0.id();
        // sh itself is exec'd by the child that std forks
        while name(&Scan::take(&machine).unwrap(), pid).as_deref() != Some("sh") {}
        assert!(held(&machine).contains(&pid));
        std::io::Write::write_all(child.0.stdin.as_mut().unwrap(), b"go\n").unwrap();
        while name(&Scan::take(&machine).unwrap(), pid).as_deref() != Some("cat") {}
        assert!(held(&machine).contains(&pid));
        child.end();
        assert_eq!(Scan::take(&machine).unwrap().get(pid), None);
        assert!(!held(&machine).contains(&pid));
    }

    #[test]
    fn a_held_file_never_tells_of_another_process_that_has_the_number() {
        let machine = machine(Path::new("/"));
        let child = Child::run("read go");
        let (ours, theirs) = (std::process::id(), child.0.id());
        Scan::take(&machine).unwrap();
        child.end();
        // as if our number had been the child's when it was opened
        {
            let files = &mut machine.held.lock().files;
            let of = |files: &[(u32, root::Held)], number| files.iter().position(|(pid, _)| *pid == number).unwrap();
            let (_, ended) = files.remove(of(files, theirs));
            assert!(ended.read_into(&mut vec![]).is_err());
            let place = of(files, ours);
            files[place].1 = ended;
        }
        let scan = Scan::take(&machine).unwrap();
        let plain = Files::default().scan(&machine, 0).unwrap();
        assert!(scan.same(plain.get(ours).unwrap()).is_some());
        assert!(
            machine.held.lock().files.iter().all(|(pid, file)| *pid != ours || file.read_into(&mut vec![]).is_ok())
        );
    }

    #[test]
    fn no_more_are_held_than_may_be_and_all_are_seen() {
        let machine = machine(Path::new("/"));
        let mut files = Files::default();
        assert!(files.scan(&machine, 1).unwrap().get(std::process::id()).is_some());
        assert_eq!(files.files.len(), 1);
        assert!(files.scan(&machine, 0).unwrap().get(std::process::id()).is_some());
        assert!(files.files.is_empty());
        assert_eq!((most_held(Some(1024)), most_held(Some(1 << 20)), most_held(None)), (256, MOST, MOST));
    }

    #[test]
    fn what_no_scan_reads_again_is_given_back() {
        let machine = machine(Path::new("/"));
        Scan::take(&machine).unwrap();
        machine.held.give_back();
        assert!(!held(&machine).is_empty());
        machine.held.lock().give_back(Duration::ZERO);
        assert!(held(&machine).is_empty());
    }

    #[test]
    fn nothing_of_a_copy_is_held() {
        let copy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/machines/vm");
        let machine = machine(&copy);
        assert!(Scan::take(&machine).unwrap().get(1).is_some());
        assert!(held(&machine).is_empty());
    }
}
