//! Updates that broke off: an earlier process was killed, or the Engine was away for long. Each is brought to its end and put on record.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    audit::{Decision, Outcome, Record},
    gate::Gate,
};
use engine::{
    journal::Entry,
    update::{self, End},
};

/// How often is looked while one may yet be ended, and while there is none.
const SOON: Duration = Duration::from_secs(5);
const LATER: Duration = Duration::from_secs(60);

/// Looks at once, and then every now and then until dropped.
pub(super) async fn repair_forever(gate: Arc<Gate>) {
    let mut said = update::Said::new();
    loop {
        let (ended, soon) = update::repair(gate.host().docker(), &mut said).await;
        for (entry, end) in &ended {
            record(&gate, entry, end).await;
        }
        tokio::time::sleep(if soon { SOON } else { LATER }).await;
    }
}

async fn record(gate: &Gate, entry: &Entry, end: &End) {
    let Entry { name, old, image, .. } = entry;
    let kind = match end {
        End::Replaced { id: new } => {
            tracing::warn!(
                container = name,
                image,
                id = new,
                "an update had broken off: the new container is good and stays"
            );
            None
        }
        End::RolledBack { why, note: None } => {
            tracing::warn!(
                container = name,
                image,
                id = old,
                why,
                "an update had broken off: the old container is back"
            );
            Some("rolled_back")
        }
        End::RolledBack { why, note: Some(note) } => {
            tracing::error!(
                container = name,
                image,
                id = old,
                why,
                note,
                "an update had broken off: the old container is back, but"
            );
            Some("rolled_back")
        }
        End::OldGone { id: new, bad: None } => {
            tracing::warn!(
                container = name,
                image,
                id = new,
                "an update had broken off: others removed the old container; the new one is good and stays"
            );
            Some("old_gone")
        }
        End::OldGone { id: new, bad: Some(why) } => {
            tracing::error!(
                container = name,
                image,
                id = new,
                why,
                "an update had broken off: others removed the old container, and the new one is no good"
            );
            Some("old_gone")
        }
        End::Gone => {
            tracing::error!(
                container = name,
                image,
                "an update had broken off, and neither container is there any more"
            );
            Some("gone")
        }
    };
    let runs = match end {
        End::Replaced { id } | End::OldGone { id, .. } => id,
        End::RolledBack { .. } | End::Gone => old,
    };
    let target = format!("{runs} {name}");
    let record = Record {
        tool: Some("container_update"),
        target: Some(&target),
        outcome: Some(if kind.is_none() { Outcome::Ok } else { Outcome::Error }),
        kind,
        ..Record::new(SystemTime::now(), Decision::Allowed)
    };
    if let Err(error) = gate.audit().outcome(&record).await {
        tracing::error!(%error, "the end of an update could not be put on record");
    }
}
