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
mod finalizer;
mod placement;
mod report;
mod status;
mod validate;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::{
    Client, Resource,
    core::DeserializeGuard,
    runtime::{controller::Action, events::Recorder},
};
use plexica_crds::{
    Tenant, TenantStatus, condition,
    tenant::conditions::{Outcome, Reason, Type},
};
use tokio::sync::Notify;
use tracing::{Instrument, info, info_span, warn};

use crate::{
    platform::Platform,
    pools::Backends,
    runtime::{
        backoff::{Backoff, spread},
        client::ApiError,
        freshness::Freshness,
        metrics::Metrics,
    },
};

pub use build::ServiceAccount;
pub use controller::run;

/// How long the cache is given to show our own last write before it is looked at again. Seen: milliseconds.
const CACHE_LAG: Duration = Duration::from_millis(20);

/// Kind, as a metric label.
pub const KIND: &str = "Tenant";

/// What a pass needs beside the object.
pub struct Context {
    /// Kubernetes.
    pub client: Client,
    /// The platform file.
    pub platform: Platform,
    /// Its pools.
    pub backends: Backends,
    /// Where events go.
    pub recorder: Recorder,
    /// What is counted.
    pub metrics: Metrics,
    /// When failing tenants are tried again, by uid.
    pub backoff: Backoff<String>,
    /// What the operator wrote to Tenants and has not seen in its cache yet.
    pub freshness: Freshness,
    /// Who the operator is, for the bindings that it gives itself.
    pub account: ServiceAccount,
}

/// Why a pass could not even be reported in the object's status.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The finalizer could not be set or removed.
    #[error("failed to write the finalizer: {0}")]
    Finalizer(#[source] ApiError),
    /// The status could not be written.
    #[error("failed to write the status: {0}")]
    Status(#[source] ApiError),
    /// The pass panicked: a bug; others go on.
    #[error("the pass panicked; look at the log of the operator")]
    Panicked,
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
///
/// # Errors
/// Only when the outcome could not be written to the object; everything else is in its status.
pub async fn reconcile(guard: Arc<DeserializeGuard<Tenant>>, ctx: Arc<Context>) -> Result<Action, Error> {
    let meta = guard.meta();
    let span = info_span!(
        "reconcile",
        tenant = meta.name.as_deref().unwrap_or_default(),
        generation = meta.generation,
        op = %&uuid::Uuid::new_v4().simple().to_string()[..8],
    );
    // A task of its own: tenants use all cores, and a panic ends one pass, not the operator.
    let task = tokio::spawn(
        async move {
            let start = Instant::now();
            let _running = ctx.metrics.running(KIND);
            let result = pass(&guard, &ctx).await;
            let label = match &result {
                Ok((_, label)) => label,
                Err(Error::Finalizer(_)) => "finalizer",
                Err(Error::Status(_)) => "status",
                Err(Error::Panicked) => "panicked",
            };
            ctx.metrics.reconciled(KIND, label, start.elapsed());
            info!(
                result = label,
                milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
                "reconciled"
            );
            result.map(|(action, _)| action)
        }
        .instrument(span),
    );
    task.await.unwrap_or(Err(Error::Panicked))
}

/// When to look again after an error that could not be written to the status.
pub fn error_policy(guard: &Arc<DeserializeGuard<Tenant>>, error: &Error, ctx: &Arc<Context>) -> Action {
    let meta = guard.meta();
    warn!(tenant = meta.name, error = %error, "pass failed");
    retry(
        ctx,
        meta.uid.as_deref().unwrap_or_default(),
        meta.generation.unwrap_or_default(),
    )
    .1
}

async fn pass(guard: &DeserializeGuard<Tenant>, ctx: &Context) -> Result<(Action, &'static str), Error> {
    let uid = guard.meta().uid.clone().unwrap_or_default();
    let generation = guard.meta().generation.unwrap_or_default();
    if ctx.freshness.is_stale(guard.meta()) {
        return Ok((Action::requeue(CACHE_LAG), "stale"));
    }
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
            forget(ctx, &uid);
            Ok((Action::await_change(), "gone"))
        }
        Pass::Deleting(outcome) => {
            let (due, action) = retry(ctx, &uid, generation);
            report::deletion(tenant, &outcome, due, ctx).await?;
            Ok((action, report::label(&outcome)))
        }
        Pass::Reconciled { written, findings } => {
            let worst = findings.worst();
            let (due, action) = if worst.is_some() {
                let (due, action) = retry(ctx, &uid, generation);
                (Some(due), action)
            } else if findings.is_untried() && waits_for_isolation(tenant) {
                (None, retry(ctx, &uid, generation).1)
            } else {
                ctx.backoff.forget(&uid);
                let resync = spread(ctx.platform.resync_interval, rand::random());
                let next = if findings.is_untried() { Duration::ZERO } else { resync };
                (None, Action::requeue(next))
            };
            report::findings(tenant, written.map(|status| *status), &findings, due, ctx).await?;
            Ok((action, worst.map_or("ok", report::label)))
        }
    }
}

/// A tenant that is to exist.
async fn live(tenant: &Tenant, ctx: &Context) -> Result<Pass, Error> {
    let valid = match validate::validate(tenant, &ctx.platform) {
        Ok(valid) => valid,
        Err(outcome) => return Ok(Pass::refused(outcome)),
    };
    finalizer::hold(tenant, ctx).await?;
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
async fn undecodable(
    invalid: &kube::core::error_boundary::InvalidObject,
    ctx: &Context,
) -> Result<(Action, &'static str), Error> {
    let meta = &invalid.metadata;
    if meta.deletion_timestamp.is_none() {
        report::undecodable(meta, &invalid.error, ctx).await?;
        return Ok((Action::await_change(), "Undecodable"));
    }
    let uid = meta.uid.clone().unwrap_or_default();
    match cleanup::retain(meta, ctx).await? {
        Pass::Deleting(outcome) => {
            let (due, action) = retry(ctx, &uid, meta.generation.unwrap_or_default());
            report::undecodable_deletion(meta, &outcome, due, ctx).await?;
            Ok((action, report::label(&outcome)))
        }
        Pass::Gone | Pass::Reconciled { .. } => {
            forget(ctx, &uid);
            Ok((Action::await_change(), "gone"))
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

/// Forgets what is kept in memory of an object that is gone.
fn forget(ctx: &Context, uid: &str) {
    ctx.backoff.forget(&uid.to_owned());
    ctx.freshness.forget(uid);
}

fn retry(ctx: &Context, uid: &str, generation: i64) -> (Timestamp, Action) {
    let now = Timestamp::now();
    let due = ctx.backoff.failed(&uid.to_owned(), generation, now, rand::random());
    let delay = due.duration_since(now).unsigned_abs();
    (due, Action::requeue(delay))
}
