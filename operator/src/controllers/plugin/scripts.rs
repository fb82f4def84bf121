//! Copies of the statements that were in ConfigMaps when a release was accepted: immutable ConfigMaps of the operator's own
//! namespace, named by plugin and SHA-256, so that releases of a plugin share what they have in common. Whatever becomes of the
//! original, what was accepted is what is applied.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
    runtime::reflector::Store,
};
use plexica_crds::{
    Plugin,
    names::PluginId,
    plugin::{AcceptedScript, ConfigMapKeyRef, Migration},
};
use tokio::sync::Mutex;

use super::{
    dereference::{Script, Sources, references},
    uses::parse_release,
    validate::{accepted_digest, confirm, hashed},
};
use crate::{
    backends::hash::sha256_hex,
    runtime::{
        apply::FieldManager,
        client::{ApiError, within},
        controller::Root,
    },
};

/// Label of a copy: the plugin whose statements it has.
const LABEL: &str = "plexica.io/script-of";
/// Key of a copy.
const KEY: &str = "script.sql";

/// Name of a copy. The chart's admission policy knows its beginning.
fn name(id: &PluginId, sha256: &str) -> String {
    format!("plexica-script-{id}-{sha256}")
}

/// A copy.
fn copy(id: &PluginId, text: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name(id, &sha256_hex(text))),
            labels: Some(BTreeMap::from([
                (LABEL.to_owned(), id.to_string()),
                (
                    "app.kubernetes.io/managed-by".to_owned(),
                    FieldManager::Objects.as_ref().to_owned(),
                ),
            ])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(KEY.to_owned(), text.to_owned())])),
        immutable: Some(true),
        ..ConfigMap::default()
    }
}

/// Statements that were accepted and cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// As the Kubernetes API answers.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// They are nowhere.
    #[error("{0}")]
    Missing(String),
}

/// The statements of a release's migration as they were accepted.
///
/// # Errors
/// Neither a copy nor the original has them, or nobody can look.
pub async fn statements(
    plugin: &Plugin,
    migration: &Migration,
    client: &Client,
    namespace: &str,
) -> Result<String, Unreadable> {
    if let Some(sql) = &migration.sql {
        return Ok(sql.clone());
    }
    let missing = |why: &str| Unreadable::Missing(format!("migration {}: {why}", migration.name));
    let Some(reference) = &migration.config_map_ref else {
        return Err(missing("it has no statements"));
    };
    let ConfigMapKeyRef { name: map, key } = reference;
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let mut sources = Sources::of(client, namespace);
    let scripts = plugin.status.iter().flat_map(|status| &status.accepted_scripts);
    let accepted = scripts.into_iter().find(|script| script.migration == migration.name);
    if let Some(AcceptedScript { sha256, .. }) = accepted {
        let found = within(api.get_opt(&name(&plugin.spec.id, sha256))).await?;
        let found = found.and_then(|copy| copy.data?.remove(KEY));
        if let Some(text) = found.filter(|text| sha256_hex(text) == *sha256) {
            return Ok(text);
        }
        let original = sources.text(reference).await?.ok();
        return original.filter(|text| sha256_hex(text) == *sha256).ok_or_else(|| {
            missing(&format!(
                "the copy of its statements is gone, and key {key} of ConfigMap {map} in namespace {namespace} does not have \
                 what was accepted: apply it as it was"
            ))
        });
    }
    // An operator that made no copies accepted the release: what is there now is used only if it is what it accepted.
    let all = sources.all(plugin).await.ok();
    let is_accepted = |scripts: &Vec<Script>| {
        accepted_digest(plugin).is_some_and(|digest| confirm(plugin, digest, hashed(plugin, scripts)).is_ok())
    };
    let all = all.filter(is_accepted).unwrap_or_default();
    let of_migration = |script: &Script| {
        let place = plugin.spec.migrations.get(script.migration);
        place.is_some_and(|each| each.name == migration.name)
    };
    let found = all.into_iter().find(of_migration).map(|script| script.text);
    found.ok_or_else(|| {
        missing(&format!(
            "no copy was made of its statements, and key {key} of ConfigMap {map} in namespace {namespace} does not have \
             what was accepted: apply it as it was"
        ))
    })
}

/// Makes and removes copies, one release at a time, so that none is removed that another release has just been accepted with.
#[derive(Debug, Default)]
pub struct Copies(Mutex<HashMap<String, BTreeSet<String>>>);

impl Copies {
    /// Copies statements, and takes note that this release needs them: the cache may show its status later.
    ///
    /// # Errors
    /// As the Kubernetes API answers.
    pub async fn keep(
        &self,
        plugin: &Plugin,
        scripts: &[Script],
        client: &Client,
        namespace: &str,
    ) -> Result<(), ApiError> {
        if scripts.is_empty() {
            return Ok(());
        }
        let mut noted = self.0.lock().await;
        let hashes = scripts.iter().map(|script| sha256_hex(&script.text));
        noted
            .entry(plugin.uid().unwrap_or_default())
            .or_default()
            .extend(hashes);
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let params = PostParams {
            field_manager: Some(FieldManager::Objects.as_ref().to_owned()),
            ..PostParams::default()
        };
        for Script { text, .. } in scripts {
            match within(api.create(&params, &copy(&plugin.spec.id, text))).await {
                Ok(_) => {}
                Err(error) if error.status().is_some_and(kube::core::Status::is_already_exists) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Removes the copies that only this release needs, which goes. Of one that does not decode, the name says whose it is.
    ///
    /// # Errors
    /// As the Kubernetes API answers.
    pub async fn remove(
        &self,
        meta: &ObjectMeta,
        plugins: &Store<Root<Plugin>>,
        client: &Client,
        namespace: &str,
    ) -> Result<(), ApiError> {
        let Some((id, _)) = parse_release(meta.name.as_deref().unwrap_or_default()) else {
            return Ok(());
        };
        let mut noted = self.0.lock().await;
        let cached = plugins.state();
        let is_there = |uid: &String| cached.iter().any(|other| other.uid().as_ref() == Some(uid));
        noted.retain(|uid, _| meta.uid.as_ref() != Some(uid) && is_there(uid));
        let others = cached.iter().filter(|other| other.uid() != meta.uid);
        let Some(needed) = needed(&id, others.map(AsRef::as_ref), &noted) else {
            return Ok(());
        };
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let copies = ListParams::default().labels(&format!("{LABEL}={id}"));
        for copy in within(api.list_metadata(&copies)).await?.items {
            let copy = copy.name_any();
            if needed.contains(&copy) {
                continue;
            }
            match within(api.delete(&copy, &DeleteParams::default())).await {
                Ok(_) => {}
                Err(error) if error.status().is_some_and(kube::core::Status::is_not_found) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Names of the copies that releases of a plugin need; `None` if nobody can say, because one of them does not decode.
fn needed<'a>(
    id: &PluginId,
    releases: impl Iterator<Item = &'a Root<Plugin>>,
    noted: &HashMap<String, BTreeSet<String>>,
) -> Option<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for guard in releases {
        if parse_release(&guard.name_any()).is_none_or(|(other, _)| other != *id) {
            continue;
        }
        let plugin = guard.0.as_ref().ok()?;
        let recorded = plugin.status.iter().flat_map(|status| &status.accepted_scripts);
        let noted = plugin.uid().and_then(|uid| noted.get(&uid));
        let hashes = recorded.map(|script| &script.sha256).chain(noted.into_iter().flatten());
        all.extend(hashes.map(|sha256| name(id, sha256)));
    }
    Some(all)
}

/// Sees to it that the copies of an accepted release are there; answers what people should know of its ConfigMaps. A copy that
/// somebody removed is made anew while the original has the same text.
///
/// # Errors
/// As the Kubernetes API answers.
pub async fn care(
    plugin: &Plugin,
    accepted: &[AcceptedScript],
    copies: &Copies,
    client: &Client,
    namespace: &str,
) -> Result<Vec<String>, ApiError> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let mut sources = Sources::of(client, namespace);
    let mut notices = vec![];
    for (index, migration, reference) in references(plugin) {
        let Some(script) = accepted.iter().find(|script| script.migration == migration.name) else {
            continue;
        };
        let found = within(api.get_metadata_opt(&name(&plugin.spec.id, &script.sha256))).await?;
        let original = sources.text(reference).await?.ok();
        let is_original = original.as_ref().map(|text| sha256_hex(text) == script.sha256);
        let of = format!(
            "key {} of ConfigMap {} in namespace {namespace}",
            reference.key, reference.name
        );
        match (found, is_original, original) {
            (Some(_), None | Some(true), _) => {}
            (Some(_), Some(false), _) => notices.push(format!(
                "spec.migrations[{index}]: {of} is not what was accepted; what was accepted is applied"
            )),
            (None, Some(true), Some(text)) => {
                let lost = Script { migration: index, text };
                copies.keep(plugin, &[lost], client, namespace).await?;
            }
            (None, _, _) => notices.push(format!(
                "spec.migrations[{index}]: the copy of `{}` is gone, and {of} does not have what was accepted: apply it as it was",
                migration.name
            )),
        }
    }
    Ok(notices)
}

#[cfg(test)]
#[path = "scripts_tests.rs"]
mod tests;
