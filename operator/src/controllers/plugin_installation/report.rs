//! From findings to the object: status, events, metrics.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::{Resource, runtime::events::Event};
use plexica_crds::{
    PluginInstallation, condition, outcome,
    plugin_installation::{
        Phase,
        conditions::{Outcome, Reason, Type},
    },
};
use serde_json::json;

use super::{
    Context,
    status::{self, Findings, Moment},
};
use crate::runtime::objects::{self, Error};

/// An outcome as a metric label.
pub fn label(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done(reason, _) | Outcome::Waiting(reason, _) | Outcome::Blocked(reason, _) => (*reason).into(),
    }
}

fn moment(meta: &ObjectMeta, due: Option<Timestamp>) -> Moment {
    Moment {
        generation: meta.generation.unwrap_or_default(),
        now: Timestamp::now(),
        due,
    }
}

/// Writes what a pass found to the object, and tells of what changed by events.
pub async fn findings(
    installation: &PluginInstallation,
    findings: &Findings,
    due: Option<Timestamp>,
    ctx: &Context,
) -> Result<(), Error> {
    let original = installation.status.clone().unwrap_or_default();
    let before = match findings {
        Findings::Applied(steps) => steps.written.clone(),
        Findings::Deleting(_) | Findings::Unresolved(_) | Findings::Shut(_) => None,
    };
    let before = before.unwrap_or_else(|| original.clone());
    let moment = moment(installation.meta(), due);
    let after = status::after(&before, findings, moment);
    ctx.objects.write_status(installation.meta(), &before, &after).await?;
    let ready = |conditions: &[Condition]| {
        condition::find(conditions, Type::Ready.into()).is_some_and(|ready| ready.status == "True")
    };
    let first = original.live_slot.is_none() && after.phase == Some(Phase::Ready) && !ready(&original.conditions);
    if let Some(created) = installation.meta().creation_timestamp.as_ref().filter(|_| first) {
        let length = moment.now.duration_since(created.0).unsigned_abs();
        ctx.objects.metrics.became_ready(super::KIND, length);
    }
    tell(installation, &before.conditions, &after.conditions, ctx);
    Ok(())
}

/// Says on an object in deletion why it is still there.
pub async fn deletion(
    installation: &PluginInstallation,
    outcome: &Outcome,
    due: Timestamp,
    ctx: &Context,
) -> Result<(), Error> {
    let before = installation.status.clone().unwrap_or_default();
    let outcome = objects::with_due(outcome, Some(due));
    let mut after = status::after(&before, &Findings::Deleting(outcome), moment(installation.meta(), None));
    after.phase = Some(Phase::Uninstalling);
    ctx.objects.write_status(installation.meta(), &before, &after).await?;
    tell(installation, &before.conditions, &after.conditions, ctx);
    Ok(())
}

/// Says on an object that does not decode what is wrong with it.
pub async fn undecodable(meta: &ObjectMeta, error: &str, ctx: &Context) -> Result<(), Error> {
    let located = ctx.objects.locate_undecodable(meta).await?;
    let error = located.unwrap_or_else(|| error.to_owned());
    let message =
        format!("the object does not decode: {error}; correct it, or install the CRDs of this operator's version");
    explain(
        meta,
        &Outcome::Blocked(Reason::Undecodable, message),
        Phase::Failed,
        ctx,
    )
    .await
}

/// Says on an object in deletion that does not decode why it is still there.
pub async fn undecodable_deletion(
    meta: &ObjectMeta,
    outcome: &Outcome,
    due: Timestamp,
    ctx: &Context,
) -> Result<(), Error> {
    explain(meta, &objects::with_due(outcome, Some(due)), Phase::Uninstalling, ctx).await
}

/// Writes one outcome as the whole status of an object of which only metadata is known: its other conditions go.
async fn explain(meta: &ObjectMeta, outcome: &Outcome, phase: Phase, ctx: &Context) -> Result<(), Error> {
    let generation = meta.generation.unwrap_or_default();
    let (statements, _) = outcome::summarize::<Type>([outcome], Reason::Installed, "");
    let mut conditions = vec![];
    for statement in statements {
        condition::set(&mut conditions, statement, generation, Timestamp::now());
    }
    let status = json!({ "observedGeneration": generation, "phase": phase, "conditions": conditions });
    ctx.objects.patch_status(meta, json!({ "status": status })).await
}

/// Conditions that sum up what the others say.
const SUMMARIES: [&str; 3] = ["Ready", "Reconciling", "Stalled"];

/// Tells by events what changed between two lists of conditions.
fn tell(installation: &PluginInstallation, before: &[Condition], after: &[Condition], ctx: &Context) {
    let events: Vec<Event> = after
        .iter()
        // What a step says explains Ready; it is told once.
        .filter(|now| {
            let ready: &str = Type::Ready.into();
            let told = |other: &Condition| {
                !SUMMARIES.contains(&other.type_.as_str()) && other.reason == now.reason && other.status != "True"
            };
            now.type_ != ready || now.status == "True" || !after.iter().any(told)
        })
        .filter_map(|now| event(condition::find(before, &now.type_), now))
        .collect();
    ctx.objects.publish(installation, events);
}

/// The event of one condition, if it says something new that a person wants to know.
fn event(before: Option<&Condition>, now: &Condition) -> Option<Event> {
    let quiet = [
        "Installing",
        "Provisioning",
        "Migrating",
        "PodsStarting",
        "RoutePending",
        "NoGateway",
        "NoFormerVersion",
        "SlotTaken",
        "Switching",
        "NotBegun",
        "NotRejected",
        "InSync",
    ];
    if quiet.contains(&now.reason.as_str()) || now.type_ != SUMMARIES[0] && SUMMARIES.contains(&now.type_.as_str()) {
        return None;
    }
    let asked_for = [
        "Disabled",
        "TenantSuspended",
        "Soaking",
        "AwaitingPromotion",
        "AwaitingOthers",
        "WindowClosed",
        "OthersStay",
        "Waking",
        "Asleep",
    ];
    let bad = [Type::VersionRejected, Type::TrafficDrift].map(<&str>::from);
    // That an old column went is as planned; that a version without it is wanted is not.
    let way_back: &str = Type::RollbackAvailable.into();
    let is_planned = now.type_ == way_back && now.reason == Reason::Contracted.as_ref();
    let is_warning = if is_planned {
        false
    } else if now.reason == Reason::MeterSilent.as_ref() {
        true
    } else if bad.contains(&now.type_.as_str()) {
        now.status == "True"
    } else {
        now.status != "True" && !asked_for.contains(&now.reason.as_str())
    };
    objects::change(before, now, is_warning)
}
