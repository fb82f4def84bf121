//! The diagram of docs/releases.md and the machine show the same moves. That the machine makes no other is checked
//! wherever it decides: in every world of the search, and in every scenario.

use std::collections::BTreeSet;

use plexica_crds::{
    names::Slot,
    plugin_installation::{MOVES, Step},
};

use super::{
    super::{Hold, Memory},
    search::search,
    stage::Stage,
    world::{Left, World},
};

/// From which step to which; `None`: nothing is under way.
pub type Pair = (Option<Step>, Option<Step>);

/// The move between two memories, which the diagram has to show; `None` if it stays at its step.
pub fn shown_move(before: &Memory, after: &Memory) -> Option<Pair> {
    let step = |memory: &Memory| memory.transition.as_ref().map(|transition| transition.step);
    let pair = (step(before), step(after));
    if before.live != after.live && pair.1.is_none() {
        // Somebody led the Service elsewhere by hand, mark and all: everything begins anew from there.
        return None;
    }
    let is_shown = MOVES.iter().any(|shown| (shown.from, shown.to) == pair);
    assert!(pair.0 == pair.1 || is_shown, "the diagram lacks {pair:?}");
    (pair.0 != pair.1).then_some(pair)
}

/// What the small search does not come to: it needs more wishes, or more than one pod.
const WALKS: [fn() -> Stage; 8] = [
    || {
        let mut promoted_by_hand = Stage::at(Step::AwaitingPromotion);
        promoted_by_hand.requests.promote = Some("1".into());
        promoted_by_hand
    },
    || {
        let mut given_up = Stage::at(Step::AwaitingPromotion);
        given_up.requests.rollback = Some("1".into());
        given_up
    },
    || {
        let mut replaced_standby = Stage::at(Step::StandingBy);
        replaced_standby.want("3.0.0");
        replaced_standby
    },
    || {
        let mut replaced_while_drained = Stage::at(Step::Draining);
        replaced_while_drained.want("3.0.0");
        replaced_while_drained
    },
    || {
        let mut needed_again = Stage::at(Step::StandingBy);
        needed_again.want("3.0.0");
        needed_again.pass();
        needed_again.fails(Slot::B);
        needed_again
    },
    || {
        let mut rollback_without_target = Stage::at(Step::StandingBy);
        rollback_without_target.requests.rollback = Some("1".into());
        rollback_without_target.pass();
        rollback_without_target.fails(Slot::A);
        rollback_without_target
    },
    || {
        let mut rejected_and_forgotten = Stage::at(Step::StandingBy);
        rejected_and_forgotten.requests.rollback = Some("1".into());
        rejected_and_forgotten.until(Some(Step::Draining));
        rejected_and_forgotten.pass();
        rejected_and_forgotten.status_is_lost();
        rejected_and_forgotten
    },
    || {
        let mut left_alone = Stage::at(Step::Switching);
        left_alone.wanted.held_back = Some(Hold::ByOthers("crm is not prepared".into()));
        left_alone
    },
];

#[test]
fn every_move_of_the_diagram_is_one_of_the_machine() {
    let left = Left { faults: 1, wishes: 1 };
    let ways = [(true, false), (false, false), (true, true)];
    let searched =
        ways.map(|(auto, auto_rollback)| search(World::new(auto, auto_rollback, left.clone()), usize::MAX).moves);
    let walked = WALKS.map(|walk| {
        let mut stage = walk();
        stage.pass();
        stage.pass();
        stage.moves
    });
    let made: BTreeSet<Pair> = searched.into_iter().chain(walked).flatten().collect();
    let never_made: Vec<_> = MOVES
        .iter()
        .filter(|shown| !made.contains(&(shown.from, shown.to)))
        .collect();
    assert!(never_made.is_empty(), "{never_made:?}");
}
