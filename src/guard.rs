//! docker-guard: the Engine's socket for those who may not have it. What passes is what this program asks, and `docker ps`; nothing else.
//!
//! A connection has one request. Its [`Head`] is read byte for byte, held to the one [`table`], and the request that goes to the Engine is
//! made anew from what the table knows of it: no byte of the caller's is passed on, no field, no version, no spelling. A body is there only
//! where the table has one, and is judged (`judge`) by [`engine::policy`]. The answer is passed on as it comes, no
//! faster than it is read.

mod answer;
mod head;
mod judge;
mod pull;
mod request;
pub mod table;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use serde_json::{Map, Value};
use tokio::{
    io::{AsyncReadExt, Interest},
    net::{UnixListener, UnixStream, unix::OwnedReadHalf},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use head::Head;
pub use request::Call;

use crate::audit::{Audit, Decision, Outcome, Phase, Record};
use answer::Writer;
use engine::{registries::Registries, transport};
use lanes::bucket::Buckets;
use table::Body;

/// Connections at a time.
const MOST: usize = 128;

/// Requests that change something, of one user within a minute. The server's tools make a few for each call, and a hundred to prune.
const ACTS: u32 = 600;

/// How long a head, and then a body, may take to come.
const COMES_WITHIN: Duration = Duration::from_secs(10);

/// How long those in flight have when the guard ends.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// How long those that were not done by then have for putting their results on record.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// The status on record when the caller had gone before there was one.
const GONE: u16 = 499;

/// And when the guard ended before there was one.
const ENDED: u16 = 503;

/// How often is looked whether who says nothing more is still there.
const LOOKED_EVERY: Duration = Duration::from_millis(100);

/// What the operator says of the guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The Engine's own socket.
    pub docker: PathBuf,
    /// Whether only what reads passes.
    pub read_only: bool,
    /// The directories of the machine that a new container may be given, each by itself and nothing below it.
    pub binds: Vec<PathBuf>,
    /// The registries that images may be pulled from.
    pub registries: Registries,
    /// Whether a container that may do more than a new one may is replaced at all.
    pub update_privileged: bool,
    /// The container that the guard runs in itself, which nobody acts on through it.
    pub own: Option<String>,
}

impl Settings {
    /// Why this request, which is on the table, does not pass here.
    fn refused(&self, call: &Call) -> Option<&'static str> {
        if !call.row.acts() {
            return None;
        }
        if self.read_only {
            return Some("this docker-guard lets nothing through that changes anything");
        }
        let is_own =
            call.row.path.starts_with("/containers/{id}") && call.subject.is_some() && call.subject == self.own;
        is_own.then_some("this is the container that docker-guard runs in itself: it is not acted on from within")
    }
}

/// The guard.
#[derive(Debug)]
pub struct Guard {
    settings: Settings,
    audit: Arc<Audit>,
    judging: judge::Judging,
    acts: Buckets,
}

/// Why a request is not passed on.
#[derive(Debug)]
struct Refusal {
    status: u16,
    why: String,
}

impl Refusal {
    fn new(status: u16, why: impl Into<String>) -> Self {
        Self { status, why: why.into() }
    }

    /// It is not to be.
    fn forbidden(why: impl Into<String>) -> Self {
        Self::new(403, why)
    }
}

/// Whom a request is from, and when.
struct Asker {
    uid: Option<u32>,
    began: Instant,
}

impl Guard {
    /// A guard before the Engine that `settings` name.
    pub fn new(settings: Settings, audit: Arc<Audit>) -> Self {
        let acts = Buckets::new("requests through docker-guard that change something");
        Self { settings, audit, judging: judge::Judging::new(), acts }
    }

    /// Answers until `stop`; then lets those in flight end, for five seconds at most, and puts on record how far they came.
    pub async fn serve(self: Arc<Self>, listener: UnixListener, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(MOST));
        let tasks = TaskTracker::new();
        let late = CancellationToken::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    // the error stays until something is closed: do not spin on it
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            };
            let guard = Arc::clone(&self);
            match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => {
                    let (stop, late) = (stop.clone(), late.clone());
                    drop(tasks.spawn(async move {
                        guard.connection(stream, &stop, &late).await;
                        drop(place);
                    }));
                }
                Err(_) => {
                    let busy = Refusal::new(503, "docker-guard takes no more connections: too many are open");
                    let _ = stream.try_write(&answer::refusal(&busy));
                }
            }
        }
        tasks.close();
        if timeout(ENDS_WITHIN, tasks.wait()).await.is_err() {
            late.cancel();
            let _ = timeout(TOLD_WITHIN, tasks.wait()).await;
        }
    }

    /// One request and its answer. What goes on while things happen ends with `stop`, all else with `late`.
    async fn connection(&self, mut stream: UnixStream, stop: &CancellationToken, late: &CancellationToken) {
        let uid = stream.peer_cred().ok().map(|peer| peer.uid());
        let asker = Asker { uid, began: Instant::now() };
        let Ok(Ok(Some((mut bytes, end)))) = timeout(COMES_WITHIN, head::read(&mut stream)).await else { return };
        let rest = bytes.split_off(end);
        let (mut reader, writer) = stream.into_split();
        let mut writer = Writer::new(writer);
        let asked = self.asked(&bytes, &asker);
        let refusal = match asked {
            Ok((head, call)) => {
                let stop = if call.row.streams { stop } else { late };
                let passed = self.pass(&call, &head, rest, (&mut reader, &mut writer), &asker, stop);
                passed.await.err()
            }
            Err(refusal) => Some(refusal),
        };
        if let Some(refusal) = refusal {
            let _ = writer.all(&answer::refusal(&refusal)).await;
        }
        // what still comes is read, or it would take the answer with it
        writer.end(&mut reader).await;
    }

    /// What is asked, if it is anything that passes.
    fn asked(&self, bytes: &[u8], asker: &Asker) -> Result<(Head, Call), Refusal> {
        let head = Head::parse(bytes).map_err(|why| {
            self.refused(asker, None, None, "malformed", why);
            Refusal::new(400, format!("docker-guard takes no such request: {why}"))
        })?;
        let call = Call::of(&head.method, &head.target).and_then(|call| {
            if let Some(why) = self.settings.refused(&call) {
                return Err(why.to_owned());
            }
            if call.row.body == Body::None && head.length > 0 {
                return Err("this request has no body".to_owned());
            }
            Ok(call)
        });
        match call {
            Ok(call) => Ok((head, call)),
            Err(why) => {
                self.refused(asker, Some(&head), None, "forbidden", &why);
                Err(Refusal::forbidden(format!("docker-guard: {why}")))
            }
        }
    }

    /// Passes the request on and its answer back. An error before the answer has begun is for the caller.
    async fn pass(
        &self,
        call: &Call,
        head: &Head,
        rest: Vec<u8>,
        (reader, writer): (&mut OwnedReadHalf, &mut Writer),
        asker: &Asker,
        stop: &CancellationToken,
    ) -> Result<(), Refusal> {
        let body = body(head.length, rest, reader).await?;
        if let Err(refusal) = self.check_rate(call, asker) {
            self.refused(asker, Some(head), Some(call), "busy", &refusal.why);
            return Err(refusal);
        }
        let judged = tokio::select! {
            judged = self.judged(call, &body) => judged,
            // nothing has been attempted
            () = gone(reader) => return Ok(()),
            () = stop.cancelled() => Err(Refusal::new(ENDED, "docker-guard ends")),
        };
        let body = match judged {
            Ok(body) => body,
            Err(refusal) => {
                let kind = if refusal.status == 403 { "forbidden" } else { "away" };
                self.refused(asker, Some(head), Some(call), kind, &refusal.why);
                return Err(refusal);
            }
        };
        let Some(answer) = self.attempted(call, body, reader, asker, stop).await? else { return Ok(()) };
        tokio::select! {
            () = writer.answer(answer, call) => (),
            () = gone(reader) => (),
            () = stop.cancelled() => (),
        }
        Ok(())
    }

    /// Refuses what changes something, if its user does so too often: each is two records on disk, and the oldest are dropped for the newest.
    fn check_rate(&self, call: &Call, asker: &Asker) -> Result<(), Refusal> {
        if !call.row.acts() {
            return Ok(());
        }
        let user = asker.uid.map_or(String::new(), |uid| uid.to_string());
        self.acts.take(&user, ACTS).map_err(|failure| Refusal::new(429, failure.to_string()))
    }

    /// Asks the Engine, with an attempt on record before it and one result behind it. `None` if the caller has gone meanwhile.
    async fn attempted(
        &self,
        call: &Call,
        body: Vec<u8>,
        reader: &mut OwnedReadHalf,
        asker: &Asker,
        stop: &CancellationToken,
    ) -> Result<Option<http::Response<answer::Body>>, Refusal> {
        self.attempt(call, asker).await?;
        let answer = tokio::select! {
            answer = self.ask(call, body) => answer.map(Some),
            // nobody waits for it any more, and the Engine is told so as it would be without a guard
            () = gone(reader) => Ok(None),
            () = stop.cancelled() => Err(Refusal::new(ENDED, "docker-guard ends")),
        };
        let status = match &answer {
            Ok(Some(answer)) => answer.status().as_u16(),
            Ok(None) => GONE,
            Err(refusal) => refusal.status,
        };
        self.result(call, asker, status).await;
        answer
    }

    /// Asks the Engine.
    async fn ask(&self, call: &Call, body: Vec<u8>) -> Result<http::Response<answer::Body>, Refusal> {
        let mut request = Request::builder().method(call.row.method).uri(call.target());
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Refusal::new(500, format!("docker-guard made no request of it: {error}")))?;
        let socket = &self.settings.docker;
        match timeout(call.row.patience, transport::send(socket, request, u64::MAX)).await {
            Ok(Ok(answer)) if answer.status().is_informational() => {
                Err(Refusal::new(502, "the Engine would change the protocol, which docker-guard does not"))
            }
            Ok(Ok(answer)) => self.answered(call, answer).await,
            Ok(Err(transport::Error::Connect(error))) => {
                Err(Refusal::new(502, format!("the Docker Engine at {} cannot be asked: {error}", socket.display())))
            }
            Ok(Err(transport::Error::Broke(error))) => {
                tracing::debug!(%error, "the Engine broke off");
                Err(Refusal::new(502, format!("the Docker Engine at {} broke off", socket.display())))
            }
            Err(_) => {
                let seconds = call.row.patience.as_secs();
                let socket = socket.display();
                Err(Refusal::new(504, format!("the Docker Engine at {socket} has not answered for {seconds} s")))
            }
        }
    }

    /// Puts a refusal on record, or counts it.
    fn refused(&self, asker: &Asker, head: Option<&Head>, call: Option<&Call>, kind: &'static str, why: &str) {
        let mut args = arguments(call, asker);
        if let Some(head) = head {
            args.insert("request".to_owned(), format!("{} {}", head.method, head.target).into());
        }
        args.insert("why".to_owned(), why.into());
        let record = Record::new(SystemTime::now(), Decision::Denied);
        self.audit.denied(kind, &Record { args: Some(&args), tool: call.map(|call| call.row.path), ..record });
    }

    /// Puts on record what is about to be changed. What is not on record is not passed on.
    async fn attempt(&self, call: &Call, asker: &Asker) -> Result<(), Refusal> {
        if !call.row.acts() {
            return Ok(());
        }
        let args = arguments(Some(call), asker);
        self.audit.attempt(&record(call, &args)).await.map_err(|error| {
            tracing::error!(%error, "an attempt could not be put on record");
            Refusal::new(503, "docker-guard cannot write its audit log, so nothing that changes anything passes")
        })
    }

    /// And what came of it.
    async fn result(&self, call: &Call, asker: &Asker, status: u16) {
        if !call.row.acts() {
            return;
        }
        let mut args = arguments(Some(call), asker);
        args.insert("status".to_owned(), status.into());
        let outcome = if status < 400 { Outcome::Ok } else { Outcome::Error };
        let ms = u64::try_from(asker.began.elapsed().as_millis()).ok();
        let record = Record { phase: Phase::Result, outcome: Some(outcome), ms, ..record(call, &args) };
        if let Err(error) = self.audit.outcome(&record).await {
            tracing::error!(%error, "a result could not be put on record");
        }
    }
}

fn record<'a>(call: &'a Call, args: &'a Map<String, Value>) -> Record<'a> {
    let target = call.subject.as_deref().or_else(|| call.value("name")).or_else(|| call.value("fromImage"));
    Record { tool: Some(call.row.path), args: Some(args), target, ..Record::new(SystemTime::now(), Decision::Allowed) }
}

/// What is written down of a request: nothing of its body.
fn arguments(call: Option<&Call>, asker: &Asker) -> Map<String, Value> {
    let mut args = Map::new();
    args.extend(asker.uid.map(|uid| ("uid".to_owned(), uid.into())));
    if let Some(call) = call {
        args.insert("method".to_owned(), call.row.method.into());
        args.extend(call.query.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())));
    }
    args
}

/// The body: as long as was said, part of it come already. What comes behind it is nobody's.
async fn body(length: u64, mut rest: Vec<u8>, reader: &mut OwnedReadHalf) -> Result<Vec<u8>, Refusal> {
    let length = usize::try_from(length).map_err(|_| Refusal::forbidden("docker-guard: the body is too long"))?;
    let missing = length.saturating_sub(rest.len());
    rest.truncate(length);
    let mut reader = reader.take(missing as u64);
    match timeout(COMES_WITHIN, reader.read_to_end(&mut rest)).await {
        Ok(Ok(_)) if rest.len() == length => Ok(rest),
        _ => Err(Refusal::new(400, "docker-guard: the body is not all there")),
    }
}

/// Ends when the other side has gone: not when it only says nothing more. What it sends meanwhile is nobody's, and not much of it is taken.
async fn gone(reader: &mut OwnedReadHalf) {
    let mut taken = 0;
    let mut bytes = [0; 1024];
    while taken < head::LONGEST {
        match reader.read(&mut bytes).await {
            Err(_) => return,
            Ok(read @ 1..) => taken += read,
            Ok(0) => match reader.ready(Interest::WRITABLE | Interest::READABLE).await {
                Ok(ready) if !ready.is_write_closed() => tokio::time::sleep(LOOKED_EVERY).await,
                _ => return,
            },
        }
    }
}

#[cfg(test)]
mod tests;
