//! Remove one container.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::state::Condition;
use crate::tool::{Acting, Aim, Turn};
use engine::{
    Hold,
    model::{Summary, short},
    update,
    volume::Volume,
};
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::scope::{Action, Scope};

/// How long the Engine has for it: it may have to kill it, and to take a large filesystem apart.
const REMOVED_WITHIN: Duration = Duration::from_secs(120);

/// Remove a container with all that was written in it outside of volumes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContainerRemove {
    /// Its name, full id, or 12-digit id.
    name: String,
    /// Also while it runs: it is killed.
    #[serde(default)]
    force: bool,
    /// With the volumes that were made for it and have no name of their own.
    #[serde(default)]
    volumes: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    pub name: String,
    /// The first twelve digits.
    pub id: String,
    pub image: String,
    /// What it was.
    pub before: Condition,
    pub volumes_removed: Vec<String>,
    /// Volumes it had that are still there.
    pub volumes_kept: Vec<String>,
}

impl Acting for ContainerRemove {
    const NAME: &'static str = "container_remove";
    const TITLE: &'static str = "Remove a container";
    const SCOPE: Scope = Scope::DockerDeploy;
    const ACTIONS: &[Action] = &[Action::Remove];
    const LANE: Lane = Lane::Deploy;
    const DESTRUCTIVE: bool = true;
    const IDEMPOTENT: bool = true;
    const LOOK: &'static str = "look with `containers`";
    const UNTRUSTED: Option<&'static str> = Some("name, image and volumes");
    const AUDITED: &'static [&'static str] = &["name", "force", "volumes"];
    type Output = Report;
    type Target = (Summary, Hold);

    async fn aim(&self, turn: &Turn) -> Result<Aim<Self::Target>, Failure> {
        let docker = &turn.docker(Self::SCOPE);
        let target = docker.find(&self.name, Self::SCOPE, Some(Action::Remove)).await?;
        let state = docker.inspect(&target.id).await?.state;
        if state.running && !self.force {
            return Err(Failure::Refused(format!(
                "{} is {}: stop it first (container_control), or say `force: true`",
                target.name(),
                state.status
            )));
        }
        update::at_rest(docker, &target).await?;
        let hold = docker.hold(&target.id, target.name())?;
        Ok(Aim { name: format!("{} {}", target.id, target.name()), target: (target, hold) })
    }

    async fn act(self, turn: &Turn, (target, _hold): Self::Target) -> Result<Report, Failure> {
        let docker = &turn.docker(Self::SCOPE);
        let before = docker.inspect(&target.id).await?;
        let path = format!("/containers/{}?force={}&v={}", target.id, self.force, self.volumes);
        docker.delete(&path, REMOVED_WITHIN).await?;
        let had: Vec<String> = target.volumes().map(str::to_owned).collect();
        let left: Vec<Volume> = if had.is_empty() { vec![] } else { docker.all_volumes().await? };
        let (volumes_kept, volumes_removed) =
            had.into_iter().partition(|name| left.iter().any(|one| one.name == *name));
        Ok(Report {
            name: target.name().to_owned(),
            id: short(&target.id).to_owned(),
            image: target.image,
            before: Condition::of(&before),
            volumes_removed,
            volumes_kept,
        })
    }
}
