//! container_update: the new one has all that the old one had, or the old one is back; also when the server is killed in the middle.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use rights::scope::Scope;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{Engine, IMAGE, answer, engines, failure};
use crate::common::{Key, Scratch, Server, Setup, eventually};

const SCOPES: &[Scope] = &[Scope::DockerRead, Scope::DockerDeploy];

/// What a test made of an engine's, gone with it.
pub(super) struct Made {
    pub(super) engine: Engine,
    pub(super) prefix: String,
}

impl Made {
    pub(super) fn on(engine: &Engine) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("upd-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self { engine: engine.clone(), prefix }
    }

    pub(super) fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// An image with these changes, of a container in which `command` has run.
    fn image(&self, tag: &str, command: &str, changes: &[&str]) -> String {
        let name = format!("t/{}:{tag}", self.prefix);
        self.engine.image(&name, &self.name(&format!("base-{tag}")), command, changes);
        name
    }

    /// A running container, and its id.
    fn run(&self, name: &str, words: &[&str], image: &str, command: &[&str]) -> (String, String) {
        let name = self.name(name);
        let before = ["run", "--detach", "--stop-timeout", "1", "--name", &name];
        let id = self.engine.docker(&[&before[..], words, &[image], command].concat());
        (name, id)
    }

    pub(super) fn inspect(&self, name: &str) -> Value {
        serde_json::from_str::<Value>(&self.engine.docker(&["inspect", name])).unwrap()[0].take()
    }

    /// The names of all containers whose name has this one in it, as there should be one.
    fn called(&self, name: &str) -> String {
        let filter = format!("name={name}");
        self.engine.docker(&["ps", "--all", "--format", "{{.Names}}", "--filter", &filter]).replace('\n', " ")
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let ids = |words: &[&str]| -> Vec<String> {
            let said = self.engine.try_docker(words).stdout;
            String::from_utf8_lossy(&said).split_whitespace().map(str::to_owned).collect()
        };
        let filter = format!("name={}", self.prefix);
        for id in ids(&["ps", "--all", "--quiet", "--filter", &filter]) {
            self.engine.try_docker(&["rm", "--force", "--volumes", &id]);
        }
        for id in ids(&["network", "ls", "--quiet", "--filter", &filter]) {
            self.engine.try_docker(&["network", "rm", &id]);
        }
        for name in ids(&["volume", "ls", "--quiet", "--filter", &filter]) {
            self.engine.try_docker(&["volume", "rm", &name]);
        }
        for id in ids(&["images", "--quiet", "--filter", &format!("reference=*/{}", self.prefix)]) {
            self.engine.try_docker(&["rmi", "--force", &id]);
        }
    }
}

/// Leaves out of an inspect what is each container's own, and what the Engine makes of it anew.
fn kept(mut inspect: Value) -> Value {
    let id = inspect["Id"].as_str().unwrap()[..12].to_owned();
    let whole = inspect.as_object_mut().unwrap();
    whole.retain(|key, _| {
        matches!(&key[..], "Name" | "Config" | "HostConfig" | "NetworkSettings" | "Mounts" | "Path" | "Args")
    });
    let networks = inspect["NetworkSettings"]["Networks"].take();
    let ports = inspect["NetworkSettings"]["Ports"].take();
    inspect["NetworkSettings"] = json!({ "Networks": networks, "Ports": ports });
    for at in inspect["NetworkSettings"]["Networks"].as_object_mut().unwrap().values_mut() {
        let at = at.as_object_mut().unwrap();
        // an address that nobody asked for is given anew
        let fixed = at["IPAMConfig"].is_object();
        at.retain(|key, _| {
            !matches!(&key[..], "EndpointID" | "MacAddress" | "DriverOpts") && (fixed || key != "IPAddress")
        });
        for list in ["Aliases", "DNSNames"] {
            if let Some(Value::Array(names)) = at.get_mut(list) {
                names.retain(|name| *name != id);
            }
        }
    }
    let config = inspect["Config"].as_object_mut().unwrap();
    config.retain(|_, value| *value != id);
    if let Some(Value::Array(env)) = config.get_mut("Env") {
        env.retain(|one| *one != format!("HOSTNAME={id}"));
        env.sort_by_key(ToString::to_string);
    }
    // volumes without a name are bound by the one they have
    let mounts = inspect["Mounts"].as_array_mut().unwrap();
    mounts.sort_by_key(|mount| mount["Destination"].to_string());
    for mount in mounts.iter_mut() {
        mount.as_object_mut().unwrap().remove("Mode");
    }
    if let Some(Value::Array(binds)) = inspect["HostConfig"].get_mut("Binds") {
        binds.retain(|bind| !bind.as_str().unwrap().contains("/anon") && !bind.as_str().unwrap().contains("/data"));
        binds.sort_by_key(ToString::to_string);
    }
    inspect
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn a_new_image_brings_what_is_its_own_and_all_else_is_kept() {
    for engine in engines() {
        let made = Made::on(&engine);
        let (a, b) = (made.name("a"), made.name("b"));
        for network in [&a, &b] {
            engine.docker(&["network", "create", network]);
        }
        let v1 =
            made.image("1", "true", &["CMD [\"sleep\",\"1001\"]", "ENV FROM=image", "LABEL of=image", "VOLUME /data"]);
        let v2 = made.image("2", "true", &["CMD [\"sleep\",\"1002\"]", "ENV FROM=new", "LABEL of=new", "VOLUME /data"]);
        let volume = format!("{}:/named", made.name("v"));
        let words = [
            &[
                "--network",
                &a,
                "--network-alias",
                "alpha",
                "--env",
                "OWN=1",
                "--label",
                "mine=yes",
                "--volume",
                &volume,
            ],
            &["--volume", "/anon", "--volume", "/etc:/host-etc:ro", "--tmpfs", "/scratch", "--hostname", "by-hand"][..],
            &[
                "--restart",
                "unless-stopped",
                "--add-host",
                "far:192.0.2.1",
                "--cap-drop",
                "NET_RAW",
                "--workdir",
                "/tmp",
            ],
            &["--publish", "127.0.0.1::80", "--label", "com.docker.compose.project=shop"],
        ];
        let (name, old) = made.run("web", &words.concat(), &v1, &[]);
        engine.docker(&["network", "connect", "--alias", "beta", &b, &name]);
        engine.docker(&[
            "exec",
            &name,
            "sh",
            "-c",
            "echo kept > /anon/file; echo kept > /data/file; echo kept > /named/file",
        ]);
        let before = made.inspect(&name);
        // it has a directory of the machine
        let server = engine.server_with(SCOPES, "update_privileged: true");
        let report = answer(
            &server,
            "container_update",
            json!({ "name": name, "image": v2, "pull": false, "wait_seconds": 30 }),
        );
        assert_eq!((&report["changed"], &report["state"]["state"]), (&json!(true), &json!("running")), "{report}");
        let after = made.inspect(&name);
        assert_ne!(after["Id"], old);
        assert!(after["Id"].as_str().unwrap().starts_with(report["id"].as_str().unwrap()));
        let (before, mut after) = (kept(before), kept(after));
        // what is the image's own has changed, and is put back for the comparison
        assert_eq!(after["Config"]["Cmd"], json!(["sleep", "1002"]), "{}", engine.name);
        assert_eq!(after["Config"]["Labels"]["of"], "new", "{}", engine.name);
        assert!(after["Config"]["Env"].as_array().unwrap().contains(&json!("FROM=new")), "{}", engine.name);
        assert!(!after["Config"]["Env"].as_array().unwrap().contains(&json!("FROM=image")), "{}", engine.name);
        for key in ["Cmd", "Env", "Image"] {
            after["Config"][key] = before["Config"][key].clone();
        }
        after["Config"]["Labels"]["of"] = "image".into();
        after["Path"] = before["Path"].clone();
        after["Args"] = before["Args"].clone();
        // ports that the Engine chose are chosen anew
        after["NetworkSettings"]["Ports"] = before["NetworkSettings"]["Ports"].clone();
        if after != before {
            panic!("{}:\n{before:#}\n{after:#}", engine.name);
        }
        for file in ["/anon/file", "/data/file", "/named/file"] {
            assert_eq!(engine.docker(&["exec", &name, "cat", file]), "kept", "{}: {file}", engine.name);
        }
        assert_eq!(made.called(&name), name, "{}", engine.name);
        assert_eq!(fs::read_dir(server.scratch.path("state/updates")).unwrap().count(), 0, "the journal is not empty");

        // the same image: nothing happens unless it must
        let report = answer(&server, "container_update", json!({ "name": name, "image": v2, "pull": false }));
        assert_eq!((&report["changed"], &report["note"]), (&json!(false), &json!("already up to date")));
        let forced = json!({ "name": name, "pull": false, "force": true });
        let again = answer(&server, "container_update", forced);
        assert_eq!(again["changed"], true);
        assert_ne!(again["id"], report["id"]);
        let mut after = kept(made.inspect(&name));
        for key in ["Cmd", "Env", "Image", "Labels"] {
            after["Config"][key] = before["Config"][key].clone();
        }
        assert_eq!((&after["Config"], &after["Mounts"]), (&before["Config"], &before["Mounts"]), "{}", engine.name);
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn what_is_no_good_is_taken_back_and_the_old_one_runs() {
    for engine in engines() {
        let made = Made::on(&engine);
        let good = made.image("good", "touch /ok", &["CMD [\"sleep\",\"1000\"]"]);
        let server = engine.server(SCOPES);
        let mut cases =
            vec![("exits", made.image("exits", "true", &["CMD [\"sh\",\"-c\",\"exit 7\"]"]), "exit code 7")];
        cases.push(("lacks", made.image("lacks", "touch /ok", &["CMD [\"/nonexistent\"]"]), "/nonexistent"));
        if !engine.is_podman() {
            // Podman has a timer of systemd's run its checks
            cases.push(("sick", made.image("sick", "true", &["CMD [\"sleep\",\"1000\"]"]), "health check fails"));
        }
        for (case, image, says) in cases {
            let check = ["--health-cmd", "test -f /ok || { echo no ok; false; }", "--health-interval", "1s"];
            let check = if engine.is_podman() { &[][..] } else { &[&check[..], &["--health-retries", "2"]].concat() };
            let (name, id) = made.run(case, &[&["--network", "none"], check].concat(), &good, &[]);
            let before = made.inspect(&id);
            let why = failure(&server, "container_update", json!({ "name": name, "image": image, "pull": false }));
            assert!(why.starts_with("refused: ") && why.contains(says), "{}: {case}: {why}", engine.name);
            assert!(why.contains("the old container is back"), "{}: {case}: {why}", engine.name);
            assert_eq!(made.called(&name), name, "{}: {case}", engine.name);
            let after = made.inspect(&name);
            assert_eq!(
                (&after["Id"], &after["State"]["Running"]),
                (&json!(id), &json!(true)),
                "{}: {case}",
                engine.name
            );
            assert_eq!(kept(after), kept(before), "{}: {case}", engine.name);
            let last = server.actions().pop().unwrap();
            assert_eq!((&last["outcome"], &last["kind"]), (&json!("error"), &json!("refused")), "{last}");
            assert!(last["target"].as_str().unwrap().starts_with(&id), "{last}");
        }
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn what_cannot_be_done_is_refused_before_anything_is_touched() {
    for engine in engines() {
        let made = Made::on(&engine);
        let keys = "allow: [(scope: \"docker:deploy\", names: [\"upd-*\"])], update_privileged: true";
        let server = engine.server_with(SCOPES, keys);
        let other = engine.run(&[], &["sleep", "1000"]);
        let (web, web_id) = made.run("web", &["--network", "none"], IMAGE, &["sleep", "1000"]);
        let (rm, _) = made.run("rm", &["--network", "none", "--rm"], IMAGE, &["sleep", "1000"]);
        let (net, _) = made.run("net", &[], IMAGE, &["sleep", "1000"]);
        made.run("guest", &["--network", &format!("container:{net}")], IMAGE, &["sleep", "1000"]);
        let (paused, _) = made.run("paused", &["--network", "none"], IMAGE, &["sleep", "1000"]);
        engine.docker(&["pause", &paused]);
        let other_image = made.image("other", "true", &["CMD [\"sleep\",\"1\"]"]);
        let (strong, strong_id) =
            made.run("strong", &["--network", "none", "--pid", "host"], IMAGE, &["sleep", "1000"]);
        let (half, _) = made.run("web.smcp-old-0123456789ab", &["--network", "none"], IMAGE, &["sleep", "1000"]);
        let began = made.inspect(&web)["State"]["StartedAt"].clone();
        for (arguments, says) in [
            (json!({ "name": other.name }), "docker.allow"),
            (json!({ "name": rm, "pull": false, "force": true }), "--rm"),
            (json!({ "name": net, "pull": false, "force": true }), "guest"),
            (json!({ "name": paused, "pull": false, "force": true }), "unpause"),
            (json!({ "name": web, "image": "127.0.0.1:1/no/such:1" }), "docker.registries"),
            (json!({ "name": web, "image": "t/none:1", "pull": false }), "t/none:1"),
            (json!({ "name": web, "image": "../../containers/x" }), "image is"),
            (json!({ "name": web, "wait_seconds": 0 }), "wait_seconds"),
            (json!({ "name": strong, "image": other_image, "pull": false }), "no new container may ask for"),
            (json!({ "name": half, "pull": false, "force": true }), "half of an update"),
        ] {
            let why = failure(&server, "container_update", arguments.clone());
            assert!(why.contains(says), "{}: {arguments}: {why}", engine.name);
        }
        engine.docker(&["unpause", &paused]);
        assert_eq!(made.inspect(&strong)["Id"], strong_id, "{}", engine.name);
        // its own repository it may have
        // Podman says whose the image is
        let own = if engine.is_podman() { "localhost/t/bb:1" } else { IMAGE };
        let again = json!({ "name": strong, "image": own, "pull": false, "force": true });
        assert_eq!(answer(&server, "container_update", again)["changed"], true, "{}", engine.name);
        // what only has the name of a half, and is in no journal, can be removed
        answer(&server, "container_remove", json!({ "name": half, "force": true }));
        let now = made.inspect(&web);
        assert_eq!((&now["Id"], &now["State"]["StartedAt"]), (&json!(web_id), &began), "{}", engine.name);
        assert_eq!(fs::read_dir(server.scratch.path("state/updates")).unwrap().count(), 0);
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn without_a_place_for_the_journal_nothing_is_begun() {
    let engine = engines().remove(0);
    let made = Made::on(&engine);
    let (web, id) = made.run("web", &["--network", "none"], IMAGE, &["sleep", "1000"]);
    let server = engine.server(SCOPES);
    // a file where the directory would be
    fs::write(server.scratch.path("state/updates"), "").unwrap();
    let why = failure(&server, "container_update", json!({ "name": web, "pull": false, "force": true }));
    assert!(why.starts_with("refused: ") && why.contains("state_directory"), "{why}");
    assert_eq!(made.inspect(&web)["Id"], id);
}

/// What the middle does at a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Mishap {
    /// The server is killed before the Engine hears of the request.
    KilledBefore,
    /// The server is killed after the Engine did it.
    KilledAfter,
    /// The Engine is away for a few seconds.
    Away,
    /// The Engine says 500, once.
    Refused,
    /// A guard says 403, whenever it is asked.
    Forbidden,
}

/// Between a server and its engine: something happens at one step.
pub(super) struct Middle {
    scratch: Scratch,
    victim: Arc<Mutex<Option<Pid>>>,
}

/// The steps of an update as the Engine sees them.
const STEPS: &[&str] = &["/containers/create", "/connect", "/stop", ".smcp-old-", "/rename", "/start", "DELETE"];

impl Middle {
    pub(super) fn before(
        engine: &Engine,
        step: &'static str,
        hook: impl FnMut() + Send + 'static,
        mishap: Option<Mishap>,
    ) -> Self {
        let scratch = Scratch::new();
        let path = scratch.path("docker.sock");
        let listener = UnixListener::bind(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        let victim = Arc::new(Mutex::new(None));
        let (engine, killed) = (engine.socket.clone(), Arc::clone(&victim));
        let state = Arc::new(Mutex::new((false, hook)));
        let begun = Arc::new(AtomicBool::new(false));
        let away = Arc::new(Mutex::new(None::<std::time::Instant>));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (engine, killed, state, away) =
                    (engine.clone(), Arc::clone(&killed), Arc::clone(&state), Arc::clone(&away));
                let begun = Arc::clone(&begun);
                thread::spawn(move || {
                    if away.lock().unwrap().is_some_and(|since| since.elapsed() < Duration::from_secs(3)) {
                        return;
                    }
                    let mut client = client;
                    let Some((head, body)) = read_request(&mut client) else { return };
                    let hit = {
                        let mut state = state.lock().unwrap();
                        let first = head.lines().next().unwrap();
                        // the second rename is the one that does not name the old
                        let is = first.contains(step) && !(step == "/rename" && first.contains(".smcp-old-"));
                        // before it, the guard is asked whether it would let the old one be acted on
                        let begun = begun.fetch_or(first.contains("/containers/create"), Ordering::Relaxed)
                            || first.contains("/containers/create");
                        let again = state.0 && mishap != Some(Mishap::Forbidden);
                        let hit = is && begun && !first.starts_with("GET") && !again;
                        if hit {
                            state.0 = true;
                            (state.1)();
                        }
                        hit
                    };
                    let kill = || {
                        if let Some(pid) = *killed.lock().unwrap() {
                            kill_process(pid, Signal::KILL).unwrap();
                        }
                    };
                    match mishap {
                        Some(Mishap::KilledBefore) if hit => return kill(),
                        Some(Mishap::Away) if hit => {
                            *away.lock().unwrap() = Some(std::time::Instant::now());
                            return;
                        }
                        Some(Mishap::Refused) if hit => {
                            return refuse(client, "500 Internal Server Error", "the daemon is shutting down");
                        }
                        Some(Mishap::Forbidden) if hit => {
                            return refuse(client, "403 Forbidden", "docker-guard: not this one");
                        }
                        _ => (),
                    }
                    let mut to = UnixStream::connect(&engine).unwrap();
                    let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
                    to.write_all(head.as_bytes()).unwrap();
                    to.write_all(&body).unwrap();
                    let mut said = vec![];
                    let _ = to.read_to_end(&mut said);
                    if hit && mishap == Some(Mishap::KilledAfter) {
                        return kill();
                    }
                    let _ = client.write_all(&said);
                });
            }
        });
        Self { scratch, victim }
    }

    /// Where it listens.
    pub(super) fn socket(&self) -> PathBuf {
        self.scratch.path("docker.sock")
    }

    fn server(&self) -> Server {
        let config = format!("docker: (socket: {:?}),", self.socket().to_str().unwrap());
        let server = Setup { keys: vec![Key::new("agent").with_scopes(SCOPES)], config, ..Setup::default() }.start();
        *self.victim.lock().unwrap() = Some(server.pid());
        server
    }
}

/// Answers in the Engine's place.
fn refuse(mut client: UnixStream, status: &str, why: &str) {
    let body = json!({ "message": why }).to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = client.write_all(format!("{head}{body}").as_bytes());
}

/// The head, and as much of a body as it says.
fn read_request(from: &mut UnixStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = vec![];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        let mut some = [0; 4096];
        match from.read(&mut some) {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend(&some[..read]),
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = bytes.split_off(end);
    let have = body.len();
    body.resize(length.unwrap_or(0).max(have), 0);
    from.read_exact(&mut body[have..]).ok()?;
    Some((head, body))
}

/// The same server again, straight to the engine: as a supervisor would start it.
fn again(engine: &Engine, server: &mut Server) -> Server {
    server.wait();
    let scratch = std::mem::replace(&mut server.scratch, Scratch::new());
    let config = format!("docker: (socket: {:?}),", engine.socket.to_str().unwrap());
    Setup { keys: server.keys.clone(), config, scratch, ..Setup::default() }.start()
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn killed_at_any_step_one_of_the_two_runs_after_the_next_start_and_it_says_which() {
    for (at, engine) in engines().into_iter().enumerate() {
        let is_first = at == 0;
        let made = Made::on(&engine);
        let v1 = made.image("1", "true", &["CMD [\"sleep\",\"1001\"]"]);
        let v2 = made.image("2", "true", &["CMD [\"sleep\",\"1002\"]"]);
        let (a, b) = (made.name("a"), made.name("b"));
        for network in [&a, &b] {
            engine.docker(&["network", "create", network]);
        }
        for (number, step) in STEPS.iter().enumerate() {
            for mishap in [Mishap::KilledBefore, Mishap::KilledAfter] {
                // each takes seconds, and the sequence is the same: of the other engines those that tell them apart
                let tells =
                    matches!((*step, mishap), (".smcp-old-", Mishap::KilledAfter) | ("/start", Mishap::KilledAfter));
                if !is_first && !tells {
                    continue;
                }
                let case = format!("{}: {step} {mishap:?}", engine.name);
                let (name, old) = made.run(&format!("k{number}{mishap:?}"), &["--network", &a], &v1, &[]);
                engine.docker(&["network", "connect", &b, &name]);
                let middle = Middle::before(&engine, step, || (), Some(mishap));
                let mut server = middle.server();
                let (address, token) = (server.address, server.token().to_owned());
                let arguments = json!({ "name": name, "image": v2, "pull": false });
                let asking = thread::spawn(move || {
                    let request = crate::common::Request::call("container_update", arguments).token(&token);
                    // nobody is left to answer
                    let mut wire = crate::common::Wire::to(address);
                    let _ = wire.send(request.bytes());
                    let _ = wire.answer();
                });
                let server = again(&engine, &mut server);
                asking.join().unwrap();
                let record = eventually(&format!("{case}: it says how it ended"), || {
                    let is_end = |record: &Value| record["phase"] == "result" && record["tool"] == "container_update";
                    server.actions().into_iter().find(is_end)
                });
                let now = made.inspect(&name);
                let id = now["Id"].as_str().unwrap();
                assert_eq!(now["State"]["Running"], true, "{case}");
                assert_eq!(made.called(&name), name, "{case}");
                assert!(record["target"].as_str().unwrap().starts_with(id), "{case}: {record}");
                let log = eventually(&format!("{case}: it says what had broken off"), || {
                    Some(server.log()).filter(|log| log.contains("an update had broken off") && log.contains(&name))
                });
                // once it runs there is no reason to go back
                let replaced = *step == "DELETE" || (*step == "/start" && mishap == Mishap::KilledAfter);
                assert_eq!(id != old, replaced, "{case}: {log}");
                assert_eq!(record["outcome"], if replaced { "ok" } else { "error" }, "{case}: {record}");
                assert_eq!(now["NetworkSettings"]["Networks"].as_object().unwrap().len(), 2, "{case}");
                eventually("the journal is empty", || {
                    (fs::read_dir(server.scratch.path("state/updates")).unwrap().count() == 0).then_some(())
                });
                engine.docker(&["rm", "--force", &name]);
            }
        }
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn an_engine_that_goes_away_in_the_middle_is_waited_for() {
    for engine in engines() {
        let made = Made::on(&engine);
        let v1 = made.image("1", "true", &["CMD [\"sleep\",\"1001\"]"]);
        let v2 = made.image("2", "true", &["CMD [\"sleep\",\"1002\"]"]);
        for (number, step) in ["/stop", "/rename", "/start"].iter().enumerate() {
            let (name, old) = made.run(&format!("a{number}"), &["--network", "none"], &v1, &[]);
            let middle = Middle::before(&engine, step, || (), Some(Mishap::Away));
            let server = middle.server();
            let why = failure(&server, "container_update", json!({ "name": name, "image": v2, "pull": false }));
            assert!(why.contains("the old container is back"), "{}: {step}: {why}", engine.name);
            let now = made.inspect(&name);
            assert_eq!((&now["Id"], &now["State"]["Running"]), (&json!(old), &json!(true)), "{}: {step}", engine.name);
            assert_eq!(made.called(&name), name, "{}: {step}", engine.name);
        }
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn a_name_or_a_port_that_others_take_in_the_middle_costs_the_update_and_not_the_container() {
    for engine in engines() {
        let made = Made::on(&engine);
        // of one repository, so that any container may have either
        let (v1, v2) = (made.image("1", "true", &[]), made.image("2", "true", &["CMD [\"sleep\",\"1002\"]"]));
        let (name, old) = made.run("name", &["--network", "none"], &v1, &["sleep", "1000"]);
        let taker = {
            let (engine, name) = (engine.clone(), name.clone());
            move || drop(engine.docker(&["create", "--name", &name, IMAGE, "true"]))
        };
        let middle = Middle::before(&engine, "/rename", taker, None);
        let server = middle.server();
        let why = failure(&server, "container_update", json!({ "name": name, "image": v2, "pull": false }));
        assert!(why.contains("its name was taken"), "{}: {why}", engine.name);
        assert_eq!(made.inspect(&old)["State"]["Running"], true, "{}", engine.name);

        let port = format!("127.0.0.1:{}:80", 20_000 + std::process::id() % 10_000);
        let (name, old) = made.run("port", &["--publish", &port], &v1, &["sleep", "1000"]);
        let taker = {
            let (engine, other) = (engine.clone(), made.name("taker"));
            move || {
                drop(engine.docker(&["run", "--detach", "--name", &other, "--publish", &port, IMAGE, "sleep", "1000"]))
            }
        };
        let middle = Middle::before(&engine, "/start", taker, None);
        let server = middle.server();
        let why = thread::scope(|scope| {
            // the port is freed while it is still tried
            scope.spawn(|| {
                eventually("the old one cannot be started", || {
                    server.log().contains("could not be started again").then_some(())
                });
                let why = failure(&server, "container_remove", json!({ "name": name, "force": true }));
                assert!(why.contains("is not ended"), "{}: {why}", engine.name);
                engine.docker(&["rm", "--force", &made.name("taker")]);
            });
            failure(&server, "container_update", json!({ "name": name, "image": v2, "pull": false }))
        });
        assert!(why.contains("the old container is back"), "{}: {why}", engine.name);
        assert_eq!(made.inspect(&old)["State"]["Running"], true, "{}", engine.name);
        assert_eq!(made.called(&name), name, "{}", engine.name);
        assert_eq!(made.inspect(&name)["Id"], old, "{}", engine.name);
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn one_refusal_at_the_beginning_of_the_way_back_is_not_the_end() {
    let engine = engines().remove(0);
    let made = Made::on(&engine);
    let v1 = made.image("1", "true", &["CMD [\"sleep\",\"1001\"]"]);
    let v2 = made.image("2", "true", &["CMD [\"/nonexistent\"]"]);
    // what the new one lacks shows at its start; the first step of the way back is its removal, the last the old one's start
    for (number, step) in ["DELETE", "OLD/start"].iter().enumerate() {
        let (name, old) = made.run(&format!("r{number}"), &["--network", "none"], &v1, &[]);
        let step: &'static str = if *step == "DELETE" { "DELETE" } else { format!("/{old}/start").leak() };
        let middle = Middle::before(&engine, step, || (), Some(Mishap::Refused));
        let server = middle.server();
        let why = failure(&server, "container_update", json!({ "name": name, "image": v2, "pull": false }));
        assert!(why.contains("the old container is back"), "{step}: {why}");
        let now = made.inspect(&name);
        assert_eq!((&now["Id"], &now["State"]["Running"]), (&json!(old), &json!(true)), "{step}");
        assert_eq!(made.called(&name), name, "{step}");
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn what_a_guard_forbids_in_the_middle_is_decided_and_all_else_is_taken_back() {
    let engine = engines().remove(0);
    let made = Made::on(&engine);
    let v1 = made.image("1", "true", &["CMD [\"sleep\",\"1001\"]"]);
    let v2 = made.image("2", "true", &["CMD [\"/nonexistent\"]"]);
    // nothing may be done to the old one: as of a guard's own container
    let (name, old) = made.run("own", &["--network", "none"], &v1, &[]);
    let began = made.inspect(&old)["State"]["StartedAt"].clone();
    let middle = Middle::before(&engine, format!("/{old}").leak(), || (), Some(Mishap::Forbidden));
    let server = middle.server();
    let why = failure(&server, "container_update", json!({ "name": name, "image": v2, "pull": false }));
    assert!(why.contains("not this one") && why.contains("the old container is back"), "{why}");
    assert_eq!(made.called(&name), name);
    assert_eq!(made.inspect(&name)["State"]["StartedAt"], began);
    assert_eq!(fs::read_dir(server.scratch.path("state/updates")).unwrap().count(), 0);

    // the new one may not be removed again: that is said at once, and ended when it may be
    let (name, old) = made.run("new", &["--network", "none"], &v1, &[]);
    let middle = Middle::before(&engine, "DELETE", || (), Some(Mishap::Forbidden));
    let mut server = middle.server();
    let why = failure(&server, "container_update", json!({ "name": name, "image": v2, "pull": false }));
    assert!(why.starts_with("forbidden: ") && why.contains("is not ended"), "{why}");
    kill_process(server.pid(), Signal::KILL).unwrap();
    let server = again(&engine, &mut server);
    eventually("the old one runs, and the journal is empty", || {
        let runs = made.inspect(&old)["State"]["Running"] == true && made.called(&name) == name;
        (runs && fs::read_dir(server.scratch.path("state/updates")).unwrap().count() == 0).then_some(())
    });
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn killed_on_the_way_back_the_old_one_runs_after_the_next_start() {
    let engine = engines().remove(0);
    let made = Made::on(&engine);
    let v1 = made.image("1", "true", &["CMD [\"sleep\",\"1001\"]"]);
    let v2 = made.image("2", "true", &["CMD [\"/nonexistent\"]"]);
    for (number, (step, mishap)) in [
        ("DELETE", Mishap::KilledBefore),
        ("DELETE", Mishap::KilledAfter),
        ("OLD/rename?name=", Mishap::KilledAfter),
        ("OLD/start", Mishap::KilledBefore),
    ]
    .into_iter()
    .enumerate()
    {
        let (name, old) = made.run(&format!("b{number}"), &["--network", "none"], &v1, &[]);
        // the way back is the second time that the old one is renamed, and gives it just its name
        let at = step.replace("OLD", &old).replace("name=", &format!("name={name} "));
        let middle = Middle::before(&engine, at.leak(), || (), Some(mishap));
        let mut server = middle.server();
        let (address, token) = (server.address, server.token().to_owned());
        let arguments = json!({ "name": name, "image": v2, "pull": false });
        let asking = thread::spawn(move || {
            let request = crate::common::Request::call("container_update", arguments).token(&token);
            let mut wire = crate::common::Wire::to(address);
            let _ = wire.send(request.bytes());
            let _ = wire.answer();
        });
        let server = again(&engine, &mut server);
        asking.join().unwrap();
        eventually(&format!("{step} {mishap:?}: the old one runs, and the journal is empty"), || {
            let runs = made.inspect(&old)["State"]["Running"] == true && made.called(&name) == name;
            (runs && fs::read_dir(server.scratch.path("state/updates")).unwrap().count() == 0).then_some(())
        });
        eventually(&format!("{step} {mishap:?}: it says so"), || {
            server.log().contains("the old container is back").then_some(())
        });
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn an_old_one_that_others_remove_in_the_middle_leaves_a_new_one_that_runs_and_says_so() {
    let engine = engines().remove(0);
    let made = Made::on(&engine);
    let v1 = made.image("1", "true", &["CMD [\"sleep\",\"1001\"]"]);
    for (tag, command, says) in [("2", "CMD [\"sleep\",\"1002\"]", "is good"), ("3", "CMD [\"/none\"]", "is no good")] {
        let v2 = made.image(tag, "true", &[command]);
        for step in ["/stop", "/rename"] {
            let (name, old) = made.run(&format!("o{tag}{}", &step[1..]), &["--network", "none"], &v1, &[]);
            let remover = {
                let (engine, old) = (engine.clone(), old.clone());
                move || drop(engine.docker(&["rm", "--force", &old]))
            };
            let middle = Middle::before(&engine, step, remover, None);
            let server = middle.server();
            let why = failure(&server, "container_update", json!({ "name": name, "image": v2, "pull": false }));
            assert!(why.contains("others removed") && why.contains(says), "{tag} {step}: {why}");
            assert_eq!(made.called(&name), name, "{tag} {step}");
            assert_eq!(made.inspect(&name)["State"]["Running"], tag == "2", "{tag} {step}");
            assert_eq!(fs::read_dir(server.scratch.path("state/updates")).unwrap().count(), 0, "{tag} {step}");
        }
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn one_that_did_not_run_is_made_anew_and_not_started() {
    for engine in engines() {
        let made = Made::on(&engine);
        let (name, old) = made.run("still", &["--network", "none"], IMAGE, &["sleep", "1000"]);
        engine.docker(&["stop", &name]);
        let server = engine.server(SCOPES);
        let report = answer(&server, "container_update", json!({ "name": name, "pull": false, "force": true }));
        assert!(report["note"].as_str().unwrap().contains("was not started"), "{}: {report}", engine.name);
        let now = made.inspect(&name);
        assert_eq!(now["State"]["Running"], false, "{}", engine.name);
        assert_ne!(now["Id"], old, "{}", engine.name);
        assert_eq!(made.called(&name), name, "{}", engine.name);
    }
}
