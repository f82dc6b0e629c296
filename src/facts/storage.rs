//! All that stores data, read once for one answer: filesystems, block devices, RAID arrays, pools.

use std::{collections::HashMap, sync::Arc};

use super::{
    blocks::{Blocks, Counters},
    btrfs::{self, Btrfs},
    filesystems::{Filesystem, Filesystems, lossy},
    health::{self, Health},
    problem::Problems,
    raid::{self, Array},
    zfs::{self, Pool},
};
use crate::{
    gap::Reader,
    host::{Machine, Window},
};

/// What stores data.
#[derive(Clone, Debug, Default)]
pub struct Storage {
    /// The filesystems that can be seen.
    pub filesystems: Filesystems,
    /// The block devices.
    pub blocks: Blocks,
    /// Software RAID; `None` where the kernel has none.
    pub arrays: Option<Vec<Array>>,
    /// `None` without ZFS.
    pub pools: Option<Vec<Pool>>,
    /// The btrfs filesystems.
    pub btrfs: Vec<Btrfs>,
    /// What the kernel knows of the health of filesystems that cannot be seen here, by the name of their device.
    unseen: Vec<(String, Health)>,
}

impl Storage {
    /// Reads it. `all`: also overlays of containers by themselves, and snapshots. `gone`: whether nobody waits any more; what was not asked
    /// by then is not asked.
    pub fn read(
        machine: &Arc<Machine>,
        reader: &Reader<'_>,
        window: &Window,
        all: bool,
        gone: &dyn Fn() -> bool,
    ) -> Self {
        let numbers = numbers(window);
        let (known, mut unseen): (Vec<_>, Vec<_>) =
            health::read(reader).into_iter().partition(|(device, _)| numbers.contains_key(&**device));
        let numbered = known.iter().filter_map(|(device, health)| Some((*numbers.get(&**device)?, *health)));
        let health: HashMap<_, _> = numbered.collect();
        let filesystems = Filesystems::read(machine, reader, all, &health, gone);
        let seen = |device: &str| {
            let number = numbers.get(device);
            let is_on = |one: &Filesystem| number == Some(&(one.mounted.mount.major, one.mounted.mount.minor));
            filesystems.all.iter().any(is_on)
        };
        unseen.extend(known.into_iter().filter(|(device, health)| !health.is_well() && !seen(device)));
        Self {
            blocks: Blocks::read(reader, Counters::of(window)),
            arrays: raid::read(reader),
            pools: zfs::read(reader),
            btrfs: btrfs::read(reader),
            filesystems,
            unseen,
        }
    }

    /// What is wrong with it.
    pub fn problems(&self, problems: &mut Problems) {
        self.filesystems.problems(problems);
        for (device, health) in self.unseen.iter().filter(|(_, health)| !health.is_well()) {
            problems.warning("disks", format!("filesystem on {device}: {health}"));
        }
        self.arrays.iter().flatten().for_each(|array| array.problems(problems));
        self.pools.iter().flatten().for_each(|pool| pool.problems(problems));
        for one in &self.btrfs {
            one.problems(self.place_of(one).as_deref(), problems);
        }
        self.blocks.problems(problems);
    }

    /// Where a btrfs is mounted: by the device that its mount names, or because there is no other.
    fn place_of(&self, btrfs: &Btrfs) -> Option<String> {
        let mounted: Vec<&Filesystem> =
            self.filesystems.all.iter().filter(|one| one.mounted.mount.fs_type == b"btrfs").collect();
        let is_made_of = |one: &&&Filesystem| {
            let source = lossy(&one.mounted.mount.source);
            let device = source.rsplit('/').next().unwrap_or_default();
            btrfs.blocks.iter().any(|block| block == device)
        };
        let found = mounted.iter().find(is_made_of);
        let only = || mounted.first().filter(|_| mounted.len() == 1 && self.btrfs.len() == 1);
        found.or_else(only).map(|one| one.mount_point())
    }
}

/// The device numbers of all block devices, partitions included.
fn numbers(window: &Window) -> HashMap<&str, (u32, u32)> {
    let disks = window.now.disks.iter().flatten();
    disks.map(|disk| (&*disk.name, (disk.major, disk.minor))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filesystems::tests::filesystems;

    /// A btrfs of two devices, of which only one is there.
    fn degraded(uuid: &str, block: &str) -> Btrfs {
        let device = |id, missing| btrfs::Device { id, missing: Some(missing), errors: None };
        let devices = vec![device(1, false), device(2, true)];
        Btrfs { uuid: uuid.to_owned(), label: None, blocks: vec![block.to_owned()], devices }
    }

    fn said(storage: &Storage) -> Vec<String> {
        let mut problems = Problems::default();
        storage.problems(&mut problems);
        problems.sorted().into_iter().map(|problem| problem.what).collect()
    }

    #[test]
    fn a_btrfs_is_named_by_its_place_or_by_what_there_is() {
        let one = [("20 1 0:40 / /data rw - btrfs /dev/mapper/data rw", 10, 9)];
        let two =
            [("20 1 0:40 / /data rw - btrfs /dev/sdb rw", 10, 9), ("21 1 0:41 / /more rw - btrfs /dev/sdc rw", 10, 9)];
        let with = |table: &[(&str, u64, u64)], btrfs: Vec<Btrfs>| {
            said(&Storage { filesystems: filesystems(table), btrfs, ..Storage::default() })
        };
        assert_eq!(with(&one, vec![degraded("a", "dm-0")]), ["btrfs /data: 1 of 2 devices is missing"]);
        let both = with(&two, vec![degraded("a", "sdc"), degraded("b", "sdd")]);
        assert_eq!(both, ["btrfs /more: 1 of 2 devices is missing", "btrfs b: 1 of 2 devices is missing"]);
    }

    #[test]
    fn errors_of_a_filesystem_that_is_mounted_elsewhere_are_told_by_its_device() {
        let unseen = vec![("sdb1".to_owned(), Health::Errors(3)), ("sdb2".to_owned(), Health::Errors(0))];
        let what = "filesystem on sdb1: the kernel has recorded 3 errors in it; check it";
        assert_eq!(said(&Storage { unseen, ..Storage::default() }), [what]);
    }
}
