//! Which images are there, how large, and who uses them?

use std::cmp::Reverse;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::listed;
use crate::tool::{Tool, Turn};
use engine::{
    Docker,
    allow::Allow,
    model::{Image, Summary, short},
};
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::scope::Scope;
use text::{
    page::{Limit, Page},
    table::Table,
};

/// Names of an image in a row.
const NAMES: usize = 3;

/// Images, the largest first, with the containers that use them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Images {
    /// Only those with this in a name; with `*` it is the whole name's pattern.
    pattern: Option<String>,
    /// Only those that no container uses (true), or that one does.
    unused: Option<bool>,
    /// Only those without a name (true), or with one.
    dangling: Option<bool>,
    /// Rows.
    #[serde(default)]
    limit: Limit<20, 200>,
    /// next_cursor of the same question.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    pub total: usize,
    pub dangling: usize,
    pub unused: usize,
    /// Those asked for.
    pub matching: usize,
    pub images: Table<Row>,
    pub next_cursor: Option<String>,
}

/// An image.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Row {
    /// As `repository:tag`, the first three; null without one (dangling).
    pub name: Option<String>,
    /// The first twelve digits.
    pub id: String,
    /// With the layers that it shares with others.
    pub size_bytes: Option<u64>,
    /// RFC 3339.
    pub created: Option<String>,
    /// Containers that were made of it, running or not, as far as they may be seen.
    pub containers: Option<String>,
}

impl Tool for Images {
    const NAME: &'static str = "images";
    const TITLE: &'static str = "Images";
    const SCOPE: Scope = Scope::DockerRead;
    const LANE: Lane = Lane::Docker;
    const UNTRUSTED: Option<&'static str> = Some("name, containers");
    const AUDITED: &'static [&'static str] = &["pattern", "unused", "dangling", "limit", "cursor"];
    type Output = Report;

    async fn run(self, turn: &Turn) -> Result<Report, Failure> {
        let question = (&self.pattern, self.unused, self.dangling);
        let page = Page::of(Self::NAME, question, self.limit.rows(), self.cursor.as_deref())?;
        ask(&turn.docker(Self::SCOPE), &self, &page).await
    }
}

async fn ask(docker: &Docker, request: &Images, page: &Page<usize>) -> Result<Report, Failure> {
    let (images, containers) =
        futures_util::future::try_join(docker.get::<Vec<Image>>("/images/json"), docker.all_containers()).await?;
    Ok(read(request, page, images, &containers, docker.allow()))
}

fn read(request: &Images, page: &Page<usize>, images: Vec<Image>, containers: &[Summary], allow: &Allow) -> Report {
    let users = |image: &Image| containers.iter().filter(|one| one.is_of(image)).collect::<Vec<_>>();
    let mut images: Vec<(Image, Vec<&Summary>)> = images
        .into_iter()
        .map(|image| {
            let users = users(&image);
            (image, users)
        })
        .filter(|(_, users)| allow.shows_what_is_of(users.iter().copied()))
        .collect();
    let total = images.len();
    let dangling = images.iter().filter(|(image, _)| image.names().next().is_none()).count();
    let unused = images.iter().filter(|(_, users)| users.is_empty()).count();
    images.retain(|(image, users)| {
        let named =
            || image.names().any(|name| request.pattern.as_ref().is_none_or(|pattern| listed::fits(pattern, name)));
        (request.pattern.is_none() || named())
            && request.unused.is_none_or(|unused| unused == users.is_empty())
            && request.dangling.is_none_or(|dangling| dangling == image.names().next().is_none())
    });
    images.sort_by_key(|(image, _)| (Reverse(image.size), image.id.clone()));
    let matching = images.len();
    let (shown, next_cursor) = page.by_count(images);
    let row = |(image, users): (Image, Vec<&Summary>)| Row {
        name: listed::joined(image.names(), NAMES),
        id: short(&image.id).to_owned(),
        size_bytes: image.size.and_then(|size| u64::try_from(size).ok()),
        created: listed::time_of_unix(image.created),
        containers: listed::joined(users.iter().filter(|one| allow.sees(one)).map(|one| one.name()), listed::USERS),
    };
    Report { total, dangling, unused, matching, images: shown.into_iter().map(row).collect(), next_cursor }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use engine::allow::{Rule, Rules};

    fn images(request: serde_json::Value) -> Report {
        images_for(request, &Allow::default())
    }

    fn images_for(request: serde_json::Value, allow: &Allow) -> Report {
        let request: Images = serde_json::from_value(request).unwrap();
        let images = json!([
            { "Id": "sha256:aaaaaaaaaaaaaaaa", "RepoTags": ["app:1", "app:2", "app:3", "app:4"], "Size": 5, "Created": 1_000_000_000 },
            { "Id": "sha256:bbbbbbbbbbbbbbbb", "RepoTags": null, "RepoDigests": ["db@sha256:1"], "Size": 9 },
            { "Id": "sha256:cccccccccccccccc", "RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"], "Size": -1 },
        ]);
        let containers: Vec<Summary> = serde_json::from_value(json!([
            { "Id": "1", "Names": ["/web"], "ImageID": "sha256:aaaaaaaaaaaaaaaa" },
            // as Podman writes it
            { "Id": "2", "Names": ["web2"], "ImageID": "aaaaaaaaaaaaaaaa" },
        ]))
        .unwrap();
        let page = Page::first(20);
        read(&request, &page, serde_json::from_value(images).unwrap(), &containers, allow)
    }

    #[test]
    fn an_image_has_its_names_and_users_and_what_is_not_known_is_null() {
        let report = images(json!({}));
        assert_eq!((report.total, report.dangling, report.unused, report.matching), (3, 1, 2, 3));
        let [db, app, none] = &report.images.0[..] else { panic!() };
        assert_eq!((db.name.as_deref(), db.size_bytes, db.created.as_deref()), (Some("db@sha256:1"), Some(9), None));
        assert_eq!(app.name.as_deref(), Some("app:1, app:2, app:3 and 1 more"));
        assert_eq!(
            (app.containers.as_deref(), app.created.as_deref()),
            (Some("web, web2"), Some("2001-09-09T01:46:40Z"))
        );
        assert_eq!((none.id.as_str(), none.size_bytes), ("cccccccccccc", None));
    }

    #[test]
    fn an_image_that_only_those_use_who_may_not_be_seen_is_not_seen_either() {
        let only = |name: &str| {
            Allow::from(Rules(vec![(Scope::DockerRead, Rule { names: vec![name.into()], labels: vec![] })]))
        };
        let report = images_for(json!({}), &only("db"));
        assert_eq!((report.total, report.unused, report.matching), (2, 2, 2));
        let report = images_for(json!({ "pattern": "app" }), &only("web2"));
        assert_eq!((report.total, report.images.0[0].containers.as_deref()), (3, Some("web2")));
    }

    #[test]
    fn filters_narrow() {
        assert_eq!(images(json!({ "pattern": "PP:4" })).matching, 1);
        assert_eq!(images(json!({ "pattern": "app:*" })).matching, 1);
        assert_eq!(images(json!({ "pattern": "pp:*" })).matching, 0);
        assert_eq!(images(json!({ "unused": true })).matching, 2);
        assert_eq!(images(json!({ "unused": false })).matching, 1);
        assert_eq!(images(json!({ "dangling": true })).matching, 1);
    }
}
