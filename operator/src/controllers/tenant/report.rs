//! From errors to outcomes, and from findings to the object: status, events, metrics.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::{Resource, ResourceExt, runtime::events::Event};
use plexica_crds::{
    Tenant, condition,
    tenant::{
        Phase, TenantStatus,
        conditions::{self, Outcome, Reason, Type},
    },
};
use serde_json::json;
use tokio::{sync::Notify, time::timeout};

use super::{
    Context, KIND,
    apply::Progress,
    plugins,
    status::{self, Findings, Moment},
    validate::ValidatedTenant,
};
use crate::{
    backends::{BackendError, postgres::registry::Placement},
    pools::Pool,
    runtime::{
        client::ApiError,
        objects::{self, Error, with_due},
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
        ctx.objects.write_status(tenant.meta(), &before, &begun).await?;
        written = Some(begun);
    }
    if timeout(LONG_PASS, over.notified()).await.is_err() {
        let last = written.unwrap_or(before);
        let so_far = status::so_far(&last, &progress.said(), moment());
        ctx.objects.write_status(tenant.meta(), &last, &so_far).await?;
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
    let mut after = status::after(&before, findings, moment);
    after.plugins = Some(plugins::count(&ctx.installations.state(), &tenant.name_any()));
    ctx.objects.write_status(tenant.meta(), &before, &after).await?;
    let first_ready =
        after.phase == Some(Phase::Active) && condition::find(&original.conditions, Type::Ready.into()).is_none();
    if let Some(created) = tenant.creation_timestamp().filter(|_| first_ready) {
        ctx.objects
            .metrics
            .became_ready(KIND, now.duration_since(created.0).unsigned_abs());
    }
    tell(tenant, &original.conditions, &after.conditions, ctx);
    Ok(())
}

/// Says on an object in deletion why it is still there.
pub async fn deletion(tenant: &Tenant, outcome: &Outcome, due: Timestamp, ctx: &Context) -> Result<(), Error> {
    let before = tenant.status.clone().unwrap_or_default();
    let outcome = with_due(outcome, Some(due));
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
    ctx.objects.write_status(tenant.meta(), &before, &after).await?;
    tell(tenant, &before.conditions, &after.conditions, ctx);
    Ok(())
}

/// Says on an object that does not decode what is wrong with it.
pub async fn undecodable(meta: &ObjectMeta, error: &str, ctx: &Context) -> Result<(), Error> {
    let located = ctx.objects.locate_undecodable(meta).await?;
    let error = located.unwrap_or_else(|| error.to_owned());
    let message =
        format!("the object does not decode: {error}; correct it, or install the CRDs of this operator's version");
    explain(meta, &Outcome::Blocked(Reason::Undecodable, message), None, ctx).await
}

/// Says on an object in deletion that does not decode why it is still there.
pub async fn undecodable_deletion(
    meta: &ObjectMeta,
    outcome: &Outcome,
    due: Timestamp,
    ctx: &Context,
) -> Result<(), Error> {
    explain(meta, &with_due(outcome, Some(due)), Some(Phase::PendingDeletion), ctx).await
}

/// Writes one outcome as the whole status of an object of which only metadata is known: its other conditions go.
async fn explain(meta: &ObjectMeta, outcome: &Outcome, phase: Option<Phase>, ctx: &Context) -> Result<(), Error> {
    let generation = meta.generation.unwrap_or_default();
    let (statements, summary) = conditions::summarize([outcome]);
    let mut conditions = vec![];
    for statement in statements {
        condition::set(&mut conditions, statement, generation, Timestamp::now());
    }
    let status = json!({
        "observedGeneration": generation, "phase": phase.unwrap_or(summary), "conditions": conditions,
    });
    ctx.objects.patch_status(meta, json!({ "status": status })).await
}

/// Tells by events what changed between two lists of conditions.
fn tell(tenant: &Tenant, before: &[Condition], after: &[Condition], ctx: &Context) {
    let events: Vec<Event> = after
        .iter()
        .filter_map(|now| event(condition::find(before, &now.type_), now))
        .collect();
    ctx.objects.publish(tenant, events);
}

/// The event of one condition, if it says something new that a person wants to know.
fn event(before: Option<&Condition>, now: &Condition) -> Option<Event> {
    let quiet = ["Provisioning", "NotYetVerified", "NotSuspended", "InSync", "NotWanted"];
    let summaries: [&str; 2] = [Type::Reconciling.into(), Type::Stalled.into()];
    if quiet.contains(&now.reason.as_str()) || summaries.contains(&now.type_.as_str()) {
        return None;
    }
    let bad = now.status != "True" && now.reason != "SuspendRequested" || now.type_ == Type::DriftDetected.as_ref();
    objects::change(before, now, bad)
}
