//! `/readyz`: whether calls can be answered. Everybody learns that, so that what watches this server needs no token; what of which part, who may
//! know the system.

use http::StatusCode;
use serde_json::json;

use super::{
    Answer, Http, Sender, json_answer, plain,
    route::{Access, READING, Route},
};
use rights::scope::Scope;

pub(super) const ROUTE: Route = Route {
    path: "/readyz",
    methods: READING,
    service: None,
    scope: None,
    access: Access::Strangers(|http, sender| Box::pin(answer(http, sender))),
};

async fn answer(http: &Http, sender: Option<Sender>) -> Answer {
    let (gate, readiness) = (&http.inner.gate, &http.inner.readiness);
    let parts = readiness.parts(gate).await;
    let status = if parts.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let knows = [Scope::SystemRead, Scope::MetricsRead];
    if !sender.is_some_and(|sender| knows.iter().any(|scope| sender.caller.grants.contain(*scope))) {
        return plain(status, if parts.is_ready() { "ready" } else { "not ready" });
    }
    let state = |good: bool, why: &str| if good { "ok".to_owned() } else { format!("not ready: {why}") };
    let words = json!({
        "ready": parts.is_ready(),
        "kernel": state(parts.kernel, "/proc/stat cannot be read"),
        "audit": state(parts.audit, "the audit log cannot be written"),
        "docker": *readiness.docker(gate).await,
    });
    json_answer(status, words.to_string())
}
