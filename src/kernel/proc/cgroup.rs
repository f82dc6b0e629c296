//! The small files of a control group, of v1 and v2: see the kernel's admin-guide/cgroup-v1 and cgroup-v2.rst.

use super::Malformed;

/// The largest limit that fits v1's counter, less the largest page: what v1 writes for "none" lies above.
const V1_UNLIMITED: u64 = 0x7fff_ffff_ffff_0000;

/// Reads a limit (`memory.max`, `pids.max`; v1: `memory.limit_in_bytes`); `None` is unlimited: `max`, `-1`, or the
/// largest number of v1, rounded down to a page.
pub fn limit(text: &str) -> Result<Option<u64>, Malformed> {
    match text.trim_ascii() {
        "max" | "-1" => Ok(None),
        _ => count(text).map(|limit| (limit < V1_UNLIMITED).then_some(limit)),
    }
}

/// Reads a plain number (`memory.current`, `pids.current`; v1: `memory.usage_in_bytes`, `cpuacct.usage`).
pub fn count(text: &str) -> Result<u64, Malformed> {
    text.trim_ascii().parse().map_err(|_| Malformed::whole("cgroup"))
}

/// How much CPU time it may use in each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuMax {
    /// Microseconds in a period, all CPUs together; `None` is unlimited.
    pub quota_us: Option<u64>,
    /// Microseconds of a period.
    pub period_us: u64,
}

impl CpuMax {
    /// Reads `cpu.max` of v2.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let (quota, period) = text.trim_ascii().split_once(' ').ok_or_else(|| Malformed::whole("cpu.max"))?;
        Self::of(quota, period)
    }

    /// Reads `cpu.cfs_quota_us` and `cpu.cfs_period_us` of v1.
    pub fn parse_v1(quota: &str, period: &str) -> Result<Self, Malformed> {
        Self::of(quota, period)
    }

    /// How many CPUs that is; `None` is unlimited.
    pub fn cpus(&self) -> Option<f64> {
        Some(self.quota_us? as f64 / self.period_us.max(1) as f64)
    }

    fn of(quota: &str, period: &str) -> Result<Self, Malformed> {
        Ok(Self { quota_us: limit(quota)?, period_us: count(period)? })
    }
}

/// What its memory is used for, in bytes, descendants included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryStat {
    /// v2 `anon`, v1 `total_rss`: no file backs it.
    pub anon: Option<u64>,
    /// v2 `file`, v1 `total_cache`: the page cache, tmpfs and shared memory included.
    pub file: Option<u64>,
    /// v2 `inactive_file`, v1 `total_inactive_file`: the part of it the kernel would drop first; usage less this is
    /// what is commonly called used.
    pub inactive_file: Option<u64>,
}

impl MemoryStat {
    /// Reads `memory.stat`.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        // v1 has an `inactive_file` too, but without its descendants: `total_` comes first.
        let value = |v1, v2| match value("memory.stat", text, v1)? {
            None => value("memory.stat", text, v2),
            found => Ok(found),
        };
        Ok(Self {
            anon: value("total_rss", "anon")?,
            file: value("total_cache", "file")?,
            inactive_file: value("total_inactive_file", "inactive_file")?,
        })
    }
}

/// CPU time and how it was held back. Without the cpu controller v2 gives the times alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuStat {
    /// `usage_usec`: microseconds used; v1 has them in `cpuacct.usage`.
    pub usage_us: Option<u64>,
    /// `user_usec`: microseconds of programs; v2.
    pub user_us: Option<u64>,
    /// `system_usec`: microseconds of the kernel; v2.
    pub system_us: Option<u64>,
    /// `nr_periods`: periods in which it ran under a limit.
    pub periods: Option<u64>,
    /// `nr_throttled`: periods in which it was held back.
    pub throttled: Option<u64>,
    /// v2 `throttled_usec`, v1 `throttled_time`: microseconds it was held back, all CPUs added up.
    pub throttled_us: Option<u64>,
}

impl CpuStat {
    /// Reads `cpu.stat`.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let value = |name| value("cpu.stat", text, name);
        Ok(Self {
            usage_us: value("usage_usec")?,
            user_us: value("user_usec")?,
            system_us: value("system_usec")?,
            periods: value("nr_periods")?,
            throttled: value("nr_throttled")?,
            throttled_us: match value("throttled_time")? {
                Some(nanoseconds) => Some(nanoseconds / 1000),
                None => value("throttled_usec")?,
            },
        })
    }
}

/// How often it ran out of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryEvents {
    /// `high`: it was slowed down for being above `memory.high`; v2.
    pub high: Option<u64>,
    /// `max`: it reached `memory.max`; v2.
    pub max: Option<u64>,
    /// `oom`: it reached `memory.max` and nothing could be freed; v2.
    pub oom: Option<u64>,
    /// `oom_kill`: processes killed, since Linux 4.13; v1 has it in `memory.oom_control`.
    pub oom_kill: Option<u64>,
}

impl MemoryEvents {
    /// Reads `memory.events` of v2 or `memory.oom_control` of v1.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let value = |name| value("memory.events", text, name);
        Ok(Self { high: value("high")?, max: value("max")?, oom: value("oom")?, oom_kill: value("oom_kill")? })
    }
}

/// The number after `name` in a file of `name number` lines.
fn value(file: &'static str, text: &str, name: &'static str) -> Result<Option<u64>, Malformed> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let Some(value) = value else { return Ok(None) };
    value.trim_ascii().parse().map(Some).map_err(|_| Malformed::field(file, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_have_a_word_for_unlimited() {
        for text in ["max\n", "-1\n", "9223372036854771712\n", "9223372036854710272\n", "9223372036854775807\n"] {
            assert_eq!(limit(text).unwrap(), None, "{text}");
        }
        assert_eq!(limit("536870912\n").unwrap(), Some(512 << 20));
        assert!(limit("much\n").is_err());
    }

    #[test]
    fn a_quota_is_a_number_of_cpus() {
        assert_eq!(CpuMax::parse("150000 100000\n").unwrap().cpus(), Some(1.5));
        assert_eq!(CpuMax::parse("max 100000\n").unwrap().cpus(), None);
        assert_eq!(CpuMax::parse_v1("-1\n", "100000\n").unwrap().quota_us, None);
        assert!(CpuMax::parse("max\n").is_err());
    }

    #[test]
    fn v1_counts_descendants_apart() {
        let text = "cache 1\nrss 2\ninactive_file 3\ntotal_cache 10\ntotal_rss 20\ntotal_inactive_file 30\n";
        let stat = MemoryStat::parse(text).unwrap();
        assert_eq!(stat, MemoryStat { anon: Some(20), file: Some(10), inactive_file: Some(30) });
    }

    #[test]
    fn v2_names_are_matched_whole() {
        let stat = MemoryStat::parse("anon 1\nfile_mapped 9\nfile 2\ninactive_file 3\n").unwrap();
        assert_eq!(stat, MemoryStat { anon: Some(1), file: Some(2), inactive_file: Some(3) });
    }

    #[test]
    fn v1_throttles_in_nanoseconds() {
        let v1 = CpuStat::parse("nr_periods 5\nnr_throttled 2\nthrottled_time 7000\n").unwrap();
        assert_eq!((v1.throttled, v1.throttled_us, v1.usage_us), (Some(2), Some(7), None));
        let v2 =
            CpuStat::parse("usage_usec 9\nuser_usec 8\nsystem_usec 1\nnr_throttled 2\nthrottled_usec 7\n").unwrap();
        assert_eq!((v2.throttled_us, v2.usage_us), (Some(7), Some(9)));
    }

    #[test]
    fn out_of_memory_is_counted_in_either_file() {
        let v2 = MemoryEvents::parse("low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\noom_group_kill 0\n").unwrap();
        assert_eq!(v2, MemoryEvents { high: Some(1), max: Some(2), oom: Some(3), oom_kill: Some(4) });
        let v1 = MemoryEvents::parse("oom_kill_disable 0\nunder_oom 0\noom_kill 4\n").unwrap();
        assert_eq!((v1.oom_kill, v1.oom), (Some(4), None));
    }
}
