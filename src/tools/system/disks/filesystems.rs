//! The filesystems as rows: asked for their figures, put in order, and one page of them.

use std::{cmp::Reverse, fmt, io, str::FromStr, sync::Arc};

use rustix::io::Errno;

use super::{
    Filesystem, LeftOut,
    mounts::{self, Kind},
};
use crate::{
    failure::Failure,
    host::{Machine, Statfs},
    page::Page,
    proc::mountinfo::{self, Mount},
};

/// Filesystems that may not answer are asked this many at a time, so that several dead servers cost one wait.
const AT_ONCE: usize = 16;

/// A row's place in the list: those with something wrong first, then the fullest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    is_well: bool,
    used: Reverse<u64>,
    major: u32,
    minor: u32,
    /// The number of its mount.
    id: u32,
}

/// One page of the list.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) total: usize,
    pub(super) rows: Vec<Filesystem>,
    pub(super) next: Option<String>,
    pub(super) left_out: LeftOut,
}

impl FromStr for Rank {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let parse = || {
            let mut parts = text.split('.').map(str::parse::<u64>);
            let mut part = || parts.next()?.ok();
            let [is_well, used] = [part()?, part()?];
            let mut part = || u32::try_from(part()?).ok();
            let rank = Self { is_well: is_well == 1, used: Reverse(used), major: part()?, minor: part()?, id: part()? };
            parts.next().is_none().then_some(rank)
        };
        parse().ok_or(())
    }
}

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}.{}", u8::from(self.is_well), self.used.0, self.major, self.minor, self.id)
    }
}

/// Reads the mount table and asks each filesystem.
pub(super) fn read(machine: &Arc<Machine>, all: bool, page: &Page<Rank>) -> Result<Listed, Failure> {
    let root = &machine.root;
    let table = mountinfo::parse(&root.bytes(&format!("{}/mountinfo", root.own()))?).0;
    let found = mounts::filesystems(&table, !all);
    let answers = ask(machine, &found);
    let mut left_out = LeftOut::default();
    let mut rows: Vec<(Rank, Filesystem)> = vec![];
    for (found, answer) in found.iter().zip(answers) {
        // unmounted meanwhile
        if matches!(&answer, Some(Err(error)) if Errno::from_io_error(error) == Some(Errno::NOENT)) {
            continue;
        }
        match aside(found, answer.as_ref().and_then(|answer| answer.as_ref().ok())) {
            Some(Aside::Pseudo) if !all => left_out.pseudo += 1,
            Some(Aside::Image) if !all => left_out.images += 1,
            Some(Aside::Empty) if !all => left_out.empty_tmpfs += 1,
            _ => {
                let row = row(found, answer);
                rows.push((rank(found, &row), row));
            }
        }
    }
    rows.sort_by_key(|(rank, _)| *rank);
    let total = rows.len();
    let (rows, next) = page.by_key(rows);
    Ok(Listed { total, rows, next, left_out })
}

/// Why a filesystem is not in the list unless all are asked for.
enum Aside {
    Pseudo,
    Image,
    Empty,
}

fn aside(found: &mounts::Filesystem, statfs: Option<&Statfs>) -> Option<Aside> {
    let is_empty = statfs.is_some_and(|statfs| statfs.bytes == statfs.bytes_free);
    // whatever the root is, it is what the machine runs from
    let is_root = found.mount.mount_point == b"/";
    match found.kind {
        Kind::Pseudo => Some(Aside::Pseudo),
        // df leaves these out as well
        _ if statfs.is_some_and(|statfs| statfs.bytes == 0) => Some(Aside::Pseudo),
        _ if is_root => None,
        Kind::Image => Some(Aside::Image),
        Kind::Memory if is_empty => Some(Aside::Empty),
        // an AppImage is one, a DVD another
        Kind::Remote | Kind::Local
            if (found.mount.fs_type.starts_with(b"fuse.") || found.mount.fs_type == b"udf")
                && found.mount.has(b"ro")
                && statfs.is_some_and(|statfs| statfs.bytes_free == 0) =>
        {
            Some(Aside::Image)
        }
        Kind::Local | Kind::Remote | Kind::Memory | Kind::Overlay => None,
    }
}

/// Their answers, in their order; `None` where there is nothing to ask.
fn ask(machine: &Arc<Machine>, found: &[mounts::Filesystem]) -> Vec<Option<io::Result<Statfs>>> {
    let is_asked = |found: &mounts::Filesystem| found.kind != Kind::Pseudo;
    let mut answers: Vec<_> = found
        .iter()
        .map(|found| (is_asked(found) && !found.may_hang).then(|| machine.statfs(&found.mount.mount_point, false)))
        .collect();
    let slow: Vec<usize> = (0..found.len()).filter(|at| is_asked(&found[*at]) && found[*at].may_hang).collect();
    for some in slow.chunks(AT_ONCE) {
        std::thread::scope(|scope| {
            let asking = some.iter().map(|at| {
                let point = &found[*at].mount.mount_point;
                (*at, scope.spawn(move || machine.statfs(point, true)))
            });
            for (at, asked) in asking.collect::<Vec<_>>() {
                answers[at] = asked.join().ok();
            }
        });
    }
    answers
}

fn row(found: &mounts::Filesystem, answer: Option<io::Result<Statfs>>) -> Filesystem {
    let mount = &found.mount;
    let mut note = read_only_note(mount, found.kind).map(str::to_owned);
    let statfs = match answer {
        Some(Ok(statfs)) if lies_elsewhere(mount, &statfs) => {
            note = Some("not visible to this server".to_owned());
            None
        }
        Some(Ok(statfs)) => Some(statfs),
        Some(Err(error)) => {
            note = Some(error_note(&error));
            None
        }
        None => None,
    };
    let used = statfs.map(|statfs| statfs.bytes.saturating_sub(statfs.bytes_free));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Filesystem {
        mount_point: text(&mount.mount_point),
        device: text(&mount.source),
        fs_type: text(&mount.fs_type),
        size_bytes: statfs.map(|statfs| statfs.bytes),
        used_bytes: used,
        available_bytes: statfs.map(|statfs| statfs.bytes_available),
        used_ratio: statfs.zip(used).and_then(|(statfs, used)| share(used, statfs.bytes_available)),
        inodes_used_ratio: statfs.and_then(|statfs| {
            let used = statfs.inodes.saturating_sub(statfs.inodes_free);
            // btrfs, vfat and others make inodes as needed and say 0
            (statfs.inodes > 0).then(|| share(used, statfs.inodes_free))?
        }),
        read_only: mount.has(b"ro"),
        mounts: found.mounts,
        note,
    }
}

fn rank(found: &mounts::Filesystem, row: &Filesystem) -> Rank {
    let fullest = row.used_ratio.unwrap_or(0.0).max(row.inodes_used_ratio.unwrap_or(0.0));
    let mount = &found.mount;
    Rank {
        is_well: row.note.is_none(),
        // a ratio of ten thousandths
        used: Reverse((fullest.clamp(0.0, 1.0) * 1e4).round() as u64),
        major: mount.major,
        minor: mount.minor,
        id: mount.id,
    }
}

/// Used by used and free, in ten thousandths, rounded up as df rounds up its percents: rounding again cannot make 27 % of 27.004 %.
fn share(used: u64, free: u64) -> Option<f64> {
    let (used, all) = (u128::from(used), u128::from(used) + u128::from(free));
    let share = (used * 10_000).div_ceil((all > 0).then_some(all)?);
    Some(u32::try_from(share).ok()?.into()).map(|share: f64| share / 1e4)
}

/// Whether the mount point leads to another filesystem here than on the machine: a mounted `/` need not show what was mounted later.
fn lies_elsewhere(mount: &Mount, statfs: &Statfs) -> bool {
    // subvolumes have device numbers that are in no mount table
    mount.fs_type != b"btrfs" && statfs.device.is_some_and(|device| device != (mount.major, mount.minor))
}

fn error_note(error: &io::Error) -> String {
    match (error.kind(), Errno::from_io_error(error)) {
        (io::ErrorKind::TimedOut, _) => "no answer".to_owned(),
        (io::ErrorKind::ResourceBusy, None) => "not asked: too many others do not answer".to_owned(),
        (_, Some(Errno::ACCESS | Errno::PERM)) => "denied".to_owned(),
        (_, Some(Errno::STALE)) => "error: the server no longer has it".to_owned(),
        (_, Some(Errno::NOTCONN)) => "error: its program has ended".to_owned(),
        (_, Some(Errno::IO)) => "error: input/output error".to_owned(),
        (_, Some(errno)) => format!("error {}", errno.raw_os_error()),
        (_, None) => "error".to_owned(),
    }
}

/// What the mount table tells of a filesystem that takes no writes any more. Who mounts one read-only sets the option of the mount and that
/// of the filesystem; the kernel, after an error, sets only the latter.
fn read_only_note(mount: &Mount, kind: Kind) -> Option<&'static str> {
    let has = |list: &[u8], option: &[u8]| list.split(|byte| *byte == b',').any(|have| have == option);
    let filesystem = |option: &[u8]| has(&mount.super_options, option);
    if filesystem(b"emergency_ro") {
        // Linux 6.15 sets this instead
        return Some("read-only since an error");
    }
    if filesystem(b"shutdown") {
        return Some("shut down since an error");
    }
    if !filesystem(b"ro") || matches!(kind, Kind::Image | Kind::Pseudo | Kind::Memory) {
        return None;
    }
    if has(&mount.options, b"rw") {
        Some("read-only since an error")
    } else {
        filesystem(b"errors=remount-ro").then_some("read-only: mounted so, or since an error")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(line: &str) -> Mount {
        mountinfo::parse(line.as_bytes()).0.remove(0)
    }

    #[test]
    fn ratios_round_up_as_df_does() {
        // df says 27 % of 25586987008 used and 71985762304 available
        assert_eq!(share(25_586_987_008, 71_985_762_304), Some(0.2623));
        assert_eq!(share(1, u64::MAX), Some(0.0001));
        assert_eq!(share(0, 10), Some(0.0));
        assert_eq!(share(27, 73), Some(0.27));
        assert_eq!(share(7, 0), Some(1.0));
        assert_eq!(share(0, 0), None);
    }

    #[test]
    fn a_filesystem_that_the_kernel_made_read_only_is_told_from_one_that_was_mounted_so() {
        let note = |line| read_only_note(&mount(line), Kind::Local);
        let failed = Some("read-only since an error");
        assert_eq!(note("1 0 8:1 / / rw,relatime - ext4 /dev/sda1 ro,errors=remount-ro\n"), failed);
        assert_eq!(note("1 0 8:1 / / rw - btrfs /dev/sda1 ro\n"), failed);
        assert_eq!(note("1 0 8:1 / / rw - ext4 /dev/sda1 rw,emergency_ro\n"), failed);
        assert_eq!(note("1 0 8:1 / / ro - ext4 /dev/sda1 ro\n"), None);
        assert_eq!(note("1 0 8:1 / / ro - ext4 /dev/sda1 rw\n"), None);
        assert_eq!(note("1 0 8:1 / / rw - ext4 /dev/sda1 rw,errors=remount-ro\n"), None);
        assert!(note("1 0 8:1 / / ro - ext4 /dev/sda1 ro,errors=remount-ro\n").unwrap().contains("or since"));
        assert_eq!(read_only_note(&mount("1 0 7:1 / /snap rw - squashfs /dev/loop1 ro\n"), Kind::Image), None);
    }

    #[test]
    fn a_cursor_survives_the_way_to_the_caller_and_back() {
        let rank = Rank { is_well: true, used: Reverse(2623), major: 254, minor: 7, id: 41 };
        assert_eq!(rank.to_string().parse(), Ok(rank));
        for wrong in ["", "1", "1.2.3.4", "1.2.3.4.5.6", "a.b.c.d.e", "1.2.3.4.99999999999"] {
            assert_eq!(wrong.parse::<Rank>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn trouble_comes_first_then_the_fullest() {
        let rank = |is_well, used, minor| Rank { is_well, used: Reverse(used), major: 8, minor, id: 1 };
        let mut ranks = [rank(true, 10, 1), rank(true, 9_000, 2), rank(false, 0, 3)];
        ranks.sort_unstable();
        assert_eq!(ranks.map(|rank| rank.minor), [3, 2, 1]);
    }

    #[test]
    fn silence_and_refusal_have_words() {
        assert_eq!(error_note(&io::ErrorKind::TimedOut.into()), "no answer");
        assert_eq!(error_note(&Errno::ACCESS.into()), "denied");
        assert_eq!(error_note(&Errno::TIMEDOUT.into()), "no answer");
        assert_eq!(error_note(&Errno::IO.into()), "error: input/output error");
    }

    #[test]
    fn empty_memory_images_and_what_has_no_blocks_are_aside_but_never_the_root() {
        let found = |line: &str| {
            let mounts = mountinfo::parse(line.as_bytes()).0;
            mounts::filesystems(&mounts, true).remove(0)
        };
        let statfs = |bytes, bytes_free| Statfs {
            bytes,
            bytes_free,
            bytes_available: bytes_free,
            inodes: 0,
            inodes_free: 0,
            device: None,
        };
        let aside = |line, statfs| aside(&found(line), Some(&statfs));
        assert!(matches!(aside("1 0 0:5 / /run rw - tmpfs tmpfs rw\n", statfs(10, 10)), Some(Aside::Empty)));
        assert!(aside("1 0 0:5 / /run rw - tmpfs tmpfs rw\n", statfs(10, 9)).is_none());
        assert!(matches!(aside("1 0 7:5 / /snap rw - squashfs a ro\n", statfs(10, 0)), Some(Aside::Image)));
        assert!(aside("1 0 7:5 / / ro - squashfs a ro\n", statfs(10, 0)).is_none());
        assert!(matches!(aside("1 0 0:5 / /x rw - newfs a rw\n", statfs(0, 0)), Some(Aside::Pseudo)));
        assert!(aside("1 0 0:5 / /x rw - ext4 /dev/sda1 rw\n", statfs(10, 0)).is_none());
    }
}
