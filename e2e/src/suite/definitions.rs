//! Definitions that are replaced while the operator runs, as an upgrade of the chart does: watches end, and begin anew
//! with a list some seconds later. What came in between is in that list, and nowhere else.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{
    Case,
    env::{Env, eventually},
    tenant_plugins::TenantPlugins,
};

const CRD: &str = "plugininstallations.plexica.io";
/// Its schema begins with a description, which means nothing to the operator.
const DESCRIPTION: &str = "/spec/versions/0/schema/openAPIV3Schema/description";
/// Longest wait for the watches' end.
const PATIENCE: Duration = Duration::from_mins(1);

/// See the file's description.
pub fn cases() -> Vec<Case> {
    crate::cases![true; an_installation_made_while_its_definition_is_replaced_is_installed]
}

async fn an_installation_made_while_its_definition_is_replaced_is_installed(env: &Env) -> Result<()> {
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    let api: Api<CustomResourceDefinition> = Api::all(env.client.clone());
    let definition = json!(api.get(CRD).await?);
    let as_it_was = definition.pointer(DESCRIPTION).context("no description")?.clone();
    let before = failed_watches(env)?;
    let restorer = api.clone();
    env.afterwards(async move { describe(&restorer, as_it_was).await });
    describe(&api, json!("Another description.")).await?;
    eventually("a watch that failed", PATIENCE, || async {
        ensure!(failed_watches(env)? > before, "none has failed yet");
        Ok(())
    })
    .await?;
    eventually("the installation", PATIENCE, || plugins.install("contacts", json!({}))).await?;
    plugins.ready("contacts").await.map(drop)
}

/// How often the operator has said that a watch failed.
fn failed_watches(env: &Env) -> Result<usize> {
    let log = fs::read_to_string(env.stack.operator_log().context("the operator has no log")?)?;
    Ok(log.matches("a watch failed and begins anew").count())
}

async fn describe(api: &Api<CustomResourceDefinition>, description: Value) -> Result<()> {
    let patch = json!([{ "op": "replace", "path": DESCRIPTION, "value": description }]);
    let patch = Patch::<()>::Json(serde_json::from_value(patch)?);
    api.patch(CRD, &PatchParams::default(), &patch).await?;
    Ok(())
}
