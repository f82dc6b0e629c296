//! The configuration: what may be written in the file, and [`Settings`], what it means once checked.
//!
//! Everything is checked before anything is opened. An error names file, line, column and what was expected; it never
//! quotes the file, which may hold a secret in the wrong place. That is why every value is read by a visitor that says
//! what it expects, and `fault` drops what was found.

mod docker;
mod environment;
mod fault;
mod files;
mod ground;
mod init;
mod key;
mod limits;
mod listeners;
mod log;
mod narrow;
mod own;
mod reading;
mod reload;
#[cfg(test)]
mod shown;
#[cfg(test)]
mod tests;
mod trial;
mod value;
mod web;
mod written;

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};

pub use environment::Environment;
pub use files::{Directory, Files};
pub use init::{Given, INIT_FILE, Init};
pub use limits::Limits;
pub use listeners::{Listener, Service, Tls, Who};
pub use log::Level;
pub use own::Paths;
pub use reading::Misread;
pub use reload::Outcome;
pub use trial::Flags;

use crate::audit::Sink;
use reading::bytes_of;
use rights::grant::Grants;
use written::Written;

/// The configuration read if none is named and it is there.
pub const DEFAULT_FILE: &str = "/etc/systemmanager-mcp/config.ron";

/// What is wrong with a configuration, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file; `None` for the flags of a trial.
    pub file: Option<PathBuf>,
    /// What is wrong, at least one thing.
    pub wrong: Vec<Misread>,
}

impl ConfigError {
    fn of(file: &Path, wrong: Vec<Misread>) -> Self {
        Self { file: Some(file.into()), wrong }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, wrong) in self.wrong.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            match &self.file {
                Some(file) => f.write_str(&wrong.of(file))?,
                None => f.write_str(&wrong.why)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

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

/// The configuration's meaning, checked and complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The file that they were read from.
    pub file: Option<PathBuf>,
    /// Where callers come in; never empty.
    pub listeners: Vec<Listener>,
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
    /// What may be done with a trial's token.
    pub grants: Grants,
    /// Where calls are recorded.
    pub audit: Sink,
    /// What callers can use up.
    pub limits: Limits,
    /// How the Docker Engine is asked, and for what.
    pub docker: engine::Settings,
    /// Which directories callers may see.
    pub files: Files,
    /// How much the program says about itself.
    pub log: Level,
}

/// The settings in force, and what was written that they come from.
#[derive(Debug)]
pub struct Config {
    /// The settings.
    pub settings: Settings,
    /// What a restart will have for its own: files and directories that are kept from callers already.
    coming: Vec<PathBuf>,
    /// The keys of which only what takes rights away is in force.
    narrowed: Vec<String>,
    /// `None`: a trial's.
    written: Option<Written>,
}

impl Config {
    /// From the file given; else from `default` if that file is there, and flags beside it are refused, as there is one source of truth;
    /// else a trial's, from the flags.
    pub fn of(source: &Source, default: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        match source {
            Source::File(file) => Self::read(file, environment),
            // a file that may not be looked at is there, and says more than a trial may
            Source::Flags(flags) if matches!(rustix::fs::stat(default), Err(rustix::io::Errno::NOENT)) => Ok(Self {
                settings: Settings::trial(flags, environment)?,
                coming: vec![],
                narrowed: vec![],
                written: None,
            }),
            Source::Flags(flags) if *flags == Flags::default() => Self::read(default, environment),
            Source::Flags(_) => {
                let why = "is there, and says what this server may do; write it there instead of on the command line";
                Err(ConfigError::of(default, vec![Misread::somewhere(why)]))
            }
        }
    }

    /// Files and directories of the server's own: those in force, and those that a restart will have.
    pub fn own(&self) -> Vec<PathBuf> {
        self.settings.own().into_iter().map(Path::to_owned).chain(self.coming.iter().cloned()).collect()
    }

    fn read(file: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let read = |bytes: Vec<u8>| Self::parse(&bytes, environment, std::path::absolute(file).ok());
        bytes_of(file).map_err(|misread| vec![misread]).and_then(read).map_err(|wrong| ConfigError::of(file, wrong))
    }

    fn parse(bytes: &[u8], environment: &Environment, file: Option<PathBuf>) -> Result<Self, Vec<Misread>> {
        let read = Written::of(bytes, &Written::default()).map_err(|misread| vec![misread])?;
        if !read.misread.is_empty() {
            return Err(read.misread);
        }
        match read.written.settings(environment, file) {
            Ok(settings) => Ok(Self { settings, coming: vec![], narrowed: vec![], written: Some(read.written) }),
            Err(wrong) => Err(wrong.into_iter().map(|(at, why)| Misread::at(read.place_of(at), why)).collect()),
        }
    }
}

/// The names of all keys, as an error has them.
#[cfg(test)]
pub(crate) fn keys() -> Vec<String> {
    let names = |part: &shown::Part| part.names();
    Written::shown().iter().flat_map(names).collect()
}

impl Settings {
    /// The settings of [`Config::of`].
    pub fn of(source: &Source, default: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        Config::of(source, default, environment).map(|config| config.settings)
    }

    /// The addresses that are listened on.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|listener| listener.bind).collect()
    }

    /// Settings from a file.
    pub fn read(file: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        Config::read(file, environment).map(|config| config.settings)
    }

    /// Settings from a file's content; or what is wrong with it.
    pub fn parse(bytes: &[u8], environment: &Environment) -> Result<Self, Vec<Misread>> {
        Config::parse(bytes, environment, None).map(|config| config.settings)
    }
}
