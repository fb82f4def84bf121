//! Who calls: a token of the tenant's realm, checked before any handler runs.
//!
//! The tenant is that of the [`Plugin`](crate::Plugin): the process's only one, or one of many. Headers that name a tenant
//! grant nothing: they come from the gateway for the sake of processes that serve many tenants, which find by them whose
//! gate it is, and one that names another tenant than the gate's is refused.

mod keys;
pub mod permission;
mod signatures;
mod token;

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use axum::middleware::Next;
use axum::response::Response;
use secrecy::{ExposeSecret, SecretString};
use tracing::info;

use crate::environment::Environment;
use crate::problem::Problem;
use keys::{Endpoint, Keys};
use token::Refused;

/// The header that names a request's tenant: set by the gateway, or by the plugin that asks (data-model.md).
pub(crate) const TENANT_SLUG: HeaderName = HeaderName::from_static("x-tenant-slug");
/// The header with the tenant's id.
const TENANT_ID: HeaderName = HeaderName::from_static("x-tenant-id");

/// Who sent a request, as the token says. A handler that takes it must be reached through the gate.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user's id in the realm: `users.keycloak_id` of the tenant's schema.
    pub subject: String,
    /// The user's roles in the realm.
    pub roles: Vec<String>,
    token: SecretString,
}

impl Caller {
    /// The token itself, to pass it on to another plugin of the same tenant.
    pub fn token(&self) -> &str {
        self.token.expose_secret()
    }
}

/// What stands before every handler that is not open to everybody.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tenant: String,
    tenant_id: String,
    issuer: String,
    keys: Keys<Endpoint>,
}

impl Gate {
    /// A gate for the tenant of this environment.
    pub(crate) fn new(environment: &Environment, client: reqwest::Client) -> Self {
        // `Err` means that it is installed already.
        let _ = signatures::RING.install_default();
        Self(Arc::new(Inner {
            tenant: environment.tenant.clone(),
            tenant_id: environment.tenant_id.to_string(),
            issuer: environment.issuer.clone(),
            keys: Keys::new(Endpoint {
                uri: environment.jwks_uri.clone(),
                client,
            }),
        }))
    }

    async fn admit(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let Inner {
            tenant,
            tenant_id,
            issuer,
            keys,
        } = self.0.as_ref();
        let token = bearer(headers)?;
        let caller = token::check(token, issuer, keys).await.map_err(|refused| {
            info!(%refused, "a token is refused");
            match refused {
                Refused::Unavailable(reason) => Problem::unavailable("the tenant's realm", &reason),
                refused => Problem::bad_token(refused.to_string()),
            }
        })?;
        for (name, own) in [(TENANT_SLUG, tenant), (TENANT_ID, tenant_id)] {
            if headers.get_all(&name).iter().any(|named| named != own.as_str()) {
                return Err(Problem::forbidden(format!(
                    "header {name} names another tenant than this plugin's"
                )));
            }
        }
        Ok(caller)
    }
}

/// Middleware: lets a request in with its [`Caller`], or answers 401, 403 or 503.
pub(crate) async fn gate(State(gate): State<Gate>, mut request: Request, next: Next) -> Result<Response, Problem> {
    let caller = gate.admit(request.headers()).await?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// The token of header `Authorization`; RFC 6750 section 2.1. The scheme's case does not matter (RFC 9110 section 11.1).
fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let header = headers.get(header::AUTHORIZATION).ok_or_else(Problem::no_token)?;
    let (scheme, token) = header
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or_else(Problem::no_token)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(token.trim())
    } else {
        Err(Problem::no_token())
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Missing only where a route was put outside of the gate: closed, not open.
        parts.extensions.get().cloned().ok_or_else(Problem::no_token)
    }
}
