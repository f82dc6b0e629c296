//! A scan of two thousand processes, next to what else there is. All in one process and in turn; `ps` is started anew each time, as it
//! has to be, and psutil runs in a Python that is already there.

use std::{
    cell::RefCell,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use procfs::process::all_processes;
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};
use facts::host::{First, Host, Scan};
use rights::grant::Grants;
use auth::Caller;
use tools::{tool::Turn, TOOLS};

use crate::{
    Options,
    figures::{median, ms, row, short, spread, verdict},
    herd::Herd,
};

/// How many sleep.
const COUNT: usize = 2000;

/// For every round of the options, because a scan is short.
const REPEATED: usize = 5;

/// One of those that scan.
type Peer<'a> = (&'static str, Box<dyn FnMut() -> Took + 'a>);

/// What one scan took.
struct Took {
    /// How many processes it saw, where it says so.
    count: usize,
    time: Duration,
    /// On the processor: what a busy machine does not change.
    cpu: Duration,
}

/// Measures them all.
pub fn run(options: &Options) {
    let herd = Herd::start(COUNT);
    let host = Host::open(Path::new("/"), First::Comes).expect("this machine");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let python = RefCell::new(Python::start(options));
    let mut kept = System::new().expect("sysinfo");
    let processes = TOOLS.iter().find(|tool| tool.name == "processes");
    let turn = Turn::new(host.clone(), Arc::new(Caller::stdio(Grants::usual())), ());

    let mut peers: Vec<Peer<'_>> =
        vec![(OURS, Box::new(|| timed(|| Scan::take(host.machine()).expect("a scan").processes.len())))];
    if let Some(tool) = processes {
        peers.push((
            TOOL,
            Box::new(|| {
                // two questions within 250 ms would share a scan
                std::thread::sleep(Duration::from_millis(260));
                timed(|| {
                    let report = runtime.block_on(tool.run(&turn, serde_json::Map::new())).expect("a report");
                    report["total"].as_u64().map_or(0, |total| total as usize)
                })
            }),
        ));
        let audit = options.scratch.join("call.jsonl");
        let call = move || command(Command::new(&options.server).args(["call", "processes", "--audit"]).arg(&audit));
        peers.push((CALL, Box::new(move || timed(&call))));
    }
    peers.push((PROCFS, Box::new(|| timed(with_procfs))));
    peers.push((SYSINFO_KEPT, Box::new(|| timed(|| with_sysinfo(&mut kept)))));
    peers.push((SYSINFO_NEW, Box::new(|| timed(|| with_sysinfo(&mut System::new().expect("sysinfo"))))));
    peers.push((PS, Box::new(|| timed(|| command(Command::new("ps").arg("aux"))))));
    peers.push((PSUTIL, Box::new(|| python.borrow_mut().scan("scan"))));
    peers.push((PSUTIL_LIST, Box::new(|| python.borrow_mut().scan("list"))));

    let mut taken: Vec<Vec<Took>> = peers.iter().map(|_| vec![]).collect();
    let count = peers.len();
    for n in 0..=options.rounds * REPEATED {
        eprintln!("scan: round {n} of {}", options.rounds * REPEATED);
        // another one begins each time: each leaves the caches as the next finds them
        for place in (0..count).map(|place| (place + n) % count) {
            let took = peers[place].1();
            // the first round fills caches and is not counted
            if n > 0 {
                taken[place].push(took);
            }
        }
    }
    let names: Vec<&str> = peers.iter().map(|(name, _)| *name).collect();
    drop(peers);
    drop(herd);
    report(&names, &taken);
}

const OURS: &str = "`Scan::take`";
const TOOL: &str = "the tool `processes`: scan, sort, 20 rows with command lines";
const CALL: &str = "`systemmanager-mcp call processes`, started anew";
const PROCFS: &str = "procfs: `all_processes`, stat";
const SYSINFO_KEPT: &str = "sysinfo, one `System` refreshed";
const SYSINFO_NEW: &str = "sysinfo, a new `System`";
const PS: &str = "`ps aux > /dev/null`, started anew";
const PSUTIL: &str = "psutil: `process_iter`, the nine fields of a scan";
const PSUTIL_LIST: &str = "psutil: `process_iter`, with user names and command lines";

fn report(names: &[&str], taken: &[Vec<Took>]) {
    let times: Vec<Vec<f64>> =
        taken.iter().map(|rounds| rounds.iter().map(|took| took.time.as_secs_f64()).collect()).collect();
    let of = |name: &str| names.iter().position(|known| *known == name).map(|place| &times[place]);
    let scan = of(OURS).expect("ours");
    // without the tool, its scan stands for it
    let tool = of(TOOL).unwrap_or(scan);
    let crates = [PROCFS, SYSINFO_KEPT, SYSINFO_NEW];
    let best = crates.iter().filter_map(|name| of(name)).map(|times| median(times)).fold(f64::INFINITY, f64::min);
    for ((name, taken), times) in names.iter().zip(taken).zip(&times) {
        let ours_too = [OURS, TOOL, CALL].contains(name);
        let (base, against) = if crates.contains(name) { (scan, "`Scan::take`") } else { (tool, "the tool") };
        let ratios: Vec<f64> = times.iter().zip(base).map(|(theirs, ours)| theirs / ours).collect();
        let ratio =
            if ours_too { String::new() } else { format!("{} times as long as {against}", spread(&ratios, short)) };
        let target = match *name {
            PS => verdict("≥ 5 × as long as the tool", median(&ratios) >= 5.0),
            PSUTIL => verdict("≥ 20 × as long as the tool", median(&ratios) >= 20.0),
            OURS => verdict("no slower than the best crate", median(scan) <= best * 1.02),
            _ => String::new(),
        };
        let what = match taken.last().map(|took| took.count) {
            None | Some(0) => format!("scan: {name}"),
            Some(count) => format!("scan of {count} processes: {name}"),
        };
        let cpu: Vec<f64> = taken.iter().map(|took| took.cpu.as_secs_f64()).collect();
        let time = format!("{}, CPU {}", spread(times, ms), ms(median(&cpu)));
        if ours_too { row(&what, &time, "", &ratio, &target) } else { row(&what, "", &time, &ratio, &target) }
    }
}

/// Times a scan in this process, or in one that has ended when it returns.
fn timed(scan: impl FnOnce() -> usize) -> Took {
    let cpu = || cpu_time(libc::RUSAGE_SELF) + cpu_time(libc::RUSAGE_CHILDREN);
    let (began, busy) = (Instant::now(), cpu());
    let count = scan();
    Took { count, time: began.elapsed(), cpu: cpu() - busy }
}

/// What this process (`RUSAGE_SELF`) or those that it started and that have ended have spent on the processor.
pub fn cpu_time(whose: i32) -> Duration {
    let mut usage = std::mem::MaybeUninit::zeroed();
    // SAFETY: a structure of numbers, which are all right when they are zero, and the call fills it in
    let usage: libc::rusage = unsafe {
        libc::getrusage(whose, usage.as_mut_ptr());
        usage.assume_init()
    };
    [usage.ru_utime, usage.ru_stime]
        .iter()
        .map(|time| Duration::new(time.tv_sec.cast_unsigned(), time.tv_usec as u32 * 1000))
        .sum()
}

fn command(command: &mut Command) -> usize {
    let status = command.stdout(Stdio::null()).status().expect("it starts");
    assert!(status.success(), "{command:?} failed");
    0
}

/// The fields of our own [`Process`](facts::host::Process).
fn with_procfs() -> usize {
    let mut sum = 0;
    let processes: Vec<_> = all_processes()
        .expect("proc")
        .filter_map(|process| {
            let process = process.ok()?;
            let stat = process.stat().ok()?;
            sum += stat.rss;
            Some(stat)
        })
        .collect();
    std::hint::black_box(sum);
    processes.len()
}

/// The same, as near as this crate comes to it: no command lines, environments, executables or threads.
fn with_sysinfo(system: &mut System) -> usize {
    let what = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
    system.processes().len()
}

/// A Python with psutil loaded.
struct Python {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Python {
    fn start(options: &Options) -> Self {
        let mut child = Command::new(&options.python)
            .arg(&options.psutil_peer)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python");
        let ask = child.stdin.take().expect("its input");
        let answers = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, ask, answers }
    }

    fn scan(&mut self, what: &str) -> Took {
        writeln!(self.ask, "{what}").expect("psutil");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("psutil");
        let figures: Vec<f64> = line.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
        let &[time, cpu, count] = &figures[..] else { panic!("psutil said {line:?}") };
        Took { count: count as usize, time: Duration::from_secs_f64(time), cpu: Duration::from_secs_f64(cpu) }
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
