//! CoreDNS on the node's address: names of the cluster, and nothing outside of it.

use anyhow::Result;

use crate::host::network::NODE;
use crate::host::process::Launch;
use crate::layout;
use crate::parts::{Context, Part};
use crate::pki::kubeconfig;
use crate::tools::go;

const READY_PORT: u16 = 8181;

/// CoreDNS, ready once it knows the cluster's Services.
pub async fn coredns(context: &Context) -> Result<()> {
    let program = context.tools.go(go::COREDNS).await?.join("coredns");
    let corefile = context.layout.state_dir("coredns")?.join("Corefile");
    // Whatever is not of the cluster does not exist: an answer, not a timeout, and no packet leaves the machine.
    let text = format!(
        ".:53 {{
    bind {NODE}
    errors
    ready {NODE}:{READY_PORT}
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {}
        pods disabled
        ttl 5
    }}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
",
        kubeconfig(&context.layout, "coredns").display()
    );
    layout::write(&corefile, text.as_bytes())?;
    let launch = Launch::new(program).args(["-conf".to_owned(), corefile.display().to_string()]);
    context
        .ui
        .step("coredns", async |step| {
            let ready = async || {
                let url = format!("http://{NODE}:{READY_PORT}/ready");
                reqwest::get(url).await?.error_for_status()?;
                Ok(())
            };
            context.ensure(Part::Coredns, step, &launch, ready).await
        })
        .await
}
