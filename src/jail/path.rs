//! A path as text: what a caller wrote, and where a symbolic link leads from it. Nothing here looks at a file.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use text::unquote;

/// The longest path that the kernel takes, in bytes: PATH_MAX without its zero.
const LONGEST: usize = 4095;

/// What is wrong with a caller's path, as a clause that goes on after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Wrong {
    #[error("a path is absolute: it begins with /")]
    Relative,
    #[error("a path has no .. in it: write the directory that is meant")]
    Climbs,
    #[error("a path has no zero character in it")]
    Zero,
    #[error("a path has at most {LONGEST} bytes")]
    Long,
}

/// A caller's path, which must be absolute and must not climb. Names in it may be quoted as answers quote them. What stands in it twice or
/// for nothing (`//`, `/./`, a last `/`) is left out.
pub(super) fn parse(text: &str) -> Result<PathBuf, Wrong> {
    let path = unquote(text);
    match &path[..] {
        path if !path.starts_with(b"/") => Err(Wrong::Relative),
        path if path.contains(&0) => Err(Wrong::Zero),
        path if path.len() > LONGEST => Err(Wrong::Long),
        path if path.split(|byte| *byte == b'/').any(|part| part == b"..") => Err(Wrong::Climbs),
        path => Ok(Path::new(OsStr::from_bytes(path)).components().collect()),
    }
}

/// Where a link in the directory `parent` leads that says `target`, and from there on `rest`. `parent` has no link in it, so that its
/// `..` is the directory before. `None`: it is too long.
pub(super) fn lead(parent: &Path, target: &[u8], rest: &Path) -> Option<PathBuf> {
    let target = Path::new(OsStr::from_bytes(target));
    let mut path = parent.to_owned();
    for part in target.components().chain(rest.components()) {
        match part {
            Component::RootDir => path = PathBuf::from("/"),
            Component::ParentDir => drop(path.pop()),
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::Prefix(_) => (),
        }
    }
    (path.as_os_str().len() <= LONGEST).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_absolute_and_does_not_climb() {
        for (text, wrong) in [
            ("", Wrong::Relative),
            ("etc", Wrong::Relative),
            ("./etc", Wrong::Relative),
            ("~/x", Wrong::Relative),
            ("/a/../b", Wrong::Climbs),
            ("/..", Wrong::Climbs),
            ("/a/..", Wrong::Climbs),
            ("$'/a/../\\n'", Wrong::Climbs),
            ("/$'../\\n'", Wrong::Climbs),
            ("/$'a\\x00'", Wrong::Zero),
            ("$'etc\\n'", Wrong::Relative),
            ("/a\0b", Wrong::Zero),
            (&format!("/{}", "a".repeat(LONGEST)), Wrong::Long),
        ] {
            assert_eq!(parse(text), Err(wrong), "{text}");
        }
        for (text, path) in [
            ("/", "/"),
            ("//", "/"),
            ("/.", "/"),
            ("/a//b/./c/", "/a/b/c"),
            ("/...", "/..."),
            ("/a/..b", "/a/..b"),
            ("/a\nb", "/a\nb"),
            ("/a/$'..'/b", "/a/$'..'/b"),
            ("/a/$'b\\nc'", "/a/b\nc"),
            ("$'/a/b\\nc'", "/a/b\nc"),
        ] {
            assert_eq!(parse(text).unwrap().to_str(), Some(path));
        }
    }

    #[test]
    fn a_link_leads_from_its_own_directory() {
        for (parent, target, rest, path) in [
            ("/a/b", "c", "", "/a/b/c"),
            ("/a/b", "c", "d/e", "/a/b/c/d/e"),
            ("/a/b", "../c", "d", "/a/c/d"),
            ("/a/b", "/etc", "x", "/etc/x"),
            ("/a/b", "../../../../x", "", "/x"),
            ("/a/b", "./.", "x", "/a/b/x"),
            ("/", "..", "etc", "/etc"),
        ] {
            assert_eq!(lead(Path::new(parent), target.as_bytes(), Path::new(rest)), Some(path.into()));
        }
        assert_eq!(lead(Path::new("/"), &[b'a'; LONGEST], Path::new("")), None);
    }
}
