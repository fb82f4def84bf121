//! The pods of an installation, and what leads to them.

use std::fmt::Debug;

use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentStatus},
    core::v1::{ConfigMap, Pod, Secret},
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    core::NamespaceResourceScope,
};
use plexica_crds::{
    LABEL_TENANT, LABEL_TENANT_ID, PluginInstallation,
    names::{PluginId, Slot, TenantSlug},
    plugin_installation::{
        Light, SlotStatus,
        conditions::{Outcome, Reason},
        configuration::Configuration,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::super::{Context, build, report, validate::Wanted};
use crate::{
    backends::Credential,
    runtime::{
        apply::{Applied, FieldManager, apply_to},
        client::within,
    },
};

/// What became of the pods.
pub struct Deployed {
    /// How they fare.
    pub outcome: Outcome,
    /// What runs in the slot, once all of it does.
    pub slot: SlotStatus,
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
    match &config {
        build::Config::Secret(secret) => ours(secret, wanted, ctx).await.map(drop)?,
        build::Config::ConfigMap(map) => ours(map, wanted, ctx).await.map(drop)?,
    }
    ours(&build::network_policy(wanted, &ctx.platform), wanted, ctx).await?;
    ours(&build::service(wanted, Slot::A), wanted, ctx).await?;
    let declared = build::deployment(installation, wanted, &config, access, Slot::A);
    let (applied, live) = ours(&declared, wanted, ctx).await?;
    let desired = declared.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let status = live.as_ref().and_then(|live| live.status.clone()).unwrap_or_default();
    let seen = live
        .as_ref()
        .is_some_and(|live| status.observed_generation == live.metadata.generation);
    let complete = applied == Applied::Unchanged && seen && is_complete(&status, desired);
    let outcome = if complete {
        forget_old_configurations(wanted, &config, ctx).await?;
        Outcome::Done(Reason::PodsReady, format!("{desired} of {desired} pods ready"))
    } else {
        explain(wanted, &status, desired, ctx).await?
    };
    Ok(Deployed {
        outcome,
        slot: SlotStatus {
            light: Some(Light::Green),
            version: wanted.plugin.spec.version.clone(),
            config_hash: config.hash().to_owned(),
            ready: status.ready_replicas.unwrap_or_default(),
            desired,
            ready_since: None,
        },
    })
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

fn is_ours<K: Resource>(object: &K, wanted: &Wanted) -> bool {
    object
        .labels()
        .get(LABEL_TENANT_ID)
        .is_some_and(|id| *id == wanted.owner.tenant_id.to_string())
        && object
            .labels()
            .get(build::LABEL_PLUGIN)
            .is_some_and(|id| id == wanted.id.as_str())
}

/// Makes an object as declared, unless something of its name is there that is not ours. Gives it as it was before.
pub(super) async fn ours<K>(declared: &K, wanted: &Wanted, ctx: &Context) -> Result<(Applied, Option<K>), Outcome>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
{
    let name = declared.name_any();
    let api: Api<K> = Api::namespaced(ctx.objects.client.clone(), wanted.slug.namespace().as_str());
    let live = within(api.get_opt(&name))
        .await
        .map_err(|error| report::api_outcome(&error))?;
    if live.as_ref().is_some_and(|live| !is_ours(live, wanted)) {
        return Err(report::not_owned(&format!("{} {name}", K::kind(&())), Reason::NotOwned));
    }
    let applied = apply_to(&api, &name, live.as_ref(), declared)
        .await
        .map_err(|error| report::api_outcome(&error))?;
    Ok((applied, live))
}

/// Whether all wanted pods are of the present template, and ready, and no other is left.
fn is_complete(status: &DeploymentStatus, desired: i32) -> bool {
    status.updated_replicas.unwrap_or_default() == desired
        && status.ready_replicas.unwrap_or_default() == desired
        && status.replicas.unwrap_or_default() == desired
}

/// Why not all pods are ready.
async fn explain(wanted: &Wanted, status: &DeploymentStatus, desired: i32, ctx: &Context) -> Result<Outcome, Outcome> {
    let condition = |type_: &str| {
        status
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == type_)
    };
    let ready = status.ready_replicas.unwrap_or_default();
    let mut message = format!("{ready} of {desired} pods ready");
    if let Some(failure) = condition("ReplicaFailure").filter(|failure| failure.status == "True") {
        let said = failure.message.clone().unwrap_or_default();
        let reason = if said.contains("exceeded quota") {
            Reason::QuotaExceeded
        } else {
            Reason::PodsFailing
        };
        return Ok(Outcome::Blocked(reason, format!("{message}: {said}")));
    }
    let trouble = trouble(wanted, ctx).await?;
    if let Some(said) = &trouble {
        message = format!("{message}: {said}");
    }
    let overdue = condition("Progressing")
        .is_some_and(|progressing| progressing.reason.as_deref() == Some("ProgressDeadlineExceeded"));
    Ok(match (overdue, trouble) {
        (true, _) => Outcome::Blocked(
            Reason::PodsFailing,
            format!(
                "{message}; look at the pods: kubectl logs -n {} -l {}={}",
                wanted.slug.namespace(),
                build::LABEL_PLUGIN,
                wanted.id
            ),
        ),
        (false, Some(_)) => Outcome::Waiting(Reason::PodsFailing, message),
        (false, None) => Outcome::Waiting(Reason::PodsStarting, message),
    })
}

/// What Kubernetes says of the first pod that is in trouble.
async fn trouble(wanted: &Wanted, ctx: &Context) -> Result<Option<String>, Outcome> {
    let api: Api<Pod> = Api::namespaced(ctx.objects.client.clone(), wanted.slug.namespace().as_str());
    let selector = format!("{}={}", build::LABEL_PLUGIN, wanted.id);
    let pods = within(api.list(&ListParams::default().labels(&selector)))
        .await
        .map_err(|error| report::api_outcome(&error))?;
    Ok(pods.iter().find_map(|pod| {
        let status = pod.status.as_ref()?;
        let waiting = status.container_statuses.iter().flatten().find_map(|container| {
            let waiting = container.state.as_ref()?.waiting.as_ref()?;
            let reason = waiting.reason.as_deref()?;
            // A container is always created first; the rest tells of trouble.
            if matches!(reason, "ContainerCreating" | "PodInitializing") {
                return None;
            }
            let said = waiting.message.as_deref().unwrap_or_default();
            Some(format!("pod {} {reason} {said}", pod.name_any()).trim_end().to_owned())
        });
        waiting.or_else(|| {
            let scheduled = status
                .conditions
                .iter()
                .flatten()
                .find(|condition| condition.type_ == "PodScheduled")?;
            let said = scheduled.message.as_deref().filter(|_| scheduled.status == "False")?;
            Some(format!("pod {} cannot be scheduled: {said}", pod.name_any()))
        })
    }))
}

/// Removes configurations that no pod uses any more.
async fn forget_old_configurations(wanted: &Wanted, config: &build::Config, ctx: &Context) -> Result<(), Outcome> {
    forget::<ConfigMap>(wanted, config, ctx).await?;
    forget::<Secret>(wanted, config, ctx).await
}

async fn forget<K>(wanted: &Wanted, config: &build::Config, ctx: &Context) -> Result<(), Outcome>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(ctx.objects.client.clone(), wanted.slug.namespace().as_str());
    let selector = format!("{}={},{}", build::LABEL_PLUGIN, wanted.id, build::LABEL_CONFIG);
    let listed = within(api.list_metadata(&ListParams::default().labels(&selector)))
        .await
        .map_err(|error| report::api_outcome(&error))?;
    for old in listed.iter().filter(|old| old.name_any() != config.name()) {
        match within(api.delete(&old.name_any(), &DeleteParams::default())).await {
            Ok(_) => {}
            Err(error) if error.status().is_some_and(kube::core::Status::is_not_found) => {}
            Err(error) => return Err(report::api_outcome(&error)),
        }
    }
    Ok(())
}
