//! What the log of a new container may be told: an engine writes it as root, and keeps what is not written yet in its own memory.

use serde_json::Value;

use super::{Check, bounds, is_text, join, map, refusal, wanted};

/// Those that keep the log on the machine. The others send it to an address.
pub(super) const DRIVERS: &[&str] = &["json-file", "local", "journald", "none"];

/// The fewest and the most bytes of a file, before the next one is begun. Below, the engine renames files without end.
const FILE_BYTES: (i64, i64) = (64_000, 1 << 40);

/// The most files. The engine renames each of them whenever one is full.
const FILES: i64 = 100;

/// The fewest and the most bytes that wait in the engine's memory.
const BUFFER_BYTES: (i64, i64) = (1000, 64 << 20);

/// The longest list of labels or variables, and the longest tag, in bytes.
const LONGEST: usize = 1024;

/// The longest expression, in bytes.
const LONGEST_EXPRESSION: usize = 256;

/// What a tag may say of its container. All else that a template can say is worked out by the engine, as long and as large as it is.
const TAGS: &[&str] = &[".ID", ".FullID", ".Name", ".ImageID", ".ImageFullID", ".ImageName", ".DaemonName"];

/// `HostConfig.LogConfig.Config`.
pub(super) fn options(check: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    for (name, option) in map(value, path)?.into_iter().flatten() {
        let path = join(path, name);
        let text = option.as_str().filter(|_| is_text(option)).ok_or_else(|| refusal(&path))?;
        let (fits, expected) = one(name, text).ok_or_else(|| refusal(&path))?;
        if check.bounded && !fits {
            return Err(wanted(&path, expected));
        }
    }
    Ok(())
}

/// Whether an option may say this, and what it may say; `None` for an option that may not be set.
fn one(name: &str, text: &str) -> Option<(bool, &'static str)> {
    let within = |(least, most): (i64, i64)| bounds::size(text).is_some_and(|size| (least..=most).contains(&size));
    Some(match name {
        "max-size" => (text == "-1" || within(FILE_BYTES), "-1, or a size from 64k to 1t"),
        "max-file" => (bounds::whole(text).is_some_and(|files| (1..=FILES).contains(&files)), "a number from 1 to 100"),
        "max-buffer-size" => (within(BUFFER_BYTES), "a size from 1k to 64m"),
        "compress" => (matches!(text, "true" | "false"), "true or false"),
        "mode" => (matches!(text, "blocking" | "non-blocking"), "blocking or non-blocking"),
        "labels" | "env" => (text.len() <= LONGEST, "at most 1024 bytes"),
        "labels-regex" | "env-regex" => (is_expression(text), "an expression of at most 256 bytes, without { }"),
        "tag" => (is_tag(text), "text with {{.ID}}, {{.Name}}, {{.ImageName}} and their like, at most 1024 bytes"),
        _ => return None,
    })
}

/// Counted repetitions can make a small expression a large one.
fn is_expression(text: &str) -> bool {
    text.len() <= LONGEST_EXPRESSION && !text.contains(['{', '}']) && !text.chars().any(char::is_control)
}

fn is_tag(text: &str) -> bool {
    let mut parts = text.split("{{");
    let is_plain = |text: &str| !text.contains("}}");
    let is_field = |part: &str| {
        part.split_once("}}").is_some_and(|(field, rest)| TAGS.contains(&field.trim_matches(' ')) && is_plain(rest))
    };
    text.len() <= LONGEST
        && !text.chars().any(char::is_control)
        && parts.next().is_some_and(is_plain)
        && parts.all(is_field)
}
