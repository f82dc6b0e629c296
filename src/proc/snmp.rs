//! `/proc/net/snmp`: counters of TCP and UDP since the start, see RFC 1213 and the kernel's networking/snmp_counter.rst.

use super::Malformed;

/// The counters this server uses. They count IPv4, and for TCP IPv6 too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snmp {
    /// TCP.
    pub tcp: Tcp,
    /// UDP over IPv4.
    pub udp: Udp,
}

/// Counters of TCP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tcp {
    /// `ActiveOpens`: connections asked for.
    pub active_opens: u64,
    /// `PassiveOpens`: connections others asked for.
    pub passive_opens: u64,
    /// `AttemptFails`: connections that never came to be.
    pub attempt_fails: u64,
    /// `EstabResets`: connections that broke.
    pub estab_resets: u64,
    /// `CurrEstab`: connections now.
    pub curr_estab: u64,
    /// `InSegs`: segments received.
    pub in_segs: u64,
    /// `OutSegs`: segments sent, those sent again left out.
    pub out_segs: u64,
    /// `RetransSegs`: segments sent again.
    pub retrans_segs: u64,
    /// `InErrs`: segments received with an error.
    pub in_errs: u64,
    /// `OutRsts`: segments sent to break a connection.
    pub out_rsts: u64,
}

/// Counters of UDP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Udp {
    /// `InDatagrams`: received and handed over.
    pub in_datagrams: u64,
    /// `NoPorts`: received for nobody.
    pub no_ports: u64,
    /// `InErrors`: received and lost, for whatever reason.
    pub in_errors: u64,
    /// `OutDatagrams`: sent.
    pub out_datagrams: u64,
    /// `RcvbufErrors`: lost for a full buffer of the receiver, since Linux 2.6.21.
    pub rcvbuf_errors: Option<u64>,
    /// `SndbufErrors`: not sent for a full buffer, since Linux 2.6.21.
    pub sndbuf_errors: Option<u64>,
}

impl Snmp {
    /// Reads the text of `/proc/net/snmp`.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let (tcp, udp) = (Pair::find(text, "Tcp: ")?, Pair::find(text, "Udp: ")?);
        Ok(Self {
            tcp: Tcp {
                active_opens: tcp.required("ActiveOpens")?,
                passive_opens: tcp.required("PassiveOpens")?,
                attempt_fails: tcp.required("AttemptFails")?,
                estab_resets: tcp.required("EstabResets")?,
                curr_estab: tcp.required("CurrEstab")?,
                in_segs: tcp.required("InSegs")?,
                out_segs: tcp.required("OutSegs")?,
                retrans_segs: tcp.required("RetransSegs")?,
                in_errs: tcp.required("InErrs")?,
                out_rsts: tcp.required("OutRsts")?,
            },
            udp: Udp {
                in_datagrams: udp.required("InDatagrams")?,
                no_ports: udp.required("NoPorts")?,
                in_errors: udp.required("InErrors")?,
                out_datagrams: udp.required("OutDatagrams")?,
                rcvbuf_errors: udp.optional("RcvbufErrors")?,
                sndbuf_errors: udp.optional("SndbufErrors")?,
            },
        })
    }
}

/// A line of names and the line of values below it.
struct Pair<'a>(&'a str, &'a str);

impl<'a> Pair<'a> {
    fn find(text: &'a str, protocol: &'static str) -> Result<Self, Malformed> {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(protocol));
        match (lines.next(), lines.next()) {
            (Some(names), Some(values)) => Ok(Self(names, values)),
            _ => Err(Malformed::field("net/snmp", protocol)),
        }
    }

    fn optional(&self, name: &'static str) -> Result<Option<u64>, Malformed> {
        let mut columns = self.0.split_ascii_whitespace().zip(self.1.split_ascii_whitespace());
        let value = columns.find(|(have, _)| *have == name).map(|(_, value)| value.parse());
        value.transpose().map_err(|_| Malformed::field("net/snmp", name))
    }

    fn required(&self, name: &'static str) -> Result<u64, Malformed> {
        self.optional(name)?.ok_or_else(|| Malformed::field("net/snmp", name))
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
        let snmp = Snmp::parse(&text).unwrap();
        assert_eq!((snmp.tcp.curr_estab, snmp.tcp.out_segs, snmp.tcp.retrans_segs), (5, 15542, 8));
        assert_eq!((snmp.udp.in_datagrams, snmp.udp.rcvbuf_errors), (473, Some(3)));
    }

    #[test]
    fn old_kernels_do_not_count_full_buffers() {
        let text = format!("{TCP}Udp: InDatagrams NoPorts InErrors OutDatagrams\nUdp: 473 1 2 476\n");
        assert_eq!(Snmp::parse(&text).unwrap().udp.rcvbuf_errors, None);
    }

    #[test]
    fn names_without_values_are_refused() {
        assert!(Snmp::parse(TCP).is_err());
        assert!(Snmp::parse("Tcp: InSegs\nTcp: \nUdp: InDatagrams\nUdp: \n").is_err());
    }
}
