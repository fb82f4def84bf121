//! The way back.

use std::time::Duration;

use plexica_crds::{
    names::Slot,
    plugin_installation::{
        Cause, Fault, Step, TransitionResult,
        conditions::{Reason, Type},
    },
};

use super::super::stage::Stage;
use crate::promotion::{Follows, WayBack};

/// Asks for a rollback.
fn ask(stage: &mut Stage) {
    stage.requests.rollback = Some("back".into());
}

fn blocked_by(stage: &Stage) -> Option<String> {
    stage.explain().rollback.blocked_by
}

#[test]
fn rollback_is_one_write_and_no_waiting() {
    let mut stage = Stage::at(Step::StandingBy);
    ask(&mut stage);
    assert_eq!(stage.rest(), ["switch: a"]);
    assert_eq!(stage.live(), ("1.0.0", Slot::A));
    assert_eq!(stage.memory.carried_out.rollback.as_deref(), Some("back"));
}

#[test]
fn a_rollback_whose_pass_was_ended_after_its_one_write_is_known_by_its_request() {
    let mut stage = Stage::at(Step::StandingBy);
    ask(&mut stage);
    assert_eq!(stage.killed_at_once().as_deref(), Some("switch: a"));
    // Not even if what is live by now is not ready.
    stage.fails(Slot::A);
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!(stage.live(), ("1.0.0", Slot::A));
    assert_eq!(stage.step(), Some(Step::Proving));
    assert_eq!(stage.rejected(), [("2.0.0", Fault::RolledBackByRequest)]);
}

#[test]
fn rollback_is_there_as_soon_as_the_switch_is_done() {
    let mut stage = Stage::at(Step::Proving);
    ask(&mut stage);
    assert_eq!(stage.rest()[0], "switch: a");
}

#[test]
fn rollback_asks_only_for_a_ready_standby_and_nothing_of_what_it_leaves() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.fails(Slot::B);
    stage.slot(Slot::A).ready = 1;
    stage.slot(Slot::A).ready_since = None;
    ask(&mut stage);
    assert_eq!(stage.rest(), ["switch: a"]);
}

#[test]
fn rollback_waits_for_a_standby_that_is_not_ready() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.fails(Slot::A);
    ask(&mut stage);
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!(blocked_by(&stage).as_deref(), Some(Reason::StandbyNotReady.as_ref()));
    stage.ready(Slot::A);
    assert_eq!(stage.rest(), ["switch: a"]);
}

#[test]
fn rollback_waits_until_nobody_needs_what_is_live() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.wanted.way_back = WayBack::After("crm 1.0.0".into());
    stage.wanted.policy.auto_rollback = true;
    ask(&mut stage);
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!(blocked_by(&stage).as_deref(), Some(Reason::AwaitingOthers.as_ref()));
    stage.fails(Slot::B);
    stage.later(30);
    assert_eq!(stage.rest(), [""; 0], "nor by itself");
    stage.wanted.way_back = WayBack::Alone;
    assert_eq!(stage.rest(), ["switch: a"]);
}

#[test]
fn a_rollback_that_waits_for_others_is_not_lost_when_its_window_closes_or_a_newer_version_comes() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.wanted.way_back = WayBack::After("crm 1.0.0".into());
    ask(&mut stage);
    stage.later(86_400);
    assert_eq!(stage.rest(), [""; 0]);
    assert!(
        stage
            .says(Type::Promoted)
            .contains("1.0.0 stands by for the rollback that was asked for and waits")
    );
    stage.want("3.0.0");
    assert_eq!(stage.rest(), [""; 0]);
    stage.wanted.way_back = WayBack::Alone;
    assert_eq!(stage.rest(), ["switch: a"]);
    assert_eq!(stage.rejected(), [("2.0.0", Fault::RolledBackByRequest)]);
}

#[test]
fn a_rollback_that_waits_and_is_taken_back_lets_the_window_close() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.wanted.way_back = WayBack::After("crm 1.0.0".into());
    ask(&mut stage);
    stage.later(86_400);
    stage.rest();
    stage.requests.rollback = None;
    stage.until(None);
    assert_eq!(stage.live(), ("2.0.0", Slot::B));
}

#[test]
fn no_candidate_takes_the_only_ready_slot_while_the_way_back_waits_for_others() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.wanted.way_back = WayBack::After("crm 1.0.0".into());
    stage.fails(Slot::B);
    stage.want("3.0.0");
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!(stage.step(), Some(Step::StandingBy));
}

#[test]
fn what_is_gone_back_from_is_rejected_and_drained() {
    let mut stage = Stage::at(Step::StandingBy);
    ask(&mut stage);
    stage.until(None);
    assert_eq!(stage.rejected(), [("2.0.0", Fault::RolledBackByRequest)]);
    assert_eq!((stage.slot(Slot::B).size, stage.slot(Slot::B).rejected), (0, true));
    assert_eq!(stage.memory.history[0].result, TransitionResult::RolledBack);
    stage.later(86_400);
    assert_eq!(stage.rest(), [""; 0], "it is not tried again");
}

#[test]
fn rollback_proves_its_switch_before_it_drains() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.slices_follow();
    ask(&mut stage);
    assert_eq!(stage.rest(), ["switch: a"]);
    assert_eq!(stage.step(), Some(Step::Proving));
    stage.slices_follow();
    assert_eq!(stage.rest(), ["b: 2.0.0 x3, rejected"]);
}

#[test]
fn rollback_after_the_window_is_answered_by_window_closed_and_does_nothing_later() {
    let mut stage = Stage::upgraded();
    ask(&mut stage);
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!(blocked_by(&stage).as_deref(), Some(Reason::WindowClosed.as_ref()));
    stage.want("3.0.0");
    stage.until(Some(Step::StandingBy));
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!(stage.live(), ("3.0.0", Slot::A));
}

#[test]
fn rollback_of_a_candidate_rejects_it_and_nothing_moves() {
    let mut stage = Stage::at(Step::Soaking);
    ask(&mut stage);
    stage.until(None);
    assert_eq!(stage.rejected(), [("2.0.0", Fault::RolledBackByRequest)]);
    assert_eq!((stage.live(), stage.observed.mark), (("1.0.0", Slot::A), Some(Slot::A)));
}

#[test]
fn rollback_whose_standby_fails_before_the_write_moves_and_rejects_nothing() {
    let mut stage = Stage::at(Step::StandingBy);
    ask(&mut stage);
    stage.until(Some(Step::Switching));
    stage.fails(Slot::A);
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!((stage.live(), stage.rejected()), (("2.0.0", Slot::B), vec![]));
}

#[test]
fn after_a_contract_migration_there_is_no_way_back() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.wanted.contracted = true;
    ask(&mut stage);
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!(blocked_by(&stage).as_deref(), Some(Reason::Contracted.as_ref()));
}

#[test]
fn what_fails_after_its_promotion_stays_live_unless_automatic_rollback_was_opted_in() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.fails(Slot::B);
    stage.later(30);
    assert_eq!(stage.rest(), [""; 0]);
    stage.wanted.policy.auto_rollback = true;
    assert_eq!(stage.rest(), ["switch: a"]);
    assert_eq!(stage.rejected(), [("2.0.0", Fault::FailedAfterPromotion)]);
}

#[test]
fn automatic_rollback_waits_until_nothing_was_ready_for_promotion_delay_without_a_break() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.wanted.policy.auto_rollback = true;
    stage.fails(Slot::B);
    assert_eq!(stage.rest(), [""; 0], "not at the first look");
    assert_eq!(stage.explain().due, Some(stage.now + Duration::from_secs(30)));
    stage.later(29);
    assert_eq!(stage.rest(), [""; 0]);
    stage.later(1);
    assert_eq!(stage.rest(), ["switch: a"]);
}

#[test]
fn what_is_ready_again_in_time_is_neither_left_nor_rejected() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.wanted.policy.auto_rollback = true;
    for _ in 0..5 {
        stage.fails(Slot::B);
        stage.later(29);
        assert_eq!(stage.rest(), [""; 0]);
        stage.ready(Slot::B);
        assert_eq!(stage.rest(), [""; 0]);
    }
    assert_eq!((stage.live(), stage.rejected()), (("2.0.0", Slot::B), vec![]));
}

#[test]
fn a_pod_that_was_replaced_begins_the_wait_for_an_automatic_rollback_anew() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.wanted.policy.auto_rollback = true;
    stage.fails(Slot::B);
    stage.later(29);
    stage.slot(Slot::B).unready_since = Some(stage.now);
    stage.later(29);
    assert_eq!(stage.rest(), [""; 0]);
    stage.later(1);
    assert_eq!(stage.rest(), ["switch: a"]);
}

#[test]
fn a_live_deployment_that_somebody_deleted_is_made_again_and_not_gone_back_from() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.wanted.policy.auto_rollback = true;
    stage.observed.slots.b = None;
    assert_eq!(stage.rest(), ["b: 2.0.0 x4"]);
    assert_eq!(stage.rejected(), []);
}

#[test]
fn automatic_rollback_leaves_alone_what_has_one_ready_pod() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.wanted.policy.auto_rollback = true;
    stage.fails(Slot::B);
    stage.slot(Slot::B).ready = 1;
    stage.slot(Slot::B).unready_since = None;
    stage.later(3600);
    assert_eq!(stage.rest(), ["a: 1.0.0 x3, recycled"], "the window closes");
    assert_eq!(stage.live(), ("2.0.0", Slot::B));
}

#[test]
fn automatic_rollback_ends_with_the_window() {
    let mut stage = Stage::upgraded();
    stage.wanted.policy.auto_rollback = true;
    stage.fails(Slot::B);
    stage.later(30);
    assert_eq!(stage.rest(), [""; 0]);
}

#[test]
fn what_is_left_alone_by_those_it_went_live_with_goes_back_as_well() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.wanted.follows = Follows::Back("crm 1.0.0 needs contacts ^1".into());
    assert_eq!(stage.rest(), ["switch: a"]);
    assert_eq!(stage.rejected(), [("2.0.0", Fault::RolledBackWithOthers)]);
    stage.slices_follow();
    stage.wanted.follows = Follows::Nobody;
    stage.until(None);
    assert_eq!(stage.memory.history[0].cause, Cause::OthersWentBack);
}

#[test]
fn a_standby_is_kept_beyond_its_window_while_what_is_live_does_not_go_together() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.wanted.follows = Follows::Perhaps;
    stage.later(86_400);
    assert_eq!(stage.rest(), [""; 0]);
    stage.want("3.0.0");
    assert_eq!(stage.rest(), [""; 0], "nor does a newer version take its place");
    stage.wanted.follows = Follows::Nobody;
    assert_eq!(stage.rest(), ["a: 3.0.0 x4"]);
}

#[test]
fn there_is_no_way_back_without_others_that_would_have_to_come_along() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.wanted.way_back = WayBack::Closed("crm 2.0.0 needs contacts ^2, and cannot go back with it".into());
    stage.wanted.policy.auto_rollback = true;
    stage.fails(Slot::B);
    stage.later(30);
    ask(&mut stage);
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!(blocked_by(&stage).as_deref(), Some(Reason::OthersStay.as_ref()));
    assert_eq!(stage.memory.carried_out.rollback.as_deref(), Some("back"), "nor later");
}
