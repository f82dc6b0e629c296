//! Which mounts are which filesystems: what lies hidden, what is mounted many times, what needs a server to answer.

use std::{cmp::Ordering, collections::HashMap};

use crate::gap::Reader;
use kernel::{
    failure::Failure,
    proc::{
        Malformed,
        mountinfo::{Line, Lines, Mount},
    },
};

/// What a type of filesystem means for its figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// On disks of this machine, or any type not known.
    Local,
    /// Another machine or a program answers for it, or nobody does.
    Remote,
    /// In memory: worth a row only when it holds anything.
    Memory,
    /// Read-only by nature: an image, which is always full, or a snapshot of ZFS.
    Image,
    /// A container's view of another filesystem.
    Overlay,
    /// Holds no data.
    Pseudo,
}

/// One filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// The mount that stands for it. Of an overlay's options only those stand here that a figure depends on.
    pub mount: Mount,
    /// What its type means.
    pub kind: Kind,
    /// How often it is mounted, hidden mounts and folded overlays included.
    pub mounts: usize,
    /// It, or one below whose mount point it lies, may never answer.
    pub may_hang: bool,
}

/// The mount table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts {
    /// The filesystems that can be seen, in the order of the table.
    pub filesystems: Vec<Mounted>,
    /// Mounts in all, hidden ones included.
    pub total: usize,
    /// The mount point on which most mounts lie, and how many.
    pub most_stacked: Option<(Vec<u8>, usize)>,
}

impl Mounts {
    /// Reads the table, which may be of any length. `fold_overlays`: container overlays fold into the filesystem they write to.
    pub fn read(reader: &Reader<'_>, fold_overlays: bool) -> Self {
        Self::of(table(reader), fold_overlays)
    }

    /// Each mount of the machine that a path leads to, by itself and in the order of the table, and how many mounts there are with the hidden
    /// ones.
    pub fn each(reader: &Reader<'_>) -> (Vec<Mounted>, usize) {
        let table = machines(reader).unwrap_or_else(|| table(reader));
        let (tree, total) = (Tree::new(&table), table.len());
        let nodes = tree.nodes;
        let seen = table.into_iter().zip(nodes).filter(|(_, node)| node.visible);
        let mounted = |(mount, node): (Mount, Node)| Mounted {
            kind: Kind::of_mount(&mount),
            mount,
            mounts: 1,
            may_hang: node.may_hang,
        };
        (seen.map(mounted).collect(), total)
    }

    /// What a table tells.
    pub fn of(table: Vec<Mount>, fold_overlays: bool) -> Self {
        let tree = Tree::new(&table);
        let mut found = Found::all(&tree);
        if fold_overlays {
            fold(&tree, &mut found);
        }
        let (total, most_stacked) = (table.len(), most_stacked(&table));
        let mut table: Vec<Option<Mount>> = table.into_iter().map(Some).collect();
        let mounted = |Found { at, kind, mounts, may_hang }: Found| {
            Some(Mounted { mount: table.get_mut(at)?.take()?, kind, mounts, may_hang })
        };
        Self { filesystems: found.filesystems.into_iter().filter_map(mounted).collect(), total, most_stacked }
    }
}

/// The table of the own mount namespace.
fn table(reader: &Reader<'_>) -> Vec<Mount> {
    let path = format!("{}/mountinfo", reader.root().own());
    let (read, table, odd) = read(reader, &path);
    reader.keep(&path, read);
    reader.lenient(&path, (table, odd))
}

fn read(reader: &Reader<'_>, path: &str) -> (Result<(), Failure>, Vec<Mount>, Option<Malformed>) {
    let (mut table, mut lines) = (vec![], Lines::default());
    let read = reader.root().lines(path, |line| {
        if let Some(line) = lines.parse(line) {
            table.push(short(line));
        }
    });
    (read, table, lines.odd())
}

/// The table of the first process, which is the machine's. The own namespace may be shut tighter, such as by systemd's `ProtectSystem` and
/// `ProtectHome`: then it shows mounts that only the server has, and most of them as read-only. `None`: it cannot be read, or that process
/// has another root than the server, which is in a container that shares the machine's processes.
fn machines(reader: &Reader<'_>) -> Option<Vec<Mount>> {
    const FIRST: &str = "proc/1/mountinfo";
    let own = format!("{}/mountinfo", reader.root().own());
    if own == FIRST {
        return None;
    }
    let (read, table, odd) = read(reader, FIRST);
    read.ok()?;
    let mut root = None;
    reader.root().lines(&own, |line| root = device_of_root(line).or(root)).ok()?;
    let is_same = table.iter().rfind(|mount| mount.mount_point == b"/").map(|mount| (mount.major, mount.minor)) == root;
    is_same.then(|| reader.lenient(FIRST, (table, odd)))
}

/// The device number of what is mounted at the root, if that is this line. Of several the last is seen.
fn device_of_root(line: &[u8]) -> Option<(u32, u32)> {
    let line = Line::parse(line).filter(|line| line.mount_point == b"/")?;
    Some((line.major, line.minor))
}

/// A filesystem while it is found, as [`Mounted`].
struct Found {
    /// The place in the table of the mount that stands for it.
    at: usize,
    kind: Kind,
    mounts: usize,
    may_hang: bool,
}

/// All that are found.
struct AllFound {
    filesystems: Vec<Found>,
    /// Which of them each mount of the table belongs to, if it can be seen.
    belongs: Vec<Option<usize>>,
}

impl Found {
    fn all(tree: &Tree<'_>) -> AllFound {
        let table = tree.mounts;
        let mut known: HashMap<(u32, u32, &[u8]), usize> = HashMap::new();
        let mut filesystems: Vec<Self> = vec![];
        let mut belongs: Vec<Option<usize>> = vec![None; table.len()];
        for (at, mount) in table.iter().enumerate().filter(|(at, _)| tree.nodes[*at].visible) {
            let place = *known.entry(identity(mount)).or_insert(filesystems.len());
            belongs[at] = Some(place);
            let may_hang = tree.nodes[at].may_hang;
            match filesystems.get_mut(place) {
                None => filesystems.push(Self { at, kind: Kind::of_mount(mount), mounts: 0, may_hang }),
                Some(have) if stands_better(mount, &table[have.at]) => (have.at, have.may_hang) = (at, may_hang),
                Some(_) => (),
            }
        }
        for place in table.iter().filter_map(|mount| known.get(&identity(mount))) {
            filesystems[*place].mounts += 1;
        }
        AllFound { filesystems, belongs }
    }
}

/// What makes two mounts the same filesystem. Two directories of a server may have one device number and yet be two filesystems to their
/// users.
fn identity(mount: &Mount) -> (u32, u32, &[u8]) {
    let source: &[u8] = if Kind::of(&mount.fs_type) == Kind::Remote { &mount.source } else { b"" };
    (mount.major, mount.minor, source)
}

/// A mount without what no figure depends on: the lower directories of 10,000 containers are most of a long table.
fn short(line: Line<'_>) -> Mount {
    let mut kept: Vec<u8> = vec![];
    let mut line = Line { optional: b"", ..line };
    if Kind::of(line.fs_type) == Kind::Overlay {
        let options = line.super_options.split(|byte| *byte == b',');
        for option in options.filter(|option| *option == b"ro" || option.starts_with(b"upperdir=")) {
            kept.extend_from_slice(option);
            kept.push(b',');
        }
        line.super_options = &kept;
    }
    line.mount()
}

/// Adds each container's overlay to the filesystem that holds what is written to it.
fn fold(tree: &Tree<'_>, all: &mut AllFound) {
    let AllFound { filesystems: found, belongs } = all;
    let paths: Vec<Option<&[u8]>> = found.iter().map(|one| home(one.kind, &tree.mounts[one.at])).collect();
    let homes = tree.leads_to(&paths);
    let home = |(place, at): (usize, &Option<usize>)| belongs[(*at)?].filter(|home| *home != place);
    let homes: Vec<Option<usize>> = homes.iter().enumerate().map(home).collect();
    for (place, home) in homes.iter().enumerate() {
        // the home of a folded one may be folded itself, into what is neither
        let mut last = *home;
        for _ in 0..8 {
            last = last.and_then(|home| homes[home]).or(last);
        }
        if let Some(home) = last {
            found[home].mounts += found[place].mounts;
        }
    }
    let mut homes = homes.iter();
    found.retain(|_| homes.next().is_some_and(Option::is_none));
}

/// The directory in whose filesystem lies what is written to a container's overlay. `None`: it is no overlay, or a root of its own.
fn home(kind: Kind, mount: &Mount) -> Option<&[u8]> {
    if kind != Kind::Overlay || mount.mount_point == b"/" {
        return None;
    }
    let options = mount.super_options.split(|byte| *byte == b',');
    match options.filter_map(|option| option.strip_prefix(b"upperdir=")).next() {
        Some(path) if path.starts_with(b"/") => Some(path),
        // relative to a directory nobody knows, or kept by a program: most likely where it is mounted
        _ => {
            let end = mount.mount_point.iter().rposition(|byte| *byte == b'/')?;
            mount.mount_point.get(..end.max(1))
        }
    }
}

/// The mount point on which most mounts lie.
fn most_stacked(table: &[Mount]) -> Option<(Vec<u8>, usize)> {
    let mut counts: HashMap<&[u8], usize> = HashMap::new();
    for mount in table {
        *counts.entry(&mount.mount_point).or_default() += 1;
    }
    let (point, count) = counts.into_iter().max_by(|(a, some), (b, others)| some.cmp(others).then(b.cmp(a)))?;
    Some((point.to_vec(), count))
}

impl Kind {
    /// That of a mount.
    pub fn of_mount(mount: &Mount) -> Self {
        // what looking into .zfs/snapshot mounts
        let is_snapshot = mount.fs_type == b"zfs" && mount.source.contains(&b'@');
        if is_snapshot { Self::Image } else { Self::of(&mount.fs_type) }
    }

    /// That of a type.
    pub fn of(fs_type: &[u8]) -> Self {
        match fs_type {
            b"proc"
            | b"sysfs"
            | b"cgroup"
            | b"cgroup2"
            | b"cpuset"
            | b"devpts"
            | b"securityfs"
            | b"debugfs"
            | b"tracefs"
            | b"pstore"
            | b"bpf"
            | b"mqueue"
            | b"hugetlbfs"
            | b"configfs"
            | b"autofs"
            | b"fusectl"
            | b"binfmt_misc"
            | b"efivarfs"
            | b"rpc_pipefs"
            | b"nfsd"
            | b"nsfs"
            | b"selinuxfs"
            | b"smackfs"
            | b"apparmorfs"
            | b"ramfs"
            | b"rootfs"
            | b"resctrl"
            | b"xenfs"
            | b"usbfs"
            | b"usbdevfs"
            | b"functionfs"
            | b"fuse.lxcfs"
            | b"fuse.portal"
            | b"fuse.gvfsd-fuse"
            | b"fuse.gvfs-fuse-daemon" => Self::Pseudo,
            b"tmpfs" | b"devtmpfs" => Self::Memory,
            b"squashfs"
            | b"iso9660"
            | b"erofs"
            | b"cramfs"
            | b"romfs"
            | b"fuse.squashfuse"
            | b"fuse.squashfuse_ll"
            | b"fuse.snapfuse" => Self::Image,
            b"overlay" | b"overlayfs" | b"aufs" | b"fuse.fuse-overlayfs" => Self::Overlay,
            b"nfs" | b"nfs4" | b"cifs" | b"smb2" | b"smb3" | b"smbfs" | b"9p" | b"ceph" | b"glusterfs" | b"afs"
            | b"auristorfs" | b"coda" | b"ncpfs" | b"lustre" | b"beegfs" | b"fhgfs" | b"gpfs" | b"gfs" | b"gfs2"
            | b"ocfs2" | b"orangefs" | b"pvfs2" | b"panfs" | b"acfs" | b"ibrix" | b"vxfs" | b"virtiofs" | b"vboxsf"
            | b"prl_fs" | b"davfs" | b"wekafs" | b"fuse" | b"fuseblk" => Self::Remote,
            other if other.starts_with(b"fuse.") => Self::Remote,
            _ => Self::Local,
        }
    }
}

/// Which of two mounts of a filesystem df would show.
fn stands_better(new: &Mount, old: &Mount) -> bool {
    let is_path = |mount: &Mount| mount.source.contains(&b'/');
    let nearer = new.mount_point.len() < old.mount_point.len();
    let deeper = new.root.len() > old.root.len();
    (is_path(new) && !is_path(old)) || (nearer && !deeper)
}

/// The mounts as a tree, looked at from the top once: what can be seen, and what a server may hold up.
struct Tree<'a> {
    mounts: &'a [Mount],
    nodes: Vec<Node>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    /// A path leads to it.
    visible: bool,
    /// It, or one that it stands on, may never answer.
    may_hang: bool,
}

impl<'a> Tree<'a> {
    fn new(mounts: &'a [Mount]) -> Self {
        let ids: HashMap<u32, usize> = mounts.iter().enumerate().map(|(at, mount)| (mount.id, at)).collect();
        // in a changed root the mount at the top may not be in the list, and those below it have no parent
        let parent = |(at, mount): (usize, &Mount)| ids.get(&mount.parent).copied().filter(|parent| *parent != at);
        let parents: Vec<_> = mounts.iter().enumerate().map(parent).collect();
        let mut order: Vec<usize> = (0..mounts.len()).collect();
        order.sort_by(|a, b| {
            step();
            let points = || in_order(&mounts[*a].mount_point, &mounts[*b].mount_point);
            parents[*a].cmp(&parents[*b]).then_with(points).then(a.cmp(b))
        });
        let mut tree = Self { mounts, nodes: vec![Node::default(); mounts.len()] };
        let groups: Vec<&[usize]> = order.chunk_by(|a, b| parents[*a] == parents[*b]).collect();
        let children: HashMap<Option<usize>, &[usize]> =
            groups.iter().map(|group| (parents[group[0]], *group)).collect();
        // a mount that stands on itself by way of others is never come to
        let mut open: Vec<(usize, bool)> = vec![];
        let orphans = children.get(&None).copied().unwrap_or_default();
        for at in tree.last_of_each_point(orphans) {
            open.push((at, false));
        }
        while let Some((at, hangs)) = open.pop() {
            let below = children.get(&Some(at)).copied().unwrap_or_default();
            tree.enter(at, hangs, below, &mut open);
        }
        tree
    }

    /// Comes to a mount that a path leads to unless one of those `below`, its children in the order of their mount points, covers it.
    fn enter(&mut self, at: usize, hangs: bool, below: &[usize], open: &mut Vec<(usize, bool)>) {
        let mount = &self.mounts[at];
        let may_hang = hangs || Kind::of(&mount.fs_type) == Kind::Remote || mount.fs_type == b"fuse.fuse-overlayfs";
        let covered = self.last_of_each_point(below).find(|child| self.mounts[*child].mount_point == mount.mount_point);
        self.nodes[at] = Node { visible: covered.is_none(), may_hang };
        if let Some(cover) = covered {
            open.push((cover, may_hang));
            return;
        }
        // of two children one of which lies in the other, the outer hides the inner
        let mut outer: Option<&[u8]> = None;
        for child in self.last_of_each_point(below) {
            let point = &self.mounts[child].mount_point[..];
            if !outer.is_some_and(|outer| lies_in(point, outer)) {
                outer = Some(point);
                open.push((child, may_hang));
            }
        }
    }

    /// Of mounts in the order of their mount points: the one that was mounted last at each.
    fn last_of_each_point<'b>(&'b self, group: &'b [usize]) -> impl Iterator<Item = usize> + 'b {
        let same = |a: &usize, b: &usize| {
            step();
            self.mounts[*a].mount_point == self.mounts[*b].mount_point
        };
        group.chunk_by(same).filter_map(|same| same.last().copied())
    }

    /// The mount that each of these paths leads to.
    fn leads_to<'b>(&'b self, paths: &[Option<&'b [u8]>]) -> Vec<Option<usize>> {
        // paths and mount points in one order: what a path leads to stands last before it of those that it lies in
        let seen = (0..self.mounts.len()).filter(|at| self.nodes[*at].visible);
        let points = seen.map(|at| (&self.mounts[at].mount_point[..], None, at));
        let asked = paths.iter().enumerate().filter_map(|(number, path)| Some(((*path)?, Some(number), 0)));
        let mut all: Vec<(&[u8], Option<usize>, usize)> = points.chain(asked).collect();
        all.sort_by(|(a, asked, _), (b, others, _)| in_order(a, b).then(asked.is_some().cmp(&others.is_some())));
        let (mut leads, mut around): (Vec<Option<usize>>, Vec<usize>) = (vec![None; paths.len()], vec![]);
        for (path, asked, at) in all {
            while around.pop_if(|last| !lies_in(path, &self.mounts[*last].mount_point)).is_some() {}
            match asked {
                Some(number) => leads[number] = around.last().copied(),
                None => around.push(at),
            }
        }
        leads
    }
}

/// The order in which a directory stands right before all that lies in it: a slash comes before every other byte.
fn in_order(a: &[u8], b: &[u8]) -> Ordering {
    /// Paths of containers have a long beginning in common, which is compared in pieces.
    const PIECE: usize = 16;
    let pieces = a.chunks_exact(PIECE).zip(b.chunks_exact(PIECE));
    let same = PIECE * pieces.take_while(|(a, b)| a == b).count();
    let key = |byte: &u8| if *byte == b'/' { 0 } else { u16::from(*byte) + 1 };
    a[same..].iter().map(key).cmp(b[same..].iter().map(key))
}

/// Whether a path is this directory, or lies in it.
fn lies_in(path: &[u8], directory: &[u8]) -> bool {
    directory == b"/" || path.strip_prefix(directory).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

/// Counts, in tests, how often two mounts are compared.
fn step() {
    #[cfg(test)]
    tests::STEPS.with(|steps| steps.set(steps.get() + 1));
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::{gap::Gaps, tree::Tree};
    use kernel::proc::mountinfo;

    thread_local! {
        pub(super) static STEPS: Cell<usize> = const { Cell::new(0) };
    }

    fn filesystems(table: &str, fold_overlays: bool) -> Vec<Mounted> {
        let table = table.lines().map(|line| short(Line::parse(line.as_bytes()).unwrap()));
        Mounts::of(table.collect(), fold_overlays).filesystems
    }

    fn points(table: &str) -> Vec<(String, usize)> {
        let shown = filesystems(table, true).into_iter();
        shown.map(|found| (String::from_utf8(found.mount.mount_point).unwrap(), found.mounts)).collect()
    }

    fn one(point: &str, mounts: usize) -> (String, usize) {
        (point.to_owned(), mounts)
    }

    #[test]
    fn each_mount_is_told_by_itself_but_for_hidden_ones() {
        let table = "1 1 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:1 /x /bound ro - ext4 /dev/sda1 rw\n\
                     3 1 8:2 / /hidden rw - ext4 /dev/sdb1 rw\n4 3 8:3 / /hidden rw - nfs server:/x rw\n";
        let tree = Tree::new(&[("proc/1/mountinfo", table)]);
        let (mounts, total) = tree.whole(Mounts::each);
        let told: Vec<_> = mounts
            .iter()
            .map(|one| (String::from_utf8_lossy(&one.mount.mount_point), one.mount.minor, one.may_hang))
            .collect();
        assert_eq!(told, [("/".into(), 1, false), ("/bound".into(), 1, false), ("/hidden".into(), 3, true)]);
        assert_eq!(total, 4);
    }

    #[test]
    fn a_bind_mount_is_the_same_filesystem_and_the_shorter_path_stands_for_it() {
        let table = "\
20 1 8:1 / / rw - ext4 /dev/sda1 rw
21 20 8:2 /srv /srv/data rw - ext4 /dev/sda2 rw
22 20 8:2 / /home rw - ext4 /dev/sda2 rw
23 20 8:1 /etc /e rw - ext4 /dev/sda1 rw
";
        assert_eq!(points(table), [one("/", 2), one("/home", 2)]);
    }

    #[test]
    fn what_is_mounted_over_is_not_there() {
        let table = "\
20 1 8:1 / / rw - ext4 /dev/sda1 rw
21 20 8:2 / /mnt rw - ext4 /dev/sda2 rw
22 21 8:3 / /mnt rw - ext4 /dev/sda3 rw
23 20 8:4 / /srv/deep rw - ext4 /dev/sda4 rw
24 20 8:5 / /srv rw - ext4 /dev/sda5 rw
25 24 8:6 / /srv/new rw - ext4 /dev/sda6 rw
";
        assert_eq!(points(table), [one("/", 1), one("/mnt", 1), one("/srv", 1), one("/srv/new", 1)]);
    }

    #[test]
    fn a_second_root_covers_everything_of_the_first() {
        let table = "\
1 0 0:1 / / rw - tmpfs a rw
2 1 0:2 / /old rw - tmpfs b rw
3 1 8:1 / / rw - ext4 /dev/sda1 rw
4 3 8:2 / /new rw - ext4 /dev/sda2 rw
";
        assert_eq!(points(table), [one("/", 1), one("/new", 1)]);
    }

    #[test]
    fn a_changed_root_need_not_be_a_mount() {
        let table = "\
21 20 8:2 / /data rw - ext4 /dev/sda2 rw
22 21 8:3 / /data/more rw - ext4 /dev/sda3 rw
23 9 0:4 / /proc rw - proc proc rw
";
        assert_eq!(points(table), [one("/data", 1), one("/data/more", 1), one("/proc", 1)]);
    }

    #[test]
    fn containers_overlays_fold_into_the_disk_they_write_to() {
        let table = "\
20 1 8:1 / / rw - ext4 /dev/sda1 rw
21 20 8:2 / /var/lib/docker rw - xfs /dev/sda2 rw
22 21 0:50 / /var/lib/docker/overlay2/a/merged rw - overlay overlay rw,lowerdir=l/A,upperdir=/var/lib/docker/overlay2/a/diff
23 21 0:51 / /var/lib/docker/overlay2/b/merged rw - overlay overlay rw,lowerdir=l/A,upperdir=b/diff
";
        assert_eq!(points(table), [one("/", 1), one("/var/lib/docker", 3)]);
        assert_eq!(filesystems(table, false).len(), 4);
    }

    #[test]
    fn the_root_of_a_container_is_its_overlay() {
        let table = "\
20 1 0:50 / / rw - overlay overlay rw,upperdir=/var/lib/docker/overlay2/a/diff
21 20 8:2 /c/hosts /etc/hosts rw - ext4 /dev/sda2 rw
22 20 8:2 /c/name /etc/hostname rw - ext4 /dev/sda2 rw
";
        assert_eq!(points(table), [one("/", 1), one("/etc/hosts", 2)]);
    }

    #[test]
    fn two_directories_of_a_server_are_two_and_what_lies_in_them_may_hang_too() {
        let table = "\
20 1 8:1 / / rw - ext4 /dev/sda1 rw
21 20 0:40 / /a rw - nfs4 nas:/a rw
22 20 0:40 / /b rw - nfs4 nas:/b rw
23 21 8:2 / /a/disk rw - ext4 /dev/sda2 rw
";
        let hang: Vec<_> = filesystems(table, true).iter().map(|found| found.may_hang).collect();
        assert_eq!(hang, [false, true, true, true]);
    }

    #[test]
    fn a_table_that_bites_its_tail_ends() {
        assert_eq!(points("1 2 8:1 / / rw - ext4 a rw\n2 1 8:2 / / rw - ext4 b rw\n").len(), 0);
        assert_eq!(points("1 1 8:1 / / rw - ext4 a rw\n"), [one("/", 1)]);
    }

    #[test]
    fn what_lies_in_a_covered_directory_is_not_there_and_a_longer_name_is_another() {
        let table = "\
20 1 8:1 / / rw - ext4 /dev/sda1 rw
21 20 8:2 / /a/b rw - ext4 /dev/sda2 rw
22 20 8:3 / /a-b rw - ext4 /dev/sda3 rw
23 20 8:4 / /a rw - ext4 /dev/sda4 rw
24 21 8:5 / /a/b/c rw - ext4 /dev/sda5 rw
";
        assert_eq!(points(table), [one("/", 1), one("/a-b", 1), one("/a", 1)]);
    }

    /// One mount on top of the other, each of them on the one before, as a shared directory bound onto itself makes them.
    fn stacked(number: u32) -> Vec<Mount> {
        let root = "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n".to_owned();
        let line = |at: u32| {
            let over = if at == 0 { 20 } else { 99 + at };
            format!("{} {over} 8:16 /d /srv/d rw - xfs /dev/sdb rw\n", 100 + at)
        };
        mountinfo::parse((root + &(0..number).map(line).collect::<String>()).as_bytes()).0
    }

    #[test]
    fn the_work_grows_with_the_number_of_mounts_and_no_faster() {
        let side_by_side = |number: u32| {
            let line = |at: u32| format!("{} 20 0:{at} / /srv/{at} rw - tmpfs t rw\n", 100 + at);
            mountinfo::parse((0..number).map(line).collect::<String>().as_bytes()).0
        };
        for (table, extra) in [(stacked as fn(u32) -> Vec<Mount>, 1), (side_by_side, 0)] {
            let steps = |number: u32| {
                let table = table(number);
                STEPS.set(0);
                assert_eq!(Mounts::of(table, true).total, number as usize + extra);
                STEPS.get()
            };
            let (some, more) = (steps(4_000), steps(32_000));
            // eight times as many, and sorting them costs three comparisons more for each
            assert!(more < 12 * some, "{some} {more}");
        }
    }

    #[test]
    fn a_stack_of_mounts_is_one_filesystem_with_all_of_them() {
        let mounts = Mounts::of(stacked(32_768), true);
        assert_eq!((mounts.filesystems.len(), mounts.filesystems[1].mounts), (2, 32_768));
        assert_eq!((mounts.total, mounts.most_stacked), (32_769, Some((b"/srv/d".to_vec(), 32_768))));
    }

    #[test]
    fn ten_thousand_containers_fold_into_their_disk() {
        let docker = "/var/lib/docker/overlay2";
        let lower = vec!["l/ABCDEFGHIJKLMNOPQRSTUVWXYZ"; 20].join(":");
        let line = |at: u32| {
            format!(
                "{} 20 0:{at} / {docker}/{at}/merged rw - overlay overlay rw,lowerdir={lower},upperdir={docker}/{at}/diff\n",
                100 + at
            )
        };
        let table = "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n".to_owned() + &(0..10_000).map(line).collect::<String>();
        assert!(table.len() > 4 << 20);
        assert_eq!(points(&table), [one("/", 10_001)]);
    }

    #[test]
    fn an_odd_line_and_a_missing_table_are_gaps() {
        let table = "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 8:x / /a rw\n22 20 8:2 / /b rw - ext4 /dev/sda2 rw\n";
        let tree = Tree::new(&[("proc/1/mountinfo", table)]);
        let (mounts, gaps) = tree.read(|reader| Mounts::read(reader, true));
        let files = |gaps: &Gaps| gaps.rows().iter().map(|gap| gap.file.clone()).collect::<Vec<_>>();
        assert_eq!(
            (mounts.total, mounts.filesystems.len(), files(&gaps)),
            (2, 2, vec!["/proc/1/mountinfo".to_owned()])
        );
        let (mounts, gaps) = Tree::new(&[]).read(|reader| Mounts::read(reader, true));
        assert_eq!((mounts, files(&gaps)), (Mounts::default(), vec!["/proc/1/mountinfo".to_owned()]));
    }

    #[test]
    fn a_snapshot_of_zfs_is_read_only_by_nature() {
        let table = "20 1 0:60 / /tank rw - zfs tank rw\n21 20 0:61 / /tank/.zfs/snapshot/a rw - zfs tank@a ro\n";
        let kinds: Vec<_> = filesystems(table, true).iter().map(|found| found.kind).collect();
        assert_eq!(kinds, [Kind::Local, Kind::Image]);
    }
}
