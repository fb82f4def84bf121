//! Many installations on fake nodes: what the operator weighs, what it writes at rest and after a start, and how fast a
//! hundred promotions at once go.
//!
//! Everything but the nodes is real: tenants, schemas, Deployments, Services, EndpointSlices. kwok says of the pods that
//! they are ready; nobody sends them anything.

mod fleet;
mod kube_proxy;
mod nodes;
mod promotion;
mod report;
mod rest;

use std::time::Duration;

use anyhow::Result;

use super::install::sweep;
use crate::{
    suite::{
        env::Env,
        observe::{operator, rest::wait_until_quiet},
    },
    ui::{Ui, print},
};
use fleet::Fleet;
use nodes::Nodes;
use rest::{Restart, Window};

/// Plugins of each tenant: a tenant costs a realm, which takes a second.
const PLUGINS: usize = 50;
/// Promotions at once.
const PROMOTIONS: usize = 100;
/// What all names begin with: what an interrupted run left is found by it.
const PREFIX: &str = "bench";
/// Longest wait until so many are made, or gone.
const PATIENCE: Duration = Duration::from_mins(20);

/// What was measured.
pub struct Measured {
    tenants: usize,
    installations: usize,
    /// How long it took to make them.
    made_in: Duration,
    /// Memory: of an operator that has nothing to do, with all of them made, and after its restart.
    before: operator::Memory,
    made: operator::Memory,
    restarted: operator::Memory,
    restart: Restart,
    rest: Window,
    promotions: promotion::Times,
    /// Memory after the promotions.
    promoted: operator::Memory,
}

/// Measures with so many installations, and tells.
pub async fn run(env: &Env, name: &'static str, installations: usize) -> Result<()> {
    let ui = Ui::new();
    let nodes = Nodes::begin(env, &ui, installations).await?;
    sweep(env).await?;
    let measured = measure(env, &ui, &nodes, installations).await?;
    report::tell(name, &measured);
    print(
        "the tenants are removed with all that is left of them, for some minutes; until then the real node takes no new pods",
    );
    Ok(())
}

async fn measure(env: &Env, ui: &Ui, nodes: &Nodes, installations: usize) -> Result<Measured> {
    // The operator's pod has to be on the real node.
    nodes.with_the_real_one(operator::restart(env)).await?;
    let before = memory().await?;
    let fleet = Fleet::make(env, ui, installations).await?;
    wait_until_quiet(env, PATIENCE).await?;
    let made = memory().await?;
    let restart = nodes.with_the_real_one(rest::restart(env, ui)).await?;
    wait_until_quiet(env, PATIENCE).await?;
    let restarted = memory().await?;
    let rest = rest::watch(env, ui).await?;
    let promotions = promotion::measure(env, ui, &fleet).await?;
    Ok(Measured {
        tenants: fleet.tenants.len(),
        installations: fleet.keys.len(),
        made_in: fleet.made_in,
        before,
        made,
        restarted,
        restart,
        rest,
        promotions,
        promoted: memory().await?,
    })
}

async fn memory() -> Result<operator::Memory> {
    // What the last pass allocated is given back soon after it.
    tokio::time::sleep(Duration::from_secs(2)).await;
    operator::memory()
}
