//! What an installation says of its pods: their resources make a candidate, and their number the room at the database.

use anyhow::{Context as _, Result, ensure};
use plexica_crds::{names::Slot, plugin_installation::conditions::Type};
use serde_json::json;

use super::{
    PROMPT,
    differences::{login, pods},
    live::{Live, Told},
};
use crate::{
    cases,
    suite::{
        Case,
        clients::database,
        env::{Env, eventually},
        promotions::Installed,
    },
};

/// Sessions that a pod is told it may have, unless its release says otherwise.
const CONNECTIONS: i64 = 5;

/// Cases of this file.
pub fn cases() -> Vec<Case> {
    cases![false;
        other_resources_of_an_installation_make_a_candidate_and_change_no_pod_of_what_is_live,
        there_is_room_at_the_database_for_all_pods_and_each_is_told_how_much,
    ]
}

async fn other_resources_of_an_installation_make_a_candidate_and_change_no_pod_of_what_is_live(
    env: &Env,
) -> Result<()> {
    let promotion = json!({ "auto": false, "promotionDelay": "1s", "connectionDrain": "1s" });
    let installed = Installed::new(env, promotion, 1).await?;
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    let live = Live::of(&installed, false)?;
    let before = pods(&installed, Slot::A).await?;
    let is_unchanged = async || {
        let now = pods(&installed, Slot::A).await?;
        ensure!(
            now == before,
            "the pods of what is live are others: {}",
            json!(now.containers[0].resources)
        );
        Ok(())
    };
    let more = json!({ "requests": { "cpu": "10m", "memory": "24Mi" }, "limits": { "memory": "128Mi" } });
    plugins.patch(id, json!({ "spec": { "resources": more } })).await?;
    live.says(Told(Type::Promoted, &["AwaitingPromotion"])).await?;
    is_unchanged().await?;
    let next = json!(pods(&installed, Slot::B).await?.containers[0].resources);
    ensure!(next["requests"]["memory"] == "24Mi", "the candidate has {next}");

    installed.request("promote").await?;
    eventually("the candidate is live", PROMPT, async || {
        installed.leads_to(Slot::B).await
    })
    .await?;
    plugins.says(id, Type::RollbackAvailable, "True", "StandingBy").await?;
    is_unchanged().await.context("standing by")?;
    installed.request("rollback").await?;
    installed.back_in("1.0.0").await?;
    installed.leads_to(Slot::A).await?;
    is_unchanged().await.context("gone back")
}

/// Three pods of what is live and three of the candidate; one more of each while pods are replaced.
async fn there_is_room_at_the_database_for_all_pods_and_each_is_told_how_much(env: &Env) -> Result<()> {
    let promotion = json!({ "auto": false, "promotionDelay": "1s", "connectionDrain": "1s" });
    let installed = Installed::new(env, promotion, 3).await?;
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    installed.publish("1.1.0").await?;
    plugins.says(id, Type::Promoted, "False", "AwaitingPromotion").await?;
    let live = Live::of(&installed, false)?;
    has_room_for(&installed, 3).await?;
    plugins.patch(id, json!({ "spec": { "replicas": 4 } })).await?;
    live.has_ready(Slot::A, 4).await?;
    has_room_for(&installed, 4).await
}

async fn has_room_for(installed: &Installed<'_>, replicas: i64) -> Result<()> {
    for slot in [Slot::A, Slot::B] {
        let pods = pods(installed, slot).await?;
        let mut variables = pods.containers.iter().flat_map(|all| all.env.iter().flatten());
        let told = variables.find(|variable| variable.name == "PLEXICA_DATABASE_CONNECTIONS");
        let told = told.and_then(|variable| variable.value.clone());
        ensure!(
            told == Some(CONNECTIONS.to_string()),
            "pods of slot {} are told {told:?}",
            slot.as_ref()
        );
    }
    // Each slot may have a login of its own.
    let roles = [login(installed, Slot::A).await?, login(installed, Slot::B).await?];
    let room = CONNECTIONS * (2 * replicas + 1);
    eventually(&format!("room for {room} sessions"), PROMPT, async || {
        let limits = format!(
            "SELECT sum(rolconnlimit)::bigint FROM pg_roles WHERE rolname IN ('{}', '{}') AND rolconnlimit > 0",
            roles[0], roles[1]
        );
        let limit: Option<i64> = database::value(&installed.env.postgres, &limits).await?;
        ensure!(limit.is_some_and(|limit| limit >= room), "{roles:?} may have {limit:?}");
        Ok(())
    })
    .await
}
