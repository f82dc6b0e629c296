//! What is served beside the protocol itself, and to whom.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::Path,
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::common::{Answer, Key, Request, Scratch, Server, Setup, Wire, eventually};

fn server(grants: &[&str]) -> Server {
    Setup { keys: vec![Key::new("agent").with_grants(grants)], ..Setup::default() }.start()
}

fn get(server: &Server, path: &str) -> Answer {
    server.ask(&Request::new("GET", path).token(server.token()))
}

/// The figure of one series, as it stands on the page.
fn figure(page: &str, series: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn the_page_for_prometheus_is_there_for_who_may_read_it_and_for_nobody_else() {
    let without = server(&["system:read", "docker:read", "files:read"]);
    let answer = get(&without, "/metrics");
    assert_eq!(answer.status, 404, "{}", answer.text());
    assert!(answer.text().contains("metrics:read"), "{}", answer.text());
    assert_eq!(get(&without, "/nothing").text().trim(), "there is /mcp, /healthz, /readyz");
    let records = without.audit();
    let record = records.iter().find(|record| record["tool"] == "/metrics").unwrap();
    assert_eq!((&record["decision"], &record["kind"]), (&json!("denied"), &json!("no_such_tool")), "{record}");

    let with = server(&["metrics:read"]);
    let answer = get(&with, "/metrics");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; version=0.0.4; charset=utf-8")));
    assert_eq!(get(&with, "/nothing").text().trim(), "there is /mcp, /healthz, /readyz, /metrics");
    let records = with.audit();
    let record = records.iter().find(|record| record["tool"] == "/metrics").unwrap();
    let told = ["decision", "outcome", "grant"].map(|field| record[field].as_str().unwrap_or_default());
    assert_eq!(told, ["allowed", "ok", "metrics:read"], "{record}");
    assert_eq!(record["bytes"], answer.text().len(), "{record}");
    for (method, status) in [("HEAD", 200), ("POST", 405), ("DELETE", 405)] {
        assert_eq!(with.ask(&Request::new(method, "/metrics").token(with.token())).status, status, "{method}");
    }
    assert_eq!(with.ask(&Request::new("GET", "/metrics")).status, 401);
    // it opens no tool
    let said = with.call("overview", json!({}));
    assert!(said["error"]["message"].is_string(), "{said}");
}

#[test]
fn what_this_server_does_is_counted_by_tool_and_outcome() {
    let server = server(&["metrics:read", "system:read", "files:read"]);
    for _ in 0..3 {
        server.call("memory", json!({}));
    }
    server.call("process", json!({ "pid": 4_194_304 }));
    server.call("no_such_tool", json!({}));
    server.call("file_write", json!({ "path": "/x", "content": "" }));
    assert_eq!(server.ask(&Request::new("GET", "/metrics")).status, 401);
    let foreign = Request::new("GET", "/metrics").token(server.token()).header("Origin", "http://elsewhere.example");
    assert_eq!(server.ask(&foreign).status, 403);
    let page = get(&server, "/metrics").text();
    for (series, expected) in [
        ("smcp_calls_total{tool=\"memory\",outcome=\"ok\"}", 3.0),
        ("smcp_calls_total{tool=\"process\",outcome=\"not_found\"}", 1.0),
        ("smcp_unknown_calls_total", 2.0),
        ("smcp_call_duration_seconds_count{tool=\"memory\"}", 3.0),
        ("smcp_refused_requests_total{kind=\"missing\"}", 1.0),
        ("smcp_refused_requests_total{kind=\"host_or_origin\"}", 1.0),
        ("smcp_lane_running_calls{lane=\"list\"}", 0.0),
        ("smcp_lane_running_calls_limit{lane=\"machine\"}", 32.0),
    ] {
        assert_eq!(figure(&page, series), Some(expected), "{series}: {page}");
    }
    assert!(figure(&page, "process_resident_memory_bytes").is_some_and(|bytes| bytes > 1e6), "{page}");
    assert!(page.contains(&format!("smcp_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"))), "{page}");
    let again = get(&server, "/metrics").text();
    assert_eq!(figure(&again, "smcp_calls_total{tool=\"/metrics\",outcome=\"ok\"}"), Some(1.0), "the one before");
}

#[test]
fn who_may_read_the_page_is_told_in_words_whether_the_server_is_ready() {
    for (grants, in_words) in [(&["metrics:read"][..], true), (&["system:read"], true), (&["files:read"], false)] {
        let server = server(grants);
        let answer = get(&server, "/readyz");
        assert_eq!(answer.status, 200);
        let words: Option<Value> = serde_json::from_str(&answer.text()).ok();
        assert_eq!(words.is_some_and(|words| words["ready"] == true), in_words, "{grants:?}: {}", answer.text());
        // what watches the server has no token, and learns no more
        let bare = server.ask(&Request::new("GET", "/readyz"));
        assert_eq!((bare.status, bare.text().as_str()), (200, "ready\n"));
        assert_eq!(server.ask(&Request::new("POST", "/readyz")).status, 405);
        assert_eq!(server.ask(&Request::new("GET", "/readyz").header("Authorization", "Bearer x")).status, 401);
        assert_eq!(
            server.ask(&Request::new("GET", "/readyz").header("Origin", "http://elsewhere.example")).status,
            403
        );
    }
}

#[test]
fn a_listener_serves_what_the_configuration_says_and_nothing_else() {
    let config = "listeners: [(bind: \"127.0.0.1:0\", serves: [Mcp]), (bind: \"127.0.0.1:0\", serves: [Metrics])],";
    let keys = vec![Key::new("agent").with_grants(&["system:read", "metrics:read"])];
    let server = Setup { listen: String::new(), config: config.to_owned(), keys, ..Setup::default() }.start();
    let addresses = eventually("it listens on both", || Some(server.addresses()).filter(|all| all.len() == 2));
    let ask = |at: usize, request: Request| Wire::to(addresses[at]).ask(&request.token(server.token()));
    let list = || Request::rpc("tools/list", json!({}));
    assert_eq!((ask(0, list()).status, ask(1, list()).status), (200, 404));
    let page = |at| ask(at, Request::new("GET", "/metrics"));
    assert_eq!((page(0).status, page(1).status), (404, 200));
    assert_eq!(page(0).text().trim(), "there is /mcp, /healthz, /readyz");
    assert_eq!(ask(1, Request::new("GET", "/mcp")).text().trim(), "there is /healthz, /readyz, /metrics");
    for at in [0, 1] {
        assert_eq!(ask(at, Request::new("GET", "/readyz")).status, 200);
        assert_eq!(Wire::to(addresses[at]).ask(&Request::new("GET", "/healthz")).status, 200);
        assert_eq!(Wire::to(addresses[at]).ask(&list()).status, 401);
    }
    // what is opened is not changed while it runs
    let text = server.scratch.read("config.ron");
    server.scratch.write("config.ron", text.replace("serves: [Mcp]", "serves: [Mcp, Metrics]"));
    let said = server.reload();
    assert!(said.starts_with("ok") && said.contains("waiting for a restart: listeners"), "{said}");
    assert_eq!(page(0).status, 404);
}

/// An Engine with one container, which it lists and of which it tells nothing more. Says when it is asked.
fn silent_engine(socket: &Path) -> mpsc::Receiver<()> {
    let listener = UnixListener::bind(socket).unwrap();
    fs::set_permissions(socket, fs::Permissions::from_mode(0o666)).unwrap();
    let (asked, told) = mpsc::channel();
    thread::spawn(move || {
        let mut kept = vec![];
        for stream in listener.incoming() {
            let (mut stream, mut head) = (stream.unwrap(), [0; 4096]);
            let length = stream.read(&mut head).unwrap_or(0);
            if String::from_utf8_lossy(&head[..length]).contains("/containers/json") {
                let body = json!([{ "Id": "a".repeat(64), "Names": ["/web"], "State": "running" }]).to_string();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all((head + &body).as_bytes());
            } else {
                // the test may have ended
                let _ = asked.send(());
                kept.push(stream);
            }
        }
    });
    told
}

/// Prometheus gives up after a time of its own, and the slowest pages are the ones to know of.
#[test]
fn a_page_whose_reader_has_left_is_on_record() {
    let scratch = Scratch::new();
    let socket = scratch.path("engine.sock");
    let engine = silent_engine(&socket);
    let keys = vec![Key::new("agent").with_grants(&["metrics:read", "docker:read"])];
    let config = format!("docker: (socket: {socket:?}),");
    let server = Setup { keys, config, scratch, ..Setup::default() }.start();
    // the page waits a second for the Engine: where the machine is slower than that, it is there before its reader is seen to have left
    let record = eventually("a page is on record as one that nobody waits for", || {
        let mut wire = server.connect();
        wire.send(Request::new("GET", "/metrics").token(server.token()).bytes()).unwrap();
        engine.recv().unwrap();
        drop(wire);
        thread::sleep(Duration::from_millis(200));
        server.calls().into_iter().find(|record| record["tool"] == "/metrics" && record["kind"] == "cancelled")
    });
    assert_eq!((&record["outcome"], &record["decision"]), (&json!("error"), &json!("allowed")), "{record}");
    let page = get(&server, "/metrics").text();
    assert!(figure(&page, "smcp_calls_total{tool=\"/metrics\",outcome=\"cancelled\"}") >= Some(1.0), "{page}");
    assert!(!page.contains("container_cpu"), "of what the Engine does not tell there are no figures: {page}");
}
