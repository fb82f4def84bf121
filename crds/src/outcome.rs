//! How the parts of a resource fare after a pass, and what that sums up to.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::condition::{ConditionType, Statement, Status};

/// How one part of a resource fares after a pass; `R` is the resource's closed enum of reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<R> {
    /// As declared.
    Done(R, String),
    /// Under way, or waiting for something that heals without help.
    Waiting(R, String),
    /// Nothing goes on without a person.
    Blocked(R, String),
}

impl<R: Copy> Outcome<R> {
    /// The outcome as a condition.
    pub fn statement<T: ConditionType<Reason = R>>(&self, type_: T) -> Statement {
        match self {
            Self::Done(reason, message) => type_.says(Status::True, *reason, message),
            Self::Waiting(reason, message) | Self::Blocked(reason, message) => {
                type_.says(Status::False, *reason, message)
            }
        }
    }
}

/// What the parts sum up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Summary {
    /// Every part is as declared.
    Done,
    /// A part waits, and none is blocked.
    Waiting,
    /// A part is blocked.
    Blocked,
}

/// Sums the parts up into Ready, Reconciling and Stalled. When all is done, Ready gives this reason and message.
///
/// The first part that is blocked explains Ready; else the first that waits. Reconciling and Stalled are
/// absent (not False) when they do not hold, as kstatus wants it.
pub fn summarize<'a, T: ConditionType>(
    parts: impl IntoIterator<Item = &'a Outcome<T::Reason>>,
    done: T::Reason,
    message: &str,
) -> (Vec<Statement>, Summary) {
    let mut blocked = None;
    let mut waiting = None;
    for part in parts {
        match part {
            Outcome::Done(..) => {}
            Outcome::Waiting(reason, message) => drop(waiting.get_or_insert((*reason, message))),
            Outcome::Blocked(reason, message) => drop(blocked.get_or_insert((*reason, message))),
        }
    }
    let Some((reason, explanation)) = blocked.or(waiting) else {
        return (vec![T::READY.says(Status::True, done, message)], Summary::Done);
    };
    let mut statements = vec![T::READY.says(Status::False, reason, explanation)];
    if let Some((reason, message)) = waiting {
        statements.push(T::RECONCILING.says(Status::True, reason, message));
    }
    if let Some((reason, message)) = blocked {
        statements.push(T::STALLED.says(Status::True, reason, message));
        return (statements, Summary::Blocked);
    }
    (statements, Summary::Waiting)
}

/// Removes Reconciling and Stalled if the statements do not hold them any more. They are named so in every
/// resource: kstatus says how.
pub fn drop_absent(conditions: &mut Vec<Condition>, statements: &[Statement]) {
    for name in ["Reconciling", "Stalled"] {
        if !statements.iter().any(|s| s.type_ == name) {
            conditions.retain(|c| c.type_ != name);
        }
    }
}
