//! Databases of plugins as a backend under test. Each tenant of a check has its own schema, in which the plugin has
//! something to do.

use std::time::Duration;

use async_trait::async_trait;
use plexica_crds::{
    names::PluginId,
    plugin::{Privilege, TenantTable, TenantTableName},
};

use super::super::{Failure, Seen, Subject, Tenant, subject::database};
use crate::backends::{
    BackendError, Breaches, Credential, Observed,
    postgres::{
        DatabaseBackend,
        plugin::{PluginDatabase, PluginDatabaseSpec, PluginKey, Surplus, TenantTables},
    },
};

/// A database of plugins under test, and that of their tenants.
pub struct PluginDatabases<'a> {
    /// Where tenants have their schemas.
    pub tenants: &'a dyn DatabaseBackend,
    /// Where plugins have theirs.
    pub plugins: &'a dyn PluginDatabase,
}

/// The plugin of a check.
pub(super) fn key(tenant: &Tenant) -> Result<PluginKey, BackendError> {
    let plugin = PluginId::parse("contract-notes").map_err(|error| BackendError::Unexpected(error.to_string()))?;
    Ok(PluginKey {
        slug: tenant.slug.clone(),
        plugin,
    })
}

/// What the plugin of a check shall have.
pub(super) fn spec(tenant: &Tenant) -> Result<PluginDatabaseSpec, BackendError> {
    let declare = |table, privileges: &[Privilege]| TenantTable {
        table,
        privileges: privileges.to_vec(),
    };
    let tables = if tenant.changed {
        vec![declare(TenantTableName::Teams, &[Privilege::Select])]
    } else {
        vec![
            declare(TenantTableName::Users, &[Privilege::Select, Privilege::References]),
            declare(TenantTableName::Teams, &[Privilege::Select, Privilege::Insert]),
        ]
    };
    Ok(PluginDatabaseSpec {
        owner: tenant.owner.clone(),
        key: key(tenant)?,
        connection_limit: if tenant.changed { 7 } else { 20 },
        statement_timeout: Duration::from_secs(if tenant.changed { 5 } else { 30 }),
        tenant_tables: TenantTables::of(&tables).map_err(|error| BackendError::Unexpected(error.to_string()))?,
        surplus: Surplus::Removed,
    })
}

impl PluginDatabases<'_> {
    /// Makes the tenant's own schema where there is nothing.
    async fn with_tenant(&self, tenant: &Tenant) -> Result<PluginDatabaseSpec, BackendError> {
        let spec = spec(tenant)?;
        let database = database(&Tenant {
            changed: false,
            ..tenant.clone()
        });
        if self.tenants.observe(&database).await? == Observed::Absent {
            self.tenants.create(&database, &Credential::generate()).await?;
        }
        Ok(spec)
    }

    /// Makes tenant and plugin.
    pub(super) async fn installed(&self, tenant: &Tenant) -> Result<PluginDatabaseSpec, Failure> {
        let spec = self.with_tenant(tenant).await?;
        self.plugins.create(&spec, &Credential::generate()).await?;
        Ok(spec)
    }
}

#[async_trait]
impl Subject for PluginDatabases<'_> {
    fn has_credentials(&self) -> bool {
        true
    }

    async fn observe(&self, tenant: &Tenant) -> Result<Observed<Seen>, BackendError> {
        let observed = self.plugins.observe(&spec(tenant)?).await?;
        Ok(observed.map(|state| Seen {
            differences: state.differences,
            credential_id: state.credential_id,
        }))
    }

    async fn create(&self, tenant: &Tenant, credential: &Credential) -> Result<(), BackendError> {
        let spec = self.with_tenant(tenant).await?;
        self.plugins.create(&spec, credential).await
    }

    async fn update(&self, tenant: &Tenant, credential: Option<&Credential>) -> Result<(), BackendError> {
        let spec = self.with_tenant(tenant).await?;
        self.plugins.update(&spec, credential).await
    }

    async fn revoke(&self, tenant: &Tenant) -> Result<(), BackendError> {
        self.plugins.revoke(&tenant.owner, &key(tenant)?).await
    }

    async fn delete(&self, tenant: &Tenant) -> Result<(), BackendError> {
        self.plugins.delete(&tenant.owner, &key(tenant)?).await?;
        self.tenants.delete(&tenant.owner, &tenant.slug).await
    }

    async fn verify_isolation(&self, tenant: &Tenant, credential: &Credential) -> Result<Breaches, BackendError> {
        let spec = spec(tenant)?;
        let [role, _] = tenant.slug.plugin_login_roles(&spec.key.plugin);
        self.plugins
            .verify_isolation(&spec, role.as_str(), &credential.secret)
            .await
    }
}
