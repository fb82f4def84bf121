//! A tenant's part in a release that runs once for all tenants: coming, going, and what that does to the pods.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, Deployment},
    core::v1::{Secret, Service},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{Api, ResourceExt, api::ListParams, runtime::reflector::ObjectRef};
use plexica_crds::{
    LABEL_TENANT, Plugin, PluginInstallation,
    names::{PluginId, Slot, TenantSlug},
    plugin_installation::{
        Light, SlotStatus,
        conditions::{Outcome, Reason},
        configuration::Configuration,
    },
};
use secrecy::SecretString;

use super::{
    super::{
        Context,
        build::{
            self, LABEL_PLUGIN, LABEL_VERSION,
            shared::{ANNOTATION_HASH, LABEL_SHARED, Member, Release},
            variables::{self, Source},
        },
        dereference::running_version,
        failure,
        model::Place,
        objects::{make, make_seen, remove},
        validate::Wanted,
    },
    rollout::Rollout,
};
use crate::{backends::Credential, gateway_api::ReferenceGrant, runtime::client::within};

/// What became of the pods.
pub struct Deployed {
    /// How they fare.
    pub outcome: Outcome,
    /// What runs in the one slot, for the status.
    pub slot: SlotStatus,
}

impl Deployed {
    /// Whether all pods run as wanted.
    pub fn is_complete(&self) -> bool {
        matches!(self.outcome, Outcome::Done(..))
    }
}

/// Whether something else is live: it makes way once the release serves this tenant.
pub fn is_new_to(installation: &PluginInstallation, wanted: &Wanted) -> bool {
    running_version(installation).is_none_or(|running| running.to_string() != wanted.plugin.spec.version)
}

/// Brings the tenant into the release, and looks at how its pods fare. The tenant's Service moves to the release once
/// they know the tenant.
pub async fn deploy(
    place: &Place,
    wanted: &Wanted,
    namespace: &str,
    configuration: &Configuration,
    access: &Credential,
    ctx: &Context,
) -> Result<Deployed, Outcome> {
    let release = Release::new(namespace, &wanted.plugin);
    let values = resolve(place, wanted, ctx).await?;
    let part = release.part(place, configuration, &values, access);
    let hash = part.annotations().get(ANNOTATION_HASH).cloned().unwrap_or_default();
    let rollout = {
        // Two tenants that came at once would each leave the other out.
        let _alone = ctx.shared_releases.lock().await;
        make(&part, ctx).await?;
        let members = members(namespace, &release.selector(), ctx).await?;
        roll(&release, &members, ctx).await?
    };
    if rollout.is_complete() {
        make(&release.alias(place, &ctx.platform.cluster_domain), ctx).await?;
    }
    Ok(Deployed {
        outcome: rollout.outcome(ctx).await?,
        slot: SlotStatus {
            light: Some(Light::Green),
            version: wanted.plugin.spec.version.clone(),
            config_hash: hash,
            ready: rollout.ready(),
            desired: rollout.desired,
            ready_since: None,
            message: None,
        },
    })
}

/// Takes the tenant out of all releases of a plugin but one. Its part goes last: while it is there, whoever was killed in
/// between finds what is to be done.
pub async fn leave(slug: &TenantSlug, id: &PluginId, but: Option<&Release<'_>>, ctx: &Context) -> Result<(), Outcome> {
    let Some(namespace) = ctx.platform.shared_namespace.as_deref() else {
        return Ok(());
    };
    let other = but.map_or_else(String::new, |release| format!(",{LABEL_SHARED}!={}", release.key));
    let mine = format!("{LABEL_PLUGIN}={id},{LABEL_SHARED},{LABEL_TENANT}={slug}{other}");
    let _alone = ctx.shared_releases.lock().await;
    let parts = parts(namespace, &mine, ctx).await?;
    for labels in parts.iter().map(ResourceExt::labels) {
        let (Some(key), Some(version)) = (labels.get(LABEL_SHARED), labels.get(LABEL_VERSION)) else {
            continue;
        };
        let selector = format!("{LABEL_PLUGIN}={id},{LABEL_SHARED}={key}");
        let others = members(namespace, &format!("{selector},{LABEL_TENANT}!={slug}"), ctx).await?;
        if others.is_empty() {
            end(namespace, &selector, ctx).await?;
            continue;
        }
        let found = ctx.caches.plugins.get(&ObjectRef::new(&format!("{id}-{version}")));
        // One that does not decode goes on for the others: its pods find this tenant's part gone when they start.
        if let Some(plugin) = found.as_ref().and_then(|guard| guard.0.as_ref().ok()) {
            roll(&Release::new(namespace, plugin), &others, ctx).await?;
        }
    }
    if parts.is_empty() {
        return Ok(());
    }
    remove::<Secret>(namespace, &mine, false, ctx).await
}

/// Ends a release that no tenant has any more.
async fn end(namespace: &str, selector: &str, ctx: &Context) -> Result<(), Outcome> {
    if ctx.platform.gateway.is_some() {
        remove::<ReferenceGrant>(namespace, selector, false, ctx).await?;
    }
    remove::<Service>(namespace, selector, false, ctx).await?;
    remove::<Deployment>(namespace, selector, false, ctx).await?;
    remove::<NetworkPolicy>(namespace, selector, false, ctx).await
}

/// Makes everything of a release for these tenants.
async fn roll<'a>(release: &Release<'a>, members: &[Member], ctx: &Context) -> Result<Rollout<'a>, Outcome> {
    make(&release.network_policy(members, &ctx.platform), ctx).await?;
    make(&release.service(Slot::A), ctx).await?;
    if ctx.platform.gateway.is_some() {
        make(&build::grant(release, members), ctx).await?;
    }
    let declared = release.deployment(members, Slot::A);
    let applied = make_seen(&declared, ctx).await?;
    Ok(Rollout::of(release.namespace, release.selector(), &declared, applied))
}

/// The tenants whose parts these labels select, by slug. Other objects of a release bear no hash.
async fn members(namespace: &str, selector: &str, ctx: &Context) -> Result<Vec<Member>, Outcome> {
    let parts = parts(namespace, selector, ctx).await?;
    let mut members: Vec<_> = parts.iter().filter_map(|part| Member::of(&part.metadata)).collect();
    members.sort();
    Ok(members)
}

async fn parts(
    namespace: &str,
    selector: &str,
    ctx: &Context,
) -> Result<Vec<kube::core::PartialObjectMeta<Secret>>, Outcome> {
    let api: Api<Secret> = Api::namespaced(ctx.objects.client.clone(), namespace);
    let mut listed = within(api.list_metadata(&ListParams::default().labels(selector)))
        .await
        .map_err(|error| failure::of_api(&error))?
        .items;
    listed.retain(|part| part.metadata.deletion_timestamp.is_none());
    Ok(listed)
}

/// The values of what a plugin of the tenant's own would find as variables.
async fn resolve(place: &Place, wanted: &Wanted, ctx: &Context) -> Result<Vec<(String, SecretString)>, Outcome> {
    let api: Api<Secret> = Api::namespaced(ctx.objects.client.clone(), place.slug.namespace().as_str());
    let mut read: BTreeMap<String, Secret> = BTreeMap::new();
    let mut resolved = vec![];
    for variable in variables::of_tenant(place, &wanted.providers) {
        let value = match variable.value {
            Source::Text(text) => text.into(),
            Source::Secret { secret: name, key } => {
                if !read.contains_key(&name) {
                    let secret = within(api.get_opt(&name))
                        .await
                        .map_err(|error| failure::of_api(&error))?;
                    read.insert(name.clone(), secret.unwrap_or_default());
                }
                let data = read.get(&name).and_then(|secret| secret.data.as_ref());
                let text = data.and_then(|data| String::from_utf8(data.get(key)?.0.clone()).ok());
                text.map(SecretString::from).ok_or_else(|| {
                    Outcome::Waiting(
                        Reason::SourceMissing,
                        format!("Secret {name} of the tenant has no key {key} yet"),
                    )
                })?
            }
        };
        resolved.push((variable.name, value));
    }
    Ok(resolved)
}

/// The platform's namespace for releases that want to be shared.
///
/// # Errors
/// The platform names none.
pub fn namespace<'a>(plugin: &Plugin, ctx: &'a Context) -> Result<&'a str, Outcome> {
    ctx.platform.shared_namespace.as_deref().ok_or_else(|| {
        Outcome::Blocked(
            Reason::PluginInvalid,
            format!(
                "{} wants runtime.sharing Shared, and the platform file names no sharedNamespace: add it, or publish a version with Dedicated",
                plugin.name_any()
            ),
        )
    })
}

/// Removes what the plugin has of its own in the tenant's namespace, unless it is known that nothing is there. Its pods go last: by
/// them the rest is found.
pub async fn forget_own(place: &Place, ctx: &Context) -> Result<(), Outcome> {
    let namespace = place.slug.namespace();
    let namespace = namespace.as_str();
    let is_gone = |slot: Slot| {
        ctx.watched
            .deployments
            .lacks(namespace, place.id.deployment(slot).as_str())
    };
    if is_gone(Slot::A) && is_gone(Slot::B) {
        return Ok(());
    }
    let selector = format!("{LABEL_PLUGIN}={}", place.id);
    remove::<PodDisruptionBudget>(namespace, &selector, false, ctx).await?;
    remove::<ControllerRevision>(namespace, &selector, false, ctx).await?;
    super::workload::forget_configurations(place, &[], ctx).await?;
    remove::<NetworkPolicy>(namespace, &selector, false, ctx).await?;
    remove::<Deployment>(namespace, &selector, false, ctx).await
}
