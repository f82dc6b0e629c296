//! What Host and Origin headers may say: what keeps web pages of others from calling this server by its visitors.

use super::{
    key::section,
    listeners::Listener,
    value::{As, FromText},
};

section! {
    /// The names clients may call this server by in their Host header, "name" (any port) or "name:port". Loopback names
    /// and the addresses listened on are always allowed. Default: none besides those.
    allowed_hosts: Vec<As<Host>> = vec![], Live;

    /// What an Origin header may say, "scheme://host:port", with * for any port: a request from a web page with any other is refused.
    /// Pages on loopback are always allowed.
    allowed_origins: Vec<As<Origin>> = LOCAL_ORIGINS.map(|origin| As(Origin(origin.into()))).into(), Live;
}

impl Written {
    /// The hosts, and the origins.
    pub(super) fn meaning(self, listeners: &[Listener]) -> (Vec<String>, Vec<String>) {
        let Self { allowed_hosts: hosts, allowed_origins } = self;
        let hosts = hosts.into_iter().map(|host| host.0.0).collect();
        (self::allowed_hosts(hosts, listeners), allowed_origins.into_iter().map(|origin| origin.0.0).collect())
    }
}

/// The pages of the machine itself, on any port: what a browser may call from unless the configuration says otherwise.
const LOCAL_ORIGINS: [&str; 6] = [
    "http://localhost:*",
    "https://localhost:*",
    "http://127.0.0.1:*",
    "https://127.0.0.1:*",
    "http://[::1]:*",
    "https://[::1]:*",
];

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
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Debug, PartialEq)]
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
