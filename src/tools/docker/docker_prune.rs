//! What takes room on the disk and is used by nothing: said first, then removed, one thing after the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tool::{Acting, Aim, Step, Turn};
use engine::{
    Docker,
    image::Image,
    model::{self, Summary, digits, instant, short},
    update,
    usage::{self, Cached, Usage, Used},
    volume::{self, Network, Volume},
};
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::scope::{Action, Scope};
use text::{page::Limit, table::Table};

/// How long it has to remove one thing.
const REMOVED_WITHIN: Duration = Duration::from_secs(120);

/// How old it must be, in seconds, what somebody may just be about to use.
const OLD: u32 = 600;

/// Remove what nothing uses: stopped containers, images without a name, networks, build cache. By default a dry run that names what would
/// go and what that frees.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DockerPrune {
    /// Only say what would go.
    #[serde(default = "yes")]
    dry_run: bool,
    /// Also volumes that no container has, not even one that goes now; those with a name too: their data is lost.
    #[serde(default)]
    volumes: bool,
    /// Containers that ended, or were made and never started, networks and volumes more recently than this stay.
    #[serde(default = "old")]
    min_age_seconds: u32,
    /// Things at once.
    #[serde(default)]
    limit: Limit<40, 100>,
}

fn yes() -> bool {
    true
}

fn old() -> u32 {
    OLD
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    pub dry_run: bool,
    pub things: Table<Row>,
    /// What that frees, as far as it is known; of images what no other has as well. Null where nothing is known.
    pub freed_bytes: Option<u64>,
    /// Things beyond the limit: ask again.
    pub more: usize,
    /// What stays though nothing uses it, and why.
    pub note: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Row {
    pub kind: Kind,
    pub name: String,
    /// The first twelve digits; null for volumes.
    pub id: Option<String>,
    /// Null where the engine does not say.
    pub frees_bytes: Option<u64>,
    pub removed: bool,
    /// Why it could not be removed.
    pub why: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Container,
    Image,
    Network,
    Volume,
    BuildCache,
}

/// What goes, in the order in which it can.
#[derive(Debug)]
pub(crate) struct Plan {
    things: Vec<Thing>,
    more: usize,
    note: Option<String>,
}

#[derive(Clone, Debug)]
struct Thing {
    kind: Kind,
    /// In full; a volume's name.
    id: String,
    name: String,
    frees: Option<u64>,
}

impl Acting for DockerPrune {
    const NAME: &'static str = "docker_prune";
    const TITLE: &'static str = "Prune what is unused";
    const SCOPE: Scope = Scope::DockerDeploy;
    const ACTIONS: &[Action] = &[Action::Prune];
    const LANE: Lane = Lane::Deploy;
    const DESTRUCTIVE: bool = true;
    const IDEMPOTENT: bool = true;
    const LOOK: &'static str = "look with another dry run";
    const UNTRUSTED: Option<&'static str> = Some("name and why");
    const AUDITED: &'static [&'static str] = &["dry_run", "volumes", "min_age_seconds", "limit"];
    type Output = Report;
    type Target = Plan;

    async fn aim(&self, turn: &Turn) -> Result<Aim<Plan>, Failure> {
        let docker = &turn.docker(Self::SCOPE);
        let now = turn.host().machine().kernel.wall();
        let plan = self.plan(&Inventory::ask(docker).await?, docker, now);
        let name = match (self.dry_run, plan.things.is_empty()) {
            (true, _) => "nothing: a dry run".to_owned(),
            (false, true) => "nothing".to_owned(),
            (false, false) => plan.things.iter().map(|thing| thing.id.as_str()).collect::<Vec<_>>().join(" "),
        };
        Ok(Aim { target: plan, name })
    }

    async fn act(self, turn: &Turn, plan: Plan) -> Result<Report, Failure> {
        let docker = &turn.docker(Self::SCOPE);
        let all = plan.things.len();
        let mut rows = vec![];
        for (at, thing) in plan.things.into_iter().enumerate() {
            let why = match self.dry_run {
                true => None,
                false => {
                    let words = format!("{} of {all} gone through", at + 1);
                    turn.tell(Step { done: (at + 1) as f64, of: Some(all as f64), words });
                    thing.remove(docker).await.err().map(|failure| failure.to_string())
                }
            };
            rows.push(Row {
                kind: thing.kind,
                id: (thing.kind != Kind::Volume).then(|| short(&thing.id).to_owned()),
                name: thing.name,
                frees_bytes: thing.frees,
                removed: !self.dry_run && why.is_none(),
                why,
            });
        }
        let counted: Vec<_> =
            rows.iter().filter(|row| self.dry_run || row.removed).map(|row| row.frees_bytes).collect();
        let freed_bytes = (counted.is_empty() || counted.iter().any(Option::is_some))
            .then(|| counted.iter().flatten().copied().fold(0, u64::saturating_add));
        Ok(Report { dry_run: self.dry_run, things: Table(rows), freed_bytes, more: plan.more, note: plan.note })
    }
}

/// What there is, and what it takes.
#[derive(Debug, Default)]
struct Inventory {
    containers: Vec<Summary>,
    untagged: Vec<Image>,
    networks: Vec<Network>,
    volumes: Vec<Volume>,
    /// When each that does not run ended, as far as it is known.
    ended: BTreeMap<String, SystemTime>,
    /// The halves of updates that have not ended.
    halves: BTreeSet<String>,
    used: Vec<Used>,
    images: Vec<model::Image>,
    volume_sizes: Vec<model::Volume>,
    cache: Vec<Cached>,
}

impl Inventory {
    async fn ask(docker: &Docker) -> Result<Self, Failure> {
        let mut usage = Usage::ask(docker, usage::OF_ALL).await?;
        let mut state = Self {
            // {"dangling":["true"]}
            untagged: docker.get("/images/json?filters=%7B%22dangling%22%3A%5B%22true%22%5D%7D").await?,
            networks: docker.all_networks().await?,
            volumes: docker.all_volumes().await?,
            used: usage.containers().items,
            images: usage.images().items,
            volume_sizes: usage.volumes().items,
            cache: usage.build_cache().items,
            // last: what came to be in between is used
            containers: docker.all_containers().await?,
            ..Self::default()
        };
        let ended: Vec<&str> =
            state.containers.iter().filter(|one| has_ended(&one.state)).map(|one| one.id.as_str()).collect();
        let known = docker.inspect_all(&ended).await;
        let at = known.into_iter().flatten().filter_map(|one| Some((one.id, instant(&one.state.finished_at)?)));
        state.ended = at.collect();
        state.halves = update::halves(docker).await?.into_keys().collect();
        Ok(state)
    }
}

impl DockerPrune {
    /// What goes. Decided by what every container has, also those that this caller may not see.
    fn plan(&self, state: &Inventory, docker: &Docker, now: SystemTime) -> Plan {
        let is_young = |made: Option<SystemTime>| {
            let age = made.and_then(|made| now.duration_since(made).ok());
            age.is_none_or(|age| age < Duration::from_secs(self.min_age_seconds.into()))
        };
        let mut young = 0;
        let mut old = |made: Option<SystemTime>| {
            let is_young = self.min_age_seconds > 0 && is_young(made);
            young += usize::from(is_young);
            !is_young
        };
        let (mut things, mut stay) = (vec![], vec![]);
        for one in &state.containers {
            let made = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(one.created.try_into().unwrap_or(0)));
            if update::is_half(one) || state.halves.contains(&one.id) {
                stay.push(one);
                continue;
            }
            let may = docker.allow().permits(Scope::DockerDeploy, Some(Action::Prune), one)
                && docker.settings().own.as_ref() != Some(&one.id);
            let mut has_ended_long_ago = || match one.state.as_str() {
                "created" | "configured" | "initialized" => old(made),
                word if has_ended(word) => old(state.ended.get(&one.id).copied()),
                _ => false,
            };
            // first whether it may: of one that is not seen nothing is counted either
            if may && has_ended_long_ago() && !docker.is_held(&one.id) {
                things.push(Thing::of(Kind::Container, &one.id, one.name(), state.container_size(&one.id)));
            } else {
                stay.push(one);
            }
        }
        let images: BTreeSet<&str> = stay.iter().map(|one| digits(&one.image_id)).collect();
        let networks: BTreeSet<&str> =
            stay.iter().flat_map(|one| one.network_settings.networks.keys()).map(String::as_str).collect();
        // also of those that go now: their data may be what somebody comes back for, and it is asked for by a second call
        let volumes: BTreeSet<&str> = state.containers.iter().flat_map(Summary::volumes).collect();
        for one in &state.untagged {
            if one.tags().next().is_none() && !images.contains(digits(&one.id)) {
                things.push(Thing::of(Kind::Image, &one.id, "<none>", state.image_size(&one.id)));
            }
        }
        for one in &state.networks {
            let is_used =
                one.is_predefined() || networks.contains(one.name.as_str()) || networks.contains(one.id.as_str());
            // a swarm's networks may be used on another machine
            if !is_used && one.scope != "swarm" && old(instant(&one.created)) {
                things.push(Thing::of(Kind::Network, &one.id, &one.name, Some(0)));
            }
        }
        let unused = |one: &&Volume| !volumes.contains(one.name.as_str()) && volume::is_name(&one.name);
        let unused: Vec<&Volume> = state.volumes.iter().filter(unused).collect();
        if self.volumes {
            for one in &unused {
                if old(instant(&one.created_at)) {
                    things.push(Thing::of(Kind::Volume, &one.name, &one.name, state.volume_size(&one.name)));
                }
            }
        }
        for one in &state.cache {
            if !one.in_use && one.id.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !one.id.is_empty() {
                let frees = if one.shared { Some(0) } else { known(one.size) };
                things.push(Thing::of(Kind::BuildCache, &one.id, &one.description, frees));
            }
        }
        let more = things.len().saturating_sub(self.limit.rows());
        things.truncate(self.limit.rows());
        let mut notes = vec![];
        if young > 0 {
            notes.push(format!("{young} younger than {} s stay", self.min_age_seconds));
        }
        if !self.volumes && !unused.is_empty() {
            notes.push(format!("unused volumes stay ({}): `volumes: true` takes them too", unused.len()));
        }
        Plan { things, more, note: (!notes.is_empty()).then(|| notes.join("; ")) }
    }
}

impl Inventory {
    fn container_size(&self, id: &str) -> Option<u64> {
        // nothing where it is nothing
        self.used.iter().find(|one| one.summary.id == id).and_then(|one| known(Some(one.written.unwrap_or(0))))
    }

    /// What no other image has as well.
    fn image_size(&self, id: &str) -> Option<u64> {
        let one = self.images.iter().find(|one| digits(&one.id) == digits(id))?;
        Some(known(one.size)?.saturating_sub(known(one.shared_size)?))
    }

    fn volume_size(&self, name: &str) -> Option<u64> {
        self.volume_sizes.iter().find(|one| one.name == name).and_then(model::Volume::size)
    }
}

impl Thing {
    fn of(kind: Kind, id: &str, name: &str, frees: Option<u64>) -> Self {
        Self { kind, id: id.to_owned(), name: name.to_owned(), frees }
    }

    /// Removes it and nothing else, and without force: what has come to be used meanwhile stays.
    async fn remove(&self, docker: &Docker) -> Result<(), Failure> {
        let id = &self.id;
        let _hold = docker.hold(id, &self.name)?;
        let path = match self.kind {
            Kind::Container => format!("/containers/{id}?force=false&v=false"),
            Kind::Image if docker.images().await?.iter().any(|one| one.has_id(id) && one.tags().next().is_some()) => {
                return Err(Failure::Refused("it has a name by now".to_owned()));
            }
            Kind::Image => format!("/images/{id}"),
            Kind::Network => format!("/networks/{id}"),
            Kind::Volume => format!("/volumes/{id}"),
            Kind::BuildCache => {
                // {"id":["…"]}; the engine takes it for an expression
                let path = format!("/build/prune?all=true&filters=%7B%22id%22%3A%5B%22%5E{id}%24%22%5D%7D");
                return docker.post(&path, None, REMOVED_WITHIN).await.map(drop);
            }
        };
        match docker.delete(&path, REMOVED_WITHIN).await {
            Ok(_) => Ok(()),
            Err(failure) if self.is_gone(docker).await => {
                tracing::debug!(id, %failure, "it is gone all the same");
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    async fn is_gone(&self, docker: &Docker) -> bool {
        match self.kind {
            Kind::Container => docker.all_containers().await.is_ok_and(|all| all.iter().all(|one| one.id != self.id)),
            Kind::Image => docker.images().await.is_ok_and(|all| all.iter().all(|one| !one.has_id(&self.id))),
            Kind::Network => docker.all_networks().await.is_ok_and(|all| all.iter().all(|one| one.id != self.id)),
            Kind::Volume => docker.all_volumes().await.is_ok_and(|all| all.iter().all(|one| one.name != self.id)),
            Kind::BuildCache => false,
        }
    }
}

/// Whether a container in this state ran, and does not any more.
fn has_ended(state: &str) -> bool {
    matches!(state, "exited" | "dead" | "stopped")
}

fn known(size: Option<i64>) -> Option<u64> {
    size.and_then(|size| u64::try_from(size).ok())
}
