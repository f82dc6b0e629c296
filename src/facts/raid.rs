//! The arrays of software RAID, see md(4) and the kernel's admin-guide/md.rst.

use std::collections::HashSet;

use super::{
    Seen,
    problem::{Problems, Severity, count, first_of, percent, size},
};
use crate::{
    exposition::{Column, Exposition, Kind},
    gap::Reader,
};
use kernel::proc::mdstat::{self, ArrayState, Progress, Sync};

/// An array.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// As `/proc/mdstat` has it.
    pub md: mdstat::Array,
    /// Bytes in which its devices differed at the last check; `None` where none was made, or they were made equal since.
    pub mismatch: Option<u64>,
    /// Its devices that the kernel has something to say of.
    pub faults: Vec<Fault>,
    /// All its I/O waits.
    pub suspended: bool,
    /// It is not rebuilt, because somebody has stopped that.
    pub frozen: bool,
    /// Of a container: an array is made of it.
    pub in_use: bool,
}

/// What the kernel has to say of a device that works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `sda1`.
    pub device: String,
    /// Reads that failed and were mended from the others.
    pub read_errors: u64,
    /// A write to it has failed, and the block is kept on its list of bad ones.
    pub write_error: bool,
    /// Somebody, or its errors, asked for another in its place.
    pub to_be_replaced: bool,
}

/// The arrays. `None`: the kernel has no software RAID built in or loaded.
pub fn read(reader: &Reader<'_>) -> Option<Vec<Array>> {
    let text = reader.text("proc/mdstat")?;
    let arrays = reader.lenient("proc/mdstat", mdstat::parse(&text));
    let in_use: HashSet<String> = arrays.iter().filter_map(|md| md.made_of().map(str::to_owned)).collect();
    Some(arrays.into_iter().map(|md| Array::read(reader, md, &in_use)).collect())
}

/// The families of arrays, but for those with a label more.
const FIGURES: &[Column<Array>] = &[
    ("node_md_disks_required", Kind::Gauge, "Devices that each array should have.", |array| array.required().into()),
    ("node_md_blocks", Kind::Gauge, "The size of each array in blocks of 1,024 bytes.", |array| {
        array.md.size.map(|size| size / 1024).into()
    }),
    (
        "node_md_blocks_synced",
        Kind::Gauge,
        "Blocks of 1,024 bytes of each array that are as they should be.",
        |array| array.synced().map(|bytes| bytes / 1024).into(),
    ),
    (
        "smcp_md_mismatch_bytes",
        Kind::Gauge,
        "Bytes in which the devices of each array differed at its last check.",
        |array| array.mismatch.into(),
    ),
    ("smcp_md_suspended", Kind::Gauge, "Whether all I/O of each array waits.", |array| array.suspended.into()),
];

/// The states of the arrays and their devices.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let Some(arrays) = read(seen.reader) else { return };
    let named = || arrays.iter().map(|array| (&*array.md.name, array));
    page.table(FIGURES, "device", named());
    let number = |name: &str, file: &str| seen.reader.number::<u32>(&format!("sys/block/{name}/md/{file}"));
    let mut degraded = page.family("node_md_degraded", Kind::Gauge, "Devices that each redundant array lacks.");
    for (name, array) in named() {
        let counts = array.md.wanted.zip(array.md.present);
        let lacks = || counts.map(|(wanted, present)| wanted.saturating_sub(present));
        degraded.add(&[("device", name)], number(name, "degraded").or_else(lacks));
    }
    drop(degraded);
    let help = "Devices that each array is made for.";
    let mut wanted = page.family("node_md_raid_disks", Kind::Gauge, help);
    for (name, array) in named() {
        wanted.add(&[("device", name)], number(name, "raid_disks").or(array.md.wanted));
    }
    drop(wanted);
    let mut disks = page.family("node_md_disks", Kind::Gauge, "Devices of each array by their state.");
    for (name, array) in named() {
        let count = |is: fn(&mdstat::Device) -> bool| array.md.devices.iter().filter(|device| is(device)).count();
        disks.add(&[("device", name), ("state", "active")], array.active());
        disks.add(&[("device", name), ("state", "failed")], count(|device| device.failed));
        disks.add(&[("device", name), ("state", "spare")], count(|device| device.spare));
    }
    drop(disks);
    let mut states = page.family("node_md_state", Kind::Gauge, "The state of each array: 1 for the one that it is in.");
    for (name, array) in named() {
        for state in ["active", "check", "inactive", "recovering", "resync"] {
            states.add(&[("device", name), ("state", state)], array.word() == state);
        }
    }
}

impl Array {
    /// The one word for what it does.
    fn word(&self) -> &'static str {
        match (self.md.state, self.md.sync.as_ref().map(|sync| &*sync.action)) {
            (ArrayState::Inactive | ArrayState::Broken, _) => "inactive",
            (ArrayState::Active, Some("recovery")) => "recovering",
            (ArrayState::Active, Some("resync")) => "resync",
            (ArrayState::Active, Some("check")) => "check",
            (ArrayState::Active, Some("reshape")) => "reshape",
            (ArrayState::Active, _) => "active",
        }
    }

    /// Devices that it should have: without redundancy those that it has. `None`: it does not run, and nobody says.
    fn required(&self) -> Option<usize> {
        let all = || (self.md.state == ArrayState::Active).then_some(self.md.devices.len());
        self.md.wanted.map(|wanted| wanted as usize).or_else(all)
    }

    /// Devices that work: of an array that does not run none does.
    fn active(&self) -> usize {
        match self.md.state {
            ArrayState::Active => self.md.present.map_or(self.md.devices.len(), |present| present as usize),
            ArrayState::Inactive | ArrayState::Broken => 0,
        }
    }

    /// Bytes of it that are as they should be. `None`: nobody says.
    fn synced(&self) -> Option<u64> {
        match self.md.sync.as_ref().map(|sync| sync.progress) {
            None => self.md.size,
            Some(Progress::Running { done, .. }) => done,
            Some(Progress::Pending | Progress::Delayed | Progress::Remote) => Some(0),
        }
    }

    fn read(reader: &Reader<'_>, md: mdstat::Array, in_use: &HashSet<String>) -> Self {
        let in_use = in_use.contains(&md.name);
        let plain = Self { md, mismatch: None, faults: vec![], suspended: false, frozen: false, in_use };
        // what has no redundancy is neither checked nor rebuilt
        if plain.md.state == ArrayState::Inactive || plain.md.wanted.is_none() {
            return plain;
        }
        let directory = format!("sys/block/{}/md", plain.md.name);
        let word = |file: &str| reader.word(&format!("{directory}/{file}"));
        let sectors = reader.number::<u64>(&format!("{directory}/mismatch_cnt")).filter(|sectors| *sectors > 0);
        // since Linux 3.12; after a repair it counts what was mended
        let checked = sectors.is_some() && word("last_sync_action").is_none_or(|action| action == "check");
        let devices = plain.md.devices.iter().filter(|device| !device.failed);
        Self {
            mismatch: sectors.filter(|_| checked).map(|sectors| sectors.saturating_mul(512)),
            faults: devices.filter_map(|device| Fault::read(reader, &directory, &device.name)).collect(),
            suspended: word("array_state").is_some_and(|state| state == "suspended"),
            frozen: word("sync_action").is_some_and(|action| action == "frozen"),
            ..plain
        }
    }

    /// Whether devices are missing; `None` without redundancy.
    pub fn degraded(&self) -> Option<bool> {
        self.md.wanted.zip(self.md.present).map(|_| self.md.is_degraded())
    }

    /// What is wrong with it.
    pub fn problems(&self, problems: &mut Problems) {
        let name = &self.md.name;
        if let Some(kind) = self.md.container() {
            if !self.in_use {
                problems.notice("disks", format!("RAID container {name} ({kind}) has no array that runs"));
            }
            return;
        }
        match self.md.state {
            ArrayState::Active => self.device_problems(problems),
            ArrayState::Inactive => problems.critical("disks", format!("RAID array {name} does not run")),
            ArrayState::Broken => {
                problems.critical("disks", format!("RAID array {name} has failed: too few devices work"))
            }
        }
        if self.suspended {
            problems.warning("disks", format!("RAID array {name}: its I/O is suspended"));
        }
        if let Some(bytes) = self.mismatch {
            // a swapped page may change while a mirror writes it, and then nobody reads it again
            let mirrored = matches!(self.md.level.as_deref(), Some("raid1" | "raid10"));
            let severity = if mirrored { Severity::Notice } else { Severity::Warning };
            let what = format!("RAID array {name}: its devices differed in {} at the last check", size(bytes));
            problems.add(severity, "disks", what);
        }
        for fault in &self.faults {
            problems.warning("disks", format!("RAID array {name}: {} {}", fault.device, fault.words()));
        }
        if let Some(activity) = self.activity() {
            let progress = self.progress().map_or(String::new(), |ratio| format!(", {} done", percent(ratio)));
            problems.notice("disks", format!("RAID array {name}: {activity}{progress}"));
        }
    }

    /// Devices that have failed or are not there.
    fn device_problems(&self, problems: &mut Problems) {
        let name = &self.md.name;
        let failed = |journal: bool| {
            let devices = self.md.devices.iter().filter(|device| device.failed && device.journal == journal);
            devices.map(|device| &*device.name).collect::<Vec<_>>()
        };
        let (failed, journals) = (failed(false), failed(true));
        if !journals.is_empty() {
            let what = format!("RAID array {name}: its journal {} has failed; it takes no writes", first_of(&journals));
            problems.critical("disks", what);
        }
        let has = if failed.len() == 1 { "has" } else { "have" };
        match self.degraded() {
            Some(true) => self.degraded_problem(&failed, problems),
            Some(false) if !failed.is_empty() => {
                let what = format!("RAID array {name}: {} {has} failed (the array is complete)", first_of(&failed));
                problems.warning("disks", what);
            }
            None if !failed.is_empty() => {
                problems.critical("disks", format!("RAID array {name}: {} {has} failed", first_of(&failed)));
            }
            Some(false) | None => (),
        }
    }

    fn degraded_problem(&self, failed: &[&str], problems: &mut Problems) {
        let name = &self.md.name;
        let counts = self.md.present.zip(self.md.wanted);
        let counts = counts.map_or(String::new(), |(working, wanted)| format!(": {working} of {wanted} devices work"));
        if failed.is_empty() && self.is_as_made() {
            // where fewer are empty than filled, a device may as well have been lost
            let is_mostly_empty =
                self.md.present.zip(self.md.wanted).is_some_and(|(working, wanted)| wanted > 2 * working);
            let severity = if is_mostly_empty { Severity::Notice } else { Severity::Warning };
            let what = format!("RAID array {name}{counts}; its other slots were perhaps never filled");
            problems.add(severity, "disks", what);
            return;
        }
        let which = match (failed, self.empty_slots()) {
            // a spare is on its way into the slot
            ([], slots) if slots.is_empty() || self.is_rebuilt() => String::new(),
            ([], slots) => {
                let slots: Vec<String> = slots.iter().map(ToString::to_string).collect();
                let slots: Vec<&str> = slots.iter().map(String::as_str).collect();
                let word = if slots.len() == 1 { "slot" } else { "slots" };
                format!(", {word} {} without a device", first_of(&slots))
            }
            ([one], _) => format!(", {one} has failed"),
            (failed, _) => format!(", {} have failed", first_of(failed)),
        };
        let frozen = if self.frozen { "; rebuilding it is stopped (sync_action is frozen)" } else { "" };
        problems.critical("disks", format!("RAID array {name} is degraded{counts}{which}{frozen}"));
    }

    /// Whether a device is filled with what a missing one held.
    fn is_rebuilt(&self) -> bool {
        self.md.sync.as_ref().is_some_and(|sync| sync.action == "recovery")
    }

    /// The numbers of the slots in which no device works.
    fn empty_slots(&self) -> Vec<usize> {
        let slots = self.md.bitmap.as_deref().unwrap_or_default().bytes().enumerate();
        slots.filter(|(_, letter)| *letter == b'_').map(|(slot, _)| slot).collect()
    }

    /// Whether it may have been made with slots to spare, as makers of storage appliances do: a mirror of one slot for each bay. Its data
    /// is on two devices at least, and what is empty is the rest of the slots, or most of them.
    fn is_as_made(&self) -> bool {
        let Some((working, wanted)) = self.md.present.zip(self.md.wanted) else { return false };
        let slots = self.md.bitmap.as_deref().unwrap_or_default();
        let is_rest = !slots.trim_end_matches('_').contains('_');
        self.md.level.as_deref() == Some("raid1") && working >= 2 && (is_rest || wanted - working > working)
    }

    /// What it is made to do beside its work, and whether that waits.
    pub fn activity(&self) -> Option<String> {
        let Sync { action, progress } = self.md.sync.as_ref()?;
        Some(match progress {
            Progress::Running { .. } => action.clone(),
            Progress::Pending => format!("{action} pending"),
            Progress::Delayed => format!("{action} delayed"),
            Progress::Remote => format!("{action} on another node"),
        })
    }

    /// How far that is, 0 to 1.
    pub fn progress(&self) -> Option<f64> {
        match self.md.sync.as_ref()?.progress {
            Progress::Running { ratio, .. } => Some(ratio),
            Progress::Pending | Progress::Delayed | Progress::Remote => None,
        }
    }

    /// Seconds until it is done, as the kernel guesses.
    pub fn finish(&self) -> Option<f64> {
        match self.md.sync.as_ref()?.progress {
            Progress::Running { finish, .. } => finish,
            Progress::Pending | Progress::Delayed | Progress::Remote => None,
        }
    }
}

impl Fault {
    /// `None`: all is well, as far as the kernel tells.
    fn read(reader: &Reader<'_>, directory: &str, device: &str) -> Option<Self> {
        let directory = format!("{directory}/dev-{device}");
        let state = reader.word(&format!("{directory}/state")).unwrap_or_default();
        let is = |word: &str| state.split(',').any(|have| have == word);
        let fault = Self {
            device: device.to_owned(),
            read_errors: reader.number(&format!("{directory}/errors")).unwrap_or(0),
            write_error: is("write_error"),
            to_be_replaced: is("want_replacement"),
        };
        (fault.read_errors > 0 || fault.write_error || fault.to_be_replaced).then_some(fault)
    }

    fn words(&self) -> String {
        let mut words = vec![];
        if self.read_errors > 0 {
            let errors = count(self.read_errors, "read error", "read errors");
            words.push(format!("has had {errors}, mended from the other devices"));
        }
        if self.write_error {
            words.push("has blocks that cannot be written".to_owned());
        }
        if self.to_be_replaced {
            words.push("is to be replaced".to_owned());
        }
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;

    fn said(mdstat: &str, files: &[(&str, &str)]) -> Vec<(Severity, String)> {
        let tree = Tree::new(&[&[("proc/mdstat", mdstat)], files].concat());
        let arrays = tree.whole(read).unwrap();
        let mut problems = Problems::default();
        arrays.iter().for_each(|array| array.problems(&mut problems));
        problems.sorted().into_iter().map(|problem| (problem.severity, problem.what)).collect()
    }

    /// One active array of this level.
    fn array(level: &str, devices: &str, counts: &str) -> String {
        format!(
            "md7 : active {level} {devices}\n      4096 blocks super 1.2 {counts}\n      \nunused devices: <none>\n"
        )
    }

    #[test]
    fn an_array_is_exposed_in_one_state_and_in_blocks() {
        let mdstat = "md0 : active raid5 sdd1[3] sdc1[2](F) sdb1[1] sde1[4](S)\n      400 blocks level 5 [3/2] [UU_]\n      \
                      [==>..................]  recovery = 12.6% (37/200) finish=127.5min speed=33440K/sec\n\n\
                      md1 : active raid0 sdf1[1] sda1[0]\n      80 blocks super 1.2 64k chunks\n\nunused devices: <none>\n";
        let page = Tree::new(&[("proc/mdstat", mdstat)]).page(expose);
        for line in [
            "node_md_blocks{device=\"md0\"} 400",
            "node_md_blocks_synced{device=\"md0\"} 37",
            "node_md_blocks_synced{device=\"md1\"} 80",
            "node_md_degraded{device=\"md0\"} 1",
            "node_md_disks{device=\"md0\",state=\"active\"} 2",
            "node_md_disks{device=\"md0\",state=\"failed\"} 1",
            "node_md_disks{device=\"md1\",state=\"active\"} 2",
            "node_md_disks_required{device=\"md1\"} 2",
            "node_md_state{device=\"md0\",state=\"active\"} 0",
            "node_md_state{device=\"md0\",state=\"recovering\"} 1",
        ] {
            assert!(page.contains(&format!("\n{line}\n")), "{line}\n{page}");
        }
        assert!(!page.contains("node_md_degraded{device=\"md1\"}"), "{page}");
    }

    fn one(severity: Severity, what: &str) -> Vec<(Severity, String)> {
        vec![(severity, what.to_owned())]
    }

    #[test]
    fn a_machine_without_md_has_no_arrays() {
        assert_eq!(Tree::new(&[]).whole(read), None);
    }

    #[test]
    fn a_degraded_array_names_what_failed_or_which_slot_is_empty() {
        let said = |devices, counts| said(&array("raid5", devices, counts), &[]);
        let failed = "RAID array md7 is degraded: 2 of 3 devices work, sdc1 has failed";
        assert_eq!(said("sdc1[2](F) sdb1[1] sda1[0]", "[3/2] [UU_]"), one(Severity::Critical, failed));
        let gone = "RAID array md7 is degraded: 2 of 3 devices work, slot 0 without a device";
        assert_eq!(said("sdc1[2] sdb1[1]", "[3/2] [_UU]"), one(Severity::Critical, gone));
        assert_eq!(said("sdc1[2] sdb1[1] sda1[0]", "[3/3] [UUU]"), []);
    }

    #[test]
    fn a_mirror_made_with_slots_to_spare_is_worth_a_notice_and_one_of_one_device_is_degraded() {
        let said = |devices, counts| said(&array("raid1", devices, counts), &[]);
        let spare = "RAID array md7: 2 of 6 devices work; its other slots were perhaps never filled";
        assert_eq!(said("sdb1[1] sda1[0]", "[6/2] [UU____]"), one(Severity::Notice, spare));
        assert_eq!(said("sdb1[3] sda1[0]", "[6/2] [U__U__]"), one(Severity::Notice, spare));
        let last = "RAID array md7: 7 of 8 devices work; its other slots were perhaps never filled";
        assert_eq!(said("sda1[0]", "[8/7] [UUUUUUU_]"), one(Severity::Warning, last));
        let third = "RAID array md7: 2 of 3 devices work; its other slots were perhaps never filled";
        assert_eq!(said("sdb1[1] sda1[0]", "[3/2] [UU_]"), one(Severity::Warning, third));
        let alone = "RAID array md7 is degraded: 1 of 2 devices work, slot 1 without a device";
        assert_eq!(said("sda1[0]", "[2/1] [U_]"), one(Severity::Critical, alone));
        let lost = "RAID array md7 is degraded: 2 of 3 devices work, slot 0 without a device";
        assert_eq!(said("sdc1[2] sdb1[1]", "[3/2] [_UU]"), one(Severity::Critical, lost));
        let failed = "RAID array md7 is degraded: 2 of 6 devices work, sdc1 has failed";
        assert_eq!(said("sdc1[2](F) sdb1[1] sda1[0]", "[6/2] [UU____]"), one(Severity::Critical, failed));
    }

    #[test]
    fn a_failed_device_is_told_though_the_array_is_complete() {
        let complete = "RAID array md7: sde1 has failed (the array is complete)";
        let mirror = array("raid1", "sde1[3](F) sdb1[1] sda1[0]", "[2/2] [UU]");
        assert_eq!(said(&mirror, &[]), one(Severity::Warning, complete));
        let journal = "RAID array md7: its journal sdj1 has failed; it takes no writes";
        let parity = array("raid5", "sdc1[2] sdb1[1] sda1[0] sdj1[3](J)(F)", "[3/3] [UUU]");
        assert_eq!(said(&parity, &[]), one(Severity::Critical, journal));
        let stripe = array("raid0", "sdb1[1](F) sda1[0]", "512k chunks");
        assert_eq!(said(&stripe, &[]), one(Severity::Critical, "RAID array md7: sdb1 has failed"));
    }

    #[test]
    fn a_container_never_runs_and_an_array_that_does_not_is_a_fault() {
        let array = "md126 : active raid1 sdb[1] sda[0]\n      4096 blocks super external:/md127/0 [2/2] [UU]\n\n";
        let container = "md127 : inactive sdb[1](S) sda[0](S)\n      2048 blocks super external:imsm\n       \n";
        assert_eq!(said(&format!("{array}{container}"), &[]), []);
        let unused = "RAID container md127 (imsm) has no array that runs";
        assert_eq!(said(container, &[]), one(Severity::Notice, unused));
        let stopped = "md3 : inactive sdb1[1](S)\n      2048 blocks super 1.2\n       \n";
        assert_eq!(said(stopped, &[]), one(Severity::Critical, "RAID array md3 does not run"));
        let broken = "md4 : broken raid0 sdb1[1] sda1[0]\n      2048 blocks super 1.2 512k chunks\n      \n";
        assert_eq!(said(broken, &[])[0].1, "RAID array md4 has failed: too few devices work");
    }

    #[test]
    fn what_a_check_found_counts_until_it_is_repaired() {
        let parity = array("raid6", "sdd1[3] sdc1[2] sdb1[1] sda1[0]", "[4/4] [UUUU]");
        let with = |level: &str, action: &str| {
            let files = [("sys/block/md7/md/mismatch_cnt", "256\n"), ("sys/block/md7/md/last_sync_action", action)];
            said(&parity.replace("raid6", level), &files)
        };
        let differ = "RAID array md7: its devices differed in 128.0 KiB at the last check";
        assert_eq!(with("raid6", "check\n"), one(Severity::Warning, differ));
        assert_eq!(with("raid10", "check\n"), one(Severity::Notice, differ));
        assert_eq!(with("raid6", "repair\n"), []);
        let old = said(&parity, &[("sys/block/md7/md/mismatch_cnt", "8\n")]);
        assert_eq!(old.len(), 1);
    }

    #[test]
    fn what_the_kernel_keeps_of_a_device_is_told() {
        let parity = array("raid5", "sdc1[2] sdb1[1] sda1[0]", "[3/2] [UU_]");
        let files = [
            ("sys/block/md7/md/dev-sda1/state", "in_sync\n"),
            ("sys/block/md7/md/dev-sda1/errors", "12\n"),
            ("sys/block/md7/md/dev-sdb1/state", "in_sync,write_error,want_replacement\n"),
            ("sys/block/md7/md/dev-sdb1/errors", "0\n"),
            ("sys/block/md7/md/dev-sdc1/state", "spare\n"),
            ("sys/block/md7/md/sync_action", "frozen\n"),
            ("sys/block/md7/md/array_state", "suspended\n"),
        ];
        let said: Vec<_> = said(&parity, &files).into_iter().map(|(_, what)| what).collect();
        assert_eq!(
            said,
            [
                "RAID array md7 is degraded: 2 of 3 devices work, slot 2 without a device; rebuilding it is stopped \
                (sync_action is frozen)",
                "RAID array md7: its I/O is suspended",
                "RAID array md7: sdb1 has blocks that cannot be written, is to be replaced",
                "RAID array md7: sda1 has had 12 read errors, mended from the other devices",
            ]
        );
    }

    #[test]
    fn an_array_that_is_rebuilt_says_how_far_it_is() {
        let text = array("raid5", "sdd1[3] sdb1[1] sda1[0]", "[3/2] [UU_]").replace(
            "      \n",
            "      [==>....]  recovery = 12.6% (37043392/292945152) finish=127.5min speed=33440K/sec\n",
        );
        let said: Vec<_> = said(&text, &[]).into_iter().map(|(_, what)| what).collect();
        let degraded = "RAID array md7 is degraded: 2 of 3 devices work";
        assert_eq!(said, [degraded, "RAID array md7: recovery, 13 % done"]);
    }

    #[test]
    fn an_odd_line_is_a_gap_and_the_other_arrays_are_told() {
        let text = format!("md6 : asleep\n      7 blocks [2/1] [U_]\n{}", array("raid1", "sda1[0]", "[2/1] [U_]"));
        let (arrays, gaps) = Tree::new(&[("proc/mdstat", &*text)]).read(read);
        assert_eq!((arrays.unwrap().len(), &*gaps.rows()[0].file), (1, "/proc/mdstat"));
    }
}
