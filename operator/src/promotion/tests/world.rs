//! A small world in which the machine acts: two slots of one pod each, one live Service, EndpointSlices that follow it
//! later, a clock of whole ticks. What may happen to it: `events`.

use std::time::Duration;

use jiff::Timestamp;
use plexica_crds::{
    names::Slot,
    plugin_installation::{Step, TransitionResult},
};

use super::super::*;
use crate::promotion::{Follows, WayBack};
use crate::together::Bonds;

/// A tick of the world's clock.
const TICK: Duration = Duration::from_secs(1);
/// Ticks that a candidate has to be ready.
pub const DELAY: u8 = 1;
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

/// The number of a revision.
pub fn number(revision: &Revision) -> u8 {
    revision.version.as_bytes()[0] - b'0'
}

/// A slot: its Deployment and its pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub revision: u8,
    pub size: i32,
    /// Ticks since the pod became ready, no more than are asked for; `None` if it is not.
    pub ready: Option<u8>,
    /// Ticks since it is not, no more than are asked for, as far as that matters.
    pub unready: u8,
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
    /// What other plugins mean for it.
    pub others: Others,
    /// What the machine does not see: for the rules it has to keep.
    pub truth: Truth,
    /// How many faults, requests and changes of the spec may still come.
    pub left: Left,
}

/// What other plugins of the tenant mean for this one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Others {
    /// As many of them as may be are on their way.
    pub are_on_their_way: bool,
    pub bonds: Bonds,
}

impl Default for Others {
    fn default() -> Self {
        Self {
            are_on_their_way: false,
            bonds: Bonds {
                held_back: None,
                way_back: WayBack::Alone,
                follows: Follows::Nobody,
            },
        }
    }
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
            others: Others::default(),
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
                unready_since: (place.ready.is_none() && place.size > 0).then(|| now() - ticks(place.unready)),
                recycled: place.recycled.clone(),
                rejected: place.rejected,
                is_settled: true,
                pods: place.size,
                trouble: None,
                is_unanswered: false,
                asked_since: None,
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
            held_back: self.others.bonds.held_back.clone(),
            held_by_others: self.others.are_on_their_way.then(|| "others first".to_owned()),
            way_back: if self.needed {
                WayBack::After("another plugin".to_owned())
            } else {
                self.others.bonds.way_back.clone()
            },
            follows: self.others.bonds.follows.clone(),
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

    pub fn is_ready(&self, slot: Slot) -> bool {
        self.slots.of(slot).as_ref().is_some_and(|place| place.ready.is_some())
    }

    /// Time passes.
    pub fn tick(&mut self) {
        for slot in [Slot::A, Slot::B] {
            if let Some(place) = self.slots.of_mut(slot) {
                let age = place.ready.as_mut().unwrap_or(&mut place.unready);
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
    pub fn normalize(&mut self) {
        let current = self.memory.transition.as_ref().map(|transition| transition.id.clone());
        for slot in [Slot::A, Slot::B] {
            let Some(place) = self.slots.of_mut(slot) else { continue };
            // It matters only of what is live and may be gone back from.
            let may_matter = self.auto_rollback && self.memory.live == Some(slot) && place.size > 0;
            if place.ready.is_some() || !may_matter {
                place.unready = 0;
            }
            if let Some(recycled) = &mut place.recycled {
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
                    // One that has passed matters as long as what is ready now may have become so before it.
                    *deadline = (*deadline).max(now() - ticks(DELAY));
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
