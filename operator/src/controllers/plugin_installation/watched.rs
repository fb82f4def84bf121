//! Services and Deployments of plugins, as the API server told of them last. They are some milliseconds old, and no request
//! is needed to know them. What is decided by them is written only if nobody wrote to the Service since, and looked at anew
//! afterwards.

use std::sync::{Arc, OnceLock};

use futures::{Stream, StreamExt, stream::BoxStream};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{Service, ServiceSpec},
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::{
    Resource,
    core::NamespaceResourceScope,
    runtime::{
        reflector::{self, ObjectRef, Store},
        watcher::{self, Event},
    },
};

/// What is watched of plugins' objects.
#[derive(Clone, Default)]
pub struct Watched {
    /// Their Services.
    pub services: Kept<Service>,
    /// Their Deployments, without what their pods are made from.
    pub deployments: Kept<Deployment>,
}

/// Objects of a kind as they were told of last; none before all were.
pub struct Kept<K>(Arc<OnceLock<Store<K>>>)
where
    K: Resource<DynamicType = ()> + 'static;

impl<K: Resource<DynamicType = ()> + 'static> Default for Kept<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Resource<DynamicType = ()> + 'static> Clone for Kept<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> Kept<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Send + Sync + 'static,
{
    /// The object of this name, if it is known.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.0.get()?.get(&ObjectRef::new(name).within(namespace))
    }

    /// Whether it is known that there is no object of this name.
    pub fn lacks(&self, namespace: &str, name: &str) -> bool {
        self.0.get().is_some() && self.get(namespace, name).is_none()
    }

    /// Keeps what a watch tells, once `trim` has taken away what nobody asks for. Who comes after it in the stream finds it kept.
    pub fn keep(
        &self,
        events: impl Stream<Item = Result<Event<K>, watcher::Error>> + Send + 'static,
        trim: fn(&mut K),
    ) -> BoxStream<'static, Result<Event<K>, watcher::Error>> {
        let (reader, mut writer) = reflector::store();
        let kept = Arc::clone(&self.0);
        let keep = move |event: &Result<Event<K>, watcher::Error>| {
            let Ok(event) = event else { return };
            writer.apply_watcher_event(&event.clone().modify(trim));
            if matches!(event, Event::InitDone) {
                // Filled anew after a watch has failed, it is the same.
                let _ = kept.set(reader.clone());
            }
        };
        events.inspect(keep).boxed()
    }
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
