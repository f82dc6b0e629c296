//! Which kernel runs here, and what the machine is called.

use super::Seen;
use crate::exposition::{Exposition, Kind};

/// What uname(2) says.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let word = |file: &str| seen.reader.word(&format!("proc/sys/kernel/{file}"));
    let Some(release) = word("osrelease") else { return };
    let word = |file: &str| word(file).unwrap_or_default();
    let labels = [
        ("sysname", word("ostype")),
        ("release", release),
        ("version", word("version")),
        ("machine", seen.machine.kernel.architecture()),
        ("nodename", word("hostname")),
        ("domainname", word("domainname")),
    ];
    let labels = labels.each_ref().map(|(label, value)| (*label, value.as_str()));
    page.family("node_uname_info", Kind::Gauge, "The kernel and the machine's name.").add(&labels, 1_u64);
}
