//! HTTP: Host and Origin, credentials, bodies within limits, then the MCP face. Nothing here knows a tool.

mod healthz;
mod hosts;
mod inside;
mod mcp;
mod metrics;
mod ready;
mod readyz;
mod route;
mod spliced;

use std::{
    convert::Infallible,
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock, atomic::AtomicBool},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
};

pub use hosts::Hosts;
use inside::Inside;
use ready::Readiness;
use route::{Access, Route, wrong_method};

use super::{Sender, Server, listen::Origin};
use crate::{config::Who, gate::Gate};
use auth::{Auth, Refusal};

/// What is served, each by one file.
const ROUTES: &[Route] = &[mcp::ROUTE, healthz::ROUTE, readyz::ROUTE, metrics::ROUTE];

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
    hosts: RwLock<Arc<Hosts>>,
    bounds: RwLock<Bounds>,
    /// What the requests to `/mcp` hold.
    inside: Inside,
    readiness: Readiness,
}

impl Http {
    /// What answers for `gate` to those that `auth` knows to these `hosts`.
    pub fn new(gate: Arc<Gate>, auth: Arc<Auth>, hosts: Hosts, bounds: Bounds) -> Self {
        let face = Server::over_http(Arc::clone(&gate));
        // Host and Origin are checked here, for every route, in words that name the key to set; the body's length is too
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .disable_allowed_hosts()
            .disable_allowed_origins();
        let mcp =
            StreamableHttpService::new(move || Ok(face.clone()), Arc::new(NeverSessionManager::default()), config);
        let (hosts, bounds) = (RwLock::new(Arc::new(hosts)), RwLock::new(bounds));
        let (inside, readiness) = (Inside::default(), Readiness::default());
        Self { inner: Arc::new(Inner { gate, auth, mcp, hosts, bounds, inside, readiness }) }
    }

    /// Puts other names and other bounds in force.
    pub fn reload(&self, hosts: Hosts, bounds: Bounds) {
        *self.inner.hosts.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(hosts);
        *self.inner.bounds.write().unwrap_or_else(PoisonError::into_inner) = bounds;
    }

    /// The bounds in force.
    pub fn bounds(&self) -> Bounds {
        *self.inner.bounds.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one request. Says too whether it had good credentials. `arriving` is set while the rest of its body is waited for.
    pub async fn answer(
        &self,
        request: Request<Incoming>,
        origin: Origin<'_>,
        arriving: &AtomicBool,
    ) -> (Answer, bool) {
        let served = ROUTES.iter().filter(|route| route.is_served_at(origin.door));
        let route = served.clone().find(|route| route.path == request.uri().path());
        if let Some(Route { methods, access: Access::Everybody(answer), .. }) = route {
            return (wrong_method(methods, request.method()).unwrap_or_else(answer), false);
        }
        let hosts = Arc::clone(&self.inner.hosts.read().unwrap_or_else(PoisonError::into_inner));
        if let Err(why) = hosts.check(request.uri(), request.headers(), origin.local) {
            self.inner.gate.refused("host_or_origin");
            return (plain(StatusCode::FORBIDDEN, &why), false);
        }
        let has_none = !request.headers().contains_key(header::AUTHORIZATION);
        if let Some(Route { methods, access: Access::Strangers(answer), .. }) = route.filter(|_| has_none) {
            return match wrong_method(methods, request.method()) {
                Some(wrong) => (wrong, false),
                None => (answer(self, None).await, false),
            };
        }
        let sender = match origin.door.who() {
            Who::Tokens => self.sender(request.headers(), origin.peer.ip()).await,
        };
        let sender = match sender {
            Ok(sender) => sender,
            Err(answer) => return (answer, false),
        };
        let answer = match route {
            Some(Route { methods, access: Access::Callers(answer), .. }) => {
                match wrong_method(methods, request.method()) {
                    Some(wrong) => wrong,
                    None => answer(self, request, sender, arriving).await,
                }
            }
            Some(Route { methods, access: Access::Strangers(answer), .. }) => {
                match wrong_method(methods, request.method()) {
                    Some(wrong) => wrong,
                    None => answer(self, Some(sender)).await,
                }
            }
            _ => {
                let there: Vec<&str> =
                    served.filter(|route| route.is_shown_to(&sender.caller)).map(|route| route.path).collect();
                plain(StatusCode::NOT_FOUND, &format!("there is {}", there.join(", ")))
            }
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
            Ok(caller) => return Ok(Sender { caller: Arc::new(caller), peer, written: None }),
            Err(refusal) => refusal,
        };
        let token = presented.ok().and_then(auth::id_shown);
        self.inner.gate.refused(refusal.kind());
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

fn rpc_error(status: StatusCode, code: i32, message: &str) -> Answer {
    let error = serde_json::json!({ "jsonrpc": "2.0", "id": null, "error": { "code": code, "message": message } });
    json_answer(status, error.to_string())
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    with_bytes(status, content_type, body.into())
}

fn with_bytes(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body).boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
