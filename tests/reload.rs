//! What a server at work takes up of changed files, how it says so, and that a right that is taken away is gone at once.

use std::{
    fs,
    io::Write,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
};

use rustix::process::Signal;
use serde_json::json;

use crate::common::{Key, Request, Scratch, Server, Setup, eventually, run, token_file};

fn status(server: &Server, key: &Key) -> u16 {
    server.ask(&Request::rpc("tools/list", json!({})).token(key.text())).status
}

/// A directory that callers may see: `seen/a` and `seen/b`.
fn shown() -> (Scratch, String) {
    let scratch = Scratch::new();
    for directory in ["seen", "other"] {
        fs::create_dir_all(scratch.path(directory)).unwrap();
    }
    for name in ["seen/a", "seen/b"] {
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
        ("", "ok"),
        // these wait for a restart
        ("log: Debug,", "ok"),
        ("root: \"/somewhere\",", "ok"),
        // these are wrong
        ("no_such_key: \"hunter2\",", "failed"),
        ("docker: (running: 7),", "failed"),
        ("docker: (off: true, socket: \"/s\"),", "ok"),
        ("allowed_hosts: [\"http://hunter2\"],", "failed"),
        ("tls: (certificate: \"/nowhere\", key: \"/nowhere\"), plain_text: true,", "failed"),
        ("log: Info, log: Info,", "failed"),
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
            // a key that is not known may be the one that is not there
            let is_kept = narrowed.is_empty() && beside.contains("no_such");
            let (sees_a, sees_b) = if is_kept { (true, true) } else { (sees_a, sees_b) };
            assert!(said.contains("files.d") != is_kept, "{beside}: {said}");
            assert_eq!(
                (sees(&server, "seen/a"), sees(&server, "seen/b")),
                (sees_a, sees_b),
                "{narrowed}{beside}: {said}"
            );
            server.scratch.write("config.ron", &config);
            assert!(server.reload().starts_with("ok"));
            assert!(sees(&server, "seen/a") && sees(&server, "seen/b"), "what is given back is there");
        }
    }
    // a file that is none at all changes nothing, and says so
    for broken in ["(listen: hunter2", "", "\u{feff}()", "hunter2"] {
        server.scratch.write("config.ron", broken);
        let said = server.reload();
        assert!(said.starts_with("failed") && said.contains("config.ron:1:") && !said.contains("hunter2"), "{said}");
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
                said.starts_with("ok") && said.contains(&format!("waiting for a restart: {key}\n")),
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
fn nothing_is_opened_while_something_waits_or_is_wrong() {
    let (scratch, files) = shown();
    scratch.write("other/c", "content");
    let keys = vec![Key::new("agent").with_grants(&["files:read", "files:write"])];
    let server = Setup { scratch, config: files.clone(), keys, ..Setup::default() }.start();
    let config = server.scratch.read("config.ron");
    let at = |name: &str| server.scratch.path(name).display().to_string();
    let wider = files.replace("(path:", &format!("(path: {:?}, access: Rw), (path:", at("other")));
    let all = config.replace(&files, &wider);
    for (text, first) in [
        (all.replace("limits:", "root: \"/somewhere\", limits:"), "ok"),
        (all.replace("limits:", "listen: [\"127.0.0.1:0\"], limits:"), "failed"),
        (all.replace("limits:", "dokcer: (off: true), limits:"), "failed"),
        (all.replace("files: (", "files: (denny: [], "), "failed"),
        // the next start's tokens would lie where callers may write
        (all.replace("/tokens.ron", "/other/tokens.ron"), "ok"),
    ] {
        server.scratch.write("config.ron", text);
        let said = server.reload();
        assert!(
            said.starts_with(first) && said.contains("only where it takes rights away: files.directories\n"),
            "{said}"
        );
        assert!(!sees(&server, "other/c") && sees(&server, "seen/a"), "{said}");
    }
    // all of it can be: then it is
    server.scratch.write("config.ron", &all);
    let said = server.reload();
    assert!(said.starts_with("ok") && said.contains("changed, and in force: files.directories\n"), "{said}");
    assert!(sees(&server, "other/c") && sees(&server, "seen/a"));
    // what a restart will have for its own is kept from callers already
    server.scratch.write("config.ron", all.replace("/tokens.ron", "/other/tokens.ron"));
    assert!(server.reload().contains("waiting for a restart: token_file\n"));
    let evil = json!({ "path": at("other/tokens.ron"), "content": "[]", "mode": "create" });
    assert!(
        server.call("file_write", evil)["result"]["isError"] == true
            && !server.scratch.path("other/tokens.ron").exists()
    );
}

#[test]
fn names_that_are_taken_away_are_refused_on_connections_that_are_open() {
    let server = Setup { config: "allowed_hosts: [\"box.example\"],".to_owned(), ..Setup::default() }.start();
    let mut wire = server.connect();
    let request = Request::rpc("tools/list", json!({})).token(server.token()).with("Host", "box.example");
    assert_eq!(wire.ask(&request).status, 200);
    let config = server.scratch.read("config.ron");
    server.scratch.write("config.ron", config.replace("allowed_hosts: [\"box.example\"],", ""));
    assert!(server.reload().contains("in force: allowed_hosts\n"));
    assert_eq!(wire.ask(&request).status, 403);
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
    eventually("it is told", || server.log().contains("the tokens of before are still accepted").then_some(()));
    has("as before", [200, 401, 401]);
    // without the file nobody has a token
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
    assert!(revoked.out.contains("no longer accepts it"), "{}", revoked.out);
    assert_eq!(server.ask(&request).status, 401);
    // of another file this server knows nothing
    server.scratch.write("other.ron", token_file(&[&Key::new("other")]));
    let other = server.scratch.path("other.ron").display().to_string();
    let revoked = run(&server.scratch, &["token", "revoke", "other", "--token-file", &other]);
    assert!(revoked.code == Some(0) && revoked.out.contains("its token file is"), "{} {}", revoked.out, revoked.err);
}

#[test]
fn the_command_waits_and_tells() {
    let server = Server::new();
    let config = server.scratch.path("config.ron").display().to_string();
    let reload = || run(&server.scratch, &["reload", "--config", &config]);
    let said = reload();
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}", said.out);
    assert!(said.out.contains("tokens read: 1, of") && said.out.contains("no key has changed"), "{}", said.out);
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
    // of another file the server knows nothing
    server.scratch.write("other.ron", &text);
    let other = server.scratch.path("other.ron").display().to_string();
    let said = run(&server.scratch, &["reload", "--config", &other]);
    assert!(
        said.code == Some(1) && said.err.contains("the configuration of the running server is"),
        "{} {}",
        said.out,
        said.err
    );
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
    let said = run(&Scratch::new(), &["reload"]);
    assert_eq!(said.code, Some(1));
    assert!(
        said.err.contains("no server that this user may speak to") && said.err.contains("state/control.sock"),
        "{}",
        said.err
    );
}

#[test]
fn a_socket_that_a_killed_server_has_left_behind_is_no_server() {
    let mut server = Server::new();
    server.signal(Signal::KILL);
    server.wait();
    let config = server.scratch.path("config.ron").display().to_string();
    assert!(server.scratch.path("state/control.sock").exists());
    let said = run(&server.scratch, &["reload", "--config", &config]);
    assert!(said.code == Some(1) && said.err.contains("no server that this user may speak to"), "{}", said.err);
}

/// What the log says to mend is mended by itself afterwards.
#[test]
fn tokens_that_could_not_be_read_are_tried_again() {
    let server = Setup { keys: vec![Key::new("stays"), Key::new("goes")], ..Setup::default() }.start();
    let (stays, goes) = (&server.keys[0], &server.keys[1]);
    let mode = |mode| fs::set_permissions(&server.scratch.0, fs::Permissions::from_mode(mode)).unwrap();
    let before = fs::metadata(&server.scratch.0).unwrap().permissions().mode();
    mode(0o777);
    server.scratch.write("tokens.ron", token_file(&[stays]));
    eventually("it says what is wrong", || server.log().contains("chmod go-w").then_some(()));
    assert_eq!(status(&server, goes), 200);
    mode(before);
    eventually("it is read", || (status(&server, goes) == 401).then_some(()));
    assert_eq!(status(&server, stays), 200);
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
    assert!(server.reload().starts_with("ok"));
    server.answers();
}
