//! Others decide how many pods there are: an autoscaler of Kubernetes, by the installation's scale.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use plexica_crds::names::Slot;
use serde_json::json;

use super::installed::Installed;
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
    cases![false; an_autoscaler_scales_the_installation_whichever_slot_is_live]
}

/// The stack has no metrics: what an autoscaler does without them is to keep its bounds.
async fn an_autoscaler_scales_the_installation_whichever_slot_is_live(env: &Env) -> Result<()> {
    let promotion = json!({ "promotionDelay": "1s", "connectionDrain": "1s" });
    let installed = Installed::new(env, promotion, 1).await?;
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    let selects = async |slot: Slot| -> Result<()> {
        let scale = plugins.api.get_scale(id).await?;
        let selector = scale.status.context("no status")?.selector.unwrap_or_default();
        let wanted = format!("plexica.io/plugin={id},plexica.io/slot={}", slot.as_ref());
        ensure!(selector == wanted, "it selects {selector}");
        Ok(())
    };
    selects(Slot::A).await?;

    let autoscaler = serde_json::from_value(json!({
        "metadata": { "name": id },
        "spec": {
            "scaleTargetRef": { "apiVersion": "plexica.io/v1alpha1", "kind": "PluginInstallation", "name": id },
            "minReplicas": 2,
            "maxReplicas": 3,
        },
    }))?;
    let autoscalers = plugins.objects::<HorizontalPodAutoscaler>();
    autoscalers.create(&PostParams::default(), &autoscaler).await?;
    let has = async |slot: Slot, count: i32| {
        eventually(
            &format!("{count} pods in slot {}", slot.as_ref()),
            PATIENCE,
            async || {
                let name = format!("{id}-{}", slot.as_ref());
                let status = plugins.objects::<Deployment>().get(&name).await?.status;
                let ready = status.and_then(|status| status.ready_replicas);
                ensure!(ready == Some(count), "{ready:?} are ready");
                Ok(())
            },
        )
        .await
    };
    has(Slot::A, 2).await?;

    installed.publish("1.1.0").await?;
    installed.live("1.1.0").await?;
    has(Slot::B, 2).await?;
    selects(Slot::B).await?;
    installed
        .until("2 replicas", |status| status.replicas == Some(2))
        .await?;
    autoscalers.delete(id, &DeleteParams::default()).await?;

    // By hand, as `kubectl scale pi` does.
    let three = Patch::Merge(json!({ "spec": { "replicas": 3 } }));
    plugins.api.patch_scale(id, &PatchParams::default(), &three).await?;
    has(Slot::B, 3).await
}
