//! One watch of each of our kinds: it fills the cache, and whoever wants to know of a change is told once the cache holds it.
//!
//! A watch of one's own would tell of a change before the cache has it, or after: whoever looks then sees what was, decides by
//! that, and nobody calls again. `Store::subscribe` of kube 5.0 does not do: it is silent of what goes, and one subscriber that
//! does not listen stops the watch for all.

use std::{
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{Stream, StreamExt, channel::mpsc};
use kube::{
    Resource,
    runtime::{
        WatchStreamExt,
        reflector::{self, Store, store::Writer},
        watcher::{self, Event},
    },
};
use tokio::sync::watch;

use super::{
    changes::Changes,
    objects::{Kind, Root},
};

/// A cache with nothing in it, and who fills it.
pub fn cache<K: Kind>() -> (Cache<K>, CacheWriter<K>)
where
    Root<K>: Resource<DynamicType = ()>,
{
    let (store, writer) = reflector::store();
    let cache = Cache {
        store,
        subscribers: Arc::default(),
        changed: watch::Sender::new(false),
    };
    let writer = CacheWriter {
        writer,
        cache: cache.clone(),
    };
    (cache, writer)
}

/// The objects of a kind, as its watch told of them last. It is read as the [`Store`] that it is.
#[derive(Clone)]
pub struct Cache<K: Kind>
where
    Root<K>: Resource<DynamicType = ()>,
{
    store: Store<Root<K>>,
    subscribers: Arc<Mutex<Vec<Subscriber<Root<K>>>>>,
    changed: watch::Sender<bool>,
}

struct Subscriber<K: Resource<DynamicType = ()> + Clone + 'static> {
    changes: Changes<K>,
    told: mpsc::UnboundedSender<Arc<K>>,
}

/// Fills a cache.
pub struct CacheWriter<K: Kind>
where
    Root<K>: Resource<DynamicType = ()>,
{
    writer: Writer<Root<K>>,
    cache: Cache<K>,
}

impl<K: Kind> Deref for Cache<K>
where
    Root<K>: Resource<DynamicType = ()>,
{
    type Target = Store<Root<K>>;

    fn deref(&self) -> &Self::Target {
        &self.store
    }
}

impl<K: Kind> Cache<K>
where
    Root<K>: Resource<DynamicType = ()>,
{
    /// Objects that come, go (then marked as deleted) or get another summary from now on. What is in the cache when it is filled is
    /// not told: whoever reads it begins after that, with a look at everything (`Reconciler::READS`).
    pub fn subscribe(&self, summary: fn(&Root<K>) -> u64) -> mpsc::UnboundedReceiver<Arc<Root<K>>> {
        let (told, receiver) = mpsc::unbounded();
        let mut subscribers = self.lock();
        let mut changes = Changes::by(summary);
        changes.all(&self.store);
        subscribers.push(Subscriber { changes, told });
        receiver
    }

    /// Whether it is filled; marked as changed whenever something in it is.
    pub fn changed(&self) -> watch::Receiver<bool> {
        self.changed.subscribe()
    }

    /// An event that is in the cache.
    fn tell(&self, event: &Event<Root<K>>) {
        let fills = matches!(event, Event::InitDone) && !*self.changed.borrow();
        self.lock().retain_mut(|Subscriber { changes, told }| {
            let mut otherwise = changes.after(event, &self.store).into_iter();
            fills || otherwise.all(|object| told.unbounded_send(object).is_ok())
        });
        match event {
            Event::Apply(_) | Event::Delete(_) | Event::InitDone => drop(self.changed.send_replace(true)),
            Event::Init | Event::InitApply(_) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Subscriber<Root<K>>>> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Kind> CacheWriter<K>
where
    Root<K>: Resource<DynamicType = ()>,
{
    /// The cache that it fills.
    pub fn cache(&self) -> Cache<K> {
        self.cache.clone()
    }

    /// Fills the cache with what a watch tells, then tells subscribers; last comes who reads on.
    pub fn fill(
        self,
        events: impl Stream<Item = Result<Event<Root<K>>, watcher::Error>> + Send + 'static,
    ) -> impl Stream<Item = Result<Event<Root<K>>, watcher::Error>> + Send + 'static {
        let Self { writer, cache } = self;
        events.reflect(writer).inspect(move |event| {
            if let Ok(event) = event {
                cache.tell(event);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, stream};
    use kube::{ResourceExt, core::DeserializeGuard, runtime::reflector::ObjectRef};
    use plexica_crds::Tenant;
    use serde_json::json;

    use super::*;

    fn tenant(name: &str, generation: i64) -> Root<Tenant> {
        let object = json!({
            "metadata": { "name": name, "generation": generation },
            "spec": { "displayName": name },
        });
        DeserializeGuard(Ok(serde_json::from_value(object).unwrap()))
    }

    fn generation(tenant: &Root<Tenant>) -> u64 {
        tenant.meta().generation.unwrap().unsigned_abs()
    }

    fn listed(tenants: &[(&str, i64)]) -> Vec<Event<Root<Tenant>>> {
        let found = tenants
            .iter()
            .map(|(name, generation)| Event::InitApply(tenant(name, *generation)));
        [Event::Init]
            .into_iter()
            .chain(found)
            .chain([Event::InitDone])
            .collect()
    }

    fn fill(
        writer: CacheWriter<Tenant>,
        events: Vec<Event<Root<Tenant>>>,
    ) -> impl Stream<Item = Result<Event<Root<Tenant>>, watcher::Error>> + Unpin {
        writer.fill(stream::iter(events.into_iter().map(Ok))).boxed()
    }

    /// What a subscriber has been told: names, and the generations that the cache shows to whoever looks now.
    fn told(
        changed: &mut mpsc::UnboundedReceiver<Arc<Root<Tenant>>>,
        cache: &Cache<Tenant>,
    ) -> Vec<(String, Option<u64>)> {
        let mut told = vec![];
        while let Some(Some(object)) = changed.next().now_or_never() {
            let found = cache.get(&ObjectRef::from_obj(&*object));
            told.push((object.name_any(), found.map(|found| generation(&found))));
        }
        told.sort();
        told
    }

    fn shown(name: &str, generation: u64) -> (String, Option<u64>) {
        (name.to_owned(), Some(generation))
    }

    #[tokio::test]
    async fn whoever_is_told_of_a_change_finds_it_in_the_cache() {
        let (cache, writer) = cache();
        let mut changed = cache.subscribe(generation);
        let anew = listed(&[("acme", 3), ("new", 1)]);
        let mut events = fill(
            writer,
            [
                listed(&[("acme", 1), ("gone", 1)]),
                vec![Event::Apply(tenant("acme", 1)), Event::Apply(tenant("acme", 2))],
                anew,
                vec![Event::Delete(tenant("new", 1))],
            ]
            .concat(),
        );
        let mut all = vec![];
        while events.next().await.is_some() {
            all.extend(told(&mut changed, &cache));
        }
        let gone = |name: &str| (name.to_owned(), None);
        assert_eq!(
            all,
            [
                shown("acme", 2),
                shown("acme", 3),
                gone("gone"),
                shown("new", 1),
                gone("new")
            ]
        );
    }

    #[tokio::test]
    async fn who_subscribes_late_is_told_of_what_comes_later() {
        let (cache, writer) = cache();
        let mut events = fill(
            writer,
            [listed(&[("acme", 1)]), vec![Event::Apply(tenant("acme", 2))]].concat(),
        );
        for _ in 0..3 {
            events.next().await;
        }
        let mut changed = cache.subscribe(generation);
        assert_eq!(told(&mut changed, &cache), []);
        events.next().await;
        assert_eq!(told(&mut changed, &cache), [shown("acme", 2)]);
    }

    #[tokio::test]
    async fn a_subscriber_that_has_left_is_in_nobodys_way() {
        let (cache, writer) = cache();
        drop(cache.subscribe(generation));
        let mut changed = cache.subscribe(generation);
        let all = [listed(&[]), vec![Event::Apply(tenant("acme", 1))]].concat();
        fill(writer, all).for_each(async |_| ()).await;
        assert_eq!(told(&mut changed, &cache), [shown("acme", 1)]);
        assert_eq!(cache.lock().len(), 1);
    }

    #[tokio::test]
    async fn a_cache_has_changed_when_it_is_filled_and_not_before() {
        let (cache, writer) = cache();
        let changed = cache.changed();
        let mut events = fill(writer, listed(&[("acme", 1)]));
        for is_filled in [false, false, true] {
            events.next().await;
            assert_eq!(
                (*changed.borrow(), changed.has_changed().unwrap()),
                (is_filled, is_filled)
            );
        }
    }
}
