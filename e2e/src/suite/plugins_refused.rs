//! Wrong releases: each is refused with a sentence that names the rule, by the API server where the schema can state
//! it, else by the operator in the conditions Accepted, Ready and Stalled.

use anyhow::{Result, bail, ensure};
use plexica_crds::plugin::{State, conditions::Type};
use serde_json::{Value, json};

use super::{
    Case,
    env::{Env, contains, unique},
    releases::{VERSION, said},
};

/// See the file's description.
pub fn cases() -> Vec<Case> {
    crate::cases![false;
        a_release_is_named_after_its_id_and_version,
        a_version_that_is_no_semver_is_refused,
        an_id_that_the_platform_keeps_for_itself_is_refused,
        a_probe_that_is_more_patient_than_its_interval_is_refused,
        a_released_version_does_not_change,
        a_manifest_that_breaks_rules_is_told_all_of_them,
        a_manifest_that_breaks_rules_is_not_registered_and_can_be_deleted,
        what_postgresql_cannot_store_is_not_accepted,
        a_base_path_belongs_to_the_first_plugin_that_has_it,
    ]
}

/// The message by which the API server refuses a release.
async fn refusal(env: &Env, name: &str, spec: Value) -> Result<String> {
    match env.publish_as(name, spec).await {
        Ok(_) => bail!("{name} was accepted"),
        Err(error) => Ok(format!("{error:#}")),
    }
}

fn spec(id: &str, version: &str) -> Value {
    json!({ "id": id, "version": version, "displayName": "Test", "runtime": { "image": "registry.example.com/x:1" } })
}

async fn a_release_is_named_after_its_id_and_version(env: &Env) -> Result<()> {
    let id = unique("misnamed");
    let told = refusal(env, &id, spec(&id, VERSION)).await?;
    contains(
        &told,
        "a Plugin is named <spec.id>-<spec.version>, for example crm-1.4.0",
    )
}

async fn a_version_that_is_no_semver_is_refused(env: &Env) -> Result<()> {
    let id = unique("version");
    for version in ["1.4.0.0", "v1.4.0", "1.04.0", "1.4.0-"] {
        let told = refusal(env, &format!("{id}-1.0.0"), spec(&id, version)).await?;
        contains(&told, "a version is SemVer in lower case without build metadata")?;
    }
    Ok(())
}

async fn an_id_that_the_platform_keeps_for_itself_is_refused(env: &Env) -> Result<()> {
    for (id, sentence) in [
        ("core", "a plugin's id is not one the platform keeps for itself"),
        ("a-plugin", "a plugin's id has no segment `plugin`"),
        (
            "crm-red",
            "a plugin's id does not end with -yellow, -red, -slot-a or -slot-b",
        ),
    ] {
        contains(
            &refusal(env, &format!("{id}-1.0.0"), spec(id, VERSION)).await?,
            sentence,
        )?;
    }
    Ok(())
}

async fn a_probe_that_is_more_patient_than_its_interval_is_refused(env: &Env) -> Result<()> {
    let id = unique("probe");
    let mut spec = spec(&id, VERSION);
    spec["runtime"]["probes"] = json!({ "liveness": { "interval": "1s", "timeout": "2s" } });
    let told = refusal(env, &format!("{id}-1.0.0"), spec).await?;
    contains(&told, "a probe's timeout is at most its interval")
}

async fn a_released_version_does_not_change(env: &Env) -> Result<()> {
    let id = unique("fixed");
    let name = env.publish(&id, VERSION, json!({})).await?;
    env.registered(&name).await?;
    for change in [
        json!({ "displayName": "Another name" }),
        json!({ "runtime": { "image": "registry.example.com/other:1" } }),
        json!({ "frontend": { "remoteEntry": "/remote.js", "routePrefix": "/x" } }),
        json!({ "configuration": { "schema": { "type": "object" } } }),
    ] {
        match env.patch_plugin(&name, json!({ "spec": change })).await {
            Ok(()) => bail!("the change to {change} was accepted"),
            Err(error) => contains(
                &format!("{error:#}"),
                "a released version does not change: publish another version (only spec.deprecated may be edited)",
            )?,
        }
    }
    Ok(())
}

/// Each of these is for the operator to find: a schema cannot say it.
async fn a_manifest_that_breaks_rules_is_told_all_of_them(env: &Env) -> Result<()> {
    let id = unique("wrong");
    let wrong = json!({
        "runtime": {
            "image": "Registry/Wrong Image",
            "probes": { "liveness": { "interval": "2500ms", "timeout": "2s" } },
            "resources": { "requests": { "memory": "1Gi" }, "limits": { "memory": "256Mi" } },
        },
        "api": { "basePath": "/api/plugins/another" },
        "dependencies": [
            { "plugin": "contacts", "version": "^one" },
            { "plugin": id, "version": "^1" },
        ],
        "permissions": [{ "key": "contacts:contacts:read", "name": "Read another's" }],
        "events": { "publishes": ["contacts.contact.created"] },
        "configuration": { "schema": { "properties": { "currency": { "type": "text" } } } },
        "migrations": [
            { "name": "0002_second", "sql": "SELECT 1" },
            { "name": "0001_first", "sql": "SELECT 'a" },
        ],
        "database": { "tenantTables": [{ "table": "roles", "privileges": ["Insert"] }] },
    });
    let name = env.publish(&id, VERSION, wrong).await?;
    let told = env
        .plugin_says(&name, Type::Accepted, "False", "ManifestInvalid")
        .await?
        .message;
    for sentence in [
        "spec.runtime.image: `Registry/Wrong Image` is no image".to_owned(),
        "spec.runtime.probes.liveness.interval: `2500ms` is not a whole number of seconds".to_owned(),
        "spec.runtime.resources.requests.memory: `1Gi` is more than the limit".to_owned(),
        "spec.api.basePath: `/api/plugins/another` is in the way of other plugins".to_owned(),
        "spec.dependencies[0].version: `^one`".to_owned(),
        format!("spec.dependencies[1].plugin: {id} depends on itself: leave it out"),
        format!(
            "spec.permissions[0].key: `contacts:contacts:read` is not this plugin's: its permissions begin with `{id}:`"
        ),
        format!(
            "spec.events.publishes[0]: `contacts.contact.created` is not this plugin's: what it sends begins with `{id}.`"
        ),
        "spec.configuration.schema/properties/currency".to_owned(),
        "spec.migrations[1].name: `0001_first` comes after `0002_second`".to_owned(),
        "spec.migrations[1].sql: `0001_first` cannot be read as SQL".to_owned(),
        "spec.database.tenantTables[0].privileges: INSERT on roles is granted to no plugin".to_owned(),
    ] {
        contains(&told, &sentence)?;
    }
    let plugin = env.plugins().get(&name).await?;
    for type_ in [Type::Ready, Type::Stalled] {
        let found = said(&plugin, type_);
        ensure!(
            found.is_some_and(|found| found.reason == "ManifestInvalid" && found.message == told),
            "{type_:?} says {found:?}"
        );
    }
    Ok(())
}

async fn a_manifest_that_breaks_rules_is_not_registered_and_can_be_deleted(env: &Env) -> Result<()> {
    let id = unique("invalid");
    let name = env
        .publish(&id, VERSION, json!({ "api": { "basePath": "/api" } }))
        .await?;
    env.plugin_says(&name, Type::Registered, "False", "ManifestInvalid")
        .await?;
    let state = env.plugins().get(&name).await?.status.and_then(|status| status.state);
    ensure!(state == Some(State::Invalid), "state is {state:?}");
    ensure!(env.release_row(&id, VERSION).await?.is_none(), "it has a row");
    env.withdraw(&name).await?;
    // Corrected under the same version: nobody had it.
    let name = env.publish(&id, VERSION, json!({})).await?;
    env.registered(&name).await.map(drop)
}

async fn what_postgresql_cannot_store_is_not_accepted(env: &Env) -> Result<()> {
    let id = unique("nul");
    let translations = json!({ "translations": { "en": { "title": "Contacts\0" } } });
    let name = env.publish(&id, VERSION, translations).await?;
    for type_ in [Type::Accepted, Type::Ready] {
        let told = env.plugin_says(&name, type_, "False", "ManifestInvalid").await?;
        contains(
            &told.message,
            "spec.translations.en.title: must not contain U+0000, which PostgreSQL cannot store",
        )?;
    }
    env.plugin_says(&name, Type::Stalled, "True", "ManifestInvalid").await?;
    let state = env.plugins().get(&name).await?.status.and_then(|status| status.state);
    ensure!(state == Some(State::Invalid), "state is {state:?}");
    ensure!(env.release_row(&id, VERSION).await?.is_none(), "it has a row");
    Ok(())
}

async fn a_base_path_belongs_to_the_first_plugin_that_has_it(env: &Env) -> Result<()> {
    let [first, second] = ["first", "second"].map(unique);
    let path = format!("/{first}");
    let owner = env
        .publish(&first, VERSION, json!({ "api": { "basePath": path } }))
        .await?;
    env.registered(&owner).await?;
    // Another version of the same plugin has the same path.
    let next = env
        .publish(&first, "1.1.0", json!({ "api": { "basePath": path } }))
        .await?;
    env.registered(&next).await?;
    let below = json!({ "api": { "basePath": format!("{path}/below") } });
    let other = env.publish(&second, VERSION, below).await?;
    let taken = env
        .plugin_says(&other, Type::Accepted, "False", "BasePathTaken")
        .await?;
    contains(
        &taken.message,
        &format!("spec.api.basePath: `{path}/below` is in the way of plugin {first}, which has `{path}`"),
    )?;
    env.withdraw(&owner).await?;
    env.withdraw(&next).await?;
    env.registered(&other).await.map(drop)
}
