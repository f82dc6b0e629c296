//! `/proc/net/fib_trie`, the one file under /proc with this machine's IPv4 addresses. It knows no interface: netlink
//! does, and this stands in where netlink is out of reach.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::{Malformed, number};

/// What the lines up to now have told.
#[derive(Debug, Default)]
pub struct Leaves {
    leaf: Option<Ipv4Addr>,
    addresses: BTreeSet<Ipv4Addr>,
}

impl Leaves {
    /// Takes the next line. False: it is a leaf without an address.
    pub fn line(&mut self, line: &[u8]) -> bool {
        let line = line.trim_ascii();
        if let Some(address) = line.strip_prefix(b"|-- ") {
            self.leaf = number(address);
            return self.leaf.is_some();
        }
        if line.starts_with(b"/32 host LOCAL") {
            self.addresses.extend(self.leaf);
        }
        true
    }

    /// The IPv4 addresses of this machine, in order and each once, loopback included.
    pub fn addresses(self) -> Vec<Ipv4Addr> {
        self.addresses.into_iter().collect()
    }
}

/// The IPv4 addresses of this machine, in order and each once, loopback included. A leaf that makes no sense is left out; the first one
/// is named.
pub fn parse(text: &str) -> (Vec<Ipv4Addr>, Option<Malformed>) {
    let (mut leaves, mut odd) = (Leaves::default(), None);
    for line in text.lines() {
        if !leaves.line(line.as_bytes()) {
            odd = odd.or_else(|| Some(Malformed::line("net/fib_trie", text, line)));
        }
    }
    (leaves.addresses(), odd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Position;

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
        assert_eq!(parse(text), (vec![Ipv4Addr::LOCALHOST, Ipv4Addr::new(192, 0, 2, 2)], None));
    }

    #[test]
    fn a_leaf_without_an_address_costs_only_itself() {
        let (addresses, odd) = parse("  |-- here\n     /32 host LOCAL\n  |-- 192.0.2.2\n     /32 host LOCAL");
        assert_eq!((addresses, odd.unwrap().position), (vec![Ipv4Addr::new(192, 0, 2, 2)], Position::Line(1)));
    }
}
