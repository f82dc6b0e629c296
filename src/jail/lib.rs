//! The allowed directories, and the one way from a caller's path to a file: [`Jail::find`].
//!
//! A path is looked up from the allowed directory that it lies in, by openat2, which follows no symbolic link there, leaves neither the
//! directory nor its filesystem, and does it in one step: nothing can be swapped between a check and its use. A path with a link in it is
//! led on as text and looked up again as if the caller had written it, with all checks, so that the last path is one without links: what
//! denies by name has seen its true names, and it lies in the directory whose rights it is given.
//!
//! What is found is held by a descriptor that cannot be read yet (`O_PATH`). Only when it is known to be a regular file or a directory,
//! not the server's own, and permitted, is that very inode opened: a device or a FIFO never is.

mod alias;
mod deny;
mod entries;
mod filesystem;
mod found;
mod own;
mod path;
#[cfg(test)]
mod tests;
mod trace;
pub mod walk;
pub mod write;

use std::{
    cmp::Reverse,
    fmt,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use rustix::{
    fs::{
        Access as Rights, AtFlags, FileType, Mode, OFlags, ResolveFlags, accessat, fstat, fstatfs, openat2, readlinkat,
    },
    io::Errno,
};

use alias::Others;
pub use deny::{Deny, USUAL};
pub use entries::{Entries, Name, Names};
pub use found::{Found, Who};
use own::Inodes;
pub use own::Own;
pub use trace::Trace;

use kernel::failure::Failure;
use rights::{
    grant::Reach,
    scope::{Action, Scope},
};
use text::quote_path;

/// Links that one path may lead through, as the kernel has it.
const MOST_LINKS: usize = 40;

/// Stands for a pattern where none can be held against the paths of a file.
const UNSEEN: &str = "a mount (an overlay) with other paths than this server sees";

/// What may be done below an allowed directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Read.
    Ro,
    /// Read and change.
    Rw,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ro => "ro",
            Self::Rw => "rw",
        })
    }
}

/// A directory that callers may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Absolute, without `..`.
    pub path: PathBuf,
    /// What may be done there.
    pub access: Access,
    /// Whether what is mounted below it belongs to it, if it is a filesystem that keeps files.
    pub mounts: bool,
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.path.display(), self.access)
    }
}

/// What the operator says about files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A directory that stands for `/`; everything else is below it.
    pub root: PathBuf,
    /// Which directories may be seen.
    pub allowed: Vec<Allowed>,
    /// What of them is kept from callers by its name.
    pub deny: Deny,
    /// The server's own files. Not below `root`.
    pub own: Own,
}

impl Default for Settings {
    fn default() -> Self {
        Self { root: "/".into(), allowed: vec![], deny: Deny::default(), own: Own::default() }
    }
}

/// The allowed directories.
#[derive(Clone, Debug)]
pub struct Jail {
    inner: Arc<Inner>,
    within: Arc<Within>,
}

/// How far the grants of a caller reach, for one thing that is done.
#[derive(Debug)]
struct Within {
    reach: Reach,
    scope: Scope,
    action: Option<Action>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    directories: Vec<Directory>,
    /// Those that there were under earlier settings.
    earlier: Vec<Directory>,
    writers: Arc<write::Writers>,
    mounts: alias::Mounts,
}

/// One of them.
#[derive(Clone, Debug)]
struct Directory {
    allowed: Allowed,
    /// Whether its own path led through links when it was first opened. One that did not never does: whoever can write above it does not
    /// get to choose what is allowed.
    linked: OnceLock<bool>,
}

impl Within {
    fn everywhere() -> Self {
        Self { reach: Reach::everywhere(), scope: Scope::FilesRead, action: None }
    }
}

/// Whether a path that ends in a symbolic link means the link or what it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Link,
    Target,
}

impl Jail {
    /// Those that `settings` allow. None needs to be there yet: each is opened anew for every call, so that what is mounted or put in
    /// its place later is what is seen.
    pub fn new(settings: Settings) -> Self {
        Self::after(vec![], settings, Arc::default())
    }

    /// The same files under other settings. What is being written is still written by one at a time, and a directory that was first found
    /// without links still has to be one.
    pub fn under(&self, settings: Settings) -> Self {
        let is_gone = |one: &&Directory| !settings.allowed.iter().any(|allowed| allowed.path == one.allowed.path);
        let Inner { directories, earlier, writers, .. } = &*self.inner;
        let mut known = directories.clone();
        let known_before =
            earlier.iter().filter(|one| !directories.iter().any(|now| now.allowed.path == one.allowed.path));
        known.extend(known_before.cloned());
        let earlier: Vec<Directory> = known.iter().filter(is_gone).cloned().collect();
        let mut new = Self::after(known, settings, Arc::clone(writers));
        if let Some(inner) = Arc::get_mut(&mut new.inner) {
            inner.earlier = earlier;
        }
        new
    }

    fn after(known: Vec<Directory>, settings: Settings, writers: Arc<write::Writers>) -> Self {
        let directory = |allowed: &Allowed| {
            let known = known.iter().find(|one| one.allowed.path == allowed.path);
            let linked = known.map(|one| one.linked.clone()).unwrap_or_default();
            Directory { allowed: allowed.clone(), linked }
        };
        let directories: Vec<Directory> = settings.allowed.iter().map(directory).collect();
        for directory in &directories {
            let _ = directory.open(&settings.root);
        }
        Self {
            inner: Arc::new(Inner {
                settings,
                directories,
                earlier: vec![],
                writers,
                mounts: alias::Mounts::default(),
            }),
            within: Arc::new(Within::everywhere()),
        }
    }

    /// Of this, as far as these grants of `scope` reach for `action`.
    pub fn within(&self, reach: Reach, scope: Scope, action: Option<Action>) -> Self {
        Self { inner: Arc::clone(&self.inner), within: Arc::new(Within { reach, scope, action }) }
    }

    /// Without any directory.
    pub fn closed() -> Self {
        Self::new(Settings::default())
    }

    /// The allowed directories.
    pub fn allowed(&self) -> &[Allowed] {
        &self.inner.settings.allowed
    }

    /// Of the allowed directories, what the caller's grants reach.
    fn granted(&self) -> Vec<Allowed> {
        let Within { reach, action, .. } = &*self.within;
        let Some(targets) = reach.targets(*action) else { return self.allowed().to_vec() };
        let within = |target: &&str| {
            let target = Path::new(target);
            let below = self.allowed().iter().filter(|allowed| allowed.path.starts_with(target)).cloned();
            // and of the innermost that it lies in, as much as is granted
            let around = self.allowed().iter().filter(|allowed| target.starts_with(&allowed.path));
            let around = around.max_by_key(|allowed| allowed.path.as_os_str().len());
            below
                .chain(around.map(|allowed| Allowed { path: target.to_owned(), ..allowed.clone() }))
                .collect::<Vec<_>>()
        };
        let mut parts: Vec<Allowed> = targets.iter().flat_map(within).collect();
        parts.sort_by(|a, b| a.path.cmp(&b.path));
        parts.dedup();
        parts
    }

    /// What an allowed directory lacks, for whoever runs the server. `None`: it can be used.
    pub fn complaint(&self, allowed: &Allowed) -> Option<String> {
        let directory = self.inner.directories.iter().find(|one| one.allowed == *allowed)?;
        let opened = directory.open(&self.inner.settings.root);
        match opened.and_then(|dir| fstatfs(&dir).map(|filesystem| (dir, filesystem))) {
            Ok((dir, filesystem)) if filesystem::keeps_files(filesystem.f_type as u64) => {
                let (read, write) = (Rights::READ_OK | Rights::EXEC_OK, Rights::WRITE_OK);
                let needs = if allowed.access == Access::Rw { read | write } else { read };
                let lacks = accessat(&dir, ".", needs, AtFlags::EACCESS).err()?;
                Some(format!(
                    "cannot be {}: {lacks} ({Who})",
                    if needs == read { "listed" } else { "listed and changed" }
                ))
            }
            Ok(_) => Some("is on a filesystem that shows the kernel's state and keeps no files".into()),
            Err(Errno::NOSYS | Errno::PERM) => Some("needs openat2 (Linux 5.6), which is not there".into()),
            Err(Errno::LOOP) => Some("was a plain directory and is now reached through a symbolic link".into()),
            Err(error) => Some(format!("cannot be opened: {error}")),
        }
    }

    /// What a caller's `path` leads to: a regular file or a directory that may be read. Everything else is a failure that says why.
    pub fn find(&self, path: &str) -> Result<Found, Failure> {
        let found = self.look(self.parse(path)?, Last::Target)?;
        match found.kind() {
            FileType::RegularFile | FileType::Directory => Ok(found),
            kind => Err(Failure::Forbidden(format!(
                "{} is {}; only regular files and directories are opened",
                quote_path(found.path()),
                kind_name(kind)
            ))),
        }
    }

    /// What lies at a caller's `path` itself, whatever it is: a link is not followed there. It cannot be opened through this, if it is
    /// neither a file nor a directory.
    pub fn find_entry(&self, path: &str) -> Result<Found, Failure> {
        self.look(self.parse(path)?, Last::Link)
    }

    /// The directory that `path` is in and the name it has there, where callers may change things. No part of `path` may be a link, and
    /// what has the name need not exist.
    pub fn find_parent(&self, path: &str) -> Result<(Found, PathBuf), Failure> {
        let path = self.parse(path)?;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Failure::Invalid("/ itself cannot be changed".into()));
        };
        self.check_granted(&path)?;
        // the name decides too: a rw directory inside of a ro one may not be replaced
        let (directory, _) = self.allowing(&path)?;
        self.check_changeable(&path, directory)?;
        self.check_name(directory, &path)?;
        // the name is granted, and what it is in need not be
        let found = self.open_allowed(parent, Last::Target)?.ok_or_else(|| {
            Failure::Forbidden(format!(
                "{} leads through a symbolic link; what is changed is named by its own path",
                quote_path(parent)
            ))
        })?;
        if found.kind() != FileType::Directory {
            return Err(Failure::Invalid(format!("{} is no directory", quote_path(parent))));
        }
        Ok((found, PathBuf::from(name)))
    }

    /// Whether what has this `path`, in `directory`, may be changed. Where links lead from one allowed directory into another, the rights
    /// of both count: what may only be read is not changed by another path to it.
    fn check_changeable(&self, path: &Path, directory: &Directory) -> Result<(), Failure> {
        let root = &self.inner.settings.root;
        let (allowed, mut names) = (&directory.allowed, vec![]);
        for one in &self.inner.directories {
            names.push((one.allowed.path.clone(), one.allowed.access));
            names.extend(one.truth(root).map(|truth| (truth, one.allowed.access)));
        }
        let truth = directory.truth(root).zip(path.strip_prefix(&allowed.path).ok()).map(|(to, rest)| to.join(rest));
        for here in [Some(path), truth.as_deref()].into_iter().flatten() {
            if let Some((name, _)) = names.iter().find(|(name, _)| name.starts_with(here)) {
                let shown = quote_path(path);
                return Err(Failure::Forbidden(if name == here {
                    format!("{shown} is an allowed directory itself ({}), which is not changed", quote_path(name))
                } else {
                    format!("{shown} holds the allowed directory {}, and is not changed", quote_path(name))
                }));
            }
            let around = names.iter().filter(|(name, _)| here.starts_with(name));
            // of two names of one directory the stricter one
            let innermost = around.min_by_key(|(name, access)| (Reverse(name.as_os_str().len()), *access));
            let by_name = (allowed.access == Access::Ro).then_some(&allowed.path);
            let by_place = innermost.and_then(|(name, access)| (*access == Access::Ro).then_some(name));
            if let Some(name) = by_name.or(by_place) {
                return Err(Failure::Forbidden(format!("{} may only be read: {}", quote_path(name), self.list())));
            }
        }
        Ok(())
    }

    fn parse(&self, path: &str) -> Result<PathBuf, Failure> {
        path::parse(path).map_err(|wrong| Failure::Invalid(format!("path: {wrong}; {}", self.list())))
    }

    fn deny(&self) -> &Deny {
        &self.inner.settings.deny
    }

    /// What callers may see, in a clause.
    fn list(&self) -> String {
        let all: Vec<String> = self.granted().iter().map(ToString::to_string).collect();
        match all.as_slice() {
            [] if !self.allowed().is_empty() => format!("you hold {}", self.within.reach.list()),
            [] => "this server allows no directory (files in its config, --files without one)".into(),
            _ => format!("allowed are {}", all.join(", ")),
        }
    }

    /// Follows `path` to its end: a link is led on as text, and its path looked up like any other.
    fn look(&self, mut path: PathBuf, last: Last) -> Result<Found, Failure> {
        for _ in 0..=MOST_LINKS {
            if let Some(found) = self.open(&path, last)? {
                return Ok(found);
            }
            path = self.follow(path)?;
        }
        Err(Failure::Refused(format!(
            "{} leads through more than {MOST_LINKS} links, or in a circle",
            quote_path(&path)
        )))
    }

    /// Opens `path` as it stands, if the caller's grants reach it. `None`: there is a link in it.
    fn open(&self, path: &Path, last: Last) -> Result<Option<Found>, Failure> {
        // first: of what is not granted nobody learns whether it is there
        self.check_granted(path)?;
        self.open_allowed(path, last)
    }

    /// The same, whatever the caller's grants are.
    fn open_allowed(&self, path: &Path, last: Last) -> Result<Option<Found>, Failure> {
        let (directory, rest) = self.allowing(path)?;
        self.check_name(directory, path)?;
        // what is the server's own may be replaced in this very moment: neither the old nor the new one is to be had
        let own = self.inner.settings.own.now();
        let top =
            directory.open(&self.inner.settings.root).map_err(|error| self.failure(&directory.allowed.path, error))?;
        let flags = match last {
            Last::Link => OFlags::PATH | OFlags::NOFOLLOW,
            Last::Target => OFlags::PATH,
        };
        let fd = match beneath(&top, rest, flags, directory.allowed.mounts) {
            Ok(fd) => fd,
            Err(Errno::LOOP) => return Ok(None),
            Err(Errno::XDEV) => return Err(self.other_filesystem(directory, &top, rest)),
            Err(error) => return Err(self.failure(path, error)),
        };
        self.check(&directory.allowed, path, fd, own).map(Some)
    }

    /// What only the opened thing itself can tell: whether it is the server's own, now or `before` it was opened, and on what it lies.
    fn check(&self, allowed: &Allowed, path: &Path, fd: OwnedFd, before: Inodes) -> Result<Found, Failure> {
        let own = before.and(self.inner.settings.own.now());
        let stat = fstat(&fd).map_err(|error| self.failure(path, error))?;
        self.check_filesystem(path, &fd)?;
        if own.may_have(&stat) {
            return Err(Failure::Forbidden(format!(
                "{} has several names, and may be one of this server's own files: its state directory holds so many, or is so deep, that not all of them are known; tell the operator to look there",
                quote_path(path)
            )));
        }
        if own.have(&stat) {
            return Err(Failure::Forbidden(format!("{} is this server's own and kept from callers", quote_path(path))));
        }
        Ok(Found::new(self.clone(), allowed.clone(), path.to_owned(), fd, stat, Arc::new(own)))
    }

    fn check_filesystem(&self, path: &Path, fd: &OwnedFd) -> Result<(), Failure> {
        let filesystem = fstatfs(fd).map_err(|error| self.failure(path, error))?;
        if filesystem::keeps_files(filesystem.f_type as u64) {
            return Ok(());
        }
        Err(Failure::Forbidden(format!(
            "{} shows the kernel's state and no files; other tools tell of it",
            quote_path(path)
        )))
    }

    /// By the caller's grants: each is good for what it names and for what is below that.
    fn check_granted(&self, path: &Path) -> Result<(), Failure> {
        let Within { reach, scope, action } = &*self.within;
        reach.check(*scope, *action, &quote_path(path), |target| path.starts_with(target))
    }

    /// By its name and those of the directories that it is in, as far as the operator has not named them.
    fn check_name(&self, directory: &Directory, path: &Path) -> Result<(), Failure> {
        let (deny, allowed) = (self.deny(), &directory.allowed.path);
        let by_truth = || {
            let (truth, rest) = (directory.truth(&self.inner.settings.root)?, path.strip_prefix(allowed).ok()?);
            deny.of(&truth.join(rest), &truth)
        };
        match deny.of(path, allowed).or_else(by_truth).or_else(|| self.named_elsewhere(directory, path)) {
            None => Ok(()),
            Some(UNSEEN) => Err(Failure::Forbidden(format!(
                "{} is shown by {UNSEEN}, and may be denied by one of them; the config can name the mount itself in files.directories",
                quote_path(path)
            ))),
            Some(pattern) => Err(Failure::Forbidden(format!(
                "{} may hold secrets and is kept from callers (the pattern {pattern:?}; files.deny in the config)",
                quote_path(path)
            ))),
        }
    }

    /// The pattern that fits one of the other paths that what is at `path` has by a mount; by its path with links or by that without.
    fn named_elsewhere(&self, directory: &Directory, path: &Path) -> Option<&str> {
        let (root, allowed) = (&self.inner.settings.root, &directory.allowed.path);
        let rest = path.strip_prefix(allowed).ok()?;
        let truth = directory.truth(root).unwrap_or_else(|| allowed.clone());
        let whole = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
        let below =
            |path: &Path| path.strip_prefix(root).map_or_else(|_| path.to_owned(), |path| Path::new("/").join(path));
        let mounts = self.inner.mounts.now();
        let Others { paths: others, unknown } = mounts.others(&whole(&truth.join(rest)));
        let named_by_operator = whole(&truth);
        if unknown.is_some_and(|at| at != named_by_operator && at.starts_with(&named_by_operator)) {
            return Some(UNSEEN);
        }
        if others.is_empty() {
            return None;
        }
        let tops = mounts.others(&named_by_operator).paths;
        others.iter().find_map(|other| {
            // as far as the allowed directory is called so itself, the operator has named it
            let named = tops.iter().map(|top| &top.path).find(|top| top.join(rest) == other.path);
            let top = named.or(other.from.as_ref()).map_or(Path::new("/"), PathBuf::as_path);
            self.deny().of(&below(&other.path), &below(top))
        })
    }

    /// Whether what has this path, in a directory that has been found to be permitted, is kept from callers by its name.
    fn denies(&self, path: &Path) -> bool {
        let by_truth = || {
            let (directory, rest) = self.allowing(path).ok()?;
            self.deny().of_last(&directory.truth(&self.inner.settings.root)?.join(rest))
        };
        let by_mount = || {
            let (directory, _) = self.allowing(path).ok()?;
            self.named_elsewhere(directory, path)
        };
        self.deny().of_last(path).or_else(by_truth).or_else(by_mount).is_some()
    }

    /// The allowed directory that `path` lies in, the innermost if there are several, and the path from there.
    fn allowing<'a>(&self, path: &'a Path) -> Result<(&Directory, &'a Path), Failure> {
        let within =
            self.inner.directories.iter().filter_map(|one| Some((one, path.strip_prefix(&one.allowed.path).ok()?)));
        within.min_by_key(|(_, rest)| rest.as_os_str().len()).ok_or_else(|| {
            Failure::Forbidden(format!("{} lies outside of what callers may see; {}", quote_path(path), self.list()))
        })
    }

    /// Where the first link in `path` leads.
    fn follow(&self, path: PathBuf) -> Result<PathBuf, Failure> {
        let (directory, rest) = self.allowing(&path)?;
        let failed = |error| self.failure(&path, error);
        let top = directory.open(&self.inner.settings.root).map_err(failed)?;
        let mut parent = PathBuf::new();
        let mut parts = rest.components();
        while let Some(part) = parts.next() {
            let here = parent.join(part);
            let fd = beneath(&top, &here, OFlags::PATH | OFlags::NOFOLLOW, directory.allowed.mounts).map_err(failed)?;
            // where the kernel shows its state, what looks like a link is a door
            self.check_filesystem(&path, &fd)?;
            if FileType::from_raw_mode(fstat(&fd).map_err(failed)?.st_mode).is_symlink() {
                let target = readlinkat(&fd, "", vec![]).map_err(failed)?;
                let parent = directory.allowed.path.join(&parent);
                return path::lead(&parent, target.as_bytes(), parts.as_path()).ok_or_else(|| {
                    Failure::Invalid(format!("{} leads to a path that is too long", quote_path(&path)))
                });
            }
            parent = here;
        }
        // it was one a moment ago, and is looked up again
        Ok(path)
    }

    /// Where a path leaves the filesystem of its allowed directory.
    fn other_filesystem(&self, directory: &Directory, top: &OwnedFd, rest: &Path) -> Failure {
        let mut here = PathBuf::new();
        for part in rest.components() {
            here.push(part);
            if matches!(beneath(top, &here, OFlags::PATH | OFlags::NOFOLLOW, false), Err(Errno::XDEV)) {
                break;
            }
        }
        Failure::Forbidden(format!(
            "another filesystem is mounted at {}; mounts: true beside {} in the config lets callers see it",
            quote_path(&directory.allowed.path.join(here)),
            quote_path(&directory.allowed.path)
        ))
    }

    fn failure(&self, path: &Path, error: Errno) -> Failure {
        let path = quote_path(path);
        match error {
            Errno::NOSYS | Errno::PERM => {
                Failure::Unavailable("openat2 (Linux 5.6), without which no file is opened for callers,".into())
            }
            Errno::ACCESS => Failure::Denied(format!("{path} (it lies in a directory that is closed to it: {Who})")),
            Errno::NAMETOOLONG => Failure::Invalid(format!("{path} has a part of more than 255 bytes")),
            _ => Failure::from_io(path.to_string(), error.into()),
        }
    }
}

impl Directory {
    /// Its path without links, if its own has some. What is kept from callers may be named by either.
    fn truth(&self, root: &Path) -> Option<PathBuf> {
        (self.linked.get() != Some(&false)).then(|| Trace::of(root, &self.allowed.path).end)
    }

    /// Opens it, as its path leads there now.
    fn open(&self, root: &Path) -> Result<OwnedFd, Errno> {
        let slash = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let path = self.allowed.path.strip_prefix("/").unwrap_or(&self.allowed.path);
        let open = |how| {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            tried(|| openat2(&slash, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), how))
        };
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        if self.linked.get() != Some(&true) {
            match open(how | ResolveFlags::NO_SYMLINKS) {
                Ok(fd) => {
                    let _ = self.linked.set(false);
                    return Ok(fd);
                }
                Err(Errno::LOOP) if self.linked.get().is_none() => (),
                Err(error) => return Err(error),
            }
        }
        let fd = open(how)?;
        let _ = self.linked.set(true);
        Ok(fd)
    }
}

/// Opens `path` below `top`, not through a link and, unless `mounts` says so, not through a mount.
fn beneath(top: impl AsFd, path: &Path, flags: OFlags, mounts: bool) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let mut how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    if !mounts {
        how |= ResolveFlags::NO_XDEV;
    }
    tried(|| openat2(&top, path, flags | OFlags::CLOEXEC, Mode::empty(), how))
}

/// The kernel gives up when a rename or a mount races the walk of a path; hardly this often.
fn tried(mut open: impl FnMut() -> Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
    for _ in 0..64 {
        match open() {
            Err(Errno::AGAIN | Errno::INTR) => (),
            opened => return opened,
        }
    }
    Err(Errno::AGAIN)
}

/// As a sentence has it.
fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "of an unknown kind",
    }
}
