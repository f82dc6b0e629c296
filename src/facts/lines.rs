//! A kernel table of any length, read line by line: a full BGP table has a million.

use crate::gap::Reader;
use kernel::{failure::Failure, proc::Position};

/// How far a table was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// To its end.
    Whole,
    /// It is not there.
    Absent,
    /// It is there, and could not be read to its end; the gap says why.
    Broken,
}

/// Calls `each` with every line of the table. False from it: the line makes no sense, and the first such line is a gap.
pub(super) fn read(reader: &Reader<'_>, path: &str, mut each: impl FnMut(&[u8]) -> bool) -> Extent {
    let (mut number, mut odd) = (0, None);
    let result = reader.root().lines(path, |line| {
        number += 1;
        if !each(line) {
            odd = odd.or(Some(number));
        }
    });
    if let Some(number) = odd {
        reader.odd(path, format!("cannot read {}", Position::Line(number)));
    }
    match reader.keep(path, Failure::absent(result)) {
        Some(Some(())) => Extent::Whole,
        Some(None) => Extent::Absent,
        None => Extent::Broken,
    }
}
