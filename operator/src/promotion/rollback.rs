//! The way back: a switch with the roles swapped. It asks nothing of what it leaves.

use jiff::Timestamp;
use plexica_crds::plugin_installation::{Cause, Fault, Step, TransitionResult, conditions::Reason};

use super::{
    action::Decision,
    candidate::{id, make_way},
    decide::{Pass, later},
    facts::{Follows, WayBack},
    memory::Transition,
};

impl Pass<'_> {
    /// A person asks: for the former revision, or for an end of the candidate.
    pub fn rollback_is_asked_for(&self) -> Option<Decision> {
        let asked = self.requests.rollback.as_ref()?;
        if self.transition(|step| step == Step::Switching).is_some() {
            return None;
        }
        let mut decision = match self.transition(|step| step < Step::Switching) {
            Some(candidate) => self.give_up(candidate),
            None => match self.blocked() {
                None => self.go_back(Cause::RollbackRequested, Fault::RolledBackByRequest)?,
                // It is asked for until the standby can serve, and until those that need what is live have gone back.
                Some(Reason::StandbyNotReady | Reason::AwaitingOthers) => return None,
                Some(_) => Decision::remember(self.memory.clone()),
            },
        };
        decision.memory.carried_out.rollback = Some(asked.clone());
        Some(decision)
    }

    /// What went live has had no ready pod for as long as a candidate has to have all of them, and the former one has.
    pub fn live_revision_failed(&self) -> Option<Decision> {
        let has_failed = self.gives_up_at().is_some_and(|at| at <= self.now);
        (has_failed && self.blocked().is_none())
            .then(|| self.go_back(Cause::AutomaticRollback, Fault::FailedAfterPromotion))?
    }

    /// Another plugin of the tenant goes back, and what is live here goes back with it.
    pub fn others_go_back(&self) -> Option<Decision> {
        let is_asked = matches!(self.wanted.follows, Follows::Back(_)) && self.blocked().is_none();
        is_asked.then(|| self.go_back(Cause::OthersWentBack, Fault::RolledBackWithOthers))?
    }

    /// Whether it is to go back as soon as it can.
    fn is_due(&self) -> bool {
        let has_failed = || self.gives_up_at().is_some_and(|at| at <= self.now);
        self.requests.rollback.is_some() || matches!(self.wanted.follows, Follows::Back(_)) || has_failed()
    }

    /// When it is gone back from what is live by itself, if no pod of it is ready until then and there is a way back; `None` if it
    /// is not. A pod that was replaced, a node that was drained and a database that fails over are no reason: they pass.
    pub fn gives_up_at(&self) -> Option<Timestamp> {
        let policy = &self.wanted.policy;
        let has_left = self.transition(|step| step > Step::Switching)?;
        let live = self.deployed(has_left.to)?;
        let since = live.unready_since.filter(|_| live.ready == 0 && policy.auto_rollback)?;
        Some(later(since, policy.promotion_delay))
    }

    /// Why there is no way back, by the first check that fails; `None` if there is one.
    pub fn blocked(&self) -> Option<Reason> {
        let mut history = self.memory.history.iter();
        let has_former = history.any(|ended| ended.result == TransitionResult::Promoted);
        let no_more = |why: Reason| Some(if has_former { why } else { Reason::NoFormerVersion });
        let over = if self.wanted.contracted {
            Reason::Contracted
        } else {
            Reason::WindowClosed
        };
        let Some(transition) = &self.memory.transition else {
            return no_more(over);
        };
        let Some(former) = transition.from else {
            return Some(Reason::NoFormerVersion);
        };
        match transition.step {
            Step::Switching => return Some(Reason::Switching),
            Step::Deploying | Step::Soaking | Step::AwaitingPromotion => return no_more(Reason::SlotTaken),
            _ if transition.is_rollback() => return Some(Reason::NoFormerVersion),
            // It may be a candidate that is drained, and nothing was live before.
            Step::Draining => return no_more(over),
            Step::Proving | Step::MovingConnections | Step::StandingBy => {}
        }
        if self.wanted.contracted {
            return Some(Reason::Contracted);
        }
        let is_ready = self.deployed(former).is_some_and(|standby| standby.ready > 0);
        match self.wanted.way_back {
            WayBack::Closed(_) => Some(Reason::OthersStay),
            WayBack::NotReady(_) => Some(Reason::StandbyNotReady),
            WayBack::Alone | WayBack::Before(_) | WayBack::After(_) if !is_ready => Some(Reason::StandbyNotReady),
            // Others see that, and go back.
            WayBack::After(_) if self.is_due() => Some(Reason::AwaitingOthers),
            WayBack::Alone | WayBack::Before(_) | WayBack::After(_) => None,
        }
    }

    fn give_up(&self, candidate: &Transition) -> Decision {
        let mut memory = self.memory.clone();
        memory.reject(candidate.revision.clone(), Fault::RolledBackByRequest, self.now);
        memory.ended(candidate, TransitionResult::Rejected, self.now);
        make_way(&mut memory, candidate, self.now);
        Decision::remember(memory)
    }

    pub fn go_back(&self, cause: Cause, why: Fault) -> Option<Decision> {
        let live = self.memory.live?;
        let to = live.other();
        let mut memory = self.memory.clone();
        if let Some(left) = self.live_revision() {
            memory.reject(left.clone(), why, self.now);
        }
        memory.transition = Some(Transition {
            id: id(self.now.as_millisecond(), to),
            from: Some(live),
            to,
            revision: self.deployed(to)?.revision.clone(),
            cause,
            step: Step::Switching,
            started_at: self.now,
            deadline: None,
        });
        Some(Decision::remember(memory))
    }
}
