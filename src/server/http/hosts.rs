//! Host and Origin: a web page in somebody's browser must not be able to speak to this server, by whatever name it found it.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, Uri, header, uri::Authority};

/// The names this server answers to, and the web pages that may ask.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl Hosts {
    /// Lets in `hosts` (`name` or `name:port`) and `origins` (`scheme://name[:port]`, `:*` for any port) beside what is always let in: loopback names, and
    /// the very address a request came in on.
    pub fn new(hosts: impl IntoIterator<Item = String>, origins: impl IntoIterator<Item = String>) -> Self {
        Self {
            hosts: hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect(),
            origins: origins.into_iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase()).collect(),
        }
    }

    /// Checks a request's head; `local` is the address it came in on. What is wrong is said with the key that would allow it.
    pub fn check(&self, uri: &Uri, headers: &HeaderMap, local: SocketAddr) -> Result<(), String> {
        let mut given = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (given.next(), given.next()) else {
            return Err("a request needs one Host header".to_owned());
        };
        let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
        for authority in [host.as_ref(), uri.authority()].into_iter().flatten() {
            if !has_plain_port(authority) {
                return Err("the port behind the host name is not a number up to 65535".to_owned());
            }
            if !self.is_host(authority, local) {
                let name = redact::clean(authority.host(), 100);
                return Err(format!(
                    "this server does not answer to the host name {name:?}: add it to allowed_hosts in the config, or start with --allow-host {name}"
                ));
            }
        }
        if host.is_none() {
            return Err("the Host header is not a host name".to_owned());
        }
        let mut origins = headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => Ok(()),
            (Some(origin), None) if origin.to_str().is_ok_and(|origin| self.is_origin(origin)) => Ok(()),
            (Some(origin), _) => {
                let name = redact::clean(&String::from_utf8_lossy(origin.as_bytes()), 100).into_owned();
                Err(format!("web pages from {name:?} may not ask: add it to allowed_origins in the config"))
            }
        }
    }

    fn is_host(&self, authority: &Authority, local: SocketAddr) -> bool {
        // a name before an @ is no part of the host, and no honest client sends one
        if authority.as_str().contains('@') {
            return false;
        }
        let host = authority.host().to_ascii_lowercase();
        let name = host.strip_suffix('.').unwrap_or(&host);
        if is_loopback(name) {
            return true;
        }
        // DNS rebinding needs a name; the address itself cannot be rebound
        if address(name).is_some_and(|address| address.to_canonical() == local.ip().to_canonical()) {
            return true;
        }
        let with_port = authority.port_u16().map(|port| format!("{name}:{port}"));
        self.hosts.iter().any(|allowed| allowed == name || with_port.as_ref() == Some(allowed))
    }

    fn is_origin(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        let any_port = |allowed: &str| {
            let rest = allowed.strip_suffix(":*").and_then(|allowed| origin.strip_prefix(allowed));
            rest.is_some_and(|rest| {
                rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
            })
        };
        if self.origins.iter().any(|allowed| *allowed == origin || any_port(allowed)) {
            return true;
        }
        let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        let authority = rest.and_then(|rest| rest.parse::<Authority>().ok());
        authority.is_some_and(|authority| {
            is_loopback(authority.host()) && !authority.as_str().contains('@') && has_plain_port(&authority)
        })
    }
}

/// Whether what follows the name is a port, or nothing does.
fn has_plain_port(authority: &Authority) -> bool {
    let host_and_port = authority.as_str().rsplit('@').next().unwrap_or_default();
    matches!(host_and_port.strip_prefix(authority.host()), Some("" | ":")) || authority.port_u16().is_some()
}

fn is_loopback(name: &str) -> bool {
    name == "localhost" || address(name).is_some_and(|address| address.to_canonical().is_loopback())
}

fn address(name: &str) -> Option<IpAddr> {
    name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hosts: &Hosts, host: &str, origin: Option<&str>) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        hosts.check(&Uri::from_static("/mcp"), &headers, "192.0.2.7:8080".parse().unwrap())
    }

    #[test]
    fn loopback_and_the_address_itself_are_always_let_in() {
        let hosts = Hosts::default();
        for host in ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:8080", "192.0.2.7:8080", "192.0.2.7"] {
            assert_eq!(check(&hosts, host, None), Ok(()), "{host}");
        }
    }

    #[test]
    fn any_other_name_is_refused_with_the_key_to_set() {
        let hosts = Hosts::new(["box.lan".to_owned(), "proxy:8443".to_owned()], []);
        for host in [
            "evil.example",
            "box.lan.evil",
            "localhost.evil",
            "192.0.2.8",
            "user@localhost",
            "proxy:1",
            "127.0.0.1.nip.io",
        ] {
            let why = check(&hosts, host, None).unwrap_err();
            assert!(why.contains("allowed_hosts"), "{host}: {why}");
        }
        for host in ["box.lan", "Box.Lan.:99", "proxy:8443", "box.lan:"] {
            assert_eq!(check(&hosts, host, None), Ok(()), "{host}");
        }
        for host in ["localhost:evil", "box.lan:8o", "127.0.0.1:99999", "[::1]:x"] {
            assert!(
                check(&hosts, host, None).is_err_and(|why| why.contains("port") || why.contains("host name")),
                "{host}"
            );
        }
    }

    #[test]
    fn only_loopback_pages_and_named_ones_may_ask() {
        let hosts = Hosts::new([], ["https://ui.example".to_owned(), "https://any.example:*".to_owned()]);
        for origin in [
            "http://localhost:3000",
            "https://127.0.0.1",
            "http://[::1]:1",
            "https://ui.example",
            "https://any.example",
            "https://any.example:9",
        ] {
            assert_eq!(check(&hosts, "localhost", Some(origin)), Ok(()), "{origin}");
        }
        for origin in [
            "null",
            "http://evil.example",
            "http://localhost.evil",
            "ftp://localhost",
            "http://localhost@evil",
            "https://ui.example:1",
            "",
        ] {
            assert!(check(&hosts, "localhost", Some(origin)).is_err(), "{origin}");
        }
    }

    #[test]
    fn a_second_host_header_or_none_is_refused() {
        let hosts = Hosts::default();
        let mut headers = HeaderMap::new();
        let local = "127.0.0.1:1".parse().unwrap();
        assert!(hosts.check(&Uri::from_static("/"), &headers, local).is_err());
        headers.append(header::HOST, "localhost".parse().unwrap());
        headers.append(header::HOST, "evil".parse().unwrap());
        assert!(hosts.check(&Uri::from_static("/"), &headers, local).is_err());
    }

    #[test]
    fn the_name_in_an_absolute_request_line_counts_too() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost".parse().unwrap());
        let uri = Uri::from_static("http://evil.example/mcp");
        assert!(Hosts::default().check(&uri, &headers, "127.0.0.1:1".parse().unwrap()).is_err());
    }
}
