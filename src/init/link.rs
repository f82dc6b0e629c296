//! One interface, and the kernel asked about it and for it.

use std::{io, net::IpAddr};

use facts::host::{Kernel as _, Live};
use kernel::{
    netlink,
    proc::rtnetlink::{self, Change},
    root::Root,
};

/// `ARPHRD_ETHER`: what DHCP is spoken on.
const ETHERNET: u32 = 1;

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) index: u32,
    /// Its address, if it is Ethernet.
    pub(super) mac: Option<[u8; 6]>,
}

impl Link {
    /// All of them but the loopback. Some kernels give every network namespace tunnels that nobody asked for; those have no address.
    pub(super) fn all(root: &Root) -> Vec<Self> {
        let names = root.names("sys/class/net").unwrap_or_default();
        names.into_iter().filter(|name| name != "lo").filter_map(|name| Self::of(root, name)).collect()
    }

    /// The one of this name.
    pub(super) fn of(root: &Root, name: String) -> Option<Self> {
        let index = root.number(&format!("sys/class/net/{name}/ifindex")).ok()??;
        let kind: Option<u32> = root.number(&format!("sys/class/net/{name}/type")).ok()?;
        let mac = root.word(&format!("sys/class/net/{name}/address")).ok().flatten().and_then(|text| mac(&text));
        Some(Self { name, index, mac: mac.filter(|_| kind == Some(ETHERNET)) })
    }

    /// Asks for one change of it.
    pub(super) fn change(&self, change: Change) -> io::Result<()> {
        netlink::Socket::open(None)?.change(&rtnetlink::change(self.index, change, 1))
    }

    /// Its IPv4 addresses.
    pub(super) fn v4(&self, root: &Root) -> Vec<IpAddr> {
        let all = Live.addresses(root).ok().flatten().unwrap_or_default();
        all.into_iter().filter(|own| own.index == self.index && own.address.is_ipv4()).map(|own| own.address).collect()
    }
}

/// `02:00:00:00:00:01`; none of zeros.
fn mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Vec<u8> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect::<Option<_>>()?;
    bytes.try_into().ok().filter(|mac| *mac != [0; 6])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_is_six_bytes_that_are_not_all_zero() {
        assert_eq!(mac("02:00:00:00:00:ff"), Some([2, 0, 0, 0, 0, 255]));
        for wrong in ["", "00:00:00:00:00:00", "02:00:00:00:00", "192.0.2.1", "02:00:00:00:00:0g"] {
            assert_eq!(mac(wrong), None, "{wrong}");
        }
    }
}
