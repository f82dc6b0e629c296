//! A page of figures in the text format of Prometheus, version 0.0.4.
//!
//! ```text
//! # HELP node_load1 Load over the last minute.
//! # TYPE node_load1 gauge
//! node_load1 0.25
//! ```

use std::{
    borrow::Cow,
    collections::{HashSet, hash_map::RandomState},
    fmt::{self, Write},
    hash::BuildHasher,
};

/// The `Content-Type` of a page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The longest page, in bytes. A family that does not fit into what is left is left out as a whole.
const LONGEST: usize = 4 << 20;

/// No secret that is known by its form alone is shorter, in bytes.
const SHORTEST_SECRET: usize = 15;

/// The longest value of a label, in characters.
const LONGEST_LABEL: usize = 1024;

/// What the figures of a family are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, until it begins again with 0.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How many observations were at most as large as each of some bounds.
    Histogram,
    /// Nobody says which of the two.
    Untyped,
}

/// A figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A whole number, written with all its digits.
    Whole(u64),
    /// Any other number.
    Number(f64),
    /// It is not known: there is no sample.
    Unknown,
}

/// One column of a table: the name of the family, its kind, a sentence of help, and the figure of a row.
pub type Column<R> = (&'static str, Kind, &'static str, fn(&R) -> Value);

/// A page while it is written.
#[derive(Debug)]
pub struct Exposition {
    text: String,
    longest: usize,
    /// The names of the families that were begun.
    families: HashSet<String>,
    truncated: bool,
    hasher: RandomState,
}

/// One family of a page while its samples are written.
#[derive(Debug)]
pub struct Family<'a> {
    page: &'a mut Exposition,
    name: Cow<'a, str>,
    /// How long the page was before.
    before: usize,
    /// Where the samples begin.
    begin: usize,
    /// The series that it has, by a hash of name and labels.
    series: HashSet<u64>,
    /// Whether its name was given before: nothing of it is kept.
    is_second: bool,
}

impl Default for Exposition {
    fn default() -> Self {
        Self::with_room(LONGEST)
    }
}

impl Exposition {
    fn with_room(longest: usize) -> Self {
        Self {
            text: String::with_capacity(64 << 10),
            longest,
            families: HashSet::new(),
            truncated: false,
            hasher: RandomState::new(),
        }
    }

    /// Begins a family; `help` is one sentence. Without a sample nothing of it is written. A name that was given before is a fault of this
    /// program: what comes second is left out, as it would make the whole page invalid.
    pub fn family<'a>(&'a mut self, name: impl Into<Cow<'a, str>>, kind: Kind, help: &str) -> Family<'a> {
        let name = name.into();
        let is_second = !self.families.insert(name.to_string());
        debug_assert!(!is_second, "{name} is a family twice");
        debug_assert!(is_name(&name), "{name} is no name of a family");
        let before = self.text.len();
        if !is_second && is_name(&name) {
            let help = redact::clean(help, LONGEST_LABEL);
            let help = Escaped { text: &help, quotes: false };
            // writing to a string never fails
            write!(self.text, "# HELP {name} {help}\n# TYPE {name} {}\n", kind.word()).ok();
        }
        let begin = self.text.len();
        let is_second = begin == before;
        Family { page: self, name, before, begin, series: HashSet::new(), is_second }
    }

    /// A counter of its own, without labels.
    pub fn counter(&mut self, name: &str, help: &str, value: impl Into<Value>) {
        self.family(name, Kind::Counter, help).add(&[], value);
    }

    /// A gauge of its own, without labels.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Into<Value>) {
        self.family(name, Kind::Gauge, help).add(&[], value);
    }

    /// A family for each column, with a sample of each row, under its name as the one `label`.
    pub fn table<'r, R: 'r>(
        &mut self,
        columns: &[Column<R>],
        label: &str,
        rows: impl Iterator<Item = (&'r str, &'r R)> + Clone,
    ) {
        for (name, kind, help, figure) in columns {
            let mut family = self.family(*name, *kind, help);
            for (row, figures) in rows.clone() {
                family.add(&[(label, row)], figure(figures));
            }
        }
    }

    /// A family without labels for each word of the kernel's `source` that a figure stands behind. Every character that no name may have
    /// becomes an underscore; of two words that become one name the first stays.
    pub fn words<'w>(
        &mut self,
        prefix: &str,
        kind: Kind,
        source: &str,
        figures: impl IntoIterator<Item = (&'w str, Value)>,
    ) {
        for (word, figure) in figures {
            let name = name(prefix, word);
            if !self.families.contains(&name) {
                self.family(name, kind, &format!("{word} of {source}.")).add(&[], figure);
            }
        }
    }

    /// The page. It says whether families were left out because it would have become too long.
    pub fn finish(mut self) -> String {
        // there is always room for this
        self.longest = usize::MAX;
        let truncated = self.truncated;
        let help = "Whether families of this page were left out because it would be too long.";
        self.gauge("smcp_exposition_truncated", help, truncated);
        self.text
    }
}

impl Family<'_> {
    /// Adds a sample. A figure that is not known adds none, and of two samples with the same labels the first stays. Labels without a value
    /// are left out: to Prometheus they are the same as labels that are not there. What the machine wrote is cleaned, and its secrets go.
    pub fn add(&mut self, labels: &[(&str, &str)], value: impl Into<Value>) {
        self.sample("", labels, value);
    }

    /// Adds a histogram: `counts` has how many observations were at most as large as each of `bounds` and larger than the one before, and
    /// last how many were larger than all of them. `sum` is that of all observations.
    pub fn add_histogram(&mut self, labels: &[(&str, &str)], bounds: &[f64], counts: &[u64], sum: f64) {
        let mut so_far = 0_u64;
        let bounds = bounds.iter().map(|bound| Value::from(*bound)).chain([Value::Number(f64::INFINITY)]);
        for (bound, count) in bounds.zip(counts) {
            so_far = so_far.saturating_add(*count);
            let bound = bound.to_string();
            self.sample("_bucket", &[labels, &[("le", bound.as_str())]].concat(), so_far);
        }
        self.sample("_sum", labels, sum);
        self.sample("_count", labels, so_far);
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Into<Value>) {
        let value = value.into();
        if value == Value::Unknown || self.is_second || self.page.truncated && self.is_too_long() {
            return;
        }
        let text = &mut self.page.text;
        let begin = text.len();
        text.push_str(&self.name);
        text.push_str(suffix);
        let mut separator = '{';
        for (label, value) in labels {
            debug_assert!(is_name(label) && !label.contains(':'), "{label} is no name of a label");
            let value = safe(value);
            if !value.is_empty() {
                write!(text, "{separator}{label}=\"{}\"", Escaped { text: &value, quotes: true }).ok();
                separator = ',';
            }
        }
        if separator == ',' {
            text.push('}');
        }
        if !self.series.insert(self.page.hasher.hash_one(&text.as_bytes()[begin..])) {
            text.truncate(begin);
            return;
        }
        writeln!(text, " {value}").ok();
        if self.is_too_long() {
            self.page.truncated = true;
        }
    }

    fn is_too_long(&self) -> bool {
        self.page.text.len() > self.page.longest
    }
}

impl Drop for Family<'_> {
    fn drop(&mut self) {
        if self.page.text.len() == self.begin || self.is_too_long() {
            self.page.text.truncate(self.before);
        }
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Untyped => "untyped",
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            Self::Number(number) if number.is_infinite() => f.write_str(if *number > 0.0 { "+Inf" } else { "-Inf" }),
            Self::Number(number) if *number != 0.0 && !(1e-4..1e21).contains(&number.abs()) && number.is_finite() => {
                write!(f, "{number:e}")
            }
            Self::Number(number) => number.fmt(f),
            Self::Unknown => f.write_str("NaN"),
        }
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Whole(number.into())
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Whole(number as u64)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        u64::try_from(number).map_or(Self::Number(number as f64), Self::Whole)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(is: bool) -> Self {
        Self::Whole(is.into())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Unknown, Into::into)
    }
}

/// The name of a family that a word of the kernel stands in: every character that no name may have becomes an underscore.
pub fn name(prefix: &str, word: &str) -> String {
    let may_stand = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    prefix.chars().chain(word.chars()).map(|c| if may_stand(c) { c } else { '_' }).collect()
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let begins = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':');
    bytes.next().is_some_and(begins) && bytes.all(|byte| begins(byte) || byte.is_ascii_digit())
}

/// What others wrote, without secrets and without what acts on a terminal.
fn safe(value: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
    // what is short and plain is no secret by its form
    if value.len() <= SHORTEST_SECRET && value.bytes().all(is_plain) {
        return value.into();
    }
    let redacted = redact::redact_line(value);
    Cow::Owned(redact::clean(&redacted, LONGEST_LABEL).into_owned())
}

/// Text as it stands behind `# HELP` or, with quotes around it, in a label.
struct Escaped<'a> {
    text: &'a str,
    quotes: bool,
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.text;
        while let Some(at) = rest.find(['\\', '\n', '"']) {
            f.write_str(&rest[..at])?;
            f.write_str(match rest.as_bytes()[at] {
                b'\\' => "\\\\",
                b'\n' => "\\n",
                _ if self.quotes => "\\\"",
                _ => "\"",
            })?;
            rest = &rest[at + 1..];
        }
        f.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(write: impl FnOnce(&mut Exposition)) -> String {
        let mut page = Exposition::default();
        write(&mut page);
        page.finish()
    }

    #[test]
    fn a_page_is_families_with_help_type_and_samples() {
        let page = page(|page| {
            let mut cpu = page.family("node_cpu_seconds_total", Kind::Counter, "Time by \"mode\".\\");
            cpu.add(&[("cpu", "0"), ("mode", "user")], 12.5);
            cpu.add(&[("cpu", "0"), ("mode", "idle")], 0.0);
            drop(cpu);
            page.gauge("node_load1", "Load.", 0.25);
            page.family("node_vmstat_pgfault", Kind::Untyped, "").add(&[], u64::MAX);
        });
        assert_eq!(
            page,
            "# HELP node_cpu_seconds_total Time by \"mode\".\\\\\n# TYPE node_cpu_seconds_total counter\n\
             node_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 12.5\nnode_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 0\n\
             # HELP node_load1 Load.\n# TYPE node_load1 gauge\nnode_load1 0.25\n\
             # HELP node_vmstat_pgfault \n# TYPE node_vmstat_pgfault untyped\nnode_vmstat_pgfault 18446744073709551615\n\
             # HELP smcp_exposition_truncated Whether families of this page were left out because it would be too long.\n\
             # TYPE smcp_exposition_truncated gauge\nsmcp_exposition_truncated 0\n"
        );
    }

    #[test]
    fn what_is_not_known_leaves_no_sample_and_no_family() {
        let page = page(|page| {
            page.gauge("a", "Unknown.", None::<u64>);
            drop(page.family("b", Kind::Gauge, "Nothing of it."));
            page.gauge("c", "Zero.", Some(0_u64));
        });
        assert!(page.starts_with("# HELP c Zero.\n# TYPE c gauge\nc 0\n# HELP smcp_"), "{page}");
    }

    #[test]
    fn labels_are_escaped_cleaned_and_without_secrets() {
        let page = page(|page| {
            let mut names = page.family("a", Kind::Gauge, "Names.");
            for (at, name) in
                ["a \"b\" \\c", "x\u{1b}[31my\nz", "", "https://u:hunter2@nas/x?password=hunter2"].iter().enumerate()
            {
                names.add(&[("name", name), ("unit", "é")], at);
            }
        });
        let lines: Vec<&str> = page.lines().filter(|line| line.starts_with("a{")).collect();
        assert_eq!(lines[..2], [r#"a{name="a \"b\" \\c",unit="é"} 0"#, r#"a{name="xy z",unit="é"} 1"#]);
        assert_eq!(lines[2], "a{unit=\"é\"} 2");
        assert!(lines.len() == 4 && !page.contains("hunter2"), "{page}");
    }

    #[test]
    fn numbers_are_written_as_prometheus_reads_them() {
        let written = [0.0, -1.5, 1e21, 2.5e-7, 123_456_789.25, f64::INFINITY, f64::NEG_INFINITY, f64::NAN]
            .map(|number| Value::from(number).to_string());
        assert_eq!(written, ["0", "-1.5", "1e21", "2.5e-7", "123456789.25", "+Inf", "-Inf", "NaN"]);
        assert_eq!((Value::from(-5_i64).to_string(), Value::from(true).to_string()), ("-5".to_owned(), "1".to_owned()));
    }

    #[test]
    fn a_series_is_there_once() {
        let page = page(|page| {
            let mut disks = page.family("a", Kind::Gauge, "Two that become one.");
            disks.add(&[("device", "sda\u{200b}")], 1_u64);
            disks.add(&[("device", "sda")], 2_u64);
        });
        assert!(page.contains("a{device=\"sda\"} 1\n") && !page.contains("} 2\n"), "{page}");
    }

    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "is a family twice"))]
    fn a_name_is_one_family() {
        let page = page(|page| {
            page.gauge("a", "First.", 1_u64);
            page.gauge("a", "Second.", 2_u64);
        });
        assert!(!page.contains("Second"), "{page}");
    }

    #[test]
    fn a_page_that_would_be_too_long_loses_whole_families_and_says_so() {
        let mut page = Exposition::with_room(200);
        page.gauge("before", "It fits.", 1_u64);
        let mut long = page.family("long", Kind::Gauge, "It does not fit.");
        (0..1000_usize).for_each(|at| long.add(&[("at", &at.to_string())], at));
        assert!(long.page.text.len() < 300, "nothing is written beyond the bound");
        drop(long);
        page.gauge("after", "It fits.", 1_u64);
        let page = page.finish();
        assert!(page.contains("\nbefore 1\n") && page.contains("\nafter 1\n") && !page.contains("HELP long"), "{page}");
        assert!(page.ends_with("smcp_exposition_truncated 1\n"), "{page}");
    }

    #[test]
    fn a_word_of_the_kernel_becomes_a_name() {
        let page = page(|page| {
            let figures = [("Active(anon)", 1), ("Active_anon_", 2), ("b\u{1b}[0m", 3)];
            page.words("m_", Kind::Gauge, "/proc/x", figures.map(|(word, figure): (&str, u64)| (word, figure.into())));
        });
        assert!(page.contains("m_Active_anon_ 1\n") && !page.contains("_ 2\n"), "{page}");
        assert!(page.contains("# HELP m_b__0m b of /proc/x.\n"), "{page}");
        assert_eq!(name("node_hwmon_", "temp-é.x"), "node_hwmon_temp___x");
        assert!(is_name("node_load1") && !is_name("1_load") && !is_name("") && !is_name("a-b"));
    }
}
