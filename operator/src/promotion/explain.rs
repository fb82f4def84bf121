//! Why an installation is where it is, for people: what it waits for, until when, and whether there is a way back.

use std::{fmt::Write as _, time::Duration};

use jiff::Timestamp;
use plexica_crds::{
    condition::{ConditionType as _, Statement, Status},
    names::Slot,
    plugin_installation::{
        Fault, Phase, RollbackStatus, Step,
        conditions::{Reason, Type},
    },
};

use super::{
    decide::{Pass, later},
    facts::{Hold, Observed, Requests, Revision, Wanted, WayBack},
    memory::{Memory, Transition},
};

/// How often it is looked whether a drained slot is empty.
const LOOKED_FOR: Duration = Duration::from_secs(2);

/// What is said of a traffic light.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Conditions Promoted, RollbackAvailable and VersionRejected.
    pub statements: Vec<Statement>,
    /// The phase, if traffic is on the move or waits.
    pub phase: Option<Phase>,
    /// What the transition waits for.
    pub message: Option<String>,
    /// Whether there is a way back.
    pub rollback: RollbackStatus,
    /// When to look again, though nothing may have happened until then.
    pub due: Option<Timestamp>,
}

/// Explains what is remembered.
pub fn explain(
    observed: &Observed,
    wanted: &Wanted,
    requests: &Requests,
    memory: &Memory,
    now: Timestamp,
) -> Explanation {
    let pass = Pass {
        observed,
        wanted,
        requests,
        memory,
        now,
    };
    let (status, reason, message) = pass.promoted();
    let rollback = pass.rollback();
    let blocked = pass.blocked();
    let rejected = match memory.rejection(&wanted.revision) {
        Some(rejection) => Type::VersionRejected.says(Status::True, reason_of(rejection.why), pass.rejected()),
        None => Type::VersionRejected.says(Status::False, Reason::NotRejected, "what is wanted was not rejected"),
    };
    let way_back = match blocked {
        None => Type::RollbackAvailable.says(Status::True, Reason::StandingBy, &rollback.summary),
        Some(reason) => Type::RollbackAvailable.says(Status::False, reason, &rollback.summary),
    };
    Explanation {
        statements: vec![Type::Promoted.says(status, reason, &message), way_back, rejected],
        phase: pass.phase(),
        message: memory.transition.is_some().then_some(message),
        rollback,
        due: pass.due(),
    }
}

/// The reason of condition VersionRejected.
fn reason_of(why: Fault) -> Reason {
    match why {
        Fault::ProgressDeadlineExceeded => Reason::ProgressDeadlineExceeded,
        Fault::ProbeFailed => Reason::ProbeFailed,
        Fault::FailedAfterPromotion => Reason::FailedAfterPromotion,
        Fault::RolledBackByRequest => Reason::RolledBackByRequest,
        Fault::RolledBackWithOthers => Reason::RolledBackWithOthers,
    }
}

/// A moment as people write it.
fn at(moment: Timestamp) -> String {
    moment.strftime("%H:%M:%SZ").to_string()
}

impl Pass<'_> {
    fn remembered_in(&self, slot: Option<Slot>) -> Option<&Revision> {
        slot.and_then(|slot| self.memory.revisions.of(slot).as_ref())
    }

    /// What people call the revision of a slot.
    fn name_in(&self, slot: Option<Slot>) -> String {
        let revision = self.remembered_in(slot);
        revision.map_or_else(|| "nothing".to_owned(), |revision| self.name(revision))
    }

    /// What people call a revision: its version, and its configuration where the same version has another one beside it.
    fn name(&self, revision: &Revision) -> String {
        let live = self.memory.live;
        let former = live.filter(|_| self.memory.transition.is_some()).map(Slot::other);
        let beside = [live, former].map(|slot| self.remembered_in(slot));
        let mut beside = beside.into_iter().flatten().chain([&self.wanted.revision]);
        let Revision { version, config_hash } = revision;
        if beside.any(|other| other.version == *version && other.config_hash != *config_hash) {
            return format!("{version} with configuration {config_hash}");
        }
        version.clone()
    }

    fn pods(&self, slot: Slot) -> String {
        let deployed = self.deployed(slot);
        let ready = deployed.map_or(0, |deployed| deployed.ready);
        let trouble = deployed.and_then(|deployed| deployed.trouble.as_ref());
        let trouble = trouble.map_or_else(String::new, |trouble| format!(" ({trouble})"));
        format!("{ready} of {} pods ready{trouble}", self.wanted.size)
    }

    fn promoted(&self) -> (Status, Reason, String) {
        let live = self.name_in(self.memory.live);
        match &self.memory.transition {
            Some(transition) if transition.step <= Step::Proving => self.under_way(transition),
            _ if self.memory.rejection(&self.wanted.revision).is_some() => {
                let wanted = self.name(&self.wanted.revision);
                (
                    Status::False,
                    self.reason_not_live(),
                    format!(
                        "{live} is live; {wanted} was rejected and is not tried again until annotation plexica.io/retry or a change"
                    ),
                )
            }
            _ if self.is_only_hope() && self.is_something_else_wanted() => {
                let wanted = self.name(&self.wanted.revision);
                (
                    Status::False,
                    Reason::AwaitingPromotion,
                    format!(
                        "{live} has no ready pod, and {} stands by ready: {wanted} does not take its place; go back with annotation plexica.io/rollback first",
                        self.name_in(self.memory.live.map(Slot::other))
                    ),
                )
            }
            transition if self.is_something_else_wanted() && self.wanted.held_by_others.is_some() => {
                let others = self.wanted.held_by_others.clone().unwrap_or_default();
                let wanted = self.name(&self.wanted.revision);
                let is = transition.as_ref().map_or_else(
                    || format!("{live} is live"),
                    |transition| self.after_switch(transition, &live),
                );
                (
                    Status::False,
                    Reason::AwaitingOthers,
                    format!("{wanted} comes later: {others}; {is}"),
                )
            }
            Some(transition) if self.is_something_else_wanted() => {
                let wanted = self.name(&self.wanted.revision);
                (
                    Status::False,
                    Reason::Soaking,
                    format!("{wanted} comes next; {}", self.after_switch(transition, &live)),
                )
            }
            Some(transition) => (Status::True, Reason::Live, self.after_switch(transition, &live)),
            None => (Status::True, Reason::Live, format!("{live} is live")),
        }
    }

    /// Why what was rejected is not live: it never was, or it is no more.
    fn reason_not_live(&self) -> Reason {
        match self
            .memory
            .rejection(&self.wanted.revision)
            .map(|rejection| rejection.why)
        {
            Some(Fault::FailedAfterPromotion | Fault::RolledBackByRequest | Fault::RolledBackWithOthers) => {
                Reason::RolledBack
            }
            Some(Fault::ProgressDeadlineExceeded | Fault::ProbeFailed) | None => Reason::Rejected,
        }
    }

    fn is_something_else_wanted(&self) -> bool {
        let live = self.live_revision();
        live != Some(&self.wanted.revision)
    }

    fn under_way(&self, transition: &Transition) -> (Status, Reason, String) {
        let to = self.name(&transition.revision);
        let by = |deadline: Option<Timestamp>| deadline.map_or_else(String::new, |by| format!(" by {}", at(by)));
        let (reason, message) = match transition.step {
            Step::Deploying => (
                Reason::Soaking,
                format!(
                    "{to} is being deployed: {}; it has to be ready for {} s{}",
                    self.pods(transition.to),
                    self.wanted.policy.promotion_delay.as_secs(),
                    by(transition.deadline)
                ),
            ),
            Step::Soaking => {
                let since = self.deployed(transition.to).and_then(|deployed| deployed.ready_since);
                let until = since.map(|since| later(since, self.wanted.policy.promotion_delay));
                let until = until.map_or_else(String::new, |until| format!(" until {}", at(until)));
                (Reason::Soaking, format!("{to} is ready and has to stay so{until}"))
            }
            Step::AwaitingPromotion => self.awaits(&to),
            Step::Switching => (Reason::Switching, format!("requests are being led to {to}")),
            Step::Proving => {
                let overdue = transition.deadline.filter(|deadline| *deadline <= self.now);
                let (whose, look_at) = if self.observed.awaits_gateway {
                    (
                        "EndpointSlices and the Gateway's word on its route",
                        "at condition Routed, and at the Gateway",
                    )
                } else {
                    ("EndpointSlices", "at them, and at kube-controller-manager")
                };
                let awaited = overdue.map_or_else(
                    || format!("its {whose} are awaited{}", by(transition.deadline)),
                    |since| format!("its {whose} should have shown that by {}: look {look_at}", at(since)),
                );
                (Reason::Switching, format!("requests are led to {to}; {awaited}"))
            }
            Step::MovingConnections | Step::StandingBy | Step::Draining => (Reason::Live, String::new()),
        };
        (Status::False, reason, message)
    }

    /// What a candidate waits for that has soaked: a person, other plugins, or both.
    fn awaits(&self, to: &str) -> (Reason, String) {
        let others = match &self.wanted.held_back {
            Some(Hold::ByOthers(others)) => Some(others),
            Some(Hold::Unknown) | None => None,
        };
        let person = "waits for a person, without a deadline: kubectl annotate it plexica.io/promote=<any new value>";
        match others {
            Some(others) if self.is_released() => (
                Reason::AwaitingOthers,
                format!("{to} is ready and waits for others: {others}"),
            ),
            Some(others) => (
                Reason::AwaitingPromotion,
                format!("{to} is ready and {person}; also: {others}"),
            ),
            None if self.is_released() => (Reason::AwaitingPromotion, format!("{to} is ready and goes live")),
            None => (Reason::AwaitingPromotion, format!("{to} is ready and {person}")),
        }
    }

    fn after_switch(&self, transition: &Transition, live: &str) -> String {
        let former = self.name_in(transition.from);
        let mut text = format!("{live} is live; ");
        let until = transition.deadline.map(at).unwrap_or_default();
        // Writing to a String does not fail.
        let _ = match transition.step {
            Step::MovingConnections => write!(text, "connections to {former} are being moved"),
            Step::StandingBy if self.can_do_without() && transition.deadline.is_some_and(|until| until <= self.now) => {
                write!(text, "{former} stands by for the rollback that was asked for and waits")
            }
            Step::StandingBy if self.can_do_without() => write!(text, "{former} stands by until {until}"),
            Step::StandingBy => match self.gives_up_at().filter(|_| self.blocked().is_none()) {
                Some(by) => write!(
                    text,
                    "{former} stands by, since {live} has no ready pod, and is live again by {} if it has none until then",
                    at(by)
                ),
                None => write!(text, "{former} stands by, since {live} has no ready pod"),
            },
            _ if self.can_do_without() => write!(text, "{former} is being drained"),
            _ => write!(text, "{former} is not drained, since {live} has no ready pod"),
        };
        text
    }

    fn rejected(&self) -> String {
        let Some(rejection) = self.memory.rejection(&self.wanted.revision) else {
            return String::new();
        };
        let version = self.name(&rejection.revision);
        let why = match rejection.why {
            Fault::ProgressDeadlineExceeded => "was not ready for long enough before its deadline",
            Fault::ProbeFailed => "did not answer its probe for long enough before its deadline",
            Fault::FailedAfterPromotion => "failed after it had gone live",
            Fault::RolledBackByRequest => "was gone back from by request",
            Fault::RolledBackWithOthers => "was gone back from, since another plugin of the tenant went back",
        };
        format!(
            "{version} {why}, at {}; annotate with plexica.io/retry=<any new value>, or change version or configuration",
            at(rejection.at)
        )
    }

    fn rollback(&self) -> RollbackStatus {
        let blocked = self.blocked();
        let former = self.memory.transition.as_ref().and_then(|transition| transition.from);
        let target = self.remembered_in(former);
        let target = target.map_or_else(|| "nothing".to_owned(), |target| target.version.clone());
        let until = self
            .transition(|step| step == Step::StandingBy)
            .and_then(|transition| transition.deadline)
            // It is kept for longer while what is live has no ready pod.
            .filter(|until| *until > self.now);
        let summary = match blocked {
            None => {
                let with = match &self.wanted.way_back {
                    WayBack::Before(others) | WayBack::After(others) => format!(" with {others}"),
                    WayBack::Alone | WayBack::NotReady(_) | WayBack::Closed(_) => String::new(),
                };
                let until = until.map_or_else(String::new, |until| format!(" until {}", at(until)));
                format!("{target}{with}{until}")
            }
            Some(reason) => match reason {
                Reason::NoFormerVersion => "there is no former version".to_owned(),
                Reason::WindowClosed => "the rollback window has closed".to_owned(),
                Reason::Contracted => "a Contract migration was applied: the former version would not work".to_owned(),
                Reason::SlotTaken => "the candidate took the former version's slot".to_owned(),
                Reason::Switching => "requests are being led elsewhere".to_owned(),
                _ => match &self.wanted.way_back {
                    WayBack::Closed(why) if reason == Reason::OthersStay => why.clone(),
                    WayBack::NotReady(why) => why.clone(),
                    WayBack::After(others) if reason == Reason::AwaitingOthers => {
                        format!("{target} is live again once others have gone back: {others}")
                    }
                    _ => format!("{target} has no ready pod"),
                },
            },
        };
        RollbackStatus {
            available: blocked.is_none(),
            target: blocked.is_none().then_some(target),
            until: until
                .filter(|_| blocked.is_none())
                .map(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time),
            blocked_by: blocked.map(|reason| reason.as_ref().to_owned()),
            summary,
        }
    }

    fn phase(&self) -> Option<Phase> {
        let transition = self.transition(|step| step <= Step::Proving)?;
        Some(match transition.step {
            _ if transition.is_rollback() => Phase::RollingBack,
            Step::AwaitingPromotion => Phase::AwaitingPromotion,
            _ => Phase::Promoting,
        })
    }

    /// The next moment at which a rule may decide otherwise than now.
    fn due(&self) -> Option<Timestamp> {
        let transition = self.memory.transition.as_ref()?;
        let soaked = (transition.step == Step::Soaking)
            .then(|| self.deployed(transition.to)?.ready_since)
            .flatten()
            .map(|since| later(since, self.wanted.policy.promotion_delay));
        // That the last pod is gone tells nobody.
        let looked = (transition.step == Step::Draining).then(|| later(self.now, LOOKED_FOR));
        let asked = self
            .wanted
            .policy
            .probe_interval
            .filter(|_| transition.is_before_switch());
        let asked = asked.map(|interval| later(self.now, interval));
        [transition.deadline, soaked, looked, asked, self.gives_up_at()]
            .into_iter()
            .flatten()
            .filter(|due| *due > self.now)
            .min()
    }
}
