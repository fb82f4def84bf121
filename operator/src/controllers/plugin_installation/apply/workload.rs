//! The pods of an installation, and what leads to them.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Secret},
};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use plexica_crds::{
    LABEL_TENANT, PluginInstallation,
    names::{PluginId, Slot, TenantSlug},
    plugin_installation::{Light, SlotStatus, conditions::Outcome, configuration::Configuration},
};
use serde_json::json;

use super::{
    super::{
        Context, build,
        objects::{make, remove},
        report,
        validate::Wanted,
    },
    rollout::Rollout,
};
use crate::{
    backends::Credential,
    runtime::{apply::FieldManager, client::within},
};

/// What became of the pods.
pub struct Deployed {
    /// How they fare.
    pub outcome: Outcome,
    /// What runs in the slot, once all of it does.
    pub slot: SlotStatus,
}

impl Deployed {
    /// Whether all pods run as wanted.
    pub fn is_complete(&self) -> bool {
        matches!(self.outcome, Outcome::Done(..))
    }
}

/// Makes configuration, pods and Service as declared, and looks at how the pods fare.
pub async fn deploy(
    installation: &PluginInstallation,
    wanted: &Wanted,
    configuration: &Configuration,
    access: &Credential,
    ctx: &Context,
) -> Result<Deployed, Outcome> {
    let config = build::Config::new(wanted, configuration, access);
    let configured = async {
        match &config {
            build::Config::Secret(secret) => make(secret, ctx).await.map(drop),
            build::Config::ConfigMap(map) => make(map, ctx).await.map(drop),
        }
    };
    let (policy, service) = (
        build::network_policy(wanted, &ctx.platform),
        build::service(wanted, Slot::A),
    );
    // Pods need all of these, and none of these needs another.
    tokio::try_join!(configured, make(&policy, ctx), make(&service, ctx))?;
    let declared = build::deployment(installation, wanted, &config, access, Slot::A);
    let applied = make(&declared, ctx).await?;
    let namespace = wanted.slug.namespace();
    let selector = format!("{}={}", build::LABEL_PLUGIN, wanted.id);
    let rollout = Rollout::of(namespace.as_str(), selector, &declared, applied);
    if rollout.is_complete() {
        forget_configurations(wanted, Some(&config), ctx).await?;
    }
    Ok(Deployed {
        outcome: rollout.outcome(ctx).await?,
        slot: slot_status(wanted, config.hash(), &rollout),
    })
}

/// What runs in the slot.
pub fn slot_status(wanted: &Wanted, config_hash: &str, rollout: &Rollout<'_>) -> SlotStatus {
    SlotStatus {
        light: Some(Light::Green),
        version: wanted.plugin.spec.version.clone(),
        config_hash: config_hash.to_owned(),
        ready: rollout.ready(),
        desired: rollout.desired,
        ready_since: None,
    }
}

/// Takes all pods away; what they would be made from stays.
pub async fn stop(slug: &TenantSlug, id: &PluginId, ctx: &Context) -> Result<(), Outcome> {
    let api: Api<Deployment> = Api::namespaced(ctx.objects.client.clone(), slug.namespace().as_str());
    let name = id.deployment(Slot::A);
    let live = within(api.get_opt(name.as_str()))
        .await
        .map_err(|error| report::api_outcome(&error))?;
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
        .map_err(|error| report::api_outcome(&error))
}

/// Removes configurations but the one that pods use.
pub async fn forget_configurations(
    wanted: &Wanted,
    used: Option<&build::Config>,
    ctx: &Context,
) -> Result<(), Outcome> {
    let namespace = wanted.slug.namespace();
    let selector = format!("{}={},{}", build::LABEL_PLUGIN, wanted.id, build::LABEL_CONFIG);
    let stays = |name: &str| used.is_some_and(|used| used.name() == name);
    remove::<ConfigMap>(namespace.as_str(), &selector, false, stays, ctx).await?;
    remove::<Secret>(namespace.as_str(), &selector, false, stays, ctx).await
}
