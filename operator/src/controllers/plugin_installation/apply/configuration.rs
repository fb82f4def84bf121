//! The configuration of an installation, from all its sources.

use std::fmt::Debug;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Resource, core::NamespaceResourceScope};
use plexica_crds::{
    PluginInstallation,
    plugin_installation::{
        ConfigSource, KeyRef,
        conditions::{Outcome, Reason},
        configuration::{Configuration, InvalidConfiguration, Layers, Reference, merge},
    },
};
use serde::de::DeserializeOwned;
use serde_json::Map;

use super::super::{Context, report, validate::Wanted};
use crate::runtime::client::within;

/// Reads Secrets and ConfigMaps, merges everything and holds it against the plugin's schema.
pub async fn read(installation: &PluginInstallation, wanted: &Wanted, ctx: &Context) -> Result<Configuration, Outcome> {
    let mut references = vec![];
    for source in &installation.spec.config_from {
        let text = text(source, wanted, ctx).await?;
        let reference = Reference::read(source, &text)
            .map_err(|problem| Outcome::Blocked(Reason::ConfigurationInvalid, problem.to_string()))?;
        references.push(reference);
    }
    let unsaid = Map::new();
    let overrides = ctx.platform.plugins.get(&wanted.id);
    let layers = Layers {
        defaults: &wanted.plugin.spec.configuration.defaults,
        overrides: overrides.map_or(&unsaid, |overrides| &overrides.configuration),
        own: &installation.spec.config,
    };
    merge(&wanted.manifest.configuration, layers, &references).map_err(|invalid| {
        let (reason, advice) = match invalid {
            InvalidConfiguration::SecretInClear(_) => (Reason::SecretInClear, ""),
            InvalidConfiguration::Refused(_) => (
                Reason::ConfigurationInvalid,
                "; correct spec.config, or what spec.configFrom names",
            ),
        };
        let told: Vec<_> = invalid.problems().iter().map(ToString::to_string).collect();
        Outcome::Blocked(
            reason,
            format!(
                "{} {} does not admit the configuration: {}{advice}",
                wanted.id,
                wanted.plugin.spec.version,
                told.join("; ")
            ),
        )
    })
}

async fn text(source: &ConfigSource, wanted: &Wanted, ctx: &Context) -> Result<String, Outcome> {
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
            let secret: Option<Secret> = get(&key.name, wanted, ctx).await?;
            let value = secret.and_then(|secret| secret.data?.remove(&key.key));
            value
                .and_then(|value| String::from_utf8(value.0).ok())
                .ok_or_else(|| missing("Secret", key))
        }
        (None, Some(key)) => {
            let map: Option<ConfigMap> = get(&key.name, wanted, ctx).await?;
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

async fn get<K>(name: &str, wanted: &Wanted, ctx: &Context) -> Result<Option<K>, Outcome>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(ctx.objects.client.clone(), wanted.slug.namespace().as_str());
    within(api.get_opt(name))
        .await
        .map_err(|error| report::api_outcome(&error))
}
