//! More than it can take, and the end while it is busy.

use std::{
    collections::BTreeMap,
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use serde_json::json;

use crate::common::{Key, PATIENCE, Port, Request, Server, Setup, Wire, eventually};

/// Raises the test's own limit of open files and says how many connections it may hold.
fn connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    limit.maximum.unwrap_or(1 << 20).saturating_sub(500).min(10_000) as usize
}

/// Opens that many, keeps those that were accepted, and looks in between whether a good client is answered.
fn flood(server: &Server, count: usize) {
    let mut wire = server.connect();
    let good = Request::rpc("tools/list", json!({})).token(server.token());
    assert_eq!(wire.ask(&good).status, 200);
    let mut left: Vec<TcpStream> = Vec::with_capacity(count);
    for number in 1..=count {
        left.push(Wire::tcp(server.address));
        if number % 2500 == 0 {
            server.answers();
        }
    }
    server.answers();
    assert_eq!(wire.ask(&good).status, 200, "a client that had shown a good token was sent away for strangers");
    drop(left);
    for _ in 0..10 {
        server.answers();
    }
}

#[test]
fn ten_thousand_connections_opened_and_left_keep_nobody_out() {
    flood(&Server::new(), connections());
}

#[test]
fn so_it_is_when_it_may_open_no_more_than_a_thousand_files() {
    let server = Setup { files: (1024, Some(1024)), ..Setup::default() }.start();
    flood(&server, connections() / 3);
    assert!(open_files(&server) <= 1024);
}

/// So few that it runs out of them before it runs out of places.
#[test]
fn so_it_is_when_it_runs_out_of_files() {
    let server = Setup { files: (80, Some(80)), ..Setup::default() }.start();
    flood(&server, 1000.min(connections()));
}

fn open_files(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid().as_raw_nonzero())).unwrap().count()
}

#[test]
fn one_address_does_not_take_every_place() {
    let server = Server::limited("connections: 200, connections_per_peer: 20");
    let good = Request::rpc("tools/list", json!({})).token(server.token());
    let mut elsewhere = Wire::over(crate::common::from("127.0.0.2:0", server.address));
    assert_eq!(elsewhere.ask(&good).status, 200);
    let before = open_files(&server);
    let _left: Vec<TcpStream> = (0..300).map(|_| Wire::tcp(server.address)).collect();
    server.answers();
    eventually("no more than its share is open", || (open_files(&server) <= before + 22).then_some(()));
    assert_eq!(elsewhere.ask(&good).status, 200);

    // the operator thinks better of it
    let config = server.scratch.read("config.ron").replace("per_peer: 20", "per_peer: 60");
    server.scratch.write("config.ron", config);
    assert!(server.reload().starts_with("ok"));
    let _more: Vec<TcpStream> = (0..300).map(|_| Wire::tcp(server.address)).collect();
    eventually("its greater share is open", || (open_files(&server) > before + 40).then_some(()));
}

#[test]
fn half_requests_keep_nobody_out_either() {
    let server = Setup { limits: "connections: 100".to_owned(), ..Setup::default() }.start();
    let _halves: Vec<Wire> = (0..300)
        .map(|_| {
            let mut wire = server.connect();
            // it may have been sent away at once
            let _ = wire.send("POST /mcp HTTP/1.1\r\nHost: localhost\r\n");
            wire
        })
        .collect();
    server.answers();
}

#[test]
fn what_was_opened_is_closed_again() {
    let server = Server::new();
    server.answers();
    let before = open_files(&server);
    for _ in 0..300 {
        let mut wire = server.connect();
        let _ = wire.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        wire.answer().unwrap();
    }
    eventually("its connections are closed", || (open_files(&server) <= before + 2).then_some(()));
}

#[test]
fn a_thousand_calls_at_once_with_the_same_ids_never_cross() {
    // two callers have a fifth each of those that may wait
    let (keys, limits) = (vec![Key::new("left"), Key::new("right")], "machine: (waiting: 8000)".to_owned());
    let server = Setup { keys, limits, ..Setup::default() }.start();
    connections();
    // both tokens proven, so that none of the thousand waits for argon2
    for key in &server.keys {
        assert_eq!(server.ask(&Request::rpc("tools/list", json!({})).token(key.text())).status, 200);
    }
    let mut sent: Vec<(usize, i64, Wire)> = (0..1000)
        .map(|number| {
            let (at, id) = (number % 2, (number / 2) as i64);
            let key = &server.keys[at];
            let mut call = Request::modern(id, "tools/call", json!({ "name": "memory", "arguments": {} }));
            // the body says who sends it: the record must say the same
            let body = String::from_utf8(call.body)
                .unwrap()
                .replace("\"name\":\"hostile\"", &format!("\"name\":\"of {}\"", key.name));
            call.body = body.into_bytes();
            let length = call.body.len().to_string();
            let call = call.with("Content-Length", &length).token(key.text());
            let mut wire = server.connect();
            wire.send(call.bytes()).unwrap();
            (at, id, wire)
        })
        .collect();
    for (_, id, wire) in &mut sent {
        let answer = wire.answer().expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.rpc();
        assert_eq!((&answer["id"], &answer["result"]["isError"]), (&json!(*id), &json!(false)), "{answer}");
    }
    let mut records = BTreeMap::new();
    for record in server.audit().iter().filter(|record| record["tool"] == "memory") {
        let caller = record["caller"]["name"].as_str().unwrap().to_owned();
        assert_eq!(record["client"]["name"], format!("of {caller}"), "{record}");
        *records.entry((caller, record["request"].as_i64().unwrap())).or_insert(0) += 1;
    }
    assert_eq!(records.len(), 1000);
    assert!(records.values().all(|count| *count == 1), "a call is recorded once");
    let sequence: Vec<_> = server.audit().iter().map(|record| record["seq"].as_u64().unwrap()).collect();
    assert_eq!(sequence, (1..=1002).collect::<Vec<_>>(), "with the two lists");
}

#[test]
fn one_too_many_is_told_when_to_come_back() {
    // a caller has a quarter of the bytes, so that 512 bodies of any length may be on their way, and of those that are there all get an answer
    let server = Setup {
        limits: "connections_per_peer: 4096, body_seconds: 300".to_owned(),
        keys: vec![Key::new("one"), Key::new("another")],
        ..Setup::default()
    }
    .start();
    connections();
    let whole = Request::call("memory", json!({})).token(server.token()).header("Expect", "100-continue").bytes();
    let (half, rest) = whole.split_at(whole.len() - 1);
    let (mut inside, mut refused) = (vec![], 0);
    while refused < 10 {
        let mut wire = server.connect();
        wire.send(half).unwrap();
        let answer = wire.answer().expect("a word");
        match answer.status {
            // who is told to go on has its place
            100 => inside.push(wire),
            429 => {
                let wait: u64 = answer.header("retry-after").expect("Retry-After").parse().unwrap();
                assert!((1..=60).contains(&wait), "{wait}");
                refused += 1;
            }
            other => panic!("{other}: {}", answer.text()),
        }
        assert!(inside.len() < 600, "one caller has all places");
    }
    let answer = server.ask(&Request::rpc("tools/list", json!({})).token(server.token()));
    assert_eq!(answer.status, 429, "{}", answer.text());
    // neither a health check nor another caller must starve with it
    assert_eq!(server.ask(&Request::new("GET", "/healthz")).status, 200);
    assert_eq!(server.ask(&Request::new("GET", "/readyz").token(server.token())).status, 200);
    let another = Request::call("memory", json!({})).token(server.keys[1].text());
    assert_eq!(server.ask(&another).status, 200);
    for wire in &mut inside {
        wire.send(rest).unwrap();
        assert_eq!(wire.answer().expect("an answer").status, 200);
    }
    server.answers();
}

#[test]
fn many_more_than_may_run_all_get_an_answer() {
    // a quarter of both is one caller's
    let server = Server::limited("machine: (running: 8, waiting: 80)");
    server.answers();
    let request = Request::call("memory", json!({})).token(server.token());
    let mut wires: Vec<Wire> = (0..200)
        .map(|_| {
            let mut wire = server.connect();
            wire.send(request.bytes()).unwrap();
            wire
        })
        .collect();
    let (mut good, mut later) = (0, 0);
    for wire in &mut wires {
        let answer = wire.answer().expect("an answer");
        match answer.status {
            200 => good += 1,
            429 => later += 1,
            other => panic!("{other}: {}", answer.text()),
        }
    }
    assert!(good >= 22, "{good} answered, {later} told to come back");
    server.answers();
}

#[test]
fn forty_requests_in_one_go_are_answered_and_four_hundred_end_the_connection() {
    let server = Server::new();
    let ask = Request::new("GET", "/healthz").bytes();
    let mut wire = server.connect();
    wire.send(ask.repeat(40)).unwrap();
    for _ in 0..40 {
        assert_eq!(wire.answer().expect("an answer").status, 200);
    }
    // a client that waits for each answer goes on as long as it likes; a server that is slow to look may take it for one that does not
    for _ in 0..400 {
        wire.send(&ask).unwrap();
        let answer = wire.answer().expect("an answer");
        assert_eq!(answer.status, 200);
        if answer.header("connection").is_some() {
            wire = server.connect();
        }
    }
    let mut wire = server.connect();
    let _ = wire.send(ask.repeat(400));
    let mut answered = 0;
    while let Some(answer) = wire.answer() {
        assert_eq!(answer.status, 200);
        answered += 1;
    }
    // what it had sent and the server did not read may have cost some answers that were on their way
    assert!(answered < 200, "{answered}");
}

#[test]
fn bad_credentials_end_the_connection_after_some() {
    let server = Server::new();
    let mut wire = server.connect();
    let mut refused = 0;
    loop {
        wire.send(Request::post("{}").bytes()).unwrap();
        let answer = wire.answer().expect("an answer");
        assert_eq!(answer.status, 401);
        refused += 1;
        if answer.header("connection").is_some_and(|said| said == "close") {
            break;
        }
        assert!(refused < 100, "it goes on for ever");
    }
    wire.is_closed();
    server.answers();
}

#[test]
fn limits_are_read_again_with_a_reload() {
    let server = Server::limited("body_bytes: 262144");
    let long = Request::post(format!("{{{}}}", " ".repeat(2000))).token(server.token());
    assert_eq!(server.ask(&long).status, 400);
    let config = server.scratch.read("config.ron").replace("body_bytes: 262144", "body_bytes: 1000");
    server.scratch.write("config.ron", config);
    server.reload();
    assert_eq!(server.ask(&long).status, 413);
    server.answers();
}

#[test]
fn it_ends_under_load_without_waiting_for_the_idle_and_starts_again_on_its_port() {
    let port = Port::new();
    // to wait for one of them would take longer than this test waits
    let limits = "header_seconds: 300, body_seconds: 300, idle_seconds: 3600".to_owned();
    let mut server = Setup { listen: port.address.to_string(), limits, ..Setup::default() }.start();
    let _idle: Vec<TcpStream> = (0..50).map(|_| Wire::tcp(server.address)).collect();
    let mut half = server.connect();
    half.send("POST /mcp HTTP/1.1\r\nHost").unwrap();
    let mut half_body = server.connect();
    let whole = Request::call("memory", json!({})).token(server.token()).bytes();
    half_body.send(&whole[..whole.len() - 1]).unwrap();
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let (address, request) = (server.address, Request::call("memory", json!({})).token(server.token()).bytes());
    let status = thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    // refused, reset and cut are all ways to see the end
                    let Ok(stream) = TcpStream::connect(address) else { break };
                    let _ = stream.set_read_timeout(Some(PATIENCE));
                    let mut wire = Wire::over(stream);
                    while !stop.load(Ordering::Relaxed) && wire.send(&request).is_ok() {
                        let Some(answer) = wire.answer() else { break };
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        eventually("there is load", || (done.load(Ordering::Relaxed) > 100).then_some(()));
        server.signal(Signal::TERM);
        let status = server.wait();
        stop.store(true, Ordering::Relaxed);
        status
    });
    assert_eq!(status.code(), Some(0), "{}", server.log());
    assert!(server.log().lines().last().is_some_and(|line| line.ends_with("ended")), "{}", server.log());
    assert!(!server.log().contains("panicked"), "{}", server.log());
    for line in server.audit_text().lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    let again = Setup { listen: server.address.to_string(), ..Setup::default() }.start();
    assert_eq!(again.address, server.address);
    again.answers();
}

#[test]
fn it_ends_on_ctrl_c_as_well() {
    let mut server = Server::new();
    let _idle = server.connect();
    server.signal(Signal::INT);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn it_survives_signals_that_mean_nothing_to_it() {
    let mut server = Server::new();
    for signal in [Signal::PIPE, Signal::CHILD, Signal::WINCH, Signal::URG, Signal::CONT] {
        server.signal(signal);
    }
    for _ in 0..50 {
        server.signal(Signal::HUP);
    }
    server.answers();
    assert!(server.is_running());
}

/// The files that a scan holds are given back when it cannot have another.
#[test]
fn what_is_held_for_speed_never_costs_an_answer() {
    let server = Server::new();
    let mut wire = server.connect();
    let processes = Request::call("processes", json!({})).token(server.token());
    let idle = open_files(&server);
    let answer = wire.ask(&processes);
    assert_eq!(answer.rpc()["result"]["isError"], false, "{}", answer.text());
    let held = open_files(&server);
    assert!(held > idle, "nothing is held: {idle} open files, then {held}");
    // fewer than are open already
    let limit = idle as u64 + 4;
    assert!(server.limit_files(limit).success());
    // two questions within a quarter of a second would share a scan
    thread::sleep(Duration::from_millis(300));
    let answer = wire.ask(&processes);
    assert_eq!(answer.rpc()["result"]["isError"], false, "{}", answer.text());
    assert!(open_files(&server) as u64 <= limit);
}

/// Of a stopped server: asks on all of these and tells it to end, so that both are there when it goes on.
fn answered_at_the_end(mut server: Server, mut wires: Vec<Wire>, request: &Request) {
    for wire in &mut wires {
        wire.send(request.bytes()).unwrap();
    }
    server.signal(Signal::TERM);
    server.signal(Signal::CONT);
    for wire in &mut wires {
        assert_eq!(wire.answer().expect("an answer, not the end").status, 200);
    }
    assert!(server.wait().success());
}

/// Connections that the kernel has taken and the server has not, with what is asked on them.
#[test]
fn who_waits_to_be_let_in_at_the_end_is_answered() {
    let server = Server::new();
    let request = Request::rpc("tools/list", json!({})).token(server.token());
    server.answers();
    server.signal(Signal::STOP);
    let wires = (0..20).map(|_| server.connect()).collect();
    answered_at_the_end(server, wires, &request);
}

/// A request that has come when the server is told to end, on a connection that was idle, is not lost.
#[test]
fn what_was_asked_before_the_end_is_answered() {
    let server = Server::new();
    let request = Request::rpc("tools/list", json!({})).token(server.token());
    let mut wires: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for wire in &mut wires {
        assert_eq!(wire.ask(&request).status, 200);
    }
    server.signal(Signal::STOP);
    answered_at_the_end(server, wires, &request);
}
