//! The node `node0`: containerd, the kubelet and kube-proxy.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use serde_json::json;
use tokio::process::Command;

use crate::host::command;
use crate::host::network::{self, NODE, PODS};
use crate::host::process::Launch;
use crate::host::{cgroup, mounts};
use crate::layout::{self, Layout};
use crate::parts::kubernetes::{self, NODE_NAME};
use crate::parts::{Context, Part};
use crate::pki::{kubeconfig, pair};
use crate::tools::{go, image};

/// The sandbox image of every pod.
const PAUSE_IMAGE: &str = "plexica.io/pause:dev";
/// containerd's namespace for Kubernetes.
const IMAGES: &str = "k8s.io";
/// Health of the kubelet.
const KUBELET_HEALTH_PORT: u16 = 10248;
/// Health of kube-proxy.
const PROXY_HEALTH_PORT: u16 = 10256;

/// containerd with everything of its own inside the state, the sandbox image imported.
pub async fn containerd(context: &Context) -> Result<()> {
    let layout = &context.layout;
    let folder = layout.state_dir("containerd")?;
    let config = folder.join("config.toml");
    let networks = folder.join("cni");
    let launch = Launch::new("containerd")
        .args([format!("--config={}", config.display())])
        .on_node()
        .configured_by(&config, containerd_config(layout).as_bytes())?
        .configured_by(
            &networks.join("10-plexica.conflist"),
            &serde_json::to_vec_pretty(&pod_network())?,
        )?;
    context
        .ui
        .step("containerd", async |step| {
            let socket = socket(layout);
            let ready = async || {
                tokio::net::UnixStream::connect(&socket)
                    .await
                    .context("containerd's socket is not there")?;
                Ok(())
            };
            context.ensure(Part::Containerd, step, &launch, ready).await?;
            if !has_image(layout, PAUSE_IMAGE).await? {
                import(layout, PAUSE_IMAGE, &context.tools.pause().await?).await?;
            }
            Ok(())
        })
        .await
}

fn containerd_config(layout: &Layout) -> String {
    let folder = layout.state.join("containerd");
    let folder = folder.display();
    format!(
        r#"version = 2
root = "{folder}/root"
state = "{folder}/state"
oom_score = 0
[grpc]
address = "{folder}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
# Containers may not be given a better score than this process has; without privileges over /proc that would fail.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{folder}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
"#
    )
}

/// `ptp`, not `bridge`: a pod that calls a Service whose endpoint is on the same node must pass the node's address
/// translation both ways. Behind a bridge the answer would take the short way, unless the kernel has `br_netfilter`.
fn pod_network() -> serde_json::Value {
    json!({
        "cniVersion": "0.4.0",
        "name": "plexica",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": false,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{ "subnet": PODS }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    })
}

/// The kubelet, and its node Ready.
pub async fn kubelet(context: &Context) -> Result<()> {
    let program = context.tools.go(go::KUBERNETES).await?.join("kubelet");
    let layout = &context.layout;
    let folder = layout.state_dir("kubelet")?;
    let config = folder.join("config.json");
    let resolv = folder.join("resolv.conf");
    layout::write(&resolv, format!("nameserver {NODE}\n").as_bytes())?;
    let serving = pair(layout, "kubelet-server");
    let settings = serde_json::to_vec_pretty(&json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE,
        "authentication": { "anonymous": { "enabled": false }, "webhook": { "enabled": true },
            "x509": { "clientCAFile": pair(layout, "ca").certificate } },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": serving.certificate,
        "tlsPrivateKeyFile": serving.key,
        "containerRuntimeEndpoint": format!("unix://{}", socket(layout).display()),
        "clusterDNS": [NODE],
        "clusterDomain": "cluster.local",
        "resolvConf": resolv,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", cgroup::ROOT),
        "failCgroupV1": false,
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": false,
        "evictionHard": {},
        "enableControllerAttachDetach": false,
        "failSwapOn": false,
        "makeIPTablesUtilChains": false,
        // Nobody could pull an image again.
        "imageGCHighThresholdPercent": 100,
        "volumePluginDir": folder.join("plugins"),
        "maxPods": 250,
        "logging": { "verbosity": 1 },
    }))?;
    let launch = Launch::new(program)
        .args([
            format!("--config={}", config.display()),
            format!("--kubeconfig={}", kubeconfig(layout, "kubelet").display()),
            format!("--hostname-override={NODE_NAME}"),
            format!("--node-ip={NODE}"),
        ])
        .on_node()
        .configured_by(&config, &settings)?;
    let nodes: Api<Node> = Api::all(kubernetes::kube_client(context).await?);
    context
        .ui
        .step("kubelet", async |step| {
            let ready = async || {
                // The node's condition alone would be that of an earlier kubelet.
                network::listens(SocketAddr::from((Ipv4Addr::LOCALHOST, KUBELET_HEALTH_PORT))).await?;
                let node = nodes.get(NODE_NAME).await?;
                let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
                let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
                let ready = ready.context("the node has no Ready condition yet")?;
                anyhow::ensure!(ready.status == "True", "{}", ready.message.clone().unwrap_or_default());
                Ok(())
            };
            context.ensure(Part::Kubelet, step, &launch, ready).await
        })
        .await
}

/// kube-proxy with nftables, which needs no iptables modules of the kernel.
pub async fn proxy(context: &Context) -> Result<()> {
    let program = context.tools.go(go::KUBERNETES).await?.join("kube-proxy");
    let layout = &context.layout;
    let config = layout.state_dir("kube-proxy")?.join("config.json");
    let settings = serde_json::to_vec_pretty(&json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": { "kubeconfig": kubeconfig(layout, "kube-proxy") },
        "hostnameOverride": NODE_NAME,
        "clusterCIDR": PODS,
        "bindAddress": "0.0.0.0",
        "healthzBindAddress": format!("{NODE}:{PROXY_HEALTH_PORT}"),
        "metricsBindAddress": "127.0.0.1:10249",
        // These would be set for the whole machine, not for the namespace alone.
        "conntrack": { "maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" },
    }))?;
    let launch = Launch::new(program)
        .args([format!("--config={}", config.display())])
        .on_node()
        .configured_by(&config, &settings)?;
    context
        .ui
        .step("kube-proxy", async |step| {
            let ready = async || network::listens(SocketAddr::from((NODE, PROXY_HEALTH_PORT))).await;
            context.ensure(Part::KubeProxy, step, &launch, ready).await
        })
        .await
}

/// Whether containerd has an image.
pub async fn has_image(layout: &Layout, reference: &str) -> Result<bool> {
    let mut list = ctr(layout);
    list.args(["images", "list", "--quiet", &format!("name=={reference}")]);
    Ok(!command::pipe(list, &[]).await?.trim().is_empty())
}

/// Packs a static binary as an image and gives it to containerd.
pub async fn import(layout: &Layout, reference: &str, binary: &std::path::Path) -> Result<()> {
    let (name, file) = (reference.to_owned(), binary.to_owned());
    let archive = tokio::task::spawn_blocking(move || image::pack(&name, &file)).await??;
    let mut import = ctr(layout);
    import.args(["images", "import", "-"]);
    command::pipe(import, &archive)
        .await
        .with_context(|| format!("cannot import the image {reference}"))?;
    Ok(())
}

fn ctr(layout: &Layout) -> Command {
    let mut ctr = Command::new("ctr");
    ctr.arg("--address").arg(socket(layout)).args(["--namespace", IMAGES]);
    ctr
}

fn socket(layout: &Layout) -> PathBuf {
    layout.state.join("containerd/containerd.sock")
}

/// Where the logs of pods are found on the host.
pub fn pod_logs(layout: &Layout) -> PathBuf {
    mounts::seen_from_host(layout, "/var/log/pods")
}
