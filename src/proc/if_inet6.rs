//! `/proc/net/if_inet6`: IPv6 addresses of interfaces, see proc_pid_net(5). Missing where IPv6 is off.

use std::net::Ipv6Addr;

use super::Malformed;
use super::ipv6_route::address;

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

/// Reads the text of `/proc/net/if_inet6`.
pub fn parse(text: &str) -> Result<Vec<Address>, Malformed> {
    let lines = text.lines().filter(|line| !line.trim_ascii().is_empty());
    lines.map(|line| Address::parse(line).ok_or_else(|| Malformed::line("net/if_inet6", text, line))).collect()
}

impl Address {
    fn parse(line: &str) -> Option<Self> {
        let mut columns = line.split_ascii_whitespace();
        let address = address(columns.next()?)?;
        let mut number = || u32::from_str_radix(columns.next()?, 16).ok();
        let (index, prefix, scope, flags) = (number()?, number()?, number()?, number()?);
        let prefix = u8::try_from(prefix).ok().filter(|prefix| *prefix <= 128)?;
        Some(Self { address, index, prefix, scope, flags, interface: columns.next()?.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_hexadecimal_and_may_grow() {
        let addresses = parse("fe8000000000000000fc00fffe000001 10a 40 20 80     eth0\n").unwrap();
        let expected = Address {
            address: "fe80::fc:ff:fe00:1".parse().unwrap(),
            index: 266,
            prefix: 64,
            scope: 0x20,
            flags: 0x80,
            interface: "eth0".into(),
        };
        assert_eq!(addresses, [expected]);
    }

    #[test]
    fn a_prefix_longer_than_an_address_is_refused() {
        assert!(parse("fe8000000000000000fc00fffe000001 01 81 20 80     eth0\n").is_err());
    }
}
