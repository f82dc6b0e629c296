//! `/proc/net/route`: the main IPv4 routing table, see proc_pid_net(5).

use std::net::Ipv4Addr;

use super::Malformed;

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Interface; `*` for a route that refuses.
    pub interface: String,
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

impl Route {
    /// Whether it is for whatever no other route is for.
    pub fn is_default(&self) -> bool {
        self.prefix == 0 && self.destination.is_unspecified()
    }

    fn parse(line: &str) -> Option<Self> {
        let mut columns = line.split_ascii_whitespace();
        let interface = columns.next()?.to_owned();
        let destination = address(columns.next()?)?;
        let gateway = address(columns.next()?).map(|gateway| (!gateway.is_unspecified()).then_some(gateway))?;
        let flags = u32::from_str_radix(columns.next()?, 16).ok()?;
        let metric = columns.nth(2)?.parse().ok()?; // past the reference count and the uses
        let mask = address(columns.next()?)?.to_bits();
        let prefix = u8::try_from(mask.leading_ones()).ok()?;
        Some(Self { interface, destination, prefix, gateway, flags, metric })
    }
}

/// Reads the text of `/proc/net/route`.
pub fn parse(text: &str) -> Result<Vec<Route>, Malformed> {
    let lines = text.lines().filter(|line| !line.trim_ascii().is_empty() && !line.starts_with("Iface"));
    lines.map(|line| Route::parse(line).ok_or_else(|| Malformed::line("net/route", text, line))).collect()
}

/// The kernel prints the four bytes as one number of the machine: backwards on a little-endian one.
fn address(word: &str) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(u32::from_str_radix(word, 16).ok()?.to_ne_bytes()))
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;
    use crate::proc::Place;

    const TABLE: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
";

    #[test]
    fn bytes_stand_backwards() {
        let routes = parse(TABLE).unwrap();
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
    fn a_line_cut_short_is_named() {
        assert_eq!(parse("eth0 00000000 010200C0").unwrap_err().place, Place::Line(1));
    }
}
