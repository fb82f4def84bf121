//! Objects of plugins, as the API server told of them last. They are some milliseconds old, and no request is needed to know them.
//!
//! Of each it is kept what passes look at, and whether it is as it was declared last: what is, needs no look at all. What is written by
//! what is kept is written only if nobody wrote to it since.

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

/// Largest object that is kept, in bytes of JSON, trimmed or whole. Whoever may write in a tenant's namespace can label what he likes as
/// a plugin's; what is larger is read when somebody asks for it.
const LARGEST: usize = 64 * 1024;

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
    /// It, trimmed; `None` if it is too large.
    trimmed: Option<Box<[u8]>>,
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
        serde_json::from_slice(known.filter(|_| all.is_complete)?.trimmed.as_ref()?)
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
        // Only a watch says of an object that it is there still.
        self.lock().know(object, None, |_| likeness);
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
                Ok(Event::InitApply(object) | Event::Apply(object)) => {
                    let begun = all.begun;
                    all.know(object, Some(begun), |object: &K| {
                        let whole = packed(object).filter(|_| object.is_compared());
                        whole.map_or(Likeness::Unknown, Likeness::Whole)
                    });
                }
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
    /// An object is so, unless something newer is known of it. Of the same version, how it compares may be known by now. `told` is
    /// which watch says so, if one does.
    fn know<K: Made>(&mut self, object: &K, told: Option<u32>, likeness: impl FnOnce(&K) -> Likeness) {
        let version = version(object);
        let mut begun = told.unwrap_or_default();
        if let Some(known) = self.known.get_mut(&key(object)) {
            begun = told.unwrap_or(known.begun);
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

/// An object as JSON, unless it is too large.
fn packed<K: Serialize>(object: &K) -> Option<Box<[u8]>> {
    let json = serde_json::to_vec(object).ok().filter(|json| json.len() <= LARGEST);
    json.map(Vec::into_boxed_slice)
}

#[cfg(test)]
#[path = "watched_tests.rs"]
mod tests;
