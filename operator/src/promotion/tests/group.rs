//! Two plugins of a tenant that move together: each has a machine of its own, and sees of the other what its status tells.
//! Everything that can happen to them, in every order: what goes live goes with what is live beside it, or that follows.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, LazyLock},
    time::Instant,
};

use plexica_crds::{
    names::{PluginId, Slot},
    plugin_installation::{Step, conditions::Reason},
    version_range::VersionRange,
};
use semver::Version;

use super::{
    super::{explain, is_on_its_way},
    events::Event,
    world::{Left, Others, World, now, revision},
};
use crate::{
    resolution::{Dependency, DependencyKind, Registry, Release},
    together::{Back, Member, Next, Stage, Standby, Together, Told},
};

const CONTACTS: usize = 0;
const CRM: usize = 1;
const IDS: [&str; 2] = ["contacts", "crm"];
/// Rounds after which a pair without faults has come to rest.
const PATIENCE: usize = 60;

/// A provider and what needs it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pair {
    plugins: [World; 2],
    /// What the status says: it is to go back, and others go first.
    awaits_others: [bool; 2],
    /// As many may be on their way as there are, or one.
    one_at_a_time: bool,
    /// Each needs the other one.
    in_turn: bool,
    /// What a person may ask for.
    wishes: &'static [Event],
}

static REGISTRIES: LazyLock<[Arc<Registry>; 2]> =
    LazyLock::new(|| [false, true].map(|in_turn| Arc::new(registry(in_turn))));

fn id(number: usize) -> PluginId {
    PluginId::parse(IDS[number]).unwrap()
}

/// Each version of crm needs contacts of the same one.
fn registry(in_turn: bool) -> Registry {
    let mut registry = Registry::default();
    for version in [1, 2] {
        for (number, needs) in [(CONTACTS, in_turn), (CRM, true)] {
            let dependencies = needs.then(|| Dependency {
                plugin: id(1 - number),
                range: VersionRange::parse(&format!("^{version}")).unwrap(),
                kind: DependencyKind::Required,
            });
            let release = Release {
                dependencies: dependencies.into_iter().collect(),
                ..Release::default()
            };
            registry.insert(id(number), Version::new(version, 0, 0), release);
        }
    }
    registry
}

impl Pair {
    /// Both are live in version 1, and version 2 is wanted of both.
    fn new(autos: [bool; 2], auto_rollback: bool, left: &Left) -> Self {
        let plugins = autos.map(|auto| {
            let mut world = World::new(auto, auto_rollback, Left { faults: 0, wishes: 0 });
            for _ in 0..PATIENCE {
                for event in [Event::Pass, Event::Ready(Slot::A), Event::Slices] {
                    world = world.after(event).map_or(world, Result::unwrap);
                }
            }
            assert_eq!(world.memory.live, Some(Slot::A));
            World {
                wanted: 2,
                left: left.clone(),
                ..world
            }
        });
        Self {
            plugins,
            awaits_others: [false; 2],
            one_at_a_time: false,
            in_turn: false,
            wishes: &[Event::Rollback],
        }
    }

    fn member(&self, number: usize) -> Member {
        let world = &self.plugins[number];
        let mut told = Told {
            is_current: true,
            is_asked_back: world.requests.1,
            is_released: world.auto || world.requests.0,
            prepared: Some(revision(world.wanted)),
            blocked_by: self.awaits_others[number].then_some(Reason::AwaitingOthers),
            ..Told::default()
        };
        (told.ready.a, told.ready.b) = (world.is_ready(Slot::A), world.is_ready(Slot::B));
        let to = Version::new(world.wanted.into(), 0, 0);
        Member::of(&id(number), &world.memory, &told)
            .unwrap()
            .planned(Some(&to), false)
    }

    /// A plugin, told what the other one means for it.
    fn told(&self, number: usize) -> World {
        let mut world = self.plugins[number].clone();
        let together = Together {
            registry: Arc::clone(&REGISTRIES[usize::from(self.in_turn)]),
            order: [CONTACTS, CRM].map(id).to_vec(),
            others: vec![self.member(1 - number)],
        };
        let moving = self.plugins[1 - number].memory.transition.as_ref();
        let counts =
            moving.is_some_and(|moving| is_on_its_way(moving.step) && moving.deadline.is_none_or(|by| by > now()));
        world.others = Others {
            are_on_their_way: self.one_at_a_time && counts,
            bonds: together.bonds(&id(number), &world.memory, &revision(world.wanted)),
        };
        world
    }

    /// What happens to one of both; `None` if nothing changes.
    fn after(&self, number: usize, event: Event) -> Option<Result<Self, String>> {
        let told = self.told(number);
        let mut world = match told.after(event) {
            None if matches!(event, Event::Pass) => told.clone(),
            None => return None,
            Some(Ok(world)) => world,
            Some(Err(rule)) => return Some(Err(rule)),
        };
        let has_switched = world.truth.live != told.truth.live;
        let mut pair = self.clone();
        if matches!(event, Event::Pass | Event::GoOn) {
            // A pass ends with a status.
            let said = explain(
                &world.observed(),
                &world.wanted(),
                &world.requests(),
                &world.memory,
                now(),
            );
            let awaits = said.rollback.blocked_by.as_deref() == Some(Reason::AwaitingOthers.as_ref());
            pair.awaits_others[number] = awaits;
        }
        world.others = Others::default();
        // Older statuses are searched with one plugin.
        world.before = world.memory.clone();
        pair.plugins[1 - number].left = world.left.clone();
        pair.plugins[number] = world;
        if has_switched && let Err(rule) = pair.check_switch(self, number) {
            return Some(Err(rule));
        }
        (pair != *self).then_some(Ok(pair))
    }

    fn tick(&self) -> Self {
        let mut pair = self.clone();
        for world in &mut pair.plugins {
            world.tick();
            world.normalize();
        }
        pair
    }

    /// What its requests reach.
    fn live(&self, number: usize) -> u8 {
        let world = &self.plugins[number];
        let live = world.truth.live.or(world.memory.live).unwrap();
        world.slots.of(live).as_ref().unwrap().revision
    }

    /// In this registry versions go together if they are the same.
    fn clashes(&self) -> bool {
        self.live(CONTACTS) != self.live(CRM)
    }

    /// What was switched to goes with the other one, or that one is ready to follow; and the provider goes first, and comes back
    /// last.
    fn check_switch(&self, before: &Self, number: usize) -> Result<(), String> {
        if !self.clashes() {
            return Ok(());
        }
        let (other, to) = (before.member(1 - number), self.live(number));
        let to = Version::new(to.into(), 0, 0);
        let comes = |next: &Next| next.version == to && matches!(next.stage, Stage::Prepared | Stage::Switching);
        let goes_back = |back: &Back| back.version == to && back.standby != Standby::NotReady;
        let is_forward = to > Version::new(1, 0, 0);
        let follows = if is_forward {
            other.next.as_ref().is_some_and(comes)
        } else {
            other.back.as_ref().is_some_and(goes_back)
        };
        if !follows {
            return Err(format!(
                "{} {to} goes live beside what excludes it, and does not follow",
                IDS[number]
            ));
        }
        let first = if is_forward { CONTACTS } else { CRM };
        if number != first {
            return Err("providers go live first, and come back last".into());
        }
        Ok(())
    }

    fn events(&self) -> Vec<(usize, Event)> {
        let mut events = vec![];
        for number in [CONTACTS, CRM] {
            let world = &self.plugins[number];
            events.extend([Event::Pass, Event::GoOn, Event::AtOnce].map(|event| (number, event)));
            events.extend([Slot::A, Slot::B].map(|slot| (number, Event::Ready(slot))));
            if world.left.faults > 0 {
                events.push((number, Event::KilledPass));
                events.extend([Slot::A, Slot::B].map(|slot| (number, Event::Flap(slot))));
            }
            if world.left.wishes > 0 {
                events.extend(self.wishes.iter().map(|event| (number, *event)));
            }
        }
        events
    }

    /// EndpointSlices follow at once: what they are late for is searched with one plugin.
    fn settled(mut self) -> Self {
        for number in [CONTACTS, CRM] {
            if let Some(Ok(next)) = self.after(number, Event::Slices) {
                self = next;
            }
        }
        self
    }

    /// Without faults and wishes both end in versions that go together: the new ones, unless one was rejected or waits for a
    /// person.
    fn comes_to_rest(&self, proven: &mut HashSet<Self>) -> Result<(), String> {
        let mut pair = self.clone();
        let mut seen = vec![];
        for world in &mut pair.plugins {
            world.left = Left { faults: 0, wishes: 0 };
        }
        for _ in 0..PATIENCE {
            if proven.contains(&pair) {
                proven.extend(seen);
                return Ok(());
            }
            seen.push(pair.clone());
            let mut is_moved = false;
            for number in [CONTACTS, CRM] {
                for event in [Event::Pass, Event::Ready(Slot::A), Event::Ready(Slot::B)] {
                    match pair.after(number, event) {
                        None => {}
                        Some(Ok(next)) => (pair, is_moved) = (next.settled(), true),
                        Some(Err(rule)) => return Err(rule),
                    }
                }
            }
            if !is_moved {
                let later = pair.tick();
                if later == pair {
                    proven.extend(seen);
                    return pair.is_at_rest().map_err(|why| format!("{why}\nat {pair:#?}"));
                }
                pair = later;
            }
        }
        Err(format!("it goes on and on: {pair:#?}"))
    }

    fn is_at_rest(&self) -> Result<(), String> {
        if self.clashes() {
            return Err("what is live does not go together".into());
        }
        let waits = |world: &World| {
            let moving = world.memory.transition.as_ref();
            let waits = moving.is_some_and(|moving| moving.step == Step::AwaitingPromotion);
            waits && !world.auto && !world.requests.0
        };
        let is_rejected = |world: &World| world.memory.rejection(&revision(world.wanted)).is_some();
        let may_stay = |world: &World| waits(world) || is_rejected(world);
        if self.live(CRM) != 2 && !self.plugins.iter().any(may_stay) {
            return Err("what is wanted does not go live".into());
        }
        let others = self.plugins.iter().filter(|world| !may_stay(world));
        let stuck = others.filter_map(|world| world.memory.transition.as_ref());
        let mut stuck = stuck.filter(|moving| moving.step != Step::AwaitingPromotion);
        stuck
            .next()
            .map_or(Ok(()), |moving| Err(format!("{:?} does not end", moving.step)))
    }
}

/// Searches all pairs from a beginning.
fn all(beginning: Pair) {
    let start = Instant::now();
    let mut pairs = vec![beginning.settled()];
    let mut known: HashMap<Pair, usize> = HashMap::from([(pairs[0].clone(), 0)]);
    let mut came_by: Vec<Option<(usize, String)>> = vec![None];
    let path = |came_by: &[Option<(usize, String)>], mut at: usize| {
        let mut events = vec![];
        while let Some((from, event)) = &came_by[at] {
            events.push(event.clone());
            at = *from;
        }
        events.reverse();
        events.join(", ")
    };
    let mut proven = HashSet::new();
    let mut at = 0;
    while at < pairs.len() {
        let pair = pairs[at].clone();
        if let Err(why) = pair.comes_to_rest(&mut proven) {
            panic!("never at rest after {}: {why}", path(&came_by, at));
        }
        let happens = pair.events().into_iter().filter_map(|(number, event)| {
            let told = format!("{} {event:?}", IDS[number]);
            Some((told, pair.after(number, event)?))
        });
        let next: Vec<_> = happens.chain([("Tick".to_owned(), Ok(pair.tick()))]).collect();
        for (event, next) in next {
            let next = match next {
                Ok(next) => next.settled(),
                Err(rule) => panic!("broken: {rule}, after {}, {event}: {pair:#?}", path(&came_by, at)),
            };
            if !known.contains_key(&next) {
                known.insert(next.clone(), pairs.len());
                pairs.push(next);
                came_by.push(Some((at, event)));
            }
        }
        at += 1;
        assert!(at < 2_000_000, "too many pairs");
    }
    println!("{} pairs in {:.1} s", pairs.len(), start.elapsed().as_secs_f64());
}

const ONE_WISH: Left = Left { faults: 0, wishes: 1 };

#[test]
fn every_pair_goes_live_and_comes_back_together() {
    all(Pair::new([true; 2], false, &ONE_WISH));
}

#[test]
fn every_pair_of_which_one_waits_for_a_person_goes_live_together_one_at_a_time() {
    for autos in [[true, false], [false, true]] {
        all(Pair {
            one_at_a_time: true,
            wishes: &[Event::Promote],
            ..Pair::new(autos, false, &ONE_WISH)
        });
    }
}

#[test]
fn every_pair_that_needs_each_other_goes_live_together() {
    all(Pair {
        in_turn: true,
        one_at_a_time: true,
        ..Pair::new([true; 2], false, &Left { faults: 0, wishes: 0 })
    });
}

#[test]
fn every_pair_whose_pods_fail_goes_live_and_comes_back_together() {
    all(Pair::new([true; 2], true, &Left { faults: 1, wishes: 0 }));
}
