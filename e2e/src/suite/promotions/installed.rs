//! An installation of the traffic plugin, as tests of releases handle it.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use plexica_crds::{
    names::Slot,
    plugin_installation::{PluginInstallationStatus, TransitionResult},
};
use serde_json::{Value, json};

use crate::{
    suite::{
        env::{Env, eventually, unique},
        tenant_plugins::{PATIENCE, TenantPlugins},
    },
    traffic,
};

/// An installation of the traffic plugin, with releases of its own.
#[derive(Clone)]
pub struct Installed<'a> {
    pub env: &'a Env,
    pub plugins: TenantPlugins<'a>,
    pub id: String,
}

impl<'a> Installed<'a> {
    /// Release 1.0.0 is live.
    pub async fn new(env: &'a Env, promotion: Value, replicas: i32) -> Result<Self> {
        Self::with(env, json!({}), promotion, replicas).await
    }

    /// The same, with a release that declares more.
    pub async fn with(env: &'a Env, release: Value, promotion: Value, replicas: i32) -> Result<Self> {
        let plugins = TenantPlugins::of_new_tenant(env).await?;
        Self::of(env, plugins, release, promotion, replicas).await
    }

    /// The same, for a tenant that is there.
    pub async fn of(
        env: &'a Env,
        plugins: TenantPlugins<'a>,
        release: Value,
        promotion: Value,
        replicas: i32,
    ) -> Result<Self> {
        let id = unique("tl");
        let installed = Self { env, plugins, id };
        installed.publish_with("1.0.0", release).await?;
        let spec = json!({ "promotion": promotion, "replicas": replicas });
        installed.plugins.install(&installed.id, spec).await?;
        installed.plugins.ready(&installed.id).await?;
        Ok(installed)
    }

    pub async fn publish(&self, version: &str) -> Result<()> {
        self.publish_with(version, json!({})).await
    }

    /// A release that declares more.
    pub async fn publish_with(&self, version: &str, more: Value) -> Result<()> {
        let mut spec = traffic::spec(&self.id, version, traffic::IMAGE);
        json_patch::merge(&mut spec, &more);
        self.env.publish(&self.id, version, spec).await.map(drop)
    }

    /// A release that needs another plugin.
    pub async fn publish_needing(&self, version: &str, provider: &str, range: &str) -> Result<()> {
        let dependencies = json!([{ "plugin": provider, "version": range }]);
        self.publish_with(version, json!({ "dependencies": dependencies }))
            .await
    }

    /// Waits until this version is live again, after a rollback.
    pub async fn back_in(&self, version: &str) -> Result<()> {
        self.until(&format!("back in {version}"), |status| {
            let live = status.live_slot.and_then(|slot| status.slots.get(slot));
            let ended = status.history.first();
            live.is_some_and(|live| live.version == version)
                && ended.is_some_and(|ended| ended.result == TransitionResult::RolledBack)
        })
        .await
    }

    pub async fn request(&self, name: &str) -> Result<()> {
        let annotation = format!("plexica.io/{name}");
        let patch = json!({ "metadata": { "annotations": { annotation: unique("ask") } } });
        self.plugins.patch(&self.id, patch).await
    }

    /// Another configuration: what it does not say is as the plugin says.
    pub async fn configure(&self, mut config: Value) -> Result<()> {
        for key in ["fault", "notReadyAfterSeconds", "crashAfterSeconds"] {
            if config.get(key).is_none() {
                config[key] = Value::Null;
            }
        }
        self.plugins
            .patch(&self.id, json!({ "spec": { "config": config } }))
            .await
    }

    pub async fn status(&self) -> Result<PluginInstallationStatus> {
        self.plugins.api.get(&self.id).await?.status.context("no status")
    }

    /// Waits until the status is so; the error shows it.
    pub async fn until(&self, what: &str, holds: impl Fn(&PluginInstallationStatus) -> bool) -> Result<()> {
        eventually(what, PATIENCE, async || {
            let status = self.status().await?;
            ensure!(holds(&status), "{}", serde_json::to_string(&status)?);
            Ok(())
        })
        .await
    }

    /// Waits until this version is live, proven, and the former one stands by.
    pub async fn live(&self, version: &str) -> Result<()> {
        self.until(&format!("{version} live"), |status| {
            let live = status.live_slot.and_then(|slot| status.slots.get(slot));
            let ended = status.history.first().is_some_and(|ended| ended.to == version);
            live.is_some_and(|live| live.version == version) && ended
        })
        .await
    }

    pub async fn service(&self) -> Result<Service> {
        Ok(self.plugins.objects::<Service>().get(&self.id).await?)
    }

    pub async fn leads_to(&self, slot: Slot) -> Result<()> {
        let selector = self
            .service()
            .await?
            .spec
            .and_then(|spec| spec.selector)
            .unwrap_or_default();
        let leads = selector.get("plexica.io/slot").is_some_and(|is| is == slot.as_ref());
        ensure!(leads && selector.len() == 2, "it selects {selector:?}");
        Ok(())
    }

    /// Where the live Service is reached.
    pub async fn address(&self) -> Result<SocketAddr> {
        let spec = self.service().await?.spec.context("no spec")?;
        Ok(SocketAddr::new(spec.cluster_ip.context("no address")?.parse()?, 80))
    }
}
