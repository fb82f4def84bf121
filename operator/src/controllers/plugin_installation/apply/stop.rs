//! What is not to run: its route goes, and then its pods. That is decided by spec and tenant alone.

use plexica_crds::{
    names::{PluginId, TenantSlug},
    plugin_installation::conditions::{Outcome, Reason, Type},
};

use super::{database, red, route, shared, steps::Steps, workload};
use crate::controllers::plugin_installation::{
    Context,
    validate::{Facts, Stop},
};

/// Stops everything of an installation, and says so.
pub async fn stop(facts: &Facts, why: Stop, steps: &mut Steps, ctx: &Context) {
    let place = &facts.place;
    let mut stopped = shut(&place.slug, &place.id, ctx).await;
    let done = match why {
        Stop::Disabled => Outcome::Done(
            Reason::Disabled,
            format!("spec.enabled is false; data is kept{}", told(&facts.needed_by)),
        ),
        Stop::Suspended => {
            // The tenant's own pass has shut all plugins; a pass of this one that began before may have opened it again.
            stopped = stopped.and(database::revoke(place, ctx).await);
            let message = format!("tenant {} is shut; data is kept", place.slug);
            Outcome::Done(Reason::TenantSuspended, message)
        }
    };
    steps.stopped = stopped.is_ok();
    let outcome = stopped.map_or_else(|outcome| outcome, |()| done);
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

/// Takes the route and the pods of a plugin away: first nobody is led there, then nobody is there. What cannot be taken away holds up
/// nothing else.
pub async fn shut(slug: &TenantSlug, id: &PluginId, ctx: &Context) -> Result<(), Outcome> {
    let unrouted = route::remove(slug, id, ctx).await;
    let stopped = workload::stop(slug, id, ctx).await;
    let without_red = red::shut(slug, id, ctx).await;
    let left = shared::leave(slug, id, None, ctx).await;
    unrouted.and(stopped).and(without_red).and(left)
}
