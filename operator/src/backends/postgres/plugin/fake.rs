//! Plugins' databases in memory.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use plexica_crds::{
    names::{PluginId, TenantSlug},
    ownership::Owner,
    plugin::MigrationPhase,
};
use secrecy::SecretString;

use super::{
    AppliedMigration, MigrationError, MigrationFailure, MigrationLimits, PluginDatabase, PluginDatabaseSpec,
    PluginDatabaseState, PluginKey, PluginMigration, PluginPermission, SeededPermissions, Surplus, migration,
};
use crate::backends::{
    BackendError, Breaches, Credential, Observed,
    fake::{Call, Described, Fake, Seen},
    hash::sha256_hex,
};

/// The fake reads no SQL, but a script with this in it fails there as it does in PostgreSQL.
pub const FAILING_SQL: &str = "SELECT 1/0";

/// A plugins' database in memory.
#[derive(Default)]
pub struct FakePluginDatabase {
    /// Schemas and roles, and the knobs.
    pub schemas: Fake<PluginDatabaseSpec>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    owners: BTreeMap<PluginKey, Owner>,
    records: BTreeMap<PluginKey, Record>,
    permissions: BTreeMap<PluginKey, Vec<PluginPermission>>,
}

/// Checksums by name, in the order of application.
type Record = Vec<(String, String)>;

impl FakePluginDatabase {
    /// Names of the migrations applied, in order.
    pub fn applied(&self, key: &PluginKey) -> Vec<String> {
        let records = &self.state().records;
        let record = records.get(key).into_iter().flatten();
        record.map(|(name, _)| name.clone()).collect()
    }

    /// The permissions of a plugin.
    pub fn permissions(&self, key: &PluginKey) -> Vec<PluginPermission> {
        self.state().permissions.get(key).cloned().unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is the owner's, or nobody's.
    fn is_own(&self, owner: &Owner, key: &PluginKey) -> bool {
        self.state().owners.get(key).is_none_or(|found| found == owner)
    }
}

impl Described for PluginDatabaseSpec {
    type Key = PluginKey;

    fn thing(PluginKey { slug, plugin }: &PluginKey) -> String {
        format!("schema {}", slug.plugin_schema(plugin))
    }

    fn owner(&self) -> &Owner {
        &self.owner
    }

    fn key(&self) -> &PluginKey {
        &self.key
    }

    fn differences(&self, wanted: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        if self.connection_limit != wanted.connection_limit {
            differences.push("connection limit".to_owned());
        }
        if self.statement_timeout != wanted.statement_timeout {
            differences.push("statement timeout".to_owned());
        }
        let is_granted = match wanted.surplus {
            Surplus::Kept => wanted
                .tenant_tables
                .iter()
                .all(|(table, one)| self.tenant_tables.allows(table, one)),
            Surplus::Removed => self.tenant_tables == wanted.tenant_tables,
        };
        if !is_granted {
            differences.push("privileges on the tenant's tables".to_owned());
        }
        differences
    }
}

#[async_trait]
impl PluginDatabase for FakePluginDatabase {
    async fn observe(&self, spec: &PluginDatabaseSpec) -> Result<Observed<PluginDatabaseState>, BackendError> {
        let observed = self.schemas.look(spec).await?;
        let mut applied = self.applied(&spec.key);
        applied.sort_unstable();
        Ok(observed.map(
            |Seen {
                 differences,
                 credential_id,
             }| PluginDatabaseState {
                differences,
                credential_id,
                applied,
            },
        ))
    }

    async fn create(&self, spec: &PluginDatabaseSpec, credential: &Credential) -> Result<(), BackendError> {
        self.schemas.bring(Call::Create, spec, Some(credential)).await?;
        self.state().owners.insert(spec.key.clone(), spec.owner.clone());
        Ok(())
    }

    async fn update(&self, spec: &PluginDatabaseSpec, credential: Option<&Credential>) -> Result<(), BackendError> {
        self.schemas.bring(Call::Update, spec, credential).await?;
        self.state().owners.insert(spec.key.clone(), spec.owner.clone());
        Ok(())
    }

    async fn set_credential(&self, spec: &PluginDatabaseSpec, credential: &Credential) -> Result<(), BackendError> {
        match self.schemas.look(spec).await? {
            Observed::Present(_) => self.schemas.bring(Call::Update, spec, Some(credential)).await,
            Observed::Foreign(what) => Err(BackendError::Foreign(what)),
            Observed::Absent => Err(BackendError::Unavailable("the role is not there yet".to_owned())),
        }
    }

    async fn migrate(
        &self,
        spec: &PluginDatabaseSpec,
        migrations: &[PluginMigration],
        phase: MigrationPhase,
        _limits: &MigrationLimits,
    ) -> Result<Vec<AppliedMigration>, MigrationError> {
        match self.schemas.look(spec).await? {
            Observed::Present(_) => {}
            Observed::Foreign(what) => return Err(BackendError::Foreign(what).into()),
            Observed::Absent => return Err(BackendError::Unavailable("the schema is not there yet".to_owned()).into()),
        }
        let mut state = self.state();
        let record = state.records.entry(spec.key.clone()).or_default();
        let mut pending = Vec::new();
        for one in migrations {
            let found = sha256_hex(&one.sql);
            match record.iter().find(|(name, _)| *name == one.name) {
                None => pending.push((one, found)),
                Some((_, applied)) if *applied == found => {}
                Some((name, applied)) => {
                    return Err(MigrationError::Backend(BackendError::MigrationChanged {
                        name: name.clone(),
                        applied: applied.clone(),
                        found,
                    }));
                }
            }
        }
        let expanding = pending.iter().find(|(one, _)| one.phase == MigrationPhase::Expand);
        if let (MigrationPhase::Contract, Some((one, _))) = (phase, expanding) {
            return Err(MigrationError::NotExpanded {
                migration: one.name.clone(),
            });
        }
        let mut applied = Vec::new();
        for (one, checksum) in pending.into_iter().filter(|(one, _)| one.phase == phase) {
            if one.sql.contains(FAILING_SQL) {
                return Err(MigrationError::Failed(Box::new(MigrationFailure {
                    migration: one.name.clone(),
                    statement: Some(1),
                    sqlstate: Some("22012".to_owned()),
                    message: "division by zero".to_owned(),
                    hint: migration::hint("22012"),
                    transient: false,
                    applied,
                })));
            }
            record.push((one.name.clone(), checksum));
            applied.push(AppliedMigration {
                name: one.name.clone(),
                duration: Duration::ZERO,
            });
        }
        Ok(applied)
    }

    async fn seed_permissions(
        &self,
        _owner: &Owner,
        key: &PluginKey,
        permissions: &[PluginPermission],
        surplus: Surplus,
    ) -> Result<SeededPermissions, BackendError> {
        let known = ["admin", "user", "guest"];
        let mut unknown_roles: Vec<String> = permissions.iter().flat_map(|one| one.roles.clone()).collect();
        unknown_roles.retain(|role| !known.contains(&role.as_str()));
        unknown_roles.sort();
        unknown_roles.dedup();
        let mut state = self.state();
        let found = state.permissions.entry(key.clone()).or_default();
        let mut wanted = permissions.to_vec();
        if surplus == Surplus::Kept {
            let is_listed = |one: &&PluginPermission| permissions.iter().any(|listed| listed.key == one.key);
            wanted.extend(found.iter().filter(|one| !is_listed(one)).cloned());
        }
        wanted.sort_by(|one, other| one.key.cmp(&other.key));
        let changed = *found != wanted;
        *found = wanted;
        Ok(SeededPermissions { changed, unknown_roles })
    }

    async fn revoke(&self, owner: &Owner, key: &PluginKey) -> Result<(), BackendError> {
        self.schemas.shut(owner, key).await
    }

    async fn delete(&self, owner: &Owner, key: &PluginKey) -> Result<(), BackendError> {
        self.schemas.remove(owner, key).await?;
        if self.is_own(owner, key) {
            let mut state = self.state();
            state.owners.remove(key);
            state.records.remove(key);
        }
        Ok(())
    }

    async fn plugins_of(&self, owner: &Owner, slug: &TenantSlug) -> Result<Vec<PluginId>, BackendError> {
        let state = self.state();
        let own = state
            .owners
            .iter()
            .filter(|(key, found)| key.slug == *slug && *found == owner);
        Ok(own.map(|(key, _)| key.plugin.clone()).collect())
    }

    async fn verify_isolation(
        &self,
        spec: &PluginDatabaseSpec,
        _username: &str,
        password: &SecretString,
    ) -> Result<Breaches, BackendError> {
        self.schemas.open(&spec.key, Some(password)).await
    }
}
