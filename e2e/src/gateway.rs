//! The platform's Gateway on the cluster: the definitions of its kinds, and the object. Contour and Envoy
//! ([`parts`](crate::parts)) serve it.

use std::time::Duration;

use anyhow::Result;

use crate::host::command;
use crate::host::network::GATEWAY_SERVICE;
use crate::layout::{self, key};
use crate::parts::Context;
use crate::{platform, wait};

/// Name of the Gateway; it is in the operator's namespace.
pub const NAME: &str = "plexica";
/// GatewayClass and Gateway.
const MANIFEST: &str = include_str!("../manifests/gateway.yaml");
/// Names of the kinds that are defined, without the policy that is beside them.
const DEFINED: &str = r#"--output=jsonpath={.items[?(@.kind=="CustomResourceDefinition")].metadata.name}"#;
/// Longest time for the API server to serve what was defined a moment ago.
const PATIENCE: Duration = Duration::from_secs(30);

/// Defines the kinds of the Gateway API and those of Contour, and makes the Gateway.
pub async fn prepare(context: &Context) -> Result<()> {
    let definitions = context.tools.gateway_definitions().await?;
    context
        .ui
        .step("gateway", async |step| {
            step.result(format!("http://*.plexica.test at {GATEWAY_SERVICE}"));
            let applied = context.layout.state.join("deployed/gateway");
            let wanted = key(&[definitions.as_os_str().as_encoded_bytes(), MANIFEST.as_bytes()]);
            if std::fs::read_to_string(&applied).ok().as_ref() == Some(&wanted) {
                return Ok(());
            }
            step.says("kubectl apply");
            let mut apply = platform::kubectl(&context.tools).await?;
            apply
                .args(["apply", "--server-side", "--force-conflicts", "--filename"])
                .arg(&definitions);
            command::pipe(apply, &[]).await?;
            let mut names = platform::kubectl(&context.tools).await?;
            names.args(["get", DEFINED, "--filename"]).arg(&definitions);
            let kinds = command::pipe(names, &[]).await?.replace(' ', ",");
            wait::until("the kinds of the Gateway API and of Contour", PATIENCE, async || {
                // Contour ends if one of them cannot be listed yet.
                let mut list = platform::kubectl(&context.tools).await?;
                list.args(["get", "--all-namespaces", "--output=name", &kinds]);
                command::pipe(list, &[]).await?;
                let mut apply = platform::kubectl(&context.tools).await?;
                apply.args(["apply", "--server-side", "--force-conflicts", "--filename=-"]);
                command::pipe(apply, MANIFEST.as_bytes()).await.map(drop)
            })
            .await?;
            layout::write(&applied, wanted.as_bytes())
        })
        .await
}

/// A line to paste that reaches a plugin of the examples through the Gateway.
pub fn example() -> String {
    let host = "acme-corp.plexica.test";
    format!("curl --resolve {host}:80:{GATEWAY_SERVICE} http://{host}/api/plugins/contacts/version")
}
