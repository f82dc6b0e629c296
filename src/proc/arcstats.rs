//! `/proc/spl/kstat/zfs/arcstats`: the cache of ZFS, which the kernel counts as used memory, not as a cache.

use super::Malformed;

/// The figures this server uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arcstats {
    /// Bytes it holds.
    pub size: u64,
    /// Bytes it aims at.
    pub c: u64,
    /// Bytes it does not shrink below.
    pub c_min: u64,
    /// Bytes it does not grow above.
    pub c_max: u64,
    /// Readings it answered.
    pub hits: u64,
    /// Readings it could not answer.
    pub misses: u64,
}

impl Arcstats {
    /// Reads the text of `arcstats`: name, type and value in columns.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let value = |name: &'static str| {
            let mut lines = text.lines().map(str::split_ascii_whitespace);
            let columns = lines.find_map(|mut columns| (columns.next() == Some(name)).then_some(columns));
            let value = columns.and_then(|mut columns| columns.nth(1)?.parse().ok());
            value.ok_or_else(|| Malformed::field("arcstats", name))
        };
        Ok(Self {
            size: value("size")?,
            c: value("c")?,
            c_min: value("c_min")?,
            c_max: value("c_max")?,
            hits: value("hits")?,
            misses: value("misses")?,
        })
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
misses                          4    3
demand_data_hits                4    99
c                               4    400
c_min                           4    100
c_max                           4    800
size                            4    300
";
        let expected = Arcstats { size: 300, c: 400, c_min: 100, c_max: 800, hits: 12, misses: 3 };
        assert_eq!(Arcstats::parse(text).unwrap(), expected);
    }

    #[test]
    fn a_missing_name_is_named() {
        assert_eq!(Arcstats::parse("hits 4 12\n").unwrap_err().place, Place::Field("size"));
        assert_eq!(Arcstats::parse("size 4\n").unwrap_err().place, Place::Field("size"));
    }
}
