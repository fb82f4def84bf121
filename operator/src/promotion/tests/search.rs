//! Everything that can happen, in every order: each state that can be reached keeps the rules of design.md, and comes to
//! rest once faults end.

use std::{
    collections::{BTreeSet, HashMap},
    time::Instant,
};

use plexica_crds::{
    names::Slot,
    plugin_installation::{Cause, Step},
};

use super::{
    super::{Action, Decision, Memory, memory::Transition},
    diagram::{Pair, shown_move},
    events::Event,
    world::{DELAY, Left, Selected, World, now, revision},
};

/// Passes and events after which a world without faults has come to rest.
const PATIENCE: usize = 120;

/// Only what is wanted is begun.
fn check_beginning(world: &World, memory: &Memory, decision: &Decision) -> Result<(), String> {
    let was_free = memory
        .transition
        .as_ref()
        .is_none_or(|before| before.step > Step::Proving);
    let begun = decision.memory.transition.as_ref();
    let begun = begun.filter(|begun| begun.step == Step::Deploying && was_free);
    if begun.is_some_and(|begun| begun.revision != world.wanted().revision) {
        return Err("only what is wanted is begun".into());
    }
    Ok(())
}

/// What is switched was meant to be, can serve, and was not rejected.
fn check_switch(world: &World, decision: &Decision, to: Slot) -> Result<(), String> {
    if !world.is_ready(to) && world.is_ready(to.other()) {
        return Err("the live selector never selects no ready pod while there is one".into());
    }
    let switching = world.memory.transition.as_ref().filter(|t| t.step == Step::Switching);
    let recorded = switching.or(world.before.transition.as_ref().filter(|t| t.step == Step::Switching));
    // A request is recorded too, and what it asks for is what is to be remembered.
    let asked = decision.memory.transition.as_ref().filter(|asked| {
        let (promote, rollback, _) = world.requests;
        let stands = if asked.is_rollback() { rollback } else { promote };
        stands && asked.step == Step::Switching
    });
    let intent = asked.or(recorded);
    let Some(intent) = intent else {
        return Err("nothing is switched without a recorded intent".into());
    };
    let place = world.slots.of(to).as_ref();
    if place.is_none_or(|place| revision(place.revision) != intent.revision) {
        return Err("a switch leads to what was intended".into());
    }
    if !intent.is_rollback() {
        let rejected = place.is_some_and(|place| world.truth.rejected.contains(&place.revision));
        if rejected && !world.truth.is_forgotten {
            return Err("a rejected revision is not promoted".into());
        }
        let is_left = place.is_some_and(|place| world.truth.gone_back_from.contains(&place.revision));
        if is_left && !world.truth.is_forgotten {
            return Err("what a request led back from is not promoted again".into());
        }
    }
    Ok(())
}

/// What is remembered of a candidate and of a standby is given up in time, and not before.
fn check_giving_up(world: &World, memory: &Memory, after: &Memory) -> Result<(), String> {
    let observed = world.observed();
    let began = |cause: Cause| {
        let begun = after.transition.as_ref().filter(|begun| begun.cause == cause);
        begun.is_some_and(|begun| memory.transition.as_ref().is_none_or(|before| before.id != begun.id))
    };
    if began(Cause::AutomaticRollback) {
        let live = memory.live.and_then(|live| world.slots.of(live).as_ref());
        if live.is_none_or(|live| live.ready.is_some() || live.unready < DELAY) {
            return Err("only what was not ready for long enough is gone back from unasked".into());
        }
    }
    let Some(before) = &memory.transition else {
        return Ok(());
    };
    let is_open = before.deadline.is_some_and(|deadline| deadline > now());
    let ended = after
        .transition
        .as_ref()
        .is_none_or(|after| after.step == Step::Draining);
    if before.step == Step::StandingBy && is_open && ended && after.live == memory.live {
        return Err("a window is not closed before its deadline".into());
    }
    let rejected = after.rejected.len() > memory.rejected.len();
    let since = observed
        .slots
        .of(before.to)
        .as_ref()
        .and_then(|place| place.ready_since);
    let is_in_time = since.is_some_and(|since| before.deadline.is_none_or(|deadline| since <= deadline));
    let is_unasked = memory.carried_out == after.carried_out;
    if before.is_before_switch() && rejected && is_unasked && is_in_time && after.live == memory.live {
        return Err("a candidate that was ready in time and stays so is not rejected".into());
    }
    Ok(())
}

/// The rules that every write keeps.
pub fn check(world: &World, memory: &Memory, decision: &Decision) -> Result<(), String> {
    let observed = world.observed();
    check_beginning(world, memory, decision)?;
    check_giving_up(world, memory, &decision.memory)?;
    let named = |slot: Slot| observed.endpoints.of(slot).named > 0 || world.route == Some(slot);
    let reached = |slot: Slot| world.selector == Some(Selected::Slot(slot)) || named(slot);
    match &decision.action {
        Action::Remember => {}
        Action::Install { slot, .. } => {
            let serves = |slot| world.is_ready(slot);
            if serves(*slot) || serves(slot.other()) {
                return Err("an installation that serves is not installed anew".into());
            }
        }
        Action::Repair(slot) => {
            let is_live = world.truth.live.is_none_or(|live| live == *slot);
            // Between intent and outcome both slots are recorded.
            let mut known = [&world.memory, memory]
                .into_iter()
                .filter_map(|memory| memory.transition.as_ref());
            let is_intended = known.any(|transition| transition.step == Step::Switching);
            // So are they between a switch at once and the pass that finds it: a Service that somebody changed just then leads
            // to the slot that is remembered, and the request stands still.
            let is_asked = world.requests.0 || world.requests.1;
            let is_remembered = is_asked && memory.live == Some(*slot);
            // Nor does anybody know it who sees no status, and a mark that somebody changed.
            if !is_live && !is_intended && !is_remembered && !world.truth.is_lost && memory.live.is_some() {
                return Err("a changed Service leads to the recorded live slot again".into());
            }
        }
        Action::Switch { to } => check_switch(world, decision, *to)?,
        Action::Reshape { slot, shape } => {
            let before = world.slots.of(*slot).as_ref();
            let Some(before) = before.filter(|before| before.size > 0) else {
                return Ok(());
            };
            let takes_away = shape.size < before.size || shape.revision != revision(before.revision);
            if takes_away && reached(*slot) {
                return Err("a slot that requests reach is not taken away".into());
            }
            if takes_away && world.truth.live == Some(*slot) && !world.truth.is_lost {
                return Err("the live slot is not taken away".into());
            }
            let is_standby = world.truth.standby == Some(*slot) && before.ready.is_some();
            if takes_away && is_standby && !world.is_ready(slot.other()) && !world.truth.is_lost {
                return Err("a standby that is ready is not taken away while the live slot is not".into());
            }
        }
    }
    if let Some(begun) = is_begun(memory, &decision.memory) {
        if reached(begun.to) {
            return Err("a candidate is begun only where nobody is led to".into());
        }
        let stood_by = memory.transition.as_ref().is_some_and(|t| t.step == Step::StandingBy);
        if stood_by && world.is_ready(begun.to) && !world.is_ready(begun.to.other()) {
            return Err("no candidate is begun in the place of the only slot that is ready".into());
        }
    }
    if let (Some(before), Some(after)) = (&memory.transition, &decision.memory.transition)
        && before.step == Step::Proving
        && (after.step > Step::Proving && after.id == before.id)
        && before.from.is_some_and(named)
    {
        return Err("a switch is proven only when nobody is led to the former slot".into());
    }
    // Consent: the intent to promote is recorded only of what soaked or what a person asked for.
    if let Some(intent) = &decision.memory.transition
        && intent.step == Step::Switching
        && !intent.is_rollback()
        && world
            .memory
            .transition
            .as_ref()
            .is_none_or(|t| t.step != Step::Switching)
    {
        let has_soaked = world
            .slots
            .of(intent.to)
            .as_ref()
            .and_then(|place| place.ready)
            .is_some_and(|age| age >= 1);
        let asked = world.requests.0;
        if !(asked || has_soaked && world.auto) {
            return Err("what did not soak is not promoted unasked".into());
        }
        if intent.revision != revision(world.wanted) {
            return Err("only what is wanted is promoted".into());
        }
    }
    Ok(())
}

/// The candidate that a decision begins.
fn is_begun<'a>(before: &Memory, after: &'a Memory) -> Option<&'a Transition> {
    let is_new = |begun: &&Transition| before.transition.as_ref().is_none_or(|t| t.id != begun.id);
    let begun = after.transition.as_ref().filter(|t| t.step == Step::Deploying);
    begun.filter(is_new)
}

/// What happened, and what was found.
pub struct Search {
    worlds: Vec<World>,
    came_by: Vec<Option<(usize, Event)>>,
    known: HashMap<World, usize>,
    /// Where a pass leads, if it changes anything.
    passes: Vec<Option<usize>>,
    /// How the machine went from step to step.
    pub moves: BTreeSet<Pair>,
}

impl Search {
    fn path(&self, mut at: usize) -> String {
        let mut events = vec![];
        while let Some((from, event)) = self.came_by[at] {
            events.push(format!("{event:?}"));
            at = from;
        }
        events.reverse();
        events.join(", ")
    }

    /// Answers the world's number.
    fn visit(&mut self, world: World, from: Option<(usize, Event)>) -> usize {
        if let Some(known) = self.known.get(&world) {
            return *known;
        }
        let number = self.worlds.len();
        self.known.insert(world.clone(), number);
        self.worlds.push(world);
        self.came_by.push(from);
        self.passes.push(None);
        number
    }

    /// Passes alone end: the machine does not take back what it has done, for ever, while nothing happens.
    fn prove_that_passes_end(&self) {
        let mut is_proven = vec![false; self.worlds.len()];
        for from in 0..self.worlds.len() {
            let mut path = vec![];
            let mut next = Some(from);
            while let Some(at) = next.filter(|at| !is_proven[*at]) {
                assert!(!path.contains(&at), "passes go round and round after {}", self.path(at));
                path.push(at);
                next = self.passes[at];
            }
            for at in path {
                is_proven[at] = true;
            }
        }
    }
}

/// Searches all worlds from a beginning, up to a number.
pub fn search(beginning: World, limit: usize) -> Search {
    let mut search = Search {
        worlds: vec![],
        came_by: vec![],
        known: HashMap::new(),
        passes: vec![],
        moves: BTreeSet::new(),
    };
    search.visit(beginning, None);
    let mut at = 0;
    while at < search.worlds.len() && search.worlds.len() < limit {
        let world = search.worlds[at].clone();
        if let Err(why) = comes_to_rest(&world) {
            panic!("never at rest after {}: {why}", search.path(at));
        }
        let decided = world.decision(&world.memory);
        search.moves.extend(shown_move(&world.memory, &decided.memory));
        for event in world.events() {
            match world.after(event) {
                None => {}
                Some(Ok(next)) => {
                    let number = search.visit(next, Some((at, event)));
                    if event == Event::Pass {
                        search.passes[at] = Some(number);
                    }
                }
                Some(Err(rule)) => panic!("broken: {rule}, after {}, {event:?}: {world:#?}", search.path(at)),
            }
        }
        at += 1;
    }
    search.prove_that_passes_end();
    search
}

/// Without faults and wishes, everything ends where it should.
fn comes_to_rest(world: &World) -> Result<(), String> {
    let mut world = world.clone();
    world.left = Left { faults: 0, wishes: 0 };
    for _ in 0..PATIENCE {
        let mut is_moved = false;
        for event in [
            Event::Pass,
            Event::Slices,
            Event::Route,
            Event::Ready(Slot::A),
            Event::Ready(Slot::B),
        ] {
            match world.after(event) {
                None => {}
                Some(Ok(next)) => (world, is_moved) = (next, true),
                Some(Err(rule)) => return Err(rule),
            }
        }
        if !is_moved {
            match world.after(Event::Tick) {
                None => return world.is_at_rest().map_err(|why| format!("{why}\nat {world:#?}")),
                Some(Ok(next)) => world = next,
                Some(Err(rule)) => return Err(rule),
            }
        }
    }
    Err(format!("it goes on and on: {world:#?}"))
}

/// Searches all worlds; by hand with one more wish and fault: `PLEXICA_MORE=1`, in an optimised build.
fn all(beginning: World) {
    let start = Instant::now();
    let more = u8::from(std::env::var_os("PLEXICA_MORE").is_some());
    let Left { faults, wishes } = beginning.left;
    let left = Left {
        faults: faults + more,
        wishes: wishes + more,
    };
    let limit = 20_000_000;
    let worlds = search(World { left, ..beginning }, limit).worlds.len();
    println!("{worlds} worlds in {:.1} s", start.elapsed().as_secs_f64());
    assert!(
        worlds < limit,
        "more than {limit} worlds: not all of them were looked at"
    );
}

#[test]
fn every_world_with_automatic_promotion_keeps_the_rules_and_comes_to_rest() {
    all(World::new(true, false, Left { faults: 1, wishes: 2 }));
}

#[test]
fn every_world_with_promotion_by_hand_keeps_the_rules_and_comes_to_rest() {
    all(World::new(false, false, Left { faults: 1, wishes: 2 }));
}

#[test]
fn every_world_with_automatic_rollback_keeps_the_rules_and_comes_to_rest() {
    all(World::new(true, true, Left { faults: 2, wishes: 1 }));
}

#[test]
fn every_world_whose_live_version_another_plugin_needs_keeps_the_rules_and_comes_to_rest() {
    let needed = World {
        needed: true,
        ..World::new(true, true, Left { faults: 1, wishes: 1 })
    };
    all(needed);
}

#[test]
fn every_world_whose_gateway_leads_to_slots_keeps_the_rules_and_comes_to_rest() {
    let by_route = World {
        route: Some(Slot::A),
        ..World::new(true, true, Left { faults: 1, wishes: 1 })
    };
    all(by_route);
}
