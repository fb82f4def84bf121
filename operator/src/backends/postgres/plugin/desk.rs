//! The operator's side of a run of migrations: one connection that holds the plugin's lock and writes the record.

use std::{sync::Arc, time::Duration};

use plexica_crds::names::RoleName;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::OwnedSemaphorePermit;

use super::ledger::{self, Record};
use crate::backends::{
    BackendError,
    postgres::{
        catalog,
        connection::{Database, lock_of},
        holding::Holding,
        removal,
        sql::{Script, identifier, literal},
    },
};

/// A connection whose other end has vanished holds the lock no longer than about this.
const KEEPALIVE: &str = "SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3";
/// Beyond the time that all scripts may take: logging in and writing the record.
const ADMITTED_BEYOND: Duration = Duration::from_mins(1);

/// The operator's connection during a run. Dropped, it is closed, and the server frees the lock.
pub(super) struct Desk<'a> {
    database: &'a Database,
    connection: PgConnection,
    schema: String,
    owner_role: RoleName,
    _turn: OwnedSemaphorePermit,
}

impl<'a> Desk<'a> {
    /// Waits for its turn and takes the plugin's lock; somebody else who has it is waited for a little.
    pub(super) async fn open(database: &'a Database, holding: &Holding) -> Result<Self, BackendError> {
        let error = |error: sqlx::Error| database.error(&error);
        let turn = Arc::clone(&database.migrations).acquire_owned().await;
        let turn = turn.map_err(|closed| BackendError::Unavailable(closed.to_string()))?;
        let mut connection = database.pool.acquire().await.map_err(error)?.detach();
        connection.execute(sqlx::raw_sql(KEEPALIVE)).await.map_err(error)?;
        sqlx::query("SELECT pg_advisory_lock(hashtextextended($1, 0))")
            .bind(lock_of(&holding.schema))
            .execute(&mut connection)
            .await
            .map_err(error)?;
        Ok(Self {
            database,
            connection,
            schema: holding.schema.to_string(),
            owner_role: holding.owner_role.clone(),
            _turn: turn,
        })
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    pub(super) fn error(&self, error: &sqlx::Error) -> BackendError {
        self.database.error(error)
    }

    /// Version of the server; 0 if it does not say.
    pub(super) fn server_version(&self) -> u32 {
        self.connection.server_version_num().unwrap_or(0)
    }

    /// Makes sure that schema and roles are there and the plugin's own.
    pub(super) async fn recognise(&mut self, holding: &Holding) -> Result<(), BackendError> {
        let found = catalog::read(&mut self.connection, holding)
            .await
            .map_err(|error| self.database.error(&error))?;
        if let Some(foreign) = found.foreign(holding) {
            return Err(BackendError::Foreign(foreign));
        }
        if found.schema.is_none() || !found.roles.contains_key(holding.owner_role.as_str()) {
            return Err(BackendError::Unavailable(format!(
                "schema {} or its owner is not there yet",
                holding.schema
            )));
        }
        Ok(())
    }

    /// Ends what sessions of the owner role there are: of an operator that was killed, or of a script that went on.
    pub(super) async fn evict(&mut self) -> Result<(), BackendError> {
        removal::terminate(&mut self.connection, self.database, &[self.owner_role.to_string()]).await
    }

    /// Lets the owner role log in, once at a time and for a while.
    pub(super) async fn admit(&mut self, verifier: &str, at_most: Duration) -> Result<(), BackendError> {
        let until: String = sqlx::query_scalar("SELECT (clock_timestamp() + make_interval(secs => $1))::text")
            .bind((at_most + ADMITTED_BEYOND).as_secs_f64())
            .fetch_one(&mut self.connection)
            .await
            .map_err(|error| self.database.error(&error))?;
        let role = identifier(self.owner_role.as_str());
        self.run(&[format!(
            "ALTER ROLE {role} LOGIN CONNECTION LIMIT 1 PASSWORD {} VALID UNTIL {}",
            literal(verifier),
            literal(&until)
        )])
        .await
    }

    /// Shuts the owner role out again, and forgets what a script may have set for it.
    pub(super) async fn dismiss(&mut self) -> Result<(), BackendError> {
        let role = identifier(self.owner_role.as_str());
        let database = identifier(&self.database.config.database);
        self.run(&[
            format!("ALTER ROLE {role} NOLOGIN PASSWORD NULL VALID UNTIL 'infinity'"),
            format!("ALTER ROLE {role} RESET ALL"),
            format!("ALTER ROLE {role} IN DATABASE {database} RESET ALL"),
        ])
        .await?;
        self.evict().await
    }

    /// Settles what was begun, and reads the record.
    pub(super) async fn settle(&mut self) -> Result<Record, BackendError> {
        ledger::settle(&mut self.connection, &self.schema)
            .await
            .map_err(|error| self.database.error(&error))
    }

    /// Gives the lock back.
    pub(super) async fn close(self) {
        // Whatever it answers: the server frees the lock when the connection is gone.
        let _ = self.connection.close().await;
    }

    async fn run(&mut self, statements: &[String]) -> Result<(), BackendError> {
        let script: Script = statements.iter().collect();
        self.connection
            .execute(sqlx::raw_sql(AssertSqlSafe(script.into_text())))
            .await
            .map_err(|error| self.database.error(&error))?;
        Ok(())
    }
}
