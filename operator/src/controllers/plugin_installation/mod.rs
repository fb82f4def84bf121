//! The PluginInstallation's reconciler.
//!
//! A pass reads like its description: dereference (what the caches know) → validate (what is known, and which version; pure) →
//! hold → stop, or serve and then deliver → status; at its end, `cleanup`.
//!
//! *Serve* is the care of what runs, a set of frozen revisions (`model`): traffic, pods, policy, route, database. *Deliver* is the way
//! of what is wanted next: configuration, migrations, a revision, and then the traffic light. Nothing of the one waits for the other.
//! RED, the development slot, comes last, and nothing depends on it.

pub mod admission;
mod apply;
mod at_once;
mod build;
mod cleanup;
mod configuration;
mod controller;
mod dereference;
mod failure;
mod member;
mod migrating;
mod model;
mod neighbours;
mod objects;
mod providers;
mod record;
mod remember;
mod report;
mod revisions;
mod status;
mod turns;
mod validate;
mod watched;

use std::{sync::Arc, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt, core::error_boundary::InvalidObject};
use plexica_crds::{
    PluginInstallation, PluginInstallationSpec,
    plugin_installation::conditions::{Outcome, Reason},
};
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use crate::{
    platform::Platform,
    pools::Backends,
    runtime::{
        backoff::spread,
        controller::{Passed, Root},
        objects::{Error, Objects, holds},
    },
};

pub use apply::{Meters, Probes};
pub use build::meter::Image;
pub use controller::News;
pub use dereference::{Caches, World, running_version};
pub use migrating::Migrating;
pub use revisions::Revisions;
pub use turns::InHand;
pub use watched::Watched;

use validate::Facts;

/// Kind, as a metric label.
const KIND: &str = "PluginInstallation";

/// What a pass needs beside the object.
pub struct Context {
    /// The installations.
    pub objects: Objects<PluginInstallation>,
    /// What is known of all objects of ours.
    pub caches: Caches,
    /// What is known of plugins' Services, Deployments and routes.
    pub watched: Watched,
    /// Tells of what changes in those caches.
    pub news: News,
    /// The platform file.
    pub platform: Arc<Platform>,
    /// Its pools.
    pub backends: Arc<Backends>,
    /// Asks candidates.
    pub probes: Probes,
    /// Asks what stands in front of development slots.
    pub meters: Meters,
    /// Whose turn it is at each: a pass, or a request that is carried out beside passes.
    pub in_hand: InHand,
    /// Migrations that run beside passes.
    pub migrating: Migrating,
    /// Revisions that were frozen.
    pub revisions: Revisions,
    /// Held by whoever changes which tenants a shared release has.
    pub shared_releases: Mutex<()>,
    /// Where ConfigMaps with migrations are: the operator's own namespace.
    pub namespace: String,
}

/// How a pass ended.
enum Pass {
    /// How the steps of a live installation fare.
    Reconciled(Box<status::Findings>),
    /// An installation in deletion that has to wait.
    Deleting(Outcome),
    /// The object is let go.
    Gone,
}

async fn pass(guard: &Root<PluginInstallation>, ctx: &Context) -> Result<Passed, Error> {
    let objects = &ctx.objects;
    let installation = match &guard.0 {
        Ok(installation) => installation,
        Err(invalid) => return undecodable(invalid, ctx).await,
    };
    let meta = installation.meta();
    at_once::catch_up(installation, ctx).await;
    let is_urgent = apply::is_asked_to_switch(installation) || apply::is_misled(installation, &ctx.watched.services);
    let turn = match ctx.in_hand.pass(meta.uid.as_deref().unwrap_or_default(), is_urgent) {
        Ok(turn) => turn,
        Err(wait) => return Ok((Some(wait), "put off")),
    };
    let pass = async {
        if meta.deletion_timestamp.is_none() {
            return Ok(Pass::Reconciled(Box::new(live(installation, None, ctx).await?)));
        }
        match cleanup::has_to_stay(installation, ctx).filter(|_| holds(meta)) {
            Some(why) => Ok(Pass::Reconciled(Box::new(live(installation, Some(why), ctx).await?))),
            None => cleanup::finalize(installation, ctx).await,
        }
    };
    let pass = tokio::select! {
        biased;
        pass = pass => pass?,
        // As if the operator was killed here: the next pass begins with what is asked for.
        () = turn.given_up() => return Ok((Some(Duration::ZERO), "put off")),
    };
    match pass {
        Pass::Gone => {
            forget(meta, ctx);
            Ok((None, "gone"))
        }
        Pass::Deleting(outcome) => {
            let (due, again) = objects.retry(meta);
            report::deletion(installation, &outcome, due, ctx).await?;
            Ok((again, report::label(&outcome)))
        }
        Pass::Reconciled(findings) => {
            let worst = findings.worst();
            let at_rest = || {
                let resync = spread(ctx.platform.resync_interval, rand::random());
                (None, Some(findings.wait().map_or(resync, |wait| wait.min(resync))))
            };
            let (due, again) = match worst {
                None => {
                    objects.succeeded(meta);
                    at_rest()
                }
                // Their end is told; nothing is tried again.
                Some(_) if findings.only_migrates() => at_rest(),
                Some(_) => {
                    let (due, again) = objects.retry(meta);
                    (Some(due), findings.look_again().or(again))
                }
            };
            report::findings(installation, &findings, due, ctx).await?;
            Ok((again, worst.map_or("ok", report::label)))
        }
    }
}

/// Nothing needs to be known any more of an object that is gone.
fn forget(meta: &ObjectMeta, ctx: &Context) {
    let uid = meta.uid.as_deref().unwrap_or_default();
    ctx.objects.forget(meta);
    ctx.probes.forget(uid);
    ctx.meters.forget(uid);
    ctx.migrating.forget(uid);
    let (namespace, name) = (meta.namespace.as_deref(), meta.name.as_deref());
    ctx.revisions
        .forget(namespace.unwrap_or_default(), name.unwrap_or_default());
}

/// An installation that is to exist, or has to stay for now.
async fn live(
    installation: &PluginInstallation,
    leaving: Option<Outcome>,
    ctx: &Context,
) -> Result<status::Findings, Error> {
    let known = dereference::world(installation, &ctx.caches).and_then(|world| {
        let facts = Facts::of(installation, &world, &ctx.platform)?;
        Ok((world, facts))
    });
    let (world, facts) = match known {
        Ok(known) => known,
        Err(outcome) => {
            return Ok(match stop_without_tenant(installation, &outcome, ctx).await {
                Ok(true) => status::Findings::Shut(outcome),
                Ok(false) => status::Findings::Unresolved(outcome),
                Err(outcome) => status::Findings::Unresolved(outcome),
            });
        }
    };
    let chosen = validate::choose(installation, &world);
    if chosen.is_ok() && leaving.is_none() {
        ctx.objects.hold(installation.meta()).await?;
    } else if !holds(installation.meta()) {
        // Nothing was ever made of it.
        return Ok(status::Findings::Unresolved(
            chosen.err().or(leaving).unwrap_or_else(unseen),
        ));
    }
    let is_anything_there = facts.stop.is_some() || dereference::running_version(installation).is_some();
    match &chosen {
        Err(outcome) if !is_anything_there => Ok(status::Findings::Unresolved(outcome.clone())),
        chosen => {
            let steps = apply::apply(installation, &facts, chosen.as_ref(), leaving, ctx).await;
            Ok(status::Findings::Applied(Box::new(steps)))
        }
    }
}

/// What a pass says that came to nothing.
fn unseen() -> Outcome {
    Outcome::Waiting(Reason::Installing, "the caches do not show it yet".to_owned())
}

/// Takes the pods of a tenant away that is shut, being deleted or gone: its data may be kept, but nobody serves it any more. Says
/// whether that is so.
async fn stop_without_tenant(
    installation: &PluginInstallation,
    outcome: &Outcome,
    ctx: &Context,
) -> Result<bool, Outcome> {
    let (Outcome::Done(reason, _) | Outcome::Waiting(reason, _) | Outcome::Blocked(reason, _)) = outcome;
    let namespace = installation.namespace().unwrap_or_default();
    let is_shut = matches!(
        reason,
        Reason::TenantDeleting | Reason::TenantUnknown | Reason::TenantSuspended
    );
    if !holds(installation.meta()) || !is_shut {
        return Ok(false);
    }
    match (Caches::slug_of(&namespace), id_of(&installation.name_any())) {
        (Some(slug), Ok(id)) => apply::shut(&slug, &id, ctx).await.map(|()| true),
        _ => Ok(false),
    }
}

/// What does not decode is served, and switched off, by what of it does: of the rest nobody knows what it wants, so that nothing new
/// is delivered. What happens to it is not written down: as if the operator was killed after each pass.
async fn serve_what_decodes(meta: &ObjectMeta, ctx: &Context) -> Result<Option<Duration>, Error> {
    let raw = ctx.objects.read_undecodable(meta).await?;
    let Some(installation) = raw.as_ref().and_then(what_decodes) else {
        return Ok(None);
    };
    let why = Outcome::Blocked(Reason::Undecodable, "the object does not decode".to_owned());
    let findings = live(&installation, Some(why), ctx).await?;
    let (_, again) = ctx.objects.retry(meta);
    Ok(findings.wait().into_iter().chain(again).min())
}

/// The installation without the fields of its spec that do not decode; without its status, if that does not.
fn what_decodes(raw: &Value) -> Option<PluginInstallation> {
    let decodes = |spec: Value| serde_json::from_value::<PluginInstallationSpec>(spec).is_ok();
    let mut known = raw.clone();
    known["spec"] = what_of(raw.get("spec").unwrap_or(&json!({})), &decodes);
    serde_json::from_value(known.clone()).ok().or_else(|| {
        known["status"].take();
        serde_json::from_value(known).ok()
    })
}

/// What of an object decodes, field by field, and of a field that does not, what of it does.
fn what_of(object: &Value, decodes: &dyn Fn(Value) -> bool) -> Value {
    let mut known = Map::new();
    for (field, value) in object.as_object().into_iter().flatten() {
        let alone = |value: Value| json!({ field: value });
        if decodes(alone(value.clone())) {
            known.insert(field.clone(), value.clone());
        } else if value.is_object() {
            let part = what_of(value, &|part| decodes(alone(part)));
            if decodes(alone(part.clone())) {
                known.insert(field.clone(), part);
            }
        }
    }
    Value::Object(known)
}

/// An object that does not decode: say so on the object. In deletion it is let go with its data kept.
async fn undecodable(invalid: &InvalidObject, ctx: &Context) -> Result<Passed, Error> {
    let meta = &invalid.metadata;
    if meta.deletion_timestamp.is_none() {
        let again = serve_what_decodes(meta, ctx).await?;
        report::undecodable(meta, &invalid.error, ctx).await?;
        return Ok((again, Reason::Undecodable.into()));
    }
    match cleanup::keep(meta, ctx).await? {
        Pass::Deleting(outcome) => {
            let (due, again) = ctx.objects.retry(meta);
            report::undecodable_deletion(meta, &outcome, due, ctx).await?;
            Ok((again, report::label(&outcome)))
        }
        Pass::Gone | Pass::Reconciled(_) => {
            forget(meta, ctx);
            Ok((None, "gone"))
        }
    }
}

/// The plugin's id, which is the installation's name.
fn id_of(name: &str) -> Result<plexica_crds::names::PluginId, Outcome> {
    plexica_crds::names::PluginId::parse(name).map_err(|rule| Outcome::Blocked(Reason::InvalidSpec, rule.to_string()))
}

#[cfg(test)]
mod tests {
    use plexica_crds::plugin_installation::SwitchBy;

    use super::*;

    #[test]
    fn what_does_not_decode_of_an_installation_hides_nothing_else_of_it() {
        let raw = json!({
            "apiVersion": "plexica.io/v1alpha1", "kind": "PluginInstallation", "metadata": { "name": "crm" },
            "spec": { "dataPolicy": 7, "enabled": false, "replicas": 3 },
            "status": { "liveSlot": "b" },
        });
        let known = what_decodes(&raw).unwrap();
        assert_eq!((known.spec.enabled, known.spec.replicas), (false, Some(3)));
        assert!(known.status.unwrap().live_slot.is_some());
        let mut part = raw.clone();
        part["spec"]["promotion"] = json!({ "auto": false, "switchBy": "Route", "promotionDelay": 7 });
        let promotion = what_decodes(&part).unwrap().spec.promotion;
        assert_eq!((promotion.auto, promotion.switch_by), (false, SwitchBy::Route));
        let mut odd = raw;
        odd["status"]["liveSlot"] = json!(1);
        assert_eq!(what_decodes(&odd).unwrap().status, None);
    }
}
