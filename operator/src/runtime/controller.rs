//! Wires watches to passes, for one kind of our resources.
//!
//! `kube::runtime::Controller` cannot filter its root stream without unstable features, and then every
//! status write of ours would cause another pass. So the same parts are put together here: a reflector whose
//! triggers are filtered, triggers from what the operator made, and a [queue](super::queue) in the place of its own.

use std::{collections::BTreeMap, fmt::Debug, pin::pin, sync::Arc, time::Duration};

use futures::{
    FutureExt, Stream, StreamExt, future,
    stream::{self, BoxStream, FuturesUnordered},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::ListParams,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt,
        reflector::{ObjectRef, Store},
        watcher,
        watcher::Event,
    },
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tracing::{Instrument, info, info_span, warn};

use super::{
    apply::FieldManager,
    cache::CacheWriter,
    changes::{Changes, asked_for},
    client::within,
    metrics::{KindLabels, PhaseLabels},
    objects::{Error, Kind, Objects},
    queue::Queue,
    server::{Gate, Readiness},
};

pub use super::objects::{Again, Root};

/// Objects in an answer when a watch begins: kube's own 500 would be some megabytes, for each of a dozen watches at once.
const PAGE: u32 = 50;
/// How long a pass is put off while another kind's cache is being filled.
const CACHE_FILLING: Duration = Duration::from_millis(50);
/// How long changes of other kinds are gathered where they are only told of: a hundred promotions at once are one look.
pub const GATHERED: Duration = Duration::from_millis(100);
/// How often the CRDs are looked for at start, and the gauges are filled.
const TICK: Duration = Duration::from_secs(1);

/// Objects to look at, because of something else.
pub type Triggers<K> = BoxStream<'static, Result<ObjectRef<Root<K>>, watcher::Error>>;

/// When to look again, and how the pass ended: `ok`, or a reason, for the metrics.
pub type Passed = (Again, &'static str);

/// The reconciler of one kind.
pub trait Reconciler: Send + Sync + Sized + 'static {
    /// Its objects.
    type Kind: Kind;
    /// Their kind, as logs and metrics say it.
    const KIND: &'static str;
    /// Passes at once. Objects wait for backends most of the time; backends limit themselves.
    const AT_ONCE: usize = 100;
    /// Other kinds whose caches a pass reads: none begins before they are filled. Of changes after that, [`Self::triggers`] have to
    /// tell, each by the cache that the pass reads ([`super::cache`], [`when_otherwise`]).
    const READS: &'static [&'static str];
    /// The phases that objects are counted by.
    fn phases() -> Vec<&'static str>;
    /// The phase of an object.
    fn phase(object: &Self::Kind) -> Option<&'static str>;
    /// The tenant that an object belongs to, for logs.
    fn tenant(meta: &ObjectMeta) -> Option<&str>;
    /// What is remembered of the objects.
    fn objects(&self) -> &Objects<Self::Kind>;
    /// What else objects are looked at for.
    fn triggers(&self) -> Vec<Triggers<Self::Kind>>;
    /// Called when an object has changed and is in the cache, for what cannot wait for its turn. The pass comes nevertheless.
    fn told(_this: &Arc<Self>, _object: &Self::Kind) {}
    /// One pass over one object.
    ///
    /// # Errors
    /// Only when the outcome could not be written to the object; everything else is in its status.
    fn pass(&self, object: &Root<Self::Kind>) -> impl Future<Output = Result<Passed, Error>> + Send;
}

/// Runs until `shutdown` resolves, then finishes the passes that run. What is watched fills the cache of `writer`: no other watch of
/// the kind is needed.
pub async fn run<R: Reconciler>(
    reconciler: Arc<R>,
    writer: CacheWriter<R::Kind>,
    readiness: Readiness,
    shutdown: impl Future<Output = ()> + Send + 'static,
) where
    Root<R::Kind>: Resource<DynamicType = ()>,
{
    let client = reconciler.objects().client.clone();
    let shutdown = shutdown.shared();
    tokio::select! {
        () = shutdown.clone() => return,
        () = wait_for_crd::<R>(&client) => readiness.open(Gate::Crd(R::KIND)),
    }
    let cache = writer.cache();
    let reader: &Store<_> = &cache;
    let gauges = tokio::spawn(fill_gauges(Arc::clone(&reconciler), reader.clone()));

    let mut changes = Changes::by(asked_for);
    let followed = reader.clone();
    let memory = Arc::clone(&reconciler);
    let gates = readiness.clone();
    let events = watcher(Api::<Root<R::Kind>>::all(client), watched())
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear());
    let root = writer
        .fill(events)
        // Not `Store::wait_until_ready`: of two tasks that wait for it, kube 5.0 wakes only the last (its oneshot
        // receiver keeps one waker), and the passes are one.
        .inspect(move |event| match event {
            Ok(Event::InitDone) => gates.open(Gate::Cache(R::KIND)),
            // Also of those that no pass has let go, since none had held them.
            Ok(Event::Delete(gone)) => memory.objects().forget(gone.meta()),
            Ok(Event::Apply(object)) => {
                let is_known = R::READS.iter().all(|kind| gates.is_open(Gate::Cache(kind)));
                if let (Ok(live), true, None) = (&object.0, is_known, memory.objects().stale(object.meta())) {
                    R::told(&memory, live);
                }
            }
            Ok(Event::Init | Event::InitApply(_)) | Err(_) => {}
        })
        .flat_map(move |event| {
            stream::iter(match event {
                Ok(event) => {
                    let otherwise = changes.after(&event, &followed);
                    let refs = otherwise.iter().map(|object| Ok(ObjectRef::from_obj(&**object)));
                    refs.collect()
                }
                Err(error) => vec![Err(error)],
            })
        })
        .boxed();
    let triggers = stream::select_all([root].into_iter().chain(reconciler.triggers())).take_until(shutdown);
    passes(reconciler, reader, triggers, &readiness).await;
    gauges.abort();
    info!(kind = R::KIND, "all passes have ended");
}

/// Runs the passes that `triggers` ask for, and those that passes ask for, until the triggers end.
async fn passes<R: Reconciler>(
    reconciler: Arc<R>,
    reader: &Store<Root<R::Kind>>,
    triggers: impl Stream<Item = Result<ObjectRef<Root<R::Kind>>, watcher::Error>>,
    readiness: &Readiness,
) where
    Root<R::Kind>: Resource<DynamicType = ()>,
{
    let mut queue = Queue::default();
    let mut running = FuturesUnordered::new();
    let mut triggers = pin!(triggers);
    let (mut is_filled, mut has_ended) = (false, false);
    while !has_ended || !running.is_empty() {
        let may_begin = |running: usize| is_filled && !has_ended && running < R::AT_ONCE;
        while may_begin(running.len())
            && let Some(of) = queue.begin(Instant::now())
        {
            match reader.get(&of) {
                Some(object) => {
                    let pass = guarded(object, Arc::clone(&reconciler), readiness.clone());
                    running.push(pass.map(|again| (of, again)));
                }
                // A vanished object needs nothing.
                None => queue.end(of, None),
            }
        }
        let due = queue.next_due().filter(|_| may_begin(running.len()));
        tokio::select! {
            trigger = triggers.next(), if !has_ended => match trigger {
                Some(Ok(of)) => queue.ask(of),
                Some(Err(error)) => warn!(%error, "a watch failed and begins anew"),
                None => has_ended = true,
            },
            Some((of, again)) = running.next() => queue.end(of, again.map(|again| Instant::now() + again)),
            _ = reader.wait_until_ready(), if !is_filled => is_filled = true,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
        }
    }
}

/// How objects are watched. What a watch begins with comes in pages, and all of a page is in memory at once.
pub fn watched() -> watcher::Config {
    watcher::Config::default().page_size(PAGE)
}

/// A pass in a task of its own: objects use all cores, and a panic ends one pass, not the operator.
async fn guarded<R: Reconciler>(object: Arc<Root<R::Kind>>, reconciler: Arc<R>, readiness: Readiness) -> Again {
    if R::READS.iter().any(|kind| !readiness.is_open(Gate::Cache(kind))) {
        return Some(CACHE_FILLING);
    }
    let meta = object.meta();
    if let Some(again) = reconciler.objects().stale(meta) {
        return Some(again);
    }
    let span = info_span!(
        "reconcile",
        kind = R::KIND,
        tenant = R::tenant(meta),
        object = meta.name.as_deref().unwrap_or_default(),
        generation = meta.generation,
        op = %&uuid::Uuid::new_v4().simple().to_string()[..8],
    );
    let (of_pass, by) = (Arc::clone(&object), Arc::clone(&reconciler));
    let task = tokio::spawn(
        async move {
            let start = Instant::now();
            let metrics = &by.objects().metrics;
            let _running = metrics.running(R::KIND);
            let result = by.pass(&of_pass).await;
            let label = match &result {
                Ok((_, label)) => label,
                Err(error) => error.label(),
            };
            metrics.reconciled(R::KIND, label, start.elapsed());
            info!(
                result = label,
                milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
                "reconciled"
            );
            result.map(|(again, _)| again)
        }
        .instrument(span),
    );
    task.await.unwrap_or(Err(Error::Panicked)).unwrap_or_else(|error| {
        warn!(kind = R::KIND, object = meta.name, %error, "pass failed");
        reconciler.objects().retry(meta).1
    })
}

/// Requests for the owners of objects that somebody else changed or deleted. `selector` is a label that all such
/// objects bear, `owner` finds whom they belong to.
///
/// What the operator itself wrote needs no further pass, so an object whose fields all belong to us triggers
/// nothing. Only metadata is watched: contents are compared when a pass reads them.
pub fn touched_by_others<K, O>(
    client: &Client,
    selector: &str,
    owner: impl Fn(&ObjectMeta) -> Option<ObjectRef<Root<O>>> + Send + Sync + 'static,
) -> Triggers<O>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    O: Kind,
    Root<O>: Resource<DynamicType = ()>,
{
    let api: Api<PartialObjectMeta<K>> = Api::all(client.clone());
    let events = watcher(api, watched().labels(selector)).default_backoff();
    only_touched_by_others(events, owner)
}

/// The same, from what a watch tells.
pub fn only_touched_by_others<K, O>(
    events: impl Stream<Item = Result<Event<K>, watcher::Error>> + Send + 'static,
    owner: impl Fn(&ObjectMeta) -> Option<ObjectRef<Root<O>>> + Send + Sync + 'static,
) -> Triggers<O>
where
    K: Resource<DynamicType = ()> + Send + 'static,
    O: Kind,
    Root<O>: Resource<DynamicType = ()>,
{
    events
        .filter_map(move |event| {
            future::ready(match event {
                Ok(Event::Delete(object)) => owner(object.meta()).map(Ok),
                Ok(Event::Apply(object) | Event::InitApply(object)) if is_touched(object.managed_fields()) => {
                    owner(object.meta()).map(Ok)
                }
                Ok(Event::Apply(_) | Event::InitApply(_) | Event::Init | Event::InitDone) => None,
                Err(error) => Some(Err(error)),
            })
        })
        .boxed()
}

/// Requests for the objects (by name) of which something is otherwise than before, as `summary` finds it in the caches of other
/// kinds: all that it reads, by their [`Cache::changed`](super::cache::Cache::changed). Changes are gathered for so long. What the
/// caches show is compared, not events: so nothing is missed, whatever happened between two looks.
///
/// The first look is as soon as all caches are filled, which is what passes wait for; later it would cost everything a second one.
pub fn when_otherwise<O, V>(
    caches: impl IntoIterator<Item = watch::Receiver<bool>>,
    gathered: Duration,
    summary: impl Fn() -> BTreeMap<String, V> + Clone + Send + Sync + 'static,
) -> Triggers<O>
where
    O: Kind,
    V: PartialEq + Send + 'static,
    Root<O>: Resource<DynamicType = ()>,
{
    let caches: Vec<_> = caches.into_iter().collect();
    let before: Option<BTreeMap<String, V>> = None;
    stream::unfold((caches, before), move |(mut caches, before)| {
        let summary = summary.clone();
        async move {
            if before.is_none() {
                for cache in &mut caches {
                    if cache.wait_for(|is_filled| *is_filled).await.is_err() {
                        return None;
                    }
                }
            } else {
                let any = future::select_all(caches.iter_mut().map(|cache| cache.changed().boxed()));
                any.await.0.ok()?;
                sleep(gathered).await;
            }
            for cache in &mut caches {
                cache.mark_unchanged();
            }
            let now = summary();
            let before = before.unwrap_or_default();
            let requests: Vec<_> = differing(&before, &now).map(|name| Ok(ObjectRef::new(name))).collect();
            Some((stream::iter(requests), (caches, Some(now))))
        }
    })
    .flatten()
    .boxed()
}

/// Keys that are in one map only, or have different values.
fn differing<'a, V: PartialEq>(
    before: &'a BTreeMap<String, V>,
    now: &'a BTreeMap<String, V>,
) -> impl Iterator<Item = &'a str> {
    let gone = before.keys().filter(|key| !now.contains_key(*key));
    let changed = now.iter().filter(|(key, value)| before.get(*key) != Some(value));
    gone.chain(changed.map(|(key, _)| key)).map(String::as_str)
}

/// Whether anybody but us owns a field outside of `status`.
fn is_touched(managed: &[ManagedFieldsEntry]) -> bool {
    managed.iter().any(|entry| {
        entry.subresource.as_deref() != Some("status")
            && entry.manager.as_deref() != Some(FieldManager::Objects.as_ref())
    })
}

async fn wait_for_crd<R: Reconciler>(client: &Client) {
    let api: Api<PartialObjectMeta<R::Kind>> = Api::all(client.clone());
    let mut said = false;
    while let Err(error) = within(api.list_metadata(&ListParams::default().limit(1))).await {
        if !said {
            warn!(%error, kind = R::KIND, "the kind is not served; install chart plexica-crds; looked for every second");
            said = true;
        }
        sleep(TICK).await;
    }
}

async fn fill_gauges<R: Reconciler>(reconciler: Arc<R>, reader: Store<Root<R::Kind>>)
where
    Root<R::Kind>: Resource<DynamicType = ()>,
{
    let kind = R::KIND;
    let metrics = &reconciler.objects().metrics;
    loop {
        let objects = reader.state();
        for phase in R::phases() {
            let count = objects
                .iter()
                .filter(|guard| guard.0.as_ref().ok().and_then(R::phase) == Some(phase))
                .count();
            let labels = PhaseLabels {
                kind,
                phase: phase.to_owned(),
            };
            let gauge = metrics.objects.get_or_create_owned(&labels);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let waiting = i64::try_from(reconciler.objects().in_backoff()).unwrap_or(i64::MAX);
        metrics.in_backoff.get_or_create(&KindLabels { kind }).set(waiting);
        sleep(TICK).await;
    }
}

#[cfg(test)]
#[path = "controller_tests.rs"]
mod tests;
