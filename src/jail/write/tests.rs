#![expect(clippy::disallowed_methods, reason = "makes and looks at what is changed")]

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use rustix::fs::{CWD, Timespec, Timestamps, XattrFlags, futimens, getxattr, setxattr};

use super::*;
use crate::{Access, Allowed, Deny, Own, Settings};

/// A directory `rw` to be changed, a directory `out` that is none of the callers', gone when dropped.
struct Tree(PathBuf);

impl Tree {
    fn new() -> Self {
        Self::within(&std::env::temp_dir()).unwrap()
    }

    fn within(directory: &Path) -> std::io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("smcp-write-{}-{count}", std::process::id()));
        for name in ["rw", "out", "own"] {
            fs::create_dir_all(path.join(name))?;
        }
        Ok(Self(path))
    }

    fn jail(&self) -> Jail {
        let allowed = |name: &str, access| Allowed { path: self.0.join(name), access, mounts: false };
        Jail::new(Settings {
            root: "/".into(),
            allowed: vec![allowed("rw", Access::Rw), allowed("rw/ro", Access::Ro)],
            deny: Deny::default(),
            own: Own::new(vec![self.0.join("rw/state"), self.0.join("rw/tokens.ron")]),
        })
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }

    fn names(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.0.join(name)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// As file_write does it.
fn put(jail: &Jail, path: &str, content: &str) -> Result<Vec<String>, Failure> {
    let spot = jail.spot(path)?;
    let hold = Hold::of(&[&spot])?;
    let old = spot.now()?.map(|found| expect(&found, &[FileType::RegularFile]).and_then(|()| Version::of(&found)));
    spot.put(&hold, old.transpose()?.as_ref(), content.as_bytes(), 0o640)
}

fn remove(jail: &Jail, path: &str) -> Result<(), Failure> {
    let spot = jail.spot(path)?;
    let hold = Hold::of(&[&spot])?;
    let found = spot.there()?;
    if found.kind() == FileType::Directory {
        survey(&found, None)?.remove(&found)?;
    }
    spot.remove(&hold, &Version::of(&found)?).map(drop)
}

fn rename(jail: &Jail, from: &str, to: &str) -> Result<(), Failure> {
    let (from, to) = (jail.spot(from)?, jail.spot(to)?);
    let hold = Hold::of(&[&from, &to])?;
    let found = from.there()?;
    if found.kind() == FileType::Directory {
        survey(&found, Some(&to))?;
    }
    from.rename(&to, &hold, &Version::of(&found)?, None).map(drop)
}

fn set(path: &str, name: &str, value: &[u8]) -> bool {
    setxattr(path, name, value, XattrFlags::empty()).is_ok()
}

fn get(path: &str, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 1024];
    let length = getxattr(path, name, &mut *value).ok()?;
    value.truncate(length);
    Some(value)
}

/// `u::rw-, u:1234:r--, g::r--, m::MASK, o::---`.
fn acl(mask: u8) -> Vec<u8> {
    let entry = |tag: u8, perm: u8, id: u32| [&[tag, 0, perm, 0][..], &id.to_le_bytes()].concat();
    let none = u32::MAX;
    [
        vec![2, 0, 0, 0],
        entry(1, 6, none),
        entry(2, 4, 1234),
        entry(4, 4, none),
        entry(16, mask, none),
        entry(32, 0, none),
    ]
    .concat()
}

#[test]
fn a_successor_is_like_the_old_file() {
    let (tree, path) = (Tree::new(), "rw/f");
    let (jail, path) = (tree.jail(), tree.path(path));
    assert_eq!(put(&jail, &path, "one").unwrap(), Vec::<String>::new());
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640, "a new one has its mode from the start");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o1604)).unwrap();
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        chown(&path, Some(1234), Some(4321)).unwrap();
    }
    let has_user = set(&path, "user.note", b"mine");
    let has_acl = set(&path, "system.posix_acl_access", &acl(4));
    let before = fs::metadata(&path).unwrap();
    assert_eq!(put(&jail, &path, "two").unwrap(), Vec::<String>::new());
    let after = fs::metadata(&path).unwrap();
    assert_eq!((tree.read("rw/f"), before.ino() == after.ino()), ("two".into(), false));
    assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
    assert!(!has_user || get(&path, "user.note").as_deref() == Some(b"mine"));
    assert!(!has_acl || get(&path, "system.posix_acl_access") == Some(acl(4)));
    assert_eq!(tree.names("rw"), ["f"], "nothing else is left");
}

/// The kernel lists at most 64 KiB of names, and says no more of a file that has more.
#[test]
fn a_file_whose_acl_cannot_be_seen_is_not_replaced_by_one_without() {
    let ignored = |why: &[u8]| drop(std::io::Write::write_all(&mut std::io::stderr(), why));
    let Ok(tree) = Tree::within("/dev/shm".as_ref()) else {
        return ignored(b"ignored: /dev/shm is no directory for tests\n");
    };
    let (jail, path) = (tree.jail(), tree.path("rw/f"));
    put(&jail, &path, "one").unwrap();
    let has_acl = set(&path, "system.posix_acl_access", &acl(6));
    let name = |number: usize| format!("user.{number:0>240}");
    if !has_acl || !(0..300).all(|number| set(&path, &name(number), b"")) {
        return ignored(b"ignored: this kernel's tmpfs keeps no such attributes (Linux 6.6 has them)\n");
    }
    let why = put(&jail, &path, "two").unwrap_err();
    assert!(why.kind() == "refused" && why.to_string().contains("ACL"), "{why}");
    assert_eq!((tree.read("rw/f"), get(&path, "system.posix_acl_access")), ("one".into(), Some(acl(6))));
    assert_eq!(tree.names("rw"), ["f"], "nothing else is left");
}

#[test]
fn what_the_directory_hands_down_does_not_open_a_file_that_was_closed() {
    let tree = Tree::new();
    let (jail, path) = (tree.jail(), tree.path("rw/f"));
    put(&jail, &path, "one").unwrap();
    if !set(&tree.path("rw"), "system.posix_acl_default", &acl(7)) {
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"ignored: this filesystem keeps no default ACL\n");
        return;
    }
    put(&jail, &path, "two").unwrap();
    assert_eq!((get(&path, "system.posix_acl_access"), fs::metadata(&path).unwrap().mode() & 0o777), (None, 0o640));
}

#[test]
fn setuid_goes_with_the_content_it_was_given_to() {
    let tree = Tree::new();
    let (jail, path) = (tree.jail(), tree.path("rw/f"));
    put(&jail, &path, "one").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o6755)).unwrap();
    assert!(put(&jail, &path, "two").unwrap()[0].contains("setuid"));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn what_changed_since_it_was_seen_is_not_replaced() {
    let tree = Tree::new();
    let (jail, path) = (tree.jail(), tree.path("rw/f"));
    let spot = jail.spot(&path).unwrap();
    let hold = Hold::of(&[&spot]).unwrap();
    let seen = |content: &str| {
        fs::write(&path, content).unwrap();
        Version::of(&spot.there().unwrap()).unwrap()
    };
    // written to in place, with the same length and, for all that `ls` tells, the same time
    let old = seen("one");
    let time = Timespec { tv_sec: old.stat().st_mtime, tv_nsec: i64::try_from(old.stat().st_mtime_nsec).unwrap() };
    std::thread::sleep(std::time::Duration::from_millis(20));
    fs::write(&path, "two").unwrap();
    futimens(
        fs::File::options().write(true).open(&path).unwrap(),
        &Timestamps { last_access: time, last_modification: time },
    )
    .unwrap();
    let failure = spot.put(&hold, Some(&old), b"mine", 0).unwrap_err();
    assert!(failure.kind() == "refused" && failure.to_string().contains("by another program"), "{failure}");
    // another file in its place
    let old = seen("one");
    fs::rename(&path, tree.path("rw/g")).unwrap();
    fs::copy(tree.path("rw/g"), &path).unwrap();
    for failure in [
        spot.put(&hold, Some(&old), b"mine", 0).unwrap_err(),
        spot.remove(&hold, &old).unwrap_err(),
        spot.rename(&jail.spot(&tree.path("rw/h")).unwrap(), &hold, &old, None).unwrap_err(),
        // and one where there was none
        spot.put(&hold, None, b"mine", 0o644).unwrap_err(),
    ] {
        assert_eq!(failure.kind(), "refused", "{failure}");
    }
    // the directory by another name, and another by its
    let spot = jail.spot(&tree.path("rw/d/f")).map(drop).unwrap_err();
    assert_eq!(spot.kind(), "not_found");
    fs::create_dir(tree.path("rw/d")).unwrap();
    let spot = jail.spot(&tree.path("rw/d/f")).unwrap();
    fs::rename(tree.path("rw/d"), tree.path("out/d")).unwrap();
    fs::create_dir(tree.path("rw/d")).unwrap();
    let failure = spot.put(&Hold::of(&[&spot]).unwrap(), None, b"mine", 0o644).unwrap_err();
    assert!(failure.to_string().contains("another directory"), "{failure}");
    assert_eq!((tree.names("rw"), tree.names("out/d")), (vec!["d".into(), "f".into(), "g".into()], vec![]));
    assert_eq!((tree.read("rw/f"), tree.read("rw/g")), ("one".into(), "one".into()));
}

#[test]
fn what_no_caller_may_change_is_not_changed() {
    let tree = Tree::new();
    let jail = tree.jail();
    for name in ["rw/ro", "rw/state", "rw/box/.ssh", "rw/box/sub", "rw/plain"] {
        fs::create_dir_all(tree.path(name)).unwrap();
    }
    for name in ["rw/ro/f", "rw/state/f", "rw/box/.ssh/id", "rw/plain/f", "out/f"] {
        fs::write(tree.path(name), "kept").unwrap();
    }
    symlink(tree.path("out/f"), tree.path("rw/link")).unwrap();
    symlink(tree.path("out"), tree.path("rw/linked")).unwrap();
    fs::hard_link(tree.path("rw/state/f"), tree.path("rw/other")).unwrap();
    for (name, kind) in [
        ("out/f", "forbidden"),
        ("rw/ro/f", "forbidden"),
        ("rw/ro/new", "forbidden"),
        ("rw/ro", "forbidden"),
        ("rw", "forbidden"),
        ("rw/state", "forbidden"),
        ("rw/state/f", "forbidden"),
        ("rw/state/new", "forbidden"),
        // its own by another name, and what would become its own
        ("rw/other", "forbidden"),
        ("rw/tokens.ron", "forbidden"),
        ("rw/tokens.ron.new", "forbidden"),
        ("rw/.env", "forbidden"),
        ("rw/box/.ssh/id", "forbidden"),
        ("rw/link", "forbidden"),
        ("rw/linked/f", "forbidden"),
        ("rw/linked/new", "forbidden"),
        ("rw/plain", "forbidden"),
        ("rw/plain/f/x", "invalid"),
        ("rw/none/x", "not_found"),
        ("rw/../out/f", "invalid"),
    ] {
        let failure = put(&jail, &tree.path(name), "mine").unwrap_err();
        assert_eq!(failure.kind(), kind, "{name}: {failure}");
    }
    for name in ["rw/ro", "rw", "rw/state", "rw/state/f", "rw/other", "rw/box", "rw/box/.ssh", "rw/linked/f", "out/f"] {
        let (path, new) = (tree.path(name), tree.path("rw/moved"));
        assert_eq!(remove(&jail, &path).unwrap_err().kind(), "forbidden", "{name}");
        assert_eq!(rename(&jail, &path, &new).unwrap_err().kind(), "forbidden", "{name}");
        assert!(rename(&jail, &tree.path("rw/plain/f"), &path).is_err(), "{name}");
    }
    for name in ["rw/.env", "rw/id_rsa", "rw/ro/x", "rw/state/x", "out/x", "rw/linked/x"] {
        assert_eq!(
            rename(&jail, &tree.path("rw/plain/f"), &tree.path(name)).unwrap_err().kind(),
            "forbidden",
            "{name}"
        );
        let made = jail.spot(&tree.path(name)).and_then(|spot| spot.make_directory(0o755));
        assert_eq!(made.unwrap_err().kind(), "forbidden", "{name}");
    }
    for name in ["rw/ro/f", "rw/state/f", "rw/box/.ssh/id", "rw/plain/f", "out/f"] {
        assert_eq!(tree.read(name), "kept");
    }
    // a link is removed and moved as one
    rename(&jail, &tree.path("rw/linked"), &tree.path("rw/relinked")).unwrap();
    remove(&jail, &tree.path("rw/relinked")).unwrap();
    remove(&jail, &tree.path("rw/link")).unwrap();
    assert_eq!((tree.names("out"), tree.read("out/f")), (vec!["f".into()], "kept".into()));
}

#[test]
fn a_tree_is_removed_as_it_was_counted_or_to_the_first_surprise() {
    let tree = Tree::new();
    let jail = tree.jail();
    let (top, deep) = (tree.path("rw/d"), format!("rw/d/{}", "x/".repeat(200)));
    let fill = || {
        fs::create_dir_all(tree.path(&deep)).unwrap();
        for name in ["rw/d/a", "rw/d/z", &format!("{deep}f")] {
            fs::write(tree.path(name), "").unwrap();
        }
        symlink(tree.path("out"), tree.path("rw/d/link")).unwrap();
    };
    fs::write(tree.path("out/f"), "kept").unwrap();
    fill();
    let spot = jail.spot(&top).unwrap();
    let found = spot.there().unwrap();
    let below = survey(&found, None).unwrap();
    assert_eq!(below.count(), 204);
    // more than was counted
    fs::write(tree.path(&format!("{deep}g")), "").unwrap();
    let failure = below.remove(&found).unwrap_err().to_string();
    assert!(
        failure.contains("something was put into it meanwhile") && failure.contains("2 of 204 entries"),
        "{failure}"
    );
    // another than was counted
    let below = survey(&found, None).unwrap();
    // both at once for a moment, or the new one might get the inode of the old one
    symlink(tree.path("out/f"), tree.path("rw/new")).unwrap();
    fs::rename(tree.path("rw/new"), tree.path(&format!("{deep}g"))).unwrap();
    let failure = below.remove(&found).unwrap_err().to_string();
    assert!(failure.contains("not what was counted"), "{failure}");
    // a directory that has become a link to elsewhere
    let below = survey(&found, None).unwrap();
    fs::rename(tree.path("rw/d/x"), tree.path("rw/y")).unwrap();
    symlink(tree.path("out"), tree.path("rw/d/x")).unwrap();
    assert_eq!(below.remove(&found).unwrap_err().kind(), "refused");
    assert_eq!(tree.read("out/f"), "kept");
    fs::remove_file(tree.path("rw/d/x")).unwrap();
    fs::remove_dir_all(tree.path("rw/y")).unwrap();
    let _ = fs::remove_file(tree.path("rw/d/link"));
    fill();
    remove(&jail, &top).unwrap();
    assert_eq!((tree.names("rw"), tree.names("out")), (vec![], vec!["f".to_owned()]));
    // what cannot be counted whole stays whole
    fs::create_dir_all(tree.path(&format!("rw/d/{}", "x/".repeat(300)))).unwrap();
    assert_eq!(remove(&jail, &top).unwrap_err().kind(), "forbidden");
}

#[test]
fn what_a_killed_server_left_goes_with_the_next_write_and_nothing_else_does() {
    let tree = Tree::new();
    let name = |digits: &str| format!(".systemmanager-mcp.{digits}");
    let (old, young) = (name(&"a".repeat(32)), name(&"b".repeat(32)));
    let others = [name(&"a".repeat(31)), name(&"A".repeat(32)), format!("x{}", name(&"a".repeat(32))), "f".into()];
    let time = Timespec { tv_sec: 1_000_000_000, tv_nsec: 0 };
    for name in others.iter().chain([&old, &young]) {
        let file = fs::File::create(tree.0.join("rw").join(name)).unwrap();
        if *name != young {
            futimens(&file, &Timestamps { last_access: time, last_modification: time }).unwrap();
        }
    }
    fs::create_dir(tree.0.join("rw").join(name(&"c".repeat(32)))).unwrap();
    put(&tree.jail(), &tree.path("rw/new"), "").unwrap();
    let names = tree.names("rw");
    assert!(!names.contains(&old) && names.contains(&young) && names.contains(&name(&"c".repeat(32))), "{names:?}");
    assert!(others.iter().all(|other| names.contains(other)), "{names:?}");
}

/// Two jails are as two servers: they share nothing but the kernel's lock.
#[test]
fn of_two_servers_that_have_read_the_same_one_writes() {
    let tree = Tree::new();
    let (path, jails) = (tree.path("rw/f"), [tree.jail(), tree.jail()]);
    fs::write(&path, "0").unwrap();
    for round in 1..=100 {
        let seen = sha256(tree.read("rw/f").as_bytes());
        let won: usize = std::thread::scope(|scope| {
            let write = |jail: &Jail, who: usize| {
                let spot = jail.spot(&path).unwrap();
                let hold = Hold::of(&[&spot]).unwrap();
                let old = Version::of(&spot.there().unwrap()).unwrap();
                if old.sha256() != Some(&seen) {
                    return 0;
                }
                spot.put(&hold, Some(&old), format!("{round} by {who}").as_bytes(), 0).unwrap();
                1
            };
            let all: Vec<_> =
                jails.iter().enumerate().map(|(who, jail)| scope.spawn(move || write(jail, who))).collect();
            all.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!(won, 1, "in round {round}");
    }
}

/// How often a directory is swapped for a link that leads out, at least.
const SWAPS: u64 = 100_000;

#[test]
fn a_directory_swapped_for_a_link_lets_nothing_out() {
    let tree = Tree::new();
    for name in ["rw/d/sub", "out/sub"] {
        fs::create_dir_all(tree.path(name)).unwrap();
    }
    for name in ["out/f", "out/sub/f", "out/g"] {
        fs::write(tree.path(name), "kept").unwrap();
    }
    symlink(tree.path("out"), tree.path("rw/l")).unwrap();
    let (swaps, stop, jail) = (AtomicU64::new(0), AtomicBool::new(false), tree.jail());
    let (mut done, mut refused) = (0_u64, 0_u64);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (one, other) = (tree.path("rw/d"), tree.path("rw/l"));
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).unwrap();
                // now and then it rests, in its place
                if swaps.fetch_add(1, Ordering::Relaxed) % 64 == 63 {
                    std::thread::sleep(std::time::Duration::from_micros(200));
                }
            }
        });
        let path = |name: &str| tree.path(name);
        // and until enough were done and enough refused, whichever side the scheduler favours
        let began = std::time::Instant::now();
        while swaps.load(Ordering::Relaxed) < SWAPS || done <= 100 || refused <= 100 {
            if began.elapsed() > std::time::Duration::from_mins(4) {
                break;
            }
            for result in [
                put(&jail, &path("rw/d/f"), "mine").map(drop),
                put(&jail, &path("rw/d/sub/f"), "mine").map(drop),
                put(&jail, &path("rw/d/new"), "mine").map(drop),
                jail.spot(&path("rw/d/made")).and_then(|spot| spot.make_directory(0o755)),
                rename(&jail, &path("rw/d/f"), &path("rw/d/g")),
                rename(&jail, &path("rw/d/g"), &path("rw/g")),
                rename(&jail, &path("rw/g"), &path("rw/d/sub/g")),
                remove(&jail, &path("rw/d/made")),
                remove(&jail, &path("rw/d/sub")),
                jail.spot(&path("rw/d/sub")).and_then(|spot| spot.make_directory(0o755)),
                remove(&jail, &path("rw/d/new")),
            ] {
                if result.is_ok() { done += 1 } else { refused += 1 }
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(
        (tree.names("out"), tree.names("out/sub")),
        (vec!["f".into(), "g".into(), "sub".into()], vec!["f".into()])
    );
    assert!(["out/f", "out/g", "out/sub/f"].iter().all(|name| tree.read(name) == "kept"));
    assert!(done > 100 && refused > 100, "{done} were done and {refused} refused: one of them was not tried");
}
