//! Every tool on every recorded machine: its text, its structure and its schema are as agreed, and so is the page of metrics. `UPDATE=1 cargo test goldens` writes them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use auth::Caller;
use facts::{
    exposition::Exposition,
    host::{First, Host},
};
use rights::{grant::Grants, scope::Scope};
use serde_json::{Map, Value};
use systemmanager_mcp::{
    audit::{Audit, Sink},
    gate::{Call, Gate, Limits},
};
use tools::{TOOLS, tool::Entry};

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// The recorded machines, by name.
fn machines() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(tests().join("machines"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| tests().join("machines").join(name).join("machine.ron").exists())
        .collect();
    names.sort();
    assert!(names.len() >= 4, "only {names:?}");
    names
}

fn gate(machine: &str) -> Gate {
    let host = Host::open(&tests().join("machines").join(machine), First::Comes).unwrap();
    let log = std::env::temp_dir().join(format!("goldens-{}-{machine}.jsonl", std::process::id()));
    let gate = Gate::new(TOOLS, host, Arc::new(Audit::open(&Sink::File(log.clone())).unwrap()), Limits::default());
    fs::remove_file(log).unwrap();
    gate
}

/// What a golden calls a tool with: nothing, but for the tool that needs to know which process.
fn arguments(tool: &Entry, machine: &str) -> Map<String, Value> {
    let mut arguments = Map::new();
    if tool.name == "process" {
        // the one with the most to say: the youngest that has a command line
        let proc = tests().join("machines").join(machine).join("proc");
        let mut pids: Vec<u32> = fs::read_dir(&proc)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
            .filter(|pid: &u32| fs::read(proc.join(format!("{pid}/cmdline"))).is_ok_and(|line| !line.is_empty()))
            .filter(|pid| proc.join(format!("{pid}/stat")).exists())
            .collect();
        pids.sort_unstable();
        arguments.insert("pid".to_owned(), (*pids.last().unwrap()).into());
    }
    arguments
}

/// Compares with `tests/golden/<name>`; `UPDATE=1` writes it. Says what differs, or nothing.
fn golden(name: &str, actual: &str) -> Option<String> {
    let path = tests().join("golden").join(name);
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, actual).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    if actual == expected {
        return None;
    }
    let (at, (now, then)) = actual
        .lines()
        .chain(std::iter::repeat(""))
        .zip(expected.lines().chain(std::iter::repeat("")))
        .enumerate()
        .find(|(_, (now, then))| now != then)
        .unwrap();
    Some(format!("{name}:{}\n  agreed: {then}\n  is:     {now}", at + 1))
}

#[tokio::test]
async fn every_tool_answers_as_agreed_on_every_machine() {
    let mut wrong = vec![];
    let tokens = tiktoken_rs::o200k_base().unwrap();
    for machine in machines() {
        let gate = gate(&machine);
        let caller = Arc::new(Caller::local(Grants::all()));
        // a recorded machine has no Docker Engine to ask: tests/docker.rs has real ones
        for tool in TOOLS.iter().filter(|tool| tool.scope == Scope::SystemRead) {
            let call = Call {
                tool: tool.name,
                arguments: arguments(tool, &machine),
                caller: &caller,
                peer: None,
                client: None,
                request: None,
                steps: None,
            };
            let answer = gate.call(call, std::future::pending()).await;
            let answer = match answer {
                Ok(answer) => answer,
                Err(refusal) => {
                    wrong.push(format!("{machine}: {}: {refusal:?}", tool.name));
                    continue;
                }
            };
            let structured = serde_json::to_string_pretty(&answer.structured).unwrap() + "\n";
            wrong.extend(golden(&format!("{machine}/{}.txt", tool.name), &(answer.text.clone() + "\n")));
            wrong.extend(golden(&format!("{machine}/{}.json", tool.name), &structured));
            let schema = Value::Object((*tool.describe().output_schema.unwrap()).clone());
            let validator = jsonschema::draft202012::new(&schema).unwrap();
            wrong.extend(
                validator
                    .iter_errors(&answer.structured)
                    .map(|error| format!("{machine}/{}: {}: {error}", tool.name, error.instance_path())),
            );
            for (form, text) in [("text", answer.text.clone()), ("structure", answer.structured.to_string())] {
                let count = tokens.encode_ordinary(&text).len();
                if count >= 2_000 {
                    wrong.push(format!("{machine}/{}: the {form} has {count} tokens by default", tool.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}\nUPDATE=1 to agree", wrong.join("\n"));
}

#[tokio::test]
async fn every_fact_is_exposed_as_agreed_on_every_machine() {
    let mut wrong = vec![];
    for machine in machines() {
        let host = Host::open(&tests().join("machines").join(&machine), First::Comes).unwrap();
        let window = host.window().await.unwrap();
        let page = host.read(move |machine| {
            let mut page = Exposition::default();
            facts::expose(machine, &window.now, &mut page);
            Ok(page.finish())
        });
        wrong.extend(golden(&format!("{machine}/metrics.txt"), &page.await.unwrap()));
    }
    assert!(wrong.is_empty(), "{}\nUPDATE=1 to agree", wrong.join("\n"));
}

#[test]
fn every_tool_is_described_as_agreed() {
    let wrong: Vec<_> = TOOLS
        .iter()
        .filter_map(|tool| {
            let told = serde_json::to_string_pretty(&tool.describe()).unwrap() + "\n";
            golden(&format!("schema/{}.json", tool.name), &told)
        })
        .collect();
    assert!(wrong.is_empty(), "{}\nUPDATE=1 to agree", wrong.join("\n"));
}

/// Blocks with figures and without a `scope` of their own: that of the block they stand in is true of them as well, or as it says here.
const OF_ITS_PARENT: &[&str] = &[
    // rows of a block that says it
    "cpu.cpus",
    "disks.filesystems",
    "disks.io.disks",
    "disks.left_out",
    "disks.redundancy.arrays",
    // each row says it
    "history",
    "history.series",
    // by name the container's, and the server's own
    "identity.container",
    "identity.server",
    // lxcfs covers both files or neither
    "memory.huge_pages",
    "memory.swaps",
    // one network namespace
    "network.default_routes",
    "network.interface",
    "network.interface.counters",
    "network.interfaces",
    "network.routes",
    "network.tcp",
    // Docker's, of the containers it has
    "overview.containers",
    "overview.disks.fullest",
    // one process's own
    "process.cgroup",
    "process.children",
    "process.cpu",
    "process.io",
    "process.memory",
    "processes.by_state",
    "processes.processes",
];

#[test]
fn every_figure_says_whose_it_is() {
    fn walk(schema: &Value, whole: &Value, path: &str, silent: &mut Vec<String>) {
        if let Some(to) = schema.get("$ref").and_then(Value::as_str) {
            return walk(whole.pointer(&to[1..]).unwrap(), whole, path, silent);
        }
        for one in ["anyOf", "oneOf", "allOf"].iter().filter_map(|key| schema.get(key)?.as_array()).flatten() {
            walk(one, whole, path, silent);
        }
        for list in ["items", "additionalProperties"].iter().filter_map(|key| schema.get(key)) {
            walk(list, whole, path, silent);
        }
        let is_figure = |schema: &Value| {
            ["integer", "number"].iter().any(|kind| {
                let types = &schema["type"];
                types == kind || types.as_array().is_some_and(|types| types.contains(&(*kind).into()))
            })
        };
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            let row = schema.get("prefixItems").and_then(Value::as_array);
            let counts = schema.get("additionalProperties").is_some_and(is_figure);
            if counts || row.is_some_and(|row| row.iter().any(is_figure)) {
                silent.push(path.to_owned());
            }
            return;
        };
        if properties.values().any(is_figure) && !properties.contains_key("scope") {
            silent.push(path.to_owned());
        }
        for (key, schema) in properties {
            let is_table = matches!(&**key, "columns" | "rows");
            walk(schema, whole, &if is_table { path.to_owned() } else { format!("{path}.{key}") }, silent);
        }
    }
    let mut silent = vec![];
    // what Docker tells is always of the containers and images it names
    for tool in TOOLS.iter().filter(|tool| tool.scope == Scope::SystemRead) {
        let schema = Value::Object((*tool.describe().output_schema.unwrap()).clone());
        walk(&schema, &schema, tool.name, &mut silent);
    }
    silent.sort();
    silent.dedup();
    let known: Vec<String> = OF_ITS_PARENT.iter().map(|path| (*path).to_owned()).collect();
    assert_eq!(silent, known, "say whose these are, by a `scope` or here");
}

#[test]
fn no_golden_is_of_a_tool_or_a_machine_that_is_gone() {
    let mut known = machines();
    known.push("schema".to_owned());
    for directory in fs::read_dir(tests().join("golden")).unwrap().map(Result::unwrap) {
        let name = directory.file_name().into_string().unwrap();
        assert!(known.contains(&name), "{name} is no machine");
        for file in fs::read_dir(directory.path()).unwrap().map(Result::unwrap) {
            let file = file.file_name().into_string().unwrap();
            let (tool, _) = file.split_once('.').unwrap();
            let is_page = name != "schema" && file == "metrics.txt";
            assert!(is_page || TOOLS.iter().any(|one| one.name == tool), "{name}/{file} is of no tool");
        }
    }
}

/// The laptop runs programs with made-up secrets in their arguments, each marked FAKE, in the usual spellings.
#[tokio::test]
async fn no_secret_in_any_argument_of_any_process_is_shown() {
    let gate = gate("laptop");
    let caller = Arc::new(Caller::local(Grants::all()));
    let ask = async |tool: &str, arguments: Value| {
        let arguments = arguments.as_object().unwrap().clone();
        let call = Call { tool, arguments, caller: &caller, peer: None, client: None, request: None, steps: None };
        gate.call(call, std::future::pending()).await.unwrap()
    };
    let all = ask("processes", serde_json::json!({ "limit": 200, "kernel_threads": true, "sort": "pid" })).await;
    let mut shown = vec![all.text.clone(), all.structured.to_string()];
    let pids = all.structured["processes"]["rows"].as_array().unwrap();
    assert!(pids.len() > 30);
    for row in pids {
        let one = ask("process", serde_json::json!({ "pid": row[1] })).await;
        shown.extend([one.text.clone(), one.structured.to_string()]);
    }
    // the user in an address stays, and so does a variable in a program's text that is called `key`
    let harmless = ["FAKEuser", "key = \"FAKE\"", "key = \\\"FAKE\\\""];
    let shown: Vec<String> =
        shown.into_iter().map(|answer| harmless.iter().fold(answer, |answer, word| answer.replace(word, ""))).collect();
    let leaks: Vec<&str> =
        shown.iter().flat_map(|answer| answer.lines()).filter(|line| line.contains("FAKE")).collect();
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
    assert!(shown.iter().any(|answer| answer.contains("[redacted]")));
}
