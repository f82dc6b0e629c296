//! Which package a file came with, from the databases of dpkg and apk.

use schemars::JsonSchema;
use serde::Serialize;

use kernel::{failure::Failure, root::Root};
use search::patience::Patience;

/// Where dpkg keeps its lists, one file a package.
const LISTS: &str = "var/lib/dpkg/info";

/// Where apk keeps its database, and where its third version does.
const INSTALLED: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];

/// Packages that are named: a directory has many.
const NAMED: usize = 5;

/// Directories that are links below `usr` on most systems and none on others, and whose files are listed by either path.
const MERGED: [&str; 6] = ["/bin/", "/sbin/", "/lib/", "/lib32/", "/lib64/", "/libx32/"];

/// The packages that a file belongs to.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Package {
    /// Null: none that is installed lists it.
    pub name: Option<String>,
    /// Its own file of this name is somewhere else, as another package or the operator diverted it.
    pub diverted: Option<String>,
    /// What asked: dpkg or apk.
    pub database: &'static str,
}

/// Asks the database there is. `None`: there is none that is known.
pub(super) fn read(root: &Root, path: &[u8], patience: &Patience) -> Result<Option<Package>, Failure> {
    for database in INSTALLED {
        if let Some(text) = Failure::absent(root.bytes(database))? {
            return Ok(Some(Package { name: in_apk(&text, path), diverted: None, database: "apk" }));
        }
    }
    if root.exists(LISTS) { in_dpkg(root, path, patience).map(Some) } else { Ok(None) }
}

fn in_dpkg(root: &Root, path: &[u8], patience: &Patience) -> Result<Package, Failure> {
    let diversions = Failure::absent(root.bytes("var/lib/dpkg/diversions"))?.unwrap_or_default();
    let wanted = Wanted::of(path, &diversions);
    let (mut owners, mut list) = (vec![], vec![]);
    let names = root.names(LISTS)?;
    let directory = root.directory(LISTS)?;
    for file in names {
        let Some(package) = file.strip_suffix(".list") else { continue };
        if patience.is_over() {
            return Err(Failure::TimedOut("the database of dpkg".into()));
        }
        if !wanted.may_be(package) {
            continue;
        }
        // one that is removed meanwhile
        if Failure::absent(directory.read_into(&file, &mut list))?.is_some() && wanted.is_in(&list) {
            owners.push(package.to_owned());
        }
    }
    let more = owners.len().saturating_sub(NAMED);
    owners.truncate(NAMED);
    let name = match (owners.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(owners.join(", ")),
        (false, more) => Some(format!("{} and {more} more", owners.join(", "))),
    };
    Ok(Package { name, diverted: wanted.words, database: "dpkg" })
}

/// What is looked for in the lists of dpkg.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    /// Any of these.
    paths: Vec<Vec<u8>>,
    /// Only this package's file is at its own place.
    only: Option<String>,
    /// This package's is not.
    but: Option<String>,
    words: Option<String>,
}

impl Wanted {
    fn of(path: &[u8], diversions: &[u8]) -> Self {
        let paths = spellings(path);
        let mut lines = diversions.split(|byte| *byte == b'\n');
        while let (Some(from), Some(to), Some(by)) = (lines.next(), lines.next(), lines.next()) {
            let by = String::from_utf8_lossy(by).into_owned();
            let is = |other: &[u8]| paths.iter().any(|path| path == other);
            let shown = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
            let who = if by == ":" { "the operator" } else { &by };
            if is(to) {
                let words = Some(format!("by {who} from {}", shown(from)));
                return Self { paths: spellings(from), only: None, but: (by != ":").then_some(by), words };
            }
            if is(from) {
                let words = Some(format!("by {who} to {}", shown(to)));
                // what the operator put there is nobody's
                return Self { paths, only: Some(by), but: None, words };
            }
        }
        Self { paths, ..Self::default() }
    }

    fn may_be(&self, package: &str) -> bool {
        let name = package.split(':').next().unwrap_or_default();
        self.only.as_ref().is_none_or(|only| only == name) && self.but.as_ref().is_none_or(|but| but != name)
    }

    fn is_in(&self, list: &[u8]) -> bool {
        list.split(|byte| *byte == b'\n').any(|line| self.paths.iter().any(|path| path == line))
    }
}

/// The path, and the one that leads to the same file where `/bin` and its like are links.
fn spellings(path: &[u8]) -> Vec<Vec<u8>> {
    let begins = |path: &[u8]| MERGED.iter().any(|merged| path.starts_with(merged.as_bytes()));
    let other = match path.strip_prefix(b"/usr") {
        Some(rest) if begins(rest) => Some(rest.to_vec()),
        _ if begins(path) => Some([b"/usr", path].concat()),
        _ => None,
    };
    std::iter::once(path.to_vec()).chain(other).collect()
}

/// Records of lines: `P:` a package, then `F:` a directory and `R:` the files in it, without the first slash.
fn in_apk(text: &[u8], path: &[u8]) -> Option<String> {
    let wanted = spellings(path);
    let (mut package, mut directory): (&[u8], &[u8]) = (b"", b"");
    for line in text.split(|byte| *byte == b'\n') {
        match line {
            [b'P', b':', name @ ..] => package = name,
            [b'F', b':', name @ ..] => directory = name,
            [b'R', b':', name @ ..] => {
                let below = |path: &[u8]| match directory {
                    b"" => path == name,
                    _ => path.strip_prefix(directory).and_then(|rest| rest.strip_prefix(b"/")) == Some(name),
                };
                let is = |path: &Vec<u8>| path.strip_prefix(b"/").is_some_and(below);
                if wanted.iter().any(is) {
                    return Some(String::from_utf8_lossy(package).into_owned());
                }
            }
            _ => (),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIVERSIONS: &[u8] = b"/bin/sh\n/bin/sh.distrib\ndash\n/usr/bin/x\n/usr/bin/x.real\n:\n";

    #[test]
    fn a_merged_directory_is_listed_by_either_path() {
        for (path, others) in [
            ("/usr/bin/ls", vec!["/usr/bin/ls", "/bin/ls"]),
            ("/bin/ls", vec!["/bin/ls", "/usr/bin/ls"]),
            (
                "/usr/lib/x86_64-linux-gnu/libc.so.6",
                vec!["/usr/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libc.so.6"],
            ),
            ("/usr/share/x", vec!["/usr/share/x"]),
            ("/binary", vec!["/binary"]),
        ] {
            assert_eq!(
                spellings(path.as_bytes()),
                others.iter().map(|path| path.as_bytes().to_vec()).collect::<Vec<_>>()
            );
        }
        let wanted = Wanted::of(b"/usr/bin/ls", b"");
        assert!(wanted.is_in(b"/.\n/bin\n/bin/ls\n") && !wanted.is_in(b"/bin/lsblk\n/usr/bin/lsof\n"));
    }

    #[test]
    fn a_diverted_file_is_whose_it_was_and_its_place_whose_diversion_it_is() {
        let wanted = Wanted::of(b"/usr/bin/sh.distrib", DIVERSIONS);
        assert!(wanted.is_in(b"/bin/sh\n") && wanted.may_be("bash:amd64") && !wanted.may_be("dash"));
        assert_eq!(wanted.words.as_deref(), Some("by dash from /bin/sh"));
        let wanted = Wanted::of(b"/usr/bin/sh", DIVERSIONS);
        assert!(wanted.is_in(b"/usr/bin/sh\n") && wanted.may_be("dash") && !wanted.may_be("bash"));
        // the operator's own
        assert!(!Wanted::of(b"/usr/bin/x", DIVERSIONS).may_be("anything"));
        assert!(Wanted::of(b"/usr/bin/x.real", DIVERSIONS).may_be("anything"));
        assert_eq!(Wanted::of(b"/usr/bin/y", DIVERSIONS).words, None);
    }

    #[test]
    fn apk_lists_files_below_their_directories() {
        let text = b"C:Q1x\nP:musl\nV:1.2\nF:lib\nR:ld-musl-x86_64.so.1\na:0:0:755\nF:usr/lib\nR:x\n\nP:busybox\nF:bin\nR:busybox\nF:\nR:top\n";
        for (path, package) in [
            ("/lib/ld-musl-x86_64.so.1", Some("musl")),
            ("/usr/lib/x", Some("musl")),
            ("/usr/bin/busybox", Some("busybox")),
            ("/top", Some("busybox")),
            ("/lib/x", Some("musl")),
            ("/bin/busy", None),
            ("/binxbusybox", None),
        ] {
            assert_eq!(in_apk(text, path.as_bytes()).as_deref(), package, "{path}");
        }
    }
}
