//! The webhook's process: keeps its certificate, caches the releases, answers the API server until it is told to stop.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use kube::runtime::reflector;
use plexica_crds::period::Period;
use plexica_operator::{
    platform,
    runtime::{
        client, logging,
        server::{self as health, Gate, Readiness},
    },
};
use plexica_webhooks::{
    admission,
    certificates::{Keeper, Lifetimes, Place},
    cluster::{self, Cluster},
    server,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing::{error, info};

/// Admission webhook of the Plexica platform: what needs other objects is refused when it is applied.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// The platform file. Only what it says of plugins is used.
    #[arg(long, env = "PLEXICA_PLATFORM")]
    platform: PathBuf,
    /// Where the API server's requests are answered, with TLS.
    #[arg(long, default_value = "0.0.0.0:8443")]
    listen: SocketAddr,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, default_value = "0.0.0.0:8080")]
    health: SocketAddr,
    /// Namespace of the Service and of the Secret.
    #[arg(long, env = "POD_NAMESPACE")]
    namespace: String,
    /// The Service by which the API server comes: the certificate is made out to it.
    #[arg(long, default_value = "plexica-webhooks")]
    service: String,
    /// The Secret that holds the certificates; it is there already.
    #[arg(long, default_value = "plexica-webhooks-certificates")]
    secret: String,
    /// The ValidatingWebhookConfiguration that is told whom to trust.
    #[arg(long, default_value = "plexica")]
    configuration: String,
    /// How long a certificate is valid. It is replaced after two thirds of that.
    #[arg(long, env = "PLEXICA_CERTIFICATE_VALIDITY", default_value = "720h")]
    validity: Period,
    /// How long old and new certificates are both trusted before and after the change: longer than the API servers need
    /// to hear of a new one. At most a sixth of the validity.
    #[arg(long, env = "PLEXICA_CERTIFICATE_OVERLAP", default_value = "1h")]
    overlap: Period,
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    logging::init();
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            error!("the webhook stops: {reason}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<(), AnyError> {
    // One provider for all of TLS; it must be chosen before the first connection.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| "a TLS provider is installed already")?;
    // Before anything that waits: the first process of a pod has no default for signals.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        info!("told to stop: what comes is answered until nothing comes any more");
    };
    let lifetimes = Lifetimes::new(cli.validity.value(), cli.overlap.value())?;
    let overrides = platform::load_overrides(&cli.platform)?;
    let readiness = Readiness::waiting_for([Gate::Cache(cluster::CACHED), Gate::Certificate, Gate::Trust]);
    let (metrics, registry) = admission::Metrics::new();
    let health = tokio::spawn(health::serve(cli.health, readiness.clone(), registry));

    let client = client::connect().await?;
    let (plugins, writer) = reflector::store();
    tokio::spawn(cluster::watch_plugins(client.clone(), writer, readiness.clone()));
    let place = Place {
        namespace: cli.namespace,
        service: cli.service,
        secret: cli.secret,
        configuration: cli.configuration,
    };
    let (certificate, certificates) = watch::channel(None);
    let keeper = Keeper::new(client.clone(), place, lifetimes, readiness);
    tokio::spawn(keeper.run(certificate));
    let router = admission::router(Cluster::new(client, plugins, overrides), metrics);
    tokio::select! {
        served = server::serve(cli.listen, router, certificates, shutdown) => Ok(served?),
        ended = health => Err(ended.map_err(AnyError::from).and_then(|result| result.map_err(AnyError::from)).err()
            .unwrap_or_else(|| "the HTTP server ended".into())),
    }
}
