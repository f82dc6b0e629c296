//! What an answer costs a model: the same figures in the forms one could choose, in o200k tokens.

use std::fmt::Write;

use serde_json::{Map, Value, json};
use text::{render, tokens_at_most};

fn tokens(text: &str) -> usize {
    tiktoken_rs::o200k_base_singleton().encode_ordinary(text).len()
}

/// A small generator of figures: the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

fn processes() -> Value {
    let mut dice = Dice(0x5eed_cafe);
    let names = [
        "systemd",
        "postgres",
        "nginx",
        "python3",
        "node",
        "sshd",
        "dockerd",
        "containerd",
        "java",
        "redis-server",
        "mysqld",
        "cron",
        "rsyslogd",
        "kworker/0:1-events",
        "tailscaled",
        "prometheus",
        "grafana",
        "bash",
        "(sd-pam)",
        "dbus-daemon",
    ];
    let rows: Vec<Value> = names
        .iter()
        .map(|name| {
            let user = ["root", "postgres", "www-data", "1000"][dice.below(4) as usize];
            let state = ["sleeping", "running", "idle"][dice.below(3) as usize];
            let cpu = dice.below(1000) as f64 / 10_000.0;
            json!([
                dice.below(99_999),
                name,
                user,
                state,
                cpu,
                1_000_000 + dice.below(3_000_000_000),
                dice.below(4_000_000),
                1 + dice.below(60),
                dice.below(1 << 22)
            ])
        })
        .collect();
    let columns = [
        "pid",
        "name",
        "user",
        "state",
        "cpu_ratio",
        "resident_bytes",
        "age_seconds",
        "threads",
        "read_bytes_per_second",
    ];
    json!({"host": "web-1", "time": "2026-11-23T10:00:00Z", "processes": {"columns": columns, "rows": rows}, "next_cursor": null})
}

fn filesystems() -> Value {
    let mut dice = Dice(0xd15c);
    let mounts = [
        "/",
        "/boot",
        "/boot/efi",
        "/home",
        "/var",
        "/var/lib/docker",
        "/srv/data",
        "/tmp",
        "/run",
        "/dev/shm",
        "/mnt/backup",
        "/nix/store",
    ];
    let rows: Vec<Value> = mounts
        .iter()
        .enumerate()
        .map(|(n, mount)| {
            let size = 1_000_000_000 + dice.below(900_000_000_000);
            let used = dice.below(size);
            // as tools should: sixteen digits of a ratio cost seven tokens
            let ratio = (used as f64 / size as f64 * 1e4).round() / 1e4;
            let kind = ["ext4", "xfs", "tmpfs"][dice.below(3) as usize];
            json!([
                mount,
                format!("/dev/sda{n}"),
                kind,
                size,
                used,
                size - used,
                ratio,
                dice.below(1000) as f64 / 1000.0,
                false
            ])
        })
        .collect();
    let columns = [
        "mount",
        "device",
        "type",
        "size_bytes",
        "used_bytes",
        "free_bytes",
        "used_ratio",
        "inodes_used_ratio",
        "read_only",
    ];
    json!({"host": "web-1", "time": "2026-11-23T10:00:00Z", "filesystems": {"columns": columns, "rows": rows}})
}

fn memory() -> Value {
    json!({
        "host": "web-1", "time": "2026-11-23T10:00:00Z", "total_bytes": 16_698_114_048_u64, "available_bytes": 9_339_289_600_u64,
        "used_ratio": 0.4407, "free_bytes": 1_207_959_552_u64, "cached_bytes": 7_516_192_768_u64, "buffers_bytes": 412_090_368_u64,
        "slab_bytes": 734_003_200_u64, "shared_bytes": 201_326_592, "dirty_bytes": 1_310_720, "swap_total_bytes": 2_147_479_552_u64,
        "swap_free_bytes": 2_100_000_000_u64, "huge_pages_bytes": null, "oom_kills": 0,
        "pressure": {"some_10_seconds_ratio": 0.0, "some_60_seconds_ratio": 0.0012, "full_10_seconds_ratio": 0.0, "full_60_seconds_ratio": 0.0},
        "swap_in_bytes_per_second": 0.0, "swap_out_bytes_per_second": 4096.0,
    })
}

fn overview() -> Value {
    json!({
        "host": "web-1", "time": "2026-11-23T10:00:00Z", "uptime_seconds": 1_203_884, "load": [0.42, 0.61, 0.55], "cpu_ratio": 0.127,
        "cpus": 8, "memory": {"total_bytes": 16_698_114_048_u64, "available_bytes": 9_339_289_600_u64, "used_ratio": 0.4407},
        "network": {"received_bytes_per_second": 1_258_291.2, "sent_bytes_per_second": 88_211.0},
        "problems": [
            {"severity": "critical", "what": "/var is 96 % full, 4.1 GiB left", "tool": "disks"},
            {"severity": "warning", "what": "unit nightly-backup.service failed 6 hours ago", "tool": "services"},
            {"severity": "warning", "what": "container shop-worker restarted 14 times in the last hour", "tool": "containers"},
        ],
    })
}

/// Every table as what it would be without [`text::table`].
fn objects(value: &Value) -> Value {
    match value {
        Value::Object(fields) if fields.contains_key("rows") => {
            let columns: Vec<_> =
                fields["columns"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let object = |row: &Value| {
                columns.iter().map(|c| (*c).to_owned()).zip(row.as_array().cloned().unwrap_or_default()).collect()
            };
            Value::Array(
                fields["rows"].as_array().into_iter().flatten().map(|row| Value::Object(object(row))).collect(),
            )
        }
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(k, v)| (k.clone(), objects(v))).collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

/// TOON, as far as our answers need it.
fn toon(value: &Value, indent: usize, out: &mut String) {
    let cell = |value: &Value| match value {
        Value::String(text) if !text.is_empty() && !text.contains([',', ':', '"', '[', '{']) => text.clone(),
        other => other.to_string(),
    };
    let line = |items: &[Value]| items.iter().map(cell).collect::<Vec<_>>().join(",");
    let pad = "  ".repeat(indent);
    for (key, value) in value.as_object().into_iter().flatten() {
        let _ = match value {
            Value::Object(_) => {
                let _ = writeln!(out, "{pad}{key}:");
                toon(value, indent + 1, out);
                Ok(())
            }
            Value::Array(items) if items.first().is_some_and(Value::is_object) => {
                let names: Vec<_> = items[0].as_object().into_iter().flat_map(Map::keys).cloned().collect();
                let _ = writeln!(out, "{pad}{key}[{}]{{{}}}:", items.len(), names.join(","));
                items
                    .iter()
                    .filter_map(Value::as_object)
                    .try_for_each(|item| writeln!(out, "{pad}  {}", line(&item.values().cloned().collect::<Vec<_>>())))
            }
            Value::Array(items) => writeln!(out, "{pad}{key}[{}]: {}", items.len(), line(items)),
            other => writeln!(out, "{pad}{key}: {}", cell(other)),
        };
    }
}

/// Our text with another mark between cells.
fn parted(text: &str, by: &str) -> String {
    text.replace('\t', by)
}

/// Our text with blanks that line the cells up.
fn aligned(text: &str) -> String {
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    let width = |n: usize| {
        rows.iter()
            .filter(|row| row.len() > 1)
            .filter_map(|row| row.get(n))
            .map(|c| c.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<_> = (0..rows.iter().map(Vec::len).max().unwrap_or(0)).map(width).collect();
    let row = |row: &Vec<&str>| match &row[..] {
        [line] => (*line).to_owned(),
        cells => cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}  "))
            .collect::<String>()
            .trim_end()
            .to_owned(),
    };
    rows.iter().map(row).collect::<Vec<_>>().join("\n")
}

/// Prints the table that the docs of `text::render` quote.
#[test]
fn a_table_as_text_costs_at_most_60_percent_of_an_array_of_objects() {
    let samples = [
        ("memory", memory()),
        ("20 processes", processes()),
        ("12 filesystems", filesystems()),
        ("overview", overview()),
    ];
    let mut report = String::from("form");
    for (name, _) in &samples {
        let _ = write!(report, " | {name}");
    }
    type Form = (&'static str, fn(&Value) -> String);
    let forms: [Form; 9] = [
        ("JSON, objects", |value| objects(value).to_string()),
        ("JSON, columnar", Value::to_string),
        ("TOON", |value| {
            let mut out = String::new();
            toon(&objects(value), 0, &mut out);
            out
        }),
        ("text, tabs (ours)", render),
        ("text, commas", |value| parted(&render(value), ",")),
        ("text, pipes", |value| parted(&render(value), "|")),
        ("text, spaced pipes", |value| parted(&render(value), " | ")),
        ("text, two blanks", |value| parted(&render(value), "  ")),
        ("text, aligned", |value| aligned(&render(value))),
    ];
    for (name, form) in forms {
        let _ = write!(report, "\n{name}");
        for (_, sample) in &samples {
            let _ = write!(report, " | {}", tokens(&form(sample)));
        }
    }
    report.push_str("\nits bound");
    for (_, sample) in &samples {
        let _ = write!(report, " | {}", tokens_at_most(&render(sample)));
    }
    #[expect(clippy::print_stderr, reason = "the figures are what this is run for")]
    {
        eprintln!("{report}");
    }
    for (name, sample) in &samples[1..3] {
        let all = tokens(&objects(sample).to_string());
        // JSON has no units to leave out: where a row is mostly byte counts, its columns save less
        for (form, text, most) in [("text", render(sample), 60), ("structured", sample.to_string(), 70)] {
            assert!(tokens(&text) * 100 <= all * most, "{name}: {form} costs {} of {all}", tokens(&text));
        }
    }
}
