//! Whether there is an Engine to ask, and which: for whoever runs the server, not for callers.

use std::{fmt, time::Duration};

use http::{HeaderMap, Method};
use rustix::io::Errno;

use super::{Docker, Socket};
use kernel::failure::Failure;

/// How long it has to say that it is there.
const PATIENCE: Duration = Duration::from_secs(2);

/// What becomes of a question.
#[derive(Debug)]
pub enum Presence {
    /// Nobody is to ask.
    Off,
    /// There is no socket.
    Absent(Failure),
    /// There is a socket, and no answer.
    Unready(Failure),
    /// It answers.
    Ready(Engine),
}

/// What a docker-guard calls itself in `Server`, in the Engine's place.
pub const GUARD: &str = concat!("docker-guard/", env!("CARGO_PKG_VERSION"));

/// An Engine that answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Engine {
    /// What it calls itself, with its version: `Docker/20.10.24 (linux)`, `Libpod/4.3.1 (linux)`. A guard may keep that to itself.
    pub name: Option<String>,
    /// The newest version of the API that it speaks.
    pub api: Option<String>,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, api } = self;
        write!(f, "{}, API {}", name.as_deref().unwrap_or("without a name"), api.as_deref().unwrap_or("unknown"))
    }
}

impl Engine {
    fn of(headers: &HeaderMap) -> Self {
        let said = |name: &str| {
            headers.get(name).and_then(|value| value.to_str().ok()).map(|value| value.chars().take(64).collect())
        };
        Self { name: said("server").filter(|name: &String| !name.is_empty()), api: said("api-version") }
    }
}

impl Docker {
    /// Asks whether it is there.
    pub async fn presence(&self) -> Presence {
        if self.settings.socket == Socket::None {
            return Presence::Off;
        }
        match self.ask(Method::GET, "/_ping", None, PATIENCE).await {
            Ok(answer) if answer.headers().contains_key("api-version") => Presence::Ready(Engine::of(answer.headers())),
            Ok(_) => Presence::Unready(self.no_engine()),
            Err(failure) if self.is_absent() => Presence::Absent(failure),
            Err(failure) => Presence::Unready(failure),
        }
    }

    /// Whether something stands before `engine` and lets through only some of what it is asked: a docker-guard, or any other that keeps
    /// the Engine's plugins to itself. This server never asks for them, and an Engine tells of them, or does not know any.
    pub async fn is_guarded(&self, engine: &Engine) -> bool {
        let is_ours = engine.name.as_ref().is_some_and(|name| name.starts_with("docker-guard/"));
        is_ours || matches!(self.ask(Method::GET, "/plugins", None, PATIENCE).await, Err(Failure::Forbidden(_)))
    }

    fn is_absent(&self) -> bool {
        let path = self.settings.socket.path();
        path.is_ok_and(|path| matches!(rustix::fs::stat(&path), Err(Errno::NOENT | Errno::NOTDIR)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_says_its_name_in_the_head_of_its_answer() {
        let mut headers = HeaderMap::new();
        assert_eq!(Engine::of(&headers), Engine::default());
        headers.insert("server", "Libpod/4.3.1 (linux)".parse().unwrap());
        headers.insert("api-version", "1.41".parse().unwrap());
        let engine = Engine::of(&headers);
        assert_eq!((engine.name.as_deref(), engine.api.as_deref()), (Some("Libpod/4.3.1 (linux)"), Some("1.41")));
    }
}
