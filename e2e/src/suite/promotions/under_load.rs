//! Clients that ask all the while see nothing of releases that come and go.

use std::time::Duration;

use anyhow::{Result, ensure};
use plexica_crds::plugin_installation::{PluginInstallationStatus, Step};
use serde_json::json;
use strum::IntoEnumIterator;

use super::installed::Installed;
use crate::{
    cases,
    load::{Kind, Load, Mix, Report, Target},
    suite::{Case, env::Env, observe::operator},
    ui,
};

/// Switches under load, and requests at least.
const UNDER_LOAD: (usize, u64) = (20, 50_000);

/// Cases of this file.
pub fn cases() -> Vec<Case> {
    cases![true; no_request_is_lost_while_releases_come_and_go_and_the_operator_is_killed]
}

async fn no_request_is_lost_while_releases_come_and_go_and_the_operator_is_killed(env: &Env) -> Result<()> {
    let (switches, requests) = UNDER_LOAD;
    let report = switches_under_load(env, switches, requests, Mix::default().pause).await?;
    ui::print(&format!("        {switches} switches\n{report}"));
    ensure!(report.failed() == 0, "{} requests were lost\n{report}", report.failed());
    for kind in Kind::iter() {
        ensure!(
            report.of(kind).is_some_and(|tally| tally.requests > 0),
            "{kind} asked nothing"
        );
    }
    Ok(())
}

/// Promotions and rollbacks, so many, while clients of all kinds ask at least so much with this pause between two requests
/// of one client; candidates that never become ready come in between, and the operator is killed now and then.
pub async fn switches_under_load(env: &Env, switches: usize, requests: u64, pause: Duration) -> Result<Report> {
    let promotion = json!({ "promotionDelay": "1s", "progressDeadline": "20s", "connectionDrain": "2s" });
    let installed = Installed::new(env, promotion, 2).await?;
    let target = Target::at(installed.address().await?);
    let load = Load::start(
        &target,
        &Mix {
            new_connections: 6,
            kept: 8,
            http2: 8,
            websocket: 6,
            slow: 4,
            pause,
            ..Mix::default()
        },
    );
    let mut done = 0;
    let mut round = 0;
    while done < switches || load.snapshot().requests() < requests {
        round += 1;
        ensure!(
            round <= 3 * switches,
            "{done} switches in {round} rounds: {}",
            load.snapshot()
        );
        let before = installed.status().await?.live_slot;
        load.switch_begins();
        match round % 5 {
            // A candidate that never becomes ready is in between, and makes way.
            3 => {
                installed
                    .configure(json!({ "fault": "crash-loop", "crashAfterSeconds": round }))
                    .await?;
                installed
                    .until("a candidate", |status| {
                        status.transition.as_ref().is_some_and(|t| t.from == before)
                    })
                    .await?;
                continue;
            }
            0 => {
                let back = installed
                    .status()
                    .await?
                    .rollback
                    .is_some_and(|rollback| rollback.available);
                if !back {
                    continue;
                }
                installed.request("rollback").await?;
            }
            _ => installed.configure(json!({ "notReadyAfterSeconds": round })).await?,
        }
        if round % 3 == 0 {
            operator::kill_and_replace(env).await?;
        }
        installed
            .until("a switch", |status| {
                let proven = status.transition.as_ref().is_none_or(|t| t.step > Step::Proving);
                status.live_slot != before && proven
            })
            .await?;
        done += 1;
        let status = installed.status().await?;
        let has_moved = |status: &PluginInstallationStatus| {
            let transition = status.transition.as_ref();
            transition.is_none_or(|moving| moving.step > Step::MovingConnections)
        };
        // Every other time it is watched until clients have left the former slot; else the next comes at once.
        if let Some(live) = status.live_slot.filter(|_| done % 2 == 0 && !has_moved(&status)) {
            load.switch_is_proven(live.as_ref());
            installed.until("connections that have moved", has_moved).await?;
        }
    }
    Ok(load.stop().await)
}
