//! `/proc/spl/kstat/zfs/arcstats`: the cache of ZFS, which the kernel counts as used memory, not as a cache.

use super::Malformed;

/// The figures this server uses. One that is missing or makes no sense is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Arcstats {
    /// Bytes it holds.
    pub size: Option<u64>,
    /// Bytes it does not shrink below.
    pub c_min: Option<u64>,
}

impl Arcstats {
    /// Reads the text of `arcstats`: name, type and value in columns. Names the first line that makes no sense.
    pub fn parse(text: &str) -> (Self, Option<Malformed>) {
        let (mut arcstats, mut odd) = (Self::default(), None);
        for line in text.lines() {
            let mut columns = line.split_ascii_whitespace();
            let field = match columns.next() {
                Some("size") => &mut arcstats.size,
                Some("c_min") => &mut arcstats.c_min,
                _ => continue,
            };
            *field = columns.nth(1).and_then(|value| value.parse().ok());
            if field.is_none() {
                odd = odd.or_else(|| Some(Malformed::line("arcstats", text, line)));
            }
        }
        (arcstats, odd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Place;

    #[test]
    fn names_are_matched_whole() {
        let text = "\
9 1 0x01 94 25568 6266 12345678901
name                            type data
hits                            4    12
c                               4    400
c_min                           4    100
size                            4    300
anon_size                       4    7
";
        assert_eq!(Arcstats::parse(text), (Arcstats { size: Some(300), c_min: Some(100) }, None));
    }

    #[test]
    fn an_odd_line_is_named() {
        let (arcstats, odd) = Arcstats::parse("c_min 4 9\nsize 4\n");
        assert_eq!((arcstats.c_min, arcstats.size, odd.unwrap().place), (Some(9), None, Place::Line(2)));
    }
}
