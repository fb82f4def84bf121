//! RED: a development slot beside what is live, which sleeps while nobody speaks to it.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Service},
    events::v1::Event,
    networking::v1::NetworkPolicy,
};
use kube::{
    ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use plexica_crds::{
    condition,
    names::Slot,
    plugin_installation::{Light, conditions::Type},
};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::installed::Installed;
use crate::{
    cases,
    suite::{
        Case,
        env::{Env, contains, eventually},
        tenant_plugins::PATIENCE,
    },
};

/// How long nobody speaks to RED before it sleeps.
const IDLE_AFTER: &str = "3s";
/// Longer than that, with the time of a look.
const LONGER: SignedDuration = SignedDuration::from_secs(5);
/// Longest answer of RED.
const ANSWER: Duration = Duration::from_secs(5);

/// Cases of this file.
pub fn cases() -> Vec<Case> {
    cases![false;
        red_runs_a_pre_release_beside_green_sleeps_when_nobody_speaks_to_it_and_wakes_once,
        red_applies_no_migrations_and_is_not_started_before_they_are_applied,
    ]
}

async fn red_runs_a_pre_release_beside_green_sleeps_when_nobody_speaks_to_it_and_wakes_once(env: &Env) -> Result<()> {
    let installed = Installed::new(env, json!({}), 1).await?;
    let red = Red(&installed);
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    installed.publish("2.0.0-rc.1").await?;
    red.is(json!({ "enabled": true, "idleAfter": IDLE_AFTER })).await?;
    plugins.says(id, Type::RedAvailable, "True", "Awake").await?;
    let address = red.address().await?;
    // An open connection keeps it up, whatever is said there.
    let open = red.open(address).await?;
    let answer = red.answer(address).await?;
    ensure!(
        answer["version"] == "2.0.0-rc.1" && answer["slot"] == "red",
        "RED answers {answer}"
    );
    installed.leads_to(Slot::A).await?;
    let answer = plugins.ask(id, "/version").await?;
    ensure!(
        answer["version"] == "1.0.0" && answer["slot"] == "a",
        "GREEN answers {answer}"
    );
    let until = Timestamp::now() + LONGER;
    eventually("time in which RED could have slept", PATIENCE, async || {
        ensure!(Timestamp::now() > until, "not yet");
        Ok(())
    })
    .await?;
    ensure!(red.size().await? == Some(1), "RED sleeps while somebody speaks to it");

    drop(open);
    let asleep = plugins.says(id, Type::RedAvailable, "False", "Asleep").await?;
    contains(
        &asleep.message,
        &format!("kubectl annotate pi {id} -n tenant-{}", plugins.slug),
    )?;
    ensure!(red.size().await? == Some(0), "it has a pod");
    let status = installed.status().await?;
    ensure!(
        status.lights.red.as_deref() == Some("2.0.0-rc.1 asleep"),
        "{:?}",
        status.lights
    );
    let slot = status.slots.red.context("no slot")?;
    ensure!(
        slot.light == Some(Light::Red) && slot.message.as_ref() == Some(&asleep.message),
        "{slot:?}"
    );
    works(&installed).await?;
    // That it sleeps is in the cluster, not in the status or the operator's memory.
    let empty = json!({ "status": null });
    let params = PatchParams::default();
    plugins.api.patch_status(id, &params, &Patch::Merge(&empty)).await?;
    let touch = json!({ "metadata": { "annotations": { "example.com/touched": "now" } } });
    plugins.patch(id, touch).await?;
    let still = plugins.says(id, Type::RedAvailable, "False", "Asleep").await?;
    ensure!(still.message == asleep.message, "{}", still.message);

    installed.request("wake").await?;
    plugins.says(id, Type::RedAvailable, "True", "Awake").await?;
    drop(red.open(address).await?);
    red.answer(address).await?;
    let asked = plugins.api.get(id).await?.annotations().get("plexica.io/wake").cloned();
    ensure!(
        asked.is_some() && installed.status().await?.requests.wake == asked,
        "the request is not recorded"
    );
    plugins.says(id, Type::RedAvailable, "False", "Asleep").await?;
    // The same request wakes nobody in a later pass.
    red.is(json!({ "version": "^2" })).await?;
    plugins.says(id, Type::RedAvailable, "False", "Asleep").await?;
    ensure!(red.size().await? == Some(0), "it woke twice");
    for action in ["Waking", "Asleep"] {
        eventually("an event", PATIENCE, async || red.has_event(action).await).await?;
    }

    // Another version wakes it; that it fails is its own affair.
    let fails = json!({ "configuration": { "defaults": { "fault": "crash-loop" } } });
    installed.publish_with("2.0.0-rc.2", fails).await?;
    let failing = plugins.says(id, Type::RedAvailable, "False", "PodsFailing").await?;
    contains(&failing.message, "2.0.0-rc.2")?;
    works(&installed).await?;

    red.is(json!({ "enabled": false })).await?;
    red.has_left_nothing().await?;
    let installation = plugins.api.get(id).await?;
    let status = installation.status.context("no status")?;
    ensure!(
        status.slots.red.is_none() && condition::find(&status.conditions, "RedAvailable").is_none(),
        "it is told of still"
    );
    works(&installed).await
}

async fn red_applies_no_migrations_and_is_not_started_before_they_are_applied(env: &Env) -> Result<()> {
    let promotion = json!({ "promotionDelay": "1s", "connectionDrain": "1s" });
    let installed = Installed::new(env, promotion, 1).await?;
    let red = Red(&installed);
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    let migration = json!({ "name": "0001_things", "sql": "CREATE TABLE things (id bigint PRIMARY KEY)" });
    installed
        .publish_with("2.0.0-rc.1", json!({ "migrations": [migration] }))
        .await?;
    red.is(json!({ "enabled": true, "version": "^1" })).await?;
    plugins.says(id, Type::RedAvailable, "True", "Awake").await?;

    red.is(json!({ "version": "^2" })).await?;
    let refused = plugins
        .says(id, Type::RedAvailable, "False", "MigrationsMissing")
        .await?;
    for part in ["2.0.0-rc.1", "0001_things", "spec.version", "spec.red.version"] {
        contains(&refused.message, part)?;
    }
    ensure!(red.size().await?.is_none(), "it runs");
    works(&installed).await?;

    // Once the release is live its migrations are applied.
    plugins
        .patch(id, json!({ "spec": { "version": "=2.0.0-rc.1" } }))
        .await?;
    installed.live("2.0.0-rc.1").await?;
    plugins.says(id, Type::RedAvailable, "True", "Awake").await?;
    plugins.patch(id, json!({ "spec": { "enabled": false } })).await?;
    plugins.says(id, Type::Ready, "False", "Disabled").await?;
    red.has_left_nothing().await?;
    plugins.patch(id, json!({ "spec": { "enabled": true } })).await?;
    plugins.says(id, Type::RedAvailable, "True", "Awake").await?;
    plugins.remove(id).await?;
    red.has_left_nothing().await?;
    let left = plugins
        .objects::<ConfigMap>()
        .list(&ListParams::default().labels(&format!("plexica.io/plugin={id}")))
        .await?;
    ensure!(left.items.is_empty(), "a configuration is left");
    Ok(())
}

/// Nothing that is live knows of RED.
async fn works(installed: &Installed<'_>) -> Result<()> {
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    plugins.says(id, Type::Ready, "True", "Installed").await?;
    plugins.says(id, Type::Promoted, "True", "Live").await.map(drop)
}

/// RED of an installation.
struct Red<'a>(&'a Installed<'a>);

impl Red<'_> {
    fn name(&self) -> String {
        format!("{}-red", self.0.id)
    }

    /// Another `spec.red`: what it does not say stays.
    async fn is(&self, spec: Value) -> Result<()> {
        let patch = json!({ "spec": { "red": spec } });
        self.0.plugins.patch(&self.0.id, patch).await
    }

    /// How many pods it is to have; `None` if there is none of it.
    async fn size(&self) -> Result<Option<i32>> {
        let found = self.0.plugins.objects::<Deployment>().get_opt(&self.name()).await?;
        Ok(found.and_then(|deployment| deployment.spec?.replicas))
    }

    async fn address(&self) -> Result<SocketAddr> {
        let service = self.0.plugins.objects::<Service>().get(&self.name()).await?;
        let address = service.spec.and_then(|spec| spec.cluster_ip).context("no address")?;
        Ok(SocketAddr::new(address.parse()?, 80))
    }

    /// A connection to it, as soon as the node leads its Service to the pod that is ready.
    async fn open(&self, address: SocketAddr) -> Result<TcpStream> {
        eventually("a connection", ANSWER, async || Ok(TcpStream::connect(address).await?)).await
    }

    /// What it answers, over a connection that ends then: the API server's would be kept.
    async fn answer(&self, address: SocketAddr) -> Result<Value> {
        let asked = self.0.env.http.get(format!("http://{address}/version"));
        let asked = asked.header("connection", "close").timeout(ANSWER);
        Ok(asked.send().await?.error_for_status()?.json().await?)
    }

    async fn has_event(&self, action: &str) -> Result<()> {
        let events = self.0.plugins.objects::<Event>().list(&ListParams::default()).await?;
        let told = events.iter().any(|event| {
            let of = event.regarding.as_ref().and_then(|object| object.name.as_deref());
            of == Some(self.0.id.as_str()) && event.action.as_deref() == Some(action)
        });
        ensure!(told, "none says {action}");
        Ok(())
    }

    /// Nothing of it is there any more.
    async fn has_left_nothing(&self) -> Result<()> {
        let plugins = &self.0.plugins;
        let of_red = ListParams::default().labels(&format!("plexica.io/plugin={},plexica.io/slot=red", self.0.id));
        eventually("RED is gone", PATIENCE, async || {
            let deployments = plugins.objects::<Deployment>().list(&of_red).await?.items;
            let services = plugins.objects::<Service>().list(&of_red).await?.items;
            let policies = plugins.objects::<NetworkPolicy>().list(&of_red).await?.items;
            ensure!(
                deployments.is_empty() && services.is_empty() && policies.is_empty(),
                "{} Deployments, {} Services and {} NetworkPolicies are left",
                deployments.len(),
                services.len(),
                policies.len()
            );
            Ok(())
        })
        .await
    }
}
