//! The Plugin: one released version of a plugin, registered once for all tenants.

pub mod conditions;
pub mod configuration_schema;
mod data;
pub mod immutability;
pub mod migrations;
pub mod paths;
mod runtime;
mod spec;
mod status;
pub mod validation;

pub use data::{
    ConfigMapKeyRef, ConfigurationSpec, DatabaseSpec, MAX_CONNECTIONS, Migration, MigrationPhase, Privilege,
    TenantTable, TenantTableName,
};
pub use runtime::{EnvVar, ProbeSpec, ProbesSpec, RESERVED_ENV, ResourcesSpec, RuntimeSpec, Sharing};
pub use spec::{
    ApiSpec, Conflict, Dependency, DependencyKind, Deprecation, EventsSpec, FrontendSpec, Permission, Plugin,
    PluginSpec,
};
pub use status::{AcceptedScript, InstallationCounts, PluginStatus, State};
