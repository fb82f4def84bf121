//! A plugin's part of a tenant's database: the port.
//!
//! One plugin of one tenant is one schema, a role that owns what is in it, and two login roles that take turns at
//! rotation. The schema itself belongs to the operator: so no script of the plugin can drop it, take its mark away or
//! open it to others. Scripts run logged in as the owner role, which may log in only while they do.

mod adapter;
mod catalog;
mod desk;
mod fake;
mod grants;
mod ledger;
mod migration;
mod permissions;
mod plan;
mod runner;
mod script;
mod session;

pub use fake::{FAILING_SQL, FakePluginDatabase};
pub use grants::{RefusedGrant, TenantTables};
pub use migration::{AppliedMigration, MigrationError, MigrationFailure, MigrationLimits, PluginMigration};
pub use permissions::{PluginPermission, SeededPermissions};

use std::time::Duration;

use async_trait::async_trait;
use plexica_crds::{
    names::{PluginId, TenantSlug},
    ownership::Owner,
    plugin::MigrationPhase,
};
use secrecy::SecretString;

pub use super::plugin_key::PluginKey;

use super::holding::Holding;
use crate::backends::{BackendError, Breaches, Credential, Observed};

/// Schema of the operator's own in each database that holds tenants.
pub(super) const OPERATOR_SCHEMA: &str = "plexica";

/// What a plugin's schema and roles shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginDatabaseSpec {
    /// The tenant's mark; the plugin's own adds its id.
    pub owner: Owner,
    /// Tenant and plugin, from which all names derive.
    pub key: PluginKey,
    /// Sessions that each login role may have at once.
    pub connection_limit: i32,
    /// `statement_timeout` of the plugin's sessions.
    pub statement_timeout: Duration,
    /// What the plugin may do with the tenant's own tables.
    pub tenant_tables: TenantTables,
    /// What becomes of privileges on them that are not listed.
    pub surplus: Surplus,
}

/// What becomes of privileges and permissions that a plugin has and that are not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surplus {
    /// They stay: somebody that is not listed may still use them.
    Kept,
    /// They go.
    Removed,
}

impl PluginDatabaseSpec {
    pub(super) fn holding(&self) -> Holding {
        Holding::of_plugin(&self.owner, &self.key)
    }
}

/// What was found of a plugin's own schema and roles.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PluginDatabaseState {
    /// What differs from the spec, for people; empty means converged.
    pub differences: Vec<String>,
    /// Id of the credential that the active login role accepts; `None` if it has none of ours.
    pub credential_id: Option<String>,
    /// Names of the migrations applied, sorted.
    pub applied: Vec<String>,
}

/// Port to the plugins' part of the database of one pool.
#[async_trait]
pub trait PluginDatabase: Send + Sync {
    /// Reads what is there under the plugin's names; changes nothing.
    async fn observe(&self, spec: &PluginDatabaseSpec) -> Result<Observed<PluginDatabaseState>, BackendError>;

    /// Makes roles, schema, grants and marks. Finding them there already (ours) is success and brings them to the
    /// spec, credential included. The tenant's own schema must be there.
    async fn create(&self, spec: &PluginDatabaseSpec, credential: &Credential) -> Result<(), BackendError>;

    /// Brings everything to the spec, what is missing included; `Some` sets this password on the active role.
    async fn update(&self, spec: &PluginDatabaseSpec, credential: Option<&Credential>) -> Result<(), BackendError>;

    /// Sets this password on the active role and changes nothing else, also while migrations run. Absent and foreign roles are an
    /// error.
    async fn set_credential(&self, spec: &PluginDatabaseSpec, credential: &Credential) -> Result<(), BackendError>;

    /// Applies those migrations of a phase that are not applied, in the order given, and stops at the first that
    /// fails. Each is applied exactly once, whatever the operator is killed at.
    async fn migrate(
        &self,
        spec: &PluginDatabaseSpec,
        migrations: &[PluginMigration],
        phase: MigrationPhase,
        limits: &MigrationLimits,
    ) -> Result<Vec<AppliedMigration>, MigrationError>;

    /// Brings the plugin's permissions in the tenant's schema to these, with or without a surplus.
    async fn seed_permissions(
        &self,
        owner: &Owner,
        key: &PluginKey,
        permissions: &[PluginPermission],
        surplus: Surplus,
    ) -> Result<SeededPermissions, BackendError>;

    /// Shuts the plugin out: no login, sessions ended, data kept. Absent and foreign things are left alone: success.
    async fn revoke(&self, owner: &Owner, key: &PluginKey) -> Result<(), BackendError>;

    /// Drops schema, roles and the record of migrations. Absent and foreign things are left alone: success.
    async fn delete(&self, owner: &Owner, key: &PluginKey) -> Result<(), BackendError>;

    /// The plugins of a tenant of which there is a schema or a role, installed or kept: what a tenant's suspension
    /// and deletion have to reach.
    async fn plugins_of(&self, owner: &Owner, slug: &TenantSlug) -> Result<Vec<PluginId>, BackendError>;

    /// Logs in as the plugin and tries what must work and what must not.
    async fn verify_isolation(
        &self,
        spec: &PluginDatabaseSpec,
        username: &str,
        password: &SecretString,
    ) -> Result<Breaches, BackendError>;
}
