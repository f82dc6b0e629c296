//! images, volumes, docker_networks, docker_usage and docker_events, next to what `docker` lists.

use rights::scope::Scope;
use serde_json::{Value, json};

use super::{IMAGE, answer, engines, failure, rows};
use crate::common::eventually;

/// What is removed when a test ends, however it ends.
struct Gone<'a>(&'a super::Engine, Vec<&'static str>);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let _ = self.0.try_docker(&self.1);
    }
}

fn find<'a>(rows: &'a [Value], key: &str, value: &str) -> &'a Value {
    rows.iter().find(|row| row[key] == value).unwrap_or_else(|| panic!("no {value} in {rows:?}"))
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn images_are_those_of_docker_images_with_their_users() {
    for engine in engines() {
        let server = engine.server(&[Scope::DockerRead]);
        let container = engine.run(&[], &["sleep", "1000"]);
        engine.docker(&["tag", IMAGE, "smcp-lists/other:2"]);
        let _gone = Gone(&engine, vec!["rmi", "smcp-lists/other:2"]);
        let report = answer(&server, "images", json!({ "pattern": "smcp-lists/other*" }));
        // Podman puts its own host before a name
        let report = if engine.is_podman() {
            answer(&server, "images", json!({ "pattern": "smcp-lists/other" }))
        } else {
            report
        };
        let images = rows(&report["images"]);
        assert_eq!(images.len(), 1, "{}: {report}", engine.name);
        let id = engine.docker(&["inspect", "--format", "{{.Id}}", "smcp-lists/other:2"]);
        let id = id.trim_start_matches("sha256:");
        assert!(id.starts_with(images[0]["id"].as_str().unwrap()), "{}: {report}", engine.name);
        let size: u64 = engine.docker(&["inspect", "--format", "{{.Size}}", IMAGE]).parse().unwrap();
        if engine.name == "store" {
            // inspect tells what was pulled, the list also what that takes unpacked
            let listed = engine.docker(&["images", "--format", "{{.Size}}", IMAGE]);
            let told = images[0]["size_bytes"].as_u64().unwrap();
            assert_eq!(listed, format!("{:.2}MB", told as f64 / 1e6));
        } else {
            assert_eq!(images[0]["size_bytes"], size, "{}", engine.name);
        }
        assert!(images[0]["name"].as_str().unwrap().contains("smcp-lists/other:2"), "{report}");
        let users = answer(&server, "images", json!({ "unused": false, "limit": 200 }));
        assert!(users["images"].to_string().contains(IMAGE), "{}: {users}", engine.name);
        let hidden = engine.server_with(&[Scope::DockerRead], "allow: [(scope: \"docker:read\", names: [\"nobody\"])]");
        let report = answer(&hidden, "images", json!({}));
        assert!(!report.to_string().contains(&container.name), "{report}");
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn volumes_have_their_users_and_on_request_their_size() {
    for engine in engines() {
        let server = engine.server(&[Scope::DockerRead]);
        engine.docker(&["volume", "create", "--label", "secret=hunter2hunter2", "smcp-lists-data"]);
        let _gone = Gone(&engine, vec!["volume", "rm", "--force", "smcp-lists-data"]);
        let container = engine.run(
            &["--volume", "smcp-lists-data:/data"],
            &["sh", "-c", "dd if=/dev/zero of=/data/f bs=1024 count=100 && sleep 1000"],
        );
        // the file is written by and by
        eventually(&format!("{}: its size is that of the file", engine.name), || {
            let report = answer(&server, "volumes", json!({ "pattern": "smcp-lists-*", "sizes": true }));
            let sized = find(&rows(&report["volumes"]), "name", "smcp-lists-data").clone();
            sized["size_bytes"].as_u64().is_some_and(|size| size >= 102_400).then_some(())
        });
        let report = answer(&server, "volumes", json!({ "pattern": "smcp-lists-*" }));
        let row = find(&rows(&report["volumes"]), "name", "smcp-lists-data").clone();
        assert_eq!((&row["containers"], &row["size_bytes"]), (&json!(container.name), &Value::Null), "{}", engine.name);
        let mountpoint = engine.docker(&["volume", "inspect", "--format", "{{.Mountpoint}}", "smcp-lists-data"]);
        assert_eq!(format!("{}/smcp-lists-data/_data", report["directory"].as_str().unwrap()), mountpoint);
        assert!(!report.to_string().contains("hunter2"));
        let unused = answer(&server, "volumes", json!({ "unused": true, "pattern": "smcp-lists-*" }));
        assert_eq!(unused["matching"], 0, "{unused}");
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn networks_have_their_members_with_their_addresses() {
    for engine in engines() {
        let server = engine.server(&[Scope::DockerRead]);
        engine.docker(&["network", "create", "--subnet", "10.213.7.0/24", "--internal", "smcp-lists-net"]);
        let _gone = Gone(&engine, vec!["network", "rm", "smcp-lists-net"]);
        let run =
            ["run", "--detach", "--network", "smcp-lists-net", "--name", "smcp-lists-member", IMAGE, "sleep", "1000"];
        engine.docker(&run);
        let _member = Gone(&engine, vec!["rm", "--force", "smcp-lists-member"]);
        // others make networks on the same engine: both have to be asked in one quiet moment
        let networks = eventually(&format!("{}: both list the same networks", engine.name), || {
            let networks = rows(&answer(&server, "docker_networks", json!({ "limit": 200 }))["networks"]);
            let same = |one: &Value| {
                let row = networks.iter().find(|row| row["name"] == one["Name"])?;
                let id = one["ID"].as_str()?.starts_with(row["id"].as_str()?);
                (id && row["driver"] == one["Driver"]).then_some(())
            };
            let listed: Vec<Value> = engine.json(&["network", "ls", "--no-trunc"]);
            let all_same = networks.len() == listed.len() && listed.iter().all(|one| same(one).is_some());
            all_same.then_some(networks)
        });
        let own = find(&networks, "name", "smcp-lists-net");
        assert_eq!((&own["internal"], &own["subnets"]), (&json!(true), &json!("10.213.7.0/24")), "{}", engine.name);
        let template = "{{(index .NetworkSettings.Networks \"smcp-lists-net\").IPAddress}}";
        let address = engine.docker(&["inspect", "--format", template, "smcp-lists-member"]);
        let one = answer(&server, "docker_networks", json!({ "name": "smcp-lists-net" }));
        let member = json!({ "name": "smcp-lists-member", "ipv4": address, "ipv6": null });
        assert_eq!(rows(&one["members"]), [member], "{}", engine.name);
        let rule = "allow: [(scope: \"docker:read\", names: [\"nobody\"])]";
        let hidden = engine.server_with(&[Scope::DockerRead], rule);
        let why = failure(&hidden, "docker_networks", json!({ "name": "smcp-lists-net" }));
        assert!(why.starts_with("not_found: "), "{}: {why}", engine.name);
        let why = failure(&server, "docker_networks", json!({ "name": "smcp-nope" }));
        assert!(why.starts_with("not_found: "), "{why}");
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn usage_is_told_to_all_who_ask_at_once_though_an_engine_counts_for_one() {
    for engine in engines() {
        let (server, other) = (engine.server(&[Scope::DockerRead]), engine.server(&[Scope::DockerRead]));
        std::thread::scope(|scope| {
            for n in 0..12 {
                let server = if n % 2 == 0 { &server } else { &other };
                scope.spawn(|| answer(server, "docker_usage", json!({})));
            }
        });
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn usage_counts_what_docker_system_df_counts() {
    for engine in engines() {
        let server = engine.server(&[Scope::DockerRead]);
        let container = engine.run(&[], &["sh", "-c", "dd if=/dev/zero of=/f bs=1024 count=2000"]);
        // the list follows the container's end by a moment
        let running = ["ps", "--quiet", "--filter", &format!("id={}", container.id)];
        eventually("it has ended", || engine.docker(&running).is_empty().then_some(()));
        let report = answer(&server, "docker_usage", json!({ "limit": 100 }));
        let kinds = rows(&report["kinds"]);
        let names: Vec<&str> = kinds.iter().map(|kind| kind["kind"].as_str().unwrap()).collect();
        assert_eq!(names, ["images", "containers", "volumes", "build_cache"]);
        let largest = rows(&report["largest"]);
        let written = find(&largest, "name", &container.name);
        assert!(written["size_bytes"].as_u64().unwrap() >= 2_048_000, "{}: {written}", engine.name);
        assert_eq!(written["active"], false, "{}", engine.name);
        let containers = find(&kinds, "kind", "containers");
        assert!(containers["reclaimable_bytes"].as_u64().unwrap() >= 2_048_000, "{}: {report}", engine.name);
        // others use the same engine: both have to be asked in one quiet moment
        let same = || {
            let df = engine.json(&["system", "df"]);
            let images = find(&df, "Type", "Images").clone();
            let report = answer(&server, "docker_usage", json!({}));
            let ours = find(&rows(&report["kinds"]), "kind", "images").clone();
            let is_same = images["TotalCount"].as_str() == Some(&ours["total"].to_string())
                && images["Active"].as_str() == Some(&ours["active"].to_string());
            (engine.is_podman() || is_same).then_some(())
        };
        eventually(&format!("{}: both count alike", engine.name), same);
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn events_tell_what_happened_and_not_what_probes_do() {
    for engine in engines() {
        let server = engine.server(&[Scope::DockerRead]);
        let health = ["--health-cmd", "true", "--health-interval", "1s"];
        let container = engine.run(&health, &["sleep", "1000"]);
        engine.docker(&["exec", &container.id, "true"]);
        engine.docker(&["kill", &container.id]);
        engine.docker(&["wait", &container.id]);
        let asked = json!({ "since": "10m", "name": container.name, "type": "container", "limit": 500 });
        let report = answer(&server, "docker_events", asked);
        let events = rows(&report["events"]);
        let actions: Vec<&str> = events.iter().map(|event| event["action"].as_str().unwrap()).collect();
        assert!(!actions.iter().any(|action| action.starts_with("exec")), "{}: {actions:?}", engine.name);
        let died = events.iter().find(|event| matches!(event["action"].as_str(), Some("die" | "died")));
        let died = died.unwrap_or_else(|| panic!("{}: {report}", engine.name));
        assert_eq!(died["detail"], "exit code 137", "{}", engine.name);
        for action in ["create", "start", "kill"] {
            assert!(actions.contains(&action), "{}: {actions:?}", engine.name);
        }
        let one = answer(&server, "docker_events", json!({ "since": "10m", "name": container.name, "limit": 1 }));
        assert_eq!(rows(&one["events"]).len(), 1, "{one}");
        assert!(one["left_out"].as_str().unwrap().contains("older events"), "{one}");
        let hidden = engine.server_with(&[Scope::DockerRead], "allow: [(scope: \"docker:read\", names: [\"nobody\"])]");
        let report = answer(&hidden, "docker_events", json!({ "since": "10m", "limit": 500 }));
        assert!(!report.to_string().contains(&container.name), "{}: {report}", engine.name);
        assert!(!report.to_string().contains(&container.id[..12]), "{}: {report}", engine.name);
    }
}
