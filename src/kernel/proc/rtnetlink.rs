//! The kernel's answer to "which addresses has this machine", and the messages that give it some, see rtnetlink(7). Not a file, but bytes of
//! the kernel all the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Malformed;
use crate::netlink::{self, ACK, DUMP, PUT, Piece, attribute, attributes, u32_at};

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;
const IFF_UP: u32 = 1;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;
const RTNH_F_ONLINK: u32 = 4;

/// One address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Number of the interface.
    pub index: u32,
    /// The machine's own address.
    pub address: IpAddr,
    /// The other end's, on point-to-point interfaces.
    pub peer: Option<IpAddr>,
    /// Length of the network's prefix.
    pub prefix: u8,
    /// `RT_SCOPE_*`: 0 universe, 253 link, 254 host.
    pub scope: u8,
    /// `IFA_F_*`: 0x01 temporary (v6) or secondary (v4), 0x20 deprecated, 0x40 tentative, 0x80 permanent.
    pub flags: u32,
    /// The interface's name or an alias of it, for IPv4.
    pub label: Option<Vec<u8>>,
}

/// The bytes that ask for all addresses. The kernel repeats `sequence` in its answer.
pub fn request(sequence: u32) -> Vec<u8> {
    netlink::request(RTM_GETADDR, DUMP, sequence, &[0; 8])
}

/// What can be asked of the kernel, of the interface with this index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Switch it on.
    Up,
    /// Give it an address with a prefix, for so many seconds if it is not for good. One that it has already gets the new time.
    Address(IpAddr, u8, Option<u32>),
    /// Take an address from it.
    NoAddress(IpAddr, u8),
    /// Send there what is for this network, over a gateway if there is one. A gateway need not lie in a network of the interface's.
    Route {
        /// The network.
        to: (IpAddr, u8),
        /// The gateway.
        via: Option<IpAddr>,
        /// Who says so, `RTPROT_*`: 4 static, 16 DHCP.
        origin: u8,
    },
}

/// The bytes that ask for a change. The kernel answers with `sequence`, and [`netlink::End::Done`] if it is made.
pub fn change(index: u32, change: Change, sequence: u32) -> Vec<u8> {
    let (kind, flags, payload) = match change {
        Change::Up => (RTM_NEWLINK, 0, [0, index, IFF_UP, IFF_UP].map(u32::to_ne_bytes).concat()),
        Change::Address(address, prefix, seconds) => {
            let forever = seconds.unwrap_or(u32::MAX);
            let times = [forever, forever, 0, 0].map(u32::to_ne_bytes).concat();
            let payload = [own(index, address, prefix), attribute(IFA_CACHEINFO, &times)].concat();
            (RTM_NEWADDR, PUT, payload)
        }
        Change::NoAddress(address, prefix) => (RTM_DELADDR, 0, own(index, address, prefix)),
        Change::Route { to: (network, prefix), via, origin } => {
            let scope = if via.is_some() { RT_SCOPE_UNIVERSE } else { RT_SCOPE_LINK };
            let flags = if via.is_some() { RTNH_F_ONLINK } else { 0 };
            let head = [family(network), prefix, 0, 0, RT_TABLE_MAIN, origin, scope, RTN_UNICAST];
            let mut payload = [&head[..], &flags.to_ne_bytes()].concat();
            payload.extend(attribute(RTA_OIF, &index.to_ne_bytes()));
            // the network of no prefix is everywhere
            payload.extend(if prefix > 0 { attribute(RTA_DST, &octets(network)) } else { vec![] });
            payload.extend(via.map(|via| attribute(RTA_GATEWAY, &octets(via))).unwrap_or_default());
            (RTM_NEWROUTE, PUT, payload)
        }
    };
    netlink::request(kind, ACK | flags, sequence, &payload)
}

fn own(index: u32, address: IpAddr, prefix: u8) -> Vec<u8> {
    let head = [&[family(address), prefix, 0, RT_SCOPE_UNIVERSE], &index.to_ne_bytes()[..]].concat();
    [head, attribute(IFA_LOCAL, &octets(address)), attribute(IFA_ADDRESS, &octets(address))].concat()
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().into(),
        IpAddr::V6(v6) => v6.octets().into(),
    }
}

/// Reads what one reading of the socket gave into `addresses`, if it answers the request of this `sequence`.
pub fn parse(bytes: &[u8], sequence: u32, addresses: &mut Vec<Address>) -> Result<Piece, Malformed> {
    netlink::read("rtnetlink", bytes, sequence, |kind, payload| {
        if kind == RTM_NEWADDR {
            addresses.extend(Address::parse(payload)?);
        }
        Some(())
    })
}

impl Address {
    /// `None` inside for a family that is neither IPv4 nor IPv6.
    fn parse(payload: &[u8]) -> Option<Option<Self>> {
        let [family, prefix, flags, scope, ..] = *payload else { return None };
        let index = u32_at(payload, 4)?;
        let mut flags = u32::from(flags);
        let [mut own, mut far, mut label] = [None; 3];
        for attribute in attributes(payload.get(8..)?) {
            match attribute? {
                (IFA_LOCAL, value) => own = Some(value),
                (IFA_ADDRESS, value) => far = Some(value),
                (IFA_LABEL, value) => label = Some(value),
                (IFA_FLAGS, value) => flags = u32_at(value, 0)?,
                _ => {}
            }
        }
        if family != AF_INET && family != AF_INET6 {
            return Some(None);
        }
        // Without IFA_LOCAL there is no other end, and IFA_ADDRESS is the machine's own.
        let address = ip(family, own.or(far)?)?;
        let far = ip(family, far.or(own)?)?;
        let label = label.map(|label| label.strip_suffix(b"\0").unwrap_or(label).to_vec());
        Some(Some(Self { index, address, peer: (far != address).then_some(far), prefix, scope, flags, label }))
    }
}

fn ip(family: u8, bytes: &[u8]) -> Option<IpAddr> {
    match family {
        AF_INET => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        AF_INET6 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An address as the kernel lists it.
    fn address(family: u8, prefix: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
        let head = [&[family, prefix, 0x80, 0], &3u32.to_ne_bytes()[..]].concat();
        netlink::request(RTM_NEWADDR, 0, 7, &[head, attributes.concat()].concat())
    }

    fn parsed(bytes: &[u8]) -> Result<Vec<Address>, Malformed> {
        let mut addresses = vec![];
        parse(bytes, 7, &mut addresses).map(|_| addresses)
    }

    #[test]
    fn the_request_is_a_dump_of_every_family() {
        let expected = [&24u32.to_ne_bytes()[..], &22u16.to_ne_bytes(), &0x301u16.to_ne_bytes(), &7u32.to_ne_bytes()];
        assert_eq!(request(7), [&expected.concat()[..], &[0; 12]].concat());
    }

    #[test]
    fn an_answer_has_both_families() {
        let v4 = [
            attribute(IFA_ADDRESS, &[192, 0, 2, 1]),
            attribute(IFA_LOCAL, &[192, 0, 2, 1]),
            attribute(IFA_LABEL, b"eth0:1\0"),
        ];
        let v6 = [attribute(IFA_ADDRESS, &Ipv6Addr::LOCALHOST.octets()), attribute(IFA_FLAGS, &0x280u32.to_ne_bytes())];
        let bytes = [address(AF_INET, 24, &v4), address(AF_INET6, 128, &v6)].concat();
        let first = Address {
            index: 3,
            address: "192.0.2.1".parse().unwrap(),
            peer: None,
            prefix: 24,
            scope: 0,
            flags: 0x80,
            label: Some(b"eth0:1".to_vec()),
        };
        let second =
            Address { address: "::1".parse().unwrap(), prefix: 128, flags: 0x280, label: None, ..first.clone() };
        assert_eq!(parsed(&bytes).unwrap(), [first, second]);
    }

    #[test]
    fn a_tunnel_has_another_end() {
        let attributes = [attribute(IFA_ADDRESS, &[10, 0, 0, 2]), attribute(IFA_LOCAL, &[10, 0, 0, 1])];
        let addresses = parsed(&address(AF_INET, 32, &attributes)).unwrap();
        assert_eq!(addresses[0].address, "10.0.0.1".parse::<IpAddr>().unwrap());
        assert_eq!(addresses[0].peer, Some("10.0.0.2".parse().unwrap()));
    }

    #[test]
    fn families_nobody_knows_are_passed_over() {
        assert_eq!(parsed(&address(28, 0, &[])).unwrap(), []);
    }

    #[test]
    fn a_message_cut_anywhere_is_refused() {
        let bytes = address(AF_INET, 24, &[attribute(IFA_LOCAL, &[192, 0, 2, 1])]);
        for end in 1..bytes.len() {
            assert!(parsed(&bytes[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        assert!(parsed(&address(AF_INET, 24, &[attribute(IFA_LOCAL, &[1, 2, 3])])).is_err());
        assert!(parsed(&address(AF_INET, 24, &[vec![3, 0, 0, 0]])).is_err());
    }

    #[test]
    fn an_address_that_is_asked_for_is_the_one_that_would_be_listed() {
        for (text, prefix) in [("192.0.2.7", 24), ("2001:db8::7", 64)] {
            let address: IpAddr = text.parse().unwrap();
            let asked = change(3, Change::Address(address, prefix, Some(600)), 7);
            let listed = &parsed(&asked).unwrap()[0];
            assert_eq!((listed.index, listed.address, listed.prefix, listed.scope), (3, address, prefix, 0));
            assert_eq!(asked[4..8], [20u16.to_ne_bytes(), 0x505u16.to_ne_bytes()].concat());
            let back = change(3, Change::NoAddress(address, prefix), 7);
            assert_eq!(back[4..6], 21u16.to_ne_bytes());
        }
    }

    #[test]
    fn a_route_to_everywhere_names_its_gateway_and_no_network() {
        let to = ("0.0.0.0".parse().unwrap(), 0);
        let via = "192.0.2.1".parse().ok();
        let asked = change(2, Change::Route { to, via, origin: 16 }, 1);
        let expected = [
            &[2, 0, 0, 0, 254, 16, 0, 1, 4, 0, 0, 0][..],
            &attribute(RTA_OIF, &2u32.to_ne_bytes()),
            &attribute(RTA_GATEWAY, &[192, 0, 2, 1]),
        ];
        assert_eq!(asked[16..], expected.concat());
        let asked = change(2, Change::Route { to: ("198.51.100.0".parse().unwrap(), 24), via: None, origin: 4 }, 1);
        assert_eq!(asked[16..28], [2, 24, 0, 0, 254, 4, 253, 1, 0, 0, 0, 0]);
    }
}
