//! The platform's Gateway, as a tenant's users reach it.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind},
};
use plexica_crds::names::TenantSlug;
use plexica_operator::gateway_api::HTTPRoute;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

use crate::{host::network::GATEWAY_SERVICE, load::Target, suite::env::Env};

/// Domain of all tenants' hosts (e2e/stack-values.yaml).
pub const BASE_DOMAIN: &str = "plexica.test";

/// A tenant's host at the Gateway.
pub struct Entrance {
    http: reqwest::Client,
    host: String,
}

impl Entrance {
    /// Of this tenant.
    pub fn of(tenant: &TenantSlug) -> Result<Self> {
        let host = format!("{tenant}.{BASE_DOMAIN}");
        let http = reqwest::Client::builder()
            .resolve(&host, SocketAddr::from((GATEWAY_SERVICE, 80)))
            .timeout(Duration::from_secs(10))
            .build()?;
        Ok(Self { http, host })
    }

    /// A plugin's API, for a load of requests.
    pub fn target(&self, id: &str) -> Target {
        Target {
            address: SocketAddr::from((GATEWAY_SERVICE, 80)),
            host: Some(self.host.clone()),
            prefix: format!("/api/plugins/{id}"),
        }
    }

    /// Where a plugin's API is.
    pub fn url(&self, id: &str) -> String {
        format!("http://{}/api/plugins/{id}", self.host)
    }

    /// A request to a plugin.
    pub fn request(&self, method: Method, id: &str, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url(id)))
    }

    /// How a request without a token is answered: `/version` of a plugin is open to everybody.
    pub async fn version(&self, id: &str) -> Result<StatusCode> {
        Ok(self.request(Method::GET, id, "/version").send().await?.status())
    }
}

/// The HTTPRoutes of a tenant's namespace.
pub fn routes(env: &Env, tenant: &TenantSlug) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute");
    let namespace = tenant.namespace();
    Api::namespaced_with(env.client.clone(), namespace.as_str(), &ApiResource::from_gvk(&kind))
}

/// The answer to a request, which must have this status; null if its body is no JSON.
pub async fn answer(request: RequestBuilder, status: StatusCode) -> Result<Value> {
    let answer = request.send().await?;
    let (given, url) = (answer.status(), answer.url().clone());
    let body = answer.text().await?;
    ensure!(given == status, "{url} answers {given}, not {status}: {body}");
    Ok(serde_json::from_str(&body).unwrap_or_default())
}

/// The Gateway has taken the route as it is.
pub fn is_taken(route: &HTTPRoute) -> bool {
    let said = route.status.iter().flat_map(|status| &status.parents);
    let mut accepted = said
        .flat_map(|parent| &parent.conditions)
        .filter(|said| said.type_ == "Accepted");
    accepted.any(|said| said.status == "True" && said.observed_generation == route.metadata.generation)
}
