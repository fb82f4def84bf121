//! The tenant's schema and Secret `plexica-database`.

use plexica_crds::tenant::conditions::{Outcome, Reason};

use super::{Job, NamespacePart, Part, not_yet, secret, verdict};
use crate::{
    backends::{Credential, Observed, postgres::DatabaseBackend},
    controllers::tenant::{
        build::{DATABASE_SECRET, database_secret},
        report,
    },
    pools::{Pool, Verb},
    runtime::apply::Applied,
};

/// Makes the schema as declared, and the Secret.
pub async fn apply(job: &Job<'_>, namespace: NamespacePart<'_>) -> Part {
    let name = &job.placement.postgres;
    match job.ctx.backends.postgres.get(name) {
        None => report::no_pool("postgres", name).into(),
        Some(pool) => provision(job, pool, namespace).await.unwrap_or_else(Part::from),
    }
}

async fn provision(
    job: &Job<'_>,
    pool: &Pool<dyn DatabaseBackend>,
    namespace: NamespacePart<'_>,
) -> Result<Part, Outcome> {
    let spec = &job.tenant.database;
    let failed = |error| report::outcome(&error, pool);
    let observed = pool
        .call(Verb::Observe, |backend| async move { backend.observe(spec).await })
        .await
        .map_err(failed)?;
    let mut corrected = vec![];
    let (credential, renewed) = match observed {
        Observed::Foreign(what) => return Err(report::not_owned(&what)),
        Observed::Absent => {
            let new = Credential::generate();
            let credential = &new;
            pool.call(
                Verb::Create,
                |backend| async move { backend.create(spec, credential).await },
            )
            .await
            .map_err(failed)?;
            (new, true)
        }
        Observed::Present(state) => {
            wait_for(namespace.clone()).await?;
            let stored = secret::stored(job, DATABASE_SECRET, "password").await?;
            let stored = stored.filter(|stored| Some(&stored.id) == state.credential_id.as_ref());
            let (credential, new) = stored.map_or_else(
                || (Credential::generate(), true),
                |stored| {
                    (
                        Credential {
                            id: stored.id,
                            secret: stored.secret,
                        },
                        false,
                    )
                },
            );
            if new || !state.differences.is_empty() {
                let set = new.then_some(&credential);
                pool.call(Verb::Update, |backend| async move { backend.update(spec, set).await })
                    .await
                    .map_err(failed)?;
                corrected = state.differences;
            }
            (credential, new)
        }
    };
    wait_for(namespace).await?;
    let declared = database_secret(job.tenant, &pool.backend.endpoint(), &credential.id, &credential.secret);
    if secret::write(job, &declared).await? == Applied::Updated {
        corrected.push(format!("Secret {DATABASE_SECRET} had been changed"));
    }
    let mut part = Part {
        corrected,
        ..Part::done(format!(
            "schema {} in pool {}, Secret {}",
            job.tenant.slug.schema(),
            pool.common.name,
            DATABASE_SECRET
        ))
    };
    if renewed {
        part.isolation = Some(not_yet());
    } else if job.verify {
        let [username, _] = job.tenant.slug.login_roles();
        let tried = pool
            .call(Verb::VerifyIsolation, |backend| {
                let (slug, username, secret) = (&job.tenant.slug, username.as_str(), &credential.secret);
                async move { backend.verify_isolation(slug, username, secret).await }
            })
            .await;
        part.isolation = Some(tried.map_or_else(
            |error| report::isolation_outcome(&error, pool),
            |breaches| verdict("database", &breaches),
        ));
    }
    Ok(part)
}

/// Secrets wait for the namespace; while it is not ready, neither is what they would open.
pub async fn wait_for(namespace: NamespacePart<'_>) -> Result<(), Outcome> {
    match namespace.await.outcome {
        Outcome::Done(..) => Ok(()),
        Outcome::Waiting(..) | Outcome::Blocked(..) => Err(Outcome::Waiting(
            Reason::Provisioning,
            "its Secret waits for the namespace: see NamespaceReady".to_owned(),
        )),
    }
}
