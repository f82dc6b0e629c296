//! HTTP: Host and Origin, credentials, bodies within limits, then the MCP face. Nothing here knows a tool.

mod guard;
mod inside;
mod ready;
mod spliced;

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, combinators::BoxBody};
use hyper::body::{Body, Incoming};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
};

pub use guard::Guard;
use inside::{Inside, Most, NoRoom};
use ready::Readiness;

use super::{Sender, Server};
use crate::{
    auth::{self, Auth, Refusal},
    gate::{ANSWERED_WITHIN, Gate},
    scope::Scope,
    text::json,
};

/// An answer on its way out.
pub type Answer = Response<BoxBody<Bytes, Infallible>>;

/// How much of a request is taken, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The longest body, in bytes.
    pub body: usize,
    /// How long a body may take to arrive.
    pub body_time: Duration,
    /// How long the head of a request may take to arrive, from its first byte.
    pub header_time: Duration,
    /// How long a connection may stay open between requests.
    pub idle_time: Duration,
    /// The memory that requests, connections and answers may use all together, in bytes: each may have a part of it.
    pub spare: usize,
}

/// More memory to spare than this, in bytes, changes nothing: what is allowed with as much is enough.
pub const ENOUGH: usize = 448 << 20;

impl Bounds {
    /// How much bodies may hold, all together, in bytes: from when they are expected until they are answered. One caller's quarter has room for
    /// the longest body.
    fn bodies(&self) -> usize {
        (self.spare.min(ENOUGH) / 14).max(4 * self.body)
    }

    /// How much connections may hold, all together, in bytes: of heads that are not whole, and of answers that are not taken.
    pub(super) fn unfinished(&self) -> usize {
        self.spare.min(ENOUGH) / 7
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            body: 256 << 10,
            body_time: Duration::from_secs(10),
            header_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(75),
            spare: ENOUGH,
        }
    }
}

/// What answers every request.
#[derive(Clone)]
pub struct Http {
    inner: Arc<Inner>,
}

struct Inner {
    gate: Arc<Gate>,
    auth: Arc<Auth>,
    mcp: StreamableHttpService<Server, NeverSessionManager>,
    guard: RwLock<Arc<Guard>>,
    bounds: RwLock<Bounds>,
    /// What the requests to `/mcp` hold.
    inside: Inside,
    readiness: Readiness,
}

impl Http {
    /// What answers for `gate` to those that `auth` knows and `guard` lets in.
    pub fn new(gate: Arc<Gate>, auth: Arc<Auth>, guard: Guard, bounds: Bounds) -> Self {
        let face = Server::over_http(Arc::clone(&gate));
        // Host and Origin are checked here, for every route, in words that name the key to set; the body's length is too
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .disable_allowed_hosts()
            .disable_allowed_origins();
        let mcp =
            StreamableHttpService::new(move || Ok(face.clone()), Arc::new(NeverSessionManager::default()), config);
        let (guard, bounds) = (RwLock::new(Arc::new(guard)), RwLock::new(bounds));
        let (inside, readiness) = (Inside::default(), Readiness::default());
        Self { inner: Arc::new(Inner { gate, auth, mcp, guard, bounds, inside, readiness }) }
    }

    /// Puts another guard and other bounds in force.
    pub fn reload(&self, guard: Guard, bounds: Bounds) {
        *self.inner.guard.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(guard);
        *self.inner.bounds.write().unwrap_or_else(PoisonError::into_inner) = bounds;
    }

    /// The bounds in force.
    pub fn bounds(&self) -> Bounds {
        *self.inner.bounds.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one request that came from `peer` to our address `local`. Says too whether it had good credentials. `arriving` is set while
    /// the rest of its body is waited for.
    pub async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        local: SocketAddr,
        arriving: &AtomicBool,
    ) -> (Answer, bool) {
        let path = request.uri().path();
        if path == "/healthz" {
            return (alive(request.method()), false);
        }
        let guard = Arc::clone(&self.inner.guard.read().unwrap_or_else(PoisonError::into_inner));
        if let Err(why) = guard.check(request.uri(), request.headers(), local) {
            return (plain(StatusCode::FORBIDDEN, &why), false);
        }
        let sender = match self.sender(request.headers(), peer.ip()).await {
            Ok(sender) => sender,
            Err(answer) => return (answer, false),
        };
        let answer = match path {
            "/mcp" => self.mcp(request, sender, arriving).await,
            "/readyz" => self.ready(request.method(), &sender).await,
            _ => plain(StatusCode::NOT_FOUND, "there is /mcp, /healthz and /readyz"),
        };
        (answer, true)
    }

    async fn sender(&self, headers: &HeaderMap, peer: IpAddr) -> Result<Sender, Answer> {
        // an IPv4 client of an IPv6 socket is still an IPv4 client
        let peer = peer.to_canonical();
        let now = SystemTime::now();
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let presented = match (given.next(), given.next()) {
            (one, None) => Ok(one.map(HeaderValue::as_bytes)),
            (_, Some(_)) => Err(Refusal::Malformed),
        };
        let result = match presented {
            Ok(presented) => self.inner.auth.verify(presented, Some(peer), now).await,
            Err(refusal) => Err(refusal),
        };
        let refusal = match result {
            Ok(caller) => return Ok(Sender { caller: Arc::new(caller), peer, tools: None }),
            Err(refusal) => refusal,
        };
        let token = presented.ok().and_then(auth::id_shown);
        self.inner.gate.audit().refused(refusal, token.as_deref(), Some(peer), now);
        Err(match refusal {
            Refusal::Busy(seconds) => busy("too many credentials are being checked", seconds),
            // which of these it was is for the log: a stranger learns nothing by trying
            Refusal::Missing
            | Refusal::Malformed
            | Refusal::Unknown
            | Refusal::Wrong
            | Refusal::Expired
            | Refusal::Source => {
                let mut answer = plain(StatusCode::UNAUTHORIZED, "send a valid token: Authorization: Bearer smcp_...");
                let challenge = HeaderValue::from_static("Bearer realm=\"systemmanager-mcp\"");
                answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
                answer
            }
        })
    }

    async fn mcp(&self, request: Request<Incoming>, mut sender: Sender, arriving: &AtomicBool) -> Answer {
        if request.method() != Method::POST {
            // stateless: there is no stream to GET and no session to DELETE
            let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "POST only");
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            return answer;
        }
        let (bounds, limits) = (self.bounds(), self.inner.gate.limits());
        let (mut parts, body) = request.into_parts();
        // who asks before sending is told at once; who does not would lose the answer with the connection
        if parts.headers.contains_key(header::EXPECT) && body.size_hint().lower() > bounds.body as u64 {
            return too_long(bounds.body);
        }
        let most = Most { bytes: bounds.bodies(), running: limits.running(), waiting: limits.waiting() };
        let length = body.size_hint().exact().and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX);
        let caller = Arc::clone(&sender.caller);
        let mut share = match self.inner.inside.expect(&caller, length.min(bounds.body), most) {
            Ok(share) => share,
            Err(why) => return no_room(why),
        };
        arriving.store(true, Ordering::Relaxed);
        let body = read(body, bounds).await;
        arriving.store(false, Ordering::Relaxed);
        let body = match body {
            Ok(body) => body,
            Err(answer) => return answer,
        };
        let values = match json::check(&body) {
            Ok(values) => values,
            Err(_) => return rpc_error(StatusCode::BAD_REQUEST, -32700, "Parse error"),
        };
        if !is_json(&parts.headers) {
            return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send Content-Type: application/json");
        }
        if let Err(why) = share.has_come(body.len(), values, most) {
            return no_room(why);
        }
        // from here on nobody needs the secret or what a proxy claims, so nobody can leak or believe it
        let claims: Vec<_> = parts.headers.keys().filter(|name| is_claim(name.as_str())).cloned().collect();
        for name in claims {
            parts.headers.remove(name);
        }
        let tools = memchr::memmem::find(&body, b"tools/list").map(|_| Arc::new(OnceLock::new()));
        sender.tools.clone_from(&tools);
        parts.extensions.insert(sender);
        let answer = self.inner.mcp.handle(Request::from_parts(parts, Full::new(body)));
        // the gate ends a call before this; it is here for whatever is no call
        let longest = limits.deadline.max(ANSWERED_WITHIN) + Duration::from_secs(5);
        let answer = match tokio::time::timeout(longest, answer).await {
            // how rmcp says that the JSON is no message: the type of the body was right, or it would not have come so far
            Ok(answer) if answer.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                return rpc_error(StatusCode::BAD_REQUEST, -32600, "Invalid Request");
            }
            Ok(answer) => answer,
            Err(_) => return rpc_error(StatusCode::GATEWAY_TIMEOUT, -32603, "Internal error: no answer in time"),
        };
        match tools.as_ref().and_then(|tools| tools.get()) {
            None => answer,
            Some(tools) => spliced::with_tools(answer, tools).await.unwrap_or_else(|| {
                tracing::error!("the list of tools has no place in its answer");
                rpc_error(StatusCode::INTERNAL_SERVER_ERROR, -32603, "Internal error")
            }),
        }
    }

    /// Everybody with a token learns whether the server is ready; what of which part, who may know the system.
    async fn ready(&self, method: &Method, sender: &Sender) -> Answer {
        if method != Method::GET && method != Method::HEAD {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "GET only");
        }
        let report = self.inner.readiness.now(&self.inner.gate).await;
        let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        if sender.caller.grants.contain(Scope::SystemRead) {
            return json_answer(status, report.words.clone());
        }
        plain(status, if report.ready { "ready" } else { "not ready" })
    }
}

/// The whole body, or why there is none.
async fn read(body: Incoming, bounds: Bounds) -> Result<Bytes, Answer> {
    match tokio::time::timeout(bounds.body_time, Limited::new(body, bounds.body).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long(bounds.body)),
        Ok(Err(_)) => Err(rpc_error(StatusCode::BAD_REQUEST, -32600, "Invalid Request: the body broke off")),
        Err(_) => Err(rpc_error(StatusCode::REQUEST_TIMEOUT, -32600, "Invalid Request: the body took too long")),
    }
}

/// Headers that say who somebody is. On this listener only a token does.
fn is_claim(name: &str) -> bool {
    let claims = ["authorization", "cookie", "forwarded", "proxy-authorization", "x-real-ip"];
    claims.contains(&name) || name.starts_with("x-forwarded-") || name.starts_with("tailscale-")
}

fn is_json(headers: &HeaderMap) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|given| given.to_str().ok()).unwrap_or_default();
    let essence = given.split_once(';').map_or(given, |(essence, _)| essence);
    essence.trim().eq_ignore_ascii_case("application/json")
}

fn alive(method: &Method) -> Answer {
    match *method {
        Method::GET | Method::HEAD => plain(StatusCode::OK, "ok"),
        _ => plain(StatusCode::METHOD_NOT_ALLOWED, "GET only"),
    }
}

fn busy(why: &str, seconds: u64) -> Answer {
    let mut answer = plain(StatusCode::TOO_MANY_REQUESTS, &format!("{why}; try again in {seconds} s"));
    answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    answer
}

fn plain(status: StatusCode, words: &str) -> Answer {
    answer(status, "text/plain; charset=utf-8", format!("{words}\n"))
}

fn json_answer(status: StatusCode, body: String) -> Answer {
    answer(status, "application/json", body)
}

fn too_long(most: usize) -> Answer {
    let why = format!("Invalid Request: the body is longer than {most} bytes");
    rpc_error(StatusCode::PAYLOAD_TOO_LARGE, -32600, &why)
}

fn no_room(why: NoRoom) -> Answer {
    match why {
        NoRoom::Now => busy("the requests of one caller, or all together, are as many or as large as they may be", 1),
        NoRoom::Ever => {
            let why = "Invalid Request: the body has more values than there is memory for; send fewer";
            rpc_error(StatusCode::PAYLOAD_TOO_LARGE, -32600, why)
        }
    }
}

fn rpc_error(status: StatusCode, code: i32, message: &str) -> Answer {
    let error = serde_json::json!({ "jsonrpc": "2.0", "id": null, "error": { "code": code, "message": message } });
    json_answer(status, error.to_string())
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)).boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
