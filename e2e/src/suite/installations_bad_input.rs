//! What users get wrong with installations, each with the sentence that they read. What runs goes on meanwhile.
//!
//! A configuration that breaks the schema, a secret in the clear and a failing first migration: `installations_refused`.
//! Manifests that break rules: `plugins_refused`.

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Event};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use plexica_crds::{
    names::TenantSlug, plugin_installation::conditions::Type, tenant::conditions::Type as TenantCondition,
};
use serde_json::{Value, json};

use super::{
    Case,
    clients::{database, kubectl::kubectl},
    env::{Env, contains, eventually, unique},
    tenant_plugins::{PATIENCE, TenantPlugins, install, says},
};

/// See the file's description.
pub fn cases() -> Vec<Case> {
    crate::cases![false;
        who_asks_for_what_is_not_there_is_told_what_is,
        an_older_version_is_taken_only_if_it_is_named,
        a_release_that_cannot_be_applied_leaves_the_live_one_until_another_corrects_it,
        plugins_that_exclude_each_other_are_refused_whichever_comes_second,
        a_plugin_does_not_leave_the_range_of_who_needs_it,
        plugins_that_need_each_other_are_refused_alone_and_start_together,
        a_plugin_for_a_suspended_tenant_waits_until_it_opens,
        nothing_is_installed_for_a_tenant_that_is_being_deleted,
    ]
}

/// The manifest of the example that needs no other plugin.
const RUNNING: &str = include_str!("../../../examples/plugins/contacts/plugin.yaml");

/// A release that runs: image, tables and configuration of the example `contacts` under another id, over which `spec`
/// is laid.
async fn publish_running(env: &Env, id: &str, version: &str, spec: Value) -> Result<()> {
    let example: Value = serde_saphyr::from_str(RUNNING)?;
    let mut whole = json!({});
    for part in ["runtime", "configuration", "migrations", "database"] {
        whole[part] = example["spec"][part].clone();
    }
    json_patch::merge(&mut whole, &spec);
    let name = env.publish(id, version, whole).await?;
    env.registered(&name).await.map(drop)
}

/// The migrations of the example, and one more.
fn migrations_and(name: &str, sql: &str) -> Result<Value> {
    let mut example: Value = serde_saphyr::from_str(RUNNING)?;
    let mut migrations = example["spec"]["migrations"].take();
    let list = migrations.as_array_mut().context("no migrations")?;
    list.push(json!({ "name": name, "sql": sql }));
    Ok(migrations)
}

/// What decides whether a plugin was touched: the generation of its Deployment, and who answers behind its Service.
async fn live(plugins: &TenantPlugins<'_>, id: &str) -> Result<(Option<i64>, String)> {
    let deployment = plugins.objects::<Deployment>().get(&format!("{id}-a")).await?;
    let version = plugins.ask(id, "/version").await?["version"].clone();
    Ok((
        deployment.metadata.generation,
        version.as_str().unwrap_or_default().to_owned(),
    ))
}

async fn who_asks_for_what_is_not_there_is_told_what_is(env: &Env) -> Result<()> {
    let [numbered, invalid] = ["numbered", "invalid"].map(unique);
    for version in ["1.0.0", "1.2.0", "2.0.0-rc.1"] {
        env.publish(&numbered, version, json!({})).await?;
    }
    env.registered(&format!("{numbered}-2.0.0-rc.1")).await?;
    let broken = json!({ "api": { "basePath": "/api" } });
    env.publish(&invalid, "1.0.0", broken).await?;
    let plugins = TenantPlugins::of_new_tenant(env).await?;

    plugins.install("nobodys", json!({})).await?;
    let told = plugins
        .says("nobodys", Type::DependenciesSatisfied, "False", "PluginUnknown")
        .await?
        .message;
    contains(&told, "no plugin nobodys is registered; there are ")?;

    plugins.install(&invalid, json!({})).await?;
    let told = plugins
        .says(&invalid, Type::DependenciesSatisfied, "False", "PluginInvalid")
        .await?
        .message;
    let where_to_look = format!("Plugin {invalid}-1.0.0 is not accepted: see kubectl describe plugin {invalid}-1.0.0");
    contains(&told, &where_to_look)?;

    plugins.install(&numbered, json!({ "version": "^3" })).await?;
    for (range, sentence) in [
        (
            "^3",
            format!("no version of {numbered} fits ^3; there are 1.0.0, 1.2.0 and 2.0.0-rc.1"),
        ),
        (
            "^2",
            "; a pre-release fits only a range that names it, such as =2.0.0-rc.1".to_owned(),
        ),
    ] {
        let wanted = json!({ "spec": { "version": range } });
        plugins.patch(&numbered, wanted).await?;
        let told = plugins
            .says(&numbered, Type::DependenciesSatisfied, "False", "NoVersionFits")
            .await?
            .message;
        contains(&told, &sentence)?;
    }
    let Err(refused) = plugins
        .patch(&numbered, json!({ "spec": { "version": "latest" } }))
        .await
    else {
        bail!("`latest` is admitted as a range")
    };
    let told = format!("{refused:#}");
    contains(
        &told,
        "spec.version: `latest` is no version range: unexpected character 'l'",
    )?;
    contains(&told, "write it as ^1.2, ~1.2.3, =1.2.3")?;
    // What the schema can state is refused by the API server.
    match plugins
        .patch(&numbered, json!({ "spec": { "version": "^1; DROP" } }))
        .await
    {
        Ok(()) => bail!("a semicolon is admitted in a range"),
        Err(error) => contains(&format!("{error:#}"), "spec.version"),
    }
}

async fn an_older_version_is_taken_only_if_it_is_named(env: &Env) -> Result<()> {
    let id = unique("older");
    for version in ["1.0.0", "1.1.0"] {
        publish_running(env, &id, version, json!({})).await?;
    }
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    let promotion = json!({ "promotionDelay": "1s" });
    plugins
        .install(&id, json!({ "version": "^1", "promotion": promotion }))
        .await?;
    plugins.ready(&id).await?;
    let before = live(&plugins, &id).await?;
    ensure!(before.1 == "1.1.0", "{before:?}");

    plugins.patch(&id, json!({ "spec": { "version": "<1.1" } })).await?;
    let told = plugins
        .says(&id, Type::DependenciesSatisfied, "False", "DowngradeRefused")
        .await?;
    contains(
        &told.message,
        &format!("{id} runs 1.1.0, and only older versions fit <1.1; to go back name the version, for example =1.0.0"),
    )?;
    ensure!(live(&plugins, &id).await? == before, "what runs was touched");

    plugins.patch(&id, json!({ "spec": { "version": "=1.0.0" } })).await?;
    plugins.says(&id, Type::Promoted, "True", "Live").await?;
    let after = live(&plugins, &id).await?;
    ensure!(after.1 == "1.0.0", "{after:?}");
    Ok(())
}

async fn a_release_that_cannot_be_applied_leaves_the_live_one_until_another_corrects_it(env: &Env) -> Result<()> {
    let id = unique("story");
    publish_running(env, &id, "1.0.0", json!({})).await?;
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    plugins.install(&id, json!({ "version": "^1" })).await?;
    plugins.ready(&id).await?;
    let before = live(&plugins, &id).await?;

    // The text of a migration that was applied is another one.
    let mut changed = migrations_and("0003_more", "SELECT 1")?;
    changed[0]["sql"] = json!("CREATE TABLE {{schema}}.contacts ()");
    publish_running(env, &id, "1.1.0", json!({ "migrations": changed })).await?;
    let told = plugins
        .says(&id, Type::MigrationsApplied, "False", "MigrationChanged")
        .await?
        .message;
    contains(&told, "migration 0001_contacts was applied with another text")?;
    contains(
        &told,
        "publish a version with the original, and put the change into a new migration",
    )?;
    ensure!(live(&plugins, &id).await? == before, "what runs was touched");

    // A script that does not run, and one that reaches for what is not its own.
    for (version, sql, sentence) in [
        (
            "1.2.0",
            "ALTER TABLE {{schema}}.contacts ADD COLUMN nickname text; ALTER TABLE {{schema}}.contact ADD COLUMN a int",
            "migration 0003_more, statement 2: relation ",
        ),
        (
            "1.3.0",
            "ALTER TABLE {{schema}}.contacts ADD COLUMN nickname text; DROP TABLE {{tenant_schema}}.users CASCADE",
            "migration 0003_more, statement 2: must be owner of table users (SQLSTATE 42501); a plugin's script may change its own schema only",
        ),
    ] {
        let migrations = migrations_and("0003_more", sql)?;
        publish_running(env, &id, version, json!({ "migrations": migrations })).await?;
        let told = eventually("the failure of this version", PATIENCE, || async {
            let told = plugins
                .says(&id, Type::MigrationsApplied, "False", "MigrationFailed")
                .await?
                .message;
            contains(&told, sentence)?;
            Ok(told)
        })
        .await?;
        contains(&told, "(SQLSTATE 42")?;
        contains(&told, "; publish a version that corrects it")?;
        ensure!(live(&plugins, &id).await? == before, "what runs was touched");
        let status = plugins.api.get(&id).await?.status.context("no status")?;
        ensure!(
            status.lights.green.as_deref() == Some("1.0.0 1/1"),
            "{:?}",
            status.lights
        );
    }
    let nickname = format!(
        "SELECT FROM pg_attribute WHERE attrelid = '{}.contacts'::regclass AND attname = 'nickname'",
        plugins.schema(&id)?
    );
    ensure!(
        !database::any(&env.postgres, &nickname).await?,
        "half of a migration is applied"
    );
    let users = format!("SELECT FROM {}.users HAVING count(*) >= 0", plugins.slug.schema());
    ensure!(
        database::any(&env.postgres, &users).await?,
        "the tenant's table is gone"
    );
    describe_tells_it_once(env, &plugins, &id).await?;

    let correct = migrations_and("0003_more", "ALTER TABLE {{schema}}.contacts ADD COLUMN nickname text")?;
    publish_running(env, &id, "1.4.0", json!({ "migrations": correct })).await?;
    eventually("1.4.0 goes live", PATIENCE, || async {
        let after = live(&plugins, &id).await?;
        ensure!(after.1 == "1.4.0", "{after:?}");
        Ok(())
    })
    .await?;
    plugins.ready(&id).await?;
    ensure!(database::any(&env.postgres, &nickname).await?, "it is not applied");
    Ok(())
}

/// What a person sees of a failure: the sentence whole, in a warning too, and no second one that says the same.
async fn describe_tells_it_once(env: &Env, plugins: &TenantPlugins<'_>, id: &str) -> Result<()> {
    let namespace = plugins.slug.namespace().to_string();
    let told = kubectl(env, &["describe", "pi", id, "-n", &namespace]).await?;
    contains(&told, "Reason:                MigrationFailed")?;
    let about = ListParams::default().fields(&format!("involvedObject.name={id},type=Warning"));
    eventually("its events", PATIENCE, || async {
        let events = plugins.objects::<Event>().list(&about).await?;
        let mut reasons: Vec<_> = events.iter().filter_map(|event| event.reason.as_deref()).collect();
        reasons.sort_unstable();
        ensure!(reasons == ["MigrationChanged", "MigrationFailed"], "{reasons:?}");
        Ok(())
    })
    .await
}

async fn plugins_that_exclude_each_other_are_refused_whichever_comes_second(env: &Env) -> Result<()> {
    let [first, second] = ["first", "second"].map(unique);
    publish_running(env, &first, "1.0.0", json!({})).await?;
    let conflicts = json!({ "conflicts": [{ "plugin": first, "version": "^1" }] });
    publish_running(env, &second, "1.0.0", conflicts).await?;
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    let sentence = format!("{second} 1.0.0 conflicts with {first} ^1");
    for (there, refused) in [(&first, &second), (&second, &first)] {
        plugins.install(there, json!({})).await?;
        plugins.ready(there).await?;
        plugins.install(refused, json!({})).await?;
        let told = plugins
            .says(refused, Type::DependenciesSatisfied, "False", "Conflict")
            .await?
            .message;
        contains(&told, &sentence)?;
        contains(&told, "; remove one of them, or choose versions that go together")?;
        ensure!(live(&plugins, there).await?.1 == "1.0.0", "{there} was touched");
        plugins.remove(refused).await?;
        plugins.remove(there).await?;
    }
    Ok(())
}

async fn a_plugin_does_not_leave_the_range_of_who_needs_it(env: &Env) -> Result<()> {
    let [needed, needing] = ["needed", "needing"].map(unique);
    for version in ["1.0.0", "2.0.0"] {
        publish_running(env, &needed, version, json!({})).await?;
    }
    let dependencies = json!({ "dependencies": [{ "plugin": needed, "version": "^1" }] });
    publish_running(env, &needing, "1.0.0", dependencies).await?;
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    plugins.install(&needing, json!({})).await?;
    let told = plugins
        .says(&needing, Type::DependenciesSatisfied, "False", "DependencyMissing")
        .await?
        .message;
    ensure!(
        told == format!(
            "{needing} 1.0.0 needs {needed} ^1, {needed} is not installed; install {needed} (newest that fits: 1.0.0) or set the dependencyPolicy of {needing} to AutoInstall"
        ),
        "{told}"
    );
    plugins.install(&needed, json!({})).await?;
    plugins.ready(&needing).await?;
    let resolved = plugins.ready(&needed).await?.status.and_then(|status| status.resolved);
    let resolved = resolved.context("nothing is resolved")?;
    ensure!(resolved.version == "1.0.0", "{resolved:?}");
    contains(&resolved.reason, &format!("{needing} 1.0.0 needs {needed} ^1"))?;

    let before = live(&plugins, &needed).await?;
    plugins.patch(&needed, json!({ "spec": { "version": "^2" } })).await?;
    let told = plugins
        .says(&needed, Type::DependenciesSatisfied, "False", "DependencyUnfit")
        .await?
        .message;
    contains(&told, &format!("{needing} 1.0.0 needs {needed} ^1"))?;
    ensure!(live(&plugins, &needed).await? == before, "what runs was touched");
    Ok(())
}

async fn plugins_that_need_each_other_are_refused_alone_and_start_together(env: &Env) -> Result<()> {
    let [one, other] = ["one", "other"].map(unique);
    for (id, needs) in [(&one, &other), (&other, &one)] {
        let dependencies = json!({ "dependencies": [{ "plugin": needs, "version": "^1" }] });
        publish_running(env, id, "1.0.0", dependencies).await?;
    }
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    plugins.install(&one, json!({})).await?;
    let told = plugins
        .says(&one, Type::DependenciesSatisfied, "False", "DependencyMissing")
        .await?;
    contains(
        &told.message,
        &format!("{one} 1.0.0 needs {other} ^1, {other} is not installed"),
    )?;
    plugins.install(&other, json!({})).await?;
    for id in [&one, &other] {
        plugins.ready(id).await?;
    }
    // Neither can go before the other, so both go at once.
    plugins.api.delete(&one, &DeleteParams::default()).await?;
    let told = plugins.says(&one, Type::Stalled, "True", "NeededByOthers").await?;
    contains(&told.message, &format!("{other} 1.0.0 needs {one} ^1"))?;
    let uid = plugins.api.get(&one).await?.uid().unwrap_or_default();
    plugins.remove(&other).await?;
    plugins.gone(&one, &uid).await
}

async fn a_plugin_for_a_suspended_tenant_waits_until_it_opens(env: &Env) -> Result<()> {
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    let tenant = plugins.slug.to_string();
    env.patch(&tenant, json!({ "spec": { "suspended": true } })).await?;
    env.reason(&tenant, TenantCondition::Suspended, "SuspendRequested")
        .await?;
    plugins.install("contacts", json!({})).await?;
    let told = plugins
        .says("contacts", Type::Ready, "False", "TenantSuspended")
        .await?;
    contains(
        &told.message,
        &format!("tenant {tenant} is shut (spec.suspended): the plugin is installed when it opens again"),
    )?;
    ensure!(
        plugins
            .objects::<Deployment>()
            .list(&ListParams::default())
            .await?
            .items
            .is_empty(),
        "something runs"
    );
    env.patch(&tenant, json!({ "spec": { "suspended": false } })).await?;
    plugins.ready("contacts").await.map(drop)
}

async fn nothing_is_installed_for_a_tenant_that_is_being_deleted(env: &Env) -> Result<()> {
    let name = unique("leaving");
    env.create_with(&name, json!({}), false).await?;
    let tenant = env.ready(&name).await?;
    // Somebody else's finalizer keeps the object, while the operator does its part.
    let hold = |holders: Value| json!({ "metadata": { "finalizers": holders } });
    let mut holders = tenant.finalizers().to_vec();
    holders.push("example.com/hold".to_owned());
    env.patch(&name, hold(json!(holders))).await?;
    env.tenants().delete(&name, &DeleteParams::default()).await?;

    let namespace = TenantSlug::parse(&name)?.namespace().to_string();
    install(env, &namespace, "contacts", json!({})).await?;
    let api = Api::namespaced(env.client.clone(), &namespace);
    let deleting = says(&api, "contacts", Type::Ready, "False", "TenantDeleting").await;
    env.until(&name, "left by the operator", |tenant| {
        tenant.finalizers() == ["example.com/hold"]
    })
    .await?;
    env.patch(&name, hold(Value::Null)).await?;
    env.gone(&tenant).await?;
    let unknown = says(&api, "contacts", Type::Stalled, "True", "TenantUnknown").await;
    env.uninstall(&namespace, "contacts").await?;
    contains(
        &deleting?.message,
        &format!("tenant {name} is being deleted: nothing is installed any more"),
    )?;
    contains(
        &unknown?.message,
        &format!("namespace {namespace} belongs to no tenant"),
    )
}
