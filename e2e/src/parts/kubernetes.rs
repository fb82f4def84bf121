//! The control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Result;

use crate::host::network::{self, EVERYTHING, NODE, SERVICES};
use crate::host::process::Launch;
use crate::parts::{Context, Part};
use crate::pki::{kubeconfig, pair};
use crate::tools::go;

/// Port of the API server.
pub const API_PORT: u16 = 6443;
/// Name of the only node.
pub const NODE_NAME: &str = "node0";

const ETCD_PORT: u16 = 2379;
const ETCD_PEER_PORT: u16 = 2380;
const CONTROLLER_MANAGER_PORT: u16 = 10257;
const SCHEDULER_PORT: u16 = 10259;

/// Metadata of every request, once it is answered.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
";

/// etcd on the namespace's loopback. Nothing is synced to disk: the cluster is thrown away anyway.
pub async fn etcd(context: &Context) -> Result<()> {
    let program = context.tools.go(go::ETCD).await?.join("etcd");
    let data = context.layout.state_dir("etcd")?;
    let client = format!("http://127.0.0.1:{ETCD_PORT}");
    let launch = Launch::new(program).args([
        "--name=node0".to_owned(),
        format!("--data-dir={}", data.display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls=http://127.0.0.1:{ETCD_PEER_PORT}"),
        format!("--initial-advertise-peer-urls=http://127.0.0.1:{ETCD_PEER_PORT}"),
        format!("--initial-cluster=node0=http://127.0.0.1:{ETCD_PEER_PORT}"),
        "--unsafe-no-fsync".to_owned(),
        "--auto-compaction-retention=10m".to_owned(),
        "--quota-backend-bytes=8589934592".to_owned(),
        "--log-level=warn".to_owned(),
    ]);
    context
        .ui
        .step("etcd", async |step| {
            context
                .ensure(Part::Etcd, step, &launch, async || listens(ETCD_PORT).await)
                .await
        })
        .await
}

/// The API server. Its limits on requests in flight are far above what a development stack needs, so that benchmarks
/// measure the operator and not the limits.
pub async fn apiserver(context: &Context) -> Result<()> {
    let program = context.tools.go(go::KUBERNETES).await?.join("kube-apiserver");
    let policy = context.layout.state.join("audit-policy.yaml");
    let layout = &context.layout;
    let ca = pair(layout, "ca").certificate;
    let server = pair(layout, "kube-apiserver");
    let kubelet = pair(layout, "kube-apiserver-kubelet-client");
    let accounts = pair(layout, "service-accounts");
    let launch = Launch::new(program)
        .args([
            format!("--advertise-address={NODE}"),
            format!("--bind-address={NODE}"),
            format!("--secure-port={API_PORT}"),
            format!("--etcd-servers=http://127.0.0.1:{ETCD_PORT}"),
            format!("--service-cluster-ip-range={SERVICES}"),
            flag("client-ca-file", &ca),
            flag("tls-cert-file", &server.certificate),
            flag("tls-private-key-file", &server.key),
            flag("kubelet-certificate-authority", &ca),
            flag("kubelet-client-certificate", &kubelet.certificate),
            flag("kubelet-client-key", &kubelet.key),
            flag("service-account-key-file", &accounts.certificate),
            flag("service-account-signing-key-file", &accounts.key),
            flag("audit-policy-file", &policy),
            flag("audit-log-path", &layout.audit_log()),
        ])
        .args([
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            // Names do not resolve here: without it logs, exec and port-forward fail.
            "--kubelet-preferred-address-types=InternalIP",
            "--allow-privileged=true",
            "--max-requests-inflight=3000",
            "--max-mutating-requests-inflight=1500",
            "--audit-log-maxsize=1024",
            "--audit-log-maxbackup=4",
            "--profiling=false",
        ])
        .configured_by(&policy, AUDIT_POLICY.as_bytes())?;
    let client = kube_client(context).await?;
    context
        .ui
        .step("kube-apiserver", async |step| {
            context
                .ensure(Part::KubeApiserver, step, &launch, async || {
                    client.request_text(http_get("/readyz")?).await?;
                    Ok(())
                })
                .await
        })
        .await
}

/// The controllers, without leader election: there is one, and it shall start at once.
pub async fn controller_manager(context: &Context) -> Result<()> {
    let program = context.tools.go(go::KUBERNETES).await?.join("kube-controller-manager");
    let layout = &context.layout;
    let own = kubeconfig(layout, "kube-controller-manager");
    let ca = pair(layout, "ca");
    let launch = Launch::new(program)
        .args([
            flag("kubeconfig", &own),
            flag("authentication-kubeconfig", &own),
            flag("authorization-kubeconfig", &own),
            flag("root-ca-file", &ca.certificate),
            flag("cluster-signing-cert-file", &ca.certificate),
            flag("cluster-signing-key-file", &ca.key),
            flag(
                "service-account-private-key-file",
                &pair(layout, "service-accounts").key,
            ),
            format!("--cluster-cidr={EVERYTHING}"),
            format!("--service-cluster-ip-range={SERVICES}"),
        ])
        .args([
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
            "--use-service-account-credentials=true",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
            "--profiling=false",
        ]);
    context
        .ui
        .step("kube-controller-manager", async |step| {
            let ready = async || listens(CONTROLLER_MANAGER_PORT).await;
            context.ensure(Part::KubeControllerManager, step, &launch, ready).await
        })
        .await
}

/// The scheduler.
pub async fn scheduler(context: &Context) -> Result<()> {
    let program = context.tools.go(go::KUBERNETES).await?.join("kube-scheduler");
    let own = kubeconfig(&context.layout, "kube-scheduler");
    let launch = Launch::new(program)
        .args([
            flag("kubeconfig", &own),
            flag("authentication-kubeconfig", &own),
            flag("authorization-kubeconfig", &own),
        ])
        .args([
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
        ]);
    context
        .ui
        .step("kube-scheduler", async |step| {
            let ready = async || listens(SCHEDULER_PORT).await;
            context.ensure(Part::KubeScheduler, step, &launch, ready).await
        })
        .await
}

/// A client with the administrator's kubeconfig.
pub async fn kube_client(context: &Context) -> Result<kube::Client> {
    crate::stack::kube_client(&context.layout).await
}

/// A GET request of a path of the API server.
pub fn http_get(path: &str) -> Result<http::Request<Vec<u8>>> {
    Ok(http::Request::get(path).body(Vec::new())?)
}

fn flag(name: &str, value: &Path) -> String {
    format!("--{name}={}", value.display())
}

async fn listens(port: u16) -> Result<()> {
    network::listens(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
}
