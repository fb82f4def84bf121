//! What becomes of the former slot.

use plexica_crds::{
    names::Slot,
    plugin_installation::{Step, conditions::Reason},
};

use super::super::stage::{PODS, Stage};

#[test]
fn the_pods_that_served_are_replaced_after_the_proof_and_stay_ready() {
    let mut stage = Stage::at(Step::Proving);
    assert_eq!(stage.rest(), [""; 0], "a kept connection may still be of use");
    stage.slices_follow();
    assert_eq!(stage.rest(), ["a: 1.0.0 x4, recycled"]);
    assert_eq!(stage.step(), Some(Step::MovingConnections));
    stage.ready(Slot::A);
    stage.rest();
    assert_eq!(stage.step(), Some(Step::StandingBy));
}

#[test]
fn moving_connections_is_over_after_connection_drain() {
    let mut stage = Stage::at(Step::MovingConnections);
    stage.rest();
    stage.later(39);
    stage.rest();
    assert_eq!(stage.step(), Some(Step::MovingConnections));
    stage.later(1);
    stage.rest();
    assert_eq!(stage.step(), Some(Step::StandingBy));
}

#[test]
fn the_standby_stays_at_full_size_until_the_window_closes() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.later(15 * 60 - 1);
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!(stage.slot(Slot::A).size, PODS);
    stage.later(1);
    assert_eq!(stage.rest(), ["a: 1.0.0 x3, recycled"]);
}

#[test]
fn draining_goes_step_by_step() {
    let mut stage = Stage::at(Step::Draining);
    for left in [3, 2, 1, 0] {
        assert_eq!(stage.rest(), [format!("a: 1.0.0 x{left}, recycled")]);
        stage.later(9);
        assert_eq!(stage.rest(), [""; 0]);
        stage.later(1);
    }
    assert_eq!((stage.live(), stage.step()), (("2.0.0", Slot::B), None));
}

#[test]
fn draining_ends_when_the_last_pod_is_gone() {
    let mut stage = Stage::at(Step::Draining);
    *stage.slot(Slot::A) = crate::promotion::Deployed {
        size: 0,
        ready: 0,
        ready_since: None,
        pods: 1,
        ..stage.slot(Slot::A).clone()
    };
    stage.rest();
    assert_eq!(stage.step(), Some(Step::Draining));
    stage.slot(Slot::A).pods = 0;
    stage.rest();
    assert_eq!(stage.step(), None);
}

#[test]
fn draining_does_not_go_on_while_green_has_no_ready_pod() {
    let mut stage = Stage::at(Step::Draining);
    assert_eq!(stage.rest(), ["a: 1.0.0 x3, recycled"]);
    stage.fails(Slot::B);
    stage.later(3600);
    assert_eq!(stage.rest(), [""; 0]);
    stage.ready(Slot::B);
    assert_eq!(stage.rest(), ["a: 1.0.0 x2, recycled"]);
}

#[test]
fn the_standby_stays_beyond_its_window_while_green_has_no_ready_pod() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.fails(Slot::B);
    stage.later(3600);
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!(stage.explain().rollback.target.as_deref(), Some("1.0.0"));
}

#[test]
fn wanting_the_former_version_within_the_window_needs_no_new_pods_and_goes_at_once() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.later(60);
    let recycled = stage.slot(Slot::A).recycled.clone();
    stage.want("1.0.0");
    assert_eq!(stage.rest(), ["switch: a"]);
    assert_eq!(stage.slot(Slot::A).recycled, recycled);
    assert_eq!((stage.live(), stage.rejected()), (("1.0.0", Slot::A), vec![]));
}

#[test]
fn a_newer_version_during_the_standby_takes_its_slot_and_rollback_says_so() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.want("3.0.0");
    assert_eq!(stage.rest(), ["a: 3.0.0 x4"]);
    let blocked = stage.explain().rollback.blocked_by;
    assert_eq!(blocked.as_deref(), Some(Reason::SlotTaken.as_ref()));
}

#[test]
fn a_newer_version_waits_until_connections_have_moved() {
    let mut stage = Stage::at(Step::Proving);
    stage.want("3.0.0");
    assert_eq!(stage.rest(), [""; 0]);
    stage.slices_follow();
    assert_eq!(stage.rest(), ["a: 1.0.0 x4, recycled"]);
    stage.ready(Slot::A);
    assert_eq!(stage.rest(), ["a: 3.0.0 x4"]);
}

#[test]
fn no_candidate_takes_the_place_of_a_ready_standby_while_green_has_no_ready_pod() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.fails(Slot::B);
    stage.want("3.0.0");
    stage.later(3600);
    assert_eq!(stage.rest(), [""; 0]);
    stage.ready(Slot::B);
    assert_eq!(stage.rest(), ["a: 3.0.0 x4"]);
}

#[test]
fn replicas_of_live_and_standby_follow_the_spec_at_once() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.wanted.size = 6;
    assert_eq!(stage.rest(), ["b: 2.0.0 x6", "a: 1.0.0 x6, recycled"]);
    stage.wanted.size = 2;
    assert_eq!(stage.rest(), ["b: 2.0.0 x2", "a: 1.0.0 x2, recycled"]);
    assert_eq!(stage.step(), Some(Step::StandingBy));
}

#[test]
fn replicas_of_a_candidate_follow_the_spec_and_all_of_them_have_to_be_ready() {
    let mut stage = Stage::at(Step::Soaking);
    stage.wanted.size = 6;
    assert_eq!(stage.rest(), ["a: 1.0.0 x6", "b: 2.0.0 x6"]);
    stage.later(30);
    assert_eq!(stage.rest(), [""; 0]);
}

#[test]
fn a_standby_that_is_needed_again_stands_by() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.want("3.0.0");
    stage.pass();
    stage.fails(Slot::B);
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!(stage.step(), Some(Step::StandingBy));
    assert!(stage.explain().rollback.available);
}

#[test]
fn the_window_goes_on_while_the_installation_is_off_and_the_standby_is_made_again() {
    let mut stage = Stage::at(Step::StandingBy);
    let before = stage.memory.transition.clone();
    stage.is_off_for(300);
    assert_eq!(stage.rest(), ["b: 2.0.0 x4", "a: 1.0.0 x4, recycled"]);
    assert_eq!(stage.memory.transition, before);
    stage.ready(Slot::B);
    stage.ready(Slot::A);
    stage.slices_follow();
    stage.later(599);
    assert_eq!(stage.rest(), [""; 0]);
    assert!(stage.explain().rollback.available);
    stage.later(1);
    assert_eq!(stage.rest(), ["a: 1.0.0 x3, recycled"]);
}

#[test]
fn a_standby_whose_window_closed_while_the_installation_was_off_is_not_made_again() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.is_off_for(3600);
    assert_eq!(stage.rest(), ["b: 2.0.0 x4"]);
    assert_eq!((stage.live(), stage.step()), (("2.0.0", Slot::B), None));
}

#[test]
fn what_is_past_its_switch_goes_on_after_the_installation_was_off() {
    for step in [Step::Proving, Step::MovingConnections, Step::StandingBy] {
        let mut stage = Stage::at(step);
        stage.is_off_for(60);
        assert_eq!(stage.step(), Some(step));
        stage.until(Some(Step::StandingBy));
        assert_eq!(stage.live(), ("2.0.0", Slot::B));
        stage.rest();
        stage.ready(Slot::A);
        assert!(stage.explain().rollback.available, "{step:?}");
    }
}

#[test]
fn a_switch_that_was_written_before_the_installation_was_off_is_not_undone() {
    let mut stage = Stage::at(Step::Switching);
    assert_eq!(stage.killed_pass().as_deref(), Some("switch: b"));
    stage.is_off_for(60);
    assert_eq!(stage.rest(), ["b: 2.0.0 x4"]);
    assert_eq!((stage.live(), stage.step()), (("2.0.0", Slot::B), Some(Step::Proving)));
}

#[test]
fn a_candidate_is_given_up_while_the_installation_is_off_and_comes_anew() {
    let mut stage = Stage::at(Step::Soaking);
    stage.is_off_for(60);
    assert_eq!((stage.step(), stage.rejected()), (None, vec![]));
    assert_eq!(stage.rest(), ["a: 1.0.0 x4", "b: 2.0.0 x4"]);
    assert_eq!(stage.step(), Some(Step::Deploying));
}

#[test]
fn a_standby_that_somebody_deleted_is_made_again_and_keeps_its_window() {
    for step in [Step::MovingConnections, Step::StandingBy] {
        let mut stage = Stage::at(step);
        let before = stage.memory.transition.clone();
        stage.observed.slots.a = None;
        assert_eq!(stage.rest(), ["a: 1.0.0 x4, recycled"]);
        assert_eq!(stage.memory.transition, before);
        stage.until(Some(Step::StandingBy));
        stage.ready(Slot::A);
        assert!(stage.explain().rollback.available);
    }
}

#[test]
fn a_standby_that_somebody_deleted_after_its_window_is_not_made_again() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.later(15 * 60);
    stage.observed.slots.a = None;
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!(stage.step(), None);
}

#[test]
fn a_standby_of_which_nothing_is_left_and_nothing_remembered_is_done_without() {
    for step in [Step::MovingConnections, Step::StandingBy] {
        let mut stage = Stage::at(step);
        stage.observed.slots.a = None;
        stage.memory.revisions.a = None;
        assert_eq!(stage.rest(), [""; 0]);
        assert_eq!(stage.step(), None);
    }
}
