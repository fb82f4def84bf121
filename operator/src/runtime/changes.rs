//! Which objects of a cache are otherwise than before, after what a watch tells. Pure.
//!
//! What the cache holds is compared, not what a watch says: what was deleted while nobody watched is in no event, and an object
//! that was deleted and made again looks like the one before.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{
    Resource,
    runtime::{
        reflector::{ObjectRef, Store},
        watcher::Event,
    },
};

/// What the cache held when it was looked at last.
pub struct Changes<K: Resource<DynamicType = ()> + Clone + 'static> {
    known: HashMap<ObjectRef<K>, Known<K>>,
    summary: fn(&K) -> u64,
}

struct Known<K> {
    /// The cache's own, so none is kept longer than there.
    object: Arc<K>,
    summary: u64,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Changes<K> {
    /// Nothing was looked at yet. Objects of one summary count as the same.
    pub fn by(summary: fn(&K) -> u64) -> Self {
        Self {
            known: HashMap::new(),
            summary,
        }
    }

    /// The objects that came, changed or went, once the cache has followed the event. One that went is marked as deleted. Those of a
    /// list are named when it is complete: only then they are in the cache, and whoever looks for one before finds none.
    pub fn after(&mut self, event: &Event<K>, cache: &Store<K>) -> Vec<Arc<K>> {
        match event {
            Event::Init | Event::InitApply(_) => vec![],
            Event::InitDone => self.all(cache),
            Event::Apply(object) => {
                let found = cache.get(&ObjectRef::from_obj(object));
                found.and_then(|object| self.one(object)).into_iter().collect()
            }
            Event::Delete(object) => {
                let gone = self.known.remove(&ObjectRef::from_obj(object));
                gone.map(Known::gone).into_iter().collect()
            }
        }
    }

    /// The same, of everything that the cache holds now.
    pub fn all(&mut self, cache: &Store<K>) -> Vec<Arc<K>> {
        let now = cache.state();
        let there: HashSet<_> = now.iter().map(|object| ObjectRef::from_obj(&**object)).collect();
        let gone = self.known.extract_if(|of, _| !there.contains(of));
        let mut changed: Vec<_> = gone.map(|(_, known)| known.gone()).collect();
        changed.extend(now.into_iter().filter_map(|object| self.one(object)));
        changed
    }

    fn one(&mut self, object: Arc<K>) -> Option<Arc<K>> {
        // Another object of the same name is another object.
        let summary = fingerprint((&object.meta().uid, (self.summary)(&object)));
        let now = Known {
            object: Arc::clone(&object),
            summary,
        };
        let before = self.known.insert(ObjectRef::from_obj(&*object), now);
        before.is_none_or(|before| before.summary != summary).then_some(object)
    }
}

impl<K: Resource + Clone> Known<K> {
    fn gone(self) -> Arc<K> {
        let mut object = Arc::unwrap_or_clone(self.object);
        let deleted = &mut object.meta_mut().deletion_timestamp;
        deleted.get_or_insert(Time(Timestamp::now()));
        Arc::new(object)
    }
}

/// A number that differs, but for an accident, where this does.
pub fn fingerprint(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// What is asked for by an object itself. The operator's own writes of finalizer and status need no further pass: the pass that
/// sets the finalizer goes on. A deletion is a new generation, a request and a confirmation are annotations.
pub fn asked_for(object: &impl Resource) -> u64 {
    let meta = object.meta();
    fingerprint((meta.generation, &meta.annotations))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
    use kube::runtime::reflector::{self, store::Writer};

    use super::*;

    fn object(name: &str, generation: i64) -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.into()),
                generation: Some(generation),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        }
    }

    struct World {
        cache: Store<ConfigMap>,
        writer: Writer<ConfigMap>,
        changes: Changes<ConfigMap>,
    }

    impl World {
        fn new() -> Self {
            let (cache, writer) = reflector::store();
            let changes = Changes::by(asked_for);
            Self { cache, writer, changes }
        }

        /// Names of what changed by an event, and whether it is gone.
        fn after(&mut self, event: &Event<ConfigMap>) -> Vec<(String, bool)> {
            self.writer.apply_watcher_event(event);
            let changed = self.changes.after(event, &self.cache);
            let mut told: Vec<_> = changed
                .iter()
                .map(|object| {
                    let meta = object.meta();
                    (meta.name.clone().unwrap(), meta.deletion_timestamp.is_some())
                })
                .collect();
            told.sort();
            told
        }

        fn list(&mut self, objects: &[(&str, i64)]) -> Vec<(String, bool)> {
            assert!(self.after(&Event::Init).is_empty());
            for (name, generation) in objects {
                let told = self.after(&Event::InitApply(object(name, *generation)));
                assert!(told.is_empty(), "{name} is told of before it is in the cache");
            }
            self.after(&Event::InitDone)
        }
    }

    fn there(name: &str) -> (String, bool) {
        (name.to_owned(), false)
    }

    fn gone(name: &str) -> (String, bool) {
        (name.to_owned(), true)
    }

    #[test]
    fn objects_of_a_list_are_told_of_when_all_of_it_is_in_the_cache() {
        assert_eq!(World::new().list(&[("a", 1), ("b", 1)]), [there("a"), there("b")]);
    }

    #[test]
    fn a_watch_that_begins_anew_tells_of_what_came_changed_or_went_meanwhile() {
        let mut world = World::new();
        world.list(&[("same", 1), ("changed", 1), ("gone", 1)]);
        assert_eq!(
            world.list(&[("same", 1), ("changed", 2), ("new", 1)]),
            [there("changed"), gone("gone"), there("new")]
        );
    }

    #[test]
    fn a_list_that_was_broken_off_counts_for_nothing() {
        let mut world = World::new();
        world.after(&Event::Init);
        world.after(&Event::InitApply(object("a", 1)));
        assert_eq!(world.list(&[("b", 1)]), [there("b")]);
    }

    #[test]
    fn an_object_is_told_of_when_its_spec_or_annotations_change_or_it_is_another_of_its_name_or_it_goes() {
        let mut world = World::new();
        let mut now = object("a", 1);
        let mut told = |now: &ConfigMap| world.after(&Event::Apply(now.clone()));
        assert_eq!(told(&now), [there("a")]);
        now.metadata.resource_version = Some("2".into());
        assert!(told(&now).is_empty(), "its status was written");
        now.metadata.generation = Some(2);
        assert_eq!(told(&now), [there("a")]);
        now.metadata.annotations = Some([("plexica.io/promote".to_owned(), "1".to_owned())].into());
        assert_eq!(told(&now), [there("a")]);
        now.metadata.uid = Some("another".into());
        assert_eq!(told(&now), [there("a")]);
        assert_eq!(world.after(&Event::Delete(now)), [gone("a")]);
    }

    /// The last thing that a watch says of an object with a finalizer is what it said before: only its end is new.
    #[test]
    fn the_end_of_an_object_is_told_though_it_says_nothing_new() {
        let mut world = World::new();
        let mut now = object("a", 2);
        now.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        assert_eq!(world.after(&Event::Apply(now.clone())), [gone("a")]);
        assert_eq!(world.after(&Event::Delete(now)), [gone("a")]);
    }
}
