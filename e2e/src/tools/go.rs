//! Programs that come as Go modules: `tools/<name>/go.mod` pins them, `go build` makes them.

use std::path::PathBuf;

use anyhow::Result;

use crate::host::command;
use crate::layout::key;
use crate::tools::Tools;
use crate::versions;

/// A Go module of which programs are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoTool {
    /// Folder under `e2e/tools`.
    name: &'static str,
    version: &'static str,
    /// What to build: a package, or `tool` for every package that go.mod names as a tool.
    package: &'static str,
}

/// kube-apiserver and the rest of Kubernetes, kubectl included.
pub const KUBERNETES: GoTool = GoTool {
    name: "kubernetes",
    version: versions::KUBERNETES,
    package: "tool",
};
/// etcd.
pub const ETCD: GoTool = GoTool {
    name: "etcd",
    version: versions::ETCD,
    package: "go.etcd.io/etcd/server/v3",
};
/// CoreDNS.
pub const COREDNS: GoTool = GoTool {
    name: "coredns",
    version: versions::COREDNS,
    package: "github.com/coredns/coredns",
};
/// Helm.
pub const HELM: GoTool = GoTool {
    name: "helm",
    version: versions::HELM,
    package: "helm.sh/helm/v3/cmd/helm",
};
/// MinIO.
pub const MINIO: GoTool = GoTool {
    name: "minio",
    version: versions::MINIO,
    package: "github.com/minio/minio",
};
/// Contour.
pub const CONTOUR: GoTool = GoTool {
    name: "contour",
    version: versions::CONTOUR,
    package: "github.com/projectcontour/contour/cmd/contour",
};
/// kwok, for benchmarks on fake nodes alone.
pub const KWOK: GoTool = GoTool {
    name: "kwok",
    version: versions::KWOK,
    package: "sigs.k8s.io/kwok/cmd/kwok",
};

impl GoTool {
    /// Linker flags. Kubernetes is told its version: without it clients are shown v0.0.0, and refuse to talk.
    fn linker_flags(self) -> String {
        let mut flags = vec!["-s -w".to_owned()];
        if self == KUBERNETES {
            let mut numbers = self.version.split('.');
            let mut stamp =
                |name: &str, value: &str| flags.push(format!("-X k8s.io/component-base/version.git{name}={value}"));
            stamp("Version", &format!("v{}", self.version));
            stamp("Major", numbers.next().unwrap_or_default());
            stamp("Minor", numbers.next().unwrap_or_default());
        }
        flags.join(" ")
    }
}

impl Tools {
    /// Folder with the programs of a Go module, built when the cache has none for its go.mod, go.sum and flags.
    pub async fn go(&self, tool: GoTool) -> Result<PathBuf> {
        let source = self.layout.repository.join("e2e/tools").join(tool.name);
        let flags = tool.linker_flags();
        let key = key(&[
            &std::fs::read(source.join("go.mod"))?,
            &std::fs::read(source.join("go.sum"))?,
            flags.as_bytes(),
            tool.package.as_bytes(),
        ]);
        let slot = self.slot(tool.name, &key);
        let _one_at_a_time = self.go.lock().await;
        if slot.is_complete() {
            return Ok(slot.path);
        }
        let step = format!("build {}", tool.name);
        self.ui
            .step(&step, async |step| {
                step.says(&format!("go build {} {} (once, minutes)", tool.name, tool.version));
                step.result(format!("{} built", tool.version));
                let folder = slot.begin()?;
                let output = if tool.package == "tool" { folder.join("") } else { folder.join(tool.name) };
                let mut go = command::inside_cgroup("go")?;
                go.current_dir(&source)
                    .env("CGO_ENABLED", "0")
                    .args(["build", "-mod=readonly", "-trimpath", "-ldflags", &flags, "-o"])
                    .arg(output)
                    .arg(tool.package);
                let advice = "look whether `go` is installed (1.26 or later) and reaches its module proxy, then run `cargo dev up` again";
                command::run(&self.layout, &format!("build-{}", tool.name), go, advice).await?;
                slot.complete()
            })
            .await?;
        Ok(slot.path)
    }
}
