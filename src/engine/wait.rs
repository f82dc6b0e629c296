//! Waiting until a container is as it was asked to be.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Docker, model::Inspect};
use kernel::failure::Failure;

/// How long a state, or a health check, is waited for.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(30);

/// How often the Engine is asked meanwhile.
const EVERY: Duration = Duration::from_millis(100);

/// Whether a container that starts is waited for until its health check says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Until it is healthy or unhealthy.
    Awaited,
    /// It does not matter.
    Ignored,
}

impl Docker {
    /// Asks after the container until `followed`, or for `FOLLOWS_WITHIN` at most. Says how it is then, and whether it has followed.
    pub async fn follow(
        &self,
        id: &str,
        mut followed: impl FnMut(&Inspect) -> bool,
    ) -> Result<(Inspect, bool), Failure> {
        let until = Instant::now() + FOLLOWS_WITHIN;
        loop {
            let now = self.inspect(id).await?;
            let followed = followed(&now);
            if followed || Instant::now() >= until {
                return Ok((now, followed));
            }
            sleep(EVERY).await;
        }
    }

    /// Waits until a container that was started runs, or has ended again; with its health, if that is awaited. Says what is odd about it.
    pub async fn started(&self, id: &str, health: Health) -> Result<(Inspect, Option<String>), Failure> {
        let awaited = health == Health::Awaited;
        let (now, followed) = self
            .follow(id, |now| {
                let state = now.state.status.as_str();
                let starting = awaited && state == "running" && now.state.health() == Some("starting");
                // one that has ended again has been started all the same
                !starting && !matches!(state, "created" | "initialized" | "stopping")
            })
            .await?;
        let note = match (now.state.status.as_str(), awaited, now.state.health()) {
            ("exited" | "dead" | "restarting", ..) => Some(format!(
                "it was started and ended again with exit code {}: look into container_logs",
                now.state.exit_code
            )),
            (_, true, None) => Some("it has no health check to wait for".to_owned()),
            (_, true, Some("unhealthy")) => Some("its health check fails: `container` shows what it says".to_owned()),
            (_, true, Some("starting")) => {
                Some(format!("its health is not known after {} s", FOLLOWS_WITHIN.as_secs()))
            }
            _ => (!followed).then(late),
        };
        Ok((now, note))
    }
}

/// What is said of a container that did not follow.
pub fn late() -> String {
    format!("its state did not follow within {} s", FOLLOWS_WITHIN.as_secs())
}
