//! Over which interfaces a machine, or a container, exchanges bytes with others, so that no byte is counted twice.

use std::collections::{BTreeSet, HashMap};

use kernel::proc::net_dev;

/// Where an interface stands, as sysfs tells it.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    pub(super) name: String,
    /// A device is behind it: hardware, or what a hypervisor shows as such.
    pub(super) device: bool,
    pub(super) index: Option<u32>,
    /// `iflink`: the number of what it stands on or of its other end, maybe in another namespace; its own or 0 if of none.
    pub(super) other_end: Option<u32>,
    /// The bridge or bond it belongs to.
    pub(super) master: Option<String>,
    /// What it stands on.
    pub(super) lowers: Vec<String>,
    /// It is this machine's end of a virtual machine's interface.
    pub(super) is_guests: bool,
    /// A bridge, a bond or a tunnel: made in software.
    pub(super) is_made: bool,
    /// A tunnel, or a line to one other machine.
    pub(super) is_tunnel: bool,
}

/// Whether a `DEVTYPE` is that of an interface whose bytes pass another one as well, or none.
pub(super) fn is_made(devtype: &str) -> bool {
    // a VLAN may be the container's end of what stands on the machine's interface
    !matches!(devtype, "wlan" | "wwan" | "gadget" | "vlan" | "ipvlan" | "macvlan")
}

/// The names of the outer ones.
///
/// 1. Where there are devices: these, but for what stands on another device (a switch's port on its conduit) or has its bytes counted by
///    a master that is a device itself (a virtual function below Hyper-V's synthetic interface).
/// 2. Else, as in a container, the ends of what leads into another namespace.
/// 3. Else all that is not known, by what it is or by its name, to be stacked.
/// 4. Else ends that are called as those of guests are, and tunnels: something must lead out.
pub(super) fn of(links: &[Link]) -> BTreeSet<&str> {
    if links.iter().any(|link| link.device) {
        let by_name: HashMap<&str, &Link> = links.iter().map(|link| (&*link.name, link)).collect();
        let indices: BTreeSet<u32> = links.iter().filter(|link| link.device).filter_map(|link| link.index).collect();
        let alone = |link: &&Link| link.device && !link.is_guests && stands_alone(link, &by_name, &indices);
        return names(links.iter().filter(alone));
    }
    let ends = ends(links);
    let own = names(ends.iter().copied().filter(|link| !net_dev::is_guests(&link.name)));
    if !own.is_empty() {
        return own;
    }
    let plain = names(links.iter().filter(is_plain));
    if !plain.is_empty() {
        return plain;
    }
    let tunnels = links.iter().filter(|link| link.is_tunnel && link.master.is_none());
    names(ends.iter().copied().chain(tunnels))
}

fn is_plain(link: &&Link) -> bool {
    let name = &*link.name;
    let by_name = name == "lo" || net_dev::is_guests(name) || net_dev::is_stacked(name);
    !(by_name || link.is_made || !link.lowers.is_empty())
}

fn names<'a>(links: impl IntoIterator<Item = &'a Link>) -> BTreeSet<&'a str> {
    links.into_iter().map(|link| link.name.as_str()).collect()
}

fn stands_alone(link: &Link, by_name: &HashMap<&str, &Link>, indices: &BTreeSet<u32>) -> bool {
    let counted_above = link.master.as_deref().is_some_and(|master| by_name.contains_key(master));
    let stands_on = link.lowers.iter().filter_map(|lower| by_name.get(lower.as_str()));
    // what it has as a port it counts itself
    let counted_below = stands_on.into_iter().any(|lower| lower.master.as_deref() != Some(&link.name));
    let conduit = link.other_end.filter(|end| link.index.is_some_and(|own| own != *end));
    !counted_above && !counted_below && !conduit.is_some_and(|end| indices.contains(&end))
}

/// Those that lead into another namespace: no bridge's ports, no pairs that have both ends here.
fn ends(links: &[Link]) -> Vec<&Link> {
    let ends = |link: &Link| Some((link.index?, link.other_end.filter(|end| *end != 0)?));
    let pairs: BTreeSet<(u32, u32)> = links.iter().filter_map(ends).collect();
    let leads_away = |link: &&Link| {
        let away = ends(link).is_some_and(|(own, end)| own != end && !pairs.contains(&(end, own)));
        away && !link.is_made && link.master.is_none() && link.lowers.is_empty()
    };
    links.iter().filter(leads_away).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, index: u32) -> Link {
        Link { name: name.into(), device: true, index: Some(index), other_end: Some(index), ..Link::default() }
    }

    fn end(name: &str, index: u32, other: u32) -> Link {
        Link { name: name.into(), index: Some(index), other_end: Some(other), ..Link::default() }
    }

    fn outer(links: &[Link]) -> Vec<&str> {
        of(links).into_iter().collect()
    }

    #[test]
    fn a_synthetic_interface_counts_what_its_virtual_function_carries() {
        let links = [
            Link { lowers: vec!["enP1s1".into()], ..device("eth0", 2) },
            Link { master: Some("eth0".into()), ..device("enP1s1", 3) },
        ];
        assert_eq!(outer(&links), ["eth0"]);
    }

    #[test]
    fn ports_of_a_switch_pass_its_conduit() {
        let links = [
            device("eth0", 2),
            Link { lowers: vec!["eth0".into()], ..device("lan1", 3) },
            // before lower_ there was but a number
            Link { other_end: Some(2), ..device("lan2", 4) },
            Link { master: Some("br-lan".into()), ..device("wlan0", 5) },
        ];
        assert_eq!(outer(&links), ["eth0", "wlan0"]);
    }

    #[test]
    fn a_pair_with_both_ends_here_leads_nowhere() {
        let links = [end("lo", 1, 1), end("eth0", 2, 9), end("a", 7, 8), end("b", 8, 7), end("dummy", 9, 9)];
        assert_eq!(outer(&links), ["eth0"]);
    }

    #[test]
    fn an_own_end_may_be_called_as_guests_are() {
        assert_eq!(outer(&[end("lo", 1, 1), end("veth0", 2, 9)]), ["veth0"]);
        assert_eq!(outer(&[end("lo", 1, 1), end("veth0", 2, 9), end("host0", 3, 4)]), ["host0"]);
        assert_eq!(outer(&[end("lo", 1, 1), end("veth0", 2, 9), end("venet0", 3, 3)]), ["venet0"]);
    }

    #[test]
    fn with_nothing_that_leads_away_names_and_kinds_tell() {
        let made = |name: &str| Link { is_made: true, ..end(name, 5, 5) };
        let links = [end("lo", 1, 1), end("venet0", 2, 2), made("lan"), end("ifb0", 3, 3), end("tap7", 4, 4)];
        assert_eq!(outer(&links), ["venet0"]);
        let tunnel = |name: &str| Link { is_tunnel: true, ..made(name) };
        assert_eq!(outer(&[end("lo", 1, 1), made("docker0"), tunnel("tap0")]), ["tap0"]);
        assert_eq!(outer(&[end("venet0", 2, 2), tunnel("wg0")]), ["venet0"]);
        assert_eq!(outer(&[]), [] as [&str; 0]);
    }
}
