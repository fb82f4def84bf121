//! Others change the live Service, or the status is lost: neither promotes anything.

use plexica_crds::{
    names::Slot,
    plugin_installation::{Fault, Step, conditions::Type},
};
use strum::IntoEnumIterator;

use super::super::stage::Stage;
use crate::promotion::Selector;

/// What somebody does to the live Service.
type Tampering = fn(&mut Stage);

const STRIPPED: Tampering = |stage| stage.observed.selector = Selector::Foreign;
const DELETED: Tampering = |stage| (stage.observed.selector, stage.observed.mark) = (Selector::Absent, None);
const REPLACED: Tampering = |stage| (stage.observed.selector, stage.observed.mark) = (Selector::Foreign, None);
const LED_ELSEWHERE: Tampering = |stage| {
    let live = stage.memory.live.unwrap();
    stage.observed.selector = Selector::Slot(live.other());
};

/// At every step, and at rest.
fn everywhere() -> impl Iterator<Item = Stage> {
    Step::iter()
        .map(Stage::at)
        .chain([Stage::installed(), Stage::upgraded()])
}

fn is_set_right_at_every_step(tampering: Tampering) {
    for mut stage in everywhere() {
        let (memory, live) = (stage.memory.clone(), stage.memory.live.unwrap());
        tampering(&mut stage);
        assert_eq!(stage.pass(), Some(format!("repair: {}", live.as_ref())), "{memory:?}");
        assert_eq!(stage.memory, memory, "nothing else happens");
    }
}

#[test]
fn a_stripped_selector_is_set_right_to_the_live_slot_at_every_step() {
    is_set_right_at_every_step(STRIPPED);
}

#[test]
fn a_selector_led_to_the_other_slot_is_set_right_at_every_step() {
    is_set_right_at_every_step(LED_ELSEWHERE);
}

#[test]
fn a_deleted_service_is_made_anew_for_the_live_slot_at_every_step() {
    is_set_right_at_every_step(DELETED);
}

#[test]
fn a_replaced_service_is_set_right_to_the_live_slot_at_every_step() {
    is_set_right_at_every_step(REPLACED);
}

#[test]
fn a_selector_led_to_a_waiting_candidate_does_not_promote_it() {
    let mut stage = Stage::at(Step::AwaitingPromotion);
    LED_ELSEWHERE(&mut stage);
    assert_eq!(stage.rest(), ["repair: a"]);
    assert_eq!(
        (stage.live(), stage.step()),
        (("1.0.0", Slot::A), Some(Step::AwaitingPromotion))
    );
}

#[test]
fn a_slot_that_endpoint_slices_name_is_not_taken_away_whoever_led_there() {
    let mut stage = Stage::at(Step::Draining);
    LED_ELSEWHERE(&mut stage);
    stage.slices_follow();
    assert_eq!(stage.rest(), ["repair: b"]);
    stage.slices_follow();
    assert_eq!(stage.rest(), ["a: 1.0.0 x3, recycled"]);
}

#[test]
fn a_changed_size_or_a_deleted_deployment_of_the_live_slot_is_set_right() {
    let mut stage = Stage::installed();
    stage.slot(Slot::A).size = 1;
    assert_eq!(stage.rest(), ["a: 1.0.0 x4"]);
    stage.observed.slots.a = None;
    assert_eq!(stage.rest(), ["a: 1.0.0 x4"]);
}

#[test]
fn the_live_slot_is_found_again_at_every_step_when_the_status_is_lost() {
    for mut stage in everywhere() {
        let live = stage.observed.mark.unwrap();
        stage.status_is_lost();
        stage.pass();
        assert_eq!(stage.memory.live, Some(live));
    }
}

#[test]
fn the_live_slot_is_found_by_the_selector_when_status_and_mark_are_lost() {
    let mut stage = Stage::upgraded();
    stage.status_is_lost();
    stage.observed.mark = None;
    assert_eq!(stage.rest(), ["repair: b"]);
    assert_eq!(stage.live(), ("2.0.0", Slot::B));
}

#[test]
fn what_was_rejected_is_known_by_its_mark_when_the_status_is_lost() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.requests.rollback = Some("back".into());
    stage.until(None);
    stage.status_is_lost();
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!(stage.rejected(), [("2.0.0", Fault::RolledBackByRequest)]);
    assert_eq!(stage.live(), ("1.0.0", Slot::A));
}

#[test]
fn the_standby_is_found_again_and_gets_its_window_anew_when_the_status_is_lost() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.later(600);
    stage.status_is_lost();
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!(
        stage.says(Type::RollbackAvailable),
        "True StandingBy: 1.0.0 until 12:25:30Z"
    );
}

/// Its Deployment was made, and the operator was killed before it wrote down why; or somebody else made it.
#[test]
fn what_has_never_served_is_no_standby() {
    let mut stage = Stage::at(Step::Soaking);
    stage.wanted.may_begin = false;
    stage.memory.transition = None;
    stage.memory.revisions.b = None;
    stage.rest();
    assert_eq!(stage.step(), Some(Step::Draining));
    assert!(stage.says(Type::RollbackAvailable).starts_with("False"));
}

#[test]
fn no_gate_is_skipped_when_the_status_is_lost() {
    let mut by_hand = Stage::at(Step::AwaitingPromotion);
    by_hand.status_is_lost();
    assert_eq!(by_hand.rest(), [""; 0]);
    assert_eq!(by_hand.step(), Some(Step::AwaitingPromotion));
    let mut soaking = Stage::at(Step::Soaking);
    soaking.later(29);
    soaking.status_is_lost();
    assert_eq!(soaking.rest(), [""; 0]);
    assert_eq!(soaking.step(), Some(Step::Soaking));
}

#[test]
fn a_changed_mark_is_set_right_and_promotes_nothing() {
    for mut stage in [Stage::at(Step::AwaitingPromotion), Stage::installed()] {
        stage.observed.mark = Some(Slot::B);
        assert_eq!(stage.rest(), ["repair: a"]);
        assert_eq!(stage.live(), ("1.0.0", Slot::A));
    }
}

#[test]
fn an_old_manifest_of_the_service_leads_nobody_to_a_drained_slot() {
    let mut stage = Stage::upgraded();
    (stage.observed.selector, stage.observed.mark) = (Selector::Slot(Slot::A), Some(Slot::A));
    assert_eq!(stage.rest(), ["repair: b"]);
    assert_eq!(stage.live(), ("2.0.0", Slot::B));
}
