//! Whether the CPUs are slowed down because they are too hot. Since boot that happens to many a machine; what counts is now.

use std::collections::BTreeMap;

use super::{Seen, problem::Problems};
use crate::{
    exposition::{Exposition, Kind},
    host::Window,
};

/// Says so if it happened in this window. A CPU that came online in it brings what it counted before.
pub fn problems(window: &Window, problems: &mut Problems) {
    let (earlier, now) = (&window.earlier, &window.now);
    let are_the_same = earlier.stat.cpus.keys().eq(now.stat.cpus.keys());
    let grown = earlier.throttled.zip(now.throttled).is_some_and(|(before, after)| after > before);
    if grown && are_the_same {
        let seconds = window.seconds();
        problems.warning("cpu", format!("CPUs were slowed down for their heat in the last {seconds:.0} s"));
    }
}

/// How often each core and package was slowed down since the start. CPUs that do not count it have no number here.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let counts = |cpu: &u32| {
        let file = format!("sys/devices/system/cpu/cpu{cpu}/thermal_throttle/core_throttle_count");
        seen.reader.root().exists(&file)
    };
    if !seen.sample.stat.cpus.keys().next().is_some_and(counts) {
        return;
    }
    let (mut cores, mut packages) = (BTreeMap::new(), BTreeMap::new());
    for cpu in seen.sample.stat.cpus.keys() {
        let number = |file: &str| seen.reader.number::<u64>(&format!("sys/devices/system/cpu/cpu{cpu}/{file}"));
        let Some(package) = number("topology/physical_package_id") else { continue };
        let Some(core) = number("topology/core_id") else { continue };
        // the threads of a core count the same, and so do the cores of a package
        cores.entry((package, core)).or_insert_with(|| number("thermal_throttle/core_throttle_count"));
        packages.entry(package).or_insert_with(|| number("thermal_throttle/package_throttle_count"));
    }
    let help = "How often each core was slowed down for its heat.";
    let mut family = page.family("node_cpu_core_throttles_total", Kind::Counter, help);
    for ((package, core), count) in cores {
        family.add(&[("package", &package.to_string()), ("core", &core.to_string())], count);
    }
    drop(family);
    let help = "How often each package was slowed down for its heat.";
    let mut family = page.family("node_cpu_package_throttles_total", Kind::Counter, help);
    for (package, count) in packages {
        family.add(&[("package", &package.to_string())], count);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{host::Sample, tree::Tree};

    #[test]
    fn what_happened_since_boot_is_no_problem_and_what_happens_now_is() {
        let tree = Tree::new(&[("proc/stat", "cpu  1 1 1 1\ncpu0 1 1 1 1\n")]);
        let count = |core: u64, package: u64| {
            let file = |part| format!("sys/devices/system/cpu/cpu0/thermal_throttle/{part}_throttle_count");
            tree.write(&file("core"), &core.to_string());
            tree.write(&file("package"), &package.to_string());
        };
        let said = |before: &Sample, now: &Sample| {
            let mut found = Problems::default();
            problems(&Window { earlier: Arc::new(before.clone()), now: Arc::new(now.clone()) }, &mut found);
            found.sorted().len()
        };
        let unknown = tree.sample(0);
        assert_eq!(unknown.throttled, None);
        count(70_000, 90_000);
        let before = tree.sample(5);
        assert_eq!(before.throttled, Some(160_000));
        assert_eq!((said(&unknown, &before), said(&before, &before)), (0, 0));
        count(70_000, 90_001);
        let now = tree.sample(10);
        assert_eq!((said(&before, &now), said(&now, &before)), (1, 0));
        // another CPU, with a past of its own
        tree.write("proc/stat", "cpu  1 1 1 1\ncpu0 1 1 1 1\ncpu1 1 1 1 1\n");
        for part in ["core", "package"] {
            tree.write(&format!("sys/devices/system/cpu/cpu1/thermal_throttle/{part}_throttle_count"), "9");
        }
        let plugged = tree.sample(15);
        assert!(plugged.throttled > now.throttled);
        assert_eq!(said(&now, &plugged), 0);
    }
}
