//! What a new container may ask for: no way out of it, and no way into another. Text in, a verdict out.
//!
//! What is not known to be harmless is refused, by its name. The Engine reads names of fields without regard to case, takes the last of
//! two and, up to 20.10, takes the fields of `HostConfig` beside it as well: here only the exact spelling in the exact place is known.
//! A symbolic link cannot be seen in a path, so a directory of the machine may only be one that the operator named.

mod mount;

use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::text::json;

/// Reads the body of a create. What two readers could read in two ways is none.
pub fn parse(body: &[u8]) -> Result<Value, String> {
    let no_json = |error: serde_json::Error| format!("the body is no JSON to go by: {error}");
    json::check(body).map_err(no_json)?;
    serde_json::from_slice(body).map_err(no_json)
}

/// The same of what takes another's place with all its settings, without what every container has that asked for nothing: the Engine's own
/// runtime, and on cgroup v1 the cgroup namespace of the machine, which shows some paths more and is no right that an image could use.
pub fn check_successor(body: &Value, binds: &[PathBuf]) -> Result<(), String> {
    let mut body = body.clone();
    let usual = [("CgroupnsMode", &["host"][..]), ("Runtime", &["runc", "io.containerd.runc.v2", "crun", "oci"])];
    if let Some(config) = body.get_mut("HostConfig").and_then(Value::as_object_mut) {
        for (field, values) in usual {
            if config.get(field).and_then(Value::as_str).is_some_and(|value| values.contains(&value)) {
                config.remove(field);
            }
        }
    }
    check(&body, binds)
}

/// Refuses a body of `POST /containers/create` that asks for more than a container of its own, with the field that does. `binds` are
/// the directories of the machine that it may be given. The volumes that it names ([`volumes`]) are yet to be looked at.
pub fn check(body: &Value, binds: &[PathBuf]) -> Result<(), String> {
    let Value::Object(fields) = body else { return Err("a container is described by an object".to_owned()) };
    let check = Check { binds };
    check.object(fields, CONTAINER, "")?;
    match fields.get("Image") {
        Some(Value::String(image)) if !image.is_empty() => Ok(()),
        _ => Err("Image: a container is made of one".to_owned()),
    }
}

/// Refuses what an operator names as the directories that containers may be given, if one of them would be more than that.
pub fn directories(binds: &[PathBuf]) -> Result<(), String> {
    mount::directories(binds)
}

/// The volumes that a body names. One that is there may be another directory of the machine
/// ([`Volume::refused`](super::volume::Volume::refused)); one that is not is made without options.
pub fn volumes(body: &Value) -> Vec<&str> {
    mount::volumes(&body["HostConfig"])
}

/// What may stand in a field.
#[derive(Clone, Copy)]
enum Rule {
    /// Nothing: null, false, 0, and what is empty.
    Empty,
    Bool,
    /// A whole number.
    Number,
    Text,
    /// A list of texts; or one, which the Engine takes for a list of one.
    Texts,
    /// Texts by names of the caller's choice.
    TextMap,
    /// One of these words.
    Word(&'static [&'static str]),
    /// An object with these fields.
    Object(Fields),
    /// A list of such objects.
    Objects(Fields),
    /// What takes more words to say. Given the field's path for the refusal.
    That(fn(&Check<'_>, &Value, &str) -> Result<(), String>),
}

type Fields = &'static [(&'static str, Rule)];

use Rule::{Bool, Empty, Number, Object, Objects, Text, TextMap, Texts, That, Word};

/// `container.Config` of the Engine's, and the two objects that stand in it.
const CONTAINER: Fields = &[
    ("Hostname", Text),
    ("Domainname", Text),
    ("User", Text),
    ("AttachStdin", Bool),
    ("AttachStdout", Bool),
    ("AttachStderr", Bool),
    ("ExposedPorts", That(empty_values)),
    ("Tty", Bool),
    ("OpenStdin", Bool),
    ("StdinOnce", Bool),
    ("Env", That(environment)),
    ("Cmd", Texts),
    ("Healthcheck", Object(HEALTHCHECK)),
    ("ArgsEscaped", Bool),
    ("Image", Text),
    ("Volumes", That(mount::anonymous)),
    ("WorkingDir", Text),
    ("Entrypoint", Texts),
    ("NetworkDisabled", Bool),
    ("MacAddress", Text),
    ("OnBuild", Texts),
    ("Labels", TextMap),
    ("StopSignal", Text),
    ("StopTimeout", Number),
    ("Shell", Texts),
    ("HostConfig", Object(HOST_CONFIG)),
    ("NetworkingConfig", Object(&[("EndpointsConfig", That(endpoints))])),
];

const HEALTHCHECK: Fields = &[
    ("Test", Texts),
    ("Interval", Number),
    ("Timeout", Number),
    ("StartPeriod", Number),
    ("StartInterval", Number),
    ("Retries", Number),
];

const HOST_CONFIG: Fields = &[
    ("Binds", That(mount::binds)),
    ("ContainerIDFile", Empty),
    ("LogConfig", Object(&[("Type", Word(LOG_DRIVERS)), ("Config", That(log_options))])),
    ("NetworkMode", That(network_mode)),
    ("PortBindings", That(ports)),
    ("RestartPolicy", Object(&[("Name", Word(RESTARTS)), ("MaximumRetryCount", Number)])),
    ("AutoRemove", Bool),
    ("VolumeDriver", Empty),
    ("VolumesFrom", Empty),
    ("ConsoleSize", That(numbers)),
    ("Annotations", Empty),
    ("CapAdd", Empty),
    ("CapDrop", Texts),
    ("CgroupnsMode", Word(&["private"])),
    ("Dns", Texts),
    ("DnsOptions", Texts),
    ("DnsSearch", Texts),
    ("ExtraHosts", Texts),
    ("GroupAdd", That(groups)),
    ("IpcMode", Word(&["none", "private", "shareable"])),
    ("Cgroup", Empty),
    ("Links", Empty),
    ("OomScoreAdj", That(not_negative)),
    ("PidMode", Word(&["private"])),
    ("Privileged", Empty),
    ("PublishAllPorts", Bool),
    ("ReadonlyRootfs", Bool),
    // the one that only takes rights away
    ("SecurityOpt", That(security)),
    ("StorageOpt", Object(&[("size", Text)])),
    ("Tmpfs", That(mount::tmpfs)),
    ("UTSMode", Word(&["private"])),
    ("UsernsMode", Word(&["private"])),
    ("ShmSize", Number),
    ("Sysctls", Empty),
    // naming one could name a weaker one than the Engine's own choice
    ("Runtime", Empty),
    ("Isolation", Word(&["default"])),
    ("CpuShares", Number),
    ("Memory", Number),
    ("NanoCpus", Number),
    ("CgroupParent", Empty),
    ("BlkioWeight", Number),
    ("BlkioWeightDevice", Objects(&[("Path", Text), ("Weight", Number)])),
    ("BlkioDeviceReadBps", Objects(RATE)),
    ("BlkioDeviceWriteBps", Objects(RATE)),
    ("BlkioDeviceReadIOps", Objects(RATE)),
    ("BlkioDeviceWriteIOps", Objects(RATE)),
    ("CpuPeriod", Number),
    ("CpuQuota", Number),
    // could keep the machine from everything else
    ("CpuRealtimePeriod", Empty),
    ("CpuRealtimeRuntime", Empty),
    ("CpusetCpus", Text),
    ("CpusetMems", Text),
    ("Devices", Empty),
    ("DeviceCgroupRules", Empty),
    ("DeviceRequests", Empty),
    ("KernelMemory", Number),
    ("KernelMemoryTCP", Number),
    ("MemoryReservation", Number),
    ("MemorySwap", Number),
    ("MemorySwappiness", Number),
    ("OomKillDisable", Empty),
    ("PidsLimit", Number),
    ("Ulimits", Objects(&[("Name", Text), ("Soft", Number), ("Hard", Number)])),
    ("CpuCount", Number),
    ("CpuPercent", Number),
    ("IOMaximumIOps", Number),
    ("IOMaximumBandwidth", Number),
    ("Mounts", That(mount::mounts)),
    ("MaskedPaths", That(masked)),
    ("ReadonlyPaths", That(read_only)),
    ("Init", Bool),
];

const RATE: Fields = &[("Path", Text), ("Rate", Number)];

const RESTARTS: &[&str] = &["no", "always", "unless-stopped", "on-failure"];

/// Those that keep the log on the machine. The others send it to an address.
const LOG_DRIVERS: &[&str] = &["json-file", "local", "journald", "none"];

const LOG_OPTIONS: &[&str] = &[
    "max-size",
    "max-file",
    "compress",
    "labels",
    "labels-regex",
    "env",
    "env-regex",
    "tag",
    "mode",
    "max-buffer-size",
];

const ENDPOINT: Fields = &[
    ("IPAMConfig", Object(&[("IPv4Address", Text), ("IPv6Address", Text), ("LinkLocalIPs", Texts)])),
    ("Links", Empty),
    ("Aliases", Texts),
    ("MacAddress", Text),
    // can carry sysctls
    ("DriverOpts", Empty),
    ("GwPriority", Number),
    ("DNSNames", Empty),
    // what the Engine tells of a connection, and nobody tells the Engine
    ("NetworkID", Empty),
    ("EndpointID", Empty),
    ("Gateway", Empty),
    ("IPAddress", Empty),
    ("IPPrefixLen", Empty),
    ("IPv6Gateway", Empty),
    ("GlobalIPv6Address", Empty),
    ("GlobalIPv6PrefixLen", Empty),
];

/// What the Engine hides of /proc and /sys: in every container since 17.06, so that a list without one of these uncovers it.
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
];

const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

struct Check<'a> {
    binds: &'a [PathBuf],
}

impl Check<'_> {
    fn object(&self, object: &Map<String, Value>, fields: Fields, path: &str) -> Result<(), String> {
        for (name, value) in object {
            let path = join(path, name);
            match fields.iter().find(|(known, _)| known == name) {
                Some((_, rule)) => self.value(value, *rule, &path)?,
                None => unknown(name, value, &path)?,
            }
        }
        Ok(())
    }

    fn value(&self, value: &Value, rule: Rule, path: &str) -> Result<(), String> {
        let fits = match rule {
            // an empty list instead of none can mean "nothing at all", as with MaskedPaths
            That(rule) => return rule(self, value, path),
            _ if value.is_null() => true,
            Empty => is_empty(value),
            Bool => value.is_boolean(),
            Number => value.is_i64() || value.is_u64(),
            Text => is_text(value),
            Texts => is_text(value) || value.as_array().is_some_and(|list| list.iter().all(is_text)),
            TextMap => value.as_object().is_some_and(|map| map.values().all(is_text)),
            Word(words) => value.as_str().is_some_and(|word| word.is_empty() || words.contains(&word)),
            Object(fields) => match value {
                Value::Object(object) => return self.object(object, fields, path),
                _ => false,
            },
            Objects(fields) => {
                for (at, one) in list(value, path)?.iter().enumerate() {
                    let path = format!("{path}[{at}]");
                    let Value::Object(object) = one else { return Err(refusal(&path)) };
                    self.object(object, fields, &path)?;
                }
                true
            }
        };
        if fits { Ok(()) } else { Err(refusal(path)) }
    }
}

/// A field that is not on the list: let be if it says nothing, and can be no other spelling of one that does.
fn unknown(name: &str, value: &Value, path: &str) -> Result<(), String> {
    let says_nothing = is_empty(value) && !value.is_array();
    // the Engine folds ſ and K to s and k
    let is_another_spelling = !name.is_ascii() || all_names().any(|known| known.eq_ignore_ascii_case(name));
    if says_nothing && !is_another_spelling { Ok(()) } else { Err(format!("{path} is no field that may be set here")) }
}

/// Every name of a field, wherever it stands.
fn all_names() -> impl Iterator<Item = &'static str> {
    [CONTAINER, HEALTHCHECK, HOST_CONFIG, RATE, ENDPOINT, mount::MOUNT, mount::NESTED, NESTED]
        .into_iter()
        .flatten()
        .map(|(name, _)| *name)
}

/// The names that stand within the tables above.
const NESTED: Fields = &[
    ("EndpointsConfig", Empty),
    ("Type", Empty),
    ("Config", Empty),
    ("Name", Empty),
    ("MaximumRetryCount", Empty),
    ("size", Empty),
    ("Weight", Empty),
    ("Soft", Empty),
    ("Hard", Empty),
    ("IPv4Address", Empty),
    ("IPv6Address", Empty),
    ("LinkLocalIPs", Empty),
    ("HostIp", Empty),
    ("HostPort", Empty),
];

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(yes) => !yes,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
    }
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.contains('\0'))
}

fn list<'a>(value: &'a Value, path: &str) -> Result<&'a [Value], String> {
    match value {
        Value::Null => Ok(&[]),
        Value::Array(list) => Ok(list),
        _ => Err(refusal(path)),
    }
}

fn map<'a>(value: &'a Value, path: &str) -> Result<Option<&'a Map<String, Value>>, String> {
    match value {
        Value::Null => Ok(None),
        Value::Object(object) => Ok(Some(object)),
        _ => Err(refusal(path)),
    }
}

fn texts<'a>(value: &'a Value, path: &str) -> Result<Vec<&'a str>, String> {
    list(value, path)?.iter().map(|one| one.as_str().filter(|_| is_text(one)).ok_or_else(|| refusal(path))).collect()
}

/// The path of a field within an object; names come from the caller, so they are shown as text and cut.
fn join(path: &str, name: &str) -> String {
    let name: String = name.chars().take(64).flat_map(char::escape_default).collect();
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

fn refusal(path: &str) -> String {
    format!("{path} may not be this")
}

fn empty_values(_: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    match map(value, path)? {
        Some(map) if !map.values().all(is_empty) => Err(refusal(path)),
        _ => Ok(()),
    }
}

fn numbers(_: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    if list(value, path)?.iter().all(|one| one.is_u64()) { Ok(()) } else { Err(refusal(path)) }
}

/// Below zero it would outlive everything else when memory runs out.
fn not_negative(_: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    if value.is_null() || value.is_u64() { Ok(()) } else { Err(refusal(path)) }
}

fn network_mode(_: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    match value {
        Value::Null => Ok(()),
        Value::String(name) if name.is_empty() || is_network(name) => Ok(()),
        _ => Err(format!("{path} may be default, bridge, none, or a network's name")),
    }
}

/// A network of the Engine's, by its name: not the machine's own, not another container's, and by no id, which could be that of either.
fn is_network(name: &str) -> bool {
    // the Engine takes the beginning of an id as well
    let is_id = name.len() >= 12 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    mount::is_name(name)
        && !is_id
        && !["host", "slirp4netns", "pasta", "ns"].iter().any(|no| no.eq_ignore_ascii_case(name))
}

fn endpoints(check: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    for (name, endpoint) in map(value, path)?.into_iter().flatten() {
        let path = join(path, name);
        if !is_network(name) {
            return Err(format!("{path} is no network that a container may join"));
        }
        check.value(endpoint, Object(ENDPOINT), &path)?;
    }
    Ok(())
}

fn ports(check: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    for (port, bindings) in map(value, path)?.into_iter().flatten() {
        check.value(bindings, Objects(&[("HostIp", Text), ("HostPort", Text)]), &join(path, port))?;
    }
    Ok(())
}

fn log_options(_: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    for (name, option) in map(value, path)?.into_iter().flatten() {
        if !LOG_OPTIONS.contains(&name.as_str()) || !is_text(option) {
            return Err(refusal(&join(path, name)));
        }
    }
    Ok(())
}

/// `NAME=value`. A name alone, or `*`, is filled in by Podman from the environment of its own service.
fn environment(_: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    let is_given = |one: &&str| one.split_once('=').is_some_and(|(name, _)| !name.is_empty() && !name.contains('*'));
    if texts(value, path)?.iter().all(is_given) {
        Ok(())
    } else {
        Err(format!("{path} has something else than NAME=value"))
    }
}

/// Groups by name or number; `keep-groups` would be those of Podman's service.
fn groups(_: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    if texts(value, path)?.contains(&"keep-groups") { Err(refusal(path)) } else { Ok(()) }
}

fn security(_: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    let takes_away = ["no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"];
    if texts(value, path)?.iter().all(|option| takes_away.contains(option)) { Ok(()) } else { Err(refusal(path)) }
}

fn masked(_: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    at_least(value, MASKED, path)
}

fn read_only(_: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    at_least(value, READ_ONLY, path)
}

fn at_least(value: &Value, all: &[&str], path: &str) -> Result<(), String> {
    if value.is_null() {
        return Ok(());
    }
    let given = texts(value, path)?;
    match all.iter().find(|one| !given.contains(one)) {
        Some(one) => Err(format!("{path} would uncover {one}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
