//! The Docker Engine, or Podman's service in its stead, over its socket.
//!
//! Three things are ours: the way there (`transport`: one connection a request, held to a time and a size), what is read of the answers
//! ([`model`]: a word that a newer or another engine says differently costs one figure and not the whole list), and who may act on what
//! ([`allow`]). What remains, bollard does over the same transport: it knows the API's requests and streams.
//!
//! A container is named once, found once ([`Docker::find`]) and then called by its full id, so that what was checked is what is acted
//! on, and no name ever stands in a path.

pub mod allow;
mod beyond;
pub mod create;
pub mod detail;
mod glance;
mod hold;
pub mod image;
pub mod journal;
pub mod log;
pub mod model;
pub mod own;
pub mod policy;
pub mod presence;
pub mod pull;
pub mod registries;
pub mod replace;
mod socket;
pub mod stats;
mod stream;
pub mod transport;
pub mod update;
pub mod usage;
pub mod volume;
mod wait;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout_at},
};

pub use hold::Hold;
pub use pull::Pulled;
pub use socket::Socket;
pub use wait::Health;
pub use wait::late;

use allow::{Allow, Rules};
use detail::{Detail, Image};
use kernel::failure::Failure;
use model::{Inspect, Mount, SHORT, Summary};
use registries::Registries;
use rights::{
    grant::Reach,
    scope::{Action, Scope},
};
use stats::{Stats, Usage};
use transport::ENDLESS;

/// How long the Engine has for an answer that it only has to look up.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long many containers together may take to be looked up one by one. What is not there by then stays unknown.
const ALL_WITHIN: Duration = Duration::from_secs(8);

/// Containers that are looked up at the same time, by all calls together: each takes an open file here and some work there.
const ABREAST: usize = 48;

/// The time between the two readings that rates are made from. Counters are exact to the microsecond, and containers' work comes in gusts.
const WINDOW: Duration = Duration::from_millis(500);

/// The longest answer that is read, in bytes: ten thousand containers take about 15 MiB.
const LARGEST: u64 = 32 << 20;

/// The longest head of an answer, in bytes.
const HEAD: u64 = 1 << 20;

/// Answers longer than this are read two at a time: many callers may ask at once, and each such answer takes memory.
const LONG: usize = 1 << 20;

/// Objects and fields in the longest answer that is made sense of: what is small on the wire may be large in memory.
const MOST_VALUES: usize = 1_000_000;

/// The longest that the Engine is quoted, in characters.
const QUOTED: usize = 1000;

/// How much is read of what the Engine says of a failure.
const LONGEST_WORDS: usize = 64 << 10;

/// The API version that bollard writes down; requests go out without one, so that the Engine answers in its newest form.
const VERSION: &bollard::ClientVersion = &bollard::ClientVersion { major_version: 1, minor_version: 41 };

/// What the operator says of Docker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens.
    pub socket: Socket,
    /// Which containers may be seen and acted on.
    pub allow: Rules,
    /// The directories of the machine that a new container may be given, each by itself and nothing below it. None by default.
    pub binds: Vec<PathBuf>,
    /// The registries that images may be pulled from.
    pub registries: Registries,
    /// Whether a container that may do more than a new one may ([`policy::check_successor`]) is updated at all. The maker of its image
    /// has its rights.
    pub update_privileged: bool,
    /// The container that this program runs in itself, which nobody may act on.
    pub own: Option<String>,
    /// Where the journal of updates is kept; without, there are none.
    pub state: Option<PathBuf>,
}

/// The Engine. Nothing is connected until something is asked.
#[derive(Clone, Debug)]
pub struct Docker {
    settings: Arc<Settings>,
    /// Which containers are reached through this.
    allow: Arc<Allow>,
    /// Places for long answers.
    long: Arc<Semaphore>,
    /// Places for what is looked up for many containers at once.
    abreast: Arc<Semaphore>,
    /// Held by whoever has the Engine count what takes the disk: it does so once at a time, and refuses whoever comes second.
    counting: Arc<Mutex<()>>,
    held: hold::Held,
    pulse: glance::Pulse,
}

impl Docker {
    /// The Engine that `settings` name.
    pub fn new(settings: Settings) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        let (long, abreast) = (places(2), places(ABREAST));
        let (allow, counting) = (Arc::new(settings.allow.clone().into()), Arc::default());
        Self {
            settings: Arc::new(settings),
            allow,
            long,
            abreast,
            counting,
            held: hold::Held::default(),
            pulse: glance::Pulse::default(),
        }
    }

    /// The same under other settings. Who holds a container still holds it.
    pub fn under(&self, settings: Settings) -> Self {
        let new = Self::new(settings);
        // places, and what is held, are of the machine
        let Self { long, abreast, counting, held, .. } = self.clone();
        Self { long, abreast, counting, held, ..new }
    }

    /// No Engine: for a recorded machine, which has none to ask.
    pub fn none() -> Self {
        Self::new(Settings { socket: Socket::None, ..Settings::default() })
    }

    /// What the operator says of it.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The same Engine, as far as the grants of a caller reach.
    pub fn within(&self, reach: Reach) -> Self {
        Self { allow: Arc::new(self.allow.within(reach)), ..self.clone() }
    }

    /// Which containers are reached.
    pub fn allow(&self) -> &Allow {
        &self.allow
    }

    /// Whether there is a socket to ask at all. One that is there and does not answer is there.
    pub fn is_there(&self) -> bool {
        self.settings.socket.path().is_ok_and(|path| rustix::fs::stat(&path).is_ok())
    }

    /// Asks `path` (with its query, percent-encoded), and reads the answer.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.get_within(path, PATIENCE).await
    }

    /// The same, with another time limit: for what the Engine has to work out.
    pub async fn get_within<T: DeserializeOwned>(&self, path: &str, patience: Duration) -> Result<T, Failure> {
        let body = self.ask(Method::GET, path, None, patience).await?.into_body();
        if body.iter().filter(|byte| matches!(byte, b'{' | b'[' | b',')).count() > MOST_VALUES {
            return Err(self.too_long(path));
        }
        serde_json::from_slice(&body).map_err(|error| self.garbage(path, &error))
    }

    /// Asks `path`, and gives the answer as it comes: for what may be longer than is ever held at once. `patience` is for its beginning;
    /// whoever drops it ends the request.
    pub async fn stream(&self, path: &str, patience: Duration) -> Result<Stream, Failure> {
        let request = Request::get(path).body(Full::<Bytes>::default());
        let request = request.map_err(|error| Failure::Internal(error.into()))?;
        let beginning = async {
            let answer = self.send(request, u64::MAX).await?;
            if answer.status().is_success() {
                let is_podman = answer.headers().contains_key("libpod-api-version");
                return Ok(Stream { docker: self.clone(), body: answer.into_body(), is_podman });
            }
            let status = answer.status();
            let words = Limited::new(answer.into_body(), LONGEST_WORDS).collect().await;
            let words = words.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let words = serde_json::from_slice::<Said>(&words).map(|said| said.message).unwrap_or_default();
            Err(refused(status, "do it", &self.allow.without_others(&words)))
        };
        match tokio::time::timeout(patience, beginning).await {
            Ok(stream) => stream,
            Err(_) => Err(Failure::TimedOut(format!("the Docker Engine at {}", self.settings.socket))),
        }
    }

    /// Sends `body` to `path`, and gives the answer's bytes.
    pub async fn post(&self, path: &str, body: Option<Vec<u8>>, patience: Duration) -> Result<Bytes, Failure> {
        Ok(self.ask(Method::POST, path, body, patience).await?.into_body())
    }

    /// Deletes what `path` names, and gives the answer's bytes.
    pub async fn delete(&self, path: &str, patience: Duration) -> Result<Bytes, Failure> {
        Ok(self.ask(Method::DELETE, path, None, patience).await?.into_body())
    }

    /// bollard, over the same way there. `patience` is for the beginning of each answer; streams go on.
    pub fn api(&self, patience: Duration) -> Result<bollard::Docker, Failure> {
        let docker = self.clone();
        let transport = move |request: bollard::BollardRequest| {
            let docker = docker.clone();
            async move {
                let (mut parts, body) = request.into_parts();
                parts.uri = unversioned(&parts.uri);
                // bollard reads what is no stream without an end
                let largest = if is_stream(parts.uri.path()) { ENDLESS } else { LARGEST + HEAD };
                let answer = docker.send(Request::from_parts(parts, body), largest).await;
                answer.map_err(|failure| bollard::errors::Error::IOError { err: std::io::Error::other(failure) })
            }
        };
        // no host, so that every path is the one that was meant
        bollard::Docker::connect_with_custom_transport(transport, Some("http://docker"), patience.as_secs(), VERSION)
            .map_err(|error| Failure::Internal(error.into()))
    }

    /// What an error of bollard's means to a caller; `doing` says what was tried: `read the log of web`.
    pub fn failed(&self, doing: &str, error: bollard::errors::Error) -> Failure {
        use bollard::errors::Error;
        match error {
            Error::DockerResponseServerError { status_code, message } => {
                let status = StatusCode::from_u16(status_code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                refused(status, doing, &self.allow.without_others(&message))
            }
            Error::RequestTimeoutError => {
                Failure::TimedOut(format!("the Docker Engine, asked to {doing} (look what became of it),"))
            }
            Error::DockerStreamError { error } => {
                Failure::Refused(format!("Docker could not {doing}: {}", self.allow.without_others(&error)))
            }
            Error::IOError { err } => match err.downcast::<Failure>() {
                Ok(failure) => failure,
                Err(error) => self.broke(doing, &error),
            },
            other => self.broke(doing, &other),
        }
    }

    /// Every container that this server may see, whatever its state, in the Engine's order: the youngest first.
    pub async fn containers(&self) -> Result<Vec<Summary>, Failure> {
        let all = self.all_containers().await?;
        Ok(all.into_iter().filter(|one| self.allow.sees(one)).collect())
    }

    /// Every container there is, also those that may not be seen: to know what an image, a volume or a network is used by. Never for an
    /// answer.
    pub async fn all_containers(&self) -> Result<Vec<Summary>, Failure> {
        const PATH: &str = "/containers/json?all=1";
        match self.get(PATH).await {
            // Podman's list fails as a whole when one of its containers goes meanwhile
            Err(Failure::Refused(_)) => self.get(PATH).await,
            listed => listed,
        }
    }

    /// The one container that `name` means: its name, its full id or the twelve digits that are shown; if `action` of `scope` may be done to
    /// it. For a scope that only reads also any other beginning of one id.
    pub async fn find(&self, name: &str, scope: Scope, action: Option<Action>) -> Result<Summary, Failure> {
        let all = self.all_containers().await?;
        let own = all.iter().find(|one| self.settings.own.as_ref() == Some(&one.id)).cloned();
        let seen = all.into_iter().filter(|one| self.allow.sees(one)).collect();
        let found = one_of(seen, name, scope.is_read_only())?;
        self.allow.check(scope, action, &found)?;
        let Some(own) = own.filter(|_| !scope.is_read_only()) else { return Ok(found) };
        let name = found.name();
        if found.id == own.id {
            let why =
                format!("{name} is the container that this server runs in itself: it is not acted on from within");
            return Err(Failure::Forbidden(why));
        }
        let both = self.with_mounts(vec![found.clone(), own]).await?;
        let [with, own] = &both[..] else { return Ok(found) };
        if self.settings.socket.path().is_ok_and(|socket| makes_socket(with, own, &socket)) {
            let why = format!(
                "{name} has the socket by which this server reaches Docker, as docker-guard does: it is not acted on from here"
            );
            return Err(Failure::Forbidden(why));
        }
        Ok(found)
    }

    /// All there is to know of the container with this full id.
    pub async fn inspect(&self, id: &str) -> Result<Inspect, Failure> {
        self.get(&format!("/containers/{id}/json")).await
    }

    /// The same to be shown, of the container with this full id.
    pub async fn detail(&self, id: &str) -> Result<Detail, Failure> {
        self.get(&format!("/containers/{id}/json")).await
    }

    /// The image with this full id.
    pub async fn image(&self, id: &str) -> Result<Image, Failure> {
        let known = model::digits(id);
        if known.is_empty() || !known.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Failure::NotFound("the image".to_owned()));
        }
        self.get(&format!("/images/{id}/json")).await
    }

    /// All of these at once. `None`: gone meanwhile, or not answered in time.
    pub async fn inspect_all(&self, ids: &[&str]) -> Vec<Option<Inspect>> {
        self.inspect_within(ids, ALL_WITHIN).await
    }

    /// The same, in this time.
    pub async fn inspect_within(&self, ids: &[&str], within: Duration) -> Vec<Option<Inspect>> {
        let until = Instant::now() + within;
        join_all(ids.iter().map(|id| self.one(until, self.inspect(id)))).await
    }

    /// What each of these used in the last half second, asked of all at once. `None`: gone meanwhile, or not answered in time; without rates
    /// if only its first reading was.
    pub async fn usage(&self, ids: &[&str]) -> Vec<Option<Usage>> {
        let until = Instant::now() + ALL_WITHIN;
        let usage = async |id: &str| {
            let earlier = self.one(until, self.stats(id)).await?;
            sleep(WINDOW).await;
            // an Engine with too much to do tells at least what is held
            let now = self.one(until, self.stats(id)).await.unwrap_or_else(|| earlier.clone());
            Some(Usage::between(&earlier, &now))
        };
        join_all(ids.iter().map(|id| usage(id))).await
    }

    /// One of many.
    async fn one<T>(&self, until: Instant, answer: impl Future<Output = Result<T, Failure>>) -> Option<T> {
        let work = async {
            let _place = self.abreast.acquire().await.ok()?;
            answer.await.inspect_err(|failure| tracing::debug!(%failure, "one of many containers is not known")).ok()
        };
        timeout_at(until, work).await.ok().flatten()
    }

    async fn stats(&self, id: &str) -> Result<Stats, Failure> {
        self.get(&format!("/containers/{id}/stats?stream=false&one-shot=1")).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        patience: Duration,
    ) -> Result<Response<Bytes>, Failure> {
        let mut request = Request::builder().method(method).uri(path);
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = Full::new(Bytes::from(body.unwrap_or_default()));
        let request = request.body(body).map_err(|error| Failure::Internal(error.into()))?;
        let work = async {
            let (head, body) = self.send(request, LARGEST + HEAD).await?.into_parts();
            Ok::<_, Failure>(Response::from_parts(head, self.collect(path, body).await?))
        };
        let answer = match tokio::time::timeout(patience, work).await {
            Ok(result) => result?,
            Err(_) => return Err(self.late()),
        };
        let status = answer.status();
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return Ok(answer);
        }
        match serde_json::from_slice::<Said>(answer.body()) {
            Ok(said) if !said.message.is_empty() => {
                Err(refused(status, "do it", &self.allow.without_others(&said.message)))
            }
            // what guards a socket need not speak as an Engine does
            _ if status == StatusCode::FORBIDDEN => Err(refused(status, "do it", "it does not say why")),
            _ => Err(self.no_engine()),
        }
    }

    /// The whole body, if it is none of those that make no sense.
    async fn collect(&self, path: &str, mut body: Incoming) -> Result<Bytes, Failure> {
        if body.size_hint().lower() > LARGEST {
            return Err(self.too_long(path));
        }
        let mut all = Whole::default();
        while let Some(frame) = body.frame().await {
            // what is not data is a trailer
            let Ok(data) = frame.map_err(|error| self.broke(path, &error))?.into_data() else { continue };
            let length = all.bytes.len() + data.len();
            if length as u64 > LARGEST {
                return Err(self.too_long(path));
            }
            if length > LONG && all.place.is_none() {
                all.place = self.long.clone().acquire_owned().await.ok();
                // once and for all, and always the same: what grew by and by would leave its smaller selves behind
                all.bytes.reserve_exact(LARGEST as usize - all.bytes.len());
            }
            all.bytes.extend_from_slice(&data);
        }
        Ok(Bytes::from_owner(all))
    }

    async fn send<B>(&self, request: Request<B>, largest: u64) -> Result<Response<Incoming>, Failure>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let path = self.settings.socket.path()?;
        let reads = request.method().is_safe();
        transport::send(&path, request, largest).await.map_err(|error| self.settings.socket.away(&path, &error, reads))
    }

    fn late(&self) -> Failure {
        Failure::TimedOut(format!(
            "the Docker Engine at {} (it may hang, or have too much to do: systemctl status docker)",
            self.settings.socket
        ))
    }

    fn too_long(&self, path: &str) -> Failure {
        tracing::warn!(path, "the Docker Engine's answer is longer than any that makes sense");
        Failure::Away(format!(
            "what listens at {} answers with more than makes sense; look whether it is a Docker Engine",
            self.settings.socket
        ))
    }

    fn broke(&self, doing: &str, error: &dyn std::fmt::Display) -> Failure {
        tracing::debug!(doing, %error, "the Docker Engine broke off");
        Failure::Away(format!(
            "the Docker Engine at {} broke off in the middle of its answer; try again",
            self.settings.socket
        ))
    }

    fn garbage(&self, path: &str, error: &serde_json::Error) -> Failure {
        tracing::warn!(path, line = error.line(), column = error.column(), "the Docker Engine's answer makes no sense");
        self.no_engine()
    }

    fn no_engine(&self) -> Failure {
        let socket = &self.settings.socket;
        Failure::Away(format!("what listens at {socket} does not answer as a Docker Engine does; look what it is"))
    }
}

/// An answer in whole. If it is long, it has its place until nobody needs it any more.
#[derive(Default)]
struct Whole {
    bytes: Vec<u8>,
    place: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// An answer that is read as it comes.
#[derive(Debug)]
pub struct Stream {
    docker: Docker,
    body: Incoming,
    is_podman: bool,
}

impl Stream {
    /// Whether it is Podman that answers.
    pub fn is_podman(&self) -> bool {
        self.is_podman
    }

    /// What has come since; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => return Ok(Some(bytes)),
                    // trailers say nothing
                    Err(_) => continue,
                },
                Some(Err(error)) => return Err(self.docker.broke("a stream", &error)),
            }
        }
    }
}

/// What the Engine says of a failure.
#[derive(Debug, Deserialize)]
struct Said {
    #[serde(default)]
    message: String,
}

/// Whether `other` can make the socket that `own` has by a directory: what has that is docker-guard. The Engine's own socket is mounted as it is,
/// and others who have it do no harm by their end.
fn makes_socket(other: &Summary, own: &Summary, socket: &Path) -> bool {
    let ways = own.told_mounts().filter(|mount| {
        let destination = Path::new(&mount.destination);
        destination != socket && socket.starts_with(destination)
    });
    let way = ways.max_by_key(|mount| mount.destination.len());
    let is_same = |one: &Mount, way: &Mount| one.kind == way.kind && one.name == way.name && one.source == way.source;
    way.is_some_and(|way| other.told_mounts().any(|one| one.writable && is_same(one, way)))
}

/// The one of these that `name` means. What acts takes no beginning of an id (`by_beginning`): names like `db` and `cafe` are such, and
/// one that is gone would be another container.
fn one_of(all: Vec<Summary>, name: &str, by_beginning: bool) -> Result<Summary, Failure> {
    let wanted = name.strip_prefix('/').unwrap_or(name);
    if wanted.is_empty() {
        return Err(Failure::Invalid("name is a container's name or id".to_owned()));
    }
    if let Some(exact) = all.iter().find(|one| one.id == wanted || one.has_name(wanted)) {
        return Ok(exact.clone());
    }
    let begin: Vec<&Summary> = all.iter().filter(|one| one.id.starts_with(wanted)).collect();
    match &begin[..] {
        [] => Err(Failure::NotFound(format!("a container called {name:?}"))),
        _ if !by_beginning && wanted.len() != SHORT => Err(Failure::NotFound(format!(
            "a container called {name:?} (give its name, its full id, or the {SHORT} digits that `containers` shows)"
        ))),
        [one] => Ok((*one).clone()),
        several => {
            let candidates: Vec<_> =
                several.iter().take(10).map(|one| format!("{} ({})", one.name(), one.short_id())).collect();
            Err(Failure::Invalid(format!("{name:?} may be each of {}; say which", candidates.join(", "))))
        }
    }
}

/// Whether bollard reads the answer as it comes; any other it reads whole.
fn is_stream(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    matches!(last, "logs" | "events" | "stats" | "attach" | "archive" | "export" | "get")
        || matches!(path, "/images/create" | "/images/load" | "/build")
        || path.starts_with("/images/") && last == "push"
}

/// What a refusal of the Engine's means to a caller.
fn refused(status: StatusCode, doing: &str, words: &str) -> Failure {
    let words: String = words.chars().take(QUOTED).collect();
    match status {
        StatusCode::FORBIDDEN => {
            Failure::Forbidden(format!("docker-guard, or what guards this socket, does not let it through: {words}"))
        }
        // the Engine says none of these of itself: docker-guard says so when it cannot reach it, or is asked too often
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
            if !words.is_empty() =>
        {
            Failure::Away(format!("docker-guard answers for it: {words}"))
        }
        StatusCode::GATEWAY_TIMEOUT => Failure::TimedOut("the Docker Engine, asked by docker-guard,".to_owned()),
        StatusCode::NOT_FOUND => Failure::Refused(format!("Docker does not have that (any more): {words}")),
        _ => Failure::Refused(format!("Docker would not {doing} ({}): {words}", status.as_u16())),
    }
}

/// The path without the version that bollard puts before it.
fn unversioned(uri: &http::Uri) -> http::Uri {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let after = path.strip_prefix("/v").and_then(|rest| {
        rest.find('/')
            .filter(|at| rest[..*at].bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
            .map(|at| &rest[at..])
    });
    after.unwrap_or(path).parse().unwrap_or_else(|_| uri.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(id: &str, name: &str) -> Summary {
        Summary { id: id.into(), names: vec![format!("/{name}")], ..Summary::default() }
    }

    #[test]
    fn a_name_means_one_container_or_none() {
        let one_of = |all, name| super::one_of(all, name, true);
        let all = || vec![named("abc1", "web"), named("abc2", "abc"), named("def3", "db")];
        assert_eq!(one_of(all(), "web").unwrap().id, "abc1");
        assert_eq!(one_of(all(), "/web").unwrap().id, "abc1");
        assert_eq!(one_of(all(), "de").unwrap().id, "def3");
        // a name goes before the beginning of an id
        assert_eq!(one_of(all(), "abc").unwrap().id, "abc2");
        let why = one_of(all(), "ab").unwrap_err().to_string();
        assert!(why.contains("web (abc1)") && why.contains("abc (abc2)"), "{why}");
        assert!(matches!(one_of(all(), "x"), Err(Failure::NotFound(_))));
        assert!(matches!(one_of(all(), ""), Err(Failure::Invalid(_))));
    }

    #[test]
    fn a_name_that_is_gone_is_not_somebody_elses_id() {
        let id = "db01234567890".to_owned() + &"f".repeat(51);
        let all = || vec![named(&id, "production-postgres"), named(&"cafe".repeat(16), "cafe")];
        let acts_on = |name: &str| one_of(all(), name, false).map(|one| one.name().to_owned());
        for name in ["production-postgres", "/production-postgres", &id, &id[..12]] {
            assert_eq!(acts_on(name).unwrap(), "production-postgres", "{name}");
        }
        assert_eq!(acts_on("cafe").unwrap(), "cafe");
        for name in ["d", "db", "db0", &id[..11], &id[..13], &id[..63], "cafecafe"] {
            let why = acts_on(name).unwrap_err();
            assert!(matches!(&why, Failure::NotFound(_)) && why.to_string().contains("12 digits"), "{name}: {why}");
        }
        assert!(matches!(acts_on("DB0123456789"), Err(Failure::NotFound(_))));
        // what only reads takes any beginning
        assert_eq!(one_of(all(), "db", true).unwrap().id, id);
        // two with the same digits are told apart
        let twins = vec![named(&id, "a"), named(&(id[..12].to_owned() + &"0".repeat(52)), "b")];
        assert!(matches!(one_of(twins, &id[..12], false), Err(Failure::Invalid(_))));
    }

    #[test]
    fn no_name_at_all_does_not_mean_the_only_one_there_is() {
        for name in ["", "/"] {
            assert!(matches!(one_of(vec![named("abc1", "web")], name, true), Err(Failure::Invalid(_))), "{name}");
            assert!(matches!(one_of(vec![named("abc1", "web")], name, false), Err(Failure::Invalid(_))), "{name}");
        }
        assert!(matches!(one_of(vec![named("abc1", "web")], "//", true), Err(Failure::NotFound(_))));
    }

    #[test]
    fn who_makes_the_socket_that_the_server_has_is_known_by_their_mounts() {
        let volume = |destination: &str, writable| Mount {
            kind: "volume".into(),
            name: "guard".into(),
            source: "/var/lib/docker/volumes/guard/_data".into(),
            destination: destination.into(),
            writable,
        };
        let bind = |source: &str, destination: &str| Mount {
            kind: "bind".into(),
            source: source.into(),
            destination: destination.into(),
            writable: true,
            ..Mount::default()
        };
        let has = |mounts: &[Mount]| Summary { mounts: Some(mounts.to_vec()), ..Summary::default() };
        let is = |own: &[Mount], other: &[Mount], socket: &str| makes_socket(&has(other), &has(own), Path::new(socket));
        let own = [bind("/", "/host"), volume("/run/docker-guard", true)];
        assert!(is(&own, &[volume("/elsewhere", true)], "/run/docker-guard/guard.sock"));
        assert!(!is(&own, &[volume("/elsewhere", false)], "/run/docker-guard/guard.sock"));
        assert!(!is(&own, &[bind("/", "/host")], "/run/docker-guard/guard.sock"));
        assert!(!is(&own, &[volume("/elsewhere", true)], "/run/docker.sock"));
        assert!(is(&[bind("/run/guard", "/g")], &[bind("/run/guard", "/run/guard")], "/g/guard.sock"));
        // the Engine's own, which others have as well
        let engines = [bind("/run/docker.sock", "/run/docker.sock")];
        assert!(!is(&engines, &engines, "/run/docker.sock"));
    }

    #[test]
    fn a_version_before_a_path_is_left_out() {
        let of = |uri: &str| unversioned(&uri.parse().unwrap()).to_string();
        assert_eq!(of("http://docker/v1.41/containers/json?all=1"), "/containers/json?all=1");
        assert_eq!(of("http://docker/containers/json"), "/containers/json");
        assert_eq!(of("http://docker/volumes/x"), "/volumes/x");
    }
}
