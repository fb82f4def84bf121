//! Plugins in tenants: the example plugins are installed for real, and what cannot be installed says why.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{ConfigMap, Pod, Secret, Service},
        networking::v1::NetworkPolicy,
    },
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    runtime::{wait::await_condition, wait::conditions::is_deleted},
};
use plexica_crds::{
    PluginInstallation, condition,
    names::{PluginId, TenantSlug},
    plugin_installation::conditions::Type,
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    Case,
    clients::database,
    env::{Env, contains, eventually, http_request, unique},
};

/// Longest wait for an installation: its provider first, then its own pods.
const PATIENCE: Duration = Duration::from_mins(3);

/// See the file's description.
pub fn cases() -> Vec<Case> {
    crate::cases![false;
        a_plugin_gets_schema_permissions_configuration_and_pods,
        an_installation_that_is_removed_leaves_nothing_but_its_data_and_finds_it_again,
        a_plugin_waits_for_the_one_that_it_needs_and_that_one_cannot_go_before_it,
        what_a_plugin_needs_is_installed_with_it_if_that_is_wanted,
        a_configuration_that_breaks_the_schema_is_told_with_its_place,
        a_secret_of_the_configuration_comes_from_a_secret_only,
        a_migration_that_fails_is_told_with_its_statement_and_leaves_what_runs,
        an_installation_that_is_switched_off_has_no_pods_and_comes_back,
        plugins_of_a_suspended_tenant_are_shut_with_it,
        what_cannot_be_chosen_is_explained,
        an_installation_in_a_namespace_of_no_tenant_says_so,
    ]
}

/// All that happens to installations: what is needed is made, a configuration is refused twice (the second event is
/// added to the first) and changed, and all of it is removed.
pub async fn live(env: &Env) -> Result<()> {
    example(env, "contacts").await?;
    example(env, "crm").await?;
    let plugins = Plugins::of_new_tenant(env).await?;
    plugins
        .install("crm", json!({ "dependencyPolicy": "AutoInstall" }))
        .await?;
    plugins.ready("crm").await?;
    for currency in ["GBP", "CHF"] {
        plugins
            .patch("crm", json!({ "spec": { "config": { "currency": "shells" } } }))
            .await?;
        plugins
            .says("crm", Type::ConfigurationValid, "False", "ConfigurationInvalid")
            .await?;
        plugins
            .patch("crm", json!({ "spec": { "config": { "currency": currency } } }))
            .await?;
        plugins.ready("crm").await?;
    }
    plugins.remove("crm").await?;
    plugins.remove("contacts").await
}

/// Installations of one tenant.
struct Plugins<'a> {
    env: &'a Env,
    slug: TenantSlug,
    api: Api<PluginInstallation>,
}

impl<'a> Plugins<'a> {
    /// A new tenant that is Ready.
    async fn of_new_tenant(env: &'a Env) -> Result<Self> {
        let name = unique("plug");
        env.create(&name, json!({})).await?;
        env.ready(&name).await?;
        let slug = TenantSlug::parse(&name)?;
        Ok(Self {
            env,
            api: Api::namespaced(env.client.clone(), slug.namespace().as_str()),
            slug,
        })
    }

    async fn install(&self, id: &str, spec: Value) -> Result<()> {
        install(self.env, self.slug.namespace().as_str(), id, spec).await
    }

    async fn patch(&self, id: &str, patch: Value) -> Result<()> {
        self.api
            .patch(id, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    async fn remove(&self, id: &str) -> Result<()> {
        let installation = self.api.get(id).await?;
        self.api.delete(id, &DeleteParams::default()).await?;
        self.gone(id, &installation.uid().unwrap_or_default()).await
    }

    async fn gone(&self, id: &str, uid: &str) -> Result<()> {
        timeout(PATIENCE, await_condition(self.api.clone(), id, is_deleted(uid)))
            .await
            .map_err(|_| anyhow!("{id} is still there"))??;
        Ok(())
    }

    async fn says(&self, id: &str, type_: Type, status: &'static str, reason: &'static str) -> Result<Condition> {
        says(&self.api, id, type_, status, reason).await
    }

    async fn ready(&self, id: &str) -> Result<PluginInstallation> {
        self.says(id, Type::Ready, "True", "Installed").await?;
        Ok(self.api.get(id).await?)
    }

    fn objects<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.env.client.clone(), self.slug.namespace().as_str())
    }

    /// What the plugin's Service answers, asked through the API server.
    async fn ask(&self, id: &str, path: &str) -> Result<Value> {
        let url = format!(
            "/api/v1/namespaces/{}/services/http:{id}:80/proxy{path}",
            self.slug.namespace()
        );
        let request = http::Request::get(url).body(vec![])?;
        Ok(self.env.client.request(request).await?)
    }

    fn schema(&self, id: &str) -> Result<String> {
        Ok(self.slug.plugin_schema(&PluginId::parse(id)?).to_string())
    }
}

async fn install(env: &Env, namespace: &str, id: &str, spec: Value) -> Result<()> {
    let installation = json!({
        "apiVersion": "plexica.io/v1alpha1", "kind": "PluginInstallation",
        "metadata": { "name": id, "namespace": namespace }, "spec": spec,
    });
    // Untyped, so that the API server sees what a user wrote and not what our types make of it.
    let path = format!("/apis/plexica.io/v1alpha1/namespaces/{namespace}/plugininstallations");
    env.client
        .request::<Value>(http_request("POST", &path, &installation)?)
        .await?;
    Ok(())
}

async fn until(
    api: &Api<PluginInstallation>,
    id: &str,
    what: &str,
    holds: impl Fn(&PluginInstallation) -> bool + Clone,
) -> Result<PluginInstallation> {
    let check = |found: Option<&PluginInstallation>| found.is_some_and(&holds);
    if let Ok(found) = timeout(PATIENCE, await_condition(api.clone(), id, check)).await {
        return found?.ok_or_else(|| anyhow!("{id} vanished"));
    }
    let found = api.get_opt(id).await?;
    bail!(
        "{id}: not {what} within {} s: {}",
        PATIENCE.as_secs(),
        found.map_or_else(|| "it is gone".to_owned(), |found| summary(&found))
    )
}

async fn says(
    api: &Api<PluginInstallation>,
    id: &str,
    type_: Type,
    status: &'static str,
    reason: &'static str,
) -> Result<Condition> {
    let holds = move |installation: &PluginInstallation| {
        said(installation, type_).is_some_and(|said| {
            said.status == status
                && said.reason == reason
                && said.observed_generation == installation.metadata.generation
        })
    };
    let found = until(api, id, &format!("{type_:?}={status} {reason}"), holds).await?;
    said(&found, type_).cloned().context("the condition is gone")
}

fn said(installation: &PluginInstallation, type_: Type) -> Option<&Condition> {
    condition::find(&installation.status.as_ref()?.conditions, type_.into())
}

fn summary(installation: &PluginInstallation) -> String {
    let conditions = installation.status.iter().flat_map(|status| &status.conditions);
    let told: Vec<_> = conditions
        .map(|c| format!("{}={} {} {}", c.type_, c.status, c.reason, c.message))
        .collect();
    format!("{}: {}", installation.name_any(), told.join(" | "))
}

/// Publishes a plugin of `examples/`, unless another test has. It stays: other tests use it, too.
async fn example(env: &Env, id: &str) -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../examples/plugins/{id}/plugin.yaml"));
    let plugin: Value = serde_saphyr::from_str(&std::fs::read_to_string(file)?)?;
    let name = plugin["metadata"]["name"]
        .as_str()
        .context("a Plugin without a name")?
        .to_owned();
    match env
        .client
        .request::<Value>(http_request("POST", "/apis/plexica.io/v1alpha1/plugins", &plugin)?)
        .await
    {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        Err(error) => return Err(error.into()),
    }
    env.registered(&name).await.map(drop)
}

async fn a_plugin_gets_schema_permissions_configuration_and_pods(env: &Env) -> Result<()> {
    example(env, "contacts").await?;
    let plugins = Plugins::of_new_tenant(env).await?;
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
    example(env, "contacts").await?;
    let plugins = Plugins::of_new_tenant(env).await?;
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
    example(env, "contacts").await?;
    example(env, "crm").await?;
    let plugins = Plugins::of_new_tenant(env).await?;
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
    example(env, "contacts").await?;
    example(env, "crm").await?;
    let plugins = Plugins::of_new_tenant(env).await?;
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

async fn a_configuration_that_breaks_the_schema_is_told_with_its_place(env: &Env) -> Result<()> {
    example(env, "contacts").await?;
    let plugins = Plugins::of_new_tenant(env).await?;
    plugins
        .install("contacts", json!({ "config": { "pageSize": "many", "unheard": 1 } }))
        .await?;
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

    // New pods get the new configuration; the old one goes.
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
    plugins.ready("contacts").await?;
    contains(
        &eventually("one configuration", PATIENCE, configs).await?,
        "\"pageSize\":6",
    )
}

async fn a_secret_of_the_configuration_comes_from_a_secret_only(env: &Env) -> Result<()> {
    example(env, "sample-analytics").await?;
    let plugins = Plugins::of_new_tenant(env).await?;
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
    super::env::post(&plugins.objects::<Secret>(), secret).await?;
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
    let plugins = Plugins::of_new_tenant(env).await?;
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

async fn an_installation_that_is_switched_off_has_no_pods_and_comes_back(env: &Env) -> Result<()> {
    example(env, "contacts").await?;
    let plugins = Plugins::of_new_tenant(env).await?;
    plugins.install("contacts", json!({})).await?;
    plugins.ready("contacts").await?;
    plugins
        .patch("contacts", json!({ "spec": { "enabled": false } }))
        .await?;
    plugins.says("contacts", Type::Ready, "False", "Disabled").await?;
    let scaled = plugins.objects::<Deployment>().get("contacts-a").await?;
    ensure!(scaled.spec.and_then(|spec| spec.replicas) == Some(0), "it has pods");
    plugins
        .patch("contacts", json!({ "spec": { "enabled": true } }))
        .await?;
    plugins.ready("contacts").await.map(drop)
}

async fn plugins_of_a_suspended_tenant_are_shut_with_it(env: &Env) -> Result<()> {
    example(env, "contacts").await?;
    let plugins = Plugins::of_new_tenant(env).await?;
    plugins.install("contacts", json!({})).await?;
    plugins.ready("contacts").await?;
    let access = env.secret(plugins.slug.as_str(), "contacts-database").await?;
    drop(database::login(env, &access).await?);
    env.patch(plugins.slug.as_str(), json!({ "spec": { "suspended": true } }))
        .await?;
    plugins
        .says("contacts", Type::Ready, "False", "TenantSuspended")
        .await?;
    let refused = || async {
        let refused = database::login_refused(env, &access).await?;
        ensure!(refused == "28000", "the login is refused with SQLSTATE {refused}");
        Ok(())
    };
    eventually("the plugin's role is shut", PATIENCE, refused).await?;
    env.patch(plugins.slug.as_str(), json!({ "spec": { "suspended": false } }))
        .await?;
    env.ready(plugins.slug.as_str()).await?;
    plugins.ready("contacts").await.map(drop)
}

async fn what_cannot_be_chosen_is_explained(env: &Env) -> Result<()> {
    example(env, "contacts").await?;
    let plugins = Plugins::of_new_tenant(env).await?;
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
