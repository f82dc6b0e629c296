//! docker_prune: names what would go, and takes that and nothing else.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command},
};

use rights::scope::Scope;
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

use super::{Engine, IMAGE, answer, engines, registry::Registry, rows};
use crate::common::eventually;

/// What one test makes, removed at the end if it is still there.
struct Made<'a> {
    engine: &'a Engine,
    things: Vec<(&'static str, String)>,
}

impl Made<'_> {
    fn add(&mut self, kind: &'static str, id: &str) -> String {
        self.things.push((kind, id.to_owned()));
        id.to_owned()
    }

    fn is_there(&self, kind: &str, id: &str) -> bool {
        self.engine.try_docker(&[kind, "inspect", id]).status.success()
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        for (kind, id) in &self.things {
            let words: &[&str] = if *kind == "network" { &["network", "rm", id] } else { &[kind, "rm", "--force", id] };
            let _ = self.engine.try_docker(words);
        }
    }
}

fn ids(table: &Value, kind: &str) -> Vec<String> {
    let of_kind = rows(table).into_iter().filter(|row| row["kind"] == kind);
    of_kind.map(|row| row["id"].as_str().unwrap_or_else(|| row["name"].as_str().unwrap()).to_owned()).collect()
}

/// Other tests use the same engine at the same time: what they made must not go, so that only those of these names may.
fn own_names() -> String {
    "allow: [(scope: \"docker:deploy\", names: [\"smcp-prune-*\"])]".to_owned()
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn a_dry_run_names_what_would_go_and_changes_nothing() {
    // Podman's service makes no image of what the docker command line sends for `commit`
    for engine in engines().into_iter().filter(|engine| !engine.is_podman()) {
        let server = engine.server_with(&[Scope::DockerRead, Scope::DockerDeploy], &own_names());
        let (mut made, pid) = (Made { engine: &engine, things: vec![] }, std::process::id());
        let mut stopped = |name: &str, words: &[&str]| {
            let name = format!("smcp-prune-{name}-{pid}");
            let all = [&["run", "--detach", "--network", "none", "--name", &name], words, &[IMAGE, "true"]].concat();
            let id = engine.docker(&all);
            engine.docker(&["wait", &id]);
            made.add("container", &id)
        };
        let (volume, unused, in_use) =
            (format!("smcp-prune-v-{pid}"), format!("smcp-prune-n-{pid}"), format!("smcp-prune-used-{pid}"));
        let gone = stopped("gone", &[]);
        let _keeps = engine.run(&["--volume", &format!("{in_use}:/x")], &["sleep", "1000"]);
        for name in [&volume, &in_use] {
            engine.docker(&["volume", "create", name]);
            made.add("volume", name);
        }
        engine.docker(&["network", "create", &unused]);
        made.add("network", &unused);
        // an image that has lost its name
        let tag = format!("smcp-prune-{pid}");
        let image = engine.docker(&["commit", "--message", "first", &gone, &tag]);
        engine.docker(&["commit", "--message", "second", &gone, &tag]);
        made.add("image", &tag);
        let image = made.add("image", image.trim_start_matches("sha256:"));
        let ask = |more: Value| {
            let mut arguments = json!({ "min_age_seconds": 0, "limit": 100 });
            arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            answer(&server, "docker_prune", arguments)
        };
        let network = engine.docker(&["network", "inspect", "--format", "{{.Id}}", &unused])[..12].to_owned();
        let without = ask(json!({}));
        let things = &without["things"];
        assert_eq!(without["dry_run"], true);
        assert!(ids(things, "container").contains(&gone[..12].to_owned()), "{without}");
        assert!(ids(things, "image").contains(&image[..12].to_owned()), "{without}");
        assert!(ids(things, "network").contains(&network), "{without}");
        assert!(
            ids(things, "volume").is_empty() && without["note"].as_str().unwrap().contains("volumes: true"),
            "{without}"
        );
        assert!(rows(things).iter().all(|row| row["removed"] == false), "{without}");
        let with = ask(json!({ "volumes": true }));
        assert!(ids(&with["things"], "volume").contains(&volume), "{with}");
        assert!(!ids(&with["things"], "volume").contains(&in_use), "{with}");
        // what is young may be about to be used
        let young = answer(&server, "docker_prune", json!({ "volumes": true, "limit": 100 }));
        assert!(!ids(&young["things"], "volume").contains(&volume), "{young}");
        assert!(!ids(&young["things"], "network").contains(&network), "{young}");
        assert!(!ids(&young["things"], "container").contains(&gone[..12].to_owned()), "{young}");
        for (kind, id) in [("container", &gone), ("image", &image), ("network", &unused), ("volume", &volume)] {
            assert!(made.is_there(kind, id), "{kind} {id} is gone after a dry run");
        }
        let record = server.actions().pop().unwrap();
        assert_eq!(record["target"], "nothing: a dry run");
    }
}

/// An engine of a test's own, in a network of its own: other tests would miss what is pruned.
struct Alone {
    engine: Engine,
    child: Child,
    directory: PathBuf,
}

impl Alone {
    fn start() -> Self {
        let directory = std::env::temp_dir().join(format!("smcp-engine-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let engine = Engine { name: "alone".to_owned(), socket: directory.join("docker.sock") };
        let log = std::fs::File::create(directory.join("log")).unwrap();
        let at = |name: &str| directory.join(name).display().to_string();
        let child = Command::new("unshare")
            .args(["--net", "sh", "-c", "ip link set lo up && exec dockerd \"$@\"", "sh"])
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--group=root"])
            .args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("pid")])
            .args(["--host", &format!("unix://{}", at("docker.sock"))])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let alone = Self { engine, child, directory: directory.clone() };
        eventually("an engine of its own", || alone.engine.try_docker(&["version"]).status.success().then_some(()));
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        std::fs::set_permissions(&alone.engine.socket, permissions).unwrap();
        let archive = at("image.tar");
        engines()[0].docker(&["save", "--output", &archive, IMAGE]);
        alone.engine.docker(&["load", "--input", &archive]);
        alone
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        // it takes its containers and its containerd with it
        let _ = rustix::process::kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn what_was_named_goes_and_what_is_used_stays() {
    let alone = Alone::start();
    for engine in [alone.engine.clone()] {
        let server = engine.server_with(&[Scope::DockerRead, Scope::DockerDeploy], &own_names());
        let (mut made, pid) = (Made { engine: &engine, things: vec![] }, std::process::id());
        let name = format!("smcp-prune-goes-{pid}");
        let (used, unused) = (format!("smcp-prune-used-{pid}"), format!("smcp-prune-unused-{pid}"));
        for network in [&used, &unused] {
            engine.docker(&["network", "create", network]);
            made.add("network", network);
        }
        for volume in [&used, &unused] {
            engine.docker(&["volume", "create", volume]);
            made.add("volume", volume);
        }
        let had = made.add("volume", &format!("smcp-prune-had-{pid}"));
        let stopped = made.add(
            "container",
            &engine.docker(&["create", "--network", "none", "--volume", &format!("{had}:/x"), "--name", &name, IMAGE]),
        );
        // what an update would make and has not ended
        let half = format!("smcp-prune-x-{pid}.smcp-new-0123456789ab");
        let half = made.add("container", &engine.docker(&["create", "--network", "none", "--name", &half, IMAGE]));
        let tag = format!("smcp-prune-goes-{pid}");
        let dangling = engine.docker(&["commit", "--message", "first", &stopped, &tag]);
        engine.docker(&["commit", "--message", "second", &stopped, &tag]);
        made.add("image", &tag);
        let dangling = made.add("image", &dangling);
        // stopped, but not one that this caller may remove: what it has is used
        let theirs = format!("smcp-others-{pid}");
        let theirs =
            engine.docker(&["create", "--name", &theirs, "--network", &used, "--volume", &format!("{used}:/x"), IMAGE]);
        let theirs = made.add("container", &theirs);
        build(&engine);
        let cached =
            || engine.docker(&["system", "df", "--format", "{{.Type}} {{.TotalCount}}"]).contains("Build Cache 0");
        assert!(!cached(), "nothing was kept of the build");
        let arguments = json!({ "dry_run": false, "volumes": true, "min_age_seconds": 0, "limit": 100 });
        let report = answer(&server, "docker_prune", arguments);
        assert!(!ids(&report["things"], "build_cache").is_empty(), "{report}");
        assert!(cached(), "{report}");
        for (kind, id) in [("container", &stopped), ("image", &dangling), ("network", &unused), ("volume", &unused)] {
            assert!(!made.is_there(kind, id), "{}: {kind} {id} is still there: {report}", engine.name);
        }
        for (kind, id) in [
            ("container", &theirs),
            ("network", &used),
            ("volume", &used),
            ("image", &tag),
            ("container", &half),
            ("volume", &had),
        ] {
            assert!(made.is_there(kind, id), "{}: {kind} {id} is gone: {report}", engine.name);
        }
        assert!(rows(&report["things"]).iter().all(|row| row["removed"] == true), "{report}");
        let target = server.actions().pop().unwrap()["target"].as_str().unwrap().to_owned();
        for id in [&stopped, &unused] {
            assert!(target.contains(id.as_str()), "{target}");
        }
    }
}

/// A build by BuildKit that needs no client for its session: its recipe comes from an address, and is kept.
fn build(engine: &Engine) {
    let registry = Registry::beside(engine);
    registry.put_file("/Dockerfile", format!("FROM {IMAGE}\n").as_bytes());
    let mut stream = UnixStream::connect(&engine.socket).unwrap();
    let remote = format!("http://{}/Dockerfile", registry.address);
    let request = format!(
        "POST /build?version=2&remote={remote} HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert!(said.contains("moby.image.id"), "{said}");
}
