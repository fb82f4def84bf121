//! The finalizer that holds a Tenant until its backends are shut or dropped.
//!
//! `kube::runtime::finalizer` removes by index and name only; a stale pass could strip the finalizer of an
//! object that was made anew under the same name. Here the uid and the list are tested in the same patch.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};
use plexica_crds::{FINALIZER, Tenant};
use serde_json::json;

use super::{Context, Error};
use crate::runtime::{
    apply::FieldManager,
    client::{ApiError, within},
};

/// Makes sure that the finalizer is there, before anything is written outside of Kubernetes.
pub async fn hold(tenant: &Tenant, ctx: &Context) -> Result<(), Error> {
    if tenant.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
        return Ok(());
    }
    let mut finalizers = tenant.finalizers().to_vec();
    finalizers.push(FINALIZER.to_owned());
    // The resource version makes the patch fail if anybody changed the object meanwhile: another pass follows.
    let patch = json!({ "metadata": {
        "uid": tenant.metadata.uid,
        "resourceVersion": tenant.metadata.resource_version,
        "finalizers": finalizers,
    }});
    let held = patch_metadata(&ctx.client, &tenant.name_any(), &Patch::Merge(patch))
        .await
        .map_err(Error::Finalizer)?;
    ctx.freshness
        .wrote(held.uid.as_deref(), held.resource_version.as_deref());
    Ok(())
}

/// Lets the object go. Its being gone already is success.
pub async fn release(meta: &ObjectMeta, client: &Client) -> Result<(), Error> {
    let finalizers = meta.finalizers.clone().unwrap_or_default();
    if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        return Ok(());
    }
    let rest: Vec<_> = finalizers.iter().filter(|finalizer| *finalizer != FINALIZER).collect();
    let patch = json!({ "metadata": {
        "uid": meta.uid,
        "resourceVersion": meta.resource_version,
        "finalizers": rest,
    }});
    match patch_metadata(client, meta.name.as_deref().unwrap_or_default(), &Patch::Merge(patch)).await {
        Err(error) if error.status().is_some_and(kube::core::Status::is_not_found) => Ok(()),
        result => result.map(drop).map_err(Error::Finalizer),
    }
}

async fn patch_metadata(client: &Client, name: &str, patch: &Patch<serde_json::Value>) -> Result<ObjectMeta, ApiError> {
    let params = PatchParams {
        field_manager: Some(FieldManager::Finalizer.as_ref().to_owned()),
        ..PatchParams::default()
    };
    within(Api::<Tenant>::all(client.clone()).patch_metadata(name, &params, patch))
        .await
        .map(|object| object.metadata)
}
