//! What the watches told of an installation's slots last, without a request. It is enough to do at once what a person asks
//! for: the Service is written only if nobody wrote to it since, and pods are asked for by how their Deployments fare.

use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service};
use kube::ResourceExt;
use plexica_crds::{PluginInstallation, names::Slot};

use super::observe::{Seen, deployed, mark, selector};
use crate::{
    controllers::plugin_installation::{Context, id_of, model::Place, objects::is_ours, watched::Kept},
    promotion::{Deployed, Endpoints, Memory, Observed, PerSlot, Selector},
};

/// What is known without looking; `None` if that is not enough: something is not known yet, is not ours, or is asked of its
/// pods themselves.
pub fn glance(installation: &PluginInstallation, place: &Place, memory: &Memory, ctx: &Context) -> Option<Seen> {
    if installation.spec.promotion.probe.is_some() {
        return None;
    }
    let namespace = place.slug.namespace();
    let service = ctx
        .watched
        .services
        .get(namespace.as_str(), place.id.service().as_str())?;
    if !is_ours(&service, place) {
        return None;
    }
    let known = |slot: Slot| {
        let name = place.id.deployment(slot);
        let deployment = ctx.watched.deployments.get(namespace.as_str(), name.as_str())?;
        is_ours(&deployment, place).then(|| as_told(&deployment, slot, memory))
    };
    let slots = PerSlot {
        a: Some(known(Slot::A)?),
        b: Some(known(Slot::B)?),
    };
    let selector = selector(&place.id, &service);
    let named = |slot: Slot| {
        let ready = slots.of(slot).as_ref().map_or(0, |deployed| deployed.ready);
        let ready = if selector == Selector::Slot(slot) { ready } else { 0 };
        Endpoints { named: ready, ready }
    };
    Some(Seen {
        observed: Observed {
            selector,
            mark: mark(&service),
            endpoints: PerSlot {
                a: named(Slot::A),
                b: named(Slot::B),
            },
            slots,
            awaits_gateway: false,
        },
        service: Some(service),
        is_whole: false,
        is_cached: true,
        deployments: PerSlot::default(),
        pods: None,
    })
}

/// Whether the live Service leads elsewhere than to what is live, or is gone, by what the watch told: somebody did that, or the
/// status is not written yet.
pub fn is_misled(installation: &PluginInstallation, services: &Kept<Service>) -> bool {
    let live = installation.status.as_ref().and_then(|status| status.live_slot);
    let (Some(live), Ok(id)) = (live, id_of(&installation.name_any())) else {
        return false;
    };
    let (namespace, name) = (installation.namespace().unwrap_or_default(), id.service());
    match services.get(&namespace, name.as_str()) {
        Some(service) => selector(&id, &service) != Selector::Slot(live),
        None => services.lacks(&namespace, name.as_str()),
    }
}

/// A Deployment counts the pods of all that it ran. They count for what it runs now only if that is what it was told to run
/// when its pods were last looked at; and all of them are ready only if no other runs. Those that end do not count.
fn as_told(deployment: &Deployment, slot: Slot, memory: &Memory) -> Deployed {
    let mut told = deployed(deployment, slot, None);
    if memory.revisions.of(slot).as_ref() != Some(&told.revision) {
        told.ready = 0;
    }
    let is_all = deployment.status.as_ref().is_some_and(|status| {
        let counts = [status.replicas, status.updated_replicas, status.ready_replicas];
        status.observed_generation == deployment.metadata.generation && counts == [Some(told.size); 3]
    });
    told.ready_since = (is_all && told.ready > 0).then(Timestamp::now);
    told
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;

    async fn misled_if(told: impl IntoIterator<Item = Event<Service>>, status: serde_json::Value) -> bool {
        let installation: PluginInstallation = serde_json::from_value(json!({
            "apiVersion": "plexica.io/v1alpha1", "kind": "PluginInstallation",
            "metadata": { "name": "crm", "namespace": "tenant-acme" }, "spec": {}, "status": status,
        }))
        .unwrap();
        let services = Kept::default();
        let events = stream::iter(told.into_iter().map(Ok).collect::<Vec<_>>());
        services.keep(events).for_each(async |_| ()).await;
        is_misled(&installation, &services)
    }

    #[tokio::test]
    async fn a_service_that_is_gone_or_leads_elsewhere_is_found_once_the_watch_has_told_of_all() {
        let service = |selector: serde_json::Value| -> Service {
            let metadata = json!({ "name": "crm", "namespace": "tenant-acme" });
            serde_json::from_value(json!({ "metadata": metadata, "spec": { "selector": selector } })).unwrap()
        };
        let of = |slot: &str| service(json!({ "plexica.io/plugin": "crm", "plexica.io/slot": slot }));
        let known = |service: Service| [Event::Init, Event::InitApply(service), Event::InitDone];
        let live = || json!({ "liveSlot": "a" });
        assert!(!misled_if(known(of("a")), live()).await);
        assert!(misled_if(known(of("b")), live()).await);
        assert!(misled_if(known(service(json!({ "plexica.io/plugin": "crm" }))), live()).await);
        assert!(misled_if([Event::Init, Event::InitDone], live()).await);
        // Nothing is known, or nothing is live.
        assert!(!misled_if([Event::Init], live()).await);
        assert!(!misled_if(known(of("b")), json!({})).await);
    }
}
