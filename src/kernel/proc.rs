//! Kernel files: text in, struct out, no I/O. One module per file, named as the kernel names it.
//!
//! Names of processes, mounts and cgroups need not be UTF-8: a parser that meets them takes bytes and keeps them.

pub mod arcstats;
pub mod btrfs_error_stats;
pub mod capability;
pub mod cgroup;
pub mod cpuinfo;
pub mod cpulist;
pub mod diskstats;
pub mod fib_trie;
pub mod group;
pub mod if_inet6;
pub mod ipv6_route;
pub mod loadavg;
pub mod login_session;
pub mod mdstat;
pub mod meminfo;
pub mod mountinfo;
pub mod net_dev;
pub mod netstat;
pub mod nf_conntrack;
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
pub mod stat;
pub mod swaps;
pub mod uptime;
pub mod utmp;
pub mod vmstat;
pub mod zpool_state;

/// A kernel file that does not read as expected. It says where and never what stands there: that is other programs' text, and this
/// goes into the log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: cannot read {position}")]
pub struct Malformed {
    /// The file, as the kernel names it.
    pub file: &'static str,
    /// The first place that made no sense.
    pub position: Position,
}

/// A place in a kernel file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Position {
    /// The line of this number, the first being 1.
    #[error("line {0}")]
    Line(usize),
    /// What stands behind this name, or should.
    #[error("the field {0}")]
    Field(&'static str),
    /// From so many bytes on.
    #[error("byte {0}")]
    Byte(usize),
    /// Nothing in particular.
    #[error("it as a whole")]
    Whole,
}

impl Malformed {
    /// Says that `line`, a part of the text of `file`, made no sense.
    pub fn line(file: &'static str, text: impl AsRef<[u8]>, line: impl AsRef<[u8]>) -> Self {
        let (text, line) = (text.as_ref(), line.as_ref());
        let before = line.as_ptr().addr().checked_sub(text.as_ptr().addr()).and_then(|length| text.get(..length));
        let number = |before: &[u8]| before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Self { file, position: before.map_or(Position::Whole, |before| Position::Line(number(before))) }
    }

    /// Says that the field `name` of `file` made no sense, or is not there.
    pub fn field(file: &'static str, name: &'static str) -> Self {
        Self { file, position: Position::Field(name) }
    }

    /// Says that `file` made no sense.
    pub fn whole(file: &'static str) -> Self {
        Self { file, position: Position::Whole }
    }
}

impl From<Malformed> for crate::failure::Failure {
    fn from(malformed: Malformed) -> Self {
        Self::Odd(malformed.to_string())
    }
}

/// A number in ASCII digits, as the kernel prints it.
fn number<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// The words of a line, between blanks.
fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_named_and_what_stands_there_is_not() {
        let text = "fine\n\nhunter2 \u{1b}[2J\nfine\n";
        let line = text.lines().nth(2).unwrap();
        assert_eq!(Malformed::line("mounts", text, line).to_string(), "mounts: cannot read line 3");
        assert_eq!(
            Malformed::line("mounts", text, &line[8..]).position,
            Position::Line(3),
            "nor need it be the whole line"
        );
        assert_eq!(Malformed::line("mounts", line, text).position, Position::Whole, "from elsewhere");
        assert_eq!(Malformed::field("status", "Uid").to_string(), "status: cannot read the field Uid");
    }
}
