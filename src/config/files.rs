//! Which directories callers may see, and what in them is kept from callers.

use std::path::{Path, PathBuf};

use super::value::FromText;
use crate::{
    grant::absolute,
    jail::{Access, Allowed, Deny},
};

/// Which directories callers may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The directories; no path is there twice.
    pub allowed: Vec<Allowed>,
    /// What in them is kept from callers by its name.
    pub deny: Deny,
}

impl Files {
    /// What a trial shows unless the command line says: what people ask for first, and none of it to be changed.
    pub(super) fn of_trial() -> Self {
        let read = |path: &str, mounts| Allowed { path: path.into(), access: Access::Ro, mounts };
        let allowed = vec![read("/var/log", false), read("/etc", false), read("/srv", true), read("/opt", true)];
        Self { allowed, ..Self::default() }
    }
}

/// Whether two of them are the same directory.
pub(super) fn has_twice(allowed: &[Allowed]) -> bool {
    allowed.iter().enumerate().any(|(at, one)| allowed[..at].iter().any(|earlier| earlier.path == one.path))
}

/// The path of an allowed directory: absolute, without `..`, and with nothing in it that stands for nothing.
#[derive(Debug, PartialEq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct Directory(pub PathBuf);

impl Directory {
    /// `None`: `path` is relative or climbs.
    pub fn of(path: &Path) -> Option<Self> {
        absolute(path).map(Self)
    }
}

impl FromText for Directory {
    const EXPECTED: &'static str = "an absolute path like \"/srv\", without ..";

    fn read(text: &str) -> Option<Self> {
        Self::of(&PathBuf::read(text)?)
    }
}

/// What is kept from callers. One that could never fit is refused: whoever wrote it relies on it.
#[derive(Debug, PartialEq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct Pattern(pub(super) String);

impl FromText for Pattern {
    const EXPECTED: &'static str =
        "a name like \"*.bak\" or a path like \"/srv/private\" or \"app/*.conf\", without ~, .. or a / at its end";

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix('/').unwrap_or(text).split('/');
        let can_fit = !text.starts_with("~/") && parts.all(|part| !matches!(part, "" | "." | ".."));
        (can_fit && Deny::new(false, &[text.to_owned()]).is_ok()).then(|| Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_could_never_fit_is_none() {
        for text in ["*.bak", ".env", "/srv/private", "app/*.conf", "**/x", "/a/**", "*~", "~$*", "..x", "{a,b}", "a b"]
        {
            assert!(Pattern::read(text).is_some(), "{text}");
        }
        for text in ["", "/", "a/", "/a/", "//a", "a//b", "./a", "a/.", "../a", "/a/../b", "~/.x", "[", "{a", "a{b{c"] {
            assert_eq!(Pattern::read(text), None, "{text}");
        }
    }
}
