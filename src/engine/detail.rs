//! What is read of `GET /containers/{id}/json` to be shown. Every part may be missing or null, as in [`super::model`].

use std::collections::BTreeMap;

use serde::Deserialize;

use super::model::{ContainerState, Mount, Networks, or_default};

/// A container, as it was made and as it is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Detail {
    /// RFC 3339.
    #[serde(default, deserialize_with = "or_default")]
    pub created: String,
    /// The program that was started.
    #[serde(default, deserialize_with = "or_default")]
    pub path: String,
    /// Its arguments.
    #[serde(default, deserialize_with = "or_default")]
    pub args: Vec<String>,
    /// What it does.
    #[serde(default, deserialize_with = "or_default")]
    pub state: ContainerState,
    /// The image's full id.
    #[serde(default, deserialize_with = "or_default")]
    pub image: String,
    /// How often its restart policy has started it again.
    #[serde(default, deserialize_with = "or_default")]
    pub restart_count: u64,
    /// Its mounts.
    #[serde(default, deserialize_with = "or_default")]
    pub mounts: Vec<Mount>,
    /// As its image and its maker said.
    #[serde(default, deserialize_with = "or_default")]
    pub config: Config,
    /// As its maker said of the machine.
    #[serde(default, deserialize_with = "or_default")]
    pub host_config: HostConfig,
    /// Its networks.
    #[serde(default, deserialize_with = "or_default")]
    pub network_settings: Networks,
}

/// What is read of `Config`. Of the environment the names alone are kept.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Config {
    /// The image as it was asked for.
    #[serde(default, deserialize_with = "or_default")]
    pub image: String,
    /// Nothing is root.
    #[serde(default, deserialize_with = "or_default")]
    pub user: String,
    /// Where its program was started.
    #[serde(default, deserialize_with = "or_default")]
    pub working_dir: String,
    /// The names of its variables.
    #[serde(default)]
    pub env: Names,
    /// Its labels.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// How its health is checked, if it is.
    #[serde(default)]
    pub healthcheck: Option<Healthcheck>,
}

/// The names of an environment: a value is forgotten while it is read, so that nothing can show it later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let variables: Vec<String> = or_default(from)?;
        Ok(Self(variables.iter().map(|variable| name(variable).to_owned()).collect()))
    }
}

/// What does not look like a name may be a value that lost its own.
fn name(variable: &str) -> &str {
    let is_name = |name: &&str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        (1..=64).contains(&name.len()) && name.bytes().all(plain)
    };
    variable.split_once('=').map(|(name, _)| name).filter(is_name).unwrap_or("(odd)")
}

/// How health is checked.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `CMD` or `CMD-SHELL`, then the command; `NONE` for no check.
    #[serde(default, deserialize_with = "or_default")]
    pub test: Vec<String>,
    /// In nanoseconds; 0 is the Engine's 30 s.
    #[serde(default, deserialize_with = "or_default")]
    pub interval: u64,
}

/// What is read of `HostConfig`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HostConfig {
    /// In bytes; 0 is no limit.
    #[serde(default, deserialize_with = "or_default")]
    pub memory: i64,
    /// In billionths of a CPU; 0 is no limit.
    #[serde(default, deserialize_with = "or_default")]
    pub nano_cpus: i64,
    /// The other way to say it: microseconds in each period.
    #[serde(default, deserialize_with = "or_default")]
    pub cpu_quota: i64,
    /// 0 is 100 ms.
    #[serde(default, deserialize_with = "or_default")]
    pub cpu_period: i64,
    /// 0 or less is no limit.
    #[serde(default, deserialize_with = "or_default")]
    pub pids_limit: i64,
    /// When it is started again.
    #[serde(default, deserialize_with = "or_default")]
    pub restart_policy: RestartPolicy,
    /// Where its output goes.
    #[serde(default, deserialize_with = "or_default")]
    pub log_config: LogConfig,
    /// Whether it may all that root may.
    #[serde(default, deserialize_with = "or_default")]
    pub privileged: bool,
    /// Whether its root filesystem cannot be written.
    #[serde(default, deserialize_with = "or_default")]
    pub readonly_rootfs: bool,
    /// Capabilities beyond the usual.
    #[serde(default, deserialize_with = "or_default")]
    pub cap_add: Vec<String>,
    /// Usual ones it does not have.
    #[serde(default, deserialize_with = "or_default")]
    pub cap_drop: Vec<String>,
    /// `no-new-privileges`, `seccomp=unconfined`, a whole profile.
    #[serde(default, deserialize_with = "or_default")]
    pub security_opt: Vec<String>,
    /// `host` is the machine's.
    #[serde(default, deserialize_with = "or_default")]
    pub network_mode: String,
    /// `host` is the machine's.
    #[serde(default, deserialize_with = "or_default")]
    pub pid_mode: String,
    /// `host` is the machine's.
    #[serde(default, deserialize_with = "or_default")]
    pub ipc_mode: String,
    /// `host` is the machine's.
    #[serde(default, rename = "UTSMode", deserialize_with = "or_default")]
    pub uts_mode: String,
    /// `host` is the machine's.
    #[serde(default, deserialize_with = "or_default")]
    pub userns_mode: String,
    /// Devices of the machine.
    #[serde(default, deserialize_with = "or_default")]
    pub devices: Vec<Device>,
    /// Filesystems in memory, by where they are mounted.
    #[serde(default, deserialize_with = "or_default")]
    pub tmpfs: BTreeMap<String, String>,
}

/// When a container is started again.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RestartPolicy {
    /// `no`, `always`, `unless-stopped`, `on-failure`.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// For `on-failure`; 0 is without end.
    #[serde(default, deserialize_with = "or_default")]
    pub maximum_retry_count: i64,
}

/// Where output goes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LogConfig {
    /// `json-file`, `local`, `journald`, …
    #[serde(default, rename = "Type", deserialize_with = "or_default")]
    pub kind: String,
}

/// A device of the machine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Device {
    /// There.
    #[serde(default, deserialize_with = "or_default")]
    pub path_on_host: String,
}

/// What is read of `GET /images/{id}/json`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Image {
    /// What registries know it by, each with a repository's name before it.
    #[serde(default, deserialize_with = "or_default")]
    pub repo_digests: Vec<String>,
}

impl HostConfig {
    /// The namespaces that it can share, and with whom it says it does.
    pub fn namespaces(&self) -> [(&'static str, &str); 5] {
        [
            ("network", &self.network_mode),
            ("pid", &self.pid_mode),
            ("ipc", &self.ipc_mode),
            ("uts", &self.uts_mode),
            ("user", &self.userns_mode),
        ]
    }

    /// Those of another container, with its name or id.
    pub fn joined(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.namespaces().into_iter().filter_map(|(name, mode)| Some((name, mode.strip_prefix("container:")?)))
    }

    /// CPUs' worth of time it may use.
    pub fn cpus(&self) -> Option<f64> {
        let period = if self.cpu_period > 0 { self.cpu_period } else { 100_000 };
        let by_quota = (self.cpu_quota > 0).then(|| self.cpu_quota as f64 / period as f64);
        if self.nano_cpus > 0 { Some(self.nano_cpus as f64 / 1e9) } else { by_quota }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_environment_only_names_are_read() {
        let config: Config = serde_json::from_str(
            r#"{"Env":["PATH=/bin","A.B=x=y","EMPTY=","just-a-secret","two words=x","=x"],"Labels":null}"#,
        )
        .unwrap();
        assert_eq!(config.env.0, ["PATH", "A.B", "EMPTY", "(odd)", "(odd)", "(odd)"]);
        assert_eq!(serde_json::from_str::<Config>(r#"{"Env":null}"#).unwrap().env, Names::default());
    }

    #[test]
    fn a_share_of_the_cpus_is_said_in_two_ways() {
        let cpus = |host: HostConfig| host.cpus();
        assert_eq!(cpus(HostConfig { nano_cpus: 1_500_000_000, ..HostConfig::default() }), Some(1.5));
        assert_eq!(cpus(HostConfig { cpu_quota: 50_000, ..HostConfig::default() }), Some(0.5));
        assert_eq!(cpus(HostConfig { cpu_quota: 50_000, cpu_period: 25_000, ..HostConfig::default() }), Some(2.0));
        assert_eq!(cpus(HostConfig { cpu_quota: -1, ..HostConfig::default() }), None);
    }
}
