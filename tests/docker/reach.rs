//! Who reaches what: tool × scope × target, for every tool that acts on containers.

use std::{sync::Arc, time::Duration};

use auth::Caller;
use engine::{
    Docker, Settings, Socket,
    allow::{Rule, Rules},
    registries::Registries,
};
use facts::host::{First, Host};
use lanes::lane::{Lane, Room};
use rights::{grant::Grants, scope::Scope};
use serde_json::{Value, json};
use systemmanager_mcp::{
    audit::{Audit, Sink},
    gate::{Call, Gate, Limits, Refusal},
};
use tools::TOOLS;

use super::{Container, Engine, IMAGE, engines, rows};
use crate::common::{Scratch, records};

/// A gate of the server's, which thinks that it runs in the container `own`.
struct Desk {
    gate: Gate,
    scratch: Scratch,
}

impl Desk {
    fn new(engine: &Engine, allow: Vec<(Scope, Rule)>, own: &Container) -> Self {
        let scratch = Scratch::new();
        let settings = settings(engine, allow, own);
        let host = Host::open("/".as_ref(), First::Comes).unwrap().with_docker(Docker::new(settings));
        let audit = Audit::open(&Sink::File(scratch.path("audit.jsonl"))).unwrap();
        let often = |room: &mut Room| room.per_minute = Some(6_000);
        let limits = Limits::default().with(Lane::Control, often).with(Lane::Deploy, often);
        Self { gate: Gate::new(TOOLS, host, Arc::new(audit), limits), scratch }
    }

    /// Its records of what changed nothing.
    fn calls(&self) -> Vec<Value> {
        records(&self.scratch.path("audit.jsonl"))
    }

    /// Those of what did.
    fn actions(&self) -> Vec<Value> {
        records(&self.scratch.path("audit.jsonl.actions"))
    }

    /// The answer, or the kind of the failure with its words.
    async fn ask(&self, scopes: &Grants, tool: &str, arguments: Value) -> Result<Value, String> {
        let caller = Arc::new(Caller::local(scopes.clone()));
        let arguments = arguments.as_object().unwrap().clone();
        let call = Call { tool, arguments, caller: &caller, peer: None, client: None, request: None, steps: None };
        match self.gate.call(call, std::future::pending()).await {
            Ok(answer) => Ok(answer.structured.clone()),
            Err(Refusal::NoSuchTool) => Err("no such tool".to_owned()),
            Err(Refusal::Failed(failure)) => Err(format!("{}: {failure}", failure.kind())),
        }
    }
}

fn settings(engine: &Engine, allow: Vec<(Scope, Rule)>, own: &Container) -> Settings {
    Settings {
        state: None,
        socket: Socket::At(engine.socket.clone()),
        allow: Rules(allow),
        binds: vec![],
        registries: Registries::default(),
        update_privileged: false,
        own: Some(own.id.clone()),
    }
}

fn scopes(of: &[Scope]) -> Grants {
    of.iter().copied().collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs engines: tests/run --only docker"]
async fn a_rule_that_is_added_counts_from_the_next_call_on() {
    for engine in engines() {
        let pid = std::process::id();
        let [own, seen, hidden] = ["own", "seen", "hidden"]
            .map(|name| engine.run_as(&format!("smcp-rule-{name}-{pid}"), &[], &["sleep", "1000"]));
        let desk = Desk::new(&engine, vec![], &own);
        let held = scopes(&[Scope::DockerRead, Scope::DockerControl]);
        let listed = async |name: &str| {
            let answer = desk.ask(&held, "containers", json!({ "pattern": name })).await.unwrap();
            rows(&answer["containers"]).len()
        };
        let (seen, hidden) = (seen.name.clone(), hidden.name.clone());
        assert_eq!((listed(&seen).await, listed(&hidden).await), (1, 1));
        let narrow = |scope, name: &str| vec![(scope, Rule { names: vec![name.to_owned()], labels: vec![] })];
        // at once, also for the question that was answered a moment ago
        desk.gate.reach(settings(&engine, narrow(Scope::DockerRead, &seen), &own), Default::default());
        assert_eq!((listed(&seen).await, listed(&hidden).await), (1, 0));
        let restart = async |name: &str| {
            desk.ask(&held, "container_control", json!({ "name": name, "action": "restart", "grace_seconds": 0 })).await
        };
        assert!(restart(&hidden).await.unwrap_err().starts_with("not_found"));
        desk.gate.reach(settings(&engine, narrow(Scope::DockerControl, &hidden), &own), Default::default());
        assert!(restart(&seen).await.unwrap_err().starts_with("forbidden"));
        assert!(restart(&hidden).await.is_ok());
        // and nothing of Docker, where it is off
        let off = Settings { socket: Socket::None, ..settings(&engine, vec![], &own) };
        desk.gate.reach(off, Default::default());
        assert!(desk.ask(&held, "containers", json!({ "pattern": seen })).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs engines: tests/run --only docker"]
async fn nobody_joins_a_network_to_reach_whom_he_may_not_see() {
    for engine in engines() {
        let pid = std::process::id();
        let network = format!("smcp-reach-net-{pid}");
        engine.docker(&["network", "create", &network]);
        let own = engine.run_as(&format!("smcp-reach-own-{pid}"), &[], &["sleep", "1000"]);
        let rule = Rule { names: vec!["smcp-reach-*".into()], labels: vec![] };
        let desk = Desk::new(&engine, vec![(Scope::DockerRead, rule)], &own);
        let run = async || {
            let name = format!("smcp-reach-joins-{pid}");
            let arguments = json!({ "name": name, "image": IMAGE, "network": network, "command": ["true"] });
            let said = desk.ask(&scopes(&[Scope::DockerRead, Scope::DockerDeploy]), "container_run", arguments).await;
            let _ = engine.try_docker(&["rm", "--force", &name]);
            said
        };
        assert!(run().await.is_ok(), "{}: nobody is hidden there", engine.name);
        let hidden = format!("smcp-hidden-net-{pid}");
        engine.docker(&["run", "--detach", "--network", &network, "--name", &hidden, IMAGE, "sleep", "1000"]);
        let why = run().await.unwrap_err();
        engine.docker(&["rm", "--force", &hidden]);
        assert!(why.starts_with("not_found: ") && !why.contains(&hidden), "{}: {why}", engine.name);
        // with one that is seen beside the hidden one, the network is there
        engine.docker(&["run", "--detach", "--network", &network, "--name", &hidden, IMAGE, "sleep", "1000"]);
        let seen = format!("smcp-reach-beside-{pid}");
        engine.docker(&["run", "--detach", "--network", &network, "--name", &seen, IMAGE, "sleep", "1000"]);
        let why = run().await.unwrap_err();
        engine.docker(&["rm", "--force", &hidden, &seen]);
        engine.docker(&["network", "rm", &network]);
        assert!(why.starts_with("forbidden: ") && !why.contains(&hidden), "{}: {why}", engine.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs engines: tests/run --only docker"]
async fn nobody_gets_the_servers_own_volumes() {
    for engine in engines() {
        let pid = std::process::id();
        let (state, other) = (format!("smcp-reach-state-{pid}"), format!("smcp-reach-data-{pid}"));
        let mount = format!("{state}:/state");
        let own = engine.run_as(&format!("smcp-reach-holds-{pid}"), &["--volume", &mount], &["sleep", "1000"]);
        let desk = Desk::new(&engine, vec![], &own);
        for (volume, is_let) in [(&state, false), (&other, true)] {
            let name = format!("smcp-reach-takes-{pid}");
            let arguments =
                json!({ "name": name, "image": IMAGE, "volumes": [format!("{volume}:/s")], "command": ["true"] });
            let said = desk.ask(&scopes(&[Scope::DockerRead, Scope::DockerDeploy]), "container_run", arguments).await;
            let _ = engine.try_docker(&["rm", "--force", &name]);
            match said {
                Ok(_) => assert!(is_let, "{volume}"),
                Err(why) => {
                    assert!(!is_let && why.starts_with("forbidden: ") && why.contains("runs in itself"), "{why}")
                }
            }
        }
        drop(own);
        for volume in [&state, &other] {
            let _ = engine.try_docker(&["volume", "rm", volume]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs engines: tests/run --only docker"]
async fn what_only_those_have_that_may_not_be_seen_is_not_seen_either() {
    for engine in engines() {
        let prefix = format!("smcp-have-{}", std::process::id());
        let [lone, shared, unused] = ["lone", "shared", "unused"].map(|what| format!("{prefix}-{what}"));
        let _gone = Gone(&engine, vec![lone.clone(), shared.clone(), unused.clone()]);
        for name in [&lone, &shared, &unused] {
            engine.docker(&["volume", "create", name]);
            engine.docker(&["network", "create", name]);
        }
        let run = |name: &str, has: &[&String]| {
            let volumes: Vec<String> = has.iter().map(|name| format!("{name}:/{name}")).collect();
            let volumes: Vec<&str> = volumes.iter().flat_map(|volume| ["--volume", volume]).collect();
            // something is in them, or they are among the largest of nothing
            let script = "for d in /smcp-have-*; do echo 1 >$d/f; done; exec sleep 1000";
            engine.run_in(has[0], &format!("{prefix}-{name}"), &volumes, &["sh", "-c", script])
        };
        let hidden = run("hidden", &[&lone, &shared]);
        let seen = run("seen", &[&shared]);
        engine.docker(&["network", "connect", &shared, &hidden.id]);
        let rule = Rule { names: vec![format!("{prefix}-seen")], labels: vec![] };
        let many = json!({ "pattern": prefix, "limit": 200 });
        for (way, rules, reads) in [
            ("a rule", vec![(Scope::DockerRead, rule)], scopes(&[Scope::DockerRead])),
            ("a grant", vec![], held(&[&format!("docker:read={prefix}-s*n")])),
        ] {
            let desk = Desk::new(&engine, rules, &seen);
            let ask = async |tool: &str, arguments: Value| desk.ask(&reads, tool, arguments).await.unwrap();
            let report = ask("containers", many.clone()).await;
            assert!(
                report.to_string().contains(&seen.name) && !report.to_string().contains(&hidden.name),
                "{way}: {report}"
            );
            for sizes in [false, true] {
                let mut arguments = many.clone();
                arguments["sizes"] = sizes.into();
                let report = ask("volumes", arguments).await;
                let named: Vec<_> = rows(&report["volumes"]).iter().map(|row| row["name"].clone()).collect();
                assert!(named.len() == 2 && !named.contains(&json!(lone)), "{}: {report}", engine.name);
                assert_eq!(report["matching"], 2, "{report}");
                assert!(!report.to_string().contains(&hidden.name), "{report}");
            }
            let report = ask("docker_networks", many.clone()).await;
            let listed: Vec<_> = rows(&report["networks"]).iter().map(|row| row["name"].clone()).collect();
            assert_eq!(listed, [json!(shared), json!(unused)], "{}: {report}", engine.name);
            assert!(!report.to_string().contains(&hidden.name) && report.to_string().contains(&seen.name), "{report}");
            let by_name = desk.ask(&reads, "docker_networks", json!({ "name": lone })).await;
            assert!(by_name.as_ref().is_err_and(|why| why.starts_with("not_found: ")), "{}: {by_name:?}", engine.name);
            let report = ask("docker_events", json!({ "limit": 200 })).await;
            let rows: Vec<_> = rows(&report["events"]).iter().map(Value::to_string).collect();
            let mine = rows.iter().filter(|row| row.contains(&prefix)).collect::<Vec<_>>();
            assert!(mine.iter().any(|row| row.contains(&shared)), "{}: {mine:?}", engine.name);
            assert!(
                !mine.iter().any(|row| row.contains(&lone) || row.contains(&hidden.name)),
                "{}: {mine:?}",
                engine.name
            );
            let report = ask("docker_usage", json!({ "limit": 100 })).await;
            let largest = report["largest"].to_string();
            assert!(largest.contains(&shared) && !largest.contains(&lone), "{}: {report}", engine.name);
            assert!(!largest.contains(&hidden.name), "{}: {report}", engine.name);
            for (tool, arguments) in
                [("container", json!({ "name": hidden.name })), ("container", json!({ "name": hidden.id }))]
            {
                let said = desk.ask(&reads, tool, arguments).await.unwrap_err();
                assert!(said.starts_with("not_found: "), "{way}: {said}");
            }
        }
    }
}

/// Grants, as they are written.
fn held(of: &[&str]) -> Grants {
    Grants::new(of.iter().map(|text| text.parse().unwrap()).collect()).unwrap()
}

/// What a call for each action on each container comes to: the kind of its failure, or `ok`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs engines: tests/run --only docker"]
async fn action_by_grant_by_target() {
    for engine in engines() {
        let pid = std::process::id();
        let run = |name: &str| engine.run_as(&format!("smcp-grant-{name}-{pid}"), &[], &["sleep", "1000"]);
        let (web, db, mail, own) = (run("web"), run("db"), run("mail"), run("own"));
        let rule = Rule { names: vec!["smcp-grant-*".into()], labels: vec![] };
        let desk = Desk::new(&engine, vec![(Scope::DockerRead, rule)], &own);
        let kind = |said: Result<Value, String>| match said {
            Ok(_) => "ok".to_owned(),
            Err(words) => words.split(':').next().unwrap().to_owned(),
        };
        let control = async |grants: &Grants, action: &str, name: &str| {
            kind(desk.ask(grants, "container_control", json!({ "name": name, "action": action })).await)
        };
        // exactly the right to restart one of them
        let grants = held(&["docker:control(restart)=smcp-grant-web-*"]);
        assert_eq!(control(&grants, "restart", &web.name).await, "ok", "{}", engine.name);
        assert_eq!(control(&grants, "restart", &web.id[..12]).await, "ok", "{}", engine.name);
        for action in ["stop", "kill", "pause", "unpause", "start"] {
            assert_eq!(control(&grants, action, &web.name).await, "not_granted", "{}: {action}", engine.name);
        }
        for other in [&db, &mail, &own] {
            for name in [&other.name, &other.id] {
                assert_eq!(control(&grants, "restart", name).await, "not_found", "{}: {name}", engine.name);
            }
        }
        for tool in ["containers", "container", "container_logs", "container_remove", "container_run", "docker_prune"] {
            assert_eq!(kind(desk.ask(&grants, tool, json!({ "name": web.name })).await), "no such tool", "{tool}");
        }
        let records = desk.actions();
        let results: Vec<_> = records.iter().map(|record| (&record["grant"], &record["phase"])).collect();
        let by = json!("docker:control(restart)=smcp-grant-web-*");
        assert_eq!(results, [(&by, &json!("attempt")), (&by, &json!("result"))].repeat(2), "{records:?}");
        let denied: Vec<_> = desk.calls().into_iter().filter(|record| record["kind"] == "not_granted").collect();
        assert_eq!(denied.len(), 5);
        for record in &denied {
            assert_eq!((&record["decision"], &record["grant"]), (&json!("denied"), &Value::Null), "{record}");
        }
        // grants add up, each for what it says; what may be read is known by name, and that alone
        let grants = held(&[
            "docker:control(unpause)=smcp-grant-web-*",
            "docker:control(start)=smcp-grant-db-*",
            "docker:read=smcp-grant-mail-*",
        ]);
        for (action, name, expected) in [
            ("unpause", &web.name, "ok"),
            ("start", &db.name, "ok"),
            ("start", &web.name, "not_granted"),
            ("unpause", &db.name, "not_granted"),
            ("start", &mail.name, "not_granted"),
            ("start", &own.name, "not_found"),
        ] {
            assert_eq!(control(&grants, action, name).await, expected, "{}: {action} {name}", engine.name);
        }
        let report = desk.ask(&grants, "containers", json!({ "pattern": "smcp-grant-" })).await.unwrap();
        let named: Vec<_> = rows(&report["containers"]).iter().map(|row| row["name"].clone()).collect();
        assert_eq!(named, [json!(mail.name)], "{}: {report}", engine.name);
        // one that shares what another has starts neither it nor, behind the caller's back, the other
        let mode = format!("container:{}", mail.name);
        let joined = engine.run_in(&mode, &format!("smcp-grant-web-joined-{pid}"), &[], &["sleep", "1000"]);
        engine.docker(&["kill", &joined.id]);
        engine.docker(&["kill", &mail.id]);
        let starts = held(&["docker:control(start)=smcp-grant-web-*"]);
        let arguments = json!({ "name": joined.name, "action": "start" });
        let why = desk.ask(&starts, "container_control", arguments).await.unwrap_err();
        assert!(why.starts_with("refused: ") && why.contains("start that one first"), "{}: {why}", engine.name);
        assert!(!why.contains(&mail.name) && !why.contains(&mail.id[..12]), "{}: {why}", engine.name);
        assert_ne!(mail.inspect("{{.State.Status}}"), "running", "{}", engine.name);
        // deploying is done to containers of the name, and neither to images nor to what is left over
        let grants = held(&["docker:deploy=smcp-grant-web-*", "docker:read=smcp-grant-*"]);
        let made = format!("smcp-grant-web-new-{pid}");
        for (name, expected) in [(&made, "ok"), (&format!("smcp-grant-db-new-{pid}"), "not_granted")] {
            let arguments = json!({ "name": name, "image": IMAGE, "network": "none", "command": ["true"] });
            assert_eq!(kind(desk.ask(&grants, "container_run", arguments).await), expected, "{}", engine.name);
        }
        for (name, expected) in [(&db.name, "not_granted"), (&web.name, "refused"), (&made, "ok")] {
            let said = desk.ask(&grants, "container_remove", json!({ "name": name })).await;
            assert_eq!(kind(said), expected, "{}: {name}", engine.name);
        }
        // who may prune prunes what it sees, and the record says by which right; images have no target
        engine.docker(&["kill", &db.id]);
        let prune = json!({ "limit": 100, "min_age_seconds": 0 });
        let pruning = held(&["docker:deploy(prune)", "docker:read=smcp-grant-web-*"]);
        let said = desk.ask(&pruning, "docker_prune", prune.clone()).await.unwrap();
        assert!(!said.to_string().contains(&db.name) && !said.to_string().contains(&db.id[..12]), "{said}");
        let pruning = held(&["docker:deploy(prune,pull)", "docker:read=smcp-grant-db-*"]);
        let said = desk.ask(&pruning, "docker_prune", prune).await.unwrap();
        assert!(said.to_string().contains(&db.name), "{}: {said}", engine.name);
        let pulled = desk.ask(&pruning, "image_pull", json!({ "image": "127.0.0.1:1/x" })).await;
        assert_eq!(kind(pulled), "forbidden", "{}", engine.name);
        let records = desk.actions();
        let pruned: Vec<&Value> = records.iter().filter(|record| record["tool"] == "docker_prune").collect();
        let by: Vec<&Value> = pruned.iter().map(|record| &record["grant"]).collect();
        let (one, both) = (json!("docker:deploy(prune)"), json!("docker:deploy(pull,prune)"));
        assert_eq!(by, [&one, &one, &both, &both], "{records:?}");
        let lists = held(&["docker:read=smcp-grant-web-*"]);
        for (tool, arguments) in
            [("images", json!({ "limit": 200 })), ("stacks", json!({})), ("docker_usage", json!({}))]
        {
            let said = desk.ask(&lists, tool, arguments).await.unwrap().to_string();
            assert!(!said.contains(&mail.name) && !said.contains(&db.name), "{}: {tool}: {said}", engine.name);
        }
        for tool in ["image_pull", "image_remove"] {
            assert_eq!(kind(desk.ask(&grants, tool, json!({ "image": IMAGE })).await), "no such tool", "{tool}");
        }
        assert_eq!(kind(desk.ask(&grants, "docker_prune", json!({})).await), "no such tool");
        // the log of one, with and without a right to it
        let grants = held(&["docker:logs=smcp-grant-web-*", "docker:read=smcp-grant-db-*"]);
        for (name, expected) in [(&web.name, "ok"), (&db.name, "not_granted"), (&mail.name, "not_found")] {
            let said = desk.ask(&grants, "container_logs", json!({ "name": name })).await;
            assert_eq!(kind(said), expected, "{}: {name}", engine.name);
        }
        // callers share no answer whose containers they do not share
        let counted = async |grants: &[&str]| {
            let report = desk.ask(&held(grants), "overview", json!({})).await.unwrap();
            report["containers"]["total"].as_u64()
        };
        // an overview waits a second for the Engine, and is told without it where that is not enough
        let mut tries = 0;
        loop {
            let (all, some, none) = tokio::join!(
                counted(&["system:read", "docker:read"]),
                counted(&["system:read", "docker:read=smcp-grant-web-*"]),
                counted(&["system:read"]),
            );
            assert!(none.is_none() && some.is_none_or(|some| some == 2), "{}: {some:?} {none:?}", engine.name);
            if all >= Some(4) && some.is_some() {
                break;
            }
            tries += 1;
            assert!(tries < 600, "{}: {all:?} {some:?}", engine.name);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}

/// Volumes and networks of these names, removed at the end.
struct Gone<'a>(&'a Engine, Vec<String>);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        for name in &self.1 {
            let _ = self.0.try_docker(&["volume", "rm", "--force", name]);
            let _ = self.0.try_docker(&["network", "rm", name]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs engines: tests/run --only docker"]
async fn tool_by_scope_by_target() {
    for engine in engines() {
        let (pid, yes) = (std::process::id(), ["--label", "agent=yes"]);
        let run = |name: &str, labels: &[&str]| engine.run_as(&format!("{name}-{pid}"), labels, &["sleep", "1000"]);
        let allowed = run("smcp-reach-web", &yes);
        let other_name = run("smcp-reach-db", &yes);
        let other_label = run("smcp-reach-web-no", &["--label", "agent=no"]);
        let hidden = run("smcp-hidden-web", &yes);
        let own = run("smcp-reach-web-own", &yes);
        let rule = |name: &str| Rule { names: vec![name.into()], labels: vec!["agent=yes".into()] };
        let allow = vec![
            (Scope::DockerRead, Rule { names: vec!["smcp-reach-*".into()], labels: vec![] }),
            (Scope::DockerControl, rule("smcp-reach-web*")),
            (Scope::DockerDeploy, rule("smcp-reach-web*")),
        ];
        let desk = Desk::new(&engine, allow, &own);
        let targets = [
            // a container that runs is not removed without force, which is as far as it gets here
            (&allowed, "ok", "refused"),
            (&other_name, "forbidden", "forbidden"),
            (&other_label, "forbidden", "forbidden"),
            (&hidden, "not_found", "not_found"),
            (&own, "forbidden", "forbidden"),
        ];
        let (control, deploy) = (Scope::DockerControl, Scope::DockerDeploy);
        for (held, may_control, may_deploy) in [
            (vec![], false, false),
            (vec![Scope::SystemRead, Scope::DockerRead, Scope::DockerLogs], false, false),
            (vec![Scope::DockerRead, control], true, false),
            (vec![Scope::DockerRead, deploy], false, true),
            (vec![control, deploy], true, true),
        ] {
            let scopes = scopes(&held);
            for (target, controlled, removed) in &targets {
                for name in [&target.name, &target.id, &target.id[..12].to_owned()] {
                    let kind = |said: Result<Value, String>| match said {
                        Ok(_) => "ok".to_owned(),
                        Err(words) => words.split(':').next().unwrap().to_owned(),
                    };
                    for action in ["unpause", "start"] {
                        let said =
                            desk.ask(&scopes, "container_control", json!({ "name": name, "action": action })).await;
                        let expected = if may_control { controlled } else { "no such tool" };
                        assert_eq!(kind(said), expected, "{held:?} {action} {}", target.name);
                    }
                    let said = desk.ask(&scopes, "container_remove", json!({ "name": name })).await;
                    assert_eq!(
                        kind(said),
                        if may_deploy { removed } else { "no such tool" },
                        "{held:?} {}",
                        target.name
                    );
                }
            }
            // its image is used by one that may not be seen, too
            let said = desk.ask(&scopes, "image_remove", json!({ "image": IMAGE })).await.unwrap_err();
            assert!(said.starts_with(if may_deploy { "refused: " } else { "no such tool" }), "{said}");
            assert!(!said.contains(&hidden.name), "{said}");
            for (name, label, made) in [
                ("smcp-reach-web-new", "yes", "ok"),
                ("smcp-reach-web-new", "no", "forbidden"),
                ("smcp-reach-db-new", "yes", "forbidden"),
                ("smcp-hidden-new", "yes", "forbidden"),
            ] {
                let name = format!("{name}-{pid}");
                let arguments = json!({ "name": name, "image": IMAGE, "network": "none", "labels": { "agent": label }, "command": ["true"] });
                let said = desk.ask(&scopes, "container_run", arguments).await;
                let expected = if may_deploy { made } else { "no such tool" };
                assert!(
                    said.as_ref().map_or_else(|why| why.starts_with(expected), |_| expected == "ok"),
                    "{held:?} {name} {label}: {said:?}"
                );
                assert_eq!(
                    engine.try_docker(&["rm", "--force", &name]).status.success() && said.is_ok(),
                    expected == "ok"
                );
            }
            let said = desk.ask(&scopes, "image_pull", json!({ "image": "127.0.0.1:1/x" })).await.unwrap_err();
            assert!(said.starts_with(if may_deploy { "forbidden: " } else { "no such tool" }), "{said}");
            let said = desk.ask(&scopes, "docker_prune", json!({})).await;
            assert_eq!(said.is_ok(), may_deploy, "{said:?}");
        }
        for container in [&allowed, &other_name, &other_label, &hidden, &own] {
            assert_eq!(container.inspect("{{.State.Status}}"), "running", "{}", container.name);
        }
        // stopped, only the one that may be removed would be pruned
        for container in [&allowed, &other_name, &other_label, &hidden, &own] {
            engine.docker(&["kill", &container.id]);
        }
        let said =
            desk.ask(&scopes(&[deploy]), "docker_prune", json!({ "limit": 100, "min_age_seconds": 0 })).await.unwrap();
        let listed = rows(&said["things"]);
        let is_listed = |one: &Container| listed.iter().any(|row| row["id"] == one.id[..12]);
        assert!(is_listed(&allowed), "{listed:?}");
        for container in [&other_name, &other_label, &hidden, &own] {
            assert!(!is_listed(container), "{}: {listed:?}", container.name);
        }
        let removed = desk.ask(&scopes(&[deploy]), "container_remove", json!({ "name": allowed.name })).await.unwrap();
        assert_eq!(removed["id"], allowed.id[..12], "{removed}");
    }
}
