//! One after the other: by hand and by the operator take turns, so that whatever the machine does meanwhile hits both.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use tokio::time::sleep;

use super::{
    HandSamples, PLUGIN, Samples,
    by_hand::ByHand,
    report,
    tenants::{Tenants, sweep},
};
use crate::{bench::bar::Bar, suite::env::Env};

/// Installations that are measured.
const COUNT: usize = 10;
/// Those before, which are not: the first calls of a process meet cold caches.
const WARM_UP: usize = 2;
/// After each: what the node and the controllers still do for its pod shall not weigh on the next.
const PAUSE: Duration = Duration::from_secs(1);

/// Measures, and tells.
pub async fn run(env: &Env, name: &'static str) -> Result<()> {
    sweep(env).await?;
    let tenants = Tenants::make(env, WARM_UP + COUNT).await?;
    let measured = measure(env, &tenants).await;
    tenants.end().await?;
    let (by_hand, installations) = measured?;
    report::in_turn(name, &by_hand, &installations);
    Ok(())
}

async fn measure(env: &Env, tenants: &Tenants<'_>) -> Result<(HandSamples, Samples)> {
    // Its pod is the model of those by hand.
    let model = tenants.first()?;
    tenants.install(model, PLUGIN, json!({})).await?;
    let by_hand = ByHand::prepare(env, &tenants.deployments, &tenants.run, model).await?;
    let measured = in_turn(tenants, &by_hand).await;
    by_hand.remove().await?;
    measured
}

async fn in_turn(tenants: &Tenants<'_>, by_hand: &ByHand<'_>) -> Result<(HandSamples, Samples)> {
    let (mut by_hands, mut installations) = (HandSamples::default(), Samples::default());
    let bar = Bar::new(&tenants.ui, "one after the other", 2 * (WARM_UP + COUNT) - 1);
    for (index, tenant) in tenants.names.iter().enumerate() {
        let is_measured = index >= WARM_UP;
        let name = format!("{}-{index}", tenants.run);
        by_hand.lay_out(&name).await?;
        let times = by_hand.install(&name, None).await;
        tenants.told(&name, &times);
        if is_measured {
            by_hands.add(&times);
        }
        bar.advance();
        sleep(PAUSE).await;
        // The first was the model.
        if index == 0 {
            continue;
        }
        let times = tenants.install(tenant, PLUGIN, json!({})).await;
        tenants.told(tenant, &times);
        if is_measured {
            installations.add(&times);
        }
        bar.advance();
        sleep(PAUSE).await;
    }
    Ok((by_hands, installations))
}
