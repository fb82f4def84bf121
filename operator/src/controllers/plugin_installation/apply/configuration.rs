//! The configuration of an installation, from all its sources.

use std::fmt::Debug;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Resource, core::NamespaceResourceScope};
use plexica_crds::{
    Plugin, PluginInstallation,
    names::TenantSlug,
    plugin::validation::ValidatedManifest,
    plugin_installation::{
        ConfigSource, KeyRef,
        conditions::{Outcome, Reason},
        configuration::{Configuration, Reference, merge},
    },
};
use serde::de::DeserializeOwned;

use super::super::{Context, configuration, failure};
use crate::runtime::client::within;

/// Reads Secrets and ConfigMaps, merges everything and holds it against the schema of a release.
pub async fn read(
    installation: &PluginInstallation,
    slug: &TenantSlug,
    (plugin, manifest): (&Plugin, &ValidatedManifest),
    ctx: &Context,
) -> Result<Configuration, Outcome> {
    let mut references = vec![];
    for source in &installation.spec.config_from {
        let text = text(source, slug, ctx).await?;
        let reference = Reference::read(source, &text)
            .map_err(|problem| Outcome::Blocked(Reason::ConfigurationInvalid, problem.to_string()))?;
        references.push(reference);
    }
    let layers = configuration::layers(installation, plugin, &ctx.platform.plugins);
    merge(&manifest.configuration, layers, &references).map_err(|invalid| configuration::refused(&invalid, plugin))
}

async fn text(source: &ConfigSource, slug: &TenantSlug, ctx: &Context) -> Result<String, Outcome> {
    let missing = |kind: &str, key: &KeyRef| {
        Outcome::Waiting(
            Reason::SourceMissing,
            format!(
                "{kind} {} has no key {}, which spec.configFrom names for {}",
                key.name, key.key, source.pointer
            ),
        )
    };
    match (&source.secret_key_ref, &source.config_map_key_ref) {
        (Some(key), _) => {
            let secret: Option<Secret> = get(&key.name, slug, ctx).await?;
            let value = secret.and_then(|secret| secret.data?.remove(&key.key));
            value
                .and_then(|value| String::from_utf8(value.0).ok())
                .ok_or_else(|| missing("Secret", key))
        }
        (None, Some(key)) => {
            let map: Option<ConfigMap> = get(&key.name, slug, ctx).await?;
            map.and_then(|map| map.data?.remove(&key.key))
                .ok_or_else(|| missing("ConfigMap", key))
        }
        (None, None) => Err(Outcome::Blocked(
            Reason::InvalidSpec,
            format!(
                "spec.configFrom for {} names neither secretKeyRef nor configMapKeyRef",
                source.pointer
            ),
        )),
    }
}

async fn get<K>(name: &str, slug: &TenantSlug, ctx: &Context) -> Result<Option<K>, Outcome>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(ctx.objects.client.clone(), slug.namespace().as_str());
    within(api.get_opt(name)).await.map_err(|error| failure::of_api(&error))
}
