//! What has to be remembered between two passes: it is kept in the object's status. All of it that matters for safety
//! can be found again from Service and Deployments, should the status be lost.

use jiff::Timestamp;
use plexica_crds::{
    names::Slot,
    plugin_installation::{Cause, Fault, Step, TransitionResult},
};

use super::facts::{PerSlot, Revision};

/// How many endings and rejections are remembered.
const REMEMBERED: usize = 10;

/// What is remembered of an installation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Memory {
    /// The slot that is live; `None` until one has served for the first time.
    pub live: Option<Slot>,
    /// What each slot was told to run.
    pub revisions: PerSlot<Option<Revision>>,
    /// What is under way.
    pub transition: Option<Transition>,
    /// Revisions that are not tried again.
    pub rejected: Vec<Rejection>,
    /// What has ended, the newest first.
    pub history: Vec<Ended>,
    /// Values of the request annotations that were carried out.
    pub carried_out: CarriedOut,
}

impl Memory {
    /// What was wanted last, as far as it came: what a promotion is under way to, also when its one write is due or was done
    /// and not seen yet; else what is live.
    pub fn wanted_last(&self) -> Option<&Revision> {
        let under_way = self.transition.as_ref();
        let promoted = under_way.filter(|under_way| under_way.step <= Step::Switching && !under_way.is_rollback());
        let live = self.live.and_then(|live| self.revisions.of(live).as_ref());
        promoted.map(|promoted| &promoted.revision).or(live)
    }
}

/// A revision on its way to GREEN, and the former one on its way out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Transition {
    /// Names it.
    pub id: String,
    /// The slot that was or is live before the switch; `None` at nobody's.
    pub from: Option<Slot>,
    /// The slot that is to be live.
    pub to: Slot,
    /// What is to be live there.
    pub revision: Revision,
    /// Why.
    pub cause: Cause,
    /// How far.
    pub step: Step,
    /// When it was begun.
    pub started_at: Timestamp,
    /// When the step ends, or fails.
    pub deadline: Option<Timestamp>,
}

/// Whether a transition at this step goes on after all pods were taken away for a while.
pub fn outlasts_a_stop(step: Step) -> bool {
    step >= Step::Switching
}

/// Whether a transition at this step is one of those of which a tenant has a few at a time. What waits without a deadline, for a
/// person or for the others that go live with it, is not: those others could not come.
pub fn is_on_its_way(step: Step) -> bool {
    match step {
        Step::Deploying | Step::Soaking | Step::Switching | Step::Proving => true,
        Step::AwaitingPromotion | Step::MovingConnections | Step::StandingBy | Step::Draining => false,
    }
}

impl Transition {
    /// Whether nothing has moved yet.
    pub fn is_before_switch(&self) -> bool {
        self.step < Step::Switching
    }

    /// Whether it leads back.
    pub fn is_rollback(&self) -> bool {
        match self.cause {
            Cause::RollbackRequested | Cause::AutomaticRollback | Cause::OthersWentBack => true,
            Cause::FirstInstallation | Cause::NewVersion | Cause::NewConfiguration => false,
        }
    }
}

/// A revision that is not tried again, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rejection {
    /// What.
    pub revision: Revision,
    /// Why.
    pub why: Fault,
    /// When.
    pub at: Timestamp,
}

/// A transition that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ended {
    /// Its id.
    pub id: String,
    /// The version that was live before.
    pub from: Option<String>,
    /// The version that was to be live.
    pub to: String,
    /// Why it was begun.
    pub cause: Cause,
    /// How it ended.
    pub result: TransitionResult,
    /// When it was begun.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
}

/// Values of the request annotations that were carried out last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CarriedOut {
    /// `plexica.io/promote`.
    pub promote: Option<String>,
    /// `plexica.io/rollback`.
    pub rollback: Option<String>,
    /// `plexica.io/retry`.
    pub retry: Option<String>,
}

impl Memory {
    /// What is left of it in the status of an installation that is off: all pods are taken away. A candidate is given up, and comes anew when pods may run again. What is past its switch goes on
    /// then: its window is open until its deadline, whatever runs.
    #[cfg(test)]
    pub fn stop(&mut self) {
        self.transition = self.transition.take().filter(|moving| outlasts_a_stop(moving.step));
        if self.transition.is_none()
            && let Some(live) = self.live
        {
            *self.revisions.of_mut(live.other()) = None;
        }
    }

    /// Why a revision is not tried again, if it was rejected.
    pub fn rejection(&self, revision: &Revision) -> Option<&Rejection> {
        self.rejected.iter().find(|rejection| rejection.revision == *revision)
    }

    /// Remembers that a revision is not to be tried again.
    pub fn reject(&mut self, revision: Revision, why: Fault, at: Timestamp) {
        self.rejected.retain(|rejection| rejection.revision != revision);
        self.rejected.insert(0, Rejection { revision, why, at });
        self.rejected.truncate(REMEMBERED);
    }

    /// Remembers how a transition ended.
    pub fn ended(&mut self, transition: &Transition, result: TransitionResult, at: Timestamp) {
        let version = |slot: Slot| {
            self.revisions
                .of(slot)
                .as_ref()
                .map(|revision| revision.version.clone())
        };
        self.history.retain(|ended| ended.id != transition.id);
        self.history.insert(
            0,
            Ended {
                id: transition.id.clone(),
                from: transition.from.and_then(version),
                to: transition.revision.version.clone(),
                cause: transition.cause,
                result,
                started_at: transition.started_at,
                finished_at: at,
            },
        );
        self.history.truncate(REMEMBERED);
    }
}
