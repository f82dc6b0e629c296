//! How fast the CPUs run.

use std::collections::BTreeSet;

use super::{Seen, topology};
use crate::{
    exposition::{Exposition, Kind},
    gap::Reader,
};
use kernel::proc::cpuinfo::Cpuinfo;

/// Of all CPUs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frequency {
    /// The mean, in hertz.
    pub now: Option<f64>,
    /// The least that may be chosen, in hertz.
    pub least: Option<f64>,
    /// The most that may be chosen, in hertz.
    pub most: Option<f64>,
    /// Who chooses; several where CPUs differ.
    pub governor: Option<String>,
}

/// That of these CPUs. `None`: the kernel or the hypervisor does not let it be seen.
pub fn read(reader: &Reader<'_>, cpus: &[u32], cpuinfo: &Cpuinfo) -> Option<Frequency> {
    // on x86 this is measured, as scaling_cur_freq is, but for all CPUs at once: one at a time may take 10 ms each
    let mut now: Vec<f64> = cpuinfo.mhz.values().map(|mhz| mhz * 1e6).collect();
    let measured = !now.is_empty();
    let (mut least, mut most, mut governors) = (None::<u64>, None::<u64>, BTreeSet::new());
    for cpu in cpus {
        let file = |name: &str| format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/{name}");
        let Some(governor) = reader.word(&file("scaling_governor")) else { continue };
        governors.insert(governor);
        let khz = |name: &str| reader.number::<u64>(&file(name));
        least = least.into_iter().chain(khz("scaling_min_freq")).min();
        most = most.into_iter().chain(khz("scaling_max_freq")).max();
        if !measured {
            now.extend(khz("scaling_cur_freq").map(|khz| khz as f64 * 1e3));
        }
    }
    if now.is_empty() && governors.is_empty() {
        return None;
    }
    Some(Frequency {
        now: (!now.is_empty()).then(|| now.iter().sum::<f64>() / now.len() as f64),
        least: least.map(|khz| khz as f64 * 1e3),
        most: most.map(|khz| khz as f64 * 1e3),
        governor: (!governors.is_empty()).then(|| governors.into_iter().collect::<Vec<_>>().join(", ")),
    })
}

/// The families, and the file of each CPU whose kilohertz they tell.
const FILES: &[(&str, &str, &str)] = &[
    ("node_cpu_frequency_hertz", "cpuinfo_cur_freq", "How fast each CPU runs, as its hardware says."),
    ("node_cpu_frequency_min_hertz", "cpuinfo_min_freq", "The slowest that each CPU can run."),
    ("node_cpu_frequency_max_hertz", "cpuinfo_max_freq", "The fastest that each CPU can run."),
    ("node_cpu_scaling_frequency_hertz", "scaling_cur_freq", "How fast each CPU runs, or is to run."),
    ("node_cpu_scaling_frequency_min_hertz", "scaling_min_freq", "The slowest that may be chosen for each CPU."),
    ("node_cpu_scaling_frequency_max_hertz", "scaling_max_freq", "The fastest that may be chosen for each CPU."),
];

/// The frequencies of each CPU, and who chooses them. Nothing where the kernel or the hypervisor does not let it be seen.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let path = |cpu: &str, file: &str| format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/{file}");
    let cpus = seen.sample.stat.cpus.keys().map(|cpu| (*cpu, cpu.to_string()));
    let cpus: Vec<(u32, String)> =
        cpus.filter(|(_, cpu)| seen.reader.root().exists(&path(cpu, "scaling_governor"))).collect();
    if cpus.is_empty() {
        return;
    }
    // what is measured here all at once, may take 10 ms for each CPU in its file
    let measured = topology::cpuinfo(seen.reader).mhz;
    for (name, file, help) in FILES {
        let mut family = page.family(*name, Kind::Gauge, help);
        for (number, cpu) in &cpus {
            let khz = || match *file {
                // root's alone to read, on every machine
                "cpuinfo_cur_freq" => seen.reader.root().number::<u64>(&path(cpu, file)).ok().flatten(),
                _ => seen.reader.number(&path(cpu, file)),
            };
            let measured = measured.get(number).filter(|_| *file == "scaling_cur_freq").map(|mhz| mhz * 1e6);
            family.add(&[("cpu", cpu)], measured.or_else(|| khz().map(|khz| khz as f64 * 1e3)));
        }
    }
    let mut governors = page.family("node_cpu_scaling_governor", Kind::Gauge, "Who chooses the frequency of each CPU.");
    for (_, cpu) in &cpus {
        let word = |file: &str| seen.reader.word(&path(cpu, file));
        let Some(governor) = word("scaling_governor") else { continue };
        let available = word("scaling_available_governors").unwrap_or_else(|| governor.clone());
        for one in available.split_ascii_whitespace() {
            governors.add(&[("cpu", cpu), ("governor", one)], one == governor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;

    #[test]
    fn cpus_of_several_speeds_are_told_together() {
        let tree = Tree::new(&[]);
        for (cpu, governor, khz) in [(0, "schedutil", "1000000"), (1, "performance", "3000000"), (2, "performance", "")]
        {
            let file = |name| format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/{name}");
            tree.write(&file("scaling_governor"), governor);
            tree.write(&file("scaling_cur_freq"), khz);
            tree.write(&file("scaling_max_freq"), khz);
        }
        let (frequency, _) = tree.read(|reader| read(reader, &[0, 1, 2, 3], &Cpuinfo::default()));
        let expected =
            Frequency { now: Some(2e9), least: None, most: Some(3e9), governor: Some("performance, schedutil".into()) };
        assert_eq!(frequency, Some(expected));
        assert_eq!(tree.read(|reader| read(reader, &[3], &Cpuinfo::default())).0, None);
    }

    #[test]
    fn what_is_measured_of_all_cpus_at_once_is_not_asked_of_each() {
        let file = |cpu: u32, name: &str| format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/{name}");
        let tree = Tree::new(&[
            ("proc/stat", "cpu  1 1 1 1\ncpu0 1 1 1 1\ncpu1 1 1 1 1\n"),
            ("proc/cpuinfo", "processor : 0\ncpu MHz : 1234.5\n"),
        ]);
        for cpu in [0, 1] {
            tree.write(&file(cpu, "scaling_governor"), "powersave");
            tree.write(&file(cpu, "scaling_cur_freq"), "800000");
        }
        tree.write(&file(0, "scaling_available_governors"), "performance powersave");
        let page = tree.page(expose);
        for line in [
            "node_cpu_scaling_frequency_hertz{cpu=\"0\"} 1234500000",
            "node_cpu_scaling_frequency_hertz{cpu=\"1\"} 800000000",
            "node_cpu_scaling_governor{cpu=\"0\",governor=\"performance\"} 0",
            "node_cpu_scaling_governor{cpu=\"1\",governor=\"powersave\"} 1",
        ] {
            assert!(page.contains(&format!("\n{line}\n")), "{line}\n{page}");
        }
    }
}
