//! The operator's process: reads the platform file, connects everything, runs until it is told to stop.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::{Parser, Subcommand};
use futures::FutureExt;
use kube::runtime::events::Reporter;
use plexica_operator::{
    controllers::{
        plugin,
        plugin_installation::{self, Caches, Image, InHand, Meters, Migrating, News, Probes, Revisions, Watched},
        tenant::{self, ServiceAccount},
    },
    meter::{self, Addresses},
    platform::Platform,
    pools::{Backends, Verb},
    runtime::{
        backoff,
        cache::cache,
        client,
        controller::{self, Reconciler as _},
        logging,
        metrics::Metrics,
        objects::Objects,
        recorder::BoundedRecorder,
        server::{self, Gate, Readiness},
    },
    wiring,
};
use tikv_jemallocator::Jemalloc;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Mutex,
};
use tracing::{error, info, warn};

/// Gives back what a burst of passes needed. With the system's allocator an operator of 1,000 installations stayed at its
/// peak, a third above what it holds.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Operator of the Plexica platform: tenants and their plugins as Kubernetes resources.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Reconcile until a SIGTERM comes.
    Run {
        /// The platform file.
        #[arg(long, env = "PLEXICA_PLATFORM")]
        platform: PathBuf,
        /// Where /healthz, /readyz and /metrics are served.
        #[arg(long, default_value = "0.0.0.0:8080")]
        listen: SocketAddr,
        /// The operator's own image, of which the meters of development slots are made.
        #[arg(long, env = "PLEXICA_IMAGE")]
        image: String,
        /// When that image is pulled: Always, IfNotPresent or Never.
        #[arg(long, env = "PLEXICA_IMAGE_PULL_POLICY", default_value = "IfNotPresent")]
        image_pull_policy: String,
    },
    /// Stand in front of the plugin in a development slot, and know when somebody spoke to it last.
    Meter {
        /// Where the Service of the slot leads to.
        #[arg(long)]
        listen: SocketAddr,
        /// Where /activity is answered.
        #[arg(long)]
        activity: SocketAddr,
        /// The plugin.
        #[arg(long)]
        plugin: SocketAddr,
    },
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    logging::init();
    let ended = match Cli::parse().command {
        Command::Run {
            platform,
            listen,
            image,
            image_pull_policy,
        } => {
            let image = Image {
                name: image,
                pull_policy: image_pull_policy,
            };
            run(platform, listen, image).await
        }
        Command::Meter {
            listen,
            activity,
            plugin,
        } => {
            let addresses = Addresses {
                listen,
                activity,
                plugin,
            };
            meter(addresses).await
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            error!("the process stops: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Ends when the process is told to stop. To be called before anything that waits: the first process of a pod has no
/// default for signals.
fn told_to_stop() -> Result<impl Future<Output = ()> + Send + use<>, AnyError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    })
}

async fn meter(addresses: Addresses) -> Result<(), AnyError> {
    Ok(meter::run(addresses, told_to_stop()?).await?)
}

async fn run(platform: PathBuf, listen: SocketAddr, image: Image) -> Result<(), AnyError> {
    // One provider for all of TLS; it must be chosen before the first connection.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| "a TLS provider is installed already")?;
    let told = told_to_stop()?;
    let shutdown = async move {
        told.await;
        info!("told to stop: passes that run are finished");
    }
    .boxed()
    .shared();
    let platform = Arc::new(Platform::load(&platform)?);
    info!(
        installation = platform.installation_id,
        postgres = platform.postgres.len(),
        keycloak = platform.keycloak.len(),
        s3 = platform.s3.len(),
        version = env!("CARGO_PKG_VERSION"),
        "the platform file is valid"
    );
    let (metrics, registry) = Metrics::new();
    let readiness = Readiness::waiting_for([
        Gate::Crd(tenant::Context::KIND),
        Gate::Cache(tenant::Context::KIND),
        Gate::Crd(plugin::Context::KIND),
        Gate::Cache(plugin::Context::KIND),
        Gate::Crd(plugin_installation::Context::KIND),
        Gate::Cache(plugin_installation::Context::KIND),
        Gate::Registry,
    ]);
    let server = tokio::spawn(server::serve(listen, readiness.clone(), registry));

    let client = client::connect().await?;
    let reporter = Reporter {
        controller: "plexica-operator".to_owned(),
        instance: std::env::var("POD_NAME").ok(),
    };
    let recorder = BoundedRecorder::new(client.clone(), reporter);
    let backends = Arc::new(wiring::backends(&platform, &metrics)?);
    let account = ServiceAccount::from_env();
    let (tenants, tenant_writer) = cache();
    let (plugins, plugin_writer) = cache();
    let (installations, installation_writer) = cache();
    let plugin_context = Arc::new(plugin::Context {
        objects: Objects::new(client.clone(), recorder.clone(), metrics.clone()),
        plugins: plugins.clone(),
        installations: installations.clone(),
        platform: Arc::clone(&platform),
        backends: Arc::clone(&backends),
        namespace: account.namespace.clone(),
        base_paths: plugin::BasePaths::default(),
        copies: plugin::Copies::default(),
    });
    let installation_context = Arc::new(plugin_installation::Context {
        objects: Objects::new(client.clone(), recorder.clone(), metrics.clone()),
        caches: Caches {
            tenants: (*tenants).clone(),
            plugins: (*plugins).clone(),
            installations: (*installations).clone(),
        },
        news: News {
            tenants,
            plugins: plugins.clone(),
            installations: installations.clone(),
        },
        watched: Watched::default(),
        probes: Probes::new()?,
        meters: Meters::new(image)?,
        in_hand: InHand::default(),
        migrating: Migrating::default(),
        revisions: Revisions::default(),
        shared_releases: Mutex::default(),
        platform: Arc::clone(&platform),
        backends: Arc::clone(&backends),
        namespace: account.namespace.clone(),
    });
    let tenant_context = Arc::new(tenant::Context {
        objects: Objects::new(client, recorder, metrics),
        platform,
        backends: Arc::clone(&backends),
        plugins,
        installations,
        account,
    });
    let reconciling = async {
        // One try before the first pass; if it fails, passes say why they wait.
        tokio::select! {
            () = shutdown.clone() => return,
            () = prepare_registry(&backends, &readiness) => {}
        }
        tokio::join!(
            controller::run(tenant_context, tenant_writer, readiness.clone(), shutdown.clone()),
            controller::run(plugin_context, plugin_writer, readiness.clone(), shutdown.clone()),
            controller::run(installation_context, installation_writer, readiness, shutdown),
        );
    };
    tokio::select! {
        () = reconciling => Ok(()),
        ended = server => Err(ended.map_err(AnyError::from).and_then(|result| result.map_err(AnyError::from)).err()
            .unwrap_or_else(|| "the HTTP server ended".into())),
    }
}

/// Migrates the registry; if it can't be now, goes on trying in the background.
async fn prepare_registry(backends: &Arc<Backends>, readiness: &Readiness) {
    if migrate(backends).await {
        readiness.open(Gate::Registry);
        return;
    }
    let (backends, readiness) = (Arc::clone(backends), readiness.clone());
    tokio::spawn(async move {
        for attempt in 1.. {
            tokio::time::sleep(backoff::delay(attempt, rand::random()).min(Duration::from_secs(30))).await;
            if migrate(&backends).await {
                readiness.open(Gate::Registry);
                return;
            }
        }
    });
}

async fn migrate(backends: &Backends) -> bool {
    let migrated = backends
        .registry
        .call(Verb::Update, |registry| async move { registry.migrate().await })
        .await;
    match migrated {
        Ok(()) => {
            info!("the registry is at this operator's version");
            true
        }
        Err(reason) => {
            warn!(%reason, "the registry could not be migrated; tried again");
            false
        }
    }
}
