//! Installations of one tenant in tests: made, awaited, removed.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
    runtime::{wait::await_condition, wait::conditions::is_deleted},
};
use plexica_crds::{
    PluginInstallation, condition,
    names::{PluginId, TenantSlug},
    plugin_installation::conditions::Type,
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::env::{Env, http_request, unique};

/// Longest wait for an installation: its provider first, then its own pods.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// Installations of one tenant.
#[derive(Clone)]
pub struct TenantPlugins<'a> {
    env: &'a Env,
    /// The tenant.
    pub slug: TenantSlug,
    /// Its installations.
    pub api: Api<PluginInstallation>,
}

impl<'a> TenantPlugins<'a> {
    /// A new tenant that is Ready.
    pub async fn of_new_tenant(env: &'a Env) -> Result<Self> {
        let name = unique("plug");
        env.create(&name, json!({})).await?;
        env.ready(&name).await?;
        Self::of(env, &name)
    }

    /// A tenant that is there.
    pub fn of(env: &'a Env, tenant: &str) -> Result<Self> {
        let slug = TenantSlug::parse(tenant)?;
        Ok(Self {
            env,
            api: Api::namespaced(env.client.clone(), slug.namespace().as_str()),
            slug,
        })
    }

    /// Installs a plugin.
    pub async fn install(&self, id: &str, spec: Value) -> Result<()> {
        install(self.env, self.slug.namespace().as_str(), id, spec).await
    }

    /// Changes an installation by a merge patch.
    pub async fn patch(&self, id: &str, patch: Value) -> Result<()> {
        self.api
            .patch(id, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    /// Removes an installation and waits until it is gone.
    pub async fn remove(&self, id: &str) -> Result<()> {
        let installation = self.api.get(id).await?;
        self.api.delete(id, &DeleteParams::default()).await?;
        self.gone(id, &installation.uid().unwrap_or_default()).await
    }

    /// Waits until this very installation is gone.
    pub async fn gone(&self, id: &str, uid: &str) -> Result<()> {
        timeout(PATIENCE, await_condition(self.api.clone(), id, is_deleted(uid)))
            .await
            .map_err(|_| anyhow!("{id} is still there"))??;
        Ok(())
    }

    /// Waits until a condition has this status and gives this reason, in the present generation; returns it.
    pub async fn says(&self, id: &str, type_: Type, status: &'static str, reason: &'static str) -> Result<Condition> {
        says(&self.api, id, type_, status, reason).await
    }

    /// Waits until the plugin works.
    pub async fn ready(&self, id: &str) -> Result<PluginInstallation> {
        self.says(id, Type::Ready, "True", "Installed").await?;
        Ok(self.api.get(id).await?)
    }

    /// Objects of the tenant's namespace.
    pub fn objects<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.env.client.clone(), self.slug.namespace().as_str())
    }

    /// What the plugin's Service answers, asked through the API server.
    pub async fn ask(&self, id: &str, path: &str) -> Result<Value> {
        let url = format!(
            "/api/v1/namespaces/{}/services/http:{id}:80/proxy{path}",
            self.slug.namespace()
        );
        let request = http::Request::get(url).body(vec![])?;
        Ok(self.env.client.request(request).await?)
    }

    /// The plugin's schema.
    pub fn schema(&self, id: &str) -> Result<String> {
        Ok(self.slug.plugin_schema(&PluginId::parse(id)?).to_string())
    }
}

/// Makes an installation in a namespace.
pub async fn install(env: &Env, namespace: &str, id: &str, spec: Value) -> Result<()> {
    let installation = json!({
        "apiVersion": "plexica.io/v1alpha1", "kind": "PluginInstallation",
        "metadata": { "name": id, "namespace": namespace }, "spec": spec,
    });
    // Untyped, so that the API server sees what a user wrote and not what our types make of it.
    let path = format!("/apis/plexica.io/v1alpha1/namespaces/{namespace}/plugininstallations");
    env.client
        .request::<Value>(http_request("POST", &path, &installation)?)
        .await?;
    Ok(())
}

async fn until(
    api: &Api<PluginInstallation>,
    id: &str,
    what: &str,
    holds: impl Fn(&PluginInstallation) -> bool + Clone,
) -> Result<PluginInstallation> {
    let check = |found: Option<&PluginInstallation>| found.is_some_and(&holds);
    if let Ok(found) = timeout(PATIENCE, await_condition(api.clone(), id, check)).await {
        return found?.ok_or_else(|| anyhow!("{id} vanished"));
    }
    let found = api.get_opt(id).await?;
    bail!(
        "{id}: not {what} within {} s: {}",
        PATIENCE.as_secs(),
        found.map_or_else(|| "it is gone".to_owned(), |found| summary(&found))
    )
}

/// See [`TenantPlugins::says`].
pub async fn says(
    api: &Api<PluginInstallation>,
    id: &str,
    type_: Type,
    status: &'static str,
    reason: &'static str,
) -> Result<Condition> {
    let holds = move |installation: &PluginInstallation| {
        said(installation, type_).is_some_and(|said| {
            said.status == status
                && said.reason == reason
                && said.observed_generation == installation.metadata.generation
        })
    };
    let found = until(api, id, &format!("{type_:?}={status} {reason}"), holds).await?;
    said(&found, type_).cloned().context("the condition is gone")
}

fn said(installation: &PluginInstallation, type_: Type) -> Option<&Condition> {
    condition::find(&installation.status.as_ref()?.conditions, type_.into())
}

fn summary(installation: &PluginInstallation) -> String {
    let conditions = installation.status.iter().flat_map(|status| &status.conditions);
    let told: Vec<_> = conditions
        .map(|c| format!("{}={} {} {}", c.type_, c.status, c.reason, c.message))
        .collect();
    format!("{}: {}", installation.name_any(), told.join(" | "))
}
