//! Whether the CPUs are slowed down because they are too hot. Since boot that happens to many a machine; what counts is now.

use super::problem::Problems;
use crate::host::Window;

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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{facts::tree::Tree, host::Sample};

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
