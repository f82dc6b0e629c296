//! Which operating system runs here, and since when.

use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::Serialize;

use super::Seen;
use crate::{
    exposition::{Exposition, Kind},
    gap::Reader,
    host::{Machine, Place, Whose},
};
use kernel::proc::{os_release::OsRelease, stat::Stat, uptime::Uptime};

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
    let os = release(reader)?;
    Some(Os { name: os.pretty_name, id: os.id, version: os.version_id.or(os.version) })
}

fn release(reader: &Reader<'_>) -> Option<OsRelease> {
    let text = ["etc/os-release", "usr/lib/os-release"].iter().find_map(|path| reader.text(path))?;
    Some(OsRelease::parse(&text))
}

/// What os-release(5) says.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let Some(os) = release(seen.reader) else { return };
    let like = os.id_like.join(" ");
    let optional = |value: &'_ Option<String>| value.clone().unwrap_or_default();
    let labels = [
        ("build_id", optional(&os.build_id)),
        ("id", os.id.clone()),
        ("id_like", like.clone()),
        ("image_id", optional(&os.image_id)),
        ("image_version", optional(&os.image_version)),
        ("name", os.name.clone()),
        ("pretty_name", os.pretty_name.clone()),
        ("variant", optional(&os.variant)),
        ("variant_id", optional(&os.variant_id)),
        ("version", optional(&os.version)),
        ("version_codename", optional(&os.version_codename)),
        ("version_id", optional(&os.version_id)),
    ];
    let labels = labels.each_ref().map(|(label, value)| (*label, value.as_str()));
    page.family("node_os_info", Kind::Gauge, "The operating system, by os-release.").add(&labels, 1_u64);
    let labels = [("id", &*os.id), ("id_like", &*like), ("name", &*os.name)];
    let help = "The first two numbers of the operating system's version.";
    page.family("node_os_version", Kind::Gauge, help).add(&labels, os.version_id.as_deref().and_then(two_numbers));
    let end = os.support_end.and_then(|day| humantime::parse_rfc3339_weak(&format!("{day} 00:00:00")).ok());
    let end = end.and_then(unix_time);
    page.gauge("node_os_support_end_timestamp_seconds", "When support for the operating system ends.", end);
}

/// `22.04` of `22.04.3`, as a number.
fn two_numbers(version: &str) -> Option<f64> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let first = digits(version);
    let rest = version[first..].strip_prefix('.').unwrap_or_default();
    let second = &rest[..digits(rest)];
    format!("{}.{second}0", &version[..first]).parse().ok().filter(|_| first > 0)
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
    fn a_version_is_told_by_its_first_two_numbers() {
        let told = ["12", "22.04", "22.04.3", "3.18_alpha", "9.", "rolling", ""].map(two_numbers);
        assert_eq!(told, [Some(12.0), Some(22.04), Some(22.04), Some(3.18), Some(9.0), None, None]);
    }

    #[test]
    fn a_time_beyond_the_year_9999_is_unknown() {
        assert_eq!(rfc3339(0).as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(rfc3339(u64::MAX), None);
    }
}
