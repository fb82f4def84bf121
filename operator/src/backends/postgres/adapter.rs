//! The port, spoken to a real PostgreSQL (16 or later).

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use plexica_crds::{names::TenantSlug, ownership::Owner};
use secrecy::SecretString;
use sqlx::PgConnection;
use tokio::sync::OnceCell;

use super::{
    DatabaseBackend, DatabaseEndpoint, DatabaseSpec, DatabaseState,
    catalog::{self, Catalog},
    connection::{Database, PostgresConfig, lock_of},
    holding::{self, Holding},
    isolation,
    migrations::{self, Applied},
    own_schema, plan,
    plugin::OPERATOR_SCHEMA,
    pool, removal,
    sql::Script,
    verifier,
};
use crate::backends::{BackendError, Breaches, Credential, Observed};

/// Longest statement of a template migration; shorter than the whole call may take (`pools::Verb`).
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(25);

/// Schemas and roles in one database.
pub struct PostgresBackend {
    pub(super) database: Database,
    /// Whether the database itself is as tenants need it; looked at before the first write of this process.
    prepared: Arc<OnceCell<()>>,
    pub(super) connect_group: String,
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

    /// Makes the database what schemas need it to be, once.
    pub(super) async fn prepare(&self) -> Result<(), BackendError> {
        let prepare = async || {
            pool::prepare(&self.database, &self.connect_group).await?;
            own_schema::bring(&self.database, OPERATOR_SCHEMA, migrations::OPERATOR).await
        };
        self.prepared.get_or_try_init(prepare).await?;
        Ok(())
    }

    /// Brings schema and roles to the spec in one transaction.
    async fn converge(&self, spec: &DatabaseSpec, credential: Option<&Credential>) -> Result<(), BackendError> {
        self.prepare().await?;
        let credential = match credential {
            None => None,
            Some(credential) => Some(verifier::of(credential).await?),
        };
        let holding = spec.holding();
        let mut transaction = self.database.begin_locked(&lock_of(&holding.schema)).await?;
        let (catalog, applied) = self.read(&mut transaction, &holding).await?;
        if let Some(foreign) = catalog.foreign(&holding) {
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

    /// Catalogs, and the record of migrations if the schema is the tenant's own and has one.
    async fn read(&self, connection: &mut PgConnection, holding: &Holding) -> Result<(Catalog, Applied), BackendError> {
        let error = |error| self.database.error(&error);
        let catalog = catalog::read(connection, holding).await.map_err(error)?;
        let applied = match &catalog.schema {
            Some(schema) if schema.recorded && holding.bears(schema.comment.as_deref()) => {
                catalog::read_record(connection, holding.schema.as_str())
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
        let holding = spec.holding();
        let (catalog, applied) = self.read(&mut connection, &holding).await?;
        if catalog.is_empty() {
            return Ok(Observed::Absent);
        }
        if let Some(foreign) = catalog.foreign(&holding) {
            return Ok(Observed::Foreign(foreign));
        }
        let steps = plan::plan(spec, &catalog, &applied, None, &self.connect_group)?;
        let active = catalog.roles.get(holding.active_role().as_str());
        Ok(Observed::Present(DatabaseState {
            differences: steps.into_iter().map(|step| step.difference).collect(),
            credential_id: active.and_then(|role| holding::credential_id(role.comment.as_deref())),
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
        removal::revoke(&self.database, &Holding::of_tenant(owner, slug)).await
    }

    async fn delete(&self, owner: &Owner, slug: &TenantSlug) -> Result<(), BackendError> {
        removal::delete(&self.database, &Holding::of_tenant(owner, slug), &Script::default()).await
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
