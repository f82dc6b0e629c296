//! What counts as wrong, and how it is said.

use schemars::JsonSchema;
use serde::Serialize;

/// Problems that one answer lists.
const MOST: usize = 50;

/// Something that an operator would call wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// In words.
    pub what: String,
    /// The tool that tells more.
    pub see: &'static str,
}

/// How bad it is, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Something has failed or soon will.
    Critical,
    /// Worth a look today.
    Warning,
    /// Good to know.
    Notice,
}

/// What was found, in the order in which it was looked for.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Something has failed or soon will.
    pub fn critical(&mut self, see: &'static str, what: impl Into<String>) {
        self.add(Severity::Critical, see, what);
    }

    /// Worth a look today.
    pub fn warning(&mut self, see: &'static str, what: impl Into<String>) {
        self.add(Severity::Warning, see, what);
    }

    /// Good to know.
    pub fn notice(&mut self, see: &'static str, what: impl Into<String>) {
        self.add(Severity::Notice, see, what);
    }

    /// As bad as `severity` says.
    pub fn add(&mut self, severity: Severity, see: &'static str, what: impl Into<String>) {
        self.0.push(Problem { severity, what: what.into(), see });
    }

    /// All of them, worst first; of very many the worst 50 and how many more there are.
    pub fn sorted(mut self) -> Vec<Problem> {
        self.0.sort_by_key(|problem| problem.severity);
        let more = self.0.len().saturating_sub(MOST);
        if let Some(first) = self.0.get(MOST).cloned() {
            self.0.truncate(MOST);
            let what = format!("{more} more problems of this severity or less");
            self.0.push(Problem { what, ..first });
        }
        self.0
    }
}

/// Percent without a fraction.
pub fn percent(ratio: f64) -> String {
    format!("{:.0} %", ratio * 100.0)
}

/// Bytes in the unit that leaves a number of at least one: `9.2 MiB`.
pub fn size(bytes: u64) -> String {
    let exponent = if bytes == 0 { 0 } else { (bytes.ilog2() / 10).min(4) };
    let unit = ["B", "KiB", "MiB", "GiB", "TiB"][exponent as usize];
    if exponent == 0 {
        format!("{bytes} {unit}")
    } else {
        format!("{:.1} {unit}", bytes as f64 / f64::powi(1024.0, exponent as i32))
    }
}

/// So many of something, in good English.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// The first few of these names.
pub fn first_of(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names[..names.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_very_many_the_worst_are_told_and_the_rest_are_counted() {
        let mut problems = Problems::default();
        (0..MOST).for_each(|_| problems.warning("disks", "full"));
        problems.critical("disks", "dead");
        problems.notice("cpu", "old");
        let told = problems.sorted();
        assert_eq!((told.len(), told[0].what.as_str()), (MOST + 1, "dead"));
        let last = (told[MOST].severity, told[MOST].what.as_str());
        assert_eq!(last, (Severity::Warning, "2 more problems of this severity or less"));
    }

    #[test]
    fn a_size_has_the_unit_that_fits_it() {
        let said = [0, 1023, 1024, 9_653_190, 17 << 30, 1 << 50].map(size);
        assert_eq!(said, ["0 B", "1023 B", "1.0 KiB", "9.2 MiB", "17.0 GiB", "1024.0 TiB"]);
    }

    #[test]
    fn the_worst_comes_first() {
        let mut problems = Problems::default();
        problems.notice("cpu", "c");
        problems.critical("cpu", "a");
        problems.warning("cpu", "b");
        assert_eq!(problems.sorted().iter().map(|one| &*one.what).collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
