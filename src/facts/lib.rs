//! Facts: a figure with its unit, or the gap and its reason. One file each, read by tools, `overview`, `history` and what watches.
//!
//! The page of metrics is made of them as well: one line in [`EXPOSED`] for each.
//!
//! A fact reads through a [`crate::gap::Reader`], so that an odd, missing or forbidden file costs its own figure and no other. What a fact
//! knows to be wrong it says itself ([`problem`]); a fault that has no figure of its own is one line in [`WATCHED`].

pub mod accounts;
pub mod addresses;
pub mod blocks;
pub mod btrfs;
pub mod clock;
pub mod command_line;
pub mod container;
pub mod containers;
pub mod cpu;
pub mod dmi;
pub mod edac;
pub mod exposition;
pub mod filesystems;
pub mod frequency;
pub mod gap;
pub mod health;
pub mod host;
pub mod hwmon;
pub mod interfaces;
pub mod limits;
mod lines;
pub mod load;
pub mod memory;
pub mod mounts;
pub mod netstat;
pub mod os;
pub mod power;
pub mod pressure;
pub mod problem;
pub mod raid;
pub mod restart;
pub mod routes;
pub mod sensors;
pub mod storage;
mod stores;
pub mod temperature;
pub mod thermal;
pub mod throttling;
pub mod topology;
pub mod traffic;
#[cfg(test)]
mod tree;
pub mod uname;
pub mod undervoltage;
pub mod vmstat;
pub mod zfs;

use std::sync::Arc;

use crate::{
    exposition::{Exposition, Kind},
    gap::{Gaps, Reader},
    host::{Machine, Sample},
};
use problem::Problems;

/// Faults that the kernel itself tells, each by one file below `facts/`: looked at by every `overview`.
pub const WATCHED: &[fn(&Machine, &Reader<'_>, &mut Problems)] =
    &[edac::watch, hwmon::watch, thermal::watch, undervoltage::watch, power::watch, limits::watch, restart::watch];

/// What facts are exposed from.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The machine.
    pub machine: &'a Arc<Machine>,
    /// Reads what the sample does not hold, and keeps what could not be read.
    pub reader: &'a Reader<'a>,
    /// The counters of now.
    pub sample: &'a Sample,
}

/// The facts with figures, each by one file below `facts/`, in the order of the page. Names, labels and units are those of Prometheus's
/// node_exporter, where it has any: what is known of the machine under them is known under the same. Everything else begins with `smcp_`.
pub const EXPOSED: &[fn(&Seen<'_>, &mut Exposition)] = &[
    cpu::expose,
    topology::expose,
    frequency::expose,
    throttling::expose,
    load::expose,
    pressure::expose,
    memory::expose,
    vmstat::expose,
    blocks::expose,
    filesystems::expose,
    health::expose,
    btrfs::expose,
    zfs::expose,
    raid::expose,
    interfaces::expose,
    netstat::expose,
    limits::expose,
    container::expose,
    edac::expose,
    sensors::expose,
    thermal::expose,
    power::expose,
    undervoltage::expose,
    dmi::expose,
    os::expose,
    restart::expose,
    uname::expose,
    clock::expose,
];

/// Writes all facts, and which files could not be read. Blocks until each device and file server has answered, or has been given up, which is
/// a few seconds.
pub fn expose(machine: &Arc<Machine>, sample: &Sample, page: &mut Exposition) {
    let reader = Reader::new(&machine.root);
    reader.add(&sample.gaps, &["/"]);
    let seen = Seen { machine, reader: &reader, sample };
    EXPOSED.iter().for_each(|expose| expose(&seen, page));
    expose_gaps(&reader.gaps(), page);
}

/// One sample for each gap, and how many there are beyond those that are listed.
fn expose_gaps(gaps: &Gaps, page: &mut Exposition) {
    let help = "Files that could not be read, and why; their figures are not on this page.";
    let mut family = page.family("smcp_scrape_gaps", Kind::Gauge, help);
    // the last row may be about those that have none
    for gap in gaps.rows().iter().filter(|gap| gap.file.starts_with('/')) {
        family.add(&[("file", &*gap.file), ("reason", gap.why.word())], 1_u64);
    }
    drop(family);
    page.gauge("smcp_scrape_gaps_more", "Files that could not be read and are not listed.", gaps.more());
}
