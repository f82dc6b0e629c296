//! When a search or a long reading gives up.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// Ends at a time, or when nobody waits for the answer any more.
#[derive(Clone, Debug)]
pub struct Patience {
    until: Instant,
    stop: CancellationToken,
}

impl Patience {
    /// For so long, and no longer than `stop` lets it.
    pub fn of(time: Duration, stop: &CancellationToken) -> Self {
        Self { until: Instant::now() + time, stop: stop.clone() }
    }

    /// Whether it is time to end.
    pub fn is_over(&self) -> bool {
        self.stop.is_cancelled() || Instant::now() >= self.until
    }
}
