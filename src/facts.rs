//! Facts: a figure with its unit, or the gap and its reason. One file each, read by tools, `overview`, `history` and what watches.
//!
//! A fact reads through a [`crate::gap::Reader`], so that an odd, missing or forbidden file costs its own figure and no other. What a fact
//! knows to be wrong it says itself ([`problem`]); a fault that has no figure of its own is one line in [`WATCHED`].

pub mod accounts;
pub mod addresses;
pub mod blocks;
pub mod btrfs;
pub mod command_line;
pub mod edac;
pub mod filesystems;
pub mod frequency;
pub mod health;
pub mod hwmon;
pub mod interfaces;
pub mod limits;
mod lines;
pub mod memory;
pub mod mounts;
pub mod os;
pub mod power;
pub mod problem;
pub mod raid;
pub mod restart;
pub mod routes;
pub mod storage;
mod stores;
pub mod temperature;
pub mod thermal;
pub mod throttling;
pub mod topology;
pub mod traffic;
#[cfg(test)]
mod tree;
pub mod undervoltage;
pub mod zfs;

use crate::{gap::Reader, host::Machine};
use problem::Problems;

/// Faults that the kernel itself tells, each by one file below `facts/`: looked at by every `overview`.
pub const WATCHED: &[fn(&Machine, &Reader<'_>, &mut Problems)] =
    &[edac::watch, hwmon::watch, thermal::watch, undervoltage::watch, power::watch, limits::watch, restart::watch];
