//! What every command that makes calls needs: the machine, the log, the gate.

use std::sync::Arc;

use super::Error;
use crate::{
    audit::Audit,
    config::Settings,
    docker::{self, Docker},
    gate::{Gate, Limits},
    host::{First, Host},
    root::read_own,
    tools::TOOLS,
};

/// The machine behind its gate.
pub(super) struct Machinery {
    pub(super) gate: Arc<Gate>,
}

impl Machinery {
    /// Opens what the settings name.
    pub(super) fn open(settings: &Settings, first: First) -> Result<Self, Error> {
        let host = Host::open(&settings.root, first)
            .map_err(|error| Error::Other(format!("the root {}: {error}", settings.root.display())))?
            .with_docker(Docker::new(docker::Settings {
                own: own_container(),
                state: Some(settings.state_directory.clone()),
                ..settings.docker.clone()
            }));
        let audit = Audit::open(&settings.audit).map_err(|error| {
            Error::Other(format!(
                "{error}; name another place with --audit FILE or --audit stderr, or set audit in the config"
            ))
        })?;
        Ok(Self { gate: Arc::new(Gate::new(TOOLS, host, Arc::new(audit), limits(settings))) })
    }
}

/// The container that this program runs in, whatever machine it is to look at.
fn own_container() -> Option<String> {
    let read = |file: &str| read_own(file.as_ref(), 1 << 20).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    docker::own::container(
        &read("/proc/self/mountinfo").unwrap_or_default(),
        &read("/proc/self/cgroup").unwrap_or_default(),
    )
}

/// The gate's part of the limits.
pub(super) fn limits(settings: &Settings) -> Limits {
    let limits = &settings.limits;
    Limits {
        running: limits.running,
        waiting: limits.waiting,
        deadline: limits.deadline,
        acting: limits.acting,
        searches: limits.searches,
    }
}
