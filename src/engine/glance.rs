//! The list of containers for an answer that speaks of other things too, and must not wait for an Engine that hangs.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;

use super::{Docker, model::Summary};

/// How long the Engine has.
const WITHIN: Duration = Duration::from_secs(1);

/// Whether it keeps to that.
#[derive(Clone, Debug, Default)]
pub(super) struct Pulse(Arc<Mutex<Beat>>);

#[derive(Debug, Default)]
struct Beat {
    is_slow: bool,
    /// Finds out whether it still is.
    asking: Option<JoinHandle<()>>,
}

impl Pulse {
    fn lock(&self) -> MutexGuard<'_, Beat> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Docker {
    /// All containers that may be seen, if the Engine tells them within a second. One that did not is not waited for again until it has: it is
    /// asked beside the answers, once at a time.
    pub async fn glance(&self) -> Option<Vec<Summary>> {
        if self.pulse.lock().is_slow {
            self.ask_beside();
            return None;
        }
        match tokio::time::timeout(WITHIN, self.containers()).await {
            Ok(listed) => listed.ok(),
            Err(_) => {
                self.pulse.lock().is_slow = true;
                None
            }
        }
    }

    /// Whether the last glance found that the Engine does not answer within a second.
    pub fn is_slow(&self) -> bool {
        self.pulse.lock().is_slow
    }

    fn ask_beside(&self) {
        let mut pulse = self.pulse.lock();
        if pulse.asking.as_ref().is_some_and(|asking| !asking.is_finished()) {
            return;
        }
        let docker = self.clone();
        pulse.asking = Some(tokio::spawn(async move {
            let began = Instant::now();
            let is_told = docker.containers().await.is_ok();
            docker.pulse.lock().is_slow = !is_told || began.elapsed() > WITHIN;
        }));
    }
}
