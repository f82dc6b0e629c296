//! The file, as written.

use std::{net::SocketAddr, path::PathBuf};

use serde::Deserialize;

use super::{
    Environment, Level, Limits, Settings, Tls, Tokens,
    address::{self, Host, Origin, Problem},
    files::{self, Directory, Files, Pattern},
    lane::InLane,
    listener::{self, Listener, WrittenListener},
    value::{As, DockerScope, UpTo},
};
use crate::{
    audit::{self, Sink},
    auth::store,
    docker::{
        self, Socket,
        allow::{Rule, Rules},
        registries::{Registries, Registry},
    },
    grant::Grants,
    jail::{Access, Allowed, Deny},
    lane::{Lane, PerLane},
    scope::Scope,
};

/// The file, as written.
#[derive(Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub(super) struct Written {
    pub(super) listen: Vec<As<SocketAddr>>,
    pub(super) tls: Option<WrittenTls>,
    pub(super) plain_text: bool,
    pub(super) listeners: Vec<WrittenListener>,
    pub(super) allowed_hosts: Vec<As<Host>>,
    pub(super) allowed_origins: Vec<As<Origin>>,
    pub(super) state_directory: Option<As<PathBuf>>,
    pub(super) root: As<PathBuf>,
    pub(super) token_file: Option<As<PathBuf>>,
    pub(super) audit: Option<WrittenSink>,
    pub(super) docker: WrittenDocker,
    pub(super) files: WrittenFiles,
    pub(super) limits: WrittenLimits,
    pub(super) log: Level,
}

#[derive(Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub(super) struct WrittenDocker {
    off: bool,
    socket: Option<As<PathBuf>>,
    allow: Vec<WrittenRule>,
    binds: Vec<As<PathBuf>>,
    registries: Vec<As<Registry>>,
    update_privileged: bool,
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
#[serde(default, deny_unknown_fields)]
pub(super) struct WrittenFiles {
    directories: Vec<WrittenDirectory>,
    deny: Vec<As<Pattern>>,
    default_deny: bool,
}

#[derive(Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
struct WrittenDirectory {
    path: As<Directory>,
    #[serde(default)]
    access: WrittenAccess,
    #[serde(default)]
    mounts: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
enum WrittenAccess {
    #[default]
    Ro,
    Rw,
}

#[derive(Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenTls {
    pub(super) certificate: As<PathBuf>,
    pub(super) key: As<PathBuf>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) enum WrittenSink {
    File(As<PathBuf>),
    Stderr,
}

#[derive(Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub(super) struct WrittenLimits {
    machine: InLane<{ Lane::Machine as usize }>,
    process: InLane<{ Lane::Process as usize }>,
    docker: InLane<{ Lane::Docker as usize }>,
    files: InLane<{ Lane::Files as usize }>,
    bulk: InLane<{ Lane::Bulk as usize }>,
    search: InLane<{ Lane::Search as usize }>,
    write: InLane<{ Lane::Write as usize }>,
    deploy: InLane<{ Lane::Deploy as usize }>,
    control: InLane<{ Lane::Control as usize }>,
    pull: InLane<{ Lane::Pull as usize }>,
    list: InLane<{ Lane::List as usize }>,
    deadline_seconds: UpTo<3600>,
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
            listeners: Vec::new(),
            allowed_hosts: Vec::new(),
            allowed_origins: address::LOCAL_ORIGINS.map(|origin| As(Origin(origin.into()))).into(),
            state_directory: None,
            root: As("/".into()),
            token_file: None,
            audit: None,
            docker: WrittenDocker::default(),
            files: WrittenFiles::default(),
            limits: WrittenLimits::default(),
            log: Level::default(),
        }
    }
}

impl Default for WrittenDocker {
    fn default() -> Self {
        Self {
            off: false,
            socket: None,
            allow: vec![],
            binds: vec![],
            registries: Registries::default().0.into_iter().map(As).collect(),
            update_privileged: false,
        }
    }
}

impl Default for WrittenFiles {
    fn default() -> Self {
        Self { directories: vec![], deny: vec![], default_deny: true }
    }
}

impl Default for WrittenLimits {
    fn default() -> Self {
        Self {
            machine: InLane::default(),
            process: InLane::default(),
            docker: InLane::default(),
            files: InLane::default(),
            bulk: InLane::default(),
            search: InLane::default(),
            write: InLane::default(),
            deploy: InLane::default(),
            control: InLane::default(),
            pull: InLane::default(),
            list: InLane::default(),
            deadline_seconds: UpTo(30),
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
    pub(super) fn check(self, environment: &Environment) -> Result<Settings, (&'static str, String)> {
        let listeners = listeners(self.listeners, &self.listen, self.tls, self.plain_text)?;
        let state_directory = self.state_directory.map_or_else(|| environment.state_directory(), |path| path.0);
        let audit = match self.audit {
            Some(WrittenSink::File(path)) => Sink::File(path.0),
            Some(WrittenSink::Stderr) => Sink::Stderr,
            None => Sink::File(state_directory.join(audit::FILE_NAME)),
        };
        let token_file = self.token_file.map_or_else(|| state_directory.join(store::FILE_NAME), |path| path.0);
        let (docker, files) = (self.docker.check(environment)?, self.files.check()?);
        Ok(Settings {
            file: None,
            allowed_hosts: address::allowed_hosts(
                self.allowed_hosts.into_iter().map(|host| host.0.0).collect(),
                &listeners,
            ),
            listeners,
            allowed_origins: self.allowed_origins.into_iter().map(|origin| origin.0.0).collect(),
            state_directory,
            root: self.root.0,
            tokens: Tokens::Store(token_file),
            grants: Grants::usual(),
            audit,
            limits: self.limits.meaning(),
            docker,
            files,
            log: self.log,
        })
    }
}

/// What the long form means, or else the short one.
fn listeners(
    long: Vec<WrittenListener>,
    listen: &[As<SocketAddr>],
    tls: Option<WrittenTls>,
    plain_text: bool,
) -> Result<Vec<Listener>, (&'static str, String)> {
    let is_usual = listen.is_empty() || *listen == Written::default().listen;
    if !long.is_empty() {
        if !is_usual || tls.is_some() || plain_text {
            let why = "listeners says it all: leave out listen, tls and plain_text, or write them for each listener";
            return Err(("listeners", why.to_owned()));
        }
        return listener::each(long);
    }
    if tls.is_some() && plain_text {
        return Err(("plain_text", "tls and plain_text: true contradict each other; remove one".into()));
    }
    listener::alike(&plain(listen), tls.map(WrittenTls::meaning), plain_text).map_err(|problem| {
        let why = match problem {
            Problem::None => "expected at least one address",
            Problem::Twice => "the same address stands here twice",
            Problem::Open(_) => {
                "an address other machines can reach needs tls, or plain_text: true if something else encrypts"
            }
        };
        ("listen", why.to_owned())
    })
}

impl WrittenTls {
    pub(super) fn meaning(self) -> Tls {
        Tls { certificate: self.certificate.0, key: self.key.0 }
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
            allow: Rules(rules),
            binds,
            registries: Registries(self.registries.into_iter().map(|registry| registry.0).collect()),
            update_privileged: self.update_privileged,
            own: None,
            state: None,
        })
    }
}

impl WrittenFiles {
    fn check(self) -> Result<Files, (&'static str, String)> {
        let allowed: Vec<Allowed> = self.directories.into_iter().map(WrittenDirectory::meaning).collect();
        if files::has_twice(&allowed) {
            return Err(("directories", "the same directory stands here twice".into()));
        }
        let patterns: Vec<String> = self.deny.into_iter().map(|pattern| pattern.0.0).collect();
        // each of them is one; why not all together would quote them
        let deny = Deny::new(self.default_deny, &patterns)
            .map_err(|_| ("deny", "expected fewer or shorter patterns: they are too many to be held at once".into()))?;
        Ok(Files { allowed, deny })
    }
}

impl WrittenDirectory {
    fn meaning(self) -> Allowed {
        let access = match self.access {
            WrittenAccess::Ro => Access::Ro,
            WrittenAccess::Rw => Access::Rw,
        };
        Allowed { path: self.path.0.0, access, mounts: self.mounts }
    }
}

impl WrittenLimits {
    pub(super) fn meaning(&self) -> Limits {
        Limits {
            lanes: PerLane::of(|lane| match lane {
                Lane::Machine => self.machine.room,
                Lane::Process => self.process.room,
                Lane::Docker => self.docker.room,
                Lane::Files => self.files.room,
                Lane::Bulk => self.bulk.room,
                Lane::Search => self.search.room,
                Lane::Write => self.write.room,
                Lane::Deploy => self.deploy.room,
                Lane::Control => self.control.room,
                Lane::Pull => self.pull.room,
                Lane::List => self.list.room,
            }),
            deadline: self.deadline_seconds.seconds(),
            body_bytes: self.body_bytes.count(),
            header: self.header_seconds.seconds(),
            body: self.body_seconds.seconds(),
            idle: self.idle_seconds.seconds(),
            connections: self.connections.count(),
            connections_per_peer: self.connections_per_peer.count(),
        }
    }
}

pub(super) fn plain(listen: &[As<SocketAddr>]) -> Vec<SocketAddr> {
    listen.iter().map(|address| address.0).collect()
}
