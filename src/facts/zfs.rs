//! The ZFS pools and how they are, see zpoolconcepts(7).

use super::{Seen, problem::Problems};
use crate::{
    exposition::{Exposition, Kind},
    gap::Reader,
};
use kernel::{
    failure::Failure,
    proc::{arcstats, zpool_state::ZpoolState},
};

const DIRECTORY: &str = "proc/spl/kstat/zfs";

/// A pool that is imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// `None`: it cannot be read.
    pub state: Option<ZpoolState>,
}

/// The pools. `None`: there is no ZFS.
pub fn read(reader: &Reader<'_>) -> Option<Vec<Pool>> {
    let names = reader.keep(DIRECTORY, Failure::absent(reader.root().names(DIRECTORY)))??;
    let pool = |name: String| {
        let path = format!("{DIRECTORY}/{name}/state");
        let text = match Failure::absent(reader.root().text(&path)) {
            // a file of counters, or a pool that was exported meanwhile
            Ok(None) => return None,
            text => reader.keep(&path, text).flatten(),
        };
        let state = text.and_then(|text| reader.parsed(&path, ZpoolState::parse(&text)));
        Some(Pool { name, state })
    };
    Some(names.into_iter().filter_map(pool).collect())
}

/// The states of the pools, and everything about the cache.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    const STATES: [&str; 7] = ["online", "degraded", "faulted", "offline", "removed", "unavail", "suspended"];
    let Some(pools) = read(seen.reader) else { return };
    let help = "The state of each pool: 1 for the one that it is in.";
    let mut states = page.family("node_zfs_zpool_state", Kind::Gauge, help);
    for (pool, word) in pools.iter().filter_map(|pool| Some((pool, pool.word()?.to_ascii_lowercase()))) {
        for state in STATES {
            states.add(&[("zpool", &*pool.name), ("state", state)], word == state);
        }
    }
    drop(states);
    let path = format!("{DIRECTORY}/arcstats");
    let Some(text) = seen.reader.text(&path) else { return };
    let figures = seen.reader.lenient(&path, arcstats::figures(&text));
    let figures = figures.into_iter().map(|(name, figure)| (name, figure.into()));
    page.words("node_zfs_arc_", Kind::Untyped, "ZFS's arcstats", figures);
}

impl Pool {
    /// ZFS's own word for its state.
    pub fn word(&self) -> Option<&str> {
        Some(match self.state.as_ref()? {
            ZpoolState::Online => "ONLINE",
            ZpoolState::Degraded => "DEGRADED",
            ZpoolState::Faulted => "FAULTED",
            ZpoolState::Offline => "OFFLINE",
            ZpoolState::Removed => "REMOVED",
            ZpoolState::Unavail => "UNAVAIL",
            ZpoolState::Suspended => "SUSPENDED",
            ZpoolState::Unknown(word) => word,
        })
    }

    /// What is wrong with it.
    pub fn problems(&self, problems: &mut Problems) {
        let why = match &self.state {
            None | Some(ZpoolState::Online) => return,
            Some(ZpoolState::Degraded) => ": devices are missing or faulty",
            Some(ZpoolState::Suspended) => ": all its I/O waits for devices that are gone",
            Some(
                ZpoolState::Faulted
                | ZpoolState::Offline
                | ZpoolState::Removed
                | ZpoolState::Unavail
                | ZpoolState::Unknown(_),
            ) => "",
        };
        let state = self.word().unwrap_or_default();
        problems.critical("disks", format!("ZFS pool {} is {state}{why}", self.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;

    #[test]
    fn every_state_but_online_is_a_problem() {
        let tree = Tree::new(&[
            ("proc/spl/kstat/zfs/arcstats", "size 4 1\n"),
            ("proc/spl/kstat/zfs/a/state", "ONLINE\n"),
            ("proc/spl/kstat/zfs/b/state", "SUSPENDED\n"),
            ("proc/spl/kstat/zfs/c/state", "RESTING\n"),
            ("proc/spl/kstat/zfs/d/txgs", "\n"),
        ]);
        let pools = tree.whole(read).unwrap();
        let mut problems = Problems::default();
        pools.iter().for_each(|pool| pool.problems(&mut problems));
        let said: Vec<_> = problems.sorted().into_iter().map(|problem| problem.what).collect();
        let suspended = "ZFS pool b is SUSPENDED: all its I/O waits for devices that are gone";
        assert_eq!((pools.len(), said), (3, vec![suspended.to_owned(), "ZFS pool c is RESTING".to_owned()]));
    }

    #[test]
    fn a_state_that_says_nothing_is_a_gap_and_without_zfs_there_is_none() {
        let (pools, gaps) = Tree::new(&[("proc/spl/kstat/zfs/a/state", "\n")]).read(read);
        let path = "/proc/spl/kstat/zfs/a/state".to_owned();
        assert_eq!(pools, Some(vec![Pool { name: "a".to_owned(), state: None }]));
        assert_eq!(gaps.rows()[0].file, path);
        assert_eq!(Tree::new(&[]).whole(read), None);
    }
}
