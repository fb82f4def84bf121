//! Leads traffic: looks at the slots, lets the machine (`promotion`) decide, and does what it says, until it is at rest.

mod glance;
mod goal;
mod leads;
mod observe;
mod pods;
mod probe;
mod served;
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

use super::super::{Context, model::RunningSet, remember, validate::Facts};
use crate::{
    promotion::{Explanation, Memory, Revision},
    runtime::{age::Age, objects::Words},
};
pub use glance::is_misled;
use goal::goal;
use leads::Leads;
use observe::observe;
pub use observe::{Seen, ready_since};
pub use probe::Probes;
pub use served::{Served, at_once, go_on};
use slots::Slots;

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

    /// The first pods serve.
    pub fn live_pods_ready(&self) -> bool {
        self.live_pods().is_some_and(|(ready, _)| ready > 0)
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
        facts: &Facts,
        ctx: &Context,
    ) -> Result<(), Outcome> {
        if self.seen.is_cached {
            self.seen = observe(installation, facts, &self.memory, Age::Newest, ctx).await?;
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

/// Whether a person asks for a switch that was not carried out yet.
pub fn is_asked_to_switch(installation: &PluginInstallation) -> bool {
    let memory = remember::memory(&installation.status.clone().unwrap_or_default());
    let asked = remember::requests(installation, &memory.carried_out);
    asked.promote.is_some() || asked.rollback.is_some()
}

/// What is to be live next, ready to be begun: everything that it needs is there.
pub struct Next<'a> {
    /// How the traffic light names it.
    pub revision: &'a Revision,
    /// It, and what runs or may run beside it.
    pub set: &'a RunningSet,
    /// Id of the credential that its pods log in with.
    pub credential: &'a str,
    /// The last Contract migration that was applied.
    pub contracted: Option<&'a str>,
    /// What the pass has seen is too old to go on with.
    pub is_seen_anew: bool,
}

/// Leads traffic to what is wanted, as far as that goes now; `before` is how it was led earlier in this pass. `written` is the status
/// that the object was given on the way. Beside how traffic is led it says whether what runs could be kept as declared.
pub async fn lead(
    installation: &PluginInstallation,
    facts: &Facts,
    next: &Next<'_>,
    before: Option<&Traffic>,
    written: &mut Option<PluginInstallationStatus>,
    ctx: &Context,
) -> Result<(Traffic, Result<(), Outcome>), Outcome> {
    let memory = match before {
        Some(traffic) => traffic.memory.clone(),
        None => remembered(installation, facts),
    };
    let live = memory.live.and_then(|live| memory.revisions.of(live).as_ref());
    let usual = next
        .set
        .get(live.unwrap_or(next.revision))
        .map_or(1, |frozen| frozen.replicas);
    let leads = Leads {
        installation,
        facts,
        goal: goal(
            installation,
            facts,
            next.revision.clone(),
            usual,
            &memory,
            next.contracted,
            ctx.platform.promotions_at_once,
        ),
        slots: Slots {
            place: &facts.place,
            set: next.set,
            credential: Some(next.credential),
            progress_deadline: installation.spec.promotion.progress_deadline.value(),
        },
        requests: |memory: &Memory| remember::requests(installation, &memory.carried_out),
        ctx,
    };
    let seen = before.filter(|_| !next.is_seen_anew);
    let seen = seen.map(|traffic| traffic.seen.clone());
    let was_live = memory.live.is_some();
    let mut traffic = leads.until_rest(memory, seen, written).await?;
    traffic.has_repaired |= before.is_some_and(|before| before.has_repaired);
    // What was live before this pass is kept as it is already.
    let kept = if was_live { Ok(()) } else { leads.keep(&traffic).await };
    Ok((traffic, kept))
}

/// What the status remembers of slots of the tenant's own; of a release that ran for all tenants there were none.
pub fn remembered(installation: &PluginInstallation, facts: &Facts) -> Memory {
    let memory = remember::memory(&installation.status.clone().unwrap_or_default());
    let live = memory.live.and_then(|live| memory.revisions.of(live).as_ref());
    let release = live.and_then(|live| facts.release(&live.version));
    // Of a release that is not there any more it is known by who can be scaled.
    let has_pods_of_its_own = installation
        .status
        .as_ref()
        .is_some_and(|status| status.selector.is_some());
    let was_shared = release.map_or(!has_pods_of_its_own, |plugin| {
        plugin.spec.runtime.sharing == Sharing::Shared
    });
    if live.is_some() && was_shared {
        Memory::default()
    } else {
        memory
    }
}
