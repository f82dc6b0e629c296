//! What a server at work takes up of changed files, how it says so, and that a right that is taken away is gone at once.

use std::{fs, io::Write, os::unix::net::UnixStream, path::Path};

use rustix::process::Signal;
use serde_json::json;

use crate::common::{Key, Request, Scratch, Server, Setup, eventually, run, token_file};

fn status(server: &Server, key: &Key) -> u16 {
    server.ask(&Request::rpc("tools/list", json!({})).token(key.text())).status
}

/// A directory that callers may see: `seen/a` and `seen/b`.
fn shown() -> (Scratch, String) {
    let scratch = Scratch::new();
    for name in ["seen/a", "seen/b"] {
        fs::create_dir_all(scratch.path("seen")).unwrap();
        scratch.write(name, "content");
    }
    let files = format!("files: (directories: [(path: \"{}\")]),", scratch.path("seen").display());
    (scratch, files)
}

fn sees(server: &Server, name: &str) -> bool {
    let path = server.scratch.path(name).display().to_string();
    let answer = server.call("file_read", json!({ "path": path }));
    answer["result"]["isError"] != true && answer.to_string().contains("content")
}

#[test]
fn a_right_that_is_taken_away_is_gone_whatever_else_stands_in_the_file() {
    let beside = [
        ("", "good"),
        // these wait for a restart
        ("log: Debug,", "good"),
        ("root: \"/somewhere\",", "good"),
        // these are wrong
        ("no_such_key: \"hunter2\",", "wrong"),
        ("docker: (running: 7),", "wrong"),
        ("docker: (off: true, socket: \"/s\"),", "wrong"),
        ("allowed_hosts: [\"http://hunter2\"],", "wrong"),
        ("tls: (certificate: \"/nowhere\", key: \"/nowhere\"), plain_text: true,", "wrong"),
        ("log: Info, log: Info,", "wrong"),
    ];
    let (scratch, files) = shown();
    let keys = vec![Key::new("agent").with_grants(&["files:read"])];
    let server = Setup { scratch, config: files.clone(), keys, ..Setup::default() }.start();
    let config = server.scratch.read("config.ron");
    assert!(sees(&server, "seen/a") && sees(&server, "seen/b"));
    for (beside, first) in beside {
        for (narrowed, sees_a, sees_b) in [
            (files.replace("])", "], deny: [\"a\"])"), false, true),
            ("files: (directories: []),".to_owned(), false, false),
            (String::new(), false, false),
        ] {
            server.scratch.write("config.ron", config.replace(&files, &format!("{narrowed}{beside}")));
            let said = server.reload();
            assert!(said.starts_with(first) && !said.contains("hunter2"), "{beside}: {said}");
            assert!(said.contains("in force: ") && said.contains("files.d"), "{beside}: {said}");
            assert_eq!(
                (sees(&server, "seen/a"), sees(&server, "seen/b")),
                (sees_a, sees_b),
                "{narrowed}{beside}: {said}"
            );
            server.scratch.write("config.ron", &config);
            assert!(server.reload().starts_with("good"));
            assert!(sees(&server, "seen/a") && sees(&server, "seen/b"), "what is given back is there");
        }
    }
    // a file that is none at all changes nothing, and says so
    for broken in ["(listen: hunter2", "", "\u{feff}()", "hunter2"] {
        server.scratch.write("config.ron", broken);
        let said = server.reload();
        assert!(said.starts_with("wrong") && said.contains("config.ron:1:") && !said.contains("hunter2"), "{said}");
        assert!(sees(&server, "seen/a"), "{broken}");
    }
}

#[test]
fn what_needs_a_restart_is_named_and_waits() {
    let server = Server::new();
    let config = server.scratch.read("config.ron");
    let with = |text: &str| config.replace("limits:", &format!("{text}, limits:"));
    let evil = Key::new("evil");
    server.scratch.write("elsewhere.ron", token_file(&[&evil]));
    for (key, text) in [
        ("log", with("log: Debug")),
        ("root", with("root: \"/somewhere\"")),
        ("audit", with("audit: Stderr")),
        ("listen", config.replace("127.0.0.1:0", "127.0.0.1:1")),
        ("plain_text", with("plain_text: true")),
        ("state_directory", config.replace("/state\"", "/elsewhere\"")),
        // they would be let in, and their file not be kept from callers
        ("token_file", config.replace("/tokens.ron", "/elsewhere.ron")),
    ] {
        server.scratch.write("config.ron", &text);
        for _ in 0..2 {
            let said = server.reload();
            assert!(
                said.starts_with("good") && said.contains(&format!("waiting for a restart: {key}\n")),
                "{key}: {said}"
            );
        }
        assert_eq!(status(&server, &evil), 401);
        server.answers();
    }
    server.scratch.write("config.ron", &config);
    assert!(!server.reload().contains("restart"));
}

#[test]
fn what_waits_opens_nothing_with_what_does_not() {
    let scratch = Scratch::new();
    let state = scratch.path("state").display().to_string();
    let server = Setup { scratch, ..Setup::default() }.start();
    // by itself the file is right: its state is elsewhere. Until then a container would be given this server's tokens
    let config = server.scratch.read("config.ron").replace("/state\"", "/elsewhere\"");
    let config =
        config.replace("limits:", &format!("docker: (binds: [\"{state}\"], update_privileged: true), limits:"));
    server.scratch.write("config.ron", config);
    let said = server.reload();
    assert!(
        said.starts_with("wrong") && said.contains("docker.binds stays as it was: a directory for containers may"),
        "{said}"
    );
    assert!(
        said.contains("restart: state_directory\n") && said.contains("in force: docker.update_privileged\n"),
        "{said}"
    );
}

#[test]
fn tokens_are_read_by_themselves_when_their_file_changes() {
    let server = Setup { keys: vec![Key::new("stays"), Key::new("goes")], ..Setup::default() }.start();
    let (stays, goes, newcomer) = (&server.keys[0], &server.keys[1], Key::new("newcomer"));
    let has = |what: &str, wanted: [u16; 3]| {
        eventually(what, || ([stays, goes, &newcomer].map(|key| status(&server, key)) == wanted).then_some(()));
    };
    has("as they are written", [200, 200, 401]);
    // written in place, as an editor may
    server.scratch.write("tokens.ron", token_file(&[stays, &newcomer]));
    has("one goes and one comes", [200, 401, 200]);
    // renamed over it, with a configuration that is no longer read at all
    server.scratch.write("config.ron", "(hunter2");
    server.scratch.write("next.ron", token_file(&[stays]));
    fs::rename(server.scratch.path("next.ron"), server.scratch.path("tokens.ron")).unwrap();
    has("who is not named is not let in", [200, 401, 401]);
    // what cannot be read says nothing of whom to let in
    server.scratch.write("tokens.ron", "[(id: \"hunter2\"");
    eventually("it is told", || server.log().contains("the tokens of before are still let in").then_some(()));
    has("as before", [200, 401, 401]);
    // without the file there are none
    fs::remove_file(server.scratch.path("tokens.ron")).unwrap();
    has("nobody is let in", [401, 401, 401]);
    // and one that leads elsewhere, as where a secret is mounted
    server.scratch.write("elsewhere.ron", token_file(&[goes]));
    std::os::unix::fs::symlink("elsewhere.ron", server.scratch.path("tokens.ron")).unwrap();
    has("by a link", [401, 200, 401]);
    server.scratch.write("elsewhere.ron", token_file(&[&newcomer]));
    has("behind the link", [401, 401, 200]);
    assert!(!server.log().contains("hunter2"));
}

#[test]
fn a_token_is_good_when_its_command_ends_and_no_longer_when_it_is_revoked() {
    let server = Server::new();
    let config = server.scratch.path("config.ron").display().to_string();
    let token = |arguments: &[&str]| run(&server.scratch, &[&["token"], arguments, &["--config", &config]].concat());
    let made = token(&["new", "laptop"]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    let request = Request::rpc("tools/list", json!({})).token(made.out.trim());
    assert_eq!(server.ask(&request).status, 200);
    let revoked = token(&["revoke", "laptop"]);
    assert!(revoked.out.contains("lets it in no more"), "{}", revoked.out);
    assert_eq!(server.ask(&request).status, 401);
    // of another file this server knows nothing
    server.scratch.write("other.ron", token_file(&[&Key::new("other")]));
    let other = server.scratch.path("other.ron").display().to_string();
    let revoked = run(&server.scratch, &["token", "revoke", "other", "--token-file", &other]);
    assert!(
        revoked.code == Some(0) && revoked.out.contains("the one at work reads"),
        "{} {}",
        revoked.out,
        revoked.err
    );
}

#[test]
fn the_command_waits_and_tells() {
    let server = Server::new();
    let config = server.scratch.path("config.ron").display().to_string();
    let reload = || run(&server.scratch, &["reload", "--config", &config]);
    let said = reload();
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}", said.out);
    assert!(said.out.contains("1 token is let in") && said.out.contains("nothing else has changed"), "{}", said.out);
    let text = server.scratch.read("config.ron");
    server.scratch.write("config.ron", text.replace("limits: (", "log: Warn, limits: (body_bytes: 1000, "));
    let said = reload();
    assert!(said.out.contains("waiting for a restart: log\n"), "{}", said.out);
    assert!(said.out.contains("in force: limits.body_bytes\n"), "{}", said.out);
    // it finds its server also where something is wrong in the file
    server.scratch.write("config.ron", text.replace("limits: (", "limits: (hunter2: 1, "));
    let said = reload();
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    assert!(said.err.contains("config.ron:1:") && !said.err.contains("hunter2"), "{}", said.err);
    // a signal does the same
    server.scratch.write("config.ron", &text);
    let before = server.log().len();
    server.signal(Signal::HUP);
    eventually("it is told", || {
        server.log()[before..].contains("reloaded: changed, and in force: limits").then_some(())
    });
}

#[test]
fn without_a_server_the_command_says_where_it_looked() {
    let scratch = Scratch::new();
    let said = run(&scratch, &["reload"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("no server listens at") && said.err.contains("state/control.sock"), "{}", said.err);
    // what a killed server leaves behind
    let (mut server, scratch) = (Server::new(), scratch);
    server.signal(Signal::KILL);
    server.wait();
    let config = server.scratch.path("config.ron").display().to_string();
    assert!(server.scratch.path("state/control.sock").exists());
    assert!(run(&server.scratch, &["reload", "--config", &config]).err.contains("no server listens at"));
    drop(scratch);
}

#[test]
fn who_says_nothing_or_nonsense_by_the_socket_keeps_nobody_from_it() {
    let server = Server::new();
    let socket = server.scratch.path("state/control.sock");
    let open = |socket: &Path| UnixStream::connect(socket).unwrap();
    let _silent = open(&socket);
    for nonsense in [&b""[..], b"\n", b"reload", b"reboot\n", b"\xff\xff\n", &[b'a'; 5000]] {
        // it may be gone before all is written
        let _ = open(&socket).write_all(nonsense);
    }
    assert!(server.reload().starts_with("good"));
    server.answers();
}
