//! `/proc/net/netstat`, which has the form of `/proc/net/snmp`, and `/proc/net/snmp6`: counters of the protocols by their names, see the
//! kernel's networking/snmp_counter.rst.

use std::collections::BTreeMap;

use super::Malformed;

/// Counters by protocol and name, such as `TcpExt_ListenDrops` or `Udp6_InErrors`.
pub type Counters = BTreeMap<String, u64>;

/// Reads pairs of lines, one of names and one of values, and keeps what `wanted` says of protocol and name. A counter that makes no sense is left out; the first
/// line with one stands beside the rest.
pub fn pairs(text: &str, wanted: impl Fn(&str, &str) -> bool) -> (Counters, Option<Malformed>) {
    let (mut counters, mut odd) = (Counters::new(), None);
    let mut lines = text.lines().filter(|line| !line.trim_ascii().is_empty());
    while let Some(names) = lines.next() {
        let values = lines.next().unwrap_or_default();
        if take(names, values, &wanted, &mut counters).is_none() {
            odd = odd.or_else(|| Some(Malformed::line("netstat", text, names)));
        }
    }
    (counters, odd)
}

fn take(names: &str, values: &str, wanted: &impl Fn(&str, &str) -> bool, counters: &mut Counters) -> Option<()> {
    let (protocol, names) = names.split_once(": ")?;
    let mut values = values.strip_prefix(protocol)?.strip_prefix(": ")?.split_ascii_whitespace();
    let mut all = Some(());
    for name in names.split_ascii_whitespace() {
        let value = values.next();
        if wanted(protocol, name) {
            match value.and_then(|value| value.parse().ok()) {
                Some(value) => drop(counters.insert(format!("{protocol}_{name}"), value)),
                None => all = None,
            }
        }
    }
    all
}

/// Reads the text of `snmp6`, a counter in each line, as [`pairs`] does. The name of a protocol of IPv6 ends with 6; others are left out.
pub fn snmp6(text: &str, wanted: impl Fn(&str, &str) -> bool) -> (Counters, Option<Malformed>) {
    let (mut counters, mut odd) = (Counters::new(), None);
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        // its protocols are named with the number
        let name = words.next().and_then(|name| name.split_at_checked(name.find('6')? + 1));
        let Some((protocol, name)) = name.filter(|(protocol, name)| wanted(protocol, name)) else { continue };
        match words.next().and_then(|value| value.parse().ok()) {
            Some(value) => drop(counters.insert(format!("{protocol}_{name}"), value)),
            None => odd = odd.or_else(|| Some(Malformed::line("snmp6", text, line))),
        }
    }
    (counters, odd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Position;

    fn all(counters: &Counters) -> Vec<(&str, u64)> {
        counters.iter().map(|(name, value)| (name.as_str(), *value)).collect()
    }

    #[test]
    fn values_stand_below_their_names() {
        let text = "TcpExt: SyncookiesSent ListenDrops\nTcpExt: 3 4\nIpExt: InNoRoutes InOctets\nIpExt: 5 18446744073709551615\n";
        let (counters, odd) = pairs(text, |_, name| name != "InNoRoutes");
        let expected = [("IpExt_InOctets", u64::MAX), ("TcpExt_ListenDrops", 4), ("TcpExt_SyncookiesSent", 3)];
        assert_eq!((all(&counters), odd), (expected.to_vec(), None));
    }

    #[test]
    fn a_counter_that_makes_no_sense_costs_only_itself() {
        let text =
            "Tcp: MaxConn InSegs OutSegs\nTcp: -1 x 7\nUdp: InDatagrams\nTcp: 9\nIcmp: InMsgs InErrors\nIcmp: 2\n";
        let (counters, odd) = pairs(text, |protocol, name| (protocol, name) != ("Tcp", "MaxConn"));
        assert_eq!(all(&counters), [("Icmp_InMsgs", 2), ("Tcp_OutSegs", 7)]);
        assert_eq!(odd.unwrap().position, Position::Line(1));
        assert_eq!(pairs("Tcp: A\nTcp: -1\n", |_, _| false), (Counters::new(), None));
        assert_eq!(pairs("", |_, _| true), (Counters::new(), None));
    }

    #[test]
    fn names_of_ipv6_end_their_protocol_with_its_number() {
        let text = "Ip6InOctets    \t12\nIcmp6InType135 1\nUdpLite6InErrors 2\nUdp6NoPorts many\nnothing 4\n";
        let (counters, odd) = snmp6(text, |_, _| true);
        assert_eq!(all(&counters), [("Icmp6_InType135", 1), ("Ip6_InOctets", 12), ("UdpLite6_InErrors", 2)]);
        assert_eq!(odd.unwrap().position, Position::Line(4));
    }
}
