//! Which addresses are which interface's.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
};

use super::Address;
use crate::{
    failure::Failure,
    host::Machine,
    proc::{fib_trie, if_inet6, route::Route, rtnetlink},
};

/// The machine's addresses, by interface.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    by_index: HashMap<u32, Vec<rtnetlink::Address>>,
    by_name: HashMap<String, Vec<rtnetlink::Address>>,
    indices: HashMap<String, u32>,
    lost: Vec<Ipv4Addr>,
}

/// Asks the kernel, or, where the machine's network is in another namespace, reads what files tell.
pub(super) fn read(machine: &Machine, routes: &[Route]) -> Result<Addresses, Failure> {
    let (root, own) = (&machine.root, machine.root.own());
    let v6 = Failure::absent(root.text(&format!("{own}/net/if_inet6")))?;
    let v6 = v6.map(|text| if_inet6::parse(&text)).transpose()?.unwrap_or_default();
    // a sandbox may forbid netlink
    if let Ok(Some(known)) = machine.kernel.addresses(root) {
        return Ok(Addresses::of(known, &v6));
    }
    let v4 = Failure::absent(root.text(&format!("{own}/net/fib_trie")))?;
    let v4 = v4.map(|text| fib_trie::parse(&text)).transpose()?.unwrap_or_default();
    Ok(Addresses::guessed(&v4, &v6, routes))
}

impl Addresses {
    fn of(known: Vec<rtnetlink::Address>, v6: &[if_inet6::Address]) -> Self {
        let mut addresses = Self::default();
        for address in v6 {
            addresses.indices.insert(address.interface.clone(), address.index);
        }
        for address in known {
            if let Some(label) = &address.label {
                let label = String::from_utf8_lossy(label);
                // `eth0:1` is an alias of eth0
                let name = label.split(':').next().unwrap_or_default().to_owned();
                addresses.indices.entry(name).or_insert(address.index);
            }
            addresses.by_index.entry(address.index).or_default().push(address);
        }
        addresses
    }

    /// An IPv4 address belongs to the interface that leads to its network without a gateway.
    fn guessed(v4: &[Ipv4Addr], v6: &[if_inet6::Address], routes: &[Route]) -> Self {
        let mut addresses = Self::default();
        let mut add = |name: &str, index, address: IpAddr, prefix, scope, flags| {
            let address = rtnetlink::Address { index, address, peer: None, prefix, scope, flags, label: None };
            addresses.by_name.entry(name.to_owned()).or_default().push(address);
        };
        for address in v4 {
            let fits = |route: &&Route| {
                let mask = u32::MAX.checked_shl(32 - u32::from(route.prefix)).unwrap_or(0);
                let is_connected = route.gateway.is_none() && route.prefix > 0 && route.interface != "*";
                is_connected && address.to_bits() & mask == route.destination.to_bits()
            };
            if address.is_loopback() {
                add("lo", 0, (*address).into(), 8, 254, 0x80);
            } else if let Some(route) = routes.iter().filter(fits).max_by_key(|route| route.prefix) {
                add(&route.interface, 0, (*address).into(), route.prefix, 0, 0);
            } else {
                addresses.lost.push(*address);
            }
        }
        for address in v6 {
            let scope = match address.scope & 0xf0 {
                0x10 => 254,
                0x20 => 253,
                0x40 => 200,
                _ => 0,
            };
            let flags = address.flags;
            let name = &address.interface;
            let own = rtnetlink::Address {
                index: address.index,
                address: address.address.into(),
                peer: None,
                prefix: address.prefix,
                scope,
                flags,
                label: None,
            };
            addresses.by_name.entry(name.clone()).or_default().push(own);
            addresses.indices.insert(name.clone(), address.index);
        }
        addresses
    }

    /// The interface's number, as far as its addresses tell.
    pub(super) fn index(&self, name: &str) -> Option<u32> {
        self.indices.get(name).copied()
    }

    /// The addresses of an interface, IPv4 first.
    pub(super) fn of_interface(&self, name: &str, index: Option<u32>) -> &[rtnetlink::Address] {
        let index = index.or_else(|| self.index(name));
        let known = index.and_then(|index| self.by_index.get(&index));
        known.or_else(|| self.by_name.get(name)).map_or(&[], Vec::as_slice)
    }

    /// Addresses of which only that they are the machine's is known.
    pub(super) fn lost(&self) -> impl Iterator<Item = String> {
        self.lost.iter().map(Ipv4Addr::to_string)
    }
}

/// Whether other machines on other networks could use it: not so the address every IPv6 interface gives itself.
pub(super) fn is_given(address: &rtnetlink::Address) -> bool {
    match address.address {
        IpAddr::V4(_) => true,
        IpAddr::V6(address) => address.segments()[0] & 0xffc0 != 0xfe80,
    }
}

/// `192.0.2.1/24`.
pub(super) fn plain(address: &rtnetlink::Address) -> String {
    format!("{}/{}", address.address, address.prefix)
}

impl Address {
    pub(super) fn of(address: &rtnetlink::Address) -> Self {
        let is_v4 = address.address.is_ipv4();
        let flags = [
            (0x01, if is_v4 { "secondary" } else { "temporary" }),
            (0x02, "nodad"),
            (0x04, "optimistic"),
            (0x08, "dadfailed"),
            (0x10, "home"),
            (0x20, "deprecated"),
            (0x40, "tentative"),
            (0x100, "mngtmpaddr"),
            (0x200, "noprefixroute"),
        ];
        let flags = flags.iter().filter(|(bit, _)| address.flags & bit != 0).map(|(_, name)| (*name).to_owned());
        // as ip calls what is not permanent
        let dynamic = (address.flags & 0x80 == 0).then(|| "dynamic".to_owned());
        Self {
            address: plain(address),
            peer: address.peer.map(|peer| peer.to_string()),
            scope: match address.scope {
                0 => "global".to_owned(),
                200 => "site".to_owned(),
                253 => "link".to_owned(),
                254 => "host".to_owned(),
                other => other.to_string(),
            },
            flags: flags.chain(dynamic).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(interface: &str, destination: [u8; 4], prefix: u8, gateway: Option<[u8; 4]>) -> Route {
        let (destination, gateway) = (destination.into(), gateway.map(Ipv4Addr::from));
        Route { interface: interface.to_owned(), destination, prefix, gateway, flags: 1, metric: 0 }
    }

    fn shown(addresses: &Addresses, name: &str) -> Vec<String> {
        addresses.of_interface(name, None).iter().map(plain).collect()
    }

    #[test]
    fn an_address_without_an_interface_belongs_where_its_network_is() {
        let routes = [
            route("eth0", [0, 0, 0, 0], 0, Some([192, 0, 2, 1])),
            route("wg0", [10, 0, 0, 0], 8, None),
            route("eth1", [10, 1, 0, 0], 16, None),
            route("eth0", [192, 0, 2, 0], 24, None),
            route("eth9", [198, 51, 100, 0], 24, Some([192, 0, 2, 1])),
        ];
        let own = [[127, 0, 0, 1], [10, 1, 2, 3], [10, 9, 9, 9], [192, 0, 2, 7], [198, 51, 100, 1]].map(Ipv4Addr::from);
        let v6 = if_inet6::parse("fe8000000000000000fc00fffe000001 02 40 20 80     eth0\n").unwrap();
        let addresses = Addresses::guessed(&own, &v6, &routes);
        assert_eq!(shown(&addresses, "lo"), ["127.0.0.1/8"]);
        assert_eq!(shown(&addresses, "eth1"), ["10.1.2.3/16"]);
        assert_eq!(shown(&addresses, "wg0"), ["10.9.9.9/8"]);
        assert_eq!(shown(&addresses, "eth0"), ["192.0.2.7/24", "fe80::fc:ff:fe00:1/64"]);
        assert_eq!(addresses.lost().collect::<Vec<_>>(), ["198.51.100.1"]);
        assert_eq!(addresses.index("eth0"), Some(2));
    }

    #[test]
    fn without_sysfs_labels_tell_the_numbers() {
        let address = |index, address: &str, label: Option<&str>| rtnetlink::Address {
            index,
            address: address.parse().unwrap(),
            peer: None,
            prefix: 24,
            scope: 0,
            flags: 0x80,
            label: label.map(|label| label.as_bytes().to_vec()),
        };
        let addresses = Addresses::of(vec![address(3, "192.0.2.1", Some("eth0:1")), address(3, "fd00::1", None)], &[]);
        assert_eq!(shown(&addresses, "eth0"), ["192.0.2.1/24", "fd00::1/24"]);
        assert_eq!(addresses.of_interface("other", Some(3)).len(), 2);
        assert!(addresses.of_interface("other", None).is_empty());
    }

    #[test]
    fn flags_have_the_names_ip_gives_them() {
        let mut address = rtnetlink::Address {
            index: 1,
            address: "fd00::1".parse().unwrap(),
            peer: None,
            prefix: 64,
            scope: 0,
            flags: 0x61,
            label: None,
        };
        assert_eq!(Address::of(&address).flags, ["temporary", "deprecated", "tentative", "dynamic"]);
        assert!(is_given(&address));
        address.address = "fe80::1".parse().unwrap();
        assert!(!is_given(&address));
    }
}
