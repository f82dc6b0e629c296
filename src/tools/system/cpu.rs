//! How busy are the CPUs, with what, and what holds them back?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tool::{Tool, Turn};
use facts::{
    frequency,
    gap::{Gaps, Reader},
    host::{Limits, Machine, Place, Whose, Window},
    temperature, topology,
};
use kernel::{
    failure::Failure,
    proc::{cpuinfo::Cpuinfo, stat::Times},
};
use lanes::lane::Lane;
use rights::scope::Scope;
use text::{page, table::Table};

/// CPU use by kind over the last seconds, load, pressure, limits, frequency and temperature, and how busy each CPU is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cpu {
    /// Show at most this many CPUs, the busiest ones.
    #[serde(default)]
    limit: page::Limit<16, 256>,
}

/// Ratios are of the time of all CPUs together, 0 to 1, over the window.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// Whose the ratios are. Where lxcfs shows a container only the CPUs it may use, they may still be the machine's.
    pub scope: Whose,
    /// The time they cover; 0: the server began this moment, and knows none yet.
    pub window_seconds: f64,
    /// All but idle and iowait.
    pub busy_ratio: Option<f64>,
    /// Programs, guests included.
    pub user_ratio: Option<f64>,
    /// Programs of low priority.
    pub nice_ratio: Option<f64>,
    /// The kernel.
    pub system_ratio: Option<f64>,
    /// Idle while a disk was waited for; a hint.
    pub iowait_ratio: Option<f64>,
    pub irq_ratio: Option<f64>,
    pub softirq_ratio: Option<f64>,
    /// Wanted, but the hypervisor gave it to others.
    pub steal_ratio: Option<f64>,
    /// Virtual machines run here; counted in user and nice as well.
    pub guest_ratio: Option<f64>,
    pub load: Load,
    /// Time in which a program waited for a CPU. Since Linux 4.20, where switched on.
    pub pressure: Option<Stalled>,
    /// The container's share, where it has less than the machine.
    pub limit: Option<Limit>,
    pub activity: Activity,
    pub model: Model,
    /// Where the kernel or the hypervisor lets it be seen.
    pub frequency: Option<Frequency>,
    /// Null without a sensor that can be read.
    pub temperature: Option<Temperature>,
    /// Sorted by number when all are shown, else the busiest first.
    pub cpus: Table<One>,
    /// CPUs left out above.
    pub cpus_not_shown: usize,
    /// Files that could not be read, and why; their figures are null.
    #[serde(skip_serializing_if = "Gaps::is_empty")]
    pub gaps: Gaps,
}

/// Threads that run, want to, or wait for a disk: means.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Load {
    pub scope: Whose,
    pub last_1m: Option<f64>,
    pub last_5m: Option<f64>,
    pub last_15m: Option<f64>,
    /// Of 1 minute, by online CPUs. Null where one is the machine's and the other the container's.
    pub per_cpu_1m: Option<f64>,
    /// Threads that run or want to, now.
    pub runnable: Option<u32>,
    /// Threads there are.
    pub threads: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Stalled {
    pub scope: Whose,
    pub some_10s_ratio: f64,
    pub some_60s_ratio: f64,
}

/// A cgroup's.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Limit {
    pub scope: Whose,
    /// CPUs' worth of time it may use.
    pub cpus: f64,
    /// Part of its periods in which it was held back, since it began.
    pub throttled_ratio: Option<f64>,
    /// How many periods that were.
    pub throttled_periods: Option<u64>,
    /// How long it was held back, all CPUs added up.
    pub throttled_seconds: Option<f64>,
}

/// Rates over the window.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Activity {
    pub scope: Whose,
    pub context_switches_per_second: Option<f64>,
    pub interrupts_per_second: Option<f64>,
    /// New processes and threads.
    pub forks_per_second: Option<f64>,
    /// Threads on a CPU or waiting for one, now.
    pub running: Option<u64>,
    /// Threads that wait for a disk, now.
    pub blocked: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Model {
    /// Whose `online`, `cores` and `packages` are: lxcfs shows a container only the CPUs it may use.
    pub scope: Whose,
    /// Of several kinds of cores all.
    pub name: Option<String>,
    pub vendor: Option<String>,
    pub architecture: String,
    /// Logical CPUs in use.
    pub online: Option<usize>,
    /// Logical CPUs that could ever be plugged in.
    pub possible: Option<usize>,
    pub cores: Option<usize>,
    /// Sockets.
    pub packages: Option<usize>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Frequency {
    pub scope: Whose,
    /// Mean of all CPUs.
    pub now_hertz: Option<f64>,
    /// The least that may be chosen.
    pub min_hertz: Option<f64>,
    /// The most that may be chosen.
    pub max_hertz: Option<f64>,
    pub governor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Temperature {
    pub scope: Whose,
    /// Of the hottest CPU package.
    pub celsius: f64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct One {
    pub cpu: u32,
    pub busy_ratio: Option<f64>,
    pub user_ratio: Option<f64>,
    pub system_ratio: Option<f64>,
    pub iowait_ratio: Option<f64>,
    pub steal_ratio: Option<f64>,
}

impl Tool for Cpu {
    const NAME: &'static str = "cpu";
    const TITLE: &'static str = "CPU";
    const SCOPE: Scope = Scope::SystemRead;
    const LANE: Lane = Lane::Machine;
    const SHARED: bool = true;
    const AUDITED: &'static [&'static str] = &["limit"];
    type Output = Report;

    async fn run(self, turn: &Turn) -> Result<Report, Failure> {
        let window = turn.host().window().await?;
        turn.read(move |machine| read(machine, &window, self.limit.rows())).await
    }
}

fn read(machine: &Machine, window: &Window, limit: usize) -> Result<Report, Failure> {
    let reader = Reader::new(&machine.root);
    reader.add(&window.now.gaps, &["/proc/stat", "/proc/loadavg", "/proc/pressure/cpu"]);
    let place = Place::of(&reader);
    if window.now.pressure.cpu.is_none() {
        reader.missing("proc/pressure/cpu", Some("since Linux 4.20, where switched on"));
    }
    let (earlier, now) = (&window.earlier.stat, &window.now.stat);
    let ratio = |part: fn(&Times) -> u64| window.cpu_ratio(part);
    let (cpus, cpus_not_shown) = each(window, limit);
    let cpuinfo = topology::cpuinfo(&reader);
    let numbers: Vec<u32> = now.cpus.keys().copied().collect();
    let model = model(machine, &reader, &place, &numbers, &cpuinfo);
    let frequency = frequency(&reader, &numbers, &cpuinfo);
    let rate = |earlier: Option<u64>, now: Option<u64>| window.per_second(earlier?, now?);
    Ok(Report {
        scope: place.whose("stat"),
        window_seconds: window.seconds(),
        busy_ratio: ratio(Times::busy),
        user_ratio: ratio(|times| times.user),
        nice_ratio: ratio(|times| times.nice),
        system_ratio: ratio(|times| times.system),
        iowait_ratio: ratio(|times| times.iowait),
        irq_ratio: ratio(|times| times.irq),
        softirq_ratio: ratio(|times| times.softirq),
        steal_ratio: ratio(|times| times.steal),
        guest_ratio: ratio(|times| times.guest.saturating_add(times.guest_nice)),
        load: load(&place, window, model.online),
        pressure: window.now.pressure.cpu.as_ref().map(|pressure| Stalled {
            scope: place.whose("pressure/cpu"),
            some_10s_ratio: pressure.some.avg10,
            some_60s_ratio: pressure.some.avg60,
        }),
        limit: limited(&place.limits),
        activity: Activity {
            // lxcfs passes these lines on as the machine has them
            scope: Whose::Machine,
            context_switches_per_second: rate(earlier.context_switches, now.context_switches),
            interrupts_per_second: rate(earlier.interrupts, now.interrupts),
            forks_per_second: rate(earlier.forks, now.forks),
            running: now.running,
            blocked: now.blocked,
        },
        model,
        frequency,
        temperature: temperature::read(&reader).map(|celsius| Temperature { scope: Whose::Machine, celsius }),
        cpus,
        cpus_not_shown,
        gaps: reader.gaps(),
    })
}

fn each(window: &Window, limit: usize) -> (Table<One>, usize) {
    let ratio = |cpu, part: fn(&Times) -> u64| window.one_cpu_ratio(cpu, part);
    let rows: Vec<One> = (window.now.stat.cpus.keys())
        .map(|cpu| One {
            cpu: *cpu,
            busy_ratio: ratio(*cpu, Times::busy),
            user_ratio: ratio(*cpu, |times| times.user.saturating_add(times.nice)),
            system_ratio: ratio(*cpu, |times| times.system.saturating_add(times.irq).saturating_add(times.softirq)),
            iowait_ratio: ratio(*cpu, |times| times.iowait),
            steal_ratio: ratio(*cpu, |times| times.steal),
        })
        .collect();
    busiest(rows, limit)
}

/// All of them if they are no more than `limit`, else the busiest, and how many are left out.
fn busiest(mut rows: Vec<One>, limit: usize) -> (Table<One>, usize) {
    let left_out = rows.len().saturating_sub(limit);
    if left_out > 0 {
        let busy = |row: &One| row.busy_ratio.unwrap_or(-1.0);
        // stable: of equally busy ones the lower number comes first
        rows.sort_by(|a, b| busy(b).total_cmp(&busy(a)));
        rows.truncate(limit);
    }
    (Table(rows), left_out)
}

fn load(place: &Place, window: &Window, online: Option<usize>) -> Load {
    let load = window.now.load.as_ref();
    let scope = place.whose("loadavg");
    let comparable = online.filter(|online| *online > 0 && (scope == Whose::Container) == place.covers("stat"));
    Load {
        scope,
        last_1m: load.map(|load| load.one),
        last_5m: load.map(|load| load.five),
        last_15m: load.map(|load| load.fifteen),
        per_cpu_1m: load.zip(comparable).map(|(load, online)| load.one / online as f64),
        runnable: load.and_then(|load| load.runnable),
        threads: load.and_then(|load| load.threads),
    }
}

fn limited(limits: &Limits) -> Option<Limit> {
    let stat = limits.cpu_stat;
    let periods = stat.and_then(|stat| stat.periods).filter(|periods| *periods > 0);
    let throttled = stat.and_then(|stat| stat.throttled);
    Some(Limit {
        scope: Whose::Container,
        cpus: limits.cpu?,
        throttled_ratio: periods.zip(throttled).map(|(all, part)| part as f64 / all as f64),
        throttled_periods: throttled,
        throttled_seconds: stat.and_then(|stat| stat.throttled_us).map(|micros| micros as f64 / 1e6),
    })
}

fn model(machine: &Machine, reader: &Reader<'_>, place: &Place, numbers: &[u32], cpuinfo: &Cpuinfo) -> Model {
    let topology = topology::read(reader, numbers, cpuinfo);
    Model {
        scope: if place.covers("stat") { Whose::Container } else { Whose::Machine },
        name: cpuinfo.model_name.clone(),
        vendor: cpuinfo.vendor.clone(),
        architecture: machine.kernel.architecture(),
        online: topology.online,
        possible: topology.possible,
        cores: topology.cores,
        packages: topology.packages,
    }
}

fn frequency(reader: &Reader<'_>, numbers: &[u32], cpuinfo: &Cpuinfo) -> Option<Frequency> {
    frequency::read(reader, numbers, cpuinfo).map(|frequency| Frequency {
        scope: Whose::Machine,
        now_hertz: frequency.now,
        min_hertz: frequency.least,
        max_hertz: frequency.most,
        governor: frequency.governor,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use facts::host::Limits;
    use kernel::proc::cgroup::CpuStat;

    fn row(cpu: u32, busy_ratio: Option<f64>) -> One {
        One { cpu, busy_ratio, user_ratio: None, system_ratio: None, iowait_ratio: None, steal_ratio: None }
    }

    #[test]
    fn few_cpus_are_all_shown_by_number_and_many_by_use() {
        let rows = || vec![row(0, Some(0.1)), row(1, Some(0.9)), row(2, None), row(3, Some(0.9)), row(9, Some(0.5))];
        let numbers = |limit| {
            let (Table(rows), left_out) = busiest(rows(), limit);
            (rows.into_iter().map(|row| row.cpu).collect::<Vec<_>>(), left_out)
        };
        assert_eq!(numbers(5), (vec![0, 1, 2, 3, 9], 0));
        assert_eq!(numbers(4), (vec![1, 3, 9, 0], 1));
        assert_eq!(numbers(1), (vec![1], 4));
    }

    #[test]
    fn a_quota_says_how_often_it_held_back() {
        let stat = CpuStat {
            usage_us: None,
            user_us: None,
            system_us: None,
            periods: Some(8),
            throttled: Some(2),
            throttled_us: Some(1_500_000),
        };
        let limit = limited(&Limits { cpu: Some(1.5), cpu_stat: Some(stat), ..Limits::default() }).unwrap();
        assert_eq!((limit.cpus, limit.throttled_ratio, limit.throttled_seconds), (1.5, Some(0.25), Some(1.5)));
        let fewer = limited(&Limits { cpu: Some(2.0), ..Limits::default() }).unwrap();
        assert_eq!((fewer.cpus, fewer.throttled_ratio), (2.0, None));
        assert!(limited(&Limits::default()).is_none());
    }
}
