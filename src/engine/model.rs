//! What is read of the Engine's answers. Everything but an id may be missing or null: engines of ten years and Podman differ.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Deserializer};

/// A value, or its default where the Engine says `null`.
pub fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

/// One of `GET /containers/json`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Summary {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Each with a slash before it; Podman has none.
    #[serde(default, deserialize_with = "or_default")]
    pub names: Vec<String>,
    /// The image as it was asked for.
    #[serde(default, deserialize_with = "or_default")]
    pub image: String,
    /// The image that it was.
    #[serde(default, rename = "ImageID", deserialize_with = "or_default")]
    pub image_id: String,
    /// `running`, `exited` and so on; Podman has words of its own.
    #[serde(default, deserialize_with = "or_default")]
    pub state: String,
    /// For reading: `Up 2 hours (healthy)`.
    #[serde(default, deserialize_with = "or_default")]
    pub status: String,
    /// When it was made, in seconds since 1970.
    #[serde(default, deserialize_with = "or_default")]
    pub created: i64,
    /// Its labels.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// Its ports.
    #[serde(default, deserialize_with = "or_default")]
    pub ports: Vec<Port>,
    /// Its mounts. `None`: not told; Podman before 4.0 tells none of any container.
    #[serde(default)]
    pub mounts: Option<Vec<Mount>>,
    /// Its networks.
    #[serde(default, deserialize_with = "or_default")]
    pub network_settings: Networks,
}

impl Summary {
    /// The mounts that are told.
    pub fn told_mounts(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter().flatten()
    }
}

/// The mounts that an inspection tells; `None` if it tells none, which is not the same as an empty list.
pub fn mounts_of(inspect: &serde_json::Value) -> Option<Vec<Mount>> {
    Deserialize::deserialize(&inspect["Mounts"]).ok()
}

/// A port of a container.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
pub struct Port {
    /// The address it is published on.
    #[serde(default, rename = "IP", deserialize_with = "or_default")]
    pub ip: String,
    /// Inside.
    #[serde(default, deserialize_with = "or_default")]
    pub private_port: u16,
    /// Outside, if it is published.
    #[serde(default)]
    pub public_port: Option<u16>,
    /// `tcp`, `udp`, `sctp`.
    #[serde(default, rename = "Type", deserialize_with = "or_default")]
    pub protocol: String,
}

/// A mount of a container.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
pub struct Mount {
    /// `bind`, `volume`, `tmpfs`.
    #[serde(default, rename = "Type", deserialize_with = "or_default")]
    pub kind: String,
    /// The volume's name.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// On the machine.
    #[serde(default, deserialize_with = "or_default")]
    pub source: String,
    /// In the container.
    #[serde(default, deserialize_with = "or_default")]
    pub destination: String,
    /// Whether it may be written.
    #[serde(default, rename = "RW", deserialize_with = "or_default")]
    pub writable: bool,
}

/// The networks of a container, by name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Networks {
    /// Each with its address there.
    #[serde(default, deserialize_with = "or_default")]
    pub networks: BTreeMap<String, Endpoint>,
}

/// A container's place in a network.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Endpoint {
    /// The network's id.
    #[serde(default, rename = "NetworkID", deserialize_with = "or_default")]
    pub network_id: String,
    /// Its IPv4 address.
    #[serde(default, rename = "IPAddress", deserialize_with = "or_default")]
    pub ip_address: String,
    /// Its global IPv6 address.
    #[serde(default, rename = "GlobalIPv6Address", deserialize_with = "or_default")]
    pub ipv6_address: String,
}

/// What is read of `GET /containers/{id}/json`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspect {
    /// 64 hexadecimal digits.
    pub id: String,
    /// With a slash before it.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// What it does.
    #[serde(default, deserialize_with = "or_default")]
    pub state: ContainerState,
    /// How often its restart policy has started it again.
    #[serde(default, deserialize_with = "or_default")]
    pub restart_count: u64,
}

/// A container's state.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerState {
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited`, `dead`; Podman has more.
    #[serde(default, deserialize_with = "or_default")]
    pub status: String,
    /// Also while it is paused or about to be started again.
    #[serde(default, deserialize_with = "or_default")]
    pub running: bool,
    /// Frozen.
    #[serde(default, deserialize_with = "or_default")]
    pub paused: bool,
    /// Of its first process, in the Engine's PID namespace; 0 if it does not run.
    #[serde(default, deserialize_with = "or_default")]
    pub pid: u32,
    /// Killed for want of memory; may stay false on cgroup v1.
    #[serde(default, rename = "OOMKilled", deserialize_with = "or_default")]
    pub oom_killed: bool,
    /// Of the last time it ended.
    #[serde(default, deserialize_with = "or_default")]
    pub exit_code: i64,
    /// Why it could not be started.
    #[serde(default, deserialize_with = "or_default")]
    pub error: String,
    /// RFC 3339; the year 1 for never.
    #[serde(default, deserialize_with = "or_default")]
    pub started_at: String,
    /// RFC 3339; the year 1 for never.
    #[serde(default, deserialize_with = "or_default")]
    pub finished_at: String,
    /// Its health check, if it has one.
    #[serde(default)]
    pub health: Option<Health>,
}

/// What a health check has found.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Health {
    /// `starting`, `healthy`, `unhealthy`; `none` or nothing without a check.
    #[serde(default, deserialize_with = "or_default")]
    pub status: String,
    /// Failures in a row.
    #[serde(default, deserialize_with = "or_default")]
    pub failing_streak: u64,
    /// The last few checks, the youngest last.
    #[serde(default, deserialize_with = "or_default")]
    pub log: Vec<Probe>,
}

/// One check.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Probe {
    /// RFC 3339.
    #[serde(default, deserialize_with = "or_default")]
    pub start: String,
    /// 0 is healthy.
    #[serde(default, deserialize_with = "or_default")]
    pub exit_code: i64,
    /// What it said.
    #[serde(default, deserialize_with = "or_default")]
    pub output: String,
}

impl ContainerState {
    /// What the health check says; `None` without one.
    pub fn health(&self) -> Option<&str> {
        let status = self.health.as_ref()?.status.as_str();
        (!matches!(status, "" | "none")).then_some(status)
    }
}

/// A time of the Engine's; `None` for the year 1, by which it means never. Podman and health checks write local time with its offset.
pub fn instant(time: &str) -> Option<SystemTime> {
    let at = time.rfind(['Z', 'z', '+', '-']).filter(|at| *at >= 19)?;
    let (clock, zone) = time.split_at(at);
    let clock = humantime::parse_rfc3339(&format!("{clock}Z")).ok()?;
    if matches!(zone, "Z" | "z") {
        return Some(clock);
    }
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let offset =
        hours.parse::<u64>().ok()?.checked_mul(3600)?.checked_add(minutes.parse::<u64>().ok()?.checked_mul(60)?)?;
    let offset = Duration::from_secs(offset);
    let time = if zone.starts_with('+') { clock.checked_sub(offset) } else { clock.checked_add(offset) };
    // what is written as RFC 3339 lies between these
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_800);
    time.filter(|time| (SystemTime::UNIX_EPOCH..end).contains(time))
}

/// The same as it is told: RFC 3339, UTC, to the second.
pub fn known_time(time: &str) -> Option<String> {
    instant(time).map(|time| humantime::format_rfc3339_seconds(time).to_string())
}

/// One of `GET /images/json`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Image {
    /// `sha256:` and 64 hexadecimal digits; Podman leaves out the word.
    pub id: String,
    /// `repository:tag`; `<none>:<none>` where it has none.
    #[serde(default, deserialize_with = "or_default")]
    pub repo_tags: Vec<String>,
    /// `repository@sha256:…`.
    #[serde(default, deserialize_with = "or_default")]
    pub repo_digests: Vec<String>,
    /// When it was built, in seconds since 1970.
    #[serde(default, deserialize_with = "or_default")]
    pub created: i64,
    /// With what it shares, in bytes; -1 where it is not known.
    #[serde(default)]
    pub size: Option<i64>,
    /// Of that what other images have too; -1 where it is not known.
    #[serde(default)]
    pub shared_size: Option<i64>,
    /// How many containers use it; -1 where it is not known.
    #[serde(default)]
    pub containers: Option<i64>,
}

impl Image {
    /// What it is called: its tags, without any its digests. Nothing for one that has lost its names (it is dangling).
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let real = |name: &&str| !name.starts_with("<none>");
        let tags = self.repo_tags.iter().map(String::as_str).filter(real);
        let tagged = tags.clone().next().is_some();
        tags.chain(self.repo_digests.iter().map(String::as_str).filter(real).filter(move |_| !tagged))
    }
}

/// `GET /volumes`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Volumes {
    /// All.
    #[serde(default, deserialize_with = "or_default")]
    pub volumes: Vec<Volume>,
}

/// A volume.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Volume {
    /// Its name, by which it is known.
    pub name: String,
    /// `local`, or a plugin's name.
    #[serde(default, deserialize_with = "or_default")]
    pub driver: String,
    /// Where its files are on the machine.
    #[serde(default, deserialize_with = "or_default")]
    pub mountpoint: String,
    /// RFC 3339.
    #[serde(default, deserialize_with = "or_default")]
    pub created_at: String,
    /// Its labels.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// What it takes and who uses it; only where that was asked for.
    #[serde(default)]
    pub usage_data: Option<VolumeUsage>,
}

/// What a volume takes.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct VolumeUsage {
    /// In bytes; -1 where its driver does not tell.
    #[serde(default)]
    pub size: Option<i64>,
    /// How many containers have it; -1 where it is not known.
    #[serde(default)]
    pub ref_count: Option<i64>,
}

impl Volume {
    /// What it takes, in bytes, where that is known.
    pub fn size(&self) -> Option<u64> {
        u64::try_from(self.usage_data?.size?).ok()
    }

    /// What its files are below, as `NAME/_data`, where both engines put them.
    pub fn directory(&self) -> Option<&str> {
        self.mountpoint.strip_suffix("/_data")?.strip_suffix(&self.name)?.strip_suffix('/')
    }
}

/// One of `GET /networks`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Network {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Not always unique.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// `bridge`, `overlay`, `macvlan` and so on.
    #[serde(default, deserialize_with = "or_default")]
    pub driver: String,
    /// `local`, `swarm`, `global`.
    #[serde(default, deserialize_with = "or_default")]
    pub scope: String,
    /// No way out of it.
    #[serde(default, deserialize_with = "or_default")]
    pub internal: bool,
    /// When it was made: RFC 3339.
    #[serde(default, deserialize_with = "or_default")]
    pub created: String,
    /// Its addresses.
    #[serde(default, rename = "IPAM", deserialize_with = "or_default")]
    pub ipam: Ipam,
    /// Its labels.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
}

/// The addresses of a network.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Ipam {
    /// One for each range.
    #[serde(default, deserialize_with = "or_default")]
    pub config: Vec<Subnet>,
}

/// A range of addresses.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Subnet {
    /// `172.18.0.0/16`.
    #[serde(default, deserialize_with = "or_default")]
    pub subnet: String,
    /// The way out.
    #[serde(default, deserialize_with = "or_default")]
    pub gateway: String,
}

/// The compose project of a container, as its labels say.
pub const PROJECT: &str = "com.docker.compose.project";
/// The service of it.
pub const SERVICE: &str = "com.docker.compose.service";
/// Where all of compose's labels begin.
pub const COMPOSE: &str = "com.docker.compose.";

impl Summary {
    /// Its name, without a slash; without one its short id.
    pub fn name(&self) -> &str {
        self.own_names().next().unwrap_or_else(|| self.short_id())
    }

    /// Whether it is called this. What `--link` calls it is not its own name.
    pub fn has_name(&self, wanted: &str) -> bool {
        self.own_names().any(|name| name == wanted)
    }

    /// Whether it has a name of its own, and each of them fits: a second one would be a way around. What `--link` calls it is not its own.
    pub fn names_fit(&self, fits: impl Fn(&str) -> bool) -> bool {
        let mut names = self.own_names().peekable();
        names.peek().is_some() && names.all(fits)
    }

    /// Without what `--link` calls it, which is `/a/b`; its own have one slash.
    fn own_names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| name.strip_prefix('/').unwrap_or(name)).filter(|name| !name.contains('/'))
    }

    /// The twelve digits that people know it by.
    pub fn short_id(&self) -> &str {
        short(&self.id)
    }

    /// Its place in this network, if it is in it, whether it runs or not.
    pub fn place_in(&self, network: &Network) -> Option<&Endpoint> {
        // Podman does not say the network's id, but its names are unique
        let is_there = |(name, endpoint): &(&String, &Endpoint)| {
            if endpoint.network_id.len() == 64 { endpoint.network_id == network.id } else { **name == network.name }
        };
        self.network_settings.networks.iter().find(is_there).map(|(_, endpoint)| endpoint)
    }

    /// Whether it was made of this image.
    pub fn is_of(&self, image: &Image) -> bool {
        digits(&self.image_id) == digits(&image.id)
    }

    /// Its compose project.
    pub fn project(&self) -> Option<&str> {
        self.labels.get(PROJECT).map(String::as_str)
    }

    /// Its service in it.
    pub fn service(&self) -> Option<&str> {
        self.labels.get(SERVICE).map(String::as_str)
    }

    /// Whether it has this label: `key`, or `key=value`.
    pub fn has_label(&self, label: &str) -> bool {
        match label.split_once('=') {
            Some((key, value)) => self.labels.get(key).is_some_and(|given| given == value),
            None => self.labels.contains_key(label),
        }
    }

    /// What its health check says, as `status` has it: `healthy`, `unhealthy`, `starting`.
    pub fn health(&self) -> Option<&'static str> {
        let within = self.status.rsplit_once('(').map(|(_, rest)| rest.trim_end_matches(')'))?;
        match within {
            "healthy" => Some("healthy"),
            "unhealthy" => Some("unhealthy"),
            "health: starting" | "starting" => Some("starting"),
            _ => None,
        }
    }
}

/// The digits of an id, without the `sha256:` before an image's.
pub fn digits(id: &str) -> &str {
    id.strip_prefix("sha256:").unwrap_or(id)
}

/// How many digits of an id are shown.
pub const SHORT: usize = 12;

/// The first twelve digits of an id, without the `sha256:` before an image's.
pub fn short(id: &str) -> &str {
    let digits = digits(id);
    digits.get(..SHORT).unwrap_or(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_and_what_is_missing_cost_nothing() {
        let one: Summary =
            serde_json::from_str(r#"{"Id":"ab","Names":null,"Labels":null,"Ports":null,"State":"initialized"}"#)
                .unwrap();
        assert_eq!((one.name(), one.state.as_str(), one.health()), ("ab", "initialized", None));
    }

    #[test]
    fn the_health_stands_in_the_status() {
        let of = |status: &str| Summary { status: status.into(), ..Summary::default() }.health();
        assert_eq!(of("Up 2 hours (healthy)"), Some("healthy"));
        assert_eq!(of("Up 2 seconds (health: starting)"), Some("starting"));
        assert_eq!(of("Up 2 hours (unhealthy)"), Some("unhealthy"));
        assert_eq!(of("Exited (1) 3 days ago"), None);
        assert_eq!(of("Up 2 hours (Paused)"), None);
    }

    #[test]
    fn times_are_told_in_utc_and_never_is_none() {
        for (written, told) in [
            ("2026-11-25T23:27:29.134079637Z", Some("2026-11-25T23:27:29Z")),
            ("2026-11-25T23:27:29Z", Some("2026-11-25T23:27:29Z")),
            ("2026-11-26T01:27:29.5+02:00", Some("2026-11-25T23:27:29Z")),
            ("2026-11-25T18:57:29-04:30", Some("2026-11-25T23:27:29Z")),
            ("0001-01-01T00:00:00Z", None),
            ("1970-01-01T00:00:00+02:00", None),
            ("9999-12-31T23:59:59-02:00", None),
            ("2026-11-25T23:27:29+", None),
            ("2026-11-25T23:27:29+18446744073709551615:00", None),
            ("2026-11-25T23:27:29é", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(known_time(written).as_deref(), told, "{written}");
        }
    }

    #[test]
    fn a_link_is_not_the_containers_own_name() {
        let one = Summary { names: vec!["/web/db".into(), "/db".into()], ..Summary::default() };
        assert_eq!(one.name(), "db");
        assert!(one.has_name("db") && !one.has_name("web/db"));
    }

    #[test]
    fn times_of_every_zone_are_known_and_others_are_none() {
        let utc = humantime::parse_rfc3339("2026-11-25T22:00:00Z").unwrap();
        for time in [
            "2026-11-25T22:00:00Z",
            "2026-11-25T22:00:00.000000000Z",
            "2026-11-25T23:30:00+01:30",
            "2026-11-25T20:00:00-02:00",
        ] {
            assert_eq!(instant(time), Some(utc), "{time}");
        }
        for time in ["", "Z", "yesterday", "2026-11-25T22:00:00+x", "2026-11-25T22:00:00+1", "2026-11-25\u{fc}T"] {
            assert_eq!(instant(time), None, "{time}");
        }
    }
}
