//! The lanes: calls of one kind run in places and on threads of their own, so that a kind that hangs or floods stops no other.
//!
//! One table has one line for each lane. The gate, the configuration and the number of threads follow from it.

use std::ops::{Index, IndexMut};

/// What a call needs: the machine's own files, the Docker Engine, a disk that may not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Reads the kernel's files.
    Machine,
    /// Reads what processes themselves hold, such as their arguments: one that is stuck keeps its reader.
    Process,
    /// Asks the Docker Engine.
    Docker,
    /// Looks at files of callers' directories, for a moment.
    Files,
    /// Reads such files for longer than a moment: checksums, large files.
    Bulk,
    /// Searches directories.
    Search,
    /// Changes files.
    Write,
    /// Changes containers, images, volumes and networks.
    Deploy,
    /// Starts and stops containers.
    Control,
    /// Pulls an image. A call of another lane enters it as well, for the time of the pull.
    Pull,
    /// Lists the tools.
    List,
}

/// The lanes. A caller's share is one of so many parts of the running calls and of the waiting ones. Without a waiting room, a call that
/// finds no place is refused at once. `HANGS`: a disk or a file server that does not answer keeps a call's thread, and so its place.
///
/// One more lane is a variant of [`Lane`], a line here, and a key of `limits` in the configuration.
#[rustfmt::skip]
const TABLE: [Spec; 11] = [
    //   lane           key        what runs in it                         running waiting parts a minute
    spec(Lane::Machine, "machine", "readings of the machine",                   32,  1024,   4,  None,      ENDS),
    spec(Lane::Process, "process", "readings of processes",                      8,   256,   4,  None,      HANGS),
    spec(Lane::Docker,  "docker",  "questions to the Docker Engine",            32,   512,   4,  None,      ENDS),
    spec(Lane::Files,   "files",   "readings of files",                         16,   256,   4,  None,      HANGS),
    spec(Lane::Bulk,    "bulk",    "long readings of files",                     4,   128,   2,  None,      HANGS),
    spec(Lane::Search,  "search",  "searches",                                   4,   128,   2,  Some(60),  HANGS),
    spec(Lane::Write,   "write",   "changes of files",                          16,     0,   2,  Some(30),  HANGS),
    spec(Lane::Deploy,  "deploy",  "changes of containers, images and volumes", 16,     0,   2,  Some(30),  ENDS),
    spec(Lane::Control, "control", "starts and stops of containers",             8,     0,   2,  Some(30),  ENDS),
    spec(Lane::Pull,    "pull",    "pulls of images",                            4,     0,   2,  None,      ENDS),
    spec(Lane::List,    "list",    "lists of tools",                            16,   256,   4,  Some(600), ENDS),
];

const HANGS: bool = true;
const ENDS: bool = false;

/// One line of the table.
#[derive(Debug)]
pub struct Spec {
    /// Which lane it is.
    pub lane: Lane,
    /// Its key in the configuration, and the name of its threads.
    pub key: &'static str,
    /// What runs in it, in the plural.
    pub what: &'static str,
    /// Calls that run at the same time, by default.
    running: u32,
    /// Calls that wait for a place, by default. Zero: none ever waits.
    waiting: u32,
    /// One caller has one part of so many of both.
    pub parts: usize,
    /// Calls of one caller in a minute, by default; of all callers together four times as many. `None`: no such limit.
    per_minute: Option<u32>,
    /// Whether a call can keep its place for ever.
    pub hangs: bool,
}

#[expect(clippy::too_many_arguments, reason = "a line of a table")]
const fn spec(
    lane: Lane,
    key: &'static str,
    what: &'static str,
    running: u32,
    waiting: u32,
    parts: usize,
    per_minute: Option<u32>,
    hangs: bool,
) -> Spec {
    Spec { lane, key, what, running, waiting, parts, per_minute, hangs }
}

impl Spec {
    /// The most calls that the configuration can let run at the same time. The lane has so many threads.
    pub const fn most_running(&self) -> u32 {
        self.running * 8
    }

    /// Whether calls can wait for a place.
    pub const fn has_waiting_room(&self) -> bool {
        self.waiting > 0
    }

    /// Whether the calls of one caller in a minute are limited.
    pub const fn has_rate(&self) -> bool {
        self.per_minute.is_some()
    }

    /// What it lets in by default.
    pub fn usual(&self) -> Room {
        Room { running: self.running as usize, waiting: self.waiting as usize, per_minute: self.per_minute }
    }
}

impl Lane {
    /// Every lane, in the order of the table.
    pub const ALL: [Self; TABLE.len()] = {
        let (mut all, mut at) = ([Self::Machine; TABLE.len()], 0);
        while at < all.len() {
            all[at] = TABLE[at].lane;
            // a lane is found by its number
            assert!(all[at] as usize == at, "the table is not in the order of the lanes");
            at += 1;
        }
        all
    };

    /// Its line of the table.
    pub fn spec(self) -> &'static Spec {
        static SPECS: [Spec; TABLE.len()] = TABLE;
        &SPECS[self as usize]
    }
}

/// How many calls a lane lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Calls that run at the same time.
    pub running: usize,
    /// Calls that wait for a place.
    pub waiting: usize,
    /// Calls of one caller in a minute.
    pub per_minute: Option<u32>,
}

/// One thing for each lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerLane<T>([T; TABLE.len()]);

impl<T> PerLane<T> {
    /// What `each` gives for each lane.
    pub fn of(each: impl FnMut(Lane) -> T) -> Self {
        Self(Lane::ALL.map(each))
    }

    /// All of them, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}

impl<T> Index<Lane> for PerLane<T> {
    type Output = T;

    fn index(&self, lane: Lane) -> &T {
        &self.0[lane as usize]
    }
}

impl<T> IndexMut<Lane> for PerLane<T> {
    fn index_mut(&mut self, lane: Lane) -> &mut T {
        &mut self.0[lane as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_lane_has_a_key_and_room_of_its_own() {
        let keys: BTreeSet<_> = Lane::ALL.iter().map(|lane| lane.spec().key).collect();
        assert_eq!(keys.len(), Lane::ALL.len());
        for lane in Lane::ALL {
            let spec = lane.spec();
            assert_eq!(spec.lane, lane);
            assert!(spec.running > 0 && spec.parts > 1, "{}: one caller has all places", spec.key);
        }
    }
}
