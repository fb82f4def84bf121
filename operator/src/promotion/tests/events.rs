//! Everything that may happen to the small world (`world`): passes of the machine, what follows them, faults, requests.

use plexica_crds::{names::Slot, plugin_installation::Step};

use super::{
    super::{
        Action, CarriedOut, Decision, Hold, Memory, PerSlot, Requests, Shape, Wanted, decide, memory::Transition,
        requested_switch,
    },
    search::check,
    world::{Place, Selected, World, now, number, revision},
};

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A pass of the machine.
    Pass,
    /// The first part of a pass, which does not know yet what is wanted, and makes no pods.
    GoOn,
    /// A pass that is killed after its write: what it would remember is lost.
    KilledPass,
    /// A pass that reads an older status; what it remembers is refused.
    StalePass,
    /// What is asked for is done in one write, beside the passes; one of them finds it, and remembers it.
    AtOnce,
    /// A pod becomes ready.
    Ready(Slot),
    /// The EndpointSlices follow the Service.
    Slices,
    /// The Gateway follows what is remembered as live.
    Route,
    /// Time passes.
    Tick,
    /// Fault: a pod is not ready any more.
    Flap(Slot),
    /// Fault: somebody changes the selector.
    Select(Option<Selected>),
    /// Fault: somebody deletes the live Service.
    DeleteService,
    /// Fault: somebody replaces the live Service by one that knows nothing of slots.
    ReplaceService,
    /// Fault: somebody changes the mark.
    Mark(Slot),
    /// Fault: somebody deletes a Deployment.
    DeleteDeployment(Slot),
    /// Fault: the status is emptied.
    LoseStatus,
    /// Fault: the installation is switched off, and on again: all pods are taken away.
    OffAndOn,
    /// Another revision is wanted.
    Want(u8),
    Promote,
    Rollback,
    Retry,
    /// The plugin that needed what is live has gone back.
    Release,
}

impl World {
    /// What the machine decides.
    pub fn decision(&self, memory: &Memory) -> Decision {
        decide(&self.observed(), &self.wanted(), &self.requests(), memory, now())
    }

    /// What is taken for wanted before that is known; `None` if nothing is live. A candidate that is not wanted any more is led on,
    /// and does not go live.
    fn wanted_before_it_is_known(&self) -> Option<Wanted> {
        let memory = &self.memory;
        memory.live?;
        let candidate = memory.transition.as_ref().filter(|moving| moving.is_before_switch());
        let is_wanted = candidate.is_some_and(|candidate| candidate.revision == self.wanted().revision);
        let wanted = self.wanted();
        Some(Wanted {
            may_begin: false,
            held_back: wanted.held_back.clone().or((!is_wanted).then_some(Hold::Unknown)),
            revision: memory.wanted_last()?.clone(),
            ..wanted
        })
    }

    /// Does what is done then. What it takes for wanted it takes all along.
    fn go_on(&mut self, wanted: &Wanted) -> Result<(), String> {
        while let Some(decision) = self.decision_before_it_is_known(wanted) {
            check(self, &self.memory, &decision)?;
            self.act(&decision.action);
            self.remember(decision.memory);
        }
        Ok(())
    }

    /// The next thing that is done then; `None` at rest.
    fn decision_before_it_is_known(&self, wanted: &Wanted) -> Option<Decision> {
        let memory = &self.memory;
        let has_candidate = memory.transition.as_ref().is_some_and(Transition::is_before_switch);
        let requests = Requests {
            promote: self.requests().promote.filter(|_| has_candidate),
            retry: None,
            ..self.requests()
        };
        let decision = decide(&self.observed(), wanted, &requests, memory, now());
        let is_at_rest = decision.action == Action::Remember && decision.memory == *memory;
        (!is_at_rest).then_some(decision)
    }

    /// Everything that can happen next.
    pub fn events(&self) -> Vec<Event> {
        let mut events = vec![
            Event::Pass,
            Event::GoOn,
            Event::AtOnce,
            Event::Slices,
            Event::Route,
            Event::Tick,
        ];
        for slot in [Slot::A, Slot::B] {
            events.push(Event::Ready(slot));
        }
        if self.left.faults > 0 {
            for slot in [Slot::A, Slot::B] {
                events.extend([
                    Event::Flap(slot),
                    Event::DeleteDeployment(slot),
                    Event::Mark(slot),
                    Event::Select(Some(Selected::Slot(slot))),
                ]);
            }
            events.extend([
                Event::KilledPass,
                Event::StalePass,
                Event::Select(Some(Selected::Foreign)),
                Event::DeleteService,
                Event::ReplaceService,
                Event::LoseStatus,
                Event::OffAndOn,
            ]);
        }
        if self.needed {
            events.push(Event::Release);
        }
        if self.left.wishes > 0 {
            events.extend([1, 2, 3].map(Event::Want));
            events.extend([Event::Promote, Event::Rollback, Event::Retry]);
        }
        events
    }

    /// The world after an event, or the rule that was broken; `None` if nothing changes.
    pub fn after(&self, event: Event) -> Option<Result<Self, String>> {
        let mut world = self.clone();
        match event {
            Event::Pass | Event::KilledPass | Event::StalePass => {
                let memory = if event == Event::StalePass {
                    &self.before
                } else {
                    &self.memory
                };
                let decision = self.decision(memory);
                // Before the one write it is made sure that the intent is the one that is recorded.
                let is_refused = matches!(decision.action, Action::Switch { .. }) && *memory != self.memory;
                if is_refused {
                    return None;
                }
                if let Err(rule) = check(self, memory, &decision) {
                    return Some(Err(rule));
                }
                world.act(&decision.action);
                if event == Event::Pass {
                    world.remember(decision.memory);
                } else {
                    world.left.faults -= 1;
                    if world.slots == self.slots && world.selector == self.selector && world.mark == self.mark {
                        return None;
                    }
                }
            }
            Event::GoOn => {
                let wanted = self.wanted_before_it_is_known()?;
                if let Err(rule) = world.go_on(&wanted) {
                    return Some(Err(rule));
                }
            }
            Event::AtOnce => {
                if let Err(rule) = world.carry_out_at_once()? {
                    return Some(Err(rule));
                }
            }
            Event::Ready(slot) => {
                let place = world.slots.of_mut(slot).as_mut()?;
                if place.size == 0 || place.ready.is_some() {
                    return None;
                }
                place.ready = Some(0);
            }
            Event::Slices => {
                let named = |slot: Slot| match self.selector {
                    Some(Selected::Slot(selected)) => selected == slot,
                    Some(Selected::Foreign) => true,
                    None => false,
                };
                world.slices = PerSlot {
                    a: named(Slot::A),
                    b: named(Slot::B),
                };
            }
            // It is not led to where nobody answers.
            Event::Route => {
                let live = self.memory.live.filter(|live| self.is_ready(*live));
                world.route = Some(live?).filter(|_| self.route.is_some());
            }
            Event::Tick => world.tick(),
            Event::Flap(slot) => {
                world.left.faults -= 1;
                world.slots.of_mut(slot).as_mut()?.ready.take()?;
            }
            Event::Select(_) | Event::DeleteService | Event::ReplaceService | Event::Mark(_) => {
                world.left.faults -= 1;
                self.selector?;
                world.change_service(event);
            }
            Event::DeleteDeployment(slot) => {
                world.left.faults -= 1;
                world.slots.of_mut(slot).take()?;
            }
            Event::LoseStatus => {
                world.left.faults -= 1;
                world.memory = Memory::default();
                world.before = Memory::default();
                world.truth.is_lost |= world.mark.is_none();
                world.truth.is_forgotten = true;
            }
            Event::OffAndOn => world.take_pods_away()?,
            Event::Release => world.needed = false,
            Event::Want(number) => {
                world.left.wishes -= 1;
                world.wanted = number;
            }
            Event::Promote | Event::Rollback | Event::Retry => {
                world.left.wishes -= 1;
                let asked = match event {
                    Event::Promote => &mut world.requests.0,
                    Event::Rollback => &mut world.requests.1,
                    _ => &mut world.requests.2,
                };
                *asked = true;
            }
        }
        world.normalize();
        (world != *self).then_some(Ok(world))
    }

    /// Does what is asked for in one write, if that can be.
    fn carry_out_at_once(&mut self) -> Option<Result<(), String>> {
        let (observed, wanted, requests) = (self.observed(), self.wanted(), self.requests());
        let switch = requested_switch(&observed, &wanted, &requests, &self.memory, now())?;
        if let Err(rule) = check(self, &self.memory, &switch) {
            return Some(Err(rule));
        }
        self.act(&switch.action);
        let moved = switch.memory.transition.as_ref();
        let left = moved.filter(|moved| moved.is_rollback()).and_then(|moved| moved.from);
        if let Some(place) = left.and_then(|left| self.slots.of(left).as_ref()) {
            self.truth.gone_back_from.push(place.revision);
            self.truth.gone_back_from.sort_unstable();
            self.truth.gone_back_from.dedup();
        }
        Some(Ok(()))
    }

    /// What becomes of slots and status of an installation that is off; `None` if that is nothing to be looked at: if nothing is
    /// under way, pods are taken away and made again.
    fn take_pods_away(&mut self) -> Option<()> {
        self.left.faults -= 1;
        self.memory.transition.as_ref()?;
        for slot in [Slot::A, Slot::B] {
            if let Some(place) = self.slots.of_mut(slot) {
                (place.size, place.ready) = (0, None);
            }
        }
        let mut memory = self.memory.clone();
        memory.stop();
        if memory != self.memory {
            self.before = std::mem::replace(&mut self.memory, memory);
        }
        Some(())
    }

    /// Somebody changes the live Service.
    fn change_service(&mut self, event: Event) {
        // Whatever bears no status any more, or is not seen to, is known by the mark alone.
        let mut is_lost = self.memory.live.is_none();
        match event {
            Event::Select(selected) => (self.selector, is_lost) = (selected, false),
            Event::DeleteService => (self.selector, self.mark) = (None, None),
            Event::ReplaceService => (self.selector, self.mark) = (Some(Selected::Foreign), None),
            Event::Mark(slot) => {
                self.mark = Some(slot);
                is_lost |= self.before.live.is_none();
            }
            _ => return,
        }
        if matches!(event, Event::Select(_) | Event::Mark(_)) {
            // Whoever changes both has switched by hand.
            let led_to = self.mark.filter(|mark| self.selector == Some(Selected::Slot(*mark)));
            is_lost |= led_to.is_some() && led_to != self.truth.live;
            // And whoever changes them as an announced switch would, has done it.
            let announced = self.memory.transition.as_ref().filter(|t| t.step == Step::Switching);
            is_lost |= announced.is_some_and(|t| self.mark == Some(t.to));
        }
        self.truth.is_lost |= is_lost;
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Remember => {}
            Action::Install { slot, shape } => {
                self.selector = Some(Selected::Slot(*slot));
                self.reshape(*slot, shape);
            }
            Action::Repair(slot) => self.lead(*slot),
            Action::Switch { to } => {
                let left = self.truth.live.filter(|left| left != to);
                self.truth.standby = left.filter(|_| self.truth.standby != Some(*to));
                self.lead(*to);
            }
            Action::Reshape { slot, shape } => {
                let same = |place: &Place| revision(place.revision) == shape.revision && place.size == shape.size;
                if self.truth.standby == Some(*slot) && !self.slots.of(*slot).as_ref().is_some_and(same) {
                    self.truth.standby = None;
                }
                self.reshape(*slot, shape);
            }
        }
    }

    fn lead(&mut self, slot: Slot) {
        self.selector = Some(Selected::Slot(slot));
        self.mark = Some(slot);
        self.truth.live = Some(slot);
    }

    fn reshape(&mut self, slot: Slot, shape: &Shape) {
        let before = self.slots.of(slot).clone();
        let revision = number(&shape.revision);
        // A pod stays ready while its successor starts, but for one of another revision: that counts as not ready.
        let ready = before.filter(|before| before.revision == revision && shape.size > 0);
        *self.slots.of_mut(slot) = Some(Place {
            revision,
            size: shape.size,
            unready: ready.as_ref().map_or(0, |before| before.unready),
            ready: ready.and_then(|before| before.ready),
            recycled: shape.recycled.clone(),
            rejected: shape.rejected,
        });
    }

    fn remember(&mut self, memory: Memory) {
        let carried = memory.carried_out.clone();
        if memory != self.memory {
            self.before = std::mem::replace(&mut self.memory, memory);
        }
        if carried.promote.is_some() {
            self.requests.0 = false;
        }
        if carried.rollback.is_some() {
            self.requests.1 = false;
        }
        if carried.retry.is_some() {
            self.requests.2 = false;
            self.truth.rejected.clear();
            self.truth.gone_back_from.clear();
        }
        for rejection in &self.memory.rejected {
            let number = number(&rejection.revision);
            if !self.truth.rejected.contains(&number) {
                self.truth.rejected.push(number);
                self.truth.rejected.sort_unstable();
            }
        }
        let (memory, truth) = (&self.memory, &mut self.truth);
        // A rollback that could not be done takes its rejection back.
        truth
            .rejected
            .retain(|number| memory.rejection(&revision(*number)).is_some() || truth.is_forgotten);
        self.memory.carried_out = CarriedOut::default();
        self.before.carried_out = CarriedOut::default();
    }
}
