//! What the server may not see is said to be denied; what goes away while it looks is no failure.

use std::{
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use serde_json::{Value, json};

use crate::common::{Server, USER, needs_root, refusal, words_of};

/// Process 1 is root's, and the server is not root.
#[test]
fn what_the_server_may_not_read_is_denied_and_not_left_out() {
    if !needs_root() {
        return;
    }
    let server = Server::new();
    assert!(
        std::fs::read_to_string(format!("/proc/{}/status", server.pid().as_raw_nonzero()))
            .unwrap()
            .contains(&format!("Uid:\t{USER}\t{USER}\t{USER}\t{USER}"))
    );
    let answer = server.call("process", json!({ "pid": 1 }));
    let structured = &answer["result"]["structuredContent"];
    assert_eq!(structured["pid"], 1, "{answer}");
    let denied: Vec<&str> =
        structured["denied"].as_array().unwrap().iter().map(|what| what.as_str().unwrap()).collect();
    for what in ["io", "open_files", "executable", "directory"] {
        assert!(denied.contains(&what), "{what} of process 1 was read, or left out: {structured}");
        assert_eq!(structured.get(what), Some(&Value::Null), "{what}: {structured}");
    }
    let words = words_of(&answer);
    assert!(words.contains("denied"), "the text says less: {words}");
    // and what anybody may read is there
    for what in ["name", "state", "user", "limits", "memory"] {
        assert!(!structured[what].is_null(), "{what}: {structured}");
    }
}

#[test]
fn of_its_own_process_nothing_is_denied() {
    let server = Server::new();
    let answer = server.call("process", json!({ "pid": server.pid().as_raw_nonzero().get() }));
    let structured = &answer["result"]["structuredContent"];
    assert_eq!(structured["denied"], json!({ "denied": [] })["denied"], "{structured}");
    assert!(structured["io"].is_object() && structured["open_files"].is_u64(), "{structured}");
}

#[test]
fn a_process_that_is_not_there_is_not_found() {
    let server = Server::new();
    let mut gone = Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    let words = server.call("process", json!({ "pid": gone.id() }));
    assert!(refusal(&words).starts_with("not_found: "), "{words}");
    for pid in [
        json!(0),
        json!(-1),
        json!(4_294_967_296_u64),
        json!("1"),
        json!(1.5),
        json!(null),
        json!("self"),
        json!("../1"),
    ] {
        let answer = server.call("process", json!({ "pid": pid }));
        let words = refusal(&answer);
        assert!(words.starts_with("invalid: ") || words.starts_with("not_found: "), "{pid}: {words}");
    }
    assert!(refusal(&server.call("process", json!({ "pid": u32::MAX }))).starts_with("not_found: "));
}

#[test]
fn processes_that_end_while_they_are_read_are_no_failure() {
    let server = Server::new();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let mut children: Vec<_> =
                        (0..8).map(|_| Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap()).collect();
                    for child in &mut children {
                        let _ = child.kill();
                        let _ = child.wait();
                    }
                }
            });
        }
        let looking = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for number in 0..200 {
                // other arguments each time, so that no answer is shared
                let answer = server.call("processes", json!({ "limit": 50 + number % 50 }));
                assert_eq!(answer["result"]["isError"], false, "{answer}");
                let rows = answer["result"]["structuredContent"]["processes"]["rows"].as_array().unwrap();
                assert!(!rows.is_empty());
                if number % 10 == 0 {
                    some_of_them(&server, &answer);
                }
            }
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = looking {
            std::panic::resume_unwind(panic);
        }
    });
    let log = server.log();
    assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
    assert!(server.kinds().iter().all(|kind| kind.is_empty() || kind == "not_found"), "{:?}", server.kinds());
}

/// Looks closely at those that were there a moment ago: there, or not found, and nothing else.
fn some_of_them(server: &Server, answer: &Value) {
    let table = &answer["result"]["structuredContent"]["processes"];
    let column = table["columns"].as_array().unwrap().iter().position(|name| name == "pid").unwrap();
    for row in table["rows"].as_array().unwrap().iter().rev().take(5) {
        let answer = server.call("process", json!({ "pid": row[column] }));
        if answer["result"]["isError"] == true {
            assert!(refusal(&answer).starts_with("not_found: "), "{answer}");
        }
    }
}
