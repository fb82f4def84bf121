//! Release binaries of the workspace and the pause binary: static, since their images hold nothing else.

use std::path::PathBuf;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::host::command;
use crate::layout::{hex, key};
use crate::tools::Tools;

/// The target must be named: else the static flag would reach build scripts and procedural macros too, and break them.
const TARGET: &str = "x86_64-unknown-linux-gnu";
const STATIC: &str = "-C target-feature=+crt-static";

/// What the operator's chart runs.
pub struct OperatorBinaries {
    /// The operator.
    pub operator: PathBuf,
    /// The admission webhook.
    pub webhooks: PathBuf,
}

impl Tools {
    /// The binaries of the operator and of its webhook, built from the working tree.
    pub async fn operator(&self) -> Result<OperatorBinaries> {
        let [operator, webhooks] = ["plexica-operator", "plexica-webhooks"];
        let folder = self.release("operator", &[operator, webhooks]).await?;
        Ok(OperatorBinaries {
            operator: folder.join(operator),
            webhooks: folder.join(webhooks),
        })
    }

    /// The folder with the release binaries of some packages, built together from the working tree; cargo decides
    /// whether they are up to date.
    pub async fn release(&self, what: &str, packages: &[&str]) -> Result<PathBuf> {
        let name = format!("build {what}");
        self.ui
            .step(&name, async |step| {
                step.says("cargo build --release");
                step.result("built");
                let mut cargo = command::inside_cgroup(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))?;
                cargo
                    .current_dir(&self.layout.repository)
                    .env("RUSTFLAGS", STATIC)
                    .args(["build", "--release", "--locked", "--target", TARGET]);
                cargo.args(packages.iter().flat_map(|package| ["--package", package]));
                let log = name.replace(' ', "-");
                let advice = format!(
                    "repair its code: `cargo check --package {}`",
                    packages.join(" --package ")
                );
                command::run(&self.layout, &log, cargo, &advice).await?;
                let target = match std::env::var_os("CARGO_TARGET_DIR") {
                    Some(folder) => self.layout.repository.join(folder),
                    None => self.layout.repository.join("target"),
                };
                Ok(target.join(TARGET).join("release"))
            })
            .await
    }

    /// The binary of the sandbox image: one file without dependencies, so rustc alone is enough.
    pub async fn pause(&self) -> Result<PathBuf> {
        let source = self.layout.repository.join("e2e/pause/pause.rs");
        let slot = self.slot("pause", &key(&[&std::fs::read(&source)?]));
        let binary = slot.path.join("pause");
        if slot.is_complete() {
            return Ok(binary);
        }
        slot.begin()?;
        let mut rustc = command::inside_cgroup("rustc")?;
        rustc
            .args([
                "--edition",
                "2024",
                "--target",
                TARGET,
                "-C",
                "opt-level=s",
                "-C",
                "panic=abort",
                "-C",
                "strip=symbols",
            ])
            .args(STATIC.split(' '))
            .arg(source)
            .arg("-o")
            .arg(&binary);
        command::run(&self.layout, "build-pause", rustc, "look whether rustc works").await?;
        slot.complete()?;
        Ok(binary)
    }
}

/// The first twelve digits of a binary's SHA-256. The operator's image has it as its tag, so that a changed binary is a
/// changed Deployment.
pub fn tag(binary: &std::path::Path) -> Result<String> {
    let content = std::fs::read(binary).with_context(|| format!("cannot read {}", binary.display()))?;
    Ok(hex(&Sha256::digest(&content))[..12].to_owned())
}
