//! Conditions by the book: the metav1 type, set purely, with time as an argument.
//!
//! Rules kept here: `lastTransitionTime` moves only when `status` moves; setting the same thing twice
//! changes nothing; every condition carries the generation it speaks of.
//! Source: sig-architecture/api-conventions.md, "Typical status properties".

use std::fmt;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use strum::{AsRefStr, EnumString, IntoStaticStr};

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AsRefStr, EnumString, IntoStaticStr)]
pub enum Status {
    /// The condition's statement holds.
    True,
    /// It does not hold.
    False,
    /// Nobody can say yet.
    Unknown,
}

/// One statement to be recorded: which condition, what of it, why, and what a person should know or do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Name of the condition.
    pub type_: &'static str,
    /// Whether it holds.
    pub status: Status,
    /// Reason from the closed enum of that condition.
    pub reason: &'static str,
    /// For people; never holds a secret.
    pub message: String,
}

/// The types of one resource's conditions: a closed enum, each with the reasons that it may give.
///
/// `Ready`, `Reconciling` and `Stalled` follow kstatus (sigs.k8s.io/cli-utils/pkg/kstatus): the latter two exist
/// only while they are True.
pub trait ConditionType: Copy + fmt::Debug + Into<&'static str> {
    /// The closed enum of reasons.
    type Reason: Copy + PartialEq + fmt::Debug + Into<&'static str> + 'static;
    /// Everything works.
    const READY: Self;
    /// The operator is at work or waits for something that heals without help.
    const RECONCILING: Self;
    /// Nothing goes on without a person.
    const STALLED: Self;

    /// The reasons that this condition may give.
    fn reasons(self) -> &'static [Self::Reason];

    /// A statement of this condition.
    fn says(self, status: Status, reason: Self::Reason, message: impl Into<String>) -> Statement {
        debug_assert!(self.reasons().contains(&reason), "{self:?} may not give {reason:?}");
        Statement {
            type_: self.into(),
            status,
            reason: reason.into(),
            message: message.into(),
        }
    }
}

/// Longest message that the schema of metav1.Condition admits.
const MESSAGE_MAX: usize = 32_768;

/// Records a statement in a list of conditions, which stays sorted in the order of first appearance.
pub fn set(conditions: &mut Vec<Condition>, statement: Statement, generation: i64, now: Timestamp) {
    let Statement {
        type_,
        status,
        reason,
        mut message,
    } = statement;
    while message.len() > MESSAGE_MAX {
        message.pop();
    }
    let status: &'static str = status.into();
    // metav1.Time has whole seconds: finer ones would come back changed and look like a difference.
    let now = Time(Timestamp::from_second(now.as_second()).unwrap_or(now));
    match conditions.iter_mut().find(|c| c.type_ == type_) {
        Some(found) => {
            if found.status != status {
                found.last_transition_time = now;
            }
            status.clone_into(&mut found.status);
            reason.clone_into(&mut found.reason);
            found.message = message;
            found.observed_generation = Some(generation);
        }
        None => conditions.push(Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message,
            observed_generation: Some(generation),
            last_transition_time: now,
        }),
    }
}

/// Finds a condition by its type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == type_)
}

/// Whether the condition is True and speaks of this generation.
pub fn is_true(conditions: &[Condition], type_: &str, generation: i64) -> bool {
    find(conditions, type_).is_some_and(|c| c.status == "True" && c.observed_generation == Some(generation))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ready(status: Status, reason: &'static str) -> Statement {
        Statement {
            type_: "Ready",
            status,
            reason,
            message: String::new(),
        }
    }

    #[test]
    fn setting_twice_changes_nothing() {
        let mut list = vec![];
        set(&mut list, ready(Status::True, "Ready"), 3, at(10));
        let before = list.clone();
        set(&mut list, ready(Status::True, "Ready"), 3, at(99));
        assert_eq!(list, before);
    }

    #[test]
    fn transition_time_moves_only_with_the_status() {
        let mut list = vec![];
        set(&mut list, ready(Status::False, "Provisioning"), 1, at(10));
        set(&mut list, ready(Status::False, "BackendUnavailable"), 1, at(20));
        assert_eq!(list[0].last_transition_time.0, at(10));
        set(&mut list, ready(Status::True, "Ready"), 1, at(30));
        assert_eq!(list[0].last_transition_time.0, at(30));
    }
}
