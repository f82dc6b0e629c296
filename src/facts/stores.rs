//! Which filesystems have their space from one place: one that is full is told once.

use std::collections::HashMap;

use super::{
    filesystems::{Filesystem, Space, lossy, share},
    mounts::Kind,
    problem::{Problems, Severity, first_of, percent, size},
};

/// Filesystems that have their space from one place: what is left to one is left to all.
struct Store<'a> {
    of: Vec<(&'a Filesystem, Space)>,
    /// The ZFS pool.
    pool: Option<String>,
}

/// What is wrong with the space of those that take writes.
pub(super) fn problems<'a>(filesystems: impl Iterator<Item = &'a Filesystem>, problems: &mut Problems) {
    stores(filesystems).iter().for_each(|store| store.problems(problems));
}

/// The stores of all that take writes. Datasets of a ZFS pool share what is left of it, but for those with a quota or a reservation of
/// their own, and so do directories that one server shows with the same figures.
fn stores<'a>(filesystems: impl Iterator<Item = &'a Filesystem>) -> Vec<Store<'a>> {
    let all: Vec<(&Filesystem, Space)> = filesystems.filter_map(|one| Some((one, one.space?))).collect();
    let mut pools: HashMap<&[u8], u64> = HashMap::new();
    for (pool, space) in all.iter().filter_map(|(one, space)| Some((pool(one)?, space))) {
        let left = pools.entry(pool).or_default();
        *left = space.available.max(*left);
    }
    let mut stores: Vec<Store<'a>> = vec![];
    let mut known: HashMap<Shared<'a>, usize> = HashMap::new();
    for (one, space) in all.into_iter().filter(|(one, _)| !one.mounted.mount.has(b"ro")) {
        let shared = match pool(one) {
            Some(pool) => Shared::in_pool(pool, pools.get(pool).copied().unwrap_or(0), &space),
            None => Shared::on_server(one, &space, &known),
        };
        let place = shared.map_or(stores.len(), |shared| *known.entry(shared).or_insert(stores.len()));
        match stores.get_mut(place) {
            Some(store) => store.of.push((one, space)),
            None => {
                let pool = shared.and_then(|shared| shared.pool).map(lossy);
                stores.push(Store { of: vec![(one, space)], pool });
            }
        }
    }
    stores
}

/// The ZFS pool that it is a dataset of.
fn pool(one: &Filesystem) -> Option<&[u8]> {
    let mount = &one.mounted.mount;
    (mount.fs_type == b"zfs").then(|| mount.source.split(|byte| matches!(byte, b'/' | b'@')).next()).flatten()
}

/// What filesystems of one store have in common.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Shared<'a> {
    /// The type, or the ZFS pool.
    name: &'a [u8],
    pool: Option<&'a [u8]>,
    size: u64,
    /// In steps of about a hundredth, as figures move while they are read.
    available: u64,
}

impl<'a> Shared<'a> {
    /// A dataset to which as much is left as to any other of its pool has no quota that it would come to before. `left`: the most that is
    /// left to any. `None`: less is left to it than that.
    fn in_pool(pool: &'a [u8], left: u64, space: &Space) -> Option<Self> {
        let moved = (left / 64).max(16 << 20);
        (left - space.available.min(left) <= moved).then_some(Self {
            name: pool,
            pool: Some(pool),
            size: 0,
            available: 0,
        })
    }

    /// `None`: it shares with nobody, as far as can be told.
    fn on_server(one: &'a Filesystem, space: &Space, known: &HashMap<Self, usize>) -> Option<Self> {
        let mount = &one.mounted.mount;
        if mount.major != 0 || space.size == 0 || one.mounted.kind != Kind::Remote {
            return None;
        }
        let available = ((space.available.max(1 << 20) as f64).log2() * 64.0) as u64;
        let shared = Self { name: &mount.fs_type, pool: None, size: space.size, available };
        // on either side of a border between two steps
        let near = [available.saturating_sub(1), available + 1].map(|available| Self { available, ..shared });
        Some([shared].into_iter().chain(near).find(|shared| known.contains_key(shared)).unwrap_or(shared))
    }
}

impl Store<'_> {
    fn problems(&self, problems: &mut Problems) {
        let full = self.space_problem(problems);
        let mut told = None;
        for (one, space) in &self.of {
            // a full filesystem that makes inodes as needed has no room for these either
            let is_told = full && one.mounted.mount.fs_type == b"xfs";
            if let Some(used) = space.inodes_used_ratio.filter(|used| !is_told && told != Some(*used))
                && let Some(severity) = fullness(used, None)
            {
                told = Some(used);
                let what = format!("filesystem {} has used {} of its inodes", one.mount_point(), percent(used));
                problems.add(severity, "disks", what);
            }
        }
    }

    /// Whether it is too full, which is said once for all that share it.
    fn space_problem(&self, problems: &mut Problems) -> bool {
        let left = self.of.iter().map(|(_, space)| space.available).max().unwrap_or(0);
        let ratio = match &self.pool {
            // what all datasets hold together
            Some(_) => share(self.of.iter().fold(0, |sum, (_, space)| sum.saturating_add(space.used)), left),
            None => self.of.first().and_then(|(_, space)| space.used_ratio),
        };
        let Some((used, severity)) = ratio.and_then(|used| Some((used, fullness(used, Some(left))?))) else {
            return false;
        };
        let points: Vec<String> = self.of.iter().map(|(one, _)| one.mount_point()).collect();
        let full = format!("{} full, {} left", percent(used), size(left));
        let what = match (&self.pool, &points[..]) {
            (_, [point]) => format!("filesystem {point} is {full}"),
            (Some(pool), [first, ..]) => {
                format!("ZFS pool {pool} is {full} ({} datasets, {first} and others)", points.len())
            }
            (None, points) => {
                let points: Vec<&str> = points.iter().map(String::as_str).collect();
                format!("filesystems {} share one store, which is {full}", first_of(&points))
            }
            (Some(_), []) => return false,
        };
        problems.add(severity, "disks", what);
        true
    }
}

/// How full is too full: by a share and, because one per cent of a large disk is still a lot, by what is left.
fn fullness(used: f64, left: Option<u64>) -> Option<Severity> {
    const GIB: u64 = 1 << 30;
    match left {
        _ if used >= 0.99 => Some(Severity::Critical),
        Some(left) if used >= 0.95 && left < 20 * GIB => Some(Severity::Critical),
        Some(left) if used >= 0.90 && left < 100 * GIB => Some(Severity::Warning),
        None if used >= 0.95 => Some(Severity::Critical),
        None if used >= 0.90 => Some(Severity::Warning),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filesystems::tests::{filesystems, said};

    const GIB: u64 = 1 << 30;

    #[test]
    fn a_large_disk_may_be_fuller_than_a_small_one() {
        use Severity::{Critical, Warning};
        assert_eq!(fullness(0.96, Some(400 * GIB)), None);
        assert_eq!(fullness(0.92, Some(5 * GIB)), Some(Warning));
        assert_eq!(fullness(0.96, Some(5 * GIB)), Some(Critical));
        assert_eq!(fullness(0.995, Some(400 * GIB)), Some(Critical));
        assert_eq!(fullness(0.89, Some(0)), None);
        assert_eq!(fullness(0.91, None), Some(Warning));
    }

    #[test]
    fn datasets_of_a_full_pool_are_one_problem_and_one_with_a_quota_its_own() {
        let pool: Vec<String> =
            (0..5).map(|at| format!("{} 0 0:{at} / /vault/d{at} rw - zfs vault/d{at} rw", 10 + at)).collect();
        let mut table: Vec<_> = pool.iter().map(|line| (&**line, 44 * GIB, 4 * GIB)).collect();
        // what is left moves while it is read
        table[3].2 += 1 << 20;
        table.push(("30 0 0:30 / /vault/mail rw - zfs vault/mail rw", 10 * GIB, GIB / 4));
        table.push(("31 0 0:31 / /other rw - zfs other rw", 44 * GIB, 40 * GIB));
        let full = "ZFS pool vault is 98 % full, 4.0 GiB left (5 datasets, /vault/d0 and others)".to_owned();
        let own = "filesystem /vault/mail is 98 % full, 256.0 MiB left".to_owned();
        assert_eq!(said(&filesystems(&table)), [(Severity::Critical, full), (Severity::Critical, own)]);
    }

    #[test]
    fn two_datasets_with_quotas_of_one_size_are_no_full_pool() {
        let table = [
            ("10 0 0:1 / /pool rw - zfs pool rw", 400 * GIB, 400 * GIB),
            ("11 0 0:2 / /pool/a rw - zfs pool/a rw", 8 * GIB, GIB / 2),
            ("12 0 0:3 / /pool/b rw - zfs pool/b rw", 8 * GIB, GIB / 2),
        ];
        let said: Vec<_> = said(&filesystems(&table)).into_iter().map(|(_, what)| what).collect();
        let full = |point: &str| format!("filesystem {point} is 94 % full, 512.0 MiB left");
        assert_eq!(said, [full("/pool/a"), full("/pool/b")]);
    }

    #[test]
    fn a_pool_is_full_though_each_of_its_datasets_holds_little() {
        let lines: Vec<String> =
            (0..50).map(|at| format!("{} 0 0:{at} / /p/{at} rw - zfs p/{at} rw", 10 + at)).collect();
        let table: Vec<_> = lines.iter().map(|line| (&**line, 3 * GIB, GIB)).collect();
        assert_eq!(
            said(&filesystems(&table))[0].1,
            "ZFS pool p is 99 % full, 1.0 GiB left (50 datasets, /p/0 and others)"
        );
    }

    #[test]
    fn directories_that_one_server_shows_with_the_same_figures_are_one_problem() {
        let nas = |at: u32| format!("{} 0 0:{at} / /nas/{at} rw - nfs4 nas:/{at} rw", 10 + at);
        let disk = |at: u32| format!("{} 0 8:{at} / /disk/{at} rw - ext4 /dev/sda{at} rw", 40 + at);
        let lines: Vec<String> = (1..5).map(nas).chain((1..3).map(disk)).collect();
        let table: Vec<_> = lines.iter().map(|line| (&**line, 100 * GIB, 9_653_190)).collect();
        let said: Vec<_> = said(&filesystems(&table)).into_iter().map(|(_, what)| what).collect();
        assert_eq!(
            said,
            [
                "filesystems /nas/1, /nas/2, /nas/3 and 1 more share one store, which is 100 % full, 9.2 MiB left",
                "filesystem /disk/1 is 100 % full, 9.2 MiB left",
                "filesystem /disk/2 is 100 % full, 9.2 MiB left",
            ]
        );
    }
}
