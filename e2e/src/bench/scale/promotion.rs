//! A hundred promotions at once: from the annotations until requests reach the new slots only, and until everybody says so.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use futures::{TryStreamExt, future::join_all};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use plexica_crds::{
    PluginInstallation,
    names::Slot,
    plugin_installation::{Step, TransitionResult},
};
use serde_json::{Value, json};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::{PATIENCE, PLUGINS, PROMOTIONS, fleet::Fleet};
use crate::{
    bench::{bar::Bar, ready::Watch, stats::Sample},
    suite::{
        env::{Env, unique},
        observe::{Mark, operator, rest},
    },
    ui::Ui,
};

/// Configurations that are changed at once.
const CANDIDATES_AT_ONCE: usize = 5;

/// How long the promotions took, each from the moment before the first annotation.
pub struct Times {
    /// Until the EndpointSlices of each held ready pods of the new slot only.
    pub led: Sample,
    /// Until each said that it was promoted.
    pub told: Sample,
    /// The same for as many bare Services, whose selectors were patched at once.
    pub raw: Sample,
    /// Requests by which the operator wrote, from the annotations until all said so.
    pub writes: usize,
    /// Processor time that it used until then.
    pub processor: Duration,
}

/// Makes candidates, and promotes them all at once.
pub async fn measure(env: &Env, ui: &Ui, fleet: &Fleet) -> Result<Times> {
    let keys = chosen(fleet);
    let all: Api<PluginInstallation> = Api::all(env.client.clone());
    let waiting = Watch::begin(all.clone(), waits_for_promotion).await?;
    ui.step("candidates", async |step| {
        let config = json!({ "spec": { "config": { "notReadyAfterSeconds": 1 } } });
        // A few at a time: how many the webhook judges in its three seconds is not measured here.
        for keys in keys.chunks(CANDIDATES_AT_ONCE) {
            patch_all(env, keys, &config).await?;
        }
        let bar = Bar::new(ui, "candidates", keys.len());
        waiting.all_ready(&keys, PATIENCE, |done| bar.reach(done)).await?;
        rest::wait_until_quiet(env, PATIENCE).await?;
        step.result(format!("{} wait for their promotion", keys.len()));
        Ok(())
    })
    .await?;
    drop(waiting);
    let promoted = Watch::begin(all, was_promoted).await?;
    let slices = Slices::watch(Api::all(env.client.clone()), Slot::B).await?;
    let mut times = ui
        .step("promotions", async |step| {
            let used = operator::processor_time()?;
            let mark = Mark::at_end(&env.stack.audit_log())?;
            let ask = json!({ "metadata": { "annotations": { "plexica.io/promote": unique("ask") } } });
            let begun = Instant::now();
            patch_all(env, &keys, &ask).await?;
            let bar = Bar::new(ui, "promotions", keys.len());
            promoted.all_ready(&keys, PATIENCE, |done| bar.reach(done)).await?;
            let mut times = Times {
                led: Sample::default(),
                told: Sample::default(),
                raw: Sample::default(),
                writes: rest::writes(&mark.lines_since()?)?.len(),
                processor: operator::processor_time()?.saturating_sub(used),
            };
            for key in &keys {
                let since = |seen: Instant| seen.duration_since(begun);
                times.led.add(&slices.until_led(key).await.map(since));
                times.told.add(&promoted.ready(key).await.map(|seen| since(seen.ready)));
            }
            step.result(format!("{} promoted", keys.len()));
            Ok(times)
        })
        .await?;
    rest::wait_until_quiet(env, PATIENCE).await?;
    times.raw = patched_at_once(env, ui, &keys).await?;
    Ok(times)
}

/// Prefix of the bare Services.
const RAW: &str = "raw-";

/// How long it takes until EndpointSlices follow when somebody patches selectors of bare Services, all at once: from the first
/// slots' pods to those of the second, while both are there. They go with their tenants.
async fn patched_at_once(env: &Env, ui: &Ui, keys: &[String]) -> Result<Sample> {
    ui.step("bare Services", async |step| {
        let selected = |id: &str, slot: Slot| json!({ "plexica.io/plugin": id, "plexica.io/slot": slot.as_ref() });
        let all = |slot: Slot| {
            let patched = keys.iter().map(move |key| async move {
                let (namespace, id) = key.split_once('/').unwrap_or_default();
                let api: Api<Service> = Api::namespaced(env.client.clone(), namespace);
                let name = format!("{RAW}{id}");
                if slot == Slot::B {
                    let moved = Patch::Merge(json!({ "spec": { "selector": selected(id, slot) } }));
                    return api.patch(&name, &PatchParams::default(), &moved).await;
                }
                let made = json!({ "metadata": { "name": name }, "spec": { "selector": selected(id, slot), "ports": [{ "port": 80 }] } });
                let made = serde_json::from_value(made).map_err(kube::Error::SerdeError)?;
                api.create(&PostParams::default(), &made).await
            });
            join_all(patched)
        };
        let first = Slices::watch(Api::all(env.client.clone()), Slot::A).await?;
        all(Slot::A).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let names: Vec<_> = keys.iter().map(|key| key.replace('/', &format!("/{RAW}"))).collect();
        for name in &names {
            first.until_led(name).await?;
        }
        drop(first);
        let second = Slices::watch(Api::all(env.client.clone()), Slot::B).await?;
        let begun = Instant::now();
        all(Slot::B).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut took = Sample::default();
        for name in &names {
            took.add(&second.until_led(name).await.map(|seen| seen.duration_since(begun)));
        }
        step.result(format!("{} patched at once", names.len()));
        Ok(took)
    })
    .await
}

/// As many of each tenant.
fn chosen(fleet: &Fleet) -> Vec<String> {
    let each = PROMOTIONS.div_ceil(fleet.tenants.len());
    let of_tenants = fleet.keys.chunks(PLUGINS).flat_map(|keys| keys.iter().take(each));
    of_tenants.take(PROMOTIONS).cloned().collect()
}

async fn patch_all(env: &Env, keys: &[String], patch: &Value) -> Result<()> {
    let patched = keys.iter().map(async |key| {
        let (namespace, id) = key.split_once('/').unwrap_or_default();
        let api: Api<PluginInstallation> = Api::namespaced(env.client.clone(), namespace);
        api.patch(id, &PatchParams::default(), &Patch::Merge(patch)).await
    });
    join_all(patched).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(())
}

fn waits_for_promotion(installation: &PluginInstallation) -> bool {
    let status = installation.status.as_ref();
    let transition = status.and_then(|status| status.transition.as_ref());
    transition.is_some_and(|transition| transition.step == Step::AwaitingPromotion)
}

fn was_promoted(installation: &PluginInstallation) -> bool {
    let history = installation.status.iter().flat_map(|status| &status.history);
    history
        .into_iter()
        .any(|ended| ended.result == TransitionResult::Promoted)
}

/// When the EndpointSlices of each Service held ready pods of one slot only.
struct Slices {
    led: watch::Receiver<BTreeMap<String, Instant>>,
    task: JoinHandle<()>,
}

impl Slices {
    /// Begins to watch; all that are there have been listed then.
    async fn watch(api: Api<EndpointSlice>, slot: Slot) -> Result<Self> {
        let (sender, led) = watch::channel(BTreeMap::new());
        let (begun, has_begun) = oneshot::channel();
        let mut begun = Some(begun);
        let events = kube::runtime::watcher(api, watcher::Config::default()).default_backoff();
        let task = tokio::spawn(async move {
            let mut events = std::pin::pin!(events);
            while let Ok(Some(event)) = events.try_next().await {
                match event {
                    Event::Apply(slice) | Event::InitApply(slice) => {
                        if let Some(key) = led_to(slot, &slice) {
                            sender.send_modify(|led| {
                                led.entry(key).or_insert_with(Instant::now);
                            });
                        }
                    }
                    Event::InitDone => drop(begun.take().map(|begun| begun.send(()))),
                    Event::Init | Event::Delete(_) => {}
                }
            }
        });
        has_begun.await.context("the watch of EndpointSlices ended")?;
        Ok(Self { led, task })
    }

    async fn until_led(&self, key: &str) -> Result<Instant> {
        let mut led = self.led.clone();
        let found = timeout(Duration::from_secs(10), led.wait_for(|led| led.contains_key(key)));
        let found = found
            .await
            .map_err(|_| anyhow!("{key}: the EndpointSlices do not name the new slot alone"))??;
        found.get(key).copied().context("not seen")
    }
}

impl Drop for Slices {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The Service of a slice that has ready pods, all of this slot. With one pod a Service has one slice.
fn led_to(slot: Slot, slice: &EndpointSlice) -> Option<String> {
    let service = slice.labels().get("kubernetes.io/service-name")?;
    let prefix = format!("{}-{}-", service.trim_start_matches(RAW), slot.as_ref());
    let ready = slice.endpoints.iter().filter(|endpoint| {
        let conditions = endpoint.conditions.as_ref();
        conditions.and_then(|conditions| conditions.ready) == Some(true)
    });
    let names: Vec<_> = ready
        .map(|endpoint| endpoint.target_ref.as_ref().and_then(|target| target.name.as_deref()))
        .collect();
    let all = !names.is_empty()
        && names
            .iter()
            .all(|name| name.is_some_and(|name| name.starts_with(&prefix)));
    all.then(|| format!("{}/{service}", slice.namespace().unwrap_or_default()))
}
