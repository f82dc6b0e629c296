//! Routes as rows, and where questions for names go.

use super::{Dns, Route};
use facts::{gap::Reader, routes};
use kernel::proc::resolv_conf::ResolvConf;

/// How many servers and domains are told; the resolver itself takes 3 and 6, or 256 characters.
const MOST: usize = 20;

impl Route {
    pub(super) fn of(route: &routes::Route) -> Self {
        Self {
            destination: format!("{}/{}", route.destination, route.prefix),
            gateway: route.gateway.map(|gateway| gateway.to_string()),
            interface: route.interface.clone(),
            metric: route.metric,
        }
    }
}

/// How names are looked up. `None`: nobody said, or it may not be read.
pub(super) fn dns(reader: &Reader<'_>) -> Option<Dns> {
    let conf = ResolvConf::parse(&reader.text("etc/resolv.conf")?);
    let upstream = || Some(ResolvConf::parse(&reader.text("run/systemd/resolve/resolv.conf")?));
    let upstream = if is_stub(&conf) { upstream() } else { None };
    let most = |mut words: Vec<String>| {
        words.truncate(MOST);
        words
    };
    Some(Dns {
        nameservers: most(conf.nameservers),
        search: most(conf.search),
        upstream_nameservers: upstream.map(|upstream| most(upstream.nameservers)),
    })
}

/// Whether systemd-resolved answers, and others answer it.
fn is_stub(conf: &ResolvConf) -> bool {
    conf.nameservers.iter().any(|server| server == "127.0.0.53" || server == "127.0.0.54")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stub_of_systemd_is_known() {
        assert!(is_stub(&ResolvConf::parse("nameserver 127.0.0.53\n")));
        assert!(!is_stub(&ResolvConf::parse("nameserver 127.0.0.1\n")));
    }
}
