//! kubectl, as a platform engineer uses it.

use anyhow::{Context as _, Result, ensure};

use crate::{platform, suite::env::Env, tools::Tools, ui::Ui};

/// What kubectl prints for these arguments, as administrator.
pub async fn kubectl(env: &Env, arguments: &[&str]) -> Result<String> {
    let tools = Tools::new(env.stack.layout().clone(), Ui::quiet());
    let mut command = platform::kubectl(&tools).await?;
    let output = command.args(arguments).output().await.context("cannot run kubectl")?;
    ensure!(
        output.status.success(),
        "kubectl {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}
