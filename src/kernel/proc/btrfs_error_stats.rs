//! `/sys/fs/btrfs/UUID/devinfo/N/error_stats`: what went wrong on a device of a btrfs, see btrfs-device(8), `stats`. Since Linux 5.14.

use super::Malformed;

/// Counted since the filesystem was made, or since they were reset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BtrfsErrorStats {
    /// Writes that the device refused.
    pub write: u64,
    /// Reads that the device refused.
    pub read: u64,
    /// Flushes that the device refused.
    pub flush: u64,
    /// Blocks whose checksum was wrong.
    pub corruption: u64,
    /// Blocks that were older than they should be: writes that were lost.
    pub generation: u64,
}

impl BtrfsErrorStats {
    /// Reads the text of `error_stats`. `None`: the kernel has not read them yet. A counter that is missing is a place that makes no sense.
    pub fn parse(text: &str) -> Result<Option<Self>, Malformed> {
        if text.trim_ascii() == "invalid" {
            return Ok(None);
        }
        let count = |name: &'static str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            value.and_then(|value| value.trim_ascii().parse().ok()).ok_or(Malformed::field("error_stats", name))
        };
        Ok(Some(Self {
            write: count("write_errs")?,
            read: count("read_errs")?,
            flush: count("flush_errs")?,
            corruption: count("corruption_errs")?,
            generation: count("generation_errs")?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_count() {
        let text = "write_errs 1\nread_errs 2\nflush_errs 3\ncorruption_errs 4\ngeneration_errs 5\n";
        let stats = BtrfsErrorStats { write: 1, read: 2, flush: 3, corruption: 4, generation: 5 };
        assert_eq!(BtrfsErrorStats::parse(text).unwrap(), Some(stats));
        assert_eq!(BtrfsErrorStats::parse("invalid\n").unwrap(), None);
    }

    #[test]
    fn a_missing_count_is_named() {
        let odd = BtrfsErrorStats::parse("write_errs 1\nread_errs -2\n").unwrap_err();
        assert_eq!(odd, Malformed::field("error_stats", "read_errs"));
    }
}
