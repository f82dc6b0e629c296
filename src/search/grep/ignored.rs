//! What `.gitignore` and `.ignore` files say, read as a walk comes to their directories: never by a path.

use std::{
    ffi::OsStr,
    io::Read,
    path::{Path, PathBuf},
};

use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};
use rustix::fs::FileType;

use jail::walk::{Entry, Ticket, Walk};

/// How much of such a file is read, and of all that are in force at the same time, in bytes.
const MOST: u64 = 64 << 10;
const MOST_TOGETHER: u64 = 256 << 10;

/// The files that are in force where the walk is.
#[derive(Debug, Default)]
pub(super) struct Ignored {
    levels: Vec<Level>,
    /// Files that were too long to be read to their end.
    pub cut: u64,
}

/// Those of one directory.
#[derive(Debug)]
struct Level {
    /// How deep what is in it is.
    depth: usize,
    directory: PathBuf,
    bytes: u64,
    ignore: Gitignore,
    gitignore: Gitignore,
}

impl Ignored {
    /// Reads those of the directory where the walk begins, and of those on the way to where it goes on.
    pub(super) fn begin(&mut self, walk: &Walk<'_>, on: Option<&Path>) {
        self.enter(1, Path::new(""), |name| walk.ticket(Path::new(name)));
        let mut directory = PathBuf::new();
        for (n, part) in on.into_iter().flat_map(Path::components).enumerate() {
            directory.push(part);
            self.enter(n + 2, &directory, |name| walk.ticket(&directory.join(name)));
        }
    }

    /// Whether an entry is left out. Reads what the directory that it is says of those in it.
    pub(super) fn leaves_out(&mut self, entry: &Entry<'_>) -> bool {
        while self.levels.last().is_some_and(|level| level.depth > entry.depth) {
            self.levels.pop();
        }
        let is_directory = entry.kind == FileType::Directory;
        if entry.name() == OsStr::new(".git") || self.say(entry.path, is_directory) {
            return true;
        }
        if is_directory {
            self.enter(entry.depth + 1, entry.path, |name| entry.ticket_within(name));
        }
        false
    }

    /// The deepest file that says anything of it counts, and `.ignore` before `.gitignore`.
    fn say(&self, path: &Path, is_directory: bool) -> bool {
        let said = |of: fn(&Level) -> &Gitignore| {
            self.levels.iter().rev().find_map(|level| {
                let below = path.strip_prefix(&level.directory).ok()?;
                match of(level).matched(below, is_directory) {
                    Match::None => None,
                    Match::Ignore(_) => Some(true),
                    Match::Whitelist(_) => Some(false),
                }
            })
        };
        said(|level| &level.ignore).or_else(|| said(|level| &level.gitignore)).unwrap_or(false)
    }

    fn enter(&mut self, depth: usize, directory: &Path, ticket: impl Fn(&str) -> Ticket) {
        let mut bytes = self.levels.iter().map(|level| level.bytes).sum();
        let before = bytes;
        let mut read = |name: &str| {
            let (text, is_cut) = text(&ticket(name), MOST.min(MOST_TOGETHER.saturating_sub(bytes)))?;
            bytes += text.len() as u64;
            self.cut += u64::from(is_cut);
            Some(rules(&text))
        };
        let (ignore, gitignore) = (read(".ignore"), read(".gitignore"));
        if ignore.is_some() || gitignore.is_some() {
            self.levels.push(Level {
                depth,
                directory: directory.to_owned(),
                bytes: bytes - before,
                ignore: ignore.unwrap_or_else(Gitignore::empty),
                gitignore: gitignore.unwrap_or_else(Gitignore::empty),
            });
        }
    }
}

/// The text of a file, if there is one, and whether it goes on.
fn text(ticket: &Ticket, most: u64) -> Option<(String, bool)> {
    let (file, stat) = ticket.open().ok()??;
    let mut bytes = vec![];
    file.take(most).read_to_end(&mut bytes).ok()?;
    let is_cut = stat.st_size.unsigned_abs() > most;
    Some((String::from_utf8_lossy(&bytes).into_owned(), is_cut))
}

/// Lines that are no rules are none for git, either.
fn rules(text: &str) -> Gitignore {
    let mut rules = GitignoreBuilder::new("");
    for line in text.trim_start_matches('\u{feff}').lines() {
        let _ = rules.add_line(None, line);
    }
    rules.build().unwrap_or_else(|_| Gitignore::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use jail::walk::Go;

    fn left(scratch: &Scratch, on: Option<&Path>) -> Vec<String> {
        let found = scratch.jail.find(&scratch.path("")).unwrap();
        let walk = Walk::new(&found, usize::MAX).unwrap();
        let (mut ignored, mut left) = (Ignored::default(), vec![]);
        ignored.begin(&walk, on);
        let walk = if let Some(on) = on { walk.after(on) } else { walk };
        walk.each(|entry| {
            if ignored.leaves_out(entry) {
                return Go::Past;
            }
            if entry.kind == FileType::RegularFile && !entry.name().to_string_lossy().ends_with("ignore") {
                left.push(entry.path.to_string_lossy().into_owned());
            }
            Go::On
        })
        .unwrap();
        left
    }

    #[test]
    fn rules_hold_below_their_file_and_the_deepest_counts() {
        let scratch = Scratch::new();
        for (name, text) in [
            (".gitignore", "*.log\ntarget/\n/top\n# comment\n!keep.log\n"),
            ("a/.gitignore", "!x.log\nb/only\n"),
            ("a/.ignore", "y.txt\n"),
            ("z/.gitignore", "*\n!*.md\n"),
            ("x.log", ""),
            ("keep.log", ""),
            ("top", ""),
            ("target/x", ""),
            (".git/config", ""),
            ("a/x.log", ""),
            ("a/other.log", ""),
            ("a/top", ""),
            ("a/y.txt", ""),
            ("a/b/only", ""),
            ("a/c/b/only", ""),
            ("b/x.log", ""),
            ("b/y.txt", ""),
            ("target-not/x", ""),
            ("z/readme.md", ""),
            ("z/code.rs", ""),
        ] {
            scratch.write(name, text);
        }
        let all = left(&scratch, None);
        assert_eq!(all, ["a/c/b/only", "a/top", "a/x.log", "b/y.txt", "keep.log", "target-not/x", "z/readme.md"]);
        for n in 0..all.len() {
            assert_eq!(left(&scratch, Some(Path::new(&all[n]))), all[n + 1..], "the same for who goes on");
        }
    }
}
