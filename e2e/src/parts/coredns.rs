//! CoreDNS on the node's address: names of the cluster, and nothing outside of it.

use anyhow::Result;

use crate::host::network::NODE;
use crate::host::process::Launch;
use crate::parts::{Context, Part};
use crate::pki::kubeconfig;
use crate::tools::go;

const READY_PORT: u16 = 8181;

/// CoreDNS, ready once it knows the cluster's Services.
pub async fn coredns(context: &Context) -> Result<()> {
    let program = context.tools.go(go::COREDNS).await?.join("coredns");
    let corefile = context.layout.state_dir("coredns")?.join("Corefile");
    // Whatever is not of the cluster does not exist: an answer, not a timeout, and no packet leaves the machine. It is a
    // server block of its own, since within one block the order of plugins is fixed and `template` answers first.
    let text = format!(
        "cluster.local:53 in-addr.arpa:53 {{
    bind {NODE}
    errors
    ready {NODE}:{READY_PORT}
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {kubeconfig}
        pods disabled
        ttl 5
    }}
}}
.:53 {{
    bind {NODE}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
",
        kubeconfig = kubeconfig(&context.layout, "coredns").display()
    );
    let launch = Launch::new(program)
        .args(["-conf".to_owned(), corefile.display().to_string()])
        .configured_by(&corefile, text.as_bytes())?;
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
