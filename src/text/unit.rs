//! The units in which keys end, and figures as people write them.

use std::fmt::Write;

use serde_json::Number;

const BINARY: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
const DECIMAL: [&str; 5] = ["Hz", "kHz", "MHz", "GHz", "THz"];
/// Below this, a column of durations is plain seconds.
const SHORT_SECONDS: f64 = 600.0;

/// What a figure counts, as its key's ending says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Bytes,
    BytesPerSecond,
    PerSecond,
    Seconds,
    Ratio,
    Celsius,
    Hertz,
}

impl Unit {
    /// Longer endings first: `_bytes_per_second` ends in `_per_second` too.
    const ENDINGS: [(&str, Self); 7] = [
        ("bytes_per_second", Self::BytesPerSecond),
        ("per_second", Self::PerSecond),
        ("bytes", Self::Bytes),
        ("seconds", Self::Seconds),
        ("ratio", Self::Ratio),
        ("celsius", Self::Celsius),
        ("hertz", Self::Hertz),
    ];

    /// The unit in which `key` ends, and the key without it; all of the key, where nothing else is left of it.
    pub(super) fn of(key: &str) -> Option<(&str, Self)> {
        Self::ENDINGS.into_iter().find_map(|(ending, unit)| match key.strip_suffix(ending)? {
            "" => Some((key, unit)),
            base => match base.strip_suffix('_')? {
                "" => Some((key, unit)),
                base => Some((base, unit)),
            },
        })
    }

    /// One figure with its unit.
    pub(super) fn figure(self, x: f64) -> String {
        match self {
            Self::Bytes => scaled(x, 1024.0, &BINARY),
            Self::BytesPerSecond => scaled(x, 1024.0, &BINARY) + "/s",
            Self::PerSecond => significant(x) + "/s",
            Self::Seconds => duration(x, " "),
            Self::Ratio => percent(x) + " %",
            Self::Celsius => significant(x) + " °C",
            Self::Hertz => scaled(x, 1000.0, &DECIMAL),
        }
    }

    /// One unit for all of `figures`, so that it stands once, in the heading, and not in every cell.
    pub(super) fn scale(self, figures: &[f64]) -> Scale {
        let (base, names): (f64, &[&'static str]) = match self {
            Self::Bytes | Self::BytesPerSecond => (1024.0, &BINARY),
            Self::Hertz => (1000.0, &DECIMAL),
            Self::PerSecond => return Scale::Fixed { heading: "/s".into(), divisor: 1.0 },
            Self::Celsius => return Scale::Fixed { heading: " °C".into(), divisor: 1.0 },
            Self::Ratio => return Scale::Percent,
            Self::Seconds if figures.iter().all(|x| x.abs() < SHORT_SECONDS) => {
                return Scale::Fixed { heading: " s".into(), divisor: 1.0 };
            }
            Self::Seconds => return Scale::Each(self),
        };
        let sizes = || figures.iter().map(|x| x.abs()).filter(|x| *x > 0.0);
        let smallest = sizes().fold(f64::INFINITY, f64::min);
        let largest = sizes().fold(0.0, f64::max);
        // nothing becomes smaller than 0.1 of the unit
        let step =
            (1..names.len()).take_while(|step| largest > 0.0 && smallest >= 0.1 * base.powi(*step as i32)).count();
        let divisor = base.powi(step as i32);
        if largest / divisor >= 1e8 {
            return Scale::Each(self);
        }
        let per = if self == Self::BytesPerSecond { "/s" } else { "" };
        Scale::Fixed { heading: format!(" {}{per}", names[step]), divisor }
    }
}

/// How the figures of one column are written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scale {
    /// Divided, the unit in the heading.
    Fixed { heading: String, divisor: f64 },
    /// Of one, in hundredths; `%` in the heading.
    Percent,
    /// Each with its own unit: they are too far apart for one.
    Each(Unit),
}

impl Scale {
    /// What the column's heading adds to its name.
    pub(super) fn heading(&self) -> &str {
        match self {
            Self::Fixed { heading, .. } => heading,
            Self::Percent => " %",
            Self::Each(_) => "",
        }
    }

    /// One figure of the column.
    pub(super) fn cell(&self, x: f64) -> String {
        match self {
            Self::Fixed { divisor, .. } => significant(x / divisor),
            Self::Percent => percent(x),
            Self::Each(Unit::Seconds) => duration(x, ""),
            Self::Each(unit) => unit.figure(x),
        }
    }
}

/// A figure without a unit: whole numbers to the last digit, others to four that count.
pub(super) fn plain(number: &Number) -> String {
    match number.as_f64() {
        Some(x) if number.is_f64() => rounded(x, 4),
        _ => number.to_string(),
    }
}

/// To three digits that count; never an integer digit lost.
fn significant(x: f64) -> String {
    rounded(x, 3)
}

fn rounded(x: f64, digits: i32) -> String {
    if x == 0.0 || !x.is_finite() {
        return "0".into();
    }
    if x.abs() < 1e-6 {
        return format!("{x:.1e}");
    }
    let decimals = (digits - 1 - x.abs().log10().floor() as i32).max(0) as usize;
    let text = format!("{x:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// In hundredths. What is not all of it never reads `100`, and what is not nothing never `0`.
fn percent(ratio: f64) -> String {
    let text = significant(ratio * 100.0);
    if ratio < 1.0 && text == "100" { rounded((ratio * 1e4).floor() / 100.0, 4) } else { text }
}

fn scaled(x: f64, base: f64, names: &[&str]) -> String {
    // 1023.6 would be written 1024
    let steps =
        (0..names.len() - 1).take_while(|step| x.abs() >= base.powi(*step as i32 + 1) - base.powi(*step as i32) / 2.0);
    let step = steps.count();
    format!("{} {}", significant(x / base.powi(step as i32)), names[step])
}

/// `3d 4h`, `5m 12s`, `12.3 s`, `3.5 ms`: the two largest units.
fn duration(seconds: f64, blank: &str) -> String {
    let mut out = String::new();
    if seconds < 0.0 {
        out.push('-');
    }
    let x = seconds.abs();
    if x == 0.0 || x >= 59.95 {
        let whole = x.round() as u64;
        let (large, small) = match whole {
            0 => return format!("0{blank}s"),
            1..3_600 => ((whole / 60, 'm'), (whole % 60, 's')),
            3_600..86_400 => ((whole / 3_600, 'h'), (whole % 3_600 / 60, 'm')),
            _ => ((whole / 86_400, 'd'), (whole % 86_400 / 3_600, 'h')),
        };
        let _ = write!(out, "{}{}", large.0, large.1);
        if small.0 > 0 {
            let _ = write!(out, "{blank}{}{}", small.0, small.1);
        }
        return out;
    }
    let (factor, name) = match x {
        ..1e-6 => (1e9, "ns"),
        ..1e-3 => (1e6, "µs"),
        ..1.0 => (1e3, "ms"),
        _ => (1.0, "s"),
    };
    out + &significant(x * factor) + blank + name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_people_write_them() {
        for (unit, x, text) in [
            (Unit::Bytes, 16_698_114_048.0, "15.6 GiB"),
            (Unit::Bytes, 0.0, "0 B"),
            (Unit::Bytes, 1023.0, "1023 B"),
            (Unit::Bytes, 1_048_500.0, "1 MiB"),
            (Unit::Bytes, 18_446_744_073_709_551_615.0, "16 EiB"),
            (Unit::Bytes, -2048.0, "-2 KiB"),
            (Unit::BytesPerSecond, 1_258_291.2, "1.2 MiB/s"),
            (Unit::PerSecond, 12.34, "12.3/s"),
            (Unit::Ratio, 0.432, "43.2 %"),
            (Unit::Ratio, 0.99999, "99.99 %"),
            (Unit::Ratio, 1.0, "100 %"),
            (Unit::Ratio, 0.000_04, "0.004 %"),
            (Unit::Ratio, 4.2, "420 %"),
            (Unit::Celsius, 45.5, "45.5 °C"),
            (Unit::Hertz, 3_400_000_000.0, "3.4 GHz"),
            (Unit::Seconds, 273_600.0, "3d 4h"),
            (Unit::Seconds, 86_400.0, "1d"),
            (Unit::Seconds, 12.34, "12.3 s"),
            (Unit::Seconds, 59.97, "1m"),
            (Unit::Seconds, 0.0, "0 s"),
            (Unit::Seconds, 0.0035, "3.5 ms"),
            (Unit::Seconds, -90.0, "-1m 30s"),
        ] {
            assert_eq!(unit.figure(x), text);
        }
        assert_eq!(plain(&Number::from(12_345_678_901_u64)), "12345678901");
        assert_eq!(plain(&Number::from_f64(0.123_456).unwrap()), "0.1235");
        assert_eq!(plain(&Number::from_f64(123_456.7).unwrap()), "123457");
    }

    #[test]
    fn a_key_names_its_unit() {
        assert_eq!(Unit::of("read_bytes_per_second"), Some(("read", Unit::BytesPerSecond)));
        assert_eq!(Unit::of("reads_per_second"), Some(("reads", Unit::PerSecond)));
        assert_eq!(Unit::of("bytes"), Some(("bytes", Unit::Bytes)));
        assert_eq!(Unit::of("megabytes"), None);
        assert_eq!(Unit::of("pid"), None);
    }

    #[test]
    fn a_column_has_one_unit_unless_its_figures_are_too_far_apart() {
        let heading = |unit: Unit, figures: &[f64]| unit.scale(figures).heading().to_owned();
        assert_eq!(heading(Unit::Bytes, &[0.0, 2e9, 3e8]), " GiB");
        assert_eq!(heading(Unit::Bytes, &[4096.0, 2e9]), " KiB");
        assert_eq!(heading(Unit::Bytes, &[0.0]), " B");
        assert_eq!(heading(Unit::Bytes, &[4096.0, 8e12]), "");
        assert_eq!(heading(Unit::Seconds, &[1.5, 30.0]), " s");
        assert_eq!(heading(Unit::Seconds, &[1.5, 3000.0]), "");
        assert_eq!(Unit::Bytes.scale(&[1e9, 2e9]).cell(2e9), "1.86");
        assert_eq!(Unit::Seconds.scale(&[9e5]).cell(273_600.0), "3d4h");
    }
}
