//! docker-guard: what passes, what does not, and that the server works through it as without.
//!
//! What needs no Engine is asked of a stand-in that writes down what reaches it.

use std::{
    collections::BTreeSet,
    fs,
    io::{ErrorKind, Read, Write},
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rights::scope::Scope;
use serde_json::{Value, json};
use systemmanager_mcp::guard::Call;

use super::{Engine, IMAGE, answer, engines, failure};
use crate::common::{Key, PATIENCE, Program, Request, Scratch, Setup, eventually, needs_root, words};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A running docker-guard, ended when dropped.
pub(super) struct Guard {
    child: Child,
    scratch: Scratch,
    socket: PathBuf,
}

impl Guard {
    /// Before this socket, as whoever runs the tests: the Engine's own socket is not everybody's.
    pub(super) fn before(docker: &Path, flags: &[&str]) -> Self {
        Self::start(|scratch, socket| Self::command(docker, socket, scratch, flags))
    }

    /// Before this socket, where it looks to it as in this container.
    fn inside(container: &str, docker: &Path) -> Self {
        Self::start(|scratch, socket| {
            fs::create_dir(scratch.path(container)).unwrap();
            let mounted = scratch.write(&format!("{container}/hostname"), "guard\n");
            let mut command = Command::new("unshare");
            command.args(["--mount", "--propagation", "private", "sh", "-ec"]);
            command.arg("mount --bind \"$0\" /etc/hostname; exec \"$@\"").arg(mounted);
            command.args(words(&Self::command(docker, socket, scratch, &[]))).stderr(Stdio::null());
            command
        })
    }

    fn start(command: impl FnOnce(&Scratch, &Path) -> Command) -> Self {
        let scratch = Scratch::new();
        let socket = scratch.path("guard.sock");
        let child = command(&scratch, &socket).spawn().unwrap();
        eventually("docker-guard listens", || UnixStream::connect(&socket).ok());
        // the server of the tests is somebody else
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
        Self { child, scratch, socket }
    }

    fn command(docker: &Path, socket: &Path, scratch: &Scratch, flags: &[&str]) -> Command {
        let mut command = Command::new(&Program::get().path);
        command.arg("docker-guard").arg("--docker").arg(docker).arg("--listen").arg(socket);
        command.arg("--audit").arg(scratch.path("audit.jsonl")).args(flags).stderr(Stdio::null());
        command
    }

    /// What was refused, then attempts and their results.
    fn audit(&self) -> Vec<Value> {
        let files = ["audit.jsonl", "audit.jsonl.actions"].map(|name| self.scratch.path(name));
        files.iter().flat_map(|file| crate::common::records(file)).collect()
    }

    /// What comes back for these bytes, until the other side closes.
    fn ask(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // it may have closed already
        let _ = stream.write_all(bytes.as_ref());
        let mut said = vec![];
        let _ = stream.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    }

    pub(super) fn request(&self, line: &str) -> String {
        self.ask(format!("{line} HTTP/1.1\r\nHost: docker\r\n\r\n"))
    }

    /// What the Engine says, unread: `docker inspect` adds what its own version knows.
    pub(super) fn json(&self, target: &str) -> Value {
        let said = self.request(&format!("GET {target}"));
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        let body = if head.contains("chunked") {
            let mut whole = String::new();
            let mut rest = body;
            while let Some((length, after)) = rest.split_once("\r\n") {
                let length = usize::from_str_radix(length, 16).unwrap();
                whole.push_str(&after[..length]);
                rest = &after[length + 2..];
            }
            whole
        } else {
            body.to_owned()
        };
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    pub(super) fn post(&self, target: &str, body: &str) -> String {
        self.ask(format!("POST {target} HTTP/1.1\r\nHost: docker\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }

    /// The same Engine, by way of this guard.
    pub(super) fn engine(&self, engine: &Engine) -> Engine {
        Engine { name: engine.name.clone(), socket: self.socket.clone() }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What one connection has sent so far.
type Bytes = Arc<Mutex<Vec<u8>>>;

/// Stands between whoever asks and an Engine (or nothing), and writes down every request line.
struct Recorder {
    socket: PathBuf,
    seen: Arc<Mutex<Vec<Bytes>>>,
    _scratch: Scratch,
}

impl Recorder {
    /// Before this Engine.
    fn before(engine: &Path) -> Self {
        let engine = engine.to_owned();
        Self::with(move |mut client, seen| {
            let Ok(mut engine) = UnixStream::connect(&engine) else { return };
            let (mut back, mut to) = (engine.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || {
                let _ = std::io::copy(&mut back, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Write);
            });
            let mut bytes = [0; 64 << 10];
            while let Ok(read @ 1..) = client.read(&mut bytes) {
                seen.lock().unwrap().extend_from_slice(&bytes[..read]);
                if engine.write_all(&bytes[..read]).is_err() {
                    break;
                }
            }
            let _ = engine.shutdown(std::net::Shutdown::Both);
        })
    }

    /// Answers all itself, with `{}`.
    fn alone() -> Self {
        Self::saying("{}")
    }

    /// Answers all itself, with this.
    fn saying(body: &str) -> Self {
        Self::with_containers(body, body)
    }

    /// The same, with these containers.
    fn with_containers(containers: &str, body: &str) -> Self {
        let answer = |body: &str| {
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nUpgrade: tcp\r\nX-Else: y\r\n\r\n{body}", body.len())
        };
        let (containers, other) = (answer(containers), answer(body));
        Self::with(move |mut client, seen| {
            let mut bytes = [0; 64 << 10];
            let read = client.read(&mut bytes).unwrap_or(0);
            seen.lock().unwrap().extend_from_slice(&bytes[..read]);
            let is_list = bytes.starts_with(b"GET /containers/json");
            let _ = client.write_all(if is_list { &containers } else { &other }.as_bytes());
        })
    }

    fn with(serve: impl Fn(UnixStream, Bytes) + Clone + Send + 'static) -> Self {
        let scratch = Scratch::new();
        let socket = scratch.path("recorder.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
        let seen: Arc<Mutex<Vec<Bytes>>> = Arc::default();
        let all = Arc::clone(&seen);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let bytes = Bytes::default();
                all.lock().unwrap().push(Arc::clone(&bytes));
                let serve = serve.clone();
                thread::spawn(move || serve(client, bytes));
            }
        });
        Self { socket, seen, _scratch: scratch }
    }

    /// What came, a connection each.
    fn raw(&self) -> Vec<String> {
        let text = |bytes: &Bytes| String::from_utf8_lossy(&bytes.lock().unwrap()).into_owned();
        self.seen.lock().unwrap().iter().map(text).collect()
    }

    /// Method and target of each request.
    fn requests(&self) -> Vec<(String, String)> {
        let line = |bytes: &String| {
            let mut words = bytes.lines().next()?.split(' ').map(str::to_owned);
            Some((words.next()?, words.next()?))
        };
        self.raw().iter().filter_map(line).collect()
    }

    /// The rows of the guard's table that were used. Panics if there was a request that is on none.
    fn rows(&self) -> BTreeSet<(&'static str, &'static str)> {
        let row = |(method, target): &(String, String)| {
            let call = Call::of(method, target).unwrap_or_else(|why| panic!("{method} {target}: {why}"));
            (call.row.method, call.row.path)
        };
        self.requests().iter().map(row).collect()
    }
}

pub(super) fn is_refused(said: &str) -> bool {
    let (head, body) = said.split_once("\r\n\r\n").unwrap_or_default();
    (head.starts_with("HTTP/1.1 403 ") || head.starts_with("HTTP/1.1 400 "))
        && serde_json::from_str::<Value>(body).is_ok_and(|body| body["message"].is_string())
}

#[test]
fn what_passes_reaches_the_engine_as_a_request_of_the_guards_own() {
    let recorder = Recorder::alone();
    let guard = Guard::before(&recorder.socket, &[]);
    let said = guard.ask(
        "GET /v1.41/containers/json?all=1 HTTP/1.1\r\nHost: evil\r\nX-Registry-Auth: e30=\r\nUser-Agent: x\r\nX-Forwarded-For: y\r\n\
         Connection: close\r\nCookie: z\r\n\r\nGET /containers/json?limit=1 HTTP/1.1\r\nHost: d\r\n\r\n",
    );
    assert!(said.starts_with("HTTP/1.1 200 OK\r\n") && said.ends_with("\r\n\r\n{}"), "{said}");
    assert!(said.contains("Connection: close") && !said.contains("Upgrade") && !said.contains("X-Else"), "{said}");
    assert_eq!(said.matches("HTTP/1.1").count(), 1, "{said}");
    let body = format!(r#"{{"Image":"a","HostConfig":{{"Memory":{}}}}}"#, 1 << 20);
    let said = guard.post("/containers/create?name=web", &format!(" {body} "));
    assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
    let raw = eventually("both have been answered", || Some(recorder.raw()).filter(|raw| raw.len() == 2));
    assert_eq!(raw[0], "GET /containers/json?all=1 HTTP/1.1\r\nhost: docker\r\n\r\n");
    assert!(raw[1].starts_with("POST /containers/create?name=web HTTP/1.1\r\n"), "{}", raw[1]);
    assert!(raw[1].ends_with(&format!("\r\n\r\n{body}")), "{}", raw[1]);
    let audit = eventually("both are on record", || Some(guard.audit()).filter(|audit| audit.len() >= 2));
    let [attempt, result] = &audit[..] else { panic!("{audit:?}") };
    assert_eq!((&attempt["phase"], &result["phase"]), (&json!("attempt"), &json!("result")));
    assert_eq!((&attempt["tool"], &attempt["target"]), (&json!("/containers/create"), &json!("web")));
    assert_eq!((&result["args"]["status"], &result["outcome"]), (&json!(200), &json!("ok")));
}

#[test]
fn nothing_gets_around_it() {
    let recorder = Recorder::alone();
    let guard = Guard::before(&recorder.socket, &["--bind", "/srv/data"]);
    let create = |body: &str| {
        format!("POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let fine = r#"{"Image":"a"}"#;
    let chunked = format!("{:x}\r\n{fine}\r\n0\r\n\r\n", fine.len());
    let ping = "GET /_ping HTTP/1.1\r\nHost: d\r\n";
    let long = "a".repeat(100 << 10);
    for bytes in [
        format!("POST /containers/{ID}/exec HTTP/1.1\r\nHost: d\r\n\r\n"),
        format!(
            "POST /v1.41/containers/{ID}/attach?stream=1 HTTP/1.1\r\nHost: d\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n"
        ),
        format!("{ping}Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAA\r\n\r\n"),
        format!("POST /containers/create HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}"),
        format!(
            "POST /containers/create HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{chunked}"
        ),
        format!(
            "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: 4\r\nTransfer-Encoding : chunked\r\n\r\n{chunked}"
        ),
        format!(
            "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n{chunked}"
        ),
        "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "POST /containers/create HTTP/1.1\r\nHost: d\r\n\r\n".to_owned(),
        "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: 99999999999\r\n\r\n".to_owned(),
        create(r#"{"Image":"a","HostConfig":{"Privileged":true}}"#),
        create(r#"{"Image":"a","hostconfig":{"Privileged":true}}"#),
        create(r#"{"Image":"a","HostConfig":{},"HostConfig":{"Privileged":true}}"#),
        create(r#"{"Image":"a","HostConfig":{"Binds":["/srv/data/../../run/docker.sock:/x"]}}"#),
        create("{\"Image\":\"a\"}{\"Image\":\"b\"}"),
        create("not json"),
        format!("POST /containers/{ID}/start HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\n\r\n{{}}"),
        format!("{ping}Content-Length: 5\r\n\r\nhello"),
        "GET http://d/_ping HTTP/1.1\r\nHost: d\r\n\r\n".to_owned(),
        "GET //containers/json HTTP/1.1\r\nHost: d\r\n\r\n".to_owned(),
        "GET /containers/../info HTTP/1.1\r\nHost: d\r\n\r\n".to_owned(),
        "GET /containers%2fjson HTTP/1.1\r\nHost: d\r\n\r\n".to_owned(),
        "GET /_ping HTTP/1.0\r\nHost: d\r\n\r\n".to_owned(),
        "GET /_ping\r\n\r\n".to_owned(),
        "GET /_ping HTTP/1.1\nHost: d\n\n".to_owned(),
        format!("{ping}A: b\r\n folded\r\n\r\n"),
        format!("{ping}A: b\0\r\n\r\n"),
        format!("{ping}A: b\rGET /info HTTP/1.1\r\n\r\n"),
        format!("{ping}A: {long}\r\n\r\n"),
        format!("GET /{long} HTTP/1.1\r\nHost: d\r\n\r\n"),
        format!("{ping}{}\r\n", "A: b\r\n".repeat(1000)),
        format!("{ping}Expect: 100-continue\r\n\r\n"),
        "\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "CONNECT docker:80 HTTP/1.1\r\nHost: d\r\n\r\n".to_owned(),
        "PUT /containers/json HTTP/1.1\r\nHost: d\r\n\r\n".to_owned(),
    ] {
        let said = guard.ask(&bytes);
        assert!(is_refused(&said), "{:?}: {said}", bytes.chars().take(200).collect::<String>());
    }
    assert_eq!(recorder.raw(), Vec::<String>::new(), "nothing has reached the Engine");
    // refusals are written behind the answer
    let is_of_rights = |record: &Value| record["args"]["why"].as_str().is_some_and(|why| why.contains("Privileged"));
    let audit = eventually("ten are on record, with their reasons", || {
        Some(guard.audit()).filter(|audit| audit.len() >= 10 && audit.iter().any(is_of_rights))
    });
    assert!(audit.iter().all(|record| record["decision"] == "denied"), "{audit:?}");
    assert!(guard.request("GET /_ping").starts_with("HTTP/1.1 200 "), "and it still answers");
}

#[test]
fn half_a_request_and_a_silent_caller_hold_up_nobody() {
    let recorder = Recorder::alone();
    let guard = Guard::before(&recorder.socket, &[]);
    let silent: Vec<UnixStream> = (0..100).map(|_| UnixStream::connect(&guard.socket).unwrap()).collect();
    let mut half = UnixStream::connect(&guard.socket).unwrap();
    half.write_all(b"POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: 100\r\n\r\n{").unwrap();
    assert!(guard.request("GET /_ping").starts_with("HTTP/1.1 200 "));
    drop((silent, half));
    assert_eq!(recorder.requests(), [("GET".to_owned(), "/_ping".to_owned())]);
}

#[test]
fn a_read_only_guard_lets_nothing_through_that_acts() {
    let recorder = Recorder::alone();
    let guard = Guard::before(&recorder.socket, &["--read-only"]);
    assert!(guard.request("GET /containers/json?all=1").starts_with("HTTP/1.1 200 "));
    assert!(is_refused(&guard.request(&format!("POST /containers/{ID}/stop?t=1"))));
    assert!(is_refused(&guard.request(&format!("DELETE /containers/{ID}"))));
    assert!(is_refused(&guard.post("/containers/create", r#"{"Image":"a"}"#)));
    assert_eq!(recorder.requests().len(), 1);
}

#[test]
fn its_own_container_is_not_acted_on_from_within() {
    // nothing could be mounted
    if !needs_root() {
        return;
    }
    let engine = Recorder::alone();
    let guard = Guard::inside(ID, &engine.socket);
    for request in ["POST /containers/{}/stop?t=0", "POST /containers/{}/kill", "DELETE /containers/{}?force=true"] {
        let said = guard.request(&request.replace("{}", ID));
        assert!(is_refused(&said) && said.contains("docker-guard runs in itself"), "{request}: {said}");
    }
    assert_eq!(engine.requests(), []);
    // refusals are written behind the answer
    eventually("all three are on record", || {
        (guard.audit().iter().filter(|record| record["kind"] == "forbidden").count() == 3).then_some(())
    });
    let other = ID.replace('0', "f");
    for request in [format!("POST /containers/{other}/stop?t=0"), format!("GET /containers/{ID}/json")] {
        assert!(guard.request(&request).starts_with("HTTP/1.1 200"), "{request}");
    }
    assert_eq!(engine.requests().len(), 2);
}

#[test]
fn a_directory_is_given_by_its_path_without_links() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path("true")).unwrap();
    std::os::unix::fs::symlink("true", scratch.path("link")).unwrap();
    let bind = scratch.path("link").join("data").display().to_string();
    let listen = scratch.path("guard.sock").display().to_string();
    let said =
        crate::common::run(&scratch, &["docker-guard", "--docker", "/nothing", "--listen", &listen, "--bind", &bind]);
    let end = scratch.path("true").join("data").display().to_string();
    assert!(said.err.contains("write where it leads") && said.err.contains(&end), "{}", said.err);
}

#[test]
fn nobody_gets_the_volume_that_its_socket_is_in() {
    // nothing could be mounted
    if !needs_root() {
        return;
    }
    // what an engine says of volumes and of a container, in one
    let engine = Recorder::with_containers(
        "[]",
        r#"{"Volumes":[{"Name":"guard","Driver":"local"},{"Name":"data","Driver":"local"}],"Mounts":[{"Type":"volume","Name":"guard"}]}"#,
    );
    let guard = Guard::inside(ID, &engine.socket);
    for host in [
        r#"{"Binds":["guard:/g"]}"#,
        r#"{"Binds":["data:/d","guard:/g:ro"]}"#,
        r#"{"Mounts":[{"Type":"volume","Source":"guard","Target":"/g"}]}"#,
    ] {
        let said = guard.post("/containers/create?name=web", &format!(r#"{{"Image":"a","HostConfig":{host}}}"#));
        assert!(is_refused(&said) && said.contains("docker-guard itself"), "{host}: {said}");
    }
    let said = guard.post("/containers/create?name=web", r#"{"Image":"a","HostConfig":{"Binds":["data:/d"]}}"#);
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
}

#[test]
fn an_engine_that_is_away_or_hangs_is_said_to_be_and_the_server_understands() {
    let scratch = Scratch::new();
    let guard = Guard::before(&scratch.path("nothing.sock"), &[]);
    let said = guard.request("GET /containers/json?all=1");
    assert!(said.starts_with("HTTP/1.1 502 ") && said.contains("nothing.sock"), "{said}");
    let keys = vec![Key::new("agent").with_scopes(&[Scope::DockerRead, Scope::DockerControl])];
    let config = format!("docker: (socket: {:?}),", guard.socket.to_str().unwrap());
    let server = Setup { keys, config, ..Setup::default() }.start();
    let why = failure(&server, "container_control", json!({ "name": "web", "action": "stop" }));
    assert!(why.starts_with("away: ") && why.contains("docker-guard"), "{why}");

    // one that accepts and never answers keeps the place of its own caller and no more
    let hung = scratch.path("hung.sock");
    let listener = UnixListener::bind(&hung).unwrap();
    let guard = Guard::before(&hung, &[]);
    let waiting: Vec<UnixStream> = (0..5)
        .map(|_| {
            let mut stream = UnixStream::connect(&guard.socket).unwrap();
            stream.write_all(b"GET /networks HTTP/1.1\r\nHost: d\r\n\r\n").unwrap();
            stream
        })
        .collect();
    let mut held: Vec<UnixStream> = (0..5).map(|_| listener.accept().unwrap().0).collect();
    assert!(is_refused(&guard.request("GET /containers/x/export")));
    // a connection is accepted before the question is on it: who goes in between has not asked
    for stream in &mut held {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut asked = [0; 14];
        stream.read_exact(&mut asked).unwrap();
        assert_eq!(&asked, b"GET /networks ");
    }
    // whoever goes takes his question along
    drop(waiting);
    for mut stream in held {
        stream.read_to_end(&mut vec![]).unwrap();
    }
}

#[test]
fn who_says_nothing_more_is_still_answered() {
    let scratch = Scratch::new();
    let slow = scratch.path("slow.sock");
    let listener = UnixListener::bind(&slow).unwrap();
    let guard = Guard::before(&slow, &[]);
    let mut client = UnixStream::connect(&guard.socket).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"GET /volumes HTTP/1.1\r\nHost: d\r\n\r\n").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let (mut engine, _) = listener.accept().unwrap();
    let mut asked = [0; 4096];
    assert!(engine.read(&mut asked).unwrap() > 0);
    // long enough for the end of what it says to be seen
    thread::sleep(Duration::from_millis(300));
    engine.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 200 OK\r\n") && said.ends_with("\r\n\r\n{}"), "{said}");
}

#[test]
fn a_pull_that_the_end_of_the_guard_breaks_off_has_its_result_on_record() {
    let scratch = Scratch::new();
    let slow = scratch.path("slow.sock");
    let listener = UnixListener::bind(&slow).unwrap();
    let mut guard = Guard::before(&slow, &[]);
    let mut client = UnixStream::connect(&guard.socket).unwrap();
    client.write_all(b"POST /images/create?fromImage=a&tag=1 HTTP/1.1\r\nHost: d\r\n\r\n").unwrap();
    let (mut engine, _) = listener.accept().unwrap();
    let mut asked = [0; 4096];
    assert!(engine.read(&mut asked).unwrap() > 0);
    let pid = rustix::process::Pid::from_child(&guard.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(guard.child.wait().unwrap().success());
    let audit = guard.audit();
    let result = audit.iter().find(|record| record["phase"] == "result").unwrap_or_else(|| panic!("{audit:?}"));
    assert_eq!((&result["args"]["status"], &result["outcome"]), (&json!(503), &json!("error")));
}

/// As Podman before 4.0 lists containers.
#[test]
fn a_volume_is_not_given_while_a_container_does_not_say_which_it_has() {
    let listed = |mounts: &str| format!(r#"[{{"Id":"{ID}","Names":["/other"]{mounts}}}]"#);
    for (mounts, status) in [(r#","Mounts":null"#, 502), ("", 502), (r#","Mounts":[]"#, 200)] {
        let recorder = Recorder::with_containers(&listed(mounts), r#"{"Volumes":[]}"#);
        let guard = Guard::before(&recorder.socket, &[]);
        let said = guard.post("/containers/create?name=web", WITH_VOLUME);
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{mounts}: {said}");
        let made = recorder.requests().iter().any(|(method, _)| method == "POST");
        assert_eq!(made, status == 200, "{mounts}");
    }
}

#[test]
fn what_changes_things_too_often_is_refused_and_does_not_fill_the_record() {
    let recorder = Recorder::alone();
    let guard = Guard::before(&recorder.socket, &[]);
    let refused = (0..2000).map(|_| guard.post(&format!("/containers/{ID}/pause"), ""));
    let refused = refused.into_iter().find(|said| !said.starts_with("HTTP/1.1 200 "));
    // a machine that takes minutes for all of them has filled the bucket again meanwhile
    let Some(refused) = refused else { return };
    assert!(refused.starts_with("HTTP/1.1 429 ") && refused.contains("try again in"), "{refused}");
    assert!(guard.request("GET /containers/json").starts_with("HTTP/1.1 200 "), "reading goes on");
    let audit = guard.audit();
    let attempts = audit.iter().filter(|record| record["phase"] == "attempt").count();
    assert_eq!(attempts, recorder.requests().iter().filter(|(method, _)| method == "POST").count());
    eventually("the refusal is on record", || {
        guard.audit().iter().any(|record| record["kind"] == "busy").then_some(())
    });
}

#[test]
fn a_volume_that_is_more_than_its_name_says_is_not_given() {
    let recorder = Recorder::with_containers(
        "[]",
        r#"{"Volumes":[{"Name":"plain","Driver":"local","Options":null},{"Name":"named","Driver":"local","Options":
        {"type":"none","o":"bind","device":"/srv/data"}},{"Name":"root","Driver":"local","Options":{"type":"none","o":"bind","device":"/"}},
        {"Name":"far","Driver":"vieux/sshfs","Options":{}}]}"#,
    );
    let guard = Guard::before(&recorder.socket, &["--bind", "/srv/data"]);
    let create =
        |host: &str| guard.post("/containers/create?name=web", &format!(r#"{{"Image":"a","HostConfig":{host}}}"#));
    for volume in ["plain", "named", "new"] {
        let said = create(&format!(r#"{{"Binds":["{volume}:/x"]}}"#));
        assert!(said.starts_with("HTTP/1.1 200 "), "{volume}: {said}");
    }
    for volume in ["root", "far"] {
        assert!(is_refused(&create(&format!(r#"{{"Binds":["plain:/a","{volume}:/x:ro"]}}"#))), "{volume}");
        let mount = format!(r#"{{"Mounts":[{{"Type":"volume","Source":"{volume}","Target":"/x"}}]}}"#);
        assert!(is_refused(&create(&mount)), "{volume}");
    }
    assert!(is_refused(&create(r#"{"Binds":["/srv/data/link:/x"]}"#)), "a link may be there");
    assert_eq!(recorder.requests().iter().filter(|(method, _)| method == "POST").count(), 3);
}

#[test]
fn a_container_is_called_otherwise_only_when_it_replaces_another() {
    let recorder = Recorder::saying(&format!(r#"{{"Id":"{ID}","Name":"/web"}}"#));
    let guard = Guard::before(&recorder.socket, &[]);
    let rename = |name: &str| guard.post(&format!("/containers/{ID}/rename?name={name}"), "");
    for name in ["db", "web.smcp-old-ffffffffffff", "web.smcp-new-0123456789ab"] {
        assert!(is_refused(&rename(name)), "{name}");
    }
    assert!(is_refused(&guard.post(&format!("/containers/{ID}/rename"), "")));
    assert!(rename("web.smcp-old-0123456789ab").starts_with("HTTP/1.1 200 "));
    assert_eq!(recorder.requests().iter().filter(|(method, _)| method == "POST").count(), 1);
}

#[test]
fn a_name_of_an_update_is_given_only_to_what_replaces_a_container_that_is_there() {
    let recorder = Recorder::saying(&format!(r#"{{"Id":"{ID}","Name":"/web"}}"#));
    let guard = Guard::before(&recorder.socket, &[]);
    let create = |name: &str| guard.post(&format!("/containers/create?name={name}"), r#"{"Image":"a"}"#);
    for name in [
        "x.smcp-new-0123456789ab",
        "web.smcp-new-ffffffffffff",
        "web.smcp-new-0123456789AB",
        "web.smcp-new-",
        "web.smcp-new-0123456789ab.2",
        "web.smcp-old-0123456789ab",
        "web.smcp-old-0123456789ab.smcp-new-0123456789ab",
        "a.smcp-old-x",
    ] {
        let said = create(name);
        assert!(is_refused(&said) && said.contains("this name is for what replaces a container"), "{name}: {said}");
    }
    assert!(create("web.smcp-new-0123456789ab").starts_with("HTTP/1.1 200 "));
    assert!(create("web").starts_with("HTTP/1.1 200 "));
    assert_eq!(recorder.requests().iter().filter(|(method, _)| method == "POST").count(), 2);
    // and where there is none
    let none = Recorder::alone();
    let guard = Guard::before(&none.socket, &[]);
    let said = guard.post("/containers/create?name=web.smcp-new-0123456789ab", r#"{"Image":"a"}"#);
    assert!(is_refused(&said), "{said}");
}

/// Each of these made an engine work without end, or tell what there is on the machine.
#[test]
fn a_body_without_an_end_does_not_reach_the_engine() {
    let recorder = Recorder::alone();
    let guard = Guard::before(&recorder.socket, &[]);
    let create =
        |host: &str| guard.post("/containers/create?name=web", &format!(r#"{{"Image":"a","HostConfig":{{{host}}}}}"#));
    let ports: String = (1..=300).map(|port| format!(r#""{port}/tcp":[{{}}],"#)).collect();
    for (host, says) in [
        (r#""LogConfig":{"Type":"json-file","Config":{"max-size":"1","max-file":"2000000000"}}"#, "max-"),
        (r#""LogConfig":{"Type":"json-file","Config":{"tag":"{{pad .Name 1000000000 0}}"}}"#, "tag"),
        (r#""CpusetCpus":"0-4000000000""#, "CpusetCpus has to be numbers and ranges below 8192"),
        (r#""Ulimits":[{"Name":"rtprio","Soft":99,"Hard":99}]"#, "rtprio from 0 to 0"),
        (r#""BlkioDeviceReadBps":[{"Path":"/etc/shadow","Rate":1}]"#, "/dev/NAME"),
        (r#""BlkioDeviceReadBps":[{"Path":"/nonexistent","Rate":1}]"#, "/dev/NAME"),
        (&format!(r#""PortBindings":{{{}}}"#, ports.trim_end_matches(',')), "at most 256 ports"),
    ] {
        let said = create(host);
        assert!(is_refused(&said) && said.contains(says), "{host}: {said}");
    }
    let said = guard.post("/containers/create", r#"{"Image":"a","WorkingDir":"/proc/self/fd/7"}"#);
    assert!(is_refused(&said) && said.contains("WorkingDir"), "{said}");
    assert_eq!(recorder.raw(), Vec::<String>::new(), "nothing has reached the Engine");
}

/// A create whose body names a volume, so that the Engine is asked before it is judged.
const WITH_VOLUME: &str = r#"{"Image":"a","HostConfig":{"Binds":["data:/d"]}}"#;

#[test]
fn what_its_caller_left_while_it_was_judged_is_not_on_record_as_attempted() {
    let scratch = Scratch::new();
    let slow = scratch.path("slow.sock");
    let listener = UnixListener::bind(&slow).unwrap();
    let guard = Guard::before(&slow, &[]);
    let mut client = UnixStream::connect(&guard.socket).unwrap();
    let head =
        format!("POST /containers/create?name=left HTTP/1.1\r\nHost: d\r\nContent-Length: {}", WITH_VOLUME.len());
    client.write_all(format!("{head}\r\n\r\n{WITH_VOLUME}").as_bytes()).unwrap();
    // the guard asks for the volumes, and hears nothing while its caller goes
    let (mut engine, _) = listener.accept().unwrap();
    let mut asked = [0; 13];
    engine.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"GET /volumes ");
    drop(client);
    engine.set_read_timeout(Some(PATIENCE)).unwrap();
    engine.read_to_end(&mut vec![]).unwrap();
    // whatever was written of it, is written before this
    let after = thread::spawn(move || {
        let (mut engine, _) = listener.accept().unwrap();
        let _ = engine.read(&mut [0; 4096]);
        engine.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    });
    assert!(guard.post(&format!("/containers/{ID}/pause"), "").starts_with("HTTP/1.1 204 "));
    after.join().unwrap();
    let audit = eventually("the next is on record", || Some(guard.audit()).filter(|audit| audit.len() >= 2));
    let tools: Vec<_> = audit.iter().map(|record| record["tool"].as_str().unwrap_or_default()).collect();
    assert_eq!(tools, ["/containers/{id}/pause", "/containers/{id}/pause"], "{audit:?}");
}

#[test]
fn every_attempt_has_one_result_whenever_its_caller_goes() {
    let engine = Recorder::with(|mut client, _| {
        let _ = client.read(&mut [0; 4096]);
        let _ = client.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
    });
    let guard = Guard::before(&engine.socket, &[]);
    let names: Vec<String> = (0..300).map(|n| format!("SIG{n}")).collect();
    thread::scope(|scope| {
        for (at, name) in names.iter().enumerate() {
            let mut client = UnixStream::connect(&guard.socket).unwrap();
            let request = format!("POST /containers/{ID}/kill?signal={name} HTTP/1.1\r\nHost: d\r\n\r\n");
            // more at once than it takes are turned away, and are not attempted
            let _ = client.write_all(request.as_bytes());
            // they go at all moments: before anything is read, while it is asked, and while the result is written
            scope.spawn(move || {
                thread::sleep(Duration::from_micros(at as u64 % 100 * 50));
                drop(client);
            });
            if at % 50 == 49 {
                guard.request("GET /_ping");
            }
        }
    });
    eventually("it takes connections again", || {
        guard.post(&format!("/containers/{ID}/pause"), "").starts_with("HTTP/1.1 204 ").then_some(())
    });
    let counts = |audit: &[Value], name: &str| {
        let of = |phase: &str| {
            audit.iter().filter(|record| record["args"]["signal"] == name && record["phase"] == phase).count()
        };
        (of("attempt"), of("result"))
    };
    let audit = eventually("every attempt has a result", || {
        let audit = guard.audit();
        let is_whole = |name: &String| matches!(counts(&audit, name), (0, 0) | (1, 1..));
        names.iter().all(is_whole).then_some(audit)
    });
    for name in &names {
        let (attempts, results) = counts(&audit, name);
        assert_eq!(attempts, results, "{name}");
    }
}

#[test]
fn what_the_end_of_the_guard_cuts_off_has_its_result_on_record() {
    let scratch = Scratch::new();
    let slow = scratch.path("slow.sock");
    let listener = UnixListener::bind(&slow).unwrap();
    let mut guard = Guard::before(&slow, &[]);
    let mut client = UnixStream::connect(&guard.socket).unwrap();
    client.write_all(format!("POST /containers/{ID}/stop?t=60 HTTP/1.1\r\nHost: d\r\n\r\n").as_bytes()).unwrap();
    let (mut engine, _) = listener.accept().unwrap();
    assert!(engine.read(&mut [0; 4096]).unwrap() > 0);
    let pid = rustix::process::Pid::from_child(&guard.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(guard.child.wait().unwrap().success());
    let audit = guard.audit();
    let results: Vec<_> = audit.iter().filter(|record| record["phase"] == "result").collect();
    assert_eq!(results.len(), 1, "{audit:?}");
    assert_eq!(results[0]["args"]["status"], 503, "{audit:?}");
}

#[test]
fn a_stream_passes_as_it_comes_and_no_faster_than_it_is_read() {
    let scratch = Scratch::new();
    let endless = scratch.path("endless.sock");
    let listener = UnixListener::bind(&endless).unwrap();
    let guard = Guard::before(&endless, &[]);
    let mut client = UnixStream::connect(&guard.socket).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n").unwrap();
    let (mut engine, _) = listener.accept().unwrap();
    let mut asked = [0; 4096];
    assert!(engine.read(&mut asked).unwrap() > 0);
    engine.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst\n\r\n").unwrap();
    let mut said = vec![];
    eventually("the first piece comes alone", || {
        let mut bytes = [0; 4096];
        let read = client.read(&mut bytes).unwrap();
        said.extend_from_slice(&bytes[..read]);
        said.ends_with(b"6\r\nfirst\n\r\n").then_some(())
    });
    // nobody reads: what fits into the buffers between is taken, and then no more
    engine.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let piece = format!("{:x}\r\n{}\r\n", 64 << 10, "a".repeat(64 << 10));
    let mut taken = 0_usize;
    while engine.write_all(piece.as_bytes()).is_ok() {
        taken += piece.len();
        assert!(taken < 64 << 20, "it takes whatever comes");
    }
    // and when the caller goes, the Engine is told
    drop(client);
    let is_gone = |error: std::io::Error| matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset);
    eventually("the Engine is let go", || engine.write_all(b"x").is_err_and(is_gone).then_some(()));
}

#[test]
fn the_socket_is_for_user_and_group_and_replaces_nothing_of_others() {
    let scratch = Scratch::new();
    let docker = scratch.path("docker.sock");
    let file = scratch.write("file", "precious");
    let fails =
        |socket: &Path, flags: &[&str]| !Guard::command(&docker, socket, &scratch, flags).status().unwrap().success();
    assert!(fails(&file, &[]), "what is no socket stays");
    assert_eq!(scratch.read("file"), "precious");
    let link = scratch.path("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    assert!(fails(&link, &[]), "a link is no socket");
    let busy = scratch.path("busy.sock");
    let _listener = UnixListener::bind(&busy).unwrap();
    assert!(fails(&busy, &[]), "somebody listens there");
    assert!(fails(&scratch.path("x.sock"), &["--bind", scratch.0.to_str().unwrap()]), "the socket is in it");
    assert!(fails(&scratch.path("x.sock"), &["--bind", "/"]));
    assert!(fails(&scratch.path("x.sock"), &["--bind", "relative"]));

    let left = scratch.path("left.sock");
    drop(UnixListener::bind(&left).unwrap());
    let mut child = Guard::command(&docker, &left, &scratch, &[]).spawn().unwrap();
    eventually("it takes the place of a socket that was left behind", || UnixStream::connect(&left).ok());
    let there = fs::symlink_metadata(&left).unwrap();
    assert!(there.file_type().is_socket());
    assert_eq!(there.permissions().mode() & 0o7777, 0o660);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(!left.exists(), "it is taken away at the end");
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn docker_ps_works_and_the_rest_of_docker_does_not() {
    for engine in engines() {
        let guard = Guard::before(&engine.socket, &[]);
        let through = guard.engine(&engine);
        let container = engine.run(&[], &["sleep", "1000"]);
        let name = container.name.as_str();
        for words in
            [&["ps"][..], &["ps", "--all"], &["ps", "--filter", "status=running"], &["ps", "--size", "--last", "3"]]
        {
            assert!(through.try_docker(words).status.success(), "{}: docker {words:?}", engine.name);
        }
        assert!(through.docker(&["ps"]).contains(name));
        let file = guard.scratch.write("f", "x");
        guard.scratch.write("Dockerfile", format!("FROM {IMAGE}\n"));
        let file = file.to_str().unwrap();
        let (to, from) = (format!("{name}:/x"), format!("{name}:/etc/hosts"));
        for words in [
            &["exec", name, "true"][..],
            &["exec", &container.id, "true"],
            &["cp", file, &to],
            &["cp", &from, "-"],
            &["run", "--rm", "--privileged", IMAGE, "true"],
            &["run", "--rm", "--volume", "/:/host", IMAGE, "true"],
            &["run", "--rm", "--volume", "/run/docker.sock:/s", IMAGE, "true"],
            &["run", "--rm", "--pid", "host", IMAGE, "true"],
            &["run", "--rm", "--network", "host", IMAGE, "true"],
            &["run", "--rm", "--ipc", "host", IMAGE, "true"],
            &["run", "--rm", "--uts", "host", IMAGE, "true"],
            &["run", "--rm", "--userns", "host", IMAGE, "true"],
            &["run", "--rm", "--cgroupns", "host", IMAGE, "true"],
            &["run", "--rm", "--cap-add", "SYS_ADMIN", IMAGE, "true"],
            &["run", "--rm", "--device", "/dev/null", IMAGE, "true"],
            &["run", "--rm", "--security-opt", "seccomp=unconfined", IMAGE, "true"],
            &["run", "--rm", "--security-opt", "systempaths=unconfined", IMAGE, "true"],
            &["run", "--rm", "--mount", "type=bind,source=/,target=/x", IMAGE, "true"],
            &[
                "run",
                "--rm",
                "--mount",
                "type=volume,target=/x,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/",
                IMAGE,
                "true",
            ],
            &["run", "--rm", "--volumes-from", name, IMAGE, "true"],
            &["run", "--rm", "--sysctl", "net.ipv4.ip_forward=1", IMAGE, "true"],
            &["run", "--rm", "--log-driver", "syslog", IMAGE, "true"],
            &["run", "--rm", "--cgroup-parent", "/", IMAGE, "true"],
            &["run", "--rm", "--runtime", "runc", IMAGE, "true"],
            &["run", "--rm", "--network", &format!("container:{name}"), IMAGE, "true"],
            &["build", guard.scratch.0.to_str().unwrap()],
            &["export", name],
            &["attach", "--no-stdin", name],
            &["commit", name],
            &["save", IMAGE],
            &["load", "--input", file],
            &["import", file],
            &["tag", IMAGE, "t/other:1"],
            &["push", "t/other:1"],
            &["swarm", "init"],
            &["service", "ls"],
            &["secret", "ls"],
            &["plugin", "ls"],
            &["plugin", "install", "vieux/sshfs"],
            &["volume", "create", "--opt", "type=none", "--opt", "o=bind", "--opt", "device=/", "smcp-guard"],
            &["volume", "create", "smcp-guard"],
            &["network", "create", "smcp-guard"],
            &["network", "connect", "bridge", name],
            &["update", "--memory", "1g", name],
            &["rename", name, "other"],
            &["rm", "--force", name],
            &["stop", name],
            &["kill", name],
            &["top", name],
            &["diff", name],
            &["wait", name],
            &["inspect", name],
        ] {
            let said = through.try_docker(words);
            assert!(!said.status.success(), "{}: docker {words:?}", engine.name);
            // that it was the guard who refused, and not this machine which cannot
            let why = String::from_utf8_lossy(&said.stderr);
            // (nor docker, which asks Podman what it runs on and gets no answer)
            assert!(engine.is_podman() || why.contains("docker-guard"), "{}: docker {words:?}: {why}", engine.name);
        }
        assert_eq!(container.inspect("{{.State.Status}} {{.Name}}"), format!("running /{name}"));
    }
}

#[test]
fn a_new_container_of_another_image_than_was_judged_is_removed_again() {
    let new = "f".repeat(64);
    let privileged = |id: &str, name: &str, image: &str, called: &str| {
        json!({
            "Id": id, "Name": format!("/{name}"), "Image": format!("sha256:{image}"), "Config": { "Image": called },
            "HostConfig": { "Privileged": true, "NetworkMode": "none" },
        })
    };
    let image = |id: &str, tag: &str| json!({ "Id": format!("sha256:{id}"), "RepoTags": [tag], "Config": {} });
    let old = privileged(ID, "web", "01", "corp/web:1");
    let (own, next, evil) = (image("01", "corp/web:1"), image("02", "corp/web:2"), image("03", "evil/web:2"));
    let replaced = engine::replace::Replaced::new("web", ID);
    let body = engine::replace::recreate(&old, &own, &next, "corp/web:2").create;
    // what the Engine makes is of the image that the name had a moment ago, or of another
    for (made_of, is_kept) in [("02", true), ("03", false)] {
        let made = privileged(&new, &replaced.new_name(), made_of, "corp/web:2");
        let answers = [
            ("GET /containers/web/json".to_owned(), old.clone()),
            (format!("GET /containers/{new}/json"), made),
            ("GET /images/sha256:01/json".to_owned(), own.clone()),
            ("GET /images/corp/web:2/json".to_owned(), next.clone()),
            ("GET /images/sha256:02/json".to_owned(), next.clone()),
            ("GET /images/sha256:03/json".to_owned(), evil.clone()),
            ("POST /containers/create".to_owned(), json!({ "Id": new, "Warnings": [] })),
            (format!("DELETE /containers/{new}"), json!({})),
        ];
        let recorder = Recorder::with(move |mut client, seen| {
            let mut bytes = [0; 64 << 10];
            let read = client.read(&mut bytes).unwrap_or(0);
            seen.lock().unwrap().extend_from_slice(&bytes[..read]);
            let asked = String::from_utf8_lossy(&bytes[..read]).into_owned();
            let answer = answers.iter().find(|(line, _)| asked.starts_with(line.as_str()));
            let (status, body) = match answer {
                Some((line, body)) if line.starts_with("POST") => ("201 Created", body.to_string()),
                Some((_, body)) => ("200 OK", body.to_string()),
                None => ("404 Not Found", json!({ "message": "there is none" }).to_string()),
            };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = client.write_all(format!("{head}{body}").as_bytes());
        });
        let guard = Guard::before(&recorder.socket, &["--update-privileged"]);
        let said = guard.post(&format!("/containers/create?name={}", replaced.new_name()), &body.to_string());
        assert_eq!(said.starts_with("HTTP/1.1 201 "), is_kept, "{said}");
        assert_eq!(is_refused(&said), !is_kept, "{said}");
        let is_removal = |(method, _): &(String, String)| method == "DELETE";
        assert_eq!(recorder.requests().iter().any(is_removal), !is_kept, "{:?}", recorder.requests());
    }
}

/// What a test made of an engine's, gone with it.
struct Made<'a>(&'a Engine, Vec<Vec<String>>);

impl Made<'_> {
    fn add(&mut self, removal: &[&str]) {
        self.1.push(removal.iter().map(|word| (*word).to_owned()).collect());
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        for words in self.1.iter().rev() {
            self.0.try_docker(&words.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}

/// What only a prune in earnest asks for. The engines are shared by all tests, whose networks and volumes it would take; prune.rs has an
/// engine of its own for it.
const UNUSED: &[(&str, &str)] =
    &[("POST", "/build/prune"), ("DELETE", "/networks/{id}"), ("DELETE", "/volumes/{name}")];

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn every_tool_works_through_it_and_every_row_is_one_of_theirs() {
    for engine in engines() {
        // before the guard, which asks the Engine on its own as well
        let guard = Guard::before(&engine.socket, &["--registry", "127.0.0.1:1"]);
        let recorder = Recorder::before(&guard.engine(&engine).socket);
        let through = Engine { name: engine.name.clone(), socket: recorder.socket.clone() };
        let mut made = Made(&engine, vec![]);
        let pid = std::process::id();
        let name = |what: &str| format!("smcp-guard-{what}-{pid}");
        let config = "allow: [(scope: \"docker:deploy\", names: [\"smcp-guard-*\"])], registries: [\"127.0.0.1:1\"]";
        let server = through.server_with(Scope::ALL, config);
        let ok = |tool: &str, arguments: Value| answer(&server, tool, arguments);
        let in_words = &engine.name;

        assert!(through.docker(&["ps"]).contains("CONTAINER"), "{in_words}");
        let (first, second) = (name("n1"), name("n2"));
        for network in [&first, &second] {
            engine.docker(&["network", "create", network]);
            made.add(&["network", "rm", network]);
        }
        let (tag, other) = (format!("t/guard-{pid}:1"), format!("t/guard-{pid}:2"));
        // an image of its own: Podman takes no name from one that others use, as the tests beside this one do
        engine.image(&tag, &name("base"), "true", &[]);
        engine.docker(&["tag", &tag, &other]);
        for tag in [&tag, &other] {
            made.add(&["rmi", "--no-prune", tag]);
        }

        let web = name("web");
        let run = json!({
            "name": web, "image": tag, "network": first, "volumes": [format!("{}:/d", name("data"))],
            // its second start fails, and the third does not
            "command": ["sh", "-c", "n=$(ls /d | wc -l); touch /d/$n; [ $n = 1 ] && exit 1; exec sleep 1000"],
        });
        made.add(&["volume", "rm", &name("data")]);
        made.add(&["rm", "--force", "--volumes", &web]);
        ok("container_run", run);
        engine.docker(&["network", "connect", &second, &web]);
        for (action, state) in [("pause", "paused"), ("unpause", "running"), ("kill", "exited")] {
            let report = ok("container_control", json!({ "name": web, "action": action }));
            assert_eq!(report["after"]["state"], state, "{in_words}: {report}");
        }
        let id = engine.docker(&["inspect", "--format", "{{.Id}}", &web]);
        engine.docker(&["start", &web]);
        engine.docker(&["wait", &web]);
        ok("container_control", json!({ "name": web, "action": "start" }));
        ok("container_control", json!({ "name": web, "action": "restart", "grace_seconds": 1 }));
        let update = json!({ "name": web, "image": other, "pull": false, "force": true });
        let report = ok("container_update", update.clone());
        assert_eq!(report["changed"], true, "{in_words}: {report}");
        assert_ne!(engine.docker(&["inspect", "--format", "{{.Id}}", &web]), id, "{in_words}");
        // and now one that does not start
        let now = engine.docker(&["inspect", "--format", "{{.Id}}", &web]);
        engine.docker(&["exec", &web, "sh", "-c", "rm /d/*; touch /d/0"]);
        let why = failure(&server, "container_update", update);
        assert!(why.starts_with("refused: ") && why.contains("back as it was"), "{in_words}: {why}");
        assert_eq!(engine.docker(&["inspect", "--format", "{{.Id}}", &web]), now, "{in_words}");

        for (tool, arguments) in [
            ("overview", json!({})),
            ("containers", json!({ "stats": true })),
            ("container", json!({ "name": web })),
            ("stacks", json!({})),
            ("container_logs", json!({ "name": web })),
            ("images", json!({})),
            ("volumes", json!({ "sizes": true })),
            ("docker_networks", json!({})),
            ("docker_events", json!({ "since": "10m" })),
            ("docker_usage", json!({})),
            ("docker_prune", json!({})),
        ] {
            ok(tool, arguments);
        }
        failure(&server, "image_pull", json!({ "image": "127.0.0.1:1/nobody/there:1" }));
        ok("container_control", json!({ "name": web, "action": "stop", "grace_seconds": 1 }));
        ok("container_remove", json!({ "name": web, "force": true, "volumes": true }));
        ok("image_remove", json!({ "image": other }));
        ok("docker_prune", json!({ "volumes": true, "min_age_seconds": 0, "limit": 100 }));
        assert_eq!(server.ask(&Request::new("GET", "/readyz").token(server.token())).status, 200);

        let denied: Vec<Value> = guard.audit().into_iter().filter(|record| record["decision"] != "allowed").collect();
        assert_eq!(denied, Vec::<Value>::new(), "{in_words}");
        let used = recorder.rows();
        let rows = systemmanager_mcp::guard::table::TABLE.iter().map(|row| (row.method, row.path));
        let unused: Vec<_> = rows.filter(|row| !used.contains(row) && !UNUSED.contains(row)).collect();
        assert!(unused.is_empty(), "{in_words}: {unused:?}");
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn the_container_that_the_guard_runs_in_is_not_replaced_and_nothing_is_made_for_it() {
    let engine = engines().remove(0);
    let (own, other) = (engine.run(&[], &["sleep", "1000"]), engine.run(&[], &["sleep", "1000"]));
    let guard = Guard::inside(&own.id, &engine.socket);
    let server = guard.engine(&engine).server(&[Scope::DockerRead, Scope::DockerDeploy]);
    let began = own.inspect("{{.State.StartedAt}}");
    let why = failure(&server, "container_update", json!({ "name": own.name, "pull": false, "force": true }));
    assert!(why.starts_with("forbidden: ") && why.contains("docker-guard runs in itself"), "{why}");
    assert_eq!(own.inspect("{{.State.StartedAt}} {{.Name}}"), format!("{began} /{}", own.name));
    assert!(!guard.audit().iter().any(|record| record["tool"] == "/containers/create"), "{:?}", guard.audit());
    assert_eq!(fs::read_dir(server.scratch.path("state/updates")).unwrap().count(), 0);
    // any other is
    let report = answer(&server, "container_update", json!({ "name": other.name, "pull": false, "force": true }));
    engine.docker(&["rm", "--force", &other.name]);
    assert_eq!(report["changed"], true, "{report}");
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn what_engines_give_without_being_asked_is_within_the_bounds_and_what_is_within_them_they_take() {
    for engine in engines() {
        let guard = Guard::before(&engine.socket, &[]);
        let mut asked = vec![
            &["--restart", "on-failure:3", "--stop-timeout", "1", "--shm-size", "32m", "--pids-limit", "100"][..],
            &["--health-cmd", "true", "--health-interval", "30s", "--health-retries", "3", "--workdir", "/tmp"],
            &["--log-opt", "max-size=10m", "--publish", "127.0.0.1::80"],
        ];
        if !engine.is_podman() {
            // Podman adds words of its own
            asked.push(&["--tmpfs", "/scratch:rw,size=8m"]);
        }
        for words in [&[][..], &asked.concat()] {
            let old = engine.run(words, &["sleep", "1000"]);
            let inspect = guard.json(&format!("/containers/{}/json", old.id));
            let image = guard.json(&format!("/images/{IMAGE}/json"));
            let successor = engine::replace::recreate(&inspect, &image, &image, IMAGE);
            let verdict = engine::policy::check_successor(&successor.create, &image, &[]);
            assert_eq!(verdict, Ok(()), "{}: {words:?}: {}", engine.name, successor.create);
        }
        let body = json!({
            "Image": IMAGE, "Cmd": ["sleep", "1"], "StopTimeout": 3600, "WorkingDir": "/tmp",
            "Healthcheck": { "Test": ["CMD", "true"], "Interval": 1_000_000_000, "Retries": 3 },
            "HostConfig": {
                "LogConfig": { "Type": "json-file", "Config": { "max-size": "64k" } }, "CpusetCpus": "0",
                "Ulimits": [{ "Name": "nofile", "Soft": 1024, "Hard": 1024 }], "ShmSize": 64 << 20, "OomScoreAdj": 1000,
                "PidsLimit": 100, "RestartPolicy": { "Name": "on-failure", "MaximumRetryCount": 3 },
                "Tmpfs": { "/scratch": "rw,size=8m,mode=1777" },
            },
        });
        let name = format!("smcp-guard-bounds-{}", std::process::id());
        let said = guard.post(&format!("/containers/create?name={name}"), &body.to_string());
        engine.try_docker(&["rm", "--force", &name]);
        assert!(said.starts_with("HTTP/1.1 201 "), "{}: {said}", engine.name);
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn a_create_beyond_the_policy_passes_only_as_the_one_it_replaces() {
    for engine in engines().iter().filter(|engine| !engine.is_podman()) {
        let guard = Guard::before(&engine.socket, &["--update-privileged"]);
        let old = engine.run(&["--cap-add", "NET_ADMIN", "--env", "A=b"], &["sleep", "1000"]);
        let inspect = guard.json(&format!("/containers/{}/json", old.id));
        let image = guard.json(&format!("/images/{IMAGE}/json"));
        let successor = engine::replace::recreate(&inspect, &image, &image, IMAGE);
        let replaced = engine::replace::Replaced::new(&old.name, &old.id);
        let target = format!("/containers/create?name={}", replaced.new_name());
        let create = |target: &str, body: &Value| guard.post(target, &body.to_string());

        assert!(is_refused(&create("/containers/create?name=smcp-guard-x", &successor.create)), "for nobody's place");
        let mut more = successor.create.clone();
        more["HostConfig"]["CapAdd"] = json!(["SYS_ADMIN"]);
        assert!(is_refused(&create(&target, &more)), "with more rights");
        let mut more = successor.create.clone();
        more["HostConfig"]["Privileged"] = true.into();
        assert!(is_refused(&create(&target, &more)), "with all rights");
        let mut more = successor.create.clone();
        more["Cmd"] = json!(["sh"]);
        assert!(is_refused(&create(&target, &more)), "with another command");
        let wrong = target.replace(&old.id[..12], "0123456789ab");
        assert!(is_refused(&create(&wrong, &successor.create)), "of another id");

        let said = create(&target, &successor.create);
        let made = format!("{}: {said}", engine.name);
        assert!(said.starts_with("HTTP/1.1 201 "), "{made}");
        engine.docker(&["rm", "--force", &replaced.new_name()]);
    }
}
