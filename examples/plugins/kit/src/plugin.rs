//! What a plugin has at hand for one tenant.

use std::str::FromStr;
use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use crate::client;
use crate::environment::{Environment, Incomplete, Release};
use crate::process::CannotRun;
use crate::serve::drain::{Drain, Times};

/// Connections to the database at most. A slot of each plugin has its own, and the tenant's role a limit for all.
const CONNECTIONS_MAX: u32 = 4;
/// The same for each tenant of a process that is for many: the process has as many pools as tenants.
const SHARED_CONNECTIONS_MAX: u32 = 2;
/// A tenant of many that asks for nothing holds no connection after this time.
const SHARED_IDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// Longest wait for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// What a plugin's handlers need. A process that is for many tenants has one of these for each, and the handlers of one
/// tenant see no other's.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// What the platform gave for the tenant.
    pub environment: Environment,
    /// The plugin's schema.
    pub database: PgPool,
    /// For requests to others.
    pub http: reqwest::Client,
    /// Where the process is on its way to the end.
    pub drain: Drain,
}

impl Plugin {
    /// A plugin whose process is for this tenant alone. Nothing is connected yet: a database that is down keeps nobody
    /// from starting.
    ///
    /// # Errors
    /// [`CannotRun`].
    pub fn new(environment: Environment, times: Times) -> Result<Self, CannotRun> {
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS_MAX);
        Ok(Self::with(environment, pool, client::new()?, Drain::new(times))?)
    }

    /// A plugin for one tenant of many: the client and the way to the end are the process's.
    pub(crate) fn of_many(environment: Environment, http: reqwest::Client, drain: Drain) -> Result<Self, Incomplete> {
        let pool = PgPoolOptions::new()
            .max_connections(SHARED_CONNECTIONS_MAX)
            .idle_timeout(SHARED_IDLE_TIMEOUT);
        Self::with(environment, pool, http, drain)
    }

    fn with(
        environment: Environment,
        pool: PgPoolOptions,
        http: reqwest::Client,
        drain: Drain,
    ) -> Result<Self, Incomplete> {
        let Release { plugin, version, slot } = &environment.release;
        let options = PgConnectOptions::from_str(environment.database_url.expose_secret())
            // The library's own words may repeat the text.
            .map_err(|_| Incomplete::because("DATABASE_URL is no address of a PostgreSQL database"))?
            .application_name(&format!("{plugin} {version} {slot}"))
            // What is stored is the tenant's, and nothing for logs.
            .disable_statement_logging();
        Ok(Self {
            database: pool.acquire_timeout(ACQUIRE_TIMEOUT).connect_lazy_with(options),
            environment,
            http,
            drain,
        })
    }
}
