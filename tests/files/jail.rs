//! The ways out that take more than a tree to try: mounts, other users' files, a kernel without openat2. The others are tried in
//! src/jail/tests.rs.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use rights::scope::Scope;
use serde_json::json;

use super::{answer, failure};
use crate::common::{Key, Program, Scratch, Server, Setup, needs_root};

/// What stands below `srv`: a tmpfs, the machine's /etc, its /proc, and the server's own state and tokens by other names.
const MOUNTS: &str = "
install --directory --owner=65532 --group=65532 --mode=700 $SCRATCH/state
cd $SCRATCH/srv
mkdir tmpfs etc proc state
touch tokens
mount -t tmpfs none tmpfs
echo fine >tmpfs/file
mount --bind /etc etc
mount -t proc proc proc
mount --bind $SCRATCH/state state
mount --bind $SCRATCH/tokens.ron tokens
cd /";

/// A server that shows `srv` of its scratch directory, with these words of the config about it.
fn server(scratch: Scratch, words: &str, mounts: Option<&'static str>) -> Server {
    let config = format!("files: (directories: [(path: {:?}, {words})])", scratch.path("srv"));
    let keys = vec![Key::new("agent").with_scopes(&[Scope::FilesRead])];
    Setup { config, keys, mounts, scratch, ..Setup::default() }.start()
}

fn srv() -> Scratch {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("srv")).unwrap();
    fs::set_permissions(scratch.path("srv"), fs::Permissions::from_mode(0o755)).unwrap();
    scratch.write("srv/file", "fine\n");
    scratch
}

#[test]
fn what_is_mounted_below_is_refused_unless_the_operator_has_it_shown() {
    // who may not mount cannot be led out by a mount
    if !needs_root() {
        return;
    }
    let server = server(srv(), "", Some(MOUNTS));
    let at = |path: &str| server.scratch.path(path).display().to_string();
    for path in ["srv/tmpfs/file", "srv/etc/passwd", "srv/proc/self/environ", "srv/state", "srv/tokens", "srv/etc"] {
        let why = failure(&server, "file_read", json!({ "path": at(path) }));
        assert!(why.starts_with("forbidden: ") && why.contains("mounts: true"), "{path}: {why}");
        let place = path.split('/').take(2).collect::<Vec<_>>().join("/");
        assert!(why.contains(&at(&place)), "{path}: {why}");
    }
    let found = answer(&server, "file_find", json!({ "path": at("srv"), "pattern": "passwd" })).to_string();
    assert!(!found.contains("etc/passwd"), "{found}");
}

#[test]
fn of_what_is_mounted_only_files_are_shown_and_never_the_servers_own() {
    if !needs_root() {
        return;
    }
    let server = server(srv(), "mounts: true", Some(MOUNTS));
    let at = |path: &str| server.scratch.path(path).display().to_string();
    for path in ["srv/tmpfs/file", "srv/file"] {
        assert!(answer(&server, "file_read", json!({ "path": at(path) })).to_string().contains("fine"), "{path}");
    }
    assert!(answer(&server, "file_read", json!({ "path": at("srv/etc/passwd") })).to_string().contains("root:"));
    for (path, word) in [
        ("srv/etc/shadow", "pattern"),
        ("srv/proc/self/environ", "kernel"),
        ("srv/proc/1/root/etc/passwd", "kernel"),
        ("srv/state", "server's own"),
        ("srv/state/audit.jsonl", "server's own"),
        ("srv/tokens", "server's own"),
    ] {
        let why = failure(&server, "file_read", json!({ "path": at(path) }));
        assert!(why.starts_with("forbidden: ") && why.contains(word), "{path}: {why}");
    }
    // nor does a search come across them: every token is hashed with argon2
    let found = answer(&server, "file_grep", json!({ "path": at("srv"), "pattern": "argon2id" }));
    assert_eq!(found["searched"]["matching"].as_u64(), Some(0), "{found}");
    let found = answer(&server, "file_find", json!({ "path": at("srv"), "pattern": "{environ,audit.jsonl}" }));
    assert!(!found.to_string().contains("environ\"") && !found.to_string().contains("audit.jsonl\""), "{found}");
}

/// Beside [`MOUNTS`]: an overlay of the server's own files, and directories whose paths the patterns name, by another path each.
const STACKED: &str = "
cd $SCRATCH
mkdir srv/over srv/both srv/keys srv/home srv/rel srv/link
mount --bind $SCRATCH/private srv/keys
mkdir upper
mount -t tmpfs none upper
mkdir upper/a upper/b upper/c upper/d
mount -t overlay -o lowerdir=$SCRATCH,upperdir=$SCRATCH/upper/a,workdir=$SCRATCH/upper/b none srv/over
mount -t overlay -o lowerdir=$SCRATCH/private:$SCRATCH/home,upperdir=$SCRATCH/upper/c,workdir=$SCRATCH/upper/d none srv/both
mount --bind $SCRATCH/home srv/home
mount -t overlay -o lowerdir=private:home none srv/rel
ln -s private led
mount -t overlay -o lowerdir=$SCRATCH/led:$SCRATCH/home none srv/link
cd /";

#[test]
fn a_mount_shows_neither_the_servers_own_nor_what_is_denied_by_its_path() {
    if !needs_root() {
        return;
    }
    let scratch = srv();
    for directory in ["private", "home", "home/sub"] {
        fs::create_dir(scratch.path(directory)).unwrap();
        fs::set_permissions(scratch.path(directory), fs::Permissions::from_mode(0o755)).unwrap();
    }
    scratch.write("private/one", "planted\n");
    scratch.write("home/sub/two", "planted\n");
    scratch.write("home/three", "fine\n");
    let denied = [scratch.path("private"), scratch.path("home/sub")];
    let config = format!(
        "files: (deny: {denied:?}, directories: [(path: {:?}, mounts: true), (path: {:?})])",
        scratch.path("srv"),
        scratch.path("srv/home")
    );
    let keys = vec![Key::new("agent").with_scopes(&[Scope::FilesRead])];
    let mounts = Box::leak(format!("{MOUNTS}{STACKED}").into_boxed_str());
    let server = Setup { config, keys, mounts: Some(mounts), scratch, ..Setup::default() }.start();
    let at = |path: &str| server.scratch.path(path).display().to_string();
    for (path, word) in [
        ("srv/over/tokens.ron", "server's own"),
        ("srv/over/state/audit.jsonl", "server's own"),
        ("srv/over/private/one", "pattern"),
        ("srv/keys/one", "pattern"),
        ("srv/both/one", "pattern"),
        ("srv/both/sub/two", "pattern"),
        ("srv/home/sub/two", "pattern"),
        ("srv/home/sub", "pattern"),
        ("srv/rel/one", "overlay"),
        ("srv/link/one", "pattern"),
    ] {
        let why = failure(&server, "file_read", json!({ "path": at(path) }));
        assert!(why.starts_with("forbidden: ") && why.contains(word), "{path}: {why}");
    }
    for path in ["srv/home/three", "srv/over/home/three", "srv/over/srv/file"] {
        let read = answer(&server, "file_read", json!({ "path": at(path) })).to_string();
        assert!(read.contains("fine"), "{path}: {read}");
    }
    for pattern in ["argon2id", "planted"] {
        let found = answer(&server, "file_grep", json!({ "path": at("srv"), "pattern": pattern }));
        assert_eq!(found["searched"]["matching"].as_u64(), Some(0), "{found}");
    }
}

#[test]
fn what_the_server_may_not_read_is_denied_with_the_reason() {
    let scratch = srv();
    scratch.write("srv/closed", "secret");
    fs::create_dir(scratch.path("srv/shut")).unwrap();
    scratch.write("srv/shut/file", "secret");
    for path in ["srv/closed", "srv/shut"] {
        fs::set_permissions(scratch.path(path), fs::Permissions::from_mode(0o000)).unwrap();
    }
    let server = server(scratch, "", None);
    let at = |path: &str| server.scratch.path(path).display().to_string();
    let closed = failure(&server, "file_read", json!({ "path": at("srv/closed") }));
    assert!(closed.starts_with("denied: ") && closed.contains("mode 0000") && closed.contains("uid "), "{closed}");
    let shut = failure(&server, "file_read", json!({ "path": at("srv/shut/file") }));
    assert!(shut.starts_with("denied: ") && shut.contains("closed to it"), "{shut}");
    // a search goes on, and says what it could not look into
    let found = answer(&server, "file_grep", json!({ "path": at("srv"), "pattern": "fine" }));
    assert_eq!(found["searched"]["matching"].as_u64(), Some(1), "{found}");
    fs::set_permissions(server.scratch.path("srv/shut"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn without_openat2_no_file_is_opened() {
    let (program, scratch) = (Program::get(), srv());
    let path = scratch.path("srv/file").display().to_string();
    let files = scratch.path("srv").display().to_string();
    let call = |errno: &str, tool: &str, arguments: serde_json::Value| {
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=openat2"]);
        command.args(["-e", &format!("inject=openat2:error={errno}")]).arg(&program.path);
        command.args(["call", tool, &arguments.to_string(), "--files", &files]);
        let said = command.env("STATE_DIRECTORY", scratch.path("state")).output().unwrap();
        (
            said.status.code(),
            String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout),
        )
    };
    for errno in ["ENOSYS", "EPERM"] {
        for (tool, arguments) in [
            ("file_read", json!({ "path": path })),
            ("directory", json!({ "path": files })),
            ("file_grep", json!({ "path": files, "pattern": "fine" })),
        ] {
            let (code, said) = call(errno, tool, arguments);
            assert!(code == Some(1) && said.contains("openat2 (Linux 5.6)"), "{errno} {tool}: {code:?} {said}");
            assert!(!said.contains("fine\n"), "{said}");
        }
    }
}
