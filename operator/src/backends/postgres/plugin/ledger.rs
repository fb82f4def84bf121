//! The record of plugins' migrations: docs/decisions/2026-11-21-plugin-migrations.md.
//!
//! A script's transaction is noted before its first statement. Whether it was committed is asked of PostgreSQL, which
//! knows it of every transaction: so record and script cannot disagree, and the script needs no right on the record.

use sqlx::PgConnection;

use super::OPERATOR_SCHEMA;
use crate::backends::postgres::sql::literal;

pub(super) use crate::backends::postgres::migrations::Applied;

/// What is known of a schema's migrations.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// Those applied, with the checksum then.
    pub(super) applied: Applied,
    /// Those begun of which PostgreSQL cannot say how they ended.
    pub(super) unknown: Vec<String>,
}

/// Writes down how migrations ended that were begun. All sessions of the plugin's owner role must have ended.
/// A transaction that PostgreSQL has forgotten, or of another server from whose dump this database was made, stays.
const SETTLE: &str = "
WITH begun AS (
    SELECT name, CASE WHEN transaction_id < pg_snapshot_xmax(pg_current_snapshot())
                      THEN pg_xact_status(transaction_id) END AS outcome
    FROM plexica.plugin_migrations WHERE schema_name = $1 AND applied_at IS NULL AND transaction_id IS NOT NULL),
committed AS (
    UPDATE plexica.plugin_migrations AS m SET applied_at = clock_timestamp() FROM begun
    WHERE m.schema_name = $1 AND m.name = begun.name AND begun.outcome = 'committed'),
aborted AS (
    DELETE FROM plexica.plugin_migrations AS m USING begun
    WHERE m.schema_name = $1 AND m.name = begun.name AND begun.outcome = 'aborted')
SELECT name FROM begun WHERE outcome IS DISTINCT FROM 'committed' AND outcome IS DISTINCT FROM 'aborted' ORDER BY name";

/// Settles what was begun, and reads.
pub(super) async fn settle(connection: &mut PgConnection, schema: &str) -> Result<Record, sqlx::Error> {
    let unknown = sqlx::query_scalar(SETTLE)
        .bind(schema)
        .fetch_all(&mut *connection)
        .await?;
    Ok(Record {
        applied: applied(connection, schema).await?,
        unknown,
    })
}

/// Reads those applied.
pub(super) async fn applied(connection: &mut PgConnection, schema: &str) -> Result<Applied, sqlx::Error> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT name, sha256 FROM plexica.plugin_migrations WHERE schema_name = $1 AND applied_at IS NOT NULL",
    )
    .bind(schema)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().collect())
}

/// Notes that a migration begins, in this transaction or in none. Says whether it was noted: one that is applied is not.
pub(super) async fn begin(
    connection: &mut PgConnection,
    schema: &str,
    name: &str,
    sha256: &str,
    transaction_id: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let written = sqlx::query(
        "INSERT INTO plexica.plugin_migrations AS m (schema_name, name, sha256, transaction_id)
         VALUES ($1, $2, $3, ($4::text)::xid8)
         ON CONFLICT (schema_name, name) DO UPDATE
         SET sha256 = excluded.sha256, transaction_id = excluded.transaction_id, started_at = excluded.started_at
         WHERE m.applied_at IS NULL",
    )
    .bind(schema)
    .bind(name)
    .bind(sha256)
    .bind(transaction_id)
    .execute(connection)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// Writes down that a migration outside of a transaction is applied.
pub(super) async fn finish(connection: &mut PgConnection, schema: &str, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE plexica.plugin_migrations SET applied_at = clock_timestamp()
         WHERE schema_name = $1 AND name = $2 AND transaction_id IS NULL AND applied_at IS NULL",
    )
    .bind(schema)
    .bind(name)
    .execute(connection)
    .await?;
    Ok(())
}

/// The statement that forgets a schema's migrations, for the transaction that makes or drops the schema.
pub(super) fn forget(schema: &str) -> String {
    format!(
        "DELETE FROM {OPERATOR_SCHEMA}.plugin_migrations WHERE schema_name = {}",
        literal(schema)
    )
}
