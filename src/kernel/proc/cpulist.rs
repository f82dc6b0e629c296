//! `0-3,8`: how the kernel writes sets of CPUs and NUMA nodes, see cpuset(7), "List Format".

use super::Malformed;

/// No kernel can be built for more CPUs (`NR_CPUS` ends at 8192).
const MOST: u32 = 8192;

/// The numbers, in order; none for an empty set.
pub fn parse(text: &str) -> Result<Vec<u32>, Malformed> {
    let mut numbers: Vec<u32> = Vec::new();
    for range in text.trim_ascii().split(',').filter(|range| !range.is_empty()) {
        let (first, last) = bounds(range).ok_or_else(|| Malformed::whole("cpulist"))?;
        // The kernel counts upwards; so does what comes out, which also bounds it.
        if last >= MOST || last < first || numbers.last().is_some_and(|before| *before >= first) {
            return Err(Malformed::whole("cpulist"));
        }
        numbers.extend(first..=last);
    }
    Ok(numbers)
}

fn bounds(range: &str) -> Option<(u32, u32)> {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    Some((first.parse().ok()?, last.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_single_numbers_mix() {
        assert_eq!(parse("0-3,8\n").unwrap(), [0, 1, 2, 3, 8]);
        assert_eq!(parse("0").unwrap(), [0]);
    }

    #[test]
    fn a_set_may_be_empty() {
        assert_eq!(parse("\n").unwrap(), [0u32; 0]);
    }

    #[test]
    fn ranges_that_would_fill_the_memory_are_refused() {
        for text in ["0-4294967295", "0-8192", "3-1", "0-7,0-7", "a", "1-", "-1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
