//! `switchBy: Route`: the Gateway's route leads to a Service of each slot; its backends move, and no selector of theirs does.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use plexica_crds::{
    names::Slot,
    plugin_installation::{Step, conditions::Type},
};
use plexica_operator::gateway_api::HTTPRoute;
use serde_json::{Value, json};

use super::installed::Installed;
use crate::{
    cases,
    load::{Load, Mix},
    suite::{
        Case,
        clients::gateway::{Entrance, is_taken},
        env::{Env, eventually},
        observe::operator,
        tenant_plugins::PATIENCE,
    },
    ui,
};

/// Cases of this file.
pub fn cases() -> Vec<Case> {
    cases![true; backends_of_the_route_move_and_no_selector_and_no_request_is_lost]
}

async fn backends_of_the_route_move_and_no_selector_and_no_request_is_lost(env: &Env) -> Result<()> {
    let promotion = json!({ "promotionDelay": "1s", "connectionDrain": "2s", "switchBy": "Route" });
    let installed = Installed::new(env, promotion, 2).await?;
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    let entrance = Entrance::of(&plugins.slug)?;
    leads_to(&installed, [(&slot(id, Slot::A), 1), (&slot(id, Slot::B), 0)]).await?;
    let unmoved = slot_services(&installed).await?;
    let mix = Mix {
        new_connections: 4,
        kept: 4,
        http2: 0,
        websocket: 2,
        slow: 2,
        ..Mix::default()
    };
    let load = Load::start(&entrance.target(id), &mix);

    for round in 1..=6 {
        let before = installed.status().await?.live_slot.context("nothing is live")?;
        match round % 3 {
            // What was gone back from is wanted again.
            0 => installed.request("retry").await?,
            1 => installed.configure(json!({ "notReadyAfterSeconds": round })).await?,
            _ => installed.request("rollback").await?,
        }
        if round % 2 == 0 {
            operator::kill_and_replace(env).await?;
        }
        let after = before.other();
        installed
            .until("a switch that is proven", |status| {
                let is_proven = status
                    .transition
                    .as_ref()
                    .is_none_or(|moving| moving.step > Step::Proving);
                status.live_slot == Some(after) && is_proven
            })
            .await?;
        // Proven is what the Gateway has taken.
        let route = plugins.objects::<HTTPRoute>().get(id).await?;
        let (to, from) = (slot(id, after), slot(id, before));
        let weights = [(to.as_str(), 1), (from.as_str(), 0)];
        ensure!(
            is_led(&route, weights) && is_taken(&route),
            "round {round}, {before:?} to {after:?}: generation {:?} of {:?}, said {:?}",
            route.metadata.generation,
            route
                .spec
                .rules
                .iter()
                .flat_map(|rule| &rule.backend_refs)
                .map(|to| (&to.name, to.weight))
                .collect::<Vec<_>>(),
            route.status
        );
        installed.leads_to(after).await?;
    }
    ensure!(
        slot_services(&installed).await? == unmoved,
        "a Service of a slot was written"
    );

    let switch_by = |way: &str| json!({ "spec": { "promotion": { "switchBy": way } } });
    plugins.patch(id, switch_by("Service")).await?;
    leads_to(&installed, [(id, 1)]).await?;
    eventually("the Services of slots are gone", PATIENCE, async || {
        let left = slot_services(&installed).await?;
        ensure!(left.is_empty(), "{left:?} are left");
        Ok(())
    })
    .await?;
    plugins.patch(id, switch_by("Route")).await?;
    let live = installed.status().await?.live_slot.context("nothing is live")?;
    leads_to(&installed, [(&slot(id, live), 1), (&slot(id, live.other()), 0)]).await?;
    plugins.says(id, Type::Routed, "True", "RouteAccepted").await?;

    let report = load.stop().await;
    ui::print(&format!(
        "        6 switches by the route, and two changes of the way\n{report}"
    ));
    ensure!(report.failed() == 0, "{} requests were lost\n{report}", report.failed());
    Ok(())
}

fn slot(id: &str, slot: Slot) -> String {
    format!("{id}-slot-{}", slot.as_ref())
}

/// Waits until the route leads to these Services alone, by these weights.
async fn leads_to<const N: usize>(installed: &Installed<'_>, weights: [(&str, i32); N]) -> Result<()> {
    let routes = installed.plugins.objects::<HTTPRoute>();
    eventually("the route", PATIENCE, async || {
        let route = routes.get(&installed.id).await?;
        ensure!(is_led(&route, weights), "{:?}", route.spec.rules);
        Ok(())
    })
    .await
}

fn is_led<const N: usize>(route: &HTTPRoute, weights: [(&str, i32); N]) -> bool {
    let backends = route.spec.rules.iter().flat_map(|rule| &rule.backend_refs);
    let mut found: Vec<_> = backends
        .map(|backend| (backend.name.as_str(), backend.weight))
        .collect();
    let mut wanted = weights.to_vec();
    found.sort_unstable();
    wanted.sort_unstable();
    found == wanted
}

/// The Services of slots, as they are.
async fn slot_services(installed: &Installed<'_>) -> Result<Vec<Value>> {
    let services = installed.plugins.objects::<Service>();
    let mut found = vec![];
    for slot_name in [Slot::A, Slot::B].map(|which| slot(&installed.id, which)) {
        if let Some(service) = services.get_opt(&slot_name).await? {
            found.push(
                json!({ "name": service.name_any(), "uid": service.uid(), "version": service.resource_version() }),
            );
        }
    }
    Ok(found)
}
