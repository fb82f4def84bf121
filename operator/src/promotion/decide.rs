//! The rules by which a pass decides, in order.

use std::time::Duration;

use jiff::Timestamp;
use plexica_crds::{
    names::Slot,
    plugin_installation::{Fault, Step, TransitionResult},
};

use super::{
    action::{Action, Decision, Shape},
    facts::{Deployed, Hold, Observed, Requests, Revision, Selector, Wanted},
    memory::{Memory, Transition},
};

/// What a pass sees and knows.
pub(super) struct Pass<'a> {
    pub observed: &'a Observed,
    pub wanted: &'a Wanted,
    pub requests: &'a Requests,
    pub memory: &'a Memory,
    pub now: Timestamp,
}

/// A rule decides, or leaves it to the next.
type Rule = fn(&Pass<'_>) -> Option<Decision>;

/// The first that decides does. Where requests go comes before everything else; what is live before what is to be.
const RULES: [Rule; 16] = [
    |pass| pass.nothing_serves_yet(),
    |pass| pass.requested_switch_was_not_written_down(),
    |pass| pass.live_slot_was_forgotten(),
    |pass| pass.switch_is_seen(),
    |pass| pass.live_service_was_changed(),
    |pass| pass.rollback_is_asked_for(),
    |pass| pass.live_revision_failed(),
    |pass| pass.others_go_back(),
    |pass| pass.switch_is_due(),
    |pass| pass.live_slot_is_not_as_wanted(),
    |pass| pass.switch_is_to_be_proven(),
    |pass| pass.retry_is_asked_for(),
    |pass| pass.candidate_is_no_longer_wanted(),
    |pass| pass.candidate_is_on_its_way(),
    |pass| pass.former_slot_stands_by(),
    |pass| pass.slot_was_forgotten(),
];

/// Decides what a pass does. Called again with what it led to, it comes to rest: then nothing is to be done, and nothing
/// new to be remembered.
pub fn decide(observed: &Observed, wanted: &Wanted, requests: &Requests, memory: &Memory, now: Timestamp) -> Decision {
    let pass = Pass {
        observed,
        wanted,
        requests,
        memory,
        now,
    };
    RULES
        .iter()
        .find_map(|rule| rule(&pass))
        .unwrap_or_else(|| Decision::remember(memory.clone()))
}

impl Pass<'_> {
    /// The first installation: nobody can lose anything yet, so it needs no candidate. A Service that once led to a ready
    /// pod bears a mark.
    fn nothing_serves_yet(&self) -> Option<Decision> {
        let first = self.observed.slots.a.as_ref();
        let has_served = self.memory.live.is_some() || self.observed.mark.is_some() || self.observed.slots.b.is_some();
        if has_served || first.is_some_and(|deployed| deployed.ready > 0) {
            return None;
        }
        let shape = Shape {
            revision: self.wanted.revision.clone(),
            size: self.wanted.size,
            recycled: None,
            rejected: false,
        };
        let is_made = first.is_some_and(|deployed| is_shaped(deployed, &shape));
        if is_made && self.observed.selector == Selector::Slot(Slot::A) {
            return Some(Decision::remember(self.memory.clone()));
        }
        let mut memory = self.memory.clone();
        memory.revisions.a = Some(shape.revision.clone());
        Some(Decision {
            action: Action::Install { slot: Slot::A, shape },
            memory,
        })
    }

    /// The slot that is written down as live is not the one that is remembered: the first installation became ready, or
    /// the status was lost or is an old one.
    fn live_slot_was_forgotten(&self) -> Option<Decision> {
        let live = self.recorded();
        let is_announced = self.transition(|step| step == Step::Switching).is_some();
        if self.memory.live == Some(live) || self.memory.live.is_some() && is_announced {
            return None;
        }
        let mut memory = self.memory.clone();
        memory.live = Some(live);
        memory.transition = None;
        for slot in [Slot::A, Slot::B] {
            let Some(deployed) = self.deployed(slot) else { continue };
            *memory.revisions.of_mut(slot) = Some(deployed.revision.clone());
            if deployed.rejected && memory.rejection(&deployed.revision).is_none() {
                memory.reject(deployed.revision.clone(), Fault::RolledBackByRequest, self.now);
            }
        }
        let action = if self.is_led_to(live) {
            Action::Remember
        } else {
            Action::Repair(live)
        };
        Some(Decision { action, memory })
    }

    /// The one write has happened.
    fn switch_is_seen(&self) -> Option<Decision> {
        let transition = self.transition(|step| step == Step::Switching)?;
        (self.recorded() == transition.to && self.memory.live != Some(transition.to)).then(|| {
            let mut memory = self.memory.clone();
            memory.live = Some(transition.to);
            *memory.revisions.of_mut(transition.to) = Some(transition.revision.clone());
            memory.transition = Some(Transition {
                step: Step::Proving,
                deadline: Some(self.after(self.wanted.policy.connection_drain)),
                ..transition.clone()
            });
            Decision::remember(memory)
        })
    }

    /// Whatever somebody did to the live Service: it leads to the recorded slot again. Never is it taken for consent.
    fn live_service_was_changed(&self) -> Option<Decision> {
        let live = self.recorded();
        (!self.is_led_to(live)).then(|| Decision {
            action: Action::Repair(live),
            memory: self.memory.clone(),
        })
    }

    /// The intent is recorded: nothing but the write is missing. Should the target have failed meanwhile, nothing moves,
    /// unless nothing else is ready either.
    fn switch_is_due(&self) -> Option<Decision> {
        let transition = self.transition(|step| step == Step::Switching)?;
        if !transition.is_rollback() && matches!(self.wanted.held_back, Some(Hold::ByOthers(_))) {
            return Some(self.waits_again(transition));
        }
        let target = self
            .deployed(transition.to)
            .filter(|target| target.revision == transition.revision);
        let can_serve = target.is_some_and(|target| {
            if transition.is_rollback() {
                target.ready > 0
            } else {
                target.ready_since.is_some()
            }
        });
        if can_serve {
            return Some(Decision {
                action: Action::Switch { to: transition.to },
                memory: self.memory.clone(),
            });
        }
        let mut memory = self.memory.clone();
        memory.transition = if transition.is_rollback() {
            // What goes on being live was not gone back from.
            let live = transition.from.and_then(|live| self.memory.revisions.of(live).clone());
            memory
                .rejected
                .retain(|rejection| Some(&rejection.revision) != live.as_ref());
            None
        } else {
            Some(Transition {
                step: Step::Deploying,
                deadline: Some(self.after(self.wanted.policy.progress_deadline)),
                ..transition.clone()
            })
        };
        Some(Decision::remember(memory))
    }

    /// Another plugin that was to follow is not prepared any more. What was asked for is asked for still.
    fn waits_again(&self, transition: &Transition) -> Decision {
        let mut decision = self.at_step(transition, Step::AwaitingPromotion, |_| None);
        decision.memory.carried_out.promote = None;
        decision
    }

    /// The live Deployment is there, with as many pods as are wanted, and never bears the mark of a rejection.
    fn live_slot_is_not_as_wanted(&self) -> Option<Decision> {
        let live = self.memory.live?;
        let deployed = self.deployed(live);
        let shape = Shape {
            // If nobody knows what was live, and nothing is left of it, what is wanted is the best there is.
            revision: self.live_revision().unwrap_or(&self.wanted.revision).clone(),
            size: self.wanted.size,
            recycled: deployed.and_then(|deployed| deployed.recycled.clone()),
            rejected: false,
        };
        (!deployed.is_some_and(|deployed| is_shaped(deployed, &shape))).then(|| self.reshape(live, shape))
    }

    /// After the switch: requests reach ready pods of the new slot, and no others.
    fn switch_is_to_be_proven(&self) -> Option<Decision> {
        let transition = self.transition(|step| step == Step::Proving)?;
        let from = transition.from?;
        let is_proven =
            self.observed.endpoints.of(from).named == 0 && self.observed.endpoints.of(transition.to).ready > 0;
        if !is_proven {
            return None;
        }
        let mut memory = self.memory.clone();
        let (step, result, period) = if transition.is_rollback() {
            // What was gone back from does not stand by.
            (Step::Draining, TransitionResult::RolledBack, Duration::ZERO)
        } else {
            let drain = self.wanted.policy.connection_drain;
            (Step::MovingConnections, TransitionResult::Promoted, drain)
        };
        memory.ended(transition, result, self.now);
        memory.transition = Some(Transition {
            step,
            deadline: Some(self.after(period)),
            ..transition.clone()
        });
        Some(Decision::remember(memory))
    }

    /// The transition, at certain steps.
    pub fn transition(&self, at: impl Fn(Step) -> bool) -> Option<&Transition> {
        self.memory.transition.as_ref().filter(|transition| at(transition.step))
    }

    /// What is live, as it is remembered; if that was lost, as it is deployed.
    pub fn live_revision(&self) -> Option<&Revision> {
        let live = self.memory.live?;
        let deployed = self.deployed(live).map(|deployed| &deployed.revision);
        self.memory.revisions.of(live).as_ref().or(deployed)
    }

    /// What is deployed in a slot.
    pub fn deployed(&self, slot: Slot) -> Option<&Deployed> {
        self.observed.slots.of(slot).as_ref()
    }

    /// Whether the live Service leads to this slot, and is marked so.
    fn is_led_to(&self, slot: Slot) -> bool {
        self.observed.selector == Selector::Slot(slot) && self.observed.mark == Some(slot)
    }

    /// The slot that is live, by what is written down: the status, and the Service's mark, which moves with its selector.
    /// Where they differ and no switch is announced, the status is an old one if all of the Service agrees and leads to
    /// ready pods; else somebody changed the mark, or an announced switch has not happened.
    pub fn recorded(&self) -> Slot {
        let is_announced = |mark: Slot| {
            let switching = self.transition(|step| step == Step::Switching);
            // One write changes both.
            switching.is_some_and(|t| t.to == mark) && self.observed.selector != Selector::Slot(mark.other())
        };
        let serves = |mark| {
            let is_ready = self.deployed(mark).is_some_and(|deployed| deployed.ready > 0);
            is_ready && self.observed.selector == Selector::Slot(mark)
        };
        match (self.observed.mark, self.memory.live) {
            (Some(mark), Some(live)) if mark == live || is_announced(mark) || serves(mark) => mark,
            (_, Some(live)) => live,
            (Some(mark), None) => mark,
            (None, None) => self.most_likely(),
        }
    }

    /// Status and mark are lost, or not there yet: the slot that the Service leads to, if there is something, else one that
    /// serves and was not gone back from.
    fn most_likely(&self) -> Slot {
        if let Selector::Slot(slot) = self.observed.selector
            && self.deployed(slot).is_some()
        {
            return slot;
        }
        let serves = |slot: &Slot| {
            self.deployed(*slot)
                .is_some_and(|deployed| deployed.ready > 0 && !deployed.rejected)
        };
        [Slot::A, Slot::B].into_iter().find(serves).unwrap_or(Slot::A)
    }

    /// Whether requests may reach a slot: then it is neither made smaller nor given something else to run.
    pub fn is_reached(&self, slot: Slot) -> bool {
        self.recorded() == slot
            || self.observed.selector == Selector::Slot(slot)
            || self.observed.endpoints.of(slot).named > 0
    }

    /// A Deployment is made so, and remembered to be.
    pub fn reshape(&self, slot: Slot, shape: Shape) -> Decision {
        let mut memory = self.memory.clone();
        *memory.revisions.of_mut(slot) = Some(shape.revision.clone());
        Decision {
            action: Action::Reshape { slot, shape },
            memory,
        }
    }

    /// Now and this much later.
    pub fn after(&self, period: Duration) -> Timestamp {
        later(self.now, period)
    }
}

/// A moment after another; the end of time if there is none.
pub(super) fn later(from: Timestamp, period: Duration) -> Timestamp {
    from.checked_add(period).unwrap_or(Timestamp::MAX)
}

/// Whether a Deployment is what it is to be.
pub(super) fn is_shaped(deployed: &Deployed, shape: &Shape) -> bool {
    let Shape {
        revision,
        size,
        recycled,
        rejected,
    } = shape;
    deployed.revision == *revision
        && deployed.size == *size
        && deployed.recycled == *recycled
        && deployed.rejected == *rejected
}
