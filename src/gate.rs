//! The one path of every call: find → grant → limits → run → shape → audit, once, for every tool, over HTTP and stdio alike.
//!
//! No answer leaves except through [`Gate::call`]: nothing unscoped, unbounded, unsanitized or unaudited.

mod counts;
mod lanes;
mod list;
mod page;
mod places;
mod shape;
mod share;

use std::{
    net::IpAddr,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use rmcp::model::JsonObject;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use list::Listed;
pub use page::NAME as PAGE;
pub(crate) use places::is_only;
pub use shape::Answer;

use crate::audit::{Audit, Client, Decision, Outcome, Record, RequestId};
use ::lanes::lane::{Lane, PerLane, Room};
use auth::Caller;
use counts::{Called, Counts};
use facts::host::Host;
use kernel::failure::Failure;
use lanes::Lanes;
use rights::grant::{self, Grants, Used};
use tools::tool::{Entry, Step, Turn};

/// How much may be asked for at once, and how long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What each lane lets in.
    pub lanes: PerLane<Room>,
    /// How long a call may wait and run together; one that acts runs to its end.
    pub deadline: Duration,
}

/// How long a client is kept waiting for a call that acts: most give up after 60 seconds.
pub(crate) const ANSWERED_WITHIN: Duration = Duration::from_secs(50);

/// The same for one that is told how far it has come.
const TOLD_WITHIN: Duration = Duration::from_secs(30 * 60);

impl Default for Limits {
    fn default() -> Self {
        Self { lanes: PerLane::of(|lane| lane.spec().usual()), deadline: Duration::from_secs(30) }
    }
}

impl Limits {
    /// The same, but for what `change` does to this lane.
    pub fn with(mut self, lane: Lane, change: impl FnOnce(&mut Room)) -> Self {
        change(&mut self.lanes[lane]);
        self
    }

    /// Calls that may run at the same time, in all lanes together.
    pub fn running(&self) -> usize {
        self.lanes.iter().map(|room| room.running).sum()
    }

    /// Calls that may wait, in all lanes together.
    pub fn waiting(&self) -> usize {
        self.lanes.iter().map(|room| room.waiting).sum()
    }
}

/// A call as it came in.
#[derive(Debug)]
pub struct Call<'a> {
    /// The tool's name, not yet known to be one.
    pub tool: &'a str,
    /// Its arguments, not yet checked.
    pub arguments: JsonObject,
    /// Who asks.
    pub caller: &'a Arc<Caller>,
    /// From where; nothing for stdio and the terminal.
    pub peer: Option<IpAddr>,
    /// What the client says it is.
    pub client: Option<Client<'a>>,
    /// The JSON-RPC id.
    pub request: Option<RequestId>,
    /// Where to say how far it has come, if the client asked for that.
    pub steps: Option<mpsc::Sender<Step>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Refusal {
    /// There is no such tool, or the caller may not know that there is.
    NoSuchTool,
    /// The call was taken and failed.
    Failed(Failure),
}

/// What every call goes through.
#[derive(Debug)]
pub struct Gate {
    tools: &'static [Entry],
    host: RwLock<Host>,
    audit: Arc<Audit>,
    limits: RwLock<Limits>,
    lanes: Arc<Lanes>,
    shared: Arc<share::Shared>,
    /// The calls that act right now.
    acting: TaskTracker,
    lists: list::Lists,
    counts: Arc<Counts>,
    /// Places for pages that are being made.
    pages: Semaphore,
}

impl Gate {
    /// The gate before `tools` on `host`.
    pub fn new(tools: &'static [Entry], host: Host, audit: Arc<Audit>, limits: Limits) -> Self {
        Self {
            tools,
            host: RwLock::new(host),
            audit,
            lanes: Arc::new(Lanes::new(&limits.lanes)),
            limits: RwLock::new(limits),
            shared: Arc::default(),
            acting: TaskTracker::new(),
            lists: list::Lists::default(),
            counts: Arc::new(Counts::new(tools.len())),
            pages: Semaphore::new(page::AT_ONCE),
        }
    }

    /// The machine behind it, as far as callers reach it now.
    pub fn host(&self) -> Host {
        self.host.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has every call that begins from now on reach only what these say of Docker and of files, also one that waits for a place. May block, as
    /// the directories are looked at; for one caller at a time.
    pub fn reach(&self, docker: engine::Settings, files: jail::Settings) {
        // made before anybody waits for it: a directory can be on a file server that is dead
        let host = self.host();
        let (docker, files) = (host.docker().under(docker), host.jail().under(files));
        *self.host.write().unwrap_or_else(PoisonError::into_inner) = host.with_docker(docker).with_jail(files);
        // what was read before can tell of what is no longer reached
        self.shared.clear();
    }

    /// The log of its calls.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        *self.limits.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts other limits in force, also for the calls that wait.
    pub fn set_limits(&self, limits: Limits) {
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = limits;
        self.lanes.set(&limits.lanes);
    }

    /// Gives back the memory of answers that are too old to be shared, every now and then until dropped.
    pub async fn sweep_forever(&self) {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.shared.sweep();
        }
    }

    /// The tools `caller` may call, in the list's order. What it may not call is not there at all.
    pub fn visible<'a>(&'a self, caller: &'a Caller) -> impl Iterator<Item = &'static Entry> + 'a {
        self.tools.iter().filter(|tool| tool.is_open_to(&caller.grants))
    }

    /// What `tools/list` says of the tools that the caller may call: a call like any other, but for its answer.
    pub async fn list(&self, call: &Call<'_>, cancelled: impl Future<Output = ()>) -> Result<Arc<Listed>, Failure> {
        let asked = Asked { called: Called::List, ..self.asked(call) };
        let deadline = self.limits().deadline;
        let list = async {
            let _seat = self.lanes.enter(list::LANE, call.caller, deadline).await?;
            self.lists.of(self.tools, &call.caller.grants)
        };
        let result = tokio::select! {
            result = tokio::time::timeout(deadline, list) => result.unwrap_or_else(|_| Err(late(call.tool, deadline))),
            () = cancelled => Err(Failure::Cancelled),
        };
        asked.conclude(result, |listed| listed.json.len()).await
    }

    /// Makes one call. `cancelled` ends a reading one early; one that acts runs to its end all the same.
    pub async fn call(&self, call: Call<'_>, cancelled: impl Future<Output = ()>) -> Result<Arc<Answer>, Refusal> {
        let found = self.tools.iter().enumerate().find(|(_, tool)| tool.name == call.tool);
        let Some((at, tool)) = found.filter(|(_, tool)| tool.is_open_to(&call.caller.grants)) else {
            return Err(self.no_such(&call).await);
        };
        let asked = Asked {
            called: Called::Tool(at),
            args: allowed(&call.arguments, tool.audited),
            deciding: tool.deciding(&call.caller.grants),
            ..self.asked(&call)
        };
        match tool.look {
            None => {
                let result = self.read(tool, &call, &asked, cancelled).await;
                asked.conclude(result, length).await.map_err(Refusal::Failed)
            }
            Some(look) => self.act(tool, look, call, asked, cancelled).await.map_err(Refusal::Failed),
        }
    }

    /// Puts on record that a call was of nothing that is there for its caller.
    async fn no_such(&self, call: &Call<'_>) -> Refusal {
        let asked = self.asked(call);
        let record = Record { decision: Decision::Denied, outcome: None, ..asked.record() };
        self.counts.add(Called::Unknown, None, Duration::ZERO);
        let recorded = self.audit.failed("no_such_tool", &record).await;
        recorded.map_or_else(|error| Refusal::Failed(unaudited(&error)), |()| Refusal::NoSuchTool)
    }

    /// Counts a request that came to nothing before it was a call, by the word for why.
    pub fn refused(&self, kind: &'static str) {
        self.counts.refused(kind);
    }

    async fn read(
        &self,
        tool: &'static Entry,
        call: &Call<'_>,
        asked: &Asked,
        cancelled: impl Future<Output = ()>,
    ) -> Result<Arc<Answer>, Failure> {
        let stop = CancellationToken::new();
        // whatever ends the waiting ends the search on a thread as well
        let _stop = stop.clone().drop_guard();
        let deadline = self.limits().deadline;
        let until = Instant::now() + deadline;
        let work = tokio::time::timeout(deadline, unpanicked(self.answer(tool, call, asked, until, &stop)));
        tokio::select! {
            result = work => result.unwrap_or_else(|_| Err(late(tool.name, deadline))),
            () = cancelled => Err(Failure::Cancelled),
        }
    }

    async fn answer(
        &self,
        tool: &'static Entry,
        call: &Call<'_>,
        asked: &Asked,
        until: Instant,
        stop: &CancellationToken,
    ) -> Result<Arc<Answer>, Failure> {
        let key = tool.shared.then(|| share::Key::new(tool.name, asked.deciding.clone(), &call.arguments)).flatten();
        let enter = || self.turn(tool, asked);
        let read = |turn: Turn| async move {
            let turn = turn.telling(call.steps.clone());
            // others may wait for a shared answer when the first who asked is gone, and have more time than it has left
            let turn = if tool.shared {
                turn.ending_by(Instant::now() + self.limits().deadline)
            } else {
                turn.ending_by(until).stopped_by(stop.clone())
            };
            shaped(tool, &turn, call.arguments.clone()).await
        };
        match key {
            Some(key) => self.shared.get(key, enter, read).await,
            None => read(enter().await?).await.map(Arc::new),
        }
    }

    async fn act(
        &self,
        tool: &'static Entry,
        look: &'static str,
        call: Call<'_>,
        asked: Asked,
        cancelled: impl Future<Output = ()>,
    ) -> Result<Arc<Answer>, Failure> {
        let turn = match self.turn(tool, &asked).await {
            Ok(turn) => turn,
            Err(failure) => return asked.conclude(Err(failure), length).await,
        };
        let is_told = call.steps.is_some();
        let asked = Arc::new(asked);
        let gone = CancellationToken::new();
        // unless it is told that the call goes on, the client is gone when nothing waits here any more
        let waiting = gone.clone().drop_guard();
        let turn = turn.telling(call.steps).left_by(gone);
        let turn = turn.recording({
            let asked = Arc::clone(&asked);
            Box::new(move |target: &str| {
                let (asked, target) = (Arc::clone(&asked), target.to_owned());
                Box::pin(async move { asked.attempt(target).await })
            })
        });
        let (arguments, shared) = (call.arguments, Arc::clone(&self.shared));
        let work = self.acting.spawn(async move {
            let result = unpanicked(async { shaped(tool, &turn, arguments).await.map(Arc::new) }).await;
            // what was read before is no answer to whoever has seen this one
            shared.clear();
            asked.conclude(result, length).await
        });
        // a client that is told how far the call has come waits longer
        let patience = if is_told { TOLD_WITHIN } else { ANSWERED_WITHIN };
        tokio::select! {
            result = work => result.unwrap_or_else(|error| Err(Failure::Internal(error.into()))),
            () = tokio::time::sleep(patience) => {
                let _ = waiting.disarm();
                let words = format!("{} takes longer than a client waits; it goes on and is on record: {look}", tool.name);
                Err(Failure::StillRunning(words))
            }
            () = cancelled => Err(Failure::Cancelled),
        }
    }

    /// Waits until no call acts any more.
    pub async fn rest(&self) {
        self.acting.close();
        self.acting.wait().await;
        self.acting.reopen();
    }

    /// How many calls act right now.
    pub fn acting(&self) -> usize {
        self.acting.len()
    }

    fn asked(&self, call: &Call<'_>) -> Asked {
        Asked {
            tool: call.tool.to_owned(),
            caller: Arc::clone(call.caller),
            peer: call.peer,
            client: call.client.map(|client| (client.name.to_owned(), client.version.to_owned())),
            request: call.request.clone(),
            args: None,
            deciding: Grants::default(),
            called: Called::Unknown,
            counts: Arc::clone(&self.counts),
            used: Arc::default(),
            target: OnceLock::new(),
            began: Instant::now(),
            host: self.host(),
            audit: Arc::clone(&self.audit),
        }
    }

    /// A turn for a call of `tool`, as soon as its lane has a place.
    async fn turn(&self, tool: &Entry, asked: &Asked) -> Result<Turn, Failure> {
        let (deadline, caller) = (self.limits().deadline, &asked.caller);
        let seat = self.lanes.enter(tool.lane, caller, deadline).await?;
        let turn = Turn::seated(self.host(), Arc::clone(caller), seat).using(Arc::clone(&asked.used));
        let (lanes, caller) = (Arc::clone(&self.lanes), Arc::clone(caller));
        Ok(turn.entering(Box::new(move |lane| {
            let (lanes, caller) = (Arc::clone(&lanes), Arc::clone(&caller));
            Box::pin(async move { lanes.enter(lane, &caller, deadline).await })
        })))
    }
}

fn length(answer: &Arc<Answer>) -> usize {
    answer.bytes()
}

fn late(what: &str, deadline: Duration) -> Failure {
    Failure::TimedOut(format!("{what} (limit {} s)", deadline.as_secs()))
}

/// A call as the log knows it.
struct Asked {
    tool: String,
    caller: Arc<Caller>,
    peer: Option<IpAddr>,
    client: Option<(String, String)>,
    request: Option<RequestId>,
    args: Option<JsonObject>,
    /// The caller's grants that decide what it does and tells.
    deciding: Grants,
    called: Called,
    counts: Arc<Counts>,
    used: Arc<Used>,
    /// What is acted on, once it is known.
    target: OnceLock<String>,
    began: Instant,
    host: Host,
    audit: Arc<Audit>,
}

impl Asked {
    fn record(&self) -> Record<'_> {
        Record {
            request: self.request.as_ref(),
            caller: Some(&self.caller),
            peer: self.peer,
            client: self.client.as_ref().map(|(name, version)| Client { name, version }),
            tool: Some(&self.tool),
            args: self.args.as_ref(),
            grant: self.grant(false),
            target: self.target.get().map(String::as_str),
            outcome: Some(Outcome::Ok),
            ms: Some(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)),
            ..Record::new(self.host.machine().kernel.wall(), Decision::Allowed)
        }
    }

    /// The grants by which the call reached what it is about; for one about no single thing, those that allow the tool. As long as it has not
    /// succeeded, only those count that allow everything.
    fn grant(&self, has_succeeded: bool) -> Option<String> {
        let used = self.used.grants();
        if !used.is_empty() {
            return Some(grant::list(used.iter()));
        }
        let all = has_succeeded || self.deciding.iter().all(|grant| grant.target().is_none());
        Some(self.deciding.to_string()).filter(|deciding| all && !deciding.is_empty())
    }

    /// Puts on disk that `target` is about to be changed.
    async fn attempt(&self, target: String) -> Result<(), Failure> {
        let _ = self.target.set(target);
        let record = Record { outcome: None, ms: None, ..self.record() };
        self.audit.attempt(&record).await.map_err(|error| unaudited(&error))
    }

    /// Puts on record how it ended, and how long the answer is. What is not on record is not answered.
    async fn conclude<T>(&self, result: Result<T, Failure>, bytes: fn(&T) -> usize) -> Result<T, Failure> {
        let mut record = self.record();
        self.counts.add(self.called, result.as_ref().err().map(Failure::kind), self.began.elapsed());
        match &result {
            Ok(answer) => {
                record.bytes = Some(bytes(answer) as u64);
                // a list shows what any of them allows
                record.grant = record.grant.or_else(|| self.grant(true));
            }
            Err(failure) => {
                if matches!(failure, Failure::NotGranted(_)) {
                    (record.decision, record.grant) = (Decision::Denied, None);
                }
                record.outcome = Some(Outcome::Error);
                record.kind = Some(failure.kind());
                if let Failure::Internal(source) = failure {
                    // it may quote what others wrote
                    let error = source.to_string();
                    tracing::error!(tool = self.tool, error = %redact::clean(&redact::redact_line(&error), 500), "a tool failed");
                }
            }
        }
        let recorded = match &result {
            _ if self.target.get().is_some() => self.audit.outcome(&record).await,
            Ok(_) => self.audit.record(&record).await,
            Err(failure) => self.audit.failed(failure.kind(), &record).await,
        };
        match recorded {
            Ok(()) => result,
            // whoever thinks that nothing was done would do it again
            Err(error) if self.target.get().is_some() && !matches!(result, Err(Failure::Unaudited)) => {
                tracing::error!(%error, tool = self.tool, "what came of a call that acted could not be put on record");
                Err(Failure::Unrecorded)
            }
            Err(error) => Err(unaudited(&error)),
        }
    }
}

/// Runs the tool and makes its report an answer: a long one off the async threads, as it takes milliseconds.
async fn shaped(tool: &'static Entry, turn: &Turn, arguments: JsonObject) -> Result<Answer, Failure> {
    let report = tool.run(turn, arguments).await?;
    let host = turn.host().clone();
    if shape::is_long(&report) {
        turn.read(move |_| shape::shape(tool, &host, report)).await
    } else {
        shape::shape(tool, &host, report)
    }
}

/// What `work` gives; a panic is our own bug, and its words are for the log.
async fn unpanicked<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| Err(Failure::internal(panic_message(&*panic))))
}

/// The arguments that the log may keep, if any were given.
fn allowed(arguments: &JsonObject, audited: &[&str]) -> Option<JsonObject> {
    let kept: JsonObject = audited
        .iter()
        .filter_map(|name| arguments.get(*name).map(|value| ((*name).to_owned(), value.clone())))
        .collect();
    if kept.is_empty() {
        return None;
    }
    // what is no good argument can be a secret that was meant for another place
    let mut kept = serde_json::Value::Object(kept);
    redact::redact_value(&mut kept);
    kept.as_object().cloned()
}

fn unaudited(error: &crate::audit::AuditError) -> Failure {
    tracing::error!(%error, "a call was refused because it could not be put on record");
    Failure::Unaudited
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", words.unwrap_or("without words"))
}
