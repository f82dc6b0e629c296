//! What runs here, and what of it is busy?

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tool::{Tool, Turn};
use facts::{
    accounts::{user, users},
    command_line::{self, command, cut},
    gap::{Gaps, Reader},
    host::{Machine, Place, Process, Scan, Whose},
};
use kernel::{
    failure::Failure,
    proc::{
        passwd::Passwd,
        pid_stat::{PidStat, ProcessState},
        pid_status::PidStatus,
    },
    root::Directory,
};
use lanes::lane::Lane;
use rights::scope::Scope;
use text::{
    page::{Limit, Page},
    table::Table,
};

/// How much of it a row shows, in characters.
const COMMAND_SHOWN: usize = 120;

/// Processes: the busiest first, filtered, or as a tree; with counts by state. Secrets in command lines are redacted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Processes {
    /// Largest or youngest first (pid: smallest); orders siblings in a tree. Default cpu; with tree, pid.
    #[serde(default)]
    sort: Option<Sort>,
    /// Rows.
    #[serde(default)]
    limit: Limit<20, 200>,
    /// next_cursor of the same question. The order may have moved in between.
    #[serde(default)]
    cursor: Option<String>,
    /// Only those with this in name or command line, whatever its case.
    #[serde(default)]
    pattern: Option<String>,
    /// Only this user's: name or uid.
    #[serde(default)]
    user: Option<String>,
    /// Only those in this state.
    #[serde(default)]
    state: Option<ProcessState>,
    /// Children below their parents, with depth. Default false.
    #[serde(default)]
    tree: bool,
    /// The kernel's own threads too. Default false.
    #[serde(default)]
    kernel_threads: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Sort {
    Cpu,
    Memory,
    Started,
    Pid,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// Whose processes these are.
    pub scope: Whose,
    /// All that the server can see, kernel threads included.
    pub total: usize,
    /// The kernel's own among them.
    pub kernel_threads: usize,
    /// Of all.
    pub by_state: BTreeMap<ProcessState, usize>,
    /// Threads of all.
    pub threads: u64,
    /// PID 1 is not to be seen: /proc hides other users' processes from the server (hidepid).
    pub others_hidden: bool,
    /// What cpu_ratio counts from; a process born after the last scan counts from its start.
    pub cpu_basis: CpuBasis,
    /// The time since the last scan, about 10 s at most.
    pub window_seconds: Option<f64>,
    /// Those asked for, on this and all other pages.
    pub matching: usize,
    /// One row each.
    pub processes: Table<Row>,
    /// Pass it as cursor for the next rows.
    pub next_cursor: Option<String>,
    /// Files that could not be read, and why; their figures are null.
    #[serde(skip_serializing_if = "Gaps::is_empty")]
    pub gaps: Gaps,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) enum CpuBasis {
    #[serde(rename = "since the last scan")]
    LastScan,
    #[serde(rename = "since each process started")]
    Start,
}

/// A process.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Row {
    /// In a tree: how deep below the topmost shown; 0 too if its parent is not among those asked for.
    pub depth: Option<u32>,
    pub pid: u32,
    pub ppid: u32,
    /// Effective user: name, or uid; null: ended meanwhile.
    pub user: Option<String>,
    pub state: ProcessState,
    /// CPU time by time gone by: 1 is one core fully used.
    pub cpu_ratio: Option<f64>,
    /// Resident memory.
    pub memory_bytes: u64,
    pub threads: u32,
    /// Since its start.
    pub age_seconds: Option<u64>,
    /// Cut to 15 bytes by the kernel.
    pub name: String,
    /// Arguments, cut to 120 characters; [name] without any (kernel threads, zombies); null: ended meanwhile or unreadable.
    pub command: Option<String>,
}

impl Tool for Processes {
    const NAME: &'static str = "processes";
    const TITLE: &'static str = "Processes";
    const SCOPE: Scope = Scope::SystemRead;
    const LANE: Lane = Lane::Process;
    const SHARED: bool = true;
    const UNTRUSTED: Option<&'static str> = Some("name, command");
    const AUDITED: &'static [&'static str] =
        &["sort", "limit", "cursor", "pattern", "user", "state", "tree", "kernel_threads"];
    type Output = Report;

    async fn run(self, turn: &Turn) -> Result<Report, Failure> {
        let question = (self.sort(), &self.pattern, &self.user, self.state, self.tree, self.kernel_threads);
        let page = Page::of(Self::NAME, question, self.limit.rows(), self.cursor.as_deref())?;
        let (now, earlier) = turn.host().processes().await?;
        turn.read(move |machine| read(machine, &self, &page, &now, earlier.as_deref())).await
    }
}

impl Processes {
    fn sort(&self) -> Sort {
        self.sort.unwrap_or(if self.tree { Sort::Pid } else { Sort::Cpu })
    }
}

fn read(
    machine: &Machine,
    request: &Processes,
    page: &Page<usize>,
    now: &Scan,
    earlier: Option<&Scan>,
) -> Result<Report, Failure> {
    let reader = Reader::new(&machine.root);
    let users = users(&reader);
    let proc = machine.root.directory("proc")?;
    let ticks_per_second = machine.kernel.ticks_per_second();
    let mut found = wanted(&proc, &users, request, now)?;
    sort_by(request.sort(), &mut found, |process| process.cpu_ratio(now.at, earlier, ticks_per_second));
    let found: Vec<(Option<u32>, &Process)> = if request.tree {
        below_their_parents(&found).into_iter().map(|(depth, process)| (Some(depth), process)).collect()
    } else {
        found.into_iter().map(|process| (None, process)).collect()
    };
    let matching = found.len();
    let (shown, next_cursor) = page.by_count(found);
    let rows = shown.into_iter().map(|(depth, process)| {
        let cpu_ratio = process.cpu_ratio(now.at, earlier, ticks_per_second);
        let age = process.age(now.at, ticks_per_second);
        let told = Told::read(&proc, process);
        let name = String::from_utf8_lossy(&process.comm).into_owned();
        Row {
            depth,
            pid: process.pid,
            ppid: process.ppid,
            user: told.as_ref().and_then(|told| Some(user(&users, told.uid?))),
            state: process.state,
            cpu_ratio,
            memory_bytes: process.resident,
            threads: process.threads,
            age_seconds: age.map(|age| age.as_secs()),
            command: told.and_then(|told| Some(cut(command(&told.arguments?, &name), COMMAND_SHOWN))),
            name,
        }
    });
    let mut by_state = BTreeMap::new();
    for process in &now.processes {
        *by_state.entry(process.state).or_default() += 1;
    }
    Ok(Report {
        scope: Place::of(&reader).inside(),
        total: now.processes.len(),
        kernel_threads: now.processes.iter().filter(|process| process.is_kernel_thread).count(),
        by_state,
        threads: now.processes.iter().map(|process| u64::from(process.threads)).sum(),
        others_hidden: now.get(1).is_none(),
        cpu_basis: if earlier.is_some() { CpuBasis::LastScan } else { CpuBasis::Start },
        window_seconds: earlier.map(|earlier| now.at.saturating_sub(earlier.at).as_secs_f64()),
        matching,
        processes: rows.collect(),
        next_cursor,
        gaps: reader.gaps(),
    })
}

/// Those that fit the question, by number.
fn wanted<'a>(
    proc: &Directory<'_>,
    users: &Passwd,
    request: &Processes,
    now: &'a Scan,
) -> Result<Vec<&'a Process>, Failure> {
    let uid = request.user.as_deref().map(|user| uid(users, user)).transpose()?;
    let pattern = request.pattern.as_deref().map(str::to_lowercase);
    let fits = |process: &&Process| {
        (request.kernel_threads || !process.is_kernel_thread)
            && request.state.is_none_or(|state| state == process.state)
            && (uid.is_none() || uid == owner(proc, process))
            && pattern.as_deref().is_none_or(|pattern| mentions(proc, process, pattern))
    };
    Ok(now.processes.iter().filter(fits).collect())
}

/// Whether name or command line hold `pattern`, which is in lower case. What is redacted cannot be found either, or else a secret could
/// be guessed letter by letter.
fn mentions(proc: &Directory<'_>, process: &Process, pattern: &str) -> bool {
    let name = String::from_utf8_lossy(&process.comm);
    let mut arguments = vec![];
    name.to_lowercase().contains(pattern)
        || proc.read_start(&format!("{}/cmdline", process.pid), command_line::LONGEST, &mut arguments).is_ok()
            && command(&arguments, &name).to_lowercase().contains(pattern)
}

fn uid(users: &Passwd, user: &str) -> Result<u32, Failure> {
    let unknown = || Failure::Invalid(format!("user {user:?} is not in etc/passwd; a uid works for every user"));
    users.uid(user.as_bytes()).or_else(|| user.parse().ok()).ok_or_else(unknown)
}

/// The effective user. Only `status` knows: the files of a process that may not be dumped are root's.
fn owner(proc: &Directory<'_>, process: &Process) -> Option<u32> {
    let mut buffer = Vec::with_capacity(2048);
    proc.read_into(&format!("{}/status", process.pid), &mut buffer).ok()?;
    Some(PidStatus::parse(&buffer).0.uid?.effective)
}

/// What the scan did not read.
struct Told {
    uid: Option<u32>,
    arguments: Option<Vec<u8>>,
}

impl Told {
    /// `None`: it has ended since the scan, whoever has its number now.
    fn read(proc: &Directory<'_>, process: &Process) -> Option<Self> {
        let uid = owner(proc, process);
        let (mut arguments, mut stat) = (vec![], Vec::with_capacity(1024));
        let read = proc.read_start(&format!("{}/cmdline", process.pid), command_line::LONGEST, &mut arguments);
        proc.read_into(&format!("{}/stat", process.pid), &mut stat).ok()?;
        let arguments = read.is_ok().then_some(arguments);
        (PidStat::parse(&stat).ok()?.starttime == process.starttime).then_some(Self { uid, arguments })
    }
}

/// Ties go by number, so that the same processes always stand in the same order.
fn sort_by(sort: Sort, processes: &mut [&Process], cpu_ratio: impl Fn(&Process) -> Option<f64>) {
    match sort {
        // ratios are never negative, and those order like their bits
        Sort::Cpu => {
            processes.sort_by_cached_key(|process| (Reverse(cpu_ratio(process).map(f64::to_bits)), process.pid));
        }
        Sort::Memory => processes.sort_by_key(|process| (Reverse(process.resident), process.pid)),
        Sort::Started => processes.sort_by_key(|process| (Reverse(process.starttime), process.pid)),
        Sort::Pid => processes.sort_by_key(|process| process.pid),
    }
}

/// The same processes, each after its parent and with its depth, siblings in the order given. What a scan shows need not be a tree: a
/// parent may be missing, and a number that went to another process meanwhile may close a circle.
fn below_their_parents<'a>(processes: &[&'a Process]) -> Vec<(u32, &'a Process)> {
    let shown: HashMap<u32, &Process> = processes.iter().map(|process| (process.pid, *process)).collect();
    let mut children: HashMap<u32, Vec<&Process>> = HashMap::new();
    for process in processes.iter().rev() {
        children.entry(process.ppid).or_default().push(process);
    }
    let (tops, rest): (Vec<&Process>, Vec<_>) =
        processes.iter().partition(|process| !shown.contains_key(&process.ppid));
    let mut tree = Vec::with_capacity(processes.len());
    // a process leaves `left` when it gets its place; only circles are not reached from the tops
    let mut left = shown;
    for top in tops.into_iter().chain(rest) {
        let mut stack = vec![(0u32, top)];
        while let Some((depth, process)) = stack.pop() {
            if let Some(process) = left.remove(&process.pid) {
                tree.push((depth, process));
                let below = children.get(&process.pid).into_iter().flatten();
                stack.extend(below.map(|child| (depth.saturating_add(1), *child)));
            }
        }
    }
    tree
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, ppid: u32) -> Process {
        Process {
            pid,
            ppid,
            comm: b"a".to_vec(),
            state: ProcessState::Sleeping,
            is_kernel_thread: false,
            ticks: 0,
            starttime: 0,
            resident: 0,
            threads: 1,
            nice: 0,
        }
    }

    fn tree(parents: &[(u32, u32)]) -> Vec<(u32, u32)> {
        let processes: Vec<_> = parents.iter().map(|(pid, ppid)| process(*pid, *ppid)).collect();
        let tree = below_their_parents(&processes.iter().collect::<Vec<_>>());
        tree.into_iter().map(|(depth, process)| (depth, process.pid)).collect()
    }

    #[test]
    fn children_stand_below_their_parents_and_keep_their_order() {
        assert_eq!(tree(&[(4, 2), (3, 2), (2, 1), (1, 0), (5, 1)]), [(0, 1), (1, 2), (2, 4), (2, 3), (1, 5)]);
    }

    #[test]
    fn orphans_stand_at_the_top_and_circles_end() {
        assert_eq!(tree(&[(9, 8), (1, 0)]), [(0, 9), (0, 1)]);
        assert_eq!(tree(&[(1, 1), (2, 3), (3, 2), (4, 3)]), [(0, 1), (0, 2), (1, 3), (2, 4)]);
        assert_eq!(tree(&[]), []);
    }

    #[test]
    fn a_chain_of_ten_thousand_is_no_trouble() {
        let chain: Vec<_> = (1..=10_000).map(|pid| (pid, pid - 1)).collect();
        assert_eq!(tree(&chain).last(), Some(&(9_999, 10_000)));
    }

    #[test]
    fn ties_go_by_number_and_the_unknown_stands_last() {
        let processes: Vec<_> = [3, 1, 2, 4].map(|pid| process(pid, 0)).into();
        let mut sorted: Vec<_> = processes.iter().collect();
        sort_by(Sort::Cpu, &mut sorted, |process| {
            (process.pid != 1).then_some(if process.pid == 4 { 2.5 } else { 0.0 })
        });
        assert_eq!(sorted.iter().map(|process| process.pid).collect::<Vec<_>>(), [4, 2, 3, 1]);
        sort_by(Sort::Memory, &mut sorted, |_| None);
        assert_eq!(sorted.iter().map(|process| process.pid).collect::<Vec<_>>(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_user_may_be_asked_for_by_name_or_number() {
        let users = Passwd::parse(b"root:x:0:0::/root:/bin/sh\n1:x:7:7::/:\n");
        assert_eq!(
            (uid(&users, "root").ok(), uid(&users, "1000").ok(), uid(&users, "1").ok()),
            (Some(0), Some(1000), Some(7))
        );
        assert_eq!(uid(&users, "nobody").unwrap_err().kind(), "invalid");
    }
}
