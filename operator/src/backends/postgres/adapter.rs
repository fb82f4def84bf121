//! The port, spoken to a real PostgreSQL (16 or later).

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use plexica_crds::{names::TenantSlug, ownership::Owner};
use postgres_protocol::password::scram_sha_256;
use secrecy::{ExposeSecret, SecretString};
use sqlx::PgConnection;
use tokio::sync::OnceCell;

use super::{
    DatabaseBackend, DatabaseEndpoint, DatabaseSpec, DatabaseState,
    catalog::{self, Catalog, bears},
    connection::{Database, PostgresConfig, tenant_lock},
    isolation,
    migrations::Applied,
    plan::{self, NewCredential},
    pool, removal,
    sql::Script,
};
use crate::backends::{BackendError, Breaches, Credential, Observed};

/// Longest statement of a template migration; shorter than the whole call may take (`pools::Verb`).
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(25);

/// Schemas and roles in one database.
pub struct PostgresBackend {
    database: Database,
    /// Whether the database itself is as tenants need it; looked at before the first write of this process.
    prepared: Arc<OnceCell<()>>,
    connect_group: String,
}

impl PostgresBackend {
    /// A backend that connects when first used.
    pub fn connect(config: PostgresConfig) -> Self {
        let connect_group = pool::connect_group(&config.database);
        Self {
            database: Database::connect(config),
            prepared: Arc::default(),
            connect_group,
        }
    }

    /// Brings schema and roles to the spec in one transaction.
    async fn converge(&self, spec: &DatabaseSpec, credential: Option<&Credential>) -> Result<(), BackendError> {
        self.prepared
            .get_or_try_init(|| pool::prepare(&self.database, &self.connect_group))
            .await?;
        let credential = match credential {
            None => None,
            Some(credential) => Some(self.verifier(credential).await?),
        };
        let mut transaction = self.database.begin_locked(&tenant_lock(&spec.slug.schema())).await?;
        let (catalog, applied) = self.read(&mut transaction, &spec.owner, &spec.slug).await?;
        if let Some(foreign) = catalog.foreign(&spec.owner, &spec.slug) {
            return Err(BackendError::Foreign(foreign));
        }
        let steps = plan::plan(spec, &catalog, &applied, credential.as_ref(), &self.connect_group)?;
        if steps.is_empty() {
            return Ok(());
        }
        let mut script = Script::default();
        script.push(format!(
            "SET LOCAL statement_timeout = '{}ms'",
            MIGRATION_TIMEOUT.as_millis()
        ));
        for step in &steps {
            script.append(&step.script);
        }
        self.database.run(&mut transaction, script).await?;
        self.database.commit(transaction).await
    }

    /// The verifier of a password. Some 4,096 rounds of HMAC: off the async threads.
    async fn verifier(&self, credential: &Credential) -> Result<NewCredential, BackendError> {
        let Credential { id, secret } = credential.clone();
        let verifier = tokio::task::spawn_blocking(move || scram_sha_256(secret.expose_secret().as_bytes()))
            .await
            .map_err(|error| BackendError::Unexpected(format!("no verifier could be computed: {error}")))?;
        Ok(NewCredential { id, verifier })
    }

    /// Catalogs, and the record of migrations if the schema is the tenant's own and has one.
    async fn read(
        &self,
        connection: &mut PgConnection,
        owner: &Owner,
        slug: &TenantSlug,
    ) -> Result<(Catalog, Applied), BackendError> {
        let error = |error| self.database.error(&error);
        let catalog = catalog::read(connection, slug).await.map_err(error)?;
        let applied = match &catalog.schema {
            Some(schema) if schema.recorded && bears(schema.comment.as_deref(), owner) => {
                catalog::read_record(connection, slug.schema().as_str())
                    .await
                    .map_err(error)?
            }
            _ => Applied::new(),
        };
        Ok((catalog, applied))
    }
}

#[async_trait]
impl DatabaseBackend for PostgresBackend {
    async fn observe(&self, spec: &DatabaseSpec) -> Result<Observed<DatabaseState>, BackendError> {
        let mut connection = self
            .database
            .pool
            .acquire()
            .await
            .map_err(|error| self.database.error(&error))?;
        let (catalog, applied) = self.read(&mut connection, &spec.owner, &spec.slug).await?;
        if catalog.is_empty() {
            return Ok(Observed::Absent);
        }
        if let Some(foreign) = catalog.foreign(&spec.owner, &spec.slug) {
            return Ok(Observed::Foreign(foreign));
        }
        let steps = plan::plan(spec, &catalog, &applied, None, &self.connect_group)?;
        let active = catalog.roles.get(plan::active_role(&spec.slug).as_str());
        Ok(Observed::Present(DatabaseState {
            differences: steps.into_iter().map(|step| step.difference).collect(),
            credential_id: active.and_then(|role| plan::credential_id(role.comment.as_deref())),
            migration: applied.last_key_value().map(|(name, _)| name.clone()),
        }))
    }

    async fn create(&self, spec: &DatabaseSpec, credential: &Credential) -> Result<(), BackendError> {
        self.converge(spec, Some(credential)).await
    }

    async fn update(&self, spec: &DatabaseSpec, credential: Option<&Credential>) -> Result<(), BackendError> {
        self.converge(spec, credential).await
    }

    async fn revoke(&self, owner: &Owner, slug: &TenantSlug) -> Result<(), BackendError> {
        removal::revoke(&self.database, owner, slug).await
    }

    async fn delete(&self, owner: &Owner, slug: &TenantSlug) -> Result<(), BackendError> {
        removal::delete(&self.database, owner, slug).await
    }

    async fn verify_isolation(
        &self,
        slug: &TenantSlug,
        username: &str,
        password: &SecretString,
    ) -> Result<Breaches, BackendError> {
        isolation::verify(&self.database.config, slug, username, password).await
    }

    fn endpoint(&self) -> DatabaseEndpoint {
        let PostgresConfig {
            host, port, database, ..
        } = self.database.config.clone();
        DatabaseEndpoint { host, port, database }
    }
}
