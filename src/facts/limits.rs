//! Tables of the kernel that are nearly full: what comes next is refused.

use super::{
    Seen,
    problem::{Problems, Severity, percent},
};
use crate::{exposition::Exposition, gap::Reader, host::Machine};
use kernel::proc::loadavg::Loadavg;

/// A table is nearly full from here on.
const NEARLY: f64 = 0.90;

/// A table is as good as full from here on.
const FULL: f64 = 0.97;

/// How much of a limit is used.
struct Limit {
    /// What is counted.
    what: &'static str,
    /// Where the limit is set.
    key: &'static str,
    /// The tool that tells more.
    see: &'static str,
    used: Option<u64>,
    most: Option<u64>,
}

/// Says which limits of the machine, and of the container if it is one, are nearly reached.
pub fn watch(_: &Machine, reader: &Reader<'_>, problems: &mut Problems) {
    let running = running(reader);
    let machine = [files(reader), connections(reader), threads(reader, running), numbers(reader, running)];
    machine.into_iter().chain(cgroup(reader)).for_each(|limit| limit.judge(problems));
}

/// How much of the limits of the machine, and of the container if it is one, is used.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let reader = seen.reader;
    let (files, connections) = (files(reader), connections(reader));
    page.gauge("node_filefd_allocated", "Files that are open.", files.used);
    page.gauge("node_filefd_maximum", "Files that may be open.", files.most);
    page.gauge("node_nf_conntrack_entries", "Connections that are tracked.", connections.used);
    page.gauge("node_nf_conntrack_entries_limit", "Connections that may be tracked.", connections.most);
    let running = seen.sample.load.and_then(|load| load.threads).map(u64::from);
    let (threads, numbers) = (threads(reader, running), numbers(reader, running));
    page.gauge("node_processes_threads", "Threads there are.", threads.used);
    page.gauge("node_processes_max_threads", "Threads there may be.", threads.most);
    page.gauge("node_processes_max_processes", "Numbers that processes and threads may have.", numbers.most);
    let cgroup = cgroup(reader);
    let (used, most) = (cgroup.as_ref().and_then(|limit| limit.used), cgroup.as_ref().and_then(|limit| limit.most));
    page.gauge("smcp_container_pids", "Processes and threads of the container.", used);
    page.gauge("smcp_container_pids_limit", "Processes and threads that the container may have.", most);
}

impl Limit {
    fn judge(&self, problems: &mut Problems) {
        let (Some(used), Some(most)) = (self.used, self.most.filter(|most| *most > 0)) else { return };
        let ratio = used as f64 / most as f64;
        if ratio >= NEARLY {
            let severity = if ratio >= FULL { Severity::Critical } else { Severity::Warning };
            let words = format!("{used} {} of at most {most} ({}): {}", self.what, percent(ratio), self.key);
            problems.add(severity, self.see, words);
        }
    }
}

/// `file-nr` holds allocated handles, free ones (0 since Linux 2.6) and the limit. An unprivileged program meets the limit.
fn files(reader: &Reader<'_>) -> Limit {
    let text = reader.word("proc/sys/fs/file-nr").unwrap_or_default();
    let columns: Vec<Option<u64>> = text.split_ascii_whitespace().map(|column| column.parse().ok()).collect();
    let column = |at: usize| columns.get(at).copied().flatten();
    Limit { what: "open files", key: "fs.file-max", see: "processes", used: column(0), most: column(2) }
}

/// Above the limit packets of new connections are dropped. Absent where nothing tracks connections.
fn connections(reader: &Reader<'_>) -> Limit {
    let number = |name: &str| reader.number(&format!("proc/sys/net/netfilter/nf_conntrack_{name}"));
    Limit {
        what: "tracked connections",
        key: "net.netfilter.nf_conntrack_max",
        see: "network",
        used: number("count"),
        most: number("max"),
    }
}

fn threads(reader: &Reader<'_>, used: Option<u64>) -> Limit {
    let most = reader.number("proc/sys/kernel/threads-max");
    Limit { what: "threads", key: "kernel.threads-max", see: "processes", used, most }
}

/// Every thread has a number of its own.
fn numbers(reader: &Reader<'_>, used: Option<u64>) -> Limit {
    let most = reader.number("proc/sys/kernel/pid_max");
    Limit { what: "thread numbers in use", key: "kernel.pid_max", see: "processes", used, most }
}

/// The threads there are.
fn running(reader: &Reader<'_>) -> Option<u64> {
    Loadavg::parse(&reader.text("proc/loadavg")?).ok()?.threads.map(u64::from)
}

/// Processes and threads at the top of the own cgroup namespace. The machine's own top has no limit.
fn cgroup(reader: &Reader<'_>) -> Option<Limit> {
    ["sys/fs/cgroup", "sys/fs/cgroup/pids"].iter().find_map(|directory| {
        let number = |name: &str| reader.number(&format!("{directory}/pids.{name}"));
        Some(Limit {
            what: "processes and threads of the container",
            key: "pids.max of its cgroup",
            see: "identity",
            used: Some(number("current")?),
            most: Some(number("max")?),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{gap::Gaps, problem::Problem};

    #[expect(clippy::disallowed_methods, reason = "makes the tree to be read")]
    fn look(name: &str, files: &[(&str, &str)]) -> (Vec<Problem>, Gaps) {
        let dir = std::env::temp_dir().join(format!("limits-{name}-{}", std::process::id()));
        for (path, text) in files {
            let path = dir.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let machine = Machine::at(&dir).unwrap();
        let (reader, mut problems) = (Reader::new(&machine.root), Problems::default());
        watch(&machine, &reader, &mut problems);
        std::fs::remove_dir_all(dir).unwrap();
        (problems.sorted(), reader.gaps())
    }

    #[test]
    fn a_table_that_is_nearly_full_is_named_with_its_key() {
        let (problems, gaps) = look(
            "full",
            &[
                ("proc/sys/fs/file-nr", "9000\t0\t10000\n"),
                ("proc/sys/net/netfilter/nf_conntrack_count", "262144\n"),
                ("proc/sys/net/netfilter/nf_conntrack_max", "262144\n"),
                ("proc/loadavg", "0 0 0 1/31000 9\n"),
                ("proc/sys/kernel/threads-max", "63704\n"),
                ("proc/sys/kernel/pid_max", "32768\n"),
                ("sys/fs/cgroup/pids.current", "511\n"),
                ("sys/fs/cgroup/pids.max", "512\n"),
            ],
        );
        let said: Vec<_> = problems.iter().map(|problem| problem.what.as_str()).collect();
        assert_eq!(
            said,
            [
                "262144 tracked connections of at most 262144 (100 %): net.netfilter.nf_conntrack_max",
                "511 processes and threads of the container of at most 512 (100 %): pids.max of its cgroup",
                "9000 open files of at most 10000 (90 %): fs.file-max",
                "31000 thread numbers in use of at most 32768 (95 %): kernel.pid_max",
            ]
        );
        assert!(gaps.is_empty());
    }

    #[test]
    fn what_is_not_limited_or_not_there_is_no_problem() {
        let (problems, gaps) = look(
            "none",
            &[
                ("proc/sys/fs/file-nr", "9000 0 9223372036854775807\n"),
                ("proc/loadavg", "0 0 0 odd 9\n"),
                ("proc/sys/kernel/threads-max", "1\n"),
                ("sys/fs/cgroup/pids.current", "511\n"),
                ("sys/fs/cgroup/pids.max", "max\n"),
            ],
        );
        assert!(problems.is_empty() && gaps.is_empty());
    }
}
