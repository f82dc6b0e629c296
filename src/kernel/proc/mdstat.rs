//! `/proc/mdstat`: software RAID, see md(4) and the kernel's drivers/md/md.c, `md_seq_show`.

use super::{Malformed, decimal};

/// One array.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// `md0`.
    pub name: String,
    /// Whether it runs.
    pub state: ArrayState,
    /// It runs, but takes no writes: until the first one (`auto-read-only`), or for good.
    pub read_only: bool,
    /// `raid1`; arrays that do not run may have none.
    pub level: Option<String>,
    /// Its devices.
    pub devices: Vec<Device>,
    /// Usable bytes.
    pub size: Option<u64>,
    /// How many devices it should have, where the level is redundant.
    pub wanted: Option<u32>,
    /// How many of them work.
    pub present: Option<u32>,
    /// One letter for each wanted device: `U` up, `_` missing.
    pub bitmap: Option<String>,
    /// Whose superblock it has: `1.2`, `non-persistent`, `external:imsm`. `None`: the old one, 0.90.
    pub metadata: Option<String>,
    /// What it is made to do beside its work.
    pub sync: Option<Sync>,
}

/// Whether an array runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArrayState {
    /// It runs.
    Active,
    /// It was not started.
    Inactive,
    /// Too many devices failed; newer kernels say so.
    Broken,
}

/// A device of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// `sda1`.
    pub name: String,
    /// Its number in the array.
    pub number: u32,
    /// `(F)`.
    pub failed: bool,
    /// `(S)`.
    pub spare: bool,
    /// `(J)`: it holds the journal.
    pub journal: bool,
    /// `(W)`: it is only read when no other can be.
    pub write_mostly: bool,
    /// `(R)`: it is to take the place of another.
    pub replacement: bool,
}

/// Work on an array.
#[derive(Debug, Clone, PartialEq)]
pub struct Sync {
    /// `resync`, `recovery`, `check`, `reshape`.
    pub action: String,
    /// How far it is.
    pub progress: Progress,
}

/// How far work on an array is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Progress {
    /// Under way.
    Running {
        /// What is done, 0 to 1.
        ratio: f64,
        /// The same in bytes of the array or, for `recovery`, of each device.
        done: Option<u64>,
        /// Seconds left, as the kernel guesses.
        finish: Option<f64>,
        /// Bytes a second.
        speed: Option<u64>,
    },
    /// It starts with the first write.
    Pending,
    /// Another array on the same disks comes first.
    Delayed,
    /// Another node of the cluster does it.
    Remote,
}

impl Array {
    /// Whether devices are missing.
    pub fn is_degraded(&self) -> bool {
        matches!((self.wanted, self.present), (Some(wanted), Some(present)) if present < wanted)
    }

    /// What kind of container this is, such as `imsm` or `ddf`: the firmware's set of disks, of which arrays are made. It never runs
    /// itself, and holds no data that its arrays do not.
    pub fn container(&self) -> Option<&str> {
        self.metadata.as_deref()?.strip_prefix("external:").filter(|kind| !kind.starts_with(['/', '-']))
    }

    /// The container that this array is made of.
    pub fn made_of(&self) -> Option<&str> {
        let path = self.metadata.as_deref()?.strip_prefix("external:")?;
        // a dash instead of the slash keeps the array read-only
        path.strip_prefix(['/', '-'])?.split('/').next()
    }

    /// The array of a heading, and whether all of it made sense.
    fn heading(line: &str) -> Option<(Self, bool)> {
        let (name, rest) = line.split_once(" : ")?;
        let mut words = rest.split_ascii_whitespace().peekable();
        let state = match words.next()? {
            "active" => ArrayState::Active,
            "inactive" => ArrayState::Inactive,
            "broken" => ArrayState::Broken,
            _ => return None,
        };
        let read_only = words.next_if(|word| word.starts_with('(')).is_some();
        let level = words.next_if(|word| !word.contains('[')).map(str::to_owned);
        let words: Vec<_> = words.collect();
        let devices: Vec<_> = words.iter().filter_map(|word| Device::parse(word)).collect();
        let is_whole = devices.len() == words.len();
        let name = name.trim_ascii().to_owned();
        let [wanted, present] = [None; 2];
        let (size, bitmap, metadata, sync) = (None, None, None, None);
        let array = Self { name, state, read_only, level, devices, size, wanted, present, bitmap, metadata, sync };
        Some((array, is_whole))
    }

    /// Takes what a line below the heading says.
    fn detail(&mut self, line: &str) -> Option<()> {
        let mut words = line.split_ascii_whitespace().peekable();
        let first = words.next()?;
        if words.peek() == Some(&"blocks") {
            self.metadata = words.clone().skip_while(|word| *word != "super").nth(1).map(str::to_owned);
            self.size = Some(first.parse::<u64>().ok()?.saturating_mul(1024));
            for word in words.filter_map(|word| word.strip_prefix('[')?.strip_suffix(']')) {
                if let Some((wanted, present)) = word.split_once('/') {
                    (self.wanted, self.present) = (Some(wanted.parse().ok()?), Some(present.parse().ok()?));
                } else if !word.is_empty() && word.bytes().all(|letter| matches!(letter, b'U' | b'_')) {
                    self.bitmap = Some(word.to_owned());
                }
            }
        } else if let Some(sync) = Sync::parse(line) {
            self.sync = Some(sync?);
        }
        Some(())
    }
}

impl Device {
    fn parse(word: &str) -> Option<Self> {
        let (name, rest) = word.split_once('[')?;
        let (number, marks) = rest.split_once(']')?;
        let has = |mark| marks.contains(mark);
        Some(Self {
            name: name.to_owned(),
            number: number.parse().ok()?,
            failed: has("(F)"),
            spare: has("(S)"),
            journal: has("(J)"),
            write_mostly: has("(W)"),
            replacement: has("(R)"),
        })
    }
}

impl Sync {
    /// `None` for another line, `None` inside for one that makes no sense.
    fn parse(line: &str) -> Option<Option<Self>> {
        let words = line.trim_ascii().trim_start_matches(['[', '=', '>', '.', ']', ' ']);
        let (action, rest) = words.split_once('=')?;
        let action = action.trim_ascii();
        if !matches!(action, "resync" | "recovery" | "check" | "reshape") {
            return None;
        }
        let progress = match rest.trim_ascii() {
            "PENDING" => Some(Progress::Pending),
            "DELAYED" => Some(Progress::Delayed),
            "REMOTE" => Some(Progress::Remote),
            running => Progress::running(running),
        };
        Some(progress.map(|progress| Self { action: action.to_owned(), progress }))
    }
}

impl Progress {
    fn running(text: &str) -> Option<Self> {
        let value = |name: &str, unit: &str| {
            text.split_ascii_whitespace().find_map(|word| word.strip_prefix(name)?.strip_suffix(unit))
        };
        let ratio = (decimal(text.split_once('%')?.0)? / 100.0).clamp(0.0, 1.0);
        let finish = value("finish=", "min")
            .and_then(decimal)
            .map(|minutes| minutes * 60.0)
            .filter(|seconds| seconds.is_finite());
        let speed = value("speed=", "K/sec").and_then(|speed| speed.parse::<u64>().ok()?.checked_mul(1024));
        let done =
            text.split_once('(').and_then(|(_, rest)| rest.split_once('/')?.0.parse::<u64>().ok()?.checked_mul(1024));
        Some(Self::Running { ratio, done, finish, speed })
    }
}

/// Reads the text of `/proc/mdstat`, without what makes no sense; the first line of that kind stands beside it.
pub fn parse(text: &str) -> (Vec<Array>, Option<Malformed>) {
    let (mut arrays, mut odd): (Vec<Array>, _) = (vec![], None);
    // of an array whose heading makes no sense, the details are nobody's
    let mut known = false;
    let told = |line: &&str| !line.starts_with("Personalities") && !line.starts_with("unused devices");
    for line in text.lines().filter(told).filter(|line| !line.trim_ascii().is_empty()) {
        let is_whole = if line.starts_with([' ', '\t']) {
            let array = arrays.last_mut().filter(|_| known);
            array.is_some_and(|array| array.detail(line).is_some())
        } else {
            let heading = Array::heading(line);
            known = heading.is_some();
            heading.is_some_and(|(array, is_whole)| {
                arrays.push(array);
                is_whole
            })
        };
        if !is_whole && odd.is_none() {
            odd = Some(Malformed::line("mdstat", text, line));
        }
    }
    (arrays, odd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Position;

    const MDSTAT: &str = "\
Personalities : [raid1] [raid6] [raid5] [raid4] 
md0 : active raid5 sdd1[3] sdc1[2](F) sdb1[1] sde1[4](S)
      1953260928 blocks super 1.2 level 5, 64k chunk, algorithm 2 [3/2] [UU_]
      [==>..................]  recovery = 12.6% (37043392/292945152) finish=127.5min speed=33440K/sec
      bitmap: 2/15 pages [8KB], 65536KB chunk

md1 : active (auto-read-only) raid1 sdb2[1] sda2[0]
      1048576 blocks [2/2] [UU]
      \tresync=PENDING

md127 : inactive sdf1[0](S)
      976630464 blocks super 1.2
       
unused devices: <none>
";

    fn arrays(text: &str) -> Vec<Array> {
        let (arrays, odd) = parse(text);
        assert_eq!(odd, None);
        arrays
    }

    #[test]
    fn a_failed_device_is_being_replaced() {
        let array = &arrays(MDSTAT)[0];
        assert_eq!(
            (array.name.as_str(), array.state, array.level.as_deref()),
            ("md0", ArrayState::Active, Some("raid5"))
        );
        assert_eq!((array.wanted, array.present, array.bitmap.as_deref()), (Some(3), Some(2), Some("UU_")));
        let marks: Vec<_> = array.devices.iter().map(|device| (device.number, device.failed, device.spare)).collect();
        assert_eq!(marks, [(3, false, false), (2, true, false), (1, false, false), (4, false, true)]);
        let (done, speed) = (Some(37_043_392 << 10), Some(33_440 << 10));
        let progress = Progress::Running { ratio: 0.126, done, finish: Some(7650.0), speed };
        assert_eq!(array.sync, Some(Sync { action: "recovery".into(), progress }));
        assert!(array.is_degraded());
    }

    #[test]
    fn work_may_wait_for_the_first_write() {
        let array = &arrays(MDSTAT)[1];
        assert_eq!((array.read_only, array.size), (true, Some(1 << 30)));
        assert_eq!(array.sync, Some(Sync { action: "resync".into(), progress: Progress::Pending }));
        assert!(!array.is_degraded());
    }

    #[test]
    fn an_array_that_does_not_run_has_no_level() {
        let array = &arrays(MDSTAT)[2];
        assert_eq!((array.state, array.level.as_deref(), array.wanted), (ArrayState::Inactive, None, None));
    }

    #[test]
    fn a_machine_without_arrays_has_none() {
        assert_eq!(arrays("Personalities : \nunused devices: <none>\n"), []);
    }

    #[test]
    fn a_container_of_the_firmware_is_known_from_its_arrays() {
        let arrays = arrays(
            "md126 : active raid1 sdb[1] sda[0]\n      4096 blocks super external:/md127/0 [2/2] [UU]\n\n\
            md125 : active (read-only) raid0 sdb[1] sda[0]\n      4096 blocks super external:-md127/1 64k chunks\n\n\
            md127 : inactive sda[1](S) sdb[0](S)\n      2048 blocks super external:ddf\n       \n",
        );
        let told: Vec<_> = arrays.iter().map(|array| (array.container(), array.made_of())).collect();
        assert_eq!(told, [(None, Some("md127")), (None, Some("md127")), (Some("ddf"), None)]);
        assert_eq!(arrays[0].metadata.as_deref(), Some("external:/md127/0"));
    }

    #[test]
    fn what_makes_no_sense_costs_itself_alone() {
        let text = "      1 blocks\nmd0 : active raid1 sda1[0] ? sdb1[1]\n      8 blocks [2/2] [UU]\n\
            md1 : asleep\n      7 blocks [3/1] [U__]\nmd2 : active raid0 sdc1[0]\n      many blocks\n";
        let (arrays, odd) = parse(text);
        let told: Vec<_> = arrays.iter().map(|array| (&*array.name, array.devices.len(), array.size)).collect();
        assert_eq!(told, [("md0", 2, Some(8192)), ("md2", 1, None)]);
        assert_eq!(
            (arrays[0].wanted, arrays[1].wanted, odd.map(|odd| odd.position)),
            (Some(2), None, Some(Position::Line(1)))
        );
        for (text, line) in [("md1 : asleep\n", 1), ("md0 : active raid1 sda1[0] ?\n", 1)] {
            assert_eq!(parse(text).1.map(|odd| odd.position), Some(Position::Line(line)));
        }
    }
}
