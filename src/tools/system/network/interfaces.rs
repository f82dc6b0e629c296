//! The interfaces as rows, and one in depth.

use std::{collections::BTreeMap, fmt, str::FromStr};

use super::{
    Address, Bond, Details, Interface, Network,
    addresses::{self, Addresses},
};
use crate::{
    failure::Failure,
    host::{Machine, Window},
    page::Page,
    proc::net_dev,
    root::Root,
    table::Table,
};

/// How many addresses a row shows.
const ADDRESSES: usize = 4;

/// How many addresses and ports the details show.
const MOST: usize = 100;

/// A row's place in the list: as `ip` lists them, by number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    index: u32,
    name: String,
}

/// One page of the list.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) total: usize,
    pub(super) folded: usize,
    pub(super) rows: Vec<Interface>,
    pub(super) next: Option<String>,
    pub(super) details: Option<Details>,
}

/// Most interfaces have a number; the name is for those that have none.
impl FromStr for Place {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.strip_prefix("name.") {
            Some(name) => Self { index: u32::MAX, name: name.to_owned() },
            None => Self { index: text.parse()?, name: char::MAX.to_string() },
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.index == u32::MAX { write!(f, "name.{}", self.name) } else { write!(f, "{}", self.index) }
    }
}

pub(super) fn read(
    machine: &Machine,
    window: &Window,
    addresses: &Addresses,
    request: &Network,
    page: &Page<Place>,
) -> Result<Listed, Failure> {
    let counted = window.now.interfaces.as_deref();
    let counted = counted.ok_or_else(|| Failure::Unavailable("/proc/net/dev".to_owned()))?;
    let sysfs = Sysfs::of(&machine.root, counted, addresses)?;
    if let Some(name) = request.name.as_deref() {
        let found = counted.iter().find(|interface| interface.name == name);
        let found = found.ok_or_else(|| Failure::NotFound(format!("the interface {name:?}")))?;
        let index = sysfs.index(addresses, name)?;
        let row = row(sysfs, window, addresses, found, index, kind(sysfs, name, index)?)?;
        let details = Some(details(sysfs, window, addresses, counted, found, index)?);
        return Ok(Listed { total: 1, folded: 0, rows: vec![row], next: None, details });
    }
    let mut folded = 0;
    let mut listed = vec![];
    for interface in counted {
        let name = &interface.name;
        let index = sysfs.index(addresses, name)?;
        let has_address = addresses.of_interface(name, index).iter().any(addresses::is_given);
        // thousands of them are told by their names alone
        if !request.all
            && (is_guests(name, None, has_address)
                || is_guests(name, kind(sysfs, name, index)?.as_deref(), has_address))
        {
            folded += 1;
        } else {
            listed.push((Place { index: index.unwrap_or(u32::MAX), name: name.clone() }, (interface, index)));
        }
    }
    listed.sort_by(|(a, _), (b, _)| a.cmp(b));
    let total = listed.len();
    let (shown, next) = page.by_key(listed);
    let row = |(interface, index): (&net_dev::Interface, _)| {
        row(sysfs, window, addresses, interface, index, kind(sysfs, &interface.name, index)?)
    };
    let rows = shown.into_iter().map(row).collect::<Result<_, _>>()?;
    Ok(Listed { total, folded, rows, next, details: None })
}

/// Whether an interface is the machine's end of a container's or a virtual machine's: one of hundreds, of which none has an address.
fn is_guests(name: &str, kind: Option<&str>, has_address: bool) -> bool {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    match kind {
        // a container's own is a veth as well
        Some("veth" | "tap") => !has_address && !starts(&["eth", "en"]),
        Some("bridge") => starts(&["fwbr"]),
        Some(_) => false,
        None => !has_address && net_dev::is_guests(name),
    }
}

/// What sysfs says of interfaces; nothing, where it is missing or shows those of another network namespace.
#[derive(Clone, Copy)]
struct Sysfs<'a> {
    root: &'a Root,
    is_ours: bool,
}

impl<'a> Sysfs<'a> {
    fn of(root: &'a Root, counted: &[net_dev::Interface], addresses: &Addresses) -> Result<Self, Failure> {
        let sysfs = Self { root, is_ours: true };
        let (mut known, mut unknown) = (false, false);
        for name in counted.iter().map(|interface| &*interface.name).filter(|name| *name != "lo").take(64) {
            match (sysfs.number::<u32>(name, "ifindex")?, addresses.index(name)) {
                (Some(here), Some(there)) if here != there => return Ok(Self { root, is_ours: false }),
                (here, _) => *(if here.is_some() { &mut known } else { &mut unknown }) = true,
            }
        }
        Ok(Self { root, is_ours: known || !unknown })
    }

    fn path(name: &str, file: &str) -> String {
        format!("sys/class/net/{name}/{file}")
    }

    fn word(self, name: &str, file: &str) -> Result<Option<String>, Failure> {
        if self.is_ours { self.root.word(&Self::path(name, file)) } else { Ok(None) }
    }

    fn number<N: std::str::FromStr>(self, name: &str, file: &str) -> Result<Option<N>, Failure> {
        Ok(self.word(name, file)?.and_then(|word| word.parse().ok()))
    }

    fn has(self, name: &str, file: &str) -> bool {
        self.is_ours && self.root.exists(&Self::path(name, file))
    }

    fn names(self, name: &str, directory: &str) -> Result<Vec<String>, Failure> {
        let names = self.is_ours.then(|| Failure::absent(self.root.names(&Self::path(name, directory))));
        Ok(names.transpose()?.flatten().unwrap_or_default())
    }

    fn master(self, name: &str) -> Result<Option<String>, Failure> {
        if self.is_ours { self.root.link_name(&Self::path(name, "master")) } else { Ok(None) }
    }

    fn index(self, addresses: &Addresses, name: &str) -> Result<Option<u32>, Failure> {
        Ok(self.number(name, "ifindex")?.or_else(|| addresses.index(name)))
    }
}

/// What kind of interface it is. `None`: there is no sysfs.
fn kind(sysfs: Sysfs<'_>, name: &str, index: Option<u32>) -> Result<Option<String>, Failure> {
    let Some(link_type) = sysfs.number::<u32>(name, "type")? else { return Ok(None) };
    let uevent = sysfs.word(name, "uevent")?.unwrap_or_default();
    let devtype = uevent.lines().find_map(|line| line.strip_prefix("DEVTYPE="));
    if let Some(devtype) = devtype.filter(|devtype| !devtype.is_empty()) {
        return Ok(Some(if devtype == "wlan" { "wifi".to_owned() } else { devtype.to_owned() }));
    }
    let exists = |file| sysfs.has(name, file);
    let tun_flags = sysfs.word(name, "tun_flags")?;
    let kind = match link_type {
        // IFF_TAP
        _ if tun_flags.as_deref().and_then(hexadecimal).is_some_and(|flags| flags & 2 != 0) => "tap",
        _ if tun_flags.is_some() => "tun",
        1 if exists("bridge") => "bridge",
        1 | 32 if exists("bonding") => "bond",
        1 if exists("wireless") || exists("phy80211") => "wifi",
        1 if exists("device") => "ethernet",
        1 => {
            let stacked = sysfs.names(name, ".")?.iter().any(|file| file.starts_with("lower_"));
            let other_end = sysfs.number::<u32>(name, "iflink")?.filter(|_| !stacked);
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
        other => return Ok(Some(format!("type {other}"))),
    };
    Ok(Some(kind.to_owned()))
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

fn row(
    sysfs: Sysfs<'_>,
    window: &Window,
    addresses: &Addresses,
    interface: &net_dev::Interface,
    index: Option<u32>,
    kind: Option<String>,
) -> Result<Interface, Failure> {
    let name = &interface.name;
    let own = addresses.of_interface(name, index);
    let (now, before) = (interface, before(window, interface));
    let rate = |bytes: fn(&net_dev::Interface) -> u64| window.per_second(bytes(before?), bytes(now));
    Ok(Interface {
        name: name.clone(),
        state: sysfs.word(name, "operstate")?,
        carrier: sysfs.number::<u8>(name, "carrier")?.map(|carrier| carrier != 0),
        kind,
        master: sysfs.master(name)?,
        mtu: sysfs.number(name, "mtu")?,
        speed_bits_per_second: speed(sysfs.number(name, "speed")?),
        addresses: own.iter().take(ADDRESSES).map(addresses::plain).collect(),
        addresses_total: own.len(),
        received_bytes_per_second: rate(|interface| interface.received.bytes),
        sent_bytes_per_second: rate(|interface| interface.sent.bytes),
        received_bytes: now.received.bytes,
        sent_bytes: now.sent.bytes,
        errors: now.received.errors.saturating_add(now.sent.errors),
        dropped: now.received.dropped.saturating_add(now.sent.dropped),
    })
}

/// Its counters at the other end of the window, if it is still the same interface.
fn before<'a>(window: &'a Window, now: &net_dev::Interface) -> Option<&'a net_dev::Interface> {
    window.earlier.interface(&now.name)
}

fn details(
    sysfs: Sysfs<'_>,
    window: &Window,
    addresses: &Addresses,
    counted: &[net_dev::Interface],
    interface: &net_dev::Interface,
    index: Option<u32>,
) -> Result<Details, Failure> {
    let name = &interface.name;
    let before = before(window, interface);
    let rate = |packets: fn(&net_dev::Interface) -> u64| window.per_second(packets(before?), packets(interface));
    // the link layers whose addresses are MAC addresses
    let has_mac = matches!(sysfs.number::<u32>(name, "type")?, Some(1 | 6 | 24 | 32 | 801..=803));
    let uevent = sysfs.word(name, "device/uevent")?.unwrap_or_default();
    let mut ports = vec![];
    for other in counted {
        if sysfs.master(&other.name)?.as_deref() == Some(name) {
            ports.push(other.name.clone());
        }
    }
    ports.sort_unstable();
    let ports_total = ports.len();
    ports.truncate(MOST);
    let mode = sysfs.word(name, "bonding/mode")?;
    let is_bond = mode.is_some();
    Ok(Details {
        index,
        mac: sysfs.word(name, "address")?.filter(|_| has_mac),
        alias: sysfs.word(name, "ifalias")?,
        driver: uevent.lines().find_map(|line| line.strip_prefix("DRIVER=")).map(str::to_owned),
        duplex: sysfs.word(name, "duplex")?.filter(|duplex| duplex != "unknown"),
        carrier_changes: sysfs.number(name, "carrier_changes")?,
        received_packets_per_second: rate(|interface| interface.received.packets),
        sent_packets_per_second: rate(|interface| interface.sent.packets),
        addresses: Table(addresses.of_interface(name, index).iter().take(MOST).map(Address::of).collect()),
        ports,
        ports_total,
        bond: is_bond.then_some(Bond {
            // `active-backup 1`
            mode: mode.and_then(|mode| mode.split(' ').next().map(str::to_owned)),
            active: sysfs.word(name, "bonding/active_slave")?,
        }),
        counters: counters(sysfs, interface)?,
    })
}

/// Everything that is counted. Without sysfs what /proc/net/dev has, under the same names.
fn counters(sysfs: Sysfs<'_>, interface: &net_dev::Interface) -> Result<BTreeMap<String, u64>, Failure> {
    let name = &interface.name;
    let mut counters = BTreeMap::new();
    for file in sysfs.names(name, "statistics")? {
        if let Some(count) = sysfs.number(name, &format!("statistics/{file}"))? {
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
    Ok(counters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_containers_fold_and_a_containers_own_interface_does_not() {
        for (name, kind) in [
            ("veth1a2b3c", Some("veth")),
            ("lxc42", Some("veth")),
            ("tap100i0", None),
            ("fwbr100i0", Some("bridge")),
            ("cali0123", None),
        ] {
            assert!(is_guests(name, kind, false), "{name}");
        }
        for (name, kind) in [
            ("eth0", Some("veth")),
            ("vmbr0", Some("bridge")),
            ("tailscale0", Some("tun")),
            ("lxcbr0", Some("bridge")),
            ("eth0", Some("ethernet")),
            ("ens3", None),
        ] {
            assert!(!is_guests(name, kind, false), "{name}");
        }
        assert!(!is_guests("veth0", Some("veth"), true));
        assert!(!is_guests("tap0", None, true));
    }

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

    #[test]
    fn a_cursor_leads_past_the_row_it_was_made_from() {
        let place = |index, name: &str| Place { index, name: name.to_owned() };
        for last in [place(7, "eth0"), place(u32::MAX, "a.b"), place(u32::MAX, "网络")] {
            let after: Place = last.to_string().parse().unwrap();
            assert!(last <= after && after < place(u32::MAX, "\u{fffff}"), "{last}");
            assert!(last.index == u32::MAX || after < place(8, ""), "{last}");
        }
        for wrong in ["", "eth0", "x.eth0", "-1"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }
}
