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
        }
    }

    /// Whether a tool with this scope leaves the machine as it found it.
    pub fn is_read_only(self) -> bool {
        match self {
            Self::SystemRead | Self::DockerRead | Self::DockerLogs | Self::FilesRead => true,
            Self::DockerControl | Self::DockerDeploy | Self::FilesWrite => false,
        }
    }
}

impl Scope {
    /// Whether it is about containers, so that rules of the operator's can narrow it to some of them.
    pub fn reaches_containers(self) -> bool {
        match self {
            Self::SystemRead | Self::FilesRead | Self::FilesWrite => false,
            Self::DockerRead | Self::DockerLogs | Self::DockerControl | Self::DockerDeploy => true,
        }
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
#[error("there is no scope {0:?}; there is {list}", list = Scopes::all())]
pub struct UnknownScope(String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(name: &str) -> Result<Self, UnknownScope> {
        Self::ALL.iter().copied().find(|scope| scope.name() == name).ok_or_else(|| UnknownScope(name.to_owned()))
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Scope>", into = "Vec<Scope>")]
pub struct Scopes(u32);

impl Scopes {
    /// All there are.
    pub fn all() -> Self {
        Scope::ALL.iter().copied().collect()
    }

    /// Those that change nothing: what a trial and a stdio client get unless told otherwise.
    pub fn read_only() -> Self {
        Scope::ALL.iter().copied().filter(|scope| scope.is_read_only()).collect()
    }

    /// Whether `scope` is among them.
    pub fn contain(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u32) != 0
    }

    /// Each of them, in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.iter().copied().filter(move |scope| self.contain(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | 1 << scope as u32))
    }
}

impl From<Vec<Scope>> for Scopes {
    fn from(scopes: Vec<Scope>) -> Self {
        scopes.into_iter().collect()
    }
}

impl From<Scopes> for Vec<Scope> {
    fn from(scopes: Scopes) -> Self {
        scopes.iter().collect()
    }
}

impl FromStr for Scopes {
    type Err = UnknownScope;

    /// Reads a comma-separated list, as `--scopes` takes it.
    fn from_str(list: &str) -> Result<Self, UnknownScope> {
        list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(Scope::from_str).collect()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Scope::name).collect();
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_reads_as_it_is_written() {
        for scope in Scope::ALL {
            assert_eq!(scope.name().parse(), Ok(*scope));
            assert_eq!(ron::from_str::<Scope>(&ron::to_string(scope).unwrap()).unwrap(), *scope);
        }
        assert_eq!(Scopes::all().to_string().parse(), Ok(Scopes::all()));
    }

    #[test]
    fn an_unknown_scope_is_told_what_there_is() {
        let error = "system:read,root".parse::<Scopes>().unwrap_err();
        assert!(error.to_string().contains("\"root\"") && error.to_string().contains("system:read"), "{error}");
    }
}
