//! `/proc/net/ipv6_route`: all IPv6 routing tables in one, see the kernel's net/ipv6/route.c.

use std::{borrow::Cow, net::Ipv6Addr};

use super::{Malformed, words};

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route<'a> {
    /// Interface; `lo` also for routes that refuse.
    pub interface: Cow<'a, str>,
    /// The network it leads to.
    pub destination: Ipv6Addr,
    /// Length of that network's prefix.
    pub prefix: u8,
    /// The next hop; `None` if the network is at the other end of the cable.
    pub gateway: Option<Ipv6Addr>,
    /// The smaller is taken first.
    pub metric: u32,
    /// `RTF_*` of the kernel's ipv6_route.h.
    pub flags: u32,
}

impl<'a> Route<'a> {
    /// Whether it is for whatever no other route is for, and leads somewhere (`RTF_REJECT` is not set).
    pub fn is_default(&self) -> bool {
        self.prefix == 0 && self.destination.is_unspecified() && self.flags & 0x0200 == 0
    }

    /// Whether it is for an address of this machine (`RTF_LOCAL`), or for an anycast one (`RTF_ANYCAST`).
    pub fn is_local(&self) -> bool {
        self.flags & 0x8010_0000 != 0
    }

    /// Reads one line of the table.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let mut columns = words(line);
        let destination = address(columns.next()?)?;
        let prefix = u8::try_from(hexadecimal(columns.next()?)?).ok().filter(|prefix| *prefix <= 128)?;
        let gateway = address(columns.nth(2)?).map(|gateway| (!gateway.is_unspecified()).then_some(gateway))?;
        let metric = hexadecimal(columns.next()?)?;
        let flags = hexadecimal(columns.nth(2)?)?; // past the reference count and the uses
        let interface = String::from_utf8_lossy(columns.next()?);
        Some(Self { interface, destination, prefix, gateway, metric, flags })
    }
}

/// Reads the text of `/proc/net/ipv6_route`. A line that makes no sense is left out; the first one is named.
pub fn parse(text: &str) -> (Vec<Route<'_>>, Option<Malformed>) {
    let (mut routes, mut odd) = (vec![], None);
    for line in text.lines().filter(|line| !line.trim_ascii().is_empty()) {
        match Route::parse(line.as_bytes()) {
            Some(route) => routes.push(route),
            None => odd = odd.or_else(|| Some(Malformed::line("net/ipv6_route", text, line))),
        }
    }
    (routes, odd)
}

/// 32 digits, in the order they are written everywhere.
pub(super) fn address(word: &[u8]) -> Option<Ipv6Addr> {
    if word.len() != 32 {
        return None;
    }
    Some(Ipv6Addr::from(u128::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?))
}

/// A number of 32 bits in hexadecimal digits.
pub(super) fn hexadecimal(word: &[u8]) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Position;

    const ZERO: &str = "00000000000000000000000000000000";

    #[test]
    fn the_default_route_has_a_gateway() {
        let gateway = "fd000000000000000000000000000001";
        let text = format!("{ZERO} 00 {ZERO} 00 {gateway} 00000400 00000002 00000000 00000003     eth0\n");
        let (routes, _) = parse(&text);
        let expected = Route {
            interface: "eth0".into(),
            destination: Ipv6Addr::UNSPECIFIED,
            prefix: 0,
            gateway: Some("fd00::1".parse().unwrap()),
            metric: 1024,
            flags: 3,
        };
        assert_eq!(routes, [expected]);
        assert!(routes[0].is_default() && !routes[0].is_local());
    }

    #[test]
    fn the_null_route_is_no_default() {
        let text = format!("{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200200       lo\n");
        let (routes, _) = parse(&text);
        assert_eq!((routes[0].is_default(), routes[0].gateway), (false, None));
    }

    #[test]
    fn own_addresses_are_routes_too() {
        let own = "fe8000000000000000fc00fffe000001";
        let text = format!("{own} 80 {ZERO} 00 {ZERO} 00000000 00000002 00000000 80200001     eth0\n");
        assert!(parse(&text).0[0].is_local());
    }

    #[test]
    fn an_odd_line_costs_only_itself() {
        let good = format!("{ZERO} 00 {ZERO} 00 {ZERO} 00000400 00000002 00000000 00000001 eth0");
        for line in [ZERO.to_owned(), good.replace(" 00 ", " 81 "), good.replace("00000400", "100000000")] {
            let text = format!("{line}\n{good}");
            let (routes, odd) = parse(&text);
            assert_eq!((routes.len(), odd.unwrap().position), (1, Position::Line(1)), "{line}");
        }
    }
}
