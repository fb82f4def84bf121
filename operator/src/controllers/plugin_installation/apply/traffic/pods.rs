//! Since when pods are ready, or are not. Pure.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{apps::v1::DeploymentStatus, core::v1::Pod};
use kube::Resource;

/// Since when a pod is ready; `None` if it is not.
pub fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions
        .iter()
        .find(|condition| condition.type_ == "Ready" && condition.status == "True")?;
    rounded_up(ready.last_transition_time.as_ref()?.0)
}

/// Whether all containers of a pod have ended for good: it was evicted, its node was shut down, or it has completed. Such a pod is
/// left for people to look at, for days perhaps, and another one is made in its place.
pub fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded"))
}

/// Since when none of these pods is ready: since the last of them that was is not, or was made. `None` if one is ready, or if there
/// is no pod.
pub fn none_ready_since(pods: &[&Pod]) -> Option<Timestamp> {
    let since: Option<Vec<_>> = pods.iter().map(|pod| unready_since(pod)).collect();
    since?.into_iter().max()
}

/// Since when a pod is not ready; `None` if it is, or if it does not say. One that is being deleted is not, since then.
fn unready_since(pod: &Pod) -> Option<Timestamp> {
    let meta = pod.meta();
    if let Some(ends) = &meta.deletion_timestamp {
        let grace = SignedDuration::from_secs(meta.deletion_grace_period_seconds.unwrap_or_default());
        return rounded_up(ends.0.checked_sub(grace).ok()?);
    }
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition.type_ == "Ready");
    match ready {
        Some(ready) if ready.status == "True" => None,
        Some(ready) if ready.last_transition_time.is_some() => rounded_up(ready.last_transition_time.as_ref()?.0),
        _ => rounded_up(meta.creation_timestamp.as_ref()?.0),
    }
}

/// Since when there is no pod, and none can be made: a quota forbids it, for example.
pub fn none_made_since(pods: &[&Pod], status: &DeploymentStatus) -> Option<Timestamp> {
    let since = |type_: &str, is: &str| {
        let mut conditions = status.conditions.iter().flatten();
        let found = conditions.find(|condition| condition.type_ == type_ && condition.status == is)?;
        rounded_up(found.last_transition_time.as_ref()?.0)
    };
    let since = since("Available", "False")?.max(since("ReplicaFailure", "True")?);
    pods.is_empty().then_some(since)
}

/// Kubernetes cuts times to seconds: the next one, so that nothing counts as earlier than it was.
fn rounded_up(moment: Timestamp) -> Option<Timestamp> {
    moment.checked_add(SignedDuration::from_secs(1)).ok()
}
