//! What people are told.

use plexica_crds::{
    names::Slot,
    plugin_installation::{Phase, Step, conditions::Type},
};

use super::super::{super::Hold, stage::Stage};
use crate::promotion::WayBack;

fn promoted(stage: &Stage) -> String {
    stage.says(Type::Promoted)
}

fn way_back(stage: &Stage) -> String {
    stage.says(Type::RollbackAvailable)
}

#[test]
fn each_step_names_the_version_what_it_waits_for_and_until_when() {
    for (step, told) in [
        (
            Step::Deploying,
            "False Soaking: 2.0.0 is being deployed: 0 of 4 pods ready; it has to be ready for 30 s by 12:10:00Z",
        ),
        (
            Step::Soaking,
            "False Soaking: 2.0.0 is ready and has to stay so until 12:00:30Z",
        ),
        (
            Step::AwaitingPromotion,
            "False AwaitingPromotion: 2.0.0 is ready and waits for a person, without a deadline: kubectl annotate it plexica.io/promote=<any new value>",
        ),
        (Step::Switching, "False Switching: requests are being led to 2.0.0"),
        (
            Step::Proving,
            "False Switching: requests are led to 2.0.0; its EndpointSlices are awaited by 12:01:10Z",
        ),
        (
            Step::MovingConnections,
            "True Live: 2.0.0 is live; connections to 1.0.0 are being moved",
        ),
        (
            Step::StandingBy,
            "True Live: 2.0.0 is live; 1.0.0 stands by until 12:15:30Z",
        ),
        (Step::Draining, "True Live: 2.0.0 is live; 1.0.0 is being drained"),
    ] {
        let stage = Stage::at(step);
        assert_eq!(promoted(&stage), told);
        assert!(
            told.ends_with(&stage.explain().message.unwrap()),
            "the transition says the same"
        );
    }
}

#[test]
fn where_two_configurations_of_one_version_meet_they_are_named() {
    let mut stage = Stage::at(Step::Soaking);
    stage.wanted.revision.version = "1.0.0".into();
    stage.wanted.revision.config_hash = "next".into();
    stage.memory.transition.as_mut().unwrap().revision = stage.wanted.revision.clone();
    let told = "False Soaking: 1.0.0 with configuration next is ready and has to stay so until 12:00:30Z";
    assert_eq!(promoted(&stage), told);
}

#[test]
fn at_rest_the_live_version_is_named() {
    assert_eq!(promoted(&Stage::installed()), "True Live: 1.0.0 is live");
    assert_eq!(promoted(&Stage::upgraded()), "True Live: 2.0.0 is live");
    assert_eq!(Stage::upgraded().explain().message, None);
}

#[test]
fn what_waits_for_other_plugins_says_for_which() {
    let mut stage = Stage::installed();
    stage.wanted.held_by_others = Some("contacts goes live first".into());
    stage.want("2.0.0");
    stage.rest();
    assert_eq!(
        promoted(&stage),
        "False AwaitingOthers: 2.0.0 comes later: contacts goes live first; 1.0.0 is live"
    );
    let mut stage = Stage::at(Step::StandingBy);
    stage.wanted.held_by_others = Some("contacts goes live first".into());
    stage.want("3.0.0");
    stage.rest();
    assert!(
        promoted(&stage).starts_with(
            "False AwaitingOthers: 3.0.0 comes later: contacts goes live first; 2.0.0 is live; 1.0.0 stands by"
        ),
        "{}",
        promoted(&stage)
    );
}

#[test]
fn a_rejection_says_why_since_when_and_what_to_do() {
    let mut stage = Stage::at(Step::Deploying);
    stage.rest();
    stage.later(600);
    stage.until(None);
    assert_eq!(
        promoted(&stage),
        "False Rejected: 1.0.0 is live; 2.0.0 was rejected and is not tried again until annotation plexica.io/retry or a change"
    );
    assert_eq!(
        stage.says(Type::VersionRejected),
        "True ProgressDeadlineExceeded: 2.0.0 was not ready for long enough before its deadline, at 12:10:00Z; annotate with plexica.io/retry=<any new value>, or change version or configuration"
    );
}

#[test]
fn each_way_back_names_version_and_time_or_why_there_is_none() {
    for (step, told) in [
        (Step::Soaking, "False NoFormerVersion: there is no former version"),
        (Step::Switching, "False Switching: requests are being led elsewhere"),
        (Step::Proving, "True StandingBy: 1.0.0"),
        (Step::StandingBy, "True StandingBy: 1.0.0 until 12:15:30Z"),
        (Step::Draining, "False WindowClosed: the rollback window has closed"),
    ] {
        assert_eq!(way_back(&Stage::at(step)), told);
    }
    let mut replaced = Stage::at(Step::StandingBy);
    replaced.want("3.0.0");
    replaced.rest();
    assert_eq!(
        way_back(&replaced),
        "False SlotTaken: the candidate took the former version's slot"
    );
    assert_eq!(
        way_back(&Stage::installed()),
        "False NoFormerVersion: there is no former version"
    );
    assert_eq!(
        way_back(&Stage::upgraded()),
        "False WindowClosed: the rollback window has closed"
    );
    let mut contracted = Stage::upgraded();
    contracted.wanted.contracted = true;
    assert_eq!(
        way_back(&contracted),
        "False Contracted: a Contract migration was applied: the former version would not work"
    );
}

#[test]
fn a_standby_that_would_not_work_says_why() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.fails(Slot::A);
    assert_eq!(way_back(&stage), "False StandbyNotReady: 1.0.0 has no ready pod");
    stage.wanted.contracted = true;
    assert_eq!(
        way_back(&stage),
        "False Contracted: a Contract migration was applied: the former version would not work"
    );
}

#[test]
fn the_status_of_a_rollback_says_what_its_condition_says() {
    let open = Stage::at(Step::StandingBy).explain().rollback;
    assert_eq!((open.available, open.target.as_deref()), (true, Some("1.0.0")));
    assert_eq!(open.until.unwrap().0, "2026-11-21T12:15:30Z".parse().unwrap());
    let closed = Stage::upgraded().explain().rollback;
    assert_eq!((closed.available, closed.target, closed.until), (false, None, None));
    assert_eq!(closed.blocked_by.as_deref(), Some("WindowClosed"));
}

#[test]
fn a_standby_that_is_kept_for_a_failed_green_says_so() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.fails(Slot::B);
    assert_eq!(
        promoted(&stage),
        "True Live: 2.0.0 is live; 1.0.0 stands by, since 2.0.0 has no ready pod"
    );
    stage.want("3.0.0");
    stage.rest();
    assert_eq!(
        promoted(&stage),
        "False AwaitingPromotion: 2.0.0 has no ready pod, and 1.0.0 stands by ready: 3.0.0 does not take its place; go back with annotation plexica.io/rollback first"
    );
    let mut draining = Stage::at(Step::Draining);
    draining.fails(Slot::B);
    assert_eq!(
        promoted(&draining),
        "True Live: 2.0.0 is live; 1.0.0 is not drained, since 2.0.0 has no ready pod"
    );
}

#[test]
fn the_phase_says_whether_requests_move_and_which_way() {
    let phase = |stage: &Stage| stage.explain().phase;
    assert_eq!(phase(&Stage::at(Step::Soaking)), Some(Phase::Promoting));
    assert_eq!(
        phase(&Stage::at(Step::AwaitingPromotion)),
        Some(Phase::AwaitingPromotion)
    );
    let mut standing_by = Stage::at(Step::StandingBy);
    assert_eq!(phase(&standing_by), None);
    standing_by.requests.rollback = Some("back".into());
    standing_by.until(Some(Step::Proving));
    assert_eq!(phase(&standing_by), Some(Phase::RollingBack));
}

#[test]
fn no_way_back_is_offered_until_a_moment_that_has_passed() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.fails(Slot::B);
    stage.later(3600);
    stage.rest();
    assert_eq!(way_back(&stage), "True StandingBy: 1.0.0");
}

#[test]
fn promoted_is_not_true_while_something_else_is_wanted() {
    let mut stage = Stage::at(Step::MovingConnections);
    stage.want("3.0.0");
    stage.rest();
    assert!(promoted(&stage).starts_with("False"), "{}", promoted(&stage));
}

#[test]
fn while_a_rejected_candidate_is_drained_no_window_is_said_to_have_closed_that_never_was_open() {
    let mut stage = Stage::at(Step::Deploying);
    stage.rest();
    stage.later(600);
    stage.until(Some(Step::Draining));
    assert_eq!(way_back(&stage), "False NoFormerVersion: there is no former version");
    let mut contracted = Stage::upgraded();
    contracted.wanted.contracted = true;
    contracted.want("3.0.0");
    contracted.until(Some(Step::Deploying));
    contracted.later(600);
    contracted.until(Some(Step::Draining));
    assert_eq!(
        way_back(&contracted),
        "False Contracted: a Contract migration was applied: the former version would not work"
    );
}

#[test]
fn an_automatic_rollback_that_is_to_come_says_when() {
    let mut stage = Stage::at(Step::StandingBy);
    stage.wanted.policy.auto_rollback = true;
    stage.fails(Slot::B);
    assert_eq!(
        promoted(&stage),
        "True Live: 2.0.0 is live; 1.0.0 stands by, since 2.0.0 has no ready pod, and is live again by 12:01:00Z if it has none until then"
    );
}

#[test]
fn a_candidate_that_waits_for_those_that_go_live_with_it_says_for_whom() {
    let mut stage = Stage::at(Step::Soaking);
    stage.wanted.held_back = Some(Hold::ByOthers("crm 2.0.0 is being prepared".into()));
    stage.later(86_400);
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!(stage.step(), Some(Step::AwaitingPromotion));
    assert_eq!(stage.memory.transition.as_ref().unwrap().deadline, None);
    let told = "False AwaitingOthers: 2.0.0 is ready and waits for others: crm 2.0.0 is being prepared";
    assert_eq!(promoted(&stage), told);
    stage.wanted.policy.auto = false;
    assert!(promoted(&stage).contains("waits for a person"), "{}", promoted(&stage));
    // A person releases this one, and not the others.
    stage.requests.promote = Some("now".into());
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!(promoted(&stage), told);
    stage.wanted.held_back = None;
    assert_eq!(stage.rest(), ["switch: b"]);
}

#[test]
fn a_way_back_that_others_share_names_them() {
    let mut stage = Stage::at(Step::StandingBy);
    for shared in [WayBack::Before("crm 1.0.0".into()), WayBack::After("crm 1.0.0".into())] {
        stage.wanted.way_back = shared;
        assert_eq!(
            way_back(&stage),
            "True StandingBy: 1.0.0 with crm 1.0.0 until 12:15:30Z"
        );
    }
    stage.requests.rollback = Some("back".into());
    let told = "False AwaitingOthers: 1.0.0 is live again once others have gone back: crm 1.0.0";
    assert_eq!(way_back(&stage), told);
}
