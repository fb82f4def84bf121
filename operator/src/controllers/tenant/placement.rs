//! Where a tenant lives: asked of the registry once, and sticky from then on.

use jiff::Timestamp;
use plexica_crds::{
    ANNOTATION_RESTORE,
    names::TenantSlug,
    tenant::conditions::{Outcome, Reason},
};

use super::{Context, report, validate::ValidatedTenant};
use crate::{
    backends::postgres::registry::{Placement, PlacementError},
    pools::Verb,
};

/// The tenant's pools; the registry picks them in one transaction if it has none yet.
///
/// # Errors
/// The outcome: no such pool, no room, retained data, or the registry does not answer.
pub async fn place(tenant: &ValidatedTenant, ctx: &Context) -> Result<Placement, Outcome> {
    let wanted = &tenant.pools;
    let request = ctx.backends.placement_request(
        wanted.postgres.clone(),
        tenant.identity.is_some().then(|| wanted.keycloak.clone()),
        wanted.s3.clone(),
    );
    let registry = &ctx.backends.registry;
    let placed = registry
        .call(Verb::Place, |registry| {
            let (owner, slug) = (tenant.owner.clone(), tenant.slug.clone());
            async move { registry.place(&owner, &slug, &request).await }
        })
        .await;
    placed.map_err(|error| match error {
        PlacementError::RetainedData { id, since: _, purge_at } => retained_data(&tenant.slug, &id.to_string(), purge_at),
        PlacementError::UnknownPool { kind, wanted, known } => Outcome::Blocked(
            Reason::PoolUnknown,
            format!("the platform has no {kind} pool `{wanted}`; it has: {}", known.join(", ")),
        ),
        PlacementError::PoolFull { kind, pools, capacity } => Outcome::Blocked(
            Reason::PoolFull,
            if pools.is_empty() {
                format!("the platform has no open {kind} pool: name one in the spec")
            } else {
                format!(
                    "no room in {kind} pool {} (capacity {capacity}): raise its capacity in the platform file, name another pool, \
                     or delete tenants",
                    pools.join(", ")
                )
            },
        ),
        PlacementError::Backend(error) => report::outcome(&error, registry),
    })
}

/// The name is a deleted tenant's whose data is kept.
pub fn retained_data(slug: &TenantSlug, id: &str, purge_at: Option<Timestamp>) -> Outcome {
    Outcome::Blocked(
        Reason::RetainedDataExists,
        format!(
            "data of a deleted tenant `{slug}` with id {id} is retained{}; nobody inherits it by accident: delete that data or \
             choose another name (restoring by annotation {ANNOTATION_RESTORE}: {id} comes with a later release)",
            purge_at.map_or_else(String::new, |at| format!(" until {at:.0}")),
        ),
    )
}
