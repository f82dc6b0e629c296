//! Where packets and questions for names go.

use std::net::Ipv6Addr;

use super::{Dns, Route};
use crate::{
    failure::Failure,
    proc::{ipv6_route, resolv_conf::ResolvConf, route},
    root::Root,
};

const RTF_UP: u32 = 0x0001;
const RTF_REJECT: u32 = 0x0200;
const RTF_CACHE: u32 = 0x0100_0000;

/// How many servers and domains are told; the resolver itself takes 3 and 6, or 256 characters.
const MOST: usize = 20;

/// The routes of both families. Empty where a family is off.
pub(super) fn read(root: &Root) -> Result<(Vec<route::Route>, Vec<ipv6_route::Route>), Failure> {
    let own = root.own();
    let v4 = Failure::absent(root.text(&format!("{own}/net/route")))?;
    let v6 = Failure::absent(root.text(&format!("{own}/net/ipv6_route")))?;
    Ok((
        v4.map(|text| route::parse(&text)).transpose()?.unwrap_or_default(),
        v6.map(|text| ipv6_route::parse(&text)).transpose()?.unwrap_or_default(),
    ))
}

/// The default routes, those taken first in front, and the others in the kernel's order; only those of one interface, if it is named.
pub(super) fn rows(v4: &[route::Route], v6: &[ipv6_route::Route], interface: Option<&str>) -> (Vec<Route>, Vec<Route>) {
    let v4 = v4.iter().filter(|route| route.flags & RTF_UP != 0).map(|route| (route.prefix, Route::v4(route)));
    let v6 = v6.iter().filter(|route| is_main(route)).map(|route| (route.prefix, Route::v6(route)));
    let all = v4.chain(v6).filter(|(_, route)| interface.is_none_or(|name| route.interface.as_deref() == Some(name)));
    // a default route that refuses leads nowhere, yet is one
    let (mut default, others): (Vec<_>, Vec<_>) = all.partition(|(prefix, _)| *prefix == 0);
    default.sort_by_key(|(_, route)| (route.destination == "::/0", route.metric));
    let bare = |rows: Vec<(u8, Route)>| rows.into_iter().map(|(_, route)| route).collect();
    (bare(default), bare(others))
}

/// The file has all tables in one: what `ip -6 route` shows of it are no own, cached or multicast addresses.
fn is_main(route: &ipv6_route::Route) -> bool {
    // one that refuses is not said to be up; neither is what ends an empty table, which has a metric of its own
    let counts = route.flags & RTF_UP != 0 || (route.flags & RTF_REJECT != 0 && route.metric != u32::MAX);
    counts && route.flags & RTF_CACHE == 0 && !route.is_local() && !route.destination.is_multicast()
}

impl Route {
    fn v4(route: &route::Route) -> Self {
        let refuses = route.interface == "*" || route.flags & RTF_REJECT != 0;
        Self {
            destination: format!("{}/{}", route.destination, route.prefix),
            gateway: route.gateway.map(|gateway| gateway.to_string()),
            interface: (!refuses).then(|| route.interface.clone()),
            metric: route.metric,
        }
    }

    fn v6(route: &ipv6_route::Route) -> Self {
        Self {
            destination: format!("{}/{}", route.destination, route.prefix),
            gateway: route.gateway.as_ref().map(Ipv6Addr::to_string),
            interface: (route.flags & RTF_REJECT == 0).then(|| route.interface.clone()),
            metric: route.metric,
        }
    }
}

/// How names are looked up. `None`: nobody said, or it may not be read.
pub(super) fn dns(root: &Root) -> Option<Dns> {
    let conf = ResolvConf::parse(&root.text("etc/resolv.conf").ok()?);
    let upstream = || Some(ResolvConf::parse(&root.text("run/systemd/resolve/resolv.conf").ok()?));
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
    fn default_routes_stand_apart_and_the_first_taken_is_first() {
        let table = "\
eth1\t00000000\t010200C0\t0003\t0\t0\t200\t00000000\t0\t0\t0
eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
*\t000000C6\t00000000\t0201\t0\t0\t0\t000000FF\t0\t0\t0
eth9\t000000C7\t00000000\t0000\t0\t0\t0\t000000FF\t0\t0\t0
";
        let v4 = route::parse(table).unwrap();
        let (default, others) = rows(&v4, &[], None);
        let interfaces = |routes: &[Route]| routes.iter().map(|route| route.interface.clone()).collect::<Vec<_>>();
        assert_eq!(interfaces(&default), [Some("eth0".to_owned()), Some("eth1".to_owned())]);
        assert_eq!(interfaces(&others), [Some("eth0".to_owned()), None]);
        let (default, others) = rows(&v4, &[], Some("eth1"));
        assert_eq!((default.len(), others.len()), (1, 0));
    }

    #[test]
    fn of_the_tables_of_ipv6_only_the_main_one_is_shown() {
        let zero = "0".repeat(32);
        let line = |destination: &str, prefix, flags, interface| {
            let metric = if destination.is_empty() && interface == "lo" { "ffffffff" } else { "00000100" };
            format!("{destination:0<32} {prefix} {zero} 00 {zero} {metric} 00000001 00000000 {flags} {interface}\n")
        };
        let text = [
            line("fd00", "40", "00000001", "eth0"),
            line("fe80", "80", "80200001", "eth0"),
            line("ff", "08", "00000001", "eth0"),
            line("fd01", "80", "01000003", "eth0"),
            line("", "00", "00200200", "lo"),
            line("", "00", "00000003", "eth0"),
            line("fd02", "40", "00200200", "lo"),
        ];
        let (default, others) = rows(&[], &ipv6_route::parse(&text.concat()).unwrap(), None);
        assert_eq!(default.iter().map(|route| &*route.destination).collect::<Vec<_>>(), ["::/0"]);
        let others: Vec<_> = others.iter().map(|route| (&*route.destination, route.interface.as_deref())).collect();
        assert_eq!(others, [("fd00::/64", Some("eth0")), ("fd02::/64", None)]);
    }

    #[test]
    fn the_stub_of_systemd_is_known() {
        assert!(is_stub(&ResolvConf::parse("nameserver 127.0.0.53\n")));
        assert!(!is_stub(&ResolvConf::parse("nameserver 127.0.0.1\n")));
    }
}
