//! Network interfaces: what each is, and what stands on what.

mod outer;

use std::{collections::BTreeMap, str::FromStr};

use super::addresses::Addresses;
use crate::{gap::Reader, proc::net_dev};
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
    use crate::facts::{addresses, tree::Tree};

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
