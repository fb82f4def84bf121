//! Releases of plugins in tests: made, awaited, removed; and installations of which only the status matters.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
    runtime::wait::{await_condition, conditions::is_deleted},
};
use plexica_crds::{Plugin, PluginInstallation, condition, plugin::conditions::Type};
use serde_json::{Value, json};
use sqlx::types::Json;
use tokio::time::timeout;

use super::env::{Env, eventually, http_request, post, unique};

/// Longest wait for a release to be accepted or to be gone.
const PATIENCE: Duration = Duration::from_mins(1);
/// The version of releases in tests that need only one.
pub const VERSION: &str = "1.0.0";
/// The release of example plugin `contacts`, which `cargo dev up` publishes.
pub const CONTACTS: &str = "contacts-1.0.0";

impl Env {
    /// Plugins.
    pub fn plugins(&self) -> Api<Plugin> {
        Api::all(self.client.clone())
    }

    /// Publishes a release; `spec` is completed by a display name and an image. It is deleted at the end of the test at
    /// the latest. Answers its name.
    pub async fn publish(&self, id: &str, version: &str, mut spec: Value) -> Result<String> {
        let defaults = json!({ "id": id, "version": version, "displayName": format!("Test {id}"),
            "runtime": { "image": format!("registry.example.com/{id}:{version}") } });
        for (key, value) in defaults.as_object().into_iter().flatten() {
            if spec.get(key).is_none() {
                spec[key] = value.clone();
            }
        }
        self.publish_as(&format!("{id}-{version}"), spec).await
    }

    /// Publishes a release under a name of the caller's choice.
    pub async fn publish_as(&self, name: &str, spec: Value) -> Result<String> {
        let plugin = json!({ "apiVersion": "plexica.io/v1alpha1", "kind": "Plugin", "metadata": { "name": name }, "spec": spec });
        // Untyped, so that the API server sees what a user wrote and not what our types make of it.
        let request = http_request("POST", "/apis/plexica.io/v1alpha1/plugins", &plugin)?;
        self.client.request::<Value>(request).await?;
        let (env, owned) = (self.clone(), name.to_owned());
        // Tenants may use it, made before or after it.
        self.at_the_very_end(async move { env.withdraw(&owned).await });
        Ok(name.to_owned())
    }

    /// The manifest of example plugin `contacts` for another id: the node has its image, so it can be installed.
    pub async fn manifest_of_contacts_as(&self, id: &str) -> Result<Value> {
        let mut spec = serde_json::to_value(self.plugins().get(CONTACTS).await?.spec)?;
        spec["id"] = json!(id);
        spec["api"]["basePath"] = json!(format!("/api/plugins/{id}"));
        for permission in spec["permissions"].as_array_mut().into_iter().flatten() {
            let key = permission["key"].as_str().unwrap_or_default();
            permission["key"] = json!(key.replacen("contacts", id, 1));
        }
        Ok(spec)
    }

    /// Deletes the release and waits until it is gone.
    pub async fn withdraw(&self, name: &str) -> Result<()> {
        let Some(plugin) = self.plugins().get_metadata_opt(name).await? else {
            return Ok(());
        };
        // Whoever uses it is on the way out as well: until then admission refuses.
        eventually(&format!("{name} is let go"), PATIENCE, async || {
            self.plugins().delete(name, &DeleteParams::default()).await?;
            Ok(())
        })
        .await?;
        self.withdrawn(name, &plugin.uid().unwrap_or_default()).await
    }

    /// Waits until this very release is gone.
    pub async fn withdrawn(&self, name: &str, uid: &str) -> Result<()> {
        timeout(PATIENCE, await_condition(self.plugins(), name, is_deleted(uid)))
            .await
            .map_err(|_| anyhow!("{name} is still there"))??;
        Ok(())
    }

    /// Waits until the release satisfies a predicate; the error shows its conditions.
    pub async fn until_plugin(
        &self,
        name: &str,
        what: &str,
        holds: impl Fn(&Plugin) -> bool + Clone,
    ) -> Result<Plugin> {
        let check = |plugin: Option<&Plugin>| plugin.is_some_and(&holds);
        if let Ok(found) = timeout(PATIENCE, await_condition(self.plugins(), name, check)).await {
            return found?.ok_or_else(|| anyhow!("{name} vanished"));
        }
        let plugin = self.plugins().get_opt(name).await?;
        bail!(
            "{name}: not {what} within {} s: {}",
            PATIENCE.as_secs(),
            plugin.map_or_else(|| "it is gone".to_owned(), |plugin| summary(&plugin))
        )
    }

    /// Waits until a condition has this status and gives this reason, in the present generation; returns it.
    pub async fn plugin_says(
        &self,
        name: &str,
        type_: Type,
        status: &'static str,
        reason: &'static str,
    ) -> Result<Condition> {
        let says = move |plugin: &Plugin| {
            said(plugin, type_).is_some_and(|said| {
                said.status == status && said.reason == reason && said.observed_generation == plugin.metadata.generation
            })
        };
        let plugin = self
            .until_plugin(name, &format!("{type_:?}={status} {reason}"), says)
            .await?;
        said(&plugin, type_)
            .cloned()
            .ok_or_else(|| anyhow!("{name}: no condition {type_:?}"))
    }

    /// Waits until the release is accepted and registered.
    pub async fn registered(&self, name: &str) -> Result<Plugin> {
        self.plugin_says(name, Type::Ready, "True", "Registered").await?;
        Ok(self.plugins().get(name).await?)
    }

    /// Changes the release by a merge patch.
    pub async fn patch_plugin(&self, name: &str, patch: Value) -> Result<()> {
        let params = PatchParams::default();
        self.plugins().patch(name, &params, &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// The release's row in the registry, without times.
    pub async fn release_row(&self, id: &str, version: &str) -> Result<Option<Value>> {
        let row: Option<Json<Value>> = sqlx::query_scalar(
            "SELECT to_jsonb(p) - 'created_at' - 'updated_at' FROM core.plugins AS p WHERE id = $1 AND version = $2",
        )
        .bind(id)
        .bind(version)
        .fetch_optional(&self.postgres)
        .await?;
        Ok(row.map(|Json(row)| row))
    }

    /// Makes an installation that says that it is on its way to this version, in a namespace of no tenant: so nothing
    /// is installed. Answers the namespace.
    pub async fn pretend(&self, id: &str, version: &str) -> Result<String> {
        let namespace = unique("elsewhere");
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
        post(&namespaces, object).await?;
        let installation = json!({ "apiVersion": "plexica.io/v1alpha1", "kind": "PluginInstallation", "metadata": { "name": id }, "spec": {} });
        post(&self.installations(&namespace), installation).await?;
        self.pretend_version(&namespace, id, version).await?;
        let (env, owned, id) = (self.clone(), namespace.clone(), id.to_owned());
        self.afterwards(async move {
            env.uninstall(&owned, &id).await?;
            namespaces.delete(&owned, &DeleteParams::default()).await?;
            Ok(())
        });
        Ok(namespace)
    }

    /// Lets the installation say that it is on its way to another version.
    pub async fn pretend_version(&self, namespace: &str, id: &str, version: &str) -> Result<()> {
        let status = json!({ "status": { "resolved": { "version": version, "reason": "the test says so" } } });
        let installations = self.installations(namespace);
        installations
            .patch_status(id, &PatchParams::default(), &Patch::Merge(status))
            .await?;
        Ok(())
    }

    /// Deletes an installation and waits until it is gone.
    pub async fn uninstall(&self, namespace: &str, id: &str) -> Result<()> {
        let installations = self.installations(namespace);
        let Some(installation) = installations.get_opt(id).await? else {
            return Ok(());
        };
        installations.delete(id, &DeleteParams::default()).await?;
        let uid = installation.uid().unwrap_or_default();
        timeout(PATIENCE, await_condition(installations, id, is_deleted(&uid)))
            .await
            .map_err(|_| anyhow!("{namespace}/{id} is still there"))??;
        Ok(())
    }

    fn installations(&self, namespace: &str) -> Api<PluginInstallation> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

/// A condition of the release.
pub fn said(plugin: &Plugin, type_: Type) -> Option<&Condition> {
    condition::find(&plugin.status.as_ref()?.conditions, type_.into())
}

fn summary(plugin: &Plugin) -> String {
    let conditions = plugin.status.iter().flat_map(|status| &status.conditions);
    let told: Vec<_> = conditions
        .map(|c| format!("{}={} {} {}", c.type_, c.status, c.reason, c.message))
        .collect();
    told.join(" | ")
}
