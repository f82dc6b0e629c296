//! Make a container and start it.

use std::{collections::BTreeMap, path::Path, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{pull::pull, state::Condition};
use crate::tool::{Acting, Aim, Turn};
use engine::{
    Docker, Health, Hold, PATIENCE,
    allow::Allow,
    create::{self, Check, Container, Mounted, Published, Source},
    image::{Found, Reference},
    model::{Summary, or_default, short},
    policy,
};
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::scope::{Action, Scope};

/// How long the Engine has to make a container, or to start one.
const MADE_WITHIN: Duration = Duration::from_secs(60);

/// Make a container and start it. It gets no privileges, devices or namespaces of the machine, and only directories that the configuration
/// names. One that cannot be started is removed again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContainerRun {
    /// What it is to be called.
    name: String,
    /// Its name, full id, or 12-digit id.
    image: String,
    /// Pull the image first.
    #[serde(default)]
    pull: bool,
    /// In place of the image's own.
    #[serde(default)]
    command: Vec<String>,
    /// Each [[ADDRESS:]PORT:]CONTAINER_PORT[/udp].
    #[serde(default)]
    ports: Vec<String>,
    /// Variables by name. Values are never shown again.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Each VOLUME:/TARGET[:ro] or /SOURCE:/TARGET[:ro].
    #[serde(default)]
    volumes: Vec<String>,
    /// The name of a network that is there.
    network: Option<String>,
    /// When it is started again. Default: never.
    restart: Option<Restart>,
    /// The most memory it may use.
    memory_bytes: Option<u64>,
    /// The most CPU time it may use, in cores.
    cpus: Option<f64>,
    /// Labels by key.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// USER or USER:GROUP.
    user: Option<String>,
    /// Its health check.
    health: Option<HealthCheck>,
    /// Wait until its health check succeeds, 30 seconds at most.
    #[serde(default)]
    healthy: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Restart {
    No,
    OnFailure,
    UnlessStopped,
    Always,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HealthCheck {
    /// Runs in the container; ends with 0 if all is well.
    command: Vec<String>,
    interval_seconds: Option<u32>,
    timeout_seconds: Option<u32>,
    retries: Option<u32>,
    /// At its start, in which failures do not count.
    start_period_seconds: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    pub name: String,
    /// The first twelve digits.
    pub id: String,
    pub image: String,
    pub image_id: String,
    pub state: Condition,
    /// As published: ADDRESS:PORT->CONTAINER_PORT/PROTOCOL.
    pub ports: Vec<String>,
    /// What the engine says about it.
    pub warnings: Vec<String>,
    /// That it ended again, that its health is not known yet.
    pub note: Option<String>,
}

/// What is made.
#[derive(Debug)]
pub(crate) struct Made {
    body: Value,
    image: Named,
    _hold: Hold,
}

/// The image it is made of.
#[derive(Debug)]
enum Named {
    There(Found),
    ToPull(Reference),
}

/// What the Engine says of one that it made.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
    #[serde(default, deserialize_with = "or_default")]
    warnings: Vec<String>,
}

impl Acting for ContainerRun {
    const NAME: &'static str = "container_run";
    const TITLE: &'static str = "Run a container";
    const SCOPE: Scope = Scope::DockerDeploy;
    const ACTIONS: &[Action] = &[Action::Run];
    const LANE: Lane = Lane::Deploy;
    const DESTRUCTIVE: bool = false;
    const IDEMPOTENT: bool = false;
    const OPEN_WORLD: bool = true;
    const LOOK: &'static str = "look with `containers`";
    const UNTRUSTED: Option<&'static str> = Some("warnings");
    // a command can have secrets in it, a variable or a label all the more
    const AUDITED: &'static [&'static str] =
        &["name", "image", "pull", "ports", "volumes", "network", "restart", "memory_bytes", "cpus", "user", "healthy"];
    type Output = Report;
    type Target = Made;

    async fn aim(&self, turn: &Turn) -> Result<Aim<Made>, Failure> {
        let docker = &turn.docker(Self::SCOPE);
        create::check_name(&self.name)?;
        let mut container = self.container()?;
        docker.allow().check_new(&self.name, &self.labels)?;
        // before anything is looked up, so that nothing can be found out by what is refused
        let body = policy(docker, &container)?;
        let all = docker.all_containers().await?;
        if all.iter().any(|one| one.has_name(&self.name)) {
            return Err(Failure::Refused(format!("the name {} is taken", self.name)));
        }
        volumes(docker, &body, &all).await?;
        // Podman has no networks of these names, and knows them as words all the same
        if let Some(network) = self.network.as_ref().filter(|network| !matches!(network.as_str(), "none" | "bridge")) {
            // one that only hidden containers are in is not there for this caller
            let is_there = docker.all_networks().await?.iter().any(|one| one.name == *network);
            if !is_there || !docker.allow().shows_what_is_of(members(network, &all)) {
                return Err(Failure::NotFound(format!("a network {}", network.chars().take(100).collect::<String>())));
            }
            if leads_to_hidden(network, &all, docker.allow()) {
                return Err(Failure::Forbidden(format!(
                    "the network {network} has containers that are hidden from this caller, and one in it could reach them"
                )));
            }
        }
        let image = match self.pull {
            true => {
                let reference = Reference::parse(&self.image)?;
                docker.check_registry(&reference)?;
                Named::ToPull(reference)
            }
            false => Named::There(docker.find_image(&self.image).await.map_err(|failure| match failure {
                Failure::NotFound(what) => Failure::NotFound(format!("{what} (which `pull: true` fetches)")),
                other => other,
            })?),
        };
        let of = match &image {
            Named::There(found) => {
                container.image = found.tag.clone().unwrap_or_else(|| found.image.id.clone());
                found.image.id.clone()
            }
            Named::ToPull(reference) => {
                container.image = reference.to_string();
                reference.to_string()
            }
        };
        let hold = docker.hold(&self.name, &self.name)?;
        let body = policy(docker, &container)?;
        Ok(Aim { target: Made { body, image, _hold: hold }, name: format!("{} of {of}", self.name) })
    }

    async fn act(self, turn: &Turn, made: Made) -> Result<Report, Failure> {
        let docker = &turn.docker(Self::SCOPE);
        let image = match made.image {
            Named::There(found) => found.image,
            Named::ToPull(reference) => pull(turn, &reference).await?,
        };
        let body = serde_json::to_vec(&made.body).map_err(|error| Failure::Internal(error.into()))?;
        // the name is one of letters, digits, `_`, `.` and `-`
        let path = format!("/containers/create?name={}", self.name);
        let created = docker.post(&path, Some(body), MADE_WITHIN).await.map_err(|failure| match failure {
            Failure::TimedOut(what) => {
                Failure::TimedOut(format!("{what} (it may be made yet: look with `containers`)"))
            }
            other => other,
        })?;
        let created: Created = serde_json::from_slice(&created)
            .map_err(|_| Failure::Away("Docker made a container and did not say which".to_owned()))?;
        let id = id_of(&created)?;
        if let Err(failure) = docker.post(&format!("/containers/{id}/start"), None, MADE_WITHIN).await {
            return Err(undone(docker, id, failure).await);
        }
        let (now, note) = docker.started(id, if self.healthy { Health::Awaited } else { Health::Ignored }).await?;
        let all = docker.all_containers().await?;
        let ports = all.iter().find(|one| one.id == id).map(published).unwrap_or_default();
        Ok(Report {
            name: self.name,
            id: short(id).to_owned(),
            image: self.image,
            image_id: short(&image.id).to_owned(),
            state: Condition::of(&now),
            ports,
            warnings: created.warnings,
            note,
        })
    }
}

impl ContainerRun {
    fn container(&self) -> Result<Container, Failure> {
        let check = self.health.as_ref().map(|health| Check {
            command: health.command.clone(),
            interval: health.interval_seconds,
            timeout: health.timeout_seconds,
            retries: health.retries,
            start_period: health.start_period_seconds,
        });
        Ok(Container {
            image: self.image.clone(),
            command: self.command.clone(),
            env: self.env.clone(),
            labels: self.labels.clone(),
            user: self.user.clone(),
            ports: self.ports.iter().map(|port| Published::parse(port)).collect::<Result<_, _>>()?,
            mounts: self.volumes.iter().map(|volume| Mounted::parse(volume)).collect::<Result<_, _>>()?,
            network: self.network.clone(),
            restart: self.restart.map(Restart::name),
            memory_bytes: self.memory_bytes,
            cpus: self.cpus,
            check,
        })
    }
}

impl Restart {
    fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure => "on-failure",
            Self::UnlessStopped => "unless-stopped",
            Self::Always => "always",
        }
    }
}

/// The body, if a new container may be so.
fn policy(docker: &Docker, container: &Container) -> Result<Value, Failure> {
    let body = container.body()?;
    // whatever it is called, and wherever the operator put it
    if let Ok(socket) = docker.settings().socket.path()
        && binds(&container.mounts).any(|path| socket.starts_with(path))
    {
        return Err(Failure::Forbidden("the engine's socket is there: whoever has that is root".to_owned()));
    }
    policy::check(&body, &docker.settings().binds)
        .map_err(|why| Failure::Forbidden(format!("this server makes no such container: {why}")))?;
    Ok(body)
}

fn binds(mounts: &[Mounted]) -> impl Iterator<Item = &Path> {
    mounts.iter().filter_map(|mount| match &mount.source {
        Source::Bind(path) => Some(path.as_path()),
        Source::Volume(_) => None,
    })
}

/// Refuses a volume that belongs to a container which this caller may not act on, one of the server's own (its tokens may be there, or
/// docker-guard's socket), one that is a directory of the machine by another name, and one of a container that has more than a new one may.
async fn volumes(docker: &Docker, body: &Value, all: &[Summary]) -> Result<(), Failure> {
    let wanted = policy::volumes(body);
    if wanted.is_empty() {
        return Ok(());
    }
    let all = &docker.with_mounts(all.to_vec()).await?[..];
    let settings = docker.settings();
    let theirs = all
        .iter()
        .filter(|one| !docker.allow().permits(Scope::DockerDeploy, Some(Action::Run), one))
        .flat_map(Summary::volumes);
    let theirs: Vec<&str> = theirs.collect();
    let own: Vec<&str> =
        all.iter().filter(|one| settings.own.as_ref() == Some(&one.id)).flat_map(Summary::volumes).collect();
    let known = docker.all_volumes().await?;
    for name in &wanted {
        let name = *name;
        if own.contains(&name) {
            return Err(Failure::Forbidden(format!(
                "the volume {name} belongs to the container that this server runs in itself: no other gets it"
            )));
        }
        if theirs.contains(&name) {
            return Err(Failure::Forbidden(format!(
                "the volume {name} belongs to a container for which you hold no grant of {}(run), or which docker.allow keeps out",
                Scope::DockerDeploy
            )));
        }
        if let Some(why) = known.iter().find(|one| one.name == name).and_then(|one| one.refused(&settings.binds)) {
            return Err(Failure::Forbidden(why));
        }
    }
    docker.check_shared(&wanted, all).await
}

/// The id as it may stand in a path.
fn id_of(created: &Created) -> Result<&str, Failure> {
    let id = created.id.as_str();
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id { Ok(id) } else { Err(Failure::Away("Docker made a container and did not say which".to_owned())) }
}

/// Removes a container that could not be started, and says why it could not.
async fn undone(docker: &Docker, id: &str, failure: Failure) -> Failure {
    let removed = docker.delete(&format!("/containers/{id}?force=true&v=true"), PATIENCE).await;
    let rest = match removed {
        Ok(_) => "it is removed again",
        Err(_) => "it could not be removed again: container_remove does that",
    };
    match failure {
        Failure::Refused(words) => Failure::Refused(format!("{words}; {rest}")),
        Failure::TimedOut(what) => Failure::TimedOut(format!("{what} ({rest})")),
        other => other,
    }
}

/// Whether containers that may not be seen can be spoken to from within this network.
fn leads_to_hidden(network: &str, all: &[Summary], allow: &Allow) -> bool {
    members(network, all).any(|one| !allow.sees(one))
}

/// The containers in this network, of all there are.
fn members<'a>(network: &'a str, all: &'a [Summary]) -> impl Iterator<Item = &'a Summary> {
    all.iter().filter(move |one| one.network_settings.networks.contains_key(network))
}

fn published(container: &Summary) -> Vec<String> {
    let outside = container.ports.iter().filter_map(|port| {
        let address = if port.ip.contains(':') { format!("[{}]", port.ip) } else { port.ip.clone() };
        Some(format!("{address}:{}->{}/{}", port.public_port?, port.private_port, port.protocol))
    });
    outside.collect()
}
