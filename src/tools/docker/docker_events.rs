//! What happened to containers, images, volumes and networks, and when?

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    tool::{Tool, Turn},
    window::{told, window},
};
use engine::{
    Docker, PATIENCE,
    allow::Allow,
    model::{Image, Network, Summary, Volumes, digits, or_default, short},
};
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::{grant::matches, scope::Scope};
use text::{page::Limit, table::Table};

/// How far back, unless the caller says otherwise.
const HOUR: Duration = Duration::from_secs(3600);

/// How long the Engine has to tell them all.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// The longest event that is read, in bytes: labels make them long.
const LONGEST: usize = 1 << 20;

/// What the Engine reports of containers, images, volumes and networks, oldest first, without the noise of health probes. Docker remembers
/// 256 events at most.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DockerEvents {
    /// RFC 3339, or how long ago. Default `1h`.
    since: Option<String>,
    /// The same. Default now.
    until: Option<String>,
    /// Such as container, image, volume or network.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Such as die, oom, start or health_status.
    action: Option<String>,
    /// Only what is called this; `*` for any text.
    name: Option<String>,
    /// The newest of them.
    #[serde(default)]
    limit: Limit<50, 500>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// RFC 3339.
    pub since: String,
    pub until: String,
    /// Events that fit.
    pub matching: usize,
    /// What is not here, and how to have it.
    pub left_out: Option<String>,
    pub events: Table<Row>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Row {
    pub time: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub action: String,
    /// What it happened to; an id where there is no name.
    pub name: String,
    /// Such as the exit code, the signal, the image, or the container.
    pub detail: Option<String>,
}

impl Tool for DockerEvents {
    const NAME: &'static str = "docker_events";
    const TITLE: &'static str = "Docker events";
    const SCOPE: Scope = Scope::DockerRead;
    const LANE: Lane = Lane::Docker;
    const UNTRUSTED: Option<&'static str> = Some("name, detail");
    const AUDITED: &'static [&'static str] = &["since", "until", "type", "action", "name", "limit"];
    type Output = Report;

    async fn run(self, turn: &Turn) -> Result<Report, Failure> {
        let now = turn.host().machine().kernel.wall();
        let (since, until) = window(self.since.as_deref(), self.until.as_deref(), now)?;
        let until = until.unwrap_or(now).min(now);
        let since = since.or_else(|| until.checked_sub(HOUR)).unwrap_or(UNIX_EPOCH);
        ask(&turn.docker(Self::SCOPE), &self, since, until, turn.stop()).await
    }
}

async fn ask(
    docker: &Docker,
    request: &DockerEvents,
    since: SystemTime,
    until: SystemTime,
    stop: &CancellationToken,
) -> Result<Report, Failure> {
    let allow = docker.allow();
    let all = docker.all_containers().await?;
    let seen = all.iter().filter(|one| allow.sees(one));
    let mut sieve = Sieve {
        request,
        allow,
        until,
        seen: seen.map(|one| (one.id.clone(), one.name().to_owned())).collect(),
        shown: if allow.shows_all() { None } else { Some(Shown::ask(docker, &all).await?) },
        health: HashMap::new(),
        matching: 0,
        kept: VecDeque::new(),
    };
    let since_when = unix(since);
    let mut stream = docker.stream(&format!("/events?since={since_when}&until={}", unix(until)), PATIENCE).await?;
    if stream.is_podman() {
        // it tells nothing where until is past, and ends by itself where it is told to; Docker knows no such word and would go on
        stream = docker.stream(&format!("/events?since={since_when}&stream=false"), PATIENCE).await?;
    }
    let deadline = Instant::now() + TOLD_WITHIN;
    let mut line = Vec::new();
    let (mut late, mut is_long, mut long) = (false, false, 0_usize);
    loop {
        let next = tokio::select! {
            () = stop.cancelled() => return Err(Failure::Cancelled),
            next = tokio::time::timeout_at(deadline, stream.next()) => next,
        };
        let piece = match next {
            Ok(Ok(Some(piece))) => piece,
            Ok(Ok(None)) => break,
            Ok(Err(failure)) => return Err(failure),
            Err(_) => {
                late = true;
                break;
            }
        };
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            // whoever makes a container gives it its labels: one that is too long costs only itself
            is_long |= line.len() + part.len() > LONGEST;
            if !is_long {
                line.extend_from_slice(part);
            }
            if part.ends_with(b"\n") {
                if is_long {
                    long += 1;
                } else {
                    sieve.line(&line);
                }
                line.clear();
                is_long = false;
            }
        }
    }
    if !late {
        sieve.line(&line);
    }
    let Sieve { matching, kept, .. } = sieve;
    let mut left_out = Vec::new();
    if matching > kept.len() {
        let until = kept.front().map_or(String::new(), |(time, _)| told(*time));
        left_out
            .push(format!("{} older events: ask with a larger limit, or with until {until}", matching - kept.len()));
    }
    if long > 0 {
        left_out.push(format!("{long} events that are too long to be read"));
    }
    if late {
        left_out.push(format!("what the Engine did not tell within {} s: ask for less", TOLD_WITHIN.as_secs()));
    }
    Ok(Report {
        since: told(since),
        until: told(until),
        matching,
        left_out: (!left_out.is_empty()).then(|| left_out.join("; ")),
        events: kept.into_iter().map(|(_, row)| row).collect(),
    })
}

fn unix(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}.{:09}", since.as_secs(), since.subsec_nanos())
}

/// One event, as the Engine tells it.
#[derive(Debug, Default, Deserialize)]
struct Event {
    #[serde(default, rename = "Type", deserialize_with = "or_default")]
    kind: String,
    #[serde(default, rename = "Action", deserialize_with = "or_default")]
    action: String,
    #[serde(default, rename = "Actor", deserialize_with = "or_default")]
    actor: Actor,
    #[serde(default, deserialize_with = "or_default")]
    time: u64,
    #[serde(default, rename = "timeNano", deserialize_with = "or_default")]
    time_nano: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Actor {
    #[serde(default, rename = "ID", deserialize_with = "or_default")]
    id: String,
    /// Among them the labels.
    #[serde(default, deserialize_with = "or_default")]
    attributes: BTreeMap<String, String>,
}

/// What the lists show of what is no container, where a rule hides some of it.
#[derive(Debug, Default)]
struct Shown {
    /// Names.
    volumes: HashSet<String>,
    /// Full ids.
    networks: HashSet<String>,
    /// The digits of their ids, and their names.
    images: HashSet<String>,
}

impl Shown {
    async fn ask(docker: &Docker, all: &[Summary]) -> Result<Self, Failure> {
        let allow = docker.allow();
        let (volumes, networks, images) = futures_util::future::try_join3(
            docker.get::<Volumes>("/volumes"),
            docker.get::<Vec<Network>>("/networks"),
            docker.get::<Vec<Image>>("/images/json"),
        )
        .await?;
        let shows_volume = |name: &String| allow.shows_what_is_of(all.iter().filter(|one| one.has_volume(name)));
        let shows_image = |image: &Image| allow.shows_what_is_of(all.iter().filter(|one| one.is_of(image)));
        let images = images.iter().filter(|image| shows_image(image));
        Ok(Self {
            volumes: volumes.volumes.into_iter().map(|one| one.name).filter(shows_volume).collect(),
            networks: networks.into_iter().filter(|one| allow.shows_network(one, all)).map(|one| one.id).collect(),
            images: images.flat_map(|image| image.names().chain([digits(&image.id)])).map(str::to_owned).collect(),
        })
    }

    /// Whether it is of something that is listed. Of what is gone nobody knows any more whose it was.
    fn has(&self, event: &Event) -> bool {
        let id = &event.actor.id;
        // Podman's volumes have no id
        let name = if id.is_empty() { event.actor.attributes.get("name").unwrap_or(id) } else { id };
        match event.kind.as_str() {
            "volume" => self.volumes.contains(name),
            "network" => self.networks.contains(id),
            "image" => self.images.contains(digits(id)),
            // of nobody's containers; anything else may bear a name of theirs
            "builder" | "daemon" | "node" | "plugin" => true,
            _ => false,
        }
    }
}

/// Keeps what is asked for and may be seen, the newest of it.
struct Sieve<'a> {
    request: &'a DockerEvents,
    allow: &'a Allow,
    until: SystemTime,
    /// The containers that may be seen, by their ids.
    seen: HashMap<String, String>,
    /// `None`: all else may be.
    shown: Option<Shown>,
    /// What each container's health was last said to be.
    health: HashMap<String, String>,
    matching: usize,
    kept: VecDeque<(SystemTime, Row)>,
}

impl Sieve<'_> {
    fn line(&mut self, line: &[u8]) {
        // one that makes no sense costs only itself
        let Ok(event) = serde_json::from_slice::<Event>(line) else { return };
        if event.action.is_empty() || is_noise(&event.action) || !self.may_be_seen(&event) {
            return;
        }
        if event.action.starts_with("health_status") {
            let said = self.health.insert(event.actor.id.clone(), health(&event).to_owned());
            if said.is_some_and(|said| said == health(&event)) {
                return;
            }
        }
        let time =
            if event.time_nano > 0 { Duration::from_nanos(event.time_nano) } else { Duration::from_secs(event.time) };
        let time = UNIX_EPOCH.checked_add(time).unwrap_or(UNIX_EPOCH);
        let name = self.name(&event);
        if time > self.until || !self.is_wanted(&event, &name) {
            return;
        }
        self.matching += 1;
        let detail = self.detail(&event);
        let row = Row { time: told(time), kind: event.kind, action: event.action, name, detail };
        self.kept.push_back((time, row));
        if self.kept.len() > self.request.limit.rows() {
            self.kept.pop_front();
        }
    }

    /// Whether it is of something that the caller may see. Of a container that is gone its name and labels of then decide.
    fn may_be_seen(&self, event: &Event) -> bool {
        let Actor { id, attributes } = &event.actor;
        let permits = |name: Option<&String>| self.allow.sees_one(name.map_or("", String::as_str), attributes);
        if event.kind == "container" {
            let old_name = attributes.get("oldName").map(|name| name.strip_prefix('/').unwrap_or(name).to_owned());
            let was = old_name.is_none_or(|name| permits(Some(&name)));
            return self.seen.contains_key(id) || permits(attributes.get("name")) && was;
        }
        let Some(shown) = &self.shown else { return true };
        // who joined a network or mounted a volume; an image's labels stand there as well
        let joined = attributes.get("container").filter(|_| matches!(event.kind.as_str(), "network" | "volume"));
        joined.map_or_else(|| shown.has(event), |container| self.seen.contains_key(container))
    }

    fn is_wanted(&self, event: &Event, name: &str) -> bool {
        let DockerEvents { kind, action, name: wanted, .. } = self.request;
        let of_action = |action: &String| {
            event.action == *action
                || event.action.strip_prefix(action.as_str()).is_some_and(|rest| rest.starts_with(':'))
        };
        kind.as_ref().is_none_or(|kind| event.kind == *kind)
            && action.as_ref().is_none_or(of_action)
            && wanted.as_ref().is_none_or(|wanted| {
                let id = wanted.len() >= 12 && event.actor.id.starts_with(wanted.as_str());
                id || matches(wanted, name) || matches(wanted, &event.actor.id)
            })
    }

    fn name(&self, event: &Event) -> String {
        let Actor { id, attributes } = &event.actor;
        // a name of 64 digits is nobody's own
        let plain = |id: &str| if id.len() >= 64 { short(id).to_owned() } else { id.to_owned() };
        attributes.get("name").filter(|name| !name.is_empty()).map_or_else(|| plain(id), |name| plain(name))
    }

    /// What else is worth knowing; never a label.
    fn detail(&self, event: &Event) -> Option<String> {
        let given = &event.actor.attributes;
        let of = |key: &str| given.get(key).filter(|value| !value.is_empty());
        let mut parts = Vec::new();
        if event.kind == "container" {
            let exit = of("exitCode")
                .or_else(|| of("containerExitCode"))
                .filter(|_| event.action.starts_with("die") || event.action == "died");
            parts.extend(exit.map(|code| format!("exit code {code}")));
            parts.extend(of("signal").map(|signal| format!("signal {signal}")));
            parts.extend(of("oldName").map(|name| format!("was {}", name.trim_start_matches('/'))));
            let made = matches!(event.action.as_str(), "create" | "update");
            parts.extend(of("image").filter(|_| made).map(|image| format!("image {image}")));
            parts.extend(of("health_status").filter(|_| event.action == "health_status").cloned());
        } else if let Some(container) = of("container") {
            let name = self.seen.get(container).map_or_else(|| short(container), String::as_str);
            parts.push(format!("container {name}"));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// What a health probe does every few seconds.
fn is_noise(action: &str) -> bool {
    action.starts_with("exec_") || action == "exec"
}

/// What an event says of a container's health: Docker in the action, Podman beside it.
fn health(event: &Event) -> &str {
    let said = event.action.split_once(": ").map(|(_, health)| health);
    said.or_else(|| event.actor.attributes.get("health_status").map(String::as_str)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use engine::allow::{Rule, Rules};

    fn told_of(request: serde_json::Value, rule: Option<&str>, events: &[serde_json::Value]) -> (usize, Vec<String>) {
        let request: DockerEvents = serde_json::from_value(request).unwrap();
        let rule = rule.map(|name| (Scope::DockerRead, Rule { names: vec![name.into()], labels: vec![] }));
        let allow = Allow::from(Rules(rule.into_iter().collect()));
        let seen = HashMap::from([("w1".to_owned(), "web".to_owned())]);
        let of = |name: &str| HashSet::from([name.to_owned()]);
        let shown = Shown { volumes: of("vol"), networks: of("n2"), images: of("app:1") };
        let mut sieve = Sieve {
            request: &request,
            allow: &allow,
            until: SystemTime::now(),
            seen,
            shown: (!allow.shows_all()).then_some(shown),
            health: HashMap::new(),
            matching: 0,
            kept: VecDeque::new(),
        };
        for event in events {
            sieve.line(event.to_string().as_bytes());
        }
        let row = |(_, row): &(SystemTime, Row)| {
            format!("{} {} {} {}", row.kind, row.action, row.name, row.detail.as_deref().unwrap_or("-"))
        };
        (sieve.matching, sieve.kept.iter().map(row).collect())
    }

    fn event(kind: &str, action: &str, id: &str, attributes: serde_json::Value) -> serde_json::Value {
        json!({ "Type": kind, "Action": action, "Actor": { "ID": id, "Attributes": attributes }, "timeNano": 1_u64 })
    }

    #[test]
    fn probes_are_left_out_and_changes_of_health_stay() {
        let of = |action: &str| event("container", action, "w1", json!({ "name": "web" }));
        let podman =
            |health: &str| event("container", "health_status", "p1", json!({ "name": "pod", "health_status": health }));
        let events = [
            of("exec_create: /bin/check"),
            of("exec_start: /bin/check"),
            of("exec_die"),
            of("health_status: healthy"),
            of("health_status: healthy"),
            of("health_status: unhealthy"),
            podman("healthy"),
            podman("healthy"),
        ];
        let expected = [
            "container health_status: healthy web -",
            "container health_status: unhealthy web -",
            "container health_status pod healthy",
        ];
        assert_eq!(told_of(json!({}), None, &events), (3, expected.map(str::to_owned).to_vec()));
        assert_eq!(told_of(json!({ "action": "health_status" }), None, &events).0, 3);
    }

    #[test]
    fn what_may_not_be_seen_happened_to_nobody() {
        let events = [
            event("container", "die", "w1", json!({ "name": "web", "exitCode": "137", "secret": "label" })),
            event("container", "die", "d1", json!({ "name": "db", "exitCode": "1" })),
            event("container", "rename", "x1", json!({ "name": "web", "oldName": "/db" })),
            event("network", "connect", "n1", json!({ "name": "net", "container": "w1" })),
            event("network", "connect", "n1", json!({ "name": "net", "container": "d1" })),
            event("volume", "create", "vol", json!({ "driver": "local" })),
            event("volume", "create", "hidden", json!({ "driver": "local" })),
            event("volume", "create", "", json!({ "name": "vol" })),
            event("volume", "create", "", json!({ "name": "hidden" })),
            event("network", "create", "n1", json!({ "name": "net" })),
            event("network", "create", "n2", json!({ "name": "net" })),
            event("image", "pull", "app:1", json!({ "name": "app" })),
            event("image", "pull", "db:1", json!({ "name": "db", "container": "w1" })),
            event("secret", "create", "s1", json!({ "name": "db-password" })),
            event("daemon", "reload", "d", json!({ "name": "machine" })),
        ];
        let expected = [
            "container die web exit code 137",
            "network connect net container web",
            "volume create vol -",
            "volume create vol -",
            "network create net -",
            "image pull app -",
            "daemon reload machine -",
        ];
        assert_eq!(told_of(json!({}), Some("web"), &events).1, expected);
        assert_eq!(told_of(json!({}), None, &events).0, events.len());
    }

    #[test]
    fn the_newest_are_kept_and_filters_hold() {
        let events: Vec<_> = (0..9)
            .map(|n| event("container", "start", &format!("c{n}"), json!({ "name": format!("web-{n}") })))
            .collect();
        let (matching, rows) = told_of(json!({ "limit": 2 }), None, &events);
        assert_eq!((matching, rows), (9, vec!["container start web-7 -".into(), "container start web-8 -".into()]));
        assert_eq!(told_of(json!({ "name": "web-3" }), None, &events).0, 1);
        assert_eq!(told_of(json!({ "name": "web-*" }), None, &events).0, 9);
        assert_eq!(told_of(json!({ "type": "image" }), None, &events).0, 0);
        assert_eq!(told_of(json!({ "action": "star" }), None, &events).0, 0);
        assert_eq!(told_of(json!({}), None, &[json!({}), json!([]), json!("x"), json!({ "Actor": null })]).0, 0);
    }
}
