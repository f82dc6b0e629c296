//! How often CPUs were slowed down because they, or their package, were too hot; Intel's count it.

use kernel::root::Root;

/// Of all these CPUs together; each also counts its package's, so that only the growth says something. `None`: they do not count.
pub(super) fn count(root: &Root, cpus: impl Iterator<Item = u32>) -> Option<u64> {
    let mut sum = None::<u64>;
    for cpu in cpus {
        let count = |part: &str| {
            let file = format!("sys/devices/system/cpu/cpu{cpu}/thermal_throttle/{part}_throttle_count");
            root.number::<u64>(&file).ok().flatten()
        };
        // where one does not, none does
        let own = count("core")?;
        sum = Some(sum.unwrap_or(0).saturating_add(own).saturating_add(count("package").unwrap_or(0)));
    }
    sum
}
