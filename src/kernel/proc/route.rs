//! `/proc/net/route`: the main IPv4 routing table, see proc_pid_net(5).

use std::{borrow::Cow, net::Ipv4Addr};

use super::{Malformed, number, words};

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route<'a> {
    /// Interface; `*` for a route that refuses.
    pub interface: Cow<'a, str>,
    /// The network it leads to.
    pub destination: Ipv4Addr,
    /// Length of that network's prefix.
    pub prefix: u8,
    /// The next hop; `None` if the network is at the other end of the cable.
    pub gateway: Option<Ipv4Addr>,
    /// `RTF_*` of the kernel's route.h.
    pub flags: u32,
    /// The smaller is taken first.
    pub metric: u32,
}

impl<'a> Route<'a> {
    /// Whether it is for whatever no other route is for.
    pub fn is_default(&self) -> bool {
        self.prefix == 0 && self.destination.is_unspecified()
    }

    /// Reads one line of the table.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let mut columns = words(line);
        let interface = String::from_utf8_lossy(columns.next()?);
        let destination = address(columns.next()?)?;
        let gateway = address(columns.next()?).map(|gateway| (!gateway.is_unspecified()).then_some(gateway))?;
        let flags = u32::from_str_radix(std::str::from_utf8(columns.next()?).ok()?, 16).ok()?;
        let metric = metric(columns.nth(2)?)?; // past the reference count and the uses
        let mask = address(columns.next()?)?.to_bits();
        let prefix = u8::try_from(mask.leading_ones()).ok()?;
        Some(Self { interface, destination, prefix, gateway, flags, metric })
    }
}

/// Whether a line holds no route: the heading, or nothing at all.
pub fn is_heading(line: &[u8]) -> bool {
    line.starts_with(b"Iface") || line.trim_ascii().is_empty()
}

/// Reads the text of `/proc/net/route`. A line that makes no sense is left out; the first one is named.
pub fn parse(text: &str) -> (Vec<Route<'_>>, Option<Malformed>) {
    let (mut routes, mut odd) = (vec![], None);
    for line in text.lines().filter(|line| !is_heading(line.as_bytes())) {
        match Route::parse(line.as_bytes()) {
            Some(route) => routes.push(route),
            None => odd = odd.or_else(|| Some(Malformed::line("net/route", text, line))),
        }
    }
    (routes, odd)
}

/// The kernel prints this unsigned number as a signed one.
fn metric(word: &[u8]) -> Option<u32> {
    number(word).or_else(|| number::<i32>(word).map(i32::cast_unsigned))
}

/// The kernel prints the four bytes as one number of the machine: backwards on a little-endian one.
fn address(word: &[u8]) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?.to_ne_bytes()))
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;
    use crate::proc::Position;

    const TABLE: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
";

    #[test]
    fn bytes_stand_backwards() {
        let (routes, odd) = parse(TABLE);
        assert_eq!(odd, None);
        let default = Route {
            interface: "eth0".into(),
            destination: Ipv4Addr::UNSPECIFIED,
            prefix: 0,
            gateway: Some(Ipv4Addr::new(192, 0, 2, 1)),
            flags: 3,
            metric: 100,
        };
        assert_eq!(routes[0], default);
        assert_eq!((routes[1].destination, routes[1].prefix), (Ipv4Addr::new(192, 0, 2, 0), 24));
        assert_eq!(routes.iter().map(Route::is_default).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn an_odd_line_costs_only_itself() {
        for line in
            ["eth0 00000000 010200C0", "eth0\t0\t0\t0001\t0\t0\t4294967296\t0\t0", "eth0\tg\t0\t0001\t0\t0\t0\t0"]
        {
            let (heading, rest) = TABLE.split_once('\n').unwrap();
            let text = format!("{heading}\n{line}\n{}", rest.trim_end());
            let (routes, odd) = parse(&text);
            assert_eq!((routes.len(), odd.unwrap().position), (2, Position::Line(2)), "{line}");
        }
    }

    #[test]
    fn the_largest_metrics_are_printed_as_negative_numbers() {
        let (routes, _) = parse("eth0\t00000000\t010200C0\t0003\t0\t0\t-1\t00000000\t0\t0\t0\n");
        assert_eq!(routes[0].metric, u32::MAX);
    }
}
