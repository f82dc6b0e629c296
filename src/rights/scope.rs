//! What a caller may be allowed to do.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// One permission, named in the config file, the token file and on the command line as it is written here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    /// Read the machine's figures.
    SystemRead,
    /// Read containers, images, volumes and networks; never the values of environment variables.
    DockerRead,
    /// Read what containers write.
    DockerLogs,
    /// Start, stop, restart, pause and kill containers.
    DockerControl,
    /// Pull images, and run, update and remove containers and images.
    DockerDeploy,
    /// Read files and directories that the operator allows.
    FilesRead,
    /// Change what lies in directories that the operator allows to be changed.
    FilesWrite,
    /// Read the page for Prometheus, `/metrics`: the machine's figures and what this server counts of itself. It opens no tool.
    MetricsRead,
}

impl Scope {
    /// Every scope, in the order the documentation lists them.
    pub const ALL: &[Self] = &[
        Self::SystemRead,
        Self::DockerRead,
        Self::DockerLogs,
        Self::DockerControl,
        Self::DockerDeploy,
        Self::FilesRead,
        Self::FilesWrite,
        Self::MetricsRead,
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::SystemRead => "system:read",
            Self::DockerRead => "docker:read",
            Self::DockerLogs => "docker:logs",
            Self::DockerControl => "docker:control",
            Self::DockerDeploy => "docker:deploy",
            Self::FilesRead => "files:read",
            Self::FilesWrite => "files:write",
            Self::MetricsRead => "metrics:read",
        }
    }

    /// Whether a tool with this scope leaves the machine as it found it.
    pub fn is_read_only(self) -> bool {
        match self {
            Self::SystemRead | Self::DockerRead | Self::DockerLogs | Self::FilesRead | Self::MetricsRead => true,
            Self::DockerControl | Self::DockerDeploy | Self::FilesWrite => false,
        }
    }
}

impl Scope {
    /// What one who may only do some of it is said to do, in the order the documentation lists it. Without any, there is nothing to choose from.
    pub const fn actions(self) -> &'static [Action] {
        use Action::*;
        match self {
            Self::SystemRead | Self::DockerRead | Self::DockerLogs | Self::FilesRead | Self::MetricsRead => &[],
            Self::DockerControl => &[Start, Stop, Restart, Pause, Unpause, Kill],
            Self::DockerDeploy => &[Run, Update, Remove, Pull, RemoveImage, Prune],
            Self::FilesWrite => &[Write, Edit, Create, Move, Remove],
        }
    }

    /// What it is done to, as far as one can be told from another.
    pub fn targets(self) -> Targets {
        match self {
            Self::SystemRead | Self::MetricsRead => Targets::None,
            Self::DockerRead | Self::DockerLogs | Self::DockerControl | Self::DockerDeploy => Targets::Containers,
            Self::FilesRead | Self::FilesWrite => Targets::Paths,
        }
    }
}

/// What a scope is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets {
    /// The machine as a whole.
    None,
    /// Containers, by name.
    Containers,
    /// Files and directories, by path.
    Paths,
}

/// Part of what a scope that acts allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Start a container.
    Start,
    /// Stop one.
    Stop,
    /// Restart one.
    Restart,
    /// Pause one.
    Pause,
    /// Let a paused one go on.
    Unpause,
    /// Send one a signal.
    Kill,
    /// Make a container and start it, with its image's pull.
    Run,
    /// Make a container again of a newer image, with that image's pull.
    Update,
    /// Remove a container, or a file.
    Remove,
    /// Pull an image by itself.
    Pull,
    /// Remove an image.
    RemoveImage,
    /// Remove what nothing uses.
    Prune,
    /// Write a whole file.
    Write,
    /// Change part of a file.
    Edit,
    /// Make a directory.
    Create,
    /// Move or rename.
    Move,
}

impl Action {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Unpause => "unpause",
            Self::Kill => "kill",
            Self::Run => "run",
            Self::Update => "update",
            Self::Remove => "remove",
            Self::Pull => "pull",
            Self::RemoveImage => "remove_image",
            Self::Prune => "prune",
            Self::Write => "write",
            Self::Edit => "edit",
            Self::Create => "create",
            Self::Move => "move",
        }
    }

    /// Whether it is done to one of its scope's targets. What is not, is done by nobody whose right is for some targets alone.
    pub fn has_target(self) -> bool {
        !matches!(self, Self::Pull | Self::RemoveImage | Self::Prune)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.name().to_owned()
    }
}

impl TryFrom<String> for Scope {
    type Error = UnknownScope;

    fn try_from(name: String) -> Result<Self, UnknownScope> {
        name.parse()
    }
}

/// A word that names no scope; says which there are.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no scope {0:?}; there is {list}", list = list())]
pub struct UnknownScope(String);

fn list() -> String {
    Scope::ALL.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(", ")
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(name: &str) -> Result<Self, UnknownScope> {
        Self::ALL.iter().copied().find(|scope| scope.name() == name).ok_or_else(|| UnknownScope(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_list_reads_as_it_is_written() {
        for scope in Scope::ALL {
            assert_eq!(scope.name().parse(), Ok(*scope));
            assert_eq!(ron::from_str::<Scope>(&ron::to_string(scope).unwrap()).unwrap(), *scope);
        }
    }

    #[test]
    fn every_action_belongs_to_what_acts_and_has_one_name_there() {
        for scope in Scope::ALL {
            assert_eq!(scope.actions().is_empty(), scope.is_read_only(), "{scope}");
            let names: BTreeSet<_> = scope.actions().iter().map(|action| action.name()).collect();
            assert_eq!(names.len(), scope.actions().len(), "{scope}");
        }
    }

    #[test]
    fn an_unknown_scope_is_told_what_there_is() {
        let error = "root".parse::<Scope>().unwrap_err();
        assert!(error.to_string().contains("\"root\"") && error.to_string().contains("system:read"), "{error}");
    }
}
