//! What others do to an installation's objects moves nothing, and is set right.

use anyhow::{Result, ensure};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service};
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use plexica_crds::{names::Slot, plugin_installation::conditions::Type};
use serde_json::json;

use super::{REPAIRED, installed::Installed};
use crate::{
    cases,
    suite::{
        Case,
        env::{Env, eventually},
        tenant_plugins::PATIENCE,
    },
};

/// Cases of this file.
pub fn cases() -> Vec<Case> {
    cases![false;
        a_changed_service_leads_to_the_live_slot_again_and_opens_no_gate,
        an_intent_that_was_written_down_is_carried_out_by_whoever_comes_next,
        an_emptied_status_opens_no_gate_and_a_deleted_deployment_comes_back,
    ]
}

async fn a_changed_service_leads_to_the_live_slot_again_and_opens_no_gate(env: &Env) -> Result<()> {
    let promotion = json!({ "auto": false, "promotionDelay": "1s", "connectionDrain": "4s" });
    let installed = Installed::new(env, promotion, 1).await?;
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    installed.publish("1.1.0").await?;
    let waits = plugins.says(id, Type::Promoted, "False", "AwaitingPromotion").await?;
    ensure!(waits.message.contains("plexica.io/promote"), "{}", waits.message);

    let services = plugins.objects::<Service>();
    let ports = json!([{ "name": "http", "port": 80, "targetPort": "http" }]);
    let without_slot = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": id },
        "spec": { "selector": { "plexica.io/plugin": id }, "ports": ports },
    });
    let to_the_candidate = json!({ "spec": { "selector": { "plexica.io/slot": "b" } } });
    // As Argo CD and Flux do.
    let forced = PatchParams::apply("argocd-controller").force();
    services.patch(id, &forced, &Patch::Apply(&without_slot)).await?;
    eventually("a stripped selector", REPAIRED, async || {
        installed.leads_to(Slot::A).await
    })
    .await?;
    services
        .patch(id, &PatchParams::default(), &Patch::Merge(&to_the_candidate))
        .await?;
    eventually("a changed selector", REPAIRED, async || {
        installed.leads_to(Slot::A).await
    })
    .await?;
    services.delete(id, &DeleteParams::default()).await?;
    eventually("a deleted Service", REPAIRED, async || {
        installed.leads_to(Slot::A).await
    })
    .await?;

    let status = installed.status().await?;
    ensure!(status.live_slot == Some(Slot::A), "{:?}", status.live_slot);
    plugins.says(id, Type::Promoted, "False", "AwaitingPromotion").await?;
    installed.request("promote").await?;
    installed.live("1.1.0").await?;
    installed.leads_to(Slot::B).await
}

/// As after an operator that was killed between the intent and the write of the Service.
async fn an_intent_that_was_written_down_is_carried_out_by_whoever_comes_next(env: &Env) -> Result<()> {
    let promotion = json!({ "auto": false, "promotionDelay": "1s", "connectionDrain": "1s" });
    let installed = Installed::new(env, promotion, 1).await?;
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    installed.publish("1.1.0").await?;
    plugins.says(id, Type::Promoted, "False", "AwaitingPromotion").await?;
    let intent = json!({ "status": { "transition": { "step": "Switching" } } });
    plugins
        .api
        .patch_status(id, &PatchParams::default(), &Patch::Merge(&intent))
        .await?;
    // The operator looks at it now, not at its next resync.
    let touch = json!({ "metadata": { "annotations": { "example.com/touched": "now" } } });
    plugins.patch(id, touch).await?;
    installed.live("1.1.0").await?;
    installed.leads_to(Slot::B).await
}

async fn an_emptied_status_opens_no_gate_and_a_deleted_deployment_comes_back(env: &Env) -> Result<()> {
    let promotion = json!({ "auto": false, "promotionDelay": "1s", "connectionDrain": "4s" });
    let installed = Installed::new(env, promotion, 1).await?;
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    installed.publish("1.1.0").await?;
    plugins.says(id, Type::Promoted, "False", "AwaitingPromotion").await?;
    let empty = json!({ "status": null });
    plugins
        .api
        .patch_status(id, &PatchParams::default(), &Patch::Merge(&empty))
        .await?;
    // The operator looks at it now, not at its next resync.
    let touch = json!({ "metadata": { "annotations": { "example.com/touched": "now" } } });
    plugins.patch(id, touch).await?;
    plugins.says(id, Type::Promoted, "False", "AwaitingPromotion").await?;
    installed.leads_to(Slot::A).await?;
    ensure!(
        installed.status().await?.live_slot == Some(Slot::A),
        "another slot is live"
    );

    let deployments = plugins.objects::<Deployment>();
    let name = format!("{id}-a");
    let before = deployments.get(&name).await?.uid();
    deployments.delete(&name, &DeleteParams::default()).await?;
    eventually("the live Deployment is back", PATIENCE, async || {
        let deployment = deployments.get(&name).await?;
        ensure!(deployment.uid() != before, "it is the old one");
        ensure!(
            deployment.status.and_then(|status| status.ready_replicas) == Some(1),
            "it is not ready"
        );
        Ok(())
    })
    .await?;
    let image = plugins.ask(id, "/version").await?;
    ensure!(image["version"] == "1.0.0" && image["slot"] == "a", "it runs {image}");
    installed.leads_to(Slot::A).await
}
