//! Events: what became of an object, for people. Best effort: no pass waits for one or fails by one.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType};
use tracing::{Instrument, debug};

use super::{Kind, Objects, drift::CORRECTED};
use crate::runtime::client::within;

/// Longest note that events.k8s.io/v1 admits.
const NOTE_MAX: usize = 1_000;

impl<K: Kind> Objects<K> {
    /// Publishes events about an object.
    pub fn publish(&self, object: &K, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let (recorder, reference) = (self.recorder.clone(), object.object_ref(&()));
        tokio::spawn(
            async move {
                for event in events {
                    if let Err(error) = within(recorder.for_next().publish(&event, &reference)).await {
                        debug!(%error, "an event was lost");
                    }
                }
            }
            .in_current_span(),
        );
    }
}

/// The event of a condition, if it says something new; `bad` makes it a warning.
pub fn change(before: Option<&Condition>, now: &Condition, bad: bool) -> Option<Event> {
    let is_same = |before: &Condition| {
        let is_same = before.status == now.status && before.reason == now.reason;
        // Each correction is told: its message says when it was.
        is_same && (now.reason != CORRECTED || before.message == now.message)
    };
    if before.is_some_and(is_same) {
        return None;
    }
    Some(Event {
        type_: if bad { EventType::Warning } else { EventType::Normal },
        // The recorder's key holds no note: the two words must tell events apart.
        reason: if bad { now.reason.clone() } else { now.type_.clone() },
        action: if bad { now.type_.clone() } else { now.reason.clone() },
        note: Some(if now.message.is_empty() {
            now.type_.clone()
        } else {
            now.message.chars().take(NOTE_MAX).collect()
        }),
        secondary: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(status: &str, reason: &str) -> Condition {
        Condition {
            type_: "IdentityReady".into(),
            status: status.into(),
            reason: reason.into(),
            message: "realm tenant-x in pool main".into(),
            observed_generation: None,
            last_transition_time: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH),
        }
    }

    #[test]
    fn events_tell_what_became_of_a_part_and_only_once() {
        let ready = condition("True", "Provisioned");
        let told = change(None, &ready, false).unwrap();
        assert_eq!(
            (told.reason.as_str(), told.note.as_deref()),
            ("IdentityReady", Some("realm tenant-x in pool main"))
        );
        assert!(change(Some(&ready), &ready, false).is_none());
        let down = change(Some(&ready), &condition("False", "BackendUnavailable"), true).unwrap();
        assert_eq!(
            (down.reason.as_str(), down.action.as_str()),
            ("BackendUnavailable", "IdentityReady")
        );
    }
}
