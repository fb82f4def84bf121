//! The PluginInstallation's reconciler.
//!
//! A pass reads like its description: dereference (what the caches know) → validate (which version, pure) → hold →
//! apply, step by step: configuration, schema, migrations, permissions, pods, route → status; at its end, `cleanup`.
//! A step that fails leaves what runs untouched. RED, the development slot, comes last, and nothing depends on it.

pub mod admission;
mod apply;
mod at_once;
mod build;
mod cleanup;
mod configuration;
mod controller;
mod dereference;
mod migrating;
mod neighbours;
mod objects;
mod record;
mod report;
mod status;
mod turns;
mod validate;
mod watched;

use std::{sync::Arc, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt, core::error_boundary::InvalidObject};
use plexica_crds::{
    PluginInstallation,
    plugin_installation::conditions::{Outcome, Reason},
};
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
pub use turns::InHand;
pub use watched::Watched;

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
        if meta.deletion_timestamp.is_some() {
            return cleanup::finalize(installation, ctx).await;
        }
        Ok(Pass::Reconciled(Box::new(live(installation, ctx).await?)))
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
                Some(Outcome::Waiting(Reason::Migrating, _)) => at_rest(),
                Some(_) => {
                    let (due, again) = objects.retry(meta);
                    (Some(due), again)
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
    ctx.meters.forget(uid);
    ctx.migrating.forget(uid);
}

/// An installation that is to exist.
async fn live(installation: &PluginInstallation, ctx: &Context) -> Result<status::Findings, Error> {
    let world = dereference::world(installation, &ctx.caches);
    let chosen = world
        .as_ref()
        .map_err(Clone::clone)
        .and_then(|world| validate::validate(installation, world, &ctx.platform));
    let wanted = match chosen {
        Ok(wanted) => wanted,
        Err(outcome) => {
            if let Ok(world) = &world
                && holds(installation.meta())
                && let Some(live) = validate::live(installation, world, &outcome, &ctx.platform)
            {
                return Ok(apply::go_on(installation, &live, outcome, ctx).await);
            }
            let stopped = stop_without_tenant(installation, &outcome, ctx).await;
            return Ok(status::Findings::Unresolved(stopped.err().unwrap_or(outcome)));
        }
    };
    ctx.objects.hold(installation.meta()).await?;
    Ok(apply::apply(installation, &wanted, ctx).await)
}

/// Takes the pods of a tenant away that is being deleted or gone: its data may be kept, but nobody serves it any more.
async fn stop_without_tenant(
    installation: &PluginInstallation,
    outcome: &Outcome,
    ctx: &Context,
) -> Result<(), Outcome> {
    let (Outcome::Done(reason, _) | Outcome::Waiting(reason, _) | Outcome::Blocked(reason, _)) = outcome;
    let namespace = installation.namespace().unwrap_or_default();
    if !holds(installation.meta()) || !matches!(reason, Reason::TenantDeleting | Reason::TenantUnknown) {
        return Ok(());
    }
    match (Caches::slug_of(&namespace), id_of(&installation.name_any())) {
        (Some(slug), Ok(id)) => apply::shut(&slug, &id, ctx).await,
        _ => Ok(()),
    }
}

/// An object that does not decode: say so on the object. In deletion it is let go with its data kept.
async fn undecodable(invalid: &InvalidObject, ctx: &Context) -> Result<Passed, Error> {
    let meta = &invalid.metadata;
    if meta.deletion_timestamp.is_none() {
        report::undecodable(meta, &invalid.error, ctx).await?;
        return Ok((None, Reason::Undecodable.into()));
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
