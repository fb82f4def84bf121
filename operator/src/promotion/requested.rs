//! What a person asks for is done in one write. The request stands in the object, and is the intent: a pass that was ended
//! after the write leaves it there, and whoever finds the Service turned as it was asked for knows what has happened.

use jiff::Timestamp;
use plexica_crds::plugin_installation::{Cause, Fault, Step};

use super::{
    action::{Action, Decision},
    decide::{Pass, decide},
    facts::{Observed, Requests, Selector, Wanted},
    memory::Memory,
};

/// The switch that is asked for, if it can be done in this moment, with what is to be remembered of it afterwards. Unlike a
/// switch of the operator's own, nothing has to be written down before it.
pub fn requested_switch(
    observed: &Observed,
    wanted: &Wanted,
    requests: &Requests,
    memory: &Memory,
    now: Timestamp,
) -> Option<Decision> {
    let intent = decide(observed, wanted, requests, memory, now);
    let is_switching = |memory: &Memory| {
        let transition = memory.transition.as_ref();
        transition.is_some_and(|transition| transition.step == Step::Switching)
    };
    let is_asked_for = intent.action == Action::Remember && intent.memory.carried_out != memory.carried_out;
    if !is_asked_for || is_switching(memory) || !is_switching(&intent.memory) {
        return None;
    }
    let switch = decide(observed, wanted, &Requests::default(), &intent.memory, now);
    matches!(switch.action, Action::Switch { .. }).then_some(switch)
}

impl Pass<'_> {
    /// A pass did what is asked for, and was ended before it could write that down: the Service was turned, mark and selector
    /// by one write, to the slot that is asked for.
    pub fn requested_switch_was_not_written_down(&self) -> Option<Decision> {
        let (mark, live) = (self.observed.mark?, self.memory.live?);
        let is_turned = mark != live && self.observed.selector == Selector::Slot(mark);
        let transition = self.memory.transition.as_ref().filter(|_| is_turned)?;
        if transition.is_before_switch() {
            let asked = self.requests.promote.as_ref().filter(|_| transition.to == mark)?;
            let mut decision = self.at_step(transition, Step::Switching, |_| None);
            decision.memory.carried_out.promote = Some(asked.clone());
            return Some(decision);
        }
        let stood_by = matches!(
            transition.step,
            Step::Proving | Step::MovingConnections | Step::StandingBy
        );
        let asked = self.requests.rollback.as_ref()?;
        if !stood_by || transition.is_rollback() || transition.from != Some(mark) {
            return None;
        }
        let mut decision = self.go_back(Cause::RollbackRequested, Fault::RolledBackByRequest)?;
        decision.memory.carried_out.rollback = Some(asked.clone());
        Some(decision)
    }
}
