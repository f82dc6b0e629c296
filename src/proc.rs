//! Kernel files: text in, struct out, no I/O. One module per file, named as the kernel names it.
//!
//! Names of processes, mounts and cgroups need not be UTF-8: a parser that meets them takes bytes and keeps them.

pub mod arcstats;
pub mod capability;
pub mod cgroup;
pub mod cpuinfo;
pub mod cpulist;
pub mod diskstats;
pub mod fib_trie;
pub mod group;
pub mod if_inet6;
pub mod ipv6_route;
pub mod kernel_version;
pub mod loadavg;
pub mod login_session;
pub mod mdstat;
pub mod meminfo;
pub mod mountinfo;
pub mod net_dev;
pub mod os_release;
pub mod passwd;
pub mod pid_cgroup;
pub mod pid_cmdline;
pub mod pid_io;
pub mod pid_limits;
pub mod pid_stat;
pub mod pid_status;
pub mod pressure;
pub mod resolv_conf;
pub mod route;
pub mod rtnetlink;
pub mod snmp;
pub mod sockstat;
pub mod stat;
pub mod swaps;
pub mod uptime;
pub mod utmp;
pub mod vmstat;
pub mod zpool_state;

/// A kernel file that does not read as expected.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: cannot read {line:?}")]
pub struct Malformed {
    /// The file, as the kernel names it.
    pub file: &'static str,
    /// The first line that made no sense, cut to 200 characters.
    pub line: String,
}

impl Malformed {
    /// Says that `line` of `file` made no sense.
    pub fn new(file: &'static str, line: impl AsRef<[u8]>) -> Self {
        let line = String::from_utf8_lossy(line.as_ref()).chars().take(200).collect();
        Self { file, line }
    }
}

impl From<Malformed> for crate::failure::Failure {
    fn from(malformed: Malformed) -> Self {
        Self::Internal(malformed.into())
    }
}

/// A number in ASCII digits, as the kernel prints it.
fn number<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// A number with a point; infinities and NaN are none.
fn decimal(word: &str) -> Option<f64> {
    word.parse().ok().filter(|number: &f64| number.is_finite())
}

/// `1234 kB` as bytes.
fn kibibytes(value: &str) -> Option<u64> {
    value.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

/// The lines that hold anything. Only `\n` ends a line: names may hold every other byte.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}
