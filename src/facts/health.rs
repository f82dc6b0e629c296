//! What filesystems say of their own health: ext4 counts its errors, f2fs asks to be checked.

use std::fmt;

use super::{Seen, problem::count};
use crate::{
    exposition::{Exposition, Kind},
    gap::Reader,
};

/// What the kernel knows of a filesystem's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Errors found since it was last checked. The count stands in its superblock, so that it outlasts a restart.
    Errors(u64),
    /// It is marked to be checked.
    NeedsCheck,
}

impl Health {
    /// Whether nothing is known to be wrong.
    pub fn is_well(&self) -> bool {
        *self == Self::Errors(0)
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errors(errors) => {
                write!(f, "the kernel has recorded {} in it; check it", count(*errors, "error", "errors"))
            }
            Self::NeedsCheck => f.write_str("it is marked as damaged; check it"),
        }
    }
}

/// The mounted filesystems of which it is known, by the kernel's name of their device. xfs keeps no such record.
pub fn read(reader: &Reader<'_>) -> Vec<(String, Health)> {
    let ext4 = reader.names("sys/fs/ext4").into_iter().filter_map(|device| {
        let errors = reader.number(&format!("sys/fs/ext4/{device}/errors_count"))?;
        Some((device, Health::Errors(errors)))
    });
    let f2fs = reader.names("sys/fs/f2fs").into_iter().filter_map(|device| {
        let health = f2fs(reader, &device)?;
        Some((device, health))
    });
    ext4.chain(f2fs).collect()
}

/// What filesystems have recorded of their errors, by the kernel's name of their device.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let all = read(seen.reader);
    let help = "Errors that the kernel has recorded in each ext4 since it was last checked.";
    let mut errors = page.family("smcp_filesystem_errors", Kind::Gauge, help);
    for (device, health) in all.iter().filter(|(device, _)| seen.reader.root().exists(&format!("sys/fs/ext4/{device}")))
    {
        if let Health::Errors(count) = health {
            errors.add(&[("device", device)], *count);
        }
    }
    drop(errors);
    let help = "Whether a filesystem is marked to be checked, or has recorded errors.";
    let mut damaged = page.family("smcp_filesystem_needs_check", Kind::Gauge, help);
    for (device, health) in &all {
        damaged.add(&[("device", device)], !health.is_well());
    }
}

/// The flags of include/linux/f2fs_fs.h and fs/f2fs/f2fs.h, since Linux 5.19.
fn f2fs(reader: &Reader<'_>, device: &str) -> Option<Health> {
    /// SBI_NEED_FSCK.
    const SUPERBLOCK: u64 = 0x4;
    /// CP_ERROR_FLAG and CP_FSCK_FLAG.
    const CHECKPOINT: u64 = 0x8 | 0x10;
    let flags = |file: &str| {
        let word = reader.word(&format!("sys/fs/f2fs/{device}/stat/{file}"))?;
        u64::from_str_radix(word.trim_start_matches("0x"), 16).ok()
    };
    let (superblock, checkpoint) = (flags("sb_status"), flags("cp_status"));
    superblock.or(checkpoint)?;
    let is_marked = superblock.unwrap_or(0) & SUPERBLOCK != 0 || checkpoint.unwrap_or(0) & CHECKPOINT != 0;
    Some(if is_marked { Health::NeedsCheck } else { Health::Errors(0) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;

    #[test]
    fn ext4_counts_and_f2fs_is_marked() {
        let tree = Tree::new(&[
            ("sys/fs/ext4/features/lazy_itable_init", "supported\n"),
            ("sys/fs/ext4/sda1/errors_count", "0\n"),
            ("sys/fs/ext4/dm-0/errors_count", "3\n"),
            ("sys/fs/f2fs/mmcblk0p2/stat/sb_status", "0\n"),
            ("sys/fs/f2fs/mmcblk0p2/stat/cp_status", "cd\n"),
            ("sys/fs/f2fs/mmcblk0p3/stat/sb_status", "8c\n"),
            ("sys/fs/f2fs/mmcblk0p4/stat/cp_status", "45\n"),
            ("sys/fs/f2fs/mmcblk0p5/dirty_segments", "1\n"),
        ]);
        let found = tree.whole(|reader| {
            read(reader)
                .into_iter()
                .map(|(device, health)| (device, health.to_string(), health.is_well()))
                .collect::<Vec<_>>()
        });
        let told: Vec<_> = found.iter().map(|(device, words, well)| (&**device, &**words, *well)).collect();
        let none = "the kernel has recorded 0 errors in it; check it";
        assert_eq!(
            told,
            [
                ("dm-0", "the kernel has recorded 3 errors in it; check it", false),
                ("sda1", none, true),
                ("mmcblk0p2", "it is marked as damaged; check it", false),
                ("mmcblk0p3", "it is marked as damaged; check it", false),
                ("mmcblk0p4", none, true),
            ]
        );
    }
}
