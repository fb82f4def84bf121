//! What the cluster shows of an installation's slots.

use std::{collections::BTreeMap, fmt::Debug};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{Api, Resource, ResourceExt, core::NamespaceResourceScope};
use plexica_crds::{
    PluginInstallation,
    names::{PluginId, Slot},
    plugin_installation::{Step, conditions::Outcome},
};
use serde::de::DeserializeOwned;

pub use super::pods::ready_since;
use super::{
    pods::{has_ended, none_made_since, none_ready_since},
    probe::{Candidate, judge},
};
use crate::{
    controllers::plugin_installation::{
        Context,
        apply::{rollout::trouble_of, route},
        build::{
            ANNOTATION_LIVE, ANNOTATION_RECYCLED, ANNOTATION_REJECTED, Destination, LABEL_PLUGIN, LABEL_SERVICE,
            LABEL_SLOT, revision_named,
        },
        failure,
        model::Place,
        objects::owned,
        validate::Facts,
    },
    promotion::{Deployed, Endpoints, Memory, Observed, PerSlot, Selector},
    runtime::{
        age::{Age, labelled},
        client::within,
    },
};

/// What is there.
#[derive(Clone)]
pub struct Seen {
    /// As the machine sees it.
    pub observed: Observed,
    /// The live Service.
    pub service: Option<Service>,
    /// Pods and EndpointSlices were looked at too.
    pub is_whole: bool,
    /// Service and Deployments are as watches told, or the API server's cache showed them: enough to see that nothing is to be done, and for nothing
    /// else.
    pub is_cached: bool,
    /// The Deployments.
    pub deployments: PerSlot<Option<Deployment>>,
    /// The pods, if they were looked at.
    pub(super) pods: Option<Vec<Pod>>,
}

/// Where the Gateway's route leads, if it leads to slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RouteLeads {
    /// It leads to the live Service, or there is no Gateway, or it does not matter now.
    ByService,
    /// To this slot; `None`: that is not sure.
    To(Option<Slot>),
}

impl Seen {
    /// The Deployment of a slot was written, and is so now; of its pods nothing else is known yet.
    pub fn shaped(&mut self, slot: Slot, deployment: Deployment) {
        let pods = self.pods.as_deref();
        *self.observed.slots.of_mut(slot) = Some(deployed(&deployment, slot, pods));
        *self.deployments.of_mut(slot) = Some(deployment);
    }

    /// The live Service was written, and is so now. What its EndpointSlices name is not known any more, nor does the route lead
    /// there, if it is to.
    pub fn turned(&mut self, slot: Slot, service: Service, is_by_route: bool) {
        let unknown = Endpoints { named: 1, ready: 0 };
        self.observed.selector = Selector::Slot(slot);
        self.observed.mark = Some(slot);
        self.observed.endpoints = PerSlot { a: unknown, b: unknown };
        self.observed.awaits_gateway = is_by_route;
        self.service = Some(service);
    }
}

/// Looks at Service and Deployments; at pods and EndpointSlices only if something is under way, since nothing else is
/// decided by them.
pub async fn observe(
    installation: &PluginInstallation,
    facts: &Facts,
    memory: &Memory,
    age: Age<'_>,
    ctx: &Context,
) -> Result<Seen, Outcome> {
    let is_under_way = memory.transition.is_some();
    // What is decided is decided by pods and EndpointSlices as new as Service and Deployments.
    let listed = is_under_way.then_some(age);
    let id = &facts.place.id;
    let [a, b] = [Slot::A, Slot::B].map(|slot| id.deployment(slot));
    let of_plugin = format!("{LABEL_PLUGIN}={id},{LABEL_SLOT}");
    let (routed, led, a, b, pods) = tokio::try_join!(
        routed(installation, facts, memory, age, ctx),
        led(facts, memory, age, ctx),
        owned::<Deployment>(&facts.place, a.as_str(), age, ctx),
        owned::<Deployment>(&facts.place, b.as_str(), age, ctx),
        list::<Pod>(&facts.place, &of_plugin, listed, ctx),
    )?;
    let (service, slices) = led;
    let known = is_under_way.then_some(pods.as_slice());
    let mut slots = PerSlot {
        a: a.as_ref().map(|deployment| deployed(deployment, Slot::A, known)),
        b: b.as_ref().map(|deployment| deployed(deployment, Slot::B, known)),
    };
    ask_candidate(installation, facts, memory, &mut slots, &pods, ctx);
    let observed = Observed {
        selector: service
            .as_ref()
            .map_or(Selector::Absent, |service| selector(id, service)),
        mark: service.as_ref().and_then(mark),
        slots,
        endpoints: with_route(endpoints(&slices, &pods), routed),
        awaits_gateway: matches!(routed, RouteLeads::To(slot) if slot != memory.live),
    };
    Ok(Seen {
        observed,
        service,
        is_whole: is_under_way,
        is_cached: age == Age::Any,
        deployments: PerSlot { a, b },
        pods: is_under_way.then_some(pods),
    })
}

/// Where the route leads, while it matters.
async fn routed(
    installation: &PluginInstallation,
    facts: &Facts,
    memory: &Memory,
    age: Age<'_>,
    ctx: &Context,
) -> Result<RouteLeads, Outcome> {
    let (Some(gateway), Some(_), Some(live)) = (&ctx.platform.gateway, &memory.transition, memory.live) else {
        return Ok(RouteLeads::ByService);
    };
    match route::destination(installation, live) {
        Destination::LiveService | Destination::Shared { .. } => Ok(RouteLeads::ByService),
        Destination::Slot(_) => route::slot_taken(&facts.place, gateway, age, ctx)
            .await
            .map(RouteLeads::To),
    }
}

/// A route that leads to a slot, or may do so, is one more that names it.
fn with_route(mut endpoints: PerSlot<Endpoints>, routed: RouteLeads) -> PerSlot<Endpoints> {
    let RouteLeads::To(led_to) = routed else {
        return endpoints;
    };
    for slot in [Slot::A, Slot::B] {
        endpoints.of_mut(slot).named += i32::from(led_to.is_none_or(|led_to| led_to == slot));
    }
    endpoints
}

/// The live Service and its EndpointSlices. What is to prove a switch is not older than that.
async fn led(
    facts: &Facts,
    memory: &Memory,
    age: Age<'_>,
    ctx: &Context,
) -> Result<(Option<Service>, Vec<EndpointSlice>), Outcome> {
    let name = facts.place.id.service();
    let of_service = format!("{LABEL_SERVICE}={name}");
    let service = owned::<Service>(&facts.place, name.as_str(), age, ctx);
    let transition = memory.transition.as_ref();
    if age == Age::Any && transition.is_some_and(|transition| transition.step == Step::Proving) {
        let service = service.await?;
        let version = service
            .as_ref()
            .and_then(|service| service.metadata.resource_version.as_deref());
        let age = version.map_or(Age::Any, Age::Since);
        let slices = list(&facts.place, &of_service, Some(age), ctx).await?;
        return Ok((service, slices));
    }
    tokio::try_join!(service, list(&facts.place, &of_service, transition.map(|_| age), ctx))
}

/// A candidate with a probe counts as ready only since it answers that, too. It is asked beside passes; this one knows what it
/// answered last.
fn ask_candidate(
    installation: &PluginInstallation,
    facts: &Facts,
    memory: &Memory,
    slots: &mut PerSlot<Option<Deployed>>,
    pods: &[Pod],
    ctx: &Context,
) {
    let uid = installation.uid().unwrap_or_default();
    let transition = memory.transition.as_ref();
    let candidate = transition.filter(|transition| transition.is_before_switch());
    let (Some(candidate), Some(probe)) = (candidate, &installation.spec.promotion.probe) else {
        ctx.probes.forget(&uid);
        return;
    };
    let deployed = slots.of_mut(candidate.to).as_mut();
    let is_candidate = |deployed: &&mut Deployed| deployed.revision == candidate.revision;
    let Some(deployed) = deployed.filter(is_candidate) else {
        return;
    };
    let runs = facts.release(&candidate.revision.version);
    let port = runs.and_then(|plugin| u16::try_from(plugin.spec.runtime.port).ok());
    let mine = pods.iter().filter(|pod| slot_of_pod(pod) == Some(candidate.to));
    let asked = Candidate {
        installation,
        transition: candidate,
        ready_since: deployed.ready_since,
        // As long as some are not ready, the others need not be asked.
        pods: mine
            .filter(|pod| deployed.ready_since.is_some() && ready_since(pod).is_some())
            .collect(),
        port: port.unwrap_or_default(),
        probe,
    };
    let heard = ctx.probes.ask(&asked, Timestamp::now());
    judge(deployed, heard);
}

/// Objects with these labels; none if it does not matter.
async fn list<K>(place: &Place, selector: &str, age: Option<Age<'_>>, ctx: &Context) -> Result<Vec<K>, Outcome>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let Some(age) = age else { return Ok(vec![]) };
    let api: Api<K> = Api::namespaced(ctx.objects.client.clone(), place.slug.namespace().as_str());
    within(api.list(&labelled(selector, age)))
        .await
        .map(|listed| listed.items)
        .map_err(|error| failure::of_api(&error))
}

fn slot_of(text: &str) -> Option<Slot> {
    [Slot::A, Slot::B].into_iter().find(|slot| slot.as_ref() == text)
}

/// The slot that the Service is marked with.
pub(super) fn mark(service: &Service) -> Option<Slot> {
    slot_of(service.annotations().get(ANNOTATION_LIVE)?)
}

/// What the Service selects: a slot only if it is exactly the selector that the operator writes.
pub(super) fn selector(id: &PluginId, service: &Service) -> Selector {
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let of = |slot: Slot| {
        BTreeMap::from([
            (LABEL_PLUGIN.to_owned(), id.to_string()),
            (LABEL_SLOT.to_owned(), slot.as_ref().to_owned()),
        ])
    };
    let found = [Slot::A, Slot::B].into_iter().find(|slot| selector == Some(&of(*slot)));
    found.map_or(Selector::Foreign, Selector::Slot)
}

pub(super) fn deployed(deployment: &Deployment, slot: Slot, pods: Option<&[Pod]>) -> Deployed {
    let spec = deployment.spec.clone().unwrap_or_default();
    let status = deployment.status.clone().unwrap_or_default();
    let size = spec.replicas.unwrap_or(1);
    let template = spec.template.metadata.unwrap_or_default();
    let annotations = template.annotations.unwrap_or_default();
    let revision = revision_named(&template.labels.unwrap_or_default(), &annotations);
    let is_seen = status.observed_generation == deployment.metadata.generation;
    let count = |number: Option<i32>| number.unwrap_or_default();
    let is_settled = is_seen
        && count(status.updated_replicas) == size
        && count(status.replicas) == size
        && count(status.terminating_replicas) == 0;
    let mut failures = status.conditions.iter().flatten();
    let failure = failures
        .find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")
        .and_then(|failure| failure.message.clone());
    let (mut trouble, mut unready_since) = (None, None);
    let (ready, ready_since, present) = match pods {
        None => (count(status.ready_replicas), None, count(status.replicas)),
        Some(pods) => {
            let of_slot = pods.iter().filter(|pod| slot_of_pod(pod) == Some(slot));
            let mine: Vec<_> = of_slot.filter(|pod| !has_ended(pod)).collect();
            unready_since = none_ready_since(&mine).or_else(|| none_made_since(&mine, &status));
            trouble = mine.iter().find_map(|pod| trouble_of(pod));
            let ready: Vec<_> = mine
                .iter()
                .filter(|pod| pod.meta().deletion_timestamp.is_none())
                .filter(|pod| revision_named(pod.labels(), pod.annotations()) == revision)
                .filter_map(|pod| ready_since(pod))
                .collect();
            let number = |length: usize| i32::try_from(length).unwrap_or(i32::MAX);
            let all = is_seen && size > 0 && number(ready.len()) >= size;
            let since = ready.iter().max().copied().filter(|_| all);
            (number(ready.len()), since, number(mine.len()))
        }
    };
    Deployed {
        revision,
        size,
        ready,
        ready_since,
        unready_since,
        recycled: annotations.get(ANNOTATION_RECYCLED).cloned(),
        rejected: deployment.annotations().contains_key(ANNOTATION_REJECTED),
        is_settled,
        pods: present,
        trouble: failure.or(trouble),
        is_unanswered: false,
        asked_since: None,
    }
}

fn slot_of_pod(pod: &Pod) -> Option<Slot> {
    slot_of(pod.labels().get(LABEL_SLOT)?)
}

/// Which slots the live Service's EndpointSlices name, by the pods that they refer to. One that is gone already is found by
/// its name.
fn endpoints(slices: &[EndpointSlice], pods: &[Pod]) -> PerSlot<Endpoints> {
    let slots: BTreeMap<_, _> = pods
        .iter()
        .filter_map(|pod| Some((pod.uid()?, slot_of_pod(pod)?)))
        .collect();
    let mut found = PerSlot::<Endpoints>::default();
    for endpoint in slices.iter().flat_map(|slice| &slice.endpoints) {
        let Some(target) = &endpoint.target_ref else { continue };
        let Some(slot) = target.uid.as_ref().and_then(|uid| slots.get(uid)) else {
            // Its pod is gone, and so is its address; whichever slot it was of, it is not proven to be out of the way.
            found.a.named += 1;
            found.b.named += 1;
            continue;
        };
        let of_slot = found.of_mut(*slot);
        of_slot.named += 1;
        let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready);
        of_slot.ready += i32::from(ready == Some(true));
    }
    found
}

#[cfg(test)]
#[path = "observe_tests.rs"]
mod tests;
