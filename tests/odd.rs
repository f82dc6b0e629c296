//! Kernel files that are odd: each costs its own figures, and never the answer.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use auth::Caller;
use facts::{
    exposition::Exposition,
    host::{self, First, Host, Sample},
};
use rights::{grant::Grants, scope::Scope};
use serde_json::{Map, Value};
use systemmanager_mcp::{
    audit::{Audit, Sink},
    gate::{Answer, Call, Gate, Limits, Refusal},
};
use tools::{TOOLS, tool::Entry};

/// A copy of a recorded machine, to be changed; gone when dropped.
struct Machine {
    dir: PathBuf,
    log: PathBuf,
}

impl Machine {
    fn like(recorded: &str, name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("odd-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machines").join(recorded), &dir);
        Self { log: dir.with_extension("jsonl"), dir }
    }

    /// Writes a file of it, and of the moment before.
    fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        for tree in [self.dir.clone(), self.dir.join("first")] {
            fs::create_dir_all(tree.join(path).parent().unwrap()).unwrap();
            fs::write(tree.join(path), text.as_ref()).unwrap();
        }
    }

    fn gate(&self) -> Gate {
        let host = Host::open(&self.dir, First::Comes).unwrap();
        let gate =
            Gate::new(TOOLS, host, Arc::new(Audit::open(&Sink::File(self.log.clone())).unwrap()), Limits::default());
        fs::remove_file(&self.log).unwrap();
        gate
    }

    async fn call(&self, gate: &Gate, tool: &str, arguments: Map<String, Value>) -> Result<Arc<Answer>, Refusal> {
        let caller = Arc::new(Caller::local(Grants::all()));
        let call = Call { tool, arguments, caller: &caller, peer: None, client: None, request: None, steps: None };
        gate.call(call, std::future::pending()).await
    }

    /// The page of metrics.
    fn page(&self) -> String {
        let machine = Arc::new(host::Machine::at(&self.dir).unwrap());
        let mut page = Exposition::default();
        facts::expose(&machine, &Sample::take(&machine), &mut page);
        page.finish()
    }

    /// The structured answer of a tool.
    async fn ask(&self, tool: &str) -> Value {
        let answer = self.call(&self.gate(), tool, Map::new()).await;
        answer.unwrap_or_else(|refusal| panic!("{tool}: {refusal:?}")).structured.clone()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(path).unwrap(), to).unwrap();
        } else if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(path, to).unwrap();
        }
    }
}

/// The files of a machine that are worth changing, one for each kind: names that differ by digits alone are of one kind.
fn kinds(machine: &Path) -> Vec<PathBuf> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                walk(&entry.path(), found);
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    let mut found = vec![];
    for top in ["proc", "sys", "etc", "run"].map(|top| machine.join(top)).iter().filter(|top| top.exists()) {
        walk(top, &mut found);
    }
    found.sort();
    let kind = |path: &Path| -> String {
        let path = path.strip_prefix(machine).unwrap().to_string_lossy().into_owned();
        // PID 1 and the process that is asked for are read in other ways than the rest
        if path.starts_with("proc/1/") { path } else { path.replace(|character: char| character.is_ascii_digit(), "") }
    };
    let mut seen = BTreeSet::new();
    found.retain(|path| seen.insert(kind(path)));
    found
}

fn arguments(tool: &Entry) -> Map<String, Value> {
    let pid = (tool.name == "process").then(|| ("pid".to_owned(), 1.into()));
    pid.into_iter().collect()
}

/// What becomes of a file, in words.
fn changes(text: &[u8]) -> Vec<(&'static str, Option<Vec<u8>>)> {
    let digits = |to: &[u8]| {
        let mut changed = vec![];
        let mut before = false;
        for byte in text {
            if byte.is_ascii_digit() && !before {
                changed.extend_from_slice(to);
            } else if !byte.is_ascii_digit() {
                changed.push(*byte);
            }
            before = byte.is_ascii_digit();
        }
        changed
    };
    vec![
        ("gone", None),
        ("empty", Some(vec![])),
        ("cut in the middle", Some(text[..text.len() / 2].to_vec())),
        ("no text", Some(b"\xff\x00\x1b[31m \xf0\x9f\n\n:::/\\".repeat(40))),
        ("full of numbers that are too large", Some(digits(b"18446744073709551616"))),
        ("full of the largest numbers", Some(digits(b"18446744073709551615"))),
        ("full of numbers below zero", Some(digits(b"-7"))),
    ]
}

#[tokio::test]
async fn an_odd_file_never_costs_an_answer() {
    let mut wrong = vec![];
    let system: Vec<&Entry> = TOOLS.iter().filter(|tool| tool.scope == Scope::SystemRead).collect();
    let validators: Vec<_> = (system.iter())
        .map(|tool| Value::Object((*tool.describe().output_schema.unwrap()).clone()))
        .map(|schema| jsonschema::draft202012::new(&schema).unwrap())
        .collect();
    for recorded in ["qemu", "lxc"] {
        let machine = Machine::like(recorded, &format!("each-{recorded}"));
        for file in kinds(&machine.dir) {
            let text = fs::read(&file).unwrap();
            for (what, change) in changes(&text) {
                match change {
                    None => fs::remove_file(&file).unwrap(),
                    Some(change) => fs::write(&file, change).unwrap(),
                }
                let gate = machine.gate();
                for (tool, validator) in system.iter().zip(&validators) {
                    let said = format!(
                        "{recorded}: {} is {what}: {}",
                        file.strip_prefix(&machine.dir).unwrap().display(),
                        tool.name
                    );
                    match machine.call(&gate, tool.name, arguments(tool)).await {
                        Ok(answer) => {
                            let errors = validator.iter_errors(&answer.structured);
                            wrong.extend(errors.map(|error| format!("{said}: {}: {error}", error.instance_path())));
                        }
                        // the process that is asked for, or all of them, are gone
                        Err(_) if tool.name == "process" && file.ends_with("proc/1/stat") => (),
                        Err(refusal) => wrong.push(format!("{said}: {refusal:?}")),
                    }
                }
            }
            fs::write(&file, text).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{} answers\n{}", wrong.len(), wrong.join("\n"));
}

/// Families of the page, each read from another file.
const FAMILIES: &[&str] = &[
    "node_boot_time_seconds",
    "node_disk_io_now",
    "node_filefd_allocated",
    "node_filesystem_device_error",
    "node_load1",
    "node_memory_MemTotal_bytes",
    "node_netstat_Tcp_InSegs",
    "node_network_receive_bytes_total",
    "node_os_info",
    "node_uname_info",
    "node_vmstat_pgfault",
];

#[test]
fn an_odd_file_costs_its_own_families_of_the_page() {
    let mut wrong = vec![];
    for recorded in ["nas", "laptop"] {
        let machine = Machine::like(recorded, &format!("page-{recorded}"));
        let has = |page: &str, family: &str| page.contains(&format!("# TYPE {family} "));
        let whole = machine.page();
        let there: Vec<&str> = FAMILIES.iter().copied().filter(|family| has(&whole, family)).collect();
        assert!(there.len() > 7, "{recorded}: {there:?}");
        for file in kinds(&machine.dir) {
            let text = fs::read(&file).unwrap();
            for (what, change) in changes(&text) {
                match change {
                    None => fs::remove_file(&file).unwrap(),
                    Some(change) => fs::write(&file, change).unwrap(),
                }
                let page = machine.page();
                let lost: Vec<&str> = there.iter().copied().filter(|family| !has(&page, family)).collect();
                let said = format!("{recorded}: {} is {what}", file.strip_prefix(&machine.dir).unwrap().display());
                if lost.len() > 1 {
                    wrong.push(format!("{said}: {lost:?} are lost"));
                }
                wrong.extend(crate::metrics::faults(&page).into_iter().map(|fault| format!("{said}: {fault}")));
            }
            fs::write(&file, text).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{} pages\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn what_could_not_be_read_stands_on_the_page() {
    let machine = Machine::like("qemu", "gap");
    machine.write("proc/loadavg", "many\n");
    let page = machine.page();
    assert!(page.contains("\nsmcp_scrape_gaps{file=\"/proc/loadavg\",reason=\"odd\"} 1\n"), "{page}");
    assert!(page.contains("\nsmcp_scrape_gaps_more 0\n") && !page.contains("node_load1"), "{page}");
}

/// The gaps of an answer as file, why and detail.
fn gaps(answer: &Value) -> Vec<String> {
    let rows = answer["gaps"]["rows"].as_array().cloned().unwrap_or_default();
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    rows.iter().map(|row| row.as_array().unwrap().iter().map(word).collect::<Vec<_>>().join(" ")).collect()
}

#[tokio::test]
async fn a_number_that_fits_nothing_costs_one_figure_and_is_named() {
    let machine = Machine::like("qemu", "swap");
    machine.write(
        "proc/meminfo",
        "MemTotal: 262144 kB\nMemFree: 200000 kB\nMemAvailable: 220000 kB\nSwapTotal: 8192 kB\nSwapFree: 18446744073709551000 kB\n",
    );
    let memory = machine.ask("memory").await;
    assert_eq!(
        (&memory["total_bytes"], &memory["available_bytes"]),
        (&(262_144 << 10).into(), &(220_000 << 10).into())
    );
    assert_eq!((&memory["swap_total_bytes"], &memory["swap_used_bytes"]), (&(8 << 20).into(), &Value::Null));
    assert_eq!(gaps(&memory), ["/proc/meminfo odd cannot read line 5"]);
    assert_eq!(gaps(&machine.ask("overview").await), ["/proc/meminfo odd cannot read line 5"]);
    for other in ["cpu", "disks", "network"] {
        assert!(gaps(&machine.ask(other).await).is_empty(), "{other}");
    }
}

#[tokio::test]
async fn four_lines_are_all_that_some_kernels_tell_of_memory() {
    let machine = Machine::like("qemu", "four");
    machine.write("proc/meminfo", "MemTotal: 1048576 kB\nMemFree: 834048 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n");
    let memory = machine.ask("memory").await;
    assert_eq!((&memory["available_bytes"], &memory["swap_used_bytes"]), (&(834_048 << 10).into(), &0.into()));
    assert_eq!((&memory["slab_bytes"], gaps(&memory).len()), (&Value::Null, 0));
    machine.write("proc/meminfo", "");
    let memory = machine.ask("overview").await["memory"].clone();
    assert_eq!((&memory["total_bytes"], &memory["used_ratio"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn memory_set_aside_as_huge_pages_is_told_and_no_shortage() {
    let machine = Machine::like("qemu", "huge");
    machine.write(
        "proc/meminfo",
        "MemTotal: 791674880 kB\nMemFree: 17825792 kB\nMemAvailable: 17825792 kB\nHugePages_Total: 0\nHugePages_Free: 0\nHugepagesize: 2048 kB\n",
    );
    for (size, total, free) in [(2048, 0, 0), (1_048_576, 720, 718)] {
        let file = |name: &str| format!("sys/kernel/mm/hugepages/hugepages-{size}kB/{name}");
        machine.write(&file("nr_hugepages"), format!("{total}\n"));
        machine.write(&file("free_hugepages"), format!("{free}\n"));
    }
    let memory = machine.ask("memory").await;
    let gib = |number: u64| number << 30;
    assert_eq!(memory["huge_pages"]["rows"], serde_json::json!([[gib(1), gib(720), gib(718)]]));
    let overview = machine.ask("overview").await;
    assert_eq!(overview["memory"]["huge_pages_bytes"], gib(720));
    assert!(!overview["problems"].to_string().contains("memory"), "{}", overview["problems"]);
}
