//! Secrets stay where they belong: no log, event, status, metric or SQL text holds one.

use std::fs;

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::api::{core::v1::Pod, events::v1::Event};
use kube::{Api, api::ListParams};
use secrecy::ExposeSecret;

use super::{
    Case,
    env::{Env, unique},
};
use crate::{cases, parts::Part};

/// The cases of this file.
pub fn cases() -> Vec<Case> {
    cases![false; no_log_event_status_or_metric_holds_a_secret]
}

async fn no_log_event_status_or_metric_holds_a_secret(env: &Env) -> Result<()> {
    let name = unique("canary");
    env.create(
        &name,
        serde_json::json!({ "admins": [{ "email": "ann@canary.example.com" }] }),
    )
    .await?;
    let tenant = env.ready(&name).await?;
    let mut canaries = vec![
        env.secret(&name, "plexica-database").await?["password"].clone(),
        env.secret(&name, "plexica-storage").await?["secretAccessKey"].clone(),
    ];
    for account in [
        env.stack.postgres_operator(),
        env.stack.keycloak_operator(),
        env.stack.s3_operator(),
    ] {
        canaries.push(account.secret.expose_secret().to_owned());
    }

    let events: Api<Event> = Api::namespaced(env.client.clone(), "default");
    let mut places = vec![
        ("the Tenant", serde_json::to_string(&tenant)?),
        (
            "events",
            serde_json::to_string(&events.list(&ListParams::default()).await?.items)?,
        ),
        ("the audit log", fs::read_to_string(env.stack.audit_log())?),
        ("the operator's metrics", metrics(env).await?),
        (
            "the operator's log",
            fs::read_to_string(env.stack.operator_log().context("the operator has no log")?)?,
        ),
    ];
    for (part, place) in [
        (Part::Postgres, "PostgreSQL's log"),
        (Part::Keycloak, "Keycloak's log"),
        (Part::Minio, "MinIO's log"),
    ] {
        places.push((place, fs::read_to_string(env.stack.log(part))?));
    }
    for (place, text) in &places {
        for canary in &canaries {
            if text.contains(canary) || text.contains(&STANDARD.encode(canary)) {
                bail!("{place} holds a secret that begins with {}...", &canary[..4]);
            }
        }
    }
    // The search itself must be able to find something.
    if !places
        .iter()
        .any(|(place, text)| *place == "PostgreSQL's log" && text.contains("SCRAM-SHA-256$"))
    {
        bail!("PostgreSQL's log holds no statement that sets a verifier: this test looks at the wrong log");
    }
    env.delete(&name).await
}

async fn metrics(env: &Env) -> Result<String> {
    let pods: Api<Pod> = Api::namespaced(env.client.clone(), "plexica-system");
    let list = pods
        .list(&ListParams::default().labels("app.kubernetes.io/name=plexica-operator"))
        .await?;
    let address = list
        .items
        .iter()
        .find_map(|pod| pod.status.as_ref()?.pod_ip.clone())
        .context("the operator has no pod")?;
    Ok(env
        .http
        .get(format!("http://{address}:8080/metrics"))
        .send()
        .await?
        .text()
        .await?)
}
