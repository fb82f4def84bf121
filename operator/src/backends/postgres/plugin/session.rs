//! The session in which scripts run: logged in as the plugin's owner role, which has no right to anything else.

use std::time::Duration;

use plexica_crds::names::TenantSlug;
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, Row};

use super::migration::MigrationLimits;
use crate::backends::postgres::{
    connection::PostgresConfig,
    holding::Holding,
    sql::{Script, identifier},
};

/// First version with `transaction_timeout` (<https://www.postgresql.org/docs/17/release-17.html>).
const TRANSACTION_TIMEOUT_SINCE: u32 = 170_000;
/// How long logging in may take.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Indexes that a broken CREATE INDEX CONCURRENTLY or REINDEX CONCURRENTLY left behind. One of a partitioned table is
/// invalid as long as not all its parts are attached, and is left alone.
const INVALID_INDEXES: &str = "
SELECT c.relname::text FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind = 'i' AND NOT i.indisvalid
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS k WHERE k.conindid = c.oid)";

/// What is looked at before a commit, after everything that was deferred. The script may have changed where names are
/// looked for, so that is pinned first.
const AUDIT: &str = "SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL search_path = pg_catalog;
SELECT pg_current_xact_id()::text, (
    SELECT format('%I.%I', n.nspname, p.proname) FROM pg_catalog.pg_proc AS p
    JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace JOIN pg_catalog.pg_roles AS r ON r.oid = p.proowner
    WHERE r.rolname = session_user AND p.prosecdef ORDER BY 1 LIMIT 1)";

/// A session of a plugin's owner role.
pub(super) struct Session(PgConnection);

/// What was found before a commit.
pub(super) struct Audit {
    /// The transaction one is in.
    pub(super) transaction_id: String,
    /// A routine that would run with the rights of the role that owns the schema, whoever calls it.
    pub(super) security_definer: Option<String>,
}

impl Session {
    /// Logs in. What is pinned are the session's defaults: a setting of the role does not change them, and DISCARD
    /// returns to them. A script can set them otherwise for itself; the operator keeps the deadline.
    pub(super) async fn open(
        config: &PostgresConfig,
        holding: &Holding,
        slug: &TenantSlug,
        password: &SecretString,
        limits: &MigrationLimits,
        server_version: u32,
    ) -> Result<Self, sqlx::Error> {
        let milliseconds = |duration: Duration| duration.as_millis().to_string();
        let mut settings = vec![
            ("search_path", format!("{},{}", holding.schema, slug.schema())),
            ("lock_timeout", milliseconds(limits.lock_timeout)),
            ("statement_timeout", milliseconds(limits.statement_timeout)),
            ("idle_in_transaction_session_timeout", milliseconds(limits.deadline)),
            ("client_min_messages", "error".to_owned()),
            ("client_connection_check_interval", "1000".to_owned()),
            ("standard_conforming_strings", "on".to_owned()),
        ];
        if server_version >= TRANSACTION_TIMEOUT_SINCE {
            settings.push(("transaction_timeout", milliseconds(limits.deadline)));
        }
        let options = config
            .options(holding.owner_role.as_str(), password)
            .application_name("plexica-plugin-migration")
            .options(settings);
        match tokio::time::timeout(LOGIN_TIMEOUT, options.connect()).await {
            Ok(connection) => Ok(Self(connection?)),
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        }
    }

    /// Forgets what a script before left in the session.
    pub(super) async fn discard(&mut self) -> Result<(), sqlx::Error> {
        self.0.execute(sqlx::raw_sql("DISCARD ALL")).await?;
        Ok(())
    }

    /// Begins a transaction and gives its id.
    pub(super) async fn begin(&mut self) -> Result<String, sqlx::Error> {
        let row = self
            .0
            .fetch_one(sqlx::raw_sql("BEGIN; SELECT pg_catalog.pg_current_xact_id()::text"))
            .await?;
        row.try_get(0)
    }

    /// Runs what was written for a transaction.
    pub(super) async fn run(&mut self, statement: String) -> Result<(), sqlx::Error> {
        self.0.execute(sqlx::raw_sql(AssertSqlSafe(statement))).await?;
        Ok(())
    }

    /// Runs one statement outside of a transaction; the server refuses two.
    pub(super) async fn run_alone(&mut self, statement: String) -> Result<(), sqlx::Error> {
        sqlx::query(AssertSqlSafe(statement))
            .persistent(false)
            .execute(&mut self.0)
            .await?;
        Ok(())
    }

    /// Drops indexes that a crash left half made.
    pub(super) async fn drop_invalid_indexes(&mut self, schema: &str) -> Result<(), sqlx::Error> {
        let names: Vec<String> = sqlx::query_scalar(INVALID_INDEXES)
            .bind(schema)
            .persistent(false)
            .fetch_all(&mut self.0)
            .await?;
        for name in names {
            let script: Script = [format!("DROP INDEX {}.{}", identifier(schema), identifier(&name))]
                .iter()
                .collect();
            self.run(script.into_text()).await?;
        }
        Ok(())
    }

    /// Looks at what the transaction did, and lets everything fire that was deferred to its end.
    pub(super) async fn audit(&mut self) -> Result<Audit, sqlx::Error> {
        let row = self.0.fetch_one(sqlx::raw_sql(AUDIT)).await?;
        Ok(Audit {
            transaction_id: row.try_get(0)?,
            security_definer: row.try_get(1)?,
        })
    }

    /// Commits.
    pub(super) async fn commit(&mut self) -> Result<(), sqlx::Error> {
        self.0.execute(sqlx::raw_sql("COMMIT")).await?;
        Ok(())
    }

    /// Says farewell.
    pub(super) async fn close(self) {
        // Whatever it answers: the operator ends the role's sessions afterwards.
        let _ = tokio::time::timeout(LOGIN_TIMEOUT, self.0.close()).await;
    }
}
