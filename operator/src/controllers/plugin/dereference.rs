//! What a Plugin refers to: statements of migrations that are in ConfigMaps of the operator's namespace. They are read until
//! the release is accepted; from then on there are copies (see `scripts`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use plexica_crds::{
    Plugin,
    plugin::{
        ConfigMapKeyRef, Migration,
        conditions::{Outcome, Reason},
        migrations,
    },
};

use super::failure;
use crate::runtime::client::{ApiError, within};

/// Statements of a migration that are not in the manifest.
#[derive(Debug, Clone)]
pub struct Script {
    /// Which migration, as its place in the list.
    pub migration: usize,
    /// The statements.
    pub text: String,
}

/// ConfigMaps of the operator's namespace, each read once.
pub struct Sources<'a> {
    api: Api<ConfigMap>,
    namespace: &'a str,
    read: BTreeMap<String, Option<BTreeMap<String, String>>>,
}

impl<'a> Sources<'a> {
    /// Those of this namespace.
    pub fn of(client: &Client, namespace: &'a str) -> Self {
        Self {
            api: Api::namespaced(client.clone(), namespace),
            namespace,
            read: BTreeMap::new(),
        }
    }

    /// A key's text; otherwise what is missing, for people.
    ///
    /// # Errors
    /// As the Kubernetes API answers.
    pub async fn text(&mut self, reference: &ConfigMapKeyRef) -> Result<Result<String, &'static str>, ApiError> {
        let ConfigMapKeyRef { name, key } = reference;
        if !self.read.contains_key(name) {
            let live = within(self.api.get_opt(name)).await?;
            self.read
                .insert(name.clone(), live.map(|map| map.data.unwrap_or_default()));
        }
        let Some(data) = self.read.get(name).and_then(Option::as_ref) else {
            return Ok(Err("which is not there: apply it"));
        };
        Ok(data.get(key).cloned().ok_or("which lacks the key: add it"))
    }

    /// Reads all statements that the manifest refers to.
    ///
    /// # Errors
    /// The outcome `Waiting` if a ConfigMap or a key is missing, or as the Kubernetes API answers.
    pub async fn all(&mut self, plugin: &Plugin) -> Result<Vec<Script>, Outcome> {
        let mut found = vec![];
        for (index, migration, reference) in references(plugin) {
            let text = self.text(reference).await;
            let text = text.map_err(|error| failure::of_api(&error))?;
            let text = text.map_err(|what| {
                let ConfigMapKeyRef { name, key } = reference;
                Outcome::Waiting(
                    Reason::MigrationSourceMissing,
                    format!(
                        "spec.migrations[{index}]: `{}` is to come from key {key} of ConfigMap {name} in namespace {}, {what}",
                        migration.name, self.namespace
                    ),
                )
            })?;
            found.push(Script { migration: index, text });
        }
        Ok(found)
    }
}

/// The migrations that refer to a ConfigMap, with their places. A reference that no object can have is the manifest's fault,
/// which validation tells.
pub fn references(plugin: &Plugin) -> impl Iterator<Item = (usize, &Migration, &ConfigMapKeyRef)> {
    let all = plugin.spec.migrations.iter().enumerate();
    all.filter_map(|(index, migration)| {
        let reference = migration.config_map_ref.as_ref()?;
        migrations::is_reference(reference).then_some((index, migration, reference))
    })
}
