//! The tenant's realm and Secret `plexica-identity`.

use plexica_crds::tenant::conditions::{Outcome, Reason};

use super::{Job, NamespacePart, Part, database::wait_for, not_yet, secret, verdict};
use crate::{
    backends::{
        Observed,
        keycloak::{IdentityBackend, IdentitySpec},
    },
    controllers::tenant::{
        build::{IDENTITY_SECRET, identity_secret},
        report,
    },
    pools::{Pool, Verb},
    runtime::apply::Applied,
};

/// Makes the realm as declared, and the Secret.
pub async fn apply(job: &Job<'_>, namespace: NamespacePart<'_>) -> Part {
    let (Some(spec), Some(name)) = (&job.tenant.identity, &job.placement.keycloak) else {
        return not_wanted().into();
    };
    match job.ctx.backends.keycloak.get(name) {
        None => report::no_pool("keycloak", name).into(),
        Some(pool) => provision(job, spec, pool, namespace).await.unwrap_or_else(Part::from),
    }
}

/// The tenant has no realm by its own wish.
pub fn not_wanted() -> Outcome {
    Outcome::Done(Reason::NotWanted, "spec.identity.isolation is None".to_owned())
}

async fn provision(
    job: &Job<'_>,
    spec: &IdentitySpec,
    pool: &Pool<dyn IdentityBackend>,
    namespace: NamespacePart<'_>,
) -> Result<Part, Outcome> {
    let failed = |error| report::outcome(&error, pool);
    // The realm is by far the slowest part. A tenant whose realm was never looked for has none, as a rule:
    // making it finds out, and making one that is there is as good as bringing it to the spec.
    let observed = if job.identity_seen {
        pool.call(Verb::Observe, |backend| async move { backend.observe(spec).await })
            .await
            .map_err(failed)?
    } else {
        Observed::Absent
    };
    let mut corrected = vec![];
    let made = observed == Observed::Absent;
    match observed {
        Observed::Foreign(what) => return Err(report::not_owned(&what)),
        Observed::Absent => {
            pool.call(Verb::Create, |backend| async move { backend.create(spec).await })
                .await
                .map_err(failed)?;
        }
        Observed::Present(state) if state.differences.is_empty() => {}
        Observed::Present(state) => {
            pool.call(Verb::Update, |backend| async move { backend.update(spec).await })
                .await
                .map_err(failed)?;
            corrected = state.differences;
        }
    }
    let verify = async {
        if made {
            return Some(not_yet());
        }
        if !job.verify {
            return None;
        }
        let tried = pool
            .call(Verb::VerifyIsolation, |backend| async move {
                backend.verify_isolation(&spec.owner, &spec.slug).await
            })
            .await;
        Some(tried.map_or_else(
            |error| report::isolation_outcome(&error, pool),
            |breaches| verdict("identity", &breaches),
        ))
    };
    let write = async {
        wait_for(namespace).await?;
        secret::write(job, &identity_secret(job.tenant, &pool.backend.issuer(&spec.slug))).await
    };
    let (isolation, written) = tokio::join!(verify, write);
    if written? == Applied::Updated {
        corrected.push(format!("Secret {IDENTITY_SECRET} had been changed"));
    }
    let part = Part::done(format!(
        "realm {} in pool {}, Secret {}",
        spec.slug.realm(),
        pool.common.name,
        IDENTITY_SECRET
    ));
    Ok(Part {
        isolation,
        corrected,
        ..part
    })
}
