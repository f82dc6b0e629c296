//! Counters of CPU time that the kernel lets step back a little. To Prometheus such a step is a new beginning, and the whole counter growth.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use super::Machine;
use kernel::proc::stat::Times;

/// The largest times that were told of each CPU.
#[derive(Debug, Default)]
pub(super) struct Steady(Mutex<BTreeMap<u32, Times>>);

impl Machine {
    /// These times of the CPUs, none of them less than what was told before, unless the CPU was taken out and began again. `idle` and
    /// `iowait` are estimates that may step back (proc_stat(5)).
    pub fn steady(&self, cpus: &BTreeMap<u32, Times>, ticks_per_second: u64) -> BTreeMap<u32, Times> {
        let mut told = self.steady.0.lock().unwrap_or_else(PoisonError::into_inner);
        // a CPU that is gone is forgotten
        *told = cpus.iter().map(|(cpu, now)| (*cpu, after(told.get(cpu), now, ticks_per_second))).collect();
        told.clone()
    }
}

/// The larger of each. A CPU whose idle time fell by more than three seconds has begun again.
fn after(before: Option<&Times>, now: &Times, ticks_per_second: u64) -> Times {
    let has_begun_again = |before: &&Times| before.idle.saturating_sub(now.idle) > 3 * ticks_per_second;
    let Some(before) = before.filter(|before| !has_begun_again(before)) else { return *now };
    Times {
        user: now.user.max(before.user),
        nice: now.nice.max(before.nice),
        system: now.system.max(before.system),
        idle: now.idle.max(before.idle),
        iowait: now.iowait.max(before.iowait),
        irq: now.irq.max(before.irq),
        softirq: now.softirq.max(before.softirq),
        steal: now.steal.max(before.steal),
        guest: now.guest.max(before.guest),
        guest_nice: now.guest_nice.max(before.guest_nice),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_step_back_is_not_told_and_a_new_beginning_is() {
        let before = Times { user: 500, idle: 10_000, iowait: 80, ..Times::default() };
        let step = Times { user: 510, idle: 9_990, iowait: 70, ..Times::default() };
        assert_eq!(after(Some(&before), &step, 100), Times { user: 510, ..before });
        let again = Times { user: 1, idle: 2, ..Times::default() };
        assert_eq!(after(Some(&before), &again, 100), again);
        assert_eq!(after(None, &step, 100), step);
    }
}
