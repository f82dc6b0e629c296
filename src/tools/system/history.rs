//! What did the machine do in the last minutes and hours?

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tool::{Tool, Turn};
use facts::{
    gap::{Gaps, Reader},
    host::{self, Covered, Machine, Place, Summary, Whose},
};
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::scope::Scope;
use text::{
    page::{Limit, Page},
    table::Table,
};

const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Parts of a sparkline unless the caller says otherwise.
const POINTS: usize = 30;
/// Parts of a sparkline at most.
const MOST_POINTS: usize = 120;

/// Patterns at most.
const MOST_PATTERNS: usize = 64;

/// What all rows of an answer may take, in bytes, about half of what an answer may have.
const ROOM: usize = 36_000;

/// What CPU, load, memory, swap, pressure, disks and network did over a window: min, avg, p95, max, last and a sparkline from min to max
/// (`·`: unknown). Goes back 24 hours, or to the server's start.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct History {
    /// Names, parts of names, or patterns with `*`; `["*"]` is all. Default: CPU, load, memory, the busiest disk and interface.
    #[serde(default)]
    #[schemars(length(min = 1, max = 64))]
    series: Option<Vec<String>>,
    /// How far back, such as `15m`, `1h` (default) or `24h`: 1m to 24h.
    #[serde(default)]
    window: Option<String>,
    /// Length of the sparkline: 30 by default, 120 at most.
    #[serde(default)]
    #[schemars(range(min = 1, max = 120))]
    points: Option<usize>,
    /// Show at most this many series (of 120 points about 70).
    #[serde(default)]
    limit: Limit<40, 100>,
    /// The `next_cursor` of an earlier answer.
    #[serde(default)]
    cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// What was asked for.
    pub window_seconds: u64,
    /// What there is of it; less where the server has not run for as long.
    pub covered_seconds: u64,
    /// When that begins: RFC 3339, UTC.
    pub since: Option<String>,
    /// How far apart the values are; those of a minute are kept as least, mean and most.
    pub resolution_seconds: Option<u64>,
    /// Series that were asked for.
    pub matched: usize,
    /// Series there are.
    pub available: usize,
    pub series: Table<Row>,
    pub next_cursor: Option<String>,
    /// Files that could not be read, and why.
    #[serde(skip_serializing_if = "Gaps::is_empty")]
    pub gaps: Gaps,
}

/// Figures are in `unit`, to five digits; null where the window has no value.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Row {
    pub series: String,
    pub unit: Option<&'static str>,
    pub scope: Whose,
    pub min: Option<f64>,
    pub avg: Option<f64>,
    pub p95: Option<f64>,
    pub max: Option<f64>,
    pub last: Option<f64>,
    /// Oldest first.
    pub sparkline: String,
}

/// A request whose figures are in order.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    series: Option<Vec<String>>,
    window: Duration,
    points: usize,
    /// By the names of series.
    page: Page<String>,
}

impl Tool for History {
    const NAME: &'static str = "history";
    const TITLE: &'static str = "History";
    const SCOPE: Scope = Scope::SystemRead;
    const LANE: Lane = Lane::Machine;
    const SHARED: bool = true;
    const AUDITED: &'static [&'static str] = &["series", "window", "points", "limit"];
    type Output = Report;

    async fn run(self, turn: &Turn) -> Result<Report, Failure> {
        let asked = Asked::check(self)?;
        let past = turn.host().clone();
        // files are read before the history is looked at: the sampler waits for whoever looks
        turn.read(move |machine| {
            let reader = Reader::new(&machine.root);
            let place = Place::of(&reader);
            let report = past.history(|history| read(machine, &place, history, &asked))?;
            Ok(Report { gaps: reader.gaps(), ..report })
        })
        .await
    }
}

impl Asked {
    fn check(request: History) -> Result<Self, Failure> {
        let patterns = request.series.as_ref().map_or(1, Vec::len);
        if !(1..=MOST_PATTERNS).contains(&patterns) || request.series.iter().flatten().any(String::is_empty) {
            return Err(invalid(format!(
                "series is a list of 1 to {MOST_PATTERNS} names or patterns, none of them empty"
            )));
        }
        let window = request.window.as_deref().unwrap_or("1h");
        let window = humantime::parse_duration(window).ok().filter(|window| (SHORTEST..=LONGEST).contains(window));
        let points = request.points.unwrap_or(POINTS);
        if !(1..=MOST_POINTS).contains(&points) {
            return Err(invalid(format!("points is a number from 1 to {MOST_POINTS}, not {points}")));
        }
        let page = Page::of(History::NAME, &request.series, request.limit.rows(), request.cursor.as_deref())?;
        Ok(Self {
            series: request.series,
            window: window.ok_or_else(|| invalid("window is a time from 1m to 24h, such as 15m, 1h or 24h"))?,
            points,
            page: page.at_most(ROOM / (points * '▁'.len_utf8() + 160)),
        })
    }
}

fn invalid(why: impl std::fmt::Display) -> Failure {
    Failure::Invalid(format!("history: {why}"))
}

fn read(machine: &Machine, place: &Place, history: &host::History, asked: &Asked) -> Result<Report, Failure> {
    let mut report = Report {
        window_seconds: asked.window.as_secs(),
        covered_seconds: 0,
        since: None,
        resolution_seconds: None,
        matched: 0,
        available: history.names().count(),
        series: Table::default(),
        next_cursor: None,
        gaps: Gaps::default(),
    };
    // a server that has only just begun has no series yet, whatever is asked for
    let Some(covered) = history.covered(asked.window) else { return Ok(report) };
    let chosen = match &asked.series {
        Some(patterns) => matching(patterns, &history.names().collect::<Vec<_>>())?,
        None => usual(history, covered),
    };
    report.covered_seconds = covered.seconds;
    let since = machine.kernel.wall().checked_sub(Duration::from_secs(covered.seconds));
    report.since = since.map(|since| humantime::format_rfc3339_seconds(since).to_string());
    report.resolution_seconds = Some(covered.resolution);
    report.matched = chosen.len();
    let (shown, next) = asked.page.by_key(chosen.into_iter().map(|name| (name.to_owned(), name)));
    report.next_cursor = next;
    report.series = shown
        .into_iter()
        .map(|name| row(place, name, history.summary(name, covered, asked.points), asked.points))
        .collect();
    Ok(report)
}

fn row(place: &Place, name: &str, summary: Option<Summary>, points: usize) -> Row {
    let figure = |of: fn(&Summary) -> f64| summary.as_ref().map(of).map(five_digits);
    Row {
        series: name.to_owned(),
        unit: unit(name),
        scope: whose(place, name),
        min: figure(|summary| summary.min),
        avg: figure(|summary| summary.avg),
        p95: figure(|summary| summary.p95),
        max: figure(|summary| summary.max),
        last: figure(|summary| summary.last),
        sparkline: summary.as_ref().map_or_else(|| "·".repeat(points), sparkline),
    }
}

/// No more digits than the history keeps.
fn five_digits(figure: f64) -> f64 {
    let last = figure.abs().log10().floor() - 4.0;
    if !last.is_finite() {
        return figure;
    }
    // whole powers of ten are exact up to 22 digits, their inverses are not
    let power = 10_f64.powi(last.abs() as i32);
    if last > 0.0 { (figure / power).round() * power } else { (figure * power).round() / power }
}

/// The unit that a series' name ends in.
fn unit(name: &str) -> Option<&'static str> {
    if name.starts_with("load.") {
        return Some("threads");
    }
    ["bytes_per_second", "bytes", "ratio"].into_iter().find(|unit| name.ends_with(unit))
}

fn whose(place: &Place, name: &str) -> Whose {
    match name.split('.').next().unwrap_or(name) {
        "cpu" => place.whose("stat"),
        "load" => place.whose("loadavg"),
        "memory" | "swap" => place.whose("meminfo"),
        "disk" => place.whose("diskstats"),
        "network" => place.inside(),
        _ => {
            let resource = name.strip_prefix("pressure.").and_then(|rest| rest.strip_suffix("_ratio")).unwrap_or(name);
            place.whose(&format!("pressure/{resource}"))
        }
    }
}

/// One of eight heights for each part, from the row's least to its most.
fn sparkline(summary: &Summary) -> String {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let range = summary.max - summary.min;
    let height = |part: &Option<f64>| {
        let Some(value) = part else { return '·' };
        let height = if range > 0.0 { ((value - summary.min) / range * 7.0).round().clamp(0.0, 7.0) } else { 0.0 };
        HEIGHTS[height as usize]
    };
    summary.parts.iter().map(height).collect()
}

/// The series that any of the patterns means, by name. Each pattern must mean one.
fn matching<'a>(patterns: &[String], names: &[&'a str]) -> Result<Vec<&'a str>, Failure> {
    let mut chosen = BTreeSet::new();
    for pattern in patterns {
        let means = |name: &&&str| match names.contains(&pattern.as_str()) {
            true => **name == pattern,
            false if pattern.contains('*') => glob(pattern, name),
            false => name.contains(pattern.as_str()),
        };
        let found = names.iter().filter(means).map(|name| chosen.insert(*name)).count();
        if found == 0 {
            let shown: String = pattern.chars().take(100).collect();
            let near = near(pattern, names).join(", ");
            return Err(invalid(format!(
                "no series matches {shown:?}, but these are near: {near}; [\"*\"] is all of them"
            )));
        }
    }
    Ok(chosen.into_iter().collect())
}

/// Whether `name` is what `pattern` says, in which each `*` stands for anything.
fn glob(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Up to 20 names that have the most in common with a pattern.
fn near<'a>(pattern: &str, names: &[&'a str]) -> Vec<&'a str> {
    let letters: Vec<char> = pattern.chars().take(100).collect();
    let pieces: Vec<String> =
        letters.windows(3.min(letters.len().max(1))).map(|piece| piece.iter().collect()).collect();
    let mut ranked: Vec<_> =
        names.iter().map(|name| (pieces.iter().filter(|piece| name.contains(piece.as_str())).count(), *name)).collect();
    // stable: equal ones stay sorted by name
    ranked.sort_by_key(|(common, _)| std::cmp::Reverse(*common));
    let best = ranked.first().map_or(0, |(common, _)| *common);
    ranked.into_iter().filter(|(common, _)| *common * 2 > best || best == 0).map(|(_, name)| name).take(20).collect()
}

/// What is shown when nothing is asked for.
fn usual(history: &host::History, covered: Covered) -> Vec<&str> {
    let groups = [busiest(history, covered, "disk."), busiest(history, covered, "network.")];
    let always = |name: &str| matches!(name, "cpu.busy_ratio" | "load.1m" | "memory.available_bytes");
    let of = |device: &Option<&str>, name: &str| device.is_some() && name.rsplit_once('.').map(|(of, _)| of) == *device;
    history.names().filter(|name| always(name) || groups.iter().any(|device| of(device, name))).collect()
}

/// The device that was busy for longest; of those that were not, and of interfaces, the one that moved most.
fn busiest<'a>(history: &'a host::History, covered: Covered, group: &str) -> Option<&'a str> {
    let mut used: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for name in history.names().filter(|name| name.starts_with(group)) {
        let Some((device, kind)) = name.rsplit_once('.') else { continue };
        let mean = history.summary(name, covered, 1).map_or(0.0, |summary| summary.avg);
        let (busy, moved) = used.entry(device).or_default();
        *(if kind == "busy_ratio" { busy } else { moved }) += mean;
    }
    // the last of equal ones is taken: from the end, that is the first by name
    let most = used.into_iter().rev().max_by(|(_, a), (_, b)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    most.map(|(device, _)| device)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 5] =
        ["cpu.busy_ratio", "cpu.iowait_ratio", "disk.sda.busy_ratio", "load.1m", "network.eth0.sent_bytes_per_second"];

    fn asked(patterns: &[&str]) -> Result<Vec<&'static str>, Failure> {
        matching(&patterns.iter().map(|pattern| (*pattern).to_owned()).collect::<Vec<_>>(), &NAMES)
    }

    #[test]
    fn no_more_digits_are_shown_than_are_kept() {
        let shown = [789_127_168.0, 99_999.9, 12_345.6, 0.123_456, 2e-7, 0.0, -4.0, 1e15].map(five_digits);
        assert_eq!(shown, [789_130_000.0, 100_000.0, 12_346.0, 0.12346, 2e-7, 0.0, -4.0, 1e15]);
    }

    #[test]
    fn a_pattern_is_a_name_a_part_of_one_or_has_stars() {
        assert_eq!(asked(&["load.1m"]).unwrap(), ["load.1m"]);
        assert_eq!(asked(&["busy"]).unwrap(), ["cpu.busy_ratio", "disk.sda.busy_ratio"]);
        assert_eq!(asked(&["network.*", "cpu.busy_ratio", "busy"]).unwrap().len(), 3);
        assert_eq!(asked(&["*"]).unwrap(), NAMES);
        assert_eq!(asked(&["*.busy*"]).unwrap(), ["cpu.busy_ratio", "disk.sda.busy_ratio"]);
    }

    #[test]
    fn stars_stand_for_anything_and_nothing() {
        for (pattern, name, same) in [
            ("a*", "a", true),
            ("*a", "ba", true),
            ("a*b*c", "axxbyc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("**", "", true),
            ("a", "ab", false),
        ] {
            assert_eq!(glob(pattern, name), same, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_that_means_nothing_is_told_what_is_near() {
        let message = asked(&["load.1m", "cpu.bsy_ratio"]).unwrap_err().to_string();
        assert!(message.contains("cpu.busy_ratio") && !message.contains("load.1m"), "{message}");
        let message = asked(&["zzz"]).unwrap_err().to_string();
        assert!(message.contains("load.1m"), "{message}");
        assert!(matching(&["é".to_owned()], &[]).is_err());
    }

    #[test]
    fn a_request_is_checked_in_words() {
        let check = |json: &str| Asked::check(serde_json::from_str(json).unwrap());
        let usual = check("{}").unwrap();
        assert_eq!((usual.window, usual.points, usual.page.limit()), (Duration::from_secs(3600), 30, 40));
        assert_eq!(check(r#"{"window":"24h","points":120,"limit":100}"#).unwrap().page.limit(), 69);
        assert_eq!(check(r#"{"limit":100}"#).unwrap().page.limit(), 100);
        for json in [
            r#"{"window":"59s"}"#,
            r#"{"window":"25h"}"#,
            r#"{"window":"soon"}"#,
            r#"{"points":0}"#,
            r#"{"series":[]}"#,
            r#"{"series":[""]}"#,
        ] {
            assert_eq!(check(json).unwrap_err().kind(), "invalid", "{json}");
        }
    }

    #[test]
    fn a_sparkline_goes_from_the_least_to_the_most() {
        let summary = |min: f64, max: f64, parts: &[Option<f64>]| {
            sparkline(&Summary { min, avg: 0.0, p95: 0.0, max, last: 0.0, parts: parts.to_vec() })
        };
        assert_eq!(summary(0.0, 7.0, &[Some(0.0), None, Some(3.0), Some(7.0)]), "▁·▄█");
        assert_eq!(summary(5.0, 5.0, &[Some(5.0), Some(5.0)]), "▁▁");
    }

    #[test]
    fn units_and_owners_come_from_the_name() {
        let place = Place {
            container: Some(facts::host::Container("lxc".into())),
            lxcfs: vec!["stat".into()],
            ..Place::default()
        };
        for (name, of, owner) in [
            ("cpu.busy_ratio", Some("ratio"), Whose::Container),
            ("load.1m", Some("threads"), Whose::Machine),
            ("memory.available_bytes", Some("bytes"), Whose::Machine),
            ("pressure.io_ratio", Some("ratio"), Whose::Machine),
            ("network.eth0.sent_bytes_per_second", Some("bytes_per_second"), Whose::Container),
        ] {
            assert_eq!((unit(name), whose(&place, name)), (of, owner), "{name}");
        }
    }

    #[test]
    fn the_busiest_disk_and_interface_are_shown_unasked() {
        let mut history = host::History::default();
        let values = [
            ("cpu.busy_ratio", 0.5),
            ("cpu.steal_ratio", 0.0),
            ("disk.sda.busy_ratio", 0.1),
            ("disk.sda.read_bytes_per_second", 900.0),
            ("disk.sdb.busy_ratio", 0.2),
            ("disk.sdb.read_bytes_per_second", 5.0),
            ("network.eth0.100.sent_bytes_per_second", 0.0),
            ("network.wg0.sent_bytes_per_second", 0.0),
        ];
        history.push(Duration::ZERO, &values.map(|(name, value)| (name.to_owned(), value)));
        let covered = history.covered(LONGEST).unwrap();
        let expected = [
            "cpu.busy_ratio",
            "disk.sdb.busy_ratio",
            "disk.sdb.read_bytes_per_second",
            "network.eth0.100.sent_bytes_per_second",
        ];
        assert_eq!(usual(&history, covered), expected);
    }
}
