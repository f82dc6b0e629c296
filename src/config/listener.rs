//! Where callers come in: addresses, each with its encryption and with what is served there.

use std::net::SocketAddr;

use serde::Deserialize;

use super::{
    Tls,
    address::{self, Problem},
    value::As,
    written::WrittenTls,
};

/// A place where callers come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address.
    pub bind: SocketAddr,
    /// How it is encrypted, if at all.
    pub tls: Option<Tls>,
    /// What is served there, besides `/healthz` and `/readyz`.
    pub serves: Vec<Service>,
    /// Who may come.
    pub who: Who,
}

/// Something that a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub enum Service {
    /// `/mcp`.
    Mcp,
    /// `/metrics`.
    Metrics,
}

impl Service {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Mcp, Self::Metrics];
}

/// Who may come in by a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub enum Who {
    /// Who shows a token.
    #[default]
    Tokens,
}

#[derive(Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenListener {
    bind: As<SocketAddr>,
    #[serde(default)]
    tls: Option<WrittenTls>,
    #[serde(default)]
    plain_text: bool,
    #[serde(default = "everything")]
    serves: Vec<Service>,
    #[serde(default)]
    who: Who,
}

fn everything() -> Vec<Service> {
    Service::ALL.to_vec()
}

/// What is wrong with them: the key at fault, and what was expected of it.
pub(super) type Wrong = (&'static str, String);

/// Listeners that share their encryption and serve everything: the short form, `listen`.
pub(super) fn alike(listen: &[SocketAddr], tls: Option<Tls>, plain_text: bool) -> Result<Vec<Listener>, Problem> {
    address::check_listeners(listen.iter().map(|bind| (*bind, tls.is_some() || plain_text)))?;
    let one = |bind: &SocketAddr| Listener { bind: *bind, tls: tls.clone(), serves: everything(), who: Who::Tokens };
    Ok(listen.iter().map(one).collect())
}

/// What `listeners` means, which is not empty.
pub(super) fn each(written: Vec<WrittenListener>) -> Result<Vec<Listener>, Wrong> {
    let wrong = |why: &str| Err(("listeners", why.to_owned()));
    let ways = written.iter().map(|one| (one.bind.0, one.tls.is_some() || one.plain_text));
    match address::check_listeners(ways) {
        Ok(()) | Err(Problem::None) => (),
        Err(Problem::Twice) => return wrong("the same address stands here twice"),
        Err(Problem::Open(_)) => {
            return wrong(
                "an address other machines can reach needs its tls, or plain_text: true if something else encrypts",
            );
        }
    }
    if written.iter().any(|one| one.tls.is_some() && one.plain_text) {
        return wrong("tls and plain_text: true of one listener contradict each other; remove one");
    }
    if written.iter().any(|one| one.serves.is_empty()) {
        return wrong("expected Mcp or Metrics in serves: a listener that serves nothing is left out");
    }
    let meaning = |one: WrittenListener| Listener {
        bind: one.bind.0,
        tls: one.tls.map(WrittenTls::meaning),
        serves: one.serves,
        who: one.who,
    };
    Ok(written.into_iter().map(meaning).collect())
}
