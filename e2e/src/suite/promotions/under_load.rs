//! Clients that ask all the while see nothing of releases that come and go.

use std::{
    fmt::{self, Display},
    net::SocketAddr,
    time::Duration,
};

use anyhow::{Result, ensure};
use plexica_crds::plugin_installation::{PluginInstallationStatus, Step};
use serde_json::json;
use strum::IntoEnumIterator;

use super::installed::Installed;
use crate::{
    cases,
    load::{Kind, Load, Mix, Report, Target},
    suite::{Case, clients::gateway::Entrance, env::Env, observe::operator},
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
    let reports = switches_under_load(env, switches, requests, Mix::default().pause).await?;
    ui::print(&format!("        {switches} switches\n{reports}"));
    ensure!(
        reports.failed() == 0,
        "{} requests were lost\n{reports}",
        reports.failed()
    );
    for kind in Kind::iter() {
        ensure!(
            reports.service.of(kind).is_some_and(|tally| tally.requests > 0),
            "{kind} asked nothing"
        );
    }
    Ok(())
}

/// What clients saw, by the way they came.
pub struct Reports {
    /// By the live Service.
    pub service: Report,
    /// By the platform's Gateway.
    pub gateway: Report,
}

impl Reports {
    /// Requests and messages of all.
    pub fn requests(&self) -> u64 {
        self.service.requests() + self.gateway.requests()
    }

    /// How many of them were lost.
    pub fn failed(&self) -> u64 {
        self.service.failed() + self.gateway.failed()
    }
}

impl Display for Reports {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "by the Service\n{}by the Gateway\n{}", self.service, self.gateway)
    }
}

/// Clients of all kinds at the live Service.
fn at_service(address: SocketAddr, pause: Duration) -> Load {
    let mix = Mix {
        new_connections: 6,
        kept: 8,
        http2: 8,
        websocket: 6,
        slow: 4,
        pause,
        ..Mix::default()
    };
    Load::start(&Target::at(address), &mix)
}

/// Some clients at the Gateway, which keeps connections of its own to pods.
fn at_gateway(entrance: &Entrance, id: &str, pause: Duration) -> Load {
    let mix = Mix {
        new_connections: 3,
        kept: 3,
        http2: 0,
        websocket: 0,
        slow: 1,
        pause,
        ..Mix::default()
    };
    Load::start(&entrance.target(id), &mix)
}

/// Promotions and rollbacks, so many, while clients ask the Service at least so much with this pause between two requests
/// of one client; candidates that never become ready come in between, and the operator is killed now and then.
pub async fn switches_under_load(env: &Env, switches: usize, requests: u64, pause: Duration) -> Result<Reports> {
    let promotion = json!({ "promotionDelay": "1s", "progressDeadline": "20s", "connectionDrain": "2s" });
    let installed = Installed::new(env, promotion, 2).await?;
    let entrance = Entrance::of(&installed.plugins.slug)?;
    installed.until("a route", |status| status.url.is_some()).await?;
    let load = at_service(installed.address().await?, pause);
    let by_gateway = at_gateway(&entrance, &installed.id, pause);
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
        by_gateway.switch_begins();
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
            by_gateway.switch_is_proven(live.as_ref());
            installed.until("connections that have moved", has_moved).await?;
        }
    }
    let (service, gateway) = tokio::join!(load.stop(), by_gateway.stop());
    Ok(Reports { service, gateway })
}
