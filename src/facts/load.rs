//! How many threads wanted a CPU or waited for a disk.

use super::Seen;
use crate::exposition::Exposition;

/// The load averages.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let load = seen.sample.load;
    page.gauge("node_load1", "Load over the last minute.", load.map(|load| load.one));
    page.gauge("node_load5", "Load over the last 5 minutes.", load.map(|load| load.five));
    page.gauge("node_load15", "Load over the last 15 minutes.", load.map(|load| load.fifteen));
}
