//! `/healthz`: whether the server is alive.

use http::StatusCode;

use super::{
    plain,
    route::{Access, READING, Route},
};

pub(super) const ROUTE: Route = Route {
    path: "/healthz",
    methods: READING,
    service: None,
    scope: None,
    access: Access::Everybody(|| plain(StatusCode::OK, "ok")),
};
