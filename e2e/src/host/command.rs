//! Commands that run to their end: builds, fetches, `ip`, `helm`. Their output goes to a log, whose end is shown when
//! one fails.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::failure::Failure;
use crate::host::cgroup;
use crate::layout::Layout;

/// A command that is born in the stack's cgroup, so that `down` ends it even when `up` was killed.
pub fn inside_cgroup(program: impl AsRef<std::ffi::OsStr>) -> Result<Command> {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg("echo 0 > \"$0/cgroup.procs\" && exec \"$@\"")
        .arg(cgroup::parts()?)
        .arg(program)
        .kill_on_drop(true)
        .stdin(Stdio::null());
    Ok(command)
}

/// Runs a command to its end with its output in the log `name`.
pub async fn run(layout: &Layout, name: &str, mut command: Command, advice: &str) -> Result<()> {
    let log = layout.log(name);
    layout.state_dir("logs")?;
    let out = File::options().create(true).append(true).open(&log)?;
    let status = command
        .stdout(out.try_clone()?)
        .stderr(out)
        .status()
        .await
        .with_context(|| format!("{name}: cannot start {}", command.as_std().get_program().display()))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("{name} failed ({status})"), advice)
        .with_log(log)
        .into())
}

/// Runs a command with `input` on its stdin and returns its stdout; its stderr is the error.
pub async fn pipe(mut command: Command, input: &[u8]) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", command.as_std().get_program().display()))?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    let feed = async {
        stdin.write_all(input).await?;
        drop(stdin);
        Ok::<_, std::io::Error>(())
    };
    let (written, output) = tokio::join!(feed, child.wait_with_output());
    let output = output?;
    if !output.status.success() {
        let words: Vec<_> = command.as_std().get_args().map(|word| word.to_string_lossy()).collect();
        let program = Path::new(command.as_std().get_program());
        anyhow::bail!(
            "`{} {}` failed: {}",
            program.file_name().unwrap_or_default().to_string_lossy(),
            words.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    written?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a shell script, each line of which must succeed.
pub async fn script(text: &str) -> Result<()> {
    let mut command = Command::new("sh");
    command.args(["-euc", text]);
    pipe(command, &[]).await.map(drop)
}
