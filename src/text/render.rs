//! The text form of an answer: every figure of the structured form, for fewer tokens.
//!
//! - An object is one `key: value` line each; a small one stands on one line, `key: a=1, b=2`, inside others in braces.
//! - A key's unit moves to the value (`total_bytes` → `total: 15.6 GiB`), unless two keys would become the same.
//! - A table says how many rows follow, then a heading with the units, then one line a row, cells parted by tabs.
//!   An array of like objects is a table too. Because the number is announced, no cell can pretend to end the table.
//! - A list of plain values is `[a, b]`; long lists of strings say how many lines follow.
//! - Null is `-`, everywhere.
//! - A string stands as it is, and in JSON's quotes where it could be taken for something else: empty, `-`, blanks at an
//!   end, a quote at its start, inside a list or a one-line object a comma, `=`, bracket or brace. A tab, line break or other
//!   control character never leaves a string.
//!
//! Why tabs, and units in headings: tokens of o200k (tiktoken-rs 0.12), measured on 2026-11-23 by `tests/bench/tokens.rs`,
//! which prints this table:
//!
//! | | memory | 20 processes | 12 filesystems | overview |
//! |---|---|---|---|---|
//! | JSON, array of objects | 187 | 1124 | 803 | 181 |
//! | JSON, columnar | 187 | 673 | 521 | 181 |
//! | TOON | 209 | 698 | 495 | 189 |
//! | this, cells parted by tabs | 174 | 614 | 379 | 168 |
//! | … by commas (before quoting) | 174 | 627 | 381 | 170 |
//! | … by pipes | 174 | 638 | 417 | 171 |
//! | … by blanks, or pipes with blanks | 174 | 735 | 477 | 170 |
//!
//! So a table costs 55 % and 47 % of an array of objects as text, 60 % and 65 % columnar. In a sketch made before, on
//! 20 other processes, a unit in every cell (`12.3 MiB`) instead of the heading added 8 %, `3d 4h` instead of `3d4h` 3 %.
//! Commas cost nearly as little, but names and command lines have commas in them, and no tabs once they are clean.

use std::{collections::HashSet, fmt::Write};

use serde_json::{Map, Value};

use super::unit::{Scale, Unit, plain};

/// How long a nested object or list may be to stand on one line, in bytes.
const ONE_LINE: usize = 120;

/// The compact text form of a structured answer, without a newline at its end. Complete on its own: figures with a unit
/// are rounded to three digits that count, other fractions to four; whole numbers and words are there to the last digit.
pub fn render(answer: &Value) -> String {
    let mut out = String::new();
    match answer {
        Value::Object(fields) if as_table(answer).is_none() => members(&mut out, fields, 0),
        other => entry(&mut out, "answer", other, 0),
    }
    out.truncate(out.trim_end_matches('\n').len());
    out
}

fn members(out: &mut String, fields: &Map<String, Value>, depth: usize) {
    for (label, (key, value)) in labels(fields).into_iter().zip(fields) {
        // a unit that stayed in the key is repeated in the value: keys stay apart, values readable
        let unit = unit_of(key, value).map(|(_, unit)| unit);
        indent(out, depth);
        match (value, unit) {
            (Value::Number(number), Some(unit)) => {
                let _ = writeln!(out, "{label}: {}", unit.figure(number.as_f64().unwrap_or_default()));
            }
            (Value::Array(items), Some(unit)) => {
                let scale = unit.scale(&figures(items));
                let _ = writeln!(
                    out,
                    "{label}{}: [{}]",
                    scale.heading(),
                    joined(items.iter().map(|item| cell(item, Some(&scale))))
                );
            }
            _ => entry(out, &label, value, depth),
        }
    }
}

/// Writes `label` and what it stands for, to the end of its last line.
fn entry(out: &mut String, label: &str, value: &Value, depth: usize) {
    if let Some(table) = as_table(value) {
        return rows(out, label, &table);
    }
    let _ = match value {
        Value::String(text) => writeln!(out, "{label}: {}", quoted(text, Context::Line)),
        Value::Object(fields) => match one_line(fields) {
            Some(line) => writeln!(out, "{label}: {line}"),
            None => {
                let _ = writeln!(out, "{label}:");
                return members(out, fields, depth + 1);
            }
        },
        Value::Array(items) if items.iter().any(is_nested) => {
            let _ = writeln!(out, "{label}: {} items", items.len());
            return items.iter().for_each(|item| list_item(out, item, depth + 1));
        }
        Value::Array(items)
            if !items.is_empty() && items.iter().all(Value::is_string) && inline(value).len() > ONE_LINE =>
        {
            let _ = writeln!(out, "{label}: {} lines", items.len());
            let lines = items.iter().filter_map(Value::as_str);
            return lines.for_each(|line| out.extend([&*quoted(line, Context::Lines), "\n"]));
        }
        other => writeln!(out, "{label}: {}", inline(other)),
    };
}

fn list_item(out: &mut String, item: &Value, depth: usize) {
    indent(out, depth);
    match item {
        Value::Object(fields) if as_table(item).is_none() => match one_line(fields) {
            Some(line) => {
                let _ = writeln!(out, "- {line}");
            }
            None => {
                out.push_str("-\n");
                members(out, fields, depth + 1);
            }
        },
        Value::Array(_) | Value::Object(_) => entry(out, "-", item, depth),
        Value::String(text) => out.extend(["- ", &quoted(text, Context::Line), "\n"]),
        plain => out.extend(["- ", &inline(plain), "\n"]),
    }
}

fn rows(out: &mut String, label: &str, table: &Rows<'_>) {
    let _ = writeln!(out, "{label}: {} row{}", table.rows.len(), if table.rows.len() == 1 { "" } else { "s" });
    if table.rows.is_empty() {
        return;
    }
    let scales: Vec<_> = (0..table.columns.len())
        .map(|place| {
            let column: Vec<_> = table.rows.iter().map(|row| row[place]).collect();
            if !column.iter().all(|value| value.is_number() || value.is_null()) {
                return None;
            }
            let figures = figures(column);
            let (base, unit) = Unit::of(table.columns[place])?;
            (!figures.is_empty()).then(|| (base, unit.scale(&figures)))
        })
        .collect();
    let headings: Vec<_> = scales
        .iter()
        .zip(&table.columns)
        .map(|(scale, column)| {
            scale.as_ref().map_or((*column).to_owned(), |(base, scale)| format!("{base}{}", scale.heading()))
        })
        .collect();
    let unique = unique(&headings.iter().map(String::as_str).collect::<Vec<_>>());
    let columns: HashSet<_> = table.columns.iter().copied().collect();
    for (place, (heading, column)) in headings.iter().zip(&table.columns).enumerate() {
        let taken = heading != column && (!unique.contains(&**heading) || columns.contains(&**heading));
        out.push_str(if place > 0 { "\t" } else { "" });
        out.push_str(&quoted(if taken { column } else { heading }, Context::Cell));
    }
    out.push('\n');
    for row in &table.rows {
        for (place, (value, scale)) in row.iter().zip(&scales).enumerate() {
            out.push_str(if place > 0 { "\t" } else { "" });
            match value {
                Value::String(text) => out.push_str(&quoted(text, Context::Cell)),
                other => out.push_str(&cell(other, scale.as_ref().map(|(_, scale)| scale))),
            }
        }
        out.push('\n');
    }
}

struct Rows<'a> {
    columns: Vec<&'a str>,
    rows: Vec<Vec<&'a Value>>,
}

/// A [`Table`](crate::table::Table), or two and more objects that have the same plain fields.
fn as_table(value: &Value) -> Option<Rows<'_>> {
    match value {
        Value::Object(fields) if fields.len() == 2 => {
            let columns: Vec<_> =
                fields.get("columns")?.as_array()?.iter().map(Value::as_str).collect::<Option<_>>()?;
            let rows = fields.get("rows")?.as_array()?.iter();
            let rows =
                rows.map(|row| row.as_array().filter(|row| row.len() == columns.len()).map(|row| row.iter().collect()));
            rows.collect::<Option<_>>().map(|rows| Rows { columns, rows })
        }
        Value::Array(items) if items.len() > 1 => {
            let columns: Vec<_> = items[0].as_object()?.keys().map(String::as_str).collect();
            let rows = items.iter().map(|item| {
                let fields = item.as_object().filter(|fields| fields.keys().eq(&columns))?;
                (!fields.values().any(is_nested)).then(|| fields.values().collect())
            });
            (!columns.is_empty()).then(|| rows.collect::<Option<_>>())?.map(|rows| Rows { columns, rows })
        }
        _ => None,
    }
}

fn is_nested(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

/// A small object without its braces.
fn one_line(fields: &Map<String, Value>) -> Option<String> {
    if fields.is_empty() {
        return Some("{}".into());
    }
    let line = (!fields.values().any(is_nested)).then(|| inner(fields))?;
    (line.len() <= ONE_LINE).then_some(line)
}

fn inner(fields: &Map<String, Value>) -> String {
    joined(labels(fields).into_iter().zip(fields).map(|(label, (key, value))| {
        let figure = value.as_f64().zip(unit_of(key, value)).map(|(x, (_, unit))| unit.figure(x));
        format!("{label}={}", figure.unwrap_or_else(|| inline(value)))
    }))
}

/// Any value inside a line.
fn inline(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => plain(number),
        Value::String(text) => quoted(text, Context::Inline).into_owned(),
        Value::Array(items) => format!("[{}]", joined(items.iter().map(inline))),
        Value::Object(fields) => format!("{{{}}}", inner(fields)),
    }
}

fn cell(value: &Value, scale: Option<&Scale>) -> String {
    value.as_f64().zip(scale).map_or_else(|| inline(value), |(x, scale)| scale.cell(x))
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

fn figures<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<f64> {
    values.into_iter().filter_map(Value::as_f64).collect()
}

/// The unit that `value` can carry instead of `key`.
fn unit_of<'a>(key: &'a str, value: &Value) -> Option<(&'a str, Unit)> {
    let figures = match value {
        Value::Number(_) => true,
        Value::Array(items) => !items.is_empty() && items.iter().all(Value::is_number),
        _ => false,
    };
    Unit::of(key).filter(|_| figures)
}

/// The keys as printed: without their unit, where the value says it and no other key becomes the same.
fn labels(fields: &Map<String, Value>) -> Vec<String> {
    let short: Vec<_> =
        fields.iter().map(|(key, value)| unit_of(key, value).map_or(&**key, |(base, _)| base)).collect();
    let unique = unique(&short);
    let label = |(key, short): (&String, &&str)| {
        let taken = short != key && (!unique.contains(short) || fields.contains_key(*short));
        quoted(if taken { key } else { short }, Context::Key).into_owned()
    };
    fields.keys().zip(&short).map(label).collect()
}

/// Those of `names` that are there once.
fn unique<'a>(names: &[&'a str]) -> HashSet<&'a str> {
    let mut seen = HashSet::new();
    let twice: HashSet<_> = names.iter().filter(|name| !seen.insert(**name)).copied().collect();
    &seen - &twice
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n(' ', depth));
}

/// Where a string stands: what it must not contain unquoted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    /// Before the colon.
    Key,
    /// From the colon to the end of the line.
    Line,
    /// A line of a list of lines.
    Lines,
    /// Between two tabs.
    Cell,
    /// In a list or a one-line object.
    Inline,
}

fn quoted(text: &str, context: Context) -> std::borrow::Cow<'_, str> {
    let special: &[char] = match context {
        Context::Key => &[':', '=', ',', ' ', '"', '[', '{', '}', ']'],
        Context::Line | Context::Lines | Context::Cell => &[],
        Context::Inline => &[',', '=', '"', '[', ']', '{', '}'],
    };
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let mistakable = match context {
        Context::Lines => false,
        _ => text.is_empty() || text == "-" || text.trim().len() != text.len(),
    };
    if !mistakable && !text.starts_with('"') && !text.contains(|c| breaks(c) || special.contains(&c)) {
        return text.into();
    }
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if breaks(c) => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_is_a_line_for_each_figure() {
        let report = json!({
            "host": "web-1", "at": "2026-11-23T10:00:00Z", "total_bytes": 16_698_114_048_u64, "used_ratio": 0.432,
            "uptime_seconds": 273_600, "processes": 212, "swap_bytes": null, "huge_pages": false,
            "load": [0.42, 0.3, 0.25], "empty": [], "nothing": {},
            "pressure": {"some_ratio": 0.01, "full_ratio": 0},
        });
        assert_eq!(
            render(&report),
            "host: web-1\nat: 2026-11-23T10:00:00Z\ntotal: 15.6 GiB\nused: 43.2 %\nuptime: 3d 4h\nprocesses: 212\n\
             swap_bytes: -\nhuge_pages: false\nload: [0.42, 0.3, 0.25]\nempty: []\nnothing: {}\n\
             pressure: some=1 %, full=0 %"
        );
    }

    #[test]
    fn keys_that_would_become_the_same_keep_their_unit() {
        assert_eq!(
            render(&json!({"used_bytes": 1024, "used_ratio": 0.5, "free_bytes": 1, "free": true})),
            "used_bytes: 1 KiB\nused_ratio: 50 %\nfree_bytes: 1 B\nfree: true"
        );
        let table =
            json!({"columns": ["up_seconds", "up", "used_bytes", "used_ratio"], "rows": [[9000, 1, 2048, 0.5]]});
        assert_eq!(render(&table), "answer: 1 row\nup_seconds\tup\tused KiB\tused %\n2h30m\t1\t2\t50");
    }

    #[test]
    fn a_table_has_its_units_in_the_heading() {
        let report = json!({
            "processes": {
                "columns": ["pid", "name", "resident_bytes", "cpu_ratio", "age_seconds"],
                "rows": [[1, "init", 12_582_912, 0.001, 273_600], [712, "a b", null, 0.25, 5]],
            },
            "next": null,
        });
        assert_eq!(
            render(&report),
            "processes: 2 rows\npid\tname\tresident MiB\tcpu %\tage\n1\tinit\t12\t0.1\t3d4h\n712\ta b\t-\t25\t5s\nnext: -"
        );
        let like = json!({"disks": [{"name": "sda", "size_bytes": 1024}, {"name": "sdb", "size_bytes": 2048}]});
        assert_eq!(render(&like), "disks: 2 rows\nname\tsize KiB\nsda\t1\nsdb\t2");
        assert_eq!(render(&json!({"t": {"columns": ["a"], "rows": []}})), "t: 0 rows");
    }

    #[test]
    fn lists_of_unlike_things_are_items() {
        let report = json!({"problems": [{"what": "disk full", "where": ["/", "/var"]}, {"what": "oom"}, 3]});
        assert_eq!(render(&report), "problems: 3 items\n -\n  what: disk full\n  where: [/, /var]\n - what=oom\n - 3");
        let long = "x".repeat(ONE_LINE);
        assert_eq!(render(&json!({"lines": [long, "", "- y"]})), format!("lines: 3 lines\n{long}\n\n- y"));
    }

    #[test]
    fn no_string_can_forge_a_line_or_a_cell() {
        let evil = "a\nok: true\tb\u{2028}c\u{85}d\re\u{b}f";
        for report in [
            json!({"x": evil}),
            json!({evil: 1}),
            json!([evil]),
            json!({"x": {evil: evil}}),
            json!({"x": [evil, evil.repeat(30)]}),
            json!({"columns": [evil], "rows": [[{evil: [evil]}]]}),
            json!([{"a": evil}, {"a": evil}]),
        ] {
            let text = render(&report);
            assert!(!text.lines().any(|line| line.starts_with("ok") || line.contains('\t')), "{text}");
            assert!(!text.contains(['\u{2028}', '\u{85}', '\r', '\u{b}']), "{text}");
        }
        assert_eq!(
            render(&json!({"x": ["a, b", "c"], "y": {"z": "1, ok=true"}})),
            "x: [\"a, b\", c]\ny: z=\"1, ok=true\""
        );
        assert_eq!(render(&json!({"x": "-", "y": "", "z": "\"q\""})), "x: \"-\"\ny: \"\"\nz: \"\\\"q\\\"\"");
    }
}
