//! Every way out that is known, tried.
#![expect(clippy::disallowed_methods, reason = "makes the trees to be tried")]

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    io::Read,
    os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{CWD, Mode, RenameFlags, mkfifoat, renameat_with};

use super::{
    walk::{Go, Passed, Walk},
    *,
};

/// A directory of a test's own, with `in` that is allowed and `out` that is not.
struct Tree(PathBuf);

impl Tree {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("jail-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = fs::canonicalize(std::env::temp_dir()).unwrap().join(name);
        for part in ["in/sub", "out", "inside"] {
            fs::create_dir_all(dir.join(part)).unwrap();
        }
        for (path, text) in
            [("in/file", "fine"), ("in/sub/file", "fine"), ("out/secret", "secret"), ("inside/secret", "secret")]
        {
            fs::write(dir.join(path), text).unwrap();
        }
        Self(dir)
    }

    fn path(&self, path: &str) -> String {
        self.0.join(path).to_str().unwrap().to_owned()
    }

    fn allowed(&self, path: &str, access: Access) -> Allowed {
        Allowed { path: self.0.join(path), access, mounts: false }
    }

    fn jail(&self) -> Jail {
        self.jail_of(&[("in", Access::Rw)])
    }

    fn jail_of(&self, allowed: &[(&str, Access)]) -> Jail {
        let allowed = allowed.iter().map(|(path, access)| self.allowed(path, *access)).collect();
        Jail::new(Settings { allowed, ..Settings::default() })
    }

    fn link(&self, at: &str, target: &str) {
        symlink(target, self.0.join(at)).unwrap();
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn read(jail: &Jail, path: &str) -> Result<String, Failure> {
    let mut text = String::new();
    jail.find(path)?.open()?.read_to_string(&mut text).unwrap();
    Ok(text)
}

#[track_caller]
fn refused(jail: &Jail, path: &str, kind: &str) -> String {
    let failure = read(jail, path).map(|text| panic!("{path} gave {text:?}")).unwrap_err();
    assert_eq!(failure.kind(), kind, "{path}: {failure}");
    failure.to_string()
}

#[test]
fn what_is_allowed_is_read() {
    let tree = Tree::new();
    let jail = tree.jail();
    for path in ["in/file", "in/sub/file", "in/./sub//file", "in/file/"] {
        assert_eq!(read(&jail, &tree.path(path)).unwrap(), "fine", "{path}");
    }
    let directory = jail.find(&tree.path("in")).unwrap();
    assert_eq!(directory.entries().unwrap().names(std::ops::Bound::Unbounded, 1 << 20).unwrap().len(), 2);
    assert_eq!(jail.find(&tree.path("in/sub/")).unwrap().path(), tree.0.join("in/sub"));
}

#[test]
fn dots_do_not_climb() {
    let tree = Tree::new();
    let jail = tree.jail();
    for path in ["in/../out/secret", "in/sub/../../out/secret", "in/..", "in/sub/../file"] {
        let why = refused(&jail, &tree.path(path), "invalid");
        assert!(why.contains("..") && why.contains(&tree.path("in")), "{why}");
    }
    for path in ["in/file", "./file", "~/file", "~root/file", "", "file"] {
        let why = refused(&jail, path, "invalid");
        assert!(why.contains("begins with /") && why.contains(&tree.path("in")), "{why}");
    }
}

#[test]
fn what_lies_outside_is_refused_whether_it_exists_or_not() {
    let tree = Tree::new();
    let jail = tree.jail();
    let there = refused(&jail, "/etc/passwd", "forbidden");
    let absent = refused(&jail, "/etc/no-such-file", "forbidden");
    assert_eq!(there.replace("passwd", "no-such-file"), absent);
    assert!(there.contains(&format!("{} (rw)", tree.path("in"))), "{there}");
    // CVE-2025-53110: a sibling whose name begins like the allowed one's
    refused(&jail, &tree.path("inside/secret"), "forbidden");
    refused(&jail, &tree.path("in "), "forbidden");
    refused(&jail, "/", "forbidden");
    refused(&Jail::closed(), "/", "forbidden");
}

#[test]
fn links_lead_no_further_than_the_path_they_stand_for() {
    let tree = Tree::new();
    let jail = tree.jail();
    // CVE-2025-53109: a link inside to a file or a directory outside
    tree.link("in/file-out", "../out/secret");
    tree.link("in/dir-out", "../out");
    tree.link("in/file-absolute", &tree.path("out/secret"));
    tree.link("in/dir-absolute", "/");
    tree.link("in/sub/up", "../..");
    tree.link("in/dangling", &tree.path("out/none"));
    tree.link("in/chain", "chain-2");
    tree.link("in/chain-2", "chain-3");
    tree.link("in/chain-3", "../out/secret");
    tree.link("in/self", "/proc/self/root/etc/passwd");
    for path in [
        "in/file-out",
        "in/dir-out/secret",
        "in/file-absolute",
        "in/dir-absolute/etc/passwd",
        "in/sub/up/out/secret",
        "in/dangling",
        "in/chain",
        "in/self",
    ] {
        refused(&jail, &tree.path(path), "forbidden");
    }
    tree.link("in/loop", "loop");
    tree.link("in/loop-a", "loop-b");
    tree.link("in/loop-b", "loop-a/x");
    for path in ["in/loop", "in/loop-a", "in/loop/x"] {
        assert!(matches!(jail.find(&tree.path(path)), Err(Failure::Refused(_) | Failure::Invalid(_))), "{path}");
    }
}

#[test]
fn links_that_stay_inside_are_followed_to_their_true_path() {
    let tree = Tree::new();
    let jail = tree.jail_of(&[("in", Access::Ro), ("out", Access::Rw)]);
    tree.link("in/a", "sub/b");
    tree.link("in/sub/b", "../file");
    tree.link("in/absolute", &tree.path("in/sub"));
    tree.link("in/other", "../out");
    for (path, truly) in [
        ("in/a", "in/file"),
        ("in/absolute/file", "in/sub/file"),
        ("in/absolute/b", "in/file"),
        ("in/other/secret", "out/secret"),
    ] {
        let found = jail.find(&tree.path(path)).unwrap();
        assert_eq!(found.path(), tree.0.join(truly), "{path}");
        let access = if truly.starts_with("out") { Access::Rw } else { Access::Ro };
        assert_eq!(found.access(), access, "a link has the rights of where it leads");
    }
    assert_eq!(jail.find_entry(&tree.path("in/a")).unwrap().target().unwrap(), b"sub/b");
    assert_eq!(jail.find_entry(&tree.path("in/absolute/b")).unwrap().path(), tree.0.join("in/sub/b"));
}

#[test]
fn what_is_denied_is_denied_by_every_way_to_it() {
    let tree = Tree::new();
    fs::create_dir_all(tree.0.join("in/.ssh")).unwrap();
    for path in ["in/.env", "in/.ssh/config"] {
        fs::write(tree.0.join(path), "secret").unwrap();
    }
    tree.link("in/harmless", ".env");
    tree.link("in/keys", ".ssh");
    let jail = tree.jail();
    for path in ["in/.env", "in/.ssh/config", "in/.ssh", "in/harmless", "in/keys/config", "in/keys", "in/.ssh/none"] {
        let why = refused(&jail, &tree.path(path), "forbidden");
        assert!(why.contains("the pattern"), "{why}");
    }
    assert_eq!(jail.find_entry(&tree.path("in/harmless")).unwrap().kind(), FileType::Symlink);
    // a hard link has another name, and no file knows its names: this is what redaction is there for
    fs::hard_link(tree.0.join("in/.env"), tree.0.join("in/innocent")).unwrap();
    assert_eq!(read(&jail, &tree.path("in/innocent")).unwrap(), "secret");
}

/// An allowed directory may be called by a path with a link in it, and what is denied by the other.
#[test]
fn what_is_denied_by_its_path_is_denied_by_either_name_of_its_directory() {
    let tree = Tree::new();
    tree.link("link", "in");
    fs::create_dir(tree.0.join("in/private")).unwrap();
    fs::write(tree.0.join("in/private/note"), "").unwrap();
    for (deny, allowed) in [("in/private", "link"), ("link/private", "link"), ("in/private", "in")] {
        let deny = Deny::new(false, &[tree.path(deny)]).unwrap();
        let allowed = vec![tree.allowed(allowed, Access::Rw)];
        let at = allowed[0].path.to_str().unwrap().to_owned();
        let jail = Jail::new(Settings { allowed, deny, ..Settings::default() });
        refused(&jail, &format!("{at}/private"), "forbidden");
        refused(&jail, &format!("{at}/private/note"), "forbidden");
        assert!(jail.find_parent(&format!("{at}/private/new")).is_err());
        assert!(jail.find(&at).unwrap().keeps("private".as_ref(), None));
        assert_eq!(walked(&jail, &at, 9, None).0, ["file", "sub", "sub/file"]);
        read(&jail, &format!("{at}/file")).unwrap();
    }
}

#[test]
fn a_trace_names_every_link_on_the_way() {
    let tree = Tree::new();
    tree.link("one", "two/sub");
    tree.link("two", "in");
    tree.link("in/back", "../one/file");
    tree.link("loop", "loop");
    let trace = |path: &str| {
        let trace = Trace::of(Path::new("/"), &tree.0.join(path));
        let shown = |path: &PathBuf| path.strip_prefix(&tree.0).unwrap().to_str().unwrap().to_owned();
        (shown(&trace.end), trace.links.iter().map(shown).collect::<Vec<_>>().join(" "))
    };
    let is = |end: &str, links: &str| (end.to_owned(), links.to_owned());
    assert_eq!(trace("in/sub/file"), is("in/sub/file", ""));
    assert_eq!(trace("two/back"), is("in/sub/file", "two in/back one two"));
    assert_eq!(trace("one/not/there"), is("in/sub/not/there", "one two"));
    // `..` goes back from where a link has led to
    assert_eq!(trace("one/../file"), is("in/file", "one two"));
    assert_eq!(trace("in/sub/../back"), is("in/sub/file", "in/back one two"));
    tree.link("nested", "one/../out");
    assert_eq!(trace("nested/x"), is("in/out/x", "nested one two"));
    assert_eq!(trace("loop").1.split(' ').count(), MOST_LINKS);
    // another root has links of its own
    let below = Trace::of(&tree.0, Path::new("/two/back"));
    assert_eq!((below.end.to_str(), below.links.len()), (Some("/in/sub/file"), 4));
}

#[test]
fn the_servers_own_are_known_by_what_they_are() {
    let tree = Tree::new();
    fs::create_dir_all(tree.0.join("in/state/deep")).unwrap();
    for path in ["in/state/tokens.ron", "in/state/deep/x", "in/audit.jsonl", "in/audit.jsonl.1"] {
        fs::write(tree.0.join(path), "secret").unwrap();
    }
    fs::hard_link(tree.0.join("in/state/tokens.ron"), tree.0.join("in/sub/innocent")).unwrap();
    fs::hard_link(tree.0.join("in/audit.jsonl.1"), tree.0.join("in/sub/innocent-too")).unwrap();
    fs::create_dir(tree.0.join("in/live")).unwrap();
    fs::write(tree.0.join("in/live/key-1"), "secret").unwrap();
    tree.link("in/key", "live/key-1");
    let own = Own::new(vec![tree.0.join("in/state"), tree.0.join("in/audit.jsonl"), tree.0.join("in/key")]);
    let allowed = vec![tree.allowed("in", Access::Rw)];
    let jail = Jail::new(Settings { allowed, own, ..Settings::default() });
    for path in [
        "in/state",
        "in/state/tokens.ron",
        "in/state/deep/x",
        "in/audit.jsonl",
        "in/audit.jsonl.1",
        "in/sub/innocent",
        "in/sub/innocent-too",
        "in/key",
        "in/live/key-1",
    ] {
        let why = refused(&jail, &tree.path(path), "forbidden");
        assert!(why.contains("server's own"), "{why}");
    }
    // one that has come later
    fs::write(tree.0.join("in/state/later"), "secret").unwrap();
    refused(&jail, &tree.path("in/state/later"), "forbidden");
    // and a walk does not open them
    let top = jail.find(&tree.path("in")).unwrap();
    let mut read = vec![];
    let passed = Walk::new(&top, 100).unwrap().each(|entry| {
        if entry.kind == FileType::RegularFile
            && let Some((mut file, _)) = entry.ticket().open().unwrap()
        {
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            read.push(text);
        }
        Go::On
    });
    assert_eq!((read, passed.unwrap().denied), (vec!["fine".to_owned(); 2], 5));
}

#[test]
fn only_files_and_directories_are_opened() {
    let tree = Tree::new();
    mkfifoat(CWD, tree.0.join("in/fifo"), Mode::RUSR | Mode::WUSR).unwrap();
    let _socket = UnixListener::bind(tree.0.join("in/socket")).unwrap();
    let jail = tree.jail();
    // a FIFO that nobody writes to would hold the reader for ever
    for (path, word) in [("in/fifo", "a FIFO"), ("in/socket", "a socket")] {
        let why = refused(&jail, &tree.path(path), "forbidden");
        assert!(why.contains(word), "{why}");
    }
    let devices = Jail::new(Settings {
        allowed: vec![Allowed { path: "/dev".into(), access: Access::Ro, mounts: true }],
        ..Settings::default()
    });
    for path in ["/dev/null", "/dev/zero", "/dev/tty"] {
        if Path::new(path).exists() {
            refused(&devices, path, "forbidden");
        }
    }
    refused(&devices, "/dev/fd/0", "forbidden");
    refused(&devices, "/dev/stdin", "forbidden");
    let top = jail.find(&tree.path("in")).unwrap();
    assert_eq!(top.open().unwrap_err().kind(), "invalid");
    assert_eq!(jail.find(&tree.path("in/file")).unwrap().entries().unwrap_err().kind(), "invalid");
    assert_eq!(jail.find(&tree.path("in/file/x")).unwrap_err().kind(), "not_found");
    assert_eq!(jail.find(&tree.path("in/none")).unwrap_err().kind(), "not_found");
}

#[test]
fn another_name_of_an_own_file_is_kept_where_not_all_own_files_could_be_listed() {
    let tree = Tree::new();
    let deep = "in/state/1/2/3/4/5/6/7";
    fs::create_dir_all(tree.0.join(deep)).unwrap();
    let secret = format!("{deep}/tokens.ron");
    for (path, link) in [(&*secret, "in/innocent"), ("in/fine", "in/also-fine")] {
        fs::write(tree.0.join(path), "x").unwrap();
        fs::hard_link(tree.0.join(path), tree.0.join(link)).unwrap();
    }
    fs::write(tree.0.join("in/plain"), "x").unwrap();
    let allowed = vec![Allowed { path: tree.0.join("in"), access: Access::Ro, mounts: false }];
    let own = Own::new(vec![tree.0.join("in/state")]);
    let jail = Jail::new(Settings { allowed: allowed.clone(), own, ..Settings::default() });
    for path in [&*secret, "in/innocent", "in/also-fine"] {
        let why = refused(&jail, &tree.path(path), "forbidden");
        assert!(why.contains("several names") && why.contains("state directory"), "{path}: {why}");
    }
    assert_eq!(read(&jail, &tree.path("in/plain")).unwrap(), "x");
    // too many for each to be remembered
    let many = tree.0.join("in/many");
    fs::create_dir(&many).unwrap();
    for number in 0..10_100 {
        fs::write(many.join(number.to_string()), "").unwrap();
        fs::hard_link(many.join(number.to_string()), tree.0.join("in").join(format!("link{number}"))).unwrap();
    }
    let own = Own::new(vec![many]);
    let jail = Jail::new(Settings { allowed, own, ..Settings::default() });
    let mut seen = vec![];
    let top = jail.find(&tree.path("in")).unwrap();
    let walk = Walk::new(&top, 100).unwrap();
    walk.each(|entry| {
        if entry.kind == FileType::RegularFile && entry.ticket().open().unwrap().is_some() {
            seen.push(entry.path.file_name().unwrap().to_owned());
        }
        Go::On
    })
    .unwrap();
    seen.retain(|name| name.as_bytes().starts_with(b"link"));
    assert_eq!(seen, Vec::<OsString>::new());
}

#[test]
fn the_kernels_own_filesystems_are_never_shown() {
    let everything = |mounts| {
        Jail::new(Settings {
            allowed: vec![Allowed { path: "/".into(), access: Access::Ro, mounts }],
            ..Settings::default()
        })
    };
    for path in ["/proc/self/environ", "/proc/1/root/etc/passwd", "/proc/self/fd/0", "/proc", "/sys/kernel", "/sys"] {
        refused(&everything(true), path, "forbidden");
        let why = refused(&everything(false), path, "forbidden");
        assert!(why.contains("mounts: true") && why.contains(&path[..4]), "{why}");
    }
    // the rest of / is as it is typed, links and all
    assert_eq!(everything(true).find("/etc").unwrap().path(), Path::new("/etc"));
    assert!(read(&everything(true), "/etc/passwd").unwrap().contains("root"));
    let proc = Jail::new(Settings {
        allowed: vec![Allowed { path: "/proc".into(), access: Access::Ro, mounts: true }],
        ..Settings::default()
    });
    refused(&proc, "/proc/self/environ", "forbidden");
    assert!(proc.complaint(&proc.allowed()[0]).unwrap().contains("kernel"));
}

#[test]
fn another_root_is_not_left() {
    let tree = Tree::new();
    fs::create_dir_all(tree.0.join("out/etc")).unwrap();
    fs::write(tree.0.join("out/etc/passwd"), "its own").unwrap();
    tree.link("out/link", "/etc/passwd");
    tree.link("out/up", "../../../../etc/passwd");
    let jail = Jail::new(Settings {
        root: tree.0.join("out"),
        allowed: vec![Allowed { path: "/".into(), access: Access::Ro, mounts: false }],
        ..Settings::default()
    });
    for path in ["/etc/passwd", "/link", "/up"] {
        assert_eq!(read(&jail, path).unwrap(), "its own", "{path}");
    }
}

#[test]
fn names_may_be_anything_that_a_name_may_be() {
    let tree = Tree::new();
    for name in ["a\nb", " ", "-rf", "*", "a\u{202e}b", "é", "..."] {
        fs::write(tree.0.join("in").join(name), "fine").unwrap();
        assert_eq!(read(&tree.jail(), &tree.path(&format!("in/{name}"))).unwrap(), "fine", "{name:?}");
    }
    fs::write(tree.0.join("in").join(std::ffi::OsStr::from_bytes(b"\xff\xfe")), "fine").unwrap();
    let jail = tree.jail();
    let top = jail.find(&tree.path("in")).unwrap();
    let mut names = vec![];
    Walk::new(&top, 1)
        .unwrap()
        .each(|entry| {
            names.push(entry.name().as_bytes().to_vec());
            Go::On
        })
        .unwrap();
    assert!(names.contains(&b"\xff\xfe".to_vec()));
    let long = format!("{}/{}", tree.path("in"), "a/".repeat(2040));
    assert!(matches!(jail.find(&long), Err(Failure::Invalid(_) | Failure::NotFound(_))));
    let why = refused(&jail, &tree.path(&format!("in/{}", "n".repeat(256))), "invalid");
    assert!(why.contains("255"), "{why}");
}

#[test]
fn changing_needs_a_plain_path_in_a_directory_that_may_be_changed() {
    let tree = Tree::new();
    fs::create_dir_all(tree.0.join("in/sub/rw")).unwrap();
    fs::create_dir_all(tree.0.join("in/sub/ro")).unwrap();
    tree.link("in/dir-out", "../out");
    tree.link("in/dir-in", "sub");
    // writing through a link to a file that does not exist yet
    tree.link("in/new", "../out/new");
    let jail = tree.jail_of(&[("in", Access::Rw), ("in/sub/ro", Access::Ro), ("out", Access::Ro)]);
    let parent = |path: &str| jail.find_parent(&tree.path(path)).map(|(parent, name)| parent.path().join(name));
    assert_eq!(parent("in/x").unwrap(), tree.0.join("in/x"));
    assert_eq!(parent("in/sub/rw/x").unwrap(), tree.0.join("in/sub/rw/x"));
    // the link itself may be replaced; what it leads to is not touched
    assert_eq!(parent("in/new").unwrap(), tree.0.join("in/new"));
    for path in [
        "out/x",
        "in/dir-out/x",
        "in/dir-in/x",
        "in/sub/ro/x",
        // an allowed directory itself, and what holds one
        "in",
        "in/sub/ro",
        "in/sub",
        "in/.env",
        "in/.ssh/x",
        "inside/x",
    ] {
        assert_eq!(parent(path).unwrap_err().kind(), "forbidden", "{path}");
    }
    assert_eq!(parent("in/none/x").unwrap_err().kind(), "not_found");
    assert_eq!(parent("in/file/x").unwrap_err().kind(), "invalid");
    assert_eq!(jail.find_parent("/").unwrap_err().kind(), "invalid");
}

#[test]
fn what_may_only_be_read_is_not_changed_by_another_path_to_it() {
    let tree = Tree::new();
    fs::create_dir_all(tree.0.join("in/sub/deep")).unwrap();
    tree.link("data", "in");
    tree.link("other", "in/sub");
    let parent = |jail: &Jail, path: &str| jail.find_parent(&tree.path(path)).map(|(parent, _)| parent);
    let jail = tree.jail_of(&[("data", Access::Rw), ("in/sub", Access::Ro)]);
    parent(&jail, "data/x").unwrap();
    for path in ["data/sub/x", "data/sub/deep/x", "data/sub"] {
        let failure = parent(&jail, path).unwrap_err();
        assert_eq!(failure.kind(), "forbidden", "{path}: {failure}");
        assert!(failure.to_string().contains(&tree.path("in/sub")), "{path}: {failure}");
    }
    // the inner one by another path, and both
    for outer in ["data", "in"] {
        let jail = tree.jail_of(&[(outer, Access::Rw), ("other", Access::Ro)]);
        for path in ["sub/x", "sub"] {
            let path = format!("{outer}/{path}");
            assert_eq!(parent(&jail, &path).unwrap_err().kind(), "forbidden", "{path}");
        }
        parent(&jail, &format!("{outer}/x")).unwrap();
    }
    // one directory by two paths may be changed if both say so
    for (access, may) in [(Access::Ro, false), (Access::Rw, true)] {
        let jail = tree.jail_of(&[("data", Access::Rw), ("in", access)]);
        assert_eq!((parent(&jail, "data/x").is_ok(), parent(&jail, "in/x").is_ok()), (may, may), "{access}");
    }
    // the other way round the inner one may be changed, by its own path
    let jail = tree.jail_of(&[("in", Access::Ro), ("other", Access::Rw)]);
    parent(&jail, "other/x").unwrap();
    assert_eq!(parent(&jail, "in/sub/x").unwrap_err().kind(), "forbidden");
}

#[test]
fn an_allowed_directory_that_is_replaced_is_seen_and_one_that_becomes_a_link_is_not() {
    let tree = Tree::new();
    let jail = tree.jail_of(&[("in", Access::Ro), ("later", Access::Ro)]);
    refused(&jail, &tree.path("later/file"), "not_found");
    fs::create_dir(tree.0.join("later")).unwrap();
    fs::write(tree.0.join("later/file"), "fine").unwrap();
    assert_eq!(read(&jail, &tree.path("later/file")).unwrap(), "fine");

    fs::rename(tree.0.join("in"), tree.0.join("was")).unwrap();
    fs::create_dir(tree.0.join("in")).unwrap();
    fs::write(tree.0.join("in/file"), "another").unwrap();
    assert_eq!(read(&jail, &tree.path("in/file")).unwrap(), "another");

    fs::rename(tree.0.join("in"), tree.0.join("again")).unwrap();
    tree.link("in", "out");
    assert!(read(&jail, &tree.path("in/secret")).is_err());
    assert!(jail.complaint(&jail.allowed()[0]).unwrap().contains("symbolic link"));
    // one that was a link all along is what the operator wanted
    tree.link("current", "out");
    let linked = tree.jail_of(&[("current", Access::Ro)]);
    assert_eq!(read(&linked, &tree.path("current/secret")).unwrap(), "secret");
    fs::remove_file(tree.0.join("current")).unwrap();
    tree.link("current", "inside");
    assert!(linked.find(&tree.path("current/secret")).is_ok());
}

/// How often a race is tried, at least: `long` if `SMCP_LONG` is set in the environment.
fn tries(short: usize, long: usize) -> usize {
    if std::env::var_os("SMCP_LONG").is_some() { long } else { short }
}

/// How long a race goes on until all that it is to see has been seen; longer than that takes on any machine.
const PATIENCE: Duration = Duration::from_mins(4);

/// A directory and a link to the outside trade names all the time, while others read below that name.
#[test]
fn a_link_swapped_in_again_and_again_leads_nowhere() {
    let tries = tries(100_000, 1_000_000);
    let tree = Tree::new();
    fs::create_dir(tree.0.join("in/d")).unwrap();
    fs::write(tree.0.join("in/d/secret"), "fine").unwrap();
    tree.link("in/l", "../out");
    let jail = tree.jail();
    let (stop, swaps) = (AtomicBool::new(false), AtomicU32::new(0));
    let (d, l) = (tree.0.join("in/d"), tree.0.join("in/l"));
    let (mut fine, mut refused) = (0_u32, 0_u32);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, &d, CWD, &l, RenameFlags::EXCHANGE).unwrap();
                swaps.fetch_add(1, Ordering::Relaxed);
            }
        });
        let path = tree.path("in/d/secret");
        let (mut text, began) = (String::new(), Instant::now());
        // the scheduler may favour one side: go on until both were seen, and many swaps
        let is_seen = |fine, refused| fine > 0 && refused > 0 && swaps.load(Ordering::Relaxed) > 1000;
        let mut turn = 0;
        while turn < tries || (!is_seen(fine, refused) && began.elapsed() < PATIENCE) {
            turn += 1;
            match jail.find(&path).and_then(|found| found.open()) {
                Ok(mut file) => {
                    fine += 1;
                    // what is opened is that which was found; reading each would only take longer
                    if turn % 16 == 0 {
                        text.clear();
                        file.read_to_string(&mut text).unwrap();
                        assert_eq!(text, "fine");
                    }
                }
                Err(_) => refused += 1,
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(fine > 0 && refused > 0 && swaps.load(Ordering::Relaxed) > 1000, "{fine} {refused} {swaps:?}");
}

/// The same below a walk, whose directories are swapped for links while it goes through them.
#[test]
fn a_walk_is_not_led_out_while_directories_are_swapped_for_links() {
    let tree = Tree::new();
    for n in 0..20 {
        fs::create_dir_all(tree.0.join(format!("in/d{n}/e"))).unwrap();
        fs::write(tree.0.join(format!("in/d{n}/e/secret")), "fine").unwrap();
    }
    fs::create_dir(tree.0.join("out/e")).unwrap();
    fs::write(tree.0.join("out/e/secret"), "secret").unwrap();
    tree.link("in/link", "../out");
    let jail = tree.jail();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let link = tree.0.join("in/link");
            for n in (0..20).cycle() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let d = tree.0.join(format!("in/d{n}"));
                renameat_with(CWD, &d, CWD, &link, RenameFlags::EXCHANGE).unwrap();
                thread::yield_now();
                renameat_with(CWD, &d, CWD, &link, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let (mut read, least, began) = (0, 10_000, Instant::now());
        let mut walks = 0;
        while walks < tries(100, 1_000) || (read <= least && began.elapsed() < PATIENCE) {
            walks += 1;
            let top = jail.find(&tree.path("in")).unwrap();
            Walk::new(&top, 100)
                .unwrap()
                .each(|entry| {
                    if let Ok(Some((mut file, _))) = entry.ticket().open() {
                        let mut text = String::new();
                        file.read_to_string(&mut text).unwrap();
                        assert_eq!(text, "fine", "{}", entry.path.display());
                        read += 1;
                    }
                    Go::On
                })
                .unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        assert!(read > least, "{read}");
    });
}

fn walked(jail: &Jail, path: &str, depth: usize, after: Option<&Path>) -> (Vec<String>, Passed) {
    let top = jail.find(path).unwrap();
    let mut seen = vec![];
    let walk = Walk::new(&top, depth).unwrap();
    let walk = if let Some(after) = after { walk.after(after) } else { walk };
    let passed = walk.each(|entry| {
        seen.push(entry.path.to_str().unwrap().to_owned());
        Go::On
    });
    (seen, passed.unwrap())
}

#[test]
fn a_walk_shows_everything_once_in_order_and_goes_on_after_any_entry() {
    let tree = Tree::new();
    for path in ["in/a/b/c/d", "in/a/b2", "in/a.b", "in/a-b/x", "in/z", "in/.ssh"] {
        fs::create_dir_all(tree.0.join(path)).unwrap();
    }
    for path in ["in/a/1", "in/a/b/2", "in/a/b/c/3", "in/z/4", "in/.ssh/5"] {
        fs::write(tree.0.join(path), "").unwrap();
    }
    tree.link("in/z/link", "../a");
    let jail = tree.jail();
    let (all, passed) = walked(&jail, &tree.path("in"), 100, None);
    let expected = [
        "a", "a/1", "a/b", "a/b/2", "a/b/c", "a/b/c/3", "a/b/c/d", "a/b2", "a-b", "a-b/x", "a.b", "file", "sub",
        "sub/file", "z", "z/4", "z/link",
    ];
    assert_eq!(all, expected);
    assert_eq!(passed, Passed { denied: 1, ..Passed::default() });
    for (at, last) in all.iter().enumerate() {
        let (rest, _) = walked(&jail, &tree.path("in"), 100, Some(Path::new(last)));
        assert_eq!(rest, all[at + 1..], "after {last}");
    }
    // after what has gone meanwhile, with what comes next
    assert_eq!(walked(&jail, &tree.path("in"), 100, Some(Path::new("a/b/c/30"))).0, all[6..]);
    assert_eq!(walked(&jail, &tree.path("in"), 100, Some(Path::new("a/aa/x"))).0, all[2..]);
    let (shallow, passed) = walked(&jail, &tree.path("in"), 1, None);
    assert_eq!(shallow, ["a", "a-b", "a.b", "file", "sub", "z"]);
    assert!(passed.too_deep > 0);
    let (two, _) = walked(&jail, &tree.path("in"), 2, None);
    assert_eq!(two.iter().filter(|path| path.matches('/').count() > 1).count(), 0);
}

#[test]
fn a_walk_goes_as_deep_as_there_are_directories_with_few_of_them_open() {
    let tree = Tree::new();
    let mut at = rustix::fs::open(tree.0.join("in"), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
    // longer than any path that the kernel takes
    let name = "a-directory-with-a-longer-name";
    for _ in 0..1_000 {
        rustix::fs::mkdirat(&at, name, Mode::RWXU).unwrap();
        rustix::fs::mkdirat(&at, "b", Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, name, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    drop(at);
    let jail = tree.jail();
    let top = jail.find(&tree.path("in")).unwrap();
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let (before, mut most, mut deepest, mut count) = (open(), 0, 0, 0);
    let passed = Walk::new(&top, usize::MAX).unwrap().each(|entry| {
        (deepest, count) = (deepest.max(entry.depth), count + 1);
        if count % 50 == 0 {
            most = most.max(open());
        }
        Go::On
    });
    assert_eq!((deepest, count, passed.unwrap()), (1_000, 2_003, Passed::default()));
    // other tests open files too
    assert!(most < before + 200, "{before} {most}");
    // too deep to be removed by its path
    let mut remove = tree.0.join("in");
    while let Ok(()) = fs::rename(remove.join(name).join(name), tree.0.join("next")) {
        let _ = fs::remove_dir_all(remove.join(name));
        fs::rename(tree.0.join("next"), remove.join(name)).unwrap();
        remove = tree.0.join("in");
    }
}

#[test]
fn a_walk_of_more_names_than_it_may_hold_shows_each_once() {
    let tree = Tree::new();
    let dir = tree.0.join("in/sub");
    for n in 0..3_000 {
        fs::write(dir.join(format!("{n}-{}", "x".repeat(200))), "").unwrap();
    }
    let top = tree.jail().find(&tree.path("in/sub")).unwrap();
    let entries = top.entries().unwrap();
    assert!(entries.names(std::ops::Bound::Unbounded, 16 << 10).unwrap().have_more(), "the test needs more names");
    let (seen, _) = walked(&tree.jail(), &tree.path("in"), 9, None);
    let unique: BTreeSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), unique.len()), (3_003, 3_003));
}
