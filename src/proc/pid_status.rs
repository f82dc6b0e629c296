//! `/proc/PID/status`, see proc_pid_status(5).

use super::pid_stat::State;
use super::{Malformed, kibibytes, lines, number};

/// One process in depth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PidStatus {
    /// `Name`, cut to 15 bytes, the kernel's escapes undone.
    pub name: Vec<u8>,
    /// `Umask`, since Linux 4.7.
    pub umask: Option<u32>,
    /// `State`.
    pub state: State,
    /// `Tgid`: the process this is a thread of.
    pub tgid: u32,
    /// `Pid`: the thread.
    pub pid: u32,
    /// `PPid`: the parent; 0 for none that can be seen here.
    pub ppid: u32,
    /// `TracerPid`: its debugger; 0 for none.
    pub tracer_pid: u32,
    /// `Uid`.
    pub uid: Ids,
    /// `Gid`.
    pub gid: Ids,
    /// `NSpid`: its id in every nested namespace, ours first, since Linux 4.1.
    pub ns_pid: Option<Vec<u32>>,
    /// Memory; threads of the kernel and zombies have none.
    pub memory: Option<Memory>,
    /// `Threads`.
    pub threads: u32,
    /// `CapEff`: effective capabilities, one bit each.
    pub cap_eff: u64,
    /// `NoNewPrivs`, since Linux 4.10.
    pub no_new_privs: Option<bool>,
    /// `Seccomp`: 0 off, 1 strict, 2 filter; since Linux 3.8, if the kernel was built with it.
    pub seccomp: Option<u8>,
    /// `voluntary_ctxt_switches`: it gave way, since Linux 2.6.23.
    pub voluntary_switches: Option<u64>,
    /// `nonvoluntary_ctxt_switches`: it was put aside, since Linux 2.6.23.
    pub nonvoluntary_switches: Option<u64>,
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
    /// `VmPeak`: the largest address space so far.
    pub peak: u64,
    /// `VmSize`: address space.
    pub size: u64,
    /// `VmLck`: locked into RAM.
    pub locked: u64,
    /// `VmHWM`: the most RAM so far.
    pub high_water: u64,
    /// `VmRSS`: in RAM.
    pub resident: u64,
    /// `RssAnon`: the part of it that no file backs, since Linux 4.5.
    pub anonymous: Option<u64>,
    /// `RssFile`: the part of it that files back, since Linux 4.5.
    pub file: Option<u64>,
    /// `RssShmem`: the part of it that is shared memory or tmpfs, since Linux 4.5.
    pub shmem: Option<u64>,
    /// `VmSwap`: swapped out, shared memory not included, since Linux 2.6.34.
    pub swap: Option<u64>,
}

impl PidStatus {
    /// Reads the bytes of `/proc/PID/status`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let fields = Fields(bytes);
        Ok(Self {
            name: fields.required("Name", |value| Some(unescape(value)))?,
            umask: fields.optional("Umask", |value| u32::from_str_radix(text(value)?, 8).ok())?,
            state: fields.required("State", |value| Some(State::from_letter(*value.first()?)))?,
            tgid: fields.required("Tgid", number)?,
            pid: fields.required("Pid", number)?,
            ppid: fields.required("PPid", number)?,
            tracer_pid: fields.required("TracerPid", number)?,
            uid: fields.required("Uid", Ids::parse)?,
            gid: fields.required("Gid", Ids::parse)?,
            ns_pid: fields
                .optional("NSpid", |value| text(value)?.split_whitespace().map(|pid| pid.parse().ok()).collect())?,
            memory: Memory::parse(&fields)?,
            threads: fields.required("Threads", number)?,
            cap_eff: fields.required("CapEff", |value| u64::from_str_radix(text(value)?, 16).ok())?,
            no_new_privs: fields.optional("NoNewPrivs", |value| Some(number::<u8>(value)? != 0))?,
            seccomp: fields.optional("Seccomp", number)?,
            voluntary_switches: fields.optional("voluntary_ctxt_switches", number)?,
            nonvoluntary_switches: fields.optional("nonvoluntary_ctxt_switches", number)?,
        })
    }
}

impl Ids {
    fn parse(value: &[u8]) -> Option<Self> {
        let mut ids = text(value)?.split_ascii_whitespace().map(|id| id.parse().ok());
        Some(Self { real: ids.next()??, effective: ids.next()??, saved: ids.next()??, filesystem: ids.next()?? })
    }
}

impl Memory {
    fn parse(fields: &Fields) -> Result<Option<Self>, Malformed> {
        let required = |name| fields.required(name, size);
        let optional = |name| fields.optional(name, size);
        let Some(size) = optional("VmSize")? else { return Ok(None) };
        Ok(Some(Self {
            peak: required("VmPeak")?,
            size,
            locked: required("VmLck")?,
            high_water: required("VmHWM")?,
            resident: required("VmRSS")?,
            anonymous: optional("RssAnon")?,
            file: optional("RssFile")?,
            shmem: optional("RssShmem")?,
            swap: optional("VmSwap")?,
        }))
    }
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn optional<T>(&self, name: &'static str, read: impl Fn(&[u8]) -> Option<T>) -> Result<Option<T>, Malformed> {
        let value = |line: &&[u8]| line.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&b':'));
        let Some(line) = lines(self.0).find(value) else { return Ok(None) };
        let value = line.get(name.len().saturating_add(1)..).unwrap_or_default();
        let value = value.strip_prefix(b"\t").unwrap_or(value);
        read(value).map(Some).ok_or_else(|| Malformed::field("PID/status", name))
    }

    fn required<T>(&self, name: &'static str, read: impl Fn(&[u8]) -> Option<T>) -> Result<T, Malformed> {
        self.optional(name, read)?.ok_or_else(|| Malformed::field("PID/status", name))
    }
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

fn size(value: &[u8]) -> Option<u64> {
    kibibytes(text(value)?)
}

/// The kernel writes a backslash as `\\` and the end of a line as `\n`, and nothing else so.
fn unescape(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [first, tail @ ..] = rest {
        let (byte, tail) = match (first, tail) {
            (b'\\', [b'n', tail @ ..]) => (b'\n', tail),
            (b'\\', [b'\\', tail @ ..]) => (b'\\', tail),
            _ => (*first, tail),
        };
        plain.push(byte);
        rest = tail;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Place;

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
        let status = PidStatus::parse(THREAD_OF_THE_KERNEL.as_bytes()).unwrap();
        assert_eq!((status.memory, status.state), (None, State::Idle));
        assert_eq!(status.uid, Ids { real: 0, effective: 1, saved: 2, filesystem: 3 });
        assert_eq!(status.cap_eff, 0x1ff_ffff_ffff);
        assert_eq!((status.umask, status.seccomp, status.voluntary_switches), (None, None, None));
    }

    #[test]
    fn a_process_has_all_of_it() {
        let text = format!(
            "{THREAD_OF_THE_KERNEL}Umask:\t0022\nNSpid:\t7\t1\nVmPeak:\t    9 kB\nVmSize:\t    8 kB\nVmLck:\t0 kB\n\
            VmHWM:\t 6 kB\nVmRSS:\t 5 kB\nRssAnon:\t 4 kB\nRssFile:\t 1 kB\nRssShmem:\t 0 kB\nVmSwap:\t 3 kB\n\
            NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t545\n"
        );
        let status = PidStatus::parse(text.as_bytes()).unwrap();
        let memory = status.memory.unwrap();
        assert_eq!((memory.resident, memory.anonymous, memory.swap), (5120, Some(4096), Some(3072)));
        assert_eq!((status.umask, status.ns_pid), (Some(0o22), Some(vec![7, 1])));
        assert_eq!((status.no_new_privs, status.seccomp), (Some(true), Some(2)));
        assert_eq!((status.voluntary_switches, status.nonvoluntary_switches), (Some(150), Some(545)));
    }

    #[test]
    fn a_name_cannot_forge_a_line() {
        let text = THREAD_OF_THE_KERNEL.replace("kworker/0:0H", "a\\nUid:\\\\");
        assert_eq!(PidStatus::parse(text.as_bytes()).unwrap().name, b"a\nUid:\\");
    }

    #[test]
    fn a_name_is_bytes() {
        let text = [b"Name:\t \xff \n", &THREAD_OF_THE_KERNEL.as_bytes()[19..]].concat();
        assert_eq!(PidStatus::parse(&text).unwrap().name, b" \xff ");
    }

    #[test]
    fn a_missing_line_is_named() {
        assert_eq!(PidStatus::parse(b"Name:\tinit\n").unwrap_err().place, Place::Field("State"));
    }
}
