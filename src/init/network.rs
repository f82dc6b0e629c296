//! Brings up what the container was given: the loopback, and each interface as the configuration says.

use std::{cell::RefCell, collections::BTreeMap, io, net::IpAddr, path::Path, rc::Rc};

use super::{etc, lease, link::Link, record::Record, rp_filter::Checks};
use crate::config::{Given, Init};
use kernel::{proc::rtnetlink::Change, root::Root};

/// `RTPROT_STATIC`.
const STATIC: u8 = 4;

/// Which name servers and domains there are, by who tells: of each the configuration alone if it names some, else every lease.
pub(super) struct Resolver {
    dns: Vec<IpAddr>,
    search: Vec<String>,
    told: RefCell<BTreeMap<String, Told>>,
}

/// Name servers and a domain.
type Told = (Vec<IpAddr>, Option<String>);

impl Resolver {
    /// Takes up what one interface's lease says.
    pub(super) fn tell(&self, interface: &str, dns: &[IpAddr], domain: Option<&str>) -> io::Result<()> {
        self.told.borrow_mut().insert(interface.to_owned(), (dns.to_vec(), domain.map(str::to_owned)));
        self.write()
    }

    fn write(&self) -> io::Result<()> {
        match self.resolv_conf() {
            Some(text) => etc::write(Path::new("/etc/resolv.conf"), &text),
            None => Ok(()),
        }
    }

    /// Nothing as long as there is no name server: what the host put there may be better.
    fn resolv_conf(&self) -> Option<String> {
        let told = self.told.borrow();
        let dns: Vec<_> = told.values().flat_map(|(dns, _)| dns).copied().collect();
        let domains: Vec<_> = told.values().filter_map(|(_, domain)| domain.clone()).collect();
        let dns = if self.dns.is_empty() { &dns } else { &self.dns };
        let search = if self.search.is_empty() { &domains } else { &self.search };
        (!dns.is_empty()).then(|| etc::resolv_conf(dns, search))
    }
}

/// Brings up what can be brought up at once, and leaves the rest to tasks of their own.
pub(super) async fn bring_up(init: Init, record: &Rc<Record>) {
    let Ok(root) = Root::open(Path::new("/")).map(Rc::new) else { return };
    let failed = |what: &str, error: io::Error| record.say(&format!("{what}: {error}"));
    if let Some(loopback) = Link::of(&root, "lo".to_owned()) {
        loopback.change(Change::Up).unwrap_or_else(|error| failed("lo cannot be switched on", error));
    }
    let resolver = Rc::new(Resolver { dns: init.dns, search: init.search, told: RefCell::default() });
    resolver.write().unwrap_or_else(|error| failed("/etc/resolv.conf", error));
    let checks = Rc::new(Checks::of(Path::new("/")));
    let links = Link::all(&root);
    for name in init.interfaces.keys().filter(|name| links.iter().all(|link| link.name != **name)) {
        record.say(&format!("{name} is configured, and there is no such interface"));
    }
    for link in links {
        let given = init.interfaces.get(&link.name).cloned().unwrap_or_default();
        if given == Given::Untouched || given == Given::Auto && link.mac.is_none() {
            continue;
        }
        let name = link.name.clone();
        if let Err(error) = link.change(Change::Up) {
            failed(&format!("{name} cannot be switched on"), error);
            continue;
        }
        match (given, link.mac) {
            (Given::Static { addresses, gateways }, _) => {
                for (address, prefix) in addresses {
                    match link.change(Change::Address(address, prefix, None)) {
                        Ok(()) => record.say(&format!("{name}: has {address}/{prefix}, as the configuration says")),
                        Err(error) => failed(&format!("{name}: {address}/{prefix}"), error),
                    }
                }
                for gateway in gateways {
                    let everywhere = if gateway.is_ipv4() { [0; 4].into() } else { IpAddr::from([0_u8; 16]) };
                    let route = Change::Route { to: (everywhere, 0), via: Some(gateway), origin: STATIC };
                    link.change(route).unwrap_or_else(|error| failed(&format!("{name}: the gateway {gateway}"), error));
                }
            }
            (Given::Auto | Given::Dhcp, None) => record.say(&format!("{name} is no Ethernet, and DHCP not for it")),
            (given @ (Given::Auto | Given::Dhcp), Some(mac)) => {
                let client = lease::Client {
                    link,
                    mac,
                    yields: given == Given::Auto,
                    root: Rc::clone(&root),
                    record: Rc::clone(record),
                    resolver: Rc::clone(&resolver),
                    checks: Rc::clone(&checks),
                };
                tokio::task::spawn_local(client.live());
            }
            (Given::Untouched, _) => (),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands in the file, told by two leases, one of which knows no domain.
    fn told(dns: &[&str], search: &[&str]) -> Vec<String> {
        let address = |text: &&str| text.parse().unwrap();
        let (dns, search) = (dns.iter().map(address).collect(), search.iter().map(|&name| name.to_owned()).collect());
        let resolver = Resolver { dns, search, told: RefCell::default() };
        let lease = |dns: &str, domain: Option<&str>| (vec![address(&dns)], domain.map(str::to_owned));
        resolver.told.borrow_mut().insert("eth0".to_owned(), lease("192.0.2.53", Some("lease.example")));
        resolver.told.borrow_mut().insert("eth1".to_owned(), lease("192.0.2.54", None));
        resolver.resolv_conf().unwrap().lines().skip(1).map(str::to_owned).collect()
    }

    #[test]
    fn servers_and_domains_of_the_configuration_each_stand_for_those_of_leases() {
        let (theirs, ours) = (["nameserver 192.0.2.53", "nameserver 192.0.2.54"], "nameserver 192.0.2.1");
        assert_eq!(told(&[], &[]), ["search lease.example", theirs[0], theirs[1]]);
        assert_eq!(told(&["192.0.2.1"], &[]), ["search lease.example", ours]);
        assert_eq!(told(&[], &["own.example"]), ["search own.example", theirs[0], theirs[1]]);
        assert_eq!(told(&["192.0.2.1"], &["own.example"]), ["search own.example", ours]);
    }

    #[test]
    fn without_a_server_the_file_is_left_as_it_is() {
        let of = |dns| Resolver { dns, search: vec!["own.example".to_owned()], told: RefCell::default() }.resolv_conf();
        assert_eq!(of(vec![]), None);
        assert!(of(vec!["192.0.2.1".parse().unwrap()]).is_some(), "before any lease");
    }
}
