//! The webhook's certificate is replaced while requests come, and none is refused for that.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::{
    admissionregistration::v1::ValidatingWebhookConfiguration,
    core::v1::{Secret, Service},
};
use kube::{Api, api::PostParams};
use plexica_crds::{PluginInstallation, Tenant};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{
    cases,
    platform::NAMESPACE,
    suite::{
        Case,
        env::{Env, eventually},
    },
    ui,
    webhook::NAME,
};

/// Rotations that are awaited.
const ROTATIONS: usize = 3;
/// Longest time for them: each begins 12 s after the one before it.
const PATIENCE: Duration = Duration::from_secs(75);
/// Ten requests a second.
const PERIOD: Duration = Duration::from_millis(100);
/// Values by which a rotation takes seconds: two replicas, so that one serves what the other has made.
const ACCELERATED: [&str; 3] = [
    "webhook.certificates.validity=18s",
    "webhook.certificates.overlap=3s",
    "webhook.replicas=2",
];
/// What the stack has otherwise.
const AS_BEFORE: [&str; 3] = [
    "webhook.certificates.validity=720h",
    "webhook.certificates.overlap=1h",
    "webhook.replicas=1",
];

/// Cases of this file.
pub fn cases() -> Vec<Case> {
    cases![true; three_rotations_of_the_certificate_refuse_nobody]
}

async fn three_rotations_of_the_certificate_refuse_nobody(env: &Env) -> Result<()> {
    let stack = env.stack.clone();
    env.afterwards(async move { stack.restore_webhook(&AS_BEFORE).await });
    let load = Load::begin(env).await?;
    env.stack.reconfigure_webhook(&ACCELERATED).await?;
    let rotated = rotations(env).await;
    // The way back is another rollout, under the same load; what was made for seconds is replaced in time as well.
    let restored = env.stack.restore_webhook(&AS_BEFORE).await;
    let lasting = lasting(env).await;
    let (asked, failed) = load.end().await;
    rotated?;
    restored?;
    lasting?;
    ui::print(&format!(
        "        {asked} requests during {ROTATIONS} rotations and two rollouts"
    ));
    ensure!(
        failed.is_empty(),
        "{} of {asked} requests failed, the first of them: {}",
        failed.len(),
        failed.iter().take(5).cloned().collect::<Vec<_>>().join("; ")
    );
    Ok(())
}

/// Waits until the certificate was replaced so often, and the last rotation is over.
async fn rotations(env: &Env) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(env.client.clone(), NAMESPACE);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut seen = BTreeSet::new();
    loop {
        let secret = secrets.get("plexica-webhooks-certificates").await?;
        let data = secret.data.unwrap_or_default();
        let certificate = data.get("tls.crt").context("there is no certificate")?;
        seen.insert(certificate.0.clone());
        if seen.len() > ROTATIONS && !data.contains_key("previous-ca.crt") {
            return Ok(());
        }
        ensure!(
            tokio::time::Instant::now() < deadline,
            "{} rotations within {} s",
            seen.len() - 1,
            PATIENCE.as_secs()
        );
        sleep(Duration::from_millis(200)).await;
    }
}

/// Waits until a certificate is served that was not made for seconds.
async fn lasting(env: &Env) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(env.client.clone(), NAMESPACE);
    eventually("a lasting certificate", PATIENCE, || async {
        let secret = secrets.get("plexica-webhooks-certificates").await?;
        let data = secret.data.unwrap_or_default();
        let certificate = data.get("tls.crt").context("there is no certificate")?;
        let (_, pem) = x509_parser::pem::parse_x509_pem(&certificate.0)?;
        let left = pem.parse_x509()?.validity().time_to_expiration();
        let left = left.context("the certificate has ended")?;
        ensure!(left > Duration::from_hours(1), "it ends in {left:?}");
        Ok(())
    })
    .await
}

/// Requests through the API server and, on a new connection each, to the webhook itself.
struct Load {
    over: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    async fn begin(env: &Env) -> Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let asked = Arc::new(AtomicUsize::new(0));
        let services: Api<Service> = Api::namespaced(env.client.clone(), NAMESPACE);
        let address = services.get(NAME).await?.spec.and_then(|spec| spec.cluster_ip);
        let address = SocketAddr::new(address.context("the Service has no address")?.parse()?, 443);
        let mut tasks = vec![];
        for direct in [false, true] {
            let (env, over, asked) = (env.clone(), Arc::clone(&over), Arc::clone(&asked));
            tasks.push(tokio::spawn(async move {
                let mut failed = vec![];
                let mut tick = interval(PERIOD);
                tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while !over.load(Ordering::Relaxed) {
                    tick.tick().await;
                    let answered = if direct {
                        handshake(&env, address).await
                    } else {
                        ask(&env).await
                    };
                    asked.fetch_add(1, Ordering::Relaxed);
                    failed.extend(
                        answered
                            .err()
                            .map(|error| format!("{} {error:#}", jiff::Timestamp::now())),
                    );
                }
                failed
            }));
        }
        Ok(Self { over, asked, tasks })
    }

    /// How many there were, and what went wrong.
    async fn end(self) -> (usize, Vec<String>) {
        self.over.store(true, Ordering::Relaxed);
        let mut failed = vec![];
        for task in self.tasks {
            match task.await {
                Ok(more) => failed.extend(more),
                Err(error) => failed.push(error.to_string()),
            }
        }
        (self.asked.load(Ordering::Relaxed), failed)
    }
}

/// Makes two objects that are not kept, by which two of the webhooks are asked.
async fn ask(env: &Env) -> Result<()> {
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let tenant: Tenant = serde_json::from_value(json!({
        "apiVersion": "plexica.io/v1alpha1", "kind": "Tenant", "metadata": { "name": "loaded" },
        "spec": { "displayName": "Load" },
    }))?;
    let installation: PluginInstallation = serde_json::from_value(json!({
        "apiVersion": "plexica.io/v1alpha1", "kind": "PluginInstallation",
        "metadata": { "name": "loaded", "namespace": "default" }, "spec": {},
    }))?;
    let installations: Api<PluginInstallation> = Api::namespaced(env.client.clone(), "default");
    tokio::try_join!(
        async { env.tenants().create(&dry, &tenant).await.context("a tenant") },
        async {
            installations
                .create(&dry, &installation)
                .await
                .context("an installation")
        },
    )?;
    Ok(())
}

/// Asks the webhook as an API server does which trusts whom the configuration names now.
async fn handshake(env: &Env, address: SocketAddr) -> Result<()> {
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(env.client.clone());
    let configuration = configurations.get(NAME).await?;
    let webhook = configuration.webhooks.and_then(|mut webhooks| webhooks.pop());
    let bundle = webhook.and_then(|webhook| webhook.client_config.ca_bundle);
    let bundle = bundle.context("the configuration names nobody to trust")?;
    let host = format!("{NAME}.{NAMESPACE}.svc");
    let client = reqwest::Client::builder()
        .tls_certs_only(reqwest::Certificate::from_pem_bundle(&bundle.0)?)
        .resolve(&host, address)
        .timeout(Duration::from_secs(3))
        .build()?;
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": { "uid": "load", "name": "loaded", "operation": "CREATE", "userInfo": {},
            "kind": { "group": "plexica.io", "version": "v1alpha1", "kind": "Tenant" },
            "resource": { "group": "plexica.io", "version": "v1alpha1", "resource": "tenants" },
            "object": null, "oldObject": null },
    });
    let answer: Value = client
        .post(format!("https://{host}/tenants"))
        .json(&review)
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    if answer["response"]["allowed"] != true {
        bail!("it answers {answer}");
    }
    Ok(())
}
