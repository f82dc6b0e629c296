//! What is the server's own: the machine that it looks at, its state, its tokens, its log.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{
    ConfigError, Environment,
    key::{Section, section},
    reading::{bytes_of, keys_of},
    value::As,
};
use crate::audit::{self, Sink};
use auth::store;

section! {
    /// Where the program keeps what it must remember; container_update needs to write there. Default: None, which is
    /// $STATE_DIRECTORY (set by systemd), else $XDG_STATE_HOME/systemmanager-mcp, else ~/.local/state/systemmanager-mcp, for root /var/lib/systemmanager-mcp.
    state_directory: Option<As<PathBuf>> = None, Restart;

    /// The directory that stands for the machine's /: another one where the machine is mounted into a container.
    /// Default: "/".
    root: As<PathBuf> = As("/".into()), Restart;

    /// The tokens that are let in, as written by `systemmanager-mcp token new`. Default: None, which is tokens.ron in the
    /// state directory.
    token_file: Option<As<PathBuf>> = None, Restart;

    /// Where calls are recorded: File("/path"), or Stderr. Default: None, which is audit.jsonl in the state directory.
    /// What changes something is recorded in a file of its own beside it: /path.actions.
    audit: Option<WrittenSink> = None, Restart;
}

/// Where calls are recorded, as it is written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(in crate::config) enum WrittenSink {
    File(As<PathBuf>),
    Stderr,
}

/// Where everything is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// Where state is kept.
    pub state_directory: PathBuf,
    /// What stands for the machine's /.
    pub root: PathBuf,
    /// Whose tokens are let in.
    pub token_file: PathBuf,
    /// Where calls are recorded.
    pub audit: Sink,
}

impl Paths {
    /// Those of a configuration, whatever else is wrong in it.
    pub fn of(file: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let failed = |misread| ConfigError::of(file, vec![misread]);
        let bytes = bytes_of(file).map_err(failed)?;
        let mut written = Written::default();
        for (key, raw) in keys_of(&bytes).map_err(failed)? {
            written.read(key, &raw).map_err(failed)?;
        }
        Ok(written.meaning(environment))
    }

    /// Those that hold without a configuration.
    pub fn usual(environment: &Environment) -> Self {
        Written::default().meaning(environment)
    }
}

impl Written {
    pub(super) fn meaning(self, environment: &Environment) -> Paths {
        let Self { state_directory, root, token_file, audit } = self;
        let state_directory = state_directory.map_or_else(|| environment.state_directory(), |path| path.0);
        Paths {
            root: root.0,
            token_file: token_file.map_or_else(|| state_directory.join(store::FILE_NAME), |path| path.0),
            audit: match audit {
                Some(WrittenSink::File(path)) => Sink::File(path.0),
                Some(WrittenSink::Stderr) => Sink::Stderr,
                None => Sink::File(state_directory.join(audit::FILE_NAME)),
            },
            state_directory,
        }
    }
}
