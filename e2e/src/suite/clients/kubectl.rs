//! kubectl, as a platform engineer uses it.

use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::{platform, suite::env::Env, tools::Tools, ui::Ui};

/// The row of an object in what `kubectl get` prints, with the header above it. Of several kinds, each has a table, and
/// the rows begin with the kind.
pub fn row<'a>(tables: &'a str, name: &str) -> Result<(Vec<&'a str>, Vec<&'a str>)> {
    let mut header = vec![];
    for line in tables.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.first() {
            Some(&"NAME") => header = words,
            Some(first) if first.rsplit('/').next() == Some(name) => return Ok((header, words)),
            Some(_) | None => {}
        }
    }
    bail!("no row of {name}:\n{tables}")
}

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

/// What `kubectl apply` says to a user about an object: its output, its warnings, or why it was refused.
pub async fn apply(env: &Env, object: &Value) -> Result<String> {
    let tools = Tools::new(env.stack.layout().clone(), Ui::quiet());
    let mut command = platform::kubectl(&tools).await?;
    command
        .args(["apply", "--filename=-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot run kubectl")?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    stdin.write_all(object.to_string().as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    let told = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&told).into_owned())
}
