//! What is below a directory, and how many in each.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use super::{Entries, Report, Total, Wanted, fitting};
use crate::files::stat::Kind;
use jail::{
    Found, Jail,
    walk::{Go, Passed, Walk},
};
use kernel::failure::Failure;
use search::patience::Patience;
use text::page::Page;

/// Entries between two looks at the time.
const STRETCH: u64 = 256;

/// Something in the tree.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Branch {
    /// From the directory asked for. $'…' where it has what cannot be shown; it is taken back so.
    pub path: String,
    pub kind: Kind,
    /// Of a file.
    pub size_bytes: Option<u64>,
    /// How many are in this directory, its own directories not entered. Null: not to be known, or time ran out.
    pub entries: Option<u64>,
    /// True: a directory that is not entered for callers or cannot be.
    pub denied: Option<bool>,
}

pub(super) fn read(
    jail: &Jail,
    found: &Found,
    wanted: &Wanted,
    depth: usize,
    page: &Page<usize>,
    patience: &Patience,
    path: String,
) -> Result<Report, Failure> {
    let (mut total, mut matching, mut is_cut) = (Total::default(), 0_usize, false);
    let mut rows: Vec<(usize, (PathBuf, Branch))> = vec![];
    // the directories that lead to where the walk is, and their rows if they are on this page
    let mut above: Vec<Option<usize>> = vec![];
    let begin = page.told().copied().unwrap_or(0);
    let mut looked = 0_u64;
    // one level more, to be counted
    let passed = Walk::new(found, depth + 1)?.each(|entry| {
        looked += 1;
        is_cut = looked.is_multiple_of(STRETCH) && patience.is_over();
        if is_cut {
            return Go::Stop;
        }
        above.truncate(entry.depth - 1);
        if let Some(Some(row)) = above.last().copied() {
            let branch = &mut rows[row].1.1;
            branch.entries = branch.entries.map(|entries| entries + 1);
        }
        if entry.depth > depth {
            return Go::Past;
        }
        let kind = Kind::from(entry.kind);
        total.count(kind);
        let fits = wanted.fits(entry.name(), kind);
        matching += usize::from(fits);
        let is_shown = fits && matching > begin && rows.len() <= page.limit();
        if is_shown {
            let size = (kind == Kind::File).then(|| entry.stat().ok()).flatten();
            let branch = Branch {
                path: text::quote_path(entry.path),
                kind,
                size_bytes: size.map(|stat| stat.st_size.unsigned_abs()),
                entries: (kind == Kind::Directory).then_some(0),
                denied: None,
            };
            rows.push((matching, (entry.path.to_owned(), branch)));
        }
        if kind == Kind::Directory {
            above.push(is_shown.then(|| rows.len() - 1));
        }
        Go::On
    })?;
    if is_cut {
        // what was not seen to its end is not counted
        for row in above.into_iter().flatten() {
            rows[row].1.1.entries = None;
        }
    }
    let page = page.clone().at_most(fitting(rows.iter().map(|(_, (_, branch))| branch)));
    let (mut branches, next_cursor) = page.by_key(rows);
    for (path, branch) in &mut branches {
        if branch.entries == Some(0) {
            branch.ask(jail, &found.path().join(path));
        }
    }
    Ok(Report {
        path,
        left_out: left_out(&passed, &total, is_cut),
        total,
        matching: matching as u64,
        matching_bytes: None,
        entries: Entries::Tree(branches.into_iter().map(|(_, branch)| branch).collect()),
        next_cursor,
    })
}

impl Branch {
    /// A directory in which nothing was seen is empty, or is not entered.
    fn ask(&mut self, jail: &Jail, path: &Path) {
        let Some(path) = path.to_str() else {
            self.entries = None;
            return;
        };
        if jail.find(path).and_then(|found| found.entries()).is_err() {
            (self.entries, self.denied) = (None, Some(true));
        }
    }
}

fn left_out(passed: &Passed, total: &Total, is_cut: bool) -> Option<String> {
    let mut parts = vec![];
    if is_cut {
        parts.push(format!(
            "time ran out after {} entries: ask with a smaller depth, or of a directory in it",
            total.entries
        ));
    }
    if passed.denied > 0 {
        parts.push(format!("{} that are kept from callers", passed.denied));
    }
    if passed.unreadable > 0 {
        parts.push(format!("what is in {} directories that this server may not list", passed.unreadable));
    }
    if !passed.mounts.is_empty() {
        let mounts: Vec<String> = passed.mounts.iter().map(|path| text::quote_path(path)).collect();
        parts.push(format!("what is mounted at {}", mounts.join(", ")));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}
