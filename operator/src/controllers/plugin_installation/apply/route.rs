//! The route to a plugin, if the platform names a Gateway.

use std::time::Duration;

use futures::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{Api, ResourceExt};
use plexica_crds::{
    PluginInstallation, condition,
    names::{ObjectName, PluginId, Slot, TenantSlug},
    plugin_installation::{
        Step, SwitchBy,
        conditions::{Outcome, Reason},
    },
};
use strum::IntoEnumIterator as _;

use super::super::{
    Context,
    build::{self, Destination},
    failure,
    model::{Place, RunningSet},
    objects,
};
use crate::{
    gateway_api::{HTTPRoute, ParentRef},
    platform::Gateway,
    promotion::Memory,
    runtime::{
        age::{Age, labelled},
        apply::{FieldManager, is_as_declared, put},
        client::within,
    },
};

/// How long a Gateway's proxies are given to hear of the backends that a route names, when it goes from one way to lead requests to
/// another. What the Gateway says is that it has taken the route; of its proxies it says nothing.
const SETTLED_IN: Duration = Duration::from_secs(4);

/// What became of the route.
pub struct Routed {
    /// How it fares.
    pub outcome: Outcome,
    /// Where it begins, once the Gateway has taken it.
    pub url: Option<String>,
    /// When to look again, if it is on the way from one way to lead requests to another.
    pub wait: Option<Duration>,
}

impl From<Outcome> for Routed {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            url: None,
            wait: None,
        }
    }
}

/// Where the route of an installation of a tenant's own pods is to lead while this slot is live.
pub fn destination(installation: &PluginInstallation, live: Slot) -> Destination {
    match installation.spec.promotion.switch_by {
        SwitchBy::Route => Destination::Slot(live),
        SwitchBy::Service => Destination::LiveService,
    }
}

/// Paths that lead to GREEN and to YELLOW.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// To GREEN: its own, and beside it the former version's while there is a way back.
    pub green: Vec<String>,
    /// To YELLOW: its own; none if nothing shines so.
    pub yellow: Vec<String>,
}

impl Paths {
    /// Of revisions that run, by what is remembered of them. `None` if it is not known what is live.
    pub fn of(set: &RunningSet, memory: &Memory) -> Option<Self> {
        let path = |slot: Slot| {
            let frozen = set.get(memory.revisions.of(slot).as_ref()?)?;
            Some(frozen.base_path.clone())
        };
        let live = memory.live?;
        let mut green = vec![path(live)?];
        let transition = memory.transition.as_ref();
        let stands_by = transition.filter(|transition| {
            matches!(
                transition.step,
                Step::Proving | Step::MovingConnections | Step::StandingBy
            )
        });
        let former = stands_by.and_then(|transition| path(transition.from?));
        green.extend(former.filter(|former| *former != green[0]));
        let candidate = transition.filter(|transition| transition.is_before_switch());
        let candidate = candidate.and_then(|candidate| Some(set.get(&candidate.revision)?.base_path.clone()));
        let yellow = candidate.or_else(|| path(live.other()));
        Some(Self {
            green,
            yellow: yellow.into_iter().collect(),
        })
    }
}

/// Makes the routes as declared, and looks at what the Gateway says of the one to GREEN. That to YELLOW goes when nothing
/// shines so.
pub async fn lead(place: &Place, paths: &Paths, to: &Destination, has_yellow: bool, ctx: &Context) -> Routed {
    let Some(gateway) = &ctx.platform.gateway else {
        return without_gateway(to).into();
    };
    let (outcome, wait) = match lead_to_green(place, &paths.green, to, gateway, ctx).await {
        Ok(led) => led,
        Err(outcome) => return outcome.into(),
    };
    let has_yellow = has_yellow && !paths.yellow.is_empty();
    let to_yellow = lead_to_yellow(place, &paths.yellow, to, has_yellow, gateway, ctx).await;
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
    let own = paths.green.first().filter(|_| matches!(outcome, Outcome::Done(..)));
    let url = own.map(|own| build::url(place, own, &ctx.platform.base_domain, gateway));
    Routed { outcome, url, wait }
}

/// Makes the route to GREEN as declared, or as it has to be on the way there: then it says when to look again.
///
/// # Errors
/// It could not be written.
pub async fn lead_to_green(
    place: &Place,
    paths: &[String],
    to: &Destination,
    gateway: &Gateway,
    ctx: &Context,
) -> Result<(Outcome, Option<Duration>), Outcome> {
    let goal = build::route(place, paths, &ctx.platform, gateway, to);
    let way = |live: Option<&HTTPRoute>| {
        let said = live.map_or_else(|| pending(gateway), |live| verdict(live, gateway));
        let is_taken = matches!(said, Outcome::Done(..)) && live.is_some_and(is_settled);
        (build::on_the_way(place, live, is_taken, goal.clone()), said)
    };
    // What a watch told to be as declared was so some moments ago; by what else it told nothing is written.
    let name = place.id.service();
    let known = objects::owned::<HTTPRoute>(place, name.as_str(), Age::Any, ctx).await?;
    let kept = &ctx.watched.routes;
    let live = match known.filter(|known| kept.is_as_declared(&way(Some(known)).0)) {
        Some(known) => Some(known),
        None => objects::owned::<HTTPRoute>(place, name.as_str(), Age::Newest, ctx).await?,
    };
    if let Destination::Slot(slot) = *to {
        let services = Slot::iter().map(|slot| build::slot_service(place, slot));
        try_join_all(services.map(|service| async move { objects::make(&service, ctx).await })).await?;
        let is_led_there = live.as_ref().and_then(|live| build::slot_led_to(place, live)) == Some(slot);
        if !is_led_there && !reaches_pods(place, slot, ctx).await? {
            let service = place.id.slot_service(slot);
            let message = format!("Service {service} names no ready pod yet");
            return Ok((Outcome::Waiting(Reason::RoutePending, message), None));
        }
    }
    let (declared, said) = way(live.as_ref());
    let wait = (declared.spec != goal.spec).then_some(SETTLED_IN);
    let api: Api<HTTPRoute> = Api::namespaced(ctx.objects.client.clone(), place.slug.namespace().as_str());
    if live.as_ref().is_some_and(|live| is_as_declared(live, &declared)) {
        return Ok((said, wait));
    }
    let written = put(&api, &declared.name_any(), &declared).await;
    objects::saw(&written.map_err(|error| failure::of_api(&error))?, &declared, ctx);
    // What was written a moment ago, nobody has looked at.
    Ok((pending(gateway), wait))
}

/// Whether what the operator wrote last is old enough for a Gateway's proxies to have heard of it.
fn is_settled(route: &HTTPRoute) -> bool {
    let ours = route.managed_fields().iter();
    let ours = ours.filter(|entry| entry.manager.as_deref() == Some(FieldManager::Objects.as_ref()));
    let written = ours.filter_map(|entry| entry.time.as_ref()).map(|time| time.0).max();
    written.is_some_and(|written| written + SETTLED_IN < Timestamp::now())
}

/// The slot that the Gateway leads requests to, by the route that it has taken; `None` if that is not sure.
pub async fn slot_taken(
    place: &Place,
    gateway: &Gateway,
    age: Age<'_>,
    ctx: &Context,
) -> Result<Option<Slot>, Outcome> {
    let route = objects::owned::<HTTPRoute>(place, place.id.service().as_str(), age, ctx).await?;
    let taken = route.filter(|route| matches!(verdict(route, gateway), Outcome::Done(..)));
    Ok(taken.and_then(|route| build::slot_led_to(place, &route)))
}

/// Whether requests that are led to the slot's own Service reach a ready pod.
async fn reaches_pods(place: &Place, slot: Slot, ctx: &Context) -> Result<bool, Outcome> {
    let api: Api<EndpointSlice> = Api::namespaced(ctx.objects.client.clone(), place.slug.namespace().as_str());
    let of_service = format!("{}={}", build::LABEL_SERVICE, place.id.slot_service(slot));
    let slices = within(api.list(&labelled(&of_service, Age::Any))).await;
    let slices = slices.map_err(|error| failure::of_api(&error))?;
    let mut endpoints = slices.items.into_iter().flat_map(|slice| slice.endpoints);
    Ok(endpoints.any(|endpoint| endpoint.conditions.and_then(|conditions| conditions.ready) == Some(true)))
}

async fn lead_to_yellow(
    place: &Place,
    paths: &[String],
    green: &Destination,
    has_yellow: bool,
    gateway: &Gateway,
    ctx: &Context,
) -> Result<(), Outcome> {
    let declared = build::yellow_route(place, paths, &ctx.platform, gateway, green);
    if has_yellow {
        return objects::make(&declared, ctx).await.map(drop);
    }
    let namespace = place.slug.namespace();
    let name = declared.name_any();
    // One that is not known yet is told of by a watch, and a pass over it follows.
    if ctx.watched.routes.lacks(namespace.as_str(), &name) {
        return Ok(());
    }
    let selector = format!("{}={}", build::LABEL_PLUGIN, place.id);
    let stays = |other: &str| other != name;
    objects::tidy::<HTTPRoute>(namespace.as_str(), &selector, stays, ctx).await
}

/// Takes away the Services of slots, once no route leads to them any more.
pub async fn forget_slots(place: &Place, ctx: &Context) -> Result<(), Outcome> {
    let namespace = place.slug.namespace();
    let names = [Slot::A, Slot::B].map(|slot| place.id.slot_service(slot));
    let is_there = |name: &ObjectName| ctx.watched.services.get(namespace.as_str(), name.as_str()).is_some();
    if !names.iter().any(is_there) {
        return Ok(());
    }
    let selector = format!("{}={}", build::LABEL_PLUGIN, place.id);
    let stays = |name: &str| !names.iter().any(|slot| slot.as_str() == name);
    objects::tidy::<Service>(namespace.as_str(), &selector, stays, ctx).await
}

/// What a route that was taken away is told to be, by what became of the plugin's pods.
pub fn without(pods: &Outcome, ctx: &Context) -> Outcome {
    match (pods, &ctx.platform.gateway) {
        (_, None) => without_gateway(&Destination::LiveService),
        (Outcome::Done(Reason::Disabled | Reason::TenantSuspended, _), Some(_)) => pods.clone(),
        // It is not known whether the route is gone.
        (_, Some(gateway)) => pending(gateway),
    }
}

fn without_gateway(to: &Destination) -> Outcome {
    if matches!(to, Destination::Slot(_)) {
        return Outcome::Blocked(
            Reason::NoGateway,
            "spec.promotion.switchBy is Route, and the platform file names no Gateway: name one there, or set it to Service; \
             the plugin is reached by its Service"
                .to_owned(),
        );
    }
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
