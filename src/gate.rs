//! The one path of every call: find → scope → limits → run → shape → audit, once, for every tool, over HTTP and stdio alike.
//!
//! No answer leaves except through [`Gate::call`]: nothing unscoped, unbounded, unsanitized or unaudited.

mod shape;
mod share;

use std::{
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
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use shape::Answer;

use crate::{
    audit::{Audit, Client, Decision, Outcome, Record, RequestId},
    auth::Caller,
    failure::Failure,
    host::Host,
    tool::{Entry, Turn},
};

/// How much may be asked for at once, and how long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls that run at the same time.
    pub running: usize,
    /// Calls that may wait for their turn; one more is refused.
    pub waiting: usize,
    /// How long a call may wait and run together.
    pub deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { running: 64, waiting: 2048, deadline: Duration::from_secs(30) }
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
    places: RwLock<Arc<Semaphore>>,
    waiting: AtomicUsize,
    shared: share::Shared,
    /// What `tools/list` says of each tool, made when it is first asked for: schemas are slow to make, and the same for all.
    described: OnceLock<Vec<rmcp::model::Tool>>,
}

impl Gate {
    /// The gate before `tools` on `host`.
    pub fn new(tools: &'static [Entry], host: Host, audit: Arc<Audit>, limits: Limits) -> Self {
        Self {
            tools,
            host,
            audit,
            places: RwLock::new(Arc::new(Semaphore::new(limits.running))),
            limits: RwLock::new(limits),
            waiting: AtomicUsize::new(0),
            shared: share::Shared::default(),
            described: OnceLock::new(),
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
            let places = Arc::new(Semaphore::new(limits.running));
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

    /// What `tools/list` says of the tools that `caller` may call.
    pub fn describe(&self, caller: &Caller) -> Vec<rmcp::model::Tool> {
        let described = self.described.get_or_init(|| self.tools.iter().map(Entry::describe).collect());
        let visible = self.tools.iter().zip(described).filter(|(tool, _)| caller.scopes.contain(tool.scope));
        visible.map(|(_, described)| described.clone()).collect()
    }

    /// Makes one call. `cancelled` ends a reading one early.
    pub async fn call(&self, call: Call<'_>, cancelled: impl Future<Output = ()>) -> Result<Arc<Answer>, Refusal> {
        let began = Instant::now();
        let found = self.visible(call.caller).find(|tool| tool.name == call.tool);
        let Some(tool) = found else {
            let kind = Some("no_such_tool");
            let record = Record { decision: Decision::Denied, outcome: None, kind, ..self.record(&call, None, began) };
            let recorded = self.audit.record(&record).await;
            return Err(recorded.map_or_else(|error| Refusal::Failed(unaudited(&error)), |()| Refusal::NoSuchTool));
        };
        let audited = allowed(&call.arguments, tool.audited);
        let result = {
            let work = AssertUnwindSafe(self.run(tool, &call)).catch_unwind();
            tokio::select! {
                result = tokio::time::timeout(self.limits().deadline, work) => match result {
                    Ok(Ok(result)) => result,
                    Ok(Err(panic)) => Err(Failure::internal(panic_message(&*panic))),
                    Err(_) => Err(Failure::TimedOut(format!("{} (limit {} s)", tool.name, self.limits().deadline.as_secs()))),
                },
                () = cancelled => Err(Failure::Cancelled),
            }
        };
        let mut record = self.record(&call, audited.as_ref(), began);
        match &result {
            Ok(answer) => record.bytes = Some(answer.bytes() as u64),
            Err(failure) => {
                record.outcome = Some(Outcome::Error);
                record.kind = Some(failure.kind());
                if let Failure::Internal(source) = failure {
                    tracing::error!(tool = tool.name, error = %source, "a tool failed");
                }
            }
        }
        if let Err(error) = self.audit.record(&record).await {
            return Err(Refusal::Failed(unaudited(&error)));
        }
        result.map_err(Refusal::Failed)
    }

    async fn run(&self, tool: &'static Entry, call: &Call<'_>) -> Result<Arc<Answer>, Failure> {
        if !tool.shared {
            return self.answer(tool, call).await.map(Arc::new);
        }
        let Some(key) = share::Key::new(tool.name, &call.arguments) else {
            return self.answer(tool, call).await.map(Arc::new);
        };
        self.shared.get(key, || self.answer(tool, call)).await
    }

    async fn answer(&self, tool: &'static Entry, call: &Call<'_>) -> Result<Answer, Failure> {
        let turn = Turn::new(self.host.clone(), Arc::clone(call.caller), self.place().await?);
        let report = tool.run(&turn, call.arguments.clone()).await?;
        shape::shape(tool, &self.host, report)
    }

    fn record<'a>(&self, call: &'a Call<'_>, args: Option<&'a JsonObject>, began: Instant) -> Record<'a> {
        Record {
            request: call.request.as_ref(),
            caller: Some(call.caller),
            peer: call.peer,
            client: call.client,
            tool: Some(call.tool),
            args,
            outcome: Some(Outcome::Ok),
            ms: Some(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)),
            ..Record::new(self.host.machine().kernel.wall(), Decision::Allowed)
        }
    }

    /// Waits for a place among those that run. Those who wait are counted: one too many is told to come back.
    async fn place(&self) -> Result<OwnedSemaphorePermit, Failure> {
        const BUSY: Failure = Failure::Busy("the server has as much to do as it takes on", 1);
        let places = Arc::clone(&self.places.read().unwrap_or_else(PoisonError::into_inner));
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            return Ok(place);
        }
        let _counted = Counted::enter(&self.waiting, self.limits().waiting).ok_or(BUSY)?;
        places.acquire_owned().await.map_err(|_| BUSY)
    }
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
    (!kept.is_empty()).then_some(kept)
}

fn unaudited(error: &crate::audit::AuditError) -> Failure {
    tracing::error!(%error, "a call was refused because it could not be put on record");
    Failure::Unaudited
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", words.unwrap_or("without words"))
}
