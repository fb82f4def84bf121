//! Shutting a tenant out and dropping what it had. Each thing without the tenant's mark is left alone.

use std::time::Duration;

use plexica_crds::{names::TenantSlug, ownership::Owner};

use super::{
    catalog::{self, bears},
    connection::{Database, tenant_lock},
    sql::{Script, identifier},
};
use crate::backends::BackendError;

/// Relations dropped in one transaction. Each takes locks for itself, its indexes and its TOAST table; dropping 2,000
/// tables at once overflows the lock table (anchors/tenancy.md section 5).
const DROP_BATCH: i64 = 500;
/// Dropping a batch may wait for the disk.
const DROP_TIMEOUT: Duration = Duration::from_mins(2);
/// How often sessions are looked for again: one may have been logging in while the role was shut.
const TERMINATE_ROUNDS: usize = 3;
/// How long the server waits for a session to end.
const TERMINATE_WAIT_MS: i64 = 1_000;

/// Takes LOGIN from the tenant's roles and ends their sessions. Writes nothing if that is so already.
pub(super) async fn revoke(database: &Database, owner: &Owner, slug: &TenantSlug) -> Result<(), BackendError> {
    let error = |error| database.error(&error);
    let mut connection = database.pool.acquire().await.map_err(error)?;
    let found = catalog::read(&mut connection, slug).await.map_err(error)?;
    drop(connection);
    let own: Vec<String> = found.own_roles(owner).into_iter().map(str::to_owned).collect();
    if own
        .iter()
        .any(|name| found.roles.get(name).is_some_and(|role| role.login))
    {
        let mut transaction = database.begin_locked(&tenant_lock(&slug.schema())).await?;
        let found = catalog::read(&mut transaction, slug).await.map_err(error)?;
        let script = found
            .own_roles(owner)
            .iter()
            .map(|name| format!("ALTER ROLE {} NOLOGIN", identifier(name)))
            .collect();
        database.run(&mut transaction, script).await?;
        database.commit(transaction).await?;
    }
    terminate(database, &own).await
}

/// Ends the sessions of these roles.
async fn terminate(database: &Database, roles: &[String]) -> Result<(), BackendError> {
    for _ in 0..TERMINATE_ROUNDS {
        let ended: Vec<bool> =
            sqlx::query_scalar("SELECT pg_terminate_backend(pid, $2) FROM pg_stat_activity WHERE usename = ANY ($1)")
                .bind(roles)
                .bind(TERMINATE_WAIT_MS)
                .fetch_all(&database.pool)
                .await
                .map_err(|error| database.error(&error))?;
        if ended.is_empty() {
            return Ok(());
        }
    }
    Err(BackendError::Unavailable(
        "sessions of the tenant do not end".to_owned(),
    ))
}

/// Drops the tenant's tables in batches, then its schema and roles.
pub(super) async fn delete(database: &Database, owner: &Owner, slug: &TenantSlug) -> Result<(), BackendError> {
    revoke(database, owner, slug).await?;
    while drop_batch(database, owner, slug).await? {}
    drop_rest(database, owner, slug).await
}

/// Drops some of the schema's relations and says whether there may be more.
async fn drop_batch(database: &Database, owner: &Owner, slug: &TenantSlug) -> Result<bool, BackendError> {
    let schema = slug.schema();
    let mut transaction = database.begin_locked(&tenant_lock(&schema)).await?;
    // Partitions before what they are partitions of, and what depends on tables before tables.
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE'
                     ELSE 'TABLE' END, c.relname::text
         FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
         WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
           AND obj_description(n.oid, 'pg_namespace') = $2
         ORDER BY array_position(ARRAY['v', 'm', 'f', 'r', 'p'], c.relkind::text), c.relispartition DESC, c.relname
         LIMIT $3",
    )
    .bind(schema.as_str())
    .bind(mark_of(&mut transaction, database, owner, slug).await?)
    .bind(DROP_BATCH)
    .fetch_all(&mut *transaction)
    .await
    .map_err(|error| database.error(&error))?;
    if rows.is_empty() {
        return Ok(false);
    }
    let schema = identifier(schema.as_str());
    let mut script = with_timeout();
    for (kind, name) in &rows {
        script.push(format!("DROP {kind} IF EXISTS {schema}.{} CASCADE", identifier(name)));
    }
    database.run(&mut transaction, script).await?;
    database.commit(transaction).await?;
    Ok(true)
}

/// The schema's comment, if it is the tenant's mark.
async fn mark_of(
    connection: &mut sqlx::PgConnection,
    database: &Database,
    owner: &Owner,
    slug: &TenantSlug,
) -> Result<Option<String>, BackendError> {
    let found = catalog::read(connection, slug)
        .await
        .map_err(|error| database.error(&error))?;
    Ok(found
        .schema
        .and_then(|schema| schema.comment)
        .filter(|comment| bears(Some(comment), owner)))
}

async fn drop_rest(database: &Database, owner: &Owner, slug: &TenantSlug) -> Result<(), BackendError> {
    let mut transaction = database.begin_locked(&tenant_lock(&slug.schema())).await?;
    let found = catalog::read(&mut transaction, slug)
        .await
        .map_err(|error| database.error(&error))?;
    let mut script = Script::default();
    if found
        .schema
        .as_ref()
        .is_some_and(|schema| bears(schema.comment.as_deref(), owner))
    {
        script.push(format!("DROP SCHEMA {} CASCADE", identifier(slug.schema().as_str())));
    }
    let roles: Vec<String> = found.own_roles(owner).into_iter().map(identifier).collect();
    if !roles.is_empty() {
        let roles = roles.join(", ");
        script.push(format!("DROP OWNED BY {roles} CASCADE"));
        script.push(format!("DROP ROLE {roles}"));
    }
    if script.is_empty() {
        return Ok(());
    }
    let mut all = with_timeout();
    all.append(&script);
    database.run(&mut transaction, all).await?;
    database.commit(transaction).await
}

fn with_timeout() -> Script {
    [format!(
        "SET LOCAL statement_timeout = '{}ms'",
        DROP_TIMEOUT.as_millis()
    )]
    .iter()
    .collect()
}
