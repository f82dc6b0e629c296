//! How is the machine connected, and what passes?

mod interfaces;
mod routes;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tool::{Tool, Turn};
use facts::{
    addresses,
    gap::{Gaps, Reader},
    host::{Machine, Place, Whose, Window},
    routes as all_routes,
};
use kernel::{failure::Failure, proc::snmp};
use lanes::lane::Lane;
use rights::scope::Scope;
use text::{
    page::{Limit, Page},
    table::Table,
};

/// Network interfaces with addresses, traffic, errors and drops; routes, DNS servers and TCP. Give `name` for everything about one
/// interface.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Network {
    /// Only this interface and its routes, in depth.
    #[serde(default)]
    name: Option<String>,
    /// Also the veth, tap and firewall interfaces of containers and virtual machines. Default false.
    #[serde(default)]
    all: bool,
    /// Most interfaces in the answer.
    #[serde(default)]
    limit: Limit<10, 100>,
    /// `next_cursor` of the answer before, for more interfaces.
    #[serde(default)]
    cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// Whose network this is.
    pub scope: Whose,
    /// The time all rates cover; 0: the server began this moment, and knows none yet.
    pub window_seconds: f64,
    /// How many interfaces there are to list.
    pub interfaces_total: usize,
    /// Those of containers and virtual machines, which `all` adds.
    pub interfaces_folded: usize,
    pub interfaces: Table<Interface>,
    /// There are more interfaces.
    pub next_cursor: Option<String>,
    /// The one asked for by name.
    pub interface: Option<Details>,
    /// Own addresses whose interface cannot be told; only where the kernel itself cannot be asked.
    pub other_addresses: Vec<String>,
    pub default_routes: Table<Route>,
    /// All but the default ones.
    pub routes_total: Option<usize>,
    /// The main table's; the first 20, or `limit` if that is more. Of several next hops the first.
    pub routes: Table<Route>,
    /// Null if /etc/resolv.conf cannot be read.
    pub dns: Option<Dns>,
    pub tcp: Option<Tcp>,
    /// Files that could not be read, and why; their figures are null.
    #[serde(skip_serializing_if = "Gaps::is_empty")]
    pub gaps: Gaps,
}

/// Totals since the interface came to be.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Interface {
    pub name: String,
    /// The kernel's operstate; `unknown` is normal for those made in software.
    pub state: Option<String>,
    /// Null while it is switched off.
    pub carrier: Option<bool>,
    /// ethernet, wifi, bridge, bond, veth, vlan, tun, tap, wireguard, loopback and so on; `virtual` if only that is known.
    pub kind: Option<String>,
    /// The bridge or bond it belongs to.
    pub master: Option<String>,
    pub mtu: Option<u32>,
    pub speed_bits_per_second: Option<u64>,
    /// The first 4.
    pub addresses: Vec<String>,
    pub addresses_total: usize,
    pub received_bytes_per_second: Option<f64>,
    pub sent_bytes_per_second: Option<f64>,
    pub received_bytes: u64,
    pub sent_bytes: u64,
    /// Both ways.
    pub errors: u64,
    /// Both ways, packets the device missed included.
    pub dropped: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Details {
    pub index: Option<u32>,
    pub mac: Option<String>,
    pub alias: Option<String>,
    pub driver: Option<String>,
    pub duplex: Option<String>,
    /// Since Linux 3.15.
    pub carrier_changes: Option<u64>,
    pub received_packets_per_second: Option<f64>,
    pub sent_packets_per_second: Option<f64>,
    /// The first 100.
    pub addresses: Table<Address>,
    /// Interfaces that belong to it, the first 100.
    pub ports: Vec<String>,
    pub ports_total: usize,
    pub bond: Option<Bond>,
    /// The kernel's names and totals.
    pub counters: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Address {
    pub address: String,
    /// The other end's, of a point-to-point link.
    pub peer: Option<String>,
    /// global, site, link, host or a number.
    pub scope: String,
    /// temporary, secondary, deprecated, tentative, dynamic and so on.
    pub flags: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Bond {
    pub mode: Option<String>,
    /// The one in use, where the mode uses one at a time.
    pub active: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Route {
    pub destination: String,
    pub gateway: Option<String>,
    /// Null for a route that refuses.
    pub interface: Option<String>,
    pub metric: u32,
}

#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Dns {
    /// From /etc/resolv.conf, in the order they are asked; none means this machine itself.
    pub nameservers: Vec<String>,
    /// Domains tried after a short name.
    pub search: Vec<String>,
    /// Whom systemd-resolved asks, where the name server is its stub.
    pub upstream_nameservers: Option<Vec<String>>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Tcp {
    /// Connections now, CLOSE-WAIT included.
    pub established: Option<u64>,
    pub opened_per_second: Option<f64>,
    pub resets_per_second: Option<f64>,
    /// Segments sent again, of all sent; null if none were.
    pub retransmitted_ratio: Option<f64>,
}

impl Tool for Network {
    const NAME: &'static str = "network";
    const TITLE: &'static str = "Network";
    const SCOPE: Scope = Scope::SystemRead;
    const LANE: Lane = Lane::Machine;
    const SHARED: bool = true;
    const UNTRUSTED: Option<&'static str> = Some("alias, dns");
    const AUDITED: &'static [&'static str] = &["name", "all", "limit", "cursor"];
    type Output = Report;

    async fn run(self, turn: &Turn) -> Result<Report, Failure> {
        let page = Page::of(Self::NAME, self.all, self.limit.rows(), self.cursor.as_deref())?;
        let window = turn.host().window().await?;
        turn.read(move |machine| read(machine, &window, &self, &page)).await
    }
}

fn read(
    machine: &Machine,
    window: &Window,
    request: &Network,
    page: &Page<interfaces::RowKey>,
) -> Result<Report, Failure> {
    let reader = Reader::new(&machine.root);
    reader.add(&window.now.gaps, &["/proc/self/net/", "/proc/1/net/"]);
    let name = request.name.as_deref();
    let wanted = all_routes::Wanted { interface: name, most: page.limit().max(20) };
    let routes = all_routes::read(&reader, wanted);
    let addresses = addresses::read(machine, &reader, &routes.connected);
    let listed = interfaces::read(&reader, window, &addresses, request, page)?;
    let lost = addresses.lost().iter().filter(|_| name.is_none()).take(20);
    Ok(Report {
        scope: Place::of(&reader).inside(),
        window_seconds: window.seconds(),
        interfaces_total: listed.total,
        interfaces_folded: listed.folded,
        interfaces: Table(listed.rows),
        next_cursor: listed.next,
        interface: listed.details,
        other_addresses: lost.map(ToString::to_string).collect(),
        default_routes: routes.default.iter().take(20).map(Route::of).collect(),
        routes_total: routes.others_total,
        routes: routes.others.iter().map(Route::of).collect(),
        dns: routes::dns(&reader),
        tcp: tcp(window),
        gaps: reader.gaps(),
    })
}

fn tcp(window: &Window) -> Option<Tcp> {
    let now = &window.now.snmp.as_ref()?.tcp;
    let before = window.earlier.snmp.as_ref().map(|snmp| &snmp.tcp);
    let rate = |count: fn(&snmp::Tcp) -> Option<u64>| window.per_second(count(before?)?, count(now)?);
    let grown = |count: fn(&snmp::Tcp) -> Option<u64>| count(now)?.checked_sub(count(before?)?);
    Some(Tcp {
        established: now.curr_estab,
        opened_per_second: rate(|tcp| tcp.active_opens?.checked_add(tcp.passive_opens?)),
        resets_per_second: rate(|tcp| tcp.estab_resets),
        // the kernel counts as sent what was sent for the first time
        retransmitted_ratio: grown(|tcp| tcp.retrans_segs).zip(grown(|tcp| tcp.out_segs)).and_then(|(resent, sent)| {
            let all = resent.saturating_add(sent);
            (all > 0).then(|| resent as f64 / all as f64)
        }),
    })
}
