//! Which addresses are which interface's.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
};

use super::{lines, routes::Connected};
use crate::{gap::Reader, host::Machine};
use kernel::proc::{fib_trie::Leaves, if_inet6, rtnetlink};

/// The machine's addresses, by interface.
#[derive(Debug, Default)]
pub struct Addresses {
    by_index: HashMap<u32, Vec<rtnetlink::Address>>,
    by_name: HashMap<String, Vec<rtnetlink::Address>>,
    indices: HashMap<String, u32>,
    lost: Vec<Ipv4Addr>,
}

/// Asks the kernel, or, where the machine's network is in another namespace, reads what files tell; then the routes tell which interface an
/// IPv4 address belongs to.
pub fn read(machine: &Machine, reader: &Reader<'_>, connected: &Connected) -> Addresses {
    let v6 = v6(reader);
    match asked(machine) {
        Some(known) => Addresses::of(known, &v6),
        None => Addresses::guessed(&v4(reader), &v6, connected),
    }
}

/// The numbers of interfaces, as far as their addresses tell, without reading a route.
pub fn indices(machine: &Machine, reader: &Reader<'_>) -> Addresses {
    let v6 = v6(reader);
    match asked(machine) {
        Some(known) => Addresses::of(known, &v6),
        None => Addresses::guessed(&[], &v6, &Connected::default()),
    }
}

/// `None`: the machine's are in another namespace, or a sandbox forbids netlink.
fn asked(machine: &Machine) -> Option<Vec<rtnetlink::Address>> {
    machine.kernel.addresses(&machine.root).ok().flatten()
}

/// None where IPv6 is off.
fn v6(reader: &Reader<'_>) -> Vec<if_inet6::Address> {
    let mut addresses = vec![];
    lines::read(reader, &format!("{}/net/if_inet6", reader.root().own()), |line| {
        line.trim_ascii().is_empty() || if_inet6::Address::parse(line).map(|address| addresses.push(address)).is_some()
    });
    addresses
}

fn v4(reader: &Reader<'_>) -> Vec<Ipv4Addr> {
    let mut leaves = Leaves::default();
    lines::read(reader, &format!("{}/net/fib_trie", reader.root().own()), |line| leaves.line(line));
    leaves.addresses()
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
    fn guessed(v4: &[Ipv4Addr], v6: &[if_inet6::Address], connected: &Connected) -> Self {
        let mut addresses = Self::default();
        let mut add = |name: &str, index, address: IpAddr, prefix, scope, flags| {
            let address = rtnetlink::Address { index, address, peer: None, prefix, scope, flags, label: None };
            addresses.by_name.entry(name.to_owned()).or_default().push(address);
        };
        for address in v4 {
            if address.is_loopback() {
                add("lo", 0, (*address).into(), 8, 254, 0x80);
            } else if let Some((interface, prefix)) = connected.to(*address) {
                add(interface, 0, (*address).into(), prefix, 0, 0);
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
    pub fn index(&self, name: &str) -> Option<u32> {
        self.indices.get(name).copied()
    }

    /// The addresses of an interface, IPv4 first.
    pub fn of_interface(&self, name: &str, index: Option<u32>) -> &[rtnetlink::Address] {
        let index = index.or_else(|| self.index(name));
        let known = index.and_then(|index| self.by_index.get(&index));
        known.or_else(|| self.by_name.get(name)).map_or(&[], Vec::as_slice)
    }

    /// Addresses of which only that they are the machine's is known.
    pub fn lost(&self) -> &[Ipv4Addr] {
        &self.lost
    }
}

/// Whether other machines on other networks could use it: not so the address every IPv6 interface gives itself.
pub fn is_given(address: &rtnetlink::Address) -> bool {
    match address.address {
        IpAddr::V4(_) => true,
        IpAddr::V6(address) => address.segments()[0] & 0xffc0 != 0xfe80,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        routes::{self, Wanted},
        tree::Tree,
    };

    fn shown(addresses: &Addresses, name: &str) -> Vec<String> {
        let own = addresses.of_interface(name, None);
        own.iter().map(|address| format!("{}/{}", address.address, address.prefix)).collect()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn an_address_without_an_interface_belongs_where_its_network_is() {
        let tree = Tree::new(&[
            (
                "proc/1/net/route",
                "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\nwg0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\n\
                eth1\t0000010A\t00000000\t0001\t0\t0\t0\t0000FFFF\neth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\n\
                eth9\t006433C6\t010200C0\t0003\t0\t0\t0\t00FFFFFF\n",
            ),
            (
                "proc/1/net/fib_trie",
                "  |-- 127.0.0.1\n     /32 host LOCAL\n  |-- 10.1.2.3\n     /32 host LOCAL\n  |-- 10.9.9.9\n     /32 host LOCAL\n\
                \n  |-- odd\n     /32 host LOCAL\n  |-- 192.0.2.7\n     /32 host LOCAL\n  |-- 198.51.100.1\n     /32 host LOCAL",
            ),
            ("proc/1/net/if_inet6", "fe8000000000000000fc00fffe000001 02 40 20 80     eth0\nodd\n"),
        ]);
        let host = tree.host();
        let (addresses, gaps) = tree.read(|reader| {
            let routes = routes::read(reader, Wanted { interface: None, most: 9 });
            read(host.machine(), reader, &routes.connected)
        });
        assert_eq!(shown(&addresses, "lo"), ["127.0.0.1/8"]);
        assert_eq!(shown(&addresses, "eth1"), ["10.1.2.3/16"]);
        assert_eq!(shown(&addresses, "wg0"), ["10.9.9.9/8"]);
        assert_eq!(shown(&addresses, "eth0"), ["192.0.2.7/24", "fe80::fc:ff:fe00:1/64"]);
        assert_eq!(addresses.lost(), [Ipv4Addr::new(198, 51, 100, 1)]);
        assert_eq!(addresses.index("eth0"), Some(2));
        let gaps: Vec<_> = gaps.rows().iter().map(|gap| (&*gap.file, gap.detail.as_deref())).collect();
        assert_eq!(
            gaps,
            [
                ("/proc/1/net/if_inet6", Some("cannot read line 2")),
                ("/proc/1/net/fib_trie", Some("cannot read line 8")),
            ]
        );
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
    fn the_address_that_an_interface_gives_itself_is_not_given() {
        let mut address = rtnetlink::Address {
            index: 1,
            address: "fd00::1".parse().unwrap(),
            peer: None,
            prefix: 64,
            scope: 0,
            flags: 0,
            label: None,
        };
        assert!(is_given(&address));
        address.address = "fe80::1".parse().unwrap();
        assert!(!is_given(&address));
    }
}
