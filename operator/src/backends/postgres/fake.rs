//! Databases in memory.

use async_trait::async_trait;
use plexica_crds::{names::TenantSlug, ownership::Owner};
use secrecy::SecretString;

use super::{DatabaseBackend, DatabaseEndpoint, DatabaseSpec, DatabaseState};
use crate::backends::{
    BackendError, Breaches, Credential, Observed,
    fake::{Call, Described, Fake, Seen},
};

/// A database backend in memory.
pub type FakeDatabase = Fake<DatabaseSpec>;

impl Described for DatabaseSpec {
    type Key = TenantSlug;

    fn thing(slug: &TenantSlug) -> String {
        format!("schema {}", slug.schema())
    }

    fn owner(&self) -> &Owner {
        &self.owner
    }

    fn key(&self) -> &TenantSlug {
        &self.slug
    }

    fn differences(&self, wanted: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        if self.connection_limit != wanted.connection_limit {
            differences.push(format!(
                "connection limit {}, not {}",
                self.connection_limit, wanted.connection_limit
            ));
        }
        if self.statement_timeout != wanted.statement_timeout {
            differences.push("statement timeout".to_owned());
        }
        differences
    }
}

#[async_trait]
impl DatabaseBackend for FakeDatabase {
    async fn observe(&self, spec: &DatabaseSpec) -> Result<Observed<DatabaseState>, BackendError> {
        let observed = self.look(spec).await?;
        Ok(observed.map(
            |Seen {
                 differences,
                 credential_id,
             }| DatabaseState {
                differences,
                credential_id,
                migration: Some("fake".to_owned()),
            },
        ))
    }

    async fn create(&self, spec: &DatabaseSpec, credential: &Credential) -> Result<(), BackendError> {
        self.bring(Call::Create, spec, Some(credential)).await
    }

    async fn update(&self, spec: &DatabaseSpec, credential: Option<&Credential>) -> Result<(), BackendError> {
        self.bring(Call::Update, spec, credential).await
    }

    async fn revoke(&self, owner: &Owner, slug: &TenantSlug) -> Result<(), BackendError> {
        self.shut(owner, slug).await
    }

    async fn delete(&self, owner: &Owner, slug: &TenantSlug) -> Result<(), BackendError> {
        self.remove(owner, slug).await
    }

    async fn verify_isolation(
        &self,
        slug: &TenantSlug,
        _username: &str,
        password: &SecretString,
    ) -> Result<Breaches, BackendError> {
        self.open(slug, Some(password)).await
    }

    fn endpoint(&self) -> DatabaseEndpoint {
        DatabaseEndpoint {
            host: "db.example.com".to_owned(),
            port: 5432,
            database: "fake".to_owned(),
        }
    }
}
