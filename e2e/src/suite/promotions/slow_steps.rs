//! Migrations that take long, and a database that does not answer: requests are led, repaired and gone back with meanwhile.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use plexica_crds::{names::Slot, plugin_installation::conditions::Type};
use serde_json::{Value, json};

use super::{REPAIRED, installed::Installed};
use crate::{
    cases,
    suite::{
        Case,
        clients::database,
        env::{Env, eventually, unique},
        fault_proxy::{Backend, Mode},
        tenant_plugins::TenantPlugins,
    },
};

/// Cases of this file.
pub fn cases() -> Vec<Case> {
    cases![false;
        a_rollback_and_a_repair_do_not_wait_for_the_next_releases_migration,
        a_rollback_does_not_wait_for_a_database_that_does_not_answer,
        an_installation_that_is_removed_amid_a_migration_leaves_nothing,
        a_contract_migration_that_fails_after_its_pass_is_told_and_a_corrected_one_is_applied,
    ]
}

/// Longer than everything that is to happen meanwhile.
fn slow() -> Value {
    json!({ "name": "0002_slow", "sql": "SELECT pg_sleep(40)" })
}

fn table() -> Value {
    json!({ "name": "0001_things", "sql": "CREATE TABLE things (id bigint PRIMARY KEY)" })
}

/// Waits until the slow migration runs, by what PostgreSQL and the status say.
async fn runs_slowly(installed: &Installed<'_>) -> Result<()> {
    installed
        .publish_with("2.0.0", json!({ "migrations": [table(), slow()] }))
        .await?;
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    let said = plugins.says(id, Type::MigrationsApplied, "False", "Migrating").await?;
    ensure!(said.message.contains("0002_slow"), "{}", said.message);
    is_running(installed).await
}

async fn is_running(installed: &Installed<'_>) -> Result<()> {
    let schema = installed.plugins.schema(&installed.id)?;
    let begun = format!(
        "SELECT FROM plexica.plugin_migrations \
         WHERE schema_name = '{schema}' AND name = '0002_slow' AND applied_at IS NULL"
    );
    ensure!(
        database::any(&installed.env.postgres, &begun).await?,
        "the migration does not run"
    );
    Ok(())
}

/// Release 1.1.0 is live in slot B, and 1.0.0 stands by in A.
async fn stands_by(installed: &Installed<'_>) -> Result<()> {
    installed
        .publish_with("1.1.0", json!({ "migrations": [table()] }))
        .await?;
    installed.live("1.1.0").await?;
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    plugins
        .says(id, Type::RollbackAvailable, "True", "StandingBy")
        .await
        .map(drop)
}

async fn a_rollback_and_a_repair_do_not_wait_for_the_next_releases_migration(env: &Env) -> Result<()> {
    let promotion = json!({ "promotionDelay": "1s", "connectionDrain": "1s" });
    let installed = Installed::with(env, json!({ "migrations": [table()] }), promotion, 1).await?;
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    stands_by(&installed).await?;
    runs_slowly(&installed).await?;
    plugins.says(id, Type::Ready, "True", "Installed").await?;

    let strip = Patch::Merge(json!({ "spec": { "selector": { "plexica.io/slot": null } } }));
    let services = plugins.objects::<Service>();
    services.patch(id, &PatchParams::default(), &strip).await?;
    eventually("the selector as it was", REPAIRED, async || {
        installed.leads_to(Slot::B).await
    })
    .await?;
    installed.request("rollback").await?;
    eventually("the way back", REPAIRED, async || installed.leads_to(Slot::A).await).await?;
    installed.back_in("1.0.0").await?;
    is_running(&installed).await?;

    installed.live("2.0.0").await?;
    plugins
        .says(id, Type::MigrationsApplied, "True", "Applied")
        .await
        .map(drop)
}

async fn a_rollback_does_not_wait_for_a_database_that_does_not_answer(env: &Env) -> Result<()> {
    let proxy = Backend::Postgres.turn(env).await?;
    let tenant = unique("slow");
    env.create(&tenant, json!({ "database": { "pool": "proxied" } }))
        .await?;
    env.ready(&tenant).await?;
    let plugins = TenantPlugins::of(env, &tenant)?;
    let promotion = json!({ "promotionDelay": "1s", "connectionDrain": "1s" });
    let installed = Installed::of(env, plugins, json!({ "migrations": [table()] }), promotion, 1).await?;
    stands_by(&installed).await?;

    proxy.set(Mode::Hang);
    // A pass, which will wait for the database.
    let plugins = &installed.plugins;
    let longer = json!({ "spec": { "promotion": { "rollbackWindow": "2h" } } });
    plugins.patch(&installed.id, longer).await?;
    proxy.connected().await?;
    installed.request("rollback").await?;
    eventually("the way back", REPAIRED, async || installed.leads_to(Slot::A).await).await?;
    proxy.set(Mode::Forward);
    installed.back_in("1.0.0").await?;
    plugins.remove(&installed.id).await?;
    // Here, while it is this test's turn.
    env.delete(&tenant).await
}

async fn an_installation_that_is_removed_amid_a_migration_leaves_nothing(env: &Env) -> Result<()> {
    let installed = Installed::with(env, json!({ "migrations": [table()] }), json!({}), 1).await?;
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    plugins.patch(id, json!({ "spec": { "dataPolicy": "Drop" } })).await?;
    runs_slowly(&installed).await?;
    let uid = plugins.api.get(id).await?.uid().unwrap_or_default();
    plugins.api.delete(id, &DeleteParams::default()).await?;
    plugins.says(id, Type::Ready, "False", "Migrating").await?;
    plugins.gone(id, &uid).await?;
    let schema = plugins.schema(id)?;
    let left = format!(
        "SELECT FROM pg_namespace WHERE nspname = '{schema}' UNION ALL SELECT FROM pg_roles WHERE rolname LIKE '{schema}%'"
    );
    ensure!(
        !database::any(&env.postgres, &left).await?,
        "something of {schema} is left"
    );
    Ok(())
}

async fn a_contract_migration_that_fails_after_its_pass_is_told_and_a_corrected_one_is_applied(
    env: &Env,
) -> Result<()> {
    let promotion = json!({ "promotionDelay": "1s", "connectionDrain": "1s", "rollbackWindow": "1s" });
    let installed = Installed::with(env, json!({ "migrations": [table()] }), promotion, 1).await?;
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    // No pass waits as long.
    let dropping = |table: &str| json!({ "name": "0002_less", "phase": "Contract", "sql": format!("SELECT pg_sleep(3); DROP TABLE {table}") });
    installed
        .publish_with("2.0.0", json!({ "migrations": [table(), dropping("thinsg")] }))
        .await?;
    installed
        .until("migrating", |status| {
            let mut said = status.conditions.iter();
            said.any(|said| said.reason == "Migrating" && said.message.contains("0002_less"))
        })
        .await?;
    let said = plugins
        .says(id, Type::MigrationsApplied, "False", "MigrationFailed")
        .await?;
    ensure!(said.message.contains("thinsg"), "{}", said.message);
    plugins.says(id, Type::Promoted, "True", "Live").await?;
    plugins.says(id, Type::Ready, "True", "Installed").await?;

    installed
        .publish_with("2.0.1", json!({ "migrations": [table(), dropping("things")] }))
        .await?;
    installed
        .until("contracted", |status| {
            let migrations = status.migrations.as_ref();
            migrations.is_some_and(|found| found.contracted.as_deref() == Some("0002_less"))
        })
        .await?;
    plugins
        .says(id, Type::MigrationsApplied, "True", "Applied")
        .await
        .map(drop)
}
