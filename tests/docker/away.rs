//! The Engine is away, hangs, or is no Engine at all: a clear answer within its time, and the rest goes on.
//!
//! What listens here in an Engine's stead is the hostile part, made for it. Where a real one comes and goes, it is real.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rights::scope::Scope;
use serde_json::{Value, json};

use super::{Engine, answer, failure};
use crate::common::{Key, Request, Scratch, Server, Setup, eventually, needs_root, refusal};

/// A call that asks the Engine, and needs a container called `web`.
const STOP: &str = r#"{ "name": "web", "action": "stop", "grace_seconds": 0 }"#;

/// What is said of whatever speaks, but not as an Engine.
const NO_ENGINE: &str = "as a Docker Engine does";

/// The id of the container that a false Engine has.
const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn stop() -> Value {
    serde_json::from_str(STOP).unwrap()
}

/// How a server is set up whose Docker is said by these keys of its config.
fn setup(docker: &str) -> Setup {
    let keys = vec![Key::new("agent").with_scopes(&[Scope::SystemRead, Scope::DockerRead, Scope::DockerControl])];
    let limits = "control: (per_minute: 6000)".to_owned();
    Setup { keys, limits, config: format!("docker: ({docker}),"), ..Setup::default() }
}

fn server_at(socket: &std::path::Path) -> Server {
    setup(&format!("socket: {socket:?}")).start()
}

/// What a call says that needs the Engine, and that the rest is well meanwhile.
fn away(server: &Server) -> String {
    let why = failure(server, "container_control", stop());
    well(server);
    why
}

fn well(server: &Server) {
    assert_eq!(server.call("memory", json!({}))["result"]["isError"], false);
}

/// Something that listens in an Engine's stead, and is asked once a connection.
struct False {
    socket: PathBuf,
    /// How many connections there are now.
    held: Arc<AtomicUsize>,
    _scratch: Scratch,
}

impl False {
    /// Does with every connection what `answers` does, once the head of the request is there.
    fn new(answers: impl Fn(&str, &mut UnixStream) -> std::io::Result<()> + Send + Sync + 'static) -> Self {
        let scratch = Scratch::new();
        let socket = scratch.path("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
        let (answers, held) = (Arc::new(answers), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&held);
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let (answers, held) = (Arc::clone(&answers), Arc::clone(&counted));
                held.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    let mut head = Vec::new();
                    let mut byte = [0];
                    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                        head.push(byte[0]);
                    }
                    let request = String::from_utf8_lossy(&head);
                    // whoever asked may be gone
                    let _ = answers(request.lines().next().unwrap_or_default(), &mut stream);
                    held.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { socket, held, _scratch: scratch }
    }

    fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }

    /// Says this to everybody, and closes.
    fn saying(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::new(move |_, stream| stream.write_all(&bytes))
    }

    /// Has one container, which runs, and does as `stops` does when it is to stop it.
    fn stopping(stops: impl Fn(&mut UnixStream) -> std::io::Result<()> + Send + Sync + 'static) -> Self {
        Self::new(move |request, stream| {
            let state = json!({ "Status": "running", "Running": true });
            if request.starts_with("POST ") {
                stops(stream)
            } else if request.contains(ID) {
                stream.write_all(&ok(&json!({ "Id": ID, "Name": "/web", "State": state }).to_string()))
            } else {
                stream.write_all(&ok(&json!([{ "Id": ID, "Names": ["/web"], "State": "running" }]).to_string()))
            }
        })
    }
}

/// An answer with this body.
fn ok(body: &str) -> Vec<u8> {
    http("200 OK", "application/json", body)
}

fn http(status: &str, kind: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Waits for whoever asked to hang up.
fn silence(stream: &mut UnixStream) -> std::io::Result<()> {
    stream.read_to_end(&mut Vec::new()).map(drop)
}

/// One byte of these a moment, for ever.
fn drip(stream: &mut UnixStream, bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes.iter().cycle() {
        stream.write_all(&[*byte])?;
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// These for ever, as fast as they are read.
fn flood(stream: &mut UnixStream, bytes: &[u8]) -> std::io::Result<()> {
    let many = bytes.repeat(65_536 / bytes.len());
    loop {
        stream.write_all(&many)?;
    }
}

/// The most memory that the server has ever had resident, in bytes.
pub(super) fn peak(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid().as_raw_nonzero())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

fn open_files(server: &Server) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.pid().as_raw_nonzero())).unwrap().count()
}

#[test]
fn without_a_socket_the_answer_says_what_to_do_and_the_rest_is_well() {
    let why = away(&server_at("/nonexistent/docker.sock".as_ref()));
    assert!(why.starts_with("away: ") && why.contains("docker.socket"), "{why}");
}

#[test]
fn a_socket_that_may_not_be_used_says_who_could() {
    let engine = False::saying(ok("[]"));
    fs::set_permissions(&engine.socket, fs::Permissions::from_mode(0o000)).unwrap();
    let why = away(&server_at(&engine.socket));
    assert!(why.starts_with("away: ") && why.contains("may not use") && why.contains("docker-guard"), "{why}");
}

#[test]
fn where_nobody_listens_any_more_docker_is_to_be_started() {
    let scratch = Scratch::new();
    let socket = scratch.path("docker.sock");
    drop(UnixListener::bind(&socket).unwrap());
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    for at in [&socket, &scratch.write("file", "")] {
        let why = away(&server_at(at));
        assert!(why.starts_with("away: nobody listens at") && why.contains("systemctl start docker"), "{why}");
    }
}

#[test]
fn one_that_takes_no_more_connections_is_told_from_one_that_is_not_there() {
    let scratch = Scratch::new();
    let socket = scratch.path("docker.sock");
    let listener =
        rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::STREAM, None).unwrap();
    rustix::net::bind(&listener, &rustix::net::SocketAddrUnix::new(&socket).unwrap()).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    // nobody accepts it
    let _waits = UnixStream::connect(&socket).unwrap();
    let why = away(&server_at(&socket));
    assert!(why.starts_with("away: ") && why.contains("takes no more connections"), "{why}");
}

#[test]
fn one_that_hangs_is_given_up_in_time_and_nobody_else_waits() {
    let engines = [
        False::new(|_, stream| silence(stream)),
        False::new(|_, stream| drip(stream, b"HTTP/1.1 200 OK\r\nX: y\r\n")),
        False::new(|_, stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n[")?;
            drip(stream, b" ")
        }),
        False::new(|_, stream| {
            stream.write_all(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            drip(stream, b"1\r\n \r\n")
        }),
        False::stopping(silence),
        False::stopping(|stream| {
            stream.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 1000000\r\n\r\n")?;
            drip(stream, b" ")
        }),
    ];
    thread::scope(|scope| {
        for engine in &engines {
            scope.spawn(move || {
                let server = &server_at(&engine.socket);
                // a machine that is so busy that the call was given up first has not shown who waits: once more
                let round = || {
                    thread::scope(|scope| {
                        let call = scope.spawn(|| failure(server, "container_control", stop()));
                        eventually("it hangs", || (engine.held() > 0).then_some(()));
                        well(server);
                        let is_overtaken = !call.is_finished();
                        let why = call.join().unwrap();
                        let clear = ["timed_out: the Docker Engine", "away: the Docker Engine", "away: what listens"];
                        assert!(clear.iter().any(|words| why.starts_with(words)), "{why}");
                        is_overtaken.then_some(())
                    })
                };
                eventually("another is answered while it hangs", round);
                eventually("its connection is closed", || (engine.held() == 0).then_some(()));
            });
        }
    });
}

#[test]
fn what_is_no_engine_is_called_so() {
    let chunked = |chunks: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}").into_bytes();
    let page = "<!DOCTYPE html><title>Welcome</title><p>It works!";
    let table: Vec<(&str, Vec<u8>, &str)> = vec![
        ("nothing", vec![], "broke off"),
        ("binary", (0..=255).cycle().take(100_000).collect(), NO_ENGINE),
        ("TLS", b"\x15\x03\x01\x00\x02\x02\x46".to_vec(), NO_ENGINE),
        ("ssh", b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n".to_vec(), NO_ENGINE),
        ("HTML", http("200 OK", "text/html", page), NO_ENGINE),
        ("HTML that is not found", http("404 Not Found", "text/html", page), NO_ENGINE),
        (
            "a redirection",
            b"HTTP/1.1 301 Moved\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n".to_vec(),
            NO_ENGINE,
        ),
        (
            "a switch",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n".to_vec(),
            NO_ENGINE,
        ),
        ("no body", http("204 No Content", "application/json", ""), NO_ENGINE),
        ("an object for a list", ok("{}"), NO_ENGINE),
        ("a list of something else", ok("[1, 2, 3]"), NO_ENGINE),
        ("half of it", ok("[{\"Id\":\"ab"), NO_ENGINE),
        (
            "half of what was promised",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n[{\"Id\":\"ab".to_vec(),
            "broke off",
        ),
        ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n[]".to_vec(), NO_ENGINE),
        ("a length that is none", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n[]".to_vec(), NO_ENGINE),
        ("a chunk that is none", chunked("zz\r\n[]\r\n0\r\n\r\n"), "broke off"),
        ("a chunk as large as can be", chunked("ffffffffffffffff\r\n[]"), "broke off"),
        ("a chunk too large to say", chunked("ffffffffffffffffff\r\n[]"), "broke off"),
        ("a chunk without an end", chunked("2\r\n[]"), "broke off"),
        ("depth", ok(&"[".repeat(1_000_000)), NO_ENGINE),
        ("numbers that are none", ok("[{\"Id\":\"ab\",\"Created\":1e999}]"), NO_ENGINE),
        ("a head without an end", format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(4 << 20)).into_bytes(), NO_ENGINE),
        ("a thousand headers", format!("HTTP/1.1 200 OK\r\n{}\r\n[]", "X: y\r\n".repeat(1000)).into_bytes(), NO_ENGINE),
    ];
    for (what, bytes, words) in table {
        let engine = False::saying(bytes);
        let why = away(&server_at(&engine.socket));
        assert!(why.starts_with("away: ") && why.contains(words), "{what}: {why}");
    }
}

#[test]
fn the_type_of_an_answer_is_not_what_makes_it_one() {
    for kind in ["text/plain", "text/html; charset=utf-8", "", "application/octet-stream"] {
        let engine = False::saying(http("200 OK", kind, "[]"));
        let why = away(&server_at(&engine.socket));
        assert!(why.starts_with("not_found: "), "{kind}: {why}");
    }
}

#[test]
fn a_refusal_is_quoted_as_far_as_it_is_a_sentence() {
    let long = json!({ "message": "no ".repeat(300_000) }).to_string();
    let engine = False::saying(http("500 Internal Server Error", "application/json", &long));
    let why = away(&server_at(&engine.socket));
    assert!(why.starts_with("refused: Docker would not") && why.len() < 2000, "{} {why:.300}", why.len());
    let engine = False::saying(http("403 Forbidden", "text/html", "<h1>403 Forbidden</h1>"));
    let why = away(&server_at(&engine.socket));
    assert!(why.starts_with("forbidden: ") && !why.contains("<h1>"), "{why}");
}

#[test]
fn an_answer_without_an_end_takes_little_memory() {
    let head = |more: &str| format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{more}\r\n").into_bytes();
    let one = "{\"Id\":\"\"},";
    let engines = [
        // it ends with the connection, which does not
        False::new(move |_, stream| {
            stream.write_all(&head(""))?;
            stream.write_all(b"[")?;
            flood(stream, one.as_bytes())
        }),
        False::new(move |_, stream| {
            stream.write_all(&head("Content-Length: 1073741824\r\n"))?;
            flood(stream, b" ")
        }),
        False::new(move |_, stream| {
            stream.write_all(&head("Transfer-Encoding: chunked\r\n"))?;
            flood(stream, b"10\r\n                \r\n")
        }),
        // all of it is there, and is a list of three million
        False::saying(ok(&format!("[{}]", one.repeat(3_000_000).trim_end_matches(',')))),
        False::new(move |_, stream| {
            stream.write_all(b"HTTP/1.1 500 No\r\n\r\n")?;
            flood(stream, b"no ")
        }),
        False::new(move |_, stream| flood(stream, b"HTTP/1.1 102 Processing\r\n\r\n")),
        False::stopping(move |stream| {
            stream.write_all(b"HTTP/1.1 500 No\r\n\r\n")?;
            flood(stream, b"no ")
        }),
    ];
    let examine = |at: usize, engine: &False| {
        let server = &server_at(&engine.socket);
        away(server);
        let one = peak(server);
        assert!(one < 96 << 20, "{at}: {one}");
        // sixteen at once take no sixteen times as much; each asks something else, so that no two share an answer
        thread::scope(|scope| {
            for caller in 0..16 {
                scope.spawn(move || {
                    let why = failure(server, "container", json!({ "name": format!("web{caller}") }));
                    let kinds = ["away: ", "timed_out: ", "not_found: "];
                    assert!(kinds.iter().any(|kind| why.starts_with(kind)), "{at}: {why}");
                });
            }
        });
        let all = peak(server);
        assert!(all < 224 << 20, "{at}: {all}");
    };
    thread::scope(|scope| {
        for (at, engine) in engines.iter().enumerate() {
            scope.spawn(move || examine(at, engine));
        }
    });
}

#[test]
fn a_thousand_calls_that_fail_leave_no_file_open() {
    let engines = [
        False::saying(ok("[{\"Id\":\"ab")),
        False::saying(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n[".to_vec()),
        False::saying(vec![]),
        False::new(|_, stream| stream.write_all(&ok("{}")).and_then(|()| silence(stream))),
        False::stopping(|stream| stream.write_all(&http("500 No", "application/json", "{\"message\":\"no\"}"))),
    ];
    for engine in &engines {
        let server = &server_at(&engine.socket);
        away(server);
        let before = open_files(server);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut wire = server.connect();
                    for _ in 0..1000 / engines.len() / 8 {
                        let call = Request::call("container_control", stop()).token(server.token());
                        refusal(&wire.ask(&call).rpc());
                    }
                });
            }
        });
        // a scan of the processes holds some now and then
        eventually("all are closed", || (open_files(server) <= before + 50).then_some(()));
        well(server);
    }
}

#[test]
fn whoever_hangs_up_takes_the_question_to_the_engine_along_in_time() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let engine = False::new(move |_, stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        silence(stream)
    });
    let server = server_at(&engine.socket);
    well(&server);
    let ask = |_| {
        let mut wire = server.connect();
        wire.send(Request::call("container_control", stop()).token(server.token()).bytes()).unwrap();
        wire
    };
    let wires: Vec<_> = (0..50).map(ask).collect();
    eventually("the engine has been asked", || (asked.load(Ordering::SeqCst) > 0).then_some(()));
    drop(wires);
    eventually("all are closed", || (engine.held() == 0).then_some(()));
    well(&server);
}

#[test]
fn a_rootless_engine_is_found_where_its_user_has_it() {
    // the machine's own Engine would be in the way, and could not be hidden
    if !needs_root() {
        return;
    }
    let engine = False::saying(ok("[]"));
    let directory = engine.socket.parent().unwrap().display().to_string();
    let hidden = Setup { mounts: Some("mount -t tmpfs none /run"), ..setup("") };
    let server = Setup { environment: vec![("XDG_RUNTIME_DIR", directory.clone())], ..hidden }.start();
    let why = away(&server);
    assert!(why.starts_with("not_found: "), "{why}");
    // the machine's own is there too, and may not be used
    let mounts = "mount -t tmpfs none /run; printf x >/run/docker.sock; chmod 600 /run/docker.sock";
    let server = Setup { mounts: Some(mounts), environment: vec![("XDG_RUNTIME_DIR", directory)], ..setup("") }.start();
    let why = away(&server);
    assert!(why.starts_with("not_found: "), "{why}");
    // neither
    let server = Setup { mounts: Some("mount -t tmpfs none /run"), ..setup("") }.start();
    let why = away(&server);
    assert!(why.starts_with("away: there is no Docker Engine at /run/docker.sock"), "{why}");
}

#[test]
fn docker_host_says_where_it_is_and_is_refused_with_what_to_do_if_it_is_no_socket() {
    let engine = False::saying(ok("[]"));
    let host = |value: String| Setup { environment: vec![("DOCKER_HOST", value)], ..setup("") }.start();
    let why = away(&host(format!("unix://{}", engine.socket.display())));
    assert!(why.starts_with("not_found: "), "{why}");
    for other in ["tcp://127.0.0.1:2375", "ssh://somewhere", "/run/docker.sock"] {
        let why = away(&host(other.to_owned()));
        assert!(why.starts_with("away: DOCKER_HOST") && why.contains("unix:///PATH"), "{other}: {why}");
    }
    // what the config says goes before it
    let named = setup(&format!("socket: {:?}", engine.socket));
    let why = away(&Setup { environment: vec![("DOCKER_HOST", "tcp://127.0.0.1:2375".to_owned())], ..named }.start());
    assert!(why.starts_with("not_found: "), "{why}");
}

#[test]
fn off_is_off_whatever_listens() {
    let why = away(&setup("off: true").start());
    assert!(why.starts_with("away: ") && why.contains("configuration"), "{why}");
}

/// What /readyz says of Docker; it must not make the server unready.
fn ready(server: &Server) -> String {
    let answer = server.ask(&Request::new("GET", "/readyz").token(server.token()));
    assert_eq!((answer.status, &answer.rpc()["ready"]), (200, &json!(true)), "{}", answer.text());
    answer.rpc()["docker"].as_str().unwrap().to_owned()
}

/// What `doctor` says of Docker.
fn doctor(docker: &str) -> String {
    let scratch = Scratch::new();
    let config = scratch.write("config.ron", format!("(docker: ({docker}))")).display().to_string();
    let said = crate::common::run(&scratch, &["doctor", "--config", &config]).out;
    let begin = said.find(" docker: ").unwrap_or_else(|| panic!("{said}"));
    said[begin - 5..].lines().take(2).collect::<Vec<_>>().join("\n")
}

/// Two hundred who ask at once have the Engine asked by one connection at a time, and only those who may know the system read what of it.
#[test]
fn readiness_is_found_out_once_for_all_who_ask_and_told_in_words_only_to_who_may_know() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let engine = False::new({
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        move |_, stream| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // long enough for all of them to have asked
            thread::sleep(Duration::from_millis(200));
            let said = stream.write_all(b"HTTP/1.1 200 OK\r\nApi-Version: 1.9\r\nContent-Length: 2\r\n\r\nOK");
            now.fetch_sub(1, Ordering::SeqCst);
            said
        }
    });
    let keys = vec![Key::new("knows"), Key::new("does not").with_scopes(&[Scope::FilesRead])];
    let server = Setup { keys, ..setup(&format!("socket: {:?}", engine.socket)) }.start();
    let ask = |key: &Key| Request::new("GET", "/readyz").token(key.text());
    // who is told no words does not wait for the Engine
    let answer = server.ask(&ask(&server.keys[1]));
    assert_eq!((answer.status, answer.text().as_str()), (200, "ready\n"));
    assert_eq!(most.load(Ordering::SeqCst), 0);
    let mut wires: Vec<_> = (0..200)
        .map(|_| {
            let mut wire = server.connect();
            wire.send(ask(&server.keys[0]).bytes()).unwrap();
            wire
        })
        .collect();
    for wire in &mut wires {
        assert_eq!(wire.answer().expect("an answer").rpc()["docker"], "ok");
    }
    assert_eq!(most.load(Ordering::SeqCst), 1, "connections to the Engine at the same time");
}

#[test]
fn readyz_and_doctor_say_what_is_with_docker_and_are_content_without() {
    let at = |socket: &std::path::Path| format!("socket: {socket:?}");
    let nowhere = at("/nonexistent/docker.sock".as_ref());
    assert_eq!(ready(&setup(&nowhere).start()), "not there");
    let line = doctor(&nowhere);
    assert!(line.starts_with("less  docker: there is no Docker Engine at /nonexistent"), "{line}");

    assert_eq!(ready(&setup("off: true").start()), "off");
    assert!(doctor("off: true").starts_with("ok    docker: left alone"));

    let engine = False::saying(
        b"HTTP/1.1 200 OK\r\nServer: Docker/1.2.3 (linux)\r\nApi-Version: 1.9\r\nContent-Length: 2\r\n\r\nOK",
    );
    assert_eq!(ready(&server_at(&engine.socket)), "ok");
    let line = doctor(&at(&engine.socket));
    assert!(line.starts_with("less  docker: ") && line.contains("(Docker/1.2.3 (linux), API 1.9)"), "{line}");
    assert!(line.contains("as good as root") && line.contains("docker-guard"), "{line}");
    fs::set_permissions(&engine.socket, fs::Permissions::from_mode(0o000)).unwrap();
    let said = ready(&server_at(&engine.socket));
    assert!(said.starts_with("not ready: ") && said.contains("may not use"), "{said}");
    let line = doctor(&at(&engine.socket));
    assert!(line.starts_with("less  docker: this server may not use"), "{line}");

    let guards = |name: &'static str| {
        False::new(move |request, stream| {
            if request.starts_with("GET /_ping ") {
                let head = format!("HTTP/1.1 200 OK\r\nApi-Version: 1.9\r\n{name}Content-Length: 0\r\n\r\n");
                stream.write_all(head.as_bytes())
            } else {
                stream.write_all(&http("403 Forbidden", "text/html", "<h1>no"))
            }
        })
    };
    for guard in [guards("Server: docker-guard/1.0\r\n"), guards("Server: nginx\r\n"), guards("")] {
        let line = doctor(&at(&guard.socket));
        assert!(line.starts_with("ok    docker: ") && line.contains("guarded"), "{line}");
    }

    for other in [False::saying(http("200 OK", "text/html", "OK")), False::new(|_, stream| silence(stream))] {
        let said = ready(&server_at(&other.socket));
        assert!(said.starts_with("not ready: "), "{said}");
        let line = doctor(&at(&other.socket));
        assert!(line.starts_with("less  docker: "), "{line}");
    }
}

#[test]
#[ignore = "needs engines: tests/run --only docker"]
fn every_engine_is_ready_and_says_which_it_is() {
    for engine in super::engines() {
        assert_eq!(ready(&engine.server(&[Scope::SystemRead, Scope::DockerRead])), "ok", "{}", engine.name);
        let line = doctor(&format!("socket: {:?}", engine.socket));
        let api = engine.docker(&["version", "--format", "{{.Server.APIVersion}}"]);
        assert!(line.starts_with("less  docker: ") && line.contains(&format!("API {api})")), "{}: {line}", engine.name);
        let kind = if engine.is_podman() { "(Libpod/" } else { "(Docker/" };
        assert!(line.contains(kind), "{}: {line}", engine.name);
    }
}

/// An engine of a test's own, which it may end.
struct Own {
    directory: PathBuf,
    engine: Engine,
}

impl Own {
    fn start() -> Self {
        let directory = std::env::temp_dir().join(format!("smcp-engine-{}", std::process::id()));
        let own = Self {
            engine: Engine { name: "debian".to_owned(), socket: directory.join("debian/docker.sock") },
            directory,
        };
        own.run("start");
        own
    }

    fn run(&self, what: &str) {
        let status = Command::new("tests/engines").arg(what).arg(&self.directory).arg("debian").status().unwrap();
        assert!(status.success(), "tests/engines {what}: {status}");
    }

    /// Ends the daemon as nobody should.
    fn kill(&self) {
        let pid: i32 = fs::read_to_string(self.directory.join("debian/pid")).unwrap().trim().parse().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL)
            .unwrap();
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.run("stop");
    }
}

#[test]
#[ignore = "needs an engine: tests/run --only docker"]
fn an_engine_that_is_killed_and_started_again_is_asked_again() {
    if !needs_root() {
        return;
    }
    let own = Own::start();
    let server = own.engine.server(&[Scope::SystemRead, Scope::DockerRead, Scope::DockerControl]);
    // it takes its time to stop: sh, which is PID 1, does not heed SIGTERM
    let container = own.engine.run_as("web", &[], &["sh", "-c", "while :; do sleep 1; done"]);
    thread::scope(|scope| {
        let slow = json!({ "name": "web", "action": "stop", "grace_seconds": 60 });
        let call = scope.spawn(|| failure(&server, "container_control", slow));
        eventually("it is on record", || server.audit_text().contains("\"attempt\"").then_some(()));
        let events = ["events", "--since", "10m", "--until", "0s", "--filter", "event=kill", "--format", "{{.Action}}"];
        eventually("the Engine is at it", || own.engine.docker(&events).contains("kill").then_some(()));
        own.kill();
        // answered because the Engine is gone: one that waited for the minute would say that it still runs
        let why = call.join().unwrap();
        assert!(why.starts_with("away: ") && why.contains("not known"), "{why}");
    });
    let why = away(&server);
    assert!(why.starts_with("away: nobody listens"), "{why}");
    own.run("start");
    // the daemon took its containers down, or found them running
    let report =
        answer(&server, "container_control", json!({ "name": "web", "action": "restart", "grace_seconds": 0 }));
    assert_eq!(report["after"]["state"], "running", "{report}");
    drop(container);
}

#[test]
fn an_engine_that_is_not_there_costs_the_reading_tools_a_clear_answer_and_overview_nothing() {
    let keys = vec![Key::new("agent").with_scopes(&[Scope::SystemRead, Scope::DockerRead])];
    let config = "docker: (socket: \"/nonexistent/docker.sock\"),".to_owned();
    let server = Setup { keys, config, ..Setup::default() }.start();
    for (tool, arguments) in [("containers", json!({})), ("container", json!({ "name": "web" })), ("stacks", json!({}))]
    {
        let why = failure(&server, tool, arguments);
        assert!(why.starts_with("away: ") && why.contains("docker.socket"), "{tool}: {why}");
    }
    let overview = server.call("overview", json!({}));
    assert_eq!(overview["result"]["isError"], false, "{overview}");
    assert!(overview["result"]["structuredContent"].get("containers").is_none(), "{overview}");
}

/// Once the Engine has not answered an overview within its second, the next ones do not wait for it: twelve of them, each of a reading of its
/// own, overtake a call that has ten seconds.
#[test]
fn an_engine_that_hangs_costs_one_overview_a_second_and_the_next_ones_nothing() {
    let engine = False::new(|_, stream| silence(stream));
    let server = server_at(&engine.socket);
    server.call("overview", json!({}));
    eventually("twelve overviews overtake another call", || {
        thread::scope(|scope| {
            let call = scope.spawn(|| failure(&server, "container", json!({ "name": "web" })));
            for _ in 0..12 {
                let overview = server.call("overview", json!({}));
                assert_eq!(overview["result"]["isError"], false, "{overview}");
                // what is younger than a quarter of a second would be shared
                thread::sleep(Duration::from_millis(300));
            }
            let is_overtaken = !call.is_finished();
            call.join().unwrap();
            is_overtaken.then_some(())
        })
    });
}

/// The Engine takes the connection, and that is all it does. The overview gives it a second, and not the ten that it has for everything
/// else: it overtakes a call that came before.
#[test]
fn an_engine_that_hangs_does_not_hold_up_the_overview() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let engine = False::new(move |_, stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        silence(stream)
    });
    let server = server_at(&engine.socket);
    eventually("the overview overtakes another call", || {
        let before = asked.load(Ordering::SeqCst);
        thread::scope(|scope| {
            let call = scope.spawn(|| failure(&server, "container", json!({ "name": "web" })));
            eventually("it hangs", || (asked.load(Ordering::SeqCst) > before).then_some(()));
            let overview = server.call("overview", json!({}));
            let is_overtaken = !call.is_finished();
            assert_eq!(overview["result"]["isError"], false, "{overview}");
            assert!(overview["result"]["structuredContent"].get("containers").is_none(), "{overview}");
            // it did ask
            eventually("both asked", || (asked.load(Ordering::SeqCst) >= 2).then_some(()));
            call.join().unwrap();
            is_overtaken.then_some(())
        })
    });
}
