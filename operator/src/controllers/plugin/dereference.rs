//! What a Plugin refers to: statements of migrations that are in ConfigMaps of the operator's namespace.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use plexica_crds::{
    Plugin,
    plugin::{
        ConfigMapKeyRef,
        conditions::{Outcome, Reason},
        migrations,
    },
};

use super::{Context, report};
use crate::runtime::client::within;

/// Statements of a migration that are not in the manifest.
#[derive(Debug, Clone)]
pub struct Script {
    /// Which migration, as its place in the list.
    pub migration: usize,
    /// The statements.
    pub text: String,
}

/// Reads all statements that the manifest refers to.
///
/// # Errors
/// The outcome `Waiting` if a ConfigMap or a key is missing, or as the Kubernetes API answers.
pub async fn scripts(plugin: &Plugin, ctx: &Context) -> Result<Vec<Script>, Outcome> {
    let api: Api<ConfigMap> = Api::namespaced(ctx.objects.client.clone(), &ctx.namespace);
    let mut read: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    let mut found = vec![];
    for (index, migration) in plugin.spec.migrations.iter().enumerate() {
        // A reference that no object can have is the manifest's fault, which validation tells.
        let Some(reference) = migration
            .config_map_ref
            .as_ref()
            .filter(|reference| migrations::is_reference(reference))
        else {
            continue;
        };
        let ConfigMapKeyRef { name, key } = reference;
        let missing = |what: String| {
            Outcome::Waiting(
                Reason::MigrationSourceMissing,
                format!(
                    "spec.migrations[{index}]: `{}` is to come from key {key} of ConfigMap {name} in namespace {}, {what}",
                    migration.name, ctx.namespace
                ),
            )
        };
        if !read.contains_key(name.as_str()) {
            let live = within(api.get_opt(name))
                .await
                .map_err(|error| report::api_outcome(&error))?;
            let live = live.ok_or_else(|| missing("which is not there: apply it".to_owned()))?;
            read.insert(name, live.data.unwrap_or_default());
        }
        let text = read.get(name.as_str()).and_then(|data| data.get(key));
        let text = text.ok_or_else(|| missing("which lacks the key: add it".to_owned()))?;
        found.push(Script {
            migration: index,
            text: text.clone(),
        });
    }
    Ok(found)
}
