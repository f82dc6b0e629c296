//! `/proc/net/snmp`: counters of TCP and UDP since the start, see RFC 1213 and the kernel's networking/snmp_counter.rst.

use super::{Malformed, netstat};

/// The counters this server uses; what is not told is `None`. They count IPv4, and for TCP IPv6 too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snmp {
    /// TCP.
    pub tcp: Tcp,
    /// UDP over IPv4.
    pub udp: Udp,
    /// Counters of all protocols, as far as [`is_watched`].
    pub counters: netstat::Counters,
}

/// Counters of TCP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tcp {
    /// `ActiveOpens`: connections asked for.
    pub active_opens: Option<u64>,
    /// `PassiveOpens`: connections others asked for.
    pub passive_opens: Option<u64>,
    /// `AttemptFails`: connections that never came to be.
    pub attempt_fails: Option<u64>,
    /// `EstabResets`: connections that broke.
    pub estab_resets: Option<u64>,
    /// `CurrEstab`: connections now.
    pub curr_estab: Option<u64>,
    /// `InSegs`: segments received.
    pub in_segs: Option<u64>,
    /// `OutSegs`: segments sent, those sent again left out.
    pub out_segs: Option<u64>,
    /// `RetransSegs`: segments sent again.
    pub retrans_segs: Option<u64>,
    /// `InErrs`: segments received with an error.
    pub in_errs: Option<u64>,
    /// `OutRsts`: segments sent to break a connection.
    pub out_rsts: Option<u64>,
}

/// Counters of UDP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Udp {
    /// `InDatagrams`: received and handed over.
    pub in_datagrams: Option<u64>,
    /// `NoPorts`: received for nobody.
    pub no_ports: Option<u64>,
    /// `InErrors`: received and lost, for whatever reason.
    pub in_errors: Option<u64>,
    /// `OutDatagrams`: sent.
    pub out_datagrams: Option<u64>,
    /// `RcvbufErrors`: lost for a full buffer of the receiver, since Linux 2.6.21.
    pub rcvbuf_errors: Option<u64>,
    /// `SndbufErrors`: not sent for a full buffer, since Linux 2.6.21.
    pub sndbuf_errors: Option<u64>,
}

impl Snmp {
    /// Reads the text of `/proc/net/snmp`. What makes no sense or is missing is `None`; the first such place is named.
    pub fn parse(text: &str) -> (Self, Option<Malformed>) {
        let mut odd = None;
        let mut tcp = Pair::find(text, "Tcp: ", &mut odd);
        let tcp = Tcp {
            active_opens: tcp.required("ActiveOpens"),
            passive_opens: tcp.required("PassiveOpens"),
            attempt_fails: tcp.required("AttemptFails"),
            estab_resets: tcp.required("EstabResets"),
            curr_estab: tcp.required("CurrEstab"),
            in_segs: tcp.required("InSegs"),
            out_segs: tcp.required("OutSegs"),
            retrans_segs: tcp.required("RetransSegs"),
            in_errs: tcp.required("InErrs"),
            out_rsts: tcp.required("OutRsts"),
        };
        let mut udp = Pair::find(text, "Udp: ", &mut odd);
        let udp = Udp {
            in_datagrams: udp.required("InDatagrams"),
            no_ports: udp.required("NoPorts"),
            in_errors: udp.required("InErrors"),
            out_datagrams: udp.required("OutDatagrams"),
            rcvbuf_errors: udp.optional("RcvbufErrors"),
            sndbuf_errors: udp.optional("SndbufErrors"),
        };
        let (counters, other) = netstat::pairs(text, is_watched);
        (Self { tcp, udp, counters }, odd.or(other))
    }
}

/// Whether a counter is one that monitoring looks at: traffic, connections, errors and what was dropped.
pub fn is_watched(protocol: &str, name: &str) -> bool {
    match (protocol, name) {
        (_, "InErrors" | "InErrs") | ("Ip", "Forwarding") => true,
        ("Ip6" | "IpExt", name) => matches!(name, "InOctets" | "OutOctets"),
        ("Icmp" | "Icmp6", name) => matches!(name, "InMsgs" | "OutMsgs"),
        ("TcpExt", "TCPSynRetrans" | "TCPTimeouts" | "TCPOFOQueue" | "TCPRcvQDrop") => true,
        ("TcpExt", name) => name.starts_with("Listen") || name.starts_with("Syncookies"),
        ("Tcp", "ActiveOpens" | "PassiveOpens" | "InSegs" | "OutSegs" | "OutRsts" | "RetransSegs" | "CurrEstab") => {
            true
        }
        ("Udp" | "Udp6", "InDatagrams" | "OutDatagrams" | "NoPorts" | "RcvbufErrors" | "SndbufErrors") => true,
        _ => false,
    }
}

/// A line of names and the line of values below it, and the first place that made no sense.
struct Pair<'a> {
    lines: Option<(&'a str, &'a str)>,
    odd: &'a mut Option<Malformed>,
}

impl<'a> Pair<'a> {
    fn find(text: &'a str, protocol: &'static str, odd: &'a mut Option<Malformed>) -> Self {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(protocol));
        let lines = lines.next().zip(lines.next());
        let mut pair = Self { lines, odd };
        if lines.is_none() {
            pair.is_odd(protocol.trim_end_matches([':', ' ']));
        }
        pair
    }

    fn is_odd(&mut self, name: &'static str) {
        self.odd.get_or_insert_with(|| Malformed::field("net/snmp", name));
    }

    fn optional(&mut self, name: &'static str) -> Option<u64> {
        let (names, values) = self.lines?;
        let at = names.split_ascii_whitespace().position(|have| have == name)?;
        let value = values.split_ascii_whitespace().nth(at).and_then(|value| value.parse().ok());
        if value.is_none() {
            self.is_odd(name);
        }
        value
    }

    fn required(&mut self, name: &'static str) -> Option<u64> {
        let value = self.optional(name);
        if value.is_none() {
            self.is_odd(name);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "\
Ip: Forwarding DefaultTTL
Ip: 2 64
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors
Tcp: 1 200 120000 -1 231 2 3 42 5 23357 15542 8 9 48 0
";

    #[test]
    fn values_stand_below_their_names() {
        let text = format!(
            "{TCP}Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors MemErrors\nUdp: 473 1 2 476 3 4 5\n\
            UdpLite: InDatagrams\nUdpLite: 9\n"
        );
        let (snmp, odd) = Snmp::parse(&text);
        assert_eq!(odd, None);
        assert_eq!((snmp.tcp.curr_estab, snmp.tcp.out_segs, snmp.tcp.retrans_segs), (Some(5), Some(15542), Some(8)));
        assert_eq!((snmp.udp.in_datagrams, snmp.udp.rcvbuf_errors), (Some(473), Some(3)));
        let counters: Vec<_> = snmp.counters.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        assert_eq!((counters.len(), counters[0], counters[1]), (15, ("Ip_Forwarding", 2), ("Tcp_ActiveOpens", 231)));
    }

    #[test]
    fn old_kernels_do_not_count_full_buffers() {
        let text = format!("{TCP}Udp: InDatagrams NoPorts InErrors OutDatagrams\nUdp: 473 1 2 476\n");
        let (snmp, odd) = Snmp::parse(&text);
        assert_eq!((snmp.udp.out_datagrams, snmp.udp.rcvbuf_errors, odd), (Some(476), None, None));
    }

    #[test]
    fn what_makes_no_sense_costs_only_itself() {
        let place = |text: &str| Snmp::parse(text).1.map(|odd| odd.to_string());
        let (snmp, _) = Snmp::parse(TCP);
        assert_eq!((snmp.tcp.curr_estab, snmp.udp), (Some(5), Udp::default()));
        assert_eq!(place(TCP).as_deref(), Some("net/snmp: cannot read the field Udp"));
        let udp = "Udp: InDatagrams NoPorts InErrors OutDatagrams\nUdp: -1 1 18446744073709551616";
        let (snmp, odd) = Snmp::parse(&format!("{TCP}{udp}"));
        assert_eq!(snmp.udp, Udp { no_ports: Some(1), ..Udp::default() });
        assert_eq!(odd.unwrap().to_string(), "net/snmp: cannot read the field InDatagrams");
        assert_eq!(Snmp::parse("").0, Snmp::default());
        assert_eq!(place("").as_deref(), Some("net/snmp: cannot read the field Tcp"));
    }
}
