//! Whether an update waits for a restart of the machine.

use super::{Seen, problem::Problems};
use crate::{exposition::Exposition, gap::Reader, host::Machine};

/// Debian and Ubuntu leave a note when an update needs a restart.
pub fn watch(machine: &Machine, _: &Reader<'_>, problems: &mut Problems) {
    if waits(machine) {
        problems.notice("identity", "an update waits for a restart of the machine");
    }
}

/// Whether it does. Other distributions than those with Debian's packages leave no note: there it is not known.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let help = "Whether an update waits for a restart of the machine, by Debian's and Ubuntu's note.";
    let leaves_notes = || seen.machine.root.exists("var/lib/dpkg");
    let waits = waits(seen.machine);
    page.gauge("smcp_restart_required", help, (waits || leaves_notes()).then_some(waits));
}

fn waits(machine: &Machine) -> bool {
    machine.root.exists("run/reboot-required")
}
