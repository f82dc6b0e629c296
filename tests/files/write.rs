//! What changes files: whole or not at all, whatever becomes of the disk, the rights and the server itself.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

use rights::scope::Scope;
use serde_json::{Value, json};
use text::{quote, unquote};

use super::said;
use crate::common::{
    Key, Request, Scratch, Server, Setup, USER, Wire, eventually, ignored, is_root, needs_root, refusal, words_of,
};

const OLD: &str = "old = 1\n";

/// A server whose callers may change what is in `rw`, which is the server's own user's.
fn server() -> Server {
    on(Scratch::new(), None)
}

fn on(scratch: Scratch, mounts: Option<&'static str>) -> Server {
    let rw = scratch.path("rw");
    fs::create_dir_all(&rw).unwrap();
    give(&rw);
    scratch.write("rw/f", OLD);
    let config = format!("files: (directories: [(path: {rw:?}, access: Rw, mounts: true)]),");
    let keys = vec![Key::new("agent").with_scopes(&[Scope::FilesRead, Scope::FilesWrite])];
    Setup {
        keys,
        config,
        limits: "write: (per_minute: 6000), search: (per_minute: 6000)".into(),
        mounts,
        scratch,
        ..Setup::default()
    }
    .start()
}

/// Makes it the server's.
fn give(path: &Path) {
    if is_root() {
        std::os::unix::fs::chown(path, Some(USER), Some(USER)).unwrap();
    }
}

fn path(server: &Server, name: &str) -> String {
    server.scratch.path(name).to_str().unwrap().to_owned()
}

/// What a call gives.
fn done(answer: &Value) -> &Value {
    assert_eq!(answer["result"]["isError"], false, "{answer}");
    &answer["result"]["structuredContent"]
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// As another program reckons it.
fn sha256(path: &str) -> String {
    said(&["sha256sum", path]).split_once(' ').unwrap().0.to_owned()
}

#[test]
fn a_file_is_written_and_its_hashes_are_in_the_answer_and_on_record() {
    let server = server();
    let new = path(&server, "rw/new");
    let answer = server.call("file_write", json!({ "path": new, "content": "one\n" }));
    let report = done(&answer);
    let one = sha256(&new);
    assert_eq!(
        (&report["created"], &report["sha256"], &report["sha256_before"]),
        (&json!(true), &json!(one), &json!(null))
    );
    assert_eq!(fs::metadata(&new).unwrap().mode() & 0o7777, 0o644);
    let arguments = json!({ "path": new, "content": "two\n", "if_unchanged": one });
    let answer = server.call("file_write", arguments.clone());
    let two = sha256(&new);
    assert_eq!((&done(&answer)["sha256_before"], &done(&answer)["sha256"]), (&json!(one), &json!(two)));
    // the second time it is another file
    let words = server.call("file_write", arguments);
    assert!(refusal(&words).starts_with("refused: ") && refusal(&words).contains(&two), "{words}");
    assert_eq!(fs::read_to_string(&new).unwrap(), "two\n");
    let again = server.call("file_write", json!({ "path": new, "content": "two\n" }));
    assert_eq!(done(&again)["changed"], false);
    let words = server.call("file_write", json!({ "path": new, "content": "three", "create": true }));
    assert!(refusal(&words).contains("exists"), "{words}");
    let records: Vec<(String, String)> = server
        .actions()
        .iter()
        .map(|record| (record["phase"].as_str().unwrap().into(), record["target"].as_str().unwrap_or("-").into()))
        .collect();
    let (first, second) = (format!("none..{one} {new:?}"), format!("{one}..{two} {new:?}"));
    for (at, (phase, target)) in
        [("attempt", &first), ("result", &first), ("attempt", &second), ("result", &second)].into_iter().enumerate()
    {
        assert_eq!((&*records[at].0, &records[at].1), (phase, target));
    }
    assert_eq!(records.len(), 6, "what was refused was never attempted, and what changed nothing was");
    let refused = server.audit().pop().unwrap();
    assert_eq!((&refused["tool"], &refused["kind"]), (&json!("file_write"), &json!("refused")), "{refused}");
    assert!(!server.audit_text().contains("three"), "the content is on record");
}

#[test]
fn an_edit_shows_what_it_changes_and_not_what_it_hides() {
    let server = server();
    let file = path(&server, "rw/app.conf");
    fs::write(&file, "user = me\npassword = hunter22\nport = 1\n").unwrap();
    give(Path::new(&file));
    let edit = |old: &str, new: &str, dry: bool| {
        server.call("file_edit", json!({ "path": file, "edits": [{ "old": old, "new": new }], "dry_run": dry }))
    };
    let dry = edit("port = 1", "port = 2", true);
    let before = sha256(&file);
    assert_eq!((&done(&dry)["sha256_before"], &done(&dry)["changed"]), (&json!(before), &json!(true)));
    let diff = json!(["@@ -1,3 +1,3 @@", " user = me", " password = [redacted]", "-port = 1", "+port = 2"]);
    assert_eq!(done(&dry)["diff"], diff);
    let wet = edit("port = 1", "port = 2", false);
    assert_eq!((&done(&wet)["diff"], &done(&wet)["sha256"]), (&diff, &done(&dry)["sha256"]));
    assert_eq!(done(&wet)["sha256"], json!(sha256(&file)));
    assert_eq!(done(&wet)["untrusted"], "diff");
    // whether a guess is right cannot be told
    let (right, wrong) = (edit("password = hunter22", "x", false), edit("password = hunter23", "x", false));
    assert_eq!(refusal(&right), refusal(&wrong));
    assert!(refusal(&edit("password", "note", false)).contains("would be seen"));
    for text in [words_of(&wet), &server.audit_text()] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "user = me\npassword = hunter22\nport = 2\n");
    // who writes back what was read would lose the secret
    let back = json!({ "path": file, "content": "user = me\npassword = [redacted]\nport = 3\n" });
    assert!(refusal(&server.call("file_write", back)).contains("file_edit"));
    fs::write(&file, b"caf\xe9\n").unwrap();
    let words = edit("caf", "x", false);
    assert!(refusal(&words).contains("not UTF-8 (byte 3)"), "{words}");
}

/// Every character of the answer costs as much as it can.
#[test]
fn a_difference_of_any_text_fits_into_an_answer() {
    let server = server();
    let file = path(&server, "rw/odd");
    for line in ["\\\"\\\"\\\"\\\"", "\u{1f9ff}\u{10348}\u{1f9ff}", "-\t-", "𒀀𒀁𒀂", "\u{7}\u{1b}x"] {
        fs::write(&file, format!("x{line}\n").repeat(20_000)).unwrap();
        give(Path::new(&file));
        let answer =
            server.call("file_edit", json!({ "path": file, "edits": [{ "old": "x", "new": "yy", "all": true }] }));
        assert!(done(&answer)["diff"].as_array().unwrap().last().unwrap().as_str().unwrap().starts_with('…'));
    }
}

#[test]
fn of_two_agents_that_have_read_the_same_one_writes() {
    let server = server();
    let file = path(&server, "rw/f");
    for round in 0..100 {
        let read = sha256(&file);
        let answers: Vec<Value> = thread::scope(|scope| {
            let write = |who: usize| {
                let content = format!("{round} by {who}\n");
                server.call("file_write", json!({ "path": file, "content": content, "if_unchanged": read }))
            };
            let all: Vec<_> = (0..2).map(|who| scope.spawn(move || write(who))).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let won: Vec<&Value> = answers.iter().filter(|answer| answer["result"]["isError"] == false).collect();
        assert_eq!(won.len(), 1, "in round {round}: {answers:?}");
        assert_eq!(done(won[0])["sha256"], json!(sha256(&file)));
    }
    assert_eq!(names(&server.scratch.path("rw")), ["f"]);
}

#[test]
fn things_are_moved_made_and_removed() {
    let server = server();
    let p = |name: &str| path(&server, name);
    let call = |tool: &str, arguments: Value| server.call(tool, arguments);
    let hash = sha256(&p("rw/f"));
    let words = call("directory_create", json!({ "path": p("rw/a/b") }));
    assert!(refusal(&words).starts_with("not_found: ") && refusal(&words).contains("parents: true"), "{words}");
    let made = call("directory_create", json!({ "path": p("rw/a/b"), "parents": true, "mode": "750" }));
    assert_eq!(done(&made)["created"], json!([p("rw/a"), p("rw/a/b")]));
    assert_eq!(fs::metadata(p("rw/a")).unwrap().mode() & 0o7777, 0o750);
    assert_eq!(done(&call("directory_create", json!({ "path": p("rw/a/b") })))["created"], json!([]));
    let moved = call("file_move", json!({ "path": p("rw/f"), "to": p("rw/a/b/g") }));
    assert_eq!((&done(&moved)["sha256"], &done(&moved)["kind"]), (&json!(hash), &json!("file")));
    fs::write(p("rw/h"), "two").unwrap();
    let words = call("file_move", json!({ "path": p("rw/h"), "to": p("rw/a/b/g") }));
    assert!(refusal(&words).contains("replace: true"), "{words}");
    let moved = call("file_move", json!({ "path": p("rw/h"), "to": p("rw/a/b/g"), "replace": true }));
    assert_eq!(done(&moved)["sha256_replaced"], json!(hash));
    assert_eq!(done(&call("file_move", json!({ "path": p("rw/a"), "to": p("rw/z") })))["entries"], 2);
    let words = call("file_move", json!({ "path": p("rw/z"), "to": p("rw/z/b/c") }));
    assert!(refusal(&words).starts_with("invalid: "), "{words}");
    // more than an empty directory goes only if it is known how much
    for (count, said) in [(json!(null), "count: 2"), (json!(1), "2 entries and not 1")] {
        let words = call("file_remove", json!({ "path": p("rw/z"), "count": count }));
        assert!(refusal(&words).starts_with("refused: ") && refusal(&words).contains(said), "{words}");
    }
    fs::create_dir(p("rw/z/.ssh")).unwrap();
    let words = call("file_remove", json!({ "path": p("rw/z"), "count": 3 }));
    assert!(refusal(&words).starts_with("forbidden: "), "{words}");
    let words = call("file_move", json!({ "path": p("rw/z"), "to": p("rw/y") }));
    assert!(refusal(&words).starts_with("forbidden: "), "{words}");
    fs::remove_dir(p("rw/z/.ssh")).unwrap();
    assert_eq!(done(&call("file_remove", json!({ "path": p("rw/z"), "count": 2 })))["entries"], 2);
    symlink("/etc/hostname", p("rw/link")).unwrap();
    assert_eq!(done(&call("file_remove", json!({ "path": p("rw/link") })))["kind"], "link");
    assert!(Path::new("/etc/hostname").exists() && names(&server.scratch.path("rw")).is_empty());
    let targets: Vec<String> =
        server.actions().iter().filter_map(|record| record["target"].as_str().map(str::to_owned)).collect();
    assert!(targets.iter().any(|target| target.contains(&hash) && target.contains("moved from")), "{targets:?}");
    assert!(targets.iter().any(|target| target.ends_with("and 2 entries below it")), "{targets:?}");
}

#[test]
fn what_has_more_names_or_is_no_file_is_said() {
    let server = server();
    let p = |name: &str| path(&server, name);
    fs::hard_link(p("rw/f"), p("rw/g")).unwrap();
    let words = server.call("file_write", json!({ "path": p("rw/f"), "content": "x" }));
    assert!(refusal(&words).contains("2 names"), "{words}");
    done(&server.call("file_write", json!({ "path": p("rw/f"), "content": "x", "break_links": true })));
    assert_eq!((server.scratch.read("rw/f"), server.scratch.read("rw/g")), ("x".into(), OLD.into()));
    symlink("g", p("rw/link")).unwrap();
    Command::new("mkfifo").arg(p("rw/fifo")).status().unwrap();
    fs::create_dir(p("rw/d")).unwrap();
    for (name, said) in [("rw/link", "symbolic link to g"), ("rw/fifo", "a FIFO"), ("rw/d", "a directory")] {
        let words = server.call("file_write", json!({ "path": p(name), "content": "x" }));
        assert!(refusal(&words).starts_with("forbidden: ") && refusal(&words).contains(said), "{words}");
    }
}

#[test]
fn a_name_of_any_bytes_is_changed_as_it_was_shown() {
    let server = server();
    let rw = server.scratch.path("rw");
    for name in [&b"bad\xff"[..], b"two\nlines", b"$'x'", "größe".as_bytes()] {
        let (there, shown) = (rw.join(OsStr::from_bytes(name)), quote(name));
        let at = |more: &str| format!("{}/{shown}{more}", rw.display());
        let called = |path: &str, tool: &str, more: Value| {
            let mut arguments = json!({ "path": path });
            arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let answer = server.call(tool, arguments);
            // the answer gives it back in a form that is taken again
            let said = done(&answer)["path"].as_str().unwrap().to_owned();
            assert_eq!(unquote(&said), unquote(path), "{tool}");
        };
        called(&at(""), "file_write", json!({ "content": "one\n" }));
        assert_eq!(fs::read(&there).unwrap(), b"one\n");
        called(&at(""), "file_edit", json!({ "edits": [{ "old": "one", "new": "two" }] }));
        assert_eq!(fs::read(&there).unwrap(), b"two\n");
        called(&at(""), "file_move", json!({ "to": format!("{}/g", rw.display()) }));
        called(&format!("{}/g", rw.display()), "file_move", json!({ "to": at("") }));
        called(&at(""), "file_remove", json!({}));
        assert!(!there.exists());
        called(&at("/a/b"), "directory_create", json!({ "parents": true }));
        assert!(there.join("a/b").is_dir());
        called(&at(""), "file_remove", json!({ "count": 2 }));
        assert!(!there.exists());
    }
    let log = server.audit_text();
    assert!(log.contains(r"bad\\xFF") && !log.contains('\u{fffd}'), "no two names are one in the log");
}

/// `strace` on a running server, ended when dropped.
struct Traced(Child);

impl Traced {
    fn new(server: &Server, inject: &str) -> Self {
        Self::with(server, &[&format!("--inject={inject}")])
    }

    /// Only of calls with the directory `rw`, and not with what is in it.
    fn of_rw(server: &Server, inject: &str) -> Self {
        Self::with(server, &[&format!("--inject={inject}"), &format!("--trace-path={}", path(server, "rw"))])
    }

    fn with(server: &Server, how: &[&str]) -> Self {
        // the first record makes the log known to its disk, with calls that are not meant here
        done(&server.call("directory_create", json!({ "path": path(server, "rw/d") })));
        let said = server.scratch.path("strace");
        let child = Command::new("strace")
            .args(["--follow-forks", "--output=/dev/null", &format!("--attach={}", server.pid().as_raw_nonzero())])
            .args(how)
            .stdin(Stdio::null())
            .stderr(fs::File::create(&said).unwrap())
            .spawn()
            .expect("strace");
        let traced = Self(child);
        eventually("strace is attached", || server.scratch.read("strace").contains("attached").then_some(()));
        traced
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // asked to end, it would wait for each thread of a process that was killed, and for its leader first
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// All that changes anything on the disk, but for the call that makes the new file, which `write` follows. Killed before each of these, a
/// server has been killed between every two steps.
const STEPS: [&str; 8] = ["write", "fchmod", "fsync", "renameat", "renameat2", "unlinkat", "mkdirat", "fdatasync"];

#[test]
fn a_server_killed_at_any_step_leaves_the_old_or_the_new_and_no_half_of_it() {
    if !needs_root() {
        return;
    }
    let new = "new = 2\n".repeat(20_000);
    type Left = fn(&Server, &str) -> bool;
    let whole: Left = |server, new| {
        let (text, there) = (server.scratch.read("rw/f"), server.scratch.path("rw/f"));
        let mode = fs::metadata(there).unwrap().mode() & 0o7777;
        (text == OLD || text == new) && mode == 0o600
    };
    let absent_or_whole: Left = |server, new| match fs::metadata(server.scratch.path("rw/new")) {
        Err(_) => true,
        Ok(stat) => server.scratch.read("rw/new") == new && stat.mode() & 0o7777 == 0o644,
    };
    let here_or_there: Left = |server, _| {
        let all = names(&server.scratch.path("rw"));
        (all == ["d", "f"] && server.scratch.read("rw/f") == OLD)
            || (all == ["d", "g"] && server.scratch.read("rw/g") == OLD)
    };
    let there_or_gone: Left = |server, _| {
        let all = names(&server.scratch.path("rw"));
        all == ["d"] || server.scratch.read("rw/f") == OLD
    };
    let made_or_not: Left = |server, _| {
        let all = names(&server.scratch.path("rw"));
        all == ["d", "f"] || all == ["d", "e", "f"]
    };
    let edits = json!([{ "old": "old = 1\n", "new": new }]);
    let calls: [(&str, Value, Left); 6] = [
        ("file_write", json!({ "path": "rw/f", "content": new }), whole),
        ("file_edit", json!({ "path": "rw/f", "edits": edits }), whole),
        ("file_write", json!({ "path": "rw/new", "content": new }), absent_or_whole),
        ("file_move", json!({ "path": "rw/f", "to": "rw/g" }), here_or_there),
        ("file_remove", json!({ "path": "rw/f" }), there_or_gone),
        ("directory_create", json!({ "path": "rw/e" }), made_or_not),
    ];
    let mut killed = std::collections::BTreeMap::new();
    for (tool, arguments, left) in calls {
        for step in STEPS {
            for time in 1.. {
                let server = server();
                let mut arguments = arguments.clone();
                for key in ["path", "to"] {
                    if let Some(name) = arguments[key].as_str() {
                        arguments[key] = path(&server, name).into();
                    }
                }
                let _traced = Traced::new(&server, &format!("?{step}:signal=KILL:when={time}"));
                let mut wire = Wire::to(server.address);
                // it may be killed before it has read all of this
                let sent = wire.send(Request::call(tool, arguments).token(server.token()).bytes());
                let answer = sent.ok().and_then(|()| wire.answer());
                assert!(
                    left(&server, &new),
                    "{tool}, killed at {step} {time}: {:?}",
                    names(&server.scratch.path("rw"))
                );
                for name in names(&server.scratch.path("rw")) {
                    assert!(
                        ["d", "e", "f", "g", "new"].contains(&&*name) || name.starts_with(".systemmanager-mcp."),
                        "{name}"
                    );
                }
                match answer {
                    Some(answer) => {
                        done(&answer.rpc());
                        break;
                    }
                    None => *killed.entry((tool, step)).or_insert(0) += 1,
                }
                assert!(time < 100, "{tool} never gets past its {step}");
            }
        }
    }
    for (tool, step) in [
        ("file_write", "renameat"),
        ("file_write", "fsync"),
        ("file_edit", "write"),
        ("file_move", "renameat2"),
        ("file_remove", "unlinkat"),
    ] {
        // where there is no renameat, there is renameat2
        assert!(
            killed.contains_key(&(tool, step)) || cfg!(target_arch = "aarch64"),
            "{tool} was never killed at {step}"
        );
    }
}

/// What a disk, a network or a quota may say at the last moment.
#[test]
fn what_the_disk_refuses_leaves_the_old_file_and_nothing_beside_it() {
    if !needs_root() {
        return;
    }
    for (inject, kind, said) in [
        ("fsync:error=ENOSPC:when=1", "refused", "no room"),
        ("fsync:error=EDQUOT:when=1", "refused", "quota"),
        ("fsync:error=EIO:when=1", "refused", "reports an error"),
        ("?renameat,?renameat2:error=EROFS", "refused", "read-only"),
        ("?renameat,?renameat2:error=EPERM", "denied", "may not be changed"),
        ("fchmod:error=EPERM", "denied", "may not be changed"),
    ] {
        let server = server();
        let traced = Traced::new(&server, inject);
        let answer = server.call("file_write", json!({ "path": path(&server, "rw/f"), "content": "new" }));
        drop(traced);
        let words = refusal(&answer);
        assert!(words.starts_with(&format!("{kind}: ")) && words.contains(said), "{inject}: {words}");
        assert_eq!(
            (server.scratch.read("rw/f"), names(&server.scratch.path("rw"))),
            (OLD.into(), vec!["d".into(), "f".into()]),
            "{inject}"
        );
    }
    // and what is said after the step was taken is told as such
    let server = server();
    let traced = Traced::of_rw(&server, "fsync:error=EIO");
    let answer = server.call("file_write", json!({ "path": path(&server, "rw/f"), "content": "new" }));
    assert!(done(&answer)["note"].as_str().unwrap().contains("did not confirm"), "{answer}");
    drop(traced);
    // a filesystem that has no locks for directories is written to all the same
    let _traced = Traced::of_rw(&server, "flock:error=EBADF");
    done(&server.call("file_write", json!({ "path": path(&server, "rw/f"), "content": "newer" })));
}

#[test]
fn a_full_disk_and_a_read_only_one_are_told_apart() {
    if !needs_root() {
        return;
    }
    let mounts = "mkdir \"$SCRATCH/rw/small\" \"$SCRATCH/rw/still\" \"$SCRATCH/rw/held\"
        mount -t tmpfs -o size=64k,mode=777 none \"$SCRATCH/rw/small\"
        echo old >\"$SCRATCH/rw/small/f\"; chown 65532:65532 \"$SCRATCH/rw/small/f\"
        echo old >\"$SCRATCH/rw/still/f\"
        mount --bind \"$SCRATCH/rw/still\" \"$SCRATCH/rw/still\"; mount -o remount,ro,bind \"$SCRATCH/rw/still\"
        touch \"$SCRATCH/rw/held/f\"; mount --bind \"$SCRATCH/rw/f\" \"$SCRATCH/rw/held/f\"; chown -R 65532:65532 \"$SCRATCH/rw/held\"
        mkdir -p \"$SCRATCH/rw/deep/bound\" \"$SCRATCH/elsewhere\"; touch \"$SCRATCH/elsewhere/f\"
        mount --bind \"$SCRATCH/elsewhere\" \"$SCRATCH/rw/deep/bound\"; chown -R 65532:65532 \"$SCRATCH/rw/deep\"";
    let server = on(Scratch::new(), Some(mounts));
    let within = |name: &str| format!("/proc/{}/root{}", server.pid().as_raw_nonzero(), path(&server, name));
    let write = |name: &str, content: &str| {
        server.call("file_write", json!({ "path": path(&server, name), "content": content }))
    };
    for (name, content) in [("rw/small/f", "x".repeat(100_000)), ("rw/small/g", "x".repeat(100_000))] {
        let words = write(name, &content);
        assert!(refusal(&words).starts_with("refused: there is no room left"), "{words}");
    }
    assert_eq!(names(Path::new(&within("rw/small"))), ["f"]);
    assert_eq!(fs::read_to_string(within("rw/small/f")).unwrap(), "old\n");
    done(&write("rw/small/f", "new"));
    for (tool, arguments) in [
        ("file_write", json!({ "path": path(&server, "rw/still/f"), "content": "x" })),
        ("file_write", json!({ "path": path(&server, "rw/still/g"), "content": "x" })),
        ("directory_create", json!({ "path": path(&server, "rw/still/d") })),
        ("file_remove", json!({ "path": path(&server, "rw/still/f") })),
        ("file_move", json!({ "path": path(&server, "rw/still/f"), "to": path(&server, "rw/still/g") })),
    ] {
        let words = server.call(tool, arguments);
        assert!(refusal(&words).starts_with("refused: ") && refusal(&words).contains("read-only"), "{tool}: {words}");
    }
    let words = server.call("file_move", json!({ "path": path(&server, "rw/f"), "to": path(&server, "rw/small/h") }));
    assert!(refusal(&words).starts_with("refused: ") && refusal(&words).contains("two filesystems"), "{words}");
    // a file that something is mounted on, and a directory with a filesystem in it
    for words in [
        write("rw/held/f", "x"),
        server.call("file_remove", json!({ "path": path(&server, "rw/held/f") })),
        server.call("file_remove", json!({ "path": path(&server, "rw/held"), "count": 1 })),
        server.call("file_remove", json!({ "path": path(&server, "rw/small"), "count": 1 })),
        server.call("file_remove", json!({ "path": path(&server, "rw/deep"), "count": 2 })),
        server.call("file_move", json!({ "path": path(&server, "rw/deep"), "to": path(&server, "rw/other") })),
    ] {
        let words = refusal(&words);
        assert!(words.starts_with("refused: ") || words.starts_with("forbidden: "), "{words}");
    }
    assert_eq!(server.scratch.read("rw/f"), OLD);
    assert_eq!(names(Path::new(&within("rw/small"))), ["f"]);
    assert_eq!(names(Path::new(&within("rw/deep/bound"))), ["f"]);
}

#[test]
fn a_quota_that_is_used_up_is_said_and_the_old_file_stays() {
    let has_btrfs = Command::new("mkfs.btrfs").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !has_btrfs {
        return ignored("there is no mkfs.btrfs");
    }
    if !needs_root() {
        return;
    }
    let mounts = "truncate -s 128M \"$SCRATCH/disk\"; mkfs.btrfs -q -M \"$SCRATCH/disk\"; mkdir \"$SCRATCH/rw/b\"
        mount -o loop \"$SCRATCH/disk\" \"$SCRATCH/rw/b\"; btrfs quota enable \"$SCRATCH/rw/b\"
        btrfs subvolume create \"$SCRATCH/rw/b/s\" >\"$SCRATCH/said\"; btrfs qgroup limit 128K \"$SCRATCH/rw/b/s\"
        echo old >\"$SCRATCH/rw/b/s/f\"; sync; chown -R 65532:65532 \"$SCRATCH/rw/b\"";
    let server = on(Scratch::new(), Some(mounts));
    let file = path(&server, "rw/b/s/f");
    let within = format!("/proc/{}/root{file}", server.pid().as_raw_nonzero());
    let words = server.call("file_write", json!({ "path": file, "content": "x".repeat(200_000) }));
    assert!(refusal(&words).starts_with("refused: the quota"), "{words}");
    assert_eq!(fs::read_to_string(&within).unwrap(), "old\n");
    assert_eq!(names(Path::new(&within).parent().unwrap()), ["f"]);
    done(&server.call("file_write", json!({ "path": file, "content": "new" })));
}

#[test]
fn what_the_server_may_not_change_is_denied_with_the_reason() {
    if !needs_root() {
        return;
    }
    let server = server();
    let p = |name: &str| path(&server, name);
    fs::create_dir(p("rw/closed")).unwrap();
    fs::write(p("rw/closed/f"), OLD).unwrap();
    fs::write(p("rw/theirs"), OLD).unwrap();
    fs::write(p("rw/secret"), OLD).unwrap();
    fs::set_permissions(p("rw/secret"), fs::Permissions::from_mode(0o600)).unwrap();
    for (tool, arguments, said) in [
        ("file_write", json!({ "path": p("rw/closed/f"), "content": "x" }), "uid 0, gid 0, mode 0755"),
        ("file_write", json!({ "path": p("rw/closed/g"), "content": "x" }), "uid 0, gid 0, mode 0755"),
        ("file_edit", json!({ "path": p("rw/closed/f"), "edits": [{ "old": "old", "new": "x" }] }), "mode 0755"),
        ("directory_create", json!({ "path": p("rw/closed/d") }), "mode 0755"),
        ("file_remove", json!({ "path": p("rw/closed/f") }), "mode 0755"),
        ("file_move", json!({ "path": p("rw/closed/f"), "to": p("rw/g") }), "mode 0755"),
        // its own directory, but whoever replaced the file would own it
        ("file_write", json!({ "path": p("rw/theirs"), "content": "x" }), "could not be given back"),
        ("file_write", json!({ "path": p("rw/secret"), "content": "x" }), "mode 0600"),
    ] {
        let words = server.call(tool, arguments);
        let words = refusal(&words);
        assert!(words.starts_with("denied: ") && words.contains(said), "{tool}: {words}");
    }
    assert_eq!(names(&server.scratch.path("rw")), ["closed", "f", "secret", "theirs"]);
    assert_eq!(
        (names(&server.scratch.path("rw/closed")), server.scratch.read("rw/theirs")),
        (vec!["f".into()], OLD.into())
    );
    // marked by chattr, where the filesystem can
    if !Command::new("chattr").arg("+i").arg(p("rw/f")).status().is_ok_and(|status| status.success()) {
        return ignored("of what is marked by chattr: this filesystem cannot");
    }
    let words: Vec<Value> = [
        ("file_write", json!({ "path": p("rw/f"), "content": "x" })),
        ("file_remove", json!({ "path": p("rw/f") })),
        ("file_move", json!({ "path": p("rw/f"), "to": p("rw/g") })),
    ]
    .into_iter()
    .map(|(tool, arguments)| server.call(tool, arguments))
    .collect();
    Command::new("chattr").arg("-i").arg(p("rw/f")).status().unwrap();
    for words in words {
        assert!(refusal(&words).starts_with("denied: ") && refusal(&words).contains("marked immutable"), "{words}");
    }
    assert_eq!(names(&server.scratch.path("rw")), ["closed", "f", "secret", "theirs"]);
}

#[test]
fn no_character_in_an_edit_uncovers_a_value_for_any_reader() {
    const VALUE: &str = "hunter2zebra99";
    const SIGNS: [&str; 12] = [
        "\u{200b}",
        "\u{ad}",
        "\u{2060}",
        "\u{feff}",
        "\u{202e}",
        "\u{2066}",
        "\u{e0041}",
        "\u{fe0f}",
        "\u{34f}",
        "\u{3164}",
        "\u{9b}0m",
        "\u{1b}[0m",
    ];
    let server = server();
    let file = path(&server, "rw/conf");
    for (text, name) in [
        (format!("password:\n    {VALUE}\n"), "password"),
        (format!("password: |\n  one\n  {VALUE}\n"), "password"),
        (format!("password = {VALUE}\n"), "password"),
        (format!("SetEnv DB_PASSWORD {VALUE}\n"), "DB_PASSWORD"),
        (format!("- name: DB_PASSWORD\n  value: {VALUE}\n"), "name"),
        (format!("- name: DB_PASSWORD\n  value: {VALUE}\n"), "DB_PASSWORD"),
        (format!("- name: DB_PASSWORD\n  value: {VALUE}\n"), "value"),
        (format!("kind: Secret\nstringData:\n  a: {VALUE}\n"), "Secret"),
        (format!("kind: Secret\nstringData:\n  a: {VALUE}\n"), "stringData"),
        (format!("-----BEGIN RSA PRIVATE KEY-----\n{VALUE}AbCdEfGh\n"), "PRIVATE"),
    ] {
        for sign in SIGNS {
            fs::write(&file, &text).unwrap();
            give(Path::new(&file));
            let (before, behind) = name.split_at(name.len() / 2);
            let edits = json!([{ "old": name, "new": format!("{before}{sign}{behind}") }]);
            let edited = server.call("file_edit", json!({ "path": file, "edits": edits }));
            let written = fs::read_to_string(&file).unwrap();
            for (tool, question) in [
                ("file_read", json!({})),
                ("file_grep", json!({ "pattern": "." })),
                ("file_grep", json!({ "pattern": "^[^:]*$", "context": 3 })),
            ] {
                let mut question = question;
                question["path"] = file.clone().into();
                let answer = server.call(tool, question);
                assert!(!answer.to_string().contains(VALUE), "{written:?}, {tool}: {answer}");
            }
            assert!(!edited.to_string().contains(VALUE), "{edited}");
        }
    }
}
