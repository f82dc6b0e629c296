//! What a caller's grants let, with the running program: what it lists, what it reaches, what it says and what is on record. Containers are in
//! docker/reach.rs.

use std::{fs, os::unix::fs::symlink};

use serde_json::{Value, json};

use crate::{
    common::{Key, Request, Scratch, Server, Setup, USER, is_root, refusal, run},
    files::{answer, failure},
};

/// Directories of a website, a file beside them, and links in and out.
fn site() -> Scratch {
    let scratch = Scratch::new();
    for directory in ["srv/www/shop", "srv/www/fixed", "srv/other"] {
        fs::create_dir_all(scratch.path(directory)).unwrap();
    }
    for file in ["srv/www/index", "srv/www/shop/cart", "srv/www/fixed/f", "srv/other/secret", "srv/www-old"] {
        scratch.write(file, "fine\n");
    }
    symlink(scratch.path("srv/other"), scratch.path("srv/www/out")).unwrap();
    symlink("shop/cart", scratch.path("srv/www/in")).unwrap();
    symlink(scratch.path("srv/www/index"), scratch.path("srv/other/back")).unwrap();
    if is_root() {
        for path in ["srv/www", "srv/www/index", "srv/www/shop", "srv/www/shop/cart", "srv/www/fixed", "srv/other"] {
            std::os::unix::fs::chown(scratch.path(path), Some(USER), Some(USER)).unwrap();
        }
    }
    scratch
}

/// A server that shows `srv` to be changed, but for `srv/www/fixed`. In a grant `@` stands for `srv`.
fn server(grants: &[&str]) -> Server {
    let scratch = site();
    let srv = scratch.path("srv");
    let config = format!("files: (directories: [(path: {srv:?}, access: Rw), (path: {:?})]),", srv.join("www/fixed"));
    let grants: Vec<String> = grants.iter().map(|grant| grant.replace('@', srv.to_str().unwrap())).collect();
    let grants: Vec<&str> = grants.iter().map(String::as_str).collect();
    let keys = vec![Key::new("agent").with_grants(&grants)];
    let limits = "write: (per_minute: 6000)".into();
    Setup { keys, config, limits, scratch, ..Setup::default() }.start()
}

fn at(server: &Server, name: &str) -> String {
    server.scratch.path("srv").join(name).display().to_string()
}

fn listed(server: &Server) -> Vec<Value> {
    let answer = server.ask(&Request::rpc("tools/list", json!({})).token(server.token())).rpc();
    answer["result"]["tools"].as_array().unwrap_or_else(|| panic!("{answer}")).clone()
}

#[test]
fn a_directory_is_read_and_nothing_beside_it() {
    let server = server(&["files:read=@/www"]);
    let read = |name: &str| server.call("file_read", json!({ "path": at(&server, name) }));
    for name in ["www/index", "www/shop/cart", "www/in", "www/fixed/f", "www//./index"] {
        assert_eq!(read(name)["result"]["isError"], false, "{name}: {}", read(name));
    }
    // whether it is there or not
    for name in ["other/secret", "other/none", "other/back", "www-old", "www/out/secret", "www/out", ".", ""] {
        let said = read(name);
        let why = refusal(&said);
        assert!(why.starts_with("not_granted: ") && why.contains("files:read="), "{name}: {why}");
    }
    for name in ["../state", "www/../other/secret"] {
        assert!(refusal(&read(name)).starts_with("invalid: "), "{name}");
    }
    let why = failure(&server, "file_read", json!({ "path": "/etc/passwd" }));
    assert!(why.contains("not_granted") && !why.contains("other"), "{why}");
    let found = answer(&server, "file_find", json!({ "path": at(&server, "www"), "pattern": "*" })).to_string();
    assert!(found.contains("cart") && !found.contains("secret"), "{found}");
    assert!(
        failure(&server, "file_grep", json!({ "path": at(&server, "."), "pattern": "fine" })).contains("not_granted")
    );
    assert!(failure(&server, "directory", json!({ "path": at(&server, "") })).contains("not_granted"));
    // where a link leads is told, as its text is in the directory; what is there is not
    let info = answer(&server, "file_info", json!({ "path": at(&server, "www/out") })).to_string();
    assert!(info.contains("not_granted") || info.contains("you hold no grant"), "{info}");
    let records = server.calls();
    let (let_pass, denied): (Vec<_>, Vec<_>) = records.iter().partition(|record| record["decision"] == "allowed");
    let grant = format!("files:read={}", at(&server, "www"));
    for record in let_pass.iter().filter(|record| record["outcome"] == "ok") {
        assert_eq!(record["grant"], grant, "{record}");
    }
    assert!(denied.len() > 8 && denied.iter().all(|record| record["kind"] == "not_granted"), "{denied:?}");
    assert!(denied.iter().all(|record| record.get("grant").is_none()));
}

#[test]
fn one_file_may_be_edited_and_nothing_else() {
    let server = server(&["files:write(edit)=@/www/index"]);
    let names: Vec<_> = listed(&server).into_iter().map(|tool| tool["name"].clone()).collect();
    assert_eq!(names, ["file_edit"]);
    let edit = |name: &str| {
        let edits = json!([{ "old": "fine", "new": "better" }]);
        server.call("file_edit", json!({ "path": at(&server, name), "edits": edits }))
    };
    for name in ["www/shop/cart", "www/in", "other/secret", "www", "www/index2"] {
        assert!(refusal(&edit(name)).starts_with("not_granted: "), "{name}: {}", edit(name));
    }
    assert_eq!(edit("www/index")["result"]["isError"], false, "{}", edit("www/index"));
    assert_eq!(server.scratch.read("srv/www/index"), "better\n");
    let grant = format!("files:write(edit)={}", at(&server, "www/index"));
    let records = server.actions();
    assert_eq!(records[0]["phase"], "attempt");
    assert!(records.iter().all(|record| record["grant"] == grant), "{records:?}");
    let said = server.call("file_remove", json!({ "path": at(&server, "www/index") }));
    assert!(said["error"]["message"].as_str().is_some_and(|why| why.contains("file_remove")), "{said}");
}

/// Grants never go beyond what the configuration lets everybody do.
#[test]
fn the_configuration_stays_the_limit() {
    let server = server(&["files:write=@", "files:read=/etc", "files:read=@/www"]);
    let write = |name: &str| server.call("file_write", json!({ "path": at(&server, name), "content": "new\n" }));
    assert_eq!(write("www/new")["result"]["isError"], false, "{}", write("www/new"));
    let fixed = write("www/fixed/new");
    assert!(refusal(&fixed).starts_with("forbidden: ") && refusal(&fixed).contains("may only be read"), "{fixed}");
    let beyond = failure(&server, "file_read", json!({ "path": "/etc/hostname" }));
    assert!(beyond.starts_with("forbidden: ") && beyond.contains("www"), "{beyond}");
    assert!(!beyond.contains("other"), "{beyond}");
    // a tool that only reads takes a right to read
    assert!(failure(&server, "file_read", json!({ "path": at(&server, "other/secret") })).starts_with("not_granted: "));
    // a thing is moved where both its names are granted
    let moved = json!({ "path": at(&server, "www/new"), "to": at(&server, "other/new") });
    assert_eq!(server.call("file_move", moved)["result"]["isError"], false);
    assert!(server.scratch.path("srv/other/new").exists());
}

#[test]
fn nothing_is_moved_in_or_out() {
    let server = server(&["files:write=@/www"]);
    for (from, to) in [("www/index", "other/index"), ("other/secret", "www/secret"), ("www", "www2"), ("www", "www/x")]
    {
        let said = server.call("file_move", json!({ "path": at(&server, from), "to": at(&server, to) }));
        assert_eq!(said["result"]["isError"], true, "{from} {to}: {said}");
    }
    let made = json!({ "path": at(&server, "www/a/b/c"), "parents": true });
    assert_eq!(
        server.call("directory_create", made.clone())["result"]["isError"],
        false,
        "{}",
        server.call("directory_create", made)
    );
    for path in ["other/a", "a/b"] {
        let said = server.call("directory_create", json!({ "path": at(&server, path), "parents": true }));
        assert!(refusal(&said).starts_with("not_granted: "), "{said}");
    }
    assert_eq!(server.scratch.read("srv/other/secret"), "fine\n");
}

#[test]
fn of_a_tools_actions_those_are_listed_that_are_granted() {
    for (grants, names, actions) in [
        (&["docker:control(restart)=web-*"][..], &["container_control"][..], json!(["restart"])),
        (
            &["docker:control(restart)=web-*", "docker:control(kill,start)=db"],
            &["container_control"],
            json!(["start", "restart", "kill"]),
        ),
        (
            &["docker:deploy(pull)", "docker:control=db"],
            &["container_control", "image_pull"],
            json!(["start", "stop", "restart", "pause", "unpause", "kill"]),
        ),
        (
            &["docker:deploy=db", "files:write(create,move)=/srv"],
            &["container_update", "container_run", "container_remove", "file_move", "directory_create"],
            Value::Null,
        ),
    ] {
        let server = Setup { keys: vec![Key::new("agent").with_grants(grants)], ..Setup::default() }.start();
        let tools = listed(&server);
        assert_eq!(tools.iter().map(|tool| &tool["name"]).collect::<Vec<_>>(), names, "{grants:?}");
        let control = tools.iter().find(|tool| tool["name"] == "container_control");
        let listed = control.map_or(&Value::Null, |tool| &tool["inputSchema"]["$defs"]["Action"]["enum"]);
        assert_eq!(*listed, actions, "{grants:?}");
    }
}

#[test]
fn a_caller_is_told_what_it_may() {
    let grants = ["docker:control(restart)=web-*", "system:read", "files:read=/srv/my files"];
    let server = Setup { keys: vec![Key::new("agent").with_grants(&grants)], ..Setup::default() }.start();
    let told = answer(&server, "identity", json!({}));
    assert_eq!(told["you_may"], json!(["system:read", "docker:control(restart)=web-*", "files:read=/srv/my files"]));
}

#[test]
fn a_token_is_made_and_listed_with_its_grants() {
    let scratch = Scratch::new();
    let file = scratch.path("tokens.ron").display().to_string();
    let new = |arguments: &[&str]| {
        let all = [&["token", "new", "agent", "--token-file", &file], arguments].concat();
        run(&scratch, &all)
    };
    let made =
        new(&["--allow", "docker:control(restart)=web-*", "--allow=files:read=/srv/www", "--scopes", "system:read"]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    let list = run(&scratch, &["token", "list", "--token-file", &file]);
    let may: Vec<&str> = list.out.lines().skip(2).map(str::trim).collect();
    assert_eq!(may, ["system:read", "docker:control(restart)=web-*", "files:read=/srv/www"], "{}", list.out);
    for (grant, told) in [
        ("docker:control(reboot)", "docker:control has no action \"reboot\"; it has start, stop"),
        ("docker:deploy(prune)=web", "grant it by itself, docker:deploy(prune)"),
        ("docker:read,docker:logs", "give --allow once for each grant"),
        ("system:read=web", "whole machine"),
        ("files:read=www", "expected an absolute path after files:read="),
        ("root", "there is no scope \"root\"; there is system:read"),
    ] {
        let said = new(&["--allow", grant]);
        assert!(
            said.code == Some(64) && said.err.contains("--allow: ") && said.err.contains(told),
            "{grant}: {}",
            said.err
        );
    }
    for (arguments, told) in [
        (&["--scopes", "docker:read=web"][..], "give a grant with actions or a target by --allow"),
        (
            &["--scopes", "docker:control", "--allow", "docker:control(stop)=web"],
            "gives nothing that docker:control does not",
        ),
        (&["--allow", "files:read=/srv", "--allow", "files:read"], "gives nothing that files:read does not"),
    ] {
        let said = new(arguments);
        assert!(said.code == Some(64) && said.err.contains(told), "{arguments:?}: {}", said.err);
    }
    let many: Vec<String> = (0..65).map(|number| format!("--allow=docker:read=web-{number}")).collect();
    let said = new(&many.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(said.code == Some(64) && said.err.contains("at most 64 grants, and here are 65"), "{}", said.err);
    // nothing of what was refused is in the file
    let list = run(&scratch, &["token", "list", "--token-file", &file]);
    assert_eq!(list.out.lines().count(), 5, "{}", list.out);
}

/// A call that needs two of them has both on record.
#[test]
fn what_a_call_needs_two_grants_for_is_on_record_by_both() {
    let server = server(&["files:write(move)=@/www", "files:write(move)=@/other", "files:read=@/other"]);
    let moved = json!({ "path": at(&server, "www/index"), "to": at(&server, "other/index") });
    assert_eq!(server.call("file_move", moved)["result"]["isError"], false);
    let both = format!("files:write(move)={}, files:write(move)={}", at(&server, "other"), at(&server, "www"));
    assert!(server.actions().iter().all(|record| record["grant"] == both), "{:?}", server.actions());
    // nothing goes elsewhere, and nothing comes from there
    for (tool, arguments) in [
        ("file_move", json!({ "path": at(&server, "www/shop"), "to": at(&server, "third") })),
        ("file_move", json!({ "path": at(&server, "third"), "to": at(&server, "www/x") })),
    ] {
        assert!(refusal(&server.call(tool, arguments)).starts_with("not_granted: "));
    }
    let said = server.call("file_write", json!({ "path": at(&server, "www/new"), "content": "" }));
    assert!(said["error"]["message"].is_string(), "{said}");
}
