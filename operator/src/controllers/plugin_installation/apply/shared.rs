//! A tenant's part in a release that runs once for all tenants: coming, going, and what that does to the pods.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Secret, Service},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{Api, ResourceExt, api::ListParams, runtime::reflector::ObjectRef};
use plexica_crds::{
    LABEL_TENANT, Plugin,
    names::{PluginId, Slot, TenantSlug},
    plugin_installation::{
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
        objects::{make, remove},
        report,
        validate::Wanted,
    },
    rollout::Rollout,
    workload::{Deployed, slot_status},
};
use crate::{backends::Credential, gateway_api::ReferenceGrant, runtime::client::within};

/// Brings the tenant into the release, and looks at how its pods fare. The tenant's Service moves to the release once
/// they know the tenant.
pub async fn deploy(
    wanted: &Wanted,
    namespace: &str,
    configuration: &Configuration,
    access: &Credential,
    ctx: &Context,
) -> Result<Deployed, Outcome> {
    let release = Release::new(namespace, &wanted.plugin);
    let values = resolve(wanted, ctx).await?;
    let part = release.part(wanted, configuration, &values, access);
    let hash = part.annotations().get(ANNOTATION_HASH).cloned().unwrap_or_default();
    let rollout = {
        // Two tenants that came at once would each leave the other out.
        let _alone = ctx.shared_releases.lock().await;
        make(&part, ctx).await?;
        let members = members(namespace, &release.selector(), ctx).await?;
        roll(&release, &members, ctx).await?
    };
    if rollout.is_complete() {
        make(&release.alias(wanted, &ctx.platform.cluster_domain), ctx).await?;
    }
    Ok(Deployed {
        outcome: rollout.outcome(ctx).await?,
        ready: rollout.ready(),
        shared: Some(slot_status(wanted, &hash, &rollout)),
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
    let applied = make(&declared, ctx).await?;
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
        .map_err(|error| report::api_outcome(&error))?
        .items;
    listed.retain(|part| part.metadata.deletion_timestamp.is_none());
    Ok(listed)
}

/// The values of what a plugin of the tenant's own would find as variables.
async fn resolve(wanted: &Wanted, ctx: &Context) -> Result<Vec<(String, SecretString)>, Outcome> {
    let api: Api<Secret> = Api::namespaced(ctx.objects.client.clone(), wanted.slug.namespace().as_str());
    let mut read: BTreeMap<String, Secret> = BTreeMap::new();
    let mut resolved = vec![];
    for variable in variables::of_tenant(wanted, &wanted.providers) {
        let value = match variable.value {
            Source::Text(text) => text.into(),
            Source::Secret { secret: name, key } => {
                if !read.contains_key(&name) {
                    let secret = within(api.get_opt(&name))
                        .await
                        .map_err(|error| report::api_outcome(&error))?;
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

/// Removes what the plugin has of its own in the tenant's namespace, once the release serves the tenant.
pub async fn forget_own(wanted: &Wanted, ctx: &Context) -> Result<(), Outcome> {
    let namespace = wanted.slug.namespace();
    let selector = format!("{LABEL_PLUGIN}={}", wanted.id);
    remove::<Deployment>(namespace.as_str(), &selector, false, ctx).await?;
    remove::<NetworkPolicy>(namespace.as_str(), &selector, false, ctx).await?;
    remove::<PodDisruptionBudget>(namespace.as_str(), &selector, false, ctx).await?;
    super::workload::forget_configurations(wanted, &[], ctx).await
}
