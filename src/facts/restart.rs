//! Whether an update waits for a restart of the machine.

use super::problem::Problems;
use crate::{gap::Reader, host::Machine};

/// Debian and Ubuntu leave a note when an update needs a restart.
pub fn watch(machine: &Machine, _: &Reader<'_>, problems: &mut Problems) {
    if machine.root.exists("run/reboot-required") {
        problems.notice("identity", "an update waits for a restart of the machine");
    }
}
