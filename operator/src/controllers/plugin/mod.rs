//! The Plugin's reconciler: the registry of released versions.
//!
//! A pass reads like its description: acceptance (dereference statements in ConfigMaps → validate, which is pure → claim the
//! base path; once, and from then on a comparison) → hold (finalizer, before anything is written outside) → copy (the
//! statements) → apply (the row in `core.plugins`) → status; at its end, `cleanup`. A release that installations use is kept
//! like any other while its deletion waits.

mod acceptance;
mod apply;
mod base_path;
mod cleanup;
mod controller;
mod dereference;
mod failure;
mod report;
mod scripts;
mod status;
mod uses;
mod validate;

use std::sync::Arc;

use kube::{Api, Resource, ResourceExt, api::ListParams, core::error_boundary::InvalidObject};
use plexica_crds::{
    Plugin, PluginInstallation,
    plugin::conditions::{Outcome, Reason},
};

use crate::{
    platform::Platform,
    pools::Backends,
    runtime::{
        backoff::spread,
        cache::Cache,
        client::within,
        controller::{Passed, Root},
        objects::{Error, Objects, holds},
    },
};

use status::Findings;

pub use base_path::BasePaths;
pub use scripts::{Copies, Unreadable, statements};
pub use uses::{Uses, parse_release};

/// Kind, as a metric label.
const KIND: &str = "Plugin";
/// The kind whose cache tells who uses a release.
const INSTALLATIONS: &str = "PluginInstallation";

/// What a pass needs beside the object.
pub struct Context {
    /// The Plugins.
    pub objects: Objects<Plugin>,
    /// Their cache.
    pub plugins: Cache<Plugin>,
    /// The cache of installations.
    pub installations: Cache<PluginInstallation>,
    /// The platform file.
    pub platform: Arc<Platform>,
    /// Its pools, the registry among them.
    pub backends: Arc<Backends>,
    /// Where ConfigMaps with migrations and their copies are: the operator's own namespace.
    pub namespace: String,
    /// Who has which base path.
    pub base_paths: BasePaths,
    /// Copies of statements in ConfigMaps.
    pub copies: Copies,
}

/// How a pass ended.
enum Pass {
    /// What was found of a release that is there, or whose deletion waits for its users.
    Reconciled(Box<Findings>),
    /// A release in deletion whose end failed.
    Deleting(Outcome),
    /// The object is let go.
    Gone,
}

/// One pass over one Plugin.
async fn pass(guard: &Root<Plugin>, ctx: &Context) -> Result<Passed, Error> {
    let objects = &ctx.objects;
    let meta = guard.meta();
    let uses = uses(guard, ctx).await?;
    let plugin = match &guard.0 {
        Ok(plugin) => plugin,
        Err(invalid) => return undecodable(invalid, &uses, ctx).await,
    };
    let pass = if meta.deletion_timestamp.is_some() && (!holds(meta) || uses.are_none()) {
        let refers = dereference::references(plugin).next().is_some();
        cleanup::finalize(meta, refers, ctx).await?
    } else {
        Pass::Reconciled(Box::new(live(plugin, uses, ctx).await?))
    };
    match pass {
        Pass::Gone => {
            objects.forget(meta);
            Ok((None, "gone"))
        }
        Pass::Deleting(outcome) => {
            let (due, again) = objects.retry(meta);
            report::deletion(plugin, &outcome, due, ctx).await?;
            Ok((again, report::label(&outcome)))
        }
        Pass::Reconciled(findings) => {
            let worst = findings.worst();
            let (due, again) = if worst.is_some() {
                let (due, again) = objects.retry(meta);
                (Some(due), again)
            } else {
                objects.succeeded(meta);
                let resync = spread(ctx.platform.resync_interval, rand::random());
                (None, Some(resync))
            };
            report::findings(plugin, &findings, due, ctx).await?;
            Ok((again, worst.map_or("ok", report::label)))
        }
    }
}

/// Who uses a release. Before one goes that nobody seems to use, the API server is asked: the cache may not show yet who has
/// come a moment ago.
async fn uses(guard: &Root<Plugin>, ctx: &Context) -> Result<Uses, Error> {
    let name = guard.name_any();
    let known = Uses::of(&name, &ctx.installations.state());
    let meta = guard.meta();
    let is_to_go = meta.deletion_timestamp.is_some() && holds(meta) && known.are_none();
    let Some((id, _)) = parse_release(&name).filter(|_| is_to_go) else {
        return Ok(known);
    };
    // An installation has the name of its plugin.
    let of_plugin = ListParams::default().fields(&format!("metadata.name={id}"));
    let api: Api<Root<PluginInstallation>> = Api::all(ctx.objects.client.clone());
    let found = within(api.list(&of_plugin)).await.map_err(Error::Users)?;
    let found: Vec<_> = found.items.into_iter().map(Arc::new).collect();
    Ok(Uses::of(&name, &found))
}

/// A release that is to exist, or that is in deletion and used still.
async fn live(plugin: &Plugin, uses: Uses, ctx: &Context) -> Result<Findings, Error> {
    let (mut accepted, scripts) = match acceptance::judge(plugin, ctx).await {
        Ok(acceptable) => acceptable,
        Err(outcome) => return Ok(Findings::refused(outcome, plugin, uses)),
    };
    // What was accepted stays so, whatever fails from here.
    let was_accepted = validate::accepted_digest(plugin).is_some();
    ctx.objects.hold(plugin.meta()).await?;
    let copied = ctx.copies.keep(plugin, &scripts, &ctx.objects.client, &ctx.namespace);
    match copied.await {
        Ok(()) => {}
        Err(error) if was_accepted => accepted.is_uncopied(&error.to_string()),
        Err(error) => return Ok(Findings::refused(failure::of_api(&error), plugin, uses)),
    }
    let registered = match apply::register(plugin, &uses, ctx).await {
        Ok(outcome) => outcome,
        Err(refusal) if was_accepted => Outcome::Blocked(Reason::RegistryRefused, refusal),
        Err(refusal) => {
            let outcome = Outcome::Blocked(Reason::ManifestInvalid, refusal);
            return Ok(Findings::refused(outcome, plugin, uses));
        }
    };
    Ok(Findings::accepted(accepted, registered, plugin, uses))
}

/// An object that does not decode: say so on the object. In deletion it goes as soon as nobody uses it.
async fn undecodable(invalid: &InvalidObject, uses: &Uses, ctx: &Context) -> Result<Passed, Error> {
    let meta = &invalid.metadata;
    if meta.deletion_timestamp.is_none() {
        report::undecodable(meta, &invalid.error, ctx).await?;
        return Ok((None, Reason::Undecodable.into()));
    }
    if holds(meta) && !uses.are_none() {
        let outcome = uses.in_use();
        // Looked at again without being asked: a user that comes and goes within a moment is no change that anybody sees.
        let (due, again) = ctx.objects.retry(meta);
        report::undecodable_deletion(meta, &outcome, due, ctx).await?;
        return Ok((again, report::label(&outcome)));
    }
    match cleanup::finalize(meta, true, ctx).await? {
        Pass::Deleting(outcome) => {
            let (due, again) = ctx.objects.retry(meta);
            report::undecodable_deletion(meta, &outcome, due, ctx).await?;
            Ok((again, report::label(&outcome)))
        }
        Pass::Gone | Pass::Reconciled(_) => {
            ctx.objects.forget(meta);
            Ok((None, "gone"))
        }
    }
}
