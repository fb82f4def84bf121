//! The operator on the cluster: namespaces and Services of the backends, its Secrets, its image, its two charts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::credentials::{OPERATOR, OPERATOR_ROLE};
use crate::failure::Failure;
use crate::host::command;
use crate::layout::{self, Layout, key};
use crate::parts::{Context, kubernetes, node};
use crate::tools::operator::{self, OperatorBinaries};
use crate::tools::{Tools, go};
use crate::ui::Step;
use crate::{wait, webhook};

/// Namespace of the operator.
pub const NAMESPACE: &str = "plexica-system";
/// Release and Deployment of the operator.
pub const RELEASE: &str = "plexica-operator";
/// Release of the custom resource definitions.
const CRD_RELEASE: &str = "plexica-crds";
/// The image of the operator and that of its webhook, without their tags.
const IMAGES: [&str; 2] = ["plexica.io/operator", "plexica.io/webhooks"];
/// Values of the operator's chart on this stack.
const VALUES: &str = "e2e/stack-values.yaml";
/// Longest time for the operator's pod to become ready.
const PATIENCE: Duration = Duration::from_secs(90);

/// Namespaces, the backends' Services and the operator's Secrets.
pub async fn prepare(context: &Context) -> Result<()> {
    context
        .ui
        .step("services and secrets", async |step| {
            step.says("kubectl apply");
            let mut objects = vec![include_str!("../manifests/cluster.yaml").to_owned()];
            objects.extend(secrets(context).iter().map(ToString::to_string));
            let mut apply = kubectl(&context.tools).await?;
            apply.args(["apply", "--server-side", "--force-conflicts", "--filename=-"]);
            command::pipe(apply, objects.join("\n---\n").as_bytes()).await?;
            step.result("applied");
            Ok(())
        })
        .await
}

fn secrets(context: &Context) -> [Value; 3] {
    let credentials = &context.credentials;
    let secret = |name: &str, data: Value| {
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "namespace": NAMESPACE },
            "stringData": data })
    };
    [
        secret(
            "postgres-main",
            json!({ "username": OPERATOR_ROLE, "password": credentials.postgres_operator.expose_secret() }),
        ),
        secret(
            "keycloak-main",
            json!({ "clientId": OPERATOR, "clientSecret": credentials.keycloak_operator.expose_secret() }),
        ),
        secret(
            "s3-main",
            json!({ "accessKeyId": OPERATOR, "secretAccessKey": credentials.s3_operator.expose_secret() }),
        ),
    ]
}

/// What the chart's pods will need: their images in containerd, the custom resource definitions in the cluster. Returns
/// the options that name the images.
pub async fn prepare_operator(context: &Context, binaries: &OperatorBinaries) -> Result<[String; 2]> {
    context
        .ui
        .step("image and definitions", async |step| {
            let layout = &context.layout;
            let OperatorBinaries { operator, webhooks } = binaries;
            let tags = [operator::tag(operator)?, operator::tag(webhooks)?];
            for ((name, tag), binary) in IMAGES.iter().zip(&tags).zip([operator, webhooks]) {
                let image = format!("{name}:{tag}");
                if !node::has_image(layout, &image).await? {
                    step.says(&format!("importing {image}"));
                    node::import(layout, &image, binary).await?;
                }
            }
            install(context, step, CRD_RELEASE, &[]).await?;
            step.result(format!("{}:{}", IMAGES[0], tags[0]));
            let [operator, webhooks] = tags;
            Ok([
                format!("--set=image.tag={operator}"),
                format!("--set=webhook.image.tag={webhooks}"),
            ])
        })
        .await
}

/// The operator's chart with those images, and its pods ready.
pub async fn deploy(context: &Context, images: &[String; 2]) -> Result<()> {
    context
        .ui
        .step("operator", async |step| {
            let values = context.layout.repository.join(VALUES);
            let [operator, webhooks] = images.clone();
            let options = [format!("--values={}", values.display()), operator, webhooks];
            install(context, step, RELEASE, &options).await?;
            step.says("waiting for the pods");
            step.result("ready");
            wait_ready(context).await?;
            webhook::wait_ready(&context.layout).await
        })
        .await
}

/// Installs or upgrades a chart, unless it is deployed with these options and these files.
async fn install(context: &Context, step: &Step, release: &str, options: &[String]) -> Result<()> {
    let deployed = deployed(&context.layout, release);
    let wanted = fingerprint(&context.layout, release, options)?;
    if std::fs::read_to_string(&deployed).ok().as_ref() == Some(&wanted) {
        return Ok(());
    }
    step.says(&format!("helm upgrade {release}"));
    helm(context, release, options).await?;
    layout::write(&deployed, wanted.as_bytes())
}

/// Where it is noted what a release was made of.
pub fn deployed(layout: &Layout, release: &str) -> PathBuf {
    layout.state.join("deployed").join(release)
}

/// Installs or upgrades a chart.
pub async fn helm(context: &Context, release: &str, options: &[String]) -> Result<()> {
    let mut helm = command::inside_cgroup(context.tools.go(go::HELM).await?.join("helm"))?;
    helm.args([
        "upgrade",
        "--install",
        "--wait=false",
        "--namespace",
        NAMESPACE,
        release,
    ])
    .arg(context.layout.repository.join("charts").join(release))
    .args(options)
    .env("KUBECONFIG", context.layout.kubeconfig())
    // Its caches and settings: nothing of the user's.
    .env("HELM_CACHE_HOME", context.layout.state_dir("helm/cache")?)
    .env("HELM_CONFIG_HOME", context.layout.state_dir("helm/config")?)
    .env("HELM_DATA_HOME", context.layout.state_dir("helm/data")?);
    let advice = format!("repair charts/{release}: `helm template` shows what it makes");
    command::run(&context.layout, "helm", helm, &advice).await
}

async fn wait_ready(context: &Context) -> Result<()> {
    let client = kubernetes::kube_client(context).await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let pods: Api<Pod> = Api::namespaced(client, NAMESPACE);
    let ready = wait::until("the operator's pod", PATIENCE, async || {
        let refusal = match rolled_out(&deployments.get(RELEASE).await?) {
            Ok(()) => return Ok(Ok(())),
            Err(refusal) => refusal,
        };
        // A pod that ends again and again will not become ready by waiting.
        match restarts(&pods).await? {
            0..3 => Err(refusal),
            restarts => Ok(Err(anyhow::anyhow!("the operator ended by itself {restarts} times"))),
        }
    })
    .await;
    ready.flatten().map_err(|refusal| {
        let advice = "`cargo dev kubectl -n plexica-system describe pod` and `cargo dev logs operator` tell why";
        let failure = Failure::new(format!("{refusal:#}"), advice);
        match operator_log(&context.layout) {
            Some(log) => failure.with_log(log).into(),
            None => failure.into(),
        }
    })
}

/// Whether the operator's pod is ready.
pub async fn operator_is_ready(layout: &Layout) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(crate::stack::kube_client(layout).await?, NAMESPACE);
    let asked = tokio::time::timeout(Duration::from_secs(5), deployments.get(RELEASE));
    rolled_out(&asked.await.context("the cluster does not answer")??)
}

/// Whether the pods of a Deployment are all of its present template, and ready.
pub fn rolled_out(deployment: &Deployment) -> Result<()> {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let status = deployment.status.as_ref().context("no status yet")?;
    anyhow::ensure!(
        status.observed_generation == deployment.metadata.generation,
        "not seen by its controller yet"
    );
    let (all, updated) = (status.replicas.unwrap_or(0), status.updated_replicas.unwrap_or(0));
    let ready = status.ready_replicas.unwrap_or(0);
    anyhow::ensure!(
        updated == wanted && all == wanted && ready == wanted,
        "{ready} of {wanted} pods are ready"
    );
    Ok(())
}

/// How often the newest pod of the operator ended by itself.
async fn restarts(pods: &Api<Pod>) -> Result<i32> {
    let pods = pods.list(&ListParams::default()).await?.items;
    let own = pods.into_iter().filter(|pod| pod.name_any().starts_with(RELEASE));
    let newest = own.max_by_key(ResourceExt::creation_timestamp);
    let containers = newest
        .and_then(|pod| pod.status?.container_statuses)
        .unwrap_or_default();
    Ok(containers
        .iter()
        .map(|container| container.restart_count)
        .max()
        .unwrap_or(0))
}

/// kubectl with the administrator's kubeconfig.
pub async fn kubectl(tools: &Tools) -> Result<Command> {
    let mut kubectl = Command::new(tools.go(go::KUBERNETES).await?.join("kubectl"));
    kubectl.env("KUBECONFIG", tools.layout.kubeconfig());
    Ok(kubectl)
}

/// Log of the operator's newest pod, as the kubelet writes it.
pub fn operator_log(layout: &Layout) -> Option<PathBuf> {
    let pods = std::fs::read_dir(node::pod_logs(layout)).ok()?.flatten();
    let own = pods.filter(|entry| {
        entry
            .file_name()
            .to_string_lossy()
            .starts_with(&format!("{NAMESPACE}_{RELEASE}-"))
    });
    let files = own
        .flat_map(|pod| std::fs::read_dir(pod.path()).into_iter().flatten().flatten())
        .flat_map(|container| std::fs::read_dir(container.path()).into_iter().flatten().flatten())
        .map(|file| file.path());
    files.max_by_key(|file| file.metadata().and_then(|data| data.modified()).ok())
}

/// What a deployment is made of: the options, the values and every file of the chart.
fn fingerprint(layout: &Layout, release: &str, options: &[String]) -> Result<String> {
    let folder = layout.repository.join("charts").join(release);
    if !folder.join("Chart.yaml").exists() {
        let advice = "charts/ is part of the repository: look at `git status`";
        return Err(Failure::new(format!("there is no chart {release}"), advice).into());
    }
    let mut files = vec![layout.repository.join(VALUES)];
    list(&folder, &mut files)?;
    files.sort();
    let mut content = vec![options.join(" ").into_bytes()];
    for file in files {
        content.push(file.display().to_string().into_bytes());
        content.push(std::fs::read(file)?);
    }
    let parts: Vec<_> = content.iter().map(Vec::as_slice).collect();
    Ok(key(&parts))
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
