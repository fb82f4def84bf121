//! What is said of changes by others that were set right. Pure; takes `now`.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use plexica_crds::condition::{self, ConditionType, Statement, Status};

/// How long the status goes on to say it, from when it first did. The pass that our own correction causes follows within
/// milliseconds: nobody could see what only one pass says.
const SAID_FOR: Duration = Duration::from_mins(10);

/// The reason by which every kind tells of a correction.
pub(super) const CORRECTED: &str = "Corrected";

/// The words of a condition that tells of it.
pub struct Words<T: ConditionType> {
    /// The condition.
    pub type_: T,
    /// Reason while it is told.
    pub corrected: T::Reason,
    /// Reason otherwise.
    pub in_sync: T::Reason,
}

impl<T: ConditionType> Words<T> {
    /// The condition's statement, after a pass that set right what `corrected` says, or nothing.
    pub fn statement(&self, corrected: Option<&str>, before: &[Condition], now: Timestamp) -> Statement {
        if let Some(what) = corrected {
            // With the time: the same thing a second time is news.
            let message = format!("set right at {}: {what}", now.strftime("%H:%M:%SZ"));
            return self.type_.says(Status::True, self.corrected, message);
        }
        let said = condition::find(before, self.type_.into()).filter(|said| said.status == "True");
        match said.filter(|said| now.duration_since(said.last_transition_time.0).unsigned_abs() < SAID_FOR) {
            Some(said) => self.type_.says(Status::True, self.corrected, said.message.clone()),
            None => self
                .type_
                .says(Status::False, self.in_sync, "nothing was found changed by others"),
        }
    }
}

#[cfg(test)]
mod tests {
    use plexica_crds::tenant::conditions::{Reason, Type};

    use super::{super::change, *};

    const WORDS: Words<Type> = Words {
        type_: Type::DriftDetected,
        corrected: Reason::Corrected,
        in_sync: Reason::InSync,
    };

    fn after(conditions: &mut Vec<Condition>, corrected: Option<&str>, second: i64) -> String {
        let now = Timestamp::from_second(second).unwrap();
        let statement = WORDS.statement(corrected, conditions, now);
        condition::set(conditions, statement, 1, now);
        format!("{} {}", conditions[0].status, conditions[0].message)
    }

    #[test]
    fn what_was_set_right_is_said_for_ten_minutes() {
        let mut conditions = vec![];
        assert_eq!(
            after(&mut conditions, None, 1),
            "False nothing was found changed by others"
        );
        let told = "True set right at 00:01:00Z: ResourceQuota had been changed";
        assert_eq!(after(&mut conditions, Some("ResourceQuota had been changed"), 60), told);
        assert_eq!(after(&mut conditions, None, 61), told);
        assert_eq!(after(&mut conditions, None, 659), told);
        assert_eq!(
            after(&mut conditions, None, 660),
            "False nothing was found changed by others"
        );
    }

    #[test]
    fn the_same_change_again_is_an_event_of_its_own() {
        let mut conditions = vec![];
        after(&mut conditions, Some("Role was missing"), 60);
        let first = conditions[0].clone();
        assert_eq!(first.reason, CORRECTED);
        after(&mut conditions, None, 61);
        assert!(change(Some(&first), &conditions[0], true).is_none());
        after(&mut conditions, Some("Role was missing"), 70);
        assert!(change(Some(&first), &conditions[0], true).is_some());
    }
}
