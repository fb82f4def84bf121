//! The route to a plugin, if the platform names a Gateway.

use plexica_crds::{
    condition,
    names::{PluginId, TenantSlug},
    plugin_installation::conditions::{Outcome, Reason},
};

use super::super::{Context, build, objects, validate::Wanted};
use crate::{
    gateway_api::{HTTPRoute, ParentRef},
    platform::Gateway,
    runtime::apply::Applied,
};

/// What became of the route.
pub struct Routed {
    /// How it fares.
    pub outcome: Outcome,
    /// Where it begins, once the Gateway has taken it.
    pub url: Option<String>,
}

impl From<Outcome> for Routed {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, url: None }
    }
}

/// Makes the routes as declared, and looks at what the Gateway says of the one to GREEN. That to YELLOW goes when nothing
/// shines so.
pub async fn lead(wanted: &Wanted, has_yellow: bool, ctx: &Context) -> Routed {
    let Some(gateway) = &ctx.platform.gateway else {
        return without_gateway().into();
    };
    let declared = build::route(wanted, &ctx.platform, gateway);
    let (applied, live) = match objects::make(&declared, ctx).await {
        Ok(done) => done,
        Err(outcome) => return outcome.into(),
    };
    let outcome = match (applied, live) {
        (Applied::Unchanged, Some(live)) => verdict(&live, gateway),
        // What was written a moment ago, nobody has looked at.
        _ => pending(gateway),
    };
    let to_yellow = lead_to_yellow(wanted, has_yellow, gateway, ctx).await;
    let outcome = match (outcome, to_yellow) {
        (Outcome::Done(reason, message), Ok(())) if has_yellow => {
            let (name, value) = build::LIGHT_HEADER;
            let message = format!("{message}, and to YELLOW with header {name}: {value}");
            Outcome::Done(reason, message)
        }
        // What is live is reached nevertheless.
        (Outcome::Done(reason, message), Err(Outcome::Blocked(_, why))) => {
            Outcome::Done(reason, format!("{message}; not to YELLOW: {why}"))
        }
        (Outcome::Done(..), Err(waits)) => waits,
        (outcome, _) => outcome,
    };
    let url = matches!(outcome, Outcome::Done(..)).then(|| build::url(wanted, &ctx.platform.base_domain, gateway));
    Routed { outcome, url }
}

async fn lead_to_yellow(wanted: &Wanted, has_yellow: bool, gateway: &Gateway, ctx: &Context) -> Result<(), Outcome> {
    let declared = build::yellow_route(wanted, &ctx.platform, gateway);
    if has_yellow {
        return objects::make(&declared, ctx).await.map(drop);
    }
    let namespace = wanted.slug.namespace();
    let selector = format!("{}={}", build::LABEL_PLUGIN, wanted.id);
    let stays = |name: &str| Some(name) != declared.metadata.name.as_deref();
    objects::tidy::<HTTPRoute>(namespace.as_str(), &selector, stays, ctx).await
}

/// What a route that was taken away is told to be, by what became of the plugin's pods.
pub fn without(pods: &Outcome, ctx: &Context) -> Outcome {
    match (pods, &ctx.platform.gateway) {
        (_, None) => without_gateway(),
        (Outcome::Done(Reason::Disabled | Reason::TenantSuspended, _), Some(_)) => pods.clone(),
        // It is not known whether the route is gone.
        (_, Some(gateway)) => pending(gateway),
    }
}

fn without_gateway() -> Outcome {
    Outcome::Done(
        Reason::NoGateway,
        "the platform file names no Gateway: the plugin is reached by its Service".to_owned(),
    )
}

/// Takes the route away.
pub async fn remove(slug: &TenantSlug, id: &PluginId, ctx: &Context) -> Result<(), Outcome> {
    if ctx.platform.gateway.is_none() {
        return Ok(());
    }
    let selector = format!("{}={id}", build::LABEL_PLUGIN);
    objects::remove::<HTTPRoute>(slug.namespace().as_str(), &selector, false, ctx).await
}

fn pending(gateway: &Gateway) -> Outcome {
    let Gateway { namespace, name, .. } = gateway;
    Outcome::Waiting(
        Reason::RoutePending,
        format!(
            "Gateway {namespace}/{name} has not taken the route yet; if it does not: is it there, and does it allow routes \
             from this namespace?"
        ),
    )
}

/// What the Gateway says of the route, of its present generation. Accepted alone is not enough: a route whose Service
/// is not found is accepted as well, and answers 500 (Gateway API, `ResolvedRefs`).
fn verdict(route: &HTTPRoute, gateway: &Gateway) -> Outcome {
    let ours = build::parent(gateway);
    let mut said = route.status.iter().flat_map(|status| &status.parents);
    let Some(said) = said.find(|parent| is_same(&parent.parent_ref, &ours)) else {
        return pending(gateway);
    };
    let generation = route.metadata.generation;
    for type_ in ["Accepted", "ResolvedRefs"] {
        let found = condition::find(&said.conditions, type_).filter(|found| found.observed_generation == generation);
        match found {
            Some(found) if found.status == "True" => {}
            Some(found) if found.status == "False" => {
                let Gateway { namespace, name, .. } = gateway;
                let (reason, message) = (&found.reason, &found.message);
                return Outcome::Blocked(
                    Reason::RouteRefused,
                    format!("Gateway {namespace}/{name} says {type_}=False, {reason}: {message}"),
                );
            }
            _ => return pending(gateway),
        }
    }
    Outcome::Done(
        Reason::RouteAccepted,
        format!("Gateway {}/{} leads to it", gateway.namespace, gateway.name),
    )
}

/// Whether both name the same Gateway; group and kind are defaults that a status may leave out.
fn is_same(said: &ParentRef, ours: &ParentRef) -> bool {
    said.name == ours.name && said.section_name == ours.section_name && said.namespace == ours.namespace
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
