//! RED in named scenarios: what is seen and wanted, what is done, and what is said.

use jiff::Timestamp;
use plexica_crds::{
    condition::Status,
    plugin_installation::conditions::{Outcome, Reason},
};

use super::*;
use crate::promotion::Revision;

const NOW: i64 = 10_000;
/// `idleAfter`, in seconds.
const IDLE_AFTER: i64 = 60;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn revision(version: &str) -> Revision {
    Revision {
        version: version.into(),
        config_hash: "c1".into(),
    }
}

fn run(version: &str) -> Goal {
    Goal::Run {
        revision: revision(version),
        idle_after: "60s".parse().unwrap(),
    }
}

fn why(reason: Reason) -> Why {
    Why {
        version: Some("2.0.0".into()),
        reason,
        message: "because".into(),
    }
}

/// 1.0.0 runs and is ready.
fn awake() -> Deployed {
    Deployed {
        revision: revision("1.0.0"),
        size: 1,
        ready: 1,
        asleep_since: None,
        pods: Outcome::Done(Reason::PodsReady, "1 of 1 pods ready".into()),
    }
}

fn asleep() -> Deployed {
    Deployed {
        size: 0,
        ready: 0,
        asleep_since: Some(at(9_000)),
        ..awake()
    }
}

fn starting(reason: Reason) -> Deployed {
    Deployed {
        ready: 0,
        pods: Outcome::Waiting(reason, "0 of 1 pods ready".into()),
        ..awake()
    }
}

const OMITTED: Look = Look::Omitted {
    next: None,
    silent: None,
};

fn answered(open: usize, idle_seconds: f64, ready_since: i64) -> Look {
    Look::Answered {
        activity: Activity { open, idle_seconds },
        ready_since: at(ready_since),
    }
}

/// What is done, in short.
#[derive(Clone, Debug, PartialEq)]
enum Does {
    Leaves,
    Removes,
    /// It has its pod, of this version.
    Up(&'static str),
    /// It has none since then.
    Down(i64),
}

/// Seen and wanted, and a request; done, said, and when to look again.
#[derive(Clone)]
struct Scenario {
    name: &'static str,
    deployed: Option<Deployed>,
    look: Look,
    goal: Goal,
    wake: Option<&'static str>,
    does: Does,
    says: (Status, Reason),
    next: Option<i64>,
}

fn scenario(name: &'static str, deployed: Option<Deployed>, look: Look) -> Scenario {
    Scenario {
        name,
        deployed,
        look,
        goal: run("1.0.0"),
        wake: None,
        does: Does::Up("1.0.0"),
        says: (Status::True, Reason::Awake),
        next: None,
    }
}

fn scenarios() -> Vec<Scenario> {
    [going_to_sleep(), waking_up(), hindered()].concat()
}

/// What makes it sleep, and what keeps it up.
fn going_to_sleep() -> Vec<Scenario> {
    use Reason as R;
    let waking = (Status::False, R::Waking);
    let sleeping = (Status::False, R::Asleep);
    let silent = Look::Omitted {
        next: Some(at(10_020)),
        silent: Some("it is deaf".into()),
    };
    vec![
        Scenario {
            says: waking,
            ..scenario("it is started where there is none", None, OMITTED)
        },
        Scenario {
            next: Some(NOW + 40),
            ..scenario(
                "it is asked when it could be idle",
                Some(awake()),
                Look::Omitted {
                    next: Some(at(NOW + 40)),
                    silent: None,
                },
            )
        },
        Scenario {
            does: Does::Down(NOW),
            says: sleeping,
            ..scenario(
                "it sleeps once nobody spoke to it for long enough",
                Some(awake()),
                answered(0, 60.0, 9_000),
            )
        },
        Scenario {
            next: Some(NOW + 20),
            ..scenario(
                "it stays for the time that is left",
                Some(awake()),
                answered(0, 40.0, 9_000),
            )
        },
        Scenario {
            next: Some(NOW + IDLE_AFTER),
            ..scenario("an open connection keeps it up", Some(awake()), answered(1, 0.0, 9_000))
        },
        Scenario {
            next: Some(NOW + 50),
            ..scenario(
                "time in which it could not be reached is not idle",
                Some(awake()),
                answered(0, 500.0, NOW - 10),
            )
        },
        Scenario {
            next: Some(NOW + IDLE_AFTER),
            ..scenario(
                "a pod that will be ready was not idle",
                Some(awake()),
                answered(0, 500.0, NOW + 1),
            )
        },
        Scenario {
            next: Some(NOW + IDLE_AFTER),
            ..scenario(
                "a meter that answers nonsense counts as one that was just used",
                Some(awake()),
                answered(0, -1.0, 9_000),
            )
        },
        Scenario {
            says: (Status::True, R::MeterSilent),
            next: Some(NOW + 30),
            ..scenario(
                "a silent meter keeps it up",
                Some(awake()),
                Look::Silent("it is deaf".into()),
            )
        },
        Scenario {
            says: (Status::True, R::MeterSilent),
            next: Some(NOW + 20),
            ..scenario("a silent meter is told of until it answers", Some(awake()), silent)
        },
    ]
}

/// How its pod fares, and what wakes it.
fn waking_up() -> Vec<Scenario> {
    use Reason as R;
    let waking = (Status::False, R::Waking);
    let sleeping = (Status::False, R::Asleep);
    vec![
        Scenario {
            says: waking,
            ..scenario(
                "one that is not ready yet is waited for",
                Some(starting(R::PodsStarting)),
                OMITTED,
            )
        },
        Scenario {
            says: (Status::False, R::PodsFailing),
            ..scenario(
                "one that fails stays, to be looked at",
                Some(starting(R::PodsFailing)),
                OMITTED,
            )
        },
        Scenario {
            does: Does::Down(9_000),
            says: sleeping,
            ..scenario("it sleeps on since it began to", Some(asleep()), OMITTED)
        },
        Scenario {
            wake: Some("1"),
            says: waking,
            ..scenario("a request wakes it", Some(asleep()), OMITTED)
        },
        Scenario {
            wake: Some("1"),
            next: Some(NOW + IDLE_AFTER),
            ..scenario(
                "a request keeps it up that was about to sleep",
                Some(awake()),
                answered(0, 99.0, 9_000),
            )
        },
        Scenario {
            goal: run("2.0.0"),
            does: Does::Up("2.0.0"),
            says: waking,
            ..scenario("another revision wakes it", Some(asleep()), OMITTED)
        },
        Scenario {
            goal: run("2.0.0"),
            does: Does::Up("2.0.0"),
            says: waking,
            ..scenario("another revision takes the place of what runs", Some(awake()), OMITTED)
        },
        Scenario {
            says: waking,
            ..scenario(
                "without the mark nobody put it to sleep",
                Some(Deployed {
                    asleep_since: None,
                    ..asleep()
                }),
                OMITTED,
            )
        },
        Scenario {
            ..scenario(
                "who gives it a pod by hand has woken it",
                Some(Deployed {
                    asleep_since: Some(at(9_000)),
                    ..awake()
                }),
                OMITTED,
            )
        },
        Scenario {
            says: waking,
            ..scenario("it has one pod", Some(Deployed { size: 3, ..awake() }), OMITTED)
        },
    ]
}

/// What is in its way.
fn hindered() -> Vec<Scenario> {
    use Reason as R;
    vec![
        Scenario {
            goal: Goal::Held(why(R::BackendUnavailable)),
            does: Does::Leaves,
            says: (Status::False, R::BackendUnavailable),
            next: Some(NOW + 30),
            ..scenario(
                "what runs goes on while nobody knows what is wanted",
                Some(awake()),
                OMITTED,
            )
        },
        Scenario {
            goal: Goal::Held(why(R::ConfigurationInvalid)),
            wake: Some("1"),
            does: Does::Leaves,
            says: (Status::False, R::ConfigurationInvalid),
            next: Some(NOW + 30),
            ..scenario(
                "it is not woken while nobody knows what is wanted",
                Some(asleep()),
                OMITTED,
            )
        },
        Scenario {
            goal: Goal::Refused(why(R::MigrationsMissing)),
            does: Does::Removes,
            says: (Status::False, R::MigrationsMissing),
            ..scenario("what must not run is stopped", Some(awake()), OMITTED)
        },
        Scenario {
            goal: Goal::Refused(why(R::MigrationsMissing)),
            wake: Some("1"),
            does: Does::Removes,
            says: (Status::False, R::MigrationsMissing),
            ..scenario("a request does not start what must not run", None, OMITTED)
        },
    ]
}

fn does(action: &Action) -> Does {
    match action {
        Action::Leave => Does::Leaves,
        Action::Remove => Does::Removes,
        Action::Shape(shape) => match shape.asleep_since {
            Some(since) => Does::Down(since.as_second()),
            None if shape.revision == revision("1.0.0") => Does::Up("1.0.0"),
            None => Does::Up("2.0.0"),
        },
    }
}

#[test]
fn each_scenario_ends_as_its_name_says() {
    for scenario in scenarios() {
        let observed = Observed {
            deployed: scenario.deployed,
            look: scenario.look,
        };
        let decision = decide(
            &observed,
            &scenario.goal,
            scenario.wake,
            ("crm", "tenant-acme"),
            at(NOW),
        );
        let said = &decision.said;
        let is = (does(&decision.action), (said.available, said.reason), decision.next);
        let wanted = (scenario.does, scenario.says, scenario.next.map(at));
        assert_eq!(is, wanted, "{}", scenario.name);
        let is_held = matches!(scenario.goal, Goal::Held(_));
        let woken_by = scenario.wake.filter(|_| !is_held);
        assert_eq!(decision.woken_by.as_deref(), woken_by, "{}", scenario.name);
    }
}

#[test]
fn what_is_done_once_is_not_done_again() {
    // A crash after each write: what it has made is seen, and nothing but that.
    for scenario in scenarios() {
        let observed = Observed {
            deployed: scenario.deployed,
            look: scenario.look,
        };
        let place = ("crm", "tenant-acme");
        let first = decide(&observed, &scenario.goal, scenario.wake, place, at(NOW));
        let Action::Shape(shape) = &first.action else { continue };
        let made = Deployed {
            revision: shape.revision.clone(),
            size: i32::from(shape.asleep_since.is_none()),
            asleep_since: shape.asleep_since,
            ..starting(Reason::PodsStarting)
        };
        let observed = Observed {
            deployed: Some(made),
            look: OMITTED,
        };
        // The request may not have been recorded yet.
        let again = decide(&observed, &scenario.goal, scenario.wake, place, at(NOW + 5));
        assert_eq!(again.action, first.action, "{}", scenario.name);
    }
}

#[test]
fn who_finds_it_asleep_is_told_since_when_and_how_to_wake_it() {
    let observed = Observed {
        deployed: Some(asleep()),
        look: OMITTED,
    };
    let decision = decide(&observed, &run("1.0.0"), None, ("crm", "tenant-acme"), at(NOW));
    assert_eq!(
        decision.said.message,
        "1.0.0 is asleep since 1970-01-01T02:30:00Z, when no connection had been open for 60s; wake it: kubectl annotate pi crm \
         -n tenant-acme plexica.io/wake=$(date +%s) --overwrite"
    );
}
