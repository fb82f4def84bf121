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
        objects::{make, tidy},
        report,
        status::Steps,
        validate::Wanted,
    },
    migrations,
    rollout::Rollout,
    traffic,
};
use crate::{
    backends::Credential,
    runtime::{apply::FieldManager, client::within},
};

/// What became of the pods.
pub struct Deployed {
    /// How they fare.
    pub outcome: Outcome,
    /// Pods that serve.
    pub ready: i32,
    /// What runs in the one slot of a release that runs for all tenants.
    pub shared: Option<SlotStatus>,
}

impl Deployed {
    /// Whether all pods run as wanted.
    pub fn is_complete(&self) -> bool {
        matches!(self.outcome, Outcome::Done(..))
    }
}

/// Makes configuration, pods and Services as declared, leads traffic, and looks at how the live pods fare.
pub async fn deploy(
    installation: &PluginInstallation,
    wanted: &Wanted,
    configuration: &Configuration,
    access: &Credential,
    steps: &mut Steps,
    ctx: &Context,
) -> Result<Deployed, Outcome> {
    let config = build::Config::new(wanted, configuration, access);
    let configured = async {
        match &config {
            build::Config::Secret(secret) => make(secret, ctx).await.map(drop),
            build::Config::ConfigMap(map) => make(map, ctx).await.map(drop),
        }
    };
    let is_probed = installation.spec.promotion.probe.is_some();
    let policy = build::network_policy(wanted, &ctx.platform, is_probed.then_some(ctx.namespace.as_str()));
    // Pods need both of these, and neither needs the other.
    tokio::try_join!(configured, make(&policy, ctx))?;
    steps.config_hash = Some(config.hash().to_owned());
    let means = traffic::Means {
        config: &config,
        credential: access,
    };
    traffic::lead(installation, wanted, means, steps, ctx).await?;
    let Some(traffic) = &mut steps.traffic else {
        return Err(Outcome::Waiting(
            plexica_crds::plugin_installation::conditions::Reason::PodsStarting,
            "nothing was seen yet".to_owned(),
        ));
    };
    let (namespace, slot) = (wanted.slug.namespace(), traffic.slot());
    let selector = build::slot_selector(&wanted.id, slot);
    let live = traffic.seen.deployments.of(slot).as_ref();
    let is_live = traffic.memory.live.is_some();
    let rollout = Rollout::seen(namespace.as_str(), selector, traffic.size, (live, is_live));
    let mut outcome = rollout.outcome(ctx).await?;
    traffic.replaces_pods = !rollout.is_complete();
    let beside = traffic
        .live_version()
        .and_then(|live| migrations::applied_beside(live, &wanted.plugin, &wanted.releases));
    if let (Some(migration), Outcome::Waiting(_, said) | Outcome::Blocked(_, said), 0) =
        (beside, &mut outcome, rollout.ready())
    {
        let next = &wanted.plugin.spec.version;
        *said = format!("{said}; {migration} of {next} was applied while they served: see whether that is why");
    }
    if rollout.is_complete() {
        steps.configurations = Some(traffic.configurations(wanted, config.name()));
    }
    Ok(Deployed {
        outcome,
        ready: rollout.ready(),
        shared: None,
    })
}

/// What runs in the one slot of a release that runs for all tenants.
pub fn slot_status(wanted: &Wanted, config_hash: &str, rollout: &Rollout<'_>) -> SlotStatus {
    SlotStatus {
        light: Some(Light::Green),
        version: wanted.plugin.spec.version.clone(),
        config_hash: config_hash.to_owned(),
        ready: rollout.ready(),
        desired: rollout.desired,
        ready_since: None,
        message: None,
    }
}

/// Takes all pods of all slots away; what they would be made from stays.
pub async fn stop(slug: &TenantSlug, id: &PluginId, ctx: &Context) -> Result<(), Outcome> {
    stop_slot(slug, id, Slot::A, ctx).await?;
    stop_slot(slug, id, Slot::B, ctx).await
}

async fn stop_slot(slug: &TenantSlug, id: &PluginId, slot: Slot, ctx: &Context) -> Result<(), Outcome> {
    let api: Api<Deployment> = Api::namespaced(ctx.objects.client.clone(), slug.namespace().as_str());
    let name = id.deployment(slot);
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

/// Removes configurations but those of these names, which pods use.
pub async fn forget_configurations(wanted: &Wanted, used: &[String], ctx: &Context) -> Result<(), Outcome> {
    let namespace = wanted.slug.namespace();
    let selector = format!("{}={},{}", build::LABEL_PLUGIN, wanted.id, build::LABEL_CONFIG);
    let stays = |name: &str| used.iter().any(|used| used == name);
    tokio::try_join!(
        tidy::<ConfigMap>(namespace.as_str(), &selector, stays, ctx),
        tidy::<Secret>(namespace.as_str(), &selector, stays, ctx),
    )
    .map(drop)
}
