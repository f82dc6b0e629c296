//! Which kind of container the server runs in, and what that may use. Nothing on a machine.

use super::Seen;
use crate::{
    exposition::{Exposition, Kind},
    host::{Container, Limits, Place},
};

/// Kind, limits, and what the own memory cgroup counts.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let Place { container: Some(Container(kind)), limits, .. } = Place::of(seen.reader) else { return };
    let help = "The kind of container that the server runs in.";
    page.family("smcp_container_info", Kind::Gauge, help).add(&[("kind", &*kind)], 1_u64);
    let Limits { memory, memory_used, cpu, .. } = limits;
    page.gauge("smcp_container_memory_limit_bytes", "Memory that the container may use.", memory);
    let help = "Memory that the container uses of its limit, without caches that could be dropped.";
    page.gauge("smcp_container_memory_used_bytes", help, memory_used);
    page.gauge("smcp_container_cpu_limit", "CPUs' worth of time that the container may use.", cpu);
    let help = "Processes of the container killed for want of memory, and times that it reached its limit.";
    let mut events = page.family("smcp_container_memory_events_total", Kind::Counter, help);
    if let Some(counted) = seen.sample.memory_events {
        events.add(&[("event", "max")], counted.max);
        events.add(&[("event", "oom_kill")], counted.oom_kill);
    }
}
