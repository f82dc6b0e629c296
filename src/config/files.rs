//! Which directories callers may see, and what in them is kept from callers.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{
    key::{At, Wrong, entry, section},
    value::{As, FromText},
};
use jail::{Access, Allowed, Deny};
use rights::grant::absolute;

section! {
    /// The directories whose files callers with files:read may see: below each of them everything, but nothing that leads out of it. What may be
    /// done there is Ro or Rw (change files, with files:write), Ro unless said; `mounts: true` lets callers also see other disks that are mounted
    /// below it. The innermost directory counts. Default: none.
    ///     directories: [(path: "/srv", access: Rw, mounts: true), (path: "/var/log")],
    directories: Vec<WrittenDirectory> = vec![], Live;
    /// What of them is kept from callers: the name of a file or directory anywhere, or a path, as a pattern with * and ? (** for directories
    /// between). Default: none besides those of default_deny.
    ///     deny: ["*.bak", "/srv/private"],
    deny: Vec<As<Pattern>> = vec![], Live;
    /// Whether what usually holds keys and credentials is kept from callers as well: shadow, .ssh, *.key, .env, .aws, .kube and their like.
    /// What is the server's own (its state, tokens, audit log, key) always is. Default: true.
    default_deny: bool = true, Live;
}

entry! {
    /// A directory, as it is written.
    WrittenDirectory {
        /// An absolute path.
        path: As<Directory>;
        /// Unless said, Ro. Rw: callers with `files:write` change files there.
        access: WrittenAccess = default;
        /// Whether other disks that are mounted below belong to it.
        mounts: bool = default;
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(in crate::config) enum WrittenAccess {
    #[default]
    Ro,
    Rw,
}

impl Written {
    pub(super) fn meaning(self) -> Result<Files, Wrong> {
        let Self { directories, deny, default_deny } = self;
        let wrong = |key: &'static str, why: &str| (At { section: Some("files"), key }, why.to_owned());
        let allowed: Vec<Allowed> = directories.into_iter().map(WrittenDirectory::meaning).collect();
        if has_twice(&allowed) {
            return Err(wrong("directories", "the same directory stands here twice"));
        }
        let patterns: Vec<String> = deny.into_iter().map(|pattern| pattern.0.0).collect();
        // each of them is one; why not all together would quote them
        let deny = Deny::new(default_deny, &patterns)
            .map_err(|_| wrong("deny", "expected fewer or shorter patterns: they are too many to be held at once"))?;
        Ok(Files { allowed, deny })
    }
}

impl WrittenDirectory {
    fn meaning(self) -> Allowed {
        let access = match self.access {
            WrittenAccess::Ro => Access::Ro,
            WrittenAccess::Rw => Access::Rw,
        };
        Allowed { path: self.path.0.0, access, mounts: self.mounts }
    }
}

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
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Debug, PartialEq)]
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
