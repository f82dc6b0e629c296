//! How many refusals are put on record, and the count of the rest.

use std::time::{Duration, SystemTime};

use super::{REFUSALS, line::since_epoch};

/// How often, at most, a count of refusals not written is.
const SUMMARY: Duration = Duration::from_secs(60);

/// How many refusals were written, and how many were not.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    second: Window,
    hour: Window,
    pub(super) suppressed: u64,
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

impl Refusals {
    pub(super) fn admit(&mut self, time: SystemTime) -> bool {
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

    /// The count to write now, if any.
    pub(super) fn due(&self, time: SystemTime) -> Option<u64> {
        let rested = match self.summarized {
            // a clock set back must not silence the counts
            Some(last) => time.duration_since(last).map_or(true, |since| since >= SUMMARY),
            None => self.second.number != since_epoch(time).as_secs(),
        };
        (self.suppressed > 0 && rested).then_some(self.suppressed)
    }

    pub(super) fn summarized(&mut self, time: SystemTime) {
        self.suppressed = 0;
        self.summarized = Some(time);
    }
}
