//! Many at once: bounded by what the node gives, so the whole is compared with the whole by hand.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::future::join_all;
use k8s_openapi::api::core::v1::ResourceRequirements;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    HandSamples, PLUGIN, PREFIX, Samples,
    by_hand::ByHand,
    report,
    tenants::{Tenants, sweep},
};
use crate::{
    bench::bar::Bar,
    suite::{env::Env, observe::operator, releases::VERSION},
};

/// Tenants.
const TENANTS: usize = 10;
/// Plugins that each of them installs.
const PLUGINS: usize = 10;

/// What was measured.
pub struct AtOnce {
    /// By hand, and the time until the last was ready.
    pub by_hand: (HandSamples, Duration),
    /// By the operator, and the time until the last was Ready.
    pub installations: (Samples, Duration),
    /// Resident memory of the operator in KiB: without the installations, just after they were made, and at rest.
    pub resident: [u64; 3],
}

/// Measures, and tells.
pub async fn run(env: &Env, name: &'static str) -> Result<()> {
    sweep(env).await?;
    // Before the tenants, so that they go after them.
    let plugins = publish(env).await?;
    let tenants = Tenants::make(env, TENANTS).await?;
    let measured = measure(env, &tenants, &plugins).await;
    tenants.end().await?;
    report::at_once(name, &measured?);
    Ok(())
}

/// Releases of as many plugins, all with the manifest of one of the examples.
async fn publish(env: &Env) -> Result<Vec<String>> {
    let mut plugins = vec![];
    for index in 0..PLUGINS {
        let id = format!("{PREFIX}-{index}");
        let spec = env.manifest_of_contacts_as(&id).await?;
        let release = env.publish(&id, VERSION, spec).await?;
        env.registered(&release).await?;
        plugins.push(id);
    }
    Ok(plugins)
}

async fn measure(env: &Env, tenants: &Tenants<'_>, plugins: &[String]) -> Result<AtOnce> {
    let model = tenants.first()?;
    tenants.install(model, PLUGIN, json!({})).await?;
    let by_hand = ByHand::prepare(env, &tenants.deployments, &tenants.run, model).await?;
    let made = all_by_hand(tenants, &by_hand).await;
    by_hand.remove().await?;
    let made = made?;
    operator::restart(env).await?;
    let before = resident().await?;
    let installations = all_installations(tenants, plugins).await;
    let just_after = operator::resident_kib()?;
    Ok(AtOnce {
        by_hand: made,
        installations,
        resident: [before, just_after, resident().await?],
    })
}

async fn all_by_hand(tenants: &Tenants<'_>, by_hand: &ByHand<'_>) -> Result<(HandSamples, Duration)> {
    let names: Vec<_> = (0..TENANTS * PLUGINS)
        .map(|index| format!("{}-{index}", tenants.run))
        .collect();
    for name in &names {
        by_hand.lay_out(name).await?;
    }
    let resources: ResourceRequirements = serde_json::from_value(resources()).context("resources")?;
    let bar = Bar::new(&tenants.ui, "by hand", names.len());
    let begun = Instant::now();
    let results = join_all(names.iter().map(async |name| {
        let times = by_hand.install(name, Some(&resources)).await;
        tenants.told(name, &times);
        bar.advance();
        times
    }))
    .await;
    let whole = begun.elapsed();
    Ok((HandSamples::of(&results), whole))
}

async fn all_installations(tenants: &Tenants<'_>, plugins: &[String]) -> (Samples, Duration) {
    let bar = Bar::new(&tenants.ui, "by the operator", TENANTS * PLUGINS);
    let pairs = tenants
        .names
        .iter()
        .flat_map(|tenant| plugins.iter().map(move |plugin| (tenant, plugin)));
    let begun = Instant::now();
    let results = join_all(pairs.map(async |(tenant, plugin)| {
        let times = tenants
            .install(tenant, plugin, json!({ "resources": resources() }))
            .await;
        tenants.told(&format!("{tenant}/{plugin}"), &times);
        bar.advance();
        times
    }))
    .await;
    let whole = begun.elapsed();
    (Samples::of(&results), whole)
}

/// Requests so small that the scheduler finds room for all on one node; the manifest's limits.
fn resources() -> Value {
    json!({ "requests": { "cpu": "1m", "memory": "4Mi" }, "limits": { "cpu": "500m", "memory": "128Mi" } })
}

async fn resident() -> Result<u64> {
    // What the last pass allocated is given back soon after it.
    sleep(Duration::from_secs(2)).await;
    operator::resident_kib()
}
