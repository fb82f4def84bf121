//! Candidates: how they are asked and reached, how many there are, and what others may take from what is live meanwhile.

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::{core::v1::Pod, policy::v1::PodDisruptionBudget};
use kube::{
    ResourceExt,
    api::{DeleteParams, EvictParams, ListParams},
};
use plexica_crds::{
    names::Slot,
    plugin_installation::{Step, conditions::Type},
};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::installed::Installed;
use crate::{
    cases,
    suite::{
        Case,
        clients::gateway::{Entrance, answer, routes},
        env::{Env, eventually, unique},
        tenant_plugins::PATIENCE,
    },
};

/// Cases of this file.
pub fn cases() -> Vec<Case> {
    cases![false;
        yellow_is_reached_through_the_gateway_by_a_header_and_green_by_all_other_requests,
        one_pod_of_what_is_live_may_be_evicted_at_a_time_and_the_budget_moves_with_the_switch,
        what_does_not_answer_its_probe_is_rejected_for_that_and_goes_live_once_it_does,
        no_more_plugins_of_a_tenant_are_on_their_way_than_may_be_at_a_time,
    ]
}

async fn yellow_is_reached_through_the_gateway_by_a_header_and_green_by_all_other_requests(env: &Env) -> Result<()> {
    let promotion = json!({
        "auto": false, "promotionDelay": "1s", "connectionDrain": "1s", "rollbackWindow": "20s",
    });
    let installed = Installed::new(env, promotion, 1).await?;
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    let entrance = Entrance::of(&plugins.slug)?;
    let answers = async |header: &str, version: &str| {
        eventually(&format!("{version} by {header}"), PATIENCE, async || {
            let asked = entrance
                .request(Method::GET, id, "/version")
                .header("X-Plexica-Light", header);
            let answer = answer(asked, StatusCode::OK).await?;
            ensure!(answer["version"] == version, "it is {answer}");
            Ok(())
        })
        .await
    };
    let routed = async |what: &str, holds: fn(&str) -> bool| {
        installed
            .until(what, |status| {
                let routed = status.conditions.iter().find(|said| said.type_ == "Routed");
                routed.is_some_and(|said| said.status == "True" && holds(&said.message))
            })
            .await
    };
    // Nothing shines YELLOW.
    routed("GREEN alone", |message| !message.contains("YELLOW")).await?;
    answers("yellow", "1.0.0").await?;

    installed.publish("1.1.0").await?;
    plugins.says(id, Type::Promoted, "False", "AwaitingPromotion").await?;
    answers("yellow", "1.1.0").await?;
    answers("green", "1.0.0").await?;
    routed("both", |message| {
        message.ends_with(", and to YELLOW with header X-Plexica-Light: yellow")
    })
    .await?;

    installed.request("promote").await?;
    installed.live("1.1.0").await?;
    answers("green", "1.1.0").await?;
    answers("yellow", "1.0.0").await?;
    // When the standby is gone, GREEN is all there is.
    answers("yellow", "1.1.0").await?;
    routed("GREEN alone", |message| !message.contains("YELLOW")).await?;
    ensure!(
        routes(env, &plugins.slug)
            .get_opt(&format!("{id}-yellow"))
            .await?
            .is_none(),
        "the route is left"
    );
    Ok(())
}

async fn one_pod_of_what_is_live_may_be_evicted_at_a_time_and_the_budget_moves_with_the_switch(
    env: &Env,
) -> Result<()> {
    let promotion = json!({ "promotionDelay": "1s", "connectionDrain": "1s" });
    let installed = Installed::new(env, promotion, 2).await?;
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    let budgets = plugins.objects::<PodDisruptionBudget>();
    let admits = async |slot: Slot, count: i32| {
        eventually(
            &format!("a budget of {count} in slot {}", slot.as_ref()),
            PATIENCE,
            async || {
                let budget = budgets.get(id).await?;
                let selector = budget
                    .spec
                    .and_then(|spec| spec.selector?.match_labels)
                    .unwrap_or_default();
                let status = budget.status.context("no status")?;
                ensure!(
                    selector.get("plexica.io/slot").is_some_and(|of| of == slot.as_ref())
                        && status.observed_generation == budget.metadata.generation
                        && (status.expected_pods, status.disruptions_allowed) == (2, count),
                    "{selector:?} {status:?}"
                );
                Ok(())
            },
        )
        .await
    };
    admits(Slot::A, 1).await?;
    installed.publish("1.1.0").await?;
    installed.live("1.1.0").await?;
    admits(Slot::B, 1).await?;

    let pods = plugins.objects::<Pod>();
    let live = ListParams::default().labels(&format!("plexica.io/plugin={id},plexica.io/slot=b"));
    let [first, second] = &pods.list(&live).await?.items[..] else {
        bail!("there are not two pods");
    };
    // The second has to wait (429) until another pod is ready in place of the first: the client asks again, and so do we.
    for pod in [first, second] {
        let name = pod.name_any();
        eventually(&format!("the eviction of {name}"), PATIENCE, async || {
            Ok(pods.evict(&name, &EvictParams::default()).await.map(drop)?)
        })
        .await?;
    }
    let left = pods.list(&live).await?;
    ensure!(left.iter().any(serves), "both are evicted, and nothing serves");
    admits(Slot::B, 1).await?;

    // Whoever removes it: it is there again.
    let params = DeleteParams::default();
    budgets.delete(id, &params).await?;
    admits(Slot::B, 1).await
}

/// Ready, and not told to end.
fn serves(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready" && condition.status == "True");
    ready.next().is_some() && pod.metadata.deletion_timestamp.is_none()
}

async fn what_does_not_answer_its_probe_is_rejected_for_that_and_goes_live_once_it_does(env: &Env) -> Result<()> {
    let probe = json!({ "path": "/nowhere", "interval": "1s", "timeout": "1s" });
    let promotion =
        json!({ "promotionDelay": "2s", "progressDeadline": "12s", "connectionDrain": "1s", "probe": probe });
    let installed = Installed::new(env, promotion, 2).await?;
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    installed.publish("1.1.0").await?;
    installed
        .until("asked", |status| {
            let promoted = status.conditions.iter().find(|said| said.type_ == "Promoted");
            promoted.is_some_and(|said| {
                said.message.contains("2 of 2 pods ready (GET /nowhere of pod ")
                    && said.message.contains("answers 404 Not Found")
            })
        })
        .await?;
    let said = plugins.says(id, Type::VersionRejected, "True", "ProbeFailed").await?;
    ensure!(said.message.contains("plexica.io/retry"), "{}", said.message);
    installed.leads_to(Slot::A).await?;
    ensure!(
        plugins.ask(id, "/version").await?["version"] == "1.0.0",
        "1.0.0 does not answer"
    );
    plugins.says(id, Type::Ready, "True", "Installed").await?;

    let answered = json!({ "spec": { "promotion": { "probe": { "path": "/version" } } } });
    plugins.patch(id, answered).await?;
    installed.request("retry").await?;
    installed.live("1.1.0").await?;
    installed.leads_to(Slot::B).await
}

/// The stack's platform file says two (e2e/stack-values.yaml).
async fn no_more_plugins_of_a_tenant_are_on_their_way_than_may_be_at_a_time(env: &Env) -> Result<()> {
    let promotion = json!({ "promotionDelay": "1s", "connectionDrain": "1s" });
    let first = Installed::new(env, promotion.clone(), 1).await?;
    let plugins = &first.plugins;
    let [second, third] = [(), ()].map(|()| Installed {
        id: unique("tl"),
        ..first.clone()
    });
    for other in [&second, &third] {
        other.publish("1.0.0").await?;
        plugins
            .install(&other.id, json!({ "promotion": promotion, "replicas": 1 }))
            .await?;
        plugins.ready(&other.id).await?;
    }
    for stuck in [&first, &second] {
        stuck.configure(json!({ "fault": "crash-loop" })).await?;
        stuck
            .until("a candidate", |status| {
                let transition = status.transition.as_ref();
                transition.is_some_and(|transition| transition.step == Step::Deploying)
            })
            .await?;
    }
    third.publish("1.1.0").await?;
    let said = plugins
        .says(&third.id, Type::Promoted, "False", "AwaitingOthers")
        .await?;
    ensure!(
        said.message.starts_with("1.1.0 comes later: ")
            && [&first, &second].iter().all(|stuck| said.message.contains(&stuck.id)),
        "{}",
        said.message
    );
    ensure!(third.status().await?.transition.is_none(), "it was begun");
    first.configure(json!({ "notReadyAfterSeconds": 1 })).await?;
    third.live("1.1.0").await
}
