//! Who asked for what, from where, and what became of it: one JSON line per record.
//!
//! Fields, always in this order, absent ones left out: `v`, `run`, `seq`, `time`, `request`, `caller`, `auth`, `token`, `peer`,
//! `client`, `tool`, `args`, `grant`, `target`, `decision`, `phase`, `outcome`, `kind`, `suppressed`, `bytes`, `ms`. `seq` counts
//! the records of one `run` (process) in one file without a gap: a record that could not be written takes no number. The names
//! `prev` and `mac` are kept for a chain; they will stand last, so that a MAC can cover every byte before it.
//!
//! Several processes may share a file. Each record is written under a lock (flock), which is what makes three things
//! provable: a line cut short by a full disk is taken back by ftruncate, as nobody can have appended after it; a file
//! that ends within a line (its writer was killed) gets a newline before the next record, so that a reader loses the
//! broken line alone; and rotation happens once, the others noticing by the inode that the name now means another file.
//! A record that cannot be written is an error, on which the call is to be refused.
//!
//! A call that only reads has one record, its `result`. One that changes something has an `attempt` before, which is on disk before
//! anything is changed: a machine that goes down in between still tells who did it.
//!
//! Attempts and their results have a file of their own, with its own rotation ([`ACTIONS`]): calls that only read, or fail, cannot
//! rotate away what was changed. The rate of changes is limited for each caller, so nobody rotates this file quickly.
//!
//! Refused credentials are recorded too, with the public id of a token that was one, and so are calls that fail: but only so many of each
//! kind, for calls also of each caller. Refusals and failures cost their sender nothing, and could otherwise fill the disk, or rotate
//! the evidence away. The rest is counted: `suppressed` of that `kind`, and of that `caller`.

mod budgets;
mod file;
mod line;
mod log;

use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, SyncSender},
    },
    time::{Duration, SystemTime},
};

use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use self::{
    budgets::Budgets,
    line::Line,
    log::{Log, Of},
};
pub use self::{
    budgets::Rate,
    file::{Found, look},
};
use auth::{Caller, Refusal};
use kernel::failure::Failure;

/// The audit file's name in the state directory.
pub const FILE_NAME: &str = "audit.jsonl";
/// The size a file is rotated at, in bytes.
pub const ROTATE_AT: u64 = 64 * 1024 * 1024;
/// How many rotated files are kept, `.1` the newest.
pub const KEPT: u32 = 16;
/// What is added to the audit file's name for the file of attempts and their results.
pub const ACTIONS: &str = ".actions";
/// Refused credentials of one kind that are written one by one; the rest is counted. There are seven kinds, so all together are
/// bounded as well.
pub const REFUSALS: Rate = Rate { burst: 10, seconds: 1, hour: 150 };
/// Failed calls of one kind and one caller that are written one by one; the rest is counted.
pub const FAILURES: Rate = Rate { burst: 60, seconds: 60, hour: 600 };

/// The file of attempts and their results, for this audit file.
pub fn actions_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ACTIONS);
    name.into()
}

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Appended to this file and to its [`ACTIONS`], each rotated by size.
    File(PathBuf),
    /// The standard error stream, for containers that may write nowhere.
    Stderr,
}

/// A JSON-RPC id, as the caller gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestId {
    /// A number.
    Number(i64),
    /// A string; the first 64 characters are recorded.
    Text(String),
}

/// What the caller's program says it is.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// `clientInfo.name`.
    pub name: &'a str,
    /// `clientInfo.version`.
    pub version: &'a str,
}

/// Whether the call was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It ran.
    Allowed,
    /// It did not.
    Denied,
}

/// Which of a call's records this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The first of two, on disk before anything is changed.
    Attempt,
    /// The last, and for what only reads the only one.
    Result,
}

/// How the call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// With an answer.
    Ok,
    /// With a failure.
    Error,
}

/// What is known of a call. `args` holds only what the tool's allow list lets through.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// When.
    pub time: SystemTime,
    /// The JSON-RPC id.
    pub request: Option<&'a RequestId>,
    /// Who; `None` if nobody was recognized.
    pub caller: Option<&'a Caller>,
    /// The public id of a token that was shown and refused; `None` if nothing was shown that has the form of one.
    pub token: Option<&'a str>,
    /// From where; `None` over a pipe or a Unix socket.
    pub peer: Option<IpAddr>,
    /// With what.
    pub client: Option<Client<'a>>,
    /// The tool's name as called, even if there is no such tool.
    pub tool: Option<&'a str>,
    /// Its allow-listed arguments.
    pub args: Option<&'a Map<String, Value>>,
    /// The grant that let it pass; of a call about no one target all that could have.
    pub grant: Option<String>,
    /// What was acted on, once resolved.
    pub target: Option<&'a str>,
    /// Whether it was let through.
    pub decision: Decision,
    /// Which of a call's records this is.
    pub phase: Phase,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The failure's word.
    pub kind: Option<&'a str>,
    /// The size of the answer.
    pub bytes: Option<u64>,
    /// How long it took, in milliseconds.
    pub ms: Option<u64>,
}

impl Record<'_> {
    /// A record of nothing but when and whether; fill in the rest with `..`.
    pub fn new(time: SystemTime, decision: Decision) -> Self {
        Self {
            time,
            request: None,
            caller: None,
            token: None,
            peer: None,
            client: None,
            tool: None,
            args: None,
            grant: None,
            target: None,
            decision,
            phase: Phase::Result,
            outcome: None,
            kind: None,
            bytes: None,
            ms: None,
        }
    }
}

/// Why a record could not be written, or the sink not be opened.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The operating system refused.
    #[error("audit log {}: cannot {doing}: {source}", sink.display())]
    Io {
        /// The file, or `stderr`.
        sink: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// A link, a device, a directory.
    #[error("audit log {}: must be a regular file, and no symlink", file.display())]
    NotAFile {
        /// The file.
        file: PathBuf,
    },
    /// Nothing wrong that is known of, but it takes too long: a slow disk, a lock that another process holds, a pipe that nobody reads.
    #[error("the audit log takes no record in time")]
    Slow,
    /// No random bytes for the run's name.
    #[error(transparent)]
    Internal(#[from] Failure),
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        Self::Internal(error.into())
    }
}

/// The log. Shared by all who record.
///
/// One thread owns the file, because writing to it may take as long as a slow disk, another process's lock or a pipe that nobody
/// reads likes: whoever waits for a record waits without holding up anybody else.
#[derive(Debug)]
pub struct Audit {
    run: String,
    jobs: SyncSender<Job>,
    budgets: Arc<Mutex<Budgets>>,
}

type Job = Box<dyn FnOnce(&mut Log) + Send>;

/// Records that may wait to be written.
const WAITING: usize = 4096;

/// How long a record may take before it counts as not written.
const WRITTEN_IN: Duration = Duration::from_secs(2);

impl Audit {
    /// Opens the sink: missing files and their directory are made, for their owner alone.
    pub fn open(sink: &Sink) -> Result<Self, AuditError> {
        let mut log = Log::open(sink)?;
        let (jobs, given) = mpsc::sync_channel::<Job>(WAITING);
        let (run, budgets) = (log.run.clone(), Arc::clone(&log.budgets));
        let writer = std::thread::Builder::new().name("audit".into()).stack_size(128 << 10);
        writer
            .spawn(move || given.into_iter().for_each(|job| job(&mut log)))
            .map_err(|error| AuditError::Internal(Failure::Internal(error.into())))?;
        Ok(Self { run, jobs, budgets })
    }

    /// Sixteen hex digits that tell this process's records from others'.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Writes one record of a call that changed nothing. On an error the call must be refused; the record is then not in the log, or,
    /// if the log was only too slow, gets there late.
    pub async fn record(&self, record: &Record<'_>) -> Result<(), AuditError> {
        let (line, time) = (Line::of(record)?, record.time);
        self.ask(move |log| log.record(Of::Calls, &line, time)).await
    }

    /// Writes that a call failed with this word for why, and changed nothing, or counts it if the caller had many such failures. On an
    /// error as with [`Self::record`]: also what is only counted is refused while nothing can be written.
    pub async fn failed(&self, kind: &'static str, record: &Record<'_>) -> Result<(), AuditError> {
        let time = record.time;
        if !self.budgets().admit(kind, record) {
            return self.ask(move |log| log.check(time).and_then(|()| log.summarize(time))).await;
        }
        let line = Line::of(&Record { kind: Some(kind), ..record.clone() })?;
        let written = self.ask(move |log| log.record(Of::Calls, &line, time)).await;
        if written.is_err() {
            self.budgets().lost(kind, record);
        }
        written
    }

    /// Writes that something is about to be changed, and waits until that is on disk (on a stream: until it is written). On an error
    /// nothing may be changed; the record can be in the log all the same. What came of it is a record of its own.
    pub async fn attempt(&self, record: &Record<'_>) -> Result<(), AuditError> {
        let (line, time) = (Line::of(&Record { phase: Phase::Attempt, ..record.clone() })?, record.time);
        self.ask(move |log| log.attempt(&line, time)).await
    }

    /// Writes what came of an attempt. On an error the caller has to be told that something may have been changed.
    pub async fn outcome(&self, record: &Record<'_>) -> Result<(), AuditError> {
        let (line, time) = (Line::of(&Record { phase: Phase::Result, ..record.clone() })?, record.time);
        self.ask(move |log| log.record(Of::Actions, &line, time)).await
    }

    /// Writes that credentials were refused (of a token that was one, by its public id), or counts it if there were many of that kind.
    /// Nobody waits for it. Counts are written with a later record of any kind, once a minute at most.
    pub fn refused(&self, refusal: Refusal, token: Option<&str>, peer: Option<IpAddr>, time: SystemTime) {
        let kind = refusal.kind();
        self.denied(kind, &Record { token, peer, ..Record::new(time, Decision::Denied) });
    }

    /// Writes that something was refused, with this word for why, or counts it, as above.
    pub fn denied(&self, kind: &'static str, record: &Record<'_>) {
        let time = record.time;
        let (admitted, due) = {
            let mut budgets = self.budgets();
            (budgets.admit(kind, record), !budgets.due(time).is_empty())
        };
        if !admitted && !due {
            return;
        }
        let record = Record { kind: Some(kind), ..record.clone() };
        let line = admitted.then(|| Line::of(&record)).and_then(Result::ok);
        let sent = self.jobs.try_send(Box::new(move |log| {
            let was_well = !log.is_failing();
            if let Err(error) = log.refused(line.as_ref(), kind, time)
                && was_well
            {
                tracing::error!(%error, "a refusal could not be put on record");
            }
        }));
        if sent.is_err() && admitted {
            self.budgets().lost(kind, &Record::new(time, Decision::Denied));
        }
    }

    /// Whether records can be written. After one that could not be, a record of the kind `probe` tries again.
    pub async fn check(&self, time: SystemTime) -> Result<(), AuditError> {
        self.ask(move |log| log.check(time)).await
    }

    /// Writes what waits and what is still only counted: to be called on shutdown. Waits half a second at most.
    pub fn finish(&self, time: SystemTime) -> Result<(), AuditError> {
        let (reply, answer) = mpsc::sync_channel(1);
        let job: Job = Box::new(move |log| drop(reply.send(log.finish(time))));
        self.jobs.try_send(job).map_err(|_| AuditError::Slow)?;
        answer.recv_timeout(Duration::from_millis(500)).map_err(|_| AuditError::Slow)?
    }

    fn budgets(&self) -> MutexGuard<'_, Budgets> {
        self.budgets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(
        &self,
        work: impl FnOnce(&mut Log) -> Result<(), AuditError> + Send + 'static,
    ) -> Result<(), AuditError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |log| drop(reply.send(work(log))));
        self.jobs.try_send(job).map_err(|_| AuditError::Slow)?;
        match tokio::time::timeout(WRITTEN_IN, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(AuditError::Slow),
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "files of the tests' own")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_attempt_and_its_result_are_two_records() {
        let scratch = std::env::temp_dir().join(format!("smcp-attempt-{}", std::process::id()));
        let file = scratch.join(FILE_NAME);
        let audit = Audit::open(&Sink::File(file.clone())).unwrap();
        let record = Record { tool: Some("service_control"), ..Record::new(SystemTime::now(), Decision::Allowed) };
        audit.attempt(&record).await.unwrap();
        audit.outcome(&Record { outcome: Some(Outcome::Ok), ..record }).await.unwrap();
        let text = std::fs::read_to_string(actions_of(&file)).unwrap();
        std::fs::remove_dir_all(&scratch).unwrap();
        let phases: Vec<_> =
            text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["phase"].clone()).collect();
        assert_eq!(phases, ["attempt", "result"]);
    }
}
