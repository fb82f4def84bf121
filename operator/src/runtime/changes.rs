//! Which of our objects are to be looked at, after what a watch tells. Pure.
//!
//! The operator's own writes of finalizer and status need no further pass: the pass that sets the finalizer goes on.
//! A deletion is a new generation, a request and a confirmation are annotations.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    mem,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Resource,
    runtime::{reflector::ObjectRef, watcher::Event},
};

/// What was told of objects so far.
pub struct Changes<K: Resource> {
    known: HashMap<ObjectRef<K>, u64>,
    /// What a list holds that is not complete yet.
    listed: HashMap<ObjectRef<K>, u64>,
}

impl<K: Resource> Default for Changes<K> {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            listed: HashMap::new(),
        }
    }
}

impl<K: Resource<DynamicType = ()>> Changes<K> {
    /// The objects that are otherwise than before. Those of a list are named when it is complete: only then they are in
    /// the cache, and whoever looks for one before finds none.
    pub fn after(&mut self, event: &Event<K>) -> Vec<ObjectRef<K>> {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(object) => {
                self.listed.insert(ObjectRef::from_obj(object), summary(object.meta()));
            }
            Event::InitDone => {
                let before = mem::replace(&mut self.known, mem::take(&mut self.listed));
                let now = self.known.iter();
                let changed = now.filter(|(object, summary)| before.get(object) != Some(summary));
                return changed.map(|(object, _)| object.clone()).collect();
            }
            Event::Apply(object) => {
                let (of, summary) = (ObjectRef::from_obj(object), summary(object.meta()));
                if self.known.insert(of.clone(), summary) != Some(summary) {
                    return vec![of];
                }
            }
            Event::Delete(object) => {
                self.known.remove(&ObjectRef::from_obj(object));
            }
        }
        vec![]
    }
}

fn summary(meta: &ObjectMeta) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&meta.uid, meta.generation, &meta.annotations).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

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

    fn names(objects: Vec<ObjectRef<ConfigMap>>) -> Vec<String> {
        let mut names: Vec<_> = objects.into_iter().map(|object| object.name).collect();
        names.sort();
        names
    }

    fn list(changes: &mut Changes<ConfigMap>, objects: &[(&str, i64)]) -> Vec<String> {
        assert!(changes.after(&Event::Init).is_empty());
        for (name, generation) in objects {
            let told = changes.after(&Event::InitApply(object(name, *generation)));
            assert!(told.is_empty(), "{name} is told of before it is in the cache");
        }
        names(changes.after(&Event::InitDone))
    }

    #[test]
    fn objects_of_a_list_are_told_of_when_all_of_it_is_in_the_cache() {
        assert_eq!(list(&mut Changes::default(), &[("a", 1), ("b", 1)]), ["a", "b"]);
    }

    #[test]
    fn a_watch_that_begins_anew_tells_of_what_came_or_changed_meanwhile() {
        let mut changes = Changes::default();
        list(&mut changes, &[("same", 1), ("changed", 1), ("gone", 1)]);
        assert_eq!(
            list(&mut changes, &[("same", 1), ("changed", 2), ("new", 1)]),
            ["changed", "new"]
        );
    }

    #[test]
    fn a_list_that_was_broken_off_counts_for_nothing() {
        let mut changes = Changes::default();
        changes.after(&Event::Init);
        changes.after(&Event::InitApply(object("a", 1)));
        assert_eq!(list(&mut changes, &[("b", 1)]), ["b"]);
    }

    #[test]
    fn an_object_is_told_of_when_its_spec_or_annotations_change_or_it_is_another_of_its_name() {
        let mut changes = Changes::default();
        let mut now = object("a", 1);
        let mut told = |now: &ConfigMap| names(changes.after(&Event::Apply(now.clone())));
        assert_eq!(told(&now), ["a"]);
        now.metadata.resource_version = Some("2".into());
        assert!(told(&now).is_empty(), "its status was written");
        now.metadata.generation = Some(2);
        assert_eq!(told(&now), ["a"]);
        now.metadata.annotations = Some([("plexica.io/promote".to_owned(), "1".to_owned())].into());
        assert_eq!(told(&now), ["a"]);
        now.metadata.uid = Some("another".into());
        assert_eq!(told(&now), ["a"]);
    }
}
