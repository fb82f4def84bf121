//! Tenants made through the operator, and when a watch shows them Ready.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use futures::TryStreamExt;
use kube::{
    ResourceExt,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use plexica_crds::Tenant;
use serde_json::json;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout},
};

use crate::suite::env::{Env, is_ready};

/// A tenant that takes longer counts as failed. 50 at once take half a minute.
const PATIENCE: Duration = Duration::from_mins(3);

/// A watch of all tenants. It notes when each was first seen Ready in its present generation.
pub struct Watch {
    ready: watch::Receiver<BTreeMap<String, Instant>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Begins to watch.
    pub async fn begin(env: &Env) -> Result<Self> {
        let (sender, mut ready) = watch::channel(BTreeMap::new());
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let mut begun = Some(begun);
        let events = kube::runtime::watcher(env.tenants(), watcher::Config::default()).default_backoff();
        let task = tokio::spawn(async move {
            let mut events = std::pin::pin!(events);
            // Errors of the watch are retried inside; what was missed comes with the next list.
            loop {
                match events.try_next().await {
                    Ok(Some(event)) => note(&sender, &event),
                    Ok(None) => return,
                    Err(_) => continue,
                }
                if let Some(begun) = begun.take() {
                    let _ = begun.send(());
                }
            }
        });
        has_begun.await.context("the watch of tenants ended")?;
        ready.mark_unchanged();
        Ok(Self { ready, task })
    }

    /// Makes a tenant, and waits until it is Ready: the time from sending the POST to seeing it.
    pub async fn create(&self, env: &Env, name: &str) -> Result<Duration> {
        let begun = Instant::now();
        env.create(name, json!({})).await?;
        let mut ready = self.ready.clone();
        let seen = timeout(PATIENCE, ready.wait_for(|ready| ready.contains_key(name)));
        let seen = seen.await.map_err(|_| anyhow!("{name} is not Ready"))??;
        let at = seen.get(name).context("not seen")?;
        Ok(at.duration_since(begun))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn note(sender: &watch::Sender<BTreeMap<String, Instant>>, event: &Event<Tenant>) {
    let now = Instant::now();
    match event {
        Event::Apply(tenant) | Event::InitApply(tenant) => {
            if is_ready(tenant) {
                sender.send_if_modified(|ready| match ready.entry(tenant.name_any()) {
                    std::collections::btree_map::Entry::Vacant(entry) => {
                        entry.insert(now);
                        true
                    }
                    std::collections::btree_map::Entry::Occupied(_) => false,
                });
            }
        }
        Event::Delete(tenant) => {
            sender.send_if_modified(|ready| ready.remove(&tenant.name_any()).is_some());
        }
        Event::Init | Event::InitDone => {}
    }
}
