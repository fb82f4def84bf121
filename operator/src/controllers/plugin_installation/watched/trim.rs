//! Which kinds are watched, and what is kept of each.

use k8s_openapi::{
    api::{
        apps::v1::{ControllerRevision, Deployment, DeploymentCondition},
        core::v1::{ConfigMap, Secret, Service, ServiceSpec},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ManagedFieldsEntry, ObjectMeta},
};

use super::{Kept, Made, Watched};
use crate::{
    gateway_api::{HTTPRoute, ReferenceGrant},
    runtime::apply::FieldManager,
};

impl Made for Service {
    fn kept(watched: &Watched) -> Option<&Kept<Self>> {
        Some(&watched.services)
    }

    /// What says whom it leads to stays.
    fn trim(&mut self) {
        self.metadata.managed_fields = None;
        self.metadata.owner_references = None;
        self.status = None;
        if let Some(spec) = self.spec.take() {
            self.spec = Some(ServiceSpec {
                selector: spec.selector,
                ..ServiceSpec::default()
            });
        }
    }
}

impl Made for Deployment {
    fn kept(watched: &Watched) -> Option<&Kept<Self>> {
        Some(&watched.deployments)
    }

    /// What says what it runs and how it fares stays.
    fn trim(&mut self) {
        self.metadata.managed_fields = None;
        self.metadata.owner_references = None;
        if let Some(spec) = &mut self.spec {
            spec.template.spec = None;
            spec.selector = LabelSelector::default();
            spec.strategy = None;
        }
        let conditions = self.status.as_mut().and_then(|status| status.conditions.as_mut());
        for condition in conditions.into_iter().flatten() {
            let is_trouble = condition.type_ == "ReplicaFailure";
            *condition = DeploymentCondition {
                type_: std::mem::take(&mut condition.type_),
                status: std::mem::take(&mut condition.status),
                reason: condition.reason.take(),
                message: condition.message.take().filter(|_| is_trouble),
                ..DeploymentCondition::default()
            };
        }
    }

    /// Of an empty slot nothing is held as declared.
    fn is_compared(&self) -> bool {
        self.spec.as_ref().and_then(|spec| spec.replicas) != Some(0)
    }
}

impl Made for HTTPRoute {
    fn kept(watched: &Watched) -> Option<&Kept<Self>> {
        Some(&watched.routes)
    }

    /// All of it is looked at; of who wrote to it only when the operator did.
    fn trim(&mut self) {
        self.metadata.owner_references = None;
        let ours = |entry: ManagedFieldsEntry| {
            (entry.manager.as_deref() == Some(FieldManager::Objects.as_ref())).then(|| ManagedFieldsEntry {
                manager: entry.manager,
                time: entry.time,
                ..ManagedFieldsEntry::default()
            })
        };
        let entries = self.metadata.managed_fields.take();
        self.metadata.managed_fields = entries.map(|entries| entries.into_iter().filter_map(ours).collect());
    }
}

impl Made for NetworkPolicy {
    fn kept(watched: &Watched) -> Option<&Kept<Self>> {
        Some(&watched.policies)
    }

    fn trim(&mut self) {
        (self.metadata, self.spec) = (name_of(&mut self.metadata), None);
    }
}

impl Made for PodDisruptionBudget {
    fn kept(watched: &Watched) -> Option<&Kept<Self>> {
        Some(&watched.budgets)
    }

    fn trim(&mut self) {
        (self.metadata, self.spec, self.status) = (name_of(&mut self.metadata), None, None);
    }
}

/// Leaves of an object its name, its version, and whose it is.
fn name_of(metadata: &mut ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        namespace: metadata.namespace.take(),
        name: metadata.name.take(),
        resource_version: metadata.resource_version.take(),
        labels: metadata.labels.take(),
        ..ObjectMeta::default()
    }
}

/// Kinds that are not watched: to watch them, the operator would need to read those of all namespaces.
macro_rules! unwatched {
    ($($kind:ty),*) => {$(
        impl Made for $kind {
            fn kept(_: &Watched) -> Option<&Kept<Self>> {
                None
            }

            fn trim(&mut self) {}
        }
    )*};
}

unwatched!(ConfigMap, Secret, ControllerRevision, ReferenceGrant);
