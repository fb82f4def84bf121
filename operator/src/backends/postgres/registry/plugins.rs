//! Plugins in the registry: releases (`core.plugins`) and who installed them (`core.tenant_plugins`).

use async_trait::async_trait;
use plexica_crds::{names::PluginId, ownership::Owner};
use serde::Deserialize;
use serde_json::Value;

use crate::backends::BackendError;

/// Status of a release (`core.plugins.status`); the platform's words, data-model.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, strum::EnumString, strum::IntoStaticStr, strum::Display)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum ReleaseStatus {
    /// Nobody has it.
    Available,
    /// A tenant has it.
    Installed,
    /// Not for new installations.
    Deprecated,
}

/// A release of a plugin.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PluginRelease {
    /// Id of the plugin.
    pub id: PluginId,
    /// Its version.
    pub version: String,
    /// Name for people.
    pub name: String,
    /// What it says of itself.
    pub manifest: Value,
    /// Status.
    pub status: ReleaseStatus,
}

/// Status of an installation (`core.tenant_plugins.status`); the platform's words, data-model.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, strum::EnumString, strum::IntoStaticStr, strum::Display)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum TenantPluginStatus {
    /// Being installed or changed.
    InProgress,
    /// In use.
    Installed,
    /// It did not come to its end.
    Failed,
    /// Gone; its data may be kept.
    Uninstalled,
}

/// A plugin that a tenant has, or had.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TenantPlugin {
    /// Id of the plugin.
    pub plugin: PluginId,
    /// The version.
    pub version: String,
    /// Whether it runs.
    pub enabled: bool,
    /// Its configuration, without secret values.
    pub configuration: Value,
    /// Status.
    pub status: TenantPluginStatus,
    /// Who asked for it.
    pub installed_by: Option<String>,
}

/// Why a release was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The database takes no such value, now or later: what the release says is to blame.
    #[error("{0}")]
    Value(String),
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// The plugins' part of the port to the registry.
#[async_trait]
pub trait PluginRegistry: Send + Sync {
    /// All releases, by id and version as text.
    async fn releases(&self) -> Result<Vec<PluginRelease>, BackendError>;

    /// Writes a release if it differs and says whether it wrote.
    async fn record_release(&self, release: &PluginRelease) -> Result<bool, RecordError>;

    /// Takes a release away and says whether it was there.
    async fn forget_release(&self, id: &PluginId, version: &str) -> Result<bool, BackendError>;

    /// What a tenant has or had, by plugin.
    async fn tenant_plugins(&self, owner: &Owner) -> Result<Vec<TenantPlugin>, BackendError>;

    /// Writes what a tenant has if it differs and says whether it wrote. The tenant must have its row, and must not have ended: then
    /// nothing but `UNINSTALLED` is true, whatever a pass says that began before.
    async fn record_tenant_plugin(&self, owner: &Owner, plugin: &TenantPlugin) -> Result<bool, BackendError>;
}
