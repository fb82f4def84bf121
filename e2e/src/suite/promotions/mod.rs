//! The traffic light on the real stack: releases go live and come back, whatever is done to them.

mod by_route;
mod candidates;
mod failing_steps;
mod installed;
mod killed_writes;
mod red;
mod renamed_column;
mod scaled;
mod slow_steps;
mod tampering;
mod together;
mod under_load;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use plexica_crds::{
    names::Slot,
    plugin_installation::{Step, TransitionResult, conditions::Type},
};
use serde_json::json;

use super::{
    Case,
    env::{Env, eventually},
    tenant_plugins::PATIENCE,
};
pub(super) use installed::Installed;
pub use killed_writes::killed_at_one_write_after_the_other;
pub use under_load::switches_under_load;

/// How soon the live Service leads to its slot again after somebody changed it (issue 5, section 2: within a second; the
/// rest is the test's own way of looking).
const REPAIRED: Duration = Duration::from_millis(1_500);

/// Cases of this folder.
pub fn cases() -> Vec<Case> {
    let mut all = crate::cases![false;
        a_release_goes_live_by_yellow_and_comes_back_at_once,
        what_never_becomes_ready_is_rejected_and_moves_nothing,
        what_fails_after_it_went_live_goes_back_by_itself,
        a_standby_outlasts_its_window_while_what_is_live_has_no_ready_pod,
    ];
    all.extend(by_route::cases());
    all.extend(candidates::cases());
    all.extend(failing_steps::cases());
    all.extend(renamed_column::cases());
    all.extend(scaled::cases());
    all.extend(slow_steps::cases());
    all.extend(tampering::cases());
    all.extend(together::cases());
    all.extend(under_load::cases());
    all.extend(killed_writes::cases());
    all.extend(red::cases());
    all
}

async fn a_release_goes_live_by_yellow_and_comes_back_at_once(env: &Env) -> Result<()> {
    let installed = Installed::new(env, json!({ "promotionDelay": "1s", "connectionDrain": "4s" }), 1).await?;
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    installed.leads_to(Slot::A).await?;

    installed.publish("1.1.0").await?;
    installed.live("1.1.0").await?;
    installed.leads_to(Slot::B).await?;
    ensure!(
        plugins.ask(id, "/version").await?["version"] == "1.1.0",
        "1.1.0 does not answer"
    );
    let way_back = plugins.says(id, Type::RollbackAvailable, "True", "StandingBy").await?;
    ensure!(way_back.message.contains("1.0.0"), "{}", way_back.message);
    let yellow = plugins.ask(&format!("{id}-yellow"), "/version").await?;
    ensure!(yellow["version"] == "1.0.0", "YELLOW answers {yellow}");

    installed.request("rollback").await?;
    installed
        .until("back", |status| {
            let ended = status.history.first();
            status.live_slot == Some(Slot::A) && ended.is_some_and(|e| e.result == TransitionResult::RolledBack)
        })
        .await?;
    ensure!(
        plugins.ask(id, "/version").await?["version"] == "1.0.0",
        "1.0.0 does not answer"
    );
    plugins
        .says(id, Type::VersionRejected, "True", "RolledBackByRequest")
        .await?;
    plugins.says(id, Type::Promoted, "False", "RolledBack").await?;
    plugins.ready(id).await?;

    installed.request("retry").await?;
    installed.live("1.1.0").await?;
    plugins.says(id, Type::VersionRejected, "False", "NotRejected").await?;
    Ok(())
}

async fn what_never_becomes_ready_is_rejected_and_moves_nothing(env: &Env) -> Result<()> {
    let promotion = json!({ "promotionDelay": "1s", "progressDeadline": "6s", "connectionDrain": "1s" });
    let installed = Installed::new(env, promotion, 1).await?;
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    installed.configure(json!({ "fault": "crash-loop" })).await?;
    let said = plugins
        .says(id, Type::VersionRejected, "True", "ProgressDeadlineExceeded")
        .await?;
    ensure!(said.message.contains("plexica.io/retry"), "{}", said.message);
    installed.leads_to(Slot::A).await?;
    ensure!(plugins.ask(id, "/version").await?["slot"] == "a", "it moved");
    plugins.says(id, Type::Ready, "True", "Installed").await?;
    installed
        .until("drained", |status| {
            status.slots.b.is_none() && status.transition.is_none()
        })
        .await?;
    // Another configuration is another candidate.
    installed.configure(json!({ "notReadyAfterSeconds": 1 })).await?;
    installed
        .until("live", |status| status.live_slot == Some(Slot::B))
        .await
}

async fn what_fails_after_it_went_live_goes_back_by_itself(env: &Env) -> Result<()> {
    let promotion = json!({ "promotionDelay": "1s", "connectionDrain": "1s", "autoRollback": true });
    let installed = Installed::new(env, promotion, 1).await?;
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    installed
        .configure(json!({ "fault": "not-ready-after-seconds", "notReadyAfterSeconds": 20 }))
        .await?;
    installed
        .until("what will fail is live", |status| status.live_slot == Some(Slot::B))
        .await?;
    installed
        .until("back", |status| {
            let ended = status.history.first();
            status.live_slot == Some(Slot::A) && ended.is_some_and(|e| e.result == TransitionResult::RolledBack)
        })
        .await?;
    installed.leads_to(Slot::A).await?;
    let said = plugins
        .says(id, Type::VersionRejected, "True", "FailedAfterPromotion")
        .await?;
    ensure!(said.message.contains("plexica.io/retry"), "{}", said.message);
    ensure!(plugins.ask(id, "/version").await?["slot"] == "a", "it did not go back");
    plugins.says(id, Type::Ready, "True", "Installed").await.map(drop)
}

async fn a_standby_outlasts_its_window_while_what_is_live_has_no_ready_pod(env: &Env) -> Result<()> {
    let promotion = json!({ "promotionDelay": "1s", "connectionDrain": "1s", "rollbackWindow": "25s" });
    let installed = Installed::new(env, promotion, 1).await?;
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    installed
        .configure(json!({ "fault": "not-ready-after-seconds", "notReadyAfterSeconds": 20 }))
        .await?;
    installed
        .until("a standby beside what fails", |status| {
            let standing = status.transition.as_ref().is_some_and(|t| t.step == Step::StandingBy);
            standing && status.slots.b.as_ref().is_some_and(|live| live.ready == 0)
        })
        .await?;
    plugins.says(id, Type::Ready, "False", "PodsStarting").await?;
    let deadline = installed
        .status()
        .await?
        .transition
        .and_then(|transition| transition.deadline);
    let closes = deadline.context("no deadline")?;
    eventually("the window's end", PATIENCE, async || {
        // Some passes later.
        ensure!(
            Timestamp::now() > closes.0 + SignedDuration::from_secs(5),
            "it is open until {closes:?}"
        );
        Ok(())
    })
    .await?;
    let standby = plugins.objects::<Deployment>().get(&format!("{id}-a")).await?;
    let ready = standby.status.and_then(|status| status.ready_replicas);
    ensure!(ready == Some(1), "{ready:?} pods of the standby are ready");
    installed.request("rollback").await?;
    eventually("the way back", REPAIRED, async || installed.leads_to(Slot::A).await).await?;
    ensure!(plugins.ask(id, "/version").await?["slot"] == "a", "it did not go back");
    plugins.says(id, Type::Ready, "True", "Installed").await.map(drop)
}
