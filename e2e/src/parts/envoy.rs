//! Envoy, which serves the Gateway: at [`GATEWAY`](crate::host::network::GATEWAY) port 8080, and so at port 80 of the
//! Service `gateway`.

use anyhow::{Context as _, Result};

use crate::host::command;
use crate::host::network::NODE;
use crate::host::process::Launch;
use crate::parts::contour::XDS_PORT;
use crate::parts::{Context, Part};
use crate::tools::go;

/// Where Contour lets it tell its numbers and whether it is ready.
pub const STATS_PORT: u16 = 18002;

/// Envoy, ready once it has been told by Contour what to serve.
pub async fn envoy(context: &Context) -> Result<()> {
    let (program, contour) = tokio::try_join!(context.tools.envoy(), context.tools.go(go::CONTOUR))?;
    let folder = context.layout.state_dir("envoy")?;
    let bootstrap = folder.join("bootstrap.json");
    let fresh = folder.join("bootstrap.new.json");
    let mut write = command::inside_cgroup(contour.join("contour"))?;
    write
        .arg("bootstrap")
        .arg(&fresh)
        .args(["--xds-address=127.0.0.1".to_owned(), format!("--xds-port={XDS_PORT}")])
        .arg(format!("--admin-address={}", folder.join("admin.sock").display()));
    command::run(&context.layout, "envoy-bootstrap", write, "the log tells why").await?;
    let told = std::fs::read(&fresh).context("contour bootstrap wrote nothing")?;
    let launch = Launch::new(program)
        .args(["-c".to_owned(), bootstrap.display().to_string()])
        .args(["--service-cluster", "default", "--service-node", "envoy-1"])
        .args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"])
        .configured_by(&bootstrap, &told)?;
    context
        .ui
        .step("envoy", async |step| {
            let ready = async || {
                let url = format!("http://{NODE}:{STATS_PORT}/ready");
                reqwest::get(url).await?.error_for_status()?;
                Ok(())
            };
            context.ensure(Part::Envoy, step, &launch, ready).await
        })
        .await
}
