//! How the Docker Engine is asked, and for what.

use std::path::PathBuf;

use super::{
    Environment,
    key::{At, Wrong, entry, section},
    value::{As, FromText},
};
use engine::{
    Settings, Socket,
    allow::{Rule, Rules},
    policy,
    registries::{Registries, Registry},
};
use rights::scope::{Scope, Targets};

section! {
    /// Whether Docker is left alone, whatever the other keys say. Default: false.
    off: bool = false, Live;
    /// The Engine's socket, or better docker-guard's. Default: None, which is $DOCKER_HOST (unix:///PATH), else the first that may be used of
    /// /run/docker.sock, $XDG_RUNTIME_DIR/docker.sock, /run/podman/podman.sock and $XDG_RUNTIME_DIR/podman/podman.sock.
    socket: Option<As<PathBuf>> = None, Live;
    /// Which containers a scope reaches; a scope without a rule here reaches all. `names` are patterns with * and ?, one of which has to fit;
    /// of `labels`, "key" or "key=value", a container must have all. A rule for docker:read hides what it does not name, and images,
    /// volumes and networks that only such containers have.
    ///     allow: [(scope: "docker:control", names: ["web-*"], labels: ["agent=yes"])],
    allow: Vec<WrittenRule> = vec![], Live;
    /// The directories of the machine that container_run may give to a container, each by itself: nothing below it, and none within another.
    /// Default: none.
    binds: Vec<As<PathBuf>> = vec![], Live;
    /// The registries that images may be pulled from, as "host" or "host:port", and `"*"` for every one with a public name and no port. A registry
    /// on this machine or in its network has to be named. Of one that only `"*"` allows, a failed pull does not say why: such a registry can
    /// send the Engine to any address. Tell docker-guard the same (--registry). Default: `"*"`.
    ///     registries: ["*", "nas.lan:5000"],
    registries: Vec<As<Registry>> = Registries::default().0.into_iter().map(As).collect(), Live;
    /// Whether container_update may replace containers that have more rights than container_run gives (privileges, devices or namespaces of the
    /// machine, or directories of it that `binds` does not name), by images of the same repository. Who can push to that repository then has
    /// these rights. Tell docker-guard the same (--update-privileged). Default: false.
    update_privileged: bool = false, Live;
}

entry! {
    /// A rule, as it is written.
    WrittenRule {
        /// A scope that reaches containers, like docker:control.
        scope: As<DockerScope>;
        /// Patterns, one of which has to fit the container's name.
        names: Vec<String> = default;
        /// Labels that it must have.
        labels: Vec<String> = default;
    }
}

impl Written {
    pub(super) fn meaning(self, environment: &Environment) -> Result<Settings, Wrong> {
        let Self { off, socket, allow, binds, registries, update_privileged } = self;
        let wrong = |key: &'static str, why: String| (At { section: Some("docker"), key }, why);
        let mut rules: Vec<(Scope, Rule)> = vec![];
        for WrittenRule { scope, names, labels } in allow {
            let scope = scope.0.0;
            if rules.iter().any(|(earlier, _)| *earlier == scope) {
                let why = format!("expected one rule for {scope}: two would contradict each other");
                return Err(wrong("allow", why));
            }
            if names.is_empty() && labels.is_empty() {
                let why =
                    format!("expected names or labels in the rule for {scope}: without both it allows everything");
                return Err(wrong("allow", why));
            }
            rules.push((scope, Rule { names, labels }));
        }
        let binds: Vec<PathBuf> = binds.into_iter().map(|path| path.0).collect();
        policy::directories(&binds).map_err(|why| wrong("binds", why))?;
        Ok(Settings {
            socket: match socket {
                _ if off => Socket::None,
                Some(socket) => Socket::At(socket.0),
                None => environment.docker_socket(),
            },
            allow: Rules(rules),
            binds,
            registries: Registries(registries.into_iter().map(|registry| registry.0).collect()),
            update_privileged,
            own: None,
            state: None,
        })
    }
}

/// One of the scopes that reach containers.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct DockerScope(pub(super) Scope);

impl FromText for DockerScope {
    const EXPECTED: &'static str = "\"docker:read\", \"docker:logs\", \"docker:control\" or \"docker:deploy\"";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok().filter(|scope: &Scope| scope.targets() == Targets::Containers).map(Self)
    }
}

impl FromText for Registry {
    const EXPECTED: &'static str = Self::EXPECTED;

    fn read(text: &str) -> Option<Self> {
        Self::read(text)
    }
}
