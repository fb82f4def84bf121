//! Plugins in `core`, in PostgreSQL.

use async_trait::async_trait;
use plexica_crds::{names::PluginId, ownership::Owner};
use serde::de::DeserializeOwned;
use sqlx::types::Json;

use super::{PluginRegistry, PluginRelease, PostgresRegistry, RecordError, TenantPlugin};
use crate::backends::{BackendError, postgres::connection::sqlstate};

impl PostgresRegistry {
    /// Why a release was not recorded. Class 22 is about values; of statements, too, but ours are constant.
    fn unrecorded(&self, error: &sqlx::Error) -> RecordError {
        let is_of_value = sqlstate(error).is_some_and(|code| code.starts_with("22"));
        match self.error(error) {
            BackendError::Unexpected(said) if is_of_value => RecordError::Value(said),
            other => other.into(),
        }
    }

    /// Rows that the database words as JSON.
    fn rows<T: DeserializeOwned>(&self, found: Result<Vec<Json<T>>, sqlx::Error>) -> Result<Vec<T>, BackendError> {
        let rows = found.map_err(|error| self.error(&error))?;
        Ok(rows.into_iter().map(|Json(row)| row).collect())
    }
}

#[async_trait]
impl PluginRegistry for PostgresRegistry {
    async fn releases(&self) -> Result<Vec<PluginRelease>, BackendError> {
        let found = sqlx::query_scalar(
            "SELECT jsonb_build_object('id', id, 'version', version, 'name', name, 'manifest', manifest,
                                       'status', status)
             FROM core.plugins ORDER BY id, version",
        );
        self.rows(found.fetch_all(&self.database.pool).await)
    }

    async fn record_release(&self, release: &PluginRelease) -> Result<bool, RecordError> {
        let PluginRelease {
            id,
            version,
            name,
            manifest,
            status,
        } = release;
        let status: &str = status.into();
        // A conflict locks its row even if nothing is to be updated: so it is looked first.
        let same: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM core.plugins
                            WHERE id = $1 AND version = $2 AND name = $3 AND manifest = $4 AND status = $5)",
        )
        .bind(id.as_str())
        .bind(version)
        .bind(name)
        .bind(Json(manifest))
        .bind(status)
        .fetch_one(&self.database.pool)
        .await
        .map_err(|error| self.unrecorded(&error))?;
        if same {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO core.plugins (id, version, name, manifest, status) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (id, version) DO UPDATE
             SET name = excluded.name, manifest = excluded.manifest, status = excluded.status, updated_at = now()",
        )
        .bind(id.as_str())
        .bind(version)
        .bind(name)
        .bind(Json(manifest))
        .bind(status)
        .execute(&self.database.pool)
        .await
        .map_err(|error| self.unrecorded(&error))?;
        Ok(true)
    }

    async fn forget_release(&self, id: &PluginId, version: &str) -> Result<bool, BackendError> {
        let deleted = sqlx::query("DELETE FROM core.plugins WHERE id = $1 AND version = $2")
            .bind(id.as_str())
            .bind(version)
            .execute(&self.database.pool)
            .await
            .map_err(|error| self.error(&error))?;
        Ok(deleted.rows_affected() > 0)
    }

    async fn tenant_plugins(&self, owner: &Owner) -> Result<Vec<TenantPlugin>, BackendError> {
        let found = sqlx::query_scalar(
            "SELECT jsonb_build_object('plugin', plugin_id, 'version', version, 'enabled', enabled,
                                       'configuration', configuration, 'status', status,
                                       'installed_by', installed_by)
             FROM core.tenant_plugins WHERE tenant_id = $1 ORDER BY plugin_id",
        );
        self.rows(found.bind(owner.tenant_id).fetch_all(&self.database.pool).await)
    }

    async fn record_tenant_plugin(&self, owner: &Owner, plugin: &TenantPlugin) -> Result<bool, BackendError> {
        let TenantPlugin {
            plugin,
            version,
            enabled,
            configuration,
            status,
            installed_by,
        } = plugin;
        let status: &str = status.into();
        let same: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM core.tenant_plugins
                            WHERE tenant_id = $1 AND plugin_id = $2 AND version = $3 AND enabled = $4
                              AND configuration = $5 AND status = $6 AND installed_by IS NOT DISTINCT FROM $7)",
        )
        .bind(owner.tenant_id)
        .bind(plugin.as_str())
        .bind(version)
        .bind(enabled)
        .bind(Json(configuration))
        .bind(status)
        .bind(installed_by)
        .fetch_one(&self.database.pool)
        .await
        .map_err(|error| self.error(&error))?;
        if same {
            return Ok(false);
        }
        let written = sqlx::query(
            "INSERT INTO core.tenant_plugins
                 (tenant_id, plugin_id, version, enabled, configuration, status, installed_by)
             SELECT id, $2, $3, $4, $5, $6, $7 FROM core.tenants
             WHERE id = $1 AND (status NOT IN ('PENDING_DELETION', 'DELETED') OR $6 = 'UNINSTALLED')
             FOR SHARE
             ON CONFLICT (tenant_id, plugin_id) DO UPDATE
             SET version = excluded.version, enabled = excluded.enabled, configuration = excluded.configuration,
                 status = excluded.status, installed_by = excluded.installed_by",
        )
        .bind(owner.tenant_id)
        .bind(plugin.as_str())
        .bind(version)
        .bind(enabled)
        .bind(Json(configuration))
        .bind(status)
        .bind(installed_by)
        .execute(&self.database.pool)
        .await
        .map_err(|error| self.error(&error))?;
        if written.rows_affected() == 0 {
            return Err(BackendError::Unexpected(format!(
                "the registry has no row of tenant {}, or it has ended",
                owner.tenant_id
            )));
        }
        Ok(true)
    }
}
