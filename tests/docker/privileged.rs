//! Whose image runs with what a container may do beyond a new one: only one of its own repository, by the Engine's word, and only where
//! the operator lets such containers be updated at all. Asked of the server through docker-guard, and of docker-guard alone.

use engine::replace::{Replaced, recreate};
use rights::scope::Scope;
use serde_json::{Value, json};

use super::{
    Engine, IMAGE, answer, engines, failure,
    guard::{Guard, is_refused},
    registry::Registry,
    update::{Made, Middle},
};
use crate::common::Server;

const SCOPES: &[Scope] = &[Scope::DockerRead, Scope::DockerDeploy];

/// The operator's word for it.
const ALLOWED: &str = "update_privileged: true";

/// A container that may see all processes of the machine, and what it was made of.
struct Agent {
    made: Made,
    name: String,
    id: String,
}

impl Agent {
    /// One that was made of this image and has not been started.
    fn of(engine: &Engine, image: &str) -> Self {
        let made = Made::on(engine);
        let name = made.name("agent");
        let id =
            engine.docker(&["create", "--pid", "host", "--network", "none", "--name", &name, image, "sleep", "1000"]);
        Self { made, name, id }
    }

    fn is_there_as_it_was(&self) {
        let now = self.made.inspect(&self.id);
        assert_eq!(now["Name"], format!("/{}", self.name), "{}", self.made.engine.name);
        let half = format!("name={}.smcp-", self.name);
        assert_eq!(self.made.engine.docker(&["ps", "--all", "--quiet", "--filter", &half]), "");
    }

    /// What the server would send for its successor of `image`, which the Engine finds by `found_by`.
    fn successor(&self, direct: &Guard, image: &str, found_by: &str) -> (String, Value) {
        let inspect = direct.json(&format!("/containers/{}/json", self.id));
        let old = direct.json(&format!("/images/{}/json", inspect["Image"].as_str().unwrap()));
        let new = direct.json(&format!("/images/{found_by}/json"));
        let target = format!("/containers/create?name={}", Replaced::new(&self.name, &self.id).new_name());
        (target, recreate(&inspect, &old, &new, image).create)
    }
}

/// Makes an image of this name, with something of its own in it.
fn image(engine: &Engine, name: &str) {
    let base = format!("base-{}", name.replace(['/', ':'], "-"));
    engine.image(name, &base, &format!("echo {name} >/who"), &["CMD [\"sleep\",\"1000\"]"]);
}

/// Removes images at the end.
struct Images<'a>(&'a Engine, Vec<String>);

impl Drop for Images<'_> {
    fn drop(&mut self) {
        for name in &self.1 {
            let _ = self.0.try_docker(&["image", "rm", "--force", name]);
        }
    }
}

fn update(server: &Server, agent: &Agent, image: &str) -> String {
    failure(server, "container_update", json!({ "name": agent.name, "image": image, "pull": false, "force": true }))
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn what_may_do_more_runs_no_image_of_another_repository_however_it_is_named() {
    for engine in engines() {
        let prefix = format!("corp{}", std::process::id());
        let (own, next) = (format!("docker.io/{prefix}/agent:1"), format!("docker.io/{prefix}/agent:2"));
        let (evil, ending) = (format!("docker.io/evil{prefix}/x:1"), format!("attacker.example/{prefix}/agent:3"));
        let library = format!("attacker.example/{prefix}:1");
        let all = [&own, &next, &evil, &ending, &library].map(Clone::clone).to_vec();
        for name in &all {
            image(&engine, name);
        }
        let _images = Images(&engine, all);
        let agent = Agent::of(&engine, &own);
        let guard = Guard::before(&engine.socket, &["--update-privileged"]);
        let server = guard.engine(&engine).server_with(SCOPES, ALLOWED);

        let inspect = guard.json(&format!("/images/{evil}/json"));
        let id = inspect["Id"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
        let digest = inspect["RepoDigests"][0].as_str().and_then(|name| name.split_once('@')).map(|(_, digest)| digest);
        let digest = digest.map_or_else(|| format!("sha256:{id}"), str::to_owned);
        for (named, found_by) in [
            (evil.clone(), &evil),
            // the repository is the container's own, and the digest another image's
            (format!("docker.io/{prefix}/agent@{digest}"), &evil),
            (format!("docker.io/{prefix}/agent:1@{digest}"), &evil),
            (format!("{prefix}/agent@{digest}"), &evil),
            // the end of another image's name
            (format!("{prefix}/agent:3"), &ending),
            (ending.clone(), &ending),
            (format!("{prefix}:1"), &library),
            // ids
            (id.clone(), &evil),
            (id[..12].to_owned(), &evil),
            (format!("sha256:{id}"), &evil),
        ] {
            update(&server, &agent, &named);
            agent.is_there_as_it_was();
            let (target, body) = agent.successor(&guard, &named, found_by);
            let said = guard.post(&target, &body.to_string());
            assert!(is_refused(&said), "{}: {named}: {said}", engine.name);
            agent.is_there_as_it_was();
        }

        let arguments = json!({ "name": agent.name, "image": next, "pull": false });
        let report = answer(&server, "container_update", arguments);
        assert_eq!(report["changed"], true, "{}: {report}", engine.name);
        let now = agent.made.inspect(&agent.name);
        assert_eq!(now["HostConfig"]["PidMode"], "host", "{}", engine.name);
        assert_ne!(now["Id"], agent.id, "{}", engine.name);
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn what_may_do_more_is_not_updated_unless_server_and_guard_are_told_so() {
    for engine in engines() {
        let prefix = format!("plain{}", std::process::id());
        let (own, next) = (format!("docker.io/{prefix}/agent:1"), format!("docker.io/{prefix}/agent:2"));
        for name in [&own, &next] {
            image(&engine, name);
        }
        let _images = Images(&engine, vec![own.clone(), next.clone()]);
        let agent = Agent::of(&engine, &own);
        let volume = agent.made.name("root");
        let options = ["--opt", "type=none", "--opt", "o=bind", "--opt", "device=/"];
        engine.docker(&[&["volume", "create"][..], &options, &[&volume]].concat());
        let with_volume = agent.made.name("volume");
        engine.docker(&[
            "create",
            "--network",
            "none",
            "--volume",
            &format!("{volume}:/v"),
            "--name",
            &with_volume,
            &own,
        ]);

        let guard = Guard::before(&engine.socket, &[]);
        let direct = engine.server(SCOPES);
        for name in [&agent.name, &with_volume] {
            for image in [&own, &next] {
                let arguments = json!({ "name": name, "image": image, "pull": false, "force": true });
                let why = failure(&direct, "container_update", arguments);
                assert!(
                    why.starts_with("forbidden: ") && why.contains("docker.update_privileged"),
                    "{}: {why}",
                    engine.name
                );
            }
        }
        // a server that is told so, or is no longer itself, gets no further than the guard
        let told = guard.engine(&engine).server_with(SCOPES, ALLOWED);
        for image in [&own, &next] {
            let why = update(&told, &agent, image);
            assert!(why.starts_with("forbidden: ") && why.contains("--update-privileged"), "{}: {why}", engine.name);
            let (target, body) = agent.successor(&guard, image, image);
            let said = guard.post(&target, &body.to_string());
            assert!(is_refused(&said) && said.contains("--update-privileged"), "{}: {said}", engine.name);
        }
        agent.is_there_as_it_was();
        // what may do no more than a new one is updated as ever
        let plain = agent.made.name("plain");
        engine.docker(&["create", "--network", "none", "--name", &plain, &own]);
        let server = guard.engine(&engine).server(SCOPES);
        let arguments = json!({ "name": plain, "image": next, "pull": false });
        assert_eq!(answer(&server, "container_update", arguments)["changed"], true, "{}", engine.name);
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn a_registry_on_loopback_gives_nothing_to_what_may_do_more_unless_it_is_named() {
    for engine in engines().iter().filter(|engine| !engine.is_podman()) {
        let registry = Registry::beside(engine);
        let repository = format!("{}/corp/agent", registry.address);
        registry.put("corp/agent", "1", b"the operator's");
        let own = format!("{repository}:1");
        engine.docker(&["pull", &own]);
        let agent = Agent::of(engine, &own);
        // another listens there now
        registry.put("corp/agent", "evil", b"of another");
        let evil = format!("{repository}:evil");
        let _images = Images(engine, vec![own.clone(), evil.clone()]);

        let guard = Guard::before(&engine.socket, &["--update-privileged"]);
        let server = guard.engine(engine).server_with(SCOPES, ALLOWED);
        for image in [Value::Null, json!(own), json!(evil)] {
            let why = failure(&server, "container_update", json!({ "name": agent.name, "image": image }));
            assert!(why.starts_with("forbidden: ") && why.contains("docker.registries"), "{}: {why}", engine.name);
        }
        let said = guard.post(&format!("/images/create?fromImage={repository}&tag=evil"), "");
        assert!(is_refused(&said) && said.contains("--registry"), "{}: {said}", engine.name);
        // nor if it is there already, by whatever way
        engine.docker(&["pull", &evil]);
        let why = update(&server, &agent, &evil);
        assert!(why.contains("docker.registries"), "{}: {why}", engine.name);
        let (target, body) = agent.successor(&guard, &evil, &evil);
        assert!(is_refused(&guard.post(&target, &body.to_string())), "{}", engine.name);
        agent.is_there_as_it_was();

        let guard = Guard::before(&engine.socket, &["--update-privileged", "--registry", &registry.address]);
        let keys = format!("{ALLOWED}, registries: [{:?}]", registry.address);
        let server = guard.engine(engine).server_with(SCOPES, &keys);
        registry.put("corp/agent", "2", b"the operator's next");
        let next = format!("{repository}:2");
        let report = answer(&server, "container_update", json!({ "name": agent.name, "image": next }));
        assert_eq!(report["changed"], true, "{}: {report}", engine.name);
        let _ = engine.try_docker(&["image", "rm", "--force", &next]);
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn a_name_that_comes_to_be_another_images_at_the_create_replaces_nothing() {
    for engine in engines() {
        let prefix = format!("race{}", std::process::id());
        let (own, next) = (format!("docker.io/{prefix}/agent:1"), format!("docker.io/{prefix}/agent:2"));
        let evil = format!("docker.io/evil{prefix}/x:1");
        for name in [&own, &next, &evil] {
            image(&engine, name);
        }
        let _images = Images(&engine, vec![own.clone(), next.clone(), evil.clone()]);
        let agent = Agent::of(&engine, &own);
        let mover = {
            let (engine, next, evil) = (engine.clone(), next.clone(), evil.clone());
            move || drop(engine.docker(&["tag", &evil, &next]))
        };
        let middle = Middle::before(&engine, "/containers/create", mover, None);
        let through = Engine { name: engine.name.clone(), socket: middle.socket() };
        let why = update(&through.server_with(SCOPES, ALLOWED), &agent, &next);
        assert!(why.contains("another image"), "{}: {why}", engine.name);
        agent.is_there_as_it_was();
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn a_successor_of_another_image_neither_starts_nor_takes_the_name() {
    for engine in engines() {
        let prefix = format!("half{}", std::process::id());
        let (own, evil) = (format!("docker.io/{prefix}/agent:1"), format!("docker.io/evil{prefix}/x:1"));
        for name in [&own, &evil] {
            image(&engine, name);
        }
        let _images = Images(&engine, vec![own.clone(), evil.clone()]);
        let agent = Agent::of(&engine, &own);
        let replaced = Replaced::new(&agent.name, &agent.id);
        let guard = Guard::before(&engine.socket, &["--update-privileged"]);
        let make = |image: &str| {
            let words = ["create", "--pid", "host", "--network", "none", "--name", &replaced.new_name(), image];
            engine.docker(&words)
        };
        let post = |id: &str, what: &str| guard.post(&format!("/containers/{id}/{what}"), "");
        // as if the name had been another image's for the instant of the create
        let new = make(&evil);
        for what in ["start", "restart"] {
            assert!(is_refused(&post(&new, what)), "{}: {what}", engine.name);
        }
        let said = post(&agent.id, &format!("rename?name={}", replaced.old_name()));
        assert!(said.starts_with("HTTP/1.1 204 "), "{}: {said}", engine.name);
        for what in ["start", "restart", &format!("rename?name={}", agent.name)] {
            assert!(is_refused(&post(&new, what)), "{}: {what}", engine.name);
        }
        assert_eq!(engine.docker(&["inspect", "--format", "{{.State.Status}}", &new]), "created");
        // one of its own does both
        engine.docker(&["rm", &new]);
        let new = make(&own);
        let said = post(&new, &format!("rename?name={}", agent.name));
        assert!(said.starts_with("HTTP/1.1 204 "), "{}: {said}", engine.name);
        let said = post(&new, "start");
        assert!(said.starts_with("HTTP/1.1 204 "), "{}: {said}", engine.name);
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn a_volume_of_what_may_do_more_is_given_to_no_other() {
    for engine in engines() {
        let made = Made::on(&engine);
        let (strong, plain) = (made.name("strong"), made.name("plain"));
        let (theirs, shared) = (made.name("theirs"), made.name("shared"));
        let create = |name: &str, words: &[&str]| {
            engine.docker(&[&["create", "--network", "none", "--name", name][..], words, &[IMAGE]].concat())
        };
        create(&strong, &["--pid", "host", "--volume", &format!("{theirs}:/hooks")]);
        let id = create(&plain, &["--volume", &format!("{shared}:/data")]);
        let guard = Guard::before(&engine.socket, &[]);
        for server in [&engine, &guard.engine(&engine)].map(|engine| engine.server(SCOPES)) {
            for mode in ["", ":ro"] {
                let volumes = json!([format!("{theirs}:/x{mode}")]);
                let arguments = json!({ "name": made.name("new"), "image": IMAGE, "volumes": volumes });
                let why = failure(&server, "container_run", arguments);
                assert!(why.starts_with("forbidden: ") && why.contains(&theirs), "{}: {why}", engine.name);
            }
        }
        let body = |volume: &str| {
            let mount = json!([{ "Type": "volume", "Source": volume, "Target": "/x" }]);
            json!({ "Image": IMAGE, "HostConfig": { "Mounts": mount } }).to_string()
        };
        let fresh = made.name("fresh");
        let half = Replaced::new(&plain, &id).new_name();
        for name in [&fresh, &half] {
            let said = guard.post(&format!("/containers/create?name={name}"), &body(&theirs));
            assert!(is_refused(&said), "{}: {name}: {said}", engine.name);
        }
        let said = guard.post(&format!("/containers/create?name={fresh}"), &body(&shared));
        assert!(said.starts_with("HTTP/1.1 201 "), "{}: {said}", engine.name);
        // one that shares it already is updated as ever
        let sharer = made.name("sharer");
        create(&sharer, &["--volume", &format!("{theirs}:/x")]);
        let server = guard.engine(&engine).server(SCOPES);
        let own = if engine.is_podman() { "localhost/t/bb:1" } else { IMAGE };
        let arguments = json!({ "name": sharer, "image": own, "pull": false, "force": true });
        assert_eq!(answer(&server, "container_update", arguments)["changed"], true, "{}", engine.name);
    }
}
