//! Contour: reads the Gateway and its routes, and tells Envoy. One Contour serves one Gateway, which it is told the name of.

use anyhow::Result;
use serde_json::json;

use crate::host::network::{GATEWAY, GATEWAY_SERVICE, NODE};
use crate::host::process::Launch;
use crate::parts::envoy::STATS_PORT;
use crate::parts::{Context, Part};
use crate::pki::kubeconfig;
use crate::tools::go;
use crate::{gateway, platform};

/// Where Envoy asks.
pub const XDS_PORT: u16 = 18001;
/// Health and metrics; the usual 8000 is nobody's here, and stays free for whoever tries something.
const HEALTH_PORT: u16 = 18000;
/// Kinds that this Contour does not serve: it knows TLSRoute in a version that the definitions serve no more, and would
/// end over it.
const DISABLED: [&str; 3] = ["tlsroutes", "tcproutes", "backendtlspolicies"];
/// Contour, ready once its caches are filled.
pub async fn contour(context: &Context) -> Result<()> {
    let program = context.tools.go(go::CONTOUR).await?.join("contour");
    let layout = &context.layout;
    let config = layout.state_dir("contour")?.join("contour.yaml");
    let settings = serde_json::to_vec_pretty(&json!({
        "gateway": { "gatewayRef": { "namespace": platform::NAMESPACE, "name": gateway::NAME } },
    }))?;
    let launch = Launch::new(program)
        .args([
            "serve".to_owned(),
            format!("--config-path={}", config.display()),
            format!("--kubeconfig={}", kubeconfig(layout, "contour").display()),
            // Within the stack's network namespace there is nobody to hide from.
            "--insecure".to_owned(),
            "--xds-address=127.0.0.1".to_owned(),
            format!("--xds-port={XDS_PORT}"),
            "--disable-leader-election".to_owned(),
            // Five writes a second, as client-go has it, would make a hundred routes wait for their status.
            "--kubernetes-client-qps=200".to_owned(),
            "--kubernetes-client-burst=400".to_owned(),
            format!("--envoy-service-http-address={GATEWAY}"),
            format!("--ingress-status-address={GATEWAY_SERVICE}"),
            format!("--stats-address={NODE}"),
            format!("--stats-port={STATS_PORT}"),
            format!("--health-address={NODE}"),
            format!("--health-port={HEALTH_PORT}"),
            format!("--http-address={NODE}"),
            format!("--http-port={HEALTH_PORT}"),
        ])
        .args(DISABLED.map(|kind| format!("--disable-feature={kind}")))
        .configured_by(&config, &settings)?;
    context
        .ui
        .step("contour", async |step| {
            let ready = async || {
                let url = format!("http://{NODE}:{HEALTH_PORT}/healthz");
                reqwest::get(url).await?.error_for_status()?;
                Ok(())
            };
            context.ensure(Part::Contour, step, &launch, ready).await
        })
        .await
}
