//! What a new container may have mounted: volumes by name, memory, and directories that the operator named.

use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};

use super::{
    Bool, Check, Empty, Fields, Number, Object, Objects, PATH, Text, TextMap, Word, bounds, is_empty, join, map,
    refusal, wanted,
};

/// The most mounts of each kind.
const MOST: usize = 128;

/// The largest filesystem in memory, in bytes: 1 TiB.
const TMPFS: i64 = 1 << 40;

/// One of `HostConfig.Mounts`.
pub(super) const MOUNT: Fields = &[
    ("Type", Word(&["bind", "volume", "tmpfs"])),
    ("Source", Text(PATH)),
    ("Target", Text(PATH)),
    ("ReadOnly", Bool),
    ("Consistency", Word(&["default", "consistent", "cached", "delegated"])),
    ("BindOptions", Object(BIND)),
    ("VolumeOptions", Object(VOLUME)),
    ("TmpfsOptions", Object(&[("SizeBytes", Number(0, TMPFS)), ("Mode", Number(0, 0o7777)), ("Options", Empty)])),
    ("ImageOptions", Empty),
    ("ClusterOptions", Empty),
];

const BIND: Fields = &[
    ("Propagation", Word(&["private", "rprivate"])),
    ("NonRecursive", Bool),
    ("CreateMountpoint", Bool),
    ("ReadOnlyNonRecursive", Bool),
    ("ReadOnlyForceRecursive", Bool),
];

const VOLUME: Fields = &[
    ("NoCopy", Bool),
    ("Labels", TextMap(64, 16 << 10)),
    ("Subpath", Text(PATH)),
    // a volume of the driver local with type=none,o=bind,device=/ is the machine's root, so that no volume has options
    ("DriverConfig", Object(&[("Name", Word(&["local"])), ("Options", Empty)])),
];

/// The names that stand within the tables above.
pub(super) const NESTED: Fields = &[
    ("Propagation", Empty),
    ("NonRecursive", Empty),
    ("CreateMountpoint", Empty),
    ("ReadOnlyNonRecursive", Empty),
    ("ReadOnlyForceRecursive", Empty),
    ("NoCopy", Empty),
    ("Subpath", Empty),
    ("DriverConfig", Empty),
    ("Options", Empty),
    ("SizeBytes", Empty),
    ("Mode", Empty),
];

/// Where an engine listens or keeps what it trusts. Whoever has one of these, or a directory with one in it, is root; nobody is given
/// them, whatever the operator named.
const NEVER: &[&str] = &[
    "/run/docker.sock",
    "/var/run/docker.sock",
    "/run/docker",
    "/var/run/docker",
    "/run/containerd",
    "/var/run/containerd",
    "/run/podman",
    "/var/run/podman",
    "/run/user",
    "/var/run/user",
    "/var/lib/docker",
    "/var/lib/containerd",
    "/var/lib/containers",
    // leads to every other directory, by way of some process's root
    "/proc",
];

const SOCKETS: &[&str] = &["docker.sock", "podman.sock", "containerd.sock", "crio.sock", "dockerd.sock"];

/// `HostConfig.Binds`: `SOURCE:TARGET`, `SOURCE:TARGET:OPTIONS`, or a lone target for a volume without a name.
pub(super) fn binds(check: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    let all = super::texts(value, path)?;
    at_most(check, all.len(), path)?;
    for (at, bind) in all.into_iter().enumerate() {
        let path = format!("{path}[{at}]");
        match &bind.split(':').collect::<Vec<_>>()[..] {
            [target] => is_target(target, &path)?,
            [source, target] => {
                is_source(check, source, &path)?;
                is_target(target, &path)?;
            }
            [source, target, options] => {
                is_source(check, source, &path)?;
                is_target(target, &path)?;
                let known = ["ro", "rw", "z", "Z", "nocopy", "private", "rprivate"];
                if options.len() > 64 || !options.split(',').all(|option| known.contains(&option)) {
                    return Err(format!("{path} has an option that may not be set"));
                }
            }
            _ => return Err(refusal(&path)),
        }
    }
    Ok(())
}

/// One of `HostConfig.Binds` without the options that Podman writes down for each: a mount that is as Docker's are anyway, or may less.
pub(super) fn plain(bind: &str) -> Option<String> {
    let (place, options) = bind.rsplit_once(':').filter(|(place, _)| place.contains(':'))?;
    let usual = ["rbind", "nosuid", "nodev", "noexec"];
    let options: Vec<&str> = options.split(',').filter(|option| !usual.contains(option)).collect();
    Some(if options.is_empty() { place.to_owned() } else { format!("{place}:{}", options.join(",")) })
}

/// `HostConfig.Mounts`: each field by itself, then whether they fit together.
pub(super) fn mounts(check: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    check.value(value, Objects(MOST, MOUNT), path)?;
    for (at, mount) in value.as_array().into_iter().flatten().enumerate() {
        whole(check, mount.as_object().unwrap_or(&Map::new()), &format!("{path}[{at}]"))?;
    }
    Ok(())
}

fn whole(check: &Check<'_>, mount: &Map<String, Value>, path: &str) -> Result<(), String> {
    let text = |name: &str| mount.get(name).and_then(Value::as_str).unwrap_or_default();
    let has = |name: &str| mount.get(name).is_some_and(|value| !is_empty(value));
    is_target(text("Target"), &join(path, "Target"))?;
    let source = text("Source");
    let (fits, options) = match text("Type") {
        "bind" => (permitted(check, source, &join(path, "Source")).map(|()| true)?, "BindOptions"),
        "volume" => (source.is_empty() || is_name(source), "VolumeOptions"),
        "tmpfs" => (source.is_empty(), "TmpfsOptions"),
        _ => return Err(format!("{path}.Type may be volume, tmpfs or bind")),
    };
    let others = ["BindOptions", "VolumeOptions", "TmpfsOptions"];
    if !fits || others.iter().any(|other| *other != options && has(other)) {
        return Err(refusal(path));
    }
    let subpath = mount.get("VolumeOptions").and_then(|options| options.get("Subpath")).and_then(Value::as_str);
    let leaves = |subpath: &str| subpath.starts_with('/') || subpath.split('/').any(|part| part == "..");
    if subpath.is_some_and(|subpath| leaves(subpath) || !is_one(subpath)) {
        return Err(refusal(&join(path, "VolumeOptions.Subpath")));
    }
    Ok(())
}

/// `HostConfig.Tmpfs`: options by target.
pub(super) fn tmpfs(check: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    let Some(all) = map(value, path)? else { return Ok(()) };
    at_most(check, all.len(), path)?;
    for (target, options) in all {
        let path = join(path, target);
        is_target(target, &path)?;
        let fits = |options: &str| options.split(',').all(|option| is_tmpfs_option(check, option));
        if !options.as_str().is_some_and(|options| options.len() <= PATH && fits(options)) {
            return Err(refusal(&path));
        }
    }
    Ok(())
}

fn is_tmpfs_option(check: &Check<'_>, option: &str) -> bool {
    let words = ["", "rw", "ro", "exec", "noexec", "nosuid", "nodev", "noatime", "relatime", "async", "sync"];
    let Some((name, value)) = option.split_once('=') else { return words.contains(&option) };
    let within = |least: i64, most: i64| bounds::whole(value).is_some_and(|number| (least..=most).contains(&number));
    // 0 is no limit at all
    let is_size = || bounds::size(value).is_some_and(|size| !check.bounded || (1..=TMPFS).contains(&size));
    match name {
        "size" => value
            .strip_suffix('%')
            .map_or_else(is_size, |part| bounds::whole(part).is_some_and(|part| (1..=100).contains(&part))),
        "nr_inodes" | "nr_blocks" => is_size(),
        "uid" | "gid" => within(0, u32::MAX.into()),
        "mode" => (1..=5).contains(&value.len()) && value.bytes().all(|byte| matches!(byte, b'0'..=b'7')),
        _ => false,
    }
}

/// `Volumes`: targets, with nothing to them.
pub(super) fn anonymous(check: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    let Some(all) = map(value, path)? else { return Ok(()) };
    at_most(check, all.len(), path)?;
    for (target, options) in all {
        let path = join(path, target);
        is_target(target, &path)?;
        if !is_empty(options) || options.is_array() {
            return Err(refusal(&path));
        }
    }
    Ok(())
}

/// `WorkingDir`: a directory of the container. Below `/proc` it could be one of the engine's own that is still open.
pub(super) fn working_dir(_: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    let is_within = |directory: &str| {
        let parts = (directory.len() <= PATH && !directory.chars().any(char::is_control)).then(|| straight(directory));
        parts.flatten().is_some_and(|parts| !is_open_file(&parts))
    };
    match value {
        Value::Null => Ok(()),
        Value::String(directory) if directory.is_empty() || is_within(directory) => Ok(()),
        _ => Err(wanted(path, "an absolute path without .., and none below /proc or /dev/fd")),
    }
}

/// Whether a path leads to what some process has open: `/proc/self/fd/7`, or `/dev/fd/7`, which is a link to that.
fn is_open_file(parts: &[&str]) -> bool {
    matches!(parts, ["proc", ..] | ["dev", "fd" | "stdin" | "stdout" | "stderr", ..])
}

fn at_most(check: &Check<'_>, count: usize, path: &str) -> Result<(), String> {
    if count <= check.most(MOST) { Ok(()) } else { Err(wanted(path, &format!("at most {MOST} of them"))) }
}

/// A volume's name or a network's: nothing that could be a path, an id with a colon, or a word with a parameter.
pub(super) fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.len() <= 255
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

fn is_source(check: &Check<'_>, source: &str, path: &str) -> Result<(), String> {
    if is_name(source) { Ok(()) } else { permitted(check, source, path) }
}

fn is_target(target: &str, path: &str) -> Result<(), String> {
    let is_below = components(target).is_some_and(|parts| !parts.is_empty() && !is_open_file(&parts));
    if is_below && target.len() <= PATH && !target.contains(':') {
        Ok(())
    } else {
        Err(format!("{path} is no place within a container"))
    }
}

/// Whether the operator lets containers have this directory of the machine.
fn permitted(check: &Check<'_>, source: &str, path: &str) -> Result<(), String> {
    let no = |why: &str| Err(format!("{path} may not be a directory of the machine {why}"));
    let Some(parts) = components(source) else { return no("unless its path begins with / and goes straight there") };
    if is_root(&parts) {
        return no("that holds an engine's socket or its state");
    }
    // not below one either: whoever has the one could make a link there, which the Engine follows to anywhere
    let is = |bind: &Path| bind.to_str().and_then(components).is_some_and(|bind| parts == bind);
    if check.binds.iter().any(|bind| is(bind)) { Ok(()) } else { no("that is not one of docker.binds") }
}

/// Whether whoever has this directory is as good as root.
fn is_root(parts: &[&str]) -> bool {
    let is_or_has = |one: &str| {
        let one = components(one).unwrap_or_default();
        one.starts_with(parts) || parts.starts_with(&one)
    };
    NEVER.iter().any(|never| is_or_has(never)) || parts.iter().any(|part| SOCKETS.contains(part))
}

/// Refuses directories that nobody may be given, and one within another.
pub(super) fn directories(binds: &[PathBuf]) -> Result<(), String> {
    let all: Vec<_> = binds.iter().map(|bind| (bind.display(), bind.to_str().and_then(components))).collect();
    for (at, (shown, parts)) in all.iter().enumerate() {
        let Some(parts) = parts else { return Err(format!("expected an absolute path without .., not {shown}")) };
        if is_root(parts) {
            return Err(format!("an engine's socket or its state is in {shown}: whoever is given that is root"));
        }
        let mut others = all.iter().enumerate().filter(|(other, _)| *other != at);
        if let Some((_, (outer, _))) =
            others.find(|(_, (_, outer))| outer.as_ref().is_some_and(|outer| parts.starts_with(outer)))
        {
            return Err(format!(
                "{shown} is in {outer}: whoever is given the one could put a link in the place of the other"
            ));
        }
    }
    Ok(())
}

/// The volumes that a body names, whatever it says besides.
pub(super) fn volumes(host: &Value) -> Vec<&str> {
    let list = |name: &str| host[name].as_array().into_iter().flatten();
    let binds =
        list("Binds").filter_map(Value::as_str).filter_map(|bind| bind.split_once(':')).map(|(source, _)| source);
    let mounts = list("Mounts").filter(|mount| mount["Type"] == "volume").filter_map(|mount| mount["Source"].as_str());
    binds.chain(mounts).filter(|source| is_name(source)).collect()
}

/// Whether a text stands for itself alone. Podman writes a mount as one line of `key=value`, with commas between, and reads that again: a
/// comma in a path would begin another option, such as a source of the caller's choice.
fn is_one(text: &str) -> bool {
    !text.chars().any(|c| matches!(c, ',' | '"' | '\\') || c.is_control())
}

/// The parts of an absolute path that stands for itself alone; `None` if it is none, or goes back.
fn components(path: &str) -> Option<Vec<&str>> {
    if is_one(path) { straight(path) } else { None }
}

/// The parts of an absolute path; `None` if it is none, or goes back.
fn straight(path: &str) -> Option<Vec<&str>> {
    let mut parts = Path::new(path).components();
    if parts.next() != Some(Component::RootDir) {
        return None;
    }
    parts.map(|part| if let Component::Normal(part) = part { part.to_str() } else { None }).collect()
}
