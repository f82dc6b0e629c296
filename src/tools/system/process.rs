//! What is this one process, what may it do, and what does it use?

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tool::{Tool, Turn};
use facts::{
    accounts::{user, users},
    command_line::{self, command, cut},
    gap::{Gaps, Reader},
    host::{Limits, Machine, Place, Process as Scanned, Scan, Whose},
};
use kernel::{
    failure::Failure,
    proc::{
        Malformed, capability,
        pid_cgroup::{self, PidCgroup},
        pid_io::PidIo,
        pid_limits,
        pid_stat::{PidStat, ProcessState},
        pid_status::{self, PidStatus},
    },
    root::Directory,
};
use lanes::lane::Lane;
use rights::scope::Scope;
use text::table::Table;

/// Children shown at most.
const CHILDREN: usize = 20;

/// How much of the command line is shown, in characters.
const COMMAND_SHOWN: usize = 2_000;

/// One process in depth: CPU, memory, I/O, limits, cgroup with unit and container, rights, children. Secrets in its command line are
/// redacted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Process {
    /// Its number, as `processes` gives it.
    #[schemars(range(min = 1))]
    pid: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// In whose numbering: the machine's, or the container's the server runs in.
    pub scope: Whose,
    pub pid: u32,
    /// Cut to 15 bytes by the kernel.
    pub name: String,
    /// Arguments, cut to 2,000 characters; [name] without any (kernel threads, zombies).
    pub command: Option<String>,
    pub state: ProcessState,
    /// Kernel function a process in disk_sleep waits in.
    pub waits_in: Option<String>,
    /// 0: none that can be seen here.
    pub ppid: u32,
    pub parent_name: Option<String>,
    /// Effective user: name, or uid.
    pub user: Option<String>,
    /// Effective.
    pub uid: Option<u32>,
    /// Effective.
    pub gid: Option<u32>,
    /// Who started it.
    pub real_uid: Option<u32>,
    /// RFC 3339, UTC.
    pub started: Option<String>,
    pub age_seconds: Option<u64>,
    pub cpu: Cpu,
    pub threads: u32,
    /// From 19, meek, to -20.
    pub nice: i32,
    /// Null for kernel threads and zombies.
    pub memory: Option<Memory>,
    /// Of itself and its threads; other processes' need CAP_SYS_PTRACE.
    pub io: Option<Io>,
    pub open_files: Option<u64>,
    pub limits: Option<Table<Limit>>,
    pub cgroup: Option<Cgroup>,
    /// Effective: none, all, all but some, or names.
    pub capabilities: Option<String>,
    /// Since Linux 3.8.
    pub seccomp: Option<Seccomp>,
    /// Since Linux 4.10.
    pub no_new_privs: Option<bool>,
    /// Path of its program; "(deleted)": replaced or removed since it started.
    pub executable: Option<String>,
    /// Its working directory.
    pub directory: Option<String>,
    /// 0 to 2000; the highest is killed first when memory runs out.
    pub oom_score: Option<i32>,
    /// Its number in the innermost PID namespace, if that is another than ours. Since Linux 4.1.
    pub container_pid: Option<u32>,
    /// The first 20, by pid.
    pub children: Table<Child>,
    pub children_total: usize,
    /// What the server has no right to read; null above.
    pub denied: Vec<&'static str>,
    /// Files that could not be read, and why; their figures are null.
    #[serde(skip_serializing_if = "Gaps::is_empty")]
    pub gaps: Gaps,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Cpu {
    /// In its own code, since its start.
    pub user_seconds: f64,
    /// In the kernel, since its start.
    pub system_seconds: f64,
    /// CPU time by time gone by: 1 is one core fully used.
    pub cpu_ratio: Option<f64>,
    /// What cpu_ratio counts from.
    pub cpu_basis: CpuBasis,
    /// The time since the last scan.
    pub window_seconds: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) enum CpuBasis {
    #[serde(rename = "since the last scan")]
    LastScan,
    #[serde(rename = "since it started")]
    Start,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Memory {
    pub resident_bytes: Option<u64>,
    /// The most it had resident.
    pub peak_bytes: Option<u64>,
    /// Since Linux 2.6.34.
    pub swap_bytes: Option<u64>,
    /// Resident and backed by no file. Since Linux 4.5.
    pub anonymous_bytes: Option<u64>,
    /// Resident shared memory and tmpfs. Since Linux 4.5.
    pub shared_bytes: Option<u64>,
    /// Address space, touched or not.
    pub virtual_bytes: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Io {
    /// From disks.
    pub disk_read_bytes: u64,
    /// Towards disks.
    pub disk_written_bytes: u64,
    /// By any call: caches, pipes and terminals too.
    pub read_bytes: u64,
    /// By any call.
    pub written_bytes: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Limit {
    pub limit: &'static str,
    /// What holds: a number, or unlimited.
    pub soft: Bound,
    /// How far it may raise that.
    pub hard: Bound,
}

// Null would read as "not known".
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Bound {
    At(u64),
    Unlimited(&'static str),
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Cgroup {
    /// As seen from here.
    pub path: String,
    /// The systemd unit; in a container with a systemd of its own, that one's.
    pub unit: Option<String>,
    pub container: Option<Container>,
    /// Least of its own and all above it; null: none to be seen.
    pub memory_limit_bytes: Option<u64>,
    /// Use of the cgroup with that limit, without droppable cache.
    pub memory_used_bytes: Option<u64>,
    /// CPUs' worth of time; null: none to be seen.
    pub cpu_limit_cores: Option<f64>,
    /// Processes and threads; null: none to be seen.
    pub pids_limit: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Container {
    /// docker, podman, cri-o, containerd, kubernetes, lxc.
    pub manager: Option<&'static str>,
    /// 64 hexadecimal digits; LXC's name.
    pub id: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Seccomp {
    Off,
    Strict,
    Filter,
    Unknown,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Child {
    pub pid: u32,
    pub name: String,
}

impl Tool for Process {
    const NAME: &'static str = "process";
    const TITLE: &'static str = "One process";
    const SCOPE: Scope = Scope::SystemRead;
    const LANE: Lane = Lane::Process;
    const SHARED: bool = true;
    const UNTRUSTED: Option<&'static str> =
        Some("name, command, parent_name, executable, directory, cgroup, children, gaps");
    const AUDITED: &'static [&'static str] = &["pid"];
    type Output = Report;

    async fn run(self, turn: &Turn) -> Result<Report, Failure> {
        if self.pid == 0 {
            return Err(Failure::Invalid("pid is 1 or more".to_owned()));
        }
        let (now, earlier) = turn.host().processes().await?;
        turn.read(move |machine| read(machine, self.pid, &now, earlier.as_deref())).await
    }
}

fn read(machine: &Machine, pid: u32, scan: &Scan, earlier: Option<&Scan>) -> Result<Report, Failure> {
    let named = |failure| match failure {
        Failure::NotFound(_) => gone(pid),
        Failure::Denied(_) => Failure::Denied(format!("process {pid}")),
        other => other,
    };
    // the directory stays this process's: once that has ended nothing is read through it, whoever has the number then
    let dir = machine.root.directory(&format!("proc/{pid}")).map_err(named)?;
    let mut buffer = Vec::with_capacity(1024);
    dir.read_into("stat", &mut buffer).map_err(named)?;
    let stat = PidStat::parse(&buffer)?;
    let at = machine.kernel.since_boot(&machine.root);
    let reader = Reader::new(&machine.root);
    let path = format!("proc/{pid}/status");
    // whether the process itself is gone is seen at the end
    let status = reader.keep(&path, bytes(&dir, "status"));
    let status = status.map(|text| reader.lenient(&path, PidStatus::parse(&text))).unwrap_or_default();
    if let Some(whose) = status.tgid.filter(|tgid| *tgid != pid) {
        return Err(Failure::Invalid(format!("{pid} is a thread of process {whose}; ask for {whose}")));
    }
    let process = Scanned::of(pid, &stat, machine.kernel.page_size());
    let reading = Reading { machine, dir: &dir, pid, reader, denied: vec![] };
    let report = reading.report(&process, &stat, &status, at, (scan, earlier))?;
    // a machine that is no live /proc, such as a mounted copy, could still give two processes the same directory
    let after = bytes(&dir, "stat").map_err(named)?;
    if PidStat::parse(&after)?.starttime != process.starttime {
        return Err(gone(pid));
    }
    Ok(report)
}

fn gone(pid: u32) -> Failure {
    Failure::NotFound(format!("process {pid}"))
}

fn bytes(dir: &Directory<'_>, file: &str) -> Result<Vec<u8>, Failure> {
    let mut buffer = Vec::with_capacity(2048);
    dir.read_into(file, &mut buffer)?;
    Ok(buffer)
}

/// One process while it is read, and which parts of it were refused.
struct Reading<'a> {
    machine: &'a Machine,
    dir: &'a Directory<'a>,
    pid: u32,
    reader: Reader<'a>,
    denied: Vec<&'static str>,
}

impl Reading<'_> {
    fn report(
        mut self,
        process: &Scanned,
        stat: &PidStat<'_>,
        status: &PidStatus,
        at: Duration,
        (scan, earlier): (&Scan, Option<&Scan>),
    ) -> Result<Report, Failure> {
        let machine = self.machine;
        let name = lossy(&process.comm);
        let mut arguments = vec![];
        let read = self.dir.read_start("cmdline", command_line::LONGEST, &mut arguments);
        let children = children(scan, process);
        let age = process.age(at, machine.kernel.ticks_per_second());
        Ok(Report {
            scope: Place::of(&self.reader).inside(),
            pid: process.pid,
            command: self.part("command", read).map(|()| cut(command(&arguments, &name), COMMAND_SHOWN)),
            state: process.state,
            waits_in: self.waits_in(process),
            ppid: process.ppid,
            parent_name: parent_name(machine, scan, process.ppid),
            user: status.uid.map(|uid| user(&users(&self.reader), uid.effective)),
            uid: status.uid.map(|uid| uid.effective),
            gid: status.gid.map(|gid| gid.effective),
            real_uid: status.uid.map(|uid| uid.real),
            started: age
                .and_then(|age| machine.kernel.wall().checked_sub(age))
                .map(|started| humantime::format_rfc3339_seconds(started).to_string()),
            age_seconds: age.map(|age| age.as_secs()),
            cpu: cpu(process, stat, at, earlier, machine.kernel.ticks_per_second()),
            threads: process.threads,
            nice: process.nice,
            memory: status.memory.map(Memory::of),
            io: self.text("io", "io").and_then(|text| self.parsed("io", PidIo::parse(&text))).map(Io::of),
            open_files: {
                let count = machine.kernel.open_files(&machine.root, process.pid);
                self.part("open_files", count)
            },
            limits: self
                .text("limits", "limits")
                .and_then(|text| self.parsed("limits", pid_limits::parse(&text)))
                .map(|all| limits(&all)),
            cgroup: self.cgroup(),
            capabilities: {
                let last = self.reader.number("proc/sys/kernel/cap_last_cap");
                status.cap_eff.map(|mask| capability::names(mask, last))
            },
            seccomp: status.seccomp.map(Seccomp::of),
            no_new_privs: status.no_new_privs,
            executable: self.link("executable", "exe"),
            directory: self.link("directory", "cwd"),
            oom_score: self.text("oom_score", "oom_score").and_then(|text| text.trim().parse().ok()),
            container_pid: status.ns_pid.as_ref().filter(|pids| pids.len() > 1).and_then(|pids| pids.last().copied()),
            children_total: children.len(),
            children: children
                .into_iter()
                .take(CHILDREN)
                .map(|child| Child { pid: child.pid, name: lossy(&child.comm) })
                .collect(),
            denied: self.denied,
            gaps: self.reader.gaps(),
            name,
        })
    }

    /// One part of many: none of them fails the rest. What is not there is none, what is refused is noted as well.
    fn part<T>(&mut self, name: &'static str, read: Result<T, Failure>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(Failure::Denied(_)) => {
                self.denied.push(name);
                None
            }
            Err(Failure::NotFound(_) | Failure::Unavailable(_)) => None,
            Err(other) => self.reader.keep(&format!("proc/{}/{name}", self.pid), Err(other)),
        }
    }

    /// What a parser made of a file of this process.
    fn parsed<T>(&self, file: &str, result: Result<T, Malformed>) -> Option<T> {
        self.reader.parsed(&format!("proc/{}/{file}", self.pid), result)
    }

    fn text(&mut self, name: &'static str, file: &str) -> Option<String> {
        let read = bytes(self.dir, file);
        self.part(name, read).map(|bytes| lossy(&bytes))
    }

    fn link(&mut self, name: &'static str, file: &str) -> Option<String> {
        let read = self.dir.link(file);
        self.part(name, read).map(|target| lossy(&target))
    }

    /// The kernel writes 0 for one that does not wait, and for those who may not know.
    fn waits_in(&mut self, process: &Scanned) -> Option<String> {
        (process.state == ProcessState::DiskSleep)
            .then(|| self.text("waits_in", "wchan"))?
            .filter(|function| !function.is_empty() && function != "0")
    }

    fn cgroup(&mut self) -> Option<Cgroup> {
        let read = bytes(self.dir, "cgroup");
        let membership = self.part("cgroup", read)?;
        let membership = self.parsed("cgroup", PidCgroup::parse(&membership))?;
        let path = lossy(membership.path()?);
        let container = membership.container().map(|found| Container { manager: found.manager, id: found.id });
        let limits = Limits::of(&self.reader, &membership);
        Some(Cgroup {
            unit: pid_cgroup::unit(path.as_bytes()).map(str::to_owned),
            path,
            container,
            memory_limit_bytes: limits.memory,
            memory_used_bytes: limits.memory_used,
            cpu_limit_cores: limits.cpu,
            pids_limit: limits.pids,
        })
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn cpu(process: &Scanned, stat: &PidStat<'_>, at: Duration, earlier: Option<&Scan>, ticks_per_second: u64) -> Cpu {
    let seconds = |ticks: u64| ticks as f64 / ticks_per_second.max(1) as f64;
    let earlier = earlier.filter(|earlier| earlier.same(process).is_some());
    Cpu {
        user_seconds: seconds(stat.utime),
        system_seconds: seconds(stat.stime),
        cpu_ratio: process.cpu_ratio(at, earlier, ticks_per_second),
        cpu_basis: if earlier.is_some() { CpuBasis::LastScan } else { CpuBasis::Start },
        window_seconds: earlier.map(|earlier| at.saturating_sub(earlier.at).as_secs_f64()),
    }
}

/// Its children in the scan, if the process of that number there is this one.
fn children<'a>(scan: &'a Scan, process: &Scanned) -> Vec<&'a Scanned> {
    match scan.same(process) {
        Some(_) => {
            scan.processes.iter().filter(|child| child.ppid == process.pid && child.pid != process.pid).collect()
        }
        None => vec![],
    }
}

fn parent_name(machine: &Machine, scan: &Scan, ppid: u32) -> Option<String> {
    match scan.get(ppid) {
        Some(parent) => Some(lossy(&parent.comm)),
        // it may have come since the scan
        None if ppid > 0 => machine.root.word(&format!("proc/{ppid}/comm")).ok().flatten(),
        None => None,
    }
}

fn limits(limits: &[pid_limits::Limit]) -> Table<Limit> {
    const SHOWN: [(&str, &str); 4] = [
        ("Max open files", "open_files"),
        ("Max processes", "processes"),
        ("Max core file size", "core_file_bytes"),
        ("Max locked memory", "locked_memory_bytes"),
    ];
    let shown = SHOWN.iter().filter_map(|(kernel, limit)| {
        let found = limits.iter().find(|found| found.name == *kernel)?;
        Some(Limit { limit, soft: Bound::of(found.soft), hard: Bound::of(found.hard) })
    });
    shown.collect()
}

impl Bound {
    fn of(bound: Option<u64>) -> Self {
        bound.map_or(Self::Unlimited("unlimited"), Self::At)
    }
}

impl Memory {
    fn of(memory: pid_status::Memory) -> Self {
        Self {
            resident_bytes: memory.resident,
            peak_bytes: memory.high_water,
            swap_bytes: memory.swap,
            anonymous_bytes: memory.anonymous,
            shared_bytes: memory.shmem,
            virtual_bytes: memory.size,
        }
    }
}

impl Io {
    fn of(io: PidIo) -> Self {
        Self {
            disk_read_bytes: io.read_bytes,
            disk_written_bytes: io.write_bytes.saturating_sub(io.cancelled_write_bytes),
            read_bytes: io.rchar,
            written_bytes: io.wchar,
        }
    }
}

impl Seccomp {
    fn of(mode: u8) -> Self {
        match mode {
            0 => Self::Off,
            1 => Self::Strict,
            2 => Self::Filter,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use auth::Caller;
    use facts::host::{First, Host};
    use rights::grant::Grants;

    async fn ask(pid: u32) -> Result<Report, Failure> {
        let host = Host::open(std::path::Path::new("/"), First::Comes).unwrap();
        Process { pid }.run(&Turn::new(host, Caller::local(Grants::all()).into(), ())).await
    }

    #[tokio::test]
    async fn a_process_is_told_whole() {
        let report = ask(std::process::id()).await.unwrap();
        assert_eq!((report.pid, report.denied), (std::process::id(), vec![]));
        assert!(report.memory.unwrap().peak_bytes > Some(0) && report.open_files.unwrap() > 2 && report.io.is_some());
        assert_eq!(report.limits.unwrap().0.len(), 4);
        assert_eq!(report.executable, std::env::current_exe().unwrap().to_str().map(str::to_owned));
    }

    #[tokio::test]
    async fn a_thread_is_told_whose_it_is() {
        let thread = tokio::task::spawn_blocking(|| {
            let tid = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
            // it must live for as long as it is asked about
            tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(ask(tid))
        });
        let failure = thread.await.unwrap().unwrap_err();
        let whose = format!("is a thread of process {pid}; ask for {pid}", pid = std::process::id());
        assert!(failure.to_string().ends_with(&whose), "{failure}");
    }

    #[tokio::test]
    async fn what_is_no_process_is_not_found_and_nought_is_invalid() {
        assert_eq!(ask(0).await.unwrap_err().kind(), "invalid");
        let failure = ask(u32::MAX).await.unwrap_err();
        assert_eq!(failure.to_string(), format!("process {} does not exist", u32::MAX));
    }

    #[test]
    fn only_the_main_limits_are_shown() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
            Max cpu time              unlimited            unlimited            seconds   \n\
            Max open files            1024                 unlimited            files     \n";
        let [open_files] = &limits(&pid_limits::parse(text).unwrap()).0[..] else { panic!("not one") };
        assert_eq!((open_files.limit, &open_files.soft), ("open_files", &Bound::At(1024)));
        assert_eq!(serde_json::to_value(&open_files.hard).unwrap(), "unlimited");
    }
}
