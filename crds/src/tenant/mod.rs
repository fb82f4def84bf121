//! The Tenant: one customer of the platform, and everything that is provisioned for it.

pub mod conditions;
mod spec;
mod status;
pub mod validation;

pub use spec::{
    Admin, DatabaseSpec, DeletionPolicy, IdentityIsolation, IdentitySpec, LimitRangeSpec, NamespaceSpec, NetworkPolicy,
    StorageSpec, Tenant, TenantSpec,
};
pub use status::{DatabaseStatus, IdentityStatus, Phase, PluginCounts, StorageStatus, TenantStatus};
