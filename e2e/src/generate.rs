//! `cargo dev generate`: writes the files that are generated from the code.

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

/// Writes them. The tests that compare them do it, so that there is one list of them.
pub async fn generate() -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["test", "--quiet", "--package", "plexica-crds", "manifest"])
        .env("PLEXICA_GENERATE", "1")
        .status()
        .await
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("generating failed; see above");
    }
    Ok(())
}
