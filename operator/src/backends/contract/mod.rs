//! What every backend behind a port must do, as checks that run against any of them.
//!
//! The fakes are held to it by this crate's tests, the real adapters by the end-to-end tests: so what is tried with
//! fakes says something about the real systems. Each check works on a tenant of its own and leaves nothing behind.

mod checks;
pub mod plugin;
mod registry;
mod subject;

use std::fmt;

use futures::future::BoxFuture;
use plexica_crds::{names::TenantSlug, ownership::Owner};
use rand::distr::{Alphanumeric, SampleString};
use uuid::Uuid;

pub use checks::CHECKS;
pub use registry::{REGISTRY_CHECKS, RegistryCheck};
pub use subject::{Databases, Identities, Seen, Storages, Subject};

use super::{BackendError, postgres::registry::RecordError};

/// A tenant that a check works on.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Its mark.
    pub owner: Owner,
    /// Its name.
    pub slug: TenantSlug,
    /// Whether its spec is the other one of two that a subject knows.
    pub changed: bool,
}

/// Why a check failed, for people.
#[derive(Debug)]
pub struct Failure(pub String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Self {
        Self(format!("unexpected error: {error}"))
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        Self(format!("unexpected error: {error}"))
    }
}

/// One rule.
pub struct Check {
    /// The rule, as a sentence.
    pub name: &'static str,
    /// Whether it speaks of credentials; such rules do not apply to subjects without.
    pub about_credentials: bool,
    run: for<'a> fn(&'a dyn Subject, &'a Tenant) -> BoxFuture<'a, Result<(), Failure>>,
}

impl Check {
    /// Tries the rule on a fresh tenant, which is deleted afterwards, come what may.
    ///
    /// # Errors
    /// How the rule was broken, or why the tenant could not be deleted.
    pub async fn run(&self, subject: &dyn Subject) -> Result<(), Failure> {
        let tenant = Tenant::fresh()?;
        let outcome = (self.run)(subject, &tenant).await;
        checks::delete(subject, &tenant).await?;
        outcome
    }

    /// Whether the rule applies.
    pub fn applies(&self, subject: &dyn Subject) -> bool {
        subject.has_credentials() || !self.about_credentials
    }
}

impl Tenant {
    /// A tenant of a random name and mark.
    fn fresh() -> Result<Self, Failure> {
        let suffix = Alphanumeric.sample_string(&mut rand::rng(), 10).to_lowercase();
        let slug = TenantSlug::parse(&format!("contract-{suffix}")).map_err(|error| Failure(error.to_string()))?;
        Ok(Self {
            owner: Owner {
                tenant_id: Uuid::new_v4(),
                installation: "contract".to_owned(),
            },
            slug,
            changed: false,
        })
    }

    /// Another tenant of the same name.
    fn stranger(&self) -> Self {
        Self {
            owner: Owner {
                tenant_id: Uuid::new_v4(),
                ..self.owner.clone()
            },
            ..self.clone()
        }
    }

    /// The same tenant of another installation of the platform.
    fn elsewhere(&self) -> Self {
        let installation = format!("{}-other", self.owner.installation);
        Self {
            owner: Owner {
                installation,
                ..self.owner.clone()
            },
            ..self.clone()
        }
    }

    /// The same tenant with its other spec.
    fn changed(&self) -> Self {
        Self {
            changed: true,
            ..self.clone()
        }
    }
}

fn expect(holds: bool, otherwise: String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure(otherwise)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::{
        keycloak::FakeIdentity,
        postgres::{FakeDatabase, plugin::FakePluginDatabase, registry::FakeRegistry},
        s3::FakeStorage,
    };

    async fn holds(subject: &dyn Subject) {
        for check in CHECKS.iter().filter(|check| check.applies(subject)) {
            if let Err(failure) = check.run(subject).await {
                panic!("{}: {failure}", check.name);
            }
        }
    }

    #[tokio::test]
    async fn the_fake_database_keeps_the_contract() {
        holds(&Databases(&FakeDatabase::default())).await;
    }

    #[tokio::test]
    async fn the_fake_database_of_plugins_keeps_the_contract() {
        let subject = plugin::PluginDatabases {
            tenants: &FakeDatabase::default(),
            plugins: &FakePluginDatabase::default(),
        };
        holds(&subject).await;
        for check in plugin::PLUGIN_CHECKS {
            if let Err(failure) = check.run(&subject).await {
                panic!("{}: {failure}", check.name);
            }
        }
    }

    #[tokio::test]
    async fn the_fake_registry_keeps_the_contract() {
        let registry = FakeRegistry::default();
        for check in REGISTRY_CHECKS {
            if let Err(failure) = check.run(&registry).await {
                panic!("{}: {failure}", check.name);
            }
        }
    }

    #[tokio::test]
    async fn the_fake_identity_keeps_the_contract() {
        holds(&Identities(&FakeIdentity::default())).await;
    }

    #[tokio::test]
    async fn the_fake_storage_keeps_the_contract() {
        holds(&Storages(&FakeStorage::default())).await;
    }
}
