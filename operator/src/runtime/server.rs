//! The operator's own HTTP server: `/healthz`, `/readyz` (which says what is missing) and `/metrics`.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::registry::Registry;

use super::metrics;

/// What must have happened before the operator is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::Display)]
pub enum Gate {
    /// The CRD of this kind is served.
    #[strum(to_string = "kind {0} is not served yet: install chart plexica-crds")]
    Crd(&'static str),
    /// Schema `core` is at this operator's version.
    #[strum(serialize = "the registry (schema core) has not been migrated yet: is its database reachable?")]
    Registry,
    /// All objects of this kind are in the cache.
    #[strum(to_string = "the cache of kind {0} is not filled yet")]
    Cache(&'static str),
    /// The webhook has a certificate.
    #[strum(serialize = "there is no serving certificate yet: is its Secret there (chart plexica-operator)?")]
    Certificate,
    /// The API servers are told to trust it.
    #[strum(
        serialize = "the ValidatingWebhookConfiguration does not name the certificate's authority yet: is it there (chart plexica-operator)?"
    )]
    Trust,
}

/// The gates that are still closed; ready when there is none.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<Mutex<BTreeSet<Gate>>>);

impl Readiness {
    /// Not ready until each of these gates was opened.
    pub fn waiting_for(gates: impl IntoIterator<Item = Gate>) -> Self {
        Self(Arc::new(Mutex::new(gates.into_iter().collect())))
    }

    /// Opens a gate.
    pub fn open(&self, gate: Gate) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&gate);
    }

    /// Whether a gate is open, or was none that is waited for.
    pub fn is_open(&self, gate: Gate) -> bool {
        !self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&gate)
    }

    /// The gates that are still closed.
    pub fn missing(&self) -> Vec<Gate> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .copied()
            .collect()
    }
}

#[derive(Clone)]
struct AppState {
    readiness: Readiness,
    registry: Arc<Registry>,
}

/// Serves until the process ends.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve(address: SocketAddr, readiness: Readiness, registry: Registry) -> std::io::Result<()> {
    let state = AppState {
        readiness,
        registry: Arc::new(registry),
    };
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render))
        .with_state(state);
    axum::serve(tokio::net::TcpListener::bind(address).await?, router).await
}

async fn readyz(State(state): State<AppState>) -> Response {
    let missing = state.readiness.missing();
    if missing.is_empty() {
        return "ok\n".into_response();
    }
    let lines = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n") + "\n";
    (StatusCode::SERVICE_UNAVAILABLE, lines).into_response()
}

async fn render(State(state): State<AppState>) -> Response {
    const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match metrics::render(&state.registry) {
        Ok(text) => ([(header::CONTENT_TYPE, TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_names_what_is_missing() {
        let readiness = Readiness::waiting_for([Gate::Crd("Tenant"), Gate::Registry]);
        readiness.open(Gate::Crd("Tenant"));
        assert_eq!(readiness.missing(), [Gate::Registry]);
        assert!(Gate::Registry.to_string().contains("schema core"));
        readiness.open(Gate::Registry);
        assert!(readiness.missing().is_empty());
    }
}
