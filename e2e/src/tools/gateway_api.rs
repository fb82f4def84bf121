//! The custom resource definitions of the Gateway API and of Contour, out of their Go modules.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::host::command;
use crate::layout::key;
use crate::tools::{Tools, archive};
use crate::versions::{CONTOUR, GATEWAY_API, GATEWAY_API_SUM};

/// Module of the Gateway API.
const MODULE: &str = "sigs.k8s.io/gateway-api";
/// Its definitions of the standard channel.
const STANDARD: &str = "config/crd/standard";
/// Contour's own definitions, in its module.
const OWN: &str = "examples/contour/01-crds.yaml";

/// What `go mod download -json` tells of a module.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Download {
    dir: Option<PathBuf>,
    zip: Option<PathBuf>,
    sum: Option<String>,
    error: Option<String>,
}

impl Tools {
    /// Folder with the definitions, YAML files that `kubectl apply` takes as they are.
    pub async fn gateway_definitions(&self) -> Result<PathBuf> {
        let pins = [GATEWAY_API, GATEWAY_API_SUM, CONTOUR].map(str::as_bytes);
        let slot = self.slot("gateway-definitions", &key(&pins));
        let definitions = slot.path.join("definitions");
        if slot.is_complete() {
            return Ok(definitions);
        }
        let _one_at_a_time = self.go.lock().await;
        self.ui
            .step("fetch gateway definitions", async |step| {
                step.says(&format!("{MODULE} {GATEWAY_API}"));
                step.result(format!("Gateway API {GATEWAY_API}, Contour {CONTOUR}"));
                let folder = slot.begin()?.to_owned();
                std::fs::create_dir_all(&definitions)?;
                archive::unzip(gateway_api_zip(&folder).await?, folder.clone()).await?;
                let module = folder.join(format!("{MODULE}@v{GATEWAY_API}"));
                for file in std::fs::read_dir(module.join(STANDARD))
                    .context("the module holds no definitions")?
                    .flatten()
                {
                    std::fs::copy(file.path(), definitions.join(file.file_name()))?;
                }
                let contour = self.contour_module().await?;
                std::fs::copy(contour.join(OWN), definitions.join("projectcontour.io.yaml"))
                    .with_context(|| format!("Contour's module holds no {OWN}"))?;
                // Nothing else of the module is needed.
                std::fs::remove_dir_all(folder.join("sigs.k8s.io"))?;
                slot.complete()
            })
            .await?;
        Ok(definitions)
    }

    /// Folder of Contour's module, checked against go.sum.
    async fn contour_module(&self) -> Result<PathBuf> {
        let mut go = command::inside_cgroup("go")?;
        go.current_dir(self.layout.repository.join("e2e/tools/contour")).args([
            "mod",
            "download",
            "-json",
            "github.com/projectcontour/contour",
        ]);
        let told: Download = serde_json::from_str(&command::pipe(go, &[]).await?)?;
        told.dir.context("go says no folder of Contour's module")
    }
}

/// The module as Go's proxy serves it. Go itself compares it with its checksum database; here its checksum is held
/// against the pinned one. It says an error beside, where it is older than the module's go.mod wants, and ends with it.
async fn gateway_api_zip(folder: &Path) -> Result<PathBuf> {
    let mut go = command::inside_cgroup("go")?;
    go.current_dir(folder)
        .args(["mod", "download", "-json", &format!("{MODULE}@v{GATEWAY_API}")]);
    let told = go.output().await.context("cannot start go")?.stdout;
    let Download { zip, sum, error, .. } = serde_json::from_slice(&told).context("go tells nothing of the module")?;
    let zip = zip.with_context(|| {
        let error = error.unwrap_or_default();
        format!("go fetched no {MODULE} {GATEWAY_API}: {error}; look whether it reaches its module proxy")
    })?;
    let sum = sum.unwrap_or_default();
    ensure!(
        sum == GATEWAY_API_SUM,
        "{MODULE} {GATEWAY_API} has checksum {sum}, and {GATEWAY_API_SUM} is pinned in e2e/src/versions.rs"
    );
    Ok(zip)
}
