//! What the operator does while there is nothing to do, and after its start.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use kube::{Api, Resource, ResourceExt, api::ListParams};
use plexica_crds::{Plugin, PluginInstallation, Tenant};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use super::PATIENCE;
use crate::{
    platform,
    suite::{
        env::Env,
        observe::{Mark, audit, operator, passes::passes},
    },
    ui::Ui,
};

/// How long the operator is watched at rest. The stack's `resyncInterval` lets it look at all objects meanwhile.
const WINDOW: Duration = Duration::from_mins(1);
/// How often the log of a new operator is looked at. The times are those of the log.
const LOOKED_AT: Duration = Duration::from_millis(500);

/// A time in which nothing was to be done.
pub struct Window {
    /// Its length.
    pub length: Duration,
    /// Passes of the operator in it.
    pub passes: usize,
    /// Its requests to Kubernetes.
    pub requests: Requests,
    /// Processor time that it used.
    pub processor: Duration,
}

/// A start of the operator.
pub struct Restart {
    /// From the start of the process until it was Ready.
    pub ready: Duration,
    /// From then until each object had a pass, and none ran.
    pub steady: Duration,
    /// Passes until then; each object needs one.
    pub passes: usize,
    /// Objects.
    pub objects: usize,
    /// Requests to Kubernetes until then.
    pub requests: Requests,
    /// Processor time until then.
    pub processor: Duration,
    /// Memory then.
    pub memory: operator::Memory,
}

/// Requests of the operator to Kubernetes.
#[derive(Default)]
pub struct Requests {
    /// How many, by verb and resource.
    pub by_kind: BTreeMap<String, usize>,
    /// Those that write, but for its lease.
    pub writes: Vec<String>,
}

impl Requests {
    fn of(audit: &[String]) -> Result<Self> {
        let mut found = Self::default();
        for request in audit::parsed(audit, audit::OPERATOR)? {
            if request.user.username != audit::OPERATOR {
                continue;
            }
            let resource = request.object_ref.as_ref().map(|object| {
                let subresource = Some(&object.subresource).filter(|name| !name.is_empty());
                let subresource = subresource.map(|name| format!("/{name}"));
                format!("{}{}", object.resource, subresource.unwrap_or_default())
            });
            let kind = format!("{} {}", request.verb, resource.unwrap_or_else(|| request.uri.clone()));
            *found.by_kind.entry(kind).or_default() += 1;
            if audit::is_own_write(&request) {
                found
                    .writes
                    .push(format!("{} {} {}", request.verb, request.uri, request.code()));
            }
        }
        Ok(found)
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.by_kind.values().sum()
    }
}

/// Watches the operator at rest.
pub async fn watch(env: &Env, ui: &Ui) -> Result<Window> {
    ui.step("at rest", async |step| {
        step.says(&format!("{} s", WINDOW.as_secs()));
        let log = env.stack.operator_log().context("the operator has no log")?;
        let (log, audit) = (Mark::at_end(&log)?, Mark::at_end(&env.stack.audit_log())?);
        let (begun, processor) = (Instant::now(), operator::processor_time()?);
        sleep(WINDOW).await;
        let window = Window {
            length: begun.elapsed(),
            processor: operator::processor_time()?.saturating_sub(processor),
            passes: passes(&log.lines_since()?).values().map(Vec::len).sum(),
            requests: Requests::of(&audit.lines_since()?)?,
        };
        step.result(format!("{} writes", window.requests.writes.len()));
        Ok(window)
    })
    .await
}

/// Replaces the operator's pod, and watches until it is steady.
pub async fn restart(env: &Env, ui: &Ui) -> Result<Restart> {
    ui.step("restart", async |step| {
        let expected = objects(env).await?;
        let former = operator::pids()?;
        let former_log = env.stack.operator_log();
        let audit = Mark::at_end(&env.stack.audit_log())?;
        operator::restart(env).await?;
        operator::new_pid(&former).await?;
        let started = Timestamp::now() - operator::age()?;
        let ready = since(started, Timestamp::now());
        let deadline = Instant::now() + PATIENCE;
        let (steady, passes) = loop {
            ensure!(Instant::now() < deadline, "the operator does not become steady");
            sleep(LOOKED_AT).await;
            let log = platform::operator_log(env.stack.layout()).filter(|log| Some(log) != former_log.as_ref());
            let Some(log) = log else { continue };
            let passes = passes(&Mark::at_start(&log).lines_since()?);
            let firsts = expected
                .iter()
                .map(|name| passes.get(name).and_then(|passes| passes.first()));
            let firsts: Option<Vec<_>> = firsts.collect();
            if let Some(last) = firsts.and_then(|passes| passes.iter().map(|pass| pass.ended).max()) {
                break (last, passes);
            }
        };
        let until = |pass: &&crate::suite::observe::passes::Pass| pass.ended <= steady;
        let memory = operator::memory()?;
        let processor = operator::processor_time()?;
        // Events are written a moment later.
        sleep(Duration::from_secs(2)).await;
        let restart = Restart {
            ready,
            steady: since(started, steady),
            passes: passes.values().flatten().filter(until).count(),
            objects: expected.len(),
            requests: Requests::of(&audit.lines_since()?)?,
            processor,
            memory,
        };
        step.result(format!("steady after {:.1} s", restart.steady.as_secs_f32()));
        Ok(restart)
    })
    .await
}

fn since(from: Timestamp, to: Timestamp) -> Duration {
    to.duration_since(from).unsigned_abs()
}

/// All objects that the operator passes over, by the names of its log.
async fn objects(env: &Env) -> Result<Vec<String>> {
    let tenant = |namespace: String| namespace.strip_prefix("tenant-").unwrap_or_default().to_owned();
    let mut names = vec![];
    for (namespace, name) in list::<PluginInstallation>(env).await? {
        names.push(format!("PluginInstallation {}/{name}", tenant(namespace)));
    }
    names.extend(
        list::<Tenant>(env)
            .await?
            .into_iter()
            .map(|(_, name)| format!("Tenant {name}")),
    );
    names.extend(
        list::<Plugin>(env)
            .await?
            .into_iter()
            .map(|(_, name)| format!("Plugin {name}")),
    );
    Ok(names)
}

async fn list<K>(env: &Env) -> Result<Vec<(String, String)>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let api: Api<K> = Api::all(env.client.clone());
    let listed = api.list_metadata(&ListParams::default()).await?;
    let key = |object: &kube::core::PartialObjectMeta<K>| (object.namespace().unwrap_or_default(), object.name_any());
    Ok(listed.iter().map(key).collect())
}
