//! Makes everything of a tenant: namespace, schema, realm and bucket at once, so that the slowest sets the time.

mod database;
mod frontends;
mod identity;
mod namespace;
mod secret;
mod storage;

use std::sync::{Mutex, PoisonError};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use plexica_crds::{
    Tenant, condition,
    tenant::conditions::{Outcome, Reason, Type},
};

use super::{
    Context,
    closing::{self, Closing},
    report,
    status::Findings,
    status::Parts,
    validate::ValidatedTenant,
};
use crate::{
    backends::{
        Breaches,
        postgres::registry::{Placement, RegistryFacts, TenantStatus},
    },
    pools::Verb,
};

/// What all parts are given.
struct Job<'a> {
    tenant: &'a ValidatedTenant,
    placement: &'a Placement,
    ctx: &'a Context,
    /// Whether isolation has to be tried in this pass even if no credential is new.
    verify: bool,
    /// Where parts say how they fare as soon as they know.
    progress: &'a Progress,
    /// Whether the realm was ever looked for: if not, making it is tried without looking first.
    identity_seen: bool,
}

/// What one part says after a pass.
#[derive(Clone, Debug)]
struct Part {
    outcome: Outcome,
    /// How trying isolation ended; `None` if there was no need to.
    isolation: Option<Outcome>,
    /// What others had changed and was set right.
    corrected: Vec<String>,
}

impl Part {
    fn done(message: String) -> Self {
        Self {
            outcome: Outcome::Done(Reason::Provisioned, message),
            isolation: None,
            corrected: vec![],
        }
    }
}

impl From<Outcome> for Part {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            isolation: None,
            corrected: vec![],
        }
    }
}

/// What parts have said so far in a pass that is not over.
#[derive(Default)]
pub struct Progress(Mutex<Vec<(Type, Outcome)>>);

impl Progress {
    /// What was said so far.
    pub fn said(&self) -> Vec<(Type, Outcome)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn of(&self, type_: Type, part: impl Future<Output = Part>) -> Part {
        let part = part.await;
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((type_, part.outcome.clone()));
        part
    }
}

/// The namespace's part, which the Secrets of all others wait for.
type NamespacePart<'a> = Shared<BoxFuture<'a, Part>>;

/// Makes or shuts everything, and says how each part fares.
pub async fn apply(
    tenant: &Tenant,
    valid: &ValidatedTenant,
    placement: &Placement,
    progress: &Progress,
    ctx: &Context,
) -> Findings {
    let status = tenant.status.as_ref();
    let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let holds = |type_: Type| condition::is_true(conditions, type_.into(), valid.generation);
    let job = Job {
        tenant: valid,
        placement,
        ctx,
        progress,
        verify: !holds(Type::IsolationVerified),
        identity_seen: status.is_some_and(|status| status.identity.is_some()),
    };
    let mut parts = if valid.suspended {
        suspend(&job).await
    } else {
        provision(&job).await
    };
    if parts.outcomes().all(|outcome| matches!(outcome, Outcome::Done(..))) {
        parts.registry = record(&job).await;
    }
    // What differed because the spec changed is no drift.
    if !holds(Type::Ready) {
        parts.corrected.clear();
    }
    Findings::applied(parts)
}

async fn provision(job: &Job<'_>) -> Parts {
    let namespace = namespace::apply(job).boxed().shared();
    let (namespace, database, identity, storage, frontends) = tokio::join!(
        job.progress.of(Type::NamespaceReady, namespace.clone()),
        job.progress
            .of(Type::DatabaseReady, database::apply(job, namespace.clone())),
        job.progress
            .of(Type::IdentityReady, identity::apply(job, namespace.clone())),
        job.progress
            .of(Type::StorageReady, storage::apply(job, namespace.clone())),
        frontends::apply(job, namespace.clone()),
    );
    let isolation = isolation([&database, &identity, &storage]);
    let made = matches!(identity.outcome, Outcome::Done(Reason::Provisioned, _));
    let corrected = [&namespace, &database, &identity, &storage]
        .iter()
        .flat_map(|part| part.corrected.clone())
        .collect();
    Parts {
        slug: job.tenant.slug.clone(),
        placement: job.placement.clone(),
        suspended: false,
        namespace: namespace.outcome,
        database: database.outcome,
        identity: identity.outcome,
        issuer: issuer(job).filter(|_| made),
        storage: storage.outcome,
        isolation,
        registry: Outcome::done(),
        frontends,
        corrected,
    }
}

fn issuer(job: &Job<'_>) -> Option<String> {
    let pool = job.ctx.backends.keycloak.get(job.placement.keycloak.as_ref()?)?;
    Some(pool.backend.issuer(&job.tenant.slug).to_string())
}

/// Sums up what trying isolation showed: the first breach, else the first that has to wait.
fn isolation(parts: [&Part; 3]) -> Outcome {
    if parts.iter().any(|part| !matches!(part.outcome, Outcome::Done(..))) {
        return not_yet();
    }
    let mut found = parts.iter().filter_map(|part| part.isolation.as_ref());
    let first = |wanted: fn(&Outcome) -> bool| parts.iter().filter_map(|part| part.isolation.clone()).find(wanted);
    first(|outcome| matches!(outcome, Outcome::Blocked(..)))
        .or_else(|| first(|outcome| matches!(outcome, Outcome::Waiting(..))))
        .or_else(|| found.next().cloned())
        .unwrap_or_else(verified)
}

/// What a pass makes, the next one tries, at once and with what the Secrets then hold: making and trying at the same
/// time would take the backends' time from the realm, which everybody waits for.
fn not_yet() -> Outcome {
    Outcome::Waiting(
        Reason::NotYetVerified,
        "tried as soon as everything is provisioned".to_owned(),
    )
}

fn verified() -> Outcome {
    Outcome::Done(
        Reason::Verified,
        "the tenant's credentials open its own schema, bucket and realm, and were refused elsewhere".to_owned(),
    )
}

/// The outcome of trying isolation.
fn verdict(what: &str, breaches: &Breaches) -> Outcome {
    if breaches.is_empty() {
        verified()
    } else {
        Outcome::Blocked(
            Reason::IsolationBreached,
            format!(
                "{what}: the tenant {}; look at grants and policies given by others",
                breaches.join(", ")
            ),
        )
    }
}

/// Shuts everything, and says so of each part. Looked at in every pass: what was opened meanwhile is shut again.
async fn suspend(job: &Job<'_>) -> Parts {
    let Job {
        tenant, placement, ctx, ..
    } = job;
    let closed = closing::close(&tenant.slug, &tenant.owner, placement, Closing::Revoke, ctx);
    let namespace = namespace::apply(job).boxed().shared();
    let (namespace, closed, frontends) =
        tokio::join!(namespace.clone(), closed, frontends::apply(job, namespace.clone()));
    let outcome = |result: Result<(), Outcome>| {
        result
            .err()
            .unwrap_or_else(|| Outcome::Done(Reason::SuspendRequested, "shut; data is kept".to_owned()))
    };
    Parts {
        slug: tenant.slug.clone(),
        placement: (*placement).clone(),
        suspended: true,
        namespace: namespace.outcome,
        database: outcome(closed.database),
        identity: match tenant.identity {
            Some(_) => outcome(closed.identity),
            None => identity::not_wanted(),
        },
        issuer: issuer(job),
        storage: outcome(closed.storage),
        isolation: Outcome::Waiting(
            Reason::NotYetVerified,
            "tried when the tenant is opened again".to_owned(),
        ),
        registry: Outcome::done(),
        frontends,
        corrected: namespace.corrected,
    }
}

/// Keeps the registry in step, for services that know no Kubernetes.
async fn record(job: &Job<'_>) -> Outcome {
    let Job { tenant, ctx, .. } = job;
    let facts = RegistryFacts {
        name: tenant.display_name.clone(),
        settings: tenant.settings.clone(),
        theme: tenant.theme.clone(),
        status: if tenant.suspended {
            TenantStatus::Suspended
        } else {
            TenantStatus::Active
        },
        object_uid: tenant.uid.clone(),
        observed_generation: tenant.generation,
    };
    let registry = &ctx.backends.registry;
    let recorded = registry
        .call(Verb::Record, |registry| async move {
            registry.record(&tenant.owner, &tenant.slug, &facts).await
        })
        .await;
    recorded.map_or_else(|error| report::outcome(&error, registry), |_| Outcome::done())
}
