//! The pools of the platform file as adapters, each call guarded: circuit breaker, timeout, metrics.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::{
    backends::{
        BackendError,
        keycloak::IdentityBackend,
        postgres::{
            DatabaseBackend,
            plugin::PluginDatabase,
            registry::{PlacementRequest, PoolOffer, PoolRequest, Registry},
        },
        s3::StorageBackend,
    },
    platform::{PlacementPolicy, PoolCommon},
    runtime::{
        breaker::Breaker,
        metrics::{CallLabels, Metrics},
    },
};

/// Verbs of the ports, with how long each may take in all. An adapter's own timeouts per request are shorter;
/// this is the last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Verb {
    /// Read.
    Observe,
    /// Make.
    Create,
    /// Bring to the spec.
    Update,
    /// Shut.
    Revoke,
    /// Drop.
    Delete,
    /// Try isolation.
    VerifyIsolation,
    /// Apply a plugin's migrations.
    Migrate,
    /// Registry: find a place.
    Place,
    /// Registry: write what is known.
    Record,
}

impl Verb {
    fn timeout(self) -> Duration {
        match self {
            Self::Observe | Self::Place | Self::Record => Duration::from_secs(15),
            Self::Update | Self::Revoke | Self::VerifyIsolation => Duration::from_secs(30),
            Self::Create => Duration::from_secs(90),
            Self::Delete => Duration::from_mins(3),
            // Each script has a deadline of its own; a release brings a few.
            Self::Migrate => Duration::from_mins(30),
        }
    }
}

/// One pool: its adapter and what guards it.
pub struct Pool<B: ?Sized> {
    /// Kind of the backend, for metrics and messages.
    pub kind: &'static str,
    /// Name, capacity, placement.
    pub common: PoolCommon,
    /// The adapter.
    pub backend: Arc<B>,
    breaker: Breaker,
    metrics: Metrics,
}

impl<B: ?Sized> Pool<B> {
    /// A pool around an adapter.
    pub fn new(kind: &'static str, common: PoolCommon, backend: Arc<B>, metrics: Metrics) -> Self {
        Self {
            kind,
            common,
            backend,
            breaker: Breaker::default(),
            metrics,
        }
    }

    /// Calls the backend, unless the circuit is open; counts, times and ends it when it takes too long.
    ///
    /// # Errors
    /// What the call answers; `Unavailable` when the circuit is open or time is up.
    pub async fn call<T, E, F>(&self, verb: Verb, call: impl FnOnce(Arc<B>) -> F) -> Result<T, E>
    where
        E: From<BackendError> + AsBackendError,
        F: Future<Output = Result<T, E>>,
    {
        let name = &self.common.name;
        if let Err(retry_at) = self.breaker.admit(Timestamp::now()) {
            let seconds = retry_at.duration_since(Timestamp::now()).as_secs().max(1);
            return Err(BackendError::Unavailable(format!(
                "did not answer several times; the next call goes out in {seconds}s"
            ))
            .into());
        }
        let start = Instant::now();
        let result = match tokio::time::timeout(verb.timeout(), call(Arc::clone(&self.backend))).await {
            Ok(result) => result,
            Err(_) => {
                Err(BackendError::Unavailable(format!("did not finish within {}s", verb.timeout().as_secs())).into())
            }
        };
        let error = result.as_ref().err().and_then(AsBackendError::as_backend_error);
        self.breaker
            .record(!matches!(error, Some(BackendError::Unavailable(_))), Timestamp::now());
        let result_label = match &result {
            Ok(_) => "ok",
            Err(_) => error.map_or("refused", BackendError::label),
        };
        let labels = CallLabels {
            backend: self.kind,
            pool: name.clone(),
            verb: verb.into(),
            result: result_label,
        };
        self.metrics.called(&labels, start.elapsed());
        result
    }

    /// Since when the backend does not answer; `None` while it does.
    pub fn failing_since(&self) -> Option<Timestamp> {
        self.breaker.failing_since()
    }

    fn offer(&self) -> PoolOffer {
        PoolOffer {
            name: self.common.name.clone(),
            capacity: self.common.capacity,
            open: self.common.placement == PlacementPolicy::Open,
        }
    }
}

/// An error that may be a backend's.
pub trait AsBackendError {
    /// The backend's error, if it is one.
    fn as_backend_error(&self) -> Option<&BackendError>;
}

impl AsBackendError for BackendError {
    fn as_backend_error(&self) -> Option<&BackendError> {
        Some(self)
    }
}

impl AsBackendError for crate::backends::postgres::registry::PlacementError {
    fn as_backend_error(&self) -> Option<&BackendError> {
        match self {
            Self::Backend(error) => Some(error),
            Self::RetainedData { .. } | Self::UnknownPool { .. } | Self::PoolFull { .. } => None,
        }
    }
}

impl AsBackendError for crate::backends::postgres::registry::RecordError {
    fn as_backend_error(&self) -> Option<&BackendError> {
        match self {
            Self::Backend(error) => Some(error),
            Self::Value(_) => None,
        }
    }
}

impl AsBackendError for crate::backends::postgres::plugin::MigrationError {
    fn as_backend_error(&self) -> Option<&BackendError> {
        match self {
            Self::Backend(error) => Some(error),
            Self::Invalid { .. } | Self::NotExpanded { .. } | Self::Failed(_) => None,
        }
    }
}

/// Pools of one kind, by name.
pub type Pools<B> = BTreeMap<String, Arc<Pool<B>>>;

/// All pools of the platform, and the registry.
pub struct Backends {
    /// Databases.
    pub postgres: Pools<dyn DatabaseBackend>,
    /// The plugins' part of the same databases.
    pub plugins: Pools<dyn PluginDatabase>,
    /// Keycloaks.
    pub keycloak: Pools<dyn IdentityBackend>,
    /// Object stores.
    pub s3: Pools<dyn StorageBackend>,
    /// The registry of tenants.
    pub registry: Pool<dyn Registry>,
}

impl Backends {
    /// What to ask the registry for a tenant that wants these pools (`None`: any open one).
    pub fn placement_request(
        &self,
        postgres: Option<String>,
        keycloak: Option<Option<String>>,
        s3: Option<String>,
    ) -> PlacementRequest {
        fn request<B: ?Sized>(wanted: Option<String>, pools: &Pools<B>) -> PoolRequest {
            PoolRequest {
                wanted,
                offers: pools.values().map(|pool| pool.offer()).collect(),
            }
        }
        PlacementRequest {
            postgres: request(postgres, &self.postgres),
            keycloak: keycloak.map(|wanted| request(wanted, &self.keycloak)),
            s3: request(s3, &self.s3),
        }
    }
}
