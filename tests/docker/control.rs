//! container_control: the state follows, and the answer says so.

use rights::scope::Scope;
use serde_json::json;

use super::{answer, engines, failure};
use crate::common::{Request, eventually};

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
            let records = server.actions();
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
            for name in [&container.name, &container.id, &container.id[..12].to_owned()] {
                let why = failure(&server, "container_control", json!({ "name": name, "action": "pause" }));
                assert!(why.starts_with("forbidden: ") && why.contains("docker.allow"), "{why}");
            }
            assert_eq!(container.inspect("{{.State.Status}}"), "running");
        }
        answer(&server, "container_control", json!({ "name": labelled.name, "action": "pause" }));
        assert_eq!(labelled.inspect("{{.State.Status}}"), "paused");
    }
}

/// A container that does not heed TERM.
const STUBBORN: &[&str] = &["sh", "-c", "trap '' TERM; while :; do sleep 1; done"];

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn what_is_already_so_is_left_alone_and_said_to_be_so() {
    for engine in engines() {
        let server = engine.server(&[Scope::DockerRead, Scope::DockerControl]);
        let container = engine.run(&[], &["sleep", "1000"]);
        for (before, action, state, words) in [
            (&[][..], "start", "running", "running already"),
            (&[], "unpause", "running", "not paused"),
            (&["pause"], "pause", "paused", "paused already"),
            (&["unpause", "kill"], "kill", "exited", "not running"),
            (&[], "stop", "exited", "not running"),
        ] {
            for action in before {
                engine.docker(&[action, &container.id]);
            }
            let started = container.inspect("{{.State.StartedAt}} {{.State.FinishedAt}}");
            let report = answer(&server, "container_control", json!({ "name": container.name, "action": action }));
            assert_eq!(report["changed"], false, "{}: {action}: {report}", engine.name);
            assert_eq!(report["after"]["state"], state, "{}: {action}: {report}", engine.name);
            assert!(report["note"].as_str().unwrap().contains(words), "{}: {action}: {report}", engine.name);
            assert_eq!(container.inspect("{{.State.StartedAt}} {{.State.FinishedAt}}"), started);
        }
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn an_ambiguous_beginning_is_refused_with_the_candidates() {
    for engine in engines() {
        let server = engine.server(&[Scope::DockerRead]);
        // of seventeen ids two begin alike
        let all: Vec<_> = (0..17).map(|_| engine.run(&[], &["true"])).collect();
        let (first, second) = all
            .iter()
            .enumerate()
            .find_map(|(at, one)| all[..at].iter().find(|other| other.id[..1] == one.id[..1]).map(|other| (one, other)))
            .unwrap();
        let why = failure(&server, "container", json!({ "name": &first.id[..1] }));
        assert!(why.starts_with("invalid: ") && why.contains("may be each of"), "{why}");
        // ten of them are named
        assert!(why.contains(&first.name) || why.contains(&second.name) || why.matches(" (").count() == 10, "{why}");
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn a_signal_that_is_caught_is_sent_and_what_became_of_it_is_said() {
    for engine in engines() {
        let server = engine.server(&[Scope::DockerRead, Scope::DockerControl]);
        let container = engine.run(&[], STUBBORN);
        let kill = |signal: &str| {
            let arguments = json!({ "name": container.name, "action": "kill", "signal": signal });
            answer(&server, "container_control", arguments)
        };
        let report = kill("TERM");
        assert_eq!((&report["changed"], &report["after"]["state"]), (&json!(false), &json!("running")), "{report}");
        assert!(report["note"].as_str().unwrap().contains("runs on"), "{report}");
        let report = kill("KILL");
        assert_eq!((&report["changed"], &report["after"]["state"]), (&json!(true), &json!("exited")), "{report}");
        assert_eq!(report["after"]["exit_code"], 137, "{report}");
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn one_that_ends_at_once_or_is_never_well_is_said_to_be_so() {
    // Podman leaves the timer of its checks to systemd
    for engine in engines().into_iter().filter(|engine| !engine.is_podman()) {
        let server = engine.server(&[Scope::DockerRead, Scope::DockerControl]);
        let check = ["--health-cmd", "false", "--health-interval", "1s", "--health-retries", "1"];
        let container = engine.run(&check, STUBBORN);
        let arguments = json!({ "name": container.name, "action": "restart", "grace_seconds": 0, "healthy": true });
        let report = answer(&server, "container_control", arguments);
        assert!(report["note"].as_str().unwrap().contains("health check fails"), "{}: {report}", engine.name);
        let container =
            engine.run(&["--health-cmd", "true", "--health-interval", "1s"], &["sh", "-c", "sleep 0.2; exit 3"]);
        engine.docker(&["wait", &container.id]);
        let arguments = json!({ "name": container.name, "action": "start", "healthy": true });
        let report = answer(&server, "container_control", arguments);
        assert!(report["note"].as_str().unwrap().contains("exit code 3"), "{}: {report}", engine.name);
        assert_eq!(report["changed"], true, "{report}");
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn a_client_that_leaves_stops_nothing_and_one_that_asks_again_has_nothing_done_twice() {
    for engine in engines() {
        let server = engine.server(&[Scope::DockerRead, Scope::DockerControl]);
        let container = engine.run(&[], STUBBORN);
        let started = container.inspect("{{.State.StartedAt}}");
        let restart = json!({ "name": container.name, "action": "restart", "grace_seconds": 10 });
        let mut wire = server.connect();
        wire.send(Request::call("container_control", restart.clone()).token(server.token()).bytes()).unwrap();
        eventually("the attempt is on record", || {
            server.actions().iter().any(|record| record["phase"] == "attempt").then_some(())
        });
        drop(wire);
        // the same call again, as a client does that was not answered
        let why = failure(&server, "container_control", restart);
        assert!(why.starts_with("refused: ") && why.contains("still at work"), "{why}");
        let result = eventually("the call that nobody waits for ends", || {
            let is_result = |record: &serde_json::Value| record["phase"] == "result" && record["outcome"] == "ok";
            server.actions().into_iter().find(is_result)
        });
        assert!(result["target"].as_str().unwrap().starts_with(&container.id), "{result}");
        assert_eq!(container.inspect("{{.State.Status}} {{.RestartCount}}"), "running 0");
        let restarted = container.inspect("{{.State.StartedAt}}");
        assert_ne!(restarted, started);
        // and it can be acted on again
        let report = answer(&server, "container_control", json!({ "name": container.name, "action": "kill" }));
        assert_eq!(report["changed"], true, "{report}");
    }
}

#[test]
#[ignore = "takes a minute: tests/run --full"]
fn a_client_is_answered_within_its_minute_and_the_stop_goes_on() {
    let engine = engines().remove(0);
    let server = engine.server(&[Scope::DockerRead, Scope::DockerControl]);
    let container = engine.run(&[], STUBBORN);
    let stop = json!({ "name": container.name, "action": "stop", "grace_seconds": 80 });
    let said = server.ask(&Request::call("container_control", stop).token(server.token())).rpc();
    let why = crate::common::refusal(&said);
    assert!(why.starts_with("still_running: ") && why.contains("look with `container`"), "{why}");
    // answered before the stop has ended
    assert_eq!(container.inspect("{{.State.Status}}"), "running");
    eventually("the stop goes on to its end", || (container.inspect("{{.State.Status}}") == "exited").then_some(()));
    eventually("its end is on record", || {
        server.actions().iter().any(|record| record["phase"] == "result" && record["outcome"] == "ok").then_some(())
    });
}
