//! Kernel files that are odd: each costs its own figures, and never the answer.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Map, Value};
use systemmanager_mcp::{
    audit::{Audit, Sink},
    auth::Caller,
    gate::{Answer, Call, Gate, Limits, Refusal},
    host::{First, Host},
    scope::Scopes,
    tools::TOOLS,
};

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
        let caller = Arc::new(Caller::local(Scopes::all()));
        let call = Call { tool, arguments, caller: &caller, peer: None, client: None, request: None, steps: None };
        gate.call(call, std::future::pending()).await
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
