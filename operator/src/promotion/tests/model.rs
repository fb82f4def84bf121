//! A small world in which the machine acts: two slots of one pod each, one live Service, EndpointSlices that follow it
//! later, a clock of whole ticks. Everything that may happen to it is an event.

use std::time::Duration;

use jiff::Timestamp;
use plexica_crds::{
    names::Slot,
    plugin_installation::{Step, TransitionResult},
};

use super::super::*;

/// A tick of the world's clock.
const TICK: Duration = Duration::from_secs(1);
/// Ticks that a candidate has to be ready.
const DELAY: u8 = 1;
/// Ticks that the standby is kept.
const WINDOW: u8 = 2;
/// Ticks that a candidate has to become ready.
const DEADLINE: u8 = 3;

/// Now: the world's clock stands still, and all that is noted of it moves.
pub fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

fn ticks(count: u8) -> Duration {
    TICK * u32::from(count)
}

/// A revision by its number.
pub fn revision(number: u8) -> Revision {
    Revision {
        version: format!("{number}.0.0"),
        config_hash: "c".into(),
    }
}

fn number(revision: &Revision) -> u8 {
    revision.version.as_bytes()[0] - b'0'
}

/// A slot: its Deployment and its pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub revision: u8,
    pub size: i32,
    /// Ticks since the pod became ready, no more than are asked for; `None` if it is not.
    pub ready: Option<u8>,
    pub recycled: Option<String>,
    pub rejected: bool,
}

/// Everything there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub selector: Option<Selected>,
    pub mark: Option<Slot>,
    pub slots: PerSlot<Option<Place>>,
    /// What the EndpointSlices name.
    pub slices: PerSlot<bool>,
    /// The slot that the Gateway leads to, if its route leads to slots.
    pub route: Option<Slot>,
    pub memory: Memory,
    /// What was remembered before: a cache may show it still.
    pub before: Memory,
    pub wanted: u8,
    pub auto: bool,
    pub auto_rollback: bool,
    pub requests: (bool, bool, bool),
    /// Another plugin needs what is live: it has to go back first.
    pub needed: bool,
    /// What the machine does not see: for the rules it has to keep.
    pub truth: Truth,
    /// How many faults, requests and changes of the spec may still come.
    pub left: Left,
}

/// What a Service selects; one that is absent is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Selected {
    Slot(Slot),
    Foreign,
}

/// What is true, whatever was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Truth {
    /// The slot that the last write of the machine made live.
    pub live: Option<Slot>,
    /// The slot that stands by with what was live before.
    pub standby: Option<Slot>,
    /// Revisions that were rejected and not asked for again.
    pub rejected: Vec<u8>,
    /// Revisions that a request led back from, and that were not asked for again.
    pub gone_back_from: Vec<u8>,
    /// Status and Service were both lost: nobody can know which slot was live.
    pub is_lost: bool,
    /// The status was lost: what was rejected may have been forgotten.
    pub is_forgotten: bool,
}

/// How much may still come.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Left {
    pub faults: u8,
    pub wishes: u8,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Another revision is wanted.
    Want(u8),
    Promote,
    Rollback,
    Retry,
    /// The plugin that needed what is live has gone back.
    Release,
}

impl World {
    /// Revision 1 is to be installed.
    pub fn new(auto: bool, auto_rollback: bool, left: Left) -> Self {
        Self {
            selector: None,
            mark: None,
            slots: PerSlot::default(),
            slices: PerSlot::default(),
            route: None,
            memory: Memory::default(),
            before: Memory::default(),
            wanted: 1,
            auto,
            auto_rollback,
            requests: (false, false, false),
            needed: false,
            truth: Truth::default(),
            left,
        }
    }

    pub fn observed(&self) -> Observed {
        let deployed = |slot: Slot| {
            self.slots.of(slot).as_ref().map(|place| Deployed {
                revision: revision(place.revision),
                size: place.size,
                ready: i32::from(place.ready.is_some()),
                ready_since: place.ready.filter(|_| place.size > 0).map(|age| now() - ticks(age)),
                recycled: place.recycled.clone(),
                rejected: place.rejected,
                is_settled: true,
                pods: place.size,
                trouble: None,
                is_unanswered: false,
            })
        };
        let endpoints = |slot: Slot| {
            let has_pods = self.slots.of(slot).as_ref().is_some_and(|place| place.size > 0);
            let named = *self.slices.of(slot) && has_pods;
            let ready = named && self.slots.of(slot).as_ref().is_some_and(|place| place.ready.is_some());
            Endpoints {
                named: i32::from(named) + i32::from(self.route == Some(slot)),
                ready: ready.into(),
            }
        };
        Observed {
            selector: match self.selector {
                None => Selector::Absent,
                Some(Selected::Slot(slot)) => Selector::Slot(slot),
                Some(Selected::Foreign) => Selector::Foreign,
            },
            mark: self.mark,
            slots: PerSlot {
                a: deployed(Slot::A),
                b: deployed(Slot::B),
            },
            endpoints: PerSlot {
                a: endpoints(Slot::A),
                b: endpoints(Slot::B),
            },
            awaits_gateway: self.route.is_some_and(|led_to| Some(led_to) != self.memory.live),
        }
    }

    pub fn wanted(&self) -> Wanted {
        Wanted {
            revision: revision(self.wanted),
            size: 1,
            policy: Policy {
                auto: self.auto,
                promotion_delay: ticks(DELAY),
                rollback_window: ticks(WINDOW),
                progress_deadline: ticks(DEADLINE),
                connection_drain: ticks(1),
                auto_rollback: self.auto_rollback,
                probe_interval: None,
            },
            may_begin: true,
            held_by_others: None,
            needed_by_others: self.needed.then(|| "another plugin needs what is live".to_owned()),
            contracted: false,
        }
    }

    pub fn requests(&self) -> Requests {
        let asked = |is: bool| is.then(|| "asked".to_owned());
        Requests {
            promote: asked(self.requests.0),
            rollback: asked(self.requests.1),
            retry: asked(self.requests.2),
        }
    }

    /// What the machine decides.
    pub fn decision(&self, memory: &Memory) -> Decision {
        decide(&self.observed(), &self.wanted(), &self.requests(), memory, now())
    }

    /// What is taken for wanted before that is known; `None` if nothing is decided then.
    fn wanted_before_it_is_known(&self) -> Option<Wanted> {
        let memory = &self.memory;
        memory.live?;
        let candidate = memory.transition.as_ref().filter(|moving| moving.is_before_switch());
        let is_known = candidate.is_none_or(|candidate| candidate.revision == self.wanted().revision);
        is_known.then_some(Wanted {
            may_begin: false,
            revision: memory.wanted_last()?.clone(),
            ..self.wanted()
        })
    }

    /// Does what is done then. What it takes for wanted it takes all along.
    fn go_on(&mut self, wanted: &Wanted) -> Result<(), String> {
        while let Some(decision) = self.decision_before_it_is_known(wanted) {
            super::search::check(self, &self.memory, &decision)?;
            self.act(&decision.action);
            self.remember(decision.memory);
        }
        Ok(())
    }

    /// The next thing that is done then; `None` at rest, or if pods are to be made.
    fn decision_before_it_is_known(&self, wanted: &Wanted) -> Option<Decision> {
        let memory = &self.memory;
        let has_candidate = memory
            .transition
            .as_ref()
            .is_some_and(super::super::memory::Transition::is_before_switch);
        let requests = Requests {
            promote: self.requests().promote.filter(|_| has_candidate),
            retry: None,
            ..self.requests()
        };
        let decision = decide(&self.observed(), wanted, &requests, memory, now());
        let makes_pods = matches!(decision.action, Action::Install { .. } | Action::Reshape { .. });
        let is_at_rest = decision.action == Action::Remember && decision.memory == *memory;
        (!makes_pods && !is_at_rest).then_some(decision)
    }

    pub fn is_ready(&self, slot: Slot) -> bool {
        self.slots.of(slot).as_ref().is_some_and(|place| place.ready.is_some())
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
                if let Err(rule) = super::search::check(self, memory, &decision) {
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
        if let Err(rule) = super::search::check(self, &self.memory, &switch) {
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

    fn tick(&mut self) {
        for slot in [Slot::A, Slot::B] {
            let place = self.slots.of_mut(slot).as_mut();
            if let Some(age) = place.and_then(|place| place.ready.as_mut()) {
                *age = (*age + 1).min(DELAY);
            }
        }
        for memory in [&mut self.memory, &mut self.before] {
            let deadline = memory
                .transition
                .as_mut()
                .and_then(|transition| transition.deadline.as_mut());
            if let Some(deadline) = deadline {
                *deadline -= TICK;
            }
        }
    }

    /// Takes out what makes worlds differ that behave alike: ids, past times, endings.
    fn normalize(&mut self) {
        let current = self.memory.transition.as_ref().map(|transition| transition.id.clone());
        for slot in [Slot::A, Slot::B] {
            if let Some(place) = self.slots.of_mut(slot)
                && let Some(recycled) = &mut place.recycled
            {
                *recycled = if Some(&*recycled) == current.as_ref() {
                    "now"
                } else {
                    "once"
                }
                .to_owned();
            }
        }
        for memory in [&mut self.memory, &mut self.before] {
            if let Some(transition) = &mut memory.transition {
                let is_current = Some(&transition.id) == current.as_ref();
                transition.id = if is_current { "now" } else { "before" }.to_owned();
                transition.started_at = now();
                if let Some(deadline) = &mut transition.deadline {
                    *deadline = (*deadline).max(now());
                }
            }
            memory
                .history
                .retain(|ended| ended.result == TransitionResult::Promoted);
            memory.history.truncate(1);
            for ended in &mut memory.history {
                let (cause, result) = (ended.cause, ended.result);
                *ended = Ended {
                    id: String::new(),
                    from: None,
                    to: String::new(),
                    cause,
                    result,
                    started_at: now(),
                    finished_at: now(),
                };
                ended.cause = plexica_crds::plugin_installation::Cause::NewVersion;
            }
            memory.rejected.sort_by(|one, other| one.revision.cmp(&other.revision));
        }
    }

    /// Whether the machine has come to rest where it should: what is wanted is live, or was rejected, or waits for a person
    /// or for others.
    pub fn is_at_rest(&self) -> Result<(), String> {
        let live = self.memory.live.ok_or("nothing is live")?;
        let place = self.slots.of(live).as_ref().ok_or("the live Deployment is missing")?;
        let is_at = |step| self.memory.transition.as_ref().is_some_and(|t| t.step == step);
        let waits = is_at(Step::AwaitingPromotion);
        // Those that need what is live go back first.
        let waits_for_others = self.needed && self.requests().rollback.is_some() && is_at(Step::StandingBy);
        let rejected = self.memory.rejection(&revision(self.wanted)).is_some();
        if place.revision != self.wanted && !rejected && !waits_for_others && (self.auto || !waits) {
            return Err(format!(
                "revision {} is live, {} is wanted",
                place.revision, self.wanted
            ));
        }
        if self.selector != Some(Selected::Slot(live)) || self.mark != Some(live) {
            return Err("the Service leads elsewhere".into());
        }
        let other = self.slots.of(live.other()).as_ref();
        if !waits && !waits_for_others && other.is_some_and(|place| place.size > 0) {
            return Err("the other slot was not drained".into());
        }
        Ok(())
    }
}
