//! `/proc/loadavg`, see proc_loadavg(5). In a container it is the host's, unless lxcfs runs with `-l`.

use super::{Malformed, decimal};

/// How many threads wanted a CPU or waited for a disk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loadavg {
    /// Over the last minute.
    pub one: f64,
    /// Over the last 5 minutes.
    pub five: f64,
    /// Over the last 15 minutes.
    pub fifteen: f64,
    /// Threads that run or want to, now.
    pub runnable: Option<u32>,
    /// Threads there are.
    pub threads: Option<u32>,
}

impl Loadavg {
    /// Reads the text of `/proc/loadavg`.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        Self::columns(text).ok_or_else(|| Malformed::whole("loadavg"))
    }

    fn columns(text: &str) -> Option<Self> {
        let mut columns = text.split_ascii_whitespace();
        let [one, five, fifteen] = [columns.next()?, columns.next()?, columns.next()?].map(decimal);
        let counts = columns.next().and_then(|column| column.split_once('/'));
        Some(Self {
            one: one?,
            five: five?,
            fifteen: fifteen?,
            runnable: counts.and_then(|(runnable, _)| runnable.parse().ok()),
            threads: counts.and_then(|(_, threads)| threads.parse().ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_manual() {
        let load = Loadavg::parse("0.20 0.18 0.12 1/80 11206\n").unwrap();
        let expected = Loadavg { one: 0.2, five: 0.18, fifteen: 0.12, runnable: Some(1), threads: Some(80) };
        assert_eq!(load, expected);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "nan 0 0 1/2 3", "inf 0 0 1/2 3", "0 0"] {
            assert!(Loadavg::parse(text).is_err(), "{text}");
        }
        for text in ["0 0 0 1 3", "0 0 0", "0 0 0 -1/x 3"] {
            assert_eq!(Loadavg::parse(text).unwrap().threads, None, "{text}");
        }
    }
}
