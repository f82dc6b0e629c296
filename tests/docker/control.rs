//! container_control: the state follows, and the answer says so.

use serde_json::json;
use systemmanager_mcp::scope::Scope;

use super::{answer, engines, failure};

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn the_state_follows_each_action_and_the_record_comes_before() {
    for engine in engines() {
        let server = engine.server(&[Scope::DockerRead, Scope::DockerControl]);
        let container = engine.run(&[], &["sleep", "1000"]);
        for (action, state) in [
            ("pause", "paused"),
            ("unpause", "running"),
            ("restart", "running"),
            ("stop", "exited"),
            ("start", "running"),
            ("kill", "exited"),
        ] {
            let mut arguments = json!({ "name": container.name, "action": action });
            if matches!(action, "stop" | "restart") {
                arguments["grace_seconds"] = 0.into();
            }
            let report = answer(&server, "container_control", arguments);
            assert_eq!(report["after"]["state"], state, "{}: {action}: {report}", engine.name);
            assert_eq!(report["changed"], true, "{}: {action}: {report}", engine.name);
            assert_eq!(container.inspect("{{.State.Status}}"), state, "{}: {action}", engine.name);
            let records = server.audit();
            let [.., attempt, result] = &records[..] else { panic!("{records:?}") };
            assert_eq!((&attempt["phase"], &result["phase"]), (&json!("attempt"), &json!("result")));
            for record in [attempt, result] {
                assert!(record["target"].as_str().unwrap().starts_with(&container.id), "{record}");
            }
        }
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn the_rules_say_who_is_reached_and_the_list_shows_all_the_same() {
    for engine in engines() {
        let server = engine.server_with(
            &[Scope::DockerRead, Scope::DockerControl],
            "allow: [(scope: \"docker:control\", names: [\"smcp-web-*\"], labels: [\"agent=yes\"])]",
        );
        let unlabelled = engine.run_as("smcp-web-1", &[], &["sleep", "1000"]);
        let labelled = engine.run_as("smcp-web-2", &["--label", "agent=yes"], &["sleep", "1000"]);
        let other = engine.run_as("smcp-db-1", &["--label", "agent=yes"], &["sleep", "1000"]);
        for container in [&unlabelled, &other] {
            for name in [&container.name, &container.id, &container.id[..20].to_owned()] {
                let why = failure(&server, "container_control", json!({ "name": name, "action": "pause" }));
                assert!(why.starts_with("forbidden: ") && why.contains("docker.allow"), "{why}");
            }
            assert_eq!(container.inspect("{{.State.Status}}"), "running");
        }
        answer(&server, "container_control", json!({ "name": labelled.name, "action": "pause" }));
        assert_eq!(labelled.inspect("{{.State.Status}}"), "paused");
    }
}
