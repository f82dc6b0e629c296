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
    /// Compressed packets.
    pub compressed: u64,
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
    /// Compressed packets.
    pub compressed: u64,
}

/// Reads the text of `/proc/net/dev`. A line that makes no sense is left out; the first one is named.
pub fn parse(text: &str) -> (Vec<Interface>, Option<Malformed>) {
    let (mut interfaces, mut odd) = (vec![], None);
    // The two lines of heading have no colon.
    for line in text.lines().filter(|line| line.contains(':')) {
        match Interface::parse(line) {
            Some(interface) => interfaces.push(interface),
            None => odd = odd.or_else(|| Some(Malformed::line("net/dev", text, line))),
        }
    }
    (interfaces, odd)
}

/// Whether the name is one that is given to the machine's end of a container's or virtual machine's interface, and what stands between it
/// and a bridge: by Docker and LXC, KVM, Proxmox's firewall, libvirt, Calico.
pub fn is_guests(name: &str) -> bool {
    ["veth", "tap", "fwbr", "fwpr", "fwln", "vnet", "cali"].iter().any(|kind| name.starts_with(kind))
}

/// Whether the name is one that is given to what sends its bytes on through other interfaces (bridges, bonds, tunnels, VLANs), or through
/// none. For where the kernel does not tell what stands on what.
pub fn is_stacked(name: &str) -> bool {
    const KINDS: &[&str] = &[
        "docker",
        "br-",
        "virbr",
        "vmbr",
        "lxcbr",
        "lxdbr",
        "incusbr",
        "xenbr",
        "ovs",
        "cni",
        "podman",
        "flannel",
        "cilium",
        "bond",
        "team",
        "vlan",
        "macvlan",
        "ipvlan",
        "vxlan",
        "geneve",
        "gre",
        "erspan",
        "sit",
        "tunl",
        "ip6tnl",
        "ip_vti",
        "ip6_vti",
        "ppp",
        "tun",
        "wg",
        "tailscale",
        "zt",
        "ifb",
        "dummy",
        "nlmon",
    ];
    let numbered_bridge =
        name.strip_prefix("br").is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
    numbered_bridge || KINDS.iter().any(|kind| name.starts_with(kind)) || name.contains('.')
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
            compressed: column()?,
            multicast: column()?,
        };
        let sent = Sent {
            bytes: column()?,
            packets: column()?,
            errors: column()?,
            dropped: column()?,
            fifo: column()?,
            collisions: column()?,
            carrier: column()?,
            compressed: column()?,
        };
        let name = name.trim_ascii();
        (!name.is_empty()).then(|| Self { name: name.to_owned(), received, sent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Position;

    const HEADING: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
";

    #[test]
    fn columns_stand_where_the_heading_says() {
        let text = format!("{HEADING}  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n");
        let (interfaces, odd) = parse(&text);
        assert_eq!(odd, None);
        let received =
            Received { bytes: 1, packets: 2, errors: 3, dropped: 4, fifo: 5, frame: 6, compressed: 7, multicast: 8 };
        let sent = Sent {
            bytes: 9,
            packets: 10,
            errors: 11,
            dropped: 12,
            fifo: 13,
            collisions: 14,
            carrier: 15,
            compressed: 16,
        };
        assert_eq!(interfaces, [Interface { name: "eth0".into(), received, sent }]);
    }

    #[test]
    fn a_number_may_stick_to_the_name() {
        let (interfaces, _) = parse("eth0:1:2776770 11307 0 0 0 0 0 0 1228 1 0 0 0 0 0 0");
        assert_eq!((interfaces[0].name.as_str(), interfaces[0].received.bytes), ("eth0:1", 2776770));
    }

    #[test]
    fn a_machine_without_interfaces_has_only_the_heading() {
        assert_eq!(parse(HEADING), (vec![], None));
        assert_eq!(parse(""), (vec![], None));
    }

    #[test]
    fn an_odd_line_costs_only_itself() {
        let good = "  eth1: 7 0 0 0 0 0 0 0 9 0 0 0 0 0 0 0\n";
        for line in [
            "eth0: 1 2 3",
            "eth0: 18446744073709551616 0 0 0 0 0 0 0 9 0 0 0 0 0 0 0",
            "eth0: -7 0 0 0 0 0 0 0 9 0 0 0 0 0 0 0",
            "eth0:",
            ": 7 0 0 0 0 0 0 0 9 0 0 0 0 0 0 0",
        ] {
            let (interfaces, odd) = parse(&format!("{HEADING}{line}\n{good}{line}"));
            assert_eq!(odd.unwrap().position, Position::Line(3), "{line}");
            assert_eq!(
                interfaces.iter().map(|one| (&*one.name, one.sent.bytes)).collect::<Vec<_>>(),
                [("eth1", 9)],
                "{line}"
            );
        }
    }

    #[test]
    fn bytes_of_guests_and_of_what_is_stacked_are_counted_elsewhere_too() {
        for name in ["veth1a2b", "tap100i0", "fwln100i0", "vnet3", "cali0123"] {
            assert!(is_guests(name) && !is_stacked(name), "{name}");
        }
        for name in ["docker0", "br-1a2b", "br0", "vmbr0", "lxcbr0", "bond0", "team0", "wg0", "ppp0", "eth0.100"] {
            assert!(is_stacked(name) && !is_guests(name), "{name}");
        }
        for name in ["eth0", "eno1", "wlan0", "brcm0", "lo"] {
            assert!(!is_stacked(name) && !is_guests(name), "{name}");
        }
    }
}
