//! Commands that are handed on: kubectl, psql, tail.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::layout::Layout;
use crate::parts::postgres;
use crate::platform::{self, NAMESPACE, RELEASE};
use crate::tools::Tools;
use crate::ui::Ui;
use crate::webhook;

/// kubectl, as the cluster's administrator.
pub async fn kubectl(layout: Layout, args: &[String]) -> Result<()> {
    require_stack(&layout)?;
    let tools = Tools::new(layout, Ui::quiet());
    let kubectl = platform::kubectl(&tools).await?;
    become_command(kubectl.into_std().args(args))
}

/// psql, as the superuser, in the operator's database unless the arguments name another one (`-d keycloak`).
pub fn psql(layout: &Layout, args: &[String]) -> Result<()> {
    require_stack(layout)?;
    let url = url::Url::parse(&postgres::superuser_url(&Credentials::of(layout)?, postgres::DATABASE))?;
    become_command(
        Command::new("psql")
            .env("PGHOST", url.host_str().unwrap_or_default())
            .env("PGPORT", postgres::PORT.to_string())
            .env("PGUSER", url.username())
            .env("PGPASSWORD", url.password().unwrap_or_default())
            .env("PGDATABASE", postgres::DATABASE)
            .args(args),
    )
}

/// The end of a log, then what is added to it if `follow`. `operator` is the log of the operator's pod, `webhooks` that
/// of its webhook.
pub async fn logs(layout: Layout, name: &str, follow: bool) -> Result<()> {
    require_stack(&layout)?;
    let deployment = match name {
        "operator" => Some(RELEASE),
        "webhooks" => Some(webhook::NAME),
        _ => None,
    };
    if let Some(deployment) = deployment {
        let mut args = vec![
            "logs".to_owned(),
            format!("--namespace={NAMESPACE}"),
            format!("deployment/{deployment}"),
        ];
        args.push("--tail=200".to_owned());
        args.extend(follow.then(|| "--follow".to_owned()));
        return kubectl(layout, &args).await;
    }
    let log = layout.log(name);
    if !log.exists() {
        let files = std::fs::read_dir(layout.state.join("logs"))
            .into_iter()
            .flatten()
            .flatten();
        let mut names: Vec<_> = files
            .filter_map(|file| Some(file.path().file_stem()?.to_string_lossy().into_owned()))
            .collect();
        names.sort();
        let advice = format!("there are: operator webhooks {}", names.join(" "));
        return Err(Failure::new(format!("there is no log of `{name}`"), advice).into());
    }
    let mut tail = Command::new("tail");
    tail.args(["-n", "200"]).args(follow.then_some("-F")).arg(log);
    become_command(&mut tail)
}

fn require_stack(layout: &Layout) -> Result<()> {
    if layout.kubeconfig().exists() {
        return Ok(());
    }
    Err(Failure::new("the stack is down", "run `cargo dev up`").into())
}

fn become_command(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_owned();
    Err(command.exec()).with_context(|| format!("cannot run {}", program.display()))
}
