//! Services, Deployments and routes of plugins, as the API server told of them last. They are some milliseconds old, and no request
//! is needed to know them. What is decided by them is written only if nobody wrote to the Service since, and looked at anew
//! afterwards.

use std::{
    collections::HashMap,
    marker::PhantomData,
    sync::{Arc, PoisonError, RwLock},
};

use futures::{Stream, StreamExt, stream::BoxStream};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{Service, ServiceSpec},
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};
use kube::{
    Resource, ResourceExt,
    core::{NamespaceResourceScope, PartialObjectMeta},
    runtime::watcher::{self, Event},
};
use serde::{Serialize, de::DeserializeOwned};
use tracing::error;

use crate::gateway_api::HTTPRoute;

/// What is watched of plugins' objects.
#[derive(Clone, Default)]
pub struct Watched {
    /// Their Services.
    pub services: Kept<Service>,
    /// Their Deployments, without what their pods are made from.
    pub deployments: Kept<Deployment>,
    /// Names of their routes, if there is a Gateway.
    pub routes: Kept<PartialObjectMeta<HTTPRoute>>,
}

/// Namespace and name.
type Key = (String, String);

/// Objects as JSON; `None` before all were told of.
type Packed = Option<HashMap<Key, Box<[u8]>>>;

/// Objects of a kind as they were told of last; none before all were. They are kept as JSON: thousands are kept and few are asked
/// for, and a Deployment that says next to nothing has 6 KB otherwise.
pub struct Kept<K> {
    objects: Arc<RwLock<Packed>>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Default for Kept<K> {
    fn default() -> Self {
        Self {
            objects: Arc::default(),
            kind: PhantomData,
        }
    }
}

impl<K> Clone for Kept<K> {
    fn clone(&self) -> Self {
        Self {
            objects: Arc::clone(&self.objects),
            kind: PhantomData,
        }
    }
}

impl<K> Kept<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Serialize
        + DeserializeOwned
        + Send
        + 'static,
{
    /// The object of this name, if it is known.
    pub fn get(&self, namespace: &str, name: &str) -> Option<K> {
        let objects = self.objects.read().unwrap_or_else(PoisonError::into_inner);
        let packed = objects.as_ref()?.get(&(namespace.to_owned(), name.to_owned()))?;
        serde_json::from_slice(packed)
            .inspect_err(|error| error!(namespace, name, %error, "what is kept of an object cannot be read"))
            .ok()
    }

    /// Whether it is known that there is no object of this name.
    pub fn lacks(&self, namespace: &str, name: &str) -> bool {
        let objects = self.objects.read().unwrap_or_else(PoisonError::into_inner);
        let key = (namespace.to_owned(), name.to_owned());
        objects.as_ref().is_some_and(|objects| !objects.contains_key(&key))
    }

    /// Keeps what a watch tells, once `trim` has taken away what nobody asks for. Who comes after it in the stream finds it kept.
    pub fn keep(
        &self,
        events: impl Stream<Item = Result<Event<K>, watcher::Error>> + Send + 'static,
        trim: fn(&mut K),
    ) -> BoxStream<'static, Result<Event<K>, watcher::Error>> {
        let objects = Arc::clone(&self.objects);
        // What is not in the list that a watch begins with is gone, which is known when the list is whole.
        let mut first = HashMap::new();
        let keep = move |event: &Result<Event<K>, watcher::Error>| {
            let all = || objects.write().unwrap_or_else(PoisonError::into_inner);
            match event {
                Err(_) => {}
                Ok(Event::Init) => first.clear(),
                Ok(Event::InitApply(object)) => {
                    let packed = packed(object.clone(), trim);
                    // Where a watch begins anew, whoever is called for this object finds it as it is now.
                    drop(all().as_mut().and_then(|all| all.insert(key(object), packed.clone())));
                    first.insert(key(object), packed);
                }
                Ok(Event::InitDone) => *all() = Some(std::mem::take(&mut first)),
                Ok(Event::Apply(object)) => {
                    let packed = packed(object.clone(), trim);
                    drop(all().as_mut().and_then(|all| all.insert(key(object), packed)));
                }
                Ok(Event::Delete(object)) => drop(all().as_mut().and_then(|all| all.remove(&key(object)))),
            }
        };
        events.inspect(keep).boxed()
    }
}

fn key(object: &impl ResourceExt) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn packed<K: Serialize>(mut object: K, trim: fn(&mut K)) -> Box<[u8]> {
    trim(&mut object);
    // An object that was read from JSON can be written as it.
    serde_json::to_vec(&object).unwrap_or_default().into()
}

/// Leaves of a Service what says whom it leads to.
pub fn trim_service(service: &mut Service) {
    service.metadata.managed_fields = None;
    service.metadata.owner_references = None;
    service.status = None;
    if let Some(spec) = service.spec.take() {
        service.spec = Some(ServiceSpec {
            selector: spec.selector,
            ..ServiceSpec::default()
        });
    }
}

/// Leaves of an object its name.
pub fn trim_to_name<K: Resource>(object: &mut PartialObjectMeta<K>) {
    object.metadata = ObjectMeta {
        namespace: object.metadata.namespace.take(),
        name: object.metadata.name.take(),
        ..ObjectMeta::default()
    };
}

/// Leaves of a Deployment what says what it runs and how it fares.
pub fn trim_deployment(deployment: &mut Deployment) {
    deployment.metadata.managed_fields = None;
    deployment.metadata.owner_references = None;
    if let Some(spec) = &mut deployment.spec {
        spec.template.spec = None;
        spec.selector = LabelSelector::default();
        spec.strategy = None;
    }
    if let Some(status) = &mut deployment.status {
        status.conditions = None;
    }
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
        kept.keep(events, trim_service).for_each(async |_| ()).await;
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
}
