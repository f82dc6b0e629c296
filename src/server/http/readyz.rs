//! `/readyz`: whether calls can be answered. Every caller learns that; what of which part, who may know the system.

use http::StatusCode;

use super::{
    Answer, Http, Sender, json_answer, plain,
    route::{Access, READING, Route},
};
use crate::scope::Scope;

pub(super) const ROUTE: Route = Route {
    path: "/readyz",
    methods: READING,
    service: None,
    scope: None,
    access: Access::Callers(|http, _, sender, _| Box::pin(answer(http, sender))),
};

async fn answer(http: &Http, sender: Sender) -> Answer {
    let report = http.inner.readiness.now(&http.inner.gate).await;
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if [Scope::SystemRead, Scope::MetricsRead].iter().any(|scope| sender.caller.grants.contain(*scope)) {
        return json_answer(status, report.words.clone());
    }
    plain(status, if report.ready { "ready" } else { "not ready" })
}
