//! One process for all tenants that install the version: each has a router of its own, and header `X-Tenant-Slug` says
//! whose a request is for.
//!
//! The gateway sets the header, or the plugin that calls; it grants nothing. Behind it stands the gate of the tenant that
//! it names, which lets in tokens of this tenant's realm alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::middleware;
use axum::response::Response;
use axum::routing::get;
use tower::ServiceExt;
use tracing::{Instrument, debug, info_span};

use super::drain::Drain;
use super::readiness::{OfMany, Schema};
use super::{Routes, answering, health, log, marked, of_tenant};
use crate::auth::TENANT_SLUG;
use crate::environment::Release;
use crate::plugin::Plugin;
use crate::problem::Problem;

/// What is served for whom.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    routers: BTreeMap<String, Router>,
    schemas: Vec<Schema>,
}

impl Shared {
    /// Serves a tenant.
    pub(crate) fn serve(&mut self, plugin: &Plugin, routes: Routes) {
        self.schemas.push(Schema::new(plugin, routes.ready));
        let tenant = plugin.environment.tenant.clone();
        self.routers.insert(tenant, answering(of_tenant(plugin, routes)));
    }

    /// Says of a tenant that it cannot be served.
    pub(crate) fn refuse(&mut self, tenant: String) {
        let problem = || async {
            Problem::not_ready("this tenant cannot be served: what it needs is not there; the plugin's log says what")
        };
        let router = Router::new().fallback(problem).layer(middleware::from_fn(log));
        self.routers.insert(tenant, router);
    }

    /// Everything that the process answers to: `/health` and `/ready` by itself, the rest by the tenant that is named.
    pub(crate) fn router(self, release: &Release, drain: &Drain) -> Router {
        let Self { routers, schemas } = self;
        let readiness = Arc::new(OfMany::new(routers.len(), schemas));
        let ending = drain.clone();
        let ready = get(async move || readiness.is_ready(&ending).await);
        let own = Router::new().route("/health", get(health)).route("/ready", ready);
        let routers = Arc::new(routers);
        // Each tenant's router logs its requests, with the route that this one does not know.
        let all = answering(own).fallback(async move |request: Request| dispatch(&routers, request).await);
        marked(all, release, drain)
    }
}

/// Hands a request to the tenant that it names; 404 if it names none.
async fn dispatch(routers: &BTreeMap<String, Router>, request: Request) -> Result<Response, Problem> {
    let (tenant, router) = named(routers, request.headers())?;
    // Every line that is logged meanwhile says whose request it was.
    let span = info_span!("request", tenant);
    let Ok(response) = router.clone().oneshot(request).instrument(span).await;
    Ok(response)
}

/// The tenant whose slug the header is.
fn named<'a>(routers: &'a BTreeMap<String, Router>, headers: &HeaderMap) -> Result<(&'a str, &'a Router), Problem> {
    let mut slugs = headers.get_all(TENANT_SLUG).iter();
    let (Some(slug), None) = (slugs.next(), slugs.next()) else {
        return Err(Problem::no_tenant(
            "this plugin is for many tenants: header X-Tenant-Slug must name one",
        ));
    };
    let known = slug.to_str().ok().and_then(|slug| routers.get_key_value(slug));
    let (tenant, router) = known.ok_or_else(|| {
        debug!(?slug, "a request names a tenant that is not here");
        Problem::no_tenant("header X-Tenant-Slug names no tenant that this plugin is installed for")
    })?;
    Ok((tenant, router))
}
