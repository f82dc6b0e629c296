//! The kernel's answer to "which addresses has this machine", and the messages that give it some: netlink, see netlink(7) and
//! rtnetlink(7). Not a file, but bytes of the kernel all the same. Numbers are in the machine's byte order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Malformed, Position};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_CREATE: u16 = 0x400;
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
/// The upper two bits of an attribute's type are flags.
const NLA_TYPE_MASK: u16 = 0x3fff;

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

/// What one reading of the socket held.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The addresses.
    pub addresses: Vec<Address>,
    /// How the answer ended; `None` if more is to be read.
    pub end: Option<End>,
    /// The addresses changed while they were listed: ask again (`NLM_F_DUMP_INTR`).
    pub interrupted: bool,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It is whole.
    Done,
    /// The kernel refused, with this `errno`.
    Refused(i32),
}

/// The bytes that ask for all addresses. The kernel repeats `sequence` in its answer.
pub fn request(sequence: u32) -> [u8; 24] {
    let mut request = [0; 24];
    let fields: [&[u8]; 4] = [
        &24u32.to_ne_bytes(),
        &RTM_GETADDR.to_ne_bytes(),
        &(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes(),
        &sequence.to_ne_bytes(),
    ];
    for (place, byte) in request.iter_mut().zip(fields.into_iter().flatten()) {
        *place = *byte;
    }
    request
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

/// The bytes that ask for a change. The kernel answers with `sequence`, and [`End::Done`] if it is made.
pub fn change(index: u32, change: Change, sequence: u32) -> Vec<u8> {
    let (kind, flags, payload) = match change {
        Change::Up => (RTM_NEWLINK, 0, [0, index, IFF_UP, IFF_UP].map(u32::to_ne_bytes).concat()),
        Change::Address(address, prefix, seconds) => {
            let forever = seconds.unwrap_or(u32::MAX);
            let times = [forever, forever, 0, 0].map(u32::to_ne_bytes).concat();
            let payload = [own(index, address, prefix), attribute(IFA_CACHEINFO, &times)].concat();
            (RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, payload)
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
            (RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, payload)
        }
    };
    let length = u32::try_from(payload.len() + 16).unwrap_or(u32::MAX);
    let flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    let head: [&[u8]; 5] =
        [&length.to_ne_bytes(), &kind.to_ne_bytes(), &flags.to_ne_bytes(), &sequence.to_ne_bytes(), &[0; 4]];
    [head.concat(), payload].concat()
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

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    let mut bytes = [&length.to_ne_bytes(), &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Reads what one reading of the socket gave, if it answers the request of this `sequence`; other messages are passed over.
pub fn parse(bytes: &[u8], sequence: u32) -> Result<Answer, Malformed> {
    let mut answer = Answer::default();
    let mut rest = bytes;
    while !rest.is_empty() && answer.end.is_none() {
        let malformed = || Malformed { file: "rtnetlink", position: Position::Byte(bytes.len() - rest.len()) };
        let (message, after) = Message::take(rest).ok_or_else(malformed)?;
        if message.sequence == sequence {
            answer.interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
            match message.kind {
                NLMSG_ERROR => answer.end = Some(end(message.payload).ok_or_else(malformed)?),
                // Its number came later than the message itself.
                NLMSG_DONE => answer.end = Some(end(message.payload).unwrap_or(End::Done)),
                RTM_NEWADDR => answer.addresses.extend(Address::parse(message.payload).ok_or_else(malformed)?),
                _ => {}
            }
        }
        rest = after;
    }
    Ok(answer)
}

struct Message<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    payload: &'a [u8],
}

impl<'a> Message<'a> {
    fn take(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
        let payload = bytes.get(16..length)?;
        let message = Self { kind: u16_at(bytes, 4)?, flags: u16_at(bytes, 6)?, sequence: u32_at(bytes, 8)?, payload };
        Some((message, after(bytes, length)?))
    }
}

impl Address {
    /// `None` inside for a family that is neither IPv4 nor IPv6.
    fn parse(payload: &[u8]) -> Option<Option<Self>> {
        let [family, prefix, flags, scope, ..] = *payload else { return None };
        let index = u32_at(payload, 4)?;
        let mut flags = u32::from(flags);
        let [mut own, mut far, mut label] = [None; 3];
        let mut rest = payload.get(8..)?;
        while !rest.is_empty() {
            let length = usize::from(u16_at(rest, 0)?);
            let kind = u16_at(rest, 2)? & NLA_TYPE_MASK;
            let value = rest.get(4..length)?;
            match kind {
                IFA_LOCAL => own = Some(value),
                IFA_ADDRESS => far = Some(value),
                IFA_LABEL => label = Some(value),
                IFA_FLAGS => flags = u32_at(value, 0)?,
                _ => {}
            }
            rest = after(rest, length)?;
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

fn end(payload: &[u8]) -> Option<End> {
    let code = u32_at(payload, 0)?.cast_signed();
    Some(if code == 0 { End::Done } else { End::Refused(code.saturating_neg()) })
}

fn ip(family: u8, bytes: &[u8]) -> Option<IpAddr> {
    match family {
        AF_INET => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        AF_INET6 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}

/// What follows a message or attribute of this length. Each starts at a multiple of 4; the last need not be filled up.
fn after(bytes: &[u8], length: usize) -> Option<&[u8]> {
    Some(bytes.get(length.checked_next_multiple_of(4)?..).unwrap_or_default())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len() + 16).unwrap();
        let head: [&[u8]; 5] =
            [&length.to_ne_bytes(), &kind.to_ne_bytes(), &2u16.to_ne_bytes(), &7u32.to_ne_bytes(), &[0; 4]];
        let mut bytes = [head.concat().as_slice(), payload].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn address(family: u8, prefix: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
        let head = [&[family, prefix, 0x80, 0], &3u32.to_ne_bytes()[..]].concat();
        message(RTM_NEWADDR, &[head, attributes.concat()].concat())
    }

    #[test]
    fn the_request_is_a_dump_of_every_family() {
        let request = request(7);
        let (message, rest) = Message::take(&request).unwrap();
        assert_eq!((message.kind, message.flags, message.sequence, rest), (22, 0x301, 7, &[][..]));
        assert_eq!(message.payload, [0; 8]);
    }

    #[test]
    fn an_answer_has_both_families_and_an_end() {
        let v4 = [
            attribute(IFA_ADDRESS, &[192, 0, 2, 1]),
            attribute(IFA_LOCAL, &[192, 0, 2, 1]),
            attribute(IFA_LABEL, b"eth0:1\0"),
        ];
        let v6 = [attribute(IFA_ADDRESS, &Ipv6Addr::LOCALHOST.octets()), attribute(IFA_FLAGS, &0x280u32.to_ne_bytes())];
        let bytes = [address(AF_INET, 24, &v4), address(AF_INET6, 128, &v6), message(NLMSG_DONE, &[0; 4])].concat();
        let answer = parse(&bytes, 7).unwrap();
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
        assert_eq!(answer, Answer { addresses: vec![first, second], end: Some(End::Done), interrupted: false });
    }

    #[test]
    fn a_tunnel_has_another_end() {
        let attributes = [attribute(IFA_ADDRESS, &[10, 0, 0, 2]), attribute(IFA_LOCAL, &[10, 0, 0, 1])];
        let answer = parse(&address(AF_INET, 32, &attributes), 7).unwrap();
        assert_eq!(answer.addresses[0].address, "10.0.0.1".parse::<IpAddr>().unwrap());
        assert_eq!((answer.addresses[0].peer, answer.end), (Some("10.0.0.2".parse().unwrap()), None));
    }

    #[test]
    fn a_refusal_ends_the_answer() {
        let bytes = message(NLMSG_ERROR, &(-1i32).to_ne_bytes());
        assert_eq!(parse(&bytes, 7).unwrap().end, Some(End::Refused(1)));
        assert!(parse(&message(NLMSG_ERROR, &[]), 7).is_err());
    }

    #[test]
    fn the_answer_to_another_question_is_passed_over() {
        let bytes = message(NLMSG_DONE, &[0; 4]);
        assert_eq!(parse(&bytes, 8).unwrap(), Answer::default());
    }

    #[test]
    fn families_nobody_knows_are_passed_over() {
        assert_eq!(parse(&address(28, 0, &[]), 7).unwrap(), Answer::default());
    }

    #[test]
    fn a_message_cut_anywhere_is_refused() {
        let bytes = address(AF_INET, 24, &[attribute(IFA_LOCAL, &[192, 0, 2, 1])]);
        for end in 1..bytes.len() {
            assert!(parse(&bytes[..end], 7).is_err(), "{end}");
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for length in [0u32, 15, 17, u32::MAX] {
            let mut bytes = message(NLMSG_DONE, &[]);
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            assert!(parse(&bytes, 7).is_err(), "{length}");
        }
        assert!(parse(&address(AF_INET, 24, &[attribute(IFA_LOCAL, &[1, 2, 3])]), 7).is_err());
        assert!(parse(&address(AF_INET, 24, &[vec![3, 0, 0, 0]]), 7).is_err());
    }

    #[test]
    fn an_address_that_is_asked_for_is_the_one_that_would_be_listed() {
        for (text, prefix) in [("192.0.2.7", 24), ("2001:db8::7", 64)] {
            let address: IpAddr = text.parse().unwrap();
            let asked = change(3, Change::Address(address, prefix, Some(600)), 7);
            let listed = &parse(&asked, 7).unwrap().addresses[0];
            assert_eq!((listed.index, listed.address, listed.prefix, listed.scope), (3, address, prefix, 0));
            let (message, rest) = Message::take(&asked).unwrap();
            assert_eq!((message.kind, message.flags, rest), (20, 0x505, &[][..]));
            let back = change(3, Change::NoAddress(address, prefix), 7);
            assert_eq!(Message::take(&back).unwrap().0.kind, 21);
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
