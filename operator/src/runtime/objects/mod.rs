//! What every reconciler needs of the objects of its kind: to hold them and let them go, to write their status, to tell
//! of them by events, and to know when to look at them again.

mod drift;
mod events;
mod finalizer;
mod status;

use std::{fmt::Debug, marker::PhantomData, time::Duration};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Client, Resource, core::DeserializeGuard};
use serde::de::DeserializeOwned;

use super::{backoff::Backoff, client::ApiError, freshness::Freshness, metrics::Metrics, recorder::BoundedRecorder};

pub use drift::Words;
pub use events::change;
pub use finalizer::holds;
pub use status::with_due;

/// How long the cache is given to show our own last write before it is looked at again. Seen: milliseconds.
const CACHE_LAG: Duration = Duration::from_millis(20);

/// An object as it is cached: perhaps it does not decode.
pub type Root<K> = DeserializeGuard<K>;

/// How long after a pass an object is looked at again, if nothing asks for it before. `None`: only then.
pub type Again = Option<Duration>;

/// A resource of ours.
pub trait Kind: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static {}

impl<K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static> Kind for K {}

/// Why a pass could not even be reported in the object's status.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The finalizer could not be set or removed.
    #[error("failed to write the finalizer: {0}")]
    Finalizer(#[source] ApiError),
    /// The status could not be written.
    #[error("failed to write the status: {0}")]
    Status(#[source] ApiError),
    /// An object that does not decode could not be read again.
    #[error("failed to read the object again: {0}")]
    Read(#[source] ApiError),
    /// It could not be read who uses the object, which is to go.
    #[error("failed to read who uses it: {0}")]
    Users(#[source] ApiError),
    /// The pass panicked: a bug; others go on.
    #[error("the pass panicked; look at the log of the operator")]
    Panicked,
}

impl Error {
    /// As a metric label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Finalizer(_) => "finalizer",
            Self::Status(_) => "status",
            Self::Read(_) => "read",
            Self::Users(_) => "users",
            Self::Panicked => "panicked",
        }
    }
}

/// All objects of one kind.
pub struct Objects<K> {
    /// Kubernetes.
    pub client: Client,
    /// What is counted.
    pub metrics: Metrics,
    recorder: BoundedRecorder,
    /// When failing objects are tried again, by uid.
    backoff: Backoff<String>,
    /// What the operator wrote to them and has not seen in its cache yet.
    freshness: Freshness,
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind> Objects<K> {
    /// Objects that nothing is remembered of.
    pub fn new(client: Client, recorder: BoundedRecorder, metrics: Metrics) -> Self {
        Self {
            client,
            metrics,
            recorder,
            backoff: Backoff::default(),
            freshness: Freshness::default(),
            kind: PhantomData,
        }
    }

    /// When to look again at a cached object that is older than our own last write to it; `None` if it is not.
    pub fn stale(&self, cached: &ObjectMeta) -> Again {
        self.freshness.is_stale(cached).then_some(CACHE_LAG)
    }

    /// Records that a pass over the object failed; says when it is tried again.
    pub fn retry(&self, meta: &ObjectMeta) -> (Timestamp, Again) {
        let now = Timestamp::now();
        let uid = meta.uid.clone().unwrap_or_default();
        let due = self
            .backoff
            .failed(&uid, meta.generation.unwrap_or_default(), now, rand::random());
        (due, Some(due.duration_since(now).unsigned_abs()))
    }

    /// Records that a pass over the object succeeded.
    pub fn succeeded(&self, meta: &ObjectMeta) {
        self.backoff.forget(&meta.uid.clone().unwrap_or_default());
    }

    /// Forgets what is kept in memory of an object that is gone.
    pub fn forget(&self, meta: &ObjectMeta) {
        self.succeeded(meta);
        self.freshness.forget(meta.uid.as_deref().unwrap_or_default());
    }

    /// How many objects wait for another try.
    pub fn in_backoff(&self) -> usize {
        self.backoff.len()
    }
}
