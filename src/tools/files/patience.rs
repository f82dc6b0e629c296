//! When a search or a long reading gives up, and where a long one goes on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use crate::{failure::Failure, host::Machine, lane::Lane, tool::Turn};

/// How long a reading may keep a place among those that take a moment.
const MOMENT: Duration = Duration::from_millis(100);

/// Ends at a time, or when nobody waits for the answer any more.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    until: Instant,
    stop: CancellationToken,
}

impl Patience {
    /// For so long, and no longer than `stop` lets it.
    pub(crate) fn of(time: Duration, stop: &CancellationToken) -> Self {
        Self { until: Instant::now() + time, stop: stop.clone() }
    }

    /// Whether it is time to end.
    pub(crate) fn is_over(&self) -> bool {
        self.stop.is_cancelled() || Instant::now() >= self.until
    }
}

/// Reads for a moment, in the call's own lane. What takes longer begins again among the long readings, for `most` then: however many of
/// those there are, short ones find places.
pub(crate) async fn read<T: Send + 'static>(
    turn: &Turn,
    most: Duration,
    read: impl Fn(&Machine, &Patience) -> Result<T, Failure> + Send + Sync + 'static,
) -> Result<T, Failure> {
    let (read, short) = (Arc::new(read), Patience::of(MOMENT.min(most), turn.stop()));
    let first = Arc::clone(&read);
    let begun = turn.read(move |machine| {
        let report = first(machine, &short)?;
        // it may lack what there was no time for
        Ok((!short.is_over()).then_some(report))
    });
    if let Some(report) = begun.await? {
        return Ok(report);
    }
    turn.move_to(Lane::Bulk).await?;
    let long = Patience::of(turn.time(most), turn.stop());
    turn.read(move |machine| read(machine, &long)).await
}
