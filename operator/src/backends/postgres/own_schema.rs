//! The operator's own schemas: made by files of its own, closed to everybody else.

use super::{
    connection::Database,
    migrations::{self, Applied, Migration},
    sql::{Script, identifier},
};
use crate::backends::BackendError;

/// Brings a schema of the operator's own to this version; safe to run twice at once.
///
/// # Errors
/// [`BackendError::MigrationChanged`] and those of the database.
pub(super) async fn bring(database: &Database, name: &str, files: &[Migration]) -> Result<(), BackendError> {
    let error = |error: sqlx::Error| database.error(&error);
    let schema = identifier(name);
    let record = format!("{schema}.migrations");
    let mut transaction = database.begin_locked(&format!("plexica:schema:{name}")).await?;
    let recorded: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(&record)
        .fetch_one(&mut *transaction)
        .await
        .map_err(error)?;
    let applied: Applied = if recorded {
        let query = format!("SELECT name, sha256 FROM {record}");
        let rows: Vec<(String, String)> = sqlx::query_as(sqlx::AssertSqlSafe(query))
            .fetch_all(&mut *transaction)
            .await
            .map_err(error)?;
        rows.into_iter().collect()
    } else {
        Applied::new()
    };
    let pending = migrations::pending(files, &applied)?;
    if pending.is_empty() {
        return Ok(());
    }
    let mut script = Script::default();
    if !recorded {
        script.push(format!("CREATE SCHEMA IF NOT EXISTS {schema}"));
        script.push(format!("REVOKE ALL ON SCHEMA {schema} FROM PUBLIC"));
        script.push(migrations::record_table(&record));
    }
    for file in pending {
        script.push(file.statements(name));
        script.push(migrations::record(&record, file));
    }
    script.push(format!("REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM PUBLIC"));
    database.run(&mut transaction, script).await?;
    database.commit(transaction).await
}
