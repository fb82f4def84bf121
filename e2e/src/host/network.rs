//! The network namespace `plexica` in which everything runs, joined to the host by one veth pair.
//!
//! 198.18.0.0/15 is the benchmarking range of RFC 2544: neither private nor public, so it meets no network of anybody.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};

use crate::host::command::script;
use crate::layout::{self, Layout};

/// Name of the network namespace.
pub const NAMESPACE: &str = "plexica";
/// The node, and every backend: the namespace's end of the veth pair.
pub const NODE: Ipv4Addr = Ipv4Addr::new(198, 18, 255, 2);
/// Where Envoy listens: an address of its own beside the node's, since Contour lets it listen at 8080 for a Gateway's port
/// 80 (the listener's port + 8000, whatever it is), and 8080 is Keycloak's there.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(198, 18, 254, 1);
/// Where the Gateway is reached at its own port 80: the Service `gateway` (manifests/cluster.yaml) in front of Envoy.
pub const GATEWAY_SERVICE: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 80);
/// The host's end of the veth pair: where the tests' fault proxy listens.
pub const HOST: Ipv4Addr = Ipv4Addr::new(198, 18, 255, 1);
/// Everything inside: pods, Services and the veth pair.
pub const EVERYTHING: &str = "198.18.0.0/15";
/// Addresses of pods.
pub const PODS: &str = "198.18.0.0/24";
/// Addresses of Services.
pub const SERVICES: &str = "198.19.0.0/16";
/// The Service `kubernetes`: the first address of [`SERVICES`].
pub const KUBERNETES_SERVICE: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 1);

const HOST_LINK: &str = "plexica0";
const NODE_LINK: &str = "plexica1";

/// Makes the namespace, its links and the host's route to it, unless they are complete already.
pub async fn create(layout: &Layout) -> Result<()> {
    let complete = layout.state.join("network-complete");
    if complete.exists() && namespace_file().exists() {
        // A stack that older sources have made lacks it.
        return add_gateway().await;
    }
    remove().await?;
    if !Path::new("/run/netns").exists() {
        super::mounts::record_created(layout, Path::new("/run/netns"))?;
    }
    script(&format!(
        "ip netns add {NAMESPACE}
         ip link add {HOST_LINK} type veth peer name {NODE_LINK} netns {NAMESPACE}
         ip address add {HOST}/30 dev {HOST_LINK}
         ip link set {HOST_LINK} up
         ip -n {NAMESPACE} link set lo up
         ip -n {NAMESPACE} address add {NODE}/30 dev {NODE_LINK}
         ip -n {NAMESPACE} link set {NODE_LINK} up
         ip -n {NAMESPACE} route add default via {HOST}
         nsenter --net={} sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
         ip route add {EVERYTHING} via {NODE} dev {HOST_LINK}",
        namespace_file().display()
    ))
    .await
    .context("cannot make the network namespace")?;
    add_gateway().await?;
    layout::write(&complete, b"")
}

async fn add_gateway() -> Result<()> {
    script(&format!(
        "ip -n {NAMESPACE} address replace {GATEWAY}/32 dev {NODE_LINK}"
    ))
    .await
    .context("cannot give the Gateway its address")
}

/// Removes the namespace, the links and the route.
pub async fn remove() -> Result<()> {
    script(&format!(
        "ip link delete {HOST_LINK} 2>/dev/null || true
         if [ -e {file} ]; then ip netns delete {NAMESPACE}; fi",
        file = namespace_file().display()
    ))
    .await
    .context("cannot remove the network namespace")
}

/// File by which the namespace is entered. Use `nsenter --net=`, not `ip netns exec`: that one mounts a fresh /sys and
/// hides the cgroups from containerd and the kubelet.
pub fn namespace_file() -> PathBuf {
    Path::new("/run/netns").join(NAMESPACE)
}

/// Does something as if from inside the namespace: its loopback is not the host's.
///
/// A namespace belongs to a thread, so this is a thread of its own, with a runtime that starts no others.
pub async fn inside<T, F>(work: impl FnOnce() -> F + Send + 'static) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>>,
{
    let (answer, answered) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let result = || -> Result<T> {
            let namespace = std::fs::File::open(namespace_file()).context("the network namespace is gone")?;
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(work())
        };
        // Nobody may be waiting any more.
        let _ = answer.send(result());
    });
    answered
        .await
        .context("the thread inside the network namespace broke off")?
}

/// Whether somebody listens at an address, as seen from inside the namespace.
pub async fn listens(address: SocketAddr) -> Result<()> {
    inside(move || async move {
        let connect = tokio::net::TcpStream::connect(address);
        let connected = tokio::time::timeout(Duration::from_secs(1), connect).await;
        connected.context("no answer").and_then(|result| Ok(result?)).map(drop)
    })
    .await
    .with_context(|| format!("nobody listens at {address}"))
}
