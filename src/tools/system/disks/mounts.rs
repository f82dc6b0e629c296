//! Which mounts are which filesystems: what lies hidden, what is mounted many times, what needs a server to answer.

use std::collections::HashMap;

use crate::proc::mountinfo::Mount;

/// What a type of filesystem means for its figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// On disks of this machine, or any type not known.
    Local,
    /// Another machine or a program answers for it, or nobody does.
    Remote,
    /// In memory: worth a row only when it holds anything.
    Memory,
    /// Read-only by nature, therefore always full.
    Image,
    /// A container's view of another filesystem.
    Overlay,
    /// Holds no data.
    Pseudo,
}

/// One filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filesystem {
    /// The mount that stands for it.
    pub(super) mount: Mount,
    pub(super) kind: Kind,
    /// How often it is mounted where it can be seen.
    pub(super) mounts: usize,
    /// It, or one below whose mount point it lies, may never answer.
    pub(super) may_hang: bool,
}

impl Kind {
    pub(super) fn of(fs_type: &[u8]) -> Self {
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

/// The filesystems that can be seen, in the order of the mount table. Container overlays fold into the filesystem they write to, if
/// `fold_overlays`.
pub(super) fn filesystems(mounts: &[Mount], fold_overlays: bool) -> Vec<Filesystem> {
    let tree = Tree::new(mounts);
    let mut found: Vec<Filesystem> = vec![];
    // which of `found` a mount belongs to
    let mut belongs: Vec<Option<usize>> = vec![None; mounts.len()];
    let mut known: HashMap<(u32, u32, &[u8]), usize> = HashMap::new();
    for (at, mount) in mounts.iter().enumerate() {
        if tree.topmost(&mount.mount_point) != Some(at) {
            continue;
        }
        let kind = Kind::of(&mount.fs_type);
        // two directories of a server may have one device number and yet be two filesystems to whoever mounted them
        let source: &[u8] = if kind == Kind::Remote { &mount.source } else { b"" };
        let place = *known.entry((mount.major, mount.minor, source)).or_insert(found.len());
        belongs[at] = Some(place);
        match found.get_mut(place) {
            None => found.push(Filesystem { mount: mount.clone(), kind, mounts: 1, may_hang: tree.may_hang(at) }),
            Some(have) => {
                have.mounts += 1;
                if stands_better(mount, &have.mount) {
                    (have.mount, have.may_hang) = (mount.clone(), tree.may_hang(at));
                }
            }
        }
    }
    if fold_overlays {
        let homes: Vec<Option<usize>> = found
            .iter()
            .enumerate()
            .map(|(place, filesystem)| tree.home(filesystem).and_then(|at| belongs[at]).filter(|home| *home != place))
            .collect();
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
    found
}

/// Which of two mounts of a filesystem df would show.
fn stands_better(new: &Mount, old: &Mount) -> bool {
    let is_path = |mount: &Mount| mount.source.contains(&b'/');
    let nearer = new.mount_point.len() < old.mount_point.len();
    let deeper = new.root.len() > old.root.len();
    (is_path(new) && !is_path(old)) || (nearer && !deeper)
}

/// The mounts as a tree, to walk a path through.
struct Tree<'a> {
    mounts: &'a [Mount],
    parents: Vec<Option<usize>>,
    children: HashMap<(Option<usize>, &'a [u8]), usize>,
}

impl<'a> Tree<'a> {
    fn new(mounts: &'a [Mount]) -> Self {
        let ids: HashMap<u32, usize> = mounts.iter().enumerate().map(|(at, mount)| (mount.id, at)).collect();
        let parent = |(at, mount): (usize, &Mount)| ids.get(&mount.parent).copied().filter(|parent| *parent != at);
        let parents: Vec<_> = mounts.iter().enumerate().map(parent).collect();
        let children = mounts.iter().enumerate().map(|(at, mount)| ((parents[at], &*mount.mount_point), at)).collect();
        Self { mounts, parents, children }
    }

    /// The mount that a path leads to: at every step what was mounted last covers what was there.
    fn topmost(&self, path: &[u8]) -> Option<usize> {
        let ends = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let ends = std::iter::once(1).chain(ends).chain((path.len() > 1).then_some(path.len()));
        let mut current = None;
        for end in ends {
            let prefix = path.get(..end)?;
            // in a changed root the mount at the top may not be in the list, and those below it have no parent
            let first = self.children.get(&(current, prefix)).or_else(|| self.children.get(&(None, prefix)));
            let mut next = first.copied().filter(|next| Some(*next) != current);
            let mut steps = 0;
            while let Some(at) = next {
                current = Some(at);
                steps += 1;
                next = self.children.get(&(current, prefix)).copied().filter(|_| steps <= self.mounts.len());
            }
        }
        current
    }

    fn may_hang(&self, at: usize) -> bool {
        let mut above = Some(at);
        for _ in 0..=self.mounts.len() {
            let Some(at) = above else { return false };
            let mount = &self.mounts[at];
            if Kind::of(&mount.fs_type) == Kind::Remote || mount.fs_type == b"fuse.fuse-overlayfs" {
                return true;
            }
            above = self.parents[at];
        }
        false
    }

    /// The mount that holds what is written to a container's overlay. `None`: it is none, or a root of its own.
    fn home(&self, overlay: &Filesystem) -> Option<usize> {
        if overlay.kind != Kind::Overlay || overlay.mount.mount_point == b"/" {
            return None;
        }
        let options = overlay.mount.super_options.split(|byte| *byte == b',');
        let upper = options.filter_map(|option| option.strip_prefix(b"upperdir=")).next();
        match upper {
            Some(path) if path.starts_with(b"/") => self.topmost(path),
            // relative to a directory nobody knows, or kept by a program: most likely where it is mounted
            _ => {
                let end = overlay.mount.mount_point.iter().rposition(|byte| *byte == b'/')?;
                self.topmost(&overlay.mount.mount_point[..end.max(1)])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::mountinfo;

    fn points(table: &str) -> Vec<(String, usize)> {
        let mounts = mountinfo::parse(table.as_bytes()).0;
        let shown = filesystems(&mounts, true).into_iter();
        shown.map(|found| (String::from_utf8(found.mount.mount_point).unwrap(), found.mounts)).collect()
    }

    fn one(point: &str, mounts: usize) -> (String, usize) {
        (point.to_owned(), mounts)
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
        let mounts = mountinfo::parse(table.as_bytes()).0;
        assert_eq!(filesystems(&mounts, false).len(), 4);
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
        let mounts = mountinfo::parse(table.as_bytes()).0;
        let hang: Vec<_> = filesystems(&mounts, true).iter().map(|found| found.may_hang).collect();
        assert_eq!(hang, [false, true, true, true]);
    }

    #[test]
    fn a_table_that_bites_its_tail_ends() {
        assert_eq!(points("1 2 8:1 / / rw - ext4 a rw\n2 1 8:2 / / rw - ext4 b rw\n").len(), 0);
        assert_eq!(points("1 1 8:1 / / rw - ext4 a rw\n"), [one("/", 1)]);
    }
}
