//! From errors to outcomes, and from findings to the object: status, events, metrics.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::{
    Api, Resource, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams},
    runtime::events::{Event, EventType},
};
use plexica_crds::{
    Tenant,
    condition::{self, ConditionType as _, Status},
    tenant::{
        Phase, TenantStatus,
        conditions::{Outcome, Reason, Type},
    },
};
use serde_json::{Value, json};
use tokio::{sync::Notify, time::timeout};
use tracing::{Instrument, debug};

use super::{
    Context, Error, KIND,
    apply::Progress,
    name,
    status::{self, Findings, Moment},
    validate::ValidatedTenant,
};
use crate::{
    backends::{BackendError, postgres::registry::Placement},
    pools::Pool,
    runtime::{
        apply::FieldManager,
        client::{ApiError, within},
    },
};

/// What a backend's error means for its part of the tenant.
pub fn outcome<B: ?Sized>(error: &BackendError, pool: &Pool<B>) -> Outcome {
    let text = format!("{} pool {}: {error}", pool.kind, pool.common.name);
    match error {
        BackendError::Unavailable(_) => {
            let since = pool
                .failing_since()
                .map_or_else(String::new, |at| format!(" (since {})", at.strftime("%H:%M:%SZ")));
            Outcome::Waiting(Reason::BackendUnavailable, format!("{text}{since}"))
        }
        BackendError::Refused(_) => Outcome::Blocked(Reason::BackendRefused, text),
        BackendError::Foreign(what) => not_owned(what),
        BackendError::MigrationChanged { .. } => Outcome::Blocked(Reason::MigrationChanged, text),
        BackendError::Unexpected(_) => Outcome::Waiting(Reason::BackendUnexpected, text),
    }
}

/// What an error means while isolation is tried.
pub fn isolation_outcome<B: ?Sized>(error: &BackendError, pool: &Pool<B>) -> Outcome {
    match outcome(error, pool) {
        Outcome::Waiting(Reason::BackendUnavailable, text) => Outcome::Waiting(Reason::BackendUnavailable, text),
        Outcome::Done(_, text) | Outcome::Waiting(_, text) | Outcome::Blocked(_, text) => {
            Outcome::Waiting(Reason::BackendUnexpected, text)
        }
    }
}

/// What an error of the Kubernetes API means.
pub fn api_outcome(error: &ApiError) -> Outcome {
    let text = format!("Kubernetes: {error}");
    if error.is_refusal() {
        Outcome::Blocked(Reason::ApiRefused, text)
    } else {
        Outcome::Waiting(Reason::ApiUnavailable, text)
    }
}

/// Something of that name is there and is not ours.
pub fn not_owned(what: &str) -> Outcome {
    Outcome::Blocked(
        Reason::NotOwned,
        format!(
            "{what} exists and does not bear this tenant's mark; it stays untouched: remove or rename it, or choose another tenant name"
        ),
    )
}

/// The tenant lives in a pool that the platform file does not name any more.
pub fn no_pool(kind: &str, pool: &str) -> Outcome {
    Outcome::Blocked(
        Reason::PoolUnknown,
        format!("the tenant lives in {kind} pool `{pool}`, which the platform file does not name: add it again"),
    )
}

/// An outcome as a metric label.
pub fn label(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done(reason, _) | Outcome::Waiting(reason, _) | Outcome::Blocked(reason, _) => reason.into(),
    }
}

/// A pass that takes longer than this says how its parts fare so far.
const LONG_PASS: Duration = Duration::from_secs(2);

/// Says on a new object that its provisioning is under way, and, if the pass takes long, how its parts fare so far.
/// Returns the status that the object has then, if anything was written.
pub async fn progress(
    tenant: &Tenant,
    valid: &ValidatedTenant,
    placement: &Placement,
    progress: &Progress,
    over: &Notify,
    ctx: &Context,
) -> Result<Option<TenantStatus>, Error> {
    let before = tenant.status.clone().unwrap_or_default();
    let moment = || Moment {
        generation: valid.generation,
        tenant_id: Some(valid.owner.tenant_id),
        now: Timestamp::now(),
        due: None,
    };
    let mut written = None;
    if before.observed_generation.is_none() {
        let begun = status::begun(&before, &valid.slug, placement, moment());
        write(tenant.meta(), &before, &begun, ctx).await?;
        written = Some(begun);
    }
    if timeout(LONG_PASS, over.notified()).await.is_err() {
        let last = written.unwrap_or(before);
        let so_far = status::so_far(&last, &progress.said(), moment());
        write(tenant.meta(), &last, &so_far, ctx).await?;
        written = Some(so_far);
        over.notified().await;
    }
    Ok(written)
}

/// Writes what a pass found to the object, and tells of what changed by events.
pub async fn findings(
    tenant: &Tenant,
    written: Option<TenantStatus>,
    findings: &Findings,
    due: Option<Timestamp>,
    ctx: &Context,
) -> Result<(), Error> {
    let original = tenant.status.clone().unwrap_or_default();
    let before = written.unwrap_or_else(|| original.clone());
    let now = Timestamp::now();
    let moment = Moment {
        generation: tenant.metadata.generation.unwrap_or_default(),
        tenant_id: match findings {
            Findings::Applied(_) => tenant.uid().and_then(|uid| uid.parse().ok()),
            Findings::Refused(_) => None,
        },
        now,
        due,
    };
    let after = status::after(&before, findings, moment);
    write(tenant.meta(), &before, &after, ctx).await?;
    let first_ready =
        after.phase == Some(Phase::Active) && condition::find(&original.conditions, Type::Ready.into()).is_none();
    if let Some(created) = tenant.creation_timestamp().filter(|_| first_ready) {
        ctx.metrics
            .became_ready(KIND, now.duration_since(created.0).unsigned_abs());
    }
    tell(tenant, &original.conditions, &after.conditions, ctx);
    Ok(())
}

/// Says on an object in deletion why it is still there.
pub async fn deletion(tenant: &Tenant, outcome: &Outcome, due: Timestamp, ctx: &Context) -> Result<(), Error> {
    let before = tenant.status.clone().unwrap_or_default();
    let outcome = status::with_due(outcome, Some(due));
    let mut after = status::after(
        &before,
        &Findings::refused(outcome),
        Moment {
            generation: tenant.metadata.generation.unwrap_or_default(),
            tenant_id: None,
            now: Timestamp::now(),
            due: None,
        },
    );
    after.phase = Some(Phase::PendingDeletion);
    write(tenant.meta(), &before, &after, ctx).await?;
    tell(tenant, &before.conditions, &after.conditions, ctx);
    Ok(())
}

/// Where in the object decoding fails: the error that came with it names no field. It is rare, so the object is read
/// again; `None` if it is gone, cannot be read, or decodes by now.
async fn locate(meta: &ObjectMeta, ctx: &Context) -> Option<String> {
    let api: Api<DynamicObject> = Api::all_with(ctx.client.clone(), &ApiResource::erase::<Tenant>(&()));
    // By list, which the operator may do anyway.
    let named = ListParams::default().fields(&format!("metadata.name={}", meta.name.as_deref()?));
    let object = within(api.list(&named)).await.ok()?.items.pop()?;
    let error = serde_path_to_error::deserialize::<_, Tenant>(serde_json::to_value(object).ok()?).err()?;
    Some(format!("{}: {}", error.path(), error.inner()))
}

/// Says on an object that does not decode what is wrong with it. Its other conditions are not known here and go.
pub async fn undecodable(meta: &ObjectMeta, error: &str, ctx: &Context) -> Result<(), Error> {
    let generation = meta.generation.unwrap_or_default();
    let error = locate(meta, ctx).await.unwrap_or_else(|| error.to_owned());
    let message =
        format!("the object does not decode: {error}; correct it, or install the CRDs of this operator's version");
    let mut conditions = vec![];
    for statement in [
        Type::Ready.says(Status::False, Reason::Undecodable, message.as_str()),
        Type::Stalled.says(Status::True, Reason::Undecodable, message.as_str()),
    ] {
        condition::set(&mut conditions, statement, generation, Timestamp::now());
    }
    let patch =
        json!({ "status": { "observedGeneration": generation, "phase": Phase::Failed, "conditions": conditions } });
    patch_status(meta, patch, ctx).await
}

async fn write(meta: &ObjectMeta, before: &TenantStatus, after: &TenantStatus, ctx: &Context) -> Result<(), Error> {
    if before == after {
        return Ok(());
    }
    let (before, after) = (json!(before), json!(after));
    patch_status(meta, json!({ "status": merge_patch(&before, &after) }), ctx).await
}

async fn patch_status(meta: &ObjectMeta, mut patch: Value, ctx: &Context) -> Result<(), Error> {
    // The uid keeps the patch from an object that was made anew under the same name.
    patch["metadata"] = json!({ "uid": meta.uid });
    let params = PatchParams {
        field_manager: Some(FieldManager::Status.as_ref().to_owned()),
        ..PatchParams::default()
    };
    let api = Api::<Tenant>::all(ctx.client.clone());
    let name = meta.name.as_deref().unwrap_or_default();
    // `DynamicObject` answers would do too; the typed answer would fail on an undecodable object.
    let request = kube::core::Request::new(Tenant::url_path(&(), None))
        .patch_subresource("status", name, &params, &Patch::Merge(patch))
        .map_err(|error| Error::Status(ApiError::Kube(Box::new(kube::Error::BuildRequest(error)))))?;
    match within(api.into_client().request::<Value>(request)).await {
        Ok(object) => {
            let written = &object["metadata"];
            ctx.freshness
                .wrote(written["uid"].as_str(), written["resourceVersion"].as_str());
            Ok(())
        }
        Err(error) if error.status().is_some_and(kube::core::Status::is_not_found) => Ok(()),
        Err(error) => Err(Error::Status(error)),
    }
}

/// The JSON merge patch (RFC 7396) from one value to another; lists are replaced whole.
fn merge_patch(before: &Value, after: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return after.clone();
    };
    let changed = after
        .iter()
        .filter(|(key, value)| before.get(*key) != Some(value))
        .map(|(key, value)| {
            let patch = before
                .get(key)
                .map_or_else(|| value.clone(), |old| merge_patch(old, value));
            (key.clone(), patch)
        });
    let removed = before
        .keys()
        .filter(|key| !after.contains_key(*key))
        .map(|key| (key.clone(), Value::Null));
    Value::Object(changed.chain(removed).collect())
}

/// Tells by events what changed between two lists of conditions. Best effort: no pass waits for it or fails by it.
fn tell(tenant: &Tenant, before: &[Condition], after: &[Condition], ctx: &Context) {
    let events: Vec<Event> = after
        .iter()
        .filter_map(|now| event(condition::find(before, &now.type_), now))
        .collect();
    if events.is_empty() {
        return;
    }
    let reference = tenant.object_ref(&());
    let (recorder, name) = (ctx.recorder.clone(), name(tenant));
    tokio::spawn(
        async move {
            for event in events {
                if let Err(error) = recorder.publish(&event, &reference).await {
                    debug!(tenant = name, %error, "an event was lost");
                }
            }
        }
        .in_current_span(),
    );
}

/// The event of one condition, if it says something new that a person wants to know.
fn event(before: Option<&Condition>, now: &Condition) -> Option<Event> {
    let quiet = ["Provisioning", "NotYetVerified", "NotSuspended", "InSync", "NotWanted"];
    let summaries: [&str; 2] = [Type::Reconciling.into(), Type::Stalled.into()];
    let same = before.is_some_and(|before| before.status == now.status && before.reason == now.reason);
    if same || quiet.contains(&now.reason.as_str()) || summaries.contains(&now.type_.as_str()) {
        return None;
    }
    let bad = now.status != "True" && now.reason != "SuspendRequested" || now.type_ == Type::DriftDetected.as_ref();
    Some(Event {
        type_: if bad { EventType::Warning } else { EventType::Normal },
        // The recorder's key holds no note: the two words must tell events apart.
        reason: if bad { now.reason.clone() } else { now.type_.clone() },
        action: if bad { now.type_.clone() } else { now.reason.clone() },
        note: Some(if now.message.is_empty() {
            now.type_.clone()
        } else {
            now.message.chars().take(1_000).collect()
        }),
        secondary: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_holds_only_what_changed() {
        let before = json!({"a": 1, "b": {"c": 1, "d": 2}, "gone": true, "list": [1]});
        let after = json!({"a": 1, "b": {"c": 1, "d": 3}, "list": [1, 2]});
        assert_eq!(
            merge_patch(&before, &after),
            json!({"b": {"d": 3}, "gone": null, "list": [1, 2]})
        );
    }

    fn condition(status: &str, reason: &str) -> Condition {
        Condition {
            type_: "IdentityReady".into(),
            status: status.into(),
            reason: reason.into(),
            message: "realm tenant-x in pool main".into(),
            observed_generation: None,
            last_transition_time: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH),
        }
    }

    #[test]
    fn events_tell_what_became_of_a_part_and_only_once() {
        let ready = condition("True", "Provisioned");
        let told = event(None, &ready).unwrap();
        assert_eq!(
            (told.reason.as_str(), told.note.as_deref()),
            ("IdentityReady", Some("realm tenant-x in pool main"))
        );
        assert!(event(Some(&ready), &ready).is_none());
        let down = event(Some(&ready), &condition("False", "BackendUnavailable")).unwrap();
        assert_eq!(
            (down.reason.as_str(), down.action.as_str()),
            ("BackendUnavailable", "IdentityReady")
        );
    }
}
