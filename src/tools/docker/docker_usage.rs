//! What of Docker's takes the disk, and what of it could go?

use std::cmp::Reverse;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::listed;
use crate::tool::{Tool, Turn};
use engine::{
    Docker,
    allow::Allow,
    model::{Image, Summary, Volume, short},
    usage::{self, Cached, Of, Usage, Used},
};
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::scope::Scope;
use text::{page::Limit, table::Table};

/// How long a line of the largest may say what it is, in characters.
const LONGEST_NAME: usize = 100;

/// What images, containers, volumes and the build cache take of the disk, what pruning would free, and the largest of each. The Engine
/// reads them through, which can take 20 seconds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DockerUsage {
    /// The largest of each kind.
    #[serde(default)]
    limit: Limit<5, 100>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// What could be summed up of all kinds.
    pub total_bytes: u64,
    pub reclaimable_bytes: u64,
    /// One row a kind.
    pub kinds: Table<Kind>,
    /// Of each kind, largest first.
    pub largest: Table<Row>,
}

/// All of a kind that may be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Kind {
    pub kind: What,
    pub total: usize,
    /// Used by a container; running; or part of a build that runs.
    pub active: usize,
    /// Layers that images share count once.
    pub size_bytes: Option<u64>,
    /// What would be freed if all that is not active went: stopped containers with what they wrote, images that no container uses, volumes
    /// that none mounts with all that is in them.
    pub reclaimable_bytes: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    Images,
    Containers,
    Volumes,
    BuildCache,
}

/// One that takes much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Row {
    pub kind: What,
    pub name: String,
    /// An image's without what it shares; what a container has written.
    pub size_bytes: u64,
    pub active: bool,
}

impl Tool for DockerUsage {
    const NAME: &'static str = "docker_usage";
    const TITLE: &'static str = "Docker's disk usage";
    const SCOPE: Scope = Scope::DockerRead;
    const LANE: Lane = Lane::Docker;
    const UNTRUSTED: Option<&'static str> = Some("name");
    const AUDITED: &'static [&'static str] = &["limit"];
    type Output = Report;

    async fn run(self, turn: &Turn) -> Result<Report, Failure> {
        let docker = &turn.docker(Self::SCOPE);
        let (usage, all) = ask(docker).await?;
        Ok(read(usage, &all, docker.allow(), self.limit.rows()))
    }
}

async fn ask(docker: &Docker) -> Result<(Usage, Vec<Summary>), Failure> {
    futures_util::future::try_join(Usage::ask(docker, usage::OF_ALL), docker.all_containers()).await
}

fn read(mut usage: Usage, all: &[Summary], allow: &Allow, limit: usize) -> Report {
    let mut largest = Vec::new();
    let mut kinds = Vec::new();
    let mut take = |(kind, mut rows): (Kind, Vec<Row>)| {
        kinds.push(kind);
        rows.retain(|row| row.size_bytes > 0);
        rows.sort_by_key(|row| Reverse(row.size_bytes));
        rows.truncate(limit);
        largest.extend(rows);
    };
    take(images(usage.images(), all, allow));
    take(containers(usage.containers(), allow));
    take(volumes(usage.volumes(), all, allow));
    take(build_cache(usage.build_cache()));
    let sum = |of: fn(&Kind) -> Option<u64>| kinds.iter().filter_map(of).fold(0, u64::saturating_add);
    Report {
        total_bytes: sum(|kind| kind.size_bytes),
        reclaimable_bytes: sum(|kind| kind.reclaimable_bytes),
        kinds: Table(kinds),
        largest: Table(largest),
    }
}

fn known(figure: Option<i64>) -> Option<u64> {
    figure.and_then(|figure| u64::try_from(figure).ok())
}

/// What these take together.
fn sum(rows: &[Row], counts: impl Fn(&Row) -> bool) -> u64 {
    rows.iter().filter(|row| counts(row)).map(|row| row.size_bytes).fold(0, u64::saturating_add)
}

fn kind(kind: What, rows: Vec<Row>, size_bytes: Option<u64>, reclaimable_bytes: Option<u64>) -> (Kind, Vec<Row>) {
    let active = rows.iter().filter(|row| row.active).count();
    (Kind { kind, total: rows.len(), active, size_bytes, reclaimable_bytes }, rows)
}

fn images(images: Of<Image>, all: &[Summary], allow: &Allow) -> (Kind, Vec<Row>) {
    let is_seen = |image: &&Image| allow.shows_what_is_of(all.iter().filter(|one| one.is_of(image)));
    let row = |image: &Image| Row {
        kind: What::Images,
        name: listed::joined(image.names(), 1).unwrap_or_else(|| short(&image.id).to_owned()),
        size_bytes: known(image.size).unwrap_or(0).saturating_sub(known(image.shared_size).unwrap_or(0)),
        // one that is not known to be unused is not offered
        active: image.containers != Some(0),
    };
    // the layers of those that may not be seen are in the total, and nothing that could go
    let used =
        images.items.iter().map(row).filter(|row| row.active).map(|row| row.size_bytes).fold(0, u64::saturating_add);
    let rows: Vec<Row> = images.items.iter().filter(is_seen).map(row).collect();
    let total = known(images.total_size);
    kind(What::Images, rows, total, total.map(|total| total.saturating_sub(used)))
}

fn containers(containers: Of<Used>, allow: &Allow) -> (Kind, Vec<Row>) {
    let seen = containers.items.iter().filter(|one| allow.sees(&one.summary));
    let row = |one: &Used| Row {
        kind: What::Containers,
        name: one.summary.name().to_owned(),
        size_bytes: known(one.written).unwrap_or(0),
        active: matches!(one.summary.state.as_str(), "running" | "paused" | "restarting"),
    };
    let rows: Vec<Row> = seen.map(row).collect();
    let (total, reclaimable) = (sum(&rows, |_| true), sum(&rows, |row| !row.active));
    kind(What::Containers, rows, Some(total), Some(reclaimable))
}

fn volumes(volumes: Of<Volume>, all: &[Summary], allow: &Allow) -> (Kind, Vec<Row>) {
    let is_seen = |volume: &&Volume| allow.shows_what_is_of(all.iter().filter(|one| one.has_volume(&volume.name)));
    let row = |volume: &Volume| Row {
        kind: What::Volumes,
        name: volume.name.clone(),
        size_bytes: volume.size().unwrap_or(0),
        active: volume.usage_data.is_none_or(|usage| usage.ref_count != Some(0)),
    };
    let rows: Vec<Row> = volumes.items.iter().filter(is_seen).map(row).collect();
    let (total, reclaimable) = (sum(&rows, |_| true), sum(&rows, |row| !row.active));
    kind(What::Volumes, rows, Some(total), Some(reclaimable))
}

fn build_cache(cache: Of<Cached>) -> (Kind, Vec<Row>) {
    let row = |one: &Cached| {
        let name = format!("{} {} {}", short(&one.id), one.kind, one.description);
        Row {
            kind: What::BuildCache,
            name: redact::clean(name.trim(), LONGEST_NAME).into_owned(),
            size_bytes: known(one.size).unwrap_or(0),
            active: one.in_use,
        }
    };
    let all = cache.items.len();
    // what an image has as well counts there
    let rows: Vec<Row> = cache.items.iter().filter(|one| !one.shared).map(row).collect();
    let (total, reclaimable) = (sum(&rows, |_| true), sum(&rows, |row| !row.active));
    let (mut kind, rows) = kind(What::BuildCache, rows, Some(total), Some(reclaimable));
    kind.total = all;
    kind.active = cache.items.iter().filter(|one| one.in_use).count();
    (kind, rows)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use engine::allow::{Rule, Rules};

    fn items() -> [Value; 4] {
        [
            json!([
                { "Id": "sha256:a", "RepoTags": ["app:1"], "Size": 100, "SharedSize": 40, "Containers": 1 },
                { "Id": "sha256:b", "RepoTags": null, "Size": 90, "SharedSize": 40, "Containers": 0 },
            ]),
            json!([
                { "Id": "1", "Names": ["/web"], "State": "running", "SizeRw": 7 },
                { "Id": "2", "Names": ["/old"], "State": "exited", "SizeRw": 5 },
            ]),
            json!([
                { "Name": "data", "UsageData": { "Size": 30, "RefCount": 1 } },
                { "Name": "left", "UsageData": { "Size": 20, "RefCount": 0 } },
                { "Name": "far", "UsageData": { "Size": -1, "RefCount": 0 } },
            ]),
            json!([
                { "ID": "x", "Type": "regular", "Size": 11, "InUse": false, "Shared": false },
                { "ID": "y", "Size": 100, "Shared": true },
            ]),
        ]
    }

    fn report(usage: Value, allow: &Allow) -> Report {
        read(serde_json::from_value(usage).unwrap(), &[], allow, 5)
    }

    #[test]
    fn both_shapes_say_the_same() {
        let [images, containers, volumes, cache] = items();
        let old = json!({ "LayersSize": 150, "Images": images, "Containers": containers, "Volumes": volumes, "BuildCache": cache });
        let of = |items: &Value, total: i64| json!({ "TotalSize": total, "Items": items });
        let new = json!({
            "ImageUsage": of(&images, 150), "ContainerUsage": of(&containers, 12), "VolumeUsage": of(&volumes, 50),
            "BuildCacheUsage": of(&cache, 11),
        });
        for usage in [old, new] {
            let report = report(usage, &Allow::default());
            let kinds: Vec<_> = report
                .kinds
                .0
                .iter()
                .map(|kind| (kind.total, kind.active, kind.size_bytes, kind.reclaimable_bytes))
                .collect();
            assert_eq!(
                kinds,
                [
                    (2, 1, Some(150), Some(90)),
                    (2, 1, Some(12), Some(5)),
                    (3, 1, Some(50), Some(20)),
                    (2, 0, Some(11), Some(11)),
                ]
            );
            let largest: Vec<_> = report.largest.0.iter().map(|row| (row.name.as_str(), row.size_bytes)).collect();
            let expected =
                [("app:1", 60), ("b", 50), ("web", 7), ("old", 5), ("data", 30), ("left", 20), ("x regular", 11)];
            assert_eq!(largest, expected);
            assert_eq!((report.total_bytes, report.reclaimable_bytes), (223, 126));
        }
    }

    #[test]
    fn nothing_known_is_null_and_what_may_not_be_seen_is_not_counted() {
        let nothing = report(json!({ "Images": null, "BuildCache": null }), &Allow::default());
        assert_eq!((nothing.kinds.0[0].size_bytes, nothing.kinds.0[0].total), (None, 0));
        let rule = Rule { names: vec!["web".into()], labels: vec![] };
        let [images, containers, ..] = items();
        let usage = json!({ "LayersSize": 150, "Images": images, "Containers": containers });
        let all: Vec<Summary> =
            serde_json::from_value(json!([{ "Id": "2", "Names": ["/old"], "ImageID": "sha256:a" }])).unwrap();
        let report =
            read(serde_json::from_value(usage).unwrap(), &all, &Allow::from(Rules(vec![(Scope::DockerRead, rule)])), 5);
        let [images, containers, ..] = &report.kinds.0[..] else { panic!() };
        assert_eq!((containers.total, containers.size_bytes), (1, Some(7)));
        // its layers are in the total, and not offered
        assert_eq!((images.total, images.size_bytes, images.reclaimable_bytes), (1, Some(150), Some(90)));
        assert!(report.largest.0.iter().all(|row| row.name != "app:1"));
    }
}
