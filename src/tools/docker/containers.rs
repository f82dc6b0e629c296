//! Which containers are there, how are they, and what do they use?

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{listed, ports, told};
use crate::tool::{Tool, Turn};
use engine::{
    Docker,
    model::{Inspect, Summary, instant, short},
    stats::Usage,
};
use facts::host::{Meter, SHORTEST_WINDOW, ago};
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::scope::Scope;
use text::{
    page::{Limit, Page},
    table::Table,
};

/// Port ranges that a row shows.
const PORTS_SHOWN: usize = 8;

/// Containers by name, with counts by state; with stats, their CPU and memory over half a second.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Containers {
    /// Only those in this state; unhealthy: whose health check fails.
    #[serde(default)]
    state: Option<StateFilter>,
    /// Only those with this in their name; with `*` it is the whole name's pattern.
    #[serde(default)]
    pattern: Option<String>,
    /// Only with this label: key, or key=value.
    #[serde(default)]
    label: Option<String>,
    /// Only of this compose project.
    #[serde(default)]
    project: Option<String>,
    /// CPU and memory too. Default false.
    #[serde(default)]
    stats: bool,
    /// What uses most first, with stats. Default name.
    #[serde(default)]
    sort: Option<Sort>,
    /// Rows.
    #[serde(default)]
    limit: Limit<20, 200>,
    /// next_cursor of the same question.
    #[serde(default)]
    cursor: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "State")]
enum StateFilter {
    Running,
    Exited,
    Restarting,
    Paused,
    Created,
    Removing,
    Dead,
    Unhealthy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Sort {
    Name,
    Cpu,
    Memory,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// All that the server may see.
    pub total: usize,
    /// Of all.
    pub by_state: BTreeMap<String, usize>,
    /// Of all.
    pub unhealthy: usize,
    /// Those asked for, on this and all other pages.
    pub matching: usize,
    /// The time that cpu_ratio covers; null without stats.
    pub window_seconds: Option<f64>,
    /// One row each.
    pub containers: Table<Row>,
    /// Pass it as cursor for the next rows.
    pub next_cursor: Option<String>,
}

/// A container.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Row {
    pub name: String,
    pub id: String,
    pub image: String,
    /// running, exited, restarting, paused, created, removing or dead.
    pub state: String,
    /// healthy, unhealthy or starting; null without a health check.
    pub health: Option<String>,
    /// * is every address.
    pub ports: Option<String>,
    /// Of one that runs.
    pub uptime_seconds: Option<u64>,
    /// By its restart policy, since it was started by hand.
    pub restarts: Option<u64>,
    /// Of one that has ended.
    pub exit_code: Option<i64>,
    /// Of compose.
    pub project: Option<String>,
    /// 1 is one core fully used.
    pub cpu_ratio: Option<f64>,
    /// Without cache that can be dropped.
    pub memory_bytes: Option<u64>,
    /// Of its limit, or of the machine's memory without one.
    pub memory_ratio: Option<f64>,
}

impl Tool for Containers {
    const NAME: &'static str = "containers";
    const TITLE: &'static str = "Containers";
    const SCOPE: Scope = Scope::DockerRead;
    const LANE: Lane = Lane::Docker;
    const SHARED: bool = true;
    const UNTRUSTED: Option<&'static str> = Some("name, image, project");
    const AUDITED: &'static [&'static str] =
        &["state", "pattern", "label", "project", "stats", "sort", "limit", "cursor"];
    type Output = Report;

    async fn run(self, turn: &Turn) -> Result<Report, Failure> {
        let docker = &turn.docker(Self::SCOPE);
        let sort = self.sort.unwrap_or(Sort::Name);
        if sort != Sort::Name && !self.stats {
            return Err(Failure::Invalid("containers: sort by cpu or memory needs stats: true".to_owned()));
        }
        let pages = Pages::of(&self, sort)?;
        let all = docker.containers().await?;
        let mut found: Vec<&Summary> = all.iter().filter(|one| self.wants(one)).collect();
        found.sort_by(|a, b| (a.name(), &a.id).cmp(&(b.name(), &b.id)));
        let matching = found.len();
        let (shown, next_cursor) = match pages {
            Pages::ByName(page) => {
                let (shown, next) = page.by_key(found.into_iter().map(|one| (one.name().to_owned(), one)));
                (self.measured(turn, inspected(docker, shown).await).await?, next)
            }
            Pages::ByUse(page) => {
                let mut found = self.measured(turn, inspected(docker, found).await).await?;
                // ratios are never negative, and those order like their bits
                found.sort_by_cached_key(|(_, _, used)| {
                    std::cmp::Reverse(used.as_ref().and_then(|used| match sort {
                        Sort::Memory => used.memory,
                        Sort::Name | Sort::Cpu => used.cpu.map(f64::to_bits),
                    }))
                });
                page.by_count(found)
            }
        };
        let now = turn.host().machine().kernel.wall();
        let window_seconds = shown.iter().find_map(|(_, _, used)| used.as_ref()?.seconds);
        let mut by_state = BTreeMap::new();
        for one in &all {
            *by_state.entry(one.state.clone()).or_default() += 1;
        }
        Ok(Report {
            total: all.len(),
            by_state,
            unhealthy: all.iter().filter(|one| one.health() == Some("unhealthy")).count(),
            matching,
            window_seconds,
            containers: shown.into_iter().map(|(one, inspected, used)| row(one, inspected, used, now)).collect(),
            next_cursor,
        })
    }
}

/// By name, no row is told twice or left out because others come and go.
enum Pages {
    ByName(Page<String>),
    ByUse(Page<usize>),
}

impl Pages {
    fn of(request: &Containers, sort: Sort) -> Result<Self, Failure> {
        let question = (sort, request.state, &request.pattern, &request.label, &request.project);
        let (limit, cursor) = (request.limit.rows(), request.cursor.as_deref());
        Ok(match sort {
            Sort::Name => Self::ByName(Page::of(Containers::NAME, question, limit, cursor)?),
            Sort::Cpu | Sort::Memory => Self::ByUse(Page::of(Containers::NAME, question, limit, cursor)?),
        })
    }
}

impl Containers {
    fn wants(&self, one: &Summary) -> bool {
        self.state.is_none_or(|state| state.is_of(one))
            && self.pattern.as_deref().is_none_or(|pattern| listed::fits(pattern, one.name()))
            && self.label.as_deref().is_none_or(|label| one.has_label(label))
            && self.project.as_deref().is_none_or(|project| one.project() == Some(project))
    }

    /// With what these use, if it was asked for; one that does not run uses nothing that is worth the asking. The Engine is asked only
    /// where the kernel cannot be: it takes milliseconds of its own for each.
    async fn measured<'a>(&self, turn: &Turn, these: Vec<Inspected<'a>>) -> Result<Vec<Measured<'a>>, Failure> {
        let runs = |one: &Summary| self.stats && matches!(one.state.as_str(), "running" | "paused");
        let pid = |inspected: &Option<Inspect>| inspected.as_ref().map_or(0, |inspected| inspected.state.pid);
        let running: Vec<(String, u32)> =
            these.iter().filter(|(one, _)| runs(one)).map(|(one, state)| (one.id.clone(), pid(state))).collect();
        let (mut read, mut told) = (vec![].into_iter(), vec![].into_iter());
        if !running.is_empty() {
            let (running, meters) = turn
                .read(move |machine| {
                    let meters = Meter::all(machine, &running);
                    Ok((running, meters))
                })
                .await?;
            let unread = running.iter().zip(&meters).filter(|(_, meter)| meter.is_none());
            let unread: Vec<&str> = unread.map(|((id, _), _)| id.as_str()).collect();
            let later = async {
                tokio::time::sleep(SHORTEST_WINDOW).await;
                turn.read(move |machine| Ok(Meter::read(machine, &meters))).await
            };
            let docker = turn.docker(Self::SCOPE);
            let (asked, later) = tokio::join!(docker.usage(&unread), later);
            (read, told) = (later?.into_iter(), asked.into_iter());
        }
        let mut used = |one: &Summary| if runs(one) { read.next()?.or_else(|| told.next()?) } else { None };
        Ok(these.into_iter().map(|(one, inspected)| (one, inspected, used(one))).collect())
    }
}

impl StateFilter {
    fn is_of(self, one: &Summary) -> bool {
        let state = one.state.as_str();
        match self {
            Self::Running => state == "running",
            // Podman's, before it has cleaned up
            Self::Exited => matches!(state, "exited" | "stopped"),
            Self::Restarting => state == "restarting",
            Self::Paused => state == "paused",
            Self::Created => state == "created",
            Self::Removing => state == "removing",
            Self::Dead => state == "dead",
            Self::Unhealthy => one.health() == Some("unhealthy"),
        }
    }
}

type Inspected<'a> = (&'a Summary, Option<Inspect>);
type Measured<'a> = (&'a Summary, Option<Inspect>, Option<Usage>);

/// With what the list does not tell of these.
async fn inspected<'a>(docker: &Docker, these: Vec<&'a Summary>) -> Vec<Inspected<'a>> {
    let inspected = docker.inspect_all(&these.iter().map(|one| one.id.as_str()).collect::<Vec<_>>()).await;
    these.into_iter().zip(inspected).collect()
}

fn row(one: &Summary, inspected: Option<Inspect>, used: Option<Usage>, now: std::time::SystemTime) -> Row {
    let state = inspected.as_ref().map(|inspected| &inspected.state);
    let runs = |state: &str| matches!(state, "running" | "paused");
    // looked up a moment later: one that is restarted again and again may be in another state by then
    let started = state.filter(|state| runs(&state.status)).and_then(|state| instant(&state.started_at));
    let ended = state.filter(|state| matches!(state.status.as_str(), "exited" | "stopped" | "dead" | "restarting"));
    let health = one.health().or(state.and_then(|state| state.health()));
    let used = used.unwrap_or_default();
    Row {
        name: one.name().to_owned(),
        id: one.short_id().to_owned(),
        image: image(&one.image),
        state: one.state.clone(),
        health: health.filter(|_| runs(&one.state)).map(str::to_owned),
        ports: joined(ports(&one.ports)),
        uptime_seconds: started.map(|started| ago(now, started).as_secs()),
        restarts: inspected.as_ref().map(|inspected| inspected.restart_count),
        exit_code: ended.map(|state| state.exit_code),
        project: one.project().map(|project| told(project, 64)),
        cpu_ratio: used.cpu,
        memory_bytes: used.memory,
        memory_ratio: used.memory_ratio,
    }
}

/// An image whose name has gone to another is told by its id.
fn image(name: &str) -> String {
    if name.starts_with("sha256:") { short(name).to_owned() } else { told(name, 120) }
}

fn joined(ports: Vec<String>) -> Option<String> {
    let more = ports.len().saturating_sub(PORTS_SHOWN);
    let mut text = ports.into_iter().take(PORTS_SHOWN).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text += &format!(", {more} more");
    }
    (!text.is_empty()).then_some(text)
}
