//! container_run, container_remove and image_remove: made as asked, removed as asked, and nothing else.

use rights::scope::Scope;
use serde_json::{Value, json};

use super::{Engine, IMAGE, answer, engines, failure};
use crate::common::Scratch;

const SCOPES: &[Scope] = &[Scope::DockerRead, Scope::DockerDeploy];

/// A name of a test's own, and what is called so removed at the end.
struct Named<'a>(&'a Engine, String);

impl<'a> Named<'a> {
    fn new(engine: &'a Engine, what: &str) -> Self {
        Self(engine, format!("smcp-{what}-{}", std::process::id()))
    }

    fn inspect(&self, template: &str) -> String {
        self.0.docker(&["inspect", "--format", template, &self.1])
    }

    fn is_there(&self) -> bool {
        self.0.try_docker(&["inspect", &self.1]).status.success()
    }
}

impl Drop for Named<'_> {
    fn drop(&mut self) {
        let _ = self.0.try_docker(&["rm", "--force", "--volumes", &self.1]);
        let _ = self.0.try_docker(&["volume", "rm", &self.1]);
        let _ = self.0.try_docker(&["network", "rm", &self.1]);
        let _ = self.0.try_docker(&["image", "rm", "--force", &self.1]);
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn a_container_is_made_as_it_was_asked_for_and_secrets_are_not_shown() {
    for engine in engines() {
        let named = Named::new(&engine, "run");
        let server = engine.server(SCOPES);
        let report = answer(
            &server,
            "container_run",
            json!({
                "name": named.1, "image": IMAGE, "command": ["sh", "-c", "touch /data/x; sleep 1000"],
                "env": { "PASSWORD": "hush-hush" }, "labels": { "team": "a", "token": "also-hush" },
                "volumes": [format!("{}:/data", named.1)], "network": "none", "restart": "unless-stopped",
                "memory_bytes": 16 << 20, "cpus": 0.5, "user": "0:0",
                "health": { "command": ["test", "-e", "/data/x"], "interval_seconds": 1, "timeout_seconds": 60, "retries": 30 },
                "healthy": !engine.is_podman(),
            }),
        );
        assert_eq!(report["state"]["state"], "running", "{report}");
        if !engine.is_podman() {
            assert_eq!(report["state"]["health"], "healthy", "{report}");
        }
        for (template, value) in [
            ("{{.State.Status}}", "running"),
            ("{{.HostConfig.RestartPolicy.Name}}", "unless-stopped"),
            ("{{.HostConfig.Memory}}", "16777216"),
            ("{{.HostConfig.NetworkMode}}", "none"),
            ("{{.HostConfig.Privileged}}", "false"),
            ("{{.Config.User}}", "0:0"),
            ("{{index .Config.Labels \"team\"}}", "a"),
            ("{{(index .Mounts 0).Name}}", &named.1),
        ] {
            assert_eq!(named.inspect(template), value, "{}: {template}", engine.name);
        }
        assert!(named.inspect("{{.Config.Env}}").contains("PASSWORD=hush-hush"));
        let seen = format!("{report}{}{}", server.audit_text(), server.log());
        assert!(!seen.contains("hush"), "{seen}");
        assert!(server.audit_text().contains(&named.1));
        // the same once more does nothing
        let why = failure(&server, "container_run", json!({ "name": named.1, "image": IMAGE }));
        assert!(why.starts_with("refused: ") && why.contains("taken"), "{why}");
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn ports_are_published_where_it_was_said() {
    for engine in engines() {
        let (named, network) = (Named::new(&engine, "ports"), Named::new(&engine, "net"));
        engine.docker(&["network", "create", &network.1]);
        let server = engine.server(SCOPES);
        let report = answer(
            &server,
            "container_run",
            json!({ "name": named.1, "image": IMAGE, "command": ["sleep", "1000"], "network": network.1,
                    "ports": ["127.0.0.1:18080:80", "127.0.0.1::53/udp"] }),
        );
        let ports: Vec<&str> = report["ports"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert!(ports.contains(&"127.0.0.1:18080->80/tcp") && ports.len() == 2, "{report}");
        let networks = named.inspect("{{json .NetworkSettings.Networks}}");
        assert!(networks.contains(&network.1), "{networks}");
        // the port is taken by now: what cannot be started is not left behind
        let second = Named::new(&engine, "ports2");
        let arguments = json!({ "name": second.1, "image": IMAGE, "command": ["sleep", "1000"], "network": network.1,
                                "ports": ["127.0.0.1:18080:80"] });
        let why = failure(&server, "container_run", arguments);
        assert!(why.starts_with("refused: ") && why.contains("removed again"), "{why}");
        assert!(!second.is_there());
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn one_that_cannot_be_started_is_removed_again_and_one_that_ends_is_kept() {
    for engine in engines() {
        let named = Named::new(&engine, "fails");
        let server = engine.server(SCOPES);
        let run = |command: &str| json!({ "name": named.1, "image": IMAGE, "command": [command], "network": "none" });
        let why = failure(&server, "container_run", run("/no/such/program"));
        assert!(why.starts_with("refused: ") && why.contains("removed again"), "{why}");
        assert!(!named.is_there());
        let report = answer(&server, "container_run", run("false"));
        engine.docker(&["wait", &named.1]);
        assert!(named.is_there(), "{report}");
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn a_name_that_is_gone_is_not_somebody_elses_id() {
    for engine in engines() {
        let server = engine.server(&[Scope::DockerRead, Scope::DockerControl, Scope::DockerDeploy]);
        let container = engine.run(&[], &["sleep", "1000"]);
        let image = engine.docker(&["inspect", "--format", "{{.Image}}", &container.id]);
        let image = image.trim_start_matches("sha256:");
        // as a name that is made of hexadecimal digits would be, when what had it is gone
        for length in [1, 2, 4, 11, 13, 40, 63] {
            let (id, image) = (&container.id[..length], &image[..length]);
            for (tool, arguments) in [
                ("container_remove", json!({ "name": id, "force": true })),
                ("container_control", json!({ "name": id, "action": "stop" })),
                ("container_update", json!({ "name": id, "pull": false, "force": true })),
                ("container_run", json!({ "name": "smcp-beginning", "image": image })),
                ("image_remove", json!({ "image": image })),
            ] {
                let why = failure(&server, tool, arguments.clone());
                assert!(why.starts_with("not_found: "), "{}: {tool} {arguments}: {why}", engine.name);
            }
        }
        assert_eq!(container.inspect("{{.State.Running}}"), "true", "{}", engine.name);
        // what reads takes a beginning, and what acts the digits that are shown
        let shown = answer(&server, "container", json!({ "name": container.id[..13] }));
        assert_eq!(shown["name"], container.name, "{shown}");
        let stop = json!({ "name": container.id[..12], "action": "kill" });
        assert_eq!(answer(&server, "container_control", stop)["name"], container.name, "{}", engine.name);
        answer(&server, "container_remove", json!({ "name": container.id }));
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn nothing_is_called_as_only_the_halves_of_updates_are_and_what_is_can_be_removed() {
    for engine in engines() {
        let server = engine.server(&[Scope::DockerRead, Scope::DockerControl, Scope::DockerDeploy]);
        for name in ["web.smcp-new-0123456789ab", "web.smcp-old-0123456789ab", "a.smcp-new-x"] {
            let why = failure(&server, "container_run", json!({ "name": name, "image": IMAGE, "restart": "always" }));
            assert!(why.starts_with("invalid: ") && why.contains("for updates"), "{}: {why}", engine.name);
        }
        for kind in ["new", "old"] {
            let name = format!("smcp-{}.smcp-{kind}-0123456789ab", std::process::id());
            let half = engine.run_as(&name, &[], &["sleep", "1000"]);
            answer(&server, "container_control", json!({ "name": half.name, "action": "kill" }));
            answer(&server, "container_remove", json!({ "name": half.name }));
        }
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn what_a_container_is_asked_for_has_an_end() {
    for engine in engines() {
        let named = Named::new(&engine, "ends");
        let server = engine.server(SCOPES);
        let ports: Vec<String> = (1..=300).map(|port| format!("127.0.0.1::{port}")).collect();
        let labels: serde_json::Map<String, Value> = (0..300).map(|n| (format!("l{n}"), "x".into())).collect();
        for (field, value, says) in [
            ("ports", json!(ports), "at most 256 ports"),
            ("labels", json!(labels), "at most 256 names"),
            ("labels", json!({ "a": "x".repeat(70 << 10) }), "65536 bytes together"),
            ("command", json!(vec!["x"; 2000]), "at most 1024 texts"),
            (
                "health",
                json!({ "command": ["true"], "interval_seconds": 4_000_000_000_u32 }),
                "health.interval_seconds",
            ),
            ("health", json!({ "command": ["true"], "retries": 4_000_000_000_u32 }), "health.retries"),
            ("volumes", json!(["v:/proc/self/attr"]), "no place within a container"),
        ] {
            let why = failure(&server, "container_run", json!({ "name": named.1, "image": IMAGE, field: value }));
            assert!(why.contains(says), "{}: {field}: {why}", engine.name);
        }
        assert!(!named.is_there());
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn only_directories_that_the_operator_named_are_given_and_nothing_below_them() {
    for engine in engines() {
        let scratch = Scratch::new();
        let base = scratch.path("srv");
        std::fs::create_dir_all(base.join("data/deep")).unwrap();
        std::os::unix::fs::symlink("/etc", base.join("link")).unwrap();
        std::os::unix::fs::symlink("data", base.join("inside")).unwrap();
        std::os::unix::net::UnixListener::bind(base.join("any.sock")).unwrap();
        let base = base.display().to_string();
        let beside = engine.socket.parent().unwrap().display().to_string();
        let server = engine.server_with(SCOPES, &format!("binds: [{base:?}, {beside:?}]"));
        let named = Named::new(&engine, "binds");
        let run = |volume: &str| json!({ "name": named.1, "image": IMAGE, "command": ["sleep", "1000"], "network": "none", "volumes": [volume] });
        for (source, kind) in [
            ("/etc".to_owned(), "forbidden"),
            ("/".to_owned(), "forbidden"),
            ("/run/docker.sock".to_owned(), "forbidden"),
            ("/var/run/docker.sock".to_owned(), "forbidden"),
            ("/run".to_owned(), "forbidden"),
            (engine.socket.display().to_string(), "forbidden"),
            (beside, "forbidden"),
            (format!("{base}2"), "forbidden"),
            (format!("{base}/link"), "forbidden"),
            (format!("{base}/link/ssh"), "forbidden"),
            (format!("{base}/inside"), "forbidden"),
            (format!("{base}/any.sock"), "forbidden"),
            (format!("{base}/data"), "forbidden"),
            (format!("{base}/missing"), "forbidden"),
            (format!("{base}/../x"), "invalid"),
            (format!("{base}//data"), "invalid"),
            ("data".to_owned() + "/x", "invalid"),
        ] {
            let why = failure(&server, "container_run", run(&format!("{source}:/mnt")));
            assert!(why.starts_with(&format!("{kind}: ")), "{source}: {why}");
            assert!(!named.is_there(), "{source}");
        }
        answer(&server, "container_run", run(&format!("{base}:/mnt:ro")));
        assert_eq!(named.inspect("{{(index .Mounts 0).Source}} {{(index .Mounts 0).RW}}"), format!("{base} false"));
        answer(&server, "container_remove", json!({ "name": named.1, "force": true }));
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn a_volume_of_another_or_of_a_directory_of_the_machine_is_not_given() {
    for engine in engines() {
        let (theirs, disguised, named) =
            (Named::new(&engine, "theirs"), Named::new(&engine, "disguised"), Named::new(&engine, "vol-ours"));
        let hidden = engine.run(&["--volume", &format!("{}:/data", theirs.1)], &["sleep", "1000"]);
        let options = ["--opt", "type=none", "--opt", "o=bind", "--opt", "device=/etc"];
        engine.docker(&[&["volume", "create"], &options[..], &[&disguised.1]].concat());
        let server = engine.server_with(SCOPES, "allow: [(scope: \"docker:deploy\", names: [\"smcp-vol-ours-*\"])]");
        for volume in [&theirs.1, &disguised.1] {
            let arguments =
                json!({ "name": named.1, "image": IMAGE, "network": "none", "volumes": [format!("{volume}:/x")] });
            let why = failure(&server, "container_run", arguments);
            assert!(why.starts_with("forbidden: ") && why.contains(volume.as_str()), "{why}");
            assert!(!why.contains(&hidden.name), "{why}");
        }
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn a_running_container_is_removed_only_by_force_and_its_nameless_volumes_only_if_asked() {
    for engine in engines() {
        let server = engine.server(SCOPES);
        let remove = |name: &str, more: Value| {
            let mut arguments = more;
            arguments["name"] = name.into();
            arguments
        };
        let kept = Named::new(&engine, "kept");
        let nameless = |volume: &str| engine.try_docker(&["volume", "inspect", volume]).status.success();
        for volumes in [false, true] {
            let named = format!("{}:/named", kept.1);
            let container = engine.run(&["--volume", "/nameless", "--volume", &named], &["sleep", "1000"]);
            let of = |target: &str| {
                container.inspect(&format!(
                    "{{{{range .Mounts}}}}{{{{if eq .Destination \"{target}\"}}}}{{{{.Name}}}}{{{{end}}}}{{{{end}}}}"
                ))
            };
            let volume = of("/nameless");
            let why = failure(&server, "container_remove", remove(&container.name, json!({ "volumes": volumes })));
            assert!(why.starts_with("refused: ") && why.contains("force"), "{why}");
            assert_eq!(container.inspect("{{.State.Status}}"), "running");
            let report = answer(
                &server,
                "container_remove",
                remove(&container.name, json!({ "force": true, "volumes": volumes })),
            );
            assert_eq!(report["before"]["state"], "running", "{report}");
            assert!(!engine.try_docker(&["inspect", &container.id]).status.success());
            assert_eq!(nameless(&volume), !volumes, "{report}");
            assert!(nameless(&kept.1), "{report}");
            let list = |key: &str| report[key].as_array().unwrap().contains(&json!(volume));
            assert_eq!((list("volumes_removed"), list("volumes_kept")), (volumes, !volumes), "{report}");
            assert!(report["volumes_kept"].as_array().unwrap().contains(&json!(kept.1)), "{report}");
            let _ = engine.try_docker(&["volume", "rm", &volume]);
            let why = failure(&server, "container_remove", remove(&container.name, json!({})));
            assert!(why.starts_with("not_found: "), "{why}");
        }
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn an_image_in_use_stays_and_who_uses_it_is_said_unless_that_may_not_be_seen() {
    // Podman's service makes no image of what the docker command line sends for `commit`
    for engine in engines().into_iter().filter(|engine| !engine.is_podman()) {
        let image = Named::new(&engine, "image");
        let container = engine.run(&[], &["sleep", "1000"]);
        engine.docker(&["commit", "--message", &image.1, &container.id, &image.1]);
        let user = Named::new(&engine, "user");
        engine.docker(&["create", "--name", &user.1, &image.1]);
        let server = engine.server(SCOPES);
        let why = failure(&server, "image_remove", json!({ "image": image.1 }));
        assert!(why.starts_with("refused: ") && why.contains(&user.1), "{why}");
        let blind = engine.server_with(SCOPES, "allow: [(scope: \"docker:read\", names: [\"nothing-is-called-so\"])]");
        let why = failure(&blind, "image_remove", json!({ "image": image.1 }));
        assert!(why.starts_with("refused: ") && !why.contains(&user.1) && why.contains("may not be seen"), "{why}");
        engine.docker(&["rm", &user.1]);
        // of two names one goes, then the other with the image
        let second = Named::new(&engine, "image-too");
        engine.docker(&["tag", &image.1, &second.1]);
        let id = engine.docker(&["image", "inspect", "--format", "{{.Id}}", &image.1]);
        let why = failure(&server, "image_remove", json!({ "image": id }));
        assert!(why.starts_with("refused: ") && why.contains(&image.1) && why.contains(&second.1), "{why}");
        let report = answer(&server, "image_remove", json!({ "image": second.1 }));
        assert_eq!(report["removed"], false, "{report}");
        assert!(report["tags"].to_string().contains(&image.1), "{report}");
        let report = answer(&server, "image_remove", json!({ "image": id }));
        assert_eq!((&report["removed"], &report["tags"]), (&json!(true), &json!([])), "{report}");
        assert!(!engine.try_docker(&["image", "inspect", &id]).status.success());
        let record = server.actions().pop().unwrap();
        assert!(record["target"].as_str().unwrap().contains(id.trim_start_matches("sha256:")), "{record}");
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn hostile_words_lead_nowhere() {
    for engine in engines() {
        let server = engine.server(&[Scope::DockerRead, Scope::DockerControl, Scope::DockerDeploy]);
        let before = engine.docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", "name=smcp-hostile"]);
        let long = "a".repeat(10 << 10);
        for word in [
            "",
            "/",
            "//",
            ".",
            "..",
            "../../images",
            "a/../b",
            "a/b?c",
            "?force=true",
            "a?v=1",
            "a%2fb",
            "%2e%2e%2f",
            "a\nb",
            "a\r\nHost: x",
            "a\0b",
            " ",
            "-",
            "--force",
            "a;b",
            "$(id)",
            "http://127.0.0.1/x",
            "https://r.io/a:1",
            "file:///etc/passwd",
            "\u{202e}a",
            "{{.}}",
            "*",
            "smcp-*",
            &long,
        ] {
            for (tool, arguments) in [
                ("container_control", json!({ "name": word, "action": "kill" })),
                ("container_remove", json!({ "name": word, "force": true, "volumes": true })),
                ("image_remove", json!({ "image": word })),
                ("image_pull", json!({ "image": word })),
                ("container_run", json!({ "name": "smcp-hostile", "image": word })),
                ("container_run", json!({ "name": word, "image": IMAGE })),
                ("container_run", json!({ "name": "smcp-hostile", "image": IMAGE, "network": word })),
                ("container_run", json!({ "name": "smcp-hostile", "image": IMAGE, "user": word })),
                ("container_run", json!({ "name": "smcp-hostile", "image": IMAGE, "ports": [word] })),
                ("container_run", json!({ "name": "smcp-hostile", "image": IMAGE, "volumes": [word] })),
                ("container_run", json!({ "name": "smcp-hostile", "image": IMAGE, "volumes": [format!("{word}:/x")] })),
            ] {
                let why = failure(&server, tool, arguments.clone());
                let kind = why.split(':').next().unwrap();
                assert!(
                    ["invalid", "not_found", "forbidden"].contains(&kind),
                    "{tool} {:.80}: {why:.200}",
                    arguments.to_string()
                );
                assert!(why.len() < 2_100, "{tool} says {} bytes", why.len());
            }
        }
        let after = engine.docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", "name=smcp-hostile"]);
        assert_eq!(before, after);
    }
}
