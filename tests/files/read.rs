//! directory, file_read and file_info, next to `ls`, `stat`, `sed`, `tail`, `zcat`, `sha256sum` and `dpkg -S`.

use std::{
    ffi::OsStr,
    fs,
    io::Write as _,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    process::{Command, Stdio},
    thread,
};

use rights::scope::Scope;
use serde_json::{Value, json};

use super::{Shown, rows, said};
use crate::common::{USER, eventually, ignored, is_root, needs_root};

/// A process, ended when dropped.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn texts(report: &Value) -> Vec<String> {
    rows(&report["text"]).iter().map(|row| row["text"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_name_is_given_back_as_it_was_shown_whatever_bytes_it_has() {
    let shown = Shown::new();
    let names: [&[u8]; 7] = [b"bad\xff.log", b"two\nlines", b"\x1b[31mred", b" blank", b"$'x'", b"it's", b"x"];
    let odd = shown.scratch.path("odd\tplace");
    fs::create_dir(&odd).unwrap();
    for (number, name) in names.iter().enumerate() {
        fs::write(odd.join(OsStr::from_bytes(name)), number.to_string()).unwrap();
    }
    let place = rows(&shown.ask("file_find", json!({ "path": shown.path(""), "kind": "directory" }))["found"]);
    assert_eq!(place.len(), 1, "{place:?}");
    let place = shown.path(place[0]["path"].as_str().unwrap());
    let list = shown.ask("directory", json!({ "path": place }));
    let listed = rows(&list["entries"]);
    let listed = listed.iter().map(|row| format!("{place}/{}", row["name"].as_str().unwrap()));
    let found = rows(&shown.ask("file_find", json!({ "path": place, "kind": "file" }))["found"]);
    let found = found.iter().map(|row| format!("{place}/{}", row["path"].as_str().unwrap()));
    for paths in [listed.collect::<Vec<_>>(), found.collect()] {
        let mut read: Vec<_> =
            paths.iter().map(|path| texts(&shown.ask("file_read", json!({ "path": path }))).concat()).collect();
        read.sort_unstable();
        assert_eq!(read, ["0", "1", "2", "3", "4", "5", "6"], "{paths:?}");
    }
}

#[test]
fn a_directory_is_what_ls_lists() {
    let shown = Shown::new();
    for name in ["b.log", ".hidden", "a b", "large", "sub/inner", "strange\nname"] {
        shown.write(name, "x".repeat(name.len() * 1000));
    }
    fs::set_permissions(shown.path("b.log"), fs::Permissions::from_mode(0o4750)).unwrap();
    symlink("b.log", shown.path("link")).unwrap();
    symlink("/etc/shadow", shown.path("astray")).unwrap();
    let report = shown.ask("directory", json!({ "path": shown.path("") }));
    // kind and permissions, links, owner, group, size, date, time, zone, name
    let listed = said(&["ls", "-lA", "--time-style=full-iso", "--quoting-style=shell-escape", &shown.path("")]);
    let mut listed: Vec<(String, String)> = listed
        .lines()
        .skip(1)
        .map(|line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let (kind, permissions) = words[0].split_at(1);
            let kind = match kind {
                "d" => "directory",
                "l" => "link",
                _ => "file",
            };
            let name = words[8..].join(" ");
            let name = name.split(" -> ").next().unwrap().trim_matches('\'');
            let name = if name.starts_with("strange") { "$'strange\\nname'" } else { name };
            let size = if kind == "directory" { "null" } else { words[4] };
            let time = format!("{}T{}Z", words[5], &words[6][..8]);
            (name.to_owned(), format!("{kind} {permissions} {} {} {size} {time}", words[2], words[3]))
        })
        .collect();
    listed.sort();
    let word = |row: &Value, key: &str| row[key].as_str().map_or_else(|| row[key].to_string(), str::to_owned);
    let mut told: Vec<(String, String)> = rows(&report["entries"])
        .iter()
        .map(|row| {
            let of = |key| word(row, key);
            let words = ["kind", "permissions", "owner", "group", "size_bytes", "modified"].map(of).join(" ");
            (of("name"), words)
        })
        .collect();
    told.sort();
    assert_eq!(told, listed);
    let link = rows(&report["entries"]).into_iter().find(|row| row["name"] == "link").unwrap();
    assert_eq!(link["target"], "b.log");
}

#[test]
fn sorted_by_size_it_is_what_ls_sorts() {
    let shown = Shown::new();
    for n in 0..30_usize {
        shown.write(&format!("f{n:02}"), "x".repeat(n * 7919 % 5000));
    }
    let listed: Vec<String> = said(&["ls", "-AS", &shown.path("")]).lines().map(str::to_owned).collect();
    let (mut told, mut cursor) = (vec![], Value::Null);
    loop {
        let report =
            shown.ask("directory", json!({ "path": shown.path(""), "sort": "size", "limit": 7, "cursor": cursor }));
        told.extend(rows(&report["entries"]).iter().map(|row| row["name"].as_str().unwrap().to_owned()));
        cursor = report["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(told, listed);
}

#[test]
fn what_the_server_may_not_read_is_denied_with_the_reason() {
    if !needs_root() {
        return;
    }
    let shown = Shown::new();
    let path = shown.write("closed/file", "secret");
    shown.write("open", "x");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let said = shown.refused("file_read", json!({ "path": path }));
    assert!(said.contains("mode 0600") && said.contains("uid 65532"), "{said}");
    let report = shown.ask("file_info", json!({ "path": path, "checksum": true }));
    assert_eq!(
        (&report["content"], &report["checksum"], &report["mode"]),
        (&json!(null), &json!(null), &json!("0600"))
    );
    assert!(report["unknown"].as_str().unwrap().contains("uid 65532"), "{report}");
    fs::set_permissions(shown.path("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    assert!(shown.refused("directory", json!({ "path": shown.path("closed") })).contains("mode 0700"));
    let report = shown.ask("directory", json!({ "path": shown.path(""), "tree": true }));
    let rows = rows(&report["entries"]);
    let closed = rows.iter().find(|row| row["path"] == "closed").unwrap();
    assert_eq!((&closed["entries"], &closed["denied"]), (&json!(null), &json!(true)), "{report}");
}

#[test]
fn a_tree_counts_what_find_counts() {
    let shown = Shown::new();
    for n in 0..40 {
        shown.write(&format!("d{}/e{}/f{n}", n % 3, n % 5), "");
    }
    let report = shown.ask("directory", json!({ "path": shown.path(""), "tree": true, "limit": 200 }));
    let told = rows(&report["entries"]);
    let listed = said(&["find", &shown.path(""), "-mindepth", "1", "-maxdepth", "2", "-printf", "%P\n"]);
    let mut listed: Vec<&str> = listed.lines().collect();
    listed.sort_unstable();
    assert_eq!(told.iter().map(|row| row["path"].as_str().unwrap()).collect::<Vec<_>>(), listed);
    for row in &told {
        let path = format!("{}/{}", shown.path(""), row["path"].as_str().unwrap());
        let count = said(&["ls", "-A", &path]).lines().count();
        assert_eq!(row["entries"], count, "{path}");
    }
}

#[test]
fn a_file_reads_as_sed_tail_and_zcat_read_it() {
    let shown = Shown::new();
    let text: String = (1..=5_000).map(|n| format!("entry {n}: all is well\n")).collect();
    let plain = shown.write("app.log", &text);
    said(&["gzip", "--keep", &plain]);
    let stored = format!("{plain}.gz");
    fs::set_permissions(&stored, fs::Permissions::from_mode(0o644)).unwrap();
    let whole = said(&["zcat", &stored]);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    for path in [&plain, &stored] {
        let report = shown.ask("file_read", json!({ "path": path, "line": 1234, "lines": 50 }));
        assert_eq!(texts(&report), lines(&said(&["sed", "-n", "1234,1283p", &plain])));
        let report = shown.ask("file_read", json!({ "path": path, "tail": 20 }));
        assert_eq!(texts(&report), lines(&said(&["tail", "-n", "20", &plain])));
        let report = shown.ask("file_read", json!({ "path": path, "head": 20 }));
        assert_eq!(texts(&report), lines(&whole)[..20]);
        let lines_in_all = said(&["wc", "-l", &plain]).split(' ').next().unwrap().parse::<u64>().unwrap();
        assert_eq!(report["lines"], lines_in_all);
    }
}

#[test]
fn what_others_wrote_acts_on_nobody() {
    let shown = Shown::new();
    let path = shown.write("evil.log", "\x1b]0;owned\x07hello\u{202e}\nmysql --password=hunter2hunter2\n\ttab\n");
    let answer = shown.server.call("file_read", json!({ "path": path }));
    let text = answer["result"]["content"][0]["text"].as_str().unwrap().to_owned();
    let report = &answer["result"]["structuredContent"];
    for form in [&text, &report.to_string()] {
        assert!(!form.contains('\x1b') && !form.contains('\u{202e}') && !form.contains("hunter2"), "{form}");
    }
    assert_eq!(texts(report), ["hello", "mysql --password=[redacted]", "→tab"]);
    assert_eq!(report["changes"], json!({ "redacted": 1, "cleaned": 1, "tabs": 1, "cut": 0, "crlf": 0 }));
    assert!(report["untrusted"].as_str().unwrap().contains("text"));
}

#[test]
fn a_file_that_grows_and_shrinks_under_the_reader_harms_nothing() {
    let shown = Shown::new();
    let path = shown.write("busy.log", "line\n".repeat(10_000));
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let mut file = fs::File::options().append(true).open(&path).unwrap();
                file.write_all("more\n".repeat(1_000).as_bytes()).unwrap();
                file.set_len(7).unwrap();
            }
        });
        for question in [json!({}), json!({ "tail": 50 }), json!({ "line": 5_000 }), json!({ "offset": 40_000 })] {
            for _ in 0..20 {
                let mut question = question.clone();
                question["path"] = path.clone().into();
                shown.ask("file_read", question);
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn a_file_is_what_stat_and_sha256sum_say() {
    let shown = Shown::new();
    let path = shown.write("data", "some bytes".repeat(100_000));
    fs::hard_link(&path, shown.path("other")).unwrap();
    let report = shown.ask("file_info", json!({ "path": path, "checksum": true }));
    let stat = said(&["stat", "-c", "%a %U %u %G %g %s %b %h %i %Y", &path]);
    let told = ["owner", "uid", "group", "gid", "size_bytes"].map(|key| report[key].to_string().replace('"', ""));
    let told = format!(
        "{} {} {} {} {}",
        report["mode"].as_str().unwrap().trim_start_matches('0'),
        told.join(" "),
        report["allocated_bytes"].as_u64().unwrap() / 512,
        report["links"],
        report["inode"],
    );
    assert!(stat.starts_with(&told), "{stat} {told}");
    let time = said(&["date", "-u", "-r", &path, "+%Y-%m-%dT%H:%M:%SZ"]);
    assert_eq!(report["modified"], time.trim());
    assert_eq!(report["checksum"]["sha256"], said(&["sha256sum", &path]).split(' ').next().unwrap());
    let mount = said(&["findmnt", "-n", "-o", "TARGET,FSTYPE", "-T", &path]);
    let mount: Vec<&str> = mount.split_ascii_whitespace().collect();
    let filesystem = &report["filesystem"];
    assert_eq!((&filesystem["mount_point"], &filesystem["type"]), (&json!(mount[0]), &json!(mount[1])), "{report}");
    let birth = said(&["stat", "-c", "%W", &path]);
    assert_eq!(report["created"].is_null(), birth.trim() == "0" || birth.trim() == "-", "{birth} {report}");
}

#[test]
fn a_program_belongs_to_the_package_that_dpkg_says() {
    if Command::new("dpkg").arg("--version").stdout(Stdio::null()).status().is_err() {
        return ignored("there is no dpkg");
    }
    let shown = Shown::new();
    for program in ["/usr/bin/ls", "/usr/bin/env", "/usr/bin/dpkg"] {
        // a system that is not merged lists some of these elsewhere
        let owner = ["", "/usr"].iter().find_map(|prefix| {
            let path = program.strip_prefix(prefix)?;
            let output = Command::new("dpkg").args(["-S", path]).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            output.status.success().then(|| said.split(':').next().unwrap().to_owned())
        });
        let report = shown.ask("file_info", json!({ "path": program, "package": true }));
        let name = report["package"]["name"].as_str().unwrap().split(':').next().unwrap().to_owned();
        assert_eq!((Some(name), &report["package"]["database"]), (owner, &json!("dpkg")), "{program}");
        assert!(report["content"].as_str().unwrap().starts_with("ELF program"), "{report}");
    }
    let report = shown.ask("file_info", json!({ "path": shown.write("mine", ""), "package": true }));
    assert_eq!(report["package"]["name"], Value::Null);
}

#[test]
fn who_holds_a_file_open_is_named_to_those_who_may_see_processes() {
    let shown = Shown::with(&[Scope::FilesRead, Scope::SystemRead]);
    let path = shown.write("held.log", "x\n");
    // one that the server may look into
    let (uid, gid) = (format!("--reuid={USER}"), format!("--regid={USER}"));
    let mut words = vec!["tail", "-f", path.as_str()];
    if is_root() {
        words.splice(0..0, ["setpriv", &uid, &gid, "--clear-groups", "--inh-caps=-all", "--no-new-privs", "--"]);
    }
    let tail = Command::new(words[0]).args(&words[1..]).stdout(Stdio::null()).spawn().unwrap();
    let (pid, _tail) = (tail.id(), Running(tail));
    let holders = eventually("the server sees who holds it", || {
        let report = shown.ask("file_info", json!({ "path": path, "holders": true }));
        (report["holders"]["count"] == 1).then(|| report["holders"].clone())
    });
    let holder = &rows(&holders["processes"])[0];
    assert_eq!((&holder["pid"], &holder["name"], &holder["how"]), (&json!(pid), &json!("tail"), &json!("open")));
    if is_root() {
        assert!(holders["unknown"].as_u64().unwrap() > 0, "the server cannot look into what root runs: {holders}");
    }
    let shown = Shown::new();
    let path = shown.write("held.log", "x\n");
    let report = shown.ask("file_info", json!({ "path": path, "holders": true }));
    assert_eq!(
        (&report["holders"], &report["unknown"]),
        (&Value::Null, &json!("holders: this caller lacks the scope system:read"))
    );
}
