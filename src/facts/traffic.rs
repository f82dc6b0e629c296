//! What passes between this machine, or container, and others.

use super::{addresses, interfaces::Interfaces};
use crate::{
    gap::Reader,
    host::{Machine, Window},
};
use kernel::proc::net_dev;

/// Each byte is counted once, however many interfaces it passes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Bytes a second. `None`: an interface has just come, or its counter went back.
    pub received: Option<f64>,
    /// Bytes a second. `None` as above.
    pub sent: Option<f64>,
}

impl Traffic {
    /// Over a window. `None`: there are no network statistics.
    pub fn of(machine: &Machine, window: &Window, reader: &Reader<'_>) -> Option<Self> {
        let counted = window.now.interfaces.as_deref()?;
        let addresses = addresses::indices(machine, reader);
        let outer = Interfaces::of(reader, counted, &addresses).outer();
        let sum = |bytes: fn(&net_dev::Interface) -> u64| {
            let rate = |now: &&net_dev::Interface| {
                let before = window.earlier.interface(&now.name)?;
                window.per_second(bytes(before), bytes(now))
            };
            outer.iter().map(rate).sum::<Option<f64>>().filter(|_| window.seconds() > 0.0)
        };
        Some(Self { received: sum(|one| one.received.bytes), sent: sum(|one| one.sent.bytes) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::tree::Tree;

    /// What passed in ten seconds, received and sent, by the interfaces of two readings.
    fn passed(before: &str, now: &str) -> (Option<f64>, Option<f64>) {
        let tree = Tree::new(&[("sys/class/net/eth0/device/uevent", ""), ("sys/class/net/eth0/ifindex", "2")]);
        for port in ["eth1", "eth2"] {
            tree.write(&format!("sys/class/net/{port}/device/uevent"), "");
        }
        let sample = |text, second| {
            tree.write("proc/1/net/dev", text);
            Arc::new(tree.sample(second))
        };
        let window = Window { earlier: sample(before, 0), now: sample(now, 10) };
        let host = tree.host();
        let (traffic, _) = tree.read(|reader| Traffic::of(host.machine(), &window, reader));
        let traffic = traffic.unwrap();
        (traffic.received, traffic.sent)
    }

    fn line(name: &str, received: u64, sent: u64) -> String {
        format!("{name}: {received} 0 0 0 0 0 0 0 {sent} 0 0 0 0 0 0 0\n")
    }

    #[test]
    fn each_byte_is_counted_once_and_an_unknown_one_never() {
        let before = line("eth0", 100, 200) + &line("br0", 100, 200) + &line("eth1", 0, 0);
        let now = line("eth0", 1_100, 2_200) + &line("br0", 9_100, 9_200) + &line("eth1", 50, 0);
        assert_eq!(passed(&before, &now), (Some(105.0), Some(200.0)));
        // a counter went back, or 32 bits were full
        let back = line("eth0", 90, 2_200) + &line("eth1", 50, 0);
        assert_eq!(passed(&before, &back), (None, Some(200.0)));
        // one has just come
        assert_eq!(passed(&before, &(now.clone() + &line("eth2", 0, 0))), (None, None));
        assert_eq!(passed(&line("lo", 5, 5), &line("lo", 9, 9)), (Some(0.0), Some(0.0)));
    }
}
