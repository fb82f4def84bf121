//! When a watch first shows objects, and when it first shows them ready.

use std::{collections::BTreeMap, fmt::Debug, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use futures::TryStreamExt;
use kube::{
    Api, Resource, ResourceExt,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout, timeout_at},
};

/// An object that takes longer counts as failed. 50 tenants at once take half a minute.
const PATIENCE: Duration = Duration::from_mins(3);
/// How often the number of those that are ready is told.
const LOOKED_AT: Duration = Duration::from_millis(200);

/// A watch of all objects of a kind. It notes when each was first seen, and first seen ready.
pub struct Watch {
    seen: watch::Receiver<All>,
    task: JoinHandle<()>,
}

/// When an object was seen.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// The first time.
    pub first: Instant,
    /// The first time that it was ready.
    pub ready: Instant,
}

/// By key: when it was first seen, and first seen ready.
type All = BTreeMap<String, (Instant, Option<Instant>)>;

impl Watch {
    /// Begins to watch; all objects that are there have been listed then, which is no more in the way of what is measured.
    pub async fn begin<K>(api: Api<K>, is_ready: fn(&K) -> bool) -> Result<Self>
    where
        K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let (sender, mut seen) = watch::channel(All::new());
        let (begun, has_begun) = oneshot::channel();
        let mut begun = Some(begun);
        let events = kube::runtime::watcher(api, watcher::Config::default()).default_backoff();
        let task = tokio::spawn(async move {
            let mut events = std::pin::pin!(events);
            // Errors of the watch are retried inside; what was missed comes with the next list.
            loop {
                match events.try_next().await {
                    Ok(Some(Event::InitDone)) => drop(begun.take().map(|begun| begun.send(()))),
                    Ok(Some(event)) => note(&sender, &event, is_ready),
                    Ok(None) => return,
                    Err(_) => {}
                }
            }
        });
        let begun = timeout(PATIENCE, has_begun).await.context("the list takes too long")?;
        begun.context("the watch ended")?;
        seen.mark_unchanged();
        Ok(Self { seen, task })
    }

    /// Waits until the object of this key ([`key`]) is ready.
    pub async fn ready(&self, key: &str) -> Result<Seen> {
        let mut seen = self.seen.clone();
        let when = |all: &All| {
            let (first, ready) = *all.get(key)?;
            Some(Seen { first, ready: ready? })
        };
        let found = timeout(PATIENCE, seen.wait_for(|all| when(all).is_some())).await;
        let found = found.map_err(|_| anyhow!("{key} is not ready within {} s", PATIENCE.as_secs()))??;
        when(&found).context("not seen")
    }

    /// Waits until the objects of these keys are ready, and tells how many are. Answers when the last one was.
    pub async fn all_ready(&self, keys: &[String], patience: Duration, told: impl Fn(usize)) -> Result<Instant> {
        let deadline = Instant::now() + patience;
        let mut seen = self.seen.clone();
        loop {
            let times: Vec<_> = {
                let all = seen.borrow_and_update();
                let ready = |key: &String| all.get(key).and_then(|(_, ready)| *ready);
                keys.iter().map(ready).collect()
            };
            told(times.iter().flatten().count());
            let missing = keys.iter().zip(&times).find(|(_, time)| time.is_none());
            let Some((missing, _)) = missing else {
                return times.into_iter().flatten().max().context("there are no objects");
            };
            // Looked at now and then: there are thousands of changes. The times are the watch's.
            sleep(LOOKED_AT).await;
            timeout_at(deadline, seen.changed())
                .await
                .map_err(|_| anyhow!("{missing} is not ready within {} s", patience.as_secs()))??;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The name of an object, with its namespace if it has one: `tenant-acme/crm`.
pub fn key(object: &impl Resource) -> String {
    let name = object.name_any();
    match object.namespace() {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name,
    }
}

fn note<K: Resource>(sender: &watch::Sender<All>, event: &Event<K>, is_ready: fn(&K) -> bool) {
    let now = Instant::now();
    match event {
        Event::Apply(object) | Event::InitApply(object) => {
            sender.send_if_modified(|all| {
                let (_, ready) = all.entry(key(object)).or_insert((now, None));
                let newly = ready.is_none() && is_ready(object);
                if newly {
                    *ready = Some(now);
                }
                newly
            });
        }
        Event::Delete(object) => {
            sender.send_if_modified(|all| all.remove(&key(object)).is_some());
        }
        Event::Init | Event::InitDone => {}
    }
}
