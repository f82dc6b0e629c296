//! Searches through a hundred thousand files, next to `fd`, `rg` and `du` with as many threads, and through what is made to take memory.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use serde_json::{Value, json};

use crate::{
    Options,
    figures::{median, mib, ms, row, short, spread, verdict},
    server::{Server, fresh_directory},
};

/// Files of the tree: sources as they are, so often copied as it takes, and small ones.
const FILES: usize = 100_000;

/// Names in one directory.
const NAMES: usize = 1_000_000;

/// What the server's memory may be at most.
const MOST_MEMORY: f64 = 64.0 * 1024.0 * 1024.0;

/// A question, and who else answers it.
struct Question {
    what: &'static str,
    tool: &'static str,
    arguments: Value,
    peer: &'static [&'static str],
}

/// Measures them all.
pub fn run(options: &Options) {
    let directory = fresh_directory(&options.scratch, "files");
    let tree = directory.join("tree");
    plant(&tree);
    let server = Server::showing(options, &directory);
    for question in [
        Question {
            what: "file_find: a name that none has, of 100,000 files",
            tool: "file_find",
            arguments: json!({ "pattern": "no-such-name*" }),
            peer: &["fdfind", "--unrestricted", "--threads", "1", "--glob", "no-such-name*"],
        },
        Question {
            what: "file_find: files of at least 100 kB",
            tool: "file_find",
            arguments: json!({ "min_bytes": 100_000, "limit": 1000 }),
            peer: &["fdfind", "--unrestricted", "--threads", "1", "--type", "f", "--size", "+99999b", ".", "--"],
        },
        Question {
            what: "file_grep: words that no file has, in any case",
            tool: "file_grep",
            arguments: json!({ "pattern": "nothing in this tree says so" }),
            peer: &["rg", "-uuu", "--threads", "2", "--line-number", "--ignore-case", "nothing in this tree says so"],
        },
        Question {
            what: "file_grep: a regular expression that no line fits",
            tool: "file_grep",
            arguments: json!({ "pattern": r"[A-Z][a-z]+Q[0-9]+x{3,}\b" }),
            peer: &["rg", "-uuu", "--threads", "2", "--line-number", r"[A-Z][a-z]+Q[0-9]+x{3,}\b"],
        },
        Question {
            what: "file_grep: the lines of every file that has any, counted",
            tool: "file_grep",
            arguments: json!({ "pattern": "unsafe impl<T", "count": true, "limit": 2000 }),
            peer: &["rg", "-uuu", "--threads", "2", "--count", "unsafe impl<T"],
        },
        Question {
            what: "directory_usage: the largest directories and files",
            tool: "directory_usage",
            arguments: json!({}),
            peer: &["du", "--one-file-system", "--max-depth=3"],
        },
    ] {
        compare(options, &server, &tree, &question);
    }
    hostile(options, &server, &directory);
    let _ = fs::remove_dir_all(&directory);
}

/// Makes the tree.
fn plant(tree: &Path) {
    eprintln!("files: a tree of {FILES} files is made");
    let cargo = std::env::var_os("CARGO_HOME")
        .map_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cargo"), PathBuf::from);
    let sources = cargo.join("registry/src");
    fs::create_dir_all(tree).expect("the tree");
    let mut count = 0;
    for n in 0.. {
        let copy = tree.join(format!("sources{n}"));
        let copied = Command::new("cp").args(["--recursive", "--reflink=auto"]).arg(&sources).arg(&copy).status();
        assert!(copied.expect("cp").success());
        let before = count;
        count += files(&copy);
        if count + (count - before) > FILES || count == before {
            break;
        }
    }
    for n in count..FILES {
        let directory = tree.join(format!("small/{}", n % 500));
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join(format!("{n}.txt")), format!("a small file\nwhich is number {n}\n")).expect("a file");
    }
}

fn files(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry"));
    entries.map(|entry| if entry.file_type().expect("a kind").is_dir() { files(&entry.path()) } else { 1 }).sum()
}

fn compare(options: &Options, server: &Server, tree: &Path, question: &Question) {
    let [mut ours, mut theirs, mut memory] = [(); 3].map(|()| vec![]);
    for n in 0..=options.rounds {
        eprintln!("files: {}: round {n} of {}", question.what, options.rounds);
        server.forget_peak();
        let took = asked(server, question.tool, &question.arguments, tree);
        let peer = beside(question.peer, tree);
        // the first round fills caches and is not counted
        if n > 0 {
            ours.push(took);
            theirs.push(peer);
            memory.push(server.memory("VmHWM"));
        }
    }
    let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
    row(
        question.what,
        &format!("{}, resident at most {}", spread(&ours, ms), mib(median(&memory))),
        &format!("`{}` {}", question.peer[0], spread(&theirs, ms)),
        &format!("{} times as long", spread(&ratios, short)),
        &verdict("≤ 1.5 × as long", median(&ratios) <= 1.5),
    );
}

/// What is made to take memory: all of it in one directory, in one file, in one line.
fn hostile(options: &Options, server: &Server, directory: &Path) {
    let names = (NAMES as f64 * options.patience) as usize;
    eprintln!("files: a directory of {names} files is made");
    let million = directory.join("million");
    fs::create_dir(&million).expect("a directory");
    for n in 0..names {
        fs::File::create(million.join(format!("an-entry-with-some-name-{n:07}.log"))).expect("a file");
    }
    let sparse = directory.join("sparse");
    fs::File::create(&sparse).expect("a file").set_len(10 << 30).expect("its length");
    let long = directory.join("long");
    fs::write(&long, [&b"x".repeat(100 << 20)[..], b"\nneedle\n"].concat()).expect("a file");
    for (what, tool, arguments, path) in [
        (format!("file_find in a directory of {names} files"), "file_find", json!({ "pattern": "none" }), &million),
        (
            format!("file_grep in a directory of {names} empty files"),
            "file_grep",
            json!({ "pattern": "none" }),
            &million,
        ),
        (format!("directory_usage of {names} files"), "directory_usage", json!({}), &million),
        ("file_grep in 10 GiB of zeros".into(), "file_grep", json!({ "pattern": "none", "binary": true }), &sparse),
        ("file_grep in a line of 100 MiB".into(), "file_grep", json!({ "pattern": "needle" }), &long),
    ] {
        server.forget_peak();
        let took = asked(server, tool, &arguments, path);
        let peak = server.memory("VmHWM");
        let said = format!("{}, resident at most {}", ms(took), mib(peak));
        row(&what, &said, "", "", &verdict("< 64 MiB", peak < MOST_MEMORY));
    }
}

/// How long a tool of ours takes, which must answer.
fn asked(server: &Server, tool: &str, arguments: &Value, path: &Path) -> f64 {
    let mut arguments = arguments.clone();
    arguments["path"] = path.display().to_string().into();
    let began = Instant::now();
    server.call(tool, arguments).unwrap_or_else(|why| panic!("{tool}: {why}"));
    began.elapsed().as_secs_f64()
}

/// How long a command takes from its start to its end.
fn beside(command: &[&str], path: &Path) -> f64 {
    let began = Instant::now();
    let status = Command::new(command[0]).args(&command[1..]).arg(path).stdout(Stdio::null()).status();
    let status = status.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    // rg and fd say 1 when they find nothing
    assert!(status.code().is_some_and(|code| code < 2), "{command:?}: {status}");
    began.elapsed().as_secs_f64()
}
