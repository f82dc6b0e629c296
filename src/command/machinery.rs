//! What every command that makes calls needs: the machine, the log, the gate.

#[cfg(test)]
mod closed;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::Error;
use crate::{
    audit::Audit,
    config::{self, Files, Settings},
    gate::{Gate, Limits},
};
use engine::{self, Docker};
use facts::host::{First, Host, own_memory};
use jail::{self, Jail, Own};
use kernel::root::read_own;
use lanes::lane::{PerLane, Room};
use tools::TOOLS;

/// The machine behind its gate.
pub(super) struct Machinery {
    pub(super) gate: Arc<Gate>,
}

impl Machinery {
    /// Opens what the settings name.
    pub(super) fn open(settings: &Settings, first: First) -> Result<Self, Error> {
        let host = Host::open(&settings.root, first)
            .map_err(|error| Error::Other(format!("the root {}: {error}", settings.root.display())))?
            .with_docker(Docker::new(docker(&settings.docker, &settings.state_directory)))
            .with_jail(Jail::new(files_of(settings)));
        let audit = Audit::open(&settings.audit).map_err(|error| {
            Error::Other(format!(
                "{error}; name another place with --audit FILE or --audit stderr, or set audit in the config"
            ))
        })?;
        Ok(Self { gate: Arc::new(Gate::new(TOOLS, host, Arc::new(audit), limits(&settings.limits))) })
    }
}

/// The container that this program runs in, whatever machine it is to look at.
pub(super) fn own_container() -> Option<String> {
    let read = |file: &str| read_own(file.as_ref(), 1 << 20).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    engine::own::container(
        &read("/proc/self/mountinfo").unwrap_or_default(),
        &read("/proc/self/cgroup").unwrap_or_default(),
    )
}

/// How the Engine is asked, and for what; never to act on this server's own container.
pub(super) fn docker(docker: &engine::Settings, state_directory: &Path) -> engine::Settings {
    engine::Settings { own: own_container(), state: Some(state_directory.to_owned()), ..docker.clone() }
}

/// What callers may see of the machine's files, which is nothing of this server's own.
pub(super) fn files(files: &Files, root: &Path, own: Vec<PathBuf>) -> jail::Settings {
    let Files { allowed, deny } = files.clone();
    jail::Settings { root: root.to_owned(), allowed, deny, own: Own::new(own) }
}

/// The same of whole settings.
pub(super) fn files_of(settings: &Settings) -> jail::Settings {
    files(&settings.files, &settings.root, settings.own().into_iter().map(Into::into).collect())
}

/// What the program needs for itself, in bytes: what it takes at rest, and two checks of a token.
const ITSELF: usize = 64 << 20;

/// What a call that runs may take, in bytes: what it has read, and its answer in three forms.
const CALL: usize = 4 << 20;

/// What a call that waits may take, in bytes: its task and its message. All of them together may take a quarter of what there is to spare.
const WAITING: usize = 64 << 10;

/// The memory that may be used besides what the program needs for itself, in bytes. `None`: nothing says how much there is.
pub(super) fn spare_memory() -> Option<usize> {
    let memory = own_memory().map(|memory| usize::try_from(memory).unwrap_or(usize::MAX))?;
    Some(memory.saturating_sub(ITSELF).max(memory / 8))
}

/// The gate's part of the limits. Where there is little memory, fewer calls run and wait in each lane.
pub(super) fn limits(limits: &config::Limits) -> Limits {
    // taken apart without `..`: a new limit is either put in force here or in `serve`
    let config::Limits {
        lanes,
        deadline,
        // of HTTP: `http_bounds` and `most` in `serve`
        body_bytes: _,
        header: _,
        body: _,
        idle: _,
        connections: _,
        connections_per_peer: _,
    } = *limits;
    fitting(Limits { lanes, deadline }, spare_memory().unwrap_or(usize::MAX))
}

/// Calls that run in a lane however little memory there is, so that one caller's part is not all of it.
const LEAST: usize = 4;

/// These limits, as far as `spare` bytes of memory suffice. Each lane has its part of what calls may take.
fn fitting(limits: Limits, spare: usize) -> Limits {
    let part = |most: usize, of_all: usize, all: usize| if of_all <= all { most } else { most * all / of_all };
    let lanes = PerLane::of(|lane| {
        let room = limits.lanes[lane];
        Room {
            running: part(room.running, limits.running(), spare / CALL).max(LEAST.min(room.running)),
            waiting: part(room.waiting, limits.waiting(), spare / 4 / WAITING),
            ..room
        }
    });
    Limits { lanes, ..limits }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::{Environment, Tokens};
    use lanes::lane::Lane;

    #[test]
    fn little_memory_is_shared_by_all_lanes_and_each_can_still_run_some_calls() {
        let limits = Limits::default();
        assert_eq!(fitting(limits, usize::MAX), limits);
        // what a container of 128 MiB leaves
        let few = fitting(limits, 64 << 20);
        assert!(few.running() == 4 * Lane::ALL.len() && (200..=256).contains(&few.waiting()), "{few:?}");
        let least = fitting(limits.with(Lane::Pull, |room| room.running = 1), 0);
        assert!(least.lanes.iter().all(|room| (1..=4).contains(&room.running) && room.waiting == 0), "{least:?}");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "makes the files to be looked for")]
    fn nothing_of_the_server_s_own_may_be_seen_wherever_it_lies() {
        let dir = std::env::temp_dir().join(format!("machinery-{}", std::process::id()));
        for file in ["state/tokens.ron", "state/updates/1.ron", "tokens", "log/calls", "log/calls.1", "tls.pem", "note"]
        {
            let file = dir.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let at = dir.to_str().unwrap();
        let text = format!(
            "(files: (directories: [(path: \"{at}\")], default_deny: false), state_directory: \"{at}/state\", token_file: \"{at}/tokens\",
              audit: File(\"{at}/log/calls\"), tls: (certificate: \"{at}/note\", key: \"{at}/tls.pem\"))"
        );
        let mut settings = Settings::parse(text.as_bytes(), &Environment::default()).unwrap();
        for tokens in [settings.tokens.clone(), Tokens::Trial(Some(dir.join("tokens")))] {
            settings.tokens = tokens;
            let jail = Jail::new(files_of(&settings));
            for own in
                ["state", "state/tokens.ron", "state/updates/1.ron", "tokens", "log/calls", "log/calls.1", "tls.pem"]
            {
                let said = jail.find(&format!("{at}/{own}")).unwrap_err().to_string();
                assert!(said.contains("this server's own"), "{own}: {said}");
            }
            jail.find(&format!("{at}/note")).unwrap();
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
