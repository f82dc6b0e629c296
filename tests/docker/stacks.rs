//! stacks: projects that compose itself has made, next to what `docker compose` says of them at the same moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::Duration,
};

use rights::scope::Scope;
use serde_json::{Value, json};

use super::{Engine, answer, engines, rows};
use crate::common::{Scratch, Server, eventually};

/// A service of two, one that is well, and one that is not.
const FILE: &str = r#"
services:
  web: { image: "t/bb:1", command: [sleep, "100000"], network_mode: none, deploy: { replicas: 2 } }
  db:
    image: t/bb:1
    command: [sleep, "100000"]
    network_mode: none
    healthcheck: { test: [CMD, "true"], interval: 1s }
"#;

const MORE: &str = r#"
services:
  sick:
    image: t/bb:1
    command: [sleep, "100000"]
    network_mode: none
    healthcheck: { test: [CMD, "false"], interval: 1s, retries: 1 }
"#;

/// A project of two files, taken down when dropped.
struct Project<'a> {
    engine: &'a Engine,
    name: String,
    scratch: Scratch,
}

impl Project<'_> {
    fn compose(&self, words: &[&str]) -> String {
        let files = ["compose.yaml", "more.yaml"].map(|file| self.scratch.path(file).display().to_string());
        let before = ["compose", "--project-name", &self.name, "--file", &files[0], "--file", &files[1]];
        self.engine.docker(&[&before[..], words].concat())
    }

    /// Its containers.
    fn ps(&self) -> Vec<Value> {
        let said = self.compose(&["ps", "--all", "--format", "json"]);
        let mut listed: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        // what goes on with time, and labels, which have no order
        for one in &mut listed {
            one.as_object_mut().unwrap().retain(|key, _| !matches!(key.as_str(), "Labels" | "RunningFor" | "Status"));
        }
        listed.sort_by_key(|one| one["Name"].to_string());
        listed
    }

    /// Itself, as one of all; nothing if it is none of them.
    fn ls(&self) -> Option<Value> {
        let said = self.engine.docker(&["compose", "ls", "--all", "--format", "json"]);
        let all: Vec<Value> = serde_json::from_str(&said).expect(&said);
        all.into_iter().find(|one| one["Name"] == self.name.as_str())
    }

    /// What the tool says of it now, and not what it has said a moment ago: compose changes it behind the server's back.
    fn told(&self, server: &Server) -> Value {
        thread::sleep(Duration::from_millis(250));
        answer(server, "stacks", json!({ "project": self.name }))
    }

    /// Holds what the tool says to what compose says.
    fn compare(&self, server: &Server) {
        let (before, report, ls) = eventually("nothing changes meanwhile", || {
            let (before, ls) = (self.ps(), self.ls().expect("it is there"));
            let report = self.told(server);
            (self.ps() == before).then_some((before, report, ls))
        });
        let at = format!("{}: {before:?} {ls} {report}", self.engine.name);
        let is_running = |one: &&Value| one["State"] == "running";
        let mut services: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for one in &before {
            services.entry(one["Service"].as_str().unwrap()).or_default().push(one);
        }
        let told = rows(&report["services"]);
        assert_eq!(told.len(), services.len(), "{at}");
        for (row, (service, members)) in told.iter().zip(&services) {
            let running = members.iter().copied().filter(is_running).count();
            let health = ["unhealthy", "starting", "healthy"];
            let health = health.iter().find(|health| members.iter().any(|one| one["Health"] == **health));
            // Podman has it in no list
            let health = health.filter(|_| !self.engine.is_podman());
            let images: BTreeSet<&str> = members.iter().filter_map(|one| one["Image"].as_str()).collect();
            let others = members.len() - running;
            let expected = json!({
                "project": self.name, "service": service, "running": running, "containers": members.len(),
                "other_states": (others > 0).then(|| format!("{others} exited")), "health": health,
                "images": images.into_iter().collect::<Vec<_>>().join(", "),
            });
            assert_eq!(*row, expected, "{at}");
        }
        let [stack] = &rows(&report["stacks"])[..] else { panic!("{at}") };
        let running = before.iter().filter(is_running).count();
        let expected = json!({
            "project": ls["Name"], "services": services.len(), "running": running, "containers": before.len(),
            "working_directory": self.scratch.0, "config_files": ls["ConfigFiles"],
        });
        assert_eq!(*stack, expected, "{at}");
        // `exited(2), running(1)`
        let counted = [("exited", before.len() - running), ("running", running)];
        let counted = counted.iter().filter(|(_, count)| *count > 0).map(|(state, count)| format!("{state}({count})"));
        assert_eq!(ls["Status"], counted.collect::<Vec<_>>().join(", "), "{at}");
    }
}

impl Drop for Project<'_> {
    fn drop(&mut self) {
        let filter = format!("label=com.docker.compose.project={}", self.name);
        let left = self.engine.docker(&["ps", "--all", "--quiet", "--filter", &filter]);
        for id in left.lines() {
            let _ = self.engine.try_docker(&["rm", "--force", id]);
        }
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn projects_are_those_of_docker_compose() {
    if std::env::var_os("DOCKER_CONFIG").is_none() {
        return crate::common::ignored("DOCKER_CONFIG names no docker compose");
    }
    for engine in &engines() {
        let project = Project { engine, name: format!("smcp-stacks-{}", std::process::id()), scratch: Scratch::new() };
        project.scratch.write("compose.yaml", FILE);
        project.scratch.write("more.yaml", MORE);
        let server = engine.server(&[Scope::DockerRead]);
        project.compose(&["up", "--detach"]);
        eventually("the checks have come to something", || {
            let health: Vec<_> = project.ps().iter().map(|one| one["Health"].to_string()).collect();
            // Podman may never try them
            let came = health == [r#""healthy""#, r#""unhealthy""#, r#""""#, r#""""#];
            (came || engine.is_podman()).then_some(())
        });
        project.compare(&server);
        engine.docker(&["kill", &format!("{}-web-1", project.name)]);
        project.compare(&server);
        project.compose(&["stop", "--timeout", "0", "web"]);
        project.compare(&server);
        project.compose(&["down", "--timeout", "0"]);
        assert_eq!(project.ls(), None, "{}", engine.name);
        let report = project.told(&server);
        assert_eq!((&report["matching"], rows(&report["stacks"]).len()), (&json!(0), 0), "{report}");
    }
}
