//! Where callers come in: addresses, each with its encryption and with what is served there.

use std::{net::SocketAddr, path::PathBuf};

use serde::Deserialize;

use super::{
    key::{At, Wrong, entry, section},
    value::As,
};

section! {
    /// The addresses to listen on, "address:port" ("[::1]:8080" for IPv6); port 0 takes any free one.
    /// Default: loopback alone. Any other address needs `tls`, or `plain_text: true`.
    listen: Vec<As<SocketAddr>> = vec![As(SocketAddr::from(([127, 0, 0, 1], 8080)))], Restart;

    /// The certificate chain and its key, PEM files. Default: None, no TLS.
    ///     tls: (certificate: "/etc/systemmanager-mcp/tls.crt", key: "/etc/systemmanager-mcp/tls.key"),
    tls: Option<WrittenTls> = None, Restart;

    /// Whether addresses other machines can reach may be served without TLS, so that tokens cross the network in the
    /// clear: true only where something else encrypts (a VPN, a proxy). Default: false.
    plain_text: bool = false, Restart;

    /// The long form of the three keys above, which are then left out: places where callers come in, each with an address and with tls or plain_text of
    /// its own. What a place `serves` is Mcp and Metrics (/metrics, for Prometheus), both unless said; /healthz and /readyz are everywhere. `who` may come
    /// there: Tokens, who shows a token. Default: none, which is the short form.
    ///     listeners: [
    ///         (bind: "127.0.0.1:8080"),
    ///         (bind: "0.0.0.0:8443", tls: (certificate: "/etc/systemmanager-mcp/tls.crt", key: "/etc/systemmanager-mcp/tls.key"), serves: [Mcp]),
    ///         (bind: "10.0.0.5:9100", plain_text: true, serves: [Metrics], who: Tokens),
    ///     ],
    listeners: Vec<WrittenListener> = vec![], Restart;
}

entry! {
    /// A certificate, as it is written.
    WrittenTls {
        /// The chain, the server's own first.
        certificate: As<PathBuf>;
        /// Its key.
        key: As<PathBuf>;
    }
}

entry! {
    /// A listener, as it is written.
    WrittenListener {
        /// An address, "address:port".
        bind: As<SocketAddr>;
        /// The certificate chain and its key, PEM files.
        tls: Option<WrittenTls> = default;
        /// Whether other machines may reach it without TLS.
        plain_text: bool = default;
        /// What is served there; unless said, all.
        serves: Services = default;
        /// Who may come.
        who: Who = default;
    }
}

/// The certificate chain and its key, PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The chain, the server's own first.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

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

/// What a listener serves, as it is written: everything, if it is not.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(transparent)]
pub(super) struct Services(Vec<Service>);

impl Default for Services {
    fn default() -> Self {
        Self(Service::ALL.to_vec())
    }
}

/// Who may come in by a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub enum Who {
    /// Who shows a token.
    #[default]
    Tokens,
}

impl Written {
    /// What the long form means, or else the short one.
    pub(super) fn meaning(self) -> Result<Vec<Listener>, Wrong> {
        let Self { listen, tls, plain_text, listeners } = self;
        let wrong = |key: &'static str, why: &str| Err((At::top(key), why.to_owned()));
        if !listeners.is_empty() {
            let is_usual = listen.is_empty() || listen == Self::default().listen;
            if !is_usual || tls.is_some() || plain_text {
                return wrong(
                    "listeners",
                    "listeners says it all: leave out listen, tls and plain_text, or write them for each listener",
                );
            }
            return each(listeners).or_else(|why| wrong("listeners", why));
        }
        if tls.is_some() && plain_text {
            return wrong("plain_text", "tls and plain_text: true contradict each other; remove one");
        }
        let listen: Vec<SocketAddr> = listen.into_iter().map(|address| address.0).collect();
        alike(&listen, tls.map(WrittenTls::meaning), plain_text).or_else(|problem| {
            let why = match problem {
                Problem::None => "expected at least one address",
                Problem::Twice => "the same address stands here twice",
                Problem::Open(_) => {
                    "an address other machines can reach needs tls, or plain_text: true if something else encrypts"
                }
            };
            wrong("listen", why)
        })
    }
}

impl WrittenTls {
    fn meaning(self) -> Tls {
        Tls { certificate: self.certificate.0, key: self.key.0 }
    }
}

/// What is wrong with some addresses.
pub(super) enum Problem {
    None,
    Twice,
    Open(SocketAddr),
}

/// Checks addresses, each with whether others may reach it: it is encrypted, or the operator says that something else encrypts.
fn check(listen: impl Iterator<Item = (SocketAddr, bool)>) -> Result<(), Problem> {
    let listen: Vec<_> = listen.collect();
    if listen.is_empty() {
        return Err(Problem::None);
    }
    // port 0 is another port each time
    let is_twice = |(at, (bind, _)): (usize, &(SocketAddr, bool))| {
        bind.port() != 0 && listen[..at].iter().any(|one| one.0 == *bind)
    };
    if listen.iter().enumerate().any(is_twice) {
        return Err(Problem::Twice);
    }
    let open = listen.iter().find(|(bind, may)| !may && !bind.ip().to_canonical().is_loopback());
    open.map_or(Ok(()), |(bind, _)| Err(Problem::Open(*bind)))
}

/// Listeners that share their encryption and serve everything: the short form, `listen`.
pub(super) fn alike(listen: &[SocketAddr], tls: Option<Tls>, plain_text: bool) -> Result<Vec<Listener>, Problem> {
    check(listen.iter().map(|bind| (*bind, tls.is_some() || plain_text)))?;
    let one = |bind: &SocketAddr| Listener {
        bind: *bind,
        tls: tls.clone(),
        serves: Services::default().0,
        who: Who::default(),
    };
    Ok(listen.iter().map(one).collect())
}

/// What `listeners` means, which is not empty.
fn each(written: Vec<WrittenListener>) -> Result<Vec<Listener>, &'static str> {
    let ways = written.iter().map(|one| (one.bind.0, one.tls.is_some() || one.plain_text));
    match check(ways) {
        Ok(()) | Err(Problem::None) => (),
        Err(Problem::Twice) => return Err("the same address stands here twice"),
        Err(Problem::Open(_)) => {
            return Err(
                "an address other machines can reach needs its tls, or plain_text: true if something else encrypts",
            );
        }
    }
    if written.iter().any(|one| one.tls.is_some() && one.plain_text) {
        return Err("tls and plain_text: true of one listener contradict each other; remove one");
    }
    if written.iter().any(|one| one.serves.0.is_empty()) {
        return Err("expected Mcp or Metrics in serves: a listener that serves nothing is left out");
    }
    let meaning = |one: WrittenListener| Listener {
        bind: one.bind.0,
        tls: one.tls.map(WrittenTls::meaning),
        serves: one.serves.0,
        who: one.who,
    };
    Ok(written.into_iter().map(meaning).collect())
}
