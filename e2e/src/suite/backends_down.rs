//! A backend that is down or stuck costs its own part of its own tenants, says so, and heals without help:
//! design.md sections 1 and 3.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use kube::api::DeleteParams;
use plexica_crds::{
    Tenant,
    names::TenantSlug,
    tenant::{Phase, conditions::Type},
};
use serde_json::{Value, json};

use super::{
    Case,
    clients::{database, identity, storage},
    env::{Env, condition_of, contains, unique},
    fault_proxy::{Backend, Mode},
};

/// See the file's description. Tests of one backend wait for each other: they come in turns here.
pub fn cases() -> Vec<Case> {
    crate::cases![false;
        while_keycloak_is_down_its_tenant_waits_and_others_do_not,
        while_postgres_is_down_its_tenant_waits_and_others_do_not,
        while_storage_is_down_its_tenant_waits_and_others_do_not,
        while_keycloak_hangs_its_tenant_waits_and_others_do_not,
        while_postgres_hangs_its_tenant_waits_and_others_do_not,
        while_storage_hangs_its_tenant_waits_and_others_do_not,
        an_outage_of_keycloak_is_told_by_a_ready_tenant_and_renews_nothing,
        an_outage_of_postgres_is_told_by_a_ready_tenant_and_renews_nothing,
        an_outage_of_storage_is_told_by_a_ready_tenant_and_renews_nothing,
        a_deletion_waits_for_keycloak_and_ends_by_itself,
        a_deletion_waits_for_postgres_and_ends_by_itself,
        a_deletion_waits_for_storage_and_ends_by_itself,
    ]
}

async fn while_keycloak_is_down_its_tenant_waits_and_others_do_not(env: &Env) -> Result<()> {
    outage(env, Backend::Keycloak, Mode::Refuse).await
}

async fn while_postgres_is_down_its_tenant_waits_and_others_do_not(env: &Env) -> Result<()> {
    outage(env, Backend::Postgres, Mode::Refuse).await
}

async fn while_storage_is_down_its_tenant_waits_and_others_do_not(env: &Env) -> Result<()> {
    outage(env, Backend::S3, Mode::Refuse).await
}

async fn while_keycloak_hangs_its_tenant_waits_and_others_do_not(env: &Env) -> Result<()> {
    outage(env, Backend::Keycloak, Mode::Hang).await
}

async fn while_postgres_hangs_its_tenant_waits_and_others_do_not(env: &Env) -> Result<()> {
    outage(env, Backend::Postgres, Mode::Hang).await
}

async fn while_storage_hangs_its_tenant_waits_and_others_do_not(env: &Env) -> Result<()> {
    outage(env, Backend::S3, Mode::Hang).await
}

async fn an_outage_of_keycloak_is_told_by_a_ready_tenant_and_renews_nothing(env: &Env) -> Result<()> {
    interruption(env, Backend::Keycloak).await
}

async fn an_outage_of_postgres_is_told_by_a_ready_tenant_and_renews_nothing(env: &Env) -> Result<()> {
    interruption(env, Backend::Postgres).await
}

async fn an_outage_of_storage_is_told_by_a_ready_tenant_and_renews_nothing(env: &Env) -> Result<()> {
    interruption(env, Backend::S3).await
}

async fn a_deletion_waits_for_keycloak_and_ends_by_itself(env: &Env) -> Result<()> {
    deletion(env, Backend::Keycloak).await
}

async fn a_deletion_waits_for_postgres_and_ends_by_itself(env: &Env) -> Result<()> {
    deletion(env, Backend::Postgres).await
}

async fn a_deletion_waits_for_storage_and_ends_by_itself(env: &Env) -> Result<()> {
    deletion(env, Backend::S3).await
}

/// The spec of a tenant that has this backend in pool `proxied` and the others in `main`.
fn spec(backend: Backend) -> Value {
    match backend {
        Backend::Postgres => json!({ "database": { "pool": "proxied" } }),
        Backend::Keycloak => json!({ "identity": { "pool": "proxied" } }),
        Backend::S3 => json!({ "storage": { "pool": "proxied" } }),
    }
}

/// The condition of this backend's part, and how messages name its pool.
fn part(backend: Backend) -> (Type, &'static str) {
    match backend {
        Backend::Postgres => (Type::DatabaseReady, "postgres pool proxied"),
        Backend::Keycloak => (Type::IdentityReady, "keycloak pool proxied"),
        Backend::S3 => (Type::StorageReady, "s3 pool proxied"),
    }
}

/// A tenant says which backend it waits for, since when, and when it is tried next.
async fn says_what_it_waits_for(env: &Env, name: &str, backend: Backend) -> Result<()> {
    // Another part may have to wait for a moment, too: a cold Keycloak answers 500 to one of several new realms.
    let pool = part(backend).1;
    let tenant = env
        .until(name, "waiting for its broken backend", move |tenant| {
            condition_of(tenant, Type::Reconciling)
                .is_some_and(|told| told.reason == "BackendUnavailable" && told.message.contains(pool))
        })
        .await?;
    let told = condition_of(&tenant, Type::Reconciling).context("no condition Reconciling")?;
    ensure!(told.status == "True", "Reconciling is {}", told.status);
    for words in [part(backend).1, " (since ", "; tried again at "] {
        contains(&told.message, words)?;
    }
    Ok(())
}

fn says(tenant: &Tenant, type_: Type) -> Option<(&str, &str)> {
    condition_of(tenant, type_).map(|said| (said.status.as_str(), said.reason.as_str()))
}

async fn outage(env: &Env, backend: Backend, mode: Mode) -> Result<()> {
    let turn = backend.turn(env).await?;
    turn.set(mode);
    let name = unique("waits");
    env.create(&name, spec(backend)).await?;
    says_what_it_waits_for(env, &name, backend).await?;
    if mode == Mode::Hang {
        turn.connected().await?;
    }
    let (broken, _) = part(backend);
    // All other parts become what they shall be.
    let tenant = env
        .until(&name, "complete but for its broken backend", move |tenant| {
            [Type::DatabaseReady, Type::IdentityReady, Type::StorageReady]
                .iter()
                .all(|type_| {
                    let wanted = if *type_ == broken {
                        ("False", "BackendUnavailable")
                    } else {
                        ("True", "Provisioned")
                    };
                    says(tenant, *type_) == Some(wanted)
                })
        })
        .await?;
    ensure!(says(&tenant, Type::Ready) == Some(("False", "BackendUnavailable")));
    ensure!(
        condition_of(&tenant, Type::Stalled).is_none(),
        "what heals without help is not Stalled"
    );
    ensure!(
        tenant
            .status
            .as_ref()
            .is_some_and(|status| status.phase == Some(Phase::Provisioning))
    );

    let neighbour = unique("neighbour");
    env.create(&neighbour, json!({})).await?;
    env.ready(&neighbour).await?;
    // It did not have to wait for the broken backend, which is broken still. How fast it is, benchmarks tell.
    let tenant = env.tenants().get(&name).await?;
    ensure!(says(&tenant, broken) == Some(("False", "BackendUnavailable")));

    turn.set(Mode::Forward);
    let tenant = env.ready(&name).await?;
    ensure!(condition_of(&tenant, Type::Reconciling).is_none());
    // Here, while it is this test's turn.
    env.delete(&name).await
}

/// What cannot be looked at is not given up: credentials are the same before and after.
async fn interruption(env: &Env, backend: Backend) -> Result<()> {
    let turn = backend.turn(env).await?;
    let name = unique("lasts");
    env.create(&name, spec(backend)).await?;
    env.ready(&name).await?;
    let before = secrets(env, &name).await?;
    turn.set(Mode::Refuse);
    env.touch(&name).await?;
    says_what_it_waits_for(env, &name, backend).await?;
    turn.set(Mode::Forward);
    env.ready(&name).await?;
    ensure!(
        secrets(env, &name).await? == before,
        "a Secret was written by the outage"
    );
    database::of_tenant(env, &name).await?;
    env.delete(&name).await
}

/// All credentials of a tenant.
async fn secrets(env: &Env, tenant: &str) -> Result<[BTreeMap<String, String>; 3]> {
    Ok([
        env.secret(tenant, database::SECRET).await?,
        env.secret(tenant, identity::SECRET).await?,
        env.secret(tenant, storage::SECRET).await?,
    ])
}

async fn deletion(env: &Env, backend: Backend) -> Result<()> {
    let turn = backend.turn(env).await?;
    let name = unique("leaves");
    env.create(&name, spec(backend)).await?;
    let tenant = env.ready(&name).await?;
    turn.set(Mode::Refuse);
    env.tenants().delete(&name, &DeleteParams::default()).await?;
    env.until(&name, "PendingDeletion", |tenant| {
        tenant
            .status
            .as_ref()
            .is_some_and(|status| status.phase == Some(Phase::PendingDeletion))
    })
    .await?;
    says_what_it_waits_for(env, &name, backend).await?;
    turn.set(Mode::Forward);
    env.gone(&tenant).await?;
    let left = database::remains(env, &TenantSlug::parse(&name)?).await?;
    ensure!(left.is_empty(), "left in PostgreSQL: {left:?}");
    let row = database::row(env, &name).await?;
    ensure!(row["status"] == "DELETED", "the registry has {row}");
    Ok(())
}
