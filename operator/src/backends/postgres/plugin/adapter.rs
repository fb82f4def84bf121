//! The port, spoken to a real PostgreSQL: the same connections as for the tenants of that database.

use async_trait::async_trait;
use plexica_crds::{
    names::{PluginId, TenantSlug},
    ownership::{Owner, PluginOwner},
    plugin::MigrationPhase,
};
use secrecy::SecretString;
use sqlx::PgConnection;

use super::{
    AppliedMigration, MigrationError, MigrationLimits, PluginDatabase, PluginDatabaseSpec, PluginDatabaseState,
    PluginKey, PluginMigration, PluginPermission, SeededPermissions, Surplus,
    catalog::{self as surroundings, Surroundings},
    ledger, permissions, plan, runner,
};
use crate::backends::{
    BackendError, Breaches, Credential, Observed,
    postgres::{
        PostgresBackend,
        catalog::{self, Catalog},
        connection::lock_of,
        holding::{self, Holding},
        isolation, removal,
        sql::Script,
        steps::Steps,
        verifier,
    },
};

/// Schemas and roles of a tenant's plugins, with their marks. A plugin's tables are in its schema, so that nothing else
/// of it can be left.
const MARKS: &str = r"
SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE starts_with(nspname, $1 || '_plugin_')
UNION
SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE starts_with(rolname, $1 || '_plugin_')";

impl PostgresBackend {
    async fn read_plugin(
        &self,
        connection: &mut PgConnection,
        spec: &PluginDatabaseSpec,
        holding: &Holding,
    ) -> Result<(Catalog, Surroundings), BackendError> {
        let error = |error| self.database.error(&error);
        let catalog = catalog::read(connection, holding).await.map_err(error)?;
        let tenant_schema = spec.key.slug.schema();
        let surroundings = surroundings::read(connection, holding, tenant_schema.as_str())
            .await
            .map_err(error)?;
        Ok((catalog, surroundings))
    }

    /// Brings schema, roles and grants to the spec in one transaction.
    async fn converge_plugin(
        &self,
        spec: &PluginDatabaseSpec,
        credential: Option<&Credential>,
    ) -> Result<(), BackendError> {
        self.prepare().await?;
        let credential = match credential {
            None => None,
            Some(credential) => Some(verifier::of(credential).await?),
        };
        let holding = spec.holding();
        let tenant = Holding::of_tenant(&spec.owner, &spec.key.slug);
        let mut transaction = self.database.begin_locked(&lock_of(&holding.schema)).await?;
        self.database.lock(&mut transaction, &lock_of(&tenant.schema)).await?;
        let (catalog, surroundings) = self.read_plugin(&mut transaction, spec, &holding).await?;
        if let Some(foreign) = catalog.foreign(&holding) {
            return Err(BackendError::Foreign(foreign));
        }
        match &surroundings.tenant_comment {
            None => {
                return Err(BackendError::Unavailable(format!(
                    "the tenant's own schema {} is not there yet",
                    tenant.schema
                )));
            }
            Some(comment) if !tenant.bears(Some(comment)) => {
                return Err(BackendError::Foreign(format!("schema {}", tenant.schema)));
            }
            Some(_) => {}
        }
        let steps = plan::plan(spec, &catalog, &surroundings, credential.as_ref(), &self.connect_group);
        if steps.is_empty() {
            return Ok(());
        }
        let mut script = Script::default();
        for step in &steps {
            script.append(&step.script);
        }
        self.database.run(&mut transaction, script).await?;
        self.database.commit(transaction).await
    }
}

#[async_trait]
impl PluginDatabase for PostgresBackend {
    async fn observe(&self, spec: &PluginDatabaseSpec) -> Result<Observed<PluginDatabaseState>, BackendError> {
        let error = |error| self.database.error(&error);
        let holding = spec.holding();
        let mut connection = self.database.pool.acquire().await.map_err(error)?;
        let (catalog, surroundings) = self.read_plugin(&mut connection, spec, &holding).await?;
        if catalog.is_empty() {
            return Ok(Observed::Absent);
        }
        if let Some(foreign) = catalog.foreign(&holding) {
            return Ok(Observed::Foreign(foreign));
        }
        // Whoever made the schema has made the record before.
        let applied = match &catalog.schema {
            Some(_) => ledger::applied(&mut connection, holding.schema.as_str())
                .await
                .map_err(error)?,
            None => ledger::Applied::new(),
        };
        let steps = plan::plan(spec, &catalog, &surroundings, None, &self.connect_group);
        let active = catalog.roles.get(holding.active_role().as_str());
        Ok(Observed::Present(PluginDatabaseState {
            differences: steps.into_iter().map(|step| step.difference).collect(),
            credential_id: active.and_then(|role| holding::credential_id(role.comment.as_deref())),
            applied: applied.into_keys().collect(),
        }))
    }

    async fn create(&self, spec: &PluginDatabaseSpec, credential: &Credential) -> Result<(), BackendError> {
        self.converge_plugin(spec, Some(credential)).await
    }

    async fn update(&self, spec: &PluginDatabaseSpec, credential: Option<&Credential>) -> Result<(), BackendError> {
        self.converge_plugin(spec, credential).await
    }

    async fn set_credential(&self, spec: &PluginDatabaseSpec, credential: &Credential) -> Result<(), BackendError> {
        let credential = verifier::of(credential).await?;
        let holding = spec.holding();
        // Of roles alone: who changes the schema holds its lock, perhaps for minutes.
        let begun = self.database.pool.begin().await;
        let mut transaction = begun.map_err(|error| self.database.error(&error))?;
        let catalog = catalog::read(&mut transaction, &holding)
            .await
            .map_err(|error| self.database.error(&error))?;
        if let Some(foreign) = catalog.foreign(&holding) {
            return Err(BackendError::Foreign(foreign));
        }
        let active = holding.active_role();
        if !catalog.roles.contains_key(active.as_str()) {
            return Err(BackendError::Unavailable(format!("role {active} is not there yet")));
        }
        let mut steps = Steps::default();
        steps.credential(&holding, active, &credential);
        let mut script = Script::default();
        for step in &steps.into_vec() {
            script.append(&step.script);
        }
        self.database.run(&mut transaction, script).await?;
        self.database.commit(transaction).await
    }

    async fn migrate(
        &self,
        spec: &PluginDatabaseSpec,
        migrations: &[PluginMigration],
        phase: MigrationPhase,
        limits: &MigrationLimits,
    ) -> Result<Vec<AppliedMigration>, MigrationError> {
        self.prepare().await?;
        runner::run(
            &self.database,
            &spec.holding(),
            &spec.key.slug,
            migrations,
            phase,
            limits,
        )
        .await
    }

    async fn seed_permissions(
        &self,
        owner: &Owner,
        key: &PluginKey,
        permissions: &[PluginPermission],
        surplus: Surplus,
    ) -> Result<SeededPermissions, BackendError> {
        permissions::seed(&self.database, owner, key, permissions, surplus).await
    }

    async fn revoke(&self, owner: &Owner, key: &PluginKey) -> Result<(), BackendError> {
        removal::revoke(&self.database, &Holding::of_plugin(owner, key)).await
    }

    async fn delete(&self, owner: &Owner, key: &PluginKey) -> Result<(), BackendError> {
        self.prepare().await?;
        let holding = Holding::of_plugin(owner, key);
        let farewell = [ledger::forget(holding.schema.as_str())].iter().collect();
        removal::delete(&self.database, &holding, &farewell).await
    }

    async fn plugins_of(&self, owner: &Owner, slug: &TenantSlug) -> Result<Vec<PluginId>, BackendError> {
        let comments: Vec<Option<String>> = sqlx::query_scalar(MARKS)
            .bind(slug.schema().as_str())
            .fetch_all(&self.database.pool)
            .await
            .map_err(|error| self.database.error(&error))?;
        let marks = comments
            .iter()
            .flatten()
            .filter_map(|comment| PluginOwner::from_comment(comment));
        let mut plugins: Vec<PluginId> = marks
            .filter(|mark| mark.tenant == *owner)
            .map(|mark| mark.plugin)
            .collect();
        plugins.sort();
        plugins.dedup();
        Ok(plugins)
    }

    async fn verify_isolation(
        &self,
        spec: &PluginDatabaseSpec,
        username: &str,
        password: &SecretString,
    ) -> Result<Breaches, BackendError> {
        isolation::verify_plugin(&self.database.config, spec, username, password).await
    }
}
