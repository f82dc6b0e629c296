//! The configuration: what may be written in the file, and [`Settings`], what it means once checked.
//!
//! Everything is checked before anything is opened. An error names file, line, column and what was expected; it never
//! quotes the file, which may hold a secret in the wrong place. That is why every value is read by a visitor that says
//! what it expects, and `expectation` drops what was found.

use std::{
    env,
    ffi::OsString,
    fmt,
    fs::File,
    io::Read as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{
    Deserialize, Deserializer,
    de::{self, Unexpected, Visitor},
};

use crate::{
    audit::{self, Sink},
    auth::store,
    docker::{
        self, Socket,
        allow::{Allow, Rule},
    },
    scope::{Scope, Scopes},
};

/// The configuration read if none is named and it is there.
pub const DEFAULT_FILE: &str = "/etc/systemmanager-mcp/config.ron";

/// The program's name, as directories of its own are called.
const NAME: &str = "systemmanager-mcp";

/// A file larger than this is not a configuration.
const LARGEST: u64 = 1024 * 1024;

/// The pages of the machine itself, on any port: what a browser may call from unless the configuration says otherwise.
const LOCAL_ORIGINS: [&str; 6] = [
    "http://localhost:*",
    "https://localhost:*",
    "http://127.0.0.1:*",
    "https://127.0.0.1:*",
    "http://[::1]:*",
    "https://[::1]:*",
];

/// What is wrong with a configuration, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file; `None` for the flags of a trial.
    pub file: Option<PathBuf>,
    /// Line and column, counted from 1, where they can be known.
    pub place: Option<(usize, usize)>,
    /// What was expected.
    pub why: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
            if let Some((line, column)) = self.place {
                write!(f, "{line}:{column}:")?;
            }
            f.write_str(" ")?;
        }
        f.write_str(&self.why)
    }
}

impl std::error::Error for ConfigError {}

/// What of the environment says where state is kept.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `$STATE_DIRECTORY`, set by systemd: absolute paths, separated by colons.
    pub state_directory: Option<OsString>,
    /// `$XDG_STATE_HOME`.
    pub xdg_state_home: Option<OsString>,
    /// `$HOME`.
    pub home: Option<OsString>,
    /// `$XDG_RUNTIME_DIR`, where rootless engines listen.
    pub xdg_runtime_dir: Option<OsString>,
    /// `$DOCKER_HOST`, which all programs that speak to Docker heed.
    pub docker_host: Option<OsString>,
    /// Whether root runs this, whose state is the machine's and not a home's.
    pub is_root: bool,
}

impl Environment {
    /// This process's own; for `main` to call.
    pub fn of_process() -> Self {
        Self {
            state_directory: env::var_os("STATE_DIRECTORY"),
            xdg_state_home: env::var_os("XDG_STATE_HOME"),
            home: env::var_os("HOME"),
            xdg_runtime_dir: env::var_os("XDG_RUNTIME_DIR"),
            docker_host: env::var_os("DOCKER_HOST"),
            is_root: rustix::process::geteuid().is_root(),
        }
    }

    /// Where the Docker Engine listens unless the configuration says.
    pub fn docker_socket(&self) -> Socket {
        match self.docker_host.as_ref().filter(|host| !host.is_empty()) {
            Some(host) => Socket::of_docker_host(&host.to_string_lossy()),
            None => Socket::usual(self.xdg_runtime_dir.as_ref().map(Path::new).filter(|path| path.is_absolute())),
        }
    }

    /// Where state is kept unless the configuration says.
    pub fn state_directory(&self) -> PathBuf {
        let given = self.state_directory.as_ref().and_then(|list| env::split_paths(list).next());
        let xdg = self.xdg_state_home.as_ref().map(|home| Path::new(home).join(NAME));
        let home =
            self.home.as_ref().filter(|_| !self.is_root).map(|home| Path::new(home).join(".local/state").join(NAME));
        // an empty or relative one counts as not set, as the XDG specification has it
        let absolute = |path: &PathBuf| path.is_absolute();
        given
            .filter(absolute)
            .or_else(|| xdg.filter(absolute))
            .or_else(|| home.filter(absolute))
            .unwrap_or_else(|| Path::new("/var/lib").join(NAME))
    }
}

/// What the command line says instead of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--listen`.
    pub listen: Vec<SocketAddr>,
    /// `--root`.
    pub root: Option<PathBuf>,
    /// `--token-file`: for a trial, where its one token is read or created.
    pub token_file: Option<PathBuf>,
    /// `--scopes`.
    pub scopes: Option<Scopes>,
    /// `--allow-host`.
    pub allow_hosts: Vec<String>,
    /// `--plain-text`.
    pub plain_text: bool,
    /// `--audit`.
    pub audit: Option<Sink>,
    /// `--docker`.
    pub docker: Option<PathBuf>,
}

/// Where settings come from: never from both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// This file.
    File(PathBuf),
    /// The command line, or nothing at all.
    Flags(Flags),
}

/// Whose credentials are let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tokens {
    /// The tokens of this token file.
    Store(PathBuf),
    /// One token, read from this file or put there if it is missing; without one, made and shown at every start.
    Trial(Option<PathBuf>),
}

/// How much the program says about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub enum Level {
    /// What is broken.
    Error,
    /// What is wrong but was borne.
    Warn,
    /// What happened.
    #[default]
    Info,
    /// How.
    Debug,
    /// Everything.
    Trace,
}

impl From<Level> for tracing::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}

/// The certificate chain and its key, PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The chain, the server's own first.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// What callers can use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls running at once.
    pub running: usize,
    /// Calls waiting for their turn.
    pub waiting: usize,
    /// The longest a call may take.
    pub deadline: Duration,
    /// Acting calls of one caller a minute.
    pub acting: u32,
    /// The largest request body, in bytes.
    pub body_bytes: usize,
    /// The longest a request's header may take to arrive.
    pub header: Duration,
    /// The longest a request's body may take to arrive.
    pub body: Duration,
    /// How long a connection may rest.
    pub idle: Duration,
    /// Connections open at once.
    pub connections: usize,
    /// Connections open at once from one address.
    pub connections_per_peer: usize,
}

/// The configuration's meaning, checked and complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen; never empty.
    pub listen: Vec<SocketAddr>,
    /// How to encrypt, if at all.
    pub tls: Option<Tls>,
    /// What a Host header may say: "name" (any port) or "name:port"; loopback names and listeners included.
    pub allowed_hosts: Vec<String>,
    /// What an Origin header may say: "scheme://host:port", with * for any port.
    pub allowed_origins: Vec<String>,
    /// Where state is kept.
    pub state_directory: PathBuf,
    /// What stands for the machine's /.
    pub root: PathBuf,
    /// Whose credentials are let in.
    pub tokens: Tokens,
    /// What may be done with a trial's token, over stdio, and by `call`.
    pub scopes: Scopes,
    /// Where calls are recorded.
    pub audit: Sink,
    /// What callers can use up.
    pub limits: Limits,
    /// How the Docker Engine is asked, and for what.
    pub docker: docker::Settings,
    /// How much the program says about itself.
    pub log: Level,
}

impl Settings {
    /// Settings from the file given; else from `default` if that file is there, and flags beside it are refused, as there is one
    /// source of truth; else a trial's, from the flags.
    pub fn of(source: &Source, default: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        match source {
            Source::File(file) => Self::read(file, environment),
            // a file that may not be looked at is there, and says more than a trial may
            Source::Flags(flags) if matches!(rustix::fs::stat(default), Err(rustix::io::Errno::NOENT)) => {
                Self::trial(flags, environment)
            }
            Source::Flags(flags) if *flags == Flags::default() => Self::read(default, environment),
            Source::Flags(_) => Err(ConfigError {
                file: Some(default.into()),
                place: None,
                why: "is there, and says what this server may do; write it there instead of on the command line".into(),
            }),
        }
    }

    /// Settings from a file.
    #[expect(clippy::disallowed_methods, reason = "the program's own configuration")]
    pub fn read(file: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let failed = |why: String| ConfigError { file: Some(file.into()), place: None, why };
        let open = File::open(file).map_err(|error| failed(format!("cannot be opened: {error}")))?;
        let mut bytes = Vec::new();
        open.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| failed(format!("cannot be read: {error}")))?;
        Self::parse(&bytes, environment).map_err(|(place, why)| ConfigError { file: Some(file.into()), place, why })
    }

    /// Settings from a file's content; or the place and what was expected there.
    pub fn parse(bytes: &[u8], environment: &Environment) -> Result<Self, (Option<(usize, usize)>, String)> {
        if bytes.len() as u64 > LARGEST {
            return Err((None, "is larger than 1 MiB".into()));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            (Some(place_after(&before)), "expected UTF-8".to_owned())
        })?;
        let options = ron::Options::default().with_default_extension(ron::extensions::Extensions::IMPLICIT_SOME);
        let written: Written = options.from_str(text).map_err(|error| {
            // the span reaches from the last thing understood to where reading stopped
            let at = if error.code == ron::Error::Eof { error.span.end } else { error.span.start };
            (Some((at.line, at.col)), expectation(&error.code))
        })?;
        written.check(environment).map_err(|(key, why)| (Some(place_of(text, key)), why))
    }

    /// Settings without a file: loopback, read-only scopes, and one token of the trial's own.
    pub fn trial(flags: &Flags, environment: &Environment) -> Result<Self, ConfigError> {
        let failed = |why: String| ConfigError { file: None, place: None, why };
        let defaults = Written::default();
        let listen = if flags.listen.is_empty() { plain(&defaults.listen) } else { flags.listen.clone() };
        check_listeners(&listen, false, flags.plain_text).map_err(|problem| {
            failed(match problem {
                Problem::None => "--listen must be given an address".into(),
                Problem::Twice => "--listen was given the same address twice".into(),
                Problem::Open(address) => format!(
                    "--listen {address} can be reached by other machines and would carry tokens in the clear; \
                     add --plain-text if something else encrypts, or use a config file with tls"
                ),
            })
        })?;
        for host in &flags.allow_hosts {
            Host::read(host).ok_or_else(|| failed(format!("--allow-host: {}", Host::EXPECTED)))?;
        }
        let absolute =
            |path: &PathBuf| std::path::absolute(path).map_err(|error| failed(format!("{}: {error}", path.display())));
        let state_directory = environment.state_directory();
        let audit = match &flags.audit {
            Some(Sink::File(path)) => Sink::File(absolute(path)?),
            Some(Sink::Stderr) => Sink::Stderr,
            None => Sink::File(state_directory.join(audit::FILE_NAME)),
        };
        Ok(Self {
            allowed_hosts: allowed_hosts(flags.allow_hosts.clone(), &listen),
            listen,
            tls: None,
            allowed_origins: defaults.allowed_origins.into_iter().map(|origin| origin.0.0).collect(),
            root: flags.root.as_ref().map_or(Ok(PathBuf::from("/")), absolute)?,
            tokens: Tokens::Trial(flags.token_file.as_ref().map(absolute).transpose()?),
            scopes: flags.scopes.unwrap_or_else(Scopes::read_only),
            audit,
            limits: defaults.limits.meaning(),
            docker: docker::Settings {
                socket: match &flags.docker {
                    Some(socket) => Socket::At(absolute(socket)?),
                    None => environment.docker_socket(),
                },
                ..docker::Settings::default()
            },
            log: defaults.log,
            state_directory,
        })
    }
}

/// The file, as written.
#[derive(Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
struct Written {
    listen: Vec<As<SocketAddr>>,
    tls: Option<WrittenTls>,
    plain_text: bool,
    allowed_hosts: Vec<As<Host>>,
    allowed_origins: Vec<As<Origin>>,
    state_directory: Option<As<PathBuf>>,
    root: As<PathBuf>,
    token_file: Option<As<PathBuf>>,
    audit: Option<WrittenSink>,
    docker: WrittenDocker,
    limits: WrittenLimits,
    log: Level,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
struct WrittenDocker {
    off: bool,
    socket: Option<As<PathBuf>>,
    allow: Vec<WrittenRule>,
    binds: Vec<As<PathBuf>>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    scope: As<DockerScope>,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    labels: Vec<String>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
struct WrittenTls {
    certificate: As<PathBuf>,
    key: As<PathBuf>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
enum WrittenSink {
    File(As<PathBuf>),
    Stderr,
}

#[derive(Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
struct WrittenLimits {
    running: UpTo<4096>,
    waiting: UpTo<65_536>,
    deadline_seconds: UpTo<3600>,
    acting_per_minute: UpTo<6000>,
    body_bytes: UpTo<262_144>,
    header_seconds: UpTo<300>,
    body_seconds: UpTo<300>,
    idle_seconds: UpTo<3600>,
    connections: UpTo<65_536>,
    connections_per_peer: UpTo<65_536>,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            listen: vec![As(SocketAddr::from(([127, 0, 0, 1], 8080)))],
            tls: None,
            plain_text: false,
            allowed_hosts: Vec::new(),
            allowed_origins: LOCAL_ORIGINS.map(|origin| As(Origin(origin.into()))).into(),
            state_directory: None,
            root: As("/".into()),
            token_file: None,
            audit: None,
            docker: WrittenDocker::default(),
            limits: WrittenLimits::default(),
            log: Level::default(),
        }
    }
}

impl Default for WrittenLimits {
    fn default() -> Self {
        Self {
            running: UpTo(64),
            waiting: UpTo(2048),
            deadline_seconds: UpTo(30),
            acting_per_minute: UpTo(30),
            body_bytes: UpTo(262_144),
            header_seconds: UpTo(10),
            body_seconds: UpTo(10),
            idle_seconds: UpTo(75),
            connections: UpTo(4096),
            connections_per_peer: UpTo(2048),
        }
    }
}

impl Written {
    /// What it means; or the key at fault and what was expected of it.
    fn check(self, environment: &Environment) -> Result<Settings, (&'static str, String)> {
        let listen = plain(&self.listen);
        check_listeners(&listen, self.tls.is_some(), self.plain_text).map_err(|problem| {
            let why = match problem {
                Problem::None => "expected at least one address",
                Problem::Twice => "the same address stands here twice",
                Problem::Open(_) => {
                    "an address other machines can reach needs tls, or plain_text: true if something else encrypts"
                }
            };
            ("listen", why.to_owned())
        })?;
        if self.tls.is_some() && self.plain_text {
            return Err(("plain_text", "tls and plain_text: true contradict each other; remove one".into()));
        }
        let state_directory = self.state_directory.map_or_else(|| environment.state_directory(), |path| path.0);
        let audit = match self.audit {
            Some(WrittenSink::File(path)) => Sink::File(path.0),
            Some(WrittenSink::Stderr) => Sink::Stderr,
            None => Sink::File(state_directory.join(audit::FILE_NAME)),
        };
        let token_file = self.token_file.map_or_else(|| state_directory.join(store::FILE_NAME), |path| path.0);
        Ok(Settings {
            allowed_hosts: allowed_hosts(self.allowed_hosts.into_iter().map(|host| host.0.0).collect(), &listen),
            listen,
            tls: self.tls.map(|tls| Tls { certificate: tls.certificate.0, key: tls.key.0 }),
            allowed_origins: self.allowed_origins.into_iter().map(|origin| origin.0.0).collect(),
            state_directory,
            root: self.root.0,
            tokens: Tokens::Store(token_file),
            scopes: Scopes::read_only(),
            audit,
            limits: self.limits.meaning(),
            docker: self.docker.check(environment)?,
            log: self.log,
        })
    }
}

impl WrittenDocker {
    fn check(self, environment: &Environment) -> Result<docker::Settings, (&'static str, String)> {
        if self.off && self.socket.is_some() {
            return Err(("off", "off: true and a socket contradict each other; remove one".into()));
        }
        let mut rules: Vec<(Scope, Rule)> = vec![];
        for WrittenRule { scope, names, labels } in self.allow {
            let scope = scope.0.0;
            if rules.iter().any(|(earlier, _)| *earlier == scope) {
                return Err(("allow", format!("expected one rule for {scope}: two would contradict each other")));
            }
            if names.is_empty() && labels.is_empty() {
                return Err((
                    "allow",
                    format!("expected names or labels in the rule for {scope}: without both it allows everything"),
                ));
            }
            rules.push((scope, Rule { names, labels }));
        }
        let binds: Vec<PathBuf> = self.binds.into_iter().map(|path| path.0).collect();
        docker::policy::directories(&binds).map_err(|why| ("binds", why))?;
        Ok(docker::Settings {
            socket: match self.socket {
                _ if self.off => Socket::None,
                Some(socket) => Socket::At(socket.0),
                None => environment.docker_socket(),
            },
            allow: Allow(rules),
            binds,
            own: None,
            state: None,
        })
    }
}

impl WrittenLimits {
    fn meaning(&self) -> Limits {
        Limits {
            running: self.running.count(),
            waiting: self.waiting.count(),
            deadline: self.deadline_seconds.seconds(),
            acting: self.acting_per_minute.0,
            body_bytes: self.body_bytes.count(),
            header: self.header_seconds.seconds(),
            body: self.body_seconds.seconds(),
            idle: self.idle_seconds.seconds(),
            connections: self.connections.count(),
            connections_per_peer: self.connections_per_peer.count(),
        }
    }
}

enum Problem {
    None,
    Twice,
    Open(SocketAddr),
}

fn check_listeners(listen: &[SocketAddr], tls: bool, plain_text: bool) -> Result<(), Problem> {
    if listen.is_empty() {
        return Err(Problem::None);
    }
    // port 0 is another port each time
    if listen.iter().enumerate().any(|(at, address)| address.port() != 0 && listen[..at].contains(address)) {
        return Err(Problem::Twice);
    }
    let open = listen.iter().find(|address| !address.ip().to_canonical().is_loopback());
    open.filter(|_| !tls && !plain_text).map_or(Ok(()), |address| Err(Problem::Open(*address)))
}

/// The configured names, those of the loopback, and the addresses listened on (all but "any": nobody calls it that).
fn allowed_hosts(mut hosts: Vec<String>, listen: &[SocketAddr]) -> Vec<String> {
    hosts.extend(["localhost", "127.0.0.1", "[::1]"].map(str::to_owned));
    for address in listen.iter().filter(|address| !address.ip().is_unspecified()) {
        let host = if address.is_ipv6() { format!("[{}]", address.ip()) } else { address.ip().to_string() };
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts
}

fn plain(listen: &[As<SocketAddr>]) -> Vec<SocketAddr> {
    listen.iter().map(|address| address.0).collect()
}

/// What is read from a string, and what that string must look like.
trait FromText: Sized {
    const EXPECTED: &'static str;
    fn read(text: &str) -> Option<Self>;
}

/// A value written as a string.
#[derive(Debug, PartialEq)]
#[cfg_attr(test, derive(serde::Serialize))]
struct As<T>(T);

impl<'de, T: FromText> Deserialize<'de> for As<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<T>(std::marker::PhantomData<T>);
        impl<T: FromText> Visitor<'_> for Text<T> {
            type Value = As<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<As<T>, E> {
                T::read(text).map(As).ok_or_else(|| E::invalid_value(Unexpected::Other("something else"), &self))
            }
        }
        deserializer.deserialize_str(Text(std::marker::PhantomData))
    }
}

impl FromText for SocketAddr {
    const EXPECTED: &'static str = "an address and a port like \"127.0.0.1:8080\" or \"[::1]:8080\"";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl FromText for PathBuf {
    const EXPECTED: &'static str = "an absolute path like \"/etc/example\"";

    fn read(text: &str) -> Option<Self> {
        (text.starts_with('/') && !text.contains('\0')).then(|| text.into())
    }
}

/// One of the scopes that reach containers.
#[derive(Debug, PartialEq)]
#[cfg_attr(test, derive(serde::Serialize))]
struct DockerScope(Scope);

impl FromText for DockerScope {
    const EXPECTED: &'static str = "\"docker:read\", \"docker:logs\", \"docker:control\" or \"docker:deploy\"";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok().filter(|scope: &Scope| scope.reaches_containers()).map(Self)
    }
}

/// "name" or "name:port", in lower case.
#[derive(Debug, PartialEq)]
#[cfg_attr(test, derive(serde::Serialize))]
struct Host(String);

impl FromText for Host {
    const EXPECTED: &'static str = "a host like \"box.example\" or \"box.example:8443\", without a scheme";

    fn read(text: &str) -> Option<Self> {
        let name = match text.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => {
                port.parse::<u16>().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()))?;
                name
            }
            _ => text,
        };
        is_host(name).then(|| Self(text.to_ascii_lowercase()))
    }
}

/// "scheme://host:port", where the port may be *.
#[derive(Debug, PartialEq)]
#[cfg_attr(test, derive(serde::Serialize))]
struct Origin(String);

impl FromText for Origin {
    const EXPECTED: &'static str = "an origin like \"https://box.example\" or \"http://localhost:*\", without a path";

    fn read(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let host = lower.strip_prefix("http://").or_else(|| lower.strip_prefix("https://"))?;
        match host.strip_suffix(":*") {
            Some(name) => is_host(name).then_some(())?,
            None => Host::read(host).map(drop)?,
        }
        Some(Self(lower))
    }
}

fn is_host(name: &str) -> bool {
    match name.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok()),
        None => {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
            (1..=253).contains(&name.len()) && name.bytes().all(fits)
        }
    }
}

/// A whole number from 1 to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(test, derive(serde::Serialize))]
struct UpTo<const MAX: u32>(u32);

impl<const MAX: u32> UpTo<MAX> {
    fn count(self) -> usize {
        self.0 as usize
    }

    fn seconds(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

impl<'de, const MAX: u32> Deserialize<'de> for UpTo<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number<const MAX: u32>;
        impl<const MAX: u32> Visitor<'_> for Number<MAX> {
            type Value = UpTo<MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from 1 to {MAX}")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<UpTo<MAX>, E> {
                let number = u32::try_from(number).ok().filter(|number| (1..=MAX).contains(number));
                number.map(UpTo).ok_or_else(|| E::invalid_value(Unexpected::Other("another"), &self))
            }
        }
        deserializer.deserialize_u64(Number)
    }
}

/// What the parser expected, without a word of what it found. An unknown key is not named either: in a file gone wrong,
/// a secret can stand where a key should.
fn expectation(error: &ron::Error) -> String {
    use ron::Error as E;
    match error {
        E::NoSuchStructField { expected, .. } => format!("this key is not known; there is {}", expected.join(", ")),
        E::NoSuchEnumVariant { expected, .. } => format!("expected one of {}", expected.join(", ")),
        E::MissingStructField { field, .. } => format!("expected the key {field} as well"),
        E::DuplicateStructField { field, .. } => format!("the key {field} stands here for the second time"),
        E::InvalidValueForType { expected, .. } | E::ExpectedDifferentLength { expected, .. } => {
            format!("expected {expected}")
        }
        E::ExpectedBoolean => "expected true or false".into(),
        E::ExpectedInteger | E::IntegerOutOfBounds | E::InvalidIntegerDigit { .. } | E::UnderscoreAtBeginning => {
            "expected a whole number in reach".into()
        }
        E::ExpectedString | E::ExpectedStringEnd | E::InvalidEscape(_) => "expected a string in \"quotes\"".into(),
        E::ExpectedArray | E::ExpectedArrayEnd => "expected a list in [brackets]".into(),
        E::ExpectedOption => "expected None or a value".into(),
        E::ExpectedMapColon => "expected a colon and a value".into(),
        E::ExpectedComma => "expected a comma".into(),
        E::ExpectedIdentifier | E::InvalidIdentifier(_) | E::SuggestRawIdentifier(_) => "expected a name".into(),
        E::ExpectedStructLike
        | E::ExpectedNamedStructLike(_)
        | E::ExpectedStructLikeEnd
        | E::ExpectedDifferentStructName { .. }
        | E::ExpectedOptionEnd => "expected (keys: and values) in parentheses".into(),
        E::ExpectedAttribute | E::ExpectedAttributeEnd | E::NoSuchExtension(_) => {
            "expected #![enable(implicit_some)] or no attribute".into()
        }
        E::UnclosedBlockComment => "this comment does not end".into(),
        E::Eof => "the file ends too early".into(),
        E::TrailingCharacters => "expected nothing more".into(),
        E::ExceededRecursionLimit => "this is nested too deeply".into(),
        // the rest can quote, or is new
        _ => "this is not RON as it is expected here".into(),
    }
}

/// Line and column, counted from 1, of what follows `before`.
fn place_after(before: &str) -> (usize, usize) {
    let line = before.rsplit('\n').next().unwrap_or_default();
    (1 + before.matches('\n').count(), 1 + line.chars().count())
}

/// Where `key` stands in a file that was parsed: the word followed by a colon, outside comments and strings. The first
/// place if it does not stand there, as its default is at fault.
fn place_of(text: &str, key: &str) -> (usize, usize) {
    let mut at = 0;
    let mut word_before = false;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if c == '"' {
            quoted(rest)
        } else if c == 'r' && !word_before && rest[1..].trim_start_matches('#').starts_with('"') {
            raw(rest)
        } else if !word_before && rest.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':')) {
            return place_after(&text[..at]);
        } else {
            c.len_utf8()
        };
        word_before = c.is_alphanumeric() || c == '_';
        at += length;
    }
    (1, 1)
}

/// How long the string in quotes is that `text` begins with.
fn quoted(text: &str) -> usize {
    let mut escaped = true; // the opening quote
    let end = text.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 1)
}

/// How long the raw string is that `text` begins with.
fn raw(text: &str) -> usize {
    let hashes = text[1..].len() - text[1..].trim_start_matches('#').len();
    let begin = 1 + hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    text[begin..].find(&end).map_or(text.len(), |at| begin + at + end.len())
}

/// How long the block comment is that `text` begins with; they nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../images/config.example.ron");

    fn environment() -> Environment {
        Environment { state_directory: Some("/state:/other".into()), ..Environment::default() }
    }

    fn read(text: &str) -> Result<Settings, (Option<(usize, usize)>, String)> {
        Settings::parse(text.as_bytes(), &environment())
    }

    #[test]
    fn the_example_is_the_defaults() {
        assert_eq!(ron::from_str::<Written>(EXAMPLE).unwrap(), Written::default());
        assert_eq!(read(EXAMPLE), read("()"));
    }

    #[test]
    fn the_example_shows_every_key() {
        fn keys(value: &serde_json::Value, into: &mut Vec<String>) {
            for (key, value) in value.as_object().into_iter().flatten() {
                into.push(key.clone());
                keys(value, into);
            }
        }
        let tls = WrittenTls { certificate: As("/a".into()), key: As("/b".into()) };
        let all = serde_json::to_value(Written { tls: Some(tls), ..Written::default() }).unwrap();
        let mut names = Vec::new();
        keys(&all, &mut names);
        assert_eq!(names.len(), 28);
        for name in names {
            assert!(EXAMPLE.contains(&format!("{name}: ")), "{name}");
        }
    }

    #[test]
    fn an_empty_file_of_parentheses_is_loopback_with_state_where_systemd_says() {
        let settings = read("()").unwrap();
        assert_eq!(settings.listen, ["127.0.0.1:8080".parse().unwrap()]);
        assert_eq!(settings.tokens, Tokens::Store("/state/tokens.ron".into()));
        assert_eq!(settings.audit, Sink::File("/state/audit.jsonl".into()));
        assert_eq!(settings.allowed_hosts, ["localhost", "127.0.0.1", "[::1]"]);
        assert_eq!((settings.limits.body_bytes, settings.limits.deadline), (262_144, Duration::from_secs(30)));
    }

    #[test]
    fn a_full_file_is_understood_with_and_without_some() {
        for (some, end) in [("", ""), ("Some(", ")")] {
            let text = format!(
                "#![enable(implicit_some)]\n(listen: [\"0.0.0.0:8443\", \"[2001:db8::1]:8443\"],
                tls: {some}(certificate: \"/c\", key: \"/k\"){end}, allowed_hosts: [\"Box.Example\", \"a:1\", \"[::2]:3\"],
                allowed_origins: [\"https://Box.example\"], state_directory: {some}\"/s\"{end},
                token_file: {some}\"/t\"{end}, audit: {some}Stderr{end}, limits: (running: 1), log: Trace)"
            );
            let settings = read(&text).unwrap();
            assert_eq!(settings.tls, Some(Tls { certificate: "/c".into(), key: "/k".into() }));
            let hosts = ["box.example", "a:1", "[::2]:3", "localhost", "127.0.0.1", "[::1]", "[2001:db8::1]"];
            assert_eq!(settings.allowed_hosts, hosts);
            assert_eq!(settings.allowed_origins, ["https://box.example"]);
            assert_eq!((settings.tokens, settings.audit), (Tokens::Store("/t".into()), Sink::Stderr));
            assert_eq!((settings.limits.running, settings.limits.waiting), (1, 2048));
            assert_eq!(tracing::Level::from(settings.log), tracing::Level::TRACE);
        }
    }

    #[test]
    fn what_would_be_open_or_contradicts_itself_is_refused_at_its_key() {
        for (text, place, why) in [
            ("(\n  listen: [\"0.0.0.0:1\"])", (2, 3), "needs tls"),
            ("(\n  /* listen: */ listen: [\"[::]:1\"])", (2, 17), "needs tls"),
            ("(root: \"/listen:\", // listen:\n listen: [\"[::ffff:192.0.2.1]:1\"])", (2, 2), "needs tls"),
            ("(listen: [])", (1, 2), "at least one"),
            ("(listen: [\"127.0.0.1:1\", \"127.0.0.1:1\"])", (1, 2), "twice"),
            ("(tls: (certificate: \"/c\", key: \"/k\"),\n\n plain_text: true)", (3, 2), "contradict"),
        ] {
            let (at, said) = read(text).unwrap_err();
            assert!(said.contains(why), "{said}");
            assert_eq!(at, Some(place), "{text}");
        }
        assert!(read("(listen: [\"0.0.0.0:1\"], plain_text: true)").is_ok());
        assert!(read("(listen: [\"127.0.0.1:0\", \"127.0.0.1:0\", \"[::ffff:127.0.0.1]:1\"])").is_ok());
    }

    #[test]
    fn each_wrong_value_is_placed_and_told_what_was_expected() {
        for (text, place, why) in [
            ("(\n listen: [\"8080\"])", (2, 11), "127.0.0.1:8080"),
            ("(\n root: \"etc\")", (2, 8), "absolute path"),
            ("(\n root: 7)", (2, 8), "string"),
            ("(\n limits: (running: 0))", (2, 20), "from 1 to 4096"),
            ("(\n limits: (body_bytes: 262145))", (2, 23), "from 1 to 262144"),
            ("(\n limits: (running: -1))", (2, 20), "whole number"),
            ("(\n limits: (running: 1.5))", (2, 20), ""),
            ("(\n log: info)", (2, 7), "Error, Warn, Info, Debug, Trace"),
            ("(\n plain_text: 1)", (2, 14), "true or false"),
            ("(\n lisen: [])", (2, 2), "listen, tls, plain_text"),
            ("(\n limits: (runing: 1))", (2, 11), "running, waiting"),
            ("(\n tls: (certificate: \"/c\"))", (2, 25), "key key"),
            ("(\n log: Info,\n log: Info)", (3, 2), "second time"),
            ("(\n audit: File(\"a\"))", (2, 14), "absolute path"),
            ("(\n audit: Syslog)", (2, 9), "File, Stderr"),
            ("(\n allowed_hosts: [\"http://a\"])", (2, 18), "without a scheme"),
            ("(\n allowed_origins: [\"a\"])", (2, 20), "without a path"),
            ("(\n", (2, 1), ""),
            ("", (1, 1), ""),
        ] {
            let (at, said) = read(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
            let (line, column) = at.unwrap();
            assert_eq!(line, place.0, "{text}: {said}");
            assert!(column.abs_diff(place.1) <= 1, "{text}: column {column}, {said}");
        }
    }

    #[test]
    fn no_error_quotes_the_file_wherever_a_secret_stands() {
        let secret = "hunter2";
        let mut tried = 0;
        let lines: Vec<_> = EXAMPLE.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let whole = lines.join("\n");
        // in place of every key, every value, and between any two tokens, as a word, a string and half a string
        let ends: Vec<_> = whole.char_indices().filter(|(_, c)| !c.is_alphanumeric() && *c != '_').collect();
        for (at, _) in ends {
            for form in [
                "hunter2",
                "\"hunter2\"",
                "\"hunter2",
                "hunter2:",
                "hunter2(",
                "'h'",
                "hunter2\"",
                "r#hunter2",
                "\\u{hunter2}",
                "Some(hunter2",
                "#![enable(hunter2)]",
            ] {
                for skip in [0, 1] {
                    let text = format!("{}{form}{}", &whole[..at], &whole[at + skip..]);
                    if let Err((_, said)) = read(&text) {
                        tried += 1;
                        assert!(!said.contains(secret), "{said}\n{text}");
                    }
                }
            }
        }
        for key in ["listen", "tls", "plain_text", "allowed_hosts", "root", "token_file", "audit", "limits", "log"] {
            for value in [
                "hunter2",
                "\"hunter2\"",
                "[\"hunter2\"]",
                "(hunter2: 1)",
                "(\"hunter2\")",
                "hunter2(1)",
                "{hunter2: 1}",
                "b\"hunter2\"",
                "Some(\"hunter2\")",
                "File(\"hunter2\")",
                "(certificate: \"hunter2\")",
            ] {
                if let Err((_, said)) = read(&format!("({key}: {value})")) {
                    tried += 1;
                    assert!(!said.contains(secret), "{key}: {value}: {said}");
                }
            }
        }
        assert!(tried > 1000, "{tried}");
    }

    #[test]
    fn hostile_files_are_refused_without_panic() {
        for text in
            ["(".repeat(100_000), "/*".repeat(1000), "[".repeat(10_000), "(listen: [\"é".into(), "\u{feff}()".into()]
        {
            assert!(read(&text).is_err());
        }
        let (at, why) = Settings::parse(b"(\n\xc3\xa9\xff", &environment()).unwrap_err();
        assert_eq!((at, why.as_str()), (Some((2, 2)), "expected UTF-8"));
        assert!(Settings::parse(&vec![b' '; 2 << 20], &environment()).is_err());
        let error = Settings::read(Path::new("/nowhere/config.ron"), &environment()).unwrap_err();
        assert!(error.to_string().starts_with("/nowhere/config.ron: cannot be opened"), "{error}");
    }

    #[test]
    fn keys_are_found_past_strings_and_nested_comments() {
        assert_eq!(place_of("(a: \"\\\"b:\", b: 1)", "b"), (1, 13));
        assert_eq!(place_of("(a: r##\"b: \"# \"##, b : 1)", "b"), (1, 20));
        assert_eq!(place_of("/* /* b: */ b: */\n(ab: 1, b: 1)", "b"), (2, 9));
        assert_eq!(place_of("(r: 1, b", "b"), (1, 1));
        assert_eq!(place_of("\"", "b"), (1, 1));
        assert_eq!(place_of("/*", "b"), (1, 1));
        assert_eq!(place_of("r#\"", "b"), (1, 1));
    }

    #[test]
    fn state_is_kept_in_the_first_place_there_is() {
        let mut environment = Environment {
            state_directory: Some("/run/s:/b".into()),
            xdg_state_home: Some("/x".into()),
            home: Some("/home/a".into()),
            is_root: false,
            ..Environment::default()
        };
        assert_eq!(environment.state_directory(), Path::new("/run/s"));
        environment.state_directory = Some("".into());
        assert_eq!(environment.state_directory(), Path::new("/x/systemmanager-mcp"));
        environment.xdg_state_home = Some("relative".into());
        assert_eq!(environment.state_directory(), Path::new("/home/a/.local/state/systemmanager-mcp"));
        environment.is_root = true;
        assert_eq!(environment.state_directory(), Path::new("/var/lib/systemmanager-mcp"));
        environment = Environment::default();
        assert_eq!(environment.state_directory(), Path::new("/var/lib/systemmanager-mcp"));
    }

    #[test]
    fn a_trial_reads_only_and_listens_on_loopback_unless_told() {
        let settings = Settings::trial(&Flags::default(), &environment()).unwrap();
        assert_eq!(settings.listen, ["127.0.0.1:8080".parse().unwrap()]);
        assert_eq!((settings.tokens, settings.scopes), (Tokens::Trial(None), Scopes::read_only()));
        let open = Flags { listen: vec!["192.0.2.1:1".parse().unwrap()], ..Flags::default() };
        let said = Settings::trial(&open, &environment()).unwrap_err().to_string();
        assert!(said.contains("--plain-text") && said.contains("192.0.2.1:1"), "{said}");
        let said_out_loud = Flags { plain_text: true, allow_hosts: vec!["box".into()], ..open };
        let settings = Settings::trial(&said_out_loud, &environment()).unwrap();
        assert_eq!(settings.allowed_hosts, ["box", "localhost", "127.0.0.1", "[::1]", "192.0.2.1"]);
        let odd = Flags { allow_hosts: vec!["http://a/b".into()], ..Flags::default() };
        assert!(Settings::trial(&odd, &environment()).unwrap_err().to_string().contains("--allow-host"));
        let relative = Flags { audit: Some(Sink::File("a".into())), ..Flags::default() };
        let settings = Settings::trial(&relative, &environment()).unwrap();
        assert!(matches!(settings.audit, Sink::File(path) if path.is_absolute()));
    }

    #[test]
    fn without_file_and_flags_the_default_file_is_read_if_it_is_there() {
        let nowhere = Path::new("/nowhere/config.ron");
        let nothing = Source::Flags(Flags::default());
        let trial = Settings::of(&nothing, nowhere, &environment()).unwrap();
        assert_eq!(trial.tokens, Tokens::Trial(None));
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/images/config.example.ron");
        let installed = Settings::of(&nothing, Path::new(example), &environment()).unwrap();
        assert_eq!(installed.tokens, Tokens::Store("/state/tokens.ron".into()));
        assert!(Settings::of(&Source::File(nowhere.into()), Path::new(example), &environment()).is_err());
    }
}
