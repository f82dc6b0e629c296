//! Which operating system runs here, and since when.

use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    gap::Reader,
    host::{Machine, Place, Whose},
    proc::{os_release::OsRelease, stat::Stat, uptime::Uptime},
};

/// The operating system, as os-release(5) names it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Os {
    /// For people.
    pub name: String,
    /// For programs, such as `debian`.
    pub id: String,
    /// Its number, if it has one.
    pub version: Option<String>,
}

/// Since when the machine or the container runs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Started {
    /// Whose start this is.
    pub scope: Whose,
    /// RFC 3339, UTC.
    pub boot_time: Option<String>,
    /// Sleep included.
    pub uptime_seconds: f64,
}

/// The operating system. `None`: no file names it.
pub fn os(reader: &Reader<'_>) -> Option<Os> {
    let text = ["etc/os-release", "usr/lib/os-release"].iter().find_map(|path| reader.text(path))?;
    let os = OsRelease::parse(&text);
    Some(Os { name: os.pretty_name, id: os.id, version: os.version_id.or(os.version) })
}

/// Since when the machine or the container runs.
pub fn started(machine: &Machine, place: &Place, reader: &Reader<'_>) -> Option<Started> {
    let text = reader.expected("proc/uptime")?;
    let up = reader.parsed("proc/uptime", Uptime::parse(&text))?.up;
    let scope = place.whose("uptime");
    let boot_time = match scope {
        Whose::Machine => reader.text("proc/stat").and_then(|text| Stat::parse(&text).0.boot_time),
        // the kernel knows only when the machine began
        Whose::Container => {
            let up = Duration::try_from_secs_f64(up).ok();
            up.and_then(|up| machine.kernel.wall().checked_sub(up)).and_then(unix_time)
        }
    };
    Some(Started { scope, boot_time: boot_time.and_then(rfc3339), uptime_seconds: up })
}

fn unix_time(time: SystemTime) -> Option<u64> {
    time.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// Seconds since 1970 as RFC 3339, which ends with the year 9999.
pub fn rfc3339(seconds: u64) -> Option<String> {
    let time =
        SystemTime::UNIX_EPOCH + Duration::from_secs(Some(seconds).filter(|seconds| *seconds < 253_402_300_800)?);
    Some(humantime::format_rfc3339_seconds(time).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_beyond_the_year_9999_is_unknown() {
        assert_eq!(rfc3339(0).as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(rfc3339(u64::MAX), None);
    }
}
