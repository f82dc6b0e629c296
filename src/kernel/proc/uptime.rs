//! `/proc/uptime`, see proc_uptime(5). Under lxcfs it is the container's.

use super::{Malformed, decimal};

/// How long the machine runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Uptime {
    /// Seconds since the start, sleep included.
    pub up: f64,
    /// Seconds of idleness, all CPUs added up.
    pub idle: f64,
}

impl Uptime {
    /// Reads the text of `/proc/uptime`.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        Self::columns(text).ok_or_else(|| Malformed::whole("uptime"))
    }

    fn columns(text: &str) -> Option<Self> {
        let (up, idle) = text.trim_end().split_once(' ')?;
        Some(Self { up: decimal(up)?, idle: decimal(idle)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Position;

    #[test]
    fn idle_may_exceed_up_on_many_cpus() {
        let uptime = Uptime::parse("350735.47 1400000.01\n").unwrap();
        assert_eq!(uptime, Uptime { up: 350735.47, idle: 1400000.01 });
    }

    #[test]
    fn half_a_line_is_refused() {
        assert_eq!(Uptime::parse("350735.47").unwrap_err().position, Position::Whole);
    }
}
