//! Releases of plugins: accepted, registered in `core.plugins`, counted, and kept while somebody uses them.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use plexica_crds::{
    Plugin,
    plugin::{State, conditions::Type},
};
use serde_json::{Value, json};

use super::{
    Case,
    clients::{
        database,
        kubectl::{kubectl, row},
    },
    env::{Env, contains, eventually, post, unique},
    releases::{VERSION, said},
    tenant_plugins::TenantPlugins,
    without_webhook,
};
use crate::platform::NAMESPACE;

/// Events and counts are written beside the passes of others.
const PATIENCE: Duration = Duration::from_secs(15);

/// See the file's description.
pub fn cases() -> Vec<Case> {
    let mut all = crate::cases![false;
        a_release_is_accepted_and_has_its_row_in_the_registry,
        kubectl_get_shows_id_version_state_and_installations_of_a_release,
        kubectl_describe_tells_what_became_of_a_release,
        a_deprecated_release_says_what_to_use_instead_and_can_be_recommended_again,
        installations_are_counted_for_the_version_that_they_run,
        a_deleted_release_takes_its_row_with_it,
        a_row_that_somebody_changed_is_set_right,
        migrations_in_a_config_map_are_awaited_checked_and_part_of_the_release,
        what_was_accepted_is_installed_though_the_config_map_of_its_migrations_is_gone,
        the_order_of_permissions_and_the_like_is_no_change_of_a_release,
    ];
    all.extend(without_webhook(crate::cases![false;
        a_release_that_is_used_is_deleted_when_its_last_user_is_gone,
    ]));
    all
}

async fn a_release_is_accepted_and_has_its_row_in_the_registry(env: &Env) -> Result<()> {
    let id = unique("notes");
    let spec = json!({ "permissions": [{ "key": format!("{id}:notes:read"), "name": "Read" }] });
    let name = env.publish(&id, VERSION, spec).await?;
    let plugin = env.registered(&name).await?;
    let status = plugin.status.clone().context("no status")?;
    ensure!(status.state == Some(State::Available), "state is {:?}", status.state);
    ensure!(status.accepted_digest.is_some(), "no digest of what was accepted");
    contains(&status.warnings.join("\n"), "has no digest, so what runs may change")?;
    for type_ in [Type::Accepted, Type::Registered] {
        ensure!(
            said(&plugin, type_).is_some_and(|said| said.status == "True"),
            "{type_:?}"
        );
    }
    let row = env.release_row(&id, VERSION).await?.context("no row")?;
    ensure!(
        row["name"] == format!("Test {id}") && row["status"] == "AVAILABLE",
        "{row}"
    );
    ensure!(
        row["manifest"]["permissions"][0]["key"] == format!("{id}:notes:read"),
        "{row}"
    );
    Ok(())
}

async fn kubectl_get_shows_id_version_state_and_installations_of_a_release(env: &Env) -> Result<()> {
    let id = unique("shown");
    let name = env.publish(&id, VERSION, json!({})).await?;
    env.registered(&name).await?;
    for resource in ["plugins", "plugin", "plg", "plexica"] {
        let table = kubectl(env, &["get", resource]).await?;
        let (header, row) = row(&table, &name)?;
        ensure!(
            header == ["NAME", "PLUGIN", "VERSION", "STATE", "INSTALLATIONS", "AGE"],
            "kubectl get {resource} shows {header:?}"
        );
        ensure!(
            row[1..5] == [id.as_str(), VERSION, "Available", "0"],
            "the row is {row:?}"
        );
    }
    let wide = kubectl(env, &["get", "plg", &name, "--output=wide"]).await?;
    contains(&wide, "the release can be installed")
}

async fn kubectl_describe_tells_what_became_of_a_release(env: &Env) -> Result<()> {
    let id = unique("told");
    let name = env.publish(&id, VERSION, json!({})).await?;
    env.registered(&name).await?;
    let told = eventually("events", PATIENCE, || async {
        let text = kubectl(env, &["describe", "plugin", &name]).await?;
        let (_, events) = text.split_once("Events:").context("no events")?;
        for reason in ["Accepted", "Registered", "Ready"] {
            ensure!(
                events.split_whitespace().any(|word| word == reason),
                "no event {reason}:\n{events}"
            );
        }
        Ok(text)
    })
    .await?;
    ensure!(
        !told.contains("Warning "),
        "a release without any trouble warns:\n{told}"
    );
    contains(&told, &format!("core.plugins has {id} {VERSION}"))
}

async fn a_deprecated_release_says_what_to_use_instead_and_can_be_recommended_again(env: &Env) -> Result<()> {
    let id = unique("old");
    let name = env.publish(&id, VERSION, json!({})).await?;
    env.registered(&name).await?;
    let deprecated = json!({ "message": "it is too slow", "replacement": "news" });
    env.patch_plugin(&name, json!({ "spec": { "deprecated": deprecated } }))
        .await?;
    let ready = env.plugin_says(&name, Type::Ready, "True", "Deprecated").await?;
    ensure!(
        ready.message == "deprecated: it is too slow; use plugin news instead",
        "{}",
        ready.message
    );
    let state = env.plugins().get(&name).await?.status.and_then(|status| status.state);
    ensure!(state == Some(State::Deprecated), "state is {state:?}");
    ensure!(status_of_row(env, &id).await? == "DEPRECATED");
    env.patch_plugin(&name, json!({ "spec": { "deprecated": null } }))
        .await?;
    env.registered(&name).await?;
    ensure!(status_of_row(env, &id).await? == "AVAILABLE");
    Ok(())
}

async fn status_of_row(env: &Env, id: &str) -> Result<Value> {
    Ok(env.release_row(id, VERSION).await?.context("no row")?["status"].take())
}

fn counts(plugin: &Plugin) -> Option<(Option<State>, i32)> {
    let status = plugin.status.as_ref()?;
    Some((status.state, status.installations.as_ref()?.total))
}

async fn installations_are_counted_for_the_version_that_they_run(env: &Env) -> Result<()> {
    let id = unique("counted");
    let old = env.publish(&id, VERSION, json!({})).await?;
    let new = env.publish(&id, "1.1.0", json!({})).await?;
    env.registered(&old).await?;
    env.registered(&new).await?;
    let namespace = env.pretend(&id, VERSION).await?;
    let installed = |total| move |plugin: &Plugin| counts(plugin) == Some((Some(State::Installed), total));
    let available = |plugin: &Plugin| counts(plugin) == Some((Some(State::Available), 0));
    env.until_plugin(&old, "installed once", installed(1)).await?;
    eventually("the row", PATIENCE, || async {
        ensure!(status_of_row(env, &id).await? == "INSTALLED");
        Ok(())
    })
    .await?;
    env.pretend(&id, VERSION).await?;
    env.until_plugin(&old, "installed twice", installed(2)).await?;
    env.pretend_version(&namespace, &id, "1.1.0").await?;
    env.until_plugin(&old, "installed once", installed(1)).await?;
    env.until_plugin(&new, "installed once", installed(1)).await?;
    env.uninstall(&namespace, &id).await?;
    env.until_plugin(&new, "installed nowhere", available).await?;
    Ok(())
}

async fn a_release_that_is_used_is_deleted_when_its_last_user_is_gone(env: &Env) -> Result<()> {
    let id = unique("needed");
    let name = env.publish(&id, VERSION, json!({})).await?;
    let plugin = env.registered(&name).await?;
    let namespaces = [env.pretend(&id, VERSION).await?, env.pretend(&id, VERSION).await?];
    let twice = |plugin: &Plugin| counts(plugin) == Some((Some(State::Installed), 2));
    env.until_plugin(&name, "installed twice", twice).await?;
    env.plugins().delete(&name, &DeleteParams::default()).await?;
    let blocked = env.plugin_says(&name, Type::DeletionBlocked, "True", "InUse").await?;
    for namespace in &namespaces {
        contains(&blocked.message, &format!("{namespace}/{id}"))?;
    }
    contains(&blocked.message, "move them to another version or delete them")?;
    // What runs needs the release for as long as it does.
    env.plugin_says(&name, Type::Accepted, "True", "ManifestValid").await?;
    ensure!(status_of_row(env, &id).await? == "INSTALLED");
    let table = kubectl(env, &["describe", "plugin", &name]).await?;
    contains(
        &table,
        &format!("used by {}", namespaces.iter().min().context("no namespace")?),
    )?;

    env.uninstall(&namespaces[0], &id).await?;
    let other = format!("used by {}/{id}: ", namespaces[1]);
    let one_left = move |plugin: &Plugin| {
        said(plugin, Type::DeletionBlocked).is_some_and(|blocked| blocked.message.starts_with(&other))
    };
    env.until_plugin(&name, "waiting for the other user", one_left).await?;
    env.uninstall(&namespaces[1], &id).await?;
    env.withdrawn(&name, &plugin.uid().unwrap_or_default()).await?;
    ensure!(env.release_row(&id, VERSION).await?.is_none(), "the row is still there");
    Ok(())
}

async fn a_deleted_release_takes_its_row_with_it(env: &Env) -> Result<()> {
    let id = unique("gone");
    let name = env.publish(&id, VERSION, json!({})).await?;
    let other = env.publish(&id, "1.0.1", json!({})).await?;
    env.registered(&name).await?;
    env.registered(&other).await?;
    env.withdraw(&name).await?;
    ensure!(env.release_row(&id, VERSION).await?.is_none(), "the row is still there");
    ensure!(
        env.release_row(&id, "1.0.1").await?.is_some(),
        "another version's row is gone"
    );
    // The same version may be published again, and be another.
    let again = env.publish(&id, VERSION, json!({ "description": "corrected" })).await?;
    env.registered(&again).await.map(drop)
}

/// The registry is the operator's to write.
async fn a_row_that_somebody_changed_is_set_right(env: &Env) -> Result<()> {
    let id = unique("row");
    let name = env.publish(&id, VERSION, json!({})).await?;
    env.registered(&name).await?;
    let before = env.release_row(&id, VERSION).await?;
    for tampering in [
        format!("UPDATE core.plugins SET name = 'Mallory', manifest = '{{}}', status = 'DEPRECATED' WHERE id = '{id}'"),
        format!("DELETE FROM core.plugins WHERE id = '{id}'"),
    ] {
        database::run(&env.postgres, &tampering).await?;
        let touched = jiff::Timestamp::now().to_string();
        env.patch_plugin(
            &name,
            json!({ "metadata": { "annotations": { "example.com/touched": touched } } }),
        )
        .await?;
        eventually("the row of before", PATIENCE, || async {
            let now = env.release_row(&id, VERSION).await?;
            ensure!(now == before, "the row is {now:?}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

async fn migrations_in_a_config_map_are_awaited_checked_and_part_of_the_release(env: &Env) -> Result<()> {
    let id = unique("large");
    let maps: Api<ConfigMap> = Api::namespaced(env.client.clone(), NAMESPACE);
    let reference = json!({ "name": id, "key": "0001.sql" });
    let spec = json!({ "migrations": [{ "name": "0001_notes", "configMapRef": reference }] });
    let name = env.publish(&id, VERSION, spec.clone()).await?;
    let missing = env
        .plugin_says(&name, Type::Accepted, "False", "MigrationSourceMissing")
        .await?;
    contains(
        &missing.message,
        &format!(
            "spec.migrations[0]: `0001_notes` is to come from key 0001.sql of ConfigMap {id} in namespace {NAMESPACE}, which is not there: apply it; tried again at "
        ),
    )?;

    let sql = |text: &str| json!({ "data": { "0001.sql": text } });
    let mut map = sql("CREATE TABLE {{schema}}.notes (id uuid PRIMARY KEY);\nCOMMIT;");
    map["metadata"] = json!({ "name": id });
    post(&maps, map).await?;
    let (api, owned) = (maps.clone(), id.clone());
    env.afterwards(async move {
        api.delete(&owned, &DeleteParams::default()).await?;
        Ok(())
    });
    let wrong = env
        .plugin_says(&name, Type::Accepted, "False", "ManifestInvalid")
        .await?;
    contains(
        &wrong.message,
        "spec.migrations[0].configMapRef: `0001_notes`, line 2: it begins or ends a transaction",
    )?;

    let write = async |text: &str| -> Result<()> {
        maps.patch(&id, &PatchParams::default(), &Patch::Merge(sql(text)))
            .await?;
        let touched = json!({ "example.com/touched": jiff::Timestamp::now().to_string() });
        env.patch_plugin(&name, json!({ "metadata": { "annotations": touched } }))
            .await
    };
    let good = "CREATE TABLE {{schema}}.notes (id uuid PRIMARY KEY);";
    write(good).await?;
    let accepted = env.registered(&name).await?;
    let digest = |plugin: &Plugin| plugin.status.clone().and_then(|status| status.accepted_digest);

    write("CREATE TABLE {{schema}}.others (id uuid PRIMARY KEY);").await?;
    let notice = format!(
        "key 0001.sql of ConfigMap {id} in namespace {NAMESPACE} is not what was accepted; what was accepted is applied"
    );
    let told = |plugin: &Plugin| {
        said(plugin, Type::Accepted).is_some_and(|said| said.status == "True" && said.message.contains(&notice))
    };
    let changed = env.until_plugin(&name, "told of the other text", told).await?;
    ensure!(
        digest(&changed) == digest(&accepted),
        "the digest is {:?}, and was {:?}",
        digest(&changed),
        digest(&accepted)
    );
    let copies = ListParams::default().labels(&format!("plexica.io/script-of={id}"));
    let kept = maps.list(&copies).await?.items.pop().context("no copy")?;
    ensure!(
        kept.immutable == Some(true) && kept.data.is_some_and(|data| data.values().eq([good])),
        "the copy is another"
    );
    // Copies go with the last release that needs them.
    write(good).await?;
    let next = env.publish(&id, "1.0.1", spec).await?;
    env.registered(&next).await?;
    env.withdraw(&name).await?;
    ensure!(maps.list(&copies).await?.items.len() == 1, "the copy is not kept");
    env.withdraw(&next).await?;
    ensure!(maps.list(&copies).await?.items.is_empty(), "the copy is still there");
    Ok(())
}

async fn what_was_accepted_is_installed_though_the_config_map_of_its_migrations_is_gone(env: &Env) -> Result<()> {
    let id = unique("kept");
    let maps: Api<ConfigMap> = Api::namespaced(env.client.clone(), NAMESPACE);
    let mut spec = env.manifest_of_contacts_as(&id).await?;
    let mut data = serde_json::Map::new();
    for migration in spec["migrations"].as_array_mut().into_iter().flatten() {
        let key = format!("{}.sql", migration["name"].as_str().unwrap_or_default());
        if let Some(sql) = migration.as_object_mut().and_then(|fields| fields.remove("sql")) {
            data.insert(key.clone(), sql);
            migration["configMapRef"] = json!({ "name": id, "key": key });
        }
    }
    ensure!(!data.is_empty(), "example contacts has no migration");
    post(&maps, json!({ "metadata": { "name": id }, "data": data })).await?;
    let (api, owned) = (maps.clone(), id.clone());
    env.afterwards(async move {
        // It is gone by now, unless the test failed.
        if api.get_metadata_opt(&owned).await?.is_some() {
            api.delete(&owned, &DeleteParams::default()).await?;
        }
        Ok(())
    });
    let name = env.publish(&id, VERSION, spec).await?;
    let accepted = env.registered(&name).await?;
    let first = TenantPlugins::of_new_tenant(env).await?;
    first.install(&id, json!({})).await?;
    first.ready(&id).await?;

    maps.delete(&id, &DeleteParams::default()).await?;
    let touched = json!({ "metadata": { "annotations": { "example.com/touched": "since" } } });
    env.patch_plugin(&name, touched.clone()).await?;
    let second = TenantPlugins::of_new_tenant(env).await?;
    second.install(&id, json!({})).await?;
    second.ready(&id).await?;
    let schema = second.schema(&id)?;
    database::run(&env.postgres, &format!("SELECT FROM {schema}.contacts")).await?;
    // Nobody who runs it is the worse for it.
    first.patch(&id, touched).await?;
    first.ready(&id).await?;
    let now = env.registered(&name).await?;
    let scripts = |plugin: &Plugin| plugin.status.clone().map(|status| status.accepted_scripts);
    ensure!(
        said(&now, Type::Accepted).is_some_and(|said| said.status == "True") && scripts(&now) == scripts(&accepted),
        "it says {:?}",
        said(&now, Type::Accepted)
    );
    Ok(())
}

async fn the_order_of_permissions_and_the_like_is_no_change_of_a_release(env: &Env) -> Result<()> {
    let id = unique("order");
    let [one, other] = ["read", "write"]
        .map(|action| json!({ "key": format!("{id}:notes:{action}"), "name": action, "roles": ["user", "guest"] }));
    let mut turned = other.clone();
    turned["roles"] = json!(["guest", "user"]);
    let env_vars = json!([{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }]);
    let image = format!("registry.example.com/{id}:{VERSION}");
    let spec = json!({
        "runtime": { "image": image, "env": env_vars },
        "permissions": [one, other],
        "dependencies": [{ "plugin": "a-first" }, { "plugin": "b-second" }],
        "conflicts": [{ "plugin": "c-third" }, { "plugin": "d-fourth" }],
        "database": { "tenantTables": [
            { "table": "users", "privileges": ["Select", "References"] },
            { "table": "teams", "privileges": ["Select"] },
        ] },
    });
    let name = env.publish(&id, VERSION, spec).await?;
    let before = env.registered(&name).await?;
    let reordered = json!({
        "permissions": [turned, one],
        "dependencies": [{ "plugin": "b-second" }, { "plugin": "a-first" }],
        "conflicts": [{ "plugin": "d-fourth" }, { "plugin": "c-third" }],
        "database": { "tenantTables": [
            { "table": "teams", "privileges": ["Select"] },
            { "table": "users", "privileges": ["References", "Select"] },
        ] },
    });
    // Defaults are written out by the API server: what is left out here is what is there.
    env.patch_plugin(&name, json!({ "spec": reordered })).await?;
    let now = env.registered(&name).await?;
    let digest = |plugin: &Plugin| plugin.status.clone().and_then(|status| status.accepted_digest);
    ensure!(digest(&now) == digest(&before), "the digest is another");
    // The order of the environment means something.
    let turned = json!([{ "name": "B", "value": "2" }, { "name": "A", "value": "1" }]);
    match env
        .patch_plugin(&name, json!({ "spec": { "runtime": { "env": turned } } }))
        .await
    {
        Ok(()) => bail!("another order of the environment was accepted"),
        Err(error) => contains(&format!("{error:#}"), "a released version does not change"),
    }
}
