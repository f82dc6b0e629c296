//! What fills this disk?

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashSet},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{FileType, Stat, fstatvfs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    left_out::LeftOut,
    stat::{allocated, time},
};
use crate::tool::{Tool, Turn};
use jail::{
    Found, Jail,
    walk::{Entry, Go, Walk},
};
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::scope::Scope;
use search::patience::Patience;
use text::{page::Limit, table::Table};

/// How long it looks, and no longer.
const LOOKED_FOR: Duration = Duration::from_secs(20);

/// Files with several names that are remembered, so that each is counted once.
const MOST_LINKED: usize = 200_000;

/// Filesystems that are told apart.
const MOST_FILESYSTEMS: usize = 50;

/// How deep directories are told at most.
const DEEPEST: u8 = 20;

/// What fills a directory: the largest directories and files below it, by what they take on the disk (less than their size where files have
/// holes), files with several names once.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DirectoryUsage {
    /// Absolute.
    path: String,
    /// How deep directories are told: 3 by default, 20 at most. What is deeper counts for those above it.
    #[schemars(range(min = 1, max = 20))]
    depth: Option<u8>,
    /// Rows of each table.
    #[serde(default)]
    limit: Limit<15, 200>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// Without links in it.
    pub path: String,
    /// Of path and all below it.
    pub total: Total,
    /// The one that path lies on.
    pub filesystem: Option<Filesystem>,
    /// What is missing here, and why; null: nothing.
    pub left_out: Option<String>,
    /// The largest with all that is below them, largest first.
    pub directories: Table<DirectoryRow>,
    /// The largest, largest first.
    pub files: Table<FileRow>,
    /// Where others are mounted below path and belong to it.
    pub mounts: Option<Table<Mount>>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Total {
    /// On the disk.
    pub allocated_bytes: u64,
    /// Sizes of all files.
    pub size_bytes: u64,
    pub entries: u64,
    pub directories: u64,
    /// Further names of files that have several.
    pub further_links: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Filesystem {
    pub size_bytes: u64,
    /// For everybody but root.
    pub available_bytes: u64,
    /// null: it does not count them.
    pub inodes_free_ratio: Option<f64>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DirectoryRow {
    /// From path.
    pub path: String,
    pub allocated_bytes: u64,
    /// Itself and all below it.
    pub entries: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FileRow {
    /// From path; the first of several.
    pub path: String,
    pub allocated_bytes: u64,
    pub size_bytes: u64,
    /// RFC 3339.
    pub modified: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Mount {
    /// From path; what was seen first of it.
    pub path: String,
    pub allocated_bytes: u64,
    pub entries: u64,
}

impl Tool for DirectoryUsage {
    const NAME: &'static str = "directory_usage";
    const TITLE: &'static str = "What fills a directory";
    const SCOPE: Scope = Scope::FilesRead;
    const LANE: Lane = Lane::Search;
    const UNTRUSTED: Option<&'static str> = Some("path");
    const AUDITED: &'static [&'static str] = &["path", "depth", "limit"];
    type Output = Report;

    async fn run(self, turn: &Turn) -> Result<Report, Failure> {
        let jail = turn.jail(Self::SCOPE, None);
        let patience = Patience::of(turn.time(LOOKED_FOR), turn.stop());
        turn.read(move |_| read(&jail, &self, &patience)).await
    }
}

/// The largest of what comes, in the memory of as many as are asked for.
#[derive(Debug)]
struct Largest<T> {
    most: usize,
    heap: BinaryHeap<Reverse<(u64, T)>>,
}

impl<T: Ord> Largest<T> {
    fn new(most: usize) -> Self {
        Self { most, heap: BinaryHeap::new() }
    }

    /// `what` is made only if it is among them.
    fn offer(&mut self, bytes: u64, what: impl FnOnce() -> T) {
        if self.heap.len() == self.most {
            if self.heap.peek().is_none_or(|Reverse((least, _))| *least >= bytes) {
                return;
            }
            self.heap.pop();
        }
        self.heap.push(Reverse((bytes, what())));
    }

    fn sorted(self) -> impl Iterator<Item = (u64, T)> {
        self.heap.into_sorted_vec().into_iter().map(|Reverse(one)| one)
    }
}

/// A directory on the way down.
#[derive(Debug)]
struct Above {
    path: PathBuf,
    bytes: u64,
    entries: u64,
}

/// What a file is told with besides its blocks. The first path wins, whatever the order of the rest.
type FileFigures = (Reverse<PathBuf>, u64, i64);

/// The sums of a walk.
#[derive(Debug)]
struct Sums {
    depth: usize,
    total: Total,
    above: Vec<Above>,
    directories: Largest<(Reverse<PathBuf>, u64)>,
    files: Largest<FileFigures>,
    linked: HashSet<(u64, u64)>,
    unremembered: u64,
    gone: u64,
    filesystems: Vec<(u64, Mount)>,
}

impl Sums {
    fn new(depth: usize, rows: usize) -> Self {
        Self {
            depth,
            total: Total::default(),
            above: vec![],
            directories: Largest::new(rows),
            files: Largest::new(rows),
            linked: HashSet::new(),
            unremembered: 0,
            gone: 0,
            filesystems: vec![],
        }
    }

    fn add(&mut self, entry: &Entry<'_>, stat: &Stat) {
        while self.above.len() >= entry.depth {
            self.leave();
        }
        let is_directory = entry.kind == FileType::Directory;
        let is_repeated = !is_directory && stat.st_nlink > 1 && !self.remember(stat);
        let bytes = if is_repeated { 0 } else { allocated(stat) };
        self.total.allocated_bytes += bytes;
        self.total.entries += 1;
        self.total.directories += u64::from(is_directory);
        self.total.further_links += u64::from(is_repeated);
        self.place(entry.path, stat.st_dev, bytes);
        if is_directory && entry.depth <= self.depth {
            // those above it get this when it is left
            self.above.push(Above { path: entry.path.to_owned(), bytes, entries: 1 });
        } else if let Some(above) = self.above.last_mut() {
            above.entries += 1;
            above.bytes += bytes;
        }
        if entry.kind == FileType::RegularFile && !is_repeated {
            let size = stat.st_size.unsigned_abs();
            self.total.size_bytes += size;
            self.files.offer(bytes, || (Reverse(entry.path.to_owned()), size, stat.st_mtime));
        }
    }

    /// The deepest directory has come to its end.
    fn leave(&mut self) {
        let Some(Above { path, bytes, entries }) = self.above.pop() else { return };
        if let Some(above) = self.above.last_mut() {
            above.bytes += bytes;
            above.entries += entries;
        }
        self.directories.offer(bytes, || (Reverse(path), entries));
    }

    /// Whether a file with several names is seen for the first time, as far as there is room to know.
    fn remember(&mut self, stat: &Stat) -> bool {
        let id = (stat.st_dev, stat.st_ino);
        if self.linked.len() >= MOST_LINKED {
            let is_new = !self.linked.contains(&id);
            self.unremembered += u64::from(is_new);
            return is_new;
        }
        self.linked.insert(id)
    }

    /// Counts for the filesystem that it lies on.
    fn place(&mut self, path: &Path, device: u64, bytes: u64) {
        match self.filesystems.iter().position(|(known, _)| *known == device) {
            Some(known) => {
                let mount = &mut self.filesystems[known].1;
                mount.allocated_bytes += bytes;
                mount.entries += 1;
            }
            None if self.filesystems.len() < MOST_FILESYSTEMS => {
                let path = text::quote_path(path);
                self.filesystems.push((device, Mount { path, allocated_bytes: bytes, entries: 1 }));
            }
            None => (),
        }
    }
}

fn read(jail: &Jail, request: &DirectoryUsage, patience: &Patience) -> Result<Report, Failure> {
    let depth = request.depth.unwrap_or(3);
    if !(1..=DEEPEST).contains(&depth) {
        return Err(Failure::Invalid(format!("depth is a number from 1 to {DEEPEST}")));
    }
    let found = jail.find(&request.path)?;
    let is_over = || patience.is_over();
    let walk = Walk::new(&found, usize::MAX)?.until(&is_over);
    let (own, mounts) = (found.stat(), found.allowed().mounts);
    let mut sums = Sums::new(usize::from(depth), request.limit.rows());
    // as `du` has it, the directory itself is in it
    sums.total = Total { allocated_bytes: allocated(own), entries: 1, directories: 1, ..Total::default() };
    sums.place(Path::new("."), own.st_dev, allocated(own));
    let passed = walk.each(|entry| {
        match entry.stat() {
            // where something is mounted stands its own directory
            Ok(stat) if mounts || stat.st_dev == own.st_dev => sums.add(entry, &stat),
            Ok(_) => (),
            Err(_) => sums.gone += 1,
        }
        Go::On
    })?;
    while !sums.above.is_empty() {
        sums.leave();
    }
    let mut left_out = LeftOut::of(&passed);
    if let Some(stopped) = &passed.stopped {
        let at = text::quote_path(stopped);
        left_out
            .say_first(format!("time ran out at {at}, what comes after it is not counted: ask of a directory in it"));
    }
    left_out.count(sums.gone, "that could not be looked at");
    if sums.unremembered > 0 {
        left_out.say(format!("files with several names beyond the first {MOST_LINKED} are counted by each name"));
    }
    let is_one = sums.filesystems.len() < 2;
    let (directories, files) = (sums.directories.sorted(), sums.files.sorted());
    Ok(Report {
        path: text::quote_path(found.path()),
        total: sums.total,
        filesystem: filesystem(&found),
        left_out: left_out.told(),
        directories: directories
            .map(|(allocated_bytes, (Reverse(path), entries))| DirectoryRow {
                path: text::quote_path(&path),
                allocated_bytes,
                entries,
            })
            .collect(),
        files: files
            .map(|(allocated_bytes, (Reverse(path), size_bytes, modified))| FileRow {
                path: text::quote_path(&path),
                allocated_bytes,
                size_bytes,
                modified: time(modified),
            })
            .collect(),
        mounts: (!is_one).then(|| sums.filesystems.into_iter().map(|(_, mount)| mount).collect()),
    })
}

fn filesystem(found: &Found) -> Option<Filesystem> {
    let figures = fstatvfs(found).ok()?;
    let inodes = (figures.f_files > 0).then(|| figures.f_ffree as f64 / figures.f_files as f64);
    Some(Filesystem {
        size_bytes: figures.f_blocks * figures.f_frsize,
        available_bytes: figures.f_bavail * figures.f_frsize,
        inodes_free_ratio: inodes,
    })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "makes the files to be counted")]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use search::scratch::{Scratch, impatience, patience};

    fn ask(scratch: &Scratch, question: Value, patience: &Patience) -> Result<Value, Failure> {
        let mut question = question;
        if question.get("path").is_none() {
            question["path"] = scratch.path("").into();
        }
        let question: DirectoryUsage = serde_json::from_value(question).unwrap();
        Ok(serde_json::to_value(read(&scratch.jail, &question, patience)?).unwrap())
    }

    fn paths(table: &Value) -> Vec<&str> {
        table["rows"].as_array().unwrap().iter().map(|row| row[0].as_str().unwrap()).collect()
    }

    #[test]
    fn directories_have_what_is_below_them_and_files_are_told_from_the_largest() {
        let scratch = Scratch::new();
        for (name, size) in [("a/b/c/d/big", 500_000), ("a/b/small", 5_000), ("a/x", 100_000), ("z/y", 200_000)] {
            scratch.write(name, vec![1; size]);
        }
        let report = ask(&scratch, json!({ "depth": 2 }), &patience()).unwrap();
        assert_eq!(paths(&report["directories"]), ["a", "a/b", "z"]);
        assert_eq!(paths(&report["files"]), ["a/b/c/d/big", "z/y", "a/x", "a/b/small"]);
        assert_eq!((&report["total"]["size_bytes"], &report["total"]["entries"]), (&json!(805_000), &json!(10)));
        assert_eq!(report["directories"]["rows"][0][2], 7, "{report}");
        let own = report["directories"]["rows"][0][1].as_u64().unwrap()
            + report["directories"]["rows"][2][1].as_u64().unwrap();
        assert_eq!(
            own + allocated(scratch.jail.find(&scratch.path("")).unwrap().stat()),
            report["total"]["allocated_bytes"]
        );
        let report = ask(&scratch, json!({ "limit": 1 }), &patience()).unwrap();
        assert_eq!((paths(&report["directories"]), paths(&report["files"])), (vec!["a"], vec!["a/b/c/d/big"]));
        assert!(report["left_out"].is_null() && report["mounts"].is_null());
        assert!(report["filesystem"]["size_bytes"].as_u64() > report["filesystem"]["available_bytes"].as_u64());
    }

    #[test]
    fn a_file_with_several_names_counts_once_and_one_with_holes_for_what_it_has() {
        let scratch = Scratch::new();
        let first = scratch.write("a", vec![1; 300_000]);
        std::fs::hard_link(&first, scratch.dir.join("b")).unwrap();
        let holes = std::fs::File::create(scratch.dir.join("holes")).unwrap();
        holes.set_len(10 << 30).unwrap();
        let report = ask(&scratch, json!({}), &patience()).unwrap();
        assert_eq!(report["total"]["further_links"], 1);
        assert_eq!(report["total"]["size_bytes"], (10_u64 << 30) + 300_000);
        assert!(report["total"]["allocated_bytes"].as_u64().unwrap() < 400_000);
        assert_eq!(paths(&report["files"]), ["a", "holes"]);
        assert_eq!((&report["files"]["rows"][1][1], &report["files"]["rows"][1][2]), (&json!(0), &json!(10_u64 << 30)));
    }

    #[test]
    fn what_was_not_reached_is_told() {
        let scratch = Scratch::new();
        for n in 0..100 {
            scratch.write(format!("{n:02}"), "x");
        }
        scratch.write("state/tokens.ron", vec![1; 100_000]);
        let report = ask(&scratch, json!({}), &impatience()).unwrap();
        assert!(report["left_out"].as_str().unwrap().starts_with("time ran out at 14, "), "{report}");
        let report = ask(&scratch, json!({}), &patience()).unwrap();
        assert_eq!(report["left_out"], "kept from callers: 1");
        assert!(!paths(&report["files"]).contains(&"state/tokens.ron"));
        for (question, why) in
            [(json!({ "depth": 0 }), "depth"), (json!({ "path": scratch.path("00") }), "not a directory")]
        {
            assert!(ask(&scratch, question, &patience()).unwrap_err().to_string().contains(why));
        }
    }
}
