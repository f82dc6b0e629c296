//! What the server says of this machine is what the machine's own tools say at the same moment, idle and under load.
//!
//! Ours is held between two readings of the other tool, one before and one after it. That is exact for what only grows, however slow the
//! machine is in between. What goes up and down has a tolerance, said where it stands. All is tried again until it holds: others take and
//! give back as well, the tests beside these among them, and what is wrong in the program is wrong every time.
//!
//! The load is made of children that end with their test, by their pid.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::common::{PATIENCE, Server, Setup, eventually, is_root};

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

/// The bytes by which the kernel's own two figures of a process's resident memory differ: `stat`, which a scan reads, leaves out what each
/// CPU has not yet added to the three counters (at most a batch of 32 pages or twice the CPUs); since Linux 6.16 `status`, which `ps`
/// reads, does not.
fn rss_slack() -> f64 {
    let cpus = thread::available_parallelism().unwrap().get();
    (3 * cpus * (2 * cpus).max(32) * rustix::param::page_size()) as f64
}

/// Takes ours between two readings of theirs until they agree; `check` says what does not. An answer is never one that was shared from
/// before: those live for 250 ms.
fn between<T, O>(theirs: impl Fn() -> T, ours: impl Fn() -> O, check: impl Fn(&T, &O, &T) -> Result<(), String>) {
    let began = Instant::now();
    for tries in 1.. {
        thread::sleep(Duration::from_millis(300));
        let (before, ours, after) = (theirs(), ours(), theirs());
        match check(&before, &ours, &after) {
            Ok(()) => return,
            Err(why) => assert!(began.elapsed() < PATIENCE, "not once in {tries} tries: {why}"),
        }
    }
}

/// Whether ours is just what theirs is.
fn same<T: PartialEq + Debug>(what: &str, ours: T, theirs: T) -> Result<(), String> {
    if ours == theirs { Ok(()) } else { Err(format!("{what}: we say {ours:?}, they say {theirs:?}")) }
}

/// Whether ours is no further than `slack` from what lies between theirs.
fn within(what: &str, before: f64, ours: f64, after: f64, slack: f64) -> Result<(), String> {
    let (low, high) = (before.min(after) - slack, before.max(after) + slack);
    if (low..=high).contains(&ours) { Ok(()) } else { Err(format!("{what}: {ours} is not in {low}..{high}")) }
}

/// For whoever makes the CPUs busy, or looks at how busy they are: one test after the other.
fn alone() -> MutexGuard<'static, ()> {
    static BUSY: Mutex<()> = Mutex::new(());
    BUSY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Programs that run until this is dropped.
struct Load(Vec<Child>);

impl Load {
    fn of(count: usize, command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self((0..count).map(|_| command.spawn().unwrap()).collect())
    }

    /// Keeps so many CPUs busy.
    fn on(cpus: usize) -> Self {
        Self::of(cpus, Command::new("sh").args(["-c", "while :; do :; done"]))
    }

    /// Holds so much memory: tail keeps what it is sent until its input ends.
    fn holding(bytes: usize) -> Self {
        let mut tail = Command::new("tail");
        tail.args(["-c", &bytes.to_string()]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut tail = tail.spawn().unwrap();
        let input = tail.stdin.as_mut().unwrap();
        (0..bytes.div_ceil(1 << 20)).for_each(|_| input.write_all(&[b'x'; 1 << 20]).unwrap());
        // what is in the pipe still is not in its memory
        let resident = || prints("ps", &["-o", "rss=", "-p", &tail.id().to_string()]).trim().parse::<usize>().unwrap();
        eventually("tail holds it", || (resident() * 1024 + (1 << 20) > bytes).then_some(()));
        Self(vec![tail])
    }

    fn pids(&self) -> Vec<u32> {
        self.0.iter().map(Child::id).collect()
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
fn memory_is_what_free_says_idle_and_while_a_program_holds_much() {
    const MIB: usize = 1 << 20;
    let server = Server::new();
    let free = || -> Vec<Vec<f64>> {
        let lines = prints("free", &["-b"]);
        let numbers = |line: &str| line.split_whitespace().skip(1).map(|word| word.parse().unwrap()).collect();
        lines.lines().skip(1).map(numbers).collect()
    };
    // held six times as much as the tolerance: what is left of an answer before the load would be seen. 64 MiB is what a compiler that
    // runs beside takes and gives back within one reading
    for held in [0, 384 * MIB] {
        let _load = (held > 0).then(|| Load::holding(held));
        between(
            free,
            || answer(&server, "memory", json!({})),
            |before, ours, after| {
                let of = |key: &str| ours[key].as_f64().unwrap();
                assert_eq!(of("total_bytes"), before[0][0]);
                assert_eq!(of("used_bytes"), of("total_bytes") - of("available_bytes"));
                within("swap", before[1][0], of("swap_total_bytes"), after[1][0], 0.0)?;
                [("free_bytes", 0, 2), ("shared_bytes", 0, 3), ("available_bytes", 0, 5), ("swap_used_bytes", 1, 1)]
                    .into_iter()
                    .try_for_each(|(key, row, column)| {
                        within(key, before[row][column], of(key), after[row][column], (64 * MIB) as f64)
                    })
            },
        );
    }
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
    let ours = || rows(&answer(&server, "disks", json!({ "limit": 200 }))["filesystems"]);
    between(df, ours, |before, filesystems, after| {
        let mut compared = 0;
        for row in filesystems {
            let target = row["mount_point"].as_str().unwrap();
            let (Some(before), Some(after)) = (before.get(target), after.get(target)) else { continue };
            if row["size_bytes"].is_null() {
                continue;
            }
            same(target, (row["device"].as_str(), row["type"].as_str()), (Some(&*before[1]), Some(&*before[2])))?;
            same(target, row["size_bytes"].as_u64().unwrap().to_string(), before[3].clone())?;
            for (key, column) in [("used_bytes", 4), ("available_bytes", 5)] {
                let [a, b]: [f64; 2] = [before[column].parse().unwrap(), after[column].parse().unwrap()];
                within(&format!("{target} {key}"), a, row[key].as_f64().unwrap(), b, (8 << 20) as f64)?;
            }
            let percent = |row: &[String]| row[6].trim_end_matches('%').parse::<f64>().unwrap();
            let ours = (row["used_ratio"].as_f64().unwrap() * 100.0).ceil();
            within(&format!("{target} %"), percent(before), ours, percent(after), 1.0)?;
            compared += 1;
        }
        same("whether anything was compared", compared > 0, true)
    });

    // which there are
    let theirs = || {
        let found = prints("findmnt", &["--json", "--list", "--output", "TARGET,SOURCE,FSTYPE"]);
        // what df shows by default, and is no tmpfs or devtmpfs
        let shown = prints("df", &["-x", "tmpfs", "-x", "devtmpfs", "-x", "overlay", "--output=target"]);
        (serde_json::from_str::<Value>(&found).unwrap()["filesystems"].clone(), shown)
    };
    between(theirs, ours, |_, filesystems, (found, shown)| {
        for row in filesystems {
            let is_it = |one: &Value| one["target"] == row["mount_point"] && one["fstype"] == row["type"];
            same(&format!("whether findmnt knows {row:?}"), true, found.as_array().unwrap().iter().any(is_it))?;
        }
        shown.lines().skip(1).try_for_each(|line| {
            same(&format!("whether {line} is there"), filesystems.iter().any(|row| row["mount_point"] == line), true)
        })
    });
}

/// As root on a memory filesystem that only this test writes to, where nothing but the order of the readings counts; otherwise on the one
/// of temporary files, to which others write as well.
#[test]
fn filesystems_are_those_of_df_and_findmnt_while_one_of_them_fills() {
    const MIB: f64 = (1 << 20) as f64;
    let mounts =
        is_root().then_some("mkdir \"$SCRATCH/filling\" && mount -t tmpfs -o size=512m filling \"$SCRATCH/filling\"");
    let server = Setup { mounts, ..Setup::default() }.start();
    let pid = server.pid().as_raw_nonzero().to_string();
    let enter = |program: &str| -> Vec<String> {
        let enter = ["nsenter", "--mount", "--target", &pid];
        let enter = if is_root() { &enter[..] } else { &[] };
        enter.iter().chain(&[program]).map(|word| (*word).to_owned()).collect()
    };
    let prints = |program: &str, arguments: &[&str]| {
        let words = enter(program);
        let words: Vec<&str> = words.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
        prints(words[0], &words[1..])
    };
    let directory = if is_root() { server.scratch.path("filling") } else { server.scratch.0.clone() };
    let directory = directory.to_str().unwrap();
    let df = || -> Vec<f64> {
        let lines = prints("df", &["-B1", "--output=size,used,avail", directory]);
        lines.lines().nth(1).unwrap().split_whitespace().map(|word| word.parse().unwrap()).collect()
    };
    let target = prints("df", &["--output=target", directory]).lines().nth(1).unwrap().to_owned();

    let empty = df();
    // 256 KiB each hundredth of a second: it fills while it is looked at, and is not full before that ends
    let words = enter("sh");
    let fill = "for n in $(seq 2000); do head -c 262144 /dev/zero; sleep 0.01; done >\"$0/fill\"";
    let _load = Load::of(1, Command::new(&words[0]).args(&words[1..]).args(["-c", fill, directory]));
    eventually("the writer writes", || (df()[1] > empty[1] + 4.0 * MIB).then_some(()));

    // on the common one 64 MiB: what a compiler's files come and go by within one reading
    let slack = if is_root() { 0.0 } else { 64.0 * MIB };
    for _ in 0..3 {
        let ours = || -> BTreeMap<String, Value> {
            let all = answer(&server, "disks", json!({ "limit": 200 }));
            rows(&all["filesystems"]).into_iter().find(|row| row["mount_point"] == target).expect("it is listed")
        };
        between(df, ours, |before, ours, after| {
            let of = |key: &str| ours[key].as_f64().unwrap();
            assert_eq!(of("size_bytes"), before[0]);
            within("used", before[1], of("used_bytes"), after[1], slack)?;
            within("available", before[2], of("available_bytes"), after[2], slack)?;
            // rounded up to a ten thousandth
            let share = |df: &[f64]| df[1] / (df[1] + df[2]);
            within("ratio", share(before), of("used_ratio"), share(after), slack / before[0] + 1e-4)
        });
        let found: Value =
            serde_json::from_str(&prints("findmnt", &["--json", "--output", "FSTYPE", &target])).unwrap();
        assert_eq!(found["filesystems"][0]["fstype"], ours()["type"]);
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
    let asked: Vec<String> = pids.iter().map(u32::to_string).collect();
    let ps = || -> BTreeMap<u64, Vec<String>> {
        let columns = "pid=,ppid=,user:32=,stat=,rss=,nlwp=,etimes=,comm=,args=";
        let words = |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
        let lines = prints("ps", &["-o", columns, "-p", &asked.join(",")]);
        lines.lines().map(words).map(|row| (row[0].parse().unwrap(), row)).collect()
    };
    let ours = || -> BTreeMap<u64, _> {
        let ours = answer(&server, "processes", json!({ "pattern": "sleep 100", "limit": 200, "sort": "pid" }));
        rows(&ours["processes"]).into_iter().map(|row| (row["pid"].as_u64().unwrap(), row)).collect()
    };
    between(ps, ours, |before, ours, after| {
        for pid in pids.iter().map(|pid| u64::from(*pid)) {
            let (before, words) = (&before[&pid], &after[&pid]);
            let row = ours.get(&pid).ok_or_else(|| format!("{pid} is missing"))?;
            let text = |key: &str| row[key].as_str().map(str::to_owned);
            same("ppid", row["ppid"].to_string(), words[1].clone())?;
            same("user", text("user"), Some(words[2].clone()))?;
            same("state", (text("state"), &words[3][..1]), (Some("sleeping".to_owned()), "S"))?;
            let bytes = |words: &[String]| words[4].parse::<f64>().unwrap() * 1024.0;
            within("rss", bytes(before), row["memory_bytes"].as_f64().unwrap(), bytes(words), rss_slack())?;
            same("threads", row["threads"].to_string(), words[5].clone())?;
            let seconds = |words: &[String]| words[6].parse::<f64>().unwrap();
            // ps rounds down
            within("age", seconds(before), row["age_seconds"].as_f64().unwrap(), seconds(words), 1.0)?;
            same("name", (text("name"), text("command")), (Some(words[7].clone()), Some(words[8..].join(" "))))?;
        }
        Ok(())
    });
    for pid in &pids {
        let one = answer(&server, "process", json!({ "pid": pid }));
        assert_eq!((one["ppid"].as_u64(), one["name"].as_str()), (Some(std::process::id().into()), Some("sleep")));
    }
    // ps counts itself, and others come and go
    let count = || prints("ps", &["-e", "-o", "pid="]).lines().count() as f64;
    let total = || answer(&server, "processes", json!({}))["total"].as_f64().unwrap();
    between(count, total, |before, ours, after| within("total", *before, *ours, *after, 20.0));
    for child in &mut children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn processes_are_those_of_ps_when_there_are_hundreds_and_some_are_busy() {
    let _alone = alone();
    let server = Server::new();
    let sleeping = Load::of(300, Command::new("sleep").arg("2222"));
    let busy = Load::on(2);
    let ps = |columns: &str| -> BTreeMap<u64, Vec<String>> {
        let lines = prints("ps", &["-e", "-o", columns]);
        let words = |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
        lines.lines().map(words).map(|row| (row[0].parse().unwrap(), row)).collect()
    };
    let is_there = |pids: &[u32], name: &str| {
        let all = ps("pid=,comm=");
        pids.iter().all(|pid| all.get(&u64::from(*pid)).is_some_and(|row| row[1] == name))
    };
    eventually("all of them run", || {
        (is_there(&sleeping.pids(), "sleep") && is_there(&busy.pids(), "sh")).then_some(())
    });

    // more than one page
    let ours = || -> BTreeMap<u64, BTreeMap<String, Value>> {
        let (mut ours, mut cursor) = (BTreeMap::new(), Value::Null);
        loop {
            let mut asked = json!({ "pattern": "sleep 2222", "sort": "pid", "limit": 200 });
            if !cursor.is_null() {
                asked["cursor"] = cursor;
            }
            let page = answer(&server, "processes", asked);
            assert!(page["matching"].as_u64().unwrap() >= 300, "{page}");
            ours.extend(rows(&page["processes"]).into_iter().map(|row| (row["pid"].as_u64().unwrap(), row)));
            cursor = page["next_cursor"].clone();
            if cursor.is_null() {
                return ours;
            }
        }
    };
    between(
        || ps("pid=,ppid=,stat=,rss="),
        ours,
        |before, ours, after| {
            for pid in sleeping.pids().into_iter().map(u64::from) {
                let ours = ours.get(&pid).ok_or_else(|| format!("{pid} is missing"))?;
                let (before, after) = (&before[&pid], &after[&pid]);
                same("ppid", ours["ppid"].to_string(), after[1].clone())?;
                same("state", (ours["state"].as_str(), &after[2][..1]), (Some("sleeping"), "S"))?;
                let bytes = |row: &[String]| row[3].parse::<f64>().unwrap() * 1024.0;
                within("rss", bytes(before), ours["memory_bytes"].as_f64().unwrap(), bytes(after), rss_slack())?;
            }
            Ok(())
        },
    );
    // others come and go; ps sees itself
    let count = || ps("pid=").len() as f64;
    let total = || answer(&server, "processes", json!({}))["total"].as_f64().unwrap();
    between(count, total, |before, ours, after| within("total", *before, *ours, *after, 20.0));
    // CPU time only grows; ps shows it in whole seconds, rounded down
    for pid in busy.pids() {
        let pid = pid.to_string();
        let seconds = || prints("ps", &["-o", "cputimes=", "-p", &pid]).trim().parse::<f64>().unwrap();
        let used = || {
            let one = answer(&server, "process", json!({ "pid": pid.parse::<u32>().unwrap() }));
            assert_eq!(one["name"], "sh");
            one["cpu"]["user_seconds"].as_f64().unwrap() + one["cpu"]["system_seconds"].as_f64().unwrap()
        };
        between(seconds, used, |before, ours, after| within("CPU time", *before, *ours, after + 1.0, 0.0));
    }
}

#[test]
fn cpu_is_what_mpstat_says_idle_and_under_load() {
    let _alone = alone();
    let server = Server::new();
    let cpus = thread::available_parallelism().unwrap().get();
    for load in [0, cpus] {
        let _load = Load::on(load);
        // a window of ours is between one sampling and now, so that it may reach up to five seconds back
        if load > 0 {
            thread::sleep(Duration::from_secs(6));
        }
        let mpstat = || {
            let report: Value = serde_json::from_str(&prints("mpstat", &["-o", "JSON", "3", "1"])).unwrap();
            let theirs = &report["sysstat"]["hosts"][0]["statistics"][0]["cpu-load"][0];
            1.0 - (theirs["idle"].as_f64().unwrap() + theirs["iowait"].as_f64().unwrap()) / 100.0
        };
        // what other tests take of the CPUs changes: in one of the tries it is the same before and after
        between(
            mpstat,
            || answer(&server, "cpu", json!({})),
            |before, ours, _| {
                let seconds = ours["window_seconds"].as_f64().unwrap();
                assert!(seconds >= 0.4, "{seconds}");
                within("window", 0.4, seconds, 12.0, 0.0)?;
                let ours = ours["busy_ratio"].as_f64().unwrap();
                within(&format!("busy under a load of {load}"), *before, ours, *before, 0.15)
            },
        );
    }
}

#[test]
fn interfaces_are_those_of_ip() {
    let server = Server::new();
    let link = || -> Vec<Value> { serde_json::from_str(&prints("ip", &["-s", "-j", "link"])).unwrap() };
    let theirs =
        || -> (Vec<Value>, Vec<Value>) { (link(), serde_json::from_str(&prints("ip", &["-j", "addr"])).unwrap()) };
    let ours = || answer(&server, "network", json!({ "all": true, "limit": 100 }));
    // interfaces come and go, with containers
    between(theirs, ours, |(before, _), ours, (after, addresses)| {
        same("interfaces", ours["interfaces_total"].as_u64().unwrap() as usize, before.len())?;
        for row in rows(&ours["interfaces"]) {
            let name = row["name"].as_str().unwrap();
            let find = |list: &[Value]| {
                let one = list.iter().find(|one| one["ifname"] == name).cloned();
                one.ok_or_else(|| format!("ip does not know {name}"))
            };
            let (before, after) = (find(before)?, find(after)?);
            same(name, &row["mtu"], &before["mtu"])?;
            same(name, row["state"].as_str().unwrap(), &before["operstate"].as_str().unwrap().to_lowercase())?;
            for (key, side) in [("received_bytes", "rx"), ("sent_bytes", "tx")] {
                let read = |one: &Value| one["stats64"][side]["bytes"].as_f64().unwrap();
                within(&format!("{name} {key}"), read(&before), row[key].as_f64().unwrap(), read(&after), 0.0)?;
            }
            let addresses = find(addresses)?["addr_info"].as_array().unwrap().clone();
            let theirs = addresses.iter().map(|one| format!("{}/{}", one["local"].as_str().unwrap(), one["prefixlen"]));
            let mut theirs: Vec<String> = theirs.collect();
            let mut ours: Vec<String> = serde_json::from_value(row["addresses"].clone()).unwrap();
            ours.sort();
            theirs.sort();
            same(name, ours, theirs)?;
        }
        Ok(())
    });
}

/// Sends as much as it can over the loopback until dropped.
struct Traffic(TcpStream);

impl Traffic {
    fn flows() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut from = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut to, _) = listener.accept().unwrap();
        let kept = from.try_clone().unwrap();
        thread::spawn(move || while from.write_all(&[0; 65_536]).is_ok() {});
        thread::spawn(move || while to.read(&mut [0; 65_536]).is_ok_and(|read| read > 0) {});
        Self(kept)
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

#[test]
fn counters_of_an_interface_are_those_of_ip_while_it_is_busy() {
    let _alone = alone();
    let server = Server::new();
    let _traffic = Traffic::flows();
    let ip = || -> Value {
        let link: Value = serde_json::from_str(&prints("ip", &["-s", "-j", "link", "show", "lo"])).unwrap();
        link[0]["stats64"].clone()
    };
    let count = |stats: &Value, side: &str, what: &str| stats[side][what].as_f64().unwrap();
    let idle = ip();
    eventually("it is busy", || (count(&ip(), "tx", "bytes") > count(&idle, "tx", "bytes") + 1e7).then_some(()));
    let ours = || answer(&server, "network", json!({ "name": "lo" }));
    let mut last = 0.0;
    for _ in 0..3 {
        between(ip, ours, |before, ours, after| {
            let row = &rows(&ours["interfaces"])[0];
            let counters = &ours["interface"]["counters"];
            for (side, bytes) in [("rx", "received_bytes"), ("tx", "sent_bytes")] {
                let grows = |what: &str, ours: &Value| {
                    within(bytes, count(before, side, what), ours.as_f64().unwrap(), count(after, side, what), 0.0)
                };
                grows("bytes", &row[bytes])?;
                grows("bytes", &counters[format!("{side}_bytes")])?;
                grows("packets", &counters[format!("{side}_packets")])?;
            }
            Ok(())
        });
        last = eventually("more has passed", || {
            let sent = rows(&ours()["interfaces"])[0]["sent_bytes"].as_f64().unwrap();
            (sent > last).then_some(sent)
        });
    }
}

#[test]
fn the_load_is_what_uptime_says_while_every_cpu_is_wanted() {
    let _alone = alone();
    let server = Server::new();
    let load = Load::on(thread::available_parallelism().unwrap().get() + 2);
    let uptime = || -> Vec<f64> {
        let line = prints("uptime", &[]);
        let (_, load) = line.trim().rsplit_once("load average: ").unwrap();
        load.split(", ").map(|one| one.parse().unwrap()).collect()
    };
    // until the kernel has counted them: it does so every five seconds
    let first = uptime();
    eventually("the load moves", || (uptime() != first).then_some(()));
    between(
        uptime,
        || answer(&server, "cpu", json!({}))["load"].clone(),
        |before, ours, after| {
            // each of these wants a CPU all the time
            let wanted = load.0.len() as f64;
            within("runnable", wanted, ours["runnable"].as_f64().unwrap(), f64::INFINITY, 0.0)?;
            // both are the kernel's figure to two digits, and it moves all three at once
            [("last_1m", 0), ("last_5m", 1), ("last_15m", 2)].into_iter().try_for_each(|(key, column)| {
                within(key, before[column], ours[key].as_f64().unwrap(), after[column], 0.011)
            })
        },
    );
}

#[test]
fn load_and_uptime_are_those_of_the_kernel_and_uptime() {
    let server = Server::new();
    let theirs = || -> Vec<f64> {
        let line = prints("uptime", &[]);
        let (_, load) = line.trim().rsplit_once("load average: ").unwrap();
        load.split(", ").map(|one| one.parse().unwrap()).collect()
    };
    between(
        theirs,
        || answer(&server, "cpu", json!({}))["load"].clone(),
        |before, ours, after| {
            [("last_1m", 0), ("last_5m", 1), ("last_15m", 2)].into_iter().try_for_each(|(key, column)| {
                // the kernel moves it every five seconds, between two of these three readings at most
                let (low, high) = (before[column].min(after[column]), before[column].max(after[column]));
                within(key, low * 0.9 - 0.1, ours[key].as_f64().unwrap(), high * 1.1 + 0.1, 0.0)
            })
        },
    );
    let parse = |text: &str| {
        prints("date", &["-u", "-d", text.trim().trim_end_matches('Z'), "+%s"]).trim().parse::<f64>().unwrap()
    };
    between(
        || parse(&prints("uptime", &["--since"])),
        || answer(&server, "identity", json!({})),
        |before, ours, after| {
            let booted = ours["uptime"]["boot_time"].as_str().unwrap().replace('T', " ");
            within("boot", *before, parse(&booted), *after, 3.0)
        },
    );
    let identity = answer(&server, "identity", json!({}));
    assert_eq!(identity["kernel"]["release"], prints("uname", &["-r"]).trim());
    assert_eq!(identity["host"], prints("uname", &["-n"]).trim());
}

#[test]
fn history_fills_while_the_server_runs() {
    let server = Server::new();
    let filled = eventually("two ticks are kept", || {
        thread::sleep(Duration::from_millis(500));
        let answer = answer(&server, "history", json!({ "series": ["cpu.busy"], "window": "1m" }));
        (!rows(&answer["series"]).is_empty()).then_some(answer)
    });
    let row = &rows(&filled["series"])[0];
    let last = row["last"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&last), "{row:?}");
}
