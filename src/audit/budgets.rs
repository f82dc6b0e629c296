//! How many records of refused credentials and of failed calls are written, and the count of the rest.
//!
//! Each kind has a budget of its own, and for failed calls each caller too: noise of one kind, or of one caller, hides no other.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use super::{Decision, FAILURES, REFUSALS, Record, line::since_epoch};
use auth::Caller;

/// The shortest time between two counts of the same kind and caller.
const SUMMARY: Duration = Duration::from_secs(60);

/// How many budgets are kept. Callers beyond share one budget for each kind.
const MOST: usize = 1024;

/// So many records are written in so many seconds, and so many in an hour.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Records within `seconds`.
    pub burst: u32,
    /// What `burst` is counted over.
    pub seconds: u64,
    /// Records within an hour.
    pub hour: u32,
}

/// Records that were left out, to be written as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) kind: &'static str,
    /// The caller whose calls failed; `None` for refused credentials, and for callers that share a budget.
    pub(super) caller: Option<Caller>,
    pub(super) decision: Decision,
    pub(super) suppressed: u64,
}

/// What was written and what was not, by kind and caller.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    all: BTreeMap<Key, Budget>,
    /// All that was left out and not yet counted in the log. Zero is the usual case, and then nothing is searched.
    owed: u64,
}

/// A kind, and a caller's id; empty for none.
type Key = (&'static str, String);

impl Budgets {
    /// Whether one more record of this kind, and of this one's caller, may be written; else it is counted.
    pub(super) fn admit(&mut self, kind: &'static str, record: &Record<'_>) -> bool {
        let is_admitted = self.budget(kind, record).admit(record.time);
        self.owed += u64::from(!is_admitted);
        is_admitted
    }

    /// Counts one that was admitted and could not be written after all.
    pub(super) fn lost(&mut self, kind: &'static str, record: &Record<'_>) {
        self.budget(kind, record).suppressed += 1;
        self.owed += 1;
    }

    /// The counts to write now.
    pub(super) fn due(&self, time: SystemTime) -> Vec<Count> {
        self.counts(|budget| budget.is_rested(time))
    }

    /// All counts that were not written yet.
    pub(super) fn left(&self) -> Vec<Count> {
        self.counts(|_| true)
    }

    fn counts(&self, of: impl Fn(&Budget) -> bool) -> Vec<Count> {
        if self.owed == 0 {
            return vec![];
        }
        let wanted = self.all.iter().filter(|(_, budget)| budget.suppressed > 0 && of(budget));
        let count = |(key, budget): (&Key, &Budget)| Count {
            kind: key.0,
            caller: budget.caller.clone(),
            decision: budget.decision,
            suppressed: budget.suppressed,
        };
        wanted.map(count).collect()
    }

    /// Takes off a count that was written.
    pub(super) fn summarized(&mut self, count: &Count, time: SystemTime) {
        let id = count.caller.as_ref().map_or("", |caller| &caller.id);
        let Some(budget) = self.all.get_mut(&(count.kind, id.to_owned())) else { return };
        // more may have come in the meantime
        budget.suppressed = budget.suppressed.saturating_sub(count.suppressed);
        budget.summarized = Some(time);
        self.owed = self.owed.saturating_sub(count.suppressed);
    }

    fn budget(&mut self, kind: &'static str, record: &Record<'_>) -> &mut Budget {
        let mut caller = record.caller;
        let mut key = (kind, caller.map_or_else(String::new, |caller| (*caller.id).to_owned()));
        if caller.is_some() && self.all.len() >= MOST && !self.all.contains_key(&key) {
            self.all.retain(|_, budget| budget.suppressed > 0 || budget.is_of_this_hour(record.time));
            if self.all.len() >= MOST {
                (caller, key.1) = (None, String::new());
            }
        }
        self.all.entry(key).or_insert_with(|| Budget::of(caller, record.decision))
    }
}

/// How many records of one kind and caller were written, and how many were not.
#[derive(Debug)]
struct Budget {
    caller: Option<Caller>,
    decision: Decision,
    rate: Rate,
    burst: Window,
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
    fn of(caller: Option<&Caller>, decision: Decision) -> Self {
        Self {
            caller: caller.cloned(),
            decision,
            rate: if caller.is_some() { FAILURES } else { REFUSALS },
            burst: Window::default(),
            hour: Window::default(),
            suppressed: 0,
            summarized: None,
        }
    }

    fn admit(&mut self, time: SystemTime) -> bool {
        let seconds = since_epoch(time).as_secs();
        self.burst.enter(seconds / self.rate.seconds);
        self.hour.enter(seconds / 3600);
        if self.burst.count >= self.rate.burst || self.hour.count >= self.rate.hour {
            self.suppressed += 1;
            return false;
        }
        self.burst.count += 1;
        self.hour.count += 1;
        true
    }

    fn is_of_this_hour(&self, time: SystemTime) -> bool {
        self.hour.number == since_epoch(time).as_secs() / 3600
    }

    /// Whether its last count is old enough for another.
    fn is_rested(&self, time: SystemTime) -> bool {
        match self.summarized {
            // a clock set back must not silence the counts
            Some(last) => time.duration_since(last).map_or(true, |since| since >= SUMMARY),
            // the first one is written when the burst it belongs to is over
            None => self.burst.number != since_epoch(time).as_secs() / self.rate.seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use auth::Refusal;
    use rights::grant::Grants;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
    }

    fn caller(id: usize) -> Caller {
        Caller { id: format!("{id:08x}").into(), name: "agent".into(), ..Caller::local(Grants::all()) }
    }

    /// One of nobody's: credentials that were refused.
    fn refused(seconds: u64) -> Record<'static> {
        Record::new(at(seconds), Decision::Denied)
    }

    fn failed(caller: &Caller, seconds: u64) -> Record<'_> {
        Record { caller: Some(caller), ..Record::new(at(seconds), Decision::Allowed) }
    }

    fn counts(counts: &[Count]) -> Vec<(&'static str, u64)> {
        counts.iter().map(|count| (count.kind, count.suppressed)).collect()
    }

    #[test]
    fn noise_of_one_kind_hides_no_other() {
        let mut budgets = Budgets::default();
        let written = (0..100_000).filter(|n| budgets.admit("missing", &refused(n / 1000))).count();
        assert_eq!(written, REFUSALS.hour as usize);
        assert!(budgets.admit("wrong", &refused(99)), "the one that matters");
        assert_eq!(counts(&budgets.left()), [("missing", 100_000 - u64::from(REFUSALS.hour))]);
    }

    #[test]
    fn all_kinds_together_are_bounded_too() {
        let mut budgets = Budgets::default();
        let kinds = [
            Refusal::Missing,
            Refusal::Malformed,
            Refusal::Unknown,
            Refusal::Wrong,
            Refusal::Expired,
            Refusal::Source,
            Refusal::Busy(1),
        ];
        let second = (0..7000).filter(|n| budgets.admit(kinds[n % 7].kind(), &refused(0))).count();
        assert_eq!(second, 7 * REFUSALS.burst as usize);
        let hour =
            second + (1..70_000).filter(|n| budgets.admit(kinds[n % 7].kind(), &refused(*n as u64 / 100))).count();
        assert_eq!(hour, 7 * REFUSALS.hour as usize);
    }

    #[test]
    fn the_failed_calls_of_one_caller_are_bounded_and_hide_nobody_elses() {
        let (mut budgets, noisy) = (Budgets::default(), caller(1));
        let minute = (0..10_000).filter(|n| budgets.admit("invalid", &failed(&noisy, n / 1000))).count();
        assert_eq!(minute, FAILURES.burst as usize);
        let hour = minute + (60..3600).filter(|n| budgets.admit("invalid", &failed(&noisy, *n))).count();
        assert_eq!(hour, FAILURES.hour as usize);
        assert!(budgets.admit("invalid", &failed(&caller(2), 3000)) && budgets.admit("denied", &failed(&noisy, 3000)));
        let left = budgets.left();
        assert_eq!((left.len(), left[0].kind, &left[0].caller), (1, "invalid", &Some(noisy)));
        assert_eq!(left[0].suppressed, 10_000 + 3540 - u64::from(FAILURES.hour), "none is lost");
    }

    #[test]
    fn a_hundred_thousand_callers_take_bounded_memory_and_none_of_their_failures_is_lost() {
        let mut budgets = Budgets::default();
        let written = (0..100_000).filter(|n| budgets.admit("invalid", &failed(&caller(*n), 0))).count();
        assert!(budgets.all.len() <= MOST + 1, "{}", budgets.all.len());
        let left: u64 = budgets.left().iter().map(|count| count.suppressed).sum();
        assert_eq!(written as u64 + left, 100_000);
        assert!(budgets.admit("invalid", &failed(&caller(200_000), 7200)), "an hour later there is room again");
    }

    #[test]
    fn a_count_is_written_once_a_minute_and_those_of_the_meantime_are_kept() {
        let mut budgets = Budgets::default();
        let admitted = (0..REFUSALS.burst + 5).filter(|_| budgets.admit("wrong", &refused(0))).count();
        assert_eq!(admitted, REFUSALS.burst as usize);
        assert!(budgets.due(at(0)).is_empty(), "more may come within this second");
        let due = budgets.due(at(1));
        assert_eq!(counts(&due), [("wrong", 5)]);
        budgets.lost("wrong", &refused(1));
        budgets.summarized(&due[0], at(1));
        assert!(budgets.due(at(60)).is_empty());
        assert_eq!(counts(&budgets.due(at(61))), [("wrong", 1)]);
        assert_eq!(counts(&budgets.due(at(0))), [("wrong", 1)], "a clock set back does not silence it");
    }
}
