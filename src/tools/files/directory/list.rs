//! One row for each name, of as many names as there are, in the memory of one page.

use std::{collections::BinaryHeap, ffi::OsStr, fmt, os::unix::ffi::OsStrExt, str::FromStr};

use rustix::fs::{FileType, Stat, readlinkat};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Entries, Report, Sort, Total, Wanted, fitting};
use crate::files::stat::{Kind, Owners, allocated, permissions, time};
use jail::{self, Found};
use kernel::failure::Failure;
use search::patience::Patience;
use text::{hex, page::Page, table::Table, unhex};

/// Names between two looks at the time.
const STRETCH: u64 = 256;

/// Less on the disk than its size by this factor, or more, is worth a word; below so many bytes it never is.
const FACTOR: u64 = 2;
const NOT_WORTH: u64 = 1 << 20;

/// The longest target of a link that is shown, in bytes.
const LONGEST_TARGET: usize = 300;

/// An entry.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Row {
    /// $'…' where it has what cannot be shown; it is taken back so.
    pub name: String,
    pub kind: Kind,
    /// As `ls -l` has them. Null, with all that follows: not to be known.
    pub permissions: Option<String>,
    /// Name, or number where it has none.
    pub owner: Option<String>,
    pub group: Option<String>,
    pub size_bytes: Option<u64>,
    /// What it takes on the disk, where that is far from its size.
    pub allocated_bytes: Option<u64>,
    /// RFC 3339, UTC.
    pub modified: Option<String>,
    /// Where a link leads.
    pub target: Option<String>,
    /// True: kept from callers.
    pub denied: Option<bool>,
}

/// The place of an entry in the list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The smallest first.
    rank: i64,
    name: Vec<u8>,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // digits, so that no name can look like a secret in a cursor, which would then be redacted
        write!(f, "{}:{}", self.rank, hex(&self.name))
    }
}

impl FromStr for Key {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (rank, name) = text.split_once(':').ok_or(())?;
        Ok(Self { rank: rank.parse().map_err(|_| ())?, name: unhex(name).ok_or(())? })
    }
}

/// What one pass over the names has seen.
#[derive(Debug, Default)]
struct Seen {
    total: Total,
    matching: u64,
    bytes: u64,
    /// The first of those asked for, and one more.
    first: BinaryHeap<(Key, Kind)>,
    /// Of these, nothing but the name is known.
    unknown: u64,
    is_cut: bool,
}

pub(super) fn read(
    found: &Found,
    owners: &Owners,
    wanted: &Wanted,
    sort: Sort,
    page: &Page<Key>,
    patience: &Patience,
    path: String,
) -> Result<Report, Failure> {
    let entries = found.entries()?;
    let seen = look(found, &entries, wanted, sort, page, patience)?;
    let rows = seen.first.into_sorted_vec().into_iter().map(|(key, kind)| {
        let row = Row::read(found, &entries, owners, OsStr::from_bytes(&key.name), kind);
        (key, row)
    });
    let rows: Vec<(Key, Row)> = rows.collect();
    let page = page.clone().at_most(fitting(rows.iter().map(|(_, row)| row)));
    let (rows, next_cursor) = page.by_key(rows);
    let closed = rows.iter().filter(|row| row.permissions.is_none() && row.denied.is_none()).count();
    Ok(Report {
        path,
        left_out: left_out(&seen.total, seen.is_cut, seen.unknown, closed),
        total: seen.total,
        matching: seen.matching,
        matching_bytes: (sort != Sort::Name).then_some(seen.bytes),
        entries: Entries::List(Table(rows)),
        // of a part, the order says nothing
        next_cursor: next_cursor.filter(|_| !seen.is_cut),
    })
}

/// Goes through all names once and keeps those of the page.
fn look(
    found: &Found,
    entries: &jail::Entries,
    wanted: &Wanted,
    sort: Sort,
    page: &Page<Key>,
    patience: &Patience,
) -> Result<Seen, Failure> {
    let mut seen = Seen::default();
    entries
        .each(|jail::Name { name, kind }| {
            let mut stat = None;
            let mut kind = Kind::from(kind);
            if sort != Sort::Name || kind == Kind::Unknown {
                stat = entries.stat(name).ok();
                kind = stat.as_ref().map_or(kind, kind_of);
            }
            seen.total.count(kind);
            if wanted.fits(name, kind) {
                // what is kept from callers does not show its size by its place either
                let known = stat.as_ref().filter(|stat| sort != Sort::Name && !found.keeps(name, Some(stat)));
                seen.unknown += u64::from(sort != Sort::Name && stat.is_none());
                seen.matching += 1;
                seen.bytes += known.map_or(0, size);
                seen.keep(name, kind, rank(sort, known), page);
            }
            seen.is_cut = seen.total.entries.is_multiple_of(STRETCH) && patience.is_over();
            !seen.is_cut
        })
        .map_err(|error| found.failure(error))?;
    Ok(seen)
}

impl Seen {
    fn keep(&mut self, name: &OsStr, kind: Kind, rank: i64, page: &Page<Key>) {
        let place = (rank, name.as_bytes());
        let is_told = page.told().is_some_and(|told| place <= (told.rank, told.name.as_slice()));
        let is_full = self.first.len() > page.limit();
        let is_behind = || self.first.peek().is_some_and(|(last, _)| place >= (last.rank, last.name.as_slice()));
        if is_told || is_full && is_behind() {
            return;
        }
        self.first.push((Key { rank, name: name.as_bytes().to_vec() }, kind));
        if is_full {
            self.first.pop();
        }
    }
}

fn rank(sort: Sort, stat: Option<&Stat>) -> i64 {
    match (sort, stat) {
        (Sort::Name, _) => 0,
        // what is not known comes last
        (_, None) => i64::MAX,
        (Sort::Size, Some(stat)) => i64::try_from(size(stat)).map_or(i64::MIN, |size| -size),
        (Sort::Modified, Some(stat)) => {
            let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or_default();
            stat.st_mtime.saturating_mul(1_000_000_000).saturating_add(nanoseconds).saturating_neg()
        }
    }
}

/// A directory's own says nothing of what is in it.
fn size(stat: &Stat) -> u64 {
    if kind_of(stat) == Kind::Directory { 0 } else { stat.st_size.unsigned_abs() }
}

fn kind_of(stat: &Stat) -> Kind {
    FileType::from_raw_mode(stat.st_mode).into()
}

impl Row {
    /// Of what has this name now. One that has gone meanwhile keeps its row: without, a page could end the list.
    fn read(found: &Found, entries: &jail::Entries, owners: &Owners, name: &OsStr, kind: Kind) -> Self {
        let mut row = Self {
            name: text::quote(name.as_bytes()),
            kind,
            permissions: None,
            owner: None,
            group: None,
            size_bytes: None,
            allocated_bytes: None,
            modified: None,
            target: None,
            denied: None,
        };
        let stat = entries.stat(name).ok();
        if found.keeps(name, stat.as_ref()) {
            row.denied = Some(true);
            return row;
        }
        let Some(stat) = stat else { return row };
        row.kind = kind_of(&stat);
        row.permissions = Some(permissions(stat.st_mode));
        row.owner = Some(owners.user(stat.st_uid));
        row.group = Some(owners.group(stat.st_gid));
        row.modified = time(stat.st_mtime);
        if row.kind != Kind::Directory {
            let (size, allocated) = (size(&stat), allocated(&stat));
            row.size_bytes = Some(size);
            row.allocated_bytes = (size.abs_diff(allocated) > NOT_WORTH
                && (size / FACTOR > allocated || allocated / FACTOR > size))
                .then_some(allocated);
        }
        if row.kind == Kind::Link {
            row.target = readlinkat(entries, name, vec![]).ok().map(|target| shown_target(target.as_bytes()));
        }
        row
    }
}

fn shown_target(target: &[u8]) -> String {
    match target.get(..LONGEST_TARGET) {
        Some(cut) if target.len() > LONGEST_TARGET => {
            format!("{}…(+{} bytes)", text::quote(cut), target.len() - cut.len())
        }
        _ => text::quote(target),
    }
}

fn left_out(total: &Total, is_cut: bool, unknown: u64, closed: usize) -> Option<String> {
    let mut parts = vec![];
    if is_cut {
        parts.push(format!(
            "time ran out after {} entries, of which the first in order are here; file_find looks for some of them",
            total.entries
        ));
    }
    match (unknown, closed) {
        (0, 0) => (),
        (0, closed) => {
            parts.push(format!("details of {closed} entries here, which have gone or which this server may not read"))
        }
        (unknown, _) => parts.push(format!(
            "details of {unknown} entries, which have gone or which this server may not read; they come last"
        )),
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}
