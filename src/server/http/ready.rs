//! Whether the parts that calls need are there: found out once for all who ask at the same time.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use serde_json::json;
use tokio::sync::Mutex;

use crate::{docker::presence::Presence, gate::Gate};

/// How long it is good after it was found out.
const FRESH: Duration = Duration::from_millis(250);

/// What was found out.
#[derive(Debug)]
pub(super) struct Report {
    /// Whether calls can be answered.
    pub(super) ready: bool,
    /// What of each part, in words: JSON.
    pub(super) words: String,
    ended: Instant,
}

/// The last report.
#[derive(Debug, Default)]
pub(super) struct Readiness(Mutex<Option<Arc<Report>>>);

impl Readiness {
    /// A report that is at most 250 ms old, or was made while this one waited for it.
    pub(super) async fn now(&self, gate: &Gate) -> Arc<Report> {
        let asked = Instant::now();
        let mut last = self.0.lock().await;
        if let Some(report) = last.as_ref().filter(|report| report.ended >= asked || report.ended.elapsed() < FRESH) {
            return Arc::clone(report);
        }
        let report = Arc::new(look(gate).await);
        *last = Some(Arc::clone(&report));
        report
    }
}

async fn look(gate: &Gate) -> Report {
    let kernel = gate.host().read(|machine| machine.root.bytes("proc/stat").map(drop)).await;
    let audit = gate.audit().check(SystemTime::now()).await;
    // Docker keeps nobody from anything else: a server without it is no less ready
    let ready = kernel.is_ok() && audit.is_ok();
    let docker = match gate.host().docker().presence().await {
        Presence::Off => "off".to_owned(),
        Presence::Absent(_) => "not there".to_owned(),
        Presence::Unready(failure) => format!("not ready: {failure}"),
        Presence::Ready(_) => "ok".to_owned(),
    };
    if let Err(error) = &audit {
        tracing::error!(%error, "the audit log is not ready");
    }
    let state = |good: bool, why: &str| if good { "ok".to_owned() } else { format!("not ready: {why}") };
    let words = json!({
        "ready": ready,
        "kernel": state(kernel.is_ok(), "/proc/stat cannot be read"),
        "audit": state(audit.is_ok(), "the audit log cannot be written"),
        "docker": docker,
    });
    Report { ready, words: words.to_string(), ended: Instant::now() }
}
