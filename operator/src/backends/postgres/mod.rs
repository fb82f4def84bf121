//! Databases of tenants: the port, and the registry of all tenants beside it.
//!
//! One tenant is one schema with an owner role that can never log in and two login roles that take turns
//! at rotation; all of it, and the template tables, appear in one transaction or not at all.

mod adapter;
mod catalog;
mod connection;
mod fake;
mod holding;
mod isolation;
mod migrations;
mod own_schema;
mod plan;
pub mod plugin;
mod plugin_key;
mod pool;
pub mod registry;
mod removal;
mod sql;
mod steps;
mod verifier;

pub use adapter::PostgresBackend;
pub use connection::{PostgresConfig, TlsMode};
pub use fake::FakeDatabase;

use std::time::Duration;

use async_trait::async_trait;
use plexica_crds::{names::TenantSlug, ownership::Owner};
use secrecy::SecretString;

use super::{BackendError, Breaches, Credential, Observed};

/// What a tenant's schema and roles shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseSpec {
    /// The mark that schema and roles bear.
    pub owner: Owner,
    /// The tenant, from whose name all names derive.
    pub slug: TenantSlug,
    /// Sessions that each login role may have at once.
    pub connection_limit: i32,
    /// `statement_timeout` of the tenant's sessions.
    pub statement_timeout: Duration,
}

impl DatabaseSpec {
    fn holding(&self) -> holding::Holding {
        holding::Holding::of_tenant(&self.owner, &self.slug)
    }
}

/// What was found of a tenant's own schema and roles.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DatabaseState {
    /// What differs from the spec, for people; empty means converged.
    pub differences: Vec<String>,
    /// Id of the credential that the active login role accepts; `None` if it has none of ours.
    pub credential_id: Option<String>,
    /// Name of the last migration applied.
    pub migration: Option<String>,
}

/// Where services reach the database, for the tenant's Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseEndpoint {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Name of the database.
    pub database: String,
}

/// Port to the database of one pool.
#[async_trait]
pub trait DatabaseBackend: Send + Sync {
    /// Reads what is there under the tenant's names; changes nothing.
    async fn observe(&self, spec: &DatabaseSpec) -> Result<Observed<DatabaseState>, BackendError>;

    /// Makes roles, schema, template tables and marks. Finding them there already (ours) is success and brings
    /// them to the spec, credential included.
    async fn create(&self, spec: &DatabaseSpec, credential: &Credential) -> Result<(), BackendError>;

    /// Brings everything to the spec, what is missing included; `Some` sets this password on the active role.
    async fn update(&self, spec: &DatabaseSpec, credential: Option<&Credential>) -> Result<(), BackendError>;

    /// Shuts the tenant out: no login, sessions ended, data kept. Absent and foreign things are left alone: success.
    async fn revoke(&self, owner: &Owner, slug: &TenantSlug) -> Result<(), BackendError>;

    /// Drops schema and roles. Absent and foreign things are left alone: success.
    async fn delete(&self, owner: &Owner, slug: &TenantSlug) -> Result<(), BackendError>;

    /// Logs in as the tenant and tries what must work and what must not.
    async fn verify_isolation(
        &self,
        slug: &TenantSlug,
        username: &str,
        password: &SecretString,
    ) -> Result<Breaches, BackendError>;

    /// Where services reach this database.
    fn endpoint(&self) -> DatabaseEndpoint;
}
