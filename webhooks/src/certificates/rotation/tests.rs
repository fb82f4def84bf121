use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn lifetimes() -> Lifetimes {
    Lifetimes::new(Duration::from_mins(15), Duration::from_secs(100)).unwrap()
}

/// Made at 0, valid until 900, due at 600.
fn view(stage: Stage) -> View {
    View {
        issued: at(0),
        expires: at(900),
        stage,
        asked: false,
    }
}

#[test]
fn each_stage_has_its_step_at_its_time() {
    use Stage::{Announced, Steady, Switched};
    for (stage, published, now, step) in [
        (Steady, true, 599, Step::Wait),
        (Steady, true, 600, Step::Announce),
        (Steady, false, 600, Step::Publish),
        (Announced(at(600)), true, 699, Step::Wait),
        (Announced(at(600)), false, 800, Step::Publish),
        (Announced(at(600)), true, 700, Step::Switch),
        (Switched(at(0)), true, 99, Step::Wait),
        (Switched(at(0)), false, 200, Step::Publish),
        (Switched(at(0)), true, 100, Step::Retire),
    ] {
        assert_eq!(
            next(Some(view(stage)), published, at(now), lifetimes()),
            step,
            "{stage:?} {published} {now}"
        );
    }
}

#[test]
fn without_a_certificate_that_somebody_trusts_one_is_made_at_once() {
    assert_eq!(next(None, true, at(0), lifetimes()), Step::Make);
    for published in [true, false] {
        let step = |stage| next(Some(view(stage)), published, at(900), lifetimes());
        assert_eq!(step(Stage::Steady), Step::Make);
        assert_eq!(step(Stage::Switched(at(899))), Step::Make);
        // The next one is there already.
        assert_eq!(step(Stage::Announced(at(899))), Step::Switch);
    }
}

#[test]
fn a_certificate_is_replaced_earlier_if_somebody_asks_or_the_validity_is_shortened() {
    let asked = View {
        asked: true,
        ..view(Stage::Steady)
    };
    assert_eq!(next(Some(asked), true, at(1), lifetimes()), Step::Announce);
    let shorter = Lifetimes::new(Duration::from_secs(90), Duration::from_secs(10)).unwrap();
    assert_eq!(next(Some(view(Stage::Steady)), true, at(60), shorter), Step::Announce);
    let longer = Lifetimes::new(Duration::from_mins(150), Duration::from_secs(10)).unwrap();
    assert_eq!(next(Some(view(Stage::Steady)), true, at(599), longer), Step::Wait);
    assert_eq!(next(Some(view(Stage::Steady)), true, at(600), longer), Step::Announce);
}

/// As after a change of the chart's value from seconds to days.
#[test]
fn a_certificate_made_for_a_shorter_time_is_replaced_before_it_ends() {
    let longer = Lifetimes::new(Duration::from_hours(720), Duration::from_hours(1)).unwrap();
    let step = |stage, now| next(Some(view(stage)), true, at(now), longer);
    assert_eq!(step(Stage::Steady, 600), Step::Announce);
    // A sixth of its 900 s.
    assert_eq!(step(Stage::Announced(at(600)), 749), Step::Wait);
    assert_eq!(step(Stage::Announced(at(600)), 750), Step::Switch);
    // It is looked at as often as that needs: the least, not the 10 s of what is configured.
    let short = View {
        expires: at(18),
        ..view(Stage::Steady)
    };
    assert_eq!(longer.of(short).look_every(), Duration::from_millis(375));
    assert_eq!(longer.look_every(), Duration::from_secs(10));
}

#[test]
fn lifetimes_without_room_for_a_rotation_are_refused() {
    let seconds = Duration::from_secs;
    assert!(Lifetimes::new(seconds(60), seconds(10)).is_ok());
    assert!(matches!(
        Lifetimes::new(seconds(59), seconds(10)),
        Err(InvalidLifetimes::Short { .. })
    ));
    assert_eq!(
        Lifetimes::new(seconds(60), Duration::from_millis(999)),
        Err(InvalidLifetimes::NoOverlap)
    );
}

/// The Secret in a simulation: authorities are numbers.
#[derive(Clone, Copy, Debug)]
struct Secret {
    current: u32,
    other: Option<u32>,
    view: View,
}

impl Secret {
    fn bundle(&self) -> BTreeSet<u32> {
        [self.current].into_iter().chain(self.other).collect()
    }
}

/// A replica looks, and does what is to be done.
fn look(secret: &mut Secret, configuration: &mut BTreeSet<u32>, newest: &mut u32, now: i64) {
    let seen = *secret;
    let published = *configuration == seen.bundle();
    let step = next(Some(seen.view), published, at(now), lifetimes());
    let mut wanted = seen;
    match step {
        Step::Wait => return,
        Step::Make => panic!("it is never needed: {seen:?} at {now}"),
        Step::Publish => {
            wanted.view.stage = match seen.view.stage {
                Stage::Steady => Stage::Steady,
                Stage::Announced(_) => Stage::Announced(at(now)),
                Stage::Switched(_) => Stage::Switched(at(now)),
            }
        }
        Step::Announce => {
            *newest += 1;
            wanted.other = Some(*newest);
            wanted.view.stage = Stage::Announced(at(now));
        }
        Step::Switch => {
            wanted.current = seen.other.unwrap();
            wanted.other = Some(seen.current);
            // Made when it was announced, one overlap ago at least.
            wanted.view.issued = at(now - 100);
            wanted.view.expires = at(now - 100 + 900);
            wanted.view.stage = Stage::Switched(at(now));
        }
        Step::Retire => {
            wanted.other = None;
            wanted.view.stage = Stage::Steady;
        }
    }
    *secret = wanted;
    if step == Step::Publish {
        *configuration = wanted.bundle();
    }
}

proptest! {
    /// Replicas look every 10 s at the latest and serve what they have read; API servers hear of the configuration 30 s
    /// later at most; now and then an old configuration comes back, as from a backup. The overlap is 100 s.
    #[test]
    fn every_api_server_trusts_every_replica_at_every_moment(
        looks in prop::collection::vec((0_usize..3, 1_i64..10), 1_000),
        lags in prop::collection::vec(0_i64..30, 3),
        setbacks in prop::collection::btree_set(600_i64..4_000, 0..8),
    ) {
        let view = view(Stage::Steady);
        let mut secret = Secret { current: 0, other: None, view };
        let (mut newest, mut now) = (0, 0);
        let mut configuration = secret.bundle();
        let mut history = vec![(now, configuration.clone())];
        let mut replicas = [(0, now); 3];
        for (who, pause) in looks {
            let before = now;
            now += pause;
            // One that comes so late, or after so many, that the certificate ends first, leaves nothing to be trusted.
            let leaves_time = at(now + 200) < secret.view.expires;
            let is_announced = matches!(secret.view.stage, Stage::Announced(_));
            if setbacks.range(before..now).next().is_some() && is_announced && leaves_time {
                configuration = BTreeSet::from([secret.current]);
                history.push((before, configuration.clone()));
            }
            for (replica, (serves, looked)) in replicas.iter_mut().enumerate() {
                // The next moment is up to 9 s away.
                if replica == who || now + 9 - *looked > 10 {
                    look(&mut secret, &mut configuration, &mut newest, now);
                    (*serves, *looked) = (secret.current, now);
                }
            }
            history.push((now, configuration.clone()));
            for lag in &lags {
                let heard = history.iter().rev().find(|(when, _)| *when <= now - lag);
                let (_, trusted) = heard.unwrap_or(&history[0]);
                for (serves, _) in &replicas {
                    prop_assert!(trusted.contains(serves), "at {now} {serves} is served, {trusted:?} are trusted");
                }
            }
        }
        prop_assert!(now < 3_000 || newest >= 2, "only {newest} rotations until {now}");
    }
}
