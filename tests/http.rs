//! Bytes that no honest client sends, and half of those that one does.

use std::{net::Shutdown, thread, time::Duration};

use serde_json::{Value, json};

use crate::common::{Request, Server, Setup, Wire, eventually, refusal, words_of};

fn list() -> Request {
    Request::rpc("tools/list", json!({}))
}

/// A connection on which a new client was answered by a server that waits a second at most. One that was held up for so long on a busy
/// machine is sent away, and comes again.
fn answered(server: &Server) -> Wire {
    eventually("a new client is answered", || {
        let mut wire = server.connect();
        wire.send(list().token(server.token()).bytes()).ok()?;
        (wire.answer()?.status == 200).then_some(wire)
    })
}

/// The code of the JSON-RPC error in an answer.
fn code(answer: &Value) -> i64 {
    answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {answer}"))
}

#[test]
fn a_foreign_name_is_refused_with_the_key_to_set() {
    let server = Server::new();
    let list = list().token(server.token());
    for host in
        ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "user@localhost", "192.0.2.1", "evil.example:80"]
    {
        let answer = server.ask(&list.clone().with("Host", host));
        assert_eq!(answer.status, 403, "{host}");
        assert!(answer.text().contains("allowed_hosts"), "{host}: {}", answer.text());
    }
    for origin in
        ["https://evil.example", "null", "http://localhost.evil.example", "file://", "http://localhost@evil.example"]
    {
        let answer = server.ask(&list.clone().header("Origin", origin));
        assert_eq!(answer.status, 403, "{origin}");
        assert!(answer.text().contains("allowed_origins"), "{origin}: {}", answer.text());
        assert!(answer.header("access-control-allow-origin").is_none());
    }
    let two = list.clone().header("Origin", "http://localhost").header("Origin", "https://evil.example");
    assert_eq!(server.ask(&two).status, 403);
    assert_eq!(server.ask(&list.header("Origin", "http://localhost:3000")).status, 200);
    assert_eq!(server.audit().len(), 1, "only the one with the right names was asked for a token");
}

#[test]
fn a_name_in_the_config_is_let_in_and_its_neighbours_are_not() {
    let config = "allowed_hosts: [\"box.lan\"], allowed_origins: [\"https://ui.example\"]".to_owned();
    let server = Setup { config, ..Setup::default() }.start();
    let list = list().token(server.token());
    assert_eq!(server.ask(&list.clone().with("Host", "BOX.lan:8080")).status, 200);
    assert_eq!(server.ask(&list.clone().with("Host", "a.box.lan")).status, 403);
    assert_eq!(server.ask(&list.clone().header("Origin", "https://ui.example")).status, 200);
    assert_eq!(server.ask(&list.header("Origin", "https://ui.example.evil")).status, 403);
}

#[test]
fn a_request_has_one_host() {
    let server = Server::new();
    let list = list().token(server.token());
    for (what, request) in [
        ("none", list.clone().without("Host")),
        ("two", list.clone().header("Host", "localhost")),
        ("another", list.clone().header("Host", "evil.example")),
        ("empty", list.clone().with("Host", "")),
        ("odd", list.clone().with("Host", "local host")),
        ("in its target", Request { target: "http://evil.example/mcp".to_owned(), ..list.clone() }),
        ("as its target", Request { target: "evil.example:80".to_owned(), ..list.clone() }),
    ] {
        let answer = server.ask(&request);
        assert!([400, 403].contains(&answer.status), "{what}: {}", answer.status);
    }
    let absolute = Request { target: "http://localhost/mcp".to_owned(), ..list };
    assert_eq!(server.ask(&absolute).status, 200, "the absolute form is as good as the other");
}

#[test]
fn only_post_is_for_mcp() {
    let server = Server::new();
    for method in ["GET", "DELETE", "PUT", "PATCH", "OPTIONS", "HEAD"] {
        let answer = server.ask(&Request::new(method, "/mcp").token(server.token()));
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{method}");
    }
    assert_eq!(server.ask(&Request::new("GET", "/metrics").token(server.token())).status, 404);
    assert_eq!(server.ask(&Request::new("GET", "/readyz").token(server.token())).status, 200);
}

#[test]
fn a_head_that_never_ends_is_not_waited_for() {
    let server = Server::limited("header_seconds: 1, idle_seconds: 3600");
    let mut halves: Vec<Wire> = ["", "P", "POST /mcp HTTP/1.1\r\nHost: localhost\r\nX-", "GET /healthz HTTP/1.1\r\n"]
        .into_iter()
        .skip(1)
        .map(|half| {
            let mut wire = server.connect();
            wire.send(half).unwrap();
            wire
        })
        .collect();
    answered(&server);
    halves.iter_mut().for_each(Wire::is_closed);
}

#[test]
fn a_head_that_comes_byte_by_byte_is_not_waited_for_either() {
    let server = Server::limited("header_seconds: 1");
    let mut wire = server.connect();
    wire.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").unwrap();
    eventually("the connection is closed", || {
        thread::sleep(Duration::from_millis(50));
        wire.send("a").is_err().then_some(())
    });
    answered(&server);
}

#[test]
fn the_clock_of_a_head_runs_anew_for_each_request_of_a_connection() {
    let server = Server::limited("header_seconds: 1, idle_seconds: 3600");
    let mut wire = answered(&server);
    let request = list().token(server.token());
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(wire.ask(&request).status, 200, "to rest between requests is no half request");
    wire.send("POST /mcp HT").unwrap();
    wire.is_closed();
}

#[test]
fn an_idle_connection_is_closed_in_time() {
    let server = Server::limited("idle_seconds: 1");
    let mut silent = server.connect();
    let mut wire = answered(&server);
    silent.is_closed();
    wire.is_closed();
}

#[test]
fn a_body_that_never_ends_is_not_waited_for() {
    let server = Server::limited("body_seconds: 1");
    let whole = list().token(server.token()).bytes();
    let mut half = server.connect();
    half.send(&whole[..whole.len() - 5]).unwrap();
    let mut slow = server.connect();
    slow.send(&whole[..whole.len() - 60]).unwrap();
    answered(&server);
    let answer = half.answer().expect("words");
    assert_eq!(answer.status, 408, "{}", answer.text());
    half.is_closed();
    for byte in whole[whole.len() - 60..].iter().take(30) {
        // as if it were alive
        let _ = slow.send([*byte]);
        thread::sleep(Duration::from_millis(50));
    }
    assert!(slow.answer().is_none_or(|answer| answer.status == 408));
}

#[test]
fn a_body_that_breaks_off_is_no_call() {
    let server = Server::new();
    let whole = Request::call("memory", json!({})).token(server.token()).bytes();
    let stream = Wire::tcp(server.address);
    let mut wire = Wire::over(stream.try_clone().unwrap());
    wire.send(&whole[..whole.len() - 1]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(wire.answer().is_none_or(|answer| answer.status == 400));
    server.answers();
    assert!(server.calls().is_empty(), "{}", server.audit_text());
}

#[test]
fn a_body_is_as_long_as_it_is_allowed_to_be() {
    let server = Server::new();
    let most = 256 << 10;
    let padded = |length: usize| {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {} }).to_string();
        Request::post(format!("{body}{}", " ".repeat(length - body.len()))).token(server.token())
    };
    assert_eq!(server.ask(&padded(most)).status, 200);
    let answer = server.ask(&padded(most + 1));
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert_eq!(code(&answer.rpc()), -32600);
    assert!(answer.text().contains(&most.to_string()), "it says how long it may be: {}", answer.text());

    // in chunks there is no length to look at beforehand
    let mut chunked = padded(1000).without("Content-Length").header("Transfer-Encoding", "chunked");
    chunked.body = [b"8000\r\n".to_vec(), vec![b' '; 0x8000], b"\r\n".to_vec()].concat().repeat(9);
    chunked.body.extend(b"0\r\n\r\n");
    assert_eq!(server.ask(&chunked).status, 413);
    server.answers();
}

#[test]
fn a_body_far_too_long_is_refused_in_words_that_arrive() {
    let server = Server::new();
    for _ in 0..10 {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping", "params": { "x": "a".repeat(1 << 20) } });
        let answer = server.ask_raw(Request::post(body.to_string()).token(server.token()).bytes());
        assert_eq!(answer.map(|answer| answer.status), Some(413), "the answer was lost");
    }
    server.answers();
}

#[test]
fn a_length_too_long_is_refused_before_the_client_sends_it() {
    let server = Server::new();
    let mut request =
        list().token(server.token()).with("Content-Length", "1073741824").header("Expect", "100-continue");
    request.body.clear();
    let answer = server.ask(&request);
    assert_eq!(answer.status, 413, "{}", answer.text());
}

#[test]
fn more_than_was_said_is_another_request() {
    let server = Server::new();
    let mut request = list().token(server.token());
    request.body.extend(b"{\"jsonrpc\":\"2.0\"}");
    let mut wire = server.connect();
    assert_eq!(wire.ask(&request).status, 200);
    assert_eq!(wire.answer().map(|answer| answer.status), Some(400));
    wire.is_closed();
}

#[test]
fn what_two_readers_could_read_differently_is_refused_or_ends_the_connection() {
    let server = Server::new();
    let token = server.token();
    let line = |headers: &str, body: &str| {
        format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{headers}\r\n{body}")
    };
    let second = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let chunk = format!("0\r\n\r\n{second}");
    for (what, bytes) in [
        ("a length and chunks", line("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", &chunk)),
        ("chunks and a length", line("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", &chunk)),
        ("two lengths", line("Content-Length: 2\r\nContent-Length: 44\r\n", &format!("{{}}{second}"))),
        ("a list of lengths", line("Content-Length: 2, 44\r\n", &format!("{{}}{second}"))),
        ("a signed length", line("Content-Length: +2\r\n", &format!("{{}}{second}"))),
        ("a hexadecimal length", line("Content-Length: 0x2\r\n", &format!("{{}}{second}"))),
        ("a negative length", line("Content-Length: -1\r\n", second)),
        ("a length past all numbers", line("Content-Length: 99999999999999999999\r\n", second)),
        ("an unknown coding", line("Transfer-Encoding: xchunked\r\n", &chunk)),
        ("chunked not last", line("Transfer-Encoding: chunked, identity\r\n", &chunk)),
        ("no coding at all", line("Transfer-Encoding: identity\r\nContent-Length: 2\r\n", &format!("{{}}{second}"))),
        ("a coding with a tab", line("Transfer-Encoding:\tchunked\u{b}\r\n", &chunk)),
        ("a space before the colon", line("Content-Length : 2\r\n", &format!("{{}}{second}"))),
        ("a folded line", line("X-Folded: a\r\n b\r\nContent-Length: 2\r\n", &format!("{{}}{second}"))),
        ("a folded coding", line("Transfer-Encoding:\r\n chunked\r\n", &chunk)),
        ("a line that begins with a space", line(" Content-Length: 2\r\n", &format!("{{}}{second}"))),
        ("a bare CR", line("X: a\rContent-Length: 2\r\n", second)),
        ("a NUL", line("X: a\0b\r\n", second)),
        ("a chunk of no size", line("Transfer-Encoding: chunked\r\n", &format!("\r\n{second}"))),
        ("a chunk past all numbers", line("Transfer-Encoding: chunked\r\n", &format!("fffffffffffffffff\r\n{second}"))),
        ("a negative chunk", line("Transfer-Encoding: chunked\r\n", &format!("-1\r\n{second}"))),
        (
            "a chunk longer than it says",
            line("Transfer-Encoding: chunked\r\n", &format!("1\r\n{{}}\r\n0\r\n\r\n{second}")),
        ),
        ("chunks ended by LF", line("Transfer-Encoding: chunked\r\n", &format!("2\n{{}}\n0\n\n{second}"))),
        ("chunks in HTTP/1.0", line("Transfer-Encoding: chunked\r\n", &chunk).replacen("HTTP/1.1", "HTTP/1.0", 1)),
    ] {
        let mut wire = server.connect();
        // the end may come before all is sent
        let _ = wire.send(&bytes);
        if let Some(answer) = wire.answer() {
            assert_eq!(answer.status, 400, "{what}: {}", answer.text());
        }
        let next = wire.answer();
        assert!(next.is_none(), "{what}: what stood behind it was answered: {next:?}");
    }
    server.answers();
}

#[test]
fn lines_that_are_no_request_end_the_connection() {
    let server = Server::new();
    let long = "a".repeat(200_000);
    for (what, bytes) in [
        ("nothing of HTTP", b"\x00\x01\x02\x03\r\n\r\n".to_vec()),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(20)),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("HTTP/3.1", b"GET /healthz HTTP/3.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("HTTP/0.9", b"GET /healthz\r\n\r\n".to_vec()),
        ("two spaces", b"GET  /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("bytes above ASCII", b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("a long target", format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()),
        ("a long header", format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n").into_bytes()),
        (
            "many headers",
            format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(5000)).into_bytes(),
        ),
        ("a name with a space", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX Y: z\r\n\r\n".to_vec()),
    ] {
        let mut wire = server.connect();
        let _ = wire.send(&bytes);
        let status = wire.answer().map_or(400, |answer| answer.status);
        assert!((400..500).contains(&status), "{what}: {status}");
        assert!(wire.answer().is_none(), "{what}: the connection goes on");
    }
    server.answers();
}

#[test]
fn requests_in_one_go_are_answered_in_their_order() {
    let server = Server::new();
    let mut wire = server.connect();
    let all: Vec<u8> =
        (0..50).flat_map(|id| Request::modern(id, "tools/list", json!({})).token(server.token()).bytes()).collect();
    wire.send(all).unwrap();
    for id in 0..50 {
        let answer = wire.answer().expect("an answer");
        assert_eq!((answer.status, &answer.rpc()["id"]), (200, &json!(id)));
    }
}

#[test]
fn a_connection_is_kept_unless_the_client_does_not_want_it() {
    let server = Server::new();
    let request = list().token(server.token());
    let mut wire = server.connect();
    for _ in 0..10 {
        assert_eq!(wire.ask(&request).status, 200);
    }
    assert_eq!(wire.ask(&request.clone().header("Connection", "close")).status, 200);
    wire.is_closed();

    let old = String::from_utf8(request.bytes()).unwrap().replacen("HTTP/1.1", "HTTP/1.0", 1);
    let mut wire = server.connect();
    wire.send(&old).unwrap();
    assert_eq!(wire.answer().map(|answer| answer.status), Some(200));
    wire.is_closed();
    let nameless = old.replacen("Host: localhost\r\n", "", 1);
    assert_eq!(server.ask_raw(nameless).map(|answer| answer.status), Some(403), "HTTP/1.0 needs a Host too");
}

#[test]
fn a_body_is_json_and_the_client_takes_json() {
    let server = Server::new();
    let list = list().token(server.token());
    for (header, value, status) in [
        ("Content-Type", "text/plain", 415),
        ("Content-Type", "application/x-www-form-urlencoded", 415),
        ("Content-Type", "multipart/form-data", 415),
        ("Accept", "text/html", 406),
    ] {
        let answer = server.ask(&list.clone().with(header, value));
        assert_eq!(answer.status, status, "{header}: {value}: {}", answer.text());
    }
    assert_eq!(server.ask(&list.clone().without("Content-Type")).status, 415);
    assert_eq!(server.ask(&list.with("Content-Type", "application/json; charset=utf-8")).status, 200);
}

#[test]
fn a_body_that_is_no_json_is_a_parse_error() {
    let server = Server::new();
    let token = server.token();
    let inside = |text: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"memory","arguments":{text}}}}}"#)
            .into_bytes()
    };
    let mut broken = inside("{\"a\":\"x\"}");
    let at = broken.iter().position(|byte| *byte == b'x').unwrap();
    broken[at] = 0xff;
    for (what, body) in [
        ("nothing", vec![]),
        ("white space", b" \n ".to_vec()),
        ("half of it", b"{\"jsonrpc\":\"2.0\",\"id\":1".to_vec()),
        ("no JSON", b"hello".to_vec()),
        ("two of them", [inside("{}"), inside("{}")].concat()),
        ("invalid UTF-8", broken),
        ("UTF-16", inside("{}").into_iter().flat_map(|byte| [byte, 0]).collect()),
        ("a byte order mark", [b"\xef\xbb\xbf".to_vec(), inside("{}")].concat()),
        ("a trailing comma", inside("{\"a\":1,}")),
        ("NaN", inside("{\"a\":NaN}")),
        ("a control character", inside("{\"a\":\"\u{1}\"}")),
        ("half a surrogate", inside(r#"{"a":"\ud800"}"#)),
        ("deep arrays", inside(&("[".repeat(100_000) + &"]".repeat(100_000)))),
        ("deep objects", inside(&("{\"a\":".repeat(40_000) + "1" + &"}".repeat(40_000)))),
        ("a name twice", inside("{\"a\":1,\"a\":2}")),
        ("a method twice", br#"{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}"#.to_vec()),
        ("a name twice, escaped", inside(r#"{"a":1,"\u0061":2}"#)),
    ] {
        let answer = server.ask(&Request::post(&body).token(token));
        assert_eq!((answer.status, code(&answer.rpc())), (400, -32700), "{what}: {}", answer.text());
        assert!(answer.text().len() < 1000, "{what}: it quotes what it was sent");
    }
    server.answers();
    assert!(server.calls().is_empty(), "none of it was a call: {}", server.audit_text());
}

#[test]
fn json_that_is_no_message_is_an_invalid_request() {
    let server = Server::new();
    let token = server.token();
    for body in [
        "null",
        "1",
        "\"tools/list\"",
        "[]",
        "{}",
        r#"[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]"#,
        r#"[{"jsonrpc":"2.0","id":1,"method":"tools/list"},{"jsonrpc":"2.0","id":2,"method":"tools/list"}]"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"tools/list"}"#,
        r#"{"id":1,"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":[1],"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":1.5,"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":"memory"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["memory"]}"#,
    ] {
        let answer = server.ask(&Request::post(body).token(token));
        let got = (answer.status, code(&answer.rpc()));
        // a message of the right form with senseless parameters may also be told so
        assert!([(400, -32600), (400, -32602), (200, -32602)].contains(&got), "{body}: {got:?} {}", answer.text());
    }
    server.answers();
}

#[test]
fn a_call_of_the_wrong_form_is_refused_and_never_runs() {
    let server = Server::new();
    for params in [
        json!({}),
        json!({ "name": 7 }),
        json!({ "name": null }),
        json!({ "name": ["memory"] }),
        json!({ "arguments": {} }),
        json!({ "name": "memory", "arguments": [] }),
        json!({ "name": "memory", "arguments": "{}" }),
        json!({ "name": "memory", "arguments": 1 }),
    ] {
        let answer = server.ask(&Request::legacy(1, "tools/call", params.clone()).token(server.token()));
        assert!([200, 400].contains(&answer.status), "{params}: {}", answer.status);
        let rpc = answer.rpc();
        assert!(rpc["error"]["code"].is_i64() || rpc["result"]["isError"] == true, "{params}: {rpc}");
    }
    let answer = server.ask(&Request::legacy(1, "tools/call", json!({ "name": "" })).token(server.token()));
    assert_eq!(code(&answer.rpc()), -32602);
    server.answers();
}

#[test]
fn arguments_that_make_no_sense_are_answered_in_words() {
    let server = Server::new();
    let long = vec![0; 100_000];
    for (arguments, word) in [
        (json!({ "unit": "MB" }), "unit"),
        (json!({ "": 1 }), "unknown field"),
        (json!({ "nested": { "deep": [1, [2, [3]]] } }), "nested"),
        (json!({ "many": long }), "many"),
        (json!({ "__proto__": {} }), "__proto__"),
    ] {
        let answer = server.call("memory", arguments);
        let words = refusal(&answer);
        assert!(words.starts_with("invalid: ") && words.contains(word), "{words}");
        assert!(words.len() < 2_500, "{}", words.len());
    }
    let many: serde_json::Map<_, _> = (0..10_000).map(|number| (format!("argument{number}"), json!(number))).collect();
    assert!(refusal(&server.call("memory", many.into())).starts_with("invalid: "));
    let good = server.ask(&Request::legacy(1, "tools/call", json!({ "name": "memory" })).token(server.token())).rpc();
    assert!(words_of(&good).contains("host: "), "no arguments at all are as good as none: {good}");
}

#[test]
fn hostile_words_in_a_refusal_come_back_harmless() {
    let server = Server::new();
    for evil in ["\u{1b}[2J", "\u{202e}txt", "\u{200b}", "a\nb", "\u{7}", "\u{9b}31m"] {
        let argument = server.call("memory", json!({ evil: 1 }));
        let name = server.ask(&Request::legacy(1, "tools/call", json!({ "name": evil })).token(server.token())).rpc();
        for text in [refusal(&argument).to_owned(), name["error"]["message"].as_str().unwrap().to_owned()] {
            let bad = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{200b}".contains(c);
            assert!(!text.contains(bad), "{text:?}");
        }
    }
}

#[test]
fn ids_come_back_as_they_were_sent() {
    let server = Server::new();
    for id in
        [json!(0), json!(-1), json!(i64::MAX), json!(""), json!("1"), json!("é\u{1f600}"), json!("a".repeat(10_000))]
    {
        let answer = server.ask(&Request::modern(id.clone(), "tools/list", json!({})).token(server.token())).rpc();
        assert_eq!(answer["id"], id);
    }
}

#[test]
fn what_there_is_not_is_said_with_the_right_code() {
    let server = Server::new();
    let ask = |request: Request| server.ask(&request.token(server.token()));
    for method in ["tools/frob", "", "rpc.discover", "tools/list\n", "../tools/list", "logging/setLevel"] {
        let answer = ask(Request::legacy(1, method, json!({})));
        assert_eq!(code(&answer.rpc()), -32601, "{method:?}: {}", answer.text());
    }
    assert_eq!(code(&ask(Request::modern(1, "tools/frob", json!({}))).rpc()), -32601);
    for list in ["tools/list", "prompts/list", "resources/list", "resources/templates/list"] {
        for cursor in ["x", "", "0", "\u{0}", &"9".repeat(10_000)] {
            let answer = ask(Request::modern(1, list, json!({ "cursor": cursor })));
            assert_eq!(code(&answer.rpc()), -32602, "{list} {cursor:?}");
        }
    }
    let answer = ask(Request::modern(1, "tools/call", json!({ "name": "no_such_tool", "arguments": {} })));
    assert_eq!(code(&answer.rpc()), -32602, "{}", answer.text());
}

#[test]
fn headers_that_say_another_thing_than_the_body_are_refused() {
    let server = Server::new();
    let call = Request::call("memory", json!({})).token(server.token());
    for (what, request) in [
        ("another tool", call.clone().with("Mcp-Name", "overview")),
        ("no tool", call.clone().without("Mcp-Name")),
        ("another method", call.clone().with("Mcp-Method", "tools/list")),
        ("no method", call.clone().without("Mcp-Method")),
        ("another revision", call.clone().with("MCP-Protocol-Version", "2025-11-25")),
    ] {
        let answer = server.ask(&request);
        assert_eq!((answer.status, code(&answer.rpc())), (400, -32020), "{what}: {}", answer.text());
    }
    assert!(server.audit().is_empty(), "none of it ran: {}", server.audit_text());
    let answer = server.ask(&call.clone().with("MCP-Protocol-Version", "1999-01-01"));
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(server.ask(&call).status, 200);
}

#[test]
fn a_notification_or_an_answer_is_taken_and_not_answered() {
    let server = Server::new();
    for body in [
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#,
    ] {
        let answer = server.ask(&Request::post(body).token(server.token()));
        assert_eq!((answer.status, answer.body.len()), (202, 0), "{body}: {}", answer.text());
    }
    // nothing was asked, so an answer answers nothing
    let answer = server.ask(&Request::post(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).token(server.token()));
    assert!([202, 400].contains(&answer.status), "{}: {}", answer.status, answer.text());
    server.answers();
}

#[test]
fn a_thousand_kinds_of_noise_leave_it_standing() {
    let server = Server::new();
    let seed =
        Request::call("memory", json!({ "a": [1, 2.5, "x", null, { "b": true }] })).token(server.token()).bytes();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    for _ in 0..1000 {
        let mut bytes = seed.clone();
        for _ in 0..=random() % 4 {
            let at = random() % bytes.len();
            match random() % 4 {
                0 => bytes[at] = random() as u8,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, random() as u8),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let stream = Wire::tcp(server.address);
        let mut wire = Wire::over(stream.try_clone().unwrap());
        let _ = wire.send(&bytes);
        // what is cut short is not waited for
        let _ = stream.shutdown(Shutdown::Write);
        if let Some(answer) = wire.answer() {
            assert!(answer.status < 500, "{} {}: {:?}", answer.status, answer.text(), String::from_utf8_lossy(&bytes));
        }
    }
    server.answers();
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// A client on the same machine acknowledges late what is shorter than a segment, and a long answer would wait for that: 40 ms for each.
#[test]
fn segments_are_as_short_on_loopback_as_on_ethernet() {
    let server = Server::new();
    let stream = std::net::TcpStream::connect(server.address).unwrap();
    assert!(socket2::SockRef::from(&stream).tcp_mss().unwrap() <= 1460);
}
