//! A plugin's process from start to end, for one tenant or for many.

use std::error::Error;
use std::process::ExitCode;

use axum::Router;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tracing::{error, info};

use crate::environment::tenants::Tenants;
use crate::environment::{Environment, Incomplete, Release, Sharing};
use crate::plugin::Plugin;
use crate::serve::drain::{Drain, Times};
use crate::serve::shared::Shared;
use crate::serve::{self, Routes};
use crate::{client, logging};

/// Where a plugin listens unless `PLEXICA_LISTEN` says otherwise: port 3000 is the manifest's default.
const LISTEN: &str = "0.0.0.0:3000";

/// The routes of a plugin for a tenant: called once for each.
pub type RoutesOf = fn(&Plugin) -> Result<Routes, Incomplete>;

/// Why a plugin does not run.
#[derive(Debug, thiserror::Error)]
pub enum CannotRun {
    /// The platform did not give what is needed.
    #[error("the environment is not complete: {0}")]
    Environment(#[from] Incomplete),
    /// No HTTP client.
    #[error("no HTTP client can be made")]
    Client(#[from] reqwest::Error),
    /// No socket, no signals.
    #[error("cannot listen")]
    Listen(#[from] std::io::Error),
}

/// What a process serves, and what it closes in the end.
#[derive(Debug)]
pub struct Process {
    /// Everything that it answers to.
    pub router: Router,
    /// Where it is on its way to the end.
    pub drain: Drain,
    databases: Vec<PgPool>,
}

impl Process {
    /// The process that the platform wants.
    ///
    /// # Errors
    /// [`CannotRun`]; never because of one tenant of many.
    pub fn new(sharing: Sharing, times: Times, routes_of: RoutesOf) -> Result<Self, CannotRun> {
        match sharing {
            Sharing::Dedicated(environment) => Self::dedicated(*environment, times, routes_of),
            Sharing::Shared(tenants) => Self::shared(tenants, times, routes_of),
        }
    }

    fn dedicated(environment: Environment, times: Times, routes_of: RoutesOf) -> Result<Self, CannotRun> {
        let plugin = Plugin::new(environment, times)?;
        let router = serve::router(&plugin, routes_of(&plugin)?);
        let Environment { release, tenant, .. } = plugin.environment;
        let Release {
            plugin: id,
            version,
            slot,
        } = release;
        info!(tenant, plugin = id, version, %slot, "for one tenant");
        Ok(Self {
            router,
            drain: plugin.drain,
            databases: vec![plugin.database],
        })
    }

    fn shared(tenants: Tenants, times: Times, routes_of: RoutesOf) -> Result<Self, CannotRun> {
        let Tenants { release, environments } = tenants;
        let Release {
            plugin: id,
            version,
            slot,
        } = &release;
        info!(tenants = environments.len(), plugin = id, version, %slot, "for many tenants");
        let (http, drain) = (client::new()?, Drain::new(times));
        let mut shared = Shared::default();
        let mut databases = Vec::new();
        for (tenant, environment) in environments {
            let served = environment.and_then(|environment| {
                let plugin = Plugin::of_many(environment, http.clone(), drain.clone())?;
                let routes = routes_of(&plugin)?;
                Ok((plugin, routes))
            });
            match served {
                Ok((plugin, routes)) => {
                    shared.serve(&plugin, routes);
                    databases.push(plugin.database);
                }
                Err(reason) => {
                    error!(tenant, %reason, "this tenant cannot be served; the others are");
                    shared.refuse(tenant);
                }
            }
        }
        Ok(Self {
            router: shared.router(&release, &drain),
            drain,
            databases,
        })
    }

    /// A process that has no database: it serves this until it has gone that way to the end.
    pub fn of(router: Router, drain: Drain) -> Self {
        Self {
            router,
            drain,
            databases: Vec::new(),
        }
    }

    /// Serves at the platform's address until SIGTERM, and then until all is answered.
    ///
    /// # Errors
    /// [`CannotRun::Listen`].
    pub async fn serve(self) -> Result<(), CannotRun> {
        let mut terminate = signal(SignalKind::terminate())?;
        let address = std::env::var("PLEXICA_LISTEN").unwrap_or_else(|_| LISTEN.to_owned());
        let listener = TcpListener::bind(&address).await?;
        info!(address, "listening");
        let stop = async move {
            terminate.recv().await;
        };
        self.listen(listener, stop).await;
        info!("ended");
        Ok(())
    }

    /// Serves until `stop` ends, and then until all is answered.
    pub async fn listen(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let Self {
            router,
            drain,
            databases,
        } = self;
        serve::listen::listen(listener, router, drain, stop).await;
        let closing: JoinSet<()> = databases.into_iter().map(async |pool| pool.close().await).collect();
        closing.join_all().await;
    }
}

/// Runs a plugin until it is told to end.
pub async fn run(routes_of: RoutesOf) -> ExitCode {
    to_the_end(async {
        Process::new(Sharing::of_process()?, Times::default(), routes_of)?
            .serve()
            .await
    })
    .await
}

/// Runs something as the process's work: its events go to the log, and so does the reason why it ends early.
pub async fn to_the_end<E: Error>(work: impl Future<Output = Result<(), E>>) -> ExitCode {
    logging::init();
    match work.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            error!(%reason, "the plugin cannot run");
            ExitCode::FAILURE
        }
    }
}
