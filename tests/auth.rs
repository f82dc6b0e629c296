//! Who is let in, on which route, and what the rest learns: nothing.

use std::{fs, io::ErrorKind, net::TcpStream, os::unix::fs::PermissionsExt, process::Command};

use serde_json::json;

use crate::common::{
    Answer, Key, Program, Request, Server, Setup, USER, Wire, eventually, from, is_root, run, token_file,
};

/// CRC-32 as in zip, to make a token that is wrong in nothing but its secret.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// A token with this one's id and a secret of its own.
fn wrong_secret(key: &Key, number: usize) -> String {
    let body = format!("smcp_{}_{number:064x}", key.token.id());
    let text = format!("{body}_{:08x}", crc32(body.as_bytes()));
    assert!(auth::token::Token::parse(&text).is_ok(), "it must be wrong in nothing else");
    text
}

/// Every way not to be let in: what it is called in the audit log, and the headers.
fn bad_credentials(server: &Server) -> Vec<(&'static str, Vec<String>)> {
    let [good, expired, elsewhere] = &server.keys[..] else { panic!("three keys") };
    let bearer = |text: &str| format!("Bearer {text}");
    let mut wrong_crc = good.text().to_owned();
    wrong_crc.replace_range(wrong_crc.len() - 1.., if wrong_crc.ends_with('0') { "1" } else { "0" });
    vec![
        ("missing", vec![]),
        ("missing", vec![String::new()]),
        ("malformed", vec!["Bearer".to_owned()]),
        ("malformed", vec![bearer("nonsense")]),
        ("malformed", vec![bearer(&wrong_crc)]),
        ("malformed", vec![bearer(&good.text()[..good.text().len() - 1])]),
        ("malformed", vec![bearer(&good.text().to_uppercase())]),
        ("malformed", vec![bearer(&format!("{0} {0}", good.text()))]),
        ("malformed", vec![good.text().to_owned()]),
        ("malformed", vec![format!("Basic {}", good.text())]),
        ("malformed", vec![bearer(good.text()), bearer(good.text())]),
        ("malformed", vec![bearer(good.text()), bearer("nonsense")]),
        ("unknown", vec![bearer(Key::new("stranger").text())]),
        ("wrong", vec![bearer(&wrong_secret(good, 1))]),
        ("expired", vec![bearer(expired.text())]),
        ("source", vec![bearer(elsewhere.text())]),
    ]
}

fn guarded() -> Server {
    let keys = vec![Key::new("good"), Key::new("old").expired(), Key::new("far").only_from("192.0.2.0/24")];
    Setup { keys, ..Setup::default() }.start()
}

fn with(mut request: Request, credentials: &[String]) -> Request {
    for value in credentials {
        request = request.header("Authorization", value);
    }
    request
}

/// What a client sees, without what differs by itself.
fn seen(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let headers = answer.headers.iter().filter(|(name, _)| name != "date").cloned().collect();
    (answer.status, headers, answer.text())
}

#[test]
fn without_credentials_nothing_answers_but_whether_the_server_is_alive_and_ready() {
    let server = guarded();
    let bad = bad_credentials(&server);
    let routes = [
        "/mcp",
        "/readyz",
        "/healthz",
        "/",
        "/metrics",
        "/mcp/",
        "//mcp",
        "/MCP",
        "/mcp?x",
        "/healthz/",
        "/x/../healthz",
    ];
    for route in routes {
        for method in ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "FROB"] {
            let mut reference = None;
            for (kind, credentials) in &bad {
                let answer = server.ask(&with(Request::new(method, route), credentials));
                if route == "/healthz" {
                    let status = if ["GET", "HEAD"].contains(&method) { 200 } else { 405 };
                    assert_eq!(answer.status, status, "{method} {route}");
                    continue;
                }
                if route == "/readyz" && credentials.is_empty() {
                    let is_right = ["GET", "HEAD"].contains(&method);
                    assert_eq!(answer.status, if is_right { 200 } else { 405 }, "{method} {route}");
                    let word = if method == "GET" { "ready\n" } else { "" };
                    assert!(!is_right || answer.text() == word, "{method} {route}: {}", answer.text());
                    continue;
                }
                assert_eq!(answer.status, 401, "{method} {route} with {kind} credentials");
                assert!(
                    answer.header("www-authenticate").is_some_and(|way| way.starts_with("Bearer")),
                    "{method} {route}"
                );
                let seen = seen(&answer);
                assert_eq!(*reference.get_or_insert(seen.clone()), seen, "{method} {route} tells {kind} from others");
            }
        }
    }
    server.answers();
}

#[test]
fn the_log_knows_what_the_client_is_not_told() {
    let server = guarded();
    for (number, (kind, credentials)) in bad_credentials(&server).into_iter().enumerate() {
        let answer = server.ask(&with(Request::post("{}"), &credentials));
        assert_eq!(answer.status, 401, "{kind}");
        // nobody waits for the record of a refusal
        let record = eventually("it is on record", || server.audit().get(number).cloned());
        assert_eq!(record["kind"], kind, "{record}");
        assert_eq!(record["decision"], "denied", "{record}");
        assert_eq!(record["peer"], "127.0.0.1", "{record}");
        assert!(record.get("caller").is_none() && record.get("tool").is_none(), "nobody was recognized: {record}");
        let id = credentials.first().and_then(|value| value.strip_prefix("Bearer smcp_")).map(|rest| &rest[..8]);
        let shown = if ["missing", "malformed"].contains(&kind) { None } else { id };
        assert_eq!(record["token"].as_str(), shown, "{record}");
    }
}

#[test]
fn a_good_token_is_good_in_any_spelling_of_its_scheme() {
    let server = guarded();
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        let value = format!("{scheme} {}", server.token());
        let answer = server.ask(&Request::rpc("tools/list", json!({})).header("Authorization", &value));
        assert_eq!(answer.status, 200, "{scheme}: {}", answer.text());
    }
}

#[test]
fn a_token_in_any_other_place_is_none() {
    let server = guarded();
    let token = server.token().to_owned();
    let list = || Request::rpc("tools/list", json!({}));
    for (place, request) in [
        ("cookie", list().header("Cookie", &format!("Authorization=Bearer {token}"))),
        ("own header", list().header("X-Api-Key", &token)),
        ("proxy header", list().header("Proxy-Authorization", &format!("Bearer {token}"))),
        ("query", Request { target: format!("/mcp?access_token={token}&token={token}"), ..list() }),
        ("identity", list().header("Tailscale-User-Login", "root@example").header("X-Forwarded-For", "127.0.0.1")),
    ] {
        assert_eq!(server.ask(&request).status, 401, "{place}");
    }
}

#[test]
fn a_forwarded_address_is_not_the_callers() {
    let server = guarded();
    let request = Request::rpc("tools/list", json!({})).token(server.keys[2].text());
    let request = request.header("X-Forwarded-For", "192.0.2.1").header("X-Real-IP", "192.0.2.1");
    assert_eq!(server.ask(&request.header("Forwarded", "for=192.0.2.1")).status, 401);
}

#[test]
fn a_revoked_token_dies_and_no_other_does() {
    let server = Setup { keys: vec![Key::new("stays"), Key::new("goes")], ..Setup::default() }.start();
    let ask = |at: usize| server.ask(&Request::rpc("tools/list", json!({})).token(server.keys[at].text())).status;
    assert_eq!((ask(0), ask(1)), (200, 200));
    let file = server.scratch.path("tokens.ron").display().to_string();
    let said = run(&server.scratch, &["token", "revoke", "goes", "--token-file", &file]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    eventually("it is let in no more", || (ask(1) == 401).then_some(()));
    eventually("it is on record", || (server.audit().pop()?["kind"] == "unknown").then_some(()));
    assert_eq!(ask(0), 200);
}

#[test]
fn a_connection_that_stays_open_does_not_outlive_its_token() {
    let server = Setup { keys: vec![Key::new("goes")], ..Setup::default() }.start();
    let request = Request::rpc("tools/list", json!({})).token(server.token());
    let mut wire = server.connect();
    assert_eq!(wire.ask(&request).status, 200);
    server.scratch.write("tokens.ron", token_file(&[]));
    server.reload();
    assert_eq!(wire.ask(&request).status, 401);
}

/// In a directory that others may write to, anybody can put a token file of his own in its place.
#[test]
fn a_token_file_that_others_could_have_put_there_lets_nobody_in() {
    let server = Server::new();
    let (directory, file) = (server.scratch.0.clone(), server.scratch.path("tokens.ron"));
    let mode = |mode| fs::set_permissions(&directory, fs::Permissions::from_mode(mode)).unwrap();
    let before = fs::metadata(&directory).unwrap().permissions().mode();
    let evil = Key::new("evil");
    let old = server.scratch.read("tokens.ron");
    let is_in = |key: &str| server.ask(&Request::rpc("tools/list", json!({})).token(key)).status == 200;
    for bits in [0o777, 0o770, 0o702] {
        mode(bits);
        server.scratch.write("tokens.ron", token_file(&[&evil]));
        let said = server.reload();
        assert!(said.starts_with("failed") && said.contains("chmod go-w"), "{bits:o}: {said}");
        assert!(is_in(server.token()) && !is_in(evil.text()), "{bits:o}");
    }
    mode(before);
    if is_root() {
        // root may look at what belongs to the service, and not at what belongs to a third
        let list = || {
            let mut command = Command::new(&Program::get().path);
            command.args(["token", "list", "--token-file"]).arg(&file).output().unwrap()
        };
        assert!(list().status.success(), "{:?}", list());
        std::os::unix::fs::chown(&file, Some(USER + 1), None).unwrap();
        let said = String::from_utf8(list().stderr).unwrap();
        assert!(said.contains("belongs to uid 65533") && said.contains("chown"), "{said}");
    }
    server.scratch.write("tokens.ron", old);
    assert!(server.reload().starts_with("ok"));
}

#[test]
fn a_configuration_that_everybody_may_write_or_that_is_no_file_is_not_read() {
    let server = Server::new();
    let file = server.scratch.path("config.ron");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let said = server.reload();
    assert!(said.starts_with("failed") && said.contains("chmod o-w"), "{said}");
    // a FIFO that nobody writes to must not be waited for
    fs::remove_file(&file).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &file, rustix::fs::Mode::from_raw_mode(0o644)).unwrap();
    let said = server.reload();
    assert!(said.starts_with("failed") && said.contains("not a regular file"), "{said}");
    server.answers();
}

#[test]
fn what_a_token_may_not_do_is_not_there() {
    let server = Setup { keys: vec![Key::new("nothing").without_scopes()], ..Setup::default() }.start();
    let list = server.ask(&Request::rpc("tools/list", json!({})).token(server.token())).rpc();
    assert_eq!(list["result"]["tools"], json!([]));
    let real = server.call("memory", json!({}));
    let record = server.audit().pop().unwrap();
    assert_eq!((record["decision"].as_str(), record["tool"].as_str()), (Some("denied"), Some("memory")), "{record}");
    assert_eq!(record["caller"]["name"], "nothing", "{record}");
    assert!(record.get("outcome").is_none(), "it did not run: {record}");
    let unreal = server.call("mammoth", json!({}));
    assert!(real["error"]["code"].is_i64() && real.get("result").is_none(), "{real}");
    assert_eq!(real.to_string().replace("memory", "mammoth"), unreal.to_string(), "the tool shows by its refusal");
}

/// Whether nothing has come on it so far.
fn is_silent(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn bad_tokens_never_slow_a_good_one() {
    let keys = vec![Key::new("remembered").dear(), Key::new("unproven").dear(), Key::new("slow").that_takes_long()];
    let server = Setup { keys, ..Setup::default() }.start();
    server.answers();
    // answered before a bad one that came before them; on a machine where argon2 was through with it first, once more
    let mut numbers = 1_000..;
    eventually("20 good calls overtake a bad one", || {
        let bad = Wire::tcp(server.address);
        let mut wire = Wire::over(bad.try_clone().unwrap());
        let token = wrong_secret(&server.keys[2], numbers.next().unwrap());
        wire.send(Request::post("{}").token(&token).bytes()).unwrap();
        (0..20).for_each(|_| server.answers());
        let is_overtaken = is_silent(&bad);
        assert_eq!(wire.answer().expect("an answer").status, 401);
        is_overtaken.then_some(())
    });
    let mut attack: Vec<Wire> = (0..500)
        .map(|number| {
            let mut wire = server.connect();
            let token = wrong_secret(&server.keys[number % 2], number);
            wire.send(Request::post("{}").token(&token).bytes()).unwrap();
            wire
        })
        .collect();
    for _ in 0..20 {
        server.answers();
    }
    for wire in &mut attack {
        let answer = wire.answer().expect("an answer");
        match answer.status {
            401 => (),
            429 => assert!(answer.header("retry-after").is_some()),
            other => panic!("{other}: {}", answer.text()),
        }
    }
}

#[test]
fn who_knocks_with_bad_tokens_does_not_keep_a_newcomer_from_elsewhere_out() {
    let server = Setup { keys: vec![Key::new("known").dear(), Key::new("new").dear()], ..Setup::default() }.start();
    let attack: Vec<Wire> = (0..200)
        .map(|number| {
            let mut wire = server.connect();
            wire.send(Request::post("{}").token(&wrong_secret(&server.keys[0], number)).bytes()).unwrap();
            wire
        })
        .collect();
    let request = Request::rpc("tools/list", json!({})).token(server.keys[1].text());
    let answer = Wire::over(from("127.0.0.2:0", server.address)).ask(&request);
    assert_eq!(answer.status, 200, "{}", answer.text());
    drop(attack);
}
