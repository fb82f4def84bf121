//! What is seen of RED, and what is wanted of it.

use jiff::Timestamp;
use plexica_crds::{
    period::Period,
    plugin_installation::conditions::{Outcome, Reason},
};
use serde::{Deserialize, Serialize};

use crate::promotion::Revision;

/// What RED's meter counts: the answer to `GET /activity`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Activity {
    /// Connections that are open.
    pub open: usize,
    /// Seconds since the last one ended, or since the meter was started; 0 while one is open.
    pub idle_seconds: f64,
}

/// Everything that is seen at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// Its Deployment.
    pub deployed: Option<Deployed>,
    /// What its meter says.
    pub look: Look,
}

/// RED's Deployment and its pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// What it is told to run.
    pub revision: Revision,
    /// How many pods it is told to have.
    pub size: i32,
    /// Its pods that are ready.
    pub ready: i32,
    /// The mark that says since when it sleeps. It counts only without pods: who gives it one has woken it.
    pub asleep_since: Option<Timestamp>,
    /// How its pod fares, if it is told to have one.
    pub pods: Outcome,
}

impl Deployed {
    /// Since when it sleeps, if it does.
    pub fn sleeps(&self) -> Option<Timestamp> {
        self.asleep_since.filter(|_| self.size == 0)
    }
}

/// What the meter says.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// It was not asked: RED is not ready, or could not have been idle for long enough.
    Omitted {
        /// When it is to be asked.
        next: Option<Timestamp>,
        /// What was wrong when it was asked last.
        silent: Option<String>,
    },
    /// It has answered.
    Answered {
        /// What.
        activity: Activity,
        /// Since when its pod is ready: who could not be reached was not idle.
        ready_since: Timestamp,
    },
    /// It does not answer, for this reason.
    Silent(String),
}

/// What is wanted of RED.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// It runs this, until nobody has spoken to it for so long.
    Run {
        /// What.
        revision: Revision,
        /// How long.
        idle_after: Period,
    },
    /// It cannot be said now, or is refused: what is there stays as it is.
    Held(Why),
    /// It must not run.
    Refused(Why),
}

/// Why RED does not run as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// The version that it was to run, if one was chosen.
    pub version: Option<String>,
    /// As the reason of condition RedAvailable.
    pub reason: Reason,
    /// What to know or do.
    pub message: String,
}

/// What its Deployment is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What it runs.
    pub revision: Revision,
    /// Since when it sleeps; `None`: it has a pod.
    pub asleep_since: Option<Timestamp>,
}
