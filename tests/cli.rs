//! The command line: what it says, and the exit code that says it to scripts.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::common::{
    Key, Port, Program, Request, Said, Scratch, Server, Setup, Wire, eventually, run, token_file, words,
};

#[test]
fn a_wrong_command_line_is_64_and_says_what_would_be_right() {
    let scratch = Scratch::new();
    for (arguments, word) in [
        (&["frob"][..], "serve"),
        (&["--frob"], "--frob"),
        (&["serve", "--listen", "8080"], "127.0.0.1:8080"),
        (&["serve", "--listen"], "--listen"),
        (&["serve", "--scopes", "root"], "system:read"),
        (&["serve", "--files", "srv"], "absolute path"),
        (&["stdio", "--files", "/srv/..:rw"], "without .."),
        (&["call", "memory", "{}", "--files", "/srv:wr"], ":ro or :rw"),
        (&["serve", "--config", "a", "--files", "/srv"], "--files"),
        (&["serve", "extra"], "extra"),
        (&["serve", "--config", "a", "--listen", "127.0.0.1:1"], "--listen"),
        (&["call"], "TOOL"),
        (&["call", "memory", "not json"], "JSON"),
        (&["call", "memory", "[]"], "JSON"),
        (&["token"], "token"),
        (&["token", "frob"], "token"),
        (&["token", "new"], "NAME"),
        (&["token", "new", "a", "--expires", "soon"], "90d"),
        (&["token", "new", "a", "--source", "192.0.2.1/8"], "network"),
        (&["check-config"], "FILE"),
        (&["healthcheck", "--config", "a", "--listen", "127.0.0.1:1"], "not both"),
    ] {
        let said = run(&scratch, arguments);
        assert_eq!(said.code, Some(64), "{arguments:?}: {}", said.err);
        assert!(said.out.is_empty(), "{arguments:?}: {}", said.out);
        assert!(said.err.contains(word), "{arguments:?} does not speak of {word}: {}", said.err);
    }
}

#[test]
fn help_and_version_are_asked_for_and_so_no_error() {
    let scratch = Scratch::new();
    for arguments in [&["--help"][..], &["help"], &["help", "serve"], &["serve", "--help"], &["token", "--help"]] {
        let said = run(&scratch, arguments);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(said.out.contains("--") || said.out.contains("serve"), "{arguments:?}: {}", said.out);
    }
    assert_eq!(run(&scratch, &["--version"]).out.trim(), concat!("systemmanager-mcp ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_wrong_config_is_78_and_names_the_place_and_no_value() {
    let scratch = Scratch::new();
    for (text, place, word) in [
        ("(\n  lisen: [],\n)", "2:", "listen"),
        ("(\n  limits: (machine: (running: 0)),\n)", "2:", "1 to 256"),
        ("(\n\n  root: \"hunter2\",\n)", "3:", "absolute path"),
        ("(\n  log: hunter2,\n)", "2:", "Info"),
        ("(\n  listen: [\"hunter2\"],\n)", "2:", "127.0.0.1:8080"),
        ("(\n  token_file: \"hunter2\",\n)", "2:", "absolute path"),
        ("(\n  files: (deny: [\"[hunter2\"]),\n)", "2:", "a name like"),
        ("(\n  files: (directories: [(path: \"hunter2\")]),\n)", "2:", "absolute path"),
        (
            "(\n  files: (directories: [(path: \"/srv\", access: Rw)]),\n  docker: (binds: [\"/srv/hunter2\"]),\n)",
            "3:",
            "link in its place",
        ),
        ("(\n\n  files: (directories: [(path: \"/hunter2\"), (path: \"/hunter2\")]),\n)", "3:", "the same directory"),
        ("hunter2", "1:", ""),
        ("", "1:", ""),
    ] {
        let file = scratch.write("config.ron", text).display().to_string();
        for command in [&["check-config", &file][..], &["serve", "--config", &file], &["stdio", "--config", &file]] {
            let said = run(&scratch, command);
            assert_eq!(said.code, Some(78), "{command:?}: {}", said.err);
            assert!(said.err.contains(&format!("{file}:{place}")), "{command:?}: {}", said.err);
            assert!(said.err.contains(word), "{text:?}: {}", said.err);
            assert!(!said.err.contains("hunter2") && !said.out.contains("hunter2"), "{text:?}: {}", said.err);
        }
    }
    let said = run(&scratch, &["check-config", "/nowhere/config.ron"]);
    assert_eq!(said.code, Some(78), "{}", said.err);
}

#[test]
fn the_example_config_is_good() {
    let scratch = Scratch::new();
    // the program's user need not be able to read the source
    let example = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("images/config.example.ron")).unwrap();
    let file = scratch.write("config.ron", example).display().to_string();
    let said = run(&scratch, &["check-config", &file]);
    assert_eq!((said.code, said.out.trim(), said.err.as_str()), (Some(0), "ok", ""));
}

#[test]
fn what_is_neither_is_1() {
    let scratch = Scratch::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = run(&scratch, &["serve", "--listen", &address]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.err.contains(&address), "{}", said.err);
    let said = run(&scratch, &["call", "no_such_tool"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("memory"), "it says which there are: {}", said.err);
    let said = run(&scratch, &["call", "memory", "{\"no\": 1}"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("invalid: "), "{}", said.err);
    let said = run(&scratch, &["serve", "--root", "/nowhere"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
}

#[test]
fn call_prints_both_forms() {
    let scratch = Scratch::new();
    let text = run(&scratch, &["call", "memory"]);
    assert_eq!(text.code, Some(0), "{}", text.err);
    assert!(text.out.starts_with("host: "), "{}", text.out);
    let said = run(&scratch, &["call", "memory", "{}", "--json"]);
    let structured: Value = serde_json::from_str(&said.out).unwrap();
    assert!(structured["total_bytes"].is_u64());
    let record: Value = serde_json::from_str(scratch.read("state/audit.jsonl").lines().next().unwrap()).unwrap();
    assert_eq!((&record["auth"], &record["tool"]), (&json!("local"), &json!("memory")), "{record}");
}

#[test]
fn call_may_do_what_it_is_told_it_may_whatever_a_config_says() {
    let scratch = Scratch::new();
    let config = scratch.write("config.ron", format!("(state_directory: {:?})", scratch.path("state")));
    let config = config.to_str().unwrap();
    let call = |more: &[&str]| run(&scratch, &[&["call", "file_write", "{}", "--config", config], more].concat());
    let said = call(&[]);
    let wanted = "needs a grant of files:write";
    assert!(
        said.code == Some(1) && said.err.contains(wanted) && said.err.contains("--scopes system:read,"),
        "{}",
        said.err
    );
    let said = call(&["--scopes", "files:write"]);
    assert!(said.code == Some(1) && said.err.contains("invalid: file_write: missing field `path`"), "{}", said.err);
    let said = run(&scratch, &["call", "file_writ"]);
    assert!(said.code == Some(1) && said.err.contains("there is no tool \"file_writ\""), "{}", said.err);
    // the place of what is wrong is told, however deep it is
    let edit = r#"{ "path": "/srv/x", "edits": [{ "old": "a", "new": "b" }, { "old": 3, "new": "" }] }"#;
    let said = run(&scratch, &["call", "file_edit", edit, "--scopes", "files:write"]);
    assert!(said.err.contains("file_edit: edits[1].old: invalid type: integer `3`, expected a string"), "{}", said.err);
}

#[test]
fn a_reader_who_goes_is_no_error() {
    let scratch = Scratch::new();
    let program = Program::get();
    let mut command = program.command((1024, None));
    command.args(["tools", "--markdown"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    drop(scratch);
}

#[test]
fn tools_are_listed_for_people_and_for_the_readme() {
    let scratch = Scratch::new();
    let server = Setup { keys: vec![Key::new("all").with_all_scopes()], ..Setup::default() }.start();
    let list = server.ask(&Request::rpc("tools/list", json!({})).token(server.token())).rpc();
    let names: Vec<&str> =
        list["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    let plain = run(&scratch, &["tools"]);
    let first: Vec<&str> = plain.out.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(first, names);
    let table = run(&scratch, &["tools", "--markdown"]).out;
    assert!(table.starts_with("| tool | scope |"), "{table}");
    let rows: Vec<&str> = table.lines().skip(2).collect();
    assert_eq!(rows.len(), names.len());
    for (row, name) in rows.iter().zip(names) {
        assert!(row.starts_with(&format!("| `{name}` | `")) && row.ends_with(". |"), "{row}");
        assert_eq!(row.replace("\\|", "").matches('|').count(), 4, "{row}");
    }
}

/// The one test that pays for a real hash.
#[test]
fn a_token_is_made_used_listed_and_revoked() {
    let server = Server::new();
    let file = server.scratch.path("tokens.ron").display().to_string();
    let token = |arguments: &[&str]| run(&server.scratch, &[&["token"], arguments, &["--token-file", &file]].concat());
    let made = token(&["new", "laptop", "--expires", "1h", "--source", "127.0.0.0/8"]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    let text = made.out.trim();
    assert!(
        made.err.is_empty() && text.starts_with("smcp_") && made.out.lines().count() == 1,
        "a script takes the line"
    );
    let stored = server.scratch.read("tokens.ron");
    assert!(stored.contains("$argon2id$v=19$m=19456,t=2,p=1$") && !stored.contains(&text[14..78]), "{stored}");

    let status = || server.ask(&Request::rpc("tools/list", json!({})).token(text)).status;
    eventually("the server lets it in", || (status() == 200).then_some(()));

    let list = token(&["list"]);
    assert!(
        list.out.contains("laptop") && list.out.contains("127.0.0.0/8") && list.out.contains(&text[5..13]),
        "{}",
        list.out
    );
    assert!(!list.out.contains(&text[14..30]) && !list.out.contains("argon2"), "{}", list.out);

    let revoked = token(&["revoke", &text[5..13]]);
    assert_eq!(revoked.code, Some(0), "{}", revoked.err);
    eventually("the server lets it in no more", || (status() == 401).then_some(()));
    let again = token(&["revoke", "laptop"]);
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("no token"), "{}", again.err);
}

#[test]
fn a_token_file_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    let file = scratch.write("tokens.ron", "[]");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let said = run(&scratch, &["token", "list", "--token-file", &file.display().to_string()]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("chmod 600"), "{}", said.err);
}

/// A pipe that takes nothing, as nobody reads it. Kept open by the first of the two.
fn stuck() -> (std::io::PipeReader, std::io::PipeWriter) {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let (reader, mut writer) = std::io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    while writer.write(&[0; 4096]).is_ok() {}
    while writer.write(&[0]).is_ok() {}
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let scratch = Scratch::new();
    let key = Key::new("agent");
    scratch.write("tokens.ron", token_file(&[&key]));
    let port = Port::new();
    let (address, state) = (port.address, scratch.0.display());
    let config = format!("(listen: [\"{address}\"], state_directory: \"{state}\", log: Trace)");
    let config = scratch.write("config.ron", config).display().to_string();
    let (_reader, writer) = stuck();
    let mut command = Program::get().command((1024, None));
    command.args(["serve", "--config", &config]).stdout(Stdio::null()).stderr(writer.try_clone().unwrap());
    let mut child = command.spawn().unwrap();
    let answered = std::panic::catch_unwind(|| {
        eventually("it listens", || std::net::TcpStream::connect(address).ok());
        for _ in 0..100 {
            let mut wire = Wire::to(address);
            assert_eq!(wire.ask(&Request::new("GET", "/healthz")).status, 200);
            assert_eq!(wire.ask(&Request::post("{}")).status, 401);
            let call = Request::call("memory", json!({})).token(key.text());
            assert_eq!(wire.ask(&call).rpc()["result"]["isError"], false);
        }
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    });
    let ended = answered.is_ok().then(|| eventually("it ends all the same", || child.try_wait().unwrap()));
    let _ = child.kill();
    let _ = child.wait();
    assert!(ended.expect("answers").success());

    // nor does it keep a program that has nothing more to do than to say why
    let mut command = Program::get().command((1024, None));
    let mut child = command.args(["check-config", "/nowhere"]).stderr(writer).spawn().unwrap();
    let ended = eventually("it ends", || child.try_wait().unwrap());
    assert_eq!(ended.code(), Some(78));
}

#[test]
fn a_stranger_does_not_fill_the_log() {
    let server = Server::limited("connections: 4");
    let (words, token) = ("too many connections", server.token());
    let head = format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n");
    let began = std::time::Instant::now();
    // they are busy, and so do not make room
    let mut busy = vec![];
    eventually("it says that it has too many", || {
        let mut wire = server.connect();
        let _ = wire.send(format!("{head}Content-Length: 9\r\n\r\n"));
        busy.push(wire);
        server.log().contains(words).then_some(())
    });
    (0..500).for_each(|_| drop(server.connect()));
    let log = eventually("it counts the rest", || Some(server.log()).filter(|log| log.contains("left out")));
    let lines = log.lines().filter(|line| line.contains(words)).count() as u64;
    // five and a count in each second that began
    assert!(lines <= 6 * (began.elapsed().as_secs() + 3), "{log}");
}

#[test]
fn doctor_says_line_by_line_what_works() {
    let scratch = Scratch::new();
    let said = run(&scratch, &["doctor"]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    for line in ["ok    config: ", "ok    audit log: ", "ok    /proc: ", "rights: ", "open files: ", "clock: "] {
        assert!(said.out.contains(line), "{line}: {}", said.out);
    }
    if crate::common::is_root() {
        assert!(said.out.contains("less  other processes: "), "process 1 is root's: {}", said.out);
    }
    let config = scratch.write("config.ron", "(lisen: [])").display().to_string();
    let said = run(&scratch, &["doctor", "--config", &config]);
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(said.out.contains("BAD   config: ") && said.out.contains("config.ron:1:"), "{}", said.out);
    let said = run(&scratch, &["doctor", "--root", &scratch.0.display().to_string()]);
    assert_eq!(said.code, Some(1), "{}", said.out);
}

#[test]
fn doctor_says_which_directories_may_be_seen_and_what_they_lack() {
    let scratch = Scratch::new();
    let files = |arguments: &[&str]| -> Vec<String> {
        let said = run(&scratch, &[&["doctor"], arguments].concat());
        assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
        said.out
            .lines()
            .filter(|line| line.contains(" files: ") && !line.contains("open files"))
            .map(str::to_owned)
            .collect()
    };
    let trial = files(&[]);
    assert_eq!(trial.len(), 4, "{trial:?}");
    for directory in ["/var/log (ro)", "/etc (ro)"] {
        assert!(trial.contains(&format!("ok    files: {directory}")), "{trial:?}");
    }

    let here = scratch.0.display().to_string();
    let told = files(&["--files", &format!("{here}:rw"), "--files", "/nowhere", "--files=/proc:ro"]);
    assert_eq!(told[0], format!("ok    files: {here} (rw)"));
    assert!(told[1].starts_with("less  files: /nowhere (ro) cannot be opened: "), "{told:?}");
    assert!(told[2].starts_with("less  files: /proc (ro) is on a filesystem that "), "{told:?}");

    let config = scratch.write("config.ron", format!("(state_directory: \"{here}/state\")")).display().to_string();
    assert_eq!(files(&["--config", &config]), ["less  files: no directory is allowed"]);
}

#[test]
fn doctor_changes_nothing_and_says_whose_the_audit_log_is() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let scratch = Scratch::new();
    let owner = format!("uid {}", fs::metadata(&scratch.0).unwrap().uid());
    let audit_log = || {
        let said = run(&scratch, &["doctor"]);
        said.out.lines().find(|line| line.contains("audit log: ")).expect("a line about it").to_owned()
    };
    let line = audit_log();
    assert!(line.starts_with("ok ") && line.contains("not there yet") && line.contains(&owner), "{line}");
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 0, "it made something");

    run(&scratch, &["call", "memory"]);
    let (log, before) = (scratch.path("state/audit.jsonl"), scratch.read("state/audit.jsonl"));
    let line = audit_log();
    assert!(line.starts_with("ok ") && line.contains("audit.jsonl") && line.contains(&owner), "{line}");
    assert_eq!(scratch.read("state/audit.jsonl"), before);

    fs::set_permissions(&log, fs::Permissions::from_mode(0o400)).unwrap();
    let line = audit_log();
    assert!(line.starts_with("BAD ") && line.contains(&owner), "{line}");
    fs::remove_file(&log).unwrap();
    std::os::unix::fs::symlink("/dev/null", &log).unwrap();
    let line = audit_log();
    assert!(line.starts_with("BAD ") && line.contains("regular file"), "{line}");
    if crate::common::is_root() {
        // made by root before the service first ran
        fs::remove_file(&log).unwrap();
        fs::write(&log, "").unwrap();
        fs::set_permissions(&log, fs::Permissions::from_mode(0o666)).unwrap();
        let line = audit_log();
        assert!(line.starts_with("less ") && line.contains("uid 0") && line.contains(&owner), "{line}");
    }
}

/// Asks until a live server has answered in time: a check waits for three seconds, which a busy machine may use up.
pub(crate) fn healthy(what: &str, check: impl Fn() -> Said) {
    eventually(what, || {
        let said = check();
        let is_late = said.err.contains("no answer within");
        assert!(is_late || (said.code, said.out.trim()) == (Some(0), "healthy"), "{}{}", said.out, said.err);
        (!is_late).then_some(())
    });
}

#[test]
fn a_health_check_tells_a_live_server_from_a_dead_one() {
    let (scratch, port) = (Scratch::new(), Port::new());
    let address = port.address.to_string();
    let mut server = Setup { listen: address.clone(), ..Setup::default() }.start();
    let check = || run(&scratch, &["healthcheck", "--listen", &address]);
    healthy("it is healthy", check);
    server.signal(Signal::TERM);
    server.wait();
    let said = check();
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("not healthy") && said.err.contains(&address), "{}", said.err);

    // something else at that place: one that says nothing, and one that is not well
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let check = || run(&scratch, &["healthcheck", "--listen", &other.local_addr().unwrap().to_string()]);
    let said = check();
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(said.err.contains("no answer within"), "{}", said.err);
    drop(other.accept().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = other.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&mut stream).read_line(&mut line).unwrap();
            stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").unwrap();
            // until it has read that
            let _ = stream.read_to_end(&mut vec![]);
        });
        let said = check();
        assert_eq!(said.code, Some(1), "{}", said.out);
        assert!(said.err.contains("200"), "{}", said.err);
    });
}

#[test]
fn a_trial_s_token_is_for_a_terminal_or_a_file_and_never_for_a_pipe() {
    let scratch = Scratch::new();
    let program = Program::get();
    let file = scratch.path("token").display().to_string();
    for with_file in [false, true] {
        let mut command = program.command((1024, None));
        command.args(["serve", "--listen", "127.0.0.1:0"]).env("STATE_DIRECTORY", scratch.path("state"));
        if with_file {
            command.args(["--token-file", &file]);
        }
        let server = Server::start(command, Scratch::new(), vec![], program.clone());
        let out = eventually("it greets", || Some(server.scratch.read("stdout")).filter(|out| out.contains("token")));
        assert!(!out.contains("smcp_") && !server.log().contains("smcp_"), "{out}");
        if with_file {
            assert!(out.contains(&file), "{out}");
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
            let token = scratch.read("token");
            let answer = server.ask(&Request::rpc("tools/list", json!({})).token(token.trim()));
            assert_eq!(answer.status, 200, "{}", answer.text());
        } else {
            assert!(out.contains("--token-file"), "it says how to get it: {out}");
        }
    }
}

#[test]
fn on_a_terminal_the_curl_line_works_as_printed() {
    let scratch = Scratch::new();
    let program = Program::get();
    let mut command = program.command((1024, None));
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    let line: Vec<String> = words(&command).iter().map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    // script gives it a terminal, which its standard input need not be
    let mut script = Command::new("script");
    script.args(["-qfc", &format!("echo pid $$; exec {}", line.join(" ")), "/dev/null"]);
    script.env("STATE_DIRECTORY", scratch.path("state")).env("SHELL", "/bin/sh").env("COLUMNS", "200");
    let mut child = script.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut shown =
        BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap().trim_end().to_owned());
    let pid = shown.find_map(|line| line.strip_prefix("pid ")?.parse().ok()).expect("the pid");
    let mut seen = vec![];
    let curl = shown.by_ref().find_map(|line| {
        seen.push(line.clone());
        line.trim().starts_with("curl ").then(|| line.trim().to_owned())
    });
    let said = curl.as_ref().map(|curl| Command::new("sh").args(["-c", curl]).output().unwrap());
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    let rest: Vec<String> = shown.collect();
    let _ = child.wait();
    let said = said.unwrap_or_else(|| panic!("no curl line: {seen:?}"));
    let answer: Value = serde_json::from_slice(&said.stdout).unwrap_or_else(|_| panic!("{curl:?}: {said:?}"));
    assert_eq!(answer["result"]["isError"], false, "{answer}");
    let all = seen.join("\n");
    for client in ["claude mcp add", "mcp.json", "claude_desktop_config.json"] {
        assert!(all.contains(client), "{all}");
    }
    assert!(rest.last().is_some_and(|line| line.contains("ended")), "{rest:?}");
}

#[test]
fn it_answers_as_soon_as_it_says_that_it_listens() {
    let server = Server::new();
    let mut wire = Wire::to(server.address);
    assert_eq!(wire.ask(&Request::new("GET", "/healthz")).status, 200);
}

#[test]
fn only_the_first_process_of_a_container_is_init() {
    let scratch = Scratch::new();
    let said = run(&scratch, &["init"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("run serve instead"), "{}", said.err);
}
