//! What the server says of this machine is what the machine's own tools say at the same moment, idle and under load.
//!
//! Counters are held between two readings of the other tool, which is exact. What moves in between has a tolerance, said where it stands.

use std::{
    collections::BTreeMap,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::common::{PATIENCE, Server, eventually};

/// What a tool of the machine prints.
fn prints(program: &str, arguments: &[&str]) -> String {
    let out = Command::new(program).args(arguments).env("LC_ALL", "C").output().unwrap();
    assert!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// The structured answer of a tool.
fn answer(server: &Server, tool: &str, arguments: Value) -> Value {
    let answer = server.call(tool, arguments);
    assert_eq!(answer["result"]["isError"], false, "{answer}");
    answer["result"]["structuredContent"].clone()
}

/// A table's rows, each by the names of its columns.
fn rows(table: &Value) -> Vec<BTreeMap<String, Value>> {
    let columns: Vec<String> = serde_json::from_value(table["columns"].clone()).unwrap();
    let rows: Vec<Vec<Value>> = serde_json::from_value(table["rows"].clone()).unwrap();
    rows.into_iter().map(|row| columns.iter().cloned().zip(row).collect()).collect()
}

fn near(what: &str, ours: f64, theirs: f64, tolerance: f64) {
    assert!((ours - theirs).abs() <= tolerance, "{what}: we say {ours}, they say {theirs}, tolerance {tolerance}");
}

/// Keeps so many CPUs busy until dropped.
struct Load(Vec<Child>);

impl Load {
    fn on(cpus: usize) -> Self {
        let busy = || Command::new("sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn().unwrap();
        Self((0..cpus).map(|_| busy()).collect())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn memory_is_what_free_says() {
    const MIB: f64 = (1 << 20) as f64;
    let server = Server::new();
    let free = || -> Vec<Vec<f64>> {
        let lines = prints("free", &["-b"]);
        let numbers = |line: &str| line.split_whitespace().skip(1).map(|word| word.parse().unwrap()).collect();
        lines.lines().skip(1).map(numbers).collect()
    };
    // other programs take and give back memory all the time: it has to fit between two readings, give or take 64 MiB
    let (before, ours, after) = (free(), answer(&server, "memory", json!({})), free());
    let of = |key: &str| ours[key].as_f64().unwrap();
    assert_eq!(of("total_bytes"), before[0][0]);
    assert_eq!(of("swap_total_bytes"), before[1][0]);
    for (key, row, column) in
        [("free_bytes", 0, 2), ("shared_bytes", 0, 3), ("available_bytes", 0, 5), ("swap_used_bytes", 1, 1)]
    {
        let (low, high) = (before[row][column].min(after[row][column]), before[row][column].max(after[row][column]));
        let slack = 64.0 * MIB;
        assert!(of(key) >= low - slack && of(key) <= high + slack, "{key}: {} is not in {low}..{high}", of(key));
    }
    assert_eq!(of("used_bytes"), of("total_bytes") - of("available_bytes"));
}

#[test]
fn filesystems_are_those_of_df_and_findmnt() {
    let server = Server::new();
    let df = || -> BTreeMap<String, Vec<String>> {
        let lines = prints("df", &["-a", "-B1", "--output=target,source,fstype,size,used,avail,pcent"]);
        let words = |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
        // a mount point with blanks is not parsed here; the recorded laptop has one
        lines.lines().skip(1).map(words).filter(|row| row.len() == 7).map(|row| (row[0].clone(), row)).collect()
    };
    let (before, ours, after) = (df(), answer(&server, "disks", json!({ "limit": 200 })), df());
    let filesystems = rows(&ours["filesystems"]);
    assert!(!filesystems.is_empty());
    let mut compared = 0;
    for row in &filesystems {
        let target = row["mount_point"].as_str().unwrap();
        let (Some(before), Some(after)) = (before.get(target), after.get(target)) else { continue };
        if row["size_bytes"].is_null() {
            continue;
        }
        assert_eq!((row["device"].as_str(), row["type"].as_str()), (Some(&*before[1]), Some(&*before[2])), "{target}");
        assert_eq!(row["size_bytes"].as_u64().unwrap().to_string(), before[3], "{target}");
        for (key, column) in [("used_bytes", 4), ("available_bytes", 5)] {
            let [a, b]: [f64; 2] = [before[column].parse().unwrap(), after[column].parse().unwrap()];
            let (ours, slack) = (row[key].as_f64().unwrap(), (8 << 20) as f64);
            assert!(ours >= a.min(b) - slack && ours <= a.max(b) + slack, "{target} {key}: {ours} is not in {a}..{b}");
        }
        let percent = |row: &[String]| row[6].trim_end_matches('%').parse::<f64>().unwrap();
        let ours = (row["used_ratio"].as_f64().unwrap() * 100.0).ceil();
        assert!(ours >= percent(before) - 1.0 && ours <= percent(after) + 1.0, "{target}: {ours} %");
        compared += 1;
    }
    assert!(compared > 0, "{filesystems:?}");

    let found: Value =
        serde_json::from_str(&prints("findmnt", &["--json", "--list", "--output", "TARGET,SOURCE,FSTYPE"])).unwrap();
    let found = found["filesystems"].as_array().unwrap();
    for row in &filesystems {
        let same = |one: &&Value| one["target"] == row["mount_point"] && one["fstype"] == row["type"];
        assert!(found.iter().any(|one| same(&one)), "findmnt does not know {row:?}");
    }
    // what df shows by default, and is no tmpfs or devtmpfs, is there
    for line in prints("df", &["-x", "tmpfs", "-x", "devtmpfs", "-x", "overlay", "--output=target"]).lines().skip(1) {
        assert!(filesystems.iter().any(|row| row["mount_point"] == line), "{line} is missing");
    }
}

#[test]
fn processes_are_those_of_ps() {
    let server = Server::new();
    let mut children: Vec<Child> =
        (0..20).map(|n| Command::new("sleep").arg(format!("100{n}")).spawn().unwrap()).collect();
    let pids: Vec<u32> = children.iter().map(Child::id).collect();
    // until each has become sleep
    eventually("all of them sleep", || {
        let asked: Vec<String> = pids.iter().map(u32::to_string).collect();
        let names = prints("ps", &["-o", "comm=", "-p", &asked.join(",")]);
        (names.lines().filter(|name| *name == "sleep").count() == 20).then_some(())
    });
    let ours = answer(&server, "processes", json!({ "pattern": "sleep 100", "limit": 200, "sort": "pid" }));
    let ours: BTreeMap<u64, _> =
        rows(&ours["processes"]).into_iter().map(|row| (row["pid"].as_u64().unwrap(), row)).collect();
    for pid in &pids {
        let line = prints("ps", &["-o", "ppid=,user:32=,stat=,rss=,nlwp=,etimes=,comm=,args=", "-p", &pid.to_string()]);
        let words: Vec<&str> = line.split_whitespace().collect();
        let row = ours.get(&u64::from(*pid)).unwrap_or_else(|| panic!("{pid} is missing"));
        assert_eq!(row["ppid"].to_string(), words[0]);
        assert_eq!(row["user"], words[1]);
        assert_eq!((row["state"].as_str(), &words[2][..1]), (Some("sleeping"), "S"));
        // what it has touched since: a page table's worth
        near("rss", row["memory_bytes"].as_f64().unwrap(), words[3].parse::<f64>().unwrap() * 1024.0, 262_144.0);
        assert_eq!(row["threads"].to_string(), words[4]);
        // ps is asked twenty times in a row, and on a busy machine that takes a while
        near("age", row["age_seconds"].as_f64().unwrap(), words[5].parse().unwrap(), 60.0);
        assert_eq!((row["name"].as_str(), row["command"].as_str()), (Some(words[6]), Some(&*words[7..].join(" "))));
        let one = answer(&server, "process", json!({ "pid": pid }));
        assert_eq!((one["ppid"].to_string(), one["name"].as_str()), (words[0].to_owned(), Some("sleep")));
    }
    let count = || prints("ps", &["-e", "-o", "pid="]).lines().count() as i64;
    let (before, total, after) = (count(), answer(&server, "processes", json!({}))["total"].as_i64().unwrap(), count());
    // ps counts itself, and others come and go
    assert!(total >= before.min(after) - 20 && total <= before.max(after) + 20, "{before} {total} {after}");
    for child in &mut children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn cpu_is_what_mpstat_says_idle_and_under_load() {
    let server = Server::new();
    let cpus = thread::available_parallelism().unwrap().get();
    for load in [0, cpus] {
        let _load = Load::on(load);
        // a window of ours is between one sampling and now, so that it may reach up to five seconds back
        if load > 0 {
            thread::sleep(Duration::from_secs(6));
        }
        // other tests run beside this one; the closest of a few tries is what counts
        let closest = (0..4)
            .map(|_| {
                let report: Value = serde_json::from_str(&prints("mpstat", &["-o", "JSON", "3", "1"])).unwrap();
                let theirs = &report["sysstat"]["hosts"][0]["statistics"][0]["cpu-load"][0];
                let theirs = 1.0 - (theirs["idle"].as_f64().unwrap() + theirs["iowait"].as_f64().unwrap()) / 100.0;
                let ours = answer(&server, "cpu", json!({}));
                let seconds = ours["window_seconds"].as_f64().unwrap();
                assert!((0.4..12.0).contains(&seconds), "{seconds}");
                (ours["busy_ratio"].as_f64().unwrap() - theirs).abs()
            })
            .fold(1.0, f64::min);
        assert!(closest <= 0.15, "under a load of {load} we are off by {closest}");
    }
}

#[test]
fn interfaces_are_those_of_ip() {
    let server = Server::new();
    let link = || -> Vec<Value> { serde_json::from_str(&prints("ip", &["-s", "-j", "link"])).unwrap() };
    let (before, ours, after) = (link(), answer(&server, "network", json!({ "all": true, "limit": 100 })), link());
    let interfaces = rows(&ours["interfaces"]);
    assert_eq!(ours["interfaces_total"].as_u64().unwrap() as usize, before.len());
    let addresses: Vec<Value> = serde_json::from_str(&prints("ip", &["-j", "addr"])).unwrap();
    for row in &interfaces {
        let name = &row["name"];
        let find = |list: &[Value]| list.iter().find(|one| one["ifname"] == *name).cloned();
        let (Some(before), Some(after)) = (find(&before), find(&after)) else { panic!("ip does not know {name}") };
        assert_eq!(row["mtu"], before["mtu"], "{name}");
        assert_eq!(row["state"].as_str().unwrap(), before["operstate"].as_str().unwrap().to_lowercase(), "{name}");
        for (key, side) in [("received_bytes", "rx"), ("sent_bytes", "tx")] {
            let read = |one: &Value| one["stats64"][side]["bytes"].as_u64().unwrap();
            let ours = row[key].as_u64().unwrap();
            assert!((read(&before)..=read(&after)).contains(&ours), "{name} {key}: {ours}");
        }
        let theirs: Vec<String> = find(&addresses).unwrap()["addr_info"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| format!("{}/{}", one["local"].as_str().unwrap(), one["prefixlen"]))
            .collect();
        let mut ours: Vec<String> = serde_json::from_value(row["addresses"].clone()).unwrap();
        let mut theirs: Vec<String> = theirs;
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs, "{name}");
    }
}

#[test]
fn load_and_uptime_are_those_of_the_kernel_and_uptime() {
    let server = Server::new();
    let theirs = || -> Vec<f64> {
        let line = prints("uptime", &[]);
        let (_, load) = line.trim().rsplit_once("load average: ").unwrap();
        load.split(", ").map(|one| one.parse().unwrap()).collect()
    };
    let (before, ours, after) = (theirs(), answer(&server, "cpu", json!({})), theirs());
    for (key, column) in [("last_1m", 0), ("last_5m", 1), ("last_15m", 2)] {
        let (low, high) = (before[column].min(after[column]), before[column].max(after[column]));
        let ours = ours["load"][key].as_f64().unwrap();
        // the kernel moves it every five seconds, between two of these three readings at most
        assert!(ours >= low * 0.9 - 0.1 && ours <= high * 1.1 + 0.1, "{key}: {ours} is not in {low}..{high}");
    }
    let since = prints("uptime", &["--since"]);
    let identity = answer(&server, "identity", json!({}));
    let booted = identity["uptime"]["boot_time"].as_str().unwrap().replace('T', " ");
    let parse = |text: &str| {
        prints("date", &["-u", "-d", text.trim().trim_end_matches('Z'), "+%s"]).trim().parse::<f64>().unwrap()
    };
    near("boot", parse(&booted), parse(&since), 3.0);
    assert_eq!(identity["kernel"]["release"], prints("uname", &["-r"]).trim());
    assert_eq!(identity["host"], prints("uname", &["-n"]).trim());
}

#[test]
fn history_fills_while_the_server_runs() {
    let server = Server::new();
    let began = std::time::Instant::now();
    let filled = eventually("two ticks are kept", || {
        thread::sleep(Duration::from_millis(500));
        let answer = answer(&server, "history", json!({ "series": ["cpu.busy"], "window": "1m" }));
        (!rows(&answer["series"]).is_empty()).then_some(answer)
    });
    assert!(began.elapsed() < PATIENCE);
    let row = &rows(&filled["series"])[0];
    let last = row["last"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&last), "{row:?}");
}
