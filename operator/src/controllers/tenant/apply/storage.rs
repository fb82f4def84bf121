//! The tenant's bucket and Secret `plexica-storage`.

use plexica_crds::tenant::conditions::Outcome;

use super::{
    Job, NamespacePart, Part,
    database::wait_for,
    not_yet,
    secret::{self, Stored},
    verdict,
};
use crate::{
    backends::{BackendError, Credential, Observed, s3::StorageBackend},
    controllers::tenant::{
        build::{STORAGE_SECRET, storage_secret},
        report,
    },
    pools::{Pool, Verb},
    runtime::apply::Applied,
};

/// Makes the bucket as declared, and the Secret.
pub async fn apply(job: &Job<'_>, namespace: NamespacePart<'_>) -> Part {
    let name = &job.placement.s3;
    match job.ctx.backends.s3.get(name) {
        None => report::no_pool("s3", name).into(),
        Some(pool) => provision(job, pool, namespace).await.unwrap_or_else(Part::from),
    }
}

async fn provision(
    job: &Job<'_>,
    pool: &Pool<dyn StorageBackend>,
    namespace: NamespacePart<'_>,
) -> Result<Part, Outcome> {
    let spec = &job.tenant.storage;
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
            let stored = secret::stored(job, STORAGE_SECRET, "secretAccessKey").await?;
            let stored = stored.filter(|stored| Some(&stored.id) == state.credential_id.as_ref());
            let mut differences = state.differences;
            let (credential, set) = match stored {
                None => (Credential::generate(), true),
                Some(Stored { id, secret }) => {
                    let credential = Credential { id, secret };
                    let accepted = accepts(job, pool, &credential).await.map_err(failed)?;
                    if !accepted && differences.is_empty() {
                        differences.push(format!("the key of Secret {STORAGE_SECRET} was not accepted"));
                    }
                    (credential, !accepted)
                }
            };
            if set || !differences.is_empty() {
                let set = set.then_some(&credential);
                pool.call(Verb::Update, |backend| async move { backend.update(spec, set).await })
                    .await
                    .map_err(failed)?;
                corrected = differences;
            }
            (credential, set)
        }
    };
    wait_for(namespace).await?;
    let declared = storage_secret(job.tenant, &pool.backend.endpoint(), &credential.id, &credential.secret);
    if secret::write(job, &declared).await? == Applied::Updated {
        corrected.push(format!("Secret {STORAGE_SECRET} had been changed"));
    }
    let mut part = Part {
        corrected,
        ..Part::done(format!(
            "bucket {} in pool {}, Secret {}",
            job.tenant.slug.bucket(),
            pool.common.name,
            STORAGE_SECRET
        ))
    };
    if renewed {
        part.isolation = Some(not_yet());
    } else if job.verify {
        let [user, _] = job.tenant.slug.storage_users();
        let tried = pool
            .call(Verb::VerifyIsolation, |backend| {
                let (slug, user, secret) = (&job.tenant.slug, user.as_str(), &credential.secret);
                async move { backend.verify_isolation(slug, user, secret).await }
            })
            .await;
        part.isolation = Some(tried.map_or_else(
            |error| report::isolation_outcome(&error, pool),
            |breaches| verdict("storage", &breaches),
        ));
    }
    Ok(part)
}

/// Whether the store accepts what the Secret holds.
async fn accepts(
    job: &Job<'_>,
    pool: &Pool<dyn StorageBackend>,
    credential: &Credential,
) -> Result<bool, BackendError> {
    let slug = &job.tenant.slug;
    let [user, _] = slug.storage_users();
    let user = user.as_str();
    pool.call(Verb::Observe, |backend| async move {
        backend.accepts(slug, user, &credential.secret).await
    })
    .await
}
