//! `/proc/net/sockstat`: sockets by kind, see proc_pid_net(5). Those of IPv6 are in `sockstat6`, but for `tcp_tw`,
//! `tcp_orphan` and `tcp_alloc`, which count both.

use super::Malformed;

/// Sockets in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sockstat {
    /// Of every kind.
    pub used: u64,
    /// TCP over IPv4, connected or listening.
    pub tcp_inuse: u64,
    /// TCP that no process holds any more.
    pub tcp_orphan: u64,
    /// TCP in TIME_WAIT.
    pub tcp_tw: u64,
    /// TCP of every state.
    pub tcp_alloc: u64,
    /// Pages TCP holds for its buffers.
    pub tcp_mem: u64,
    /// UDP over IPv4.
    pub udp_inuse: u64,
    /// Pages UDP holds for its buffers, since Linux 2.6.25.
    pub udp_mem: Option<u64>,
}

impl Sockstat {
    /// Reads the text of `/proc/net/sockstat`.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let optional = |kind: &str, name: &'static str| {
            let mut lines = text.lines();
            let columns = lines.find_map(|line| line.strip_prefix(kind)?.strip_prefix(':'));
            let Some(columns) = columns else { return Ok(None) };
            let mut columns = columns.split_ascii_whitespace();
            let value =
                columns.find(|column| *column == name).map(|_| columns.next().and_then(|value| value.parse().ok()));
            value.map(|value| value.ok_or_else(|| Malformed::field("net/sockstat", name))).transpose()
        };
        let required = |kind, name| optional(kind, name)?.ok_or_else(|| Malformed::field("net/sockstat", name));
        Ok(Self {
            used: required("sockets", "used")?,
            tcp_inuse: required("TCP", "inuse")?,
            tcp_orphan: required("TCP", "orphan")?,
            tcp_tw: required("TCP", "tw")?,
            tcp_alloc: required("TCP", "alloc")?,
            tcp_mem: required("TCP", "mem")?,
            udp_inuse: required("UDP", "inuse")?,
            udp_mem: optional("UDP", "mem")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Place;

    #[test]
    fn names_and_numbers_take_turns() {
        let text =
            "sockets: used 12\nTCP: inuse 1 orphan 2 tw 3 alloc 4 mem 415\nUDP: inuse 5 mem 6\nUDPLITE: inuse 0\n";
        let sockstat = Sockstat::parse(text).unwrap();
        assert_eq!((sockstat.used, sockstat.tcp_tw, sockstat.tcp_mem), (12, 3, 415));
        assert_eq!((sockstat.udp_inuse, sockstat.udp_mem), (5, Some(6)));
    }

    #[test]
    fn a_name_without_a_number_is_named() {
        assert_eq!(Sockstat::parse("sockets: used\n").unwrap_err().place, Place::Field("used"));
    }
}
