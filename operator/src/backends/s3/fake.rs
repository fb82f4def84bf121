//! Buckets in memory.

use std::sync::LazyLock;

use async_trait::async_trait;
use plexica_crds::{names::TenantSlug, ownership::Owner};
use secrecy::SecretString;
use url::Url;

use super::{StorageBackend, StorageEndpoint, StorageSpec, StorageState};
use crate::backends::{
    BackendError, Breaches, Credential, Observed,
    fake::{Call, Described, Fake, Seen},
};

static ENDPOINT: LazyLock<Url> = LazyLock::new(|| match Url::parse("https://s3.example.com") {
    Ok(url) => url,
    Err(error) => unreachable!("{error}"),
});

/// A storage backend in memory.
pub type FakeStorage = Fake<StorageSpec>;

impl Described for StorageSpec {
    type Key = TenantSlug;

    fn thing(slug: &TenantSlug) -> String {
        format!("bucket {}", slug.bucket())
    }

    fn owner(&self) -> &Owner {
        &self.owner
    }

    fn key(&self) -> &TenantSlug {
        &self.slug
    }

    fn differences(&self, wanted: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        if self.quota_bytes != wanted.quota_bytes {
            differences.push("quota".to_owned());
        }
        if self.versioning != wanted.versioning {
            differences.push("versioning".to_owned());
        }
        differences
    }
}

#[async_trait]
impl StorageBackend for FakeStorage {
    async fn observe(&self, spec: &StorageSpec) -> Result<Observed<StorageState>, BackendError> {
        let observed = self.look(spec).await?;
        Ok(observed.map(
            |Seen {
                 differences,
                 credential_id,
             }| StorageState {
                differences,
                credential_id,
            },
        ))
    }

    async fn create(&self, spec: &StorageSpec, credential: &Credential) -> Result<(), BackendError> {
        self.bring(Call::Create, spec, Some(credential)).await
    }

    async fn update(&self, spec: &StorageSpec, credential: Option<&Credential>) -> Result<(), BackendError> {
        self.bring(Call::Update, spec, credential).await
    }

    async fn revoke(&self, owner: &Owner, slug: &TenantSlug) -> Result<(), BackendError> {
        self.shut(owner, slug).await
    }

    async fn delete(&self, owner: &Owner, slug: &TenantSlug) -> Result<(), BackendError> {
        self.remove(owner, slug).await
    }

    async fn accepts(
        &self,
        slug: &TenantSlug,
        _access_key_id: &str,
        secret_access_key: &SecretString,
    ) -> Result<bool, BackendError> {
        self.is_opened_by(slug, secret_access_key).await
    }

    async fn verify_isolation(
        &self,
        slug: &TenantSlug,
        _access_key_id: &str,
        secret_access_key: &SecretString,
    ) -> Result<Breaches, BackendError> {
        self.open(slug, Some(secret_access_key)).await
    }

    fn endpoint(&self) -> StorageEndpoint {
        StorageEndpoint {
            endpoint: ENDPOINT.clone(),
            region: "us-east-1".to_owned(),
        }
    }
}
