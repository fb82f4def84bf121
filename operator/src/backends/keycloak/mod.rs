//! Realms of tenants: the port.
//!
//! One tenant is one realm with its clients, its roles, its first administrators and an automation client
//! by which the operator manages it from then on.

mod adapter;
mod automation;
mod client;
mod fake;
mod realm;
mod representation;

pub use adapter::KeycloakBackend;
pub use client::KeycloakConfig;
pub use fake::FakeIdentity;

use std::time::Duration;

use async_trait::async_trait;
use plexica_crds::{names::TenantSlug, ownership::Owner};
use url::Url;

use super::{BackendError, Breaches, Observed};

/// A person who administers a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Address; lower-cased it is the username.
    pub email: String,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
}

/// What a tenant's realm shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentitySpec {
    /// The mark that the realm bears.
    pub owner: Owner,
    /// The tenant, from whose name the realm's derives.
    pub slug: TenantSlug,
    /// Name for people, on the login page.
    pub display_name: String,
    /// Login theme; `None` leaves the realm's as it is.
    pub login_theme: Option<String>,
    /// Lifespan of access tokens.
    pub access_token_lifespan: Duration,
    /// Idle time after which a session ends.
    pub sso_session_idle: Duration,
    /// Time after which a session ends.
    pub sso_session_max: Duration,
    /// Redirect URIs of `plexica-web`: the complete list.
    pub redirect_uris: Vec<String>,
    /// Web origins of `plexica-web`: the complete list.
    pub web_origins: Vec<String>,
    /// Administrators to make if missing; those no longer listed are people and stay.
    pub admins: Vec<Admin>,
}

/// What was found of a tenant's own realm.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdentityState {
    /// What differs from the spec, for people; empty means converged.
    pub differences: Vec<String>,
}

/// Port to one Keycloak.
#[async_trait]
pub trait IdentityBackend: Send + Sync {
    /// Reads the realm; changes nothing.
    async fn observe(&self, spec: &IdentitySpec) -> Result<Observed<IdentityState>, BackendError>;

    /// Makes the realm in one call. Finding it there already (ours) is success and brings it to the spec.
    async fn create(&self, spec: &IdentitySpec) -> Result<(), BackendError>;

    /// Brings everything that the spec names to the spec, and leaves what it does not name.
    async fn update(&self, spec: &IdentitySpec) -> Result<(), BackendError>;

    /// Disables the realm and ends its sessions. Absent and foreign realms are left alone: success.
    async fn revoke(&self, owner: &Owner, slug: &TenantSlug) -> Result<(), BackendError>;

    /// Deletes the realm. Absent and foreign realms are left alone: success.
    async fn delete(&self, owner: &Owner, slug: &TenantSlug) -> Result<(), BackendError>;

    /// Tries with the realm's own automation client what must work and what must not.
    async fn verify_isolation(&self, owner: &Owner, slug: &TenantSlug) -> Result<Breaches, BackendError>;

    /// Issuer of the tenant's tokens; its keys are at `<issuer>/protocol/openid-connect/certs`.
    fn issuer(&self, slug: &TenantSlug) -> Url;
}

/// Issuer of a realm below what all issuers of a Keycloak begin with.
fn issuer_of(base: &Url, slug: &TenantSlug) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(["realms", slug.realm().as_str()]);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_keeps_the_path_of_its_base() {
        let slug = TenantSlug::parse("acme").unwrap();
        for (base, issuer) in [
            ("https://id.example.com", "https://id.example.com/realms/tenant-acme"),
            (
                "https://example.com:8443/auth/",
                "https://example.com:8443/auth/realms/tenant-acme",
            ),
        ] {
            assert_eq!(issuer_of(&base.parse().unwrap(), &slug).as_str(), issuer);
        }
    }
}
