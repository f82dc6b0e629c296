//! Whether the parts that calls need are there: found out once for all who ask at the same time.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::Mutex;

use crate::gate::Gate;
use engine::presence::Presence;

/// How long it is good after it was found out.
const FRESH: Duration = Duration::from_millis(250);

/// The parts without which no call is answered.
#[derive(Debug)]
pub(super) struct Parts {
    /// Whether the kernel's files can be read.
    pub(super) kernel: bool,
    /// Whether calls can be put on record.
    pub(super) audit: bool,
}

impl Parts {
    /// Whether calls can be answered. Docker keeps nobody from anything else: a server without it is no less ready.
    pub(super) fn is_ready(&self) -> bool {
        self.kernel && self.audit
    }
}

/// What was found out last.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    parts: Last<Parts>,
    docker: Last<String>,
}

impl Readiness {
    /// The parts that calls need.
    pub(super) async fn parts(&self, gate: &Gate) -> Arc<Parts> {
        let look = async {
            let kernel = gate.host().read(|machine| machine.root.bytes("proc/stat").map(drop)).await.is_ok();
            let audit = gate.audit().check(SystemTime::now()).await;
            if let Err(error) = &audit {
                tracing::error!(%error, "the audit log is not ready");
            }
            Parts { kernel, audit: audit.is_ok() }
        };
        self.parts.or(look).await
    }

    /// What is with Docker, in words.
    pub(super) async fn docker(&self, gate: &Gate) -> Arc<String> {
        let look = async {
            match gate.host().docker().presence().await {
                Presence::Off => "off".to_owned(),
                Presence::Absent(_) => "not there".to_owned(),
                Presence::Unready(failure) => format!("not ready: {failure}"),
                Presence::Ready(_) => "ok".to_owned(),
            }
        };
        self.docker.or(look).await
    }
}

/// What was found out, and when that ended.
#[derive(Debug)]
struct Last<T>(Mutex<Option<(Instant, Arc<T>)>>);

impl<T> Default for Last<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Last<T> {
    /// What was found out at most 250 ms ago, or while this one waited for it; else what `look` finds.
    async fn or(&self, look: impl Future<Output = T>) -> Arc<T> {
        let asked = Instant::now();
        let mut last = self.0.lock().await;
        if let Some((ended, found)) = last.as_ref()
            && (*ended >= asked || ended.elapsed() < FRESH)
        {
            return Arc::clone(found);
        }
        let found = Arc::new(look.await);
        *last = Some((Instant::now(), Arc::clone(&found)));
        found
    }
}
