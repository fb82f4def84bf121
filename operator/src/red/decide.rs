//! What is done about RED: from what is seen and wanted to one action, and what is said of it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use plexica_crds::{
    condition::Status,
    period::Period,
    plugin_installation::conditions::{Outcome, Reason},
};

use super::facts::{Activity, Deployed, Goal, Look, Observed, Shape, Why};
use crate::promotion::Revision;

/// The meter is not asked more often, whatever `idleAfter` is.
const LEAST: Duration = Duration::from_secs(1);
/// When a meter that was silent is asked again, and when it is looked again whether what is held goes on.
const AGAIN: Duration = Duration::from_secs(30);

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Leave,
    /// Everything of RED is made as said, which is no write if it is so.
    Shape(Shape),
    /// Everything of RED goes.
    Remove,
}

/// What is done, said, and remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The action.
    pub action: Action,
    /// What is said then.
    pub said: Said,
    /// The request to wake that is carried out by it.
    pub woken_by: Option<String>,
    /// When to look again, though nothing happens.
    pub next: Option<Timestamp>,
}

/// What is said of RED.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Whether it runs as it is to and is reached.
    pub available: Status,
    /// Why.
    pub reason: Reason,
    /// What to know or do.
    pub message: String,
    /// What runs or is to run; its hash is empty where it was not started.
    pub revision: Option<Revision>,
    /// Pods that are ready.
    pub ready: i32,
    /// Pods that are wanted.
    pub desired: i32,
}

/// Decides. `wake` is a request that was not carried out yet; `place` is what messages name: the plugin and its namespace.
pub fn decide(observed: &Observed, goal: &Goal, wake: Option<&str>, place: (&str, &str), now: Timestamp) -> Decision {
    let words = Words { place };
    match goal {
        Goal::Refused(why) => Decision {
            action: Action::Remove,
            said: told(why, None),
            // As soon as it may run it does.
            woken_by: wake.map(str::to_owned),
            next: None,
        },
        Goal::Held(why) => Decision {
            action: Action::Leave,
            said: told(why, observed.deployed.as_ref()),
            woken_by: None,
            next: now.checked_add(AGAIN).ok(),
        },
        Goal::Run { revision, idle_after } => {
            let run = Run {
                words,
                revision,
                idle_after,
                now,
            };
            run.decide(observed, wake)
        }
    }
}

/// RED that is to run.
struct Run<'a> {
    words: Words<'a>,
    revision: &'a Revision,
    idle_after: &'a Period,
    now: Timestamp,
}

impl Run<'_> {
    fn decide(&self, observed: &Observed, wake: Option<&str>) -> Decision {
        let is = observed.deployed.as_ref();
        let is_same = is.is_some_and(|is| is.revision == *self.revision);
        let decision = match is.filter(|_| is_same) {
            None => self.up(self.waking("its pod is starting")),
            Some(is) => match (is.sleeps(), wake) {
                (Some(since), None) => self.down(since),
                (Some(_), Some(_)) => self.up(self.waking("it was woken by plexica.io/wake, and its pod is starting")),
                (None, _) if is.size != 1 => self.up(self.waking("its pod is starting")),
                (None, _) => self.awake(is, &observed.look, wake.is_some()),
            },
        };
        Decision {
            woken_by: wake.map(str::to_owned),
            ..decision
        }
    }

    /// It has its pod.
    fn awake(&self, is: &Deployed, look: &Look, is_asked_for: bool) -> Decision {
        let version = &self.revision.version;
        match &is.pods {
            Outcome::Done(..) => {}
            Outcome::Waiting(reason, message) | Outcome::Blocked(reason, message) => {
                let said = match reason {
                    Reason::PodsFailing | Reason::QuotaExceeded => Said {
                        reason: *reason,
                        message: format!("{version} does not start: {message}"),
                        ..self.waking("")
                    },
                    _ => self.waking(message),
                };
                return self.up(Said {
                    ready: is.ready,
                    ..said
                });
            }
        }
        let (next, silent) = match look {
            Look::Omitted { next, silent } => (*next, silent.as_deref()),
            Look::Silent(why) => (self.after(self.idle_after.value().min(AGAIN)), Some(why.as_str())),
            Look::Answered { activity, ready_since } => match self.left(activity, *ready_since) {
                Duration::ZERO if !is_asked_for => return self.down(self.now),
                left => (self.after(left), None),
            },
        };
        // Who asks for it while it is there wants it to stay.
        let next = if is_asked_for {
            self.after(self.idle_after.value())
        } else {
            next
        };
        let (reason, message) = match silent {
            None => (
                Reason::Awake,
                format!(
                    "{version} runs; Service {}-red reaches it. It goes to sleep when no connection was open for {}",
                    self.words.plugin(),
                    self.idle_after
                ),
            ),
            Some(why) => (
                Reason::MeterSilent,
                format!(
                    "{version} runs and stays up: its meter does not say when somebody spoke to it last: {why}; look at \
                     kubectl logs -n {} deploy/{}-red -c meter",
                    self.words.namespace(),
                    self.words.plugin()
                ),
            ),
        };
        Decision {
            next,
            ..self.up(Said {
                available: Status::True,
                reason,
                message,
                revision: Some(self.revision.clone()),
                ready: is.ready,
                desired: 1,
            })
        }
    }

    /// How long it has to be idle still.
    fn left(&self, activity: &Activity, ready_since: Timestamp) -> Duration {
        if activity.open > 0 {
            return self.idle_after.value();
        }
        // What is no time, or more than there is, is none.
        let idle = Duration::try_from_secs_f64(activity.idle_seconds).unwrap_or_default();
        let reached = self.now.duration_since(ready_since);
        let reached = Duration::try_from(reached).unwrap_or_default();
        self.idle_after.value().saturating_sub(idle.min(reached))
    }

    fn after(&self, length: Duration) -> Option<Timestamp> {
        let length = SignedDuration::try_from(length.max(LEAST)).ok()?;
        self.now.checked_add(length).ok()
    }

    fn up(&self, said: Said) -> Decision {
        self.shape(None, said)
    }

    fn down(&self, since: Timestamp) -> Decision {
        // As the mark has it.
        let since = Timestamp::from_second(since.as_second()).unwrap_or(since);
        let (version, plugin) = (&self.revision.version, self.words.plugin());
        let message = format!(
            "{version} is asleep since {since}, when no connection had been open for {}; wake it: kubectl annotate pi {plugin} -n {} \
             plexica.io/wake=$(date +%s) --overwrite",
            self.idle_after,
            self.words.namespace()
        );
        let said = Said {
            available: Status::False,
            reason: Reason::Asleep,
            message,
            revision: Some(self.revision.clone()),
            ready: 0,
            desired: 0,
        };
        self.shape(Some(since), said)
    }

    fn shape(&self, asleep_since: Option<Timestamp>, said: Said) -> Decision {
        Decision {
            action: Action::Shape(Shape {
                revision: self.revision.clone(),
                asleep_since,
            }),
            said,
            woken_by: None,
            next: None,
        }
    }

    fn waking(&self, what: &str) -> Said {
        Said {
            available: Status::False,
            reason: Reason::Waking,
            message: format!("{}: {what}", self.revision.version),
            revision: Some(self.revision.clone()),
            ready: 0,
            desired: 1,
        }
    }
}

/// What messages name.
#[derive(Clone, Copy)]
struct Words<'a> {
    place: (&'a str, &'a str),
}

impl<'a> Words<'a> {
    fn plugin(self) -> &'a str {
        self.place.0
    }

    fn namespace(self) -> &'a str {
        self.place.1
    }
}

/// Why it does not run as it is wanted, and what runs nevertheless.
fn told(why: &Why, is: Option<&Deployed>) -> Said {
    let meanwhile = match is {
        None => String::new(),
        Some(is) => {
            let version = &is.revision.version;
            match is.sleeps() {
                Some(since) => format!("; {version} is asleep since {since}"),
                None => format!("; {version} stays as it is"),
            }
        }
    };
    Said {
        available: Status::False,
        reason: why.reason,
        message: format!("{}{meanwhile}", why.message),
        revision: is
            .map(|is| is.revision.clone())
            .or_else(|| why.version.clone().map(not_started)),
        ready: is.map_or(0, |is| is.ready),
        desired: is.map_or(0, |is| is.size),
    }
}

/// A version that runs with no configuration yet.
fn not_started(version: String) -> Revision {
    Revision {
        version,
        config_hash: String::new(),
    }
}
