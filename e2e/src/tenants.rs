//! The tenants of `examples/`: applied, waited for with a bar each, and shown in a table.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use comfy_table::{Table, presets};
use futures::{StreamExt, TryStreamExt};
use indicatif::ProgressBar;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::failure::Failure;
use crate::host::command;
use crate::layout::{self, Layout};
use crate::parts::{Context, kubernetes};
use crate::platform;
use crate::ui::{self, Ui};
use crate::wait;

/// Longest time for the tenants of `examples/` to become Ready.
const PATIENCE: Duration = Duration::from_mins(2);

/// Applies `examples/`, waits until its tenants are Ready and prints them.
pub async fn apply_examples(context: &Context) -> Result<()> {
    let tenants = api(context).await?;
    let crd = "the custom resource definitions";
    wait::until(crd, Duration::from_secs(30), async || {
        Ok(tenants.list(&kube::api::ListParams::default()).await?)
    })
    .await?;
    let mut watch = Watch::begin(&context.ui);
    let watched = async {
        // Started beside kubectl, so that the time to Ready is taken from the first sight of a tenant.
        let mut stream = watcher(tenants.clone(), watcher::Config::default())
            .default_backoff()
            .applied_objects()
            .boxed();
        let deadline = Instant::now() + PATIENCE;
        let apply = apply(context);
        tokio::pin!(apply);
        loop {
            if watch.all_ready() {
                return Ok(());
            }
            tokio::select! {
                names = &mut apply, if watch.wanted.is_none() => watch.want(names?),
                event = timeout_at(deadline, stream.try_next()) => match event {
                    Ok(Ok(Some(tenant))) => watch.see(&tenant),
                    Ok(Ok(None)) => anyhow::bail!("the watch of the tenants ended"),
                    // The watcher starts over by itself.
                    Ok(Err(_)) => {}
                    Err(_) => return Err(late(context, &watch)),
                },
            }
        }
    };
    watched.await?;
    watch.record(&context.layout)?;
    ui::print(&watch.table(&context.layout).to_string());
    Ok(())
}

/// The tenants of the cluster, untyped: the table must not fail on a field that a newer operator writes.
async fn api(context: &Context) -> Result<Api<DynamicObject>> {
    let kind = GroupVersionKind::gvk("plexica.io", "v1alpha1", "Tenant");
    let resource = ApiResource::from_gvk(&kind);
    Ok(Api::all_with(kubernetes::kube_client(context).await?, &resource))
}

/// Applies the folder and returns the names of the tenants in it.
async fn apply(context: &Context) -> Result<Vec<String>> {
    let mut apply = platform::kubectl(&context.tools).await?;
    apply
        .args([
            "apply",
            "--server-side",
            "--force-conflicts",
            "--output=name",
            "--filename",
        ])
        .arg(context.layout.repository.join("examples"));
    let applied = command::pipe(apply, &[]).await.map_err(|refusal| {
        Failure::new(
            format!("examples/ cannot be applied: {refusal:#}"),
            "repair the manifest that the message names",
        )
    })?;
    Ok(applied
        .lines()
        .filter_map(|line| line.strip_prefix("tenant.plexica.io/"))
        .map(ToOwned::to_owned)
        .collect())
}

/// What is known of the tenants while they are waited for.
struct Watch {
    ui: Ui,
    /// Names of the tenants of `examples/`; others are none of our business.
    wanted: Option<Vec<String>>,
    seen: BTreeMap<String, Seen>,
}

struct Seen {
    first: Instant,
    /// Time from the first sight to Ready; zero when it was Ready at the first sight.
    ready_after: Option<Duration>,
    tenant: Value,
    bar: Option<ProgressBar>,
}

impl Watch {
    fn begin(ui: &Ui) -> Self {
        Self {
            ui: ui.clone(),
            wanted: None,
            seen: BTreeMap::new(),
        }
    }

    fn names(&self) -> &[String] {
        self.wanted.as_deref().unwrap_or_default()
    }

    /// Names the tenants that are waited for, and shows those that are not Ready yet.
    fn want(&mut self, names: Vec<String>) {
        for name in &names {
            if let Some(seen) = self.seen.get_mut(name).filter(|seen| !is_ready(&seen.tenant)) {
                seen.bar = self.ui.gauge(name, 1);
                seen.show_progress();
            }
        }
        self.wanted = Some(names);
    }

    fn see(&mut self, tenant: &DynamicObject) {
        let name = tenant.name_any();
        let value = serde_json::to_value(tenant).unwrap_or_default();
        let wanted = self.names().contains(&name);
        let ui = self.ui.clone();
        let seen = self.seen.entry(name.clone()).or_insert_with(|| Seen {
            first: Instant::now(),
            ready_after: None,
            tenant: Value::Null,
            bar: wanted.then(|| ui.gauge(&name, 1)).flatten(),
        });
        if is_ready(&value) && seen.ready_after.is_none() {
            let took = if seen.tenant.is_null() {
                Duration::ZERO
            } else {
                seen.first.elapsed()
            };
            seen.ready_after = Some(took);
            if let Some(bar) = seen.bar.take() {
                bar.finish_and_clear();
            }
            if wanted && took > Duration::ZERO {
                ui.line(&format!(
                    "✓ {:24} {:52} {:>7.1} s",
                    format!("tenant {name}"),
                    "Ready",
                    took.as_secs_f32()
                ));
            }
        }
        seen.tenant = value;
        seen.show_progress();
    }

    fn all_ready(&self) -> bool {
        let ready = |name: &String| self.seen.get(name).is_some_and(|seen| is_ready(&seen.tenant));
        self.wanted.as_ref().is_some_and(|names| names.iter().all(ready))
    }

    /// Keeps the measured times for the table of a later `up`.
    fn record(&self, layout: &Layout) -> Result<()> {
        let mut times = recorded(layout);
        for (name, seen) in &self.seen {
            if let Some(took) = seen.ready_after.filter(|took| *took > Duration::ZERO) {
                times.insert(
                    format!("{name}/{}", text(&seen.tenant, "/metadata/uid")),
                    took.as_secs_f32(),
                );
            }
        }
        layout::write(&times_file(layout), &serde_json::to_vec(&times)?)
    }

    fn table(&self, layout: &Layout) -> Table {
        let times = recorded(layout);
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header([
            "TENANT",
            "PHASE",
            "READY",
            "NAMESPACE",
            "SCHEMA",
            "REALM",
            "BUCKET",
            "TIME TO READY",
        ]);
        for name in self.names() {
            let Some(Seen { tenant, .. }) = self.seen.get(name) else {
                continue;
            };
            let uid = text(tenant, "/metadata/uid");
            table.add_row([
                name.clone(),
                text(tenant, "/status/phase"),
                condition(tenant, "Ready")
                    .map(|ready| text(ready, "/status"))
                    .unwrap_or_default(),
                text(tenant, "/status/namespace"),
                text(tenant, "/status/database/schema"),
                text(tenant, "/status/identity/realm"),
                text(tenant, "/status/storage/bucket"),
                times
                    .get(&format!("{name}/{uid}"))
                    .map(|took| format!("{took:.1} s"))
                    .unwrap_or_default(),
            ]);
        }
        table
    }
}

impl Seen {
    fn show_progress(&self) {
        let Some(bar) = &self.bar else { return };
        let (done, of) = progress(&self.tenant);
        bar.set_length(of);
        bar.set_position(done);
        bar.set_message(summary(&self.tenant));
    }
}

fn late(context: &Context, watch: &Watch) -> anyhow::Error {
    let late: Vec<_> = watch
        .names()
        .iter()
        .map(|name| (name, watch.seen.get(name).map(|seen| &seen.tenant)))
        .filter(|(_, tenant)| !tenant.is_some_and(is_ready))
        .map(|(name, tenant)| format!("{name}: {}", tenant.map(summary).unwrap_or_default()))
        .collect();
    let what = format!(
        "tenants are not Ready after {} s: {}",
        PATIENCE.as_secs(),
        late.join("; ")
    );
    let failure = Failure::new(
        what,
        "`cargo dev kubectl describe tenant` and `cargo dev logs operator` tell more",
    );
    match platform::operator_log(&context.layout) {
        Some(log) => failure.with_log(log).into(),
        None => failure.into(),
    }
}

/// Ready=True, and said of the present generation.
fn is_ready(tenant: &Value) -> bool {
    condition(tenant, "Ready").is_some_and(|ready| {
        ready["status"] == "True" && ready["observedGeneration"] == tenant["metadata"]["generation"]
    })
}

/// How many of the conditions `…Ready` of the backends are true, of how many.
fn progress(tenant: &Value) -> (u64, u64) {
    let (mut done, mut of) = (0, 0);
    for condition in tenant["status"]["conditions"].as_array().into_iter().flatten() {
        if condition["type"].as_str().is_some_and(|kind| kind.ends_with("Ready")) {
            of += 1;
            done += u64::from(condition["status"] == "True");
        }
    }
    (done, of.max(1))
}

/// What the Ready condition says, for people.
fn summary(tenant: &Value) -> String {
    match condition(tenant, "Ready") {
        Some(ready) => format!("{}: {}", text(ready, "/reason"), text(ready, "/message")),
        None => "not seen by the operator yet".to_owned(),
    }
}

fn condition<'a>(tenant: &'a Value, kind: &str) -> Option<&'a Value> {
    tenant["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == kind)
}

fn text(value: &Value, pointer: &str) -> String {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn recorded(layout: &Layout) -> BTreeMap<String, f32> {
    std::fs::read(times_file(layout))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

fn times_file(layout: &Layout) -> std::path::PathBuf {
    layout.state.join("times-to-ready.json")
}
