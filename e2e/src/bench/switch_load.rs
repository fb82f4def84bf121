//! The requests that are lost while releases come and go: none. The test of the same does less of it.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{
    suite::{env::Env, promotions::switches_under_load},
    ui,
};

/// Pauses of a client between two requests. Those on a connection that is kept meet its end the more often, the shorter.
const PAUSES: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(5)];
/// Promotions and rollbacks with each pause, and requests at least.
const EACH: (usize, u64) = (100, 500_000);

/// Asks, and tells.
pub async fn run(env: &Env, name: &'static str) -> Result<()> {
    let (switches, requests) = EACH;
    let (mut asked, mut failed) = (0, 0);
    for pause in PAUSES {
        let reports = switches_under_load(env, switches, requests, pause).await;
        env.clean_up().await?;
        let reports = reports?;
        ui::print(&format!(
            "\npause {} ms, {switches} switches\n{reports}",
            pause.as_millis()
        ));
        asked += reports.requests();
        failed += reports.failed();
    }
    let switches = PAUSES.len() * switches;
    ui::print(&format!(
        "{name}: {asked} requests over {switches} switches, failed {failed}"
    ));
    ensure!(failed == 0, "{failed} requests were lost");
    Ok(())
}
