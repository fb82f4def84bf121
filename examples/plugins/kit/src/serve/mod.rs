//! The HTTP server of a plugin: the routes that every plugin has, and the way it ends.

pub mod drain;
pub mod listen;

use std::future::ready;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use crate::auth::{Gate, gate};
use crate::environment::Environment;
use crate::plugin::Plugin;
use crate::problem::Problem;
use drain::Phase;

/// Longest wait for the database when readiness is asked for: below the probe's timeout (2 s), so that the reason is seen.
const READY_TIMEOUT: Duration = Duration::from_millis(1500);

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

#[derive(Clone)]
struct Common {
    plugin: Plugin,
    statement: &'static str,
}

/// Everything that a plugin answers to: its own routes, `/health`, `/ready` and `/version`.
pub fn router(plugin: &Plugin, routes: Routes) -> Router {
    let Routes {
        gated,
        open,
        ready: statement,
    } = routes;
    let common = Common {
        plugin: plugin.clone(),
        statement,
    };
    let admit = Gate::new(&plugin.environment, plugin.http.clone());
    let drain = plugin.drain.clone();
    let marks = marks(plugin);
    Router::new()
        .route("/health", get(|| async { "ok\n" }))
        .route("/ready", get(is_ready))
        .route("/version", get(version))
        .with_state(common)
        .merge(open)
        .merge(gated.layer(middleware::from_fn_with_state(admit, gate)))
        .fallback(|| async { Problem::not_found("there is no such path") })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(middleware::from_fn(log))
        .layer(middleware::map_response(move |mut response: Response| {
            response.headers_mut().extend(marks.clone());
            ready(response)
        }))
        .layer(middleware::from_fn(move |request, next| {
            listen::ask_to_leave(drain.clone(), request, next)
        }))
}

/// Ready: not told to end, and the schema answers.
async fn is_ready(State(Common { plugin, statement }): State<Common>) -> Result<&'static str, Problem> {
    if plugin.drain.phase() > Phase::Serving {
        return Err(Problem::not_ready("the process was told to end"));
    }
    match timeout(READY_TIMEOUT, sqlx::query(statement).execute(&plugin.database)).await {
        Ok(Ok(_)) => Ok("ok\n"),
        Ok(Err(error)) => Err(Problem::unavailable("the database", &error)),
        Err(late) => Err(Problem::unavailable("the database", &late)),
    }
}

/// What runs here, for people and for tests of a promotion.
async fn version(State(Common { plugin, .. }): State<Common>) -> Json<Value> {
    let environment = &plugin.environment;
    Json(json!({
        "plugin": environment.plugin,
        "version": environment.version,
        "slot": environment.slot.to_string(),
        "tenant": environment.tenant,
    }))
}

/// What each answer says of who gave it.
fn marks(plugin: &Plugin) -> HeaderMap {
    let Environment { version, slot, .. } = &plugin.environment;
    let marks = [
        ("x-plexica-version", version.clone()),
        ("x-plexica-slot", slot.to_string()),
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
