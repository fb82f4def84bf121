//! A plugin's process from start to end.

use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};

use crate::environment::{Environment, Incomplete};
use crate::serve::drain::{Drain, Times};
use crate::serve::{self, Routes};
use crate::{client, logging};

/// Where a plugin listens unless `PLEXICA_LISTEN` says otherwise: port 3000 is the manifest's default.
const LISTEN: &str = "0.0.0.0:3000";
/// Connections to the database at most. A slot of each plugin has its own, and the tenant's role a limit for all.
const CONNECTIONS_MAX: u32 = 4;
/// Longest wait for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// What a plugin's handlers need of its process.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// What the platform gave.
    pub environment: Environment,
    /// The plugin's schema.
    pub database: PgPool,
    /// For requests to others.
    pub http: reqwest::Client,
    /// Where the process is on its way to the end.
    pub drain: Drain,
}

/// Why a plugin does not run.
#[derive(Debug, thiserror::Error)]
pub enum CannotRun {
    /// The platform did not give what is needed.
    #[error("the environment is not complete: {0}")]
    Environment(#[from] Incomplete),
    /// `DATABASE_URL` is none. Its text is not repeated.
    #[error("DATABASE_URL is no address of a PostgreSQL database")]
    DatabaseUrl,
    /// No HTTP client.
    #[error("no HTTP client can be made")]
    Client(#[from] reqwest::Error),
    /// No socket, no signals.
    #[error("cannot listen")]
    Listen(#[from] std::io::Error),
}

impl Plugin {
    /// A plugin in this environment. Nothing is connected yet: a database that is down keeps nobody from starting.
    ///
    /// # Errors
    /// [`CannotRun`].
    pub fn new(environment: Environment, times: Times) -> Result<Self, CannotRun> {
        let options = PgConnectOptions::from_str(environment.database_url.expose_secret())
            .map_err(|_| CannotRun::DatabaseUrl)?
            .application_name(&format!(
                "{} {} {}",
                environment.plugin, environment.version, environment.slot
            ))
            // What is stored is the tenant's, and nothing for logs.
            .disable_statement_logging();
        let database = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options);
        Ok(Self {
            environment,
            database,
            http: client::new()?,
            drain: Drain::new(times),
        })
    }
}

/// Runs a plugin until it is told to end.
pub async fn run(routes_of: fn(&Plugin) -> Result<Routes, Incomplete>) -> ExitCode {
    logging::init();
    match start(routes_of).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            error!(%reason, "the plugin cannot run");
            ExitCode::FAILURE
        }
    }
}

async fn start(routes_of: fn(&Plugin) -> Result<Routes, Incomplete>) -> Result<(), CannotRun> {
    let plugin = Plugin::new(Environment::of_process()?, Times::default())?;
    let router = serve::router(&plugin, routes_of(&plugin)?);
    let mut terminate = signal(SignalKind::terminate())?;
    let address = std::env::var("PLEXICA_LISTEN").unwrap_or_else(|_| LISTEN.to_owned());
    let listener = TcpListener::bind(&address).await?;
    let Environment {
        tenant,
        plugin: id,
        version,
        slot,
        ..
    } = &plugin.environment;
    info!(tenant, plugin = id, version, %slot, address, "listening");
    let stop = async move {
        terminate.recv().await;
    };
    serve::listen::listen(listener, router, plugin.drain.clone(), stop).await;
    plugin.database.close().await;
    info!("ended");
    Ok(())
}
