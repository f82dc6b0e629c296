//! Which networks are there, with which addresses, and who is in them?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{listed, told};
use crate::tool::{Tool, Turn};
use engine::{
    Docker,
    allow::Allow,
    model::{Network, PROJECT, Summary, short},
};
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::scope::Scope;
use text::{
    page::{Limit, Page},
    table::Table,
};

/// Containers named in a row.
const MEMBERS: usize = 5;

/// Docker's networks and who is in them with which address. Give `name` for all members of one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DockerNetworks {
    /// A network's name or id.
    name: Option<String>,
    /// Only those with this in their name; with `*` it is the whole name's pattern.
    pattern: Option<String>,
    /// Rows: networks, or with name members.
    #[serde(default)]
    limit: Limit<20, 200>,
    /// next_cursor of the same question.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    pub total: usize,
    /// Those asked for.
    pub matching: usize,
    pub networks: Table<Row>,
    /// Of the one network that name means.
    pub members: Option<Table<Member>>,
    pub next_cursor: Option<String>,
}

/// A network.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Row {
    pub name: String,
    /// The first twelve digits.
    pub id: String,
    pub driver: String,
    /// local, global or swarm.
    pub scope: String,
    /// Whether it has no way out.
    pub internal: bool,
    pub subnets: Option<String>,
    pub gateways: Option<String>,
    /// Its compose project.
    pub project: Option<String>,
    /// Running containers in it with their addresses, as far as they may be seen.
    pub members: Option<String>,
}

/// A running container in a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Member {
    pub name: String,
    /// Null where the network gives none, as the host's.
    pub ipv4: Option<String>,
    pub ipv6: Option<String>,
}

impl Tool for DockerNetworks {
    const NAME: &'static str = "docker_networks";
    const TITLE: &'static str = "Docker networks";
    const SCOPE: Scope = Scope::DockerRead;
    const LANE: Lane = Lane::Docker;
    const UNTRUSTED: Option<&'static str> = Some("name, project, members");
    const AUDITED: &'static [&'static str] = &["name", "pattern", "limit", "cursor"];
    type Output = Report;

    async fn run(self, turn: &Turn) -> Result<Report, Failure> {
        let page = Page::of(Self::NAME, (&self.name, &self.pattern), self.limit.rows(), self.cursor.as_deref())?;
        let docker = &turn.docker(Self::SCOPE);
        let (networks, containers) = ask(docker).await?;
        read(&self, &page, networks, &containers, docker.allow())
    }
}

async fn ask(docker: &Docker) -> Result<(Vec<Network>, Vec<Summary>), Failure> {
    futures_util::future::try_join(docker.get("/networks"), docker.all_containers()).await
}

fn read(
    request: &DockerNetworks,
    page: &Page<usize>,
    mut networks: Vec<Network>,
    containers: &[Summary],
    allow: &Allow,
) -> Result<Report, Failure> {
    let seen: Vec<&Summary> = containers.iter().filter(|one| allow.sees(one)).collect();
    networks.retain(|network| allow.shows_network(network, containers));
    let total = networks.len();
    networks.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    if let Some(name) = &request.name {
        let network = one_of(networks, name)?;
        let (members, next_cursor) = page.by_count(members(&network, &seen));
        let networks = std::iter::once(row(network, &seen)).collect();
        return Ok(Report { total, matching: 1, networks, members: Some(Table(members)), next_cursor });
    }
    networks.retain(|network| request.pattern.as_ref().is_none_or(|pattern| listed::fits(pattern, &network.name)));
    let matching = networks.len();
    let (shown, next_cursor) = page.by_count(networks);
    let networks = shown.into_iter().map(|network| row(network, &seen)).collect();
    Ok(Report { total, matching, networks, members: None, next_cursor })
}

fn one_of(networks: Vec<Network>, name: &str) -> Result<Network, Failure> {
    let exact = |network: &Network| network.name == name || network.id == name;
    let begins = |network: &Network| name.len() >= 4 && network.id.starts_with(name);
    let named: Vec<&Network> = networks.iter().filter(|network| exact(network)).collect();
    let found = if named.is_empty() { networks.iter().filter(|network| begins(network)).collect() } else { named };
    match &found[..] {
        [] => Err(Failure::NotFound(format!("a network called {name:?}"))),
        [one] => Ok((*one).clone()),
        several => {
            let ids: Vec<&str> = several.iter().take(10).map(|network| short(&network.id)).collect();
            Err(Failure::Invalid(format!("{name:?} may be each of {}; say which by its id", ids.join(", "))))
        }
    }
}

fn members(network: &Network, containers: &[&Summary]) -> Vec<Member> {
    let address = |address: &str| (!address.is_empty()).then(|| address.to_owned());
    let running = containers.iter().filter(|one| matches!(one.state.as_str(), "running" | "paused" | "restarting"));
    let member = |one: &&Summary| {
        let endpoint = one.place_in(network)?;
        let name = one.name().to_owned();
        Some(Member { name, ipv4: address(&endpoint.ip_address), ipv6: address(&endpoint.ipv6_address) })
    };
    let mut members: Vec<Member> = running.filter_map(member).collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    members
}

fn row(network: Network, containers: &[&Summary]) -> Row {
    let members = members(&network, containers).into_iter().map(|member| {
        [Some(member.name), member.ipv4, member.ipv6].into_iter().flatten().collect::<Vec<_>>().join(" ")
    });
    let of = |part: fn(&engine::model::Subnet) -> &str| {
        listed::joined(network.ipam.config.iter().map(part).filter(|part| !part.is_empty()), MEMBERS)
    };
    Row {
        id: short(&network.id).to_owned(),
        subnets: of(|subnet| &subnet.subnet),
        gateways: of(|subnet| &subnet.gateway),
        project: network.labels.get(PROJECT).map(|project| told(project, 64)),
        members: listed::joined(members, MEMBERS),
        name: network.name,
        driver: network.driver,
        scope: network.scope,
        internal: network.internal,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use engine::allow::{Rule, Rules};

    fn report(request: serde_json::Value) -> Result<Report, Failure> {
        report_for(request, &Allow::default())
    }

    fn report_for(request: serde_json::Value, allow: &Allow) -> Result<Report, Failure> {
        let request: DockerNetworks = serde_json::from_value(request).unwrap();
        let (back, other) = ("b".repeat(64), "c".repeat(64));
        let networks = json!([
            { "Id": back, "Name": "back", "Driver": "bridge", "Scope": "local", "Internal": true,
              "IPAM": { "Config": [{ "Subnet": "10.1.0.0/16", "Gateway": "10.1.0.1" }, { "Subnet": "fd00::/64" }] } },
            { "Id": other, "Name": "back", "IPAM": { "Config": null } },
            { "Id": "d".repeat(64), "Name": "podman", "IPAM": null },
        ]);
        let containers = json!([
            { "Id": "1", "Names": ["/web"], "State": "running",
              "NetworkSettings": { "Networks": { "back": { "NetworkID": back, "IPAddress": "10.1.0.2", "GlobalIPv6Address": "fd00::2" } } } },
            { "Id": "2", "Names": ["/old"], "State": "exited",
              "NetworkSettings": { "Networks": { "back": { "NetworkID": back, "IPAddress": "" } } } },
            { "Id": "3", "Names": ["pod"], "State": "running",
              "NetworkSettings": { "Networks": { "podman": { "NetworkID": "podman", "IPAddress": "10.88.0.2" } } } },
        ]);
        let (networks, containers): (_, Vec<Summary>) =
            (serde_json::from_value(networks).unwrap(), serde_json::from_value(containers).unwrap());
        read(&request, &Page::first(20), networks, &containers, allow)
    }

    #[test]
    fn a_member_is_in_the_network_it_is_in_and_not_in_another_of_that_name() {
        let rows = report(json!({})).unwrap().networks.0;
        let members: Vec<_> = rows.iter().map(|row| row.members.as_deref()).collect();
        assert_eq!(members, [Some("web 10.1.0.2 fd00::2"), None, Some("pod 10.88.0.2")]);
        assert_eq!(rows[0].subnets.as_deref(), Some("10.1.0.0/16, fd00::/64"));
        assert_eq!((rows[0].gateways.as_deref(), rows[0].internal), (Some("10.1.0.1"), true));
        assert_eq!(rows[2].subnets, None);
    }

    #[test]
    fn one_network_tells_all_its_members_and_two_of_a_name_are_told_apart() {
        let one = report(json!({ "name": "bbbbbbbbbbbb" })).unwrap();
        let member = Member { name: "web".into(), ipv4: Some("10.1.0.2".into()), ipv6: Some("fd00::2".into()) };
        assert_eq!(one.members.unwrap().0, [member]);
        let why = report(json!({ "name": "back" })).unwrap_err().to_string();
        assert!(why.contains("bbbbbbbbbbbb, cccccccccccc"), "{why}");
        assert_eq!(report(json!({ "name": "nope" })).unwrap_err().kind(), "not_found");
    }

    #[test]
    fn a_network_that_only_those_are_in_who_may_not_be_seen_is_not_there() {
        let rule = Rule { names: vec!["pod".into()], labels: vec![] };
        let allow = Allow::from(Rules(vec![(Scope::DockerRead, rule)]));
        let rows = report_for(json!({}), &allow).unwrap().networks.0;
        let ids: Vec<_> = rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids, ["cccccccccccc", "dddddddddddd"]);
        assert_eq!(report_for(json!({ "name": "bbbbbbbbbbbb" }), &allow).unwrap_err().kind(), "not_found");
        // nor is the other of its name told apart from it
        let one = report_for(json!({ "name": "back" }), &allow).unwrap();
        assert_eq!(one.networks.0[0].id, "cccccccccccc");
    }
}
