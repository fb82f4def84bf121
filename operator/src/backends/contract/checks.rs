//! The rules.

use std::{future::Future, time::Duration};

use super::{Check, Failure, Seen, Subject, Tenant, expect};
use crate::backends::{BackendError, Credential, Observed};

/// How often something that is not available is tried again, and how long is waited in between: what is left of a
/// call that was broken off may still be at work.
pub(super) const TRIES: usize = 50;
pub(super) const PAUSE: Duration = Duration::from_millis(200);

/// Moments at which a call is broken off, in milliseconds. Creating takes from 50 (PostgreSQL) to 2,000 (Keycloak).
const BREAKS_MS: [u64; 5] = [1, 5, 25, 100, 400];

macro_rules! checks {
    ($($(#[$credentials:ident])? $name:ident: $sentence:literal,)*) => {
        /// All rules.
        pub const CHECKS: &[Check] = &[$(
            Check {
                name: $sentence,
                about_credentials: $(stringify!($credentials).len() > 0 ||)? false,
                run: |subject, tenant| Box::pin($name(subject, tenant)),
            },
        )*];
    };
}

checks! {
    comes_and_goes: "what is created is there and as specified, and gone when deleted",
    created_twice: "creating what is there is success",
    updated_from_nothing: "updating what is not there makes it",
    nothing_to_undo: "revoking and deleting what is not there is success and makes nothing",
    deleted_twice: "deleting twice is deleting once",
    changes: "an update brings a changed spec, and shows as a difference before",
    revoked_and_resumed: "what is revoked shows it, may be revoked again, and an update resumes it",
    #[credentials]
    renewed: "the id of the credential shows, and changes with the credential alone",
    #[credentials]
    revoked_keys: "a credential is refused while revoked, and again accepted after an update",
    #[credentials]
    old_keys: "an old credential is refused after a new one was set",
    isolated: "a tenant beside another is isolated",
    foreign: "what bears another mark is foreign to everything and stays as it is",
    broken_off: "creating again completes a create that was broken off",
    deletion_broken_off: "deleting again completes a delete that was broken off",
}

type Outcome = Result<(), Failure>;

async fn comes_and_goes(subject: &dyn Subject, tenant: &Tenant) -> Outcome {
    absent(subject, tenant).await?;
    create(subject, tenant, &Credential::generate()).await?;
    converged(subject, tenant).await?;
    delete(subject, tenant).await?;
    absent(subject, tenant).await
}

async fn created_twice(subject: &dyn Subject, tenant: &Tenant) -> Outcome {
    let credential = Credential::generate();
    create(subject, tenant, &credential).await?;
    create(subject, tenant, &credential).await?;
    converged(subject, tenant).await?;
    no_breaches(subject, tenant, &credential).await
}

async fn updated_from_nothing(subject: &dyn Subject, tenant: &Tenant) -> Outcome {
    let credential = Credential::generate();
    settled(|| subject.update(tenant, Some(&credential))).await?;
    converged(subject, tenant).await?;
    no_breaches(subject, tenant, &credential).await
}

async fn nothing_to_undo(subject: &dyn Subject, tenant: &Tenant) -> Outcome {
    subject.revoke(tenant).await?;
    subject.delete(tenant).await?;
    absent(subject, tenant).await
}

async fn deleted_twice(subject: &dyn Subject, tenant: &Tenant) -> Outcome {
    create(subject, tenant, &Credential::generate()).await?;
    subject.revoke(tenant).await?;
    delete(subject, tenant).await?;
    delete(subject, tenant).await?;
    absent(subject, tenant).await
}

async fn changes(subject: &dyn Subject, tenant: &Tenant) -> Outcome {
    create(subject, tenant, &Credential::generate()).await?;
    let changed = tenant.changed();
    differs(subject, &changed).await?;
    subject.update(&changed, None).await?;
    converged(subject, &changed).await?;
    differs(subject, tenant).await?;
    subject.update(tenant, None).await?;
    // Not everything of a spec can be taken back: people who were made stay.
    converged(subject, tenant).await.map(drop)
}

async fn revoked_and_resumed(subject: &dyn Subject, tenant: &Tenant) -> Outcome {
    create(subject, tenant, &Credential::generate()).await?;
    subject.revoke(tenant).await?;
    differs(subject, tenant).await?;
    subject.revoke(tenant).await?;
    differs(subject, tenant).await?;
    subject.update(tenant, None).await?;
    converged(subject, tenant).await.map(drop)
}

async fn renewed(subject: &dyn Subject, tenant: &Tenant) -> Outcome {
    let (first, second) = (Credential::generate(), Credential::generate());
    let shows = async |credential: &Credential| {
        let seen = converged(subject, tenant).await?;
        expect(
            seen.credential_id.as_ref() == Some(&credential.id),
            format!("credential {:?} shows instead of {}", seen.credential_id, credential.id),
        )
    };
    create(subject, tenant, &first).await?;
    shows(&first).await?;
    subject.update(tenant, None).await?;
    shows(&first).await?;
    subject.update(tenant, Some(&second)).await?;
    shows(&second).await?;
    subject.revoke(tenant).await?;
    subject.update(tenant, None).await?;
    shows(&second).await
}

async fn revoked_keys(subject: &dyn Subject, tenant: &Tenant) -> Outcome {
    let credential = Credential::generate();
    create(subject, tenant, &credential).await?;
    no_breaches(subject, tenant, &credential).await?;
    subject.revoke(tenant).await?;
    breaches(subject, tenant, &credential).await?;
    subject.update(tenant, None).await?;
    no_breaches(subject, tenant, &credential).await
}

async fn old_keys(subject: &dyn Subject, tenant: &Tenant) -> Outcome {
    let (first, second) = (Credential::generate(), Credential::generate());
    create(subject, tenant, &first).await?;
    subject.update(tenant, Some(&second)).await?;
    no_breaches(subject, tenant, &second).await?;
    breaches(subject, tenant, &first).await
}

async fn isolated(subject: &dyn Subject, tenant: &Tenant) -> Outcome {
    let neighbour = Tenant::fresh()?;
    let credential = Credential::generate();
    let outcome = async {
        create(subject, &neighbour, &Credential::generate()).await?;
        create(subject, tenant, &credential).await?;
        no_breaches(subject, tenant, &credential).await
    };
    let outcome = outcome.await;
    delete(subject, &neighbour).await?;
    outcome
}

async fn foreign(subject: &dyn Subject, tenant: &Tenant) -> Outcome {
    let credential = Credential::generate();
    create(subject, tenant, &credential).await?;
    for other in [tenant.stranger(), tenant.elsewhere()] {
        let observed = subject.observe(&other).await?;
        expect(
            matches!(observed, Observed::Foreign(_)),
            format!("another's thing is observed as {observed:?}"),
        )?;
        let new = Credential::generate();
        for refused in [
            subject.create(&other, &new).await,
            subject.update(&other, Some(&new)).await,
            subject.update(&other.changed(), None).await,
        ] {
            let is_foreign = matches!(refused, Err(BackendError::Foreign(_)));
            expect(is_foreign, format!("a write to another's thing ended as {refused:?}"))?;
        }
        subject.revoke(&other).await?;
        subject.delete(&other).await?;
    }
    converged(subject, tenant).await?;
    no_breaches(subject, tenant, &credential).await
}

async fn broken_off(subject: &dyn Subject, tenant: &Tenant) -> Outcome {
    for after in BREAKS_MS.map(Duration::from_millis) {
        let _ = tokio::time::timeout(after, subject.create(tenant, &Credential::generate())).await;
        let credential = Credential::generate();
        create(subject, tenant, &credential).await?;
        converged(subject, tenant).await?;
        no_breaches(subject, tenant, &credential).await?;
        delete(subject, tenant).await?;
    }
    Ok(())
}

async fn deletion_broken_off(subject: &dyn Subject, tenant: &Tenant) -> Outcome {
    for after in BREAKS_MS.map(Duration::from_millis) {
        create(subject, tenant, &Credential::generate()).await?;
        let _ = tokio::time::timeout(after, subject.delete(tenant)).await;
        delete(subject, tenant).await?;
        absent(subject, tenant).await?;
    }
    Ok(())
}

async fn create(subject: &dyn Subject, tenant: &Tenant, credential: &Credential) -> Outcome {
    settled(|| subject.create(tenant, credential)).await
}

/// Deletes until nothing is left.
pub(super) async fn delete(subject: &dyn Subject, tenant: &Tenant) -> Outcome {
    settled(|| subject.delete(tenant)).await
}

/// Calls until the backend is available, as the reconciler does.
async fn settled<F: Future<Output = Result<(), BackendError>>>(call: impl Fn() -> F) -> Outcome {
    let mut last = call().await;
    for _ in 0..TRIES {
        if !matches!(last, Err(BackendError::Unavailable(_))) {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        last = call().await;
    }
    Ok(last?)
}

async fn absent(subject: &dyn Subject, tenant: &Tenant) -> Outcome {
    let observed = subject.observe(tenant).await?;
    expect(
        observed == Observed::Absent,
        format!("there should be nothing, and is {observed:?}"),
    )
}

async fn converged(subject: &dyn Subject, tenant: &Tenant) -> Result<Seen, Failure> {
    match subject.observe(tenant).await? {
        Observed::Present(seen) if seen.differences.is_empty() => Ok(seen),
        other => Err(Failure(format!("it should be as specified, and is {other:?}"))),
    }
}

async fn differs(subject: &dyn Subject, tenant: &Tenant) -> Outcome {
    let observed = subject.observe(tenant).await?;
    let differs = matches!(&observed, Observed::Present(seen) if !seen.differences.is_empty());
    expect(differs, format!("a difference should show, and it is {observed:?}"))
}

async fn no_breaches(subject: &dyn Subject, tenant: &Tenant, credential: &Credential) -> Outcome {
    let breaches = subject.verify_isolation(tenant, credential).await?;
    expect(breaches.is_empty(), format!("isolation is breached: {breaches:?}"))
}

async fn breaches(subject: &dyn Subject, tenant: &Tenant, credential: &Credential) -> Outcome {
    let breaches = subject.verify_isolation(tenant, credential).await?;
    expect(
        !breaches.is_empty(),
        "a credential that should be refused is accepted".to_owned(),
    )
}
