//! The Tenant's reconciler.
//!
//! A pass reads like its description: validate (pure) → hold (finalizer, before anything is written outside)
//! → place → apply → status; at its end, `cleanup`. `validate`, `build` and `status` are pure, the others talk to
//! Kubernetes or to backends.

mod apply;
mod build;
mod cleanup;
mod closing;
mod controller;
mod frontends;
mod placement;
mod plugins;
mod report;
mod status;
mod validate;

use std::{sync::Arc, time::Duration};

use kube::{Resource, core::error_boundary::InvalidObject};
use plexica_crds::{
    Plugin, PluginInstallation, Tenant, TenantStatus, condition,
    tenant::conditions::{Outcome, Reason, Type},
};
use tokio::sync::Notify;

use crate::{
    platform::Platform,
    pools::Backends,
    runtime::{
        backoff::spread,
        cache::Cache,
        controller::{Passed, Root},
        objects::{Error, Objects},
    },
};

pub use build::ServiceAccount;
pub use placement::retained_data;

/// Kind, as a metric label.
const KIND: &str = "Tenant";

/// What a pass needs beside the object.
pub struct Context {
    /// The Tenants.
    pub objects: Objects<Tenant>,
    /// The platform file.
    pub platform: Arc<Platform>,
    /// Its pools.
    pub backends: Arc<Backends>,
    /// The cache of releases, for what they say of their front ends.
    pub plugins: Cache<Plugin>,
    /// The cache of installations, for counting them and for what of them is live.
    pub installations: Cache<PluginInstallation>,
    /// Who the operator is, for the bindings that it gives itself.
    pub account: ServiceAccount,
}

/// How a pass ended: what each part says, and what the object becomes.
enum Pass {
    /// The parts of a live tenant.
    Reconciled {
        /// The status that the object was given on the way.
        written: Option<Box<TenantStatus>>,
        findings: Box<status::Findings>,
    },
    /// A tenant in deletion that has to wait.
    Deleting(Outcome),
    /// The object is let go.
    Gone,
}

impl Pass {
    /// Nothing was applied, for this reason.
    fn refused(outcome: Outcome) -> Self {
        Self::Reconciled {
            written: None,
            findings: Box::new(status::Findings::refused(outcome)),
        }
    }
}

/// One pass over one Tenant.
async fn pass(guard: &Root<Tenant>, ctx: &Context) -> Result<Passed, Error> {
    let objects = &ctx.objects;
    let tenant = match &guard.0 {
        Ok(tenant) => tenant,
        Err(invalid) => return undecodable(invalid, ctx).await,
    };
    let pass = if tenant.meta().deletion_timestamp.is_some() {
        cleanup::finalize(tenant, ctx).await?
    } else {
        live(tenant, ctx).await?
    };
    match pass {
        Pass::Gone => {
            objects.forget(tenant.meta());
            Ok((None, "gone"))
        }
        Pass::Deleting(outcome) => {
            let (due, again) = objects.retry(tenant.meta());
            report::deletion(tenant, &outcome, due, ctx).await?;
            Ok((again, report::label(&outcome)))
        }
        Pass::Reconciled { written, findings } => {
            let worst = findings.worst();
            let (due, again) = if worst.is_some() {
                let (due, again) = objects.retry(tenant.meta());
                (Some(due), again)
            } else if findings.is_untried() && waits_for_isolation(tenant) {
                (None, objects.retry(tenant.meta()).1)
            } else {
                objects.succeeded(tenant.meta());
                let resync = spread(ctx.platform.resync_interval, rand::random());
                let next = if findings.is_untried() { Duration::ZERO } else { resync };
                (None, Some(next))
            };
            report::findings(tenant, written.map(|status| *status), &findings, due, ctx).await?;
            Ok((again, worst.map_or("ok", report::label)))
        }
    }
}

/// A tenant that is to exist.
async fn live(tenant: &Tenant, ctx: &Context) -> Result<Pass, Error> {
    let valid = match validate::validate(tenant, &ctx.platform) {
        Ok(valid) => valid,
        Err(outcome) => return Ok(Pass::refused(outcome)),
    };
    ctx.objects.hold(tenant.meta()).await?;
    let placement = match placement::place(&valid, ctx).await {
        Ok(placement) => placement,
        Err(outcome) => return Ok(Pass::refused(outcome)),
    };
    let (progress, over) = (apply::Progress::default(), Notify::new());
    let applied = async {
        let findings = apply::apply(tenant, &valid, &placement, &progress, ctx).await;
        over.notify_one();
        findings
    };
    let (written, findings) = tokio::join!(
        report::progress(tenant, &valid, &placement, &progress, &over, ctx),
        applied
    );
    Ok(Pass::Reconciled {
        written: written?.map(Box::new),
        findings: Box::new(findings),
    })
}

/// An object that does not decode: say so on the object; if it is being deleted, keep its data and let it go.
async fn undecodable(invalid: &InvalidObject, ctx: &Context) -> Result<Passed, Error> {
    let meta = &invalid.metadata;
    if meta.deletion_timestamp.is_none() {
        report::undecodable(meta, &invalid.error, ctx).await?;
        return Ok((None, "Undecodable"));
    }
    match cleanup::retain(meta, ctx).await? {
        Pass::Deleting(outcome) => {
            let (due, again) = ctx.objects.retry(meta);
            report::undecodable_deletion(meta, &outcome, due, ctx).await?;
            Ok((again, report::label(&outcome)))
        }
        Pass::Gone | Pass::Reconciled { .. } => {
            ctx.objects.forget(meta);
            Ok((None, "gone"))
        }
    }
}

/// Whether this pass came to try isolation: the one before had left everything else done.
fn waits_for_isolation(tenant: &Tenant) -> bool {
    let conditions = tenant
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    condition::is_true(
        conditions,
        Type::Ready.into(),
        tenant.metadata.generation.unwrap_or_default(),
    ) && condition::find(conditions, Type::IsolationVerified.into())
        .is_some_and(|found| found.reason == Reason::NotYetVerified.as_ref())
}
