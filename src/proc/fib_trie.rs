//! `/proc/net/fib_trie`, the one file under /proc with this machine's IPv4 addresses. It knows no interface: netlink
//! does, and this stands in where netlink is out of reach.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::Malformed;

/// The IPv4 addresses of this machine, in order and each once, loopback included.
pub fn parse(text: &str) -> Result<Vec<Ipv4Addr>, Malformed> {
    let mut leaf: Option<Ipv4Addr> = None;
    let mut addresses = BTreeSet::new();
    for line in text.lines() {
        let line = line.trim_ascii();
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = Some(address.parse().map_err(|_| Malformed::line("net/fib_trie", text, line))?);
        } else if line.starts_with("/32 host LOCAL") {
            addresses.extend(leaf);
        }
    }
    Ok(addresses.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Place;

    #[test]
    fn networks_and_broadcasts_are_no_addresses() {
        let text = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
Local:
  +-- 127.0.0.0/31 1 0 0
     |-- 127.0.0.0
        /8 host LOCAL
     |-- 127.0.0.1
        /32 host LOCAL
  |-- 192.0.2.2
     /32 host LOCAL
  |-- 192.0.2.2
     /32 host LOCAL
  |-- 192.0.2.255
     /32 link BROADCAST
";
        assert_eq!(parse(text).unwrap(), [Ipv4Addr::LOCALHOST, Ipv4Addr::new(192, 0, 2, 2)]);
    }

    #[test]
    fn a_leaf_without_an_address_is_named() {
        assert_eq!(parse("  |-- here\n").unwrap_err().place, Place::Line(1));
    }
}
