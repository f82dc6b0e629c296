//! Where to listen, and what Host and Origin headers may say.

use std::net::SocketAddr;

use super::{listener::Listener, value::FromText};

/// The pages of the machine itself, on any port: what a browser may call from unless the configuration says otherwise.
pub(super) const LOCAL_ORIGINS: [&str; 6] = [
    "http://localhost:*",
    "https://localhost:*",
    "http://127.0.0.1:*",
    "https://127.0.0.1:*",
    "http://[::1]:*",
    "https://[::1]:*",
];

pub(super) enum Problem {
    None,
    Twice,
    Open(SocketAddr),
}

/// Checks addresses, each with whether others may reach it: it is encrypted, or the operator says that something else encrypts.
pub(super) fn check_listeners(listen: impl Iterator<Item = (SocketAddr, bool)>) -> Result<(), Problem> {
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

/// The configured names, those of the loopback, and the addresses listened on (all but "any": nobody calls it that).
pub(super) fn allowed_hosts(mut hosts: Vec<String>, listeners: &[Listener]) -> Vec<String> {
    hosts.extend(["localhost", "127.0.0.1", "[::1]"].map(str::to_owned));
    for address in listeners.iter().map(|listener| listener.bind).filter(|address| !address.ip().is_unspecified()) {
        let host = if address.is_ipv6() { format!("[{}]", address.ip()) } else { address.ip().to_string() };
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts
}

/// "name" or "name:port", in lower case.
#[derive(Debug, PartialEq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct Host(pub(super) String);

impl FromText for Host {
    const EXPECTED: &'static str = "a host like \"box.example\" or \"box.example:8443\", without a scheme";

    fn read(text: &str) -> Option<Self> {
        let name = match text.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => {
                port.parse::<u16>().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()))?;
                name
            }
            _ => text,
        };
        is_host(name).then(|| Self(text.to_ascii_lowercase()))
    }
}

/// "scheme://host:port", where the port may be *.
#[derive(Debug, PartialEq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct Origin(pub(super) String);

impl FromText for Origin {
    const EXPECTED: &'static str = "an origin like \"https://box.example\" or \"http://localhost:*\", without a path";

    fn read(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let host = lower.strip_prefix("http://").or_else(|| lower.strip_prefix("https://"))?;
        match host.strip_suffix(":*") {
            Some(name) => is_host(name).then_some(())?,
            None => Host::read(host).map(drop)?,
        }
        Some(Self(lower))
    }
}

/// Whether it can be the name of a host, or is an IPv6 address in brackets.
pub(super) fn is_host(name: &str) -> bool {
    match name.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok()),
        None => {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
            (1..=253).contains(&name.len()) && name.bytes().all(fits)
        }
    }
}
