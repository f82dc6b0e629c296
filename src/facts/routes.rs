//! Where packets go: the routes of both families, in totals and the first of them.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
};

use super::lines::{self, Extent};
use crate::gap::Reader;
use kernel::proc::{ipv6_route, route};

const RTF_UP: u32 = 0x0001;
const RTF_REJECT: u32 = 0x0200;
const RTF_CACHE: u32 = 0x0100_0000;

/// Default routes that are kept. More than a few are a mistake.
const DEFAULTS: usize = 1000;

/// The main routing tables.
#[derive(Debug, Default)]
pub struct Routes {
    /// The default routes, IPv4's first and those that are taken first in front.
    pub default: Vec<Route>,
    /// The first of all others, in the kernel's order.
    pub others: Vec<Route>,
    /// How many others there are. `None`: a table could not be read to its end.
    pub others_total: Option<usize>,
    /// IPv4 networks at the other end of a cable.
    pub connected: Connected,
}

/// One route; of several next hops the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The network it leads to.
    pub destination: IpAddr,
    /// Length of that network's prefix.
    pub prefix: u8,
    /// The next hop.
    pub gateway: Option<IpAddr>,
    /// `None`: it refuses.
    pub interface: Option<String>,
    /// The smaller is taken first.
    pub metric: u32,
}

/// The interfaces that lead to IPv4 networks without a gateway.
#[derive(Debug, Default)]
pub struct Connected(HashMap<(u8, u32), String>);

/// Which routes are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Those of this interface alone.
    pub interface: Option<&'a str>,
    /// Of other than default routes no more than this many; the rest is counted.
    pub most: usize,
}

/// Reads the tables of both families. They are never held whole.
pub fn read(reader: &Reader<'_>, wanted: Wanted<'_>) -> Routes {
    let own = reader.root().own();
    let mut routes = Routes::default();
    let mut total = 0;
    let v4 = format!("{own}/net/route");
    let four = lines::read(reader, &v4, |line| {
        route::is_heading(line)
            || route::Route::parse(line).map(|route| routes.v4(&route, wanted, &mut total)).is_some()
    });
    if four == Extent::Absent {
        reader.missing(&v4, None);
    }
    let six = lines::read(reader, &format!("{own}/net/ipv6_route"), |line| {
        line.trim_ascii().is_empty()
            || ipv6_route::Route::parse(line).map(|route| routes.v6(&route, wanted, &mut total)).is_some()
    });
    // without IPv6 there is no such table
    routes.others_total = (four == Extent::Whole && six != Extent::Broken).then_some(total);
    routes.default.sort_by_key(|route| (route.destination.is_ipv6(), route.metric));
    routes
}

/// A route as the table tells it, before it is known whether it is wanted.
struct Told<'a> {
    destination: IpAddr,
    prefix: u8,
    gateway: Option<IpAddr>,
    interface: Option<&'a str>,
    metric: u32,
}

impl Routes {
    fn v4(&mut self, route: &route::Route<'_>, wanted: Wanted<'_>, total: &mut usize) {
        if route.flags & RTF_UP == 0 {
            return;
        }
        if route.gateway.is_none() && route.prefix > 0 && route.interface != "*" {
            self.connected.add(route);
        }
        let refuses = route.interface == "*" || route.flags & RTF_REJECT != 0;
        let told = Told {
            destination: route.destination.into(),
            prefix: route.prefix,
            gateway: route.gateway.map(IpAddr::from),
            interface: (!refuses).then_some(&*route.interface),
            metric: route.metric,
        };
        self.add(&told, wanted, total);
    }

    fn v6(&mut self, route: &ipv6_route::Route<'_>, wanted: Wanted<'_>, total: &mut usize) {
        if !is_main(route) {
            return;
        }
        let refuses = route.flags & RTF_REJECT != 0;
        let told = Told {
            destination: route.destination.into(),
            prefix: route.prefix,
            gateway: route.gateway.map(IpAddr::from),
            interface: (!refuses).then_some(&*route.interface),
            metric: route.metric,
        };
        self.add(&told, wanted, total);
    }

    fn add(&mut self, told: &Told<'_>, wanted: Wanted<'_>, total: &mut usize) {
        if wanted.interface.is_some_and(|name| told.interface != Some(name)) {
            return;
        }
        // a default route that refuses leads nowhere, yet is one
        let (kept, most) =
            if told.prefix == 0 { (&mut self.default, DEFAULTS) } else { (&mut self.others, wanted.most) };
        if told.prefix > 0 {
            *total += 1;
        }
        if kept.len() < most {
            kept.push(Route {
                destination: told.destination,
                prefix: told.prefix,
                gateway: told.gateway,
                interface: told.interface.map(str::to_owned),
                metric: told.metric,
            });
        }
    }
}

impl Connected {
    fn add(&mut self, route: &route::Route<'_>) {
        let network = (route.prefix, route.destination.to_bits());
        // the first is the one of the least metric
        self.0.entry(network).or_insert_with(|| route.interface.clone().into_owned());
    }

    /// The interface that leads to this address, and the length of the prefix of its network.
    pub fn to(&self, address: Ipv4Addr) -> Option<(&str, u8)> {
        (1..=32).rev().find_map(|prefix| {
            let network = address.to_bits() & (u32::MAX << (32 - prefix));
            self.0.get(&(prefix, network)).map(|interface| (interface.as_str(), prefix))
        })
    }
}

/// The file has all tables in one: what `ip -6 route` shows of it are no own, cached or multicast addresses.
fn is_main(route: &ipv6_route::Route<'_>) -> bool {
    // one that refuses is not said to be up; neither is what ends an empty table, which has a metric of its own
    let counts = route.flags & RTF_UP != 0 || (route.flags & RTF_REJECT != 0 && route.metric != u32::MAX);
    counts && route.flags & RTF_CACHE == 0 && !route.is_local() && !route.destination.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{gap::Why, tree::Tree};

    const HEADING: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
    const ALL: Wanted<'static> = Wanted { interface: None, most: 100 };

    fn interfaces(routes: &[Route]) -> Vec<Option<&str>> {
        routes.iter().map(|route| route.interface.as_deref()).collect()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn default_routes_stand_apart_and_the_first_taken_is_first() {
        let table = "\
eth1\t00000000\t010200C0\t0003\t0\t0\t200\t00000000\t0\t0\t0
eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
*\t000000C6\t00000000\t0201\t0\t0\t0\t000000FF\t0\t0\t0
eth9\t000000C7\t00000000\t0000\t0\t0\t0\t000000FF\t0\t0\t0
";
        let tree = Tree::new(&[("proc/1/net/route", &format!("{HEADING}{table}"))]);
        let routes = tree.read(|reader| read(reader, ALL)).0;
        assert_eq!(interfaces(&routes.default), [Some("eth0"), Some("eth1")]);
        assert_eq!(interfaces(&routes.others), [Some("eth0"), None]);
        assert_eq!(routes.connected.to([192, 0, 2, 9].into()), Some(("eth0", 24)));
        assert_eq!(routes.connected.to([192, 0, 3, 9].into()), None);
        let (routes, _) = tree.read(|reader| read(reader, Wanted { interface: Some("eth1"), most: 9 }));
        assert_eq!((routes.default.len(), routes.others_total), (1, Some(0)));
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
        let tree = Tree::new(&[("proc/1/net/route", HEADING), ("proc/1/net/ipv6_route", &text.concat())]);
        let (routes, gaps) = tree.read(|reader| read(reader, ALL));
        assert_eq!(interfaces(&routes.default), [Some("eth0")]);
        let others: Vec<_> =
            routes.others.iter().map(|route| (route.destination.to_string(), route.interface.as_deref())).collect();
        assert_eq!(others, [("fd00::".to_owned(), Some("eth0")), ("fd02::".to_owned(), None)]);
        assert!(gaps.is_empty());
    }

    #[test]
    fn a_table_of_any_length_is_counted_whole_and_its_beginning_kept() {
        let mut table = String::from(HEADING);
        for number in 0..80_000u32 {
            let (destination, mask) = ((number << 8).to_be(), 0xffff_ff00_u32.to_be());
            table +=
                &format!("eth0\t{destination:08X}\t010200C0\t0003\t0\t0\t0\t{mask:08X}\t0\t0\t0                 \n");
        }
        assert!(table.len() > 4 << 20);
        table += "eth0\t0102";
        let tree = Tree::new(&[("proc/1/net/route", &table)]);
        let (routes, gaps) = tree.read(|reader| read(reader, Wanted { interface: None, most: 20 }));
        assert_eq!((routes.others.len(), routes.others_total), (20, Some(80_000)));
        assert_eq!(gaps.rows()[0].detail.as_deref(), Some("cannot read line 80002"));
        assert_eq!(gaps.rows()[0].file, "/proc/1/net/route");
    }

    #[test]
    fn without_its_table_the_total_is_unknown() {
        let tree = Tree::new(&[("proc/1/net/ipv6_route", "")]);
        let (routes, gaps) = tree.read(|reader| read(reader, ALL));
        assert_eq!((routes.others_total, gaps.rows()[0].why), (None, Why::Missing));
    }
}
