//! Whether a file that decides who is let in can have been put there, or be read, by others.

use std::path::{Path, PathBuf};

use rustix::{
    fs::{Mode, Stat},
    process::{Uid, geteuid},
};

/// Rights of others than the owner to change something.
const WRITABLE: Mode = Mode::WGRP.union(Mode::WOTH);

/// Why a file is not believed: what is wrong, and what to do.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// Its owner can write there whatever he likes.
    #[error("{path} belongs to uid {owner}: run this as that user, or: chown {trusted} {path}", path = path.display())]
    Owner {
        /// The file, or its directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who would be believed.
        trusted: u32,
    },
    /// Others can put another file in its place.
    #[error("others than its owner may write to {path}, and so replace what is in it: chmod go-w {path}", path = path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
    },
}

/// Whom to believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Root, and the user of this process: it lets callers in by what is written there.
    Me,
    /// The owner of the directory as well: root changes what belongs to a service.
    OwnerOfDirectory,
}

/// Checks the owner of this file, and of the directories that it can be reached by: the one named by `path`, and, where that is a
/// symbolic link, the one that the file lies in.
pub fn check(path: &Path, file: &Stat, whom: Whom) -> Result<(), Doubt> {
    let directory = check_directory(path, whom)?;
    let owner = match (whom, &directory) {
        (Whom::OwnerOfDirectory, Some(directory)) => directory.st_uid,
        (Whom::OwnerOfDirectory, None) | (Whom::Me, _) => geteuid().as_raw(),
    };
    check_owner(path, file, owner)?;
    match std::fs::canonicalize(path) {
        Ok(real) if real.parent() != std::path::absolute(path).ok().as_deref().and_then(Path::parent) => {
            check_directory(&real, whom).map(drop)
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Checks the directory that a file is in, or would be made in; `None`: it is not there.
pub fn check_directory(path: &Path, whom: Whom) -> Result<Option<Stat>, Doubt> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // one that cannot be looked at leads to no file, and opening that says why
    let Ok(stat) = rustix::fs::stat(directory) else { return Ok(None) };
    if whom == Whom::Me {
        check_owner(directory, &stat, geteuid().as_raw())?;
    }
    let mode = Mode::from_raw_mode(stat.st_mode);
    if mode.intersects(WRITABLE) && !mode.contains(Mode::SVTX) {
        return Err(Doubt::Directory { path: directory.into() });
    }
    Ok(Some(stat))
}

fn check_owner(path: &Path, stat: &Stat, trusted: u32) -> Result<(), Doubt> {
    if stat.st_uid == trusted || Uid::from_raw(stat.st_uid).is_root() {
        return Ok(());
    }
    Err(Doubt::Owner { path: path.into(), owner: stat.st_uid, trusted })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "files of the tests' own")]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt as _, chown, symlink},
    };

    use super::*;

    fn looked(path: &Path) -> Result<(), Doubt> {
        check(path, &rustix::fs::stat(path).unwrap(), Whom::Me)
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_is_believed_in_a_directory_that_only_its_owner_changes() {
        let scratch = std::env::temp_dir().join(format!("smcp-trusted-{}", std::process::id()));
        let (own, open) = (scratch.join("own"), scratch.join("open"));
        for directory in [&own, &open] {
            fs::create_dir_all(directory).unwrap();
            fs::write(directory.join("f"), "").unwrap();
            mode(directory, 0o700);
        }
        symlink(open.join("f"), own.join("link")).unwrap();
        assert_eq!((looked(&own.join("f")), looked(&own.join("link"))), (Ok(()), Ok(())));
        for bits in [0o770, 0o702, 0o777, 0o2775] {
            mode(&open, bits);
            let doubt = Err(Doubt::Directory { path: open.clone() });
            assert_eq!(looked(&open.join("f")), doubt, "{bits:o}");
            assert_eq!(looked(&own.join("link")), doubt, "through a link, {bits:o}");
            assert_eq!(check_directory(&open.join("missing"), Whom::Me).map(drop), doubt, "{bits:o}");
        }
        // in a sticky directory nobody can replace what is another's
        mode(&open, 0o1777);
        assert_eq!(looked(&open.join("f")), Ok(()));
        if geteuid().is_root() {
            chown(open.join("f"), Some(1234), None).unwrap();
            let doubt = looked(&open.join("f")).unwrap_err();
            assert_eq!(doubt, Doubt::Owner { path: open.join("f"), owner: 1234, trusted: 0 });
            chown(&own, Some(1234), None).unwrap();
            assert!(looked(&own.join("f")).unwrap_err().to_string().contains("belongs to uid 1234"));
            // root looks at what is a service's
            chown(own.join("f"), Some(1234), None).unwrap();
            let stat = rustix::fs::stat(own.join("f")).unwrap();
            assert_eq!(check(&own.join("f"), &stat, Whom::OwnerOfDirectory), Ok(()));
        }
        fs::remove_dir_all(scratch).unwrap();
    }
}
