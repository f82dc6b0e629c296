//! The page for Prometheus: the machine's facts, its containers, and what this server counts of itself. A call like any other, but for its
//! answer.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;

use super::{Call, Called, Gate, Refusal, late, unpanicked};
use engine::model::Summary;
use facts::{
    exposition::{Exposition, Kind},
    host::Machine,
};
use kernel::{failure::Failure, proc::pid_stat::PidStat, root::read_own};
use lanes::lane::Lane;
use rights::scope::Scope;
use tools::tool::Turn;

/// Where it is made.
const LANE: Lane = Lane::Machine;

/// How long the Engine has to tell the first process of each container: a page does not wait for one that hangs. Containers whose process is
/// not known by then have no figures.
const INSPECTED_WITHIN: Duration = Duration::from_secs(1);

/// Pages that are made at the same time.
pub(super) const AT_ONCE: usize = 2;

/// What its record calls it.
pub const NAME: &str = "/metrics";

impl Gate {
    /// The page as `caller` may see it: containers stand on it if it may read them, as far as its grants reach.
    pub async fn page(&self, call: &Call<'_>, cancelled: impl Future<Output = ()>) -> Result<Bytes, Refusal> {
        let grants = &call.caller.grants;
        if !grants.contain(Scope::MetricsRead) {
            return Err(self.no_such(call).await);
        }
        let deciding = grants.only(|grant| [Scope::MetricsRead, Scope::DockerRead].contains(&grant.scope()));
        let asked = super::Asked { called: Called::Page, deciding, ..self.asked(call) };
        let deadline = self.limits().deadline;
        let page = async {
            let seat = self.lanes.enter(LANE, call.caller, deadline).await?;
            // a page is longer than any answer of a tool
            let _one = self.pages.acquire().await.map_err(|error| Failure::Internal(error.into()))?;
            let turn = Turn::seated(self.host(), Arc::clone(call.caller), seat).using(Arc::clone(&asked.used));
            self.write(&turn).await
        };
        let result = tokio::select! {
            result = tokio::time::timeout(deadline, unpanicked(page)) => result.unwrap_or_else(|_| Err(late(NAME, deadline))),
            () = cancelled => Err(Failure::Cancelled),
        };
        asked.conclude(result, Bytes::len).await.map_err(Refusal::Failed)
    }

    async fn write(&self, turn: &Turn) -> Result<Bytes, Failure> {
        let window = turn.host().window().await?;
        let is_asked = turn.caller().grants.contain(Scope::DockerRead) && turn.host().docker().is_there();
        let containers = if is_asked { containers(turn).await } else { None };
        let is_up = is_asked.then_some(containers.is_some());
        let mut page = turn
            .read(move |machine| {
                let mut page = Exposition::default();
                facts::expose(machine, &window.now, &mut page);
                page.gauge("smcp_docker_up", "Whether the Docker Engine tells its containers within a second.", is_up);
                if let Some((listed, pids)) = containers {
                    facts::containers::expose(machine, &listed, &pids, &mut page);
                }
                Ok(page)
            })
            .await?;
        own(turn.host().machine(), &mut page);
        self.counts.expose(self.tools, &mut page);
        self.lanes.expose(&mut page);
        Ok(page.finish().into())
    }
}

/// The containers that the caller may see, and of those that run the number of their first process. `None` if the Engine does not tell.
async fn containers(turn: &Turn) -> Option<(Vec<Summary>, Vec<(String, u32)>)> {
    let docker = turn.docker(Scope::DockerRead);
    let listed = docker.glance().await?;
    let running: Vec<&str> = listed.iter().filter(|one| one.state == "running").map(|one| one.id.as_str()).collect();
    let known = docker.inspect_within(&running, INSPECTED_WITHIN).await;
    let pids = known.into_iter().flatten().map(|one| (one.id, one.state.pid)).collect();
    Some((listed, pids))
}

/// What this process is and takes, by the names that programs use for themselves.
fn own(machine: &Machine, page: &mut Exposition) {
    let mut build = page.family("smcp_build_info", Kind::Gauge, "The version of this server; the figure is always 1.");
    build.add(&[("version", env!("CARGO_PKG_VERSION"))], 1_u64);
    drop(build);
    let Ok(bytes) = read_own("/proc/self/stat".as_ref(), 4096) else { return };
    let Ok(stat) = PidStat::parse(&bytes) else { return };
    let ticks = machine.kernel.ticks_per_second().max(1) as f64;
    let help = "CPU time of this server, in seconds.";
    page.counter("process_cpu_seconds_total", help, stat.utime.saturating_add(stat.stime) as f64 / ticks);
    let resident = stat.rss.saturating_mul(machine.kernel.page_size());
    page.gauge("process_resident_memory_bytes", "Memory of this server that is in RAM.", resident);
    page.gauge("smcp_process_threads", "Threads of this server.", stat.threads);
    let age = machine.kernel.since_boot(&machine.root).as_secs_f64() - stat.starttime as f64 / ticks;
    let now = machine.kernel.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    page.gauge("process_start_time_seconds", "When this server was started, since 1970.", now - age);
}
