//! A stage for scenarios: two slots of four pods, one live Service, and a clock, all of which do what they are told.
//! Version 1.0.0 is the first that is wanted; it is installed in slot `a`.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use plexica_crds::{
    names::Slot,
    plugin_installation::{Fault, Step, conditions::Type},
};

use super::{
    super::*,
    diagram::{Pair, shown_move},
};
use crate::promotion::{Follows, WayBack};

/// Pods of a slot.
pub const PODS: i32 = 4;
/// Passes that no scenario needs.
const PATIENCE: usize = 100;

/// What was wanted and done, and what came of it.
#[derive(Clone, Debug)]
pub struct Stage {
    pub observed: Observed,
    pub wanted: Wanted,
    pub requests: Requests,
    pub memory: Memory,
    pub now: Timestamp,
    /// How the machine went from step to step.
    pub moves: BTreeSet<Pair>,
}

/// A version with the same configuration as all others.
pub fn revision(version: &str) -> Revision {
    Revision {
        version: version.to_owned(),
        config_hash: "same".to_owned(),
    }
}

impl Stage {
    /// 1.0.0 is wanted, and nothing is there.
    pub fn empty() -> Self {
        Self {
            observed: Observed {
                selector: Selector::Absent,
                mark: None,
                slots: PerSlot::default(),
                endpoints: PerSlot::default(),
                awaits_gateway: false,
            },
            wanted: Wanted {
                revision: revision("1.0.0"),
                size: PODS,
                policy: Policy {
                    auto: true,
                    promotion_delay: Duration::from_secs(30),
                    rollback_window: Duration::from_mins(15),
                    progress_deadline: Duration::from_mins(10),
                    connection_drain: Duration::from_secs(40),
                    auto_rollback: false,
                    probe_interval: None,
                },
                may_begin: true,
                held_back: None,
                held_by_others: None,
                way_back: WayBack::Alone,
                follows: Follows::Nobody,
                contracted: false,
            },
            requests: Requests::default(),
            memory: Memory::default(),
            now: "2026-11-21T12:00:00Z".parse().unwrap(),
            moves: BTreeSet::new(),
        }
    }

    /// 1.0.0 is live in slot `a`, and nothing is under way.
    pub fn installed() -> Self {
        let mut stage = Self::empty();
        stage.rest();
        stage.ready(Slot::A);
        stage.slices_follow();
        stage.rest();
        stage
    }

    /// 2.0.0 is on its way to slot `b`, and has just come to a step.
    pub fn at(step: Step) -> Self {
        let mut stage = Self::installed();
        stage.wanted.policy.auto = step != Step::AwaitingPromotion;
        stage.want("2.0.0");
        stage.until(Some(step));
        stage
    }

    /// 2.0.0 is live in slot `b`, and nothing else is left.
    pub fn upgraded() -> Self {
        let mut stage = Self::at(Step::Draining);
        stage.until(None);
        stage
    }

    /// Another version is wanted.
    pub fn want(&mut self, version: &str) {
        self.wanted.revision = revision(version);
    }

    /// All pods of a slot are there, and become ready now unless they are.
    pub fn ready(&mut self, slot: Slot) {
        let now = self.now;
        let deployed = self.slot(slot);
        deployed.ready = deployed.size;
        deployed.pods = deployed.size;
        deployed.is_settled = true;
        deployed.ready_since = deployed.ready_since.or(Some(now)).filter(|_| deployed.size > 0);
        deployed.unready_since = None;
    }

    /// No pod of a slot is ready any more.
    pub fn fails(&mut self, slot: Slot) {
        let now = self.now;
        let deployed = self.slot(slot);
        (deployed.ready, deployed.ready_since) = (0, None);
        deployed.unready_since = deployed.unready_since.or(Some(now));
    }

    /// The EndpointSlices name what the live Service selects.
    pub fn slices_follow(&mut self) {
        for slot in [Slot::A, Slot::B] {
            let pods = self
                .observed
                .slots
                .of(slot)
                .as_ref()
                .map_or(0, |deployed| deployed.ready);
            let is_selected = self.observed.selector == Selector::Slot(slot);
            let named = if is_selected { pods } else { 0 };
            *self.observed.endpoints.of_mut(slot) = Endpoints { named, ready: named };
        }
    }

    /// Time passes.
    pub fn later(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// The installation is switched off, which takes all pods away, and on again later.
    pub fn is_off_for(&mut self, seconds: u64) {
        for slot in [Slot::A, Slot::B] {
            if let Some(deployed) = self.observed.slots.of_mut(slot) {
                (deployed.size, deployed.ready, deployed.pods) = (0, 0, 0);
                (deployed.ready_since, deployed.unready_since) = (None, None);
            }
        }
        self.memory.stop();
        self.slices_follow();
        self.later(seconds);
    }

    /// The status is emptied.
    pub fn status_is_lost(&mut self) {
        self.memory = Memory::default();
    }

    /// One decision, done and remembered; tells what was written.
    pub fn pass(&mut self) -> Option<String> {
        let Decision { action, memory } = self.decision();
        self.moves.extend(shown_move(&self.memory, &memory));
        self.memory = memory;
        let CarriedOut {
            promote,
            rollback,
            retry,
        } = &self.memory.carried_out;
        for (asked, done) in [
            (&mut self.requests.promote, promote),
            (&mut self.requests.rollback, rollback),
            (&mut self.requests.retry, retry),
        ] {
            *asked = asked.take().filter(|asked| Some(asked) != done.as_ref());
        }
        self.act(action)
    }

    /// One decision that is done, and the process is killed before it is remembered.
    pub fn killed_pass(&mut self) -> Option<String> {
        let action = self.decision().action;
        self.act(action)
    }

    /// What is asked for is done at once, and the process is killed before it is remembered.
    pub fn killed_at_once(&mut self) -> Option<String> {
        let Self { observed, wanted, .. } = &*self;
        let switch = requested_switch(observed, wanted, &self.requests, &self.memory, self.now)?;
        self.act(switch.action)
    }

    /// Decides until nothing is left to do for now; tells what was written.
    pub fn rest(&mut self) -> Vec<String> {
        let mut written = vec![];
        for _ in 0..PATIENCE {
            let before = self.memory.clone();
            match self.pass() {
                Some(action) => written.push(action),
                None if self.memory == before => return written,
                None => {}
            }
        }
        panic!("it goes on and on: {self:#?}");
    }

    /// Everything goes well until a step is reached, or none is under way. Time jumps to what [`explain`] says is due.
    pub fn until(&mut self, step: Option<Step>) {
        for _ in 0..PATIENCE {
            if self.step() == step {
                return;
            }
            let before = self.memory.clone();
            if self.pass().is_some() || self.memory != before {
                continue;
            }
            let seen = self.observed.clone();
            self.slices_follow();
            for slot in [Slot::A, Slot::B] {
                if self.observed.slots.of(slot).is_some() {
                    self.ready(slot);
                }
            }
            if self.observed == seen {
                self.now = self.explain().due.unwrap();
            }
        }
        panic!("{step:?} is not reached: {self:#?}");
    }

    /// How far the transition is.
    pub fn step(&self) -> Option<Step> {
        self.memory.transition.as_ref().map(|transition| transition.step)
    }

    /// The version that is live, and where.
    pub fn live(&self) -> (&str, Slot) {
        let slot = self.memory.live.unwrap();
        let revision = self.memory.revisions.of(slot).as_ref().unwrap();
        (&revision.version, slot)
    }

    /// What runs in a slot.
    pub fn slot(&mut self, slot: Slot) -> &mut Deployed {
        self.observed.slots.of_mut(slot).as_mut().unwrap()
    }

    /// The versions that are not tried again.
    pub fn rejected(&self) -> Vec<(&str, Fault)> {
        let rejected = self.memory.rejected.iter();
        rejected
            .map(|rejection| (rejection.revision.version.as_str(), rejection.why))
            .collect()
    }

    pub fn explain(&self) -> Explanation {
        explain(&self.observed, &self.wanted, &self.requests, &self.memory, self.now)
    }

    /// Status, reason and message of a condition.
    pub fn says(&self, type_: Type) -> String {
        let name: &str = type_.into();
        let explained = self.explain();
        let said = explained.statements.iter().find(|said| said.type_ == name).unwrap();
        format!("{} {}: {}", said.status.as_ref(), said.reason, said.message)
    }

    fn decision(&self) -> Decision {
        decide(&self.observed, &self.wanted, &self.requests, &self.memory, self.now)
    }

    /// Does it; tells what it was.
    fn act(&mut self, action: Action) -> Option<String> {
        match action {
            Action::Remember => None,
            Action::Install { slot, shape } => {
                self.observed.selector = Selector::Slot(slot);
                Some(format!("install {}", self.shape(slot, shape)))
            }
            Action::Reshape { slot, shape } => Some(self.shape(slot, shape)),
            Action::Repair(slot) => {
                self.lead(slot);
                Some(format!("repair: {}", slot.as_ref()))
            }
            Action::Switch { to } => {
                self.lead(to);
                Some(format!("switch: {}", to.as_ref()))
            }
        }
    }

    fn lead(&mut self, slot: Slot) {
        (self.observed.selector, self.observed.mark) = (Selector::Slot(slot), Some(slot));
    }

    /// Pods of another revision are not ready yet; those of another template are replaced one by one.
    fn shape(&mut self, slot: Slot, shape: Shape) -> String {
        let Shape {
            revision,
            size,
            recycled,
            rejected,
        } = shape;
        let mut told = format!("{}: {} x{size}", slot.as_ref(), revision.version);
        told += if recycled.is_some() { ", recycled" } else { "" };
        told += if rejected { ", rejected" } else { "" };
        let place = self.observed.slots.of_mut(slot);
        let before = place.take().filter(|before| before.revision == revision);
        let is_same_template = before.as_ref().is_some_and(|before| before.recycled == recycled);
        let ready = before.as_ref().map_or(0, |before| before.ready.min(size));
        let unready = before
            .as_ref()
            .and_then(|before| before.unready_since)
            .unwrap_or(self.now);
        let asked_since = before.as_ref().and_then(|before| before.asked_since);
        let since = before.and_then(|before| before.ready_since);
        *place = Some(Deployed {
            revision,
            size,
            ready,
            ready_since: since.filter(|_| is_same_template && size > 0 && ready == size),
            recycled,
            rejected,
            is_settled: is_same_template,
            trouble: None,
            is_unanswered: false,
            asked_since,
            unready_since: (size > 0 && ready == 0).then_some(unready),
            pods: size,
        });
        told
    }
}
