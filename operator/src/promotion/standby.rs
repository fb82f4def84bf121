//! The slot that was live before: its pods are replaced, stand by, and are drained.

use std::time::Duration;

use plexica_crds::{
    names::Slot,
    plugin_installation::{Cause, Step, conditions::Reason},
};

use super::{
    action::{Decision, Shape},
    candidate::id,
    decide::{Pass, is_shaped},
    facts::{Deployed, Follows},
    memory::Transition,
};

/// A slot is emptied in this many steps over `connectionDrain`, so that clients with kept connections do not come all at
/// once.
pub(super) const DRAIN_STEPS: u32 = 4;

impl Pass<'_> {
    /// What is to become of the former slot.
    pub fn former_slot_stands_by(&self) -> Option<Decision> {
        let transition = self.transition(|step| step > Step::Proving)?;
        let former = transition.from?;
        if self.is_reached(former) {
            return None;
        }
        match transition.step {
            Step::MovingConnections => self.move_connections(transition, former),
            Step::StandingBy => self.stand_by(transition, former),
            Step::Draining => self.drain(transition, former),
            Step::Deploying | Step::Soaking | Step::AwaitingPromotion | Step::Switching | Step::Proving => None,
        }
    }

    /// A client that keeps its connection speaks to a pod that served; each is replaced by one that never did, and ends
    /// its connections as it goes. The slot stays ready all the while.
    fn move_connections(&self, transition: &Transition, former: Slot) -> Option<Decision> {
        let Some(standby) = self.standby(transition, former) else {
            return Some(self.former_at(transition, Step::StandingBy, Duration::ZERO));
        };
        let shape = Shape {
            recycled: Some(transition.id.clone()),
            ..standby
        };
        let Some(deployed) = self.deployed(former).filter(|deployed| is_shaped(deployed, &shape)) else {
            return Some(self.reshape(former, shape));
        };
        let is_over = transition.deadline.is_none_or(|deadline| deadline <= self.now);
        (deployed.is_settled && deployed.ready_since.is_some() || is_over)
            .then(|| self.former_at(transition, Step::StandingBy, self.wanted.policy.rollback_window))
    }

    /// What was taken away within the window, by somebody or while the installation was off, is made again.
    fn stand_by(&self, transition: &Transition, former: Slot) -> Option<Decision> {
        let deployed = self.deployed(former);
        let is_open = transition.deadline.is_some_and(|deadline| self.now < deadline);
        let is_needed = !self.can_do_without() && deployed.is_some_and(|deployed| deployed.size > 0);
        let is_kept = is_open || is_needed || self.is_waited_for();
        let Some(shape) = self.standby(transition, former).filter(|_| is_kept) else {
            return Some(self.former_at(transition, Step::Draining, Duration::ZERO));
        };
        let is_made = deployed.is_some_and(|deployed| is_shaped(deployed, &shape));
        (!is_made).then(|| self.reshape(former, shape))
    }

    /// Step by step to zero.
    fn drain(&self, transition: &Transition, former: Slot) -> Option<Decision> {
        let Some(deployed) = self.deployed(former) else {
            return Some(self.end());
        };
        let rejected = self.memory.rejection(&deployed.revision).is_some();
        if deployed.size == 0 {
            if deployed.rejected != rejected {
                let shape = Shape {
                    rejected,
                    ..of_size(deployed, 0)
                };
                return Some(self.reshape(former, shape));
            }
            return (deployed.pods == 0).then(|| self.end());
        }
        let is_due = transition.deadline.is_none_or(|deadline| deadline <= self.now);
        if !is_due || !self.can_do_without() {
            return None;
        }
        let step = u32::try_from(self.wanted.size.max(deployed.size))
            .unwrap_or(1)
            .div_ceil(DRAIN_STEPS);
        let shape = Shape {
            rejected,
            ..of_size(deployed, deployed.size.saturating_sub_unsigned(step).max(0))
        };
        let mut decision = self.reshape(former, shape);
        if let Some(transition) = &mut decision.memory.transition {
            transition.deadline = Some(self.after(self.wanted.policy.connection_drain / DRAIN_STEPS));
        }
        Some(decision)
    }

    /// It is to be gone back to and waits for others to go back first, or may have to be, since what is live of others does not go
    /// with what is live here.
    pub fn is_waited_for(&self) -> bool {
        self.blocked() == Some(Reason::AwaitingOthers) || self.wanted.follows != Follows::Nobody
    }

    /// A standby is not taken away while what is live has no ready pod.
    pub fn can_do_without(&self) -> bool {
        let live = self.memory.live.and_then(|live| self.deployed(live));
        live.is_some_and(|live| live.ready > 0)
    }

    /// Nothing is under way, yet a slot beside the live one runs: the status was lost, or the operator before it wrote down what it had
    /// begun. What has served, and was not rejected, may be a standby, and gets its window again. All else goes: nobody has seen it
    /// serve.
    pub fn slot_was_forgotten(&self) -> Option<Decision> {
        let live = self.memory.live?;
        let other = live.other();
        let deployed = self.deployed(other).filter(|deployed| deployed.size > 0)?;
        if self.memory.transition.is_some() {
            return None;
        }
        let has_served = deployed.recycled.is_some();
        let goes = !has_served || deployed.rejected || self.memory.rejection(&deployed.revision).is_some();
        let live_revision = self.live_revision().cloned()?;
        let mut memory = self.memory.clone();
        memory.transition = Some(Transition {
            id: id(self.now.as_millisecond(), live),
            from: Some(other),
            to: live,
            revision: live_revision,
            cause: Cause::NewVersion,
            step: if goes { Step::Draining } else { Step::StandingBy },
            started_at: self.now,
            deadline: Some(if goes {
                self.now
            } else {
                self.after(self.wanted.policy.rollback_window)
            }),
        });
        Some(Decision::remember(memory))
    }

    /// What stands by: what is deployed, or what was. Pods that are made again have never served. `None` if nobody knows what
    /// it was.
    fn standby(&self, transition: &Transition, former: Slot) -> Option<Shape> {
        let size = self.wanted.size;
        let made_again = || {
            Some(Shape {
                revision: self.memory.revisions.of(former).clone()?,
                size,
                recycled: Some(transition.id.clone()),
                rejected: false,
            })
        };
        let deployed = self.deployed(former).map(|deployed| of_size(deployed, size));
        deployed.or_else(made_again)
    }

    fn former_at(&self, transition: &Transition, step: Step, period: Duration) -> Decision {
        let mut memory = self.memory.clone();
        memory.transition = Some(Transition {
            step,
            deadline: Some(self.after(period)),
            ..transition.clone()
        });
        Decision::remember(memory)
    }

    fn end(&self) -> Decision {
        let mut memory = self.memory.clone();
        memory.transition = None;
        Decision::remember(memory)
    }
}

/// What a slot is, of another size.
fn of_size(deployed: &Deployed, size: i32) -> Shape {
    Shape {
        revision: deployed.revision.clone(),
        size,
        recycled: deployed.recycled.clone(),
        rejected: deployed.rejected,
    }
}
