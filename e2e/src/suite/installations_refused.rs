//! What cannot be installed says why, and leaves what runs as it is.

use anyhow::{Result, bail, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use plexica_crds::{PluginInstallation, plugin_installation::conditions::Type};
use serde_json::json;

use super::{
    Case,
    clients::database,
    env::{Env, contains, eventually, post, unique},
    tenant_plugins::{PATIENCE, TenantPlugins, install, says},
    without_webhook,
};

/// See the file's description.
pub fn cases() -> Vec<Case> {
    let mut all = crate::cases![false;
        a_migration_that_fails_is_told_with_its_statement_and_leaves_what_runs,
        what_cannot_be_chosen_is_explained,
        an_installation_in_a_namespace_of_no_tenant_says_so,
    ];
    all.extend(without_webhook(crate::cases![false;
        a_configuration_that_breaks_the_schema_is_told_with_its_place,
        a_secret_of_the_configuration_comes_from_a_secret_only,
    ]));
    all
}

async fn a_configuration_that_breaks_the_schema_is_told_with_its_place(env: &Env) -> Result<()> {
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    let promotion = json!({ "promotionDelay": "1s", "rollbackWindow": "1s", "connectionDrain": "1s" });
    let spec = json!({ "config": { "pageSize": "many", "unheard": 1 }, "promotion": promotion });
    plugins.install("contacts", spec).await?;
    let told = plugins
        .says("contacts", Type::ConfigurationValid, "False", "ConfigurationInvalid")
        .await?;
    contains(&told.message, "/pageSize")?;
    contains(&told.message, "unheard")?;
    plugins
        .patch(
            "contacts",
            json!({ "spec": { "config": { "pageSize": 5, "unheard": null } } }),
        )
        .await?;
    plugins.ready("contacts").await?;

    // New pods get the new configuration; the old one goes when nothing runs with it any more.
    let configs = || async {
        let found = plugins
            .objects::<ConfigMap>()
            .list(&ListParams::default().labels("plexica.io/config"))
            .await?;
        match found.items.as_slice() {
            [only] => Ok(only.data.clone().unwrap_or_default()["config.json"].clone()),
            several => bail!("{} configurations", several.len()),
        }
    };
    contains(
        &eventually("one configuration", PATIENCE, configs).await?,
        "\"pageSize\":5",
    )?;
    plugins
        .patch("contacts", json!({ "spec": { "config": { "pageSize": 6 } } }))
        .await?;
    eventually("the new configuration alone", PATIENCE, || async {
        contains(&configs().await?, "\"pageSize\":6")
    })
    .await
}

async fn a_secret_of_the_configuration_comes_from_a_secret_only(env: &Env) -> Result<()> {
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    let in_clear = json!({ "config": { "ingest": { "key": "in-the-clear-0123456789" } } });
    plugins.install("sample-analytics", in_clear).await?;
    let told = plugins
        .says("sample-analytics", Type::ConfigurationValid, "False", "SecretInClear")
        .await?;
    contains(&told.message, "/ingest/key")?;
    ensure!(
        !told.message.contains("in-the-clear"),
        "the secret is shown: {}",
        told.message
    );
    let by_reference = json!({ "spec": {
        "config": { "ingest": null },
        "configFrom": [{ "pointer": "/ingest/key", "secretKeyRef": { "name": "ingest", "key": "key" } }],
    }});
    plugins.patch("sample-analytics", by_reference).await?;
    let told = plugins
        .says("sample-analytics", Type::ConfigurationValid, "False", "SourceMissing")
        .await?;
    contains(&told.message, "Secret ingest has no key key")?;
    let secret = json!({ "metadata": { "name": "ingest" }, "stringData": { "key": "kept-in-a-secret-0123456789" } });
    post(&plugins.objects::<Secret>(), secret).await?;
    plugins.ready("sample-analytics").await?;
    let maps = plugins
        .objects::<ConfigMap>()
        .list(&ListParams::default().labels("plexica.io/config"))
        .await?;
    ensure!(maps.items.is_empty(), "a configuration with a secret is in a ConfigMap");
    let recorded: Option<String> = database::value(
        &env.postgres,
        &format!(
            "SELECT p.configuration::text FROM core.tenant_plugins AS p JOIN core.tenants AS t ON t.id = p.tenant_id WHERE t.slug = '{}'",
            plugins.slug
        ),
    )
    .await?;
    ensure!(
        recorded.is_some_and(|text| !text.contains("kept-in")),
        "the registry holds the secret"
    );
    Ok(())
}

async fn a_migration_that_fails_is_told_with_its_statement_and_leaves_what_runs(env: &Env) -> Result<()> {
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    let id = unique("broken");
    let release = env
        .publish(
            &id,
            "1.0.0",
            json!({ "migrations": [
                { "name": "0001_good", "sql": "CREATE TABLE {{schema}}.good (id int)" },
                { "name": "0002_hostile", "sql": "SELECT 1; DROP TABLE {{tenant_schema}}.users" },
            ]}),
        )
        .await?;
    env.registered(&release).await?;
    plugins.install(&id, json!({ "dataPolicy": "Drop" })).await?;
    let told = plugins
        .says(&id, Type::MigrationsApplied, "False", "MigrationFailed")
        .await?;
    for part in ["migration 0002_hostile, statement 2", "SQLSTATE 42501"] {
        contains(&told.message, part)?;
    }
    let schema = plugins.schema(&id)?;
    ensure!(
        database::any(
            &env.postgres,
            &format!("SELECT FROM pg_class WHERE relnamespace = '{schema}'::regnamespace AND relname = 'good'")
        )
        .await?,
        "the good migration is not applied"
    );
    ensure!(
        database::any(
            &env.postgres,
            &format!(
                "SELECT FROM pg_class WHERE relnamespace = '{}'::regnamespace AND relname = 'users'",
                plugins.slug.schema()
            )
        )
        .await?,
        "the tenant's table is gone"
    );
    plugins.remove(&id).await
}

async fn what_cannot_be_chosen_is_explained(env: &Env) -> Result<()> {
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    plugins.install("nobodys", json!({})).await?;
    let told = plugins
        .says("nobodys", Type::DependenciesSatisfied, "False", "PluginUnknown")
        .await?;
    contains(&told.message, "no plugin nobodys is registered")?;
    plugins.install("contacts", json!({ "version": "^7" })).await?;
    let told = plugins
        .says("contacts", Type::DependenciesSatisfied, "False", "NoVersionFits")
        .await?;
    contains(&told.message, "1.0.0")
}

async fn an_installation_in_a_namespace_of_no_tenant_says_so(env: &Env) -> Result<()> {
    install(env, "default", "contacts", json!({})).await?;
    let api: Api<PluginInstallation> = Api::namespaced(env.client.clone(), "default");
    let told = says(&api, "contacts", Type::Stalled, "True", "TenantUnknown").await;
    api.delete("contacts", &DeleteParams::default()).await?;
    contains(&told?.message, "namespace default belongs to no tenant")
}
