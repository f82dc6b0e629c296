//! `/metrics`: the page for Prometheus.

use std::future::pending;

use http::StatusCode;
use rmcp::model::JsonObject;

use super::{
    Answer, Http, Sender, answer, busy, plain,
    route::{Access, READING, Route},
};
use crate::{
    config::Service,
    exposition::CONTENT_TYPE,
    failure::Failure,
    gate::{Call, PAGE, Refusal},
    scope::Scope,
};

pub(super) const ROUTE: Route = Route {
    path: "/metrics",
    methods: READING,
    service: Some(Service::Metrics),
    scope: Some(Scope::MetricsRead),
    access: Access::Callers(|http, _, sender, _| Box::pin(scraped(http, sender))),
};

async fn scraped(http: &Http, sender: Sender) -> Answer {
    let call = Call {
        tool: PAGE,
        arguments: JsonObject::default(),
        caller: &sender.caller,
        peer: Some(sender.peer),
        client: None,
        request: None,
        steps: None,
    };
    // a client that leaves drops this, and the call with it
    match http.inner.gate.page(&call, pending()).await {
        Ok(page) => answer(StatusCode::OK, CONTENT_TYPE, page.as_ref().to_owned()),
        Err(Refusal::NoSuchTool) => {
            plain(StatusCode::NOT_FOUND, "there is no /metrics for these credentials: it takes a grant of metrics:read")
        }
        Err(Refusal::Failed(Failure::Busy(what, seconds))) => busy(&what, seconds),
        Err(Refusal::Failed(failure)) => {
            plain(StatusCode::SERVICE_UNAVAILABLE, &format!("{}: {failure}", failure.kind()))
        }
    }
}
