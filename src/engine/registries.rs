//! From which registries images may come, as the operator says. The Engine fetches from any host that it is told, and follows where that
//! one sends it: who may name any host may look around in the Engine's network.

use super::image::{ALIAS, DEFAULT_REGISTRY, Reference, is_registry};

/// What stands for every registry with a public name.
const PUBLIC: &str = "*";

/// Domains that are not of the Internet, or of this network alone: reserved, or usual in offices, homes, clusters and engines.
const NOT_PUBLIC: &[&str] = &[
    "alt",
    "arpa",
    "cluster",
    "consul",
    "corp",
    "docker",
    "fritz",
    "home",
    "incus",
    "internal",
    "intern",
    "intra",
    "intranet",
    "invalid",
    "k8s",
    "kubernetes",
    "lab",
    "lan",
    "libvirt",
    "local",
    "localdomain",
    "localhost",
    "localnet",
    "lxc",
    "lxd",
    "mesos",
    "mdns",
    "node",
    "nomad",
    "onion",
    "pod",
    "podman",
    "priv",
    "private",
    "router",
    "svc",
    "swarm",
    "test",
    "vm",
    "workgroup",
];

/// One entry: a host with or without a port, or `*`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Registry(String);

impl Registry {
    /// What is expected of the text of one.
    pub const EXPECTED: &'static str =
        "a registry's host like \"registry.example\" or \"192.0.2.1:5000\", or \"*\" for every one with a public name";

    /// Reads an entry. The default registry has two names, and references come by the first.
    pub fn read(text: &str) -> Option<Self> {
        let name = text.to_ascii_lowercase();
        let name = if name == ALIAS { DEFAULT_REGISTRY.to_owned() } else { name };
        (name == PUBLIC || is_registry(&name)).then_some(Self(name))
    }
}

impl std::str::FromStr for Registry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::read(text).ok_or_else(|| format!("expected {}", Self::EXPECTED))
    }
}

/// The registries that images may be pulled from. By default every one with a public name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registries(pub Vec<Registry>);

impl Default for Registries {
    fn default() -> Self {
        Self(vec![Registry(PUBLIC.to_owned())])
    }
}

impl Registries {
    /// What both let be.
    pub fn common(&self, other: &Self) -> Self {
        let lets = |of: &Self, one: &Registry| of.has(&one.0) || of.has(PUBLIC) && is_public(&one.0);
        let own = self.0.iter().filter(|one| lets(other, one));
        let others = other.0.iter().filter(|one| lets(self, one) && !self.0.contains(one));
        Self(own.chain(others).cloned().collect())
    }

    /// Refuses an image of a registry that is not among these, in a sentence that says what to do.
    pub fn check(&self, image: &Reference) -> Result<(), String> {
        let registry = image.registry();
        if self.has(registry) || self.has(PUBLIC) && is_public(registry) {
            return Ok(());
        }
        Err(format!(
            "the registry {registry} is not among those that images may come from: the operator can add it to docker.registries (docker-guard: --registry)"
        ))
    }

    /// Whether the operator vouches for the registry of this image, by its name: one that is only let be because its name is public can be
    /// anybody's, and can send the Engine anywhere.
    pub fn vouch_for(&self, image: &Reference) -> bool {
        let registry = image.registry();
        self.has(registry) || self.has(PUBLIC) && registry == DEFAULT_REGISTRY
    }

    fn has(&self, registry: &str) -> bool {
        self.0.iter().any(|one| one.0.eq_ignore_ascii_case(registry))
    }
}

/// Whether a name can be one of the Internet: a domain of two parts or more, and no address in any spelling; at the usual port. To which
/// address it leads only the Engine knows.
fn is_public(registry: &str) -> bool {
    let host = registry.to_ascii_lowercase();
    let mut labels = host.rsplit('.');
    let last = labels.next().unwrap_or_default();
    // a last part that begins with a digit is a part of an address to some resolvers: 127.1, 0x7f.1
    last.starts_with(|c: char| c.is_ascii_lowercase())
        && labels.next().is_some()
        && !host.contains(':')
        && !NOT_PUBLIC.contains(&last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registries(names: &[&str]) -> Registries {
        Registries(names.iter().map(|name| name.parse().unwrap()).collect())
    }

    fn may(registries: &Registries, image: &str) -> bool {
        registries.check(&Reference::parse(image).unwrap()).is_ok()
    }

    #[test]
    fn by_default_images_come_from_public_names_and_from_nowhere_near() {
        let default = Registries::default();
        for image in
            ["web", "team/web:1", "docker.io/web", "index.docker.io/web", "registry.example/web", "a.b.example/x/y/z"]
        {
            assert!(may(&default, image), "{image}");
        }
        for image in [
            "localhost/x",
            "LOCALHOST/x",
            "localhost:5000/x",
            "127.0.0.1/x",
            "127.0.0.1:5000/x",
            "127.1/x",
            "127.1:80/x",
            "0x7f.1/x",
            "0x7f.0x1/x",
            "0177.0.0.1/x",
            "2130706433:80/x",
            "0x7f000001:80/x",
            "10.0.0.1/x",
            "169.254.169.254/x",
            "100.100.100.200/x",
            "8.8.8.8/x",
            "registry:5000/x",
            "Registry/x",
            "registry.example:5000/x",
            "registry.example:443/x",
            "nas.local/x",
            "nas.lan/x",
            "NAS.LAN/x",
            "metadata.internal/x",
            "a.localhost/x",
            "db.default.svc/x",
            "vault.service.consul/x",
            "host.containers.podman/x",
            "web.docker/x",
            "git.intra/x",
            "box.incus/x",
            "box.home.arpa/x",
            "1.0.0.127.in-addr.arpa/x",
        ] {
            assert!(!may(&default, image), "{image}");
        }
    }

    #[test]
    fn what_the_operator_names_may_be_pulled_from_and_nothing_beside_it() {
        let named = registries(&["nas.lan:5000", "Registry.example"]);
        for image in ["nas.lan:5000/x", "NAS.lan:5000/x", "registry.example/x:2"] {
            assert!(may(&named, image), "{image}");
        }
        for image in
            ["web", "nas.lan/x", "nas.lan:5001/x", "a.registry.example/x", "registry.example:5000/x", "nas.lan/5000/x"]
        {
            assert!(!may(&named, image), "{image}");
        }
        let both = registries(&["*", "127.0.0.1:5000"]);
        assert!(may(&both, "web") && may(&both, "127.0.0.1:5000/x") && !may(&both, "127.0.0.1:5001/x"));
        assert!(!may(&Registries(vec![]), "web"));
        let why = both.check(&Reference::parse("127.0.0.1:22/x").unwrap()).unwrap_err();
        assert!(why.contains("127.0.0.1:22") && why.contains("docker.registries"), "{why}");
    }

    #[test]
    fn a_public_name_is_not_vouched_for() {
        let vouched = |names: &[&str], image: &str| registries(names).vouch_for(&Reference::parse(image).unwrap());
        assert!(
            vouched(&["*"], "web") && vouched(&["*", "r.example"], "r.example/x") && vouched(&["docker.io"], "web")
        );
        assert!(!vouched(&["*"], "r.example/x") && !vouched(&["r.example"], "web"));
    }

    #[test]
    fn an_entry_is_a_host_and_no_way_around_one() {
        for text in ["*", "docker.io", "localhost", "nas:5000", "192.0.2.1:5000"] {
            assert!(Registry::read(text).is_some(), "{text}");
        }
        for text in [
            "",
            "**",
            "*.example",
            "https://r.example",
            "r.example/x",
            "u@r.example",
            "[::1]:5000",
            "dir",
            "oci:5",
            "a:b",
            "r.example.",
        ] {
            assert!(Registry::read(text).is_none(), "{text}");
        }
    }
}
