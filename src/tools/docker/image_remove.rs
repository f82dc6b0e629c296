//! Remove one image, or one of its names.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tool::{Acting, Aim, Turn};
use engine::{
    Docker, Hold,
    image::{Found, Image},
    model::{or_default, short},
};
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::scope::{Action, Scope};

/// How long the Engine has for it.
const REMOVED_WITHIN: Duration = Duration::from_secs(120);

/// How many of those who use it are named.
const NAMED: usize = 10;

/// Remove an image that no container is made of. By one of several names, only that name goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImageRemove {
    /// Its name, full id, or 12-digit id.
    image: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// The first twelve digits.
    pub id: String,
    /// Names that are gone.
    pub untagged: Vec<String>,
    /// Names by which it is still there.
    pub tags: Vec<String>,
    /// Whether the image itself is gone.
    pub removed: bool,
    /// Of the image with all its layers, some of which others may have as well.
    pub size_bytes: Option<u64>,
}

/// One of what the Engine has done.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Done {
    #[serde(default, deserialize_with = "or_default")]
    untagged: String,
}

impl Acting for ImageRemove {
    const NAME: &'static str = "image_remove";
    const TITLE: &'static str = "Remove an image";
    const SCOPE: Scope = Scope::DockerDeploy;
    const ACTIONS: &[Action] = &[Action::RemoveImage];
    const LANE: Lane = Lane::Deploy;
    const DESTRUCTIVE: bool = true;
    const IDEMPOTENT: bool = true;
    const LOOK: &'static str = "look with `images`";
    const UNTRUSTED: Option<&'static str> = Some("untagged and tags");
    const AUDITED: &'static [&'static str] = &["image"];
    type Output = Report;
    type Target = (Found, Hold);

    async fn aim(&self, turn: &Turn) -> Result<Aim<Self::Target>, Failure> {
        let docker = &turn.docker(Self::SCOPE);
        let found = docker.find_image(&self.image).await?;
        let tags: Vec<&str> = found.image.tags().collect();
        if found.tag.is_none() && tags.len() > 1 {
            return Err(Failure::Refused(format!(
                "the image {} has several names: say which is to go, one after the other: {}",
                short(&found.image.id),
                tags[..tags.len().min(NAMED)].join(", ")
            )));
        }
        let title = found.tag.as_deref().unwrap_or_else(|| found.image.title());
        unused(docker, &found.image, title).await?;
        let hold = docker.hold(&found.image.id, title)?;
        Ok(Aim { name: format!("{} {title}", found.image.id), target: (found, hold) })
    }

    async fn act(self, turn: &Turn, (found, _hold): Self::Target) -> Result<Report, Failure> {
        let docker = &turn.docker(Self::SCOPE);
        let Found { image, tag } = found;
        // by its id, which cannot have come to mean another; by name only where one name of several goes
        let what = match tag {
            Some(tag) if image.tags().count() > 1 => tag,
            _ => image.id.clone(),
        };
        let done = docker.delete(&format!("/images/{what}"), REMOVED_WITHIN).await?;
        let done: Vec<Done> = serde_json::from_slice(&done).unwrap_or_default();
        let left = docker.images().await?.into_iter().find(|one| one.has_id(&image.id));
        Ok(Report {
            id: short(&image.id).to_owned(),
            untagged: done.into_iter().map(|done| done.untagged).filter(|name| !name.is_empty()).collect(),
            tags: left.iter().flat_map(Image::tags).map(str::to_owned).collect(),
            removed: left.is_none(),
            size_bytes: image.size,
        })
    }
}

/// Refuses an image that a container is made of, and names those that may be seen.
async fn unused(docker: &Docker, image: &Image, title: &str) -> Result<(), Failure> {
    let all = docker.all_containers().await?;
    let users: Vec<_> = all.iter().filter(|one| image.has_id(&one.image_id)).collect();
    if users.is_empty() {
        return Ok(());
    }
    let seen = users.iter().filter(|one| docker.allow().sees(one));
    let names: Vec<&str> = seen.take(NAMED).map(|one| one.name()).collect();
    let by = match names.is_empty() {
        true => "a container that may not be seen".to_owned(),
        false => names.join(", "),
    };
    Err(Failure::Refused(format!("the image {title} is used by {by}")))
}
