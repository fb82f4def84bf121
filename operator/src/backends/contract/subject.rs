//! The three ports as one, as far as their rules are the same.

use std::time::Duration;

use async_trait::async_trait;

use super::Tenant;
use crate::backends::{
    BackendError, Breaches, Credential, Observed,
    keycloak::{Admin, IdentityBackend, IdentitySpec},
    postgres::{DatabaseBackend, DatabaseSpec},
    s3::{StorageBackend, StorageSpec},
};

/// What an observation shows, whatever the backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What differs from the spec.
    pub differences: Vec<String>,
    /// Id of the credential that is accepted.
    pub credential_id: Option<String>,
}

/// A backend under test.
#[async_trait]
pub trait Subject: Send + Sync {
    /// Whether its tenants have a credential.
    fn has_credentials(&self) -> bool;
    /// See the ports.
    async fn observe(&self, tenant: &Tenant) -> Result<Observed<Seen>, BackendError>;
    /// See the ports.
    async fn create(&self, tenant: &Tenant, credential: &Credential) -> Result<(), BackendError>;
    /// See the ports.
    async fn update(&self, tenant: &Tenant, credential: Option<&Credential>) -> Result<(), BackendError>;
    /// See the ports.
    async fn revoke(&self, tenant: &Tenant) -> Result<(), BackendError>;
    /// See the ports.
    async fn delete(&self, tenant: &Tenant) -> Result<(), BackendError>;
    /// See the ports.
    async fn verify_isolation(&self, tenant: &Tenant, credential: &Credential) -> Result<Breaches, BackendError>;
}

/// A database backend under test.
pub struct Databases<'a>(pub &'a dyn DatabaseBackend);

pub(super) fn database(tenant: &Tenant) -> DatabaseSpec {
    DatabaseSpec {
        owner: tenant.owner.clone(),
        slug: tenant.slug.clone(),
        connection_limit: if tenant.changed { 7 } else { 20 },
        statement_timeout: Duration::from_secs(if tenant.changed { 5 } else { 30 }),
    }
}

#[async_trait]
impl Subject for Databases<'_> {
    fn has_credentials(&self) -> bool {
        true
    }

    async fn observe(&self, tenant: &Tenant) -> Result<Observed<Seen>, BackendError> {
        let observed = self.0.observe(&database(tenant)).await?;
        Ok(observed.map(|state| Seen {
            differences: state.differences,
            credential_id: state.credential_id,
        }))
    }

    async fn create(&self, tenant: &Tenant, credential: &Credential) -> Result<(), BackendError> {
        self.0.create(&database(tenant), credential).await
    }

    async fn update(&self, tenant: &Tenant, credential: Option<&Credential>) -> Result<(), BackendError> {
        self.0.update(&database(tenant), credential).await
    }

    async fn revoke(&self, tenant: &Tenant) -> Result<(), BackendError> {
        self.0.revoke(&tenant.owner, &tenant.slug).await
    }

    async fn delete(&self, tenant: &Tenant) -> Result<(), BackendError> {
        self.0.delete(&tenant.owner, &tenant.slug).await
    }

    async fn verify_isolation(&self, tenant: &Tenant, credential: &Credential) -> Result<Breaches, BackendError> {
        let [role, _] = tenant.slug.login_roles();
        self.0
            .verify_isolation(&tenant.slug, role.as_str(), &credential.secret)
            .await
    }
}

/// An identity backend under test.
pub struct Identities<'a>(pub &'a dyn IdentityBackend);

fn identity(tenant: &Tenant) -> IdentitySpec {
    let slug = &tenant.slug;
    let admin = |name: &str| Admin {
        email: format!("{name}@{slug}.example.com"),
        first_name: Some(name.to_owned()),
        last_name: None,
    };
    let mut spec = IdentitySpec {
        owner: tenant.owner.clone(),
        slug: slug.clone(),
        display_name: if tenant.changed {
            "Contract, changed"
        } else {
            "Contract"
        }
        .to_owned(),
        login_theme: None,
        access_token_lifespan: Duration::from_mins(5),
        sso_session_idle: Duration::from_mins(30),
        sso_session_max: Duration::from_hours(10),
        redirect_uris: vec![format!("https://{slug}.example.com/*")],
        web_origins: vec!["+".to_owned()],
        admins: vec![admin("Ann")],
    };
    if tenant.changed {
        spec.access_token_lifespan = Duration::from_mins(2);
        spec.redirect_uris.push(format!("https://{slug}.example.org/*"));
        spec.admins.push(admin("Bob"));
    }
    spec
}

#[async_trait]
impl Subject for Identities<'_> {
    fn has_credentials(&self) -> bool {
        false
    }

    async fn observe(&self, tenant: &Tenant) -> Result<Observed<Seen>, BackendError> {
        let observed = self.0.observe(&identity(tenant)).await?;
        Ok(observed.map(|state| Seen {
            differences: state.differences,
            credential_id: None,
        }))
    }

    async fn create(&self, tenant: &Tenant, _credential: &Credential) -> Result<(), BackendError> {
        self.0.create(&identity(tenant)).await
    }

    async fn update(&self, tenant: &Tenant, _credential: Option<&Credential>) -> Result<(), BackendError> {
        self.0.update(&identity(tenant)).await
    }

    async fn revoke(&self, tenant: &Tenant) -> Result<(), BackendError> {
        self.0.revoke(&tenant.owner, &tenant.slug).await
    }

    async fn delete(&self, tenant: &Tenant) -> Result<(), BackendError> {
        self.0.delete(&tenant.owner, &tenant.slug).await
    }

    async fn verify_isolation(&self, tenant: &Tenant, _credential: &Credential) -> Result<Breaches, BackendError> {
        self.0.verify_isolation(&tenant.owner, &tenant.slug).await
    }
}

/// A storage backend under test.
pub struct Storages<'a>(pub &'a dyn StorageBackend);

fn storage(tenant: &Tenant) -> StorageSpec {
    StorageSpec {
        owner: tenant.owner.clone(),
        slug: tenant.slug.clone(),
        quota_bytes: if tenant.changed { None } else { Some(1 << 30) },
        versioning: !tenant.changed,
    }
}

#[async_trait]
impl Subject for Storages<'_> {
    fn has_credentials(&self) -> bool {
        true
    }

    async fn observe(&self, tenant: &Tenant) -> Result<Observed<Seen>, BackendError> {
        let observed = self.0.observe(&storage(tenant)).await?;
        Ok(observed.map(|state| Seen {
            differences: state.differences,
            credential_id: state.credential_id,
        }))
    }

    async fn create(&self, tenant: &Tenant, credential: &Credential) -> Result<(), BackendError> {
        self.0.create(&storage(tenant), credential).await
    }

    async fn update(&self, tenant: &Tenant, credential: Option<&Credential>) -> Result<(), BackendError> {
        self.0.update(&storage(tenant), credential).await
    }

    async fn revoke(&self, tenant: &Tenant) -> Result<(), BackendError> {
        self.0.revoke(&tenant.owner, &tenant.slug).await
    }

    async fn delete(&self, tenant: &Tenant) -> Result<(), BackendError> {
        self.0.delete(&tenant.owner, &tenant.slug).await
    }

    async fn verify_isolation(&self, tenant: &Tenant, credential: &Credential) -> Result<Breaches, BackendError> {
        let [user, _] = tenant.slug.storage_users();
        let (slug, user, secret) = (&tenant.slug, user.as_str(), &credential.secret);
        let is_accepted = self.0.accepts(slug, user, secret).await?;
        let breaches = self.0.verify_isolation(slug, user, secret).await?;
        // No rule has a key that is accepted and opens too much; so both say the same.
        if is_accepted == breaches.is_empty() {
            Ok(breaches)
        } else {
            let otherwise =
                format!("whether the key is accepted: {is_accepted}; what trying isolation found: {breaches:?}");
            Err(BackendError::Unexpected(otherwise))
        }
    }
}
