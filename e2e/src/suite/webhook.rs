//! The admission webhook: what it refuses and how it says so, and that nobody is in its hands.

mod rotation;

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use plexica_crds::{ANNOTATION_RESTORE, PluginInstallation};
use serde_json::{Value, json};

use super::{
    Case,
    clients::kubectl::{apply, kubectl},
    env::{Env, contains, eventually, unique},
    releases::VERSION,
    tenant_plugins::TenantPlugins,
};
use crate::{
    cases,
    platform::NAMESPACE,
    webhook::{self, NAME},
};

/// Longest time for pods to go.
const PATIENCE: Duration = Duration::from_mins(1);

/// Cases of this file.
pub fn cases() -> Vec<Case> {
    let mut all = cases![false;
        a_configuration_that_the_release_does_not_take_is_refused_when_it_is_applied,
        what_nobody_knows_yet_is_admitted_with_a_warning,
        a_name_is_refused_while_its_former_tenants_data_is_kept,
        a_release_in_use_is_not_even_marked_for_deletion,
        an_installation_that_others_need_is_refused_its_end_unless_all_go,
    ];
    all.extend(cases![true;
        without_its_pods_deletes_and_status_go_on_and_a_create_says_what_is_missing,
    ]);
    all.extend(rotation::cases());
    all
}

fn installation(plugins: &TenantPlugins<'_>, id: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "plexica.io/v1alpha1", "kind": "PluginInstallation",
        "metadata": { "name": id, "namespace": plugins.slug.namespace().as_str() }, "spec": spec,
    })
}

async fn a_configuration_that_the_release_does_not_take_is_refused_when_it_is_applied(env: &Env) -> Result<()> {
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    let wrong = json!({ "config": { "pageSize": "many", "unheard": 1 } });
    let told = apply(env, &installation(&plugins, "contacts", &wrong)).await?;
    for part in [
        "admission webhook \"configuration.plexica.io\" denied the request: contacts 1.0.0 does not admit the configuration: ",
        "/pageSize: ",
        "/unheard: the plugin's schema knows no such key",
    ] {
        contains(&told, part)?;
    }
    let clear = json!({ "config": { "ingest": { "key": "in-the-clear-0123456789" } } });
    let told = apply(env, &installation(&plugins, "sample-analytics", &clear)).await?;
    contains(&told, "/ingest/key: the plugin's schema marks this as a secret")?;
    ensure!(!told.contains("in-the-clear"), "the secret is shown: {told}");
    let nul = json!({ "config": { "title": "a\0" } });
    let told = apply(env, &installation(&plugins, "contacts", &nul)).await?;
    contains(
        &told,
        "denied the request: spec.config.title: must not contain U+0000, which PostgreSQL cannot store",
    )?;
    let stored = plugins.api.list(&ListParams::default()).await?;
    ensure!(stored.items.is_empty(), "something was stored");

    // What comes by reference cannot be read here: a condition tells of it.
    let source = json!([{ "pointer": "/ingest/key", "secretKeyRef": { "name": "later", "key": "key" } }]);
    let referring = json!({ "enabled": false, "configFrom": source });
    let told = apply(env, &installation(&plugins, "sample-analytics", &referring)).await?;
    ensure!(told.ends_with("sample-analytics created\n"), "{told}");
    // A change is judged, and one that has nothing to do with it is not.
    let told = plugins
        .patch("sample-analytics", json!({ "spec": { "config": { "unheard": 1 } } }))
        .await;
    let Err(error) = told else {
        bail!("the change was admitted")
    };
    contains(&error.to_string(), "/unheard")?;
    let unrelated = json!({ "metadata": { "labels": { "example.com/seen": "yes" } }, "spec": { "replicas": 2 } });
    plugins.patch("sample-analytics", unrelated).await
}

async fn what_nobody_knows_yet_is_admitted_with_a_warning(env: &Env) -> Result<()> {
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    let anything = json!({ "config": { "whatever": true } });
    let told = apply(env, &installation(&plugins, "nobodys", &anything)).await?;
    contains(
        &told,
        "Warning: stored, but not carried out yet: no plugin nobodys is registered",
    )?;
    contains(&told, "nobodys created")
}

async fn a_name_is_refused_while_its_former_tenants_data_is_kept(env: &Env) -> Result<()> {
    let name = unique("kept");
    env.create_with(&name, json!({}), false).await?;
    let id = env.ready(&name).await?.uid().unwrap_or_default();
    env.delete(&name).await?;
    let heir = |annotations: Value| {
        json!({ "apiVersion": "plexica.io/v1alpha1", "kind": "Tenant",
            "metadata": { "name": name, "annotations": annotations }, "spec": { "displayName": "Heir" } })
    };
    let told = apply(env, &heir(json!({}))).await?;
    for part in [
        "admission webhook \"retained-data.plexica.io\" denied the request: ",
        "data of a deleted tenant",
        &format!("plexica.io/restore: {id}"),
    ] {
        contains(&told, part)?;
    }
    ensure!(env.tenants().get_opt(&name).await?.is_none(), "it was stored");
    // Who names that tenant is let through: the operator decides.
    let told = apply(env, &heir(json!({ ANNOTATION_RESTORE: id }))).await?;
    contains(&told, "created")
}

async fn a_release_in_use_is_not_even_marked_for_deletion(env: &Env) -> Result<()> {
    let id = unique("wanted");
    let name = env.publish(&id, VERSION, json!({})).await?;
    env.registered(&name).await?;
    let namespace = env.pretend(&id, VERSION).await?;
    let Err(refused) = kubectl(env, &["delete", "plugin", &name]).await else {
        bail!("it was deleted")
    };
    contains(
        &refused.to_string(),
        &format!(
            "admission webhook \"release-in-use.plexica.io\" denied the request: used by {namespace}/{id}: move them to another version or delete them first"
        ),
    )?;
    let plugin = env.plugins().get(&name).await?;
    ensure!(
        plugin.metadata.deletion_timestamp.is_none(),
        "it is marked for deletion"
    );
    env.uninstall(&namespace, &id).await?;
    // At once: nothing is refused for what was true a moment ago.
    env.withdraw(&name).await
}

async fn an_installation_that_others_need_is_refused_its_end_unless_all_go(env: &Env) -> Result<()> {
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    for id in ["contacts", "crm"] {
        plugins.install(id, json!({})).await?;
    }
    plugins.ready("crm").await?;
    let namespace = plugins.slug.namespace().to_string();
    let arguments = ["delete", "plugininstallation", "contacts", "--namespace", &namespace];
    let Err(refused) = kubectl(env, &arguments).await else {
        bail!("it was deleted")
    };
    for part in [
        "admission webhook \"needed-by-others.plexica.io\" denied the request: contacts is still needed: ",
        "crm 1.0.0 needs contacts",
        "remove those first",
    ] {
        contains(&refused.to_string(), part)?;
    }
    let contacts = plugins.api.get("contacts").await?;
    ensure!(
        contacts.metadata.deletion_timestamp.is_none(),
        "it is marked for deletion"
    );
    // All of the tenant goes, in any order.
    env.delete(plugins.slug.as_str()).await?;
    eventually("the end of the installations", PATIENCE, || async {
        let left = plugins.api.list(&ListParams::default()).await?.items;
        ensure!(left.is_empty(), "{} are left", left.len());
        Ok(())
    })
    .await
}

async fn scale(env: &Env, replicas: i32) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(env.client.clone(), NAMESPACE);
    let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
    deployments.patch_scale(NAME, &PatchParams::default(), &patch).await?;
    Ok(())
}

async fn without_its_pods_deletes_and_status_go_on_and_a_create_says_what_is_missing(env: &Env) -> Result<()> {
    let id = unique("orphan");
    let release = env.publish(&id, VERSION, json!({})).await?;
    env.registered(&release).await?;
    let namespace = env.pretend(&id, VERSION).await?;
    let deployments: Api<Deployment> = Api::namespaced(env.client.clone(), NAMESPACE);
    let replicas = deployments
        .get(NAME)
        .await?
        .spec
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    let restore = env.clone();
    env.afterwards(async move {
        scale(&restore, replicas).await?;
        webhook::wait_ready(restore.stack.layout()).await
    });
    scale(env, 0).await?;
    let pods: Api<Pod> = Api::namespaced(env.client.clone(), NAMESPACE);
    let own = ListParams::default().labels(&format!("app.kubernetes.io/name={NAME}"));
    eventually("the end of the pods", PATIENCE, || async {
        ensure!(pods.list(&own).await?.items.is_empty(), "they are still there");
        Ok(())
    })
    .await?;

    // What is new says what is missing.
    let refused = env.refusal(&unique("late"), json!({})).await?;
    for part in ["failed calling webhook \"retained-data.plexica.io\"", NAME] {
        contains(&refused, part)?;
    }
    let installations: Api<PluginInstallation> = Api::namespaced(env.client.clone(), &namespace);
    let change = |patch: Value| {
        let (api, id) = (installations.clone(), id.clone());
        async move { api.patch(&id, &PatchParams::default(), &Patch::Merge(patch)).await }
    };
    let refused = change(json!({ "spec": { "replicas": 2 } })).await;
    let refused = refused.err().context("a change of spec was admitted")?;
    contains(
        &refused.to_string(),
        "failed calling webhook \"configuration.plexica.io\"",
    )?;
    // Status, labels and finalizers are nobody's business.
    env.pretend_version(&namespace, &id, "1.1.0").await?;
    change(json!({ "metadata": { "labels": { "example.com/seen": "yes" }, "finalizers": ["example.com/held"] } }))
        .await?;
    // Deletes work, and the finalizer of what is in deletion can be removed.
    installations.delete(&id, &DeleteParams::default()).await?;
    change(json!({ "metadata": { "finalizers": null } })).await?;
    eventually("the end of the installation", PATIENCE, || async {
        ensure!(installations.get_opt(&id).await?.is_none(), "it is still there");
        Ok(())
    })
    .await?;
    env.withdraw(&release).await
}
