//! The plugin that tests of traffic install: it says which version answers, by every protocol that a plugin may speak,
//! and breaks as its configuration says. It is of the platform's making in all else: its server is that of the example
//! plugins, and ends as they do.
//!
//! `GET /version`, `POST /echo`, `GET /slow?milliseconds=`, WebSocket `/ws`, `/health` and `/ready`; with migrations of a
//! test's also `/names`. No token is wanted.

pub mod configuration;
mod names;
pub mod routes;

use axum::Router;
use plexica_plugin_kit::Plugin;
use plexica_plugin_kit::environment::{Incomplete, Sharing, tenants::Tenants};
use plexica_plugin_kit::process::{CannotRun, Process};
use plexica_plugin_kit::serve::drain::{Drain, Times};
use tracing::info;

use configuration::{Configuration, Fault};

/// Why a process ends before it is told to.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The platform did not give what is needed.
    #[error("the environment is not complete: {0}")]
    Environment(#[from] Incomplete),
    /// It cannot run.
    #[error(transparent)]
    CannotRun(#[from] CannotRun),
    /// Its configuration wants it.
    #[error("the configuration says that the process crashes")]
    Crash,
}

/// Serves until SIGTERM, or until the crash that the configuration wants.
///
/// # Errors
/// [`Ended`].
pub async fn run() -> Result<(), Ended> {
    let (release, configuration, names) = match Sharing::of_process()? {
        Sharing::Dedicated(environment) => {
            let configuration: Configuration = environment.configuration()?;
            let plugin = Plugin::new(*environment, Times::default())?;
            let names = names::routes(&plugin);
            (plugin.environment.release, configuration, names)
        }
        // Faults and data are one tenant's, and this process is everybody's.
        Sharing::Shared(Tenants {
            release,
            environments: _,
        }) => (release, Configuration::default(), Router::new()),
    };
    info!(version = release.version, slot = %release.slot, ?configuration, "begins");
    let crash = configuration.clone();
    let serve = async {
        if configuration.fault == Fault::CrashLoop {
            return std::future::pending().await;
        }
        let drain = Drain::new(Times::default());
        Process::of(routes::router(&release, configuration, names, &drain), drain)
            .serve()
            .await
    };
    tokio::select! {
        ended = serve => Ok(ended?),
        () = crash.crash() => Err(Ended::Crash),
    }
}
