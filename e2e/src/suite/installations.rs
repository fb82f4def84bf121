//! Plugins in tenants: those of `examples/plugins`, which `cargo dev up` publishes, are installed for real.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Pod, Secret, Service},
    networking::v1::NetworkPolicy,
};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams},
};
use plexica_crds::plugin_installation::conditions::Type;
use serde_json::json;

use super::{
    Case,
    clients::database,
    env::{Env, contains, eventually, unique},
    tenant_plugins::{PATIENCE, TenantPlugins},
    without_webhook,
};

/// See the file's description.
pub fn cases() -> Vec<Case> {
    let mut all = crate::cases![false;
        a_plugin_gets_schema_permissions_configuration_and_pods,
        an_installation_that_is_removed_leaves_nothing_but_its_data_and_finds_it_again,
        what_a_plugin_needs_is_installed_with_it_if_that_is_wanted,
        an_installation_that_is_switched_off_has_no_pods_and_comes_back,
        plugins_of_a_suspended_tenant_are_shut_with_it,
        a_plugin_goes_on_while_one_that_it_needs_is_switched_off_and_both_say_so,
        what_a_deleted_tenant_had_installed_is_uninstalled_in_the_registry,
    ];
    all.extend(without_webhook(crate::cases![false;
        a_plugin_waits_for_the_one_that_it_needs_and_that_one_cannot_go_before_it,
    ]));
    all
}

/// All that happens to installations: what is needed is made, a configuration is refused twice (the second event is
/// added to the first) and changed, and all of it is removed.
pub async fn live(env: &Env) -> Result<()> {
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    plugins
        .install("crm", json!({ "dependencyPolicy": "AutoInstall" }))
        .await?;
    plugins.ready("crm").await?;
    for currency in ["GBP", "CHF"] {
        let nowhere = json!([{ "pointer": "/currency", "secretKeyRef": { "name": "nowhere", "key": "currency" } }]);
        plugins
            .patch("crm", json!({ "spec": { "configFrom": nowhere } }))
            .await?;
        plugins
            .says("crm", Type::ConfigurationValid, "False", "SourceMissing")
            .await?;
        plugins
            .patch(
                "crm",
                json!({ "spec": { "config": { "currency": currency }, "configFrom": null } }),
            )
            .await?;
        plugins.ready("crm").await?;
    }
    plugins.remove("crm").await?;
    plugins.remove("contacts").await
}

async fn a_plugin_gets_schema_permissions_configuration_and_pods(env: &Env) -> Result<()> {
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    plugins
        .install("contacts", json!({ "version": "^1", "config": { "pageSize": 7 } }))
        .await?;
    let contacts = plugins.ready("contacts").await?;

    // Its pods serve through its Service, and know who they are.
    let version = plugins.ask("contacts", "/version").await?;
    ensure!(
        version["version"] == "1.0.0" && version["tenant"] == plugins.slug.as_str() && version["slot"] == "a",
        "it says {version}"
    );
    let status = contacts.status.clone().context("no status")?;
    ensure!(
        status.lights.green.as_deref() == Some("1.0.0 1/1"),
        "{:?}",
        status.lights
    );
    env.until(plugins.slug.as_str(), "counting its plugin", |tenant| {
        let counts = tenant.status.as_ref().and_then(|status| status.plugins.as_ref());
        counts.is_some_and(|counts| counts.summary == "1/1")
    })
    .await?;
    // Its tables, permissions and row in the registry.
    let schema = plugins.schema("contacts")?;
    ensure!(
        database::any(
            &env.postgres,
            &format!("SELECT FROM {schema}.contacts HAVING count(*) = 0")
        )
        .await?,
        "no table"
    );
    let tenant = plugins.slug.schema();
    ensure!(
        database::any(
            &env.postgres,
            &format!("SELECT FROM {tenant}.permissions WHERE plugin_id = 'contacts'")
        )
        .await?,
        "no permissions"
    );
    let registered = "SELECT FROM core.tenant_plugins AS p JOIN core.tenants AS t ON t.id = p.tenant_id \
        WHERE p.plugin_id = 'contacts' AND p.enabled AND p.configuration ->> 'pageSize' = '7'";
    let registered = format!("{registered} AND t.slug = '{}'", plugins.slug);
    ensure!(
        database::any(&env.postgres, &format!("{registered} AND p.status = 'INSTALLED'")).await?,
        "not in the registry"
    );
    // Its pods are restricted.
    let pods = plugins
        .objects::<Pod>()
        .list(&ListParams::default().labels("plexica.io/plugin=contacts"))
        .await?;
    let spec = pods.items.first().and_then(|pod| pod.spec.clone()).context("no pod")?;
    ensure!(
        spec.automount_service_account_token == Some(false),
        "a token is mounted"
    );

    Ok(())
}

async fn an_installation_that_is_removed_leaves_nothing_but_its_data_and_finds_it_again(env: &Env) -> Result<()> {
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    plugins.install("contacts", json!({})).await?;
    plugins.ready("contacts").await?;
    let schema = plugins.schema("contacts")?;
    // A row that the plugin wrote outlives the installation, and is found again.
    database::run(
        &env.postgres,
        &format!("INSERT INTO {schema}.contacts (name, created_by) VALUES ('survivor', 'a test')"),
    )
    .await?;
    plugins.remove("contacts").await?;
    let all = ListParams::default().labels("plexica.io/plugin=contacts");
    ensure!(
        plugins.objects::<Service>().list(&all).await?.items.is_empty(),
        "a Service is left"
    );
    ensure!(
        plugins.objects::<Secret>().list(&all).await?.items.is_empty(),
        "a Secret is left"
    );
    ensure!(
        plugins.objects::<ConfigMap>().list(&all).await?.items.is_empty(),
        "a ConfigMap is left"
    );
    ensure!(
        plugins.objects::<NetworkPolicy>().list(&all).await?.items.is_empty(),
        "a NetworkPolicy is left"
    );
    ensure!(
        database::any(
            &env.postgres,
            &format!(
                "SELECT FROM core.tenant_plugins AS p JOIN core.tenants AS t ON t.id = p.tenant_id \
                 WHERE p.plugin_id = 'contacts' AND NOT p.enabled AND p.status = 'UNINSTALLED' AND t.slug = '{}'",
                plugins.slug
            )
        )
        .await?,
        "the registry does not say that it is uninstalled"
    );
    plugins.install("contacts", json!({ "dataPolicy": "Drop" })).await?;
    plugins.ready("contacts").await?;
    ensure!(
        database::any(
            &env.postgres,
            &format!("SELECT FROM {schema}.contacts WHERE name = 'survivor'")
        )
        .await?,
        "the row is lost"
    );
    plugins.remove("contacts").await?;
    ensure!(
        !database::any(
            &env.postgres,
            &format!("SELECT FROM pg_namespace WHERE nspname = '{schema}'")
        )
        .await?,
        "dataPolicy Drop has left the schema"
    );
    Ok(())
}

async fn a_plugin_waits_for_the_one_that_it_needs_and_that_one_cannot_go_before_it(env: &Env) -> Result<()> {
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    plugins.install("crm", json!({})).await?;
    let told = plugins
        .says("crm", Type::DependenciesSatisfied, "False", "DependencyMissing")
        .await?;
    contains(&told.message, "contacts")?;
    plugins.install("contacts", json!({})).await?;
    plugins.ready("crm").await?;

    let contacts = plugins.api.get("contacts").await?;
    plugins.api.delete("contacts", &DeleteParams::default()).await?;
    let told = plugins
        .says("contacts", Type::Stalled, "True", "NeededByOthers")
        .await?;
    contains(&told.message, "crm 1.0.0 needs contacts")?;
    ensure!(
        plugins.ask("contacts", "/version").await?["plugin"] == "contacts",
        "it has stopped"
    );
    plugins.remove("crm").await?;
    plugins.gone("contacts", &contacts.uid().unwrap_or_default()).await
}

async fn what_a_plugin_needs_is_installed_with_it_if_that_is_wanted(env: &Env) -> Result<()> {
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    plugins
        .install("crm", json!({ "dependencyPolicy": "AutoInstall" }))
        .await?;
    plugins.ready("crm").await?;
    let contacts = plugins.ready("contacts").await?;
    ensure!(
        contacts
            .annotations()
            .get("plexica.io/needed-by")
            .is_some_and(|by| by == "crm"),
        "it does not say who needs it: {:?}",
        contacts.annotations()
    );
    Ok(())
}

async fn a_plugin_goes_on_while_one_that_it_needs_is_switched_off_and_both_say_so(env: &Env) -> Result<()> {
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    for id in ["contacts", "crm"] {
        plugins.install(id, json!({})).await?;
    }
    plugins.ready("crm").await?;
    plugins
        .patch("contacts", json!({ "spec": { "enabled": false } }))
        .await?;
    let told = plugins
        .says("crm", Type::DependenciesSatisfied, "False", "DependencyUnfit")
        .await?;
    contains(&told.message, "crm needs contacts ")?;
    contains(&told.message, ", which is switched off")?;
    let told = plugins.says("crm", Type::Ready, "True", "Installed").await?;
    contains(&told.message, "what is live works; not done: crm needs contacts ")?;
    let version = plugins.ask("crm", "/version").await?;
    ensure!(version["plugin"] == "crm", "it does not serve: {version}");
    let told = plugins.says("contacts", Type::Deployed, "False", "Disabled").await?;
    contains(&told.message, "; crm needs it")?;

    plugins
        .patch("contacts", json!({ "spec": { "enabled": true } }))
        .await?;
    plugins.ready("contacts").await?;
    plugins
        .says("crm", Type::DependenciesSatisfied, "True", "Resolved")
        .await
        .map(drop)
}

/// Whether its data is kept or dropped.
async fn what_a_deleted_tenant_had_installed_is_uninstalled_in_the_registry(env: &Env) -> Result<()> {
    for is_dropped in [true, false] {
        let name = unique("ended");
        env.create_with(&name, json!({}), is_dropped).await?;
        let id = env.ready(&name).await?.uid().unwrap_or_default();
        let plugins = TenantPlugins::of(env, &name)?;
        plugins.install("contacts", json!({})).await?;
        plugins.ready("contacts").await?;
        env.delete(&name).await?;
        let ended = format!(
            "SELECT FROM core.tenant_plugins WHERE tenant_id = '{id}' AND plugin_id = 'contacts' \
             AND NOT enabled AND status = 'UNINSTALLED'"
        );
        ensure!(
            database::any(&env.postgres, &ended).await?,
            "the registry says that a tenant that was deleted (data dropped: {is_dropped}) has its plugin"
        );
    }
    Ok(())
}

async fn an_installation_that_is_switched_off_has_no_pods_and_comes_back(env: &Env) -> Result<()> {
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    plugins.install("contacts", json!({})).await?;
    plugins.install("crm", json!({})).await?;
    plugins.ready("crm").await?;
    for id in ["contacts", "crm"] {
        plugins.patch(id, json!({ "spec": { "enabled": false } })).await?;
        plugins.says(id, Type::Ready, "False", "Disabled").await?;
        let scaled = plugins.objects::<Deployment>().get(&format!("{id}-a")).await?;
        ensure!(scaled.spec.and_then(|spec| spec.replicas) == Some(0), "{id} has pods");
        let recorded = format!(
            "SELECT FROM core.tenant_plugins AS p JOIN core.tenants AS t ON t.id = p.tenant_id \
             WHERE p.plugin_id = '{id}' AND NOT p.enabled AND p.status = 'INSTALLED' AND t.slug = '{}'",
            plugins.slug
        );
        ensure!(
            database::any(&env.postgres, &recorded).await?,
            "the registry says that {id} is on"
        );
    }
    for id in ["contacts", "crm"] {
        plugins.patch(id, json!({ "spec": { "enabled": true } })).await?;
        plugins.ready(id).await?;
    }
    Ok(())
}

async fn plugins_of_a_suspended_tenant_are_shut_with_it(env: &Env) -> Result<()> {
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    let both = ["contacts", "crm"];
    for id in both {
        plugins.install(id, json!({})).await?;
    }
    plugins.ready("crm").await?;
    let access = env.secret(plugins.slug.as_str(), "contacts-database").await?;
    drop(database::login(env, &access).await?);
    let tenant = plugins.slug.as_str();
    env.patch(tenant, json!({ "spec": { "suspended": true } })).await?;
    for id in both {
        plugins.says(id, Type::Ready, "False", "TenantSuspended").await?;
        let scaled = plugins.objects::<Deployment>().get(&format!("{id}-a")).await?;
        ensure!(scaled.spec.and_then(|spec| spec.replicas) == Some(0), "{id} has pods");
    }
    let refused = || async {
        let refused = database::login_refused(env, &access).await?;
        ensure!(refused == "28000", "the login is refused with SQLSTATE {refused}");
        Ok(())
    };
    eventually("the plugin's role is shut", PATIENCE, refused).await?;
    env.patch(tenant, json!({ "spec": { "suspended": false } })).await?;
    env.ready(tenant).await?;
    for id in both {
        plugins.ready(id).await?;
    }
    Ok(())
}
