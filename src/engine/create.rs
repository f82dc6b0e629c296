//! A new container as it is asked for, as the body of `POST /containers/create`: what there is no field for here cannot be asked for.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Component, Path, PathBuf},
};

use serde_json::{Map, Value, json};

use super::{replace::is_reserved, volume::is_name};
use kernel::failure::Failure;

/// The least memory that the Engine gives, in bytes.
pub const LEAST_MEMORY: u64 = 6 << 20;

/// The longest time of a health check, in seconds.
const DAY: u32 = 24 * 60 * 60;

/// The most failures in a row that a health check may wait for.
const MOST_RETRIES: u32 = 1000;

/// A port of a container, and where it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The address of the machine; all of them without.
    pub address: Option<IpAddr>,
    /// The port of the machine; the Engine chooses one without.
    pub port: Option<u16>,
    /// The port of the container.
    pub inside: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: &'static str,
}

/// What is mounted into a container, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// What it is.
    pub source: Source,
    /// Where it is in the container.
    pub target: String,
    /// Whether the container may only read it.
    pub read_only: bool,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A volume by name, made if there is none.
    Volume(String),
    /// A directory or file of the machine.
    Bind(PathBuf),
}

/// How a container tells whether it is well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// The command that ends with 0 if it is.
    pub command: Vec<String>,
    /// Seconds from one to the next.
    pub interval: Option<u32>,
    /// Seconds that one may take.
    pub timeout: Option<u32>,
    /// How many must fail in a row.
    pub retries: Option<u32>,
    /// Seconds at its start in which failures do not count.
    pub start_period: Option<u32>,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Container {
    /// A name or an id.
    pub image: String,
    /// In place of the image's own.
    pub command: Vec<String>,
    /// Variables by name.
    pub env: BTreeMap<String, String>,
    /// Labels by name.
    pub labels: BTreeMap<String, String>,
    /// A user of the container, with a group or without.
    pub user: Option<String>,
    /// Its ports.
    pub ports: Vec<Published>,
    /// Its mounts.
    pub mounts: Vec<Mounted>,
    /// The name of a network.
    pub network: Option<String>,
    /// `no`, `always`, `unless-stopped` or `on-failure`.
    pub restart: Option<&'static str>,
    /// The most memory it gets, in bytes.
    pub memory_bytes: Option<u64>,
    /// The most processor time it gets, in CPUs.
    pub cpus: Option<f64>,
    /// Its health check.
    pub check: Option<Check>,
}

impl Container {
    /// The body that asks the Engine for it.
    pub fn body(&self) -> Result<Value, Failure> {
        let mut host = Map::new();
        let mut exposed = Map::new();
        let mut bindings: Map<String, Value> = Map::new();
        for port in &self.ports {
            let key = format!("{}/{}", port.inside, port.protocol);
            exposed.insert(key.clone(), json!({}));
            let published = json!({
                "HostIp": port.address.map_or(String::new(), |address| address.to_string()),
                "HostPort": port.port.map_or(String::new(), |port| port.to_string()),
            });
            match bindings.entry(key).or_insert_with(|| json!([])) {
                Value::Array(list) => list.push(published),
                _ => unreachable!("only lists are put there"),
            }
        }
        let mounts: Vec<Value> = self.mounts.iter().map(Mounted::body).collect();
        let has = |list: bool, host: &mut Map<String, Value>, key: &str, value: Value| {
            if list {
                host.insert(key.to_owned(), value);
            }
        };
        has(!bindings.is_empty(), &mut host, "PortBindings", bindings.into());
        has(!mounts.is_empty(), &mut host, "Mounts", mounts.into());
        if let Some(network) = &self.network {
            host.insert("NetworkMode".to_owned(), network.as_str().into());
        }
        if let Some(restart) = self.restart {
            host.insert("RestartPolicy".to_owned(), json!({ "Name": restart, "MaximumRetryCount": 0 }));
        }
        if let Some(memory) = self.memory_bytes {
            if memory < LEAST_MEMORY {
                return Err(invalid(format!("memory_bytes is at least {LEAST_MEMORY}")));
            }
            host.insert(
                "Memory".to_owned(),
                i64::try_from(memory).map_err(|_| invalid("memory_bytes is too much"))?.into(),
            );
        }
        if let Some(cpus) = self.cpus {
            if !(0.01..=1024.0).contains(&cpus) {
                return Err(invalid("cpus is from 0.01 to 1024"));
            }
            host.insert("NanoCpus".to_owned(), ((cpus * 1e9).round() as i64).into());
        }
        let mut body = json!({ "Image": self.image, "HostConfig": host });
        let mut put = |key: &str, value: Value| body[key] = value;
        if !self.command.is_empty() {
            put("Cmd", texts("command", &self.command)?.into());
        }
        if !self.env.is_empty() {
            put("Env", environment(&self.env)?.into());
        }
        if !self.labels.is_empty() {
            if self.labels.keys().any(String::is_empty) {
                return Err(invalid("labels: a label has a name"));
            }
            put("Labels", json!(self.labels));
        }
        if let Some(user) = &self.user {
            put("User", user_of(user)?.into());
        }
        if !exposed.is_empty() {
            put("ExposedPorts", exposed.into());
        }
        if let Some(check) = &self.check {
            put("Healthcheck", check.body()?);
        }
        Ok(body)
    }
}

impl Published {
    /// Reads `[[ADDRESS:]PORT:]CONTAINER_PORT[/udp]`.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        Self::read(text).ok_or_else(|| wrong("ports", text, "[[ADDRESS:]PORT:]CONTAINER_PORT[/udp]"))
    }

    fn read(text: &str) -> Option<Self> {
        let (rest, protocol) = match text.split_once('/') {
            None | Some((_, "tcp")) => (text.strip_suffix("/tcp").unwrap_or(text), "tcp"),
            Some((rest, "udp")) => (rest, "udp"),
            Some((rest, "sctp")) => (rest, "sctp"),
            Some(_) => return None,
        };
        let (outside, inside) = match rest.rsplit_once(':') {
            Some((outside, inside)) => (Some(outside), inside),
            None => (None, rest),
        };
        let (address, port) = match outside {
            None => (None, None),
            Some(outside) => match outside.rsplit_once(':') {
                None => (None, Some(number(outside)?)),
                Some((address, port)) => {
                    let bare = address.strip_prefix('[').and_then(|address| address.strip_suffix(']'));
                    let port = if port.is_empty() { None } else { Some(number(port)?) };
                    let address: IpAddr = bare.unwrap_or(address).parse().ok()?;
                    // without brackets it would not be told where an address of IPv6 ends
                    if address.is_ipv6() != bare.is_some() {
                        return None;
                    }
                    (Some(address), port)
                }
            },
        };
        Some(Self { address, port, inside: number(inside)?, protocol })
    }
}

impl Mounted {
    /// Reads `VOLUME:/TARGET[:ro]` or `/SOURCE:/TARGET[:ro]`.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        Self::read(text).ok_or_else(|| wrong("volumes", text, "NAME:/TARGET[:ro] or /SOURCE:/TARGET[:ro]"))
    }

    fn read(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, read_only) = match parts[..] {
            [source, target] | [source, target, "rw"] => (source, target, false),
            [source, target, "ro"] => (source, target, true),
            _ => return None,
        };
        if !is_straight(target) || target == "/" {
            return None;
        }
        let source = if is_name(source) {
            Source::Volume(source.to_owned())
        } else {
            is_straight(source).then(|| Source::Bind(source.into()))?
        };
        Some(Self { source, target: target.to_owned(), read_only })
    }

    fn body(&self) -> Value {
        match &self.source {
            Source::Volume(name) => {
                json!({ "Type": "volume", "Source": name, "Target": self.target, "ReadOnly": self.read_only })
            }
            // private, so that nothing mounted in the container comes out on the machine
            Source::Bind(path) => json!({
                "Type": "bind", "Source": path, "Target": self.target, "ReadOnly": self.read_only,
                "BindOptions": { "Propagation": "rprivate" },
            }),
        }
    }
}

impl Check {
    fn body(&self) -> Result<Value, Failure> {
        if self.command.is_empty() {
            return Err(invalid("health.command is the command that ends with 0 if all is well"));
        }
        let times = [("interval", self.interval), ("timeout", self.timeout), ("start_period", self.start_period)];
        if let Some((what, _)) = times.iter().find(|(_, seconds)| seconds.is_some_and(|seconds| seconds > DAY)) {
            return Err(invalid(format!("health.{what}_seconds is from 0 to {DAY}")));
        }
        if self.retries.is_some_and(|retries| retries > MOST_RETRIES) {
            return Err(invalid(format!("health.retries is from 0 to {MOST_RETRIES}")));
        }
        let nanoseconds = |seconds: Option<u32>| i64::from(seconds.unwrap_or(0)) * 1_000_000_000;
        let mut test = vec!["CMD"];
        test.extend(texts("health.command", &self.command)?);
        Ok(json!({
            "Test": test,
            "Interval": nanoseconds(self.interval),
            "Timeout": nanoseconds(self.timeout),
            "Retries": self.retries.unwrap_or(0),
            "StartPeriod": nanoseconds(self.start_period),
        }))
    }
}

/// What a container may be called.
pub fn check_name(name: &str) -> Result<(), Failure> {
    if is_reserved(name) {
        return Err(invalid(
            "name: .smcp-new- and .smcp-old- are for updates, which call the old and the new container so",
        ));
    }
    if [12, 64].contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(invalid("name: 12 or 64 hexadecimal digits are for ids: this could be another container's"));
    }
    if is_name(name) && (2..=128).contains(&name.len()) {
        return Ok(());
    }
    Err(wrong("name", name, "2 to 128 letters, digits, _, . or -, the first of them a letter or a digit"))
}

/// An absolute path that goes straight where it leads.
fn is_straight(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    parts.next() == Some(Component::RootDir)
        && parts.all(|part| matches!(part, Component::Normal(_)))
        && !path.contains("//")
        && !path.split('/').any(|part| matches!(part, "." | ".."))
        && !path.chars().any(char::is_control)
        && path.len() < 4096
}

fn environment(env: &BTreeMap<String, String>) -> Result<Vec<String>, Failure> {
    let is_variable = |name: &str| {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        !name.is_empty() && name.bytes().all(is_word)
    };
    // its name may be shown, its value never
    env.iter()
        .map(|(name, value)| match (is_variable(name), value.contains('\0')) {
            (false, _) => Err(wrong("env", name, "a variable's name, of letters, digits, _, . and -")),
            (true, true) => Err(invalid(format!("env: the value of {name} has a zero byte"))),
            (true, false) => Ok(format!("{name}={value}")),
        })
        .collect()
}

fn texts<'a>(what: &str, words: &'a [String]) -> Result<Vec<&'a str>, Failure> {
    if words.iter().any(|word| word.contains('\0')) {
        return Err(invalid(format!("{what} has a zero byte")));
    }
    Ok(words.iter().map(String::as_str).collect())
}

fn user_of(user: &str) -> Result<&str, Failure> {
    let mut parts = user.split(':');
    if parts.clone().count() <= 2 && parts.all(is_name) {
        return Ok(user);
    }
    Err(wrong("user", user, "USER or USER:GROUP, by name or number"))
}

/// A port that is none of a program's mistakes: no sign, no leading zero, not 0.
fn number(text: &str) -> Option<u16> {
    let port: u16 = text.parse().ok()?;
    (port > 0 && port.to_string() == text).then_some(port)
}

fn invalid(why: impl Into<String>) -> Failure {
    Failure::Invalid(why.into())
}

fn wrong(what: &str, given: &str, expected: &str) -> Failure {
    let given: String = given.chars().take(100).collect();
    Failure::Invalid(format!("{what}: {given:?} is not {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_docker_reads_them() {
        let of = |text: &str| {
            Published::parse(text).map(|one| (one.address.map(|ip| ip.to_string()), one.port, one.inside, one.protocol))
        };
        for (text, address, port, inside, protocol) in [
            ("80", None, None, 80, "tcp"),
            ("8080:80", None, Some(8080), 80, "tcp"),
            ("8080:80/tcp", None, Some(8080), 80, "tcp"),
            ("53:53/udp", None, Some(53), 53, "udp"),
            ("127.0.0.1:8080:80", Some("127.0.0.1"), Some(8080), 80, "tcp"),
            ("127.0.0.1::80", Some("127.0.0.1"), None, 80, "tcp"),
            ("[::1]:8080:80", Some("::1"), Some(8080), 80, "tcp"),
        ] {
            assert_eq!(of(text).unwrap(), (address.map(str::to_owned), port, inside, protocol), "{text}");
        }
        for text in [
            "",
            "0",
            "65536",
            "+80",
            "080",
            "80/x",
            "80/tcp/tcp",
            "a:80",
            ":80",
            "8080:",
            "localhost:1:2",
            "::1:1:2",
            "1-2:3-4",
            "80\n",
            " 80",
            "1:2:3:4",
        ] {
            assert!(of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn volumes_are_names_or_straight_paths() {
        let of = |text: &str| Mounted::parse(text);
        let volume = Mounted { source: Source::Volume("db-data".into()), target: "/data".into(), read_only: false };
        assert_eq!(of("db-data:/data").unwrap(), volume);
        assert_eq!(of("db-data:/data:rw").unwrap(), volume);
        let bind = Mounted { source: Source::Bind("/srv/x".into()), target: "/x".into(), read_only: true };
        assert_eq!(of("/srv/x:/x:ro").unwrap(), bind);
        for text in [
            "",
            "/data",
            "a",
            "a:",
            ":/a",
            "a:b",
            "a:/",
            "a:/b:z",
            "a:/b:ro,z",
            "a:/b:shared",
            "a:/b:ro:ro",
            "../x:/x",
            "./x:/x",
            "/srv/../etc:/x",
            "/srv/./x:/x",
            "/srv//x:/x",
            "a:/x/../..",
            "a:/x\n",
            "//:/x",
            "a/b:/x",
            "a%2fb:/x",
        ] {
            assert!(of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_names_of_updates_are_for_updates() {
        for name in ["web", "web.smcp", "smcp-new", "web-smcp-new-0123456789ab"] {
            check_name(name).unwrap();
        }
        let long = format!("{}.smcp-old-{}", "a".repeat(200), "0".repeat(200));
        for name in ["web.smcp-new-0123456789ab", "web.smcp-old-0123456789ab", "web.smcp-new-", "a.smcp-old-x.b", &long]
        {
            let why = check_name(name).unwrap_err().to_string();
            assert!(why.contains("for updates") && why.len() < 200, "{name}: {why}");
        }
        check_name("cafe").unwrap();
        for name in ["0123456789ab", &"cafe".repeat(16)] {
            let why = check_name(name).unwrap_err().to_string();
            assert!(why.contains("for ids"), "{name}: {why}");
        }
    }

    #[test]
    fn what_is_not_asked_for_does_not_stand_in_the_body() {
        let body = Container { image: "t/bb:1".into(), ..Container::default() }.body().unwrap();
        assert_eq!(body, json!({ "Image": "t/bb:1", "HostConfig": {} }));
    }

    #[test]
    fn odd_values_are_refused_and_those_of_variables_not_shown() {
        let of = |change: fn(&mut Container)| {
            let mut container = Container { image: "x".into(), ..Container::default() };
            change(&mut container);
            container.body().unwrap_err().to_string()
        };
        let why = of(|one| drop(one.env.insert("A=B".into(), "hush".into())));
        assert!(why.contains("A=B") && !why.contains("hush"), "{why}");
        let why = of(|one| drop(one.env.insert("A".into(), "hush\0".into())));
        assert!(!why.contains("hush"), "{why}");
        of(|one| drop(one.env.insert(String::new(), String::new())));
        of(|one| one.memory_bytes = Some(1));
        of(|one| one.memory_bytes = Some(u64::MAX));
        of(|one| one.cpus = Some(f64::NAN));
        of(|one| one.cpus = Some(-1.0));
        of(|one| one.user = Some("root:root:root".into()));
        of(|one| one.user = Some("../x".into()));
        of(|one| one.command = vec!["a\0".into()]);
        of(|one| one.check = Some(Check::default()));
        for check in [
            Check { interval: Some(DAY + 1), ..Check::default() },
            Check { timeout: Some(u32::MAX), ..Check::default() },
            Check { start_period: Some(u32::MAX), ..Check::default() },
            Check { retries: Some(MOST_RETRIES + 1), ..Check::default() },
        ] {
            let check = Check { command: vec!["true".into()], ..check };
            let container = Container { image: "x".into(), check: Some(check), ..Container::default() };
            let why = container.body().unwrap_err().to_string();
            assert!(why.contains("health.") && why.contains("from 0 to"), "{why}");
        }
        of(|one| drop(one.labels.insert(String::new(), String::new())));
    }
}
