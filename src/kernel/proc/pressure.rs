//! `/proc/pressure/{cpu,memory,io}` and a cgroup's `*.pressure`, since Linux 4.20, see the kernel's accounting/psi.rst.

use super::{Malformed, decimal};

/// How much time was lost waiting for one resource.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pressure {
    /// At least one task waited.
    pub some: Stall,
    /// All tasks waited at once, so nothing got done. For the CPU since Linux 5.13, and 0 for the whole machine.
    pub full: Option<Stall>,
}

/// The share of time lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stall {
    /// Over the last 10 seconds, 0 to 1.
    pub avg10: f64,
    /// Over the last 60 seconds, 0 to 1.
    pub avg60: f64,
    /// Over the last 300 seconds, 0 to 1.
    pub avg300: f64,
    /// Ever, in microseconds.
    pub total_us: u64,
}

impl Pressure {
    /// Reads the text of one pressure file. For `irq`, which has no `some`, see [`Stall::of_interrupts`].
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let stall = |kind: &'static str| {
            let mut lines = text.lines();
            let columns = lines.find_map(|line| line.strip_prefix(kind)?.strip_prefix(' '));
            let read = |columns| Stall::parse(columns).ok_or_else(|| Malformed::field("pressure", kind));
            columns.map(read).transpose()
        };
        let some = stall("some")?.ok_or_else(|| Malformed::field("pressure", "some"))?;
        Ok(Self { some, full: stall("full").ok().flatten() })
    }
}

impl Stall {
    /// Reads the text of `irq`, which has only `full`. Since Linux 6.1.
    pub fn of_interrupts(text: &str) -> Result<Self, Malformed> {
        let columns = text.lines().find_map(|line| line.strip_prefix("full "));
        columns.and_then(Self::parse).ok_or_else(|| Malformed::field("pressure", "full"))
    }

    fn parse(columns: &str) -> Option<Self> {
        let value = |name: &str| {
            let mut columns = columns.split_ascii_whitespace();
            columns.find_map(|column| column.strip_prefix(name)?.strip_prefix('='))
        };
        let ratio = |name| Some((decimal(value(name)?)? / 100.0).clamp(0.0, 1.0));
        Some(Self {
            avg10: ratio("avg10")?,
            avg60: ratio("avg60")?,
            avg300: ratio("avg300")?,
            total_us: value("total")?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percents_become_ratios() {
        let text =
            "some avg10=50.00 avg60=25.00 avg300=0.00 total=57656\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n";
        let pressure = Pressure::parse(text).unwrap();
        assert_eq!(pressure.some, Stall { avg10: 0.5, avg60: 0.25, avg300: 0.0, total_us: 57656 });
        assert_eq!(pressure.full.unwrap().total_us, 9);
    }

    #[test]
    fn the_cpu_had_no_full_before_5_13() {
        assert_eq!(Pressure::parse("some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n").unwrap().full, None);
    }

    #[test]
    fn interrupts_have_only_full() {
        let stall = Stall::of_interrupts("full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n").unwrap();
        assert_eq!(stall.total_us, 7);
        assert!(Stall::of_interrupts("some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n").is_err());
    }

    #[test]
    fn a_line_cut_short_is_refused() {
        assert!(Pressure::parse("some avg10=0.00 avg60=0.00\n").is_err());
        assert!(Pressure::parse("").is_err());
    }
}
