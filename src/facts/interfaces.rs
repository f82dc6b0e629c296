//! Network interfaces: what each is, and what stands on what.

mod outer;

use std::{collections::BTreeMap, str::FromStr};

use super::{
    Seen,
    addresses::{self, Addresses},
};
use crate::{
    exposition::{Column, Exposition, Kind, Value},
    gap::Reader,
};
use kernel::proc::net_dev;
use outer::Link;

/// The interfaces that `/proc/net/dev` counts, and what sysfs says of them: nothing, where it is missing or shows those of another network
/// namespace.
#[derive(Clone, Copy, Debug)]
pub struct Interfaces<'a> {
    reader: &'a Reader<'a>,
    counted: &'a [net_dev::Interface],
    addresses: &'a Addresses,
    is_ours: bool,
}

/// What sysfs says of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its number.
    pub index: Option<u32>,
    /// The kernel's operstate; `unknown` is normal for those made in software.
    pub state: Option<String>,
    /// Whether there is a signal. `None` while it is switched off.
    pub carrier: Option<bool>,
    /// ethernet, wifi, bridge, bond, veth and so on; `virtual` if only that is known.
    pub kind: Option<String>,
    /// The bridge or bond it belongs to.
    pub master: Option<String>,
    /// The largest packet, in bytes.
    pub mtu: Option<u32>,
    /// As the device says, in bits a second.
    pub speed: Option<u64>,
}

/// What else is known of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// The address of its link layer, where this is a MAC address.
    pub mac: Option<String>,
    /// What an operator wrote there.
    pub alias: Option<String>,
    /// The kernel's driver.
    pub driver: Option<String>,
    /// `full` or `half`.
    pub duplex: Option<String>,
    /// How often the signal came or went; since Linux 3.15.
    pub carrier_changes: Option<u64>,
    /// Interfaces that belong to it, by name.
    pub ports: Vec<String>,
    /// How its ports are bonded.
    pub bond: Option<Bond>,
    /// Everything that is counted, by the kernel's names.
    pub counters: BTreeMap<String, u64>,
}

/// How ports are bonded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bond {
    /// `active-backup`, `802.3ad` and so on.
    pub mode: Option<String>,
    /// The port in use, where the mode uses one at a time.
    pub active: Option<String>,
}

impl<'a> Interfaces<'a> {
    /// Those that were counted, and where they stand.
    pub fn of(reader: &'a Reader<'a>, counted: &'a [net_dev::Interface], addresses: &'a Addresses) -> Self {
        let sysfs = Self { reader, counted, addresses, is_ours: true };
        let (mut known, mut unknown) = (false, false);
        for name in counted.iter().map(|interface| &*interface.name).filter(|name| *name != "lo").take(64) {
            match (sysfs.number::<u32>(name, "ifindex"), addresses.index(name)) {
                (Some(here), Some(there)) if here != there => return Self { is_ours: false, ..sysfs },
                (here, _) => *(if here.is_some() { &mut known } else { &mut unknown }) = true,
            }
        }
        Self { is_ours: known || !unknown, ..sysfs }
    }

    fn path(name: &str, file: &str) -> String {
        format!("sys/class/net/{name}/{file}")
    }

    fn word(&self, name: &str, file: &str) -> Option<String> {
        if self.is_ours { self.reader.word(&Self::path(name, file)) } else { None }
    }

    fn number<N: FromStr>(&self, name: &str, file: &str) -> Option<N> {
        self.word(name, file)?.parse().ok()
    }

    fn has(&self, name: &str, file: &str) -> bool {
        self.is_ours && self.reader.root().exists(&Self::path(name, file))
    }

    fn names(&self, name: &str, directory: &str) -> Vec<String> {
        if self.is_ours { self.reader.names(&Self::path(name, directory)) } else { vec![] }
    }

    /// The last part of where a link of sysfs leads.
    fn link(&self, name: &str, file: &str) -> Option<String> {
        let path = Self::path(name, file);
        if self.is_ours { self.reader.keep(&path, self.reader.root().link_name(&path)).flatten() } else { None }
    }

    fn master(&self, name: &str) -> Option<String> {
        self.link(name, "master")
    }

    /// The interfaces it stands on.
    fn lowers(&self, name: &str) -> Vec<String> {
        let lower = |file: String| file.strip_prefix("lower_").map(str::to_owned);
        self.names(name, ".").into_iter().filter_map(lower).collect()
    }

    /// Its number, by sysfs or else as far as its addresses tell.
    pub fn index(&self, name: &str) -> Option<u32> {
        self.number(name, "ifindex").or_else(|| self.addresses.index(name))
    }

    /// What sysfs says of one.
    pub fn read(&self, name: &str) -> Interface {
        let index = self.index(name);
        Interface {
            index,
            state: self.word(name, "operstate"),
            carrier: self.number::<u8>(name, "carrier").map(|carrier| carrier != 0),
            kind: self.kind(name, index),
            master: self.master(name),
            mtu: self.number(name, "mtu"),
            speed: speed(self.number(name, "speed")),
        }
    }

    /// What kind of interface it is. `None`: there is no sysfs.
    pub fn kind(&self, name: &str, index: Option<u32>) -> Option<String> {
        let link_type = self.number::<u32>(name, "type")?;
        if let Some(devtype) = self.devtype(name) {
            return Some(if devtype == "wlan" { "wifi".to_owned() } else { devtype });
        }
        let exists = |file| self.has(name, file);
        let tun_flags = self.word(name, "tun_flags");
        let kind = match link_type {
            // IFF_TAP
            _ if tun_flags.as_deref().and_then(hexadecimal).is_some_and(|flags| flags & 2 != 0) => "tap",
            _ if tun_flags.is_some() => "tun",
            1 if exists("bridge") => "bridge",
            1 | 32 if exists("bonding") => "bond",
            1 if exists("wireless") || exists("phy80211") => "wifi",
            1 if exists("device") => "ethernet",
            1 => {
                let stacked = !self.lowers(name).is_empty();
                let other_end = self.number::<u32>(name, "iflink").filter(|_| !stacked);
                software(name, index, other_end)
            }
            32 => "infiniband",
            280 => "can",
            512 => "ppp",
            519 => "rawip",
            768 => "ipip",
            769 => "ip6tnl",
            772 => "loopback",
            776 => "sit",
            778 => "gre",
            801..=803 => "wifi",
            823 => "ip6gre",
            // point-to-point without a link layer
            65534 => "tun",
            other => return Some(format!("type {other}")),
        };
        Some(kind.to_owned())
    }

    /// A number of sysfs, decimal or with `0x`. What is below zero is not known, such as the speed of a link that is down.
    fn told(&self, name: &str, file: &str) -> Value {
        let word = self.word(name, file);
        if file == "speed" {
            // bytes a second
            let bits = speed(word.and_then(|word| word.parse().ok()));
            return bits.map(|bits| bits / 8).into();
        }
        let number = word.and_then(|word| hexadecimal(&word).map(u64::from).or_else(|| word.parse().ok()));
        number.into()
    }

    fn devtype(&self, name: &str) -> Option<String> {
        let uevent = self.word(name, "uevent")?;
        let devtype = uevent.lines().find_map(|line| line.strip_prefix("DEVTYPE="));
        devtype.filter(|devtype| !devtype.is_empty()).map(str::to_owned)
    }

    /// What else is known of one.
    pub fn depth(&self, interface: &net_dev::Interface) -> Depth {
        let name = &interface.name;
        // the link layers whose addresses are MAC addresses
        let has_mac = matches!(self.number::<u32>(name, "type"), Some(1 | 6 | 24 | 32 | 801..=803));
        let uevent = self.word(name, "device/uevent").unwrap_or_default();
        let is_port = |other: &&net_dev::Interface| self.master(&other.name).as_ref() == Some(name);
        let mut ports: Vec<_> = self.counted.iter().filter(is_port).map(|other| other.name.clone()).collect();
        ports.sort_unstable();
        Depth {
            mac: self.word(name, "address").filter(|_| has_mac),
            alias: self.word(name, "ifalias"),
            driver: uevent.lines().find_map(|line| line.strip_prefix("DRIVER=")).map(str::to_owned),
            duplex: self.word(name, "duplex").filter(|duplex| duplex != "unknown"),
            carrier_changes: self.number(name, "carrier_changes"),
            ports,
            bond: self.word(name, "bonding/mode").map(|mode| Bond {
                // `active-backup 1`
                mode: mode.split(' ').next().map(str::to_owned),
                active: self.word(name, "bonding/active_slave"),
            }),
            counters: self.counters(interface),
        }
    }

    /// Everything that is counted. Without sysfs what /proc/net/dev has, under the same names.
    fn counters(&self, interface: &net_dev::Interface) -> BTreeMap<String, u64> {
        let name = &interface.name;
        let mut counters = BTreeMap::new();
        for file in self.names(name, "statistics") {
            if let Some(count) = self.number(name, &format!("statistics/{file}")) {
                counters.insert(file, count);
            }
        }
        if counters.is_empty() {
            let (received, sent) = (&interface.received, &interface.sent);
            let known = [
                ("rx_bytes", received.bytes),
                ("rx_packets", received.packets),
                ("rx_errors", received.errors),
                ("rx_dropped", received.dropped),
                ("rx_fifo_errors", received.fifo),
                ("rx_frame_errors", received.frame),
                ("multicast", received.multicast),
                ("tx_bytes", sent.bytes),
                ("tx_packets", sent.packets),
                ("tx_errors", sent.errors),
                ("tx_dropped", sent.dropped),
                ("tx_fifo_errors", sent.fifo),
                ("collisions", sent.collisions),
                ("tx_carrier_errors", sent.carrier),
            ];
            counters.extend(known.map(|(name, count)| (name.to_owned(), count)));
        }
        counters
    }

    /// Those over which the machine, or the container, exchanges bytes with others, each byte over one of them.
    pub fn outer(&self) -> Vec<&'a net_dev::Interface> {
        let devices: Vec<_> = self.counted.iter().map(|one| self.has(&one.name, "device")).collect();
        let any = devices.contains(&true);
        // where there are devices nothing else counts, and there may be thousands of others
        let asked = self.counted.iter().zip(devices).filter(|(_, device)| !any || *device);
        let links: Vec<Link> = asked.map(|(one, device)| self.stands(&one.name, device)).collect();
        let outer = outer::of(&links);
        self.counted.iter().filter(|one| outer.contains(&&*one.name)).collect()
    }

    fn stands(&self, name: &str, device: bool) -> Link {
        let is_function = |port: String| {
            let port =
                port.strip_prefix('c').map_or(&*port, |rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
            port.starts_with("pf")
        };
        let link_type = self.number::<u32>(name, "type");
        let made = ["bridge", "bonding", "tun_flags"].iter().any(|file| self.has(name, file));
        Link {
            name: name.to_owned(),
            device,
            index: self.number(name, "ifindex"),
            other_end: self.number(name, "iflink").filter(|_| device || (link_type == Some(1) && !made)),
            master: self.master(name),
            lowers: self.lowers(name),
            // a switch's port for a virtual function, and the machine's end of a Xen guest's interface
            is_guests: device
                && (self.word(name, "phys_port_name").is_some_and(is_function)
                    || self.link(name, "device/subsystem").as_deref() == Some("xen-backend")),
            is_made: made || self.devtype(name).is_some_and(|devtype| outer::is_made(&devtype)),
            // PPP, and what has no link layer
            is_tunnel: matches!(link_type, Some(512 | 65534)) || self.has(name, "tun_flags"),
        }
    }
}

/// What `/proc/net/dev` counts of each interface.
const COUNTED: &[Column<net_dev::Interface>] = &[
    ("node_network_receive_bytes_total", Kind::Counter, "Bytes received.", |one| one.received.bytes.into()),
    ("node_network_receive_packets_total", Kind::Counter, "Packets received.", |one| one.received.packets.into()),
    ("node_network_receive_errs_total", Kind::Counter, "Faulty packets received.", |one| one.received.errors.into()),
    ("node_network_receive_drop_total", Kind::Counter, "Packets received and dropped.", |one| {
        one.received.dropped.into()
    }),
    ("node_network_receive_fifo_total", Kind::Counter, "Buffer overruns.", |one| one.received.fifo.into()),
    ("node_network_receive_frame_total", Kind::Counter, "Framing errors.", |one| one.received.frame.into()),
    ("node_network_receive_compressed_total", Kind::Counter, "Compressed packets received.", |one| {
        one.received.compressed.into()
    }),
    ("node_network_receive_multicast_total", Kind::Counter, "Multicast packets received.", |one| {
        one.received.multicast.into()
    }),
    ("node_network_transmit_bytes_total", Kind::Counter, "Bytes sent.", |one| one.sent.bytes.into()),
    ("node_network_transmit_packets_total", Kind::Counter, "Packets sent.", |one| one.sent.packets.into()),
    ("node_network_transmit_errs_total", Kind::Counter, "Packets not sent for an error.", |one| one.sent.errors.into()),
    ("node_network_transmit_drop_total", Kind::Counter, "Packets dropped instead of sent.", |one| {
        one.sent.dropped.into()
    }),
    ("node_network_transmit_fifo_total", Kind::Counter, "Buffer underruns.", |one| one.sent.fifo.into()),
    ("node_network_transmit_colls_total", Kind::Counter, "Collisions.", |one| one.sent.collisions.into()),
    ("node_network_transmit_carrier_total", Kind::Counter, "Losses of carrier.", |one| one.sent.carrier.into()),
    ("node_network_transmit_compressed_total", Kind::Counter, "Compressed packets sent.", |one| {
        one.sent.compressed.into()
    }),
];

/// What sysfs says of each interface in a number: the family, its kind and the file.
const TOLD: &[(&str, Kind, &str)] = &[
    ("node_network_address_assign_type", Kind::Gauge, "addr_assign_type"),
    ("node_network_carrier", Kind::Gauge, "carrier"),
    ("node_network_carrier_changes_total", Kind::Counter, "carrier_changes"),
    ("node_network_carrier_down_changes_total", Kind::Counter, "carrier_down_count"),
    ("node_network_carrier_up_changes_total", Kind::Counter, "carrier_up_count"),
    ("node_network_device_id", Kind::Gauge, "dev_id"),
    ("node_network_dormant", Kind::Gauge, "dormant"),
    ("node_network_flags", Kind::Gauge, "flags"),
    ("node_network_iface_id", Kind::Gauge, "ifindex"),
    ("node_network_iface_link", Kind::Gauge, "iflink"),
    ("node_network_iface_link_mode", Kind::Gauge, "link_mode"),
    ("node_network_mtu_bytes", Kind::Gauge, "mtu"),
    ("node_network_name_assign_type", Kind::Gauge, "name_assign_type"),
    ("node_network_net_dev_group", Kind::Gauge, "netdev_group"),
    ("node_network_protocol_type", Kind::Gauge, "type"),
    ("node_network_receive_nohandler_total", Kind::Counter, "statistics/rx_nohandler"),
    ("node_network_speed_bytes", Kind::Gauge, "speed"),
    ("node_network_transmit_queue_length", Kind::Gauge, "tx_queue_len"),
];

/// Counters of the interfaces, and what they are.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let Some(counted) = seen.sample.interfaces.as_deref() else { return };
    page.table(COUNTED, "device", counted.iter().map(|one| (&*one.name, one)));
    let addresses = addresses::indices(seen.machine, seen.reader);
    let interfaces = Interfaces::of(seen.reader, counted, &addresses);
    for (name, kind, file) in TOLD {
        let mut family = page.family(*name, *kind, &format!("What /sys/class/net/*/{file} says of each interface."));
        for one in counted {
            family.add(&[("device", &*one.name)], interfaces.told(&one.name, file));
        }
    }
    let help = "Whether the kernel's word for the state of each interface is `up`.";
    let mut up = page.family("node_network_up", Kind::Gauge, help);
    let states: Vec<Option<String>> = counted.iter().map(|one| interfaces.word(&one.name, "operstate")).collect();
    for (one, state) in counted.iter().zip(&states) {
        up.add(&[("device", &*one.name)], state.as_ref().map(|state| state == "up"));
    }
    drop(up);
    expose_bonds(counted, &interfaces, page);
    let mut info = page.family("node_network_info", Kind::Gauge, "What is known of each interface in words.");
    for (one, state) in counted.iter().zip(states).filter_map(|(one, state)| Some((one, state?))) {
        let word = |file: &str| interfaces.word(&one.name, file).unwrap_or_default();
        let flags = hexadecimal(&word("flags"));
        let is_up = |flags: u32| if flags & 1 == 1 { "up" } else { "down" };
        let labels = [
            ("device", &*one.name),
            ("address", &word("address")),
            ("broadcast", &word("broadcast")),
            ("duplex", &word("duplex")),
            ("operstate", &state),
            ("adminstate", flags.map_or("", is_up)),
            ("ifalias", &word("ifalias")),
        ];
        info.add(&labels, 1_u64);
    }
}

/// How many ports each bond has, and how many of them have a signal.
fn expose_bonds(counted: &[net_dev::Interface], interfaces: &Interfaces<'_>, page: &mut Exposition) {
    let bonds = counted.iter().filter_map(|one| Some((&*one.name, interfaces.word(&one.name, "bonding/slaves")?)));
    let bonds: Vec<(&str, usize, usize)> = bonds
        .map(|(name, ports)| {
            let has_signal = |port: &&str| {
                let status = interfaces.word(name, &format!("lower_{port}/bonding_slave/mii_status"));
                let status = status.or_else(|| interfaces.word(port, "bonding_slave/mii_status"));
                status.is_some_and(|status| status == "up")
            };
            let ports: Vec<&str> = ports.split_ascii_whitespace().collect();
            (name, ports.len(), ports.iter().copied().filter(has_signal).count())
        })
        .collect();
    let mut ports = page.family("node_bonding_slaves", Kind::Gauge, "Ports that each bond has.");
    bonds.iter().for_each(|(name, all, _)| ports.add(&[("master", name)], *all));
    drop(ports);
    let mut active = page.family("node_bonding_active", Kind::Gauge, "Ports of each bond that have a signal.");
    bonds.iter().for_each(|(name, _, active_ports)| active.add(&[("master", name)], *active_ports));
}

/// An Ethernet interface without a device, and not on top of another one. A veth names the number of its other end, which is in another namespace and may be equal.
fn software(name: &str, index: Option<u32>, other_end: Option<u32>) -> &'static str {
    let has_other_end = index.zip(other_end).is_some_and(|(own, other)| own != other);
    if has_other_end || name.starts_with("veth") {
        "veth"
    } else if name.starts_with("tap") {
        "tap"
    } else {
        "virtual"
    }
}

fn hexadecimal(word: &str) -> Option<u32> {
    u32::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

/// The speed file holds megabits, and where the driver does not know -1, in old kernels cast to 16 or 32 bits.
fn speed(megabits: Option<i64>) -> Option<u64> {
    let megabits = megabits.filter(|megabits| !matches!(megabits, 65_535 | 4_294_967_295))?;
    u64::try_from(megabits).ok().filter(|megabits| *megabits > 0)?.checked_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{addresses, tree::Tree};

    #[test]
    fn unknown_speeds_are_no_speeds() {
        assert_eq!(speed(Some(1000)), Some(1_000_000_000));
        for unknown in [None, Some(-1), Some(0), Some(65_535), Some(4_294_967_295)] {
            assert_eq!(speed(unknown), None);
        }
    }

    #[test]
    fn software_interfaces_are_told_by_their_other_end() {
        assert_eq!(software("eth0", Some(2), Some(9)), "veth");
        assert_eq!(software("veth0", Some(2), Some(2)), "veth");
        assert_eq!(software("dummy0", Some(2), Some(2)), "virtual");
        assert_eq!(software("ifb0", None, Some(2)), "virtual");
    }

    fn counted(names: &[&str]) -> Vec<net_dev::Interface> {
        let line = |name: &&str| format!("{name}: 1 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0\n");
        net_dev::parse(&names.iter().map(line).collect::<String>()).0
    }

    /// The outer ones of these interfaces in a tree of these files below `sys/class/net`.
    fn outer(names: &[&str], files: &[(&str, &str)]) -> Vec<String> {
        let tree = Tree::new(&[]);
        for (file, text) in files {
            tree.write(&format!("sys/class/net/{file}"), text);
        }
        let (counted, addresses) = (counted(names), Addresses::default());
        let (names, gaps) = tree.read(|reader| {
            let outer = Interfaces::of(reader, &counted, &addresses).outer();
            outer.iter().map(|one| one.name.clone()).collect()
        });
        assert!(gaps.is_empty(), "{gaps:?}");
        names
    }

    #[test]
    fn of_a_bridge_on_a_bond_of_two_ports_with_a_vlan_the_ports_count() {
        let files = [
            ("eno1/ifindex", "2"),
            ("eno1/device/uevent", "DRIVER=igb"),
            ("eno1/master", "uplink"),
            ("eno2/ifindex", "3"),
            ("eno2/device/uevent", "DRIVER=igb"),
            ("eno2/master", "uplink"),
            ("uplink/ifindex", "4"),
            ("uplink/lower_eno1/ifindex", "2"),
            ("uplink/master", "lan"),
            ("lan/ifindex", "5"),
            ("lan/bridge/bridge_id", "8000"),
            ("guests/ifindex", "6"),
            ("guests/uevent", "DEVTYPE=vlan"),
            ("guests/lower_uplink/ifindex", "4"),
            ("secure/ifindex", "7"),
            ("secure/type", "65534"),
            ("pair/ifindex", "8"),
            ("pair/iflink", "2"),
            ("pair/type", "1"),
        ];
        let names = ["lo", "eno1", "eno2", "uplink", "lan", "guests", "secure", "pair"];
        assert_eq!(outer(&names, &files), ["eno1", "eno2"]);
    }

    #[test]
    fn ports_of_virtual_functions_and_xen_s_backends_are_guests() {
        let mut files = vec![];
        for (name, port) in [("enp1s0np0", "p0"), ("enp1s0npf0vf3", "pf0vf3"), ("eth4", "c1pf0sf2")] {
            files.push((format!("{name}/device/uevent"), ""));
            files.push((format!("{name}/ifindex"), "3"));
            files.push((format!("{name}/phys_port_name"), port));
        }
        files.push(("vif1.0/device/subsystem".to_owned(), "xen-backend"));
        files.push(("enp1s0v0/device/physfn/uevent".to_owned(), ""));
        let files: Vec<_> = files.iter().map(|(file, text)| (file.as_str(), *text)).collect();
        let names = ["enp1s0np0", "enp1s0npf0vf3", "eth4", "vif1.0", "enp1s0v0"];
        assert_eq!(outer(&names, &files), ["enp1s0np0", "enp1s0v0"]);
    }

    #[test]
    fn of_a_container_that_has_containers_its_own_end_counts() {
        let files = [
            ("eth0/ifindex", "2"),
            ("eth0/iflink", "17"),
            ("eth0/type", "1"),
            ("net1/ifindex", "3"),
            ("net1/iflink", "2"),
            ("net1/type", "1"),
            ("docker0/ifindex", "4"),
            ("docker0/bridge/bridge_id", "8000"),
            ("docker0/type", "1"),
            ("veth1a2b/ifindex", "9"),
            ("veth1a2b/iflink", "8"),
            ("veth1a2b/type", "1"),
            ("veth1a2b/master", "docker0"),
            ("tunnel/ifindex", "10"),
            ("tunnel/iflink", "0"),
            ("tunnel/type", "776"),
            ("vpn/ifindex", "11"),
            ("vpn/tun_flags", "0x1001"),
            ("vpn/type", "65534"),
        ];
        let names = ["lo", "eth0", "net1", "docker0", "veth1a2b", "tunnel", "vpn"];
        assert_eq!(outer(&names, &files), ["eth0", "net1"]);
    }

    #[test]
    fn without_sysfs_names_tell() {
        assert_eq!(outer(&["lo", "eth0", "br0", "veth3", "team0", "wg0", "eth0.7"], &[]), ["eth0"]);
    }

    #[test]
    fn sysfs_of_another_namespace_is_not_believed() {
        let tree = Tree::new(&[
            ("sys/class/net/eth0/ifindex", "2"),
            ("sys/class/net/eth0/operstate", "up"),
            ("proc/1/net/if_inet6", "fd000000000000000000000000000001 07 40 00 80 eth0"),
        ]);
        let (host, counted) = (tree.host(), counted(&["eth0"]));
        let (told, _) = tree.read(|reader| {
            let addresses = addresses::indices(host.machine(), reader);
            Interfaces::of(reader, &counted, &addresses).read("eth0")
        });
        assert_eq!(told, Interface { index: Some(7), ..Interface::default() });
    }
}
