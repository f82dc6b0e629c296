//! image_pull: from a registry that is well, slow, empty or a liar.

use std::{net::TcpStream, thread, time::Duration};

use rights::scope::Scope;
use serde_json::{Value, json};

use super::{
    Engine, answer, engines, failure,
    guard::{Guard, is_refused},
    registry::{Manner, Registry},
};
use crate::common::{Request, Server, Wire, eventually};

/// Podman asks even a registry on its own machine for TLS.
fn those_that_take_it() -> impl Iterator<Item = Engine> {
    engines().into_iter().filter(|engine| !engine.is_podman())
}

const SCOPES: &[Scope] = &[Scope::DockerRead, Scope::DockerDeploy];

/// A server whose operator names these registries, beside those with a public name.
fn naming(engine: &Engine, registries: &[&str]) -> Server {
    let named: Vec<String> = registries.iter().map(|registry| format!("{registry:?}")).collect();
    let keys = format!("registries: [\"*\", {}]", named.join(", "));
    engine.server_with(SCOPES, &keys)
}

/// Removes what was pulled, at the end.
struct Pulled<'a>(&'a Engine, String);

impl Drop for Pulled<'_> {
    fn drop(&mut self) {
        let _ = self.0.try_docker(&["image", "rm", "--force", &self.1]);
    }
}

fn id_of(engine: &Engine, image: &str) -> String {
    let id = engine.docker(&["image", "inspect", "--format", "{{.Id}}", image]);
    id.trim_start_matches("sha256:")[..12].to_owned()
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn a_pull_says_what_it_changed_and_a_second_one_that_it_changed_nothing() {
    for engine in those_that_take_it() {
        let registry = Registry::beside(&engine);
        let server = naming(&engine, &[&registry.address]);
        let image = format!("{}/smcp/pulled:1", registry.address);
        let _pulled = Pulled(&engine, image.clone());
        let pull = |image: &str| answer(&server, "image_pull", json!({ "image": image }));
        let digest = registry.put("smcp/pulled", "1", b"first");
        let first = pull(&image);
        assert_eq!((&first["changed"], &first["id_before"]), (&json!(true), &Value::Null), "{first}");
        assert_eq!(first["id"], id_of(&engine, &image), "{}", engine.name);
        let again = pull(&image);
        assert_eq!((&again["changed"], &again["id"]), (&json!(false), &first["id"]), "{again}");
        // one that is made of the old image is named
        let container = format!("smcp-outdated-{}", std::process::id());
        engine.docker(&["create", "--name", &container, &image]);
        registry.put("smcp/pulled", "1", b"second");
        let second = pull(&image);
        engine.docker(&["rm", &container]);
        assert_eq!((&second["changed"], &second["id_before"]), (&json!(true), &first["id"]), "{second}");
        assert_eq!(second["outdated_containers"], json!([container]), "{second}");
        assert_eq!(second["id"], id_of(&engine, &image));
        // by digest it is the first again, whatever the tag
        let by_digest = format!("{}/smcp/pulled:1@{digest}", registry.address);
        let third = pull(&by_digest);
        assert_eq!(third["id"], first["id"], "{third}");
        let _ = engine.try_docker(&["image", "rm", "--force", &format!("{}/smcp/pulled@{digest}", registry.address)]);
        let records = server.actions();
        assert!(
            records.iter().any(|record| record["target"].as_str().is_some_and(|target| target.contains(&image))),
            "{records:?}"
        );
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn a_client_that_asks_for_it_is_told_how_far_the_pull_has_come() {
    for engine in those_that_take_it() {
        let registry = Registry::beside(&engine);
        let server = naming(&engine, &[&registry.address]);
        registry.set(Manner::Slowly);
        let content: Vec<u8> = (0..4_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        registry.put("smcp/slow", "1", &content);
        let image = format!("{}/smcp/slow:1", registry.address);
        let _pulled = Pulled(&engine, image.clone());
        let (steps, result) = told(&server, "image_pull", json!({ "image": image }));
        assert_eq!(result["isError"], false, "{result}");
        let done: Vec<f64> = steps.iter().map(|step| step["progress"].as_f64().unwrap()).collect();
        assert!(done.len() >= 3 && done.is_sorted(), "{steps:?}");
        // fetched and unpacked: how many bytes have come would tell what a manifest leads to
        assert!(steps.iter().all(|step| step["total"] == 2.0), "{steps:?}");
        assert!(steps.iter().all(|step| step["message"].as_str().unwrap().contains("of 1 layers")), "{steps:?}");
    }
}

/// What a client that has a progress token is told during a call, and its result.
fn told(server: &Server, tool: &str, arguments: Value) -> (Vec<Value>, Value) {
    let params = json!({ "name": tool, "arguments": arguments, "_meta": { "progressToken": "t" } });
    let stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(5))).unwrap();
    let said = Wire::over(stream).ask(&Request::legacy(1, "tools/call", params).token(server.token())).text();
    let messages = said.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?.trim()).ok());
    let messages: Vec<Value> = messages.collect();
    let (steps, rest): (Vec<_>, Vec<_>) =
        messages.into_iter().partition(|message| message["method"] == "notifications/progress");
    let result = rest.iter().find(|message| message["result"].is_object()).unwrap_or_else(|| panic!("{said}"));
    (steps.into_iter().map(|step| step["params"].clone()).collect(), result["result"].clone())
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn what_cannot_be_pulled_is_refused_with_the_reason_and_leaves_nothing() {
    for engine in engines() {
        let registry = Registry::beside(&engine);
        let server = naming(&engine, &[&registry.address, "127.0.0.1:1"]);
        registry.put("smcp/broken", "1", &[7; 4096]);
        let image = format!("{}/smcp/broken", registry.address);
        for (manner, tag) in [(Manner::Well, "2"), (Manner::Falsely, "1"), (Manner::NoMore, "1")] {
            registry.set(manner);
            let image = format!("{image}:{tag}");
            let why = failure(&server, "image_pull", json!({ "image": image }));
            assert!(why.starts_with("refused: ") && why.contains("pull"), "{}: {why}", engine.name);
            assert!(!engine.try_docker(&["image", "inspect", &image]).status.success());
        }
        let why = failure(&server, "image_pull", json!({ "image": "127.0.0.1:1/nobody/there:1" }));
        assert!(why.starts_with("refused: "), "{why}");
    }
}

/// A registry that hangs keeps a caller's two places, and only as long as there is a client.
#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn a_pull_ends_with_its_client_and_gives_its_place_back() {
    for engine in those_that_take_it() {
        let registry = Registry::beside(&engine);
        let server = engine.server_with(SCOPES, &format!("registries: [{:?}]", registry.address));
        let image = |number: u8| format!("{}/smcp/left{number}:1", registry.address);
        for number in 0..3 {
            registry.put(&format!("smcp/left{number}"), "1", &vec![number; 4_000_000]);
        }
        registry.set(Manner::Hanging);
        let ask = |number| Request::call("image_pull", json!({ "image": image(number) })).token(server.token());
        let wires: Vec<Wire> = (0..2)
            .map(|number| {
                let mut wire = server.connect();
                wire.send(ask(number).bytes()).unwrap();
                wire
            })
            .collect();
        let records = |kind: &str, value: &str| server.actions().iter().filter(|record| record[kind] == value).count();
        eventually("both are at it", || (records("phase", "attempt") == 2).then_some(()));
        let third = failure(&server, "image_pull", json!({ "image": image(2) }));
        assert!(third.starts_with("busy: ") && third.contains("images"), "{}: {third}", engine.name);
        drop(wires);
        eventually("both have ended", || (records("kind", "cancelled") == 2).then_some(()));
        registry.set(Manner::Well);
        let _pulled = Pulled(&engine, image(2));
        assert_eq!(answer(&server, "image_pull", json!({ "image": image(2) }))["changed"], true, "{}", engine.name);
    }
}

/// What names a place that no public registry is at; `@` is an address with its port.
const NEAR: &[&str] = &[
    "@/x",
    "@/x/y:1",
    "localhost:PORT/x",
    "LOCALHOST:PORT/x",
    "127.1:PORT/x",
    "0x7f.1:PORT/x",
    "0177.0.0.1:PORT/x",
    "2130706433:PORT/x",
    "0.0.0.0:PORT/x",
    "box.localhost:PORT/x",
    "127.0.0.1.name.example:PORT/x",
    "127.0.0.1/x",
    "localhost/x",
    "169.254.169.254/x",
];

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn a_registry_near_the_engine_is_not_asked_unless_it_is_named() {
    for engine in engines() {
        let near = Registry::beside(&engine);
        let port = near.address.rsplit(':').next().unwrap();
        let guard = Guard::before(&engine.socket, &[]);
        let web = engine.run(&[], &["sleep", "1000"]);
        for server in [&engine, &guard.engine(&engine)].map(|engine| engine.server(SCOPES)) {
            for image in NEAR {
                let image = image.replace('@', &near.address).replace("PORT", port);
                for (tool, arguments) in [
                    ("image_pull", json!({ "image": image })),
                    ("container_run", json!({ "name": "smcp-near", "image": image, "pull": true })),
                    ("container_update", json!({ "name": web.name, "image": image })),
                ] {
                    let why = failure(&server, tool, arguments);
                    assert!(
                        why.starts_with("forbidden: ") && why.contains("docker.registries"),
                        "{tool} {image}: {why}"
                    );
                }
            }
        }
        for image in NEAR {
            let image = image.replace('@', &near.address).replace("PORT", port);
            let said = guard.post(&format!("/images/create?fromImage={image}"), "");
            assert!(is_refused(&said) && said.contains("--registry"), "{}: {image}: {said}", engine.name);
        }
        assert_eq!(near.asked(), Vec::<String>::new(), "{}", engine.name);
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn no_image_is_the_way_to_a_file_of_the_machine() {
    for engine in engines() {
        let guard = Guard::before(&engine.socket, &["--registry", "*", "--registry", "dir-5:5"]);
        let server = guard.engine(&engine).server(SCOPES);
        for transport in [
            "dir",
            "oci",
            "oci-archive",
            "docker-archive",
            "docker-daemon",
            "containers-storage",
            "sif",
            "tarball",
            "ostree",
        ] {
            let image = format!("{transport}:5/y");
            for (tool, arguments) in [
                ("image_pull", json!({ "image": image })),
                ("image_remove", json!({ "image": image })),
                ("container_run", json!({ "name": "smcp-file", "image": image })),
                ("container_run", json!({ "name": "smcp-file", "image": image, "pull": true })),
            ] {
                let why = failure(&server, tool, arguments);
                assert!(why.starts_with("invalid: "), "{}: {tool} {image}: {why}", engine.name);
            }
            for said in [
                guard.post(&format!("/images/create?fromImage={image}&tag=1"), ""),
                guard.post("/containers/create?name=smcp-file", &json!({ "Image": image }).to_string()),
                guard.request(&format!("GET /images/{image}/json")),
            ] {
                assert!(is_refused(&said), "{}: {image}: {said}", engine.name);
            }
        }
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn of_a_failed_pull_a_caller_is_told_the_kind_and_nothing_that_a_registry_said() {
    for engine in those_that_take_it() {
        let registry = Registry::beside(&engine);
        // what no caller may read: another service on loopback
        let inner = Registry::beside(&engine);
        inner.say("/hush", "404 Not Found", "", "hush: the dashboard of the machine");
        inner.say("/creds", "200 OK", "", "{\"Token\":\"hush\"}");
        let redirect = format!("Location: http://{}/hush\r\n", inner.address);
        let realm = format!("WWW-Authenticate: Bearer realm=\"http://{}/creds\"\r\n", inner.address);
        let coded = |code: &str| format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"hush\"}}]}}");
        let cases = [
            ("404 Not Found", "", "hush".to_owned(), "not found"),
            ("404 Not Found", "Content-Type: application/json\r\n", coded("MANIFEST_UNKNOWN"), "not found"),
            ("401 Unauthorized", "", "hush".to_owned(), "denied"),
            ("401 Unauthorized", &realm[..], "hush".to_owned(), ""),
            ("403 Forbidden", "", "hush".to_owned(), "denied"),
            ("429 Too Many Requests", "", "hush".to_owned(), "too many requests"),
            ("500 Internal Server Error", "", "hush".to_owned(), "HTTP status: 500"),
            ("200 OK", "", "hush".to_owned(), ""),
            ("302 Found", &redirect[..], "hush".to_owned(), ""),
        ];
        let guard = Guard::before(&engine.socket, &["--registry", &registry.address]);
        let keys = format!("registries: [{:?}]", registry.address);
        let servers = [&engine, &guard.engine(&engine)].map(|engine| engine.server_with(SCOPES, &keys));
        for (number, (status, fields, body, kind)) in cases.iter().enumerate() {
            registry.say(&format!("/v2/t/x{number}/manifests/1"), status, fields, body);
            let image = format!("{}/t/x{number}:1", registry.address);
            for server in &servers {
                let why = failure(server, "image_pull", json!({ "image": image }));
                let at = format!("{}: {status} {fields}: {why}", engine.name);
                assert!(why.starts_with("refused: ") && why.contains(kind), "{at}");
                assert!(!why.contains("hush") && !why.contains(&inner.address), "{at}");
            }
            let said = guard.post(&format!("/images/create?fromImage={}/t/x{number}&tag=1", registry.address), "");
            let at = format!("{}: {status} {fields}: {said}", engine.name);
            assert!(said.contains(kind) && !said.contains("hush") && !said.contains(&inner.address), "{at}");
        }
        assert!(!inner.asked().is_empty(), "{}: what was not told is what the Engine had read", engine.name);
        let log = servers[0].log();
        assert!(log.contains("could not be pulled"), "the operator finds the reason: {log}");
    }
}

/// A registry that has half of a new version for an image that is there.
fn fails_half_way(engine: &Engine, manner: Manner, kind: &str) {
    let registry = Registry::beside(engine);
    let server = naming(engine, &[&registry.address]);
    let image = format!("{}/smcp/half:1", registry.address);
    let _pulled = Pulled(engine, image.clone());
    registry.put("smcp/half", "1", b"first");
    let first = answer(&server, "image_pull", json!({ "image": image }));
    // of its own: the Engine fetches a layer once for all who want it
    registry.put("smcp/half", "1", &vec![manner as u8; 4_000_000]);
    registry.set(manner);
    let (steps, result) = told(&server, "image_pull", json!({ "image": image }));
    let why = result["content"][0]["text"].as_str().unwrap();
    let at = format!("{}: {why}", engine.name);
    assert!(result["isError"] == true && why.starts_with(kind) && why.contains(&format!("pull {image}")), "{at}");
    assert!(!steps.is_empty(), "{at}");
    // by that name it is what it was, and nothing else is there
    assert_eq!(first["id"], id_of(engine, &image), "{at}");
    let listed = answer(&server, "images", json!({ "pattern": registry.address }));
    assert_eq!(listed["matching"], 1, "{at} {listed}");
    let records = server.actions();
    let ended = records.iter().rfind(|record| record["tool"] == "image_pull").unwrap();
    assert_eq!(format!("{}: ", ended["kind"].as_str().unwrap()), kind, "{ended}");
    // once the registry is well, all of it comes
    registry.set(Manner::Well);
    let second = answer(&server, "image_pull", json!({ "image": image }));
    assert_eq!((&second["changed"], &second["id_before"]), (&json!(true), &first["id"]), "{at} {second}");
}

#[test]
#[ignore = "takes minutes: tests/run --full"]
fn a_registry_that_fails_half_way_is_given_up_after_minutes_and_the_image_is_what_it_was() {
    thread::scope(|scope| {
        for engine in those_that_take_it() {
            let fails = move |manner, kind| {
                let engine = engine.clone();
                move || fails_half_way(&engine, manner, kind)
            };
            scope.spawn(fails.clone()(Manner::Hanging, "timed_out: "));
            scope.spawn(fails(Manner::Dying, "refused: "));
        }
    });
}
