//! External systems behind ports.
//!
//! Each kind of backend is a trait of four verbs: observe, create, update, delete (and revoke, which shuts
//! without losing anything). `observe` never changes anything; every other verb is idempotent and safe to
//! be killed in: the next pass observes what is there and goes on. Whatever a backend holds for a tenant
//! bears the tenant's mark ([`Owner`](plexica_crds::ownership::Owner)); what bears none is
//! [`Observed::Foreign`] and is never touched, not even by `revoke` and `delete`.

pub mod contract;
pub mod fake;
pub(crate) mod hash;
pub(crate) mod http;
pub mod keycloak;
pub mod postgres;
pub mod s3;

use rand::distr::{Alphanumeric, SampleString};
use secrecy::SecretString;

/// What an observation found under the tenant's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed<S> {
    /// Nothing.
    Absent,
    /// Something without our mark; the text says what, for people: `schema tenant_acme`.
    Foreign(String),
    /// The tenant's own.
    Present(S),
}

impl<S> Observed<S> {
    /// The same observation, with what is present seen another way.
    pub fn map<T>(self, see: impl FnOnce(S) -> T) -> Observed<T> {
        match self {
            Self::Absent => Observed::Absent,
            Self::Foreign(what) => Observed::Foreign(what),
            Self::Present(state) => Observed::Present(see(state)),
        }
    }
}

/// A secret with the id under which both sides of it are recognised.
///
/// The id is written beside the secret in the Kubernetes Secret and as a mark in the backend: when both
/// show the same id, the Secret's content is what the backend accepts. It is random and derived from nothing.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Random, not secret.
    pub id: String,
    /// The password or secret key.
    pub secret: SecretString,
}

impl Credential {
    /// A new random credential: 40 alphanumeric characters (238 bits), valid in URIs without escaping.
    pub fn generate() -> Self {
        let mut rng = rand::rng();
        Self {
            id: Alphanumeric.sample_string(&mut rng, 12),
            secret: Alphanumeric.sample_string(&mut rng, 40).into(),
        }
    }
}

/// Why a backend could not do what was asked. Messages are for people, name the thing and never hold a
/// secret; sources (for the log) must not either.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// Not reachable, too slow, overloaded or restarting: heals without help, retried.
    #[error("{0}")]
    Unavailable(String),
    /// Reachable, and it refuses the operator's own account or configuration: a person must act.
    #[error("{0}")]
    Refused(String),
    /// A thing of the tenant's name exists and is not ours.
    #[error("{0} exists and does not bear this tenant's mark")]
    Foreign(String),
    /// An applied migration's file has changed since.
    #[error("migration {name} was applied with checksum {applied} and now has {found}")]
    MigrationChanged {
        /// Name of the file.
        name: String,
        /// Checksum in the tenant's schema.
        applied: String,
        /// Checksum of the operator's file.
        found: String,
    },
    /// An answer that the adapter does not understand: a bug or an unsupported version.
    #[error("{0}")]
    Unexpected(String),
}

impl BackendError {
    /// The variant as a metric label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Refused(_) => "refused",
            Self::Foreign(_) => "foreign",
            Self::MigrationChanged { .. } => "migration_changed",
            Self::Unexpected(_) => "unexpected",
        }
    }
}

/// What an isolation check found to be possible that must not be; empty means that the tenant is isolated.
/// Each entry is a sentence for people: `may read schema core`.
pub type Breaches = Vec<String>;
