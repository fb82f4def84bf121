//! What a platform engineer sees with kubectl.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{
    Case,
    clients::kubectl::{kubectl, row},
    env::{Env, contains, eventually, unique},
};

/// Events are written beside the passes, not by them.
const PATIENCE: Duration = Duration::from_secs(15);

/// See the file's description.
pub fn cases() -> Vec<Case> {
    crate::cases![false;
        kubectl_get_shows_how_each_part_fares,
        kubectl_get_wide_says_why_a_tenant_is_not_ready,
        kubectl_describe_tells_what_became_of_each_part,
        kubectl_explain_has_a_text_for_every_field,
        kubectl_wait_sees_when_a_tenant_is_ready,
        defaults_are_shown_in_the_object,
        every_condition_speaks_of_the_generation_that_is_there,
    ]
}

async fn kubectl_get_shows_how_each_part_fares(env: &Env) -> Result<()> {
    let name = unique("shown");
    env.create(&name, json!({})).await?;
    env.ready(&name).await?;
    for resource in ["tenants", "tenant", "ten", "plexica"] {
        let table = kubectl(env, &["get", resource]).await?;
        let (header, row) = row(&table, &name)?;
        ensure!(
            header
                == [
                    "NAME", "PHASE", "READY", "PLUGINS", "DATABASE", "IDENTITY", "STORAGE", "AGE"
                ],
            "kubectl get {resource} shows {header:?}"
        );
        ensure!(
            row[1..7] == ["Active", "True", "0/0", "Provisioned", "Provisioned", "Provisioned"],
            "the row is {row:?}"
        );
    }
    Ok(())
}

async fn kubectl_get_wide_says_why_a_tenant_is_not_ready(env: &Env) -> Result<()> {
    let name = unique("why");
    env.create(&name, json!({ "storage": { "pool": "nowhere" } })).await?;
    env.until(&name, "Failed", |tenant| {
        tenant
            .status
            .as_ref()
            .is_some_and(|status| status.phase == Some(plexica_crds::tenant::Phase::Failed))
    })
    .await?;
    let table = kubectl(env, &["get", "tenant", &name, "--output=wide"]).await?;
    contains(&table, "MESSAGE")?;
    contains(&table, "the platform has no s3 pool `nowhere`")
}

/// One event for each part, with its place, and the conditions above them.
async fn kubectl_describe_tells_what_became_of_each_part(env: &Env) -> Result<()> {
    let name = unique("told");
    env.create(&name, json!({})).await?;
    env.ready(&name).await?;
    let schema = format!("schema tenant_{} in pool main", name.replace('-', "_"));
    let realm = format!("realm tenant-{name} in pool main");
    let bucket = format!("bucket tenant-{name} in pool main");
    let told = eventually("events of every part", PATIENCE, || async {
        let text = kubectl(env, &["describe", "tenant", &name]).await?;
        let (_, events) = text.split_once("Events:").context("no events")?;
        for reason in [
            "NamespaceReady",
            "DatabaseReady",
            "IdentityReady",
            "StorageReady",
            "IsolationVerified",
            "Ready",
        ] {
            ensure!(
                events.split_whitespace().any(|word| word == reason),
                "no event {reason}:\n{events}"
            );
        }
        for message in [&schema, &realm, &bucket] {
            contains(events, message)?;
        }
        Ok(text)
    })
    .await?;
    for word in [
        "Tenant Id:",
        "Secret Name:",
        "plexica-database",
        "Issuer:",
        "everything is provisioned",
    ] {
        contains(&told, word)?;
    }
    ensure!(!told.contains("Warning"), "a tenant without any trouble warns:\n{told}");
    Ok(())
}

async fn kubectl_explain_has_a_text_for_every_field(env: &Env) -> Result<()> {
    for (field, text) in [
        ("tenant.spec.storage.quota", "Most bytes that the bucket may hold"),
        (
            "plugin.spec.deprecated",
            "The one field that may be edited after the release",
        ),
        ("pi.spec.version", "Versions that are wanted"),
    ] {
        contains(&kubectl(env, &["explain", field]).await?, text)?;
    }
    let mut silent = vec![];
    for kind in ["tenants", "plugins", "plugininstallations"] {
        let crd = kubectl(env, &["get", "crd", &format!("{kind}.plexica.io"), "--output=json"]).await?;
        let crd: Value = serde_json::from_str(&crd)?;
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        for part in ["spec", "status"] {
            undescribed(&format!("{kind}.{part}"), &schema[part], &mut silent);
        }
    }
    ensure!(silent.is_empty(), "fields without a text: {silent:?}");
    Ok(())
}

/// Paths of fields without a description. Conditions are Kubernetes' own type.
fn undescribed(path: &str, schema: &Value, found: &mut Vec<String>) {
    if schema["description"].as_str().is_none_or(str::is_empty) {
        found.push(path.to_owned());
    }
    for fields in [&schema["properties"], &schema["items"]["properties"]] {
        for (name, field) in fields.as_object().into_iter().flatten() {
            undescribed(&format!("{path}.{name}"), field, found);
        }
    }
}

/// What a script or Argo CD does: kstatus and `kubectl wait`.
async fn kubectl_wait_sees_when_a_tenant_is_ready(env: &Env) -> Result<()> {
    let name = unique("awaited");
    env.create(&name, json!({})).await?;
    let object = format!("tenant/{name}");
    let said = kubectl(env, &["wait", &object, "--for=condition=Ready", "--timeout=60s"]).await?;
    contains(&said, "condition met")
}

async fn defaults_are_shown_in_the_object(env: &Env) -> Result<()> {
    let name = unique("defaults");
    env.create(&name, json!({})).await?;
    let object = kubectl(env, &["get", "tenant", &name, "--output=json"]).await?;
    let spec = serde_json::from_str::<Value>(&object)?["spec"].take();
    for (pointer, wanted) in [
        ("/suspended", json!(false)),
        ("/retention", json!("720h")),
        ("/database/connectionLimit", json!(20)),
        ("/database/statementTimeout", json!("30s")),
        ("/identity/isolation", json!("Realm")),
        ("/identity/accessTokenLifespan", json!("5m")),
        ("/identity/ssoSessionIdle", json!("30m")),
        ("/identity/ssoSessionMax", json!("10h")),
        ("/storage/quota", json!("10Gi")),
        ("/storage/versioning", json!(false)),
        ("/namespace/networkPolicy", json!("Isolated")),
        ("/namespace/resourceQuota/pods", json!("50")),
    ] {
        let found = spec.pointer(pointer);
        ensure!(found == Some(&wanted), "spec{pointer} is {found:?}, not {wanted}");
    }
    Ok(())
}

/// metav1 conditions by the book: design.md section 2.
async fn every_condition_speaks_of_the_generation_that_is_there(env: &Env) -> Result<()> {
    let name = unique("generation");
    env.create(&name, json!({})).await?;
    env.ready(&name).await?;
    env.patch(&name, json!({ "spec": { "displayName": "Another name" } }))
        .await?;
    let tenant = env.ready(&name).await?;
    let generation = tenant.metadata.generation;
    let status = tenant.status.context("no status")?;
    ensure!(
        status.observed_generation == generation,
        "status.observedGeneration is {:?}",
        status.observed_generation
    );
    for condition in &status.conditions {
        ensure!(
            condition.observed_generation == generation,
            "{} speaks of generation {:?}, not {generation:?}",
            condition.type_,
            condition.observed_generation
        );
    }
    ensure!(
        !status
            .conditions
            .iter()
            .any(|condition| ["Reconciling", "Stalled"].contains(&condition.type_.as_str())),
        "a Ready tenant has neither Reconciling nor Stalled"
    );
    Ok(())
}
