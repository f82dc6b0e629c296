//! Who did what stands in the log, once, and nothing else does.

use std::{
    fs,
    io::Write,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    process::Stdio,
    thread,
    time::{Duration, Instant, SystemTime},
};

use rights::scope::Scope;
use serde_json::{Value, json};
use systemmanager_mcp::audit::FAILURES;

use crate::common::{
    Key, Port, Program, Request, Scratch, Server, Setup, USER, eventually, is_root, needs_root, refusal, run,
    token_file,
};

/// The fields of a call's record, in the order that is the format.
const FIELDS: &[&str] = &[
    "v",
    "run",
    "seq",
    "time",
    "request",
    "caller",
    "auth",
    "token",
    "peer",
    "client",
    "tool",
    "args",
    "grant",
    "target",
    "decision",
    "phase",
    "outcome",
    "kind",
    "suppressed",
    "bytes",
    "ms",
];

fn in_order(record: &Value) {
    let keys: Vec<&str> = record.as_object().unwrap().keys().map(String::as_str).collect();
    let places: Vec<usize> = keys
        .iter()
        .map(|key| {
            FIELDS.iter().position(|field| field == key).unwrap_or_else(|| panic!("{key} is no field: {record}"))
        })
        .collect();
    assert!(places.is_sorted(), "{keys:?}");
}

#[test]
fn every_call_has_one_record_with_its_fields_in_order() {
    let server = Server::new();
    let calls = [
        ("memory", json!({}), "allowed", Some("ok"), None),
        ("memory", json!({ "no": 1 }), "allowed", Some("error"), Some("invalid")),
        ("no_such_tool", json!({}), "denied", None, Some("no_such_tool")),
    ];
    for (number, (tool, arguments, decision, outcome, kind)) in calls.into_iter().enumerate() {
        let id = format!("call {number}");
        let call = Request::modern(id.clone(), "tools/call", json!({ "name": tool, "arguments": arguments }));
        let before = SystemTime::now();
        server.ask(&call.token(server.token()));
        let after = SystemTime::now();
        let records = server.audit();
        assert_eq!(records.len(), number + 1, "{}", server.audit_text());
        let record = records.last().unwrap();
        in_order(record);
        assert_eq!(record["v"], 1);
        assert_eq!(record["seq"], number + 1);
        assert_eq!(record["request"], id);
        assert_eq!(record["caller"], json!({ "id": server.keys[0].token.id(), "name": "agent" }));
        assert_eq!((&record["auth"], &record["peer"]), (&json!("token"), &json!("127.0.0.1")));
        assert_eq!(record["client"], json!({ "name": "hostile", "version": "0" }));
        assert_eq!(record["tool"], tool);
        assert_eq!((record["decision"].as_str(), record["phase"].as_str()), (Some(decision), Some("result")));
        assert_eq!((record["outcome"].as_str(), record["kind"].as_str()), (outcome, kind), "{record}");
        let time = record["time"].as_str().unwrap();
        // it is in milliseconds, rounded down
        let at = humantime::parse_rfc3339(time).unwrap() + Duration::from_millis(1);
        assert!(at > before && at <= after + Duration::from_millis(1), "{time}");
        assert!(record["ms"].is_u64(), "{record}");
    }
    let answer = server.ask(&Request::call("memory", json!({})).token(server.token())).rpc();
    let record = server.audit().pop().unwrap();
    let bytes = answer["result"]["content"][0]["text"].as_str().unwrap().len();
    assert!(record["bytes"].as_u64().unwrap().abs_diff(bytes as u64) < 100, "{record}");
}

#[test]
fn the_log_is_its_owners_alone() {
    let server = Server::new();
    server.call("memory", json!({}));
    let log = fs::metadata(server.scratch.path("state/audit.jsonl")).unwrap();
    assert_eq!(log.mode() & 0o7777, 0o600);
    let directory = fs::metadata(server.scratch.path("state")).unwrap();
    assert_eq!(directory.mode() & 0o077, 0, "{:o}", directory.mode());
    if is_root() {
        assert_eq!((log.uid(), directory.uid()), (USER, USER), "the program under test must not be root");
    }
}

#[test]
fn nothing_but_calls_lists_of_tools_and_refusals_is_recorded() {
    let server = Server::new();
    server.ask(&Request::new("GET", "/healthz"));
    server.ask(&Request::new("GET", "/readyz").token(server.token()));
    server.ask(&Request::post("nonsense").token(server.token()));
    assert!(server.audit().is_empty(), "{}", server.audit_text());
    server.ask(&Request::modern("a list", "tools/list", json!({})).token(server.token()));
    let [record] = &server.audit()[..] else { panic!("{}", server.audit_text()) };
    in_order(record);
    let told = ["request", "tool", "decision", "outcome"].map(|field| record[field].as_str().unwrap());
    assert_eq!(told, ["a list", "tools/list", "allowed", "ok"]);
    assert_eq!(record["client"], json!({ "name": "hostile", "version": "0" }));
    assert!(record["bytes"].as_u64().unwrap() > 1_000 && record["peer"] == "127.0.0.1", "{record}");
}

#[test]
fn no_tool_s_arguments_are_kept_unless_it_says_so() {
    // of one caller's failed calls only so many are written
    let keys = (0..60).map(|_| Key::new("agent")).collect();
    let server = Setup { keys, ..Setup::default() }.start();
    let list = server.ask(&Request::rpc("tools/list", json!({})).token(server.token())).rpc();
    let tools = list["result"]["tools"].as_array().unwrap();
    assert!(tools.len() <= server.keys.len(), "each has a caller of its own");
    for (tool, key) in tools.iter().zip(&server.keys) {
        let name = tool["name"].as_str().unwrap();
        let call = |arguments: Value| server.ask(&Request::call(name, arguments).token(key.text()));
        call(json!({ "password": "hunter2", "hunter2": 1, "nested": { "a": ["hunter2"] } }));
        let known = tool["inputSchema"]["properties"].as_object().cloned().unwrap_or_default();
        for argument in known.keys() {
            let mut arguments = json!({ "password": "hunter2" });
            arguments[argument] = json!("kept or not");
            call(arguments);
            let record = server.audit().pop().unwrap();
            assert_eq!((&record["tool"], &record["kind"]), (&json!(name), &json!("invalid")), "{record}");
            for kept in record["args"].as_object().into_iter().flatten() {
                assert!(known.contains_key(kept.0), "{name} keeps {}: {record}", kept.0);
            }
        }
    }
    assert!(!server.audit_text().contains("hunter2"), "{}", server.audit_text());
    assert!(!server.log().contains("hunter2"), "{}", server.log());
}

/// A failed call costs its caller nothing, and may carry kilobytes of arguments.
#[test]
fn a_flood_of_failed_calls_is_counted_and_hides_neither_changes_nor_others() {
    let scratch = Scratch::new();
    let rw = scratch.path("rw");
    fs::create_dir(&rw).unwrap();
    if is_root() {
        std::os::unix::fs::chown(&rw, Some(USER), Some(USER)).unwrap();
    }
    let keys = ["noisy", "other"].map(|name| Key::new(name).with_scopes(&[Scope::FilesRead, Scope::FilesWrite]));
    let config = format!("files: (directories: [(path: {rw:?}, access: Rw, mounts: true)]),");
    let limits = "search: (per_minute: 6000)".to_owned();
    let mut server = Setup { keys: keys.into(), config, limits, scratch, ..Setup::default() }.start();
    let (calls, began) = (1000, Instant::now());
    let huge = json!({ "path": rw, "pattern": "x", "limit": 0, "include": vec!["A".repeat(250); 15] });
    let written = json!({ "path": rw.join("new"), "content": "x", "create": true });
    let call = |tool: &str, arguments: &Value, key: usize| {
        server.ask(&Request::call(tool, arguments.clone()).token(server.keys[key].text())).rpc()
    };
    assert_eq!(call("file_write", &written, 1)["result"]["isError"], false);
    for number in 0..calls {
        let (tool, said) = if number % 2 == 0 { ("file_grep", "invalid: ") } else { ("file_greb", "") };
        assert!(call(tool, &huge, 0).to_string().contains(said));
    }
    assert!(refusal(&call("file_grep", &huge, 1)).starts_with("invalid: "));
    // two kinds of failures, at most so many of each in a minute
    let bound = 2 * u64::from(FAILURES.burst) * (began.elapsed().as_secs() / FAILURES.seconds + 2);
    let length = server.audit_text().len() as u64;
    assert!(length < (bound + 10) * 2_000, "{length} bytes");
    assert_eq!(server.actions().len(), 2, "the change and its result stand in a file of their own");

    server.signal(rustix::process::Signal::TERM);
    server.wait();
    let records = server.audit();
    for record in &records {
        in_order(record);
    }
    let of = |id: &str| records.iter().filter(move |record| record["caller"]["id"] == id).collect::<Vec<_>>();
    assert_eq!(of(server.keys[1].token.id()).len(), 1, "nobody else's failure is left out");
    let noisy = of(server.keys[0].token.id());
    let left_out: u64 = noisy.iter().filter_map(|record| record["suppressed"].as_u64()).sum();
    let single = noisy.iter().filter(|record| record.get("suppressed").is_none()).count() as u64;
    assert_eq!(left_out + single, calls, "each is written or counted");
    assert!(single <= bound, "{single}");
    let counts = noisy.iter().filter(|record| record.get("suppressed").is_some());
    for count in counts {
        let decision = if count["kind"] == "invalid" { "allowed" } else { "denied" };
        assert_eq!(count["decision"], decision, "{count}");
    }
}

#[test]
fn whatever_is_sent_stays_on_its_own_line() {
    let server = Server::new();
    let forged =
        "x\n{\"v\":1,\"run\":\"0000000000000000\",\"seq\":99,\"tool\":\"forged\"}\r\n2026-01-01T00:00:00Z ERROR forged";
    let evil = [
        forged,
        "\u{1b}[2J\u{1b}[1;1H",
        "\u{2028}\u{2029}\u{85}",
        "\u{202e}gnp.exe",
        "\0",
        "\"}\n",
        "\u{9b}31m",
        &"é".repeat(10_000),
    ];
    for (number, text) in evil.iter().enumerate() {
        let mut call = Request::legacy(
            *text,
            "tools/call",
            json!({ "name": text, "arguments": {},
            "_meta": { "io.modelcontextprotocol/clientInfo": { "name": text, "version": text } } }),
        );
        call = call.token(server.token()).header("User-Agent", "curl");
        let answer = server.ask(&call);
        assert!(answer.status < 500, "{}", answer.text());
        let log = server.audit_text();
        assert_eq!(log.lines().count(), number + 1, "{log:?}");
        let record = server.audit().pop().unwrap();
        in_order(&record);
        assert_eq!((&record["seq"], &record["kind"]), (&json!(number + 1), &json!("no_such_tool")));
        assert!(log.lines().last().unwrap().len() < 2_000, "one caller fills the log");
        let odd = |c: char| (c.is_control() && c != '\n') || "\u{2028}\u{2029}\u{85}\u{202e}\u{9b}".contains(c);
        assert!(!log.contains(odd), "{log:?}");
    }
    let said = server.log();
    assert!(said.lines().all(|line| !line.starts_with('{') && !line.contains("ERROR forged")), "{said}");
}

#[test]
fn no_log_ever_shows_a_token() {
    let keys = vec![Key::new("good"), Key::new("old").expired(), Key::new("far").only_from("192.0.2.0/24")];
    let config = "log: Trace".to_owned();
    let server = Setup { keys, config, ..Setup::default() }.start();
    let good = server.token();
    let secret = &good[14..78];
    for key in &server.keys {
        let _ = server.ask(&Request::call("memory", json!({})).token(key.text()));
        let _ = server.ask(&Request::call("memory", json!({ (key.text()): key.text() })).token(good));
        let _ = server.ask(&Request::post(key.text()).token(good));
        let _ = server.ask(&Request::call(key.text(), json!({})).token(good));
        let _ = server.ask(&Request::legacy(1, key.text(), json!({})).token(good));
        let _ = server.ask(&Request::rpc("tools/list", json!({ "cursor": key.text() })).token(good));
        let _ = server.ask(&Request::new("GET", &format!("/mcp?token={}", key.text())).token(key.text()));
        let _ = server.ask(&Request::rpc("tools/list", json!({})).with("Host", key.text()).token(good));
        let _ = server.ask(&Request::rpc("tools/list", json!({})).header("Origin", key.text()).token(good));
        let _ = server
            .ask_raw(format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization : Bearer {}\r\n\r\n", key.text()));
        let _ = server.ask_raw(format!("{} / HTTP/1.1\r\n\r\n", key.text()));
    }
    // cut, as a client might send it
    let _ = server.ask(&Request::call("memory", json!({})).token(&good[..good.len() - 1]));
    server.scratch.write("tokens.ron", format!("[(id: \"{good}\")]"));
    server.reload();
    server.scratch.write("config.ron", format!("(root: \"{good}\", {good}: 1)"));
    server.reload();
    for (name, text) in
        [("audit log", server.audit_text()), ("stderr", server.log()), ("stdout", server.scratch.read("stdout"))]
    {
        // a tool's name is recorded as it was called, cut to 64 characters: it is the caller's own doing
        let text: String = text.lines().filter(|line| !line.contains("\"tool\":\"smcp_")).collect();
        for key in &server.keys {
            assert!(!text.contains(&key.text()[14..30]), "the {name} shows a secret: {text}");
        }
        assert!(!text.contains(secret), "{name}");
    }
}

#[test]
fn a_flood_of_bad_credentials_is_counted_and_does_not_fill_the_log() {
    let mut server = Server::new();
    for _ in 0..300 {
        assert_eq!(server.ask(&Request::post("{}")).status, 401);
    }
    assert!(server.audit().len() < 300, "each of them is on disk");
    server.signal(rustix::process::Signal::TERM);
    server.wait();
    let records = server.audit();
    let counted: u64 = records.iter().filter_map(|record| record["suppressed"].as_u64()).sum();
    assert!(records.iter().all(|record| record["kind"] == "missing"), "a count says of what");
    let written = records.iter().filter(|record| record.get("suppressed").is_none()).count() as u64;
    assert_eq!(counted + written, 300, "every one is written or counted");
}

/// Needs a file system of a size of its own, so only root can try it.
#[test]
fn on_a_full_disk_calls_are_refused_and_go_on_when_there_is_room_again() {
    if !needs_root() {
        return;
    }
    let mounts = Some(
        "mkdir -m 700 $SCRATCH/state; mount -t tmpfs -o size=64k,mode=700,uid=65532,gid=65532 none $SCRATCH/state",
    );
    let mut server = Setup { mounts, ..Setup::default() }.start();
    // as seen from within its mount namespace
    let seen = |name: &str| -> PathBuf {
        let root = format!("/proc/{}/root", server.pid().as_raw_nonzero());
        format!("{root}{}/state/{name}", server.scratch.0.display()).into()
    };
    let (log, filler) = (seen("audit.jsonl"), seen("filler"));
    let ready = |server: &Server| {
        let answer = server.ask(&Request::new("GET", "/readyz").token(server.token()));
        (answer.status, answer.rpc())
    };
    assert_eq!(server.call("memory", json!({}))["result"]["isError"], false);
    assert_eq!(ready(&server).0, 200);

    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    while file.write_all(&[0]).is_ok() {}
    // the log's last page may have room left for some
    let answer = eventually("a call is refused", || {
        let answer = server.call("memory", json!({}));
        (answer["result"]["isError"] == true).then_some(answer)
    });
    let words = refusal(&answer);
    assert!(words.starts_with("unaudited: ") && words.contains("audit"), "{words}");
    eventually("a call with a shorter record is refused", || {
        let answer = server.call("no_such_tool", json!({}));
        (answer["result"]["isError"] == true).then_some(())
    });
    for _ in 0..20 {
        assert!(refusal(&server.call("memory", json!({}))).contains("audit"));
        assert!(refusal(&server.call("no_such_tool", json!({}))).contains("audit"), "an unrecorded refusal");
    }
    // what is tried is as long as what failed; where a call has failed, it must not say that all is well, once what it said last is too old
    let said = eventually("it is not ready", || Some(ready(&server)).filter(|(status, _)| *status == 503)).1;
    assert_eq!((&said["ready"], &said["kernel"]), (&json!(false), &json!("ok")), "{said}");
    assert!(said["audit"].as_str().is_some_and(|why| why.starts_with("not ready")), "{said}");
    assert_eq!(server.ask(&Request::new("GET", "/healthz")).status, 200, "it is alive");
    assert_eq!(server.ask(&Request::post("{}")).status, 401, "and lets nobody in for it");

    drop(file);
    fs::remove_file(&filler).unwrap();
    eventually("it is ready again", || (ready(&server).0 == 200).then_some(()));
    assert_eq!(server.call("memory", json!({}))["result"]["isError"], false);
    let text = fs::read_to_string(&log).unwrap();
    let mut sequence = vec![];
    for line in text.lines() {
        sequence.push(serde_json::from_str::<Value>(line).expect("a whole record")["seq"].as_u64().unwrap());
    }
    assert_eq!(sequence, (1..=sequence.len() as u64).collect::<Vec<_>>(), "no gap and no torn record");
    assert!(server.is_running() && !server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn a_stream_that_takes_nothing_refuses_calls_too() {
    let scratch = Scratch::new();
    let key = Key::new("agent");
    scratch.write("tokens.ron", token_file(&[&key]));
    let port = Port::new();
    let directory = scratch.0.display();
    let config = format!("(listen: [\"{}\"], state_directory: \"{directory}\", audit: Stderr)", port.address);
    let config = scratch.write("config.ron", config).display().to_string();
    let program = Program::get();
    let mut command = program.command((1024, None));
    command.args(["serve", "--config", &config]).stdout(Stdio::null()).stderr(fs::File::create("/dev/full").unwrap());
    let mut child = command.spawn().unwrap();
    let stream = eventually("it listens", || std::net::TcpStream::connect(port.address).ok());
    let call = Request::call("memory", json!({})).token(key.text());
    let answer = crate::common::Wire::over(stream).ask(&call).rpc();
    let alive = child.try_wait().unwrap().is_none();
    let _ = child.kill();
    let _ = child.wait();
    assert!(refusal(&answer).contains("audit"), "{answer}");
    assert!(alive);
}

#[test]
fn a_log_that_is_no_file_is_refused_at_the_start() {
    let scratch = Scratch::new();
    let link = scratch.path("link");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    for sink in ["/dev/full", "/dev/null", &link.display().to_string(), "/nowhere/at/all/audit.jsonl"] {
        let said = run(&scratch, &["call", "memory", "--audit", sink]);
        assert_eq!(said.code, Some(1), "{sink}: {}", said.err);
        assert!(said.err.contains("--audit") && said.out.is_empty(), "{sink}: it says what to do: {}", said.err);
    }
}

#[test]
fn another_program_with_the_lock_does_not_hang_the_server() {
    let server = Server::new();
    server.call("memory", json!({}));
    let log = fs::File::open(server.scratch.path("state/audit.jsonl")).unwrap();
    log.lock().unwrap();
    // it is answered while the other still has the lock
    let answer = server.call("memory", json!({}));
    assert!(refusal(&answer).contains("audit"), "{answer}");
    log.unlock().unwrap();
    assert_eq!(server.call("memory", json!({}))["result"]["isError"], false);
}

#[test]
fn servers_that_share_a_log_keep_their_records_apart() {
    let config = |scratch: &Scratch| format!("audit: File(\"{}\")", scratch.path("shared.jsonl").display());
    let shared = Scratch::new();
    let servers: Vec<Server> = (0..3).map(|_| Setup { config: config(&shared), ..Setup::default() }.start()).collect();
    thread::scope(|scope| {
        for server in &servers {
            scope.spawn(|| (0..50).for_each(|_| drop(server.call("memory", json!({})))));
        }
    });
    let text = shared.read("shared.jsonl");
    let mut runs = std::collections::BTreeMap::<String, Vec<u64>>::new();
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).expect("a whole record");
        runs.entry(record["run"].as_str().unwrap().to_owned()).or_default().push(record["seq"].as_u64().unwrap());
    }
    assert_eq!(runs.len(), 3);
    assert!(runs.values().all(|sequence| *sequence == (1..=50).collect::<Vec<_>>()), "{runs:?}");
}
