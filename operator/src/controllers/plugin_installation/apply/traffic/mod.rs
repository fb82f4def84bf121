//! Leads traffic: looks at the slots, lets the machine (`promotion`) decide, and does what it says, until it is at rest.

mod glance;
mod goal;
mod leads;
mod observe;
mod pods;
mod probe;
mod remember;
mod slots;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use plexica_crds::{
    PluginInstallation,
    condition::{ConditionType as _, Statement, Status},
    names::Slot,
    plugin::Sharing,
    plugin_installation::{
        Phase, PluginInstallationStatus,
        conditions::{Outcome, Reason, Type},
    },
};

use super::super::{Context, build, status::Steps, validate::Wanted};
use crate::{
    promotion::{self, Explanation, Memory, Requests, Revision},
    runtime::{age::Age, objects::Words},
};
pub use glance::is_misled;
use goal::goal;
use leads::Leads;
use observe::observe;
pub use observe::{Seen, ready_since};
pub use probe::Probes;
use slots::Slots;
pub use slots::{Means, providers};

/// How the status tells of changes by others.
const DRIFT: Words<Type> = Words {
    type_: Type::TrafficDrift,
    corrected: Reason::Corrected,
    in_sync: Reason::InSync,
};

/// How traffic is led after a pass.
pub struct Traffic {
    /// What is remembered.
    pub memory: Memory,
    /// What was seen last.
    pub seen: Seen,
    /// Why it is so.
    pub explanation: Explanation,
    /// Pods that are wanted of the live slot.
    pub size: i32,
    /// The live Service was found changed by others, and leads to its slot again.
    pub has_repaired: bool,
    /// Pods of the live slot are still to be started, or replaced by ones as declared.
    pub replaces_pods: bool,
}

impl Traffic {
    /// The slot whose pods tell how the plugin fares: the live one, or the one that is to be the first.
    pub fn slot(&self) -> Slot {
        self.memory.live.unwrap_or(Slot::A)
    }

    /// Something shines YELLOW: a candidate, or the standby.
    pub fn has_yellow(&self) -> bool {
        let slots = &self.seen.observed.slots;
        let other = self.memory.live.map(|live| slots.of(live.other()));
        other.and_then(Option::as_ref).is_some_and(|other| other.size > 0)
    }

    /// The version that is live.
    pub fn live_version(&self) -> Option<&str> {
        let revision = self.memory.revisions.of(self.memory.live?).as_ref()?;
        Some(&revision.version)
    }

    /// Pods of the live slot: how many are ready, and how many are to be. `None` if nothing is live.
    pub fn live_pods(&self) -> Option<(i32, i32)> {
        let deployment = self.seen.deployments.of(self.memory.live?).as_ref();
        let status = deployment.and_then(|live| live.status.as_ref());
        let spec = deployment.and_then(|live| live.spec.as_ref());
        Some((
            status.and_then(|status| status.ready_replicas).unwrap_or_default(),
            spec.and_then(|spec| spec.replicas).unwrap_or_default(),
        ))
    }

    /// That the operator is at work on it, though what is live works: kstatus waits for that to end. Waiting for a person is
    /// no work.
    pub fn reconciling(&self) -> Option<Statement> {
        let reason = match self.explanation.phase? {
            Phase::Promoting => Reason::Soaking,
            Phase::RollingBack => Reason::Switching,
            _ if self.replaces_pods => {
                let message = "pods are started or replaced; what is live serves meanwhile";
                return Some(Type::Reconciling.says(Status::True, Reason::PodsStarting, message));
            }
            Phase::Pending
            | Phase::Installing
            | Phase::Ready
            | Phase::AwaitingPromotion
            | Phase::Degraded
            | Phase::Disabled
            | Phase::Uninstalling
            | Phase::Failed => return None,
        };
        let message = self.explanation.message.as_deref().unwrap_or_default();
        Some(Type::Reconciling.says(Status::True, reason, message))
    }

    /// Looks at the slots as they are, unless that is what was seen already: for what nothing leads back from.
    ///
    /// # Errors
    /// The API server does not answer.
    pub async fn look_anew(
        &mut self,
        installation: &PluginInstallation,
        wanted: &Wanted,
        ctx: &Context,
    ) -> Result<(), Outcome> {
        if self.seen.is_cached {
            self.seen = observe(installation, wanted, &self.memory, Age::Newest, ctx).await?;
        }
        Ok(())
    }

    /// Nothing but this version runs, and there is no way back to another one: no pod of the other slot is left, not even
    /// one that ends.
    pub fn is_settled_in(&self, version: &str) -> bool {
        let Some(live) = self.memory.live else { return false };
        let slots = &self.seen.observed.slots;
        let is_live = slots
            .of(live)
            .as_ref()
            .is_some_and(|live| live.ready > 0 && live.is_settled && live.revision.version == version);
        let is_alone = slots
            .of(live.other())
            .as_ref()
            .is_none_or(|other| other.size == 0 && other.pods == 0 && other.is_settled);
        self.memory.transition.is_none() && is_live && is_alone
    }

    /// Names of the configurations that are used: the wanted one, and those that pods were started with.
    pub fn configurations(&self, wanted: &Wanted, config: &str) -> Vec<String> {
        let seen = [Slot::A, Slot::B].map(|slot| self.seen.observed.slots.of(slot).as_ref());
        let run = seen
            .into_iter()
            .flatten()
            .filter(|deployed| deployed.size > 0 || deployed.pods > 0);
        let live = self
            .memory
            .live
            .and_then(|live| self.memory.revisions.of(live).as_ref());
        let used = run.map(|deployed| &deployed.revision).chain(live);
        let used = used.map(|revision| build::config_name(&wanted.id, &revision.config_hash));
        used.chain([config.to_owned()]).collect()
    }

    /// What is said of it, after what was said `before`.
    pub fn statements(&self, before: &[Condition], now: Timestamp) -> Vec<Statement> {
        let message = "the live Service was found changed or gone, and leads to its slot again";
        let drift = DRIFT.statement(self.has_repaired.then_some(message), before, now);
        self.explanation.statements.iter().cloned().chain([drift]).collect()
    }

    /// Writes all of it into a status.
    pub fn write(&self, status: &mut PluginInstallationStatus) {
        remember::write(status, &self.memory);
        remember::describe(status, &self.memory, &self.seen.observed, self.size, &self.explanation);
    }
}

/// What is under way goes on, and what was changed by others is set right, whatever else may fail in this pass: nothing new
/// is begun. Does nothing before something is live.
pub async fn go_on(
    installation: &PluginInstallation,
    wanted: &Wanted,
    steps: &mut Steps,
    ctx: &Context,
) -> Result<(), Outcome> {
    if let Some((memory, leads)) = of_what_is_live(installation, wanted, steps, ctx) {
        steps.traffic = Some(leads.until_rest(memory, None, steps).await?);
    }
    Ok(())
}

/// Does the switch that a person asks for, if what the watches told allows it: one write, no look before it, no intent beside
/// the request. The pass that follows finds the Service turned, and the request by which it was, as after a kill.
///
/// # Errors
/// It could not be written; the pass tries that again.
pub async fn at_once(installation: &PluginInstallation, wanted: &Wanted, ctx: &Context) -> Result<(), Outcome> {
    let steps = Steps::resolved(wanted);
    match of_what_is_live(installation, wanted, &steps, ctx) {
        Some((memory, leads)) => leads.carry_out_at_once(&memory).await,
        None => Ok(()),
    }
}

/// Leads what is live, before anything else of this pass is known; `None` if nothing is, or if that is not enough to know.
fn of_what_is_live<'a>(
    installation: &'a PluginInstallation,
    wanted: &'a Wanted,
    steps: &Steps,
    ctx: &'a Context,
) -> Option<(Memory, Leads<'a, impl Fn(&Memory) -> Requests + use<'a>>)> {
    let status = installation.status.clone().unwrap_or_default();
    let memory = remembered(installation, wanted);
    let live = memory.live.and_then(|live| memory.revisions.of(live).clone())?;
    let wanted_last = memory.wanted_last().cloned()?;
    let candidate = memory
        .transition
        .as_ref()
        .filter(|transition| transition.is_before_switch());
    let is_current = status.observed_generation == installation.metadata.generation;
    let revision = match candidate {
        // Perhaps another configuration is wanted: that has to be read first.
        Some(_) if !is_current => return None,
        Some(candidate) if candidate.revision.version != wanted.plugin.spec.version => live,
        _ => wanted_last,
    };
    let has_candidate = candidate.is_some();
    let leads = Leads {
        installation,
        wanted,
        goal: promotion::Wanted {
            may_begin: false,
            ..goal(
                installation,
                wanted,
                revision,
                &memory,
                steps,
                ctx.platform.promotions_at_once,
            )
        },
        slots: None,
        requests: move |memory: &Memory| {
            let asked = remember::requests(installation, &memory.carried_out);
            Requests {
                promote: asked.promote.filter(|_| has_candidate),
                rollback: asked.rollback,
                retry: None,
            }
        },
        ctx,
    };
    Some((memory, leads))
}

/// Whether a person asks for a switch that was not carried out yet.
pub fn is_asked_to_switch(installation: &PluginInstallation) -> bool {
    let memory = remember::memory(&installation.status.clone().unwrap_or_default());
    let asked = remember::requests(installation, &memory.carried_out);
    asked.promote.is_some() || asked.rollback.is_some()
}

/// Leads traffic to what is wanted, as far as that goes now.
pub async fn lead(
    installation: &PluginInstallation,
    wanted: &Wanted,
    means: Means<'_>,
    steps: &mut Steps,
    ctx: &Context,
) -> Result<(), Outcome> {
    let memory = match &steps.traffic {
        Some(traffic) => traffic.memory.clone(),
        None => remembered(installation, wanted),
    };
    let revision = Revision {
        version: wanted.plugin.spec.version.clone(),
        config_hash: means.config.hash().to_owned(),
    };
    let leads = Leads {
        installation,
        wanted,
        goal: goal(
            installation,
            wanted,
            revision,
            &memory,
            steps,
            ctx.platform.promotions_at_once,
        ),
        slots: Some(Slots {
            installation,
            wanted,
            means,
            ctx,
        }),
        requests: |memory: &Memory| remember::requests(installation, &memory.carried_out),
        ctx,
    };
    let at_rest = steps
        .traffic
        .as_ref()
        .filter(|traffic| traffic.memory.transition.is_none() && !steps.has_expanded);
    let seen = at_rest.map(|traffic| traffic.seen.clone());
    let mut traffic = leads.until_rest(memory, seen, steps).await?;
    traffic.has_repaired |= steps.traffic.as_ref().is_some_and(|before| before.has_repaired);
    let kept = leads.keep(&traffic).await;
    steps.traffic = Some(traffic);
    kept
}

/// What the status remembers of slots of the tenant's own; of a release that ran for all tenants there were none.
fn remembered(installation: &PluginInstallation, wanted: &Wanted) -> Memory {
    let memory = remember::memory(&installation.status.clone().unwrap_or_default());
    let live = memory.live.and_then(|live| memory.revisions.of(live).as_ref());
    let releases = wanted.releases.iter().filter_map(|guard| guard.0.as_ref().ok());
    let was_shared = releases.into_iter().any(|plugin| {
        let is_live = live.is_some_and(|live| live.version == plugin.spec.version);
        is_live && plugin.spec.runtime.sharing == Sharing::Shared
    });
    if was_shared { Memory::default() } else { memory }
}
