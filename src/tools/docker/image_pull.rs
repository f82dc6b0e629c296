//! Pull an image from its registry, and say what that changed.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    docker::{
        Docker, Hold, Pulled,
        image::{Image, Reference},
        model::short,
    },
    failure::Failure,
    scope::Scope,
    tool::{Acting, Aim, Step, Turn},
};

/// How often a client is told how far it has come.
const TOLD_EVERY: Duration = Duration::from_millis(500);

/// How many containers of the old image are named.
const NAMED: usize = 20;

/// Pull an image, or bring a tag up to date, from a registry that asks for no login. Says whether that changed anything. Containers keep the
/// image that they were made of.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImagePull {
    /// [registry/]repository[:tag][@digest]; the tag is latest unless given.
    image: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    pub image: String,
    /// The first twelve digits.
    pub id: String,
    /// What it was before; null if there was none of this name.
    pub id_before: Option<String>,
    pub changed: bool,
    pub size_bytes: Option<u64>,
    /// Containers that were made of the one before.
    pub outdated_containers: Vec<String>,
}

impl Acting for ImagePull {
    const NAME: &'static str = "image_pull";
    const TITLE: &'static str = "Pull an image";
    const SCOPE: Scope = Scope::DockerDeploy;
    const DESTRUCTIVE: bool = false;
    const IDEMPOTENT: bool = true;
    const OPEN_WORLD: bool = true;
    const LOOK: &'static str = "look with `images`";
    const UNTRUSTED: Option<&'static str> = Some("image and outdated_containers");
    const AUDITED: &'static [&'static str] = &["image"];
    type Output = Report;
    type Target = (Reference, Option<Image>, Hold);

    async fn aim(&self, turn: &Turn) -> Result<Aim<Self::Target>, Failure> {
        let docker = turn.host().docker();
        let reference = Reference::parse(&self.image)?;
        docker.check_registry(&reference)?;
        let before = image(docker, &reference).await?;
        let hold = docker.hold(&reference.to_string(), &reference.to_string())?;
        let name = match &before {
            Some(before) => format!("{} {reference}", before.id),
            None => reference.to_string(),
        };
        Ok(Aim { target: (reference, before, hold), name })
    }

    async fn act(self, turn: &Turn, (reference, before, _hold): Self::Target) -> Result<Report, Failure> {
        let docker = turn.host().docker();
        let after = pull(turn, &reference).await?;
        let changed = before.as_ref().is_none_or(|before| before.id != after.id);
        let mut outdated_containers = vec![];
        if let Some(before) = before.as_ref().filter(|_| changed) {
            let all = docker.containers().await?;
            let theirs = all.iter().filter(|one| before.has_id(&one.image_id)).take(NAMED);
            outdated_containers.extend(theirs.map(|one| one.name().to_owned()));
        }
        Ok(Report {
            image: reference.to_string(),
            id: short(&after.id).to_owned(),
            id_before: before.map(|before| short(&before.id).to_owned()),
            changed,
            size_bytes: after.size,
            outdated_containers,
        })
    }
}

/// Pulls `reference`, tells how far that has come, and gives the image it has come to be.
pub(super) async fn pull(turn: &Turn, reference: &Reference) -> Result<Image, Failure> {
    let docker = turn.host().docker();
    let (mut last, mut step) = (None, (0, Instant::now()));
    let told = |pulled: &Pulled| {
        let (done, of) = pulled.steps();
        if step.0 != done {
            step = (done, Instant::now());
        }
        if last.is_none_or(|last: Instant| last.elapsed() >= TOLD_EVERY) {
            last = Some(Instant::now());
            let done = done as f64 + part_of_a_step(step.1.elapsed());
            turn.tell(Step { done, of: (of > 0).then_some(of as f64), words: pulled.words() });
        }
    };
    turn.pull(docker.pull(reference, told)).await?;
    let gone = || Failure::Refused(format!("Docker has pulled {reference}, and does not list it: look with `images`"));
    image(docker, reference).await?.ok_or_else(gone)
}

/// How much of a step counts as done after this time: always more, and never the whole. A client waits only for what goes on.
fn part_of_a_step(time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    seconds / (seconds + 60.0)
}

/// The image that is called so.
async fn image(docker: &Docker, reference: &Reference) -> Result<Option<Image>, Failure> {
    Ok(docker.images().await?.into_iter().find(|image| image.is(reference)))
}
