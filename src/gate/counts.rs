//! What the gate counts of its calls since this process began.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use facts::exposition::{Exposition, Kind};
use kernel::failure::Failure;
use tools::tool::Entry;

/// How a call can end: well, or with one of the kinds of failure.
const OUTCOMES: usize = Failure::KINDS.len() + 1;

/// Up to how many seconds a call belongs into each bucket; what takes longer is in the last one, which has no bound.
const BUCKETS: [f64; 8] = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0];

/// The calls of each tool, in the order of the list.
#[derive(Debug)]
pub(super) struct Counts {
    tools: Vec<Count>,
    lists: Count,
    pages: Count,
    /// Calls of what is no tool, or none for the caller.
    unknown: AtomicU64,
    /// Requests that were refused before they were calls, by the word for why. All words are this program's.
    refused: Mutex<BTreeMap<&'static str, u64>>,
}

/// What was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Called {
    /// The tool at this place of the list.
    Tool(usize),
    /// The list of tools.
    List,
    /// The page for Prometheus.
    Page,
    /// Nothing that is there.
    Unknown,
}

#[derive(Debug, Default)]
struct Count {
    outcomes: [AtomicU64; OUTCOMES],
    buckets: [AtomicU64; BUCKETS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Counts {
    pub(super) fn new(tools: usize) -> Self {
        let tools = (0..tools).map(|_| Count::default()).collect();
        Self {
            tools,
            lists: Count::default(),
            pages: Count::default(),
            unknown: AtomicU64::new(0),
            refused: Mutex::default(),
        }
    }

    /// Counts a call that took so long; `failed` is the kind of its failure.
    pub(super) fn add(&self, called: Called, failed: Option<&str>, took: Duration) {
        match called {
            Called::Tool(at) => self.tools.get(at).into_iter().for_each(|count| count.add(failed, took)),
            Called::List => self.lists.add(failed, took),
            Called::Page => self.pages.add(failed, took),
            Called::Unknown => drop(self.unknown.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// Counts a request that was refused before it was a call.
    pub(super) fn refused(&self, kind: &'static str) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
    }

    /// Writes them: a tool that was never called has no sample.
    pub(super) fn expose(&self, tools: &[Entry], page: &mut Exposition) {
        let named = tools.iter().map(|tool| tool.name).zip(&self.tools);
        let all: Vec<(&str, &Count)> = named.chain([("tools/list", &self.lists), ("/metrics", &self.pages)]).collect();
        let mut calls = page.family(
            "smcp_calls_total",
            Kind::Counter,
            "Calls by tool and outcome: ok, or the kind of the failure.",
        );
        for (tool, count) in &all {
            for (number, outcome) in count.outcomes.iter().zip(["ok"].into_iter().chain(Failure::KINDS)) {
                let number = number.load(Ordering::Relaxed);
                calls.add(&[("tool", tool), ("outcome", outcome)], (number > 0).then_some(number));
            }
        }
        drop(calls);
        page.counter(
            "smcp_unknown_calls_total",
            "Calls of tools that are not there, or not for their caller.",
            self.unknown.load(Ordering::Relaxed),
        );
        let mut refused = page.family(
            "smcp_refused_requests_total",
            Kind::Counter,
            "Requests that were refused before they were calls, by why.",
        );
        for (kind, number) in self.refused.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            refused.add(&[("kind", kind)], *number);
        }
        drop(refused);
        let mut took =
            page.family("smcp_call_duration_seconds", Kind::Histogram, "How long calls took, waiting included.");
        for (tool, count) in all {
            let buckets: Vec<u64> = count.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
            if buckets.iter().any(|calls| *calls > 0) {
                let seconds = count.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9;
                took.add_histogram(&[("tool", tool)], &BUCKETS, &buckets, seconds);
            }
        }
    }
}

impl Count {
    fn add(&self, failed: Option<&str>, took: Duration) {
        let outcome =
            failed.map_or(Some(0), |kind| Failure::KINDS.iter().position(|known| *known == kind).map(|at| at + 1));
        if let Some(outcome) = outcome {
            self.outcomes[outcome].fetch_add(1, Ordering::Relaxed);
        }
        let seconds = took.as_secs_f64();
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tools::TOOLS;

    #[test]
    fn calls_are_counted_by_tool_outcome_and_time() {
        let counts = Counts::new(TOOLS.len());
        let milliseconds = Duration::from_millis;
        counts.add(Called::Tool(0), None, milliseconds(1));
        counts.add(Called::Tool(0), None, milliseconds(3));
        counts.add(Called::Tool(0), Some("busy"), milliseconds(40_000));
        counts.add(Called::List, None, milliseconds(0));
        counts.add(Called::Unknown, None, milliseconds(0));
        let mut page = Exposition::default();
        counts.expose(TOOLS, &mut page);
        let text = page.finish();
        for line in [
            "smcp_calls_total{tool=\"overview\",outcome=\"ok\"} 2",
            "smcp_calls_total{tool=\"overview\",outcome=\"busy\"} 1",
            "smcp_calls_total{tool=\"tools/list\",outcome=\"ok\"} 1",
            "smcp_unknown_calls_total 1",
            "smcp_call_duration_seconds_bucket{tool=\"overview\",le=\"0.001\"} 1",
            "smcp_call_duration_seconds_bucket{tool=\"overview\",le=\"0.005\"} 2",
            "smcp_call_duration_seconds_bucket{tool=\"overview\",le=\"30\"} 2",
            "smcp_call_duration_seconds_bucket{tool=\"overview\",le=\"+Inf\"} 3",
            "smcp_call_duration_seconds_sum{tool=\"overview\"} 40.004",
            "smcp_call_duration_seconds_count{tool=\"overview\"} 3",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}: {text}");
        }
        assert!(!text.contains("identity"), "never called");
    }

    #[test]
    fn every_kind_of_failure_has_its_count() {
        let (_, kinds) = include_str!("../kernel/failure.rs").split_once("pub fn kind(").unwrap();
        let (kinds, _) = kinds.split_once("/// Every word").unwrap();
        let given: std::collections::BTreeSet<&str> = kinds.split('"').skip(1).step_by(2).collect();
        assert_eq!(given, Failure::KINDS.into_iter().collect());
    }
}
