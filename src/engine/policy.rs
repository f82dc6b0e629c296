//! What a new container may ask for: no way out of it, and no way into another. Text in, a verdict out.
//!
//! What is not known to be harmless is refused, by its name. The Engine reads names of fields without regard to case, takes the last of
//! two and, up to 20.10, takes the fields of `HostConfig` beside it as well: here only the exact spelling in the exact place is known.
//! A symbolic link cannot be seen in a path, so a directory of the machine may only be one that the operator named.
//!
//! Every number, text, list and map has an end: an engine makes of them what they say, as root, before it looks whether that makes sense.

mod bounds;
mod log;
mod mount;
mod port;

use std::path::PathBuf;

use serde_json::{Map, Value};

use text::json;

/// Reads the body of a create. What two readers could read in two ways is none.
pub fn parse(body: &[u8]) -> Result<Value, String> {
    let no_json = |error: serde_json::Error| format!("the body is no JSON to go by: {error}");
    json::check(body).map_err(no_json)?;
    serde_json::from_slice(body).map_err(no_json)
}

/// Refuses a body that takes another container's place with all its settings, if it has more rights than a new one may have; a clause says
/// which. `image` is what the Engine says of the image that it is made of.
///
/// It may have what every container has that asked for nothing: the Engine's own runtime, on cgroup v1 the cgroup namespace of the machine,
/// which shows some paths more and is no right that an image could use, and how Podman mounts a volume. It may also have any size and
/// count: the Engine has one of these already, and the caller can raise nothing, since the body is the same as before.
pub fn check_successor(body: &Value, image: &Value, binds: &[PathBuf]) -> Result<(), String> {
    let mut body = body.clone();
    // the new image says how many ports this publishes
    let can_publish_all =
        port::count(&body["ExposedPorts"]) + port::count(&image["Config"]["ExposedPorts"]) <= port::MOST;
    if let Some(container) = body.as_object_mut() {
        // -1 waits without end, until somebody ends it
        container.retain(|name, value| name != "StopTimeout" || !value.is_number());
    }
    let usual = [("CgroupnsMode", &["host"][..]), ("Runtime", &["runc", "io.containerd.runc.v2", "crun", "oci"])];
    if let Some(config) = body.get_mut("HostConfig").and_then(Value::as_object_mut) {
        for (field, values) in usual {
            if config.get(field).and_then(Value::as_str).is_some_and(|value| values.contains(&value)) {
                config.remove(field);
            }
        }
        if can_publish_all && config.get("PublishAllPorts").is_some_and(Value::is_boolean) {
            config.remove("PublishAllPorts");
        }
        for bind in config.get_mut("Binds").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(plain) = bind.as_str().and_then(mount::plain) {
                *bind = plain.into();
            }
        }
    }
    let check = Check { binds, bounded: false };
    check.body(&body).map_err(|why| why.strip_suffix(REFUSED).map(str::to_owned).unwrap_or(why))
}

/// Refuses a body of `POST /containers/create` that asks for more than a container of its own, with the field that does. `binds` are
/// the directories of the machine that it may be given. The volumes that it names ([`volumes`]) are yet to be looked at.
pub fn check(body: &Value, binds: &[PathBuf]) -> Result<(), String> {
    Check { binds, bounded: true }.body(body)
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
    /// A whole number from the first to the second.
    Number(i64, i64),
    /// The same; or 0, which stands for the Engine's own.
    ZeroOr(i64, i64),
    /// A line of at most so many bytes.
    Text(usize),
    /// A list of at most so many texts, with so many bytes together; or one text, which the Engine takes for a list of one.
    Texts(usize, usize),
    /// At most so many texts by names of the caller's choice, with so many bytes together.
    TextMap(usize, usize),
    /// One of these words.
    Word(&'static [&'static str]),
    /// An object with these fields.
    Object(Fields),
    /// A list of at most so many such objects.
    Objects(usize, Fields),
    /// What takes more words to say. Given the field's path for the refusal.
    That(fn(&Check<'_>, &Value, &str) -> Result<(), String>),
}

type Fields = &'static [(&'static str, Rule)];

use Rule::{Bool, Empty, Number, Object, Objects, Text, TextMap, Texts, That, Word, ZeroOr};

/// The most fields of an object, those that say nothing included.
const FIELDS: usize = 256;

/// The longest name, of a host or of a user, in bytes.
const NAME: usize = 255;

/// The longest path within a container, in bytes.
const PATH: usize = 4096;

/// The longest command, in words and in bytes. The list of all containers shows it, as it does labels.
const COMMAND: Rule = Texts(1024, 64 << 10);

/// The most labels, and their bytes.
const LABELS: Rule = TextMap(256, 64 << 10);

/// The most variables, and their bytes.
const ENVIRONMENT: Rule = Texts(1024, 256 << 10);

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 24 * 60 * 60 * SECOND;

/// The longest that an engine waits for a container to end, in seconds. When it ends itself it waits for all of them.
const ENDS_WITHIN: i64 = 3600;

/// The most networks at once.
const NETWORKS: usize = 32;

/// `container.Config` of the Engine's, and the two objects that stand in it.
const CONTAINER: Fields = &[
    ("Hostname", Text(NAME)),
    ("Domainname", Text(NAME)),
    ("User", Text(NAME)),
    ("AttachStdin", Bool),
    ("AttachStdout", Bool),
    ("AttachStderr", Bool),
    ("ExposedPorts", That(port::exposed)),
    ("Tty", Bool),
    ("OpenStdin", Bool),
    ("StdinOnce", Bool),
    ("Env", That(environment)),
    ("Cmd", COMMAND),
    ("Healthcheck", Object(HEALTHCHECK)),
    ("ArgsEscaped", Bool),
    ("Image", Text(512)),
    ("Volumes", That(mount::anonymous)),
    ("WorkingDir", That(mount::working_dir)),
    ("Entrypoint", COMMAND),
    ("NetworkDisabled", Bool),
    ("MacAddress", Text(32)),
    ("OnBuild", COMMAND),
    ("Labels", LABELS),
    ("StopSignal", Text(16)),
    ("StopTimeout", Number(0, ENDS_WITHIN)),
    ("Shell", COMMAND),
    ("HostConfig", Object(HOST_CONFIG)),
    ("NetworkingConfig", Object(&[("EndpointsConfig", That(endpoints))])),
];

/// Times in nanoseconds. Each check is a program that the engine starts: not more often than once a second.
const HEALTHCHECK: Fields = &[
    ("Test", COMMAND),
    ("Interval", ZeroOr(SECOND, DAY)),
    ("Timeout", Number(0, DAY)),
    ("StartPeriod", Number(0, DAY)),
    ("StartInterval", ZeroOr(SECOND, DAY)),
    ("Retries", Number(0, 1000)),
];

const HOST_CONFIG: Fields = &[
    ("Binds", That(mount::binds)),
    ("ContainerIDFile", Empty),
    ("LogConfig", Object(&[("Type", Word(log::DRIVERS)), ("Config", That(log::options))])),
    ("NetworkMode", That(network_mode)),
    ("PortBindings", That(port::bindings)),
    ("RestartPolicy", Object(&[("Name", Word(RESTARTS)), ("MaximumRetryCount", Number(0, 1000))])),
    ("AutoRemove", Bool),
    ("VolumeDriver", Empty),
    ("VolumesFrom", Empty),
    ("ConsoleSize", That(bounds::console)),
    ("Annotations", Empty),
    ("CapAdd", Empty),
    ("CapDrop", Texts(64, 4096)),
    ("CgroupnsMode", Word(&["private"])),
    ("Dns", That(addresses)),
    ("DnsOptions", Texts(16, 4096)),
    ("DnsSearch", Texts(32, 8192)),
    ("ExtraHosts", Texts(256, 64 << 10)),
    ("GroupAdd", That(groups)),
    ("IpcMode", Word(&["none", "private", "shareable"])),
    ("Cgroup", Empty),
    ("Links", Empty),
    // below zero it would outlive everything else when memory runs out
    ("OomScoreAdj", Number(0, 1000)),
    ("PidMode", Word(&["private"])),
    ("Privileged", Empty),
    // as many ports as the image says, each by a program of its own
    ("PublishAllPorts", Empty),
    ("ReadonlyRootfs", Bool),
    // the one that only takes rights away
    ("SecurityOpt", That(security)),
    ("StorageOpt", Object(&[("size", That(bounds::storage))])),
    ("Tmpfs", That(mount::tmpfs)),
    ("UTSMode", Word(&["private"])),
    ("UsernsMode", Word(&["private"])),
    ("ShmSize", Number(0, 64 << 30)),
    ("Sysctls", Empty),
    // naming one could name a weaker one than the Engine's own choice
    ("Runtime", Empty),
    ("Isolation", Word(&["default"])),
    ("CpuShares", Number(0, 1 << 18)),
    ("Memory", Number(0, bounds::BYTES)),
    ("NanoCpus", Number(0, 1024 * SECOND)),
    ("CgroupParent", Empty),
    ("BlkioWeight", ZeroOr(10, 1000)),
    ("BlkioWeightDevice", That(bounds::weights)),
    ("BlkioDeviceReadBps", That(bounds::rates)),
    ("BlkioDeviceWriteBps", That(bounds::rates)),
    ("BlkioDeviceReadIOps", That(bounds::rates)),
    ("BlkioDeviceWriteIOps", That(bounds::rates)),
    // microseconds, as the kernel takes them
    ("CpuPeriod", ZeroOr(1000, 1_000_000)),
    ("CpuQuota", Number(-1, 1024 * 1_000_000)),
    // could keep the machine from everything else
    ("CpuRealtimePeriod", Empty),
    ("CpuRealtimeRuntime", Empty),
    ("CpusetCpus", That(bounds::cpuset)),
    ("CpusetMems", That(bounds::cpuset)),
    ("Devices", Empty),
    ("DeviceCgroupRules", Empty),
    ("DeviceRequests", Empty),
    ("KernelMemory", Number(-1, bounds::BYTES)),
    ("KernelMemoryTCP", Number(-1, bounds::BYTES)),
    ("MemoryReservation", Number(0, bounds::BYTES)),
    ("MemorySwap", Number(-1, bounds::BYTES)),
    ("MemorySwappiness", Number(-1, 100)),
    ("OomKillDisable", Empty),
    // the most processes that the kernel has numbers for
    ("PidsLimit", Number(-1, 1 << 22)),
    ("Ulimits", That(bounds::ulimits)),
    // of another system
    ("CpuCount", Empty),
    ("CpuPercent", Empty),
    ("IOMaximumIOps", Empty),
    ("IOMaximumBandwidth", Empty),
    ("Mounts", That(mount::mounts)),
    ("MaskedPaths", That(masked)),
    ("ReadonlyPaths", That(read_only)),
    ("Init", Bool),
];

const RESTARTS: &[&str] = &["no", "always", "unless-stopped", "on-failure"];

const ENDPOINT: Fields = &[
    ("IPAMConfig", Object(ADDRESSES)),
    ("Links", Empty),
    ("Aliases", Texts(64, 8192)),
    ("MacAddress", Text(32)),
    // can carry sysctls
    ("DriverOpts", Empty),
    ("GwPriority", Number(-1_000_000, 1_000_000)),
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

const ADDRESSES: Fields =
    &[("IPv4Address", That(port::address)), ("IPv6Address", That(port::address)), ("LinkLocalIPs", That(addresses))];

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

/// The most paths that are hidden, or only for reading: newer engines hide one for each CPU.
const HIDDEN: usize = 8192;

const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

struct Check<'a> {
    binds: &'a [PathBuf],
    /// Whether sizes and counts are checked too. What takes the place of a container that is there has them from that one.
    bounded: bool,
}

impl Check<'_> {
    fn body(&self, body: &Value) -> Result<(), String> {
        let Value::Object(fields) = body else { return Err("a container is described by an object".to_owned()) };
        self.object(fields, CONTAINER, "")?;
        match fields.get("Image") {
            Some(Value::String(image)) if !image.is_empty() => Ok(()),
            _ => Err("Image: a container is made of one".to_owned()),
        }
    }

    /// The upper end of a size or count.
    fn most(&self, most: usize) -> usize {
        if self.bounded { most } else { usize::MAX }
    }

    fn object(&self, object: &Map<String, Value>, fields: Fields, path: &str) -> Result<(), String> {
        if object.len() > FIELDS {
            return Err(wanted(if path.is_empty() { "the body" } else { path }, &format!("at most {FIELDS} fields")));
        }
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
        let number = |least: i64, most: i64| {
            let is_below = |number| number <= most || !self.bounded;
            value.as_i64().is_some_and(|number| number >= least && is_below(number))
        };
        let (fits, expected) = match rule {
            // an empty list instead of none can mean "nothing at all", as with MaskedPaths
            That(rule) => return rule(self, value, path),
            _ if value.is_null() => return Ok(()),
            Object(fields) => match value {
                Value::Object(object) => return self.object(object, fields, path),
                _ => (false, None),
            },
            Objects(most, fields) => return self.objects(value, most, fields, path),
            Empty => (is_empty(value), None),
            Bool => (value.is_boolean(), None),
            Word(words) => (value.as_str().is_some_and(|word| word.is_empty() || words.contains(&word)), None),
            Number(least, most) => (number(least, most), Some(format!("a whole number from {least} to {most}"))),
            ZeroOr(least, most) => {
                let fits = value.as_i64() == Some(0) || number(if self.bounded { least } else { 0 }, most);
                (fits, Some(format!("0, or a whole number from {least} to {most}")))
            }
            Text(most) => (is_line(value, self.most(most)), Some(format!("one line of at most {most} bytes"))),
            Texts(most, bytes) => {
                let all = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
                let fits = are_texts(all.iter(), self.most(most), self.most(bytes));
                (fits, Some(format!("at most {most} texts, of {bytes} bytes together")))
            }
            TextMap(most, bytes) => {
                let fits = value.as_object().is_some_and(|map| {
                    let names: usize = map.keys().map(String::len).sum();
                    let left = self.most(bytes).checked_sub(names);
                    left.is_some_and(|left| are_texts(map.values(), self.most(most), left))
                });
                (fits, Some(format!("at most {most} names with texts, of {bytes} bytes together")))
            }
        };
        match expected {
            _ if fits => Ok(()),
            Some(expected) => Err(wanted(path, &expected)),
            None => Err(refusal(path)),
        }
    }

    fn objects(&self, value: &Value, most: usize, fields: Fields, path: &str) -> Result<(), String> {
        let all = list(value, path)?;
        if all.len() > self.most(most) {
            return Err(wanted(path, &format!("at most {most} of them")));
        }
        for (at, one) in all.iter().enumerate() {
            let path = format!("{path}[{at}]");
            let Value::Object(object) = one else { return Err(refusal(&path)) };
            self.object(object, fields, &path)?;
        }
        Ok(())
    }
}

/// A field that is not on the list: let be if it says nothing, and can be no other spelling of one that does.
fn unknown(name: &str, value: &Value, path: &str) -> Result<(), String> {
    let says_nothing = is_empty(value) && !value.is_array() && name.len() <= NAME;
    // the Engine folds ſ and K to s and k
    let is_another_spelling = !name.is_ascii() || all_names().any(|known| known.eq_ignore_ascii_case(name));
    if says_nothing && !is_another_spelling { Ok(()) } else { Err(format!("{path} is no field that may be set here")) }
}

/// Every name of a field, wherever it stands.
fn all_names() -> impl Iterator<Item = &'static str> {
    [CONTAINER, HEALTHCHECK, HOST_CONFIG, bounds::RATE, bounds::WEIGHT, bounds::ULIMIT, ENDPOINT, ADDRESSES]
        .into_iter()
        .chain([mount::MOUNT, mount::NESTED, NESTED])
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

fn is_line(value: &Value, most: usize) -> bool {
    value.as_str().is_some_and(|text| text.len() <= most && !text.chars().any(char::is_control))
}

/// Whether these are at most so many texts, with at most so many bytes.
fn are_texts<'a>(all: impl ExactSizeIterator<Item = &'a Value> + Clone, most: usize, bytes: usize) -> bool {
    let length = |one: &Value| one.as_str().map_or(0, str::len);
    all.len() <= most && all.clone().all(is_text) && all.map(length).sum::<usize>() <= bytes
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

/// Stands behind the field in [`refusal`].
const REFUSED: &str = " may not be this";

fn refusal(path: &str) -> String {
    format!("{path}{REFUSED}")
}

/// A refusal that says what would do.
fn wanted(path: &str, expected: &str) -> String {
    format!("{path} has to be {expected}")
}

/// A list of IP addresses.
fn addresses(check: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    let all = list(value, path)?;
    if all.len() > check.most(16) {
        return Err(wanted(path, "at most 16 IP addresses"));
    }
    all.iter().try_for_each(|one| port::address(check, one, path))
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
    let Some(all) = map(value, path)? else { return Ok(()) };
    if all.len() > check.most(NETWORKS) {
        return Err(wanted(path, &format!("at most {NETWORKS} networks")));
    }
    for (name, endpoint) in all {
        let path = join(path, name);
        if !is_network(name) {
            return Err(format!("{path} is no network that a container may join"));
        }
        check.value(endpoint, Object(ENDPOINT), &path)?;
    }
    Ok(())
}

/// `NAME=value`. A name alone, or `*`, is filled in by Podman from the environment of its own service.
fn environment(check: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    check.value(value, ENVIRONMENT, path)?;
    let is_given = |one: &&str| one.split_once('=').is_some_and(|(name, _)| !name.is_empty() && !name.contains('*'));
    if texts(value, path)?.iter().all(is_given) {
        Ok(())
    } else {
        Err(format!("{path} has something else than NAME=value"))
    }
}

/// Groups by name or number; `keep-groups` would be those of Podman's service.
fn groups(check: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    check.value(value, Texts(64, 4096), path)?;
    if texts(value, path)?.contains(&"keep-groups") { Err(refusal(path)) } else { Ok(()) }
}

fn security(_: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    let takes_away = ["no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"];
    let options = texts(value, path)?;
    let fits = options.len() <= takes_away.len() && options.iter().all(|option| takes_away.contains(option));
    if fits { Ok(()) } else { Err(refusal(path)) }
}

fn masked(check: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    at_least(check, value, MASKED, path)
}

fn read_only(check: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    at_least(check, value, READ_ONLY, path)
}

fn at_least(check: &Check<'_>, value: &Value, all: &[&str], path: &str) -> Result<(), String> {
    if value.is_null() {
        return Ok(());
    }
    let given = texts(value, path)?;
    if given.len() > check.most(HIDDEN) {
        return Err(wanted(path, &format!("at most {HIDDEN} paths")));
    }
    match all.iter().find(|one| !given.contains(one)) {
        Some(one) => Err(format!("{path} would uncover {one}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
