//! Where the Engine listens, and what to do when it does not.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use rustix::{fs::Access, io::Errno};

use super::transport::Error;
use kernel::failure::Failure;

/// Where the Engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Socket {
    /// There.
    At(PathBuf),
    /// At the first of these that may be used, else the first that is there: looked for anew each time, so that an Engine installed later is found.
    First(Vec<PathBuf>),
    /// Nowhere, as the operator wants it.
    None,
    /// At an address that this program does not use, with the reason.
    Unusable(String),
}

impl Default for Socket {
    fn default() -> Self {
        Self::usual(None)
    }
}

impl Socket {
    /// The usual places: Docker's own, a rootless one below `runtime_directory`, then Podman's.
    pub fn usual(runtime_directory: Option<&Path>) -> Self {
        let own = |name: &str| runtime_directory.map(|directory| directory.join(name));
        let places = [
            Some(PathBuf::from("/run/docker.sock")),
            Some("/var/run/docker.sock".into()),
            own("docker.sock"),
            Some("/run/podman/podman.sock".into()),
            own("podman/podman.sock"),
        ];
        Self::First(places.into_iter().flatten().collect())
    }

    /// What `$DOCKER_HOST` names.
    pub fn of_docker_host(value: &str) -> Self {
        match value.strip_prefix("unix://") {
            Some(path) if path.starts_with('/') => Self::At(path.into()),
            _ => Self::Unusable(
                "DOCKER_HOST names no Unix socket, and this server asks Docker only over one: set it to unix:///PATH, or set docker.socket in the config".into(),
            ),
        }
    }

    /// The socket to ask now.
    pub fn path(&self) -> Result<PathBuf, Failure> {
        match self {
            Self::At(path) => Ok(path.clone()),
            Self::First(places) => {
                // a rootless Engine is no use to others, nor is the machine's to those who may not use it
                let usable = |path: &&PathBuf| rustix::fs::access(*path, Access::WRITE_OK).is_ok();
                let there = |path: &&PathBuf| rustix::fs::stat(*path).is_ok();
                let there = places.iter().find(usable).or_else(|| places.iter().find(there)).or(places.first());
                there.cloned().ok_or_else(|| Failure::internal("no place to look for Docker at"))
            }
            Self::None => Err(Failure::Away(
                "this server is not to ask Docker: its configuration says so, or its machine is a recorded one".into(),
            )),
            Self::Unusable(why) => Err(Failure::Away(why.clone())),
        }
    }

    /// Why the Engine cannot be asked at `path`, and what to do about it. Whoever only `reads` may ask again.
    pub(super) fn away(&self, path: &Path, error: &Error, reads: bool) -> Failure {
        let path = path.display();
        let Error::Connect(error) = error else {
            let next = if reads {
                "look whether Docker runs, then try again"
            } else {
                "whether it was done is not known: look at what became of it before you try again"
            };
            return Failure::Away(format!(
                "what listens at {path} broke off or does not speak as a Docker Engine does; {next}"
            ));
        };
        Failure::Away(match Errno::from_io_error(error) {
            Some(Errno::NOENT | Errno::NOTDIR) => {
                format!(
                    "there is no Docker Engine at {path}: install or start it, or name its socket with docker.socket in the config (--docker SOCKET without one)"
                )
            }
            Some(Errno::ACCESS | Errno::PERM) => format!(
                "this server may not use the Docker socket {path}: run docker-guard and name its socket, or let the server's user into the socket's group (which makes it as good as root)"
            ),
            Some(Errno::CONNREFUSED) => format!("nobody listens at {path}: start Docker (systemctl start docker)"),
            Some(Errno::AGAIN) => {
                format!("the Docker Engine at {path} takes no more connections; look whether it hangs")
            }
            _ => format!("the Docker Engine at {path} cannot be asked: {error}"),
        })
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path() {
            Ok(path) => write!(f, "{}", path.display()),
            Err(_) => f.write_str("nowhere"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_host_is_a_unix_socket_or_a_reason() {
        assert_eq!(Socket::of_docker_host("unix:///x/y.sock"), Socket::At("/x/y.sock".into()));
        for other in ["tcp://127.0.0.1:2375", "ssh://host", "unix://relative", ""] {
            let Socket::Unusable(why) = Socket::of_docker_host(other) else { panic!("{other}") };
            assert!(why.contains("DOCKER_HOST") && why.contains("docker.socket"), "{why}");
        }
    }

    #[test]
    fn a_socket_that_is_not_there_says_what_to_do() {
        let failure = Socket::default().away(Path::new("/x"), &Error::Connect(Errno::NOENT.into()), true);
        assert!(failure.to_string().contains("docker.socket"), "{failure}");
        let failure = Socket::default().away(Path::new("/x"), &Error::Connect(Errno::ACCESS.into()), true);
        assert!(failure.to_string().contains("docker-guard"), "{failure}");
    }
}
