//! By when a candidate has to be ready, and what moves that.

use std::time::Duration;

use jiff::Timestamp;
use plexica_crds::{
    names::Slot,
    plugin_installation::{Fault, Step},
};

use super::super::stage::Stage;

/// The deadline of what is under way.
fn deadline(stage: &Stage) -> Option<Timestamp> {
    stage.memory.transition.as_ref().unwrap().deadline
}

#[test]
fn a_candidate_that_is_ready_by_its_deadline_has_the_time_to_soak() {
    let mut stage = Stage::at(Step::Deploying);
    stage.rest();
    stage.later(590);
    stage.ready(Slot::B);
    stage.later(10);
    assert_eq!(stage.rest(), [""; 0]);
    assert_eq!((stage.step(), stage.rejected()), (Some(Step::Soaking), vec![]));
    assert_eq!(stage.explain().due, Some(stage.now + Duration::from_secs(20)));
    stage.later(20);
    assert_eq!(stage.rest(), ["switch: b"]);
}

#[test]
fn a_candidate_that_flaps_after_its_deadline_is_rejected_seen_or_unseen() {
    for is_seen in [true, false] {
        let mut stage = Stage::at(Step::Deploying);
        stage.rest();
        stage.later(590);
        stage.ready(Slot::B);
        stage.rest();
        stage.later(20);
        stage.fails(Slot::B);
        if is_seen {
            stage.rest();
        }
        stage.ready(Slot::B);
        stage.rest();
        assert_eq!(stage.rejected(), [("2.0.0", Fault::ProgressDeadlineExceeded)]);
    }
}

#[test]
fn a_candidate_that_flaps_for_ever_is_rejected_at_the_latest_when_its_last_soak_would_have_ended() {
    let mut stage = Stage::at(Step::Soaking);
    let last = deadline(&stage).unwrap() + Duration::from_secs(30);
    while stage.rejected().is_empty() {
        stage.later(20);
        stage.fails(Slot::B);
        stage.rest();
        if stage.rejected().is_empty() {
            stage.ready(Slot::B);
            stage.rest();
        }
        assert!(stage.now <= last);
    }
    assert_eq!(stage.live(), ("1.0.0", Slot::A));
}

#[test]
fn another_size_restarts_the_soak_and_the_deadline() {
    let mut stage = Stage::at(Step::Soaking);
    stage.later(29);
    stage.wanted.size = 6;
    assert_eq!(stage.rest(), ["a: 1.0.0 x6", "b: 2.0.0 x6"]);
    assert_eq!(deadline(&stage), Some(stage.now + Duration::from_mins(10)));
    stage.later(590);
    assert_eq!((stage.rest(), stage.rejected()), (vec![], vec![]));
    stage.ready(Slot::B);
    stage.later(30);
    assert_eq!(stage.rest(), ["switch: b"]);
}

#[test]
fn an_operator_that_was_restarted_and_asks_its_probe_anew_restarts_the_deadline_too() {
    let mut stage = Stage::at(Step::Soaking);
    stage.wanted.policy.probe_interval = Some(Duration::from_secs(5));
    stage.slot(Slot::B).asked_since = Some(stage.memory.transition.as_ref().unwrap().started_at);
    let before = deadline(&stage);
    stage.rest();
    assert_eq!(deadline(&stage), before, "there was no restart yet");
    stage.later(620);
    let restarted = stage.now;
    stage.slot(Slot::B).asked_since = Some(restarted);
    stage.slot(Slot::B).ready_since = None;
    stage.rest();
    assert_eq!(deadline(&stage), Some(restarted + Duration::from_mins(10)));
    stage.later(1);
    stage.slot(Slot::B).ready_since = Some(stage.now);
    stage.later(30);
    assert_eq!(stage.rest(), ["switch: b"]);
    assert_eq!(stage.rejected(), []);
}

#[test]
fn flaps_do_not_move_the_deadline() {
    let mut stage = Stage::at(Step::Soaking);
    let before = deadline(&stage);
    stage.later(1);
    stage.fails(Slot::B);
    stage.rest();
    assert_eq!(deadline(&stage), before);
}
