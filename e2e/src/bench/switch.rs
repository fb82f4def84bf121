//! From the annotation that asks for a promotion, or for a rollback, to the moment when the live Service's EndpointSlices
//! hold ready pods of the new slot only; beside a raw patch of a Service's selector over the same pods, in the same run.
//!
//! The Gateway leads to the live Service, and its controller works on every change of what it leads to, just when EndpointSlices are
//! to follow. So it leads to the Service that is patched, too: a twin of the live one. One to which nothing leads is shown beside it.
//! Both are patched before the promotion and before the rollback, so that all are measured in the same circumstances.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use futures::TryStreamExt;
use k8s_openapi::api::{
    core::v1::Service,
    discovery::v1::{Endpoint, EndpointSlice},
};
use kube::{
    Api,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use plexica_crds::{
    names::Slot,
    plugin_installation::{PluginInstallationStatus, Step},
};
use plexica_operator::gateway_api::HTTPRoute;
use serde_json::json;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{
    bar::Bar,
    stats::{Sample, ratio, text},
    table,
};
use crate::{
    suite::{
        clients::gateway::{BASE_DOMAIN, is_taken},
        env::{Env, eventually, unique},
        tenant_plugins::{PATIENCE, TenantPlugins},
    },
    traffic, ui,
};

/// Most that a switch may take, as a multiple of a raw patch: at the middle, and at the worst of a hundred.
const GOALS: [f64; 2] = [2.0, 3.0];

/// Before each of what is measured: what follows another at once finds all that takes part awake, and is faster.
const QUIET: Duration = Duration::from_millis(300);

/// Measures so many promotions, rollbacks and raw patches, and tells. Most of the time goes to the drains between them.
pub async fn run(env: &Env, name: &'static str, count: usize) -> Result<()> {
    let measured = measure(env, count).await;
    env.clean_up().await?;
    let Samples {
        promotions,
        rollbacks,
        raw,
        unrouted,
    } = measured?;
    let mut all = table::new(&["UNTIL ENDPOINTSLICES", "COUNT", "P50", "P95", "P99", "RATIO", "FAILED"]);
    for (what, sample) in [
        ("raw patch", &raw),
        ("raw, without a route", &unrouted),
        ("promotion", &promotions),
        ("rollback", &rollbacks),
    ] {
        let numbers = [
            sample.count().to_string(),
            text(sample.p50()),
            text(sample.p95()),
            text(sample.percentile(99)),
            format!("{:.2}", ratio(sample.p50(), raw.p50())),
            sample.failed.to_string(),
        ];
        table::row(&mut all, what, numbers);
    }
    ui::print(&format!("\n{all}\n"));
    let [middle, worst] = GOALS;
    ui::print(&format!(
        "{name}: promote p50 {} p95 {} p99 {}, rollback p50 {} p95 {} p99 {}, raw p50 {} p99 {}, ratio {:.2} and {:.2} (goal {middle}), of p99 {:.2} and {:.2} (goal {worst}); raw without a route p50 {} p99 {}, ratio {:.2} and {:.2}, of p99 {:.2} and {:.2}; failed {}",
        text(promotions.p50()),
        text(promotions.p95()),
        text(promotions.percentile(99)),
        text(rollbacks.p50()),
        text(rollbacks.p95()),
        text(rollbacks.percentile(99)),
        text(raw.p50()),
        text(raw.percentile(99)),
        ratio(promotions.p50(), raw.p50()),
        ratio(rollbacks.p50(), raw.p50()),
        ratio(promotions.percentile(99), raw.percentile(99)),
        ratio(rollbacks.percentile(99), raw.percentile(99)),
        text(unrouted.p50()),
        text(unrouted.percentile(99)),
        ratio(promotions.p50(), unrouted.p50()),
        ratio(rollbacks.p50(), unrouted.p50()),
        ratio(promotions.percentile(99), unrouted.percentile(99)),
        ratio(rollbacks.percentile(99), unrouted.percentile(99)),
        promotions.failed + rollbacks.failed + raw.failed + unrouted.failed
    ));
    Ok(())
}

#[derive(Default)]
struct Samples {
    promotions: Sample,
    rollbacks: Sample,
    raw: Sample,
    unrouted: Sample,
}

async fn measure(env: &Env, count: usize) -> Result<Samples> {
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    let id = unique("sw");
    env.publish(&id, "1.0.0", traffic::spec(&id, "1.0.0", traffic::IMAGE))
        .await?;
    let promotion = json!({ "auto": false, "promotionDelay": "1s", "connectionDrain": "1s" });
    plugins.install(&id, json!({ "promotion": promotion })).await?;
    plugins.ready(&id).await?;
    let bench = Switches {
        live: Slices::watch(plugins.objects(), &id),
        raw: Bare::make(&plugins, &id, "raw").await?,
        unrouted: Bare::make(&plugins, &id, "unrouted").await?,
        plugins,
        id,
    };
    bench.raw.lead_to(&bench.plugins, &bench.id).await?;
    let bar = Bar::new(&ui::Ui::new(), "switches", count);
    let mut samples = Samples::default();
    // The first one warms everything up.
    for round in 0..=count {
        let mut warming = Samples::default();
        let samples = if round == 0 { &mut warming } else { &mut samples };
        bench.round(round, samples).await?;
        if round > 0 {
            bar.advance();
        }
    }
    Ok(samples)
}

struct Switches<'a> {
    plugins: TenantPlugins<'a>,
    id: String,
    live: Slices,
    raw: Bare,
    unrouted: Bare,
}

impl Switches<'_> {
    /// A candidate comes, goes live, and the former one comes back.
    async fn round(&self, round: usize, samples: &mut Samples) -> Result<()> {
        let config = json!({ "spec": { "config": { "notReadyAfterSeconds": round + 1 } } });
        self.plugins.patch(&self.id, config).await?;
        self.until("a candidate that waits", |status| {
            at(status) == Some(Step::AwaitingPromotion)
        })
        .await?;
        let from = self.status().await?.live_slot.context("nothing is live")?;
        self.patch_bare(from, round, samples).await?;
        sleep(QUIET).await;
        samples.promotions.add(&self.ask("promote", from.other()).await);
        self.until("a standby", |status| at(status) == Some(Step::StandingBy))
            .await?;
        self.patch_bare(from, round, samples).await?;
        sleep(QUIET).await;
        samples.rollbacks.add(&self.ask("rollback", from).await);
        // What was gone back from is drained beside the next round.
        self.until("the proof", |status| {
            at(status).is_none_or(|step| step == Step::Draining)
        })
        .await
    }

    /// Both slots are ready: each of the bare Services is led to the other one, and back. Which is the first changes from round to
    /// round, as what came before may not have ended.
    async fn patch_bare(&self, from: Slot, round: usize, samples: &mut Samples) -> Result<()> {
        let mut services = [(&self.raw, &mut samples.raw), (&self.unrouted, &mut samples.unrouted)];
        if round % 2 == 1 {
            services.reverse();
        }
        for (service, sample) in services {
            sleep(QUIET).await;
            sample.add(&service.turn(from.other()).await);
            service.turn(from).await?;
        }
        Ok(())
    }

    async fn ask(&self, request: &str, to: Slot) -> Result<Duration> {
        let annotation = format!("plexica.io/{request}");
        let patch = json!({ "metadata": { "annotations": { annotation: unique("ask") } } });
        let begun = Instant::now();
        self.plugins.patch(&self.id, patch).await?;
        Ok(self.live.until(&prefix(&self.id, to)).await?.duration_since(begun))
    }

    async fn status(&self) -> Result<PluginInstallationStatus> {
        self.plugins.api.get(&self.id).await?.status.context("no status")
    }

    async fn until(&self, what: &str, holds: impl Fn(&PluginInstallationStatus) -> bool) -> Result<()> {
        eventually(what, PATIENCE, async || {
            ensure!(holds(&self.status().await?), "not yet");
            Ok(())
        })
        .await
    }
}

/// How names of a slot's pods begin.
fn prefix(id: &str, slot: Slot) -> String {
    format!("{id}-{}-", slot.as_ref())
}

/// A Service of nobody's, over the same pods.
struct Bare {
    services: Api<Service>,
    id: String,
    name: String,
    slices: Slices,
}

impl Bare {
    async fn make(plugins: &TenantPlugins<'_>, id: &str, suffix: &str) -> Result<Self> {
        let name = format!("{id}-{suffix}");
        let service = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
            "spec": {
                "selector": { "plexica.io/plugin": id, "plexica.io/slot": "a" },
                "ports": [{ "name": "http", "port": 80, "targetPort": "http" }],
            },
        }))?;
        let bare = Self {
            services: plugins.objects(),
            id: id.to_owned(),
            slices: Slices::watch(plugins.objects(), &name),
            name,
        };
        bare.services.create(&PostParams::default(), &service).await?;
        bare.slices.until(&prefix(id, Slot::A)).await?;
        Ok(bare)
    }

    /// Lets the Gateway lead here, as it leads to the plugin, by a host of its own.
    async fn lead_to(&self, plugins: &TenantPlugins<'_>, id: &str) -> Result<()> {
        let routes = plugins.objects::<HTTPRoute>();
        let mut route = routes.get(id).await?;
        route.metadata = ObjectMeta {
            name: Some(self.name.clone()),
            ..ObjectMeta::default()
        };
        route.status = None;
        route.spec.hostnames = vec![format!("{}.{BASE_DOMAIN}", self.name)];
        for to in route.spec.rules.iter_mut().flat_map(|rule| &mut rule.backend_refs) {
            to.name.clone_from(&self.name);
        }
        routes.create(&PostParams::default(), &route).await?;
        eventually("the Gateway", PATIENCE, async || {
            ensure!(is_taken(&routes.get(&self.name).await?), "it has not taken the route");
            Ok(())
        })
        .await
    }

    /// How long it takes until EndpointSlices follow a patch of the selector.
    async fn turn(&self, to: Slot) -> Result<Duration> {
        let patch = json!({ "spec": { "selector": { "plexica.io/slot": to.as_ref() } } });
        let begun = Instant::now();
        self.services
            .patch(&self.name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        Ok(self.slices.until(&prefix(&self.id, to)).await?.duration_since(begun))
    }
}

fn at(status: &PluginInstallationStatus) -> Option<Step> {
    status.transition.as_ref().map(|transition| transition.step)
}

/// The ready pods that a Service's EndpointSlices name, as a watch shows them. Those that are not ready get no requests.
struct Slices {
    pods: watch::Receiver<(Vec<String>, Instant)>,
    task: JoinHandle<()>,
}

impl Slices {
    fn watch(api: Api<EndpointSlice>, service: &str) -> Self {
        let (sender, pods) = watch::channel((vec![], Instant::now()));
        let config = watcher::Config::default().labels(&format!("kubernetes.io/service-name={service}"));
        let events = kube::runtime::watcher(api, config).default_backoff();
        let task = tokio::spawn(async move {
            let mut events = std::pin::pin!(events);
            while let Ok(Some(event)) = events.try_next().await {
                if let Event::Apply(slice) | Event::InitApply(slice) = event {
                    sender.send_replace((ready(&slice), Instant::now()));
                }
            }
        });
        Self { pods, task }
    }

    /// When all ready pods were ones whose names begin so.
    async fn until(&self, prefix: &str) -> Result<Instant> {
        let mut pods = self.pods.clone();
        let all =
            |(pods, _): &(Vec<String>, Instant)| !pods.is_empty() && pods.iter().all(|name| name.starts_with(prefix));
        let seen = timeout(PATIENCE, pods.wait_for(all))
            .await
            .map_err(|_| anyhow!("the EndpointSlices do not name {prefix} alone"))??;
        Ok(seen.1)
    }
}

impl Drop for Slices {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn ready(slice: &EndpointSlice) -> Vec<String> {
    let ready = |endpoint: &&Endpoint| {
        let conditions = endpoint.conditions.as_ref();
        conditions.and_then(|conditions| conditions.ready) == Some(true)
    };
    let name = |endpoint: &Endpoint| endpoint.target_ref.as_ref()?.name.clone();
    slice.endpoints.iter().filter(ready).filter_map(name).collect()
}
