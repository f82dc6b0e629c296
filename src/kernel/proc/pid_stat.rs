//! `/proc/PID/stat`, see proc_pid_stat(5). Read for every process of every scan, so nothing is allocated.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Malformed;

/// One process, as the scheduler sees it. Times are in clock ticks (`AT_CLKTCK`, 100 a second nearly everywhere).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PidStat<'a> {
    /// Process id.
    pub pid: u32,
    /// Name, cut to 15 bytes (kernel threads may have longer ones). The process may write anything here.
    pub comm: &'a [u8],
    /// What it does now.
    pub state: ProcessState,
    /// Parent; 0 for none that can be seen here.
    pub ppid: u32,
    /// Process group; -1 or 0 for none that can be seen here.
    pub pgrp: i32,
    /// Session; -1 or 0 for none that can be seen here.
    pub session: i32,
    /// Device number of the terminal; 0 for none.
    pub tty_nr: i32,
    /// `PF_*` of the kernel's sched.h.
    pub flags: u32,
    /// Page faults that needed no disk.
    pub minflt: u64,
    /// Page faults that did.
    pub majflt: u64,
    /// Ticks in its own code, guests included.
    pub utime: u64,
    /// Ticks in the kernel.
    pub stime: u64,
    /// Ticks of children that ended and were waited for, in their own code.
    pub cutime: u64,
    /// Ticks of such children in the kernel.
    pub cstime: u64,
    /// The kernel's priority; below 0 is real time.
    pub priority: i32,
    /// From 19, meek, to -20.
    pub nice: i32,
    /// Threads.
    pub threads: u32,
    /// Ticks between the machine's start and its own.
    pub starttime: u64,
    /// Address space, in bytes.
    pub vsize: u64,
    /// Pages in RAM; since Linux 2.6.34 off by up to some dozens of pages for each CPU.
    pub rss: u64,
    /// CPU it ran on last.
    pub processor: u32,
    /// Scheduling policy, `SCHED_*`, since Linux 2.5.19.
    pub policy: Option<u32>,
    /// Ticks it waited for disks, since Linux 2.6.18. 0 too where delay accounting is off, as it is by default since 5.14.
    pub delayacct_blkio_ticks: Option<u64>,
}

/// What a process does now, in the kernel's words. Idle and parked are kernel threads'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "State")]
#[expect(missing_docs, reason = "a schema says each of them in one word, and in a hundred if they are described")]
pub enum ProcessState {
    Running,
    Sleeping,
    // waits for a disk or the like, and cannot be killed
    DiskSleep,
    Stopped,
    // stopped by a debugger
    TracingStop,
    // ended, and its parent has not asked how
    Zombie,
    // about to vanish
    Dead,
    // since Linux 4.14
    Idle,
    // some kernels call that sleeping
    Parked,
    // a letter this program does not know
    Unknown,
}

impl ProcessState {
    /// The state of the kernel's letter.
    pub fn from_letter(letter: u8) -> Self {
        match letter {
            b'R' => Self::Running,
            b'S' => Self::Sleeping,
            b'D' => Self::DiskSleep,
            b'T' => Self::Stopped,
            b't' => Self::TracingStop,
            b'Z' => Self::Zombie,
            b'X' | b'x' => Self::Dead,
            b'I' => Self::Idle,
            b'P' => Self::Parked,
            _ => Self::Unknown,
        }
    }
}

impl<'a> PidStat<'a> {
    /// Reads the bytes of `/proc/PID/stat`, and holds on to them for the name.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        Self::columns(bytes).ok_or_else(|| Malformed::whole("PID/stat"))
    }

    /// Whether this is a thread of the kernel (`PF_KTHREAD`), without memory or command line of its own.
    pub fn is_kernel_thread(&self) -> bool {
        self.flags & 0x0020_0000 != 0
    }

    fn columns(bytes: &'a [u8]) -> Option<Self> {
        let open = bytes.iter().position(|byte| *byte == b'(')?;
        // The last one: the name may have its own.
        let close = bytes.iter().rposition(|byte| *byte == b')')?;
        let mut columns = Columns(bytes.get(close.checked_add(1)?..)?);
        Some(Self {
            pid: Columns(bytes.get(..open)?).count()?,
            comm: bytes.get(open.checked_add(1)?..close)?,
            state: ProcessState::from_letter(*columns.word()?.first()?),
            ppid: columns.count()?,
            pgrp: columns.signed()?,
            session: columns.signed()?,
            tty_nr: columns.signed()?,
            flags: columns.after(1)?.count()?, // tpgid
            minflt: columns.count()?,
            majflt: columns.after(1)?.count()?, // cminflt
            utime: columns.after(1)?.count()?,  // cmajflt
            stime: columns.count()?,
            cutime: columns.count()?,
            cstime: columns.count()?,
            priority: columns.signed()?,
            nice: columns.signed()?,
            threads: columns.count()?,
            starttime: columns.after(1)?.count()?, // itrealvalue
            vsize: columns.count()?,
            rss: columns.signed::<i64>()?.max(0).unsigned_abs(),
            processor: columns.after(14)?.count()?, // rsslim to exit_signal
            policy: columns.after(1).and_then(Columns::count), // rt_priority
            delayacct_blkio_ticks: columns.count(),
        })
    }
}

/// What is left of the line.
struct Columns<'a>(&'a [u8]);

impl<'a> Columns<'a> {
    fn word(&mut self) -> Option<&'a [u8]> {
        let line = self.0.trim_ascii_start();
        let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
        let (word, rest) = line.split_at_checked(end)?;
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }

    fn after(&mut self, skipped: usize) -> Option<&mut Self> {
        for _ in 0..skipped {
            self.word()?;
        }
        Some(self)
    }

    fn count<T: TryFrom<u64>>(&mut self) -> Option<T> {
        digits(self.word()?)?.try_into().ok()
    }

    fn signed<T: TryFrom<i64>>(&mut self) -> Option<T> {
        let number = match self.word()? {
            [b'-', word @ ..] => 0i64.checked_sub_unsigned(digits(word)?)?,
            word => digits(word)?.try_into().ok()?,
        };
        number.try_into().ok()
    }
}

fn digits(word: &[u8]) -> Option<u64> {
    let add = |number: u64, byte: &u8| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(digit))
    };
    if word.is_empty() { None } else { word.iter().try_fold(0, add) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: &str = "S 1 2 -1 34816 -1 4194560 6 7 8 9 10 11 12 13 20 -5 14 0 15 16384 17 18446744073709551615 \
        1 1 0 0 0 0 671173123 4096 1260 0 0 0 17 3 0 0 21 0 0 0 0 0 0 0 0 0 0\n";

    fn with_comm(comm: &[u8]) -> Vec<u8> {
        [b"4242 (", comm, b") ", REST.as_bytes()].concat()
    }

    #[test]
    fn columns_stand_where_the_manual_says() {
        let line = with_comm(b"bash");
        let stat = PidStat::parse(&line).unwrap();
        let expected = PidStat {
            pid: 4242,
            comm: b"bash",
            state: ProcessState::Sleeping,
            ppid: 1,
            pgrp: 2,
            session: -1,
            tty_nr: 34816,
            flags: 4194560,
            minflt: 6,
            majflt: 8,
            utime: 10,
            stime: 11,
            cutime: 12,
            cstime: 13,
            priority: 20,
            nice: -5,
            threads: 14,
            starttime: 15,
            vsize: 16384,
            rss: 17,
            processor: 3,
            policy: Some(0),
            delayacct_blkio_ticks: Some(21),
        };
        assert_eq!(stat, expected);
    }

    #[test]
    fn a_name_may_look_like_the_columns_after_it() {
        for comm in [&b"a) Z 1 (b"[..], b"((sd-pam))", b"new\nline", b"\xff\xfe", b"", b") R 0"] {
            let line = with_comm(comm);
            let stat = PidStat::parse(&line).unwrap();
            assert_eq!((stat.comm, stat.state), (comm, ProcessState::Sleeping));
        }
    }

    #[test]
    fn old_kernels_do_not_account_delays() {
        let line = b"1 (init) S 0 0 0 0 0 0 1 1 1 1 1 1 1 1 20 0 1 0 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 17 0";
        let stat = PidStat::parse(line).unwrap();
        assert_eq!((stat.policy, stat.delayacct_blkio_ticks), (None, None));
    }

    #[test]
    fn a_line_cut_short_is_refused() {
        let line = with_comm(b"bash");
        for end in 0..90 {
            assert!(PidStat::parse(&line[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn parentheses_in_the_wrong_order_are_refused() {
        assert!(PidStat::parse(b"1 )( S 1").is_err());
    }

    #[test]
    fn every_state_has_its_letter_and_no_other_letter_has_one() {
        let known = (b'!'..=b'~').filter(|letter| ProcessState::from_letter(*letter) != ProcessState::Unknown);
        assert_eq!(known.map(char::from).collect::<String>(), "DIPRSTXZtx");
        assert_eq!(
            (ProcessState::from_letter(b'T'), ProcessState::from_letter(b't')),
            (ProcessState::Stopped, ProcessState::TracingStop)
        );
        assert_eq!(ProcessState::from_letter(b'x'), ProcessState::from_letter(b'X'));
    }
}
