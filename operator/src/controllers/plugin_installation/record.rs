//! What the registry is told of an installation (`core.tenant_plugins`), for services that know no Kubernetes.

use plexica_crds::{PluginInstallation, names::PluginId, ownership::Owner, plugin_installation::conditions::Outcome};

use super::{Context, apply::steps::Steps, dereference::running_version, failure, model::Place};
use crate::{
    backends::postgres::registry::{TenantPlugin, TenantPluginStatus},
    pools::Verb,
};

/// Records how the steps fare.
pub async fn write(
    installation: &PluginInstallation,
    place: &Place,
    chosen: &str,
    steps: &Steps,
    ctx: &Context,
) -> Result<(), Outcome> {
    let configuration = match &steps.configuration {
        Some(configuration) => configuration.clone(),
        None => match recorded(&place.owner, &place.id, ctx).await? {
            Some(recorded) => recorded.configuration,
            // It never came as far as a configuration: there is nothing that a service could use.
            None => return Ok(()),
        },
    };
    let (status, version) = match steps.worst() {
        None => (TenantPluginStatus::Installed, None),
        Some(Outcome::Blocked(..)) => (TenantPluginStatus::Failed, running_version(installation)),
        Some(_) => (TenantPluginStatus::InProgress, running_version(installation)),
    };
    let plugin = TenantPlugin {
        plugin: place.id.clone(),
        version: version.map_or_else(|| chosen.to_owned(), |running| running.to_string()),
        enabled: installation.spec.enabled,
        configuration,
        status,
        installed_by: None,
    };
    tell(&place.owner, &plugin, ctx).await
}

/// Records that the plugin is gone, if it was ever there.
pub async fn uninstalled(owner: &Owner, id: &PluginId, ctx: &Context) -> Result<(), Outcome> {
    let Some(recorded) = recorded(owner, id, ctx).await? else {
        return Ok(());
    };
    let gone = TenantPlugin {
        enabled: false,
        status: TenantPluginStatus::Uninstalled,
        ..recorded
    };
    tell(owner, &gone, ctx).await
}

async fn recorded(owner: &Owner, id: &PluginId, ctx: &Context) -> Result<Option<TenantPlugin>, Outcome> {
    let registry = &ctx.backends.registry;
    let plugins = registry
        .call(
            Verb::Observe,
            |registry| async move { registry.tenant_plugins(owner).await },
        )
        .await
        .map_err(|error| failure::of_backend(&error, registry))?;
    Ok(plugins.into_iter().find(|recorded| recorded.plugin == *id))
}

async fn tell(owner: &Owner, plugin: &TenantPlugin, ctx: &Context) -> Result<(), Outcome> {
    let registry = &ctx.backends.registry;
    registry
        .call(Verb::Record, |registry| async move {
            registry.record_tenant_plugin(owner, plugin).await
        })
        .await
        .map(drop)
        .map_err(|error| failure::of_backend(&error, registry))
}
