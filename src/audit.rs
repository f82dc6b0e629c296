//! Who asked for what, from where, and what became of it: one JSON line per record.
//!
//! Fields, always in this order, absent ones left out: `v`, `run`, `seq`, `time`, `request`, `caller`, `auth`, `peer`,
//! `client`, `tool`, `args`, `target`, `decision`, `phase`, `outcome`, `kind`, `suppressed`, `bytes`, `ms`. `seq` counts
//! the records of one `run` (process) without a gap: a record that could not be written takes no number. The names
//! `prev` and `mac` are kept for a chain; they will stand last, so that a MAC can cover every byte before it.
//!
//! Several processes may share a file. Each record is written under a lock (flock), which is what makes three things
//! provable: a line cut short by a full disk is taken back by ftruncate, as nobody can have appended after it; a file
//! that ends within a line (its writer was killed) gets a newline before the next record, so that a reader loses the
//! broken line alone; and rotation happens once, the others noticing by the inode that the name now means another file.
//! A record that cannot be written is an error, on which the call is to be refused.
//!
//! Refused credentials are recorded too, but only so many: whoever knocks can otherwise fill the disk, or rotate the
//! evidence away.

use std::{
    borrow::Cow,
    ffi::{OsStr, OsString},
    fs::DirBuilder,
    io,
    net::IpAddr,
    os::{fd::OwnedFd, unix::fs::DirBuilderExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, SyncSender},
    },
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat},
    io::Errno,
};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use crate::{
    auth::{Caller, Refusal, store, token},
    failure::Failure,
};

/// The audit file's name in the state directory.
pub const FILE_NAME: &str = "audit.jsonl";
/// The size a file is rotated at, in bytes.
pub const ROTATE_AT: u64 = 64 * 1024 * 1024;
/// How many rotated files are kept, `.1` the newest.
pub const KEPT: u32 = 16;
/// Refusals written one by one: in one second, and in one hour. The rest is counted.
pub const REFUSALS: (u32, u32) = (20, 1000);
/// How often, at most, a count of refusals not written is.
const SUMMARY: Duration = Duration::from_secs(60);

/// The kind of a record that only tries whether one can be written.
const PROBE: &str = "probe";

const LABEL: usize = 64;
const TEXT: usize = 256;
/// What all arguments of a call may take together, in bytes of JSON.
const ARGUMENTS: usize = 4096;
/// How long to wait for another process's lock before the record counts as not written.
const PATIENCE: (u32, Duration) = (500, Duration::from_millis(1));

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Appended to this file, rotated by size.
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
    /// From where; `None` over a pipe or a Unix socket.
    pub peer: Option<IpAddr>,
    /// With what.
    pub client: Option<Client<'a>>,
    /// The tool's name as called, even if there is no such tool.
    pub tool: Option<&'a str>,
    /// Its allow-listed arguments.
    pub args: Option<&'a Map<String, Value>>,
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
            peer: None,
            client: None,
            tool: None,
            args: None,
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
    /// Refusals that found no place to wait, to be counted with those that are not written.
    lost: Arc<AtomicU64>,
}

type Job = Box<dyn FnOnce(&mut Log) + Send>;

/// Records that may wait to be written.
const WAITING: usize = 4096;

/// How long a record may take before it counts as not written.
const WRITTEN_IN: Duration = Duration::from_secs(2);

impl Audit {
    /// Opens the sink: a missing file and its directory are made, for their owner alone.
    pub fn open(sink: &Sink) -> Result<Self, AuditError> {
        let mut log = Log::open(sink)?;
        let (jobs, given) = mpsc::sync_channel::<Job>(WAITING);
        let run = log.run.clone();
        let writer = std::thread::Builder::new().name("audit".into()).stack_size(128 << 10);
        writer
            .spawn(move || given.into_iter().for_each(|job| job(&mut log)))
            .map_err(|error| AuditError::Internal(Failure::Internal(error.into())))?;
        Ok(Self { run, jobs, lost: Arc::default() })
    }

    /// Sixteen hex digits that tell this process's records from others'.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Writes one record. On an error the call must be refused; the record is then not in the log, or, if the log was only too slow,
    /// gets there late.
    pub async fn record(&self, record: &Record<'_>) -> Result<(), AuditError> {
        let kept = Kept::of(record);
        self.ask(move |log| log.record(&kept.record())).await
    }

    /// Writes that credentials were refused, or counts it if there were many. Nobody waits for it.
    pub fn refused(&self, refusal: Refusal, peer: Option<IpAddr>, time: SystemTime) {
        let lost = Arc::clone(&self.lost);
        let sent = self.jobs.try_send(Box::new(move |log| {
            log.state.refusals.suppressed += lost.swap(0, Ordering::Relaxed);
            let was_well = log.state.failing == 0;
            if let Err(error) = log.refused(refusal, peer, time)
                && was_well
            {
                tracing::error!(%error, "a refusal could not be put on record");
            }
        }));
        if sent.is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether records can be written. After one that could not be, a record of the kind `probe` tries again.
    pub async fn check(&self, time: SystemTime) -> Result<(), AuditError> {
        self.ask(move |log| log.check(time)).await
    }

    /// Writes what waits and what is still only counted: to be called on shutdown. Waits half a second at most.
    pub fn finish(&self, time: SystemTime) -> Result<(), AuditError> {
        let (reply, answer) = mpsc::sync_channel(1);
        let lost = Arc::clone(&self.lost);
        let job: Job = Box::new(move |log| {
            log.state.refusals.suppressed += lost.swap(0, Ordering::Relaxed);
            drop(reply.send(log.finish(time)));
        });
        self.jobs.try_send(job).map_err(|_| AuditError::Slow)?;
        answer.recv_timeout(Duration::from_millis(500)).map_err(|_| AuditError::Slow)?
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

/// A [`Record`] on its way to the thread that writes it.
struct Kept {
    time: SystemTime,
    request: Option<RequestId>,
    caller: Option<Caller>,
    peer: Option<IpAddr>,
    client: Option<(String, String)>,
    tool: Option<String>,
    args: Option<Map<String, Value>>,
    target: Option<String>,
    decision: Decision,
    phase: Phase,
    outcome: Option<Outcome>,
    kind: Option<String>,
    bytes: Option<u64>,
    ms: Option<u64>,
}

impl Kept {
    fn of(record: &Record<'_>) -> Self {
        let Record {
            time,
            request,
            caller,
            peer,
            client,
            tool,
            args,
            target,
            decision,
            phase,
            outcome,
            kind,
            bytes,
            ms,
        } = record;
        Self {
            time: *time,
            request: request.cloned(),
            caller: caller.cloned(),
            peer: *peer,
            client: client.map(|client| (client.name.to_owned(), client.version.to_owned())),
            tool: tool.map(str::to_owned),
            args: args.cloned(),
            target: target.map(str::to_owned),
            decision: *decision,
            phase: *phase,
            outcome: *outcome,
            kind: kind.map(str::to_owned),
            bytes: *bytes,
            ms: *ms,
        }
    }

    fn record(&self) -> Record<'_> {
        Record {
            time: self.time,
            request: self.request.as_ref(),
            caller: self.caller.as_ref(),
            peer: self.peer,
            client: self.client.as_ref().map(|(name, version)| Client { name, version }),
            tool: self.tool.as_deref(),
            args: self.args.as_ref(),
            target: self.target.as_deref(),
            decision: self.decision,
            phase: self.phase,
            outcome: self.outcome,
            kind: self.kind.as_deref(),
            bytes: self.bytes,
            ms: self.ms,
        }
    }
}

/// The log as its thread has it.
#[derive(Debug)]
struct Log {
    run: String,
    state: State,
}

#[derive(Debug)]
struct State {
    seq: u64,
    line: Vec<u8>,
    out: Out,
    refusals: Refusals,
    /// The length of the last record if it could not be written, else 0.
    failing: usize,
}

impl Log {
    fn open(sink: &Sink) -> Result<Self, AuditError> {
        let out = match sink {
            Sink::File(path) => Out::File(LogFile::open(path, ROTATE_AT)?),
            Sink::Stderr => {
                let stderr = rustix::io::fcntl_dupfd_cloexec(io::stderr(), 3);
                let stream = stderr.map_err(|errno| AuditError::Io {
                    sink: "stderr".into(),
                    doing: "open",
                    source: errno.into(),
                })?;
                Out::Stream { stream, torn: false }
            }
        };
        Self::with(out)
    }

    fn with(out: Out) -> Result<Self, AuditError> {
        let run = token::hex(&token::random::<8>()?);
        let state = State { seq: 0, line: Vec::with_capacity(1024), out, refusals: Refusals::default(), failing: 0 };
        Ok(Self { run, state })
    }

    /// Writes one record. On an error it is not in the log (on a stream, at most its torn beginning is), and the call
    /// must be refused.
    fn record(&mut self, record: &Record<'_>) -> Result<(), AuditError> {
        let state = &mut self.state;
        state.summarize(&self.run, record.time)?;
        state.write(&self.run, record, None)
    }

    /// Writes that credentials were refused, or counts it if there were many. The counts are written with a later
    /// record of any kind, once a minute at most.
    fn refused(&mut self, refusal: Refusal, peer: Option<IpAddr>, time: SystemTime) -> Result<(), AuditError> {
        let state = &mut self.state;
        state.summarize(&self.run, time)?;
        if !state.refusals.admit(time) {
            return Ok(());
        }
        let record = Record { peer, kind: Some(refusal.kind()), ..Record::new(time, Decision::Denied) };
        state.write(&self.run, &record, None)
    }

    /// Whether records can be written. After one that could not be, a record of the kind `probe` tries again.
    fn check(&mut self, time: SystemTime) -> Result<(), AuditError> {
        let state = &mut self.state;
        if state.failing == 0 {
            return Ok(());
        }
        state.write(&self.run, &Record { kind: Some(PROBE), ..Record::new(time, Decision::Allowed) }, None)
    }

    /// Writes what is still only counted: to be called on shutdown.
    fn finish(&mut self, time: SystemTime) -> Result<(), AuditError> {
        let state = &mut self.state;
        match state.refusals.suppressed {
            0 => Ok(()),
            // now or never, however young they are
            suppressed => {
                state.write(&self.run, &Record::new(time, Decision::Denied), Some(suppressed))?;
                state.refusals.summarized(time);
                Ok(())
            }
        }
    }
}

impl State {
    fn summarize(&mut self, run: &str, time: SystemTime) -> Result<(), AuditError> {
        if let Some(suppressed) = self.refusals.due(time) {
            self.write(run, &Record::new(time, Decision::Denied), Some(suppressed))?;
            self.refusals.summarized(time);
        }
        Ok(())
    }

    fn write(&mut self, run: &str, record: &Record<'_>, suppressed: Option<u64>) -> Result<(), AuditError> {
        let line = Line::of(run, self.seq + 1, record, suppressed);
        self.line.clear();
        serde_json::to_writer(&mut self.line, &line).map_err(|error| Failure::internal(error.to_string()))?;
        if record.kind == Some(PROBE) {
            // where a short record fits, the call's that did not would be refused again
            self.line.resize(self.line.len().max(self.failing.saturating_sub(1)), b' ');
        }
        self.line.push(b'\n');
        let written = self.out.append(&self.line);
        self.failing = if written.is_err() { self.line.len() } else { 0 };
        written?;
        self.seq += 1;
        // one huge line must not be kept in memory for good
        self.line.shrink_to(16 * 1024);
        Ok(())
    }
}

/// How many refusals were written, and how many were not.
#[derive(Debug, Default)]
struct Refusals {
    second: Window,
    hour: Window,
    suppressed: u64,
    summarized: Option<SystemTime>,
}

#[derive(Debug, Default)]
struct Window {
    number: u64,
    count: u32,
}

impl Window {
    fn enter(&mut self, number: u64) {
        if self.number != number {
            *self = Self { number, count: 0 };
        }
    }
}

impl Refusals {
    fn admit(&mut self, time: SystemTime) -> bool {
        let seconds = since_epoch(time).as_secs();
        self.second.enter(seconds);
        self.hour.enter(seconds / 3600);
        if self.second.count >= REFUSALS.0 || self.hour.count >= REFUSALS.1 {
            self.suppressed += 1;
            return false;
        }
        self.second.count += 1;
        self.hour.count += 1;
        true
    }

    /// The count to write now, if any.
    fn due(&self, time: SystemTime) -> Option<u64> {
        let rested = match self.summarized {
            // a clock set back must not silence the counts
            Some(last) => time.duration_since(last).map_or(true, |since| since >= SUMMARY),
            None => self.second.number != since_epoch(time).as_secs(),
        };
        (self.suppressed > 0 && rested).then_some(self.suppressed)
    }

    fn summarized(&mut self, time: SystemTime) {
        self.suppressed = 0;
        self.summarized = Some(time);
    }
}

/// A record as it is written. The order of the fields is the format.
#[derive(Serialize)]
struct Line<'a> {
    v: u8,
    run: &'a str,
    seq: u64,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Request<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<Who<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<Program<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Cow<'a, str>>,
    decision: Decision,
    phase: Phase,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suppressed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ms: Option<u64>,
}

#[derive(Serialize)]
struct Who<'a> {
    id: Cow<'a, str>,
    name: Cow<'a, str>,
}

#[derive(Serialize)]
struct Program<'a> {
    name: Cow<'a, str>,
    version: Cow<'a, str>,
}

enum Request<'a> {
    Number(i64),
    Text(Cow<'a, str>),
}

impl Serialize for Request<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl<'a> Line<'a> {
    fn of(run: &'a str, seq: u64, record: &Record<'a>, suppressed: Option<u64>) -> Self {
        Self {
            v: 1,
            run,
            seq,
            time: humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since_epoch(record.time)).to_string(),
            request: record.request.map(|request| match request {
                RequestId::Number(number) => Request::Number(*number),
                RequestId::Text(text) => Request::Text(cut(text, LABEL)),
            }),
            caller: record.caller.map(|who| Who { id: cut(&who.id, LABEL), name: cut(&who.name, LABEL) }),
            auth: record.caller.map(|who| who.auth.name()),
            peer: record.peer.map(|peer| peer.to_canonical()),
            client: record
                .client
                .map(|client| Program { name: cut(client.name, LABEL), version: cut(client.version, LABEL) }),
            tool: record.tool.map(|tool| cut(tool, LABEL)),
            args: record.args.map(bounded),
            target: record.target.map(|target| cut(target, TEXT)),
            decision: record.decision,
            phase: record.phase,
            outcome: record.outcome,
            kind: record.kind.map(|kind| cut(kind, LABEL)),
            suppressed,
            bytes: record.bytes,
            ms: record.ms,
        }
    }
}

/// The time since 1970, kept within what RFC 3339 can write: a clock gone wild must not keep calls from being recorded.
fn since_epoch(time: SystemTime) -> Duration {
    let longest = Duration::from_secs(253_402_300_799);
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().min(longest)
}

/// The first `limit` characters. JSON escapes what could end a line; what it lets through and could still mislead who
/// reads the log on a terminal (C1 controls, characters that turn or hide text) becomes U+FFFD.
fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    let end = text.char_indices().nth(limit).map(|(end, _)| end);
    if end.is_none() && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    let mut kept: String = text.chars().take(limit).map(|c| if misleads(c) { '\u{fffd}' } else { c }).collect();
    if end.is_some() {
        kept.push('…');
    }
    Cow::Owned(kept)
}

fn misleads(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The arguments with every string cut, or, if they are still long, only how long they are.
fn bounded(args: &Map<String, Value>) -> Value {
    let cut = cut_all(args);
    let length = cut.to_string().len();
    if length <= ARGUMENTS { cut } else { serde_json::json!({ "omitted_bytes": length }) }
}

fn cut_all(args: &Map<String, Value>) -> Value {
    args.iter().map(|(name, value)| (cut(name, LABEL).into_owned(), cut_strings(value))).collect()
}

fn cut_strings(value: &Value) -> Value {
    match value {
        Value::String(text) => cut(text, TEXT).into(),
        Value::Array(values) => values.iter().map(cut_strings).collect(),
        Value::Object(fields) => cut_all(fields),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[derive(Debug)]
enum Out {
    File(LogFile),
    Stream { stream: OwnedFd, torn: bool },
}

impl Out {
    fn append(&mut self, line: &[u8]) -> Result<(), AuditError> {
        match self {
            Self::File(file) => file.append(line),
            Self::Stream { stream, torn } => {
                let whole = if *torn { Cow::Owned([b"\n", line].concat()) } else { Cow::Borrowed(line) };
                write_all(stream, &whole).map_err(|(written, errno)| {
                    // a stream cannot be cut back: its next record begins on a line of its own
                    *torn |= written > 0;
                    AuditError::Io { sink: "stderr".into(), doing: "write", source: errno.into() }
                })?;
                *torn = false;
                Ok(())
            }
        }
    }
}

/// Writes all in one go if the system takes it; else says how much it took.
fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> Result<(), (usize, Errno)> {
    let whole = bytes.len();
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(0) => return Err((whole - bytes.len(), Errno::NOSPC)),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err((whole - bytes.len(), errno)),
        }
    }
    Ok(())
}

/// The file, its directory held, so that rotation needs no path.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    directory: OwnedFd,
    name: OsString,
    file: OwnedFd,
    /// Where our last record ended. If the file still ends there, it ends with a newline.
    end: Option<u64>,
    rotate_at: u64,
    /// Rotation failed (a file mounted on its own cannot be renamed): said once, and the log goes on growing.
    stuck: bool,
}

impl LogFile {
    fn open(path: &Path, rotate_at: u64) -> Result<Self, AuditError> {
        let io = |doing, source: io::Error| AuditError::Io { sink: path.into(), doing, source };
        let name = path.file_name().ok_or_else(|| AuditError::NotAFile { file: path.into() })?.to_owned();
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(|e| io("make its directory", e))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory =
            rustix::fs::open(parent, flags, Mode::empty()).map_err(|errno| io("open its directory", errno.into()))?;
        let file = open_log(&directory, &name, path)?;
        Ok(Self { path: path.into(), directory, name, file, end: None, rotate_at, stuck: false })
    }

    fn failed(&self, doing: &'static str) -> impl Fn(Errno) -> AuditError + use<> {
        let sink = self.path.clone();
        move |errno| AuditError::Io { sink: sink.clone(), doing, source: errno.into() }
    }

    fn append(&mut self, line: &[u8]) -> Result<(), AuditError> {
        let appended = self.lock(line.len() as u64).and_then(|size| self.append_locked(line, size));
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
        appended
    }

    fn append_locked(&mut self, line: &[u8], size: u64) -> Result<(), AuditError> {
        let mut last = [b'\n'];
        if size > 0 && self.end != Some(size) {
            rustix::io::pread(&self.file, &mut last, size - 1).map_err(self.failed("read its end"))?;
        }
        let whole = if last == [b'\n'] { Cow::Borrowed(line) } else { Cow::Owned([b"\n", line].concat()) };
        if let Err((written, errno)) = write_all(&self.file, &whole) {
            self.end = None;
            if written > 0 {
                // we hold the lock, so what lies behind `size` is ours alone
                rustix::fs::ftruncate(&self.file, size).map_err(self.failed("take back half a record"))?;
            }
            return Err(self.failed("write")(errno));
        }
        self.end = Some(size + whole.len() as u64);
        Ok(())
    }

    /// Locks the file the name stands for now, rotated if `more` bytes would make it too large. Gives its size.
    fn lock(&mut self, more: u64) -> Result<u64, AuditError> {
        for _ in 0..100 {
            self.wait_for_lock()?;
            let held = rustix::fs::fstat(&self.file).map_err(self.failed("look at"))?;
            let named = rustix::fs::statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW);
            let current = named.is_ok_and(|named| same(&named, &held));
            let size = u64::try_from(held.st_size).unwrap_or(0);
            if current && (self.stuck || size == 0 || size + more <= self.rotate_at) {
                return Ok(size);
            }
            // whoever holds the lock on the file the name stands for is the one to rotate it
            if current && let Err(errno) = self.rotate() {
                self.stuck = true;
                tracing::warn!(file = %self.path.display(), error = %errno, "the audit log cannot be rotated and grows");
                return Ok(size);
            }
            // closing the old file lets go of its lock
            self.file = open_log(&self.directory, &self.name, &self.path)?;
            self.end = None;
        }
        Err(self.failed("keep up with its rotation")(Errno::AGAIN))
    }

    /// Not for ever: a stopped process may hold the lock, and calls must then fail rather than hang.
    fn wait_for_lock(&self) -> Result<(), AuditError> {
        for _ in 0..PATIENCE.0 {
            match rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(()),
                Err(Errno::WOULDBLOCK | Errno::INTR) => std::thread::sleep(PATIENCE.1),
                Err(errno) => return Err(self.failed("lock")(errno)),
            }
        }
        Err(self.failed("lock")(Errno::WOULDBLOCK))
    }

    fn rotate(&self) -> Result<(), Errno> {
        for number in (1..KEPT).rev() {
            self.rename(&self.numbered(number), &self.numbered(number + 1))?;
        }
        self.rename(&self.name, &self.numbered(1))
    }

    fn rename(&self, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
        match rustix::fs::renameat(&self.directory, from, &self.directory, to) {
            Err(Errno::NOENT) => Ok(()),
            other => other,
        }
    }

    fn numbered(&self, number: u32) -> OsString {
        let mut name = self.name.clone();
        name.push(format!(".{number}"));
        name
    }
}

fn same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// Opens or makes the file, and gives a new one to the directory's owner: root's `call` and a service without rights
/// share it.
fn open_log(directory: &OwnedFd, name: &OsStr, path: &Path) -> Result<OwnedFd, AuditError> {
    let io = |doing, errno: Errno| AuditError::Io { sink: path.into(), doing, source: errno.into() };
    // reading is for the last byte alone; NONBLOCK, so that a FIFO is refused and not waited for
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::NONBLOCK;
    let made = rustix::fs::openat(directory, name, flags | OFlags::CREATE | OFlags::EXCL, Mode::RUSR | Mode::WUSR);
    let file = match made {
        Ok(file) => {
            let owner = rustix::fs::fstat(directory).map_err(|errno| io("look at its directory", errno))?;
            store::give_to_owner(&file, &owner).map_err(|source| AuditError::Io {
                sink: path.into(),
                doing: "give away",
                source,
            })?;
            file
        }
        Err(Errno::EXIST) => match rustix::fs::openat(directory, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => return Err(AuditError::NotAFile { file: path.into() }),
            Err(errno) => return Err(io("open", errno)),
        },
        Err(errno) => return Err(io("make", errno)),
    };
    let stat = rustix::fs::fstat(&file).map_err(|errno| io("look at", errno))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
        Ok(file)
    } else {
        Err(AuditError::NotAFile { file: path.into() })
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "files of the tests' own")]
mod tests {
    use std::{
        fs,
        os::unix::fs::{MetadataExt as _, symlink},
        sync::atomic::{AtomicU32, Ordering},
    };

    use super::*;
    use crate::scope::Scopes;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let name = format!("smcp-audit-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join(FILE_NAME)
        }

        fn audit(&self) -> Log {
            Log::open(&Sink::File(self.file())).unwrap()
        }

        fn small(&self, rotate_at: u64) -> Log {
            Log::with(Out::File(LogFile::open(&self.file(), rotate_at).unwrap())).unwrap()
        }

        fn lines(&self) -> Vec<Value> {
            lines(&self.file())
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn lines(file: &Path) -> Vec<Value> {
        fs::read_to_string(file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_123) + Duration::from_secs(seconds)
    }

    fn plain() -> Record<'static> {
        Record { tool: Some("overview"), outcome: Some(Outcome::Ok), ..Record::new(at(0), Decision::Allowed) }
    }

    #[test]
    fn a_record_has_its_fields_in_order_and_nothing_absent() {
        let scratch = Scratch::new();
        let mut audit = scratch.audit();
        let args = serde_json::json!({"limit": 3, "name": "x".repeat(300)});
        audit
            .record(&Record {
                request: Some(&RequestId::Text("r".repeat(65))),
                caller: Some(&Caller::stdio(Scopes::all())),
                peer: Some("::ffff:192.0.2.1".parse().unwrap()),
                client: Some(Client { name: "curl", version: "1" }),
                args: args.as_object(),
                target: Some("t"),
                kind: Some("busy"),
                bytes: Some(7),
                ms: Some(8),
                ..plain()
            })
            .unwrap();
        audit.record(&Record { request: Some(&RequestId::Number(-7)), ..plain() }).unwrap();
        let text = fs::read_to_string(scratch.file()).unwrap();
        let mut written = text.lines();
        let expected = format!(
            r#"{{"v":1,"run":"{}","seq":1,"time":"2027-01-15T08:00:00.123Z","request":"{}…","caller":{{"id":"stdio","name":"stdio"}},"auth":"stdio","peer":"192.0.2.1","client":{{"name":"curl","version":"1"}},"tool":"overview","args":{{"limit":3,"name":"{}…"}},"target":"t","decision":"allowed","phase":"result","outcome":"ok","kind":"busy","bytes":7,"ms":8}}"#,
            audit.run,
            "r".repeat(64),
            "x".repeat(256)
        );
        assert_eq!(written.next().unwrap(), expected);
        let expected = format!(
            r#"{{"v":1,"run":"{}","seq":2,"time":"2027-01-15T08:00:00.123Z","request":-7,"tool":"overview","decision":"allowed","phase":"result","outcome":"ok"}}"#,
            audit.run
        );
        assert_eq!(written.next().unwrap(), expected);
        assert!(audit.run.len() == 16 && written.next().is_none());
    }

    #[test]
    fn no_text_of_a_caller_can_forge_a_record_or_mislead_a_terminal() {
        let scratch = Scratch::new();
        let hostile = "a\"}\n{\"v\":1,\r\u{1b}[2J\0\u{9b}31m\u{202e}\u{2028}\u{feff}\\";
        let args = serde_json::json!({hostile: [hostile, {hostile: hostile}]});
        scratch
            .audit()
            .record(&Record {
                request: Some(&RequestId::Text(hostile.into())),
                client: Some(Client { name: hostile, version: hostile }),
                tool: Some(hostile),
                args: args.as_object(),
                target: Some(hostile),
                kind: Some(hostile),
                ..plain()
            })
            .unwrap();
        let text = fs::read_to_string(scratch.file()).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(text.trim_end_matches('\n').chars().all(|c| !c.is_control() && !misleads(c)), "{text}");
        assert!(scratch.lines()[0]["tool"].as_str().unwrap().starts_with("a\"}\n{"), "what JSON can hold is kept");
    }

    #[test]
    fn huge_arguments_leave_only_their_size_and_huge_labels_are_cut() {
        let scratch = Scratch::new();
        let args: Map<_, _> = (0..10_000).map(|n| (n.to_string(), Value::Null)).collect();
        let long = "é".repeat(100_000);
        scratch.audit().record(&Record { args: Some(&args), tool: Some(&long), ..plain() }).unwrap();
        assert!(fs::metadata(scratch.file()).unwrap().len() < 1000);
        assert!(scratch.lines()[0]["args"]["omitted_bytes"].as_u64().unwrap() > 100_000);
        assert_eq!(scratch.lines()[0]["tool"].as_str().unwrap().chars().count(), 65);
    }

    #[test]
    fn a_clock_gone_wild_keeps_no_call_from_being_recorded() {
        let scratch = Scratch::new();
        let mut audit = scratch.audit();
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(9);
        let after = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(u32::MAX) * 100);
        for time in [before, after] {
            audit.record(&Record { time, ..plain() }).unwrap();
            audit.refused(Refusal::Wrong, None, time).unwrap();
        }
        assert_eq!(scratch.lines()[0]["time"], "1970-01-01T00:00:00.000Z");
        assert_eq!(scratch.lines()[2]["time"], "9999-12-31T23:59:59.000Z");
    }

    #[test]
    fn the_file_is_its_owners_alone_and_must_be_a_regular_one() {
        let scratch = Scratch::new();
        scratch.audit();
        assert_eq!(fs::metadata(scratch.file()).unwrap().mode() & 0o7777, 0o600);
        let open = |path: PathBuf| Log::open(&Sink::File(path)).map(drop);
        symlink(scratch.file(), scratch.0.join("link")).unwrap();
        symlink(scratch.0.join("nowhere"), scratch.0.join("dangling")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, scratch.0.join("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        for name in ["link", "dangling", "fifo", "."] {
            assert!(matches!(open(scratch.0.join(name)), Err(AuditError::NotAFile { .. })), "{name}");
        }
        assert!(matches!(open("/dev/full".into()), Err(AuditError::NotAFile { .. })));
        assert!(!scratch.0.join("nowhere").exists());
    }

    #[test]
    fn a_full_stream_is_an_error_and_takes_no_number() {
        let full = rustix::fs::open("/dev/full", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let mut audit = Log::with(Out::Stream { stream: full, torn: false }).unwrap();
        let error = audit.record(&plain()).unwrap_err();
        assert!(matches!(&error, AuditError::Io { doing: "write", .. }), "{error}");
        assert_eq!(audit.state.seq, 0);
        assert_eq!(Failure::from(error).kind(), "internal");
    }

    /// Needs a disk that is soon full: `SMALL_DISK` names a directory on one (a tmpfs of 32 kB will do). A test cannot
    /// mount one by itself without rights and `unsafe`; without it, it only looks as if it passed.
    #[test]
    fn a_full_disk_leaves_no_half_line_and_writing_goes_on_when_there_is_room() {
        let Some(disk) = std::env::var_os("SMALL_DISK").map(PathBuf::from) else { return };
        let (file, ballast) = (disk.join(FILE_NAME), disk.join("ballast"));
        fs::write(&ballast, [0; 8192]).unwrap();
        let mut audit = Log::open(&Sink::File(file.clone())).unwrap();
        let target = "x".repeat(250);
        let record = Record { target: Some(&target), ..plain() };
        let written = (0..1000).take_while(|_| audit.record(&record).is_ok()).count();
        assert!((5..900).contains(&written), "{written}");
        assert!(
            audit.record(&record).is_err() && Log::open(&Sink::File(file.clone())).unwrap().record(&record).is_err()
        );
        assert_eq!(lines(&file).len(), written, "every line is whole");
        assert!(fs::read(&file).unwrap().ends_with(b"\n"));
        fs::remove_file(&ballast).unwrap();
        audit.record(&record).unwrap();
        let seqs: Vec<_> = lines(&file).iter().map(|line| line["seq"].as_u64().unwrap()).collect();
        assert_eq!(seqs, (1..=written as u64 + 1).collect::<Vec<_>>(), "no gap");
        fs::remove_file(&file).unwrap();
    }

    #[test]
    fn half_a_line_left_by_the_killed_costs_nobody_elses_record() {
        let scratch = Scratch::new();
        let mut audit = scratch.audit();
        audit.record(&plain()).unwrap();
        let half = fs::OpenOptions::new().append(true).open(scratch.file()).unwrap();
        io::Write::write_all(&mut &half, b"{\"v\":1,\"run\":\"0").unwrap();
        audit.record(&plain()).unwrap();
        scratch.audit().record(&plain()).unwrap();
        let text = fs::read_to_string(scratch.file()).unwrap();
        let whole = text.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count();
        assert_eq!((text.lines().count(), whole), (4, 3));
    }

    #[test]
    fn writers_at_once_share_a_file_through_its_rotations() {
        let scratch = Scratch::new();
        let (writers, each) = (4, 200);
        std::thread::scope(|scope| {
            for _ in 0..writers {
                // about 130 bytes a record: some 10 rotations of 10 kB
                let mut audit = scratch.small(10_000);
                scope.spawn(move || (0..each).for_each(|_| audit.record(&plain()).unwrap()));
            }
        });
        let mut all = scratch.lines();
        for number in 1..=KEPT {
            let rotated = scratch.0.join(format!("{FILE_NAME}.{number}"));
            if rotated.exists() {
                assert!(fs::metadata(&rotated).unwrap().len() <= 10_000);
                all.extend(lines(&rotated));
            }
        }
        assert!(scratch.0.join(format!("{FILE_NAME}.2")).exists());
        assert_eq!(all.len(), writers * each);
        let mut seen: Vec<_> = all.iter().map(|line| (line["run"].to_string(), line["seq"].as_u64())).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), writers * each);
    }

    #[test]
    fn rotation_keeps_sixteen_and_the_newest_is_one() {
        let scratch = Scratch::new();
        let mut audit = scratch.small(1);
        for _ in 0..30 {
            audit.record(&plain()).unwrap();
        }
        assert_eq!(fs::read_dir(&scratch.0).unwrap().count() as u32, KEPT + 1);
        assert_eq!(scratch.lines()[0]["seq"], 30);
        assert_eq!(lines(&scratch.0.join(format!("{FILE_NAME}.1")))[0]["seq"], 29);
        assert_eq!(lines(&scratch.0.join(format!("{FILE_NAME}.16")))[0]["seq"], 14);
    }

    #[test]
    fn a_removed_file_is_made_again() {
        let scratch = Scratch::new();
        let mut audit = scratch.audit();
        audit.record(&plain()).unwrap();
        fs::remove_file(scratch.file()).unwrap();
        audit.record(&plain()).unwrap();
        assert_eq!(scratch.lines()[0]["seq"], 2);
    }

    #[test]
    fn a_lock_held_for_ever_is_an_error_and_no_hang() {
        let scratch = Scratch::new();
        let mut audit = scratch.audit();
        let holder = fs::File::open(scratch.file()).unwrap();
        rustix::fs::flock(&holder, FlockOperation::LockExclusive).unwrap();
        assert!(matches!(audit.record(&plain()), Err(AuditError::Io { doing: "lock", .. })));
        drop(holder);
        audit.record(&plain()).unwrap();
    }

    #[test]
    fn a_flood_of_refusals_is_counted_and_not_written() {
        let scratch = Scratch::new();
        let mut audit = scratch.audit();
        for n in 0..100_000 {
            audit.refused(Refusal::Wrong, Some("192.0.2.1".parse().unwrap()), at(n / 1000)).unwrap();
        }
        audit.record(&Record { time: at(200), ..plain() }).unwrap();
        audit.finish(at(200)).unwrap();
        let lines = scratch.lines();
        let refused = lines.iter().filter(|line| line["kind"] == "wrong").count() as u64;
        let counted: u64 = lines.iter().filter_map(|line| line["suppressed"].as_u64()).sum();
        assert_eq!((refused, refused + counted), (u64::from(REFUSALS.1), 100_000), "none is lost");
        assert!(lines.len() < 1010);
        assert_eq!(lines[0]["decision"], "denied");
        assert!(lines[0].get("tool").is_none());
    }

    #[test]
    fn twenty_refusals_in_a_second_are_written_and_the_rest_counted_soon() {
        let scratch = Scratch::new();
        let mut audit = scratch.audit();
        (0..25).for_each(|_| audit.refused(Refusal::Unknown, None, at(0)).unwrap());
        assert_eq!(scratch.lines().len(), 20);
        audit.record(&Record { time: at(1), ..plain() }).unwrap();
        assert_eq!(scratch.lines()[20]["suppressed"], 5);
        assert_eq!(scratch.lines()[21]["tool"], "overview");
    }
}
