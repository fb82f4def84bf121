//! TLS, with a certificate that changes while connections live: a handshake takes the newest, a connection keeps its own.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use axum_server::{Handle, tls_rustls::RustlsConfig};
use futures::FutureExt as _;
use rustls::ServerConfig;
use tokio::{sync::watch, time::sleep};
use tracing::info;

/// After SIGTERM requests still come until every API server knows that the pod goes: seen, up to a second.
const LEAVING: Duration = Duration::from_secs(5);
/// Then connections are asked to end (GOAWAY), and have this long to do so: more than a decision takes.
const ENDING: Duration = Duration::from_secs(10);

/// Serves from the moment when there is a certificate until `shutdown` resolves and all is answered.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve(
    address: SocketAddr,
    router: Router,
    mut certificates: watch::Receiver<Option<Arc<ServerConfig>>>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let shutdown = shutdown.boxed().shared();
    let first = tokio::select! {
        found = certificates.wait_for(Option::is_some) => found.ok().and_then(|found| found.clone()),
        () = shutdown.clone() => None,
    };
    let Some(first) = first else {
        return Ok(());
    };
    let config = RustlsConfig::from_config(first);
    let handle = Handle::new();
    let (reloaded, ending) = (config.clone(), handle.clone());
    tokio::spawn(async move {
        while certificates.changed().await.is_ok() {
            let newest = certificates.borrow_and_update().clone();
            if let Some(newest) = newest {
                reloaded.reload_from_config(newest);
            }
        }
    });
    tokio::spawn(async move {
        shutdown.await;
        sleep(LEAVING).await;
        info!(connections = ending.connection_count(), "connections are asked to end");
        ending.graceful_shutdown(Some(ENDING));
    });
    info!(%address, "serving");
    axum_server::bind_rustls(address, config)
        .handle(handle)
        .serve(router.into_make_service())
        .await
}
