//! Shutting a tenant, or a plugin of one, out and dropping what it had. Each thing without its mark is left alone.

use std::time::Duration;

use sqlx::PgConnection;

use super::{
    catalog,
    connection::{Database, lock_of},
    holding::Holding,
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

/// Takes LOGIN from the roles and ends their sessions. Writes nothing if that is so already.
pub(super) async fn revoke(database: &Database, holding: &Holding) -> Result<(), BackendError> {
    let error = |error| database.error(&error);
    let mut connection = database.pool.acquire().await.map_err(error)?;
    let found = catalog::read(&mut connection, holding).await.map_err(error)?;
    drop(connection);
    let own: Vec<String> = found.own_roles(holding).into_iter().map(str::to_owned).collect();
    if own
        .iter()
        .any(|name| found.roles.get(name).is_some_and(|role| role.login))
    {
        let mut transaction = database.begin_locked(&lock_of(&holding.schema)).await?;
        let found = catalog::read(&mut transaction, holding).await.map_err(error)?;
        let script = found
            .own_roles(holding)
            .iter()
            .map(|name| format!("ALTER ROLE {} NOLOGIN", identifier(name)))
            .collect();
        database.run(&mut transaction, script).await?;
        database.commit(transaction).await?;
    }
    let mut connection = database.pool.acquire().await.map_err(error)?;
    terminate(&mut connection, database, &own).await
}

/// Ends the sessions of these roles.
pub(super) async fn terminate(
    connection: &mut PgConnection,
    database: &Database,
    roles: &[String],
) -> Result<(), BackendError> {
    for _ in 0..TERMINATE_ROUNDS {
        let ended: Vec<bool> =
            sqlx::query_scalar("SELECT pg_terminate_backend(pid, $2) FROM pg_stat_activity WHERE usename = ANY ($1)")
                .bind(roles)
                .bind(TERMINATE_WAIT_MS)
                .fetch_all(&mut *connection)
                .await
                .map_err(|error| database.error(&error))?;
        if ended.is_empty() {
            return Ok(());
        }
    }
    Err(BackendError::Unavailable("sessions that have to end do not".to_owned()))
}

/// Drops the tables in batches, then schema and roles, and does in that last transaction what else is to be done.
pub(super) async fn delete(database: &Database, holding: &Holding, farewell: &Script) -> Result<(), BackendError> {
    revoke(database, holding).await?;
    while drop_batch(database, holding).await? {}
    drop_rest(database, holding, farewell).await
}

/// Drops some of the schema's relations and says whether there may be more.
async fn drop_batch(database: &Database, holding: &Holding) -> Result<bool, BackendError> {
    let mut transaction = database.begin_locked(&lock_of(&holding.schema)).await?;
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
    .bind(holding.schema.as_str())
    .bind(mark_of(&mut transaction, database, holding).await?)
    .bind(DROP_BATCH)
    .fetch_all(&mut *transaction)
    .await
    .map_err(|error| database.error(&error))?;
    if rows.is_empty() {
        return Ok(false);
    }
    let schema = identifier(holding.schema.as_str());
    let mut script = with_timeout();
    for (kind, name) in &rows {
        script.push(format!("DROP {kind} IF EXISTS {schema}.{} CASCADE", identifier(name)));
    }
    database.run(&mut transaction, script).await?;
    database.commit(transaction).await?;
    Ok(true)
}

/// The schema's comment, if it is the mark.
async fn mark_of(
    connection: &mut PgConnection,
    database: &Database,
    holding: &Holding,
) -> Result<Option<String>, BackendError> {
    let found = catalog::read(connection, holding)
        .await
        .map_err(|error| database.error(&error))?;
    Ok(found
        .schema
        .and_then(|schema| schema.comment)
        .filter(|comment| holding.bears(Some(comment))))
}

async fn drop_rest(database: &Database, holding: &Holding, farewell: &Script) -> Result<(), BackendError> {
    let mut transaction = database.begin_locked(&lock_of(&holding.schema)).await?;
    if let Some(tenant) = &holding.tenant_schema {
        // Privileges on its tables go with the roles.
        database.lock(&mut transaction, &lock_of(tenant)).await?;
    }
    let found = catalog::read(&mut transaction, holding)
        .await
        .map_err(|error| database.error(&error))?;
    let mut script = Script::default();
    if found
        .schema
        .as_ref()
        .is_some_and(|schema| holding.bears(schema.comment.as_deref()))
    {
        script.push(format!("DROP SCHEMA {} CASCADE", identifier(holding.schema.as_str())));
    }
    let roles: Vec<String> = found.own_roles(holding).into_iter().map(identifier).collect();
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
    all.append(farewell);
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
