//! A registry in memory.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use jiff::Timestamp;
use plexica_crds::{
    names::{PluginId, TenantSlug},
    ownership::Owner,
    text,
};
use serde_json::json;
use uuid::Uuid;

use super::{
    Placement, PlacementError, PlacementRequest, PluginRegistry, PluginRelease, PoolKind, RecordError, Registry,
    RegistryFacts, RegistryRow, TenantPlugin, TenantPluginStatus, TenantStatus,
    placement::{Load, choose},
};
use crate::backends::BackendError;

/// A registry in memory.
#[derive(Default)]
pub struct FakeRegistry(Mutex<State>);

#[derive(Default)]
struct State {
    rows: BTreeMap<TenantSlug, RegistryRow>,
    releases: BTreeMap<(PluginId, String), PluginRelease>,
    tenant_plugins: BTreeMap<(Uuid, PluginId), TenantPlugin>,
    writes: usize,
    unavailable: bool,
}

impl FakeRegistry {
    /// Makes every call fail as if the database were down, or work again.
    pub fn set_unavailable(&self, unavailable: bool) {
        self.state().unavailable = unavailable;
    }

    /// Writes so far.
    pub fn writes(&self) -> usize {
        self.state().writes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<MutexGuard<'_, State>, BackendError> {
        let state = self.state();
        if state.unavailable {
            return Err(BackendError::Unavailable(
                "the fake registry is not available".to_owned(),
            ));
        }
        Ok(state)
    }
}

impl State {
    fn load(&self, pool: impl Fn(&Placement) -> Option<&String>) -> Load {
        let mut load = Load::new();
        for row in self.rows.values().filter(|row| row.status != TenantStatus::Deleted) {
            if let Some(name) = pool(&row.pools) {
                *load.entry(name.clone()).or_default() += 1;
            }
        }
        load
    }

    /// What the tenant installed ends with it.
    fn end_plugins(&mut self, owner: &Owner) {
        let mut own = self.tenant_plugins.iter_mut();
        while let Some((_, plugin)) = own.find(|((id, _), _)| *id == owner.tenant_id) {
            let is_other = plugin.enabled || plugin.status != TenantPluginStatus::Uninstalled;
            (plugin.enabled, plugin.status) = (false, TenantPluginStatus::Uninstalled);
            self.writes += usize::from(is_other);
        }
    }

    /// Changes the owner's row, unless the change makes no difference.
    fn change(&mut self, owner: &Owner, slug: &TenantSlug, change: impl FnOnce(&mut RegistryRow)) -> bool {
        let Some(row) = self.rows.get_mut(slug).filter(|row| row.id == owner.tenant_id) else {
            return false;
        };
        let before = row.clone();
        change(row);
        if *row == before {
            return false;
        }
        row.changed_at = Timestamp::now();
        self.writes += 1;
        true
    }
}

#[async_trait]
impl Registry for FakeRegistry {
    async fn migrate(&self) -> Result<(), BackendError> {
        self.open().map(drop)
    }

    async fn get(&self, slug: &TenantSlug) -> Result<Option<RegistryRow>, BackendError> {
        Ok(self.open()?.rows.get(slug).cloned())
    }

    async fn list(&self) -> Result<Vec<RegistryRow>, BackendError> {
        let state = self.open()?;
        Ok(state
            .rows
            .values()
            .filter(|row| row.status != TenantStatus::Deleted)
            .cloned()
            .collect())
    }

    async fn place(
        &self,
        owner: &Owner,
        slug: &TenantSlug,
        request: &PlacementRequest,
    ) -> Result<Placement, PlacementError> {
        let mut state = self.open()?;
        let kept = match state.rows.get(slug).filter(|row| row.status != TenantStatus::Deleted) {
            Some(row) if row.id != owner.tenant_id => {
                let RegistryRow {
                    id,
                    changed_at,
                    purge_at,
                    ..
                } = *row;
                return Err(PlacementError::RetainedData {
                    id,
                    since: changed_at,
                    purge_at,
                });
            }
            Some(row) if row.pools.keycloak.is_some() || request.keycloak.is_none() => return Ok(row.pools.clone()),
            kept => kept.cloned(),
        };
        let realms = state.load(|pools| pools.keycloak.as_ref());
        let keycloak = request
            .keycloak
            .as_ref()
            .map(|request| choose(PoolKind::Keycloak, request, &realms));
        let keycloak = keycloak.transpose()?;
        let row = match kept {
            Some(row) => RegistryRow {
                pools: Placement { keycloak, ..row.pools },
                ..row
            },
            None => RegistryRow {
                id: owner.tenant_id,
                slug: slug.clone(),
                name: slug.to_string(),
                status: TenantStatus::Provisioning,
                settings: json!({}),
                theme: json!({}),
                pools: Placement {
                    postgres: choose(
                        PoolKind::Postgres,
                        &request.postgres,
                        &state.load(|pools| Some(&pools.postgres)),
                    )?,
                    keycloak,
                    s3: choose(PoolKind::S3, &request.s3, &state.load(|pools| Some(&pools.s3)))?,
                },
                purge_at: None,
                object_uid: None,
                observed_generation: None,
                changed_at: Timestamp::now(),
            },
        };
        let pools = row.pools.clone();
        state.rows.insert(slug.clone(), row);
        state.writes += 1;
        Ok(pools)
    }

    async fn record(&self, owner: &Owner, slug: &TenantSlug, facts: &RegistryFacts) -> Result<bool, BackendError> {
        let mut state = self.open()?;
        match state.rows.get(slug) {
            None => {
                return Err(BackendError::Unexpected(format!(
                    "the registry has no row of tenant {slug}"
                )));
            }
            Some(row) if row.id != owner.tenant_id => {
                return Err(BackendError::Foreign(format!("the registry's row of tenant {slug}")));
            }
            Some(_) => {}
        }
        let RegistryFacts {
            name,
            settings,
            theme,
            status,
            object_uid,
            observed_generation,
        } = facts.clone();
        Ok(state.change(owner, slug, |row| {
            row.name = name;
            row.settings = settings;
            row.theme = theme;
            row.status = status;
            row.object_uid = Some(object_uid);
            row.observed_generation = Some(observed_generation);
            row.purge_at = row.purge_at.filter(|_| status == TenantStatus::PendingDeletion);
        }))
    }

    async fn retire(&self, owner: &Owner, slug: &TenantSlug, purge_at: Timestamp) -> Result<(), BackendError> {
        let mut state = self.open()?;
        state.change(owner, slug, |row| {
            if row.status != TenantStatus::Deleted {
                row.status = TenantStatus::PendingDeletion;
                row.purge_at = Some(purge_at);
            }
        });
        state.end_plugins(owner);
        Ok(())
    }

    async fn forget(&self, owner: &Owner, slug: &TenantSlug) -> Result<(), BackendError> {
        let mut state = self.open()?;
        state.change(owner, slug, |row| {
            row.status = TenantStatus::Deleted;
            row.purge_at = None;
        });
        state.end_plugins(owner);
        Ok(())
    }
}

#[async_trait]
impl PluginRegistry for FakeRegistry {
    async fn releases(&self) -> Result<Vec<PluginRelease>, BackendError> {
        Ok(self.open()?.releases.values().cloned().collect())
    }

    async fn record_release(&self, release: &PluginRelease) -> Result<bool, RecordError> {
        let mut state = self.open()?;
        let stored = json!({ "name": release.name, "manifest": release.manifest });
        if let Some(refused) = text::nul("core.plugins", &stored) {
            return Err(RecordError::Value(refused.to_string()));
        }
        let key = (release.id.clone(), release.version.clone());
        let before = state.releases.insert(key, release.clone());
        let wrote = before.as_ref() != Some(release);
        state.writes += usize::from(wrote);
        Ok(wrote)
    }

    async fn forget_release(&self, id: &PluginId, version: &str) -> Result<bool, BackendError> {
        let mut state = self.open()?;
        let wrote = state.releases.remove(&(id.clone(), version.to_owned())).is_some();
        state.writes += usize::from(wrote);
        Ok(wrote)
    }

    async fn tenant_plugins(&self, owner: &Owner) -> Result<Vec<TenantPlugin>, BackendError> {
        let state = self.open()?;
        let own = state
            .tenant_plugins
            .iter()
            .filter(|((id, _), _)| *id == owner.tenant_id);
        Ok(own.map(|(_, plugin)| plugin.clone()).collect())
    }

    async fn record_tenant_plugin(&self, owner: &Owner, plugin: &TenantPlugin) -> Result<bool, BackendError> {
        let mut state = self.open()?;
        let key = (owner.tenant_id, plugin.plugin.clone());
        if state.tenant_plugins.get(&key) == Some(plugin) {
            return Ok(false);
        }
        let has_ended = |row: &RegistryRow| matches!(row.status, TenantStatus::PendingDeletion | TenantStatus::Deleted);
        let is_end = plugin.status == TenantPluginStatus::Uninstalled;
        let mut rows = state.rows.values();
        if !rows.any(|row| row.id == owner.tenant_id && (is_end || !has_ended(row))) {
            return Err(BackendError::Unexpected(format!(
                "the registry has no row of tenant {}, or it has ended",
                owner.tenant_id
            )));
        }
        state.tenant_plugins.insert(key, plugin.clone());
        state.writes += 1;
        Ok(true)
    }
}
