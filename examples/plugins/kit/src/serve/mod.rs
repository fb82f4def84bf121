//! The HTTP server of a plugin: the routes that every plugin has, and the way it ends.

pub mod drain;
pub mod listen;
mod readiness;
pub(crate) mod shared;
#[cfg(feature = "ws")]
pub mod socket;

use std::future::ready;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::auth::{Gate, gate};
use crate::environment::{Environment, Release};
use crate::plugin::Plugin;
use crate::problem::Problem;
use drain::Drain;
use readiness::Schema;

/// The routes of a plugin.
#[derive(Debug, Default)]
pub struct Routes {
    /// Reached with a token of the tenant's realm alone.
    pub gated: Router,
    /// Reached by everybody: nothing of the tenant's may be seen or changed here.
    pub open: Router,
    /// A statement that works when the plugin's schema is as it needs it: `SELECT FROM contacts LIMIT 1`.
    pub ready: &'static str,
}

/// Everything that a plugin for one tenant answers to: its own routes, `/health`, `/ready` and `/version`.
pub fn router(plugin: &Plugin, routes: Routes) -> Router {
    let (schema, drain) = (Schema::new(plugin, routes.ready), plugin.drain.clone());
    let ready = get(async move || readiness::of_one(&drain, &schema).await);
    let all = of_tenant(plugin, routes)
        .route("/health", get(health))
        .route("/ready", ready);
    marked(answering(all), &plugin.environment.release, &plugin.drain)
}

/// Everything that a process without tenants answers to: routes that ask for no token and no database. `/health`,
/// `/ready` and `/version` are among them.
pub fn plain(routes: Router, release: &Release, drain: &Drain) -> Router {
    marked(answering(routes), release, drain)
}

/// What is the tenant's: the plugin's own routes, and `/version`.
fn of_tenant(plugin: &Plugin, routes: Routes) -> Router {
    let Routes { gated, open, ready: _ } = routes;
    let admit = Gate::new(&plugin.environment, plugin.http.clone());
    let version = version(&plugin.environment);
    Router::new()
        .route("/version", get(async || version))
        .merge(open)
        .merge(gated.layer(middleware::from_fn_with_state(admit, gate)))
}

/// These routes, a problem where there is none, and a line in the log for each request.
fn answering(routes: Router) -> Router {
    routes
        .fallback(|| async { Problem::not_found("there is no such path") })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(middleware::from_fn(log))
}

/// The process's part of each answer: who gave it, and whether the connection is to be left.
fn marked(routes: Router, release: &Release, drain: &Drain) -> Router {
    let (marks, drain) = (marks(release), drain.clone());
    routes
        .layer(middleware::map_response(move |mut response: Response| {
            response.headers_mut().extend(marks.clone());
            ready(response)
        }))
        .layer(middleware::from_fn(move |request, next| {
            listen::ask_to_leave(drain.clone(), request, next)
        }))
}

/// The process runs.
async fn health() -> &'static str {
    "ok\n"
}

/// What runs here, for people and for tests of a promotion.
fn version(environment: &Environment) -> Json<Value> {
    let Environment { release, tenant, .. } = environment;
    let Release { plugin, version, slot } = release;
    Json(json!({ "plugin": plugin, "version": version, "slot": slot.to_string(), "tenant": tenant }))
}

/// What each answer says of who gave it.
fn marks(release: &Release) -> HeaderMap {
    let marks = [
        ("x-plexica-version", release.version.clone()),
        ("x-plexica-slot", release.slot.to_string()),
    ];
    let marks = marks.map(|(name, value)| Some((HeaderName::from_static(name), value.parse().ok()?)));
    marks.into_iter().flatten().collect()
}

/// Middleware: a line for each request, without its query, its headers and its body.
async fn log(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    // The route and not the path: ids of a tenant's data are nothing for logs.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned());
    let response = next.run(request).await;
    let (status, took) = (response.status().as_u16(), began.elapsed());
    if response.status().is_server_error() {
        warn!(%method, route, status, ?took, "answered");
    } else {
        debug!(%method, route, status, ?took, "answered");
    }
    response
}
