//! An object that this operator's types do not decode stops nobody else, and is told what is wrong with it.
//!
//! That happens when the CRDs in the cluster are older or newer than the operator. Here the schema of a field is
//! loosened by hand, and restored however the test ends.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::{
    api::apps::v1::Deployment, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams},
};
use plexica_crds::{Plugin, Tenant, plugin_installation::conditions::Type};
use serde_json::{Value, json};

use super::{
    Case,
    clients::database,
    env::{Env, contains, eventually, unique},
    releases::VERSION,
    tenant_plugins::TenantPlugins,
    without_webhook,
};

/// A field of a spec, by the definition that it is in.
#[derive(Clone, Copy)]
pub struct Field {
    /// Name of the definition.
    pub crd: &'static str,
    /// Name of the field.
    pub name: &'static str,
}

/// A boolean.
const SUSPENDED: Field = Field {
    crd: "tenants.plexica.io",
    name: "suspended",
};
/// A text.
const CATEGORY: Field = Field {
    crd: "plugins.plexica.io",
    name: "category",
};
/// Longest wait for a changed definition to be served, and for an object to be told.
const PATIENCE: Duration = Duration::from_mins(1);

/// See the file's description.
pub fn cases() -> Vec<Case> {
    let mut all = crate::cases![true;
        an_object_that_does_not_decode_is_stalled_and_stops_nobody,
        an_object_that_does_not_decode_can_be_deleted_and_its_data_is_kept,
        plugins_of_a_tenant_that_does_not_decode_go_on,
    ];
    all.extend(without_webhook(crate::cases![true;
        a_release_that_does_not_decode_is_told_stops_nobody_and_can_be_deleted,
    ]));
    all
}

async fn an_object_that_does_not_decode_is_stalled_and_stops_nobody(env: &Env) -> Result<()> {
    loosen(env, SUSPENDED).await?;
    let name = unique("odd");
    let tenants: Api<DynamicObject> = Api::all_with(env.client.clone(), &ApiResource::erase::<Tenant>(&()));
    // Until the loosened definition is served, it is refused.
    eventually("a tenant that does not decode", PATIENCE, || {
        env.create_untyped(&name, json!({ "suspended": "yes" }), true)
    })
    .await?;
    correct_afterwards(env, &name);

    let told = eventually("the condition Stalled", PATIENCE, || async {
        let object = tenants.get(&name).await?;
        let conditions = object.data["status"]["conditions"].as_array().cloned();
        let found = |type_: &str| {
            let mut all = conditions.iter().flatten();
            all.find(|condition| condition["type"] == type_).cloned()
        };
        let (stalled, ready) = (
            found("Stalled").context("no condition Stalled")?,
            found("Ready").context("no Ready")?,
        );
        ensure!(
            stalled["reason"] == "Undecodable" && stalled["status"] == "True",
            "{stalled}"
        );
        ensure!(
            ready["reason"] == "Undecodable" && ready["status"] == "False",
            "{ready}"
        );
        Ok(stalled["message"].as_str().unwrap_or_default().to_owned())
    })
    .await?;
    contains(&told, "the object does not decode")?;

    let neighbour = unique("even");
    env.create(&neighbour, json!({})).await?;
    env.ready(&neighbour).await?;

    correct(&tenants, &name).await?;
    env.ready(&name).await?;
    // Whoever is to correct it must know which field.
    contains(&told, "suspended")
}

/// Its deletion policy cannot be read: data that was perhaps to be kept is kept.
async fn an_object_that_does_not_decode_can_be_deleted_and_its_data_is_kept(env: &Env) -> Result<()> {
    loosen(env, SUSPENDED).await?;
    let name = unique("odd");
    env.create_with(&name, json!({}), false).await?;
    env.ready(&name).await?;
    let secret = env.secret(&name, database::SECRET).await?;
    let tenants: Api<DynamicObject> = Api::all_with(env.client.clone(), &ApiResource::erase::<Tenant>(&()));
    let odd = Patch::Merge(json!({ "spec": { "suspended": "yes" } }));
    eventually("an object that does not decode", PATIENCE, || async {
        Ok(tenants.patch(&name, &PatchParams::default(), &odd).await?)
    })
    .await?;
    correct_afterwards(env, &name);
    tenants.delete(&name, &DeleteParams::default()).await?;
    eventually("the end of the object", PATIENCE, || async {
        ensure!(tenants.get_opt(&name).await?.is_none(), "it is still there");
        Ok(())
    })
    .await?;
    let row = database::row(env, &name).await?;
    ensure!(row["status"] == "PENDING_DELETION", "the registry has {row}");
    let refused = database::login_refused(env, &secret).await?;
    ensure!(refused == "28000", "the login is refused with SQLSTATE {refused}");
    Ok(())
}

/// The operator cannot know what a tenant that it does not understand wants; so nothing that runs is touched.
async fn plugins_of_a_tenant_that_does_not_decode_go_on(env: &Env) -> Result<()> {
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    plugins.install("contacts", json!({})).await?;
    plugins.ready("contacts").await?;
    loosen(env, SUSPENDED).await?;
    let name = plugins.slug.to_string();
    let tenants: Api<DynamicObject> = Api::all_with(env.client.clone(), &ApiResource::erase::<Tenant>(&()));
    let odd = Patch::Merge(json!({ "spec": { "suspended": "yes" } }));
    correct_afterwards(env, &name);
    eventually("a tenant that does not decode", PATIENCE, || async {
        Ok(tenants.patch(&name, &PatchParams::default(), &odd).await?)
    })
    .await?;
    let touch = json!({ "metadata": { "annotations": { "example.com/touched": "once" } } });
    plugins.patch("contacts", touch).await?;
    let told = plugins.says("contacts", Type::Ready, "False", "TenantNotReady").await?;
    contains(&told.message, "does not decode")?;
    let running = plugins.objects::<Deployment>().get("contacts-a").await?;
    ensure!(
        running.spec.and_then(|spec| spec.replicas) == Some(1),
        "its pods were taken away"
    );
    Ok(())
}

/// Nobody can read what it is, so it is not installed; but its name says which release it is.
async fn a_release_that_does_not_decode_is_told_stops_nobody_and_can_be_deleted(env: &Env) -> Result<()> {
    let id = unique("odd");
    let name = env.publish(&id, VERSION, json!({})).await?;
    env.registered(&name).await?;
    loosen(env, CATEGORY).await?;
    let plugins: Api<DynamicObject> = Api::all_with(env.client.clone(), &ApiResource::erase::<Plugin>(&()));
    let odd = Patch::Merge(json!({ "spec": { "category": 7 } }));
    eventually("a release that does not decode", PATIENCE, || async {
        Ok(plugins.patch(&name, &PatchParams::default(), &odd).await?)
    })
    .await?;
    let told = eventually("the condition Accepted", PATIENCE, || async {
        let object = plugins.get(&name).await?;
        let conditions = object.data["status"]["conditions"].as_array().cloned();
        let mut all = conditions.into_iter().flatten();
        let accepted = all.find(|said| said["type"] == "Accepted").context("no Accepted")?;
        ensure!(accepted["reason"] == "Undecodable", "{accepted}");
        Ok(accepted["message"].as_str().unwrap_or_default().to_owned())
    })
    .await?;
    contains(&told, "the object does not decode: spec.category: ")?;

    let neighbour = env.publish(&unique("even"), VERSION, json!({})).await?;
    env.registered(&neighbour).await?;

    let namespace = env.pretend(&id, VERSION).await?;
    plugins.delete(&name, &DeleteParams::default()).await?;
    eventually("the condition DeletionBlocked", PATIENCE, || async {
        let object = plugins.get(&name).await?;
        contains(
            &object.data["status"].to_string(),
            &format!("used by {namespace}/{id}: "),
        )
    })
    .await?;
    env.uninstall(&namespace, &id).await?;
    eventually("the end of the release", PATIENCE, || async {
        ensure!(plugins.get_opt(&name).await?.is_none(), "it is still there");
        Ok(())
    })
    .await?;
    ensure!(env.release_row(&id, VERSION).await?.is_none(), "its row is still there");
    Ok(())
}

/// Lets a field be anything, until the test has ended.
pub async fn loosen(env: &Env, field: Field) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(env.client.clone());
    let strict = json!(api.get(field.crd).await?)
        .pointer(&field.pointer())
        .with_context(|| format!("{} has no field spec.{}", field.crd, field.name))?
        .clone();
    ensure!(
        strict["type"].is_string(),
        "spec.{} is not as it should be: {strict}",
        field.name
    );
    let restorer = api.clone();
    env.afterwards(async move { set_schema(&restorer, field, strict).await });
    set_schema(&api, field, json!({ "x-kubernetes-preserve-unknown-fields": true })).await
}

impl Field {
    fn pointer(self) -> String {
        format!(
            "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/{}",
            self.name
        )
    }
}

async fn set_schema(api: &Api<CustomResourceDefinition>, field: Field, schema: Value) -> Result<()> {
    let patch = json!([{ "op": "replace", "path": field.pointer(), "value": schema }]);
    let patch = Patch::<()>::Json(serde_json::from_value(patch)?);
    api.patch(field.crd, &PatchParams::default(), &patch).await?;
    Ok(())
}

async fn correct(api: &Api<DynamicObject>, name: &str) -> Result<()> {
    let patch = Patch::Merge(json!({ "spec": { "suspended": false } }));
    api.patch(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// However the test ends: an object that does not decode could not be removed by it.
fn correct_afterwards(env: &Env, name: &str) {
    let (client, name) = (env.client.clone(), name.to_owned());
    env.afterwards(async move {
        let api: Api<DynamicObject> = Api::all_with(client, &ApiResource::erase::<Tenant>(&()));
        if api.get_opt(&name).await?.is_none() {
            return Ok(());
        }
        correct(&api, &name).await
    });
}
