//! Containers on the page for Prometheus, by the names of cAdvisor. What they use is read where the kernel counts it.

use std::collections::{BTreeMap, HashMap};

use crate::{
    exposition::{Column, Exposition, Kind},
    host::{Machine, Meter, Totals},
};
use engine::model::Summary;

/// What is told of each that runs.
const COLUMNS: &[Column<Totals>] = &[
    ("container_cpu_usage_seconds_total", Kind::Counter, "CPU time used since the start, in seconds.", |totals| {
        totals.cpu_seconds.into()
    }),
    (
        "container_memory_working_set_bytes",
        Kind::Gauge,
        "Memory without the page cache that can be dropped.",
        |totals| totals.memory.into(),
    ),
    ("container_spec_memory_limit_bytes", Kind::Gauge, "The most memory it may hold; 0 is no limit.", |totals| {
        totals.memory.map(|_| totals.memory_limit.unwrap_or(0)).into()
    }),
];

/// Writes `listed`, of which these run, by full id and the number of their first process.
pub fn expose(machine: &Machine, listed: &[Summary], running: &[(String, u32)], page: &mut Exposition) {
    let mut states: BTreeMap<&str, u64> = BTreeMap::new();
    for one in listed {
        *states.entry(&one.state).or_default() += 1;
    }
    let mut family = page.family("smcp_docker_containers", Kind::Gauge, "Containers by state.");
    for (state, number) in states {
        family.add(&[("state", state)], number);
    }
    drop(family);
    let mut family =
        page.family("smcp_docker_container_unhealthy", Kind::Gauge, "Whether a container's health check fails.");
    for one in listed {
        let is_unhealthy = one.health().map(|health| health == "unhealthy");
        family.add(&[("name", one.name()), ("image", &one.image)], is_unhealthy);
    }
    drop(family);
    let meters = Meter::all(machine, running);
    let by_id: HashMap<&str, &Summary> = listed.iter().map(|one| (one.id.as_str(), one)).collect();
    let found =
        running.iter().zip(&meters).filter_map(|((id, _), meter)| Some((*by_id.get(id.as_str())?, meter.as_ref()?)));
    let rows: Vec<(&Summary, &str, Totals)> =
        found.map(|(one, meter)| (one, meter.cgroup(), meter.totals(machine))).collect();
    for (name, kind, help, figure) in COLUMNS {
        let mut family = page.family(*name, *kind, help);
        for (one, cgroup, totals) in &rows {
            let labels = [("id", *cgroup), ("image", &*one.image), ("name", one.name())];
            match *kind {
                // cAdvisor has one row for each CPU, or one for all
                Kind::Counter => family.add(&[&labels[..], &[("cpu", "total")]].concat(), figure(totals)),
                _ => family.add(&labels, figure(totals)),
            }
        }
    }
}
