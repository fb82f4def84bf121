//! Fake nodes that take all new pods, and kwok, which plays their kubelets.

use std::{fs::File, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::process::Child;

use crate::{
    host::{command, network},
    layout::Layout,
    parts::kubernetes::NODE_NAME,
    suite::env::{Env, eventually},
    tools::{Tools, go},
    ui::Ui,
};

/// Label of the fake nodes.
const LABEL: &str = "plexica.io/bench";
/// Its value.
const VALUE: &str = "scale";
/// Pods on each; two slots of an installation may have one at a time.
const PODS_PER_NODE: usize = 250;
/// Addresses of the fake nodes' pods: within the stack's range, and nobody's. Nothing is sent there.
const PODS: &str = "198.18.128.0/18";
/// Address that the fake nodes say they have.
const ADDRESS: &str = "198.18.127.1";
/// Longest wait until they are Ready.
const PATIENCE: Duration = Duration::from_mins(1);

/// Fake nodes. At the end of the benchmark they go, and the real node takes pods again.
pub struct Nodes {
    api: Api<Node>,
    names: Vec<String>,
}

impl Nodes {
    /// Makes enough for so many installations, and lets them take all new pods.
    pub async fn begin(env: &Env, ui: &Ui, installations: usize) -> Result<Self> {
        let tools = Tools::new(env.stack.layout().clone(), ui.clone());
        let program = tools.go(go::KWOK).await?.join("kwok");
        let mut kwok = start(env.stack.layout(), &program)?;
        let count = (installations * 2).div_ceil(PODS_PER_NODE) + 1;
        let nodes = Self {
            api: Api::all(env.client.clone()),
            names: (0..count).map(|index| format!("{VALUE}-{index}")).collect(),
        };
        let api = nodes.api.clone();
        // After everything else: pods on fake nodes end by kwok's doing.
        env.afterwards(async move {
            set_schedulable(&api, NODE_NAME, true).await?;
            let fake = ListParams::default().labels(&format!("{LABEL}={VALUE}"));
            api.delete_collection(&DeleteParams::default(), &fake).await?;
            kwok.kill().await.context("kwok")
        });
        ui.step("fake nodes", async |step| {
            for name in &nodes.names {
                nodes.make(name).await?;
            }
            eventually("the fake nodes", PATIENCE, async || nodes.are_ready().await).await?;
            nodes.take_all_pods(true).await?;
            step.result(format!("{count} ready, {NODE_NAME} takes no new pods"));
            Ok(())
        })
        .await?;
        Ok(nodes)
    }

    /// Does something while new pods are placed on the real node.
    pub async fn with_the_real_one<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.take_all_pods(false).await?;
        let result = work.await;
        self.take_all_pods(true).await?;
        result
    }

    /// Whether the fake nodes take all new pods, or the real one does.
    async fn take_all_pods(&self, fake: bool) -> Result<()> {
        for name in &self.names {
            set_schedulable(&self.api, name, fake).await?;
        }
        set_schedulable(&self.api, NODE_NAME, !fake).await
    }

    async fn make(&self, name: &str) -> Result<()> {
        if self.api.get_opt(name).await?.is_some() {
            // Of an interrupted run.
            return Ok(());
        }
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": name, "labels": { LABEL: VALUE, "kubernetes.io/hostname": name } },
        });
        let node = serde_json::from_value(node)?;
        self.api.create(&PostParams::default(), &node).await?;
        Ok(())
    }

    async fn are_ready(&self) -> Result<()> {
        let fake = ListParams::default().labels(&format!("{LABEL}={VALUE}"));
        for node in self.api.list(&fake).await? {
            let status = node.status.clone().unwrap_or_default();
            let mut conditions = status.conditions.iter().flatten();
            let ready = conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True");
            ensure!(ready, "{} is not Ready; kwok's log tells more", node.name_any());
        }
        Ok(())
    }
}

async fn set_schedulable(api: &Api<Node>, name: &str, schedulable: bool) -> Result<()> {
    let patch: Value = json!({ "spec": { "unschedulable": if schedulable { None } else { Some(true) } } });
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

/// Starts kwok. It is in a process group of its own, so that Ctrl-C leaves it until the pods have ended, and dies with us.
fn start(layout: &Layout, program: &std::path::Path) -> Result<Child> {
    layout.state_dir("logs")?;
    let log = File::options().create(true).append(true).open(layout.log("kwok"))?;
    let mut kwok = command::inside_cgroup("nsenter")?;
    kwok.arg(format!("--net={}", network::namespace_file().display()))
        .args(["setpriv", "--pdeathsig", "KILL"])
        .arg(program)
        .arg(format!("--kubeconfig={}", layout.kubeconfig().display()))
        .arg(format!(
            "--config={}",
            layout.repository.join("e2e/manifests/kwok.yaml").display()
        ))
        .arg(format!("--manage-nodes-with-label-selector={LABEL}={VALUE}"))
        .arg(format!("--cidr={PODS}"))
        .arg(format!("--node-ip={ADDRESS}"))
        // Renewed in time: else Kubernetes takes the nodes for dead after 40 seconds.
        .args(["--node-lease-duration-seconds=40", "-v=WARN"])
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0);
    kwok.spawn().context("cannot start kwok")
}
