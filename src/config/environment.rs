//! What of the environment says where things are.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use engine::Socket;

/// The program's name, as directories of its own are called.
const NAME: &str = "systemmanager-mcp";

/// What of the environment says where state is kept.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `$STATE_DIRECTORY`, set by systemd: absolute paths, separated by colons.
    pub state_directory: Option<OsString>,
    /// `$RUNTIME_DIRECTORY`, set by systemd: the same.
    pub runtime_directory: Option<OsString>,
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
            runtime_directory: env::var_os("RUNTIME_DIRECTORY"),
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

    /// What systemd has made for what lasts until this service ends.
    pub fn runtime_directory(&self) -> Option<PathBuf> {
        let given = self.runtime_directory.as_ref().and_then(|list| env::split_paths(list).next());
        given.filter(|path| path.is_absolute())
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
