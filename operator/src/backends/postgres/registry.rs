//! The platform's registry: schema `core`, the record of all tenants and where they were placed.
//!
//! Services that know no Kubernetes read it; the operator keeps it in step with the Tenant objects.

mod adapter;
mod fake;
mod placement;
mod plugins;
mod plugins_adapter;

pub use adapter::PostgresRegistry;
pub use fake::FakeRegistry;
pub use plugins::{PluginRegistry, PluginRelease, RecordError, ReleaseStatus, TenantPlugin, TenantPluginStatus};

use async_trait::async_trait;
use jiff::Timestamp;
use plexica_crds::{names::TenantSlug, ownership::Owner};
use serde_json::Value;
use uuid::Uuid;

use crate::backends::BackendError;

/// Status of a tenant in the registry (`core.tenants.status`); the platform's words, data-model.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr, strum::Display)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum TenantStatus {
    /// Being made.
    Provisioning,
    /// In use.
    Active,
    /// Shut, data kept, can be resumed.
    Suspended,
    /// Its object is gone, its data is kept until the purge date.
    PendingDeletion,
    /// Nothing is left of it but this row.
    Deleted,
}

/// Where a tenant lives: names of pools of the platform file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Pool of its database.
    pub postgres: String,
    /// Pool of its realm; `None` if it has no realm.
    pub keycloak: Option<String>,
    /// Pool of its bucket.
    pub s3: String,
}

/// A tenant's row.
#[derive(Debug, Clone, PartialEq)]
pub struct RegistryRow {
    /// Id of the tenant.
    pub id: Uuid,
    /// The tenant's name.
    pub slug: TenantSlug,
    /// Name for people.
    pub name: String,
    /// Status.
    pub status: TenantStatus,
    /// Free settings.
    pub settings: Value,
    /// Free theme.
    pub theme: Value,
    /// Where it lives.
    pub pools: Placement,
    /// When retained data may be purged.
    pub purge_at: Option<Timestamp>,
    /// Uid of the Tenant object that holds it.
    pub object_uid: Option<String>,
    /// Generation of that object which this row reflects.
    pub observed_generation: Option<i64>,
    /// When this row last changed.
    pub changed_at: Timestamp,
}

/// A pool on offer for a new tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolOffer {
    /// Name in the platform file.
    pub name: String,
    /// Tenants it may hold.
    pub capacity: u32,
    /// Whether new tenants may be placed on it without naming it.
    pub open: bool,
}

/// What a tenant asks of one kind of backend.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PoolRequest {
    /// The pool it names, if any.
    pub wanted: Option<String>,
    /// All pools of that kind.
    pub offers: Vec<PoolOffer>,
}

/// What a tenant asks of all backends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlacementRequest {
    /// For its database.
    pub postgres: PoolRequest,
    /// For its realm; `None` if it shall have none.
    pub keycloak: Option<PoolRequest>,
    /// For its bucket.
    pub s3: PoolRequest,
}

/// Kind of a backend, as people name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum PoolKind {
    /// Databases.
    Postgres,
    /// Realms.
    Keycloak,
    /// Buckets.
    S3,
}

/// Why a tenant has no place.
#[derive(Debug, thiserror::Error)]
pub enum PlacementError {
    /// The slug belongs to another tenant's data that is still kept.
    #[error("data of an earlier tenant {id} of that name is kept")]
    RetainedData {
        /// Id of the earlier tenant.
        id: Uuid,
        /// When its row last changed: when it was retired.
        since: Timestamp,
        /// When its data may be purged; `None` if it was never retired.
        purge_at: Option<Timestamp>,
    },
    /// The platform file names no such pool.
    #[error("{kind} pool `{wanted}` is unknown; the platform has: {}", known.join(", "))]
    UnknownPool {
        /// Kind.
        kind: PoolKind,
        /// Name asked for.
        wanted: String,
        /// Names there are.
        known: Vec<String>,
    },
    /// No room.
    #[error("no room in {kind} pool(s) {} (capacity {capacity} in all)", pools.join(", "))]
    PoolFull {
        /// Kind.
        kind: PoolKind,
        /// The pools looked at; empty if none is open.
        pools: Vec<String>,
        /// Their capacity together.
        capacity: u64,
    },
    /// The registry did not answer.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// What the operator records about a tenant that it holds.
#[derive(Debug, Clone, PartialEq)]
pub struct RegistryFacts {
    /// Name for people.
    pub name: String,
    /// Free settings.
    pub settings: Value,
    /// Free theme.
    pub theme: Value,
    /// Status. Any but `PENDING_DELETION` also clears the purge date.
    pub status: TenantStatus,
    /// Uid of the Tenant object.
    pub object_uid: String,
    /// Generation of that object.
    pub observed_generation: i64,
}

/// Port to the registry.
#[async_trait]
pub trait Registry: PluginRegistry {
    /// Brings schema `core` to this operator's version; run at start, safe to run twice at once.
    async fn migrate(&self) -> Result<(), BackendError>;

    /// The row of a tenant.
    async fn get(&self, slug: &TenantSlug) -> Result<Option<RegistryRow>, BackendError>;

    /// Rows of all tenants but those `DELETED`, by slug.
    async fn list(&self) -> Result<Vec<RegistryRow>, BackendError>;

    /// Gives a tenant its pools and its row; asked again for the same id, answers the same.
    async fn place(
        &self,
        owner: &Owner,
        slug: &TenantSlug,
        request: &PlacementRequest,
    ) -> Result<Placement, PlacementError>;

    /// Writes what differs and says whether it wrote. Only for the row with the owner's id.
    async fn record(&self, owner: &Owner, slug: &TenantSlug, facts: &RegistryFacts) -> Result<bool, BackendError>;

    /// Marks the row `PENDING_DELETION`, to be purged at that time, and what the tenant installed `UNINSTALLED`. Only for the row with the owner's id.
    async fn retire(&self, owner: &Owner, slug: &TenantSlug, purge_at: Timestamp) -> Result<(), BackendError>;

    /// Marks the row `DELETED`: the slug is free; and what the tenant installed `UNINSTALLED`. Only for the row with the owner's id.
    async fn forget(&self, owner: &Owner, slug: &TenantSlug) -> Result<(), BackendError>;
}
