//! The registry in PostgreSQL: schema `core` of one pool's database.

use async_trait::async_trait;
use jiff::Timestamp;
use plexica_crds::{names::TenantSlug, ownership::Owner};
use serde::Deserialize;
use serde_json::Value;
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{
    Placement, PlacementError, PlacementRequest, PoolKind, Registry, RegistryFacts, RegistryRow, TenantStatus,
    placement::{Load, choose},
};
use crate::backends::{
    BackendError,
    postgres::{PostgresConfig, connection::Database, migrations, own_schema},
};

/// Schema `core`.
pub struct PostgresRegistry {
    pub(super) database: Database,
}

impl PostgresRegistry {
    /// A registry that connects when first used.
    pub fn connect(config: PostgresConfig) -> Self {
        Self {
            database: Database::connect(config),
        }
    }

    pub(super) fn error(&self, error: &sqlx::Error) -> BackendError {
        self.database.error(error)
    }

    async fn read(
        &self,
        connection: &mut PgConnection,
        slug: &TenantSlug,
    ) -> Result<Option<RegistryRow>, BackendError> {
        let query = format!("{SELECT} WHERE slug = $1");
        let row: Option<Json<Row>> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .bind(slug.as_str())
            .fetch_optional(connection)
            .await
            .map_err(|error| self.error(&error))?;
        row.map(|Json(row)| row.parse()).transpose()
    }

    /// What the tenant installed ends with it. After the statement that ends the tenant, in one transaction with it: whoever
    /// records an installation locks the tenant's row, so that all of them are seen.
    async fn end_plugins(&self, connection: &mut PgConnection, owner: &Owner) -> Result<(), BackendError> {
        sqlx::query(
            "UPDATE core.tenant_plugins SET enabled = false, status = 'UNINSTALLED'
             WHERE tenant_id = $1 AND (enabled OR status <> 'UNINSTALLED')",
        )
        .bind(owner.tenant_id)
        .execute(connection)
        .await
        .map(drop)
        .map_err(|error| self.error(&error))
    }

    /// Tenants on each pool, by kind.
    async fn load(&self, connection: &mut PgConnection) -> Result<Loads, BackendError> {
        let rows: Vec<(String, Option<String>, String, i64)> = sqlx::query_as(
            "SELECT postgres_pool, keycloak_pool, s3_pool, count(*) FROM core.tenants
             WHERE status <> 'DELETED' GROUP BY 1, 2, 3",
        )
        .fetch_all(connection)
        .await
        .map_err(|error| self.error(&error))?;
        let mut loads = Loads::default();
        for (postgres, keycloak, s3, count) in rows {
            let count = u64::try_from(count).unwrap_or(0);
            *loads.postgres.entry(postgres).or_default() += count;
            *loads.s3.entry(s3).or_default() += count;
            if let Some(keycloak) = keycloak {
                *loads.keycloak.entry(keycloak).or_default() += count;
            }
        }
        Ok(loads)
    }
}

#[derive(Default)]
struct Loads {
    postgres: Load,
    keycloak: Load,
    s3: Load,
}

/// A row as the database words it. Times are microseconds since 1970.
const SELECT: &str = "SELECT jsonb_build_object(
    'id', id, 'slug', slug, 'name', name, 'status', status, 'settings', settings, 'theme', theme,
    'postgres_pool', postgres_pool, 'keycloak_pool', keycloak_pool, 's3_pool', s3_pool,
    'purge_at', (extract(epoch FROM purge_at) * 1000000)::bigint,
    'changed_at', (extract(epoch FROM updated_at) * 1000000)::bigint,
    'object_uid', object_uid, 'observed_generation', observed_generation)
FROM core.tenants";

#[derive(Deserialize)]
struct Row {
    id: Uuid,
    slug: String,
    name: String,
    status: String,
    settings: Value,
    theme: Value,
    postgres_pool: String,
    keycloak_pool: Option<String>,
    s3_pool: String,
    purge_at: Option<i64>,
    changed_at: i64,
    object_uid: Option<String>,
    observed_generation: Option<i64>,
}

impl Row {
    fn parse(self) -> Result<RegistryRow, BackendError> {
        let unexpected = |what: String| BackendError::Unexpected(format!("registry row of {}: {what}", self.slug));
        let time = |micros: i64| Timestamp::from_microsecond(micros).map_err(|error| unexpected(error.to_string()));
        Ok(RegistryRow {
            id: self.id,
            slug: TenantSlug::parse(&self.slug).map_err(|error| unexpected(error.to_string()))?,
            status: self
                .status
                .parse()
                .map_err(|_| unexpected(format!("unknown status {}", self.status)))?,
            purge_at: self.purge_at.map(time).transpose()?,
            changed_at: time(self.changed_at)?,
            name: self.name,
            settings: self.settings,
            theme: self.theme,
            pools: Placement {
                postgres: self.postgres_pool,
                keycloak: self.keycloak_pool,
                s3: self.s3_pool,
            },
            object_uid: self.object_uid,
            observed_generation: self.observed_generation,
        })
    }
}

#[async_trait]
impl Registry for PostgresRegistry {
    async fn migrate(&self) -> Result<(), BackendError> {
        own_schema::bring(&self.database, "core", migrations::CORE).await
    }

    async fn get(&self, slug: &TenantSlug) -> Result<Option<RegistryRow>, BackendError> {
        let mut connection = self.database.pool.acquire().await.map_err(|error| self.error(&error))?;
        self.read(&mut connection, slug).await
    }

    async fn list(&self) -> Result<Vec<RegistryRow>, BackendError> {
        let query = format!("{SELECT} WHERE status <> 'DELETED' ORDER BY slug");
        let rows: Vec<Json<Row>> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_all(&self.database.pool)
            .await
            .map_err(|error| self.error(&error))?;
        rows.into_iter().map(|Json(row)| row.parse()).collect()
    }

    async fn place(
        &self,
        owner: &Owner,
        slug: &TenantSlug,
        request: &PlacementRequest,
    ) -> Result<Placement, PlacementError> {
        let mut transaction = self.database.begin_locked("plexica:placement").await?;
        let found = self.read(&mut transaction, slug).await?;
        let kept = match &found {
            Some(row) if row.status == TenantStatus::Deleted => None,
            Some(row) if row.id == owner.tenant_id => Some(row.pools.clone()),
            Some(row) => {
                let RegistryRow {
                    id,
                    changed_at,
                    purge_at,
                    ..
                } = *row;
                return Err(PlacementError::RetainedData {
                    id,
                    since: changed_at,
                    purge_at,
                });
            }
            None => None,
        };
        let wants_realm = kept.as_ref().is_some_and(|pools| pools.keycloak.is_none()) && request.keycloak.is_some();
        if let Some(pools) = kept.clone().filter(|_| !wants_realm) {
            return Ok(pools);
        }
        let loads = self.load(&mut transaction).await?;
        let keycloak = request
            .keycloak
            .as_ref()
            .map(|request| choose(PoolKind::Keycloak, request, &loads.keycloak));
        let keycloak = keycloak.transpose()?;
        let pools = match kept {
            Some(pools) => Placement { keycloak, ..pools },
            None => Placement {
                postgres: choose(PoolKind::Postgres, &request.postgres, &loads.postgres)?,
                keycloak,
                s3: choose(PoolKind::S3, &request.s3, &loads.s3)?,
            },
        };
        let error = |error| PlacementError::from(self.error(&error));
        // Replaces the row of a tenant of that name of which nothing is left, and completes one's own.
        sqlx::query("DELETE FROM core.tenants WHERE slug = $1 AND status = 'DELETED'")
            .bind(slug.as_str())
            .execute(&mut *transaction)
            .await
            .map_err(error)?;
        sqlx::query(
            "INSERT INTO core.tenants (id, slug, name, postgres_pool, keycloak_pool, s3_pool)
             VALUES ($1, $2, $2, $3, $4, $5)
             ON CONFLICT (id) DO UPDATE SET keycloak_pool = excluded.keycloak_pool, updated_at = now()",
        )
        .bind(owner.tenant_id)
        .bind(slug.as_str())
        .bind(&pools.postgres)
        .bind(&pools.keycloak)
        .bind(&pools.s3)
        .execute(&mut *transaction)
        .await
        .map_err(error)?;
        self.database.commit(transaction).await?;
        Ok(pools)
    }

    async fn record(&self, owner: &Owner, slug: &TenantSlug, facts: &RegistryFacts) -> Result<bool, BackendError> {
        let RegistryFacts {
            name,
            settings,
            theme,
            status,
            object_uid,
            observed_generation,
        } = facts;
        let status: &str = status.into();
        // JSON is compared by the database: 1e2 and 100 are one number there.
        let same: Option<(Uuid, bool)> = sqlx::query_as(
            "SELECT id, name = $2 AND settings = $3 AND theme = $4 AND status = $5
                    AND object_uid IS NOT DISTINCT FROM $6 AND observed_generation IS NOT DISTINCT FROM $7
                    AND (purge_at IS NULL OR $5 = 'PENDING_DELETION')
             FROM core.tenants WHERE slug = $1",
        )
        .bind(slug.as_str())
        .bind(name)
        .bind(Json(settings))
        .bind(Json(theme))
        .bind(status)
        .bind(object_uid)
        .bind(observed_generation)
        .fetch_optional(&self.database.pool)
        .await
        .map_err(|error| self.error(&error))?;
        match same {
            Some((id, true)) if id == owner.tenant_id => return Ok(false),
            Some((id, false)) if id == owner.tenant_id => {}
            Some(_) => return Err(BackendError::Foreign(format!("the registry's row of tenant {slug}"))),
            None => {
                return Err(BackendError::Unexpected(format!(
                    "the registry has no row of tenant {slug}"
                )));
            }
        }
        let written = sqlx::query(
            "UPDATE core.tenants
             SET name = $3, settings = $4, theme = $5, status = $6, object_uid = $7, observed_generation = $8,
                 purge_at = CASE WHEN $6 = 'PENDING_DELETION' THEN purge_at END, updated_at = now()
             WHERE slug = $1 AND id = $2",
        )
        .bind(slug.as_str())
        .bind(owner.tenant_id)
        .bind(name)
        .bind(Json(settings))
        .bind(Json(theme))
        .bind(status)
        .bind(object_uid)
        .bind(observed_generation)
        .execute(&self.database.pool)
        .await
        .map_err(|error| self.error(&error))?;
        Ok(written.rows_affected() > 0)
    }

    async fn retire(&self, owner: &Owner, slug: &TenantSlug, purge_at: Timestamp) -> Result<(), BackendError> {
        let mut transaction = self.database.pool.begin().await.map_err(|error| self.error(&error))?;
        sqlx::query(
            "UPDATE core.tenants SET status = 'PENDING_DELETION', purge_at = ($3::text)::timestamptz, updated_at = now()
             WHERE slug = $1 AND id = $2 AND status <> 'DELETED'
               AND (status <> 'PENDING_DELETION' OR purge_at IS DISTINCT FROM ($3::text)::timestamptz)",
        )
        .bind(slug.as_str())
        .bind(owner.tenant_id)
        .bind(purge_at.to_string())
        .execute(&mut *transaction)
        .await
        .map_err(|error| self.error(&error))?;
        self.end_plugins(&mut transaction, owner).await?;
        self.database.commit(transaction).await
    }

    async fn forget(&self, owner: &Owner, slug: &TenantSlug) -> Result<(), BackendError> {
        let mut transaction = self.database.pool.begin().await.map_err(|error| self.error(&error))?;
        sqlx::query(
            "UPDATE core.tenants SET status = 'DELETED', purge_at = NULL, updated_at = now()
             WHERE slug = $1 AND id = $2 AND status <> 'DELETED'",
        )
        .bind(slug.as_str())
        .bind(owner.tenant_id)
        .execute(&mut *transaction)
        .await
        .map_err(|error| self.error(&error))?;
        self.end_plugins(&mut transaction, owner).await?;
        self.database.commit(transaction).await
    }
}
