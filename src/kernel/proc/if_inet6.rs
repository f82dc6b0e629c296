//! `/proc/net/if_inet6`: IPv6 addresses of interfaces, see proc_pid_net(5). Missing where IPv6 is off.

use std::net::Ipv6Addr;

use super::{
    Malformed,
    ipv6_route::{address, hexadecimal},
    words,
};

/// One address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub address: Ipv6Addr,
    /// Number of the interface.
    pub index: u32,
    /// Length of the network's prefix.
    pub prefix: u8,
    /// `IPV6_ADDR_*`: 0x00 global, 0x10 host, 0x20 link, 0x40 site.
    pub scope: u32,
    /// `IFA_F_*`, the low 8 bits.
    pub flags: u32,
    /// Name of the interface.
    pub interface: String,
}

/// Reads the text of `/proc/net/if_inet6`. A line that makes no sense is left out; the first one is named.
pub fn parse(text: &str) -> (Vec<Address>, Option<Malformed>) {
    let (mut addresses, mut odd) = (vec![], None);
    for line in text.lines().filter(|line| !line.trim_ascii().is_empty()) {
        match Address::parse(line.as_bytes()) {
            Some(address) => addresses.push(address),
            None => odd = odd.or_else(|| Some(Malformed::line("net/if_inet6", text, line))),
        }
    }
    (addresses, odd)
}

impl Address {
    /// Reads one line of the table.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let mut columns = words(line);
        let address = address(columns.next()?)?;
        let mut number = || hexadecimal(columns.next()?);
        let (index, prefix, scope, flags) = (number()?, number()?, number()?, number()?);
        let prefix = u8::try_from(prefix).ok().filter(|prefix| *prefix <= 128)?;
        let interface = String::from_utf8_lossy(columns.next()?).into_owned();
        Some(Self { address, index, prefix, scope, flags, interface })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Position;

    #[test]
    fn numbers_are_hexadecimal_and_may_grow() {
        let (addresses, odd) = parse("fe8000000000000000fc00fffe000001 10a 40 20 80     eth0\n");
        let expected = Address {
            address: "fe80::fc:ff:fe00:1".parse().unwrap(),
            index: 266,
            prefix: 64,
            scope: 0x20,
            flags: 0x80,
            interface: "eth0".into(),
        };
        assert_eq!((addresses, odd), (vec![expected], None));
    }

    #[test]
    fn an_odd_line_costs_only_itself() {
        let good = "fe8000000000000000fc00fffe000001 01 40 20 80     eth0";
        for line in [good.replace(" 40 ", " 81 "), good.replace(" eth0", ""), good.replace(" 01 ", " 100000000 ")] {
            let (addresses, odd) = parse(&format!("{line}\n{good}"));
            assert_eq!((addresses.len(), odd.unwrap().position), (1, Position::Line(1)), "{line}");
        }
    }
}
