//! Objects of plugins, as the API server told of them last. They are some milliseconds old, and no request is needed to know them.
//!
//! Of each it is kept what passes look at, and whether it is as it was declared last: what is, needs no look at all. By what is kept
//! nothing is written but the one Service that a person's request turns, and that only if nobody wrote to it since.

use std::{
    collections::HashMap,
    marker::PhantomData,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{Stream, StreamExt, stream::BoxStream};
use k8s_openapi::api::{
    apps::v1::Deployment, core::v1::Service, networking::v1::NetworkPolicy, policy::v1::PodDisruptionBudget,
};
use kube::{
    Resource, ResourceExt,
    core::NamespaceResourceScope,
    runtime::watcher::{self, Event},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tracing::error;

use crate::{
    gateway_api::HTTPRoute,
    runtime::{apply::holds, changes::fingerprint},
};

mod trim;

/// What is watched of plugins' objects.
#[derive(Clone, Default)]
pub struct Watched {
    /// Their Services.
    pub services: Kept<Service>,
    /// Their Deployments, without what their pods are made from.
    pub deployments: Kept<Deployment>,
    /// Their routes, if there is a Gateway.
    pub routes: Kept<HTTPRoute>,
    /// Names of their NetworkPolicies.
    pub policies: Kept<NetworkPolicy>,
    /// Names of their PodDisruptionBudgets.
    pub budgets: Kept<PodDisruptionBudget>,
}

/// A kind of which the operator makes objects.
pub trait Made:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + std::fmt::Debug
    + Serialize
    + DeserializeOwned
    + Send
    + 'static
{
    /// Where objects of the kind are kept; `None` if it is not watched.
    fn kept(watched: &Watched) -> Option<&Kept<Self>>;

    /// Takes away what nobody looks at.
    fn trim(&mut self);

    /// Whether it is worth comparing with a declaration: what is told of one is kept whole until then.
    fn is_compared(&self) -> bool {
        true
    }
}

/// Namespace and name.
type Key = (String, String);

/// Objects of a kind as they were told of, or written, last. They are kept as JSON: thousands are kept and few are asked for, and a
/// Deployment that says next to nothing has 6 KB otherwise.
pub struct Kept<K> {
    all: Arc<Mutex<All>>,
    kind: PhantomData<fn() -> K>,
}

#[derive(Default)]
struct All {
    known: HashMap<Key, Known>,
    /// All that are there were told of.
    is_complete: bool,
    /// How many times a watch began.
    begun: u32,
}

/// What is known of an object.
struct Known {
    /// Its version. What is older changes nothing: a watch tells of what was, a moment after it was written.
    version: u64,
    /// Which watch told of it last.
    begun: u32,
    /// It, trimmed.
    trimmed: Box<[u8]>,
    likeness: Likeness,
}

/// How it compares with what is declared.
enum Likeness {
    /// That is not known yet: all of it.
    Whole(Box<[u8]>),
    /// It is as the declaration with this hash.
    Declared(u64),
    /// It was not as declared, or is not compared.
    Unknown,
}

impl<K> Default for Kept<K> {
    fn default() -> Self {
        Self {
            all: Arc::default(),
            kind: PhantomData,
        }
    }
}

impl<K> Clone for Kept<K> {
    fn clone(&self) -> Self {
        Self {
            all: Arc::clone(&self.all),
            kind: PhantomData,
        }
    }
}

impl<K: Made> Kept<K> {
    /// The object of this name, trimmed, if it is known; none is before all were told of.
    pub fn get(&self, namespace: &str, name: &str) -> Option<K> {
        let all = self.lock();
        let known = all.known.get(&(namespace.to_owned(), name.to_owned()));
        serde_json::from_slice(&known.filter(|_| all.is_complete)?.trimmed)
            .inspect_err(|error| error!(namespace, name, %error, "what is kept of an object cannot be read"))
            .ok()
    }

    /// Whether it is known that there is no object of this name.
    pub fn lacks(&self, namespace: &str, name: &str) -> bool {
        let all = self.lock();
        all.is_complete && !all.known.contains_key(&(namespace.to_owned(), name.to_owned()))
    }

    /// Whether the object of that name is known to have everything that is declared.
    pub fn is_as_declared(&self, declared: &K) -> bool {
        let declared_json = json!(declared);
        let mut all = self.lock();
        let Some(known) = all.known.get_mut(&key(declared)) else {
            return false;
        };
        let hash = fingerprint(declared_json.to_string());
        match &known.likeness {
            Likeness::Declared(is) => *is == hash,
            Likeness::Whole(whole) => {
                let whole: Value = serde_json::from_slice(whole).unwrap_or_default();
                let is_as_declared = holds(&whole, &declared_json);
                if is_as_declared {
                    known.likeness = Likeness::Declared(hash);
                }
                is_as_declared
            }
            Likeness::Unknown => false,
        }
    }

    /// The object was read, or written, when it was to be as declared, in whatever version.
    pub fn saw(&self, object: &K, declared: &K) {
        let mut declared = declared.clone();
        declared.meta_mut().resource_version = None;
        let (whole, declared) = (json!(object), json!(declared));
        let likeness = if holds(&whole, &declared) {
            Likeness::Declared(fingerprint(declared.to_string()))
        } else {
            Likeness::Unknown
        };
        self.lock().know(object, |_| likeness);
    }

    /// Keeps what a watch tells. Who comes after it in the stream finds it kept.
    pub fn keep(
        &self,
        events: impl Stream<Item = Result<Event<K>, watcher::Error>> + Send + 'static,
    ) -> BoxStream<'static, Result<Event<K>, watcher::Error>> {
        let kept = self.clone();
        let keep = move |event: &Result<Event<K>, watcher::Error>| {
            let mut all = kept.lock();
            match event {
                Err(_) => {}
                Ok(Event::Init) => all.begun = all.begun.wrapping_add(1),
                Ok(Event::InitApply(object) | Event::Apply(object)) => all.know(object, |object: &K| {
                    if object.is_compared() {
                        Likeness::Whole(packed(object))
                    } else {
                        Likeness::Unknown
                    }
                }),
                Ok(Event::InitDone) => {
                    // What is not in the list that a watch begins with is gone, which is known when the list is whole.
                    let begun = all.begun;
                    all.known.retain(|_, known| known.begun == begun);
                    all.is_complete = true;
                }
                Ok(Event::Delete(object)) => {
                    let is_gone = |known: &Known| version(object) >= known.version;
                    if all.known.get(&key(object)).is_some_and(is_gone) {
                        all.known.remove(&key(object));
                    }
                }
            }
        };
        events.inspect(keep).boxed()
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    /// An object is so, unless something newer is known of it. Of the same version, how it compares may be known by now.
    fn know<K: Made>(&mut self, object: &K, likeness: impl FnOnce(&K) -> Likeness) {
        let (version, begun) = (version(object), self.begun);
        if let Some(known) = self.known.get_mut(&key(object)) {
            known.begun = begun;
            let is_settled = known.version == version && matches!(known.likeness, Likeness::Declared(_));
            if version < known.version || is_settled {
                return;
            }
        }
        let mut trimmed = object.clone();
        trimmed.trim();
        let known = Known {
            version,
            begun,
            trimmed: packed(&trimmed),
            likeness: likeness(object),
        };
        self.known.insert(key(object), known);
    }
}

fn key(object: &impl ResourceExt) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// An object's version, as a number: so Kubernetes lets them be compared since 1.35 (KEP-5504).
fn version(object: &impl ResourceExt) -> u64 {
    let version = object.resource_version();
    version.and_then(|version| version.parse().ok()).unwrap_or_default()
}

fn packed<K: Serialize>(object: &K) -> Box<[u8]> {
    // An object that was read from JSON can be written as it.
    serde_json::to_vec(object).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use serde_json::json;

    use super::*;

    fn service(name: &str, slot: &str) -> Service {
        serde_json::from_value(json!({
            "metadata": { "namespace": "tenant-acme", "name": name, "resourceVersion": "7" },
            "spec": { "selector": { "plexica.io/slot": slot }, "ports": [{ "port": 80 }] },
        }))
        .unwrap()
    }

    /// The slots that the Services `one` and `two` lead to, and whether it is known that they are not there.
    async fn after(events: impl IntoIterator<Item = Event<Service>>) -> [(Option<String>, bool); 2] {
        let kept = Kept::default();
        let events = stream::iter(events.into_iter().map(Ok).collect::<Vec<_>>());
        kept.keep(events).for_each(async |_| ()).await;
        ["one", "two"].map(|name| {
            let found = kept
                .get("tenant-acme", name)
                .and_then(|found: Service| found.spec?.selector);
            let slot = found.and_then(|selector| selector.get("plexica.io/slot").cloned());
            (slot, kept.lacks("tenant-acme", name))
        })
    }

    #[tokio::test]
    async fn what_a_watch_begins_with_counts_when_it_is_whole_and_replaces_what_was_known() {
        let begun = vec![Event::Init, Event::InitApply(service("one", "a"))];
        assert_eq!(after(begun.clone()).await, [(None, false), (None, false)]);
        let known = [begun, vec![Event::InitDone]].concat();
        assert_eq!(
            after(known.clone()).await,
            [(Some("a".to_owned()), false), (None, true)]
        );
        let anew = vec![Event::Init, Event::InitApply(service("two", "b"))];
        let failed = [known.clone(), anew.clone()].concat();
        assert_eq!(after(failed).await[0], (Some("a".to_owned()), false));
        let replaced = [known, anew, vec![Event::InitDone]].concat();
        assert_eq!(after(replaced).await, [(None, true), (Some("b".to_owned()), false)]);
    }

    /// Whoever is called for an object of a list looks before the list is whole.
    #[tokio::test]
    async fn what_changed_while_nobody_watched_is_kept_as_soon_as_it_is_told() {
        let known = vec![Event::Init, Event::InitApply(service("one", "a")), Event::InitDone];
        let anew = vec![Event::Init, Event::InitApply(service("one", "b"))];
        let found = after([known, anew].concat()).await;
        assert_eq!(found[0], (Some("b".to_owned()), false));
    }

    #[tokio::test]
    async fn what_is_kept_follows_each_change() {
        let known = vec![Event::Init, Event::InitApply(service("one", "a")), Event::InitDone];
        let changed = [
            known,
            vec![Event::Apply(service("one", "b")), Event::Apply(service("two", "a"))],
        ]
        .concat();
        let both = [(Some("b".to_owned()), false), (Some("a".to_owned()), false)];
        assert_eq!(after(changed.clone()).await, both);
        let gone = [changed, vec![Event::Delete(service("one", "b"))]].concat();
        assert_eq!(after(gone).await[0], (None, true));
    }

    fn budget(version: &str, slot: &str) -> PodDisruptionBudget {
        let metadata = json!({ "namespace": "tenant-acme", "name": "one", "resourceVersion": version });
        let selector = json!({ "matchLabels": { "plexica.io/slot": slot } });
        let budget = json!({ "metadata": metadata, "spec": { "maxUnavailable": 1, "selector": selector } });
        serde_json::from_value(budget).unwrap()
    }

    fn declared(slot: &str) -> PodDisruptionBudget {
        let mut declared = budget("1", slot);
        declared.metadata.resource_version = None;
        declared
    }

    async fn told(kept: &Kept<PodDisruptionBudget>, events: impl IntoIterator<Item = Event<PodDisruptionBudget>>) {
        let events = stream::iter(events.into_iter().map(Ok).collect::<Vec<_>>());
        kept.keep(events).for_each(async |_| ()).await;
    }

    #[tokio::test]
    async fn what_was_told_to_be_as_declared_is_known_to_be_so_until_it_changes() {
        let kept = Kept::default();
        assert!(!kept.is_as_declared(&declared("a")));
        told(
            &kept,
            [Event::Init, Event::InitApply(budget("7", "a")), Event::InitDone],
        )
        .await;
        // It is asked twice: what was compared is not kept whole.
        assert!(!kept.is_as_declared(&declared("b")));
        assert!(kept.is_as_declared(&declared("a")) && kept.is_as_declared(&declared("a")));
        assert!(!kept.is_as_declared(&declared("b")));
        told(&kept, [Event::Apply(budget("8", "b"))]).await;
        assert!(!kept.is_as_declared(&declared("a")));
        assert!(kept.is_as_declared(&declared("b")));
        told(&kept, [Event::Delete(budget("9", "b"))]).await;
        assert!(!kept.is_as_declared(&declared("b")));
    }

    /// The watch tells of what was there before a write, when that is done already.
    #[tokio::test]
    async fn what_is_told_after_a_write_of_the_time_before_it_changes_nothing() {
        let kept = Kept::default();
        told(
            &kept,
            [Event::Init, Event::InitApply(budget("7", "a")), Event::InitDone],
        )
        .await;
        assert!(kept.is_as_declared(&declared("a")));
        kept.saw(&budget("9", "b"), &declared("b"));
        assert!(!kept.is_as_declared(&declared("a")) && kept.is_as_declared(&declared("b")));
        told(&kept, [Event::Apply(budget("8", "a")), Event::Delete(budget("8", "a"))]).await;
        assert!(kept.is_as_declared(&declared("b")));
        // It tells of the write itself.
        told(&kept, [Event::Apply(budget("9", "b"))]).await;
        assert!(kept.is_as_declared(&declared("b")));
        told(
            &kept,
            [Event::Init, Event::InitApply(budget("9", "b")), Event::InitDone],
        )
        .await;
        assert!(kept.is_as_declared(&declared("b")));
        told(&kept, [Event::Init, Event::InitDone]).await;
        assert!(!kept.is_as_declared(&declared("b")));
    }
}
