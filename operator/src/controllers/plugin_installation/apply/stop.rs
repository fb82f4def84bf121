//! What is not to run: its route goes, and then its pods. That is decided by spec and tenant alone.

use plexica_crds::{
    names::{PluginId, TenantSlug},
    plugin_installation::conditions::{Outcome, Reason, Type},
};

use super::{database, red, route, shared, workload};
use crate::controllers::plugin_installation::{
    Context,
    status::Steps,
    validate::{Facts, Stop},
};

/// Stops everything of an installation, and says so.
pub async fn stop(facts: &Facts, why: Stop, steps: &mut Steps, ctx: &Context) {
    let place = &facts.place;
    let stopped = async {
        shut(&place.slug, &place.id, ctx).await?;
        match why {
            Stop::Disabled => Ok(Outcome::Done(
                Reason::Disabled,
                format!("spec.enabled is false; data is kept{}", told(&facts.needed_by)),
            )),
            Stop::Suspended => {
                // The tenant's own pass has shut all plugins; a pass of this one that began before may have opened it again.
                database::revoke(place, ctx).await?;
                let message = format!("tenant {} is shut; data is kept", place.slug);
                Ok(Outcome::Done(Reason::TenantSuspended, message))
            }
        }
    };
    let outcome = stopped.await;
    steps.stopped = outcome.is_ok();
    let outcome = outcome.unwrap_or_else(|outcome| outcome);
    steps.say(Type::Routed, route::without(&outcome, ctx));
    steps.say(Type::Deployed, outcome);
}

/// Who misses a plugin that is switched off.
fn told(needed_by: &[PluginId]) -> String {
    let names: Vec<_> = needed_by.iter().map(PluginId::as_str).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => format!("; {one} needs it"),
        many => format!("; {} need it", many.join(", ")),
    }
}

/// Takes the route and the pods of a plugin away: first nobody is led there, then nobody is there.
pub async fn shut(slug: &TenantSlug, id: &PluginId, ctx: &Context) -> Result<(), Outcome> {
    route::remove(slug, id, ctx).await?;
    workload::stop(slug, id, ctx).await?;
    red::shut(slug, id, ctx).await?;
    shared::leave(slug, id, None, ctx).await
}
