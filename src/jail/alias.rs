//! The other paths of a file that a mount shows: what is kept from callers by its path is kept under each of them.
//!
//! A bind mount shows a directory a second time, an overlay shows several as one. The mount table says which. It is read when something has
//! been mounted or unmounted since the last time, which the kernel tells by `poll` (proc_pid_mountinfo(5)).

use std::{
    collections::{HashMap, HashSet},
    ffi::{OsStr, OsString},
    fs::File,
    io::{Read, Seek},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags, open},
};

use kernel::proc::mountinfo::{self, Mount};

/// The longest table that is read, in bytes: some 300,000 mounts.
const LONGEST: u64 = 64 << 20;

/// The most paths of one file that are looked at. One that has more is kept from callers.
const MOST_OTHERS: usize = 1_000;

/// Another path of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Other {
    /// The path.
    pub(super) path: PathBuf,
    /// Of one that is not seen here, only in the filesystem: where that begins to count. What stands above is how others keep it.
    pub(super) from: Option<PathBuf>,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Others {
    /// Those that are known.
    pub(super) paths: Vec<Other>,
    /// A mount that may give it others: an overlay of what is not seen, or one among too many.
    pub(super) unknown: Option<PathBuf>,
}

/// The mounts of this process.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    read: Mutex<Option<(File, Arc<Table>)>>,
}

/// What is mounted where, as far as it shows what has another path.
#[derive(Debug)]
pub(super) struct Table {
    /// By where it is mounted; of several the last, which is the one that is seen.
    at: HashMap<PathBuf, Mounted>,
    /// Where each directory of a filesystem is mounted, by device and the directory's path in it.
    shown: HashMap<(u32, u32), HashMap<PathBuf, Vec<PathBuf>>>,
    /// How the places are called where something is mounted.
    names: HashSet<OsString>,
    /// Where the path of a layer leads. `None`: nowhere that is seen.
    resolve: Resolve,
}

type Resolve = fn(&Path) -> Option<PathBuf>;

#[derive(Debug)]
struct Mounted {
    device: (u32, u32),
    /// Which directory of the filesystem it is.
    root: PathBuf,
    /// Of an overlay: what it consists of.
    layers: Vec<PathBuf>,
}

impl Mounts {
    /// The table as it is now. Empty where the kernel shows none.
    pub(super) fn now(&self) -> Arc<Table> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match read.take() {
            Some((file, table)) if !has_changed(&file) => Some((file, table)),
            Some((file, _)) => Table::read(file),
            None => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                open("/proc/self/mountinfo", flags, Mode::empty()).ok().and_then(|fd| Table::read(File::from(fd)))
            }
        };
        let table =
            known.as_ref().map(|(_, table)| Arc::clone(table)).unwrap_or_else(|| Arc::new(Table::of(vec![], resolved)));
        *read = known;
        table
    }
}

/// Whether anything has been mounted or unmounted since the table was opened, or since this was asked last.
fn has_changed(file: &File) -> bool {
    let mut asked = [PollFd::new(file, PollFlags::PRI)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    !matches!(poll(&mut asked, Some(&now)), Ok(0))
}

impl Table {
    fn read(mut file: File) -> Option<(File, Arc<Self>)> {
        let mut bytes = vec![];
        file.rewind().ok()?;
        (&mut file).take(LONGEST).read_to_end(&mut bytes).ok()?;
        Some((file, Arc::new(Self::of(mountinfo::parse(&bytes).0, resolved))))
    }

    fn of(mounts: Vec<Mount>, resolve: Resolve) -> Self {
        let (at, shown, names) = (HashMap::new(), HashMap::new(), HashSet::new());
        let mut table = Self { at, shown, names, resolve };
        for mount in mounts {
            let layers = if mount.fs_type == b"overlay" { layers(&mount.super_options) } else { vec![] };
            let path = |bytes: Vec<u8>| PathBuf::from(OsString::from_vec(bytes));
            let (root, at, device) = (path(mount.root), path(mount.mount_point), (mount.major, mount.minor));
            table.names.extend(at.file_name().map(OsStr::to_owned));
            table.shown.entry(device).or_default().entry(root.clone()).or_default().push(at.clone());
            table.at.insert(at, Mounted { device, root, layers });
        }
        table
    }

    /// Whether something may be mounted at what has this name: its other paths need not end in it.
    pub(super) fn may_be_at(&self, name: &OsStr) -> bool {
        self.names.contains(name)
    }

    /// The other paths of what has this `path`, which has no link in it.
    pub(super) fn others(&self, path: &Path) -> Others {
        let (mut seen, mut left, mut others) =
            (HashSet::from([path.to_owned()]), vec![path.to_owned()], Others::default());
        // what has another path may lie in another mount there
        while let Some(here) = left.pop() {
            let Some((at, mounted, inside)) = self.mount(&here) else { continue };
            let rest = inside.strip_prefix("/").unwrap_or(&inside);
            let mut found = vec![];
            for layer in &mounted.layers {
                // in a container the layers of its own root are not seen, and their paths lead back into it
                match (self.resolve)(layer).filter(|layer| self.mount(layer).is_none_or(|(place, ..)| place != at)) {
                    Some(layer) => found.extend(self.below(&layer, rest)),
                    None => others.unknown = Some(at.to_owned()),
                }
            }
            let mut is_whole = false;
            for (root, place) in self.places(mounted.device, &inside) {
                let is_seen = self.at.get(place).is_some_and(|on_top| on_top.root == root);
                is_whole |= is_seen && root == Path::new("/");
                found.extend(
                    inside.strip_prefix(root).ok().filter(|_| is_seen).and_then(|rest| self.below(place, rest)),
                );
            }
            for path in found {
                if seen.insert(path.clone()) {
                    others.paths.push(Other { path: path.clone(), from: None });
                    left.push(path);
                }
            }
            // the rest of the filesystem is not seen: in a container it is perhaps the machine's
            if !is_whole && seen.insert(inside.clone()) {
                others.paths.push(Other { from: mounted.root.parent().map(Path::to_owned), path: inside });
            }
            if others.paths.len() > MOST_OTHERS {
                others.unknown = Some(path.to_owned());
                break;
            }
        }
        others
    }

    /// The mount that `path` lies in, and the path in its filesystem.
    fn mount<'a>(&self, path: &'a Path) -> Option<(&'a Path, &Mounted, PathBuf)> {
        let (at, mounted) = path.ancestors().find_map(|at| Some((at, self.at.get(at)?)))?;
        Some((at, mounted, mounted.root.join(path.strip_prefix(at).ok()?)))
    }

    /// Where the directories of a filesystem are mounted that `inside` is in.
    fn places<'a>(&'a self, device: (u32, u32), inside: &'a Path) -> impl Iterator<Item = (&'a Path, &'a PathBuf)> {
        let shown = self.shown.get(&device);
        inside.ancestors().flat_map(move |root| {
            let places = shown.and_then(|shown| shown.get(root)).map(Vec::as_slice).unwrap_or_default();
            places.iter().map(move |place| (root, place))
        })
    }

    /// `rest` below `directory`, if nothing that is mounted on the way hides it.
    fn below(&self, directory: &Path, rest: &Path) -> Option<PathBuf> {
        let path = if rest.as_os_str().is_empty() { directory.to_owned() } else { directory.join(rest) };
        let at = |path: &Path| self.mount(path).map(|(at, ..)| at.to_owned());
        (at(&path) == at(directory)).then_some(path)
    }
}

/// A path without links and dots.
fn resolved(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().filter(|_| path.is_absolute())
}

/// The directories of an overlay, by the options of the filesystem.
fn layers(options: &[u8]) -> Vec<PathBuf> {
    let mut layers = vec![];
    for option in split(options, b',') {
        let Some(at) = option.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = (&option[..at], &option[at + 1..]);
        if matches!(name, b"lowerdir" | b"lowerdir+" | b"datadir+" | b"upperdir") {
            layers.extend(
                split(value, b':')
                    .iter()
                    .filter(|part| !part.is_empty())
                    .map(|part| PathBuf::from(OsStr::from_bytes(&plain(part)))),
            );
        }
    }
    layers
}

/// Where no backslash stands before it.
fn split(text: &[u8], sign: u8) -> Vec<Vec<u8>> {
    let (mut parts, mut is_escaped) = (vec![vec![]], false);
    for byte in text {
        if *byte == sign && !is_escaped {
            parts.push(vec![]);
        } else if let Some(part) = parts.last_mut() {
            part.push(*byte);
        }
        is_escaped = *byte == b'\\' && !is_escaped;
    }
    parts
}

/// Without the backslashes that overlayfs puts before a comma, a colon and a backslash.
fn plain(text: &[u8]) -> Vec<u8> {
    let (mut out, mut is_escaped) = (vec![], false);
    for byte in text {
        if *byte == b'\\' && !is_escaped {
            is_escaped = true;
        } else {
            out.push(*byte);
            is_escaped = false;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With layers that are what they are called.
    fn of(table: &str) -> Table {
        Table::of(mountinfo::parse(table.as_bytes()).0, |path| path.is_absolute().then(|| path.to_owned()))
    }

    fn others(table: &str, path: &str) -> Vec<String> {
        let mut all: Vec<String> =
            of(table).others(Path::new(path)).paths.iter().map(|other| other.path.display().to_string()).collect();
        all.sort();
        all
    }

    const ROOT: &str = "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n";

    #[test]
    fn a_bind_mount_has_the_path_that_it_was_made_from_and_that_path_has_the_mounts() {
        let table = format!("{ROOT}21 20 8:1 /etc/ssl /srv/ssl rw - ext4 /dev/sda1 rw\n");
        assert_eq!(others(&table, "/srv/ssl/private/x"), ["/etc/ssl/private/x"]);
        assert_eq!(others(&table, "/etc/ssl/private/x"), ["/srv/ssl/private/x"]);
        assert_eq!(others(&table, "/srv/ssl"), ["/etc/ssl"]);
        assert_eq!(others(&table, "/srv/sslx"), [""; 0]);
        assert_eq!(others(&table, "/etc"), [""; 0]);
        assert_eq!(others("", "/etc"), [""; 0]);
    }

    #[test]
    fn filesystems_and_subvolumes_in_one_place_have_one_path() {
        let table = "20 1 0:30 /@ / rw - btrfs /dev/sda1 rw\n21 20 0:30 /@home /home rw - btrfs /dev/sda1 rw\n\
            22 20 8:2 / /data rw - ext4 /dev/sdb1 rw\n";
        assert_eq!(others(table, "/data/etc/x"), [""; 0]);
        // nobody knows what it would be elsewhere
        assert_eq!(others(table, "/home/eve/x"), ["/@home/eve/x"]);
        let table = format!("{table}23 22 0:30 /@/etc /data/etc rw - btrfs /dev/sda1 rw\n");
        assert_eq!(others(&table, "/data/etc/x"), ["/@/etc/x", "/etc/x"]);
    }

    #[test]
    fn in_a_container_the_path_in_the_filesystem_counts() {
        let table = "20 1 0:50 / / rw - overlay overlay rw,lowerdir=l\n21 20 8:1 /etc /host rw - ext4 /dev/sda1 rw\n";
        assert_eq!(others(table, "/host/ssl/private/x"), ["/etc/ssl/private/x"]);
        let twice = format!("{table}22 20 8:1 /etc/ssl /other rw - ext4 /dev/sda1 rw\n");
        assert_eq!(others(&twice, "/host/ssl/private/x"), ["/etc/ssl/private/x", "/other/private/x"]);
        // what keeps a volume is no part of its name
        let volume = "20 1 8:1 /var/lib/kubelet/pods/u/volumes/v /data rw - ext4 /dev/sda1 rw\n";
        let from = of(volume).others(Path::new("/data/x")).paths[0].from.clone();
        assert_eq!(from.as_deref(), Some(Path::new("/var/lib/kubelet/pods/u/volumes")));
    }

    #[test]
    fn the_layers_of_the_own_root_are_not_looked_for_in_it() {
        let table = "20 1 0:50 / / rw - overlay overlay rw,lowerdir=/var/lib/docker/l/AAA:/var/lib/docker/l/BBB,upperdir=/var/lib/docker/x/diff\n";
        assert_eq!(others(table, "/etc/passwd"), [""; 0]);
        let mutual = "20 1 0:50 / /a rw - overlay overlay rw,lowerdir=/b\n21 1 0:51 / /b rw - overlay overlay rw,lowerdir=/a/x\n";
        assert!(of(mutual).others(Path::new("/a/y")).unknown.is_some());
        for layers in ["lowerdir=private:okdir", "lowerdir=/a,upperdir=up"] {
            let table = format!("{ROOT}21 20 0:40 / /srv/m rw - overlay overlay rw,{layers}\n");
            assert_eq!(of(&table).others(Path::new("/srv/m/x")).unknown.as_deref(), Some(Path::new("/srv/m")));
        }
    }

    #[test]
    fn an_overlay_has_the_paths_of_all_that_it_consists_of() {
        let table = format!(
            "{ROOT}21 20 0:40 / /srv/m rw - overlay overlay rw,lowerdir=/a\\134:b:/etc/ssl,upperdir=/up,workdir=/w\n"
        );
        assert_eq!(others(&table, "/srv/m/x"), ["/a:b/x", "/etc/ssl/x", "/up/x"]);
        let table =
            format!("{ROOT}21 20 0:40 / /srv/m rw - overlay overlay rw,lowerdir+=/a,lowerdir+=/b,datadir+=/c\n");
        assert_eq!(others(&table, "/srv/m/x"), ["/a/x", "/b/x", "/c/x"]);
    }

    #[test]
    fn a_mount_of_a_mount_leads_to_the_first() {
        let table = format!(
            "{ROOT}21 20 8:1 /etc /mnt/e rw - ext4 /dev/sda1 rw\n22 20 0:40 / /srv/m rw - overlay overlay rw,lowerdir=/mnt/e\n\
             23 20 0:40 /y /srv/n rw - overlay overlay rw,lowerdir=/mnt/e\n"
        );
        assert_eq!(others(&table, "/srv/n/x"), ["/etc/y/x", "/mnt/e/y/x", "/srv/m/y/x"]);
        // what is mounted in a layer is not in the overlay
        let table = table.replace("lowerdir=/mnt/e", "lowerdir=/mnt");
        assert_eq!(others(&table, "/srv/m/e/x"), [""; 0]);
    }

    #[test]
    fn mounts_upon_mounts_and_in_circles_come_to_an_end() {
        // the last one hides the others, and each is a directory of the one before
        let rows: String =
            (0..200).map(|n| format!("{} 20 8:1 /{} /srv/{n} rw - ext4 d rw\n", n + 21, n % 7)).collect();
        let table = format!("{ROOT}{rows}500 20 8:1 / /srv/5/root rw - ext4 d rw\n");
        // /srv/5/root is the whole filesystem, in which /5 is what is mounted at /srv/5
        let found = others(&table, "/srv/5/root/5/x");
        assert!(found.contains(&"/5/x".to_owned()) && found.contains(&"/srv/12/x".to_owned()), "{found:?}");
        assert!(found.len() < 100, "{}", found.len());
    }

    #[test]
    fn the_table_is_read_again_only_when_it_has_changed() {
        let mounts = Mounts::default();
        let (first, second) = (mounts.now(), mounts.now());
        assert!(!first.at.is_empty());
        // others may mount something meanwhile
        assert!(Arc::ptr_eq(&first, &second) || Arc::ptr_eq(&mounts.now(), &mounts.now()));
    }
}
