//! `/proc/swaps`: where the kernel swaps to, see proc_swaps(5).

use super::mountinfo::unescape;
use super::{Malformed, lines, number};

/// One device or file to swap to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// Its path, escapes undone; a removed file's ends with ` (deleted)`.
    pub filename: Vec<u8>,
    /// `partition` or `file`.
    pub kind: Vec<u8>,
    /// Bytes.
    pub size: u64,
    /// Bytes in use.
    pub used: u64,
    /// The larger is used first; those nobody gave one count down from -1 or -2.
    pub priority: i32,
}

/// Reads the bytes of `/proc/swaps`, and names the first line that makes no sense.
pub fn parse(bytes: &[u8]) -> (Vec<Swap>, Option<Malformed>) {
    let (mut swaps, mut odd) = (vec![], None);
    for line in lines(bytes).filter(|line| !line.starts_with(b"Filename")) {
        match Swap::parse(line) {
            Some(swap) => swaps.push(swap),
            None => odd = odd.or_else(|| Some(Malformed::line("swaps", bytes, line))),
        }
    }
    (swaps, odd)
}

impl Swap {
    fn parse(line: &[u8]) -> Option<Self> {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let mut columns = line.split(blank).filter(|column| !column.is_empty());
        let filename = unescape(columns.next()?);
        let kind = columns.next()?.to_vec();
        let mut kibibytes = || number::<u64>(columns.next()?)?.checked_mul(1024);
        let (size, used) = (kibibytes()?, kibibytes()?);
        Some(Self { filename, kind, size, used, priority: number(columns.next()?)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Position;

    #[test]
    fn names_have_their_escapes_undone() {
        let text = b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n\
            /dev/sda2                               partition\t1024\t\t8\t\t-2\n/swap\\040file\t file\t2\t0\t5\n";
        let (swaps, _) = parse(text);
        let expected = Swap {
            filename: b"/dev/sda2".to_vec(),
            kind: b"partition".to_vec(),
            size: 1 << 20,
            used: 8192,
            priority: -2,
        };
        assert_eq!(swaps[0], expected);
        assert_eq!(swaps[1].filename, b"/swap file");
    }

    #[test]
    fn a_line_cut_short_is_named() {
        let (swaps, odd) = parse(b"/dev/sda2 partition\n/swap file 2 0 5\n");
        assert_eq!((swaps.len(), odd.unwrap().position), (1, Position::Line(1)));
    }
}
