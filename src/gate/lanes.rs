//! The lanes at work: the places of each, how often a caller may have one, and the threads.

use std::{sync::Arc, time::Duration};

use super::places::{Now, Places};
use auth::Caller;
use facts::exposition::{Column, Exposition, Kind};
use kernel::failure::Failure;
use lanes::{
    bucket::Buckets,
    lane::{Lane, PerLane, Room},
    threads::Threads,
};
use tools::tool::Seat;

/// How full a lane is, on the page for Prometheus.
const COLUMNS: &[Column<Now>] = &[
    ("smcp_lane_running_calls", Kind::Gauge, "Calls that run in a lane.", |now| now.running.into()),
    ("smcp_lane_waiting_calls", Kind::Gauge, "Calls that wait for a place in a lane.", |now| now.waiting.into()),
    ("smcp_lane_running_calls_limit", Kind::Gauge, "Calls that may run in a lane.", |now| now.room.running.into()),
    ("smcp_lane_waiting_calls_limit", Kind::Gauge, "Calls that may wait in a lane.", |now| now.room.waiting.into()),
];

#[derive(Debug)]
pub(super) struct Lanes(PerLane<AtWork>);

#[derive(Debug)]
struct AtWork {
    places: Arc<Places>,
    buckets: Buckets,
    threads: Arc<Threads>,
}

impl Lanes {
    pub(super) fn new(rooms: &PerLane<Room>) -> Self {
        Self(PerLane::of(|lane| {
            let spec = lane.spec();
            AtWork {
                places: Arc::new(Places::new(spec, rooms[lane])),
                buckets: Buckets::new(spec.what),
                threads: Arc::new(Threads::new(spec.key, spec.most_running() as usize)),
            }
        }))
    }

    /// Lets in so many from now on.
    pub(super) fn set(&self, rooms: &PerLane<Room>) {
        for lane in Lane::ALL {
            self.0[lane].places.set(rooms[lane]);
        }
    }

    /// Writes how full each is.
    pub(super) fn expose(&self, page: &mut Exposition) {
        let now: Vec<_> = Lane::ALL.iter().map(|lane| (lane.spec().key, self.0[*lane].places.now())).collect();
        page.table(COLUMNS, "lane", now.iter().map(|(lane, now)| (*lane, now)));
    }

    /// Waits for a place for a call that may take as long as `patience`. A caller who comes too often, and one too many, is told when to come
    /// back.
    pub(super) async fn enter(&self, lane: Lane, caller: &Caller, patience: Duration) -> Result<Seat, Failure> {
        let at_work = &self.0[lane];
        if let Some(per_minute) = at_work.places.room().per_minute {
            at_work.buckets.take(&caller.id, per_minute)?;
        }
        let place = at_work.places.take(caller, patience).await?;
        Ok(Seat::new(place, Arc::clone(&at_work.threads)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use tools::TOOLS;

    #[test]
    fn tools_that_ask_different_things_share_no_lane_that_can_hang() {
        for lane in Lane::ALL.into_iter().filter(|lane| lane.spec().hangs) {
            let asked: BTreeSet<_> = TOOLS
                .iter()
                .filter(|tool| tool.lane == lane)
                .filter_map(|tool| tool.scope.name().split(':').next())
                .collect();
            assert!(asked.len() <= 1, "{lane:?}: {asked:?}");
        }
    }

    #[test]
    fn what_reads_a_process_s_own_memory_may_hang_with_it() {
        // the arguments of a process that waits for a dead file server cannot be read before that answers
        for tool in TOOLS.iter().filter(|tool| tool.name.starts_with("process")) {
            assert!(tool.lane.spec().hangs, "{}", tool.name);
        }
    }

    #[test]
    fn what_changes_something_is_refused_and_not_kept_waiting() {
        for tool in TOOLS {
            let spec = tool.lane.spec();
            assert_eq!(tool.look.is_some(), !spec.has_waiting_room(), "{} in {}", tool.name, spec.key);
        }
    }
}
