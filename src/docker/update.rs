//! One container takes another's place, or does not: the sequence, and what ends it when it broke off.
//!
//! The new one is made first, under a name that says whose place it is to take ([`super::replace`]): what is wrong with its settings
//! shows while the old one still runs. Then the old one is stopped (both cannot have one port), the names are exchanged, and the new one
//! is started. Once it is good the old one is removed, without its volumes. Each step is in the [`Journal`] before it is taken, and
//! [`settle`] brings whatever it finds there to one of the two ends; it may itself break off and be called again.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::{
    Docker, PATIENCE,
    journal::{Claim, Entry, Journal, Stage},
    model::{Inspect, Summary},
    replace::{Replaced, Successor},
};
use crate::failure::Failure;

/// How long one without a health check has to run before it is held to be good.
const STEADY: Duration = Duration::from_secs(5);

/// How long making and removing may take: both copy or delete files.
const SLOW: Duration = Duration::from_secs(60);

/// How long the Engine may be away in the middle before the call is answered without an end.
const RETURNS_WITHIN: Duration = Duration::from_secs(60);

/// How an update ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The new one runs under the name.
    Replaced,
    /// The old one is as it was.
    RolledBack {
        /// Why, in a clause.
        why: String,
        /// What is yet other than before: that it could not be started again.
        note: Option<String>,
    },
    /// Neither is there any more: others have removed them.
    Gone,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
}

/// What there is of the two.
struct Pair {
    old: Option<Summary>,
    new: Option<Summary>,
    /// Whether anybody else has the name.
    stranger: bool,
}

/// Replaces the container of `entry` by `successor`. `tell` hears of each stage.
pub async fn run(
    docker: &Docker,
    claim: Claim,
    mut entry: Entry,
    successor: &Successor,
    tell: impl Fn(Stage) + Send + Sync,
) -> Result<End, Failure> {
    let result = exchange(docker, &claim, &mut entry, successor, &tell).await;
    if let Err(failure) = result {
        entry.why = Some(failure.to_string());
        note(&claim, &entry).await;
        tracing::warn!(container = entry.name, why = %failure, "an update is rolled back");
        if entry.stage == Stage::Creating {
            // nothing has happened to the old one: what is said is why, in its own kind
            let end = settle_soon(docker, claim, &mut entry).await?;
            return if matches!(end, End::RolledBack { .. }) { Err(failure) } else { Ok(end) };
        }
    }
    settle_soon(docker, claim, &mut entry).await
}

async fn exchange(
    docker: &Docker,
    claim: &Claim,
    entry: &mut Entry,
    successor: &Successor,
    tell: &(impl Fn(Stage) + Send + Sync),
) -> Result<(), Failure> {
    let names = Replaced::new(&entry.name, &entry.old);
    let at = async |entry: &mut Entry, stage| {
        tell(stage);
        // what is not on disk has not begun
        claim.write(&Entry { stage, ..entry.clone() }).await?;
        entry.stage = stage;
        Ok::<_, Failure>(())
    };
    at(entry, Stage::Creating).await?;
    if let Some(leftover) = look(docker, entry).await?.new {
        remove(docker, &leftover.id).await?;
    }
    let path = format!("/containers/create?name={}", names.new_name());
    let body = serde_json::to_vec(&successor.create).map_err(|error| Failure::Internal(error.into()))?;
    let made = docker.post(&path, Some(body), SLOW).await?;
    let Created { id: new } = serde_json::from_slice(&made).map_err(|error| docker.garbage(&path, &error))?;
    if new.len() != 64 || !new.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Failure::Away("the Docker Engine gave the new container no id".to_owned()));
    }
    entry.new = Some(new.clone());
    claim.write(entry).await?;
    for (network, endpoint) in &successor.connect {
        let body = serde_json::json!({ "Container": new, "EndpointConfig": endpoint }).to_string();
        docker.post(&format!("/networks/{}/connect", encoded(network)), Some(body.into()), PATIENCE).await?;
    }
    at(entry, Stage::Stopping).await?;
    stop(docker, entry).await?;
    at(entry, Stage::Renaming).await?;
    rename(docker, &entry.old, &names.old_name()).await?;
    rename(docker, &new, &entry.name).await?;
    at(entry, Stage::Starting).await?;
    docker.post(&format!("/containers/{new}/start"), None, SLOW).await.map(drop)
}

/// The unfinished update that `claim` holds, brought to its end. An error if the Engine is away: then it is to be tried again.
pub async fn settle(docker: &Docker, claim: Claim) -> Result<Option<(Entry, End)>, (Failure, Option<Entry>)> {
    let Some(mut entry) = claim.read() else {
        claim.close();
        return Ok(None);
    };
    match end(docker, &claim, &mut entry).await {
        Ok(end) => {
            claim.close();
            Ok(Some((entry, end)))
        }
        Err(failure) => Err((failure, Some(entry))),
    }
}

/// The same, by who has just begun it: an Engine that is restarted in the middle comes back.
async fn settle_soon(docker: &Docker, claim: Claim, entry: &mut Entry) -> Result<End, Failure> {
    let until = tokio::time::Instant::now() + RETURNS_WITHIN;
    loop {
        match end(docker, &claim, entry).await {
            Ok(end) => {
                claim.close();
                return Ok(end);
            }
            Err(failure) if tokio::time::Instant::now() >= until => {
                return Err(Failure::Away(format!(
                    "the update of {} broke off in the middle ({failure}); the server goes on trying to end it and says so in its log",
                    entry.name
                )));
            }
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}

async fn end(docker: &Docker, claim: &Claim, entry: &mut Entry) -> Result<End, Failure> {
    let mut pair = look(docker, entry).await?;
    if entry.stage == Stage::Creating && pair.new.is_none() {
        // the Engine may yet be making it for a server that is no more
        tokio::time::sleep(Duration::from_secs(1)).await;
        pair = look(docker, entry).await?;
    }
    let (old, new) = match (pair.old.clone(), pair.new.clone()) {
        (None, None) => return Ok(End::Gone),
        (None, Some(new)) => return forward(docker, claim, entry, None, &new, &pair).await,
        (Some(old), None) => {
            entry.why.get_or_insert_with(|| "the new container is not there".to_owned());
            return back(docker, claim, entry, &old, &pair).await;
        }
        (Some(old), Some(new)) => (old, new),
    };
    match entry.stage {
        Stage::Removing => return forward(docker, claim, entry, Some(&old), &new, &pair).await,
        Stage::Starting if entry.why.is_none() => match judge(docker, &new.id, entry.wait_seconds).await? {
            Ok(()) => return forward(docker, claim, entry, Some(&old), &new, &pair).await,
            Err(why) => entry.why = Some(why),
        },
        Stage::Creating | Stage::Stopping | Stage::Renaming | Stage::Starting | Stage::RollingBack => (),
    }
    entry.why.get_or_insert_with(|| "the server ended before the new container was started".to_owned());
    back(docker, claim, entry, &old, &pair).await
}

async fn forward(
    docker: &Docker,
    claim: &Claim,
    entry: &mut Entry,
    old: Option<&Summary>,
    new: &Summary,
    pair: &Pair,
) -> Result<End, Failure> {
    entry.stage = Stage::Removing;
    note(claim, entry).await;
    if let Some(old) = old {
        remove(docker, &old.id).await?;
    }
    if !new.has_name(&entry.name) && !pair.stranger {
        rename(docker, &new.id, &entry.name).await?;
    }
    Ok(End::Replaced)
}

async fn back(docker: &Docker, claim: &Claim, entry: &mut Entry, old: &Summary, pair: &Pair) -> Result<End, Failure> {
    if entry.stage == Stage::Stopping {
        // the Engine may yet be stopping it for a server that is no more, and would stop what is started now
        stop(docker, entry).await?;
    }
    if entry.stage != Stage::Creating {
        entry.stage = Stage::RollingBack;
        note(claim, entry).await;
    }
    if let Some(new) = &pair.new {
        remove(docker, &new.id).await?;
    }
    if !old.has_name(&entry.name) && !pair.stranger {
        rename(docker, &old.id, &entry.name).await?;
    }
    let mut note = pair.stranger.then(|| {
        format!(
            "its name was taken in the meantime, so it is called {}",
            Replaced::new(&entry.name, &entry.old).old_name()
        )
    });
    if entry.ran && entry.stage != Stage::Creating {
        match docker.post(&format!("/containers/{}/start", old.id), None, SLOW).await {
            Ok(_) => (),
            // the Engine has decided, and will again
            Err(Failure::Refused(why)) => note = Some(format!("it could not be started again: {why}")),
            Err(failure) => return Err(failure),
        }
    }
    Ok(End::RolledBack { why: entry.why.clone().unwrap_or_default(), note })
}

/// Writes down what is done to end it. A journal that cannot be written any more is no reason to leave things half done: what it says
/// already leads to the same end.
async fn note(claim: &Claim, entry: &Entry) {
    if let Err(error) = claim.write(entry).await {
        tracing::warn!(container = entry.name, %error, "the journal of an update cannot be written");
    }
}

/// Whether the new one is good, or in a clause why not; waits for it.
async fn judge(docker: &Docker, id: &str, wait_seconds: u64) -> Result<Result<(), String>, Failure> {
    let began = tokio::time::Instant::now();
    loop {
        let now: Value = docker.get(&format!("/containers/{id}/json")).await?;
        let inspect: Inspect =
            serde_json::from_value(now.clone()).map_err(|error| docker.garbage("inspect", &error))?;
        let state = &inspect.state;
        if !state.running || inspect.restart_count > 0 || state.status == "restarting" {
            let oom = if state.oom_killed { " for want of memory" } else { "" };
            return Ok(Err(match (&state.error[..], &state.status[..]) {
                ("", "created") => "the new container was never started".to_owned(),
                ("", _) => format!("the new container ended with exit code {}{oom}", state.exit_code),
                (error, _) => format!("the new container could not be started: {error}"),
            }));
        }
        let elapsed = began.elapsed();
        match state.health() {
            Some("healthy") => return Ok(Ok(())),
            Some("unhealthy") => return Ok(Err(format!("the new container's health check fails{}", last_check(&now)))),
            None if elapsed >= STEADY => return Ok(Ok(())),
            Some(_) if elapsed >= Duration::from_secs(wait_seconds) => {
                return Ok(Err(format!(
                    "the new container was not healthy within {wait_seconds} s{}",
                    last_check(&now)
                )));
            }
            _ => (),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What the last health check said.
fn last_check(inspect: &Value) -> String {
    let last = inspect["State"]["Health"]["Log"].as_array().and_then(|log| log.last());
    let Some(last) = last else { return String::new() };
    let words: String = last["Output"].as_str().unwrap_or_default().trim().chars().take(300).collect();
    format!(" (exit code {}: {words:?})", last["ExitCode"].as_i64().unwrap_or_default())
}

async fn look(docker: &Docker, entry: &Entry) -> Result<Pair, Failure> {
    // as the server acts here, and not a caller, it sees all there are
    let all: Vec<Summary> = docker.get("/containers/json?all=1").await?;
    let names = Replaced::new(&entry.name, &entry.old);
    let old = all.iter().find(|one| one.id == entry.old).cloned();
    let new = all.iter().find(|one| match &entry.new {
        Some(id) => one.id == *id,
        None => one.has_name(&names.new_name()),
    });
    let own = [old.as_ref(), new].map(|one| one.map(|one| one.id.as_str()));
    let stranger = all.iter().any(|one| one.has_name(&entry.name) && !own.contains(&Some(one.id.as_str())));
    Ok(Pair { new: new.cloned(), old, stranger })
}

async fn stop(docker: &Docker, entry: &Entry) -> Result<(), Failure> {
    let patience = SLOW + Duration::from_secs(entry.grace_seconds);
    docker.post(&format!("/containers/{}/stop", entry.old), None, patience).await.map(drop)
}

async fn rename(docker: &Docker, id: &str, name: &str) -> Result<(), Failure> {
    docker.post(&format!("/containers/{id}/rename?name={name}"), None, PATIENCE).await.map(drop)
}

/// Removes a container and leaves all its volumes: a new one's own are empty, an old one's are in use.
async fn remove(docker: &Docker, id: &str) -> Result<(), Failure> {
    let options = bollard::query_parameters::RemoveContainerOptions { force: true, ..Default::default() };
    let removed = docker.api(SLOW)?.remove_container(id, Some(options)).await;
    removed.map_err(|error| docker.failed("remove a container", error))
}

/// A network's name in a path; ids pass as they are.
fn encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Brings to their end the updates that `docker`'s journal holds and nobody works on. Gives what became of each, and whether any is left
/// to be tried again.
pub async fn repair(docker: &Docker) -> (Vec<(Entry, End)>, bool) {
    let Some(journal) = docker.settings().state.as_deref().and_then(Journal::find) else { return (vec![], false) };
    let (mut ended, mut left) = (vec![], false);
    for id in journal.begun() {
        let claim = match journal.claim(&id) {
            Ok(Some(claim)) => claim,
            Ok(None) => continue,
            Err(failure) => {
                tracing::warn!(id, %failure, "an unfinished update cannot be looked at");
                continue;
            }
        };
        match settle(docker, claim).await {
            Ok(end) => ended.extend(end),
            Err((failure, entry)) => {
                left = true;
                let container = entry.map(|entry| entry.name).unwrap_or_default();
                tracing::warn!(container, why = %failure, "an unfinished update cannot be ended yet");
            }
        }
    }
    (ended, left)
}
