//! Permissions of a plugin in its tenant's schema (data-model.md), and who has them at first.

use plexica_crds::ownership::Owner;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, types::Json};

use super::{PluginKey, Surplus};
use crate::backends::{
    BackendError,
    postgres::{
        catalog,
        connection::{Database, lock_of},
        holding::Holding,
        sql::identifier,
    },
};

/// A permission that a plugin brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginPermission {
    /// `<plugin id>:<resource>:<action>`.
    pub key: String,
    /// Name for people.
    pub name: String,
    /// What it allows.
    pub description: Option<String>,
    /// Names of the tenant's roles that have it when it is made; `admin` has every one.
    pub roles: Vec<String>,
}

/// What seeding did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeededPermissions {
    /// Whether anything was written.
    pub changed: bool,
    /// Roles that were named and that the tenant does not have.
    pub unknown_roles: Vec<String>,
}

/// `$1` permissions, `$2` the plugin's id, `$3` whether those that are not listed go; one statement, which writes only what differs.
///
/// Other roles get a permission when it is made and not again: that a tenant takes it away from them is the tenant's
/// decision. `admin` gets it back, since nobody else could hand it out.
fn statement(schema: &str) -> String {
    let schema = identifier(schema);
    format!(
        "WITH wanted AS (
    SELECT * FROM jsonb_to_recordset($1) AS (key text, name text, description text, roles text[])),
taken AS (
    SELECT p.key FROM {schema}.permissions AS p JOIN wanted USING (key) WHERE p.plugin_id IS DISTINCT FROM $2),
gone AS (
    DELETE FROM {schema}.permissions
    WHERE $3 AND plugin_id = $2 AND key NOT IN (SELECT key FROM wanted) AND NOT EXISTS (SELECT FROM taken) RETURNING 1),
made AS (
    INSERT INTO {schema}.permissions (key, name, description, plugin_id)
    SELECT key, name, description, $2 FROM wanted
    WHERE key NOT IN (SELECT key FROM {schema}.permissions) AND NOT EXISTS (SELECT FROM taken) RETURNING id, key),
changed AS (
    UPDATE {schema}.permissions AS p SET name = w.name, description = w.description FROM wanted AS w
    WHERE p.key = w.key AND p.plugin_id = $2 AND (p.name, p.description) IS DISTINCT FROM (w.name, w.description)
      AND NOT EXISTS (SELECT FROM taken) RETURNING 1),
kept AS (
    SELECT p.id FROM {schema}.permissions AS p JOIN wanted USING (key) WHERE p.plugin_id = $2),
given AS (
    INSERT INTO {schema}.role_permissions (role_id, permission_id)
    SELECT r.id, made.id FROM made JOIN wanted USING (key) JOIN {schema}.roles AS r
        ON r.name = 'admin' OR r.name = ANY (wanted.roles)
    UNION
    SELECT r.id, kept.id FROM {schema}.roles AS r, kept WHERE r.name = 'admin' AND NOT EXISTS (
        SELECT FROM {schema}.role_permissions AS g WHERE g.role_id = r.id AND g.permission_id = kept.id)
    RETURNING 1)
SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM made) + (SELECT count(*) FROM changed)
           + (SELECT count(*) FROM given) > 0,
       (SELECT min(key) FROM taken),
       ARRAY(SELECT DISTINCT role FROM wanted, unnest(wanted.roles) AS role
             WHERE role NOT IN (SELECT name FROM {schema}.roles) ORDER BY 1)"
    )
}

/// Brings a plugin's permissions to these. Runs as the operator, in the tenant's own schema.
pub(super) async fn seed(
    database: &Database,
    owner: &Owner,
    PluginKey { slug, plugin }: &PluginKey,
    permissions: &[PluginPermission],
    surplus: Surplus,
) -> Result<SeededPermissions, BackendError> {
    let error = |error: sqlx::Error| database.error(&error);
    let tenant = Holding::of_tenant(owner, slug);
    let mut transaction = database.begin_locked(&lock_of(&tenant.schema)).await?;
    let found = catalog::read(&mut transaction, &tenant).await.map_err(error)?;
    match &found.schema {
        None if permissions.is_empty() => return Ok(SeededPermissions::default()),
        None => {
            return Err(BackendError::Unavailable(format!(
                "the tenant's own schema {} is not there yet",
                tenant.schema
            )));
        }
        Some(schema) if !tenant.bears(schema.comment.as_deref()) => {
            return Err(BackendError::Foreign(format!("schema {}", tenant.schema)));
        }
        Some(_) => {}
    }
    let (changed, taken, unknown_roles): (bool, Option<String>, Vec<String>) =
        sqlx::query_as(AssertSqlSafe(statement(tenant.schema.as_str())))
            .bind(Json(permissions))
            .bind(plugin.as_str())
            .bind(surplus == Surplus::Removed)
            .persistent(false)
            .fetch_one(&mut *transaction)
            .await
            .map_err(error)?;
    if let Some(key) = taken {
        return Err(BackendError::Foreign(format!("permission {key} of tenant {slug}")));
    }
    database.commit(transaction).await?;
    Ok(SeededPermissions { changed, unknown_roles })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_named_with_the_tenants_schema() {
        let statement = statement("tenant_acme");
        for keyword in ["FROM", "JOIN", "INTO", "UPDATE"] {
            for table in ["permissions", "role_permissions", "roles"] {
                let bare = format!("{keyword} {table} ");
                assert!(!statement.contains(&bare), "{bare}");
            }
        }
    }
}
