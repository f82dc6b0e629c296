//! How many refusals are put on record, and the count of the rest.
//!
//! Each kind has a budget of its own: whoever knocks without credentials all day cannot hide that somebody else tries secrets.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use super::{REFUSALS, line::since_epoch};

/// How often, at most, a count of refusals of one kind that were not written is.
const SUMMARY: Duration = Duration::from_secs(60);

/// What was written and what was not, by kind. There are as many kinds as [`crate::auth::Refusal`] has words.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<&'static str, Budget>);

impl Refusals {
    /// Whether one more of this kind may be written; else it is counted.
    pub(super) fn admit(&mut self, kind: &'static str, time: SystemTime) -> bool {
        self.0.entry(kind).or_default().admit(time)
    }

    /// Counts one that was admitted and could not be written after all.
    pub(super) fn lost(&mut self, kind: &'static str) {
        self.0.entry(kind).or_default().suppressed += 1;
    }

    /// The counts to write now.
    pub(super) fn due(&self, time: SystemTime) -> Vec<(&'static str, u64)> {
        self.counts(|budget| budget.is_rested(time))
    }

    /// All counts that were not written yet.
    pub(super) fn left(&self) -> Vec<(&'static str, u64)> {
        self.counts(|_| true)
    }

    fn counts(&self, of: impl Fn(&Budget) -> bool) -> Vec<(&'static str, u64)> {
        let wanted = self.0.iter().filter(|(_, budget)| budget.suppressed > 0 && of(budget));
        wanted.map(|(kind, budget)| (*kind, budget.suppressed)).collect()
    }

    /// Takes off a count that was written.
    pub(super) fn summarized(&mut self, kind: &'static str, count: u64, time: SystemTime) {
        let budget = self.0.entry(kind).or_default();
        // more may have come in the meantime
        budget.suppressed = budget.suppressed.saturating_sub(count);
        budget.summarized = Some(time);
    }
}

/// How many refusals of one kind were written, and how many were not.
#[derive(Debug, Default)]
struct Budget {
    second: Window,
    hour: Window,
    suppressed: u64,
    summarized: Option<SystemTime>,
}

#[derive(Debug, Default)]
struct Window {
    number: u64,
    count: u32,
}

impl Window {
    fn enter(&mut self, number: u64) {
        if self.number != number {
            *self = Self { number, count: 0 };
        }
    }
}

impl Budget {
    fn admit(&mut self, time: SystemTime) -> bool {
        let seconds = since_epoch(time).as_secs();
        self.second.enter(seconds);
        self.hour.enter(seconds / 3600);
        if self.second.count >= REFUSALS.0 || self.hour.count >= REFUSALS.1 {
            self.suppressed += 1;
            return false;
        }
        self.second.count += 1;
        self.hour.count += 1;
        true
    }

    /// Whether its last count is old enough for another.
    fn is_rested(&self, time: SystemTime) -> bool {
        match self.summarized {
            // a clock set back must not silence the counts
            Some(last) => time.duration_since(last).map_or(true, |since| since >= SUMMARY),
            None => self.second.number != since_epoch(time).as_secs(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Refusal;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
    }

    #[test]
    fn noise_of_one_kind_hides_no_other() {
        let mut refusals = Refusals::default();
        let written = (0..100_000).filter(|n| refusals.admit("missing", at(n / 1000))).count();
        assert_eq!(written, REFUSALS.1 as usize);
        assert!(refusals.admit("wrong", at(99)), "the one that matters");
        assert_eq!(refusals.left(), [("missing", 100_000 - u64::from(REFUSALS.1))]);
    }

    #[test]
    fn all_kinds_together_are_bounded_too() {
        let mut refusals = Refusals::default();
        let kinds = [
            Refusal::Missing,
            Refusal::Malformed,
            Refusal::Unknown,
            Refusal::Wrong,
            Refusal::Expired,
            Refusal::Source,
            Refusal::Busy(1),
        ];
        let second = (0..7000).filter(|n| refusals.admit(kinds[n % 7].kind(), at(0))).count();
        assert_eq!(second, 7 * REFUSALS.0 as usize);
        let hour = second + (1..70_000).filter(|n| refusals.admit(kinds[n % 7].kind(), at(*n as u64 / 100))).count();
        assert_eq!(hour, 7 * REFUSALS.1 as usize);
    }

    #[test]
    fn a_count_is_written_once_a_minute_and_those_of_the_meantime_are_kept() {
        let mut refusals = Refusals::default();
        assert_eq!((0..REFUSALS.0 + 5).filter(|_| refusals.admit("wrong", at(0))).count(), REFUSALS.0 as usize);
        assert!(refusals.due(at(0)).is_empty(), "more may come within this second");
        assert_eq!(refusals.due(at(1)), [("wrong", 5)]);
        refusals.lost("wrong");
        refusals.summarized("wrong", 5, at(1));
        assert!(refusals.due(at(60)).is_empty());
        assert_eq!(refusals.due(at(61)), [("wrong", 1)]);
        assert_eq!(refusals.due(at(0)), [("wrong", 1)], "a clock set back does not silence it");
    }
}
