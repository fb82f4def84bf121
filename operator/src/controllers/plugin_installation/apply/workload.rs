//! The pods of an installation, as they are stopped, and what they leave behind.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Secret},
};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use plexica_crds::{
    LABEL_TENANT,
    names::{PluginId, Slot, TenantSlug},
    plugin_installation::conditions::Outcome,
};
use serde_json::json;

use super::Traffic;
use crate::{
    controllers::plugin_installation::{
        Context, build, failure,
        model::{Place, RunningSet},
        objects::tidy,
        validate::Facts,
    },
    runtime::{apply::FieldManager, changes::fingerprint, client::within},
};

/// Takes all pods of all slots away; what they would be made from stays.
pub async fn stop(slug: &TenantSlug, id: &PluginId, ctx: &Context) -> Result<(), Outcome> {
    let stopped = stop_slot(slug, id, Slot::A, ctx).await;
    stopped.and(stop_slot(slug, id, Slot::B, ctx).await)
}

async fn stop_slot(slug: &TenantSlug, id: &PluginId, slot: Slot, ctx: &Context) -> Result<(), Outcome> {
    let api: Api<Deployment> = Api::namespaced(ctx.objects.client.clone(), slug.namespace().as_str());
    let name = id.deployment(slot);
    let live = within(api.get_opt(name.as_str()))
        .await
        .map_err(|error| failure::of_api(&error))?;
    let bears =
        |live: &Deployment, label: &str, value: &str| live.labels().get(label).is_some_and(|found| found == value);
    let ours =
        |live: &Deployment| bears(live, LABEL_TENANT, slug.as_str()) && bears(live, build::LABEL_PLUGIN, id.as_str());
    let Some(live) = live.filter(ours) else { return Ok(()) };
    if live.spec.as_ref().and_then(|spec| spec.replicas) == Some(0) {
        return Ok(());
    }
    let params = PatchParams {
        field_manager: Some(FieldManager::Objects.as_ref().to_owned()),
        ..PatchParams::default()
    };
    let patch = json!({ "metadata": { "uid": live.uid() }, "spec": { "replicas": 0 } });
    within(api.patch(name.as_str(), &params, &Patch::Merge(patch)))
        .await
        .map(drop)
        .map_err(|error| failure::of_api(&error))
}

/// Removes revisions, and configurations, that are not of this set, unless that was done and nothing has changed since. `of_red` are
/// the configurations that RED uses.
pub async fn forget_unused(
    facts: &Facts,
    set: &RunningSet,
    traffic: &Traffic,
    of_red: &[String],
    ctx: &Context,
) -> Result<(), Outcome> {
    // One that ran before a switch of this very pass is of the set still.
    let live = [Slot::A, Slot::B].map(|slot| traffic.memory.revisions.of(slot).as_ref());
    let used: Vec<_> = set.revisions().chain(live.into_iter().flatten()).collect();
    let volumes = set.frozen().filter_map(|frozen| frozen.volume(build::CONFIG_VOLUME));
    let configurations = volumes.filter_map(|volume| match (&volume.secret, &volume.config_map) {
        (Some(secret), _) => secret.secret_name.clone(),
        (None, Some(map)) => Some(map.name.clone()),
        (None, None) => None,
    });
    let configurations: Vec<_> = configurations.chain(of_red.iter().cloned()).collect();
    let hashes: Vec<_> = used.iter().map(|revision| &revision.config_hash).collect();
    let in_use = fingerprint((hashes, &configurations));
    if ctx.revisions.is_tidied(&facts.place, in_use) {
        return Ok(());
    }
    tokio::try_join!(
        ctx.revisions.retain(&facts.place, &used, ctx),
        forget_configurations(&facts.place, &configurations, ctx),
    )?;
    ctx.revisions.tidied(&facts.place, in_use);
    Ok(())
}

/// The Secret of this name in the tenant's namespace, if it is there.
pub async fn secret(place: &Place, name: &str, ctx: &Context) -> Result<Option<Secret>, Outcome> {
    let api: Api<Secret> = Api::namespaced(ctx.objects.client.clone(), place.slug.namespace().as_str());
    within(api.get_opt(name)).await.map_err(|error| failure::of_api(&error))
}

/// Removes configurations but those of these names, which pods use.
pub async fn forget_configurations(place: &Place, used: &[String], ctx: &Context) -> Result<(), Outcome> {
    let namespace = place.slug.namespace();
    let selector = format!("{}={},{}", build::LABEL_PLUGIN, place.id, build::LABEL_CONFIG);
    let stays = |name: &str| used.iter().any(|used| used == name);
    tokio::try_join!(
        tidy::<ConfigMap>(namespace.as_str(), &selector, stays, ctx),
        tidy::<Secret>(namespace.as_str(), &selector, stays, ctx),
    )
    .map(drop)
}
