//! One pass over the traffic of an installation: look, decide, do, until nothing is left to do.

use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service};
use kube::{
    Api, Resource, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use plexica_crds::{
    PluginInstallation,
    names::Slot,
    plugin_installation::{
        PluginInstallationStatus, Step,
        conditions::{Outcome, Reason},
    },
};
use tracing::{info, warn};

use super::{
    Traffic,
    glance::glance,
    observe::{Seen, observe},
    slots::Slots,
};
use crate::{
    controllers::plugin_installation::{
        Context,
        apply::route::{self, Paths},
        build::{self, Destination},
        failure,
        objects::{make, owned, saw},
        remember,
        validate::Facts,
        watched::Made,
    },
    promotion::{self, Action, Decision, Memory, Requests, Selector, Shape, decide, requested_switch},
    runtime::{
        age::Age,
        apply::{FieldManager, is_as_declared},
        client::{ApiError, ahead, within},
    },
};

/// Decisions in one pass, before it gives way to others.
const DECISIONS: usize = 12;
/// Writes that somebody else was faster than, in one pass.
const CONFLICTS: usize = 5;

/// What became of a write.
enum Written<K> {
    /// It was done, and the object is this now.
    Yes(K),
    /// Somebody wrote to the object since it was read: it has to be looked at again.
    Overtaken,
}

fn written<K>(answer: Result<K, ApiError>) -> Result<Written<K>, Outcome> {
    match answer {
        Ok(live) => Ok(Written::Yes(live)),
        Err(error) if error.status().is_some_and(|status| status.code == 409) => Ok(Written::Overtaken),
        Err(error) => Err(failure::of_api(&error)),
    }
}

/// What became of an action.
enum Done {
    /// Nothing but what is remembered has changed.
    Nothing,
    /// The live Service leads to this slot.
    Turned(Slot, Box<Service>),
    /// The Deployment of this slot was written.
    Shaped(Slot, Box<Deployment>),
    /// The first Deployment was made.
    Installed,
    /// Somebody was faster: it has to be looked again.
    Overtaken,
}

/// One pass over the traffic of an installation.
pub struct Leads<'a, R> {
    /// Whose traffic it is.
    pub installation: &'a PluginInstallation,
    /// What is known of it.
    pub facts: &'a Facts,
    /// What the machine is to reach.
    pub goal: promotion::Wanted,
    /// What pods are made from.
    pub slots: Slots<'a>,
    /// What is asked for and was not carried out yet.
    pub requests: R,
    /// The cluster.
    pub ctx: &'a Context,
}

impl<R: Fn(&Memory) -> Requests> Leads<'_, R> {
    /// Decides and does until nothing is left to do. What the pass has `seen` already is enough to see whether anything is to be
    /// written. Most passes find nothing to do, and for that it is enough what watches told; whatever is done is decided by what is
    /// there.
    pub async fn until_rest(
        &self,
        mut memory: Memory,
        seen: Option<Seen>,
        written: &mut Option<PluginInstallationStatus>,
    ) -> Result<Traffic, Outcome> {
        let (mut conflicts, mut has_repaired) = (0, false);
        let mut is_of_before = seen.is_some();
        let mut seen = match seen {
            Some(seen) => seen,
            None => self.look(&memory, Age::Any).await?,
        };
        for _ in 0..DECISIONS {
            let requests = (self.requests)(&memory);
            let Decision { action, memory: next } =
                decide(&seen.observed, &self.goal, &requests, &memory, Timestamp::now());
            if action == Action::Remember && next == memory {
                break;
            }
            if seen.is_cached || is_of_before && action != Action::Remember {
                seen = self.look(&memory, Age::Newest).await?;
                is_of_before = false;
                continue;
            }
            if matches!(action, Action::Switch { .. }) {
                // The intent is written down before anything moves.
                self.write_down(&memory, written).await?;
            }
            has_repaired |= matches!(action, Action::Repair(_)) && memory.live.is_some();
            let mut must_look = false;
            match self.act(&action, &seen).await? {
                Done::Nothing => memory = next,
                Done::Turned(slot, service) => {
                    memory = next;
                    seen.turned(slot, *service, self.is_by_route(slot));
                    // Nothing need happen after a repair that would cause another pass.
                    must_look = matches!(action, Action::Repair(_));
                }
                Done::Shaped(slot, deployment) => {
                    memory = next;
                    // Whatever follows is decided by what becomes of the pods.
                    seen.shaped(slot, *deployment);
                    break;
                }
                Done::Installed => {
                    memory = next;
                    seen = self.look(&memory, Age::Newest).await?;
                    break;
                }
                Done::Overtaken => {
                    must_look = true;
                    conflicts += 1;
                    if conflicts > CONFLICTS {
                        return Err(Outcome::Waiting(
                            Reason::ApiUnavailable,
                            "somebody else writes to the plugin's objects all the time".to_owned(),
                        ));
                    }
                }
            }
            if must_look || memory.transition.is_some() && !seen.is_whole {
                seen = self.look(&memory, Age::Newest).await?;
            }
        }
        self.lead_route(&seen, &memory).await;
        Ok(Traffic {
            explanation: promotion::explain(
                &seen.observed,
                &self.goal,
                &(self.requests)(&memory),
                &memory,
                Timestamp::now(),
            ),
            size: self.goal.size,
            memory,
            seen,
            has_repaired,
            replaces_pods: false,
        })
    }

    /// The Gateway's route follows a switch at once, whatever else may fail in this pass.
    async fn lead_route(&self, seen: &Seen, memory: &Memory) {
        let is_switched = memory
            .transition
            .as_ref()
            .is_some_and(|moving| moving.step == Step::Proving);
        if let Some(live) = memory.live.filter(|_| is_switched && seen.observed.awaits_gateway) {
            self.turn_route(live, memory).await;
        }
    }

    /// Leads the Gateway's route to a slot, if it leads to slots. That it could not be written is said by condition Routed, and by
    /// what the proof of the switch waits for.
    async fn turn_route(&self, live: Slot, memory: &Memory) {
        let gateway = self.ctx.platform.gateway.as_ref().filter(|_| self.is_by_route(live));
        let (Some(gateway), Some(Paths { green, yellow: _ })) = (gateway, Paths::of(self.slots.set, memory)) else {
            return;
        };
        let (place, to) = (&self.facts.place, Destination::Slot(live));
        if let Err(reason) = route::lead_to_green(place, &green, &to, gateway, self.ctx).await {
            warn!(?reason, "the route does not follow the switch yet; it is tried again");
        }
    }

    /// Whether a Gateway's route leads to slots.
    fn is_by_route(&self, live: Slot) -> bool {
        let to = route::destination(self.installation, live);
        self.ctx.platform.gateway.is_some() && matches!(to, Destination::Slot(_))
    }

    /// The switch that is asked for, if what the watches told allows it; whether it was written.
    pub async fn carry_out_at_once(&self, memory: &Memory) -> Result<bool, Outcome> {
        let requests = (self.requests)(memory);
        let Some(seen) = glance(self.installation, &self.facts.place, memory, self.ctx) else {
            return Ok(false);
        };
        let Some(switch) = requested_switch(&seen.observed, &self.goal, &requests, memory, Timestamp::now()) else {
            return Ok(false);
        };
        match self.act(&switch.action, &seen).await? {
            Done::Turned(slot, _) => {
                self.turn_route(slot, &switch.memory).await;
                Ok(true)
            }
            Done::Nothing | Done::Shaped(..) | Done::Installed | Done::Overtaken => Ok(false),
        }
    }

    async fn look(&self, memory: &Memory, age: Age<'_>) -> Result<Seen, Outcome> {
        observe(self.installation, self.facts, memory, age, self.ctx).await
    }

    async fn write_down(&self, memory: &Memory, written: &mut Option<PluginInstallationStatus>) -> Result<(), Outcome> {
        let before = written
            .clone()
            .or_else(|| self.installation.status.clone())
            .unwrap_or_default();
        let mut after = before.clone();
        remember::write(&mut after, memory);
        if before == after {
            return self.is_written_down(memory).await;
        }
        self.ctx
            .objects
            .write_status(self.installation.meta(), &before, &after)
            .await
            .map_err(|error| Outcome::Waiting(Reason::ApiUnavailable, error.to_string()))?;
        *written = Some(after);
        Ok(())
    }

    /// The intent of an earlier pass is still the one that is recorded: a cache may show an old one.
    async fn is_written_down(&self, memory: &Memory) -> Result<(), Outcome> {
        let namespace = self.facts.place.slug.namespace();
        let api: Api<PluginInstallation> = Api::namespaced(self.ctx.objects.client.clone(), namespace.as_str());
        // Installations are listed anyway, so this needs no permission of its own.
        let of_this = format!("metadata.name={}", self.installation.name_any());
        let found = within(api.list(&ListParams::default().fields(&of_this)))
            .await
            .map_err(|error| failure::of_api(&error))?;
        let live = found.items.into_iter().find_map(|live| live.status);
        let recorded = remember::memory(&live.unwrap_or_default());
        if recorded.transition == memory.transition {
            return Ok(());
        }
        Err(Outcome::Waiting(
            Reason::Switching,
            "the cache does not show the installation as it is".to_owned(),
        ))
    }

    async fn act(&self, action: &Action, seen: &Seen) -> Result<Done, Outcome> {
        match action {
            Action::Remember => Ok(Done::Nothing),
            Action::Install { slot, shape } => {
                let service = build::live_service(&self.facts.place, *slot, false);
                let deployment = self.slots.deployment(*slot, shape, None)?;
                // API servers make Services one after another: pods do not wait for that.
                tokio::try_join!(make(&deployment, self.ctx), make(&service, self.ctx))?;
                Ok(Done::Installed)
            }
            Action::Repair(slot) | Action::Switch { to: slot } => {
                let mut service = build::live_service(&self.facts.place, *slot, true);
                service.metadata.resource_version = seen.service.as_ref().and_then(ResourceExt::resource_version);
                let Written::Yes(service) = written(ahead(self.patch(&service)).await)? else {
                    return Ok(Done::Overtaken);
                };
                info!(slot = slot.as_ref(), ?action, "the live Service leads to the slot");
                Ok(Done::Turned(*slot, Box::new(service)))
            }
            Action::Reshape { slot, shape } => {
                let live = seen.deployments.of(*slot).as_ref();
                let mut deployment = self.slots.deployment(*slot, shape, live)?;
                deployment.metadata.resource_version = live.and_then(ResourceExt::resource_version);
                Ok(match self.write(&deployment).await? {
                    Written::Yes(deployment) => Done::Shaped(*slot, Box::new(deployment)),
                    Written::Overtaken => Done::Overtaken,
                })
            }
        }
    }

    /// Writes an object as declared, unless somebody wrote to it since it was read.
    async fn write<K: Made>(&self, declared: &K) -> Result<Written<K>, Outcome> {
        written(within(self.patch(declared)).await)
    }

    async fn patch<K: Made>(&self, declared: &K) -> Result<K, kube::Error> {
        let namespace = self.facts.place.slug.namespace();
        let api: Api<K> = Api::namespaced(self.ctx.objects.client.clone(), namespace.as_str());
        let params = PatchParams::apply(FieldManager::Objects.as_ref()).force();
        let patch = Patch::Apply(declared);
        let written = api.patch(&declared.name_any(), &params, &patch).await?;
        saw(&written, declared, self.ctx);
        Ok(written)
    }

    /// What is there stays as declared, whoever changes it: templates, sizes, ports. What is live comes first, and what fails of the
    /// one slot leaves the rest as it should be.
    pub async fn keep(&self, traffic: &Traffic) -> Result<(), Outcome> {
        let Traffic { memory, seen, .. } = traffic;
        let place = &self.facts.place;
        let live = memory.live.unwrap_or(Slot::A);
        let mut kept = self.keep_slot(live, seen).await;
        if let Some(slot) = memory.live {
            if seen.observed.selector == Selector::Slot(slot)
                && let Some(service) = &seen.service
            {
                let declared = build::live_service(place, slot, true);
                kept = kept.and(self.set_right(service, declared).await);
            }
            kept = kept.and(make(&build::disruption_budget(place, slot), self.ctx).await.map(drop));
            if traffic.has_yellow() {
                let yellow = build::yellow_service(place, slot.other());
                kept = kept.and(make(&yellow, self.ctx).await.map(drop));
            }
        }
        kept.and(self.keep_slot(live.other(), seen).await)
    }

    async fn keep_slot(&self, slot: Slot, seen: &Seen) -> Result<(), Outcome> {
        let (Some(live), Some(is)) = (seen.deployments.of(slot), seen.observed.slots.of(slot)) else {
            return Ok(());
        };
        if is.size == 0 {
            return Ok(());
        }
        let shape = Shape {
            revision: is.revision.clone(),
            size: is.size,
            recycled: is.recycled.clone(),
            rejected: is.rejected,
        };
        let declared = self.slots.deployment(slot, &shape, Some(live))?;
        self.set_right(live, declared).await
    }

    /// Sets right what is not as declared, if it is still the version that was seen.
    async fn set_right<K: Made>(&self, seen: &K, mut declared: K) -> Result<(), Outcome> {
        if K::kept(&self.ctx.watched).is_some_and(|kept| kept.is_as_declared(&declared)) {
            return Ok(());
        }
        let (place, name) = (&self.facts.place, declared.name_any());
        let live = owned::<K>(place, &name, Age::Newest, self.ctx).await?;
        // Whoever was faster causes the next pass.
        let Some(live) = live.filter(|live| live.resource_version() == seen.resource_version()) else {
            return Ok(());
        };
        if is_as_declared(&live, &declared) {
            saw(&live, &declared, self.ctx);
            return Ok(());
        }
        declared.meta_mut().resource_version = live.resource_version();
        self.write(&declared).await.map(drop)
    }
}
