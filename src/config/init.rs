//! What `init` is told, in a file of its own: a server that is given other settings has nothing to do with the network of its container.

use std::{collections::BTreeMap, net::IpAddr, path::Path};

use serde::{Deserialize, Deserializer};

use super::{
    ConfigError, Misread, fault,
    reading::{bytes_of, understood},
    value::{As, FromText},
    web::is_host,
};

/// Where `init` looks.
pub const INIT_FILE: &str = "/etc/systemmanager-mcp/init.ron";

/// What `init` is told. Without a file, nothing: it takes what the host gives, and asks for the rest by DHCP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Init {
    /// The host's name; `None` leaves the one that the container was given.
    #[serde(deserialize_with = "name")]
    pub hostname: Option<String>,
    /// What to do with an interface, by its name; with one that is not named, [`Given::Auto`].
    pub interfaces: BTreeMap<String, Given>,
    /// The name servers, instead of those that DHCP tells.
    #[serde(deserialize_with = "list::<IpAddr, _, _>")]
    pub dns: Vec<IpAddr>,
    /// The domains in which to look for names without a dot.
    #[serde(deserialize_with = "list::<Name, _, _>")]
    pub search: Vec<String>,
}

/// Where an interface has its addresses from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Given {
    /// From the host; if it gives no IPv4 address, from DHCP.
    #[default]
    Auto,
    /// From DHCP.
    Dhcp,
    /// From here.
    Static {
        /// Address and prefix.
        #[serde(deserialize_with = "list::<Own, _, _>")]
        addresses: Vec<(IpAddr, u8)>,
        /// The way to everywhere else, one of each family at most, of all interfaces together.
        #[serde(default, deserialize_with = "list::<IpAddr, _, _>")]
        gateways: Vec<IpAddr>,
    },
    /// From whoever may: the interface is left as it is.
    Untouched,
}

impl Init {
    /// What the file says, or nothing if it is not there.
    pub fn of(file: &Path) -> Result<Self, ConfigError> {
        if matches!(rustix::fs::stat(file), Err(rustix::io::Errno::NOENT)) {
            return Ok(Self::default());
        }
        bytes_of(file).and_then(|bytes| Self::parse(&bytes)).map_err(|misread| ConfigError::of(file, vec![misread]))
    }

    /// What a file of this content says; or what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Misread> {
        let (init, text) = understood::<Self>(bytes)?;
        init.check().map_err(|(key, why)| Misread::at(fault::place_of(text, key), why))?;
        Ok(init)
    }

    /// The kernel has one way to everywhere: a second one would take the place of the first without a word.
    fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let gateways = self.interfaces.values().flat_map(|given| match given {
            Given::Static { gateways, .. } => gateways.as_slice(),
            Given::Auto | Given::Dhcp | Given::Untouched => &[],
        });
        let v4 = gateways.clone().filter(|gateway| gateway.is_ipv4()).count();
        if v4 > 1 || gateways.count() - v4 > 1 {
            let why = "expected in the gateways of all interfaces together at most one of IPv4 and one of IPv6; remove the others";
            return Err(("gateways", why));
        }
        Ok(())
    }
}

/// A name of a host or a domain.
struct Name(String);

impl FromText for Name {
    const EXPECTED: &'static str = "a name like \"box\" or \"box.example\", of at most 63 characters";

    fn read(text: &str) -> Option<Self> {
        (is_host(text) && text.len() <= 63 && !text.starts_with('[')).then(|| Self(text.to_owned()))
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl FromText for IpAddr {
    const EXPECTED: &'static str = "an address like \"192.0.2.1\" or \"2001:db8::1\"";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// A machine's own address, with the prefix of its network.
struct Own(IpAddr, u8);

impl FromText for Own {
    const EXPECTED: &'static str = "an address and its prefix like \"192.0.2.7/24\" or \"2001:db8::7/64\"";

    fn read(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let prefix = prefix.parse().ok().filter(|prefix| *prefix <= if address.is_ipv4() { 32 } else { 128 })?;
        Some(Self(address, prefix))
    }
}

impl From<Own> for (IpAddr, u8) {
    fn from(own: Own) -> Self {
        (own.0, own.1)
    }
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<As<Name>>::deserialize(deserializer)?.map(|name| name.0.into()))
}

fn list<'de, T: FromText + Into<V>, V, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<V>, D::Error> {
    Ok(Vec::<As<T>>::deserialize(deserializer)?.into_iter().map(|value| value.0.into()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../images/init.example.ron");

    #[test]
    fn the_example_is_the_defaults_and_what_it_shows_is_understood() {
        assert_eq!(Init::parse(EXAMPLE.as_bytes()), Ok(Init::default()));
        // what stands behind //     is there to be copied
        let shown: Vec<_> = EXAMPLE.lines().filter_map(|line| line.trim().strip_prefix("//     ")).collect();
        let init = Init::parse(format!("({})", shown.join("\n")).as_bytes()).unwrap();
        assert_eq!(init.hostname.as_deref(), Some("box"));
        assert_eq!((&init.interfaces["eth1"], &init.interfaces["eth2"]), (&Given::Dhcp, &Given::Untouched));
        let addresses = vec![("192.0.2.7".parse().unwrap(), 24), ("2001:db8::7".parse().unwrap(), 64)];
        let gateways = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        assert_eq!(init.interfaces["eth0"], Given::Static { addresses, gateways });
        assert_eq!((init.dns.len(), init.search), (1, vec!["example.org".to_owned()]));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_what_was_expected() {
        for (text, line, why) in [
            ("(\n hostnme: \"a\")", 2, "hostname, interfaces"),
            ("(\n hostname: \"a b\")", 2, "a name like"),
            ("(\n interfaces: {\"eth0\": DHCP})", 2, "Auto, Dhcp, Static, Untouched"),
            ("(\n interfaces: {\"eth0\": Static()})", 2, "the key addresses"),
            ("(\n interfaces: {\"eth0\": Static(addresses: [\"192.0.2.7\"])})", 2, "its prefix"),
            ("(\n interfaces: {\"eth0\": Static(addresses: [\"192.0.2.7/33\"])})", 2, "its prefix"),
            (
                "(interfaces: {\"eth0\": Static(addresses: [\"192.0.2.7/24\"],\n gateways: [\"192.0.2.1\", \"192.0.2.2\"])})",
                2,
                "gateways of all interfaces together at most one",
            ),
            (
                "(interfaces: {\"eth1\": Static(addresses: [],\n gateways: [\"2001:db8::1\"]),
                \"eth0\": Static(addresses: [], gateways: [\"192.0.2.1\", \"fe80::1\"])})",
                2,
                "remove the others",
            ),
            ("(\n dns: [\"one.example\"])", 2, "an address like"),
            ("(\n search: [\"a\\nnameserver 192.0.2.1\"])", 2, "a name like"),
        ] {
            let Misread { place, why: said } = Init::parse(text.as_bytes()).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
            assert_eq!(place.map(|(line, _)| line), Some(line), "{text}: {said}");
        }
    }

    #[test]
    fn each_family_may_have_its_gateway_on_another_interface() {
        let text = "(interfaces: {\"eth0\": Static(addresses: [], gateways: [\"192.0.2.1\"]),
            \"eth1\": Static(addresses: [], gateways: [\"fe80::1\"]), \"eth2\": Static(addresses: [])})";
        assert!(Init::parse(text.as_bytes()).is_ok());
    }
}
