//! `/metrics`: the page for Prometheus.

use std::sync::Arc;

use http::StatusCode;
use rmcp::model::JsonObject;
use tokio_util::sync::CancellationToken;

use super::{
    Answer, Http, Sender, busy, plain,
    route::{Access, READING, Route},
    with_bytes,
};
use crate::{
    config::Service,
    gate::{Call, PAGE, Refusal},
};
use facts::exposition::CONTENT_TYPE;
use kernel::failure::Failure;
use rights::scope::Scope;

pub(super) const ROUTE: Route = Route {
    path: "/metrics",
    methods: READING,
    service: Some(Service::Metrics),
    scope: Some(Scope::MetricsRead),
    access: Access::Callers(|http, _, sender, _| Box::pin(scraped(http, sender))),
};

async fn scraped(http: &Http, sender: Sender) -> Answer {
    let stop = CancellationToken::new();
    // a client that leaves drops this: its call ends then, and is on record as one that was cancelled
    let _stop = stop.clone().drop_guard();
    let gate = Arc::clone(&http.inner.gate);
    let page = tokio::spawn(async move {
        let call = Call {
            tool: PAGE,
            arguments: JsonObject::default(),
            caller: &sender.caller,
            peer: Some(sender.peer),
            client: None,
            request: None,
            steps: None,
        };
        gate.page(&call, stop.cancelled()).await
    });
    match page.await.unwrap_or_else(|error| Err(Refusal::Failed(Failure::Internal(error.into())))) {
        Ok(page) => with_bytes(StatusCode::OK, CONTENT_TYPE, page),
        Err(Refusal::NoSuchTool) => {
            plain(StatusCode::NOT_FOUND, "there is no /metrics for these credentials: it takes a grant of metrics:read")
        }
        Err(Refusal::Failed(Failure::Busy(what, seconds))) => busy(&what, seconds),
        Err(Refusal::Failed(failure)) => {
            plain(StatusCode::SERVICE_UNAVAILABLE, &format!("{}: {failure}", failure.kind()))
        }
    }
}
