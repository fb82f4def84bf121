//! The admission webhook on the cluster: ready, switched off, given other lifetimes.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::PostParams;
use kube::{Api, Client};
use plexica_crds::Tenant;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::failure::Failure;
use crate::layout::{self, Layout};
use crate::parts::Context;
use crate::platform::{self, NAMESPACE, RELEASE};
use crate::stack;

/// The webhook's Deployment, Service, account and configuration.
pub const NAME: &str = "plexica-webhooks";
/// Longest time for its pods to become ready.
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until the API server is answered: pods, endpoints and trust.
pub async fn wait_ready(layout: &Layout) -> Result<()> {
    let client = stack::kube_client(layout).await?;
    until(|| answers(client.clone())).await.map_err(|refusal| {
        let advice = "`cargo dev kubectl -n plexica-system describe pod` and `cargo dev logs webhooks` tell why";
        Failure::new(format!("the webhook is not ready: {refusal:#}"), advice).into()
    })
}

async fn answers(client: Client) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    platform::rolled_out(&deployments.get(NAME).await?)?;
    let probe: Tenant = serde_json::from_value(json!({
        "apiVersion": "plexica.io/v1alpha1", "kind": "Tenant", "metadata": { "name": "probe" },
        "spec": { "displayName": "Probe" },
    }))?;
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let tenants: Api<Tenant> = Api::all(client);
    match tenants.create(&dry, &probe).await {
        Err(error) if error.to_string().contains("failed calling webhook") => Err(error.into()),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Whether nothing is left of it that the API server could ask.
async fn is_off(client: Client) -> Result<()> {
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let deployments: Api<Deployment> = Api::namespaced(client, NAMESPACE);
    if configurations.get_opt(NAME).await?.is_some() || deployments.get_opt(NAME).await?.is_some() {
        bail!("the webhook is still there");
    }
    Ok(())
}

/// Repeats an observation until it succeeds. Not by [`crate::wait`], whose futures cannot move between threads.
async fn until<F: Future<Output = Result<()>>>(observe: impl Fn() -> F) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match observe().await {
            Err(refusal) if Instant::now() > deadline => return Err(refusal),
            Err(_) => sleep(Duration::from_millis(100)).await,
            Ok(()) => return Ok(()),
        }
    }
}

/// Switches the webhook off by the chart's value, as a user does. Until [`restore`], `cargo dev up` would repair that.
pub async fn switch_off(context: &Context) -> Result<()> {
    set(context, &["webhook.enabled=false"]).await?;
    let client = stack::kube_client(&context.layout).await?;
    until(|| is_off(client.clone())).await
}

/// Changes values of the chart, and waits until the webhook works with them. To be undone by [`restore`].
pub async fn reconfigure(context: &Context, values: &[&str]) -> Result<()> {
    set(context, values).await?;
    wait_ready(&context.layout).await
}

async fn set(context: &Context, values: &[&str]) -> Result<()> {
    let noted = platform::deployed(&context.layout, RELEASE);
    let kept = noted.with_extension("kept");
    if noted.exists() {
        std::fs::rename(&noted, &kept).context("cannot forget what is deployed")?;
    }
    let mut options = vec!["--reset-then-reuse-values".to_owned()];
    options.extend(values.iter().map(|value| format!("--set={value}")));
    platform::helm(context, RELEASE, &options).await
}

/// Makes the release what `cargo dev up` had made it, and waits until the webhook works.
pub async fn restore(context: &Context, values: &[&str]) -> Result<()> {
    set(context, values).await?;
    let noted = platform::deployed(&context.layout, RELEASE);
    let kept = std::fs::read(noted.with_extension("kept")).context("it is not known what was deployed")?;
    layout::write(&noted, &kept)?;
    wait_ready(&context.layout).await
}
