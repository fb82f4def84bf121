//! Object storage of tenants: the port.
//!
//! One tenant is one bucket, one user and one policy that allows that user that bucket and nothing else.

mod adapter;
mod client;
mod emptying;
mod fake;
mod found;
mod isolation;
pub mod madmin_envelope;
pub mod minio_admin;
mod policy;

pub use adapter::{MinioBackend, MinioConfig};
pub use fake::FakeStorage;

use async_trait::async_trait;
use plexica_crds::{names::TenantSlug, ownership::Owner};
use secrecy::SecretString;
use url::Url;

use super::{BackendError, Breaches, Credential, Observed};

/// What a tenant's bucket and user shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageSpec {
    /// The mark that bucket and policy bear.
    pub owner: Owner,
    /// The tenant, from whose name all names derive.
    pub slug: TenantSlug,
    /// Greatest size of the bucket; `None` for no limit.
    pub quota_bytes: Option<u64>,
    /// Whether the bucket keeps old versions.
    pub versioning: bool,
}

/// What was found of a tenant's own bucket and user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StorageState {
    /// What differs from the spec, for people; empty means converged.
    pub differences: Vec<String>,
    /// Id of the credential that the active user accepts; `None` if it has none of ours.
    pub credential_id: Option<String>,
}

/// Where services reach the storage, for the tenant's Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageEndpoint {
    /// Base URL, path style.
    pub endpoint: Url,
    /// Region to sign for.
    pub region: String,
}

/// Port to one object store. It speaks of buckets and credentials only, so that drivers for Garage, AWS IAM and
/// Ceph fit behind it.
#[async_trait]
pub trait StorageBackend: Send + Sync {
    /// Reads what is there under the tenant's names; changes nothing.
    async fn observe(&self, spec: &StorageSpec) -> Result<Observed<StorageState>, BackendError>;

    /// Makes bucket, policy and user. Finding them there already (ours) is success and brings them to the spec,
    /// credential included.
    async fn create(&self, spec: &StorageSpec, credential: &Credential) -> Result<(), BackendError>;

    /// Brings everything to the spec, what is missing included; `Some` sets this secret key on the active user.
    async fn update(&self, spec: &StorageSpec, credential: Option<&Credential>) -> Result<(), BackendError>;

    /// Disables the user, data kept. Absent and foreign things are left alone: success.
    async fn revoke(&self, owner: &Owner, slug: &TenantSlug) -> Result<(), BackendError>;

    /// Removes user, policy, objects and bucket. Absent and foreign things are left alone: success.
    async fn delete(&self, owner: &Owner, slug: &TenantSlug) -> Result<(), BackendError>;

    /// Whether the store accepts this key of the tenant's. The credential's id says which key was set last; it does
    /// not say which arrived last: a request of an operator that was killed may be carried out after those of its
    /// successor, and an administrator sets keys without an id.
    async fn accepts(
        &self,
        slug: &TenantSlug,
        access_key_id: &str,
        secret_access_key: &SecretString,
    ) -> Result<bool, BackendError>;

    /// Tries with the tenant's key what must work and what must not.
    async fn verify_isolation(
        &self,
        slug: &TenantSlug,
        access_key_id: &str,
        secret_access_key: &SecretString,
    ) -> Result<Breaches, BackendError>;

    /// Where services reach this store.
    fn endpoint(&self) -> StorageEndpoint;
}
