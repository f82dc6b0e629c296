//! `/mcp`: one message of the protocol and its answer. Bodies have limits of size, time and memory before anything reads them.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use memchr::memmem;

use super::{
    Answer, Bounds, Http, Sender, busy,
    inside::{Most, NoRoom},
    plain,
    route::{Access, Route},
    rpc_error, spliced,
};
use crate::{config::Service, gate::ANSWERED_WITHIN};
use text::json;

pub(super) const ROUTE: Route = Route {
    path: "/mcp",
    // stateless: there is no stream to GET and no session to DELETE
    methods: &[Method::POST],
    service: Some(Service::Mcp),
    scope: None,
    access: Access::Callers(|http, request, sender, arriving| Box::pin(answer(http, request, sender, arriving))),
};

async fn answer(http: &Http, request: Request<Incoming>, mut sender: Sender, arriving: &AtomicBool) -> Answer {
    let (bounds, limits) = (http.bounds(), http.inner.gate.limits());
    let (mut parts, body) = request.into_parts();
    // who asks before sending is told at once; who does not would lose the answer with the connection
    if parts.headers.contains_key(header::EXPECT) && body.size_hint().lower() > bounds.body as u64 {
        return too_long(bounds.body);
    }
    let most = Most { bytes: bounds.bodies(), running: limits.running(), waiting: limits.waiting() };
    let length = body.size_hint().exact().and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX);
    let caller = Arc::clone(&sender.caller);
    let mut share = match http.inner.inside.expect(&caller, length.min(bounds.body), most) {
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
    let is_answered_once =
        [&b"tools/call"[..], b"tools/list"].iter().any(|method| memmem::find(&body, method).is_some());
    let written = is_answered_once.then(|| Arc::new(OnceLock::new()));
    sender.written.clone_from(&written);
    parts.extensions.insert(sender);
    let answer = http.inner.mcp.handle(Request::from_parts(parts, Full::new(body)));
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
    match written.as_ref().and_then(|written| written.get()) {
        None => answer,
        Some(written) => spliced::with(answer, written).await.unwrap_or_else(|| {
            tracing::error!(key = written.key, "what was written before has no place in its answer");
            rpc_error(StatusCode::INTERNAL_SERVER_ERROR, -32603, "Internal error")
        }),
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
