//! A candidate on its way to being live: deployed, ready for long enough, and released.

use jiff::Timestamp;
use plexica_crds::{
    names::Slot,
    plugin_installation::{Cause, Fault, Step, TransitionResult, conditions::Reason},
};

use super::{
    action::{Decision, Shape},
    decide::{Pass, is_shaped, later},
    facts::{Deployed, Hold},
    memory::{Memory, Transition},
};

impl Pass<'_> {
    /// What was rejected is tried again.
    pub fn retry_is_asked_for(&self) -> Option<Decision> {
        let asked = self.requests.retry.as_ref()?;
        let mut memory = self.memory.clone();
        memory.rejected.clear();
        memory.carried_out.retry = Some(asked.clone());
        Some(Decision::remember(memory))
    }

    /// Something else is wanted, or what is live already, or it was rejected: the candidate makes way.
    pub fn candidate_is_no_longer_wanted(&self) -> Option<Decision> {
        let transition = self.transition(|step| step < Step::Switching)?;
        (transition.revision != self.wanted.revision || self.has_no_candidate()).then(|| {
            let mut memory = self.memory.clone();
            memory.ended(transition, TransitionResult::Superseded, self.now);
            make_way(&mut memory, transition, self.now);
            // What was asked for was this one's promotion.
            if let Some(asked) = &self.requests.promote {
                memory.carried_out.promote = Some(asked.clone());
            }
            Decision::remember(memory)
        })
    }

    /// The way of a candidate, up to the intent to switch.
    pub fn candidate_is_on_its_way(&self) -> Option<Decision> {
        if self.has_no_candidate() {
            return self.promotion_is_for_nothing();
        }
        match &self.memory.transition {
            Some(transition) if transition.is_before_switch() => self.go_on(transition),
            // First nobody is to speak to what the candidate would take the place of.
            Some(transition) if transition.step < Step::StandingBy => None,
            _ => self.begin(),
        }
    }

    /// Whether what is wanted is live or was rejected.
    fn has_no_candidate(&self) -> bool {
        let live = self.live_revision();
        live.is_none_or(|live| *live == self.wanted.revision) || self.memory.rejection(&self.wanted.revision).is_some()
    }

    /// It is carried out by doing nothing, so that it does not promote what comes later.
    fn promotion_is_for_nothing(&self) -> Option<Decision> {
        let asked = self.requests.promote.as_ref()?;
        let mut memory = self.memory.clone();
        memory.carried_out.promote = Some(asked.clone());
        Some(Decision::remember(memory))
    }

    fn begin(&self) -> Option<Decision> {
        let live = self.memory.live?;
        let to = live.other();
        let is_held = !self.wanted.may_begin || self.wanted.held_by_others.is_some() || self.is_waited_for();
        if self.is_reached(to) || self.is_only_hope() || is_held {
            return None;
        }
        let same_version = |revision: &super::Revision| revision.version == self.wanted.revision.version;
        let cause = match self.live_revision() {
            Some(revision) if same_version(revision) => Cause::NewConfiguration,
            _ => Cause::NewVersion,
        };
        let mut memory = self.memory.clone();
        memory.transition = Some(Transition {
            id: id(self.now.as_millisecond(), to),
            from: Some(live),
            to,
            revision: self.wanted.revision.clone(),
            cause,
            step: Step::Deploying,
            started_at: self.now,
            deadline: Some(self.after(self.wanted.policy.progress_deadline)),
        });
        Some(Decision::remember(memory))
    }

    /// What is live has no ready pod, and what stands by has: no candidate takes its place.
    pub fn is_only_hope(&self) -> bool {
        let stands_by = matches!(self.blocked(), None | Some(Reason::AwaitingOthers));
        stands_by && self.has_ready_standby() && !self.can_do_without()
    }

    fn has_ready_standby(&self) -> bool {
        let former = self.memory.transition.as_ref().and_then(|transition| transition.from);
        former
            .and_then(|former| self.deployed(former))
            .is_some_and(|standby| standby.ready > 0)
    }

    /// The candidate has not taken its place yet, and what is live has failed meanwhile: it stands by again.
    fn is_needed_as_standby(&self, deployed: &Deployed) -> bool {
        let has_served = deployed.recycled.is_some() && self.memory.rejection(&deployed.revision).is_none();
        has_served && deployed.ready > 0 && !self.can_do_without()
    }

    fn go_on(&self, transition: &Transition) -> Option<Decision> {
        let slot = transition.to;
        // Somebody led requests to it; that is set right first.
        if self.is_reached(slot) {
            return None;
        }
        let deployed = self.deployed(slot);
        // What stands by with this revision already needs no new pods.
        let same = deployed.filter(|deployed| deployed.revision == transition.revision);
        if same.is_none() && deployed.is_some_and(|deployed| self.is_needed_as_standby(deployed)) {
            return Some(self.stands_by_again(transition));
        }
        let shape = Shape {
            revision: transition.revision.clone(),
            size: self.wanted.size,
            recycled: same.and_then(|same| same.recycled.clone()),
            rejected: false,
        };
        let Some(deployed) = deployed.filter(|deployed| is_shaped(deployed, &shape)) else {
            // Pods that are made for it now have as long as those before them.
            let mut decision = self.reshape(slot, shape);
            decision.memory.transition = Some(Transition {
                deadline: Some(self.after(self.wanted.policy.progress_deadline)),
                ..transition.clone()
            });
            return Some(decision);
        };
        if let Some(renewed) = self.asked_anew(transition, deployed) {
            return Some(self.at_step(transition, transition.step, |_| Some(renewed)));
        }
        match deployed.ready_since {
            None => {
                let fault = if deployed.is_unanswered {
                    Fault::ProbeFailed
                } else {
                    Fault::ProgressDeadlineExceeded
                };
                self.is_overdue(transition, fault)
                    .or_else(|| self.has_flapped(transition))
            }
            Some(_) => self.is_ready(transition, deployed),
        }
    }

    /// Its probe is asked anew, since the operator was restarted: what was answered before is not known, and is no fault of it.
    /// It gets the whole time again.
    fn asked_anew(&self, transition: &Transition, deployed: &Deployed) -> Option<Timestamp> {
        let renewed = later(deployed.asked_since?, self.wanted.policy.progress_deadline);
        (transition.deadline? < renewed).then_some(renewed)
    }

    fn stands_by_again(&self, transition: &Transition) -> Decision {
        let mut memory = self.memory.clone();
        memory.transition = transition.from.and_then(|live| {
            Some(Transition {
                from: Some(transition.to),
                to: live,
                revision: self.live_revision().cloned()?,
                step: Step::StandingBy,
                deadline: Some(self.after(self.wanted.policy.rollback_window)),
                ..transition.clone()
            })
        });
        Decision::remember(memory)
    }

    /// By its deadline it has to be ready; from then on it only has to stay so.
    fn is_overdue(&self, transition: &Transition, fault: Fault) -> Option<Decision> {
        let deadline = transition.deadline.filter(|deadline| *deadline <= self.now);
        deadline.map(|_| {
            let mut memory = self.memory.clone();
            memory.reject(transition.revision.clone(), fault, self.now);
            memory.ended(transition, TransitionResult::Rejected, self.now);
            make_way(&mut memory, transition, self.now);
            Decision::remember(memory)
        })
    }

    /// It was ready, and is no more: the soak begins anew. One that had soaked gets a new deadline.
    fn has_flapped(&self, transition: &Transition) -> Option<Decision> {
        let had_soaked = transition.step == Step::AwaitingPromotion;
        (transition.step != Step::Deploying).then(|| {
            let renewed = self.after(self.wanted.policy.progress_deadline);
            self.at_step(transition, Step::Deploying, |deadline| {
                if had_soaked { Some(renewed) } else { deadline }
            })
        })
    }

    fn is_ready(&self, transition: &Transition, deployed: &Deployed) -> Option<Decision> {
        let since = deployed.ready_since?;
        let has_soaked = later(since, self.wanted.policy.promotion_delay) <= self.now;
        let asked = self.requests.promote.as_ref();
        if !has_soaked && asked.is_none() {
            let was_late = transition.deadline.is_some_and(|deadline| deadline < since);
            let overdue = was_late.then(|| self.is_overdue(transition, Fault::ProgressDeadlineExceeded));
            return overdue.flatten().or_else(|| {
                let renewed = self.after(self.wanted.policy.progress_deadline);
                let soaks = |deadline: Option<Timestamp>| deadline.or(Some(renewed));
                (transition.step != Step::Soaking).then(|| self.at_step(transition, Step::Soaking, soaks))
            });
        }
        if self.wanted.held_back == Some(Hold::Unknown) {
            let soaks = transition.step == Step::Deploying;
            return soaks.then(|| self.at_step(transition, Step::Soaking, |_| None));
        }
        if !self.is_released() || self.wanted.held_back.is_some() {
            let waits = transition.step != Step::AwaitingPromotion;
            return waits.then(|| self.at_step(transition, Step::AwaitingPromotion, |_| None));
        }
        let mut decision = self.at_step(transition, Step::Switching, |_| None);
        if let Some(asked) = asked {
            decision.memory.carried_out.promote = Some(asked.clone());
        }
        Some(decision)
    }

    /// A candidate needs nobody's consent, or somebody has given it.
    pub fn is_released(&self) -> bool {
        self.wanted.policy.auto || self.requests.promote.is_some()
    }

    pub fn at_step(
        &self,
        transition: &Transition,
        step: Step,
        deadline: impl Fn(Option<Timestamp>) -> Option<Timestamp>,
    ) -> Decision {
        let mut memory = self.memory.clone();
        memory.transition = Some(Transition {
            step,
            deadline: deadline(transition.deadline),
            ..transition.clone()
        });
        Decision::remember(memory)
    }
}

/// Names a transition: a slot begins at most one in a millisecond.
pub(super) fn id(milliseconds: i64, to: Slot) -> String {
    format!("{milliseconds}-{}", to.as_ref())
}

/// The candidate's slot is emptied.
pub(super) fn make_way(memory: &mut Memory, transition: &Transition, now: Timestamp) {
    memory.transition = transition.from.map(|live| Transition {
        from: Some(transition.to),
        to: live,
        step: Step::Draining,
        deadline: Some(now),
        ..transition.clone()
    });
}
