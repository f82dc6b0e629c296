//! How bad is what a line says? A guess, from the usual formats: JSON, logfmt, klog, syslog and words in the usual places.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A level, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// The keys that hold a level, in JSON and logfmt.
const KEYS: [&str; 10] =
    ["level", "severity", "lvl", "loglevel", "log.level", "levelname", "@level", "log_level", "s", "PRIORITY"];

/// How far into a line its level stands, in bytes: behind a time and a name.
const NEAR: usize = 160;

/// What the line says of itself.
pub(super) fn of(line: &str) -> Option<Level> {
    let text = line.trim_start();
    if text.starts_with('{')
        && let Ok(fields) = serde_json::from_str::<Map<String, Value>>(text)
    {
        return json(&fields);
    }
    priority(text).or_else(|| klog(text)).or_else(|| logfmt(text)).or_else(|| words(text))
}

/// Whether the line only goes on with the one before, as those of a stack trace do.
pub(super) fn goes_on(line: &str) -> bool {
    line.starts_with([' ', '\t']) || line.starts_with("Caused by: ") || line.is_empty()
}

fn json(fields: &Map<String, Value>) -> Option<Level> {
    let nested = || fields.get("log")?.as_object()?.get("level");
    let value = KEYS.iter().find_map(|key| fields.get(*key)).or_else(nested)?;
    match value {
        Value::String(word) => word.parse().ok().and_then(number).or_else(|| name(word)),
        Value::Number(level) => level.as_u64().and_then(number),
        _ => None,
    }
}

/// As syslog counts, and as pino and bunyan do.
fn number(level: u64) -> Option<Level> {
    Some(match level {
        0..=3 | 50.. => Level::Error,
        4 | 40..=49 => Level::Warn,
        5 | 6 | 30..=39 => Level::Info,
        7 | 10..=29 => Level::Debug,
        8..=9 => return None,
    })
}

/// `<3>` before a line, as programs under a supervisor write it, and syslog with its facility.
fn priority(text: &str) -> Option<Level> {
    let (digits, _) = text.strip_prefix('<')?.split_once('>')?;
    let value: u64 = (digits.len() <= 3).then(|| digits.parse().ok())??;
    (value < 192).then(|| number(value % 8))?
}

/// `E1125 23:00:00.000000`, as Kubernetes and all of glog's kin write it; `E, [2026-…`, as Ruby does.
fn klog(text: &str) -> Option<Level> {
    let bytes = text.as_bytes();
    let level = letter(*bytes.first()?)?;
    let date = bytes.get(1..6).is_some_and(|date| date[..4].iter().all(u8::is_ascii_digit) && date[4] == b' ');
    (date || text[1..].starts_with(", [")).then_some(level)
}

fn letter(letter: u8) -> Option<Level> {
    match letter {
        b'E' | b'F' => Some(Level::Error),
        b'W' => Some(Level::Warn),
        b'I' => Some(Level::Info),
        b'D' => Some(Level::Debug),
        _ => None,
    }
}

fn logfmt(text: &str) -> Option<Level> {
    KEYS.iter().filter(|key| key.len() > 1).find_map(|key| {
        let at = text.match_indices(key).map(|(at, _)| at).find(|at| {
            let before = text[..*at].bytes().next_back();
            before.is_none_or(|byte| matches!(byte, b' ' | b'\t' | b',')) && text[at + key.len()..].starts_with('=')
        })?;
        let value = text[at + key.len() + 1..].trim_start_matches('"');
        let end = value.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(value.len());
        value[..end].parse().ok().and_then(number).or_else(|| name(&value[..end]))
    })
}

/// A level's name where one stands: in capitals, in brackets, before a colon; or what a program says as it dies.
fn words(text: &str) -> Option<Level> {
    const DEATHS: [&str; 5] = ["panic:", "Traceback (most recent", "Exception in thread", "npm ERR!", "thread '"];
    if DEATHS.iter().any(|death| text.starts_with(death)) {
        return Some(Level::Error);
    }
    let mut near = text.len().min(NEAR);
    while !text.is_char_boundary(near) {
        near -= 1;
    }
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < near {
        if !bytes[at].is_ascii_alphabetic() {
            at += 1;
            continue;
        }
        let end = bytes[at..].iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
        let end = end.map_or(bytes.len(), |length| at + length);
        let word = &text[at..end];
        let before = at.checked_sub(1).map(|at| bytes[at]);
        let after = bytes.get(end);
        let framed = matches!(before, Some(b'[' | b'(' | b'<' | b'|' | b':'))
            && matches!(after, Some(b']' | b')' | b'>' | b'|'));
        // `Error:` begins what it says, and `no error: …` does not
        let said = after == Some(&b':')
            && before.is_none_or(|byte| matches!(byte, b' ' | b']' | b'\t'))
            && first_or_after_a_time(&text[..at]);
        let loud = word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase());
        if framed
            && word.len() == 1
            && let Some(level) = letter(bytes[at])
        {
            return Some(level);
        }
        if (framed || said || loud)
            && let Some(level) = name(word)
        {
            return Some(level);
        }
        at = end;
    }
    None
}

/// Whether nothing but a time, a number or a name with its colon stands here.
fn first_or_after_a_time(before: &str) -> bool {
    before
        .split_ascii_whitespace()
        .all(|word| word.ends_with([':', ']']) || word.bytes().any(|byte| byte.is_ascii_digit()))
}

fn name(word: &str) -> Option<Level> {
    let word = word.to_ascii_lowercase();
    Some(match word.as_str() {
        "error" | "err" | "eror" | "errore" | "fatal" | "crit" | "critical" | "panic" | "emerg" | "emergency"
        | "alert" | "severe" | "dpanic" | "f" | "e" => Level::Error,
        "warn" | "warning" | "wrn" | "w" => Level::Warn,
        "info" | "inf" | "information" | "informational" | "notice" | "log" | "i" | "config" => Level::Info,
        "debug" | "dbg" | "debu" | "trace" | "trc" | "verbose" | "fine" | "finer" | "finest" | "silly" | "d" | "d1"
        | "d2" | "d3" | "d4" | "d5" => Level::Debug,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_formats_tell_their_level() {
        use Level::{Debug, Error, Info, Warn};
        for (line, level) in [
            (r#"{"level":"error","msg":"no"}"#, Error),
            (r#"{"time":1,"level":30,"msg":"ok"}"#, Info),
            (r#"{"severity":"WARNING","message":"x"}"#, Warn),
            (r#"{"log":{"level":"debug"},"message":"error"}"#, Debug),
            (r#"{"t":{"$date":"2026"},"s":"W","c":"NETWORK"}"#, Warn),
            (r#"{"PRIORITY":"3","MESSAGE":"x"}"#, Error),
            (r#"ts=2026-11-25T23:00:00Z level=warn msg="an ERROR""#, Warn),
            (r#"time="2026-11-25T23:00:00Z" level=fatal msg=x"#, Error),
            ("lvl=dbug level=debug", Debug),
            ("I1125 23:00:00.000000       1 main.go:1] started", Info),
            ("E1125 23:00:00.000000       1 main.go:1] INFO", Error),
            ("F, [2026-11-25T23:00:00 #1] FATAL -- : x", Error),
            ("<4>kernel: careful", Warn),
            ("<27>Nov 25 23:00:00 host app: broke", Error),
            ("2026/11/25 23:00:00 [error] 7#7: *1 open() failed", Error),
            ("2026/11/25 23:00:00 [notice] 1#1: start worker", Info),
            ("[Wed Nov 25 23:00:00.1 2026] [core:warn] [pid 1] x", Warn),
            ("2026-11-25 23:00:00.000 UTC [1] LOG:  database system is ready", Info),
            ("2026-11-25 23:00:00.000 UTC [1] FATAL:  password authentication failed", Error),
            ("2026-11-25T23:00:00.000000Z  WARN app::main: slow", Warn),
            ("2026-11-25T23:00:00.000000Z 0 [Warning] [MY-010068] [Server] CA", Warn),
            ("ERROR:root:it broke", Error),
            ("error: could not compile", Error),
            ("app: warning: it is late", Warn),
            ("[E] short", Error),
            ("23:00:00.123 [main] DEBUG c.e.App - x", Debug),
            ("panic: runtime error: index out of range", Error),
            ("Traceback (most recent call last):", Error),
        ] {
            assert_eq!(of(line), Some(level), "{line}");
        }
    }

    #[test]
    fn talk_of_errors_is_none() {
        for line in [
            "",
            "finished with 0 errors",
            "there was no error: all is well",
            "GET /error 200",
            r#"{"msg":"error"}"#,
            "{not json error",
            "<999>x",
            "Information for you",
            "E12 is a road",
            "\u{e9}\u{e9}\u{e9}",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
        assert_eq!(of(&"é".repeat(200)), None);
    }

    #[test]
    fn a_stack_trace_goes_on() {
        assert!(goes_on("\tat com.example.Main.run(Main.java:1)"));
        assert!(goes_on("  File \"x.py\", line 1"));
        assert!(goes_on("Caused by: java.io.IOException"));
        assert!(!goes_on("2026-11-25 INFO next"));
    }
}
