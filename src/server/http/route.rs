//! What a route is.

use std::{pin::Pin, sync::atomic::AtomicBool};

use http::{HeaderValue, Method, Request, StatusCode, header};
use hyper::body::Incoming;

use super::{Answer, Http, Sender, plain};
use crate::{config::Service, server::listen::Door};
use auth::Caller;
use rights::scope::Scope;

/// One thing that is served.
pub(super) struct Route {
    /// The path, as it stands in the request.
    pub(super) path: &'static str,
    /// The methods that it takes.
    pub(super) methods: &'static [Method],
    /// What it is part of: it is there where a listener serves that. `None`: everywhere.
    pub(super) service: Option<Service>,
    /// Callers with this scope are told that it is there; without a scope, all are.
    pub(super) scope: Option<Scope>,
    /// Who is answered, and how.
    pub(super) access: Access,
}

/// Who is answered.
pub(super) enum Access {
    /// Everybody, without a look at credentials: what says nothing of this machine.
    Everybody(fn() -> Answer),
    /// Who has shown good credentials, and who has shown none: what says hardly more.
    Strangers(for<'a> fn(&'a Http, Option<Sender>) -> Answering<'a>),
    /// Who has shown good credentials. The flag is set while the rest of the body is waited for.
    Callers(for<'a> fn(&'a Http, Request<Incoming>, Sender, &'a AtomicBool) -> Answering<'a>),
}

/// An answer that is being made.
pub(super) type Answering<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// What reads.
pub(super) const READING: &[Method] = &[Method::GET, Method::HEAD];

impl Route {
    /// Whether it is there for who comes in here.
    pub(super) fn is_served_at(&self, door: &Door) -> bool {
        self.service.is_none_or(|service| door.serves(service))
    }

    /// Whether this caller is told that it is there.
    pub(super) fn is_shown_to(&self, caller: &Caller) -> bool {
        self.scope.is_none_or(|scope| caller.grants.contain(scope))
    }
}

/// The answer to a method that a route does not take.
pub(super) fn wrong_method(methods: &[Method], method: &Method) -> Option<Answer> {
    if methods.contains(method) {
        return None;
    }
    let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, &format!("{} only", methods[0]));
    let allowed: Vec<&str> = methods.iter().map(Method::as_str).collect();
    if let Ok(allowed) = HeaderValue::from_str(&allowed.join(", ")) {
        answer.headers_mut().insert(header::ALLOW, allowed);
    }
    Some(answer)
}
