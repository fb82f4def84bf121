//! The API of Plexica: custom resources, names, conditions and the rules they keep.
//!
//! This crate knows no Kubernetes client and no backend: it is data and pure functions, so that the
//! operator, the admission webhook, the tests and other services can share it.

#[cfg(test)]
mod admission_tests;
pub mod condition;
pub mod manifest;
pub mod names;
pub mod outcome;
pub mod ownership;
pub mod period;
pub mod plugin;
pub mod plugin_installation;
pub mod quantity;
pub mod schema;
pub mod sql;
pub mod tenant;
pub mod text;
pub mod version_range;
pub mod violation;

pub use plugin::{Plugin, PluginSpec, PluginStatus};
pub use plugin_installation::{PluginInstallation, PluginInstallationSpec, PluginInstallationStatus};
pub use tenant::{Tenant, TenantSpec, TenantStatus};

/// API group of all resources.
pub const GROUP: &str = "plexica.io";
/// Label (on everything the operator makes inside Kubernetes) that holds the tenant's slug.
pub const LABEL_TENANT: &str = "plexica.io/tenant";
/// Label that holds the tenant's id (see [`ownership::Owner`]).
pub const LABEL_TENANT_ID: &str = "plexica.io/tenant-id";
/// Annotation by which a person confirms that a tenant's data may be dropped; its value is the slug.
pub const ANNOTATION_CONFIRM_DELETE: &str = "plexica.io/confirm-delete";
/// Annotation that names the id of the deleted tenant whose retained data a new Tenant is to have.
pub const ANNOTATION_RESTORE: &str = "plexica.io/restore";
/// Label on a namespace that outlives its tenant because the data was retained.
pub const LABEL_RETAINED: &str = "plexica.io/retained";
/// Finalizer that holds a Tenant until its backends are revoked or dropped.
pub const FINALIZER: &str = "plexica.io/tenant";
/// Annotation that asks for the candidate to go live; its value is an id of the asker's choice, carried out once.
pub const ANNOTATION_PROMOTE: &str = "plexica.io/promote";
/// Annotation that asks for the former version to go live again.
pub const ANNOTATION_ROLLBACK: &str = "plexica.io/rollback";
/// Annotation that asks for what was rejected or has failed to be tried again.
pub const ANNOTATION_RETRY: &str = "plexica.io/retry";
/// Annotation that wakes the development slot.
pub const ANNOTATION_WAKE: &str = "plexica.io/wake";
