//! The finalizer that holds an object until what it stands for is shut or dropped.
//!
//! `kube::runtime::finalizer` removes by index and name only; a stale pass could strip the finalizer of an
//! object that was made anew under the same name. Here the uid and the list are tested in the same patch.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams};
use plexica_crds::FINALIZER;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Error, Kind, Objects};
use crate::runtime::{
    apply::FieldManager,
    client::{ApiError, within},
};

/// Whether the object is held.
pub fn holds(meta: &ObjectMeta) -> bool {
    meta.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
}

#[derive(Deserialize)]
struct Patched {
    metadata: ObjectMeta,
}

impl<K: Kind> Objects<K> {
    /// Makes sure that the finalizer is there, before anything is written outside of Kubernetes.
    pub async fn hold(&self, meta: &ObjectMeta) -> Result<(), Error> {
        if holds(meta) {
            return Ok(());
        }
        let finalizers = meta.finalizers.iter().flatten().map(String::as_str).chain([FINALIZER]);
        let held = self.set_finalizers(meta, finalizers).await.map_err(Error::Finalizer)?;
        self.freshness
            .wrote(held.uid.as_deref(), held.resource_version.as_deref());
        Ok(())
    }

    /// Lets the object go. Its being gone already is success.
    pub async fn release(&self, meta: &ObjectMeta) -> Result<(), Error> {
        if !holds(meta) {
            return Ok(());
        }
        let finalizers = meta.finalizers.iter().flatten().map(String::as_str);
        let rest = finalizers.filter(|finalizer| *finalizer != FINALIZER);
        match self.set_finalizers(meta, rest).await {
            Err(error) if error.status().is_some_and(kube::core::Status::is_not_found) => Ok(()),
            result => result.map(drop).map_err(Error::Finalizer),
        }
    }

    /// The resource version makes the patch fail if anybody changed the object meanwhile: another pass follows.
    async fn set_finalizers<'a>(
        &self,
        meta: &ObjectMeta,
        finalizers: impl Iterator<Item = &'a str>,
    ) -> Result<ObjectMeta, ApiError> {
        let patch: Value = json!({ "metadata": {
            "uid": meta.uid,
            "resourceVersion": meta.resource_version,
            "finalizers": finalizers.collect::<Vec<_>>(),
        }});
        let params = PatchParams {
            field_manager: Some(FieldManager::Finalizer.as_ref().to_owned()),
            ..PatchParams::default()
        };
        let name = meta.name.as_deref().unwrap_or_default();
        let request = kube::core::Request::new(K::url_path(&(), meta.namespace.as_deref()))
            .patch(name, &params, &Patch::Merge(patch))
            .map_err(|error| ApiError::Kube(Box::new(kube::Error::BuildRequest(error))))?;
        let patched: Patched = within(self.client.request(request)).await?;
        Ok(patched.metadata)
    }
}
