//! A container's state before and after an action.

use schemars::JsonSchema;
use serde::Serialize;

use engine::model::{Inspect, known_time};

/// A container's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "State")]
pub(crate) struct Condition {
    /// created, running, paused, restarting, removing, exited or dead.
    pub state: String,
    /// healthy, unhealthy or starting; null without a health check, and of one that does not run.
    pub health: Option<String>,
    pub exit_code: Option<i64>,
    /// When it was started last: RFC 3339.
    pub started: Option<String>,
}

impl Condition {
    pub(super) fn of(inspect: &Inspect) -> Self {
        let state = &inspect.state;
        Self {
            state: state.status.clone(),
            // of one that has ended the engine keeps what its last check said, or that it was ended
            health: state.health().filter(|_| state.running).map(str::to_owned),
            exit_code: (!state.running).then_some(state.exit_code),
            started: known_time(&state.started_at),
        }
    }
}
