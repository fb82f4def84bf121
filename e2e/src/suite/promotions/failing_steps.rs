//! A release that fails before its pods, and one that fails after all was moved: what is live works, and both is told.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::api::{Patch, PatchParams};
use plexica_crds::{names::Slot, plugin_installation::conditions::Type};
use serde_json::{Value, json};

use super::installed::Installed;
use crate::{
    cases,
    suite::{
        Case,
        env::{Env, eventually},
        tenant_plugins::PATIENCE,
    },
};

/// Cases of this file.
pub fn cases() -> Vec<Case> {
    cases![false;
        a_failing_migration_of_the_next_release_leaves_the_live_one_ready_and_hides_none_of_its_failures,
        a_refused_configuration_leaves_what_is_live_ready_and_the_next_one_goes_live,
        a_range_that_fits_nothing_leaves_what_is_live_ready_and_led,
        a_contract_migration_that_fails_leaves_the_plugin_ready_and_a_corrected_one_is_applied,
    ]
}

fn table() -> Value {
    json!({ "name": "0001_things", "sql": "CREATE TABLE things (id bigint PRIMARY KEY, old text)" })
}

async fn a_failing_migration_of_the_next_release_leaves_the_live_one_ready_and_hides_none_of_its_failures(
    env: &Env,
) -> Result<()> {
    let promotion = json!({ "promotionDelay": "1s", "connectionDrain": "1s" });
    let installed = Installed::with(env, json!({ "migrations": [table()] }), promotion, 1).await?;
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    // What is live will fail, but not yet.
    installed
        .configure(json!({ "fault": "not-ready-after-seconds", "notReadyAfterSeconds": 30 }))
        .await?;
    installed
        .until("what will fail is live", |status| status.live_slot == Some(Slot::B))
        .await?;

    let failing = json!({ "name": "0002_more", "sql": "ALTER TABLE nothing ADD COLUMN more text" });
    installed
        .publish_with("2.0.0", json!({ "migrations": [table(), failing] }))
        .await?;
    plugins
        .says(id, Type::MigrationsApplied, "False", "MigrationFailed")
        .await?;
    let ready = plugins.says(id, Type::Ready, "True", "Installed").await?;
    ensure!(
        ready.message.starts_with("what is live works; not done: ") && ready.message.contains("0002_more"),
        "{}",
        ready.message
    );
    plugins.says(id, Type::Stalled, "True", "MigrationFailed").await?;
    let promoted = plugins.says(id, Type::Promoted, "False", "NotBegun").await?;
    ensure!(
        promoted
            .message
            .starts_with("1.0.0 is live; 2.0.0 is not on its way as it is wanted: "),
        "{}",
        promoted.message
    );

    plugins.says(id, Type::Deployed, "False", "PodsStarting").await?;
    plugins.says(id, Type::Ready, "False", "MigrationFailed").await?;
    installed.leads_to(Slot::B).await
}

async fn a_refused_configuration_leaves_what_is_live_ready_and_the_next_one_goes_live(env: &Env) -> Result<()> {
    let promotion = json!({ "promotionDelay": "1s", "connectionDrain": "1s" });
    let installed = Installed::new(env, promotion, 1).await?;
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    let nowhere = json!([{ "pointer": "/fault", "secretKeyRef": { "name": "nowhere", "key": "fault" } }]);
    plugins.patch(id, json!({ "spec": { "configFrom": nowhere } })).await?;
    plugins
        .says(id, Type::ConfigurationValid, "False", "SourceMissing")
        .await?;
    plugins.says(id, Type::Ready, "True", "Installed").await?;
    plugins.says(id, Type::Reconciling, "True", "SourceMissing").await?;
    plugins.says(id, Type::Promoted, "False", "NotBegun").await?;
    installed.leads_to(Slot::A).await?;

    let right = json!({ "spec": { "configFrom": null, "config": { "notReadyAfterSeconds": 1 } } });
    plugins.patch(id, right).await?;
    installed
        .until("live", |status| status.live_slot == Some(Slot::B))
        .await?;
    plugins.says(id, Type::Promoted, "True", "Live").await?;
    let ready = plugins.says(id, Type::Ready, "True", "Installed").await?;
    ensure!(ready.message == "the plugin works", "{}", ready.message);
    Ok(())
}

async fn a_range_that_fits_nothing_leaves_what_is_live_ready_and_led(env: &Env) -> Result<()> {
    let installed = Installed::new(env, json!({}), 1).await?;
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    plugins.patch(id, json!({ "spec": { "version": "^7" } })).await?;
    plugins
        .says(id, Type::DependenciesSatisfied, "False", "NoVersionFits")
        .await?;
    plugins.says(id, Type::Stalled, "True", "NoVersionFits").await?;
    plugins.says(id, Type::Ready, "True", "Installed").await?;
    plugins.says(id, Type::Promoted, "False", "NotBegun").await?;

    let strip = Patch::Merge(json!({ "spec": { "selector": { "plexica.io/slot": null } } }));
    let services = plugins.objects::<Service>();
    services.patch(id, &PatchParams::default(), &strip).await?;
    eventually("the selector as it was", PATIENCE, async || {
        installed.leads_to(Slot::A).await
    })
    .await?;
    plugins.patch(id, json!({ "spec": { "version": "^1" } })).await?;
    plugins.says(id, Type::Promoted, "True", "Live").await.map(drop)
}

async fn a_contract_migration_that_fails_leaves_the_plugin_ready_and_a_corrected_one_is_applied(
    env: &Env,
) -> Result<()> {
    let promotion = json!({ "promotionDelay": "1s", "connectionDrain": "1s", "rollbackWindow": "1s" });
    let installed = Installed::with(env, json!({ "migrations": [table()] }), promotion, 1).await?;
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    let dropping = |column: &str| json!({ "name": "0002_no_old", "phase": "Contract", "sql": format!("ALTER TABLE things DROP COLUMN {column}") });
    installed
        .publish_with("2.0.0", json!({ "migrations": [table(), dropping("odl")] }))
        .await?;
    let said = plugins
        .says(id, Type::MigrationsApplied, "False", "MigrationFailed")
        .await?;
    ensure!(said.message.contains("0002_no_old"), "{}", said.message);
    plugins.says(id, Type::Promoted, "True", "Live").await?;
    plugins.says(id, Type::Stalled, "True", "MigrationFailed").await?;
    plugins.says(id, Type::Ready, "True", "Installed").await?;
    let migrations = installed.status().await?.migrations.context("no migrations")?;
    ensure!(migrations.contracted.is_none(), "{migrations:?}");
    ensure!(migrations.contract_pending == 1, "{migrations:?}");

    installed
        .publish_with("2.0.1", json!({ "migrations": [table(), dropping("old")] }))
        .await?;
    installed
        .until("contracted", |status| {
            let migrations = status.migrations.as_ref();
            migrations.is_some_and(|found| found.contracted.as_deref() == Some("0002_no_old"))
        })
        .await?;
    plugins.says(id, Type::MigrationsApplied, "True", "Applied").await?;
    let ready = plugins.says(id, Type::Ready, "True", "Installed").await?;
    ensure!(ready.message == "the plugin works", "{}", ready.message);
    ensure!(
        !installed
            .status()
            .await?
            .conditions
            .iter()
            .any(|said| said.type_ == "Stalled"),
        "it is still stalled"
    );
    Ok(())
}
