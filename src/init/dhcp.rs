//! The messages of DHCP, RFC 2131 and 2132: bytes in, struct out, and back. Whoever is on the network wrote them.
//!
//! Of our own, because it is these few lines: the crate that fits (dhcproto) brings a DNS library and the tables of ICU with it, forty crates
//! for one message of a fixed form.

use std::net::{IpAddr, Ipv4Addr};

const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const ETHERNET: u8 = 1;
const BROADCAST: u16 = 0x8000;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Where the options begin, behind the cookie.
const OPTIONS: usize = 240;
/// The shortest message that every relay passes on.
const SHORTEST: usize = 300;

const PAD: u8 = 0;
const MASK: u8 = 1;
const ROUTER: u8 = 3;
const DNS: u8 = 6;
const HOSTNAME: u8 = 12;
const DOMAIN: u8 = 15;
const WANTED: u8 = 50;
const LEASE: u8 = 51;
const KIND: u8 = 53;
const SERVER: u8 = 54;
const PARAMETERS: u8 = 55;
const LARGEST: u8 = 57;
const RENEWAL: u8 = 58;
const REBINDING: u8 = 59;
const ROUTES: u8 = 121;
const END: u8 = 255;

/// What a client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Who has an address?
    Discover,
    /// That one, which this server offered, please.
    Request {
        /// The address that was offered.
        wanted: Ipv4Addr,
        /// Who offered it.
        server: Ipv4Addr,
    },
    /// May I keep this one, which I have?
    Renew(Ipv4Addr),
}

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// One address could be had.
    Offer(Lease),
    /// It is yours.
    Ack(Lease),
    /// Nothing of the kind.
    Nak,
}

/// A network, and the gateway to it.
pub type Route = ((IpAddr, u8), Option<IpAddr>);

/// An address for a while, and what goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The address.
    pub address: Ipv4Addr,
    /// The prefix of its network.
    pub prefix: u8,
    /// Who gives it.
    pub server: Ipv4Addr,
    /// For how many seconds.
    pub seconds: u32,
    /// After how many to ask the server again.
    pub renew: u32,
    /// After how many to ask everybody.
    pub rebind: u32,
    /// Networks and their gateways; without one the network is on the link.
    pub routes: Vec<Route>,
    /// The name servers.
    pub dns: Vec<IpAddr>,
    /// The domain of the network, if it has the form of one.
    pub domain: Option<String>,
}

/// What the client at `mac` broadcasts or sends. `seconds` is how long it has been at it.
pub fn request(ask: Ask, transaction: u32, mac: [u8; 6], seconds: u16, hostname: &str) -> Vec<u8> {
    let (kind, own, options) = match ask {
        Ask::Discover => (1, Ipv4Addr::UNSPECIFIED, vec![]),
        Ask::Request { wanted, server } => {
            (3, Ipv4Addr::UNSPECIFIED, [option(WANTED, &wanted.octets()), option(SERVER, &server.octets())].concat())
        }
        Ask::Renew(own) => (3, own, vec![]),
    };
    let mut message = vec![REQUEST, ETHERNET, 6, 0];
    message.extend(transaction.to_be_bytes());
    message.extend(seconds.to_be_bytes());
    // whoever has no address yet cannot be sent to
    message.extend(if own.is_unspecified() { BROADCAST } else { 0 }.to_be_bytes());
    message.extend(own.octets());
    message.resize(28, 0);
    message.extend(mac);
    message.resize(OPTIONS - COOKIE.len(), 0);
    message.extend(COOKIE);
    message.extend(option(KIND, &[kind]));
    message.extend(options);
    message.extend(option(LARGEST, &1472_u16.to_be_bytes()));
    message.extend(option(PARAMETERS, &[MASK, ROUTES, ROUTER, DNS, DOMAIN, LEASE, RENEWAL, REBINDING]));
    if (1..=63).contains(&hostname.len()) {
        message.extend(option(HOSTNAME, hostname.as_bytes()));
    }
    message.push(END);
    message.resize(message.len().max(SHORTEST), PAD);
    message
}

/// What a server answers to this transaction of the client at `mac`. `None`: it is something else, or makes no sense.
pub fn parse(message: &[u8], transaction: u32, mac: [u8; 6]) -> Option<Answer> {
    let is_ours = message.get(..3)? == [REPLY, ETHERNET, 6]
        && message.get(4..8)? == transaction.to_be_bytes()
        && message.get(28..34)? == mac
        && message.get(OPTIONS - COOKIE.len()..OPTIONS)? == COOKIE;
    if !is_ours {
        return None;
    }
    let options = Options::read(message.get(OPTIONS..)?)?;
    match options.get(KIND).as_deref()? {
        [2] => Lease::of(message, &options).map(Answer::Offer),
        [5] => Lease::of(message, &options).map(Answer::Ack),
        [6] => Some(Answer::Nak),
        _ => None,
    }
}

impl Lease {
    fn of(message: &[u8], options: &Options<'_>) -> Option<Self> {
        let address = v4(message.get(16..20)?)?;
        let mask = options.get(MASK).and_then(|mask| v4(&mask)).unwrap_or(Ipv4Addr::BROADCAST).to_bits();
        let seconds = options.number(LEASE)?;
        let fits = |_: &Ipv4Addr| !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast();
        let is_mask = mask.leading_ones() + mask.trailing_zeros().min(32) == 32;
        let rebind = options.number(REBINDING).filter(|time| *time < seconds).unwrap_or(seconds / 8 * 7);
        let renew = options.number(RENEWAL).filter(|time| *time < rebind).unwrap_or(seconds / 2);
        let several = |code| options.get(code).map(|list| list.chunks_exact(4).filter_map(v4).collect::<Vec<_>>());
        let first = several(ROUTER).and_then(|routers| routers.first().copied());
        let everywhere = first.map(|router| ((Ipv4Addr::UNSPECIFIED.into(), 0), Some(router.into())));
        let domain = options.get(DOMAIN).and_then(|domain| {
            let text = String::from_utf8(domain).ok()?.trim_end_matches(['\0', '.']).to_owned();
            let is_name = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
            // it is written into a file, where a line break would begin another line
            ((1..=253).contains(&text.len()) && text.chars().all(is_name)).then_some(text)
        });
        (is_mask && seconds > 0).then_some(address).filter(fits)?;
        Some(Self {
            address,
            prefix: u8::try_from(mask.leading_ones()).ok()?,
            server: options.get(SERVER).and_then(|server| v4(&server))?,
            seconds,
            renew,
            rebind,
            // who sends these means them instead of the router (RFC 3442)
            routes: options.get(ROUTES).and_then(|list| routes(&list)).unwrap_or(everywhere.into_iter().collect()),
            dns: several(DNS).unwrap_or_default().into_iter().map(IpAddr::from).take(3).collect(),
            domain,
        })
    }
}

/// Classless routes, RFC 3442: the length of a prefix, as many octets of it as matter, and a gateway.
fn routes(mut list: &[u8]) -> Option<Vec<Route>> {
    let mut routes = vec![];
    while let Some((prefix, rest)) = list.split_first() {
        let significant = usize::from(prefix.div_ceil(8));
        let mut network = [0; 4];
        network.get_mut(..significant)?.copy_from_slice(rest.get(..significant)?);
        let via = v4(rest.get(significant..significant + 4)?)?;
        let mask = u32::MAX.checked_shl(32 - u32::from(*prefix)).unwrap_or(0);
        let network = Ipv4Addr::from_bits(u32::from_be_bytes(network) & mask);
        routes.push(((network.into(), *prefix), (!via.is_unspecified()).then_some(via.into())));
        list = rest.get(significant + 4..)?;
    }
    Some(routes)
}

/// The options of a message, in their order.
struct Options<'a>(Vec<(u8, &'a [u8])>);

impl<'a> Options<'a> {
    fn read(mut bytes: &'a [u8]) -> Option<Self> {
        let mut options = vec![];
        loop {
            match *bytes {
                [END, ..] | [] => return Some(Self(options)),
                [PAD, ref rest @ ..] => bytes = rest,
                [code, length, ref rest @ ..] => {
                    options.push((code, rest.get(..length.into())?));
                    bytes = &rest[length.into()..];
                }
                [_] => return None,
            }
        }
    }

    /// An option's value; the parts of one that came in several are one (RFC 3396).
    fn get(&self, code: u8) -> Option<Vec<u8>> {
        let parts: Vec<_> = self.0.iter().filter(|(other, _)| *other == code).map(|(_, value)| *value).collect();
        (!parts.is_empty()).then(|| parts.concat())
    }

    fn number(&self, code: u8) -> Option<u32> {
        Some(u32::from_be_bytes(self.get(code)?.try_into().ok()?))
    }
}

fn option(code: u8, value: &[u8]) -> Vec<u8> {
    [&[code, u8::try_from(value.len()).unwrap_or(0)], value].concat()
}

fn v4(bytes: &[u8]) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];

    fn answer(kind: u8, options: &[(u8, &[u8])]) -> Vec<u8> {
        let mut message = request(Ask::Discover, 7, MAC, 0, "");
        message.truncate(OPTIONS);
        message[0] = REPLY;
        message[16..20].copy_from_slice(&[192, 0, 2, 7]);
        let usual: [(u8, &[u8]); 3] = [(KIND, &[kind]), (SERVER, &[192, 0, 2, 1]), (LEASE, &[0, 0, 0x0e, 0x10])];
        // a later one of the same code would be read as its other half
        let usual = usual.iter().filter(|(code, _)| options.iter().all(|(other, _)| other != code));
        message.extend(usual.chain(options).flat_map(|(code, value)| option(*code, value)));
        message.push(END);
        message
    }

    fn lease(options: &[(u8, &[u8])]) -> Option<Lease> {
        match parse(&answer(5, options), 7, MAC)? {
            Answer::Ack(lease) => Some(lease),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_has_all_that_an_interface_needs() {
        let lease = lease(&[
            (MASK, &[255, 255, 255, 0]),
            (ROUTER, &[192, 0, 2, 1, 192, 0, 2, 2]),
            (DNS, &[192, 0, 2, 53, 192, 0, 2, 54]),
            (DOMAIN, b"example.org."),
        ]);
        let expected = Lease {
            address: Ipv4Addr::new(192, 0, 2, 7),
            prefix: 24,
            server: Ipv4Addr::new(192, 0, 2, 1),
            seconds: 3600,
            renew: 1800,
            rebind: 3150,
            routes: vec![(("0.0.0.0".parse().unwrap(), 0), "192.0.2.1".parse().ok())],
            dns: vec!["192.0.2.53".parse().unwrap(), "192.0.2.54".parse().unwrap()],
            domain: Some("example.org".to_owned()),
        };
        assert_eq!(lease, Some(expected));
    }

    #[test]
    fn classless_routes_stand_for_the_router() {
        let list = [24, 198, 51, 100, 0, 0, 0, 0, 0, 192, 0, 2, 9];
        let lease = lease(&[(ROUTER, &[192, 0, 2, 1]), (ROUTES, &list)]).unwrap();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let expected = [((ip("198.51.100.0"), 24), None), ((ip("0.0.0.0"), 0), Some(ip("192.0.2.9")))];
        assert_eq!((lease.routes.as_slice(), lease.prefix), (&expected[..], 32));
    }

    #[test]
    fn what_makes_no_sense_is_passed_over() {
        let good = answer(5, &[]);
        assert!(parse(&good, 7, MAC).is_some());
        assert_eq!(parse(&good, 8, MAC), None, "another's transaction");
        assert_eq!(parse(&good, 7, [2, 0, 0, 0, 0, 8]), None, "another's address");
        assert_eq!(parse(&request(Ask::Discover, 7, MAC, 0, ""), 7, MAC), None, "another client");
        for bad in [(MASK, &[255, 0, 255, 0][..]), (LEASE, &[0, 0, 0, 0]), (LEASE, &[1]), (SERVER, &[1, 2])] {
            assert_eq!(lease(&[bad]), None, "{bad:?}");
        }
        for domain in [&b"a\nnameserver 203.0.113.1"[..], b"", b"a b", b"\xff"] {
            assert_eq!(lease(&[(DOMAIN, domain)]).unwrap().domain, None);
        }
        for list in [&[33, 1, 2, 3, 4, 5, 6, 7, 8, 9][..], &[24, 1, 2, 3], &[255; 20]] {
            assert_eq!(lease(&[(ROUTES, list)]).unwrap().routes, [], "{list:?}");
        }
        assert_eq!(parse(&answer(6, &[]), 7, MAC), Some(Answer::Nak));
        (0..good.len()).for_each(|end| drop(parse(&good[..end], 7, MAC)));
    }

    #[test]
    fn a_request_says_who_asks_and_for_what() {
        let wanted = Ipv4Addr::new(192, 0, 2, 7);
        let message = request(Ask::Request { wanted, server: Ipv4Addr::new(192, 0, 2, 1) }, 7, MAC, 3, "box");
        assert_eq!((message.len(), &message[28..34], &message[8..12]), (300, &MAC[..], &[0, 3, 0x80, 0][..]));
        let options = Options::read(&message[OPTIONS..]).unwrap();
        assert_eq!(options.get(KIND).unwrap(), [3]);
        assert_eq!(
            (options.get(WANTED).unwrap(), options.get(SERVER).unwrap()),
            (vec![192, 0, 2, 7], vec![192, 0, 2, 1])
        );
        assert_eq!(options.get(HOSTNAME).unwrap(), b"box");
        let message = request(Ask::Renew(wanted), 7, MAC, 0, "box");
        assert_eq!(
            (&message[10..16], Options::read(&message[OPTIONS..]).unwrap().get(WANTED)),
            (&[0, 0, 192, 0, 2, 7][..], None)
        );
    }
}
