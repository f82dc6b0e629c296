//! The one client at the other end of a pipe, when it is a bad one.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Stdio},
    sync::{Arc, mpsc},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::common::{PATIENCE, Program, Scratch, eventually, refusal, words_of};

/// The program on a pipe.
struct Piped {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
    scratch: Scratch,
    _program: Arc<Program>,
}

impl Piped {
    fn new() -> Self {
        let (scratch, program) = (Scratch::new(), Program::get());
        let mut command = program.command((1024, None));
        command.arg("stdio").env("STATE_DIRECTORY", scratch.path("state"));
        let stderr = std::fs::File::create(scratch.path("stderr")).unwrap();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let (said, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines() {
                if said.send(line.unwrap()).is_err() {
                    break;
                }
            }
        });
        Self { stdin: child.stdin.take(), child, lines, scratch, _program: program }
    }

    fn initialized() -> Self {
        let mut piped = Self::new();
        let client = json!({ "name": "hostile pipe", "version": "0" });
        let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client });
        let answer = piped.ask(0, "initialize", params);
        assert!(answer["result"]["capabilities"]["tools"].is_object(), "{answer}");
        piped.send(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        piped
    }

    /// Sends one line.
    fn send(&mut self, line: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(line).unwrap();
        stdin.write_all(b"\n").unwrap();
        stdin.flush().unwrap();
    }

    /// The next message. Every line of stdout must be one.
    fn message(&mut self) -> Value {
        let line =
            self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("silence; {}", self.scratch.read("stderr")));
        let message: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON on stdout: {line:?}"));
        assert_eq!(message["jsonrpc"], "2.0", "no JSON-RPC on stdout: {line}");
        message
    }

    /// The answer to one request; errors about what came before, which has no id, are passed over.
    fn ask(&mut self, id: i64, method: &str, params: Value) -> Value {
        self.send(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string().as_bytes());
        loop {
            let message = self.message();
            if message["id"] == id {
                return message;
            }
            assert!(
                message["error"].is_object() || message["method"].is_string(),
                "an answer nobody asked for: {message}"
            );
        }
    }

    fn call(&mut self, id: i64) -> Value {
        self.ask(id, "tools/call", json!({ "name": "memory", "arguments": {} }))
    }

    fn close(&mut self) -> Option<i32> {
        drop(self.stdin.take());
        self.code()
    }

    fn code(&mut self) -> Option<i32> {
        eventually("it ends", || self.child.try_wait().unwrap()).code()
    }

    fn audit(&self) -> Vec<Value> {
        self.scratch.read("state/audit.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_call_is_answered_and_recorded_as_stdio() {
    let mut piped = Piped::initialized();
    let answer = piped.call(1);
    assert!(words_of(&answer).contains("host: "), "{answer}");
    assert_eq!(answer["result"]["structuredContent"]["host"].as_str().map(str::is_empty), Some(false));
    let record = piped.audit().pop().unwrap();
    assert_eq!((&record["auth"], &record["caller"]["name"]), (&json!("stdio"), &json!("stdio")), "{record}");
    assert_eq!(record["client"]["name"], "hostile pipe", "{record}");
    assert!(record.get("peer").is_none(), "{record}");
    assert_eq!(piped.close(), Some(0));
}

#[test]
fn the_modern_form_needs_no_initialize() {
    let mut piped = Piped::new();
    let meta = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "t", "version": "1" }, "io.modelcontextprotocol/clientCapabilities": {} });
    let answer = piped.ask(1, "tools/call", json!({ "name": "memory", "arguments": {}, "_meta": meta }));
    assert_eq!(answer["result"]["isError"], false, "{answer}");
}

#[test]
fn lines_that_are_no_message_do_not_end_the_session() {
    let mut piped = Piped::initialized();
    let deep = "[".repeat(100_000);
    let lines: [&[u8]; 14] = [
        b"",
        b"   ",
        b"hello",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe\x00",
        b"\x00",
        b"{\"jsonrpc\":\"2.0\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"ping\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{}}",
        b"[{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"ping\"}]",
        deep.as_bytes(),
    ];
    for (number, line) in lines.iter().enumerate() {
        piped.send(line);
        let answer = piped.call(100 + number as i64);
        let shown = String::from_utf8_lossy(&line[..line.len().min(40)]).into_owned();
        assert_eq!(answer["result"]["isError"], false, "after {shown:?}: {answer}");
    }
    let bad = piped.ask(1, "tools/call", json!({ "name": "memory", "arguments": { "no": 1 } }));
    assert!(refusal(&bad).starts_with("invalid: "), "{bad}");
    assert_eq!(piped.close(), Some(0));
}

#[test]
fn a_line_of_a_mebibyte_does_not_end_the_session() {
    let mut piped = Piped::initialized();
    let long = "a".repeat(1 << 20);
    let answer = piped.ask(1, "tools/call", json!({ "name": "memory", "arguments": { "x": long } }));
    assert!(answer["error"].is_object() || answer["result"]["isError"] == true, "{}", answer.to_string().len());
    assert!(answer.to_string().len() < 10_000, "it sends back what it was sent");
    assert_eq!(piped.call(2)["result"]["isError"], false);
}

#[test]
fn the_end_within_a_message_is_the_end() {
    let mut piped = Piped::initialized();
    let stdin = piped.stdin.as_mut().unwrap();
    stdin.write_all(br#"{"jsonrpc":"2.0","id":1,"method":"tools/ca"#).unwrap();
    assert_eq!(piped.close(), Some(0), "{}", piped.scratch.read("stderr"));
    assert!(piped.audit().is_empty());
}

#[test]
fn the_end_before_anything_is_no_failure() {
    let mut piped = Piped::new();
    assert_eq!(piped.close(), Some(0), "{}", piped.scratch.read("stderr"));
}

#[test]
fn calls_sent_before_the_end_are_still_answered() {
    let mut piped = Piped::initialized();
    for id in 1..=20 {
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": "memory", "arguments": {} } });
        piped.send(call.to_string().as_bytes());
    }
    drop(piped.stdin.take());
    let mut answered: Vec<i64> = (0..20).map(|_| piped.message()["id"].as_i64().unwrap()).collect();
    answered.sort_unstable();
    assert_eq!(answered, (1..=20).collect::<Vec<_>>());
    assert_eq!(piped.code(), Some(0));
}

#[test]
fn it_ends_when_told_to_and_when_nobody_listens() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut piped = Piped::initialized();
        kill_process(Pid::from_child(&piped.child), signal).unwrap();
        // whoever sent the signal knows; what counts is that it ends, and soon
        let _ = piped.code();
    }
    let (scratch, program) = (Scratch::new(), Program::get());
    let mut command = program.command((1024, None));
    command.arg("stdio").env("STATE_DIRECTORY", scratch.path("state"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    let line = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }).to_string() + "\n";
    // it may be gone before all of them are written
    for _ in 0..10 {
        let _ = stdin.write_all(line.as_bytes());
    }
    drop(stdin);
    eventually("it ends without a reader", || child.try_wait().unwrap());
}

#[test]
fn its_scopes_are_what_the_command_line_says() {
    let scratch = Scratch::new();
    for (scopes, allowed) in [("system:read", true), ("", false)] {
        let said = crate::common::run(&scratch, &["call", "memory", &format!("--scopes={scopes}")]);
        if allowed {
            assert_eq!(said.code, Some(0), "{}", said.err);
        } else {
            assert_ne!(said.code, Some(0), "no scope at all: {}", said.out);
        }
    }
}

/// The error that answers a line which is no request.
fn refused(piped: &mut Piped, line: &[u8]) -> Value {
    piped.send(line);
    let message = piped.message();
    assert!(message["error"].is_object(), "{message}");
    message
}

#[test]
fn a_line_that_is_no_message_is_answered_with_why() {
    let mut piped = Piped::initialized();
    let many = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"x":[{}0]}}}}"#, "0,".repeat(70_000));
    let lines: [(&[u8], i64, Value); 11] = [
        (b"hello", -32700, Value::Null),
        (b"\xff\xfe", -32700, Value::Null),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\x00\"}", -32700, Value::Null),
        (
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"} {\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}",
            -32700,
            Value::Null,
        ),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"method\":\"tools/list\"}", -32700, Value::Null),
        (b"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]", -32600, Value::Null),
        (b"null", -32600, Value::Null),
        (b"{}", -32600, Value::Null),
        (b"{\"jsonrpc\":\"1.0\",\"id\":7,\"method\":\"ping\"}", -32600, json!(7)),
        (b"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"ping\"}", -32600, Value::Null),
        (many.as_bytes(), -32600, Value::Null),
    ];
    for (line, code, id) in lines {
        let answer = refused(&mut piped, line);
        let shown = String::from_utf8_lossy(&line[..line.len().min(60)]).into_owned();
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(code), &id), "{shown}: {answer}");
    }
    assert_eq!(piped.call(1)["result"]["isError"], false);
}

#[test]
fn a_line_that_is_too_long_is_refused_and_the_next_one_is_not() {
    let mut piped = Piped::initialized();
    let long = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"x":"{}"}}}}"#, "a".repeat(17_000_000));
    let answer = refused(&mut piped, long.as_bytes());
    let words = answer["error"]["message"].as_str().unwrap();
    assert!(answer["error"]["code"] == -32600 && words.contains("longer than"), "{answer}");
    assert_eq!(piped.call(2)["result"]["isError"], false);
}

#[test]
fn what_is_no_request_and_has_no_answer_has_none() {
    let mut piped = Piped::initialized();
    for line in [
        &b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/of/another/kind\"}"[..],
        b"{\"jsonrpc\":\"2.0\",\"method\":\"textDocument/didOpen\",\"params\":[1]}",
        b"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"Parse error\"}}",
        b"{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{}}",
        b"",
        b"\r",
    ] {
        piped.send(line);
    }
    // the first word after all of them is the answer to this
    piped.send(br#"{"jsonrpc":"2.0","id":9,"method":"ping"}"#);
    assert_eq!(piped.message()["id"], 9);
}

#[test]
fn a_session_that_has_begun_stays_what_it_is() {
    for version in ["x", "2026-07-28", "2025-06-18", "2025-11-25"] {
        let mut piped = Piped::initialized();
        let client = json!({ "name": "another", "version": "0" });
        let params = json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": client });
        let second = piped.ask(1, "initialize", params);
        assert_eq!(second["error"]["code"], -32600, "{version}: {second}");
        assert!(piped.ask(2, "ping", json!({}))["result"].is_object(), "{version}");
        let call = piped.call(3);
        assert!(call["result"].get("resultType").is_none(), "{version}: {call}");
        let record = piped.audit().pop().unwrap();
        assert_eq!(record["client"]["name"], "hostile pipe", "{version}");
    }
}

#[test]
fn an_id_that_waits_for_its_answer_is_not_taken_twice() {
    let mut piped = Piped::initialized();
    let call = br#"{"jsonrpc":"2.0","id":"same","method":"tools/call","params":{"name":"memory","arguments":{}}}"#;
    for _ in 0..20 {
        piped.send(call);
    }
    for _ in 0..20 {
        let message = piped.message();
        assert_eq!(message["id"], "same", "{message}");
        assert!(message["result"].is_object() || message["error"]["code"] == -32600, "{message}");
    }
    assert!(piped.ask(2, "ping", json!({}))["result"].is_object());
}
