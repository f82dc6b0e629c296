//! `/proc/spl/kstat/zfs/arcstats`: the cache of ZFS, which the kernel counts as used memory, not as a cache.

use std::collections::BTreeMap;

use super::Malformed;

/// Every whole number by its name. A line that makes no sense is left out; the first stands beside the rest. What stands above the heading
/// is not about the cache.
pub fn figures(text: &str) -> (BTreeMap<&str, f64>, Option<Malformed>) {
    let (mut figures, mut odd) = (BTreeMap::new(), None);
    let heading = |line: &&str| line.split_ascii_whitespace().eq(["name", "type", "data"]);
    for line in text.lines().skip_while(|line| !heading(line)).skip(1) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        // KSTAT_DATA_INT64 and KSTAT_DATA_UINT64 of ZFS's sys/kstat.h
        let figure = match words[..] {
            [name, "3", figure] => figure.parse::<i64>().ok().map(|figure| (name, figure as f64)),
            [name, "4", figure] => figure.parse::<u64>().ok().map(|figure| (name, figure as f64)),
            [] | [_, "0" | "1" | "2" | "5" | "6" | "7", ..] => continue,
            _ => None,
        };
        match figure {
            Some((name, figure)) => drop(figures.insert(name, figure)),
            None => odd = odd.or_else(|| Some(Malformed::line("arcstats", text, line))),
        }
    }
    (figures, odd)
}

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
    use crate::proc::Position;

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
    fn every_figure_below_the_heading_is_kept_by_its_name() {
        let text = "9 1 0x01 94 25568 6266 12345678901\nname type data\nhits 4 12\nmemory_available_bytes 3 -5\nx 7 a\nc 4 many\n";
        let (figures, odd) = figures(text);
        assert_eq!(figures, BTreeMap::from([("hits", 12.0), ("memory_available_bytes", -5.0)]));
        assert_eq!(odd.unwrap().position, Position::Line(6));
    }

    #[test]
    fn an_odd_line_is_named() {
        let (arcstats, odd) = Arcstats::parse("c_min 4 9\nsize 4\n");
        assert_eq!((arcstats.c_min, arcstats.size, odd.unwrap().position), (Some(9), None, Position::Line(2)));
    }
}
