//! Ports of a new container. For each that is published an engine starts a program of its own, as root.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::{Check, Fields, Objects, That, is_empty, join, map, wanted};

/// The most ports that a container exposes, and the most that it publishes.
pub(super) const MOST: usize = 256;

/// One of `HostConfig.PortBindings`.
const BINDING: Fields = &[("HostIp", That(address)), ("HostPort", That(outside))];

/// How many ports this exposes.
pub(super) fn count(exposed: &Value) -> usize {
    exposed.as_object().map_or(0, Map::len)
}

/// `ExposedPorts`: ports, with nothing to them.
pub(super) fn exposed(check: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    let Some(ports) = map(value, path)? else { return Ok(()) };
    if ports.len() > check.most(MOST) {
        return Err(wanted(path, &format!("at most {MOST} ports")));
    }
    match ports.iter().find(|(port, nothing)| !is_port(port) || !is_empty(nothing)) {
        Some((port, _)) => Err(wanted(&join(path, port), "PORT/tcp, /udp or /sctp with an empty object")),
        None => Ok(()),
    }
}

/// `HostConfig.PortBindings`: where each port is published.
pub(super) fn bindings(check: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    let mut published = 0;
    for (port, bindings) in map(value, path)?.into_iter().flatten() {
        let path_of = join(path, port);
        if !is_port(port) {
            return Err(wanted(&path_of, "PORT/tcp, /udp or /sctp"));
        }
        check.value(bindings, Objects(MOST, BINDING), &path_of)?;
        published += bindings.as_array().map_or(0, Vec::len).max(1);
        if published > check.most(MOST) {
            return Err(wanted(path, &format!("at most {MOST} ports")));
        }
    }
    Ok(())
}

/// An address of any spelling, checked by [`IpAddr`].
pub(super) fn address(_: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    let fits = match value {
        Value::Null => true,
        Value::String(text) => text.is_empty() || text.parse::<IpAddr>().is_ok(),
        _ => false,
    };
    if fits { Ok(()) } else { Err(wanted(path, "an IP address")) }
}

/// A port of the machine, or a range of which one is taken.
fn outside(_: &Check<'_>, value: &Value, path: &str) -> Result<(), String> {
    let is_range = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        matches!((number(first), number(last)), (Some(first), Some(last)) if first <= last)
    };
    let fits = match value {
        Value::Null => true,
        Value::String(text) => text.is_empty() || is_range(text),
        _ => false,
    };
    if fits { Ok(()) } else { Err(wanted(path, "a port from 0 to 65535, or a range")) }
}

/// `80`, `80/tcp`.
fn is_port(text: &str) -> bool {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    number(port).is_some_and(|port| port > 0) && matches!(protocol, "tcp" | "udp" | "sctp")
}

fn number(text: &str) -> Option<u16> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}
