//! Every request that passes. One table, which the README, the record and the tests speak of as well.

use std::time::Duration;

/// A request that passes.
#[derive(Debug)]
pub struct Row {
    /// `GET`, `HEAD`, `POST` or `DELETE`.
    pub method: &'static str,
    /// The path without a version. `{id}` is a full id, `{name}` an id or a name, `{image}` those of an image. Where the request acts, an
    /// image has its full id, or a tag or digest: engines take anything else for the beginning of an id, if nothing has that name.
    pub path: &'static str,
    /// What may stand behind the question mark, each once.
    pub query: &'static [(&'static str, Kind)],
    /// What its body is.
    pub body: Body,
    /// How long the Engine has until it begins to answer.
    pub patience: Duration,
    /// Whether the answer goes on while things happen.
    pub streams: bool,
}

/// What a value in a query is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `0`, `1`, `false`, `true`.
    Flag,
    /// No, in either spelling: what may be said, and not asked for.
    No,
    /// No, and it has to be said.
    Never,
    /// A whole number, not below zero, of nine digits at most.
    Number,
    /// Seconds that a container has to end, an hour at most.
    Seconds,
    /// The same, or below.
    Integer,
    /// Seconds since 1970, with a fraction or without.
    Time,
    /// A name for a container.
    Name,
    /// An image's id or name, with or without a tag or a digest.
    Image,
    /// A tag or a digest.
    Tag,
    /// Nothing: its name and no more.
    Nothing,
    /// `SIGTERM`, `TERM`, `15`.
    Signal,
    /// One of these.
    Word(&'static [&'static str]),
    /// A JSON object with these keys, and lists of texts.
    Filters(&'static [&'static str]),
}

/// What a request's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// A new container, held to the policy, or to the one that it replaces.
    Create,
    /// A further network for a container that replaces another.
    Connect,
}

impl Row {
    /// Whether it changes anything.
    pub fn acts(&self) -> bool {
        !matches!(self.method, "GET" | "HEAD")
    }
}

/// What the Engine only looks up.
pub(super) const LOOKED_UP: Duration = Duration::from_secs(30);
/// What it has to work out, or to do.
const WORKED_OUT: Duration = Duration::from_mins(5);
/// What waits for a container to end, for as long as its caller says.
const ENDED: Duration = Duration::from_mins(10);

const fn read(path: &'static str, query: &'static [(&'static str, Kind)]) -> Row {
    Row { method: "GET", path, query, body: Body::None, patience: LOOKED_UP, streams: false }
}

const fn act(method: &'static str, path: &'static str, query: &'static [(&'static str, Kind)]) -> Row {
    Row { method, path, query, body: Body::None, patience: WORKED_OUT, streams: false }
}

const fn streaming(row: Row) -> Row {
    Row { streams: true, ..row }
}

const fn slow(row: Row, patience: Duration) -> Row {
    Row { patience, ..row }
}

const fn with(row: Row, body: Body) -> Row {
    Row { body, ..row }
}

use Kind::{Filters, Flag, Image, Integer, Name, Never, No, Nothing, Number, Seconds, Signal, Tag, Time, Word};

/// What fetches an image.
pub(super) const PULL: &str = "/images/create";

/// What lets a container run, one that has not run before as well.
pub(super) const STARTS: &[&str] = &["/containers/{id}/start", "/containers/{id}/restart"];

/// What gives a container another name.
pub(super) const RENAME: &str = "/containers/{id}/rename";

/// The requests.
pub static TABLE: &[Row] = &[
    // anybody's
    Row { method: "HEAD", ..read("/_ping", &[]) },
    read("/_ping", &[]),
    // reading
    read("/containers/json", &[("all", Flag), ("limit", Integer), ("size", Flag), ("filters", Filters(CONTAINERS))]),
    read("/containers/{id}/json", &[]),
    slow(read("/containers/{id}/stats", &[("stream", Never), ("one-shot", Flag)]), WORKED_OUT),
    streaming(read(
        "/containers/{id}/logs",
        &[("stdout", Flag), ("stderr", Flag), ("timestamps", Flag), ("tail", Number)],
    )),
    read("/images/json", &[("filters", Filters(&["dangling"]))]),
    read("/images/{image}/json", &[]),
    read("/volumes", &[]),
    read("/networks", &[]),
    // Podman is told to stop at the present, Docker until when
    streaming(read("/events", &[("since", Time), ("until", Time), ("stream", No)])),
    slow(read("/system/df", &[("verbose", Flag), ("type", Word(&["volume"]))]), WORKED_OUT),
    // acting
    act("POST", "/containers/{id}/start", &[]),
    slow(act("POST", "/containers/{id}/stop", &[("t", Seconds)]), ENDED),
    slow(act("POST", "/containers/{id}/restart", &[("t", Seconds)]), ENDED),
    act("POST", "/containers/{id}/pause", &[]),
    act("POST", "/containers/{id}/unpause", &[]),
    act("POST", "/containers/{id}/kill", &[("signal", Signal)]),
    act("POST", RENAME, &[("name", Name)]),
    act("DELETE", "/containers/{id}", &[("v", Flag), ("force", Flag), ("link", No)]),
    with(act("POST", "/containers/create", &[("name", Name)]), Body::Create),
    with(act("POST", "/networks/{name}/connect", &[]), Body::Connect),
    streaming(act("POST", PULL, &[("fromImage", Image), ("tag", Tag), ("platform", Nothing)])),
    act("DELETE", "/images/{image}", &[]),
    act("DELETE", "/networks/{id}", &[]),
    act("DELETE", "/volumes/{name}", &[]),
    act("POST", "/build/prune", &[("all", Flag), ("filters", Filters(&["id"]))]),
];

const CONTAINERS: &[&str] = &[
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];
