//! What is known of one file, beside what is in it?

mod holders;
mod package;

use std::{
    fs::File,
    io::Read,
    os::{
        fd::{AsFd, AsRawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    time::Duration,
};

use ring::digest;
use rustix::{
    fs::{AtFlags, FileType, Statx, StatxAttributes, StatxFlags, getxattr, statx},
    io::Errno,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{holders::Holders, package::Package};
use super::{
    patience,
    stat::{Kind, Owners, permissions, time},
};
use crate::tool::{Tool, Turn};
use facts::host::Machine;
use jail::{Found, Jail};
use kernel::{
    failure::Failure,
    proc::{
        capability,
        mountinfo::{Lines, Mount},
    },
    root::Root,
};
use lanes::lane::Lane;
use rights::scope::Scope;
use search::{
    content::{Compression, Content, Encoding, Nature},
    patience::Patience,
};
use text::hex;

/// How long all that is asked for may take together.
const LOOKED_FOR: Duration = Duration::from_secs(8);

/// Read at a time, in bytes.
const BLOCK: usize = 256 << 10;

/// All that stat knows of a file, a directory, a link or whatever has the name (a link is not followed), where it lies and what it is; on
/// request its checksum, who holds it open, which package it belongs to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileInfo {
    /// Absolute.
    path: String,
    /// Its SHA-256, as far as 8 seconds suffice.
    #[serde(default)]
    checksum: bool,
    /// Which processes hold it open (needs system:read as well).
    #[serde(default)]
    holders: bool,
    /// Which package installed it (dpkg, apk).
    #[serde(default)]
    package: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    pub path: String,
    pub kind: Kind,
    /// What is in it, by how it begins. Null: no file, or not to be known.
    pub content: Option<String>,
    /// As `ls -l` has them.
    pub permissions: String,
    /// Octal.
    pub mode: String,
    /// What callers may do here: ro or rw.
    pub access: String,
    /// Name, or number where it has none.
    pub owner: String,
    pub uid: u32,
    pub group: String,
    pub gid: u32,
    pub size_bytes: u64,
    /// What it takes on the disk.
    pub allocated_bytes: u64,
    /// RFC 3339, UTC, as all times here: when its content changed.
    pub modified: Option<String>,
    /// When its owner, mode, name or content changed.
    pub changed: Option<String>,
    /// When it was read, as far as the mount keeps it.
    pub accessed: Option<String>,
    /// Null: the filesystem does not keep it.
    pub created: Option<String>,
    /// Names it has.
    pub links: u32,
    pub inode: u64,
    /// Its filesystem's device: major:minor.
    pub device: String,
    /// What a device file stands for: major:minor.
    pub stands_for: Option<String>,
    /// Of compressed, immutable, append, nodump, encrypted, verity, dax, those that are set. Null: the filesystem does not tell.
    pub attributes: Option<Vec<&'static str>>,
    /// What a program gets when it is run: cap_net_raw and the like.
    pub capabilities: Option<String>,
    /// Whether permissions beyond the mode are set. Null: not to be known.
    pub acl: Option<bool>,
    /// Where a link leads, as it says.
    pub target: Option<String>,
    /// Where that ends, or why it ends nowhere.
    pub leads_to: Option<String>,
    pub filesystem: Option<Filesystem>,
    pub package: Option<Package>,
    pub holders: Option<Holders>,
    pub checksum: Option<Checksum>,
    /// What of all this is not to be known, and why.
    pub unknown: Option<String>,
}

/// Where it lies.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Filesystem {
    pub mount_point: String,
    /// ext4 and the like.
    #[serde(rename = "type")]
    pub kind: String,
    pub source: String,
    pub options: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Checksum {
    /// Null: it was not finished.
    pub sha256: Option<String>,
    /// How much was read.
    pub read_bytes: u64,
}

impl Tool for FileInfo {
    const NAME: &'static str = "file_info";
    const TITLE: &'static str = "What is known of a file";
    const SCOPE: Scope = Scope::FilesRead;
    const LANE: Lane = Lane::Files;
    const TELLS_MORE: Option<Scope> = Some(Scope::SystemRead);
    const UNTRUSTED: Option<&'static str> = Some("path, target, leads_to, owner, group, filesystem, holders");
    const AUDITED: &'static [&'static str] = &["path", "checksum", "holders", "package"];
    type Output = Report;

    async fn run(self, turn: &Turn) -> Result<Report, Failure> {
        let jail = turn.jail(Self::SCOPE, None);
        let may_see = Self::TELLS_MORE.is_none_or(|scope| turn.caller().grants.contain(scope));
        patience::read(turn, LOOKED_FOR, move |machine, patience| read(&jail, machine, &self, may_see, patience)).await
    }
}

fn read(
    jail: &Jail,
    machine: &Machine,
    wanted: &FileInfo,
    may_see: bool,
    patience: &Patience,
) -> Result<Report, Failure> {
    let found = jail.find_entry(&wanted.path)?;
    let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME | StatxFlags::MNT_ID;
    let stat = statx(&found, "", AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW, mask);
    let stat = stat.map_err(|error| found.failure(error))?;
    let mut unknown = vec![];
    let mut report = Report::of(&found, &stat, &Owners::read(machine));
    if found.kind() == FileType::Symlink {
        let target = found.target()?;
        report.target = Some(text::quote(&target));
        report.leads_to = Some(match jail.find(&wanted.path) {
            Ok(end) => text::quote_path(end.path()),
            Err(failure) => failure.to_string(),
        });
    }
    match filesystem(&machine.root, found.path(), &stat) {
        Ok(filesystem) => report.filesystem = filesystem,
        Err(failure) => unknown.push(format!("filesystem: {failure}")),
    }
    if wanted.package {
        match package::read(&machine.root, found.path().as_os_str().as_bytes(), patience) {
            Ok(Some(package)) => report.package = Some(package),
            Ok(None) => unknown.push("package: there is no database of dpkg or apk".into()),
            Err(failure) => unknown.push(format!("package: {failure}")),
        }
    }
    if wanted.holders {
        let inode = ((stat.stx_dev_major, stat.stx_dev_minor), stat.stx_ino);
        match if may_see { holders::read(&machine.root, inode, patience) } else { Ok(None) } {
            Ok(Some(holders)) => report.holders = Some(holders),
            Ok(None) if may_see => unknown.push("holders: there is no /proc of a running kernel".into()),
            Ok(None) => unknown.push("holders: this caller lacks the scope system:read".into()),
            Err(failure) => unknown.push(format!("holders: {failure}")),
        }
    }
    if found.kind() == FileType::RegularFile {
        match content(&found, patience) {
            Ok(content) => report.content = Some(content),
            Err(failure) => unknown.push(format!("content: {failure}")),
        }
        if wanted.checksum {
            match found.open().and_then(|file| checksum(&found, file, patience)) {
                Ok(checksum) => report.checksum = Some(checksum),
                Err(failure) => unknown.push(format!("checksum: {failure}")),
            }
        }
    } else if wanted.checksum {
        unknown.push("checksum: only files have one".into());
    }
    report.unknown = (!unknown.is_empty()).then(|| unknown.join("; "));
    Ok(report)
}

impl Report {
    fn of(found: &Found, stat: &Statx, owners: &Owners) -> Self {
        let has = |flag: StatxFlags| stat.stx_mask & flag.bits() != 0;
        let mode = u32::from(stat.stx_mode);
        let kind = found.kind();
        let is_device = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice);
        Self {
            path: text::quote_path(found.path()),
            kind: kind.into(),
            content: None,
            permissions: permissions(mode),
            mode: format!("{:04o}", mode & 0o7777),
            access: found.access().to_string(),
            owner: owners.user(stat.stx_uid),
            uid: stat.stx_uid,
            group: owners.group(stat.stx_gid),
            gid: stat.stx_gid,
            size_bytes: stat.stx_size,
            allocated_bytes: stat.stx_blocks.saturating_mul(512),
            modified: time(stat.stx_mtime.tv_sec),
            changed: time(stat.stx_ctime.tv_sec),
            accessed: time(stat.stx_atime.tv_sec),
            created: has(StatxFlags::BTIME).then(|| time(stat.stx_btime.tv_sec)).flatten(),
            links: stat.stx_nlink,
            inode: stat.stx_ino,
            device: format!("{}:{}", stat.stx_dev_major, stat.stx_dev_minor),
            stands_for: is_device.then(|| format!("{}:{}", stat.stx_rdev_major, stat.stx_rdev_minor)),
            attributes: attributes(stat.stx_attributes, stat.stx_attributes_mask),
            capabilities: extended(found, "security.capability").ok().flatten().and_then(|bytes| capabilities(&bytes)),
            acl: extended(found, "system.posix_acl_access").ok().map(|acl| acl.is_some()),
            target: None,
            leads_to: None,
            filesystem: None,
            package: None,
            holders: None,
            checksum: None,
            unknown: None,
        }
    }
}

fn attributes(set: StatxAttributes, known: StatxAttributes) -> Option<Vec<&'static str>> {
    let all = [
        (StatxAttributes::COMPRESSED, "compressed"),
        (StatxAttributes::IMMUTABLE, "immutable"),
        (StatxAttributes::APPEND, "append"),
        (StatxAttributes::NODUMP, "nodump"),
        (StatxAttributes::ENCRYPTED, "encrypted"),
        (StatxAttributes::VERITY, "verity"),
        (StatxAttributes::DAX, "dax"),
    ];
    let is_told = known.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND | StatxAttributes::COMPRESSED);
    is_told.then(|| all.into_iter().filter(|(flag, _)| set.contains(*flag)).map(|(_, name)| name).collect())
}

/// An extended attribute; `None`: it has none of this name.
fn extended(found: &Found, name: &str) -> Result<Option<Vec<u8>>, Errno> {
    if !matches!(found.kind(), FileType::RegularFile | FileType::Directory) {
        return Ok(None);
    }
    // a descriptor that is not open for reading has no other way to them
    let itself = format!("/proc/self/fd/{}", found.as_fd().as_raw_fd());
    let mut value = vec![0; 1024];
    match getxattr(itself, name, &mut value[..]) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(Errno::NODATA) => Ok(None),
        // longer than any that is looked into
        Err(Errno::RANGE) => Ok(Some(vec![])),
        Err(error) => Err(error),
    }
}

/// What `struct vfs_cap_data` says.
fn capabilities(bytes: &[u8]) -> Option<String> {
    let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let permitted = u64::from(word(4)?) | u64::from(word(12).unwrap_or(0)) << 32;
    let inheritable = u64::from(word(8)?) | u64::from(word(16).unwrap_or(0)) << 32;
    let mut words = capability::names(permitted, None);
    if word(0)? & 1 == 0 {
        words += " (not effective)";
    }
    if inheritable != 0 {
        words = format!("{words}, inheritable {}", capability::names(inheritable, None));
    }
    Some(words)
}

/// The mount it lies on.
fn filesystem(root: &Root, path: &Path, stat: &Statx) -> Result<Option<Filesystem>, Failure> {
    // a table of any length, of which only those count that the path lies in; an odd line is of another path
    let (mut mounts, mut lines) = (vec![], Lines::default());
    root.lines(&format!("{}/mountinfo", root.own()), |line| {
        let mount = lines.parse(line).map(|line| line.mount());
        mounts.extend(mount.filter(|mount| is_above(mount, path)));
    })?;
    let id = (stat.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(stat.stx_mnt_id);
    let mount = mount_of(&mounts, path, (stat.stx_dev_major, stat.stx_dev_minor), id);
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(mount.map(|mount| Filesystem {
        mount_point: text::quote(&mount.mount_point),
        kind: shown(&mount.fs_type),
        source: shown(&mount.source),
        options: shown(&mount.options),
    }))
}

/// Whether a path lies in the directory where this is mounted.
fn is_above(mount: &Mount, path: &Path) -> bool {
    path.starts_with(Path::new(std::ffi::OsStr::from_bytes(&mount.mount_point)))
}

/// By its number, if that is one of this table; else the deepest that its path lies in, the last one mounted there.
fn mount_of<'a>(mounts: &'a [Mount], path: &Path, device: (u32, u32), id: Option<u64>) -> Option<&'a Mount> {
    let is_on = |mount: &&Mount| (mount.major, mount.minor) == device;
    let above = |mount: &&Mount| is_above(mount, path);
    let by_id = mounts.iter().find(|mount| Some(u64::from(mount.id)) == id && above(mount));
    by_id.or_else(|| {
        let within = || mounts.iter().filter(above);
        let deepest = |mounts: &mut dyn Iterator<Item = &'a Mount>| mounts.max_by_key(|mount| mount.mount_point.len());
        // a subvolume of btrfs has another device than its mount
        deepest(&mut within().filter(is_on)).or_else(|| deepest(&mut within()))
    })
}

fn content(found: &Found, patience: &Patience) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::from_io(text::quote_path(found.path()), error);
    let content = Content::open(found.open()?, true, patience.clone()).map_err(failed)?;
    let nature = match content.nature() {
        _ if found.stat().st_size == 0 => return Ok("nothing".into()),
        Nature::Text(Encoding::Utf8) => "text, UTF-8",
        Nature::Text(Encoding::Utf16Le | Encoding::Utf16Be) => "text, UTF-16",
        Nature::Text(Encoding::Latin1) => "text, perhaps Latin-1",
        Nature::Binary(words) => words,
    };
    Ok(match content.compression() {
        Some(Compression::Gzip) => format!("gzip-compressed: {nature}"),
        None => nature.to_owned(),
    })
}

fn checksum(found: &Found, mut file: File, patience: &Patience) -> Result<Checksum, Failure> {
    let (mut context, mut block, mut read_bytes) = (digest::Context::new(&digest::SHA256), vec![0; BLOCK], 0);
    loop {
        if patience.is_over() {
            return Ok(Checksum { sha256: None, read_bytes });
        }
        // it keeps a processor busy, and would cost every other call some milliseconds
        std::thread::yield_now();
        match file.read(&mut block) {
            Ok(0) => break,
            Ok(read) => {
                context.update(&block[..read]);
                read_bytes += read as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => (),
            Err(error) => return Err(Failure::from_io(text::quote_path(found.path()), error)),
        }
    }
    Ok(Checksum { sha256: Some(hex(context.finish().as_ref())), read_bytes })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use facts::host::{First, Host};
    use search::scratch::{Scratch, impatience, patience};

    fn ask(scratch: &Scratch, path: &str, patience: &Patience) -> Result<Report, Failure> {
        let host = Host::open(Path::new("/"), First::Comes).unwrap();
        let wanted = FileInfo { path: path.to_owned(), checksum: true, holders: false, package: false };
        read(&scratch.jail, host.machine(), &wanted, true, patience)
    }

    #[test]
    fn a_file_has_its_checksum_and_what_is_in_it() {
        let scratch = Scratch::new();
        let report = ask(&scratch, &scratch.write("abc", "abc"), &patience()).unwrap();
        let sum = report.checksum.unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((sum.sha256.as_deref(), sum.read_bytes), (Some(abc), 3));
        assert_eq!((report.content.as_deref(), report.size_bytes, report.links), (Some("text, UTF-8"), 3, 1));
        assert_eq!((report.kind, report.access.as_str(), report.unknown), (Kind::File, "ro", None));
        assert!(report.filesystem.unwrap().mount_point.starts_with('/'));
        // time does not suffice
        let report = ask(&scratch, &scratch.write("abc", "abc"), &impatience()).unwrap();
        assert_eq!((report.checksum.unwrap().sha256, report.size_bytes), (None, 3));
        assert_eq!(ask(&scratch, &scratch.write("none", ""), &patience()).unwrap().content.as_deref(), Some("nothing"));
    }

    #[test]
    fn whatever_has_the_name_is_told_and_nothing_is_opened_that_acts() {
        let scratch = Scratch::new();
        scratch.write("file", "x");
        symlink("file", scratch.dir.join("link")).unwrap();
        symlink("nowhere", scratch.dir.join("dangling")).unwrap();
        symlink("/etc/passwd", scratch.dir.join("outside")).unwrap();
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, scratch.dir.join("fifo"), FileType::Fifo, mode, 0).unwrap();
        let report = ask(&scratch, &scratch.path("link"), &patience()).unwrap();
        assert_eq!((report.kind, report.target.as_deref()), (Kind::Link, Some("file")));
        assert_eq!((report.leads_to, report.path), (Some(scratch.path("file")), scratch.path("link")));
        let leads_to = |name| ask(&scratch, &scratch.path(name), &patience()).unwrap().leads_to.unwrap();
        assert!(leads_to("dangling").ends_with("does not exist") && leads_to("outside").contains("lies outside"));
        let report = ask(&scratch, &scratch.path("fifo"), &patience()).unwrap();
        assert_eq!((report.kind, report.content, report.checksum.is_none()), (Kind::Fifo, None, true));
        assert_eq!(report.unknown.as_deref(), Some("checksum: only files have one"));
        let report = ask(&scratch, &scratch.path(""), &patience()).unwrap();
        assert_eq!((report.kind, report.mode.len()), (Kind::Directory, 4));
        scratch.write("id_rsa", "x");
        assert_eq!(ask(&scratch, &scratch.path("id_rsa"), &patience()).unwrap_err().kind(), "forbidden");
    }

    #[test]
    fn capabilities_have_their_names() {
        let net_raw = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(capabilities(&net_raw).as_deref(), Some("cap_net_raw"));
        let mut later = net_raw;
        (later[0], later[8], later[12]) = (0, 1, 1);
        assert_eq!(
            capabilities(&later).as_deref(),
            Some("cap_net_raw cap_mac_override (not effective), inheritable cap_chown")
        );
        assert_eq!((capabilities(&net_raw[..6]), capabilities(&[])), (None, None));
    }

    #[test]
    fn a_file_lies_on_the_last_mount_of_the_deepest_place() {
        let table = b"1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /srv rw - xfs /dev/b rw\n3 2 8:3 / /srv rw - xfs /dev/c ro\n4 1 0:9 / /b rw - btrfs /dev/d rw\n";
        let mounts = kernel::proc::mountinfo::parse(table).0;
        for (path, device, id, mount) in [
            ("/srv/x", (8, 3), Some(3), Some(3)),
            // a number of another table
            ("/etc/x", (8, 1), Some(3), Some(1)),
            ("/srv/x", (8, 2), None, Some(2)),
            ("/srv/x", (8, 9), None, Some(3)),
            ("/srvx", (8, 1), None, Some(1)),
            ("/b/sub/x", (0, 55), None, Some(4)),
        ] {
            let found = mount_of(&mounts, Path::new(path), device, id).map(|mount| mount.id);
            assert_eq!(found, mount, "{path}");
        }
        assert!(mount_of(&[], Path::new("/"), (0, 0), None).is_none());
    }
}
