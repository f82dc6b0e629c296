//! One container in depth: what it is, what it may, how it is, and why it ended.

use std::{collections::BTreeMap, time::SystemTime};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LONGEST, ports, told, too_long};
use crate::tool::{Tool, Turn};
use engine::{
    detail::{Detail, HostConfig, Image},
    model::{self, COMPOSE, Summary, instant, known_time, short},
    stats::{self, Flow},
};
use facts::host::ago;
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::scope::Scope;
use text::table::Table;

/// The most of each list that others can make as long as they like.
const LISTED: usize = 40;
/// Labels are the longest of them.
const LABELS: usize = 20;
/// The last health checks that are shown; the Engine keeps five.
const PROBES: usize = 3;

/// One container in depth: command, image, limits, mounts, networks, security, health log, restarts, why it ended, and what it uses now.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Container {
    /// Its name, its id, or the beginning of no other's.
    name: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    pub name: String,
    /// The first twelve digits.
    pub id: String,
    /// Of compose.
    pub project: Option<String>,
    pub service: Option<String>,
    pub image: String,
    /// The first twelve digits.
    pub image_id: String,
    /// What a registry knows the image by; null: built here, or gone.
    pub image_digest: Option<String>,
    pub created: Option<String>,
    /// Secrets are redacted.
    pub command: Option<String>,
    pub working_directory: Option<String>,
    pub state: StateDetail,
    /// Null without a health check.
    pub health: Option<Health>,
    /// Null if it does not run.
    pub usage: Option<Usage>,
    pub limits: Limits,
    /// * is every address.
    pub ports: Vec<String>,
    pub networks: Table<Network>,
    pub mounts: Table<Mount>,
    pub security: Security,
    pub log_driver: Option<String>,
    /// Values are never told.
    pub environment_names: Vec<String>,
    /// Without compose's own.
    pub labels: BTreeMap<String, String>,
    /// What of the lists above is left out because there is too much of it.
    pub left_out: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "State")]
pub(crate) struct StateDetail {
    /// created, running, paused, restarting, removing, exited or dead.
    pub state: String,
    /// The last time.
    pub started: Option<String>,
    /// The last time; of one that runs, before it was started again.
    pub finished: Option<String>,
    pub uptime_seconds: Option<u64>,
    /// By its restart policy, since it was started by hand.
    pub restarts: u64,
    /// no, always, unless-stopped, on-failure or on-failure:times.
    pub restart_policy: String,
    /// Of one that has ended.
    pub exit_code: Option<i64>,
    /// Killed for want of memory. False can be wrong on cgroup v1.
    pub oom_killed: bool,
    /// Why it ended, as far as that can be told.
    pub ended: Option<String>,
    /// Why it could not be started.
    pub error: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Health {
    /// healthy, unhealthy or starting.
    pub health: String,
    /// In a row.
    pub failures: u64,
    pub check: Option<String>,
    pub interval_seconds: Option<f64>,
    /// The last few, the youngest last.
    pub log: Table<Probe>,
}

/// A health check.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Probe {
    pub started: Option<String>,
    /// 0 is healthy.
    pub exit_code: i64,
    pub output: String,
}

/// Rates are over window_seconds, other bytes that went somewhere since it was started.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Usage {
    pub window_seconds: Option<f64>,
    /// 1 is one core fully used.
    pub cpu_ratio: Option<f64>,
    /// Without cache that can be dropped.
    pub memory_bytes: Option<u64>,
    /// Of its limit, or of the machine's memory without one.
    pub memory_ratio: Option<f64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Null: it has no network of its own.
    pub received_bytes: Option<u64>,
    pub received_bytes_per_second: Option<f64>,
    pub sent_bytes: Option<u64>,
    pub sent_bytes_per_second: Option<f64>,
    /// From disks; null: none yet, or the kernel does not count.
    pub read_bytes: Option<u64>,
    pub read_bytes_per_second: Option<f64>,
    pub written_bytes: Option<u64>,
    pub written_bytes_per_second: Option<f64>,
}

/// Null is no limit.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Limits {
    pub memory_bytes: Option<u64>,
    /// CPUs' worth of time.
    pub cpus: Option<f64>,
    pub pids: Option<u64>,
}

/// Its place in a network.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Network {
    pub name: String,
    pub address: Option<String>,
    pub ipv6_address: Option<String>,
}

/// A mount.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Mount {
    /// bind, volume or tmpfs.
    pub kind: String,
    /// A volume's name, or a path of the machine.
    pub source: Option<String>,
    pub destination: String,
    pub writable: bool,
}

/// What brings it nearer to the machine, or keeps it away.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Security {
    /// As its maker or image said: null is root.
    pub user: Option<String>,
    /// It may all that root may.
    pub privileged: bool,
    /// Which of the machine's it shares: network, pid, ipc, uts, user.
    pub host_namespaces: Vec<String>,
    /// Which of another container's it shares, with that one's short id or name if it may be seen.
    pub joined_namespaces: Vec<String>,
    pub capabilities_added: Vec<String>,
    pub capabilities_dropped: Vec<String>,
    /// A mount gives it the socket of a container engine: as good as root on the machine.
    pub engine_socket: bool,
    pub devices: Vec<String>,
    pub no_new_privileges: bool,
    pub read_only_root: bool,
    /// Of seccomp, AppArmor and SELinux, where they are not the usual.
    pub options: Vec<String>,
}

impl Tool for Container {
    const NAME: &'static str = "container";
    const TITLE: &'static str = "Container";
    const SCOPE: Scope = Scope::DockerRead;
    const LANE: Lane = Lane::Docker;
    const SHARED: bool = true;
    const UNTRUSTED: Option<&'static str> =
        Some("all but times, figures and state: image, container and health check wrote it");
    const AUDITED: &'static [&'static str] = &["name"];
    type Output = Report;

    async fn run(self, turn: &Turn) -> Result<Report, Failure> {
        let docker = &turn.docker(Self::SCOPE);
        let found = docker.find(&self.name, Self::SCOPE, None).await?;
        let ids: &[&str] = if matches!(found.state.as_str(), "running" | "paused") { &[&found.id] } else { &[] };
        let (detail, image, used) =
            tokio::join!(docker.detail(&found.id), docker.image(&found.image_id), docker.usage(ids));
        // an image can be removed below a container that is stopped
        let image = image.unwrap_or_default();
        let now = turn.host().machine().kernel.wall();
        let mut detail = detail?;
        detail.state.error = docker.allow().without_others(&detail.state.error).into_owned();
        let seen = if detail.host_config.joined().next().is_some() { docker.containers().await? } else { vec![] };
        Ok(report(&found, &detail, &image, used.into_iter().next().flatten(), &seen, now))
    }
}

fn report(
    found: &Summary,
    detail: &Detail,
    image: &Image,
    used: Option<stats::Usage>,
    seen: &[Summary],
    now: SystemTime,
) -> Report {
    let (config, host) = (&detail.config, &detail.host_config);
    let mut left_out = LeftOut::default();
    let others = config.labels.iter().filter(|(key, _)| !key.starts_with(COMPOSE));

    let labels = left_out.of("labels", others.collect(), LABELS);
    let command: Vec<&String> =
        std::iter::once(&detail.path).filter(|path| !path.is_empty()).chain(&detail.args).collect();
    Report {
        name: found.name().to_owned(),
        id: found.short_id().to_owned(),
        project: found.project().map(|project| told(project, 64)),
        service: found.service().map(|service| told(service, 64)),
        image: told(if config.image.is_empty() { &found.image } else { &config.image }, 200),
        image_id: short(&detail.image).to_owned(),
        image_digest: image.repo_digests.first().map(|digest| told(digest, 200)),
        created: known_time(&detail.created),
        command: (!command.is_empty()).then(|| words(&command)),
        working_directory: known(&config.working_dir),
        state: state(detail, now),
        health: health(detail),
        usage: used.map(|used| usage(&used)),
        limits: limits(host),
        ports: left_out.of("ports", ports(&found.ports), LISTED),
        networks: networks(detail),
        mounts: mounts(detail),
        security: security(detail, seen, &mut left_out),
        log_driver: known(&host.log_config.kind),
        environment_names: left_out.of("environment_names", config.env.0.clone(), LISTED),
        labels: labels.into_iter().map(|(key, value)| (told(key, 100), told(value, 200))).collect(),
        left_out: left_out.told(),
    }
}

/// Lists that were too long.
#[derive(Default)]
struct LeftOut(Vec<String>);

impl LeftOut {
    fn of<T>(&mut self, what: &str, mut list: Vec<T>, most: usize) -> Vec<T> {
        if list.len() > most {
            self.0.push(format!("{} of {} {what}", list.len() - most, list.len()));
            list.truncate(most);
        }
        list
    }

    fn told(self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.join(", "))
    }
}

/// A command line: each argument by itself can be a secret because of the one before it.
fn words(arguments: &[&String]) -> String {
    let length: usize = arguments.iter().map(|argument| argument.len()).sum();
    if length > LONGEST { too_long(length) } else { told(&redact::redact_arguments(arguments), 500) }
}

fn known(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| told(text, 200))
}

fn state(detail: &Detail, now: SystemTime) -> StateDetail {
    let state = &detail.state;
    let has_ended = matches!(state.status.as_str(), "exited" | "stopped" | "dead" | "restarting");
    let runs = matches!(state.status.as_str(), "running" | "paused");
    let policy = &detail.host_config.restart_policy;
    let policy = match (policy.name.as_str(), policy.maximum_retry_count) {
        ("", _) => "no".to_owned(),
        (name, times) if times > 0 => format!("{name}:{times}"),
        (name, _) => name.to_owned(),
    };
    StateDetail {
        state: state.status.clone(),
        started: known_time(&state.started_at),
        finished: known_time(&state.finished_at),
        uptime_seconds: instant(&state.started_at).filter(|_| runs).map(|started| ago(now, started).as_secs()),
        restarts: detail.restart_count,
        restart_policy: policy,
        exit_code: has_ended.then_some(state.exit_code),
        oom_killed: state.oom_killed,
        ended: has_ended.then(|| ended(state, detail.host_config.memory)),
        error: known(&state.error),
    }
}

/// Why a container ended, by its code: above 128 it is a signal's, by the custom of shells.
fn ended(state: &model::ContainerState, memory: i64) -> String {
    let code = state.exit_code;
    if state.oom_killed {
        return format!("killed by the kernel for want of memory{}", limit(memory));
    }
    match code {
        0 => "it ended by itself, without an error".to_owned(),
        126 => "its command cannot be executed".to_owned(),
        127 => "its command was not found".to_owned(),
        // SIGKILL has several senders, and on cgroup v1 the Engine may not hear of the kernel
        137 => format!(
            "killed (SIGKILL): by a kill, by a stop that waited in vain, or by the kernel for want of memory{}",
            limit(memory)
        ),
        129..=159 => match signal(code - 128) {
            Some(name) => format!("ended by {name}"),
            None => format!("ended by signal {}", code - 128),
        },
        _ => format!("it ended by itself, with error {code}: its log may say why"),
    }
}

fn limit(memory: i64) -> String {
    if memory > 0 { format!(" (its limit is {:.1} MiB)", memory as f64 / f64::from(1 << 20)) } else { String::new() }
}

fn signal(number: i64) -> Option<&'static str> {
    Some(match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL (an instruction this CPU does not have)",
        6 => "SIGABRT (it gave up by itself)",
        7 => "SIGBUS",
        8 => "SIGFPE",
        11 => "SIGSEGV (a memory fault of its own)",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM (it was asked to stop)",
        _ => return None,
    })
}

fn health(detail: &Detail) -> Option<Health> {
    let status = detail.state.health()?;
    let health = detail.state.health.as_ref()?;
    let check = detail.config.healthcheck.as_ref();
    let test: Vec<&String> = check.map(|check| check.test.iter().skip(1).collect()).unwrap_or_default();
    let probes = health.log.iter().skip(health.log.len().saturating_sub(PROBES));
    Some(Health {
        health: status.to_owned(),
        failures: health.failing_streak,
        check: (!test.is_empty()).then(|| words(&test)),
        interval_seconds: check.map(|check| if check.interval == 0 { 30.0 } else { check.interval as f64 / 1e9 }),
        log: probes
            .map(|probe| Probe {
                started: known_time(&probe.start),
                exit_code: probe.exit_code,
                output: told(probe.output.trim_end(), 300),
            })
            .collect(),
    })
}

fn usage(used: &stats::Usage) -> Usage {
    let total = |flow: Option<Flow>| flow.map(|flow| flow.total);
    let rate = |flow: Option<Flow>| flow.and_then(|flow| flow.per_second);
    Usage {
        window_seconds: used.seconds,
        cpu_ratio: used.cpu,
        memory_bytes: used.memory,
        memory_ratio: used.memory_ratio,
        pids: used.pids,
        received_bytes: total(used.received),
        received_bytes_per_second: rate(used.received),
        sent_bytes: total(used.sent),
        sent_bytes_per_second: rate(used.sent),
        read_bytes: total(used.read),
        read_bytes_per_second: rate(used.read),
        written_bytes: total(used.written),
        written_bytes_per_second: rate(used.written),
    }
}

fn limits(host: &HostConfig) -> Limits {
    let positive = |limit: i64| u64::try_from(limit).ok().filter(|limit| *limit > 0);
    Limits { memory_bytes: positive(host.memory), cpus: host.cpus(), pids: positive(host.pids_limit) }
}

fn networks(detail: &Detail) -> Table<Network> {
    let networks = detail.network_settings.networks.iter();
    networks
        .map(|(name, endpoint)| Network {
            name: told(name, 100),
            address: known(&endpoint.ip_address),
            ipv6_address: known(&endpoint.ipv6_address),
        })
        .collect()
}

fn mounts(detail: &Detail) -> Table<Mount> {
    let mounts = detail.mounts.iter().map(|mount| Mount {
        kind: mount.kind.clone(),
        source: known(if mount.name.is_empty() { &mount.source } else { &mount.name }),
        destination: told(&mount.destination, 200),
        writable: mount.writable,
    });
    let in_memory = detail.host_config.tmpfs.iter().map(|(destination, options)| Mount {
        kind: "tmpfs".to_owned(),
        source: None,
        destination: told(destination, 200),
        writable: !options.split(',').any(|option| option == "ro"),
    });
    mounts.chain(in_memory).collect()
}

fn security(detail: &Detail, seen: &[Summary], left_out: &mut LeftOut) -> Security {
    let host = &detail.host_config;
    let shared = host.namespaces().into_iter().filter(|(_, mode)| *mode == "host").map(|(name, _)| name.to_owned());
    let joined = host.joined().map(|(name, other)| {
        let is = |one: &Summary| one.has_name(other) || other.len() >= 12 && one.id.starts_with(other);
        match seen.iter().any(is) {
            true if other.len() == 64 => format!("{name} of {}", short(other)),
            true => format!("{name} of {}", told(other, 64)),
            false => format!("{name} of another container"),
        }
    });
    let mut list = |what: &str, list: &[String]| {
        let list: Vec<String> = list.iter().map(|one| told(one, 64)).collect();
        left_out.of(what, list, LISTED)
    };
    let nnp = |option: &&String| option.starts_with("no-new-privileges");
    let on = |option: &&String| nnp(option) && !option.ends_with("false");
    let devices: Vec<String> = host.devices.iter().map(|device| device.path_on_host.clone()).collect();
    let options: Vec<String> =
        host.security_opt.iter().filter(|option| !nnp(option)).map(|option| named(option)).collect();
    Security {
        user: known(&detail.config.user),
        privileged: host.privileged,
        host_namespaces: shared.collect(),
        joined_namespaces: joined.collect(),
        capabilities_added: list("capabilities_added", &host.cap_add),
        capabilities_dropped: list("capabilities_dropped", &host.cap_drop),
        engine_socket: detail.mounts.iter().any(|mount| holds_socket(&mount.source)),
        devices: list("devices", &devices),
        no_new_privileges: host.security_opt.iter().any(|option| on(&option)),
        read_only_root: host.readonly_rootfs,
        options: list("options", &options),
    }
}

/// A profile of seccomp's own stands there with all its text.
fn named(option: &str) -> String {
    match option.split_once(['=', ':']) {
        Some((kind, profile)) if profile.trim_start().starts_with('{') => format!("{kind}=custom"),
        _ => option.to_owned(),
    }
}

/// Whether what is mounted is, or has in it, the socket of a container engine.
fn holds_socket(source: &str) -> bool {
    let path = source.trim_end_matches('/');
    let sockets = ["docker.sock", "podman.sock", "containerd.sock", "crio.sock"];
    let directories =
        ["", "/run", "/var", "/var/run", "/run/podman", "/run/containerd", "/var/run/podman", "/var/run/containerd"];
    source.starts_with('/') && (sockets.iter().any(|socket| path.ends_with(socket)) || directories.contains(&path))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(detail: serde_json::Value) -> Report {
        let detail: Detail = serde_json::from_value(detail).unwrap();
        let named = |id: &str, name: &str| Summary { id: id.into(), names: vec![name.into()], ..Summary::default() };
        let seen = [named(&"0123456789abcdef".repeat(4), "/web"), named("1", "/db")];
        report(&Summary::default(), &detail, &Image::default(), None, &seen, SystemTime::UNIX_EPOCH)
    }

    fn why(state: serde_json::Value) -> String {
        of(json!({ "State": state, "HostConfig": { "Memory": 16 << 20 } })).state.ended.unwrap()
    }

    #[test]
    fn why_it_ended_is_said_as_far_as_it_is_known() {
        let ended = |code: i64, oom: bool| why(json!({ "Status": "exited", "ExitCode": code, "OOMKilled": oom }));
        assert_eq!(ended(137, true), "killed by the kernel for want of memory (its limit is 16.0 MiB)");
        // the main process may have lived on and ended otherwise
        assert!(ended(1, true).contains("want of memory"));
        let unsure = ended(137, false);
        assert!(unsure.contains("SIGKILL") && unsure.contains("or by the kernel") && unsure.contains("16.0 MiB"));
        assert!(ended(0, false).contains("without an error"));
        assert!(ended(139, false).contains("SIGSEGV"));
        assert_eq!(ended(162 - 10, false), "ended by signal 24");
        assert!(ended(255, false).contains("error 255"));
        let runs = of(json!({ "State": { "Status": "running", "ExitCode": 0 } }));
        assert_eq!((runs.state.ended, runs.state.exit_code), (None, None));
    }

    #[test]
    fn nothing_told_is_nothing_claimed() {
        let report = of(json!({}));
        assert_eq!((report.command, report.created, report.state.started), (None, None, None));
        assert_eq!((report.limits.memory_bytes, report.limits.cpus, report.limits.pids), (None, None, None));
        assert_eq!((report.state.restart_policy.as_str(), report.left_out), ("no", None));
    }

    #[test]
    fn what_brings_it_near_the_machine_is_seen() {
        let report = of(json!({
            "HostConfig": {
                "Privileged": true, "PidMode": "host", "NetworkMode": "container:abc", "CapAdd": ["SYS_ADMIN"],
                "SecurityOpt": ["no-new-privileges:false", "seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}", "apparmor=unconfined"],
            },
            "Mounts": [{ "Type": "bind", "Source": "/var/run/docker.sock", "Destination": "/x", "RW": false }],
        }));
        let security = report.security;
        assert!(security.privileged && security.engine_socket && !security.no_new_privileges);
        assert_eq!((&security.host_namespaces[..], security.user), (&["pid".to_owned()][..], None));
        assert_eq!(security.options, ["seccomp=custom", "apparmor=unconfined"]);
        let id = "0123456789abcdef".repeat(4);
        let joins = json!({ "HostConfig": {
            "NetworkMode": format!("container:{id}"), "IpcMode": "container:db", "PidMode": "container:hidden", "UTSMode": "",
        } });
        let joined = ["network of 0123456789ab", "pid of another container", "ipc of db"];
        assert_eq!(of(joins).security.joined_namespaces, joined);
        for (source, holds) in [
            ("/", true),
            ("/run/", true),
            ("/srv/run", false),
            ("/home/x/docker.sock", true),
            ("run", false),
            ("", false),
        ] {
            assert_eq!(holds_socket(source), holds, "{source}");
        }
        assert!(of(json!({ "HostConfig": { "SecurityOpt": ["no-new-privileges"] } })).security.no_new_privileges);
    }

    #[test]
    fn long_lists_say_what_is_left_out() {
        let labels: BTreeMap<String, String> = (0..500).map(|n| (format!("l{n}"), "x".repeat(300))).collect();
        let env: Vec<String> = (0..500).map(|n| format!("V{n}=x")).collect();
        let report = of(json!({ "Config": { "Labels": labels, "Env": env } }));
        assert_eq!(report.labels.len(), LABELS);
        assert!(report.labels.values().all(|value| value.chars().count() == 200));
        assert_eq!(report.left_out.unwrap(), "480 of 500 labels, 460 of 500 environment_names");
    }

    #[test]
    fn a_secret_in_the_command_is_not_told() {
        let report = of(json!({ "Path": "db", "Args": ["--password", "Xk9vQ2mZ7pLw", "--port", "1"] }));
        assert_eq!(report.command.unwrap(), "db --password [redacted] --port 1");
        let long = of(json!({ "Path": "db", "Args": ["x".repeat(1 << 20)] }));
        assert_eq!(long.command.unwrap(), "(1048578 bytes, too long to be shown)");
    }
}
