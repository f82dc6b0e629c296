//! What a container uses, as two of `GET /containers/{id}/stats?stream=false&one-shot=1` tell: the counters of one moment each, so that
//! no call waits for the Engine's own second. Docker and Podman, cgroup v1 and v2 shape them differently.

use std::{collections::BTreeMap, time::SystemTime};

use serde::Deserialize;

use super::model::{instant, or_default};

/// The counters of one moment.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Stats {
    #[serde(default, deserialize_with = "or_default")]
    read: String,
    #[serde(default, deserialize_with = "or_default")]
    cpu_stats: CpuStats,
    #[serde(default, deserialize_with = "or_default")]
    memory_stats: MemoryStats,
    #[serde(default, deserialize_with = "or_default")]
    pids_stats: PidsStats,
    #[serde(default, deserialize_with = "or_default")]
    blkio_stats: BlkioStats,
    #[serde(default)]
    networks: Option<BTreeMap<String, Interface>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct CpuStats {
    #[serde(default, deserialize_with = "or_default")]
    cpu_usage: CpuUsage,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct CpuUsage {
    /// In nanoseconds.
    #[serde(default)]
    total_usage: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct MemoryStats {
    #[serde(default)]
    usage: Option<u64>,
    #[serde(default)]
    limit: Option<u64>,
    #[serde(default, deserialize_with = "or_default")]
    stats: BTreeMap<String, serde_json::Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct PidsStats {
    #[serde(default)]
    current: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct BlkioStats {
    #[serde(default, deserialize_with = "or_default")]
    io_service_bytes_recursive: Vec<Blkio>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Blkio {
    /// `Read` on cgroup v1, `read` on v2.
    #[serde(default, deserialize_with = "or_default")]
    op: String,
    #[serde(default, deserialize_with = "or_default")]
    value: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Interface {
    #[serde(default, deserialize_with = "or_default")]
    rx_bytes: u64,
    #[serde(default, deserialize_with = "or_default")]
    tx_bytes: u64,
}

/// What a container used in a window, and holds at its end. What the Engine does not tell is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// The length of the window.
    pub seconds: Option<f64>,
    /// 1 is one core fully used.
    pub cpu: Option<f64>,
    /// In bytes, without the page cache that can be dropped, as `docker stats` counts.
    pub memory: Option<u64>,
    /// Of its limit, or of the machine's memory without one.
    pub memory_ratio: Option<f64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// By the interfaces of its own: none where it has the machine's.
    pub received: Option<Flow>,
    /// By the interfaces of its own.
    pub sent: Option<Flow>,
    /// From block devices.
    pub read: Option<Flow>,
    /// To block devices.
    pub written: Option<Flow>,
}

/// Bytes that went somewhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flow {
    /// Since the container was started.
    pub total: u64,
    /// A second, in the window; `None` if it was started anew meanwhile.
    pub per_second: Option<f64>,
}

impl Usage {
    /// From the counters of two moments.
    pub fn between(earlier: &Stats, now: &Stats) -> Self {
        let seconds = earlier.at().zip(now.at()).and_then(|(earlier, now)| {
            let window = now.duration_since(earlier).ok()?.as_secs_f64();
            (window > 0.0).then_some(window)
        });
        let rate = |earlier: u64, now: u64| Some(now.checked_sub(earlier)? as f64 / seconds?);
        let flow = |of: fn(&Stats) -> Option<u64>| {
            let total = of(now)?;
            Some(Flow { total, per_second: of(earlier).and_then(|earlier| rate(earlier, total)) })
        };
        let nanoseconds = |stats: &Stats| stats.cpu_stats.cpu_usage.total_usage;
        let memory = now.memory();
        let limit = now.memory_stats.limit.filter(|limit| *limit > 0);
        Self {
            seconds,
            cpu: nanoseconds(earlier).zip(nanoseconds(now)).and_then(|(earlier, now)| Some(rate(earlier, now)? / 1e9)),
            memory,
            memory_ratio: memory.zip(limit).map(|(used, limit)| used as f64 / limit as f64),
            pids: now.pids_stats.current,
            received: flow(|stats| stats.interfaces(|one| one.rx_bytes)),
            sent: flow(|stats| stats.interfaces(|one| one.tx_bytes)),
            read: flow(|stats| stats.blocks("read")),
            written: flow(|stats| stats.blocks("write")),
        }
    }
}

impl Stats {
    fn at(&self) -> Option<SystemTime> {
        instant(&self.read)
    }

    /// Without the cache that the kernel drops first: `docker stats` counts so, or else every container that has read much looks full.
    fn memory(&self) -> Option<u64> {
        let usage = self.memory_stats.usage?;
        let cache = |name: &str| self.memory_stats.stats.get(name).and_then(serde_json::Value::as_u64);
        // v1 has both, and there the one without `total_` leaves out the groups below
        let inactive = cache("total_inactive_file").or_else(|| cache("inactive_file")).unwrap_or(0);
        Some(if inactive < usage { usage - inactive } else { usage })
    }

    fn interfaces(&self, of: fn(&Interface) -> u64) -> Option<u64> {
        let interfaces = self.networks.as_ref()?;
        (!interfaces.is_empty()).then(|| interfaces.values().map(of).fold(0, u64::saturating_add))
    }

    /// An empty list may be a kernel that does not count, or a container that has not touched a disk: nobody knows.
    fn blocks(&self, op: &str) -> Option<u64> {
        let all = &self.blkio_stats.io_service_bytes_recursive;
        let these = all.iter().filter(|one| one.op.eq_ignore_ascii_case(op)).map(|one| one.value);
        (!all.is_empty()).then(|| these.fold(0, u64::saturating_add))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn usage(earlier: serde_json::Value, now: serde_json::Value) -> Usage {
        let stats = |value| serde_json::from_value::<Stats>(value).unwrap();
        Usage::between(&stats(earlier), &stats(now))
    }

    #[test]
    fn memory_is_without_the_cache_that_can_be_dropped_on_both_kinds_of_cgroups() {
        let memory = |stats| {
            let now = json!({ "memory_stats": { "usage": 1000, "limit": 4000, "stats": stats } });
            usage(json!({}), now).memory
        };
        assert_eq!(memory(json!({ "total_inactive_file": 300, "inactive_file": 100 })), Some(700));
        assert_eq!(memory(json!({ "inactive_file": 200 })), Some(800));
        // the figures are not of one moment
        assert_eq!(memory(json!({ "inactive_file": 2000 })), Some(1000));
        // Podman
        assert_eq!(memory(json!(null)), Some(1000));
        let now = json!({ "memory_stats": { "usage": 1000, "limit": 4000 } });
        assert_eq!(usage(json!({}), now).memory_ratio, Some(0.25));
    }

    #[test]
    fn rates_are_of_the_engines_own_clock() {
        let at = |read: &str, cpu: u64, bytes: u64| {
            json!({
                "read": read,
                "cpu_stats": { "cpu_usage": { "total_usage": cpu } },
                "networks": { "eth0": { "rx_bytes": bytes, "tx_bytes": 1 }, "eth1": { "rx_bytes": bytes } },
                "blkio_stats": { "io_service_bytes_recursive": [
                    { "op": "Read", "value": bytes }, { "op": "write", "value": 5 }, { "op": "Total", "value": 99 },
                ] },
            })
        };
        let used = usage(
            at("2026-01-01T00:00:00.5Z", 1_000_000_000, 100),
            at("2026-01-01T02:00:01+02:00", 1_750_000_000, 200),
        );
        assert_eq!((used.seconds, used.cpu), (Some(0.5), Some(1.5)));
        assert_eq!(used.received, Some(Flow { total: 400, per_second: Some(400.0) }));
        assert_eq!(used.read, Some(Flow { total: 200, per_second: Some(200.0) }));
        assert_eq!(used.written, Some(Flow { total: 5, per_second: Some(0.0) }));
    }

    #[test]
    fn one_that_was_started_anew_in_between_has_no_rates() {
        let at = |read: &str, cpu: u64| json!({ "read": read, "cpu_stats": { "cpu_usage": { "total_usage": cpu } } });
        assert_eq!(usage(at("2026-01-01T00:00:00Z", 10), at("2026-01-01T00:00:01Z", 5)).cpu, None);
        assert_eq!(usage(at("2026-01-01T00:00:00Z", 10), at("2026-01-01T00:00:00Z", 20)).cpu, None);
    }

    #[test]
    fn what_is_not_told_is_not_zero() {
        let nothing =
            json!({ "networks": null, "blkio_stats": { "io_service_bytes_recursive": null }, "memory_stats": {} });
        assert_eq!(usage(json!({}), nothing), Usage::default());
    }
}
