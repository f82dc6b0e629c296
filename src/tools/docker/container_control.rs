//! Start, stop, restart, pause, resume or kill one container, and see that it follows.

use std::time::{Duration, Instant};

use bollard::query_parameters::{KillContainerOptions, RestartContainerOptions, StopContainerOptions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::state::Condition;
use crate::tool::{Acting, Aim, Turn};
use engine::{
    Docker, Health, Hold, PATIENCE, late,
    model::{self, Inspect, Summary, short},
    update,
};
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::scope::{self, Scope};

/// How long a container has to end by itself before it is killed, unless the caller says otherwise: Docker's own default.
const GRACE: u32 = 10;

/// How long a signal that may be caught has to show an effect.
const HEEDED_WITHIN: Duration = Duration::from_secs(1);

/// Start, stop, restart, pause, unpause or kill a container. Waits until its state follows and says what changed; a container that is
/// already so is left alone. With `healthy` it waits for the health check as well.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContainerControl {
    /// Its name, full id, or 12-digit id.
    name: String,
    /// What to do with it.
    action: Action,
    /// Seconds it has to end by itself before it is killed: 0 to 300, default 10. For stop and restart.
    grace_seconds: Option<u32>,
    /// What to send with kill: KILL (default), TERM, INT, HUP, QUIT, USR1 or USR2.
    signal: Option<Signal>,
    /// Wait until its health check succeeds, 30 seconds at most. For start and restart.
    #[serde(default)]
    healthy: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    Start,
    Stop,
    Restart,
    Pause,
    Unpause,
    Kill,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Signal {
    Kill,
    Term,
    Int,
    Hup,
    Quit,
    Usr1,
    Usr2,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    pub name: String,
    /// The first twelve digits.
    pub id: String,
    pub action: Action,
    /// Whether anything is other than before.
    pub changed: bool,
    pub before: Condition,
    pub after: Condition,
    /// What to know about it: that it exited again, that its health is not known yet.
    pub note: Option<String>,
}

impl Acting for ContainerControl {
    const NAME: &'static str = "container_control";
    const TITLE: &'static str = "Control a container";
    const SCOPE: Scope = Scope::DockerControl;
    const ACTIONS: &[scope::Action] = Scope::DockerControl.actions();
    const LANE: Lane = Lane::Control;
    const DESTRUCTIVE: bool = true;
    const IDEMPOTENT: bool = false;
    const LOOK: &'static str = "look with `container`";
    const UNTRUSTED: Option<&'static str> = Some("name");
    const AUDITED: &'static [&'static str] = &["name", "action", "grace_seconds", "signal", "healthy"];
    type Output = Report;
    type Target = (Summary, Hold);

    async fn aim(&self, turn: &Turn) -> Result<Aim<Self::Target>, Failure> {
        if self.grace_seconds.is_some_and(|grace| grace > 300) {
            return Err(Failure::Invalid("grace_seconds is from 0 to 300".to_owned()));
        }
        if self.grace_seconds.is_some() && !matches!(self.action, Action::Stop | Action::Restart) {
            return Err(Failure::Invalid("grace_seconds is for stop and restart".to_owned()));
        }
        if self.signal.is_some() && self.action != Action::Kill {
            return Err(Failure::Invalid("signal is for kill".to_owned()));
        }
        if self.healthy && !matches!(self.action, Action::Start | Action::Restart) {
            return Err(Failure::Invalid("healthy is for start and restart".to_owned()));
        }
        let docker = &turn.docker(Self::SCOPE);
        let target = docker.find(&self.name, Self::SCOPE, Some(self.action.granted())).await?;
        update::at_rest(docker, &target).await?;
        if matches!(self.action, Action::Start | Action::Restart) {
            starts_alone(docker, &target).await?;
        }
        // a client that has given up on a restart and asks again gets no second one
        let hold = docker.hold(&target.id, target.name())?;
        Ok(Aim { name: format!("{} {}", target.id, target.name()), target: (target, hold) })
    }

    async fn act(self, turn: &Turn, (target, _hold): Self::Target) -> Result<Report, Failure> {
        let docker = &turn.docker(Self::SCOPE);
        let before = docker.inspect(&target.id).await?;
        let already = self.already(&before.state);
        if already.is_none()
            && let Err(failure) = self.send(docker, &target).await
        {
            // it may have come to be so by itself in between, or though the Engine did not say so in time
            let now = docker.inspect(&target.id).await;
            let came = now.is_ok_and(|now| self.already(&now.state).is_some() || self.has_restarted(&before, &now));
            if !came {
                return Err(failure);
            }
        }
        let (after, note) = self.follow(docker, &before).await?;
        // a restart within one second shows in the fractions alone
        let changed =
            before.state.started_at != after.state.started_at || Condition::of(&before) != Condition::of(&after);
        Ok(Report {
            name: target.name().to_owned(),
            id: short(&target.id).to_owned(),
            action: self.action,
            changed,
            before: Condition::of(&before),
            after: Condition::of(&after),
            note: note.or(already.map(str::to_owned)),
        })
    }
}

/// Refuses a container that shares what another one has which does not run. Docker does so too; Podman would start the other one as well,
/// which nobody has asked for.
async fn starts_alone(docker: &Docker, target: &Summary) -> Result<(), Failure> {
    let detail = docker.detail(&target.id).await?;
    if detail.host_config.joined().next().is_none() {
        return Ok(());
    }
    let all = docker.all_containers().await?;
    let runs = |other: &str| {
        let is = |one: &&Summary| one.has_name(other) || other.len() >= 12 && one.id.starts_with(other);
        all.iter().find(is).is_some_and(|one| matches!(one.state.as_str(), "running" | "paused"))
    };
    match detail.host_config.joined().find(|(_, other)| !runs(other)) {
        None => Ok(()),
        Some((namespace, _)) => Err(Failure::Refused(format!(
            "{} shares the {namespace} namespace of a container that does not run: start that one first",
            target.name()
        ))),
    }
}

impl ContainerControl {
    /// What to say of a container that is as it is asked to be before anything was done.
    fn already(&self, state: &model::ContainerState) -> Option<&'static str> {
        match self.action {
            Action::Start if state.status == "restarting" => Some("its restart policy is about to start it anyway"),
            Action::Start => (state.running && !state.paused).then_some("it was running already"),
            Action::Stop | Action::Kill => (!state.running).then_some("it was not running"),
            Action::Pause => state.paused.then_some("it was paused already"),
            Action::Unpause => (state.running && !state.paused).then_some("it was not paused"),
            Action::Restart => None,
        }
    }

    fn has_restarted(&self, before: &Inspect, now: &Inspect) -> bool {
        self.action == Action::Restart && now.state.running && now.state.started_at != before.state.started_at
    }

    async fn send(&self, docker: &Docker, target: &Summary) -> Result<(), Failure> {
        let grace = self.grace_seconds.unwrap_or(GRACE);
        let t = i32::try_from(grace).ok();
        let api = docker.api(PATIENCE + Duration::from_secs(grace.into()))?;
        let id = &target.id;
        let sent = match self.action {
            Action::Start => api.start_container(id, None).await,
            Action::Stop => api.stop_container(id, Some(StopContainerOptions { t, signal: None })).await,
            Action::Restart => api.restart_container(id, Some(RestartContainerOptions { t, signal: None })).await,
            Action::Pause => api.pause_container(id).await,
            Action::Unpause => api.unpause_container(id).await,
            Action::Kill => {
                let signal = self.signal.unwrap_or(Signal::Kill).name().to_owned();
                api.kill_container(id, Some(KillContainerOptions { signal })).await
            }
        };
        sent.map_err(|error| docker.failed(&format!("{} {}", self.action.granted().name(), target.name()), error))
    }

    /// Waits until the state is what was asked for, and says what is odd about it.
    async fn follow(&self, docker: &Docker, before: &Inspect) -> Result<(Inspect, Option<String>), Failure> {
        let signal = self.signal.unwrap_or(Signal::Kill);
        let began = Instant::now();
        let followed = |now: &Inspect| match self.action {
            Action::Pause => now.state.paused,
            Action::Unpause => !now.state.paused,
            // a signal need not end it
            Action::Kill if signal != Signal::Kill && began.elapsed() >= HEEDED_WITHIN => true,
            // its restart policy may have started it again meanwhile
            _ => !now.state.running || now.state.started_at != before.state.started_at,
        };
        if matches!(self.action, Action::Start | Action::Restart) {
            return docker.started(&before.id, if self.healthy { Health::Awaited } else { Health::Ignored }).await;
        }
        let (now, followed) = docker.follow(&before.id, followed).await?;
        let runs_on = now.state.running && now.state.started_at == before.state.started_at;
        let note = match self.action {
            _ if !followed => Some(late()),
            Action::Kill if runs_on => Some(format!("{} was sent, and it runs on", signal.name())),
            Action::Stop | Action::Kill if now.state.running => Some("its restart policy started it again".to_owned()),
            _ => None,
        };
        Ok((now, note))
    }
}

impl Action {
    /// As grants know it.
    fn granted(self) -> scope::Action {
        match self {
            Self::Start => scope::Action::Start,
            Self::Stop => scope::Action::Stop,
            Self::Restart => scope::Action::Restart,
            Self::Pause => scope::Action::Pause,
            Self::Unpause => scope::Action::Unpause,
            Self::Kill => scope::Action::Kill,
        }
    }
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILL",
            Self::Term => "SIGTERM",
            Self::Int => "SIGINT",
            Self::Hup => "SIGHUP",
            Self::Quit => "SIGQUIT",
            Self::Usr1 => "SIGUSR1",
            Self::Usr2 => "SIGUSR2",
        }
    }
}
