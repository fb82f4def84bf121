//! The end of an installation: its pods go, and its data is kept or dropped.

use k8s_openapi::{
    api::{
        apps::v1::{ControllerRevision, Deployment},
        core::v1::{ConfigMap, Secret, Service},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Resource, ResourceExt};
use plexica_crds::{
    PluginInstallation, Tenant,
    ownership::Owner,
    plugin_installation::{
        DataPolicy,
        conditions::{Outcome, Reason},
    },
};
use tracing::info;

use super::{
    Context, Pass,
    apply::shared,
    build,
    dereference::{Caches, World, world},
    failure, id_of,
    objects::remove,
    record,
};
use crate::{
    backends::postgres::plugin::{PluginKey, Surplus},
    gateway_api::HTTPRoute,
    pools::Verb,
    resolution,
    runtime::objects::{Error, holds},
};

/// Brings an installation in deletion to its end.
pub async fn finalize(installation: &PluginInstallation, ctx: &Context) -> Result<Pass, Error> {
    end(installation.meta(), installation.spec.data_policy, ctx).await
}

/// Why an installation in deletion has to stay for now: somebody needs it. Until then it is served like any other.
pub fn has_to_stay(installation: &PluginInstallation, ctx: &Context) -> Option<Outcome> {
    match world(installation, &ctx.caches) {
        Ok(world) => needed(installation, &world),
        // There is no tenant any more.
        Err(Outcome::Blocked(Reason::TenantUnknown, _)) => None,
        Err(not_known) => Some(not_known),
    }
}

/// Ends an object of which only metadata is known: its data is kept.
pub async fn keep(meta: &ObjectMeta, ctx: &Context) -> Result<Pass, Error> {
    end(meta, DataPolicy::Keep, ctx).await
}

/// Who needs the plugin; nobody does if all of the tenant goes.
fn needed(installation: &PluginInstallation, world: &World) -> Option<Outcome> {
    needed_by(installation, world, |_| true)
}

/// Who needs the plugin and can go before it: not those that it needs in turn. All of such a circle have to be marked for
/// deletion, in any order, and then go together.
pub fn needed_first(installation: &PluginInstallation, world: &World) -> Option<Outcome> {
    let id = id_of(&installation.name_any()).ok()?;
    let (tenant, registry) = (world.tenant_plugins(), world.registry());
    needed_by(installation, world, |dependant| {
        !resolution::requires_in_turn(&tenant, registry, &id, &dependant.plugin)
    })
}

fn needed_by(
    installation: &PluginInstallation,
    world: &World,
    counts: impl Fn(&resolution::Dependant) -> bool,
) -> Option<Outcome> {
    if world.tenant.meta().deletion_timestamp.is_some() {
        return None;
    }
    let id = id_of(&installation.name_any()).ok()?;
    let dependants = resolution::dependants(&world.tenant_plugins(), world.registry(), &id);
    // Those that are being removed as well do not count.
    let stays = |dependant: &&resolution::Dependant| {
        world
            .installation(&dependant.plugin)
            .is_some_and(|installation| installation.meta().deletion_timestamp.is_none())
    };
    let named = dependants.iter().filter(stays).filter(|dependant| counts(dependant));
    let told: Vec<_> = named.map(ToString::to_string).collect();
    (!told.is_empty()).then(|| {
        Outcome::Blocked(
            Reason::NeededByOthers,
            format!(
                "{} is still needed: {}; remove those first",
                installation.name_any(),
                told.join(", ")
            ),
        )
    })
}

async fn end(meta: &ObjectMeta, policy: DataPolicy, ctx: &Context) -> Result<Pass, Error> {
    let namespace = meta.namespace.clone().unwrap_or_default();
    if holds(meta)
        && let Some(slug) = Caches::slug_of(&namespace)
        && let Ok(id) = id_of(meta.name.as_deref().unwrap_or_default())
    {
        let key = PluginKey { slug, plugin: id };
        let uid = meta.uid.as_deref().unwrap_or_default();
        if let Err(outcome) = close(uid, &key, policy, ctx).await {
            return Ok(Pass::Deleting(outcome));
        }
        info!(policy = ?policy, "the installation's end is reached");
    }
    ctx.objects.release(meta).await?;
    Ok(Pass::Gone)
}

async fn close(uid: &str, key: &PluginKey, policy: DataPolicy, ctx: &Context) -> Result<(), Outcome> {
    let namespace = key.slug.namespace();
    let namespace = namespace.as_str();
    let selector = format!("{}={}", build::LABEL_PLUGIN, key.plugin);
    // The namespace of a tenant that goes was given up.
    let given_up = match ctx.caches.tenant(&key.slug) {
        Ok(tenant) => tenant.is_none_or(|tenant| tenant.meta().deletion_timestamp.is_some()),
        Err(_) => false,
    };
    // First nobody is led to the pods, then they go: what is shut under them would only make them fail.
    if ctx.platform.gateway.is_some() {
        remove::<HTTPRoute>(namespace, &selector, given_up, ctx).await?;
    }
    remove::<Service>(namespace, &selector, given_up, ctx).await?;
    remove::<Deployment>(namespace, &selector, given_up, ctx).await?;
    shared::leave(&key.slug, &key.plugin, None, ctx).await?;
    if let Some(batch) = ctx.migrating.under_way(uid) {
        return Err(batch.outcome());
    }
    close_database(key, policy, ctx).await?;
    remove::<NetworkPolicy>(namespace, &selector, given_up, ctx).await?;
    remove::<PodDisruptionBudget>(namespace, &selector, given_up, ctx).await?;
    remove::<ControllerRevision>(namespace, &selector, given_up, ctx).await?;
    remove::<ConfigMap>(namespace, &selector, given_up, ctx).await?;
    remove::<Secret>(namespace, &selector, given_up, ctx).await
}

/// Shuts the schema, or drops it together with the permissions. Where the tenant is gone, so is its plugins' access: the
/// tenant's own end reaches them.
async fn close_database(key: &PluginKey, policy: DataPolicy, ctx: &Context) -> Result<(), Outcome> {
    let Some(tenant) = ctx.caches.tenant(&key.slug)? else {
        return Ok(());
    };
    let Some((owner, pool)) = place(&tenant, ctx) else {
        return Ok(());
    };
    let pool = ctx.backends.plugins.get(&pool).ok_or_else(|| failure::no_pool(&pool))?;
    let failed = |error| failure::of_backend(&error, pool);
    let owner = &owner;
    match policy {
        // Its permissions stay with its data: what a tenant's administrators gave to their own roles is data too.
        DataPolicy::Keep => {
            pool.call(Verb::Revoke, |backend| async move { backend.revoke(owner, key).await })
                .await
        }
        DataPolicy::Drop => {
            pool.call(Verb::Update, |backend| async move {
                backend.seed_permissions(owner, key, &[], Surplus::Removed).await
            })
            .await
            .map_err(failed)?;
            pool.call(Verb::Delete, |backend| async move { backend.delete(owner, key).await })
                .await
        }
    }
    .map_err(failed)?;
    record::uninstalled(owner, &key.plugin, ctx).await
}

fn place(tenant: &Tenant, ctx: &Context) -> Option<(Owner, String)> {
    let status = tenant.status.as_ref()?;
    let owner = Owner {
        tenant_id: status.tenant_id?,
        installation: ctx.platform.installation_id.clone(),
    };
    Some((owner, status.database.as_ref()?.pool.clone()))
}
