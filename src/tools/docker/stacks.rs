//! Which compose projects run here, and are their services up?

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::told;
use crate::tool::{Tool, Turn};
use engine::model::{COMPOSE, Summary};
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::scope::Scope;
use text::{
    page::{Limit, Page},
    table::Table,
};

/// Compose projects, as the labels of containers tell: services with how many of their containers run, health, images and files.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stacks {
    /// Only this project.
    #[serde(default)]
    project: Option<String>,
    /// Services.
    #[serde(default)]
    limit: Limit<20, 200>,
    /// next_cursor of the same question.
    #[serde(default)]
    cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// Projects there are.
    pub total: usize,
    /// Those of the services below.
    pub stacks: Table<Stack>,
    /// Services asked for, on this and all other pages.
    pub matching: usize,
    /// By project and name.
    pub services: Table<Service>,
    /// Pass it as cursor for the next rows.
    pub next_cursor: Option<String>,
}

/// A compose project, all of its services together.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Stack {
    pub project: String,
    pub services: usize,
    /// Containers that run.
    pub running: usize,
    /// Containers there are.
    pub containers: usize,
    pub working_directory: Option<String>,
    /// As compose was given them, parted by commas.
    pub config_files: Option<String>,
}

/// A service.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Service {
    pub project: String,
    pub service: String,
    /// Containers that run.
    pub running: usize,
    /// Containers there are; those that compose run made are not counted.
    pub containers: usize,
    /// The states of those that do not run.
    pub other_states: Option<String>,
    /// The worst: unhealthy, starting or healthy; null without a health check, and of Podman, which lists none.
    pub health: Option<String>,
    /// More than one while it is being updated.
    pub images: String,
}

impl Tool for Stacks {
    const NAME: &'static str = "stacks";
    const TITLE: &'static str = "Compose projects";
    const SCOPE: Scope = Scope::DockerRead;
    const LANE: Lane = Lane::Docker;
    const SHARED: bool = true;
    const UNTRUSTED: Option<&'static str> = Some("stacks, services");
    const AUDITED: &'static [&'static str] = &["project", "limit", "cursor"];
    type Output = Report;

    async fn run(self, turn: &Turn) -> Result<Report, Failure> {
        let page = Page::of(Self::NAME, &self.project, self.limit.rows(), self.cursor.as_deref())?;
        let all = turn.docker(Self::SCOPE).containers().await?;
        Ok(report(&all, self.project.as_deref(), &page))
    }
}

fn report(all: &[Summary], wanted: Option<&str>, page: &Page<usize>) -> Report {
    let mut projects: BTreeMap<&str, BTreeMap<&str, Vec<&Summary>>> = BTreeMap::new();
    for one in all.iter().filter(|one| !is_oneoff(one)) {
        if let Some(project) = one.project() {
            projects.entry(project).or_default().entry(one.service().unwrap_or("-")).or_default().push(one);
        }
    }
    let total = projects.len();
    projects.retain(|project, _| wanted.is_none_or(|wanted| wanted == *project));
    let services: Vec<(&str, &str, &Vec<&Summary>)> = projects
        .iter()
        .flat_map(|(project, services)| services.iter().map(|(service, members)| (*project, *service, members)))
        .collect();
    let matching = services.len();
    let (shown, next_cursor) = page.by_count(services);
    let named: BTreeSet<&str> = shown.iter().map(|(project, ..)| *project).collect();
    let stacks = projects.iter().filter(|(project, _)| named.contains(*project));
    Report {
        total,
        stacks: stacks.map(|(project, services)| stack(project, services)).collect(),
        matching,
        services: shown.into_iter().map(|(project, name, members)| service(project, name, members)).collect(),
        next_cursor,
    }
}

fn stack(project: &str, services: &BTreeMap<&str, Vec<&Summary>>) -> Stack {
    let members = || services.values().flatten();
    // containers made before a move of the files say where they were: the youngest knows best
    let youngest = members().max_by_key(|one| one.created);
    let label = |name: &str| youngest.and_then(|one| one.labels.get(&format!("{COMPOSE}{name}")));
    Stack {
        project: told(project, 64),
        services: services.len(),
        running: members().filter(|one| one.state == "running").count(),
        containers: members().count(),
        working_directory: label("project.working_dir").map(|path| told(path, 200)),
        config_files: label("project.config_files").map(|paths| told(paths, 300)),
    }
}

fn service(project: &str, name: &str, members: &[&Summary]) -> Service {
    let mut others: BTreeMap<&str, usize> = BTreeMap::new();
    for one in members.iter().filter(|one| one.state != "running") {
        *others.entry(&one.state).or_default() += 1;
    }
    let others: Vec<String> = others.into_iter().map(|(state, count)| format!("{count} {state}")).collect();
    let is = |health: &&str| members.iter().any(|one| one.health() == Some(health));
    let images: BTreeSet<String> = members.iter().map(|one| told(&one.image, 120)).collect();
    Service {
        project: told(project, 64),
        service: told(name, 64),
        running: members.iter().filter(|one| one.state == "running").count(),
        containers: members.len(),
        other_states: (!others.is_empty()).then(|| others.join(", ")),
        health: ["unhealthy", "starting", "healthy"]
            .iter()
            .find(|health| is(health))
            .map(|health| (*health).to_owned()),
        images: images.into_iter().take(5).collect::<Vec<_>>().join(", "),
    }
}

/// Made by `compose run`, for one command: no replica of the service.
fn is_oneoff(one: &Summary) -> bool {
    one.labels.get(&format!("{COMPOSE}oneoff")).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::model::{PROJECT, SERVICE};

    fn member(project: &str, service: &str, state: &str, status: &str) -> Summary {
        let labels = [(PROJECT.to_owned(), project.to_owned()), (SERVICE.to_owned(), service.to_owned())];
        Summary {
            state: state.into(),
            status: status.into(),
            image: "web:1".into(),
            labels: labels.into(),
            ..Summary::default()
        }
    }

    fn of(all: &[Summary], wanted: Option<&str>, limit: usize) -> Report {
        report(all, wanted, &Page::first(limit))
    }

    #[test]
    fn a_service_is_as_well_as_its_worst_container() {
        let all = [
            member("shop", "web", "running", "Up (healthy)"),
            member("shop", "web", "running", "Up (unhealthy)"),
            member("shop", "web", "exited", "Exited (1)"),
            member("shop", "db", "running", "Up"),
            Summary { state: "running".into(), ..Summary::default() },
        ];
        let report = of(&all, None, 20);
        let [db, web] = &report.services.0[..] else { panic!("{report:?}") };
        assert_eq!((web.running, web.containers, web.health.as_deref()), (2, 3, Some("unhealthy")));
        assert_eq!(web.other_states.as_deref(), Some("1 exited"));
        assert_eq!((db.service.as_str(), db.health.as_deref()), ("db", None));
        assert_eq!((report.stacks.0[0].services, report.stacks.0[0].running), (2, 3));
    }

    #[test]
    fn a_page_tells_the_projects_of_its_services_alone() {
        let all: Vec<_> = ["a", "b", "c"].iter().map(|name| member(name, "web", "running", "Up")).collect();
        let report = of(&all, None, 2);
        assert_eq!((report.total, report.matching, report.stacks.0.len(), report.services.0.len()), (3, 3, 2, 2));
        assert!(report.next_cursor.is_some());
        assert_eq!(of(&all, Some("c"), 2).stacks.0[0].project, "c");
        assert!(of(&all, Some("none"), 2).services.0.is_empty());
    }

    #[test]
    fn what_compose_run_made_is_no_replica() {
        let mut oneoff = member("shop", "web", "exited", "Exited (0)");
        oneoff.labels.insert(format!("{COMPOSE}oneoff"), "True".into());
        assert!(of(&[oneoff], None, 20).services.0.is_empty());
    }
}
