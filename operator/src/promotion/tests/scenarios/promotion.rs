//! From a new version to a proven switch.

use std::time::Duration;

use plexica_crds::{
    names::Slot,
    plugin_installation::{Cause, Fault, Step, TransitionResult, conditions::Type},
};

use super::super::super::Hold;
use super::super::stage::Stage;
use crate::promotion::Endpoints;

#[test]
fn the_first_installation_needs_no_candidate() {
    let mut stage = Stage::empty();
    assert_eq!(stage.rest(), ["install a: 1.0.0 x4"]);
    assert_eq!(stage.memory.live, None);
    stage.ready(Slot::A);
    assert_eq!(stage.rest(), ["repair: a"], "the Service is marked");
    assert_eq!((stage.live(), stage.step()), (("1.0.0", Slot::A), None));
}

#[test]
fn a_first_version_that_does_not_work_is_replaced_where_it_is() {
    let mut stage = Stage::empty();
    stage.rest();
    stage.later(3600);
    assert_eq!(stage.rest(), [""; 0]);
    stage.want("1.0.1");
    assert_eq!(stage.rest(), ["install a: 1.0.1 x4"]);
}

#[test]
fn a_new_version_is_deployed_to_the_slot_that_is_not_live() {
    let mut stage = Stage::installed();
    stage.want("2.0.0");
    assert_eq!(stage.rest(), ["b: 2.0.0 x4"]);
    assert_eq!(
        (stage.live(), stage.step()),
        (("1.0.0", Slot::A), Some(Step::Deploying))
    );
    assert_eq!(stage.memory.transition.unwrap().cause, Cause::NewVersion);
}

#[test]
fn a_new_configuration_travels_like_a_new_version() {
    let mut stage = Stage::installed();
    stage.wanted.revision.config_hash = "another".into();
    assert_eq!(stage.rest(), ["b: 1.0.0 x4"]);
    assert_eq!(stage.memory.transition.unwrap().cause, Cause::NewConfiguration);
}

#[test]
fn a_candidate_goes_live_when_it_was_ready_for_promotion_delay() {
    let mut stage = Stage::at(Step::Soaking);
    stage.later(29);
    assert_eq!(stage.rest(), [""; 0]);
    stage.later(1);
    assert_eq!(stage.rest(), ["switch: b"]);
    assert_eq!((stage.live(), stage.step()), (("2.0.0", Slot::B), Some(Step::Proving)));
}

#[test]
fn a_candidate_needs_all_its_pods() {
    let mut stage = Stage::at(Step::Deploying);
    stage.rest();
    stage.slot(Slot::B).ready = 3;
    stage.later(300);
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!(stage.step(), Some(Step::Deploying));
}

#[test]
fn a_flap_restarts_the_soak() {
    let mut stage = Stage::at(Step::Soaking);
    stage.later(29);
    stage.fails(Slot::B);
    stage.rest();
    assert_eq!(stage.step(), Some(Step::Deploying));
    stage.ready(Slot::B);
    stage.later(29);
    assert_eq!(stage.rest(), [""; 0]);
    stage.later(1);
    assert_eq!(stage.rest(), ["switch: b"]);
}

#[test]
fn what_is_not_ready_before_its_deadline_is_rejected_and_not_tried_again() {
    let mut stage = Stage::at(Step::Deploying);
    stage.rest();
    stage.later(600);
    stage.until(None);
    assert_eq!(stage.rejected(), [("2.0.0", Fault::ProgressDeadlineExceeded)]);
    assert_eq!(stage.live(), ("1.0.0", Slot::A));
    assert_eq!(stage.memory.history[0].result, TransitionResult::Rejected);
    stage.later(86_400);
    assert_eq!(stage.rest(), [""; 0]);
}

#[test]
fn another_configuration_of_a_rejected_version_is_another_candidate() {
    let mut stage = Stage::at(Step::Deploying);
    stage.rest();
    stage.later(600);
    stage.until(None);
    stage.wanted.revision.config_hash = "another".into();
    assert_eq!(stage.rest(), ["b: 2.0.0 x4"]);
}

#[test]
fn retry_tries_it_again_once() {
    let mut stage = Stage::at(Step::Deploying);
    stage.rest();
    stage.later(600);
    stage.until(None);
    stage.requests.retry = Some("monday".into());
    assert_eq!(stage.rest(), ["b: 2.0.0 x4"]);
    assert_eq!(stage.memory.carried_out.retry.as_deref(), Some("monday"));
    stage.later(600);
    stage.until(None);
    assert_eq!(stage.rejected(), [("2.0.0", Fault::ProgressDeadlineExceeded)]);
}

#[test]
fn what_is_ready_and_does_not_answer_its_probe_is_asked_until_its_deadline_and_rejected_for_that() {
    let mut stage = Stage::at(Step::Soaking);
    stage.wanted.policy.probe_interval = Some(Duration::from_secs(5));
    stage.slot(Slot::B).ready_since = None;
    stage.slot(Slot::B).is_unanswered = true;
    stage.slot(Slot::B).trouble = Some("GET /health of pod crm-b-1 answers 503".into());
    stage.rest();
    assert_eq!(stage.step(), Some(Step::Deploying));
    assert!(
        stage
            .says(Type::Promoted)
            .contains("4 of 4 pods ready (GET /health of pod crm-b-1 answers 503)")
    );
    assert_eq!(stage.explain().due, Some(stage.now + Duration::from_secs(5)));
    stage.later(600);
    stage.rest();
    assert_eq!(stage.rejected(), [("2.0.0", Fault::ProbeFailed)]);
    assert!(
        stage
            .says(Type::VersionRejected)
            .starts_with("True ProbeFailed: 2.0.0 did not answer its probe")
    );
    assert_eq!(stage.live(), ("1.0.0", Slot::A));
}

#[test]
fn promotion_by_hand_waits_without_a_deadline_and_goes_at_the_annotation() {
    let mut stage = Stage::at(Step::AwaitingPromotion);
    stage.later(30 * 86_400);
    assert_eq!(stage.rest(), [""; 0]);
    stage.requests.promote = Some("1".into());
    assert_eq!(stage.rest(), ["switch: b"]);
    assert_eq!(stage.memory.carried_out.promote.as_deref(), Some("1"));
}

#[test]
fn what_waits_and_fails_gets_a_new_deadline() {
    let mut stage = Stage::at(Step::AwaitingPromotion);
    stage.later(86_400);
    stage.fails(Slot::B);
    stage.rest();
    assert_eq!((stage.step(), stage.rejected()), (Some(Step::Deploying), vec![]));
    stage.later(600);
    stage.rest();
    assert_eq!(stage.rejected(), [("2.0.0", Fault::ProgressDeadlineExceeded)]);
}

#[test]
fn a_promotion_asked_for_cuts_the_soak_short_but_not_the_pods() {
    let mut stage = Stage::at(Step::Deploying);
    stage.requests.promote = Some("1".into());
    assert_eq!(stage.rest(), ["b: 2.0.0 x4"]);
    stage.ready(Slot::B);
    assert_eq!(stage.rest(), ["switch: b"]);
}

#[test]
fn a_promotion_asked_for_while_nothing_waits_promotes_nothing_later() {
    let mut stage = Stage::installed();
    stage.wanted.policy.auto = false;
    stage.requests.promote = Some("too early".into());
    stage.rest();
    assert_eq!(stage.memory.carried_out.promote.as_deref(), Some("too early"));
    stage.want("2.0.0");
    stage.until(Some(Step::AwaitingPromotion));
    assert_eq!(stage.rest(), [""; 0]);
}

#[test]
fn nothing_new_is_begun_while_others_are_on_their_way_and_what_was_begun_goes_on() {
    let mut stage = Stage::installed();
    stage.wanted.held_by_others = Some("contacts goes live first".into());
    stage.want("2.0.0");
    assert_eq!(stage.rest(), [""; 0]);
    stage.wanted.held_by_others = None;
    assert_eq!(stage.rest(), ["b: 2.0.0 x4"]);

    let mut stage = Stage::at(Step::Soaking);
    stage.wanted.held_by_others = Some("contacts goes live first".into());
    stage.later(30);
    assert_eq!(stage.rest(), ["switch: b"]);
}

#[test]
fn the_intent_is_remembered_before_the_one_write() {
    let mut stage = Stage::at(Step::Switching);
    assert_eq!(stage.observed.mark, Some(Slot::A), "nothing moved yet");
    assert_eq!(stage.memory.live, Some(Slot::A));
    assert_eq!(stage.rest(), ["switch: b"]);
}

/// The status was not written since the intent: what is wanted is not read yet, and what is remembered as live is the former
/// revision.
#[test]
fn a_switch_that_was_not_written_down_is_not_undone_by_a_pass_that_does_not_know_what_is_wanted() {
    let mut stage = Stage::at(Step::Switching);
    let intent = stage.memory.clone();
    stage.until(Some(Step::StandingBy));
    stage.memory = intent;
    stage.wanted.may_begin = false;
    stage.wanted.revision = stage.memory.wanted_last().unwrap().clone();
    assert_eq!(stage.wanted.revision.version, "2.0.0");
    stage.later(300);
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!(stage.live(), ("2.0.0", Slot::B));

    // Nor if the status is older still.
    stage.memory.transition = None;
    stage.memory.live = Some(Slot::A);
    stage.wanted.revision = stage.memory.wanted_last().unwrap().clone();
    assert_eq!(stage.wanted.revision.version, "1.0.0");
    assert_eq!(stage.rest(), [""; 0]);
    stage.later(300);
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!(stage.live(), ("2.0.0", Slot::B));
}

#[test]
fn a_crash_after_the_intent_finishes_forward() {
    let mut stage = Stage::at(Step::Switching);
    stage.want("3.0.0");
    assert_eq!(stage.killed_pass().as_deref(), Some("switch: b"));
    stage.rest();
    assert_eq!((stage.live(), stage.step()), (("2.0.0", Slot::B), Some(Step::Proving)));
}

#[test]
fn an_intent_whose_target_failed_moves_nothing() {
    let mut stage = Stage::at(Step::Switching);
    stage.fails(Slot::B);
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!(
        (stage.live(), stage.step()),
        (("1.0.0", Slot::A), Some(Step::Deploying))
    );
    stage.ready(Slot::B);
    assert_eq!(stage.rest(), [""; 0], "it soaks anew");
}

#[test]
fn proof_needs_endpoint_slices_without_the_former_slot() {
    let mut stage = Stage::at(Step::Proving);
    let ready = Endpoints { named: 4, ready: 4 };
    *stage.observed.endpoints.of_mut(Slot::A) = Endpoints { named: 1, ready: 0 };
    *stage.observed.endpoints.of_mut(Slot::B) = ready;
    stage.later(86_400);
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!(stage.step(), Some(Step::Proving));
    stage.slices_follow();
    stage.rest();
    assert_eq!(stage.memory.history[0].result, TransitionResult::Promoted);
}

#[test]
fn proof_needs_a_ready_pod_of_the_new_slot() {
    let mut stage = Stage::at(Step::Proving);
    *stage.observed.endpoints.of_mut(Slot::A) = Endpoints::default();
    *stage.observed.endpoints.of_mut(Slot::B) = Endpoints { named: 4, ready: 0 };
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!(stage.step(), Some(Step::Proving));
}

#[test]
fn a_proof_that_does_not_come_says_so() {
    let mut stage = Stage::at(Step::Proving);
    *stage.observed.endpoints.of_mut(Slot::B) = Endpoints { named: 4, ready: 0 };
    stage.rest();
    assert!(
        stage
            .says(Type::Promoted)
            .contains("its EndpointSlices are awaited by ")
    );
    assert!(stage.explain().due.is_some());
    stage.later(60);
    stage.rest();
    assert_eq!(stage.step(), Some(Step::Proving));
    assert!(
        stage
            .says(Type::Promoted)
            .contains("look at them, and at kube-controller-manager")
    );
}

#[test]
fn a_newer_version_replaces_the_candidate() {
    let mut stage = Stage::at(Step::Soaking);
    stage.want("3.0.0");
    assert_eq!(stage.rest(), ["b: 3.0.0 x4"]);
    assert_eq!(stage.memory.history[0].result, TransitionResult::Superseded);
    stage.until(Some(Step::Proving));
    assert_eq!(stage.live(), ("3.0.0", Slot::B));
}

#[test]
fn wanting_what_is_live_again_ends_the_candidate_without_a_rejection() {
    let mut stage = Stage::at(Step::Soaking);
    stage.want("1.0.0");
    stage.until(None);
    assert_eq!((stage.live(), stage.rejected()), (("1.0.0", Slot::A), vec![]));
    assert!(stage.says(Type::Promoted).starts_with("True Live"));
}

#[test]
fn a_promotion_asked_for_of_one_candidate_is_not_one_of_the_next() {
    let mut stage = Stage::at(Step::Deploying);
    stage.wanted.policy.auto = false;
    stage.requests.promote = Some("2.0.0".into());
    stage.rest();
    stage.want("3.0.0");
    stage.rest();
    stage.ready(Slot::B);
    assert_eq!(stage.rest(), [""; 0]);
}

#[test]
fn what_waits_and_flaps_unseen_has_a_deadline_again() {
    let mut stage = Stage::at(Step::AwaitingPromotion);
    stage.fails(Slot::B);
    stage.later(1);
    stage.ready(Slot::B);
    stage.rest();
    assert_eq!(stage.step(), Some(Step::Soaking));
    stage.fails(Slot::B);
    stage.rest();
    assert_ne!(stage.memory.transition.unwrap().deadline, None);
}

#[test]
fn a_promotion_whose_pass_was_ended_after_its_one_write_is_known_by_its_request() {
    let mut stage = Stage::at(Step::AwaitingPromotion);
    stage.requests.promote = Some("go".into());
    assert_eq!(stage.killed_at_once().as_deref(), Some("switch: b"));
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!(stage.live(), ("2.0.0", Slot::B));
    assert_eq!(stage.step(), Some(Step::Proving));
    assert_eq!(stage.memory.carried_out.promote.as_deref(), Some("go"));
}

#[test]
fn what_is_not_asked_for_is_never_done_at_once() {
    let mut stage = Stage::at(Step::Soaking);
    stage.later(60);
    assert_eq!(stage.killed_at_once(), None);
    assert_eq!(stage.pass(), None);
    assert_eq!(stage.step(), Some(Step::Switching));
}

#[test]
fn a_switch_that_is_announced_is_taken_back_if_those_that_go_with_it_are_not_prepared_any_more() {
    let mut stage = Stage::at(Step::Soaking);
    stage.requests.promote = Some("now".into());
    stage.until(Some(Step::Switching));
    stage.later(30);
    stage.wanted.held_back = Some(Hold::ByOthers("crm 2.0.0 is being prepared".into()));
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!(
        (stage.live(), stage.step()),
        (("1.0.0", Slot::A), Some(Step::AwaitingPromotion))
    );
    assert_eq!(
        stage.memory.carried_out.promote, None,
        "what was asked for is asked for still"
    );
}
