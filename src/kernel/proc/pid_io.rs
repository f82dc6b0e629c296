//! `/proc/PID/io`, see proc_pid_io(5). Only the owner and those who may debug the process can read it.

use super::Malformed;

/// What a process read and wrote, its threads included; children only once they ended and were waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PidIo {
    /// `rchar`: bytes read by any call, from the cache or a terminal too.
    pub rchar: u64,
    /// `wchar`: bytes written by any call.
    pub wchar: u64,
    /// `syscr`: calls that read.
    pub syscr: u64,
    /// `syscw`: calls that wrote.
    pub syscw: u64,
    /// `read_bytes`: bytes that had to come from a disk.
    pub read_bytes: u64,
    /// `write_bytes`: bytes that will go to a disk.
    pub write_bytes: u64,
    /// `cancelled_write_bytes`: bytes of those that went nowhere, since their file was cut or removed.
    pub cancelled_write_bytes: u64,
}

impl PidIo {
    /// Reads the text of `/proc/PID/io`.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let count = |name: &'static str| {
            let mut lines = text.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.and_then(|value| value.trim().parse().ok()).ok_or_else(|| Malformed::field("PID/io", name))
        };
        Ok(Self {
            rchar: count("rchar")?,
            wchar: count("wchar")?,
            syscr: count("syscr")?,
            syscw: count("syscw")?,
            read_bytes: count("read_bytes")?,
            write_bytes: count("write_bytes")?,
            cancelled_write_bytes: count("cancelled_write_bytes")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Position;

    #[test]
    fn cancelled_writes_are_not_writes() {
        let text = "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\ncancelled_write_bytes: 7\n";
        let io = PidIo::parse(text).unwrap();
        assert_eq!((io.rchar, io.write_bytes, io.cancelled_write_bytes), (1, 6, 7));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        assert_eq!(PidIo::parse("rchar: -1\n").unwrap_err().position, Position::Field("rchar"));
        assert_eq!(PidIo::parse("rchar: 1\n").unwrap_err().position, Position::Field("wchar"));
    }
}
