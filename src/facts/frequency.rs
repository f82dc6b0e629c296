//! How fast the CPUs run.

use std::collections::BTreeSet;

use crate::{gap::Reader, proc::cpuinfo::Cpuinfo};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tree::Tree;

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
}
