//! The machine's time, and what it tells time by.

use std::time::SystemTime;

use super::Seen;
use crate::exposition::{Exposition, Kind};

const SOURCES: &str = "sys/devices/system/clocksource";

/// The time of day, and the sources of time.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let since = seen.machine.kernel.wall().duration_since(SystemTime::UNIX_EPOCH).ok();
    page.gauge("node_time_seconds", "The time of day in seconds since 1970.", since.map(|since| since.as_secs_f64()));
    let sources: Vec<String> =
        seen.reader.names(SOURCES).into_iter().filter(|name| name.starts_with("clocksource")).collect();
    for (file, name, help) in [
        ("available_clocksource", "node_time_clocksource_available_info", "What the machine can tell time by."),
        ("current_clocksource", "node_time_clocksource_current_info", "What the machine tells time by."),
    ] {
        let mut family = page.family(name, Kind::Gauge, help);
        for source in &sources {
            let device = source.trim_start_matches("clocksource");
            let words = seen.reader.word(&format!("{SOURCES}/{source}/{file}")).unwrap_or_default();
            for word in words.split_ascii_whitespace() {
                family.add(&[("device", device), ("clocksource", word)], 1_u64);
            }
        }
    }
}
