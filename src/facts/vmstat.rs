//! Paging, swapping, and processes that were killed for want of memory.

use super::Seen;
use crate::exposition::{Exposition, Kind};

/// The counters under the names and in the units of `/proc/vmstat`.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let counters = seen.sample.vmstat.iter().flat_map(|vmstat| &vmstat.paging);
    let counters = counters.map(|(name, count)| (name.as_str(), (*count).into()));
    page.words("node_vmstat_", Kind::Untyped, "/proc/vmstat", counters);
}
