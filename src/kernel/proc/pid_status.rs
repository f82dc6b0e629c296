//! `/proc/PID/status`, see proc_pid_status(5).

use super::{Malformed, kibibytes, lines, number};

/// One process in depth. A line that is missing or makes no sense is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PidStatus {
    /// `Tgid`: the process this is a thread of.
    pub tgid: Option<u32>,
    /// `Uid`.
    pub uid: Option<Ids>,
    /// `Gid`.
    pub gid: Option<Ids>,
    /// `NSpid`: its id in every nested namespace, ours first, since Linux 4.1.
    pub ns_pid: Option<Vec<u32>>,
    /// Memory; threads of the kernel and zombies have none.
    pub memory: Option<Memory>,
    /// `CapEff`: effective capabilities, one bit each.
    pub cap_eff: Option<u64>,
    /// `NoNewPrivs`, since Linux 4.10.
    pub no_new_privs: Option<bool>,
    /// `Seccomp`: 0 off, 1 strict, 2 filter; since Linux 3.8, if the kernel was built with it.
    pub seccomp: Option<u8>,
}

/// Who a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// Who started it.
    pub real: u32,
    /// Whose rights it has.
    pub effective: u32,
    /// Whose rights it can take back.
    pub saved: u32,
    /// Whose rights it has on files.
    pub filesystem: u32,
}

/// Memory of a process, in bytes. Resident sizes may lag behind by some pages for each CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// `VmSize`: address space.
    pub size: Option<u64>,
    /// `VmHWM`: the most RAM so far.
    pub high_water: Option<u64>,
    /// `VmRSS`: in RAM.
    pub resident: Option<u64>,
    /// `RssAnon`: the part of it that no file backs, since Linux 4.5.
    pub anonymous: Option<u64>,
    /// `RssShmem`: the part of it that is shared memory or tmpfs, since Linux 4.5.
    pub shmem: Option<u64>,
    /// `VmSwap`: swapped out, shared memory not included, since Linux 2.6.34.
    pub swap: Option<u64>,
}

impl PidStatus {
    /// Reads the bytes of `/proc/PID/status`, and names the first field that makes no sense, or that is not there though every kernel has it.
    pub fn parse(bytes: &[u8]) -> (Self, Option<Malformed>) {
        let mut fields = Fields { bytes, odd: None };
        let status = Self {
            tgid: fields.required("Tgid", number),
            uid: fields.required("Uid", Ids::parse),
            gid: fields.required("Gid", Ids::parse),
            ns_pid: fields
                .optional("NSpid", |value| text(value)?.split_whitespace().map(|pid| pid.parse().ok()).collect()),
            memory: Memory::parse(&mut fields),
            cap_eff: fields.required("CapEff", |value| u64::from_str_radix(text(value)?, 16).ok()),
            no_new_privs: fields.optional("NoNewPrivs", |value| Some(number::<u8>(value)? != 0)),
            seccomp: fields.optional("Seccomp", number),
        };
        (status, fields.odd)
    }
}

impl Ids {
    fn parse(value: &[u8]) -> Option<Self> {
        let mut ids = text(value)?.split_ascii_whitespace().map(|id| id.parse().ok());
        Some(Self { real: ids.next()??, effective: ids.next()??, saved: ids.next()??, filesystem: ids.next()?? })
    }
}

impl Memory {
    fn parse(fields: &mut Fields<'_>) -> Option<Self> {
        let mut field = |name| fields.optional(name, size);
        let memory = Self {
            size: field("VmSize"),
            high_water: field("VmHWM"),
            resident: field("VmRSS"),
            anonymous: field("RssAnon"),
            shmem: field("RssShmem"),
            swap: field("VmSwap"),
        };
        (memory.size.is_some() || memory.resident.is_some()).then_some(memory)
    }
}

struct Fields<'a> {
    bytes: &'a [u8],
    odd: Option<Malformed>,
}

impl Fields<'_> {
    fn optional<T>(&mut self, name: &'static str, read: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        let value = |line: &&[u8]| line.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&b':'));
        let line = lines(self.bytes).find(value)?;
        let value = line.get(name.len().saturating_add(1)..).unwrap_or_default();
        let read = read(value.strip_prefix(b"\t").unwrap_or(value));
        if read.is_none() {
            self.say(name);
        }
        read
    }

    fn required<T>(&mut self, name: &'static str, read: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        let value = self.optional(name, read);
        if value.is_none() {
            self.say(name);
        }
        value
    }

    fn say(&mut self, name: &'static str) {
        self.odd.get_or_insert_with(|| Malformed::field("PID/status", name));
    }
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

fn size(value: &[u8]) -> Option<u64> {
    kibibytes(text(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Position;

    const THREAD_OF_THE_KERNEL: &str = "\
Name:\tkworker/0:0H
State:\tI (idle)
Tgid:\t7
Pid:\t7
PPid:\t2
TracerPid:\t0
Uid:\t0\t1\t2\t3
Gid:\t4\t5\t6\t7
Threads:\t1
CapEff:\t000001ffffffffff
";

    #[test]
    fn threads_of_the_kernel_have_no_memory() {
        let (status, odd) = PidStatus::parse(THREAD_OF_THE_KERNEL.as_bytes());
        assert_eq!((status.memory, status.tgid, odd), (None, Some(7), None));
        assert_eq!(status.uid, Some(Ids { real: 0, effective: 1, saved: 2, filesystem: 3 }));
        assert_eq!((status.cap_eff, status.seccomp), (Some(0x1ff_ffff_ffff), None));
    }

    #[test]
    fn a_process_has_all_of_it() {
        let text = format!(
            "{THREAD_OF_THE_KERNEL}NSpid:\t7\t1\nVmPeak:\t    9 kB\nVmSize:\t    8 kB\nVmLck:\t0 kB\n\
            VmHWM:\t 6 kB\nVmRSS:\t 5 kB\nRssAnon:\t 4 kB\nRssFile:\t 1 kB\nRssShmem:\t 0 kB\nVmSwap:\t 3 kB\n\
            NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n"
        );
        let (status, odd) = PidStatus::parse(text.as_bytes());
        let memory = status.memory.unwrap();
        assert_eq!((memory.resident, memory.anonymous, memory.swap), (Some(5120), Some(4096), Some(3072)));
        assert_eq!((status.ns_pid, odd), (Some(vec![7, 1]), None));
        assert_eq!((status.no_new_privs, status.seccomp), (Some(true), Some(2)));
    }

    #[test]
    fn a_name_cannot_forge_a_line() {
        let text = THREAD_OF_THE_KERNEL.replace("kworker/0:0H", "a\\nUid:\\\\");
        assert_eq!(PidStatus::parse(text.as_bytes()).0.uid.unwrap().effective, 1);
    }

    #[test]
    fn an_odd_line_costs_its_figure_and_is_named() {
        let text = THREAD_OF_THE_KERNEL.replace("Uid:\t0", "Uid:\tx") + "VmSize: 8 kB\nVmRSS: many\n";
        let (status, odd) = PidStatus::parse(text.as_bytes());
        assert_eq!((status.uid, status.gid.unwrap().real, odd.unwrap().position), (None, 4, Position::Field("Uid")));
        assert_eq!(status.memory.unwrap().resident, None);
        assert_eq!(PidStatus::parse(b"Name:\tinit\n").1.unwrap().position, Position::Field("Tgid"));
    }
}
