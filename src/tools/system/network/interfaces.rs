//! The interfaces as rows, and one in depth.

use std::{fmt, str::FromStr};

use super::{Address, Bond, Details, Interface, Network};
use facts::{
    addresses::{self, Addresses},
    gap::Reader,
    host::Window,
    interfaces::Interfaces,
};
use kernel::{
    failure::Failure,
    proc::{net_dev, rtnetlink},
};
use text::page::Page;

/// How many addresses a row shows.
const ADDRESSES: usize = 4;

/// How many addresses and ports the details show.
const MOST: usize = 100;

/// A row's place in the list: as `ip` lists them, by number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowKey {
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
impl FromStr for RowKey {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.strip_prefix("name.") {
            Some(name) => Self { index: u32::MAX, name: name.to_owned() },
            None => Self { index: text.parse()?, name: char::MAX.to_string() },
        })
    }
}

impl fmt::Display for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.index == u32::MAX { write!(f, "name.{}", self.name) } else { write!(f, "{}", self.index) }
    }
}

pub(super) fn read(
    reader: &Reader<'_>,
    window: &Window,
    addresses: &Addresses,
    request: &Network,
    page: &Page<RowKey>,
) -> Result<Listed, Failure> {
    let file = format!("{}/net/dev", reader.root().own());
    let Some(counted) = window.now.interfaces.as_deref() else {
        // of one that is asked for by name nothing can be told then
        request.name.as_ref().map_or(Ok(()), |_| Err(Failure::Unavailable(format!("/{file}"))))?;
        reader.missing(&file, None);
        return Ok(Listed { total: 0, folded: 0, rows: vec![], next: None, details: None });
    };
    let sysfs = Interfaces::of(reader, counted, addresses);
    if let Some(name) = request.name.as_deref() {
        let found = counted.iter().find(|interface| interface.name == name);
        let found = found.ok_or_else(|| Failure::NotFound(format!("the interface {name:?}")))?;
        let row = row(&sysfs, window, addresses, found);
        let details = Some(details(&sysfs, window, addresses, found));
        return Ok(Listed { total: 1, folded: 0, rows: vec![row], next: None, details });
    }
    let mut folded = 0;
    let mut listed = vec![];
    for interface in counted {
        let name = &interface.name;
        let index = sysfs.index(name);
        let has_address = addresses.of_interface(name, index).iter().any(addresses::is_given);
        // thousands of them are told by their names alone
        if !request.all
            && (is_guests(name, None, has_address) || is_guests(name, sysfs.kind(name, index).as_deref(), has_address))
        {
            folded += 1;
        } else {
            listed.push((RowKey { index: index.unwrap_or(u32::MAX), name: name.clone() }, interface));
        }
    }
    listed.sort_by(|(a, _), (b, _)| a.cmp(b));
    let total = listed.len();
    let (shown, next) = page.by_key(listed);
    let rows = shown.into_iter().map(|interface| row(&sysfs, window, addresses, interface)).collect();
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

fn row(sysfs: &Interfaces<'_>, window: &Window, addresses: &Addresses, interface: &net_dev::Interface) -> Interface {
    let name = &interface.name;
    let told = sysfs.read(name);
    let own = addresses.of_interface(name, told.index);
    let (now, before) = (interface, before(window, interface));
    let rate = |bytes: fn(&net_dev::Interface) -> u64| window.per_second(bytes(before?), bytes(now));
    Interface {
        name: name.clone(),
        state: told.state,
        carrier: told.carrier,
        kind: told.kind,
        master: told.master,
        mtu: told.mtu,
        speed_bits_per_second: told.speed,
        addresses: own.iter().take(ADDRESSES).map(plain).collect(),
        addresses_total: own.len(),
        received_bytes_per_second: rate(|interface| interface.received.bytes),
        sent_bytes_per_second: rate(|interface| interface.sent.bytes),
        received_bytes: now.received.bytes,
        sent_bytes: now.sent.bytes,
        errors: now.received.errors.saturating_add(now.sent.errors),
        dropped: now.received.dropped.saturating_add(now.sent.dropped),
    }
}

/// Its counters at the other end of the window, if it is still the same interface.
fn before<'a>(window: &'a Window, now: &net_dev::Interface) -> Option<&'a net_dev::Interface> {
    window.earlier.interface(&now.name)
}

fn details(sysfs: &Interfaces<'_>, window: &Window, addresses: &Addresses, interface: &net_dev::Interface) -> Details {
    let before = before(window, interface);
    let rate = |packets: fn(&net_dev::Interface) -> u64| window.per_second(packets(before?), packets(interface));
    let index = sysfs.index(&interface.name);
    let mut depth = sysfs.depth(interface);
    let ports_total = depth.ports.len();
    depth.ports.truncate(MOST);
    Details {
        index,
        mac: depth.mac,
        alias: depth.alias,
        driver: depth.driver,
        duplex: depth.duplex,
        carrier_changes: depth.carrier_changes,
        received_packets_per_second: rate(|interface| interface.received.packets),
        sent_packets_per_second: rate(|interface| interface.sent.packets),
        addresses: addresses.of_interface(&interface.name, index).iter().take(MOST).map(Address::of).collect(),
        ports: depth.ports,
        ports_total,
        bond: depth.bond.map(|bond| Bond { mode: bond.mode, active: bond.active }),
        counters: depth.counters,
    }
}

/// `192.0.2.1/24`.
fn plain(address: &rtnetlink::Address) -> String {
    format!("{}/{}", address.address, address.prefix)
}

impl Address {
    fn of(address: &rtnetlink::Address) -> Self {
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
    fn flags_have_the_names_ip_gives_them() {
        let address = rtnetlink::Address {
            index: 1,
            address: "fd00::1".parse().unwrap(),
            peer: None,
            prefix: 64,
            scope: 0,
            flags: 0x61,
            label: None,
        };
        assert_eq!(Address::of(&address).flags, ["temporary", "deprecated", "tentative", "dynamic"]);
    }

    #[test]
    fn a_cursor_leads_past_the_row_it_was_made_from() {
        let key = |index, name: &str| RowKey { index, name: name.to_owned() };
        for last in [key(7, "eth0"), key(u32::MAX, "a.b"), key(u32::MAX, "网络")] {
            let after: RowKey = last.to_string().parse().unwrap();
            assert!(last <= after && after < key(u32::MAX, "\u{fffff}"), "{last}");
            assert!(last.index == u32::MAX || after < key(8, ""), "{last}");
        }
        for wrong in ["", "eth0", "x.eth0", "-1"] {
            assert!(wrong.parse::<RowKey>().is_err(), "{wrong}");
        }
    }
}
