//! How is the machine, and what is wrong with it?

mod problems;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tool::{Tool, Turn};
use engine::{Docker, model::Summary};
use facts::{
    self,
    blocks::Blocks,
    filesystems::Space,
    gap::{Gaps, Reader},
    host::{Machine, Place, Scan, Whose, Window},
    memory, os,
    problem::{Problem, Problems},
    storage::Storage,
    throttling,
    traffic::Traffic,
};
use kernel::{failure::Failure, proc::pid_stat::ProcessState};
use lanes::lane::Lane;
use rights::scope::Scope;
use text::table::Table;

/// How long filesystems are asked for their space.
const ASKED_FOR: Duration = Duration::from_secs(10);

/// The machine's state at a glance and, under `problems`, what is wrong, worst first. Begin here.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Overview {}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// What is wrong; empty when nothing was found.
    pub problems: Vec<Problem>,
    pub system: System,
    pub cpu: Cpu,
    pub memory: Memory,
    pub disks: Disks,
    /// Null without network statistics.
    pub network: Option<Network>,
    pub processes: Processes,
    /// Left out where Docker is not, or does not answer at once, or is not the caller's to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<Containers>,
    /// Files that could not be read, and why; their figures are null.
    #[serde(skip_serializing_if = "Gaps::is_empty")]
    pub gaps: Gaps,
}

/// Containers of Docker, as far as the server may see them.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Containers {
    pub total: usize,
    pub running: usize,
    pub restarting: usize,
    /// Their health check fails.
    pub unhealthy: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct System {
    /// Whose OS this is. The kernel is always the machine's.
    pub scope: Whose,
    pub os: Option<String>,
    pub kernel: Option<String>,
    /// The kind of container the server runs in; null on a machine.
    pub container: Option<String>,
    pub uptime: Option<os::Started>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Cpu {
    pub scope: Whose,
    pub cpus: Option<usize>,
    /// CPUs' worth of time that the container may use.
    pub limit_cpus: Option<f64>,
    /// The time that ratios and rates cover; 0: the server began this moment, and knows none yet.
    pub window_seconds: f64,
    pub busy_ratio: Option<f64>,
    pub iowait_ratio: Option<f64>,
    pub steal_ratio: Option<f64>,
    pub load: Load,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Load {
    pub scope: Whose,
    /// Over 1, 5 and 15 minutes.
    pub average: Option<[f64; 3]>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Memory {
    pub scope: Whose,
    pub total_bytes: Option<u64>,
    /// What a new program could have, ZFS's reclaimable cache included.
    pub available_bytes: Option<u64>,
    pub used_ratio: Option<f64>,
    /// Set aside as huge pages: part of the total, and of what is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub huge_pages_bytes: Option<u64>,
    /// The container's, whosever the rest is.
    pub limit_bytes: Option<u64>,
    pub limit_used_bytes: Option<u64>,
    pub swap_total_bytes: Option<u64>,
    pub swap_used_bytes: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Disks {
    /// Whose filesystems these are.
    pub scope: Whose,
    /// Filesystems there are; the fullest five follow.
    pub filesystems_total: usize,
    pub fullest: Table<Fullest>,
    /// Null without disk statistics.
    pub io: Option<Io>,
}

/// Of all disks together, over `cpu.window_seconds`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Io {
    pub scope: Whose,
    pub read_bytes_per_second: Option<f64>,
    pub write_bytes_per_second: Option<f64>,
    /// The busiest disk, and how much of the time it is.
    pub busiest: Option<String>,
    pub busiest_ratio: Option<f64>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Fullest {
    pub mount_point: String,
    pub size_bytes: Option<u64>,
    pub available_bytes: Option<u64>,
    pub used_ratio: Option<f64>,
}

/// Bytes that came from or went to others, each once, over `cpu.window_seconds`; null where an interface has just come or its counter
/// went back.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Network {
    pub scope: Whose,
    pub received_bytes_per_second: Option<f64>,
    pub sent_bytes_per_second: Option<f64>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Processes {
    pub scope: Whose,
    pub total: usize,
    pub zombies: usize,
    pub threads: Threads,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Threads {
    pub scope: Whose,
    /// They run or could.
    pub runnable: Option<u64>,
    /// In the kernel, usually by a disk or file server.
    pub blocked: Option<u64>,
}

impl Tool for Overview {
    const NAME: &'static str = "overview";
    const TITLE: &'static str = "Overview";
    const SCOPE: Scope = Scope::SystemRead;
    const LANE: Lane = Lane::Machine;
    const SHARED: bool = true;
    const TELLS_MORE: Option<Scope> = Some(Scope::DockerRead);
    const UNTRUSTED: Option<&'static str> = Some("names of mount points, devices and containers in problems and disks");
    type Output = Report;

    async fn run(self, turn: &Turn) -> Result<Report, Failure> {
        let host = turn.host();
        let may_read = Self::TELLS_MORE.is_none_or(|scope| turn.caller().grants.contain(scope));
        let containers = async { if may_read { containers(&turn.docker(Scope::DockerRead)).await } else { Ok(None) } };
        let machine = async {
            let window = host.window().await?;
            Ok::<_, Failure>((window, host.scan().await?))
        };
        let (containers, machine) = tokio::join!(containers, machine);
        let (window, scan) = machine?;
        let (stop, until) = (turn.stop().clone(), Instant::now() + turn.time(ASKED_FOR));
        let gone = move || stop.is_cancelled() || Instant::now() >= until;
        turn.read(move |machine| read(machine, &window, &scan, containers, &gone)).await
    }
}

/// An Engine that hangs.
struct Hangs;

/// All containers. Without an Engine, or where it refuses, none are spoken of: `containers` says what is the matter with it.
async fn containers(docker: &Docker) -> Result<Option<Vec<Summary>>, Hangs> {
    if !docker.is_there() {
        return Ok(None);
    }
    let listed = docker.glance().await;
    if listed.is_none() && docker.is_slow() { Err(Hangs) } else { Ok(listed) }
}

fn read(
    machine: &Arc<Machine>,
    window: &Window,
    scan: &Scan,
    listed: Result<Option<Vec<Summary>>, Hangs>,
    gone: &dyn Fn() -> bool,
) -> Result<Report, Failure> {
    let hangs = listed.is_err();
    let containers = listed.ok().flatten();
    let reader = Reader::new(&machine.root);
    reader.add(&window.now.gaps, &["/"]);
    let place = Place::of(&reader);
    let storage = Storage::read(machine, &reader, window, false, gone);
    let memory = memory::Memory::read(&reader, &window.now, &place);
    let mut report = Report {
        problems: vec![],
        system: system(machine, &place, &reader),
        cpu: cpu(window, &place),
        memory: Memory::of(&memory, &place),
        disks: space(&storage, &place),
        network: network(machine, window, &place, &reader),
        processes: processes(scan, window, &place),
        containers: containers.as_deref().map(counts),
        gaps: Gaps::default(),
    };
    let mut problems = Problems::default();
    storage.problems(&mut problems);
    memory.problems(window, &place, &mut problems);
    if hangs {
        problems.warning("containers", "the Docker Engine does not answer within 1 s: its containers are not counted");
    }
    problems::find(&report, &place, window, containers.as_deref().unwrap_or_default(), &mut problems);
    throttling::problems(window, &mut problems);
    for watch in facts::WATCHED {
        watch(machine, &reader, &mut problems);
    }
    report.problems = problems.sorted();
    report.gaps = reader.gaps();
    Ok(report)
}

fn counts(containers: &[Summary]) -> Containers {
    let count = |is: fn(&Summary) -> bool| containers.iter().filter(|one| is(one)).count();
    Containers {
        total: containers.len(),
        running: count(|one| one.state == "running"),
        restarting: count(is_restarting),
        unhealthy: count(is_unhealthy),
    }
}

fn is_restarting(one: &Summary) -> bool {
    one.state == "restarting"
}

fn is_unhealthy(one: &Summary) -> bool {
    one.health() == Some("unhealthy")
}

fn system(machine: &Machine, place: &Place, reader: &Reader<'_>) -> System {
    System {
        scope: place.inside(),
        os: os::os(reader).map(|os| os.name),
        kernel: reader.word("proc/sys/kernel/osrelease"),
        container: place.container.as_ref().map(|container| container.0.clone()),
        uptime: os::started(machine, place, reader),
    }
}

fn cpu(window: &Window, place: &Place) -> Cpu {
    let load = window.now.load.as_ref();
    Cpu {
        scope: place.whose("stat"),
        cpus: Some(window.now.stat.cpus.len()).filter(|cpus| *cpus > 0),
        limit_cpus: place.limits.cpu,
        window_seconds: window.seconds(),
        busy_ratio: window.cpu_ratio(|times| times.busy()),
        iowait_ratio: window.cpu_ratio(|times| times.iowait),
        steal_ratio: window.cpu_ratio(|times| times.steal),
        load: Load { scope: place.whose("loadavg"), average: load.map(|load| [load.one, load.five, load.fifteen]) },
    }
}

impl Memory {
    fn of(memory: &memory::Memory, place: &Place) -> Self {
        Self {
            scope: place.whose("meminfo"),
            total_bytes: memory.total,
            available_bytes: memory.available,
            used_ratio: memory.used_ratio(),
            huge_pages_bytes: Some(memory.set_aside()).filter(|bytes| *bytes > 0),
            limit_bytes: place.limits.memory,
            limit_used_bytes: place.limits.memory_used,
            swap_total_bytes: memory.swap_total,
            swap_used_bytes: memory.swap_used,
        }
    }
}

fn space(storage: &Storage, place: &Place) -> Disks {
    let listed: Vec<_> = storage.filesystems.listed().map(|one| (one.rank(), one)).collect();
    let mut fullest: Vec<_> = listed.iter().filter_map(|(rank, one)| Some((rank, one, one.space?))).collect();
    fullest.retain(|(.., space)| space.used_ratio.is_some());
    fullest.sort_by(|(a, _, some), (b, _, other)| {
        let ratio = |space: &Space| space.used_ratio.unwrap_or(0.0);
        ratio(other).total_cmp(&ratio(some)).then(a.cmp(b))
    });
    Disks {
        scope: place.inside(),
        filesystems_total: listed.len(),
        fullest: (fullest.iter().take(5))
            .map(|(_, one, space)| Fullest {
                mount_point: one.mount_point(),
                size_bytes: Some(space.size),
                available_bytes: Some(space.available),
                used_ratio: space.used_ratio,
            })
            .collect(),
        io: storage.blocks.counted.then(|| io(&storage.blocks, place.whose("diskstats"))),
    }
}

fn io(blocks: &Blocks, scope: Whose) -> Io {
    let busiest = blocks.busiest();
    Io {
        scope,
        read_bytes_per_second: blocks.sum(|rates| rates.read_bytes),
        write_bytes_per_second: blocks.sum(|rates| rates.write_bytes),
        busiest: busiest.map(|(disk, _)| disk.name.clone()),
        busiest_ratio: busiest.map(|(_, ratio)| ratio),
    }
}

fn network(machine: &Machine, window: &Window, place: &Place, reader: &Reader<'_>) -> Option<Network> {
    let traffic = Traffic::of(machine, window, reader)?;
    Some(Network {
        scope: place.inside(),
        received_bytes_per_second: traffic.received,
        sent_bytes_per_second: traffic.sent,
    })
}

fn processes(scan: &Scan, window: &Window, place: &Place) -> Processes {
    Processes {
        scope: place.inside(),
        total: scan.processes.len(),
        zombies: scan.processes.iter().filter(|process| process.state == ProcessState::Zombie).count(),
        // a process's own state is that of its first thread, which may well sleep while the others work
        threads: Threads {
            // lxcfs passes these lines on as the machine has them
            scope: Whose::Machine,
            runnable: window.now.stat.running,
            blocked: window.now.stat.blocked,
        },
    }
}
