//! What the server costs while it lives: its start, its rest, its memory, its size.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;
use facts::host::{History, TICK};

use crate::{
    Options,
    figures::{median, mib, ms, percent, row, spread, verdict},
    load::{self, Pace},
    server::{Server, memory},
};

/// Measures all of it.
pub fn run(options: &Options) {
    start(options);
    rest(options);
    size(options);
}

/// From exec to the first answer, as a trial: its token is not hashed, as in the first minutes of everybody's use.
fn start(options: &Options) {
    let tokens = options.scratch.join("trial-token");
    let _ = std::fs::remove_file(&tokens);
    // the first start makes the token, and is not counted
    let first = Server::trial(options, &tokens);
    first.wait_until_listening();
    drop(first);
    let first_answer = |ask: &dyn Fn(&Server) -> Result<serde_json::Value, String>| -> Vec<f64> {
        let rounds = (options.rounds * 3).max(3);
        (0..rounds)
            .map(|n| {
                eprintln!("life: start {} of {rounds}", n + 1);
                let began = Instant::now();
                let server = Server::trial(options, &tokens);
                server.wait_until_listening();
                ask(&server).expect("an answer");
                began.elapsed().as_secs_f64()
            })
            .collect()
    };
    let list = first_answer(&|server| server.ask(&server.request(1, "tools/list", None, json!({}))));
    row(
        "start to the first answer, `tools/list`",
        &spread(&list, ms),
        "",
        "",
        &verdict("< 30 ms", median(&list) < 0.030),
    );
    for tool in ["processes", "memory", "overview"] {
        let probe = Server::trial(options, &tokens);
        probe.wait_until_listening();
        if !probe.tools().iter().any(|there| there["name"] == tool) {
            continue;
        }
        drop(probe);
        let times = first_answer(&|server| server.call(tool, json!({})));
        let met = median(&times) < 0.030;
        row(&format!("start to the first answer, `{tool}`"), &spread(&times, ms), "", "", &verdict("< 30 ms", met));
    }
}

/// At rest before and after a thousand clients, and with a full history.
fn rest(options: &Options) {
    let server = Server::ours(options);
    let tool = if server.tools().iter().any(|tool| tool["name"] == "overview") { "overview" } else { "memory" };
    let _ = server.call(tool, json!({}));
    let wait = options.wait(60.0);
    eprintln!("life: at rest for {} s", wait.as_secs());
    std::thread::sleep(Duration::from_secs(3));
    let before = server.cpu_time();
    std::thread::sleep(wait);
    let busy = (server.cpu_time() - before).as_secs_f64() / wait.as_secs_f64();
    let idle = server.memory("VmRSS");
    row(
        &format!("CPU at rest, sampling, over {} s", wait.as_secs()),
        &format!("{:.3} % of a core", busy * 100.0),
        "",
        "",
        &verdict("< 0.2 %", busy < 0.002),
    );
    row("memory at rest", &format!("RSS {} ({} anonymous)", mib(idle), mib(server.memory("RssAnon"))), "", "", "");

    let full = Command::new(std::env::current_exe().expect("our own path")).arg("history").output().expect("history");
    let full: f64 = String::from_utf8_lossy(&full.stdout).trim().parse().expect("a number of bytes");
    row(
        "memory at rest with the history full (36 h of 256 series, filled by a fake clock)",
        &format!("RSS {}: the above and {}", mib(idle + full), mib(full)),
        "",
        "",
        &verdict("< 12 MiB", idle + full < f64::from(12 << 20)),
    );

    let load = options.wait(30.0);
    eprintln!("life: 1,000 clients for {} s", load.as_secs());
    server.forget_peak();
    let outcome = load::run(&server, tool, 1000, Pace::Saturating, load);
    let peak = server.memory("VmHWM");
    std::thread::sleep(Duration::from_secs(1));
    let at_once = server.memory("VmRSS");
    std::thread::sleep(options.wait(30.0));
    let later = server.memory("VmRSS");
    row(
        &format!(
            "memory after {} s of 1,000 saturating clients ({} calls, {} failed)",
            load.as_secs(),
            outcome.answered,
            outcome.failed
        ),
        &format!(
            "RSS peak {}, {} a second after, {} ({} anonymous) {} s after",
            mib(peak),
            mib(at_once),
            mib(later),
            mib(server.memory("RssAnon")),
            options.wait(30.0).as_secs()
        ),
        "",
        &format!("{} of at rest before", percent(later / idle)),
        &verdict("back within 20 %", later <= idle * 1.2),
    );
}

fn size(options: &Options) {
    let size = std::fs::metadata(&options.server).expect("the program").len() as f64;
    let sections = Command::new("readelf").args(["-lSW"]).arg(&options.server).output().expect("readelf");
    let sections = String::from_utf8_lossy(&sections.stdout).into_owned();
    let linked = if sections.contains("INTERP") { "dynamic" } else { "static" };
    let symbols = if sections.contains(".symtab") { "not stripped" } else { "stripped" };
    let met = size < f64::from(8 << 20) && linked == "static";
    row("the program", &format!("{}, {linked}, {symbols}", mib(size)), "", "", &verdict("< 8 MiB", met));
}

/// Prints how many bytes of resident memory a full history takes: in a process of its own, so that nothing is freed or shared.
pub fn history() {
    // an hour of ticks and a day of minutes, and half a day more until every ring has turned
    const TICKS: u32 = 36 * 720;
    let series = |n: u32| -> Vec<(String, f64)> {
        (0..256).map(|of| (format!("disk.nvme{of}n1.read_bytes_per_second"), f64::from(n * of))).collect()
    };
    let mut values = series(0);
    let before = resident();
    let mut history = History::default();
    for n in 0..TICKS {
        for (of, (_, value)) in (0_u32..).zip(&mut values) {
            *value = f64::from((n ^ of) % 1000);
        }
        history.push(TICK * n, &values);
    }
    let after = resident();
    assert_eq!(history.names().count(), 256);
    println!("{}", after - before);
}

fn resident() -> f64 {
    // SAFETY: takes no pointer and frees nothing that is in use
    unsafe { libmimalloc_sys::mi_collect(true) }
    memory("self", "VmRSS")
}
