//! One container takes another's place, or does not: the sequence, and what ends it when it broke off.
//!
//! The new one is made first, under a name that says whose place it is to take ([`super::replace`]): what is wrong with its settings
//! shows while the old one still runs. Then the old one is stopped (both cannot have one port), the names are exchanged, and the new one
//! is started. Once it is good the old one is removed, without its volumes. Each step is in the [`Journal`] before it is taken, and
//! [`settle`] brings whatever it finds there to one of the two ends; it may itself break off and be called again.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::Value;

use super::{
    Docker, Hold, PATIENCE,
    journal::{Claim, Entry, Journal, Stage, aside},
    model::{Inspect, Summary},
    replace::{Replaced, Successor, half_of, is_reserved},
};
use kernel::failure::Failure;
use redact::{clean, redact_line};

/// How long one without a health check has to run before it is held to be good.
const STEADY: Duration = Duration::from_secs(5);

/// How long making and removing may take: both copy or delete files.
const SLOW: Duration = Duration::from_secs(60);

/// How long the Engine may be away, or refuse to put the old one back, before the call is answered without an end.
const RETURNS_WITHIN: Duration = Duration::from_secs(60);

/// How an update ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The new one has the name, and runs if the old one did.
    Replaced {
        /// Its full id.
        id: String,
    },
    /// The old one is as it was.
    RolledBack {
        /// Why, in a clause.
        why: String,
        /// What is yet other than before: its name.
        note: Option<String>,
    },
    /// Others have removed the old one, so that only the new one can stay.
    OldGone {
        /// The new one's full id.
        id: String,
        /// Why it is no good, in a clause; `None` if it is.
        bad: Option<String>,
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
    // until all has ended: what prunes, removes and controls leaves it alone
    let mut hold = None;
    let result = exchange(docker, &claim, &mut entry, successor, &mut hold, &tell).await;
    if let Err(failure) = result {
        entry.why = Some(tidy(&failure.to_string()));
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
    hold: &mut Option<Hold>,
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
    *hold = Some(docker.hold(&new, &entry.name)?);
    entry.new = Some(new.clone());
    claim.write(entry).await?;
    if !successor.is_of(&docker.get::<Value>(&format!("/containers/{new}/json")).await?) {
        return Err(Failure::Refused(format!(
            "{} has come to mean another image; write its whole name, as `images` lists it, or try again",
            entry.image
        )));
    }
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
    if !entry.ran {
        return Ok(());
    }
    docker.post(&format!("/containers/{new}/start"), None, SLOW).await.map(drop)
}

/// Refuses a container that a guard of the socket lets nobody act on, as docker-guard does with the one it runs in: that one is the way to
/// the Engine, and which it is only the guard knows. So it is asked for what changes nothing, the start of what runs.
pub async fn let_through(docker: &Docker, id: &str) -> Result<(), Failure> {
    // what does not run is nobody's way
    if docker.inspect(id).await?.state.running {
        docker.post(&format!("/containers/{id}/start"), None, PATIENCE).await?;
    }
    Ok(())
}

/// The unfinished update that `claim` holds, brought to its end. An error if the Engine is away: then it is to be tried again.
pub async fn settle(docker: &Docker, claim: Claim) -> Result<Option<(Entry, End)>, (Failure, Option<Entry>)> {
    let mut entry = match claim.read().await {
        Ok(Some(entry)) => entry,
        Ok(None) => {
            claim.close().await;
            return Ok(None);
        }
        // an update has begun, and what is not known of it now may be known later, or to a newer version
        Err(failure) => return Err((failure, None)),
    };
    let holds = [Some(&entry.old), entry.new.as_ref()].into_iter().flatten().map(|id| docker.hold(id, &entry.name));
    let _holds = match holds.collect::<Result<Vec<Hold>, Failure>>() {
        Ok(holds) => holds,
        Err(failure) => return Err((failure, Some(entry))),
    };
    match end(docker, &claim, &mut entry).await {
        Ok(end) => {
            claim.close().await;
            Ok(Some((entry, end)))
        }
        Err(failure) => Err((failure, Some(entry))),
    }
}

/// The same, by who has just begun it: an Engine that is restarted in the middle comes back.
async fn settle_soon(docker: &Docker, claim: Claim, entry: &mut Entry) -> Result<End, Failure> {
    let mut until = None;
    loop {
        match end(docker, &claim, entry).await {
            Ok(end) => {
                claim.close().await;
                return Ok(end);
            }
            Err(failure) => {
                let now = tokio::time::Instant::now();
                if until.is_none() {
                    tracing::warn!(container = entry.name, why = %failure, "the end of an update is tried again");
                }
                // what a guard forbids is decided, and no fault that passes
                let is_decided = matches!(failure, Failure::Forbidden(_));
                if is_decided || now >= *until.get_or_insert(now + RETURNS_WITHIN) {
                    let why = entry.why.as_deref().map(|why| format!(" since {why}")).unwrap_or_default();
                    let words = format!(
                        "the update of {} is not ended{why} ({}); the server goes on trying to end it and says so in its log",
                        entry.name,
                        tidy(&failure.to_string())
                    );
                    return Err(match failure {
                        Failure::Refused(_) => Failure::Refused(words),
                        Failure::Forbidden(_) => Failure::Forbidden(words),
                        _ => Failure::Away(words),
                    });
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
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
        (None, Some(new)) if entry.stage == Stage::Removing => {
            return forward(docker, claim, entry, None, &new, &pair).await;
        }
        (None, Some(new)) => return alone(docker, entry, &new, &pair).await,
        (Some(old), None) => {
            entry.why.get_or_insert_with(|| "the new container is not there".to_owned());
            return back(docker, claim, entry, &old, &pair).await;
        }
        (Some(old), Some(new)) => (old, new),
    };
    match entry.stage {
        Stage::Removing => return forward(docker, claim, entry, Some(&old), &new, &pair).await,
        // one that did not run is left as it was found
        Stage::Starting if entry.why.is_none() && !entry.ran && new.has_name(&entry.name) => {
            return forward(docker, claim, entry, Some(&old), &new, &pair).await;
        }
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
    Ok(End::Replaced { id: new.id.clone() })
}

/// The old one was removed by others before the new one was good: there is no way back, and forward only what there is.
async fn alone(docker: &Docker, entry: &Entry, new: &Summary, pair: &Pair) -> Result<End, Failure> {
    if !new.has_name(&entry.name) && !pair.stranger {
        rename(docker, &new.id, &entry.name).await?;
    }
    let mut bad = None;
    if entry.ran {
        bad = match docker.post(&format!("/containers/{}/start", new.id), None, SLOW).await {
            Ok(_) => judge(docker, &new.id, entry.wait_seconds).await?.err(),
            Err(Failure::Refused(why)) => Some(tidy(&format!("the new container could not be started: {why}"))),
            Err(failure) => return Err(failure),
        };
    }
    if entry.stage == Stage::Creating {
        bad.get_or_insert_with(|| "it may lack networks that the old one was in".to_owned());
    }
    Ok(End::OldGone { id: new.id.clone(), bad })
}

async fn back(docker: &Docker, claim: &Claim, entry: &mut Entry, old: &Summary, pair: &Pair) -> Result<End, Failure> {
    if entry.stage == Stage::Stopping {
        // the Engine may yet be stopping it for a server that is no more, and would stop what is started now
        match stop(docker, entry).await {
            // what a guard lets nobody stop is not being stopped
            Ok(()) | Err(Failure::Forbidden(_)) => (),
            Err(failure) => return Err(failure),
        }
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
    let note = pair.stranger.then(|| {
        format!(
            "its name was taken in the meantime, so it is called {}",
            Replaced::new(&entry.name, &entry.old).old_name()
        )
    });
    if entry.ran && entry.stage != Stage::Creating {
        match docker.post(&format!("/containers/{}/start", old.id), None, SLOW).await {
            Ok(_) => (),
            // what a guard lets nobody start has not been stopped either
            Err(Failure::Forbidden(_)) if docker.inspect(&old.id).await?.state.running => (),
            // a port may be freed yet, and an Engine that shuts down comes back: until then it is not ended
            Err(Failure::Refused(why)) => {
                return Err(Failure::Refused(format!("the old container could not be started again: {why}")));
            }
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
                (error, _) => tidy(&format!("the new container could not be started: {error}")),
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
    let words = tidy(last["Output"].as_str().unwrap_or_default().trim());
    format!(" (exit code {}: {words:?})", last["ExitCode"].as_i64().unwrap_or_default())
}

/// What others wrote, fit for a log, a journal and an answer.
fn tidy(words: &str) -> String {
    let redacted: Vec<_> = words.lines().take(20).map(redact_line).collect();
    clean(&redacted.join("\n"), 300).into_owned()
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

/// What was said of each that could not be ended, so that the log has it once.
pub type Said = BTreeMap<String, String>;

/// Brings to their end the updates that `docker`'s journal holds and nobody works on, all at once. Gives what became of each, and whether
/// any is left that another try may end soon: what a guard forbids waits for whoever sets the guard.
pub async fn repair(docker: &Docker, said: &mut Said) -> (Vec<(Entry, End)>, bool) {
    let begun = match unclaimed(docker).await {
        Ok(begun) => begun,
        Err(failure) => {
            say(said, "", "", &failure.to_string());
            return (vec![], true);
        }
    };
    let settled = join_all(begun.into_iter().map(async |(id, claim)| (id, settle(docker, claim).await))).await;
    let (mut ended, mut left, mut soon) = (vec![], vec![], false);
    for (id, result) in settled {
        match result {
            Ok(end) => ended.extend(end),
            Err((failure, entry)) => {
                let name = entry.map(|entry| entry.name).unwrap_or_default();
                say(said, &id, &name, &failure.to_string());
                soon |= !matches!(failure, Failure::Forbidden(_));
                left.push(id);
            }
        }
    }
    said.retain(|id, _| left.contains(id));
    (ended, soon)
}

fn say(said: &mut Said, id: &str, container: &str, why: &str) {
    // the Engine names what it made anew for each try
    let gist = why.split(' ').filter(|word| word.len() < 64).collect::<Vec<_>>().join(" ");
    if said.get(id) != Some(&gist) {
        tracing::warn!(id, container, why, "an unfinished update cannot be ended yet");
        said.insert(id.to_owned(), gist);
    }
}

/// Those that have begun and that nobody works on.
async fn unclaimed(docker: &Docker) -> Result<Vec<(String, Claim)>, Failure> {
    let begun = looked_up(docker, |journal| {
        let begun = journal.begun()?;
        Ok((journal, begun))
    });
    let Some((journal, begun)) = begun.await? else { return Ok(vec![]) };
    let mut claims = vec![];
    for id in begun {
        claims.extend(journal.claim(&id).await?.map(|claim| (id, claim)));
    }
    Ok(claims)
}

/// What `look` finds in the journal; `None` if there is no journal.
async fn looked_up<T: Send + 'static>(
    docker: &Docker,
    look: impl FnOnce(Journal) -> Result<T, Failure> + Send + 'static,
) -> Result<Option<T>, Failure> {
    let Some(state) = docker.settings().state.clone() else { return Ok(None) };
    aside(move || Journal::find(&state)?.map(look).transpose()).await
}

/// The containers that are half of an update that has not ended: full id, and the name that it is about.
pub async fn halves(docker: &Docker) -> Result<BTreeMap<String, String>, Failure> {
    let halves = looked_up(docker, |journal| {
        let mut halves = BTreeMap::new();
        for id in journal.begun()? {
            // of one that cannot be read its file's name says whom it is about
            let entry =
                journal.read(&id).inspect_err(|failure| tracing::warn!(id, %failure, "an update is not known")).ok();
            let (name, new) = entry.flatten().map_or((String::new(), None), |entry| (entry.name, entry.new));
            halves.extend(new.map(|new| (new, name.clone())));
            halves.insert(id, name);
        }
        Ok(halves)
    });
    Ok(halves.await?.unwrap_or_default())
}

/// Whether a container is called what only half of an update is.
pub fn is_half(one: &Summary) -> bool {
    is_reserved(one.name())
}

/// Refuses a container that an update has yet to bring to an end: to act on one half spoils the other. What has the name of a half and
/// is in no journal belongs to no update, and may be acted on.
pub async fn at_rest(docker: &Docker, one: &Summary) -> Result<(), Failure> {
    let halves = halves(docker).await?;
    // one that was just made may not be in the journal by its id yet, and is by whom it replaces
    let of = half_of(one.name());
    let named = || halves.iter().find(|(id, _)| of.is_some_and(|short_id| id.starts_with(short_id)));
    let Some((_, name)) = halves.get_key_value(&one.id).or_else(named) else { return Ok(()) };
    let name = if name.is_empty() { one.name() } else { name };
    Err(Failure::Refused(format!(
        "an update of {name} is not ended: the server is ending it, and its log says how it goes; try again in a minute"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Settings, Socket};

    #[tokio::test]
    async fn a_half_is_what_the_journal_says_and_not_what_is_called_so() {
        let state = std::env::temp_dir().join(format!("halves-{}", std::process::id()));
        let docker = Docker::new(Settings { socket: Socket::None, state: Some(state.clone()), ..Settings::default() });
        let (old, new) = ("0123456789ab".to_owned() + &"0".repeat(52), "f".repeat(64));
        let one =
            |id: &str, name: &str| Summary { id: id.to_owned(), names: vec![format!("/{name}")], ..Summary::default() };
        let (web, successor) = (one(&old, "web"), one(&new, "web.smcp-new-0123456789ab"));
        for nobodys in [&web, &successor, &one(&new, "x.smcp-old-ffffffffffff"), &one(&new, "web.smcp-new-")] {
            at_rest(&docker, nobodys).await.unwrap();
        }
        let claim = Journal::open(&state).await.unwrap().claim(&old).await.unwrap().unwrap();
        let entry = Entry {
            stage: Stage::Creating,
            name: "web".to_owned(),
            old: old.clone(),
            // as it is while the Engine makes it
            new: None,
            image: "t/bb:1".to_owned(),
            ran: true,
            wait_seconds: 60,
            grace_seconds: 10,
            why: None,
        };
        claim.write(&entry).await.unwrap();
        for half in [&web, &successor, &one(&old, "web.smcp-old-0123456789ab")] {
            let why = at_rest(&docker, half).await.unwrap_err().to_string();
            assert!(why.contains("an update of web is not ended") && why.contains("try again in a minute"), "{why}");
        }
        let another = one(&"e".repeat(64), "web.smcp-new-eeeeeeeeeeee");
        at_rest(&docker, &another).await.unwrap();
        claim.write(&Entry { new: Some(new.clone()), ..entry }).await.unwrap();
        assert!(at_rest(&docker, &one(&new, "web")).await.is_err(), "whatever it is called by now");
        claim.close().await;
        at_rest(&docker, &web).await.unwrap();
        std::fs::remove_dir_all(&state).unwrap();
    }
}
