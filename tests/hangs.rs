//! What hangs or floods in one lane of the running program, and another caller who is answered while it does.

use std::{fs, io::Write, thread, time::Duration};

use rights::scope::Scope;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::{Key, Request, Scratch, Server, Setup, Wire, eventually, ignored, needs_root};

/// Calls are given up after an hour, so that what hangs still does when the test looks.
const PATIENT: &str = "deadline_seconds: 3600, write: (per_minute: 6000), search: (per_minute: 6000)";

/// A file server that takes every question and answers none: a FUSE mount whose device nobody reads. Its questions end when the program
/// does, which has the device.
const DEAD: &str = "exec 9<>/dev/fuse
mkdir -p $SCRATCH/shown/dead
mount -i -t fuse -o fd=9,rootmode=40755,user_id=0,group_id=0,allow_other dead $SCRATCH/shown/dead";

/// Six tokens that may use files, and one that may only look at the machine.
fn keys() -> Vec<Key> {
    let files =
        (0..6).map(|number| Key::new(&format!("files {number}")).with_scopes(&[Scope::FilesRead, Scope::FilesWrite]));
    files.chain([Key::new("another").with_scopes(&[Scope::SystemRead])]).collect()
}

/// A server whose callers may see and change a directory.
fn server(mounts: Option<&'static str>) -> Server {
    let scratch = Scratch::new();
    let shown = scratch.path("shown");
    fs::create_dir(&shown).unwrap();
    let config = format!("files: (directories: [(path: {shown:?}, access: Rw, mounts: true)]),");
    Setup { keys: keys(), config, limits: PATIENT.to_owned(), mounts, scratch, ..Setup::default() }.start()
}

/// Calls `tool` as this one of the tokens, on a connection of its own; does not wait for the answer.
fn begin(server: &Server, token: usize, tool: &str, arguments: &Value) -> Wire {
    let mut wire = server.connect();
    wire.send(Request::call(tool, arguments.clone()).token(server.keys[token].text()).bytes()).unwrap();
    wire
}

/// How many threads of a lane there are.
fn threads(server: &Server, lane: &str) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid().as_raw_nonzero())).unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.trim() == lane).count()
}

fn until_so_many(server: &Server, lane: &str, count: usize) {
    eventually("its places are held", || (threads(server, lane) >= count).then_some(()));
}

/// Another caller is answered whatever it asks.
fn others_are_answered(server: &Server) {
    let another = server.keys.last().unwrap().text();
    for _ in 0..3 {
        for tool in ["overview", "memory", "disks", "processes"] {
            let answer = server.ask(&Request::call(tool, json!({})).token(another)).rpc();
            assert_eq!(answer["result"]["isError"], false, "{tool}: {answer}");
        }
        let list = server.ask(&Request::rpc("tools/list", json!({})).token(another)).rpc();
        assert!(list["result"]["tools"].is_array(), "{list}");
    }
}

#[test]
fn a_dead_file_server_takes_the_lanes_for_files_and_every_other_lane_answers() {
    if !needs_root() {
        return;
    }
    if !fs::exists("/dev/fuse").unwrap_or(false) {
        ignored("there is no /dev/fuse");
        return;
    }
    let mut server = server(Some(DEAD));
    let dead = server.scratch.path("shown/dead/file");
    let mut wires = vec![];
    for (lane, tool, arguments, share) in [
        ("files", "file_read", json!({ "path": dead }), 4),
        ("search", "file_find", json!({ "path": dead }), 2),
        ("write", "file_write", json!({ "path": dead, "content": "x", "create": true }), 8),
    ] {
        let callers = if lane == "files" { 4 } else { 2 };
        for token in 0..callers {
            wires.extend((0..share).map(|_| begin(&server, token, tool, &arguments)));
        }
        until_so_many(&server, lane, callers * share);
    }
    others_are_answered(&server);
    for (lane, held) in [("files", 16), ("search", 4), ("write", 16)] {
        assert_eq!(threads(&server, lane), held, "{lane}: they hang on");
    }
    // none of them was answered
    let tools: Vec<Value> = server.audit().iter().map(|record| record["tool"].clone()).collect();
    assert!(!tools.contains(&json!("file_read")) && !tools.contains(&json!("file_find")), "{tools:?}");
    // nor does the end wait for them
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
}

#[test]
fn four_hundred_checksums_of_one_token_leave_places_to_all_others() {
    let server = server(None);
    let huge = server.scratch.path("shown/huge");
    // a terabyte that takes no room: no machine is through with it in the 8 seconds that a checksum has
    fs::File::create(&huge).and_then(|file| file.set_len(1 << 40)).unwrap();
    fs::write(server.scratch.path("shown/small"), "small").unwrap();
    let arguments = json!({ "path": huge, "checksum": true });
    let wires: Vec<Wire> = (0..400).map(|_| begin(&server, 0, "file_info", &arguments)).collect();
    until_so_many(&server, "bulk", 1);
    others_are_answered(&server);
    // of the same lanes too
    let small = json!({ "path": server.scratch.path("shown/small"), "checksum": true });
    let answer = begin(&server, 1, "file_info", &small).answer().expect("an answer").rpc();
    assert_eq!(answer["result"]["isError"], false, "{answer}");
    drop(wires);
}

#[test]
fn twenty_four_thousand_lists_in_one_go_keep_no_other_from_its_answer() {
    let server = server(None);
    let lists = Request::rpc("tools/list", json!({})).token(server.keys[0].text()).bytes().repeat(40);
    let address = server.address;
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut held = vec![];
            for _ in 0..600 {
                let mut stream = Wire::tcp(address);
                stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
                // what the server does not take is its part of the bargain
                let _ = stream.write(&lists);
                held.push(stream);
            }
            held
        });
        others_are_answered(&server);
        let held = sending.join().unwrap();
        others_are_answered(&server);
        drop(held);
    });
}
