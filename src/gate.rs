//! The one path of every call: find → scope → limits → run → shape → audit, once, for every tool, over HTTP and stdio alike.
//!
//! No answer leaves except through [`Gate::call`]: nothing unscoped, unbounded, unsanitized or unaudited.

mod list;
mod places;
mod shape;
mod share;

use std::{
    any::Any,
    net::IpAddr,
    panic::AssertUnwindSafe,
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use rmcp::model::JsonObject;
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use list::Listed;
pub(crate) use places::is_only;
pub use shape::Answer;

use crate::{
    audit::{Audit, Client, Decision, Outcome, Record, RequestId},
    auth::Caller,
    bucket::Buckets,
    failure::Failure,
    host::Host,
    text,
    tool::{Acts, Entry, Step, Turn},
};
use places::{Place, Places};

/// How much may be asked for at once, and how long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls that run at the same time.
    pub running: usize,
    /// Calls that may wait for their turn; one more is refused.
    pub waiting: usize,
    /// How long a call may wait and run together; one that acts runs to its end.
    pub deadline: Duration,
    /// Calls that act, each minute, of one caller, and as many more that control a container. All together may make four times as many of each.
    pub acting: u32,
    /// Searches, likewise.
    pub searches: u32,
}

/// The most calls that may run at the same time, whatever the configuration says.
pub(crate) const MOST_RUNNING: u32 = 4096;

/// One caller has one part of so many of the places for calls that run.
const PARTS: usize = 4;

/// Calls that act at the same time; of one caller half of them.
pub(crate) const ACTING_AT_ONCE: usize = 16;

/// Places of those that only a call which controls a container may take: what goes wrong can be stopped whatever else acts.
const KEPT_FOR_CONTROL: usize = 2;

/// What is said to a caller that acts more often than it may.
const TOO_MANY_ACTS: &str = "so many acting calls a minute are not allowed here";

/// Images that are pulled at the same time; of one caller half of them.
const PULLS_AT_ONCE: usize = 4;

/// Searches that run at the same time: more of them only wait for the disk. Of one caller half of them.
pub(crate) const SEARCHES_AT_ONCE: usize = 4;

/// One caller has one part of so many of the few places of those three.
const PARTS_OF_FEW: usize = 2;

/// Lists of tools of one caller in a minute; of all callers together four times as many. A client asks once in a session.
const LISTS_A_MINUTE: u32 = 600;

/// How long a client is kept waiting for a call that acts: most give up after 60 seconds.
pub(crate) const ANSWERED_WITHIN: Duration = Duration::from_secs(50);

/// The same for one that is told how far it has come.
const TOLD_WITHIN: Duration = Duration::from_secs(30 * 60);

impl Default for Limits {
    fn default() -> Self {
        Self { running: 64, waiting: 2048, deadline: Duration::from_secs(30), acting: 30, searches: 60 }
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
    host: Host,
    audit: Arc<Audit>,
    limits: RwLock<Limits>,
    places: RwLock<Arc<Places>>,
    waiting: AtomicUsize,
    shared: Arc<share::Shared>,
    acts: Lane,
    /// How often each caller may control a container: what goes wrong can be stopped however often others change something.
    controls: Buckets,
    pulls: Arc<Places>,
    searches: Lane,
    /// The calls that act right now.
    acting: TaskTracker,
    lists: list::Lists,
}

impl Gate {
    /// The gate before `tools` on `host`.
    pub fn new(tools: &'static [Entry], host: Host, audit: Arc<Audit>, limits: Limits) -> Self {
        Self {
            tools,
            host,
            audit,
            places: RwLock::new(Arc::new(Places::new(limits.running, PARTS))),
            limits: RwLock::new(limits),
            waiting: AtomicUsize::new(0),
            shared: Arc::default(),
            acts: Lane::new(ACTING_AT_ONCE, TOO_MANY_ACTS),
            controls: Buckets::new(TOO_MANY_ACTS),
            pulls: Arc::new(Places::new(PULLS_AT_ONCE, PARTS_OF_FEW)),
            searches: Lane::new(SEARCHES_AT_ONCE, "so many searches a minute are not allowed here"),
            acting: TaskTracker::new(),
            lists: list::Lists::default(),
        }
    }

    /// The machine behind it.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The log of its calls.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        *self.limits.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts other limits in force for the calls that come from now on; those that run or wait end under the old ones.
    pub fn set_limits(&self, limits: Limits) {
        let old = std::mem::replace(&mut *self.limits.write().unwrap_or_else(PoisonError::into_inner), limits);
        if old.running != limits.running {
            let places = Arc::new(Places::new(limits.running, PARTS));
            *self.places.write().unwrap_or_else(PoisonError::into_inner) = places;
        }
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
        self.tools.iter().filter(|tool| caller.scopes.contain(tool.scope))
    }

    /// What `tools/list` says of the tools that `caller` may call. It takes a place among the calls that run, and a caller who asks too often is
    /// told when to come back.
    pub async fn list(&self, caller: &Caller) -> Result<Arc<Listed>, Failure> {
        self.lists.buckets.take(&caller.id, LISTS_A_MINUTE)?;
        let (deadline, places) = (self.limits().deadline, self.places());
        let late = |_| Failure::TimedOut(format!("tools/list (limit {} s)", deadline.as_secs()));
        let _place = tokio::time::timeout(deadline, self.place_in(&places, caller)).await.map_err(late)??;
        self.lists.of(self.tools, caller.scopes)
    }

    fn places(&self) -> Arc<Places> {
        Arc::clone(&self.places.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes one call. `cancelled` ends a reading one early; one that acts runs to its end all the same.
    pub async fn call(&self, call: Call<'_>, cancelled: impl Future<Output = ()>) -> Result<Arc<Answer>, Refusal> {
        let asked = self.asked(&call);
        let found = self.visible(call.caller).find(|tool| tool.name == call.tool);
        let Some(tool) = found else {
            let record = Record { decision: Decision::Denied, outcome: None, ..asked.record() };
            let recorded = self.audit.failed("no_such_tool", &record).await;
            return Err(recorded.map_or_else(|error| Refusal::Failed(unaudited(&error)), |()| Refusal::NoSuchTool));
        };
        let asked = Asked { args: allowed(&call.arguments, tool.audited), ..asked };
        match tool.look {
            None => {
                let result = self.read(tool, &call, cancelled).await;
                asked.conclude(result).await
            }
            Some(look) => self.act(tool, look, call, asked, cancelled).await,
        }
    }

    async fn read(
        &self,
        tool: &'static Entry,
        call: &Call<'_>,
        cancelled: impl Future<Output = ()>,
    ) -> Result<Arc<Answer>, Failure> {
        let stop = CancellationToken::new();
        // whatever ends the waiting ends the search on a thread as well
        let _stop = stop.clone().drop_guard();
        let deadline = self.limits().deadline;
        let until = Instant::now() + deadline;
        let work = tokio::time::timeout(deadline, unpanicked(self.answer(tool, call, until, &stop)));
        tokio::select! {
            result = work => result.unwrap_or_else(|_| Err(Failure::TimedOut(format!("{} (limit {} s)", tool.name, deadline.as_secs())))),
            () = cancelled => Err(Failure::Cancelled),
        }
    }

    async fn answer(
        &self,
        tool: &'static Entry,
        call: &Call<'_>,
        until: Instant,
        stop: &CancellationToken,
    ) -> Result<Arc<Answer>, Failure> {
        let more = tool.tells_more.is_some_and(|scope| call.caller.scopes.contain(scope));
        let key = tool.shared.then(|| share::Key::new(tool.name, more, &call.arguments)).flatten();
        let ask = || async {
            let place = self.place(tool, call.caller).await?;
            let turn = Turn::new(self.host.clone(), Arc::clone(call.caller), place);
            let turn = turn.telling(call.steps.clone()).ending_by(until);
            // others may wait for a shared answer when the first who asked is gone
            let turn = if tool.shared { turn } else { turn.stopped_by(stop.clone()) };
            shaped(tool, &turn, call.arguments.clone()).await
        };
        match key {
            Some(key) => self.shared.get(key, ask).await,
            None => ask().await.map(Arc::new),
        }
    }

    async fn act(
        &self,
        tool: &'static Entry,
        look: &'static str,
        call: Call<'_>,
        asked: Asked,
        cancelled: impl Future<Output = ()>,
    ) -> Result<Arc<Answer>, Refusal> {
        let (buckets, kept) = match tool.acts {
            Acts::Controls => (&self.controls, 0),
            Acts::Changes => (&self.acts.buckets, KEPT_FOR_CONTROL),
        };
        if let Err(busy) = buckets.take(&call.caller.id, self.limits().acting) {
            return asked.conclude(Err(busy)).await;
        }
        let Some(place) = self.acts.places.try_take(call.caller, kept) else {
            let busy = Failure::Busy("as many calls act as one caller, or all together, may have at once", 5);
            return asked.conclude(Err(busy)).await;
        };
        let is_told = call.steps.is_some();
        let asked = Arc::new(asked);
        let gone = CancellationToken::new();
        // unless it is told that the call goes on, the client is gone when nothing waits here any more
        let waiting = gone.clone().drop_guard();
        let turn = Turn::new(self.host.clone(), Arc::clone(call.caller), place).telling(call.steps).left_by(gone);
        let turn = turn.pulling({
            let (pulls, caller) = (Arc::clone(&self.pulls), Arc::clone(call.caller));
            Box::new(move || {
                let place = pulls.try_take(&caller, 0).map(|place| Box::new(place) as Box<dyn Any + Send>);
                place.ok_or(Failure::Busy(
                    "as many images are pulled as one caller, or all together, may pull at once",
                    30,
                ))
            })
        });
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
            asked.conclude(result).await
        });
        // a client that is told how far the call has come waits longer
        let patience = if is_told { TOLD_WITHIN } else { ANSWERED_WITHIN };
        tokio::select! {
            result = work => result.unwrap_or_else(|error| Err(Refusal::Failed(Failure::Internal(error.into())))),
            () = tokio::time::sleep(patience) => {
                let _ = waiting.disarm();
                let words = format!("{} takes longer than a client waits; it goes on and is on record: {look}", tool.name);
                Err(Refusal::Failed(Failure::StillRunning(words)))
            }
            () = cancelled => Err(Refusal::Failed(Failure::Cancelled)),
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
            target: OnceLock::new(),
            began: Instant::now(),
            host: self.host.clone(),
            audit: Arc::clone(&self.audit),
        }
    }

    /// Waits for a place among those that run. Those who wait are counted: one too many is told to come back.
    async fn place(&self, tool: &Entry, caller: &Caller) -> Result<Place, Failure> {
        if tool.searches {
            self.searches.buckets.take(&caller.id, self.limits().searches)?;
            return self.place_in(&self.searches.places, caller).await;
        }
        self.place_in(&self.places(), caller).await
    }

    async fn place_in(&self, places: &Places, caller: &Caller) -> Result<Place, Failure> {
        const BUSY: Failure = Failure::Busy("the server has as much to do as it takes on", 1);
        if let Some(place) = places.try_take(caller, 0) {
            return Ok(place);
        }
        let _counted = Counted::enter(&self.waiting, self.limits().waiting).ok_or(BUSY)?;
        places.take(caller).await.ok_or(BUSY)
    }
}

/// For calls that take long: places of their own, so that they do not keep others from looking, and how often a caller may have one.
#[derive(Debug)]
struct Lane {
    places: Places,
    buckets: Buckets,
}

impl Lane {
    fn new(at_once: usize, too_often: &'static str) -> Self {
        Self { places: Places::new(at_once, PARTS_OF_FEW), buckets: Buckets::new(too_often) }
    }
}

/// A call as the log knows it.
struct Asked {
    tool: String,
    caller: Arc<Caller>,
    peer: Option<IpAddr>,
    client: Option<(String, String)>,
    request: Option<RequestId>,
    args: Option<JsonObject>,
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
            target: self.target.get().map(String::as_str),
            outcome: Some(Outcome::Ok),
            ms: Some(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)),
            ..Record::new(self.host.machine().kernel.wall(), Decision::Allowed)
        }
    }

    /// Puts on disk that `target` is about to be changed.
    async fn attempt(&self, target: String) -> Result<(), Failure> {
        let _ = self.target.set(target);
        let record = Record { outcome: None, ms: None, ..self.record() };
        self.audit.attempt(&record).await.map_err(|error| unaudited(&error))
    }

    /// Puts on record how it ended. What is not on record is not answered.
    async fn conclude(&self, result: Result<Arc<Answer>, Failure>) -> Result<Arc<Answer>, Refusal> {
        let mut record = self.record();
        match &result {
            Ok(answer) => record.bytes = Some(answer.bytes() as u64),
            Err(failure) => {
                record.outcome = Some(Outcome::Error);
                record.kind = Some(failure.kind());
                if let Failure::Internal(source) = failure {
                    // it may quote what others wrote
                    let error = source.to_string();
                    tracing::error!(tool = self.tool, error = %text::clean(&text::redact_line(&error), 500), "a tool failed");
                }
            }
        }
        let recorded = match &result {
            _ if self.target.get().is_some() => self.audit.outcome(&record).await,
            Ok(_) => self.audit.record(&record).await,
            Err(failure) => self.audit.failed(failure.kind(), &record).await,
        };
        match recorded {
            Ok(()) => result.map_err(Refusal::Failed),
            // whoever thinks that nothing was done would do it again
            Err(error) if self.target.get().is_some() && !matches!(result, Err(Failure::Unaudited)) => {
                tracing::error!(%error, tool = self.tool, "what came of a call that acted could not be put on record");
                Err(Refusal::Failed(Failure::Unrecorded))
            }
            Err(error) => Err(Refusal::Failed(unaudited(&error))),
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

/// One of a bounded number, counted until dropped, however that comes about.
pub(crate) struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    /// One more, unless there are as many as there may be.
    pub(crate) fn enter(count: &'a AtomicUsize, most: usize) -> Option<Self> {
        let before = count.fetch_add(1, Ordering::Relaxed);
        let one = Self(count);
        (before < most).then_some(one)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
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
    text::redact_value(&mut kept);
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
