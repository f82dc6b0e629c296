//! What counts as wrong, and how it is said.

use super::{Report, is_restarting, is_unhealthy};
use engine::model::Summary;
use facts::{
    host::{Place, Window},
    problem::{Problems, Severity, count, first_of, percent},
};

use Severity::{Critical, Notice, Warning};

/// What is wrong beside what the facts say themselves.
pub(super) fn find(report: &Report, place: &Place, window: &Window, containers: &[Summary], problems: &mut Problems) {
    pressure(window, problems);
    cpu(report, place, window, problems);
    processes(report, problems);
    docker(containers, problems);
}

fn pressure(window: &Window, problems: &mut Problems) {
    let pressure = &window.now.pressure;
    let stalled = [
        ("memory", "memory", &pressure.memory, 0.05, 0.20),
        ("disk I/O", "disks", &pressure.io, 0.20, 0.50),
        ("CPU time", "cpu", &pressure.cpu, 0.40, 0.80),
    ];
    for (resource, see, pressure, warning, critical) in stalled {
        let Some(some) = pressure.as_ref().map(|pressure| pressure.some.avg60) else { continue };
        if some >= warning {
            let severity = if some >= critical { Critical } else { Warning };
            problems.add(severity, see, format!("programs waited for {resource} {} of the last minute", percent(some)));
        }
    }
}

fn cpu(report: &Report, place: &Place, window: &Window, problems: &mut Problems) {
    let cpu = &report.cpu;
    let [_, five, fifteen] = cpu.load.average.unwrap_or_default();
    // the load average is the machine's, and so must the CPUs be it is held against: not the few that lxcfs shows a container
    let cpus = window.now.stat.cpus.len() as f64;
    if cpus > 0.0 && !place.covers("stat") && !place.covers("loadavg") && five >= 2.0 * cpus && fifteen >= 1.5 * cpus {
        let what = format!("load is {five:.1} over 5 minutes on {cpus:.0} CPUs ({:.1} each)", five / cpus);
        problems.add(if five >= 5.0 * cpus { Critical } else { Warning }, "cpu", what);
    }
    if let Some(steal) = cpu.steal_ratio.filter(|steal| *steal >= 0.10) {
        problems.add(Warning, "cpu", format!("the hypervisor took {} of the CPU time", percent(steal)));
    }
    if let Some(iowait) = cpu.iowait_ratio.filter(|iowait| *iowait >= 0.30) {
        problems.add(Warning, "disks", format!("CPUs waited for disks {} of the time", percent(iowait)));
    }
}

fn processes(report: &Report, problems: &mut Problems) {
    let processes = &report.processes;
    let zombies = processes.zombies;
    if zombies > 0 {
        let severity = if zombies >= 20 { Warning } else { Notice };
        let what = count(zombies as u64, "zombie process", "zombie processes") + ", not reaped by the parent";
        problems.add(severity, "processes", what);
    }
    let blocked = processes.threads.blocked.unwrap_or(0);
    if blocked >= 10 {
        let what = format!("{blocked} threads are blocked in the kernel, usually by a disk or file server");
        problems.add(Warning, "processes", what);
    }
}

fn docker(containers: &[Summary], problems: &mut Problems) {
    let mut say = |is: fn(&Summary) -> bool, one: &str, many: &str| {
        let mut names: Vec<&str> = containers.iter().filter(|one| is(one)).map(Summary::name).collect();
        if !names.is_empty() {
            names.sort_unstable();
            let what = count(names.len() as u64, one, many);
            problems.add(Warning, "containers", format!("{what}: {}", first_of(&names)));
        }
    };
    say(is_unhealthy, "container is unhealthy", "containers are unhealthy");
    say(
        is_restarting,
        "container ends and is restarted again and again",
        "containers end and are restarted again and again",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_that_are_not_well_are_counted_and_the_first_few_named() {
        let container = |name: &str, state: &str, status: &str| Summary {
            names: vec![format!("/{name}")],
            state: state.into(),
            status: status.into(),
            ..Summary::default()
        };
        let mut all: Vec<_> =
            ["e", "d", "c", "b", "a"].map(|name| container(name, "running", "Up 2 hours (unhealthy)")).into();
        all.push(container("loop", "restarting", "Restarting (1) 3 seconds ago"));
        all.push(container("web", "running", "Up 2 hours (healthy)"));
        let mut problems = Problems::default();
        docker(&all, &mut problems);
        let problems = problems.sorted();
        let said: Vec<_> = problems.iter().map(|problem| (problem.what.as_str(), problem.see)).collect();
        assert_eq!(
            said,
            [
                ("5 containers are unhealthy: a, b, c and 2 more", "containers"),
                ("1 container ends and is restarted again and again: loop", "containers"),
            ]
        );
        let mut problems = Problems::default();
        docker(&[], &mut problems);
        assert!(problems.sorted().is_empty());
    }
}
