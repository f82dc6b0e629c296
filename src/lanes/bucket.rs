//! How often who may do what takes more than a look.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use kernel::failure::Failure;

/// All callers together may do it so many times as often as one.
const TOGETHER: u32 = 4;

/// Callers that are remembered. Past it the fullest buckets go: forgetting one gives nobody more than a new caller has.
const MOST: usize = 1024;

/// A bucket holds a minute's worth and fills evenly.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    held: f64,
    seen: Instant,
}

impl Bucket {
    /// Fills it up to `now` and says how many seconds it takes until one can be taken from it, which is none if there is one.
    fn fill(&mut self, per_minute: u32, now: Instant) -> f64 {
        let most = f64::from(per_minute);
        let rate = most / 60.0;
        self.held = (self.held + now.saturating_duration_since(self.seen).as_secs_f64() * rate).min(most);
        self.seen = now;
        if self.held >= 1.0 { 0.0 } else { (1.0 - self.held) / rate }
    }
}

/// Those of each caller: how much it may do at once, and how fast that comes back.
#[derive(Debug)]
pub struct Buckets {
    /// What is counted, in the plural.
    what: &'static str,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    together: Option<Bucket>,
    callers: HashMap<String, Bucket>,
}

impl Buckets {
    /// Full ones.
    pub fn new(what: &'static str) -> Self {
        Self { what, inner: Mutex::default() }
    }

    /// Takes one from the bucket of `caller` and from that of all, or says when to come back.
    pub fn take(&self, caller: &str, per_minute: u32) -> Result<(), Failure> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.take(caller, per_minute, Instant::now()).map_err(|seconds| {
            let (what, all) = (self.what, per_minute.saturating_mul(TOGETHER));
            let words = format!("{what}: {per_minute} a minute for each caller, {all} for all callers together");
            Failure::Busy(words.into(), seconds)
        })
    }
}

impl Inner {
    /// Or the seconds until there is one to take.
    fn take(&mut self, caller: &str, per_minute: u32, now: Instant) -> Result<(), u64> {
        if self.callers.len() >= MOST && !self.callers.contains_key(caller) {
            self.callers.retain(|_, bucket| {
                bucket.fill(per_minute, now);
                bucket.held < f64::from(per_minute)
            });
        }
        let all = per_minute.saturating_mul(TOGETHER);
        let together = self.together.get_or_insert(Bucket { held: f64::from(all), seen: now });
        let own = self.callers.entry(caller.to_owned()).or_insert(Bucket { held: f64::from(per_minute), seen: now });
        let wait = together.fill(all, now).max(own.fill(per_minute, now));
        if wait > 0.0 {
            return Err(wait.ceil() as u64);
        }
        together.held -= 1.0;
        own.held -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_acts_too_often_is_told_when_to_come_back_and_others_are_not() {
        let (mut buckets, now) = (Inner::default(), Instant::now());
        for _ in 0..30 {
            buckets.take("a", 30, now).unwrap();
        }
        assert_eq!(buckets.take("a", 30, now), Err(2));
        buckets.take("b", 30, now).unwrap();
        buckets.take("a", 30, now + Duration::from_secs(2)).unwrap();
        assert!(buckets.take("a", 30, now + Duration::from_secs(2)).is_err());
    }

    #[test]
    fn all_together_are_held_as_well() {
        let (mut buckets, now) = (Inner::default(), Instant::now());
        let took = (0..10)
            .flat_map(|caller| (0..30).map(move |_| caller))
            .filter(|caller| buckets.take(&caller.to_string(), 30, now).is_ok());
        assert_eq!(took.count(), 120);
    }

    #[test]
    fn ten_thousand_callers_are_not_all_remembered() {
        let (mut buckets, mut now) = (Inner::default(), Instant::now());
        for caller in 0..10_000 {
            now += Duration::from_secs(1);
            let _ = buckets.take(&caller.to_string(), 60, now);
        }
        assert!(buckets.callers.len() <= MOST);
    }
}
