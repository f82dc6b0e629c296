//! Numbers and texts that an engine, or the kernel, takes at their word: how far each may go.

use serde_json::Value;

use super::{Check, Fields, Number, Objects, Text, That, join, refusal, wanted};

/// The most bytes that any limit of memory or disk may say: 1 PiB.
pub(super) const BYTES: i64 = 1 << 50;

/// The most rates or weights of devices, of each kind.
const DEVICES: usize = 64;

/// The most resource limits.
const LIMITS: usize = 16;

/// The CPUs, or NUMA nodes, that a set may name are below this: Linux is built for no more. An engine makes a list of all numbers of a
/// set before it looks which of them exist.
const CPUS: u32 = 8192;

/// The longest set of CPUs, in bytes.
const LONGEST_SET: usize = 1024;

/// One of `HostConfig.BlkioDevice…`.
pub(super) const RATE: Fields = &[("Path", That(device)), ("Rate", Number(0, BYTES))];

/// One of `HostConfig.BlkioWeightDevice`.
pub(super) const WEIGHT: Fields = &[("Path", That(device)), ("Weight", Number(0, 1000))];

/// One of `HostConfig.Ulimits`.
pub(super) const ULIMIT: Fields = &[("Name", Text(16)), ("Soft", Number(-1, BYTES)), ("Hard", Number(-1, BYTES))];

/// The resource limits (setrlimit(2)) that a container may have, with the least and the most of each. -1 is no limit: allowed where that
/// harms nothing outside of the container. A limit that is not on the list is refused.
const ULIMITS: &[(&str, i64, i64)] = &[
    ("core", -1, BYTES),
    ("cpu", -1, BYTES),
    ("data", -1, BYTES),
    ("fsize", -1, BYTES),
    ("locks", -1, 1 << 20),
    // memory that is never swapped out
    ("memlock", 0, 64 << 20),
    ("msgqueue", 0, 1 << 20),
    // above 20 is a better priority than others have
    ("nice", 0, 20),
    ("nofile", 0, 1 << 20),
    ("nproc", -1, 1 << 22),
    ("rss", -1, BYTES),
    // a program of real time keeps all others off the CPU
    ("rtprio", 0, 0),
    ("sigpending", 0, 1 << 17),
    ("stack", -1, 1 << 30),
];

/// The resource limits that are a right over other programs, whatever has them already.
const PRIORITIES: &[&str] = &["nice", "rtprio"];

pub(super) fn rates(check: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    check.value(value, Objects(DEVICES, RATE), path)
}

pub(super) fn weights(check: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    check.value(value, Objects(DEVICES, WEIGHT), path)
}

/// A device by its name in `/dev`. The engine looks at any path as root, and says whether it is there.
fn device(_: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    let is_name = |name: &str| {
        name.len() <= 64
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
    };
    let name = value.as_str().and_then(|path| path.strip_prefix("/dev/"));
    if name.is_some_and(is_name) { Ok(()) } else { Err(wanted(path, "a device: /dev/NAME")) }
}

/// `0-3,8`.
pub(super) fn cpuset(_: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    let number = |text: &str| -> Option<u32> {
        let is_short = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| is_short && *number < CPUS)
    };
    let is_range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        matches!((number(first), number(last)), (Some(first), Some(last)) if first <= last)
    };
    let fits = match value {
        Value::Null => true,
        Value::String(set) => set.is_empty() || set.len() <= LONGEST_SET && set.split(',').all(is_range),
        _ => false,
    };
    if fits { Ok(()) } else { Err(wanted(path, &format!("numbers and ranges below {CPUS}, such as 0-3,8"))) }
}

pub(super) fn ulimits(check: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    check.value(value, Objects(LIMITS, ULIMIT), path)?;
    let mut seen = vec![];
    for (at, limit) in value.as_array().into_iter().flatten().enumerate() {
        let path = format!("{path}[{at}]");
        let name = limit["Name"].as_str().unwrap_or_default();
        let Some((name, least, most)) = ULIMITS.iter().find(|(known, ..)| *known == name) else {
            let known: Vec<_> = ULIMITS.iter().map(|(known, ..)| *known).collect();
            return Err(wanted(&join(&path, "Name"), &format!("one of {}", known.join(", "))));
        };
        if seen.contains(&name) {
            return Err(refusal(&join(&path, "Name")));
        }
        seen.push(name);
        for end in ["Soft", "Hard"] {
            let is_checked = check.bounded || PRIORITIES.contains(name);
            if is_checked && !(*least..=*most).contains(&limit[end].as_i64().unwrap_or(0)) {
                return Err(wanted(&join(&path, end), &format!("{name} from {least} to {most}")));
            }
        }
    }
    Ok(())
}

/// Height and width of a terminal.
pub(super) fn console(_: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    let fits = match value {
        Value::Null => true,
        Value::Array(sides) => {
            sides.len() <= 2 && sides.iter().all(|side| side.as_u64().is_some_and(|side| side <= u16::MAX.into()))
        }
        _ => false,
    };
    if fits { Ok(()) } else { Err(wanted(path, "two numbers from 0 to 65535")) }
}

/// `HostConfig.StorageOpt.size`.
pub(super) fn storage(check: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    let fits = match value {
        Value::Null => true,
        Value::String(text) => size(text).is_some_and(|size| !check.bounded || (1..=BYTES).contains(&size)),
        _ => false,
    };
    if fits { Ok(()) } else { Err(wanted(path, "a size such as 10G")) }
}

/// The bytes that a size says: digits, and a letter for thousands, which engines take for 1000 or for 1024. It is the smaller here.
pub(super) fn size(text: &str) -> Option<i64> {
    let text = text.to_ascii_lowercase();
    let text = text.strip_suffix("ib").or_else(|| text.strip_suffix('b')).unwrap_or(&text);
    let letters = ["k", "m", "g", "t"];
    let power = letters.iter().position(|letter| text.ends_with(letter));
    let digits = &text[..text.len() - usize::from(power.is_some())];
    let factor = power.map_or(1, |power| 1000_i64.pow(u32::try_from(power).unwrap_or(0) + 1));
    whole(digits)?.checked_mul(factor)
}

/// A number of digits alone, no more than fit into an engine's own.
pub(super) fn whole(digits: &str) -> Option<i64> {
    let is_number = (1..=18).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}
