//! Which volumes are there, where, and who uses them?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{listed, told};
use crate::tool::{Tool, Turn};
use engine::{
    Docker, PATIENCE,
    allow::Allow,
    model::{PROJECT, Summary, Volume, Volumes as Listed, known_time},
    usage::{self, Usage},
};
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::scope::Scope;
use text::{
    page::{Limit, Page},
    table::Table,
};

/// Volumes with the containers that mount them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Volumes {
    /// Only those with this in their name; with `*` it is the whole name's pattern.
    pattern: Option<String>,
    /// Only those that no container mounts (true), or that one does.
    unused: Option<bool>,
    /// What each takes on the disk, the largest first. The Engine reads them through for it, which can take 20 seconds.
    #[serde(default)]
    sizes: bool,
    /// Rows.
    #[serde(default)]
    limit: Limit<20, 200>,
    /// next_cursor of the same question.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    pub total: usize,
    pub unused: usize,
    /// Those asked for.
    pub matching: usize,
    /// What the files of a volume are below, as `NAME/_data`, unless its row says otherwise.
    pub directory: Option<String>,
    pub volumes: Table<Row>,
    pub next_cursor: Option<String>,
}

/// A volume.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Row {
    pub name: String,
    pub driver: String,
    /// Where its files are; null: as `directory` says.
    pub mountpoint: Option<String>,
    /// Null if not asked for, or if its driver does not tell.
    pub size_bytes: Option<u64>,
    /// RFC 3339.
    pub created: Option<String>,
    /// Its compose project.
    pub project: Option<String>,
    /// Containers that mount it, running or not, as far as they may be seen.
    pub containers: Option<String>,
}

impl Tool for Volumes {
    const NAME: &'static str = "volumes";
    const TITLE: &'static str = "Volumes";
    const SCOPE: Scope = Scope::DockerRead;
    const LANE: Lane = Lane::Docker;
    const UNTRUSTED: Option<&'static str> = Some("name, project, containers, mountpoint");
    const AUDITED: &'static [&'static str] = &["pattern", "unused", "sizes", "limit", "cursor"];
    type Output = Report;

    async fn run(self, turn: &Turn) -> Result<Report, Failure> {
        let question = (&self.pattern, self.unused, self.sizes);
        let page = Page::of(Self::NAME, question, self.limit.rows(), self.cursor.as_deref())?;
        ask(&turn.docker(Self::SCOPE), &self, &page).await
    }
}

async fn ask(docker: &Docker, request: &Volumes, page: &Page<usize>) -> Result<Report, Failure> {
    let containers = docker.all_containers().await?;
    let volumes = if request.sizes {
        Usage::ask(docker, usage::OF_VOLUMES).await?.volumes().items
    } else {
        docker.get_within::<Listed>("/volumes", PATIENCE).await?.volumes
    };
    Ok(read(request, page, volumes, &containers, docker.allow()))
}

fn read(request: &Volumes, page: &Page<usize>, volumes: Vec<Volume>, containers: &[Summary], allow: &Allow) -> Report {
    let users = |volume: &Volume| containers.iter().filter(|one| one.has_volume(&volume.name)).collect::<Vec<_>>();
    let mut volumes: Vec<(Volume, Vec<&Summary>)> = volumes
        .into_iter()
        .map(|volume| {
            let users = users(&volume);
            (volume, users)
        })
        .filter(|(_, users)| allow.shows_what_is_of(users.iter().copied()))
        .collect();
    let total = volumes.len();
    let unused = volumes.iter().filter(|(_, users)| users.is_empty()).count();
    let directory = volumes.iter().find_map(|(volume, _)| volume.directory()).map(str::to_owned);
    volumes.retain(|(volume, users)| {
        request.pattern.as_ref().is_none_or(|pattern| listed::fits(pattern, &volume.name))
            && request.unused.is_none_or(|unused| unused == users.is_empty())
    });
    volumes.sort_by(|(a, _), (b, _)| b.size().cmp(&a.size()).then_with(|| a.name.cmp(&b.name)));
    let matching = volumes.len();
    let (shown, next_cursor) = page.by_count(volumes);
    let row = |(volume, users): (Volume, Vec<&Summary>)| Row {
        mountpoint: (volume.directory() != directory.as_deref() && !volume.mountpoint.is_empty())
            .then(|| volume.mountpoint.clone()),
        size_bytes: volume.size(),
        created: known_time(&volume.created_at),
        project: volume.labels.get(PROJECT).map(|project| told(project, 64)),
        containers: listed::joined(users.iter().filter(|one| allow.sees(one)).map(|one| one.name()), listed::USERS),
        name: volume.name,
        driver: volume.driver,
    };
    let volumes = shown.into_iter().map(row).collect();
    Report { total, unused, matching, directory, volumes, next_cursor }
}
