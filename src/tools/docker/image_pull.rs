//! Pull an image from its registry, and say what that changed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pull::{image, pull};
use crate::tool::{Acting, Aim, Turn};
use engine::{
    Hold,
    image::{Image, Reference},
    model::short,
};
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::scope::{Action, Scope};

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
    const ACTIONS: &[Action] = &[Action::Pull];
    const LANE: Lane = Lane::Deploy;
    const DESTRUCTIVE: bool = false;
    const IDEMPOTENT: bool = true;
    const OPEN_WORLD: bool = true;
    const LOOK: &'static str = "look with `images`";
    const UNTRUSTED: Option<&'static str> = Some("image and outdated_containers");
    const AUDITED: &'static [&'static str] = &["image"];
    type Output = Report;
    type Target = (Reference, Option<Image>, Hold);

    async fn aim(&self, turn: &Turn) -> Result<Aim<Self::Target>, Failure> {
        let docker = &turn.docker(Self::SCOPE);
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
        let docker = &turn.docker(Self::SCOPE);
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
