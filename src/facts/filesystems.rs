//! The filesystems: their space and inodes, and what is wrong with them.

use std::{
    cmp::Reverse,
    collections::HashMap,
    fmt, io,
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::io::Errno;

use super::{
    Seen,
    health::Health,
    mounts::{Kind, Mounted, Mounts},
    problem::{Problems, Severity, first_of},
    stores,
};
use crate::{
    exposition::{Column, Exposition, Kind as Figure},
    gap::Reader,
    host::{Machine, Statfs},
};
use kernel::proc::mountinfo::{Mount, has};

/// Filesystems that may not answer are asked this many at a time, so that several dead servers cost one wait.
const AT_ONCE: usize = 16;

/// Filesystems that are asked one after the other before somebody looks whether the answer is still waited for.
const IN_A_ROW: usize = 256;

/// Problems of one kind that are told one by one; more of them are told as one.
const MOST_ALIKE: usize = 3;

/// One filesystem.
#[derive(Clone, Debug)]
pub struct Filesystem {
    /// What is mounted, and where.
    pub mounted: Mounted,
    /// Its figures; `None` where it has none, or nobody told.
    pub space: Option<Space>,
    /// What is wrong with it, or why there are no figures.
    pub note: Option<Note>,
    /// Why it is worth no row among others.
    pub aside: Option<Aside>,
    /// What the kernel knows of its health.
    pub health: Option<Health>,
}

/// How full it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Space {
    /// Bytes in all.
    pub size: u64,
    /// Bytes in use: all less those free.
    pub used: u64,
    /// Bytes that a program without privileges may still write.
    pub available: u64,
    /// Used by used and available, rounded up, as df has it.
    pub used_ratio: Option<f64>,
    /// The same of inodes; `None` where they are made as needed.
    pub inodes_used_ratio: Option<f64>,
}

/// What is wrong with a filesystem, or why it has no figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The server lacks the right to ask it.
    Denied,
    /// Another filesystem lies there in the server's view of the tree.
    Elsewhere,
    /// Its server or program does not answer.
    Silent,
    /// Too many others do not answer.
    NotAsked,
    /// It answers with an error.
    Failing(String),
    /// It takes no writes since an error.
    ReadOnlySinceError,
    /// It was shut down since an error.
    ShutDown,
    /// It takes no writes; the kernel does not say why.
    ReadOnly,
    /// It takes writes, and is damaged.
    Damaged(Health),
}

/// Why a filesystem is worth no row unless all are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aside {
    /// It holds no data.
    Pseudo,
    /// It is read-only by nature.
    Image,
    /// It is in memory, and empty.
    Empty,
}

/// A row's place in a list: those with something wrong first, then the fullest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    is_well: bool,
    /// In ten thousandths.
    used: Reverse<u64>,
    major: u32,
    minor: u32,
    /// The number of its mount.
    id: u32,
}

/// All filesystems.
#[derive(Clone, Debug, Default)]
pub struct Filesystems {
    /// In the order of the mount table.
    pub all: Vec<Filesystem>,
    /// Mounts in all, hidden ones included.
    pub mounts: usize,
    /// The mounts that the kernel allows in one namespace, since Linux 4.9.
    pub most_mounts: Option<u64>,
    /// The mount point on which most mounts lie, and how many.
    pub most_stacked: Option<(String, usize)>,
}

impl Filesystems {
    /// Reads the mount table and asks each filesystem. One that is unmounted meanwhile is left out. `all`: also those that are aside, and
    /// overlays of containers by themselves. `health`: by device number. `gone`: whether nobody waits any more.
    pub fn read(
        machine: &Arc<Machine>,
        reader: &Reader<'_>,
        all: bool,
        health: &HashMap<(u32, u32), Health>,
        gone: &dyn Fn() -> bool,
    ) -> Self {
        let Mounts { filesystems, total, most_stacked } = Mounts::read(reader, !all);
        // asking for a snapshot of ZFS would keep it mounted
        let is_snapshot = |one: &Mounted| one.kind == Kind::Image && one.mount.fs_type == b"zfs";
        let is_asked = |one: &Mounted| one.kind != Kind::Pseudo && (all || !is_snapshot(one));
        let answers = ask(machine, &filesystems, &is_asked, gone);
        let is_gone = |error: &io::Error| Errno::from_io_error(error) == Some(Errno::NOENT);
        let is_there = |answer: &Option<io::Result<Statfs>>| !matches!(answer, Some(Err(error)) if is_gone(error));
        let all = filesystems.into_iter().zip(answers).filter(|(_, answer)| is_there(answer));
        Self {
            all: all.map(|(mounted, answer)| Filesystem::of(mounted, answer, health)).collect(),
            mounts: total,
            most_mounts: reader.number("proc/sys/fs/mount-max"),
            most_stacked: most_stacked.map(|(point, number)| (lossy(&point), number)),
        }
    }

    /// Those that are worth a row.
    pub fn listed(&self) -> impl Iterator<Item = &Filesystem> {
        self.all.iter().filter(|one| one.aside.is_none())
    }

    /// What is wrong with them.
    pub fn problems(&self, problems: &mut Problems) {
        self.mount_problems(problems);
        stores::problems(self.listed(), problems);
        self.note_problems(problems);
    }

    /// Mounts that leak slow everything that reads the table, and one day none can be added.
    fn mount_problems(&self, problems: &mut Problems) {
        const MANY: usize = 10_000;
        /// What the kernel allows if nobody says otherwise.
        const DEFAULT: u64 = 100_000;
        const STACKED: usize = 100;
        let most = self.most_mounts.filter(|most| *most > 0);
        let is_near = self.mounts as f64 / most.unwrap_or(DEFAULT) as f64 >= 1.0 / 3.0;
        let severity = if is_near { Severity::Critical } else { Severity::Warning };
        let is_many = is_near || self.mounts >= MANY;
        let stacked = self.most_stacked.as_ref().filter(|(_, number)| *number >= STACKED);
        // where most of them lie on one mount point, that is the fault
        let is_stack = stacked.is_some_and(|(_, number)| *number > self.mounts / 2);
        if is_many && !is_stack {
            let of = most.map_or(String::new(), |most| format!("; the kernel allows {most}"));
            problems.add(severity, "disks", format!("there are {} mounts{of}", self.mounts));
        }
        if let Some((point, number)) = stacked {
            let severity = if is_many && is_stack { severity } else { Severity::Warning };
            problems.add(severity, "disks", format!("one mount point is mounted {number} times: {point}"));
        }
    }

    /// Faults of a kind that many filesystems have at once, such as those of one dead server, are one problem.
    fn note_problems(&self, problems: &mut Problems) {
        let mut kinds: Vec<(&Note, Vec<String>)> = vec![];
        let mut known: HashMap<String, usize> = HashMap::new();
        for one in self.listed() {
            let Some(note) = one.note.as_ref().filter(|note| note.severity().is_some()) else { continue };
            let place = *known.entry(note.to_string()).or_insert(kinds.len());
            if place == kinds.len() {
                kinds.push((note, vec![]));
            }
            kinds[place].1.push(one.mount_point());
        }
        for (note, points) in kinds {
            let Some(severity) = note.severity() else { continue };
            if points.len() > MOST_ALIKE {
                let points: Vec<&str> = points.iter().map(String::as_str).collect();
                let what = format!("{} filesystems: {note} ({})", points.len(), first_of(&points));
                problems.add(severity, "disks", what);
            } else {
                for point in points {
                    problems.add(severity, "disks", format!("filesystem {point}: {note}"));
                }
            }
        }
    }
}

impl Filesystem {
    fn of(mounted: Mounted, answer: Option<io::Result<Statfs>>, health: &HashMap<(u32, u32), Health>) -> Self {
        let mount = &mounted.mount;
        let health = health.get(&(mount.major, mount.minor)).copied();
        let mut note = read_only(mount, mounted.kind, health);
        let statfs = match answer {
            Some(Ok(statfs)) if lies_elsewhere(mount, &statfs) => {
                note = Some(Note::Elsewhere);
                None
            }
            Some(Ok(statfs)) => Some(statfs),
            Some(Err(error)) => {
                note = Some(Note::of(&error));
                None
            }
            None => None,
        };
        let note = note.or(health.filter(|health| !health.is_well()).map(Note::Damaged));
        let aside = aside(&mounted, statfs.as_ref());
        let space = statfs.map(|statfs| Space::of(mount, &statfs));
        Self { mounted, space, note, aside, health }
    }

    /// Where it is mounted.
    pub fn mount_point(&self) -> String {
        lossy(&self.mounted.mount.mount_point)
    }

    /// Its place in a list.
    pub fn rank(&self) -> Rank {
        let ratio = |of: fn(&Space) -> Option<f64>| self.space.as_ref().and_then(of).unwrap_or(0.0);
        let fullest = ratio(|space| space.used_ratio).max(ratio(|space| space.inodes_used_ratio));
        let mount = &self.mounted.mount;
        Rank {
            is_well: self.note.as_ref().is_none_or(|note| note.severity().is_none()),
            used: Reverse((fullest.clamp(0.0, 1.0) * 1e4).round() as u64),
            major: mount.major,
            minor: mount.minor,
            id: mount.id,
        }
    }
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

impl Space {
    fn of(mount: &Mount, statfs: &Statfs) -> Self {
        let used = statfs.bytes.saturating_sub(statfs.bytes_free);
        let inodes_used = statfs.inodes.saturating_sub(statfs.inodes_free);
        // btrfs, vfat and others say 0; ZFS says how many would fit into what is free
        let has_inodes = statfs.inodes > 0 && mount.fs_type != b"zfs";
        Self {
            size: statfs.bytes,
            used,
            available: statfs.bytes_available,
            used_ratio: share(used, statfs.bytes_available),
            inodes_used_ratio: has_inodes.then(|| share(inodes_used, statfs.inodes_free)).flatten(),
        }
    }
}

/// Used by used and free, in ten thousandths, rounded up as df rounds up its percents: rounding again cannot make 27 % of 27.004 %.
pub(super) fn share(used: u64, free: u64) -> Option<f64> {
    let (used, all) = (u128::from(used), u128::from(used) + u128::from(free));
    let share = (used * 10_000).div_ceil((all > 0).then_some(all)?);
    Some(u32::try_from(share).ok()?.into()).map(|share: f64| share / 1e4)
}

fn aside(mounted: &Mounted, statfs: Option<&Statfs>) -> Option<Aside> {
    let mount = &mounted.mount;
    let is_empty = statfs.is_some_and(|statfs| statfs.bytes == statfs.bytes_free);
    // whatever the root is, it is what the machine runs from
    let is_root = mount.mount_point == b"/";
    match mounted.kind {
        Kind::Pseudo => Some(Aside::Pseudo),
        // df leaves these out as well
        _ if statfs.is_some_and(|statfs| statfs.bytes == 0) => Some(Aside::Pseudo),
        _ if is_root => None,
        Kind::Image => Some(Aside::Image),
        Kind::Memory if is_empty => Some(Aside::Empty),
        // an AppImage is one, a DVD another
        Kind::Remote | Kind::Local
            if (mount.fs_type.starts_with(b"fuse.") || mount.fs_type == b"udf")
                && mount.has(b"ro")
                && statfs.is_some_and(|statfs| statfs.bytes_free == 0) =>
        {
            Some(Aside::Image)
        }
        Kind::Local | Kind::Remote | Kind::Memory | Kind::Overlay => None,
    }
}

/// Their answers, in their order; `None` where there is nothing to ask.
fn ask(
    machine: &Arc<Machine>,
    found: &[Mounted],
    is_asked: &dyn Fn(&Mounted) -> bool,
    gone: &dyn Fn() -> bool,
) -> Vec<Option<io::Result<Statfs>>> {
    let mut answers: Vec<Option<io::Result<Statfs>>> = vec![];
    let not_asked = || io::Error::from(io::ErrorKind::ResourceBusy);
    let mut is_over = false;
    for some in found.chunks(IN_A_ROW) {
        is_over = is_over || gone();
        answers.extend(some.iter().map(|one| {
            (is_asked(one) && !one.may_hang)
                .then(|| if is_over { Err(not_asked()) } else { machine.statfs(&one.mount.mount_point, false) })
        }));
    }
    let slow: Vec<usize> = (0..found.len()).filter(|at| is_asked(&found[*at]) && found[*at].may_hang).collect();
    for some in slow.chunks(AT_ONCE) {
        if is_over || gone() {
            is_over = true;
            some.iter().for_each(|at| answers[*at] = Some(Err(not_asked())));
            continue;
        }
        std::thread::scope(|scope| {
            let asking = some.iter().map(|at| {
                let point = &found[*at].mount.mount_point;
                let thread = std::thread::Builder::new().name("statfs".to_owned());
                (*at, thread.spawn_scoped(scope, move || machine.statfs(point, true)))
            });
            for (at, asked) in asking.collect::<Vec<_>>() {
                // the system may start no more threads
                answers[at] = asked.map_or_else(|_| Some(Err(not_asked())), |asked| asked.join().ok());
            }
        });
    }
    answers
}

/// How long filesystems are asked for a page of metrics.
const ASKED_FOR: Duration = Duration::from_secs(4);

/// Each mount that a path leads to, but for those without data of their own. One that does not answer is told as such.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let (mut mounts, total) = Mounts::each(seen.reader);
    mounts.retain(|one| !is_left_out(&one.mount));
    let until = Instant::now() + ASKED_FOR;
    let answers = ask(seen.machine, &mounts, &|_| true, &|| Instant::now() >= until);
    let rows: Vec<Row> = mounts.iter().zip(answers).map(|(one, answer)| Row::of(&one.mount, answer)).collect();
    for (name, kind, help, figure) in FIGURES {
        let mut family = page.family(*name, *kind, help);
        for row in &rows {
            family.add(&row.labels(), figure(row));
        }
    }
    let help = "The device number of each mounted filesystem.";
    let mut info = page.family("node_filesystem_mount_info", Figure::Gauge, help);
    for (row, one) in rows.iter().zip(&mounts).filter(|(row, _)| row.statfs.is_some()) {
        let (major, minor) = (one.mount.major.to_string(), one.mount.minor.to_string());
        let labels =
            [("device", &*row.device), ("major", &major), ("minor", &minor), ("mountpoint", &*row.mount_point)];
        info.add(&labels, 1_u64);
    }
    drop(info);
    page.gauge("smcp_mounts", "Mounts there are, hidden ones included.", total);
    let most = seen.reader.number::<u64>("proc/sys/fs/mount-max");
    page.gauge("smcp_mounts_max", "Mounts that the kernel allows in one namespace. Since Linux 4.9.", most);
}

/// A mount on a page of metrics.
struct Row {
    device: String,
    mount_point: String,
    fs_type: String,
    is_read_only: bool,
    statfs: Option<Statfs>,
    /// Why there are no figures.
    error: String,
}

/// The families of mounts, and the figure of one.
const FIGURES: &[Column<Row>] = &[
    ("node_filesystem_avail_bytes", Figure::Gauge, "Bytes that a program without privileges may still write.", |row| {
        row.statfs.map(|statfs| statfs.bytes_available).into()
    }),
    ("node_filesystem_device_error", Figure::Gauge, "Whether the filesystem could not be asked.", |row| {
        row.statfs.is_none().into()
    }),
    ("node_filesystem_files", Figure::Gauge, "Inodes; 0 where the filesystem makes them as needed.", |row| {
        row.statfs.map(|statfs| statfs.inodes).into()
    }),
    ("node_filesystem_files_free", Figure::Gauge, "Inodes free.", |row| {
        row.statfs.map(|statfs| statfs.inodes_free).into()
    }),
    ("node_filesystem_free_bytes", Figure::Gauge, "Bytes free, those kept for root included.", |row| {
        row.statfs.map(|statfs| statfs.bytes_free).into()
    }),
    (
        "node_filesystem_readonly",
        Figure::Gauge,
        "Whether it is mounted read-only, or takes no writes since an error.",
        |row| row.is_read_only.into(),
    ),
    ("node_filesystem_size_bytes", Figure::Gauge, "Bytes in all.", |row| row.statfs.map(|statfs| statfs.bytes).into()),
];

impl Row {
    fn of(mount: &Mount, answer: Option<io::Result<Statfs>>) -> Self {
        let (statfs, note) = match answer {
            Some(Ok(statfs)) if lies_elsewhere(mount, &statfs) => (None, Some(Note::Elsewhere)),
            Some(Ok(statfs)) => (Some(statfs), None),
            Some(Err(error)) => (None, Some(Note::of(&error))),
            None => (None, Some(Note::NotAsked)),
        };
        Self {
            device: lossy(&mount.source),
            mount_point: lossy(&mount.mount_point),
            fs_type: lossy(&mount.fs_type),
            is_read_only: mount.has(b"ro") || mount.has(b"emergency_ro"),
            statfs,
            error: note.map_or(String::new(), |note| note.to_string()),
        }
    }

    fn labels(&self) -> [(&'static str, &str); 4] {
        [
            ("device", &self.device),
            ("mountpoint", &self.mount_point),
            ("fstype", &self.fs_type),
            ("device_error", &self.error),
        ]
    }
}

/// Whether monitoring leaves it out: it holds no data of its own, is a container's, or asking for it would keep a snapshot mounted.
fn is_left_out(mount: &Mount) -> bool {
    const TYPES: &[&str] = &[
        "autofs",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "devtmpfs",
        "erofs",
        "fusectl",
        "hugetlbfs",
        "iso9660",
        "mqueue",
        "nsfs",
        "overlay",
        "proc",
        "procfs",
        "pstore",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "squashfs",
        "sysfs",
        "tracefs",
    ];
    let point = &mount.mount_point[..];
    let lies_at_or_in =
        |directory: &str| point.strip_prefix(directory.as_bytes()).is_some_and(|rest| matches!(rest, [] | [b'/', ..]));
    let lies_in = |directory: &str| {
        point.strip_prefix(directory.as_bytes()).is_some_and(|rest| rest.len() > 1 && rest.starts_with(b"/"))
    };
    TYPES.iter().any(|kind| kind.as_bytes() == mount.fs_type)
        || ["/dev", "/proc", "/sys"].into_iter().any(lies_at_or_in)
        || ["/run/credentials", "/var/lib/docker", "/var/lib/containers/storage"].into_iter().any(lies_in)
        || Kind::of_mount(mount) == Kind::Image && mount.fs_type == b"zfs"
}

/// The magic number of btrfs, of the kernel's linux/magic.h.
const BTRFS: u64 = 0x9123_683E;

/// Whether the mount point leads to another filesystem here than on the machine: a mounted `/` need not show what was mounted later.
fn lies_elsewhere(mount: &Mount, statfs: &Statfs) -> bool {
    if mount.fs_type == b"btrfs" {
        // subvolumes have device numbers that are in no mount table
        return statfs.magic.is_some_and(|magic| magic != BTRFS);
    }
    statfs.device.is_some_and(|device| device != (mount.major, mount.minor))
}

/// What is known of a filesystem that takes no writes any more. Its option is `ro` after an error, and also after its mount, or another
/// view of it, was remounted read-only: only what it has recorded of errors tells the one from the other.
fn read_only(mount: &Mount, kind: Kind, health: Option<Health>) -> Option<Note> {
    let filesystem = |option: &[u8]| has(&mount.super_options, option);
    if filesystem(b"emergency_ro") {
        // Linux 6.15 sets this instead
        return Some(Note::ReadOnlySinceError);
    }
    if filesystem(b"shutdown") {
        return Some(Note::ShutDown);
    }
    if !filesystem(b"ro")
        || kind != Kind::Local
        || !goes_read_only(mount)
        || health.is_some_and(|health| health.is_well())
    {
        return None;
    }
    if health.is_some() && has(&mount.options, b"rw") {
        return Some(Note::ReadOnlySinceError);
    }
    if health.is_some() {
        return None;
    }
    // FAT has this option unless another one is given
    let is_fat = matches!(&mount.fs_type[..], b"vfat" | b"msdos");
    let is_doubtful = has(&mount.options, b"rw") || (filesystem(b"errors=remount-ro") && !is_fat);
    is_doubtful.then_some(Note::ReadOnly)
}

/// Whether an error can make this filesystem take no more writes. ZFS suspends its pool instead, and a server or a union of directories
/// reports each error to its program.
fn goes_read_only(mount: &Mount) -> bool {
    mount.fs_type != b"zfs" && (mount.major != 0 || matches!(&mount.fs_type[..], b"btrfs" | b"ubifs" | b"bcachefs"))
}

impl Note {
    fn of(error: &io::Error) -> Self {
        match (error.kind(), Errno::from_io_error(error)) {
            (io::ErrorKind::TimedOut, _) => Self::Silent,
            (io::ErrorKind::ResourceBusy, None) => Self::NotAsked,
            (_, Some(Errno::ACCESS | Errno::PERM)) => Self::Denied,
            (_, Some(Errno::STALE)) => Self::Failing("the server no longer has it".to_owned()),
            (_, Some(Errno::NOTCONN)) => Self::Failing("its program has ended".to_owned()),
            (_, Some(Errno::IO)) => Self::Failing("input/output error".to_owned()),
            (_, Some(errno)) => Self::Failing(errno.raw_os_error().to_string()),
            (_, None) => Self::Failing("unknown".to_owned()),
        }
    }

    /// How bad it is. `None`: it is no fault of the filesystem, but of what the server can see.
    pub fn severity(&self) -> Option<Severity> {
        match self {
            Self::Denied | Self::Elsewhere | Self::NotAsked => None,
            Self::Silent | Self::Failing(_) | Self::ReadOnlySinceError | Self::ShutDown => Some(Severity::Critical),
            Self::ReadOnly | Self::Damaged(_) => Some(Severity::Warning),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => f.write_str("denied"),
            Self::Elsewhere => f.write_str("not visible to this server"),
            Self::Silent => f.write_str("no answer"),
            Self::NotAsked => f.write_str("not asked: the others took all the time"),
            Self::Failing(why) => write!(f, "error: {why}"),
            Self::ReadOnlySinceError => f.write_str("read-only since an error"),
            Self::ShutDown => f.write_str("shut down since an error"),
            Self::ReadOnly => f.write_str("read-only: mounted so, or since an error"),
            Self::Damaged(health) => health.fmt(f),
        }
    }
}

/// Names need not be UTF-8.
pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        host::{First, Host},
        tree::Tree,
    };
    use kernel::proc::mountinfo;

    fn mount(line: &str) -> Mount {
        mountinfo::parse(line.as_bytes()).0.remove(0)
    }

    #[test]
    fn what_hides_a_mount_from_this_server_is_not_taken_for_it() {
        let is = |line: &str, device, magic| {
            lies_elsewhere(&mount(line), &Statfs { device: Some(device), magic: Some(magic), ..statfs(10, 5) })
        };
        let (ext4, subvolume) =
            ("1 1 8:1 / /srv rw - ext4 /dev/sda1 rw", "1 1 0:40 /home /home rw - btrfs /dev/sdb rw");
        const TMPFS: u64 = 0x0102_1994;
        assert!(!is(ext4, (8, 1), 0xEF53) && is(ext4, (0, 30), TMPFS));
        // its own device number is another than the table's
        assert!(!is(subvolume, (0, 45), BTRFS) && is(subvolume, (0, 45), TMPFS));
        assert!(!lies_elsewhere(&mount(subvolume), &statfs(10, 5)), "of a recorded machine nothing is known");
    }

    #[test]
    fn monitoring_leaves_out_what_holds_no_data_and_what_is_a_container_s() {
        let is = |point: &str, kind: &str, source: &str| {
            is_left_out(&mount(&format!("1 1 8:1 / {point} rw - {kind} {source} rw")))
        };
        for (point, kind) in [
            ("/proc", "ext4"),
            ("/dev/shm", "tmpfs"),
            ("/sys/fs/x", "tmpfs"),
            ("/var/lib/docker/overlay2/x", "ext4"),
            ("/run/credentials/a.service", "ramfs"),
            ("/mnt", "overlay"),
            ("/mnt", "cgroup2"),
        ] {
            assert!(is(point, kind, "x"), "{point} {kind}");
        }
        for (point, kind) in [
            ("/", "ext4"),
            ("/device", "ext4"),
            ("/var/lib/docker", "ext4"),
            ("/run", "tmpfs"),
            ("/run/credentials", "tmpfs"),
            ("/boot/efi", "vfat"),
            ("/tank", "zfs"),
        ] {
            assert!(!is(point, kind, "x"), "{point} {kind}");
        }
        assert!(is("/tank/.zfs/snapshot/x", "zfs", "tank@x"));
    }

    #[test]
    fn a_filesystem_that_cannot_be_asked_says_why_and_has_no_figures() {
        let table = "1 1 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /away ro - ext4 /dev/sdb1 rw\n";
        let page = Tree::new(&[("proc/1/mountinfo", table)]).page(expose);
        let labels = "{device=\"/dev/sdb1\",mountpoint=\"/away\",fstype=\"ext4\",device_error=";
        assert!(page.contains(&format!("\nnode_filesystem_device_error{labels}")), "{page}");
        assert!(page.contains(&format!("\nnode_filesystem_readonly{labels}")), "{page}");
        assert!(!page.contains("node_filesystem_size_bytes") && page.contains("\nsmcp_mounts 2\n"), "{page}");
    }

    fn statfs(bytes: u64, bytes_free: u64) -> Statfs {
        Statfs { bytes, bytes_free, bytes_available: bytes_free, inodes: 0, inodes_free: 0, device: None, magic: None }
    }

    /// The filesystems of a table, each with the bytes that it has and that are free.
    pub(crate) fn filesystems(table: &[(&str, u64, u64)]) -> Filesystems {
        let text: String = table.iter().map(|(line, ..)| format!("{line}\n")).collect();
        let mounts = Mounts::of(mountinfo::parse(text.as_bytes()).0, true);
        let all = mounts.filesystems.into_iter().zip(table);
        let all = all.map(|(mounted, (_, bytes, free))| {
            Filesystem::of(mounted, Some(Ok(statfs(*bytes, *free))), &HashMap::new())
        });
        Filesystems { all: all.collect(), ..Filesystems::default() }
    }

    pub(crate) fn said(filesystems: &Filesystems) -> Vec<(Severity, String)> {
        let mut problems = Problems::default();
        filesystems.problems(&mut problems);
        problems.sorted().into_iter().map(|problem| (problem.severity, problem.what)).collect()
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_not_asked() {
        let line = |at: u32| format!("{} 20 0:{at} / /nas/{at} rw - nfs4 nas:/{at} rw\n", 100 + at);
        let table = "20 1 8:1 / /srv rw - ext4 /dev/sda1 rw\n".to_owned() + &(0..40).map(line).collect::<String>();
        let tree = Tree::new(&[("proc/1/mountinfo", &table)]);
        let host = Host::open(tree.path(), First::Comes).unwrap();
        let notes = host.read(|machine| {
            let reader = Reader::new(&machine.root);
            let read = |gone: bool| Filesystems::read(machine, &reader, false, &HashMap::new(), &|| gone);
            // in this tree there is no such directory, as all of them find out that are asked
            assert_eq!(read(false).all.len(), 0);
            Ok(read(true).all.into_iter().map(|one| one.note).collect::<Vec<_>>())
        });
        assert_eq!(notes.await.unwrap(), vec![Some(Note::NotAsked); 41]);
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
    fn only_what_the_kernel_says_was_an_error_is_called_one() {
        let note = |line: &str, errors: Option<u64>| {
            read_only(&mount(line), Kind::of_mount(&mount(line)), errors.map(Health::Errors))
        };
        let one_view = "1 0 8:1 / /a rw - ext4 /dev/sda1 ro\n";
        assert_eq!(note(one_view, None), Some(Note::ReadOnly));
        assert_eq!(note(one_view, Some(0)), None);
        assert_eq!(note(one_view, Some(2)), Some(Note::ReadOnlySinceError));
        assert_eq!(note("1 0 8:1 / / rw - ext4 /dev/sda1 rw,emergency_ro\n", Some(0)), Some(Note::ReadOnlySinceError));
        assert_eq!(note("1 0 8:1 / / rw - ext4 /dev/sda1 rw,shutdown\n", None), Some(Note::ShutDown));
        assert_eq!(note("1 0 8:1 / / ro - ext4 /dev/sda1 ro,errors=remount-ro\n", None), Some(Note::ReadOnly));
        assert_eq!(note("1 0 8:1 / / ro - ext4 /dev/sda1 ro,errors=remount-ro\n", Some(2)), None);
        assert_eq!(note("1 0 0:40 / /b rw - btrfs /dev/sdb ro,subvol=/\n", None), Some(Note::ReadOnly));
        for line in [
            "1 0 8:1 / / ro - ext4 /dev/sda1 ro\n",
            "1 0 8:1 / / ro - ext4 /dev/sda1 rw\n",
            "1 0 8:1 / / rw - ext4 /dev/sda1 rw,errors=remount-ro\n",
            "1 0 7:1 / /snap rw - squashfs /dev/loop1 ro\n",
            "1 0 8:2 / /boot/efi ro - vfat /dev/sda2 ro,errors=remount-ro\n",
            "1 0 0:41 / /tank/backup rw - zfs tank/backup ro,xattr\n",
            "1 0 0:42 / /tank/.zfs/snapshot/a rw - zfs tank@a ro\n",
            // of lower directories alone
            "1 0 0:43 / /merged rw - overlay overlay ro,lowerdir=a:b\n",
            "1 0 0:44 / /nas rw - nfs4 nas:/a ro\n",
        ] {
            assert_eq!(note(line, None), None, "{line}");
        }
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
    fn trouble_comes_first_then_the_fullest_and_what_may_not_be_seen_is_no_trouble() {
        let with = |answer: io::Result<Statfs>| {
            let mounts = Mounts::of(vec![mount("1 0 8:1 / /a rw - ext4 /dev/sda1 rw\n")], true);
            Filesystem::of(mounts.filesystems[0].clone(), Some(answer), &HashMap::new()).rank()
        };
        let error = |errno: Errno| Err(io::Error::from(errno));
        let [silent, full, empty, denied] = [
            with(error(Errno::TIMEDOUT)),
            with(Ok(statfs(10, 1))),
            with(Ok(statfs(10, 9))),
            with(error(Errno::ACCESS)),
        ];
        assert!(silent < full && full < empty && empty < denied);
    }

    #[test]
    fn silence_and_refusal_have_words() {
        let words = |error: io::Error| Note::of(&error).to_string();
        assert_eq!(words(io::ErrorKind::TimedOut.into()), "no answer");
        assert_eq!(words(Errno::ACCESS.into()), "denied");
        assert_eq!(words(Errno::TIMEDOUT.into()), "no answer");
        assert_eq!(words(Errno::IO.into()), "error: input/output error");
    }

    #[test]
    fn empty_memory_images_and_what_has_no_blocks_are_aside_but_never_the_root() {
        let aside = |line: &str, statfs| {
            let found = Mounts::of(mountinfo::parse(line.as_bytes()).0, true).filesystems.remove(0);
            aside(&found, Some(&statfs))
        };
        assert_eq!(aside("1 0 0:5 / /run rw - tmpfs tmpfs rw\n", statfs(10, 10)), Some(Aside::Empty));
        assert_eq!(aside("1 0 0:5 / /run rw - tmpfs tmpfs rw\n", statfs(10, 9)), None);
        assert_eq!(aside("1 0 7:5 / /snap rw - squashfs a ro\n", statfs(10, 0)), Some(Aside::Image));
        assert_eq!(aside("1 0 7:5 / / ro - squashfs a ro\n", statfs(10, 0)), None);
        assert_eq!(aside("1 0 0:5 / /x rw - newfs a rw\n", statfs(0, 0)), Some(Aside::Pseudo));
        assert_eq!(aside("1 0 0:5 / /x rw - ext4 /dev/sda1 rw\n", statfs(10, 0)), None);
        assert_eq!(aside("1 0 0:5 / /t/.zfs/snapshot/a rw - zfs t@a ro\n", statfs(10, 5)), Some(Aside::Image));
    }

    #[test]
    fn a_fault_of_many_filesystems_is_told_once() {
        let mut all = filesystems(&[("1 0 8:1 / / rw - ext4 /dev/sda1 rw", 10, 9)]);
        let mut dead = all.all[0].clone();
        dead.note = Some(Note::Silent);
        for at in 0..40 {
            dead.mounted.mount.mount_point = format!("/nas/{at}").into_bytes();
            all.all.push(dead.clone());
        }
        dead.note = Some(Note::Denied);
        all.all.push(dead);
        let told = "40 filesystems: no answer (/nas/0, /nas/1, /nas/2 and 37 more)".to_owned();
        assert_eq!(said(&all), [(Severity::Critical, told)]);
    }

    #[test]
    fn too_many_mounts_are_a_problem_by_number_and_by_what_the_kernel_allows() {
        let with = |mounts, most_mounts, stacked| {
            let most_stacked = Some(("/srv/d".to_owned(), stacked));
            said(&Filesystems { mounts, most_mounts, most_stacked, ..Filesystems::default() })
        };
        assert_eq!(with(900, Some(100_000), 3), []);
        let many = "there are 36914 mounts; the kernel allows 100000".to_owned();
        assert_eq!(with(36_914, Some(100_000), 1), [(Severity::Critical, many)]);
        assert_eq!(with(36_914, Some(1_000_000), 1)[0].0, Severity::Warning);
        assert_eq!(with(900, Some(1000), 1)[0].0, Severity::Critical);
        assert_eq!(with(10_000, None, 1)[0].1, "there are 10000 mounts");
        assert_eq!(with(900, None, 800)[0].1, "one mount point is mounted 800 times: /srv/d");
        let stack = "one mount point is mounted 32768 times: /srv/d".to_owned();
        assert_eq!(with(32_800, Some(100_000), 32_768), [(Severity::Warning, stack.clone())]);
        assert_eq!(with(32_800, Some(50_000), 32_768), [(Severity::Critical, stack)]);
        assert_eq!(with(90_000, None, 32_768).len(), 2);
    }
}
