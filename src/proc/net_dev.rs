//! `/proc/net/dev`: counters of network interfaces, see proc_pid_net(5).

use super::Malformed;

/// What passed one interface since it came to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// `eth0`.
    pub name: String,
    /// What came in.
    pub received: Received,
    /// What went out.
    pub sent: Sent,
}

/// What came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Faulty packets, of every kind.
    pub errors: u64,
    /// Packets dropped by the kernel or, missed, by the device.
    pub dropped: u64,
    /// Buffer overruns.
    pub fifo: u64,
    /// Framing errors.
    pub frame: u64,
    /// Multicast packets.
    pub multicast: u64,
}

/// What went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Packets not sent for an error.
    pub errors: u64,
    /// Packets dropped by the kernel.
    pub dropped: u64,
    /// Buffer underruns.
    pub fifo: u64,
    /// Collisions.
    pub collisions: u64,
    /// Losses of carrier.
    pub carrier: u64,
}

/// Reads the text of `/proc/net/dev`.
pub fn parse(text: &str) -> Result<Vec<Interface>, Malformed> {
    // The two lines of heading have no colon.
    let lines = text.lines().filter(|line| line.contains(':'));
    lines.map(|line| Interface::parse(line).ok_or_else(|| Malformed::line("net/dev", text, line))).collect()
}

/// Whether the name is one that is given to the machine's end of a container's or virtual machine's interface, and what stands between it
/// and a bridge: by Docker and LXC, KVM, Proxmox's firewall, libvirt, Calico.
pub fn is_guests(name: &str) -> bool {
    ["veth", "tap", "fwbr", "fwpr", "fwln", "vnet", "cali"].iter().any(|kind| name.starts_with(kind))
}

/// Whether the name is one that is given to what sends its bytes on through other interfaces: bridges, bonds, tunnels, VLANs.
pub fn is_stacked(name: &str) -> bool {
    let kinds = ["docker", "br-", "virbr", "vmbr", "bond", "tun", "wg", "tailscale"];
    kinds.iter().any(|kind| name.starts_with(kind)) || name.contains('.')
}

impl Interface {
    fn parse(line: &str) -> Option<Self> {
        // The last colon: an alias has one in its name. The first number may follow without a blank.
        let (name, counts) = line.rsplit_once(':')?;
        let mut counts = counts.split_ascii_whitespace().map(|count| count.parse().ok());
        let mut column = || counts.next()?;
        let received = Received {
            bytes: column()?,
            packets: column()?,
            errors: column()?,
            dropped: column()?,
            fifo: column()?,
            frame: column()?,
            multicast: column().and(column())?,
        };
        let sent = Sent {
            bytes: column()?,
            packets: column()?,
            errors: column()?,
            dropped: column()?,
            fifo: column()?,
            collisions: column()?,
            carrier: column()?,
        };
        Some(Self { name: name.trim_ascii().to_owned(), received, sent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Place;

    const HEADING: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
";

    #[test]
    fn columns_stand_where_the_heading_says() {
        let text = format!("{HEADING}  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n");
        let interfaces = parse(&text).unwrap();
        let received = Received { bytes: 1, packets: 2, errors: 3, dropped: 4, fifo: 5, frame: 6, multicast: 8 };
        let sent = Sent { bytes: 9, packets: 10, errors: 11, dropped: 12, fifo: 13, collisions: 14, carrier: 15 };
        assert_eq!(interfaces, [Interface { name: "eth0".into(), received, sent }]);
    }

    #[test]
    fn a_number_may_stick_to_the_name() {
        let interfaces = parse("eth0:1:2776770 11307 0 0 0 0 0 0 1228 1 0 0 0 0 0 0\n").unwrap();
        assert_eq!((interfaces[0].name.as_str(), interfaces[0].received.bytes), ("eth0:1", 2776770));
    }

    #[test]
    fn a_machine_without_interfaces_has_only_the_heading() {
        assert_eq!(parse(HEADING).unwrap(), []);
    }

    #[test]
    fn a_line_cut_short_is_named() {
        assert_eq!(parse("lo: 1 2 3\n").unwrap_err().place, Place::Line(1));
    }

    #[test]
    fn bytes_of_guests_and_of_what_is_stacked_are_counted_elsewhere_too() {
        for name in ["veth1a2b", "tap100i0", "fwln100i0", "vnet3", "cali0123"] {
            assert!(is_guests(name) && !is_stacked(name), "{name}");
        }
        for name in ["docker0", "br-1a2b", "vmbr0", "bond0", "wg0", "eth0.100"] {
            assert!(is_stacked(name) && !is_guests(name), "{name}");
        }
        for name in ["eth0", "eno1", "wlan0", "lo"] {
            assert!(!is_stacked(name) && !is_guests(name), "{name}");
        }
    }
}
