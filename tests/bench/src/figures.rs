//! Medians, their spread, and the table they stand in.

/// The value in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// What `share` of the values stay at or below; of values in order.
pub fn percentile(sorted: &[u32], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(place.clamp(1, sorted.len().max(1)) - 1).map_or(f64::NAN, |value| f64::from(*value))
}

/// `median (least to most)`.
pub fn spread(values: &[f64], write: impl Fn(f64) -> String) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if values.len() < 2 {
        return write(median(values));
    }
    format!("{} ({} to {})", write(median(values)), write(least), write(most))
}

/// Three digits that count.
pub fn short(x: f64) -> String {
    match x.abs() {
        _ if !x.is_finite() => "–".to_owned(),
        0.0 => "0".to_owned(),
        ..1.0 => format!("{x:.2}"),
        ..10.0 => format!("{x:.2}"),
        ..100.0 => format!("{x:.1}"),
        ..10_000.0 => format!("{x:.0}"),
        _ => format!("{:.1}k", x / 1e3),
    }
}

/// Hundredths.
pub fn percent(x: f64) -> String {
    format!("{:.0} %", x * 100.0)
}

/// From bytes.
pub fn mib(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / f64::from(1 << 20))
}

/// From seconds.
pub fn ms(seconds: f64) -> String {
    format!("{} ms", short(seconds * 1e3))
}

/// A target and whether it was met.
pub fn verdict(target: &str, met: bool) -> String {
    format!("{target}: {}", if met { "met" } else { "**missed**" })
}

/// Prints one line of the table.
pub fn row(what: &str, ours: &str, beside: &str, ratio: &str, target: &str) {
    let or_dash = |text: &str| if text.is_empty() { "–".to_owned() } else { text.to_owned() };
    println!("| {what} | {} | {} | {} | {} |", or_dash(ours), or_dash(beside), or_dash(ratio), or_dash(target));
}
