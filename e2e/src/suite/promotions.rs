//! The traffic light on the real stack: releases go live and come back, whatever is done to them.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service};
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use plexica_crds::{
    names::Slot,
    plugin_installation::{PluginInstallationStatus, Step, TransitionResult, conditions::Type},
};
use serde_json::{Value, json};
use strum::IntoEnumIterator;

use super::{
    Case,
    env::{Env, eventually, unique},
    tenant_plugins::{PATIENCE, TenantPlugins},
};
use crate::{
    load::{Kind, Load, Mix, Report, Target},
    suite::observe::operator,
    traffic, ui,
};

/// How soon the live Service leads to its slot again after somebody changed it (issue 5, section 2: within a second; the
/// rest is the test's own way of looking).
const REPAIRED: Duration = Duration::from_millis(1_500);
/// Switches under load, and requests at least.
const UNDER_LOAD: (usize, u64) = (20, 50_000);

/// See the file's description.
pub fn cases() -> Vec<Case> {
    let mut all = crate::cases![true; no_request_is_lost_while_releases_come_and_go_and_the_operator_is_killed];
    all.extend(crate::cases![false;
        a_release_goes_live_by_yellow_and_comes_back_at_once,
        what_never_becomes_ready_is_rejected_and_moves_nothing,
        a_provider_goes_back_after_those_that_need_it,
        what_fails_after_it_went_live_goes_back_by_itself,
        a_standby_outlasts_its_window_while_what_is_live_has_no_ready_pod,
        a_changed_service_leads_to_the_live_slot_again_and_opens_no_gate,
        an_intent_that_was_written_down_is_carried_out_by_whoever_comes_next,
        an_emptied_status_opens_no_gate_and_a_deleted_deployment_comes_back,
    ]);
    all
}

/// An installation of the traffic plugin, with releases of its own.
#[derive(Clone)]
struct Installed<'a> {
    env: &'a Env,
    plugins: TenantPlugins<'a>,
    id: String,
}

impl<'a> Installed<'a> {
    /// Release 1.0.0 is live.
    async fn new(env: &'a Env, promotion: Value, replicas: i32) -> Result<Self> {
        let id = unique("tl");
        let plugins = TenantPlugins::of_new_tenant(env).await?;
        let installed = Self { env, plugins, id };
        installed.publish("1.0.0").await?;
        let spec = json!({ "promotion": promotion, "replicas": replicas });
        installed.plugins.install(&installed.id, spec).await?;
        installed.plugins.ready(&installed.id).await?;
        Ok(installed)
    }

    async fn publish(&self, version: &str) -> Result<()> {
        let spec = traffic::spec(&self.id, version, traffic::IMAGE);
        self.env.publish(&self.id, version, spec).await.map(drop)
    }

    /// A release that needs another plugin.
    async fn publish_needing(&self, version: &str, provider: &str, range: &str) -> Result<()> {
        let mut spec = traffic::spec(&self.id, version, traffic::IMAGE);
        spec["dependencies"] = json!([{ "plugin": provider, "version": range }]);
        self.env.publish(&self.id, version, spec).await.map(drop)
    }

    /// Waits until this version is live again, after a rollback.
    async fn back_in(&self, version: &str) -> Result<()> {
        self.until(&format!("back in {version}"), |status| {
            let live = status.live_slot.and_then(|slot| status.slots.get(slot));
            let ended = status.history.first();
            live.is_some_and(|live| live.version == version)
                && ended.is_some_and(|ended| ended.result == TransitionResult::RolledBack)
        })
        .await
    }

    async fn request(&self, name: &str) -> Result<()> {
        let annotation = format!("plexica.io/{name}");
        let patch = json!({ "metadata": { "annotations": { annotation: unique("ask") } } });
        self.plugins.patch(&self.id, patch).await
    }

    /// Another configuration: what it does not say is as the plugin says.
    async fn configure(&self, mut config: Value) -> Result<()> {
        for key in ["fault", "notReadyAfterSeconds", "crashAfterSeconds"] {
            if config.get(key).is_none() {
                config[key] = Value::Null;
            }
        }
        self.plugins
            .patch(&self.id, json!({ "spec": { "config": config } }))
            .await
    }

    async fn status(&self) -> Result<PluginInstallationStatus> {
        self.plugins.api.get(&self.id).await?.status.context("no status")
    }

    /// Waits until the status is so; the error shows it.
    async fn until(&self, what: &str, holds: impl Fn(&PluginInstallationStatus) -> bool) -> Result<()> {
        eventually(what, PATIENCE, async || {
            let status = self.status().await?;
            ensure!(holds(&status), "{}", serde_json::to_string(&status)?);
            Ok(())
        })
        .await
    }

    /// Waits until this version is live, proven, and the former one stands by.
    async fn live(&self, version: &str) -> Result<()> {
        self.until(&format!("{version} live"), |status| {
            let live = status.live_slot.and_then(|slot| status.slots.get(slot));
            let ended = status.history.first().is_some_and(|ended| ended.to == version);
            live.is_some_and(|live| live.version == version) && ended
        })
        .await
    }

    async fn service(&self) -> Result<Service> {
        Ok(self.plugins.objects::<Service>().get(&self.id).await?)
    }

    async fn leads_to(&self, slot: Slot) -> Result<()> {
        let selector = self
            .service()
            .await?
            .spec
            .and_then(|spec| spec.selector)
            .unwrap_or_default();
        let leads = selector.get("plexica.io/slot").is_some_and(|is| is == slot.as_ref());
        ensure!(leads && selector.len() == 2, "it selects {selector:?}");
        Ok(())
    }

    /// Where the live Service is reached.
    async fn address(&self) -> Result<SocketAddr> {
        let spec = self.service().await?.spec.context("no spec")?;
        Ok(SocketAddr::new(spec.cluster_ip.context("no address")?.parse()?, 80))
    }
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

async fn a_provider_goes_back_after_those_that_need_it(env: &Env) -> Result<()> {
    let promotion = json!({ "promotionDelay": "1s", "connectionDrain": "1s" });
    let provider = Installed::new(env, promotion.clone(), 1).await?;
    let dependant = Installed {
        id: unique("tl"),
        ..provider.clone()
    };
    let plugins = &provider.plugins;
    dependant.publish_needing("1.0.0", &provider.id, ">=1.0.0").await?;
    let spec = json!({ "promotion": promotion, "replicas": 1 });
    plugins.install(&dependant.id, spec).await?;
    plugins.ready(&dependant.id).await?;

    dependant.publish_needing("2.0.0", &provider.id, ">=2.0.0").await?;
    provider.publish("2.0.0").await?;
    provider.live("2.0.0").await?;
    dependant.live("2.0.0").await?;
    for installed in [&provider, &dependant] {
        let standing = |status: &PluginInstallationStatus| {
            let transition = status.transition.as_ref();
            transition.is_some_and(|transition| transition.step == Step::StandingBy)
        };
        installed.until("a standby", standing).await?;
    }

    let waits = plugins
        .says(&provider.id, Type::RollbackAvailable, "False", "AwaitingOthers")
        .await?;
    ensure!(waits.message.contains(&dependant.id), "{}", waits.message);
    provider.request("rollback").await?;
    // A pass over this has seen the request too.
    let patch = json!({ "spec": { "promotion": { "progressDeadline": "9m" } } });
    plugins.patch(&provider.id, patch).await?;
    let generation = plugins.api.get(&provider.id).await?.metadata.generation;
    provider
        .until("a pass", |status| status.observed_generation == generation)
        .await?;
    provider.leads_to(Slot::B).await?;
    dependant.request("rollback").await?;
    dependant.back_in("1.0.0").await?;
    provider.back_in("1.0.0").await
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
    }
    Ok(load.stop().await)
}
