//! What the CPUs did since the start.

use super::Seen;
use crate::exposition::{Exposition, Kind};

/// Times of each CPU, and what is counted of all together.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let stat = &seen.sample.stat;
    let ticks_per_second = seen.sample.ticks_per_second.max(1);
    let cpus = seen.machine.steady(&stat.cpus, ticks_per_second);
    let seconds = |ticks: u64| ticks as f64 / ticks_per_second as f64;
    let mut time = page.family("node_cpu_seconds_total", Kind::Counter, "Seconds that each CPU spent in each mode.");
    for (cpu, times) in &cpus {
        let cpu = cpu.to_string();
        for (mode, ticks) in [
            ("idle", times.idle),
            ("iowait", times.iowait),
            ("irq", times.irq),
            ("nice", times.nice),
            ("softirq", times.softirq),
            ("steal", times.steal),
            ("system", times.system),
            ("user", times.user),
        ] {
            time.add(&[("cpu", &cpu), ("mode", mode)], seconds(ticks));
        }
    }
    drop(time);
    let help = "Seconds that each CPU spent in virtual machines; they are part of user and nice.";
    let mut guests = page.family("node_cpu_guest_seconds_total", Kind::Counter, help);
    for (cpu, times) in &cpus {
        let cpu = cpu.to_string();
        guests.add(&[("cpu", &cpu), ("mode", "nice")], seconds(times.guest_nice));
        guests.add(&[("cpu", &cpu), ("mode", "user")], seconds(times.guest));
    }
    drop(guests);
    page.counter("node_intr_total", "Interrupts served.", stat.interrupts);
    page.counter("node_context_switches_total", "Context switches.", stat.context_switches);
    page.counter("node_forks_total", "Processes and threads created.", stat.forks);
    page.gauge("node_boot_time_seconds", "When the machine started, in seconds since 1970.", stat.boot_time);
    page.gauge("node_procs_running", "Threads that run or want to.", stat.running);
    page.gauge("node_procs_blocked", "Threads that wait for I/O.", stat.blocked);
}
