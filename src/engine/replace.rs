//! What takes a container's place, and by which names: what the server sends, and what docker-guard lets through.
//!
//! # The convention
//! A container `web` with the id `0123456789ab…` is replaced like this:
//! - `POST /containers/create?name=web.smcp-new-0123456789ab`. [`Replaced::by`] reads from that name whom it replaces. Whoever guards the
//!   socket inspects the container of that name, sees that it is the one ([`Replaced::is`]) and not one that is [`refused`], inspects its
//!   image by id and the one that the body names, and lets the body through if it equals what [`recreate`] makes of the three.
//!   A name can come to be another image's in between: so before the new one takes the name, or is started, its image is looked at again,
//!   by id ([`may_run`]).
//! - `POST /networks/{id}/connect` for each further network, before it is started, with the new one's full id as `Container` and the
//!   `EndpointConfig` of [`Successor::connect`].
//! - the old one becomes `web.smcp-old-0123456789ab`, the new one `web`. The old one is removed when the new one is good.
//!
//! The names are made of what they stand for and nothing else, so that after a crash they say what they are without any journal, and a
//! second try for the same container meets the leftovers of the first.

use serde_json::{Map, Value, json};

use super::{
    image::{Image, Reference},
    model::{SHORT, digits, short},
    registries::Registries,
};

/// Between the name and the short id of whom it replaces.
const NEW: &str = ".smcp-new-";
/// Between the name it had and its own short id.
const OLD: &str = ".smcp-old-";

/// The container that is replaced, as the name of its successor tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Its name, without a slash.
    pub name: String,
    /// The first twelve digits of its id.
    pub short_id: String,
}

impl Replaced {
    /// The container with this name (with or without a slash) and full id.
    pub fn new(name: &str, id: &str) -> Self {
        Self { name: name.trim_start_matches('/').to_owned(), short_id: short(id).to_owned() }
    }

    /// Whom the container called `new` replaces, if its name is such a one.
    pub fn by(new: &str) -> Option<Self> {
        let (name, short_id) = new.rsplit_once(NEW)?;
        let is_id = short_id.len() == 12 && short_id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        // one that is half there itself is nobody's to replace
        let is_own = !name.is_empty() && !is_reserved(name);
        (is_id && is_own).then(|| Self { name: name.to_owned(), short_id: short_id.to_owned() })
    }

    /// Whether the container with this full id and name, as it was inspected, is the one.
    pub fn is(&self, id: &str, name: &str) -> bool {
        id.len() == 64 && id.starts_with(&self.short_id) && name.strip_prefix('/').unwrap_or(name) == self.name
    }

    /// What its successor is called until it takes the name.
    pub fn new_name(&self) -> String {
        format!("{}{NEW}{}", self.name, self.short_id)
    }

    /// What it is called itself from when it gave up the name until it is removed.
    pub fn old_name(&self) -> String {
        format!("{}{OLD}{}", self.name, self.short_id)
    }
}

/// Whether a name is one of those that only an update gives: no other container is to be called so, or it would be taken for half of one.
pub fn is_reserved(name: &str) -> bool {
    name.contains(NEW) || name.contains(OLD)
}

/// The first twelve digits of the id of whom a container of this name is half of an update of; `None` if it is no such name.
pub fn half_of(name: &str) -> Option<&str> {
    let (_, short_id) = name.rsplit_once(NEW).or_else(|| name.rsplit_once(OLD))?;
    let is_id = short_id.len() == SHORT && short_id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_id.then_some(short_id)
}

/// Whether the container with this full id, which is called `from`, may be called `to`: only what the convention has, one way or the other.
pub fn may_rename(id: &str, from: &str, to: &str) -> bool {
    let is_whole = |name: &str| !name.is_empty() && !is_reserved(name);
    let steps_back = is_whole(from) && Replaced::new(from, id).old_name() == to;
    let comes_back = is_whole(to) && Replaced::new(to, id).old_name() == from;
    let takes_over = Replaced::by(from).is_some_and(|replaced| replaced.name == to);
    id.len() == 64 && (steps_back || comes_back || takes_over)
}

/// What makes the successor of a container.
#[derive(Clone, Debug, PartialEq)]
pub struct Successor {
    /// The body of the create.
    pub create: Value,
    /// The networks it is connected to afterwards, since engines before 25 take one at the create: id (or name where there is none) and
    /// `EndpointConfig`.
    pub connect: Vec<(String, Value)>,
    /// The id of the image that it is to be made of. The create names one, and a name can come to be another's.
    pub image_id: String,
}

impl Successor {
    /// Whether the container that was made, as the Engine shows it, is of the image that it was to be made of.
    pub fn is_of(&self, made: &Value) -> bool {
        !self.image_id.is_empty() && digits(text(&made["Image"])) == digits(&self.image_id)
    }
}

/// Why this container cannot be replaced, in a whole sentence. `inspect` is the Engine's own JSON, as below.
pub fn refused(inspect: &Value) -> Option<&'static str> {
    let label = |key: &str| inspect["Config"]["Labels"].get(key).is_some();
    let name = text(&inspect["Name"]);
    if inspect["HostConfig"]["AutoRemove"] == true {
        return Some(
            "it was started with --rm: once stopped it is gone, and could not be put back if its successor fails",
        );
    }
    if label("com.docker.swarm.service.id") || label("com.docker.swarm.task.id") {
        return Some("it belongs to a swarm service, which makes its containers itself");
    }
    if !text(&inspect["Pod"]).is_empty() || label("io.kubernetes.pod.uid") {
        return Some("it belongs to a pod, which is updated as a whole");
    }
    if inspect["State"]["Paused"] == true {
        return Some("it is paused: unpause it first");
    }
    if matches!(inspect["State"]["Status"].as_str(), Some("removing" | "dead")) {
        return Some("it is being removed");
    }
    is_reserved(name).then_some("it is itself half of an update that did not end")
}

/// Refuses an image for a container that may do more than a new one may ([`super::policy::check_successor`]), in a clause: who chooses
/// what runs there has its rights. `container` and the images are what the Engine says of them, unread, `old_image` null if it is gone;
/// `image` is the name that `new_image` was found by.
///
/// The image that it has already may run again. Any other has to be of the same repository, whatever the tag, by what the Engine itself
/// calls it: Podman finds an image by a digest whatever repository stands before that, and by the end of its name. And its registry has to
/// be one that images may come from: who listens on loopback may change.
pub fn may_run(
    container: &Value,
    old_image: &Value,
    new_image: &Value,
    image: &str,
    registries: &Registries,
) -> Result<(), String> {
    let (old, new) = (Image::of(old_image), Image::of(new_image));
    let (had, has) = (text(&container["Image"]), text(&new_image["Id"]));
    if !has.is_empty() && digits(had) == digits(has) {
        return Ok(());
    }
    let made_of = text(&container["Config"]["Image"]);
    let repository = named(made_of).ok_or("it was made of an image without a name")?.repository();
    if old.is_in(&repository) == Some(false) {
        return Err(format!("the image that it was made of is not in the repository {repository}"));
    }
    let wanted = named(image).ok_or("an image is named by its repository, with a tag or digest")?;
    if wanted.repository() != repository {
        return Err(format!(
            "it only takes an image of the repository that it was made of ({repository}), and {image} is not"
        ));
    }
    if !new.is_exactly(&wanted) {
        return Err(format!(
            "what Docker finds by {image} is not listed as {}; write the name as `images` lists it",
            wanted.whole()
        ));
    }
    // Podman's word for what was made on the machine, where no registry is asked unless it is named
    if wanted.registry() == "localhost" { Ok(()) } else { registries.check(&wanted) }
}

/// The image of this name; `None` for an id, or what could be the beginning of one.
fn named(image: &str) -> Option<Reference> {
    let is_id = |name: &str| name == "sha256" || name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    Reference::parse(image).ok().filter(|reference| !is_id(&reference.name))
}

/// What makes a container with the settings of the one that `inspect` shows, of the image called `image`. All three are what the Engine
/// says, unread: what this program has never heard of is carried over as well. `old_image` is null if it is gone.
///
/// What the container has from its old image and not from whoever made it is left out, so that the new image's applies. The two cannot be
/// told apart where they say the same.
pub fn recreate(inspect: &Value, old_image: &Value, new_image: &Value, image: &str) -> Successor {
    let short_id = short(text(&inspect["Id"]));
    let mut host = object(&inspect["HostConfig"]);
    let (mode, networks) = networks(inspect);
    host.insert("NetworkMode".to_owned(), mode.into());
    keep_volumes(&mut host, inspect);
    for limit in host.get_mut("Ulimits").and_then(Value::as_array_mut).into_iter().flatten() {
        // Podman shows the kernel's names, and takes Docker's
        if let Some(name) = text(&limit["Name"]).strip_prefix("RLIMIT_") {
            limit["Name"] = name.to_ascii_lowercase().into();
        }
    }
    let mut body = config(inspect, old_image, new_image, image);
    let mac = body.get("MacAddress").and_then(Value::as_str).map(str::to_owned);
    let mut networks = networks.into_iter();
    if let Some((name, at)) = networks.next() {
        let mut endpoint = endpoint(at, short_id);
        if let Some(mac) = mac {
            endpoint.insert("MacAddress".to_owned(), mac.into());
        }
        let named: Map<String, Value> = [(name, Value::Object(endpoint))].into_iter().collect();
        body.insert("NetworkingConfig".to_owned(), json!({ "EndpointsConfig": named }));
    }
    body.insert("HostConfig".to_owned(), Value::Object(host));
    let connect = networks.map(|(name, at)| {
        let id = text(&at["NetworkID"]);
        (if id.is_empty() { name } else { id.to_owned() }, Value::Object(endpoint(at, short_id)))
    });
    let image_id = text(&new_image["Id"]).to_owned();
    Successor { create: Value::Object(body), connect: connect.collect(), image_id }
}

/// The container's `Config` without what its image says.
fn config(inspect: &Value, old_image: &Value, new_image: &Value, image: &str) -> Map<String, Value> {
    let mut own = object(&inspect["Config"]);
    let of_image = &old_image["Config"];
    for key in ["User", "WorkingDir", "StopSignal", "OnBuild", "ArgsEscaped"] {
        if own.get(key).is_some_and(|value| *value == of_image[key]) {
            own.remove(key);
        }
    }
    commands(&mut own, of_image);
    if let (Some(Value::Array(env)), Some(defaults)) = (own.get_mut("Env"), of_image["Env"].as_array()) {
        env.retain(|one| !defaults.contains(one));
    }
    for key in ["Labels", "ExposedPorts", "Volumes"] {
        if let Some(Value::Object(own)) = own.get_mut(key) {
            own.retain(|name, value| of_image[key].get(name) != Some(value));
        }
    }
    match own.get_mut("Healthcheck") {
        Some(check) if *check == of_image["Healthcheck"] => {
            own.remove("Healthcheck");
        }
        // what is left out of a check is taken from the image's, each part by itself
        Some(Value::Object(check)) => check.retain(|part, value| of_image["Healthcheck"].get(part) != Some(value)),
        _ => (),
    }
    let (id, mode) = (short(text(&inspect["Id"])), text(&inspect["HostConfig"]["NetworkMode"]));
    let borrowed = mode.starts_with("container:") || inspect["HostConfig"]["UTSMode"] == "host";
    if borrowed || own.get("Hostname").is_some_and(|name| name == id) {
        own.remove("Hostname");
        // Podman keeps the name there as well
        if let Some(Value::Array(env)) = own.get_mut("Env") {
            env.retain(|one| *one != format!("HOSTNAME={id}"));
        }
    }
    if own.get("MacAddress").is_some_and(|mac| text(mac).is_empty()) || mode.starts_with("container:") {
        own.remove("MacAddress");
    }
    // compose makes a container anew whose image is not the one it wrote down here
    if let Some(label) = own.get_mut("Labels").and_then(|labels| labels.get_mut(COMPOSE_IMAGE))
        && label == &inspect["Image"]
        && new_image["Id"].is_string()
    {
        *label = new_image["Id"].clone();
    }
    own.insert("Image".to_owned(), image.into());
    own
}

/// The image's id, as compose wrote it down when it made the container.
const COMPOSE_IMAGE: &str = "com.docker.compose.image";

/// `Entrypoint` and `Cmd` hang together: who gives an entry point has none of the image's words behind it.
fn commands(own: &mut Map<String, Value>, of_image: &Value) {
    let words = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let (entry, cmd) = (words(own.get("Entrypoint")), words(own.get("Cmd")));
    let (image_entry, image_cmd) = (words(of_image.get("Entrypoint")), words(of_image.get("Cmd")));
    if entry.is_empty() && !image_entry.is_empty() {
        // `--entrypoint ""`, which is how the Engine is told so
        own.insert("Entrypoint".to_owned(), json!([""]));
        return;
    }
    // words that are missing were taken away by giving the entry point that the image has anyway
    if entry != image_entry || (cmd.is_empty() && !image_cmd.is_empty()) {
        return;
    }
    own.remove("Entrypoint");
    if cmd == image_cmd {
        own.remove("Cmd");
    }
}

/// Has the volumes that nobody named mounted by the names the Engine gave them.
fn keep_volumes(host: &mut Map<String, Value>, inspect: &Value) {
    let volumes: Vec<&Value> =
        inspect["Mounts"].as_array().into_iter().flatten().filter(|mount| mount["Type"] == "volume").collect();
    if let Some(Value::Array(mounts)) = host.get_mut("Mounts") {
        for mount in mounts.iter_mut().filter(|mount| mount["Type"] == "volume" && text(&mount["Source"]).is_empty()) {
            if let Some(volume) = volumes.iter().find(|volume| volume["Destination"] == mount["Target"]) {
                mount["Source"] = volume["Name"].clone();
            }
        }
    }
    let bound = |destination: &str| {
        let by_bind =
            |bind: &Value| text(bind).split(':').nth(1).map(|at| at.trim_end_matches('/')) == Some(destination);
        let by_mount = |mount: &Value| text(&mount["Target"]).trim_end_matches('/') == destination;
        let any = |key: &str, is: &dyn Fn(&Value) -> bool| {
            host.get(key).and_then(Value::as_array).is_some_and(|all| all.iter().any(is))
        };
        any("Binds", &by_bind) || any("Mounts", &by_mount)
    };
    let unnamed: Vec<Value> = volumes
        .iter()
        .filter(|volume| !bound(text(&volume["Destination"])))
        .map(|volume| {
            let mode = if volume["RW"] == false { ":ro" } else { "" };
            format!("{}:{}{mode}", text(&volume["Name"]), text(&volume["Destination"])).into()
        })
        .collect();
    if unnamed.is_empty() {
        return;
    }
    match host.get_mut("Binds") {
        Some(Value::Array(binds)) => binds.extend(unnamed),
        _ => {
            host.insert("Binds".to_owned(), unnamed.into());
        }
    }
}

/// The network mode, and the networks with the one that it names first.
fn networks(inspect: &Value) -> (String, Vec<(String, &Value)>) {
    let mode = text(&inspect["HostConfig"]["NetworkMode"]);
    let kind = mode.split_once(':').map_or(mode, |(kind, _)| kind);
    if matches!(kind, "host" | "none" | "container" | "ns" | "private" | "slirp4netns" | "pasta") {
        return (mode.to_owned(), vec![]);
    }
    let Some(all) = inspect["NetworkSettings"]["Networks"].as_object() else { return (mode.to_owned(), vec![]) };
    let mut all: Vec<(String, &Value)> = all.iter().map(|(name, at)| (name.clone(), at)).collect();
    let wanted = if matches!(mode, "" | "default") { "bridge" } else { mode };
    let first = all.iter().position(|(name, at)| name == wanted || text(&at["NetworkID"]) == wanted);
    match first {
        Some(first) => {
            let mut chosen = all.remove(first);
            // the Engine looks for the one by the other
            if wanted == mode {
                chosen.0 = mode.to_owned();
            }
            all.insert(0, chosen);
            (mode.to_owned(), all)
        }
        // it has been disconnected from the one it was made in, and is not to be let in there again
        None => (all.first().map_or("none", |(name, _)| name).to_owned(), all),
    }
}

/// The container's place in a network as it was asked for, without what the Engine made of it.
fn endpoint(at: &Value, short_id: &str) -> Map<String, Value> {
    const MADE: &[&str] = &[
        "NetworkID",
        "EndpointID",
        "Gateway",
        "IPAddress",
        "IPPrefixLen",
        "IPv6Gateway",
        "GlobalIPv6Address",
        "GlobalIPv6PrefixLen",
        "DNSNames",
        // made of the address, or by chance; one given by hand stands in the container's own settings
        "MacAddress",
    ];
    let mut at = object(at);
    at.retain(|key, value| !value.is_null() && !MADE.contains(&key.as_str()));
    if let Some(Value::Array(aliases)) = at.get_mut("Aliases") {
        aliases.retain(|alias| alias != short_id);
    }
    at
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_whom_it_replaces() {
        let id = "0123456789abcdef".repeat(4);
        let replaced = Replaced::new("/web", &id);
        assert_eq!(replaced.new_name(), "web.smcp-new-0123456789ab");
        assert_eq!(replaced.old_name(), "web.smcp-old-0123456789ab");
        assert_eq!(Replaced::by(&replaced.new_name()), Some(replaced.clone()));
        assert!(replaced.is(&id, "/web") && replaced.is(&id, "web"));
        assert!(!replaced.is(&id, "/web2") && !replaced.is(&"f".repeat(64), "/web") && !replaced.is(&id[..12], "/web"));
        for other in [
            "web",
            "",
            ".smcp-new-0123456789ab",
            "web.smcp-new-",
            "web.smcp-new-0123456789AB",
            "web.smcp-new-0123456789abc",
            "web.smcp-old-0123456789ab",
            "web.smcp-new-0123456789ab.smcp-new-0123456789ab",
            "web.smcp-old-0123456789ab.smcp-new-0123456789ab",
        ] {
            assert_eq!(Replaced::by(other), None, "{other}");
        }
    }

    /// What engines said of a container with all that can be carried over, and of its image.
    const RECORDED: [(&str, &str); 4] = [
        ("debian", include_str!("../../tests/docker/recorded/debian.json")),
        ("trixie", include_str!("../../tests/docker/recorded/trixie.json")),
        ("sid", include_str!("../../tests/docker/recorded/sid.json")),
        ("podman", include_str!("../../tests/docker/recorded/podman.json")),
    ];

    fn recorded(text: &str) -> (Value, Value) {
        let mut both: Value = serde_json::from_str(text).unwrap();
        (both["container"].take(), both["image"].take())
    }

    /// A container of no particular engine with this config, of an image with that one.
    fn made(config: Value, of_image: Value) -> Map<String, Value> {
        let inspect = json!({
            "Id": "0123456789abcdef".repeat(4), "Image": "sha256:old", "Config": config, "HostConfig": { "NetworkMode": "none" },
        });
        let image = |id: &str| json!({ "Id": id, "Config": of_image });
        object(&recreate(&inspect, &image("sha256:old"), &image("sha256:new"), "t/new:2").create)
    }

    #[test]
    fn what_every_engine_shows_of_a_container_makes_one_like_it() {
        for (engine, text) in RECORDED {
            let (container, image) = recorded(text);
            assert_eq!(refused(&container), None, "{engine}");
            let Successor { create, connect, .. } = recreate(&container, &image, &image, "t/new:2");
            assert_eq!(create["Image"], "t/new:2", "{engine}");
            assert!(create.get("Hostname").is_none() && create.get("MacAddress").is_none(), "{engine}");
            let env = create["Env"].as_array().unwrap();
            assert!(env.contains(&json!("A=9")) && env.contains(&json!("C=3")), "{engine}: {env:?}");
            assert!(!env.iter().any(|one| one == "B=2" || text_of(one).starts_with("HOSTNAME=")), "{engine}: {env:?}");
            assert_eq!(create["Labels"], json!({ "mine": "x" }), "{engine}");
            let host = &create["HostConfig"];
            for key in ["RestartPolicy", "PortBindings", "ExtraHosts", "CapDrop", "Tmpfs", "LogConfig"] {
                assert_eq!(host[key], container["HostConfig"][key], "{engine}: {key}");
            }
            assert_eq!(host["Ulimits"][0], json!({ "Name": "nofile", "Hard": 200, "Soft": 100 }), "{engine}");
            // each volume once, by its name, those without one too
            let binds: Vec<&str> = host["Binds"].as_array().unwrap().iter().map(text_of).collect();
            for mount in container["Mounts"].as_array().unwrap() {
                let at = text_of(&mount["Destination"]);
                let of: Vec<_> = binds.iter().filter(|bind| bind.split(':').nth(1) == Some(at)).collect();
                assert_eq!(of.len(), 1, "{engine}: {at}: {binds:?}");
                let from = if mount["Type"] == "volume" { &mount["Name"] } else { &mount["Source"] };
                assert!(of[0].starts_with(&format!("{}:", text_of(from))), "{engine}: {of:?}");
            }
            // two networks, one at the create, with what was asked for of each and nothing that the engine made
            let first = create["NetworkingConfig"]["EndpointsConfig"].as_object().unwrap();
            assert_eq!((first.len(), connect.len(), &host["NetworkMode"]), (1, 1, &json!("upd-n1")), "{engine}");
            assert_eq!(first["upd-n1"]["Aliases"], json!(["alpha"]), "{engine}");
            assert_eq!(connect[0].1["Aliases"], json!(["beta"]), "{engine}");
            if engine != "podman" {
                assert_eq!(first["upd-n1"]["IPAMConfig"], json!({ "IPv4Address": "10.91.1.50" }), "{engine}");
                assert_eq!(connect[0].1["IPAMConfig"], json!({ "IPv4Address": "10.91.2.60" }), "{engine}");
                assert_eq!(connect[0].0.len(), 64, "{engine}");
            }
            for made in ["EndpointID", "IPAddress", "Gateway", "MacAddress", "DNSNames", "NetworkID"] {
                assert!(first["upd-n1"].get(made).is_none() && connect[0].1.get(made).is_none(), "{engine}: {made}");
            }
        }
    }

    fn text_of(value: &Value) -> &str {
        value.as_str().unwrap()
    }

    #[test]
    fn a_container_is_called_otherwise_only_by_the_convention() {
        let id = "0123456789abcdef".repeat(4);
        for (from, to) in [
            ("web", "web.smcp-old-0123456789ab"),
            ("web.smcp-old-0123456789ab", "web"),
            ("web.smcp-new-ffffffffffff", "web"),
        ] {
            assert!(may_rename(&id, from, to), "{from} {to}");
        }
        for (from, to) in [
            ("web", "db"),
            ("web", "web"),
            ("web", "web.smcp-old-ffffffffffff"),
            ("web", "db.smcp-old-0123456789ab"),
            ("web", "web.smcp-new-0123456789ab"),
            ("web.smcp-old-ffffffffffff", "web"),
            ("web.smcp-old-0123456789ab", "db"),
            ("web.smcp-new-ffffffffffff", "db"),
            ("web.smcp-new-ffff", "web"),
            ("web.smcp-old-0123456789ab", "web.smcp-old-0123456789ab.smcp-old-0123456789ab"),
            ("", ".smcp-old-0123456789ab"),
        ] {
            assert!(!may_rename(&id, from, to), "{from} {to}");
        }
        assert!(!may_rename("0123456789ab", "web", "web.smcp-old-0123456789ab"));
    }

    /// Whether a container of `made_of`, whose image has the names `had`, may have `image`, by which the Engine finds one called `names`.
    fn takes(made_of: &str, had: &[&str], image: &str, names: &[&str], registries: &[&str]) -> Result<(), String> {
        let split = |names: &[&str]| {
            let (digests, tags): (Vec<&str>, Vec<&str>) = names.iter().copied().partition(|name| name.contains('@'));
            json!({ "Id": "sha256:00", "RepoTags": tags, "RepoDigests": digests })
        };
        let container = json!({ "Image": "sha256:01", "Config": { "Image": made_of } });
        let mut new = split(names);
        new["Id"] = "sha256:02".into();
        let registries = Registries(registries.iter().map(|one| one.parse().unwrap()).collect());
        may_run(&container, &split(had), &new, image, &registries)
    }

    #[test]
    fn what_may_do_more_takes_what_the_engine_itself_lists_in_its_repository() {
        let digest = format!("@sha256:{}", "0123456789abcdef".repeat(4));
        let with = |name: &str| format!("{name}{digest}");
        for (made_of, had, image, names) in [
            ("web", &["web:latest"][..], "web:2", &["web:2"][..]),
            ("web:1", &[], "docker.io/library/web", &["web:latest"]),
            ("index.docker.io/library/web", &[&*with("web")], "docker.io/web:3", &["docker.io/library/web:3"]),
            ("team/web:1", &["other:1", "team/web:1"], &with("team/web"), &[&*with("team/web")]),
            (&*with("team/web:1"), &[], "docker.io/team/web", &["team/web:latest"]),
            ("localhost/a/web:1", &["localhost/a/web:1"], "localhost/a/web:2", &["localhost/a/web:2"]),
            ("r.example/web:1", &["<none>:<none>"], "r.example/web:2", &["other:1", "r.example/web:2"]),
        ] {
            assert_eq!(takes(made_of, had, image, names, &["*"]), Ok(()), "{made_of} {image}");
        }
        for (made_of, had, image, names) in [
            // another one by its digest, and by the end of its name
            (
                "docker.io/corp/agent:1",
                &[][..],
                &*with("docker.io/corp/agent"),
                &[&*with("docker.io/attacker/x"), "docker.io/attacker/x:1"][..],
            ),
            ("docker.io/corp/agent:1", &[], "corp/agent:2", &["attacker.example/corp/agent:2"]),
            ("docker.io/corp/agent:1", &[], "docker.io/corp/agent:2", &["docker.io/corp/agent:3"]),
            ("docker.io/corp/agent:1", &[], "docker.io/corp/agent:2", &[]),
            ("corp/agent:1", &[], "registry-1.docker.io/corp/agent:2", &["registry-1.docker.io/corp/agent:2"]),
            ("corp/agent:1", &[], "corp/agent/x:2", &["corp/agent/x:2"]),
            ("web", &[], "evil", &["evil:latest"]),
            ("web", &[], "team/web", &["team/web:latest"]),
            ("team/web", &[], "localhost/team/web", &["localhost/team/web:latest"]),
            ("localhost:5000/web", &[], "localhost:5001/web", &["localhost:5001/web:latest"]),
            ("r.example/web", &[], "docker.io/r.example/web", &["docker.io/r.example/web:latest"]),
            ("web", &[], "web/web", &["web/web:latest"]),
            // what it was made of has another name by now
            ("corp/agent:1", &["attacker.example/corp/agent:1"], "corp/agent:2", &["docker.io/corp/agent:2"]),
            // ids, and names that could be the beginning of one
            ("sha256:01", &[], "web", &["web:latest"]),
            ("0123456789ab", &[], "0123456789ab:evil", &["0123456789ab:evil"]),
            ("web", &[], "0123456789ab", &["web:latest"]),
            ("web", &[], "sha256:02", &["web:latest"]),
            ("", &[], "web", &["web:latest"]),
            ("web", &[], "", &["web:latest"]),
            ("web", &[], "web:../evil", &["web:latest"]),
        ] {
            assert!(takes(made_of, had, image, names, &["*"]).is_err(), "{made_of} {image}");
        }
    }

    #[test]
    fn what_may_do_more_takes_nothing_of_a_registry_that_is_not_named() {
        let takes = |registries: &[&str]| {
            takes("127.0.0.1:5000/agent:1", &[], "127.0.0.1:5000/agent:2", &["127.0.0.1:5000/agent:2"], registries)
        };
        let why = takes(&["*"]).unwrap_err();
        assert!(why.contains("127.0.0.1:5000") && why.contains("docker.registries"), "{why}");
        assert_eq!(takes(&["*", "127.0.0.1:5000"]), Ok(()));
    }

    #[test]
    fn what_it_has_already_may_run_again_whatever_it_is_called() {
        for (had, has) in [("sha256:01", "sha256:01"), ("sha256:01", "01")] {
            let container = json!({ "Image": had, "Config": { "Image": "sha256:01" } });
            let image = json!({ "Id": has, "RepoTags": [] });
            assert_eq!(may_run(&container, &image, &image, "sha256:01", &Registries::default()), Ok(()));
        }
        let nothing = json!({});
        assert!(may_run(&nothing, &nothing, &nothing, "web", &Registries::default()).is_err());
    }

    #[test]
    fn what_the_old_image_says_is_left_to_the_new_one() {
        let image = json!({
            "User": "app", "WorkingDir": "/app", "StopSignal": "SIGQUIT", "Env": ["A=1", "B=2"], "Labels": { "of": "image", "v": "1" },
            "ExposedPorts": { "80/tcp": {} }, "Volumes": { "/data": {} }, "Entrypoint": ["/run"], "Cmd": ["serve"],
            "Healthcheck": { "Test": ["CMD", "ok"], "Interval": 5 },
        });
        let of_image = made(image.clone(), image.clone());
        for key in ["User", "WorkingDir", "StopSignal", "Entrypoint", "Cmd", "Healthcheck"] {
            assert!(!of_image.contains_key(key), "{key}: {of_image:?}");
        }
        assert_eq!((&of_image["Env"], &of_image["Labels"]), (&json!([]), &json!({})));
        let own = json!({
            "User": "me", "WorkingDir": "/app", "Env": ["A=9", "B=2", "C=3"], "Labels": { "of": "image", "v": "2", "mine": "x" },
            "ExposedPorts": { "80/tcp": {}, "81/tcp": {} }, "Healthcheck": { "Test": ["CMD", "ok"], "Interval": 9 },
            "Entrypoint": ["/run"], "Cmd": ["mine"], "Unheard": { "Of": true },
        });
        let own = made(own, image);
        assert_eq!(own["User"], "me");
        assert_eq!(own["Env"], json!(["A=9", "C=3"]));
        assert_eq!(own["Labels"], json!({ "v": "2", "mine": "x" }));
        assert_eq!(own["ExposedPorts"], json!({ "81/tcp": {} }));
        assert_eq!(own["Healthcheck"], json!({ "Interval": 9 }));
        assert_eq!((own.get("Entrypoint"), &own["Cmd"]), (None, &json!(["mine"])));
        assert_eq!(own["Unheard"], json!({ "Of": true }));
    }

    #[test]
    fn an_entry_point_and_its_words_hang_together() {
        let image = json!({ "Entrypoint": ["/run"], "Cmd": ["serve"] });
        // given by hand: the image's words are not behind it, and must not come to be
        let own = made(json!({ "Entrypoint": ["/mine"], "Cmd": null }), image.clone());
        assert_eq!((&own["Entrypoint"], &own["Cmd"]), (&json!(["/mine"]), &Value::Null));
        let own = made(json!({ "Entrypoint": ["/run"], "Cmd": null }), image.clone());
        assert_eq!((&own["Entrypoint"], &own["Cmd"]), (&json!(["/run"]), &Value::Null));
        // taken away
        let own = made(json!({ "Entrypoint": null, "Cmd": ["sh"] }), image.clone());
        assert_eq!((&own["Entrypoint"], &own["Cmd"]), (&json!([""]), &json!(["sh"])));
        let own = made(json!({ "Entrypoint": ["/mine"], "Cmd": ["serve"] }), image);
        assert_eq!((&own["Entrypoint"], &own["Cmd"]), (&json!(["/mine"]), &json!(["serve"])));
    }

    #[test]
    fn what_was_given_by_hand_stays_and_what_the_engine_made_goes() {
        let id = "0123456789abcdef".repeat(4);
        assert!(!made(json!({ "Hostname": &id[..12] }), Value::Null).contains_key("Hostname"));
        assert_eq!(made(json!({ "Hostname": "web" }), Value::Null)["Hostname"], "web");
        assert!(!made(json!({ "MacAddress": "" }), Value::Null).contains_key("MacAddress"));
        assert_eq!(made(json!({ "MacAddress": "02:00:00:00:00:01" }), Value::Null)["MacAddress"], "02:00:00:00:00:01");
        // compose keeps the image's id in a label, and would make the container anew
        let own = made(json!({ "Labels": { "com.docker.compose.image": "sha256:old", "a": "b" } }), Value::Null);
        assert_eq!(own["Labels"], json!({ "com.docker.compose.image": "sha256:new", "a": "b" }));
    }

    #[test]
    fn a_network_that_it_was_taken_out_of_does_not_come_back() {
        let with = |mode: &str, networks: Value| {
            let inspect = json!({
                "Id": "0123456789abcdef".repeat(4), "Config": { "MacAddress": "02:00:00:00:00:01" },
                "HostConfig": { "NetworkMode": mode }, "NetworkSettings": { "Networks": networks },
            });
            let Successor { create, connect, .. } = recreate(&inspect, &Value::Null, &Value::Null, "i");
            let first = create["NetworkingConfig"]["EndpointsConfig"].clone();
            (create["HostConfig"]["NetworkMode"].as_str().unwrap().to_owned(), first, connect)
        };
        let (a, b) = (json!({ "NetworkID": "1a" }), json!({ "NetworkID": "1b" }));
        let mac = json!({ "MacAddress": "02:00:00:00:00:01" });
        let (mode, first, connect) = with("b", json!({ "a": a, "b": b }));
        assert_eq!((&mode[..], first, connect), ("b", json!({ "b": mac }), vec![("1a".to_owned(), json!({}))]));
        // by its id
        let (mode, first, _) = with("1b", json!({ "a": a, "b": b }));
        assert_eq!((&mode[..], first), ("1b", json!({ "1b": mac })));
        let (mode, first, connect) = with("default", json!({ "a": a }));
        assert_eq!((&mode[..], first, connect), ("a", json!({ "a": mac }), vec![]));
        let (mode, first, _) = with("bridge", json!({}));
        assert_eq!((&mode[..], first), ("none", Value::Null));
        for mode in ["host", "none", "container:abc"] {
            let (same, first, connect) = with(mode, json!({ "host": a }));
            assert_eq!((&same[..], first, connect), (mode, Value::Null, vec![]));
        }
    }

    #[test]
    fn what_could_not_be_put_back_is_not_begun() {
        let with = |part: Value| {
            let mut inspect = json!({ "Name": "/web", "State": { "Status": "running" } });
            inspect.as_object_mut().unwrap().extend(object(&part));
            refused(&inspect)
        };
        assert_eq!(with(json!({})), None);
        for part in [
            json!({ "HostConfig": { "AutoRemove": true } }),
            json!({ "Config": { "Labels": { "com.docker.swarm.service.id": "x" } } }),
            json!({ "Pod": "abc" }),
            json!({ "State": { "Paused": true } }),
            json!({ "State": { "Status": "removing" } }),
            json!({ "Name": "/web.smcp-old-0123456789ab" }),
        ] {
            assert!(with(part.clone()).is_some(), "{part}");
        }
    }
}
