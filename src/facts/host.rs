//! What every tool is given: the machine, its counters over time, and nothing global.

mod history;
mod kernel;
mod meter;
mod place;
mod recorded;
mod remote;
mod sample;
mod scan;
mod slow;
mod steady;
mod throttle;

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

pub use history::{Covered, History, Summary};
pub use kernel::{Kernel, Live, Statfs};
pub use meter::{Meter, Totals};
pub use place::{Container, Limits, Place, Whose, mounts};
pub use sample::{Sample, Window};
pub use scan::{Process, Scan, most_held};
pub use slow::Devices;

use crate::gap::Reader;
use ::kernel::{
    failure::Failure,
    proc::{meminfo::Meminfo, pid_cgroup::PidCgroup},
    root::Root,
};
use engine::Docker;
use jail::Jail;
use lanes::threads::Threads;

/// Readings that go on at the same time for all callers and the server itself: a sample, a scan, the sampler's, and whether the kernel's
/// files can be read.
const READINGS: usize = 4;

/// How often the counters are sampled.
pub const TICK: Duration = Duration::from_secs(5);

/// The shortest time over which a rate says anything: two clock ticks in a hundred are 2 %.
pub const SHORTEST_WINDOW: Duration = Duration::from_millis(500);

/// How old a scan of the processes may be from which "now" is counted.
pub const RECENT: Duration = Duration::from_secs(10);

/// How long what was just read is as good as new.
const FRESH: Duration = Duration::from_millis(250);

/// A machine: its files, and what no file tells.
#[derive(Debug)]
pub struct Machine {
    /// The kernel's files.
    pub root: Root,
    /// What no tree of files can answer.
    pub kernel: Box<dyn Kernel>,
    remote: remote::Remote,
    held: scan::Held,
    steady: steady::Steady,
}

impl Machine {
    /// The machine whose `/` is at `root`, on this kernel.
    pub fn at(root: &Path) -> io::Result<Self> {
        let root = Root::open(root)?;
        let kernel = Box::new(Live);
        Ok(Self { root, kernel, remote: Default::default(), held: Default::default(), steady: Default::default() })
    }

    /// The figures of the filesystem at a mount point. `remote` ones are asked on a thread of their own, for a second at most: a dead
    /// server would otherwise keep the caller forever.
    pub fn statfs(self: &Arc<Self>, mount_point: &[u8], remote: bool) -> io::Result<Statfs> {
        if remote { self.remote.ask(self, mount_point) } else { self.kernel.statfs(&self.root, mount_point) }
    }
}

/// What is answered before there are two samples to make rates from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// Half a second later what was asked for: where the first call is the only one, or has just started this process.
    Waits,
    /// At once what is known, with no rates: where another call can follow.
    Comes,
}

/// The machine a tool acts on, with its recent past.
#[derive(Clone, Debug)]
pub struct Host {
    inner: Arc<Inner>,
    docker: Docker,
    jail: Jail,
}

#[derive(Debug)]
struct Inner {
    machine: Arc<Machine>,
    past: Mutex<Past>,
    now: tokio::sync::Mutex<Option<(Instant, Arc<Sample>)>>,
    scans: tokio::sync::Mutex<Scans>,
    threads: Threads,
    /// The two samples and the two scans are all there will ever be.
    still: bool,
    first: First,
}

#[derive(Debug, Default)]
struct Past {
    /// The last three samples of the sampler, oldest first.
    samples: Vec<Arc<Sample>>,
    history: History,
}

#[derive(Debug, Default)]
struct Scans {
    /// The youngest, and when it was made.
    last: Option<(Instant, Arc<Scan>)>,
    /// The one its rates are counted from.
    before: Option<Arc<Scan>>,
}

impl Host {
    /// The machine whose `/` is at `root`. A directory with a `machine.ron` in it is a recorded machine, which stands still.
    pub fn open(root: &Path, first: First) -> io::Result<Self> {
        if let Some(recorded) = recorded::Recorded::find(root)? {
            return recorded.open(root);
        }
        let machine = Machine::at(root)?;
        if !machine.root.exists("proc") {
            // in a container this is the mount that was forgotten, and every answer would be "unknown"
            let why = "it holds no proc; mount the machine's / there, or its /proc and /sys below it";
            return Err(io::Error::new(io::ErrorKind::NotFound, why));
        }
        Ok(Self::of(machine, false, first))
    }

    fn of(machine: Machine, still: bool, first: First) -> Self {
        let inner = Inner {
            machine: Arc::new(machine),
            past: Mutex::default(),
            now: tokio::sync::Mutex::default(),
            scans: tokio::sync::Mutex::default(),
            threads: Threads::new("host", READINGS),
            still,
            first,
        };
        Self { inner: Arc::new(inner), docker: Docker::none(), jail: Jail::closed() }
    }

    /// The same machine, of which callers may see these directories.
    pub fn with_jail(self, jail: Jail) -> Self {
        Self { jail, ..self }
    }

    /// The directories that callers may see.
    pub fn jail(&self) -> &Jail {
        &self.jail
    }

    /// The same machine, whose Docker Engine is this one. A recorded machine has none.
    pub fn with_docker(self, docker: Docker) -> Self {
        if self.inner.still { self } else { Self { docker, ..self } }
    }

    /// Its Docker Engine.
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// The machine itself.
    pub fn machine(&self) -> &Machine {
        &self.inner.machine
    }

    /// The machine's host name.
    pub fn name(&self) -> String {
        let machine = self.machine();
        let files = if machine.root.is_live() {
            ["proc/sys/kernel/hostname", "etc/hostname"]
        } else {
            // the kernel's would be that of the container we run in
            ["etc/hostname", "proc/sys/kernel/hostname"]
        };
        files.iter().find_map(|file| machine.root.word(file).ok().flatten()).unwrap_or_else(|| "unknown".to_owned())
    }

    /// The machine's time of day, in RFC 3339, UTC, to the second.
    pub fn time(&self) -> String {
        humantime::format_rfc3339_seconds(self.machine().kernel.wall()).to_string()
    }

    /// Runs a blocking read of the kernel's files on a thread that the host has for what all callers share, and the server itself needs.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Arc<Machine>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let machine = Arc::clone(&self.inner.machine);
        self.inner.threads.read(move || read(&machine)).await?
    }

    /// Runs a blocking read on one of these threads.
    pub async fn read_on<T: Send + 'static>(
        &self,
        threads: &Threads,
        read: impl FnOnce(&Arc<Machine>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let machine = Arc::clone(&self.inner.machine);
        threads.run(move || read(&machine)).await?
    }

    /// The counters of now and those of a while ago, from which a tool makes its rates. In the first half second of this process there
    /// are none of a while ago: then [`First`] says whether the caller waits for them, or has a window of no length and so no rates.
    pub async fn window(&self) -> Result<Window, Failure> {
        let mut slot = self.inner.now.lock().await;
        let mut now = self.now(&mut slot).await?;
        if self.past().samples.is_empty() {
            self.past().keep(Arc::clone(&now));
        }
        loop {
            let earlier = self.past().before(now.at);
            match earlier {
                Some(earlier) => return Ok(Window { earlier, now }),
                // no time passes, and there are no rates; on a still machine there never will be
                None if self.inner.still || self.inner.first == First::Comes => {
                    return Ok(Window { earlier: Arc::clone(&now), now });
                }
                None => {
                    tokio::time::sleep(SHORTEST_WINDOW).await;
                    *slot = None;
                    now = self.now(&mut slot).await?;
                }
            }
        }
    }

    async fn now(&self, slot: &mut Option<(Instant, Arc<Sample>)>) -> Result<Arc<Sample>, Failure> {
        if let Some((read, sample)) = slot
            && (self.inner.still || read.elapsed() < FRESH)
        {
            return Ok(Arc::clone(sample));
        }
        let began = Instant::now();
        let sample = Arc::new(self.read(|machine| Ok(Sample::take(machine))).await?);
        *slot = Some((began, Arc::clone(&sample)));
        Ok(sample)
    }

    /// All processes.
    pub async fn scan(&self) -> Result<Arc<Scan>, Failure> {
        self.scanned(&mut *self.inner.scans.lock().await).await
    }

    /// All processes now, and a scan of at least 250 ms and at most [`RECENT`] before, so that what each used of a CPU is what it uses now.
    /// Without such a scan two are made, [`SHORTEST_WINDOW`] apart. On a recorded machine the second one is what was recorded, if anything.
    pub async fn processes(&self) -> Result<(Arc<Scan>, Option<Arc<Scan>>), Failure> {
        let mut scans = self.inner.scans.lock().await;
        let now = self.scanned(&mut scans).await?;
        let is_recent = |earlier: &Arc<Scan>| self.inner.still || now.at.saturating_sub(earlier.at) <= RECENT;
        if let Some(earlier) = scans.before.clone().filter(is_recent) {
            return Ok((now, Some(earlier)));
        }
        if self.inner.still {
            return Ok((now, None));
        }
        drop(scans);
        tokio::time::sleep(SHORTEST_WINDOW).await;
        Ok((self.scan().await?, Some(now)))
    }

    /// The youngest scan, if it is as good as new, or another one.
    async fn scanned(&self, scans: &mut Scans) -> Result<Arc<Scan>, Failure> {
        if let Some((read, last)) = &scans.last
            && (self.inner.still || read.elapsed() < FRESH)
        {
            return Ok(Arc::clone(last));
        }
        let began = Instant::now();
        let scan = Arc::new(self.read(|machine| Scan::take(machine)).await?);
        if let Some((_, last)) = scans.last.replace((began, Arc::clone(&scan))) {
            scans.before = Some(last);
        }
        Ok(scan)
    }

    /// What the sampler has kept, for as long as `look` takes.
    pub fn history<T>(&self, look: impl FnOnce(&History) -> T) -> T {
        look(&self.past().history)
    }

    /// Samples the counters: at once, after half a second, then every [`TICK`], until dropped, and gives back what scans hold that no
    /// longer come. A recorded machine has been sampled already.
    pub async fn sample_forever(&self) {
        if self.inner.still {
            return std::future::pending().await;
        }
        self.sample().await;
        tokio::time::sleep(SHORTEST_WINDOW).await;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            self.sample().await;
        }
    }

    async fn sample(&self) {
        let sample = self.read(|machine| {
            machine.held.give_back();
            Ok(Sample::take(machine))
        });
        match sample.await {
            Ok(sample) => self.past().keep(Arc::new(sample)),
            Err(failure) => {
                let why = std::error::Error::source(&failure).map_or_else(|| failure.to_string(), ToString::to_string);
                tracing::warn!(why, "the counters could not be sampled");
            }
        }
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.inner.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Past {
    fn keep(&mut self, sample: Arc<Sample>) {
        if let Some(earlier) = self.samples.last() {
            let window = Window { earlier: Arc::clone(earlier), now: Arc::clone(&sample) };
            // a call may have sampled a moment before the sampler did: two clock ticks are no rate
            if is_long_enough(sample.at.saturating_sub(earlier.at)) {
                self.history.push(sample.at, &window.series());
            }
        }
        if self.samples.len() == 3 {
            self.samples.remove(0);
        }
        self.samples.push(sample);
    }

    /// The youngest sample that is old enough to count from.
    fn before(&self, now: Duration) -> Option<Arc<Sample>> {
        self.samples.iter().rev().find(|sample| is_long_enough(now.saturating_sub(sample.at))).cloned()
    }
}

/// A timer may be early by a little.
fn is_long_enough(window: Duration) -> bool {
    window >= SHORTEST_WINDOW - Duration::from_millis(20)
}

/// The memory that this process may use, in bytes, whatever machine it looks at: the least of what its cgroups allow and of what the machine,
/// or the container by its `/proc/meminfo`, has.
pub fn own_memory() -> Option<u64> {
    let machine = Machine::at(Path::new("/")).ok()?;
    let membership = machine.root.bytes("proc/self/cgroup").ok().and_then(|bytes| PidCgroup::parse(&bytes).ok());
    let allowed = membership.and_then(|own| Limits::of(&Reader::new(&machine.root), &own).memory);
    let there = machine.root.text("proc/meminfo").ok().and_then(|text| Meminfo::parse(&text).0.total);
    allowed.into_iter().chain(there).min()
}

/// How long ago `then` was on the machine's clock; zero for a time to come.
pub fn ago(now: SystemTime, then: SystemTime) -> Duration {
    now.duration_since(then).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_can_ask_again_has_the_first_answer_at_once_and_without_rates() {
        let host = Host::open(Path::new("/"), First::Comes).unwrap();
        let window = host.window().await.unwrap();
        assert_eq!((window.seconds(), window.per_second(1, 9)), (0.0, None));
        assert_eq!(window.cpu_ratio(|times| times.busy()), None);
        // and rates as soon as there can be any
        tokio::time::sleep(SHORTEST_WINDOW).await;
        assert!(host.window().await.unwrap().seconds() > 0.4);
    }

    #[tokio::test]
    async fn busy_is_what_a_process_does_now_and_not_since_a_scan_of_long_ago() {
        let host = Host::open(Path::new("/"), First::Comes).unwrap();
        let window = |(now, earlier): (Arc<Scan>, Option<Arc<Scan>>)| now.at - earlier.unwrap().at;
        // no scan was made before: two are
        let first = host.processes().await.unwrap();
        assert!(Arc::ptr_eq(&host.inner.scans.lock().await.last.as_ref().unwrap().1, &first.0));
        assert!(window(first) >= FRESH);
        // one of long ago does not count
        let mut old = Scan::take(host.machine()).unwrap();
        old.at = old.at.saturating_sub(RECENT * 2);
        host.inner.scans.lock().await.before = Some(Arc::new(old));
        assert!(window(host.processes().await.unwrap()) >= FRESH);
        // and nobody waits for a second one who only counts them
        let counted = host.scan().await.unwrap();
        assert!(counted.get(std::process::id()).is_some());
    }

    #[tokio::test]
    async fn who_asks_once_waits_for_rates() {
        let host = Host::open(Path::new("/"), First::Waits).unwrap();
        assert!(host.window().await.unwrap().seconds() > 0.4);
    }
}
