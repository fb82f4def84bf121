//! Connections to one pool's database: how they are made, and what their failures mean.

use std::{sync::Arc, time::Duration};

use plexica_crds::names::SchemaName;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Executor, PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};

use tokio::sync::Semaphore;

use super::sql::Script;
use crate::backends::{BackendError, http};

/// Connections that the operator holds to one database at most.
const CONNECTIONS_MAX: u32 = 8;
/// Runs of plugins' migrations at once: each holds a connection beside those, and its script a second one.
const MIGRATIONS_MAX: usize = 8;
/// Longest wait for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection's catalog caches grow with every tenant it touches and never shrink (anchors/tenancy.md section 5:
/// 214 MB after 2,000 tenants), so connections do not grow old.
const LIFETIME_MAX: Duration = Duration::from_mins(30);
/// Idle connections are given back.
const IDLE_MAX: Duration = Duration::from_mins(5);

/// What every session of the operator pins. `search_path`: nothing of a tenant's is ever found by a bare name.
/// `createrole_self_grant`: since PostgreSQL 16 the maker of a role may not become it unless it says so.
const SESSION: &str = "SET search_path = pg_catalog; SET standard_conforming_strings = on; \
     SET client_min_messages = warning; SET statement_timeout = '30s'; SET lock_timeout = '5s'; \
     SET idle_in_transaction_session_timeout = '60s'; SET createrole_self_grant = 'set, inherit'";

/// Whether and how connections are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// In the clear: for loopback and tests.
    Disable,
    /// Encrypted; the server's certificate is not checked.
    Require,
    /// Encrypted; certificate and host name are checked.
    VerifyFull,
}

/// One pool's database and the operator's account there.
#[derive(Debug, Clone)]
pub struct PostgresConfig {
    /// Host name or address, for the operator and for tenants.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// The operator's role: LOGIN CREATEROLE, owner of the database.
    pub username: String,
    /// Its password.
    pub password: SecretString,
    /// Encryption.
    pub tls: TlsMode,
}

impl PostgresConfig {
    /// Options for a session of the given account.
    pub(super) fn options(&self, username: &str, password: &SecretString) -> PgConnectOptions {
        let mode = match self.tls {
            TlsMode::Disable => PgSslMode::Disable,
            TlsMode::Require => PgSslMode::Require,
            TlsMode::VerifyFull => PgSslMode::VerifyFull,
        };
        let options = PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .database(&self.database)
            .username(username)
            .password(password.expose_secret())
            .ssl_mode(mode)
            .application_name("plexica-operator")
            // Statements hold verifiers of passwords, which no log needs.
            .disable_statement_logging();
        // The roots that all clients of backends trust; otherwise sqlx looks for the system's alone.
        match self.tls {
            TlsMode::VerifyFull => options.ssl_root_cert_from_pem(http::roots_pem()),
            TlsMode::Disable | TlsMode::Require => options,
        }
    }
}

/// The operator's connections to one database.
#[derive(Debug, Clone)]
pub(super) struct Database {
    pub(super) config: PostgresConfig,
    pub(super) pool: PgPool,
    /// Whoever runs migrations holds one of its permits.
    pub(super) migrations: Arc<Semaphore>,
}

impl Database {
    /// Connects when first used, so that a server that is down does not keep the operator from starting.
    pub(super) fn connect(config: PostgresConfig) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(IDLE_MAX)
            .max_lifetime(LIFETIME_MAX)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    connection.execute(sqlx::raw_sql(SESSION)).await?;
                    Ok(())
                })
            })
            .connect_lazy_with(config.options(&config.username, &config.password));
        Self {
            config,
            pool,
            migrations: Arc::new(Semaphore::new(MIGRATIONS_MAX)),
        }
    }

    /// Begins a transaction that holds the advisory lock of that name until its end.
    pub(super) async fn begin_locked(&self, lock: &str) -> Result<Transaction<'static, Postgres>, BackendError> {
        let mut transaction = self.pool.begin().await.map_err(|error| self.error(&error))?;
        self.lock(&mut transaction, lock).await?;
        Ok(transaction)
    }

    /// Takes the advisory lock of that name until the transaction's end.
    pub(super) async fn lock(
        &self,
        transaction: &mut Transaction<'static, Postgres>,
        lock: &str,
    ) -> Result<(), BackendError> {
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
            .bind(lock)
            .execute(&mut **transaction)
            .await
            .map_err(|error| self.error(&error))?;
        Ok(())
    }

    /// Runs a script whose every name went through [`super::sql`].
    pub(super) async fn run(
        &self,
        transaction: &mut Transaction<'static, Postgres>,
        script: Script,
    ) -> Result<(), BackendError> {
        transaction
            .execute(sqlx::raw_sql(AssertSqlSafe(script.into_text())))
            .await
            .map_err(|error| self.error(&error))?;
        Ok(())
    }

    /// Commits.
    pub(super) async fn commit(&self, transaction: Transaction<'static, Postgres>) -> Result<(), BackendError> {
        transaction.commit().await.map_err(|error| self.error(&error))
    }

    /// What a failure means.
    pub(super) fn error(&self, error: &sqlx::Error) -> BackendError {
        let PostgresConfig {
            host,
            port,
            database,
            username,
            ..
        } = &self.config;
        explain(
            error,
            &format!("PostgreSQL at {host}:{port} (database {database}, role {username})"),
        )
    }
}

/// Name of the advisory lock under which a schema and its roles are changed.
pub(super) fn lock_of(schema: &SchemaName) -> String {
    format!("plexica:{schema}")
}

/// The SQLSTATE of an error that the server sent.
pub(super) fn sqlstate(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(std::borrow::Cow::into_owned)
}

/// A failure in words, by what can be done about it.
/// SQLSTATEs: <https://www.postgresql.org/docs/18/errcodes-appendix.html>.
pub(super) fn explain(error: &sqlx::Error, system: &str) -> BackendError {
    if let Some(refusal) = error.as_database_error() {
        let code = refusal.code().unwrap_or_default();
        let said = format!("{}, SQLSTATE {code}", http::excerpt(refusal.message()));
        return match code.as_ref() {
            // Connection failures, shutdown and start, no slots or memory, locks, cancelled by a timeout,
            // serialisation, and a server that is a standby just now.
            "57014" | "57P01" | "57P02" | "57P03" | "57P05" | "55P03" | "40001" | "40P01" | "25006" | "25P03" => {
                BackendError::Unavailable(format!("{system} cannot do it now ({said})"))
            }
            code if code.starts_with("08") || code.starts_with("53") || code.starts_with("58") => {
                BackendError::Unavailable(format!("{system} cannot do it now ({said})"))
            }
            code if code.starts_with("28") || code == "3D000" => BackendError::Refused(format!(
                "{system} refuses the connection ({said}); check role, password, database and pg_hba.conf"
            )),
            "42501" => BackendError::Refused(format!(
                "{system} refuses the operator ({said}); its role must have CREATEROLE and own the database"
            )),
            _ => BackendError::Unexpected(format!("{system}: {said}")),
        };
    }
    match error {
        sqlx::Error::PoolTimedOut => BackendError::Unavailable(format!(
            "{system} gave no connection within {}s",
            ACQUIRE_TIMEOUT.as_secs()
        )),
        sqlx::Error::Io(_) | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
            BackendError::Unavailable(format!("{system} cannot be reached ({})", http::chain(error)))
        }
        sqlx::Error::Tls(_) => BackendError::Refused(format!(
            "{system}: no trusted encrypted connection ({}); check the pool's tls mode and the server's certificate",
            http::chain(error)
        )),
        _ => BackendError::Unexpected(format!("{system}: {}", http::excerpt(&http::chain(error)))),
    }
}
