//! `cargo dev up`: everything that is missing, in the order that lets the most happen at once.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use tokio::try_join;

use crate::host::{boot, cgroup, mounts, network};
use crate::layout::Layout;
use crate::parts::keycloak::{self, snapshot};
use crate::parts::{Context, contour, coredns, envoy, kubernetes, minio, node, postgres};
use crate::tools::{Tools, go};
use crate::ui::Ui;
use crate::{down, gateway, pki, platform, plugins, tenants};

/// Brings up what is not up, and nothing else; ends with the table of tenants.
pub async fn up(layout: Layout, ui: Ui) -> Result<()> {
    let began = Instant::now();
    boot::require_root()?;
    let _only_one = boot::lock(&layout, &ui).await?;
    if boot::state_is_stale(&layout)? {
        ui.line("the machine was restarted since the last `cargo dev up`: starting over");
        down::remove(&layout).await?;
    }
    boot::record(&layout)?;
    cgroup::create()?;
    let tools = Arc::new(Tools::new(layout.clone(), ui.clone()));
    tools.packages().await?;
    network::create(&layout).await?;
    mounts::create(&layout).await?;
    pki::create(&layout)?;
    let credentials = snapshot::restore_or_begin(&layout).await?;
    let context = Context {
        layout,
        ui,
        tools,
        credentials,
    };

    // The operator comes last: the snapshot of the database must hold nothing of its own, and a pod that meets a backend
    // which is not there yet only waits longer for it afterwards.
    let operator = async {
        let ((), binary, _) = try_join!(cluster(&context), context.tools.operator(), context.tools.go(go::HELM))?;
        platform::prepare_operator(&context, &binary).await
    };
    let (image, ()) = try_join!(operator, backends(&context))?;
    platform::deploy(&context, &image).await?;
    try_join!(tenants::apply_examples(&context), plugins::prepare(&context))?;
    plugins::install(&context).await?;
    context
        .ui
        .line(&format!("up in {:.1} s", began.elapsed().as_secs_f32()));
    context.ui.line(&format!("through the Gateway: {}", gateway::example()));
    Ok(())
}

async fn cluster(context: &Context) -> Result<()> {
    let control_plane = async {
        kubernetes::etcd(context).await?;
        kubernetes::apiserver(context).await
    };
    try_join!(control_plane, node::containerd(context))?;
    try_join!(
        kubernetes::controller_manager(context),
        kubernetes::scheduler(context),
        node::kubelet(context),
        node::proxy(context),
        coredns::coredns(context),
        async {
            platform::prepare(context).await?;
            entrance(context).await
        },
    )?;
    Ok(())
}

/// The Gateway. Contour does not start before the kinds that it watches are there.
async fn entrance(context: &Context) -> Result<()> {
    gateway::prepare(context).await?;
    try_join!(contour::contour(context), envoy::envoy(context))?;
    Ok(())
}

async fn backends(context: &Context) -> Result<()> {
    let identity = async {
        postgres::postgres(context).await?;
        keycloak::keycloak(context).await
    };
    try_join!(identity, minio::minio(context))?;
    Ok(())
}
