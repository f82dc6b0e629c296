//! Counters of the network's protocols.

use super::Seen;
use crate::exposition::{Exposition, Kind};
use kernel::proc::{Malformed, netstat, nf_conntrack, snmp};

/// The counters of `/proc/net/snmp`, `netstat` and `snmp6` under the kernel's names, and what the tracking of connections counts.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let own = seen.reader.root().own();
    let read = |file: &str, parse: fn(&str) -> (netstat::Counters, Option<Malformed>)| {
        let path = format!("{own}/net/{file}");
        seen.reader.text(&path).map(|text| seen.reader.lenient(&path, parse(&text))).unwrap_or_default()
    };
    let mut counters = read("netstat", |text| netstat::pairs(text, snmp::is_watched));
    counters.extend(read("snmp6", |text| netstat::snmp6(text, snmp::is_watched)));
    counters.extend(seen.sample.snmp.iter().flat_map(|snmp| snmp.counters.clone()));
    let counters = counters.iter().map(|(name, count)| (name.as_str(), (*count).into()));
    page.words("node_netstat_", Kind::Untyped, "the network's protocols", counters);
    connections(seen, page);
}

/// The kernel counts on each CPU, and tells nothing where it tracks no connections.
fn connections(seen: &Seen<'_>, page: &mut Exposition) {
    const COUNTED: &[(&str, &str, &str)] = &[
        ("drop", "node_nf_conntrack_stat_drop", "Packets dropped because their connection could not be tracked."),
        ("early_drop", "node_nf_conntrack_stat_early_drop", "Entries dropped to make room for new ones."),
        ("found", "node_nf_conntrack_stat_found", "Searches that found an entry."),
        ("ignore", "node_nf_conntrack_stat_ignore", "Packets that are not to be tracked; not counted since Linux 5.9."),
        ("insert", "node_nf_conntrack_stat_insert", "Entries inserted."),
        ("insert_failed", "node_nf_conntrack_stat_insert_failed", "Entries that could not be inserted."),
        ("invalid", "node_nf_conntrack_stat_invalid", "Packets that cannot be tracked."),
        ("search_restart", "node_nf_conntrack_stat_search_restart", "Searches that had to begin again."),
    ];
    let path = format!("{}/net/stat/nf_conntrack", seen.reader.root().own());
    let Some(text) = seen.reader.text(&path) else { return };
    let counters = seen.reader.lenient(&path, nf_conntrack::parse(&text));
    for (word, name, help) in COUNTED {
        page.family(*name, Kind::Gauge, help).add(&[], counters.get(word).copied());
    }
}
