//! Replace a container by one of a newer image, or leave everything as it was.

use std::time::Duration;

use futures_util::StreamExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::state::Condition;
use crate::tool::{Acting, Aim, Step, Turn};
use engine::{
    Docker, Hold, Pulled,
    image::{Image, Reference},
    journal::{Entry, Journal, Stage},
    model::{Summary, short},
    replace::{self, may_run, recreate},
    update::{self, End},
};
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::scope::{Action, Scope};

/// How long a new container has to become healthy unless the caller or its check says more.
const WAIT: u64 = 60;

/// The longest that may be waited for.
const LONGEST_WAIT: u64 = 900;

/// How many steps there are to tell of.
const STEPS: f64 = 7.0;

/// Pull a container's image and recreate the container from it with the same settings, networks, volumes and labels. Waits until it is
/// healthy, and puts the old one back if it is not. Nothing changes if the image is the same.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContainerUpdate {
    /// Its name, full id, or 12-digit id.
    name: String,
    /// Another image to make it of; default: the one it was made of.
    image: Option<String>,
    /// false: take the image that is there.
    #[serde(default = "yes")]
    pull: bool,
    /// Recreate it though the image is the same.
    #[serde(default)]
    force: bool,
    /// How long it has to become healthy: 1 to 900, default 60 or as long as its health check takes.
    wait_seconds: Option<u64>,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    pub name: String,
    /// Of the container that has the name now: the first twelve digits.
    pub id: String,
    /// Whether it was replaced; false: it is up to date.
    pub changed: bool,
    pub image: String,
    /// The first twelve digits.
    pub image_id_before: String,
    pub image_id_after: String,
    pub state: Condition,
    pub note: Option<String>,
}

/// What is updated, as it was found.
#[derive(Debug)]
pub(crate) struct Target {
    summary: Summary,
    image: String,
    journal: Journal,
    hold: Hold,
}

impl Acting for ContainerUpdate {
    const NAME: &'static str = "container_update";
    const TITLE: &'static str = "Update a container";
    const SCOPE: Scope = Scope::DockerDeploy;
    const ACTIONS: &[Action] = &[Action::Update];
    const LANE: Lane = Lane::Deploy;
    const DESTRUCTIVE: bool = true;
    const IDEMPOTENT: bool = false;
    const OPEN_WORLD: bool = true;
    const LOOK: &'static str = "look with `container`";
    const UNTRUSTED: Option<&'static str> = Some("name, image");
    const AUDITED: &'static [&'static str] = &["name", "image", "pull", "force", "wait_seconds"];
    type Output = Report;
    type Target = Target;

    async fn aim(&self, turn: &Turn) -> Result<Aim<Target>, Failure> {
        if self.wait_seconds.is_some_and(|wait| !(1..=LONGEST_WAIT).contains(&wait)) {
            return Err(Failure::Invalid(format!("wait_seconds is from 1 to {LONGEST_WAIT}")));
        }
        let docker = &turn.docker(Self::SCOPE);
        let summary = docker.find(&self.name, Self::SCOPE, Some(Action::Update)).await?;
        let inspect: Value = docker.get(&format!("/containers/{}/json", summary.id)).await?;
        let refuse = |why: &str| Failure::Refused(format!("{} is not updated: {why}", summary.name()));
        if let Some(why) = replace::refused(&inspect) {
            return Err(refuse(why));
        }
        let old_image = docker.image_of(&inspect).await?;
        if let Some(why) = docker.beyond(&inspect, &old_image, &old_image).await?
            && !docker.settings().update_privileged
        {
            return Err(Failure::Forbidden(format!(
                "{} is not updated: it has what no new container may ask for ({why}), and its image would have that too; the operator can allow it with docker.update_privileged (docker-guard: --update-privileged)",
                summary.name()
            )));
        }
        if let Some(why) = dependent(docker, &summary).await? {
            return Err(refuse(&why));
        }
        let image =
            self.image.clone().unwrap_or_else(|| inspect["Config"]["Image"].as_str().unwrap_or_default().to_owned());
        let reference = named(&image).ok_or_else(|| match self.image {
            Some(_) => {
                Failure::Invalid("image is a reference such as nginx:1.29 or registry.example/team/app:3".to_owned())
            }
            None => refuse("it was made of an image without a name; say which image to make it of"),
        })?;
        if self.pull {
            docker.check_registry(&reference).map_err(|failure| {
                Failure::Forbidden(format!("{failure}; pull: false takes the image that is there"))
            })?;
        }
        let Some(state) = &docker.settings().state else {
            return Err(Failure::Refused(
                "an update keeps a journal, and this server has no state directory".to_owned(),
            ));
        };
        let journal = Journal::open(state).await?;
        let hold = docker.hold(&summary.id, summary.name())?;
        let name = format!("{} {}", summary.id, summary.name());
        Ok(Aim { target: Target { summary, image, journal, hold }, name })
    }

    async fn act(self, turn: &Turn, target: Target) -> Result<Report, Failure> {
        let docker = &turn.docker(Self::SCOPE);
        let Target { summary, image, journal, hold: _hold } = target;
        let id = &summary.id;
        let Some(claim) = journal.claim(id).await? else {
            return Err(Failure::Refused(format!("{} is being updated by another call", summary.name())));
        };
        if let Some(entry) = claim.read().await? {
            return Err(Failure::Refused(format!(
                "an earlier update of {} has not ended ({:?}); the server is ending it: try again in a minute",
                summary.name(),
                entry.stage
            )));
        }
        let Found { inspect, old_image, new_image } = match self.found(turn, &summary, &image).await {
            Ok(found) => found,
            Err(failure) => {
                claim.close().await;
                return Err(failure);
            }
        };
        let of = |image: &Value| short(image.as_str().unwrap_or_default()).to_owned();
        let (before, after) = (of(&inspect["Image"]), of(&new_image["Id"]));
        let report = |id: &str, changed, state, note| Report {
            name: summary.name().to_owned(),
            id: short(id).to_owned(),
            changed,
            image: image.clone(),
            image_id_before: before.clone(),
            image_id_after: after.clone(),
            state,
            note,
        };
        if before == after && !self.force {
            claim.close().await;
            let state = Condition::of(&docker.inspect(id).await?);
            return Ok(report(id, false, state, Some("already up to date".to_owned())));
        }
        let old = old_image.as_ref().unwrap_or(&Value::Null);
        let successor = recreate(&inspect, old, &new_image, &image);
        let ran = inspect["State"]["Running"] == true;
        if let Err(failure) = allowed(docker, &summary, &inspect, old, &new_image, &image).await {
            claim.close().await;
            return Err(failure);
        }
        let entry = Entry {
            stage: Stage::Creating,
            name: summary.name().to_owned(),
            old: id.clone(),
            new: None,
            image: image.clone(),
            ran,
            wait_seconds: self.wait_seconds.unwrap_or_else(|| check_takes(&inspect, &new_image)),
            grace_seconds: inspect["Config"]["StopTimeout"].as_u64().unwrap_or(10),
            why: None,
        };
        let tell = |stage| turn.tell(told(stage));
        match update::run(docker, claim, entry, &successor, tell).await? {
            End::Replaced { id } => {
                let state = Condition::of(&docker.inspect(&id).await?);
                let stopped = (!ran).then(|| "it did not run before, and was not started".to_owned());
                let gone = old_image.is_none().then(|| {
                    "its old image is gone, so the new image's own command and environment could not be told from it and were not taken up"
                        .to_owned()
                });
                let notes: Vec<String> = [stopped, gone].into_iter().flatten().collect();
                Ok(report(&id, true, state, (!notes.is_empty()).then(|| notes.join("; "))))
            }
            End::OldGone { id, bad } => {
                let new = bad.map_or("is good".to_owned(), |why| format!("is no good: {why}"));
                Err(Failure::Refused(format!(
                    "others removed {} while it was updated; the new container ({}) stays and {new}",
                    summary.name(),
                    short(&id)
                )))
            }
            End::RolledBack { why, note } => {
                let runs = note.unwrap_or_else(|| "the old container is back as it was".to_owned());
                Err(Failure::Refused(format!("{} was not updated: {why}; {runs}", summary.name())))
            }
            End::Gone => Err(Failure::Refused(format!("others removed {} while it was updated", summary.name()))),
        }
    }
}

/// What there is once the guard has let it pass and the image is pulled.
struct Found {
    inspect: Value,
    /// `None` if it is gone.
    old_image: Option<Value>,
    new_image: Value,
}

impl ContainerUpdate {
    async fn found(&self, turn: &Turn, summary: &Summary, image: &str) -> Result<Found, Failure> {
        let docker = &turn.docker(Self::SCOPE);
        update::let_through(docker, &summary.id).await?;
        if self.pull {
            pull(turn, docker, image).await?;
        }
        let new_image = image_by(docker, image).await?;
        // a pull takes its time, and others do not wait for it
        let inspect: Value = docker.get(&format!("/containers/{}/json", summary.id)).await?;
        let refuse = |why: &str| Failure::Refused(format!("{} is not updated: {why}", summary.name()));
        if let Some(why) = replace::refused(&inspect) {
            return Err(refuse(why));
        }
        if inspect["Name"].as_str().map(|name| name.trim_start_matches('/')) != Some(summary.name()) {
            return Err(refuse("it was given another name meanwhile"));
        }
        let old_image = docker.image_of(&inspect).await?;
        Ok(Found { inspect, old_image: Some(old_image).filter(Value::is_object), new_image })
    }
}

/// What the Engine says of the image that a caller means. The create takes the name, and is checked to have found the same.
async fn image_by(docker: &Docker, image: &str) -> Result<Value, Failure> {
    let by_tag = named(image).filter(|reference| reference.digest.is_none());
    if let Some(reference) = by_tag
        && let Ok(found) = docker.get::<Value>(&format!("/images/{image}/json")).await
        && Image::of(&found).is_exactly(&reference)
    {
        return Ok(found);
    }
    // by a digest, or the beginning of an id or a name, nobody learns of one that is not shown
    let found = docker.find_image(image).await?;
    docker.get(&format!("/images/{}/json", found.image.id)).await
}

/// Refuses an image that may not run with what the container has.
async fn allowed(
    docker: &Docker,
    summary: &Summary,
    inspect: &Value,
    old_image: &Value,
    new_image: &Value,
    image: &str,
) -> Result<(), Failure> {
    let Some(has) = docker.beyond(inspect, old_image, new_image).await? else { return Ok(()) };
    let settings = docker.settings();
    let why = match may_run(inspect, old_image, new_image, image, &settings.registries) {
        Ok(()) if settings.update_privileged => return Ok(()),
        Ok(()) => "docker.update_privileged does not allow it".to_owned(),
        Err(why) => why,
    };
    let name = summary.name();
    Err(Failure::Refused(format!("{name} is not updated: it has what no new container may ask for ({has}), and {why}")))
}

/// How long all other containers together may take to be asked what they share.
const ASKED_WITHIN: Duration = Duration::from_secs(20);

/// How many of them are asked at once.
const ABREAST: usize = 16;

/// Why others would lose by it, in a clause. Who may not be seen is not named.
async fn dependent(docker: &Docker, target: &Summary) -> Result<Option<String>, Failure> {
    let all: Vec<Summary> = docker.get("/containers/json?all=1").await?;
    let seen = docker.containers().await?;
    let shown = |name: &str| {
        let seen = seen.iter().any(|one| one.has_name(name));
        if seen { name.to_owned() } else { "another container".to_owned() }
    };
    if let Some(link) = target.names.iter().map(|name| name.trim_start_matches('/')).find(|name| name.contains('/')) {
        let other = shown(link.split('/').next().unwrap_or_default());
        return Ok(Some(format!("{other} is tied to it by --link, and would lose it; make both anew together")));
    }
    let shared = [format!("container:{}", target.id), format!("container:{}", target.name())];
    let asked: Vec<_> = all
        .into_iter()
        .filter(|one| one.id != target.id)
        // a list says it of the network alone, and Podman's not even that
        .map(|one| async move {
            let inspect = docker.get::<Value>(&format!("/containers/{}/json", one.id)).await;
            (one, inspect)
        })
        .collect();
    let asked = futures_util::stream::iter(asked).buffer_unordered(ABREAST).collect::<Vec<_>>();
    let asked = tokio::time::timeout(ASKED_WITHIN, asked).await;
    let asked = asked.map_err(|_| Failure::TimedOut("the Docker Engine, asked what containers share,".to_owned()))?;
    let mut others = vec![];
    for (one, inspect) in asked {
        let inspect = match inspect {
            Ok(inspect) => inspect,
            // one that is gone by now depends on nothing; of any other that is not known
            Err(failure) => match docker.all_containers().await?.iter().any(|left| left.id == one.id) {
                true => return Err(failure),
                false => continue,
            },
        };
        let is_shared =
            |key: &&str| inspect["HostConfig"][key].as_str().is_some_and(|mode| shared.iter().any(|own| own == mode));
        if ["NetworkMode", "PidMode", "IpcMode"].iter().any(is_shared) {
            others.push(shown(one.name()));
        }
    }
    others.sort();
    Ok((!others.is_empty()).then(|| {
        format!(
            "its network, processes or memory are shared by {}, which would lose them; make them anew together",
            others.join(", ")
        )
    }))
}

/// The image that can be pulled by this name; `None` for what is no name, or only an id.
fn named(image: &str) -> Option<Reference> {
    let is_id =
        image.starts_with("sha256:") || (image.len() == 64 && image.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if is_id { None } else { Reference::parse(image).ok() }
}

async fn pull(turn: &Turn, docker: &Docker, image: &str) -> Result<(), Failure> {
    let reference = named(image).ok_or_else(|| Failure::internal("the reference was good before"))?;
    let mut furthest = 0.0_f64;
    let told = |pulled: &Pulled| {
        let (done, of) = pulled.steps();
        if of > 0 {
            furthest = furthest.max((done as f64 / of as f64).min(1.0));
        }
        turn.tell(Step { done: furthest, of: Some(STEPS), words: format!("pulling {reference}: {}", pulled.words()) });
    };
    turn.pull(docker.pull(&reference, told)).await
}

/// How long the health check may take to say anything: the container's own, else the image's.
fn check_takes(inspect: &Value, new_image: &Value) -> u64 {
    let part = |name: &str| {
        let own = inspect["Config"]["Healthcheck"][name].as_u64().filter(|value| *value > 0);
        own.or(new_image["Config"]["Healthcheck"][name].as_u64()).filter(|value| *value > 0)
    };
    let second = 1_000_000_000;
    let (interval, timeout) = (part("Interval").unwrap_or(30 * second), part("Timeout").unwrap_or(30 * second));
    let tries = part("Retries").unwrap_or(3);
    let longest =
        part("StartPeriod").unwrap_or(0).saturating_add(interval.saturating_add(timeout).saturating_mul(tries));
    (longest / second).clamp(WAIT, LONGEST_WAIT)
}

fn told(stage: Stage) -> Step {
    let (done, words) = match stage {
        Stage::Creating => (1.0, "making the new container"),
        Stage::Stopping => (2.0, "stopping the old container"),
        Stage::Renaming => (3.0, "exchanging the names"),
        Stage::Starting => (4.0, "starting the new container and waiting until it is healthy"),
        Stage::Removing => (6.0, "removing the old container"),
        Stage::RollingBack => (6.0, "putting the old container back"),
    };
    Step { done, of: Some(STEPS), words: words.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_be_pulled_and_an_id_cannot() {
        for image in ["nginx", "t/bb:1", "host:5000/a/b", "host:5000/a/b:2"] {
            assert!(named(image).is_some(), "{image}");
        }
        let secret = "u:hunter2@registry.example/x:1";
        for other in
            ["", "sha256:00", &"a".repeat(64), "a b", "../x", "a//b", "/a", "a/../b", "-a", "a?b", "a%2f", secret]
        {
            assert!(named(other).is_none(), "{other}");
        }
    }
}
