//! From errors to outcomes, and from findings to the object: status, events, metrics.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::{Resource, ResourceExt, runtime::events::Event};
use plexica_crds::{
    Plugin,
    condition::{self, ConditionType as _},
    outcome as outcomes,
    plugin::{
        State,
        conditions::{Outcome, Reason, Type},
    },
};
use serde_json::json;

use super::{
    Context, KIND,
    status::{self, Findings, blocks_deletion},
};
use crate::{
    backends::BackendError,
    pools::Pool,
    runtime::objects::{self, Error, with_due},
};

/// What an error of the registry means for the release.
pub fn outcome<B: ?Sized>(error: &BackendError, pool: &Pool<B>) -> Outcome {
    let text = format!("{} pool {}: {error}", pool.kind, pool.common.name);
    match error {
        BackendError::Unavailable(_) => {
            let since = pool
                .failing_since()
                .map_or_else(String::new, |at| format!(" (since {})", at.strftime("%H:%M:%SZ")));
            Outcome::Waiting(Reason::RegistryUnavailable, format!("{text}{since}"))
        }
        BackendError::Refused(_) => Outcome::Blocked(Reason::RegistryRefused, text),
        BackendError::Foreign(_) | BackendError::MigrationChanged { .. } | BackendError::Unexpected(_) => {
            Outcome::Waiting(Reason::RegistryUnexpected, text)
        }
    }
}

/// An outcome as a metric label.
pub fn label(outcome: &Outcome) -> &'static str {
    let (Outcome::Done(reason, _) | Outcome::Waiting(reason, _) | Outcome::Blocked(reason, _)) = outcome;
    reason.into()
}

/// Writes what a pass found to the object, and tells of what changed by events.
pub async fn findings(
    plugin: &Plugin,
    findings: &Findings,
    due: Option<Timestamp>,
    ctx: &Context,
) -> Result<(), Error> {
    let before = plugin.status.clone().unwrap_or_default();
    let now = Timestamp::now();
    let generation = plugin.metadata.generation.unwrap_or_default();
    let after = status::after(&before, findings, generation, due, now);
    ctx.objects.write_status(plugin.meta(), &before, &after).await?;
    let ready: &str = Type::Ready.into();
    let first_ready = condition::is_true(&after.conditions, ready, generation)
        && condition::find(&before.conditions, ready).is_none();
    if let Some(created) = plugin.creation_timestamp().filter(|_| first_ready) {
        ctx.objects
            .metrics
            .became_ready(KIND, now.duration_since(created.0).unsigned_abs());
    }
    tell(plugin, &before.conditions, &after.conditions, ctx);
    Ok(())
}

/// Says on an object in deletion that nobody uses any more why it is still there.
pub async fn deletion(plugin: &Plugin, outcome: &Outcome, due: Timestamp, ctx: &Context) -> Result<(), Error> {
    let before = plugin.status.clone().unwrap_or_default();
    let generation = plugin.metadata.generation.unwrap_or_default();
    let mut after = before.clone();
    after.observed_generation = Some(generation);
    let deletion_blocked: &str = Type::DeletionBlocked.into();
    after.conditions.retain(|condition| condition.type_ != deletion_blocked);
    let outcome = with_due(outcome, Some(due));
    let (mut statements, _) = outcomes::summarize::<Type>([&outcome], Reason::Deleting, "");
    // Copies may be what is in the way: then the row is gone already.
    let (Outcome::Done(reason, _) | Outcome::Waiting(reason, _) | Outcome::Blocked(reason, _)) = &outcome;
    if Type::Registered.reasons().contains(reason) {
        statements.push(outcome.statement(Type::Registered));
    }
    outcomes::drop_absent(&mut after.conditions, &statements);
    for statement in statements {
        condition::set(&mut after.conditions, statement, generation, Timestamp::now());
    }
    ctx.objects.write_status(plugin.meta(), &before, &after).await?;
    tell(plugin, &before.conditions, &after.conditions, ctx);
    Ok(())
}

/// Says on an object that does not decode what is wrong with it.
pub async fn undecodable(meta: &ObjectMeta, error: &str, ctx: &Context) -> Result<(), Error> {
    let located = ctx.objects.locate_undecodable(meta).await?;
    let error = located.unwrap_or_else(|| error.to_owned());
    let message =
        format!("the object does not decode: {error}; correct it, or install the CRDs of this operator's version");
    explain(meta, &Outcome::Blocked(Reason::Undecodable, message), ctx).await
}

/// Says on an object in deletion that does not decode why it is still there.
pub async fn undecodable_deletion(
    meta: &ObjectMeta,
    outcome: &Outcome,
    due: Timestamp,
    ctx: &Context,
) -> Result<(), Error> {
    explain(meta, &with_due(outcome, Some(due)), ctx).await
}

/// Writes one outcome as the conditions of an object of which only metadata is known: its other conditions go.
async fn explain(meta: &ObjectMeta, outcome: &Outcome, ctx: &Context) -> Result<(), Error> {
    let generation = meta.generation.unwrap_or_default();
    let (mut statements, _) = outcomes::summarize::<Type>([outcome], Reason::Deleting, "");
    match outcome {
        Outcome::Waiting(Reason::InUse, _) => statements.push(blocks_deletion(outcome)),
        Outcome::Blocked(Reason::Undecodable, _) => statements.push(outcome.statement(Type::Accepted)),
        _ => {}
    }
    let mut conditions = vec![];
    for statement in statements {
        condition::set(&mut conditions, statement, generation, Timestamp::now());
    }
    let status = json!({ "observedGeneration": generation, "state": State::Invalid, "conditions": conditions });
    ctx.objects.patch_status(meta, json!({ "status": status })).await
}

/// Tells by events what changed between two lists of conditions.
fn tell(plugin: &Plugin, before: &[Condition], after: &[Condition], ctx: &Context) {
    let events: Vec<Event> = after
        .iter()
        .filter_map(|now| event(condition::find(before, &now.type_), now))
        .collect();
    ctx.objects.publish(plugin, events);
}

/// The event of one condition, if it says something new that a person wants to know.
fn event(before: Option<&Condition>, now: &Condition) -> Option<Event> {
    let summaries: [&str; 2] = [Type::Reconciling.into(), Type::Stalled.into()];
    // What is not accepted is not registered, and why something is not ready its own condition tells.
    let implied = now.type_ == Type::Registered.as_ref() && now.reason == Reason::ManifestInvalid.as_ref()
        || now.type_ == Type::Ready.as_ref() && now.status != "True";
    if summaries.contains(&now.type_.as_str()) || implied {
        return None;
    }
    let bad = (now.status != "True") != (now.type_ == Type::DeletionBlocked.as_ref());
    objects::change(before, now, bad)
}
