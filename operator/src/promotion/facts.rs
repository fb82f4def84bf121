//! What is seen of an installation's slots, and what is wanted.

use std::time::Duration;

use jiff::Timestamp;
use plexica_crds::names::Slot;

/// What a slot runs: a version with its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision {
    /// The plugin's version.
    pub version: String,
    /// Hash of the configuration: the same version with another one is another revision.
    pub config_hash: String,
}

/// Something for each of the two slots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PerSlot<T> {
    /// Of slot `a`.
    pub a: T,
    /// Of slot `b`.
    pub b: T,
}

impl<T> PerSlot<T> {
    /// That of a slot.
    pub fn of(&self, slot: Slot) -> &T {
        match slot {
            Slot::A => &self.a,
            Slot::B => &self.b,
        }
    }

    /// That of a slot, to be changed.
    pub fn of_mut(&mut self, slot: Slot) -> &mut T {
        match slot {
            Slot::A => &mut self.a,
            Slot::B => &mut self.b,
        }
    }
}

/// Everything that is seen at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// What the live Service selects.
    pub selector: Selector,
    /// The slot that the live Service is marked with: it is written together with the selector, so that a selector that
    /// somebody else changed tells.
    pub mark: Option<Slot>,
    /// The Deployments of the slots.
    pub slots: PerSlot<Option<Deployed>>,
    /// What leads requests to a slot: what the live Service's EndpointSlices name, and the Gateway's route, if it leads to slots,
    /// as one more.
    pub endpoints: PerSlot<Endpoints>,
    /// The route has to lead to the live slot, and it is not sure that it does. For the words only: `endpoints` count it.
    pub awaits_gateway: bool,
}

/// What a Service selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// There is no Service.
    Absent,
    /// The pods of one slot, and nothing else.
    Slot(Slot),
    /// Anything else: a key is missing, is another's, or is one too many.
    Foreign,
}

/// A slot's Deployment and its pods.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Deployed {
    /// What it is told to run.
    pub revision: Revision,
    /// How many pods it is told to have.
    pub size: i32,
    /// Its pods that are ready, of this revision.
    pub ready: i32,
    /// Since when all its pods are ready without a break, and of this revision, and as many as it is told; `None` if they
    /// are not.
    pub ready_since: Option<Timestamp>,
    /// Since when none of its pods is ready without a break, by those that are there: the earliest moment that they prove.
    /// `None` if one is ready, or if they prove nothing.
    pub unready_since: Option<Timestamp>,
    /// Id of the transition after which its pods were replaced by ones that never served, or are being so.
    pub recycled: Option<String>,
    /// It bears the mark that its revision was rejected.
    pub rejected: bool,
    /// No pod of another template is left.
    pub is_settled: bool,
    /// Pods that are there at all, those that end included. One that has ended, evicted or completed, is not.
    pub pods: i32,
    /// What is wrong with a pod that does not start, or does not answer.
    pub trouble: Option<String>,
    /// It is a candidate that does not answer its probe: then it has no `ready_since`, whatever its pods say.
    pub is_unanswered: bool,
    /// Since when the operator has been asking it its probe without a break of its own, such as a restart: what it answered
    /// before that is not known any more. `None` if nothing is asked.
    pub asked_since: Option<Timestamp>,
}

/// How the EndpointSlices name a slot's pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Endpoints {
    /// All that are named.
    pub named: i32,
    /// Those of them that are ready.
    pub ready: i32,
}

/// What is wanted of an installation that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What is to be live.
    pub revision: Revision,
    /// Pods of the live slot, of a candidate and of a standby.
    pub size: i32,
    /// How releases go live.
    pub policy: Policy,
    /// Something new may be begun. Not before it is known what is wanted: until then `revision` is what was wanted last.
    pub may_begin: bool,
    /// Why a candidate may not go live now; `None` if it may. It soaks on, and is led like any other.
    pub held_back: Option<Hold>,
    /// Why nothing new is begun now: as many other plugins of the tenant are on their way as may be, in one sentence.
    pub held_by_others: Option<String>,
    /// What other plugins of the tenant mean for the way back.
    pub way_back: WayBack,
    /// Whether it goes back with another plugin, though nobody asked for that.
    pub follows: Follows,
    /// A Contract migration was applied: what came before does not work any more.
    pub contracted: bool,
}

/// Why a candidate does not go live, though it may be ready.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Hold {
    /// It is not known whether it is wanted still.
    Unknown,
    /// Other plugins of the tenant go live with it, and are not prepared, or go first; in one sentence.
    ByOthers(String),
}

/// What other plugins mean for a way back. Sentences are for people.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WayBack {
    /// The former version goes with all that is live.
    Alone,
    /// Others go back with it, after it.
    Before(String),
    /// Others go back with it, before it.
    After(String),
    /// One that has to go back with it has no ready pod to go back to.
    NotReady(String),
    /// One that has to go back with it cannot.
    Closed(String),
}

/// Whether one has to go back with another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Follows {
    /// All that is live goes together.
    Nobody,
    /// It does not, and may yet: others are on their way, or the way back is not free. What could be gone back to is kept.
    Perhaps,
    /// It goes back, for this reason.
    Back(String),
}

/// How releases go live: `spec.promotion`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Without being asked.
    pub auto: bool,
    /// How long a candidate has to be ready.
    pub promotion_delay: Duration,
    /// How long the former revision stands by.
    pub rollback_window: Duration,
    /// By when a candidate has to have been ready for long enough.
    pub progress_deadline: Duration,
    /// By when nobody speaks to the former revision any more.
    pub connection_drain: Duration,
    /// Go back without being asked when what went live fails.
    pub auto_rollback: bool,
    /// How often a candidate is asked its probe; `None` if it has none.
    pub probe_interval: Option<Duration>,
}

/// Values of the request annotations that were not carried out yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// `plexica.io/promote`.
    pub promote: Option<String>,
    /// `plexica.io/rollback`.
    pub rollback: Option<String>,
    /// `plexica.io/retry`.
    pub retry: Option<String>,
}
